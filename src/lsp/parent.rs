//! The editor's process, watched: where it is gone, nobody is left to work for.
//!
//! An editor that crashes usually closes our input; one that hangs on to it, or whose children do, would leave an orphan.

use tokio::sync::oneshot;

/// Comes back when the process that `initialize` named is gone; never where none was named, or where it cannot be
/// seen from here (an editor outside this container).
pub async fn gone(named: oneshot::Receiver<Option<u32>>) {
    match named.await {
        Ok(Some(process)) => ended(process).await,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

#[cfg(target_os = "linux")]
async fn ended(process: u32) {
    use std::os::fd::{FromRawFd, OwnedFd};

    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: it takes a number and flags, and gives a descriptor that is ours or -1.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, process as libc::pid_t, 0) };
    let Ok(descriptor @ 0..) = i32::try_from(descriptor) else {
        return std::future::pending().await;
    };
    // SAFETY: it was just given to us and belongs to nobody else.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: an `OwnedFd` is open for as long as it lives, and says the same descriptor each time.
    match unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) } {
        // Readable means ended.
        Ok(watched) => drop(watched.readable().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(target_os = "linux"))]
async fn ended(process: u32) {
    // Nothing tells us here, so we look now and then.
    let look_again = std::time::Duration::from_secs(10);
    // SAFETY: signal 0 sends nothing; it only asks whether there is such a process.
    let alive = || unsafe { libc::kill(process as libc::pid_t, 0) } == 0;
    if !alive() {
        return std::future::pending().await;
    }
    while alive() {
        tokio::time::sleep(look_again).await;
    }
}
