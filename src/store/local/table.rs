//! The journal's table: all SQL of this program, and the translation of SQLite's errors into ours.
//!
//! Nothing here hashes or checks the chain; rows go in and come out as they are.

use std::{
    fs, io,
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ffi, params, types::ValueRef};

use crate::{
    store::{Commit, Hash, Position, StoreError, chain::Tip},
    time::Timestamp,
};

/// The schema that this program writes, in SQLite's `user_version`.
pub(in crate::store) const SCHEMA: i64 = 1;
/// Marks the file as ours (`orcJ`), in SQLite's `application_id`.
const APPLICATION_ID: i64 = 0x6f72_634a;

/// One row per commit. `position` is the B-tree's key, so an append touches the last page only. `events` is text
/// so that the `sqlite3` shell shows it. Numbers are the 64 bits of the unsigned ones.
const CREATE: &str = "CREATE TABLE commits (
    position INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    term INTEGER NOT NULL,
    command TEXT,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    events TEXT NOT NULL
) STRICT";

const INSERT: &str = "INSERT INTO commits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, CAST(?8 AS TEXT))";
const SELECT: &str = "SELECT position, version, at, term, command, previous, hash, events FROM commits";

/// How long we wait for somebody who has the file locked, such as a person in the `sqlite3` shell.
const BUSY_MS: u64 = 5_000;

/// A row that does not have the shape of a commit.
#[derive(Debug)]
pub(in crate::store) struct BadRow {
    /// The key, which is readable by itself.
    pub position: Position,
    /// What is wrong.
    pub what: String,
    /// What its events look like, for a person.
    pub text: Option<String>,
}

impl From<BadRow> for StoreError {
    fn from(row: BadRow) -> StoreError {
        StoreError::Damaged { position: Some(row.position), what: row.what }
    }
}

/// An open `journal.db`.
#[derive(Debug)]
pub(in crate::store) struct Table {
    connection: Connection,
    path: PathBuf,
}

impl Table {
    /// Opens the file for the one writer, and creates file and table where they are missing.
    pub fn open_writer(path: &Path) -> Result<Table, StoreError> {
        // Created here and not by SQLite, so that nobody else can ever read it; the -wal and -shm files follow suit.
        let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match created {
            Ok(_) => sync_folder(path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::from_io("cannot create", path, &error)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let table = Table::connect(path, path, flags)?;
        table.check_schema()?;
        let mode: String = table.ask("PRAGMA journal_mode = WAL")?;
        if mode != "wal" {
            let what = format!("{} is on a file system without shared memory (a network drive?)", path.display());
            return Err(StoreError::Io { what });
        }
        // FULL flushes the log at each commit. On macOS only F_FULLFSYNC reaches the disk; elsewhere it does nothing.
        // An append needs few pages at hand; the limits keep an idle daemon small after one huge commit.
        table.run(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
             PRAGMA cache_size = -512; PRAGMA journal_size_limit = 16777216;",
        )?;
        if table.ask::<i64>("PRAGMA user_version")? == 0 {
            table.run(&format!(
                "BEGIN IMMEDIATE; {CREATE}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA}; COMMIT"
            ))?;
        }
        Ok(table)
    }

    /// Opens the file for reading, beside a writer or without one. `None` where there is no journal yet.
    pub fn open_reader(path: &Path) -> Result<Option<Table>, StoreError> {
        match fs::metadata(path) {
            Ok(file) if file.len() == 0 && !wal(path).exists() => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::from_io("cannot read", path, &error)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Table::connect(path, path, flags).and_then(|table| table.check_schema().map(|()| table));
        let table = match opened {
            // A folder that may not be written has no place for the -shm file. Without a log there is nothing in it.
            Err(StoreError::Io { .. } | StoreError::ReadOnly { .. }) if !wal(path).exists() => {
                let uri = PathBuf::from(format!("file:{}?immutable=1", escape_uri(path)));
                let table = Table::connect(path, &uri, flags | OpenFlags::SQLITE_OPEN_URI)?;
                table.check_schema()?;
                table
            }
            opened => opened?,
        };
        match table.ask::<i64>("PRAGMA user_version")? {
            0 => Ok(None),
            _ => Ok(Some(table)),
        }
    }

    pub(super) fn connect(path: &Path, target: &Path, flags: OpenFlags) -> Result<Table, StoreError> {
        let connection = Connection::open_with_flags(target, flags).map_err(|error| translate(path, None, error))?;
        let table = Table { connection, path: path.to_owned() };
        let timeout = table.connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS));
        timeout.map_err(|error| table.error(error))?;
        Ok(table)
    }

    /// Refuses a newer journal and any other database. An empty file has version 0, and so may be made ours.
    fn check_schema(&self) -> Result<(), StoreError> {
        let found: i64 = self.ask("PRAGMA user_version")?;
        let application: i64 = self.ask("PRAGMA application_id")?;
        let tables: i64 = self.ask("SELECT count(*) FROM sqlite_schema")?;
        if (found, application, tables) == (0, 0, 0) {
            return Ok(());
        }
        if application != APPLICATION_ID || found < 1 {
            let what = format!("{} is not a journal of this program", self.path.display());
            return Err(StoreError::Damaged { position: None, what });
        }
        if found > SCHEMA {
            return Err(StoreError::Newer { path: self.path.clone(), found, known: SCHEMA });
        }
        Ok(())
    }

    fn ask<T: rusqlite::types::FromSql>(&self, sql: &str) -> Result<T, StoreError> {
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| self.error(error))
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(sql).map_err(|error| self.error(error))
    }

