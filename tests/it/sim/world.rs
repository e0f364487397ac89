//! One world: a queue of happenings in virtual time, a daemon around the core, and fate.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use orchestrator::{
    core::{
        Command, Effect, Event, Input, Report, Rng, Settings, State,
        agent::{AgentEnd, FoundAgent, Usage},
        decide::{
            change::{Broken, Noticed, Remark},
            gate::Verdict,
        },
        effect,
        facts::{Facts, FoundCommand, Role},
        input::AgentSaid,
        job::{End, JobId, JobResult},
        plan::spec::{self, Retry},
        room::Waiter,
        run::{Apply, Base},
        task::DiffStat,
    },
    ids::{AttemptId, LaneId, RunId, TaskId},
    store::{
        Journal, NewCommit, Position, StoreError, Urgency,
        memory::{Fault, Memory, MemoryJournal},
    },
    time::Timestamp,
};
use std::sync::Arc as Shared;

use crate::scenario::script::{judgement, profile};

use super::{
    Trail, clients,
    driven::Driven,
    git::{self, Git},
    keeper::{Keeper, Standing},
    rest,
};

/// Something that is going to happen.
enum Happening {
    /// The daemon hears of something. Lost with the daemon.
    Hear(Report),
    /// The daemon's own hands finish something. Lost with the daemon, half done.
    Do(Effect),
    /// Commits reach the disk.
    Flush,
    /// A job's process ends.
    JobEnds(JobId),
    /// The daemon finds its keeper again and sends it all orders once more.
    Meet,
    /// A client does something.
    Client,
    /// Fate.
    Fate,
}

pub struct World {
    pub core: Driven,
    disk: Memory,
    journal: MemoryJournal,
    /// Positions that are durable, or the error that ends the daemon.
    told: Arc<Mutex<Vec<Result<Position, StoreError>>>>,
    /// Effects that wait until their commit is durable.
    held: VecDeque<(Position, Vec<Effect>)>,
    queue: BTreeMap<(u64, u64), Happening>,
    number: u64,
    now_ms: u64,
    /// What the wall clock is off by; it only ever jumps backwards.
    behind_ms: u64,
    pub rng: Rng,
    /// Fate of its own for the room on the disk, so that worlds are otherwise what their seeds always made of them.
    room: Rng,
    pub git: Git,
    pub keeper: Keeper,
    /// When the last step on a lane, or on a run's ref, is done.
    lanes_free_ms: BTreeMap<LaneId, u64>,
    refs_free_ms: BTreeMap<RunId, u64>,
    pub applied: BTreeMap<(RunId, u32), Apply>,
    /// How often each task did something outside, and whether it is still there.
    pub outside: BTreeMap<TaskId, (u32, bool)>,
    /// Runs whose ref was moved behind the journal's back.
    pub tampered: BTreeSet<RunId>,
    /// How many calls with a key clients made, and the newest.
    pub calls: u32,
    pub called: Option<Command>,
    pub faults: bool,
    trail: Trail,
}

const START_MS: u64 = 1_800_000_000_000;
/// Happenings with faults; after them the world must come to rest.
const STORMY: u32 = 260;
/// A world that has not come to rest by then never will.
const HAPPENINGS_MAX: u32 = 20_000;

