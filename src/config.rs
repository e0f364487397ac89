//! The user's configuration (S7) and where things live. The one place that reads the environment for settings.
//!
//! A project file may only lower limits or tighten; what it may not say is refused by name.

use std::{
    collections::BTreeMap,
    env, fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::core::{
    Settings,
    agent::{AgentProfile, DriverKind},
    confine::Confine,
    plan::spec::Retry,
    run::Interaction,
    settings::Decisions,
};

/// Everything `config.toml` may say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where state is kept, and how long.
    pub state: StateConfig,
    /// How much at once.
    pub workflow: WorkflowConfig,
    /// Named commands and instructions.
    pub skill: SkillConfig,
    /// Isolated checkouts.
    pub lanes: LanesConfig,
    /// What commands are kept from.
    pub sandbox: SandboxConfig,
    /// How much to ask.
    pub interaction: InteractionConfig,
    /// When something is decided without a person.
    pub decisions: DecisionsConfig,
    /// Retry where a plan says nothing.
    pub retry: RetryConfig,
    /// The background process.
    pub daemon: DaemonConfig,
    /// What agents may cost.
    pub budget: BudgetConfig,
    /// Agents, by name. Those that are known by themselves need not be here; naming one changes it.
    pub agents: BTreeMap<String, AgentConfig>,
}

/// What agents may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Of one run, US dollars.
    pub run_usd: f64,
    /// Of one day.
    pub day_usd: f64,
    /// Agent attempts of one run.
    pub run_spawns: u32,
    /// How deep agents may lead to agents; below 2 none plans for others.
    pub depth: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        BudgetConfig { run_usd: 5.0, day_usd: 25.0, run_spawns: 20, depth: 2 }
    }
}

/// One agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// claude, acp or pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverKind>,
    /// Its command, program first; an empty one takes the agent away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What it can do; empty = anything.
    pub capabilities: Vec<String>,
    /// What it is best at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub specialization: Option<String>,
    /// Most tasks at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_load: Option<u32>,
    /// The model to ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whose quota it uses; agents of one account are limited together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Names of variables that it gets from whoever asks for a run: its keys. They are never stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// standard, own (it brings one in which ours does not nest) or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// US dollars per million tokens read and written, where it does not say what it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<(f64, f64)>,
    /// Whether it may be asked for plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planner: Option<bool>,
    /// The mode to set in a session (acp).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// An agent that is known without being declared.
struct KnownAgent {
    id: &'static str,
    driver: DriverKind,
    command: &'static [&'static str],
    env: &'static [&'static str],
    mode: Option<&'static str>,
    /// Its own sandbox does not nest in ours.
    own_sandbox: bool,
    /// Whose quota it uses, where that is not its own.
    account: Option<&'static str>,
    /// Variables that make it ask us, and keep it from changing itself.
    vars: &'static [(&'static str, &'static str)],
    /// Folders below the home folder where it keeps its own state.
    folders: &'static [&'static str],
    /// What it can do, where that is not what its driver can.
    can: &'static [&'static str],
}

