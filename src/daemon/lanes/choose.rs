//! Which files go into a snapshot, and which are left out and named: too large, secret, not ours. Looks at the disk,
//! runs nothing.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io,
    path::{Component, Path, PathBuf},
};

use super::status::{Scan, Tracked};

/// What goes into a snapshot of untracked files.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// Untracked files above this size are left out.
    pub file_bytes_max: u64,
    /// Whether untracked files that look like secrets are taken all the same.
    pub allow_secrets: bool,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        SnapshotOptions { file_bytes_max: 10_000_000, allow_secrets: false }
    }
}

/// Something that is on disk but not in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Relative to the work tree's root.
    pub path: PathBuf,
    /// Why.
    pub why: WhySkipped,
}

/// Why a path is not in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhySkipped {
    /// Larger than the limit.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Its name says that it holds a secret.
    Secret,
    /// A repository inside this one that is no submodule.
    NestedRepository,
    /// Changes inside a submodule, or a commit that only a lane's submodule has.
    Submodule,
    /// A folder of installed packages or build output that no `.gitignore` names.
    Store,
    /// It could not be read, or a filter refused it.
    Unreadable(String),
}

impl fmt::Display for WhySkipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhySkipped::TooLarge { bytes } => write!(f, "untracked and {:.1} MB large", *bytes as f64 / 1e6),
            WhySkipped::Secret => write!(f, "untracked and named like a secret"),
            WhySkipped::NestedRepository => write!(f, "a git repository of its own, not a submodule"),
            WhySkipped::Submodule => write!(f, "changes inside a submodule are not carried"),
            WhySkipped::Store => write!(f, "installed packages or build output; name it in .gitignore"),
            WhySkipped::Unreadable(why) => write!(f, "could not be read: {why}"),
        }
    }
}

/// Paths to take into an index, deletions first.
pub(super) struct Chosen {
    pub paths: Vec<PathBuf>,
    /// Deleted paths behind a symbolic link that took the place of a folder; git takes them out only by force.
    pub hidden: Vec<PathBuf>,
}

impl Chosen {
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.hidden.is_empty()
    }
}

/// What of a scan is taken, and what is left out and why. `move_submodules`: whether a submodule's new commit counts.
pub(super) fn choose(
    root: &Path,
    scan: &Scan,
    options: &SnapshotOptions,
    move_submodules: bool,
) -> (Chosen, Vec<Skipped>) {
    let mut chosen = Chosen { paths: Vec::new(), hidden: Vec::new() };
    let mut skipped: Vec<Skipped> = Vec::new();
    let mut stores = BTreeSet::new();
    for (path, why) in &scan.unlisted {
        skipped.push(Skipped { path: path.clone(), why: WhySkipped::Unreadable(why.clone()) });
    }
    for Tracked { path, .. } in scan.tracked.iter().filter(|tracked| tracked.deleted) {
        let list = if parent_is_real(root, path) { &mut chosen.paths } else { &mut chosen.hidden };
        list.push(path.clone());
    }
    for tracked in scan.tracked.iter().filter(|tracked| !tracked.deleted) {
        let path = tracked.path.clone();
        if let Some((commit, content)) = tracked.submodule {
            if content || !move_submodules {
                skipped.push(Skipped { path: path.clone(), why: WhySkipped::Submodule });
            }
            if commit && move_submodules {
                chosen.paths.push(path);
            }
            continue;
        }
        match readable(&root.join(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                skipped.push(Skipped { path, why: WhySkipped::Unreadable(error.to_string()) });
            }
            _ => chosen.paths.push(path),
        }
    }
    for path in &scan.untracked {
        if let Some(store) = store_of(root, path) {
            stores.insert(store);
            continue;
        }
        let Ok(meta) = root.join(path).symlink_metadata() else { continue };
        if super::disk::is_leftover(path) {
            continue;
        }
        let why = if meta.is_dir() {
            Some(WhySkipped::NestedRepository)
        } else if !options.allow_secrets && is_secret(path) {
            Some(WhySkipped::Secret)
        } else if meta.is_file() && meta.len() > options.file_bytes_max {
            Some(WhySkipped::TooLarge { bytes: meta.len() })
        } else {
            match readable(&root.join(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Some(WhySkipped::Unreadable(error.to_string()))
                }
                _ => None,
            }
        };
        match why {
            Some(why) => skipped.push(Skipped { path: path.clone(), why }),
            None => chosen.paths.push(path.clone()),
        }
    }
    skipped.extend(stores.into_iter().map(|path| Skipped { path, why: WhySkipped::Store }));
    (chosen, skipped)
}

/// Opens a regular file to see whether git will be able to; links and missing files pass.
fn readable(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_file() {
        File::open(path)?;
    }
    Ok(())
}

/// Whether all folders on the way to a path are folders (or missing), not links or files.
fn parent_is_real(root: &Path, path: &Path) -> bool {
    let mut place = root.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        place.push(part);
        match place.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return false,
            Err(_) => return true,
        }
    }
    true
}

/// The store an untracked path lies in, where a project without a `.gitignore` would have us copy thousands of files.
fn store_of(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut store = PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        store.push(name);
        let certain = name == "node_modules" || name == ".venv" || name == "__pycache__";
        if certain || (name == "target" && root.join(&store).join("CACHEDIR.TAG").is_file()) {
            return Some(store);
        }
    }
    None
}

/// Names that hold secrets by convention. Only untracked files are asked: what is tracked is in git already.
fn is_secret(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().to_lowercase()) else { return false };
    let sample = ["example", "sample", "template", "dist", "defaults"].iter().any(|end| name.ends_with(end));
    let ends = [".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".tfstate", ".asc.key"];
    let names = [
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".pgpass",
        ".git-credentials",
        ".htpasswd",
        "credentials",
        "credentials.json",
        "secrets.json",
        "secrets.yml",
        "secrets.yaml",
        "secrets.toml",
        "terraform.tfvars",
    ];
    let key_files = ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"];
    !sample
        && (name == ".env"
            || name == ".envrc"
            || name.starts_with(".env.")
            || ends.iter().any(|end| name.ends_with(end))
            || names.contains(&name.as_str())
            || key_files.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_and_samples_are_not_secrets() {
        for name in [".env", "a/.env.local", "deploy/server.PEM", ".ssh/id_ed25519", "Credentials.json"] {
            assert!(is_secret(Path::new(name)), "{name}");
        }
        for name in [".env.example", "env.rs", "id_rsa.pub", "keys.md", "secrets.rs", "monkey"] {
            assert!(!is_secret(Path::new(name)), "{name}");
        }
    }
}
