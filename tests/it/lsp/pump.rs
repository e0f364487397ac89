//! The pump with a service that is slow, asks, panics and counts: order, starvation, cancellation, and every way in
//! which a stream can be wrong. In this process, over streams in memory.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use orchestrator::lsp::{
    outbox::Outbox,
    pump::{Ended, pump},
    types::*,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Semaphore,
    task::JoinHandle,
};

use super::editor::frame;

/// What the service saw, and the gate that its slow calls wait for.
struct Slow {
    seen: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    outbox: Outbox,
}

impl LanguageServer for Slow {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
        Ok(InitializeResult::default())
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        // Uneven work: without an order the later ones would be done first.
        for _ in 0..(20 - params.text_document.version % 20) {
            tokio::task::yield_now().await;
        }
        self.seen.lock().unwrap().push(params.text_document.version.to_string());
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        match params.command.as_str() {
            "seen" => Ok(Some(json!(self.seen.lock().unwrap().len()))),
            "slow" => {
                let _ = self.gate.acquire().await;
                Ok(Some(json!("done")))
            }
            // What a server must not do, and some do: the answer of the editor is awaited within the call.
            "ask" => {
                let (_, answer) = self.outbox.request("window/showMessageRequest", json!({}));
                Ok(answer.await.ok().and_then(|answer| answer.ok()))
            }
            _ => panic!("on purpose"),
        }
    }
}

/// A session over streams in memory.
struct Session {
    input: Option<tokio::io::WriteHalf<DuplexStream>>,
    output: tokio::io::ReadHalf<DuplexStream>,
    bytes: Vec<u8>,
    pumped: JoinHandle<Ended>,
    gate: Arc<Semaphore>,
    outbox: Outbox,
}

impl Session {
    fn start(capacity: usize) -> Session {
        let (ours, theirs) = duplex(capacity);
        let (gate, outbox) = (Arc::new(Semaphore::new(0)), Outbox::default());
        let slow = Slow { seen: Arc::default(), gate: gate.clone(), outbox: outbox.clone() };
        let (service, _) = LspService::new(move |_| slow);
        let (reader, writer) = tokio::io::split(theirs);
        let pumped = tokio::spawn(pump(service, outbox.clone(), reader, writer, Value::clone, |_, _| None));
        let (output, input) = tokio::io::split(ours);
        Session { input: Some(input), output, bytes: Vec::new(), pumped, gate, outbox }
    }

    async fn greeted() -> Session {
        let mut session = Session::start(1 << 20);
        let answer = session.call(json!(0), "initialize", json!({"capabilities": {}})).await;
        assert!(answer["result"].is_object(), "{answer}");
        session
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    async fn send(&mut self, message: Value) {
        self.bytes(&frame(&message)).await;
    }

    async fn next(&mut self) -> Value {
        let read = async {
            loop {
                let text = &self.bytes;
                if let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                    let length: usize =
                        std::str::from_utf8(&text[16..head]).unwrap().parse().expect("only a length is sent");
                    if text.len() >= head + 4 + length {
                        let body = serde_json::from_slice(&text[head + 4..head + 4 + length]).unwrap();
                        self.bytes.drain(..head + 4 + length);
                        return body;
                    }
                }
                if self.output.read_buf(&mut self.bytes).await.unwrap() == 0 {
                    panic!("the output ended");
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("no message came")
    }

    async fn call(&mut self, id: Value, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        self.next().await
    }

    async fn execute(&mut self, id: i64, command: &str) {
        let params = json!({"command": command});
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": "workspace/executeCommand", "params": params})).await;
    }

    async fn ended(mut self) -> Ended {
        // Half of a stream in memory is closed by its shutdown, not by its end.
        drop(self.input.take().unwrap().shutdown().await);
        tokio::time::timeout(Duration::from_secs(20), self.pumped).await.expect("it does not end").unwrap()
    }
}

#[tokio::test]
async fn changes_are_carried_out_in_their_order_and_a_request_sees_those_before_it() {
    let mut session = Session::greeted().await;
    for version in 1..=50 {
        let params = json!({"textDocument": {"uri": "file:///a", "version": version}, "contentChanges": []});
        session.send(json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params})).await;
        if version % 10 == 0 {
            session.execute(i64::from(version), "seen").await;
        }
    }
    for version in (10..=50).step_by(10) {
        let answer = session.next().await;
        assert_eq!((&answer["id"], &answer["result"]), (&json!(version), &json!(version)), "{answer}");
    }
    assert_eq!(session.ended().await, Ended::Otherwise);
}

#[tokio::test]
async fn two_hundred_slow_requests_starve_nobody_and_each_is_answered_once() {
    let mut session = Session::greeted().await;
    for id in 1..=200 {
        session.execute(id, "slow").await;
    }
    session.execute(201, "seen").await;
    assert_eq!(session.next().await["id"], 201, "a quick one passes");
    for id in (2..=200).step_by(2) {
        session.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}})).await;
    }
    for _ in 0..100 {
        let answer = session.next().await;
        assert_eq!(answer["error"]["code"], -32800, "{answer}");
        assert_eq!(answer["id"].as_i64().unwrap() % 2, 0, "{answer}");
    }
    // Cancelling what is answered, or never was asked, is nothing.
    session.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 2}})).await;
    session.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "x"}})).await;
    session.send(json!({"jsonrpc": "2.0", "method": "$/cancelRequest"})).await;
    session.gate.add_permits(100);
    let mut done: Vec<i64> = Vec::new();
    for _ in 0..100 {
        let answer = session.next().await;
        assert_eq!(answer["result"], "done", "{answer}");
        done.push(answer["id"].as_i64().unwrap());
    }
    done.sort_unstable();
    assert_eq!(done, (1..200).step_by(2).collect::<Vec<_>>());
}

