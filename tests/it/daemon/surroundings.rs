//! Surroundings that programs meet in containers, services and on full disks.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use super::sandbox::{PATH, Sandbox};

fn root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn with_hardly_any_environment_and_without_terminal_or_input() {
    let sandbox = Sandbox::new();
    // Without HOME the password database says it, so only the XDG folders keep us out of the real one.
    let mut command = sandbox.command(&["run", "--do", "echo x > x.txt", "--verify", "test -f x.txt"]);
    command.env_remove("HOME");
    sandbox.finish(command).exits(0);
    sandbox.run(&["daemon", "stop"]).exits(0);
    // `env -i` with relative and empty values: those are no places.
    let mut command = sandbox.command(&["run", "--do", "echo y > y.txt", "--verify", "test -f y.txt"]);
    command.env_clear().env("PATH", PATH).env("HOME", &sandbox.home).env("XDG_STATE_HOME", "relative");
    command.env("TMPDIR", sandbox.root.join("tmp")).env("XDG_CONFIG_HOME", "");
    fs::create_dir(sandbox.root.join("tmp")).unwrap();
    sandbox.finish(command).exits(0);
    assert!(sandbox.home.join(".local/state/orchestrator/workspaces").is_dir());
    // Standard input closed, standard output a file, no terminal, another session.
    let mut command = Command::new("setsid");
    let program = env!("CARGO_BIN_EXE_orchestrator");
    let line = format!(
        "exec {program} run --do 'echo z > z.txt' --verify 'test -f z.txt' <&- > {}/out.txt 2>&1",
        sandbox.root.display()
    );
    command.args(["-w", "sh", "-c", &line]).env_clear().envs(sandbox.env()).current_dir(&sandbox.repo);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = sandbox.finish(command);
    let out = fs::read_to_string(sandbox.root.join("out.txt")).unwrap();
    assert_eq!(said.code, Some(0), "{out}");
    // All three standard streams closed: nothing of ours may end up in a file that took their numbers.
    let mut command = Command::new("setsid");
    let line = format!("exec {program} run --do 'echo w > w.txt' --verify 'test -f w.txt' <&- >&- 2>&-");
    command.args(["-w", "sh", "-c", &line]).env_clear().envs(sandbox.env()).current_dir(&sandbox.repo);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let _ = sandbox.finish(command);
    sandbox.run(&["journal", "verify"]).exits(0);
}

#[test]
fn in_places_with_long_names() {
    let mut sandbox = Sandbox::new();
    let deep = sandbox.root.join("a".repeat(60)).join("b".repeat(60));
    fs::create_dir_all(&deep).unwrap();
    sandbox.state = deep.clone();
    // Too long for a socket: the temporary folder takes its place.
    sandbox.runtime = deep;
    let temporary = sandbox.root.join("t");
    fs::create_dir(&temporary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("TMPDIR", &temporary);
        sandbox.finish(command)
    };
    run(&["run", "--do", "echo x > x.txt", "--verify", "test -f x.txt"]).exits(0);
    let status = run(&["daemon", "status", "--json"]).exits(0).json();
    assert!(status["socket"].as_str().unwrap().starts_with(temporary.to_str().unwrap()), "{status}");
    run(&["daemon", "stop"]).exits(0);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    // A file where the folder should be: refused for root as well.
    fs::remove_dir(&sandbox.state).unwrap();
    fs::write(&sandbox.state, "").unwrap();
    sandbox.run_do("true", "true").exits(5).says(sandbox.state.to_str().unwrap());
    assert!(sandbox.daemons().is_empty());
    if !root() {
        fs::remove_file(&sandbox.state).unwrap();
        fs::create_dir(&sandbox.state).unwrap();
        fs::set_permissions(&sandbox.state, fs::Permissions::from_mode(0o500)).unwrap();
        sandbox.run_do("true", "true").exits(5).says(sandbox.state.to_str().unwrap());
        return;
    }
    // Root may write everywhere, so somebody else tries; folders of root's are not theirs to use.
    let nobody = 65534;
    fs::remove_file(&sandbox.state).unwrap();
    fs::create_dir(&sandbox.state).unwrap();
    fs::set_permissions(&sandbox.root, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = sandbox.root.join("orchestrator");
    fs::copy(env!("CARGO_BIN_EXE_orchestrator"), &copy).unwrap();
    std::os::unix::fs::chown(&sandbox.runtime, Some(nobody), Some(nobody)).unwrap();
    let mut command = sandbox.command_of(&copy, &["run", "--do", "true", "--verify", "true"]);
    command.uid(nobody).gid(nobody);
    sandbox.finish(command).exits(5).says(sandbox.state.to_str().unwrap());
    assert!(sandbox.daemons().is_empty());
    // A socket's folder that another user made is not used either.
    std::os::unix::fs::chown(&sandbox.state, Some(nobody), Some(nobody)).unwrap();
    std::os::unix::fs::chown(&sandbox.runtime, Some(0), Some(0)).unwrap();
    fs::create_dir(sandbox.runtime.join("orchestrator")).unwrap();
    let mut command = sandbox.command_of(&copy, &["run", "--do", "true", "--verify", "true"]);
    command.uid(nobody).gid(nobody);
    sandbox.finish(command).exits(5).says("belongs to somebody else");
    assert!(sandbox.daemons().is_empty());
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let sandbox = Sandbox::new();
    let mounted = root()
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "none"])
            .arg(&sandbox.state)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    sandbox.configure("[state]\nmin_free_gb = 0.0");
    let unmount = Unmount(&sandbox);
    sandbox.run_do("echo x > x.txt", "test -f x.txt").exits(0);
    // From here on nothing fits any more.
    let filler = sandbox.state.join("filler");
    let _ = fs::write(&filler, vec![0u8; 8 << 20]);
    let said = sandbox.run(&["run", "--within", "5s", "--do", "echo y > y.txt", "--verify", "test -f y.txt"]);
    assert_ne!(said.code, Some(0), "{}", said.all());
    assert!(!said.all().is_empty());
    fs::remove_file(&filler).unwrap();
    // What was done is there, and work goes on with the room.
    sandbox.run(&["journal", "verify"]).exits(0);
    let first = sandbox.run(&["status", "R-1", "--json"]).exits(0).json();
    assert_eq!(first["sessions"][0]["outcome"], "completed");
    sandbox.run_do("echo z > z.txt", "test -f z.txt").exits(0);
    for pid in sandbox.daemons().into_iter().chain(sandbox.keepers()) {
        super::sandbox::kill_9(pid);
        sandbox.gone(pid);
    }
    drop(unmount);
}

/// Takes a mounted state folder away again.
struct Unmount<'a>(&'a Sandbox);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let state: &Path = &self.0.state;
        let _ = Command::new("umount").arg("-l").arg(state).status();
    }
}
