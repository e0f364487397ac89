//! The journal in SQLite: one file in the workspace's state folder, one row per commit, one writer thread.
//!
//! Files, all readable by the user alone: `journal.db` (with SQLite's `-wal` and `-shm`), `journal.lock` (one
//! process at a time), `journal.head` (the last acknowledged commit, see [`acknowledged`]), `fold.bin` (a cache).
//! Whoever copies a journal by hand copies the folder; `journal export` is the better way.
//!
//! This file is the caller's side: it counts positions and queues. SQL is in [`table`], the flushing in [`writer`].

pub(in crate::store) mod acknowledged;
mod fold;
mod lock;
pub(in crate::store) mod table;
mod writer;

use std::{
    fs,
    ops::ControlFlow,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use self::{
    table::Table,
    writer::{Queue, Writer},
};
use super::{
    AppendError, Commit, Durable, Journal, NewCommit, Position, StoreError, Urgency,
    chain::{self, Tip},
};

/// The journal's file inside a state folder.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("journal.db")
}

/// The mark of the last acknowledged commit.
pub(in crate::store) fn mark_file(dir: &Path) -> PathBuf {
    dir.join("journal.head")
}

fn fold_file(dir: &Path) -> PathBuf {
    dir.join("fold.bin")
}

/// The open journal of one workspace. Dropping it writes what is queued, calls the callbacks and lets others in.
pub struct Local {
    dir: PathBuf,
    head: Position,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    // Last, so that the lock outlives the writer.
    _lock: lock::Lock,
}

/// Opens the journal in `dir`, creating both where they are missing (the folder for its user alone).
///
/// Checks the last commit and that no acknowledged one is gone; the rest of the chain is checked by `read`.
///
/// # Errors
/// [`StoreError::Locked`] where another process has it, [`StoreError::Newer`], [`StoreError::Damaged`], and what the
/// system says about the folder.
pub fn open(dir: &Path) -> Result<Local, StoreError> {
    let (lock, table) = open_table(dir)?;
    start(dir, lock, table)
}

/// Starts the writer on an open table.
fn start(dir: &Path, lock: lock::Lock, table: Table) -> Result<Local, StoreError> {
    let tip = match table.last()? {
        None => Tip::START,
        Some(row) => {
            let commit = row?;
            chain::check(&commit)?;
            Tip { position: commit.position, hash: commit.hash }
        }
    };
    let mark = acknowledged::Mark::open(&mark_file(dir))?;
    let queue = Arc::new(Queue::default());
    let writer = Writer { table, tip, fold_path: fold_file(dir), acknowledged: mark };
    let shared = Arc::clone(&queue);
    let spawned = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&shared));
    let writer = spawned.map_err(|error| StoreError::from_io("cannot start the writer of", dir, &error))?;
    Ok(Local { dir: dir.to_owned(), head: tip.position, queue, writer: Some(writer), _lock: lock })
}

/// Takes the lock, and opens what it guards.
fn open_table(dir: &Path) -> Result<(lock::Lock, Table), StoreError> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(|error| StoreError::from_io("cannot create", dir, &error))?;
    let lock = lock::lock(&dir.join("journal.lock"))?;
    let marked = acknowledged::marked(&mark_file(dir));
    if table::is_blank(&file(dir)) {
        // Before a new table is made: a journal that has vanished is not an empty one.
        acknowledged::check(&mark_file(dir), None, marked)?;
    }
    let table = Table::open_writer(&file(dir))?;
    acknowledged::check(&mark_file(dir), Some(&table), marked)?;
    table.settle()?;
    Ok((lock, table))
}

impl Local {
    /// Why the journal takes no more commits, if it has failed.
    pub fn failure(&self) -> Option<StoreError> {
        self.queue.failure()
    }
}

impl Journal for Local {
    fn append(
        &mut self,
        expect: Position,
        commit: NewCommit,
        urgency: Urgency,
        durable: Durable,
    ) -> Result<Position, AppendError> {
        if let Some(failure) = self.queue.failure() {
            return Err(AppendError::Failed(failure));
        }
        if expect != self.head {
            return Err(AppendError::Conflict { expected: expect, head: self.head });
        }
        commit.check()?;
        self.queue.push(commit, urgency, durable)?;
        self.head = self.head.next();
        Ok(self.head)
    }

    fn head(&self) -> Position {
        self.head
    }

    fn flush(&mut self) {
        self.queue.flush();
    }

    fn read(&self, after: Position, each: &mut dyn FnMut(Commit) -> ControlFlow<()>) -> Result<(), StoreError> {
        // A connection of its own for each reading: it sees what is durable, and costs an idle daemon nothing.
        match Table::open_reader(&file(&self.dir))? {
            Some(table) => read(&table, after, each),
            None => Ok(()),
        }
    }

    fn save_fold(&mut self, at: Position, fold: Vec<u8>) {
        if at > self.head {
            tracing::warn!(%at, head = %self.head, "a fold ahead of the journal was not cached");
            return;
        }
        self.queue.save_fold(at, fold);
    }

    fn load_fold(&self) -> Result<Option<(Position, Vec<u8>)>, StoreError> {
        let Some((tip, fold)) = fold::load(&fold_file(&self.dir)) else { return Ok(None) };
        let stored = match Table::open_reader(&file(&self.dir))? {
            Some(table) => table.tip(tip.position)?,
            None => None,
        };
        if stored != Some(tip) {
            tracing::warn!(position = %tip.position, "the cached fold belongs to another history, and is ignored");
            return Ok(None);
        }
        Ok(Some((tip.position, fold)))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != thread::current().id()
            && writer.join().is_err()
        {
            tracing::error!("the journal's writer thread panicked");
        }
    }
}

/// Stores a whole checked chain in an empty or missing journal, in one transaction.
pub(in crate::store) fn import(dir: &Path, commits: &[Commit]) -> Result<(), StoreError> {
    let (_lock, table) = open_table(dir)?;
    if table.last()?.is_some() {
        return Err(StoreError::NotEmpty { path: file(dir) });
    }
    table.insert(commits)?;
    if let Some(last) = commits.last() {
        acknowledged::Mark::open(&mark_file(dir))?.set(Tip { position: last.position, hash: last.hash });
    }
    Ok(())
}

/// Reads and checks the chain of a table.
pub(in crate::store) fn read(
    table: &Table,
    after: Position,
    each: &mut dyn FnMut(Commit) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    // Where the row is missing there is nothing after it either, or `follow` will name the hole.
    let Some(mut tip) = table.tip(after)?.or_else(|| after_end(table, after)) else { return Ok(()) };
    let mut outcome = Ok(());
    let ended = table.rows(after, &mut |row| match row
        .map_err(StoreError::from)
        .and_then(|commit| tip.follow(&commit).map(|()| commit))
    {
        Ok(commit) => each(commit),
        Err(error) => {
            outcome = Err(error);
            ControlFlow::Break(())
        }
    });
    // An unreadable page is damage to the commit that was to come next.
    outcome.and(ended.map_err(|error| match error {
        StoreError::Damaged { position: None, what } => {
            StoreError::Damaged { position: Some(tip.position.next()), what }
        }
        error => error,
    }))
}

/// `None` where `after` is the end or beyond it; else a tip that no commit follows, since the one at `after` is gone
/// or unreadable.
fn after_end(table: &Table, after: Position) -> Option<Tip> {
    match table.last() {
        Ok(Some(Ok(last))) if last.position <= after => None,
        Ok(None) => None,
        _ => Some(Tip { position: after, hash: [0xff; 32] }),
    }
}

#[cfg(test)]
mod tests;
