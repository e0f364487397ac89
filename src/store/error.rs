//! What can go wrong with a journal, in words that say what to do next.
//!
//! These are errors of the store, which stop the workspace's loop; they are never the work's own failures.

use std::{fmt, path::PathBuf};

use super::Position;

/// The journal cannot be trusted to store, or to tell what it stored. Clonable, because one failure is told to
/// every commit that was waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// No space, quota or permitted file size left.
    Full {
        /// The journal's file.
        path: PathBuf,
    },
    /// The folder or file may not be written.
    ReadOnly {
        /// The journal's file or folder.
        path: PathBuf,
    },
    /// Another process has the journal.
    Locked {
        /// What is locked.
        path: PathBuf,
        /// The holder, where it is known.
        pid: Option<u32>,
    },
    /// What is stored is not what was stored.
    Damaged {
        /// The first commit that does not hold; `None` where the file as a whole is meant.
        position: Option<Position>,
        /// What is wrong.
        what: String,
    },
    /// Written by a newer version of this program.
    Newer {
        /// The journal's file.
        path: PathBuf,
        /// The schema that was found.
        found: i64,
        /// The newest schema known to this program.
        known: i64,
    },
    /// An import was asked into a journal that has commits already.
    NotEmpty {
        /// The journal's file.
        path: PathBuf,
    },
    /// Nobody can say whether the commit was stored (a remote backend's time-out).
    Unknown,
    /// Any other failure of the operating system.
    Io {
        /// What was being done, and what the system said.
        what: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full { path } => write!(
                f,
                "no space left for the journal {}; free some (also quota and file size limit), then try again",
                path.display()
            ),
            StoreError::ReadOnly { path } => {
                write!(f, "the journal {} may not be written; make it and its folder writable by you", path.display())
            }
            StoreError::Locked { path, pid: Some(pid) } => {
                write!(f, "the journal {} is in use by process {pid}; stop it or connect to it", path.display())
            }
            StoreError::Locked { path, pid: None } => {
                write!(f, "the journal {} is in use by another process; stop it or connect to it", path.display())
            }
            StoreError::Damaged { position: Some(position), what } => write!(
                f,
                "the journal is damaged at commit {position}: {what}; `orchestrator journal export` saves what can be read"
            ),
            StoreError::Damaged { position: None, what } => {
                write!(f, "the journal is damaged: {what}; `orchestrator journal export` saves what can be read")
            }
            StoreError::Newer { path, found, known } => write!(
                f,
                "the journal {} has format {found}, this program knows up to {known}; use the newer program that wrote it",
                path.display()
            ),
            StoreError::NotEmpty { path } => {
                write!(f, "the journal {} has commits already; import into an empty folder", path.display())
            }
            StoreError::Unknown => {
                write!(f, "it is unknown whether the commit was stored; open the journal again and read it")
            }
            StoreError::Io { what } => write!(f, "the journal failed: {what}; mend that, then start again"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Sorts a failure of the operating system by what the user can do about it.
    pub(super) fn from_io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> StoreError {
        match error.raw_os_error() {
            Some(code) => StoreError::from_errno(code, path),
            None => None,
        }
        .unwrap_or_else(|| StoreError::Io { what: format!("{doing} {}: {error}", path.display()) })
    }

    /// The errors that have a name of their own here.
    pub(super) fn from_errno(code: i32, path: &std::path::Path) -> Option<StoreError> {
        let path = path.to_owned();
        match code {
            libc::ENOSPC | libc::EDQUOT | libc::EFBIG => Some(StoreError::Full { path }),
            libc::EROFS | libc::EACCES | libc::EPERM => Some(StoreError::ReadOnly { path }),
            _ => None,
        }
    }
}

/// Why a commit was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// Someone else appended, or the caller's state is not the journal's: step down and read again.
    Conflict {
        /// What the caller took for the head.
        expected: Position,
        /// The head.
        head: Position,
    },
    /// The commit itself cannot be stored; a mistake in the caller.
    Refused {
        /// What is wrong with it.
        what: String,
    },
    /// So much waits for the disk that taking more would only use up memory.
    Backlog {
        /// Bytes of events that wait.
        queued_bytes: usize,
    },
    /// The journal has failed before this.
    Failed(StoreError),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Conflict { expected, head } => {
                write!(f, "expected the journal at commit {expected}, but it is at {head}; read it again")
            }
            AppendError::Refused { what } => write!(f, "the commit cannot be stored: {what}"),
            AppendError::Backlog { queued_bytes } => {
                write!(f, "{queued_bytes} bytes wait for the disk already; try again when it has caught up")
            }
            AppendError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}
