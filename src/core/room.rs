//! Room on the disk. Whoever wants a lane where there is too little waits, and everybody can see that; nothing fails.
//!
//! The daemon removes what it may before it says so. While room is missing no further lane is given out, and those who
//! wait are looked at again: soon at first, then every two minutes.

use serde::{Deserialize, Serialize};

use super::{
    effect::{self, Effect},
    event::Event,
    input::Report,
    settings::Settings,
    state::State,
    task::Phase,
};
use crate::{
    ids::{AttemptId, RunId},
    time::Timestamp,
};

/// How long until the first further look, and the longest time between two, milliseconds.
const LOOK_MS: (u64, u64) = (15_000, 120_000);

/// Whose lane cannot be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiter {
    /// An attempt's.
    Attempt(AttemptId),
    /// That of the readers of a run.
    Shared(RunId),
    /// That of the checks of its base.
    Base(RunId),
    /// That of its final checks.
    Final(RunId),
}

/// That there is too little room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// What is missing, and what to do.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is looked again.
    pub next: Timestamp,
    /// Looks so far.
    pub looks: u32,
    /// Whose lanes wait. Invariant: no step that lays one of these out is under way.
    pub waiting: Vec<Waiter>,
}

impl Room {
    /// From now on.
    pub fn new(why: &str, at: Timestamp) -> Room {
        let next = at.plus_ms(LOOK_MS.0);
        Room { why: why.to_owned(), since: at, next, looks: 0, waiting: Vec::new() }
    }

    /// It is looked again now.
    pub fn looked(&mut self, at: Timestamp, waiting: &[Waiter]) {
        self.waiting.retain(|waiter| !waiting.contains(waiter));
        self.looks += 1;
        self.next = at.plus_ms((LOOK_MS.0 << self.looks.min(8)).min(LOOK_MS.1));
    }
}

impl Waiter {
    /// Whose lane an effect lays out.
    pub fn of(effect: &Effect) -> Option<Waiter> {
        match effect {
            Effect::PrepareLane { attempt, .. } => Some(Waiter::Attempt(*attempt)),
            Effect::PrepareShared { run, .. } => Some(Waiter::Shared(*run)),
            Effect::PrepareBase { run, .. } => Some(Waiter::Base(*run)),
            Effect::PrepareFinal { run, .. } => Some(Waiter::Final(*run)),
            _ => None,
        }
    }

    /// The run that it is for.
    pub fn run(self, state: &State) -> Option<RunId> {
        match self {
            Waiter::Attempt(attempt) => state.task(attempt.task).map(|task| task.run),
            Waiter::Shared(run) | Waiter::Base(run) | Waiter::Final(run) => Some(run),
        }
    }

    /// What is reported where nobody is to wait.
    fn failed(self, why: String) -> Report {
        match self {
            Waiter::Attempt(attempt) => Report::LaneFailed { attempt, why },
            Waiter::Shared(run) => Report::SharedPrepared { run, failed: Some(why) },
            Waiter::Base(run) => Report::BasePrepared { run, failed: Some(why) },
            Waiter::Final(run) => Report::FinalPrepared { run, failed: Some(why) },
        }
    }
}

/// What follows where a lane finds no room: it waits, unless somebody stopped what it is for.
pub fn missing(state: &State, waiter: Waiter, why: String) -> Result<Vec<Event>, Box<Report>> {
    let run = waiter.run(state).and_then(|run| state.run(run)).filter(|run| !run.cancelled && !run.ended());
    let wanted = match waiter {
        Waiter::Attempt(attempt) => state
            .live(attempt)
            .is_some_and(|(task, live)| matches!(live.phase, Phase::Preparing | Phase::Restaging) && !task.cancelled),
        Waiter::Base(_) => run.is_some_and(|run| !run.base_unneeded),
        Waiter::Shared(_) | Waiter::Final(_) => true,
    };
    let Some(run) = run.filter(|_| wanted) else { return Err(Box::new(waiter.failed(why))) };
    let note = format!("it waited for room on the disk: {why}");
    let noted = run.notes.iter().any(|known| known.starts_with("it waited for room on the disk"));
    let note = (!noted).then_some(Event::RunNoted { run: run.id, note });
    Ok(std::iter::once(Event::RoomMissing { waiter, why }).chain(note).collect())
}

/// Whether a report says that a lane was laid out: then there is room.
pub fn found_by(report: &Report) -> bool {
    matches!(
        report,
        Report::LanePrepared { .. }
            | Report::SharedPrepared { failed: None, .. }
            | Report::BasePrepared { failed: None, .. }
            | Report::FinalPrepared { failed: None, .. }
    )
}

/// There is room again: whoever waits tries at once.
pub fn found(state: &State) -> Option<Event> {
    state.room.as_ref().map(|room| Event::RoomFound { waiting: room.waiting.clone() })
}

/// It is time to look again. Where nobody waits any more, the next one finds out.
pub fn look(state: &State) -> Option<Event> {
    let room = state.room.as_ref()?;
    match room.waiting.is_empty() {
        true => found(state),
        false => Some(Event::RoomSought { waiting: room.waiting.clone() }),
    }
}

/// What lays the lanes of these out, as far as somebody wants them still.
pub fn lay_out(state: &State, settings: &Settings, waiting: &[Waiter], effects: &mut Vec<Effect>) {
    let due = waiting.iter().filter_map(|waiter| {
        effect::of_waiter(state, settings, *waiter).filter(|effect| Waiter::of(effect) == Some(*waiter))
    });
    effects.extend(due);
}
