//! Answers that a front end keeps: as new as asking the daemon, whatever happens, and really kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    daemon::sandbox::{Sandbox, eventually, kill_9},
    lsp::editor::Editor,
    mcp::client::Client,
};

fn revision(reply: &Value) -> u64 {
    reply["revision"].as_u64().unwrap_or_else(|| panic!("no revision: {reply}"))
}

/// The daemon, held still: whatever is answered meanwhile, it was not asked.
struct Still(i32);

impl Still {
    fn hold(sandbox: &Sandbox) -> Still {
        let [pid] = sandbox.daemons()[..] else { panic!("one daemon") };
        // SAFETY: the daemon of this test; no memory is touched.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
        eventually("it stands still", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            (stat.rsplit(')').next()?.trim_start().starts_with('T')).then_some(())
        });
        Still(pid)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::kill(self.0, libc::SIGCONT) };
    }
}

/// The property that everything rests on: whoever was told of a change can tell anybody, and what that one reads then is
/// not older. Two hosts and an editor take turns in changing, and everybody reads before and after.
#[test]
fn nothing_older_is_read_after_a_change_was_heard_of() {
    let sandbox = Sandbox::new();
    let mut hosts = [Client::shaken(&sandbox, json!({})), Client::inline(&sandbox, json!({}))];
    let mut editor = Editor::greeted(&sandbox, json!({}));
    let read = |hosts: &mut [Client; 2], editor: &mut Editor| {
        let replies = [
            hosts[0].call("get_state", json!({})),
            hosts[0].call("get_pending_decisions", json!({})),
            hosts[1].call("get_pending_decisions", json!({})),
            editor.command("list_runs", json!({})),
            editor.command("get_pending_decisions", json!({})),
        ];
        replies.iter().map(revision).min().unwrap()
    };
    let begun = Instant::now();
    let mut rounds = 0;
    // As many as a machine under load manages in a while, and enough in any case.
    while rounds < 200 || (rounds < 3_000 && begun.elapsed() < Duration::from_secs(8)) {
        read(&mut hosts, &mut editor);
        let label = json!({"label": "a change"});
        let changed = revision(&match rounds % 3 {
            0 => hosts[0].call("save_checkpoint", label),
            1 => hosts[1].call("save_checkpoint", label),
            _ => editor.command("save_checkpoint", label),
        });
        let seen = read(&mut hosts, &mut editor);
        assert!(seen >= changed, "round {rounds}: revision {seen} was read after {changed} was heard of");
        rounds += 1;
    }
    println!("{rounds} rounds");
}

/// The same for one client that does not wait for its own change: what it reads behind it comes after it.
#[test]
fn a_read_is_not_answered_before_what_its_client_asked_for_first() {
    let sandbox = Sandbox::new();
    let mut host = Client::shaken(&sandbox, json!({}));
    let mut editor = Editor::greeted(&sandbox, json!({}));
    for round in 0..100 {
        host.call("get_pending_decisions", json!({}));
        let save = host.request("tools/call", json!({"name": "save_checkpoint", "arguments": {}}));
        let read = host.request("tools/call", json!({"name": "get_pending_decisions", "arguments": {}}));
        let saved = revision(&host.answer(save)["result"]["structuredContent"]);
        let seen = revision(&host.answer(read)["result"]["structuredContent"]);
        assert!(seen >= saved, "round {round}: {seen} behind {saved}");

        editor.command("list_runs", json!({}));
        let run = |command: &str| json!({"command": format!("orchestrator.{command}"), "arguments": [{}]});
        let save = editor.send("workspace/executeCommand", run("save_checkpoint"));
        let read = editor.send("workspace/executeCommand", run("list_runs"));
        let mut answer = |id: i64| {
            let found = editor.find("the answer", |message| message["id"] == id && message.get("method").is_none());
            revision(&found["result"])
        };
        let (saved, seen) = (answer(save), answer(read));
        assert!(seen >= saved, "round {round}: {seen} behind {saved}");
    }
}

