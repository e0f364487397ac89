//! Requests on their way in: from the wire's shapes to what the core takes, or to a refusal that names the field.
//!
//! Only the form is judged here; whether a command fits the state is the core's to say.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use serde_json::{Map, Value, json};

use super::words::first_line;
use crate::{
    api::{
        ApiError, Code, PlacedFile, ProcessRequest, TaskSubmission, UserDecisionResponse,
        decision::{Answerer, AnswererKind},
        request,
    },
    core::{
        Command, Settings,
        decide::decision::By,
        input::Remember,
        plan::{
            self,
            file::{self, Parsed, PlanError},
            playbook,
            spec::{Argv, Budget, Plan},
        },
        run::{ApplyWish, ApprovePlan, Interaction, Mode, Request},
    },
    daemon::lanes::Placed,
    ids::DecisionId,
    time::Timestamp,
};

/// What a request is given beside its own words: by the connection and the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The time.
    pub now: Timestamp,
    /// The folder that the connection is in.
    pub checkout: &'a Path,
    /// The client's allow-listed environment.
    pub env: &'a BTreeMap<String, String>,
    /// Names of the keys that it handed over for agents.
    pub keys: &'a [String],
    /// Whether commands found in the workspace's files may run for this request without being asked about.
    pub trust: bool,
    /// The configuration.
    pub settings: &'a Settings,
    /// Names of the playbooks and skills here; looked up only for a task that names one.
    pub playbooks: &'a [String],
}

/// A request as the core takes it.
///
/// # Errors
/// INVALID or CYCLE, with the field at fault.
pub fn process_request(asked: ProcessRequest, given: &Given<'_>) -> Result<Request, ApiError> {
    let mut request = begin(given);
    let constraints = object(&asked.constraints);
    request.deadline = asked.constraints.deadline.as_deref().map(deadline).transpose()?;
    let plan = match asked.plan {
        None => None,
        Some(Value::String(text)) => Some(file::parse(&text, None).map_err(|error| plan_error(&error))?),
        Some(value @ Value::Object(_)) => Some(file::from_value(&value).map_err(|error| plan_error(&error))?),
        Some(_) => {
            let hint = "send the content of a plan file as text, or the plan as an object with `version` and `tasks`";
            return Err(invalid("plan", "`plan` must be text or an object", hint));
        }
    };
    let mut plan = plan.map(own_tasks_only).transpose()?;
    if plan.is_none() {
        request.verify = checks(asked.constraints.verify.clone().unwrap_or_default())?;
    }
    if let Some(plan) = &mut plan {
        let limits = &asked.constraints;
        plan.verify.extend(checks(limits.verify.clone().unwrap_or_default())?);
    }
    request.description = match (asked.description.is_empty(), &plan) {
        (true, Some(plan)) if !plan.title.is_empty() => plan.title.clone(),
        (true, Some(plan)) => format!("A plan of {}", super::words::plural(plan.tasks.len(), "task")),
        _ => asked.description,
    };
    request.priority = asked.priority;
    request.mode = match asked.mode {
        request::Mode::Start => Mode::Start,
        request::Mode::Plan => Mode::Plan,
    };
    request.apply = match asked.preferences.apply {
        None => ApplyWish::Auto,
        Some(request::ApplyPreference::Ask) => ApplyWish::Ask,
        Some(request::ApplyPreference::Never) => ApplyWish::Never,
    };
    request.interaction = match asked.preferences.interaction {
        None => given.settings.interaction,
        Some(request::Interaction::Minimal) => Interaction::Minimal,
        Some(request::Interaction::Checkpoint) => Interaction::Checkpoint,
        Some(request::Interaction::Collaborative) => Interaction::Collaborative,
    };
    request.approve_plan = match asked.preferences.approve_plan.unwrap_or_default() {
        request::Approve::Auto => ApprovePlan::Auto,
        request::Approve::Always => ApprovePlan::Always,
        request::Approve::Never => ApprovePlan::Never,
    };
    let preferences = object(&asked.preferences);
    request.unenforced = unenforced(&constraints, &preferences);
    let mut context = object(&asked.context);
    // These are fields of their own.
    for name in ["workspace", "environment", "buffers"] {
        context.remove(name);
    }
    request.buffers = buffers(asked.context.buffers, given.checkout)?;
    for (name, value) in [("constraints", constraints), ("preferences", preferences)] {
        if !value.is_empty() && !context.contains_key(name) {
            context.insert(name.to_owned(), Value::Object(value));
        }
    }
    request.context = context;
    request.environment = asked.context.environment;
    request.jobs = asked.jobs;
    let limits = &asked.constraints;
    request.budget =
        Budget { usd: limits.max_cost_usd, tokens: limits.max_tokens, minutes: limits.max_minutes, spawns: None };
    request.strategy = asked.preferences.strategy;
    request.coordination = asked.preferences.coordination;
    request.planner = asked.preferences.planner.clone();
    request.key = asked.key;
    request.plan_source = plan.as_ref().map(|_| "client".to_owned());
    request.plan = plan.map(Box::new);
    Ok(request)
}

