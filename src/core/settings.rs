//! What the configuration says to the core. Plain data; read in `config.rs`.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    agent::AgentProfile,
    confine::Confine,
    decide::{ladder::Tuning, policy::Policy},
    plan::{playbook::Playbook, spec::Retry},
    run::Interaction,
};

/// Everything the core may be told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most jobs at once, unless a run says otherwise.
    pub workers: u32,
    /// Most lanes of a workspace.
    pub lanes_max: u32,
    /// Most tasks of a run.
    pub tasks_max: u32,
    /// Retry where a task says nothing.
    pub retry: Retry,
    /// Jitter added to a delay, as a share of it.
    pub jitter: f64,
    /// How much to ask, unless a run says otherwise.
    pub interaction: Interaction,
    /// When the ladder may decide.
    pub decisions: Decisions,
    /// After so long an open decision is told of again; `None` = never.
    pub remind_ms: Option<u64>,
    /// After so long the notify command is run.
    pub notify_ms: Option<u64>,
    /// That command; empty = none.
    pub notify: Vec<String>,
    /// Below this criticality a model's session may answer.
    pub model_may_answer_below: f64,
    /// Wall-clock limit of one attempt where a task says nothing, seconds.
    pub timeout_s: f64,
    /// Runs that are kept whole, however old.
    pub keep_runs: u32,
    /// Days that a run is kept, however many there are.
    pub keep_days: u32,
    /// Playbooks, built-in ones first.
    pub playbooks: Vec<Playbook>,
    /// Agents that are declared, in the order of the configuration.
    pub agents: Vec<AgentProfile>,
    /// Most that agents of one run may cost, US dollars.
    pub run_usd: f64,
    /// Most that all agents of one day may cost.
    pub day_usd: f64,
    /// Most agent attempts of one run.
    pub run_spawns: u32,
    /// Whose commands are confined to their lane.
    pub confine: Confine,
    /// How deep agents may lead to agents: 2 = one may plan for others. None starts any by itself.
    pub depth: u32,
    /// The rules in force. They change while a daemon lives; whoever steps the core brings them up to date.
    pub rules: Rules,
}

/// The rules, and whether they are all there.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What can be used of them.
    pub policy: Arc<Policy>,
    /// Why the files' rules cannot be used. Then a person is asked before anything that a rule could forbid.
    pub broken: Option<String>,
}

impl Default for Rules {
    /// The program's own.
    fn default() -> Self {
        static BUILTIN: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(Policy::builtin().unwrap_or_default()));
        Rules { policy: BUILTIN.clone(), broken: None }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            workers: 10,
            lanes_max: 6,
            tasks_max: 1_000_000,
            retry: Retry::default(),
            jitter: 0.1,
            interaction: Interaction::default(),
            decisions: Decisions::default(),
            remind_ms: None,
            notify_ms: None,
            notify: Vec::new(),
            model_may_answer_below: 0.5,
            timeout_s: 3600.0,
            keep_runs: 20,
            keep_days: 14,
            playbooks: Vec::new(),
            agents: Vec::new(),
            run_usd: 5.0,
            day_usd: 25.0,
            run_spawns: 20,
            depth: 2,
            confine: Confine::default(),
            rules: Rules::default(),
        }
    }
}

/// When something is decided without a person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decisions {
    /// As sure as this.
    pub threshold: f64,
    /// Up to this criticality.
    pub critical: f64,
    /// The share that is asked all the same.
    pub audit: f64,
    /// After so many days an answer counts half.
    pub half_life_days: f64,
    /// Whether what can be taken back may be tried, verified, and kept or undone.
    pub probation: bool,
}

impl Default for Decisions {
    fn default() -> Self {
        let Tuning { threshold, critical, audit, half_life_days } = Tuning::default();
        Decisions { threshold, critical, audit, half_life_days, probation: true }
    }
}

impl Decisions {
    /// What of it the ladder is set to.
    pub fn tuning(&self) -> Tuning {
        let Decisions { threshold, critical, audit, half_life_days, probation: _ } = *self;
        Tuning { threshold, critical, audit, half_life_days }
    }
}

/// A small, seedable generator (SplitMix64): the core's only source of chance, so that a seed repeats a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and nobody walks it")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
