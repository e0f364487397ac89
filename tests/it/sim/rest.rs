//! What must be true when a world has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator::{
    core::{
        Ctx, Event, Rng, State,
        decide::decision::DecisionKind,
        execute,
        plan::spec::{self, Kind},
        run::RunState,
        task::{Attempt, Phase, Settled, Task, TaskState},
    },
    ids::{AttemptId, DecisionId, TaskId},
};

use super::{keeper::Standing, world::World};

/// Nothing happens any more: nobody holds anything, and who is not done waits for a person.
pub fn check_pause(world: &World) {
    let state = &world.core.state;
    let held = || {
        let runs = state.runs.values().filter(|run| !run.ended());
        let runs = runs.map(|run| {
            let tasks: Vec<_> = run.tasks.iter().map(|task| (task, state.tasks[task].state)).collect();
            format!(
                "{} {} {:?} {:?} {:?} {tasks:?}",
                run.id, run.state, run.shared, run.proving_base, run.proving_final
            )
        });
        runs.collect::<Vec<_>>().join("; ")
    };
    for task in state.tasks.values() {
        // Who waits for a person keeps its lane, and that person is asked.
        let live = task.current().filter(|(_, live)| !(live.held() && asked(state, task.id, live)));
        let live = live.map(|(attempt, live)| (attempt, live.phase, live.lane, &live.end));
        assert_eq!(live, None, "an attempt is under way at rest: {}", held());
    }
    let kept = state.tasks.values().filter_map(|task| task.current()).filter_map(|(_, live)| live.lane).count();
    assert!(state.index.lanes.len() == kept, "lanes are held at rest: {:?}: {}", state.index.lanes, held());
    assert!(kept > 0 || state.index.tokens.is_empty(), "tokens are held at rest: {:?}", state.index.tokens);
    for task in state.tasks.values() {
        match task.state {
            TaskState::Ready => {
                let free = state.free_lane(world.core.settings.lanes_max);
                let why = waits(world, task);
                assert!(why, "{} is due at rest, a lane is {free:?}: {:?}: {}", task.id, task.attempts.last(), held());
            }
            TaskState::Retry(at) => panic!("{} is due again at {at}, and nothing happens: {}", task.id, held()),
            TaskState::Asking(id) => {
                assert!(state.decisions[&id].open(), "{} waits for {id}, which is not open: {}", task.id, held());
            }
            TaskState::Trying | TaskState::Waiting | TaskState::Settled(_) => {}
        }
    }
    for run in state.runs.values() {
        let asked = state.index.open.iter().any(|id| state.decisions[id].run == run.id);
        // Who is asked in another run may hold what it needs: the lane for its checks, or what a due task waits for.
        let no_lane = state.free_lane(world.core.settings.lanes_max).is_none();
        let waits = no_lane || run.tasks.iter().any(|task| state.tasks[task].state == TaskState::Ready);
        assert!(run.ended() || asked || waits, "{} is {} at rest and nobody is asked: {}", run.id, run.state, held());
        assert!(run.bringing.is_none(), "{} is being applied for ever", run.id);
    }
    for job in world.keeper.jobs.values() {
        assert!(matches!(job.standing, Standing::Ended(_)), "{} is under way at rest", job.order.id);
    }
}

/// Whether somebody is asked what this attempt waits for.
fn asked(state: &State, task: TaskId, live: &Attempt) -> bool {
    let open = |id: &DecisionId| state.decisions[id].open();
    if live.phase == Phase::Reviewing {
        let review = |id: &&DecisionId| {
            let decision = &state.decisions[*id];
            let kinds = [DecisionKind::Review, DecisionKind::BreakingChange, DecisionKind::Security];
            kinds.contains(&decision.kind) && decision.task == Some(task)
        };
        return state.index.open.iter().any(|id| review(&id));
    }
    let mut asks = live.agent().into_iter().flat_map(|part| &part.asks).filter(|ask| ask.verdict.is_none());
    asks.all(|ask| ask.decision.as_ref().is_some_and(open))
}

/// Whether a due task waits for something that a person's answer will give it.
fn waits(world: &World, task: &Task) -> bool {
    let (state, settings) = (&world.core.state, &world.core.settings);
    let run = &state.runs[&task.run];
    let mut open = state.index.open.iter().map(|id| &state.decisions[id]).filter(|decision| decision.run == run.id);
    if run.exhausted.is_some() {
        // It has used up what it may use, and somebody is asked about the run, not about a task of it.
        return open.any(|decision| decision.kind == DecisionKind::Budget && decision.task.is_none());
    }
    if run.state == RunState::Planning {
        // Before its plan is approved, a run starts nothing.
        return open.any(|decision| decision.task.is_none());
    }
    // Somebody who is asked holds what it needs: the lane, a token, the files, an agent, the place.
    let held = |task: &Task| task.current().filter(|(_, live)| live.held()).map(|(_, live)| live.agent().is_some());
    let holders: Vec<bool> = state.tasks.values().filter_map(|task| held(task)).collect();
    if holders.is_empty() {
        return false;
    }
    let by_agent = task.spec.kind() == Kind::Agent && holders.contains(&true);
    let ctx = Ctx { now: world.wall(), rng: &mut Rng(0), settings };
    by_agent
        || state.free_lane(settings.lanes_max).is_none()
        || !execute::may_start(state, &ctx, run, &state.index.runs[&run.id], task)
}

