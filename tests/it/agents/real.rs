//! Real agents through the Agent Client Protocol, each on a scripted model, offline: Codex, opencode, Gemini, and Claude
//! Code behind its adapter. Each fixes the failing test in its lane, is refused once with a reason and allowed once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{double::Model, eventually, failing, program};
use crate::daemon::sandbox::Sandbox;

/// What differs from agent to agent.
struct Real {
    /// As the configuration calls it.
    id: &'static str,
    /// Its program, and the variable that names it.
    program: (&'static str, &'static str),
    /// Arguments after the program.
    arguments: &'static [&'static str],
    /// Further lines of its part of the configuration.
    config: &'static str,
    /// Whether it has our own tools.
    ours: bool,
    /// Whose language its model speaks.
    anthropic: bool,
    /// What it is told by its model.
    script: fn() -> Value,
    /// Its own settings: where its model is. Gives what else its environment needs.
    settings: fn(&Sandbox, &str) -> Vec<(&'static str, String)>,
}

/// Keys that are handed to an agent and never written down.
const KEY: &str = "sk-test-0123456789abcdef";

/// Steps of a model that asks our own server for its task, then wants to push, then hears why not, then works.
fn steps(own: Value, tool: &'static str, shell: impl Fn(&str, bool) -> Value) -> Value {
    let call = |command: &str, outside: bool| json!({"call": tool, "args": shell(command, outside)});
    json!({
        "steps": [
            {"when": {"no_output": true, "tool": tool}, "say": [own]},
            {"when": {"tool": tool}, "say": [{"text": "I push."}, call("git push origin main", true)]},
            {"when": {"contains": "the branch is protected", "tool": tool}, "say": [call("echo allowed > allowed.txt", true)]},
            {"when": {"contains": "the branch is protected", "tool": tool}, "say": [call("sed -i 's/a - b/a + b/' sample.py", false)]},
        ],
        "otherwise": {"say": [{"text": "Fixed."}]},
    })
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Runs it to a verified, landed, applied fix.
#[track_caller]
fn fixes(real: &Real) {
    let (name, variable) = real.program;
    let (Some(agent), Some(python)) = (program(name, variable), program("python3", "ORCHESTRATOR_PYTHON")) else {
        return;
    };
    let sandbox = Sandbox::empty();
    failing(&sandbox);
    let start = if real.anthropic { Model::start } else { Model::start_open };
    let model = start(&sandbox, &python, "model", (real.script)());
    let mut command = vec![agent.display().to_string()];
    command.extend(real.arguments.iter().map(|word| (*word).to_owned()));
    let env = (real.settings)(&sandbox, &model.url);
    // Nobody else is to take part, whatever this machine has.
    let others = ["claude", "codex", "gemini", "opencode", "claude-acp"].into_iter().filter(|id| *id != real.id);
    let none: String = others.map(|id| format!("[agents.{id}]\ncommand = []\n")).collect();
    sandbox.configure(&format!("{none}[agents.{}]\ncommand = {}\n{}\n", real.id, json!(command), real.config));
    let before = sandbox.users(&sandbox.repo);
    let mut run = sandbox.command(&["run", "fix the failing test", "--trust", "--detach"]);
    run.envs(env);
    sandbox.finish(run).exits(0);
    let mut refused = 0;
    let report = eventually("the fix", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        for decision in open["decisions"].as_array().into_iter().flatten() {
            let id = decision["decision_id"].as_str().unwrap();
            assert_eq!(decision["kind"], "permission", "{decision:#}");
            if decision["question"].as_str().unwrap().contains("git push origin main") {
                assert_eq!(decision["context"]["effects"][0]["class"], "external", "{decision:#}");
                sandbox.run(&["decide", id, "deny", "--text", "the branch is protected"]).exits(0);
                refused += 1;
            } else {
                sandbox.run(&["decide", id, "allow"]).exits(0);
            }
        }
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    let transcript = fs::read_to_string(sandbox.workspace().join("agents/T-1.1/transcript")).unwrap_or_default();
    let log = sandbox.run(&["log", "T-1"]).all();
    assert_eq!(report["outcome"], "completed", "{log}\n{transcript}");
    assert_eq!(refused, 1, "it was not refused once: {log}");
    assert!(model.heard().contains("the branch is protected"), "the reason did not reach the model: {log}");
    // It asked our own server, in the agent's role, and nobody had to allow that.
    if real.ours {
        assert!(model.heard().contains("T-1.1"), "it did not hear of its task: {log}");
    }
    drop(model);
    assert!(transcript.contains("\"outcome\":\"selected\""), "{transcript}");
    assert!(!transcript.contains(KEY), "a key was written down");
    assert!(log.contains("git push origin main"), "{log}");
    assert_eq!(sandbox.users(&sandbox.repo), before, "the checkout was touched before anybody said so");
    assert!(sandbox.jobs().is_empty(), "processes are left: {:#?}", sandbox.jobs());
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert!(sandbox.read("sample.py").contains("a + b"));
    assert_eq!(sandbox.read("allowed.txt").trim(), "allowed");
    let agents = sandbox.run(&["agents", "--json"]).exits(0).json();
    let found = agents.as_array().unwrap().iter().find(|agent| agent["id"] == real.id).unwrap();
    assert!(found["version"].is_string(), "{found:#}");
    assert_eq!(found["record"][0]["proven"], 1, "{found:#}");
}

#[test]
fn codex() {
    fixes(&Real {
        id: "codex",
        program: ("codex-acp", "ORCHESTRATOR_CODEX_ACP"),
        arguments: &[],
        config: "env = [\"CODEX_HOME\", \"MODEL_KEY\"]",
        ours: true,
        anthropic: false,
        script: || {
            steps(
                json!({"call": "my_task", "namespace": "mcp__orchestrator", "args": {}}),
                "exec_command",
                |command, outside| match outside {
                    true => {
                        json!({"cmd": command, "sandbox_permissions": "require_escalated", "justification": "needed"})
                    }
                    false => json!({"cmd": command}),
                },
            )
        },
        settings: |sandbox, url| {
            let home = sandbox.home.join(".codex");
            write(
                &home.join("config.toml"),
                &format!(
                    "model = \"fake-1\"\nmodel_provider = \"fake\"\n[model_providers.fake]\nname = \"fake\"\n\
                     base_url = \"{url}\"\nwire_api = \"responses\"\nenv_key = \"MODEL_KEY\"\n"
                ),
            );
            vec![("CODEX_HOME", home.display().to_string()), ("MODEL_KEY", KEY.to_owned())]
        },
    });
}

#[test]
fn opencode() {
    fixes(&Real {
        id: "opencode",
        program: ("opencode", "ORCHESTRATOR_OPENCODE"),
        arguments: &["acp"],
        config: "model = \"fake/fake-2\"",
        ours: true,
        anthropic: false,
        script: || {
            steps(
                json!({"call": "orchestrator_my_task", "args": {}}),
                "bash",
                |command, _| json!({"command": command, "description": "work"}),
            )
        },
        settings: |sandbox, url| {
            let models = json!({"fake-1": {"name": "Fake 1"}, "fake-2": {"name": "Fake 2"}});
            let options = json!({"baseURL": url, "apiKey": KEY});
            let provider = json!({"fake": {"npm": "@ai-sdk/openai-compatible", "name": "Fake", "options": options, "models": models}});
            let settings = json!({"model": "fake/fake-1", "small_model": "fake/fake-1", "provider": provider});
            write(&sandbox.config.join("opencode/opencode.json"), &settings.to_string());
            vec![]
        },
    });
}

#[test]
fn gemini() {
    fixes(&Real {
        id: "gemini",
        program: ("gemini", "ORCHESTRATOR_GEMINI"),
        arguments: &["--acp", "-m", "fake-1"],
        config: "",
        ours: false,
        anthropic: false,
        script: || {
            steps(
                json!({"call": "list_directory", "args": {"dir_path": "."}}),
                "run_shell_command",
                |command, _| json!({"command": command, "description": "work"}),
            )
        },
        settings: |sandbox, url| {
            let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": false}});
            write(&sandbox.home.join(".gemini/settings.json"), &settings.to_string());
            vec![("GEMINI_API_KEY", KEY.to_owned()), ("GOOGLE_GEMINI_BASE_URL", url.to_owned())]
        },
    });
}

#[test]
fn claude_behind_its_adapter() {
    let Some(claude) = program("claude", "ORCHESTRATOR_CLAUDE") else { return };
    // What a closure that is no closure cannot take along.
    static CLAUDE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let _ = CLAUDE.set(claude);
    fixes(&Real {
        id: "claude-acp",
        program: ("claude-agent-acp", "ORCHESTRATOR_CLAUDE_ACP"),
        arguments: &[],
        config: "",
        ours: true,
        anthropic: true,
        script: || {
            let bash = |command: &str| json!({"tool": "Bash", "input": {"command": command, "description": "work"}});
            json!([
                {"tool": "mcp__orchestrator__my_task", "input": {}},
                bash("git push origin main"),
                bash("echo allowed > allowed.txt"),
                bash("sed -i 's/a - b/a + b/' sample.py"),
                {"text": "Fixed."}, {"text": "I see."},
            ])
        },
        settings: |_, url| {
            let claude = CLAUDE.get().unwrap().display().to_string();
            let quiet = "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC";
            let key = ("ANTHROPIC_API_KEY", KEY.to_owned());
            vec![
                key,
                ("ANTHROPIC_BASE_URL", url.to_owned()),
                (quiet, "1".to_owned()),
                ("CLAUDE_CODE_EXECUTABLE", claude),
            ]
        },
    });
}