/// Lives through the world of this seed.
pub fn run(seed: u64, trail: Trail) {
    let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9).wrapping_add(seed));
    let settings = Settings {
        workers: 1 + rng.below(4) as u32,
        lanes_max: 1 + rng.below(5) as u32,
        retry: Retry { max: rng.below(4) as u32, base_s: 0.5, cap_s: 5.0 },
        agents: vec![profile("ada"), profile("ben")],
        run_spawns: 1 + rng.below(12) as u32,
        ..Settings::default()
    };
    let disk = Memory::new(seed);
    disk.hold(true);
    let journal = disk.open().expect("nobody else has it open");
    let mut world = World {
        core: Driven::new(seed, settings),
        disk,
        journal,
        told: Arc::default(),
        held: VecDeque::new(),
        queue: BTreeMap::new(),
        number: 0,
        now_ms: 0,
        behind_ms: 0,
        rng,
        room: Rng(seed ^ 0x5EED),
        git: Git::default(),
        keeper: Keeper::default(),
        lanes_free_ms: BTreeMap::new(),
        refs_free_ms: BTreeMap::new(),
        applied: BTreeMap::new(),
        outside: BTreeMap::new(),
        tampered: BTreeSet::new(),
        calls: 0,
        called: None,
        faults: true,
        trail,
    };
    world.git.commit([("common".to_owned(), "0".to_owned())].into(), None);
    world.later(0, Happening::Client);
    world.later(500, Happening::Fate);
    let mut count = 0;
    while count < STORMY && world.once() {
        count += 1;
    }
    world.faults = false;
    world.queue.retain(|_, happening| !matches!(happening, Happening::Client | Happening::Fate));
    world.later(0, Happening::Meet);
    for round in 0.. {
        while world.once() {
            count += 1;
            assert!(count < HAPPENINGS_MAX, "it does not come to rest");
        }
        world.core.check();
        rest::check_pause(&world);
        if !clients::answer_all(&mut world, round) {
            break;
        }
    }
    rest::check_end(&world);
}

impl World {
    pub fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    /// A fault that strikes with this chance, while there are faults.
    fn fault(&mut self, percent: u64) -> bool {
        self.faults && self.chance(percent)
    }

    pub fn note(&mut self, text: String) {
        let mut trail = self.trail.lock().unwrap_or_else(PoisonError::into_inner);
        if trail.len() >= 40 {
            trail.pop_front();
        }
        let text: String = text.chars().take(220).collect();
        trail.push_back(format!("{:>7} {text}", self.now_ms));
    }

    pub fn wall(&self) -> Timestamp {
        Timestamp(START_MS + self.now_ms - self.behind_ms.min(self.now_ms))
    }

    fn at(&mut self, at_ms: u64, happening: Happening) {
        self.number += 1;
        self.queue.insert((at_ms, self.number), happening);
    }

    fn later(&mut self, most_ms: u64, happening: Happening) {
        let delay_ms = self.rng.below(most_ms + 1);
        self.at(self.now_ms + delay_ms, happening);
    }

    /// The next happening, or the next deadline. False = nothing will ever happen again.
    fn once(&mut self) -> bool {
        let deadline = self.core.state.next_deadline();
        let next = self.queue.first_key_value().map(|((at_ms, _), _)| *at_ms);
        if let Some(due) = deadline {
            let wait_ms = due.0.saturating_sub(self.wall().0);
            if next.is_none_or(|next| self.now_ms + wait_ms <= next) {
                self.now_ms += wait_ms;
                self.input(Input::Tick);
                return true;
            }
        }
        let Some(((at_ms, _), happening)) = self.queue.pop_first() else { return false };
        self.now_ms = self.now_ms.max(at_ms);
        match happening {
            Happening::Hear(report) => self.input(Input::Report(report)),
            Happening::Do(effect) => {
                if let Some(report) = self.perform(&effect) {
                    self.input(Input::Report(report));
                }
            }
            Happening::Flush => self.flush(),
            Happening::JobEnds(job) => self.job_ends(job),
            Happening::Meet => self.meet(),
            Happening::Client => {
                clients::act(self);
                self.later(900, Happening::Client);
            }
            Happening::Fate => {
                self.fate();
                self.later(2500, Happening::Fate);
            }
        }
        true
    }

