//! The socket by hand: whatever may come, each request is answered once, and others are not disturbed.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::sandbox::{Sandbox, Wire, eventually};

#[test]
fn what_is_no_request_is_refused_and_the_connection_goes_on() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    let cases: &[(&[u8], i64)] = &[
        (b"hello\n", -32700),
        (b"{]\n", -32700),
        (b"{\"jsonrpc\": \"2.0\", \n", -32700),
        (b"\xff\xfe{}\n", -32700),
        (b"{}\n", -32600),
        (b"null\n", -32600),
        (b"[]\n", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1}\n", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"get_state\"}\n", -32600),
        (b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"get_state\"}\n", -32600),
        (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get_state\"}]\n", -32600),
    ];
    for (bytes, code) in cases {
        wire.bytes(bytes);
        let answer = wire.next();
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(answer["error"]["code"], *code, "{shown}: {answer}");
    }
    // Empty lines and unknown members are nothing to speak of.
    wire.bytes(b"\n  \r\n{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"list_runs\",\"params\":{},\"more\":1}\r\n");
    assert_eq!(wire.answer(77)["result"]["runs"], json!([]));
    let unknown = wire.call("no_such_method", json!({}));
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    // Halves that come one by one make a whole.
    wire.bytes(b"{\"jsonrpc\":\"2.0\",\"id\":78,\"met");
    wire.bytes(b"hod\":\"list_runs\",\"params\":{}}\n");
    assert!(wire.answer(78)["result"].is_object());
    // The end of the stream in the middle of a message is the end, and nobody else notices.
    let mut half = sandbox.wire();
    half.bytes(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":");
    drop(half);
    assert!(wire.ok("list_runs", json!({})).is_object());
}

#[test]
fn a_huge_message_is_read_and_its_plan_refused_by_name() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    let answer = wire.call("process_request", json!({"request": {"description": "x".repeat(30 << 20)}}));
    assert_eq!(answer["error"]["data"]["field"], "description", "{}", answer["error"]["message"]);
    assert!(answer.to_string().len() < 2_000);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    wire.bytes(format!("{{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"list_runs\",\"params\":{deep}}}\n").as_bytes());
    assert_eq!(wire.next()["jsonrpc"], "2.0");
    assert!(wire.ok("list_runs", json!({})).is_object());
}

#[test]
fn nothing_is_answered_before_hello_and_wrong_types_name_their_field() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.raw();
    for (method, params) in calls("R-1", "T-1", "D-1", "C-1", "T-1.1") {
        assert_eq!(wire.refused(&method, params), "INVALID", "{method}");
    }
    let answer = wire.call("hello", json!({"hello": {"version": 7}}));
    assert!(!answer["error"].is_null(), "{answer}");
    let mut relative = sandbox.hello();
    relative["hello"]["workspace"] = "some/where".into();
    assert_eq!(wire.refused("hello", relative), "INVALID");
    let mut nowhere = sandbox.hello();
    nowhere["hello"]["workspace"] = "/no/such/folder".into();
    let refused = wire.call("hello", nowhere);
    assert!(refused["error"]["message"].as_str().unwrap().contains("/no/such/folder"), "{refused}");
    assert!(wire.call("hello", sandbox.hello())["result"].is_object());
    // Unknown names get the nearest known one.
    for (method, params, hint) in [
        ("process_request", json!({"request": {"descripton": "x"}}), "description"),
        ("process_request", json!({"request": {"description": "x", "constraint": {}}}), "constraints"),
        ("submit_task", json!({"task": {"type": "shell", "description": "x", "paramters": {}}}), "parameters"),
        ("submit_decision", json!({"decision_id": "D-1", "response": {"choise": "x"}}), "choice"),
    ] {
        let answer = wire.call(method, params);
        assert_eq!(answer["error"]["data"]["code"], "INVALID", "{answer}");
        assert!(answer["error"]["data"]["hint"].as_str().unwrap().contains(hint), "{answer}");
    }
    for (request, field) in [
        (json!({"description": 7}), "description"),
        (json!({"description": ""}), "description"),
        (json!({"description": "x", "priority": "soonish"}), "priority"),
        (json!({"description": "x", "jobs": 0}), "jobs"),
        (json!({"description": "x", "jobs": -1}), "jobs"),
        (json!({"description": "x", "key": ""}), "key"),
        (json!({"description": "x", "key": "k".repeat(65)}), "key"),
        (json!({"description": "x", "mode": "stop"}), "mode"),
        (json!({"description": "x", "constraints": {"max_minutes": -1.0}}), "constraints.max_minutes"),
        (json!({"description": "x", "context": {"workspace": "rel"}}), "context.workspace"),
    ] {
        let answer = wire.call("process_request", json!({"request": request}));
        assert_eq!(answer["error"]["data"]["field"], field, "{request}: {answer}");
    }
    assert_eq!(wire.refused("process_request", json!({"request": [1, 2]})), "INVALID");
    assert_eq!(wire.refused("wait_for_change", json!({"after": 0, "timeout_s": 1e9})), "INVALID");
    assert_eq!(wire.refused("wait_for_change", json!({"after": 0, "timeout_s": -1.0})), "INVALID");
    let runs = wire.ok("list_runs", json!({}));
    assert_eq!(runs["runs"], json!([]), "nothing was begun by what was refused");
}

