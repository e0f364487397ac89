//! The LSP face: a read through the daemon and the start against a minimal echo, and a code action in a large file.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Scale,
    measure::{median, ms, ratio},
    sandbox::Sandbox,
    table::Row,
};

/// A C program that answers each frame with one of the same size as ours: the floor of any such server.
const ECHO: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char in[1 << 20], out[1 << 20];
int main(int argc, char **argv) {
    size_t size = atoi(argv[1]), have = 0;
    for (;;) {
        ssize_t got = read(0, in + have, sizeof in - have);
        if (got <= 0) return 0;
        have += got;
        size_t at = 0, made = 0;
        for (;;) {
            char *end = memmem(in + at, have - at, "\r\n\r\n", 4);
            if (!end) break;
            size_t length = atoi(in + at + 16), next = end + 4 - in + length;
            if (next > have) break;
            at = next;
            made += sprintf(out + made, "Content-Length: %zu\r\n\r\n", size);
            memset(out + made, ' ', size);
            memcpy(out + made, "{}", 2);
            made += size;
        }
        memmove(in, in + at, have - at);
        have -= at;
        for (size_t sent = 0; sent < made;) {
            ssize_t put = write(1, out + sent, made - sent);
            if (put <= 0) return 1;
            sent += put;
        }
    }
}
"#;

/// A server on pipes.
struct Served {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Served {
    fn start(mut command: Command) -> Served {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let input = child.stdin.take().expect("it was asked for");
        let output = BufReader::with_capacity(1 << 20, child.stdout.take().expect("it was asked for"));
        Served { child, input, output }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).expect("it reads");
    }

