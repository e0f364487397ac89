//! Finding the repository a folder belongs to, and its references. Not for work trees (`snapshot`, `pool`, `switch`).

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use sha2::{Digest, Sha256};

use super::{
    FolderLimits, Git, LaneError, Oid,
    git::{Call, failed},
    path_of, shadow,
};
use crate::ids::RunId;

/// One repository, for all its work trees. Cheap to clone; calls may run on several threads at once, except that one
/// lane, and one checkout's apply or undo, belong to one caller at a time.
#[derive(Debug, Clone)]
pub struct Repo {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub git: Git,
    /// The git common directory, canonical; the shadow repository for a plain folder.
    pub common: PathBuf,
    /// The plain folder, where the repository is our shadow.
    pub folder: Option<PathBuf>,
    /// Our own folder for private indexes and staging; never inside a work tree.
    pub scratch: PathBuf,
    /// Digits of an object id: 40 or 64.
    pub digits: usize,
    /// Trees of commits seen. Immutable facts, so never stale.
    pub trees: Mutex<HashMap<Oid, Oid>>,
    pub counter: AtomicU64,
    /// Held while git makes, removes or lists worktrees: it fails over one that another git is just making.
    pub worktrees: Mutex<()>,
}

/// What [`discover`] found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The repository.
    pub repo: Repo,
    /// The work tree's root that the start folder lies in, canonical.
    pub checkout: PathBuf,
    /// Stable id of the workspace: 16 hexadecimal digits of a hash of the canonical git common directory or folder.
    pub id: String,
    /// A short human name: the repository's folder name, of letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// Where a checkout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit; none before the first one.
    pub commit: Option<Oid>,
    /// The branch's short name; none when detached.
    pub branch: Option<String>,
    /// Whether HEAD names a commit instead of a branch.
    pub detached: bool,
}

/// Finds the repository of `start`, or takes a plain folder under a shadow repository below `state_dir`.
///
/// Refuses `/`, the home folder, and anything that would put our state folder inside a workspace.
pub fn discover(git: &Git, start: &Path, state_dir: &Path, limits: &FolderLimits) -> Result<Found, LaneError> {
    let mut start = fs::canonicalize(start).map_err(LaneError::io("find", start))?;
    if start.is_file() {
        start.pop();
    }
    fs::create_dir_all(state_dir).map_err(LaneError::io("create", state_dir))?;
    let state_dir = fs::canonicalize(state_dir).map_err(LaneError::io("find", state_dir))?;
    let output = git
        .call(["rev-parse", "--path-format=absolute", "--git-common-dir", "--is-bare-repository"])
        .args(["--is-inside-work-tree", "--show-object-format", "--show-toplevel"])
        .cwd(&start)
        .run()?;
    let lines: Vec<&[u8]> =
        output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout).split(|b| *b == b'\n').collect();
    let (checkout, common, digits, folder) = if output.status.success() {
        let [common, _, _, format, top] = lines[..] else {
            let what = "its path has a line break, or git answered in a form we do not know".to_owned();
            return Err(LaneError::Broken { path: start, what });
        };
        let canonical = |path: &[u8]| fs::canonicalize(path_of(path)).map_err(LaneError::io("find", path_of(path)));
        (canonical(top)?, canonical(common)?, if format == b"sha256" { 64 } else { 40 }, None)
    } else {
        let stderr = output.stderr_text();
        if stderr.contains("dubious ownership") {
            return Err(LaneError::Ownership { path: start });
        }
        if lines.get(1) == Some(&&b"true"[..]) || stderr.contains("cannot use bare repository") {
            return Err(LaneError::Bare { path: start });
        }
        if !stderr.contains("not a git repository") || start.join(".git").symlink_metadata().is_ok_and(|m| !m.is_dir())
        {
            let said = stderr.trim().trim_start_matches("fatal: ");
            return Err(LaneError::Broken { path: start, what: said.to_owned() });
        }
        (start.clone(), PathBuf::new(), 40, Some(start.clone()))
    };
    shadow::refuse_place(&checkout, &state_dir, folder.is_none(), limits)?;
    let id = id_of(if folder.is_some() { &checkout } else { &common });
    let scratch = state_dir.join("scratch").join(&id);
    fs::create_dir_all(&scratch).map_err(LaneError::io("create", &scratch))?;
    let common = match &folder {
        Some(folder) => shadow::open(git, folder, &state_dir, &id, limits)?,
        None => common,
    };
    let name = name_of(folder.as_deref().unwrap_or(&common));
    let inner = Inner {
        git: git.clone(),
        common,
        folder,
        scratch,
        digits,
        trees: Mutex::default(),
        counter: AtomicU64::default(),
        worktrees: Mutex::default(),
    };
    Ok(Found { repo: Repo { inner: Arc::new(inner) }, checkout, id, name })
}