/// Everything is over: what landed is there, once; what was done outside was allowed.
pub fn check_end(world: &World) {
    let state = &world.core.state;
    for run in state.runs.values() {
        assert!(run.ended(), "{} is {}", run.id, run.state);
        let Some(tip) = &run.tip else {
            assert!(run.landed.is_empty(), "{} landed nowhere", run.id);
            continue;
        };
        let tree = world.git.tree(&tip.commit);
        let landed: BTreeMap<String, String> =
            run.landed.iter().map(|(attempt, _)| (attempt.task.to_string(), origin(state, *attempt))).collect();
        let files: BTreeMap<String, String> = tree.clone().into_iter().filter(|(path, _)| path != "common").collect();
        assert_eq!(files, landed, "{}: what landed and what is there differ", run.id);
        for (attempt, _) in &run.landed {
            let how = state.tasks[&attempt.task].settled();
            assert_eq!(how, Some(Settled::Completed), "{attempt} landed, and its task is {how:?}");
        }
        if !run.landed.is_empty() && !world.tampered.contains(&run.id) {
            assert_eq!(world.git.refs.get(&run.id), Some(&tip.commit), "{}: its ref is elsewhere", run.id);
        }
        if let (Some(_), Some(commit)) = (&run.branch, world.git.branches.get(&run.id))
            && !run.landed.is_empty()
            && run.notes.iter().all(|note| !note.starts_with("no branch"))
        {
            assert_eq!(*commit, tip.commit, "{}: its branch is something else", run.id);
        }
        let numbers: BTreeSet<u32> = run.applies.iter().map(|apply| apply.number).collect();
        assert_eq!(numbers.len(), run.applies.len(), "{} was applied twice under one number", run.id);
    }
    check_history(world);
}

/// The attempt whose work it is: one that lands once more made nothing itself, nor does a session here, which hands in
/// what it began with.
fn origin(state: &State, mut attempt: AttemptId) -> String {
    let before = |attempt: AttemptId| {
        let task = &state.tasks[&attempt.task];
        let found = task.attempt(attempt.generation)?;
        let more = found.more.as_ref()?;
        let made = |generation: &u32| {
            let earlier = task.attempt(*generation).and_then(|earlier| earlier.more.as_ref());
            earlier.is_some_and(|earlier| earlier.commit == more.start)
        };
        let handed_in = || (1..attempt.generation).find(made).filter(|_| found.leased() && more.start.is_some());
        more.relands.or_else(handed_in)
    };
    while let Some(generation) = before(attempt) {
        attempt.generation = generation;
    }
    attempt.to_string()
}

/// What the journal says: nothing that was done was done again, nothing was done outside without a word.
fn check_history(world: &World) {
    let state = &world.core.state;
    let mut done: BTreeSet<TaskId> = BTreeSet::new();
    let mut said: BTreeMap<TaskId, u32> = BTreeMap::new();
    let mut vouched: BTreeSet<TaskId> = BTreeSet::new();
    let mut asked: BTreeMap<DecisionId, (DecisionKind, TaskId)> = BTreeMap::new();
    for (_, events) in &world.core.journal {
        let events: Vec<Event> = serde_json::from_slice(events).expect("a journal is read back");
        for event in events {
            match event {
                Event::TaskSettled { task, how: Settled::Completed, .. } => {
                    assert!(done.insert(task), "{task} was completed twice");
                }
                Event::TaskReopened { task } => drop(done.remove(&task)),
                // What lands once more is settled a second time, and nothing of it ran.
                Event::LandingUndone { culprit, again, dropped, .. } => {
                    let again = again.iter().chain([&culprit]).map(|attempt| attempt.task);
                    let undone: Vec<TaskId> = again.chain(dropped).collect();
                    done.retain(|task| !undone.contains(task));
                }
                Event::CheckpointRestored { tasks, .. } | Event::TasksApart { tasks, .. } => {
                    done.retain(|task| !tasks.contains(task));
                }
                Event::AttemptClaimed { attempt, .. } => {
                    assert!(!done.contains(&attempt.task), "{attempt} began though its task was done");
                    for need in &state.tasks[&attempt.task].spec.needs {
                        let run = &state.runs[&state.tasks[&attempt.task].run];
                        let needed = run.tasks[*need as usize];
                        assert!(done.contains(&needed), "{attempt} began before {needed} was done");
                    }
                }
                Event::DecisionOpened { decision } => {
                    if let Some(task) = decision.task {
                        asked.insert(decision.id, (decision.kind, task));
                    }
                }
                Event::DecisionAnswered { decision, answer } => match asked.get(&decision) {
                    Some((_, task)) if answer.choice == "allow" || answer.choice == "again" => {
                        *said.entry(*task).or_default() += 1;
                    }
                    Some((_, task)) if answer.choice == "done" => drop(vouched.insert(*task)),
                    _ => {}
                },
                _ => {}
            }
        }
    }
    for (id, (times, there)) in &world.outside {
        let task = &state.tasks[id];
        if !task.spec.extras().idempotent {
            let said = said.get(id).copied().unwrap_or(0);
            assert!(*times <= said, "{id} did {times} things outside, and people said yes {said} times");
        }
        let gone = task.settled() == Some(Settled::Undone) && !vouched.contains(id);
        assert!(!(gone && *there), "{id} is undone, and its effect is there");
    }
    for task in state.tasks.values().filter(|task| task.spec.effect == spec::Effect::External) {
        if task.settled() == Some(Settled::Completed) && !vouched.contains(&task.id) {
            let there = world.outside.get(&task.id).is_some_and(|(_, there)| *there);
            assert!(there, "{} is completed, and its effect is not there", task.id);
        }
    }
}
