//! Moves the paths that differ between two trees, in a checkout, from the one to the other: all of them or none.
//! Not for lanes (`pool` resets those whole), and never the index.
//!
//! Each path must be as in `from` (then it is written) or as in `to` already (then it is left); anything else is in the
//! way and stops everything before the first write. That one rule gives apply, undo and resuming after a crash: an
//! interrupted switch leaves every path as in one of the two trees. "As in" is judged by git, through its filters.
//!
//! New content is made in a staging folder by git, then renamed into place. Right before each rename the file's stat
//! data must equal that from before the check, so an edit that an editor saves meanwhile is noticed, not overwritten;
//! what was written until then is taken back.

use std::{
    collections::HashSet,
    fmt, fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    LaneError, Oid, Repo,
    diff::{Side, TreeChange},
    disk::{Look, holds_only, listed, look, put, remove_empty},
    fields, nul_joined, path_of,
    repo::Scratch,
};

const SUBMODULE: u32 = 0o160000;

/// A path that keeps a change from going in or out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocked {
    /// Relative to the checkout's root.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: WhyBlocked,
}

/// Why a path is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhyBlocked {
    /// The result and the checkout changed the same place.
    Conflict,
    /// The checkout's file is not as it should be: edited since, or while we worked.
    Edited,
    /// A file, link or folder that git does not have (ignored, left out of the snapshot) stands where one must be written.
    InTheWay,
    /// The checkout is in the middle of a merge of this file.
    Unmerged,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            WhyBlocked::Conflict => "changed differently here and in the result",
            WhyBlocked::Edited => "edited since",
            WhyBlocked::InTheWay => "something that git does not track stands there",
            WhyBlocked::Unmerged => "its merge is not finished here",
        };
        write!(f, "{}: {why}", self.path.display())
    }
}

/// The checkout compared with both trees. Nothing is written yet.
#[derive(Debug)]
pub(super) struct Compared {
    from: Oid,
    to: Oid,
    pending: Vec<(TreeChange, Look)>,
    /// Paths as in `to` already.
    pub done: Vec<PathBuf>,
    /// Paths in the way; while there are any, nothing may be written.
    pub blocked: Vec<Blocked>,
    /// Submodules whose commit differs; those are the user's to update.
    pub submodules: Vec<PathBuf>,
}

impl Compared {
    /// The paths that [`Repo::write`] will write.
    pub fn pending(&self) -> Vec<PathBuf> {
        self.pending.iter().map(|(change, _)| change.path.clone()).collect()
    }
}

impl Repo {
    /// Compares the checkout with both trees, path by path (3 processes, 5 where something differs from `from`).
    pub(super) fn compare(&self, checkout: &Path, from: &Oid, to: &Oid) -> Result<Compared, LaneError> {
        let (submodules, changes): (Vec<_>, Vec<_>) = self
            .tree_changes(from, to)?
            .into_iter()
            .partition(|change| [&change.old, &change.new].into_iter().flatten().any(|(mode, _)| *mode == SUBMODULE));
        let looks: Vec<Look> = changes.iter().map(|change| look(checkout, &change.path)).collect();
        let sides = |pick: fn(&TreeChange) -> &Side| changes.iter().map(move |change| (&change.path, pick(change)));
        let not_from = self.differing(checkout, sides(|change| &change.old))?;
        let at_from: Vec<bool> =
            changes.iter().zip(&looks).map(|(c, l)| is_at(&c.path, &c.old, l, &not_from)).collect();
        let mode_only = |change: &TreeChange| match (&change.old, &change.new) {
            (Some((_, old)), Some((_, new))) => old == new,
            _ => false,
        };
        let all_from = at_from.iter().all(|at| *at) && !changes.iter().any(mode_only);
        let not_to = if all_from { HashSet::new() } else { self.differing(checkout, sides(|change| &change.new))? };
        let mut compared = Compared {
            from: from.clone(),
            to: to.clone(),
            pending: Vec::new(),
            done: Vec::new(),
            blocked: Vec::new(),
            submodules: submodules.into_iter().map(|change| change.path).collect(),
        };
        for ((change, look), at_from) in changes.iter().zip(looks).zip(at_from) {
            let path = change.path.clone();
            // Where only the executable bit changes, git may be told not to look at it (`core.fileMode`).
            let mode_decides = match (&look, &change.new) {
                (Look::File(stat), Some((mode, _))) if mode_only(change) => {
                    (stat.mode & 0o100 != 0) == (*mode == 0o100755)
                }
                _ => true,
            };
            let vanished = change.new.is_none() && !listed(checkout, &path, &look);
            if vanished || (!all_from && is_at(&path, &change.new, &look, &not_to) && mode_decides) {
                compared.done.push(path);
            } else if at_from || (change.old.is_none() && folds(&changes, &look, checkout)) {
                compared.pending.push((change.clone(), look));
            } else {
                let why = if change.old.is_none() { WhyBlocked::InTheWay } else { WhyBlocked::Edited };
                compared.blocked.push(Blocked { path, why });
            }
        }
        let leaving: HashSet<&Path> =
            compared.pending.iter().filter(|(c, _)| c.new.is_none()).map(|(c, _)| c.path.as_path()).collect();
        for (change, look) in compared.pending.iter().filter(|(change, _)| change.new.is_some()) {
            let free = match look {
                Look::Behind(prefix) => leaving.contains(prefix.as_path()),
                Look::Folder => holds_only(checkout, &change.path, &leaving),
                Look::Absent | Look::File(_) => true,
            };
            if !free {
                compared.blocked.push(Blocked { path: change.path.clone(), why: WhyBlocked::InTheWay });
            }
        }
        Ok(compared)
    }

