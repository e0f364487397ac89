//! Tables of what can be computed from the rest of the state: kept up by [`State::evolve`], rebuilt after loading.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{ASK_WAIT_MS, State, clock};
use crate::{
    core::{
        budget,
        decide::ladder::Ladder,
        graph::Graph,
        plan::spec::{Effect, Kind, Part, Priority, TaskSpec},
        run::Proving,
        task::{Attempt, Phase, Settled, Task, TaskState},
    },
    ids::{AttemptId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// Derived tables: rebuilt by [`State::reindex`], kept up by [`State::evolve`].
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Per run that is not over.
    pub runs: BTreeMap<RunId, RunIndex>,
    /// Lanes that somebody holds.
    pub lanes: BTreeSet<LaneId>,
    /// Lanes into which a session of a run that is not over may still write, though its task was taken from it.
    pub left_open: BTreeSet<LaneId>,
    /// Runs that the stages should look at.
    pub dirty: BTreeSet<RunId>,
    /// Attempts about which something was reported.
    pub due: VecDeque<AttemptId>,
    /// Attempts that failed and about which nothing is decided yet.
    pub failed: VecDeque<AttemptId>,
    /// Settled tasks whose dependants must be blocked.
    pub blocking: VecDeque<TaskId>,
    /// Answered decisions whose consequence is not drawn yet.
    pub answered: VecDeque<DecisionId>,
    /// Decisions that may have lost what they ask about.
    pub moot: VecDeque<DecisionId>,
    /// Exclusive tokens that an attempt holds, in any run.
    pub tokens: BTreeSet<String>,
    /// Tasks that are due again later.
    pub deadlines: BTreeSet<(Timestamp, TaskId)>,
    /// What else is due later.
    pub alarms: BTreeSet<(Timestamp, Alarm)>,
    /// Attempts whose agents asked something that is not judged yet.
    pub asking: VecDeque<AttemptId>,
    /// Decisions that are open.
    pub open: BTreeSet<DecisionId>,
    /// When open decisions are due to be told of again, or expire.
    pub clock: BTreeSet<(Timestamp, DecisionId)>,
    /// Applies that were just taken back.
    pub regretted: VecDeque<(RunId, u32)>,
    /// Automatic decisions that nothing has proven yet.
    pub unproven: BTreeSet<u64>,
    /// What was learned, from the labels.
    pub ladder: Ladder,
    /// When the minutes of a run are nearly or quite over.
    pub limits: BTreeSet<(Timestamp, RunId)>,
}

/// Something that is due at a time, besides tasks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// An account has something left again.
    Account(String),
    /// A session has not said a word about its attempt for too long.
    Lease(AttemptId),
    /// An agent has waited long enough for an answer.
    Ask(AttemptId, String),
    /// A run's deadline passes.
    Deadline(RunId),
    /// It is looked for room on the disk.
    Room,
}

/// Ready tasks go by priority, then by the longest way to the end, then in plan order.
pub type Rank = (std::cmp::Reverse<Priority>, std::cmp::Reverse<u64>, u32);

/// Derived tables of one run that is not over.
#[derive(Debug, Clone, Default)]
pub struct RunIndex {
    /// Its dependencies.
    pub graph: Graph,
    /// Longest way to the end, milliseconds, by position.
    pub bottom: Vec<u64>,
    /// Needs not completed yet, by position.
    pub remaining: Vec<u32>,
    /// Positions of readers and questions that nothing in the plan can have changed anything for: such readers share
    /// one lane.
    pub reads_base: Vec<bool>,
    /// Due readers of the shared lane.
    pub ready_shared: BTreeSet<Rank>,
    /// Due tasks that need a lane of their own.
    pub ready_own: BTreeSet<Rank>,
    /// Due tasks that no process is needed for: decisions, agents nobody can run yet.
    pub ready_other: BTreeSet<Rank>,
    /// Tasks not settled.
    pub unsettled: u32,
    /// Tasks completed.
    pub completed: u32,
    /// Attempts under way in the shared lane.
    pub trying_shared: u32,
    /// Attempts under way in lanes of their own.
    pub trying_own: BTreeSet<TaskId>,
    /// Tasks due again later.
    pub retrying: u32,
    /// Open decisions.
    pub open: u32,
    /// Proven attempts that wait to land, in that order.
    pub landing: VecDeque<AttemptId>,
    /// A moving mean of how long this run's commands took, milliseconds; `None` before the first ended.
    pub mean_ms: Option<f64>,
    /// Tasks are done as the plan lists them, whatever waits for them.
    pub in_order: bool,
}

