//! A system call and nothing else: no errno, no thread-local memory. For a child that shares the keeper's memory while the
//! keeper goes on; everything else calls the C library.

/// Whether [`call`] leaves the memory of the caller alone, so that nobody need wait for a child that makes such calls.
pub(super) const ALONE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Makes the call, its fifth argument zero; what the kernel answers, errors as negative numbers.
///
/// # Safety
/// As the call itself.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn call(number: isize, a: isize, b: isize, c: isize, d: isize) -> isize {
    let answer;
    // SAFETY: the registers are those of the kernel's convention; the caller answers for what the call does.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") 0isize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// As above.
///
/// # Safety
/// As the call itself.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn call(number: isize, a: isize, b: isize, c: isize, d: isize) -> isize {
    let answer;
    // SAFETY: the registers are those of the kernel's convention; the caller answers for what the call does.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => answer,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") 0isize,
            options(nostack),
        );
    }
    answer
}

/// By way of the C library, which leaves errors in our errno.
///
/// # Safety
/// As the call itself.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn call(number: isize, a: isize, b: isize, c: isize, d: isize) -> isize {
    // SAFETY: the caller answers for what the call does.
    unsafe {
        match libc::syscall(number as libc::c_long, a, b, c, d, 0isize) {
            -1 => -(*libc::__errno_location() as isize),
            answer => answer as isize,
        }
    }
}
