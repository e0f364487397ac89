//! What a run may use, the order it keeps, named skills, and readers that write: with the real program.

use serde_json::json;

use super::sandbox::{Sandbox, lines, script};

#[test]
fn a_budget_of_processes_and_one_of_minutes_hold() {
    let sandbox = Sandbox::new();
    let log = sandbox.root.join("log");
    let task =
        |id: &str| format!("[[tasks]]\nid = \"{id}\"\neffect = \"none\"\nrun = \"echo {id} >> {}\"\n", log.display());
    let all: String = ["a", "b", "c", "d"].map(task).concat();
    let plan = format!("version = 1\nbudget = {{ spawns = 3 }}\n{all}");
    sandbox.run_plan(&plan, &["--no-wait"]).exits(3).says("has used its 3 processes").says("raise");
    assert_eq!(lines(&log).len(), 3);
    sandbox.run(&["why", "R-1"]).exits(0);
    sandbox.run(&["decide", "D-1", "raise"]).exits(0);
    let mut wire = sandbox.wire();
    assert_eq!(wire.finished("R-1")["outcome"], "completed");
    assert_eq!(lines(&log).len(), 4);
    // 0.3 s are over while the third task runs; it ends, and no further one begins.
    let slow = format!("version = 1\nstrategy = \"sequential\"\nbudget = {{ minutes = 0.005 }}\n{all}")
        .replace("echo", "sleep 0.15; echo");
    sandbox.run_plan(&slow, &["--no-wait"]).exits(3).says("minutes");
    sandbox.run(&["decide", "D-2", "stop"]).exits(0);
    let report = wire.finished("R-2");
    assert_eq!(report["outcome"], "partial", "{report:#}");
    assert!(lines(&log).len() < 8, "everything ran all the same");
}

#[test]
fn rules_stand_before_a_start_and_name_what_they_would_have_turned() {
    let sandbox = Sandbox::new();
    let task = |id: &str, of_type: &str, environment: &str| {
        format!(
            "[[tasks]]\nid = \"{id}\"\ntype = \"{of_type}\"\nenvironment = \"{environment}\"\nrun = \"echo {id} > {id}.txt\"\n"
        )
    };
    // The specification's rule: a production deployment is asked about, whatever it says of its effects.
    let plan = format!(
        "version = 1\n{}{}{}",
        task("ship", "deployment", "production"),
        task("stage", "deployment", "staging"),
        task("lint", "chore", "production")
    );
    sandbox.run_plan(&plan, &["--no-wait"]).exits(3).says("Deploy to production with T-1?");
    let asked = sandbox.run(&["decide", "D-1", "--json"]).exits(0).json();
    assert_eq!((asked["kind"].as_str(), asked["why_asked"].as_str()), (Some("deploy"), Some("rule")), "{asked:#}");
    assert_eq!(asked["rules_hit"], json!(["prod-deploy"]), "{asked:#}");
    sandbox.run(&["decide", "D-1", "allow"]).exits(0);
    let report = sandbox.wire().finished("R-1");
    assert_eq!(report["outcome"], "completed", "{report:#}");
    // Nothing has changed, so nothing is turned; a stricter file is tried without being put in force, then is.
    sandbox.run(&["policy", "replay"]).exits(0).says("0 of 1 past decisions");
    let rules = "version = 1\n[[rules]]\nid = \"never-ship\"\nwhen = \"task.type == 'deployment'\"\nverdict = \"deny\"\n\
                 reason = \"not from this machine\"\n";
    let trial = sandbox.root.join("trial.toml");
    std::fs::write(&trial, rules).unwrap();
    let trial = trial.to_str().unwrap();
    let said = sandbox.run(&["policy", "replay", "--with", trial, "--json"]).exits(1).json();
    assert_eq!((&said["looked"], said["turned"].as_array().unwrap().len()), (&json!(1), 1), "{said:#}");
    let turned = &said["turned"][0];
    assert_eq!(turned["decision"], "D-1");
    assert_eq!((&turned["was"]["way"], &turned["would"]["way"]), (&json!("asked"), &json!("refused")), "{said:#}");
    sandbox.run(&["policy", "replay", "--with", trial]).exits(1).says("D-1 asked -> refused").says("never-ship");
    sandbox.run(&["policy", "replay", "--with", "/nowhere.toml"]).exits(2).says("there is no file");
    sandbox.run(&["policy", "replay", "--threshold", "0.2"]).exits(2).says("makes no sense");
    std::fs::write(trial, "version = 1\n[[rules]]\nid = \"x\"\nwhen = \"task.tipe == 'a'\"\nverdict = \"deny\"\n")
        .unwrap();
    sandbox.run(&["policy", "replay", "--with", trial]).exits(2).says("trial.toml:4").says("task.type");
    // A daemon that lives takes up a changed file by itself.
    std::fs::write(sandbox.config.join("orchestrator/policy.toml"), rules).unwrap();
    sandbox.run_plan(&plan, &["--no-wait"]).exits(1).says("not from this machine").says("1 of 3");
}

