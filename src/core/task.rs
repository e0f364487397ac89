//! A task, its attempts, and the machine that an attempt goes through.
//!
//! An attempt's phase says what it waits for, and each phase but the last has exactly one effect that the daemon
//! must have under way for it. So what is due after a crash is read off the state: see [`super::effect::due`].

use serde::{Deserialize, Serialize};

use super::{agent::AgentPart, decide::change::Noticed, job::End, plan::spec::TaskSpec, prove::CheckResult};
use crate::{
    ids::{AttemptId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Something it needs is not done.
    Waiting,
    /// Due; waits for a place.
    Ready,
    /// Its newest attempt is under way.
    Trying,
    /// Tried and to be tried again at this time.
    Retry(Timestamp),
    /// A decision stands before it.
    Asking(DecisionId),
    /// Over, for good, in this way.
    Settled(Settled),
}

/// How a task is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Done and proven.
    Completed,
    /// It did not work.
    Failed,
    /// It worked, but what it changed was not proven and is taken back.
    Undone,
    /// Something it needs did not complete.
    Blocked,
    /// Somebody stopped it, or a person said no.
    Cancelled,
    /// Its effect outside could not be taken back.
    Stuck,
}

impl Settled {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Settled::Completed => "completed",
            Settled::Failed => "failed",
            Settled::Undone => "undone",
            Settled::Blocked => "blocked",
            Settled::Cancelled => "cancelled",
            Settled::Stuck => "stuck",
        }
    }
}

/// What an attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its lane is laid out.
    Preparing,
    /// Its command runs, or is queued at the keeper.
    Running,
    /// Its lane is read for changes.
    Harvesting,
    /// The check of this number runs in its lane.
    Checking(u32),
    /// A red check waits for what it says of the untouched base.
    AwaitingBase(u32),
    /// Nothing can prove it, or it touched what was to prove it: a person looks at it.
    Reviewing,
    /// Proven; waits for its turn to land.
    Queued,
    /// Merged in memory with what landed meanwhile.
    Merging,
    /// The lane is set to the merged tree.
    Restaging,
    /// The check of this number runs on the merged tree.
    Rechecking(u32),
    /// As [`Phase::AwaitingBase`], for the merged tree.
    AwaitingBaseMerged(u32),
    /// The run's ref moves.
    Advancing,
    /// Asks whether its effect outside is there.
    Probing,
    /// Takes its effect outside back.
    Compensating,
    /// Over.
    Over,
}

impl Phase {
    /// Whether `to` may follow. The legal pairs, listed; a violated one is a bug (asserted in debug builds).
    pub fn leads_to(self, to: Phase) -> bool {
        use Phase::*;
        match (self, to) {
            (Over, _) => false,
            // Any attempt may be over at any time: failed, cancelled, lost.
            (_, Over) => true,
            (Preparing, Running) => true,
            (Running, Harvesting | Checking(0) | Probing | Compensating) => true,
            // It ran, but was not proven or was cancelled: what it did outside is taken back.
            (Checking(_) | AwaitingBase(_) | Rechecking(_) | AwaitingBaseMerged(_), Probing | Compensating) => true,
            (Harvesting, Checking(0) | Queued | Reviewing) => true,
            (Checking(_) | AwaitingBase(_), Reviewing) => true,
            // A person leaves it out: what it did outside is taken back.
            (Reviewing, Queued | Probing | Compensating) => true,
            (Checking(index), AwaitingBase(same)) => index == same,
            (Checking(index) | AwaitingBase(index), Checking(next)) => next == index + 1,
            (Checking(_) | AwaitingBase(_), Queued) => true,
            (Queued, Merging) => true,
            (Merging, Restaging | Advancing) => true,
            (Restaging, Rechecking(0)) => true,
            (Rechecking(index), AwaitingBaseMerged(same)) => index == same,
            (Rechecking(index) | AwaitingBaseMerged(index), Rechecking(next)) => next == index + 1,
            (Rechecking(_) | AwaitingBaseMerged(_), Advancing) => true,
            // The ref had moved: merge again.
            (Advancing, Merging) => true,
            (Probing, Compensating) => true,
            _ => false,
        }
    }
}

/// Why an attempt, or a task, failed: stored as it was judged then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// network, resource, validation, security, transient, permanent, quota, conflict, wrong_output, environment, unknown.
    pub class: String,
    /// low, medium, high, critical.
    pub severity: String,
    /// Whether trying again can help.
    pub recoverable: bool,
    /// How likely it is that it does, 0..1.
    pub retry_potential: f64,
    /// A person should see it.
    pub escalation_required: bool,
    /// What happened, for people.
    pub message: String,
    /// What happens next: retry, rollback, escalate, ….
    pub next: String,
    /// The pattern of the user's own policy that it was recognised by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// One try at a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What it waits for.
    pub phase: Phase,
    /// Its own lane; `None` = the run's shared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
    /// When it was handed out.
    pub claimed_at: Timestamp,
    /// When its process began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How its command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// What only attempts with a change, a check or a failure have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Box<Proof>>,
}

/// The change an attempt made and what the checks said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proof {
    /// The commit the lane was laid out at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The commit that holds its change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// That commit's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// The change: files, insertions, deletions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<DiffStat>,
    /// What it does that a person has a word in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed: Option<Box<Noticed>>,
    /// The commit after merging with what landed meanwhile, its tree, and the tip it was merged onto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<(String, String, String)>,
    /// Checks in the lane, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// Checks on the merged tree, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rechecks: Vec<CheckResult>,
    /// How often the run's ref was not where it should have been.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The last of the command's output, where it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// The commit whose tree the lane was laid out with, where that is another than `from`: an earlier attempt's work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The agent's side, where an agent does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<AgentPart>>,
    /// The earlier attempt whose change lands once more: nothing was done anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relands: Option<u32>,
}