/// What an editor brought into its buffers: files below the checkout, each once, and none of git's own.
///
/// # Errors
/// INVALID, naming the path.
pub fn placed(files: Vec<PlacedFile>) -> Result<Vec<Placed>, ApiError> {
    let mut names = std::collections::BTreeSet::new();
    let refused = |path: &str, why: &str| {
        let message = format!("`files` names {path:?}, {why}");
        Err(ApiError::new(Code::Invalid, message, "name each file once, as `diff` does").at_field("files"))
    };
    if files.is_empty() {
        return refused("", "so nothing was placed");
    }
    let mut placed = Vec::new();
    for PlacedFile { path, before, after } in files {
        let plain = |part: Component<'_>| match part {
            Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
            _ => false,
        };
        if path.is_empty() || path.contains(['\0', '\n']) || !Path::new(&path).components().all(plain) {
            return refused(&path, "which is no file of the checkout");
        }
        if !names.insert(path.clone()) {
            return refused(&path, "twice");
        }
        placed.push(Placed { path, before, after });
    }
    Ok(placed)
}

/// What an editor has unsaved, by path from the workspace's root.
fn buffers(given: BTreeMap<String, String>, checkout: &Path) -> Result<BTreeMap<String, String>, ApiError> {
    let inside = |(path, text): (String, String)| {
        let name = Path::new(&path).strip_prefix(checkout).ok().filter(|name| {
            name.components().next().is_some() && name.components().all(|part| matches!(part, Component::Normal(_)))
        });
        match name.and_then(Path::to_str) {
            Some(name) => Ok((name.to_owned(), text)),
            None => {
                let message = format!("`context.buffers` names {path}, which is not a file of {}", checkout.display());
                Err(ApiError::new(Code::Invalid, message, "leave it out").at_field("context.buffers"))
            }
        }
    };
    given.into_iter().map(inside).collect()
}

