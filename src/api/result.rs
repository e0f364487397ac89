//! What became of a run: its diff, apply and undo, report, log, and the reasons behind a thing.

use serde::{Deserialize, Serialize};

use super::{
    decision::{Decision, DecisionStatus},
    reply::{AttemptView, BaseState, Cost, DiffStat, Outcome, PlanView, TaskState},
    state::{ProgressReport, RunResult, RunState, Transition},
    wire::{LogId, Time, WorkId},
};
use crate::{
    core::plan::spec::Kind,
    ids::{AttemptId, CheckpointId, DecisionId, LaneId, RunId, TaskId},
};

/// What a run would change in the checkout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiffReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// Every changed file.
    pub files: Vec<FileChange>,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// The change as `git diff` writes it, without colours; absent where it was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Relative to the workspace.
    pub path: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// Lines added; 0 for binary files.
    pub insertions: u64,
    /// Lines removed; 0 for binary files.
    pub deletions: u64,
    /// Whether git takes it for binary.
    #[serde(default)]
    pub binary: bool,
    /// The tasks whose landing changed it.
    #[serde(default)]
    pub tasks: Vec<TaskId>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Other content or mode.
    Modified,
    /// Gone.
    Deleted,
    /// Elsewhere.
    Renamed,
}

/// A run's result entered the checkout, or why it did not: all or nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// Whether the checkout has it now.
    pub applied: bool,
    /// Files written.
    #[serde(default)]
    pub files: Vec<String>,
    /// Files that both sides changed; nothing was written then.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// The tasks that were taken; empty = all that landed.
    #[serde(default)]
    pub tasks: Vec<TaskId>,
    /// Where it waits for a person first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<DecisionId>,
}

/// A file of a result that an editor has in its buffers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedFile {
    /// Relative to the checkout's top folder.
    pub path: String,
    /// As saving it would have written it before; `None` where there was no such file.
    #[serde(default)]
    pub before: Option<String>,
    /// As saving it would write it now; `None` where the file goes.
    #[serde(default)]
    pub after: Option<String>,
}

/// A run's result left the checkout again, or why it did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// Whether the checkout is as it was before.
    pub undone: bool,
    /// Files put back.
    #[serde(default)]
    pub files: Vec<String>,
    /// Files edited since; nothing was put back then.
    #[serde(default)]
    pub edited_since: Vec<String>,
}

/// Work that goes on again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// What was asked for.
    pub task_id: WorkId,
    /// Tasks that are queued again, dependants included.
    pub tasks: Vec<TaskId>,
}

/// State went back to a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Runs that went back.
    pub runs: Vec<RunId>,
    /// Tasks that are queued again.
    pub tasks: Vec<TaskId>,
    /// Effects outside that did not go back.
    #[serde(default)]
    pub external_left: Vec<String>,
}

/// The plan of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// Its plan.
    pub plan: PlanView,
}

/// Everything one wants to know of a run afterwards, or so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// What was asked.
    pub description: String,
    /// Where it stands.
    pub state: RunState,
    /// How it ended; null while it has not.
    pub outcome: Option<Outcome>,
    /// When it was asked.
    pub created_at: Time,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Time>,
    /// How far it is.
    pub progress: ProgressReport,
    /// What people should know, most important first.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Every task.
    pub tasks: Vec<ReportTask>,
    /// Tasks that are part of the result.
    #[serde(default)]
    pub landed: Vec<TaskId>,
    /// Tasks whose change was taken back or never taken.
    #[serde(default)]
    pub undone: Vec<TaskId>,
    /// Checks on the untouched base.
    #[serde(default)]
    pub baseline: Vec<BaselineCheck>,
    /// Decisions of the run, in order.
    #[serde(default)]
    pub decisions: Vec<ReportDecision>,
    /// Where the result is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult>,
    /// Size of the result.
    #[serde(default)]
    pub diff: DiffStat,
    /// What its agents cost.
    #[serde(default)]
    pub cost: Cost,
    /// Every state it was in.
    #[serde(default)]
    pub transition_history: Vec<Transition>,
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub level: FindingLevel,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// One sentence.
    pub text: String,
    /// Last lines of the output behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// Good to know.
    Info,
    /// Look at it.
    Warning,
    /// Something is wrong.
    Error,
}

