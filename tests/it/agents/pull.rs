//! A session is a worker with nothing else installed: it claims a task, works in the lane, and hands it in.

use serde_json::{Value, json};

use super::{failing, over, program};
use crate::daemon::sandbox::Sandbox;

/// What the user puts into `config.toml`.
const PULL: &str = "[agents.session]\ndriver = \"pull\"\n";

/// A run that waits for somebody to do its task.
fn waiting() -> Option<Sandbox> {
    waiting_with(PULL, "", None)
}

fn waiting_with(pull: &str, more: &str, clock: Option<&str>) -> Option<Sandbox> {
    program("python3", "ORCHESTRATOR_PYTHON")?;
    let sandbox = Sandbox::empty();
    failing(&sandbox);
    // Whatever this machine has installed is not to take part.
    let known = ["claude", "codex", "gemini", "opencode", "claude-acp"];
    let none = known.map(|id| format!("[agents.{id}]\ncommand = []\n"));
    sandbox.configure(&(none.concat() + pull));
    if let Some(clock) = clock {
        let mut start = sandbox.command(&["daemon", "start"]);
        start.env("ORCHESTRATOR_TEST_CLOCK", sandbox.file(clock, "0"));
        sandbox.finish(start).exits(0);
    }
    let plan = format!(
        "version = 1\n[[tasks]]\nid = \"fix\"\ntitle = \"Fix the failing test\"\ntype = \"fix\"\nkind = \"agent\"\n\
         prompt = \"fix the failing test\"\nwrites = [\"sample.py\"]\n{more}"
    );
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
    // How it did is the record of what is declared for sessions, whatever this one is called.
    let agents = sandbox.run(&["agents", "--json"]).exits(0).json();
    let of = |id: &str| agents.as_array().unwrap().iter().find(|agent| agent["id"].as_str().unwrap().starts_with(id));
    assert_eq!(of("session").unwrap()["record"][0]["proven"], 1, "{agents:#}");
    assert!(of("session:").is_none(), "{agents:#}");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert!(sandbox.read("sample.py").contains("a + b"));
}

#[test]
fn a_session_that_is_silent_for_ten_minutes_loses_its_task_and_comes_too_late() {
    let Some(sandbox) = waiting_with(PULL, "", Some("clock")) else { return };
    let mut session = sandbox.wire();
    let claimed = session.ok("claim_task", json!({}));
    let (attempt, lane) = (text(&claimed, "/task/attempt_id").to_owned(), text(&claimed, "/task/lane").to_owned());
    // Nine minutes, and a word: it has ten more from there.
    std::fs::write(sandbox.root.join("clock"), "540000").unwrap();
    session.ok("agent_notes", json!({"attempt_id": attempt, "add": "still at it"}));
    std::fs::write(sandbox.root.join("clock"), "1080000").unwrap();
    session.ok("agent_task", json!({"attempt_id": attempt}));
    std::fs::write(sandbox.root.join("clock"), "1800000").unwrap();
    let mut other = sandbox.wire();
    let again = crate::daemon::sandbox::eventually("the task to be offered again", || {
        let claimed = other.ok("claim_task", json!({}));
        (!claimed["task"].is_null()).then_some(claimed)
    });
    assert_ne!(text(&again, "/task/attempt_id"), attempt);
    // The late one worked on, and is not heard: neither its word nor what it left in that folder counts.
    std::fs::write(format!("{lane}/late.txt"), "late\n").unwrap();
    let late = session.refused("agent_report", json!({"attempt_id": attempt, "kind": "done", "text": "fixed"}));
    assert_eq!(late, "STALE");
    let lane = text(&again, "/task/lane").to_owned();
    std::fs::write(format!("{lane}/sample.py"), "def add(a, b):\n    return a + b\n").unwrap();
    other.ok("agent_report", json!({"attempt_id": text(&again, "/task/attempt_id"), "kind": "done", "text": "fixed"}));
    assert_eq!(over(&sandbox, "R-1")["outcome"], "completed");
    let files = sandbox.git(&["ls-tree", "-r", "--name-only", "orchestrator/R-1"]);
    assert!(!files.contains("late.txt"), "{files}");
}

