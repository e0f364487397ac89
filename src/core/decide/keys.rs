//! Keys that came with a request and are gone: they are held in memory only, and the daemon that had them is no more.
//!
//! Whoever needs them waits until some client hands them over again; every one that greets the daemon does. Nothing is
//! started without them unless a person says so: an agent without its key fails, or works on somebody else's account.

use super::{
    super::{
        event::Event,
        land::settled,
        state::State,
        task::{Phase, Settled, Task, TaskState},
    },
    choice,
    decision::{Decision, DecisionKind},
    find, open_at, short,
};
use crate::{
    ids::{AttemptId, DecisionId},
    time::Timestamp,
};

/// An agent was to start and its keys are not there: its task waits, for the one decision of its run.
pub fn missing(state: &State, attempt: AttemptId, names: &[String], now: Timestamp) -> Vec<Event> {
    let Some((task, live)) = state.live(attempt) else { return Vec::new() };
    let Some(run) = state.run(task.run) else { return Vec::new() };
    if live.phase != Phase::Running || live.end.is_some() || live.started_at.is_some() {
        return Vec::new();
    }
    let over = Event::AttemptOver { attempt, failure: None };
    if let Some(decision) = find(state, run, DecisionKind::NeedsEnv).filter(|decision| is_open(state, *decision)) {
        return vec![over, Event::TaskParked { task: task.id, decision }];
    }
    let open = open_at(state, now, run, DecisionKind::NeedsEnv, None, |decision| {
        decision.question = short(&format!("{} needs {} again", run.id, names.join(", ")));
        decision.detail = format!(
            "They came with the request, are never written down, and were lost when the daemon ended. Any client that \
             has them brings them along: run any `orchestrator` command in this repository, such as `orchestrator \
             status`, from a shell where they are set, and {} goes on by itself.",
            task.id
        );
        decision.criticality = 0.1;
        decision.options = vec![
            choice("again", "Try again", "What waits starts with the keys that the daemon has by now.", true),
            choice("without", "Go on without", "The agents start without them, as far as they can.", true),
            choice("stop", "Give it up", "What waits for them has failed; what needs it is blocked.", true),
        ];
    });
    let decision = DecisionId(state.last.decision + 1);
    vec![over, open, Event::TaskParked { task: task.id, decision }]
}

/// Somebody handed keys over: whoever waits for some tries again.
pub fn given(state: &State) -> Vec<Event> {
    let kind = |id: &&DecisionId| state.decisions.get(id).is_some_and(|found| found.kind == DecisionKind::NeedsEnv);
    let open = state.index.open.iter().filter(kind);
    let why = "a client has handed keys over again";
    let each = |id: &DecisionId| {
        let withdrawn = Event::DecisionWithdrawn { decision: *id, why: why.to_owned() };
        std::iter::once(withdrawn).chain(waiting(state, *id).map(|task| Event::TaskReopened { task: task.id }))
    };
    open.flat_map(each).collect()
}

/// What a person said.
pub fn answered(state: &State, decision: &Decision, choice: &str) -> Vec<Event> {
    let waiting = waiting(state, decision.id);
    match choice {
        "stop" => waiting.map(|task| settled(task, Settled::Failed, "its keys were not handed over again")).collect(),
        "without" if state.run(decision.run).is_some_and(|run| !run.request.keys.is_empty()) => {
            let forgone = Event::KeysForgone { run: decision.run };
            std::iter::once(forgone).chain(waiting.map(|task| Event::TaskReopened { task: task.id })).collect()
        }
        _ => waiting.map(|task| Event::TaskReopened { task: task.id }).collect(),
    }
}

/// The tasks that wait for a decision.
fn waiting(state: &State, decision: DecisionId) -> impl Iterator<Item = &Task> {
    let run = state.decisions.get(&decision).and_then(|decision| state.run(decision.run));
    let tasks = run.into_iter().flat_map(|run| &run.tasks).filter_map(|task| state.task(*task));
    tasks.filter(move |task| task.state == TaskState::Asking(decision))
}

fn is_open(state: &State, decision: DecisionId) -> bool {
    state.decisions.get(&decision).is_some_and(Decision::open)
}
