//! Events: facts in the past tense, as the journal stores them.
//!
//! Only these promise compatibility: a field may be added with a default, none may change its meaning. A commit
//! carries the time, so events only carry times that differ from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Reply,
    agent::{AgentEnd, Allocation, Ask, AskVerdict, FoundAgent, Note, Told, Touched, Usage},
    analyze::Analysis,
    budget::Limit,
    decide::{
        change::Noticed,
        decision::{Answer, Decision},
        ladder::Label,
        learned::{Act, Remembered},
    },
    facts::Facts,
    job::End,
    plan::spec::{Argv, TaskSpec},
    prove::CheckResult,
    room::Waiter,
    run::{Apply, Base, Outcome, PlanInfo, Request, RunState, Trigger, Undeclared},
    state::Checkpoint,
    task::{DiffStat, Failure, Phase, Settled},
};
use crate::{
    ids::{AttemptId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// One stored fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of an event are those of the state it changes, documented there")]
pub enum Event {
    /// Somebody asked for something.
    #[serde(rename = "run.added")]
    RunAdded { run: RunId, request: Box<Request> },
    /// The repository was looked at and its base secured.
    #[serde(rename = "run.surveyed")]
    RunSurveyed { run: RunId, facts: Arc<Facts>, base: Base, notes: Vec<String> },
    /// The request was understood.
    #[serde(rename = "run.analyzed")]
    RunAnalyzed { run: RunId, analysis: Box<Analysis> },
    /// The tasks were laid out. `tasks` is empty where `as_asked`: then they are those that came with the request,
    /// which the journal has already.
    #[serde(rename = "run.planned")]
    RunPlanned {
        run: RunId,
        info: Box<PlanInfo>,
        first: TaskId,
        tasks: Vec<TaskSpec>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        as_asked: bool,
        baseline: Vec<Argv>,
    },
    /// A task of the run has made its plan, which is taken: these tasks follow.
    #[serde(rename = "plan.adopted")]
    PlanAdopted { run: RunId, info: Box<PlanInfo>, first: TaskId, tasks: Vec<TaskSpec>, baseline: Vec<Argv> },
    /// The plan was approved, or needed no approval.
    #[serde(rename = "run.approved")]
    RunApproved { run: RunId },
    /// The run's state changed.
    #[serde(rename = "run.moved")]
    RunMoved { run: RunId, to: RunState, trigger: Trigger },
    /// A run has used up most of what it may use.
    #[serde(rename = "budget.warned")]
    BudgetWarned { run: RunId, of: Limit },
    /// A run has used up what it may use; nothing of it starts until somebody says how it goes on.
    #[serde(rename = "budget.reached")]
    BudgetReached { run: RunId, of: Limit },
    /// It may use this much.
    #[serde(rename = "budget.raised")]
    BudgetRaised {
        run: RunId,
        minutes: Option<f64>,
        spawns: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usd: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokens: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        day: Option<(u64, f64)>,
    },
    /// Every task of a milestone is done, and a person is to see that before the run goes on.
    #[serde(rename = "milestone.reached")]
    MilestoneReached { run: RunId, milestone: String },
    /// Somebody has.
    #[serde(rename = "milestone.passed")]
    MilestonePassed { run: RunId, milestone: String },
    /// A run's deadline has passed.
    #[serde(rename = "deadline.passed")]
    DeadlinePassed { run: RunId },
    /// Somebody was told of that; `asked`: by a question.
    #[serde(rename = "deadline.told")]
    DeadlineTold { run: RunId, asked: bool },
    /// A task failed and the plan stops then.
    #[serde(rename = "run.stopping")]
    RunStopping { run: RunId },
    /// A run goes on without the keys that came with it.
    #[serde(rename = "keys.forgone")]
    KeysForgone { run: RunId },
    /// A lane could not be laid out for want of room on the disk: it waits.
    #[serde(rename = "room.missing")]
    RoomMissing { waiter: Waiter, why: String },
    /// It is looked again: these are tried once more.
    #[serde(rename = "room.sought")]
    RoomSought { waiting: Vec<Waiter> },
    /// There is room again: these are tried once more.
    #[serde(rename = "room.found")]
    RoomFound { waiting: Vec<Waiter> },
    /// Somebody asked to stop a run.
    #[serde(rename = "run.cancel_asked")]
    RunCancelAsked { run: RunId },
    /// The result was published as a branch, or there was nothing to publish.
    #[serde(rename = "run.published")]
    RunPublished { run: RunId, branch: Option<String> },
    /// The run is over.
    #[serde(rename = "run.ended")]
    RunEnded { run: RunId, outcome: Outcome, why: String },
    /// A run that was over goes on: failed tasks are tried again.
    #[serde(rename = "run.reopened")]
    RunReopened { run: RunId },
    /// Something about the run that people should see.
    #[serde(rename = "run.noted")]
    RunNoted { run: RunId, note: String },
    /// A call that came with a key was done, and is answered so: also when it is made again.
    #[serde(rename = "call.answered")]
    CallAnswered { key: String, call: String, reply: Reply },
    /// Somebody asked for what they may not do, and was refused.
    #[serde(rename = "call.refused")]
    CallRefused { by: String, what: String },
    /// Old runs were forgotten, with their tasks and decisions.
    #[serde(rename = "runs.dropped")]
    RunsDropped { runs: Vec<RunId> },
    /// Tasks were added to a run.
    #[serde(rename = "task.added")]
    TasksAdded { run: RunId, first: TaskId, tasks: Vec<TaskSpec> },
    /// A task was handed out.
    #[serde(rename = "attempt.claimed")]
    AttemptClaimed {
        attempt: AttemptId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lane: Option<LaneId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<Box<Allocation>>,
    },
    /// Its lane is laid out; an agent starts with these words.
    #[serde(rename = "attempt.prepared")]
    AttemptPrepared {
        attempt: AttemptId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<Box<Told>>,
    },
    /// Its process began.
    #[serde(rename = "attempt.started")]
    AttemptStarted { attempt: AttemptId, at: Timestamp },
    /// Its process is over.
    #[serde(rename = "attempt.ran")]
    AttemptRan {
        attempt: AttemptId,
        end: End,
        started_at: Timestamp,
        ended_at: Timestamp,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        tail: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<Box<AgentEnd>>,
    },
    /// Its agent said which conversation it has, what it used or how far it is.
    #[serde(rename = "attempt.spoke")]
    AgentSpoke {
        attempt: AttemptId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<f64>,
    },
    /// Its agent asks whether it may do something.
    #[serde(rename = "ask.opened")]
    AgentAsked { attempt: AttemptId, ask: Box<Ask> },
    /// It was told.
    #[serde(rename = "ask.answered")]
    AskAnswered { attempt: AttemptId, request: String, verdict: AskVerdict, by: String },
    /// It was told "not now": the decision stays open, and the clock goes on.
    #[serde(rename = "ask.parked")]
    AskParked { attempt: AttemptId, request: String, verdict: AskVerdict },
    /// It no longer wants to know.
    #[serde(rename = "ask.withdrawn")]
    AskWithdrawn { attempt: AttemptId, request: String },
    /// A session that claimed it has it for longer.
    #[serde(rename = "lease.renewed")]
    LeaseRenewed { attempt: AttemptId, until: Timestamp },
    /// A task waits for an answer that its agent was told not to wait for.
    #[serde(rename = "task.parked")]
    TaskParked { task: TaskId, decision: DecisionId },
    /// An agent left a note for the others of its run.
    #[serde(rename = "note.added")]
    NoteAdded { run: RunId, note: Note },
    /// Which agents there are for a run is looked up.
    #[serde(rename = "agents.asked")]
    AgentsAsked { run: RunId },
    /// These are.
    #[serde(rename = "agents.found")]
    AgentsFound { run: RunId, agents: Vec<FoundAgent> },
    /// An account has nothing left until then.
    #[serde(rename = "agent.limited")]
    AccountLimited { account: String, until: Timestamp },
    /// That time is over.
    #[serde(rename = "agent.free")]
    AccountFree { account: String },
    /// Its lane was read for changes.
    #[serde(rename = "attempt.harvested")]
    AttemptHarvested {
        attempt: AttemptId,
        commit: String,
        tree: String,
        diff: DiffStat,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<Touched>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        noticed: Option<Box<Noticed>>,
    },
    /// It waits for something else now.
    #[serde(rename = "attempt.moved")]
    AttemptMoved { attempt: AttemptId, to: Phase },
    /// A check of it is over.
    #[serde(rename = "check.finished")]
    CheckEnded { attempt: AttemptId, merged: bool, index: u32, result: CheckResult },
    /// It was merged, in memory, with what had landed.
    #[serde(rename = "attempt.merged")]
    AttemptMerged { attempt: AttemptId, commit: String, tree: String, onto: String },
    /// It landed: the run's ref holds its change.
    #[serde(rename = "task.landed")]
    AttemptLanded { attempt: AttemptId, commit: String, tree: String },
    /// It is over without a result to keep.
    #[serde(rename = "attempt.ended")]
    AttemptOver { attempt: AttemptId, failure: Option<Failure> },
    /// A task is over.
    #[serde(rename = "task.settled")]
    TaskSettled {
        task: TaskId,
        how: Settled,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// A task will be tried again.
    #[serde(rename = "task.retry")]
    TaskRetry { task: TaskId, at: Timestamp },
    /// A task is due again.
    #[serde(rename = "task.reopened")]
    TaskReopened { task: TaskId },
    /// A person allowed a task's effect outside.
    #[serde(rename = "task.approved")]
    TaskApproved { task: TaskId },
    /// A task of kind decision has its answer.
    #[serde(rename = "task.chosen")]
    TaskChosen { task: TaskId, choice: String },
    /// Somebody asked to stop a task.
    #[serde(rename = "task.cancel_asked")]
    TaskCancelAsked { task: TaskId },
    /// A question stands open.
    #[serde(rename = "decision.opened")]
    DecisionOpened { decision: Box<Decision> },
    /// Somebody answered it.
    #[serde(rename = "decision.answered")]
    DecisionAnswered { decision: DecisionId, answer: Answer },
    /// What was asked went away.
    #[serde(rename = "decision.withdrawn")]
    DecisionWithdrawn { decision: DecisionId, why: String },
    /// Nobody answered it in the time that its creator had set.
    #[serde(rename = "decision.expired")]
    DecisionExpired { decision: DecisionId },
    /// It waits for long: whoever follows is told, and the user's notify command is run where one is named.
    #[serde(rename = "decision.reminded")]
    DecisionReminded {
        decision: DecisionId,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        command: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<Timestamp>,
    },
    /// The seed of the audits was drawn.
    #[serde(rename = "learning.begun")]
    LearningBegun { seed: u64 },
    /// A person said what they think of an action.
    #[serde(rename = "label.given")]
    Taught {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<DecisionId>,
        label: Box<Label>,
    },
    /// An action was decided without a person.
    #[serde(rename = "act.decided")]
    Acted { act: Box<Act> },
    /// The user of a session outside any run was asked about something that rules and what was learned left open.
    #[serde(rename = "act.asked_outside")]
    AskedOutside { sort: String },
    /// It turned out right, or was undone.
    #[serde(rename = "act.proven")]
    ActProven { number: u64, right: bool },
    /// Its attempt was over before anything judged it: it counts neither way.
    #[serde(rename = "act.unknown")]
    ActUnknown { number: u64 },
    /// A person wants an answer to be remembered for a kind of action.
    #[serde(rename = "rule.remembered")]
    RuleRemembered { rule: Box<Remembered> },
    /// And no longer.
    #[serde(rename = "rule.forgotten")]
    RuleForgotten { id: String },
    /// The readers' lane is being laid out.
    #[serde(rename = "shared.preparing")]
    SharedPreparing { run: RunId, lane: LaneId },
    /// The readers' lane is there.
    #[serde(rename = "shared.ready")]
    SharedReady { run: RunId },
    /// Nobody reads in it any more: it is looked at for changes that no reader may have made.
    #[serde(rename = "shared.inspecting")]
    SharedInspecting { run: RunId },
    /// The readers' lane is free again.
    #[serde(rename = "shared.freed")]
    SharedFreed {
        run: RunId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undeclared: Option<Box<Undeclared>>,
    },
    /// A person said that what the readers found stands all the same.
    #[serde(rename = "undeclared.accepted")]
    UndeclaredAccepted { run: RunId },
    /// Readers are done again, each in a lane of its own, where it shows who writes.
    #[serde(rename = "tasks.apart")]
    TasksApart { run: RunId, tasks: Vec<TaskId> },
    /// The checks of the untouched base begin: a lane is laid out.
    #[serde(rename = "base.preparing")]
    BasePreparing { run: RunId, lane: LaneId },
    /// That lane is there, or the next check is due in it.
    #[serde(rename = "base.checking")]
    BaseChecking { run: RunId, index: u32 },
    /// A check of the untouched base is over.
    #[serde(rename = "base.checked")]
    BaseChecked { run: RunId, index: u32, result: CheckResult },
    /// Every task was over before they were: nobody waits for what they say, and what runs of them is ended.
    #[serde(rename = "base.dropped")]
    BaseDropped { run: RunId },
    /// All are; the lane is free again.
    #[serde(rename = "base.freed")]
    BaseFreed { run: RunId },
    /// The checks of the final tree begin.
    #[serde(rename = "final.preparing")]
    FinalPreparing { run: RunId, lane: LaneId },
    /// That lane is there, or the next check is due in it.
    #[serde(rename = "final.checking")]
    FinalChecking { run: RunId, index: u32 },
    /// A check of the final tree is over.
    #[serde(rename = "final.checked")]
    FinalChecked { run: RunId, index: u32, result: CheckResult },
    /// All are; the lane is free again.
    #[serde(rename = "final.freed")]
    FinalFreed { run: RunId },
    /// A final check is red: the landing that made it so is looked for. `good` and `bad` count landings.
    #[serde(rename = "bisect.begun")]
    BisectBegun {
        run: RunId,
        check: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        good: Option<u32>,
        bad: u32,
    },
    /// The check ran on the commit that was next.
    #[serde(rename = "bisect.looked")]
    BisectLooked { run: RunId, green: bool },
    /// The search came to nothing.
    #[serde(rename = "bisect.ended")]
    BisectEnded { run: RunId, why: String },
    /// It found this landing, which is taken out: the run's ref is set back before it, what landed after it lands once
    /// more, and what was built on it is blocked.
    #[serde(rename = "landing.undone")]
    LandingUndone {
        run: RunId,
        culprit: AttemptId,
        failure: Failure,
        landed: u32,
        commit: String,
        tree: String,
        again: Vec<AttemptId>,
        dropped: Vec<TaskId>,
    },
    /// A change that was made before is claimed to land, once more or for a task that chose it (`of` = whose it is).
    /// Nothing of it runs again but its checks.
    #[serde(rename = "attempt.relanded")]
    AttemptRelanded {
        attempt: AttemptId,
        before: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<TaskId>,
        lane: LaneId,
        from: String,
    },
    /// A result is about to enter the checkout.
    #[serde(rename = "apply.begun")]
    ApplyBegun { run: RunId, tasks: Vec<TaskId>, number: u32 },
    /// It did.
    #[serde(rename = "apply.done")]
    Applied { run: RunId, apply: Apply },
    /// It did not; nothing was written.
    #[serde(rename = "apply.refused")]
    ApplyRefused { run: RunId, why: String, paths: Vec<String> },
    /// An apply is about to be taken back.
    #[serde(rename = "undo.begun")]
    UndoBegun { run: RunId, number: u32 },
    /// It was.
    #[serde(rename = "undo.done")]
    Undone { run: RunId, number: u32, paths: Vec<String> },
    /// It was not; nothing was written.
    #[serde(rename = "undo.refused")]
    UndoRefused { run: RunId, why: String, paths: Vec<String> },
    /// The workspace's own commands may run, as long as they hash to this; `None` takes it back.
    #[serde(rename = "workspace.trusted")]
    Trusted { hash: Option<String> },
    /// A point to come back to.
    #[serde(rename = "checkpoint.saved")]
    CheckpointSaved { checkpoint: Checkpoint },
    /// A run's ref was set back to a checkpoint, and the tasks that had landed since are due again.
    #[serde(rename = "checkpoint.restored")]
    CheckpointRestored {
        checkpoint: crate::ids::CheckpointId,
        run: RunId,
        landed: u32,
        commit: String,
        tree: String,
        tasks: Vec<TaskId>,
    },
}