/// The size of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStat {
    /// Files touched.
    pub files: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
}

impl Attempt {
    /// The agent's side.
    pub fn agent(&self) -> Option<&AgentPart> {
        self.more.as_ref()?.agent.as_deref()
    }

    /// The same, to be changed.
    pub(super) fn agent_mut(&mut self) -> Option<&mut AgentPart> {
        self.more.as_mut()?.agent.as_deref_mut()
    }

    /// Whether a session has it and has not handed it in.
    pub fn holds_lease(&self) -> bool {
        self.leased() && matches!(self.phase, Phase::Preparing | Phase::Running) && self.end.is_none()
    }

    /// Whether it waits for a person and for nothing else.
    pub fn held(&self) -> bool {
        match self.phase {
            Phase::Reviewing => true,
            Phase::Running => self.end.is_none() && self.agent().is_some_and(AgentPart::waits),
            _ => false,
        }
    }

    /// Whether it waits for a person's answer. Its lane then keeps nobody else from starting.
    pub fn asks_a_person(&self) -> bool {
        let unanswered = |part: &AgentPart| part.asks.iter().any(|ask| ask.verdict.is_none() && ask.decision.is_some());
        match self.phase {
            Phase::Reviewing => true,
            Phase::Running => self.end.is_none() && self.agent().is_some_and(unanswered),
            _ => false,
        }
    }

    /// Whether it only lands once more what an earlier one did.
    pub fn relands(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.relands.is_some())
    }

    /// Whether a session has it, and no process of ours.
    pub fn leased(&self) -> bool {
        self.agent().is_some_and(|part| part.allocation.lease_until.is_some())
    }

    /// Whether a session had it and was never told that it is over: it may still write into the lane.
    pub fn left_open(&self) -> bool {
        self.leased() && self.phase == Phase::Over && self.end.is_none()
    }

    /// Whether it was lost with its machine or keeper, in its command or in one of its checks.
    pub fn lost(&self) -> bool {
        let lost_check = |proof: &Proof| {
            [&proof.checks, &proof.rechecks].iter().any(|list| list.last().is_some_and(|check| check.end == End::Lost))
        };
        self.end == Some(End::Lost) || self.more.as_deref().is_some_and(lost_check)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The run it belongs to.
    pub run: RunId,
    /// Its position in [`super::run::Run::tasks`].
    pub position: u32,
    /// What it is.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: TaskState,
    /// Every try, oldest first; generation = position + 1.
    pub attempts: Vec<Attempt>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// One sentence: why it is blocked, failed, undone, or what made it complete without a change.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub why: Box<str>,
    /// A person allowed its effect outside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
    /// Somebody asked to stop it; it is over as soon as what runs for it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// The option chosen, for a decision task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Box<str>>,
    /// It reads, but in a lane of its own: somebody changed files in the one it shared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

impl Task {
    /// A task that nothing was done for.
    pub fn new(id: TaskId, run: RunId, position: u32, spec: TaskSpec) -> Task {
        Task {
            id,
            run,
            position,
            spec,
            state: TaskState::Waiting,
            attempts: Vec::new(),
            settled_at: None,
            why: "".into(),
            approved: false,
            cancelled: false,
            choice: None,
            apart: false,
        }
    }

    /// A task that was over, or must not have happened, begins anew; what was allowed once is asked for again.
    pub(super) fn begin_anew(&mut self) {
        self.settled_at = None;
        self.why = "".into();
        self.approved = false;
        self.cancelled = false;
        self.choice = None;
    }

    /// The newest attempt, if it is under way.
    pub fn current(&self) -> Option<(AttemptId, &Attempt)> {
        let attempt = self.attempts.last().filter(|attempt| attempt.phase != Phase::Over)?;
        Some((AttemptId { task: self.id, generation: self.attempts.len() as u32 }, attempt))
    }

    /// Whether its newest attempt failed and nothing is decided about that yet.
    pub fn undecided(&self) -> bool {
        self.state == TaskState::Trying && self.current().is_none()
    }

    /// The attempt of that generation, whatever its phase.
    pub fn attempt(&self, generation: u32) -> Option<&Attempt> {
        self.attempts.get(generation.checked_sub(1)? as usize)
    }

    /// Whether it is over.
    pub fn settled(&self) -> Option<Settled> {
        match self.state {
            TaskState::Settled(settled) => Some(settled),
            _ => None,
        }
    }

    /// The status word of the wire.
    pub fn status(&self) -> &'static str {
        match self.state {
            TaskState::Waiting | TaskState::Retry(_) => "queued",
            TaskState::Ready => "ready",
            TaskState::Asking(_) => "waiting_decision",
            TaskState::Settled(settled) => settled.word(),
            TaskState::Trying => match self.current().map(|(_, attempt)| attempt.phase) {
                Some(Phase::Running)
                    if self.current().is_some_and(|(_, live)| live.agent().is_some_and(AgentPart::waits)) =>
                {
                    "waiting_decision"
                }
                Some(Phase::Preparing | Phase::Running) | None => "running",
                Some(Phase::Harvesting | Phase::Checking(_) | Phase::AwaitingBase(_)) => "verifying",
                Some(Phase::Reviewing) => "waiting_decision",
                Some(
                    Phase::Queued
                    | Phase::Merging
                    | Phase::Restaging
                    | Phase::Rechecking(_)
                    | Phase::AwaitingBaseMerged(_)
                    | Phase::Advancing,
                ) => "landing",
                Some(Phase::Probing | Phase::Compensating | Phase::Over) => "running",
            },
        }
    }
}
