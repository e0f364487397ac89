//! What clients ask for (S1), and how a bad request is refused: the field at fault and the nearest name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::error::{ApiError, Code};
use crate::{
    core::plan::spec::{Argv, Coordination, Priority, Strategy},
    ids::{RunId, TaskId},
};

/// A request whose top level is closed: an unknown field is a mistake, not an extension.
pub trait Request: DeserializeOwned {
    /// What messages call it.
    const NAME: &'static str;
    /// Its fields, as on the wire.
    const FIELDS: &'static [&'static str];

    /// Rules beyond types: lengths and ranges.
    fn validate(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

/// A large request: what the orchestrator is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessRequest {
    /// What is wanted, 1 to 20,000 characters.
    pub description: String,
    /// Where it comes from.
    #[serde(skip_serializing_if = "is_default")]
    pub context: Context,
    /// How urgent it is.
    pub priority: Priority,
    /// What must hold.
    #[serde(skip_serializing_if = "is_default")]
    pub constraints: Constraints,
    /// How it should be done.
    #[serde(skip_serializing_if = "is_default")]
    pub preferences: Preferences,
    /// The same key within seven days is the same run; at most 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether to start or only to plan.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// A given plan: an object (S4 as JSON), or a text: the content of a plan file, TOML or JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// Most tasks of this run at once; the configuration's `workers` still bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
}

/// Where a request comes from. Unknown names are kept in `free`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The project's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Main language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Absolute path of the workspace; absent = the connection's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Files the request is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What is selected in the editor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// The diagnostic it is about, as the editor has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<Value>,
    /// What policy sees as `environment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Files as an editor has them where they are not saved yet, by absolute path: the run starts from these instead of
    /// from what the disk has. At most [`BUFFERS_BYTES_MAX`] bytes of text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub buffers: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub free: BTreeMap<String, Value>,
}

/// A piece of text in an editor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The document.
    pub uri: String,
    /// LSP range.
    pub range: Value,
    /// The text itself.
    pub text: String,
}

/// What must hold. Unknown names are kept in `free`, handed on, and reported as unenforced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Constraints {
    /// A date (its end) or a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Exported names and signatures must stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintain_compatibility: Option<bool>,
    /// Only files matching one of these may change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Commands that must pass on the final merged tree, beside the plan's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Vec<Argv>>,
    /// No network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Model tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Wall-clock minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<f64>,
    /// Agent processes at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_agents: Option<u32>,
    /// Everything else.
    #[serde(flatten)]
    pub free: BTreeMap<String, Value>,
}

/// How it should be done. Unknown names are kept in `free`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// How often to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
    /// Layout of the tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// How agents work together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordination: Option<Coordination>,
    /// The agent that plans, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planner: Option<String>,
    /// Only these agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<String>>,
    /// Whether the plan waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve_plan: Option<Approve>,
    /// Whether the result may be offered for the checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply: Option<ApplyPreference>,
    /// Everything else.
    #[serde(flatten)]
    pub free: BTreeMap<String, Value>,
}

/// Start the run, or only show its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Plan and start.
    #[default]
    Start,
    /// Plan only; nothing runs.
    Plan,
}

/// How often a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interaction {
    /// Only for external effects or over budget.
    Minimal,
    /// Also for complex or planner-made plans, and before apply.
    #[default]
    Checkpoint,
    /// Always, and at milestones.
    Collaborative,
}

/// When a plan waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approve {
    /// As the interaction mode says.
    #[default]
    Auto,
    /// Every plan.
    Always,
    /// No plan.
    Never,
}

/// Whether to ask before the result enters the checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyPreference {
    /// Ask at the end.
    #[default]
    Ask,
    /// Leave the result on its branch.
    Never,
}

