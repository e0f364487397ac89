//! Policy: rules with conditions in CEL, from four tiers, strictest verdict first (SCHEMAS S6).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    gate::{Ask, Verdict},
    tools::Reading,
};

/// All rules in force.
#[derive(Debug, Default)]
pub struct Policy {
    /// Changes with every change of a rule.
    pub version: String,
}

/// What is known when a rule is asked. What is absent is not known, and a rule that needs it says so.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The task the ask belongs to.
    pub task: Option<TaskKnown>,
    /// The run: `priority`, `interaction`, `intent`, `complexity`.
    pub run: BTreeMap<String, Value>,
    /// The agent's id.
    pub agent_id: Option<String>,
    /// What drives it: `claude`, `acp`, `pull`, `shell`, `hook`.
    pub agent_driver: Option<String>,
    /// The environment that the task or the request names.
    pub environment: Option<String>,
    /// The language that the work is in.
    pub language: Option<String>,
    /// A failure: `type`, `class`, `text`.
    pub error: Option<BTreeMap<String, Value>>,
    /// A change: `files`, `lines`, `exports_removed`, `undeclared`.
    pub diff: Option<BTreeMap<String, Value>>,
    /// What the repository has.
    pub repo: Option<Value>,
    /// `run_usd`, `p90_usd`.
    pub cost: Option<BTreeMap<String, Value>>,
    /// What the decision would be about: `permission`, `deploy`, …
    pub decision_kind: Option<String>,
    /// Whether somebody is there to be asked.
    pub user_present: Option<bool>,
}

/// What a rule may know of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskKnown {
    /// `task.type`: refactoring, deployment, …; `interactive` for a session outside any run.
    pub kind_of_work: String,
    /// `task.kind`: shell, agent, workflow, decision.
    pub kind: String,
    /// `task.risk`, 0..1.
    pub risk: Option<f64>,
    /// `task.title`.
    pub title: String,
    /// `task.writes`: its globs.
    pub writes: Vec<String>,
    /// `task.effect`: none, workspace, external.
    pub effect: String,
}

/// What the rules say to one ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruled {
    /// The strictest that counts.
    pub verdict: Verdict,
    /// `rule`, or `missing:<variable>`.
    pub why: String,
    /// Ids of the rules that hold, the deciding one first.
    pub hits: Vec<String>,
    /// Variables that nobody knew.
    pub missing: Vec<String>,
    /// The rules' reasons, in the order of the hits.
    pub reasons: Vec<String>,
}

impl Policy {
    /// What the rules say to an ask that was read.
    pub fn ask(&self, _known: &Known, _ask: &Ask, _reading: &Reading, _criticality: f64) -> Ruled {
        let none = Vec::new;
        Ruled { verdict: Verdict::None, why: "rule".to_owned(), hits: none(), missing: none(), reasons: none() }
    }
}
