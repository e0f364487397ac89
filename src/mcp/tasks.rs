//! Tasks (SEP-2663): a run that its client follows by itself.
//!
//! A task is a run under its own id, `R-3`, and everything about it is read from the daemon when it is asked for. So a
//! task outlives this process, and another one can go on with it.

use std::{collections::BTreeMap, rc::Rc};

use rmcp::model::{CancelTaskParams, ErrorCode, ErrorData, GetTaskParams, UpdateTaskParams};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ask,
    front::{Call, Front, Handled, Reply},
    server,
    tools::sentence,
};
use crate::{
    api::{
        ApiError, Code, OrchestratorState, Outcome, ProcessResponse, Report, RunState, TaskState,
        decision::DecisionStatus, state::Session, wire::Time,
    },
    ids::{DecisionId, RunId},
};

/// How often a client should look, milliseconds. A question is on its screen within this.
const POLL_MS: u64 = 1_000;

/// Tasks that a result names; the report has all.
const NAMED_MAX: usize = 20;

/// The answer to the call that started a run.
pub fn created(run: RunId, response: &ProcessResponse) -> Value {
    let now = Time(crate::time::now());
    json!({
        "resultType": "task",
        "taskId": run,
        "status": "working",
        "statusMessage": response.summary,
        "createdAt": now,
        "lastUpdatedAt": now,
        "ttlMs": null,
        "pollIntervalMs": POLL_MS,
    })
}

/// `tasks/get`, `tasks/update` and `tasks/cancel`.
pub async fn handle(front: &Rc<Front>, call: &Call, method: &str, params: &str) -> Handled {
    if !call.tasks {
        let required = json!({"requiredCapabilities": {"extensions": {(rmcp::model::TASKS_EXTENSION_ID): {}}}});
        let what = "tasks are for clients that declare the extension io.modelcontextprotocol/tasks with each request";
        return Err(ErrorData::new(ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY, what, Some(required)));
    }
    match method {
        "tasks/get" => {
            let params: GetTaskParams = server::params(params)?;
            let run = id(&params.task_id)?;
            get(front, call, run).await.map_err(refused)
        }
        "tasks/update" => {
            let params: UpdateTaskParams = server::params(params)?;
            let run = id(&params.task_id)?;
            update(front, run, params.input_responses).await?;
            Ok(call.dress(json!({})))
        }
        _ => {
            let params: CancelTaskParams = server::params(params)?;
            let run = id(&params.task_id)?;
            front.raw("cancel_task", &json!({"task_id": run})).await.map_err(refused)?;
            Ok(call.dress(json!({})))
        }
    }
}

fn id(text: &str) -> Result<RunId, ErrorData> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        ErrorData::invalid_params(format!("there is no task {shown:?}: a task is a run, such as R-3"), None)
    })
}

fn refused(error: ApiError) -> ErrorData {
    match error.code {
        Code::NotFound | Code::Invalid => ErrorData::invalid_params(sentence(&error), None),
        _ => ErrorData::internal_error(sentence(&error), None),
    }
}

async fn get(front: &Rc<Front>, call: &Call, run: RunId) -> Result<Reply, ApiError> {
    let state: OrchestratorState = front.ask("get_state", &json!({"session_id": run})).await?;
    let Some(session) = state.sessions.into_iter().find(|session| session.request_id == run) else {
        return Err(ApiError::not_found(run));
    };
    let (status, more) = match session.outcome {
        Some(Outcome::Cancelled) => ("cancelled", None),
        Some(_) => ("completed", Some(("result", result(front, run).await?))),
        None if session.open_decisions.is_empty() => ("working", None),
        None => ("input_required", Some(("inputRequests", questions(front, call, &session).await?))),
    };
    let history = &session.transition_history;
    let now = Time(crate::time::now());
    let mut task = json!({
        "taskId": run,
        "status": if status == "input_required" && more.is_none() { "working" } else { status },
        "statusMessage": message(&session),
        "createdAt": history.first().map_or(now, |first| first.timestamp),
        "lastUpdatedAt": history.last().map_or(now, |last| last.timestamp),
        "ttlMs": null,
        "pollIntervalMs": POLL_MS,
    });
    if let Some((name, value)) = more {
        // A question that was just answered leaves none.
        match name == "inputRequests" && value.as_object().is_some_and(serde_json::Map::is_empty) {
            true => task["status"] = "working".into(),
            false => task[name] = value,
        }
    }
    Ok(call.dress(task))
}

