//! A hand-written MCP client over the real program: lines out, lines in, nothing helpful in between.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::daemon::sandbox::Sandbox;

/// Nothing here takes longer unless it hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// A server process and what it said.
pub struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// Notifications and questions that came while something else was waited for.
    pub aside: Vec<Value>,
    last_id: u64,
    /// Goes into each request of 2026-07-28.
    meta: Option<Value>,
}

impl Client {
    /// `orchestrator` on pipes, in the sandbox's repository, as a terminal's child would be.
    pub fn start(sandbox: &Sandbox, arguments: &[&str]) -> Client {
        Client::of(sandbox.command(arguments))
    }

    pub fn of(mut command: Command) -> Client {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if to.send(value).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Client { child, stdin, lines, aside: Vec::new(), last_id: 0, meta: None }
    }

    /// A client of 2025-11-25 that has shaken hands.
    pub fn shaken(sandbox: &Sandbox, capabilities: Value) -> Client {
        let mut client = Client::start(sandbox, &[]);
        client.shake(capabilities);
        client
    }

    pub fn shake(&mut self, capabilities: Value) {
        self.shake_as("2025-11-25", capabilities);
    }

    pub fn shake_as(&mut self, revision: &str, capabilities: Value) {
        let info = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": capabilities, "clientInfo": info});
        let result = self.ask("initialize", params);
        assert_eq!(result["result"]["protocolVersion"], revision, "{result}");
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    /// A client of 2026-07-28, which has no handshake.
    pub fn inline(sandbox: &Sandbox, capabilities: Value) -> Client {
        let mut client = Client::start(sandbox, &[]);
        client.meta = Some(json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        }));
        client
    }

    pub fn say(&mut self, message: &Value) {
        self.bytes(format!("{message}\n").as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// The same bytes, arriving in two pieces.
    pub fn in_two(&mut self, bytes: &[u8], cut: usize) {
        crate::pipe::in_two(self.stdin.as_mut().expect("the input is open"), bytes, cut);
    }

    /// Sends a request and does not wait.
    pub fn request(&mut self, method: &str, mut params: Value) -> u64 {
        self.last_id += 1;
        if let Some(meta) = &self.meta {
            params["_meta"] = meta.clone();
        }
        let id = self.last_id;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.answer(id)
    }

    /// Calls a tool; what it answered, structured.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// Calls a tool that refuses; its sentence.
    #[track_caller]
    pub fn mistake(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert_eq!(answer["result"].get("structuredContent"), None);
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Waits for the answer to a request.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        let fits = |message: &Value| message["id"] == id && message.get("method").is_none();
        match self.aside.iter().position(fits) {
            Some(at) => self.aside.remove(at),
            None => self.until(fits),
        }
    }

    /// Waits for a notification or question with this method.
    #[track_caller]
    pub fn told(&mut self, method: &str) -> Value {
        if let Some(at) = self.aside.iter().position(|message| message["method"] == method) {
            return self.aside.remove(at);
        }
        self.until(|message| message["method"] == method)
    }

    /// Waits for a line that fits; the others are put aside.
    #[track_caller]
    pub fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + HANGS_AFTER;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) if fits(&message) => return message,
                Ok(message) => self.aside.push(message),
                Err(RecvTimeoutError::Timeout) => panic!("nothing that fits came; aside: {:#?}", self.aside),
                Err(RecvTimeoutError::Disconnected) => panic!("the server has gone; aside: {:#?}", self.aside),
            }
        }
    }

    /// The next line, whatever it is.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        self.until(|_| true)
    }

    /// Closes the input and waits for the end: its status and how long it took.
    #[track_caller]
    pub fn leave(&mut self) -> (Option<i32>, Duration) {
        drop(self.stdin.take());
        let began = Instant::now();
        while began.elapsed() < HANGS_AFTER {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), began.elapsed());
            }
            std::thread::yield_now();
        }
        panic!("it goes on after the end of its input");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plan that asks first and then does one thing.
pub fn asking_plan() -> Value {
    json!({
        "version": 1,
        "title": "Ask, then write",
        "tasks": [
            {"id": "ask", "title": "Ask", "kind": "decision", "question": "Go on?", "options": ["Yes", "No"]},
            {"id": "write", "title": "Write", "kind": "shell", "run": "echo hi > new.txt", "needs": ["ask"],
             "writes": ["new.txt"], "verify": [["test", "-f", "new.txt"]]},
        ],
    })
}

/// A plan with an effect outside, which only a person may allow.
pub fn outside_plan() -> Value {
    json!({
        "version": 1,
        "title": "Deploy",
        "tasks": [{"id": "deploy", "title": "Deploy", "kind": "shell", "type": "deployment", "effect": "external",
                   "environment": "production", "run": "true"}],
    })
}
