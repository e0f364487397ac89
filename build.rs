//! How a release for Linux is linked: at a fixed place, so that nothing is filled in when it starts, and with the
//! unwinder inside.
//!
//! Measured with link-time optimisation: a start to the answer of `initialize` takes 1.27 ms so, and 1.70 ms where the
//! program can lie anywhere, because 33,000 addresses on 130 pages are then filled in each time; and each process has
//! half a megabyte more of its own. Packed relocations (`-z pack-relative-relocs`) gain nothing: it is the pages that
//! cost. What it takes away is said in the README: the address of the program's own code is no secret to whoever finds a
//! hole in it; libraries, heap and stacks lie anywhere, as before.
//!
//! The unwinder's library, `libgcc_s`, asks the processor for all its features when it is loaded, which each time leaves
//! a virtual machine, and only the unwinding in it is used here. `libgcc_eh` is just that, as an archive of the same
//! compiler. Where it is not found, or the linker keeps the library all the same, nothing but time is lost.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bin=orchestrator=-no-pie");
        if let Some(archive) = unwinder() {
            println!("cargo:rustc-link-arg-bin=orchestrator=-Wl,--whole-archive,{archive},--no-whole-archive");
        }
    }
}

/// The compiler's archive of the unwinder. A compiler that does not know the file says its bare name.
fn unwinder() -> Option<String> {
    let native = std::env::var("HOST").ok()? == std::env::var("TARGET").ok()?;
    let asked = native.then(|| Command::new("cc").arg("-print-file-name=libgcc_eh.a").output().ok()).flatten()?;
    let path = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    (Path::new(&path).is_absolute() && Path::new(&path).is_file() && !path.contains(',')).then_some(path)
}
