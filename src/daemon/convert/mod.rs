//! Between the wire and the core: requests in, replies and events out, and refusals in words.
//!
//! Pure functions over a [`View`]: nothing here reads a clock or a file, changes the state, or decides anything. What
//! is shown is computed from the state each time, so that a reply cannot differ from what the core goes by.

mod agent;
mod check;
mod decision;
mod event;
mod explain;
mod memo;
mod outcome;
mod plan;
mod report;
mod request;
mod run;
mod score;
mod shape;
mod task;
mod why;
mod words;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, cell::Cell};

use crate::{
    api::{ApiError, Code, wire::Time},
    core::{
        Rejection, Settings, State,
        decide::decision::Decision,
        run::{Outcome, Run},
        task::{Settled, Task, TaskState},
    },
    ids::{CheckpointId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

pub use crate::api::state::Workspace as WorkspaceInfo;
pub use agent::{agent_list, agent_report, agent_task, claim_reply, notes_reply};
pub use decision::{already_decided, criticality, decision, decision_result, pending_decisions, person_only};
pub use event::events;
pub use explain::explain_reply;
pub use memo::Memo;
pub use outcome::{
    apply_asked, apply_reply, cancel_response, checkpoint_response, restore_reply, retry_reply, status_word, undo_reply,
};
pub use plan::{analysis, plan_reply, plan_view};
pub use report::{finding, report};
pub use request::{Given, answer, placed, process_request, submit_task};
pub use run::{Surroundings, orchestrator_state, process_response, progress_report, run_line, run_list, session};
pub use score::{ask_ruling, history, scorecard};
pub use task::{task_response, task_status};
pub use why::why;

/// A workspace as it is at one moment: everything that replies are made of.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The state.
    pub state: &'a State,
    /// The configuration that the core goes by.
    pub settings: &'a Settings,
    /// The journal position that `state` stands for.
    pub revision: u64,
    /// The count of changes that led to `state`.
    pub changes: u64,
    /// The time, and whether it was looked at: see [`View::now`].
    pub clock: &'a Clock,
    /// Where this is.
    pub workspace: &'a WorkspaceInfo,
    /// What was counted already.
    pub memo: &'a Memo,
}

/// The clock of what is said moves in steps of this many milliseconds. So what a reply says of a task that runs (for how
/// long, how far, until when) is up to a tenth of a second old, which nobody sees, and need not be computed and asked
/// for again by whoever looks more often than that.
const TICK_MS: u64 = 100;

/// A moment that knows whether anybody asked for it.
#[derive(Debug)]
pub struct Clock {
    now: Timestamp,
    asked: Cell<bool>,
}

impl Clock {
    /// Nobody has asked yet.
    pub fn new(now: Timestamp) -> Clock {
        Clock { now, asked: Cell::new(false) }
    }

    /// The same, at the last tick.
    pub fn ticking(now: Timestamp) -> Clock {
        Clock::new(Timestamp(now.0 / TICK_MS * TICK_MS))
    }

    /// Until when it says the same.
    pub fn next_tick(&self) -> Timestamp {
        self.now.plus_ms(TICK_MS)
    }

    /// Whether anybody asked since this was last asked: what was computed meanwhile depends on the time.
    pub fn take_asked(&self) -> bool {
        self.asked.take()
    }
}

impl<'a> View<'a> {
    /// The time. Whoever asks makes a reply that is true for this moment only, and that is remembered: such a reply is
    /// kept for a moment at most. So ask only where the time matters.
    pub fn now(&self) -> Timestamp {
        self.clock.asked.set(true);
        self.clock.now
    }

    /// The run of this id.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub fn run(&self, id: RunId) -> Result<&'a Run, ApiError> {
        self.state.run(id).ok_or_else(|| missing("run", id, id.0, self.state.last.run, RunId(self.state.last.run)))
    }

    /// The task of this id. One that is promised and not laid out yet is shown as it will be.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub fn task(&self, id: TaskId) -> Result<Cow<'a, Task>, ApiError> {
        if let Some(task) = self.state.task(id) {
            return Ok(Cow::Borrowed(task));
        }
        // A number is promised with the answer to `submit_task`, before its run has a plan; where the task names a
        // playbook, the playbook's tasks take its place and the number stands for all of them.
        let promised = self.state.runs.values().find(|run| run.request.first_task == Some(id));
        match promised.and_then(|run| Some((run, run.request.plan.as_ref()?.tasks.first()?))) {
            Some((run, spec)) => {
                let mut task = Task::new(id, run.id, 0, spec.clone());
                task.state = match run.outcome {
                    None if run.plan.is_some() => TaskState::Trying,
                    None => TaskState::Waiting,
                    Some(Outcome::Completed) => TaskState::Settled(Settled::Completed),
                    Some(Outcome::Cancelled) => TaskState::Settled(Settled::Cancelled),
                    Some(Outcome::Partial | Outcome::Failed) => TaskState::Settled(Settled::Failed),
                };
                task.settled_at = run.ended_at;
                task.why = run.outcome_why.as_str().into();
                Ok(Cow::Owned(task))
            }
            None => Err(missing("task", id, id.0, self.state.last.task, TaskId(self.state.last.task))),
        }
    }

    /// The decision of this id.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub fn decision(&self, id: DecisionId) -> Result<&'a Decision, ApiError> {
        let last = self.state.last.decision;
        self.state.decisions.get(&id).ok_or_else(|| missing("decision", id, id.0, last, DecisionId(last)))
    }

    /// The checkpoint of this id.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub fn checkpoint(&self, id: CheckpointId) -> Result<&'a crate::core::state::Checkpoint, ApiError> {
        let last = self.state.last.checkpoint;
        self.state.checkpoints.get(&id).ok_or_else(|| missing("checkpoint", id, id.0, last, CheckpointId(last)))
    }

    /// The open decisions of a run, oldest first.
    fn open_decisions(&self, run: RunId) -> impl Iterator<Item = &'a Decision> + use<'a> {
        let state = self.state;
        let open = state.index.open.iter().filter_map(|id| state.decisions.get(id));
        open.filter(move |decision| decision.run == run)
    }

    /// The tasks of a run, in plan order.
    fn tasks(&self, run: &'a Run) -> impl Iterator<Item = &'a Task> + Clone + use<'a> {
        let state = self.state;
        run.tasks.iter().filter_map(|task| state.task(*task))
    }

    /// The tasks that one needs.
    fn needs(&self, run: &'a Run, task: &Task) -> Vec<TaskId> {
        task.spec.needs.iter().filter_map(|position| run.tasks.get(*position as usize).copied()).collect()
    }
}

