//! What stands at a path of a checkout, and putting something else there by a rename. Knows nothing of git.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// What stands at a path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    Absent,
    /// Something that is not a folder stands on the way to it.
    Behind(PathBuf),
    Folder,
    File(Box<Stat>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub dev: u64,
    pub ino: u64,
    size: u64,
    pub mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Renames staged content into place, keeping the permissions that the user gave the file, but for the executable bit.
pub(super) fn put(source: &Path, target: &Path, seen: &Look) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let meta = source.symlink_metadata()?;
    if let (Look::File(old), true) = (seen, meta.is_file())
        && old.mode & 0o170000 == 0o100000
    {
        let readable = old.mode & 0o666;
        let executable = if meta.mode() & 0o100 != 0 { (readable & 0o444) >> 2 } else { 0 };
        fs::set_permissions(source, fs::Permissions::from_mode(readable | executable))?;
    }
    // A fixed name for each target: what a kill leaves behind is found and overwritten by the repetition.
    let digest = Sha256::digest(target.as_os_str().as_bytes());
    let beside =
        folder.join(format!(".orchestrator-{:02x}{:02x}{:02x}{:02x}.tmp", digest[0], digest[1], digest[2], digest[3]));
    match fs::rename(source, target) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let _ = fs::remove_file(&beside);
            if meta.is_symlink() {
                symlink(fs::read_link(source)?, &beside)?;
            } else {
                fs::copy(source, &beside)?;
            }
            fs::rename(&beside, target)
        }
        Ok(()) => {
            let _ = fs::remove_file(&beside);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether a file is what a kill left of content that was copied from another file system.
pub(super) fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let digits = name.strip_prefix(".orchestrator-").and_then(|rest| rest.strip_suffix(".tmp"));
    digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Looks at a path without following links, neither at its end nor on the way.
pub(super) fn look(root: &Path, path: &Path) -> Look {
    let mut place = PathBuf::new();
    for part in path.parent().into_iter().flat_map(Path::components) {
        place.push(part);
        match root.join(&place).symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Look::Behind(place),
            Err(_) => return Look::Absent,
        }
    }
    match root.join(path).symlink_metadata() {
        Err(_) => Look::Absent,
        Ok(meta) if meta.is_dir() => Look::Folder,
        Ok(meta) => Look::File(Box::new(Stat {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mode: meta.mode(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })),
    }
}

/// Whether a file that is there is listed under exactly this name; on a case-folding file system a deleted name may
/// still open its renamed successor, which must not be deleted.
pub(super) fn listed(checkout: &Path, path: &Path, look: &Look) -> bool {
    if !cfg!(target_os = "macos") || !matches!(look, Look::File(_)) {
        return true;
    }
    let full = checkout.join(path);
    let (Some(folder), Some(name)) = (full.parent(), full.file_name()) else { return true };
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name() == name))
}

/// Whether everything in a folder, ignored files included, is about to leave.
pub(super) fn holds_only(checkout: &Path, folder: &Path, leaving: &HashSet<&Path>) -> bool {
    let Ok(entries) = fs::read_dir(checkout.join(folder)) else { return false };
    entries.flatten().all(|entry| {
        let path = folder.join(entry.file_name());
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir { holds_only(checkout, &path, leaving) } else { leaving.contains(path.as_path()) }
    })
}

/// Removes folders that hold nothing but folders.
pub(super) fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
