//! What each era of the protocol sees, and that the stream may come in any pieces.

use serde_json::{Value, json};

use super::client::{Client, asking_plan};
use crate::daemon::sandbox::Sandbox;

#[test]
fn a_session_with_a_handshake() {
    let sandbox = Sandbox::new();
    let mut client = Client::start(&sandbox, &[]);
    // Before the handshake: a sign of life is answered, everything else is told what to send first.
    assert_eq!(client.ask("ping", json!({}))["result"], json!({}));
    assert_eq!(client.ask("tools/list", json!({}))["error"]["code"], -32600);
    client.shake(json!({}));
    let tools = client.ask("tools/list", json!({}))["result"].clone();
    assert_eq!(tools.get("resultType"), None, "a field of 2026-07-28 in an older session");
    let bytes = tools.to_string().len();
    assert!(bytes <= 8 << 10, "{bytes}");
    let names: Vec<&str> = tools["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "process_request",
            "submit_task",
            "get_task_status",
            "cancel_task",
            "get_state",
            "save_checkpoint",
            "get_pending_decisions",
            "submit_decision",
            "wait_for_change",
            "restore_checkpoint"
        ]
    );
    let started = client.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
    assert_eq!(started["request_id"], "R-1");
    assert_eq!(started["decision_id"], "D-1", "{started}");
    // The question is a prompt, and the client was told to look.
    client.told("notifications/prompts/list_changed");
    let prompts = client.ask("prompts/list", json!({}));
    assert!(prompts.to_string().contains("decide-d-1"), "{prompts}");
    let answered = client.call("submit_decision", json!({"decision_id": "d-1", "response": {"choice": "yes"}}));
    assert_eq!(answered["answered_by"]["kind"], "session");
    assert_eq!(answered["answered_by"]["surface"], "mcp_tool");
    assert_eq!(answered["answered_by"]["name"], "test");
    let mut after = 0;
    for _ in 0..200 {
        let changes = client.call("wait_for_change", json!({"after": after, "timeout_s": 20, "run": "R-1"}));
        after = changes["revision"].as_u64().unwrap();
        if changes["events"].as_array().unwrap().iter().any(|event| event["type"] == "run.finished") {
            break;
        }
    }
    let status = client.call("get_task_status", json!({"task_id": "R-1"}));
    assert_eq!(status["status"], "completed", "{status}");
    let read = client.ask("resources/read", json!({"uri": "orchestrator://decisions/D-1"}));
    assert!(read["result"]["contents"][0]["text"].as_str().unwrap().contains("\"choice\":\"yes\""), "{read}");
    let saved = client.call("save_checkpoint", json!({"label": "here"}));
    assert_eq!(saved["checkpoint_id"], "C-1", "{saved}");
    let (code, took) = client.leave();
    assert_eq!(code, Some(0));
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
}

/// Each revision with a handshake is agreed on as it is asked for, and works; one that nobody knows gets the newest of them.
#[test]
fn every_older_revision_is_spoken() {
    let sandbox = Sandbox::new();
    let mut run = 0;
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-12-31", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
    ] {
        let mut client = Client::start(&sandbox, &[]);
        let info = json!({"name": "old", "version": "1"});
        let hello = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": info});
        let greeted = client.ask("initialize", hello)["result"].clone();
        assert_eq!(greeted["protocolVersion"], agreed, "{asked}: {greeted}");
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert_eq!(client.ask("ping", json!({}))["result"], json!({}), "{asked}");
        let tools = client.ask("tools/list", json!({}))["result"]["tools"].clone();
        assert!(
            tools.as_array().unwrap().iter().all(|tool| tool["inputSchema"]["type"] == "object"),
            "{asked}: {tools}"
        );
        run += 1;
        let started = client.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
        assert_eq!(started["request_id"], format!("R-{run}"), "{asked}");
        client.told("notifications/prompts/list_changed");
        let open = client.call("get_pending_decisions", json!({}))["decisions"][0]["decision_id"].clone();
        let answer = json!({"decision_id": open, "response": {"choice": "no"}});
        assert_eq!(client.call("submit_decision", answer)["accepted"], true, "{asked}");
        // What came with a later revision alone is not there.
        assert_eq!(client.ask("subscriptions/listen", json!({}))["error"]["code"], -32601, "{asked}");
        assert_eq!(client.ask("tasks/get", json!({"taskId": "R-1"}))["error"]["code"], -32601, "{asked}");
        assert_eq!(client.leave().0, Some(0), "{asked}");
    }
}

