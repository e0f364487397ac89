//! The decision object (SCHEMAS S3): one question, many faces. This is its stored form.

use serde::{Deserialize, Serialize};

use super::gate::Judgement;
use super::ladder::Case;
use crate::{
    ids::{DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// The request can be read in several ways.
    Clarify,
    /// Commands found in the workspace's files want to run.
    Trust,
    /// The plan wants a yes before it starts.
    PlanApproval,
    /// An effect outside wants a yes, or a rule wants one.
    Permission,
    /// The same for a deployment.
    Deploy,
    /// A task of the plan is itself a question.
    AgentQuestion,
    /// No agent can do it.
    NoAgent,
    /// Two changes touch the same lines.
    Conflict,
    /// It may have run, and running it twice may do harm.
    RetryExhausted,
    /// An effect outside could not be taken back.
    StuckUndo,
    /// The run has used up what it may use.
    Budget,
    /// Files changed in the lane that readers share.
    UndeclaredWrite,
    /// Nothing can prove a change, or it touched what was to prove it.
    Review,
    /// A change takes away or alters what others may build on, though compatibility was to be kept.
    BreakingChange,
    /// A change brings in what looks like a secret, or weakens a protection.
    Security,
    /// The run's deadline cannot be held.
    Deadline,
    /// The result is ready to enter the checkout.
    Apply,
    /// Keys that came with the request were only in the memory of a daemon that is gone.
    NeedsEnv,
}

impl DecisionKind {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            DecisionKind::Clarify => "clarify",
            DecisionKind::Trust => "trust",
            DecisionKind::PlanApproval => "plan_approval",
            DecisionKind::Permission => "permission",
            DecisionKind::Deploy => "deploy",
            DecisionKind::AgentQuestion => "agent_question",
            DecisionKind::NoAgent => "no_agent",
            DecisionKind::Conflict => "conflict",
            DecisionKind::RetryExhausted => "retry_exhausted",
            DecisionKind::StuckUndo => "stuck_undo",
            DecisionKind::UndeclaredWrite => "undeclared_write",
            DecisionKind::Review => "review",
            DecisionKind::BreakingChange => "breaking_change",
            DecisionKind::Security => "security",
            DecisionKind::Deadline => "deadline",
            DecisionKind::Apply => "apply",
            DecisionKind::NeedsEnv => "needs_env",
            DecisionKind::Budget => "budget",
        }
    }
}

/// One possible answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// `[a-z0-9_-]+`.
    pub id: String,
    /// A few words.
    pub title: String,
    /// One sentence: what it does.
    pub effect: String,
    /// Whether it lets nothing happen that could not be taken back. Where it is false, what is asked about happens, and
    /// that has its own way back or none: the wire says it of both from there.
    pub reversible: bool,
    /// Whether a text may come with it.
    #[serde(default)]
    pub takes_text: bool,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// `person` or `session`.
    pub kind: String,
    /// `cli`, `lsp`, `mcp_form`, `mcp_prompt`, `mcp_tool`.
    pub surface: String,
    /// The client's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{} ({})", self.kind, self.surface),
        }
    }
}

/// An answer, as it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The option's id.
    pub choice: String,
    /// Words that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Who gave it.
    pub by: By,
    /// When.
    pub at: Timestamp,
}

/// Whether a decision is still open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionState {
    /// Waits.
    Open,
    /// Answered.
    Answered(Answer),
    /// What was asked went away; the sentence says how.
    Withdrawn(String),
    /// Nobody answered in the time that its creator had set.
    Expired(Timestamp),
}

/// What happens when a decision expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// Its task is put aside until somebody retries it, which asks again.
    Park,
    /// Its task is cancelled.
    Cancel,
}

/// What an agent asked, and what the gate said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentAsk {
    /// The agent's own number for it, within its attempt.
    pub request: String,
    /// The tool.
    pub tool: String,
    /// What it would do with it.
    pub input: serde_json::Value,
    /// The gate's word; its `key` is what makes two asks the same.
    pub judgement: Judgement,
}

/// A place in a file of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Relative to the root.
    pub path: String,
    /// From 1.
    pub line: u32,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its id.
    pub id: DecisionId,
    /// The run it belongs to.
    pub run: RunId,
    /// The task it stands before, if it is one task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The attempt that asked, by generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// What it is about.
    pub kind: DecisionKind,
    /// At most 200 characters.
    pub question: String,
    /// Markdown.
    pub detail: String,
    /// Two to six; none is preselected.
    pub options: Vec<Choice>,
    /// How bad a wrong answer can be, 0..1 (S3's formula).
    pub criticality: f64,
    /// What an agent asked, where it is a permission of one: its attempt goes on waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Box<AgentAsk>>,
    /// What the ladder knows it as, where an answer teaches something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<Box<Case>>,
    /// Where in the files it is about, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchored>,
    /// Why it is asked rather than decided (S3's `why_asked`); absent where its kind says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The rules that led to it, the deciding one first; an agent's ask has its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules_hit: Vec<String>,
    /// Whether its answer was learned from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taught: bool,
    /// When somebody is reminded, and of that again by the notify command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Timestamp>,
    /// When it expires: only where its creator set a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What happens then. Never an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<OnExpiry>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: DecisionState,
}

impl Decision {
    /// Whether it is about an attempt that goes on meanwhile: its task does not stand before it.
    pub fn of_attempt(&self) -> bool {
        self.ask.is_some()
            || matches!(self.kind, DecisionKind::Review | DecisionKind::BreakingChange | DecisionKind::Security)
    }

    /// Whether it waits for an answer.
    pub fn open(&self) -> bool {
        self.state == DecisionState::Open
    }

    /// The answer, if it has one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.state {
            DecisionState::Answered(answer) => Some(answer),
            DecisionState::Open | DecisionState::Withdrawn(_) | DecisionState::Expired(_) => None,
        }
    }
}
