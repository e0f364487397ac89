//! What an agent says and hears about its own task: `claim_task`, `agent_task`, `agent_report`, `agent_notes`.
//!
//! A session may claim a task that is offered (the `pull` driver): it gets a lane and a lease, which every further call
//! about that attempt renews. An agent that we started reads and reports its own task by the same calls. Whatever
//! either says, a task completes when its checks do.

use serde::{Deserialize, Serialize};

use super::wire::Time;
use crate::ids::{AttemptId, RunId, TaskId};

/// `claim_task`: a task for the caller, if one is offered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimReply {
    /// One line.
    pub summary: String,
    /// Journal position, for `wait_for_change`.
    pub revision: u64,
    /// What was claimed; null where nothing is offered just now.
    pub task: Option<AgentTask>,
}

/// One task as its agent sees it: `agent_task`, and inside [`ClaimReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentTask {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The attempt: the fencing token of every further call about it.
    pub attempt_id: AttemptId,
    /// Its task.
    pub task_id: TaskId,
    /// Its run.
    pub request_id: RunId,
    /// One line for people.
    pub title: String,
    /// What policy sees as `task.type`.
    #[serde(rename = "type")]
    pub kind_word: String,
    /// What is to be done, with everything that is known about it.
    pub prompt: String,
    /// The checkout to work in, absolute. Nothing outside it counts.
    pub lane: String,
    /// Globs of what may be written; empty = not narrowed.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Commands that will judge the work, run by us.
    #[serde(default)]
    pub verify: Vec<Vec<String>>,
    /// `preparing` (the lane is being laid out: ask again), `running`, `verifying`, `landing`, or how the task ended.
    pub status: String,
    /// Until when the attempt is the caller's without a word; null where no lease runs.
    #[serde(default)]
    pub lease_until: Option<Time>,
    /// What others of the run left for this one to know, oldest first.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// What an agent reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// It goes on; also renews the lease.
    Progress,
    /// It says that it is done: the checks decide.
    Done,
    /// It gives up; the text says why.
    Failed,
}

/// `agent_report`: the report was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentReportReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The task's status now, as in [`AgentTask::status`].
    pub status: String,
    /// Until when the attempt is the caller's without a word.
    #[serde(default)]
    pub lease_until: Option<Time>,
}

/// One note of a run: agents leave them for each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number within the run, from 1.
    pub number: u32,
    /// When.
    pub at: Time,
    /// Whose.
    pub by: AttemptId,
    /// What it says.
    pub text: String,
}

/// `agent_notes`: the notes of the run, after adding one where a text was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotesReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The run.
    pub request_id: RunId,
    /// Its notes after the number that was asked for, oldest first.
    pub notes: Vec<Note>,
}
