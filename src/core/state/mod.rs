//! The state of one workspace: what is kept, and what is read off it.
//!
//! [`State::evolve`] is the only code that writes it. What can be computed from the rest sits in [`Index`].

mod evolve;
mod index;

pub use index::{Alarm, ESTIMATE_PRIOR_MS, Index, Rank, RunIndex, estimate_ms};

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    Reply,
    agent::{Records, Usage},
    budget,
    decide::{decision::Decision, learned::Learned},
    room::Room,
    run::{Run, Shared, Tip},
    task::{Attempt, Task},
};
use crate::{
    ids::{AttemptId, CheckpointId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// Everything about one workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Numbers given out so far.
    pub last: Last,
    /// All runs that are kept.
    pub runs: BTreeMap<RunId, Run>,
    /// All their tasks, boxed: the nodes of a map that grows at its end are half empty.
    pub tasks: BTreeMap<TaskId, Box<Task>>,
    /// All decisions of kept runs.
    pub decisions: BTreeMap<DecisionId, Decision>,
    /// Points to come back to.
    pub checkpoints: BTreeMap<CheckpointId, Checkpoint>,
    /// Request keys and what they became.
    pub keys: HashMap<String, (RunId, Timestamp)>,
    /// Calls that came with a key and were done, oldest first: the newest few.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub answered: VecDeque<Answered>,
    /// The hash of the workspace's manifests whose commands may run.
    pub trusted: Option<String>,
    /// Accounts that have nothing left, and until when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Timestamp>,
    /// How agents did, by agent and type of task: survives the runs it comes from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: Records,
    /// What agents used, by day since 1970: the newest few.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent: BTreeMap<u64, Usage>,
    /// A day's limit that somebody raised: of which day, and to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_raised: Option<(u64, f64)>,
    /// That there is too little room for lanes, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
    /// What persons taught.
    #[serde(default)]
    pub learned: Learned,
    /// What can be computed from the rest.
    #[serde(skip)]
    pub index: Index,
}

/// The highest number given out of each kind of id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Runs.
    pub run: u32,
    /// Tasks.
    pub task: u32,
    /// Decisions.
    pub decision: u32,
    /// Checkpoints.
    pub checkpoint: u32,
}

/// A call that was done, and how it was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Its caller's key.
    pub key: String,
    /// Its name.
    pub call: String,
    /// The answer; the rest of what is said is read off the state.
    pub reply: Reply,
}

/// A journal position with the trees that belong to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// When.
    pub at: Timestamp,
    /// Words for people.
    pub label: String,
    /// Where the journal was.
    pub position: u64,
    /// Per run: how many landings it had, and its tip.
    pub runs: Vec<(RunId, u32, Tip)>,
}

/// How long an agent waits for an answer before it is told "not now", milliseconds.
pub const ASK_WAIT_MS: u64 = 600_000;

/// When something is next due for an open decision.
fn clock(decision: &Decision) -> Option<(Timestamp, DecisionId)> {
    Some((decision.remind_at.into_iter().chain(decision.expires_at).min()?, decision.id))
}

impl State {
    /// The run of this id.
    pub fn run(&self, run: RunId) -> Option<&Run> {
        self.runs.get(&run)
    }

    /// The task of this id.
    pub fn task(&self, task: TaskId) -> Option<&Task> {
        self.tasks.get(&task).map(Box::as_ref)
    }

    /// The attempt of this id, if it is the task's newest and under way. Any other generation is stale.
    pub fn live(&self, attempt: AttemptId) -> Option<(&Task, &Attempt)> {
        let task = self.tasks.get(&attempt.task)?;
        let (id, current) = task.current()?;
        (id == attempt).then_some((task, current))
    }

    /// Whether an attempt failed and nothing is decided about its task yet: it may be due again at once.
    pub fn undecided(&self) -> bool {
        self.index.failed.iter().any(|id| self.task(id.task).is_some_and(Task::undecided))
    }

    /// When something is due though nothing is reported; the daemon sleeps until then.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let limit = self.index.limits.first().map(|(at, _)| *at);
        let task = self.index.deadlines.first().map(|(at, _)| *at);
        let alarm = self.index.alarms.first().map(|(at, _)| *at);
        let reminder = self.index.clock.first().map(|(at, _)| *at);
        task.into_iter().chain(alarm).chain(reminder).chain(limit).min()
    }

    /// How many lanes may be held: the configured number for those at work, and beside them those of attempts that wait
    /// for a person, up to as many again. What nobody answers until morning must neither stop the rest nor fill the disk.
    pub fn lanes_allowed(&self, lanes_max: u32) -> u32 {
        lanes_max.saturating_add(self.asking().min(lanes_max))
    }

    /// Attempts that wait for a person's answer, in all runs.
    pub fn asking(&self) -> u32 {
        self.index.runs.values().map(|index| index.asking(self)).sum()
    }

    /// Whether every lane that may be held is that of an attempt that waits for a person: then nothing that needs a lane
    /// starts before somebody answers, in no run.
    pub fn all_ask(&self, lanes_max: u32) -> bool {
        let held = self.index.lanes.len();
        held >= self.lanes_allowed(lanes_max) as usize && held == self.asking() as usize
    }

    /// A lane that nobody holds, if one more may be held and the disk has room for it. One in which a session may still
    /// be at work is the last choice.
    pub fn free_lane(&self, lanes_max: u32) -> Option<LaneId> {
        let allowed = self.lanes_allowed(lanes_max);
        if self.room.is_some() || self.index.lanes.len() >= allowed as usize {
            return None;
        }
        let mut free = (1..=allowed).map(LaneId).filter(|lane| !self.index.lanes.contains(lane));
        let first = free.clone().next()?;
        Some(free.find(|lane| !self.index.left_open.contains(lane)).unwrap_or(first))
    }

    /// Whether anything is unfinished: runs that can go on by themselves or wait for somebody.
    pub fn busy(&self) -> bool {
        self.runs.values().any(|run| !run.ended() || run.bringing.is_some())
    }

    /// A deadline that has not passed yet is due at its time.
    fn set_deadline(&mut self, run: RunId) {
        let waits = self.runs.get(&run).filter(|run| !run.ended() && !run.deadline_passed);
        let due = waits.and_then(|run| run.request.deadline);
        self.index.alarms.extend(due.map(|due| (due, Alarm::Deadline(run))));
    }

    /// Keeps the table of deadlines in step with what a run may use.
    fn set_limit(&mut self, run: RunId) {
        self.index.limits.retain(|(_, limited)| *limited != run);
        let deadline = self.runs.get(&run).and_then(budget::deadline);
        self.index.limits.extend(deadline.map(|at| (at, run)));
    }
}

impl Shared {
    /// The lane, while there is one.
    pub fn lane(self) -> Option<LaneId> {
        match self {
            Shared::None => None,
            Shared::Preparing(lane) | Shared::Ready(lane) | Shared::Inspecting(lane) => Some(lane),
        }
    }
}
