//! The language of the scripts.
//!
//! ```text
//! submit [key=K] [prio=high] [mode=plan] [ask=minimal|collaborative] [apply=ask|never] [due=60] [jobs=2] [compatible] [trust] [approve=always] [planner=ada] [text=W] | TASKS
//!        TASKS: name [read|ext|ask|agent|flow] [needs=a,b] [verify=unit,lint] [writes=src/**] [res=db] [prio=high] [est=60]
//!               [retry=1] [in=parent] [most=0.5] [comp] [probe] [idem] [derived] [env=production] [type=deployment] [milestone=M] [timeout=60]; …    and before them  [stop] [final=check] [max=2]
//!               [minutes=5] [spawns=3] [usd=1] [tokens=9] [order] [levels] [lead|votes|owned];
//! task [run=R-1] [deps=T-1,T-2] [key=K] | ONE TASK
//! set workers=2 lanes=1 playbooks=builtin agents=ada,ben day=1.5 spawns=2 slow
//! surveyed R-1 [test=unit] [tree=t0]   survey-failed R-1 WHY   answer D-1 CHOICE [run|always] [says=WORDS]   cancel R-1|T-1   retry R-1 [T-1]
//! prepared T-1.1   shared R-1   base R-1   final R-1      each with [failed WHY]      inspected R-1 [PATH…]
//! keyless T-1.1   keys-given   an agent's keys are gone, or handed over again
//! no-room T-1.1|R-1 [shared|base|final]   a lane found no room on the disk
//! started JOB   ended JOB END [names=a,b] [says=WORDS]    END: exit:0 exit:1 signal:9 timeout silent cancelled lost not_started
//! harvested T-1.1 [same] [touches=a,b] [secret=x] [breaks=a,b] [unread=x]   merged T-1.1 [other|empty]   conflict T-1.1   advanced T-1.1   refused T-1.1   broken T-1.1 WHY
//! published R-1 [failed]   applied R-1 N   apply-refused R-1   undone R-1 N   undo-refused R-1
//! apply R-1 [T-1…] [asks]   undo R-1   trust HASH|-   save [R-1]   restore C-1   tick +2s|-5s|+8d|+100ms
//! found R-1 [ada,ben]   said T-1.1 session ID | usage N | asks R TOOL allow|deny|escalate|none | withdrawn R
//! said T-1.1 wants R TOOL | WHAT      judged by the gate itself, in a lane without a sandbox
//! ended T-1.1 END done|error|quota|budget|auth   what an agent says of its end
//! claim [T-1]   agent T-1.1 done|failed|progress|present|note [WORDS]
//! auto [hold=JOB,…]   answers every effect that waits with success, in order, but those held; the held stay waiting
//! crash               prints what a restarted daemon sends
//! quiet LINE          as LINE, without printing anything
//! ```
//!
//! A `submit` is answered by `surveyed` at once, unless it says `later`; whoever looks for agents finds those that are
//! set, at once unless `slow` is. Changes are named by their attempt: attempt
//! `T-1.1` harvests commit `c1.1`, and merged with others becomes `m1.1`.

use std::{path::PathBuf, sync::Arc};

use orchestrator::{
    core::{
        Command, Effect, Input, Rejection, Report, Settings,
        agent::{AgentEnd, AgentProfile, DriverKind, FoundAgent, Touched, Usage},
        decide::{
            change::{Broken, Noticed, Remark},
            decision::By,
            effects::Reversible,
            gate::{self, Ask, Judgement, NoLinks, Place, Verdict},
            policy::{Known, Policy, Source, TaskKnown, Tier},
        },
        facts::{Facts, FoundCommand, Role},
        input::{AgentSaid, AgentWord, Remember},
        job::{End, JobId, JobResult},
        plan::{
            playbook,
            spec::{self, Argv, Compensate, OnFailure, Plan, Priority, Retry, TaskSpec, Work},
        },
        room::Waiter,
        run::{Apply, ApplyWish, ApprovePlan, Base, Interaction, Mode, Request},
        task::DiffStat,
    },
    ids::{AttemptId, RunId, TaskId},
    time::Timestamp,
};

use super::show;
use crate::sim::driven::Driven;

/// A script that is being played.
pub struct Script {
    /// The core that it is played to.
    pub core: Driven,
    now: Timestamp,
    waiting: Vec<Effect>,
    out: String,
    quiet: bool,
    slow: bool,
    test: Option<String>,
}

/// Runs a script; what it prints.
pub fn run(text: &str) -> String {
    let mut script = Script::new();
    script.play(text);
    script.out
}

