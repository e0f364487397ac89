//! Agents as data: their profiles, what an attempt of one holds, what it asks and says. Nothing here decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decide::gate::Judgement;
use crate::{
    ids::{AttemptId, DecisionId},
    time::Timestamp,
};

/// How an agent is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// Claude Code, headless.
    Claude,
    /// An agent of the Agent Client Protocol.
    Acp,
    /// A session that claims tasks.
    Pull,
}

impl DriverKind {
    /// The word in the configuration and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            DriverKind::Claude => "claude",
            DriverKind::Acp => "acp",
            DriverKind::Pull => "pull",
        }
    }
}

/// An agent that the configuration declares. "Another specialised agent" is another instance of one of these.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentProfile {
    /// Its name.
    pub id: String,
    /// How it is driven.
    pub driver: DriverKind,
    /// Its command, program first.
    pub command: Vec<String>,
    /// What it can do: the filter.
    pub capabilities: Vec<String>,
    /// What it is best at.
    pub specialization: Option<String>,
    /// Most tasks at once.
    pub max_load: u32,
    /// The model to ask for.
    pub model: Option<String>,
    /// Whose quota it uses; agents of one account are limited together.
    pub account: String,
    /// Names of variables that it gets beside the run's environment: its keys.
    pub env: Vec<String>,
    /// `standard`, `own` (it brings one in which ours does not nest) or `none`.
    pub sandbox: String,
    /// Whether it may be asked for plans.
    pub planner: bool,
    /// US dollars per million tokens, in and out, where it does not say what it costs.
    pub price: Option<(f64, f64)>,
    /// The mode to set after a session was made (`acp`).
    pub mode: Option<String>,
    /// Variables that make it ask us, and keep it from changing itself.
    pub vars: Vec<(String, String)>,
    /// Folders below the home folder where it keeps its own state, conversations too.
    pub folders: Vec<String>,
    /// What it can do, where that is not what its driver can.
    pub can: Vec<String>,
}

/// An agent whose program was found for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundAgent {
    /// Its profile.
    pub id: String,
    /// Where its program is.
    pub program: String,
    /// What it said of its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The four parts of a score, each 0..1, and their weighted sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The sum.
    pub total: f64,
    /// Preferred capabilities it has, 40 %.
    #[serde(rename = "match")]
    pub fit: f64,
    /// How free it is, 30 %.
    pub load: f64,
    /// How often its work was verified, smoothed, 20 %.
    pub history: f64,
    /// Whether it is specialised in what is wanted, 10 %.
    pub specialization: f64,
}

/// One agent as it was looked at for a task: the receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its profile.
    pub agent: String,
    /// Its score; zero where it was out of the question.
    pub score: Score,
    /// Why it was out of the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

/// Who does an attempt, how that was found, and the conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allocation {
    /// The profile, or the name of the session that claimed it.
    pub agent: String,
    /// Everybody who was looked at, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// The profile that a session stands for, where it claimed it; its record is this one's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Whose quota it uses.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The conversation's id, chosen by us.
    pub session: String,
    /// Whether that conversation exists already and goes on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// Most US dollars that this attempt may cost: reserved before it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// Most tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Where its program is: what was found when it was claimed, whatever is looked up later.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// Until when a session that claimed it has it without a word; `None` = we run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
}

/// What an agent used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens in and out.
    pub tokens: u64,
    /// US dollars, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

impl Usage {
    /// Both together; money is known only where both know it or spent nothing.
    pub fn plus(self, other: Usage) -> Usage {
        let usd = match (self.usd, other.usd) {
            (Some(a), Some(b)) => Some(a + b),
            (Some(a), None) if other.tokens == 0 => Some(a),
            (None, Some(b)) if self.tokens == 0 => Some(b),
            _ => None,
        };
        Usage { tokens: self.tokens + other.tokens, usd }
    }
}

/// What an agent is told about something it asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskVerdict {
    /// It may.
    Allow,
    /// It may not; the reason, which the model sees.
    Deny(String),
}

/// A permission that an agent asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The agent's own number for it.
    pub request: String,
    /// The tool.
    pub tool: String,
    /// What it would do with it.
    pub input: serde_json::Value,
    /// Hash of task, tool and normalised input: the same question has the same key, whoever asks it when.
    pub key: String,
    /// What the gate says of it; not kept once it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// When it was asked.
    pub at: Timestamp,
    /// The decision that stands open for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// What was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<AskVerdict>,
    /// The answer was "not now": its decision stays open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
}

