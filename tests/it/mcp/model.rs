//! A scripted model behind the Messages API, on a port of this machine: what a real Claude Code talks to in these tests.
//!
//! Which turn it gives is told by how many turns the conversation has already, so an answer depends on the request
//! alone and may be asked for again. A request that offers no tools (a title, a probe) gets two letters.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

/// One turn of the model.
#[derive(Debug, Clone)]
pub enum Turn {
    /// It says something and is done.
    Says(&'static str),
    /// It calls a tool.
    Calls(&'static str, Value),
}

/// A running model; it ends with the test's process.
pub struct Model {
    pub port: u16,
    /// Every request that offered tools.
    pub asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    pub fn start(turns: Vec<Turn>) -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (turns, seen) = (Arc::new(turns), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (turns, seen) = (turns.clone(), seen.clone());
                std::thread::spawn(move || drop(serve(stream, &turns, &seen)));
            }
        });
        Model { port, asked }
    }

    /// Everything that was said to the model, as text.
    pub fn heard(&self) -> String {
        self.asked.lock().unwrap().iter().map(Value::to_string).collect()
    }
}

fn serve(stream: TcpStream, turns: &[Turn], seen: &Mutex<Vec<Value>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if !first.starts_with("POST /v1/messages") || first.contains("count_tokens") {
            let text = json!({"input_tokens": 1, "data": []}).to_string();
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            )?;
            continue;
        }
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = message(&request, turns);
        if request["tools"].as_array().is_some_and(|tools| !tools.is_empty()) {
            seen.lock().unwrap().push(request["messages"].clone());
        }
        let (kind, text) = match request["stream"] == true {
            true => ("text/event-stream", events(&message)),
            false => ("application/json", message.to_string()),
        };
        write!(out, "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}", text.len())?;
        out.flush()?;
    }
}

fn message(request: &Value, turns: &[Turn]) -> Value {
    let said =
        request["messages"].as_array().into_iter().flatten().filter(|message| message["role"] == "assistant").count();
    let no_tools = request["tools"].as_array().is_none_or(Vec::is_empty);
    let turn = if no_tools { &Turn::Says("ok") } else { turns.get(said).unwrap_or(&Turn::Says("(nothing more)")) };
    let (block, stop) = match turn {
        Turn::Says(text) => (json!({"type": "text", "text": text}), "end_turn"),
        Turn::Calls(tool, input) => {
            (json!({"type": "tool_use", "id": format!("toolu_{said:022}"), "name": tool, "input": input}), "tool_use")
        }
    };
    json!({
        "id": format!("msg_{said:022}"),
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [block],
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    })
}

/// The same as server-sent events.
fn events(message: &Value) -> String {
    let block = &message["content"][0];
    let (opening, delta) = match block["type"] == "text" {
        true => (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": block["text"]})),
        false => {
            let mut opening = block.clone();
            opening["input"] = json!({});
            (opening, json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}))
        }
    };
    let mut start = message.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let stop = json!({"stop_reason": message["stop_reason"], "stop_sequence": null});
    let all = [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": opening}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": stop, "usage": message["usage"]}),
        json!({"type": "message_stop"}),
    ];
    all.iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect()
}
