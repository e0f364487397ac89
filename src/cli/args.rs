//! What one may type: verbs, flags, and the two pages of help. Nothing is done here.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::ids::{BadId, CheckpointId, DecisionId, RunId, TaskId};

const AFTER_HELP: &str = "\
Examples:
  orchestrator run \"format and lint this repository; keep only what passes its tests\"
  orchestrator run --do 'cargo fix --allow-dirty' --verify 'cargo test'
  orchestrator diff R-1; orchestrator apply R-1; orchestrator undo R-1

Exit status: 0 completed, 1 failed or partial, 2 usage or refused plan,
             3 stopped at an open decision, 4 cancelled, 5 daemon or store
More verbs: orchestrator --help --all";

/// Plans a large request, runs many agents at once, proves every step and undoes what went wrong.
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version, after_help = AFTER_HELP, disable_help_subcommand = true, max_term_width = 110)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// Which protocol, where there is no verb.
    #[command(flatten)]
    pub speak: Speak,
    /// What to do; without one, the status on one screen, or the protocol of an editor or model host.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Which protocol standard input and output speak, where it should not be told from the first bytes.
#[derive(Debug, Clone, Default, Args)]
pub struct Speak {
    /// Speak LSP on standard input and output
    #[arg(long, hide = true, conflicts_with = "mcp")]
    pub lsp: bool,
    /// Speak MCP on standard input and output
    #[arg(long, hide = true)]
    pub mcp: bool,
}