impl State {
    /// Builds [`Index`] from the rest: after loading a cached fold. Replaying every event gives the same.
    pub fn reindex(&mut self) {
        self.index = Index::default();
        let open: Vec<RunId> = self.runs.values().filter(|run| !run.ended()).map(|run| run.id).collect();
        for run in open {
            self.index_run(run);
            self.set_deadline(run);
        }
        for run in self.runs.values() {
            self.index.lanes.extend(run.shared.lane());
            for proving in [run.proving_base, run.proving_final] {
                if let Proving::Preparing(lane) | Proving::Running(lane, _) = proving {
                    self.index.lanes.insert(lane);
                }
            }
        }
        for decision in self.decisions.values().filter(|decision| decision.open()) {
            self.index.open.insert(decision.id);
            self.index.clock.extend(clock(decision));
        }
        let unproven = self.learned.acts.iter().filter(|act| act.unproven());
        self.index.unproven = unproven.map(|act| act.number).collect();
        self.index.limits = self.runs.values().filter_map(|run| Some((budget::deadline(run)?, run.id))).collect();
        for (account, until) in &self.limits {
            self.index.alarms.insert((*until, Alarm::Account(account.clone())));
        }
        self.index.alarms.extend(self.room.as_ref().map(|room| (room.next, Alarm::Room)));
        for task in self.tasks.values() {
            let Some((attempt, live)) = task.current() else { continue };
            let Some(part) = live.agent() else { continue };
            if let Some(until) = part.allocation.lease_until.filter(|_| live.holds_lease()) {
                self.index.alarms.insert((until, Alarm::Lease(attempt)));
            }
            if live.phase != Phase::Running || live.end.is_some() {
                continue;
            }
            for ask in part.asks.iter().filter(|ask| ask.verdict.is_none()) {
                match ask.decision.and_then(|decision| self.decisions.get(&decision)) {
                    Some(decision) => {
                        let due = decision.created_at.plus_ms(ASK_WAIT_MS);
                        self.index.alarms.insert((due, Alarm::Ask(attempt, ask.request.clone())));
                    }
                    None => self.index.asking.push_back(attempt),
                }
            }
        }
    }

    /// Lanes that sessions which had this task may still write into.
    pub(super) fn left_open(&self, task: TaskId) -> Vec<LaneId> {
        let attempts = self.tasks.get(&task).map(|task| task.attempts.as_slice()).unwrap_or_default();
        attempts.iter().filter(|attempt| attempt.left_open()).filter_map(|attempt| attempt.lane).collect()
    }

    /// Builds one run's tables from its tasks.
    pub(super) fn index_run(&mut self, id: RunId) {
        let left: Vec<LaneId> = self.runs[&id].tasks.iter().flat_map(|task| self.left_open(*task)).collect();
        self.index.left_open.extend(left);
        let run = &self.runs[&id];
        let tasks: Vec<&Task> = run.tasks.iter().map(|task| &*self.tasks[task]).collect();
        let needs = tasks.iter().map(|task| task.spec.needs.as_slice());
        // Plans are checked before they are stored; a stored cycle would be damage, and damage is refused earlier.
        let graph = Graph::from_needs(needs).unwrap_or_default();
        let estimates: Vec<u64> = tasks.iter().map(|task| estimate_ms(&task.spec)).collect();
        let mut index = RunIndex {
            bottom: graph.bottom(&estimates),
            remaining: vec![0; tasks.len()],
            reads_base: vec![false; tasks.len()],
            in_order: run.in_order(),
            graph,
            ..RunIndex::default()
        };
        for &position in index.graph.order() {
            let before = index.graph.predecessors(position);
            let task = tasks[position as usize];
            let reads = task.spec.effect == Effect::None || task.spec.kind() == Kind::Decision;
            index.reads_base[position as usize] =
                reads && before.iter().all(|&before| index.reads_base[before as usize]);
            let met = |before: u32| match tasks[before as usize].settled() {
                Some(how) => how == Settled::Completed || picks(task),
                None => false,
            };
            let unmet = before.iter().filter(|&&before| !met(before));
            index.remaining[position as usize] = unmet.count() as u32;
        }
        if index.in_order {
            // Every task follows those that stand before it, needed or not: it sees what they changed.
            let first_writer = index.reads_base.iter().position(|reads| !reads).unwrap_or(tasks.len());
            index.reads_base[first_writer..].fill(false);
        }
        let (mut become_ready, mut become_waiting) = (Vec::new(), Vec::new());
        for task in &tasks {
            let position = task.position as usize;
            match task.state {
                TaskState::Settled(how) => {
                    index.completed += u32::from(how == Settled::Completed);
                    if how != Settled::Completed {
                        self.index.blocking.push_back(task.id);
                    }
                    continue;
                }
                // What it needs was done, and is to be done or to land once more.
                TaskState::Ready if index.remaining[position] > 0 => become_waiting.push(task.id),
                TaskState::Ready => index.put_ready(task, rank(task, Some(&index))),
                TaskState::Retry(at) => {
                    index.retrying += 1;
                    self.index.deadlines.insert((at, task.id));
                }
                TaskState::Waiting if index.remaining[position] == 0 => become_ready.push(task.id),
                TaskState::Trying => {
                    if let Some((attempt, current)) = task.current() {
                        match current.lane {
                            Some(lane) => {
                                index.trying_own.insert(task.id);
                                self.index.lanes.insert(lane);
                                self.index.tokens.extend(task.spec.extras().resources.iter().cloned());
                            }
                            None => index.trying_shared += 1,
                        }
                        if current.phase == Phase::Queued {
                            index.landing.push_back(attempt);
                        }
                        self.index.due.push_back(attempt);
                    } else {
                        let generation = task.attempts.len() as u32;
                        self.index.failed.push_back(AttemptId { task: task.id, generation });
                    }
                }
                TaskState::Waiting | TaskState::Asking(_) => {}
            }
            index.unsettled += 1;
        }
        // Decisions that are still open count; an answered one whose consequence was drawn leaves no task asking.
        for decision in self.decisions.values().filter(|decision| decision.run == id) {
            index.open += u32::from(decision.open());
        }
        self.index.runs.insert(id, index);
        self.index.dirty.insert(id);
        for task in become_waiting {
            // Not among the ready ones, so nothing is to be taken from there.
            if let Some(task) = self.tasks.get_mut(&task) {
                task.state = TaskState::Waiting;
            }
        }
        for task in become_ready {
            self.set_task(task, TaskState::Ready);
        }
    }
}