#[tokio::test]
async fn questions_that_nobody_answers_block_nothing_but_themselves() {
    let mut session = Session::greeted().await;
    for id in 1..=50 {
        session.execute(id, "ask").await;
    }
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(session.next().await["id"].clone());
    }
    session.execute(51, "seen").await;
    assert_eq!(session.next().await["id"], 51);
    // One is answered, twice; the second answer is nobody's.
    for answer in ["yes", "no"] {
        session.send(json!({"jsonrpc": "2.0", "id": asked[7], "result": answer})).await;
    }
    let answer = session.next().await;
    assert_eq!((&answer["id"], &answer["result"]), (&json!(8), &json!("yes")));
    session.execute(52, "seen").await;
    assert_eq!(session.next().await["id"], 52);
    // The editor vanishes while all the others are open.
    assert_eq!(session.ended().await, Ended::Otherwise);
}

#[tokio::test]
async fn what_is_wrong_is_answered_and_the_session_goes_on() {
    let mut session = Session::greeted().await;
    let framed = |body: &[u8]| [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    for (bytes, id, code, why) in [
        (framed(b"[]"), json!(null), -32600, "LSP has no batches"),
        (framed(br#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#), json!(null), -32600, "LSP has no batches"),
        (framed(b"{\"jsonrpc\""), json!(null), -32700, "not JSON"),
        (framed(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}"), json!(null), -32700, "not JSON"),
        (framed(b"7"), json!(null), -32600, "a message is a JSON object"),
        (framed(br#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#), json!(null), -32600, "1.5 is no id"),
        (framed(br#"{"jsonrpc":"2.0","id":true,"method":"x"}"#), json!(null), -32600, "true is no id"),
        (framed(br#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#), json!(null), -32600, "[1] is no id"),
        (framed(br#"{"jsonrpc":"2.0","id":{},"method":"x"}"#), json!(null), -32600, "{} is no id"),
        (framed(br#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"x"}"#), json!(null), -32600, "is no id"),
        (framed(br#"{"jsonrpc":"1.0","id":4,"method":"x"}"#), json!(4), -32600, "no JSON-RPC 2.0 request"),
        (framed(br#"{"jsonrpc":"2.0","id":5}"#), json!(5), -32600, "a message has a `method`"),
        (framed(br#"{"jsonrpc":"2.0","id":6,"method":7}"#), json!(6), -32600, "no JSON-RPC 2.0 request"),
        (framed(br#"{"jsonrpc":"2.0","id":7,"method":"x"}"#), json!(7), -32601, "Method not found"),
        (framed(br#"{"jsonrpc":"2.0","id":8,"method":"workspace/executeCommand","params":3}"#), json!(8), -32602, ""),
        (framed(b""), json!(null), -32700, "not JSON"),
        (b"Content-Length: x\r\n\r\n".to_vec(), json!(null), -32600, "not a number of bytes"),
    ] {
        session.bytes(&bytes).await;
        let answer = session.next().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(why), "{why:?}: {answer}");
    }
    session.execute(9, "panic").await;
    assert_eq!(session.next().await["error"]["code"], -32603);
    for id in [json!("a"), json!(""), json!(-1), json!(9_007_199_254_740_993_i64), json!(null)] {
        let answer = session.call(id.clone(), "workspace/executeCommand", json!({"command": "seen"})).await;
        assert_eq!((&answer["id"], &answer["result"]), (&id, &json!(0)), "{answer}");
    }
}

#[tokio::test]
async fn an_id_is_not_used_twice_at_once() {
    let mut session = Session::greeted().await;
    session.execute(1, "slow").await;
    session.execute(1, "slow").await;
    let answer = session.next().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32600)));
    session.gate.add_permits(1);
    assert_eq!(session.next().await["result"], "done", "the first is answered all the same");
}

#[tokio::test]
async fn the_life_of_a_session_has_its_order() {
    let mut session = Session::start(1 << 20);
    let early = session.call(json!(1), "workspace/executeCommand", json!({"command": "seen"})).await;
    assert_eq!(early["error"]["code"], -32002, "before initialize: {early}");
    assert!(session.call(json!(2), "initialize", json!({"capabilities": {}})).await["result"].is_object());
    assert_eq!(session.call(json!(3), "initialize", json!({"capabilities": {}})).await["error"]["code"], -32600);
    session.execute(4, "slow").await;
    let answer = session.call(json!(5), "shutdown", json!(null)).await;
    assert_eq!((&answer["id"], &answer["result"]), (&json!(5), &json!(null)), "not behind the slow one");
    let late = session.call(json!(6), "workspace/executeCommand", json!({"command": "seen"})).await;
    assert_eq!(late["error"]["code"], -32600, "after shutdown: {late}");
    session.send(json!({"jsonrpc": "2.0", "method": "exit"})).await;
    assert_eq!(session.pumped.await.unwrap(), Ended::InOrder, "with one still under way");

    let mut session = Session::greeted().await;
    session.send(json!({"jsonrpc": "2.0", "method": "exit"})).await;
    assert_eq!(session.pumped.await.unwrap(), Ended::Otherwise, "exit without shutdown");
}

#[tokio::test]
async fn the_input_may_end_at_every_byte() {
    let stream = [
        frame(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}})),
        frame(&json!({"jsonrpc": "2.0", "id": 1, "method": "workspace/executeCommand", "params": {"command": "slow"}})),
    ]
    .concat();
    for cut in 0..=stream.len() {
        let mut session = Session::start(1 << 20);
        session.bytes(&stream[..cut]).await;
        assert_eq!(session.ended().await, Ended::Otherwise, "cut at {cut}");
    }
}

#[tokio::test]
async fn bytes_may_be_split_at_every_point() {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"capabilities":{}}}"#;
    let head = format!("content-type: x; charset=utf-8\r\ncontent-length: {}\n\n", body.len());
    let seen = frame(&json!({"jsonrpc": "2.0", "id": "é", "method": "workspace/executeCommand",
        "params": {"command": "seen"}}));
    let stream = [head.as_bytes(), body.as_bytes(), &seen].concat();
    for split in 0..=stream.len() {
        let mut session = Session::start(1 << 20);
        session.bytes(&stream[..split]).await;
        tokio::task::yield_now().await;
        session.bytes(&stream[split..]).await;
        assert!(session.next().await["result"].is_object(), "split at {split}");
        assert_eq!(session.next().await["id"], "é", "split at {split}");
    }
}

#[tokio::test]
async fn a_frame_of_seventeen_mebibytes_is_refused_and_passed_over() {
    let mut session = Session::greeted().await;
    let mut input = session.input.take().unwrap();
    let writing = tokio::spawn(async move {
        input.write_all(format!("Content-Length: {}\r\n\r\n", 17 << 20).as_bytes()).await.unwrap();
        let mebibyte = vec![b'x'; 1 << 20];
        for _ in 0..17 {
            input.write_all(&mebibyte).await.unwrap();
        }
        input
    });
    let refusal = session.next().await;
    assert!(refusal["error"]["message"].as_str().unwrap().contains("17825792 bytes is too long"), "{refusal}");
    session.input = Some(writing.await.unwrap());
    session.execute(1, "seen").await;
    assert_eq!(session.next().await["id"], 1);
}

#[tokio::test]
async fn an_editor_that_never_reads_is_left() {
    let session = Session::start(64);
    let mebibyte = "x".repeat(1 << 20);
    for _ in 0..70 {
        session.outbox.notify("window/logMessage", json!(mebibyte));
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), session.pumped).await.expect("it goes on for ever");
    assert_eq!(ended.unwrap(), Ended::Otherwise);
}

#[tokio::test]
async fn a_slow_editor_gets_the_newest_report_and_every_end() {
    let mut session = Session::start(256);
    for percent in 0..10_000 {
        let report = json!({"token": "t", "value": {"kind": "report", "percentage": percent}});
        session.outbox.notify_newest("t".into(), "$/progress", report);
        if percent % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    session.outbox.notify("$/progress", json!({"token": "t", "value": {"kind": "end"}}));
    let mut last = 0;
    let mut reports = 0;
    loop {
        let message = session.next().await;
        let value = &message["params"]["value"];
        if value["kind"] == "end" {
            break;
        }
        reports += 1;
        assert!(value["percentage"].as_u64().unwrap() >= last);
        last = value["percentage"].as_u64().unwrap();
    }
    assert_eq!(last, 9_999, "the newest is not lost");
    assert!(reports < 50, "{reports} reports for one that does not read");
}

#[tokio::test]
async fn the_editors_process_is_watched() {
    let mut parent = std::process::Command::new("sleep").arg("60").spawn().expect("sleep is everywhere");
    let mut session = Session::start(1 << 20);
    let params = json!({"capabilities": {}, "processId": parent.id()});
    assert!(session.call(json!(0), "initialize", params).await["result"].is_object());
    session.execute(1, "seen").await;
    assert_eq!(session.next().await["id"], 1, "it lives as long as its editor");
    parent.kill().unwrap();
    parent.wait().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), session.pumped).await.expect("an orphan");
    assert_eq!(ended.unwrap(), Ended::Otherwise);
}
