//! Which task starts next, and where.
//!
//! A task starts when its last dependency is done, the critical path first; never by levels. Readers of the
//! untouched base share one lane and are handed out ahead, so that their start records share a flush with other
//! records (the keeper holds to the run's number of jobs). Everything else gets a lane of its own.

use super::{
    Ctx, bisect,
    decide::{mode, start},
    event::Event,
    graph, land,
    plan::spec::{Kind, Part},
    run::{Proving, Run, RunState, Shared, Trigger},
    state::{RunIndex, State},
    task::{Attempt, Task},
    track::moved,
};
use crate::ids::{AttemptId, LaneId};

/// How many readers are handed out at once for a run of so many jobs, and below how many more are handed out.
///
/// Long tasks are handed out one per job, so that whatever is most urgent when a place is free gets it. Short ones
/// are handed out ahead: their start records then share a flush, and no place is idle while the disk works.
fn ahead(jobs: u32, mean_ms: Option<f64>) -> (u32, u32) {
    match mean_ms {
        Some(mean) if mean < 20.0 => {
            (jobs.saturating_mul(2).max(jobs.saturating_add(8)), jobs.saturating_mul(4).max(jobs.saturating_add(24)))
        }
        Some(mean) if mean < 200.0 => (jobs.saturating_add(jobs / 2), jobs.saturating_mul(2)),
        _ => (jobs.saturating_sub(1), jobs),
    }
}

/// How many due tasks are looked at for one that can start beside those under way. Bounded, so that thousands that all
/// write the same files do not cost their number each time; nobody starves, for the first is free once nothing runs.
const LOOK_MAX: usize = 64;

/// What is due to start, after what is due to land.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    let landing = land::due(state, ctx.now);
    if !landing.is_empty() {
        return landing;
    }
    // The most urgent run first, then the oldest.
    let mut runs: Vec<&Run> = state.index.dirty.iter().filter_map(|run| state.run(*run)).collect();
    runs.sort_by_key(|run| (std::cmp::Reverse(run.request.priority), run.id));
    for run in runs {
        let Some(index) = state.index.runs.get(&run.id) else { continue };
        let events = due_of(state, ctx, run, index);
        if !events.is_empty() {
            return events;
        }
    }
    Vec::new()
}

fn due_of(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex) -> Vec<Event> {
    if let Some(event) = base_checks(state, ctx, run, index) {
        return vec![event];
    }
    if nobody_reads(state, run, index) {
        return vec![match run.cancelled {
            true => Event::SharedFreed { run: run.id, undeclared: None },
            false => Event::SharedInspecting { run: run.id },
        }];
    }
    if !matches!(run.state, RunState::Executing | RunState::Monitoring) || run.cancelled {
        return Vec::new();
    }
    let may_use = !run.halted() && run.allowed.spawns.is_none_or(|most| run.spawned < most);
    let may_use = may_use && !mode::holds(state, run);
    let starts = !run.stopping && may_use && !(run.in_order() && index.trying() > 0);
    if !run.again.is_empty()
        && let Some(event) = bisect::land_again(state, run, state.free_lane(ctx.settings.lanes_max))
    {
        return vec![event];
    }
    if run.shared == Shared::None
        && !index.ready_shared.is_empty()
        && starts
        && let Some(lane) = state.free_lane(ctx.settings.lanes_max)
    {
        return vec![Event::SharedPreparing { run: run.id, lane }];
    }
    let mut events = Vec::new();
    if starts {
        events = claim_shared(state, ctx, run, index);
        if events.is_empty() {
            events.extend(claim_own(state, ctx, run, index).unwrap_or_default());
        }
    }
    if run.state == RunState::Executing {
        events.extend(moved(run, Trigger::Monitor));
    }
    events
}

/// The checks of the untouched base, one after another in one lane.
fn base_checks(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex) -> Option<Event> {
    let next = run.baseline.iter().position(|check| check.result.is_none());
    match (run.proving_base, next) {
        (Proving::Idle, Some(_))
            if run.state == RunState::Monitoring && !run.cancelled && base_is_wanted(state, run, index) =>
        {
            let lane = state.free_lane(ctx.settings.lanes_max)?;
            Some(Event::BasePreparing { run: run.id, lane })
        }
        // A cancelled run waits for the report of what is under way: `track::record` frees the lane then.
        _ if run.cancelled || run.base_unneeded => None,
        (Proving::Running(_, current), Some(next)) if next as u32 != current => {
            Some(Event::BaseChecking { run: run.id, index: next as u32 })
        }
        (Proving::Running(..), None) => Some(Event::BaseFreed { run: run.id }),
        _ => None,
    }
}

/// Whoever is about to change something, or is at it, will be compared with the untouched base.
fn base_is_wanted(state: &State, run: &Run, index: &RunIndex) -> bool {
    let agent = |(_, _, position): &(_, _, u32)| state.tasks[&run.tasks[*position as usize]].spec.kind() == Kind::Agent;
    !index.ready_own.is_empty() || !index.trying_own.is_empty() || index.ready_other.iter().any(agent)
}

