//! A plain session as a worker: where the user declared an agent that is pulled, an MCP client claims a task, works in
//! its lane, and hands it in. Nothing else is installed, and its word completes nothing.

use serde_json::{Value, json};

use super::client::Client;
use crate::daemon::sandbox::{Sandbox, eventually, kill_9};

/// What the user puts into `config.toml`.
pub const PULL: &str = "[agents.session]\ndriver = \"pull\"\n";

/// One task for an agent, judged by a check that fails until its file says what it should.
const PLAN: &str = "version = 1\n[[tasks]]\nid = \"write\"\ntitle = \"Write the answer\"\ntype = \"docs\"\n\
                    kind = \"agent\"\nprompt = \"write the answer into answer.txt\"\nwrites = [\"answer.txt\"]\n\
                    verify = [[\"grep\", \"-q\", \"42\", \"answer.txt\"]]\n";

/// A run that nobody on this machine can do. What is installed here is not to take part.
fn waiting(more: &str) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    let none = ["claude", "codex", "gemini", "opencode"].map(|id| format!("[agents.{id}]\ncommand = []\n"));
    sandbox.configure(&(none.concat() + more));
    let file = sandbox.file("plan.toml", PLAN);
    sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--trust", "--detach"]).exits(0);
    let decision = eventually("a decision", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        open["decisions"].as_array().and_then(|decisions| decisions.first().cloned())
    });
    assert_eq!(decision["kind"], "no_agent", "{decision:#}");
    (sandbox, decision)
}

