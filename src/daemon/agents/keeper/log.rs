//! `DIR/keeper.log`: what must survive the keeper. Written with plain `write`, never flushed to the disk: it protects
//! against killed processes, not against power loss (the daemon's journal does that).
//!
//! Invariant: a job's start is in the log before the job has a process, and its end before anybody hears of it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::protocol::{Ended, push_line};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEntry {
    /// Which keeper wrote the lines that follow.
    Keeper {
        /// Its marker: the value of `ORCHESTRATOR_KEEPER` in the environment of all its jobs.
        token: String,
        /// Its process id.
        pid: i32,
        /// The system's boot id; empty where there is none. Process ids of another boot mean nothing.
        boot: String,
    },
    /// A job is about to get a process.
    Started {
        /// The job.
        id: String,
        /// Wall-clock milliseconds since 1970.
        at_ms: u64,
    },
    /// The process of a job that has been running for a moment.
    Running {
        /// The job.
        id: String,
        /// Its first process.
        pid: i32,
        /// When that process started, in clock ticks since boot (0 where unknown): with pid and boot, its identity.
        start_ticks: u64,
    },
    /// A job is over.
    Ended(Ended),
}

/// Reads the log of the keeper of `dir`, oldest line first. No file is an empty log. A torn or foreign line is passed
/// over: a line is torn only where the keeper was killed in the middle of writing it, so nothing was said about it.
pub fn read_log(dir: &Path) -> Vec<LogEntry> {
    let bytes = std::fs::read(path(dir)).unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn path(dir: &Path) -> PathBuf {
    dir.join("keeper.log")
}

/// The log of the running keeper.
pub(super) struct Log {
    dir: PathBuf,
    file: File,
    header: Vec<u8>,
    /// Bytes after the header.
    grown_bytes: u64,
    /// Those of them that were there when it was last written anew.
    kept_bytes: u64,
    pending: Vec<u8>,
}

impl Log {
    /// Replaces whatever log there is by one that says `header` and `live`, in one step that cannot be seen half done.
    pub(super) fn create(dir: &Path, header: &LogEntry, live: &[LogEntry]) -> io::Result<Log> {
        let mut line = Vec::new();
        push_line(&mut line, header)?;
        let (dir, file) = (dir.to_owned(), replacement(dir)?);
        let mut log = Log { dir, file, header: line, grown_bytes: 0, kept_bytes: 0, pending: Vec::new() };
        log.fill(live)?;
        Ok(log)
    }

    /// Drops every line but the header's and `live`.
    pub(super) fn rewrite(&mut self, live: &[LogEntry]) -> io::Result<()> {
        if live.is_empty() {
            self.pending.clear();
            self.file.set_len(self.header.len() as u64)?;
            (self.grown_bytes, self.kept_bytes) = (0, 0);
            return Ok(());
        }
        self.file = replacement(&self.dir)?;
        self.fill(live)
    }

    fn fill(&mut self, live: &[LogEntry]) -> io::Result<()> {
        self.pending.clear();
        self.grown_bytes = 0;
        self.file.write_all(&self.header)?;
        for entry in live {
            self.push(entry);
        }
        self.write()?;
        self.kept_bytes = self.grown_bytes;
        std::fs::rename(self.dir.join("keeper.log.new"), path(&self.dir))
    }

    /// Adds a line to the next [`Log::write`].
    pub(super) fn push(&mut self, entry: &LogEntry) {
        push_line(&mut self.pending, entry).expect("a log entry has nothing that JSON cannot say");
    }

    /// Writes the lines that were pushed, in one piece.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            // It may be written in part; the next try must not continue that line.
            if self.pending[0] != b'\n' {
                self.pending.insert(0, b'\n');
            }
            return Err(error);
        }
        self.grown_bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Bytes beyond the header.
    pub(super) fn grown_bytes(&self) -> u64 {
        self.grown_bytes
    }

    /// Bytes beyond the header that were not history when the log was last written anew.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }
}

fn replacement(dir: &Path) -> io::Result<File> {
    let path = dir.join("keeper.log.new");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> LogEntry {
        LogEntry::Keeper { token: "7.ab".into(), pid: 7, boot: String::new() }
    }

    fn started(id: &str) -> LogEntry {
        LogEntry::Started { id: id.into(), at_ms: 1 }
    }

    #[test]
    fn a_torn_last_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_log(dir.path()), []);
        let mut log = Log::create(dir.path(), &header(), &[]).unwrap();
        log.push(&started("a"));
        log.push(&started("b"));
        log.write().unwrap();
        let whole = std::fs::read(path(dir.path())).unwrap();
        std::fs::write(path(dir.path()), &whole[..whole.len() - 5]).unwrap();
        assert_eq!(read_log(dir.path()), [header(), started("a")]);
    }

    #[test]
    fn rewriting_keeps_only_what_lives_and_appending_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(dir.path(), &header(), &[started("old")]).unwrap();
        log.rewrite(&[started("x")]).unwrap();
        log.push(&started("y"));
        log.write().unwrap();
        assert_eq!(read_log(dir.path()), [header(), started("x"), started("y")]);
        log.rewrite(&[]).unwrap();
        assert_eq!((log.grown_bytes(), read_log(dir.path())), (0, vec![header()]));
        log.push(&started("z"));
        log.write().unwrap();
        assert_eq!(read_log(dir.path()), [header(), started("z")]);
    }
}
