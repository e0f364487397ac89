//! Runs as an editor sees them: progress from begin to end, wherever they were started, and results brought home.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::editor::{Editor, capable};
use crate::daemon::sandbox::{Sandbox, eventually, kill_9};

/// A plan of one task.
pub fn plan(command: &str) -> Value {
    json!({"version": 1, "title": "one", "tasks": [{"id": "a", "title": "The one", "kind": "shell", "run": command}]})
}

fn held(sandbox: &Sandbox) -> (String, std::path::PathBuf) {
    let gate = sandbox.root.join("gate");
    (format!("while [ ! -e {} ]; do sleep 0.01; done; echo done", gate.display()), gate)
}

fn never_backwards(seen: &[(String, Option<u64>, String)]) {
    assert_eq!(seen[0].0, "begin", "{seen:?}");
    let percents: Vec<u64> = seen[..seen.len() - 1].iter().map(|(_, percent, _)| percent.unwrap()).collect();
    assert!(percents.is_sorted() && percents.iter().all(|percent| *percent < 100), "{seen:?}");
    assert!(seen[1..seen.len() - 1].iter().all(|(kind, ..)| kind == "report"), "{seen:?}");
}

#[test]
fn a_run_has_one_progress_from_begin_to_end() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let tasks: Vec<Value> = (0..4)
        .map(|number| {
            let needs: Vec<String> = (number > 0).then(|| format!("t{}", number - 1)).into_iter().collect();
            json!({"id": format!("t{number}"), "title": format!("Step {number}"), "kind": "shell", "needs": needs,
                "run": format!("sleep 0.3; echo {number} > {number}.txt")})
        })
        .collect();
    let reply =
        editor.command("run", json!({"description": "four", "plan": {"version": 1, "title": "four", "tasks": tasks}}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    let seen = editor.progress_to_end(&run);
    never_backwards(&seen);
    assert!(seen.len() >= 4, "{seen:?}");
    assert!(seen.iter().any(|(_, _, message)| message.contains("/4: Step ")), "{seen:?}");
    assert!(seen.last().unwrap().2.starts_with(&format!("{run} completed")), "{seen:?}");
    let over = editor.next("window/showMessageRequest");
    let titles: Vec<&Value> = over["params"]["actions"].as_array().unwrap().iter().map(|item| &item["title"]).collect();
    assert_eq!(titles, ["Bring it in", "Show the diff", "Show the report"]);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn a_run_from_elsewhere_is_seen_within_a_second() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    editor.command("list_runs", json!({}));
    let (command, gate) = held(&sandbox);
    let before = Instant::now();
    let started = sandbox.run(&["run", "--do", &command, "--verify", "true", "--detach", "--json"]).exits(0).json();
    let run = started["request_id"].as_str().unwrap().to_owned();
    let create = editor.next("window/workDoneProgress/create");
    editor.reply(&create, Value::Null);
    let begin = editor.next("$/progress");
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
    assert_eq!(begin["params"]["value"]["kind"], "begin");
    assert!(begin["params"]["value"]["title"].as_str().unwrap().starts_with(&run), "{begin}");
    std::fs::write(&gate, "").unwrap();
    let end = editor.find("the end", |message| message["params"]["value"]["kind"] == "end");
    assert!(end["params"]["value"]["message"].as_str().unwrap().contains("completed"), "{end}");
    let seen = editor.settled();
    assert!(
        seen.iter().all(|message| message["method"] != "window/showMessageRequest"),
        "what others started is theirs to bring in: {seen:#?}"
    );

    // An editor that comes while a run is under way sees it, too.
    std::fs::remove_file(&gate).unwrap();
    sandbox.run(&["run", "--do", &command, "--verify", "true", "--detach"]).exits(0);
    let mut late = Editor::greeted(&sandbox, capable());
    let begin = late.find("a begin", |message| message["params"]["value"]["kind"] == "begin");
    assert!(begin["params"]["value"]["percentage"].is_u64(), "{begin}");
    std::fs::write(&gate, "").unwrap();
    late.find("the end", |message| message["params"]["value"]["kind"] == "end");
    assert_eq!((late.leave(), editor.leave()), (0, 0));
}

#[test]
fn a_progress_is_cancelled_from_the_editor() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let (command, _) = held(&sandbox);
    let reply = editor.command("run", json!({"description": "hold", "plan": plan(&command)}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    let begin = editor.find("a begin", |message| message["params"]["value"]["kind"] == "begin");
    assert_eq!(begin["params"]["value"]["cancellable"], true);
    for token in [json!("of nobody"), json!(7), begin["params"]["token"].clone()] {
        editor.notify("window/workDoneProgress/cancel", json!({"token": token}));
    }
    let end = editor.find("the end", |message| message["params"]["value"]["kind"] == "end");
    assert!(end["params"]["value"]["message"].as_str().unwrap().starts_with(&format!("{run} cancelled")), "{end}");
    // And when it is cancelled elsewhere.
    let reply = editor.command("run", json!({"description": "hold", "plan": plan(&command)}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    let begin = editor.find("a begin", |message| message["params"]["value"]["kind"] == "begin");
    sandbox.run(&["cancel", &run]).exits(0);
    let end = editor.find("the end", |message| message["params"]["value"]["kind"] == "end");
    assert_eq!(end["params"]["token"], begin["params"]["token"]);
    assert!(end["params"]["value"]["message"].as_str().unwrap().starts_with(&format!("{run} cancelled")), "{end}");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn a_daemon_that_is_killed_ends_the_progress_and_a_new_one_begins_it_again() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let (command, gate) = held(&sandbox);
    let reply = editor.command("run", json!({"description": "hold", "plan": plan(&command)}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    let begin = editor.find("a begin", |message| message["params"]["value"]["kind"] == "begin");
    eventually("the job", || (!sandbox.jobs().is_empty()).then_some(()));
    for daemon in sandbox.daemons() {
        kill_9(daemon);
    }
    let end = editor.find("the end", |message| message["params"]["value"]["kind"] == "end");
    assert_eq!(end["params"]["token"], begin["params"]["token"]);
    assert!(end["params"]["value"]["message"].as_str().unwrap().contains("the daemon is gone"), "{end}");
    let again = editor.find("a begin", |message| message["params"]["value"]["kind"] == "begin");
    assert_ne!(again["params"]["token"], begin["params"]["token"], "a token is used once");
    std::fs::write(&gate, "").unwrap();
    let end = editor.find("the end", |message| message["params"]["value"]["kind"] == "end");
    assert!(end["params"]["value"]["message"].as_str().unwrap().starts_with(&format!("{run} completed")), "{end}");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn a_client_that_never_accepts_a_token_still_gets_the_progress_and_one_that_refuses_gets_none() {
    let sandbox = Sandbox::new();
    let mut silent = Editor::greeted(&sandbox, capable());
    silent.answers = false;
    let mut refusing = Editor::greeted(&sandbox, capable());
    refusing.answers = false;
    refusing.command("list_runs", json!({}));
    let reply = silent.command("run", json!({"description": "x", "plan": plan("sleep 0.8")}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    let create = refusing.next("window/workDoneProgress/create");
    let refusal = json!({"jsonrpc": "2.0", "id": create["id"], "error": {"code": -32601, "message": "no"}});
    refusing.bytes(&super::editor::frame(&refusal));
    never_backwards(&silent.progress_to_end(&run));
    refusing.find("a status without runs", |message| {
        message["method"] == "orchestrator/status" && message["params"]["runs"] == json!([])
    });
    let seen = refusing.settled();
    assert!(seen.iter().all(|message| message["method"] != "$/progress"), "{seen:#?}");
    assert_eq!((silent.leave(), refusing.leave()), (0, 0));
}

/// Answers the offer at the end of a run.
fn bring_in(editor: &mut Editor) {
    let over = editor.next("window/showMessageRequest");
    editor.reply(&over, json!({"title": "Bring it in"}));
}

#[test]
fn a_result_comes_home_as_an_edit_and_what_is_unsaved_stays() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let uri = editor.open(&sandbox, "README.md", Some("one\ntwo\nthree\nunsaved"));
    editor.open(&sandbox, "nowhere.txt", Some("never saved\n"));
    // What it sees is what the user sees.
    let command = "grep -q unsaved README.md && sed -i s/one/ONE/ README.md; \
                   mkdir new; printf 'fresh\\n' > new/f.txt; git rm -q src/lib.txt";
    editor.command("run", json!({"description": "x", "plan": plan(command)}));
    bring_in(&mut editor);
    let left =
        "what is unsaved in nowhere.txt is not part of the run: it is not among the files that the run starts from";
    let noted = sandbox.run(&["report", "R-1"]).exits(0);
    noted.says("README.md is taken as the editor has it, which is not saved yet").says(left);
    let apply = editor.next("workspace/applyEdit");
    let changes = apply["params"]["edit"]["documentChanges"].as_array().unwrap();
    let edited = changes.iter().find(|change| change["textDocument"]["uri"] == uri).unwrap();
    assert_eq!(edited["textDocument"]["version"], 1, "bound to what it was made for");
    assert_eq!(
        edited["edits"],
        json!([{"newText": "ONE\n", "range":
        {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}}}])
    );
    let kinds: Vec<&str> = changes.iter().filter_map(|change| change["kind"].as_str()).collect();
    assert_eq!(kinds, ["create", "delete"], "{changes:#?}");
    editor.reply(&apply, json!({"applied": true}));
    let said = editor.next("window/showMessage");
    assert!(said["params"]["message"].as_str().unwrap().contains("3 files changed, not saved yet"), "{said}");
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\n", "the disk is the editor's to write");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn an_editor_that_refuses_an_edit_or_cannot_take_it_loses_nothing() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let command = "sed -i s/one/ONE/ README.md; chmod +x src/lib.txt";
    let reply = editor.command("run", json!({"description": "x", "plan": plan(command)}));
    let run = reply["request_id"].as_str().unwrap().to_owned();
    let uri = editor.open(&sandbox, "README.md", Some("one\ntwo\nunsaved\n"));
    // A mode cannot be said in an edit, and the buffer is in the way of the disk.
    bring_in(&mut editor);
    let said = editor.next("window/showMessage");
    let message = said["params"]["message"].as_str().unwrap();
    assert!(message.contains("README.md has unsaved changes, and src/lib.txt: its mode changes; save it"), "{message}");
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\n", "nothing is changed");
    // Without the buffer it goes over the disk.
    editor.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    editor.command("apply", json!({"run": run}));
    let said = editor.next("window/showMessage");
    assert!(said["params"]["message"].as_str().unwrap().contains(&run), "{said}");
    assert_eq!(sandbox.read("README.md"), "ONE\ntwo\nthree\n");
    let undone = editor.command("undo", json!({"run": run}));
    assert_eq!((undone["undone"].clone(), sandbox.read("README.md")), (json!(true), "one\ntwo\nthree\n".to_owned()));

    // A refused edit is said with the editor's own reason.
    editor.command("run", json!({"description": "x", "plan": plan("sed -i s/two/TWO/ README.md")}));
    bring_in(&mut editor);
    let apply = editor.next("workspace/applyEdit");
    editor.reply(&apply, json!({"applied": false, "failureReason": "the buffer is locked"}));
    let said = editor.next("window/showMessage");
    assert!(said["params"]["message"].as_str().unwrap().contains("the editor refused: the buffer is locked"), "{said}");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn the_place_of_a_request_goes_with_it() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let uri = editor.open(&sandbox, "src/lib.txt", None);
    let range = json!({"start": {"line": 1, "character": 0}, "end": {"line": 2, "character": 1}});
    let question =
        json!({"version": 1, "tasks": [{"id": "q", "kind": "decision", "question": "Which?", "options": ["A", "B"]}]});
    editor.command(
        "run",
        json!({"description": "here", "uri": uri, "range": range, "plan": question,
        "diagnostic": {"message": "odd"}}),
    );
    let shown = editor.find("a diagnostic", |message| {
        message["method"] == "textDocument/publishDiagnostics" && message["params"]["diagnostics"] != json!([])
    });
    assert_eq!(
        (&shown["params"]["uri"], &shown["params"]["diagnostics"][0]["range"]["start"]["line"]),
        (&json!(uri), &json!(1))
    );
    assert_eq!(editor.leave(), 0);
}

/// What the editor has, said as a change of all of it.
fn types(editor: &mut Editor, uri: &str, version: u64, text: &str) {
    let document = json!({"uri": uri, "version": version});
    editor.notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": [{"text": text}]}));
}

/// Takes the edit that comes: README.md in its buffer, the new file on the disk, as editors do.
fn takes(editor: &mut Editor, sandbox: &Sandbox, uri: &str, version: u64) {
    let apply = editor.next("workspace/applyEdit");
    types(editor, uri, version, "ONE\ntwo\nthree\n");
    sandbox.file("repo/new.txt", "fresh\n");
    editor.reply(&apply, json!({"applied": true}));
    let said = editor.next("window/showMessage");
    let said = said["params"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("not saved yet; `orchestrator undo R-1` takes it out again, saved or not"), "{said}");
}

#[test]
fn what_an_editor_took_is_taken_out_again_from_its_buffers_or_from_the_disk() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    let uri = editor.open(&sandbox, "README.md", Some("one\ntwo\nthree\n"));
    let command = "sed -i s/one/ONE/ README.md; printf 'fresh\\n' > new.txt";
    editor.command("run", json!({"description": "x", "plan": plan(command)}));
    bring_in(&mut editor);
    takes(&mut editor, &sandbox, &uri, 2);

    // Unsaved, by the editor: its buffers change back.
    editor.command("undo", json!({"run": "R-1"}));
    let back = editor.next("workspace/applyEdit");
    let changes = back["params"]["edit"]["documentChanges"].as_array().unwrap();
    let edited = changes.iter().find(|change| change["textDocument"]["uri"] == uri).unwrap();
    assert_eq!((&edited["textDocument"]["version"], &edited["edits"][0]["newText"]), (&json!(2), &json!("one\n")));
    assert!(changes.iter().any(|change| change["kind"] == "delete"), "{changes:#?}");
    types(&mut editor, &uri, 3, "one\ntwo\nthree\n");
    std::fs::remove_file(sandbox.repo.join("new.txt")).unwrap();
    editor.reply(&back, json!({"applied": true}));
    let said = editor.next("window/showMessage");
    assert!(said["params"]["message"].as_str().unwrap().contains("out of the editor again: 2 files"), "{said}");
    sandbox.run(&["undo", "R-1"]).exits(2).says("R-1 is not applied");

    // Edited since: nothing changes, and the file is named.
    editor.command("apply", json!({"run": "R-1"}));
    takes(&mut editor, &sandbox, &uri, 4);
    types(&mut editor, &uri, 5, "ONE\ntwo\nthree\nmine\n");
    editor.command("undo", json!({"run": "R-1"}));
    let said = editor.next("window/showMessage");
    assert!(
        said["params"]["message"].as_str().unwrap().contains("edited since it was brought in: README.md"),
        "{said}"
    );

    // Saved, by a terminal; but not where it was edited since.
    sandbox.file("repo/README.md", "ONE\ntwo\nthree\nmine\n");
    sandbox.run(&["undo", "R-1"]).exits(1).says("README.md");
    assert_eq!(sandbox.read("new.txt"), "fresh\n", "all or nothing");
    sandbox.file("repo/README.md", "ONE\ntwo\nthree\n");
    sandbox.run(&["undo", "R-1"]).exits(0).says("2 files put back");
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\n");
    assert!(!sandbox.repo.join("new.txt").exists());
    types(&mut editor, &uri, 6, "one\ntwo\nthree\n");

    // Saved, by the editor: its daemon writes, and nothing is asked of it.
    editor.command("apply", json!({"run": "R-1"}));
    takes(&mut editor, &sandbox, &uri, 7);
    sandbox.file("repo/README.md", "ONE\ntwo\nthree\n");
    let undone = editor.command("undo", json!({"run": "R-1"}));
    assert_eq!((undone["undone"].clone(), sandbox.read("README.md")), (json!(true), "one\ntwo\nthree\n".to_owned()));
    types(&mut editor, &uri, 8, "one\ntwo\nthree\n");

    // Not saved, by a terminal: it says where the rest still is.
    editor.command("apply", json!({"run": "R-1"}));
    takes(&mut editor, &sandbox, &uri, 9);
    sandbox.run(&["undo", "R-1"]).exits(0).says("1 file put back").says("did not save README.md");
    assert_eq!(editor.leave(), 0);
}

#[test]
fn why_an_explanation_and_the_doctor_are_documents() {
    let sandbox = Sandbox::new();
    let mut editor = Editor::greeted(&sandbox, capable());
    editor.command("run", json!({"description": "x", "plan": plan("true")}));
    for (command, arguments, says) in [
        ("show_why", json!({"id": "R-1"}), "# R-1"),
        ("show_explanation", json!({"description": "format and lint this repository"}), "Playbooks, best first"),
        ("doctor", json!({}), "git version"),
    ] {
        let shown = editor.command(command, arguments);
        let uri = shown["uri"].as_str().unwrap();
        let file = uri.strip_prefix("file://").unwrap_or_else(|| panic!("{shown}"));
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(says), "{command}: {text}");
    }
    assert_eq!(editor.leave(), 0);
}
