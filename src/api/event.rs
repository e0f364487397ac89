//! Stored facts as clients see them: the event stream that a client follows from a revision.

use std::collections::BTreeMap;

use jsonrpsee::core::{
    client::{Error as ClientError, Subscription, SubscriptionClientT},
    params::ObjectParams,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{reply::Outcome, state::RunState, wire::Time};
use crate::ids::{AttemptId, CheckpointId, DecisionId, LaneId, RunId, TaskId};

/// One thing that happened. A commit may hold several; they share its revision and come in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Journal position.
    pub revision: u64,
    /// When it was stored.
    pub at: Time,
    /// The run it belongs to, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The particulars.
    #[serde(default)]
    pub data: EventData,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// A request was accepted.
    #[serde(rename = "run.created")]
    RunCreated,
    /// It was analysed.
    #[serde(rename = "run.analyzed")]
    RunAnalyzed,
    /// It has a plan.
    #[serde(rename = "run.planned")]
    RunPlanned,
    /// Its state changed (`from`, `to`).
    #[serde(rename = "run.state_changed")]
    RunStateChanged,
    /// It ended (`outcome`).
    #[serde(rename = "run.finished")]
    RunFinished,
    /// A task joined the graph.
    #[serde(rename = "task.added")]
    TaskAdded,
    /// Its last dependency completed.
    #[serde(rename = "task.ready")]
    TaskReady,
    /// Its change is part of the run's result.
    #[serde(rename = "task.landed")]
    TaskLanded,
    /// It is done and proven.
    #[serde(rename = "task.completed")]
    TaskCompleted,
    /// It failed for good (`reason`).
    #[serde(rename = "task.failed")]
    TaskFailed,
    /// Something it needs failed.
    #[serde(rename = "task.blocked")]
    TaskBlocked,
    /// Somebody cancelled it.
    #[serde(rename = "task.cancelled")]
    TaskCancelled,
    /// Its change was taken back (`reason`).
    #[serde(rename = "task.undone")]
    TaskUndone,
    /// An attempt was given out.
    #[serde(rename = "attempt.claimed")]
    AttemptClaimed,
    /// Its process runs.
    #[serde(rename = "attempt.started")]
    AttemptStarted,
    /// Its process ended (`end`).
    #[serde(rename = "attempt.ended")]
    AttemptEnded,
    /// A check was run (`command`, `passed`).
    #[serde(rename = "check.finished")]
    CheckFinished,
    /// A question is open.
    #[serde(rename = "decision.opened")]
    DecisionOpened,
    /// It is open for long.
    #[serde(rename = "decision.reminded")]
    DecisionReminded,
    /// It no longer is (`choice` where it was answered).
    #[serde(rename = "decision.closed")]
    DecisionClosed,
    /// A checkpoint was saved.
    #[serde(rename = "checkpoint.saved")]
    CheckpointSaved,
    /// A checkpoint was restored.
    #[serde(rename = "checkpoint.restored")]
    CheckpointRestored,
    /// An agent hit its quota.
    #[serde(rename = "agent.limited")]
    AgentLimited,
    /// An agent's program is not there.
    #[serde(rename = "agent.missing")]
    AgentMissing,
    /// Most of a limit is used.
    #[serde(rename = "budget.warned")]
    BudgetWarned,
    /// All of a limit is used.
    #[serde(rename = "budget.reached")]
    BudgetReached,
}

impl EventType {
    /// Its name on the wire.
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(name)) => name,
            _ => unreachable!("every event type serializes to a string"),
        }
    }
}

/// The particulars of an event. Each type fills what its own documentation names; the rest stays absent.
///
/// `title` goes with every task and attempt event, `percent` with every event of a run that changes its progress, so
/// that a follower can draw without asking again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventData {
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The lane it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
    /// The decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<DecisionId>,
    /// The decision's question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The option that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// The checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<CheckpointId>,
    /// State before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<RunState>,
    /// State after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RunState>,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How the attempt ended: `exit:0`, `signal:9`, `timeout`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// A check's command, as one would type it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the check passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why, one or two sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Last lines of the output behind the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<String>,
    /// How many tasks the run has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// The run's completion, 0..100; never goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Everything else.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// The events of one notification as they came: read where they matter, handed on unread where they do not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Told(Box<RawValue>);

impl Told {
    /// All of them, read.
    ///
    /// # Errors
    /// Where one is no event.
    pub fn events(&self) -> serde_json::Result<Vec<Event>> {
        serde_json::from_str(self.0.get())
    }

    /// All of them, each as its own text.
    ///
    /// # Errors
    /// Where this is no list.
    pub fn each(&self) -> serde_json::Result<Vec<&RawValue>> {
        serde_json::from_str(self.0.get())
    }

    /// How long the text of all of them is, bytes.
    pub fn bytes(&self) -> usize {
        self.0.get().len()
    }
}

/// Follows events as [`OrchestratorApiClient::subscribe_events`](super::OrchestratorApiClient::subscribe_events) does,
/// without reading them.
pub async fn follow<C: SubscriptionClientT>(
    client: &C,
    after: u64,
    run: Option<RunId>,
) -> Result<Subscription<Told>, ClientError> {
    let mut params = ObjectParams::new();
    params.insert("after", after)?;
    params.insert("run", run)?;
    client.subscribe("subscribe_events", params, "unsubscribe_events").await
}

/// What happened since a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// One line.
    pub summary: String,
    /// Journal position: ask for what comes after it next.
    pub revision: u64,
    /// In order; empty when nothing happened in time.
    pub events: Vec<Event>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_its_names_of_the_schema_and_keeps_what_it_does_not_know() {
        let wire = json!({"revision": 9, "at": "2026-11-22T14:02:00.000Z", "run": "R-3", "type": "check.finished",
            "data": {"task_id": "T-1", "command": "cargo test", "passed": false, "coverage": 0.5}});
        let event: Event = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(event.kind.name(), "check.finished");
        assert_eq!(event.data.more["coverage"], 0.5);
        assert_eq!(serde_json::to_value(&event).unwrap(), wire);
        let bare: Event =
            serde_json::from_value(json!({"revision": 1, "at": "2026-11-22T14:02:00Z", "type": "budget.warned"}))
                .unwrap();
        assert_eq!((bare.run, bare.data), (None, EventData::default()));
    }
}
