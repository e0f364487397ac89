//! Answers that come too late or to nothing: refused in words that say what became of the question, and nothing is changed.

use serde_json::{Value, json};

use super::sandbox::{Sandbox, Wire, eventually};

/// How a decision ended, once it did.
fn ended(wire: &mut Wire, id: &str) -> String {
    eventually(&format!("{id} to end"), || {
        let why = wire.call("why", json!({"id": id}));
        let status = why["result"]["decision"]["status"].as_str().unwrap_or("").to_owned();
        (!matches!(status.as_str(), "" | "open")).then_some(status)
    })
}

fn answered(wire: &mut Wire, id: &str, choice: &str) -> Value {
    wire.call("submit_decision", json!({"decision_id": id, "response": {"choice": choice}}))
}

/// Asserts that an answer is refused over the wire and on the command line, and that nothing comes of it: the code, the
/// words, what is advised, and the exit status.
#[track_caller]
fn refused(
    sandbox: &Sandbox,
    wire: &mut Wire,
    (id, choice): (&str, &str),
    code: &str,
    words: &str,
    hint: &str,
    exit: i32,
) {
    let before = wire.ok("list_runs", json!({}));
    let answer = answered(wire, id, choice);
    let error = &answer["error"];
    assert_eq!(error["data"]["code"], code, "{answer:#}");
    assert!(error["message"].as_str().unwrap().contains(words), "{words:?}: {answer:#}");
    assert!(error["data"]["hint"].as_str().unwrap().contains(hint), "{hint:?}: {answer:#}");
    let said = sandbox.run(&["decide", id, choice]).exits(exit);
    assert!(said.err.contains(words) && said.err.contains(hint), "{words:?}, {hint:?}: {}", said.all());
    assert_eq!(wire.ok("list_runs", json!({})), before, "an answer to {id} that was refused has changed something");
}

#[test]
fn an_answer_to_what_is_asked_no_more_is_refused_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    let question = |id: &str, timeout_s: Value| {
        let mut task = json!({"id": id, "kind": "decision", "question": "Which?", "options": ["Red", "Blue"]});
        if !timeout_s.is_null() {
            task["timeout_s"] = timeout_s;
        }
        task
    };
    let tasks = [question("soon", json!(0.2)), question("late", Value::Null)];
    wire.ok("process_request", json!({"request": {"plan": {"version": 1, "tasks": tasks}}}));

    // Nobody answered in time: the task is put aside, and the way to have the question again is said.
    assert_eq!(ended(&mut wire, "D-1"), "expired");
    refused(&sandbox, &mut wire, ("D-1", "red"), "STALE", "D-1 expired at 20", "orchestrator retry T-1", 1);
    assert_eq!(wire.ok("get_task_status", json!({"task_id": "T-1"}))["status"], "cancelled");
    // An option that it never had is no better.
    let answer = answered(&mut wire, "D-1", "green");
    assert_eq!(answer["error"]["data"]["code"], "STALE", "{answer:#}");

    // An option that there is not, of a question that is open; and a number nobody has.
    refused(&sandbox, &mut wire, ("D-2", "bleu"), "INVALID", "D-2 has no option \"bleu\"", "did you mean", 2);
    refused(&sandbox, &mut wire, ("D-2", "green"), "INVALID", "D-2 has no option \"green\"", "red, blue", 2);
    refused(&sandbox, &mut wire, ("D-77", "red"), "NOT_FOUND", "D-77", "orchestrator", 2);

    // What was advised is so: it is asked again, under another number. That one expires, too.
    sandbox.run(&["retry", "T-1"]).exits(0);
    assert_eq!(ended(&mut wire, "D-3"), "expired");
    refused(&sandbox, &mut wire, ("D-3", "red"), "STALE", "D-3 expired at 20", "orchestrator retry T-1", 1);

    // Its task is cancelled: the question goes with it. The run is over then, and also then it is said what became of it.
    sandbox.run(&["cancel", "T-2"]).exits(0);
    assert_eq!(ended(&mut wire, "D-2"), "withdrawn");
    assert_eq!(wire.finished("R-1")["tasks"][0]["status"], "cancelled");
    let (words, hint) = ("D-2 was withdrawn: T-2 was cancelled", "orchestrator retry T-2");
    refused(&sandbox, &mut wire, ("D-2", "blue"), "STALE", words, hint, 1);
    refused(&sandbox, &mut wire, ("D-1", "blue"), "STALE", "D-1 expired at 20", "orchestrator retry T-1", 1);
}

#[test]
fn another_workspaces_question_is_none_of_this_one() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    let other = sandbox.root.join("other");
    sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "other"]);
    let plan = "version = 1\n[[tasks]]\nid = \"q\"\nkind = \"decision\"\nquestion = \"Which?\"\noptions = [\"Red\", \"Blue\"]\n";
    let plan = sandbox.file("plan.toml", plan);
    sandbox.run_in(&other, &["run", "--plan", plan.to_str().unwrap(), "--detach"]).exits(0);
    let theirs = || sandbox.run_in(&other, &["decide", "D-1", "--json"]).json()["status"].clone();
    eventually("the other workspace's question", || {
        let open = sandbox.run_in(&other, &["decide", "--json"]).exits(0).json();
        (open["decisions"][0]["decision_id"] == "D-1").then_some(())
    });
    refused(&sandbox, &mut wire, ("D-1", "red"), "NOT_FOUND", "D-1", "orchestrator", 2);
    assert_eq!(theirs(), "open", "the other workspace's question was answered from here");
    sandbox.run_in(&other, &["decide", "D-1", "red"]).exits(0);
    assert_eq!(theirs(), "answered");
}