    /// Those of the given paths whose file in the checkout is not the given blob (2 processes). git judges, from an
    /// index of just these paths without stat data, so it reads each file, through its filters.
    fn differing<'a>(
        &self,
        checkout: &Path,
        sides: impl Iterator<Item = (&'a PathBuf, &'a Side)>,
    ) -> Result<HashSet<PathBuf>, LaneError> {
        let mut lines = Vec::new();
        for (path, side) in sides {
            if let Some((mode, oid)) = side {
                lines.extend_from_slice(format!("{mode:o} {oid}\t").as_bytes());
                lines.extend_from_slice(path.as_os_str().as_bytes());
                lines.push(0);
            }
        }
        if lines.is_empty() {
            return Ok(HashSet::new());
        }
        let git_dir = self.git_dir_of(checkout)?;
        let index = Scratch(self.scratch_path("index"));
        let call = |words: &[&str]| self.inner.git.call(["-c", "core.sparseCheckout=false"].iter().chain(words));
        call(&["update-index", "-z", "--index-info"]).git_dir(&git_dir).index(&index.0).input(lines).checked()?;
        let list = call(&["ls-files", "-z", "--modified", "--deleted"]);
        let output = list.git_dir(&git_dir).work_tree(checkout).index(&index.0).long().checked()?;
        Ok(fields(&output.stdout).map(path_of).collect())
    }

    /// Writes what [`Repo::compare`] found pending (2 processes). Empty: all done. Otherwise the paths that were edited
    /// meanwhile; then everything else is as before. `go_on` is asked before each path and is for tests: where it says
    /// no, we stop as if killed.
    pub(super) fn write(
        &self,
        checkout: &Path,
        compared: &Compared,
        staging: &Path,
        go_on: &mut dyn FnMut(&Path) -> bool,
    ) -> Result<Vec<Blocked>, LaneError> {
        if compared.pending.is_empty() {
            return Ok(Vec::new());
        }
        let staged = self.staged(staging)?;
        self.stage(checkout, compared, &staged.0)?;
        match place(checkout, compared, &staged.0, go_on) {
            Ok(()) => Ok(Vec::new()),
            Err(Stopped::Killed) => Err(LaneError::unexpected("stopped in the middle of writing, as a test asked")),
            Err(stopped) => {
                self.take_back(checkout, compared, staging)?;
                match stopped {
                    Stopped::Edited(path) => Ok(vec![Blocked { path, why: WhyBlocked::Edited }]),
                    Stopped::Io(error) => Err(error),
                    Stopped::Killed => unreachable!("handled above"),
                }
            }
        }
    }

    /// A staging folder of its own: a git left over from a killed call may still write into that call's.
    fn staged(&self, staging: &Path) -> Result<Scratch, LaneError> {
        let name = self.scratch_path("tree");
        let staged = Scratch(staging.join(name.file_name().unwrap_or_default()));
        fs::create_dir_all(&staged.0).map_err(LaneError::io("create", &staged.0))?;
        Ok(staged)
    }

    /// Checks the new content out into the staging folder, as git would write it in the checkout: with filters and line
    /// ends as the attributes of the *new* tree say.
    fn stage(&self, checkout: &Path, compared: &Compared, staged: &Path) -> Result<(), LaneError> {
        let wanted: Vec<PathBuf> =
            compared.pending.iter().filter(|(c, _)| c.new.is_some()).map(|(c, _)| c.path.clone()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let git_dir = self.git_dir_of(checkout)?;
        let index = Scratch(self.scratch_path("index"));
        let call = |words: &[&str]| {
            let call = self.inner.git.call(["-c", "core.sparseCheckout=false"].iter().chain(words));
            // The user's files, so large-file content comes in as their own git would bring it.
            call.git_dir(&git_dir).work_tree(staged).index(&index.0).env("GIT_LFS_SKIP_SMUDGE", "0").long()
        };
        call(&["read-tree", compared.to.as_str()]).checked()?;
        call(&["checkout-index", "--force", "-z", "--stdin"]).input(nul_joined(&wanted)).checked()?;
        Ok(())
    }

    /// After a stop in the middle: every path that we wrote goes back; one that was edited meanwhile stays as edited.
    fn take_back(&self, checkout: &Path, compared: &Compared, staging: &Path) -> Result<(), LaneError> {
        let mut back = self.compare(checkout, &compared.to, &compared.from)?;
        let ours: HashSet<PathBuf> = compared.pending().into_iter().collect();
        let blocked: HashSet<PathBuf> = back.blocked.drain(..).map(|blocked| blocked.path).collect();
        back.pending.retain(|(change, _)| ours.contains(&change.path) && !blocked.contains(&change.path));
        let staged = self.staged(staging)?;
        self.stage(checkout, &back, &staged.0)?;
        match place(checkout, &back, &staged.0, &mut |_| true) {
            Ok(()) => Ok(()),
            Err(Stopped::Io(error)) => Err(error),
            Err(Stopped::Edited(path)) => Err(LaneError::unexpected(format!(
                "{} changed while we were taking our changes back; undo the run to restore the rest",
                path.display()
            ))),
            Err(Stopped::Killed) => unreachable!("it always goes on"),
        }
    }
}

