//! What differs between an index and its work tree, in one git process. Reading only; what to do about it is
//! `snapshot`'s and `switch`'s.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{LaneError, Oid, Repo, path_of};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is new.
    Added,
    /// Its content or its executable bit changed.
    Modified,
    /// It is gone.
    Deleted,
    /// File, symbolic link or submodule became another of these.
    TypeChanged,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Relative to the work tree's root; not necessarily UTF-8.
    pub path: PathBuf,
    /// What happened to it.
    pub status: Status,
}

/// A tracked path whose file differs from the index.
#[derive(Debug)]
pub(super) struct Tracked {
    pub path: PathBuf,
    pub deleted: bool,
    /// For a submodule: whether its commit differs, and whether its content does.
    pub submodule: Option<(bool, bool)>,
}

/// One look at a work tree.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub head: Option<Oid>,
    /// Whether the index differs from HEAD anywhere, conflicts included.
    pub staged: bool,
    pub tracked: Vec<Tracked>,
    /// Neither tracked nor ignored; a nested repository ends with a slash.
    pub untracked: Vec<PathBuf>,
    /// Paths with an unfinished merge.
    pub unmerged: Vec<PathBuf>,
    /// Folders git could not list, with its words.
    pub unlisted: Vec<(PathBuf, String)>,
}

impl Repo {
    /// Compares a work tree with a private index (one process). The index file's stat data is refreshed.
    ///
    /// `trusted` work trees are the user's: there git may look into submodules, which runs git under *their*
    /// configuration. An agent can write a submodule's configuration in its lane, so there only its commit is compared.
    pub(super) fn scan(
        &self,
        git_dir: &Path,
        work_tree: &Path,
        index: &Path,
        trusted: bool,
    ) -> Result<Scan, LaneError> {
        let submodules = if trusted { "--ignore-submodules=none" } else { "--ignore-submodules=dirty" };
        let output = self
            .inner
            .git
            .call(["status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames"])
            .args([submodules, "--no-ahead-behind"])
            .git_dir(git_dir)
            .work_tree(work_tree)
            .index(index)
            .long()
            .checked()?;
        let mut scan = read_status(&output.stdout)?;
        // "warning: could not open directory 'x/': Permission denied"
        for line in output.stderr_text().lines() {
            let rest = line.strip_prefix("warning: could not open directory '");
            if let Some((path, why)) = rest.and_then(|rest| rest.split_once("': ")) {
                scan.unlisted.push((path.into(), why.to_owned()));
            }
        }
        Ok(scan)
    }
}

fn read_status(bytes: &[u8]) -> Result<Scan, LaneError> {
    let mut scan = Scan::default();
    let odd = |entry: &[u8]| LaneError::unexpected(format!("git status printed {:?}", String::from_utf8_lossy(entry)));
    for entry in super::fields(bytes) {
        // Fields before the path: 8 for an ordinary entry, 10 for an unmerged one.
        let nth = |count: usize| entry.splitn(count + 1, |b| *b == b' ').nth(count).map(path_of);
        match entry[0] {
            b'#' => {
                let text = String::from_utf8_lossy(entry);
                if let Some(oid) = text.strip_prefix("# branch.oid ") {
                    scan.head = if oid == "(initial)" { None } else { Some(oid.parse()?) };
                }
            }
            b'?' => scan.untracked.push(path_of(entry.get(2..).ok_or_else(|| odd(entry))?)),
            b'1' => {
                let (Some([x, y]), Some(sub), Some(path)) = (entry.get(2..4), entry.get(5..9), nth(8)) else {
                    return Err(odd(entry));
                };
                scan.staged |= *x != b'.';
                if *y != b'.' {
                    let submodule = (sub[0] == b'S').then(|| (sub[1] == b'C', sub[2] == b'M' || sub[3] == b'U'));
                    scan.tracked.push(Tracked { path, deleted: *y == b'D', submodule });
                }
            }
            b'u' => {
                let path = nth(10).ok_or_else(|| odd(entry))?;
                scan.staged = true;
                scan.unmerged.push(path.clone());
                scan.tracked.push(Tracked { path, deleted: false, submodule: None });
            }
            _ => return Err(odd(entry)),
        }
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_is_read() {
        let oid = "1".repeat(40);
        let text = format!(
            "# branch.oid {oid}\0# branch.head main\0\
             1 .M N... 100644 100644 100644 {oid} {oid} a b\0\
             1 M. N... 100644 100644 100644 {oid} {oid} staged only\0\
             1 .D N... 100644 100644 000000 {oid} {oid} gone\0\
             1 .M SCM. 160000 160000 160000 {oid} {oid} sub\0\
             u UU N... 100644 100644 100644 100644 {oid} {oid} {oid} torn apart\0\
             ? new file\0? nest/\0"
        );
        let scan = read_status(text.as_bytes()).unwrap();
        assert_eq!(scan.head.unwrap().as_str(), oid);
        assert!(scan.staged);
        let seen: Vec<_> = scan.tracked.iter().map(|t| (t.path.to_str().unwrap(), t.deleted, t.submodule)).collect();
        assert_eq!(
            seen,
            [
                ("a b", false, None),
                ("gone", true, None),
                ("sub", false, Some((true, true))),
                ("torn apart", false, None)
            ]
        );
        assert_eq!(scan.unmerged, [PathBuf::from("torn apart")]);
        assert_eq!(scan.untracked, [PathBuf::from("new file"), PathBuf::from("nest/")]);
        assert!(read_status(b"2 what").is_err());
    }
}
