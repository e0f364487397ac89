//! A machine that loses power in the middle of a run: nothing of it lives on, and what the keeper wrote last is gone.
//! (What a journal makes of it is tried with a faulty store in the simulation; here it is the real program.)

use std::fs;

use super::sandbox::{Sandbox, eventually, kill_9, lines};

/// Everything ends at once, the keeper's log loses all that it had, and the machine comes up anew.
fn power_loss(sandbox: &Sandbox) {
    let workspace = sandbox.workspace();
    eventually("the end of everything", || {
        sandbox.processes().iter().for_each(|process| kill_9(process.pid));
        sandbox.processes().is_empty().then_some(())
    });
    fs::write(workspace.join("boot"), "another start of the machine\n").unwrap();
    for entry in fs::read_dir(workspace.join("keeper")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("log") {
            fs::write(entry.path(), "").unwrap();
        }
    }
    let _ = fs::remove_file(sandbox.socket());
}

#[test]
fn what_ran_when_the_power_went_runs_again_or_is_asked_about() {
    let sandbox = Sandbox::new();
    let (log, gate) = (sandbox.root.join("log"), sandbox.root.join("gate"));
    let wait =
        |id: &str| format!("echo {id} >> {}; while ! test -e {}; do sleep 0.01; done", log.display(), gate.display());
    let plan = format!(
        "version = 1\n[[tasks]]\nid = \"done\"\nrun = \"echo done >> {log}; echo done > done.txt\"\n[[tasks]]\nid = \"inside\"\nneeds = [\"done\"]\nrun = \"{inside}; echo in > in.txt\"\n[[tasks]]\nid = \"outside\"\nneeds = [\"done\"]\neffect = \"external\"\nrun = \"{outside}\"\n",
        log = log.display(),
        inside = wait("inside"),
        outside = wait("outside"),
    );
    let file = sandbox.file("plan.toml", &plan);
    sandbox.run(&["run", "--detach", "--plan", file.to_str().unwrap()]).exits(0);
    let run = "R-1";
    let mut wire = sandbox.wire();
    let asked = eventually("its question", || {
        let pending = wire.ok("get_pending_decisions", serde_json::json!({}));
        pending["decisions"][0]["decision_id"].as_str().map(str::to_owned)
    });
    sandbox.run(&["decide", &asked, "allow"]).exits(0);
    eventually("both", || (lines(&log).len() >= 3).then_some(()));
    drop(wire);
    power_loss(&sandbox);
    fs::write(&gate, "").unwrap();
    // Inside a lane it is simply done again. Outside, somebody has to look whether it is there.
    let mut wire = sandbox.wire();
    let asked = eventually("the question", || {
        let pending = wire.ok("get_pending_decisions", serde_json::json!({}));
        let found =
            pending["decisions"].as_array().unwrap().iter().find(|decision| decision["kind"] == "retry_exhausted");
        found.map(|decision| decision["decision_id"].as_str().unwrap().to_owned())
    });
    sandbox.run(&["decide", &asked, "done"]).exits(0);
    let report = wire.finished(run);
    assert_eq!(report["outcome"], "completed", "{report:#}");
    let mut ran = lines(&log);
    ran.sort();
    assert_eq!(ran, ["done", "inside", "inside", "outside"]);
    let inside = &report["tasks"][1]["attempts"];
    assert_eq!((inside[0]["end"].as_str(), inside[1]["end"].as_str()), (Some("lost"), Some("exit:0")), "{inside:#}");
    sandbox.run(&["journal", "verify"]).exits(0);
}
