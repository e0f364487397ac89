//! Lanes: isolated checkouts that are made once and reset for each next use. Not for which lane a task gets, nor for how
//! many there are; the daemon decides that.
//!
//! A lane is a registered, detached worktree, so that git works in it for the agent. We ourselves do not trust what the
//! agent can write there: its `.git` file is checked against the registration before each use, and our own commands run
//! with the git directory of the user's checkout and a private index beside the lane, so neither flags in the lane's
//! index (`assume-unchanged`) nor its configuration reach them, and git never walks up into a parent repository.
//!
//! Beside the lanes lies `.meta/`: `L-2.index` the private index, `L-2.gitdir` the git directory whose sparse patterns
//! hold, `L-2.ready` once the stores were seeded, `L-2.setup` what was run to make it ready, `L-2.links` the linked
//! stores, `L-2.used` when somebody was last given it, `L-2.lock` held while its files are written or copied. `.trash/` holds what is to be deleted.

use std::{
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::Duration,
};

use super::{LaneError, Oid, Prepare, Repo, Skipped, fields, git::Output, path_of, snapshot::copy_index};
use crate::ids::LaneId;

/// A lane that is ready for work.
#[derive(Debug, Clone)]
pub struct PreparedLane {
    /// Its root.
    pub path: PathBuf,
    /// Whether it was made now; false when one was reset.
    pub made: bool,
    /// Stores and submodules that are not in the lane, and why.
    pub missing: Vec<Skipped>,
    /// Tells this making of the lane from an earlier one under the same number.
    pub number: u64,
}

/// What a killed or careless git leaves in a worktree's directory: locks, and operations that were under way.
const LEFTOVERS: &[&str] = &[
    "index.lock",
    "HEAD.lock",
    "ORIG_HEAD.lock",
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "MERGE_AUTOSTASH",
    "SQUASH_MSG",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "AUTO_MERGE",
    "BISECT_LOG",
    "BISECT_START",
    "BISECT_TERMS",
    "BISECT_EXPECTED_REV",
    "BISECT_NAMES",
    "BISECT_RUN",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
];

/// How long a lane's lock is waited for: a minute, since a git left behind by a kill ends with its one command.
const LOCK_TRIES_MAX: u32 = 6000;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How often a git that stumbled over a worktree in the making is run again.
const WORKTREE_TRIES_MAX: u32 = 50;

impl Repo {
    /// A lane at `at`: the existing one reset (2 processes), or a new one (2, and 1 or 2 for its stores). Ignored files
    /// of an existing lane stay, which is what keeps builds warm. A lane that is damaged, or a folder in its place that
    /// is no worktree of this repository, is moved to the trash and made anew.
    pub fn prepare_lane(
        &self,
        lane: LaneId,
        lanes_dir: &Path,
        at: &Oid,
        checkout: &Path,
        prepare: &Prepare,
    ) -> Result<PreparedLane, LaneError> {
        let meta_dir = lanes_dir.join(".meta");
        fs::create_dir_all(&meta_dir).map_err(LaneError::io("create", &meta_dir))?;
        let lanes_dir = fs::canonicalize(lanes_dir).map_err(LaneError::io("find", lanes_dir))?;
        let path = lanes_dir.join(lane.to_string());
        let lock = lock(&path)?;
        let git_dir = self.git_dir_of(checkout)?;
        let kept = meta(&path, "gitdir")?;
        if fs::read(&kept).ok().as_deref() != Some(git_dir.as_os_str().as_bytes()) {
            fs::write(&kept, git_dir.as_os_str().as_bytes()).map_err(LaneError::io("write", &kept))?;
        }
        let made = match self.registered(&path).map(|_| self.reset(&path, at, &lock)) {
            Some(Ok(())) => false,
            // A new lane would not fare better, and this one is worth keeping.
            Some(Err(error)) if is_passing(&error) => return Err(error),
            Some(Err(_)) | None => {
                self.make(&path, &git_dir, at, &lock)?;
                true
            }
        };
        let used = meta(&path, "used")?;
        fs::write(&used, nanos().to_string()).map_err(LaneError::io("write", &used))?;
        let ready = meta(&path, "ready")?;
        let mut missing = Vec::new();
        if !ready.exists() {
            missing.extend(self.seed(checkout, &git_dir, &path, prepare)?);
            fs::write(&ready, nanos().to_string()).map_err(LaneError::io("write", &ready))?;
        }
        self.warm(&lanes_dir, &path, prepare)?;
        let number =
            fs::read_to_string(&ready).ok().and_then(|text| text.parse::<u128>().ok()).unwrap_or_default() as u64;
        if prepare.submodules && path.join(".gitmodules").is_file() {
            missing.extend(self.fill_submodules(&path, at)?);
        }
        Ok(PreparedLane { path, made, missing, number })
    }

