//! A run: one request on its way through the stages, and the state machine of the specification's §2.9.
//!
//! The machine is one total function, [`RunState::next`]; what is not listed there is an [`IllegalTransition`].
//! A run's progress, levels and critical path are computed elsewhere, never stored here.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    agent::{FoundAgent, Note},
    analyze::Analysis,
    bisect::Bisect,
    budget::Limit,
    facts::Facts,
    plan::spec::{Argv, Budget, Coordination, OnFailure, Priority, Strategy},
    prove::CheckResult,
};
use crate::{
    ids::{AttemptId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// The eight states of the specification, per run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunState {
    /// Not begun, or over.
    Idle,
    /// The request and the repository are looked at.
    Analyzing,
    /// Tasks are laid out; approvals are awaited.
    Planning,
    /// The first dispatch, and each dispatch after an answer.
    Executing,
    /// Attempts run or are due.
    Monitoring,
    /// Nothing runs or is due, and an open decision blocks.
    Escalating,
    /// Final checks and publication.
    Completing,
    /// Our own fault, or every branch dead.
    Error,
}

/// What moves a run from state to state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A request arrived.
    Start,
    /// The analysis is there.
    Plan,
    /// The plan is there and approved.
    Execute,
    /// The first tasks were handed out.
    Monitor,
    /// Only an answer can go on.
    Escalate,
    /// Somebody answered, or what was asked went away.
    UserResponse,
    /// Every task is settled.
    Complete,
    /// The result is published.
    Finish,
    /// Our own fault.
    Error,
    /// A person, or a later success, took the run out of ERROR.
    Recover,
    /// Somebody cancelled.
    Cancel,
}

/// All states, for tables and tests.
pub const RUN_STATES: [RunState; 8] = [
    RunState::Idle,
    RunState::Analyzing,
    RunState::Planning,
    RunState::Executing,
    RunState::Monitoring,
    RunState::Escalating,
    RunState::Completing,
    RunState::Error,
];

/// All triggers, for tables and tests.
pub const TRIGGERS: [Trigger; 11] = [
    Trigger::Start,
    Trigger::Plan,
    Trigger::Execute,
    Trigger::Monitor,
    Trigger::Escalate,
    Trigger::UserResponse,
    Trigger::Complete,
    Trigger::Finish,
    Trigger::Error,
    Trigger::Recover,
    Trigger::Cancel,
];

/// A pair that is not in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllegalTransition {
    /// Where the run was.
    pub from: RunState,
    /// What was tried.
    pub trigger: Trigger,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no transition {:?} from {:?}", self.trigger, self.from)
    }
}

impl RunState {
    /// The machine: the specification's ten transitions, cancel from any active state, and ERROR → EXECUTING
    /// after recovery (DESIGN §6, 2.9). A cancelled run still completes: what had landed is published.
    /// A decision that is open before the first dispatch leaves the run in PLANNING.
    pub fn next(self, trigger: Trigger) -> Result<RunState, IllegalTransition> {
        use RunState::*;
        use Trigger as T;
        match (self, trigger) {
            (Idle, T::Start) => Ok(Analyzing),
            (Analyzing, T::Plan) => Ok(Planning),
            (Planning, T::Execute) => Ok(Executing),
            (Executing, T::Monitor) => Ok(Monitoring),
            (Monitoring, T::Escalate) => Ok(Escalating),
            (Escalating, T::UserResponse) => Ok(Executing),
            (Monitoring, T::Complete) => Ok(Completing),
            (Completing, T::Finish) => Ok(Idle),
            (Analyzing | Planning | Executing | Monitoring | Escalating | Completing, T::Error) => Ok(Error),
            (Error, T::Recover) => Ok(Executing),
            (Analyzing | Planning | Executing | Monitoring | Escalating | Completing | Error, T::Cancel) => {
                Ok(Completing)
            }
            (from, trigger) => Err(IllegalTransition { from, trigger }),
        }
    }

    /// Whether a run in this state still has something ahead of it.
    pub fn active(self) -> bool {
        !matches!(self, RunState::Idle | RunState::Error)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RunState::Idle => "IDLE",
            RunState::Analyzing => "ANALYZING",
            RunState::Planning => "PLANNING",
            RunState::Executing => "EXECUTING",
            RunState::Monitoring => "MONITORING",
            RunState::Escalating => "ESCALATING",
            RunState::Completing => "COMPLETING",
            RunState::Error => "ERROR",
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every task completed.
    Completed,
    /// Some did.
    Partial,
    /// None did, or the final check is red.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl Outcome {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Partial => "partial",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// Whether a request is carried out or only planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Plan and go.
    #[default]
    Start,
    /// Plan, show, and wait for approval.
    Plan,
}

/// How much a person wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interaction {
    /// Only for effects outside and over budget.
    Minimal,
    /// Also for complex or planner-made plans.
    #[default]
    Checkpoint,
    /// Always, and at milestones.
    Collaborative,
}

