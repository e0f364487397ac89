//! What must hold after every step. Asserted in debug builds; a violation is a bug, never somebody's input.
//!
//! The check walks everything, so a state with thousands of tasks is only looked at by its tables.

use super::{
    plan::spec::Part,
    run::Proving,
    settings::Settings,
    state::State,
    task::{Settled, TaskState},
};

/// Above this many tasks only the cheap part is checked, so that debug builds stay usable.
const TASKS_MAX: usize = 2_000;

/// Panics if the state contradicts itself.
pub fn check(state: &State, settings: &Settings) {
    assert!(state.index.due.is_empty(), "a reported attempt was left undecided");
    assert!(state.index.failed.is_empty(), "a failed attempt was left undecided");
    assert!(state.index.blocking.is_empty(), "dependants of a failure were left waiting");
    // Twice as many, for those of attempts that wait for a person: see `State::lanes_allowed`.
    assert!(state.index.lanes.len() <= 2 * settings.lanes_max as usize, "more lanes are held than there are");
    if state.tasks.len() > TASKS_MAX {
        return;
    }
    lanes(state);
    for run in state.runs.values() {
        assert_eq!(run.ended(), !state.index.runs.contains_key(&run.id), "{}: its tables outlive it", run.id);
        let tasks: Vec<_> = run.tasks.iter().map(|task| &state.tasks[task]).collect();
        for task in &tasks {
            assert!(
                !run.ended() || run.outcome.is_some() && (task.settled().is_some() || run.plan.is_none()),
                "{} is over, {} is not",
                run.id,
                task.id
            );
            let current = task.current();
            assert_eq!(
                current.is_some(),
                task.state == TaskState::Trying,
                "{}: its state {:?} and its attempt disagree",
                task.id,
                task.state
            );
            // Who chooses among candidates waits for them to be over, not for each to be done.
            let picks = task.spec.extras().part == Some(Part::Picks);
            if !picks && (task.settled() == Some(Settled::Completed) || current.is_some()) {
                for need in &task.spec.needs {
                    let needed = tasks[*need as usize];
                    assert!(
                        needed.settled() == Some(Settled::Completed)
                            || task.attempts.is_empty()
                            || !needed.attempts.is_empty(),
                        "{} ran before {}",
                        task.id,
                        needed.id
                    );
                }
            }
        }
        if let Some(index) = state.index.runs.get(&run.id) {
            let unsettled = tasks.iter().filter(|task| task.settled().is_none()).count();
            assert_eq!(index.unsettled as usize, unsettled, "{}: unsettled tasks are miscounted", run.id);
            let trying = tasks.iter().filter(|task| task.state == TaskState::Trying).count();
            assert_eq!(index.trying() as usize, trying, "{}: attempts are miscounted", run.id);
            let ready = tasks.iter().filter(|task| task.state == TaskState::Ready).count();
            let tables = index.ready_shared.len() + index.ready_own.len() + index.ready_other.len();
            assert_eq!(tables, ready, "{}: ready tasks are miscounted", run.id);
        }
        // A landed attempt is one of the run's, and no task landed twice.
        let mut landed: Vec<_> = run.landed.iter().map(|(attempt, _)| attempt.task).collect();
        landed.sort_unstable();
        landed.dedup();
        assert_eq!(landed.len(), run.landed.len(), "{}: a task landed twice", run.id);
    }
}

/// Nobody shares a lane but the readers of one run.
fn lanes(state: &State) {
    let mut held = Vec::new();
    for task in state.tasks.values() {
        held.extend(task.current().and_then(|(_, attempt)| attempt.lane));
    }
    for run in state.runs.values() {
        held.extend(run.shared.lane());
        for proving in [run.proving_base, run.proving_final] {
            match proving {
                Proving::Preparing(lane) | Proving::Running(lane, _) => held.push(lane),
                Proving::Idle => {}
            }
        }
    }
    held.sort_unstable();
    let mut known: Vec<_> = state.index.lanes.iter().copied().collect();
    known.sort_unstable();
    assert_eq!(held, known, "the lanes that are held and the table of them disagree");
}