    /// Whether this setup was run in a lane since it was made. `setup` is compared as it is.
    pub fn is_set_up(lane_path: &Path, setup: &str) -> bool {
        meta(lane_path, "setup").ok().and_then(|path| fs::read_to_string(path).ok()).as_deref() == Some(setup)
    }

    /// Remembers that a setup was run in a lane.
    pub fn mark_set_up(lane_path: &Path, setup: &str) -> Result<(), LaneError> {
        let path = meta(lane_path, "setup")?;
        fs::write(&path, setup).map_err(LaneError::io("write", path))
    }

    /// Makes a lane's tree equal `commit` again: tracked files restored, extra files removed, ignored files kept
    /// (2 processes). Take a snapshot first if what is there may still be wanted.
    pub fn restore_lane(&self, lane_path: &Path, commit: &Oid) -> Result<(), LaneError> {
        if self.registered(lane_path).is_none() {
            return Err(not_a_lane(lane_path));
        }
        self.reset(lane_path, commit, &lock(lane_path)?)
    }

    /// Takes a lane out of the pool: its folder goes to the trash, its registration away. Fast; deleting is
    /// [`Repo::empty_trash`].
    pub fn remove_lane(&self, lane: LaneId, lanes_dir: &Path) -> Result<(), LaneError> {
        let Ok(lanes_dir) = fs::canonicalize(lanes_dir) else { return Ok(()) };
        let path = lanes_dir.join(lane.to_string());
        discard(&path)?;
        self.unregister(&path)?;
        for what in ["index", "index.lock", "gitdir", "ready", "links", "setup", "used"] {
            let _ = fs::remove_file(meta(&path, what)?);
        }
        Ok(())
    }

    /// Takes a lane out of the pool for its room, unless somebody was given it since `asked_at`. Whether it went.
    pub fn remove_idle(&self, lane: LaneId, lanes_dir: &Path, asked_at: u128) -> Result<bool, LaneError> {
        let path = fs::canonicalize(lanes_dir).map_err(LaneError::io("find", lanes_dir))?.join(lane.to_string());
        if !path.exists() {
            return Ok(false);
        }
        let _lock = lock(&path)?;
        if used_at(&path) >= asked_at {
            return Ok(false);
        }
        self.remove_lane(lane, lanes_dir)?;
        Ok(true)
    }

    /// The lanes that exist on disk, in order.
    pub fn lanes(lanes_dir: &Path) -> Vec<LaneId> {
        let entries = fs::read_dir(lanes_dir).into_iter().flatten().flatten();
        let mut lanes: Vec<LaneId> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        lanes.sort();
        lanes
    }

