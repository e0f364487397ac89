//! Everything that a client can do wrong. Each wrong thing gets one answer, and the stream goes on.

use std::{io::Write, process::Stdio};

use serde_json::{Value, json};

use super::client::{Client, asking_plan};
use crate::daemon::sandbox::Sandbox;

#[test]
fn what_is_neither_protocol_is_told_what_to_do() {
    let sandbox = Sandbox::empty();
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#;
    let framed = format!("Content-Length: {}\r\n\r\n{initialize}", initialize.len());
    for (input, words) in [
        ("GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP request"),
        ("POST / HTTP/1.1\r\n", "HTTP request"),
        (framed.as_str(), "one JSON message a line"),
        ("hello\n", "neither LSP"),
        ("\"hello\"\n", "neither LSP"),
        ("Content-Length: 7", "neither LSP"),
        ("X-Header: 7\r\n\r\n{}", "no Content-Length"),
    ] {
        let mut command = sandbox.command(&[]);
        command.stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let said = sandbox.finish_child(child).exits(2).says(words);
        assert_eq!(said.out, "", "standard output belongs to the protocol");
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
    // Nothing at all is no mistake.
    for input in ["", "\n \r\n", "\u{feff}"] {
        let mut command = sandbox.command(&[]);
        command.stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let said = sandbox.finish_child(child);
        let expected = if input.starts_with('\u{feff}') { Some(2) } else { Some(0) };
        assert_eq!((said.code, said.out.as_str()), (expected, ""), "{input:?}: {}", said.err);
    }
}

#[test]
fn a_bad_line_gets_its_error_and_the_next_is_read() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    let mut check = |bytes: &[u8], id: Value, code: i64| {
        client.bytes(bytes);
        client.bytes(b"\n");
        let answer = client.until(|message| message.get("error").is_some());
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{answer}");
    };
    check(b"{", Value::Null, -32700);
    check(b"\xff\xfe{}", Value::Null, -32700);
    check(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\x28\"}", Value::Null, -32700);
    check(b"[]", Value::Null, -32600);
    check(br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Value::Null, -32600);
    check(b"7", Value::Null, -32600);
    for id in ["null", "true", "1.5", "{}", "[1]"] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        check(line.as_bytes(), Value::Null, -32600);
    }
    check(br#"{"jsonrpc":"2.0","id":"a","method":"nonsense"}"#, json!("a"), -32601);
    check(br#"{"jsonrpc":"2.0","id":"b","method":"tools/call","params":[1]}"#, json!("b"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":7}}"#, json!("c"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"d","method":"tools/call","params":{"name":"nonsense"}}"#, json!("d"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"e","method":"prompts/get","params":{"name":"inboxx"}}"#, json!("e"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"f","method":"prompts/get","params":{"name":"decide"}}"#, json!("f"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"g","method":"tools/list","params":{"cursor":"x"}}"#, json!("g"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"h","method":"tools/list","params":{"_meta":7}}"#, json!("h"), -32602);
    check(br#"{"jsonrpc":"2.0","id":"i","method":"tasks/get","params":{"taskId":"R-1"}}"#, json!("i"), -32601);
    // 17 MiB in one line: passed over, whatever it is.
    check(&vec![b'x'; 17 << 20], Value::Null, -32600);
    // Notifications are never answered, answers to nobody's question neither.
    client.bytes(b"{\"jsonrpc\":\"2.0\",\"method\":\"nonsense\",\"params\":[1]}\n");
    client.bytes(b"{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}\n");
    client.bytes(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"none\"}}\n");
    client.bytes(b"{\"jsonrpc\":\"2.0\",\"id\":-7,\"method\":\"ping\"}\n");
    assert_eq!(client.until(|message| message.get("id").is_some())["id"], -7);
}

#[test]
fn before_the_handshake_nothing_is_done_and_the_refusal_says_what_comes_first() {
    let sandbox = Sandbox::new();
    let mut client = Client::start(&sandbox, &[]);
    for method in ["tools/list", "tools/call", "prompts/list", "resources/read", "completion/complete", "nonsense"] {
        let early = client.ask(method, json!({"name": "get_state"}));
        assert_eq!(early["error"]["code"], -32600, "{early}");
        assert!(
            early["error"]["message"].as_str().unwrap().contains("before `initialize`: send that first"),
            "{early}"
        );
    }
    // Whoever probes for the newer revision is told by the number that it is the parameters that are missing.
    assert_eq!(client.ask("server/discover", json!({}))["error"]["code"], -32602);
    assert_eq!(client.ask("ping", json!({}))["result"], json!({}));
    assert!(sandbox.daemons().is_empty(), "none of it started one");
    client.shake(json!({}));
    assert_eq!(client.call("get_state", json!({}))["sessions"], json!([]));
}

/// A client that dies in the middle of a line: what was whole is answered, the rest is nobody's, and nothing hangs.
#[test]
fn the_input_may_end_within_a_line() {
    let sandbox = Sandbox::new();
    let ping = |id: u64| format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
    let text = ping(1) + &ping(2);
    for cut in 1..=text.len() {
        let mut command = sandbox.command(&[]);
        command.stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&text.as_bytes()[..cut]).unwrap();
        let said = sandbox.finish_child(child).exits(0);
        let answers: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // Without its end a last line counts where it is a message, and is said to be none where it is half of one.
        let line = ping(1).len();
        let (whole, rest) = ((cut + 1) / line, (cut + 1) % line);
        let results = answers.iter().filter(|answer| answer["result"] == json!({})).count();
        let errors = answers.iter().filter(|answer| answer["error"]["code"] == -32700).count();
        assert_eq!((results, errors), (whole, usize::from(rest > 1)), "cut at {cut}: {answers:?}");
    }
}

#[test]
fn wrong_arguments_of_every_tool_are_told_what_to_do() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    for (tool, arguments, words) in [
        ("process_request", json!({}), "description"),
        ("process_request", json!({"description": 7}), "description"),
        ("process_request", json!({"descripton": "x"}), "Did you mean `description`?"),
        ("process_request", json!({"description": "x", "mode": "dry"}), "mode"),
        ("process_request", json!({"description": "x", "plan": {"version": 1}}), "tasks"),
        ("process_request", json!({"description": "x", "plan": "]["}), "plan"),
        ("submit_task", json!({"type": "x"}), "description"),
        ("submit_task", json!({"type": "x", "description": "x", "dependencies": ["R-1"]}), "dependencies"),
        ("submit_task", json!({"typ": "x", "description": "x"}), "Did you mean `type`?"),
        ("get_task_status", json!({}), "`task_id`"),
        ("get_task_status", json!({"task_id": 7}), "no id of the form"),
        ("get_task_status", json!({"task_id": "T-99"}), "NOT_FOUND"),
        ("get_task_status", json!({"task_id": "other:T-1"}), "the workspace `other`"),
        ("get_task_status", json!({"task_id": "D-1"}), "T-42 or R-3"),
        ("cancel_task", json!({"task_id": "R-99"}), "NOT_FOUND"),
        ("get_state", json!({"session_id": "R-99"}), "NOT_FOUND"),
        ("get_state", json!({"session": "R-1"}), "Did you mean `session_id`?"),
        ("save_checkpoint", json!({"label": 7}), "string"),
        ("save_checkpoint", json!({"session_id": "R-99"}), "NOT_FOUND"),
        ("get_pending_decisions", json!({"limit": 3}), "It takes none"),
        ("submit_decision", json!({}), "`decision_id`"),
        ("submit_decision", json!({"decision_id": "D-99", "response": {"choice": "yes"}}), "NOT_FOUND"),
        ("submit_decision", json!({"decision_id": "D-1", "choice": "yes"}), "has no argument `choice`"),
        ("wait_for_change", json!({"after": -1}), "`after`"),
        ("wait_for_change", json!({"after": 99}), "the newest revision is 0"),
        ("wait_for_change", json!({"timeout_s": 1e9}), "between 0 and 300"),
        ("wait_for_change", json!({"timeout_s": "soon"}), "must be a number"),
        ("wait_for_change", json!({"run": "R-99"}), "NOT_FOUND"),
        ("restore_checkpoint", json!({"checkpoint_id": "C-99"}), "NOT_FOUND"),
        ("restore_checkpoint", json!({}), "`checkpoint_id`"),
    ] {
        let said = client.mistake(tool, arguments.clone());
        assert!(said.to_lowercase().contains(&words.to_lowercase()), "{tool} {arguments}: {said}");
        assert!(said.ends_with('.') || said.ends_with('?'), "{tool} {arguments}: {said}");
    }
    assert_eq!(client.call("get_state", json!({}))["sessions"], json!([]), "none of it started anything");
}

