//! What a new lane gets besides its tracked files: ignored dependency stores of the checkout, copied or linked, and
//! submodules that are on this machine already. Never anything from the network, never over a file that exists.

use std::{
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    LaneError, Oid, Repo, Skipped, WhySkipped, fields, path_of,
    pool::{discard, meta, remove},
    virtualenv::move_virtualenv,
};
use crate::ids::LaneId;

/// What a lane is given at its first preparation.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// Names of ignored folders that are copied (reflinked where the file system can), wherever they lie.
    pub copy: Vec<String>,
    /// Names of ignored folders that become symbolic links into the checkout. Shared, so writes go through.
    pub link: Vec<String>,
    /// Whether ignored files that `.worktreeinclude` names are copied too.
    pub worktree_include: bool,
    /// A store above this size is not copied, unless the file system reflinks.
    pub bytes_max: u64,
    /// A store with more files is not copied.
    pub files_max: u64,
    /// Whether submodules that are cloned in the repository already are filled in.
    pub submodules: bool,
    /// Lanes that nobody works in, as of `asked_at`: a store that the lane lacks is copied from one of these.
    pub idle: Vec<LaneId>,
    /// When that was so, nanoseconds of the clock.
    pub asked_at: u128,
}

impl Default for Prepare {
    fn default() -> Self {
        Prepare {
            copy: ["node_modules", "target", ".venv", "vendor"].map(str::to_owned).into(),
            link: Vec::new(),
            worktree_include: true,
            bytes_max: 4_000_000_000,
            files_max: 200_000,
            submodules: true,
            idle: Vec::new(),
            asked_at: 0,
        }
    }
}

impl Repo {
    /// Copies the stores. Each arrives whole by a rename, so a kill in the middle leaves none half-copied.
    pub(super) fn seed(
        &self,
        checkout: &Path,
        git_dir: &Path,
        lane: &Path,
        prepare: &Prepare,
    ) -> Result<Vec<Skipped>, LaneError> {
        let list = |pattern: &[&str]| -> Result<Vec<PathBuf>, LaneError> {
            let call = self.inner.git.call(["ls-files", "-z", "--others", "--ignored"]).git_dir(git_dir);
            let call = pattern.iter().fold(call.work_tree(checkout).long(), |call, word| call.arg(word));
            Ok(fields(&call.checked()?.stdout).map(path_of).collect())
        };
        let ignored = list(&["--exclude-standard", "--directory"])?;
        let named = |path: &Path, names: &[String]| {
            path.file_name().is_some_and(|own| names.iter().any(|name| own == name.as_str()))
        };
        let is_dir = |path: &Path| checkout.join(path).symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let mut copies: Vec<PathBuf> = Vec::new();
        let mut linked = Vec::new();
        for path in ignored.iter().filter(|path| is_dir(path)) {
            // Without the slash that git prints behind a folder.
            let path: PathBuf = path.components().collect();
            if named(&path, &prepare.link) {
                linked.push(path);
            } else if named(&path, &prepare.copy) {
                copies.push(path);
            }
        }
        let include = checkout.join(".worktreeinclude");
        if prepare.worktree_include && include.is_file() {
            let chosen = list(&["--exclude-from", &include.to_string_lossy()])?;
            let inside = |path: &PathBuf| ignored.iter().any(|ignored| path.starts_with(ignored));
            copies.extend(chosen.into_iter().filter(inside));
        }
        let seed = meta(lane, "seed")?;
        let mut missing = Vec::new();
        for path in copies {
            if !free(lane, &path) {
                continue;
            }
            remove(&seed)?;
            let copied = copy_tree(&checkout.join(&path), &seed, prepare).and_then(|()| {
                move_virtualenv(&seed, checkout, lane).map_err(|error| error.to_string())?;
                fs::create_dir_all(lane.join(&path).parent().unwrap_or(lane)).map_err(|error| error.to_string())?;
                fs::rename(&seed, lane.join(&path)).map_err(|error| error.to_string())
            });
            if let Err(why) = copied {
                missing.push(Skipped { path, why: WhySkipped::Unreadable(why) });
            }
        }
        remove(&seed)?;
        let mut lines = String::new();
        for path in linked.iter().filter(|path| free(lane, path)) {
            let Some(text) = path.to_str() else { continue };
            // Written before the link exists: a reset must not take it for an agent's file.
            lines.push_str(&format!("{text}\n"));
            let note = meta(lane, "links")?;
            fs::write(&note, &lines).map_err(LaneError::io("write", note))?;
            fs::create_dir_all(lane.join(path).parent().unwrap_or(lane))
                .map_err(LaneError::io("create", lane.join(path)))?;
            std::os::unix::fs::symlink(checkout.join(path), lane.join(path))
                .map_err(LaneError::io("link", lane.join(path)))?;
        }
        Ok(missing)
    }

