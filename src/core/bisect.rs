//! When a check of the whole result is red though every change was proven alone: which landing did it, and the result
//! without it.
//!
//! Landings are a line of commits, so the first red one is found by halving it, the check run anew on a commit between
//! a green and a red one each time. The one that is found is taken out and named. What landed after it lands once more
//! on what is left, merged and proven as any landing; no agent and no command of a task runs a second time for it.

use serde::{Deserialize, Serialize};

use super::{
    event::Event,
    graph::Graph,
    land::settled,
    plan::spec::Effect as Touches,
    prove::CheckResult,
    recover::failure,
    run::{Proving, Run, Tip, Trigger},
    state::State,
    task::{Settled, Task, TaskState},
    track::moved,
};
use crate::ids::{AttemptId, LaneId, TaskId};

/// A search that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bisect {
    /// The final check that is red.
    pub check: u32,
    /// It is green with so many landings; `None` = not even known of the base.
    pub good: Option<u32>,
    /// It is red with so many.
    pub bad: u32,
    /// The commit to look at was looked at, and its lane is to be given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked: bool,
}

impl Bisect {
    /// With how many landings the check runs next; `None` = the search is over.
    pub fn next(self) -> Option<u32> {
        match self.good {
            None if self.bad == 0 => None,
            None => Some(0),
            Some(good) if good + 1 >= self.bad => None,
            Some(good) => Some(good.midpoint(self.bad)),
        }
    }

    /// What a look at the commit of [`Bisect::next`] adds.
    pub fn learn(&mut self, green: bool) {
        let Some(at) = self.next() else { return };
        if green {
            self.good = Some(at);
        } else {
            self.bad = at;
        }
        self.looked = true;
    }
}

/// The commit with the first `landed` landings.
pub fn commit(run: &Run, landed: u32) -> Option<&str> {
    match landed.checked_sub(1) {
        None => run.base.as_ref().map(|base| base.commit.as_str()),
        Some(last) => run.landed.get(last as usize).map(|(_, commit)| commit.as_str()),
    }
}

/// The commit that the final checks look at: the result, or the one that a search has come to.
pub fn looked_at(run: &Run) -> Option<&str> {
    match run.bisect.and_then(Bisect::next) {
        Some(landed) => commit(run, landed),
        None => run.tip_commit(),
    }
}

/// A search that is to begin: a final check is red, and something landed that may have done it. Where that is one
/// landing, the search is over with what the check says of the base.
pub fn begin(run: &Run) -> Option<Event> {
    if run.bisect.is_some() || run.cancelled || run.landed.is_empty() || run.unexplained.is_some() {
        return None;
    }
    let red = |check: &super::run::Baseline| {
        check.result.as_ref().is_some_and(|result| result.conclusive() && !result.passed())
    };
    let check = run.finals.iter().position(red)?;
    // What the same check said of the base is known where it was among the checks of a task.
    let base = run.baseline.iter().find(|base| base.argv == run.finals[check].argv);
    let good = match base.and_then(|base| base.result.as_ref()).filter(|result| result.conclusive()) {
        Some(result) if result.passed() => Some(0),
        Some(_) => return None,
        None => None,
    };
    Some(Event::BisectBegun { run: run.id, check: check as u32, good, bad: run.landed.len() as u32 })
}

/// What a look adds; one that says nothing of the tree ends the search.
pub fn looked(run: &Run, result: &CheckResult) -> Event {
    match result.conclusive() {
        true => Event::BisectLooked { run: run.id, green: result.passed() },
        false => gave_up(run, &format!("the check could not be run ({})", result.end)),
    }
}

/// A search that ends without a result.
pub fn gave_up(run: &Run, why: &str) -> Event {
    let command = command(run);
    Event::BisectEnded { run: run.id, why: format!("which change made `{command}` red could not be found out: {why}") }
}

fn command(run: &Run) -> String {
    let check = run.bisect.and_then(|bisect| run.finals.get(bisect.check as usize));
    check.map_or(String::new(), |check| check.argv.join(" "))
}

/// What is next in a search: a lane is laid out at the next commit, or the search is over and its result is drawn.
pub fn due(state: &State, run: &Run, free: Option<LaneId>) -> Vec<Event> {
    let Some(bisect) = run.bisect else { return Vec::new() };
    match run.proving_final {
        Proving::Running(..) if bisect.looked => vec![Event::FinalFreed { run: run.id }],
        Proving::Running(..) | Proving::Preparing(_) => Vec::new(),
        Proving::Idle if bisect.next().is_some() => {
            free.map(|lane| Event::FinalPreparing { run: run.id, lane }).into_iter().collect()
        }
        Proving::Idle => found(state, run, bisect),
    }
}

