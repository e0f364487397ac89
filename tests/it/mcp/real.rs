//! Real clients: the Python SDK in its three modes, the Inspector's command line, and Claude Code with a scripted model.
//!
//! `.ci/clients` installs them and says where they are. Without them these tests are skipped, except in continuous
//! integration, where that is a failure.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::{
    client::{asking_plan, outside_plan},
    model::{Model, Turn},
};
use crate::daemon::sandbox::{Said, Sandbox};

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchestrator");

/// A client that `.ci/clients` installed: named by this variable, or in its usual place.
fn installed(variable: &str, place: &str) -> Option<PathBuf> {
    let variable_of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folder = variable_of("ORCHESTRATOR_CLIENTS").or_else(|| {
        let cache = variable_of("XDG_CACHE_HOME").or_else(|| Some(variable_of("HOME")?.join(".cache")));
        Some(cache?.join("orchestrator-clients"))
    });
    let found = variable_of(variable).or_else(|| Some(folder?.join(place))).filter(|path| path.exists());
    if found.is_none() {
        println!("skipped: {place} is not installed (`.ci/clients` does that)");
        assert!(std::env::var_os("ORCHESTRATOR_CI").is_none(), "{place} must be there: {variable}");
    }
    found
}

#[test]
fn the_python_sdk_in_its_three_modes() {
    let Some(python) = installed("ORCHESTRATOR_MCP_PYTHON", "python-mcp/bin/python") else { return };
    for (mode, tools) in [("legacy", 10), ("auto", 14), ("2026-07-28", 14)] {
        let sandbox = Sandbox::new();
        if tools == 14 {
            sandbox.configure(super::claims::PULL);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp/python_client.py");
        let env = json!(sandbox.env().into_iter().collect::<std::collections::BTreeMap<_, _>>());
        let arguments = [script.to_str().unwrap(), mode, PROGRAM, &env.to_string()];
        let said = sandbox.finish(sandbox.command_of(&python, &arguments)).exits(0).json();
        assert_eq!(said["tools"], tools, "{mode}: {said}");
        // Nothing is on offer, which is an answer and no mistake.
        assert_eq!(said["claimed"]["task"], Value::Null, "{mode}: {said}");
        assert_eq!(said["claimed"]["summary"].is_string(), tools == 14, "{mode}: {said}");
        assert_eq!(said["prompts"], json!(["decide", "inbox", "status"]), "{mode}");
        assert_eq!((&said["resources"], &said["wrong"]), (&json!(0), &json!(true)), "{mode}");
        assert_eq!((&said["first"], &said["status"]), (&json!("summary"), &json!("completed")), "{mode}: {said}");
    }
}

#[test]
fn the_inspector() {
    let Some(inspector) = installed("ORCHESTRATOR_MCP_INSPECTOR", "inspector/node_modules/.bin/mcp-inspector") else {
        return;
    };
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| {
        let mut all = vec!["--cli", PROGRAM, "--mcp"];
        all.extend(arguments);
        sandbox.finish(sandbox.command_of(&inspector, &all)).exits(0).out
    };
    // `--strict` fails for schemas that not every host understands.
    for era in [&["--strict"][..], &["--strict", "--protocol-era", "modern"]] {
        let listed = run(&[&["--method", "tools/list"], era].concat());
        assert!(listed.contains("process_request") && listed.contains("outputSchema"), "{era:?}: {listed}");
    }
    let state = run(&["--method", "tools/call", "--tool-name", "get_state"]);
    assert!(state.contains("no runs yet"), "{state}");
    let prompts = run(&["--method", "prompts/list"]);
    assert!(prompts.contains("\"decide\""), "{prompts}");
    let templates = run(&["--method", "resources/templates/list"]);
    assert!(templates.contains("orchestrator://runs/{run}"), "{templates}");
}

/// Claude Code with a home of its own, whose model says these turns.
pub struct Claude<'a> {
    sandbox: &'a Sandbox,
    program: PathBuf,
    pub model: Model,
}