impl Interaction {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Interaction::Minimal => "minimal",
            Interaction::Checkpoint => "checkpoint",
            Interaction::Collaborative => "collaborative",
        }
    }
}

/// When a plan needs a yes before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovePlan {
    /// As the interaction mode says.
    #[default]
    Auto,
    /// Each time.
    Always,
    /// Never for the plan as such; effects outside are still asked for one by one.
    Never,
}

/// Whether the result is to be offered for the checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyWish {
    /// As the interaction mode says.
    #[default]
    Auto,
    /// At the end.
    Ask,
    /// It stays on its branch until a person brings it in.
    Never,
}

/// What was asked for, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The person's words.
    pub description: String,
    /// The folder they were said in; the checkout that apply goes to.
    pub checkout: PathBuf,
    /// How urgent.
    pub priority: Priority,
    /// Carry out or only plan.
    pub mode: Mode,
    /// How much to ask.
    pub interaction: Interaction,
    /// When the plan needs a yes.
    pub approve_plan: ApprovePlan,
    /// Whether its result is offered.
    #[serde(skip_serializing_if = "is_default")]
    pub apply: ApplyWish,
    /// `staging`, `production`, …: what policy sees as `environment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Most jobs at once; `None` = the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// The deadline that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Constraints that nothing here enforces, handed on and said so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unenforced: Vec<String>,
    /// The same key within seven days is the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Commands found in the workspace's files may run.
    pub trust: bool,
    /// The number promised to the first task, where a single task was submitted as a run of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_task: Option<TaskId>,
    /// Limits that came with the request; the plan's own hold as well.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: Budget,
    /// The layout that was asked for, whatever the plan says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The agent that is to make the plan; `none` = nobody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planner: Option<String>,
    /// How agents are to work together, whatever the plan says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordination: Option<Coordination>,
    /// Checks that came with a request in words: every change must pass them, and so must the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Argv>,
    /// A plan that came with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<super::plan::spec::Plan>>,
    /// Where the plan came from: `client`, or `command` for `run --do`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_source: Option<String>,
    /// Files as an editor has them where they are not saved, by path from the workspace's root. Part of the base, and
    /// forgotten once that is taken.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub buffers: BTreeMap<String, String>,
    /// Everything free in the request's context, handed on.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub context: serde_json::Map<String, serde_json::Value>,
    /// Names of the keys that its client handed over for agents; their values are in the daemon's memory only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The allow-listed environment of the client that submitted it; secrets are never in it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl Request {
    /// Whether names and signatures that others build on are to stay: the constraint `maintain_compatibility`.
    pub fn keeps_compatible(&self) -> bool {
        self.context.get("constraints").and_then(|constraints| constraints.get("maintain_compatibility")?.as_bool())
            == Some(true)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The tree a run starts from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Base {
    /// The commit lanes start at: HEAD, or a hidden commit of the dirty tree.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// Whether the checkout was exactly HEAD.
    pub clean: bool,
    /// What could not be taken along, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<(String, String)>,
}

/// A commit with its tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tip {
    /// The commit.
    pub commit: String,
    /// Its tree.
    pub tree: String,
}

/// How a plan came about, without its tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanInfo {
    /// `playbook:tidy`, `client`, `command`, `agent`.
    pub source: String,
    /// One line for people.
    pub title: String,
    /// Layout.
    pub strategy: Strategy,
    /// How agents work together.
    pub coordination: Coordination,
    /// Most tasks at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// What a failure does to the rest.
    pub on_failure: OnFailure,
    /// Limits.
    pub budget: Budget,
    /// Checks on the final tree.
    pub verify: Vec<Argv>,
    /// What is odd about the plan but did not refuse it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Playbooks that were considered, best first, with their scores.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<(String, f64)>,
}

/// One check of the untouched base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The command.
    pub argv: Argv,
    /// `None` while it is due or running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<CheckResult>,
}

/// One entry of the run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Where it was.
    pub from: RunState,
    /// Where it went.
    pub to: RunState,
    /// Why.
    pub trigger: Trigger,
    /// When.
    pub at: Timestamp,
}

/// One time that a result entered the checkout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    /// Which of the run's applies this is, from 1; part of the ref that keeps `before`.
    pub number: u32,
    /// The result that is applied.
    pub result: String,
    /// The tasks it was cut down to; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskId>,
    /// The snapshot of the checkout taken just before.
    pub before: String,
    /// The tree that was written.
    pub merged: String,
    /// The paths that were written.
    pub paths: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// An editor has it in its buffers, saved or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_editor: bool,
    /// Of those paths, the ones that taking it back found unsaved in the editor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsaved: Vec<String>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Timestamp>,
}

