//! One short session as it goes over the wire, word for word; paths and the version are taken out.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::editor::{Editor, capable};
use crate::daemon::sandbox::Sandbox;

/// The same with every object's fields in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// A session that is written down.
struct Transcript {
    editor: Editor,
    sandbox: Sandbox,
    text: String,
}

impl Transcript {
    fn line(&mut self, arrow: &str, what: &Value) {
        let root = format!("file://{}", self.sandbox.repo.display());
        let text = sorted(what).to_string().replace(&root, "ROOT").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        self.text.push_str(&format!("{arrow} {text}\n"));
    }

    fn ask(&mut self, method: &str, params: Value) {
        self.line("->", &json!({"method": method, "params": params}));
        let mut answer = self.editor.call(method, params);
        // The commands are a list of their own, which grows with the daemon's calls.
        if let Some(commands) = answer.pointer_mut("/result/capabilities/executeCommandProvider/commands") {
            assert!(commands.as_array().is_some_and(|commands| commands.len() > 20));
            *commands = json!(["orchestrator.run", "..."]);
        }
        answer.as_object_mut().unwrap().remove("jsonrpc");
        self.line("<-", &answer);
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.line("->", &json!({"method": method, "params": params}));
        self.editor.notify(method, params);
    }

    #[track_caller]
    fn ends(self, status: i32, expected: &Expect) {
        expected.assert_eq(&self.text);
        assert_eq!(self.editor.leave(), status);
    }
}

#[test]
fn a_greeting_and_an_action() {
    let sandbox = Sandbox::new();
    let editor = Editor::start(&sandbox);
    let root = format!("file://{}", sandbox.repo.display());
    let uri = format!("{root}/a.txt");
    let mut session = Transcript { editor, sandbox, text: String::new() };
    session.ask("textDocument/codeLens", json!({"textDocument": {"uri": uri}}));
    session.ask("initialize", json!({"rootUri": root, "capabilities": capable()}));
    session.tell("initialized", json!({}));
    session.tell(
        "textDocument/didOpen",
        json!({"textDocument": {"uri": uri, "languageId": "text", "version": 1, "text": "// TODO(ada): greet\n"}}),
    );
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
    session.ask(
        "textDocument/codeAction",
        json!({"textDocument": {"uri": uri}, "range": range, "context": {"diagnostics": []}}),
    );
    session.ask("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}}));
    session.ends(0, &expect![[r#"
        -> {"method":"textDocument/codeLens","params":{"textDocument":{"uri":"ROOT/a.txt"}}}
        <- {"error":{"code":-32002,"message":"Server not initialized"},"id":1}
        -> {"method":"initialize","params":{"capabilities":{"textDocument":{"codeAction":{"codeActionLiteralSupport":{"codeActionKind":{"valueSet":["quickfix","refactor"]}}}},"window":{"showDocument":{"support":true},"workDoneProgress":true},"workspace":{"applyEdit":true,"codeLens":{"refreshSupport":true},"workspaceEdit":{"documentChanges":true,"resourceOperations":["create","rename","delete"]}}},"rootUri":"ROOT"}}
        <- {"id":2,"result":{"capabilities":{"codeActionProvider":{"codeActionKinds":["quickfix","refactor.orchestrate"]},"codeLensProvider":{"resolveProvider":false},"executeCommandProvider":{"commands":["orchestrator.run","..."]},"positionEncoding":"utf-16","textDocumentSync":{"change":2,"openClose":true}},"serverInfo":{"name":"orchestrator","version":"VERSION"}}}
        -> {"method":"initialized","params":{}}
        -> {"method":"textDocument/didOpen","params":{"textDocument":{"languageId":"text","text":"// TODO(ada): greet\n","uri":"ROOT/a.txt","version":1}}}
        -> {"method":"textDocument/codeAction","params":{"context":{"diagnostics":[]},"range":{"end":{"character":0,"line":0},"start":{"character":0,"line":0}},"textDocument":{"uri":"ROOT/a.txt"}}}
        <- {"id":3,"result":[{"command":{"arguments":[{"description":"Do this TODO in a.txt, line 1, and remove it: greet","range":{"end":{"character":0,"line":1},"start":{"character":0,"line":0}},"uri":"ROOT/a.txt"}],"command":"orchestrator.run","title":"Orchestrate: do this TODO"},"kind":"quickfix","title":"Orchestrate: do this TODO"}]}
        -> {"method":"textDocument/hover","params":{"position":{"character":0,"line":0},"textDocument":{"uri":"ROOT/a.txt"}}}
        <- {"error":{"code":-32601,"message":"Method not found"},"id":4}
    "#]]);
}
