//! The Agent Client Protocol, every branch of it, with an agent that does as its script says: `tests/doubles/acp.py`.

use std::{io::Write, path::PathBuf, process::Stdio};

use serde_json::{Value, json};

use super::{asked, double_file, over, program};
use crate::{
    daemon::sandbox::{Said, Sandbox, eventually, kill_9, script},
    lsp::editor::{Editor, capable},
};

/// A user whose only agent plays a script.
struct World {
    sandbox: Sandbox,
}

/// Modes of which one asks.
fn modes() -> Value {
    json!({"currentModeId": "auto", "availableModes": [{"id": "default", "name": "asks"}, {"id": "auto", "name": "does not"}]})
}

impl World {
    /// `more` are further lines of the agent's part of `config.toml`.
    fn new(script: Value, more: &str) -> Option<World> {
        let sandbox = Sandbox::new();
        let world = World { sandbox };
        world.agent("double", script)?;
        world.configure(more);
        Some(world)
    }

    fn configure(&self, more: &str) {
        let command = json!([self.sandbox.root.join("double")]);
        self.sandbox.configure(&format!("[agents.double]\ndriver = \"acp\"\ncommand = {command}\n{more}\n"));
    }

    /// Makes the program, or makes it play something else.
    fn agent(&self, name: &str, play: Value) -> Option<PathBuf> {
        let python = program("python3", "ORCHESTRATOR_PYTHON")?;
        let root = &self.sandbox.root;
        let file = self.sandbox.file(&format!("{name}.json"), play.to_string());
        let path = root.join(name);
        let text = format!(
            "[ \"$1\" = --version ] && {{ echo '1.0 (double)'; exit 0; }}\n\
             exec {python} {double} --script {file} --log {root}/{name}.log --state \"$TMPDIR\"/{name}.state",
            python = python.display(),
            double = double_file("acp.py").display(),
            file = file.display(),
            root = "\"$TMPDIR\"",
        );
        script(&path, &text);
        Some(path)
    }

    fn plan(more: &str) -> String {
        format!(
            "version = 1\n[[tasks]]\nid = \"a\"\ntitle = \"Make it\"\nkind = \"agent\"\nprompt = \"do it\"\n\
             writes = [\"**\"]\nverify = [[\"test\", \"-f\", \"made.txt\"]]\n{more}\n"
        )
    }

    /// One try at a task, to its end.
    #[track_caller]
    fn run(&self, more: &str) -> Said {
        self.sandbox.run_plan(&World::plan(&format!("retry = {{ max = 0 }}\n{more}")), &[])
    }

    /// The same, going on meanwhile.
    #[track_caller]
    fn begin(&self, more: &str) {
        let file = self.sandbox.file("plan.toml", World::plan(more));
        self.sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--detach"]).exits(0);
    }

