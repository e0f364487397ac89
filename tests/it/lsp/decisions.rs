//! Decisions in an editor: on every face at once, one question at a time, and never answered by silence.

use serde_json::{Value, json};

use super::editor::{Editor, capable};
use crate::daemon::sandbox::{Sandbox, eventually, kill_9};

/// Two questions that a plan asks a person.
fn asking() -> Value {
    json!({"description": "ask", "plan": {"version": 1, "title": "ask", "tasks": [
        {"id": "one", "title": "Colour", "kind": "decision", "question": "Which colour?", "options": ["Red", "Blue"]},
        {"id": "two", "title": "Shape", "kind": "decision", "question": "Which shape?", "options": ["Round", "Square"]},
    ]}})
}

fn question(editor: &mut Editor) -> Value {
    editor.next("window/showMessageRequest")
}

fn title_of(question: &Value, index: usize) -> Value {
    json!({"title": question["params"]["actions"][index]["title"]})
}

fn status(editor: &mut Editor, open: usize) -> Value {
    editor.find(&format!("{open} open decisions"), |message| {
        message["method"] == "orchestrator/status"
            && message["params"]["decisions"].as_array().is_some_and(|decisions| decisions.len() == open)
    })
}

fn lenses(editor: &mut Editor, uri: &str) -> Vec<Value> {
    let lenses = editor.ok("textDocument/codeLens", json!({"textDocument": {"uri": uri}}));
    lenses.as_array().unwrap().clone()
}

#[test]
fn a_decision_is_shown_everywhere_and_the_first_answer_holds() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let uri = editor.open(&sandbox, "README.md", None);
    editor.command("process_request", json!({"request": asking()}));
    status(&mut editor, 2);
    let first = question(&mut editor);
    assert!(first["params"]["message"].as_str().unwrap().contains("Which "), "{first}");
    assert_eq!(first["params"]["actions"].as_array().unwrap().len(), 2);
    let seen = editor.settled();
    let count = |method: &str| seen.iter().filter(|message| message["method"] == method).count();
    assert_eq!(count("window/showMessageRequest"), 0, "one question at a time");
    let published = seen.iter().rfind(|message| message["method"] == "textDocument/publishDiagnostics").unwrap();
    let diagnostics = published["params"]["diagnostics"].as_array().unwrap();
    assert_eq!((diagnostics.len(), &diagnostics[0]["severity"]), (2, &json!(3)), "{published}");
    assert_eq!(lenses(&mut editor, &uri)[0]["command"]["title"], "2 decisions waiting");

    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
    let params = json!({"textDocument": {"uri": uri}, "range": range, "context": {"diagnostics": diagnostics}});
    let actions = editor.ok("textDocument/codeAction", params);
    assert_eq!(actions.as_array().unwrap().len(), 6, "each with its question and two options: {actions}");

    // The terminal is faster with the one that is on the screen.
    let on_screen = first["params"]["message"].as_str().unwrap().split(' ').next().unwrap().to_owned();
    let choice = status_option(&sandbox, &on_screen, 0);
    sandbox.run(&["decide", &on_screen, &choice]).exits(0);
    let withdrawn = editor.next("$/cancelRequest");
    assert_eq!(withdrawn["params"]["id"], first["id"]);
    let second = question(&mut editor);
    assert_ne!(second["params"]["message"], first["params"]["message"]);
    // The late click hears of it.
    editor.reply(&first, title_of(&first, 1));
    let said = editor.next("window/showMessage");
    let message = said["params"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("{on_screen} was already decided by terminal, ")), "{message}");
    // The other is answered here, and recorded as a person's, of this editor.
    editor.reply(&second, title_of(&second, 0));
    status(&mut editor, 0);
    let cleared = editor.find("cleared diagnostics", |message| {
        message["method"] == "textDocument/publishDiagnostics" && message["params"]["diagnostics"] == json!([])
    });
    assert_eq!(cleared["params"]["uri"], uri);
    assert!(lenses(&mut editor, &uri).is_empty());
    let other = second["params"]["message"].as_str().unwrap().split(' ').next().unwrap().to_owned();
    let why = editor.command("why", json!({"id": other}));
    let by = &why["decision"]["answer"]["by"];
    assert_eq!(by, &json!({"kind": "person", "surface": "lsp", "name": "Test Editor"}));
    assert_eq!(editor.leave(), 0);
}

