//! Decisions on the wire (S3): how urgent, how critical, what they block, and what earlier answers say.
//!
//! Nothing is claimed that is not known: the verdict is the gate's where an agent's ask was judged and `none` elsewhere;
//! where no history is calibrated, the confidence says `n = 0`.

use std::{collections::BTreeMap, os::unix::ffi::OsStrExt, path::Path};

use sha2::{Digest, Sha256};

use super::{View, run::run_counts, shape::Shape, words};
use crate::{
    api::{
        ApiError, Decision, DecisionResult, PendingDecisions,
        decision::{
            Anchor, Answer, AnswererKind, Ask, Confidence, DecisionContext, DecisionKind, DecisionOption,
            DecisionStatus, EffectClass, EffectNote, Evidence, OnExpiry, Remembers, Reversible, Suggestion,
            SuggestionSource, Verdict,
        },
        error::Decided,
        wire::Time,
    },
    core::{
        decide::{
            decision::{self as core, DecisionState},
            effects, gate,
            ladder::Rung,
            learned,
        },
        graph::Timing,
        plan::spec::{Effect, Priority, TaskSpec},
        run::Run,
        task::{Task, TaskState},
    },
    ids::{AttemptId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// Above this criticality only a person may answer.
const PERSON_ONLY_ABOVE: f64 = 0.5;

/// A decision in full.
pub fn decision(view: &View<'_>, known: &core::Decision) -> Decision {
    show(view, known, &mut Shared::of(view))
}

fn show<'a>(view: &View<'a>, known: &core::Decision, shared: &mut Shared<'a>) -> Decision {
    let run = view.state.run(known.run);
    let task = known.task.and_then(|task| view.state.task(task));
    let standing = run.map_or_else(Standing::default, |run| Standing::of(view, run, known, task, shared));
    let criticality = criticality(view, known);
    let attempt = known.task.zip(known.generation).map(|(task, generation)| AttemptId { task, generation });
    let judged = known.ask.as_ref().map(|ask| &ask.judgement);
    Decision {
        decision_id: known.id,
        kind: kind(known.kind),
        task_type: task.map_or(known.kind.word(), |task| task.spec.type_word()).to_owned(),
        question: known.question.clone(),
        detail: known.detail.clone(),
        options: options(view, known),
        context: DecisionContext {
            request_id: known.run,
            task_id: known.task,
            attempt,
            anchor: run.and_then(|run| anchor(run, known)),
            ask: known.ask.as_ref().map(|ask| Ask { tool: ask.tool.clone(), input: ask.input.clone() }),
            effects: effects(view, known),
        },
        urgency: standing.urgency,
        criticality,
        verdict: judged.map_or(Verdict::None, |judged| verdict(judged.verdict)),
        confidence: confidence(view, known, criticality),
        why_asked: known.why.clone().unwrap_or_else(|| why_asked(known.kind, criticality).to_owned()),
        suggestions: suggestions(view, known, &shared.answered),
        rules_hit: judged.map_or_else(|| known.rules_hit.clone(), |judged| judged.rules_hit.clone()),
        policy_version: judged.map_or_else(|| "none".to_owned(), |judged| judged.policy_version.clone()),
        key: key(view, known),
        blocks: standing.blocks,
        created_at: Time(known.created_at),
        remind_at: known.remind_at.filter(|_| known.open()).map(Time),
        expires_at: known.expires_at.map(Time),
        on_expiry: known.on_expiry.map(|then| match then {
            core::OnExpiry::Park => OnExpiry::Park,
            core::OnExpiry::Cancel => OnExpiry::Cancel,
        }),
        answerable_by: match person_only(view, known) {
            true => vec![AnswererKind::Person],
            false => vec![AnswererKind::Person, AnswererKind::Session],
        },
        remembers: remembers(view, known),
        status: status(known),
        answer: known.answer().map(answer),
    }
}

/// Where in the files it is about; else where its run began, where that was in an editor: a selection, or the diagnostic
/// it is to mend.
fn anchor(run: &Run, known: &core::Decision) -> Option<Anchor> {
    if let Some(place) = &known.anchor {
        let uri = file_uri(&run.request.checkout.join(&place.path));
        let at = serde_json::json!({"line": place.line.saturating_sub(1), "character": 0});
        return Some(Anchor { uri, range: serde_json::json!({"start": at, "end": at}) });
    }
    let selection = run.request.context.get("selection")?;
    let uri = selection.get("uri")?.as_str()?.to_owned();
    Some(Anchor { uri, range: selection.get("range")?.clone() })
}

/// What an open question's answer may be made to hold for.
fn remembers(view: &View<'_>, known: &core::Decision) -> Option<Remembers> {
    let case = known.case.as_ref().filter(|_| known.open())?;
    let holds = |option: &&core::Choice| learned::may_hold(view.settings, case, option.id == "allow");
    let options = known.options.iter().filter(holds).map(|option| option.id.clone()).collect();
    Some(Remembers { sort: case.sort.clone(), options })
}

/// A file as editors name it.
fn file_uri(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match plain(*byte) {
            true => uri.push(char::from(*byte)),
            false => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// Where a decision stands.
pub fn status(known: &core::Decision) -> DecisionStatus {
    match &known.state {
        DecisionState::Open => DecisionStatus::Open,
        DecisionState::Answered(answer) => match words::answerer(&answer.by).kind {
            AnswererKind::Person | AnswererKind::Session => DecisionStatus::Answered,
            AnswererKind::Rule | AnswererKind::Learned | AnswererKind::Probation => DecisionStatus::Auto,
        },
        DecisionState::Withdrawn(_) => DecisionStatus::Withdrawn,
        DecisionState::Expired(_) => DecisionStatus::Expired,
    }
}

/// What the decisions of one reply have in common, computed once: a run may have thousands of them open.
struct Shared<'a> {
    /// Per run: its graph, the times of what is left, and how much that is.
    runs: BTreeMap<RunId, (Shape<'a>, Timing, u64)>,
    /// Decisions that persons answered.
    answered: Vec<&'a core::Decision>,
}

impl<'a> Shared<'a> {
    fn of(view: &View<'a>) -> Shared<'a> {
        let person = |decision: &&core::Decision| {
            decision.answer().is_some_and(|answer| words::answerer(&answer.by).kind == AnswererKind::Person)
        };
        Shared { runs: BTreeMap::new(), answered: view.state.decisions.values().filter(person).collect() }
    }

    fn run(&mut self, view: &View<'a>, run: &'a Run) -> &(Shape<'a>, Timing, u64) {
        self.runs.entry(run.id).or_insert_with(|| {
            let shape = Shape::of(view, run);
            let (timing, left_ms) = (shape.timing_left(), shape.work_left_ms());
            (shape, timing, left_ms)
        })
    }
}

/// Up to this criticality a session may answer; a user may lower it, never raise it.
fn may_answer_below(view: &View<'_>) -> f64 {
    view.settings.model_may_answer_below.min(PERSON_ONLY_ABOVE)
}

/// Whether only a person may answer. Roles go by this, so that what is shown is what holds.
pub fn person_only(view: &View<'_>, known: &core::Decision) -> bool {
    // A session that would bring a result in is not the one to say that it may.
    known.kind == core::DecisionKind::Apply || criticality(view, known) > may_answer_below(view)
}

/// How bad a wrong answer can be, 0..1: the strictest effect (S3), and never less than its asker said.
pub fn criticality(view: &View<'_>, known: &core::Decision) -> f64 {
    let task = known.task.and_then(|task| view.state.task(task));
    let environment = task.and_then(|task| task.spec.extras().environment.as_deref());
    let environment =
        environment.or_else(|| view.state.run(known.run).and_then(|run| run.request.environment.as_deref()));
    let of_effects = effects(view, known).iter().map(|effect| of_effect(effect, environment)).fold(0.0, f64::max);
    of_effects.max(known.criticality)
}

fn of_effect(effect: &EffectNote, environment: Option<&str>) -> f64 {
    let own = match (effect.class, effect.reversible) {
        (EffectClass::Read, _) => return 0.0,
        (EffectClass::Lane, _) => return 0.1,
        (EffectClass::Workspace, Reversible::Yes | Reversible::Compensable) => 0.3,
        (EffectClass::External, Reversible::Yes | Reversible::Compensable) => 0.7,
        (EffectClass::External, Reversible::No) => 0.9,
        (EffectClass::Workspace, Reversible::No) | (EffectClass::Secret | EffectClass::Privilege, _) => 1.0,
    };
    if environment == Some("production") { f64::max(own, 0.9) } else { own }
}

/// The open decisions, most urgent first, then what blocks most, then the oldest.
pub fn pending_decisions(view: &View<'_>) -> PendingDecisions {
    let open = view.state.index.open.iter().filter_map(|id| view.state.decisions.get(id));
    let mut shared = Shared::of(view);
    let mut decisions: Vec<Decision> = open.map(|known| show(view, known, &mut shared).pending()).collect();
    decisions.sort_by(|a, b| {
        let urgent = b.urgency.total_cmp(&a.urgency);
        urgent
            .then(b.blocks.len().cmp(&a.blocks.len()))
            .then(a.created_at.cmp(&b.created_at))
            .then(a.decision_id.cmp(&b.decision_id))
    });
    let summary = match decisions.as_slice() {
        [] => "nothing waits for you".to_owned(),
        [only] => format!("{} is open: {}", only.decision_id, only.question),
        [first, ..] => {
            format!("{} decisions are open, most urgent {}: {}", decisions.len(), first.decision_id, first.question)
        }
    };
    PendingDecisions { summary, revision: view.revision, decisions }
}

/// What became of an answer that the core took.
///
/// # Errors
/// NOT_FOUND.
pub fn decision_result(view: &View<'_>, id: DecisionId, again: bool) -> Result<DecisionResult, ApiError> {
    let known = view.decision(id)?;
    let shown = decision(view, known);
    let run = view.run(known.run)?;
    let unblocked = if run.ended() || run.cancelled { Vec::new() } else { behind(view, run, known.task) };
    let choice = shown.answer.as_ref().map(|answer| answer.choice.clone());
    let title = choice.as_deref().and_then(|choice| shown.option(choice)).map(|option| option.title.clone());
    let chosen = title.or_else(|| choice.clone()).unwrap_or_default();
    let follows = match (again, unblocked.len()) {
        (true, _) => "it was answered so before, nothing has changed".to_owned(),
        (false, 0) if run.cancelled => format!("{} is cancelled", run.id),
        (false, 0) => "nothing else waits for it".to_owned(),
        (false, 1) => format!("{} goes on", unblocked[0]),
        (false, count) => format!("{count} tasks go on"),
    };
    Ok(DecisionResult {
        summary: format!("{id} answered: {chosen}; {follows}"),
        revision: view.revision,
        decision_id: id,
        accepted: true,
        status: shown.status,
        choice,
        answered_by: shown.answer.map(|answer| answer.by),
        unblocked,
    })
}

/// The refusal of a late answer, with the name of whoever was first; `None` where nobody was.
pub fn already_decided(view: &View<'_>, id: DecisionId) -> Option<ApiError> {
    let answer = view.state.decisions.get(&id)?.answer()?;
    let decided = Decided { choice: answer.choice.clone(), by: words::answerer(&answer.by), at: Time(answer.at) };
    Some(ApiError::already_decided(decided))
}

/// The kind on the wire.
pub fn kind(kind: core::DecisionKind) -> DecisionKind {
    match kind {
        core::DecisionKind::Clarify => DecisionKind::Clarify,
        core::DecisionKind::Trust => DecisionKind::Trust,
        core::DecisionKind::PlanApproval => DecisionKind::PlanApproval,
        core::DecisionKind::Permission => DecisionKind::Permission,
        core::DecisionKind::AgentQuestion => DecisionKind::AgentQuestion,
        core::DecisionKind::NoAgent => DecisionKind::NoAgent,
        core::DecisionKind::Conflict => DecisionKind::Conflict,
        core::DecisionKind::RetryExhausted => DecisionKind::RetryExhausted,
        core::DecisionKind::StuckUndo => DecisionKind::StuckUndo,
        core::DecisionKind::Budget => DecisionKind::Budget,
        core::DecisionKind::UndeclaredWrite => DecisionKind::UndeclaredWrite,
        core::DecisionKind::Review => DecisionKind::Review,
        core::DecisionKind::Deploy => DecisionKind::Deploy,
        core::DecisionKind::BreakingChange => DecisionKind::BreakingChange,
        core::DecisionKind::Security => DecisionKind::Security,
        core::DecisionKind::Deadline => DecisionKind::Deadline,
        core::DecisionKind::Apply => DecisionKind::Apply,
        core::DecisionKind::NeedsEnv => DecisionKind::NeedsEnv,
    }
}

/// The possible answers. One that lets happen what is asked about can be taken back as far as that can, so an option and
/// the effects beside it never say different things.
fn options(view: &View<'_>, known: &core::Decision) -> Vec<DecisionOption> {
    let understood = known.ask.as_ref().is_none_or(|ask| ask.judgement.understood);
    let effects = effects(view, known);
    let back = understood && !effects.is_empty() && effects.iter().all(|effect| effect.reversible != Reversible::No);
    let option = |choice: &core::Choice| DecisionOption {
        id: choice.id.clone(),
        title: choice.title.clone(),
        effect: choice.effect.clone(),
        reversible: choice.reversible || back,
        takes_text: choice.takes_text,
    };
    known.options.iter().map(option).collect()
}

fn answer(answer: &core::Answer) -> Answer {
    Answer {
        choice: answer.choice.clone(),
        text: answer.text.clone(),
        by: words::answerer(&answer.by),
        at: Time(answer.at),
    }
}

/// Why it came to be asked rather than decided.
fn why_asked(kind: core::DecisionKind, criticality: f64) -> &'static str {
    match kind {
        // It was lost again and again, and there is nothing outside that a second time would do twice.
        core::DecisionKind::RetryExhausted if criticality <= PERSON_ONLY_ABOVE => "confidence",
        core::DecisionKind::Clarify | core::DecisionKind::Conflict => "confidence",
        core::DecisionKind::Trust
        | core::DecisionKind::Permission
        | core::DecisionKind::Deploy
        | core::DecisionKind::RetryExhausted
        | core::DecisionKind::StuckUndo => "criticality",
        core::DecisionKind::PlanApproval | core::DecisionKind::AgentQuestion | core::DecisionKind::Apply => "mode",
        core::DecisionKind::Budget
        | core::DecisionKind::UndeclaredWrite
        | core::DecisionKind::BreakingChange
        | core::DecisionKind::Security
        | core::DecisionKind::Deadline => "rule",
        core::DecisionKind::Review => "missing:check",
        core::DecisionKind::NoAgent => "missing:agent",
        core::DecisionKind::NeedsEnv => "missing:keys",
    }
}

/// What the gate said.
fn verdict(verdict: gate::Verdict) -> Verdict {
    match verdict {
        gate::Verdict::None => Verdict::None,
        gate::Verdict::Allow => Verdict::Allow,
        gate::Verdict::Escalate => Verdict::Escalate,
        gate::Verdict::Deny => Verdict::Deny,
    }
}

/// An effect, as the gate read it off what an agent asked.
fn touched(effect: &effects::Effect) -> EffectNote {
    let class = match effect.class {
        effects::Touched::Read => EffectClass::Read,
        effects::Touched::Lane => EffectClass::Lane,
        effects::Touched::Workspace => EffectClass::Workspace,
        effects::Touched::External => EffectClass::External,
        effects::Touched::Secret => EffectClass::Secret,
        effects::Touched::Privilege => EffectClass::Privilege,
    };
    let reversible = match effect.reversible {
        effects::Reversible::Yes => Reversible::Yes,
        effects::Reversible::Compensable => Reversible::Compensable,
        effects::Reversible::No => Reversible::No,
    };
    EffectNote { what: effect.what.clone(), class, reversible }
}

/// What would happen, as far as it is known what is asked about.
fn effects(view: &View<'_>, known: &core::Decision) -> Vec<EffectNote> {
    let task = known.task.and_then(|task| view.state.task(task));
    let note = |what: String, class, reversible| vec![EffectNote { what, class, reversible }];
    if let Some(ask) = &known.ask {
        return ask.judgement.effects.iter().map(touched).collect();
    }
    match known.kind {
        core::DecisionKind::Clarify => Vec::new(),
        core::DecisionKind::Apply => {
            note("files of the checkout are written".to_owned(), EffectClass::Workspace, Reversible::Yes)
        }
        core::DecisionKind::Budget
        | core::DecisionKind::UndeclaredWrite
        | core::DecisionKind::Deadline
        | core::DecisionKind::NeedsEnv => {
            note("tasks run, each in a lane".to_owned(), EffectClass::Lane, Reversible::Yes)
        }
        core::DecisionKind::Trust => note(
            "commands from the repository's own files run with your rights".to_owned(),
            EffectClass::Privilege,
            Reversible::No,
        ),
        core::DecisionKind::PlanApproval => {
            let tasks = view.state.run(known.run).map_or(0, |run| run.tasks.len());
            let what = format!("{} run, each in a lane of its own", words::plural(tasks, "task"));
            note(what, EffectClass::Lane, Reversible::Yes)
        }
        // Whoever sees the result sees it, and cannot be made to forget.
        core::DecisionKind::Security => note("it joins the result".to_owned(), EffectClass::Secret, Reversible::No),
        core::DecisionKind::BreakingChange => {
            note("it joins the result".to_owned(), EffectClass::Lane, Reversible::Yes)
        }
        core::DecisionKind::Permission
        | core::DecisionKind::Deploy
        | core::DecisionKind::RetryExhausted
        | core::DecisionKind::StuckUndo
        | core::DecisionKind::AgentQuestion
        | core::DecisionKind::NoAgent
        | core::DecisionKind::Review
        | core::DecisionKind::Conflict => task.map_or_else(Vec::new, |task| vec![of_task(&task.spec)]),
    }
}

fn of_task(spec: &TaskSpec) -> EffectNote {
    let (class, reversible) = match spec.effect {
        Effect::None => (EffectClass::Read, Reversible::Yes),
        Effect::Workspace => (EffectClass::Lane, Reversible::Yes),
        Effect::External if spec.extras().compensate.is_some() => (EffectClass::External, Reversible::Compensable),
        Effect::External => (EffectClass::External, Reversible::No),
    };
    EffectNote { what: words::work_line(spec), class, reversible }
}

/// How sure we are, with the specification's five factors as the explanation. Where answers teach something, the value is
/// the ladder's probability that the user agrees; elsewhere nothing stands behind it, and `n` says so.
fn confidence(view: &View<'_>, known: &core::Decision, criticality: f64) -> Confidence {
    let estimate = known.case.as_ref().map(|case| view.state.index.ladder.estimate(case));
    let share_of = |rung: &Rung| if rung.n > 0.0 { rung.yes.max(rung.n - rung.yes) / rung.n } else { 0.0 };
    let rungs = estimate.as_ref().map_or(&[][..], |estimate| &estimate.rungs);
    let ruled = known.case.as_ref().is_some_and(|case| view.state.learned.rules.iter().any(|r| r.sort == case.sort));
    // Of what a case can be told apart by, how much is known of this one.
    let told = rungs.iter().filter(|rung| rung.value != "-").count();
    let context = if rungs.is_empty() { 0.0 } else { told as f64 / rungs.len() as f64 };
    let named = [
        ("historical", rungs.last().map_or(0.0, share_of), 0.3),
        ("rules", if ruled { 1.0 } else { 0.0 }, 0.25),
        ("context", context, 0.2),
        ("risk", 1.0 - criticality, 0.15),
        ("preferences", rungs.first().map_or(0.0, share_of), 0.1),
    ];
    let weighted: f64 = named.iter().map(|(_, factor, weight)| factor * weight).sum();
    let learned = estimate.as_ref().filter(|estimate| estimate.n > 0);
    Confidence {
        value: words::share(learned.map_or(weighted, |estimate| estimate.confidence)),
        calibrated: learned.is_some_and(|estimate| estimate.calibrated),
        n: learned.map_or(0, |estimate| estimate.n.into()),
        factors: named.iter().map(|(name, factor, _)| ((*name).to_owned(), words::share(*factor))).collect(),
        weights: named.iter().map(|(name, _, weight)| ((*name).to_owned(), *weight)).collect(),
    }
}

/// What persons answered to the same question before, best first. Never preselected.
fn suggestions(view: &View<'_>, known: &core::Decision, answered_before: &[&core::Decision]) -> Vec<Suggestion> {
    if !known.open() {
        return Vec::new();
    }
    let own = key(view, known);
    let mut answered: BTreeMap<&str, (u64, Time)> = BTreeMap::new();
    let mut n = 0;
    for other in answered_before.iter().filter(|other| other.kind == known.kind && other.id != known.id) {
        let Some(answer) = other.answer() else { continue };
        if !known.options.iter().any(|option| option.id == answer.choice) || key(view, other) != own {
            continue;
        }
        n += 1;
        let (agree, last) = answered.entry(&answer.choice).or_insert((0, Time(answer.at)));
        *agree += 1;
        *last = (*last).max(Time(answer.at));
    }
    let mut found: Vec<Suggestion> = answered
        .into_iter()
        .map(|(choice, (agree, last))| Suggestion {
            choice: choice.to_owned(),
            source: SuggestionSource::History,
            reason: format!("chosen {agree} of {n} times when the same was asked"),
            evidence: Evidence { agree, n, last: Some(last) },
            // Laplace's rule: two answers are not yet a certainty.
            score: (agree + 1) as f64 / (n + 2) as f64,
        })
        .collect();
    found.extend(by_habit(view, known));
    found.extend(by_practice(known));
    found.extend(by_context(view, known));
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    // The same advice twice is one; the better founded stays.
    let mut seen: Vec<String> = Vec::new();
    found.retain(|suggestion| {
        let new = !seen.contains(&suggestion.choice);
        seen.push(suggestion.choice.clone());
        new && known.options.iter().any(|option| option.id == suggestion.choice)
    });
    found.truncate(3);
    found
}

/// What persons said to actions of this sort.
fn by_habit(view: &View<'_>, known: &core::Decision) -> Option<Suggestion> {
    let case = known.case.as_ref()?;
    let alike = || view.state.learned.labels.iter().filter(|label| label.case.sort == case.sort);
    let (n, yes) = (alike().count() as u64, alike().filter(|label| label.yes).count() as u64);
    if n == 0 {
        return None;
    }
    let estimate = view.state.index.ladder.estimate(case);
    let (choice, agree) = if estimate.yes { ("allow", yes) } else { ("deny", n - yes) };
    let last = alike().next_back().map(|label| Time(Timestamp((label.case.at_days * 86_400_000.0) as u64)));
    Some(Suggestion {
        choice: choice.to_owned(),
        source: SuggestionSource::History,
        reason: format!("you said so {agree} of {n} times to `{}`", case.sort),
        evidence: Evidence { agree, n, last },
        score: words::share(estimate.confidence),
    })
}

/// What is commonly right, whoever asks.
fn by_practice(known: &core::Decision) -> Option<Suggestion> {
    let (choice, reason, score) = match known.kind {
        core::DecisionKind::Conflict => ("again", "done again on what has landed, most changes fit", 0.55),
        core::DecisionKind::RetryExhausted => ("stop", "what may have run is looked at before it runs twice", 0.5),
        core::DecisionKind::Permission | core::DecisionKind::Deploy if known.criticality > 0.8 => {
            ("deny", "what acts on production and has no tried way back can wait until somebody is there", 0.4)
        }
        _ => return None,
    };
    Some(advice(choice, SuggestionSource::BestPractice, reason.to_owned(), score))
}

/// What this run's facts imply.
fn by_context(view: &View<'_>, known: &core::Decision) -> Option<Suggestion> {
    let task = view.state.task(known.task?)?;
    match (known.kind, &task.spec.extras().compensate) {
        (core::DecisionKind::Permission | core::DecisionKind::Deploy, Some(way_back)) => {
            let reason = format!("its plan can take it back with `{}`", words::shell_line(&way_back.command));
            Some(advice("allow", SuggestionSource::Context, reason, 0.45))
        }
        (core::DecisionKind::NoAgent, _) => {
            let reason = "the other tasks go on without it".to_owned();
            Some(advice("skip", SuggestionSource::Context, reason, 0.3))
        }
        _ => None,
    }
}

fn advice(choice: &str, source: SuggestionSource, reason: String, score: f64) -> Suggestion {
    Suggestion { choice: choice.to_owned(), source, reason, evidence: Evidence::default(), score }
}

/// Hash of kind, task and what is asked, without what differs from run to run: ids and blanks.
fn key(view: &View<'_>, known: &core::Decision) -> String {
    // An agent's ask is replayed by this one.
    if let Some(ask) = &known.ask {
        return ask.judgement.key.clone();
    }
    let task = known.task.and_then(|task| view.state.task(task));
    let about = match (task, view.state.run(known.run)) {
        (Some(task), _) => format!("{}\n{}", task.spec.type_word(), words::work_line(&task.spec)),
        (None, Some(run)) if known.kind == core::DecisionKind::Trust => {
            run.facts.as_ref().map_or(String::new(), |facts| facts.manifests_hash.clone())
        }
        (None, Some(run)) => run.request.description.clone(),
        (None, None) => String::new(),
    };
    let asked: Vec<String> = known
        .question
        .split_whitespace()
        .map(|word| match word.trim_end_matches([':', ',', '.', '?']) {
            id if id.parse::<TaskId>().is_ok() || id.parse::<RunId>().is_ok() => "…".to_owned(),
            _ => word.to_lowercase(),
        })
        .collect();
    let mut hash = Sha256::new();
    for part in [known.kind.word(), &about, &asked.join(" ")] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What waits for a decision, and how much that matters.
#[derive(Default)]
struct Standing {
    urgency: f64,
    blocks: Vec<TaskId>,
}

impl Standing {
    /// S3: half the share of the run's remaining work that it blocks, 0.3 on the critical path, 0.2 by priority.
    fn of<'a>(
        view: &View<'a>,
        run: &'a Run,
        known: &core::Decision,
        task: Option<&Task>,
        shared: &mut Shared<'a>,
    ) -> Standing {
        if !known.open() {
            return Standing::default();
        }
        let blocks = match task {
            Some(task) => shared.run(view, run).0.unsettled_from(task.position),
            // Others of its run go on.
            None if known.kind == core::DecisionKind::NeedsEnv => {
                let asking = |task: &&Task| task.state == TaskState::Asking(known.id);
                let waiting = run.tasks.iter().filter_map(|task| view.state.task(*task)).filter(asking);
                let waiting: Vec<u32> = waiting.map(|task| task.position).collect();
                let mut blocks: Vec<TaskId> =
                    waiting.into_iter().flat_map(|task| shared.run(view, run).0.unsettled_from(task)).collect();
                blocks.sort_unstable();
                blocks.dedup();
                blocks
            }
            None => behind(view, run, None),
        };
        let priority = task.and_then(|task| task.spec.extras().priority).unwrap_or(run.request.priority);
        let priority = match priority {
            Priority::Low => 0.0,
            Priority::Normal => 0.3,
            Priority::High => 0.7,
            Priority::Urgent => 1.0,
        };
        let (share, critical) = match task {
            // What stands before the whole run blocks all of it.
            None => (1.0, true),
            Some(task) => {
                let (shape, timing, left) = shared.run(view, run);
                let ours =
                    |id: &TaskId| view.state.task(*id).map_or(0, |task| shape.estimates_ms[task.position as usize]);
                let blocked: u64 = blocks.iter().map(ours).sum();
                let share = if *left == 0 { 0.0 } else { blocked as f64 / *left as f64 };
                (share, timing.is_critical(task.position))
            }
        };
        let urgency = 0.5 * share + if critical { 0.3 } else { 0.0 } + 0.2 * priority;
        Standing { urgency: words::share(urgency), blocks }
    }
}

/// The tasks that a decision stands before: its own with all dependants, or all of the run's; none that are over.
fn behind<'a>(view: &View<'a>, run: &'a Run, task: Option<TaskId>) -> Vec<TaskId> {
    match task.and_then(|task| view.state.task(task)) {
        Some(task) => Shape::of(view, run).unsettled_from(task.position),
        None => view.tasks(run).filter(|task| task.settled().is_none()).map(|task| task.id).collect(),
    }
}

/// One line on what a run waits for, for summaries: empty where nothing is open.
pub(super) fn open_words(view: &View<'_>, run: &Run) -> String {
    match run_counts(view, run).open {
        0 => String::new(),
        open => format!(", {} open", words::plural(open, "decision")),
    }
}
