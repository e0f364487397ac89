//! What was decided, and how well: the history, what is remembered, and the scorecard.

use serde::{Deserialize, Serialize};

use super::{decision::Decision, state::Share, wire::Time};
use crate::ids::{DecisionId, RunId, TaskId};

/// How well decisions without a person went. Computed from the journal's facts each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// What needed nobody, of all that the gate left open.
    pub autonomy: Share,
    /// What was decided wrongly without a person, of all such decisions that somebody or a proof looked at.
    pub wrong_auto: Share,
    /// Audits in which the person disagreed.
    pub audits: Share,
    /// Critical actions that went without a person: always 0.
    pub critical_automatic: u64,
    /// The mean distance between what was claimed and what came.
    pub calibration_error: f64,
    /// What sessions outside any run were told by what was remembered and learned: Claude Code's, by its hook. Counted
    /// apart, for nobody hears how that turned out.
    #[serde(default)]
    pub outside: Outside,
    /// Answers that were learned from.
    pub labels: u64,
    /// Traits that tell cases apart, as the answers chose them.
    #[serde(default)]
    pub traits: Vec<String>,
    /// By what stood for them: `rule`, `learned`, `probation`.
    pub grounds: Vec<ScorePart>,
    /// By sort of action, the most frequent first.
    pub sorts: Vec<ScorePart>,
    /// The reliability diagram: ten bins of claimed confidence.
    pub reliability: Vec<ReliabilityBin>,
    /// What other thresholds would have brought.
    pub risk_coverage: Vec<RiskPoint>,
}

/// What sessions outside any run were told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// They may.
    pub allowed: u64,
    /// They may not.
    pub denied: u64,
    /// Their user was asked.
    pub asked: u64,
}

/// One ground or one sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScorePart {
    /// Its name.
    pub name: String,
    /// Decided without a person.
    pub automatic: u64,
    /// Of these, proven and landed.
    pub right: u64,
    /// Of these, undone.
    pub wrong: u64,
    /// Answered by a person.
    pub asked: u64,
}

/// One bin of the reliability diagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Claims from here…
    pub from: f64,
    /// …to here.
    pub to: f64,
    /// How many decisions, those included that an audit stands for.
    pub n: f64,
    /// Their mean claim.
    pub claimed: f64,
    /// How many came true, as a share.
    pub agreed: f64,
}

/// One point of the risk-coverage curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// At this threshold…
    pub threshold: f64,
    /// …so much would go without asking…
    pub coverage: f64,
    /// …and so much of that would be wrong.
    pub risk: f64,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionHistory {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// Decisions that are over, newest first.
    pub decisions: Vec<Decision>,
    /// Decided without a person, newest first.
    pub automatic: Vec<AutomaticDecision>,
    /// Answers that hold for a kind of action.
    pub remembered: Vec<RememberedRule>,
}

/// One automatic decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutomaticDecision {
    /// Its number in the workspace.
    pub number: u64,
    /// When.
    pub at: Time,
    /// In which run; absent for a session outside any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RunId>,
    /// For which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// What it was about, in a few words.
    pub what: String,
    /// The sort of action.
    pub sort: String,
    /// Whether it was allowed.
    pub allowed: bool,
    /// `rule`, `learned` or `probation`.
    pub ground: String,
    /// The rule, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether it turned out right; absent while nothing looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<bool>,
}

/// "Always" or "never" for a kind of action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RememberedRule {
    /// What `decisions forget` takes.
    pub id: String,
    /// The sort of action.
    pub sort: String,
    /// Always allowed, or never.
    pub allowed: bool,
    /// Only in this run; absent = everywhere in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RunId>,
    /// From which answer.
    pub decision_id: DecisionId,
    /// When.
    pub at: Time,
}

/// What is remembered and learned of something that a session wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRuling {
    /// `allow`, `deny`, or `ask` where a person is to say.
    pub decision: String,
    /// Who stands for it: a remembered rule's id, `learned`, or why a person is asked.
    pub by: String,
    /// One sentence.
    pub reason: String,
}

/// A remembered rule is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The rule.
    pub id: String,
}
