//! From the first client to the last: one daemon, started on demand, and its end.

use std::{
    fs,
    io::Read,
    os::{fd::AsRawFd, unix::net::UnixListener},
    process::Stdio,
};

use serde_json::json;

use super::sandbox::{Sandbox, Wire, eventually, kill_9};

#[test]
fn ten_clients_at_once_get_one_daemon() {
    let sandbox = Sandbox::new();
    for round in 0..3 {
        let clients: Vec<_> =
            (0..10).map(|_| sandbox.command(&["daemon", "status", "--json"]).spawn().unwrap()).collect();
        // `status` alone starts none.
        for client in clients {
            sandbox.finish_child(client).exits(5).says("no daemon runs");
        }
        let clients: Vec<_> = (0..10).map(|_| sandbox.command(&["status", "--json"]).spawn().unwrap()).collect();
        for client in clients {
            sandbox.finish_child(client).exits(0);
        }
        let daemons = sandbox.daemons();
        assert_eq!(daemons.len(), 1, "round {round}: {daemons:?}");
        match round {
            0 => {
                // A crash leaves the socket and the lock file.
                kill_9(daemons[0]);
                sandbox.gone(daemons[0]);
                assert!(sandbox.socket().exists());
            }
            _ => {
                sandbox.run(&["daemon", "stop"]).exits(0).says(&format!("pid {}", daemons[0]));
                sandbox.gone(daemons[0]);
                assert!(!sandbox.socket().exists());
            }
        }
    }
}

#[test]
fn a_second_daemon_leaves_at_once_and_start_stop_and_status_say_so() {
    let sandbox = Sandbox::new();
    sandbox.run(&["daemon", "stop"]).exits(5).says("no daemon runs");
    sandbox.run(&["daemon", "start"]).exits(0);
    let first = sandbox.daemons();
    sandbox.run(&["daemon", "start"]).exits(0);
    let said = sandbox.run(&["daemon", "run"]).exits(0);
    assert_eq!(said.out.trim(), "taken");
    assert_eq!(sandbox.daemons(), first);
    let status = sandbox.run(&["daemon", "status", "--json"]).exits(0).json();
    assert_eq!(status["pid"].as_i64(), Some(i64::from(first[0])));
    assert_eq!(status["socket"].as_str(), sandbox.socket().to_str());
    // Who follows is told by the end of the stream, and whoever comes meanwhile gets the next daemon.
    let wire = sandbox.wire();
    sandbox.run(&["daemon", "stop"]).exits(0);
    assert!(wire.rest().is_empty());
    sandbox.run(&["status"]).exits(0);
    assert_ne!(sandbox.daemons(), first);
}

#[test]
fn stopping_and_starting_again_and_again_never_leaves_a_client_without_a_daemon() {
    let sandbox = Sandbox::new();
    sandbox.run(&["daemon", "start"]).exits(0);
    for _ in 0..8 {
        let stop = sandbox.command(&["daemon", "stop"]).spawn().unwrap();
        let clients: Vec<_> = (0..3).map(|_| sandbox.command(&["status", "--json"]).spawn().unwrap()).collect();
        for client in clients {
            let said = sandbox.finish_child(client);
            // A daemon that was told to end in the middle of a call says so.
            if said.code != Some(0) {
                let said = said.exits(5);
                assert!(said.all().contains("again"), "{}", said.all());
            }
        }
        // It may find none, or be cut off by the end it asked for.
        let _ = sandbox.finish_child(stop);
    }
    eventually("one daemon", || (sandbox.daemons().len() <= 1).then_some(()));
}

#[test]
fn another_version_hands_over_or_is_told_to() {
    let sandbox = Sandbox::new();
    // An older daemon, played by hand: it is asked to stop, and a new one takes its place.
    fs::create_dir_all(sandbox.socket().parent().unwrap()).unwrap();
    let old = UnixListener::bind(sandbox.socket()).unwrap();
    let client = sandbox.command(&["status", "--json"]).spawn().unwrap();
    let (stream, _) = old.accept().unwrap();
    let mut wire = Wire::of(stream);
    let hello = wire.next();
    assert_eq!(hello["method"], "hello");
    let welcome = |version: &str, protocol: u32| {
        json!({"summary": "", "revision": 0, "version": version, "protocol": protocol, "role": "person", "pid": 1,
               "workspace": {"path": "/x", "id": "x", "name": "x", "vcs": "git", "trusted": false}})
    };
    wire.reply(&hello["id"], welcome("0.0.9", 1));
    let stop = wire.next();
    assert_eq!(stop["method"], "stop_daemon");
    fs::remove_file(sandbox.socket()).unwrap();
    drop((wire, old));
    sandbox.finish_child(client).exits(0);
    assert_eq!(sandbox.daemons().len(), 1);
    sandbox.run(&["daemon", "stop"]).exits(0);
    eventually("its end", || sandbox.daemons().is_empty().then_some(()));
    // A newer one that we do not understand is left alone, and named.
    let new = UnixListener::bind(sandbox.socket()).unwrap();
    let client = sandbox.command(&["status", "--json"]).spawn().unwrap();
    let mut wire = Wire::of(new.accept().unwrap().0);
    let hello = wire.next();
    wire.reply(&hello["id"], welcome("99.0.0", 2));
    sandbox.finish_child(client).exits(5).says("99.0.0");
    // Our own daemon says hello to clients of any version: each knows by the answer what to do.
    drop((wire, new));
    fs::remove_file(sandbox.socket()).unwrap();
    for version in ["0.0.1", "99.0.0", "", "not a version"] {
        let mut wire = sandbox.raw();
        let mut hello = sandbox.hello();
        hello["hello"]["version"] = version.into();
        let answer = wire.call("hello", hello);
        assert_eq!(answer["result"]["version"], env!("CARGO_PKG_VERSION"), "{answer}");
    }
}