#[test]
fn two_hundred_slow_calls_are_cancelled_one_by_one() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    let slow = json!({"name": "wait_for_change", "arguments": {"timeout_s": 300}});
    let ids: Vec<u64> = (0..200).map(|_| client.request("tools/call", slow.clone())).collect();
    // They do not stand in the way of others.
    client.call("get_state", json!({}));
    // The same id again while it is under way is refused, and the first goes on.
    client.say(&json!({"jsonrpc": "2.0", "id": ids[0], "method": "ping"}));
    assert_eq!(client.answer(ids[0])["error"]["code"], -32600);
    for id in &ids[..199] {
        let params = json!({"requestId": id, "reason": "enough"});
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
    }
    client.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
    let last = client.answer(ids[199]);
    assert_eq!(last["result"]["isError"], false, "{last}");
    client.call("cancel_task", json!({"task_id": "R-1"}));
    let answered: Vec<&Value> = client.aside.iter().filter(|message| message.get("result").is_some()).collect();
    assert!(answered.is_empty(), "a cancelled call was answered: {answered:?}");
    let (code, took) = client.leave();
    assert_eq!(code, Some(0));
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
}

#[test]
fn a_client_that_never_reads_and_leaves() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let line = format!("{}\n", json!({"jsonrpc": "2.0", "id": 1, "method": "nonsense"}));
    // More answers than a pipe holds; nobody reads them.
    let many = line.repeat(4_000);
    stdin.write_all(many.as_bytes()).unwrap();
    drop(stdin);
    let began = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed().as_secs() < 20, "it waits for somebody who does not read");
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_client_that_vanishes_in_mid_question_leaves_it_open() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({"elicitation": {}}));
    client.request(
        "tools/call",
        json!({"name": "process_request", "arguments": {"description": "ask", "plan": asking_plan()}}),
    );
    client.told("elicitation/create");
    let (code, took) = client.leave();
    assert_eq!(code, Some(0));
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
    let open = sandbox.run(&["decide", "--json"]).exits(0).json();
    assert_eq!(open["decisions"][0]["decision_id"], "D-1", "{open}");
    sandbox.run(&["decide", "D-1", "no"]).exits(0);
}

#[test]
fn a_daemon_that_is_killed_is_started_again_by_the_next_call() {
    let sandbox = Sandbox::new();
    let mut client = Client::shaken(&sandbox, json!({}));
    client.call("process_request", json!({"description": "ask", "plan": asking_plan()}));
    for pid in sandbox.daemons() {
        // SAFETY: a process of this sandbox.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    let state = client.call("get_state", json!({}));
    assert_eq!(state["sessions"][0]["open_decisions"], json!(["D-1"]), "{state}");
    client.call("cancel_task", json!({"task_id": "R-1"}));
}
