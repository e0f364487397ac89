//! `explain`: how a request, a shell command or an error text would be understood, for one or for many as JSON lines.

use std::{
    io::{self, BufRead},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    console::Console,
    exit::{CliError, Exit},
    policy::{places, refused},
    render::{self, paint::Paint},
    seams,
};
use crate::{
    api::OrchestratorApiClient,
    core::decide::{
        gate::{self, Ask, Judgement, NoLinks, Place, Verdict},
        policy::{Known, Policy, TaskKnown},
        shell::{self, Label},
    },
    daemon::policy::{self, RealPaths},
    time::now,
};

/// One request of a batch.
#[derive(Debug, Deserialize)]
struct RequestLine {
    id: serde_json::Value,
    text: String,
}

/// One error of a batch.
#[derive(Debug, Deserialize)]
struct ErrorLine {
    id: serde_json::Value,
    message: String,
    #[serde(default)]
    exit: Option<i32>,
}

/// How an error text is understood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorView {
    /// Its class; `unknown` where no signature matches.
    pub label: String,
    /// retry, fallback, compensate, rollback, escalate or park.
    pub recovery: String,
    /// 0..1.
    pub confidence: f64,
}

/// One request.
pub async fn request<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    words: &[String],
) -> Result<Exit, CliError> {
    let reply = client.explain_request(words.join(" ")).await?;
    let width = console.width;
    console.reply(&reply, |reply, paint| render::plan::explained(reply, width, paint))?;
    Ok(Exit::Completed)
}

/// One request per line; one answer per line, in the same order. A null label is an abstention.
pub async fn requests<C: OrchestratorApiClient + Sync>(client: &C, console: &mut Console) -> Result<Exit, CliError> {
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let Some(line) = parse_line::<RequestLine>(number, line)? else { continue };
        let reply = client.explain_request(line.text).await?;
        let intent = &reply.analysis.intent;
        console.object(&json!({
            "id": line.id, "label": intent.primary.as_ref().filter(|_| !intent.abstained), "confidence": intent.confidence,
            "secondary": intent.secondary, "complexity": reply.analysis.complexity.level,
            "workflow": reply.analysis.suggested_workflow,
        }))?;
    }
    Ok(Exit::Completed)
}

/// One error text. Needs no daemon.
pub fn error(console: &mut Console, words: &[String], exit: Option<i32>) -> Result<Exit, CliError> {
    let view = seams::explain_error(&words.join(" "), exit)?;
    console
        .reply(&view, |view, _| format!("{}: {} (confidence {:.2})\n", view.label, view.recovery, view.confidence))?;
    Ok(Exit::Completed)
}

/// One error text per line; one answer per line, in the same order.
pub fn errors(console: &mut Console) -> Result<Exit, CliError> {
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let Some(line) = parse_line::<ErrorLine>(number, line)? else { continue };
        let view = seams::explain_error(&line.message, line.exit)?;
        console.object(&json!({
            "id": line.id, "label": view.label, "recovery": view.recovery, "confidence": view.confidence,
        }))?;
    }
    Ok(Exit::Completed)
}

/// One command of a batch.
#[derive(Debug, Deserialize)]
struct CommandLine {
    id: serde_json::Value,
    command: String,
    #[serde(default)]
    cwd: Option<String>,
}

/// What else is known when a command is asked about.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// As if it ran in a lane.
    pub lane: bool,
    /// The environment that it is for.
    pub environment: Option<String>,
    /// The type of the task that it belongs to.
    pub task: Option<String>,
}

/// How a command is understood, and what the gate says to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommandView {
    /// One line.
    pub summary: String,
    /// safe, needs_approval or dangerous: what it does, whatever the rules say.
    pub label: Label,
    /// How sure the label is.
    pub confidence: f64,
    /// Why it is dangerous, if it is.
    pub danger: Option<String>,
    /// The words of each command in it; what is not known is `…`.
    pub commands: Vec<Vec<String>>,
    /// What the gate says: verdict, effects, criticality, reasons, rules.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl CommandView {
    /// As people read it.
    pub fn text(&self, paint: Paint, rules: bool) -> String {
        let mut text = format!("{}\n", paint.bold(&self.summary));
        for reason in &self.judgement.reasons {
            text += &format!("  {reason}\n");
        }
        if !self.judgement.effects.is_empty() {
            text += "Effects\n";
        }
        for effect in &self.judgement.effects {
            text += &format!(
                "  {:9} {:10} {:12} {}\n",
                effect.action.word(),
                effect.class.word(),
                effect.reversible.word(),
                effect.what
            );
        }
        if rules {
            let hits = match self.judgement.rules_hit.is_empty() {
                true => "no rule".to_owned(),
                false => format!("rules {}", self.judgement.rules_hit.join(", ")),
            };
            text += &format!(
                "Verdict {} ({}): {hits}; criticality {:.1}; policy {}\n",
                self.judgement.verdict.word(),
                self.judgement.why,
                self.judgement.criticality,
                self.judgement.policy_version
            );
        }
        text
    }
}

