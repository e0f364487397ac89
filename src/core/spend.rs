//! What agents cost: money, tokens, and how often they are started. Reserved before a start, counted over all attempts of
//! a run, their helpers included, and over all runs of a day.
//!
//! An attempt is given no more than what is left of its task, its run and the day, less what others hold in reserve. What
//! a limit that is reached leads to is `budget`'s business.

use super::{
    Ctx, Settings,
    agent::Usage,
    budget::Limit,
    decide::{self, decision::DecisionKind},
    event::Event,
    run::Run,
    state::State,
    task::{Attempt, Task},
};
use crate::time::Timestamp;

/// The least that is worth starting an attempt with, US dollars.
pub const LEAST_USD: f64 = 0.01;

/// So few tokens are not shared out.
const LITTLE_TOKENS: u64 = 20_000;

/// What the agents of a run have used.
pub fn used(state: &State, run: &Run) -> Usage {
    sum(run.tasks.iter().filter_map(|task| state.task(*task)))
}

fn sum<'a>(tasks: impl Iterator<Item = &'a Task>) -> Usage {
    tasks
        .flat_map(|task| &task.attempts)
        .filter_map(|attempt| attempt.agent())
        .fold(Usage { tokens: 0, usd: Some(0.0) }, |sum, part| sum.plus(part.usage))
}

/// How many attempts agents of a run had; those that were lost without a fault of theirs count as well.
pub fn attempts(state: &State, run: &Run) -> u32 {
    run.tasks.iter().filter_map(|task| state.task(*task)).map(attempts_of).sum()
}

fn attempts_of(task: &Task) -> u32 {
    task.attempts.iter().filter(|attempt| attempt.agent().is_some() && !attempt.relands()).count() as u32
}

/// What agents have used today, as far as they have told.
pub fn today(state: &State, now: Timestamp) -> f64 {
    let ended = state.spent.get(&day(now)).and_then(|spent| spent.usd).unwrap_or(0.0);
    let under_way = live(state).filter(|live| live.end.is_none());
    ended + under_way.filter_map(|live| live.agent()?.usage.usd).sum::<f64>()
}

/// The number of a day, since 1970.
pub fn day(at: Timestamp) -> u64 {
    at.0 / 86_400_000
}

/// The most that may be spent today.
pub fn day_most(state: &State, settings: &Settings, now: Timestamp) -> f64 {
    match state.day_raised {
        Some((of, usd)) if of == day(now) => usd,
        _ => settings.day_usd,
    }
}

/// Attempts under way, in all runs. Each has a lane, so there are few.
fn live(state: &State) -> impl Iterator<Item = &Attempt> {
    let tasks = state.index.runs.values().flat_map(|index| &index.trying_own);
    tasks.filter_map(|task| state.task(*task)?.current()).map(|(_, live)| live)
}

/// What attempts under way hold in reserve and have not used: money and tokens.
fn reserved<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> (f64, u64) {
    attempts.filter(|live| live.end.is_none()).filter_map(Attempt::agent).fold((0.0, 0), |(usd, tokens), part| {
        let left = part.allocation.usd.map_or(0.0, |most| (most - part.usage.usd.unwrap_or(0.0)).max(0.0));
        (usd + left, tokens + part.allocation.tokens.map_or(0, |most| most.saturating_sub(part.usage.tokens)))
    })
}

/// What an attempt that starts now may use: what is left of its task, its run and the day. `None` = others hold all that
/// is left, and it waits for one of them to end.
pub fn reserve(state: &State, ctx: &Ctx, run: &Run, task: &Task) -> Option<(Option<f64>, Option<u64>)> {
    let of_run = || run.tasks.iter().filter_map(|task| state.task(*task)?.current()).map(|(_, live)| live);
    let (held_usd, held_tokens) = reserved(of_run());
    let (used, used_by_task) = (used(state, run), sum(std::iter::once(task)));
    let most = run.allowed.usd.unwrap_or(ctx.settings.run_usd);
    let mut left = most - used.usd.unwrap_or(0.0) - held_usd;
    let (held_today, _) = reserved(live(state));
    left = left.min(day_most(state, ctx.settings, ctx.now) - today(state, ctx.now) - held_today);
    let own = task.spec.extras().budget.as_deref();
    let of_task = own.and_then(|own| own.usd).map(|most| most - used_by_task.usd.unwrap_or(0.0));
    // Half of what is left, so that a second try can be paid for; all of it once that is little.
    let share = if left > 1.0 { left / 2.0 } else { left };
    let tokens = run.allowed.tokens.map(|most| most.saturating_sub(used.tokens).saturating_sub(held_tokens));
    if left < LEAST_USD || tokens == Some(0) {
        return None;
    }
    let share = share.min(of_task.unwrap_or(f64::MAX));
    let tokens = tokens.map(|left| if left > LITTLE_TOKENS { left / 2 } else { left });
    let of_task = own.and_then(|own| own.tokens).map(|most| most.saturating_sub(used_by_task.tokens));
    let tokens = tokens.into_iter().chain(of_task).min();
    Some((Some((share.max(LEAST_USD) * 100.0).round() / 100.0), tokens.map(|tokens| tokens.max(1))))
}

/// What stands before another attempt, where a limit of its run, of the day or of its own is reached.
pub fn before_spawn(state: &State, ctx: &Ctx, run: &Run, task: &Task) -> Option<Event> {
    let reached = [Limit::Attempts, Limit::Usd, Limit::Tokens, Limit::Day];
    if let Some(of) = reached.into_iter().find(|of| of.reached(state, ctx.settings, run, ctx.now)) {
        return Some(Event::BudgetReached { run: run.id, of });
    }
    let own = task.spec.extras().budget.as_deref().filter(|_| !task.approved)?;
    let used = sum(std::iter::once(task));
    let (usd, attempts) = (used.usd.unwrap_or(0.0), attempts_of(task));
    let what = match own {
        own if own.usd.is_some_and(|most| most - usd < LEAST_USD) => {
            format!("has used {usd:.2} of its {:.2} US dollars", own.usd.unwrap_or_default())
        }
        own if own.tokens.is_some_and(|most| used.tokens >= most) => {
            format!("has used {} of its {} tokens", used.tokens, own.tokens.unwrap_or_default())
        }
        own if own.spawns.is_some_and(|most| attempts >= most) => format!("had its {attempts} attempts"),
        _ => return None,
    };
    Some(decide::open(state, ctx, run, DecisionKind::Budget, Some(task), |decision| {
        decision.question = decide::short(&format!("{} {what}. Go on? {}", task.id, task.spec.title()));
        decision.detail =
            format!("{} {what}. What is proven stays; nothing is started for it without a word.", task.id);
        decision.criticality = 0.5;
        decision.options = vec![
            decide::choice("raise", "Go on", "Its own limits no longer hold; those of its run do.", false),
            decide::choice("stop", "Stop here", "The task failed; what needs it is blocked.", true),
        ];
    }))
}
