//! Agents that misbehave, each a few lines of shell that speak just enough of Claude Code's language.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::over;
use crate::daemon::sandbox::{Sandbox, eventually, kill_9, script};

const INIT: &str = r#"echo '{"type":"system","subtype":"init","session_id":"s-1"}'"#;
const DONE: &str = r#"echo '{"type":"result","subtype":"success","is_error":false,"result":"Done.","total_cost_usd":0.01,"usage":{"input_tokens":10,"output_tokens":5}}'"#;

/// A user whose only agent is this script.
fn world(body: &str, config: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let program = agent(&sandbox, "agent", body);
    let command = json!(program.to_str().unwrap());
    sandbox.configure(&format!("[agents.claude]\ncommand = [{command}]\n{config}"));
    sandbox
}

fn agent(sandbox: &Sandbox, name: &str, body: &str) -> PathBuf {
    let path = sandbox.root.join(name);
    let version = r#"[ "$1" = --version ] && { echo "1.0 (double)"; exit 0; }"#;
    script(&path, &format!("#!/bin/sh\n{version}\n{INIT}\n{body}\n"));
    path
}

fn plan(checks: &str, more: &str) -> String {
    format!(
        "version = 1\n[[tasks]]\nid = \"a\"\nkind = \"agent\"\nprompt = \"do it\"\nwrites = [\"**\"]\nverify = {checks}\n\
         retry = {{ max = 0 }}\n{more}\n"
    )
}

fn outcome(sandbox: &Sandbox) -> Value {
    over(sandbox, "R-1")
}

#[test]
fn everything_it_does_by_shell_is_taken_or_undone_as_a_whole_and_nothing_of_the_user_changes() {
    let body = format!(
        "git stash >/dev/null 2>&1; git stash pop >/dev/null 2>&1
git reset --hard >/dev/null 2>&1
sed -i s/one/ONE/ README.md
cat > new.txt <<'END'
made here
END
mkdir deep; mv src/lib.txt deep/lib.txt; rmdir src
chmod +x new.txt; ln -s new.txt link
git branch -D main >/dev/null 2>&1; git tag sneaky >/dev/null 2>&1; git config user.name evil >/dev/null 2>&1
echo evil >> {{REPO}}/README.md
(trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 600' >/dev/null 2>&1 &)
(trap '' TERM; sleep 600 >/dev/null 2>&1 &)
{DONE}"
    );
    let sandbox = world("", "");
    let body = body.replace("{REPO}", sandbox.repo.to_str().unwrap());
    agent(&sandbox, "agent", &body);
    sandbox.write("README.md", "one\ntwo\nthree\nof the user, unsaved anywhere\n");
    let before = sandbox.users(&sandbox.repo);
    let files = bytes(&sandbox);
    let config = std::fs::read_to_string(sandbox.repo.join(".git/config")).unwrap();
    sandbox
        .run_plan(&plan("[[\"test\", \"-x\", \"new.txt\"], [\"test\", \"-f\", \"deep/lib.txt\"]]", ""), &[])
        .exits(0);
    assert_eq!(sandbox.users(&sandbox.repo), before, "something of the user's changed");
    assert_eq!(std::fs::read_to_string(sandbox.repo.join(".git/config")).unwrap(), config);
    assert!(!sandbox.read("README.md").contains("evil"), "the sandbox did not hold");
    let left: Vec<_> = sandbox.jobs();
    assert!(left.is_empty(), "processes are left: {left:#?}");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("new.txt"), "made here\n");
    assert!(sandbox.read("README.md").starts_with("ONE\n") && sandbox.read("README.md").contains("of the user"));
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.users(&sandbox.repo), before, "undo did not bring everything back");
    let changed: Vec<_> = bytes(&sandbox).into_iter().filter(|file| !files.contains(file)).map(|file| file.0).collect();
    assert!(changed.is_empty() && bytes(&sandbox).len() == files.len(), "not byte-identical: {changed:?}");
}

#[test]
fn a_liar_never_completes_and_it_counts_in_its_record() {
    let sandbox = world(DONE, "");
    sandbox.run_plan(&plan("[[\"true\"]]", ""), &[]).exits(1);
    let agents = sandbox.run(&["agents", "--json"]).exits(0).json();
    let record = &agents.as_array().unwrap().iter().find(|agent| agent["id"] == "claude").unwrap()["record"][0];
    assert_eq!((&record["judged"], &record["claimed_wrongly"]), (&json!(1), &json!(1)), "{agents:#}");
}

