//! The real program and an editor written by hand: greeting, actions, documents, exit statuses.

use serde_json::{Value, json};

use super::editor::{Editor, capable, frame};
use crate::daemon::sandbox::Sandbox;

fn range(from: (u32, u32), to: (u32, u32)) -> Value {
    json!({"start": {"line": from.0, "character": from.1}, "end": {"line": to.0, "character": to.1}})
}

fn actions(editor: &mut Editor, uri: &str, range: Value, context: Value) -> Vec<Value> {
    let params = json!({"textDocument": {"uri": uri}, "range": range, "context": context});
    match editor.ok("textDocument/codeAction", params) {
        Value::Array(actions) => actions,
        Value::Null => Vec::new(),
        other => panic!("{other}"),
    }
}

fn titles(actions: &[Value]) -> Vec<&str> {
    actions.iter().map(|action| action["title"].as_str().unwrap()).collect()
}

#[test]
fn a_greeting_says_what_is_served() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::start(&sandbox);
    let result = editor.initialize(&sandbox, capable());
    let capabilities = &result["capabilities"];
    assert_eq!(capabilities["positionEncoding"], "utf-16");
    assert_eq!(capabilities["textDocumentSync"], json!({"openClose": true, "change": 2}));
    let commands = capabilities["executeCommandProvider"]["commands"].as_array().unwrap();
    for name in ["run", "process_request", "submit_decision", "get_log", "undo", "show_plan"] {
        assert!(commands.contains(&json!(format!("orchestrator.{name}"))), "{name}: {commands:?}");
    }
    assert!(sandbox.daemons().is_empty(), "no daemon is started for a greeting");
    editor.notify("initialized", json!({}));
    assert_eq!(editor.command("daemon_status", json!({}))["protocol"], 1, "it is there when it is needed");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn the_exit_status_says_how_it_ended() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, json!({}));
    editor.notify("exit", json!({}));
    assert_eq!(editor.ended(), 1, "exit without shutdown");

    let mut editor = Editor::greeted(&sandbox, json!({}));
    editor.close();
    assert_eq!(editor.ended(), 1, "the input ended");

    let mut editor = Editor::start(&sandbox);
    editor.bytes(b"Content-Length: 100\r\n\r\n{\"jsonrpc\"");
    editor.close();
    assert_eq!(editor.ended(), 1, "within a message");

    let editor = Editor::greeted(&sandbox, json!({"window": 3, "workspace": []}));
    assert_eq!(editor.leave(), 0, "capabilities that are nonsense are none");
}

