//! From a finished process to a landed change: what each report about an attempt leads to.
//!
//! A change is proven in its lane, waits for its turn, is merged in memory with what landed meanwhile, proven again
//! if the merge is another tree than the one that was proven, and only then moves the run's ref.

use super::{
    agent::{AgentPart, Touched},
    analyze::IntentWord,
    coordinate::strategies,
    decide::{self, change, decision::DecisionKind},
    effect::checks,
    event::Event,
    job::End,
    plan::planner,
    plan::spec::{Effect as Touches, Part},
    prove::{CheckResult, Verdict, honest, judge},
    recover::failure,
    run::Run,
    state::State,
    task::{Attempt, Phase, Settled, Task, TaskState},
};
use crate::{
    ids::{AttemptId, DecisionId},
    time::Timestamp,
};

/// What the reported attempts lead to.
pub fn due(state: &mut State, now: Timestamp) -> Vec<Event> {
    while let Some(id) = state.index.due.pop_front() {
        let Some((task, attempt)) = state.live(id) else { continue };
        let Some(run) = state.run(task.run) else { continue };
        let events = advance(state, run, task, id, attempt, now);
        if !events.is_empty() {
            return events;
        }
    }
    state.index.dirty.iter().filter_map(|run| state.run(*run)).flat_map(|run| next_turn(state, run)).collect()
}

/// Landing is one at a time per run: first what a leader refused is taken out, then the first proven attempt whose turn
/// it is lands.
fn next_turn(state: &State, run: &Run) -> Vec<Event> {
    let Some(index) = state.index.runs.get(&run.id) else { return Vec::new() };
    let busy = index.trying_own.iter().filter_map(|task| state.task(*task)?.current()).any(|(_, attempt)| {
        matches!(
            attempt.phase,
            Phase::Merging | Phase::Restaging | Phase::Rechecking(_) | Phase::AwaitingBaseMerged(_) | Phase::Advancing
        )
    });
    if busy || run.cancelled {
        return Vec::new();
    }
    let refused = strategies::refused(state, run);
    match (refused.is_empty(), index.landing.front()) {
        (false, _) => refused,
        (true, Some(first)) => vec![Event::AttemptMoved { attempt: *first, to: Phase::Merging }],
        (true, None) => Vec::new(),
    }
}

fn advance(state: &State, run: &Run, task: &Task, id: AttemptId, attempt: &Attempt, now: Timestamp) -> Vec<Event> {
    match attempt.phase {
        Phase::Running => match &attempt.end {
            Some(end) => after_running(state, run, task, id, attempt, end),
            None => Vec::new(),
        },
        Phase::Harvesting => after_harvest(state, run, task, id, attempt, now),
        Phase::Checking(index) | Phase::AwaitingBase(index) => {
            after_check(state, run, task, id, attempt, (index, false), now)
        }
        Phase::Rechecking(index) | Phase::AwaitingBaseMerged(index) => {
            after_check(state, run, task, id, attempt, (index, true), now)
        }
        Phase::Merging => after_merge(run, task, id, attempt),
        Phase::Preparing | Phase::Reviewing | Phase::Queued | Phase::Restaging | Phase::Advancing => Vec::new(),
        // The two steps of an undo outside report through `track::record`, which knows their results.
        Phase::Probing | Phase::Compensating | Phase::Over => Vec::new(),
    }
}