    /// Copies stores that the lane lacks from lanes that have them and that nobody works in: what a build left there is
    /// as good here, and a lane that was made cold need not stay so. Only where git ignores them (one process, and only
    /// where a store was found).
    pub(super) fn warm(&self, lanes_dir: &Path, lane: &Path, prepare: &Prepare) -> Result<(), LaneError> {
        for name in &prepare.copy {
            let path = Path::new(name);
            if !free(lane, path) {
                continue;
            }
            let has = |other: &PathBuf| other.join(path).symlink_metadata().is_ok_and(|meta| meta.is_dir());
            let sources = prepare.idle.iter().map(|other| lanes_dir.join(other.to_string()));
            let Some(source) = sources.into_iter().find(|other| other != lane && has(other)) else { continue };
            if !self.ignores(lane, name)? {
                continue;
            }
            let _held = super::pool::lock(&source)?;
            if super::pool::used_at(&source) >= prepare.asked_at || !has(&source) {
                // Somebody was given it meanwhile.
                continue;
            }
            let seed = meta(lane, "seed")?;
            remove(&seed)?;
            let copied = copy_tree(&source.join(path), &seed, prepare).and_then(|()| {
                move_virtualenv(&seed, &source, lane).map_err(|error| error.to_string())?;
                fs::rename(&seed, lane.join(path)).map_err(|error| error.to_string())
            });
            if let Err(why) = copied {
                tracing::debug!(lane = %lane.display(), store = name, why, "a store was not copied from another lane");
            }
            remove(&seed)?;
        }
        Ok(())
    }

    /// Whether git would ignore a folder of this name at the lane's root.
    fn ignores(&self, lane: &Path, name: &str) -> Result<bool, LaneError> {
        let (git_dir, index) = self.lane_index(lane)?;
        let call = self.inner.git.call(["check-ignore", "--quiet", &format!("{name}/")]);
        Ok(call.git_dir(&git_dir).work_tree(lane).index(&index).run()?.code() == Some(0))
    }

    /// Fills submodules from the clones that the repository has in `modules/` (2 processes and 2 for each submodule).
    /// Always anew: an agent may have left anything in them, their configuration included.
    pub(super) fn fill_submodules(&self, lane: &Path, at: &Oid) -> Result<Vec<Skipped>, LaneError> {
        let (_, index) = self.lane_index(lane)?;
        let listed = self.bare_call(["ls-files", "-s", "-z"]).index(&index).checked()?;
        let mut wanted = Vec::new();
        for entry in fields(&listed.stdout).filter(|entry| entry.starts_with(b"160000 ")) {
            let mut halves = entry.splitn(2, |b| *b == b'\t');
            let (head, path) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            let oid: Oid = String::from_utf8_lossy(head).split(' ').nth(1).unwrap_or_default().parse()?;
            wanted.push((path_of(path), oid));
        }
        let mut missing = Vec::new();
        if wanted.is_empty() {
            return Ok(missing);
        }
        let names = self.submodule_names(at)?;
        for (path, oid) in wanted {
            let name = names.iter().find(|(own, _)| *own == path).map(|(_, name)| name.as_str());
            if let Err(why) = self.fill_submodule(lane, &path, name, &oid) {
                missing.push(Skipped { path, why: WhySkipped::Unreadable(why) });
            }
        }
        Ok(missing)
    }

    fn submodule_names(&self, at: &Oid) -> Result<Vec<(PathBuf, String)>, LaneError> {
        let blob = format!("{at}:.gitmodules");
        let output =
            self.bare_call(["config", "-z", "--blob", &blob, "--get-regexp", r"^submodule\..*\.path$"]).run()?;
        let entries = fields(&output.stdout).filter_map(|entry| {
            let mut halves = entry.splitn(2, |b| *b == b'\n');
            let key = std::str::from_utf8(halves.next()?).ok()?;
            let name = key.strip_prefix("submodule.")?.strip_suffix(".path")?;
            Some((path_of(halves.next()?), name.to_owned()))
        });
        Ok(entries.collect())
    }