fn status_option(sandbox: &Sandbox, decision: &str, index: usize) -> String {
    let mut wire = sandbox.wire();
    let pending = wire.ok("get_pending_decisions", json!({}));
    let decisions = pending["decisions"].as_array().unwrap();
    let found = decisions.iter().find(|found| found["decision_id"] == decision).unwrap();
    found["options"][index]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_dismissed_question_stays_open_and_comes_again_when_asked_for() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    editor.command("process_request", json!({"request": asking()}));
    let first = question(&mut editor);
    editor.reply(&first, Value::Null);
    let second = question(&mut editor);
    assert_ne!(first["params"]["message"], second["params"]["message"]);
    editor.reply(&second, Value::Null);
    status(&mut editor, 2);
    let seen = editor.settled();
    assert!(seen.iter().all(|message| message["method"] != "window/showMessageRequest"), "not again: {seen:#?}");
    let mut wire = sandbox.wire();
    assert_eq!(wire.ok("get_pending_decisions", json!({}))["decisions"].as_array().unwrap().len(), 2);

    let id = first["params"]["message"].as_str().unwrap().split(' ').next().unwrap().to_owned();
    let reply = editor.command("decide", json!({"decision_id": id}));
    assert_eq!(reply["summary"], "2 decisions wait for you");
    let again = question(&mut editor);
    assert_eq!(again["params"]["message"], first["params"]["message"]);
    // An editor that answers twice, with something that is no choice, and then with one.
    editor.reply(&again, json!({"title": "of nobody"}));
    editor.reply(&again, title_of(&again, 0));
    editor.command("decide", json!({"decision_id": id}));
    let again = question(&mut editor);
    editor.reply(&again, title_of(&again, 0));
    editor.reply(&again, title_of(&again, 1));
    status(&mut editor, 1);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn where_questions_leave_the_screen_by_themselves_the_next_one_comes_and_the_first_may_still_be_answered() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::start(&sandbox);
    editor.options["toasts"] = json!(true);
    editor.initialize(&sandbox, capable());
    editor.notify("initialized", json!({}));
    editor.command("process_request", json!({"request": asking()}));
    let first = question(&mut editor);
    let second = question(&mut editor);
    assert_ne!(first["params"]["message"], second["params"]["message"]);
    status(&mut editor, 2);
    editor.reply(&first, title_of(&first, 0));
    status(&mut editor, 1);
    editor.reply(&second, title_of(&second, 0));
    status(&mut editor, 0);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn an_editor_that_vanishes_in_mid_question_leaves_it_open_for_the_next() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    editor.command("process_request", json!({"request": asking()}));
    question(&mut editor);
    editor.close();
    assert_eq!(editor.ended(), 1);
    let mut next = Editor::greeted(&sandbox, capable());
    let asked = question(&mut next);
    next.reply(&asked, title_of(&asked, 0));
    status(&mut next, 1);

    // The daemon dies in mid-question: the answer waits for the new one, and what is open is asked again.
    let asked = question(&mut next);
    for daemon in sandbox.daemons() {
        kill_9(daemon);
    }
    next.next("$/cancelRequest");
    let again = question(&mut next);
    assert_eq!(again["params"]["message"], asked["params"]["message"]);
    next.reply(&again, title_of(&again, 1));
    status(&mut next, 0);
    assert_eq!(next.leave(), 0);
}

#[test]
fn a_session_of_a_model_may_not_answer_what_is_a_persons() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["--lsp"]);
    command.env("CLAUDECODE", "1");
    let mut editor = Editor::of(command);
    editor.initialize(&sandbox, capable());
    editor.notify("initialized", json!({}));
    let deploy = json!({"version": 1, "tasks": [{"id": "d", "title": "Deploy", "command": ["true"],
        "effect": "external", "type": "deployment"}]});
    editor.command("run", json!({"description": "deploy", "plan": deploy}));
    let asked = question(&mut editor);
    editor.reply(&asked, title_of(&asked, 0));
    let said = editor.next("window/showMessage");
    assert!(said["params"]["message"].as_str().unwrap().contains("is a person's to answer"), "{said}");
    let refused = editor
        .call("workspace/executeCommand", json!({"command": "orchestrator.trust", "arguments": [{"grant": true}]}));
    assert_eq!(refused["error"]["data"]["code"], "FORBIDDEN", "{refused}");
    let mut wire = sandbox.wire();
    eventually("it is still open", || {
        (wire.ok("get_pending_decisions", json!({}))["decisions"].as_array().unwrap().len() == 1).then_some(())
    });
    assert_eq!(editor.leave(), 0);
}