#[test]
fn requests_that_carry_their_own_revision() {
    let sandbox = Sandbox::new();
    let mut client = Client::inline(&sandbox, json!({}));
    let discovered = client.ask("server/discover", json!({}))["result"].clone();
    assert_eq!(discovered["resultType"], "complete");
    assert!(discovered["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "orchestrator");
    assert!(discovered["instructions"].as_str().unwrap().contains("submit_decision"));
    assert_eq!(discovered["cacheScope"], "private");
    let state = client.ask("tools/call", json!({"name": "get_state"}))["result"].clone();
    assert_eq!((&state["resultType"], &state["isError"]), (&json!("complete"), &json!(false)));
    // What comes first is what a reader needs first, in the text, too.
    assert!(state["content"][0]["text"].as_str().unwrap().starts_with("{\"summary\":"), "{state}");
    let listed = client.ask("prompts/list", json!({}))["result"].clone();
    assert_eq!((&listed["ttlMs"], &listed["prompts"][0]["name"]), (&json!(0), &json!("decide")));
    // The other era's methods are not there.
    assert_eq!(client.ask("ping", json!({}))["error"]["code"], -32601);
    // Changes are told to whoever listens, under the id of its request.
    let wanted = json!({"promptsListChanged": true, "resourceSubscriptions": ["orchestrator://runs/R-1"]});
    let listen = client.request("subscriptions/listen", json!({"notifications": wanted}));
    let acknowledged = client.told("notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], wanted);
    client.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
    for method in ["notifications/prompts/list_changed", "notifications/resources/updated"] {
        let told = client.told(method);
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], listen, "{told}");
    }
    client.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": listen}}));
    // Whoever no longer listens hears no more: the answer to a later request comes after all that was said before it.
    client.ask("tools/list", json!({}));
    client.aside.clear();
    client.call("cancel_task", json!({"task_id": "R-1"}));
    client.ask("tools/list", json!({}));
    assert!(client.aside.is_empty(), "{:?}", client.aside);
    let other = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01"}});
    client.say(&json!({"jsonrpc": "2.0", "id": "x", "method": "tools/list", "params": other}));
    let refused = client.until(|message| message["id"] == "x");
    assert_eq!(refused["error"]["code"], -32022);
    assert!(refused["error"]["data"]["supported"].as_array().unwrap().len() >= 5);
}

#[test]
fn both_eras_on_one_stream() {
    let sandbox = Sandbox::new();
    let mut client = Client::inline(&sandbox, json!({}));
    client.ask("server/discover", json!({}));
    client.shake(json!({}));
    assert_eq!(client.ask("tools/list", json!({}))["result"]["resultType"], "complete");
    client.say(&json!({"jsonrpc": "2.0", "id": "old", "method": "tools/list"}));
    let old = client.until(|message| message["id"] == "old");
    assert_eq!(old["result"].get("resultType"), None);
}

#[test]
fn a_task_is_followed_by_its_client_also_through_another_process() {
    let sandbox = Sandbox::new();
    let able = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}});
    let mut client = Client::inline(&sandbox, able.clone());
    let arguments = json!({"description": "ask", "plan": asking_plan()});
    let created =
        client.ask("tools/call", json!({"name": "process_request", "arguments": arguments}))["result"].clone();
    assert_eq!((&created["resultType"], &created["taskId"]), (&json!("task"), &json!("R-1")), "{created}");
    assert_eq!(created["ttlMs"], Value::Null);
    drop(client);
    let mut client = Client::inline(&sandbox, able);
    let asked = until_task(&mut client, "input_required");
    let form = &asked["inputRequests"]["D-1"];
    assert_eq!(form["method"], "elicitation/create");
    assert_eq!(form["params"]["requestedSchema"]["properties"]["choice"]["oneOf"][0]["const"], "yes");
    // A form that is put away leaves the question open.
    let put_away = json!({"taskId": "R-1", "inputResponses": {"D-1": {"action": "cancel"}}});
    assert_eq!(client.ask("tasks/update", put_away)["result"]["resultType"], "complete");
    assert_eq!(client.ask("tasks/get", json!({"taskId": "R-1"}))["result"]["status"], "input_required");
    let accept = json!({"D-1": {"action": "accept", "content": {"choice": "yes"}}});
    let updated = client.ask("tasks/update", json!({"taskId": "R-1", "inputResponses": accept}));
    assert_eq!(updated["result"]["resultType"], "complete", "{updated}");
    let done = until_task(&mut client, "completed");
    assert_eq!(done["result"]["structuredContent"]["outcome"], "completed", "{done}");
    assert_eq!(done["result"]["isError"], false);
    let decided = sandbox.run(&["why", "D-1", "--json"]).exits(0).json();
    assert_eq!(decided["decision"]["answer"]["by"]["surface"], "mcp_form", "{decided}");
    assert_eq!(decided["decision"]["answer"]["by"]["kind"], "person");
    // What is wrong is said: a task that is none, a question of nobody, a client that declared nothing.
    assert_eq!(client.ask("tasks/get", json!({"taskId": "R-77"}))["error"]["code"], -32602);
    assert_eq!(client.ask("tasks/get", json!({"taskId": "x"}))["error"]["code"], -32602);
    let foreign = json!({"taskId": "R-1", "inputResponses": {"nonsense": {"action": "cancel"}}});
    assert_eq!(client.ask("tasks/update", foreign)["error"]["code"], -32602);
    let mut plain = Client::inline(&sandbox, json!({}));
    assert_eq!(plain.ask("tasks/get", json!({"taskId": "R-1"}))["error"]["code"], -32021);
}