/// The words of a line: plain ones in order, `key=value` ones by key.
struct Words<'a> {
    plain: Vec<&'a str>,
    line: &'a str,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        Words { plain: line.split_whitespace().filter(|word| !word.contains('=')).collect(), line }
    }

    fn key(&self, key: &str) -> Option<&'a str> {
        self.line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.key(key).map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    fn at<T: std::str::FromStr>(&self, index: usize) -> T {
        let word = self.plain.get(index).unwrap_or_else(|| panic!("{:?} lacks word {index}", self.line));
        word.parse().unwrap_or_else(|_| panic!("{word:?} in {:?} is not what is wanted there", self.line))
    }

    fn rest(&self, index: usize) -> String {
        self.plain.get(index..).unwrap_or_default().join(" ")
    }
}

impl Script {
    /// With the usual settings; nothing was played yet.
    pub fn new() -> Script {
        Script {
            core: Driven::new(7, Settings { jitter: 0.0, ..Settings::default() }),
            now: Timestamp(1_800_000_000_000),
            waiting: Vec::new(),
            out: String::new(),
            quiet: false,
            slow: false,
            test: None,
        }
    }

    /// The user's own policy file from here on.
    pub fn policy(&mut self, text: &str) {
        let own = Source { tier: Tier::User, file: "policy.toml", text };
        self.core.settings.rules.policy = Arc::new(Policy::load(&[own]).expect("a policy"));
    }

    /// What the newest attempt of an agent that was started is told.
    pub fn prompt(&self) -> &str {
        let told = self.waiting.iter().rev().find_map(|effect| match effect {
            Effect::Start(order) => order.agent.as_ref().map(|agent| agent.prompt.as_str()),
            _ => None,
        });
        told.expect("an agent was started")
    }