#[test]
fn an_idle_daemon_ends_but_not_while_anything_is_unfinished() {
    let sandbox = Sandbox::new();
    sandbox.configure("[daemon]\nidle_exit_s = 0.2");
    sandbox.run(&["status"]).exits(0);
    let daemon = sandbox.daemons();
    sandbox.gone(daemon[0]);
    assert!(!sandbox.socket().exists());
    // A task that runs keeps it; the task waits for us.
    let gate = sandbox.root.join("gate");
    let wait = format!("while ! test -e {}; do sleep 0.01; done", gate.display());
    sandbox.run(&["run", "--detach", "--do", &wait, "--verify", "true"]).exits(0);
    let daemon = sandbox.daemons();
    assert_eq!(daemon.len(), 1);
    // Four times its limit.
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(sandbox.daemons(), daemon, "it ended while a task ran");
    fs::write(&gate, "").unwrap();
    sandbox.gone(daemon[0]);
    assert_eq!(sandbox.run(&["status", "R-1", "--json"]).exits(0).json()["sessions"][0]["outcome"], "completed");
    // So does a question.
    let plan = "version = 1\n[[tasks]]\nid = \"ask\"\nkind = \"decision\"\nquestion = \"Which?\"\noptions = [\"left\", \"right\"]\n";
    sandbox.run_plan(plan, &["--no-wait"]).exits(3);
    let daemon = sandbox.daemons();
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(sandbox.daemons(), daemon, "it ended while a question was open");
    sandbox.run(&["decide", "D-1", "left"]).exits(0);
    sandbox.gone(daemon[0]);
    assert!(sandbox.keepers().len() <= 1);
}

#[test]
fn the_daemon_lets_go_of_everything_that_its_first_client_had() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["status"]);
    command.env("GITHUB_TOKEN", "s3cr3t-token").env("LD_PRELOAD_NOT", "x").env("CLAUDECODE", "1");
    command.stdin(Stdio::piped());
    // A pipe that the client inherits must close with the client.
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the descriptor is ours; it is to be inherited.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFD, 0) };
    let child = command.spawn().unwrap();
    drop(writer);
    sandbox.finish_child(child).exits(0);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    let daemon = sandbox.daemons()[0];
    let proc = |what: &str| format!("/proc/{daemon}/{what}");
    let environ = String::from_utf8_lossy(&fs::read(proc("environ")).unwrap()).into_owned();
    for word in ["s3cr3t", "LD_PRELOAD", "CLAUDECODE"] {
        assert!(!environ.contains(word), "{word} is in {environ:?}");
    }
    assert!(environ.contains("XDG_STATE_HOME"), "{environ:?}");
    assert_eq!(fs::read_link(proc("cwd")).unwrap().to_str(), Some("/"));
    for stream in ["0", "1"] {
        assert_eq!(fs::read_link(proc("fd/") + stream).unwrap().to_str(), Some("/dev/null"));
    }
    // A session of its own: no terminal's end reaches it.
    let stat = fs::read_to_string(proc("stat")).unwrap();
    let words: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    assert_eq!((words[3], words[4]), (daemon.to_string().as_str(), "0"), "session and terminal in {stat}");
    // The secret is in no file of ours either, and in no job.
    let mut command = sandbox.command(&["run", "--do", "env > got.txt", "--verify", "test -s got.txt"]);
    command.env("GITHUB_TOKEN", "s3cr3t-token");
    sandbox.finish(command).exits(0);
    let got = sandbox.git(&["show", "orchestrator/R-1:got.txt"]);
    assert!(!got.contains("s3cr3t") && got.contains("PATH="), "{got}");
    let found = std::process::Command::new("grep").args(["-rlF", "s3cr3t-token"]).arg(&sandbox.state).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}
