//! What can go wrong on the git side, each with what to do next. Not for refusals that are answers
//! (a merge conflict, an edited file): those are values of the call that found them.

use std::{fmt, io, path::PathBuf};

/// Why a call on a repository or lane did not do its work. Nothing of the user's is changed when one is returned.
#[derive(Debug)]
pub enum LaneError {
    /// No `git` on the PATH.
    GitMissing,
    /// The `git` found is older than we can use.
    GitTooOld {
        /// Its version, as printed.
        found: String,
    },
    /// git refuses the repository because another user owns it.
    Ownership {
        /// Where.
        path: PathBuf,
    },
    /// A repository without a work tree.
    Bare {
        /// The repository.
        path: PathBuf,
    },
    /// A `.git` that git cannot read, or a place inside a `.git` folder.
    Broken {
        /// Where.
        path: PathBuf,
        /// What git said.
        what: String,
    },
    /// A folder we will not take as a workspace.
    FolderRefused {
        /// The folder.
        path: PathBuf,
        /// Why, with the number that was exceeded and how to override it.
        why: String,
    },
    /// A git command failed.
    Git {
        /// The command, without our fixed options.
        command: String,
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A git command ran longer than its limit and was ended.
    Timeout {
        /// The command.
        command: String,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// A lock file of another git process is in the way.
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file system refused.
    Io {
        /// What we were doing.
        what: &'static str,
        /// To which path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A value that cannot be what it should be: an object id, a reference name, git output we do not understand.
    Unexpected {
        /// What, and where.
        what: String,
    },
}

impl LaneError {
    /// An [`LaneError::Io`], for `map_err`.
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LaneError {
        let path = path.into();
        move |source| LaneError::Io { what, path, source }
    }

    /// An [`LaneError::Unexpected`].
    pub(super) fn unexpected(what: impl Into<String>) -> LaneError {
        LaneError::Unexpected { what: what.into() }
    }
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaneError::GitMissing => {
                write!(f, "git not found: install git 2.38 or newer and see that it is on the PATH")
            }
            LaneError::GitTooOld { found } => write!(f, "git {found} is too old: install git 2.38 or newer"),
            LaneError::Ownership { path } => write!(
                f,
                "git refuses {0}: it belongs to another user; if you trust it, run: git config --global --add safe.directory {0}",
                path.display()
            ),
            LaneError::Bare { path } => {
                write!(f, "{} is a bare repository: start in one of its work trees (git worktree add)", path.display())
            }
            LaneError::Broken { path, what } => {
                write!(f, "git cannot use {}: {what}; start in the work tree of a healthy repository", path.display())
            }
            LaneError::FolderRefused { path, why } => {
                write!(f, "{} is not taken as a workspace: {why}", path.display())
            }
            LaneError::Git { command, code, stderr } => {
                let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
                write!(f, "git {command} ended with {code}: {}", stderr.trim_end())
            }
            LaneError::Timeout { command, limit_s } => {
                write!(
                    f,
                    "git {command} did not end within {limit_s} s and was stopped; is the disk or a filter hanging?"
                )
            }
            LaneError::Locked { path } => write!(
                f,
                "{} is locked by another git process; wait for it, or delete the file if none is running",
                path.display()
            ),
            LaneError::Io { what, path, source } => write!(f, "could not {what} {}: {source}", path.display()),
            LaneError::Unexpected { what } => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for LaneError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LaneError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