    /// Plays these lines.
    pub fn play(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (quiet, line) = line.strip_prefix("quiet ").map_or((false, line), |line| (true, line));
            self.quiet = quiet;
            self.print(&format!("> {line}\n"));
            self.line(line);
            self.look_for_agents();
            self.core.check();
        }
    }

    fn print(&mut self, text: &str) {
        if !self.quiet {
            self.out.push_str(text);
        }
    }

    fn input(&mut self, input: Input) {
        match self.core.step(self.now, input) {
            Ok(step) => {
                for event in &step.events {
                    let text = show::event(&self.core.state, event);
                    self.print(&format!("{text}\n"));
                }
                for effect in step.effects {
                    self.print(&format!("    {}\n", show::effect(&effect)));
                    self.waiting.push(effect);
                }
                match step.reply {
                    orchestrator::core::Reply::None => {}
                    reply => self.print(&format!("  = {reply:?}\n")),
                }
            }
            Err(Rejection::Invalid(what, hint)) => self.print(&format!("  ! {what} | {hint}\n")),
            Err(rejection @ Rejection::AlreadyDecided { .. }) => {
                let text = rejection.to_string().replace(&self.now.to_string(), "now");
                self.print(&format!("  ! {text}\n"));
            }
            Err(rejection) => self.print(&format!("  ! {rejection}\n")),
        }
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn report(&mut self, report: Report) {
        self.input(Input::Report(report));
    }

    fn line(&mut self, line: &str) {
        let words = Words::of(line);
        match words.plain[0] {
            "set" => self.set(&words),
            "submit" => self.submit(line),
            "task" => self.task(line),
            "auto" => self.auto(&words.list("hold")),
            "crash" => {
                self.waiting = orchestrator::core::effect::due(&self.core.state, &self.core.settings);
                let due: Vec<String> = self.waiting.iter().map(show::effect).collect();
                due.iter().for_each(|effect| self.print(&format!("    {effect}\n")));
                // What a restarted daemon has is what it read.
                let mut read_back = self.core.read_back.clone();
                if self.core.journal.len().is_multiple_of(2) {
                    read_back.reindex();
                }
                self.core.state = read_back;
                self.input(Input::Tick);
            }
            "tick" => {
                let word: String = words.at(1);
                let (sign, number) = word.split_at(1);
                let (number, unit_ms) = match number.strip_suffix("ms") {
                    Some(number) => (number, 1),
                    None if number.ends_with('d') => (&number[..number.len() - 1], 86_400_000),
                    None => (&number[..number.len() - 1], 1000),
                };
                let delta_ms = number.parse::<u64>().expect("a number") * unit_ms;
                self.now = if sign == "-" { Timestamp(self.now.0 - delta_ms) } else { self.now.plus_ms(delta_ms) };
                self.input(Input::Tick);
            }
            "answer" => {
                let by = By { kind: "person".into(), surface: "cli".into(), name: None };
                let remember = match words.plain.get(3) {
                    Some(&"always") => Remember::Always,
                    Some(&"run") => Remember::Run,
                    _ => Remember::Once,
                };
                let (decision, choice) = (words.at(1), words.at(2));
                let text = words.key("says").map(|text| text.replace('_', " "));
                self.command(Command::Answer { decision, choice, text, by, remember });
            }
            "forget" => self.command(Command::ForgetRule(words.plain[1].to_owned())),
            "cancel" if words.plain[1].starts_with('R') => self.command(Command::CancelRun(words.at(1))),
            "cancel" => self.command(Command::CancelTask(words.at(1))),
            "retry" => {
                let task = words.plain.get(2).map(|_| words.at(2));
                self.command(Command::Retry { run: words.at(1), task });
            }
            "apply" => {
                let tasks = words.plain[2..].iter().filter(|word| **word != "asks");
                let tasks = tasks.map(|word| word.parse().expect("a task")).collect();
                self.command(Command::Apply { run: words.at(1), tasks, asks: words.has("asks") });
            }
            "undo" => self.command(Command::Undo(words.at(1))),
            "found" => {
                let report = match words.plain.get(2) {
                    Some(list) => Report::AgentsFound { run: words.at(1), agents: found_agents(list) },
                    None => Report::AgentsFound { run: words.at(1), agents: Vec::new() },
                };
                self.report(report);
            }
            "said" => {
                let said = match line.split_once(" | ") {
                    Some((_, what)) => wants(words.at(3), words.at(4), what),
                    None => said(&words),
                };
                let report = Report::AgentSaid { attempt: words.at(1), said };
                self.report(report);
            }
            "claim" => {
                let task = words.plain.get(1).map(|_| words.at(1));
                self.command(Command::ClaimTask { task, holder: "session:s".into() });
            }
            "agent" => {
                let text = words.rest(3);
                let word = match words.plain[2] {
                    "done" => AgentWord::Done(text),
                    "failed" => AgentWord::Failed(text),
                    "progress" => AgentWord::Progress(Some(50.0)),
                    "present" => AgentWord::Present,
                    _ => AgentWord::Note(text),
                };
                self.command(Command::AgentReport { attempt: words.at(1), word });
            }
            "trust" => {
                let hash: String = words.at(1);
                self.command(Command::Trust { hash: Some(hash).filter(|hash| hash != "-") });
            }
            "save" => {
                let run = words.plain.get(1).map(|_| words.at(1));
                let position = self.core.journal.len() as u64;
                self.command(Command::SaveCheckpoint { run, label: String::new(), position });
            }
            "restore" => self.command(Command::RestoreCheckpoint(words.at(1))),
            "ended" => {
                let result = self.result(&words);
                self.report(Report::JobEnded { job: words.at(1), result });
            }
            _ => {
                let report = self.git(&words);
                self.report(report);
            }
        }
    }

    /// Reports other than a job's end.
    fn git(&self, words: &Words) -> Report {
        let failed = words.has("failed").then(|| words.rest(3));
        let attempt = || words.at::<AttemptId>(1);
        let run = || words.at::<RunId>(1);
        match words.plain[0] {
            "surveyed" => self.surveyed(run(), words),
            "survey-failed" => Report::SurveyFailed { run: run(), why: words.rest(2) },
            "prepared" => match failed {
                Some(why) => Report::LaneFailed { attempt: attempt(), why },
                None => Report::LanePrepared { attempt: attempt() },
            },
            "keyless" => Report::KeysMissing { attempt: attempt(), names: vec!["API_KEY".into()] },
            "keys-given" => Report::KeysGiven,
            "no-room" => {
                let waiter = match words.plain.get(2) {
                    Some(&"shared") => Waiter::Shared(run()),
                    Some(&"base") => Waiter::Base(run()),
                    Some(&"final") => Waiter::Final(run()),
                    _ => Waiter::Attempt(attempt()),
                };
                Report::NoRoom { waiter, why: "0 GiB are free".into() }
            }
            "shared" => Report::SharedPrepared { run: run(), failed },
            "base" => Report::BasePrepared { run: run(), failed },
            "inspected" => {
                let changed = words.plain[2..].iter().map(|path| (*path).to_owned()).collect();
                Report::SharedInspected { run: run(), changed: failed.map_or(Ok(changed), Err) }
            }
            "final" => Report::FinalPrepared { run: run(), failed },
            "started" => Report::JobStarted { job: words.at(1), at: self.now },
            "harvested" => self.harvested(attempt(), words),
            "merged" => {
                let how = if words.has("other") { "other" } else { words.plain.get(2).copied().unwrap_or("") };
                self.merged(attempt(), how)
            }
            "conflict" => Report::MergeConflict { attempt: attempt(), paths: vec!["f".into()] },
            "advanced" => Report::Advanced { attempt: attempt() },
            "refused" => Report::AdvanceRefused { attempt: attempt(), why: "the ref is at x".into() },
            "broken" => Report::StepFailed { attempt: attempt(), why: words.rest(2) },
            "published" => {
                let branch = Some(format!("orchestrator/{}", run())).filter(|_| failed.is_none());
                Report::Published { run: run(), branch, failed }
            }
            "applied" => Report::Applied { run: run(), apply: self.applied(words.at(2)) },
            "apply-refused" => Report::ApplyRefused { run: run(), why: "conflict".into(), paths: vec!["f".into()] },
            "undone" => Report::Undone { run: run(), number: words.at(2), paths: vec!["f".into()] },
            "undo-refused" => Report::UndoRefused { run: run(), why: "edited since".into(), paths: vec!["f".into()] },
            other => panic!("{other:?} is no word of the language"),
        }
    }

    fn surveyed(&self, run: RunId, words: &Words) -> Report {
        let mut facts = Facts { vcs: "git".into(), manifests_hash: "h".into(), ..Facts::default() };
        if let Some(test) = words.key("test").or(self.test.as_deref()) {
            facts.programs.insert(test.to_owned(), true);
            facts.commands.push(FoundCommand {
                role: Role::Test,
                argv: vec![test.to_owned()],
                origin: "Makefile".into(),
                ecosystem: "make".into(),
                missing: None,
            });
        }
        let tree = words.key("tree").unwrap_or("t0").to_owned();
        let base = Base { commit: "base".into(), tree, clean: true, skipped: Vec::new() };
        Report::Surveyed { run, facts: Arc::new(facts), base, notes: Vec::new() }
    }

    fn result(&self, words: &Words) -> JobResult {
        let word: String = words.at(2);
        let end = match word.split_once(':') {
            Some(("exit", code)) => End::Exit(code.parse().expect("a status")),
            Some(("signal", signal)) => End::Signal(signal.parse().expect("a signal")),
            _ => match word.as_str() {
                "timeout" => End::Timeout,
                "silent" => End::Silent,
                "cancelled" => End::Cancelled,
                "lost" => End::Lost,
                "garbled" => End::Garbled("no answer".into()),
                "not_started" => End::NotStarted("no such program".into()),
                other => panic!("{other:?} is no end"),
            },
        };
        let tail = words.key("says").unwrap_or("").replace('_', " ").replace("\\n", "\n");
        let agent = words.plain.get(3).map(|word| {
            let limited_until = (*word == "quota").then(|| self.now.plus_ms(3_600_000));
            let usage = Usage { tokens: 1000, usd: Some(0.25) };
            let trouble = Some((*word).to_owned()).filter(|word| word != "done");
            Box::new(AgentEnd { done: *word == "done", said: tail.clone(), trouble, limited_until, usage })
        });
        JobResult {
            end,
            started_at: self.now,
            ended_at: self.now,
            tail,
            failures: words.list("names"),
            output_bytes: 0,
            tests_ran: words.key("ran").map(|ran| ran.parse().expect("a number")),
            agent,
        }
    }

    fn harvested(&self, attempt: AttemptId, words: &Words) -> Report {
        let (same, touches) = (words.has("same"), words.list("touches"));
        let more = self.core.state.live(attempt).and_then(|(_, live)| live.more.clone());
        let from = more.and_then(|more| more.from).unwrap_or_default();
        let name = format!("{}.{}", attempt.task.0, attempt.generation);
        let (commit, tree) = if same { (from, "t".into()) } else { (format!("c{name}"), format!("tree {name}")) };
        let diff = DiffStat { files: u32::from(!same), ..DiffStat::default() };
        let paths = touches.into_iter().map(|path| Touched { path, new: false }).collect();
        let remark = |what: &str| {
            let (path, what) = ("f".to_owned(), what.to_owned());
            move |_: &str| Remark { path: path.clone(), line: Some(2), there: true, what: what.clone() }
        };
        let broken =
            |name: String| Broken { path: "f".into(), line: 2, before: format!("fn {name}()"), name, after: None };
        let noticed = Noticed {
            security: words.key("secret").into_iter().map(remark("Looks like a key")).collect(),
            broken: words.list("breaks").into_iter().map(broken).collect(),
            unread: words.key("unread").into_iter().map(remark("nobody can tell")).collect(),
        };
        let noticed = (noticed != Noticed::default()).then(|| Box::new(noticed));
        Report::Harvested { attempt, commit, tree, diff, paths, noticed }
    }

    fn merged(&self, attempt: AttemptId, how: &str) -> Report {
        let task = self.core.state.task(attempt.task);
        let run = task.and_then(|task| self.core.state.run(task.run));
        let onto = run.and_then(|run| run.tip_commit()).unwrap_or_default().to_owned();
        let name = format!("{}.{}", attempt.task.0, attempt.generation);
        let tree = match how {
            "other" => format!("merged tree {name}"),
            "empty" => run.and_then(|run| run.tip_tree()).unwrap_or_default().to_owned(),
            _ => format!("tree {name}"),
        };
        Report::Merged { attempt, commit: format!("m{name}"), tree, onto }
    }

    /// Agents are looked for at once, unless a line says `found` itself.
    fn look_for_agents(&mut self) {
        while let Some(at) = self.waiting.iter().position(|effect| matches!(effect, Effect::FindAgents { .. })) {
            if self.slow {
                return;
            }
            if let Effect::FindAgents { run } = self.waiting.remove(at) {
                let report = self.found(run);
                self.report(report);
            }
        }
    }

    fn found(&self, run: RunId) -> Report {
        let ids: Vec<&str> = self.core.settings.agents.iter().map(|agent| agent.id.as_str()).collect();
        Report::AgentsFound { run, agents: found_agents(&ids.join(",")) }
    }

    fn applied(&self, number: u32) -> Apply {
        Apply {
            number,
            result: "r".into(),
            tasks: Vec::new(),
            before: "b".into(),
            merged: "m".into(),
            paths: vec!["f".into()],
            at: self.now,
            in_editor: false,
            unsaved: Vec::new(),
            undone_at: None,
        }
    }

    /// Answers what waits with success until nothing but the held is left.
    fn auto(&mut self, hold: &[String]) {
        let mut held = Vec::new();
        while !self.waiting.is_empty() {
            let effect = self.waiting.remove(0);
            let name = match &effect {
                Effect::Start(order) => order.id.to_string(),
                Effect::PrepareLane { attempt, .. } => format!("prepare:{attempt}"),
                Effect::Harvest { attempt, .. } => format!("harvest:{attempt}"),
                Effect::Merge { attempt, .. } => format!("merge:{attempt}"),
                Effect::Advance { attempt, .. } => format!("advance:{attempt}"),
                Effect::PrepareShared { run, .. } => format!("shared:{run}"),
                Effect::InspectShared { run, .. } => format!("inspect:{run}"),
                Effect::PrepareBase { run, .. } => format!("base:{run}"),
                Effect::PrepareFinal { run, .. } => format!("final:{run}"),
                Effect::Publish { run, .. } => format!("publish:{run}"),
                _ => String::new(),
            };
            if hold.contains(&name) {
                held.push(effect);
                continue;
            }
            if let Some(report) = self.success(&effect) {
                self.report(report);
            }
        }
        self.waiting = held;
    }

    fn success(&self, effect: &Effect) -> Option<Report> {
        let exit = |end: End| JobResult {
            end,
            started_at: self.now,
            ended_at: self.now,
            tail: String::new(),
            failures: Vec::new(),
            output_bytes: 0,
            tests_ran: None,
            agent: None,
        };
        Some(match effect {
            Effect::Survey { run } => self.surveyed(*run, &Words::of("surveyed")),
            Effect::PrepareLane { attempt, .. } => Report::LanePrepared { attempt: *attempt },
            Effect::PrepareShared { run, .. } => Report::SharedPrepared { run: *run, failed: None },
            Effect::InspectShared { run, .. } => Report::SharedInspected { run: *run, changed: Ok(Vec::new()) },
            Effect::PrepareBase { run, .. } => Report::BasePrepared { run: *run, failed: None },
            Effect::PrepareFinal { run, .. } => Report::FinalPrepared { run: *run, failed: None },
            Effect::Start(order) => {
                let agent = order.agent.as_ref().map(|_| Box::new(AgentEnd { done: true, ..AgentEnd::default() }));
                Report::JobEnded { job: order.id, result: JobResult { agent, ..exit(End::Exit(0)) } }
            }
            Effect::Stop { job: JobId::Attempt(attempt) } if self.core.state.live(*attempt).is_none() => return None,
            Effect::Stop { job } => Report::JobEnded { job: *job, result: exit(End::Cancelled) },
            Effect::Harvest { attempt, .. } => {
                let task = self.core.state.task(attempt.task);
                let same = task.is_some_and(|task| task.spec.effect == spec::Effect::None);
                self.harvested(*attempt, &Words::of(if same { "same" } else { "" }))
            }
            Effect::Merge { attempt, .. } => self.merged(*attempt, ""),
            Effect::Advance { attempt, .. } => Report::Advanced { attempt: *attempt },
            Effect::Publish { run, commit } => {
                let branch = commit.as_ref().map(|_| format!("orchestrator/{run}"));
                Report::Published { run: *run, branch, failed: None }
            }
            Effect::Apply { run, number, .. } => Report::Applied { run: *run, apply: self.applied(*number) },
            Effect::Undo { run, apply, .. } => {
                Report::Undone { run: *run, number: apply.number, paths: apply.paths.clone() }
            }
            Effect::FindAgents { run } => self.found(*run),
            Effect::Limit { .. }
            | Effect::SetRef { .. }
            | Effect::Sweep
            | Effect::Answer { .. }
            | Effect::Notify { .. } => return None,
        })
    }

    fn set(&mut self, words: &Words) {
        let settings = &mut self.core.settings;
        let number = |key: &str| words.key(key).map(|text| text.parse::<u32>().expect("a number"));
        settings.workers = number("workers").unwrap_or(settings.workers);
        settings.lanes_max = number("lanes").unwrap_or(settings.lanes_max);
        settings.tasks_max = number("tasks").unwrap_or(settings.tasks_max);
        settings.jitter = words.key("jitter").map_or(settings.jitter, |text| text.parse().expect("a share"));
        self.test = words.key("test").map(str::to_owned).or(self.test.take());
        self.slow |= words.has("slow");
        settings.run_spawns = number("spawns").unwrap_or(settings.run_spawns);
        settings.day_usd = words.key("day").map_or(settings.day_usd, |text| text.parse().expect("dollars"));
        if words.key("agents").is_some() {
            settings.agents = words.list("agents").iter().map(|id| profile(id)).collect();
        }
        let after = |key: &str| number(key).map(|seconds| u64::from(seconds) * 1000);
        settings.remind_ms = after("remind").or(settings.remind_ms);
        settings.notify_ms = after("notify").or(settings.notify_ms);
        if settings.notify_ms.is_some() {
            settings.notify = vec!["ring".to_owned()];
        }
        if words.key("playbooks").is_some() {
            settings.playbooks = playbook::builtin();
        }
    }

    fn request(&self, words: &Words) -> Request {
        Request {
            description: words.key("text").unwrap_or("do it").replace('_', " "),
            checkout: PathBuf::from("/w"),
            priority: priority(words.key("prio")).unwrap_or_default(),
            mode: if words.key("mode") == Some("plan") { Mode::Plan } else { Mode::Start },
            interaction: match words.key("ask") {
                Some("minimal") => Interaction::Minimal,
                Some("collaborative") => Interaction::Collaborative,
                _ => Interaction::Checkpoint,
            },
            approve_plan: match words.key("approve") {
                Some("always") => ApprovePlan::Always,
                Some("never") => ApprovePlan::Never,
                _ => ApprovePlan::Auto,
            },
            apply: match words.key("apply") {
                Some("ask") => ApplyWish::Ask,
                Some("never") => ApplyWish::Never,
                _ => ApplyWish::Auto,
            },
            deadline: words.key("due").map(|text| self.now.plus_ms(text.parse::<u64>().expect("seconds") * 1000)),
            jobs: words.key("jobs").map(|text| text.parse().expect("a number")),
            key: words.key("key").map(str::to_owned),
            planner: words.key("planner").map(str::to_owned),
            trust: words.has("trust"),
            environment: words.key("env").map(str::to_owned),
            context: match words.has("compatible") {
                true => serde_json::from_value(serde_json::json!({"constraints": {"maintain_compatibility": true}}))
                    .expect("an object"),
                false => serde_json::Map::new(),
            },
            ..Request::default()
        }
    }

    fn submit(&mut self, line: &str) {
        let (head, tasks) = line.split_once('|').unwrap_or((line, ""));
        let words = Words::of(head);
        let mut request = self.request(&words);
        if !tasks.trim().is_empty() {
            request.plan = Some(Box::new(plan(tasks)));
        }
        let known = self.core.state.last.run;
        self.command(Command::Submit(Box::new(request)));
        let run = RunId(self.core.state.last.run);
        if run.0 > known && !words.has("later") {
            self.waiting.retain(|effect| *effect != Effect::Survey { run });
            let report = self.surveyed(run, &words);
            self.report(report);
        }
    }

    fn task(&mut self, line: &str) {
        let (head, text) = line.split_once('|').expect("a task");
        let words = Words::of(head);
        let spec = Box::new(plan(text).tasks.remove(0));
        let dependencies = words.list("deps").iter().map(|id| id.parse::<TaskId>().expect("a task")).collect();
        let run = words.key("run").map(|id| id.parse().expect("a run"));
        let request = Box::new(Request { description: String::new(), ..self.request(&words) });
        self.command(Command::SubmitTask { spec, dependencies, run, request });
    }
}

