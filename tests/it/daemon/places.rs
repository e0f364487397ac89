//! States that repositories and folders are in. A run works end to end or says why not; what is the user's stays.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
};

use super::sandbox::Sandbox;

/// A run in a checkout makes its file on its branch, and nothing of the user's changes.
#[track_caller]
fn works_in(sandbox: &Sandbox, checkout: &Path) {
    let before = sandbox.users(checkout);
    let said =
        sandbox.run_in(checkout, &["run", "--json", "--do", "echo made > made.txt", "--verify", "test -f made.txt"]);
    let report = said.exits(0).json();
    let branch = report["result"]["ref"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned();
    assert_eq!(sandbox.users(checkout), before, "what is the user's was changed");
    assert_eq!(sandbox.git_in(checkout, &["show", &format!("{branch}:made.txt")]), "made\n");
    assert!(!checkout.join("made.txt").exists());
}

#[test]
fn in_every_state_of_head() {
    // Nothing committed yet, with and without files.
    let sandbox = Sandbox::empty();
    sandbox.git(&["init", "-q", "-b", "main"]);
    works_in(&sandbox, &sandbox.repo);
    sandbox.write("draft.txt", "words\n");
    works_in(&sandbox, &sandbox.repo);
    sandbox.git(&["add", "-A"]);
    works_in(&sandbox, &sandbox.repo);
    sandbox.git(&["commit", "-q", "-m", "first"]);
    // Not on a branch.
    sandbox.git(&["checkout", "-q", "--detach"]);
    works_in(&sandbox, &sandbox.repo);
    // On a branch that has our name: where ours stand it cannot be made, where it stands ours get another.
    sandbox.git(&[
        "branch",
        "-q",
        "-D",
        "orchestrator/R-1",
        "orchestrator/R-2",
        "orchestrator/R-3",
        "orchestrator/R-4",
    ]);
    sandbox.git(&["checkout", "-q", "-b", "orchestrator"]);
    works_in(&sandbox, &sandbox.repo);
    // In the middle of a merge with conflicts, with a stash.
    sandbox.git(&["checkout", "-q", "main"]);
    sandbox.write("draft.txt", "stashed\n");
    sandbox.git(&["stash", "-q"]);
    sandbox.write("draft.txt", "ours\n");
    sandbox.git(&["commit", "-q", "-a", "-m", "ours"]);
    sandbox.git(&["checkout", "-q", "-b", "other", "HEAD~1"]);
    sandbox.write("draft.txt", "theirs\n");
    sandbox.git(&["commit", "-q", "-a", "-m", "theirs"]);
    let mut merge =
        sandbox.command_of(Path::new("git"), &["-c", "user.name=t", "-c", "user.email=t@l", "merge", "main"]);
    merge.current_dir(&sandbox.repo);
    sandbox.finish(merge).exits(1);
    works_in(&sandbox, &sandbox.repo);
}

#[test]
fn in_two_work_trees_at_once() {
    let sandbox = Sandbox::new();
    let second = sandbox.root.join("second");
    sandbox.git(&["worktree", "add", "-q", "-b", "second", second.to_str().unwrap()]);
    fs::write(second.join("only-here.txt"), "x\n").unwrap();
    let before = (sandbox.users(&sandbox.repo), sandbox.users(&second));
    let run = |folder: &Path, name: &str| {
        let made = format!("sleep 0.1; ls > {name}.txt");
        let mut command =
            sandbox.command(&["run", "--json", "--do", &made, "--verify", &format!("test -f {name}.txt")]);
        command.current_dir(folder).spawn().unwrap()
    };
    let clients = [run(&sandbox.repo, "first"), run(&second, "second")];
    let reports = clients.map(|client| sandbox.finish_child(client).exits(0).json());
    assert_eq!((sandbox.users(&sandbox.repo), sandbox.users(&second)), before);
    assert_eq!(
        fs::read_dir(sandbox.state.join("orchestrator/workspaces")).unwrap().count(),
        1,
        "they share a workspace"
    );
    let branch = |index: usize| reports[index]["result"]["ref"].as_str().unwrap().to_owned();
    let show = |at: String| sandbox.git(&["show", &at]);
    assert!(!show(format!("{}:first.txt", branch(0))).contains("only-here.txt"));
    assert!(show(format!("{}:second.txt", branch(1))).contains("only-here.txt"));
    // Each result goes home where it came from.
    let run = reports[1]["request_id"].as_str().unwrap();
    sandbox.run(&["apply", run]).exits(0);
    assert!(second.join("second.txt").exists() && !sandbox.repo.join("second.txt").exists());
}

#[test]
fn with_submodules_nested_repositories_loops_and_unreadable_files() {
    let sandbox = Sandbox::new();
    let library = sandbox.root.join("library");
    sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "library"]);
    fs::write(library.join("code.txt"), "code\n").unwrap();
    sandbox.git_in(&library, &["add", "-A"]);
    sandbox.git_in(&library, &["commit", "-q", "-m", "code"]);
    sandbox.git(&["submodule", "--quiet", "add", library.to_str().unwrap(), "library"]);
    sandbox.git(&["commit", "-q", "-m", "submodule"]);
    works_in(&sandbox, &sandbox.repo);
    sandbox.run_do("test -f library/code.txt && echo y > y.txt", "test -f y.txt").exits(0);
    // A repository inside that is none of ours.
    sandbox.git(&["init", "-q", "-b", "main", "nested"]);
    sandbox.write("nested/inner.txt", "inner\n");
    works_in(&sandbox, &sandbox.repo);
    assert_eq!(sandbox.read("nested/inner.txt"), "inner\n");
    // Links that lead nowhere and in circles.
    symlink("loop-b", sandbox.repo.join("loop-a")).unwrap();
    symlink("loop-a", sandbox.repo.join("loop-b")).unwrap();
    symlink("..", sandbox.repo.join("up")).unwrap();
    symlink("/nowhere/at/all", sandbox.repo.join("dangling")).unwrap();
    works_in(&sandbox, &sandbox.repo);
    // Names that are no text.
    fs::write(sandbox.repo.join(OsStr::from_bytes(b"caf\xe9 \n\t\"x\".txt")), "bytes\n").unwrap();
    works_in(&sandbox, &sandbox.repo);
    sandbox.run_do("cat caf* > copy.txt", "grep -q bytes copy.txt").exits(0);
    // A file that cannot be read: named, left out (root reads everything).
    sandbox.write("secret.bin", "x");
    fs::set_permissions(sandbox.repo.join("secret.bin"), fs::Permissions::from_mode(0o000)).unwrap();
    works_in(&sandbox, &sandbox.repo);
    // A pipe among the files must not be waited for.
    let name = std::ffi::CString::new(sandbox.repo.join("pipe").as_os_str().as_bytes()).unwrap();
    // SAFETY: a path of ours that lives for the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    works_in(&sandbox, &sandbox.repo);
}