    /// Deletes what earlier calls moved to the trash. May take minutes; for a thread of its own. Needs no repository.
    pub fn empty_trash(lanes_dir: &Path) -> Result<(), LaneError> {
        let trash = lanes_dir.join(".trash");
        let entries = match fs::read_dir(&trash) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(LaneError::Io { what: "list", path: trash, source }),
        };
        for entry in entries.flatten() {
            delete(&entry.path())?;
        }
        Ok(())
    }

    /// Where our commands on a lane work: the git directory and the private index.
    pub(super) fn lane_index(&self, lane_path: &Path) -> Result<(PathBuf, PathBuf), LaneError> {
        if self.registered(lane_path).is_none() {
            return Err(not_a_lane(lane_path));
        }
        let index = meta(lane_path, "index")?;
        remove(&index.with_extension("index.lock"))?;
        let kept = fs::read(meta(lane_path, "gitdir")?).map(|bytes| path_of(&bytes)).unwrap_or_default();
        let ours = kept.starts_with(&self.inner.common) && kept.join("HEAD").exists();
        Ok((if ours { kept } else { self.inner.common.clone() }, index))
    }

    /// The worktree's own directory, if the folder is a registered worktree of this repository: each of the two names
    /// the other.
    fn registered(&self, path: &Path) -> Option<PathBuf> {
        // A link in the lane's place would lead our `clean` to wherever it points.
        if !path.symlink_metadata().ok()?.is_dir() {
            return None;
        }
        let named = fs::read(path.join(".git")).ok()?;
        let admin = path.join(path_of(named.strip_prefix(b"gitdir: ")?.trim_ascii_end()));
        let admin = fs::canonicalize(admin).ok()?;
        let ours = admin.parent() == Some(&self.inner.common.join("worktrees"));
        let back = admin.join(path_of(fs::read(admin.join("gitdir")).ok()?.trim_ascii_end()));
        let same = fs::canonicalize(back).ok()? == fs::canonicalize(path).ok()?.join(".git");
        (ours && same && admin.join("HEAD").exists() && admin.join("commondir").exists()).then_some(admin)
    }

    fn make(&self, path: &Path, git_dir: &Path, at: &Oid, lock: &File) -> Result<(), LaneError> {
        discard(path)?;
        for what in ["index", "ready", "links", "setup"] {
            remove(&meta(path, what)?)?;
        }
        // Twice --force: a registration whose folder is gone, even a locked one, is taken over.
        self.among_worktrees(|| {
            self.inner
                .git
                .call(["worktree", "add", "--force", "--force", "--detach", "--no-checkout"])
                .arg(path)
                .arg(at.as_str())
                .git_dir(git_dir)
                .long()
                .holding(lock)?
                .checked()
        })?;
        self.reset(path, at, lock)
    }

    /// Invariant: repeating this after a kill at any point gives the same tree. git writes the private index last, so
    /// files that an interrupted reset wrote are seen as changed and written again.
    fn reset(&self, path: &Path, at: &Oid, lock: &File) -> Result<(), LaneError> {
        let admin = self.registered(path).ok_or_else(|| not_a_lane(path))?;
        for name in LEFTOVERS {
            remove(&admin.join(name))?;
        }
        let (git_dir, index) = self.lane_index(path)?;
        let call = |words: &[&str]| self.inner.git.call(words).git_dir(&git_dir).work_tree(path).index(&index).long();
        let only_git = !index.exists() && fs::read_dir(path).is_ok_and(|entries| entries.count() <= 1);
        if call(&["read-tree", "--reset", "-u", at.as_str()]).holding(lock)?.checked().is_err() {
            // A damaged index, perhaps: from an empty one git writes every file again.
            remove(&index)?;
            call(&["read-tree", "--reset", "-u", at.as_str()]).holding(lock)?.checked()?;
        }
        if !only_git {
            let mut clean = call(&["clean", "-ffdq"]);
            for link in links(path) {
                clean = clean.arg("-e").arg(format!("/{link}"));
            }
            if clean.holding(lock)?.checked().is_err() {
                // Folders that a tool made read-only, most likely; git does not change permissions.
                let extra = call(&["ls-files", "-z", "--others", "--exclude-standard", "--directory"]).checked()?;
                let links = links(path);
                for own in fields(&extra.stdout).map(path_of) {
                    if !links.iter().any(|link| own == Path::new(link)) {
                        remove(&path.join(own.components().collect::<PathBuf>()))?;
                    }
                }
            }
        }
        self.write_head(&admin, at)?;
        let theirs = admin.join("index");
        let new = admin.join("index.orchestrator");
        copy_index(&index, &new)?;
        fs::rename(&new, &theirs).map_err(LaneError::io("write", theirs))
    }

    /// Detaches the lane's HEAD at a commit, without a process where references are files.
    fn write_head(&self, admin: &Path, at: &Oid) -> Result<(), LaneError> {
        if self.inner.common.join("reftable").exists() {
            self.inner.git.call(["update-ref", "--no-deref", "HEAD", at.as_str()]).git_dir(admin).checked()?;
            return Ok(());
        }
        let (head, new) = (admin.join("HEAD"), admin.join("HEAD.orchestrator"));
        fs::write(&new, format!("{at}\n")).map_err(LaneError::io("write", &new))?;
        fs::rename(&new, &head).map_err(LaneError::io("write", head))
    }

    /// Takes away the registration of a worktree whose folder is gone. Not `git worktree prune`, which would also
    /// forget the user's worktrees on disks that are not mounted now.
    fn unregister(&self, path: &Path) -> Result<(), LaneError> {
        let worktrees = self.inner.common.join("worktrees");
        let wanted = path.join(".git");
        for entry in fs::read_dir(&worktrees).into_iter().flatten().flatten() {
            let named = fs::read(entry.path().join("gitdir")).unwrap_or_default();
            if entry.path().join(path_of(named.trim_ascii_end())) == wanted && !path.exists() {
                self.among_worktrees(|| {
                    self.bare_call(["worktree", "remove", "--force", "--force"]).arg(path).checked()
                })?;
            }
        }
        Ok(())
    }
}