/// One task, handed in by itself or into a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSubmission {
    /// `skill_execution`, `workflow_execution`, `decision_making`, or any free word.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wanted, 1 to 20,000 characters.
    pub description: String,
    /// What it needs, by type (S1), plus any task field of S4.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Tasks that must have completed.
    #[serde(default)]
    pub dependencies: Vec<TaskId>,
    /// The run it joins; absent = a new run of one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<RunId>,
    /// The same key within seven days is the same task; at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An answer to a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserDecisionResponse {
    /// The id of one of its options.
    pub choice: String,
    /// Words with it, where the option takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How long the answer holds for like questions.
    #[serde(default)]
    pub remember: Remember,
    /// The same key is the same answer; at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    /// This question only.
    #[default]
    Once,
    /// Like questions of this run.
    Run,
    /// Like questions from now on.
    Always,
}

/// Longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 20_000;
/// Longest request key, in characters.
pub const KEY_CHARS_MAX: usize = 64;
/// Most bytes of unsaved text that a request may carry. They are kept in the journal.
pub const BUFFERS_BYTES_MAX: usize = 1 << 20;

impl Request for ProcessRequest {
    const NAME: &'static str = "a request";
    const FIELDS: &'static [&'static str] =
        &["description", "context", "priority", "constraints", "preferences", "key", "mode", "plan", "jobs"];

    fn validate(&self) -> Result<(), ApiError> {
        // A plan says itself what is wanted; without one there must be words.
        if self.plan.is_none() || !self.description.is_empty() {
            check_description(&self.description)?;
        }
        check_key(self.key.as_deref())?;
        if self.jobs == Some(0) {
            return Err(invalid("jobs", "`jobs` is 0, so nothing could ever run", "give at least 1"));
        }
        let limits = [("max_cost_usd", self.constraints.max_cost_usd), ("max_minutes", self.constraints.max_minutes)];
        for (name, limit) in limits {
            if limit.is_some_and(|limit| !limit.is_finite() || limit < 0.0) {
                let field = format!("constraints.{name}");
                return Err(invalid(&field, &format!("`{field}` must be a number of 0 or more"), ""));
            }
        }
        let unsaved: usize = self.context.buffers.values().map(String::len).sum();
        if unsaved > BUFFERS_BYTES_MAX {
            let message = format!("`context.buffers` holds {unsaved} bytes; {BUFFERS_BYTES_MAX} is the most");
            return Err(invalid("context.buffers", &message, "save the larger files first"));
        }
        if let Some(path) = self.context.buffers.keys().find(|path| !path.starts_with('/')) {
            let message = format!("`context.buffers` names {path:?}, which is no absolute path");
            return Err(invalid("context.buffers", &message, ""));
        }
        match &self.context.workspace {
            Some(path) if !path.starts_with('/') => Err(invalid(
                "context.workspace",
                &format!("`context.workspace` must be an absolute path, not {path:?}"),
                "leave it out to use this connection's workspace",
            )),
            _ => Ok(()),
        }
    }
}

impl Request for TaskSubmission {
    const NAME: &'static str = "a task submission";
    const FIELDS: &'static [&'static str] =
        &["type", "description", "parameters", "dependencies", "workflow_id", "key"];

    fn validate(&self) -> Result<(), ApiError> {
        if self.kind.trim().is_empty() {
            return Err(invalid("type", "`type` is empty", "give a word such as skill_execution or refactoring"));
        }
        check_description(&self.description)?;
        check_key(self.key.as_deref())
    }
}

impl Request for UserDecisionResponse {
    const NAME: &'static str = "an answer";
    const FIELDS: &'static [&'static str] = &["choice", "text", "remember", "key"];

    fn validate(&self) -> Result<(), ApiError> {
        if self.choice.is_empty() {
            return Err(invalid("choice", "`choice` is empty", "give the id of one of the decision's options"));
        }
        check_key(self.key.as_deref())
    }
}

fn check_description(description: &str) -> Result<(), ApiError> {
    if description.trim().is_empty() {
        return Err(invalid("description", "`description` is empty", "say in a sentence what you want done"));
    }
    match description.chars().count() {
        count if count > DESCRIPTION_CHARS_MAX => Err(invalid(
            "description",
            &format!("`description` has {count} characters; {DESCRIPTION_CHARS_MAX} is the most"),
            "put the long part into a file of the workspace and name it in `context.files`",
        )),
        _ => Ok(()),
    }
}

