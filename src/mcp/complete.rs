//! Completions: ids and options while they are typed.

use std::rc::Rc;

use rmcp::model::{CompleteRequestParams, ErrorData, Reference};
use serde_json::json;

use super::{
    ask,
    front::{Call, Front, Handled},
    prompts, resources, server,
    tools::sentence,
};
use crate::{
    api::{ApiError, OrchestratorState, PlanReply},
    ids::DecisionId,
};

/// Most that the protocol allows in one answer.
const VALUES_MAX: usize = 100;

/// Runs whose tasks are offered.
const RUNS_MAX: usize = 3;

/// `completion/complete`.
pub async fn complete(front: &Rc<Front>, call: &Call, params: &str) -> Handled {
    let params: CompleteRequestParams = server::params(params)?;
    let typed = params.argument.value.to_ascii_lowercase();
    let found = match &params.r#ref {
        Reference::Prompt(prompt) => {
            let other = params.context.as_ref().and_then(|context| context.get_argument("id")).cloned();
            of_prompt(front, &prompt.name, &params.argument.name, other).await
        }
        Reference::Resource(template) => of_template(front, &template.uri, &params.argument.name).await,
        _ => Ok(Vec::new()),
    };
    let found = found.map_err(|error| ErrorData::internal_error(sentence(&error), None))?;
    let mut values: Vec<String> =
        found.into_iter().filter(|value| value.to_ascii_lowercase().starts_with(&typed)).collect();
    let total = values.len();
    values.truncate(VALUES_MAX);
    let more = total > values.len();
    Ok(call.dress(json!({"completion": {"values": values, "total": total, "hasMore": more}})))
}

async fn of_prompt(front: &Front, prompt: &str, argument: &str, id: Option<String>) -> Result<Vec<String>, ApiError> {
    let id = match prompt.strip_prefix("decide-") {
        Some(id) => Some(id.to_owned()),
        None => id,
    };
    let decision = id.and_then(|id| id.to_ascii_uppercase().parse::<DecisionId>().ok());
    Ok(match (argument, decision) {
        ("id", _) if prompt == "decide" => open(front).await?,
        ("choice", Some(decision)) => {
            let decision = ask::decision(front, decision).await?;
            decision.options.into_iter().map(|option| option.id).collect()
        }
        _ => Vec::new(),
    })
}

async fn of_template(front: &Front, template: &str, argument: &str) -> Result<Vec<String>, ApiError> {
    if !template.contains(&format!("{{{argument}}}")) {
        return Ok(Vec::new());
    }
    Ok(match argument {
        "run" => resources::runs(front).await?.runs.iter().map(|run| run.request_id.to_string()).collect(),
        "decision" => open(front).await?,
        "task" => {
            let state: OrchestratorState = front.ask("get_state", &json!({"session_id": null})).await?;
            let mut tasks = Vec::new();
            for session in state.sessions.iter().take(RUNS_MAX) {
                let plan: PlanReply = front.ask("get_plan", &json!({"run": session.request_id})).await?;
                tasks.extend(plan.plan.tasks.iter().map(|task| task.id.to_string()));
            }
            tasks
        }
        _ => Vec::new(),
    })
}

async fn open(front: &Front) -> Result<Vec<String>, ApiError> {
    let open = prompts::pending(front).await?;
    Ok(open.decisions.into_iter().map(|decision| decision.decision_id.to_string()).collect())
}
