//! `policy`: what the rules say to a command, which rules are in force, and taking one of the user's own out again.

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use serde_json::json;

use super::{
    args::PolicyWhat,
    console::Console,
    exit::{CliError, Exit},
    explain::{Asked, command_view},
};
use crate::{
    api::{ApiError, Code},
    config::{Config, Places},
    core::{
        Event,
        decide::{
            gate::Place,
            hindsight::Hindsight,
            learned::{Reach, Remembered},
            policy::{PolicyError, Tier, without},
        },
    },
    daemon::{self, policy},
    ids::LaneId,
    store::verify,
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

/// Whether it is about an answer that was remembered rather than about files of rules.
pub fn of_daemon(what: &PolicyWhat) -> bool {
    let PolicyWhat::Forget { id } = what else { return false };
    let number = id.strip_prefix("always-").or(id.strip_prefix("never-"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The answers that were remembered in this workspace, from its journal; none where there is no journal yet.
fn remembered(workspace: &Path) -> Vec<Remembered> {
    let mut rules: Vec<Remembered> = Vec::new();
    let Ok(dir) = daemon::folder_of(workspace) else { return rules };
    // What is damaged is `journal verify`'s to say; whatever was read stands.
    let _ = verify::read(&dir, &mut |commit| {
        let about = |name: &[u8]| commit.events.windows(name.len()).any(|part| part == name);
        if about(b"\"rule.remembered\"") || about(b"\"rule.forgotten\"") {
            for event in serde_json::from_slice::<Vec<Event>>(&commit.events).unwrap_or_default() {
                match event {
                    Event::RuleRemembered { rule } => rules.push(*rule),
                    Event::RuleForgotten { id } => rules.retain(|rule| rule.id != id),
                    _ => {}
                }
            }
        }
        ControlFlow::Continue(())
    });
    rules
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
    let answers = remembered(workspace);
    let of_answers: Vec<serde_json::Value> = answers
        .iter()
        .map(|rule| {
            let reach = match rule.reach {
                Reach::Run(run) => run.to_string(),
                Reach::Always => "workspace".to_owned(),
            };
            json!({
                "id": rule.id, "sort": rule.sort, "verdict": if rule.yes { "allow" } else { "deny" }, "reach": reach,
                "decision": rule.decision, "at": rule.at.rfc3339(),
            })
        })
        .collect();
    let mut summary = format!("{} rules, {} error patterns, version {}", rules.len(), patterns.len(), policy.version);
    if !answers.is_empty() {
        summary += &format!("; {} remembered", answers.len());
    }
    let object = json!({
        "summary": summary, "policy_version": policy.version, "rules": rules, "error_patterns": patterns,
        "remembered": of_answers, "notes": policy.notes, "files": files,
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
        for rule in &answers {
            let reach = match rule.reach {
                Reach::Run(run) => format!("in {run}"),
                Reach::Always => "in this workspace".to_owned(),
            };
            let verdict = if rule.yes { "allow" } else { "deny" };
            text += &format!(
                "{verdict:9} answer    {}\n  {} {reach}\n  {}\n",
                paint.bold(&rule.id),
                rule.sort,
                paint.dim(&format!("you said so to {} (orchestrator policy forget {})", rule.decision, rule.id)),
            );
        }
        for note in &policy.notes {
            text += &format!("{} {note}\n", paint.yellow("!"));
        }
        text
    })?;
    Ok(Exit::Completed)
}

/// Names the past decisions that other rules or another threshold would turn. Reads the journal beside a live daemon or
/// without one, and changes nothing. The exit status is 0 where none would be, 1 where some would.
pub fn replay(
    console: &mut Console,
    workspace: &Path,
    with: Option<&Path>,
    threshold: Option<f64>,
) -> Result<Exit, CliError> {
    let config = |error: crate::config::ConfigError| CliError::usage(error.message, error.hint);
    let places = places()?;
    let mut settings = Config::load(&places).map_err(config)?.settings();
    let policy = match with {
        Some(file) if !file.is_file() => {
            let hint = "name a policy.toml to try; `orchestrator policy list` has the files in force";
            return Err(CliError::usage(format!("there is no file {}", file.display()), hint));
        }
        Some(file) => policy::load_with(&places, Some(workspace), file),
        None => policy::load(&places, Some(workspace)),
    };
    settings.rules.policy = Arc::new(policy.map_err(refused)?);
    if let Some(threshold) = threshold {
        if !(0.5..=1.0).contains(&threshold) {
            let hint = "below one half a guess would do, above 1 nothing is sure; try 0.9";
            return Err(CliError::usage(format!("a threshold of {threshold} makes no sense"), hint));
        }
        settings.decisions.threshold = threshold;
    }
    let dir = daemon::folder_of(workspace)?;
    let place = |lane: LaneId| {
        let lane = dir.join("lanes").join(lane.to_string()).display().to_string();
        Place { cwd: lane.clone(), root: lane, lane: true, sandboxed: false, home: std::env::var("HOME").ok() }
    };
    let mut hindsight = Hindsight::new(&settings, &place);
    let mut unreadable = None;
    let read = verify::read(&dir, &mut |commit| match serde_json::from_slice::<Vec<Event>>(&commit.events) {
        Ok(events) => {
            events.into_iter().for_each(|event| hindsight.take(commit.at, event));
            ControlFlow::Continue(())
        }
        Err(error) => {
            unreadable = Some((commit.position.0, error.to_string()));
            ControlFlow::Break(())
        }
    });
    let unavailable = |what: String, hint: &str| CliError::from(ApiError::new(Code::Unavailable, what, hint));
    read.map_err(|error| unavailable(error.to_string(), "see: orchestrator journal verify"))?;
    if let Some((position, error)) = unreadable {
        let hint = "use the version of this program that wrote it";
        return Err(unavailable(format!("commit {position} is not one that this version knows: {error}"), hint));
    }
    let (looked, turned) = (hindsight.looked, hindsight.turned);
    let summary = format!(
        "{} of {looked} past decisions would be turned by policy {} at threshold {}",
        turned.len(),
        settings.rules.policy.version,
        settings.decisions.threshold
    );
    let object = json!({
        "summary": summary, "policy_version": settings.rules.policy.version,
        "threshold": settings.decisions.threshold, "looked": looked, "turned": turned,
    });
    console.reply(&object, |_, paint| {
        let mut text = format!("{summary}\n");
        for one in &turned {
            let id = one.decision.map_or_else(|| one.task.to_string(), |decision| decision.to_string());
            text += &format!(
                "{} {} -> {}  {}\n  {}\n",
                paint.bold(&id),
                one.was.way.word(),
                paint.yellow(one.would.way.word()),
                one.what,
                paint.dim(&format!(
                    "{}: by {} then, by {} now{}",
                    one.at,
                    one.was.by,
                    one.would.by,
                    match one.rules_hit.is_empty() {
                        true => String::new(),
                        false => format!(" (rules {})", one.rules_hit.join(", ")),
                    }
                )),
            );
        }
        text
    })?;
    Ok(if turned.is_empty() { Exit::Completed } else { Exit::Failed })
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