/// Checks the form of a call's key.
pub fn check_key(key: Option<&str>) -> Result<(), ApiError> {
    match key {
        Some(key) if key.is_empty() || key.chars().count() > KEY_CHARS_MAX => Err(invalid(
            "key",
            &format!("`key` must have 1 to {KEY_CHARS_MAX} characters, this one has {}", key.chars().count()),
            "a hash or a ticket number makes a good key",
        )),
        _ => Ok(()),
    }
}

fn invalid(field: &str, message: &str, hint: &str) -> ApiError {
    ApiError::new(Code::Invalid, message, hint).at_field(field)
}

/// Reads a request, or says what is wrong with it: which field, and the nearest name where one is unknown.
pub fn parse_request<T: Request>(value: Value) -> Result<T, ApiError> {
    let Value::Object(fields) = &value else {
        let message = format!("{} is a JSON object, not {}", T::NAME, kind_of(&value));
        return Err(ApiError::new(Code::Invalid, message, format!("its fields are {}", T::FIELDS.join(", "))));
    };
    if let Some(unknown) = fields.keys().find(|name| !T::FIELDS.contains(&name.as_str())) {
        let hint = match nearest(unknown, T::FIELDS) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("its fields are {}", T::FIELDS.join(", ")),
        };
        return Err(invalid(unknown, &format!("{} has no field `{unknown}`", T::NAME), &hint));
    }
    let request = match T::deserialize(&value) {
        Ok(request) => request,
        Err(error) => {
            let message = error.to_string();
            let field = blame::<T>(&value, &message);
            let hint = if message.starts_with("missing field") { "add it and send the request again" } else { "" };
            return Err(match field {
                Some(field) => invalid(&field, &format!("`{field}`: {message}"), hint),
                None => ApiError::new(Code::Invalid, message, hint),
            });
        }
    };
    request.validate()?;
    Ok(request)
}

/// The path of the field that a parse error is about: the one without which the parser complains differently, or
/// not at all. Serde itself says no path for a value.
fn blame<T: Request>(value: &Value, message: &str) -> Option<String> {
    let mut path: Vec<String> = Vec::new();
    loop {
        let inside = path.iter().try_fold(value, |inner, name| inner.get(name))?;
        let culprit = inside.as_object().and_then(|fields| {
            fields.keys().find(|name| {
                let mut without = value.clone();
                let holder = path.iter().try_fold(&mut without, |inner, name| inner.get_mut(name));
                if let Some(Value::Object(fields)) = holder {
                    fields.remove(name.as_str());
                }
                match T::deserialize(&without) {
                    Ok(_) => true,
                    // Without a required field the parser may just complain about that one first.
                    Err(error) => {
                        let text = error.to_string();
                        let own = text == format!("missing field `{name}`");
                        text != message && !(own && message.starts_with("missing field"))
                    }
                }
            })
        });
        match culprit {
            Some(name) => path.push(name.clone()),
            None => break,
        }
    }
    (!path.is_empty()).then(|| path.join("."))
}

