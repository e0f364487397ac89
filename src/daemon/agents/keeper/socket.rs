//! Where the keeper and the daemon meet: `DIR/keeper.sock`, whatever the length of DIR, and `DIR/keeper.lock`.
//!
//! The address of a Unix socket has room for about a hundred bytes. On Linux the folder is opened and named through
//! `/proc/self/fd`; elsewhere a long path is replaced by a short one under the folder for temporary files.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{MetadataExt, OpenOptionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

fn user() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() }
}

/// Opens a folder that is ours alone to write to, and no symbolic link.
fn open_own(dir: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let kind = libc::O_PATH;
    #[cfg(not(target_os = "linux"))]
    let kind = 0;
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | kind;
    let refuse = |what: String| io::Error::new(io::ErrorKind::PermissionDenied, what);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(dir).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot open the folder {} (a link is refused): {error}", dir.display()))
    })?;
    let found = file.metadata()?;
    if found.uid() != user() {
        return Err(refuse(format!("{} belongs to user {}, not to us ({})", dir.display(), found.uid(), user())));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refuse(format!("others may write to {}: chmod go-w it", dir.display())));
    }
    Ok(file)
}

/// A path to the socket that fits into an address, and what must stay open while it is used.
fn address(dir: &Path) -> io::Result<(PathBuf, File)> {
    let folder = open_own(dir)?;
    #[cfg(target_os = "linux")]
    let path = PathBuf::from(format!("/proc/self/fd/{}/keeper.sock", folder.as_raw_fd()));
    #[cfg(not(target_os = "linux"))]
    let path = short_path(dir)?;
    Ok((path, folder))
}

#[cfg(not(target_os = "linux"))]
fn short_path(dir: &Path) -> io::Result<PathBuf> {
    use std::os::unix::{ffi::OsStrExt, fs::DirBuilderExt};

    use sha2::{Digest, Sha256};

    let direct = dir.join("keeper.sock");
    if direct.as_os_str().len() < 100 {
        return Ok(direct);
    }
    let folder = std::env::temp_dir().join(format!("orchestrator-{}", user()));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    open_own(&folder)?;
    let digest = Sha256::digest(dir.canonicalize()?.as_os_str().as_bytes());
    let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(folder.join(format!("keeper-{name}.sock")))
}

/// Takes the lock that makes the keeper of `dir` the only one; held as long as the file is open.
/// `WouldBlock`: there is another.
pub(super) fn lock(dir: &Path) -> io::Result<File> {
    drop(open_own(dir)?);
    let path = dir.join("keeper.lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&path)?;
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(file);
    }
    let error = io::Error::last_os_error();
    Err(io::Error::new(error.kind(), format!("{}: another keeper holds it", path.display())))
}

/// Listens in `dir`; only for the holder of the lock, who may remove what a killed predecessor left.
pub(in crate::daemon::agents) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let (path, _folder) = address(dir)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The socket must never be open to others, not even for a moment; jobs keep the mask we were started with.
    // SAFETY: cannot fail; the process has one thread.
    let mask = unsafe { libc::umask(0o177) };
    let listener = UnixListener::bind(&path);
    // SAFETY: as above.
    unsafe { libc::umask(mask) };
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the socket; only for the holder of the lock.
pub(super) fn remove(dir: &Path) {
    if let Ok((path, _folder)) = address(dir) {
        // Whoever finds a dead socket takes it for no keeper, so a failure costs nothing.
        let _ = std::fs::remove_file(path);
    }
}

/// Connects to the keeper of `dir`.
pub(in crate::daemon::agents) fn connect(dir: &Path) -> io::Result<UnixStream> {
    let (path, _folder) = address(dir)?;
    let stream = UnixStream::connect(path)?;
    if !is_ours(&stream) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user listens on the keeper's socket"));
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Whether the other end runs under our user.
pub(in crate::daemon::agents) fn is_ours(stream: &UnixStream) -> bool {
    #[cfg(target_os = "linux")]
    {
        let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: 0 };
        let mut size = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: `peer` has `size` bytes.
        let known = unsafe {
            let place = std::ptr::from_mut(&mut peer).cast();
            libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, place, &mut size)
        };
        known == 0 && peer.uid == user()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (mut uid, mut gid) = (u32::MAX, 0);
        // SAFETY: both places live through the call.
        let known = unsafe { libc::getpeereid(stream.as_raw_fd(), &mut uid, &mut gid) };
        known == 0 && uid == user()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_long_path_works_and_the_socket_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(80)).join("y".repeat(80));
        std::fs::create_dir_all(&long).unwrap();
        let listener = listen(&long).unwrap();
        let stream = connect(&long).unwrap();
        assert!(is_ours(&stream));
        listener.accept().unwrap();
        if cfg!(target_os = "linux") {
            let mode = std::fs::metadata(long.join("keeper.sock")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(listener);
        assert_eq!(connect(&long).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        remove(&long);
        assert_eq!(connect(&long).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_lock_and_no_unsafe_folder() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert_eq!(lock(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        lock(dir.path()).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(connect(&link).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(lock(&open).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