fn priority(word: Option<&str>) -> Option<Priority> {
    word.map(|word| match word {
        "low" => Priority::Low,
        "high" => Priority::High,
        "urgent" => Priority::Urgent,
        _ => Priority::Normal,
    })
}

/// An agent of that name, at most two tasks at once.
pub fn profile(id: &str) -> AgentProfile {
    AgentProfile {
        id: id.to_owned(),
        driver: DriverKind::Claude,
        command: vec![id.to_owned()],
        capabilities: Vec::new(),
        specialization: None,
        max_load: 2,
        model: None,
        account: id.to_owned(),
        env: Vec::new(),
        sandbox: "standard".to_owned(),
        planner: true,
        price: None,
        mode: None,
        vars: Vec::new(),
        folders: Vec::new(),
        can: Vec::new(),
    }
}

fn found_agents(list: &str) -> Vec<FoundAgent> {
    let ids = list.split(',').filter(|id| !id.is_empty());
    ids.map(|id| FoundAgent { id: id.to_owned(), program: format!("/bin/{id}"), version: None }).collect()
}

fn said(words: &Words) -> AgentSaid {
    match words.plain[2] {
        "session" => AgentSaid::Session(words.at(3)),
        "usage" => AgentSaid::Usage(Usage { tokens: words.at(3), usd: None }),
        "withdrawn" => AgentSaid::Withdrawn(words.at(3)),
        _ => {
            let verdict = match words.plain[5] {
                "allow" => Verdict::Allow,
                "deny" => Verdict::Deny,
                "escalate" => Verdict::Escalate,
                _ => Verdict::None,
            };
            let tool: String = words.at(4);
            AgentSaid::Asked {
                request: words.at(3),
                input: serde_json::json!({"command": tool}),
                judgement: Box::new(judgement(verdict, &tool)),
                tool,
            }
        }
    }
}

