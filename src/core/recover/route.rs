//! What happens after a failure: again, a question, or the end of the task and of what needs it.

use super::{
    super::{
        ANSWER_MAX, Ctx,
        agent::AgentPart,
        decide::{self, decision::DecisionKind},
        event::Event,
        job::End,
        land::settled,
        plan::{
            planner,
            spec::{Effect as Touches, OnFailure, Part},
        },
        run::Run,
        state::State,
        task::{Attempt, Failure, Phase, Settled, Task, TaskState},
    },
    backoff,
};
use crate::ids::AttemptId;

/// How often an attempt that was lost with its machine or keeper is started again before somebody is asked.
const LOST_MAX: usize = 5;

/// Failures that nothing is decided about yet, tasks that are due again, and dependants of what failed.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    if let Some((at, task)) = state.index.deadlines.first().copied()
        && at <= ctx.now
    {
        return vec![Event::TaskReopened { task }];
    }
    while let Some(id) = state.index.failed.pop_front() {
        let events = after_failure(state, ctx, id);
        if !events.is_empty() {
            return events;
        }
    }
    while let Some(task) = state.index.blocking.pop_front() {
        let events = block(state, task);
        if !events.is_empty() {
            if events.len() == ANSWER_MAX {
                state.index.blocking.push_front(task);
            }
            return events;
        }
    }
    Vec::new()
}

fn block(state: &State, id: crate::ids::TaskId) -> Vec<Event> {
    let Some(task) = state.task(id) else { return Vec::new() };
    let Some(how) = task.settled().filter(|how| *how != Settled::Completed) else { return Vec::new() };
    let (Some(run), Some(index)) = (state.run(task.run), state.index.runs.get(&task.run)) else { return Vec::new() };
    let dependants = index.graph.successors(task.position).iter();
    let waiting = dependants
        .filter_map(|position| state.task(run.tasks[*position as usize]))
        .filter(|dependant| dependant.state == TaskState::Waiting)
        .filter(|dependant| dependant.spec.extras().part != Some(Part::Picks));
    let why = format!("it needs {id}, which is {}", how.word());
    waiting.take(ANSWER_MAX).map(|dependant| settled(dependant, Settled::Blocked, &why)).collect()
}

fn after_failure(state: &State, ctx: &mut Ctx, id: AttemptId) -> Vec<Event> {
    let Some(task) = state.task(id.task).filter(|task| task.undecided()) else { return Vec::new() };
    let (Some(run), Some(attempt)) = (state.run(task.run), task.attempt(id.generation)) else { return Vec::new() };
    let failure = attempt.more.as_ref().and_then(|more| more.failure.clone()).unwrap_or_default();
    let cancelled = run.cancelled || task.cancelled;
    if failure.class == "stuck_undo" && cancelled {
        return vec![settled(task, Settled::Stuck, &failure.message)];
    }
    let external = task.spec.effect == Touches::External && !task.spec.extras().idempotent;
    let lost = attempt.lost();
    if cancelled {
        let why = if lost && external { "cancelled; it may have run" } else { "cancelled" };
        return vec![settled(task, Settled::Cancelled, why)];
    }
    if failure.class == "stuck_undo" {
        return vec![ask_stuck(state, ctx, run, task, &failure)];
    }
    let lost_before = task.attempts.iter().filter(|attempt| attempt.lost() || blameless(attempt)).count();
    if let Some(part) = attempt.agent() {
        if failure.next == "park" {
            return park_account(state, ctx, task, part);
        }
        if failure.class == "budget" {
            return vec![ask_budget(state, ctx, run, task, part)];
        }
    }
    if lost && (external || lost_before > LOST_MAX) {
        return vec![ask_again(state, ctx, run, task, &failure, external)];
    }
    if lost {
        // It was not its fault, and its lane is laid out anew: at once, and not counted as a retry.
        return vec![Event::TaskReopened { task: task.id }];
    }
    let retry = task.spec.extras().retry.unwrap_or(ctx.settings.retry);
    let tries = (task.attempts.len() - lost_before.min(task.attempts.len())) as u32;
    if failure.next == "retry" && !external && !run.stopping && tries <= retry.max {
        let after = super::classify::retry_after_s(&failure.message);
        let jitter = ctx.rng.unit() * ctx.settings.jitter * 10.0;
        let delay_ms = backoff::delay_ms(tries, retry.base_s, retry.cap_s, after, jitter.min(1.0));
        return vec![Event::TaskRetry { task: task.id, at: ctx.now.plus_ms(delay_ms) }];
    }
    if task.spec.extras().part == Some(Part::Plans) && !run.stopping {
        return planner::without(state, run, task, &failure.message);
    }
    if failure.class == "conflict" {
        return vec![ask_conflict(state, ctx, run, task, &failure)];
    }
    let worked = attempt.end.as_ref().is_some_and(End::success);
    // A lane is taken back by leaving it; what was done outside is still there.
    let taken_back = worked && failure.class == "wrong_output" && task.spec.effect != Touches::External;
    let how = if taken_back { Settled::Undone } else { Settled::Failed };
    let mut events = vec![settled(task, how, &failure.message)];
    if run.plan.as_ref().is_some_and(|plan| plan.on_failure == OnFailure::Stop) && !run.stopping {
        events.push(Event::RunStopping { run: run.id });
    }
    events
}