fn found(state: &State, run: &Run, bisect: Bisect) -> Vec<Event> {
    let command = command(run);
    let Some(position) = bisect.good.map(|good| good as usize) else {
        let why = format!("`{command}` was red before any change");
        return vec![Event::BisectEnded { run: run.id, why }];
    };
    let Some(culprit) = run.landed.get(position).map(|(attempt, _)| attempt.task) else { return Vec::new() };
    let title = state.task(culprit).map(|task| task.spec.title().to_owned()).unwrap_or_default();
    let tail =
        run.finals.get(bisect.check as usize).and_then(|check| check.result.as_ref()).map(|result| &*result.tail);
    let what = format!("`{command}` is red on the whole result since this landed\n{}", tail.unwrap_or_default());
    let note = format!("{culprit} made `{command}` red on the whole result and was taken out: {title}");
    let mut events = match take_out(state, run, position, &what, note) {
        Ok(events) => events,
        Err(outside) => {
            let why =
                format!("`{command}` is red since {culprit} landed ({title}); it cannot be taken out, for {outside}");
            return vec![Event::BisectEnded { run: run.id, why }];
        }
    };
    events.extend(moved(run, Trigger::Error));
    let to = super::run::RunState::Executing;
    events.push(Event::RunMoved { run: run.id, to, trigger: Trigger::Recover });
    events
}

/// Takes the landing at this place out of the result: what landed after it lands once more without it, and what was
/// built on it is dropped. Or why it has to stay.
pub fn take_out(state: &State, run: &Run, position: usize, what: &str, note: String) -> Result<Vec<Event>, String> {
    let Some(culprit) = run.landed.get(position).map(|(attempt, _)| *attempt) else { return Ok(Vec::new()) };
    let Some(task) = state.task(culprit.task) else { return Ok(Vec::new()) };
    let needs = run.tasks.iter().filter_map(|task| state.task(*task)).map(|task| task.spec.needs.as_slice());
    let graph = Graph::from_needs(needs).unwrap_or_default();
    let after = graph.descendants(task.position);
    let built_on: Vec<TaskId> = after.into_iter().map(|position| run.tasks[position as usize]).collect();
    let done = |id: &TaskId| state.task(*id).is_some_and(|task| task.settled() == Some(Settled::Completed));
    let dropped: Vec<TaskId> = built_on.iter().copied().filter(done).collect();
    let later = run.landed[position + 1..].iter().map(|(attempt, _)| *attempt);
    let again: Vec<AttemptId> = later.filter(|attempt| !built_on.contains(&attempt.task)).collect();
    // What was done outside cannot be taken out of a tree.
    let outside = |id: &TaskId| state.task(*id).is_some_and(|task| task.spec.effect == Touches::External);
    let moved_tasks = || std::iter::once(culprit.task).chain(dropped.iter().copied());
    if moved_tasks().any(|id| outside(&id)) || again.iter().any(|attempt| outside(&attempt.task)) {
        return Err("tasks with effects outside are among what would have to go with it".to_owned());
    }
    let Some(tip) = tip(state, run, position) else { return Ok(Vec::new()) };
    Ok(vec![
        Event::LandingUndone {
            run: run.id,
            culprit,
            failure: failure::wrong_output(what),
            landed: position as u32,
            commit: tip.commit,
            tree: tip.tree,
            again,
            dropped,
        },
        Event::RunNoted { run: run.id, note },
        settled(task, Settled::Undone, what),
    ])
}

/// The run's tip with so many landings.
fn tip(state: &State, run: &Run, landed: usize) -> Option<Tip> {
    let Some(last) = landed.checked_sub(1) else {
        let base = run.base.as_ref()?;
        return Some(Tip { commit: base.commit.clone(), tree: base.tree.clone() });
    };
    let (attempt, commit) = run.landed.get(last)?;
    let more = state.task(attempt.task)?.attempt(attempt.generation)?.more.as_ref()?;
    let (_, tree, _) = more.merged.as_ref()?;
    Some(Tip { commit: commit.clone(), tree: tree.clone() })
}

/// The next change that lands once more, if its turn has come and a lane is free.
pub fn land_again(state: &State, run: &Run, free: Option<LaneId>) -> Option<Event> {
    let due = |attempt: &&AttemptId| state.task(attempt.task).is_some_and(|task| task.state == TaskState::Ready);
    let before = run.again.iter().find(due)?;
    let task = state.task(before.task)?;
    let from = task.attempt(before.generation)?.more.as_ref()?.from.clone()?;
    Some(Event::AttemptRelanded {
        attempt: super::execute::next_attempt(task),
        before: before.generation,
        of: None,
        lane: free?,
        from,
    })
}

/// Whether a task waits to land once more: nobody hands it out meanwhile.
pub fn waits(run: &Run, task: &Task) -> bool {
    run.again.iter().any(|attempt| attempt.task == task.id)
}
