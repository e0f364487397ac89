//! What a workspace's persons taught it, as stored facts: their answers as labels, what was done without asking and how
//! that turned out, and the rules they asked to be remembered. Scores are never stored; the [`Ladder`] is made from these.
//!
//! [`rule`] is the one place where an action that the gate leaves open is decided without a person: by a rule they
//! remembered, by what was learned, or on probation. Critical actions never get that far, on any path.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    decision::{Decision, DecisionKind},
    effects::{Reversible, is_production},
    gate::{CRITICAL, Judgement, Verdict},
    ladder::{Case, Course, How, Label, Ladder, Trait},
    tools,
};
use crate::{
    core::{
        Ctx,
        event::Event,
        job::End,
        plan::spec::{TaskSpec, Work},
        run::Run,
        settings::Settings,
        state::State,
        task::{Phase, Settled, Task},
    },
    ids::{AttemptId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// Up to this criticality what can be taken back goes ahead on probation: done, verified, kept or undone.
const PROBATION_MAX: f64 = 0.3;

/// An undo within this time says "no" to what was done without asking.
const SECOND_THOUGHTS_MS: u64 = 10 * 60 * 1000;

/// Automatic decisions that are kept for the scorecard: bounds the state, and is many weeks of work.
const ACTS_MAX: usize = 5_000;

/// No run has this number, so what holds for one run only holds for none there.
const NOWHERE: RunId = RunId(0);

/// Everything that was taught.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// Where audits are drawn from.
    pub seed: Option<u64>,
    /// How many cases could have gone without asking, audits included.
    pub could: u64,
    /// How many things were asked and answered by a person.
    pub asked: u64,
    /// What persons said.
    pub labels: Vec<Label>,
    /// What was decided without them, the oldest first.
    pub acts: VecDeque<Act>,
    /// Automatic decisions so far.
    pub acted: u64,
    /// What sessions outside any run were told.
    pub outside: Outside,
    /// What they asked to be remembered.
    pub rules: Vec<Remembered>,
    /// How many rules were remembered so far.
    pub remembered: u64,
}

/// What sessions outside any run were told by what was remembered and learned here. Nobody hears how it turned out, so
/// it is counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outside {
    /// They may.
    pub allowed: u64,
    /// They may not.
    pub denied: u64,
    /// Their user was asked.
    pub asked: u64,
}

/// Who stands for an automatic decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// The gate: it stays in the lane.
    Gate,
    /// A rule that a person remembered.
    Rule,
    /// What was learned.
    Learned,
    /// It is tried, verified, and kept or undone.
    Probation,
}

impl Ground {
    /// The word on the wire: a kind of answerer.
    pub fn word(self) -> &'static str {
        match self {
            Ground::Gate => "gate",
            Ground::Rule => "rule",
            Ground::Learned => "learned",
            Ground::Probation => "probation",
        }
    }
}

/// One automatic decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// Its number among all of the workspace.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// In which run.
    pub run: RunId,
    /// For which task.
    pub task: TaskId,
    /// Its attempt.
    pub generation: u32,
    /// About what.
    pub case: Case,
    /// What it would do, in a few words.
    pub what: String,
    /// Whether it was allowed.
    pub yes: bool,
    /// On what ground.
    pub ground: Ground,
    /// The rule, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether it turned out right; `None` while nobody and nothing looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<bool>,
    /// Whether nobody will ever know: its attempt was lost, timed out or cancelled before anything judged it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}

/// How far a remembered answer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// This run.
    Run(RunId),
    /// Every run of the workspace.
    Always,
}

/// "Always" or "never" for a kind of action: visible, and revocable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// `always-1`, `never-2`.
    pub id: String,
    /// How far it reaches.
    pub reach: Reach,
    /// The sort of action.
    pub sort: String,
    /// Whether it is about production.
    pub production: bool,
    /// An "always" covers nothing worse than what it was said about.
    pub criticality: f64,
    /// The same for what cannot be taken back.
    pub reversible: bool,
    /// Always, or never.
    pub yes: bool,
    /// From which decision.
    pub decision: DecisionId,
    /// When.
    pub at: Timestamp,
}

