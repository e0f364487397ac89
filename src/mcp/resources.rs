//! Resources: runs, their plans and reports, the output of tasks, and decisions, to read and to mention.

use std::{fmt, rc::Rc};

use rmcp::model::{ErrorCode, ErrorData, ReadResourceRequestParams};
use serde_json::{Value, json};

use super::{
    front::{Call, Era, Front, Handled},
    prompts, server,
    tools::sentence,
};
use crate::{
    api::{ApiError, Code, LogId, LogReply, result::RunList},
    ids::{DecisionId, RunId},
};

/// The scheme of our addresses.
const SCHEME: &str = "orchestrator://";

/// Runs that are listed, newest first.
const RUNS_MAX: usize = 20;

/// Last lines of an output; the whole is in `orchestrator log`.
const LOG_LINES: u64 = 400;

/// Something that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Where a run stands.
    Run(RunId),
    /// What it will do.
    Plan(RunId),
    /// What it did.
    Report(RunId),
    /// The output of a task's last attempt, or of one attempt.
    Log(LogId),
    /// A question with its options and answer.
    Decision(DecisionId),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Run(run) => write!(f, "{SCHEME}runs/{run}"),
            Address::Plan(run) => write!(f, "{SCHEME}runs/{run}/plan"),
            Address::Report(run) => write!(f, "{SCHEME}runs/{run}/report"),
            Address::Log(id) => write!(f, "{SCHEME}tasks/{id}/log"),
            Address::Decision(id) => write!(f, "{SCHEME}decisions/{id}"),
        }
    }
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Option<Address> {
        let parts: Vec<&str> = text.strip_prefix(SCHEME)?.split('/').collect();
        match parts.as_slice() {
            ["runs", run] => run.parse().ok().map(Address::Run),
            ["runs", run, "plan"] => run.parse().ok().map(Address::Plan),
            ["runs", run, "report"] => run.parse().ok().map(Address::Report),
            ["tasks", task, "log"] => task.parse().ok().map(Address::Log),
            ["decisions", id] => id.parse().ok().map(Address::Decision),
            _ => None,
        }
    }
}

/// The templates: every address there can be.
pub fn templates() -> Value {
    let template = |path: &str, name: &str, what: &str, kind: &str| json!({"uriTemplate": format!("{SCHEME}{path}"), "name": name, "description": what, "mimeType": kind});
    let json = "application/json";
    json!([
        template("runs/{run}", "run", "Where a run stands", json),
        template("runs/{run}/plan", "plan", "What a run does, task by task", json),
        template("runs/{run}/report", "report", "What a run did, found and took", json),
        template("tasks/{task}/log", "log", "The last lines of a task's output", "text/plain"),
        template("decisions/{decision}", "decision", "A question with its options and its answer", json),
    ])
}

/// What is filled in where this is one of the templates.
pub fn variable(template: &str) -> Option<&'static str> {
    ["run", "task", "decision"].into_iter().find(|variable| {
        let is_it = |known: &Value| known["uriTemplate"] == template;
        template.contains(&format!("{{{variable}}}")) && templates().as_array().into_iter().flatten().any(is_it)
    })
}

/// The newest runs.
pub async fn runs(front: &Front) -> Result<RunList, ApiError> {
    front.ask("list_runs", &json!({})).await
}

/// `resources/list`.
pub async fn list(front: &Rc<Front>, call: &Call, params: &str) -> Handled {
    server::first_page(params)?;
    let listed = async {
        let runs = runs(front).await?;
        let open = prompts::pending(front).await?;
        let entry = |address: Address, name: String, what: String| json!({"uri": address.to_string(), "name": name, "description": what, "mimeType": "application/json"});
        let mut resources: Vec<Value> = runs
            .runs
            .iter()
            .take(RUNS_MAX)
            .map(|run| {
                let what: String = run.description.chars().take(100).collect();
                entry(Address::Run(run.request_id), run.request_id.to_string(), what)
            })
            .collect();
        resources.extend(open.decisions.iter().map(|decision| {
            let id = decision.decision_id;
            entry(Address::Decision(id), id.to_string(), decision.question.clone())
        }));
        Ok::<_, ApiError>(resources)
    };
    match listed.await {
        Ok(resources) => Ok(call.listed(json!({"resources": resources}))),
        Err(error) => Err(ErrorData::internal_error(sentence(&error), None)),
    }
}

/// `resources/read`.
pub async fn read(front: &Rc<Front>, call: &Call, params: &str) -> Handled {
    let params: ReadResourceRequestParams = server::params(params)?;
    let uri = params.uri;
    let Some(address) = Address::parse(&uri) else { return Err(no_address(call, &uri)) };
    match text(front, address).await {
        Ok((kind, text)) => Ok(call.listed(json!({"contents": [{"uri": uri, "mimeType": kind, "text": text}]}))),
        Err(error) if error.code == Code::NotFound => Err(missing(call, sentence(&error), &uri)),
        Err(error) => Err(ErrorData::internal_error(sentence(&error), None)),
    }
}

/// Nothing that is ours has such an address.
pub fn no_address(call: &Call, uri: &str) -> ErrorData {
    let shown: String = uri.chars().take(120).collect();
    let what = format!("there is no resource {shown:?}; resources/templates/list shows what there can be");
    missing(call, what, uri)
}

/// What is not there has a number of its own before 2026-07-28.
fn missing(call: &Call, what: String, uri: &str) -> ErrorData {
    let code = match call.era {
        Era::Inline => ErrorCode::INVALID_PARAMS,
        Era::Handshake(_) => ErrorCode::RESOURCE_NOT_FOUND,
    };
    ErrorData::new(code, what, Some(json!({"uri": uri})))
}

async fn text(front: &Front, address: Address) -> Result<(&'static str, String), ApiError> {
    let object = |reply: Box<serde_json::value::RawValue>| ("application/json", String::from(Box::<str>::from(reply)));
    Ok(match address {
        Address::Run(run) => object(front.raw("get_state", &json!({"session_id": run})).await?),
        Address::Plan(run) => object(front.raw("get_plan", &json!({"run": run})).await?),
        Address::Report(run) => object(front.raw("get_report", &json!({"run": run})).await?),
        Address::Decision(id) => object(front.raw("why", &json!({"id": id.to_string()})).await?),
        Address::Log(id) => {
            let log: LogReply = front.ask("get_log", &json!({"id": id, "tail": LOG_LINES})).await?;
            ("text/plain", log.text)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in
            ["runs/R-3", "runs/R-3/plan", "runs/R-3/report", "tasks/T-4/log", "tasks/T-4.2/log", "decisions/D-7"]
        {
            let uri = format!("{SCHEME}{text}");
            assert_eq!(Address::parse(&uri).map(|address| address.to_string()), Some(uri));
        }
        for text in ["file:///etc/passwd", "orchestrator://", "orchestrator://runs/../R-1", "orchestrator://runs/T-1"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_templates_are_of_the_protocol() {
        let templates: Vec<rmcp::model::ResourceTemplate> = serde_json::from_value(templates()).unwrap();
        assert_eq!(templates.len(), 5);
    }
}