fn id_of(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn name_of(path: &Path) -> String {
    let own = path.file_name().unwrap_or_default();
    let named =
        if own == ".git" || own == ".bare" { path.parent().and_then(Path::file_name).unwrap_or_default() } else { own };
    let text = named.to_string_lossy();
    let text = text.strip_suffix(".git").unwrap_or(&text);
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = text.chars().map(plain).take(40).collect();
    if name.is_empty() { "workspace".to_owned() } else { name }
}

impl Repo {
    /// The git directory that all work trees share, canonical.
    pub fn common_dir(&self) -> &Path {
        &self.inner.common
    }

    /// Whether this is our shadow of a plain folder.
    pub fn is_shadow(&self) -> bool {
        self.inner.folder.is_some()
    }

    /// A command on the repository's objects and references, without a work tree.
    pub(super) fn bare_call<const N: usize>(&self, args: [&str; N]) -> Call<'_> {
        self.inner.git.call(args).git_dir(&self.inner.common)
    }

    /// The git directory of one of this repository's work trees, read from the files git keeps for it.
    pub(super) fn git_dir_of(&self, checkout: &Path) -> Result<PathBuf, LaneError> {
        if self.inner.folder.is_some() {
            return Ok(self.inner.common.clone());
        }
        let entry = checkout.join(".git");
        let meta = entry.symlink_metadata().map_err(LaneError::io("find", &entry))?;
        let git_dir = if meta.is_file() {
            let text = fs::read(&entry).map_err(LaneError::io("read", &entry))?;
            let named = text.strip_prefix(b"gitdir: ").unwrap_or(&text);
            checkout.join(path_of(named.trim_ascii_end()))
        } else {
            entry
        };
        let git_dir = fs::canonicalize(&git_dir).map_err(LaneError::io("find", &git_dir))?;
        let common = match fs::read(git_dir.join("commondir")) {
            Ok(text) => fs::canonicalize(git_dir.join(path_of(text.trim_ascii_end()))).unwrap_or_default(),
            Err(_) => git_dir.clone(),
        };
        if common == self.inner.common {
            Ok(git_dir)
        } else {
            let what = format!("it is no longer a work tree of {}", self.inner.common.display());
            Err(LaneError::Broken { path: checkout.to_owned(), what })
        }
    }

    /// Where the checkout stands now.
    pub fn head(&self, checkout: &Path) -> Result<Head, LaneError> {
        let git_dir = self.git_dir_of(checkout)?;
        let call = |args: [&str; 4]| self.inner.git.call(args).git_dir(&git_dir).run();
        let branch = call(["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        let commit = call(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(Head {
            commit: if commit.status.success() { Some(text(&commit.stdout).parse()?) } else { None },
            branch: (branch.status.success() && !self.is_shadow()).then(|| text(&branch.stdout)),
            detached: !branch.status.success(),
        })
    }

    /// The tree of a commit.
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid, LaneError> {
        if let Some(tree) = self.trees().get(commit) {
            return Ok(tree.clone());
        }
        let tree: Oid = self.bare_call(["rev-parse", "--verify", &format!("{commit}^{{tree}}")]).line()?.parse()?;
        self.remember(commit, &tree);
        Ok(tree)
    }

    fn trees(&self) -> std::sync::MutexGuard<'_, HashMap<Oid, Oid>> {
        self.inner.trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn remember(&self, commit: &Oid, tree: &Oid) {
        let mut trees = self.trees();
        if trees.len() >= 10_000 {
            trees.clear();
        }
        trees.insert(commit.clone(), tree.clone());
    }

    /// Writes a commit object; no reference moves.
    pub(super) fn commit_tree(&self, tree: &Oid, parents: &[&Oid], message: &str) -> Result<Oid, LaneError> {
        let mut call = self.bare_call(["commit-tree", tree.as_str()]);
        for parent in parents {
            call = call.arg("-p").arg(parent.as_str());
        }
        let commit: Oid = call.input(with_line_end(message)).line()?.parse()?;
        self.remember(&commit, tree);
        Ok(commit)
    }

    /// The commit a reference names, if it exists.
    pub fn read_ref(&self, refname: &str) -> Result<Option<Oid>, LaneError> {
        let output = self.bare_call(["rev-parse", "--verify", "--quiet", &format!("{refname}^{{commit}}")]).run()?;
        match output.status.success() {
            true => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().parse()?)),
            false => Ok(None),
        }
    }

    /// Compare-and-swap of a reference: `old` none means it must not exist yet. False when it stands elsewhere;
    /// true also when it already stands at `new`, so that a repetition after a crash agrees with the first try.
    pub fn advance(&self, refname: &str, new: &Oid, old: Option<&Oid>) -> Result<bool, LaneError> {
        own_ref(refname)?;
        let zero = "0".repeat(self.inner.digits);
        for last in [false, true] {
            let call = self.bare_call(["update-ref", refname, new.as_str(), old.map_or(zero.as_str(), Oid::as_str)]);
            let (shown, output) = (call.shown(), call.run()?);
            if output.status.success() {
                return Ok(true);
            }
            let current = self.read_ref(refname)?;
            if current.as_ref() == Some(new) {
                return Ok(true);
            }
            if current.as_ref() != old {
                return Ok(false);
            }
            // It stands where expected, so something else failed: a lock left by a killed process of ours, or real trouble.
            if last || !self.break_own_lock(refname) {
                return Err(failed(shown, &output));
            }
        }
        unreachable!("the second round returns")
    }

    /// Sets one of our references, wherever it stood.
    pub(super) fn set_ref(&self, refname: &str, new: &Oid) -> Result<(), LaneError> {
        own_ref(refname)?;
        for last in [false, true] {
            let call = self.bare_call(["update-ref", refname, new.as_str()]);
            let (shown, output) = (call.shown(), call.run()?);
            if output.status.success() {
                return Ok(());
            }
            if last || !self.break_own_lock(refname) {
                return Err(failed(shown, &output));
            }
        }
        unreachable!("the second round returns")
    }

    /// Removes the lock file of one of *our* references when it is older than any of our commands may run on it.
    /// Nobody else writes below `refs/orchestrator/`, so an old lock can only be of a process that was killed.
    fn break_own_lock(&self, refname: &str) -> bool {
        let lock = self.inner.common.join(format!("{refname}.lock"));
        let age = lock.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age.as_secs() >= 10) && fs::remove_file(&lock).is_ok()
    }

    /// Deletes every reference below `prefix` (`refs/orchestrator/R-3/`); their objects go with git's own housekeeping.
    pub fn delete_refs(&self, prefix: &str) -> Result<(), LaneError> {
        own_ref(prefix)?;
        let list = self.bare_call(["for-each-ref", "--format=delete %(refname)", prefix]).checked()?;
        if !list.stdout.is_empty() {
            self.bare_call(["update-ref", "--stdin"]).input(list.stdout).checked()?;
        }
        Ok(())
    }

    /// The runs that have references here, in order (one process); housekeeping compares them with the journal's.
    pub fn runs(&self) -> Result<Vec<RunId>, LaneError> {
        let output =
            self.bare_call(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/orchestrator/"]).checked()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let runs: BTreeSet<RunId> = text.lines().filter_map(|name| name.split('/').next()?.parse().ok()).collect();
        Ok(runs.into_iter().collect())
    }

    /// A fresh path in our scratch folder; the name repeats for no other call of any process.
    pub(super) fn scratch_path(&self, what: &str) -> PathBuf {
        let count = self.inner.counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.inner.scratch.join(format!("{what}-{}-{}-{count}", std::process::id(), since.as_nanos()))
    }

    /// Deletes what calls that were killed left in the scratch folder. For the daemon's start, while no call runs.
    pub fn sweep(&self) -> Result<(), LaneError> {
        for entry in fs::read_dir(&self.inner.scratch).map_err(LaneError::io("list", &self.inner.scratch))?.flatten() {
            let path = entry.path();
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(LaneError::io("delete", path))?;
        }
        Ok(())
    }
}

fn own_ref(refname: &str) -> Result<(), LaneError> {
    let inside = refname.strip_prefix("refs/orchestrator/").is_some_and(|rest| rest.len() > 1);
    let plain = refname.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b)) && !refname.contains("..");
    if inside && plain {
        Ok(())
    } else {
        Err(LaneError::unexpected(format!("{refname:?} is not a reference below refs/orchestrator/")))
    }
}

pub(super) fn with_line_end(message: &str) -> Vec<u8> {
    let mut bytes = message.trim_end().replace('\0', " ").into_bytes();
    bytes.push(b'\n');
    bytes
}

/// A file of ours that goes when the value does.
#[derive(Debug)]
pub(super) struct Scratch(pub PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}