/// The agents that are looked for on every PATH, first choice first.
const KNOWN_AGENTS: &[KnownAgent] = &[
    KnownAgent {
        id: "claude",
        driver: DriverKind::Claude,
        command: &["claude"],
        env: CLAUDE_ENV,
        mode: None,
        own_sandbox: false,
        account: None,
        vars: &[],
        folders: &[".claude"],
        can: &[],
    },
    KnownAgent {
        id: "codex",
        driver: DriverKind::Acp,
        command: &["codex-acp"],
        env: &["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_HOME"],
        mode: Some("workspace-write"),
        own_sandbox: true,
        account: None,
        vars: &[],
        folders: &[".codex"],
        can: &[],
    },
    KnownAgent {
        id: "gemini",
        driver: DriverKind::Acp,
        command: &["gemini", "--acp"],
        env: &["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"],
        mode: Some("default"),
        own_sandbox: false,
        account: None,
        vars: &[],
        folders: &[".gemini"],
        // It starts no MCP server in a folder that it does not trust, and one that it trusts may bring rules of its own.
        can: &["permission", "deny_reason", "resume"],
    },
    KnownAgent {
        id: "opencode",
        driver: DriverKind::Acp,
        command: &["opencode", "acp"],
        env: &["OPENCODE_API_KEY", "OPENCODE_CONFIG", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"],
        mode: None,
        own_sandbox: false,
        account: None,
        // It has no mode in which it asks; whether it does is its configuration's, and by default it does not.
        vars: &[
            ("OPENCODE_PERMISSION", r#"{"edit":"ask","bash":"ask","webfetch":"ask","external_directory":"ask"}"#),
            ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        ],
        folders: &[".local/share/opencode", ".local/state/opencode", ".config/opencode", ".cache/opencode"],
        can: &["permission", "deny_reason", "resume", "cost", "mcp"],
    },
    KnownAgent {
        id: "claude-acp",
        driver: DriverKind::Acp,
        command: &["claude-agent-acp"],
        env: CLAUDE_ENV,
        mode: Some("default"),
        own_sandbox: false,
        account: Some("claude"),
        vars: &[],
        folders: &[".claude"],
        can: &["permission", "deny_reason", "resume", "cost", "mcp"],
    },
];

/// What Claude Code takes from its environment, whoever starts it.
const CLAUDE_ENV: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    // Which Claude Code its adapter starts.
    "CLAUDE_CODE_EXECUTABLE",
];

/// Most tasks that an agent has at once where nothing else is said.
const MAX_LOAD: u32 = 3;

fn profile(id: &str, known: Option<&KnownAgent>, own: &AgentConfig) -> Option<AgentProfile> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let driver = own.driver.or(known.map(|known| known.driver))?;
    let command = own.command.clone().or(known.map(|known| words(known.command))).unwrap_or_default();
    if command.is_empty() && driver != DriverKind::Pull {
        return None;
    }
    let sandbox = if known.is_some_and(|known| known.own_sandbox) { "own" } else { "standard" };
    Some(AgentProfile {
        id: id.to_owned(),
        driver,
        command,
        capabilities: own.capabilities.clone(),
        specialization: own.specialization.clone(),
        max_load: own.max_load.unwrap_or(MAX_LOAD).max(1),
        model: own.model.clone(),
        account: own.account.clone().unwrap_or_else(|| known.and_then(|known| known.account).unwrap_or(id).to_owned()),
        env: own.env.clone().or(known.map(|known| words(known.env))).unwrap_or_default(),
        sandbox: own.sandbox.clone().unwrap_or_else(|| sandbox.to_owned()),
        planner: own.planner.unwrap_or(true),
        price: own.price,
        mode: own.mode.clone().or(known.and_then(|known| known.mode).map(str::to_owned)),
        vars: known
            .iter()
            .flat_map(|known| known.vars)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        folders: known.map(|known| words(known.folders)).unwrap_or_default(),
        can: known.map(|known| words(known.can)).unwrap_or_default(),
    })
}

/// Where state is kept, and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// The folder; empty = by the XDG rules.
    pub dir: String,
    /// Runs that are kept whole.
    pub keep_runs: u32,
    /// Days they are kept.
    pub keep_days: u32,
    /// Free disk below which no lane is laid out, GiB: idle lanes are removed first, then tasks wait. Low, because
    /// whoever has a small disk must not find that nothing ever starts.
    pub min_free_gb: f64,
}

impl Default for StateConfig {
    fn default() -> Self {
        StateConfig { dir: String::new(), keep_runs: 20, keep_days: 14, min_free_gb: 1.0 }
    }
}

/// How much at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkflowConfig {
    /// Most jobs of a run at once.
    pub workers: u32,
    /// Most connections of clients.
    pub max_connections: u32,
    /// Most tasks of a run.
    pub max_tasks: u32,
}

impl Default for WorkflowConfig {
    fn default() -> Self {
        WorkflowConfig { workers: 10, max_connections: 50, max_tasks: 1_000_000 }
    }
}

/// Named commands and instructions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkillConfig {
    /// Folders with skills, beside `skills/` next to this file.
    pub paths: Vec<String>,
}

/// Isolated checkouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanesConfig {
    /// Most of them, per workspace.
    pub max: u32,
    /// Names of ignored folders that a new lane gets a copy of.
    pub copy: Vec<String>,
    /// Names of ignored folders that a new lane shares with the checkout: what a task writes there is written there.
    pub link: Vec<String>,
    /// A command that is run once in each new lane; empty = none.
    pub setup: Vec<String>,
    /// Whether each lane gets ten ports of its own, the first of which is in `ORCHESTRATOR_PORT_BASE`.
    pub ports: bool,
    /// Largest untracked file that is taken along, MiB.
    pub max_file_mb: u64,
    /// Largest plain folder, files.
    pub max_folder_files: u64,
    /// Largest plain folder, MiB.
    pub max_folder_mb: u64,
}

