//! A session is a worker with nothing else installed: it claims a task, works in the lane, and hands it in.

use serde_json::{Value, json};

use super::{failing, over, program};
use crate::daemon::sandbox::Sandbox;

/// A run that waits for somebody to do its task.
fn waiting() -> Option<Sandbox> {
    program("python3", "ORCHESTRATOR_PYTHON")?;
    let sandbox = Sandbox::empty();
    failing(&sandbox);
    // Whatever this machine has installed is not to take part.
    let none = ["claude", "codex", "gemini", "opencode"].map(|id| format!("[agents.{id}]\ncommand = []\n"));
    sandbox.configure(&none.concat());
    let plan = "version = 1\n[[tasks]]\nid = \"fix\"\ntitle = \"Fix the failing test\"\ntype = \"fix\"\nkind = \"agent\"\n\
                prompt = \"fix the failing test\"\nwrites = [\"sample.py\"]\n";
    let file = sandbox.file("plan.toml", plan);
    sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--trust", "--detach"]).exits(0);
    let decision = super::asked(&sandbox);
    assert_eq!(decision["kind"], "no_agent", "{decision:#}");
    Some(sandbox)
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn a_session_takes_a_task_and_only_its_checks_complete_it() {
    let Some(sandbox) = waiting() else { return };
    let mut session = sandbox.wire();
    let claimed = session.ok("claim_task", json!({}));
    let (attempt, lane) = (text(&claimed, "/task/attempt_id").to_owned(), text(&claimed, "/task/lane").to_owned());
    assert!(text(&claimed, "/task/prompt").contains("fix the failing test"));
    assert!(!claimed["task"]["verify"].as_array().unwrap().is_empty(), "{claimed:#}");
    // Nobody else gets it, and a second session finds nothing.
    let mut other = sandbox.wire();
    assert!(other.ok("claim_task", json!({}))["task"].is_null());
    // It says that it is done, and changed nothing: the task is offered again.
    session.ok("agent_report", json!({"attempt_id": attempt, "kind": "done", "text": "all green"}));
    let again = crate::daemon::sandbox::eventually("the task to be offered again", || {
        let claimed = session.ok("claim_task", json!({}));
        (!claimed["task"].is_null()).then_some(claimed)
    });
    let second = text(&again, "/task/attempt_id").to_owned();
    assert_ne!(attempt, second);
    assert!(text(&again, "/task/prompt").contains("changed nothing"), "{again:#}");
    // The first attempt's word comes too late.
    let late = session.refused("agent_report", json!({"attempt_id": attempt, "kind": "done", "text": "now really"}));
    assert!(late.contains("STALE"), "{late}");
    let lane = text(&again, "/task/lane").to_owned() + lane.get(..0).unwrap_or_default();
    session.ok("agent_notes", json!({"attempt_id": second, "add": "the sign was wrong"}));
    let task = session.ok("agent_task", json!({"attempt_id": second}));
    assert_eq!(text(&task, "/notes/0/text"), "the sign was wrong");
    std::fs::write(format!("{lane}/sample.py"), "def add(a, b):\n    return a + b\n").unwrap();
    let said = session.ok("agent_report", json!({"attempt_id": second, "kind": "done", "text": "fixed"}));
    assert_ne!(text(&said, "/status"), "completed", "nothing is completed by a word");
    assert_eq!(over(&sandbox, "R-1")["outcome"], "completed");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert!(sandbox.read("sample.py").contains("a + b"));
}

#[test]
fn an_agent_of_a_run_may_not_claim_nor_speak_for_others() {
    let Some(sandbox) = waiting() else { return };
    let mut session = sandbox.wire();
    let claimed = session.ok("claim_task", json!({}));
    let attempt = text(&claimed, "/task/attempt_id").to_owned();
    // What nobody claimed is nobody's to report.
    let refused = session.refused("agent_report", json!({"attempt_id": "T-1.9", "kind": "done", "text": "x"}));
    assert!(refused.contains("STALE") || refused.contains("NOT_FOUND"), "{refused}");
    let refused = session.refused("agent_report", json!({"kind": "done", "text": "x"}));
    assert!(refused.contains("INVALID"), "{refused}");
    session.ok("agent_report", json!({"attempt_id": attempt, "kind": "failed", "text": "too hard"}));
    sandbox.run(&["cancel", "R-1"]);
}