impl Remembered {
    fn covers(&self, run: RunId, case: &Case) -> bool {
        let reaches = match self.reach {
            Reach::Run(own) => own == run,
            Reach::Always => true,
        };
        let same = self.sort == case.sort && self.production == case.production;
        // A "no" holds for what is worse, too, a "yes" for what is no worse.
        let no_worse = case.criticality <= self.criticality && (case.reversible || !self.reversible);
        let no_better = case.criticality >= self.criticality;
        reaches && same && if self.yes { no_worse } else { no_better }
    }
}

/// What should become of an action that somebody wants to take.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// Decided without a person: yes or no, on this ground.
    Decided {
        /// Whether it may.
        yes: bool,
        /// On what ground.
        ground: Ground,
        /// The rule, where it was one.
        rule: Option<String>,
    },
    /// A person is asked, because (S3's `why_asked`).
    Ask(String),
}

/// Rules on a case that the gate did not forbid. `may_try` says whether it could be verified and taken back if wrong.
pub fn rule(state: &State, settings: &Settings, run: RunId, case: &Case, verdict: Verdict, may_try: bool) -> Ruling {
    let ask = |why: &str| Ruling::Ask(why.to_owned());
    if critical(settings, case) {
        return ask("criticality");
    }
    // A "no" that a person remembered is stricter than anything that could follow; the newest word counts.
    let rules = state.learned.rules.iter().rev().filter(|rule| rule.covers(run, case));
    if let Some(found) = rules.max_by_key(|rule| !rule.yes) {
        let harmless = case.reversible && !case.production;
        if !found.yes || harmless {
            return Ruling::Decided { yes: found.yes, ground: Ground::Rule, rule: Some(found.id.clone()) };
        }
    }
    if matches!(verdict, Verdict::Escalate | Verdict::Deny) {
        return ask("rule");
    }
    let (estimate, course) = state.index.ladder.judge(case, state.learned.seed.unwrap_or(0), state.learned.could);
    match course {
        Course::Auto => Ruling::Decided { yes: estimate.yes, ground: Ground::Learned, rule: None },
        Course::Audit => ask("audit"),
        Course::Critical => ask("criticality"),
        Course::Unproven => ask("criticality"),
        Course::Unsure if settings.decisions.probation && may_try && tryable(state, case) => {
            Ruling::Decided { yes: true, ground: Ground::Probation, rule: None }
        }
        Course::Unsure => ask("confidence"),
    }
}

/// What is remembered and learned of a tool's use outside any run: decided, with a sentence on why, or left to a person.
pub fn rule_outside(state: &State, settings: &Settings, case: &Case, verdict: Verdict) -> (Ruling, String) {
    let ruling = match refused(state, settings, NOWHERE, case) {
        Some(never) => Ruling::Decided { yes: false, ground: Ground::Rule, rule: Some(never.id.clone()) },
        None => rule(state, settings, NOWHERE, case, verdict, false),
    };
    let why = match &ruling {
        Ruling::Decided { yes, rule: Some(id), .. } => {
            format!("you said {} for `{}` ({id})", if *yes { "always" } else { "never" }, case.sort)
        }
        Ruling::Decided { yes, .. } => {
            let alike = || state.learned.labels.iter().filter(|label| label.case.sort == case.sort);
            let same = alike().filter(|label| label.yes == *yes).count();
            let word = if *yes { "allowed" } else { "refused" };
            format!("you {word} `{}` {same} of {} times", case.sort, alike().count())
        }
        Ruling::Ask(why) => format!("nothing that was remembered or learned decides it ({why})"),
    };
    (ruling, why)
}

/// The "never" that a person remembered for this kind of action, if there is one. What is critical is asked all the same.
pub fn refused<'a>(state: &'a State, settings: &Settings, run: RunId, case: &Case) -> Option<&'a Remembered> {
    let mut rules = state.learned.rules.iter().rev().filter(|rule| !rule.yes && rule.covers(run, case));
    rules.next().filter(|_| !critical(settings, case))
}

/// Whether only a person may say. A configuration may lower the bound, never raise it.
fn critical(settings: &Settings, case: &Case) -> bool {
    case.criticality > settings.decisions.critical.min(CRITICAL)
}