fn tools(client: &mut Client) -> (Vec<String>, usize) {
    let result = client.ask("tools/list", json!({}))["result"].clone();
    let names = result["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
    (names.collect(), result.to_string().len())
}

#[track_caller]
fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn a_session_claims_a_task_and_its_checks_prove_it() {
    // As the README has it.
    let readme = include_str!("../../../README.md");
    assert!(PULL.lines().all(|line| readme.contains(&format!("`{line}`"))), "{PULL}");
    let (sandbox, decision) = waiting(PULL);
    assert!(text(&decision, "/detail").contains("claim_task"), "{decision:#}");
    assert!(!text(&decision, "/detail").contains("into config.toml"), "it is there already: {decision:#}");
    let mut first = Client::shaken(&sandbox, json!({}));
    let mut second = Client::inline(&sandbox, json!({}));
    for client in [&mut first, &mut second] {
        let (names, bytes) = tools(client);
        assert_eq!(names[10..], ["my_task", "report_task", "notes", "claim_task"]);
        assert!(bytes <= 8 << 10, "{bytes}");
    }
    let claimed = first.call("claim_task", json!({"task_id": "t-1"}));
    let lost = text(&claimed, "/task/attempt_id").to_owned();
    assert_eq!(lost, "T-1.1", "{claimed:#}");
    assert!(text(&claimed, "/task/prompt").contains("write the answer"), "{claimed:#}");
    assert_eq!(claimed["task"]["verify"], json!([["grep", "-q", "42", "answer.txt"]]), "{claimed:#}");
    // Whoever comes second hears whose it is, or that there is nothing.
    let taken = second.mistake("claim_task", json!({"task_id": "T-1"}));
    assert!(taken.contains("T-1 is taken: session:test works on it"), "{taken}");
    let nothing = second.call("claim_task", json!({}));
    assert_eq!((&nothing["task"], text(&nothing, "/summary")), (&Value::Null, "no task is offered just now"));
    // A session has no attempt of its own, and is told to name one.
    let unnamed = first.mistake("report_task", json!({"kind": "done", "text": "x"}));
    assert!(unnamed.contains("attempt_id is missing"), "{unnamed}");
    // Done, it says, and did nothing: it is offered anew, the other one gets it, and the first comes too late.
    first.call("report_task", json!({"attempt_id": lost, "kind": "done", "text": "all green"}));
    let again = eventually("the task to be offered again", || {
        let claimed = second.call("claim_task", json!({}));
        (!claimed["task"].is_null()).then_some(claimed)
    });
    let attempt = text(&again, "/task/attempt_id").to_owned();
    assert_eq!(attempt, "T-1.2", "{again:#}");
    for (tool, arguments) in [
        ("report_task", json!({"attempt_id": lost, "kind": "done", "text": "now really"})),
        ("my_task", json!({"attempt_id": lost})),
        ("notes", json!({"attempt_id": lost, "add": "late"})),
    ] {
        let late = first.mistake(tool, arguments);
        assert!(late.starts_with("STALE: ") && late.contains("T-1.1 is over"), "{tool}: {late}");
    }
    second.call("notes", json!({"attempt_id": attempt, "add": "it is 42"}));
    let task = second.call("my_task", json!({"attempt_id": attempt}));
    assert_eq!(text(&task, "/notes/0/text"), "it is 42");
    let lane = std::path::Path::new(text(&task, "/lane"));
    assert_ne!(lane, sandbox.repo, "a lane is no one's checkout");
    std::fs::write(lane.join("answer.txt"), "42\n").unwrap();
    let said = second.call("report_task", json!({"attempt_id": attempt, "kind": "done", "text": "written"}));
    assert_ne!(text(&said, "/status"), "completed", "nothing is completed by a word");
    let report = eventually("the end of R-1", || {
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["outcome"], "completed", "{report:#}");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("answer.txt"), "42\n");
}

#[test]
fn a_claim_under_which_the_daemon_dies_is_made_again_and_is_one_claim() {
    let marks = tempfile::tempdir().unwrap();
    let (begun, go) = (marks.path().join("begun"), marks.path().join("go"));
    // The lane is made ready until the test says so: the claim is in the journal, and nobody has heard of it.
    let wait = format!("touch {}; until [ -e {} ]; do sleep 0.02; done", begun.display(), go.display());
    let (sandbox, _) = waiting(&format!("{PULL}[lanes]\nsetup = [\"sh\", \"-c\", {wait:?}]\n"));
    let mut client = Client::shaken(&sandbox, json!({}));
    let claims = std::thread::spawn(move || (client.call("claim_task", json!({})), client));
    eventually("the lane to be made ready", || begun.exists().then_some(()));
    let daemon = sandbox.processes().into_iter().find(|process| process.is_daemon()).expect("it lays the lane out");
    kill_9(daemon.pid);
    std::fs::write(&go, "").unwrap();
    let (claimed, mut client) = claims.join().unwrap();
    assert_eq!(text(&claimed, "/task/attempt_id"), "T-1.1", "{claimed:#}");
    let status = sandbox.run(&["status", "--json"]).exits(0).json();
    assert_ne!(status["daemon"], Value::Null, "{status:#}");
    let task = client.call("get_task_status", json!({"task_id": "T-1"}));
    assert_eq!(task["attempts"].as_array().map(Vec::len), Some(1), "{task:#}");
    // It is this session's still: its report counts.
    let lane = text(&claimed, "/task/lane").to_owned();
    std::fs::write(std::path::Path::new(&lane).join("answer.txt"), "42\n").unwrap();
    client.call("report_task", json!({"attempt_id": "T-1.1", "kind": "done", "text": "written"}));
    let report = eventually("the end of R-1", || {
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["outcome"], "completed", "{report:#}");
}

#[test]
fn an_agent_of_a_run_has_its_own_three_tools_also_where_sessions_claim() {
    let sandbox = Sandbox::new();
    sandbox.configure(PULL);
    let mut command = sandbox.command(&["--mcp"]);
    command.env("ORCHESTRATOR_JOB", "T-1.1");
    let mut agent = Client::of(command);
    agent.shake(json!({}));
    assert_eq!(tools(&mut agent).0, ["my_task", "report_task", "notes"]);
    assert_eq!(agent.ask("tools/call", json!({"name": "claim_task"}))["error"]["code"], -32602);
}

#[test]
fn without_a_pulled_agent_nobody_is_offered_a_claim_and_the_question_says_how() {
    let (sandbox, decision) = waiting("");
    assert!(text(&decision, "/detail").contains("driver = \"pull\""), "{decision:#}");
    let mut client = Client::shaken(&sandbox, json!({}));
    assert_eq!(tools(&mut client).0.len(), 10);
    let refused = client.ask("tools/call", json!({"name": "claim_task"}));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    client.call("cancel_task", json!({"task_id": "R-1"}));
}