/// What the user's own git would stumble over is none of our lanes' business: filters that are not installed, hooks that
/// refuse, signatures that cannot be made, variables that point elsewhere.
#[test]
fn where_filters_are_missing_hooks_refuse_and_nothing_can_be_signed() {
    let sandbox = Sandbox::new();
    sandbox.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    sandbox.write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "a pointer"]);
    for (key, value) in [
        ("filter.lfs.required", "true"),
        ("filter.lfs.process", "no-such-lfs filter-process"),
        ("filter.lfs.clean", "no-such-lfs clean -- %f"),
        ("filter.lfs.smudge", "no-such-lfs smudge -- %f"),
        ("commit.gpgsign", "true"),
        ("gpg.program", "false"),
        ("core.hooksPath", ".hooks"),
    ] {
        sandbox.git(&["config", key, value]);
    }
    fs::create_dir(sandbox.repo.join(".hooks")).unwrap();
    for hook in ["post-checkout", "pre-commit", "reference-transaction", "post-index-change"] {
        super::sandbox::script(&sandbox.repo.join(".hooks").join(hook), "echo a hook ran >&2; exit 1");
    }
    let made = |file: &str| format!("echo made > {file}");
    sandbox.run_do(&made("made.txt"), "test -f made.txt").exits(0);
    sandbox.write("src/lib.txt", "edited\n");
    let mut command = sandbox.command(&[
        "run",
        "--do",
        &made("other.txt"),
        "--verify",
        "test -f other.txt && grep -q edited src/lib.txt",
    ]);
    command.env("GIT_DIR", "/nonexistent").env("GIT_INDEX_FILE", "/nonexistent/index").env("GIT_WORK_TREE", "/");
    sandbox.finish(command).exits(0);
    sandbox.run(&["apply", "R-2"]).exits(0);
    assert_eq!(sandbox.read("other.txt"), "made\n");
    assert_eq!(sandbox.read("big.bin").lines().count(), 3, "the pointer is as it was");
}

