//! Commands that go wrong in every way: the run ends, says why, and nothing of them survives.

use std::{fs, process::Stdio};

use super::sandbox::{Process, Sandbox, eventually, lines, script};

#[test]
fn missing_unrunnable_killed_and_garbled_commands_fail_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("plain.txt", "not a program\n");
    script(&sandbox.repo.join("tool.sh"), "exit 0");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "tools"]);
    let before = sandbox.users(&sandbox.repo);
    let plan = "version = 1
[[tasks]]
id = \"missing\"
kind = \"shell\"
command = [\"no-such-program-anywhere\"]
[[tasks]]
id = \"plain\"
kind = \"shell\"
command = [\"./plain.txt\"]
[[tasks]]
id = \"folder\"
kind = \"shell\"
command = [\"/\"]
[[tasks]]
id = \"killed\"
kind = \"shell\"
retry = { max = 0 }
run = \"kill -9 $$\"
[[tasks]]
id = \"status\"
kind = \"shell\"
run = \"echo some words; exit 3\"
[[tasks]]
id = \"bytes\"
kind = \"shell\"
run = \"printf '\\\\377\\\\376\\\\000x'; exit 4\"
[[tasks]]
id = \"good\"
kind = \"shell\"
run = \"./tool.sh && echo good > good.txt\"
";
    let said = sandbox.run_plan(plan, &["--json"]).exits(1);
    let report = said.json();
    assert_eq!(report["outcome"], "partial");
    let task =
        |name: &str| report["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).cloned().unwrap();
    assert_eq!(task("good")["status"], "completed");
    for (name, word) in [
        ("missing", "no-such-program-anywhere"),
        ("plain", "plain.txt"),
        ("folder", "/"),
        ("killed", "signal 9"),
        ("status", "some words"),
    ] {
        let task = task(name);
        assert_eq!(task["status"], "failed", "{name}: {task:#}");
        assert!(task.to_string().contains(word), "{name}: {task:#}");
    }
    assert_eq!(task("bytes")["status"], "failed");
    assert_eq!(sandbox.users(&sandbox.repo), before);
}

#[test]
fn a_command_that_waits_for_input_gets_its_end_and_one_that_prints_without_end_is_capped() {
    let sandbox = Sandbox::new();
    // A gigabyte.
    let said = sandbox
        .run_do(
            "cat > got.txt; yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 1073741824; echo; echo the end",
            "test -f got.txt",
        )
        .exits(0);
    assert!(said.out.len() < 100_000);
    let logs = sandbox.workspace().join("logs");
    let bytes: u64 = fs::read_dir(logs).unwrap().flatten().map(|entry| entry.metadata().unwrap().len()).sum();
    assert!(bytes < 100 << 20, "{bytes} bytes of logs");
    sandbox.run(&["log", "T-1", "--tail", "1"]).exits(0).says("the end");
    assert!(sandbox.run(&["log", "T-1"]).exits(0).out.len() <= 2 << 20);
}

#[test]
fn what_forks_away_and_ignores_every_signal_is_gone_with_its_task() {
    let sandbox = Sandbox::new();
    let pids = sandbox.root.join("pids");
    let hide = |name: &str, way: &str| {
        format!(
            "{way} sh -c 'trap \"\" TERM HUP INT; echo $$ >> {}; touch {name}; while :; do sleep 0.05; done' > /dev/null 2>&1 &",
            pids.display()
        )
    };
    let begun = "while ! test -e a -a -e b -a -e c; do sleep 0.01; done; rm a b c; echo x > x.txt";
    let all = format!("{} {} {} {begun}", hide("a", ""), hide("b", "setsid"), hide("c", "env -i setsid"));
    sandbox.run_do(&all, "test -f x.txt").exits(0);
    assert_eq!(lines(&pids).len(), 3);
    for pid in lines(&pids) {
        sandbox.gone(pid.parse().unwrap());
    }
    assert!(sandbox.jobs().is_empty(), "{:?}", sandbox.jobs());
}

#[test]
fn a_limit_of_time_ends_a_task_with_everything_below_it() {
    let sandbox = Sandbox::new();
    let plan = "version = 1
[[tasks]]
id = \"slow\"
kind = \"shell\"
timeout_s = 0.3
retry = { max = 0 }
run = \"sh -c 'sleep 1000' & sleep 1000\"
[[tasks]]
id = \"silent\"
kind = \"shell\"
silence_s = 0.3
retry = { max = 0 }
run = \"echo begin; sleep 1000\"
";
    let report = sandbox.run_plan(plan, &["--json"]).exits(1).json();
    for task in report["tasks"].as_array().unwrap() {
        assert_eq!(task["status"], "failed", "{task:#}");
    }
    assert_eq!(report["tasks"][0]["attempts"][0]["end"], "timeout", "{report:#}");
    assert_eq!(report["tasks"][1]["attempts"][0]["end"], "silent", "{report:#}");
    assert!(sandbox.jobs().is_empty(), "{:?}", sandbox.jobs());
}

#[test]
fn cancelling_ends_everything_by_word_and_by_two_interrupts() {
    let sandbox = Sandbox::new();
    let begun = sandbox.root.join("begun");
    let stubborn = format!("trap '' INT; touch {}; sleep 1000 & wait; sleep 1000", begun.display());
    let sleeping = |process: &Process| process.command.starts_with("sleep 1000");
    // By word, from another terminal.
    let client = sandbox.command(&["run", "--do", &stubborn, "--verify", "true"]).spawn().unwrap();
    eventually("the task", || begun.exists().then_some(()));
    sandbox.run(&["cancel", "R-1"]).exits(0);
    sandbox.finish_child(client).exits(4);
    assert!(!sandbox.jobs().iter().any(sleeping), "{:?}", sandbox.jobs());
    sandbox.run(&["cancel", "R-1"]).exits(0);
    fs::remove_file(&begun).unwrap();
    // By Ctrl-C, twice.
    let mut command = sandbox.command(&["run", "--do", &stubborn, "--verify", "true"]);
    let mut client = command.stderr(Stdio::piped()).spawn().unwrap();
    eventually("the task", || begun.exists().then_some(()));
    let pid = client.id() as i32;
    let interrupt = || {
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(pid, libc::SIGINT) };
    };
    interrupt();
    // It says what a second one does; then comes the second.
    let mut heard = String::new();
    let mut stderr = client.stderr.take().unwrap();
    while !heard.contains("cancels it") {
        let mut byte = [0];
        assert_eq!(std::io::Read::read(&mut stderr, &mut byte).unwrap(), 1, "{heard}");
        heard.push(char::from(byte[0]));
    }
    interrupt();
    sandbox.finish_child(client).exits(4);
    assert!(!sandbox.jobs().iter().any(sleeping), "{:?}", sandbox.jobs());
    // By the task's own number.
    fs::remove_file(&begun).unwrap();
    let client = sandbox.command(&["run", "--do", &stubborn, "--verify", "true"]).spawn().unwrap();
    eventually("the task", || begun.exists().then_some(()));
    sandbox.run(&["cancel", "T-3"]).exits(0);
    let said = sandbox.finish_child(client);
    assert!(matches!(said.code, Some(1 | 4)), "{}", said.all());
    assert!(sandbox.jobs().is_empty(), "{:?}", sandbox.jobs());
}

#[test]
fn one_interrupt_detaches_and_the_run_goes_on() {
    let sandbox = Sandbox::new();
    let (begun, gate) = (sandbox.root.join("begun"), sandbox.root.join("gate"));
    let wait =
        format!("touch {}; while ! test -e {}; do sleep 0.01; done; echo x > x.txt", begun.display(), gate.display());
    let client = sandbox.command(&["run", "--key", "k", "--do", &wait, "--verify", "test -f x.txt"]).spawn().unwrap();
    eventually("the task", || begun.exists().then_some(()));
    // SAFETY: our child, not waited for yet.
    unsafe { libc::kill(client.id() as i32, libc::SIGINT) };
    sandbox.finish_child(client).exits(1).says("goes on in the background");
    fs::write(&gate, "").unwrap();
    // The same key attaches to it.
    sandbox.run(&["run", "--key", "k", "--do", &wait, "--verify", "test -f x.txt"]).exits(0).says("R-1");
    assert_eq!(sandbox.git(&["show", "orchestrator/R-1:x.txt"]), "x\n");
}
