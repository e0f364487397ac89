//! A plan as a person or a playbook writes it: the S4 shapes, after parsing and before ids are given out.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::core::confine::Sandbox;

/// A command: program and arguments, no shell.
pub type Argv = Vec<String>;

/// How tasks are laid out and rearranged when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One after another.
    Sequential,
    /// As much at once as the dependencies allow.
    Parallel,
    /// By parents, at most five levels.
    Hierarchical,
    /// Parallel, rearranged when something fails.
    #[default]
    Adaptive,
}

/// How agents work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordination {
    /// A leader reviews each follower task.
    LeaderFollower,
    /// Tasks share the run's notes.
    #[default]
    PeerToPeer,
    /// A subtree has an owner who integrates it.
    Hierarchical,
    /// Several candidates, the best verified is kept.
    Consensus,
}

/// What happens to the rest of a run when a task fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Dependants are blocked, the rest goes on.
    #[default]
    Continue,
    /// Nothing new starts.
    Stop,
}

/// How a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A command.
    #[default]
    Shell,
    /// A coding agent.
    Agent,
    /// A playbook, expanded in place.
    Workflow,
    /// A question to a person.
    Decision,
}

/// What a task may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it reads.
    None,
    /// Files of its own lane.
    #[default]
    Workspace,
    /// Something outside that git cannot take back.
    External,
}

/// How urgent work is. Later variants go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When nothing else is due.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before normal work.
    High,
    /// Before everything.
    Urgent,
}

/// A whole plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// One line for people.
    pub title: String,
    /// Layout of the tasks.
    pub strategy: Strategy,
    /// How agents work together.
    pub coordination: Coordination,
    /// Most tasks running at once; `None` = the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// What a failure does to the rest.
    pub on_failure: OnFailure,
    /// Limits of the whole run.
    pub budget: Budget,
    /// Checks on the final merged tree.
    pub verify: Vec<Argv>,
    /// The tasks, in the order written.
    pub tasks: Vec<TaskSpec>,
}

/// Limits of a run; `None` = the configuration's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// Model tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Wall-clock minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Processes started for its tasks, commands and agents; their checks are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawns: Option<u32>,
}

impl Budget {
    /// The stricter of two, limit by limit.
    pub fn within(&self, other: &Budget) -> Budget {
        fn least<T: PartialOrd + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(if b < a { b } else { a }),
                (a, b) => a.or(b),
            }
        }
        Budget {
            usd: least(self.usd, other.usd),
            tokens: least(self.tokens, other.tokens),
            minutes: least(self.minutes, other.minutes),
            spawns: least(self.spawns, other.spawns),
        }
    }
}

/// What a task does, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A program and its arguments.
    Command(Argv),
    /// Text for `sh -c`.
    Run(String),
    /// A prompt for an agent.
    Prompt(String),
    /// A playbook and its parameters.
    Playbook {
        /// Its name.
        name: String,
        /// Its parameters.
        params: BTreeMap<String, String>,
    },
    /// A question with its options.
    Question {
        /// At most 200 characters.
        question: String,
        /// Two to six option titles.
        options: Vec<String>,
        /// 0..1.
        criticality: f64,
    },
}

/// One task of a plan, local names resolved to positions in [`Plan::tasks`].
///
/// Ten thousand of these are held in memory at rest, so what is usual costs nothing: rare settings sit behind
/// one box ([`Extras`]), repeated ones behind an `Arc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The plan's own name for it, `^[a-z0-9][a-z0-9_-]{0,39}$`.
    pub name: Box<str>,
    /// One line for people; empty = the name.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub title: Box<str>,
    /// What policy sees as `task.type`: a free word; empty = the kind's.
    #[serde(default, rename = "type", skip_serializing_if = "str::is_empty")]
    pub kind_word: Box<str>,
    /// What to do.
    pub work: Work,
    /// Positions of the tasks that must have completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u32>,
    /// What it may touch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub effect: Effect,
    /// Commands that prove it, run by us in its lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Arc<Vec<Argv>>>,
    /// Everything that most tasks leave at its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extras: Option<Box<Extras>>,
}

