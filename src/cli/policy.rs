//! `policy`: what the rules say to a command, which rules are in force, and taking one of the user's own out again.

use std::{fs, path::Path};

use serde_json::json;

use super::{
    console::Console,
    exit::{CliError, Exit},
    explain::{Asked, command_view},
};
use crate::{
    api::{ApiError, Code},
    config::{Config, Places},
    core::decide::policy::{PolicyError, Tier, without},
    daemon::policy,
    time::now,
};

/// The folders, with the configured state folder.
pub fn places() -> Result<Places, CliError> {
    let refused = |error: crate::config::ConfigError| CliError::usage(error.message, error.hint);
    let places = Places::find().map_err(refused)?;
    Ok(Config::load(&places).map_err(refused)?.places(places))
}

/// A policy file that cannot be used.
pub fn refused(error: PolicyError) -> CliError {
    CliError::usage(error.message, error.hint)
}

/// What the whole gate, rules included, says to a command; the exit status is 0 for allow, 1 for deny, 3 for a question.
pub fn check(console: &mut Console, workspace: &Path, asked: &Asked, words: &[String]) -> Result<Exit, CliError> {
    let view = command_view(workspace, asked, &words.join(" "))?;
    console.reply(&view, |view, paint| view.text(paint, true))?;
    Ok(match view.judgement.verdict {
        crate::core::decide::gate::Verdict::Allow => Exit::Completed,
        crate::core::decide::gate::Verdict::Deny => Exit::Failed,
        crate::core::decide::gate::Verdict::None | crate::core::decide::gate::Verdict::Escalate => Exit::Decision,
    })
}

/// Every rule in force, with where it stands, and what was left out.
pub fn list(console: &mut Console, workspace: &Path) -> Result<Exit, CliError> {
    let places = places()?;
    let policy = policy::load(&places, Some(workspace)).map_err(refused)?;
    let today = now();
    let rules: Vec<serde_json::Value> = policy
        .rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id, "tier": rule.tier.word(), "verdict": rule.verdict, "action": rule.action,
                "when": rule.condition.text, "reason": rule.reason, "place": rule.place,
                "expires": rule.expires, "expired": rule.expires.is_some_and(|end| end <= today),
            })
        })
        .collect();
    let patterns: Vec<serde_json::Value> = policy
        .error_patterns
        .iter()
        .map(|pattern| json!({"id": pattern.id, "text": pattern.text.as_str(), "class": pattern.class, "route": pattern.route}))
        .collect();
    let files: Vec<String> =
        policy::files(&places, Some(workspace)).iter().map(|(_, path)| path.display().to_string()).collect();
    let summary = format!("{} rules, {} error patterns, version {}", rules.len(), patterns.len(), policy.version);
    let object = json!({
        "summary": summary, "policy_version": policy.version, "rules": rules, "error_patterns": patterns,
        "notes": policy.notes, "files": files,
    });
    console.reply(&object, |_, paint| {
        let mut text = format!("{summary}\n");
        for rule in &policy.rules {
            let ended = if rule.expires.is_some_and(|end| end <= today) { " (expired)" } else { "" };
            text += &format!(
                "{:9} {:9} {}{ended}\n  {}\n  {}\n",
                rule.verdict.word(),
                rule.tier.word(),
                paint.bold(&rule.id),
                rule.condition.text,
                paint.dim(&format!("{} ({})", rule.reason, rule.place)),
            );
        }
        for pattern in &policy.error_patterns {
            text += &format!("failure   {}\n  {}\n", paint.bold(&pattern.id), pattern.text.as_str());
        }
        for note in &policy.notes {
            text += &format!("{} {note}\n", paint.yellow("!"));
        }
        text
    })?;
    Ok(Exit::Completed)
}

/// Takes a rule out of the user's file.
pub fn forget(console: &mut Console, workspace: &Path, id: &str) -> Result<Exit, CliError> {
    let places = places()?;
    let file = places.config.join("policy.toml");
    let policy = policy::load(&places, Some(workspace)).map_err(refused)?;
    let tier = policy.rules.iter().filter(|rule| rule.id == id).map(|rule| rule.tier).max();
    match tier {
        Some(Tier::User) => {}
        Some(tier) => {
            let message = format!("rule {id} is not yours but {}", tier.word());
            return Err(CliError::usage(message, "a rule of your own that allows takes back what a lower tier says"));
        }
        None => {
            let error =
                ApiError::new(Code::NotFound, format!("there is no rule {id}"), "`orchestrator policy list` has them");
            return Err(error.into());
        }
    }
    let text = fs::read_to_string(&file).map_err(CliError::io(format!("cannot read {}", file.display())))?;
    let Some(without) = without(&text, id) else {
        return Err(CliError::usage(
            format!("rule {id} cannot be cut out of {} safely", file.display()),
            "take it out by hand",
        ));
    };
    // A crash in between leaves the old file.
    let beside = file.with_extension("toml.new");
    fs::write(&beside, without).map_err(CliError::io(format!("cannot write {}", beside.display())))?;
    fs::rename(&beside, &file).map_err(CliError::io(format!("cannot replace {}", file.display())))?;
    let summary = format!("rule {id} is out of {}", file.display());
    console.reply(&json!({"summary": summary, "rule": id}), |_, _| format!("{summary}\n"))?;
    Ok(Exit::Completed)
}
