//! Tools: what a model can call. Each is one call of the daemon; the reply goes through as the daemon wrote it.
//!
//! A mistake in the arguments is a tool result that says how to mend it, because a model reads that; an error of the
//! protocol would be shown to nobody.

use std::{
    rc::Rc,
    sync::{Arc, OnceLock},
};

use rmcp::model::{CallToolRequestParams, ErrorData, JsonObject, Tool};
use serde_json::{Value, json, value::RawValue};

use super::{
    ask,
    front::{Call, Era, Front, Handled, Reply},
    server::{self, Said},
    tasks, wait,
};
use crate::{
    api::{ApiError, Code, ProcessResponse, decision::Surface, request::nearest},
    client::again,
};

/// The tools of a person's session.
const SESSION: &str = include_str!("tools.json");

/// The tools of an agent of a run. A session has them too where it may claim tasks.
const AGENT: &str = include_str!("agent_tools.json");

fn read(text: &'static str) -> Vec<Tool> {
    // Both files are part of the program, and a test reads them.
    serde_json::from_str(text).unwrap_or_default()
}

/// The tools that this client has: an agent of a run its own, a session those of a person, and where it may claim tasks
/// also what it needs for one.
fn of(agent: bool, pull: bool) -> Vec<Tool> {
    match (agent, pull) {
        (true, _) => read(AGENT).into_iter().filter(|tool| tool.name != "claim_task").collect(),
        (false, false) => read(SESSION),
        (false, true) => {
            let claims = read(AGENT).into_iter().map(of_a_claim);
            read(SESSION).into_iter().chain(claims).map(short).collect()
        }
    }
}

/// A tool of an agent for a session: it has no attempt of its own, so that it has to name the one that it claimed; and a
/// host may look it up when it is wanted.
fn of_a_claim(mut tool: Tool) -> Tool {
    tool.meta = None;
    let schema = Arc::make_mut(&mut tool.input_schema);
    if schema.get("properties").is_some_and(|properties| properties.get("attempt_id").is_some()) {
        schema["properties"]["attempt_id"]["description"] = "T-4.1".into();
        if let Value::Array(required) = schema.entry("required").or_insert_with(|| json!([])) {
            required.push("attempt_id".into());
        }
    }
    tool
}

/// A tool in as few words as it can be: fourteen of them have to fit where ten do, because a model reads all of this
/// before anything else. What goes is what it can do without: the title, defaults, and the shape of answers, of which it
/// is said that they have a summary and a revision.
fn short(mut tool: Tool) -> Tool {
    tool.title = None;
    tool.output_schema = tool.output_schema.map(|_| {
        let said = json!({"type": "object", "required": ["summary", "revision"]});
        Arc::new(said.as_object().cloned().unwrap_or_default())
    });
    if let Some(annotations) = &mut tool.annotations {
        for hint in [&mut annotations.read_only_hint, &mut annotations.idempotent_hint] {
            *hint = hint.filter(|yes| *yes);
        }
    }
    tool
}

/// `tools/list`. One page: there are few.
pub fn list(front: &Front, call: &Call, params: &str) -> Handled {
    server::first_page(params)?;
    Ok(call.listed(json!({"tools": of(front.agent, front.pull)})))
}

/// The names of the tools that a client has; read once, because a process serves one client.
fn names(agent: bool, pull: bool) -> &'static [&'static str] {
    static NAMES: OnceLock<[Vec<&str>; 3]> = OnceLock::new();
    let all = NAMES.get_or_init(|| {
        let names = |agent, pull| -> Vec<&str> {
            let tools = of(agent, pull).into_iter();
            tools.map(|tool| &*Box::leak(tool.name.into_owned().into_boxed_str())).collect()
        };
        [names(true, false), names(false, false), names(false, true)]
    });
    match (agent, pull) {
        (true, _) => &all[0],
        (false, false) => &all[1],
        (false, true) => &all[2],
    }
}

/// Tools that are one look at the state, and whose answers may be kept.
const READS: [&str; 3] = ["get_task_status", "get_state", "get_pending_decisions"];