#[test]
fn a_sequential_plan_runs_one_task_at_a_time_on_what_the_one_before_left() {
    let sandbox = Sandbox::new();
    let log = sandbox.root.join("log");
    let mut plan = String::from("version = 1\nstrategy = \"sequential\"\n");
    for (id, run) in [("a", "echo 1 > n.txt"), ("b", "cat n.txt; echo 2 >> n.txt"), ("c", "test $(wc -l < n.txt) = 2")]
    {
        let effect = if id == "c" { "effect = \"none\"\n" } else { "" };
        plan.push_str(&format!(
            "[[tasks]]\nid = \"{id}\"\n{effect}run = \"\"\"echo b {id} >> {log}; sleep 0.05; {run} && echo e {id} >> {log}\"\"\"\n",
            log = log.display()
        ));
    }
    sandbox.run_plan(&plan, &["--jobs", "8"]).exits(0).says("3 of 3");
    assert_eq!(lines(&log), ["b a", "e a", "b b", "e b", "b c", "e c"]);
}

#[test]
fn a_plan_that_stops_begins_nothing_more() {
    let sandbox = Sandbox::new();
    let log = sandbox.root.join("log");
    let mut plan = String::from("version = 1\non_failure = \"stop\"\n");
    for number in 0..40 {
        let run = if number == 3 { "exit 1" } else { "sleep 0.05" };
        plan.push_str(&format!(
            "[[tasks]]\nid = \"t{number}\"\neffect = \"none\"\nrun = \"echo {number} >> {}; {run}\"\n",
            log.display()
        ));
    }
    sandbox.run_plan(&plan, &["--jobs", "2"]).exits(1).says("the plan stops after a failure");
    // Two at once: at most the other one had begun beside it, and one more while the news was on its way.
    assert!(lines(&log).len() <= 7, "{:?}", lines(&log));
}

