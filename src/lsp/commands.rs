//! What the editor can have done: a command for every call of the daemon, and those that show something.
//!
//! All come back at once. What takes longer is followed through progress, questions and documents.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    bring::{self, Unsaved},
    convert,
    follow::Wake,
    pages::{self, Page},
    shared::{Level, Shared},
};
use crate::{
    api::{
        ApiError, Code,
        kept::READS,
        request::{BUFFERS_BYTES_MAX, nearest},
    },
    ids::{DecisionId, RunId, TaskId},
};

/// Calls of the daemon that are commands under their own names. Not among them: the greeting, which the front end says,
/// the subscription, which it follows, and what only agents say.
pub const CALLS: &[&str] = &[
    "process_request",
    "submit_task",
    "get_task_status",
    "cancel_task",
    "get_state",
    "save_checkpoint",
    "get_pending_decisions",
    "submit_decision",
    "decision_history",
    "forget_rule",
    "get_scorecard",
    "wait_for_change",
    "restore_checkpoint",
    "diff",
    "apply",
    "undo",
    "retry",
    "get_plan",
    "get_report",
    "get_log",
    "why",
    "trust",
    "get_facts",
    "explain_request",
    "list_runs",
    "collect_garbage",
    "daemon_status",
    "stop_daemon",
];

/// Commands that are no calls: a request with a place in a file, the next question, and documents.
const OWN: &[&str] =
    &["run", "decide", "show_plan", "show_report", "show_diff", "show_log", "show_why", "show_explanation", "doctor"];

/// Every command, as the editor hears of it.
pub fn names() -> Vec<String> {
    OWN.iter().chain(CALLS).map(|name| format!("orchestrator.{name}")).collect()
}

/// What the answer to a command is kept under; `None` where it is no plain read. However the editor spaces and orders
/// the arguments, they are the same.
pub fn key(command: &str, arguments: &str) -> Option<String> {
    let call = command.strip_prefix("orchestrator.").filter(|call| READS.contains(call))?;
    let arguments: Value = serde_json::from_str(arguments).ok()?;
    Some(format!("{call} {arguments}"))
}

/// A read. Its answer is kept, and the next time it is not carried out ([`super::pump`]) if it still holds.
async fn read(shared: &Arc<Shared>, command: &str, call: &str, arguments: &[Value]) -> Result<Value, ApiError> {
    let parameters = convert::parameters(command, arguments)?;
    let (reply, holds, daemon) = shared.held(call, &parameters).await?;
    if let (Some(holds), Some(key)) = (holds, key(command, &json!(arguments).to_string())) {
        daemon.keep(&key, holds, reply.get().as_bytes());
    }
    serde_json::from_str(reply.get()).map_err(|error| {
        let message = format!("the daemon's answer to `{call}` cannot be read: {error}");
        ApiError::new(Code::Internal, message, "restart the daemon: `orchestrator daemon stop`")
    })
}

/// Carries a command out.
pub async fn execute(shared: &Arc<Shared>, command: &str, arguments: &[Value]) -> Result<Value, ApiError> {
    let name = command.strip_prefix("orchestrator.").unwrap_or(command);
    match name {
        "run" => {
            let request = convert::request(shared, arguments)?;
            start(shared, json!(request)).await
        }
        // What a caller gives is a whole request already, as on the socket.
        "process_request" => {
            let parameters = convert::parameters(command, arguments)?;
            let request = parameters.get("request").cloned().unwrap_or_else(|| json!(parameters));
            start(shared, request).await
        }
        "decide" => {
            let parameters = convert::parameters(command, arguments)?;
            let wanted: Option<DecisionId> = convert::parameter(command, &parameters, "decision_id")?;
            let open = shared.decisions().len();
            let _ = shared.wakes.send(Wake::Ask(wanted));
            Ok(json!({"summary": match open {
                0 => "nothing waits for you".to_owned(),
                1 => "1 decision waits for you".to_owned(),
                count => format!("{count} decisions wait for you"),
            }}))
        }
        "show_plan" => page(shared, command, arguments, "run", Page::Plan).await,
        "show_report" => page(shared, command, arguments, "run", Page::Report).await,
        "show_diff" => page(shared, command, arguments, "run", Page::Diff).await,
        "show_log" => page(shared, command, arguments, "id", Page::Log).await,
        "show_why" => page(shared, command, arguments, "id", Page::Why).await,
        "show_explanation" => page(shared, command, arguments, "description", Page::Explain).await,
        "doctor" => shown(shared, Page::Doctor).await,
        "apply" => {
            let parameters = convert::parameters(command, arguments)?;
            let run: RunId = convert::parameter(command, &parameters, "run")?;
            let tasks: Option<Vec<TaskId>> = convert::parameter(command, &parameters, "tasks")?;
            // The daemon refuses what is not there now; the rest may wait for the user.
            let diff = shared.call::<Value>("diff", json!({"run": run, "patch": false})).await?;
            let shared = shared.clone();
            tokio::spawn(async move { bring::bring(&shared, run, tasks).await });
            Ok(json!({"summary": format!("{run} is being brought in"), "request_id": run, "files": diff["files"]}))
        }
        "undo" => {
            let parameters = convert::parameters(command, arguments)?;
            bring::take_out(shared, convert::parameter(command, &parameters, "run")?).await
        }
        call if READS.contains(&call) => read(shared, command, call, arguments).await,
        call if CALLS.contains(&call) => {
            let parameters = convert::parameters(command, arguments)?;
            shared.call(call, parameters.into()).await
        }
        other => {
            let known: Vec<&str> = OWN.iter().chain(CALLS).copied().collect();
            let hint = nearest(other, &known).map(|near| format!("did you mean orchestrator.{near}?"));
            Err(ApiError::new(Code::NotFound, format!("there is no command {command}"), hint.unwrap_or_default()))
        }
    }
}