    /// One input to the core: decided, queued for the disk; effects wait until it is there.
    pub fn input(&mut self, input: Input) {
        self.note(format!("{input:?}"));
        let now = self.wall();
        let Ok(step) = self.core.step(now, input) else { return };
        if step.events.is_empty() {
            assert!(step.effects.is_empty(), "effects without an event");
            return;
        }
        let (at, events) = self.core.journal.last().cloned().expect("it was just stored");
        if self.fault(1) {
            let fault = match self.rng.below(3) {
                0 => Fault::Fail(StoreError::Unknown),
                stored => Fault::Unknown { stored: stored == 1 },
            };
            self.disk.fault(self.disk.appends() + 1, fault);
        }
        let told = self.told.clone();
        let durable = Box::new(move |result| told.lock().unwrap_or_else(PoisonError::into_inner).push(result));
        let commit = NewCommit { at, term: 1, command: None, events };
        match self.journal.append(self.journal.head(), commit, Urgency::Now, durable) {
            Ok(position) => {
                self.held.push_back((position, step.effects));
                if self.chance(3) {
                    let fold = serde_json::to_vec(&self.core.state).expect("a state is JSON");
                    self.journal.save_fold(position, fold);
                }
                self.later(20, Happening::Flush);
            }
            // The disk has failed: memory is only a cache of the log.
            Err(_) => self.crash(),
        }
        if self.chance(1) {
            self.core.check();
        }
    }

    fn flush(&mut self) {
        self.disk.acknowledge(1 + self.rng.below(4) as usize);
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for result in told {
            match result {
                Ok(position) => {
                    while self.held.front().is_some_and(|(held, _)| *held <= position) {
                        let (_, effects) = self.held.pop_front().expect("it was looked at");
                        effects.into_iter().for_each(|effect| self.send(effect));
                    }
                }
                Err(error) => {
                    self.note(format!("the store failed: {error}"));
                    return self.crash();
                }
            }
        }
        if self.disk.queued() > 0 {
            self.later(20, Happening::Flush);
        }
    }

    /// Hands an effect to whoever does it.
    fn send(&mut self, effect: Effect) {
        let at_ms = self.now_ms + self.rng.below(200);
        let free = match &effect {
            Effect::PrepareLane { lane, .. }
            | Effect::PrepareShared { lane, .. }
            | Effect::PrepareBase { lane, .. }
            | Effect::PrepareFinal { lane, .. }
            | Effect::InspectShared { lane, .. }
            | Effect::Harvest { lane, .. } => self.lanes_free_ms.entry(*lane).or_default(),
            Effect::Merge { run, .. }
            | Effect::Advance { run, .. }
            | Effect::SetRef { run, .. }
            | Effect::Publish { run, .. } => self.refs_free_ms.entry(*run).or_default(),
            Effect::Survey { .. }
            | Effect::FindAgents { .. }
            | Effect::Answer { .. }
            | Effect::Apply { .. }
            | Effect::Undo { .. }
            | Effect::Sweep
            | Effect::Notify { .. } => {
                return self.at(at_ms, Happening::Do(effect));
            }
            Effect::Start(_) | Effect::Stop { .. } | Effect::Limit { .. } => return self.tell_keeper(&effect),
        };
        // Steps on one lane, and on one ref, go one after another.
        *free = at_ms.max(*free);
        let at_ms = *free;
        self.at(at_ms, Happening::Do(effect));
    }

    fn tell_keeper(&mut self, effect: &Effect) {
        match effect {
            Effect::Limit { run, jobs } => drop(self.keeper.limits.insert(*run, *jobs)),
            Effect::Start(order) => {
                let lane = &self.git.lanes[&order.lane];
                let owners = owners(order.id, order.run);
                if !matches!(self.keeper.jobs.get(&order.id).map(|job| &job.standing), Some(Standing::Ended(_))) {
                    assert!(owners.contains(&lane.owner), "{} was sent to a lane of {}", order.id, lane.owner);
                }
                if let Some(result) = self.keeper.order(order) {
                    self.say(Report::JobEnded { job: order.id, result });
                }
            }
            Effect::Stop { job } => {
                let Some(known) = self.keeper.jobs.get_mut(job) else { return };
                match known.standing {
                    Standing::Queued => {
                        let result = self.result(End::Cancelled, "", &[]);
                        self.keeper.end(*job, result.clone());
                        self.say(Report::JobEnded { job: *job, result });
                    }
                    Standing::Running => {
                        known.stop = true;
                        self.later(100, Happening::JobEnds(*job));
                    }
                    Standing::Ended(_) => {}
                }
            }
            _ => {}
        }
        self.begin();
    }