enum Stopped {
    Edited(PathBuf),
    Io(LaneError),
    Killed,
}

/// Deletions first, deepest first, so that folders make way for files and the other way round.
fn place(
    checkout: &Path,
    compared: &Compared,
    staged: &Path,
    go_on: &mut dyn FnMut(&Path) -> bool,
) -> Result<(), Stopped> {
    let (mut leaving, coming): (Vec<_>, Vec<_>) = compared.pending.iter().partition(|(change, _)| change.new.is_none());
    leaving.sort_by(|(a, _), (b, _)| b.path.cmp(&a.path));
    for (change, seen) in leaving {
        if !go_on(&change.path) {
            return Err(Stopped::Killed);
        }
        if look(checkout, &change.path) != *seen {
            return Err(Stopped::Edited(change.path.clone()));
        }
        let target = checkout.join(&change.path);
        fs::remove_file(&target).map_err(LaneError::io("delete", &target)).map_err(Stopped::Io)?;
        let mut folder = change.path.parent();
        while let Some(path) = folder.filter(|path| !path.as_os_str().is_empty()) {
            if fs::remove_dir(checkout.join(path)).is_err() {
                break;
            }
            folder = path.parent();
        }
    }
    for (change, seen) in coming {
        if !go_on(&change.path) {
            return Err(Stopped::Killed);
        }
        let now = look(checkout, &change.path);
        let made_way = now == Look::Absent && !matches!(seen, Look::File(_));
        let folded = matches!(seen, Look::File(_)) && change.old.is_none() && now == Look::Absent;
        if now == Look::Folder && *seen == Look::Folder {
            remove_empty(&checkout.join(&change.path));
            if look(checkout, &change.path) != Look::Absent {
                return Err(Stopped::Edited(change.path.clone()));
            }
        } else if now != *seen && !made_way && !folded {
            return Err(Stopped::Edited(change.path.clone()));
        }
        if matches!(now, Look::Behind(_)) {
            return Err(Stopped::Edited(change.path.clone()));
        }
        let (source, target) = (staged.join(&change.path), checkout.join(&change.path));
        put(&source, &target, seen).map_err(LaneError::io("write", &target)).map_err(Stopped::Io)?;
    }
    Ok(())
}

/// Whether a path is as one side of a change says.
fn is_at(path: &Path, side: &Side, look: &Look, differing: &HashSet<PathBuf>) -> bool {
    match (side, look) {
        (Some(_), Look::File(_)) => !differing.contains(path),
        (Some(_), _) => false,
        (None, Look::File(_)) => false,
        (None, _) => true,
    }
}

/// Where the file system folds case, a new name can show the file that this very change removes under its old name.
fn folds(changes: &[TreeChange], look: &Look, checkout: &Path) -> bool {
    let Look::File(stat) = look else { return false };
    changes.iter().filter(|change| change.new.is_none()).any(|change| {
        let meta = checkout.join(&change.path).symlink_metadata();
        meta.is_ok_and(|meta| (meta.dev(), meta.ino()) == (stat.dev, stat.ino) && meta.nlink() == 1)
    })
}