    /// What went to and fro, as the agent saw it: lines of `{"in": …}` and `{"out": …}`.
    fn wire(&self) -> Vec<Value> {
        let mut found = Vec::new();
        // SAFETY: no memory involved.
        let own = self.sandbox.root.join(format!("orchestrator-{}", unsafe { libc::geteuid() }));
        let scratch = own.join(self.sandbox.workspace().file_name().unwrap());
        for lane in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(lane.path().join("double.log")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
        found
    }

    /// The requests and notifications of one method that it was sent.
    fn heard(&self, method: &str) -> Vec<Value> {
        let wire = self.wire().into_iter().map(|line| line["in"].clone());
        wire.filter(|message| message["method"] == method).map(|message| message["params"].clone()).collect()
    }

    /// The prompts that it was given.
    fn prompts(&self) -> Vec<String> {
        let prompts = self.heard("session/prompt").into_iter();
        prompts.map(|params| params["prompt"][0]["text"].as_str().unwrap().to_owned()).collect()
    }

    fn transcript(&self, attempt: &str) -> String {
        let file = self.sandbox.workspace().join("agents").join(attempt).join("transcript");
        std::fs::read_to_string(file).unwrap_or_default()
    }

    #[track_caller]
    fn why(&self) -> Said {
        self.sandbox.run(&["why", "T-1"]).exits(0)
    }

    #[track_caller]
    fn decide(&self, arguments: &[&str]) {
        let mut all = vec!["decide"];
        all.extend(arguments);
        self.sandbox.run(&all).exits(0);
    }
}

fn made() -> Value {
    json!({"write": "made.txt", "text": "made\n"})
}

/// It asks for something that only a person can allow.
fn push(then: Value) -> Value {
    json!({"tool": "git push", "id": "p", "kind": "execute", "raw": {"command": "git push origin main"}, "then": then})
}

fn ask(then: Value) -> Value {
    json!({"ask": "git push", "id": "p", "kind": "execute", "raw": {"command": "git push origin main"}, "then": then})
}

#[test]
fn a_task_is_done_by_the_protocol_its_mode_set_and_its_words_shown() {
    let steps = json!([
        {"think": "hm"}, {"plan": [["look", "completed"], ["make", "in_progress"]]}, {"say": "I look "}, {"say": "at it.\nNow "},
        {"say": "I make it."}, push(Value::Null), {"tool_done": "p"}, made(), {"usage": {"used": 120, "cost": 0.25}}, {"say": "Made."}]);
    let Some(world) = World::new(json!({"prompts": [steps], "modes": modes()}), "mode = \"default\"") else { return };
    world.run("").exits(0);
    let new = &world.heard("session/new")[0];
    assert!(new["cwd"].as_str().unwrap().contains("/lanes/L-"), "{new:#}");
    assert_eq!(new["mcpServers"][0]["name"], "orchestrator");
    assert_eq!(new["mcpServers"][0]["args"], json!(["--mcp"]));
    assert_eq!(world.heard("session/set_mode")[0]["modeId"], "default");
    assert!(world.prompts()[0].contains("do it"));
    // Files and terminals are not offered.
    let able = &world.heard("initialize")[0]["clientCapabilities"];
    assert_eq!(able, &json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false}));
    // What it says is a line when it is one, not one word a line.
    world.sandbox.run(&["log", "T-1"]).exits(0).says("I look at it.\nNow I make it.\n· execute git push origin main\n");
    let status = world.sandbox.wire().ok("get_task_status", json!({"task_id": "T-1"}));
    assert_eq!(status["cost"]["usd"], 0.25, "{status:#}");
    world.sandbox.run(&["agents"]).exits(0).says("double").says("acp").says("1.0 (double)");
}

#[test]
fn what_it_asks_for_is_allowed_or_refused_and_the_reason_reaches_it() {
    // In the lane: at once, without anybody.
    let inside = json!({"ask": "touch made.txt", "id": "t", "kind": "execute", "raw": {"command": "touch made.txt"},
        "then": {"allow_once": [made()]}});
    // Outside: a person, who says yes to the first and no to the second.
    let first = ask(json!({"allow_once": [{"say": "pushed "}], "reject_once": [{"say": "not pushed "}]}));
    let second = json!({"ask": "release", "id": "r", "kind": "execute", "raw": {"command": "gh release create v1"},
        "then": {"allow_once": [{"say": "released "}], "reject_once": [{"stop": "cancelled"}]}});
    let Some(world) = World::new(json!({"prompts": [[inside, first, second], [{"say": "I see."}]]}), "") else {
        return;
    };
    world.begin("");
    let decision = asked(&world.sandbox);
    assert_eq!(decision["context"]["ask"]["tool"], "execute", "{decision:#}");
    assert!(decision["question"].as_str().unwrap().contains("git push origin main"), "{decision:#}");
    world.decide(&[decision["decision_id"].as_str().unwrap(), "allow"]);
    let second = eventually("the second question", || {
        let second = asked(&world.sandbox);
        (second["decision_id"] != decision["decision_id"]).then_some(second)
    });
    world.decide(&[second["decision_id"].as_str().unwrap(), "deny", "--text", "releases are made on Mondays"]);
    assert_eq!(over(&world.sandbox, "R-1")["outcome"], "completed");
    // It ended its turn at the no; the protocol has no place for a reason, so it is told in the next turn.
    let prompts = world.prompts();
    assert_eq!(prompts.len(), 2, "{prompts:#?}");
    assert!(prompts[1].contains("releases are made on Mondays"), "{prompts:#?}");
    let answers: Vec<Value> = world.wire().into_iter().map(|line| line["in"]["result"]["outcome"].clone()).collect();
    let chosen: Vec<&str> = answers.iter().filter_map(|outcome| outcome["optionId"].as_str()).collect();
    assert_eq!(chosen, ["allow", "allow", "no"], "never `always`");
}