/// What an agent in a lane without a sandbox wants, as the gate itself judges it.
fn wants(request: String, tool: String, what: &str) -> AgentSaid {
    let input = match tool.as_str() {
        "Bash" => serde_json::json!({"command": what}),
        "WebFetch" => serde_json::json!({"url": what}),
        _ => serde_json::json!({"file_path": what}),
    };
    let (cwd, root, home) = ("/lane".to_owned(), "/lane".to_owned(), Some("/home/u".to_owned()));
    let place = Place { cwd, root, lane: true, sandboxed: false, home };
    let policy = Policy::builtin().expect("the program's own rules");
    let (kind_of_work, kind, effect) = ("fix".to_owned(), "agent".to_owned(), "workspace".to_owned());
    let task = TaskKnown { kind_of_work, kind, effect, ..TaskKnown::default() };
    let known = Known { task: Some(task), ..Known::default() };
    let judgement = gate::judge(&policy, &Ask { tool: &tool, input: &input }, &place, &known, &NoLinks);
    AgentSaid::Asked { request, tool, input, judgement: Box::new(judgement) }
}

/// What a gate might say of an ask that can be taken back.
pub fn judgement(verdict: Verdict, key: &str) -> Judgement {
    Judgement {
        verdict,
        why: "rule".to_owned(),
        rules_hit: Vec::new(),
        missing: Vec::new(),
        effects: Vec::new(),
        understood: true,
        reversible: Reversible::Yes,
        criticality: 0.1,
        reasons: vec!["a reason".to_owned()],
        policy_version: "1".to_owned(),
        key: key.to_owned(),
    }
}

