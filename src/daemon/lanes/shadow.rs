//! A plain folder as a workspace: a bare repository in our state folder whose work tree is the folder. Nothing appears
//! in the folder. Also the refusals: places no workspace may be, folders too large to copy without being told to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Git, LaneError};

/// How large a folder without git may be, and whether `/` and the home folder are allowed.
#[derive(Debug, Clone)]
pub struct FolderLimits {
    /// Files counted before refusing.
    pub files_max: u64,
    /// Bytes counted before refusing.
    pub bytes_max: u64,
    /// The person said so: neither numbers nor the home folder are refused.
    pub allow_large: bool,
    /// How to say so, for messages.
    pub override_flag: &'static str,
    /// The home folder, if known.
    pub home: Option<PathBuf>,
}

impl Default for FolderLimits {
    fn default() -> Self {
        FolderLimits {
            files_max: 50_000,
            bytes_max: 2_000_000_000,
            allow_large: false,
            override_flag: "--allow-large-folder",
            home: None,
        }
    }
}

/// What a shadow repository ignores from the start: stores that commands fill, and editors' droppings.
const EXCLUDES: &str = "# Written by the Orchestrator; a .gitignore in the folder is honoured as well.
node_modules/
.venv/
venv/
__pycache__/
.mypy_cache/
.pytest_cache/
.tox/
.gradle/
target/debug/
target/release/
target/CACHEDIR.TAG
target/.rustc_info.json
.DS_Store
*.swp
*.pyc
";

/// Folder names of [`EXCLUDES`] that are not walked into when counting.
const STORES: &[&str] = &["node_modules", ".venv", "venv", "__pycache__", ".mypy_cache", ".tox", ".gradle", "target"];

/// Refuses places that are never a workspace.
pub(super) fn refuse_place(
    checkout: &Path,
    state_dir: &Path,
    is_git: bool,
    limits: &FolderLimits,
) -> Result<(), LaneError> {
    let refused = |why: String| Err(LaneError::FolderRefused { path: checkout.to_owned(), why });
    let flag = limits.override_flag;
    if checkout.parent().is_none() {
        return refused("it is the root of the file system; start in a project's folder".to_owned());
    }
    let home = limits.home.as_ref().map(|home| fs::canonicalize(home).unwrap_or_else(|_| home.clone()));
    if home.as_deref() == Some(checkout) && !limits.allow_large {
        let how = if is_git { "run `git init` in the project's folder" } else { "start in a project's folder" };
        return refused(format!("it is your home folder; {how}, or pass {flag}"));
    }
    if state_dir.starts_with(checkout) && !(is_git && limits.allow_large) {
        return refused(format!("our state folder {} lies inside it; move one of the two", state_dir.display()));
    }
    Ok(())
}

/// The shadow repository of a folder, made on first use.
pub(super) fn open(
    git: &Git,
    folder: &Path,
    state_dir: &Path,
    id: &str,
    limits: &FolderLimits,
) -> Result<PathBuf, LaneError> {
    if !limits.allow_large {
        count(folder, limits)?;
    }
    let shadows = state_dir.join("shadow");
    let shadow = shadows.join(format!("{id}.git"));
    if !shadow.join("HEAD").exists() {
        // Made aside and renamed: a half-made repository is never taken for one.
        let making = shadows.join(format!(".{id}.{}", std::process::id()));
        let _ = fs::remove_dir_all(&making);
        fs::create_dir_all(&making).map_err(LaneError::io("create", &making))?;
        git.call(["init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--initial-branch=folder"])
            .arg(&making)
            .checked()?;
        let info = making.join("info");
        fs::create_dir_all(&info).map_err(LaneError::io("create", &info))?;
        fs::write(info.join("exclude"), EXCLUDES).map_err(LaneError::io("write", info.join("exclude")))?;
        match fs::rename(&making, &shadow) {
            Ok(()) => {}
            Err(_) if shadow.join("HEAD").exists() => drop(fs::remove_dir_all(&making)),
            Err(source) => return Err(LaneError::Io { what: "create", path: shadow, source }),
        }
    }
    fs::canonicalize(&shadow).map_err(LaneError::io("find", shadow))
}

/// Walks until a limit is passed; symbolic links are counted, not followed.
fn count(folder: &Path, limits: &FolderLimits) -> Result<(), LaneError> {
    let (mut files, mut bytes) = (0, 0);
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if path == folder || error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(LaneError::Io { what: "list", path, source: error });
            }
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                if !STORES.iter().any(|store| entry.file_name() == *store) {
                    pending.push(entry.path());
                }
                continue;
            }
            files += 1;
            bytes += meta.len();
            if files > limits.files_max || bytes > limits.bytes_max {
                let (flag, max) = (limits.override_flag, limits.bytes_max / 1_000_000);
                let why = if files > limits.files_max {
                    format!("it has more than {} files; start in a smaller folder, or pass {flag}", limits.files_max)
                } else {
                    format!("it holds more than {max} MB; start in a smaller folder, or pass {flag}")
                };
                return Err(LaneError::FolderRefused { path: folder.to_owned(), why });
            }
        }
    }
    Ok(())
}