#[test]
fn what_nobody_changed_is_answered_without_the_daemon() {
    let sandbox = Sandbox::new();
    sandbox.run_do("true", "true").exits(0);
    let mut hosts = [Client::shaken(&sandbox, json!({})), Client::inline(&sandbox, json!({}))];
    let mut editor = Editor::greeted(&sandbox, json!({}));
    let status = json!({"task_id": "T-1"});
    // What follows a run (it is tidied up after) is no matter of ours: until a second look finds the first one kept.
    let fresh = sandbox.wire().ok("get_task_status", status.clone());
    let mut first = Vec::new();
    for host in &mut hosts {
        first.push(host.call("get_task_status", status.clone()));
    }
    first.push(editor.command("get_task_status", status.clone()));
    let runs = editor.command("list_runs", json!({}));
    assert_eq!(fresh["status"], "completed");
    for reply in &first {
        assert_eq!(reply, &fresh);
    }
    {
        let still = Still::hold(&sandbox);
        for host in &mut hosts {
            assert_eq!(host.call("get_task_status", status.clone()), fresh);
        }
        assert_eq!(editor.command("get_task_status", status.clone()), fresh);
        assert_eq!(editor.command("list_runs", json!({})), runs);
        // Ids of every kind are given back as they came; progress and other words about the request are no other read.
        for id in [json!("seven"), json!("a\"b\\u00e4"), json!(-7), json!(9_007_199_254_740_993_u64)] {
            let params = json!({"name": "get_task_status", "arguments": status, "_meta": {"progressToken": id}});
            hosts[0].say(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
            let answer = hosts[0].until(|message| message["id"] == id);
            assert_eq!(answer["result"]["structuredContent"], fresh, "{answer}");
            assert_eq!(answer["result"]["isError"], false);
        }
        // However it is written.
        editor.bytes(&spaced(
            r#"{"jsonrpc": "2.0", "id": "x", "method": "workspace/executeCommand",
            "params": {"command": "orchestrator.get_task_status", "arguments": [{ "task_id" : "T-1" }]}}"#,
        ));
        assert_eq!(editor.find("its answer", |message| message["id"] == "x")["result"], fresh);
        // What was never asked waits for the daemon, and holds up nothing.
        let other = hosts[0].request("tools/call", json!({"name": "get_task_status", "arguments": {"task_id": "R-1"}}));
        assert_eq!(hosts[0].call("get_task_status", status.clone()), fresh);
        drop(still);
        assert_eq!(hosts[0].answer(other)["result"]["structuredContent"]["task_id"], "R-1");
    }
    assert_eq!(
        hosts[1].ask("tools/call", json!({"name": "get_task_status", "arguments": status}))["result"]["resultType"],
        "complete",
        "the revision without a handshake says so, kept or not"
    );
    assert_eq!(editor.leave(), 0);
}

fn spaced(body: &str) -> Vec<u8> {
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Before `initialize`, after `shutdown`, and for a client that names no revision, nothing is answered from what was kept.
#[test]
fn the_rules_of_the_protocols_hold_for_what_is_kept() {
    let sandbox = Sandbox::new();
    let mut host = Client::inline(&sandbox, json!({}));
    host.call("get_pending_decisions", json!({}));
    host.say(&json!({"jsonrpc": "2.0", "id": 77, "method": "tools/call",
        "params": {"name": "get_pending_decisions", "arguments": {}}}));
    assert_eq!(host.answer(77)["error"]["code"], -32600, "neither a handshake nor a revision");
    let mistaken = host.mistake("get_pending_decisions", json!({"x": 1}));
    assert!(mistaken.contains("has no argument `x`"), "{mistaken}");

    let mut editor = Editor::greeted(&sandbox, json!({}));
    let runs = json!({"command": "orchestrator.list_runs", "arguments": [{}]});
    editor.ok("workspace/executeCommand", runs.clone());
    editor.ok("shutdown", json!(null));
    let refused = editor.call("workspace/executeCommand", runs);
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
}

/// Whatever the dead one's clients keep is of no worth, though nobody told them: another daemon has begun meanwhile.
#[test]
fn a_daemon_that_was_killed_answers_nothing_any_more() {
    let sandbox = Sandbox::new();
    let mut host = Client::shaken(&sandbox, json!({}));
    let mut editor = Editor::greeted(&sandbox, json!({}));
    for round in 0..8 {
        host.call("get_pending_decisions", json!({}));
        editor.command("list_runs", json!({}));
        let [pid] = sandbox.daemons()[..] else { panic!("one daemon") };
        kill_9(pid);
        let saved = sandbox.run(&["checkpoint", "--json"]).exits(0).json();
        let changed = saved["at"].as_u64().or(saved["revision"].as_u64()).unwrap_or_else(|| panic!("{saved}"));
        let seen = [host.call("get_pending_decisions", json!({})), editor.command("list_runs", json!({}))];
        for seen in seen.iter().map(revision) {
            assert!(seen >= changed, "round {round}: {seen} of the dead daemon, after {changed} of the living one");
        }
    }
}

/// What depends on the time is kept until the clock's next tick, a tenth of a second: time goes on, in steps.
#[test]
fn what_runs_is_asked_for_at_each_tick() {
    let sandbox = Sandbox::new();
    let mut host = Client::shaken(&sandbox, json!({}));
    let plan = json!({"version": 1, "tasks": [{"id": "long", "kind": "shell", "run": "sleep 60", "effect": "none"}]});
    host.call("process_request", json!({"description": "wait", "plan": plan}));
    let elapsed = |host: &mut Client| {
        let status = host.call("get_task_status", json!({"task_id": "T-1"}));
        (status["status"] == "running").then(|| status["elapsed"].as_f64().unwrap())
    };
    let mut last = eventually("it runs", || elapsed(&mut host));
    // Whole ticks, time after time; read off a clock that goes on, that would be so once in a hundred times.
    let mut whole = 0;
    eventually("steps of whole ticks", || {
        let now = elapsed(&mut host).expect("it runs on");
        if now != last {
            let ticks = (now - last) * 10.0;
            whole = if ticks > 0.5 && (ticks - ticks.round()).abs() < 1e-6 { whole + 1 } else { 0 };
            last = now;
        }
        (whole >= 5).then_some(())
    });
    host.call("cancel_task", json!({"task_id": "R-1"}));
}