    fn begin(&mut self) {
        for job in self.keeper.begin() {
            let order = self.keeper.jobs[&job].order.clone();
            let lane = &self.git.lanes[&order.lane];
            assert!(owners(job, order.run).contains(&lane.owner), "{job} began in a lane of {}", lane.owner);
            if let JobId::Attempt(attempt) = job {
                self.check_alone(attempt);
            }
            self.say(Report::JobStarted { job, at: self.wall() });
            if let (JobId::Attempt(attempt), Some(_)) = (job, &order.agent) {
                self.talks(attempt);
            }
            let most_ms = if self.chance(5) { 20_000 } else { 1500 };
            self.later(most_ms, Happening::JobEnds(job));
        }
    }

    /// Nobody else holds the same token, or writes the same files in the same run.
    fn check_alone(&self, attempt: AttemptId) {
        let Some(task) = self.core.state.task(attempt.task) else { return };
        for other in self.keeper.running() {
            let JobId::Attempt(id) = other.order.id else { continue };
            let Some(other) = self.core.state.task(id.task).filter(|_| id.task != attempt.task) else { continue };
            let (a, b) = (task.spec.extras(), other.spec.extras());
            let token = a.resources.iter().find(|token| b.resources.contains(token));
            assert_eq!(token, None, "{attempt} and {id} run at once, and both want it");
            if let (Some(a), Some(b)) = (&a.writes, &b.writes)
                && task.run == other.run
            {
                assert!(a != b, "{attempt} and {id} run at once and write the same files");
            }
        }
    }

    /// A word of the keeper to the daemon; it may be repeated, and while there are faults it may be lost until the
    /// two meet again.
    fn say(&mut self, report: Report) {
        if self.fault(5) {
            return self.later(5000, Happening::Meet);
        }
        if self.chance(15) {
            self.later(3000, Happening::Hear(report.clone()));
        }
        self.later(100, Happening::Hear(report));
    }

    fn meet(&mut self) {
        for effect in effect::due(&self.core.state, &self.core.settings) {
            // Only what is durable may leave; the rest follows with its flush.
            if let Effect::Start(_) | Effect::Stop { .. } | Effect::Limit { .. } = effect
                && self.held.is_empty()
            {
                self.tell_keeper(&effect);
            }
        }
        if !self.held.is_empty() {
            self.later(50, Happening::Meet);
        }
    }

    fn result(&self, end: End, tail: &str, failures: &[&str]) -> JobResult {
        let failures = failures.iter().map(|name| (*name).to_owned()).collect();
        JobResult {
            end,
            started_at: self.wall(),
            ended_at: self.wall(),
            tail: tail.to_owned(),
            failures,
            output_bytes: tail.len() as u64,
            tests_ran: None,
            agent: None,
        }
    }

    fn job_ends(&mut self, id: JobId) {
        let Some(job) = self.keeper.jobs.get(&id) else { return };
        if !matches!(job.standing, Standing::Running) {
            return;
        }
        let (order, stopped) = (job.order.clone(), job.stop);
        let end = if stopped { Some(End::Cancelled) } else { None };
        let result = self.process(&order, end);
        self.keeper.end(id, result.clone());
        self.say(Report::JobEnded { job: id, result });
        self.begin();
    }