#[test]
fn a_file_of_another_folder_is_not_worked_on_in_this_one() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.root.join("elsewhere.txt"), "TODO: here\n").unwrap();
    let mut editor = Editor::greeted(&sandbox, capable());
    let at = |name: &str| format!("file://{}/{name}", sandbox.root.display());
    let (uri, line) = (at("elsewhere.txt"), range((0, 0), (0, 0)));
    let document = json!({"uri": uri, "languageId": "plaintext", "version": 1, "text": "TODO: here\n"});
    editor.notify("textDocument/didOpen", json!({"textDocument": document}));
    assert_eq!(actions(&mut editor, &uri, line.clone(), json!({"diagnostics": []})), Vec::<Value>::new());
    let request = json!({"description": "Do this TODO", "uri": uri, "range": line});
    let refused =
        editor.call("workspace/executeCommand", json!({"command": "orchestrator.run", "arguments": [request]}));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("elsewhere.txt is not in ") && message.contains("a window of its own"), "{message}");
    // The same folder under another name is this one.
    std::os::unix::fs::symlink(&sandbox.repo, sandbox.root.join("linked")).unwrap();
    std::fs::write(sandbox.repo.join("here.txt"), "TODO: here\n").unwrap();
    let uri = at("linked/here.txt");
    let document = json!({"uri": uri, "languageId": "plaintext", "version": 1, "text": "TODO: here\n"});
    editor.notify("textDocument/didOpen", json!({"textDocument": document}));
    assert_eq!(actions(&mut editor, &uri, line, json!({"diagnostics": []})).len(), 1);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn actions_follow_the_buffer_and_not_the_disk() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let uri = editor.open(&sandbox, "README.md", Some("one\n// TODO: say é more\nthree\n"));
    let here = range((1, 3), (1, 3));
    let offered = actions(&mut editor, &uri, here.clone(), json!({"diagnostics": []}));
    assert_eq!(titles(&offered), ["Orchestrate: do this TODO"]);
    assert_eq!(offered[0]["command"]["command"], "orchestrator.run", "no resolve is needed");
    let argument = &offered[0]["command"]["arguments"][0];
    assert_eq!(argument["description"], "Do this TODO in README.md, line 2, and remove it: say é more");

    // The mark moves down a line, and then goes.
    let change = |version: u32, changes: Value| json!({"textDocument": {"uri": uri, "version": version}, "contentChanges": changes});
    editor.notify(
        "textDocument/didChange",
        change(
            2,
            json!([{"range": range((0, 3), (0, 3)), "text": "\r\n"}, {"range": range((0, 0), (0, 0)), "text": "😀"}]),
        ),
    );
    assert_eq!(actions(&mut editor, &uri, here.clone(), json!({"diagnostics": []})), Vec::<Value>::new());
    let lower = range((2, 0), (2, 0));
    assert_eq!(actions(&mut editor, &uri, lower.clone(), json!({"diagnostics": []})).len(), 1);
    let only = json!({"diagnostics": [], "only": ["source.organizeImports"]});
    assert!(actions(&mut editor, &uri, lower.clone(), only).is_empty());
    editor.notify("textDocument/didChange", change(3, json!([{"range": range((2, 3), (2, 7)), "text": "Todo"}])));
    assert!(actions(&mut editor, &uri, lower, json!({"diagnostics": []})).is_empty());
    editor.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    assert!(actions(&mut editor, &uri, here, json!({"diagnostics": []})).is_empty(), "a closed buffer offers nothing");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn a_client_that_declares_nothing_gets_commands() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, json!({}));
    let uri = editor.open(&sandbox, "README.md", Some("# FIXME\n"));
    let found = json!({"range": range((0, 0), (0, 1)), "message": "odd", "source": "lint", "severity": 2});
    let offered = actions(&mut editor, &uri, range((0, 0), (0, 7)), json!({"diagnostics": [found]}));
    assert_eq!(
        titles(&offered),
        [
            "Orchestrate: fix this diagnostic: odd",
            "Orchestrate: explain the failure: odd",
            "Orchestrate: do this FIXME",
            "Orchestrate: write tests for this",
            "Orchestrate: document this",
            "Orchestrate: do what this says",
        ]
    );
    assert!(offered.iter().all(|action| action["command"] == "orchestrator.run"), "{offered:?}");
    // It never declared progress, documents or edits, and a run works all the same.
    let reply = editor.command("run", json!({"description": "x", "plan": super::runs::plan("echo new > new.txt")}));
    let over = editor.find("the result", |message| message["method"] == "window/showMessageRequest");
    assert!(over["params"]["message"].as_str().unwrap().contains("completed"), "{over}");
    editor.reply(&over, Value::Null);
    let run = reply["request_id"].as_str().unwrap();
    let shown = editor.command("show_report", json!({"run": run}));
    let file = shown["uri"].as_str().unwrap().strip_prefix("file://").unwrap();
    assert!(std::fs::read_to_string(file).unwrap().starts_with(&format!("# {run}")), "{shown}");
    editor.find("where it is", |message| message["params"]["message"].as_str().is_some_and(|text| text.contains(file)));
    let seen = editor.settled();
    let undeclared =
        ["$/progress", "window/workDoneProgress/create", "workspace/codeLens/refresh", "workspace/applyEdit"];
    assert!(seen.iter().all(|message| !undeclared.contains(&message["method"].as_str().unwrap_or(""))), "{seen:#?}");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn a_command_that_is_wrong_is_refused_with_what_to_do() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let refused = |editor: &mut Editor, command: &str, arguments: Value| {
        let answer = editor.call("workspace/executeCommand", json!({"command": command, "arguments": arguments}));
        assert!(answer["error"]["data"]["code"].is_string(), "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    for (command, arguments, says) in [
        ("orchestrator.rum", json!([]), "did you mean orchestrator.run?"),
        ("orchestrator.run", json!([]), "this is no request"),
        ("orchestrator.run", json!([{"description": "x", "contraints": {}}]), "did you mean `constraints`?"),
        ("orchestrator.run", json!([{"description": "x", "uri": "untitled:a", "range": 7}]), "`range` is no LSP range"),
        ("orchestrator.run", json!([{"description": "x", "uri": "file:///a"}]), "/a is not in"),
        ("orchestrator.run", json!([{"description": 7}]), "`description`"),
        ("orchestrator.run", json!([""]), "`description` is empty"),
        ("orchestrator.apply", json!([]), "orchestrator.apply needs `run`"),
        ("orchestrator.apply", json!([{"run": "R-99"}]), "R-99"),
        ("orchestrator.get_plan", json!([7]), "an object with the call's parameters"),
        ("orchestrator.cancel_task", json!([{"task_id": "X"}]), "\"X\""),
        ("orchestrator.show_log", json!([{"id": "T-99"}]), "T-99"),
    ] {
        let message = refused(&mut editor, command, arguments.clone());
        assert!(message.contains(says), "{command} {arguments}: {message}");
    }
    assert_eq!(editor.leave(), 0);
}

