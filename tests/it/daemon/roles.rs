//! Who may do what, seen from where jobs and model sessions really are.

use std::fs;

use super::sandbox::{PATH, Sandbox};

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchestrator");

#[test]
fn a_job_may_look_and_do_nothing_else_however_it_hides() {
    let sandbox = Sandbox::new();
    sandbox.run_do("echo x > x.txt", "test -f x.txt").exits(0);
    let said = sandbox.root.join("said.txt");
    // As it is; without our marker; away from its parents; both, and waited for.
    let ways = [
        String::new(),
        "env -i ".to_owned(),
        "setsid -w ".to_owned(),
        "exec env -i ".to_owned(),
        "setsid -w env -i ".to_owned(),
    ];
    let verbs = [
        "apply R-1",
        "undo R-1",
        "trust",
        "cancel R-1",
        "retry R-1",
        "run --detach --do true --verify true",
        "daemon stop",
        "checkpoint",
    ];
    let places = sandbox.env().map(|(name, value)| format!("{name}={}", value.display())).join(" ");
    let mut script = String::new();
    for way in &ways {
        for verb in verbs {
            script.push_str(&format!(
                "(cd {} && {way}env {places} {PROGRAM} {verb}) >> {said} 2>&1; echo \"exit $?\" >> {said}\n",
                sandbox.repo.display(),
                said = said.display(),
            ));
        }
    }
    // One that lets its parents end first.
    let orphan = sandbox.root.join("orphan.txt");
    script.push_str(&format!(
        "(cd {} && (setsid env -i {places} sh -c '{PROGRAM} apply R-1 > {o}.part 2>&1; mv {o}.part {o}' &) )\nwhile ! test -e {o}; do sleep 0.01; done\n",
        sandbox.repo.display(),
        o = orphan.display(),
    ));
    script.push_str("echo done > done.txt\n");
    let file = sandbox.file("job.sh", script);
    let before = sandbox.users(&sandbox.repo);
    sandbox.run_do(&format!("sh {}", file.display()), "test -f done.txt").exits(0);
    let said = fs::read_to_string(said).unwrap();
    let refused =
        "error: an agent of a run may not do this\nhint: a person can do it in a terminal of their own\nexit 1\n";
    assert_eq!(said.replace(refused, ""), "");
    assert_eq!(said.matches("an agent of a run may not do this").count(), ways.len() * verbs.len(), "{said}");
    assert_eq!(said.matches("exit 1\n").count(), ways.len() * verbs.len(), "{said}");
    let orphan = fs::read_to_string(orphan).unwrap();
    assert!(orphan.contains("an agent of a run may not do this"), "{orphan}");
    assert_eq!(sandbox.users(&sandbox.repo), before);
    assert!(!sandbox.repo.join("x.txt").exists());
}

#[test]
fn bytes_that_a_job_writes_to_the_socket_get_no_further() {
    let sandbox = Sandbox::new();
    let python =
        ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(|path| std::path::Path::new(path).exists());
    let Some(python) = python else {
        eprintln!("skipped: no python3 to speak to a socket from a job");
        return;
    };
    let answers = sandbox.root.join("answers.txt");
    let client = format!(
        r#"
import json, socket
s = socket.socket(socket.AF_UNIX); s.connect({socket:?}); f = s.makefile("rw")
out = open({answers:?}, "w")
def call(method, params):
    f.write(json.dumps({{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}}) + "\n"); f.flush()
    out.write(method + " " + f.readline()); out.flush()
call("hello", {{"hello": {{"version": "9", "protocol": 1, "workspace": {repo:?}, "client": {{"name": "person", "surface": "cli"}}, "env": {{}}}}}})
call("trust", {{"grant": True}})
call("stop_daemon", {{"now": True}})
call("apply", {{"run": "R-1"}})
call("process_request", {{"request": {{"description": "x"}}}})
call("submit_task", {{"task": {{"type": "x", "description": "x"}}}})
call("submit_decision", {{"decision_id": "D-1", "response": {{"choice": "yes"}}}})
call("restore_checkpoint", {{"checkpoint_id": "C-1"}})
call("list_runs", {{}})
"#,
        socket = sandbox.socket(),
        repo = sandbox.repo,
    );
    let file = sandbox.file("client.py", client);
    sandbox.run_do(&format!("{python} {} && echo x > x.txt", file.display()), "test -f x.txt").exits(0);
    let answers = fs::read_to_string(answers).unwrap();
    assert!(answers.lines().next().unwrap().contains("\"role\":\"agent\""), "{answers}");
    assert_eq!(answers.matches("FORBIDDEN").count(), 7, "{answers}");
    assert!(answers.lines().last().unwrap().contains("\"result\""), "{answers}");
    assert_eq!(sandbox.daemons().len(), 1);
}

#[test]
fn a_command_below_a_model_is_a_session_and_a_persons_is_a_persons() {
    let sandbox = Sandbox::new();
    sandbox.run(&["daemon", "start", "--json"]).exits(0).says("\"role\":\"person\"");
    for marker in [("CLAUDECODE", "1"), ("GEMINI_CLI", "1")] {
        let mut command = sandbox.command(&["daemon", "start", "--json"]);
        command.env(marker.0, marker.1);
        sandbox.finish(command).exits(0).says("\"role\":\"session\"");
    }
    // It works, but neither trusts nor ends the daemon, even where it clears its own environment.
    let mut command = sandbox.command(&["run", "--do", "echo x > x.txt", "--verify", "test -f x.txt"]);
    command.env("CLAUDECODE", "1");
    sandbox.finish(command).exits(0);
    let places = sandbox.env().map(|(name, value)| format!("{name}={}", value.display())).join(" ");
    for verb in ["trust", "daemon stop", "run --trust --do true --verify true"] {
        let line = format!("env -u CLAUDECODE {PROGRAM} {verb}; code=$?; true; exit $code");
        let mut command = sandbox.command_of(std::path::Path::new("sh"), &["-c", &line]);
        command.env("CLAUDECODE", "1");
        sandbox.finish(command).exits(1).says("a model's session may not do this");
    }
    let line = format!("env -i {places} PATH={PATH} {PROGRAM} trust --revoke; exit $?");
    let mut command = sandbox.command_of(std::path::Path::new("sh"), &["-c", &line]);
    command.env("CODEX_SANDBOX", "seatbelt");
    sandbox.finish(command).exits(1).says("a model's session may not do this");
    sandbox.run(&["trust"]).exits(0);
}