/// On probation goes what can be taken back, unless the last word on the like of it was "no". A "no" to what is worse
/// (`git push`) is none to this (`git commit`): a try costs an attempt, no more.
fn tryable(state: &State, case: &Case) -> bool {
    let like = |label: &&Label| {
        let other = &label.case;
        let same = |name: &str| other.traits.get(name) == case.traits.get(name);
        other.sort == case.sort && same("subcommand") && other.criticality <= case.criticality
    };
    let refused = || state.learned.labels.iter().rev().find(like).is_some_and(|label| !label.yes);
    case.reversible && !case.production && case.criticality <= PROBATION_MAX && !refused()
}

/// The event that records an automatic decision.
pub fn act(
    state: &State,
    ctx: &Ctx,
    task: &Task,
    case: Case,
    what: &str,
    ruling: (bool, Ground, Option<String>),
) -> Event {
    let (yes, ground, rule) = ruling;
    Event::Acted {
        act: Box::new(Act {
            number: state.learned.acted + 1,
            at: ctx.now,
            run: task.run,
            task: task.id,
            // What stands before a start is about the attempt that follows.
            generation: task.attempts.len() as u32 + u32::from(task.current().is_none()),
            case,
            what: what.chars().take(200).collect(),
            yes,
            ground,
            rule,
            right: None,
            unknown: false,
        }),
    }
}

/// The event that records one for a session outside any run: nobody will know how it turns out.
pub fn act_outside(state: &State, ctx: &Ctx, case: Case, what: &str, ruling: (bool, Ground, Option<String>)) -> Event {
    let (yes, ground, rule) = ruling;
    Event::Acted {
        act: Box::new(Act {
            number: state.learned.acted + 1,
            at: ctx.now,
            run: NOWHERE,
            task: TaskId(0),
            generation: 0,
            case,
            what: what.chars().take(200).collect(),
            yes,
            ground,
            rule,
            right: None,
            unknown: true,
        }),
    }
}

/// Whether an answer may hold for all that is like a case: a "no" always, a "yes" only for what is harmless.
pub fn may_hold(settings: &Settings, case: &Case, yes: bool) -> bool {
    !yes || (!critical(settings, case) && !case.production && case.reversible)
}

/// The case of a task whose own command acts outside.
pub fn case_of_task(run: &Run, task: &Task, criticality: f64, now: Timestamp) -> Case {
    let environment = task.spec.extras().environment.as_deref().or(run.request.environment.as_deref());
    let mut traits = BTreeMap::new();
    traits.insert("type".to_owned(), Trait::Word(task.spec.type_word().to_owned()));
    if let Some(environment) = environment {
        traits.insert("environment".to_owned(), Trait::Word(environment.to_owned()));
    }
    Case {
        sort: format!("run {}", program(&task.spec)),
        at_days: days(now),
        // What a declared inverse makes up for is not what a lane takes back.
        reversible: false,
        production: environment.is_some_and(is_production),
        criticality,
        traits,
    }
}

/// The case of something that an agent wants to do with a tool.
pub fn case_of_ask(
    run: &Run,
    task: &Task,
    tool: &str,
    input: &serde_json::Value,
    gate: &Judgement,
    now: Timestamp,
) -> Case {
    let environment = task.spec.extras().environment.as_deref().or(run.request.environment.as_deref());
    case_of_tool(task.spec.type_word(), environment, (tool, input), gate, now)
}

/// The case of a tool's use, for work of this type.
pub fn case_of_tool(
    of_type: &str,
    environment: Option<&str>,
    (tool, input): (&str, &serde_json::Value),
    gate: &Judgement,
    now: Timestamp,
) -> Case {
    let command = input.get("command").and_then(serde_json::Value::as_str);
    let tool = tools::common_name(tool);
    let sort = match command.and_then(|line| line.split_whitespace().next()) {
        Some(program) => format!("{tool} {program}"),
        None => tool.to_owned(),
    };
    let mut traits = BTreeMap::new();
    let mut word = |name: &str, value: &str| drop(traits.insert(name.to_owned(), Trait::Word(value.to_owned())));
    word("type", of_type);
    if let Some(environment) = environment {
        word("environment", environment);
    }
    // The second word of a command is what many programs do by.
    if let Some(second) = command.and_then(|line| line.split_whitespace().nth(1)) {
        word("subcommand", second);
    }
    if let Some(worst) = gate.effects.iter().max_by(|a, b| a.criticality().total_cmp(&b.criticality())) {
        word("effect", worst.action.word());
        if let Some(target) = &worst.target {
            word("target", target);
        }
    }
    Case {
        sort,
        at_days: days(now),
        reversible: gate.reversible == Reversible::Yes,
        production: environment.is_some_and(is_production),
        criticality: gate.criticality,
        traits,
    }
}