/// Flags of every verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The workspace [default: the current folder]
    #[arg(long = "in", value_name = "DIR", global = true)]
    pub workspace: Option<PathBuf>,
    /// Print wire objects, one per line
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour: auto, always or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        global = true
    )]
    pub color: ColorWhen,
    /// Say more on standard error; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// With --help: every verb
    #[arg(long, hide = true)]
    pub all: bool,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Everything one may ask for. What is hidden is on the second page (`--help --all`).
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Hand in a request and follow it
    Run(RunArgs),
    /// Show runs, open decisions and agents on one screen
    Status {
        /// Draw again whenever something changes; one run until it is over
        #[arg(long)]
        watch: bool,
        /// Only this run
        #[arg(value_parser = any_case::<RunId>)]
        run: Option<RunId>,
    },
    /// List what waits for you, or answer it
    Decide {
        /// The decision
        #[arg(value_parser = any_case::<DecisionId>)]
        decision: Option<DecisionId>,
        /// The id of one of its options
        option: Option<String>,
        /// Words with the answer, where the option takes any
        #[arg(long)]
        text: Option<String>,
        /// How long the answer holds for like questions: once, run or always
        #[arg(long, value_name = "HOW_LONG", default_value = "once", hide_possible_values = true)]
        remember: RememberArg,
    },
    /// Show what a run would change
    Diff {
        /// The run [default: the newest]
        #[arg(value_parser = any_case::<RunId>)]
        run: Option<RunId>,
        /// Only the list of files
        #[arg(long)]
        stat: bool,
    },
    /// Bring a run's result into the checkout
    Apply {
        /// The run [default: the newest]
        #[arg(value_parser = any_case::<RunId>)]
        run: Option<RunId>,
        /// Only the part of these tasks
        #[arg(long, value_delimiter = ',', value_name = "T-1,T-2", value_parser = any_case::<TaskId>)]
        tasks: Vec<TaskId>,
    },
    /// Take an applied result out of the checkout again
    Undo {
        /// The run
        #[arg(value_parser = any_case::<RunId>)]
        run: RunId,
    },
    /// Cancel a task or a run
    Cancel {
        /// T-42 or R-3
        id: String,
    },
    /// Try what failed again
    Retry {
        /// T-42 or R-3
        id: String,
    },
    /// Show the output of a task
    Log {
        /// T-42, or T-42.2 for one attempt
        id: String,
        /// Go on as more comes
        #[arg(short, long)]
        follow: bool,
        /// Only the last lines
        #[arg(long, value_name = "LINES")]
        tail: Option<u64>,
    },
    /// Say why a run, task or decision is as it is
    Why {
        /// R-3, T-42, T-42.2, D-7 or C-5
        id: String,
    },
    /// Show what a run did, found and took
    Report {
        /// The run [default: the newest]
        #[arg(value_parser = any_case::<RunId>)]
        run: Option<RunId>,
        /// Write the timeline as SVG; - is standard output
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Print the task graph as Mermaid
        #[arg(long)]
        mermaid: bool,
        /// Instead of a run: how well decisions without a person went; with --svg the two diagrams
        #[arg(long, conflicts_with_all = ["run", "mermaid"])]
        decisions: bool,
    },
    /// Check what the orchestrator needs on this machine
    Doctor,
    /// Put in place what an editor or model host needs to start this program
    Setup {
        /// For whom
        #[command(subcommand)]
        what: SetupWhat,
    },

    /// Show the plan of a request without starting it, or the plan of a run
    #[command(hide = true)]
    Plan {
        /// The request, or R-3
        #[arg(required_unless_present = "plan")]
        request: Vec<String>,
        /// A plan file
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
    },
    /// Show how a request, a command or an error text would be understood
    #[command(hide = true)]
    Explain {
        /// What to explain
        #[command(subcommand)]
        what: ExplainWhat,
    },
    /// List decisions, or try the learner on a stream of them
    #[command(hide = true)]
    Decisions {
        /// What to do with them; without it, those that are open
        #[command(subcommand)]
        what: Option<DecisionsWhat>,
    },
    /// Ask, list or take back the rules that decide what may run
    #[command(hide = true)]
    Policy {
        /// What to do with them
        #[command(subcommand)]
        what: PolicyWhat,
    },
    /// Answer a hook of Claude Code (put into its settings)
    #[command(hide = true)]
    Hook {
        /// Which one
        #[command(subcommand)]
        what: HookWhat,
    },
    /// Show what is known about the workspace
    #[command(hide = true)]
    Facts,
    /// List the playbooks
    #[command(hide = true)]
    Playbooks,
    /// Let the files of this workspace suggest commands
    #[command(hide = true)]
    Trust {
        /// Take the trust back
        #[arg(long)]
        revoke: bool,
    },
    /// Save a checkpoint
    #[command(hide = true)]
    Checkpoint {
        /// Only this run
        #[arg(value_parser = any_case::<RunId>)]
        run: Option<RunId>,
        /// A name for it
        #[arg(long)]
        label: Option<String>,
    },
    /// Go back to a checkpoint
    #[command(hide = true)]
    Restore {
        /// The checkpoint
        #[arg(value_parser = any_case::<CheckpointId>)]
        checkpoint: CheckpointId,
    },
    /// Forget runs that are over and older than is configured
    #[command(hide = true)]
    Gc,
    /// List the agents
    #[command(hide = true)]
    Agents,
    /// Verify, export or import the journal
    #[command(hide = true)]
    Journal {
        /// What to do with it
        #[command(subcommand)]
        what: JournalWhat,
    },
    /// Start, stop or look at the background daemon
    #[command(hide = true)]
    Daemon {
        /// What to do with it
        #[command(subcommand)]
        what: DaemonWhat,
    },
    /// Show every setting with its value and where it comes from
    #[command(hide = true)]
    Config,
    /// Show on a throw-away repository what this program does
    #[command(hide = true)]
    Demo,
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Keeps agent processes (started by the daemon)
    #[command(hide = true)]
    Keeper {
        /// Its folder
        dir: PathBuf,
    },
    /// Owns one agent's streams (started by the keeper)
    #[command(hide = true)]
    AgentHost {
        /// Its folder
        dir: PathBuf,
    },
    /// A built-in fixer (started by playbooks)
    #[command(hide = true)]
    Fix {
        /// Its name
        name: String,
        /// What it works on
        path: Option<PathBuf>,
    },
    /// A built-in audit (started by playbooks)
    #[command(hide = true)]
    Audit {
        /// Its name
        name: String,
    },
}

