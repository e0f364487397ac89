//! The git side: isolated checkouts, snapshots, landing, bringing a result home. A synchronous library over the git
//! command line; the daemon calls it on blocking threads. It decides nothing and stores nothing but git objects,
//! references below `refs/orchestrator/`, the result branch, and the lanes themselves.
//!
//! Invariant: the user's checkout, index, stash, HEAD, branches and configuration are never written, except that
//! [`Repo::apply`] and [`Repo::undo`] write files of the checkout (never its index) and [`Repo::publish_branch`] sets the
//! result branch. Invariant: every call may be repeated after a kill at any point and then ends as if it ran once.
//!
//! | file | subject | git processes of a call |
//! |---|---|---|
//! | `git` | running git in a clean environment with a deadline | |
//! | `repo` | finding the repository; references | `discover` 2, `head` 2, `advance` 1, `read_ref` 1 |
//! | `shadow` | a plain folder: a bare repository in our state folder | `discover` 3 the first time, 2 after |
//! | `status` | what differs in a work tree | 1 |
//! | `choose` | which files a snapshot takes, and which it names as left out | 0 |
//! | `snapshot` | a work tree as a commit | base: clean 2, dirty 5; lane: unchanged 2, changed 6; `dirty_paths` 1 |
//! | `pool` | lanes: make, reset, restore, remove | make 2, reset or restore 2, remove 1 |
//! | `prepare` | ignored dependency stores and submodules of a new lane | 1, + 1 with `.worktreeinclude`; + 1 for each from another lane |
//! | `virtualenv` | a copied Python environment | 0 |
//! | `land` | merge in memory; the result branch | merge 2, publish 2 |
//! | `diff` | what a result changed | 1; `texts` 2 |
//! | `switch` | moves named paths of a checkout from one tree to another, all or nothing | 5 |
//! | `disk` | what stands at a path of a checkout | 0 |
//! | `apply` | a result enters the checkout, and leaves it again | apply 15, undo 5 |
//!
//! Trees of commits are remembered in memory; the first look at a commit made elsewhere costs one process more. The
//! numbers are held by `tests/speed.rs`.

mod apply;
mod choose;
mod diff;
mod disk;
mod error;
mod git;
mod land;
mod pool;
mod prepare;
mod repo;
mod shadow;
mod snapshot;
mod status;
mod switch;
#[cfg(test)]
mod tests;
mod virtualenv;

use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

pub use apply::{Applied, ApplyPlan, Placed, UndoPlan, Undone};
pub use choose::{Skipped, SnapshotOptions, WhySkipped};
pub use diff::{Diff, FileChange, Texts};
pub use error::LaneError;
pub use git::Git;
pub use land::Merge;
pub use pool::{PreparedLane, linked, nanos, used_at};
pub use prepare::Prepare;
pub use repo::{Found, Head, Repo, discover};
pub use shadow::FolderLimits;
pub use snapshot::{LaneSnapshot, Snapshot};
pub use status::{Change, Status};
pub use switch::{Blocked, WhyBlocked};

/// The name of a git object: 40 or 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

impl Oid {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = LaneError;
    fn from_str(text: &str) -> Result<Oid, LaneError> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits && matches!(text.len(), 40 | 64) {
            Ok(Oid(text.to_owned()))
        } else {
            let shown: String = text.chars().take(80).collect();
            Err(LaneError::unexpected(format!("{shown:?} is not an object id of 40 or 64 hexadecimal digits")))
        }
    }
}

impl TryFrom<String> for Oid {
    type Error = LaneError;
    fn try_from(text: String) -> Result<Oid, LaneError> {
        text.parse()
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> String {
        oid.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path from git's output: bytes, not necessarily UTF-8.
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The fields of NUL-separated output.
fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == 0).filter(|field| !field.is_empty())
}

/// Paths as git reads them from standard input with `-z`.
fn nul_joined<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in paths {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    bytes
}