#[test]
fn a_user_rule_is_the_reason_that_it_hears() {
    let steps = json!([ask(json!({"reject_once": [{"stop": "end_turn"}]}))]);
    let Some(world) = World::new(json!({"prompts": [steps, [made()]]}), "") else { return };
    let rule = "version = 1\n[[rules]]\nid = \"no-push\"\nwhen = \"command.program == 'git' and 'push' in command.argv\"\n\
                verdict = \"deny\"\nreason = \"pushing is done by the release robot\"\n";
    std::fs::write(world.sandbox.config.join("orchestrator/policy.toml"), rule).unwrap();
    world.run("").exits(0);
    assert!(world.prompts()[1].contains("pushing is done by the release robot"), "{:#?}", world.prompts());
}

#[test]
fn nobody_waits_for_ever_and_the_conversation_goes_on_when_somebody_has_answered() {
    let steps = json!([ask(json!({"allow_once": [made()], "reject_once": [{"say": "Then later."}]}))]);
    let Some(world) = World::new(json!({"prompts": [steps, [{"say": "I stop here."}], steps]}), "") else { return };
    let sandbox = &world.sandbox;
    let clock = sandbox.file("clock", "0");
    let mut start = sandbox.command(&["daemon", "start"]);
    start.env("ORCHESTRATOR_TEST_CLOCK", &clock);
    sandbox.finish(start).exits(0);
    world.begin("");
    let decision = asked(sandbox);
    std::fs::write(&clock, "660000").unwrap();
    // Eleven minutes later it is told "not now", says that it stops, and its task is parked; the question stays.
    let mut wire = sandbox.wire();
    eventually("the task to be parked", || {
        let task = wire.ok("get_task_status", json!({"task_id": "T-1"}));
        (task["status"] == "waiting_decision" && sandbox.jobs().is_empty()).then_some(())
    });
    assert!(world.prompts()[1].contains("Not now"), "{:#?}", world.prompts());
    assert_eq!(asked(sandbox)["decision_id"], decision["decision_id"]);
    world.decide(&[decision["decision_id"].as_str().unwrap(), "allow"]);
    assert_eq!(over(sandbox, "R-1")["outcome"], "completed");
    // By its number, in a new process; it asked again, and the answer stood.
    let resumed = &world.heard("session/resume")[0];
    let id =
        world.wire().iter().find_map(|line| line["out"]["result"]["sessionId"].as_str().map(str::to_owned)).unwrap();
    assert_eq!(resumed["sessionId"], id, "{resumed:#}");
    assert!(world.prompts()[2].contains("was answered: allow"), "{:#?}", world.prompts());
}

#[test]
fn a_conversation_that_is_gone_begins_anew_with_the_whole_task() {
    let can = json!({"loadSession": true, "sessionCapabilities": {}});
    let play = json!({"prompts": [[{"say": "Done."}], [made()]], "capabilities": can, "load_error": [-32002, "no such session"]});
    let Some(world) = World::new(play, "") else { return };
    // It said "done" and changed nothing: the second try would go on, and cannot.
    world.sandbox.run_plan(&World::plan("retry = { max = 1, base_s = 0.01 }"), &[]).exits(1);
    assert_eq!(world.heard("session/load").len(), 1);
    let prompts = world.prompts();
    assert!(prompts[1].contains("do it") && prompts[1].contains("changed nothing"), "{prompts:#?}");
}