/// The words that an attempt's agent starts with: stored, and never made again. Notes, answers and checks that come later
/// are for the attempt that follows; the keeper that has this order and the one that gets it after a crash have the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// What it is told.
    pub prompt: String,
    /// What it is told where the conversation that should go on is gone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub anew: String,
}

/// The agent's side of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentPart {
    /// Who, and how that was found.
    pub allocation: Allocation,
    /// What it starts with; from when its lane is laid out until its process is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Box<Told>>,
    /// The conversation that the agent says it has; ours unless it chose another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What it asked, oldest first; of the answered ones only the newest are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Ask>,
    /// How often it asked.
    pub asked: u32,
    /// What it used so far.
    pub usage: Usage,
    /// How far it says it is, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<AgentEnd>,
    /// The paths that it changed; the first few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Touched>,
}

/// How an agent's turn ended, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentEnd {
    /// It says that it is done. Completes nothing: the checks do.
    pub done: bool,
    /// The last it said, cut.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// What went wrong: a word for the class (`quota`, `budget`, `network`, `refused`, …), where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Its account has nothing left until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_until: Option<Timestamp>,
    /// What it used in all.
    pub usage: Usage,
}

/// Answered asks that are kept of an attempt; more than a crash can leave unanswered.
const ASKS_KEPT: usize = 32;

impl AgentPart {
    /// The part of an attempt that was just claimed.
    pub fn new(allocation: Allocation) -> AgentPart {
        AgentPart { allocation, ..AgentPart::default() }
    }

    /// The ask of that number.
    pub fn ask(&self, request: &str) -> Option<&Ask> {
        self.asks.iter().find(|ask| ask.request == request)
    }

    /// The same, to be changed.
    pub fn ask_mut(&mut self, request: &str) -> Option<&mut Ask> {
        self.asks.iter_mut().find(|ask| ask.request == request)
    }

    /// Whose quota it uses: its own name where nothing else is known.
    pub fn account(&self) -> String {
        if self.allocation.account.is_empty() { self.allocation.agent.clone() } else { self.allocation.account.clone() }
    }

    /// Whether it waits for somebody's answer.
    pub fn waits(&self) -> bool {
        self.asks.iter().any(|ask| ask.verdict.is_none())
    }

    /// The decision that it was told "not now" about, if that stands open still.
    pub fn parked_on(&self) -> Option<DecisionId> {
        self.asks.iter().rev().find(|ask| ask.parked).and_then(|ask| ask.decision)
    }

    /// Notes a question.
    pub(super) fn asked(&mut self, ask: Ask) {
        self.asked += 1;
        self.asks.push(ask);
        while self.asks.iter().filter(|ask| ask.verdict.is_some() && !ask.parked).count() > ASKS_KEPT {
            let Some(oldest) = self.asks.iter().position(|ask| ask.verdict.is_some() && !ask.parked) else { break };
            self.asks.remove(oldest);
        }
    }
}

/// A path that a change touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Relative to the root.
    pub path: String,
    /// It was not there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
}

/// A note that one agent of a run left for the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Whose.
    pub by: AttemptId,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub text: String,
}

/// What the daemon needs to start an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentOrder {
    /// The profile.
    pub agent: String,
    /// Where its program is, for this run.
    pub program: String,
    /// What it is told.
    pub prompt: String,
    /// What it is told where the conversation that should go on is gone.
    pub anew: String,
    /// The conversation.
    pub session: String,
    /// Whether that goes on.
    pub resume: bool,
    /// Limits of this attempt.
    pub usd: Option<f64>,
    /// The same in tokens.
    pub tokens: Option<u64>,
}

/// How often an agent's work of one type was judged, and how often it was proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Attempts that the checks judged.
    pub judged: u32,
    /// Those that they proved.
    pub proven: u32,
    /// Those where it said that it was done and the checks said no.
    pub claimed_wrongly: u32,
}

/// Agent, type of task -> tally.
pub type Records = BTreeMap<String, BTreeMap<String, Tally>>;
