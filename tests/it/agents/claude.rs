//! The real Claude Code, headless, on a scripted model: offline, and a few seconds each.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{asked, double::Model, failing, over, program};
use crate::daemon::sandbox::{Sandbox, kill_9};

/// What these tests need: Claude Code, and Python for the model and for the repository's tests.
fn needed() -> Option<(PathBuf, PathBuf)> {
    Some((program("claude", "ORCHESTRATOR_CLAUDE")?, program("python3", "ORCHESTRATOR_PYTHON")?))
}

/// A user with Claude Code, a key and a model.
struct World {
    /// First, so that it ends before the sandbox looks whether anything is left.
    model: Model,
    sandbox: Sandbox,
}

impl World {
    fn new(turns: Value) -> Option<World> {
        let (claude, python) = needed()?;
        let sandbox = Sandbox::empty();
        failing(&sandbox);
        let command = json!(claude.to_str().unwrap());
        sandbox.configure(&format!("[agents.claude]\ncommand = [{command}]\n"));
        let model = Model::start(&sandbox, &python, "model", turns);
        Some(World { model, sandbox })
    }

    /// A verb of a client that has the key.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env("ANTHROPIC_BASE_URL", &self.model.url).env("ANTHROPIC_API_KEY", "sk-ant-test-0123456789");
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> crate::daemon::sandbox::Said {
        self.sandbox.finish(self.command(arguments))
    }

    /// Everything that was kept of the conversation.
    fn transcripts(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.sandbox.workspace().join("agents")).unwrap().flatten();
        folders.map(|folder| std::fs::read_to_string(folder.path().join("transcript")).unwrap()).collect()
    }
}

fn bash(command: &str) -> Value {
    json!({"tool": "Bash", "input": {"command": command, "description": "work"}})
}

#[test]
fn the_failing_test_is_fixed_beside_another_run_with_the_daemon_killed_in_the_middle() {
    let turns = json!([
        {"content": [{"text": "I look at it."}, {"tool": "Read", "input": {"file_path": "sample.py"}}]},
        bash("git push origin main"),
        bash("sed -i 's/a - b/a + b/' sample.py"),
        {"text": "Fixed."},
    ]);
    let Some(world) = World::new(turns) else { return };
    let sandbox = &world.sandbox;
    let before = sandbox.users(&sandbox.repo);
    world.run(&["run", "fix the failing test", "--trust", "--detach"]).exits(0);
    world.run(&["run", "--do", "echo more >> notes.txt", "--verify", "true", "--detach"]).exits(0);
    // It wants to push, and that is a person's to say; while it waits, the daemon dies.
    let decision = asked(sandbox);
    assert_eq!(decision["kind"], "permission", "{decision:#}");
    assert!(decision["question"].as_str().unwrap().contains("git push"), "{decision:#}");
    // What the gate said of it comes with it.
    assert_eq!(decision["context"]["ask"]["tool"], "Bash", "{decision:#}");
    assert_eq!(decision["context"]["effects"][0]["class"], "external", "{decision:#}");
    assert!(!["", "none"].contains(&decision["policy_version"].as_str().unwrap()), "{decision:#}");
    let daemon = sandbox.daemons()[0];
    kill_9(daemon);
    sandbox.gone(daemon);
    let id = decision["decision_id"].as_str().unwrap();
    world.run(&["decide", id, "deny", "--text", "the branch is protected"]).exits(0);
    // Whatever else it asks on its way is allowed.
    let report = super::eventually("the fix", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        for decision in open["decisions"].as_array().into_iter().flatten() {
            let id = decision["decision_id"].as_str().unwrap();
            sandbox.run(&["decide", id, "allow"]);
        }
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["outcome"], "completed", "{report:#}");
    assert!(world.model.heard().contains("the branch is protected"), "the reason did not reach the model");
    assert_eq!(over(sandbox, "R-2")["outcome"], "completed");
    assert_eq!(sandbox.users(&sandbox.repo), before, "the checkout was touched before anybody said so");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert!(sandbox.read("sample.py").contains("a + b"));
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert!(sandbox.read("sample.py").contains("a - b"));
    // One attempt, not two: it went on while the daemon was dead.
    let transcripts = world.transcripts();
    assert_eq!(transcripts.len(), 1, "it was begun again");
    assert!(!transcripts[0].contains("sk-ant-test"), "a key was written down");
    let task = report["tasks"][0]["task_id"].as_str().unwrap_or("T-1").to_owned();
    let why = sandbox.run(&["why", &task]).exits(0).says("claude").says("30% free");
    // Its own last words, and that the check was red before.
    why.says(": Fixed.").says("passed; it was red on the untouched base");
    sandbox.run(&["report", "R-1"]).exits(0).says("passes now");
    sandbox.run(&["log", &task]).exits(0).says("refused: person: the branch is protected");
}

