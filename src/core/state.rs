//! The state of one workspace, and [`State::evolve`]: how each event changes it.
//!
//! `evolve` is the only code that writes the state, live and when the journal is read back. It decides nothing.
//! What can be computed from the rest sits in [`Index`] and is rebuilt after loading.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    Reply,
    agent::{AgentEnd, AgentPart, Ask, Records, Usage},
    bisect::Bisect,
    budget,
    decide::{
        decision::{Decision, DecisionKind, DecisionState},
        ladder::Ladder,
        learned::Learned,
    },
    event::Event,
    graph::Graph,
    plan::spec::{Effect, Kind, Part, Priority, TaskSpec},
    room::Room,
    run::{Baseline, Bringing, Moved, Proving, Request, Run, RunState, Shared, Tip},
    task::{Attempt, Phase, Proof, Settled, Task, TaskState},
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

/// Answered calls that are kept. One is made again when its connection broke, within seconds: so many others will not
/// have come by then.
const ANSWERED_MAX: usize = 512;

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

/// How long an agent waits for an answer before it is told "not now", milliseconds.
pub const ASK_WAIT_MS: u64 = 600_000;

/// Days whose spending is kept.
const DAYS_KEPT: usize = 8;

/// When something is next due for an open decision.
fn clock(decision: &Decision) -> Option<(Timestamp, DecisionId)> {
    Some((decision.remind_at.into_iter().chain(decision.expires_at).min()?, decision.id))
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

    /// As [`State::evolve`], for an event that nobody needs any more: a request with a plan of ten thousand tasks is not
    /// copied when the journal is read back.
    pub fn evolve_into(&mut self, at: Timestamp, event: Event) {
        match event {
            Event::RunAdded { run, request } => self.add_run(at, run, *request),
            event => self.evolve(at, &event),
        }
    }

    fn add_run(&mut self, at: Timestamp, run: RunId, request: Request) {
        self.last.run = self.last.run.max(run.0);
        self.last.task = self.last.task.max(request.first_task.map_or(0, |task| task.0));
        if let Some(key) = &request.key {
            self.keys.insert(key.clone(), (run, at));
        }
        self.index.alarms.extend(request.deadline.map(|due| (due, Alarm::Deadline(run))));
        self.runs.insert(run, Run::new(run, request, at));
        self.index.runs.insert(run, RunIndex::default());
        self.index.dirty.insert(run);
    }

    /// Changes the state as the event says. `at` is the time of its commit.
    pub fn evolve(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::RunAdded { run, request } => self.add_run(at, *run, (**request).clone()),
            Event::RunSurveyed { run, facts, base, notes } => self.change(*run, |run| {
                run.facts = Some(facts.clone());
                run.base = Some(base.clone());
                run.request.buffers = BTreeMap::new();
                run.notes.extend(notes.iter().cloned());
            }),
            Event::RunAnalyzed { run, analysis } => {
                self.change(*run, |run| run.analysis = Some(analysis.clone()));
            }
            Event::RunPlanned { run, info, first, tasks, as_asked, baseline } => {
                let mut asked = Vec::new();
                self.change(*run, |run| {
                    run.finals = info.verify.iter().map(|argv| Baseline { argv: argv.clone(), result: None }).collect();
                    run.plan = Some(info.clone());
                    run.allowed = info.budget.clone();
                    run.baseline = baseline.iter().map(|argv| Baseline { argv: argv.clone(), result: None }).collect();
                    // Its tasks are tasks now; a single one may stand for what took its place.
                    match run.request.plan.take_if(|plan| plan.tasks.len() > 1) {
                        Some(plan) => asked = plan.tasks,
                        None => asked.extend(run.request.plan.iter().flat_map(|plan| plan.tasks.iter().cloned())),
                    }
                });
                let tasks = if *as_asked { asked } else { tasks.clone() };
                self.add_tasks(*run, *first, tasks);
            }
            Event::PlanAdopted { run, info, first, tasks, baseline } => {
                self.change(*run, |run| {
                    run.finals = info.verify.iter().map(|argv| Baseline { argv: argv.clone(), result: None }).collect();
                    run.allowed = info.budget.clone();
                    run.plan = Some(info.clone());
                    for argv in baseline {
                        if !run.baseline.iter().any(|check| check.argv == *argv) {
                            run.baseline.push(Baseline { argv: argv.clone(), result: None });
                        }
                    }
                });
                self.set_limit(*run);
                self.add_tasks(*run, *first, tasks.clone());
            }
            Event::TasksAdded { run, first, tasks } => self.add_tasks(*run, *first, tasks.clone()),
            Event::RunApproved { run } => self.change(*run, |run| run.approved = true),
            Event::RunMoved { run, to, trigger } => {
                self.change(*run, |run| {
                    run.history.push(Moved { from: run.state, to: *to, trigger: *trigger, at });
                    run.state = *to;
                    if *to == RunState::Executing {
                        run.started_at.get_or_insert(at);
                        run.clock_from.get_or_insert(at);
                    }
                });
                self.set_limit(*run);
            }
            Event::BudgetWarned { run, of } => {
                self.change(*run, |run| run.warned.push(*of));
                self.set_limit(*run);
            }
            Event::BudgetReached { run, of } => {
                self.change(*run, |run| run.exhausted = Some(*of));
                self.set_limit(*run);
            }
            Event::BudgetRaised { run, minutes, spawns, usd, tokens, attempts, day } => {
                self.day_raised = day.or(self.day_raised);
                self.change(*run, |run| {
                    run.allowed.minutes = *minutes;
                    run.allowed.spawns = *spawns;
                    run.allowed.usd = usd.or(run.allowed.usd);
                    run.allowed.tokens = tokens.or(run.allowed.tokens);
                    run.attempts_most = attempts.or(run.attempts_most);
                    run.warned.clear();
                    run.exhausted = None;
                });
                self.set_limit(*run);
            }
            Event::MilestoneReached { run, milestone } => {
                self.change(*run, |run| run.milestone = Some(milestone.clone()));
            }
            Event::MilestonePassed { run, milestone } => self.change(*run, |run| {
                run.milestone = None;
                run.milestones_seen.push(milestone.clone());
            }),
            Event::DeadlinePassed { run } => {
                self.forget_alarm(&Alarm::Deadline(*run));
                self.change(*run, |run| run.deadline_passed = true);
            }
            Event::DeadlineTold { run, .. } => self.change(*run, |run| run.deadline_told = true),
            Event::RunStopping { run } => {
                self.change(*run, |run| run.stopping = true);
                self.set_limit(*run);
            }
            Event::RunCancelAsked { run } => {
                self.change(*run, |run| run.cancelled = true);
                self.hurry_room(at);
                self.ask_no_more(*run);
                self.set_limit(*run);
            }
            Event::RunPublished { run, branch } => self.change(*run, |run| {
                run.branch = branch.clone().or(run.branch.take());
                run.published = true;
            }),
            Event::RunEnded { run, outcome, why } => {
                self.change(*run, |run| {
                    run.outcome = Some(*outcome);
                    run.outcome_why = why.clone();
                    run.ended_at = Some(at);
                });
                self.ask_no_more(*run);
                self.forget_alarm(&Alarm::Deadline(*run));
                self.set_limit(*run);
                self.index.runs.remove(run);
                self.index.dirty.remove(run);
                if !self.index.left_open.is_empty() {
                    let tasks = self.index.runs.keys().filter_map(|run| self.runs.get(run)).flat_map(|run| &run.tasks);
                    self.index.left_open = tasks.flat_map(|task| self.left_open(*task)).collect();
                }
            }
            Event::RunReopened { run } => {
                self.change(*run, |run| {
                    run.outcome = None;
                    run.outcome_why = String::new();
                    run.ended_at = None;
                    run.cancelled = false;
                    run.stopping = false;
                    run.published = false;
                    run.exhausted = None;
                    run.warned.clear();
                    run.clock_from = None;
                    run.spawned = 0;
                    run.undeclared = None;
                    run.bisect = None;
                    run.unexplained = None;
                    run.again.clear();
                    run.milestone = None;
                    run.round += 1;
                    for check in &mut run.finals {
                        check.result = None;
                    }
                    // What could not be found out is asked anew.
                    for check in &mut run.baseline {
                        check.result.take_if(|result| !result.conclusive());
                    }
                });
                self.set_deadline(*run);
                self.ask_no_more(*run);
                self.index_run(*run);
            }
            Event::RunsDropped { runs } => self.drop_runs(at, runs),
            Event::CallAnswered { key, call, reply } => {
                let (key, call, reply) = (key.clone(), call.clone(), reply.clone());
                self.answered.push_back(Answered { key, call, reply });
                while self.answered.len() > ANSWERED_MAX {
                    self.answered.pop_front();
                }
            }
            // For whoever reads the journal; nothing follows from it.
            Event::CallRefused { .. } => {}
            Event::RunNoted { run, note } => self.change(*run, |run| run.notes.push(note.clone())),
            Event::AttemptClaimed { attempt, lane, from, start, agent } => {
                if let Some(task) = self.tasks.get_mut(&attempt.task) {
                    let rank = rank(task, self.index.runs.get(&task.run));
                    task.state = TaskState::Trying;
                    // Most tasks are tried once, and ten thousand of them are held.
                    task.attempts.reserve_exact(1);
                    task.attempts.push(Attempt {
                        phase: if lane.is_some() { Phase::Preparing } else { Phase::Running },
                        lane: *lane,
                        claimed_at: at,
                        started_at: None,
                        ended_at: None,
                        end: None,
                        more: from.as_ref().map(|from| {
                            Box::new(Proof {
                                from: Some(from.clone()),
                                start: start.clone(),
                                agent: agent.as_ref().map(|agent| Box::new(AgentPart::new((**agent).clone()))),
                                ..Proof::default()
                            })
                        }),
                    });
                    if let Some(until) = agent.as_ref().and_then(|agent| agent.lease_until) {
                        self.index.alarms.insert((until, Alarm::Lease(*attempt)));
                    }
                    if let Some(index) = self.index.runs.get_mut(&task.run) {
                        index.take_ready(rank);
                        match lane {
                            Some(_) => {
                                index.trying_own.insert(task.id);
                            }
                            None => index.trying_shared += 1,
                        }
                    }
                    if let Some(run) = self.runs.get_mut(&task.run) {
                        run.spawned += 1;
                    }
                    self.index.lanes.extend(lane);
                    self.index.tokens.extend(task.spec.extras().resources.iter().cloned());
                }
            }
            Event::AttemptPrepared { attempt, told } => self.change_attempt(*attempt, |attempt| {
                attempt.phase = match attempt.phase {
                    Phase::Restaging => Phase::Rechecking(0),
                    _ => Phase::Running,
                };
                if attempt.leased() {
                    // Nothing of ours starts: it is the session's from here on.
                    attempt.started_at.get_or_insert(at);
                }
                if let Some(part) = attempt.agent_mut().filter(|_| told.is_some()) {
                    part.told.clone_from(told);
                }
            }),
            Event::AttemptStarted { attempt, at } => {
                self.change_attempt(*attempt, |attempt| attempt.started_at = Some(*at));
            }
            Event::AttemptRan { attempt, end, started_at, ended_at, tail, agent } => {
                // Whoever has ended waits for nobody, and a session that has handed in owes nothing.
                self.forget_alarms_of(*attempt);
                if let Some(agent) = agent {
                    self.agent_ended(at, *attempt, agent);
                }
                self.change_attempt(*attempt, |attempt| {
                    attempt.started_at = Some(*started_at);
                    attempt.ended_at = Some(*ended_at);
                    attempt.end = Some(end.clone());
                    if !tail.is_empty() {
                        attempt.more.get_or_insert_default().tail = tail.clone();
                    }
                });
                let run = self.tasks.get(&attempt.task).map(|task| task.run);
                if let Some(index) = run.and_then(|run| self.index.runs.get_mut(&run)) {
                    let took_ms = ended_at.0.saturating_sub(started_at.0) as f64;
                    index.mean_ms = Some(index.mean_ms.map_or(took_ms, |mean| mean * 0.9 + took_ms * 0.1));
                }
                self.index.due.push_back(*attempt);
            }
            Event::AttemptHarvested { attempt, commit, tree, diff, paths, noticed } => {
                self.change_attempt(*attempt, |attempt| {
                    let more = attempt.more.get_or_insert_default();
                    more.commit = Some(commit.clone());
                    more.tree = Some(tree.clone());
                    more.diff = Some(*diff);
                    more.noticed.clone_from(noticed);
                    if let Some(agent) = &mut more.agent {
                        agent.paths.clone_from(paths);
                    }
                });
                self.index.due.push_back(*attempt);
            }
            Event::AttemptMoved { attempt, to } => {
                self.change_attempt(*attempt, |attempt| {
                    debug_assert!(attempt.phase.leads_to(*to), "an attempt went from {:?} to {to:?}", attempt.phase);
                    let from = std::mem::replace(&mut attempt.phase, *to);
                    if *to == Phase::Merging {
                        let more = attempt.more.get_or_insert_default();
                        more.merged = None;
                        more.rechecks.clear();
                        more.refused += u32::from(from == Phase::Advancing);
                    }
                });
                let run = self.tasks.get(&attempt.task).map(|task| task.run);
                if let Some(index) = run.and_then(|run| self.index.runs.get_mut(&run)) {
                    match to {
                        Phase::Queued => index.landing.push_back(*attempt),
                        _ => index.landing.retain(|waiting| waiting != attempt),
                    }
                }
                self.index.dirty.extend(run);
                if *to == Phase::Reviewing {
                    // Its lane is in nobody's way now, of whatever run.
                    self.index.dirty.extend(self.index.runs.keys());
                }
            }
            Event::CheckEnded { attempt, merged, index, result } => {
                self.change_attempt(*attempt, |attempt| {
                    let more = attempt.more.get_or_insert_default();
                    let list = if *merged { &mut more.rechecks } else { &mut more.checks };
                    list.truncate(*index as usize);
                    list.push(result.clone());
                });
                self.index.due.push_back(*attempt);
            }
            Event::AttemptMerged { attempt, commit, tree, onto } => {
                self.change_attempt(*attempt, |attempt| {
                    attempt.more.get_or_insert_default().merged = Some((commit.clone(), tree.clone(), onto.clone()));
                });
                self.index.due.push_back(*attempt);
            }
            Event::AttemptLanded { attempt, commit, tree } => {
                self.tally(*attempt, true);
                let run = self.tasks.get(&attempt.task).map(|task| task.run);
                if let Some(run) = run {
                    self.change(run, |run| {
                        run.tip = Some(Tip { commit: commit.clone(), tree: tree.clone() });
                        run.landed.push((*attempt, commit.clone()));
                    });
                }
                self.end_attempt(at, *attempt);
            }
            Event::AttemptOver { attempt, failure } => {
                if failure.as_ref().is_some_and(|failure| failure.class == "wrong_output") {
                    self.tally(*attempt, false);
                }
                self.change_attempt(*attempt, |attempt| {
                    if failure.is_some() {
                        attempt.more.get_or_insert_default().failure = failure.clone();
                    }
                });
                self.end_attempt(at, *attempt);
                self.index.left_open.extend(self.left_open(attempt.task));
                if failure.is_some() {
                    self.index.failed.push_back(*attempt);
                }
            }
            Event::TaskSettled { task, how, why } => self.settle_task(at, *task, *how, why),
            Event::TaskRetry { task, at: due } => {
                self.set_task(*task, TaskState::Retry(*due));
            }
            Event::TaskReopened { task } => self.reopen(*task),
            Event::TaskApproved { task } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.approved = true;
                }
            }
            Event::TaskChosen { task, choice } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.choice = Some(choice.as_str().into());
                }
            }
            Event::TaskCancelAsked { task } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.cancelled = true;
                    self.index.dirty.insert(task.run);
                }
                self.hurry_room(at);
            }
            Event::DecisionOpened { decision } => {
                self.last.decision = self.last.decision.max(decision.id.0);
                if let (Some(ask), Some(task), Some(generation)) = (&decision.ask, decision.task, decision.generation) {
                    let attempt = AttemptId { task, generation };
                    self.change_ask(attempt, &ask.request, |ask| ask.decision = Some(decision.id));
                    self.index.alarms.insert((at.plus_ms(ASK_WAIT_MS), Alarm::Ask(attempt, ask.request.clone())));
                    // Its lane is in nobody's way now, of whatever run.
                    self.index.dirty.extend(self.index.runs.keys());
                } else if let Some(task) = decision.task.filter(|_| !decision.of_attempt()) {
                    self.set_task(task, TaskState::Asking(decision.id));
                }
                if let Some(index) = self.index.runs.get_mut(&decision.run) {
                    index.open += 1;
                }
                self.index.open.insert(decision.id);
                self.index.clock.extend(clock(decision));
                self.index.dirty.insert(decision.run);
                self.decisions.insert(decision.id, (**decision).clone());
            }
            Event::DecisionAnswered { decision, answer } => {
                self.close(*decision, DecisionState::Answered(answer.clone()));
                self.index.answered.push_back(*decision);
            }
            Event::DecisionWithdrawn { decision, why } => {
                self.close(*decision, DecisionState::Withdrawn(why.clone()));
            }
            Event::AgentSpoke { attempt, session, usage, percent } => {
                self.change_attempt(*attempt, |attempt| {
                    let Some(part) = attempt.agent_mut() else { return };
                    part.session = session.clone().or(part.session.take());
                    part.usage = usage.unwrap_or(part.usage);
                    part.percent = percent.or(part.percent);
                });
                if usage.is_some() {
                    // Its run's limits may be near.
                    self.touch(*attempt);
                }
            }
            Event::AgentAsked { attempt, ask } => {
                self.change_attempt(*attempt, |attempt| {
                    if let Some(part) = attempt.agent_mut() {
                        part.asked((**ask).clone());
                    }
                });
                self.index.asking.push_back(*attempt);
            }
            Event::AskAnswered { attempt, request, verdict, .. } => {
                self.change_ask(*attempt, request, |ask| {
                    ask.verdict = Some(verdict.clone());
                    ask.judgement = None;
                });
                self.forget_alarm(&Alarm::Ask(*attempt, request.clone()));
                self.touch(*attempt);
            }
            Event::AskParked { attempt, request, verdict } => {
                self.change_ask(*attempt, request, |ask| {
                    ask.verdict = Some(verdict.clone());
                    ask.parked = true;
                });
                self.forget_alarm(&Alarm::Ask(*attempt, request.clone()));
                self.touch(*attempt);
            }
            Event::AskWithdrawn { attempt, request } => {
                let mut asked = None;
                self.change_attempt(*attempt, |attempt| {
                    if let Some(part) = attempt.agent_mut() {
                        asked = part.ask(request).and_then(|ask| ask.decision);
                        part.asks.retain(|ask| ask.request != *request);
                    }
                });
                self.index.moot.extend(asked);
                self.forget_alarm(&Alarm::Ask(*attempt, request.clone()));
                self.touch(*attempt);
            }
            Event::LeaseRenewed { attempt, until } => {
                self.forget_alarm(&Alarm::Lease(*attempt));
                self.change_attempt(*attempt, |attempt| {
                    if let Some(part) = attempt.agent_mut() {
                        part.allocation.lease_until = Some(*until);
                    }
                });
                self.index.alarms.insert((*until, Alarm::Lease(*attempt)));
            }
            Event::TaskParked { task, decision } => self.set_task(*task, TaskState::Asking(*decision)),
            Event::NoteAdded { run, note } => self.change(*run, |run| run.shared_notes.push(note.clone())),
            Event::AgentsAsked { run } => self.change(*run, |run| {
                run.agents = None;
                run.looking = true;
            }),
            Event::AgentsFound { run, agents } => self.change(*run, |run| {
                run.agents = Some(agents.clone());
                run.looking = false;
            }),
            Event::AccountLimited { account, until } => {
                self.forget_alarm(&Alarm::Account(account.clone()));
                self.limits.insert(account.clone(), *until);
                self.index.alarms.insert((*until, Alarm::Account(account.clone())));
            }
            Event::KeysForgone { run } => self.change(*run, |run| run.request.keys.clear()),
            Event::RoomMissing { waiter, why } => self.change_room(|room| {
                let room = room.get_or_insert_with(|| Room::new(why, at));
                room.why.clone_from(why);
                if !room.waiting.contains(waiter) {
                    room.waiting.push(*waiter);
                }
            }),
            Event::RoomSought { waiting } => {
                self.change_room(|room| room.iter_mut().for_each(|room| room.looked(at, waiting)));
            }
            Event::RoomFound { .. } => {
                self.change_room(|room| *room = None);
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::AccountFree { account } => {
                self.limits.remove(account);
                self.forget_alarm(&Alarm::Account(account.clone()));
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::DecisionExpired { decision } => self.close(*decision, DecisionState::Expired(at)),
            Event::DecisionReminded { decision, next, .. } => {
                if let Some(found) = self.decisions.get_mut(decision) {
                    self.index.clock.retain(|(_, other)| other != decision);
                    found.remind_at = *next;
                    self.index.clock.extend(clock(found));
                }
            }
            Event::LearningBegun { seed } => self.learned.seed = Some(*seed),
            Event::Taught { decision, label } => {
                self.learned.teach(label);
                if let Some(found) = decision.and_then(|decision| self.decisions.get_mut(&decision)) {
                    found.taught = true;
                }
            }
            Event::Acted { act } => {
                self.learned.note(act);
                if act.unproven() {
                    self.index.unproven.insert(act.number);
                }
            }
            Event::AskedOutside { .. } => self.learned.outside.asked += 1,
            Event::ActProven { number, right } => {
                self.learned.prove(*number, *right);
                self.index.unproven.remove(number);
            }
            Event::ActUnknown { number } => {
                self.learned.lose(*number);
                self.index.unproven.remove(number);
            }
            Event::RuleRemembered { rule } => {
                self.learned.remembered += 1;
                self.learned.rules.push((**rule).clone());
            }
            Event::RuleForgotten { id } => self.learned.rules.retain(|rule| rule.id != *id),
            Event::SharedPreparing { run, lane } => {
                self.index.lanes.insert(*lane);
                self.change(*run, |run| {
                    run.shared = Shared::Preparing(*lane);
                    run.shared_since = Some(at);
                });
            }
            Event::SharedReady { run } => self.change(*run, |run| {
                if let Shared::Preparing(lane) = run.shared {
                    run.shared = Shared::Ready(lane);
                }
            }),
            Event::SharedInspecting { run } => self.change(*run, |run| {
                if let Shared::Ready(lane) = run.shared {
                    run.shared = Shared::Inspecting(lane);
                }
            }),
            Event::SharedFreed { run, undeclared } => {
                if let Some(lane) = self.runs.get(run).and_then(|run| run.shared.lane()) {
                    self.index.lanes.remove(&lane);
                }
                self.change(*run, |run| {
                    run.shared = Shared::None;
                    if let Some(found) = undeclared {
                        let all = run.undeclared.get_or_insert_default();
                        all.paths.extend(found.paths.iter().cloned());
                        all.readers.extend(found.readers.iter().copied());
                    }
                });
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::UndeclaredAccepted { run } => self.change(*run, |run| run.undeclared = None),
            Event::TasksApart { run, tasks } => {
                self.change(*run, |run| run.undeclared = None);
                for task in tasks {
                    let over = self.task(*task).is_some_and(|task| task.settled().is_some());
                    if over {
                        self.set_task(*task, TaskState::Waiting);
                    }
                    if let Some(task) = self.tasks.get_mut(task) {
                        task.apart = true;
                        if over {
                            task.begin_anew();
                        }
                    }
                }
                if self.index.runs.contains_key(run) {
                    self.index_run(*run);
                }
            }
            Event::BasePreparing { run, lane } => {
                self.index.lanes.insert(*lane);
                self.change(*run, |run| run.proving_base = Proving::Preparing(*lane));
            }
            Event::BaseChecking { run, index } => self.change(*run, |run| {
                run.round += u32::from(run.proving_base.runs(*index));
                run.proving_base = run.proving_base.running(*index);
            }),
            Event::BaseChecked { run, index, result } => {
                self.change(*run, |run| {
                    if let Some(check) = run.baseline.get_mut(*index as usize) {
                        check.result = Some(result.clone());
                    }
                });
                // Whoever waited for this may now be judged.
                if let Some(index) = self.index.runs.get(run) {
                    let waiting = index.trying_own.iter().filter_map(|task| self.tasks.get(task)?.current());
                    self.index.due.extend(waiting.map(|(attempt, _)| attempt));
                }
            }
            Event::BaseDropped { run } => self.change(*run, |run| run.base_unneeded = true),
            Event::BaseFreed { run } => {
                // A check that was ended half-way is another job when it is due again.
                self.change(*run, |run| run.round += u32::from(std::mem::take(&mut run.base_unneeded)));
                self.free_proving(*run, |run| &mut run.proving_base);
            }
            Event::FinalPreparing { run, lane } => {
                self.index.lanes.insert(*lane);
                self.change(*run, |run| run.proving_final = Proving::Preparing(*lane));
            }
            Event::FinalChecking { run, index } => self.change(*run, |run| {
                run.round += u32::from(run.proving_final.runs(*index));
                run.proving_final = run.proving_final.running(*index);
            }),
            Event::FinalChecked { run, index, result } => self.change(*run, |run| {
                if let Some(check) = run.finals.get_mut(*index as usize) {
                    check.result = Some(result.clone());
                }
            }),
            Event::FinalFreed { run } => {
                self.change(*run, |run| run.bisect.iter_mut().for_each(|bisect| bisect.looked = false));
                self.free_proving(*run, |run| &mut run.proving_final);
            }
            Event::BisectBegun { run, check, good, bad } => self.change(*run, |run| {
                run.bisect = Some(Bisect { check: *check, good: *good, bad: *bad, looked: false });
                run.round += 1;
            }),
            Event::BisectLooked { run, green } => self.change(*run, |run| {
                run.bisect.iter_mut().for_each(|bisect| bisect.learn(*green));
                run.round += 1;
            }),
            Event::BisectEnded { run, why } => self.change(*run, |run| {
                run.bisect = None;
                run.unexplained = Some(why.clone());
            }),
            Event::LandingUndone { run, culprit, failure, landed, commit, tree, again, dropped } => {
                self.change(*run, |run| {
                    run.landed.truncate(*landed as usize);
                    run.tip = Some(Tip { commit: commit.clone(), tree: tree.clone() });
                    run.bisect = None;
                    run.again.clone_from(again);
                    run.finals.iter_mut().for_each(|check| check.result = None);
                });
                self.change_attempt(*culprit, |attempt| {
                    attempt.more.get_or_insert_default().failure = Some(failure.clone());
                });
                let tasks = again.iter().chain([culprit]).map(|attempt| attempt.task).chain(dropped.iter().copied());
                for id in tasks {
                    self.set_task(id, TaskState::Waiting);
                    if let Some(task) = self.tasks.get_mut(&id) {
                        // What was allowed stays allowed: nothing of it runs again.
                        task.settled_at = None;
                        task.why = "".into();
                    }
                }
                if self.index.runs.contains_key(run) {
                    self.index_run(*run);
                }
            }
            Event::AttemptRelanded { attempt, before, of, lane, from } => {
                self.reland(at, *attempt, (of.unwrap_or(attempt.task), *before), *lane, from);
            }
            Event::ApplyBegun { run, tasks, number } => self.change(*run, |run| {
                let tip = run.tip.as_ref().map(|tip| tip.commit.clone()).unwrap_or_default();
                run.bringing = Some(Bringing::Apply { tasks: tasks.clone(), number: *number, tip });
                run.refusal = None;
            }),
            Event::Applied { run, apply } => {
                self.change(*run, |run| {
                    run.bringing = None;
                    run.refusal = None;
                    run.applies.push(apply.clone());
                });
                self.ask_no_more(*run);
            }
            Event::UndoBegun { run, number } => {
                self.change(*run, |run| {
                    run.bringing = Some(Bringing::Undo { number: *number });
                    run.refusal = None;
                });
            }
            Event::Undone { run, number, paths } => {
                self.change(*run, |run| {
                    run.bringing = None;
                    run.refusal = None;
                    for apply in run.applies.iter_mut().filter(|apply| apply.number == *number) {
                        apply.undone_at = Some(at);
                        if apply.in_editor {
                            apply.unsaved = apply.paths.iter().filter(|path| !paths.contains(path)).cloned().collect();
                        }
                    }
                });
                self.index.regretted.push_back((*run, *number));
            }
            Event::ApplyRefused { run, why, paths } | Event::UndoRefused { run, why, paths } => {
                self.change(*run, |run| {
                    run.bringing = None;
                    run.refusal = Some((why.clone(), paths.clone()));
                });
            }
            Event::Trusted { hash } => {
                self.trusted = hash.clone();
                let asks = |id: &&DecisionId| {
                    self.decisions.get(id).is_some_and(|decision| decision.kind == DecisionKind::Trust)
                };
                self.index.moot.extend(self.index.open.iter().filter(asks));
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::CheckpointSaved { checkpoint } => {
                self.last.checkpoint = self.last.checkpoint.max(checkpoint.id.0);
                self.checkpoints.insert(checkpoint.id, checkpoint.clone());
            }
            Event::CheckpointRestored { run, landed, commit, tree, tasks, .. } => {
                self.change(*run, |run| {
                    run.landed.truncate(*landed as usize);
                    run.tip = Some(Tip { commit: commit.clone(), tree: tree.clone() });
                });
                for task in tasks {
                    self.set_task(*task, TaskState::Waiting);
                    if let Some(task) = self.tasks.get_mut(task) {
                        task.begin_anew();
                    }
                }
                if self.index.runs.contains_key(run) {
                    self.index_run(*run);
                }
            }
        }
    }

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

    fn change_ask(&mut self, attempt: AttemptId, request: &str, change: impl FnOnce(&mut Ask)) {
        self.change_attempt(attempt, |attempt| {
            let part = attempt.agent_mut();
            if let Some(ask) = part.and_then(|part| part.ask_mut(request)) {
                change(ask);
            }
        });
    }

    /// Keeps the alarm in step with when room is looked for.
    fn change_room(&mut self, change: impl FnOnce(&mut Option<Room>)) {
        change(&mut self.room);
        self.forget_alarm(&Alarm::Room);
        self.index.alarms.extend(self.room.as_ref().map(|room| (room.next, Alarm::Room)));
    }

    /// Somebody stops what may wait for room: it is looked at once, so that nobody waits for nothing.
    fn hurry_room(&mut self, at: Timestamp) {
        self.change_room(|room| room.iter_mut().for_each(|room| room.next = at));
    }

    /// Its run should be looked at.
    fn touch(&mut self, attempt: AttemptId) {
        self.index.dirty.extend(self.tasks.get(&attempt.task).map(|task| task.run));
    }

    fn forget_alarms_of(&mut self, id: AttemptId) {
        self.index
            .alarms
            .retain(|(_, alarm)| !matches!(alarm, Alarm::Lease(other) | Alarm::Ask(other, _) if *other == id));
    }

    fn forget_alarm(&mut self, alarm: &Alarm) {
        self.index.alarms.retain(|(_, other)| other != alarm);
    }

    /// An agent's process is over: what it asked is nobody's question any more, and what it used is counted.
    fn agent_ended(&mut self, at: Timestamp, id: AttemptId, end: &AgentEnd) {
        let mut used = Usage::default();
        self.change_attempt(id, |attempt| {
            let Some(part) = attempt.agent_mut() else { return };
            if end.usage.tokens >= part.usage.tokens {
                part.usage = end.usage;
            }
            used = part.usage;
            part.end = Some(end.clone());
            part.told = None;
        });
        let day = self.spent.entry(at.0 / 86_400_000).or_default();
        *day = day.plus(used);
        while self.spent.len() > DAYS_KEPT {
            self.spent.pop_first();
        }
    }

    /// Checks judged an agent's work: counted for the agent and the type of task, once for the attempt.
    fn tally(&mut self, id: AttemptId, proven: bool) {
        let Some(task) = self.tasks.get(&id.task) else { return };
        let attempt = task.attempt(id.generation).filter(|attempt| !attempt.relands());
        let Some(part) = attempt.and_then(Attempt::agent) else { return };
        let claimed = part.end.as_ref().is_some_and(|end| end.done);
        // Sessions come and go under any name; what is declared for them stays.
        let profile = Some(&part.allocation.profile).filter(|profile| !profile.is_empty());
        let by_type = self.records.entry(profile.unwrap_or(&part.allocation.agent).clone()).or_default();
        let tally = by_type.entry(task.spec.type_word().to_owned()).or_default();
        tally.judged += 1;
        tally.proven += u32::from(proven);
        tally.claimed_wrongly += u32::from(!proven && claimed);
    }

    /// Forgets runs that are over. What is given out once is never given out again: `last` stays.
    fn drop_runs(&mut self, at: Timestamp, runs: &[RunId]) {
        for run in runs {
            let tasks = self.runs.remove(run).map(|run| run.tasks).unwrap_or_default();
            for task in tasks {
                self.tasks.remove(&task);
            }
        }
        let (kept, open, clock) = (&self.runs, &mut self.index.open, &mut self.index.clock);
        self.decisions.retain(|id, decision| {
            let stays = kept.contains_key(&decision.run);
            if !stays {
                open.remove(id);
                clock.retain(|(_, other)| other != id);
            }
            stays
        });
        for checkpoint in self.checkpoints.values_mut() {
            checkpoint.runs.retain(|(run, _, _)| kept.contains_key(run));
        }
        self.keys
            .retain(|_, (run, since)| kept.contains_key(run) && at.0.saturating_sub(since.0) < super::gc::KEY_LIFE_MS);
    }

    fn change(&mut self, run: RunId, change: impl FnOnce(&mut Run)) {
        if let Some(found) = self.runs.get_mut(&run) {
            change(found);
            if !found.ended() {
                self.index.dirty.insert(run);
            }
        }
    }

    fn change_attempt(&mut self, attempt: AttemptId, change: impl FnOnce(&mut Attempt)) {
        let task = self.tasks.get_mut(&attempt.task);
        if let Some(found) = task.and_then(|task| task.attempts.get_mut(attempt.generation as usize - 1)) {
            change(found);
        }
    }

    fn add_tasks(&mut self, run: RunId, first: TaskId, specs: Vec<TaskSpec>) {
        let Some(owner) = self.runs.get_mut(&run) else { return };
        for (offset, spec) in (0u32..).zip(specs) {
            let id = TaskId(first.0 + offset);
            let position = owner.tasks.len() as u32;
            owner.tasks.push(id);
            self.last.task = self.last.task.max(id.0);
            self.tasks.insert(id, Box::new(Task::new(id, run, position, spec)));
        }
        self.index_run(run);
    }

    /// What a run that is over or to be over asked about goes away.
    fn ask_no_more(&mut self, run: RunId) {
        let of_run = |id: &&DecisionId| self.decisions.get(id).is_some_and(|decision| decision.run == run);
        self.index.moot.extend(self.index.open.iter().filter(of_run));
    }

    /// Sets a task's state and keeps the ready tables in step.
    fn set_task(&mut self, id: TaskId, to: TaskState) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let from = std::mem::replace(&mut task.state, to);
        let Some(index) = self.index.runs.get_mut(&task.run) else { return };
        let rank = rank(task, Some(index));
        match from {
            TaskState::Ready => index.take_ready(rank),
            TaskState::Retry(at) => {
                index.retrying -= 1;
                self.index.deadlines.remove(&(at, id));
            }
            _ => {}
        }
        match to {
            TaskState::Ready => index.put_ready(task, rank),
            TaskState::Retry(at) => {
                index.retrying += 1;
                self.index.deadlines.insert((at, id));
            }
            _ => {}
        }
        self.index.dirty.insert(task.run);
    }

    /// Makes a task due again, or lets it wait for what it needs.
    fn reopen(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let was = task.settled();
        if was.is_some() {
            task.begin_anew();
        }
        let (position, run) = (task.position as usize, task.run);
        if let (Some(was), Some(index)) = (was, self.index.runs.get_mut(&run)) {
            index.unsettled += 1;
            index.completed -= u32::from(was == Settled::Completed);
            let tasks = &self.runs[&run].tasks;
            let mut too_early = Vec::new();
            for successor in index.graph.successors(position as u32) {
                let chooser = &self.tasks[&tasks[*successor as usize]];
                if was != Settled::Completed && picks(chooser) {
                    index.remaining[*successor as usize] += 1;
                    // It was due again before what it chooses from was.
                    too_early.extend((chooser.state == TaskState::Ready).then_some(chooser.id));
                }
            }
            for chooser in too_early {
                self.set_task(chooser, TaskState::Waiting);
            }
        }
        let remaining = self.index.runs.get(&run).map_or(0, |index| index.remaining[position]);
        self.set_task(id, if remaining == 0 { TaskState::Ready } else { TaskState::Waiting });
    }

    fn settle_task(&mut self, at: Timestamp, id: TaskId, how: Settled, why: &str) {
        if let Some((attempt, _)) = self.task(id).and_then(Task::current) {
            self.end_attempt(at, attempt);
        }
        if let Some(TaskState::Asking(decision)) = self.tasks.get(&id).map(|task| task.state) {
            self.index.moot.push_back(decision);
        }
        self.set_task(id, TaskState::Settled(how));
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.settled_at = Some(at);
        task.why = why.into();
        let (run, position) = (task.run, task.position);
        let Some(index) = self.index.runs.get_mut(&run) else { return };
        index.unsettled -= 1;
        let tasks = &self.runs[&run].tasks;
        // Who chooses among candidates waits for each to be over, however.
        let picks = |successor: &u32| picks(&self.tasks[&tasks[*successor as usize]]);
        if how != Settled::Completed {
            self.index.blocking.push_back(id);
        }
        index.completed += u32::from(how == Settled::Completed);
        let mut due = Vec::new();
        let successors = index.graph.successors(position).iter();
        for successor in successors.filter(|successor| how == Settled::Completed || picks(successor)) {
            let remaining = &mut index.remaining[*successor as usize];
            *remaining -= 1;
            if *remaining == 0 {
                due.push(*successor);
            }
        }
        let due: Vec<TaskId> = due.iter().map(|position| tasks[*position as usize]).collect();
        for task in due {
            if self.tasks[&task].state == TaskState::Waiting {
                self.set_task(task, TaskState::Ready);
            }
        }
    }

    /// A change that had landed waits to land once more, with a lane for its checks.
    fn reland(&mut self, at: Timestamp, id: AttemptId, (of, before): (TaskId, u32), lane: LaneId, from: &str) {
        let Some(earlier) = self.task(of).and_then(|task| task.attempt(before)).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&id.task) else { return };
        let rank = rank(task, self.index.runs.get(&task.run));
        let mut more = earlier.more.unwrap_or_default();
        more.relands = Some(before);
        more.from = Some(from.to_owned());
        (more.merged, more.failure, more.refused) = (None, None, 0);
        more.rechecks.clear();
        if let Some(agent) = &mut more.agent {
            // What it used was counted, and what it asked was answered.
            agent.usage = Usage::default();
            agent.asks.clear();
        }
        task.state = TaskState::Trying;
        task.attempts.push(Attempt {
            phase: Phase::Queued,
            lane: Some(lane),
            claimed_at: at,
            started_at: Some(at),
            ended_at: None,
            end: earlier.end,
            more: Some(more),
        });
        let run = task.run;
        self.index.tokens.extend(task.spec.extras().resources.iter().cloned());
        self.index.lanes.insert(lane);
        if let Some(index) = self.index.runs.get_mut(&run) {
            index.take_ready(rank);
            index.trying_own.insert(id.task);
            index.landing.push_back(id);
        }
        self.change(run, |run| run.again.retain(|attempt| attempt.task != id.task));
    }

    /// An attempt is over: its lane is free and others may have it.
    fn end_attempt(&mut self, at: Timestamp, id: AttemptId) {
        let Some(task) = self.tasks.get_mut(&id.task) else { return };
        let run = task.run;
        let Some(attempt) = task.attempts.get_mut(id.generation as usize - 1) else { return };
        if attempt.phase == Phase::Over {
            return;
        }
        attempt.phase = Phase::Over;
        attempt.ended_at.get_or_insert(at);
        if let Some(part) = attempt.agent_mut() {
            part.told = None;
        }
        let lane = attempt.lane;
        if let Some(part) = attempt.agent() {
            // What it waited for, it waits for no more; a decision that it was parked on stays open for the next try.
            let parked = part.parked_on();
            let open = part.asks.iter().filter_map(|ask| ask.decision).filter(|decision| Some(*decision) != parked);
            self.index.moot.extend(open);
            self.index
                .alarms
                .retain(|(_, alarm)| !matches!(alarm, Alarm::Lease(other) | Alarm::Ask(other, _) if *other == id));
        }
        for token in &task.spec.extras().resources {
            self.index.tokens.remove(token);
        }
        if let Some(index) = self.index.runs.get_mut(&run) {
            match lane {
                Some(_) => {
                    index.trying_own.remove(&id.task);
                }
                None => index.trying_shared -= 1,
            }
            if !index.landing.is_empty() {
                index.landing.retain(|waiting| *waiting != id);
            }
        }
        if let Some(lane) = lane {
            self.index.lanes.remove(&lane);
            // Whoever waited for a lane may go on.
            self.index.dirty.extend(self.index.runs.keys());
        }
        self.index.dirty.insert(run);
    }

    fn close(&mut self, id: DecisionId, to: DecisionState) {
        let Some(decision) = self.decisions.get_mut(&id) else { return };
        if decision.open()
            && let Some(index) = self.index.runs.get_mut(&decision.run)
        {
            index.open -= 1;
        }
        decision.state = to;
        self.index.open.remove(&id);
        self.index.clock.retain(|(_, other)| *other != id);
        self.index.dirty.insert(decision.run);
    }

    fn free_proving(&mut self, run: RunId, which: impl FnOnce(&mut Run) -> &mut Proving) {
        let Some(found) = self.runs.get_mut(&run) else { return };
        let proving = which(found);
        if let Proving::Preparing(lane) | Proving::Running(lane, _) = *proving {
            self.index.lanes.remove(&lane);
        }
        *proving = Proving::Idle;
        self.index.dirty.extend(self.index.runs.keys());
        self.index.dirty.insert(run);
    }

    /// Lanes that sessions which had this task may still write into.
    fn left_open(&self, task: TaskId) -> Vec<LaneId> {
        let attempts = self.tasks.get(&task).map(|task| task.attempts.as_slice()).unwrap_or_default();
        attempts.iter().filter(|attempt| attempt.left_open()).filter_map(|attempt| attempt.lane).collect()
    }

    /// Builds one run's tables from its tasks.
    fn index_run(&mut self, id: RunId) {
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

impl Shared {
    /// The lane, while there is one.
    pub fn lane(self) -> Option<LaneId> {
        match self {
            Shared::None => None,
            Shared::Preparing(lane) | Shared::Ready(lane) | Shared::Inspecting(lane) => Some(lane),
        }
    }
}

impl Proving {
    /// Whether the check of this number is running.
    fn runs(self, index: u32) -> bool {
        matches!(self, Proving::Running(_, current) if current == index)
    }

    /// The check of this number runs now, in the lane that was laid out.
    fn running(self, index: u32) -> Proving {
        match self {
            Proving::Preparing(lane) | Proving::Running(lane, _) => Proving::Running(lane, index),
            Proving::Idle => Proving::Idle,
        }
    }
}

impl RunIndex {
    fn put_ready(&mut self, task: &Task, rank: Rank) {
        match class(task, &self.reads_base) {
            Class::Shared => self.ready_shared.insert(rank),
            Class::Own => self.ready_own.insert(rank),
            Class::Other => self.ready_other.insert(rank),
        };
    }

    fn take_ready(&mut self, rank: Rank) {
        let _ = self.ready_shared.remove(&rank) || self.ready_own.remove(&rank) || self.ready_other.remove(&rank);
    }

    /// Attempts under way.
    pub fn trying(&self) -> u32 {
        self.trying_shared + self.trying_own.len() as u32
    }

    /// Attempts under way that wait for a person's answer. Each has a lane, so there are few.
    pub fn asking(&self, state: &State) -> u32 {
        let tasks = self.trying_own.iter().filter_map(|task| state.task(*task)?.current());
        tasks.filter(|(_, live)| live.asks_a_person()).count() as u32
    }

    /// Attempts in lanes of their own that take a place of the run's number of jobs.
    pub fn at_work(&self, state: &State) -> u32 {
        self.trying_own.len() as u32 - self.asking(state)
    }

    /// Attempts under way that wait for a person and for nothing else. Each has a lane, so there are few.
    fn held(&self, state: &State) -> u32 {
        let tasks = self.trying_own.iter().filter_map(|task| state.task(*task)?.current());
        tasks.filter(|(_, live)| live.held()).count() as u32
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
fn picks(task: &Task) -> bool {
    task.spec.extras().part == Some(Part::Picks)
}

fn rank(task: &Task, index: Option<&RunIndex>) -> Rank {
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
