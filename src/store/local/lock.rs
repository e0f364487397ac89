//! One process per journal: an operating system lock on a file beside it, which ends with the process however
//! it ends. The file names the holder for messages; only the lock itself counts.
//!
//! The lock belongs to the open file, so a child that is forked without exec holds it too: fork keepers before
//! opening a journal, or exec.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::Duration,
};

use crate::store::StoreError;

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec still has the file open for a moment.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the journal's lock was not released");
        }
    }
}

/// How often, and how far apart in milliseconds, a taken lock is tried again: a killed holder's child may be about
/// to exec.
const TRIES: u32 = 10;
const TRY_AGAIN_MS: u64 = 5;

/// Takes the lock, or says who has it.
pub(super) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let failed = |error: &std::io::Error| StoreError::from_io("cannot lock", path, error);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = opened.map_err(|error| failed(&error))?;
    let mut locked = file.try_lock();
    for _ in 1..TRIES {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        thread::sleep(Duration::from_millis(TRY_AGAIN_MS));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Best effort: the holder may just be writing its number.
            let _ = file.read_to_string(&mut text);
            return Err(StoreError::Locked { path: path.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(&error)),
    }
    let named = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = named {
        // A full disk must not hide the journal's own message; without a number the lock still holds.
        tracing::warn!(path = %path.display(), %error, "the journal's lock file could not be written");
    }
    Ok(Lock { file })
}