    /// What a process does and how it ends; `end` where somebody else decides that.
    fn process(&mut self, order: &orchestrator::core::job::JobOrder, end: Option<End>) -> JobResult {
        let forced = end.is_some();
        match order.id {
            JobId::Attempt(attempt) => {
                let external = self.core.state.task(attempt.task).map(|task| task.spec.effect);
                let (mut end, tail) = match (end, self.rng.below(20)) {
                    (Some(end), _) => (end, ""),
                    (None, 0) => (End::Exit(1), "error: no such option"),
                    (None, 1 | 2) => (End::Exit(1), "connection reset by peer"),
                    (None, 3) => (End::Timeout, ""),
                    (None, 4) => (End::Silent, ""),
                    (None, 5) => (End::Signal(11), ""),
                    (None, _) => (End::Exit(0), ""),
                };
                if !forced && self.chance(1) {
                    end = End::NotStarted("no such program".into());
                }
                let acts = end.success() || (self.chance(50) && !matches!(end, End::NotStarted(_)));
                if acts && external == Some(spec::Effect::External) {
                    let (times, there) = self.outside.entry(attempt.task).or_default();
                    *times += 1;
                    *there = true;
                }
                let name = order.argv.first().cloned().unwrap_or_else(|| "agent".into());
                if acts && external != Some(spec::Effect::None) && !name.starts_with('s') {
                    let lane = self.git.lanes.get_mut(&order.lane).expect("it was laid out");
                    lane.files.insert(attempt.task.to_string(), attempt.to_string());
                    if name.starts_with('x') {
                        lane.files.insert("common".into(), attempt.to_string());
                    }
                }
                let mut result = self.result(end, tail, &[]);
                result.agent = order.agent.as_ref().map(|_| Box::new(self.last_words(&result)));
                result
            }
            JobId::Check(..) | JobId::Merged(..) | JobId::Baseline(..) | JobId::Final(..) | JobId::Setup(..) => {
                match end {
                    Some(end) => self.result(end, "", &[]),
                    None => match self.rng.below(12) {
                        0 => self.result(End::Exit(1), "red", &["a"]),
                        1 => self.result(End::Exit(1), "red", &["a", "b"]),
                        2 => self.result(End::Exit(1), "red", &[]),
                        _ => self.result(End::Exit(0), "", &[]),
                    },
                }
            }
            JobId::Probe(attempt) => {
                let there = self.outside.get(&attempt.task).is_some_and(|(_, there)| *there);
                self.result(end.unwrap_or(End::Exit(i32::from(!there))), "", &[])
            }
            JobId::Compensate(attempt) => {
                let end = end.unwrap_or(if self.chance(15) { End::Exit(1) } else { End::Exit(0) });
                if end.success()
                    && let Some((_, there)) = self.outside.get_mut(&attempt.task)
                {
                    *there = false;
                }
                self.result(end, "", &[])
            }
        }
    }

    /// What an agent says of its own end.
    fn last_words(&mut self, result: &JobResult) -> AgentEnd {
        let done = result.end.success();
        let trouble = ["quota", "budget", "error", "auth"][self.rng.below(4) as usize];
        let limited = !done && trouble == "quota" && self.chance(70);
        AgentEnd {
            done,
            said: String::new(),
            trouble: (!done).then(|| trouble.to_owned()),
            limited_until: limited.then(|| self.wall().plus_ms(20_000)),
            usage: Usage { tokens: 1000, usd: Some(0.1) },
        }
    }

    /// An agent says something while it works.
    fn talks(&mut self, attempt: AttemptId) {
        for _ in 0..self.rng.below(4) {
            let verdict = [Verdict::Allow, Verdict::Deny, Verdict::Escalate, Verdict::None][self.rng.below(4) as usize];
            let key = ["push", "install"][self.rng.below(2) as usize];
            let request = self.rng.below(3).to_string();
            let said = match self.rng.below(5) {
                0 => AgentSaid::Session(format!("s{request}")),
                1 => AgentSaid::Usage(Usage { tokens: self.rng.below(900), usd: None }),
                2 => AgentSaid::Withdrawn(request),
                _ => AgentSaid::Asked {
                    request,
                    tool: "Bash".into(),
                    input: serde_json::json!({"command": key}),
                    judgement: Box::new(judgement(verdict, key)),
                },
            };
            self.later(1200, Happening::Hear(Report::AgentSaid { attempt, said }));
        }
    }