fn message(session: &Session) -> String {
    let progress = &session.progress;
    format!(
        "{}: {:.0} %, {} of {} tasks",
        session.request_id, progress.completion_percentage, progress.completed_tasks, progress.total_tasks
    )
}

/// The forms of a run's open decisions. Their ids are used once in a workspace's life, as the protocol wants it.
async fn questions(front: &Rc<Front>, call: &Call, session: &Session) -> Result<Value, ApiError> {
    let mut questions = BTreeMap::new();
    // A client that shows no forms still sees that input is needed, and what for.
    for id in &session.open_decisions {
        let decision = ask::decision(front, *id).await?;
        if decision.status == DecisionStatus::Open {
            questions.insert(id.to_string(), ask::form(&decision, &call.era));
        }
    }
    Ok(json!(questions))
}

async fn update(front: &Rc<Front>, run: RunId, responses: BTreeMap<String, Value>) -> Result<(), ErrorData> {
    for (name, said) in responses {
        let id: Option<DecisionId> = name.parse().ok();
        let decision = match id {
            Some(id) => ask::decision(front, id).await.map_err(refused)?,
            None => return Err(ErrorData::invalid_params(format!("{run} did not ask {name:?}"), None)),
        };
        if decision.context.request_id != run {
            return Err(ErrorData::invalid_params(format!("{name} is not a question of {run}"), None));
        }
        match ask::one(front, &decision, said).await {
            Ok(_) => {}
            // Somebody else was faster: the next look shows what holds.
            Err(error) if error.code == Code::AlreadyDecided => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(())
}

/// What a finished run comes to, for the model that started it.
#[derive(Serialize)]
struct Finished {
    summary: String,
    revision: u64,
    request_id: RunId,
    status: RunState,
    outcome: Option<Outcome>,
    landed: Vec<String>,
    not_in_the_result: Vec<String>,
    diff: crate::api::reply::DiffStat,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    next: Vec<String>,
}

async fn result(front: &Rc<Front>, run: RunId) -> Result<Value, ApiError> {
    let report: Report = front.ask("get_report", &json!({"run": run})).await?;
    let failed = matches!(report.outcome, Some(Outcome::Failed));
    let titled = |wanted: &dyn Fn(&crate::api::result::ReportTask) -> bool| {
        let all: Vec<_> = report.tasks.iter().filter(|task| wanted(task)).collect();
        let rest = all.len().saturating_sub(NAMED_MAX);
        let mut named: Vec<String> = all
            .iter()
            .take(NAMED_MAX)
            .map(|task| match task.reason.as_str() {
                "" => format!("{}: {}", task.task_id, task.title),
                reason => format!("{}: {}: {reason}", task.task_id, task.title),
            })
            .collect();
        if rest > 0 {
            named.push(format!("and {rest} more"));
        }
        named
    };
    let landed = titled(&|task| report.landed.contains(&task.task_id));
    let missing = titled(&|task| task.status != TaskState::Completed && task.status.ended());
    let next = match report.landed.is_empty() {
        true => vec![format!("orchestrator report {run}")],
        false => vec![format!("orchestrator diff {run}"), format!("orchestrator apply {run}")],
    };
    let finished = Finished {
        summary: report.summary.clone(),
        revision: report.revision,
        request_id: run,
        status: report.state,
        outcome: report.outcome,
        landed,
        not_in_the_result: missing,
        diff: report.diff,
        branch: report.result.as_ref().map(|result| result.reference.clone()),
        next,
    };
    let text = serde_json::to_string(&finished)
        .map_err(|error| ApiError::new(Code::Internal, format!("the result cannot be written: {error}"), ""))?;
    Ok(json!({
        "content": [{"type": "text", "text": text}],
        "structuredContent": finished,
        "isError": failed,
    }))
}
