//! Decisions on the wire (S3): the question, what is known about it, and its answer.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::Time;
use crate::ids::{AttemptId, DecisionId, RunId, TaskId};

/// Something that is a person's (or, below the criticality of 0.5, a session's) to decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its id.
    pub decision_id: DecisionId,
    /// What kind of question.
    pub kind: DecisionKind,
    /// The task's type, as policy sees it.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The question, at most 200 characters.
    pub question: String,
    /// Markdown: all that one needs to answer it.
    pub detail: String,
    /// Two to six; none is preselected.
    pub options: Vec<DecisionOption>,
    /// What it is about.
    pub context: DecisionContext,
    /// 0..1.
    pub urgency: f64,
    /// 0..1; above 0.5 only a person may answer.
    pub criticality: f64,
    /// What policy said.
    pub verdict: Verdict,
    /// How sure we are that the user would agree.
    pub confidence: Confidence,
    /// `rule`, `criticality`, `confidence`, `missing:<variable>`, `audit` or `mode`.
    pub why_asked: String,
    /// At most three, best first.
    pub suggestions: Vec<Suggestion>,
    /// Ids of the rules that matched.
    pub rules_hit: Vec<String>,
    /// Version of the policy that was asked.
    pub policy_version: String,
    /// Hash of kind, task and the normalised ask: an answered key is replayed when asked again.
    pub key: String,
    /// Tasks that wait for it.
    pub blocks: Vec<TaskId>,
    /// When it was asked.
    pub created_at: Time,
    /// When to remind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Time>,
    /// When it expires, where its creator set a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// What happens then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<OnExpiry>,
    /// Who may answer.
    pub answerable_by: Vec<AnswererKind>,
    /// What an answer can be made to hold for, and which ones can (`remember`); absent where none can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembers: Option<Remembers>,
    /// Where it stands.
    pub status: DecisionStatus,
    /// Its answer, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// Longest `detail` of a pending decision, in characters.
pub const PENDING_DETAIL_CHARS_MAX: usize = 500;

impl Decision {
    /// The form for lists (the specification's PendingDecision): `detail` cut to 500 characters.
    pub fn pending(mut self) -> Decision {
        if let Some((end, _)) = self.detail.char_indices().nth(PENDING_DETAIL_CHARS_MAX) {
            self.detail.truncate(end);
        }
        self
    }

    /// The option with this id.
    pub fn option(&self, id: &str) -> Option<&DecisionOption> {
        self.options.iter().find(|option| option.id == id)
    }
}

/// What kind of question a decision is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// The request can be read in more than one way.
    Clarify,
    /// Commands come from files of the workspace.
    Trust,
    /// The plan waits for approval.
    PlanApproval,
    /// An effect needs permission.
    Permission,
    /// An agent asks.
    AgentQuestion,
    /// No agent can do the task.
    NoAgent,
    /// A limit is reached or would be.
    Budget,
    /// Exported names or signatures changed.
    BreakingChange,
    /// A finding about security.
    Security,
    /// A task wrote outside its declared set.
    UndeclaredWrite,
    /// Two results contradict each other.
    Conflict,
    /// Nothing could be verified; a person looks at the diff.
    Review,
    /// Something goes to an environment.
    Deploy,
    /// An effect could not be taken back.
    StuckUndo,
    /// Retries are used up.
    RetryExhausted,
    /// The deadline cannot be held.
    Deadline,
    /// The result may enter the checkout.
    Apply,
    /// A secret of the environment is missing after a restart.
    NeedsEnv,
}

/// What an answer can be made to hold for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembers {
    /// The kind of action: `Bash make`.
    pub sort: String,
    /// The ids of the options that may hold for it: a "no" may always, a "yes" only where it is harmless.
    pub options: Vec<String>,
}

/// One possible answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionOption {
    /// `[a-z0-9_-]+`.
    pub id: String,
    /// What a button says.
    pub title: String,
    /// What choosing it does, one sentence.
    pub effect: String,
    /// Whether that can be taken back.
    pub reversible: bool,
    /// Whether words may come with it.
    pub takes_text: bool,
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionContext {
    /// The run.
    pub request_id: RunId,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Where in the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// The tool call that an agent asks permission for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// What would happen.
    #[serde(default)]
    pub effects: Vec<EffectNote>,
}

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    /// The document.
    pub uri: String,
    /// LSP range.
    pub range: Value,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The tool's name.
    pub tool: String,
    /// Its input.
    pub input: Value,
}

/// One effect of what is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectNote {
    /// What would happen, in words.
    pub what: String,
    /// How far it reaches.
    pub class: EffectClass,
    /// Whether it can be taken back.
    pub reversible: Reversible,
}

/// How far an effect reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Only reads.
    Read,
    /// Files of its own lane.
    Lane,
    /// The user's checkout.
    Workspace,
    /// Something outside.
    External,
    /// Reads or sends a secret.
    Secret,
    /// Gains rights.
    Privilege,
}