    /// What the daemon does with its own hands, and what it says of it.
    fn perform(&mut self, effect: &Effect) -> Option<Report> {
        let broken = self.fault(4);
        let why = || "connection reset by peer".to_owned();
        match effect {
            Effect::Survey { run } if broken => Some(Report::SurveyFailed { run: *run, why: why() }),
            Effect::Survey { run } => {
                let mut facts = Facts { manifests_hash: "h".into(), ..Facts::default() };
                if run.0.is_multiple_of(3) {
                    facts.programs.insert("test".into(), true);
                    facts.commands.push(FoundCommand {
                        role: Role::Test,
                        argv: vec!["test".into()],
                        origin: "Makefile".into(),
                        ecosystem: "make".into(),
                        missing: None,
                    });
                }
                let base = Base { commit: "c0".into(), tree: git::name(self.git.tree("c0")), ..Base::default() };
                Some(Report::Surveyed { run: *run, facts: Shared::new(facts), base, notes: Vec::new() })
            }
            Effect::FindAgents { run } => {
                let names = ["", "ada", "ada,ben", "ben", "ada,ben"][self.rng.below(5) as usize];
                let names = names.split(',').filter(|name| !name.is_empty());
                let found = names.map(|id| FoundAgent { id: id.into(), program: format!("/bin/{id}"), version: None });
                Some(Report::AgentsFound { run: *run, agents: found.collect() })
            }
            Effect::PrepareLane { .. }
            | Effect::PrepareShared { .. }
            | Effect::PrepareBase { .. }
            | Effect::PrepareFinal { .. }
                if self.faults && self.room.below(100) < 3 =>
            {
                Some(Report::NoRoom { waiter: Waiter::of(effect)?, why: why() })
            }
            Effect::PrepareLane { attempt, lane, commit, .. } => {
                if broken {
                    return Some(Report::LaneFailed { attempt: *attempt, why: why() });
                }
                self.lay_out(*lane, attempt.to_string(), commit);
                Some(Report::LanePrepared { attempt: *attempt })
            }
            Effect::PrepareShared { run, lane, commit } => {
                self.lay_out(*lane, format!("{run} shared"), commit);
                Some(Report::SharedPrepared { run: *run, failed: broken.then(why) })
            }
            Effect::InspectShared { run, lane } => {
                assert_eq!(self.git.lanes[lane].owner, format!("{run} shared"), "somebody else's lane is looked at");
                let changed = if self.chance(5) { vec!["f".to_owned()] } else { Vec::new() };
                Some(Report::SharedInspected { run: *run, changed: if broken { Err(why()) } else { Ok(changed) } })
            }
            Effect::PrepareBase { run, lane, commit } => {
                self.lay_out(*lane, format!("{run} base"), commit);
                Some(Report::BasePrepared { run: *run, failed: broken.then(why) })
            }
            Effect::PrepareFinal { run, lane, commit } => {
                self.lay_out(*lane, format!("{run} final"), commit);
                Some(Report::FinalPrepared { run: *run, failed: broken.then(why) })
            }
            Effect::Harvest { attempt, lane, from, .. } => {
                if broken {
                    return Some(Report::StepFailed { attempt: *attempt, why: why() });
                }
                let found = &self.git.lanes[lane];
                assert_eq!(found.owner, attempt.to_string(), "a lane is read for somebody else");
                // Or where an attempt before it left its work.
                let proof = self.core.state.live(*attempt).and_then(|(_, live)| live.more.as_ref());
                let start = proof.and_then(|proof| proof.start.as_ref());
                let there = found.commit == *from || Some(&found.commit) == start;
                assert!(there || proof.is_none(), "a lane is not where it should be");
                let files = found.files.clone();
                let commit =
                    if files == *self.git.tree(from) { from.clone() } else { self.git.commit(files, Some(from)) };
                let tree = git::name(self.git.tree(&commit));
                Some(Report::Harvested {
                    attempt: *attempt,
                    commit,
                    tree,
                    diff: DiffStat::default(),
                    paths: Vec::new(),
                    noticed: noticed(*attempt),
                })
            }
            Effect::Merge { attempt, onto, commit, .. } => {
                if broken {
                    return Some(Report::StepFailed { attempt: *attempt, why: why() });
                }
                Some(match self.git.merge(commit, onto) {
                    Ok((commit, tree)) => Report::Merged { attempt: *attempt, commit, tree, onto: onto.clone() },
                    Err(paths) => Report::MergeConflict { attempt: *attempt, paths },
                })
            }
            Effect::Advance { attempt, run, to, from } => {
                if broken && self.chance(50) {
                    return Some(Report::StepFailed { attempt: *attempt, why: why() });
                }
                let at = self.git.refs.entry(*run).or_insert_with(|| from.clone());
                if at != from && at != to {
                    let why = format!("the ref is at {at}");
                    return Some(Report::AdvanceRefused { attempt: *attempt, why });
                }
                at.clone_from(to);
                // It moved, and that it did gets lost: until the ref is set back, it is ahead of the journal.
                self.set_right(*run, !broken);
                Some(match broken {
                    true => Report::StepFailed { attempt: *attempt, why: why() },
                    false => Report::Advanced { attempt: *attempt },
                })
            }
            // It never deletes what the state knows, and nothing else is looked at here.
            Effect::Sweep | Effect::Answer { .. } | Effect::Notify { .. } => None,
            Effect::SetRef { run, to } => {
                self.git.refs.insert(*run, to.clone());
                self.set_right(*run, true);
                None
            }
            Effect::Publish { run, commit } => {
                if broken {
                    return Some(Report::Published { run: *run, branch: None, failed: Some(why()) });
                }
                let branch = commit.as_ref().map(|commit| {
                    self.git.branches.insert(*run, commit.clone());
                    format!("orchestrator/{run}")
                });
                Some(Report::Published { run: *run, branch, failed: None })
            }
            Effect::Apply { run, number, tip, tasks, .. } => {
                if let Some(done) = self.applied.get(&(*run, *number)) {
                    return Some(Report::Applied { run: *run, apply: done.clone() });
                }
                if self.chance(20) {
                    return Some(Report::ApplyRefused { run: *run, why: why(), paths: vec!["f".into()] });
                }
                let apply = Apply {
                    number: *number,
                    result: tip.clone(),
                    tasks: tasks.clone(),
                    before: "b".into(),
                    merged: "m".into(),
                    paths: vec!["f".into()],
                    at: self.wall(),
                    in_editor: false,
                    unsaved: Vec::new(),
                    undone_at: None,
                };
                self.applied.insert((*run, *number), apply.clone());
                Some(Report::Applied { run: *run, apply })
            }
            Effect::Undo { run, apply, .. } => Some(match self.chance(20) {
                true => Report::UndoRefused { run: *run, why: why(), paths: vec!["f".into()] },
                false => Report::Undone { run: *run, number: apply.number, paths: apply.paths.clone() },
            }),
            Effect::Start(_) | Effect::Stop { .. } | Effect::Limit { .. } => None,
        }
    }