/// A single task as the core takes it: into a run, or as a run of its own.
///
/// # Errors
/// INVALID, with the field at fault.
pub fn submit_task(task: TaskSubmission, given: &Given<'_>) -> Result<Command, ApiError> {
    let TaskSubmission { kind, description, mut parameters, mut dependencies, workflow_id, key } = task;
    let has = |name: &str, parameters: &Map<String, Value>| parameters.get(name).is_some_and(|value| !value.is_null());
    match kind.as_str() {
        "skill_execution" if has("command", &parameters) || has("run", &parameters) => {}
        "skill_execution" => {
            let Some(skill) = parameters.remove("skill").and_then(|skill| Some(skill.as_str()?.to_owned())) else {
                let message = "`parameters` names neither a skill nor a command";
                let hint = "send `parameters.skill` with a name, or `parameters.command` (a list) or `run` (shell)";
                return Err(invalid("parameters.skill", message, hint));
            };
            // A skill is a playbook of one task, and is looked up with them when the repository was looked at.
            parameters.insert("playbook".to_owned(), playbook::skill_name(&skill).into());
            if let Some(args) = parameters.remove("args") {
                parameters.insert("params".to_owned(), args);
            }
        }
        "workflow_execution" => {}
        "decision_making" => {
            if !has("question", &parameters) {
                parameters.insert("question".to_owned(), first_line(&description, 200).into());
            }
        }
        _ if ["command", "run", "prompt"].iter().any(|work| has(work, &parameters)) => {}
        _ => {
            parameters.insert("prompt".to_owned(), description.as_str().into());
        }
    }
    if matches!(kind.as_str(), "skill_execution" | "workflow_execution") && !has("command", &parameters) {
        library(&parameters, given.playbooks)?;
    }
    if has("prompt", &parameters) && !has("writes", &parameters) {
        // Who does not say what it writes may write anything, so nothing else that writes runs beside it.
        parameters.insert("writes".to_owned(), json!(["**"]));
    }
    let id = match parameters.get("id").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => slug(&description),
    };
    parameters.insert("id".to_owned(), id.as_str().into());
    parameters.entry("title").or_insert_with(|| first_line(&description, 80).into());
    parameters.entry("type").or_insert_with(|| kind.as_str().into());
    let plan = json!({"version": 1, "tasks": [parameters]});
    let Parsed { mut plan, external, .. } = file::from_value(&plan).map_err(|error| parameter_error(&error, &id))?;
    let Some(spec) = plan.tasks.pop() else {
        return Err(invalid("parameters", "`parameters` describe no task", ""));
    };
    for (_, needed) in external {
        if !dependencies.contains(&needed) {
            dependencies.push(needed);
        }
    }
    let mut request = begin(given);
    request.description = description;
    request.priority = spec.extras().priority.unwrap_or_default();
    request.environment = spec.extras().environment.clone();
    request.interaction = given.settings.interaction;
    request.key = key;
    Ok(Command::SubmitTask { spec: Box::new(spec), dependencies, run: workflow_id, request: Box::new(request) })
}

/// An answer as the core takes it. `by` is what the daemon found out about the connection, never what it claims.
pub fn answer(decision: DecisionId, response: UserDecisionResponse, by: &Answerer) -> Result<Command, ApiError> {
    let kind = match by.kind {
        AnswererKind::Person => "person",
        AnswererKind::Session => "session",
        AnswererKind::Rule => "rule",
        AnswererKind::Learned => "learned",
        AnswererKind::Probation => "probation",
    };
    let by = By { kind: kind.to_owned(), surface: by.surface.name().to_owned(), name: by.name.clone() };
    let remember = match response.remember {
        request::Remember::Once => Remember::Once,
        request::Remember::Run => Remember::Run,
        request::Remember::Always => Remember::Always,
    };
    Ok(Command::Answer { decision, choice: response.choice, text: response.text, by, remember })
}

fn begin(given: &Given<'_>) -> Request {
    let (checkout, env) = (given.checkout.to_owned(), given.env.clone());
    Request { checkout, env, keys: given.keys.to_vec(), trust: given.trust, ..Request::default() }
}

fn invalid(field: &str, message: &str, hint: &str) -> ApiError {
    ApiError::new(Code::Invalid, message, hint).at_field(field)
}

