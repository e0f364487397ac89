//! Policy: rules with conditions in CEL, from four tiers, strictest verdict first (SCHEMAS S6).
//!
//! - Within a tier deny beats escalate beats allow. A rule of a higher tier (admin > user > project > built-in) that
//!   allows takes back what lower tiers said; files of a project may not allow at all.
//! - A rule that cannot be asked because something is not known: an allow is passed over, a deny or escalate escalates.
//! - A rule about `command` is asked for each command of a line: one hit is enough to deny or escalate, all must hit to
//!   allow. A rule that never looked at what is asked allows nothing that leaves the workspace.

mod condition;
mod file;

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::condition::{Answer, Condition, place, variables};
pub use self::{
    condition::VARIABLES,
    file::{PolicyError, Source, without},
};
use super::{
    effects::Touched,
    gate::{Ask, Verdict},
    tools::Reading,
};
use crate::{
    core::recover::classify::{Class, Route},
    time::Timestamp,
};

/// The rules that the program brings.
pub const BUILTIN: &str = include_str!("../../../policy/builtin.toml");

/// Above this, a rule that never looked at the ask allows nothing (S3: the user's own files, reversibly).
const UNSEEN_MAX: f64 = 0.3;

/// Whose rule it is; later ones may loosen what earlier ones say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The program's own.
    BuiltIn,
    /// The workspace's files: they come with a clone, and may only tighten.
    Project,
    /// The user's file.
    User,
    /// The machine's file.
    Admin,
}

impl Tier {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Tier::BuiltIn => "built-in",
            Tier::Project => "project",
            Tier::User => "user",
            Tier::Admin => "admin",
        }
    }
}

/// What a rule lends to the estimate of what the user would say, as so many answers of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// As many answers, at most 4.
    pub strength: f64,
    /// The share of yes among them.
    pub p: f64,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tier: Tier,
    /// When it hits.
    pub condition: Condition,
    /// What it says then.
    pub verdict: Verdict,
    /// The specification's word for what follows; shown.
    pub action: String,
    /// Why, for people.
    pub reason: String,
    /// Orders explanations; nothing else.
    pub confidence: f64,
    /// What it lends to the estimate.
    pub prior: Option<Prior>,
    /// When it ends to count.
    pub expires: Option<Timestamp>,
    /// `file:line`.
    pub place: String,
}

/// A way to recognise a failure, before the built-in signs are looked at.
#[derive(Debug, Clone)]
pub struct ErrorPattern {
    /// Its id.
    pub id: String,
    /// What the text must match.
    pub text: Regex,
    /// What kind of failure it is.
    pub class: Class,
    /// The way out.
    pub route: Route,
}

/// All rules in force.
#[derive(Debug, Default)]
pub struct Policy {
    /// Changes with every change of a rule.
    pub version: String,
    /// In the order of their files: built-in, project, user, admin.
    pub rules: Vec<Rule>,
    /// The strictest tier's first.
    pub error_patterns: Vec<ErrorPattern>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Rules by a variable and a value that it must have.
    keyed: HashMap<String, HashMap<String, Vec<usize>>>,
    /// When rules end.
    ends: Vec<Timestamp>,
    /// Rules that must be asked every time.
    always: Vec<usize>,
}

/// What is known when a rule is asked. What is absent is not known, and a rule that needs it says so.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The time; rules end by it.
    pub now: Timestamp,
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
    /// A failure: `type`, `class`, `text`. Absent: there is none.
    pub error: Option<BTreeMap<String, Value>>,
    /// A change: `files`, `lines`, `exports_removed`, `undeclared`. Absent: there is none.
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
    /// The deciding rule's word: proceed, escalate, auto_fix, …
    pub action: Option<String>,
    /// `rule`, or `missing:<variable>`.
    pub why: String,
    /// Ids of the rules that hold, the deciding one first.
    pub hits: Vec<String>,
    /// Variables that nobody knew.
    pub missing: Vec<String>,
    /// The rules' reasons, in the order of the hits.
    pub reasons: Vec<String>,
    /// What the rules that hold lend to the estimate.
    pub priors: Vec<(String, Prior)>,
}