/// Every call that names something.
fn calls(run: &str, task: &str, decision: &str, checkpoint: &str, attempt: &str) -> Vec<(String, Value)> {
    let call = |method: &str, params: Value| (method.to_owned(), params);
    vec![
        call("get_task_status", json!({"task_id": task})),
        call("get_task_status", json!({"task_id": run})),
        call("cancel_task", json!({"task_id": task})),
        call("cancel_task", json!({"task_id": run})),
        call("get_state", json!({"session_id": run})),
        call("save_checkpoint", json!({"session_id": run})),
        call("submit_decision", json!({"decision_id": decision, "response": {"choice": "yes"}})),
        call("restore_checkpoint", json!({"checkpoint_id": checkpoint})),
        call("diff", json!({"run": run})),
        call("apply", json!({"run": run})),
        call("undo", json!({"run": run})),
        call("retry", json!({"task_id": task})),
        call("retry", json!({"task_id": run})),
        call("get_plan", json!({"run": run})),
        call("get_report", json!({"run": run})),
        call("get_log", json!({"id": task})),
        call("get_log", json!({"id": attempt})),
        call("why", json!({"id": task})),
    ]
}

#[test]
fn unknown_malformed_and_foreign_ids_are_refused_by_every_call() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    for (method, params) in calls("R-9", "T-9", "D-9", "C-9", "T-9.1") {
        assert_eq!(wire.refused(&method, params.clone()), "NOT_FOUND", "{method} {params}");
    }
    let huge = u64::MAX.to_string();
    let (run, task) = (format!("R-{huge}"), format!("T-{huge}"));
    for (method, params) in calls(&run, &task, &format!("D-{huge}"), &format!("C-{huge}"), &format!("{task}.1")) {
        let answer = wire.call(&method, params);
        assert!(!answer["error"].is_null(), "{method}: {answer}");
    }
    for bad in ["", "R", "R-", "R-x", "R--1", "R-0", "r-1", "../../etc/passwd", "R-1; rm -rf /", "\u{0}", "D-1 "] {
        for (method, params) in calls(bad, bad, bad, bad, bad) {
            let answer = wire.call(&method, params);
            assert!(!answer["error"].is_null(), "{method} {bad:?}: {answer}");
        }
    }
    // The ids of another workspace mean nothing here.
    let other = sandbox.root.join("other");
    sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "other"]);
    sandbox.run_in(&other, &["run", "--do", "echo x > x.txt", "--verify", "test -f x.txt"]).exits(0);
    assert_eq!(wire.refused("get_report", json!({"run": "R-1"})), "NOT_FOUND");
    assert_eq!(wire.refused("get_log", json!({"id": "T-1.1"})), "NOT_FOUND");
}

#[test]
fn two_hundred_slow_requests_of_one_client_hold_nobody_up() {
    let sandbox = Sandbox::new();
    let mut slow = sandbox.wire();
    let after = slow.ok("list_runs", json!({}))["revision"].clone();
    let waiting: Vec<u64> =
        (0..200).map(|_| slow.send("wait_for_change", json!({"after": after, "timeout_s": 60.0}))).collect();
    // The same connection and another one are answered at once; then one change answers all that wait.
    assert!(slow.ok("list_runs", json!({})).is_object());
    let mut other = sandbox.wire();
    let reply = other.ok("process_request", json!({"request": {"plan": reader("r", "true")}}));
    let mut answered: Vec<u64> = (0..200).map(|_| slow.next()["id"].as_u64().unwrap()).collect();
    answered.sort_unstable();
    assert_eq!(answered, waiting);
    assert_eq!(other.finished(reply["request_id"].as_str().unwrap())["outcome"], "completed");
}

/// A plan of one reading task.
fn reader(id: &str, run: &str) -> Value {
    json!({"version": 1, "tasks": [{"id": id, "kind": "shell", "effect": "none", "run": run}]})
}