fn after_running(state: &State, run: &Run, task: &Task, id: AttemptId, attempt: &Attempt, end: &End) -> Vec<Event> {
    if end.success() {
        return if attempt.lane.is_some() {
            vec![Event::AttemptMoved { attempt: id, to: Phase::Harvesting }]
        } else if checks(run, task).is_empty() {
            vec![settled(task, Settled::Completed, "")]
        } else {
            vec![Event::AttemptMoved { attempt: id, to: Phase::Checking(0) }]
        };
    }
    let may_have_run = !matches!(end, End::NotStarted(_));
    if may_have_run && let Some(to) = taking_back(task) {
        return vec![Event::AttemptMoved { attempt: id, to }];
    }
    if *end == End::Cancelled {
        return vec![match run.stopping && !run.cancelled && !task.cancelled {
            true => settled(task, Settled::Blocked, super::track::STOPS),
            false => settled(task, Settled::Cancelled, "cancelled"),
        }];
    }
    let tail = attempt.more.as_ref().map_or("", |more| more.tail.as_str());
    if let Some(part) = attempt.agent().filter(|_| attempt.lane.is_some() && attempt.more.as_ref().is_some()) {
        // What an agent did before it had to stop is kept for the attempt that follows.
        if may_have_run && attempt.more.as_ref().is_some_and(|more| more.commit.is_none()) && *end != End::Lost {
            return vec![Event::AttemptMoved { attempt: id, to: Phase::Harvesting }];
        }
        return agent_stopped(state, task, id, part, end, tail);
    }
    vec![Event::AttemptOver { attempt: id, failure: Some(failure::of_end(end, tail)) }]
}

/// How the effect outside of a task that ran is taken back, where its plan says how. The intent is on disk before
/// anything is done, and the effect is probed first where that is possible.
pub(super) fn taking_back(task: &Task) -> Option<Phase> {
    let compensate = task.spec.extras().compensate.as_ref().filter(|_| task.spec.effect == Touches::External)?;
    Some(if compensate.probe.is_some() { Phase::Probing } else { Phase::Compensating })
}

/// An agent that did not end well: its account is empty, its limit reached, or it broke off.
fn agent_stopped(state: &State, task: &Task, id: AttemptId, part: &AgentPart, end: &End, tail: &str) -> Vec<Event> {
    let said = part.end.clone().unwrap_or_default();
    let mut events = Vec::new();
    if let Some(until) = said.limited_until {
        // The account is parked, not the task: whoever else can do it may.
        events.push(Event::AccountLimited { account: part.account(), until });
    }
    if let Some(decision) = part.parked_on().filter(|decision| waits_for(state, *decision)) {
        events.push(Event::AttemptOver { attempt: id, failure: None });
        events.push(Event::TaskParked { task: task.id, decision });
        return events;
    }
    let failure = match &said.trouble {
        Some(trouble) => failure::of_agent(end, trouble, if tail.is_empty() { &said.said } else { tail }),
        // It broke off without a word.
        None => failure::of_agent(end, "error", tail),
    };
    events.push(Event::AttemptOver { attempt: id, failure: Some(failure) });
    events
}

/// Whether a decision is open still.
fn waits_for(state: &State, decision: DecisionId) -> bool {
    state.decisions.get(&decision).is_some_and(|decision| decision.open())
}

