//! What a run may use: minutes of the clock, and processes that are started for its tasks.
//!
//! A limit that is reached starts nothing more and asks; what runs goes on to its own end. Only what the plan names is a
//! limit here. Checks are not counted: they are what makes the rest worth anything.

use serde::{Deserialize, Serialize};

use super::{
    Ctx,
    decide::{self, decision::DecisionKind},
    event::Event,
    plan::spec::Kind,
    run::{Run, RunState},
    state::State,
};
use crate::time::Timestamp;

/// At which share of a limit people are told.
const WARNED_AT: f64 = 0.8;

/// What can be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Minutes since the first task could start.
    Minutes,
    /// Processes started for tasks, their checks not counted.
    Spawns,
}

impl Limit {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Limit::Minutes => "minutes",
            Limit::Spawns => "spawns",
        }
    }
}

/// When the clock has something to say about a run: that it was warned, or that its minutes are over.
pub fn deadline(run: &Run) -> Option<Timestamp> {
    let (from, minutes) = (run.clock_from?, run.allowed.minutes?);
    let share = if run.warned.contains(&Limit::Minutes) { 1.0 } else { WARNED_AT };
    let open = run.exhausted.is_none() && !run.ended() && !run.cancelled && !run.stopping;
    open.then(|| from.plus_ms((minutes.max(0.0) * share * 60_000.0) as u64))
}

/// What is used up, or nearly, and what is to be asked about it.
pub fn due(state: &State, ctx: &Ctx) -> Vec<Event> {
    if let Some((at, run)) = state.index.limits.first().copied()
        && at <= ctx.now
        && let Some(found) = state.run(run)
    {
        let of = Limit::Minutes;
        return match found.warned.contains(&of) {
            false => vec![Event::BudgetWarned { run, of }],
            true => vec![Event::BudgetReached { run, of }],
        };
    }
    state.index.dirty.iter().filter_map(|run| due_of(state, ctx, state.run(*run)?)).collect()
}

fn due_of(state: &State, ctx: &Ctx, run: &Run) -> Option<Event> {
    if !matches!(run.state, RunState::Executing | RunState::Monitoring | RunState::Escalating) {
        return None;
    }
    if run.cancelled || run.stopping {
        return None;
    }
    if let Some(of) = run.exhausted {
        let asked = decide::find(state, run, DecisionKind::Budget).is_some();
        return (!asked).then(|| ask(state, ctx, run, of));
    }
    let (most, of) = (run.allowed.spawns?, Limit::Spawns);
    let index = state.index.runs.get(&run.id)?;
    let agent = |(_, _, position): &(_, _, u32)| state.tasks[&run.tasks[*position as usize]].spec.kind() == Kind::Agent;
    let wants_more =
        !index.ready_shared.is_empty() || !index.ready_own.is_empty() || index.ready_other.iter().any(agent);
    if run.spawned >= most && wants_more {
        return Some(Event::BudgetReached { run: run.id, of });
    }
    let near = f64::from(run.spawned) >= f64::from(most) * WARNED_AT && run.spawned < most;
    (near && !run.warned.contains(&of)).then_some(Event::BudgetWarned { run: run.id, of })
}

/// What a run may use when somebody says that it may use as much again.
pub fn raised(run: &Run) -> Event {
    let plan = run.plan.as_ref().map(|plan| &plan.budget);
    let more = |now: Option<f64>, planned: Option<f64>| Some(now? + planned?.max(1.0));
    let minutes = match run.exhausted {
        Some(Limit::Minutes) => more(run.allowed.minutes, plan.and_then(|plan| plan.minutes)),
        _ => run.allowed.minutes,
    };
    let spawns = match run.exhausted {
        Some(Limit::Spawns) => {
            more(run.allowed.spawns.map(f64::from), plan.and_then(|plan| plan.spawns).map(f64::from)).map(|n| n as u32)
        }
        _ => run.allowed.spawns,
    };
    Event::BudgetRaised { run: run.id, minutes, spawns }
}

fn ask(state: &State, ctx: &Ctx, run: &Run, of: Limit) -> Event {
    let left = state.index.runs.get(&run.id).map_or(0, |index| index.unsettled);
    let (used, more) = match of {
        Limit::Minutes => {
            let planned = run.plan.as_ref().and_then(|plan| plan.budget.minutes).unwrap_or_default().max(1.0);
            (format!("its {} minutes", run.allowed.minutes.unwrap_or_default()), format!("{planned} minutes more"))
        }
        Limit::Spawns => {
            let planned = run.plan.as_ref().and_then(|plan| plan.budget.spawns).unwrap_or_default().max(1);
            (format!("its {} processes", run.allowed.spawns.unwrap_or_default()), format!("{planned} processes more"))
        }
    };
    decide::open(state, ctx, run, DecisionKind::Budget, None, |decision| {
        decision.question =
            format!("{} has used {used}, and {left} of its tasks are not over. How does it go on?", run.id);
        decision.detail =
            "Nothing more of it starts until this is answered. What runs goes on to its own end, and what \
                           has landed stays."
                .to_owned();
        decision.criticality = 0.3;
        decision.options = vec![
            decide::choice("raise", "As much again", &format!("It may use {more}."), true),
            decide::choice(
                "stop",
                "Start nothing more",
                "What runs ends, the rest is blocked; what landed stays.",
                true,
            ),
            decide::choice("cancel", "Cancel the run", "What runs is ended too; what landed stays.", true),
        ];
    })
}