/// Whether an attempt ended through no fault of its own: its account was empty, or it was told not to wait.
fn blameless(attempt: &Attempt) -> bool {
    let failure = attempt.more.as_ref().and_then(|more| more.failure.as_ref());
    attempt.agent().is_some() && attempt.phase == Phase::Over && failure.is_none_or(|failure| failure.next == "park")
}

/// An account without a known time of return is left alone for so long, milliseconds.
const ACCOUNT_REST_MS: u64 = 300_000;

/// The account is parked, not the task: whoever else can do it may at once, and nothing is counted against it.
fn park_account(state: &State, ctx: &Ctx, task: &Task, part: &AgentPart) -> Vec<Event> {
    let account = part.account();
    let mut events = Vec::new();
    if state.limits.get(&account).is_none_or(|until| *until <= ctx.now) {
        events.push(Event::AccountLimited { account, until: ctx.now.plus_ms(ACCOUNT_REST_MS) });
    }
    events.push(Event::TaskReopened { task: task.id });
    events
}

fn ask_budget(state: &State, ctx: &Ctx, run: &Run, task: &Task, part: &AgentPart) -> Event {
    let used = match part.usage.usd {
        Some(usd) => format!("{usd:.2} US dollars and {} tokens", part.usage.tokens),
        None => format!("{} tokens", part.usage.tokens),
    };
    decide::open(state, ctx, run, DecisionKind::Budget, Some(task), |decision| {
        let question = format!("{} reached its limit. Go on? {}", task.id, task.spec.title());
        decision.question = decide::short(&question);
        decision.detail = format!(
            "The attempt used {used} and was ended at its limit. What it did is kept: another attempt goes on from there."
        );
        decision.criticality = 0.5;
        decision.options = vec![
            decide::choice("raise", "Go on", "Another attempt goes on from there, within what the run may use.", false),
            decide::choice("stop", "Stop here", "The task failed; what needs it is blocked.", true),
        ];
    })
}

fn ask_conflict(state: &State, ctx: &Ctx, run: &Run, task: &Task, failure: &Failure) -> Event {
    decide::open(state, ctx, run, DecisionKind::Conflict, Some(task), |decision| {
        decision.question =
            decide::short(&format!("{} conflicts with what has landed: {}", task.id, task.spec.title()));
        decision.detail = failure.message.clone();
        decision.criticality = 0.1;
        decision.options = vec![
            decide::choice("again", "Run it again", "It starts over on what has landed by now.", true),
            decide::choice("drop", "Leave it out", "Its change is dropped; what needs it is blocked.", true),
        ];
    })
}

fn ask_again(state: &State, ctx: &Ctx, run: &Run, task: &Task, failure: &Failure, external: bool) -> Event {
    decide::open(state, ctx, run, DecisionKind::RetryExhausted, Some(task), |decision| {
        decision.question = decide::short(&format!("{} may have run already: {}", task.id, task.spec.title()));
        let reason = match external {
            true => {
                "It has effects outside the repository, so it is not run again without a word from you. Look whether \
                     its effect is there."
            }
            false => "It was lost with its machine or keeper again and again, and may be the reason for that.",
        };
        decision.detail = format!("{}\n\n{reason}", failure.message);
        decision.criticality = if external { 0.7 } else { 0.1 };
        decision.options = vec![
            decide::choice("done", "It did run", "The task counts as completed.", true),
            decide::choice("again", "Run it again", "It runs once more, now.", false),
            decide::choice("stop", "Give it up", "The task failed; what needs it is blocked.", true),
        ];
    })
}

fn ask_stuck(state: &State, ctx: &Ctx, run: &Run, task: &Task, failure: &Failure) -> Event {
    decide::open(state, ctx, run, DecisionKind::StuckUndo, Some(task), |decision| {
        decision.question =
            decide::short(&format!("{} failed and could not be taken back: {}", task.id, task.spec.title()));
        decision.detail = failure.message.clone();
        decision.criticality = 0.7;
        decision.options = vec![
            decide::choice("done", "I took it back", "The task counts as undone.", true),
            decide::choice("leave", "Leave it", "The task stays stuck, and the report says so.", true),
        ];
    })
}