impl Policy {
    /// The program's own rules alone.
    pub fn builtin() -> Result<Policy, PolicyError> {
        Policy::load(&[])
    }

    /// The program's own rules and these files.
    pub fn load(files: &[Source]) -> Result<Policy, PolicyError> {
        let own = Source { tier: Tier::BuiltIn, file: "built-in", text: BUILTIN };
        let mut sources: Vec<Source> = std::iter::once(own).chain(files.iter().copied()).collect();
        sources.sort_by_key(|source| source.tier);
        let mut policy = Policy::default();
        let mut hash = Sha256::new();
        for source in &sources {
            for part in [source.tier.word(), source.text] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
            let mut read = file::read(source)?;
            policy.rules.append(&mut read.rules);
            read.patterns.append(&mut policy.error_patterns);
            policy.error_patterns = read.patterns;
            policy.notes.append(&mut read.notes);
        }
        policy.ends = policy.rules.iter().filter_map(|rule| rule.expires).collect();
        policy.version = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        for (number, rule) in policy.rules.iter().enumerate() {
            match &rule.condition.key {
                Some((name, values)) => {
                    let by_value = policy.keyed.entry(name.clone()).or_default();
                    for value in values {
                        by_value.entry(value.clone()).or_default().push(number);
                    }
                }
                None => policy.always.push(number),
            }
        }
        Ok(policy)
    }

    /// What the rules say to an ask that was read.
    pub fn ask(&self, known: &Known, ask: &Ask, reading: &Reading, criticality: f64) -> Ruled {
        let nothing = [Vec::new()];
        let commands: &[Vec<String>] = match &reading.command {
            Some(command) if !command.commands.is_empty() => &command.commands,
            _ => &nothing,
        };
        let numbers = self.candidates(known.now, |name| match name {
            "tool.name" => vec![Some(ask.tool)],
            "command.program" => commands.iter().map(|argv| Some(program_of(argv))).collect(),
            name => vec![known_text(known, name)],
        });
        if numbers.is_empty() {
            return Ruled::none();
        }
        let mut tree = tree(known);
        place(&mut tree, "tool.name", json!(ask.tool));
        place(&mut tree, "tool.input", ask.input.clone());
        let paths: Vec<&String> = reading
            .effects
            .iter()
            .filter(|effect| effect.class != Touched::External)
            .filter_map(|effect| effect.target.as_ref())
            .collect();
        let hosts: Vec<&String> = reading
            .effects
            .iter()
            .filter(|effect| effect.class == Touched::External)
            .filter_map(|effect| effect.target.as_ref())
            .collect();
        let mut words: Vec<&str> = reading.effects.iter().map(|effect| effect.action.word()).collect();
        words.sort_unstable();
        words.dedup();
        let whole = reading.command.as_ref().map_or("", |command| command.text.as_str());
        let trees = commands.iter().map(|argv| {
            let mut tree = tree.clone();
            let program = program_of(argv);
            tree.insert(
                "command".to_owned(),
                json!({
                    "program": program, "argv": argv, "text": whole, "understood": reading.understood, "effects": words,
                    "paths": paths, "hosts": hosts,
                }),
            );
            tree
        });
        self.decide(numbers, trees.collect(), Some(criticality))
    }

    /// What the rules say where no tool is asked for: to the start of a task, to a failure, to a landing.
    pub fn situation(&self, known: &Known) -> Ruled {
        let numbers = self.candidates(known.now, |name| match name {
            "tool.name" | "command.program" => vec![Some("")],
            name => vec![known_text(known, name)],
        });
        let mut tree = tree(known);
        place(&mut tree, "tool.name", json!(""));
        place(&mut tree, "tool.input", json!({}));
        tree.insert("command".to_owned(), no_command());
        self.decide(numbers, vec![tree], None)
    }

    /// Whether any rule may have a word about the start of a task with this type, kind, title, effect and environment
    /// (empty: none is named). Costs no more than a look into a table.
    pub fn concerns_start(&self, now: Timestamp, [of_type, kind, title, effect, environment]: [&str; 5]) -> bool {
        let numbers = self.candidates(now, |name| {
            vec![match name {
                "task.type" => Some(of_type),
                "task.kind" => Some(kind),
                "task.title" => Some(title),
                "task.effect" => Some(effect),
                "environment" => Some(environment).filter(|name| !name.is_empty()),
                "tool.name" | "command.program" | "error.type" | "error.class" | "error.text" => Some(""),
                _ => None,
            }]
        });
        !numbers.is_empty()
    }

