//! Memory at rest: what a burst of work needed goes back to the system. Nothing here knows what the work was.

/// How the allocator is told to behave, once and before there are threads.
pub fn prepare() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets the allocator's own numbers.
    unsafe {
        // One heap: threads of ours take turns anyway, and each heap of its own would keep its own leftovers.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // What is large is a mapping of its own, and gone when it is freed: left alone, the allocator moves this limit
        // up to 32 MiB with the first large plan that it sees.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}

/// Gives the system back what a burst of work needed and rest does not.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim only looks at the allocator's own free lists, under its own locks.
    unsafe {
        libc::malloc_trim(0)
    };
    #[cfg(target_os = "linux")]
    unmap_code();
}

/// Lets go of the program's own code: a sleeping daemon needs a few pages of it, not the eight megabytes that a run has
/// touched. What is used next comes back from the system's cache, without the disk.
#[cfg(target_os = "linux")]
fn unmap_code() {
    let here = unmap_code as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    if let Some((from, to)) = maps.lines().find_map(|line| code_range(line, here)) {
        // SAFETY: a mapping of a file that is never written to, as its access says: each page can be read again, also
        // those that we are running on.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
    }
}

/// The range of a line of `/proc/self/maps`, if it is code, holds this address and comes from a file.
#[cfg(target_os = "linux")]
fn code_range(line: &str, address: usize) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    let code = fields.next() == Some("r-xp") && fields.nth(2).is_some_and(|inode| inode != "0");
    (code && (from..to).contains(&address)).then_some((from, to))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_a_files_code_is_let_go_of() {
        let line = "55a000-55b000 r-xp 00001000 fe:00 77  /usr/bin/orchestrator";
        assert_eq!(code_range(line, 0x55a010), Some((0x55a000, 0x55b000)));
        assert_eq!(code_range(line, 0x55b000), None);
        // Data, changed data, and code that no file has.
        assert_eq!(code_range(&line.replace("r-xp", "r--p"), 0x55a010), None);
        assert_eq!(code_range(&line.replace("r-xp", "rwxp"), 0x55a010), None);
        assert_eq!(code_range("55a000-55b000 r-xp 00000000 00:00 0 [vdso]", 0x55a010), None);
    }

    #[test]
    fn work_goes_on_after_giving_back() {
        let kept: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        give_back();
        let sum: u64 = kept.iter().map(|text| text.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 499_500);
    }
}
