//! `hook permission` as Claude Code starts it: JSON on standard input, an answer on standard output, no daemon anywhere.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// A home with nothing in it, and a repository.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("repo/.git")).expect("made");
        Home { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .args(arguments)
            .current_dir(self.path("repo"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // It may have answered before it read everything.
        let _ = child.stdin.take().expect("piped").write_all(input);
        child.wait_with_output().expect("it ends")
    }

    fn hook(&self, input: &Value) -> Value {
        let output = self.run(&["hook", "permission"], input.to_string().as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        match output.stdout.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["hookSpecificOutput"].take(),
        }
    }

    fn decision(&self, tool: &str, input: Value, mode: &str) -> String {
        let asked = json!({
            "session_id": "s", "transcript_path": "/t", "cwd": self.path("repo"), "permission_mode": mode,
            "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input, "tool_use_id": "toolu_1",
        });
        let answer = self.hook(&asked);
        assert_eq!(answer["hookEventName"], "PreToolUse");
        assert!(answer["permissionDecisionReason"].as_str().is_some_and(|reason| reason.len() > 15), "{answer}");
        answer["permissionDecision"].as_str().expect("a decision").to_owned()
    }
}

#[test]
fn it_answers_from_rules_alone_and_starts_nothing() {
    let home = Home::new();
    let bash = |line: &str| json!({"command": line, "description": "x"});
    assert_eq!(home.decision("Bash", bash("git status && ls -la"), "default"), "allow");
    assert_eq!(home.decision("Bash", bash("cargo test"), "default"), "ask");
    assert_eq!(home.decision("Bash", bash("rm -rf ~"), "default"), "ask");
    assert_eq!(home.decision("Read", json!({"file_path": home.path("repo/a.rs")}), "default"), "allow");
    assert_eq!(home.decision("Read", json!({"file_path": home.path(".ssh/id_rsa")}), "default"), "ask");
    let edit = json!({"file_path": home.path("repo/a.rs"), "old_string": "a", "new_string": "b"});
    assert_eq!(home.decision("Edit", edit.clone(), "default"), "ask");
    assert_eq!(home.decision("Edit", edit.clone(), "acceptEdits"), "allow", "the user said so for the session");
    assert_eq!(home.decision("Edit", json!({"file_path": "/etc/hosts"}), "acceptEdits"), "ask");
    assert_eq!(home.decision("Bash", bash("cargo test"), "bypassPermissions"), "allow");
    assert_eq!(
        home.decision("Bash", bash("rm -rf ~"), "bypassPermissions"),
        "ask",
        "nothing bypasses what is critical"
    );
    assert_eq!(home.decision("mcp__github__merge", json!({}), "default"), "ask");
    for made in ["state", "run", "config"] {
        assert!(!home.path(made).exists(), "{made} was made");
    }
}

#[test]
fn rules_of_user_and_project_count() {
    let home = Home::new();
    let rule = |id: &str, program: &str, verdict: &str| {
        format!(
            "[[rules]]\nid = \"{id}\"\nwhen = \"command.program == '{program}'\"\nverdict = \"{verdict}\"\nreason = \"{id} says so\"\n"
        )
    };
    let write = |path: &Path, text: String| {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    let user = home.path("config/orchestrator/policy.toml");
    write(&user, format!("version = 1\n{}{}", rule("make-ok", "make", "allow"), rule("no-pip", "pip", "deny")));
    write(
        &home.path("repo/.orchestrator/policy.toml"),
        format!("version = 1\n{}{}", rule("npm-ok", "npm", "allow"), rule("no-ls", "ls", "deny")),
    );
    let says = |line: &str| home.decision("Bash", json!({"command": line}), "default");
    assert_eq!(says("make"), "allow");
    assert_eq!(says("pip install x"), "deny");
    assert_eq!(says("npm install"), "ask", "a clone may not allow");
    assert_eq!(says("ls"), "deny", "it may forbid");

    let list = home.run(&["policy", "list"], b"");
    let list = String::from_utf8(list.stdout).expect("UTF-8");
    assert!(
        list.contains("rule npm-ok is left out") && list.contains("no-pip") && list.contains("prod-deploy"),
        "{list}"
    );
    let check = |line: &str| home.run(&["policy", "check", line], b"").status.code();
    assert_eq!((check("make"), check("pip install x"), check("npm install")), (Some(0), Some(1), Some(3)));
    assert_eq!(home.run(&["policy", "forget", "prod-deploy"], b"").status.code(), Some(2), "it is not the user's");
    assert_eq!(home.run(&["policy", "forget", "nothing"], b"").status.code(), Some(2));
    assert_eq!(home.run(&["policy", "forget", "no-pip"], b"").status.code(), Some(0));
    assert_eq!(says("pip install x"), "ask");
    assert!(fs::read_to_string(&user).expect("it is there").contains("make-ok"));

    fs::write(&user, "version = 1\n[[rules]]\nid = 'a'\nwhen = \"task.typ == 'x'\"\nverdict = 'deny'\n")
        .expect("written");
    let broken = home.hook(
        &json!({"cwd": home.path("repo"), "hook_event_name": "PreToolUse", "tool_name": "Read", "tool_input": {}}),
    );
    assert_eq!(broken["permissionDecision"], "ask", "rules that cannot be read are not passed over");
    let reason = broken["permissionDecisionReason"].as_str().expect("a reason");
    assert!(reason.contains("policy.toml:4") && reason.contains("did you mean `task.type`?"), "{reason}");
}

#[test]
fn the_dialog_is_answered_or_left_to_the_user() {
    let home = Home::new();
    let ask = |tool: &str, input: Value| {
        home.hook(&json!({"cwd": home.path("repo"), "hook_event_name": "PermissionRequest", "tool_name": tool, "tool_input": input}))
    };
    assert_eq!(
        ask("Bash", json!({"command": "ls"})),
        json!({"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}})
    );
    assert_eq!(ask("Bash", json!({"command": "rm -rf /"})), Value::Null);
}

#[test]
fn whatever_comes_in_the_user_is_asked() {
    let home = Home::new();
    for input in ["", "{", "[]", "null", "{}", "{\"tool_name\": 3}", "\u{feff}{}", "{\"tool_input\": {}}"] {
        let output = home.run(&["hook", "permission"], input.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{input}: the protocol's way to answer");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], "ask", "{input}");
        let reason = answer["hookSpecificOutput"]["permissionDecisionReason"].as_str().expect("a reason");
        assert!(reason.contains("not what Claude Code sends"), "{input}: {reason}");
    }
    let binary = home.run(&["hook", "permission"], &[0xff, 0xfe, 0x00]);
    assert!(String::from_utf8_lossy(&binary.stdout).contains("\"ask\""));
    let mut deep = "[".repeat(100_000);
    deep.push_str(&"]".repeat(100_000));
    let deep =
        home.run(&["hook", "permission"], format!("{{\"tool_name\":\"Bash\",\"tool_input\":{deep}}}").as_bytes());
    assert!(String::from_utf8_lossy(&deep.stdout).contains("\"ask\""), "{deep:?}");
}

#[test]
fn batches_are_answered_line_by_line() {
    let home = Home::new();
    let input = "{\"id\":1,\"command\":\"ls\"}\n\n{\"id\":\"b\",\"command\":\"rm -rf /\",\"cwd\":\"sub\"}\n{\"id\":3,\"command\":\"npm ci\"}\n";
    let output = home.run(&["explain", "command", "--jsonl"], input.as_bytes());
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let labels: Vec<_> =
        lines.iter().map(|line| (line["id"].clone(), line["label"].as_str().expect("a label").to_owned())).collect();
    assert_eq!(
        labels,
        [(json!(1), "safe".to_owned()), (json!("b"), "dangerous".to_owned()), (json!(3), "needs_approval".to_owned())]
    );
    assert!(
        lines
            .iter()
            .all(|line| line["confidence"].is_f64() && line["reasons"].is_array() && line["effects"].is_array())
    );
    let bad = home.run(&["explain", "command", "--jsonl"], b"{\"id\":1}\n");
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("line 1"), "{bad:?}");
    let text = home.run(&["explain", "command", "rm -rf build"], b"");
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.starts_with("dangerous") && text.contains("deletes"), "{text}");
}