#[test]
fn its_word_completes_nothing_and_the_checks_words_are_its_next_prompt() {
    let turns = json!({
        "turns": [{"text": "All tests pass now."}],
        "routes": [{"name": "again", "when": {"any_text": "changed nothing"},
            "turns": [
                {"tool": "Write", "input": {"file_path": "wrong.txt", "content": "x"}},
                {"text": "Now they pass."}]},
            {"name": "third", "when": {"any_text": "as red as before"},
             "turns": [bash("sed -i 's/a - b/a + b/' sample.py"), {"text": "Really fixed."}]}],
    });
    let routes = turns["routes"].as_array().unwrap().clone();
    // The last thing that was said decides, so the later route stands first.
    let turns = json!({"mode": "next", "turns": turns["turns"], "routes": [routes[1], routes[0]]});
    let Some(world) = World::new(turns) else { return };
    let sandbox = &world.sandbox;
    world.run(&["run", "fix the failing test", "--trust", "--detach"]).exits(0);
    let report = super::eventually("the fix", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        for decision in open["decisions"].as_array().into_iter().flatten() {
            sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "allow"]);
        }
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["outcome"], "completed", "{report:#}");
    // The second and third went on with the first one's conversation.
    sandbox.run(&["why", "T-1"]).exits(0).says("goes on with attempt");
    let agents = sandbox.run(&["agents", "--json"]).exits(0).json();
    let claude = agents.as_array().unwrap().iter().find(|agent| agent["id"] == "claude").unwrap();
    assert_eq!(claude["record"][0]["claimed_wrongly"], 2, "{claude:#}");
    assert_eq!(claude["record"][0]["proven"], 1, "{claude:#}");
}

#[test]
fn a_change_that_breaks_what_others_build_on_comes_back_with_a_persons_words() {
    let turns = json!({
        "mode": "next",
        "turns": [bash("sed -i 's/def add(a, b)/def add(a, b, c)/; s/a - b/a + b/' sample.py; sed -i 's/2, 3/2, 3, 0/; s/0, 0/0, 0, 0/' tests/test_sample.py"),
                  {"text": "Fixed."}],
        "routes": [{"name": "again", "when": {"any_text": "sent back"},
            "turns": [bash("git checkout -q tests; sed -i 's/def add(a, b, c)/def add(a, b, c=0)/' sample.py; sed -i 's/2, 3, 0/2, 3/; s/0, 0, 0/0, 0/' tests/test_sample.py"),
                      {"text": "The third is optional now."}]}],
    });
    let Some(world) = World::new(turns) else { return };
    let sandbox = &world.sandbox;
    world.run(&["run", "fix the failing test", "--trust", "--compatible", "--detach"]).exits(0);
    let mut seen = 0;
    let report = super::eventually("the fix", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        for decision in open["decisions"].as_array().into_iter().flatten() {
            let id = decision["decision_id"].as_str().unwrap();
            match decision["kind"].as_str() {
                Some("breaking_change") => {
                    seen += 1;
                    assert!(decision["question"].as_str().unwrap().contains("`add` is altered"), "{decision:#}");
                    let words = "callers give two numbers";
                    sandbox.run(&["decide", id, "back", "--text", words]).exits(0);
                }
                _ => drop(sandbox.run(&["decide", id, "allow"])),
            }
        }
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!((report["outcome"].as_str(), seen), (Some("completed"), 1), "{report:#}");
    let heard = world.model.heard();
    for words in ["sent back", "`add` in `sample.py`", "callers give two numbers"] {
        assert!(heard.contains(words), "{words:?} did not reach the model");
    }
    assert!(sandbox.git(&["show", "orchestrator/R-1:sample.py"]).contains("def add(a, b, c=0)"));
}

#[test]
fn an_answer_of_the_service_that_is_no_answer_is_no_success_whatever_the_exit_status() {
    let error =
        json!({"error": {"status": 400, "type": "invalid_request_error", "message": "no such model"}, "repeat": true});
    let Some(world) = World::new(json!([error])) else { return };
    let plan = "version = 1\n[[tasks]]\nid = \"a\"\nkind = \"agent\"\nprompt = \"do it\"\nwrites = [\"**\"]\n\
                verify = [[\"true\"]]\nretry = { max = 1, base_s = 0.01 }\n";
    let file = world.sandbox.file("plan.toml", plan);
    let said = world.run(&["run", "--plan", file.to_str().unwrap(), "--trust"]).exits(1);
    drop(said);
    world.sandbox.run(&["why", "T-1"]).exits(0).says("no such model");
}

#[test]
fn a_rule_of_the_users_is_what_the_model_reads() {
    let turns = json!([bash("git push origin main"), bash("sed -i 's/a - b/a + b/' sample.py"), {"text": "Fixed."}]);
    let Some(world) = World::new(turns) else { return };
    let sandbox = &world.sandbox;
    let rule = "version = 1\n[[rules]]\nid = \"no-push\"\nwhen = \"command.program == 'git' and 'push' in command.argv\"\n\
                verdict = \"deny\"\nreason = \"pushing is done by the release robot\"\n";
    std::fs::write(sandbox.config.join("orchestrator/policy.toml"), rule).unwrap();
    world.run(&["run", "fix the failing test", "--trust", "--detach"]).exits(0);
    let report = over_allowing(&world, "R-1");
    assert_eq!(report["outcome"], "completed", "{report:#}");
    assert!(world.model.heard().contains("pushing is done by the release robot"), "the reason did not reach the model");
}

/// The end of a run of which every question is answered with yes.
#[track_caller]
fn over_allowing(world: &World, run: &str) -> Value {
    super::eventually("the end", || {
        let open = world.sandbox.run(&["decide", "--json"]).exits(0).json();
        for decision in open["decisions"].as_array().into_iter().flatten() {
            let question = decision["question"].as_str().unwrap();
            assert!(!question.contains("git push"), "nobody is asked what a rule forbids: {question}");
            world.sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "allow"]);
        }
        let report = world.sandbox.run(&["report", run, "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    })
}
