//! `decisions replay --jsonl` as a program: interactive, flushed, and not put out by wrong lines.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use serde_json::Value;

#[test]
fn each_line_is_answered_before_the_next() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .args(["decisions", "replay", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("it is a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut ask = |line: &str| -> Value {
        writeln!(input, "{line}").expect("it reads");
        let mut reply = String::new();
        output.read_line(&mut reply).expect("it answers");
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{reply:?}: {error}"))
    };
    for index in 0..30 {
        let reply = ask(&format!(r#"{{"op":"decide","record":{{"id":"{index}","t":{index},"type":"format"}}}}"#));
        assert_eq!(reply["choice"], "approve", "{reply}");
        assert!(index > 6 || reply["auto"] == false, "nothing is automatic before it was seen often enough: {reply}");
        // The reply to the wrong line after it shows that feedback itself is not answered.
        let fault = ask(&format!("{{\"op\":\"feedback\",\"id\":\"{index}\",\"outcome\":\"approve\"}}\nnonsense"));
        assert!(fault["error"]["message"].as_str().is_some_and(|message| message.contains("no JSON")), "{fault}");
    }
    drop(input);
    assert!(child.wait().expect("it ends").success());
}