/// Whether an effect can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reversible {
    /// Exactly.
    Yes,
    /// By something else that makes up for it: a declared inverse.
    Compensable,
    /// Never.
    No,
}

/// What policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A rule allows it.
    Allow,
    /// A rule asks for a person.
    Escalate,
    /// A rule forbids it.
    Deny,
    /// No rule spoke.
    #[default]
    None,
}

/// How sure we are that the user would agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// 0..1.
    pub value: f64,
    /// Whether enough answers of persons stand behind it to call it a probability.
    pub calibrated: bool,
    /// How many answers.
    pub n: u64,
    /// The specification's five factors: historical, rules, context, risk, preferences.
    pub factors: BTreeMap<String, f64>,
    /// Their weights.
    pub weights: BTreeMap<String, f64>,
}

/// An answer that may fit, and why. Never preselected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// An option's id.
    pub choice: String,
    /// Where it comes from.
    pub source: SuggestionSource,
    /// Why, one sentence.
    pub reason: String,
    /// What stands behind it.
    pub evidence: Evidence,
    /// 0..1, only for the order.
    pub score: f64,
}

/// Where a suggestion comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuggestionSource {
    /// Earlier answers.
    History,
    /// What is commonly right.
    BestPractice,
    /// This run's facts.
    Context,
}

/// Earlier answers behind a suggestion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// How many chose the same.
    pub agree: u64,
    /// Of how many.
    pub n: u64,
    /// When last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
}

/// What happens when a decision expires. Never an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// The tasks stay parked.
    Park,
    /// The tasks are cancelled.
    Cancel,
}

/// Where a decision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionStatus {
    /// Waits for an answer.
    Open,
    /// Somebody answered.
    Answered,
    /// A rule or what was learned answered.
    Auto,
    /// Its time ran out.
    Expired,
    /// No longer asked.
    Withdrawn,
}

/// An answer that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The option's id.
    pub choice: String,
    /// Words with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Who answered.
    pub by: Answerer,
    /// When.
    pub at: Time,
}

/// Who answered a decision, and through what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answerer {
    /// A person, or something that stands for one.
    pub kind: AnswererKind,
    /// Through which face of the orchestrator.
    pub surface: Surface,
    /// The client's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl fmt::Display for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.kind) {
            (Some(name), _) => f.write_str(name),
            (None, AnswererKind::Person) => write!(f, "a person ({})", self.surface.name()),
            (None, AnswererKind::Session) => write!(f, "a session ({})", self.surface.name()),
            (None, AnswererKind::Rule) => f.write_str("a rule"),
            (None, AnswererKind::Learned) => f.write_str("what was learned"),
            (None, AnswererKind::Probation) => f.write_str("probation"),
        }
    }
}

/// What kind of party answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswererKind {
    /// A person.
    Person,
    /// A model's tool call, or a command below one.
    Session,
    /// A policy rule.
    Rule,
    /// The ladder of earlier answers.
    Learned,
    /// Done on probation: do, verify, keep or undo.
    Probation,
}

/// Through which face of the orchestrator something came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// The command line.
    Cli,
    /// An editor.
    Lsp,
    /// A form shown by an MCP client.
    McpForm,
    /// An MCP prompt.
    McpPrompt,
    /// An MCP tool call.
    McpTool,
}

impl Surface {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Surface::Cli => "cli",
            Surface::Lsp => "lsp",
            Surface::McpForm => "mcp_form",
            Surface::McpPrompt => "mcp_prompt",
            Surface::McpTool => "mcp_tool",
        }
    }
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionResult {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The decision.
    pub decision_id: DecisionId,
    /// Whether this answer holds. The same choice again is accepted.
    pub accepted: bool,
    /// Where the decision stands now.
    pub status: DecisionStatus,
    /// The choice that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Answerer>,
    /// Tasks that may go on.
    #[serde(default)]
    pub unblocked: Vec<TaskId>,
}

/// The open decisions, most urgent first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingDecisions {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// Open decisions with their detail cut to 500 characters.
    pub decisions: Vec<Decision>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_cuts_the_detail_between_characters() {
        let mut decision = crate::cli::samples::decision();
        decision.detail = "ä".repeat(PENDING_DETAIL_CHARS_MAX + 3);
        assert_eq!(decision.clone().pending().detail.chars().count(), PENDING_DETAIL_CHARS_MAX);
        decision.detail = "short".into();
        assert_eq!(decision.pending().detail, "short");
    }

    #[test]
    fn a_decision_has_its_fields_of_the_schema() {
        let value = serde_json::to_value(crate::cli::samples::decision()).unwrap();
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let schema = "answerable_by blocks confidence context created_at criticality decision_id detail key kind options \
                      policy_version question rules_hit status suggestions type urgency verdict why_asked";
        assert_eq!(fields.join(" "), schema);
        assert_eq!(value["kind"], "deploy");
        assert_eq!(value["context"]["effects"][0]["class"], "external");
        assert_eq!(serde_json::from_value::<Decision>(value).unwrap(), crate::cli::samples::decision());
    }
}
