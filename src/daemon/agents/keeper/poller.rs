//! Waiting for whichever comes first: a descriptor, a signal, a moment. epoll and signalfd on Linux, poll and a
//! self-pipe elsewhere. Nothing here knows what the descriptors are.

use std::{io, os::fd::RawFd, time::Duration};

/// One thing that has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    /// The number under which the descriptor was added.
    pub(super) token: u64,
    /// There is something to read, or the other end is gone.
    pub(super) readable: bool,
    /// There is room to write.
    pub(super) writable: bool,
}

/// Milliseconds to wait, rounded up: waking early would mean waking twice.
fn wait_ms(timeout: Option<Duration>) -> libc::c_int {
    let Some(timeout) = timeout else { return -1 };
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Poller, Signals};
#[cfg(not(target_os = "linux"))]
pub(super) use portable::{Poller, Signals};

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use super::*;

    pub(in super::super) struct Poller {
        epoll: OwnedFd,
        events: Vec<libc::epoll_event>,
    }

    impl Poller {
        pub(in super::super) fn new() -> io::Result<Poller> {
            // SAFETY: makes a descriptor that nobody else owns.
            let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
            if epoll < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: just made.
            let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
            Ok(Poller { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 128] })
        }

        fn control(&mut self, what: libc::c_int, fd: RawFd, token: u64, write: bool) -> io::Result<()> {
            let events = libc::EPOLLIN | if write { libc::EPOLLOUT } else { 0 };
            let mut event = libc::epoll_event { events: events as u32, u64: token };
            // SAFETY: `event` lives through the call.
            match unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, &mut event) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }

        pub(in super::super) fn add(&mut self, fd: RawFd, token: u64) -> io::Result<()> {
            self.control(libc::EPOLL_CTL_ADD, fd, token, false)
        }

        /// Gives a descriptor another number; also waits for room to write, or no longer.
        pub(in super::super) fn change(&mut self, fd: RawFd, token: u64, write: bool) -> io::Result<()> {
            self.control(libc::EPOLL_CTL_MOD, fd, token, write)
        }

        pub(in super::super) fn remove(&mut self, fd: RawFd) {
            // A descriptor that is not there is as good as one removed.
            let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, false);
        }

        /// Waits; an interruption counts as a time-out.
        pub(in super::super) fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
            ready.clear();
            let room = self.events.len() as i32;
            // SAFETY: `events` has room for that many.
            let count =
                unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, wait_ms(timeout)) };
            if count < 0 {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
            }
            let write = libc::EPOLLOUT as u32;
            ready.extend(self.events[..count as usize].iter().map(|event| {
                let events = event.events;
                Ready { token: event.u64, readable: events & !write != 0, writable: events & write != 0 }
            }));
            Ok(())
        }
    }

    /// All signals are blocked for good; SIGCHLD and SIGTERM are read from a descriptor.
    pub(in super::super) struct Signals {
        fd: OwnedFd,
    }

    impl Signals {
        pub(in super::super) fn new() -> io::Result<Signals> {
            // SAFETY: signal sets are plain data, made valid by the calls; dispositions of a process without threads.
            unsafe {
                // What was ignored when we were started would stay ignored in every job.
                // Asked of the kernel itself, as the C library hides two signals that it uses between threads; zeros
                // are the default action. (KILL and STOP refuse, having no other.)
                let default = [0usize; 8];
                for number in 1..=64 as libc::c_int {
                    let none = std::ptr::null_mut::<usize>();
                    libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), none, 8usize);
                }
                let mut set = std::mem::zeroed();
                libc::sigfillset(&mut set);
                libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGCHLD);
                libc::sigaddset(&mut set, libc::SIGTERM);
                match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                    fd if fd < 0 => Err(io::Error::last_os_error()),
                    fd => Ok(Signals { fd: OwnedFd::from_raw_fd(fd) }),
                }
            }
        }

        pub(in super::super) fn fd(&self) -> RawFd {
            self.fd.as_raw_fd()
        }

        /// Takes the signals off the descriptor; says whether SIGTERM was among them.
        pub(in super::super) fn take(&mut self) -> bool {
            // SAFETY: plain data.
            let mut info: [libc::signalfd_siginfo; 4] = unsafe { std::mem::zeroed() };
            // At most two kinds can be pending, each once.
            // SAFETY: `info` has that many bytes.
            let size = size_of_val(&info);
            // SAFETY: as above.
            let count = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            let count = usize::try_from(count).unwrap_or(0) / size_of::<libc::signalfd_siginfo>();
            info[..count].iter().any(|info| info.ssi_signo == libc::SIGTERM as u32)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::{
        os::fd::{AsRawFd, IntoRawFd, OwnedFd},
        sync::atomic::{AtomicBool, AtomicI32, Ordering},
    };

    use super::*;

    pub(in super::super) struct Poller {
        watched: Vec<(libc::pollfd, u64)>,
    }

    impl Poller {
        pub(in super::super) fn new() -> io::Result<Poller> {
            Ok(Poller { watched: Vec::new() })
        }

        pub(in super::super) fn add(&mut self, fd: RawFd, token: u64) -> io::Result<()> {
            self.watched.push((libc::pollfd { fd, events: libc::POLLIN, revents: 0 }, token));
            Ok(())
        }

        pub(in super::super) fn change(&mut self, fd: RawFd, token: u64, write: bool) -> io::Result<()> {
            for (watched, number) in self.watched.iter_mut().filter(|(watched, _)| watched.fd == fd) {
                watched.events = libc::POLLIN | if write { libc::POLLOUT } else { 0 };
                *number = token;
            }
            Ok(())
        }

        pub(in super::super) fn remove(&mut self, fd: RawFd) {
            self.watched.retain(|(watched, _)| watched.fd != fd);
        }

        pub(in super::super) fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
            ready.clear();
            let mut fds: Vec<libc::pollfd> = self.watched.iter().map(|(watched, _)| *watched).collect();
            // SAFETY: `fds` has that many entries.
            let count = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, wait_ms(timeout)) };
            if count < 0 {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
            }
            let happened = fds.iter().zip(&self.watched).filter(|(polled, _)| polled.revents != 0);
            ready.extend(happened.map(|(polled, (_, token))| Ready {
                token: *token,
                readable: polled.revents & !libc::POLLOUT != 0,
                writable: polled.revents & libc::POLLOUT != 0,
            }));
            Ok(())
        }
    }

    static PIPE: AtomicI32 = AtomicI32::new(-1);
    static TERMINATED: AtomicBool = AtomicBool::new(false);

    extern "C" fn note(signal: libc::c_int) {
        if signal == libc::SIGTERM {
            TERMINATED.store(true, Ordering::Relaxed);
        }
        // SAFETY: write is async-signal-safe; a full pipe already wakes the loop.
        unsafe { libc::write(PIPE.load(Ordering::Relaxed), b"!".as_ptr().cast(), 1) };
    }

    extern "C" fn ignore(_signal: libc::c_int) {}

    /// Handlers rather than ignored signals: a job starts with the defaults.
    pub(in super::super) struct Signals {
        reader: OwnedFd,
    }

    impl Signals {
        pub(in super::super) fn new() -> io::Result<Signals> {
            let (reader, writer) = super::super::output::pipe()?;
            // SAFETY: setting a flag of a descriptor that we own; a handler must never block.
            unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
            PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
            let note = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
            let ignore = ignore as extern "C" fn(libc::c_int) as libc::sighandler_t;
            for (signal, handler) in [
                (libc::SIGCHLD, note),
                (libc::SIGTERM, note),
                (libc::SIGHUP, ignore),
                (libc::SIGINT, ignore),
                (libc::SIGQUIT, ignore),
                (libc::SIGPIPE, ignore),
            ] {
                // SAFETY: the handlers make only async-signal-safe calls.
                unsafe { libc::signal(signal, handler) };
            }
            Ok(Signals { reader })
        }

        pub(in super::super) fn fd(&self) -> RawFd {
            self.reader.as_raw_fd()
        }

        pub(in super::super) fn take(&mut self) -> bool {
            let mut bytes = [0u8; 256];
            // SAFETY: `bytes` has that many bytes.
            while unsafe { libc::read(self.reader.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) } > 0 {}
            TERMINATED.swap(false, Ordering::Relaxed)
        }
    }
}