/// Looks at the task until it has this status. Each look is one round through the daemon.
#[track_caller]
fn until_task(client: &mut Client, status: &str) -> Value {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let task = client.ask("tasks/get", json!({"taskId": "R-1"}))["result"].clone();
        if task["status"] == status {
            return task;
        }
        assert!(std::time::Instant::now() < deadline, "{task}");
    }
}

#[test]
fn completions_and_resources() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    client.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
    let complete = |client: &mut Client, what: Value, name: &str, value: &str, context: Value| {
        let argument = json!({"name": name, "value": value});
        let params = json!({"ref": what, "argument": argument, "context": context});
        client.ask("completion/complete", params)["result"]["completion"]["values"].clone()
    };
    let prompt = json!({"type": "ref/prompt", "name": "decide"});
    assert_eq!(complete(&mut client, prompt.clone(), "id", "d", json!({})), json!(["D-1"]));
    let known = json!({"arguments": {"id": "D-1"}});
    assert_eq!(complete(&mut client, prompt.clone(), "choice", "", known), json!(["yes", "no"]));
    let template = |path: &str| json!({"type": "ref/resource", "uri": format!("orchestrator://{path}")});
    assert_eq!(complete(&mut client, template("runs/{run}"), "run", "R", json!({})), json!(["R-1"]));
    assert_eq!(complete(&mut client, template("tasks/{task}/log"), "task", "T-2", json!({})), json!(["T-2"]));
    let gone = json!({"arguments": {"id": "D-9"}});
    assert_eq!(complete(&mut client, prompt, "choice", "", gone), json!([]), "it may be half of an id");
    let listed = client.ask("resources/list", json!({}))["result"]["resources"].clone();
    for resource in listed.as_array().unwrap() {
        let read = client.ask("resources/read", json!({"uri": resource["uri"]}));
        assert!(read["result"]["contents"][0]["text"].is_string(), "{read}");
    }
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let watch = json!({"uri": "orchestrator://runs/R-1"});
    assert_eq!(client.ask("resources/subscribe", watch.clone())["result"], json!({}));
    sandbox.run(&["cancel", "R-1"]).exits(0);
    let updated = client.told("notifications/resources/updated");
    assert_eq!(updated["params"]["uri"], "orchestrator://runs/R-1");
    assert_eq!(client.ask("resources/unsubscribe", watch)["result"], json!({}));
    for uri in ["orchestrator://runs/R-9", "file:///etc/passwd", "orchestrator://runs/../../etc"] {
        let missing = client.ask("resources/read", json!({"uri": uri}));
        assert_eq!(missing["error"]["code"], -32002, "{missing}");
    }
}