/// The candidate nearest to a mistyped name, where one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let scored = candidates.iter().map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), candidate), *candidate));
    scored.filter(|(score, _)| *score >= 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused<T: Request + std::fmt::Debug>(value: Value) -> (String, String, Option<String>) {
        let error = parse_request::<T>(value).expect_err("the request was taken");
        assert_eq!(error.code, Code::Invalid);
        (error.message, error.hint, error.field)
    }

    #[test]
    fn the_specifications_own_example_is_taken() {
        let request: ProcessRequest = parse_request(json!({
            "description": "Refactor authentication system to use OAuth2",
            "context": {"project": "web-app", "language": "python", "team": "core"},
            "priority": "high",
            "constraints": {"deadline": "2026-12-31", "maintain_compatibility": true, "colour": "blue"}
        }))
        .unwrap();
        assert_eq!(request.priority, Priority::High);
        assert_eq!(request.context.free["team"], "core");
        assert_eq!(request.constraints.free.keys().collect::<Vec<_>>(), ["colour"]);
        assert_eq!(request.mode, Mode::Start);
    }

    #[test]
    fn an_unknown_field_names_the_nearest() {
        let (message, hint, field) = refused::<ProcessRequest>(json!({"description": "x", "contraints": {}}));
        assert_eq!(message, "a request has no field `contraints`");
        assert_eq!(hint, "did you mean `constraints`?");
        assert_eq!(field.as_deref(), Some("contraints"));
        let (_, hint, _) = refused::<ProcessRequest>(json!({"description": "x", "zzz": 1}));
        assert!(hint.starts_with("its fields are description, context"), "{hint}");
    }

    #[test]
    fn a_wrong_type_names_its_path() {
        let (message, _, field) =
            refused::<ProcessRequest>(json!({"description": "x", "constraints": {"offline": true, "paths": 3}}));
        assert_eq!(field.as_deref(), Some("constraints.paths"));
        assert!(message.contains("expected a sequence"), "{message}");
        let (message, _, field) = refused::<ProcessRequest>(json!({"description": "x", "priority": "asap"}));
        assert_eq!(field.as_deref(), Some("priority"));
        assert!(message.contains("expected one of `low`, `normal`, `high`, `urgent`"), "{message}");
        let (message, hint, _) = refused::<TaskSubmission>(json!({"type": "x"}));
        assert_eq!(
            (message.as_str(), hint.as_str()),
            ("missing field `description`", "add it and send the request again")
        );
        let selection = json!({"uri": "file:///a", "range": {}});
        let (_, _, field) = refused::<ProcessRequest>(json!({"description": "x", "context": {"selection": selection}}));
        assert_eq!(field.as_deref(), Some("context.selection"));
        let (_, _, field) =
            refused::<TaskSubmission>(json!({"type": "x", "description": "d", "dependencies": ["T-1", "x"]}));
        assert_eq!(field.as_deref(), Some("dependencies"));
    }

    #[test]
    fn lengths_and_ranges_are_checked() {
        let long = "x".repeat(DESCRIPTION_CHARS_MAX + 1);
        for (value, field) in [
            (json!({"description": " "}), "description"),
            (json!({}), "description"),
            (json!({"description": long}), "description"),
            (json!({"description": "x", "key": "k".repeat(65)}), "key"),
            (json!({"description": "x", "jobs": 0}), "jobs"),
            (json!({"description": "x", "constraints": {"max_cost_usd": -1}}), "constraints.max_cost_usd"),
            (json!({"description": "x", "context": {"buffers": {"a": ""}}}), "context.buffers"),
            (json!({"description": "x", "context": {"buffers": {"/a": "x".repeat(1 << 21)}}}), "context.buffers"),
            (json!({"description": "x", "context": {"workspace": "here"}}), "context.workspace"),
        ] {
            assert_eq!(refused::<ProcessRequest>(value).2.as_deref(), Some(field));
        }
        assert_eq!(refused::<ProcessRequest>(json!("do it")).0, "a request is a JSON object, not a string");
        parse_request::<ProcessRequest>(json!({"plan": {"version": 1, "tasks": []}})).unwrap();
    }

    #[test]
    fn the_field_lists_are_the_structs_own() {
        fn same<T: Request + Serialize>(full: &T) {
            let value = serde_json::to_value(full).unwrap();
            let mut written: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
            let mut listed = T::FIELDS.to_vec();
            written.sort_unstable();
            listed.sort_unstable();
            assert_eq!(written, listed);
        }
        same(&ProcessRequest {
            context: Context { project: Some("p".into()), ..Context::default() },
            constraints: Constraints { offline: Some(true), ..Constraints::default() },
            preferences: Preferences { planner: Some("none".into()), ..Preferences::default() },
            key: Some("k".into()),
            mode: Mode::Plan,
            plan: Some(json!({})),
            jobs: Some(1),
            ..ProcessRequest::default()
        });
        same(&TaskSubmission {
            kind: "x".into(),
            description: "d".into(),
            parameters: Map::new(),
            dependencies: vec![],
            workflow_id: Some(RunId(1)),
            key: Some("k".into()),
        });
        same(&UserDecisionResponse {
            choice: "a".into(),
            text: Some("t".into()),
            remember: Remember::Once,
            key: Some("k".into()),
        });
    }
}