/// Verbs that no page of help lists: the program starts itself with them.
const INTERNAL: &[&str] = &["keeper", "agent-host", "fix", "audit"];

/// A request and how to follow it.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// What you want done; - reads it from standard input
    #[arg(value_name = "REQUEST", required_unless_present_any = ["command", "plan", "playbook", "skill"])]
    pub request: Vec<String>,
    /// Run this command in a lane of its own instead of planning
    #[arg(long = "do", value_name = "CMD", conflicts_with = "plan", requires = "verify")]
    pub command: Option<String>,
    /// Keep the change only if this command passes; may be given more than once
    #[arg(long, value_name = "CHECK")]
    pub verify: Vec<String>,
    /// Ask before a change that takes away or alters exported names and signatures
    #[arg(long)]
    pub compatible: bool,
    /// Run this plan, TOML or JSON
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    pub plan: Option<PathBuf>,
    /// Run this playbook, whatever the request says
    #[arg(long, value_name = "NAME", conflicts_with_all = ["plan", "command", "skill"])]
    pub playbook: Option<String>,
    /// Run this skill
    #[arg(long, value_name = "NAME", conflicts_with_all = ["plan", "command"])]
    pub skill: Option<String>,
    /// A parameter of the playbook or skill; may be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Most tasks at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
    /// A name for this request: the same one again attaches to the same run
    #[arg(long)]
    pub key: Option<String>,
    /// Come back after this time with the best so far and leave it running
    #[arg(long, value_name = "60s", value_parser = humantime::parse_duration)]
    pub within: Option<Duration>,
    /// Trust the commands that this workspace's files suggest
    #[arg(long)]
    pub trust: bool,
    /// Do not use the background daemon; everything ends with this command
    #[arg(long, conflicts_with = "detach")]
    pub foreground: bool,
    /// Hand it in and come back at once
    #[arg(long, conflicts_with_all = ["within", "no_wait"])]
    pub detach: bool,
    /// Come back at the first decision that holds everything up
    #[arg(long)]
    pub no_wait: bool,
}

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RememberArg {
    /// This question only.
    Once,
    /// Like questions of this run.
    Run,
    /// Like questions from now on.
    Always,
}

/// What can be set up.
#[derive(Debug, Subcommand)]
pub enum SetupWhat {
    /// Register this program with Claude Code, and allow its harmless tools
    ClaudeCode(ClaudeCodeArgs),
    /// Install the Neovim plugin, which serves every buffer
    Neovim {
        /// Print its files instead
        #[arg(long)]
        print: bool,
    },
    /// Say how the VS Code extension is installed
    Vscode,
    /// Print what goes into Helix' languages.toml
    Helix,
    /// Print what goes into an Emacs init file, for lsp-mode and eglot
    Emacs,
}

/// How Claude Code is told.
#[derive(Debug, Args)]
pub struct ClaudeCodeArgs {
    /// For everybody who works in this repository, instead of for you everywhere
    #[arg(long)]
    pub project: bool,
    /// Put Claude Code's own sessions under your rules, too: a hook that answers its permission questions
    #[arg(long)]
    pub hook: bool,
    /// Print what would be written
    #[arg(long)]
    pub print: bool,
    /// Take it out again, the hook as well
    #[arg(long, conflicts_with_all = ["print", "hook"])]
    pub remove: bool,
}