/// The shared, read-only lane of a run's reading tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// Nobody needed it yet.
    #[default]
    None,
    /// Being laid out.
    Preparing(LaneId),
    /// Ready for any number of readers.
    Ready(LaneId),
    /// Nobody reads any more; looked at for changes that no reader may have made.
    Inspecting(LaneId),
}

/// Changes that no reader may have made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeclared {
    /// What changed.
    pub paths: Vec<String>,
    /// Who read in that lane.
    pub readers: Vec<TaskId>,
}

/// Where the base's checks stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proving {
    /// Nothing to do, or all done.
    #[default]
    Idle,
    /// A lane is being laid out for it.
    Preparing(LaneId),
    /// The check of this number runs.
    Running(LaneId, u32),
}

/// One request, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What was asked.
    pub request: Request,
    /// When it arrived.
    pub created_at: Timestamp,
    /// When the first task was handed out.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub state: RunState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// One sentence for an outcome that needs one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome_why: String,
    /// Every state it was in.
    pub history: Vec<Moved>,
    /// What the repository has.
    pub facts: Option<Arc<Facts>>,
    /// What the request means.
    pub analysis: Option<Box<Analysis>>,
    /// How the plan came about.
    pub plan: Option<Box<PlanInfo>>,
    /// Its tasks, in plan order; [`TaskSpec::needs`](super::plan::spec::TaskSpec) counts in this list.
    pub tasks: Vec<TaskId>,
    /// Where it starts from.
    pub base: Option<Base>,
    /// The run's ref: what has landed so far.
    pub tip: Option<Tip>,
    /// Landed attempts in order, each with the commit it made.
    #[serde(default)]
    pub landed: Vec<(AttemptId, String)>,
    /// How often checks of the base or of the result had to begin anew; part of their jobs' ids, so that a report
    /// from before is stale.
    #[serde(default)]
    pub round: u32,
    /// Checks on the untouched base.
    #[serde(default)]
    pub baseline: Vec<Baseline>,
    /// Where those stand.
    #[serde(default)]
    pub proving_base: Proving,
    /// Every task is over before the base's checks are: nobody waits for what they say.
    #[serde(default)]
    pub base_unneeded: bool,
    /// Checks on the final tree.
    #[serde(default)]
    pub finals: Vec<Baseline>,
    /// Where those stand.
    #[serde(default)]
    pub proving_final: Proving,
    /// The search for the landing that made one of them red.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bisect: Option<Bisect>,
    /// Why that search came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<String>,
    /// Changes that had landed and are to land once more, since one before them was taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<AttemptId>,
    /// The readers' lane.
    #[serde(default)]
    pub shared: Shared,
    /// Since when it has been that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_since: Option<Timestamp>,
    /// What changed in the readers' lane though nobody said that it would: the run does not end before somebody says
    /// what that means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared: Option<Box<Undeclared>>,
    /// What it may use: the plan's budget, and what was added since.
    #[serde(default)]
    pub allowed: Budget,
    /// Most attempts of its agents, where somebody raised that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_most: Option<u32>,
    /// What of it is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<Limit>,
    /// What people were told is nearly used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warned: Vec<Limit>,
    /// From when its minutes count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_from: Option<Timestamp>,
    /// Processes started for its tasks since then.
    #[serde(default)]
    pub spawned: u32,
    /// The branch it was published as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether publication was tried.
    #[serde(default)]
    pub published: bool,
    /// Somebody asked to stop it.
    #[serde(default)]
    pub cancelled: bool,
    /// The plan was approved, or needed no approval.
    #[serde(default)]
    pub approved: bool,
    /// A task failed and the plan says to stop then.
    #[serde(default)]
    pub stopping: bool,
    /// The milestone that it has reached and that a person is to see before it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<String>,
    /// Milestones that a person has seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones_seen: Vec<String>,
    /// Its deadline has passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deadline_passed: bool,
    /// Somebody was told of that, or asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deadline_told: bool,
    /// Every time it entered the checkout.
    #[serde(default)]
    pub applies: Vec<Apply>,
    /// An apply or undo that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bringing: Option<Bringing>,
    /// Why the last apply or undo was refused, and the paths it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<(String, Vec<String>)>,
    /// Notes worth showing: skipped files, unprepared dependencies, ….
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The agents that there are for it; `None` = not looked up, or being looked up anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<FoundAgent>>,
    /// They are being looked up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looking: bool,
    /// What its agents left for each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_notes: Vec<Note>,
}

/// An apply or an undo that was begun and has not reported yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bringing {
    /// Into the checkout.
    Apply {
        /// The tasks asked for; empty = all.
        tasks: Vec<TaskId>,
        /// Its number.
        number: u32,
        /// What is brought: the run's tip when it was asked for, whatever lands meanwhile.
        tip: String,
    },
    /// Out of it again.
    Undo {
        /// The number of the apply that is taken back.
        number: u32,
    },
}