impl Default for LanesConfig {
    fn default() -> Self {
        LanesConfig {
            max: 6,
            copy: ["node_modules", "target", ".venv", "vendor"].map(str::to_owned).into(),
            link: Vec::new(),
            setup: Vec::new(),
            ports: true,
            max_file_mb: 10,
            max_folder_files: 20_000,
            max_folder_mb: 2_048,
        }
    }
}

/// What commands are kept from. Agents have their own setting, `agents.NAME.sandbox`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Whose commands may write to their lane only, and to what builds need: derived (those that nobody typed), all or
    /// none. A task may say otherwise: `sandbox = "on"` or `"off"`.
    pub commands: Confine,
    /// Places that they may write to besides; `~/` is the home folder.
    pub writable: Vec<String>,
}

/// How much to ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InteractionConfig {
    /// minimal, checkpoint or collaborative.
    pub mode: Interaction,
    /// Seconds after which whoever follows is told again of an open decision; 0 = never.
    pub remind_s: f64,
    /// Seconds after which the notify command is run.
    pub notify_s: f64,
    /// A command that gets the question as its last argument, such as `["notify-send"]`; empty = none.
    pub notify: Vec<String>,
    /// Below this criticality a model's session may answer, too; never above 0.5.
    pub model_may_answer_below: f64,
}

impl Default for InteractionConfig {
    fn default() -> Self {
        InteractionConfig {
            mode: Interaction::default(),
            remind_s: 600.0,
            notify_s: 1800.0,
            notify: Vec::new(),
            model_may_answer_below: 0.5,
        }
    }
}

/// When something is decided without a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionsConfig {
    /// As sure as this that the user would agree.
    pub threshold: f64,
    /// Above this criticality a person is always asked.
    pub critical: f64,
    /// The share of what could go without asking that is asked all the same.
    pub audit: f64,
    /// Days after which an answer counts half.
    pub half_life_days: f64,
    /// Whether what can be taken back may be tried, verified, and kept or undone.
    pub probation: bool,
    /// How many of the gate's verdicts are kept, and for how long.
    pub cache: CacheConfig,
}

/// Verdicts that are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How many; 0 = none.
    pub size: usize,
    /// Seconds.
    pub ttl_s: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig { size: 1000, ttl_s: 3600 }
    }
}

impl Default for DecisionsConfig {
    fn default() -> Self {
        let Decisions { threshold, critical, audit, half_life_days, probation } = Decisions::default();
        let cache = CacheConfig::default();
        DecisionsConfig { threshold, critical, audit, half_life_days, probation, cache }
    }
}

/// Retry where a plan says nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Further executions.
    pub max: u32,
    /// First delay, seconds.
    pub base_s: f64,
    /// Share of a delay that is added at most.
    pub jitter: f64,
    /// Longest delay, seconds.
    pub cap_s: f64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig { max: 3, base_s: 1.0, jitter: 0.1, cap_s: 30.0 }
    }
}

/// The background process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DaemonConfig {
    /// Seconds without a client and without work after which it ends.
    pub idle_exit_s: f64,
    /// Address for WebSocket and HTTP; empty = none.
    pub listen: String,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        DaemonConfig { idle_exit_s: 600.0, listen: String::new() }
    }
}

/// Longest folder that a socket may lie in: the smallest system limit (104 bytes on macOS) less our file's name.
const SOCKET_DIR_BYTES_MAX: usize = 85;

/// Where things live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Journals, lanes, logs.
    pub state: PathBuf,
    /// Socket and lock.
    pub runtime: PathBuf,
    /// `config.toml`, `policy.toml`.
    pub config: PathBuf,
}