    /// Flushes the log that a killed process left. Its last commits may have reached the system but not the disk, and
    /// whoever reads them acts on them as on any other.
    pub fn settle(&self) -> Result<(), StoreError> {
        let log = wal(&self.path);
        match fs::File::open(&log).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::from_io("cannot flush", &log, &error))
            }
            _ => Ok(()),
        }
    }

    /// Stores the commits in one transaction with one flush. After an error none of them is visible, but where the
    /// flush failed a later opening may still find them.
    pub fn insert(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let result = self.insert_all(commits);
        result.map_err(|error| {
            let error = self.error(error);
            if !self.connection.is_autocommit() {
                // The first error is the one to tell.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            error
        })
    }

    fn insert_all(&self, commits: &[Commit]) -> rusqlite::Result<()> {
        // A single row is a transaction by itself.
        let several = commits.len() > 1;
        if several {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        let mut insert = self.connection.prepare(INSERT)?;
        for Commit { position, version, at, term, command, previous, hash, events } in commits {
            insert.execute(params![
                position.0 as i64,
                version,
                at.0 as i64,
                *term as i64,
                command,
                &previous[..],
                &hash[..],
                events
            ])?;
        }
        if several {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Hands out the rows after `after` in order. The outer error ends the reading: from there on the file itself
    /// could not be read.
    pub fn rows(
        &self,
        after: Position,
        each: &mut dyn FnMut(Result<Commit, BadRow>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sql = format!("{SELECT} WHERE position > ?1 ORDER BY position");
        let mut reading = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([after.0.min(i64::MAX as u64) as i64])?;
            while let Some(row) = rows.next()? {
                if each(commit(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        reading().map_err(|error| self.error(error))
    }

    /// The row at one position, found by its key alone: works where reading in order stops at a broken page.
    pub fn row(&self, position: Position) -> Result<Option<Result<Commit, BadRow>>, StoreError> {
        let sql = format!("{SELECT} WHERE position = ?1");
        let found = self.connection.prepare(&sql).and_then(|mut statement| {
            let mut rows = statement.query([position.0 as i64])?;
            rows.next()?.map(commit).transpose()
        });
        found.map_err(|error| self.error(error))
    }

    /// The last row.
    pub fn last(&self) -> Result<Option<Result<Commit, BadRow>>, StoreError> {
        let position = self.connection.query_row("SELECT max(position) FROM commits", [], |row| row.get(0));
        match position.optional().map_err(|error| self.error(error))?.flatten() {
            None => Ok(None),
            Some(position) => self.row(Position(i64::cast_unsigned(position))),
        }
    }

    /// The position and hash of the commit at `position`; of nothing for the start.
    pub fn tip(&self, position: Position) -> Result<Option<Tip>, StoreError> {
        if position == Position::START {
            return Ok(Some(Tip::START));
        }
        let row = self.row(position)?;
        Ok(row.and_then(Result::ok).map(|commit| Tip { position, hash: commit.hash }))
    }

    /// What SQLite itself finds wrong with the file, if anything. Reads all of it.
    pub fn integrity(&self) -> Result<Option<String>, StoreError> {
        let found: String = self.ask("PRAGMA integrity_check(1)")?;
        Ok(if found == "ok" { None } else { Some(found.replace('\n', " ")) })
    }

    /// No more rows than this can be in the file.
    pub fn rows_max(&self) -> u64 {
        // A row has two hashes of 32 bytes at least.
        [self.path.clone(), wal(&self.path)]
            .iter()
            .map(|file| fs::metadata(file).map_or(0, |file| file.len() / 64))
            .sum()
    }

    /// Limits the file to its present size plus `pages`, so that a test can fill the disk.
    #[cfg(test)]
    pub fn limit_growth(&self, pages: i64) {
        let limit = self.ask::<i64>("PRAGMA page_count").unwrap() + pages;
        assert_eq!(self.ask::<i64>(&format!("PRAGMA max_page_count = {limit}")).unwrap(), limit);
    }

    /// Runs SQL as it is, so that a test can do what no program of ours would.
    #[cfg(test)]
    pub fn tamper(&self, sql: &str) {
        self.run(sql).unwrap();
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        translate(&self.path, Some(&self.connection), error)
    }
}

/// Reads a row without trusting any of it but the key.
fn commit(row: &Row<'_>) -> rusqlite::Result<Result<Commit, BadRow>> {
    let position = Position(i64::cast_unsigned(row.get(0)?));
    let number = |index| row.get_ref(index).ok().and_then(|value| value.as_i64().ok()).map(i64::cast_unsigned);
    let bytes = |index| row.get_ref(index).ok().and_then(|value: ValueRef<'_>| value.as_bytes().ok());
    let hash = |index| bytes(index).and_then(|bytes| Hash::try_from(bytes).ok());
    let command = match row.get_ref(4)? {
        ValueRef::Null => Some(None),
        value => value.as_str().ok().map(|command| Some(command.to_owned())),
    };
    let shaped = || {
        Some(Commit {
            position,
            version: u32::try_from(number(1)?).ok()?,
            at: Timestamp(number(2)?),
            term: number(3)?,
            command: command.clone()?,
            previous: hash(5)?,
            hash: hash(6)?,
            events: bytes(7)?.to_vec(),
        })
    };
    Ok(shaped().ok_or_else(|| BadRow {
        position,
        what: "its row does not have the shape of a commit".to_owned(),
        text: bytes(7).map(|events| String::from_utf8_lossy(events).into_owned()),
    }))
}

/// Sorts SQLite's error by what the user can do about it.
fn translate(path: &Path, connection: Option<&Connection>, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let rusqlite::Error::SqliteFailure(code, _) = &error else {
        // Everything else is about types and shapes, which only a damaged schema can cause.
        return StoreError::Damaged { position: None, what: format!("{}: {error}", path.display()) };
    };
    match code.code {
        ErrorCode::DiskFull => StoreError::Full { path },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly { path },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Locked { path, pid: None },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => {
            StoreError::Damaged { position: None, what: format!("{}: {error}", path.display()) }
        }
        _ => {
            // SQLite folds a used-up quota or file size limit into "disk I/O error"; the system's own code tells.
            let errno = connection.map_or(0, system_errno);
            let io = StoreError::Io { what: format!("{}: {error} ({})", path.display(), code.extended_code) };
            StoreError::from_errno(errno, &path).unwrap_or(io)
        }
    }
}

/// The operating system's error code of the connection's last failure.
fn system_errno(connection: &Connection) -> i32 {
    // SAFETY: the handle is that of an open connection, borrowed for the call, and the function only reads from it.
    unsafe { ffi::sqlite3_system_errno(connection.handle()) }
}

/// Makes a new file's name durable.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| StoreError::from_io("cannot flush", folder, &error))
}

/// Whether there is no database yet, not even an unreadable one.
pub(in crate::store) fn is_blank(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |file| file.len() == 0) && !wal(path).exists()
}

/// The write-ahead log beside the file.
pub(in crate::store) fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// The path with the characters escaped that mean something in a `file:` URI.
pub(super) fn escape_uri(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