#[test]
fn it_works_in_no_mode_in_which_it_would_not_ask() {
    for (modes, set, config, said) in [
        (
            json!({"currentModeId": "auto", "availableModes": [{"id": "auto"}]}),
            "works",
            "",
            "it would not ask before it acts (mode auto)",
        ),
        (modes(), "fails", "mode = \"default\"", "the mode could not be set: no such mode"),
        (modes(), "lies", "mode = \"default\"", "it would not ask before it acts (mode auto)"),
        (modes(), "works", "mode = \"careful\"", "it has no mode careful, but: default, auto"),
    ] {
        let play = json!({"prompts": [[{"sleep_s": 30}, made()]], "modes": modes, "set_mode": set});
        let Some(world) = World::new(play, config) else { return };
        world.run("").exits(1);
        world.why().says(said);
    }
    // One that says nothing of it afterwards is believed.
    let play = json!({"prompts": [[made()]], "modes": modes(), "set_mode": "quiet"});
    let Some(world) = World::new(play, "mode = \"default\"") else { return };
    world.run("").exits(0);
}

#[test]
fn silence_and_time_end_it_whether_it_listens_or_not() {
    for step in [json!({"sleep_s": 600}), json!({"deaf_s": 600})] {
        let Some(world) = World::new(json!({"prompts": [[step]], "stays": true}), "") else { return };
        world.run("silence_s = 1").exits(1);
        world.why().says("silent");
    }
    let Some(world) = World::new(json!({"prompts": [[{"flood": 100000000, "bytes": 10}]]}), "") else { return };
    world.run("timeout_s = 2").exits(1);
    world.why().says("timeout");
}

#[test]
fn a_flood_of_fifty_thousand_updates_is_bounded_in_memory_and_on_disk_and_what_counts_in_it_is_kept() {
    let steps = json!([
        {"flood": 25000, "bytes": 1000}, {"tool": "make", "id": "m", "kind": "edit", "raw": {"path": "made.txt"}}, made(), {"tool_done": "m"},
        {"flood": 25000, "bytes": 1000}, {"usage": {"used": 777, "cost": 0.5}}, {"say": "The last words."}]);
    let Some(world) = World::new(json!({"prompts": [steps]}), "") else { return };
    world.begin("retry = { max = 0 }");
    // The most that host and daemon had in memory, KiB, looked at while it floods.
    let mut most = 0;
    let report = eventually("the end of the flood", || {
        for process in world
            .sandbox
            .processes()
            .iter()
            .filter(|process| process.is_daemon() || process.command.contains("agent-host"))
        {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
            most = most.max(peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0));
        }
        let report = world.sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["outcome"], "completed", "{report:#}");
    let status = world.sandbox.wire().ok("get_task_status", json!({"task_id": "T-1"}));
    assert_eq!(status["cost"]["usd"], 0.5, "{status:#}");
    let transcript = world.sandbox.workspace().join("agents/T-1.1/transcript").metadata().unwrap().len();
    let log = world.sandbox.workspace().join("logs/T-1.1.log").metadata().map_or(0, |file| file.len());
    println!(
        "50,000 updates of 1 KB: at most {} MiB in memory, transcript {} MiB, log {} MiB",
        most >> 10,
        transcript >> 20,
        log >> 20
    );
    assert!((1..300 << 10).contains(&most), "{most} KiB");
    assert!((16 << 20..20 << 20).contains(&transcript), "{transcript} bytes of transcript");
    assert!(log < 20 << 20, "{log} bytes of log");
    // What came after the transcript was full is the same for whoever reads it again.
    assert!(world.transcript("T-1.1").contains("The last words."), "its last words are lost");
}