    fn fill_submodule(&self, lane: &Path, path: &Path, name: Option<&str>, oid: &Oid) -> Result<(), String> {
        let source = name
            .filter(|name| !name.split('/').any(|part| part.is_empty() || part == ".."))
            .map(|name| self.inner.common.join("modules").join(name))
            .filter(|source| source.join("HEAD").exists())
            .ok_or("the submodule is not cloned in this repository; run git submodule update --init there")?;
        let target = lane.join(path);
        let making = meta(lane, "submodule").map_err(|error| error.to_string())?;
        let made = || -> Result<(), LaneError> {
            discard(&making)?;
            let call = self.inner.git.call(["clone", "--quiet", "--local", "--no-checkout", "--template="]);
            call.arg(&source).arg(&making).long().checked()?;
            let call = self.inner.git.call(["checkout", "--quiet", "--force", "--detach", oid.as_str()]);
            call.git_dir(&making.join(".git")).work_tree(&making).long().checked()?;
            fs::create_dir_all(&target).map_err(LaneError::io("create", &target))?;
            remove(&target)?;
            fs::rename(&making, &target).map_err(LaneError::io("write", &target))
        };
        made().map_err(|error| error.to_string())
    }
}

/// Whether nothing stands at a path of the lane, and nothing but folders on the way there.
fn free(lane: &Path, path: &Path) -> bool {
    let mut place = lane.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        place.push(part);
        match place.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return false,
            Err(_) => return true,
        }
    }
    lane.join(path).symlink_metadata().is_err()
}

/// Copies a file or folder with times, modes and links, or says why not. Measured first, so a store that is too large
/// costs a walk and no space. Times are kept because build tools compare them.
fn copy_tree(from: &Path, to: &Path, prepare: &Prepare) -> Result<(), String> {
    let mut entries = Vec::new();
    let (mut files, mut bytes) = (0, 0);
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let meta = below(from, &path).symlink_metadata().map_err(|error| error.to_string())?;
        if meta.is_dir() {
            for entry in fs::read_dir(below(from, &path)).map_err(|error| error.to_string())?.flatten() {
                pending.push(path.join(entry.file_name()));
            }
        } else if !meta.is_file() && !meta.is_symlink() {
            continue;
        }
        files += 1;
        bytes += if meta.is_file() { meta.len() } else { 0 };
        if files > prepare.files_max {
            return Err(format!("the store has more than {} files", prepare.files_max));
        }
        entries.push((path, meta));
    }
    let reflinks = reflinks_between(from, &entries, to);
    if bytes > prepare.bytes_max && !reflinks {
        return Err(format!(
            "the store is {} MB large, the limit is {}",
            bytes / 1_000_000,
            prepare.bytes_max / 1_000_000
        ));
    }
    for (path, meta) in &entries {
        copy_entry(&below(from, path), meta, &below(to, path), reflinks)
            .map_err(|error| format!("{}: {error}", path.to_string_lossy()))?;
    }
    Ok(())
}

/// Joins; an empty path is the root itself, without the slash that `Path::join` would add behind a file's name.
fn below(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

fn copy_entry(from: &Path, meta: &fs::Metadata, to: &Path, reflinks: bool) -> io::Result<()> {
    if meta.is_dir() {
        return fs::create_dir_all(to);
    }
    if meta.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !(reflinks && reflink(from, to).is_ok()) {
        fs::copy(from, to)?;
    }
    // Opened for reading: changing times needs ownership, not write permission, and stores hold read-only files.
    File::open(to)?.set_times(fs::FileTimes::new().set_modified(meta.modified()?))?;
    fs::set_permissions(to, meta.permissions())
}

/// Tries one reflink on the first regular file; a file system either has them or not.
fn reflinks_between(from: &Path, entries: &[(PathBuf, fs::Metadata)], to: &Path) -> bool {
    let Some((path, _)) = entries.iter().find(|(_, meta)| meta.is_file() && meta.len() > 0) else { return false };
    let mut probe = to.as_os_str().as_bytes().to_vec();
    probe.extend_from_slice(b".probe");
    let probe = path_of(&probe);
    let _ = fs::remove_file(&probe);
    let can = reflink(&below(from, path), &probe).is_ok();
    let _ = fs::remove_file(&probe);
    can
}

/// Shares a file's blocks with a new file.
#[cfg(target_os = "linux")]
fn reflink(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (source, target) = (File::open(from)?, File::create(to)?);
    // SAFETY: FICLONE takes two open descriptors and touches no memory of ours.
    let done = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE as _, source.as_raw_fd()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// macOS: `fs::copy` clones by itself where the file system can.
#[cfg(not(target_os = "linux"))]
fn reflink(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
