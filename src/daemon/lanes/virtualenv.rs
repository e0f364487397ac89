//! Makes a copied Python environment the lane's own. Knows nothing of git.

use std::{fs, io, os::unix::ffi::OsStrExt, path::Path};

/// A Python environment names its own place, and that of packages installed in place, by absolute paths. Left alone, the
/// lane's `pip` would install into the user's environment, and its tests would import the user's sources.
pub(super) fn move_virtualenv(store: &Path, checkout: &Path, lane: &Path) -> io::Result<()> {
    if !store.join("pyvenv.cfg").is_file() {
        return Ok(());
    }
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = vec![store.join("pyvenv.cfg")];
    files.extend(list(&store.join("bin")));
    for python in list(&store.join("lib")) {
        files.extend(list(&python.join("site-packages")).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.ends_with(".pth") || name.ends_with(".egg-link") || name.starts_with("__editable__")
        }));
    }
    let (old, new) = (checkout.as_os_str().as_bytes(), lane.as_os_str().as_bytes());
    for file in files {
        let meta = file.symlink_metadata()?;
        if !meta.is_file() || meta.len() > 1_000_000 {
            continue;
        }
        let bytes = fs::read(&file)?;
        if bytes.contains(&0) || !bytes.windows(old.len()).any(|part| part == old) {
            continue;
        }
        let mut moved = Vec::with_capacity(bytes.len());
        let mut rest = &bytes[..];
        while let Some(at) = rest.windows(old.len()).position(|part| part == old) {
            // `/home/u/project2` is not inside `/home/u/project`.
            let whole = !rest.get(at + old.len()).is_some_and(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b));
            moved.extend_from_slice(&rest[..at]);
            moved.extend_from_slice(if whole { new } else { old });
            rest = &rest[at + old.len()..];
        }
        moved.extend_from_slice(rest);
        // A new file under the old name: a read-only one could not be written.
        let fresh = file.with_extension("orchestrator");
        fs::write(&fresh, moved)?;
        fs::set_permissions(&fresh, meta.permissions())?;
        fs::rename(&fresh, &file)?;
    }
    Ok(())
}