#[test]
fn garbage_is_no_success() {
    let sandbox = world("echo 'not JSON at all'; echo x > made.txt; exit 0", "");
    sandbox.run_plan(&plan("[[\"true\"]]", ""), &[]).exits(1);
    sandbox.run(&["why", "T-1"]).exits(0).says("ended without saying");
}

#[test]
fn silence_is_ended_and_its_work_is_kept_for_the_next() {
    let body =
        format!("if [ -f part.txt ]; then echo rest >> part.txt; {DONE}; else echo part > part.txt; sleep 600; fi");
    let sandbox = world(&body, "");
    let more = "silence_s = 1\nretry = { max = 1, base_s = 0.01 }";
    let plan = plan("[[\"grep\", \"-q\", \"rest\", \"part.txt\"]]", "").replace("retry = { max = 0 }\n", "") + more;
    sandbox.run_plan(&plan, &[]).exits(0);
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("part.txt"), "part\nrest\n");
}

#[test]
fn a_flood_is_kept_and_a_daemon_that_is_killed_meanwhile_finds_it_going_on() {
    let line = r#"{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"word"}]}}"#;
    let body = format!(
        "i=0; while [ $i -lt 20000 ]; do echo '{line}'; i=$((i+1)); done; while [ ! -e {{GO}} ]; do sleep 0.05; done; \
         echo x > made.txt; {DONE}"
    );
    let sandbox = world("", "");
    let go = sandbox.root.join("go");
    agent(&sandbox, "agent", &body.replace("{GO}", go.to_str().unwrap()));
    let file = sandbox.file("plan.toml", plan("[[\"test\", \"-f\", \"made.txt\"]]", ""));
    sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--detach"]).exits(0);
    let transcript = eventually("the flood", || {
        let file = sandbox.state.join("orchestrator/workspaces").read_dir().ok()?.flatten().next()?.path();
        let text = std::fs::read_to_string(file.join("agents/T-1.1/transcript")).ok()?;
        (text.lines().filter(|line| line.contains("word")).count() == 20_000).then_some(text)
    });
    assert!(transcript.len() > 1 << 20);
    let daemon = sandbox.daemons()[0];
    kill_9(daemon);
    sandbox.gone(daemon);
    std::fs::write(&go, "").unwrap();
    assert_eq!(outcome(&sandbox)["outcome"], "completed");
    assert!(!sandbox.run(&["why", "T-1"]).all().contains("attempt 2"));
}

#[test]
fn an_agent_that_stays_after_its_turn_is_made_to_go() {
    let sandbox = world(&format!("echo x > made.txt; {DONE}; trap '' TERM; while :; do sleep 1; done"), "");
    sandbox.run_plan(&plan("[[\"test\", \"-f\", \"made.txt\"]]", ""), &[]).exits(0);
}

#[test]
fn a_quota_parks_the_account_and_a_limit_of_attempts_asks() {
    let limit = r#"echo '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":4000000000}}'"#;
    let error = r#"echo '{"type":"result","subtype":"success","is_error":true,"result":"Limit reached"}'; exit 1"#;
    let sandbox = world(&format!("{limit}; {error}"), "");
    let file = sandbox.file("plan.toml", plan("[[\"true\"]]", ""));
    sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--detach"]).exits(0);
    eventually("the account to be limited", || {
        let agents = sandbox.run(&["agents", "--json"]).exits(0).json();
        let claude = agents.as_array()?.iter().find(|agent| agent["id"] == "claude")?.clone();
        (claude["state"] == "LIMITED").then_some(claude)
    });
    sandbox.run(&["cancel", "R-1"]).exits(0);

    let sandbox = world("echo x > made.txt; exit 1", "[budget]\nrun_spawns = 1\n");
    let more = "retry = { max = 3, base_s = 0.01 }";
    let plan = plan("[[\"true\"]]", "").replace("retry = { max = 0 }\n", "") + more;
    let file = sandbox.file("plan.toml", plan);
    sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--detach"]).exits(0);
    let decision = super::asked(&sandbox);
    assert_eq!(decision["kind"], "budget", "{decision:#}");
    sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "stop"]).exits(0);
    assert_eq!(outcome(&sandbox)["outcome"], "failed");
}