/// What an answer to this call is kept under; `None` for what is no plain read. The id, the progress token and whatever
/// else a request says of itself make no other answer.
pub fn key(call: &Call, said: &Said) -> Option<String> {
    let name = said.name?.get().trim_matches('"');
    let second_round = said.request_state.is_some() || said.input_responses.is_some();
    if second_round || !READS.contains(&name) {
        return None;
    }
    let era = if call.era == Era::Inline { "i" } else { "h" };
    Some([era, name, " ", said.arguments.map_or("", RawValue::get)].concat())
}

/// Whether this call waits for a change and makes none. One that brings answers makes one.
pub fn waits(said: &Said) -> bool {
    said.name.is_some_and(|name| name.get() == "\"wait_for_change\"") && said.input_responses.is_none()
}

/// The names of a tool's arguments, by tool; read once.
fn arguments_of(tool: &str) -> Option<&'static [String]> {
    static NAMES: OnceLock<Vec<(String, Vec<String>)>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let tools = read(SESSION).into_iter().chain(read(AGENT));
        tools
            .map(|tool| {
                let properties = tool.input_schema.get("properties").and_then(Value::as_object);
                let names = properties.into_iter().flat_map(|properties| properties.keys().cloned());
                (tool.name.into_owned(), names.collect())
            })
            .collect()
    });
    names.iter().find(|(name, _)| name == tool).map(|(_, arguments)| arguments.as_slice())
}

/// `tools/call`.
pub async fn call(front: &Rc<Front>, call: &Call, params: &str) -> Handled {
    let params: CallToolRequestParams = server::params(params)?;
    let name = params.name.as_ref();
    let names = names(front.agent, front.pull);
    if !names.contains(&name) {
        let hint = match nearest(name, names) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", names.join(", ")),
        };
        let shown: String = name.chars().take(80).collect();
        return Err(ErrorData::invalid_params(format!("there is no tool `{shown}`; {hint}"), None));
    }
    let mut arguments = params.arguments.unwrap_or_default();
    let round = match ask::round(front, name, params.request_state.as_deref(), params.input_responses) {
        Ok(round) => round,
        Err(sentence) => return Err(ErrorData::invalid_params(sentence, None)),
    };
    match one(front, call, name, &mut arguments, round).await {
        Ok(reply) => Ok(reply),
        Err(error) => Ok(Reply::Mistaken(sentence(&error))),
    }
}