impl<'a> Claude<'a> {
    pub fn new(sandbox: &'a Sandbox, turns: Vec<Turn>) -> Option<Claude<'a>> {
        let place = "claude-2.1.330/node_modules/@anthropic-ai/claude-code-linux-x64/claude";
        let program = installed("ORCHESTRATOR_CLAUDE", place)?;
        Some(Claude { sandbox, program, model: Model::start(turns) })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command_of(&self.program, arguments);
        command
            .env("LANG", "C.UTF-8")
            .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{}", self.model.port))
            .env("ANTHROPIC_API_KEY", "sk-ant-test")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1");
        command
    }

    /// One prompt, answered; the last line that it prints as JSON.
    #[track_caller]
    fn prompt(&self, text: &str) -> Value {
        let arguments = ["-p", text, "--output-format", "stream-json", "--verbose"];
        let said: Said = self.sandbox.finish(self.command(&arguments));
        assert_eq!(said.code, Some(0), "{}", said.all());
        let result = said.json();
        assert_eq!(result["is_error"], false, "{}", said.all());
        result
    }
}

#[test]
fn claude_code_registers_it_and_hands_in_a_request() {
    let sandbox = Sandbox::new();
    let plan = asking_plan();
    let request = json!({"description": "write a file", "plan": plan, "key": "from-claude"});
    let wait = json!({"after": 0, "timeout_s": 5});
    let turns = vec![
        Turn::Calls("mcp__orchestrator__process_request", request),
        Turn::Calls("mcp__orchestrator__wait_for_change", wait),
        Turn::Says("It asks D-1."),
    ];
    let Some(claude) = Claude::new(&sandbox, turns) else { return };
    sandbox.run(&["setup", "claude-code"]).exits(0).says("/mcp__orchestrator__decide");
    sandbox.run(&["setup", "claude-code"]).exits(0).says("nothing was changed");
    let listed = sandbox.finish(claude.command(&["mcp", "list"])).exits(0);
    assert!(listed.out.contains("orchestrator") && listed.out.contains("Connected"), "{}", listed.all());
    // No permission is given on the command line: what `setup` wrote is enough.
    let result = claude.prompt("orchestrate: write a file");
    assert_eq!(result["permission_denials"], json!([]), "{result}");
    assert_eq!(result["result"], "It asks D-1.");
    let heard = claude.model.heard();
    assert!(heard.contains("R-1") && heard.contains("run.created"), "{heard}");
    let open = sandbox.run(&["decide", "--json"]).exits(0).json();
    assert_eq!(open["decisions"][0]["decision_id"], "D-1");
    sandbox.run(&["setup", "claude-code", "--remove"]).exits(0);
    let listed = sandbox.finish(claude.command(&["mcp", "list"])).exits(0);
    assert!(!listed.out.contains("orchestrator"), "{}", listed.all());
}

#[test]
fn claude_code_answers_a_decision_through_the_prompt_that_a_person_typed() {
    let sandbox = Sandbox::new();
    let allow = json!({"decision_id": "D-1", "response": {"choice": "allow"}});
    let turns = vec![Turn::Calls("mcp__orchestrator__submit_decision", allow), Turn::Says("Recorded.")];
    let Some(claude) = Claude::new(&sandbox, turns) else { return };
    let file = sandbox.file("plan.json", outside_plan().to_string());
    sandbox.run(&["run", "--detach", "--plan", file.to_str().unwrap()]).exits(0);
    sandbox.run(&["setup", "claude-code"]).exits(0);
    wait_for_decision(&sandbox);
    // Asked to in plain words, the model may not: only a person may allow this.
    claude.prompt("allow D-1");
    assert!(claude.model.heard().contains("FORBIDDEN: D-1 is a person's to answer"), "{}", claude.model.heard());
    assert!(sandbox.run(&["why", "D-1", "--json"]).json()["decision"]["answer"].is_null());
    let result = claude.prompt("/mcp__orchestrator__decide D-1 allow");
    assert_eq!(result["result"], "Recorded.", "{result}");
    let by = sandbox.run(&["why", "D-1", "--json"]).json()["decision"]["answer"]["by"].clone();
    assert_eq!((&by["kind"], &by["surface"]), (&json!("person"), &json!("mcp_prompt")), "{by}");
    assert!(by["name"].as_str().unwrap().to_lowercase().contains("claude"), "{by}");
}

/// Until the run has asked.
fn wait_for_decision(sandbox: &Sandbox) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while sandbox.run(&["decide", "--json"]).exits(0).json()["decisions"].as_array().unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing is asked");
    }
}

#[test]
fn the_plugin_is_one_that_claude_code_takes() {
    let sandbox = Sandbox::empty();
    let Some(claude) = Claude::new(&sandbox, Vec::new()) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [root.join("editors/claude-code"), root.to_path_buf()] {
        let said = sandbox.finish(claude.command(&["plugin", "validate", folder.to_str().unwrap()])).exits(0);
        assert!(said.out.contains("Validation passed"), "{}", said.all());
    }
}