impl Run {
    /// A run that has just been asked for.
    pub fn new(id: RunId, request: Request, at: Timestamp) -> Run {
        Run {
            id,
            request,
            created_at: at,
            started_at: None,
            ended_at: None,
            state: RunState::Idle,
            outcome: None,
            outcome_why: String::new(),
            history: Vec::new(),
            facts: None,
            analysis: None,
            plan: None,
            tasks: Vec::new(),
            base: None,
            tip: None,
            landed: Vec::new(),
            round: 0,
            baseline: Vec::new(),
            proving_base: Proving::Idle,
            base_unneeded: false,
            finals: Vec::new(),
            proving_final: Proving::Idle,
            bisect: None,
            unexplained: None,
            again: Vec::new(),
            shared: Shared::None,
            shared_since: None,
            undeclared: None,
            allowed: Budget::default(),
            attempts_most: None,
            exhausted: None,
            warned: Vec::new(),
            clock_from: None,
            spawned: 0,
            branch: None,
            published: false,
            cancelled: false,
            approved: false,
            stopping: false,
            milestone: None,
            milestones_seen: Vec::new(),
            deadline_passed: false,
            deadline_told: false,
            applies: Vec::new(),
            bringing: None,
            refusal: None,
            notes: Vec::new(),
            agents: None,
            looking: false,
            shared_notes: Vec::new(),
        }
    }

    /// How much to ask: what was asked for, or what the workspace's own files say where that is more.
    pub fn interaction(&self) -> Interaction {
        let of_workspace = self.facts.as_ref().and_then(|facts| facts.interaction);
        of_workspace.map_or(self.request.interaction, |least| least.max(self.request.interaction))
    }

    /// Whether it starts nothing more until somebody says how it goes on.
    pub fn halted(&self) -> bool {
        (self.exhausted.is_some() || self.milestone.is_some()) && !self.stopping
    }

    /// The commit new lanes start at.
    pub fn tip_commit(&self) -> Option<&str> {
        self.tip.as_ref().map(|tip| tip.commit.as_str()).or(self.base.as_ref().map(|base| base.commit.as_str()))
    }

    /// The tree new lanes start at.
    pub fn tip_tree(&self) -> Option<&str> {
        self.tip.as_ref().map(|tip| tip.tree.as_str()).or(self.base.as_ref().map(|base| base.tree.as_str()))
    }

    /// The hidden ref that holds what has landed.
    pub fn tip_ref(&self) -> String {
        format!("refs/orchestrator/{}/tip", self.id)
    }

    /// Whether it is over.
    pub fn ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether the final checks have nothing more to say: there are none, nothing landed that they could judge,
    /// somebody cancelled, or all have spoken and none is looked into.
    pub fn finals_over(&self) -> bool {
        self.proving_final == Proving::Idle
            && (self.cancelled
                || self.landed.is_empty()
                || (self.bisect.is_none() && self.finals.iter().all(|check| check.result.is_some())))
    }

    /// Most of its jobs at once.
    pub fn jobs(&self, workers: u32) -> u32 {
        if self.in_order() {
            return 1;
        }
        let planned = self.plan.as_ref().and_then(|plan| plan.max_parallel).map(|most| most.min(workers));
        self.request.jobs.or(planned).unwrap_or(workers).max(1)
    }

    /// Whether its tasks are done one after another, as the plan lists them.
    pub fn in_order(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.strategy == Strategy::Sequential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for from in RUN_STATES {
            for trigger in TRIGGERS {
                if let Ok(to) = from.next(trigger) {
                    table.push_str(&format!("{from} --{trigger:?}--> {to}\n"));
                }
            }
        }
        expect_test::expect![[r#"
            IDLE --Start--> ANALYZING
            ANALYZING --Plan--> PLANNING
            ANALYZING --Error--> ERROR
            ANALYZING --Cancel--> COMPLETING
            PLANNING --Execute--> EXECUTING
            PLANNING --Error--> ERROR
            PLANNING --Cancel--> COMPLETING
            EXECUTING --Monitor--> MONITORING
            EXECUTING --Error--> ERROR
            EXECUTING --Cancel--> COMPLETING
            MONITORING --Escalate--> ESCALATING
            MONITORING --Complete--> COMPLETING
            MONITORING --Error--> ERROR
            MONITORING --Cancel--> COMPLETING
            ESCALATING --UserResponse--> EXECUTING
            ESCALATING --Error--> ERROR
            ESCALATING --Cancel--> COMPLETING
            COMPLETING --Finish--> IDLE
            COMPLETING --Error--> ERROR
            COMPLETING --Cancel--> COMPLETING
            ERROR --Recover--> EXECUTING
            ERROR --Cancel--> COMPLETING
        "#]]
        .assert_eq(&table);
    }
}
