//! The real Claude Code with `hook permission` in its settings, as `setup` puts it there, and a scripted model that tries three things: to look, to
//! write, and to destroy. Nobody is there to be asked, so what is asked is not done.

use serde_json::json;

use crate::{
    daemon::sandbox::Sandbox,
    mcp::{model::Turn, real::Claude},
};

#[test]
fn claude_code_looks_without_asking_and_does_nothing_else_unasked() {
    let sandbox = Sandbox::new();
    let bash = |command: &str| Turn::Calls("Bash", json!({"command": command, "description": "x"}));
    let turns =
        vec![bash("git status --short && ls -la"), bash("touch made"), bash("rm -rf made-before"), Turn::Says("done")];
    let Some(claude) = Claude::new(&sandbox, turns) else { return };
    sandbox.run(&["setup", "claude-code", "--hook"]).exits(0).says("settings.json");
    let arguments = ["-p", "go", "--output-format", "stream-json", "--verbose"];
    let said = sandbox.finish(claude.command(&arguments)).exits(0);
    let result = said.json();
    let denied: Vec<&str> = result["permission_denials"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|denial| denial["tool_input"]["command"].as_str())
        .collect();
    assert_eq!(denied, ["touch made", "rm -rf made-before"], "{}", said.all());
    let heard = claude.model.heard();
    assert!(heard.contains("nothing brings that back"), "the model hears why: {heard}");
}