/// A part of a request as it was sent, without what is absent.
fn object<T: serde::Serialize>(part: &T) -> Map<String, Value> {
    match serde_json::to_value(part) {
        Ok(Value::Object(fields)) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// `constraints.verify`: commands that must pass on the final tree.
fn checks(checks: Vec<Argv>) -> Result<Vec<Argv>, ApiError> {
    match checks.iter().position(|argv| argv.first().is_none_or(String::is_empty)) {
        None => Ok(checks),
        Some(empty) => {
            let field = format!("constraints.verify[{empty}]");
            Err(invalid(&field, &format!("the command at `{field}` is empty"), "the first element is the program"))
        }
    }
}

/// The constraints and preferences that nothing here holds a run to. They are handed on; saying so is part of the
/// answer. A name leaves this list on the day that something enforces it.
fn unenforced(constraints: &Map<String, Value>, preferences: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, value) in constraints {
        // The checks are added to a plan's own final ones, or to those of every change that a request in words leads
        // to; minutes are a limit of the run.
        // A deadline that passes is asked about, and so is a change that takes exports away or alters them.
        let enforced = matches!(name.as_str(), "verify" | "max_minutes" | "deadline" | "maintain_compatibility");
        if !enforced && *value != Value::Bool(false) {
            names.push(name.clone());
        }
    }
    for name in preferences.keys() {
        let stands = match name.as_str() {
            "interaction" | "approve_plan" => false,
            // Nothing applies a result unasked.
            "apply" => false,
            // Laid out so, whatever the plan says.
            "strategy" | "coordination" | "planner" => false,
            _ => true,
        };
        if stands {
            names.push(format!("preferences.{name}"));
        }
    }
    names
}

/// Reads a deadline: a date means its end, a time without a zone is UTC.
fn deadline(text: &str) -> Result<Timestamp, ApiError> {
    let text = text.trim();
    let whole_day = || Timestamp::parse_rfc3339(&format!("{text}T23:59:59.999Z"));
    let parsed = match text.len() {
        10 => whole_day(),
        _ => Timestamp::parse_rfc3339(text).or_else(|| with_offset(text)),
    };
    parsed.ok_or_else(|| {
        let message = format!("`constraints.deadline` is {text:?}, which is neither a date nor a time");
        invalid("constraints.deadline", &message, "write 2026-12-31 or 2026-12-31T18:00:00Z")
    })
}

/// RFC 3339 with an offset: `2026-12-31T18:00:00+02:00`.
fn with_offset(text: &str) -> Option<Timestamp> {
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let east = match offset.as_bytes()[0] {
        b'+' => true,
        b'-' => false,
        _ => return None,
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let local = Timestamp::parse_rfc3339(local)?;
    let shift_ms = (hours * 60 + minutes) * 60_000;
    Some(Timestamp(if east { local.0.checked_sub(shift_ms)? } else { local.0 + shift_ms }))
}

/// A plan of a new run can only need its own tasks.
fn own_tasks_only(parsed: Parsed) -> Result<Plan, ApiError> {
    let Some((position, outside)) = parsed.external.first() else { return Ok(parsed.plan) };
    let name = parsed.plan.tasks.get(*position as usize).map_or("", |task| &task.name);
    let message = format!("task {name:?} needs {outside}, which is not a task of this plan");
    let hint = format!("name a task of the plan by its id; to add to the run of {outside}, submit single tasks to it");
    Err(invalid(&format!("plan.tasks[{position}].needs"), &message, &hint))
}

/// Everything that is wrong with a plan: the first problem as the refusal, the others behind it, so that one look
/// mends the plan.
fn plan_error(error: &PlanError) -> ApiError {
    refusal(
        error,
        |problem| problem.message.clone(),
        |field| match field {
            Some(field) => format!("plan.{field}"),
            None => "plan".to_owned(),
        },
    )
}

/// The same for the plan that was made of a submission's parameters: they are what the client knows.
fn parameter_error(error: &PlanError, id: &str) -> ApiError {
    let label = format!("task {id:?}: ");
    let mut refused = refusal(
        error,
        |problem| problem.message.strip_prefix(&label).unwrap_or(&problem.message).to_owned(),
        |field| match field.and_then(|field| field.strip_prefix("tasks[0]")).map(|field| field.trim_start_matches('.'))
        {
            Some(field) if !field.is_empty() => format!("parameters.{field}"),
            _ => "parameters".to_owned(),
        },
    );
    if refused.hint.is_empty() && refused.field.as_deref().is_some_and(|field| field.starts_with("parameters.needs")) {
        refused.hint = "name tasks by their number, as T-42, in `dependencies`".to_owned();
    }
    refused
}

fn refusal(
    error: &PlanError,
    message: impl Fn(&file::Problem) -> String,
    field: impl Fn(Option<&str>) -> String,
) -> ApiError {
    let first = error.first();
    let place = |problem: &file::Problem| problem.line.map_or(String::new(), |line| format!("line {line}: "));
    let mut text = format!("{}{}", place(first), message(first));
    for problem in &error.problems[1..] {
        text.push_str(&format!("\n{}{}", place(problem), message(problem)));
        if let Some(hint) = &problem.hint {
            text.push_str(&format!("; {hint}"));
        }
    }
    if error.more > 0 {
        text.push_str(&format!("\n… and {} more", error.more));
    }
    let code = match first.code {
        file::Code::Invalid => Code::Invalid,
        file::Code::Cycle => Code::Cycle,
    };
    ApiError::new(code, text, first.hint.clone().unwrap_or_default()).at_field(field(first.field.as_deref()))
}

/// A playbook is there, and its tasks can become a run: they take the place of the task that names it.
fn library(parameters: &Map<String, Value>, known: &[String]) -> Result<(), ApiError> {
    let asked = parameters.get("playbook").and_then(Value::as_str);
    let (what, field, short) = match asked.and_then(|name| name.strip_prefix(playbook::PREFIX)) {
        Some(skill) => ("skill", "parameters.skill", skill),
        None if parameters.contains_key("run") => return Ok(()),
        None => ("playbook", "parameters.playbook", asked.unwrap_or_default()),
    };
    let names: Vec<&str> = match what {
        "skill" => known.iter().filter_map(|name| name.strip_prefix(playbook::PREFIX)).collect(),
        _ => known.iter().map(String::as_str).filter(|name| !name.starts_with(playbook::PREFIX)).collect(),
    };
    if names.contains(&short) {
        return Ok(());
    }
    let all = match names.as_slice() {
        [] => format!("there are none here; a {what} is a file .orchestrator/{what}s/NAME.toml"),
        names => format!("the {what}s here are {}", names.join(", ")),
    };
    if short.is_empty() {
        return Err(invalid(field, &format!("`{field}` must name a {what}"), &all));
    }
    let hint = plan::nearest(short, names.iter().copied()).map_or(all, |near| format!("did you mean {near:?}?"));
    Err(invalid(field, &format!("there is no {what} {short:?}"), &hint))
}

/// A task's local name, made from its description.
fn slug(description: &str) -> String {
    let mut slug = String::new();
    for character in first_line(description, 200).to_lowercase().chars() {
        match character {
            'a'..='z' | '0'..='9' => slug.push(character),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() == 40 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "task".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn deadlines_are_dates_or_times() {
        let read = |text: &str| deadline(text).map(Timestamp::rfc3339).map_err(|error| error.message);
        assert_eq!(read("2026-12-31").unwrap(), "2026-12-31T23:59:59.999Z");
        assert_eq!(read("2026-12-31T18:00:00Z").unwrap(), "2026-12-31T18:00:00.000Z");
        assert_eq!(read("2026-12-31T18:00:00+02:00").unwrap(), "2026-12-31T16:00:00.000Z");
        assert_eq!(read("2026-12-31T18:00:00-05:30").unwrap(), "2026-12-31T23:30:00.000Z");
        for text in ["soon", "2026-13-01", "2026-02-30x", "", "2026-12-31T18:00:00+0200", "ü026-12-31T18:00:00+02:0"] {
            let error = deadline(text).unwrap_err();
            assert_eq!((error.code, error.field.as_deref()), (Code::Invalid, Some("constraints.deadline")), "{text}");
        }
    }

    #[test]
    fn a_description_makes_a_name() {
        assert_eq!(slug("Move auth to OAuth2!"), "move-auth-to-oauth2");
        assert_eq!(slug("über"), "ber");
        assert_eq!(slug("…"), "task");
        for text in ["x".repeat(100), "a b ".repeat(30), "-- 9".to_owned()] {
            assert!(file::is_name(&slug(&text)), "{text}");
        }
    }
}