/// One task in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportTask {
    /// Its id.
    pub task_id: TaskId,
    /// The plan's own name for it.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// How it runs.
    pub kind: Kind,
    /// What policy sees as `task.type`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Where it stands.
    pub status: TaskState,
    /// What must be done before.
    #[serde(default)]
    pub needs: Vec<TaskId>,
    /// Whether it was on the longest chain.
    #[serde(default)]
    pub critical: bool,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The lane of its last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
    /// When its first attempt started.
    #[serde(default)]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Time>,
    /// From start to end or until now; null before the start.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// What it was busy with and when: the timeline.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// Every attempt.
    #[serde(default)]
    pub attempts: Vec<AttemptView>,
    /// What it changed.
    #[serde(default)]
    pub diff: DiffStat,
    /// Why it is not in the result; empty where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Last lines of the output behind the reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

/// A stretch of time in which a task was busy with one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// With what.
    pub phase: Phase,
    /// For which attempt.
    pub attempt: AttemptId,
    /// Since when.
    pub started_at: Time,
    /// Until when; null = still.
    #[serde(default)]
    pub ended_at: Option<Time>,
    /// Whether it went well; null while it goes on.
    #[serde(default)]
    pub ok: Option<bool>,
}

/// What a task is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its lane is made ready.
    Prepare,
    /// Its command or agent works.
    Work,
    /// Its checks run.
    Verify,
    /// Its change joins the result.
    Land,
    /// It waits for an answer.
    Wait,
}

/// A check on the untouched base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineCheck {
    /// Program and arguments.
    pub command: Vec<String>,
    /// What it said.
    pub state: BaseState,
    /// How long it took; 0 where it came from the cache.
    pub seconds: f64,
    /// What it says of the result, where it was run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<BaseState>,
    /// Last lines of its output where it was red.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

/// One decision in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportDecision {
    /// Its id.
    pub decision_id: DecisionId,
    /// The question.
    pub question: String,
    /// Where it stands.
    pub status: DecisionStatus,
    /// What was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// By whom, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Seconds it was open.
    pub open_s: f64,
}

/// Output of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// What was asked for.
    pub id: LogId,
    /// The attempt whose output it is; null before the first.
    pub attempt: Option<AttemptId>,
    /// The output from `offset_bytes` on, redacted; not UTF-8 is replaced.
    pub text: String,
    /// Where `text` begins in the whole output.
    #[serde(default)]
    pub offset_bytes: u64,
    /// Where to go on.
    #[serde(default)]
    pub next_offset_bytes: u64,
    /// Whether the attempt has ended, so that no more will come.
    pub ended: bool,
}

/// Why a thing is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// What was asked about.
    pub id: String,
    /// The reasons, in the order in which they took effect.
    pub reasons: Vec<Reason>,
    /// The decision itself, where one was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Box<Decision>>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// When it took effect; absent for standing facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Journal position behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// One sentence.
    pub text: String,
    /// Last lines of the output behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

/// Old runs were forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The runs that are no more.
    pub dropped: Vec<RunId>,
    /// How many runs there still are.
    pub kept: u64,
}

/// Runs, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunList {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// Newest first.
    pub runs: Vec<RunLine>,
}

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLine {
    /// Its id.
    pub request_id: RunId,
    /// What was asked, cut to a line.
    pub description: String,
    /// Where it stands.
    pub state: RunState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it was asked.
    pub created_at: Time,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Time>,
    /// How many tasks.
    pub tasks: u64,
    /// How many landed.
    pub landed: u64,
    /// When it entered the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
    /// Open decisions.
    #[serde(default)]
    pub open_decisions: Vec<DecisionId>,
}