fn argvs(names: &[String]) -> Vec<Argv> {
    names.iter().map(|name| vec![name.clone()]).collect()
}

/// A plan in its short form; see the top of this file.
pub fn plan(text: &str) -> Plan {
    let mut plan = Plan { title: "a plan".into(), ..Plan::default() };
    let mut parts: Vec<&str> = text.split(';').map(str::trim).collect();
    let head = Words::of(parts[0]);
    let heads =
        ["stop", "final", "max", "minutes", "spawns", "order", "usd", "tokens", "lead", "votes", "owned", "levels"];
    if heads.contains(&parts[0].split(['=', ' ']).next().unwrap_or("")) {
        plan.on_failure = if head.has("stop") { OnFailure::Stop } else { OnFailure::Continue };
        plan.verify = argvs(&head.list("final"));
        plan.max_parallel = head.key("max").map(|text| text.parse().expect("a number"));
        plan.budget.minutes = head.key("minutes").map(|text| text.parse().expect("minutes"));
        plan.budget.spawns = head.key("spawns").map(|text| text.parse().expect("a number"));
        plan.budget.usd = head.key("usd").map(|text| text.parse().expect("dollars"));
        plan.budget.tokens = head.key("tokens").map(|text| text.parse().expect("a number"));
        if head.has("order") {
            plan.strategy = spec::Strategy::Sequential;
        }
        if head.has("levels") {
            plan.strategy = spec::Strategy::Hierarchical;
        }
        plan.coordination = match () {
            () if head.has("lead") => spec::Coordination::LeaderFollower,
            () if head.has("votes") => spec::Coordination::Consensus,
            () if head.has("owned") => spec::Coordination::Hierarchical,
            () => spec::Coordination::PeerToPeer,
        };
        parts.remove(0);
    }
    let names: Vec<&str> = parts.iter().map(|part| part.split_whitespace().next().expect("a name")).collect();
    for part in &parts {
        let words = Words::of(part);
        let name = words.plain[0];
        let work = match () {
            () if words.has("ask") => Work::Question {
                question: format!("{name}?"),
                options: vec!["Yes".into(), "No".into()],
                criticality: 0.1,
            },
            () if words.has("flow") => Work::Playbook { name: name.to_owned(), params: Default::default() },
            () if words.has("agent") => Work::Prompt(name.to_owned()),
            () => Work::Command(vec![name.to_owned()]),
        };
        let mut spec = TaskSpec::new(name, work);
        spec.effect = match () {
            () if words.has("read") => spec::Effect::None,
            () if words.has("ext") => spec::Effect::External,
            () => spec::Effect::Workspace,
        };
        let position = |need: &String| names.iter().position(|name| name == need).map(|at| at as u32);
        spec.needs = words.list("needs").iter().map(|need| position(need).expect("a task of the plan")).collect();
        spec.verify = words.key("verify").map(|_| Arc::new(argvs(&words.list("verify"))));
        if words.key("verify") == Some("-") {
            spec.verify = Some(Arc::new(Vec::new()));
        }
        if let Some(word) = words.key("type") {
            spec.kind_word = word.into();
        }
        let extras = spec.extras_mut();
        extras.writes = words.key("writes").map(|_| words.list("writes"));
        extras.resources = words.list("res");
        extras.priority = priority(words.key("prio"));
        extras.estimate_s = words.key("est").map(|text| text.parse().expect("seconds"));
        extras.environment = words.key("env").map(str::to_owned);
        extras.parent = words.key("in").map(|name| position(&name.to_owned()).expect("a task of the plan"));
        let usd = words.key("most").map(|text| text.parse().expect("dollars"));
        extras.budget = usd.map(|usd| Box::new(spec::Budget { usd: Some(usd), ..spec::Budget::default() }));
        extras.timeout_s = words.key("timeout").map(|text| text.parse().expect("seconds"));
        extras.milestone = words.key("milestone").map(str::to_owned);
        extras.idempotent = words.has("idem");
        extras.derived = words.has("derived");
        extras.retry =
            words.key("retry").map(|text| Retry { max: text.parse().expect("a number"), ..Retry::default() });
        if words.has("comp") || words.has("probe") {
            let probe = words.has("probe").then(|| vec!["probe".into(), name.to_owned()]);
            extras.compensate = Some(Compensate { command: vec!["undo".into(), name.to_owned()], probe });
        }
        plan.tasks.push(spec);
    }
    plan
}