/// Every command, its cancellation right behind it: one answer each, a cancelled one or its own, and the session goes on.
#[test]
fn every_command_can_be_cancelled_and_is_answered_once() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::start(&sandbox);
    let result = editor.initialize(&sandbox, capable());
    let commands = result["capabilities"]["executeCommandProvider"]["commands"].as_array().unwrap().clone();
    editor.notify("initialized", json!({}));
    assert!(commands.len() > 20, "{commands:?}");
    let mut sent = Vec::new();
    // Stopping the daemon is for the end: it would answer others that it is gone.
    for command in commands.iter().filter(|command| !command.as_str().unwrap().contains("shutdown")) {
        let params = json!({"command": command, "arguments": [{}]});
        let id = editor.send("workspace/executeCommand", params);
        editor.notify("$/cancelRequest", json!({"id": id}));
        sent.push((id, command));
    }
    for (id, command) in &sent {
        let answer = editor.find("an answer", |message| message["id"] == *id && message.get("method").is_none());
        let cancelled = answer["error"]["code"] == -32800;
        let own = answer.get("result").is_some() || answer["error"]["data"]["code"].is_string();
        assert!(cancelled || own, "{command}: {answer}");
    }
    let ids: Vec<i64> = sent.iter().map(|(id, _)| *id).collect();
    let again = editor.settled();
    let twice = again
        .iter()
        .find(|message| message.get("method").is_none() && message["id"].as_i64().is_some_and(|id| ids.contains(&id)));
    assert_eq!(twice, None, "answered twice");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn documents_are_served_where_that_is_declared() {
    let sandbox = Sandbox::new();
    let mut capabilities = capable();
    capabilities["workspace"]["textDocumentContent"] = json!({"dynamicRegistration": true});
    let mut editor = Editor::greeted(&sandbox, capabilities);
    editor.answers = false;
    let registration = editor.next("client/registerCapability");
    let registered = &registration["params"]["registrations"][0];
    assert_eq!(registered["method"], "workspace/textDocumentContent");
    assert_eq!(registered["registerOptions"]["schemes"], json!(["orchestrator"]));
    editor.reply(&registration, Value::Null);
    let reply =
        editor.command("run", json!({"description": "x", "plan": super::runs::plan("echo out; echo new > n.txt")}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    editor.answers = true;
    editor.progress_to_end(&run);
    let shown = editor.command("show_plan", json!({"run": run}));
    assert_eq!(shown["uri"], format!("orchestrator:/plan/{run}.md"));
    let request = editor.next("window/showDocument");
    assert_eq!(request["params"]["uri"], shown["uri"]);
    for (uri, says) in [
        (format!("orchestrator:/plan/{run}.md"), "## Level 1"),
        (format!("orchestrator:/report/{run}.md"), "## Tasks"),
        (format!("orchestrator:/diff/{run}.diff"), "+new"),
        ("orchestrator:/log/T-1.log".to_owned(), "out\n"),
    ] {
        let content = editor.ok("workspace/textDocumentContent", json!({"textDocument": {"uri": uri}}));
        assert!(content["text"].as_str().unwrap().contains(says), "{uri}: {content}");
    }
    let refused = editor.call("workspace/textDocumentContent", json!({"textDocument": {"uri": "orchestrator:/x/y.z"}}));
    assert_eq!(refused["error"]["data"]["code"], "NOT_FOUND", "{refused}");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn the_real_program_takes_bytes_one_by_one() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::start(&sandbox);
    let root = format!("file://{}", sandbox.repo.display());
    let initialize = json!({"jsonrpc": "2.0", "id": "first", "method": "initialize",
        "params": {"rootUri": root, "capabilities": {}}});
    let stream = [
        frame(&initialize),
        frame(&json!({"jsonrpc": "2.0", "method": "initialized", "params": {}})),
        frame(&json!({"jsonrpc": "2.0", "id": null, "method": "textDocument/codeLens",
            "params": {"textDocument": {"uri": "file:///%C3%BC"}}})),
    ]
    .concat();
    for byte in stream {
        editor.bytes(&[byte]);
    }
    let greeted = editor.find("the greeting", |message| message["id"] == "first");
    assert!(greeted["result"]["capabilities"].is_object(), "{greeted}");
    let lens = editor.find("an answer to null", |message| message.get("id") == Some(&Value::Null));
    assert_eq!(lens["result"], json!([]), "{lens}");
    // And in two pieces, at every place.
    let again = [
        frame(&json!({"jsonrpc": "2.0", "method": "$/setTrace", "params": {"value": "off"}})),
        frame(&json!({"jsonrpc": "2.0", "id": "zwei", "method": "textDocument/codeLens",
            "params": {"textDocument": {"uri": "file:///%C3%BC"}, "ä": "\u{2603}"}})),
    ]
    .concat();
    for cut in 0..=again.len() {
        editor.in_two(&again, cut);
        let lens = editor.find("an answer", |message| message["id"] == "zwei");
        assert_eq!(lens["result"], json!([]), "cut at {cut}: {lens}");
    }
    assert_eq!(editor.leave(), 0);
}