fn program(spec: &TaskSpec) -> &str {
    let word = |text| str::split_whitespace(text).next().unwrap_or("-");
    match &spec.work {
        Work::Command(argv) => argv.first().map_or("-", String::as_str),
        Work::Run(line) => word(line),
        Work::Prompt(_) | Work::Playbook { .. } | Work::Question { .. } => "-",
    }
}

/// In thousandths of a day: so few digits are read back from the journal exactly as they were.
fn days(at: Timestamp) -> f64 {
    (at.0 / 86_400) as f64 / 1000.0
}

/// What a person's answer teaches, once.
pub fn taught(state: &State, ctx: &mut Ctx, decision: &Decision) -> Vec<Event> {
    let (Some(case), Some(answer)) = (&decision.case, decision.answer()) else { return Vec::new() };
    if decision.taught
        || answer.by.kind != "person"
        || !matches!(decision.kind, DecisionKind::Permission | DecisionKind::Deploy)
    {
        return Vec::new();
    }
    let how = if decision.why.as_deref() == Some("audit") { How::Audit } else { How::Asked };
    let label = Label { case: (**case).clone(), yes: answer.choice == "allow", how };
    let mut events = begun(state, ctx);
    events.push(Event::Taught { decision: Some(decision.id), label: Box::new(label) });
    events
}

/// The seed of the audits, drawn when the first label comes.
fn begun(state: &State, ctx: &mut Ctx) -> Vec<Event> {
    match state.learned.seed {
        Some(_) => Vec::new(),
        None => vec![Event::LearningBegun { seed: ctx.rng.next() }],
    }
}

/// How automatic decisions turned out whose attempt is over: proven and landed, or undone. The undone ones say "no",
/// together with twice the weight of an answer.
pub fn due(state: &State, ctx: &mut Ctx) -> Vec<Event> {
    let waiting = state.index.unproven.iter().filter_map(|number| state.learned.act(*number));
    for act in waiting {
        let attempt = AttemptId { task: act.task, generation: act.generation.max(1) };
        let Some(end) = turned_out(state, attempt) else { continue };
        let of_attempt =
            |other: &&Act| other.task == act.task && other.generation == act.generation && other.unproven();
        let acts: Vec<&Act> = state.learned.acts.iter().filter(of_attempt).collect();
        return match end {
            TurnedOut::Right => outcome(state, ctx, &acts, true),
            TurnedOut::Wrong => outcome(state, ctx, &acts, false),
            TurnedOut::Unknown => acts.iter().map(|act| Event::ActUnknown { number: act.number }).collect(),
        };
    }
    Vec::new()
}

/// How an attempt's automatic decisions turned out.
enum TurnedOut {
    /// What it made was proven, and is part of the result.
    Right,
    /// It was judged, and undone.
    Wrong,
    /// It was lost, timed out, broke off or was cancelled: nothing judged it.
    Unknown,
}

fn turned_out(state: &State, attempt: AttemptId) -> Option<TurnedOut> {
    let Some(task) = state.task(attempt.task) else { return Some(TurnedOut::Unknown) };
    let tried = task.attempt(attempt.generation)?;
    if tried.phase != Phase::Over {
        return None;
    }
    let failed =
        tried.more.as_ref().is_some_and(|more| more.failure.as_ref().is_some_and(|f| f.class == "wrong_output"));
    let newest = attempt.generation as usize == task.attempts.len();
    let landed = state.run(task.run).is_some_and(|run| run.landed.iter().any(|(landed, _)| *landed == attempt));
    Some(match task.settled() {
        _ if failed => TurnedOut::Wrong,
        _ if landed => TurnedOut::Right,
        Some(Settled::Undone) if newest => TurnedOut::Wrong,
        Some(Settled::Completed) if newest && tried.end.as_ref().is_some_and(End::success) => TurnedOut::Right,
        _ => TurnedOut::Unknown,
    })
}