/// Hands a request in, with what is unsaved in the editor: what the user sees is what the run starts from. A file that
/// cannot go with it is named.
async fn start(shared: &Arc<Shared>, mut request: Value) -> Result<Value, ApiError> {
    let unsaved = bring::unsaved(shared, Vec::new()).await;
    let (_, checkout) = shared.daemon_and_checkout().await?;
    let (mut buffers, mut left, mut bytes) = (Map::new(), Vec::new(), 0);
    for Unsaved { name, path, text } in unsaved {
        match text.filter(|text| path.starts_with(&checkout) && bytes + text.len() <= BUFFERS_BYTES_MAX) {
            Some(text) => {
                bytes += text.len();
                buffers.insert(path.display().to_string(), text.into());
            }
            None => left.push(name),
        }
    }
    if let Some(Value::Object(context)) = request.get_mut("context") {
        if !buffers.is_empty() {
            context.insert("buffers".to_owned(), buffers.into());
        }
        if !left.is_empty() {
            context.insert("unsaved".to_owned(), json!(left));
        }
    }
    let response: Value = shared.call("process_request", json!({"request": request})).await?;
    if let Some(run) = response["request_id"].as_str().and_then(|run| run.parse::<RunId>().ok()) {
        let _ = shared.wakes.send(Wake::Own(run));
        if !left.is_empty() {
            let files = left.join(", ");
            let message = format!("{run} works on what is saved: not included are unsaved changes of {files}");
            shared.tell(Level::Warning, &message);
        }
    }
    Ok(response)
}

async fn page<T: serde::de::DeserializeOwned>(
    shared: &Arc<Shared>,
    command: &str,
    arguments: &[Value],
    name: &str,
    of: impl Fn(T) -> Page,
) -> Result<Value, ApiError> {
    let parameters = convert::parameters(command, arguments)?;
    shown(shared, of(convert::parameter(command, &parameters, name)?)).await
}

async fn shown(shared: &Arc<Shared>, page: Page) -> Result<Value, ApiError> {
    let name = page.uri();
    let uri = pages::show(shared, page).await?;
    Ok(json!({"summary": format!("{name} is shown"), "uri": uri}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read from the source of the contract, so that a new call cannot be forgotten here.
    #[test]
    fn every_call_is_a_command_or_left_out_on_purpose() {
        // The second carries the answer of a form at a model's host (`mcp/`); an editor says `submit_decision`. The third
        // is asked by Claude Code's hook. The last two are said by `apply` and `undo`.
        let not_ours = ["hello", "answer_decision", "judge_ask", "placed", "taken_out"];
        let contract = include_str!("../api/mod.rs");
        let calls: Vec<&str> =
            contract.split("#[method(name = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(calls.len() > 20, "{calls:?}");
        for call in calls {
            assert!(
                CALLS.contains(&call) || not_ours.contains(&call) || for_agents(call),
                "{call} is a call without a command"
            );
        }
    }

    /// What an agent or a session that takes tasks says, never an editor.
    fn for_agents(call: &str) -> bool {
        call == "claim_task" || call.starts_with("agent_")
    }
}
