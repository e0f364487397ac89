//! A pipe to a child whose reads are known: what is written twice arrives in two pieces.

use std::{
    io::Write,
    os::fd::AsRawFd,
    process::ChildStdin,
    time::{Duration, Instant},
};

/// Writes both parts, the second once the other side has read the first.
pub fn in_two(stdin: &mut ChildStdin, bytes: &[u8], cut: usize) {
    for part in [&bytes[..cut], &bytes[cut..]] {
        stdin.write_all(part).and_then(|()| stdin.flush()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while unread(stdin) > 0 {
            assert!(Instant::now() < deadline, "the first {cut} bytes are not read");
            std::thread::yield_now();
        }
    }
}

/// How many bytes are in the pipe still.
fn unread(stdin: &ChildStdin) -> i32 {
    let mut unread: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the kernel writes one integer.
    let asked = unsafe { libc::ioctl(stdin.as_raw_fd(), libc::FIONREAD, &raw mut unread) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    unread
}
