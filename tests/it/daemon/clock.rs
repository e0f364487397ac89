//! A clock that is set, and one that stands elsewhere for the keeper: nothing hangs, nothing is done twice.

use std::fs;

use super::sandbox::{Sandbox, eventually, kill_9, lines};

/// A sandbox whose daemon reads its clock through a file, which keepers do not.
fn with_clock() -> Sandbox {
    let sandbox = Sandbox::new();
    set(&sandbox, 0);
    let mut start = sandbox.command(&["daemon", "start"]);
    start.env("ORCHESTRATOR_TEST_CLOCK", sandbox.root.join("clock"));
    sandbox.finish(start).exits(0);
    sandbox
}

fn set(sandbox: &Sandbox, hours: i64) {
    fs::write(sandbox.root.join("clock"), format!("{}", hours * 3_600_000)).unwrap();
}

#[test]
fn a_clock_that_is_set_back_an_hour_in_the_middle_of_a_run_changes_nothing() {
    let sandbox = with_clock();
    let (log, gate) = (sandbox.root.join("log"), sandbox.root.join("gate"));
    let wait = format!("while ! test -e {}; do sleep 0.01; done", gate.display());
    let plan = format!(
        "version = 1\n[[tasks]]\nid = \"a\"\nrun = \"echo a >> {log}; {wait}; echo a > a.txt\"\n[[tasks]]\nid = \"flaky\"\nneeds = [\"a\"]\neffect = \"none\"\nrun = \"echo f >> {log}; test $(grep -c f {log}) -ge 3 || {{ echo connection reset by peer; exit 1; }}\"\n[[tasks]]\nid = \"b\"\nneeds = [\"flaky\"]\nrun = \"echo b >> {log}; echo b > b.txt\"\n",
        log = log.display()
    );
    let file = sandbox.file("plan.toml", &plan);
    sandbox.run(&["run", "--detach", "--plan", file.to_str().unwrap()]).exits(0);
    eventually("the first task", || (lines(&log).len() == 1).then_some(()));
    set(&sandbox, -1);
    fs::write(&gate, "").unwrap();
    let report = sandbox.wire().finished("R-1");
    assert_eq!(report["outcome"], "completed", "{report:#}");
    // The retries came although their time was an hour away by the old clock, and nothing ran twice.
    assert_eq!(lines(&log), ["a", "f", "f", "f", "b"]);
    for task in report["tasks"].as_array().unwrap() {
        for name in ["elapsed", "remaining"] {
            assert!(task[name].as_f64().is_none_or(|seconds| (0.0..600.0).contains(&seconds)), "{task:#}");
        }
    }
    sandbox.run(&["report", "R-1"]).exits(0);
    sandbox.run(&["journal", "verify"]).exits(0);
    // The next daemon, an hour earlier and killed in between, reads the same.
    let daemon = sandbox.daemons()[0];
    kill_9(daemon);
    sandbox.gone(daemon);
    assert_eq!(sandbox.run(&["status", "R-1", "--json"]).exits(0).json()["sessions"][0]["outcome"], "completed");
}

#[test]
fn a_retry_that_waits_is_not_lost_when_the_clock_jumps() {
    let sandbox = with_clock();
    sandbox.run(&["daemon", "stop"]).exits(0);
    sandbox.configure("[daemon]\nidle_exit_s = 600");
    let log = sandbox.root.join("log");
    let mut start = sandbox.command(&["daemon", "start"]);
    start.env("ORCHESTRATOR_TEST_CLOCK", sandbox.root.join("clock"));
    sandbox.finish(start).exits(0);
    let plan = format!(
        "version = 1\n[[tasks]]\nid = \"a\"\neffect = \"none\"\nretry = {{ max = 3, base_s = 20.0, cap_s = 20.0 }}\nrun = \"echo a >> {}; echo connection reset by peer; exit 1\"\n",
        log.display()
    );
    let file = sandbox.file("plan.toml", &plan);
    sandbox.run(&["run", "--detach", "--plan", file.to_str().unwrap()]).exits(0);
    let mut wire = sandbox.wire();
    eventually("its failure", || {
        let task = wire.call("get_task_status", serde_json::json!({"task_id": "T-1"}));
        task["result"]["failure"]["next_at"].is_string().then_some(())
    });
    // An hour later by the wall, at the next look: whatever wakes the daemon shows it that the time has come.
    set(&sandbox, 1);
    eventually("the second try", || {
        wire.ok("get_state", serde_json::json!({}));
        (lines(&log).len() >= 2).then_some(())
    });
    sandbox.run(&["cancel", "R-1"]).exits(0);
}
