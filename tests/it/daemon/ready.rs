//! Lanes that are made ready for work: stores, setup, warm ones, and what is said where something is missing.

use std::fs;

use super::sandbox::{Sandbox, lines, script};

/// A repository whose `tool` lies in an ignored folder of dependencies.
fn with_store() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "node_modules\ntarget\nshared\n");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "ignore"]);
    fs::create_dir_all(sandbox.repo.join("node_modules/.bin")).unwrap();
    script(&sandbox.repo.join("node_modules/.bin/tool"), "echo tool \"$@\"");
    sandbox
}

#[test]
fn stores_are_copied_or_shared_as_configured() {
    let sandbox = with_store();
    fs::create_dir_all(sandbox.repo.join("shared")).unwrap();
    sandbox.write("shared/from", "checkout\n");
    sandbox.configure("[lanes]\nlink = [\"shared\"]");
    // A copy is the lane's own; a link is not, which is what it is for.
    let change = "node_modules/.bin/tool run > out.txt; rm -r node_modules; echo lane > shared/to";
    sandbox.run_do(change, "grep -q 'tool run' out.txt").exits(0);
    assert!(sandbox.repo.join("node_modules/.bin/tool").exists());
    assert_eq!(sandbox.read("shared/to"), "lane\n");
}

#[test]
fn a_setup_runs_once_in_each_new_lane_and_its_failure_is_the_environments() {
    let sandbox = Sandbox::new();
    let log = sandbox.root.join("setups");
    let setup = format!("echo \"$ORCHESTRATOR_LANE\" >> {}; mkdir -p deps; echo 1 > deps/ready", log.display());
    sandbox.write(".gitignore", "deps\n");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "ignore"]);
    sandbox.configure(&format!("[lanes]\nsetup = [\"sh\", \"-c\", {setup:?}]"));
    for _ in 0..3 {
        sandbox.run_do("cat deps/ready >> out.txt", "test -s out.txt").exits(0);
    }
    let mut ran = lines(&log);
    let all = ran.len();
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), all, "a lane was set up twice: {ran:?}");
    // Another setup is another matter: it runs where the first one did.
    sandbox.run(&["daemon", "stop"]).exits(0);
    sandbox.configure("[lanes]\nsetup = [\"sh\", \"-c\", \"echo no network; exit 3\"]");
    let said = sandbox.run_do("true", "true").exits(1);
    assert!(said.all().contains("the lane's setup") && said.all().contains("exit:3"), "{}", said.all());
    assert!(said.all().contains("no network"), "{}", said.all());
}

#[test]
fn a_setup_from_the_repository_needs_trust_and_a_cancelled_run_ends_it() {
    let sandbox = Sandbox::new();
    // What the repository says is confined to its lane, and to what the user allows besides.
    let marks = sandbox.root.join("marks");
    std::fs::create_dir(&marks).unwrap();
    sandbox.configure(&format!("[sandbox]\nwritable = [{:?}]", marks.display().to_string()));
    let begun = marks.join("begun");
    sandbox.write(
        ".orchestrator/config.toml",
        format!("[lanes]\nsetup = [\"sh\", \"-c\", \"echo > {}; sleep 600\"]\n", begun.display()),
    );
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "setup"]);
    let asked = sandbox.run(&["run", "--no-wait", "--do", "echo x > x", "--verify", "true"]).exits(3);
    assert!(asked.all().contains("sleep 600"), "{}", asked.all());
    assert!(!begun.exists(), "it ran without trust");
    sandbox.run(&["cancel", "R-1"]).exits(0);
    sandbox.run(&["run", "--trust", "--detach", "--do", "echo x > x", "--verify", "true"]).exits(0);
    super::sandbox::eventually("the setup", || begun.exists().then_some(()));
    sandbox.run(&["cancel", "R-2"]).exits(0);
    super::sandbox::eventually("the setup's end", || sandbox.jobs().is_empty().then_some(()));
    let report = sandbox.run(&["report", "R-2", "--json"]).exits(0).json();
    assert_eq!(report["outcome"], "cancelled", "{report:#}");
    // One that cannot be read says so and changes nothing.
    sandbox.write(".orchestrator/config.toml", "[lanes]\nmaximum = 3\n");
    sandbox.run_do("echo x > x", "true").exits(0).says("unknown field `maximum`");
}

#[test]
fn a_cold_lane_takes_the_store_of_a_warm_one() {
    let sandbox = with_store();
    // What a build leaves behind: made in the first lane, and expensive.
    let build = "test -e target/built || { sleep 0.3; mkdir -p target; echo $ORCHESTRATOR_LANE > target/built; }";
    sandbox.run_do(&format!("{build}; echo a > a.txt"), "true").exits(0);
    let plan = format!(
        "version = 1\n[[tasks]]\nid = \"one\"\nrun = \"\"\"{build}; cp target/built one.txt\"\"\"\n[[tasks]]\nid = \"two\"\nrun = \"\"\"{build}; cp target/built two.txt\"\"\"\nverify = [[\"test\", \"-s\", \"two.txt\"]]\n"
    );
    // One after another, the second lane finds what the first one has.
    sandbox.run_plan(&plan, &["--jobs", "1"]).exits(0);
    sandbox.run_plan(&plan, &[]).exits(0);
    let built = sandbox.git(&["show", "orchestrator/R-3:two.txt"]);
    assert_eq!(built, sandbox.git(&["show", "orchestrator/R-3:one.txt"]), "a lane built anew what another one had");
    // Not where git would take it for a change.
    sandbox.write(".gitignore", "node_modules\n");
    sandbox.git(&["commit", "-q", "-a", "-m", "no longer ignored"]);
    let report = sandbox.run_plan(&plan.replace("target/built ", "a.txt "), &["--json"]);
    assert!(!report.all().contains("\"target/built\""), "{}", report.all());
}

#[test]
fn a_check_that_cannot_run_says_what_to_install_and_is_nobodys_fault() {
    let sandbox = Sandbox::new();
    let plan = "version = 1\n[[tasks]]\nid = \"a\"\nrun = \"echo x > x.txt\"\nverify = [[\"sh\", \"-c\", \"no-such-tool --all\"]]\n";
    let said = sandbox.run_plan(plan, &["--json"]);
    assert_eq!(said.code, Some(1));
    let task = sandbox.wire().ok("get_task_status", serde_json::json!({"task_id": "T-1"}));
    assert_eq!(task["failure"]["class"], "environment", "{task:#}");
    let said = sandbox.run(&["why", "T-1"]).exits(0);
    assert!(said.all().contains("no-such-tool"), "{}", said.all());
}