fn after_harvest(
    state: &State,
    run: &Run,
    task: &Task,
    id: AttemptId,
    attempt: &Attempt,
    now: Timestamp,
) -> Vec<Event> {
    let Some(more) = attempt.more.as_deref() else { return Vec::new() };
    let (Some(commit), Some(from)) = (&more.commit, &more.from) else { return Vec::new() };
    let changed = commit != from;
    if let (Some(part), Some(end)) = (attempt.agent(), &attempt.end) {
        if *end == End::Cancelled {
            return vec![settled(task, Settled::Cancelled, "cancelled")];
        }
        if !end.success() {
            return agent_stopped(state, task, id, part, end, &more.tail);
        }
        if let Some(decision) = part.parked_on() {
            // It stopped because nobody answered in time: what it did so far is kept, and it goes on when somebody does.
            let over = Event::AttemptOver { attempt: id, failure: None };
            return match waits_for(state, decision) {
                true => vec![over, Event::TaskParked { task: task.id, decision }],
                false => vec![over, Event::TaskReopened { task: task.id }],
            };
        }
        if task.spec.effect == Touches::None && !changed {
            let said = part.end.as_ref().map_or("", |end| end.said.as_str());
            match task.spec.extras().part {
                Some(Part::Reviews(_)) => return reviewed(task, id, said),
                Some(Part::Plans) => return planner::proposed(state, run, task, id, said, now),
                _ => {}
            }
            return vec![settled(task, Settled::Completed, said)];
        }
        let may_be_well = task.spec.extras().part == Some(Part::Integrates);
        if !changed && task.spec.effect != Touches::None && !may_be_well {
            let what = "it says that it is done, and changed nothing";
            return vec![Event::AttemptOver { attempt: id, failure: Some(failure::judged(what)) }];
        }
        if changed && task.spec.effect != Touches::None && checks(run, task).is_empty() {
            let why = "no command could be found that would prove it";
            return review(state, run, task, id, attempt, why, now);
        }
    }
    if changed && task.spec.effect == Touches::None {
        let what = "it changed files though its plan says effect = \"none\"; declare effect = \"workspace\"";
        return vec![Event::AttemptOver { attempt: id, failure: Some(failure::wrong_output(what)) }];
    }
    // The repository's own checks would judge the very tree that they judge anyway; only a check of the task's own
    // may be about something that is no part of the tree.
    let repository = super::plan::criteria_checks(run);
    if !changed && checks(run, task).iter().all(|check| repository.contains(check)) {
        return vec![settled(task, Settled::Completed, "nothing to change")];
    }
    let to = match (checks(run, task).is_empty(), changed) {
        (false, _) => Phase::Checking(0),
        (true, true) => return proven(state, run, task, id, attempt, now),
        (true, false) => return vec![settled(task, Settled::Completed, "nothing to change")],
    };
    vec![Event::AttemptMoved { attempt: id, to }]
}

fn after_check(
    state: &State,
    run: &Run,
    task: &Task,
    id: AttemptId,
    attempt: &Attempt,
    (index, merged): (u32, bool),
    now: Timestamp,
) -> Vec<Event> {
    let Some(more) = attempt.more.as_deref() else { return Vec::new() };
    let results = if merged { &more.rechecks } else { &more.checks };
    let Some(result) = results.get(index as usize) else { return Vec::new() };
    let all = checks(run, task);
    if result.end == End::Cancelled {
        return vec![match taking_back(task) {
            Some(to) => Event::AttemptMoved { attempt: id, to },
            None => stopped(state, task, "cancelled"),
        }];
    }
    if result.end == End::Lost {
        // It says nothing about the change: the attempt is lost, not refuted.
        return vec![Event::AttemptOver { attempt: id, failure: Some(failure::of_end(&End::Lost, "")) }];
    }
    let waiting = matches!(attempt.phase, Phase::AwaitingBase(_) | Phase::AwaitingBaseMerged(_));
    // Who reads the untouched base is not compared with it: what is red there is what was to be found out.
    let base = if attempt.lane.is_none() { Some(None) } else { base_of(run, all.get(index as usize)) };
    let verdict = match (judge(result, base), base) {
        // What an agent did is always compared: a check that is green may have been made so.
        (Verdict::Proven(_), None) if attempt.agent().is_some() => Verdict::NeedsBaseline,
        (Verdict::Proven(words), Some(Some(before))) if attempt.agent().is_some() => {
            honest(words, result, before, mends(run, task))
        }
        (verdict, _) => verdict,
    };
    match verdict {
        Verdict::NeedsBaseline if waiting => Vec::new(),
        Verdict::NeedsBaseline => {
            let to = if merged { Phase::AwaitingBaseMerged(index) } else { Phase::AwaitingBase(index) };
            vec![Event::AttemptMoved { attempt: id, to }]
        }
        Verdict::Proven(_) if ((index + 1) as usize) < all.len() => {
            let to = if merged { Phase::Rechecking(index + 1) } else { Phase::Checking(index + 1) };
            vec![Event::AttemptMoved { attempt: id, to }]
        }
        Verdict::Proven(_) if merged => vec![Event::AttemptMoved { attempt: id, to: Phase::Advancing }],
        Verdict::Proven(_)
            if let Some(why) = attempt.agent().and_then(|part| self_judged(part, &all)).filter(|_| !merged) =>
        {
            review(state, run, task, id, attempt, &why, now)
        }
        Verdict::Proven(_) if more.commit.is_some() && more.commit != more.from => {
            proven(state, run, task, id, attempt, now)
        }
        Verdict::Proven(_) => vec![settled(task, Settled::Completed, "nothing to change")],
        Verdict::Refuted(_) if let Some(to) = taking_back(task) => vec![Event::AttemptMoved { attempt: id, to }],
        Verdict::Refuted(why) => {
            let command = all.get(index as usize).map_or(String::new(), |argv| argv.join(" "));
            let place = if merged { " on the tree merged with what had landed" } else { "" };
            let what = format!("not proven by `{command}`{place}: {why}\n{}", result.tail);
            let failure = match (merged, attempt.agent()) {
                // It holds alone, and so does what landed: together they do not. It is made to fit what is there now.
                (true, _) => failure::clash(&what),
                (false, Some(_)) => failure::judged(&what),
                (false, None) => failure::wrong_output(&what),
            };
            vec![Event::AttemptOver { attempt: id, failure: Some(failure) }]
        }
        Verdict::Environment(why) => {
            vec![Event::AttemptOver { attempt: id, failure: Some(failure::environment(&why)) }]
        }
    }
}

