//! A small world around the core: answers every effect as a daemon would, by a script, in a fixed order.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    api::{ApiError, request::parse_request},
    core::{
        self, Command, Ctx, Effect, Event, Input, Rejection, Reply, Report, Rng, Settings, State,
        analyze::{IntentWord, Level, Risk},
        facts::{Facts, FoundCommand, Role},
        job::{End, JobId, JobResult},
        run::{Apply, Base},
        task::DiffStat,
    },
    daemon::convert::{Given, View, WorkspaceInfo, process_request},
    ids::{AttemptId, RunId},
    time::Timestamp,
};

/// Noon of the day the tests play on.
pub const NOON: Timestamp = Timestamp(1_795_435_200_000);

pub struct World {
    pub state: State,
    pub settings: Settings,
    pub now: Timestamp,
    pub facts: Facts,
    pub workspace: WorkspaceInfo,
    /// How jobs end, by id; others end with 0 after a second.
    pub ends: BTreeMap<String, (End, &'static str)>,
    /// Jobs that do not end.
    pub held: BTreeSet<String>,
    /// Attempts whose merge conflicts.
    pub conflicts: BTreeSet<String>,
    /// Everything that was committed: position, time, events.
    pub journal: Vec<(u64, Timestamp, Vec<Event>)>,
    rng: Rng,
    queue: VecDeque<Effect>,
}

impl World {
    pub fn new() -> World {
        let workspace = WorkspaceInfo {
            path: "/home/ada/web".into(),
            id: "w1".into(),
            name: "web".into(),
            vcs: "git".into(),
            trusted: false,
        };
        World {
            state: State::default(),
            settings: Settings { jitter: 0.0, ..Settings::default() },
            now: NOON,
            facts: Facts { vcs: "git".into(), manifests_hash: "abcdef0123456789".into(), ..Facts::default() },
            workspace,
            ends: BTreeMap::new(),
            held: BTreeSet::new(),
            conflicts: BTreeSet::new(),
            journal: Vec::new(),
            rng: Rng(1),
            queue: VecDeque::new(),
        }
    }

    /// The repository has a test command of its own.
    pub fn with_tests(mut self) -> World {
        let argv = vec!["make".to_owned(), "test".to_owned()];
        let (origin, ecosystem) = ("Makefile".to_owned(), "make".to_owned());
        self.facts.commands.push(FoundCommand { role: Role::Test, argv, origin, ecosystem, missing: None });
        self.facts.programs.insert("make".into(), true);
        self
    }

    pub fn end(&mut self, job: &str, end: End, tail: &'static str) {
        self.ends.insert(job.to_owned(), (end, tail));
    }

    pub fn hold(&mut self, job: &str) {
        self.held.insert(job.to_owned());
    }

    pub fn view(&self) -> View<'_> {
        View {
            state: &self.state,
            settings: &self.settings,
            revision: self.journal.len() as u64,
            changes: 0,
            clock: Box::leak(Box::new(crate::daemon::convert::Clock::new(self.now))),
            workspace: &self.workspace,
            // A test changes the state by hand; nothing may be remembered.
            memo: Box::leak(Box::default()),
        }
    }

    pub fn given<R>(&self, with: impl FnOnce(&Given<'_>) -> R) -> R {
        let env = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        with(&Given {
            keys: &[],
            now: self.now,
            checkout: "/home/ada/web".as_ref(),
            env: &env,
            trust: false,
            settings: &self.settings,
            playbooks: &["audit", "test", "tidy", "skill:bump"].map(str::to_owned),
        })
    }

    /// One step of the core, a millisecond after the last; its effects are queued.
    pub fn step(&mut self, input: Input) -> Result<Reply, Rejection> {
        self.now = self.now.plus_ms(1);
        let mut ctx = Ctx { now: self.now, rng: &mut self.rng, settings: &self.settings };
        let step = core::step(&mut self.state, input, &mut ctx)?;
        if !step.events.is_empty() {
            self.journal.push((self.journal.len() as u64 + 1, self.now, step.events));
        }
        self.queue.extend(step.effects);
        Ok(step.reply)
    }

    /// A command, and all that follows until only held jobs are left.
    pub fn command(&mut self, command: Command) -> Result<Reply, Rejection> {
        let reply = self.step(Input::Command(command))?;
        self.settle();
        Ok(reply)
    }

    /// A request as it comes over the wire, carried out as far as it goes.
    pub fn ask(&mut self, request: Value) -> Result<RunId, ApiError> {
        let request = self.given(|given| process_request(parse_request(request)?, given))?;
        match self.command(Command::Submit(Box::new(request))).map_err(super::super::rejection)? {
            Reply::Run { run, .. } => {
                self.understand(run);
                Ok(run)
            }
            other => panic!("a request was answered with {other:?}"),
        }
    }

    /// Puts fixed numbers in the place of what was understood: this is about how they are shown, not about the words
    /// of a request. What proves a change stays, because the core went by it.
    fn understand(&mut self, run: RunId) {
        let Some(known) = self.state.runs.get_mut(&run).and_then(|run| run.analysis.as_mut()) else { return };
        known.intent.primary = Some(IntentWord::Modify);
        known.intent.secondary = Some(IntentWord::Fix);
        known.intent.confidence = 0.75;
        known.complexity.level = Level::Moderate;
        known.complexity.score = 0.5;
        known.complexity.factors.scope = 0.5;
        known.complexity.factors.uncertainty = 0.25;
        known.complexity.reasons = vec!["scope 0.50: as the test says".into()];
        known.required_resources = vec!["program:make".into()];
        let (id, what, mitigation) = ("fire".into(), "It may burn".into(), "Water is at hand".into());
        known.risks = vec![Risk { id, what, level: 0.6, mitigation }];
    }

    /// A request with these tasks as its plan.
    pub fn plan(&mut self, tasks: Value) -> RunId {
        let request = json!({
            "description": "Tidy the house\nand more",
            "plan": {"version": 1, "title": "Tidy", "tasks": tasks},
        });
        self.ask(request).expect("the plan is taken")
    }

    pub fn report(&mut self, report: Report) {
        self.step(Input::Report(report)).expect("reports are never refused");
        self.settle();
    }

    /// Time passes.
    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus_ms(seconds * 1000);
        self.step(Input::Tick).expect("time is never refused");
        self.settle();
    }

