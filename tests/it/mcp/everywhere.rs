//! One run on every face: started by a model host, seen by an editor, answered in a terminal, and both see the answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, asking_plan};
use crate::{
    daemon::sandbox::Sandbox,
    lsp::editor::{Editor, capable},
};

/// How soon each face must show what another did. The machine may be busy with other tests, so the quickest of three
/// rounds counts.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_run_is_the_same_on_every_face() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    editor.command("list_runs", json!({}));
    let mut host = Client::shaken(&sandbox, json!({}));
    host.call("get_state", json!({}));
    let (mut begun, mut asked, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=3 {
        let (run, decision) = (format!("R-{round}"), format!("D-{round}"));
        let start = Instant::now();
        host.request(
            "tools/call",
            json!({"name": "process_request", "arguments": {"description": "ask", "plan": asking_plan()}}),
        );
        let create = editor.next("window/workDoneProgress/create");
        editor.reply(&create, Value::Null);
        let begin = editor.find("a begin", |message| message["params"]["value"]["kind"] == "begin");
        begun.push(start.elapsed());
        assert!(begin["params"]["value"]["title"].as_str().unwrap().starts_with(&run), "{begin}");
        // The question is on both screens: as the editor's status, and as the host's prompts.
        editor.find("the question", |message| {
            message["method"] == "orchestrator/status" && message["params"]["decisions"].to_string().contains(&decision)
        });
        host.told("notifications/prompts/list_changed");
        asked.push(start.elapsed());
        host.aside.clear();
        let id = decision.clone();
        let waiting =
            host.request("tools/call", json!({"name": "wait_for_change", "arguments": {"timeout_s": 30, "run": run}}));
        host.ask("ping", json!({}));
        let start = Instant::now();
        sandbox.run(&["decide", &id, "yes"]).exits(0);
        editor.find("no question", |message| {
            message["method"] == "orchestrator/status" && message["params"]["decisions"] == json!([])
        });
        let news = host.answer(waiting);
        assert!(!news["result"]["structuredContent"]["events"].as_array().unwrap().is_empty(), "{news}");
        host.told("notifications/prompts/list_changed");
        answered.push(start.elapsed());
        editor.find("the end", |message| message["params"]["value"]["kind"] == "end");
        let late = host.mistake("submit_decision", json!({"decision_id": decision, "response": {"choice": "no"}}));
        assert!(late.starts_with("ALREADY_DECIDED"), "{late}");
    }
    for (what, times) in [("the run", &begun), ("the question", &asked), ("the answer", &answered)] {
        let quickest = times.iter().min().unwrap();
        assert!(*quickest <= SEEN_WITHIN, "{what} was seen after {times:?}");
    }
    assert_eq!(editor.leave(), 0);
}
