//! What the eight calls of the specification answer (S2), but for the state as a whole (`state.rs`) and decisions.
//!
//! Every reply starts with `summary`, one line for people, and carries `revision`, the journal position it shows.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    state::RunState,
    wire::{Time, WorkId},
};
use crate::{
    core::plan::spec::{Coordination, Effect, Kind, Strategy},
    ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId},
};

/// A request was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessResponse {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// Where it stands.
    pub status: RunState,
    /// When it will be done, the median; null when unknown.
    pub estimated_completion: Option<Time>,
    /// Its plan; `{}` while there is none.
    #[serde(with = "maybe_empty")]
    pub initial_plan: Option<Box<PlanView>>,
    /// Whether it waits for approval.
    pub requires_approval: bool,
    /// The decision it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<DecisionId>,
    /// Whether this is an earlier run with the same key.
    #[serde(default)]
    pub duplicate: bool,
    /// Constraints that we hand on but cannot enforce.
    #[serde(default)]
    pub unenforced: Vec<String>,
    /// Its limits.
    #[serde(default)]
    pub budget: BudgetView,
}

/// Limits of a run, and what it will probably cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetView {
    /// US dollars; null = no limit.
    pub usd: Option<f64>,
    /// Model tokens; null = no limit.
    pub tokens: Option<u64>,
    /// Wall-clock minutes; null = no limit.
    pub minutes: Option<f64>,
    /// What nine of ten such runs stay below; null when unknown.
    pub p90_usd: Option<f64>,
}

/// A plan, with how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// `playbook:<name>`, `client`, or `agent:<id>`.
    pub source: String,
    /// Layout of the tasks.
    pub strategy: Strategy,
    /// How agents work together.
    pub coordination_strategy: Coordination,
    /// In the plan's order.
    pub tasks: Vec<PlanTask>,
    /// The longest chain.
    pub critical_path: Vec<TaskId>,
    /// Longest-path levels, for display only.
    pub execution_levels: Vec<Vec<TaskId>>,
    /// Who does what, and why.
    #[serde(default)]
    pub agent_allocations: BTreeMap<String, Allocation>,
    /// How tasks share what they learn.
    #[serde(default)]
    pub communication_channels: Vec<String>,
    /// Tasks that wait for everything before them.
    #[serde(default)]
    pub synchronization_points: Vec<TaskId>,
    /// When a silent or long attempt is ended.
    pub monitoring_config: MonitoringConfig,
    /// What was understood of the request.
    pub analysis: Analysis,
}

/// One task of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanTask {
    /// Its id.
    pub id: TaskId,
    /// The plan's own name for it.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// How it runs.
    pub kind: Kind,
    /// What policy sees as `task.type`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// What must be done before.
    pub needs: Vec<TaskId>,
    /// Its level, from 0.
    pub level: u32,
    /// Whether it is on the longest chain.
    pub critical: bool,
    /// Seconds it may slip without delaying the run.
    pub slack: f64,
    /// How long it will take.
    pub estimate: Estimate,
    /// Who does it, where that is settled.
    #[serde(default)]
    pub agent: Option<String>,
    /// What it may touch.
    pub effect: Effect,
    /// What it writes; null = unknown.
    #[serde(default)]
    pub writes: Option<Vec<String>>,
    /// What proves it.
    #[serde(default)]
    pub verify: Vec<Vec<String>>,
    /// The checkpoint taken before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointId>,
}

/// How long something will take, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The median.
    pub p50: f64,
    /// Nine of ten are shorter.
    pub p90: f64,
    /// `prior`, or `n=14`: how many like tasks stand behind it.
    pub basis: String,
}

/// When something will be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Eta {
    /// The median.
    pub p50: Time,
    /// Nine of ten are earlier.
    pub p90: Time,
}

/// Who does a task, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// The agent.
    pub agent: String,
    /// 0..1.
    pub score: f64,
    /// What the score is made of.
    pub parts: ScoreParts,
}

/// The specification's 40/30/20/10, each 0..1 before weighting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreParts {
    /// Preferred capabilities it has.
    #[serde(rename = "match")]
    pub capability_match: f64,
    /// How free it is.
    pub load: f64,
    /// Verified history on this type.
    pub history: f64,
    /// Specialisation.
    pub specialization: f64,
}

/// When a silent or long attempt is ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MonitoringConfig {
    /// Seconds without output.
    pub silence_s: f64,
    /// Seconds altogether.
    pub timeout_s: f64,
}

/// What was understood of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// What is wanted.
    pub intent: Intent,
    /// How hard it is.
    pub complexity: Complexity,
    /// How long it will take; null when unknown.
    pub estimated_duration: Option<Estimate>,
    /// Programs, agents, services it needs.
    pub required_resources: Vec<String>,
    /// What may go wrong.
    pub risks: Vec<Risk>,
    /// When it is done.
    pub success_criteria: Vec<Criterion>,
    /// Playbooks that fit.
    pub matched_patterns: Vec<String>,
    /// The playbook that fits best; null where none does.
    pub suggested_workflow: Option<String>,
}

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The main one; null = abstained.
    pub primary: Option<String>,
    /// Others.
    pub secondary: Vec<String>,
    /// 0..1, calibrated.
    pub confidence: f64,
    /// Whether it would have been a guess.
    pub abstained: bool,
}