#[test]
fn clients_that_vanish_or_never_read_are_forgotten() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    // Gone in the middle of calls, greeted and not.
    for _ in 0..20 {
        let mut vanishing = sandbox.wire();
        vanishing.send("wait_for_change", json!({"after": 0, "timeout_s": 300.0}));
        vanishing.send("get_facts", json!({}));
        drop(vanishing);
        drop(UnixStream::connect(sandbox.socket()).unwrap());
    }
    // One that follows and asks and never reads; until the socket is full.
    let silent = UnixStream::connect(sandbox.socket()).unwrap();
    silent.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut silent = Wire::of(silent);
    silent.impatient();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": sandbox.hello()});
    silent.try_bytes(format!("{hello}\n").as_bytes());
    let follow = json!({"jsonrpc": "2.0", "id": 2, "method": "subscribe_events", "params": {"after": 0}});
    silent.try_bytes(format!("{follow}\n").as_bytes());
    let ask = json!({"jsonrpc": "2.0", "id": 3, "method": "get_facts", "params": {}});
    let many = format!("{ask}\n").repeat(500);
    while silent.try_bytes(many.as_bytes()) {}
    let report = wire.finish_plan(json!({"version": 1, "tasks": [
        {"id": "a", "kind": "shell", "run": "echo a > a.txt"},
        {"id": "b", "kind": "shell", "run": "echo b > b.txt", "needs": ["a"]},
    ]}));
    assert_eq!(report["outcome"], "completed", "{report}");
    drop(silent);
    let connections = || wire.ok("daemon_status", json!({}))["connections"].as_u64();
    let mut connections = connections;
    eventually("the vanished clients to be forgotten", || (connections() == Some(1)).then_some(()));
}

#[test]
fn a_follower_gets_every_event_once_from_wherever_it_begins() {
    let sandbox = Sandbox::new();
    let mut wire = sandbox.wire();
    let tasks: Vec<Value> =
        (0..40).map(|n| json!({"id": format!("t{n}"), "kind": "shell", "effect": "none", "run": "true"})).collect();
    let mut live = sandbox.wire();
    live.ok("subscribe_events", json!({"after": 0}));
    let report = wire.finish_plan(json!({"version": 1, "tasks": tasks}));
    assert_eq!(report["outcome"], "completed");
    // A notification holds whatever events were there; together they are the stream.
    let events = |wire: &mut Wire, enough: &dyn Fn(&[Value]) -> bool| -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while !enough(&events) {
            let message = wire.next();
            assert!(!message.is_null(), "the stream ended after {} events", events.len());
            events.extend(message["params"]["result"].as_array().unwrap_or_else(|| panic!("{message}")).clone());
        }
        events
    };
    let over = |events: &[Value]| events.iter().any(|event| event["type"] == "run.finished");
    let seen = events(&mut live, &over);
    let mut later = sandbox.wire();
    later.ok("subscribe_events", json!({"after": 0}));
    let again = events(&mut later, &over);
    let middle = seen[seen.len() / 2]["revision"].as_u64().unwrap();
    let shape = |events: &[Value]| -> Vec<(u64, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events
            .iter()
            .map(|e| (e["revision"].as_u64().unwrap(), text(&e["type"]), text(&e["data"]["task_id"])))
            .collect()
    };
    assert_eq!(shape(&again), shape(&seen));
    assert_eq!(seen.iter().filter(|event| event["type"] == "task.completed").count(), 40);
    let mut resumed = sandbox.wire();
    resumed.ok("subscribe_events", json!({"after": middle}));
    let rest: Vec<Value> = seen.iter().filter(|event| event["revision"].as_u64() > Some(middle)).cloned().collect();
    let got = events(&mut resumed, &over);
    assert_eq!(shape(&got), shape(&rest));
}

#[test]
fn of_answers_that_race_the_first_holds_and_the_others_are_told() {
    let sandbox = Sandbox::new();
    let question =
        json!({"version": 1, "tasks": [{"id": "q", "kind": "decision", "question": "Which?", "options": ["A", "B"]}]});
    let mut wires: Vec<Wire> = (0..8).map(|_| sandbox.wire()).collect();
    wires[0].ok("process_request", json!({"request": {"description": "ask", "plan": question}}));
    let deadline = Instant::now() + Duration::from_secs(60);
    while wires[0].ok("get_pending_decisions", json!({}))["decisions"] == json!([]) {
        assert!(Instant::now() < deadline, "nothing is asked");
    }
    // All are on their way before any is read.
    let sent: Vec<u64> = wires
        .iter_mut()
        .zip(["a", "b"].iter().cycle())
        .map(|(wire, choice)| {
            let response = json!({"choice": choice});
            wire.send("submit_decision", json!({"decision_id": "D-1", "response": response}))
        })
        .collect();
    let answers: Vec<Value> = wires.iter_mut().zip(sent).map(|(wire, id)| wire.answer(id)).collect();
    let held = wires[0].ok("why", json!({"id": "D-1"}))["decision"]["answer"]["choice"].clone();
    let (mut taken, mut late) = (0, 0);
    for (answer, choice) in answers.iter().zip(["a", "b"].iter().cycle()) {
        match answer["error"]["data"]["code"].as_str() {
            None => {
                assert_eq!(held, *choice, "{answer}");
                taken += 1;
            }
            Some("ALREADY_DECIDED") => late += 1,
            Some(_) => panic!("{answer}"),
        }
    }
    // The same answer again is no contradiction; the other one is.
    assert!(taken >= 1 && late >= 4, "{answers:#?}");
}