#[test]
fn what_nobody_knows_and_what_is_no_message_at_all_does_no_harm() {
    let steps = json!([
        {"update": {"sessionUpdate": "hologram", "deep": [{"x": 1}]}}, {"update": {}}, {"notify": "_vendor/thing", "params": {"a": 1}},
        {"garbage": "Warning: something"}, {"garbage": "{\"half\": "}, {"garbage": "[1,2]"}, {"garbage": "\u{1b}[31mred"}, {"garbage": "{}"},
        {"garbage": "{\"jsonrpc\":\"2.0\",\"id\":999,\"result\":{\"stopReason\":\"end_turn\"}}"}, {"stderr": "complaint"},
        // Neither is offered, and neither is left without an answer.
        {"request": "fs/write_text_file", "params": {"path": "/etc/made", "content": "x"}},
        {"request": "terminal/create", "params": {"command": "ls"}},
        {"request": "session/elicit", "params": {}},
        made()]);
    let Some(world) = World::new(json!({"prompts": [steps]}), "") else { return };
    world.run("").exits(0);
    let log = world.sandbox.run(&["log", "T-1"]).exits(0);
    for method in ["fs/write_text_file", "terminal/create", "session/elicit"] {
        assert!(log.all().contains(&format!("answer to {method}: {{\"code\": -32601")), "{}", log.all());
    }
}

#[test]
fn an_offer_with_odd_options_is_answered_all_the_same() {
    let odd = json!([["a", "Perhaps", "ask_my_mother"], ["b", "Always", "allow_always"], ["c", "Once", "allow_once"]]);
    let first = json!({"ask": "touch", "id": "t", "kind": "execute", "raw": {"command": "touch a"}, "options": odd,
        "then": {"allow_once": [made()]}});
    // Only for good: that is not said to an agent, and it hears why.
    let only = json!({"ask": "touch", "id": "u", "kind": "execute", "raw": {"command": "touch b"},
        "options": [["b", "Always", "allow_always"]], "then": {"allow_once": [{"exit": 1}], "cancelled": [{"stop": "cancelled"}]}});
    let Some(world) = World::new(json!({"prompts": [[first, only], [{"say": "Fine."}]]}), "") else { return };
    world.run("").exits(0);
    assert!(world.prompts()[1].contains("offered no such answer"), "{:#?}", world.prompts());
}

#[test]
fn a_crash_with_a_question_open_loses_neither_the_task_nor_the_answer() {
    let crash = json!([{"crash_asking": "git push", "raw": {"command": "git push origin main"}}]);
    let again = json!([ask(json!({"allow_once": [made()], "reject_once": [{"say": "no"}]}))]);
    let Some(world) = World::new(json!({"prompts": [crash, again]}), "") else { return };
    world.begin("retry = { max = 2, base_s = 0.01 }");
    let first = eventually("the question of the second try", || {
        let open = world.sandbox.run(&["decide", "--json"]).exits(0).json();
        let open = open["decisions"].as_array()?.first()?.clone();
        (open["context"]["attempt"] != "T-1.1").then_some(open)
    });
    world.decide(&[first["decision_id"].as_str().unwrap(), "allow"]);
    assert_eq!(over(&world.sandbox, "R-1")["outcome"], "completed");
    // The process that crashed left a conversation, which was gone on with.
    assert_eq!(world.heard("session/resume").len(), 1);
}

#[test]
fn an_agent_that_stays_when_its_input_ends_is_made_to_go() {
    let Some(world) = World::new(json!({"prompts": [[made()]], "stays": true}), "") else { return };
    world.run("").exits(0);
    assert!(world.sandbox.jobs().is_empty());
}

#[test]
fn how_a_turn_ends_is_told_apart_and_an_exit_status_of_zero_is_no_success() {
    for (steps, said) in [
        (json!([made(), {"say": "I will not do that."}, {"stop": "refusal"}]), "I will not do that."),
        (json!([made(), {"stop": "cancelled"}]), "its turn was cancelled"),
        (
            json!([made(), {"error": [-32603, "Internal error", {"details": "the model is overheated"}]}]),
            "the model is overheated",
        ),
        (json!([made(), {"exit": 0}]), "ended without saying"),
        (json!([made(), {"exit": 3}]), "exit:3"),
    ] {
        let Some(world) = World::new(json!({"prompts": [steps]}), "") else { return };
        world.run("").exits(1);
        world.why().says(said);
    }
    // Not even made a session, with the words that help.
    let play = json!({"new_error": [-32000, "Authentication required: run `double login`"]});
    let Some(world) = World::new(play, "") else { return };
    world.run("").exits(1);
    world.why().says("run `double login`");
    let Some(world) = World::new(json!({"initialize": {"protocolVersion": 2}}), "") else { return };
    world.run("").exits(1);
    world.why().says("version 2 of the Agent Client Protocol");
}