#[test]
fn after_lanes_were_deleted_by_hand() {
    let sandbox = Sandbox::new();
    works_in(&sandbox, &sandbox.repo);
    let lanes = sandbox.workspace().join("lanes");
    for spoil in 0..4 {
        for entry in fs::read_dir(&lanes).unwrap().flatten() {
            if !entry.file_name().to_str().unwrap().starts_with("L-") {
                continue;
            }
            let lane = entry.path();
            match spoil {
                0 => fs::remove_dir_all(&lane).unwrap(),
                1 => fs::remove_file(lane.join(".git")).unwrap(),
                2 => {
                    fs::remove_dir_all(&lane).unwrap();
                    fs::write(&lane, "a file").unwrap();
                }
                _ => fs::write(lane.join("left.txt"), "left").unwrap(),
            }
        }
        works_in(&sandbox, &sandbox.repo);
    }
    fs::remove_dir_all(&lanes).unwrap();
    works_in(&sandbox, &sandbox.repo);
    sandbox.git(&["worktree", "prune"]);
    works_in(&sandbox, &sandbox.repo);
    // The whole state is gone: a new life, which does not mind what the old one left in the repository.
    sandbox.run(&["daemon", "stop"]).exits(0);
    for pid in sandbox.daemons().into_iter().chain(sandbox.keepers()) {
        super::sandbox::kill_9(pid);
        sandbox.gone(pid);
    }
    fs::remove_dir_all(sandbox.state.join("orchestrator")).unwrap();
    let branches = sandbox.git(&["for-each-ref", "refs/heads/orchestrator"]);
    works_in(&sandbox, &sandbox.repo);
    let now = sandbox.git(&["for-each-ref", "refs/heads/orchestrator"]);
    for line in branches.lines() {
        assert!(now.contains(line), "an earlier result was lost: {line}");
    }
}

#[test]
fn in_a_folder_without_git_nothing_appears() {
    let sandbox = Sandbox::empty();
    sandbox.write("notes.txt", "one\n");
    sandbox.write("deep/er.txt", "two\n");
    let list = || {
        let mut command = sandbox.command_of(Path::new("find"), &[".", "-printf", "%p %s %T@ %m\\n"]);
        command.current_dir(&sandbox.repo);
        sandbox.finish(command).out
    };
    let before = list();
    let said = sandbox.run_do("echo more >> notes.txt; rm deep/er.txt; echo new > new.txt", "test -f new.txt").exits(0);
    assert_eq!(list(), before, "{}", said.all());
    sandbox.run(&["diff", "R-1"]).exits(0).says("+more");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("notes.txt"), "one\nmore\n");
    assert!(sandbox.repo.join("new.txt").exists() && !sandbox.repo.join("deep/er.txt").exists());
    assert!(!sandbox.repo.join(".git").exists());
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.read("notes.txt"), "one\n");
    assert_eq!(sandbox.read("deep/er.txt"), "two\n");
    assert!(!sandbox.repo.join("new.txt").exists());
}

#[test]
fn where_nothing_can_work_it_says_why() {
    let sandbox = Sandbox::new();
    // No git.
    let empty = sandbox.root.join("bin");
    fs::create_dir(&empty).unwrap();
    let mut command = sandbox.command(&["run", "--do", "true", "--verify", "true"]);
    command.env("PATH", &empty);
    sandbox.finish(command).exits(5).says("git not found");
    // A repository without a work tree, and the inside of a `.git`.
    sandbox.git_in(&sandbox.root, &["init", "-q", "--bare", "bare.git"]);
    sandbox.run_in(&sandbox.root.join("bare.git"), &["run", "--do", "true", "--verify", "true"]).exits(2).says("bare");
    let inside = sandbox.run_in(&sandbox.repo.join(".git"), &["run", "--do", "true", "--verify", "true"]);
    assert_ne!(inside.code, Some(0), "{}", inside.all());
    // Places that are no project.
    sandbox
        .run_in(Path::new("/"), &["run", "--do", "true", "--verify", "true"])
        .exits(2)
        .says("not taken as a workspace");
    sandbox
        .run_in(&sandbox.home, &["run", "--do", "true", "--verify", "true"])
        .exits(2)
        .says("not taken as a workspace");
    // A broken repository.
    fs::create_dir(sandbox.root.join("broken")).unwrap();
    fs::write(sandbox.root.join("broken/.git"), "gitdir: /nowhere\n").unwrap();
    let broken = sandbox.run_in(&sandbox.root.join("broken"), &["run", "--do", "true", "--verify", "true"]);
    assert_eq!(broken.code, Some(2), "{}", broken.all());
    // And here everything is as before.
    works_in(&sandbox, &sandbox.repo);
}