#[test]
fn what_is_declared_for_sessions_is_what_they_may_take() {
    // Nothing declared: nothing given, whoever asks the daemon directly.
    let Some(sandbox) = waiting_with("", "", None) else { return };
    assert_eq!(sandbox.wire().refused("claim_task", json!({})), "FORBIDDEN");
    sandbox.run(&["cancel", "R-1"]).exits(0);
    // It lacks what the task needs.
    let rust = format!("{PULL}capabilities = [\"rust\"]\n");
    let Some(sandbox) = waiting_with(&rust, "capabilities = [\"python\"]\n", None) else { return };
    assert!(sandbox.wire().ok("claim_task", json!({}))["task"].is_null());
    let refused = sandbox.wire().call("claim_task", json!({"task_id": "T-1"}));
    assert!(refused.to_string().contains("it needs python"), "{refused}");
    sandbox.run(&["cancel", "R-1"]).exits(0);
    // One at a time.
    let more = "[[tasks]]\nid = \"second\"\nkind = \"agent\"\nprompt = \"x\"\nwrites = [\"second.txt\"]\n";
    let Some(sandbox) = waiting_with(&format!("{PULL}max_load = 1\n"), more, None) else { return };
    let first = sandbox.wire().ok("claim_task", json!({"task_id": "T-1"}));
    let refused = sandbox.wire().call("claim_task", json!({"task_id": "T-2"}));
    assert!(refused.to_string().contains("sessions have 1 tasks, the most they may"), "{refused}");
    let agents = sandbox.run(&["agents"]).exits(0);
    assert!(!agents.all().contains("`` is not on the PATH"), "{}", agents.all());
    let mut session = sandbox.wire();
    let attempt = text(&first, "/task/attempt_id");
    session.ok("agent_report", json!({"attempt_id": attempt, "kind": "failed", "text": "too hard"}));
    crate::daemon::sandbox::eventually("room for the second", || {
        let claimed = session.call("claim_task", json!({"task_id": "T-2"}));
        (!claimed["result"]["task"].is_null()).then_some(())
    });
    sandbox.run(&["cancel", "R-1"]).exits(0);
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

#[test]
fn a_plain_claude_code_session_fixes_the_failing_test_beside_another_run_with_the_daemon_killed() {
    let Some(claude) = program("claude", "ORCHESTRATOR_CLAUDE") else { return };
    let Some(python) = program("python3", "ORCHESTRATOR_PYTHON") else { return };
    let Some(sandbox) = waiting() else { return };
    let lane = r#"{{match:(/[^"\\\s]*/lanes/L-\d+)}}"#;
    let attempt = r"{{match:(T-\d+\.\d+)}}";
    let file = format!("{lane}/sample.py");
    let turns = json!([
        {"tool": "mcp__orchestrator__claim_task", "input": {}},
        {"tool": "Read", "input": {"file_path": file}},
        {"tool": "Edit", "delay": 1.0, "input": {"file_path": file, "old_string": "a - b", "new_string": "a + b"}},
        {"tool": "mcp__orchestrator__report_task", "input": {"attempt_id": attempt, "kind": "done", "text": "the sign was wrong"}},
        {"text": "Handed in."},
    ]);
    let model = super::double::Model::start(&sandbox, &python, "model", turns);
    sandbox.run(&["setup", "claude-code"]).exits(0);
    // Nothing but what a person has: the tools are allowed by `setup`, the folder of the lanes by the command line.
    let lanes = sandbox.state.join("orchestrator/workspaces");
    let prompt = "claim a task and do it";
    let arguments = ["-p", prompt, "--output-format", "json", "--permission-mode", "acceptEdits", "--add-dir"];
    let mut command = sandbox.command_of(&claude, &arguments);
    command.arg(lanes).env("ANTHROPIC_BASE_URL", &model.url).env("ANTHROPIC_API_KEY", "sk-ant-test-0123456789");
    command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
    let before = sandbox.users(&sandbox.repo);
    sandbox.run(&["run", "--do", "echo more >> notes.txt", "--verify", "true", "--detach"]).exits(0);
    let child = command.spawn().unwrap();
    // While the session works, the daemon dies; its lease is in the journal.
    crate::daemon::sandbox::eventually("the claim to be heard of", || {
        (model.heard().lines().count() >= 2).then_some(())
    });
    let daemon = sandbox.daemons()[0];
    crate::daemon::sandbox::kill_9(daemon);
    sandbox.gone(daemon);
    let said = sandbox.finish_child(child).exits(0).json();
    assert_eq!((&said["result"], &said["permission_denials"]), (&json!("Handed in."), &json!([])), "{said:#}");
    let report = over(&sandbox, "R-1");
    assert_eq!(report["outcome"], "completed", "{report:#}\n{}", model.heard());
    assert_eq!(over(&sandbox, "R-2")["outcome"], "completed");
    assert_eq!(sandbox.users(&sandbox.repo), before, "the checkout was touched before anybody said so");
    sandbox.run(&["why", "T-1"]).exits(0).says("session:");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert!(sandbox.read("sample.py").contains("a + b"));
    drop(model);
}
