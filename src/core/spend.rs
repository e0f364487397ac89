//! What agents may cost: money, tokens, and how often they are started. Reserved before a start, counted over all
//! attempts of a run, and over all runs of a day. Minutes and processes of a plan are `budget`'s business.
//!
//! An attempt is given no more than what is left of its run and of the day; who runs out is asked about, never let on.

use super::{
    Ctx, Settings,
    agent::Usage,
    decide::{self, decision::DecisionKind},
    event::Event,
    run::Run,
    state::State,
    task::Task,
};

/// The least that is worth starting an attempt with, US dollars.
const LEAST_USD: f64 = 0.01;

/// What the agents of a run have used.
pub fn used(state: &State, run: &Run) -> Usage {
    let tasks = run.tasks.iter().filter_map(|task| state.task(*task));
    tasks
        .flat_map(|task| &task.attempts)
        .filter_map(|attempt| attempt.agent())
        .fold(Usage { tokens: 0, usd: Some(0.0) }, |sum, part| sum.plus(part.usage))
}

/// How many attempts agents of a run had; those that were lost without a fault of theirs count as well.
pub fn spawns(state: &State, run: &Run) -> u32 {
    let tasks = run.tasks.iter().filter_map(|task| state.task(*task));
    tasks.flat_map(|task| &task.attempts).filter(|attempt| attempt.agent().is_some() && !attempt.relands()).count()
        as u32
}

/// The limits of a run: its plan's, or the configuration's. A raise that somebody granted counts on top.
fn limits(state: &State, settings: &Settings, run: &Run) -> (f64, Option<u64>, u32) {
    let granted = raises(state, run);
    let plan = run.plan.as_ref().map(|plan| plan.budget.clone()).unwrap_or_default();
    let times = f64::from(1 + granted);
    let usd = plan.usd.unwrap_or(settings.run_usd) * times;
    let tokens = plan.tokens.map(|tokens| tokens * u64::from(1 + granted));
    (usd, tokens, settings.run_spawns * (1 + granted))
}

/// How often somebody has granted the run its limits once more.
fn raises(state: &State, run: &Run) -> u32 {
    let raised = state.decisions.values().filter(|decision| {
        decision.run == run.id
            && decision.kind == DecisionKind::Budget
            && decision.task.is_some()
            && decision.answer().is_some_and(|answer| answer.choice == "raise")
    });
    raised.count() as u32
}

/// What other attempts of the run hold in reserve and have not used.
fn reserved_usd(state: &State, run: &Run) -> f64 {
    let tasks = run.tasks.iter().filter_map(|task| state.task(*task)?.current());
    let parts = tasks.filter_map(|(_, live)| live.agent());
    parts.filter_map(|part| Some((part.allocation.usd? - part.usage.usd.unwrap_or(0.0)).max(0.0))).sum()
}

/// What an attempt that starts now may use: what is left of its run and of the day.
pub fn reserve(state: &State, settings: &Settings, run: &Run) -> (Option<f64>, Option<u64>) {
    let (usd, tokens, _) = limits(state, settings, run);
    let used = used(state, run);
    let left = usd - used.usd.unwrap_or(0.0) - reserved_usd(state, run);
    let today = state.spent.last_key_value().and_then(|(_, spent)| spent.usd).unwrap_or(0.0);
    let left = left.min(settings.day_usd - today);
    // Half of what is left, so that a second try can be paid for; all of it once that is little.
    let share = if left > 1.0 { left / 2.0 } else { left };
    (Some((share.max(LEAST_USD) * 100.0).round() / 100.0), tokens.map(|most| most.saturating_sub(used.tokens)))
}

/// The question that stands before another attempt, where a limit is reached.
pub fn before_spawn(state: &State, ctx: &Ctx, run: &Run, task: &Task) -> Option<Event> {
    let (usd, tokens, spawns_max) = limits(state, ctx.settings, run);
    let used = used(state, run);
    let day = ctx.now.0 / 86_400_000;
    let today = state.spent.get(&day).and_then(|spent| spent.usd).unwrap_or(0.0);
    let spawned = spawns(state, run);
    let what = if spawned >= spawns_max {
        format!("{} had {spawned} agent attempts, the most it may", run.id)
    } else if usd - used.usd.unwrap_or(0.0) < LEAST_USD {
        format!("{} has used {:.2} of {usd:.2} US dollars", run.id, used.usd.unwrap_or(0.0))
    } else if tokens.is_some_and(|most| used.tokens >= most) {
        format!("{} has used {} of {} tokens", run.id, used.tokens, tokens.unwrap_or(0))
    } else if ctx.settings.day_usd - today < LEAST_USD {
        format!("agents have used {today:.2} of {:.2} US dollars today", ctx.settings.day_usd)
    } else {
        return None;
    };
    Some(decide::open(state, ctx, run, DecisionKind::Budget, Some(task), |decision| {
        decision.question = decide::short(&format!("{what}. Go on with {}: {}?", task.id, task.spec.title()));
        decision.detail =
            format!("{what}. What is proven stays; nothing more is started for this task without a word.");
        decision.criticality = 0.5;
        decision.options = vec![
            decide::choice("raise", "Raise it", "The run may use its limits once more.", false),
            decide::choice("stop", "Stop here", "The task failed; what needs it is blocked.", true),
        ];
    }))
}