/// Whether a task may start beside those of its run that are under way: a place is free, nobody has the same token or
/// writes the same files.
pub fn may_start(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex, task: &Task) -> bool {
    let may_use = !run.halted() && run.allowed.spawns.is_none_or(|most| run.spawned < most);
    if !may_use || (run.in_order() && index.trying() > 0) {
        return false;
    }
    let extras = task.spec.extras();
    let busy = index.trying_own.iter().filter_map(|task| state.task(*task));
    (index.at_work(state).count() as u32) < run.jobs(ctx.settings.workers)
        && !extras.resources.iter().any(|token| state.index.tokens.contains(token))
        && !busy.into_iter().any(|other| clash(task, other))
}

/// Whether an agent's work was judged and found wanting.
pub fn judged_wrong(attempt: &Attempt) -> bool {
    let failure = attempt.more.as_ref().and_then(|more| more.failure.as_ref());
    failure.is_some_and(|failure| failure.class == "wrong_output")
}

/// The readers' lane comes with the first reader and goes when none is due: one that waits for an answer or for its
/// next try must not keep a lane from others.
fn nobody_reads(state: &State, run: &Run, index: &RunIndex) -> bool {
    // Not while it is open what becomes of a failed one: it may be due again at once.
    matches!(run.shared, Shared::Ready(_))
        && index.trying_shared == 0
        && (index.ready_shared.is_empty() || run.stopping || run.cancelled || run.halted())
        && !state.undecided()
}

fn claim_shared(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex) -> Vec<Event> {
    if !matches!(run.shared, Shared::Ready(_)) {
        return Vec::new();
    }
    let jobs = run.jobs(ctx.settings.workers);
    let (low, high) = ahead(jobs, index.mean_ms);
    if index.trying_shared > low {
        return Vec::new();
    }
    let mut most = high - index.trying_shared;
    if run.in_order() {
        // One after another, also where the next one's turn is in a lane of its own.
        most = u32::from(next_in_order(index));
    }
    let left = run.allowed.spawns.map_or(u32::MAX, |spawns| spawns.saturating_sub(run.spawned));
    let most = most.min(left) as usize;
    let mut claims = Vec::new();
    for (_, _, position) in index.ready_shared.iter().take(most) {
        let task = &state.tasks[&run.tasks[*position as usize]];
        let before = start::before(state, ctx, run, task);
        if !before.is_empty() {
            // Those that came before it start with the next answer.
            return before;
        }
        claims.push(claimed(next_attempt(task), None, None));
    }
    claims
}

/// Whether the next task of a plan that is done in order reads in the shared lane.
fn next_in_order(index: &RunIndex) -> bool {
    match (index.ready_shared.first(), index.ready_own.first()) {
        (Some(shared), Some(own)) => shared < own,
        (shared, _) => shared.is_some(),
    }
}

fn claim_own(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex) -> Option<Vec<Event>> {
    if run.in_order() && next_in_order(index) {
        return None;
    }
    let unstarted_base = run.proving_base == Proving::Idle && run.baseline.iter().any(|check| check.result.is_none());
    let full = index.at_work(state).count() as u32 >= run.jobs(ctx.settings.workers);
    if index.ready_own.is_empty() || unstarted_base || full {
        return None;
    }
    let busy: Vec<&Task> = index.trying_own.iter().filter_map(|task| state.task(*task)).collect();
    let due = index.ready_own.iter().map(|(_, _, position)| &state.tasks[&run.tasks[*position as usize]]);
    let tokens = &state.index.tokens;
    // Tasks of one plan often write the very same files: one comparison answers for all of them.
    let mut refused: Option<&Vec<String>> = None;
    let mut due = due.take(LOOK_MAX);
    let task = due.find(|task| {
        let extras = task.spec.extras();
        let writes = extras.writes.as_ref();
        let taken = extras.resources.iter().any(|token| tokens.contains(token));
        if taken || (refused.is_some() && refused == writes) || bisect::waits(run, task) {
            return false;
        }
        let clashes = busy.iter().any(|other| clash(task, other));
        if clashes {
            refused = writes;
        }
        !clashes
    })?;
    let before = start::before(state, ctx, run, task);
    if !before.is_empty() {
        return Some(before);
    }
    let lane = state.free_lane(ctx.settings.lanes_max)?;
    let from = run.tip_commit()?.to_owned();
    Some(vec![claimed(next_attempt(task), Some(lane), Some(from))])
}

fn claimed(attempt: AttemptId, lane: Option<LaneId>, from: Option<String>) -> Event {
    Event::AttemptClaimed { attempt, lane, from, start: None, agent: None }
}

/// Whether two tasks of a run must not run at once: they write the same files.
pub fn clash(a: &Task, b: &Task) -> bool {
    let part = |task: &Task| task.spec.extras().part;
    if matches!(part(a), Some(Part::Candidate(_))) && part(a) == part(b) {
        // Of those, one lands at most.
        return false;
    }
    let (a, b) = (a.spec.extras(), b.spec.extras());
    match (&a.writes, &b.writes) {
        (Some(a), Some(b)) => graph::overlaps(a, b, cfg!(target_os = "macos")),
        _ => false,
    }
}

/// The attempt that a task would have next.
pub fn next_attempt(task: &Task) -> AttemptId {
    AttemptId { task: task.id, generation: task.attempts.len() as u32 + 1 }
}
