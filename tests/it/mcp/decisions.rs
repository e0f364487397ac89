//! Decisions over MCP: forms while a call is under way, prompts, and who is said to have answered.

use serde_json::{Value, json};

use super::client::{Client, asking_plan, outside_plan};
use crate::daemon::sandbox::Sandbox;

/// Who answered a decision, as the daemon has it.
#[track_caller]
fn answered_by(sandbox: &Sandbox, id: &str) -> (String, String) {
    let why = sandbox.run(&["why", id, "--json"]).exits(0).json();
    let by = &why["decision"]["answer"]["by"];
    (by["kind"].as_str().unwrap_or("nobody").to_owned(), by["surface"].as_str().unwrap_or("none").to_owned())
}

fn start(plan: Value) -> Value {
    json!({"name": "process_request", "arguments": {"description": "ask", "plan": plan}})
}

#[test]
fn a_form_is_a_persons_answer_in_a_session_with_a_handshake() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({"elicitation": {}}));
    let call = client.request("tools/call", start(outside_plan()));
    let asked = client.told("elicitation/create");
    assert_eq!(asked["params"]["mode"], "form");
    let allow = json!({"action": "accept", "content": {"choice": "allow"}});
    client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": allow}));
    // A second answer finds nobody who waits.
    let deny = json!({"action": "accept", "content": {"choice": "deny"}});
    client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": deny}));
    let answer = client.answer(call);
    let summary = answer["result"]["structuredContent"]["summary"].as_str().unwrap();
    assert!(summary.starts_with("D-1 answered: Run it"), "{answer}");
    assert_eq!(answered_by(&sandbox, "D-1"), ("person".to_owned(), "mcp_form".to_owned()));
}

#[test]
fn a_form_that_is_put_away_or_cannot_be_declined_leaves_the_question_open() {
    let sandbox = Sandbox::new();
    for said in [
        json!({"action": "cancel"}),
        json!({"action": "decline"}),
        json!({"action": "accept", "content": {"choice": "perhaps"}}),
        json!({"action": "accept"}),
        json!({"action": "nonsense"}),
    ] {
        let mut client = Client::shaken(&sandbox, json!({"elicitation": {"form": {}}}));
        let call = client.request("tools/call", start(asking_plan()));
        let asked = client.told("elicitation/create");
        client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": said}));
        let answer = client.answer(call)["result"]["structuredContent"].clone();
        let id = answer["decision_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_eq!(answered_by(&sandbox, &id).0, "nobody");
        // It is not shown again by itself, but the prompt is there.
        let run = answer["request_id"].clone();
        client.call("wait_for_change", json!({"timeout_s": 0, "run": run}));
        assert!(client.aside.iter().all(|message| message["method"] != "elicitation/create"));
        client.call("cancel_task", json!({"task_id": run}));
    }
}

#[test]
fn a_decline_counts_only_where_the_question_has_one() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({"elicitation": {}}));
    let call = client.request("tools/call", start(outside_plan()));
    let asked = client.told("elicitation/create");
    client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}}));
    client.answer(call);
    assert_eq!(answered_by(&sandbox, "D-1"), ("person".to_owned(), "mcp_form".to_owned()));
    let why = sandbox.run(&["why", "D-1", "--json"]).json();
    assert_eq!(why["decision"]["answer"]["choice"], "deny");
}

#[test]
fn an_answer_elsewhere_takes_the_form_back() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({"elicitation": {}}));
    let call = client.request("tools/call", start(asking_plan()));
    let asked = client.told("elicitation/create");
    sandbox.run(&["decide", "D-1", "yes"]).exits(0);
    let cancelled = client.told("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    let answer = client.answer(call);
    let summary = answer["result"]["structuredContent"]["summary"].as_str().unwrap();
    assert!(summary.starts_with("D-1 was answered elsewhere"), "{summary}");
    // Too late is said so.
    let late = client.mistake("submit_decision", json!({"decision_id": "D-1", "response": {"choice": "no"}}));
    assert!(late.starts_with("ALREADY_DECIDED: already decided by"), "{late}");
}