#[test]
fn a_turn_that_grew_too_long_is_a_question_of_budget() {
    let Some(world) = World::new(json!({"prompts": [[made(), {"stop": "max_tokens"}]]}), "") else { return };
    world.begin("retry = { max = 0 }");
    let decision = asked(&world.sandbox);
    assert_eq!(decision["kind"], "budget", "{decision:#}");
    world.decide(&[decision["decision_id"].as_str().unwrap(), "stop"]);
    assert_eq!(over(&world.sandbox, "R-1")["outcome"], "failed");
}

#[test]
fn money_that_it_reports_ends_it_at_its_limit() {
    let steps = json!([made(), {"usage": {"used": 10, "cost": 1.6}}, {"sleep_s": 600}]);
    let Some(world) = World::new(json!({"prompts": [steps]}), "\n[budget]\nrun_usd = 1.0") else { return };
    world.begin("retry = { max = 0 }");
    let decision = asked(&world.sandbox);
    assert_eq!(decision["kind"], "budget", "{decision:#}");
    assert!(world.heard("session/cancel").len() == 1, "it was not asked to stop first");
    world.decide(&[decision["decision_id"].as_str().unwrap(), "stop"]);
    over(&world.sandbox, "R-1");
}

#[test]
fn an_empty_account_is_left_alone_until_its_reset() {
    let error =
        json!({"error": [-32603, "You've hit your usage limit", {"codexErrorInfo": {"resets_at": 4_000_000_000u64}}]});
    let Some(world) = World::new(json!({"prompts": [[error]]}), "account = \"shared\"") else { return };
    world.begin("");
    let agent = eventually("the account to be limited", || {
        let agents = world.sandbox.run(&["agents", "--json"]).exits(0).json();
        let double = agents.as_array()?.iter().find(|agent| agent["id"] == "double")?.clone();
        (double["state"] == "LIMITED").then_some(double)
    });
    assert!(agent["limited_until"].as_str().unwrap().starts_with("2096-"), "{agent:#}");
    world.sandbox.run(&["agents"]).exits(0).says("limited");
    world.sandbox.run(&["cancel", "R-1"]).exits(0);
}

#[test]
fn a_task_that_is_cancelled_takes_its_agent_and_its_question_along() {
    for step in [ask(json!({})), json!({"sleep_s": 600}), json!({"deaf_s": 600})] {
        let asks = step.get("ask").is_some();
        let Some(world) = World::new(json!({"prompts": [[{"say": "begun\n"}, step]]}), "") else { return };
        world.begin("");
        eventually("its first words", || world.transcript_there().then_some(()));
        if asks {
            asked(&world.sandbox);
        }
        world.sandbox.run(&["cancel", "T-1"]).exits(0);
        let report = over(&world.sandbox, "R-1");
        assert_eq!(report["tasks"][0]["status"], "cancelled", "{report:#}");
        assert!(world.sandbox.jobs().is_empty(), "{:#?}", world.sandbox.jobs());
        let open = world.sandbox.run(&["decide", "--json"]).exits(0).json();
        assert_eq!(open["decisions"], json!([]), "{open:#}");
    }
}

impl World {
    fn transcript_there(&self) -> bool {
        let folder = self.sandbox.state.join("orchestrator/workspaces");
        let mut found = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found.any(|entry| {
            let text = std::fs::read_to_string(entry.path().join("agents/T-1.1/transcript")).unwrap_or_default();
            text.contains("begun")
        })
    }
}

#[test]
fn a_daemon_that_is_killed_with_a_question_open_is_followed_by_one_that_hands_the_answer_on() {
    let Some(world) = World::new(json!({"prompts": [[ask(json!({"allow_once": [made()]}))]]}), "") else { return };
    world.begin("");
    let decision = asked(&world.sandbox);
    let daemon = world.sandbox.daemons()[0];
    kill_9(daemon);
    world.sandbox.gone(daemon);
    world.decide(&[decision["decision_id"].as_str().unwrap(), "allow"]);
    assert_eq!(over(&world.sandbox, "R-1")["outcome"], "completed");
    assert_eq!(world.prompts().len(), 1, "it was begun again");
}