/// How hard a request is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Complexity {
    /// simple, moderate, complex, …
    pub level: String,
    /// 0..1.
    pub score: f64,
    /// The six factors, each 0..1.
    pub factors: BTreeMap<String, f64>,
    /// Their weights.
    pub weights: BTreeMap<String, f64>,
    /// What each number rests on.
    pub reasons: Vec<String>,
}

/// Something that may go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// Stable name.
    pub id: String,
    /// What may happen.
    pub what: String,
    /// low, medium, high or critical.
    pub level: String,
    /// What is done about it.
    pub mitigation: String,
}

/// When a request is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// In words.
    pub text: String,
    /// The command that proves it; null where none can.
    pub check: Option<String>,
}

/// A task was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResponse {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The task.
    pub task_id: TaskId,
    /// Where it stands.
    pub status: TaskState,
    /// 0 = next.
    pub queue_position: u64,
    /// When it will probably start.
    pub estimated_start: Option<Time>,
    /// Seconds, the median; null when unknown.
    pub estimated_duration: Option<f64>,
    /// The run it is in.
    pub request_id: RunId,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for others.
    Queued,
    /// Could start.
    Ready,
    /// An attempt runs.
    Running,
    /// Waits for an answer.
    WaitingDecision,
    /// Set aside until something outside changes.
    Parked,
    /// Its checks run.
    Verifying,
    /// Its change joins the result.
    Landing,
    /// Done and proven.
    Completed,
    /// Failed for good.
    Failed,
    /// Something it needs failed.
    Blocked,
    /// Somebody cancelled it.
    Cancelled,
    /// Done, then taken back.
    Undone,
    /// An effect could not be taken back.
    Stuck,
}

impl TaskState {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Queued => "queued",
            TaskState::Ready => "ready",
            TaskState::Running => "running",
            TaskState::WaitingDecision => "waiting_decision",
            TaskState::Parked => "parked",
            TaskState::Verifying => "verifying",
            TaskState::Landing => "landing",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
            TaskState::Blocked => "blocked",
            TaskState::Cancelled => "cancelled",
            TaskState::Undone => "undone",
            TaskState::Stuck => "stuck",
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub fn ended(self) -> bool {
        match self {
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Blocked
            | TaskState::Cancelled
            | TaskState::Undone
            | TaskState::Stuck => true,
            TaskState::Queued
            | TaskState::Ready
            | TaskState::Running
            | TaskState::WaitingDecision
            | TaskState::Parked
            | TaskState::Verifying
            | TaskState::Landing => false,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything landed.
    Completed,
    /// Some of it landed.
    Partial,
    /// Nothing useful landed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl Outcome {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Partial => "partial",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Everything about one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// Its id; a run's id where a run was asked for.
    pub task_id: WorkId,
    /// The run it is in.
    pub request_id: RunId,
    /// Where it stands.
    pub status: TaskState,
    /// One line for people.
    pub title: String,
    /// How it runs.
    pub kind: Kind,
    /// What policy sees as `task.type`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Which attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Most attempts.
    pub attempts_max: u32,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How far it is.
    pub progress: TaskProgress,
    /// When its first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Seconds since it started.
    pub elapsed: f64,
    /// Seconds it will probably still take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<f64>,
    /// Whether it takes longer than nine of ten.
    pub delayed: bool,
    /// What it waits for: ids of tasks and decisions.
    #[serde(default)]
    pub blocked_by: Vec<String>,
    /// Its checks.
    #[serde(default)]
    pub verify: Vec<Check>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// The checkpoint taken before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointId>,
    /// What it changed.
    #[serde(default)]
    pub diff: DiffStat,
    /// What it cost.
    #[serde(default)]
    pub cost: Cost,
    /// Every attempt.
    #[serde(default)]
    pub attempts: Vec<AttemptView>,
}

/// How far a task is, and how one knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// 0..100; 100 only once verified.
    pub percent: f64,
    /// What the percentage rests on.
    pub basis: Basis,
}

/// What a percentage rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Checks that passed.
    Checks,
    /// What the agent did.
    Tools,
    /// Elapsed against expected time.
    Time,
    /// Nothing yet.
    #[default]
    None,
}

/// One check of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where it stands.
    pub state: CheckState,
    /// Its exit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What it said of the untouched base.
    pub base: BaseState,
    /// How long it took.
    pub seconds: f64,
    /// Last lines of its output.
    #[serde(default)]
    pub tail: String,
}

/// Where a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Not yet run.
    Pending,
    /// Runs.
    Running,
    /// Passed.
    Passed,
    /// Failed.
    Failed,
    /// Its program is not there.
    Missing,
}