/// Why the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, with file and line.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl Places {
    /// By the XDG rules, from this process's environment. Where HOME is missing, the password database says it.
    pub fn find() -> Result<Places, ConfigError> {
        let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME").or_else(home_of_user);
        let under = |name: &str, fallback: &str| {
            absolute(name)
                .or_else(|| home.as_ref().map(|home| home.join(fallback)))
                .map(|path| path.join("orchestrator"))
        };
        let (Some(state), Some(config)) =
            (under("XDG_STATE_HOME", ".local/state"), under("XDG_CONFIG_HOME", ".config"))
        else {
            return Err(ConfigError {
                message: "there is no place for state: HOME is not set and the user has no home folder".to_owned(),
                hint: "set HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME, to absolute paths".to_owned(),
            });
        };
        let own = format!("orchestrator-{}", user_id());
        let candidates = [
            absolute("XDG_RUNTIME_DIR").map(|path| path.join("orchestrator")),
            Some(env::temp_dir().join(&own)),
            Some(PathBuf::from("/tmp").join(&own)),
        ];
        // A socket's path has a short limit that the system sets; where one is too long, the next is taken.
        let fits = |path: &PathBuf| path.as_os_str().len() < SOCKET_DIR_BYTES_MAX;
        let runtime = candidates.into_iter().flatten().find(fits).unwrap_or_else(|| PathBuf::from("/tmp").join(&own));
        Ok(Places { state, runtime, config })
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("daemon.sock")
    }

    /// The lock that the one daemon holds.
    pub fn lock(&self) -> PathBuf {
        self.runtime.join("daemon.lock")
    }

    /// The folder of one workspace.
    pub fn workspace(&self, id: &str) -> PathBuf {
        self.state.join("workspaces").join(id)
    }

    /// Makes the folders, for this user only.
    pub fn create(&self) -> io::Result<()> {
        for path in [&self.state, &self.runtime] {
            create_private(path)?;
        }
        Ok(())
    }
}

/// Makes a folder that only this user may enter, and refuses one that somebody else owns.
pub fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(named)?;
    let owner = std::fs::symlink_metadata(path).map_err(named)?;
    if owner.uid() != user_id() || !owner.is_dir() {
        let what = format!("{} belongs to somebody else or is not a folder; it is not used", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

/// The effective user.
pub fn user_id() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// The home folder that the password database has for this user.
fn home_of_user() -> Option<PathBuf> {
    use std::{ffi::CStr, os::unix::ffi::OsStrExt};
    // SAFETY: getpwuid returns null or a pointer to static storage that is valid until the next call; this runs
    // once at start-up, before there are threads, and copies the text out at once.
    let home = unsafe {
        let entry = libc::getpwuid(user_id());
        if entry.is_null() || (*entry).pw_dir.is_null() {
            return None;
        }
        CStr::from_ptr((*entry).pw_dir).to_bytes().to_vec()
    };
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&home));
    path.is_absolute().then_some(path)
}