/// The refusal for an id that nothing has: says whether it was ever given out.
fn missing(what: &str, id: impl std::fmt::Display, number: u32, last: u32, newest: impl std::fmt::Display) -> ApiError {
    let hint = match last {
        0 => format!("this workspace has no {what} yet; start with `orchestrator run \"…\"`"),
        // The one thing that `status` does not show.
        _ if what == "checkpoint" && number > last => format!("the newest {what} here is {newest}"),
        _ if number > last => format!("the newest {what} here is {newest}; list them with `orchestrator status`"),
        _ => "it was cleaned up with its run; what is kept is shown by `orchestrator status`".to_owned(),
    };
    ApiError::new(Code::NotFound, format!("there is no {what} {id} in this workspace"), hint)
}

/// A core's refusal as the wire has it.
pub fn rejection(rejection: Rejection) -> ApiError {
    match rejection {
        // `status` lists everything but these.
        Rejection::NotFound(what) if what.starts_with("checkpoint") => ApiError {
            hint: "`orchestrator checkpoint` saves one and says its id".to_owned(),
            ..ApiError::not_found(what)
        },
        Rejection::NotFound(what) => ApiError::not_found(what),
        Rejection::Invalid(what, hint) => ApiError::new(Code::Invalid, what, hint),
        Rejection::Cycle(path) => ApiError::new(Code::Cycle, path, "take one of these dependencies away"),
        Rejection::AlreadyDecided { choice, by, at } => {
            let by = words::answerer(&by);
            ApiError::already_decided(crate::api::error::Decided { choice, by, at: Time(at) })
        }
        Rejection::NoLongerAsked(what, hint) => ApiError::new(Code::Stale, what, hint),
        Rejection::Stale(what) => {
            ApiError::new(Code::Stale, what, "look at the newest state with `orchestrator status`")
        }
    }
}