/// What can be explained.
#[derive(Debug, Subcommand)]
pub enum ExplainWhat {
    /// How a request would be understood, with every number
    Request {
        /// The request
        #[arg(required_unless_present = "jsonl")]
        text: Vec<String>,
        /// JSON lines on standard input and output: {"id","text"} in
        #[arg(long)]
        jsonl: bool,
    },
    /// What a shell command would do, and what the gate says to it
    Command {
        /// The command, as one would type it into a shell
        #[arg(required_unless_present = "jsonl", allow_hyphen_values = true, trailing_var_arg = true)]
        text: Vec<String>,
        /// JSON lines on standard input and output: {"id","command","cwd"?} in
        #[arg(long)]
        jsonl: bool,
    },
    /// What an error text would be taken for
    Error {
        /// The text
        #[arg(required_unless_present = "jsonl")]
        text: Vec<String>,
        /// The exit status that came with it
        #[arg(long)]
        exit: Option<i32>,
        /// JSON lines on standard input and output: {"id","message","exit"?} in
        #[arg(long)]
        jsonl: bool,
    },
}

/// What can be done with decisions.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum DecisionsWhat {
    /// Those that are open, most urgent first
    List,
    /// Those that are over, newest first
    History {
        /// Only the newest
        #[arg(long, value_name = "COUNT", default_value_t = 30)]
        last: u32,
    },
    /// Let an answer that held for a kind of action hold no longer
    Forget {
        /// always-1 or never-2, as `decisions history` lists them
        id: String,
    },
    /// Decide a stream of JSON lines with an empty history; one line in, one line out
    Replay {
        /// JSON lines: {"op":"decide","record":{…}} and {"op":"feedback","id","outcome"}
        #[arg(long, required = true)]
        jsonl: bool,
        /// Which of the sure ones are asked all the same is drawn from this
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// What can be done with the rules.
#[derive(Debug, Subcommand)]
pub enum PolicyWhat {
    /// What the gate and the rules say to a command: 0 allow, 1 deny, 3 a person is asked
    Check {
        /// As if it ran in a lane
        #[arg(long)]
        lane: bool,
        /// The environment that it is for
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
        /// The type of the task that it belongs to
        #[arg(long, value_name = "TYPE")]
        task: Option<String>,
        /// The command, as one would type it into a shell
        #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Every rule in force, where it stands, and what was left out
    List,
    /// Name the past decisions of this workspace that other rules or another threshold would turn: 0 none, 1 some
    Replay {
        /// A policy.toml to try in place of your own [default: the rules as their files have them now]
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
        /// As sure as this, and nothing would be asked: from 0.5 to 1 [default: the configuration's]
        #[arg(long, value_name = "SHARE")]
        threshold: Option<f64>,
    },
    /// Take a rule out of your own policy.toml
    Forget {
        /// Its id
        id: String,
    },
}

/// The hooks that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum HookWhat {
    /// PreToolUse and PermissionRequest: JSON on standard input; allow, ask or deny on standard output
    Permission,
}

/// What can be done with a journal.
#[derive(Debug, Subcommand)]
pub enum JournalWhat {
    /// Check every commit's hash
    Verify {
        /// The journal's folder [default: this workspace's]
        dir: Option<PathBuf>,
    },
    /// Write it as JSON lines
    Export {
        /// Where to; - is standard output
        #[arg(default_value = "-")]
        to: PathBuf,
        /// The journal's folder [default: this workspace's]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Make a journal from JSON lines
    Import {
        /// What `export` wrote; - is standard input
        from: PathBuf,
        /// The folder of the journal to make; must not hold one
        dir: PathBuf,
    },
}

/// What can be done with the daemon.
#[derive(Debug, Subcommand)]
pub enum DaemonWhat {
    /// Start it where none runs
    Start {
        /// Also serve WebSocket and HTTP on this loopback address, such as 127.0.0.1:8765
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
    },
    /// End it; running attempts go on and are taken up again
    Stop {
        /// Do not wait
        #[arg(long)]
        now: bool,
    },
    /// How it is
    Status,
    /// Be it (the program starts itself with this)
    #[command(hide = true)]
    Run {
        /// Also serve WebSocket and HTTP on this loopback address
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
    },
}

/// An id as people type it: small letters are taken for the capital ones that ids have.
fn any_case<T: FromStr<Err = BadId>>(text: &str) -> Result<T, BadId> {
    text.to_uppercase().parse()
}

/// The whole command line with every verb on one page of help: what `--help --all` shows.
pub fn full_command() -> clap::Command {
    let command = Cli::command();
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names
        .into_iter()
        .filter(|name| !INTERNAL.contains(&name.as_str()))
        .fold(command.after_help("Each verb explains itself: orchestrator VERB --help"), |command, name| {
            command.mut_subcommand(name, |verb| verb.hide(false))
        })
}

/// What completions are made from: everything that a person types, and nothing that the program starts itself with.
/// (clap can hide a verb, but its completions show it all the same.)
pub fn typed_command() -> clap::Command {
    let command = Cli::command();
    let verbs: Vec<clap::Command> =
        command.get_subcommands().filter(|verb| !INTERNAL.contains(&verb.get_name())).cloned().collect();
    let flags: Vec<clap::Arg> = command.get_arguments().cloned().collect();
    let whole = clap::Command::default().name("orchestrator").version(env!("CARGO_PKG_VERSION"));
    whole.args(flags).subcommands(verbs)
}

/// Whether these arguments ask for the second page of help.
pub fn wants_full_help(arguments: &[std::ffi::OsString]) -> bool {
    let has = |name: &str| arguments.iter().skip(1).any(|argument| argument == name);
    has("--all") && (has("--help") || has("-h") || has("help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        full_command().debug_assert();
    }

    #[test]
    fn the_first_page_lists_the_daily_verbs_and_the_second_all() {
        let visible = |command: clap::Command| -> Vec<String> {
            command
                .get_subcommands()
                .filter(|verb| !verb.is_hide_set())
                .map(|verb| verb.get_name().to_owned())
                .collect()
        };
        let daily = "run status decide diff apply undo cancel retry log why report doctor setup";
        assert_eq!(visible(Cli::command()).join(" "), daily);
        let all = visible(full_command());
        assert!(all.len() > 20 && all.contains(&"journal".to_owned()), "{all:?}");
        assert!(!all.contains(&"keeper".to_owned()));
    }

    #[test]
    fn completions_know_what_is_typed_and_no_more() {
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::Fish, &mut typed_command(), "orchestrator", &mut script);
        let script = String::from_utf8(script).unwrap();
        for known in ["-a \"status\"", "-a \"policy\"", "-l watch", "-l json", "-a \"claude-code\""] {
            assert!(script.contains(known), "{known}");
        }
        for internal in INTERNAL {
            assert!(!script.contains(&format!("-a \"{internal}\"")), "{internal}");
        }
    }

    #[test]
    fn a_request_may_be_several_words_and_flags_may_follow_the_verb() {
        let cli = Cli::try_parse_from(["orchestrator", "run", "tidy", "up", "--within", "60s", "--json"]).unwrap();
        assert!(cli.global.json);
        match cli.verb {
            Some(Verb::Run(run)) => {
                assert_eq!(run.request, ["tidy", "up"]);
                assert_eq!(run.within, Some(Duration::from_secs(60)));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_may_be_typed_small() {
        match Cli::try_parse_from(["orchestrator", "apply", "r-3", "--tasks", "t-1,T-2"]).unwrap().verb {
            Some(Verb::Apply { run, tasks }) => {
                assert_eq!((run, tasks), (Some(RunId(3)), vec![TaskId(1), TaskId(2)]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn half_a_request_is_refused() {
        for arguments in [vec!["run"], vec!["run", "--do", "x"], vec!["run", "x", "--jobs", "0"], vec!["rnu", "x"]] {
            let whole = std::iter::once("orchestrator").chain(arguments.iter().copied());
            let error = Cli::try_parse_from(whole).expect_err("taken");
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
        let error = Cli::try_parse_from(["orchestrator", "statsu"]).expect_err("taken");
        assert!(error.to_string().contains("'status'"), "{error}");
    }
}
