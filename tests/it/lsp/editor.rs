//! A hand-written editor for the real program: it says what a test wants, and keeps everything that comes back.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::daemon::sandbox::Sandbox;

/// Nothing here takes longer unless it hangs.
pub const HANGS_AFTER: Duration = Duration::from_secs(60);

/// One session.
pub struct Editor {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// What came and was not asked for yet.
    kept: VecDeque<Value>,
    last: i64,
    /// Answers requests about housekeeping by itself, as editors do.
    pub answers: bool,
    /// What `initialize` says beside capabilities.
    pub options: Value,
}

/// A frame as it goes over the wire.
pub fn frame(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// One frame of a stream; nothing at its end.
pub fn read_frame(stream: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => {
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.parse().expect("a length");
                }
            }
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("a body is JSON"))
}

/// What a capable editor declares.
pub fn capable() -> Value {
    json!({
        "window": {"workDoneProgress": true, "showDocument": {"support": true}},
        "workspace": {
            "applyEdit": true,
            "codeLens": {"refreshSupport": true},
            "workspaceEdit": {"documentChanges": true, "resourceOperations": ["create", "rename", "delete"]},
        },
        "textDocument": {"codeAction": {"codeActionLiteralSupport":
            {"codeActionKind": {"valueSet": ["quickfix", "refactor"]}}}},
    })
}

impl Editor {
    /// Starts the program and says nothing.
    pub fn start(sandbox: &Sandbox) -> Editor {
        Editor::of(sandbox.command(&["--lsp"]))
    }

    /// The same for a program that is started otherwise.
    pub fn of(mut command: Command) -> Editor {
        command.stdin(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stream = BufReader::new(child.stdout.take().expect("it was asked for"));
        let (to, messages) = mpsc::channel();
        std::thread::spawn(move || {
            while let Some(message) = read_frame(&mut stream) {
                if to.send(message).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Editor {
            child,
            input,
            messages,
            kept: VecDeque::new(),
            last: 0,
            answers: true,
            options: json!({"status": true}),
        }
    }

    /// Starts it and greets it with these capabilities.
    #[track_caller]
    pub fn greeted(sandbox: &Sandbox, capabilities: Value) -> Editor {
        let mut editor = Editor::start(sandbox);
        let result = editor.initialize(sandbox, capabilities);
        assert_eq!(result["serverInfo"]["name"], "orchestrator", "{result}");
        editor.notify("initialized", json!({}));
        editor
    }

    #[track_caller]
    pub fn initialize(&mut self, sandbox: &Sandbox, capabilities: Value) -> Value {
        let root = format!("file://{}", sandbox.repo.display());
        let options = self.options.clone();
        self.ok(
            "initialize",
            json!({"processId": std::process::id(), "rootUri": root, "capabilities": capabilities,
                "clientInfo": {"name": "Test Editor"}, "initializationOptions": options}),
        )
    }

    pub fn uri(sandbox: &Sandbox, name: &str) -> String {
        format!("file://{}/{name}", sandbox.repo.display())
    }

    /// Opens a file as it is on disk, or with another text.
    pub fn open(&mut self, sandbox: &Sandbox, name: &str, text: Option<&str>) -> String {
        let uri = Editor::uri(sandbox, name);
        let text = text.map_or_else(|| sandbox.read(name), str::to_owned);
        let document = json!({"uri": uri, "languageId": "plaintext", "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document}));
        uri
    }

    #[track_caller]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().expect("the input is open").write_all(bytes).expect("it reads");
    }

    /// The same bytes, arriving in two pieces.
    pub fn in_two(&mut self, bytes: &[u8], cut: usize) {
        crate::pipe::in_two(self.input.as_mut().expect("the input is open"), bytes, cut);
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.bytes(&frame(&json!({"jsonrpc": "2.0", "method": method, "params": params})));
    }

    /// Sends a request without waiting; its id.
    pub fn send(&mut self, method: &str, params: Value) -> i64 {
        self.last += 1;
        let mut message = json!({"jsonrpc": "2.0", "id": self.last, "method": method});
        if !params.is_null() {
            message["params"] = params;
        }
        self.bytes(&frame(&message));
        self.last
    }

    /// One request and its answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.find("an answer", |message| message["id"] == id && message.get("method").is_none())
    }

    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Carries out a command; its result.
    #[track_caller]
    pub fn command(&mut self, name: &str, argument: Value) -> Value {
        self.ok("workspace/executeCommand", json!({"command": format!("orchestrator.{name}"), "arguments": [argument]}))
    }

    /// Answers a request of the server.
    pub fn reply(&mut self, request: &Value, result: Value) {
        self.bytes(&frame(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result})));
    }

    /// The next message of the server with this method, whatever else comes before it.
    #[track_caller]
    pub fn next(&mut self, method: &str) -> Value {
        self.find(method, |message| message["method"] == method)
    }

    /// The first message that fits, of those kept and those to come; the others are kept.
    #[track_caller]
    pub fn find(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&fits) {
            return self.kept.remove(at).expect("it was just found");
        }
        let deadline = Instant::now() + HANGS_AFTER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) if fits(&message) => return message,
                Ok(message) => self.keep(message),
                Err(RecvTimeoutError::Timeout) => panic!("waited for {what}; seen: {:#?}", self.kept),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {what}; seen: {:#?}", self.kept),
            }
        }
    }

    fn keep(&mut self, message: Value) {
        let housekeeping = matches!(
            message["method"].as_str(),
            Some(
                "window/workDoneProgress/create"
                    | "workspace/codeLens/refresh"
                    | "client/registerCapability"
                    | "window/showDocument"
            )
        );
        if self.answers && housekeeping {
            self.reply(&message, Value::Null);
        }
        self.kept.push_back(message);
    }

    /// Everything that came and was not asked for, after a round trip: what the server said before it.
    #[track_caller]
    pub fn settled(&mut self) -> Vec<Value> {
        let answer = self.call("textDocument/codeLens", json!({"textDocument": {"uri": "file:///nowhere"}}));
        assert!(answer.get("error").is_none(), "{answer}");
        self.kept.drain(..).collect()
    }

    /// Every `$/progress` of a run so far and to its end, as (kind, percentage, message).
    #[track_caller]
    pub fn progress_to_end(&mut self, run: &str) -> Vec<(String, Option<u64>, String)> {
        let ours = format!("orchestrator/{run}/");
        let mut seen = Vec::new();
        loop {
            let message = self.find("the end of a progress", |message| {
                message["method"] == "$/progress"
                    && message["params"]["token"].as_str().is_some_and(|token| token.starts_with(&ours))
            });
            let value = &message["params"]["value"];
            let kind = value["kind"].as_str().unwrap().to_owned();
            let over = kind == "end";
            seen.push((kind, value["percentage"].as_u64(), value["message"].as_str().unwrap_or("").to_owned()));
            if over {
                return seen;
            }
        }
    }

    /// Closes the program's input.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Waits for its end; the exit status.
    #[track_caller]
    pub fn ended(mut self) -> i32 {
        let deadline = Instant::now() + HANGS_AFTER;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code().expect("it was not killed");
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Leaves as the protocol says; the exit status.
    #[track_caller]
    pub fn leave(mut self) -> i32 {
        self.ok("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        self.ended()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