impl Config {
    /// Reads the user's file; a missing one is all defaults.
    pub fn load(places: &Places) -> Result<Config, ConfigError> {
        let path = places.config.join("config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Config::parse(&text, &path.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(ConfigError {
                message: format!("{} cannot be read: {error}", path.display()),
                hint: "mend its permissions, or move it away to go on with the defaults".to_owned(),
            }),
        }
    }

    /// Reads a file's text.
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            ConfigError {
                message: format!("{file}:{line}: {}", error.message()),
                hint: "`orchestrator config` prints every setting with its default".to_owned(),
            }
        })?;
        let bad = |what: &str| {
            Err(ConfigError { message: format!("{file}: {what}"), hint: "choose a larger number".to_owned() })
        };
        if config.workflow.workers == 0 {
            return bad("workflow.workers must be at least 1");
        }
        let decisions = &config.decisions;
        for (name, value, least, most) in [
            ("decisions.threshold", decisions.threshold, 0.5, 1.0),
            ("decisions.critical", decisions.critical, 0.0, 0.8),
            ("decisions.audit", decisions.audit, 0.0, 1.0),
            ("interaction.model_may_answer_below", config.interaction.model_may_answer_below, 0.0, 0.5),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ConfigError {
                    message: format!("{file}: {name} is {value}"),
                    hint: format!("choose a number from {least} to {most}"),
                });
            }
        }
        if decisions.half_life_days.is_nan() || decisions.half_life_days <= 0.0 {
            return bad("decisions.half_life_days must be above 0");
        }
        if config.lanes.max < 2 {
            return bad("lanes.max must be at least 2: one for work, one for the checks of the base");
        }
        if let Some(path) = config.sandbox.writable.iter().find(|path| !path.starts_with(['/', '~'])) {
            return Err(ConfigError {
                message: format!("{file}: sandbox.writable: {path:?} is no absolute path"),
                hint: "begin it with / or ~/".to_owned(),
            });
        }
        for (id, agent) in &config.agents {
            let known = KNOWN_AGENTS.iter().any(|known| known.id == id);
            let wrong = |what: String, hint: &str| {
                Err(ConfigError { message: format!("{file}: agents.{id}: {what}"), hint: hint.to_owned() })
            };
            if !known && agent.driver.is_none() {
                return wrong("it has no driver".to_owned(), "driver = \"claude\", \"acp\" or \"pull\"");
            }
            if !known && agent.driver != Some(DriverKind::Pull) && agent.command.is_none() {
                return wrong("it has no command".to_owned(), "command = [\"program\", \"argument\"]");
            }
            if agent.sandbox.as_deref().is_some_and(|level| !matches!(level, "standard" | "own" | "none")) {
                return wrong(
                    "there is no such sandbox".to_owned(),
                    "sandbox = \"standard\", \"own\" (it brings one) or \"none\"",
                );
            }
        }
        Ok(config)
    }

    /// Where things live, with the configured state folder in place of the usual one.
    pub fn places(&self, places: Places) -> Places {
        match self.state.dir.as_str() {
            "" => places,
            dir => Places { state: PathBuf::from(dir), ..places },
        }
    }

    /// The agents, those that are known first, in their order; then those that are only declared.
    pub fn agent_profiles(&self) -> Vec<AgentProfile> {
        let none = AgentConfig::default();
        let known = KNOWN_AGENTS
            .iter()
            .filter_map(|known| profile(known.id, Some(known), self.agents.get(known.id).unwrap_or(&none)));
        let declared = self.agents.iter().filter(|(id, _)| KNOWN_AGENTS.iter().all(|known| known.id != id.as_str()));
        known.chain(declared.filter_map(|(id, own)| profile(id, None, own))).collect()
    }

    /// Whether sessions may claim tasks: an agent is declared whose driver is `pull`.
    pub fn pulls(&self) -> bool {
        self.agents.values().any(|agent| agent.driver == Some(DriverKind::Pull))
    }

    /// Names of variables that agents need and that are never stored.
    pub fn agent_env(&self) -> Vec<String> {
        let mut names: Vec<String> = self.agent_profiles().into_iter().flat_map(|profile| profile.env).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What the core is told.
    pub fn settings(&self) -> Settings {
        let RetryConfig { max, base_s, jitter, cap_s } = self.retry;
        let DecisionsConfig { threshold, critical, audit, half_life_days, probation, cache: _ } = self.decisions;
        let after = |seconds: f64| (seconds > 0.0).then_some((seconds * 1000.0) as u64);
        Settings {
            workers: self.workflow.workers,
            lanes_max: self.lanes.max,
            tasks_max: self.workflow.max_tasks,
            retry: Retry { max, base_s, cap_s },
            jitter,
            interaction: self.interaction.mode,
            decisions: Decisions { threshold, critical, audit, half_life_days, probation },
            remind_ms: after(self.interaction.remind_s),
            notify_ms: after(self.interaction.notify_s).filter(|_| !self.interaction.notify.is_empty()),
            notify: self.interaction.notify.clone(),
            model_may_answer_below: self.interaction.model_may_answer_below,
            keep_runs: self.state.keep_runs,
            keep_days: self.state.keep_days,
            playbooks: crate::core::plan::playbook::builtin(),
            agents: self.agent_profiles(),
            run_usd: self.budget.run_usd,
            day_usd: self.budget.day_usd,
            run_spawns: self.budget.run_spawns,
            depth: self.budget.depth,
            confine: self.sandbox.commands,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_named_with_its_line() {
        let error = Config::parse("[workflow]\nworkers = 4\nworker = 3\n", "config.toml").unwrap_err();
        assert!(error.message.starts_with("config.toml:3: unknown field `worker`"), "{error}");
        assert!(Config::parse("[lanes]\nmax = 1\n", "config.toml").is_err());
        assert_eq!(Config::parse("", "config.toml").unwrap(), Config::default());
    }
}