impl Repo {
    /// Runs a git command that reads every worktree's registration. It fails over one that is just being made: ours
    /// are made one at a time, and for somebody else's it is tried again.
    pub(super) fn among_worktrees(&self, run: impl Fn() -> Result<Output, LaneError>) -> Result<Output, LaneError> {
        let _alone = self.inner.worktrees.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = 0;
        loop {
            match run() {
                Err(LaneError::Git { stderr, .. }) if stderr.contains("commondir") && tries < WORKTREE_TRIES_MAX => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                other => return other,
            }
        }
    }
}

/// Trouble that is not the lane's: a full disk, a hanging one, no git.
fn is_passing(error: &LaneError) -> bool {
    match error {
        LaneError::Git { stderr, .. } => {
            ["No space left", "Disk quota", "Too many open files", "bad object", "not a tree object"]
                .iter()
                .any(|sign| stderr.contains(sign))
        }
        LaneError::Timeout { .. } | LaneError::GitMissing => true,
        LaneError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
        _ => false,
    }
}

fn not_a_lane(path: &Path) -> LaneError {
    LaneError::unexpected(format!("{} is not a lane of this repository any more; prepare it anew", path.display()))
}

/// Takes a lane for writing to its files. Free at once, except right after a kill: the git processes of the killed daemon
/// share its lock, and two of them writing one work tree would mix two commits.
pub(super) fn lock(lane_path: &Path) -> Result<File, LaneError> {
    let path = meta(lane_path, "lock")?;
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(LaneError::io("open", &path))?;
    for _ in 0..LOCK_TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(source)) => return Err(LaneError::Io { what: "lock", path, source }),
        }
    }
    Err(LaneError::Locked { path })
}

/// A file of ours about a lane, beside it and out of the agent's reach.
pub(super) fn meta(lane_path: &Path, what: &str) -> Result<PathBuf, LaneError> {
    match (lane_path.parent(), lane_path.file_name()) {
        (Some(lanes_dir), Some(name)) => Ok(lanes_dir.join(".meta").join(format!("{}.{what}", name.to_string_lossy()))),
        _ => Err(not_a_lane(lane_path)),
    }
}

/// When a lane was last given to somebody, nanoseconds of the clock.
pub fn used_at(lane_path: &Path) -> u128 {
    let text = meta(lane_path, "used").ok().and_then(|path| fs::read_to_string(path).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The clock, in nanoseconds.
pub fn nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// The stores that are links into the checkout, one per line, relative.
pub(super) fn links(lane_path: &Path) -> Vec<String> {
    let text = meta(lane_path, "links").ok().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The stores of the checkout that a lane shares: where its links lead.
pub fn linked(lane_path: &Path) -> Vec<PathBuf> {
    links(lane_path).into_iter().filter_map(|link| lane_path.join(link).canonicalize().ok()).collect()
}

/// Moves whatever is at a path to the trash beside it; nothing there is fine.
pub(super) fn discard(path: &Path) -> Result<(), LaneError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(not_a_lane(path)) };
    let trash = folder.join(".trash");
    fs::create_dir_all(&trash).map_err(LaneError::io("create", &trash))?;
    let to = trash.join(format!("{}-{}", name.to_string_lossy(), nanos()));
    fs::rename(path, &to).map_err(LaneError::io("move to the trash", path))
}

/// Removes a file or folder; nothing there is fine.
pub(super) fn remove(path: &Path) -> Result<(), LaneError> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => delete(path),
        Ok(_) => fs::remove_file(path).map_err(LaneError::io("delete", path)),
        Err(_) => Ok(()),
    }
}

/// Deletes a tree, also where a tool made its folders read-only (Go's module cache does).
fn delete(path: &Path) -> Result<(), LaneError> {
    use std::os::unix::fs::PermissionsExt;
    let is_dir = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if !is_dir(path) {
        return fs::remove_file(path).map_err(LaneError::io("delete", path));
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    let mut pending = vec![path.to_owned()];
    while let Some(folder) = pending.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        pending.extend(fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| is_dir(p)));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LaneError::Io { what: "delete", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
