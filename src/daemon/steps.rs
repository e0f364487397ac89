//! Whose git steps are under way in a workspace. Not for the journal's lock, which is about who writes.
//!
//! A daemon that is killed leaves the git processes that it started; they go on for a moment, in lanes that the next
//! daemon is about to lay out anew. So every git process inherits a lock: it is free again when the last one is gone.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long what a former daemon started may go on before the workspace is refused.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Between two looks; most git processes are gone at the first.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// Held by everything that may touch the workspace's lanes: this process and the git processes that it starts.
#[derive(Debug, Clone)]
pub struct Steps {
    _lock: Arc<File>,
}

impl Steps {
    /// Waits until nothing of a daemon before us is under way. Blocks; for a thread of its own.
    pub fn take(dir: &Path) -> io::Result<Steps> {
        let path = dir.join("steps.lock");
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            // SAFETY: flock on a descriptor that we own and that stays open as long as `file`.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock && error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            if Instant::now() > deadline {
                let what = format!("git processes of an earlier daemon still hold {}; end them first", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, what));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        // SAFETY: clears close-on-exec of our own descriptor, so that children hold the lock as well. A keeper, which
        // lives longer than we do, closes what it inherits first of all.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Steps { _lock: Arc::new(file) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_left_holds_the_lock_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let steps = Steps::take(dir.path()).unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        drop(steps);
        let (to, taken) = std::sync::mpsc::channel();
        let folder = dir.path().to_owned();
        let thread = std::thread::spawn(move || to.send(Steps::take(&folder).map(drop)).unwrap());
        assert!(taken.recv_timeout(Duration::from_millis(50)).is_err(), "it was not waited for");
        drop(child.stdin.take());
        taken.recv().unwrap().unwrap();
        thread.join().unwrap();
        child.wait().unwrap();
    }
}
