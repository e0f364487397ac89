//! Thin wrappers around the system: what the keeper does to itself, and how it reaps and signals.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use super::protocol::End;

/// A child that is gone, and what it used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    pub(super) pid: i32,
    pub(super) status: i32,
    pub(super) cpu_ms: u64,
    pub(super) max_rss_kb: u64,
}

/// Takes one dead child away, ours or adopted, without waiting.
pub(super) fn reap() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: plain data, filled by the call.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places live through the call.
    let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG, &mut usage) };
    let ms = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
    // Linux counts kilobytes, macOS bytes.
    let unit = if cfg!(target_os = "macos") { 1024 } else { 1 };
    (pid > 0).then_some(Reaped {
        pid,
        status,
        cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime),
        max_rss_kb: usage.ru_maxrss as u64 / unit,
    })
}

/// What a wait status says.
pub(super) fn end_of(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
    } else {
        End::Exit(libc::WEXITSTATUS(status))
    }
}

/// Makes sure that the child `pid` leads a group: one that was just started may not have come to it yet.
pub(super) fn lead_group(pid: i32) {
    // SAFETY: no memory involved. Refused where the child runs its program already: then it did so itself.
    unsafe { libc::setpgid(pid, pid) };
}

/// Signals the group that the child `pid` leads. Only while that child is unreaped: then its number is not reused.
pub(super) fn signal_group(pid: i32, signal: i32) {
    // SAFETY: no memory involved; the number is ours as the caller promises.
    unsafe { libc::kill(-pid, signal) };
}

/// Wall-clock milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    crate::time::now().0
}

/// The clock by which the system says when processes started.
pub(super) fn boot_ticks() -> u64 {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: plain data, filled by the call.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: `time` lives through the call.
        unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
        // The unit of /proc/PID/stat is fixed at a hundredth of a second wherever Rust and glibc run.
        time.tv_sec as u64 * 100 + time.tv_nsec as u64 / 10_000_000
    }
    #[cfg(not(target_os = "linux"))]
    0
}

/// The id of this boot; empty where the system has none.
pub(super) fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// A marker that no other keeper has: our process id and 64 random bits.
pub(super) fn token() -> io::Result<String> {
    let mut bytes = [0u8; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{}.{:016x}", std::process::id(), u64::from_ne_bytes(bytes)))
}

/// How many jobs fit in the descriptors we may open: two each, and some for ourselves.
pub(super) fn running_max() -> usize {
    // SAFETY: plain data, filled by the call.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `limit` lives through the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0;
    let descriptors = if known { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 256 };
    // The third is the log file of a job that prints.
    (descriptors.saturating_sub(64) / 3).max(1)
}

/// Closes what the starter left open. Nothing of ours is open yet.
pub(in crate::daemon) fn close_inherited() {
    // SAFETY: descriptors from 3 on belong to nobody in a process that has just started.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint);
    }
    #[cfg(not(target_os = "linux"))]
    for fd in 3..256 {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

fn replace(fd: RawFd, by: &File) -> io::Result<()> {
    // SAFETY: standard descriptors may be replaced; `by` is open.
    if unsafe { libc::dup2(by.as_raw_fd(), fd) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A session of our own, nothing to read, complaints into `DIR/keeper.err`, and the jobs' orphans become ours.
pub(super) fn detach(dir: &Path) -> io::Result<()> {
    let path = dir.join("keeper.err");
    // The file of a keeper that went wrong often must not grow for ever.
    let long = std::fs::metadata(&path).is_ok_and(|found| found.len() > 64 << 10);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let options = if long { options.write(true).truncate(true) } else { options.append(true) };
    replace(2, &options.open(path)?)?;
    replace(0, &File::open("/dev/null")?)?;
    // SAFETY: no memory involved.
    if unsafe { libc::setsid() < 0 && libc::getsid(0) != libc::getpid() } {
        // Sweeping goes by session: in somebody else's, it would take theirs along.
        return Err(io::Error::other("a keeper must not lead a process group: let the daemon start it, or use setsid"));
    }
    #[cfg(target_os = "linux")]
    // SAFETY: no memory involved.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong) } != 0 {
        return Err(io::Error::last_os_error());
    }
    std::env::set_current_dir("/")
}

/// Lets go of standard output. Who started us reads this as: it accepts connections now.
pub(super) fn say_ready() -> io::Result<()> {
    replace(1, &OpenOptions::new().write(true).open("/dev/null")?)
}
