//! Whose word counts: a host's own server vouches for its person, a shell of its model does not, an agent never.

use std::process::Command;

use serde_json::json;

use super::client::{Client, outside_plan};
use crate::daemon::sandbox::Sandbox;

/// The program below a shell that has these variables, with these of its own.
fn below(sandbox: &Sandbox, shell: &[(&str, &str)], own: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_orchestrator");
    let mut command = sandbox.command_of("/bin/sh".as_ref(), &["-c", &format!("{own} {program} --mcp; true")]);
    command.envs(shell.iter().copied());
    command
}

#[test]
fn a_form_counts_as_the_person_in_front_of_the_host() {
    let sandbox = Sandbox::new();
    // This test may itself run below a model's shell; then nobody is a person, and there is nothing to tell apart.
    let by_hand = sandbox.run(&["daemon", "status", "--json"]);
    drop(by_hand);
    let places = sandbox.env().map(|(name, value)| format!("{name}={}", value.display())).join(" ");
    let cleared = format!("env -i {places}");
    for (shell, own, counts) in [
        (vec![], "CLAUDECODE=1", true),
        (vec![], "", true),
        (vec![("CLAUDECODE", "1")], "CLAUDECODE=1", false),
        (vec![("CLAUDECODE", "1")], cleared.as_str(), false),
        (vec![], "ORCHESTRATOR_JOB=T-1.1", false),
        (vec![("ORCHESTRATOR_JOB", "T-1.1")], cleared.as_str(), false),
    ] {
        let mut starter = Client::shaken(&sandbox, json!({}));
        let started = starter.call("process_request", json!({"description": "deploy", "plan": outside_plan()}));
        let (run, decision) = (started["request_id"].clone(), started["decision_id"].clone());
        let id = decision.as_str().unwrap().to_owned();
        let mut client = Client::of(below(&sandbox, &shell, own));
        client.shake(json!({"elicitation": {}}));
        let tools = client.ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len();
        if own.contains("ORCHESTRATOR_JOB") {
            // An agent has tools of its own, and no face to answer through.
            assert_eq!(tools, 3);
            assert_eq!(client.ask("prompts/list", json!({}))["error"]["code"], -32601);
            let answer = json!({"name": "submit_decision", "arguments": {"decision_id": id}});
            assert_eq!(client.ask("tools/call", answer)["error"]["code"], -32602);
            starter.call("cancel_task", json!({"task_id": run}));
            continue;
        }
        assert_eq!(tools, 10);
        let wait = client
            .request("tools/call", json!({"name": "wait_for_change", "arguments": {"timeout_s": 20, "run": run}}));
        let asked = client.told("elicitation/create");
        let allow = json!({"action": "accept", "content": {"choice": "allow"}});
        client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": allow}));
        let answer = client.answer(wait);
        let why = sandbox.run(&["why", &id, "--json"]).exits(0).json();
        let by = &why["decision"]["answer"]["by"];
        match counts {
            true => {
                assert_eq!((&by["kind"], &by["surface"]), (&json!("person"), &json!("mcp_form")), "{own}: {answer}")
            }
            false => {
                assert!(by.is_null(), "{shell:?} {own}: {by}");
                assert!(answer.to_string().contains("FORBIDDEN"), "{shell:?} {own}: {answer}");
            }
        }
        starter.call("cancel_task", json!({"task_id": run}));
    }
    let journal = sandbox.run(&["journal", "export"]).exits(0).out;
    assert!(journal.contains("call.refused"), "{journal}");
}

#[test]
fn over_mcp_nobody_governs() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    client.call("get_state", json!({}));
    // There is no tool for it, and the connection behind has no more rights than its tools.
    for name in ["trust", "stop_daemon", "apply"] {
        assert_eq!(client.ask("tools/call", json!({"name": name}))["error"]["code"], -32602);
    }
    assert!(!sandbox.daemons().is_empty());
}
