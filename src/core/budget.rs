//! What a run may use: minutes of the clock, processes that are started for its tasks, and what its agents cost.
//!
//! At four fifths of a limit people are told. A limit that is reached starts nothing more and asks; what runs goes on to
//! its own end, agents to the end of what they were given. Minutes, processes and tokens are limits where the plan or the
//! request names them; money and attempts of agents always are. Checks are not counted: they are what makes the rest
//! worth anything.

use serde::{Deserialize, Serialize};

use super::{
    Ctx, Settings,
    decide::{self, decision::DecisionKind},
    event::Event,
    plan::spec::{Budget, Kind},
    run::{Run, RunState},
    spend,
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
    /// US dollars that its agents cost.
    Usd,
    /// Tokens that its agents used.
    Tokens,
    /// Attempts of its agents.
    Attempts,
    /// US dollars of the day, over all runs.
    Day,
}

/// Those that agents use up.
const OF_AGENTS: [Limit; 4] = [Limit::Usd, Limit::Tokens, Limit::Attempts, Limit::Day];

impl Limit {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Limit::Minutes => "minutes",
            Limit::Spawns => "spawns",
            Limit::Usd => "usd",
            Limit::Tokens => "tokens",
            Limit::Attempts => "attempts",
            Limit::Day => "day_usd",
        }
    }

    /// What is used of it, and how much there is; `None` = it is no limit of this run.
    pub fn of(self, state: &State, settings: &Settings, run: &Run, now: Timestamp) -> Option<(f64, f64)> {
        let allowed = &run.allowed;
        Some(match self {
            Limit::Minutes => (now.seconds_since(run.clock_from?) / 60.0, allowed.minutes?),
            Limit::Spawns => (f64::from(run.spawned), f64::from(allowed.spawns?)),
            Limit::Usd => {
                let used = spend::used(state, run).usd.unwrap_or(0.0);
                (used, allowed.usd.unwrap_or(settings.run_usd))
            }
            Limit::Tokens => (spend::used(state, run).tokens as f64, allowed.tokens? as f64),
            Limit::Attempts => {
                let most = run.attempts_most.unwrap_or(settings.run_spawns);
                (f64::from(spend::attempts(state, run)), f64::from(most))
            }
            Limit::Day => (spend::today(state, now), spend::day_most(state, settings, now)),
        })
    }

    /// Whether nothing worth starting an agent with is left of it.
    pub fn reached(self, state: &State, settings: &Settings, run: &Run, now: Timestamp) -> bool {
        let least = if matches!(self, Limit::Usd | Limit::Day) { spend::LEAST_USD } else { f64::MIN_POSITIVE };
        self.of(state, settings, run, now).is_some_and(|(used, most)| most - used < least)
    }

    /// How it stands, for people: `0.45 of 0.50 US dollars used`.
    pub fn words(self, state: &State, settings: &Settings, run: &Run, now: Timestamp) -> Option<String> {
        let (used, most) = self.of(state, settings, run, now)?;
        let used = match self {
            Limit::Usd | Limit::Day => format!("{used:.2}"),
            Limit::Minutes => format!("{used:.0}"),
            Limit::Spawns | Limit::Tokens | Limit::Attempts => used.to_string(),
        };
        let today = if self == Limit::Day { " today, over all runs" } else { "" };
        Some(format!("{used} of {} used{today}", self.amount(most)))
    }

    /// An amount of it, for people.
    fn amount(self, number: f64) -> String {
        match self {
            Limit::Minutes => format!("{number} minutes"),
            Limit::Spawns => format!("{number} processes"),
            Limit::Usd | Limit::Day => format!("{number:.2} US dollars"),
            Limit::Tokens => format!("{number} tokens"),
            Limit::Attempts => format!("{number} attempts of agents"),
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
        // A task that reached a limit of its own is another question.
        let asked = decide::find_all(state, run, DecisionKind::Budget).any(|decision| decision.task.is_none());
        return (!asked).then(|| ask(state, ctx, run, of));
    }
    let (most_spawns, of) = (run.allowed.spawns.unwrap_or(u32::MAX), Limit::Spawns);
    let index = state.index.runs.get(&run.id)?;
    let agent = |(_, _, position): &(_, _, u32)| state.tasks[&run.tasks[*position as usize]].spec.kind() == Kind::Agent;
    let wants_more =
        !index.ready_shared.is_empty() || !index.ready_own.is_empty() || index.ready_other.iter().any(agent);
    if run.spawned >= most_spawns && wants_more {
        return Some(Event::BudgetReached { run: run.id, of });
    }
    let near = |of: &Limit| {
        let used = || of.of(state, ctx.settings, run, ctx.now);
        !run.warned.contains(of) && used().is_some_and(|(used, most)| used >= most * WARNED_AT)
    };
    // Only a run whose tasks agents do walks its tasks for what they cost.
    let agents = OF_AGENTS.iter().filter(|_| run.agents.is_some());
    let spawns = std::iter::once(&Limit::Spawns).filter(|_| run.spawned < most_spawns);
    spawns.chain(agents).find(|of| near(of)).map(|of| Event::BudgetWarned { run: run.id, of: *of })
}

