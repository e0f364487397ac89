//! A journal that was damaged from outside: refused loudly, and what is whole can still be read.

use std::fs;

use super::sandbox::{Sandbox, kill_9};

fn stop(sandbox: &Sandbox) {
    for pid in sandbox.daemons().into_iter().chain(sandbox.keepers()) {
        kill_9(pid);
        sandbox.gone(pid);
    }
}

#[test]
fn who_has_read_enough_of_an_export_hears_of_no_failure() {
    let sandbox = Sandbox::new();
    sandbox.run_do("echo x > x.txt", "true").exits(0);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command(&["journal", "export"]);
    command.stdout(writer);
    let said = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((said.status.code(), String::from_utf8_lossy(&said.stderr).as_ref()), (Some(141), ""));
}

#[test]
fn a_flipped_byte_is_refused_and_the_rest_exported() {
    let sandbox = Sandbox::new();
    for number in 0..3 {
        sandbox.run_do(&format!("echo {number} > flip-me-{number}.txt"), "true").exits(0);
    }
    sandbox.run(&["journal", "verify"]).exits(0);
    let whole = sandbox.run(&["journal", "export"]).exits(0);
    stop(&sandbox);
    let dir = sandbox.workspace();
    // The fold would hide it: what is remembered must agree with what is written.
    let _ = fs::remove_file(dir.join("fold.bin"));
    let spoiled = ["journal.db", "journal.db-wal"].iter().any(|name| {
        let path = dir.join(name);
        let Ok(mut bytes) = fs::read(&path) else { return false };
        let word = b"flip-me-1";
        let Some(at) = bytes.windows(word.len()).position(|window| window == word) else { return false };
        bytes[at] ^= 0x20;
        fs::write(&path, bytes).unwrap();
        true
    });
    assert!(spoiled, "the word is nowhere in the journal");
    let refused = sandbox.run(&["journal", "verify"]);
    assert_ne!(refused.code, Some(0), "{}", refused.all());
    let refused = sandbox.run(&["status", "R-1"]).exits(5);
    assert!(refused.err.contains("journal"), "{}", refused.all());
    // Not half-heartedly: nothing new is begun either, and another workspace is not concerned.
    sandbox.run_do("true", "true").exits(5);
    let exported = sandbox.run(&["journal", "export"]).exits(0);
    assert!(exported.err.contains("damaged"), "{}", exported.err);
    assert!(!exported.out.is_empty() && exported.out.len() <= whole.out.len());
    let other = sandbox.root.join("other");
    sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "other"]);
    sandbox.run_in(&other, &["run", "--do", "echo x > x.txt", "--verify", "test -f x.txt"]).exits(0);
}

#[test]
fn a_lost_fold_is_folded_again_and_a_journal_travels() {
    let sandbox = Sandbox::new();
    sandbox.run_do("echo x > x.txt", "test -f x.txt").exits(0);
    let status = |what: &str| {
        let mut status = sandbox.run(&["status", "R-1", "--json"]).exits(0).json();
        status["daemon"] = what.into();
        status.to_string()
    };
    let before = status("");
    for spoil in ["gone", "empty", "garbage"] {
        sandbox.run(&["daemon", "stop"]).exits(0);
        stop(&sandbox);
        let fold = sandbox.workspace().join("fold.bin");
        match spoil {
            "gone" => drop(fs::remove_file(&fold)),
            "empty" => fs::write(&fold, "").unwrap(),
            _ => fs::write(&fold, [7u8; 4096]).unwrap(),
        }
        assert_eq!(status(""), before, "{spoil}");
    }
    let file = sandbox.root.join("journal.jsonl");
    sandbox.run(&["journal", "export", file.to_str().unwrap()]).exits(0);
    let copy = sandbox.root.join("copy");
    sandbox.run(&["journal", "import", file.to_str().unwrap(), copy.to_str().unwrap()]).exits(0);
    let verified = sandbox.run(&["journal", "verify", copy.to_str().unwrap()]).exits(0);
    assert!(verified.out.contains("all intact"), "{}", verified.out);
    // Over one that is there nothing is imported.
    assert_ne!(sandbox.run(&["journal", "import", file.to_str().unwrap(), copy.to_str().unwrap()]).code, Some(0));
}