/// The index and every file of the checkout, byte by byte.
fn bytes(sandbox: &Sandbox) -> Vec<(PathBuf, Vec<u8>, u32)> {
    fn walk(folder: &std::path::Path, found: &mut Vec<(PathBuf, Vec<u8>, u32)>) {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() && path.file_name().is_some_and(|name| name != ".git") {
                walk(&path, found);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.push((path, target.into_os_string().into_encoded_bytes(), 0));
            } else if kind.is_file() {
                let mode = entry.metadata().unwrap().permissions().mode();
                found.push((path.clone(), std::fs::read(path).unwrap(), mode));
            }
        }
    }
    let mut found = Vec::new();
    walk(&sandbox.repo, &mut found);
    found.push((PathBuf::from("index"), std::fs::read(sandbox.repo.join(".git/index")).unwrap(), 0));
    found.sort();
    found
}

#[test]
fn a_liar_that_deletes_the_failing_test_never_completes() {
    let body = format!("rm tests/test_sample.py; {DONE}");
    let sandbox = Sandbox::empty();
    super::failing(&sandbox);
    let program = agent(&sandbox, "agent", &body);
    let command = json!(program.to_str().unwrap());
    sandbox.configure(&format!("[agents.claude]\ncommand = [{command}]\n"));
    if super::program("python3", "ORCHESTRATOR_PYTHON").is_none() {
        return;
    }
    let before = (sandbox.users(&sandbox.repo), bytes(&sandbox));
    sandbox.run(&["run", "fix the failing test", "--trust", "--detach"]).exits(0);
    let report = eventually("the end, or a question", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        for decision in open["decisions"].as_array().into_iter().flatten() {
            let id = decision["decision_id"].as_str().unwrap();
            // What judges it was changed by it: a person sees that, and says no.
            assert!(["review", "permission", "budget"].contains(&decision["kind"].as_str().unwrap()), "{decision:#}");
            let no = decision["options"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
            sandbox.run(&["decide", id, no]).exits(0);
        }
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["outcome"], "failed", "{report:#}");
    assert_eq!((sandbox.users(&sandbox.repo), bytes(&sandbox)), before);
}

#[test]
fn a_repository_that_was_red_before_lands_what_adds_no_failure() {
    let body = format!("echo 'a note' > notes.txt; {DONE}");
    let sandbox = Sandbox::empty();
    super::failing(&sandbox);
    if super::program("python3", "ORCHESTRATOR_PYTHON").is_none() {
        return;
    }
    let program = agent(&sandbox, "agent", &body);
    let command = json!(program.to_str().unwrap());
    sandbox.configure(&format!("[agents.claude]\ncommand = [{command}]\n"));
    let plan = plan("[[\"python3\", \"-m\", \"unittest\"]]", "type = \"docs\"");
    sandbox.run_plan(&plan, &[]).exits(0);
    assert_eq!(sandbox.git(&["show", "orchestrator/R-1:notes.txt"]), "a note\n");
    // The same with one more failure does not.
    let worse = format!(
        "printf 'import unittest\\nclass W(unittest.TestCase):\\n    def test_w(self):\\n        self.fail()\\n' > tests/test_w.py; {DONE}"
    );
    agent(&sandbox, "agent", &worse);
    sandbox.run_plan(&plan, &[]).exits(1);
}

#[test]
fn a_runaway_is_capped_before_it_is_started_again() {
    // Each attempt reports what it cost and comes to nothing; the run has room for two such.
    let cost = r#"echo '{"type":"result","subtype":"success","is_error":false,"result":"Done.","total_cost_usd":0.4,"usage":{"input_tokens":10,"output_tokens":5}}'"#;
    let sandbox = world("", "[budget]\nrun_usd = 1.0\n");
    agent(&sandbox, "agent", cost);
    // Each has a folder of its own.
    let started = || std::fs::read_dir(sandbox.workspace().join("agents")).unwrap().count();
    let more = "retry = { max = 50, base_s = 0.01 }";
    let plan = plan("[[\"false\"]]", "").replace("retry = { max = 0 }\n", "") + more;
    let file = sandbox.file("plan.toml", plan);
    sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--detach"]).exits(0);
    let decision = super::asked(&sandbox);
    assert_eq!(decision["kind"], "budget", "{decision:#}");
    let spawned = started();
    assert!((2..=3).contains(&spawned), "{spawned} attempts of 0.40 each in a run of 1.00");
    sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "stop"]).exits(0);
    outcome(&sandbox);
    assert_eq!(started(), spawned, "it was started once more");
}