/// What a run may use when somebody says that it may use as much again.
pub fn raised(state: &State, ctx: &Ctx, run: &Run) -> Option<Event> {
    let of = run.exhausted?;
    let (_, most) = of.of(state, ctx.settings, run, ctx.now)?;
    let most = most + more(ctx.settings, run, of);
    let mut raised = run.allowed.clone();
    let (mut attempts, mut day) = (run.attempts_most, None);
    match of {
        Limit::Minutes => raised.minutes = Some(most),
        Limit::Spawns => raised.spawns = Some(most as u32),
        Limit::Usd => raised.usd = Some(most),
        Limit::Tokens => raised.tokens = Some(most as u64),
        Limit::Attempts => attempts = Some(most as u32),
        Limit::Day => day = Some((spend::day(ctx.now), most)),
    }
    let Budget { usd, tokens, minutes, spawns } = raised;
    Some(Event::BudgetRaised { run: run.id, minutes, spawns, usd, tokens, attempts, day })
}

/// How much it is given again: as much as it had at first.
fn more(settings: &Settings, run: &Run, of: Limit) -> f64 {
    let plan = run.plan.as_ref().map(|plan| plan.budget.clone()).unwrap_or_default();
    match of {
        Limit::Minutes => plan.minutes.unwrap_or_default().max(1.0),
        Limit::Spawns => f64::from(plan.spawns.unwrap_or_default().max(1)),
        Limit::Usd => plan.usd.unwrap_or(settings.run_usd).max(spend::LEAST_USD),
        Limit::Tokens => plan.tokens.unwrap_or_default().max(1) as f64,
        Limit::Attempts => f64::from(settings.run_spawns.max(1)),
        Limit::Day => settings.day_usd.max(spend::LEAST_USD),
    }
}

fn ask(state: &State, ctx: &Ctx, run: &Run, of: Limit) -> Event {
    let left = state.index.runs.get(&run.id).map_or(0, |index| index.unsettled);
    let (_, most) = of.of(state, ctx.settings, run, ctx.now).unwrap_or_default();
    let used = of.amount(most);
    let more = of.amount(more(ctx.settings, run, of));
    let who = match of {
        Limit::Day => format!("Agents have used today's {used}, and {left} tasks of {} are not over.", run.id),
        _ => format!("{} has used its {used}, and {left} of its tasks are not over.", run.id),
    };
    decide::open(state, ctx, run, DecisionKind::Budget, None, |decision| {
        decision.question = format!("{who} How does it go on?");
        decision.detail =
            "Nothing more of it starts until this is answered. What runs goes on to its own end, and what \
                           has landed stays."
                .to_owned();
        // Money that is spent does not come back.
        decision.criticality = if matches!(of, Limit::Minutes | Limit::Spawns) { 0.3 } else { 0.5 };
        decision.options = vec![
            decide::choice("raise", "As much again", &format!("It may use {more} more."), true),
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