/// What the protocol asks of every server, whatever it offers: names that were never offered, pages that there are not.
#[test]
fn what_was_never_offered_is_refused_by_its_number_in_every_revision() {
    let sandbox = Sandbox::new();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        let inline = revision == "2026-07-28";
        let mut client = match inline {
            true => Client::inline(&sandbox, json!({})),
            false => Client::start(&sandbox, &[]),
        };
        if !inline {
            client.shake_as(revision, json!({}));
        }
        let mut refused = |method: &str, params: Value, code: i64, words: &str| {
            let answer = client.ask(method, params.clone());
            assert_eq!(answer["error"]["code"], code, "{revision} {method} {params}: {answer}");
            let said = answer["error"]["message"].as_str().unwrap();
            assert!(said.contains(words) && !said.contains("struct"), "{revision} {method} {params}: {said}");
        };
        for list in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
            refused(list, json!({"cursor": "second"}), -32602, "there is no page \"second\"");
            refused(list, json!({"cursor": 2}), -32602, "a string");
        }
        refused("tools/call", json!({"name": "nonsense", "arguments": {}}), -32602, "there is no tool");
        refused("prompts/get", json!({"name": "nonsense", "arguments": {"a": "b"}}), -32602, "there is no prompt");
        let completes = |what: Value, name: &str| json!({"ref": what, "argument": {"name": name, "value": ""}});
        let prompt = |name: &str| json!({"type": "ref/prompt", "name": name});
        refused("completion/complete", completes(prompt("nonsense"), "id"), -32602, "there is no prompt `nonsense`");
        refused("completion/complete", completes(prompt("decide"), "nonsense"), -32602, "it takes id and choice");
        refused("completion/complete", completes(prompt("inbox"), "id"), -32602, "it takes nothing");
        let template = |uri: &str| json!({"type": "ref/resource", "uri": uri});
        let runs = template("orchestrator://runs/{run}");
        refused("completion/complete", completes(runs, "task"), -32602, "it takes run");
        refused("completion/complete", completes(template("file:///{path}"), "path"), -32602, "there is no template");
        refused("completion/complete", json!({}), -32602, "`ref`");
        let gone = json!({"uri": "file:///etc/passwd"});
        refused("resources/read", gone.clone(), if inline { -32602 } else { -32002 }, "there is no resource");
        refused("resources/subscribe", gone, if inline { -32601 } else { -32002 }, "there is no");
        refused("logging/setLevel", json!({"level": "info"}), -32601, "there is no method");
        if inline {
            refused("subscriptions/listen", json!({"notifications": 5}), -32602, "expected an object");
        } else {
            assert_eq!(client.ask("ping", json!({}))["result"], json!({}), "{revision}");
        }
    }
}

/// The same session, its bytes cut at every point once, and one by one.
#[test]
fn a_stream_may_be_cut_anywhere() {
    let sandbox = Sandbox::new();
    let info = json!({"name": "cut ä", "version": "1"});
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
    let text = format!(
        "\u{feff}{}\r\n\n{}\n{}\n",
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}),
        json!({"jsonrpc": "2.0", "id": "zwei", "method": "tools/list"}),
    );
    let bytes = text.as_bytes();
    // What tells the dialects apart is decided within the first bytes (`stdio/sniff.rs` tries every prefix): each cut
    // there is a process. All others are tried in one, message after message.
    for cut in 0..24 {
        let mut client = Client::start(&sandbox, &[]);
        client.in_two(bytes, cut);
        assert_eq!(client.next()["id"], 1, "cut at {cut}");
        assert_eq!(client.next()["id"], "zwei", "cut at {cut}");
        assert_eq!(client.leave().0, Some(0));
    }
    let mut client = Client::shaken(&sandbox, json!({}));
    let again = |id: &str| {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": info, "io.modelcontextprotocol/clientCapabilities": {}});
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
        let discover = json!({"jsonrpc": "2.0", "id": id, "method": "server/discover", "params": {"_meta": meta, "ä": "\u{2603}"}});
        format!("\r\n{cancelled}\n{discover}\r\n")
    };
    for cut in 0..=again("zwei").len() {
        client.in_two(again("zwei").as_bytes(), cut);
        assert_eq!(client.next()["id"], "zwei", "cut at {cut}");
    }
    assert_eq!(client.leave().0, Some(0));
    let mut client = Client::start(&sandbox, &[]);
    for byte in bytes {
        client.bytes(&[*byte]);
    }
    assert_eq!(client.next()["id"], 1);
    assert_eq!(client.next()["id"], "zwei");
}