#[test]
fn two_rounds_of_one_call() {
    let sandbox = Sandbox::new();
    let mut client = Client::inline(&sandbox, json!({"elicitation": {"form": {}}}));
    let asked = client.ask("tools/call", start(outside_plan()))["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert_eq!(asked["inputRequests"]["D-1"]["method"], "elicitation/create");
    let state = asked["requestState"].as_str().unwrap().to_owned();
    let accept = json!({"D-1": {"action": "accept", "content": {"choice": "allow"}}});
    // Forged, cut, of another tool, for a question that was not asked: none of it is believed.
    let mut forged = state.clone();
    forged.replace_range(0..1, if state.starts_with('7') { "6" } else { "7" });
    for (name, state, responses) in [
        ("process_request", json!(forged), accept.clone()),
        ("process_request", json!(state[..state.len() - 1]), accept.clone()),
        ("process_request", json!(""), accept.clone()),
        ("process_request", Value::Null, accept.clone()),
        ("wait_for_change", json!(state), accept.clone()),
        ("process_request", json!(state), json!({"D-2": {"action": "cancel"}})),
    ] {
        let mut params = start(outside_plan());
        params["name"] = name.into();
        params["inputResponses"] = responses;
        if state.is_string() {
            params["requestState"] = state;
        }
        let refused = client.ask("tools/call", params);
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(answered_by(&sandbox, "D-1").0, "nobody");
    let mut again = start(outside_plan());
    again["requestState"] = state.into();
    again["inputResponses"] = accept;
    let done = client.ask("tools/call", again)["result"].clone();
    assert_eq!(done["resultType"], "complete", "{done}");
    let content = &done["structuredContent"];
    assert_eq!(content["request_id"], "R-1", "the second round is the same run: {content}");
    assert!(content["summary"].as_str().unwrap().starts_with("D-1 answered"), "{content}");
    assert_eq!(answered_by(&sandbox, "D-1"), ("person".to_owned(), "mcp_form".to_owned()));
    assert_eq!(client.call("get_state", json!({}))["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_question_that_comes_up_while_a_call_waits() {
    let sandbox = Sandbox::new();
    let mut other = Client::shaken(&sandbox, json!({}));
    let mut client = Client::inline(&sandbox, json!({"elicitation": {}}));
    let wait = json!({"name": "wait_for_change", "arguments": {"timeout_s": 60}});
    let call = client.request("tools/call", wait.clone());
    other.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
    let first = client.answer(call)["result"].clone();
    // What happened first may have been the run itself; the question is asked by this call or the next.
    let asked = match first["resultType"].as_str() {
        Some("input_required") => first,
        _ => client.ask("tools/call", wait.clone())["result"].clone(),
    };
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let mut again = wait;
    again["requestState"] = asked["requestState"].clone();
    again["inputResponses"] = json!({"D-1": {"action": "accept", "content": {"choice": "no"}}});
    let done = client.ask("tools/call", again)["result"].clone();
    let summary = done["structuredContent"]["summary"].as_str().unwrap_or_else(|| panic!("{done}"));
    assert!(summary.starts_with("D-1 answered: No"), "{summary}");
}

#[test]
fn what_a_person_chose_in_a_prompt_is_theirs_and_nothing_else_is() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    client.call("process_request", json!({"description": "ask", "plan": outside_plan()}));
    let get = |client: &mut Client, name: &str, arguments: Value| {
        let answer = client.ask("prompts/get", json!({"name": name, "arguments": arguments}));
        answer["result"]["messages"][0]["content"]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    for (response, words) in [
        (json!({"chioce": "allow"}), "Did you mean `choice`?"),
        (json!({"choice": ""}), "`choice` is empty"),
        (json!(7), "is a JSON object, not a number"),
    ] {
        let said = client.mistake("submit_decision", json!({"decision_id": "D-1", "response": response}));
        assert!(said.contains(words) || said.starts_with("FORBIDDEN"), "{said}");
    }
    // A model alone may not; the sentence says how a person can.
    let answer = json!({"decision_id": "D-1", "response": {"choice": "allow"}});
    let refused = client.mistake("submit_decision", answer.clone());
    assert!(refused.starts_with("FORBIDDEN: D-1 is a person's to answer"), "{refused}");
    assert!(refused.contains("/mcp__orchestrator__decide D-1"), "{refused}");
    // Showing it decides nothing.
    let shown = get(&mut client, "decide", json!({"id": "d-1"}));
    assert!(shown.contains("- allow: Run it") && shown.contains("- deny:"), "{shown}");
    client.mistake("submit_decision", answer.clone());
    assert!(get(&mut client, "inbox", json!({})).contains("D-1"));
    assert!(get(&mut client, "status", json!({})).contains("R-1"));
    let wrong = client.ask("prompts/get", json!({"name": "decide", "arguments": {"id": "D-1", "choice": "allwo"}}));
    assert!(wrong["error"]["message"].as_str().unwrap().contains("Did you mean `allow`?"), "{wrong}");
    // The choice that was typed, and only that.
    let typed = get(&mut client, "decide-d-1", json!({"choice": "deny"}));
    assert!(typed.contains("\"choice\": \"deny\""), "{typed}");
    client.mistake("submit_decision", answer);
    let denied = client.call("submit_decision", json!({"decision_id": "D-1", "response": {"choice": "deny"}}));
    assert_eq!(denied["answered_by"]["surface"], "mcp_prompt");
    assert_eq!(answered_by(&sandbox, "D-1"), ("person".to_owned(), "mcp_prompt".to_owned()));
    let after = get(&mut client, "decide", json!({"id": "D-1", "choice": "allow"}));
    assert!(after.contains("already decided as `deny`"), "{after}");
    // What was refused is in the journal.
    let journal = sandbox.run(&["journal", "export"]).exits(0).out;
    assert_eq!(journal.matches("call.refused").count(), 6, "{journal}");
    assert!(journal.contains("answer_decision D-1"), "{journal}");
}
