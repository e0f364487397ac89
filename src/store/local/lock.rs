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

/// The same where the holder is at its end. A process that was killed gives its files back one after another, and on a
/// busy machine that takes a while: its successor may have got the daemon's lock already, and not yet this one.
const TRIES_ENDING: u32 = 4_000;

/// Takes the lock, or says who has it.
pub(super) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let failed = |error: &std::io::Error| StoreError::from_io("cannot lock", path, error);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = opened.map_err(|error| failed(&error))?;
    for tried in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut file);
                let most = if pid.is_none_or(lives) { TRIES } else { TRIES_ENDING };
                if tried >= most {
                    return Err(StoreError::Locked { path: path.to_owned(), pid });
                }
                thread::sleep(Duration::from_millis(TRY_AGAIN_MS));
            }
        }
    }
    let named = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = named {
        // A full disk must not hide the journal's own message; without a number the lock still holds.
        tracing::warn!(path = %path.display(), %error, "the journal's lock file could not be written");
    }
    Ok(Lock { file })
}

/// Who says that they hold the lock. Best effort: they may just be writing their number.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// Whether a process is there and not at its end: one that is has no command line any more.
#[cfg(target_os = "linux")]
fn lives(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[cfg(not(target_os = "linux"))]
fn lives(pid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::kill(pid as libc::pid_t, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_is_gone_is_waited_for_and_one_that_lives_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.lock");
        let held = lock(&path).unwrap();
        match lock(&path) {
            Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        // As if it were held for one that has just been killed.
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        std::fs::write(&path, dead.id().to_string()).unwrap();
        let waits = std::thread::spawn(move || lock(&path).map(drop));
        std::thread::sleep(Duration::from_millis(4 * u64::from(TRIES) * TRY_AGAIN_MS));
        assert!(!waits.is_finished(), "it gave up on a lock that is about to be free");
        drop(held);
        waits.join().unwrap().unwrap();
    }
}