/// What a check said of the untouched base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseState {
    /// Green before.
    Passed,
    /// Red before.
    Failed,
    /// Not known.
    #[default]
    Unknown,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureView {
    /// network, resource, validation, …
    pub class: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether we can go on.
    pub recoverable: bool,
    /// Whether trying again may help.
    pub retry_potential: bool,
    /// Whether a person must look.
    pub escalation_required: bool,
    /// What happened.
    pub message: String,
    /// What happens next.
    pub next: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
}

/// How bad a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Goes away by itself.
    Low,
    /// Costs an attempt.
    Medium,
    /// Costs the task.
    High,
    /// Costs more than the task.
    Critical,
}

/// Size of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStat {
    /// Files changed.
    pub files: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// What something cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// US dollars; null where prices are unknown.
    pub usd: Option<f64>,
    /// Model tokens.
    pub tokens: u64,
    /// Whether the agent says what it used.
    pub known: bool,
}

/// One attempt at a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its id.
    pub id: AttemptId,
    /// Who did it.
    pub agent: String,
    /// `exit:0`, `signal:9`, `timeout`, `silent`, `garbled`, `not_started`, `cancelled` or `lost`; null while it runs.
    pub end: Option<String>,
    /// When it started.
    #[serde(default)]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Time>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// What became of a cancellation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CancelResponse {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// What was cancelled.
    pub task_id: WorkId,
    /// Its status now: a task's, or a run's state.
    pub status: String,
    /// Its status before.
    pub was: String,
    /// Whether its changes are gone.
    pub undone: bool,
    /// Effects outside that are still there.
    #[serde(default)]
    pub external_left: Vec<String>,
}

/// A checkpoint was saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointResponse {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// When.
    pub at: Time,
    /// Runs that it covers.
    pub runs: Vec<RunId>,
    /// Tree id of the run's ref; of the first run where it covers several.
    pub tree: Option<String>,
}

/// A plan that is not there yet is `{}` on the wire, as the specification's `initial_plan: dict` has it.
mod maybe_empty {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::{PlanView, Value};

    pub(super) fn serialize<S: Serializer>(plan: &Option<Box<PlanView>>, serializer: S) -> Result<S::Ok, S::Error> {
        match plan {
            Some(plan) => plan.serialize(serializer),
            None => serde_json::Map::new().serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<PlanView>>, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value.as_object() {
            Some(fields) if fields.is_empty() => Ok(None),
            _ => serde_json::from_value(value).map(Some).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_starts_with_its_summary_and_a_missing_plan_is_empty() {
        let response = ProcessResponse {
            summary: "accepted".into(),
            revision: 7,
            request_id: RunId(3),
            status: RunState::Analyzing,
            estimated_completion: None,
            initial_plan: None,
            requires_approval: false,
            decision_id: None,
            duplicate: false,
            unenforced: Vec::new(),
            budget: BudgetView { usd: Some(5.0), ..BudgetView::default() },
        };
        let text = serde_json::to_string(&response).unwrap();
        expect![[r#"{"summary":"accepted","revision":7,"request_id":"R-3","status":"ANALYZING","estimated_completion":null,"initial_plan":{},"requires_approval":false,"duplicate":false,"unenforced":[],"budget":{"usd":5.0,"tokens":null,"minutes":null,"p90_usd":null}}"#]]
        .assert_eq(&text);
        assert_eq!(serde_json::from_str::<ProcessResponse>(&text).unwrap(), response);
    }

    #[test]
    fn states_and_bases_have_the_names_of_the_schema() {
        let names = |values: Vec<serde_json::Value>| -> String {
            values.iter().map(|value| value.as_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let states = [
            TaskState::Queued,
            TaskState::Ready,
            TaskState::Running,
            TaskState::WaitingDecision,
            TaskState::Parked,
            TaskState::Verifying,
            TaskState::Landing,
            TaskState::Completed,
            TaskState::Failed,
            TaskState::Blocked,
            TaskState::Cancelled,
            TaskState::Undone,
            TaskState::Stuck,
        ];
        for state in states {
            assert_eq!(json!(state), state.name());
        }
        assert_eq!(
            names(states.iter().map(|state| json!(state)).collect()),
            "queued ready running waiting_decision parked verifying landing completed failed blocked cancelled undone stuck"
        );
        assert_eq!(
            names([Basis::Checks, Basis::Tools, Basis::Time, Basis::None].iter().map(|basis| json!(basis)).collect()),
            "checks tools time none"
        );
    }

    #[test]
    fn a_task_status_of_a_newer_daemon_is_read() {
        let status: TaskStatus = serde_json::from_value(json!({
            "summary": "s", "revision": 1, "task_id": "T-3", "request_id": "R-1", "status": "parked", "title": "t",
            "kind": "agent", "type": "refactoring", "attempt": 0, "attempts_max": 4,
            "progress": {"percent": 0.0, "basis": "none", "later": 1}, "elapsed": 0.0, "delayed": false, "later": {}
        }))
        .unwrap();
        assert_eq!((status.status, status.kind), (TaskState::Parked, Kind::Agent));
    }
}
