//! The orchestrator's state on the wire (S2): runs, agents, queue, measures.

use serde::{Deserialize, Serialize};

use super::{
    reply::{Eta, Outcome},
    wire::Time,
};
use crate::ids::{DecisionId, RunId};

/// The specification's eight states of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunState {
    /// Not started, or ended.
    #[default]
    Idle,
    /// The request is read.
    Analyzing,
    /// Tasks are laid out.
    Planning,
    /// The first dispatch.
    Executing,
    /// Attempts run or are due.
    Monitoring,
    /// Nothing runs or is due and an open decision blocks.
    Escalating,
    /// Everything landed; the final checks run.
    Completing,
    /// Our own fault, or every branch is dead.
    Error,
}

impl RunState {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Idle => "IDLE",
            RunState::Analyzing => "ANALYZING",
            RunState::Planning => "PLANNING",
            RunState::Executing => "EXECUTING",
            RunState::Monitoring => "MONITORING",
            RunState::Escalating => "ESCALATING",
            RunState::Completing => "COMPLETING",
            RunState::Error => "ERROR",
        }
    }
}

/// Everything about a workspace at one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrchestratorState {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run asked for; null = all of them.
    pub session_id: Option<RunId>,
    /// Of that run; without one, of the busiest.
    pub state: RunState,
    /// Where.
    pub workspace: Workspace,
    /// Runs, newest first.
    pub sessions: Vec<Session>,
    /// How many decisions are open.
    pub pending_decisions: u64,
    /// Known agents.
    pub agents: Vec<Agent>,
    /// What waits and what runs.
    pub queue: Queue,
    /// What we publish about ourselves.
    pub metrics: Metrics,
    /// Which protections are in force.
    pub protections: Protections,
    /// The daemon that answers.
    pub daemon: DaemonInfo,
}

/// A workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Absolute path.
    pub path: String,
    /// Stable id.
    pub id: String,
    /// Short name, as in `web:D-7`.
    #[serde(default)]
    pub name: String,
    /// `git`, or `shadow` for a plain folder.
    pub vcs: String,
    /// Whether its files may suggest commands.
    pub trusted: bool,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub request_id: RunId,
    /// What was asked.
    pub description: String,
    /// Where it stands.
    pub state: RunState,
    /// How it ended; null while it has not.
    pub outcome: Option<Outcome>,
    /// How much a person is asked: minimal, checkpoint or collaborative.
    pub interaction: String,
    /// Every state it was in.
    pub transition_history: Vec<Transition>,
    /// How far it is.
    pub progress: ProgressReport,
    /// What waits for an answer.
    pub open_decisions: Vec<DecisionId>,
    /// Limits that are nearly or quite reached, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult>,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// State before.
    pub from: RunState,
    /// State after.
    pub to: RunState,
    /// The specification's name of the transition.
    pub trigger: String,
    /// When.
    pub timestamp: Time,
}

/// A run's result, outside the user's checkout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The branch.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit it began at.
    pub base: String,
    /// How many commits are on it.
    pub commits: u64,
    /// When it entered the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// All tasks.
    pub total_tasks: u64,
    /// Done and proven.
    pub completed_tasks: u64,
    /// Running.
    pub active_tasks: u64,
    /// 0..100.
    pub completion_percentage: f64,
    /// Seconds; null before the first is done.
    pub average_task_duration: Option<f64>,
    /// `1/3`.
    pub milestone_progress: String,
    /// Share of the finished that were verified at the first attempt; null before the first.
    pub performance_score: Option<f64>,
    /// When it will be done.
    pub eta: Option<Eta>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name in the configuration.
    pub id: String,
    /// How it is driven.
    pub driver: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it is best at.
    pub specialization: Vec<String>,
    /// Attempts it has.
    pub current_load: u32,
    /// Attempts it may have.
    pub max_load: u32,
    /// Where it stands.
    pub state: AgentState,
    /// When its quota is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_until: Option<Time>,
    /// What its program says of its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its program is; absent where it was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The command it is started with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// `standard`, `own` or `none`; absent for sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// What it can do for us: `permission`, `resume`, `cost`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abilities: Vec<String>,
    /// How its work was judged, by type of task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub record: Vec<AgentRecord>,
}

/// How an agent's work of one type was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The type of task.
    #[serde(rename = "type")]
    pub kind: String,
    /// Attempts that the checks judged.
    pub judged: u32,
    /// Those that they proved.
    pub proven: u32,
    /// Those where it said that it was done and the checks said no.
    pub claimed_wrongly: u32,
    /// The share that was proven, drawn towards one half while there is little.
    pub score: f64,
}

/// Where an agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgentState {
    /// Free.
    Idle,
    /// Has work.
    Executing,
    /// Fails again and again.
    Error,
    /// Out of quota.
    Limited,
    /// Its program is not there.
    Missing,
}

/// What waits and what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Could start now.
    pub ready: u64,
    /// Run.
    pub running: u64,
    /// Most that may run.
    pub max_workers: u64,
    /// Why no lane is laid out though tasks want one: there is too little room on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

/// What we publish about ourselves, from the journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Share of decisions that needed nobody.
    pub autonomy: Share,
    /// Share of those that a person would have decided otherwise.
    pub wrong_auto: Share,
    /// US dollars spent; null where prices are unknown.
    pub cost_usd: Option<f64>,
}

/// A share with what stands behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// 0..1; null without observations.
    pub value: Option<f64>,
    /// Lower end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Observations.
    pub n: u64,
}

/// Which protections are in force, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protections {
    /// What confines agents: `landlock`, `none`, …
    pub sandbox: String,
    /// Whose commands it confines: `derived` (those that nobody typed), `all` or `none`.
    #[serde(default)]
    pub commands: String,
    /// What keeps and reaps processes: `keeper+subreaper`, …
    pub supervision: String,
    /// What a commit survives: `power loss`, …
    pub durability: String,
}

/// The daemon that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonInfo {
    /// Its version.
    pub version: String,
    /// Since when it runs.
    pub since: Time,
}
