//! The demo, as somebody without a terminal runs it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The demo with `folder` for temporary files.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    command
        .arg("demo")
        .env("TMPDIR", folder)
        // Places of the user's that must not be touched: it could not even make these.
        .env("HOME", "/nonexistent")
        .env("XDG_STATE_HOME", "/nonexistent/state")
        .env("XDG_CONFIG_HOME", "/nonexistent/config")
        .env("XDG_RUNTIME_DIR", "/nonexistent/run")
        .stdin(Stdio::null());
    command
}

/// Its exit status and what it said.
fn demo(folder: &Path) -> (Option<i32>, String) {
    let output = command(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said.into_owned())
}

#[test]
fn every_claim_of_the_demo_holds_and_nothing_stays_behind() {
    let folder = tempfile::Builder::new().prefix("demo").tempdir_in("/tmp").unwrap();
    let (code, said) = demo(folder.path());
    assert_eq!(code, Some(0), "{said}");
    for claim in [
        "✓ all six met while they worked",
        "the demo answers for you",
        "$ orchestrator decide D-1 polite",
        "✓ five of the six changes passed the check",
        "✓ the sixth exits with 0, but the check refutes it",
        "T-2 was undone: Let first read standard input",
        "✓ the answer is recorded",
        "✓ the checkout was not touched",
        "✓ the daemon is dead",
        "✓ its three running tasks are not",
        "✓ they went on to their end with no daemon at all",
        "✓ nothing ran twice: blue 1×, green 1×, orange 1×, red 1×, violet 1×, yellow 1×",
        "✓ the result is in the checkout beside your edits",
        "✓ every file is again, byte for byte, as you had left it",
        "✓ the demo's daemons, keepers, lanes and repository are gone",
        "✓ 15 claims, each checked",
    ] {
        assert!(said.contains(claim), "{claim:?} is not in\n{said}");
    }
    assert!(!said.contains('\x1b'), "no colours where nobody looks\n{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left");
}

#[test]
fn a_demo_that_is_interrupted_in_the_middle_leaves_nothing_either() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::Builder::new().prefix("demo").tempdir_in("/tmp").unwrap();
    let mut child = command(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Tasks are waiting then for something that will never come.
    assert!(lines.any(|line| line.contains("run --plan survive.json --jobs 3 --detach")));
    // SAFETY: our own child, not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert!(!lines.any(|line| line.contains("claims, each checked")));
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left");
}