#[test]
fn a_reader_that_writes_is_found_and_named() {
    let sandbox = Sandbox::new();
    let reader = |id: &str, run: &str| format!("[[tasks]]\nid = \"{id}\"\neffect = \"none\"\nrun = \"{run}\"\n");
    let plan = format!(
        "version = 1\n{}{}{}",
        reader("good", "cat README.md"),
        reader("cache", "mkdir -p __pycache__; echo > __pycache__/x.pyc"),
        reader("bad", "echo oops >> README.md")
    );
    sandbox.run_plan(&plan, &["--no-wait"]).exits(3).says("README.md").says("again");
    sandbox.run(&["decide", "D-1", "again"]).exits(0);
    let report = sandbox.wire().finished("R-1");
    let status: Vec<&str> = report["tasks"].as_array().unwrap().iter().map(|t| t["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["completed", "completed", "undone"], "{report:#}");
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\n");
}

#[test]
fn skills_run_by_name_with_their_parameters() {
    let sandbox = Sandbox::new();
    let tool = sandbox.root.join("stamp");
    script(&tool, "echo \"$1 $2\" >> stamped.txt");
    let skill = format!(
        "version = 1\nname = \"stamp\"\nabout = \"Stamp a word\"\nkind = \"command\"\ncommand = [{:?}, \"{{{{word}}}}\", \"{{{{times}}}}\"]\nparams.word = {{ type = \"string\" }}\nparams.times = {{ type = \"int\", default = 1 }}\nverify = [[\"test\", \"-s\", \"stamped.txt\"]]\n",
        tool.display().to_string()
    );
    sandbox.write(".orchestrator/skills/stamp.toml", &skill);
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "skill"]);
    sandbox.run(&["playbooks"]).exits(0).says("skill:stamp").says("Stamp a word");
    // It comes from the repository, so it needs trust; what it lacks and what it does not know are said.
    sandbox.run(&["run", "--no-wait", "--skill", "stamp", "--set", "word=x"]).exits(3).says("trust");
    sandbox.run(&["cancel", "R-1"]).exits(0);
    sandbox.run(&["run", "--trust", "--skill", "stamp"]).exits(1).says("`word`");
    sandbox.run(&["run", "--trust", "--skill", "stmp", "--set", "word=x"]).exits(1).says("did you mean \"stamp\"");
    sandbox.run(&["run", "--set", "word=x"]).exits(2);
    sandbox.run(&["run", "--trust", "--skill", "stamp", "--set", "word=hello", "--set", "times=2"]).exits(0);
    assert_eq!(sandbox.git(&["show", "orchestrator/R-4:stamped.txt"]), "hello 2\n");
    // As a task of a client's: alone, and into a run that is under way.
    let mut wire = sandbox.wire();
    let submission = |more: serde_json::Value| {
        let mut task = json!({"type": "skill_execution", "description": "stamp", "parameters": {"skill": "stamp", "args": {"word": "w"}}});
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"task": task})
    };
    assert_eq!(
        wire.refused(
            "submit_task",
            json!({"task": {"type": "skill_execution", "description": "x", "parameters": {"skill": "stemp"}}})
        ),
        "INVALID"
    );
    let alone = wire.ok("submit_task", submission(json!({})));
    wire.finished(alone["request_id"].as_str().unwrap());
    let gate = sandbox.root.join("gate");
    let wait = format!("while ! test -e {}; do sleep 0.01; done", gate.display());
    let plan = json!({"version": 1, "tasks": [{"id": "wait", "run": wait}]});
    let run = wire.ok("process_request", json!({"request": {"plan": plan}}))["request_id"].as_str().unwrap().to_owned();
    super::sandbox::eventually("its plan", || {
        let state = wire.ok("get_state", json!({"session_id": run}));
        (state["sessions"][0]["progress"]["total_tasks"] == 1).then_some(())
    });
    let joined = wire.ok("submit_task", submission(json!({"workflow_id": run})));
    assert_eq!(joined["request_id"].as_str(), Some(run.as_str()), "{joined}");
    std::fs::write(&gate, "").unwrap();
    let report = wire.finished(&run);
    assert_eq!(
        (report["outcome"].as_str(), report["tasks"].as_array().unwrap().len()),
        (Some("completed"), 2),
        "{report:#}"
    );
    // One's own skill needs no trust.
    let own = sandbox.config.join("orchestrator/skills");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("mine.toml"), skill.replace("name = \"stamp\"", "name = \"mine\"")).unwrap();
    sandbox.run(&["trust", "--revoke"]);
    sandbox.run(&["run", "--no-wait", "--skill", "mine", "--set", "word=own"]).exits(0);
}

#[test]
fn a_part_of_a_result_comes_without_what_it_was_built_on() {
    let sandbox = Sandbox::new();
    let plan = "version = 1\n[[tasks]]\nid = \"a\"\nrun = \"echo a > a.txt; sed -i s/one/ONE/ README.md\"\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nrun = \"echo b > b.txt\"\n[[tasks]]\nid = \"c\"\nneeds = [\"b\"]\nrun = \"sed -i s/ONE/Eins/ README.md\"\n";
    sandbox.run_plan(plan, &[]).exits(0);
    sandbox.run(&["apply", "R-1", "--tasks", "T-2"]).exits(0);
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "?? b.txt\n");
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    // What changed the same line after another cannot come alone, and nothing is written.
    sandbox.run(&["apply", "R-1", "--tasks", "T-3"]).exits(1).says("README.md");
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "");
    sandbox.run(&["apply", "R-1", "--tasks", "T-1,T-3"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "Eins\ntwo\nthree\n");
}
