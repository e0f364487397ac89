//! `hook permission`: Claude Code's own sessions under the same gate. It reads the hook's JSON from standard input and
//! answers at once, from rules. A daemon that runs and has the workspace open is asked what was remembered and learned,
//! within milliseconds; none is needed, and none is started.
//!
//! `PreToolUse` is answered allow, ask or deny. `PermissionRequest` comes when Claude Code is about to ask the user: it
//! is answered allow or deny, or with silence, and then the user is asked.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    console::Console,
    exit::{CliError, Exit},
};
use crate::{
    api::AskRuling,
    client::brief,
    config::{Config, Places},
    core::decide::{
        effects::Touched,
        gate::{self, Ask, Judgement, Verdict},
        policy::{Known, TaskKnown},
    },
    daemon::policy::{self, RealPaths},
    time::now,
};

/// Longest input that is read: Claude Code sends whole files to `Write`.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a daemon that runs has for its word; without one, rules alone answer.
const DAEMON_MAX: Duration = Duration::from_millis(5);

/// What Claude Code sends; it sends more, and what it sends may grow.
#[derive(Debug, Deserialize)]
struct HookInput {
    #[serde(default)]
    hook_event_name: Option<String>,
    tool_name: String,
    #[serde(default)]
    tool_input: Value,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default)]
    permission_mode: Option<String>,
}

/// What is answered, before it has the form of an event.
#[derive(Debug, Clone, PartialEq)]
struct HookAnswer {
    /// allow, ask or deny.
    decision: &'static str,
    reason: String,
}

/// Answers one hook. Whatever goes wrong, the user is asked: that is an answer, not a failure.
pub fn permission(console: &mut Console, workspace: &Path) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    let read = io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut text);
    let ask = |reason: String| HookAnswer { decision: "ask", reason };
    let too_long = text.len() as u64 > INPUT_BYTES_MAX;
    let input = match read {
        Err(error) => Err(format!("the hook's input cannot be read: {error}")),
        Ok(_) if too_long => Err("the hook's input is longer than 64 MiB".to_owned()),
        Ok(_) => serde_json::from_slice::<HookInput>(&text)
            .map_err(|error| format!("the hook's input is not what Claude Code sends: {error}")),
    };
    let (event, answer) = match input {
        Err(reason) => ("PreToolUse".to_owned(), ask(format!("orchestrator: {reason}"))),
        Ok(input) => {
            let event = input.hook_event_name.clone().unwrap_or_else(|| "PreToolUse".to_owned());
            (event, answer(&input, workspace).unwrap_or_else(ask))
        }
    };
    let object = match (event.as_str(), answer.decision) {
        // Silence leaves the question to the user.
        ("PermissionRequest", "ask") => return Ok(Exit::Completed),
        ("PermissionRequest", "deny") => {
            json!({"hookEventName": "PermissionRequest", "decision": {"behavior": "deny", "message": answer.reason}})
        }
        ("PermissionRequest", _) => json!({"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}),
        _ => json!({
            "hookEventName": "PreToolUse", "permissionDecision": answer.decision,
            "permissionDecisionReason": answer.reason,
        }),
    };
    console.object(&json!({"hookSpecificOutput": object}))?;
    Ok(Exit::Completed)
}

fn answer(input: &HookInput, workspace: &Path) -> Result<HookAnswer, String> {
    let failed = |what: &dyn std::fmt::Display| format!("orchestrator: {what}");
    let places = Places::find().map_err(|error| failed(&error))?;
    let places = Config::load(&places).map_err(|error| failed(&error))?.places(places);
    let cwd = input.cwd.as_deref().unwrap_or(workspace);
    let home = std::env::var("HOME").ok();
    let place = policy::place(&places, cwd, home);
    let rules = policy::load(&places, Some(Path::new(&place.root)))
        .map_err(|error| failed(&format!("{error} ({})", error.hint)))?;
    let known = Known {
        now: now(),
        task: Some(TaskKnown {
            kind_of_work: "interactive".to_owned(),
            kind: "agent".to_owned(),
            ..TaskKnown::default()
        }),
        agent_id: Some("claude-code".to_owned()),
        agent_driver: Some("hook".to_owned()),
        environment: std::env::var("ORCHESTRATOR_ENVIRONMENT").ok(),
        decision_kind: Some("permission".to_owned()),
        user_present: Some(true),
        ..Known::default()
    };
    let ask = Ask { tool: &input.tool_name, input: &input.tool_input };
    let judgement = gate::judge(&rules, &ask, &place, &known, &RealPaths);
    let own = decided(&judgement, input.permission_mode.as_deref());
    if judgement.verdict == Verdict::Deny {
        return Ok(own);
    }
    let asked = json!({
        "root": place.root, "tool": input.tool_name, "input": input.tool_input, "judgement": judgement,
        "otherwise": own.decision,
    });
    let ruled = brief::call::<AskRuling>(&places.socket(), "judge_ask", asked, DAEMON_MAX);
    Ok(match ruled {
        Some(ruled) if ruled.decision == "deny" => {
            HookAnswer { decision: "deny", reason: format!("orchestrator: {}", ruled.reason) }
        }
        Some(ruled) if ruled.decision == "allow" => {
            HookAnswer { decision: "allow", reason: format!("orchestrator: {}", ruled.reason) }
        }
        _ => own,
    })
}

/// The answer to a judgement. What neither rules nor effects decide is the user's, and they may have said so for the
/// session: `acceptEdits` accepts edits of their own files, `bypassPermissions` whatever can be taken back.
fn decided(judgement: &Judgement, mode: Option<&str>) -> HookAnswer {
    let reason = judgement.reasons.first().map_or("nothing is known about it", String::as_str);
    let accepted = judgement.verdict == Verdict::None
        && match mode {
            Some("acceptEdits") => judgement.effects.iter().all(|effect| {
                matches!(effect.class, Touched::Read | Touched::Lane)
                    || (effect.class == Touched::Workspace
                        && effect.action == crate::core::decide::effects::Action::Writes)
            }),
            Some("bypassPermissions") => true,
            _ => false,
        };
    let (decision, because) = match judgement.verdict {
        Verdict::Allow => ("allow", ""),
        Verdict::None if accepted => ("allow", ", and this session accepts that"),
        Verdict::None | Verdict::Escalate => ("ask", ""),
        Verdict::Deny => ("deny", ""),
    };
    HookAnswer { decision, reason: format!("orchestrator: {reason}{because}") }
}