    /// Whether a run's ref is where the journal says.
    fn set_right(&mut self, run: RunId, right: bool) {
        match right {
            true => self.tampered.remove(&run),
            false => self.tampered.insert(run),
        };
    }

    fn lay_out(&mut self, lane: LaneId, owner: String, commit: &str) {
        if let Some(job) = self.keeper.in_lane(lane) {
            panic!("{lane} is laid out for {owner} while {job} runs in it");
        }
        self.git.lay_out(lane, owner, commit);
    }

    /// The daemon is gone, and comes back.
    fn crash(&mut self) {
        self.note("the daemon crashes".into());
        self.core.check();
        // Its own hands stop in the middle: what they were at is done or not.
        let queue = std::mem::take(&mut self.queue);
        for (key, happening) in queue {
            match happening {
                Happening::Hear(_) | Happening::Flush | Happening::Meet => {}
                Happening::Do(effect) => {
                    if self.chance(50) {
                        let faults = std::mem::replace(&mut self.faults, false);
                        self.perform(&effect);
                        self.faults = faults;
                    }
                }
                kept => drop(self.queue.insert(key, kept)),
            }
        }
        self.disk.crash();
        self.held.clear();
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.lanes_free_ms.clear();
        self.refs_free_ms.clear();
        self.journal = self.disk.open().expect("nobody has it open any more");
        self.load();
        for effect in effect::due(&self.core.state, &self.core.settings) {
            self.send(effect);
        }
        self.input(Input::Report(Report::Woken));
        clients::ask_again(self);
    }

