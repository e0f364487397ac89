//! What every agent has in common: how it is started, how its words are read, and how it is answered.
//!
//! A driver holds nothing. What is known of a conversation is a [`Talk`], and a talk is a pure fold over the transcript
//! that its host writes: whoever takes it up later, the next daemon or a test, reads the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    acp::{self, Acp},
    claude::Claude,
    transcript::Kind,
};
use crate::core::agent::{AskVerdict, DriverKind, Usage};

/// What a conversation is about, written down before it begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brief {
    /// The profile's command, its program where it was found.
    pub command: Vec<String>,
    /// What the agent is told.
    pub prompt: String,
    /// The conversation's id.
    pub session: String,
    /// Whether it goes on.
    pub resume: bool,
    /// What the agent is told where the conversation that should go on cannot be found.
    pub anew: String,
    /// The folder that it works in.
    pub cwd: String,
    /// The model to ask for.
    pub model: Option<String>,
    /// The mode to set (`acp`).
    pub mode: Option<String>,
    /// Variables of the profile's, besides those of the run.
    pub vars: Vec<(String, String)>,
    /// Most US dollars.
    pub usd: Option<f64>,
    /// US dollars per million tokens, in and out, where the agent does not say.
    pub price: Option<(f64, f64)>,
    /// Our own MCP server, in the agent's role.
    pub mcp: Option<McpServer>,
}

/// A program that an agent starts as its MCP server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct McpServer {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
}

/// How to start an agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables besides those of the run.
    pub env: Vec<(String, String)>,
    /// The first lines that it is told.
    pub first: Vec<String>,
}

/// A question of the agent that it waits for an answer to.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenAsk {
    /// Its number.
    pub request: String,
    /// The tool.
    pub tool: String,
    /// What it would do with it.
    pub input: Value,
    /// The driver's own: the options that there are.
    pub options: Value,
}

/// How a turn ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnEnd {
    /// It says that it is done.
    pub done: bool,
    /// Its last words.
    pub said: String,
    /// What went wrong, by a word for its class.
    pub trouble: Option<String>,
}

/// One thing that an agent said.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// Words for people.
    Text(String),
    /// It uses a tool: which, and what for.
    Tool(String, String),
    /// The tool is done; whether it worked.
    ToolDone(bool),
    /// It asks.
    Ask(OpenAsk),
    /// It no longer asks.
    Withdrawn(String),
    /// A line that the protocol wants sent now.
    Send(String),
    /// Its turn is over.
    TurnEnd,
    /// Something odd that is no reason to stop.
    Warn(String),
}

/// What is known of a conversation.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    /// What it is about.
    pub brief: Brief,
    /// The conversation's id, as the agent says it.
    pub session: Option<String>,
    /// Questions that are open.
    pub asks: BTreeMap<String, OpenAsk>,
    /// Questions that were answered.
    pub answered: BTreeSet<String>,
    /// What it used so far.
    pub usage: Usage,
    /// Tokens by message: a message is told in parts, each with what it used so far.
    pub by_message: BTreeMap<String, u64>,
    /// Work that it does in the background.
    pub background: BTreeSet<String>,
    /// Its account is empty until then, milliseconds since 1970.
    pub limited_until_ms: Option<u64>,
    /// The last it said.
    pub said: String,
    /// How its turn ended.
    pub end: Option<TurnEnd>,
    /// The last tool it used, and how often in a row with the same input.
    pub repeated: (String, u32),
    /// How many tools it used.
    pub tools: u32,
    /// What else is known of a conversation by the Agent Client Protocol.
    pub acp: acp::Known,
    /// Reasons of refusals that its protocol cannot carry and that it has not been told yet.
    pub refusals: Vec<String>,
    /// It was told to stop.
    pub interrupted: bool,
}

/// The longest of a message that is kept, bytes.
pub const SAID_BYTES_MAX: usize = 64_000;

impl Talk {
    /// One that has not begun.
    pub fn new(brief: Brief) -> Talk {
        Talk { brief, ..Talk::default() }
    }

    /// Keeps the last words.
    pub fn says(&mut self, text: &str) {
        let from = text.len().saturating_sub(SAID_BYTES_MAX);
        let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        self.said = text[from..].to_owned();
    }

    /// Notes a tool's use.
    pub fn uses(&mut self, tool: &str, input: &Value) {
        self.tools += 1;
        let what = format!("{tool} {input}");
        self.repeated = if self.repeated.0 == what { (what, self.repeated.1 + 1) } else { (what, 1) };
    }

    /// Notes a question.
    pub fn asks(&mut self, ask: OpenAsk) -> Word {
        if !self.answered.contains(&ask.request) {
            self.asks.insert(ask.request.clone(), ask.clone());
        }
        Word::Ask(ask)
    }
}

/// How one kind of agent is driven. Everything here is pure.
pub trait AgentDriver: Send + Sync {
    /// How it is started.
    fn launch(&self, brief: &Brief) -> Launch;
    /// Reads one line of its output. Lenient: what is not understood is passed over, or warned about.
    fn parse(&self, talk: &mut Talk, line: &str) -> Vec<Word>;
    /// The lines that answer a question.
    fn answer(&self, talk: &Talk, ask: &OpenAsk, verdict: &AskVerdict) -> Vec<String>;
    /// The reason that these lines cannot carry, where there is one: it is told as soon as the protocol lets us.
    fn unsaid(&self, _ask: &OpenAsk, _verdict: &AskVerdict) -> Option<String> {
        None
    }
    /// The lines that end its turn early; none where there is nothing to end yet.
    fn interrupt(&self, talk: &Talk) -> Vec<String>;
    /// Whether a line is words for people alone, which may be left out of a transcript that grew too long.
    fn chatter(&self, line: &str) -> bool;
    /// What it can do, for `agents`.
    fn abilities(&self) -> &'static [&'static str];
}

/// The driver of a kind; `None` for those that are no process of ours.
pub fn of(kind: DriverKind) -> Option<&'static dyn AgentDriver> {
    match kind {
        DriverKind::Claude => Some(&Claude),
        DriverKind::Acp => Some(&Acp),
        DriverKind::Pull => None,
    }
}

/// Takes one record of a transcript in.
pub fn fold(driver: &dyn AgentDriver, talk: &mut Talk, kind: Kind, text: &str) -> Vec<Word> {
    match kind {
        Kind::Said => driver.parse(talk, text),
        Kind::Answered => {
            talk.asks.remove(text);
            talk.answered.insert(text.to_owned());
            Vec::new()
        }
        Kind::Interrupted => {
            talk.interrupted = true;
            Vec::new()
        }
        Kind::Refused => {
            talk.refusals.push(text.to_owned());
            Vec::new()
        }
        Kind::Omitted => {
            let (_, said) = text.split_once(' ').unwrap_or_default();
            talk.says(said);
            Vec::new()
        }
        Kind::Told | Kind::Complained => Vec::new(),
    }
}