/// What the gate says to a command in this workspace.
pub fn command_view(workspace: &Path, asked: &Asked, line: &str) -> Result<CommandView, CliError> {
    let places = places()?;
    let mut place = policy::place(&places, workspace, std::env::var("HOME").ok());
    place.lane |= asked.lane;
    let rules = policy::load(&places, Some(workspace)).map_err(refused)?;
    let input = json!({"command": line});
    let ask = Ask { tool: "Bash", input: &input };
    let known = Known {
        now: now(),
        task: Some(TaskKnown {
            kind_of_work: asked.task.clone().unwrap_or_else(|| "interactive".to_owned()),
            kind: "shell".to_owned(),
            ..TaskKnown::default()
        }),
        environment: asked.environment.clone(),
        decision_kind: Some("permission".to_owned()),
        user_present: Some(true),
        ..Known::default()
    };
    let judgement = gate::judge(&rules, &ask, &place, &known, &RealPaths);
    let reading = shell::read(line, &place, &RealPaths);
    Ok(viewed(reading, judgement))
}

fn viewed(reading: shell::Reading, judgement: Judgement) -> CommandView {
    let label = reading.label();
    let called = match label {
        Label::Safe => "safe: it only looks or prints",
        Label::NeedsApproval if reading.understood => "needs approval",
        Label::NeedsApproval => "needs approval: not all of it is understood",
        Label::Dangerous => "dangerous",
    };
    let says = match judgement.verdict {
        Verdict::Allow => "it may run",
        Verdict::None => "no rule decides; history and the user may",
        Verdict::Escalate => "a person is asked",
        Verdict::Deny => "it must not run",
    };
    CommandView {
        summary: format!("{called}; {says}"),
        confidence: confidence(&reading),
        label,
        danger: reading.danger,
        commands: reading.commands,
        judgement,
    }
}

/// How sure a label is: what is read whole is known; what is not is called by what could be seen.
fn confidence(reading: &shell::Reading) -> f64 {
    match (reading.label(), reading.understood) {
        (Label::Safe, _) => 0.99,
        (Label::Dangerous, _) => 0.95,
        (Label::NeedsApproval, true) => 0.9,
        (Label::NeedsApproval, false) => 0.6,
    }
}

/// One command. Needs no daemon.
pub fn command(console: &mut Console, workspace: &Path, words: &[String]) -> Result<Exit, CliError> {
    let view = command_view(workspace, &Asked::default(), &words.join(" "))?;
    console.reply(&view, |view, paint| view.text(paint, true))?;
    Ok(Exit::Completed)
}

/// One command per line; one answer per line, in the same order. It looks at the lines alone: what lies in the folder
/// where it is started makes no difference.
pub fn commands(console: &mut Console, workspace: &Path) -> Result<Exit, CliError> {
    let root = workspace.to_string_lossy().into_owned();
    let home = std::env::var("HOME").ok();
    let rules = Policy::builtin().map_err(refused)?;
    let task = TaskKnown { kind_of_work: "interactive".to_owned(), kind: "shell".to_owned(), ..TaskKnown::default() };
    let known = Known { now: now(), task: Some(task), ..Known::default() };
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let Some(line) = parse_line::<CommandLine>(number, line)? else { continue };
        let cwd =
            line.cwd.map_or_else(|| root.clone(), |cwd| PathBuf::from(&root).join(cwd).to_string_lossy().into_owned());
        let place = Place { root: cwd.clone(), cwd, home: home.clone(), ..Place::default() };
        let input = json!({"command": line.command});
        let judgement = gate::judge(&rules, &Ask { tool: "Bash", input: &input }, &place, &known, &NoLinks);
        let reading = shell::read(&line.command, &place, &NoLinks);
        console.object(&json!({
            "id": line.id, "label": reading.label(), "confidence": confidence(&reading), "reasons": judgement.reasons,
            "effects": judgement.effects, "understood": reading.understood, "verdict": judgement.verdict,
            "criticality": judgement.criticality,
        }))?;
    }
    Ok(Exit::Completed)
}

fn parse_line<T: serde::de::DeserializeOwned>(number: usize, line: io::Result<String>) -> Result<Option<T>, CliError> {
    let line = line.map_err(CliError::io("cannot read standard input"))?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&line)
        .map(Some)
        .map_err(|error| CliError::usage(format!("line {}: {error}", number + 1), "each line is one JSON object"))
}
