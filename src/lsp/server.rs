//! The library's trait, filled in: each handler converts, makes one call, and converts back. None awaits the editor.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    actions::{Place, actions},
    commands, convert,
    follow::Wake,
    pages::{Page, SCHEME},
    shared::Shared,
    types::{
        CodeActionParams, CodeActionResponse, CodeLens, CodeLensParams, DidChangeTextDocumentParams,
        DidCloseTextDocumentParams, DidOpenTextDocumentParams, Error, ExecuteCommandParams, InitializeParams,
        InitializeResult, InitializedParams, LanguageServer, LspService, Result,
    },
};

/// One session's handlers.
pub struct Server {
    shared: Arc<Shared>,
}

/// The library's service with our handlers.
pub fn service(shared: Arc<Shared>) -> LspService<Server> {
    let (service, _) = LspService::build(|_| Server { shared })
        .custom_method("window/workDoneProgress/cancel", Server::cancel_progress)
        .custom_method("workspace/textDocumentContent", Server::document_content)
        .finish();
    service
}

/// What `initialize` is answered, as far as the greeting was read by the pump.
pub fn greeting(shared: &Shared) -> Value {
    let can = shared.can();
    json!({
        "capabilities": {
            "positionEncoding": can.encoding.name(),
            "textDocumentSync": {"openClose": true, "change": 2},
            "codeActionProvider": match can.action_literals {
                true => json!({"codeActionKinds": ["quickfix", "refactor.orchestrate"]}),
                false => json!(true),
            },
            "codeLensProvider": {"resolveProvider": false},
            "executeCommandProvider": {"commands": commands::names()},
        },
        "serverInfo": {"name": "orchestrator", "version": env!("CARGO_PKG_VERSION")},
    })
}

impl LanguageServer for Server {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
        serde_json::from_value(greeting(&self.shared)).map_err(|_| Error::internal_error())
    }

    async fn initialized(&self, _: InitializedParams) {
        if self.shared.can().served_documents {
            let registration = json!({"registrations": [{"id": "orchestrator-documents",
                "method": "workspace/textDocumentContent", "registerOptions": {"schemes": [SCHEME]}}]});
            // Its answer is not waited for: a document is asked for only where this was taken.
            drop(self.shared.outbox.request("client/registerCapability", registration));
        }
        let _ = self.shared.wakes.send(Wake::Ready);
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let document = params.text_document;
        let uri = document.uri.as_str();
        self.shared.documents().open(uri, &document.language_id, document.version, document.text);
        let _ = self.shared.wakes.send(Wake::Documents);
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let encoding = self.shared.can().encoding;
        let mut documents = self.shared.documents();
        let (uri, version) = (params.text_document.uri, params.text_document.version);
        for change in params.content_changes {
            documents.change(uri.as_str(), version, change.range, &change.text, encoding);
        }
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        let uri = params.text_document.uri.as_str().to_owned();
        self.shared.documents().close(&uri);
        self.shared.served().remove(&uri);
        let _ = self.shared.wakes.send(Wake::Documents);
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        let uri = params.text_document.uri.as_str();
        let (can, decisions, name) = (self.shared.can(), self.shared.shown_in(uri), self.shared.name_of(uri));
        let ours = self.shared.is_ours(uri);
        let only = params.context.only.unwrap_or_default();
        let only: Vec<String> = only.iter().map(|kind| kind.as_str().to_owned()).collect();
        let mut documents = self.shared.documents();
        documents.work_in(uri);
        // One that was never opened has no text to offer anything for.
        let Some(document) = documents.get(uri) else { return Ok(None) };
        let place = Place {
            document,
            name: &name,
            ours,
            range: params.range,
            diagnostics: &params.context.diagnostics,
            decisions: &decisions,
            only: &only,
        };
        serde_json::from_value(Value::Array(actions(&place, &can))).map(Some).map_err(|_| Error::internal_error())
    }

    async fn code_lens(&self, params: CodeLensParams) -> Result<Option<Vec<CodeLens>>> {
        let shown = self.shared.shown_in(params.text_document.uri.as_str());
        let mut lines: Vec<u32> = shown.iter().map(|(_, line)| *line).collect();
        lines.sort_unstable();
        lines.dedup();
        let lens = |line: u32| {
            let here: Vec<_> = shown.iter().filter(|(_, at)| *at == line).map(|(decision, _)| decision).collect();
            let title = match here.as_slice() {
                [one] => format!("1 decision waiting: {}", one.question),
                several => format!("{} decisions waiting", several.len()),
            };
            let first = here.first().map(|decision| decision.decision_id);
            let position = json!({"line": line, "character": 0});
            json!({"range": {"start": position, "end": position},
                "command": {"title": title, "command": "orchestrator.decide", "arguments": [{"decision_id": first}]}})
        };
        let lenses: Vec<Value> = lines.into_iter().map(lens).collect();
        serde_json::from_value(Value::Array(lenses)).map(Some).map_err(|_| Error::internal_error())
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        let executed = commands::execute(&self.shared, &params.command, &params.arguments).await;
        executed.map(Some).map_err(|error| convert::error(&error))
    }
}

impl Server {
    async fn cancel_progress(&self, params: Value) {
        if let Some(token) = params.get("token").and_then(Value::as_str) {
            let _ = self.shared.wakes.send(Wake::Cancel { token: token.to_owned() });
        }
    }

    /// The text of a document with an address of ours.
    async fn document_content(&self, params: Value) -> Result<Value> {
        let uri = params.pointer("/textDocument/uri").or_else(|| params.get("uri")).and_then(Value::as_str);
        let uri = uri.unwrap_or_default();
        let Some(page) = Page::of_uri(uri) else {
            let error = crate::api::ApiError::new(
                crate::api::Code::NotFound,
                format!("{uri:?} is no document of the orchestrator"),
                "one is orchestrator:/plan/R-3.md",
            );
            return Err(convert::error(&error));
        };
        let text = page.text(&self.shared).await.map_err(|error| convert::error(&error))?;
        self.shared.served().insert(uri.to_owned(), page);
        Ok(json!({"text": text}))
    }
}