    /// How many rules have ended by now.
    pub fn ended(&self, now: Timestamp) -> usize {
        self.ends.iter().filter(|end| **end <= now).count()
    }

    /// The kind of failure that the policy's own patterns see in a text.
    pub fn failure(&self, text: &str) -> Option<&ErrorPattern> {
        self.error_patterns.iter().find(|pattern| pattern.text.is_match(text))
    }

    /// The rules that may hold, by the variables that decide: `look` says what one is, once for each command of a line.
    fn candidates<'v>(&self, now: Timestamp, look: impl Fn(&str) -> Vec<Option<&'v str>>) -> Vec<usize> {
        let mut numbers: Vec<usize> = self.always.clone();
        for (name, by_value) in &self.keyed {
            for value in look(name) {
                match value {
                    Some(value) => numbers.extend(by_value.get(value).into_iter().flatten()),
                    // Who asks for what is not known must be heard.
                    None => numbers.extend(by_value.values().flatten()),
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| self.rules[*number].expires.is_none_or(|end| now < end));
        numbers
    }

    /// Each tree is one command of a line; elsewhere there is one.
    fn decide(
        &self,
        numbers: Vec<usize>,
        trees: Vec<serde_json::Map<String, Value>>,
        criticality: Option<f64>,
    ) -> Ruled {
        if numbers.is_empty() {
            return Ruled::none();
        }
        let views: Vec<_> = trees.into_iter().map(variables).collect();
        let contexts: Vec<_> = views.iter().map(|view| condition::shared(view)).collect();
        let mut hits: Vec<(&Rule, Verdict)> = Vec::new();
        let mut missing: Vec<String> = Vec::new();
        let mut unknown: Option<(&Rule, String)> = None;
        for rule in numbers.into_iter().map(|number| &self.rules[number]) {
            let answers: Vec<Answer> =
                contexts.iter().zip(&views).map(|(context, view)| rule.condition.ask_in(context, view)).collect();
            let holds = |answer: &Answer| *answer == Answer::Holds;
            match rule.verdict {
                Verdict::Allow => {
                    let unseen = criticality
                        .is_some_and(|criticality| criticality > UNSEEN_MAX && !rule.condition.looks_at_the_ask());
                    // A text names one command; beside it, another would come in unseen.
                    let joined = answers.len() > 1 && rule.condition.names.iter().any(|name| name == "command.text");
                    if answers.iter().all(holds) && !unseen && !joined {
                        hits.push((rule, Verdict::Allow));
                    }
                }
                verdict => match answers.iter().any(holds) {
                    true => hits.push((rule, verdict)),
                    false => {
                        let what = answers.into_iter().find_map(|answer| match answer {
                            Answer::Unknown(what) => Some(what),
                            Answer::Holds | Answer::Not => None,
                        });
                        if let Some(what) = what {
                            if !missing.contains(&what) {
                                missing.push(what.clone());
                            }
                            hits.push((rule, Verdict::Escalate));
                            unknown.get_or_insert((rule, what));
                        }
                    }
                },
            }
        }
        // The highest tier that allows takes back what lower ones said.
        let allowed = hits.iter().filter(|(_, verdict)| *verdict == Verdict::Allow).map(|(rule, _)| rule.tier).max();
        hits.retain(|(rule, verdict)| *verdict == Verdict::Allow || allowed.is_none_or(|tier| rule.tier >= tier));
        hits.sort_by(|(a, one), (b, other)| {
            other.cmp(one).then(b.tier.cmp(&a.tier)).then(b.confidence.total_cmp(&a.confidence))
        });
        let Some((first, verdict)) = hits.first().copied() else { return Ruled { missing, ..Ruled::none() } };
        let unknown = unknown.filter(|(rule, _)| std::ptr::eq(*rule, first));
        let reason = |(rule, _): &(&Rule, Verdict)| match missing.is_empty() || rule.verdict == Verdict::Allow {
            true => format!("{} ({} rule {}, {})", rule.reason, rule.tier.word(), rule.id, rule.place),
            false => format!("rule {} ({}) asks for what is not known: {}", rule.id, rule.place, missing.join(", ")),
        };
        Ruled {
            verdict,
            action: Some(first.action.clone()),
            why: unknown.map_or_else(|| "rule".to_owned(), |(_, what)| format!("missing:{what}")),
            reasons: hits.iter().map(reason).collect(),
            priors: hits.iter().filter_map(|(rule, _)| Some((rule.id.clone(), rule.prior?))).collect(),
            hits: hits.iter().map(|(rule, _)| rule.id.clone()).collect(),
            missing,
        }
    }
}

impl Ruled {
    /// No rule has a word.
    pub fn none() -> Ruled {
        Ruled {
            verdict: Verdict::None,
            action: None,
            why: "rule".to_owned(),
            hits: Vec::new(),
            missing: Vec::new(),
            reasons: Vec::new(),
            priors: Vec::new(),
        }
    }
}

/// The program of a command, without its folder.
fn program_of(argv: &[String]) -> &str {
    argv.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program))
}