impl RunIndex {
    pub(super) fn put_ready(&mut self, task: &Task, rank: Rank) {
        match class(task, &self.reads_base) {
            Class::Shared => self.ready_shared.insert(rank),
            Class::Own => self.ready_own.insert(rank),
            Class::Other => self.ready_other.insert(rank),
        };
    }

    pub(super) fn take_ready(&mut self, rank: Rank) {
        let _ = self.ready_shared.remove(&rank) || self.ready_own.remove(&rank) || self.ready_other.remove(&rank);
    }

    /// Attempts under way.
    pub fn trying(&self) -> u32 {
        self.trying_shared + self.trying_own.len() as u32
    }

    /// Attempts under way in lanes of their own, so there are few.
    fn own<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (AttemptId, &'a Attempt)> {
        self.trying_own.iter().filter_map(|task| state.task(*task)?.current())
    }

    /// How many of them wait for a person's answer.
    pub fn asking(&self, state: &State) -> u32 {
        self.own(state).filter(|(_, live)| live.asks_a_person()).count() as u32
    }

    /// The tasks of those that take a place of the run's number of jobs. Of one whose work a person looks at nothing runs;
    /// an agent that asks is a process still.
    pub fn at_work<'a>(&'a self, state: &'a State) -> impl Iterator<Item = TaskId> {
        self.own(state).filter(|(_, live)| live.phase != Phase::Reviewing).map(|(attempt, _)| attempt.task)
    }

    /// How many of them wait for a person and for nothing else.
    fn held(&self, state: &State) -> u32 {
        self.own(state).filter(|(_, live)| live.held()).count() as u32
    }

    /// Attempts under way that go on by themselves.
    pub fn going(&self, state: &State) -> u32 {
        self.trying() - self.held(state)
    }

    /// Whether anything is due or under way that needs nobody's answer.
    pub fn moving(&self, state: &State) -> bool {
        self.going(state) > 0
            || self.retrying > 0
            || !self.ready_shared.is_empty()
            || !self.ready_own.is_empty()
            || !self.ready_other.is_empty()
    }
}

enum Class {
    Shared,
    Own,
    Other,
}

fn class(task: &Task, reads_base: &[bool]) -> Class {
    match task.spec.kind() {
        // Who wants an exclusive token is handed out one by one.
        Kind::Shell if task.apart => Class::Own,
        Kind::Shell if reads_base[task.position as usize] && task.spec.extras().resources.is_empty() => Class::Shared,
        Kind::Shell => Class::Own,
        Kind::Agent | Kind::Workflow | Kind::Decision => Class::Other,
    }
}

/// Whether it chooses among candidates.
pub(super) fn picks(task: &Task) -> bool {
    task.spec.extras().part == Some(Part::Picks)
}

pub(super) fn rank(task: &Task, index: Option<&RunIndex>) -> Rank {
    let ranked = index.filter(|index| !index.in_order);
    let bottom = ranked.and_then(|index| index.bottom.get(task.position as usize)).copied().unwrap_or(0);
    let priority = task.spec.extras().priority.unwrap_or_default();
    (std::cmp::Reverse(priority), std::cmp::Reverse(bottom), task.position)
}

/// What a task is expected to take where nothing else is known, milliseconds.
pub const ESTIMATE_PRIOR_MS: u64 = 30_000;

/// What a task is expected to take, milliseconds.
pub fn estimate_ms(spec: &TaskSpec) -> u64 {
    match spec.extras().estimate_s {
        Some(seconds) => (seconds.max(0.0) * 1000.0) as u64,
        None => ESTIMATE_PRIOR_MS,
    }
}
