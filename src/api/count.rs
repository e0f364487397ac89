//! The count of changes of a workspace: how a client knows, without asking, that an answer it was given still holds.
//!
//! It is one number in memory that the daemon writes and its clients read. Before a change becomes known to anybody
//! (an answer, an event, a process that is started), the count is moved; an answer says at which count it was made.
//! So whoever has heard of a change, by whatever way, finds the count moved, and an older answer no longer holds.
//! There is no notice that could come late, and nobody is woken.
//!
//! Only Linux has memory that can be handed over in this way and cannot be cut short under its readers. Elsewhere
//! there is no place to look at, no answer is kept, and everything is asked.

use std::{
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

/// Where the count of a workspace is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountPlace {
    /// Path of the memory, good for as long as the daemon lives.
    pub path: String,
    /// A number that stands in it, too. Another process may have the daemon's number by now, or in another container.
    pub mark: u64,
}

/// What the memory holds: the count, and the mark behind it.
type Words = [AtomicU64; 2];

const BYTES: usize = size_of::<Words>();

/// Memory that is shared between processes.
#[derive(Debug)]
struct Shared(NonNull<Words>);

// SAFETY: atomics may be used from every thread; the mapping is there until this is dropped.
unsafe impl Send for Shared {}
// SAFETY: the same.
unsafe impl Sync for Shared {}

impl Shared {
    fn words(&self) -> &Words {
        // SAFETY: the mapping is page-aligned, BYTES long, lives as long as `self`, and is used through atomics only.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: it was mapped by us with this length, and nobody borrows it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), BYTES) };
    }
}

/// The daemon's end: one per open workspace.
#[derive(Debug)]
pub struct Count {
    words: Words,
    #[cfg(target_os = "linux")]
    shared: Option<(Shared, std::os::fd::OwnedFd)>,
}

impl Default for Count {
    fn default() -> Count {
        Count::new()
    }
}

impl Count {
    /// Begins at zero. Where no memory can be shared, only this process can look.
    pub fn new() -> Count {
        Count {
            words: Words::default(),
            #[cfg(target_os = "linux")]
            shared: linux::create(),
        }
    }

    fn words(&self) -> &Words {
        #[cfg(target_os = "linux")]
        if let Some((shared, _)) = &self.shared {
            return shared.words();
        }
        &self.words
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.words()[0].load(Ordering::Acquire)
    }

    /// Moves it. Invariant: called before anybody hears of the change that it stands for.
    pub fn set(&self, count: u64) {
        self.words()[0].store(count, Ordering::Release);
    }

    /// Where clients find it.
    pub fn place(&self) -> Option<CountPlace> {
        #[cfg(target_os = "linux")]
        if let Some((shared, file)) = &self.shared {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
            return Some(CountPlace { path, mark: shared.words()[1].load(Ordering::Relaxed) });
        }
        None
    }
}

/// A client's end: it can only look.
#[derive(Debug)]
pub struct Seen(Shared);

impl Seen {
    /// Looks at the count there; `None` where it is not to be had, and then every answer holds for nothing.
    pub fn open(place: &CountPlace) -> Option<Seen> {
        #[cfg(target_os = "linux")]
        return linux::open(place).map(Seen);
        #[cfg(not(target_os = "linux"))]
        return None.filter(|_: &Seen| place.mark != 0);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.words()[0].load(Ordering::Acquire)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::{File, OpenOptions},
        io::Read,
        os::{
            fd::{AsRawFd, FromRawFd, OwnedFd},
            unix::fs::OpenOptionsExt,
        },
    };

    use super::{AtomicU64, BYTES, CountPlace, NonNull, Ordering, Shared};

    /// It can neither be cut short, which would kill its readers, nor be unsealed.
    const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

    pub fn create() -> Option<(Shared, OwnedFd)> {
        // SAFETY: the name is a string with its end; the descriptor that comes back is nobody else's.
        let file = unsafe {
            let fd = libc::memfd_create(c"orchestrator-count".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
            (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))?
        };
        let bytes = libc::off_t::try_from(BYTES).ok()?;
        // SAFETY: the descriptor is open, and both calls take plain numbers.
        let made = unsafe {
            libc::ftruncate(file.as_raw_fd(), bytes) == 0
                && libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) == 0
        };
        let shared = made.then(|| map(&file, libc::PROT_READ | libc::PROT_WRITE)).flatten()?;
        let mut mark = [0; 8];
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut mark)).ok()?;
        let [_, word]: &[AtomicU64; 2] = shared.words();
        word.store(u64::from_ne_bytes(mark).max(1), Ordering::Relaxed);
        Some((shared, file))
    }

    pub fn open(place: &CountPlace) -> Option<Shared> {
        let ours = place.path.starts_with("/proc/") && place.mark != 0;
        let file =
            ours.then(|| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&place.path))?.ok()?;
        let file = OwnedFd::from(file);
        // SAFETY: the descriptor is open. What is no such memory has no seals, and is refused.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & libc::F_SEAL_SHRINK == 0 {
            return None;
        }
        let shared = map(&file, libc::PROT_READ)?;
        (shared.words()[1].load(Ordering::Relaxed) == place.mark).then_some(shared)
    }

    /// Maps it, where it is long enough.
    fn map(file: &OwnedFd, protection: libc::c_int) -> Option<Shared> {
        // SAFETY: fstat fills the whole of `stat`, which is plain data and outlives the call.
        let long_enough = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            libc::fstat(file.as_raw_fd(), &mut stat) == 0
                && usize::try_from(stat.st_size).is_ok_and(|size| size >= BYTES)
        };
        if !long_enough {
            return None;
        }
        // SAFETY: a new mapping at an address of the kernel's choice; the file is as long as it says and cannot shrink.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        (at != libc::MAP_FAILED).then(|| NonNull::new(at.cast()).map(Shared)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_writes_its_clients_see() {
        let count = Count::new();
        let Some(place) = count.place() else {
            if cfg!(target_os = "linux") {
                panic!("Linux has such memory");
            }
            return;
        };
        let seen = Seen::open(&place).expect("it is there");
        for number in [1, 7, u64::MAX] {
            count.set(number);
            assert_eq!((count.get(), seen.get()), (number, number));
        }
        // Whoever looks keeps it for as long as it looks.
        drop(count);
        assert_eq!(seen.get(), u64::MAX);
    }

    #[test]
    fn what_is_not_this_count_is_not_looked_at() {
        let count = Count::new();
        let Some(place) = count.place() else { return };
        assert!(Seen::open(&CountPlace { mark: place.mark ^ 1, ..place.clone() }).is_none(), "another's mark");
        assert!(Seen::open(&CountPlace { path: "/proc/self/exe".to_owned(), ..place.clone() }).is_none(), "a file");
        assert!(Seen::open(&CountPlace { path: "/dev/zero".to_owned(), ..place.clone() }).is_none(), "elsewhere");
        drop(count);
        assert!(Seen::open(&place).is_none(), "gone");
    }
}
