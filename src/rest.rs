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

/// Lets go of the program's own code and constants: who sleeps needs a few pages of them, not the megabytes that a start
/// or a run has touched. What is used next comes back from the system's cache, without the disk.
#[cfg(target_os = "linux")]
fn unmap_code() {
    let here = unmap_code as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (from, to) in unchanged(&maps, here) {
        // SAFETY: mappings of a file that nobody can write to and nobody has written to, as the system says: each page can
        // be read again, also those that we are running on.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
    }
}

/// The ranges, in `/proc/self/smaps`, of the file that has this address, as far as they are code or constants and hold
/// nothing but what is in the file. (What the loader has filled in is constant from then on, but in no file.)
#[cfg(target_os = "linux")]
fn unchanged(smaps: &str, address: usize) -> Vec<(usize, usize)> {
    struct Mapping<'a> {
        range: (usize, usize),
        access: &'a str,
        file: (&'a str, &'a str),
        own_kb: &'a str,
    }
    let mut mappings: Vec<Mapping<'_>> = Vec::new();
    for line in smaps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(first) = fields.next() else { continue };
        if let Some(field) = first.strip_suffix(':') {
            if let (Some(mapping), "Anonymous") = (mappings.last_mut(), field) {
                mapping.own_kb = fields.next().unwrap_or("?");
            }
            continue;
        }
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        let range = first.split_once('-').and_then(|(from, to)| Some((number(from)?, number(to)?)));
        let (access, _offset, device, inode) = (fields.next(), fields.next(), fields.next(), fields.next());
        if let (Some(range), Some(access), Some(device), Some(inode)) = (range, access, device, inode) {
            mappings.push(Mapping { range, access, file: (device, inode), own_kb: "?" });
        }
    }
    let Some(ours) = mappings.iter().find(|mapping| (mapping.range.0..mapping.range.1).contains(&address)) else {
        return Vec::new();
    };
    let file = ours.file;
    let unchanged = mappings.iter().filter(|mapping| mapping.file == file && file.1 != "0");
    let unchanged = unchanged.filter(|mapping| matches!(mapping.access, "r-xp" | "r--p") && mapping.own_kb == "0");
    unchanged.map(|mapping| mapping.range).collect()
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_file_is_let_go_of() {
        let mapping = |range: &str, access: &str, inode: &str, own: &str| {
            format!("{range} {access} 00001000 fe:00 {inode}  /usr/bin/orchestrator\nRss: 8 kB\nAnonymous: {own} kB\n")
        };
        let smaps = [
            mapping("1000-2000", "r--p", "77", "0"),
            mapping("2000-5000", "r-xp", "77", "0"),
            // Filled in by the loader; data; another file's; nobody's.
            mapping("5000-6000", "r--p", "77", "4"),
            mapping("6000-7000", "rw-p", "77", "0"),
            mapping("8000-9000", "r-xp", "78", "0"),
            mapping("a000-b000", "r-xp", "0", "0"),
        ]
        .concat();
        assert_eq!(unchanged(&smaps, 0x2010), [(0x1000, 0x2000), (0x2000, 0x5000)]);
        assert_eq!(unchanged(&smaps, 0xa010), []);
        assert_eq!(unchanged(&smaps, 0xf000), []);
        // The system's own list has this very function.
        let own = std::fs::read_to_string("/proc/self/smaps").unwrap();
        assert!(!unchanged(&own, unmap_code as *const () as usize).is_empty());
    }

    #[test]
    fn work_goes_on_after_giving_back() {
        let kept: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        give_back();
        let sum: u64 = kept.iter().map(|text| text.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 499_500);
    }
}
