//! Which runs may be forgotten. Only what is over, and never what somebody could still want to take back.

use std::collections::BTreeSet;

use super::{settings::Settings, state::State};
use crate::{ids::RunId, time::Timestamp};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// How long a request key means the same run, milliseconds: seven days (SCHEMAS S1).
pub const KEY_LIFE_MS: u64 = 7 * DAY_MS;

/// Runs that are over, older than the configuration keeps them (by number and by age: either keeps), and not in the
/// checkout. What is applied keeps all that undo needs, until it is undone.
pub fn droppable(state: &State, settings: &Settings, now: Timestamp) -> Vec<RunId> {
    let ended = || state.runs.values().rev().filter(|run| run.ended() && run.bringing.is_none());
    let newest: BTreeSet<RunId> = ended().take(settings.keep_runs as usize).map(|run| run.id).collect();
    let young_ms = u64::from(settings.keep_days) * DAY_MS;
    let asking: BTreeSet<RunId> = state.index.open.iter().filter_map(|id| Some(state.decisions.get(id)?.run)).collect();
    let mut gone: Vec<RunId> = ended()
        .filter(|run| !newest.contains(&run.id) && !asking.contains(&run.id))
        .filter(|run| run.ended_at.is_none_or(|at| now.0.saturating_sub(at.0) >= young_ms))
        .filter(|run| run.applies.iter().all(|apply| apply.undone_at.is_some()))
        .map(|run| run.id)
        .collect();
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        Event,
        run::{Apply, Outcome, Request},
    };

    /// Runs 1 to `count`, each ended on the day of its number, each with a key.
    fn ended(count: u32) -> State {
        let mut state = State::default();
        for number in 1..=count {
            let (run, at) = (RunId(number), Timestamp(u64::from(number) * DAY_MS));
            let request = Request { key: Some(format!("key {number}")), ..Request::default() };
            state.evolve(at, &Event::RunAdded { run, request: Box::new(request) });
            let ended = Event::RunEnded { run, outcome: Outcome::Completed, why: String::new() };
            state.evolve(at, &ended);
        }
        state
    }

    fn settings(keep_runs: u32, keep_days: u32) -> Settings {
        Settings { keep_runs, keep_days, ..Settings::default() }
    }

    fn numbers(runs: &[RunId]) -> Vec<u32> {
        runs.iter().map(|run| run.0).collect()
    }

    #[test]
    fn number_and_age_each_keep_a_run() {
        let (state, now) = (ended(10), Timestamp(10 * DAY_MS));
        assert_eq!(numbers(&droppable(&state, &settings(3, 0), now)), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(&droppable(&state, &settings(3, 5), now)), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&droppable(&state, &settings(8, 5), now)), [1, 2]);
        assert_eq!(droppable(&state, &settings(20, 0), now), []);
        assert_eq!(droppable(&state, &settings(0, 14), now), []);
    }

    #[test]
    fn what_goes_on_or_is_applied_stays() {
        let (mut state, now) = (ended(4), Timestamp(100 * DAY_MS));
        let apply = Apply {
            number: 1,
            result: "r".into(),
            tasks: Vec::new(),
            before: "b".into(),
            merged: "m".into(),
            paths: Vec::new(),
            at: now,
            in_editor: false,
            unsaved: Vec::new(),
            undone_at: None,
        };
        state.evolve(now, &Event::Applied { run: RunId(1), apply: apply.clone() });
        state.evolve(now, &Event::Applied { run: RunId(2), apply });
        state.evolve(now, &Event::Undone { run: RunId(2), number: 1, paths: Vec::new() });
        state.evolve(now, &Event::ApplyBegun { run: RunId(3), tasks: Vec::new(), number: 1 });
        state.evolve(now, &Event::RunAdded { run: RunId(5), request: Box::default() });
        assert_eq!(numbers(&droppable(&state, &settings(0, 0), now)), [2, 4]);
    }

    #[test]
    fn dropped_runs_leave_nothing_but_their_number() {
        let (mut state, now) = (ended(10), Timestamp(10 * DAY_MS));
        let runs = droppable(&state, &settings(3, 0), now);
        state.evolve(now, &Event::RunsDropped { runs });
        assert_eq!(state.runs.keys().map(|run| run.0).collect::<Vec<_>>(), [8, 9, 10]);
        assert!(state.tasks.is_empty() && state.decisions.is_empty());
        assert_eq!(state.last.run, 10, "numbers are never given out twice");
        let mut keys: Vec<&str> = state.keys.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["key 10", "key 8", "key 9"]);
        let read: State = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
        assert_eq!(read.runs.len(), 3);
    }
}