#[test]
fn a_run_that_is_forgotten_takes_its_conversations_along() {
    let Some(world) = World::new(json!({"prompts": [[made()]]}), "\n[state]\nkeep_runs = 1\nkeep_days = 0") else {
        return;
    };
    for _ in 0..3 {
        world.run("").exits(0);
    }
    let agents = world.sandbox.workspace().join("agents");
    eventually("the first conversation to go", || (!agents.join("T-1.1").exists()).then_some(()));
    assert!(agents.join("T-3.1/transcript").is_file(), "the last one's is kept");
}

#[test]
fn a_model_is_set_or_said_to_be_missing() {
    let Some(world) = World::new(json!({"prompts": [[made()]]}), "model = \"huge\"") else { return };
    world.run("").exits(1);
    world.why().says("it offers no choice of models");
}

#[test]
fn what_a_person_remembered_for_an_agent_holds_for_claude_codes_own_sessions_while_a_daemon_runs() {
    let lint = json!({"ask": "make lint", "id": "l", "kind": "execute", "raw": {"command": "make lint"},
        "then": {"allow_once": [made()], "reject_once": [made()]}});
    let more = "sandbox = \"none\"\n[decisions]\nprobation = false";
    let Some(world) = World::new(json!({"prompts": [[lint], [made()]]}), more) else { return };
    let sandbox = &world.sandbox;
    let hook = |line: &str| {
        let asked = json!({
            "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": line},
            "cwd": sandbox.repo, "permission_mode": "default",
        });
        let mut child =
            sandbox.command(&["hook", "permission"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(asked.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
        let part = |name: &str| answer["hookSpecificOutput"][name].as_str().unwrap().to_owned();
        (part("permissionDecision"), part("permissionDecisionReason"))
    };
    world.begin("");
    let decision = asked(sandbox);
    let id = decision["decision_id"].as_str().unwrap();
    assert_eq!(decision["remembers"]["sort"], "Bash make", "{decision:#}");
    assert_eq!(hook("make lint").0, "ask", "nothing is remembered yet");
    // In an editor it is one of the code actions where the question is shown, after those that hold once.
    let mut editor = Editor::greeted(sandbox, capable());
    let uri = editor.open(sandbox, "README.md", None);
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
    let lasting = eventually("the code action", || {
        let params = json!({"textDocument": {"uri": uri}, "range": range, "context": {"diagnostics": []}});
        let actions = editor.ok("textDocument/codeAction", params);
        let of_kind =
            |action: &&Value| action["title"].as_str().is_some_and(|title| title.ends_with("for `Bash make`"));
        actions.as_array().unwrap().iter().rfind(of_kind).cloned()
    });
    assert!(lasting["title"].as_str().unwrap().contains("from now on"), "{lasting}");
    let command = &lasting["command"];
    assert_eq!(command["command"], "orchestrator.submit_decision", "{lasting}");
    editor.command("submit_decision", command["arguments"][0].clone());
    sandbox.run(&["decisions", "history"]).exits(0).says("never Bash make");
    assert_eq!(editor.leave(), 0);
    assert_eq!(over(sandbox, "R-1")["outcome"], "completed");
    // A busy machine may leave it without the daemon's word: then rules alone answer, and it is asked again.
    let refused = eventually("the daemon's word", || Some(hook("make lint")).filter(|(word, _)| word == "deny"));
    assert!(refused.1.contains("never-1"), "{refused:?}");
    assert_eq!(hook("ls").0, "allow");
    assert_eq!(hook("npm run lint").0, "ask", "what is not of that kind");
    // What it was told counts, apart from what runs did; what only looks was never left open. One that a busy machine
    // left without the daemon counts nowhere, so it is asked until it does.
    let outside = eventually("the count", || {
        assert_eq!(hook("npm run lint").0, "ask");
        let outside = sandbox.run(&["report", "--decisions", "--json"]).exits(0).json()["outside"].take();
        (outside["denied"].as_u64() >= Some(1) && outside["asked"].as_u64() >= Some(2)).then_some(outside)
    });
    assert_eq!(outside["allowed"], 0, "{outside}");
    sandbox.run(&["decisions", "history"]).exits(0).says("denied by rule").says("outside");
    sandbox.run(&["report", "--decisions"]).exits(0).says("Claude Code's own sessions");
    // It is one commit: the answer, and what it is remembered as.
    let journal = sandbox.run(&["journal", "export"]).exits(0).out;
    let commit = journal.lines().find(|line| line.contains("decision.answered")).expect("the answer");
    assert!(commit.contains("rule.remembered"), "{commit}");
    // Visible, and revocable; and without a daemon it is a question again.
    sandbox.run(&["decisions", "history"]).exits(0).says("never-1");
    sandbox.run(&["policy", "list"]).exits(0).says("never-1");
    sandbox.run(&["policy", "forget", "never-1"]).exits(0).says("never-1");
    assert_eq!(hook("make lint").0, "ask");
    sandbox.run(&["decide", id, "deny", "--remember", "always"]).exits(0);
    sandbox.run(&["daemon", "stop"]).exits(0);
    assert_eq!(hook("make lint").0, "ask", "rules alone");
}

#[test]
fn keys_that_died_with_the_daemon_are_waited_for_until_a_client_brings_them() {
    let go = tempfile::NamedTempFile::new().unwrap();
    std::fs::remove_file(go.path()).unwrap();
    let first = json!([{"wait_file": go.path()}, made()]);
    let second = json!([{"env": "DOUBLE_KEY"}, {"write": "b.txt", "text": "b\n"}]);
    let Some(world) = World::new(json!({"prompts": [first]}), "env = [\"DOUBLE_KEY\"]") else { return };
    let plan = "[[tasks]]\nid = \"b\"\ntitle = \"Then this\"\nkind = \"agent\"\nprompt = \"b\"\nneeds = [\"a\"]\n\
                writes = [\"**\"]\nverify = [[\"test\", \"-f\", \"b.txt\"]]\n";
    let file = world.sandbox.file("plan.toml", World::plan(plan));
    let mut command = world.sandbox.command(&["run", "--plan", file.to_str().unwrap(), "--detach"]);
    command.env("DOUBLE_KEY", "a-key-that-nobody-writes-down");
    world.sandbox.finish(command).exits(0);
    eventually("the first agent to begin", || (!world.prompts().is_empty()).then_some(()));
    world.agent("double", json!({"prompts": [second]}));
    let daemon = world.sandbox.daemons()[0];
    kill_9(daemon);
    world.sandbox.gone(daemon);
    // The agent that runs has its key and goes on; the one to come needs it.
    std::fs::write(go.path(), "").unwrap();
    let decision = asked(&world.sandbox);
    assert_eq!(decision["kind"], "needs_env", "{decision:#}");
    assert_eq!(decision["blocks"], json!(["T-2"]), "{decision:#}");
    assert!(decision["question"].as_str().unwrap().contains("DOUBLE_KEY"), "{decision:#}");
    let why = world.sandbox.run(&["why", "T-2"]).exits(0).all();
    assert!(why.contains("needs DOUBLE_KEY again"), "{why}");
    world.sandbox.run(&["status"]).exits(0).says("needs DOUBLE_KEY again");
    // Whoever has it brings it along, whatever they ask for.
    let mut command = world.sandbox.command(&["status"]);
    command.env("DOUBLE_KEY", "a-key-that-nobody-writes-down");
    world.sandbox.finish(command).exits(0);
    let report = over(&world.sandbox, "R-1");
    assert_eq!(report["outcome"], "completed", "{report:#}");
    let open = world.sandbox.run(&["decide", "--json"]).exits(0).json();
    assert_eq!(open["decisions"], json!([]), "{open:#}");
    let key = "a-key-that-nobody-writes-down";
    assert!(world.wire().iter().any(|line| line["out"].to_string().contains(key)), "its agent has the key");
    assert!(!world.transcript("T-2.2").contains(key), "and nobody wrote it down");
}