/// What follows once a change is proven: what a person has a word in is asked, one thing after the other; then it waits
/// for its turn to land, or to be chosen.
pub fn proven(state: &State, run: &Run, task: &Task, id: AttemptId, attempt: &Attempt, now: Timestamp) -> Vec<Event> {
    match change::before(state, run, task, id, attempt, now) {
        None => vec![to_land(task, id)],
        Some(asks) if attempt.phase == Phase::Reviewing => asks,
        Some(mut asks) => {
            asks.insert(0, Event::AttemptMoved { attempt: id, to: Phase::Reviewing });
            asks
        }
    }
}

fn to_land(task: &Task, attempt: AttemptId) -> Event {
    match task.spec.extras().part {
        Some(Part::Candidate(_)) => settled(task, Settled::Completed, "proven; one of several to choose from"),
        _ => Event::AttemptMoved { attempt, to: Phase::Queued },
    }
}

/// A leader read a change: its last line decides what may build on it.
fn reviewed(task: &Task, attempt: AttemptId, said: &str) -> Vec<Event> {
    match strategies::verdict(said) {
        Some(Ok(())) => vec![settled(task, Settled::Completed, said)],
        Some(Err(why)) => vec![settled(task, Settled::Failed, &format!("the review says no: {why}"))],
        None => {
            let what = "the last line must be APPROVE, or REJECT: and why";
            vec![Event::AttemptOver { attempt, failure: Some(failure::judged(what)) }]
        }
    }
}

/// Whether the work is to mend what is red: then a check that stays as red as it was proves nothing.
fn mends(run: &Run, task: &Task) -> bool {
    let fix = run.analysis.as_ref().is_some_and(|analysis| analysis.intent.primary == Some(IntentWord::Fix));
    task.spec.kind_word.as_ref() == "fix" || (fix && run.tasks.len() == 1)
}

/// Why an agent's own change may have decided what its checks say, if that is so: it touched a file that a check names.
fn self_judged(part: &AgentPart, checks: &[super::plan::spec::Argv]) -> Option<String> {
    let named = |touched: &&Touched| {
        let path = touched.path.as_str();
        // What it made was not there to judge anything before.
        if touched.new {
            return false;
        }
        checks.iter().flatten().any(|word| word == path || word.strip_prefix("./") == Some(path))
    };
    let path = &part.paths.iter().find(named)?.path;
    Some(format!("it changed {path}, which is part of what was to prove it"))
}

