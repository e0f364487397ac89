//! The mark of the last acknowledged commit, in a small file beside the journal.
//!
//! The hash chain shows what was changed, but not that the end is gone: a journal copied without its log, or a log
//! with one flipped bit, reads as a shorter journal in good order. The mark is written after each flush, and is not
//! flushed itself: it may lag behind the journal, and is never ahead of it, unless acknowledged commits are lost.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::store::{Position, StoreError, chain, chain::Tip, local::table::Table};

/// `position hash\n`, of fixed width, so that overwriting leaves nothing behind.
const LINE_BYTES: usize = 20 + 1 + 64 + 1;

/// The open file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    pub fn open(path: &Path) -> Result<Mark, StoreError> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = opened.map_err(|error| StoreError::from_io("cannot open", path, &error))?;
        Ok(Mark { file, path: path.to_owned() })
    }

    /// Notes that everything up to `tip` is durable. A failure loses no commit, only the check on the next start.
    pub fn set(&self, tip: Tip) {
        let line = format!("{:020} {}\n", tip.position.0, chain::to_hex(&tip.hash));
        if let Err(error) = self.file.write_all_at(line.as_bytes(), 0) {
            tracing::warn!(%error, path = %self.path.display(), "the acknowledged position was not noted");
        }
    }
}

/// Reads the mark; a torn or missing one is `None`.
fn read(path: &Path) -> Option<Tip> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "the acknowledged position could not be read");
            }
            return None;
        }
    };
    let line = std::str::from_utf8(bytes.get(..LINE_BYTES)?).ok()?;
    let (position, hash) = line.strip_suffix('\n')?.split_once(' ')?;
    Some(Tip { position: Position(position.parse().ok()?), hash: chain::from_hex(hash)? })
}

/// Refuses a journal whose end is gone or that is not the one which the mark was made for. `head` is the end of what
/// the table has. Read the mark before the head where a writer may be running.
pub(in crate::store) fn check(path: &Path, table: Option<&Table>, marked: Option<Tip>) -> Result<(), StoreError> {
    let Some(marked) = marked else { return Ok(()) };
    let found = match table {
        Some(table) => table.tip(marked.position)?,
        None => Some(Tip::START),
    };
    if found == Some(marked) {
        return Ok(());
    }
    let what = format!(
        "{} says that commits up to {} were stored, but they are gone or were replaced (a copy without its -wal file?); \
         restore the whole folder, or remove that file to go on with what is there",
        path.display(),
        marked.position
    );
    let last = table.map(Table::last).transpose()?.flatten();
    let head = last.map_or(Position::START, |row| match row {
        Ok(commit) => commit.position,
        Err(row) => row.position,
    });
    Err(StoreError::Damaged { position: Some(head.next().min(marked.position)), what })
}

/// Reads the mark beside the journal, for [`check`].
pub(in crate::store) fn marked(path: &Path) -> Option<Tip> {
    read(path)
}