    /// Reads the journal, from a cached fold where there is one.
    fn load(&mut self) {
        let mut commits: Vec<(Position, Timestamp, Vec<u8>)> = Vec::new();
        let read = self.journal.read(Position::START, &mut |commit| {
            commits.push((commit.position, commit.at, commit.events));
            ControlFlow::Continue(())
        });
        read.expect("the journal is whole");
        let evolve = |state: &mut State, from: Position| {
            for (position, at, events) in commits.iter().filter(|(position, ..)| *position > from) {
                let events: Vec<Event> = serde_json::from_slice(events)
                    .unwrap_or_else(|error| panic!("commit {position} cannot be read: {error}"));
                events.iter().for_each(|event| state.evolve(*at, event));
            }
        };
        let mut whole = State::default();
        evolve(&mut whole, Position::START);
        let fold = self.journal.load_fold().expect("the journal can be read").filter(|_| self.rng.below(2) == 0);
        self.core.state = match fold {
            Some((position, bytes)) => {
                let mut state: State = serde_json::from_slice(&bytes).expect("a fold is a state");
                state.reindex();
                evolve(&mut state, position);
                state
            }
            None => whole.clone(),
        };
        // As the daemon does: what evolving queued was decided in the commits that were just read.
        self.core.state.reindex();
        self.core.read_back = whole;
        self.core.journal = commits.into_iter().map(|(_, at, events)| (at, events)).collect();
        self.core.check();
    }

    /// What nobody asked for.
    fn fate(&mut self) {
        match self.rng.below(10) {
            0..4 => self.crash(),
            4 | 5 => {
                self.note("the keeper dies".into());
                for job in self.keeper.die() {
                    let order = self.keeper.jobs[&job].order.clone();
                    let result = self.process(&order, Some(End::Lost));
                    self.keeper.end(job, result);
                }
                self.later(500, Happening::Meet);
                if self.chance(30) {
                    self.crash();
                }
            }
            6 => {
                self.behind_ms += self.rng.below(20_000);
                self.note("the clock jumps back".into());
            }
            7 => {
                if let Some(run) = self.git.refs.keys().next_back().copied() {
                    self.note(format!("somebody moves the ref of {run}"));
                    self.git.refs.insert(run, "c0".into());
                    self.tampered.insert(run);
                }
            }
            _ => {}
        }
    }
}

/// Whose lanes a job may work in.
fn owners(job: JobId, run: RunId) -> Vec<String> {
    match job {
        JobId::Attempt(attempt) | JobId::Check(attempt, _) => vec![attempt.to_string(), format!("{run} shared")],
        JobId::Merged(attempt, _) | JobId::Probe(attempt) | JobId::Compensate(attempt) => vec![attempt.to_string()],
        JobId::Baseline(..) => vec![format!("{run} base")],
        JobId::Final(..) => vec![format!("{run} final")],
        JobId::Setup(..) => unreachable!("the core lays no lane out itself"),
    }
}

/// Some changes do what a person has a word in. No dice: what is drawn after it stays as it was for every seed.
fn noticed(attempt: AttemptId) -> Option<Box<Noticed>> {
    let number = attempt.task.0 * 7 + attempt.generation;
    let remark = || vec![Remark { path: "f".into(), line: Some(1), there: true, what: "Looks like a key".into() }];
    let broken = vec![Broken { path: "f".into(), line: 1, name: "f".into(), before: "fn f()".into(), after: None }];
    match number % 13 {
        0 => Some(Box::new(Noticed { security: remark(), ..Noticed::default() })),
        1 => Some(Box::new(Noticed { security: remark(), broken, unread: remark() })),
        _ => None,
    }
}