/// A refusal as one or two sentences, its code first.
pub fn sentence(error: &ApiError) -> String {
    let hint = match error.hint.as_str() {
        "" => String::new(),
        hint => format!(" {}.", capital(hint).trim_end_matches('.')),
    };
    format!("{}: {}.{hint}", error.code.name(), error.to_string().trim_end_matches('.')).replace("?.", "?")
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

async fn one(
    front: &Rc<Front>,
    call: &Call,
    name: &str,
    arguments: &mut JsonObject,
    round: ask::Round,
) -> Result<Reply, ApiError> {
    checked(name, arguments)?;
    // Plain words for what the daemon calls an answer's parts.
    let raw = |method: &'static str, arguments: JsonObject| async move { front.raw(method, &arguments).await };
    Ok(match name {
        "process_request" => return process_request(front, call, arguments, round).await,
        "wait_for_change" => return wait::tool(front, call, arguments, round).await,
        "submit_decision" => return submit_decision(front, arguments).await,
        "submit_task" => Reply::Called(front.raw("submit_task", &json!({"task": arguments})).await?),
        "save_checkpoint" | "restore_checkpoint" | "claim_task" => Reply::Called(front.raw(name, arguments).await?),
        "my_task" => Reply::Called(raw("agent_task", std::mem::take(arguments)).await?),
        "report_task" => Reply::Called(raw("agent_report", std::mem::take(arguments)).await?),
        "notes" => Reply::Called(raw("agent_notes", std::mem::take(arguments)).await?),
        "get_task_status" | "get_state" | "get_pending_decisions" => front.held(name, arguments).await?,
        // The names were looked at before.
        _ => Reply::Called(raw("cancel_task", std::mem::take(arguments)).await?),
    })
}

/// Refuses unknown names, and brings ids into the form that the daemon reads: `r-3` and `web:R-3` are `R-3`.
fn checked(tool: &str, arguments: &mut JsonObject) -> Result<(), ApiError> {
    let names = arguments_of(tool).unwrap_or_default();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(unknown) = arguments.keys().find(|name| !known.contains(&name.as_str())) {
        let hint = match nearest(unknown, &known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.is_empty() => "it takes none".to_owned(),
            None => format!("it takes {}", known.join(", ")),
        };
        let shown: String = unknown.chars().take(80).collect();
        return Err(ApiError::new(Code::Invalid, format!("`{tool}` has no argument `{shown}`"), hint));
    }
    for (name, form) in [
        ("task_id", "T-42 or R-3"),
        ("session_id", "R-3"),
        ("run", "R-3"),
        ("decision_id", "D-7"),
        ("checkpoint_id", "C-5"),
        ("attempt_id", "T-42.2"),
    ] {
        if name == "task_id" && tool == "claim_task" && arguments.get(name).is_none() {
            continue;
        }
        match arguments.get(name) {
            // What may be left out may be null.
            Some(Value::Null) => drop(arguments.remove(name)),
            Some(Value::String(text)) => {
                let id = id_of(text).ok_or_else(|| no_id(name, text, form))?;
                arguments.insert(name.to_owned(), id.into());
            }
            Some(other) => return Err(no_id(name, &other.to_string(), form)),
            None if required(tool, name) => {
                let message = format!("`{tool}` needs `{name}`, such as {form}");
                return Err(ApiError::new(Code::Invalid, message, "get_state lists what there is").at_field(name));
            }
            None => {}
        }
    }
    Ok(())
}

fn required(tool: &str, argument: &str) -> bool {
    matches!(
        (tool, argument),
        ("get_task_status" | "cancel_task", "task_id")
            | ("submit_decision", "decision_id")
            | ("restore_checkpoint", "checkpoint_id")
    )
}

fn no_id(name: &str, text: &str, form: &str) -> ApiError {
    let shown: String = text.chars().take(60).collect();
    let message = match shown.split_once(':') {
        Some((workspace, _)) => {
            format!("`{name}` is {shown:?}, an id of the workspace `{workspace}`, which is not this one")
        }
        None => format!("`{name}` is {shown:?}, which is no id of the form {form}"),
    };
    ApiError::new(Code::Invalid, message, "get_state lists what there is in this workspace").at_field(name)
}

/// An id as people write it. One that names a workspace is passed on only where it has none, because this connection
/// serves one workspace.
fn id_of(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let (letter, number) = text.split_once('-')?;
    let numbers = number.split('.');
    let plain = numbers.clone().count() <= 2 && numbers.clone().all(|part| !part.is_empty() && part.len() < 20);
    let digits = numbers.into_iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    (matches!(letter, "R" | "T" | "D" | "C") && plain && digits).then_some(text)
}

/// Gives a request a key where its client gave none, so that it can be handed in again: to see what became of it.
fn keyed(arguments: &mut JsonObject) -> Option<String> {
    if arguments.get("key").is_none_or(Value::is_null)
        && let Some(key) = again::key("mcp")
    {
        arguments.insert("key".to_owned(), key.into());
    }
    arguments.get("key").and_then(Value::as_str).map(str::to_owned)
}

/// Largest plan that goes with the answer; a larger one is a resource.
const PLAN_BYTES_MAX: usize = 6_000;

async fn process_request(
    front: &Rc<Front>,
    call: &Call,
    arguments: &mut JsonObject,
    round: ask::Round,
) -> Result<Reply, ApiError> {
    if let Some(key) = &round.key {
        arguments.insert("key".to_owned(), key.clone().into());
    }
    let given = arguments.get("key").is_some_and(|key| !key.is_null()) && round.key.is_none();
    let key = keyed(arguments);
    let mut notes = ask::record(front, &round).await;
    let mut response: ProcessResponse = front.ask("process_request", &json!({"request": arguments})).await?;
    if arguments.get("mode").and_then(Value::as_str) == Some("plan") {
        return Ok(fitted(response, notes));
    }
    let run = response.request_id;
    if call.tasks && !response.duplicate {
        return Ok(Reply::Value(tasks::created(run, &response)));
    }
    // The plan and a first question mostly come within a moment; then the answer has them.
    if !wait::planned(front, run, response.revision, &response).await {
        return Ok(fitted(response, notes));
    }
    let duplicate = response.duplicate && given;
    response = front.ask("process_request", &json!({"request": arguments})).await?;
    if call.forms
        && let Some(decision) = response.decision_id
    {
        match ask::now(front, call, "process_request", run, decision, key.as_deref()).await {
            ask::Asked::Return(reply) => return Ok(reply),
            ask::Asked::Done(note) => {
                notes.extend(note);
                response = front.ask("process_request", &json!({"request": arguments})).await?;
            }
            ask::Asked::Not => {}
        }
    }
    response.duplicate = duplicate;
    Ok(fitted(response, notes))
}

/// The response with what was said about decisions, and without a plan that would fill the model's context.
fn fitted(mut response: ProcessResponse, notes: Vec<String>) -> Reply {
    if !notes.is_empty() {
        response.summary = format!("{}; {}", notes.join("; "), response.summary);
    }
    let bytes = |response: &ProcessResponse| serde_json::to_vec(&response.initial_plan).map_or(0, |plan| plan.len());
    if bytes(&response) > PLAN_BYTES_MAX {
        response.initial_plan = None;
        response.summary =
            format!("{}; its plan is the resource orchestrator://runs/{}/plan", response.summary, response.request_id);
    }
    raw(&response)
}

/// A reply of one of our own types.
pub fn raw(value: &impl serde::Serialize) -> Reply {
    match serde_json::value::to_raw_value(value) {
        Ok(raw) => Reply::Called(raw),
        Err(error) => Reply::Mistaken(format!("INTERNAL: the answer cannot be written: {error}.")),
    }
}

async fn submit_decision(front: &Rc<Front>, arguments: &JsonObject) -> Result<Reply, ApiError> {
    let id = arguments.get("decision_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let response = arguments.get("response").cloned().unwrap_or_default();
    // What a person chose by typing a prompt is theirs, for this choice and once.
    let choice = response.get("choice").and_then(Value::as_str).unwrap_or_default();
    let typed = id.parse().ok().is_some_and(|id| {
        let mut prompted = front.prompted.borrow_mut();
        let same = prompted.get(&id).is_some_and(|typed| typed == choice);
        same && prompted.remove(&id).is_some()
    });
    let surface = if typed { Surface::McpPrompt } else { Surface::McpTool };
    match answer(front, &id, response, surface).await {
        Ok(reply) => Ok(Reply::Called(reply)),
        Err(mut error) => {
            if error.code == Code::Forbidden {
                error.hint = format!(
                    "show it to the user; they answer with the prompt `decide {id} OPTION` (in Claude Code: \
                     /mcp__orchestrator__decide {id} OPTION) or `orchestrator decide {id} OPTION` in a terminal"
                );
            }
            Err(error)
        }
    }
}

/// Gives the daemon an answer, and says through which face it came.
pub async fn answer(front: &Front, id: &str, response: Value, surface: Surface) -> Result<Box<RawValue>, ApiError> {
    let params = json!({"decision_id": id, "response": response, "surface": surface});
    front.raw("answer_decision", &params).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_tools_of_the_protocol_and_small() {
        let session = serde_json::from_str::<Vec<Tool>>(SESSION).unwrap();
        let agent = serde_json::from_str::<Vec<Tool>>(AGENT).unwrap();
        assert_eq!(session.len(), 10);
        assert_eq!(agent.len(), 4);
        let bytes = serde_json::to_vec(&json!({"tools": session})).unwrap().len();
        assert!(bytes <= 8 << 10, "{bytes}");
        for tool in session.iter().chain(&agent) {
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            let output = tool.output_schema.as_ref().expect("each says what it answers");
            assert_eq!(output["required"][0], "summary", "{}", tool.name);
            assert!(tool.annotations.is_some(), "{}", tool.name);
            assert!(arguments_of(&tool.name).is_some());
        }
        let loaded = session.iter().filter(|tool| tool.meta.is_some()).count();
        assert_eq!(loaded, 3);
    }

    #[test]
    fn a_session_that_may_claim_has_all_that_a_claim_needs_and_no_more_bytes() {
        let names = |agent, pull| of(agent, pull).into_iter().map(|tool| tool.name.into_owned()).collect::<Vec<_>>();
        assert_eq!(names(true, true), ["my_task", "report_task", "notes"]);
        assert_eq!(names(true, false), names(true, true));
        assert_eq!(names(false, false).len(), 10);
        assert_eq!(names(false, true)[..10], names(false, false));
        assert_eq!(names(false, true)[10..], ["my_task", "report_task", "notes", "claim_task"]);
        let tools = of(false, true);
        // With what 2026-07-28 puts around them.
        let around = json!({"tools": tools, "ttlMs": 0, "cacheScope": "private", "resultType": "complete"});
        let bytes = serde_json::to_vec(&around).unwrap().len();
        assert!(bytes <= 8 << 10, "{bytes}");
        for tool in &tools {
            let output = tool.output_schema.as_ref().expect("each says what it answers");
            assert_eq!(output["required"], json!(["summary", "revision"]), "{}", tool.name);
            let required = tool.input_schema.get("required").cloned().unwrap_or_default();
            let about_an_attempt = ["my_task", "report_task", "notes"].contains(&tool.name.as_ref());
            assert_eq!(required.to_string().contains("attempt_id"), about_an_attempt, "{}", tool.name);
        }
        // What a host asks its person by stays.
        let hints = |name: &str| tools.iter().find(|tool| tool.name == name).and_then(|tool| tool.annotations.clone());
        assert_eq!(hints("cancel_task").unwrap().destructive_hint, Some(true));
        assert_eq!(hints("claim_task").unwrap().destructive_hint, Some(false));
        assert_eq!(hints("get_state").unwrap().read_only_hint, Some(true));
    }

    #[test]
    fn ids_are_read_as_people_write_them() {
        assert_eq!(id_of("r-3"), Some("R-3".to_owned()));
        assert_eq!(id_of(" T-42.2 "), Some("T-42.2".to_owned()));
        for text in ["", "3", "R3", "R-", "X-3", "web:D-7", "R-3.", "T-1.2.3", "R-99999999999999999999999", "D-7 "] {
            assert_eq!(id_of(text).is_some(), text == "D-7 ", "{text:?}");
        }
    }

    fn object(value: Value) -> JsonObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_mistake_is_a_sentence_with_a_remedy() {
        let mistake = |tool: &str, arguments: Value| sentence(&checked(tool, &mut object(arguments)).unwrap_err());
        assert_eq!(
            mistake("get_task_status", json!({"taskid": "T-1"})),
            "INVALID: `get_task_status` has no argument `taskid`. Did you mean `task_id`?"
        );
        assert_eq!(
            mistake("get_pending_decisions", json!({"x": 1})),
            "INVALID: `get_pending_decisions` has no argument `x`. It takes none."
        );
        assert!(mistake("cancel_task", json!({})).starts_with("INVALID: `cancel_task` needs `task_id`"));
        assert!(mistake("cancel_task", json!({"task_id": 7})).contains("is \"7\", which is no id of the form T-42"));
        assert!(mistake("submit_decision", json!({"decision_id": "web:D-7"})).contains("the workspace `web`"));
        let mut null = object(json!({"session_id": null}));
        checked("get_state", &mut null).unwrap();
        assert!(null.is_empty());
    }
}