    /// The next frame's body.
    fn next(&mut self) -> Vec<u8> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).expect("it writes"), 0, "it ended");
            match line.trim_end() {
                "" => break,
                line => length = line["Content-Length: ".len()..].parse().expect("a length"),
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).expect("a body");
        body
    }

    /// One request and its answer, past whatever else comes.
    fn call(&mut self, frame: &[u8], id: i64) -> Vec<u8> {
        self.send(frame);
        let mark = format!("\"id\":{id}");
        loop {
            let body = self.next();
            if String::from_utf8_lossy(&body).contains(&mark) {
                return body;
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn frame(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn request(id: i64, method: &str, params: Value) -> Vec<u8> {
    frame(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

fn initialize(sandbox: &Sandbox) -> Vec<u8> {
    let root = format!("file://{}", sandbox.repo().display());
    request(
        0,
        "initialize",
        json!({"rootUri": root, "capabilities": {"textDocument": {"codeAction":
        {"codeActionLiteralSupport": {}}}}}),
    )
}

/// The echo, built with the compiler that the crate's own C needs.
fn echo(sandbox: &Sandbox, size: usize) -> impl Fn() -> Command {
    let (source, program) = (sandbox.path("echo.c"), sandbox.path("echo"));
    std::fs::write(&source, ECHO).expect("a file can be written");
    let built = Command::new("cc").args(["-O2", "-D_GNU_SOURCE", "-w", "-o"]).arg(&program).arg(&source).status();
    assert!(built.is_ok_and(|status| status.success()), "cc builds the echo");
    move || {
        let mut command = Command::new(&program);
        command.arg(size.to_string());
        command
    }
}

fn ours(sandbox: &Sandbox) -> Served {
    let mut command = sandbox.command();
    command.arg("--lsp");
    let mut served = Served::start(command);
    served.call(&initialize(sandbox), 0);
    served.send(&frame(&json!({"jsonrpc": "2.0", "method": "initialized", "params": {}})));
    served
}

fn percentile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Reads, one after the other and pipelined: of what did not change, which the front end keeps (`api/kept.rs`), and of a
/// task that runs, which is asked of the daemon each time.
pub fn read(scale: Scale) -> Vec<Row> {
    let sandbox = Sandbox::new();
    sandbox.start();
    let detached = sandbox.command().args(["run", "--detach", "--do", "sleep 3600", "--verify", "true"]).status();
    assert!(detached.is_ok_and(|status| status.success()), "a run that goes on");
    let mut served = ours(&sandbox);
    let status = |id: i64| {
        let arguments = json!([{"task_id": "T-1"}]);
        request(
            id,
            "workspace/executeCommand",
            json!({"command": "orchestrator.get_task_status", "arguments": arguments}),
        )
    };
    loop {
        let body: Value = serde_json::from_slice(&served.call(&status(1), 1)).expect("JSON");
        if body["result"]["status"] == "running" {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let runs = |id: i64| {
        request(id, "workspace/executeCommand", json!({"command": "orchestrator.list_runs", "arguments": []}))
    };
    let mut rows = measured(scale, &sandbox, &mut served, "of what did not change", &runs);
    rows.extend(measured(scale, &sandbox, &mut served, "of what runs, through the daemon", &status));
    rows
}

fn measured(
    scale: Scale,
    sandbox: &Sandbox,
    served: &mut Served,
    what: &str,
    call: &dyn Fn(i64) -> Vec<u8>,
) -> Vec<Row> {
    let (calls, batch) = match scale {
        Scale::Full => (4_000, 500),
        Scale::Smoke => (20, 10),
    };
    let size = served.call(&call(1), 1).len();
    let mut floor = Served::start(echo(sandbox, size)());
    let (mut own, mut bare) = (Vec::new(), Vec::new());
    for id in 2..calls + 2 {
        let frame = call(id);
        let start = Instant::now();
        served.send(&frame);
        served.next();
        own.push(start.elapsed());
        let start = Instant::now();
        floor.send(&frame);
        floor.next();
        bare.push(start.elapsed());
    }
    let pipelined = |served: &mut Served| {
        let frames: Vec<u8> = (0..batch).flat_map(|id| call(id + 1_000_000)).collect();
        let start = Instant::now();
        served.send(&frames);
        for _ in 0..batch {
            served.next();
        }
        start.elapsed()
    };
    let rounds: Vec<(Duration, Duration)> = (0..9).map(|_| (pipelined(served), pipelined(&mut floor))).collect();
    let (own_rate, bare_rate) =
        (median(rounds.iter().map(|round| round.0).collect()), median(rounds.iter().map(|round| round.1).collect()));
    let row = |name: &str, share: f64| {
        let (own, bare) = (percentile(&own, share), percentile(&bare, share));
        let measured = format!("{:.2} x ({} / {})", ratio(own, bare), ms(own), ms(bare));
        Row::bound(format!("LSP read {what}, {name}"), "3 x echo", measured, ratio(own, bare) <= 3.0)
    };
    let share = ratio(bare_rate, own_rate);
    vec![
        row("p50", 0.5),
        row("p99", 0.99),
        Row::bound(
            format!("the same, {batch} pipelined, calls in a time"),
            "0.5 x echo",
            format!("{share:.2} x ({} / {})", ms(own_rate), ms(bare_rate)),
            share >= 0.5,
        ),
    ]
}

/// From the start of the process to its answer to `initialize`.
pub fn start(scale: Scale) -> Vec<Row> {
    let rounds = if scale == Scale::Full { 20 } else { 3 };
    let sandbox = Sandbox::new();
    let greeting = initialize(&sandbox);
    let echo = echo(&sandbox, 2_000);
    let once = |command: Command| {
        let start = Instant::now();
        let mut served = Served::start(command);
        served.send(&greeting);
        served.next();
        start.elapsed()
    };
    let (mut own, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut command = sandbox.command();
        command.arg("--lsp");
        own.push(once(command));
        bare.push(once(echo()));
    }
    let (own, bare) = (median(own), median(bare));
    let measured = format!("{:.2} x ({} / {})", ratio(own, bare), ms(own), ms(bare));
    vec![Row::bound("LSP start to the answer of initialize", "2 x echo", measured, ratio(own, bare) <= 2.0)]
}

/// A code action in a file of 50,000 lines, right after a change of it.
pub fn action(scale: Scale) -> Vec<Row> {
    let (lines, calls) = if scale == Scale::Full { (50_000, 400) } else { (2_000, 5) };
    let sandbox = Sandbox::new();
    let mut served = ours(&sandbox);
    let uri = format!("file://{}/large.rs", sandbox.repo().display());
    let text: String =
        (0..lines).map(|line| format!("    let value_{line} = compute({line}); // TODO: name it\n")).collect();
    served.send(&frame(&json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument":
        {"uri": uri, "languageId": "rust", "version": 1, "text": text}}})));
    let mut times = Vec::new();
    for id in 1..=calls {
        let line = (id * 7_919) % lines;
        let place = json!({"start": {"line": line, "character": 4}, "end": {"line": line, "character": 4}});
        let change = frame(&json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
            "textDocument": {"uri": uri, "version": id + 1}, "contentChanges": [{"range": place, "text": "\n"}]}}));
        let asked = request(
            id,
            "textDocument/codeAction",
            json!({"textDocument": {"uri": uri}, "range": place, "context": {"diagnostics": []}}),
        );
        let start = Instant::now();
        served.send(&change);
        served.call(&asked, id);
        times.push(start.elapsed());
    }
    let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
    let measured = format!("p50 {}, p99 {}", ms(p50), ms(p99));
    let held = p99 <= Duration::from_millis(5);
    vec![Row::bound(format!("LSP code action after a change, {lines} lines"), "5 ms", measured, held)]
}