/// What is said of these automatic decisions: each is resolved; a "no" is a label, too.
fn outcome(state: &State, ctx: &mut Ctx, acts: &[&Act], right: bool) -> Vec<Event> {
    let mut events = if right { Vec::new() } else { begun(state, ctx) };
    let mut blamed: Vec<&str> = Vec::new();
    for act in acts {
        events.push(Event::ActProven { number: act.number, right });
        // Of many edits of one attempt, one "no" is heard: nobody knows which of them was the wrong one.
        let heard = act.ground == Ground::Gate && blamed.contains(&act.case.sort.as_str());
        if !right && !heard {
            blamed.push(&act.case.sort);
            let label = Label { case: act.case.clone(), yes: !act.yes, how: How::Undone };
            events.push(Event::Taught { decision: None, label: Box::new(label) });
        }
    }
    events
}

/// A result was taken out of the checkout again: soon after, that is a "no" to what was done for it without asking.
pub fn undone(state: &State, ctx: &mut Ctx, run: &Run, number: u32) -> Vec<Event> {
    let Some(apply) = run.applies.iter().find(|apply| apply.number == number) else { return Vec::new() };
    if ctx.now.0.saturating_sub(apply.at.0) > SECOND_THOUGHTS_MS {
        return Vec::new();
    }
    let regretted = |act: &&Act| act.run == run.id && act.yes && act.right != Some(false);
    let acts: Vec<&Act> = state.learned.acts.iter().filter(regretted).collect();
    if acts.is_empty() { Vec::new() } else { outcome(state, ctx, &acts, false) }
}

impl Act {
    /// Whether it was for a session outside any run.
    pub fn outside(&self) -> bool {
        self.run == NOWHERE
    }

    /// Whether it has yet to show. What was not done proves nothing, however its attempt ends.
    pub fn unproven(&self) -> bool {
        self.yes && self.right.is_none() && !self.unknown
    }
}

impl Learned {
    /// The automatic decision of this number, while it is kept.
    pub fn act(&self, number: u64) -> Option<&Act> {
        let first = self.acts.front()?.number;
        self.acts.get(number.checked_sub(first)? as usize)
    }

    /// Notes an automatic decision.
    pub fn note(&mut self, act: &Act) {
        if self.acts.len() == ACTS_MAX {
            self.acts.pop_front();
        }
        self.acted = self.acted.max(act.number);
        if act.outside() {
            self.outside.allowed += u64::from(act.yes);
            self.outside.denied += u64::from(!act.yes);
        }
        self.could += u64::from(act.ground == Ground::Learned);
        self.acts.push_back(act.clone());
    }

    /// Notes how one turned out.
    pub fn prove(&mut self, number: u64, right: bool) {
        let first = self.acts.front().map_or(0, |act| act.number);
        if let Some(act) = number.checked_sub(first).and_then(|index| self.acts.get_mut(index as usize)) {
            act.right = Some(right);
        }
    }

    /// Notes that nobody will know how one turned out.
    pub fn lose(&mut self, number: u64) {
        let first = self.acts.front().map_or(0, |act| act.number);
        if let Some(act) = number.checked_sub(first).and_then(|index| self.acts.get_mut(index as usize)) {
            act.unknown = true;
        }
    }

    /// Notes what a person said.
    pub fn teach(&mut self, label: &Label) {
        self.asked += u64::from(matches!(label.how, How::Asked | How::Audit));
        // An audit was one of those that could have gone without asking.
        self.could += u64::from(label.how == How::Audit);
        self.labels.push(label.clone());
    }

    /// Brings a ladder up to these labels.
    pub fn catch_up(&self, ladder: &mut Ladder, settings: &Settings) {
        let tuning = settings.decisions.tuning();
        if ladder.tuning() != tuning || ladder.labels() > self.labels.len() as u64 {
            *ladder = Ladder::new(tuning);
        }
        self.labels.iter().skip(ladder.labels() as usize).for_each(|label| ladder.learn(label));
    }
}
