//! "May this run?", answered the same way every time: by what an action touches, and by the rules of the policy.
//! Nothing learned comes in here, and nothing learned may overrule it.
//!
//! ```text
//! ask (tool, input) ── tools, shell: what it touches ──┐
//! policy (CEL rules, four tiers) ─ what hits ──────────┴─ deny > escalate > allow > none
//! ```
//!
//! `allow` means it may run now; `none` that nothing speaks against it and nothing for it, so history and probation may
//! decide; `escalate` that only a person (or a rule of theirs) can say; `deny` that it must not run. What is not
//! understood escalates. Invariant: above [`CRITICAL`] the answer is never `allow` and never `none`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    effects::{self, Effect, Reversible},
    policy::{Known, Policy},
    tools,
};

/// Above this, nothing is automatic, on any path.
pub const CRITICAL: f64 = 0.8;

/// What a gate or a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks for it, nothing against it.
    None,
    /// It may run.
    Allow,
    /// A person decides.
    Escalate,
    /// It must not run.
    Deny,
}

impl Verdict {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::None => "none",
            Verdict::Allow => "allow",
            Verdict::Escalate => "escalate",
            Verdict::Deny => "deny",
        }
    }
}

/// What wants to run: a tool by the name its agent gives it (Claude Code's, or an ACP tool kind), with its input.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// `Bash`, `Edit`, `mcp__github__create_issue`, `execute`, …
    pub tool: &'a str,
    /// As the agent sent it.
    pub input: &'a Value,
}

/// Where it would run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The folder it starts in, absolute.
    pub cwd: String,
    /// The folder it may work in (a lane, or the user's checkout), absolute.
    pub root: String,
    /// Whether `root` is a lane: what happens there is kept or undone as a whole.
    pub lane: bool,
    /// Whether the system keeps it from writing outside `root` (Landlock or the like).
    pub sandboxed: bool,
    /// The user's home folder, where known.
    pub home: Option<String>,
}

/// Where a path really leads. The core opens nothing: whoever asks brings this.
pub trait Links {
    /// The absolute path without links, where it (or the folder it would be made in) exists.
    fn real(&self, path: &str) -> Option<String>;
}

/// For places whose files are not here: every path is what it says.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLinks;

impl Links for NoLinks {
    fn real(&self, _path: &str) -> Option<String> {
        None
    }
}

/// What the gate says, and all it went by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// S3's `why_asked`: `rule`, `criticality`, `missing:<var>`, `not_understood`; for an allow `effects` or `rule`.
    pub why: String,
    /// Rules whose condition held, the deciding one first.
    pub rules_hit: Vec<String>,
    /// Variables that rules asked for and nobody knew.
    pub missing: Vec<String>,
    /// What it touches.
    pub effects: Vec<Effect>,
    /// Whether the effects are all there are.
    pub understood: bool,
    /// Whether all of it can be taken back.
    pub reversible: Reversible,
    /// How bad a mistake would be, 0..1.
    pub criticality: f64,
    /// Sentences for a person, the deciding one first.
    pub reasons: Vec<String>,
    /// The policy it was judged by.
    pub policy_version: String,
    /// Hash of what was asked, without what differs from call to call: the same ask has the same key.
    pub key: String,
}

/// Judges one ask.
pub fn judge(policy: &Policy, ask: &Ask, place: &Place, known: &Known, links: &dyn Links) -> Judgement {
    judged(policy, ask, place, known, tools::read(ask, place, links))
}

/// Judges an ask of the past by other rules. What it touched was seen then, and is taken from there: the files have moved
/// on since.
pub fn judge_again(policy: &Policy, ask: &Ask, place: &Place, known: &Known, then: &Judgement) -> Judgement {
    let reading = tools::seen(ask, place, &then.effects, then.understood);
    Judgement { key: then.key.clone(), ..judged(policy, ask, place, known, reading) }
}

fn judged(policy: &Policy, ask: &Ask, place: &Place, known: &Known, reading: tools::Reading) -> Judgement {
    let environment = known.environment.as_deref();
    let criticality = effects::criticality(&reading.effects, reading.understood, environment);
    let ruled = policy.ask(known, ask, &reading, criticality);

    let (own, own_reason) = own_verdict(&reading, criticality);
    let mut reasons = Vec::new();
    let (verdict, why) = match ruled.verdict {
        // A rule of the user's may say yes to what the gate would only not decide; it never says yes to what could
        // not be read, or to what cannot be taken back.
        Verdict::Allow if own == Verdict::Escalate => (Verdict::Escalate, own_reason),
        Verdict::None => (own, own_reason),
        verdict => (verdict, ruled.why.as_str()),
    };
    let why = why.to_owned();
    if verdict == ruled.verdict && verdict != Verdict::None {
        reasons.extend(ruled.reasons.iter().cloned());
        reasons.extend(reading.reasons.iter().cloned());
    } else {
        reasons.extend(reading.reasons.iter().cloned());
        reasons.extend(ruled.reasons.iter().cloned());
    }
    Judgement {
        verdict,
        why,
        rules_hit: ruled.hits,
        missing: ruled.missing,
        reversible: effects::reversible(&reading.effects, reading.understood),
        understood: reading.understood,
        effects: reading.effects,
        criticality,
        reasons,
        policy_version: policy.version.clone(),
        key: key(ask, known, place),
    }
}

/// What the effects alone say, and why.
fn own_verdict(reading: &tools::Reading, criticality: f64) -> (Verdict, &'static str) {
    if !reading.understood {
        return (Verdict::Escalate, "not_understood");
    }
    if criticality > CRITICAL {
        return (Verdict::Escalate, "criticality");
    }
    match reading.harmless {
        true => (Verdict::Allow, "effects"),
        false => (Verdict::None, "effects"),
    }
}

/// The same ask has the same key: paths below the place it runs in are written from there, so that a lane's number
/// makes no difference.
fn key(ask: &Ask, known: &Known, place: &Place) -> String {
    let mut hash = Sha256::new();
    let task = known.task.as_ref().map_or("", |task| task.kind_of_work.as_str());
    let input = tools::asked(ask).replace(&place.root, ".");
    for part in [ask.tool, task, known.environment.as_deref().unwrap_or(""), &input] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