/// A person looks at a change that nothing else can judge.
fn review(
    state: &State,
    run: &Run,
    task: &Task,
    id: AttemptId,
    attempt: &Attempt,
    why: &str,
    now: Timestamp,
) -> Vec<Event> {
    let commit = attempt.more.as_ref().and_then(|more| more.commit.as_deref()).unwrap_or("-");
    let paths = attempt.agent().map(|part| &part.paths).into_iter().flatten();
    let paths: Vec<&str> = paths.map(|touched| touched.path.as_str()).collect();
    let paths = paths.join(", ");
    let said = attempt.agent().and_then(|part| Some(part.end.as_ref()?.said.as_str())).unwrap_or_default();
    let open = decide::open_at(state, now, run, DecisionKind::Review, Some(task), |decision| {
        decision.question = decide::short(&format!("Take the change of {}? {}", task.id, task.spec.title()));
        decision.detail = format!(
            "The change of {} is ready, but {why}. Files: {paths}. See it with `git show {commit}`.\n\n{said}",
            task.id
        );
        decision.criticality = 0.3;
        decision.options = vec![
            decide::choice("accept", "Take it", "It joins the run's result as it is.", true),
            decide::choice("reject", "Leave it out", "It is dropped; what needs it is blocked.", true),
        ];
    });
    vec![Event::AttemptMoved { attempt: id, to: Phase::Reviewing }, open]
}

/// What a check said of the untouched base: `None` = not known yet, `Some(None)` = it is not among the base's checks.
fn base_of<'a>(run: &'a Run, argv: Option<&super::plan::spec::Argv>) -> Option<Option<&'a CheckResult>> {
    match run.baseline.iter().find(|check| Some(&check.argv) == argv) {
        None => Some(None),
        Some(check) => check.result.as_ref().map(Some),
    }
}

fn after_merge(run: &Run, task: &Task, id: AttemptId, attempt: &Attempt) -> Vec<Event> {
    let Some(more) = attempt.more.as_deref() else { return Vec::new() };
    let Some((_, tree, onto)) = &more.merged else { return Vec::new() };
    if Some(onto.as_str()) != run.tip_commit() {
        // A tip that moved since: merge again onto the new one. Cannot happen while landing is one at a time.
        return vec![Event::AttemptOver { attempt: id, failure: Some(failure::conflict(&[])) }];
    }
    if Some(tree.as_str()) == run.tip_tree() {
        return vec![settled(task, Settled::Completed, "what it changes had landed already")];
    }
    let proven = Some(tree) == more.tree.as_ref() || checks(run, task).is_empty();
    let to = if proven { Phase::Advancing } else { Phase::Restaging };
    vec![Event::AttemptMoved { attempt: id, to }]
}

/// The event that ends a task which somebody stopped. What it may have left outside is said.
pub fn stopped(state: &State, task: &Task, why: &str) -> Event {
    let asked = match task.state {
        TaskState::Asking(decision) => state.decisions.get(&decision).map(|decision| decision.kind),
        _ => None,
    };
    let ran = task.current().and_then(|(_, live)| live.end.as_ref()).is_some_and(End::success);
    match asked {
        Some(DecisionKind::StuckUndo) => settled(task, Settled::Stuck, "its effect outside is still there"),
        Some(DecisionKind::RetryExhausted) => settled(task, Settled::Cancelled, &format!("{why}; it may have run")),
        _ if ran && task.spec.effect == Touches::External => {
            settled(task, Settled::Cancelled, &format!("{why}; its effect outside is there"))
        }
        _ => settled(task, Settled::Cancelled, why),
    }
}

/// The event that ends a task.
pub fn settled(task: &Task, how: Settled, why: &str) -> Event {
    Event::TaskSettled { task: task.id, how, why: why.to_owned() }
}