/// The rarer settings of a task; a task without any shares [`TaskSpec::extras`]` == None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Position of the parent task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Milestone it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milestone: Option<String>,
    /// An agent must have all of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Scored 40 %.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefers: Vec<String>,
    /// Scored 10 %.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub specializations: Vec<String>,
    /// Globs of what it writes; `None` on a shell task = unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Vec<String>>,
    /// Globs of what it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// The inverse of an external effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Compensate>,
    /// How often and how soon it is tried again; `None` = the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What to try when retries are used up: `skill:x`, `agent:codex`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// Expected duration, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_s: Option<f64>,
    /// Wall-clock limit of one attempt, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// Limit without any output, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_s: Option<f64>,
    /// Running it twice does no harm.
    #[serde(skip_serializing_if = "is_default")]
    pub idempotent: bool,
    /// May be joined with like tasks.
    #[serde(skip_serializing_if = "is_default")]
    pub batch: bool,
    /// Exclusive tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Overrides the run's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What policy sees as `environment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Folder inside the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Added to the run's environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What its own agents may use, within what the run may; `spawns` = attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<Budget>>,
    /// What it is in the way agents work together; never written by people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Whether its commands are confined to its lane, whatever the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// The agent that must do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The command comes from files of the workspace (a manifest, a project playbook), so it needs trust.
    #[serde(skip_serializing_if = "is_default")]
    pub derived: bool,
}

/// What a task is in the way agents work together (`coordinate/strategies.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Reviews the task at this position.
    Reviews(u32),
    /// Makes a whole of what others did; there may be nothing to do.
    Integrates,
    /// One of several that do the same, for the task at this position to choose from. It does not land.
    Candidate(u32),
    /// Chooses among candidates and lands one.
    Picks,
    /// Makes the plan of its run.
    Plans,
}

impl Part {
    /// The same, where the plan stands behind so many other tasks.
    pub fn moved(self, by: u32) -> Part {
        match self {
            Part::Reviews(task) => Part::Reviews(task + by),
            Part::Candidate(task) => Part::Candidate(task + by),
            Part::Integrates | Part::Picks | Part::Plans => self,
        }
    }
}

/// What every task without extras has.
pub static NO_EXTRAS: std::sync::LazyLock<Extras> = std::sync::LazyLock::new(Extras::default);

/// The declared inverse of an effect outside the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compensate {
    /// Takes the effect back.
    pub command: Argv,
    /// Exit 0 = the effect is there.
    #[serde(default)]
    pub probe: Option<Argv>,
}

/// Retry settings; the specification's 1, 2, 4 s with a cap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Further executions after the first.
    pub max: u32,
    /// Delay before the first of them, seconds.
    pub base_s: f64,
    /// Longest delay, seconds.
    pub cap_s: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { max: 3, base_s: 1.0, cap_s: 30.0 }
    }
}

impl TaskSpec {
    /// A task with everything at its default.
    pub fn new(name: &str, work: Work) -> TaskSpec {
        TaskSpec {
            name: name.into(),
            title: "".into(),
            kind_word: "".into(),
            work,
            needs: Vec::new(),
            effect: Effect::default(),
            verify: None,
            extras: None,
        }
    }

    /// The rarer settings, defaults where there are none.
    pub fn extras(&self) -> &Extras {
        self.extras.as_deref().unwrap_or(&NO_EXTRAS)
    }

    /// The rarer settings, to be changed.
    pub fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// How it runs.
    pub fn kind(&self) -> Kind {
        match self.work {
            Work::Command(_) | Work::Run(_) => Kind::Shell,
            Work::Prompt(_) => Kind::Agent,
            Work::Playbook { .. } => Kind::Workflow,
            Work::Question { .. } => Kind::Decision,
        }
    }

    /// One line for people.
    pub fn title(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    /// What policy sees as `task.type`.
    pub fn type_word(&self) -> &str {
        if !self.kind_word.is_empty() {
            return &self.kind_word;
        }
        match self.kind() {
            Kind::Shell => "skill_execution",
            Kind::Agent => "generic",
            Kind::Workflow => "workflow_execution",
            Kind::Decision => "decision_making",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
