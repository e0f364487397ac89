//! Many at once in a real repository: those that fit land, those that collide are made to fit, the bad one is named.

use serde_json::{Value, json};

use super::over;
use crate::daemon::sandbox::{Sandbox, script};

/// An agent that speaks just enough of Claude Code's language, and does what its prompt names.
const AGENT: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo "1.0 (double)"; exit 0; }
echo '{"type":"system","subtype":"init","session_id":"s-1"}'
read -r hello; read -r prompt
case "$prompt" in
*'earlier change conflicts'*) sed -i '1s/$/, by the agent/' README.md ;;
*'collide with'*)
    # Not before the other one has landed: then both have changed the same line.
    until git show refs/orchestrator/R-1/tip:README.md 2>/dev/null | grep -q 'by the command'; do sleep 0.02; done
    sed -i '1s/$/, by the agent/' README.md ;;
*'make the first'*) echo first > first.txt ;;
*'make the second'*) echo second > second.txt ;;
esac
echo '{"type":"result","subtype":"success","is_error":false,"result":"Done.","total_cost_usd":0.01,"usage":{"input_tokens":10,"output_tokens":5}}'
"#;

fn tasks(report: &Value) -> impl Iterator<Item = &Value> {
    report["tasks"].as_array().into_iter().flatten()
}

#[test]
fn of_eight_at_once_of_which_two_collide_and_one_is_bad_seven_land_and_the_bad_one_is_named() {
    let sandbox = Sandbox::new();
    let program = sandbox.root.join("agent");
    script(&program, AGENT);
    let command = json!(program.to_str().unwrap());
    sandbox.configure(&format!("[agents.claude]\ncommand = [{command}]\n[lanes]\nmax = 10\n"));
    let before = sandbox.users(&sandbox.repo);
    let mut plan = String::from("version = 1\n");
    let mut add = |id: &str, work: &str, check: &str| {
        plan.push_str(&format!(
            "[[tasks]]\nid = \"{id}\"\n{work}\nverify = [[\"sh\", \"-c\", \"{check}\"]]\nretry = {{ max = 1, base_s = 0.01 }}\n"
        ));
    };
    for id in ["third", "fourth", "fifth"] {
        add(id, &format!("run = \"echo {id} > {id}.txt\""), &format!("test -s {id}.txt"));
    }
    for id in ["first", "second"] {
        let work = format!("kind = \"agent\"\nprompt = \"make the {id} file\"\nwrites = [\"{id}.txt\"]");
        add(id, &work, &format!("test -s {id}.txt"));
    }
    add("command", "run = \"sed -i '1s/$/, by the command/' README.md\"", "grep -q 'by the command' README.md");
    let work = "kind = \"agent\"\nprompt = \"collide with the other one\"\nwrites = [\"README.md\"]";
    add("agent", work, "grep -q 'by the agent' README.md");
    add("bad", "title = \"Breaks it\"\nrun = \"rm src/lib.txt\"", "test -f src/lib.txt");
    let said = sandbox.run_plan(&plan, &["--jobs", "10"]).exits(1).says("partial").says("7 of 8 tasks done");
    // What a person sees names the bad one.
    said.says("Breaks it");
    let report = over(&sandbox, "R-1");
    let of = |how: &str| -> Vec<String> {
        let found = tasks(&report).filter(|task| task["status"] == how);
        found.map(|task| task["title"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(of("completed").len(), 7, "{report:#}");
    assert_eq!(of("undone"), ["Breaks it"], "{report:#}");
    let show = |path: &str| sandbox.git(&["show", &format!("orchestrator/R-1:{path}")]);
    for id in ["first", "second", "third", "fourth", "fifth"] {
        assert_eq!(show(&format!("{id}.txt")), format!("{id}\n"));
    }
    // Both changes of the one line are there, the later one made to fit by who made it.
    assert_eq!(show("README.md").lines().next(), Some("one, by the command, by the agent"));
    let agent = tasks(&report).find(|task| task["title"] == "agent").unwrap();
    let attempts: Vec<&Value> = agent["attempts"].as_array().into_iter().flatten().collect();
    assert_eq!(attempts.len(), 2, "{agent:#}");
    assert!(attempts.iter().all(|attempt| attempt["agent"] == "claude"), "{agent:#}");
    sandbox.run(&["why", agent["task_id"].as_str().unwrap()]).exits(0).says("it conflicts with what has landed");
    assert_eq!(show("src/lib.txt"), sandbox.read("src/lib.txt"));
    assert_eq!(sandbox.users(&sandbox.repo), before, "the checkout was touched");
}

#[test]
fn what_makes_the_whole_red_though_each_was_proven_is_found_and_the_rest_lands() {
    let sandbox = Sandbox::new();
    let task = |id: &str| {
        format!(
            "[[tasks]]\nid = \"{id}\"\nrun = \"echo {id} > {id}.txt\"\nverify = [[\"test\", \"-s\", \"{id}.txt\"]]\n"
        )
    };
    // Each alone is fine; the two do not go together.
    let whole = "! { test -f left.txt && test -f right.txt; }";
    let names = ["one", "left", "two", "right", "three"];
    let tasks_of_plan: String = names.iter().map(|id| task(id)).collect();
    let plan = format!("version = 1\nverify = [[\"sh\", \"-c\", \"{whole}\"]]\n{tasks_of_plan}");
    sandbox.run_plan(&plan, &[]).exits(1).says("partial").says("4 of 5 tasks done");
    let report = over(&sandbox, "R-1");
    let bad: Vec<&Value> = tasks(&report).filter(|task| task["status"] != "completed").collect();
    let [bad] = bad.as_slice() else { panic!("not one is named: {report:#}") };
    let title = bad["title"].as_str().unwrap();
    assert!(["left", "right"].contains(&title), "{bad:#}");
    assert_eq!(bad["status"], "undone");
    let id = bad["task_id"].as_str().unwrap();
    sandbox.run(&["why", id]).exits(0).says("is red on the whole result since this landed");
    let files = sandbox.git(&["ls-tree", "--name-only", "orchestrator/R-1"]);
    for name in names {
        assert_eq!(files.lines().any(|file| file == format!("{name}.txt")), name != title, "{name}: {files}");
    }
    // The rest was not done a second time: its changes landed once more.
    sandbox.run(&["report", "R-1"]).exits(0).says("was taken out");
}
