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
    api::{ApiError, Code, OrchestratorState, PlanReply},
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
    let argument = params.argument.name.as_str();
    let found = match &params.r#ref {
        Reference::Prompt(prompt) => {
            let Some(taken) = prompts::arguments(&prompt.name) else { return Err(prompts::unknown(&prompt.name)) };
            if !taken.contains(&argument) {
                return Err(no_argument(&format!("the prompt `{}`", prompt.name), argument, taken));
            }
            let other = params.context.as_ref().and_then(|context| context.get_argument("id")).cloned();
            of_prompt(front, &prompt.name, argument, other).await
        }
        Reference::Resource(template) => {
            let Some(taken) = resources::variable(&template.uri) else {
                let shown: String = template.uri.chars().take(120).collect();
                let what = format!("there is no template {shown:?}; resources/templates/list shows them");
                return Err(ErrorData::invalid_params(what, None));
            };
            if argument != taken {
                return Err(no_argument(&template.uri, argument, &[taken]));
            }
            of_template(front, taken).await
        }
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

/// A client that asks for what was never offered is told so; no values would mean that nothing fits.
fn no_argument(of: &str, argument: &str, taken: &[&str]) -> ErrorData {
    let shown: String = argument.chars().take(80).collect();
    let takes = if taken.is_empty() { "nothing".to_owned() } else { taken.join(" and ") };
    ErrorData::invalid_params(format!("{of} has no argument {shown:?}; it takes {takes}"), None)
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
            match ask::decision(front, decision).await {
                Ok(decision) => decision.options.into_iter().map(|option| option.id).collect(),
                // One whose id is still being typed, or that never was: nothing fits.
                Err(error) if error.code == Code::NotFound => Vec::new(),
                Err(error) => return Err(error),
            }
        }
        _ => Vec::new(),
    })
}

async fn of_template(front: &Front, variable: &str) -> Result<Vec<String>, ApiError> {
    Ok(match variable {
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
