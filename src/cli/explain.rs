//! `explain`: how a request or an error text would be understood, for one or for many as JSON lines.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    console::Console,
    exit::{CliError, Exit},
    render, seams,
};
use crate::api::OrchestratorApiClient;

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

fn parse_line<T: serde::de::DeserializeOwned>(number: usize, line: io::Result<String>) -> Result<Option<T>, CliError> {
    let line = line.map_err(CliError::io("cannot read standard input"))?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&line)
        .map(Some)
        .map_err(|error| CliError::usage(format!("line {}: {error}", number + 1), "each line is one JSON object"))
}