    /// Lets a held job end after all.
    pub fn release(&mut self, job: &str, end: End) {
        assert!(self.held.remove(job), "{job} is not held");
        let id: JobId = job.parse().expect("a job's id");
        let started_at = self.now;
        self.now = self.now.plus_ms(1000);
        let result = self.result(end, "", started_at);
        self.report(Report::JobEnded { job: id, result });
    }

    fn result(&self, end: End, tail: &str, started_at: Timestamp) -> JobResult {
        JobResult {
            end,
            started_at,
            ended_at: self.now,
            tail: tail.to_owned(),
            failures: crate::core::prove::failing_tests(tail),
            output_bytes: 10,
            tests_ran: None,
            agent: None,
        }
    }

    fn settle(&mut self) {
        while let Some(effect) = self.queue.pop_front() {
            for report in self.carry_out(effect) {
                self.step(Input::Report(report)).expect("reports are never refused");
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Vec<Report> {
        let commit = |attempt: AttemptId, kind: &str| (format!("{kind}-{attempt}"), format!("tree-{attempt}"));
        match effect {
            Effect::Survey { run } => {
                let base = Base { commit: "base".into(), tree: "base-tree".into(), clean: true, skipped: Vec::new() };
                vec![Report::Surveyed { run, facts: Arc::new(self.facts.clone()), base, notes: Vec::new() }]
            }
            Effect::Notify { .. } => Vec::new(),
            Effect::PrepareLane { attempt, .. } => vec![Report::LanePrepared { attempt }],
            Effect::PrepareShared { run, .. } => vec![Report::SharedPrepared { run, failed: None }],
            Effect::InspectShared { run, .. } => vec![Report::SharedInspected { run, changed: Ok(Vec::new()) }],
            Effect::PrepareBase { run, .. } => vec![Report::BasePrepared { run, failed: None }],
            Effect::PrepareFinal { run, .. } => vec![Report::FinalPrepared { run, failed: None }],
            Effect::Start(order) => {
                let started_at = self.now;
                let begun = Report::JobStarted { job: order.id, at: started_at };
                if self.held.contains(&order.id.to_string()) {
                    return vec![begun];
                }
                self.now = self.now.plus_ms(1000);
                let (end, tail) = self.ends.get(&order.id.to_string()).cloned().unwrap_or((End::Exit(0), ""));
                vec![begun, Report::JobEnded { job: order.id, result: self.result(end, tail, started_at) }]
            }
            Effect::Stop { job } => {
                self.held.remove(&job.to_string());
                vec![Report::JobEnded { job, result: self.result(End::Cancelled, "", self.now) }]
            }
            Effect::Harvest { attempt, .. } => {
                let (commit, tree) = commit(attempt, "change");
                let diff = DiffStat { files: 1, insertions: 3, deletions: 1 };
                vec![Report::Harvested { attempt, commit, tree, diff, paths: Vec::new(), noticed: None }]
            }
            Effect::Merge { attempt, .. } if self.conflicts.contains(&attempt.to_string()) => {
                vec![Report::MergeConflict { attempt, paths: vec!["a.txt".into()] }]
            }
            Effect::Merge { attempt, onto, .. } => {
                let (commit, tree) = commit(attempt, "merge");
                vec![Report::Merged { attempt, commit, tree, onto }]
            }
            Effect::Advance { attempt, .. } => vec![Report::Advanced { attempt }],
            Effect::Publish { run, commit } => {
                let branch = commit.map(|_| format!("orchestrator/{run}"));
                vec![Report::Published { run, branch, failed: None }]
            }
            Effect::Apply { run, number, tip, tasks, .. } => {
                let apply = Apply {
                    number,
                    result: tip,
                    tasks,
                    before: "before".into(),
                    merged: "merged".into(),
                    paths: vec!["a.txt".into()],
                    at: self.now,
                    in_editor: false,
                    unsaved: Vec::new(),
                    undone_at: None,
                };
                vec![Report::Applied { run, apply }]
            }
            Effect::Undo { run, apply, .. } => {
                vec![Report::UndoRefused { run, why: "edited since".into(), paths: apply.paths }]
            }
            Effect::FindAgents { run } => vec![Report::AgentsFound { run, agents: Vec::new() }],
            Effect::Limit { .. } | Effect::SetRef { .. } | Effect::Sweep | Effect::Answer { .. } => Vec::new(),
        }
    }
}

/// The wire form of a reply, as a client reads it.
pub fn wire<T: serde::Serialize>(reply: &T) -> String {
    serde_json::to_string_pretty(reply).expect("replies serialize") + "\n"
}