/// A variable's text, where it is known. Invariant: it says the same as the tree that [`tree`] makes.
fn known_text<'k>(known: &'k Known, name: &str) -> Option<&'k str> {
    let task = known.task.as_ref();
    match name {
        "task.type" => task.map(|task| task.kind_of_work.as_str()),
        "task.kind" => task.map(|task| task.kind.as_str()),
        "task.title" => task.map(|task| task.title.as_str()),
        "task.effect" => task.map(|task| task.effect.as_str()),
        "agent.id" => known.agent_id.as_deref(),
        "agent.driver" => known.agent_driver.as_deref(),
        "environment" => known.environment.as_deref(),
        "language" => known.language.as_deref(),
        "decision.kind" => known.decision_kind.as_deref(),
        _ => match name.split_once('.') {
            Some(("run", field)) => known.run.get(field)?.as_str(),
            Some(("error", field)) => match &known.error {
                Some(error) => error.get(field).map_or(Some(""), Value::as_str),
                None => Some(""),
            },
            _ => None,
        },
    }
}

fn no_command() -> Value {
    json!({"program": "", "argv": [], "text": "", "understood": true, "effects": [], "paths": [], "hosts": []})
}

/// The variables. What cannot apply is there and empty, so that a rule about it simply does not hold; what could be
/// known and is not, is absent.
fn tree(known: &Known) -> serde_json::Map<String, Value> {
    let mut tree = serde_json::Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            place(&mut tree, name, value);
        }
    };
    put("task", Some(json!({})));
    if let Some(task) = &known.task {
        put("task.type", Some(json!(task.kind_of_work)));
        put("task.kind", Some(json!(task.kind)));
        put("task.risk", task.risk.map(|risk| json!(risk)));
        put("task.title", Some(json!(task.title)));
        put("task.writes", Some(json!(task.writes)));
        put("task.effect", Some(json!(task.effect)));
    }
    put("run", Some(json!(known.run)));
    put("agent", Some(json!({})));
    put("agent.id", known.agent_id.as_ref().map(|id| json!(id)));
    put("agent.driver", known.agent_driver.as_ref().map(|driver| json!(driver)));
    put("environment", known.environment.as_ref().map(|name| json!(name)));
    put("language", known.language.as_ref().map(|name| json!(name)));
    put("error", Some(json!({"type": "", "class": "", "text": ""})));
    for (name, value) in known.error.iter().flatten() {
        put(&format!("error.{name}"), Some(value.clone()));
    }
    put("diff", Some(json!({"files": 0, "lines": 0, "exports_removed": [], "undeclared": []})));
    for (name, value) in known.diff.iter().flatten() {
        put(&format!("diff.{name}"), Some(value.clone()));
    }
    put("repo", known.repo.clone());
    put("cost", Some(json!(known.cost.clone().unwrap_or_default())));
    put("decision", Some(json!({})));
    put("decision.kind", known.decision_kind.as_ref().map(|kind| json!(kind)));
    put("user", Some(json!({})));
    put("user.present", known.user_present.map(|present| json!(present)));
    tree
}
