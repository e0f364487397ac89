//! The command line: reads what was typed, finds the daemon, and says what it answered.
//!
//! Only this folder prints. Verbs talk to the daemon through [`crate::api::OrchestratorApiClient`] and know nothing of
//! how it is reached.

mod admin;
pub mod args;
mod ask;
mod bars;
mod claude_code;
mod console;
mod decide;
mod decisions;
mod demo;
mod doctor;
pub mod exit;
mod explain;
#[cfg(test)]
mod fake;
mod follow;
mod hook;
mod inspect;
mod live;
mod policy;
pub mod render;
mod result;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod seams;
mod setup;
#[cfg(test)]
mod verbs_test;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use args::{Cli, DaemonWhat, DecisionsWhat, ExplainWhat, Global, HookWhat, PolicyWhat, Verb};
use clap::Parser;
use console::Console;
use exit::{CliError, Exit};

use crate::{
    api::{ApiError, Code, OrchestratorApiClient, Welcome},
    client::{ConnectOptions, again::Steady, connect},
    stdio::{self, Dialect, Ending},
};

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(speak) = plainly_spoken(&arguments) {
        let global = Global::default();
        let mut console = Console::of_process(&global);
        let spoken = workspace(&global).and_then(|workspace| self::speak(&speak, false, workspace, &mut console));
        return match spoken {
            Ok(exit) => ExitCode::from(exit as u8),
            Err(error) => finish(Err(error), Some(&mut console)),
        };
    }
    if args::wants_full_help(&arguments) {
        let help = args::full_command().render_long_help();
        return finish(io::stdout().write_all(help.to_string().as_bytes()).map_err(CliError::from), None);
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, too; a closed pipe is none to us.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { Exit::Completed as u8 });
        }
    };
    let is_daemon = matches!(cli.verb, Some(Verb::Daemon { what: DaemonWhat::Run { .. } }));
    trace(cli.global.verbose, is_daemon);
    let mut console = Console::of_process(&cli.global);
    let result = dispatch(cli, &mut console);
    let result = result.and_then(|exit| console.out.flush().map(|()| exit).map_err(CliError::from));
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => finish(Err(error), Some(&mut console)),
    }
}

/// How hosts and editors start us: nothing but the protocol, or nothing at all. Told without the parser, because to lay
/// out forty verbs takes as long as everything else until `initialize` is answered.
fn plainly_spoken(arguments: &[OsString]) -> Option<args::Speak> {
    match arguments {
        [_, only] if only == "--mcp" => Some(args::Speak { mcp: true, lsp: false }),
        [_, only] if only == "--lsp" => Some(args::Speak { mcp: false, lsp: true }),
        [_] if !io::stdin().is_terminal() => Some(args::Speak::default()),
        _ => None,
    }
}

/// Says what went wrong, where somebody is left to hear it.
fn finish(result: Result<(), CliError>, console: Option<&mut Console>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let exit = error.exit();
    if let (Some(console), true) = (console, exit != Exit::Pipe) {
        // Where even this cannot be written, the exit status has to say it.
        let _ = tell(&error.to_api(), &error, console);
    }
    ExitCode::from(exit as u8)
}

fn tell(error: &ApiError, shown: &CliError, console: &mut Console) -> io::Result<()> {
    if console.json {
        return console.object(error);
    }
    console.note(format!("error: {shown}"))?;
    if error.hint.is_empty() { Ok(()) } else { console.note(format!("hint: {}", error.hint)) }
}

/// Diagnostics on standard error, as many as asked for. A daemon's standard error is its log, which always has what
/// went wrong.
fn trace(verbose: u8, is_daemon: bool) {
    let level = match verbose {
        0 if is_daemon => tracing::Level::WARN,
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    // An embedding that has a subscriber already keeps it.
    let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false).try_init();
}

fn dispatch(cli: Cli, console: &mut Console) -> Result<Exit, CliError> {
    let workspace = workspace(&cli.global)?;
    match cli.verb {
        // What needs no daemon, or is one, runs before any runtime exists.
        Some(Verb::Completions { shell }) => admin::completions(console, shell),
        Some(Verb::Demo) => demo::run(console),
        Some(Verb::Setup { what }) => setup::run(console, &workspace, &what),
        Some(Verb::Config) => admin::config(console, &workspace),
        Some(Verb::Playbooks) => admin::playbooks(console, &workspace),
        Some(Verb::Journal { what }) => admin::journal(console, &workspace, &what),
        Some(Verb::Keeper { dir }) => seams::keeper(&dir),
        Some(Verb::AgentHost { dir }) => seams::agent_host(&dir),
        Some(Verb::Daemon { what: DaemonWhat::Run { listen } }) => seams::daemon_run(listen),
        Some(Verb::Fix { name, path }) => seams::fix(console, &name, path.as_deref()),
        Some(Verb::Audit { name }) => seams::audit(console, &name),
        Some(Verb::Explain { what: ExplainWhat::Error { text, exit, jsonl } }) => match jsonl {
            true => explain::errors(console),
            false => explain::error(console, &text, exit),
        },
        Some(Verb::Decisions { what: Some(DecisionsWhat::Replay { jsonl: _, seed }) }) => {
            decisions::replay(console, seed)
        }
        Some(Verb::Explain { what: ExplainWhat::Command { text, jsonl } }) => match jsonl {
            true => explain::commands(console, &workspace),
            false => explain::command(console, &workspace, &text),
        },
        // What was remembered is the daemon's to forget; everything else about rules is in files.
        Some(Verb::Policy { what }) if !policy::of_daemon(&what) => match what {
            PolicyWhat::Check { lane, environment, task, command } => {
                policy::check(console, &workspace, &explain::Asked { lane, environment, task }, &command)
            }
            PolicyWhat::List => policy::list(console, &workspace),
            PolicyWhat::Replay { with, threshold } => policy::replay(console, &workspace, with.as_deref(), threshold),
            PolicyWhat::Forget { id } => policy::forget(console, &workspace, &id),
        },
        Some(Verb::Hook { what: HookWhat::Permission }) => hook::permission(console, &workspace),
        // Without a verb it is a protocol's, unless somebody sits there.
        None if speaks(&cli.speak) || !io::stdin().is_terminal() => {
            speak(&cli.speak, cli.global.workspace.is_some(), workspace, console)
        }
        None if !console.out_is_terminal => Err(CliError::usage(
            "there is no verb, and nobody at a terminal to show the status to",
            "give a verb (`orchestrator --help` lists them), or the input of an LSP or MCP client",
        )),
        verb => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(CliError::io("cannot start the runtime"))?;
            let result = runtime.block_on(with_daemon(verb, workspace, console));
            // A thread that reads the terminal may be left; it must not hold us up.
            runtime.shutdown_background();
            result
        }
    }
}

fn speaks(speak: &args::Speak) -> bool {
    speak.lsp || speak.mcp
}

/// Standard input and output are a protocol's.
fn speak(speak: &args::Speak, given: bool, workspace: PathBuf, console: &mut Console) -> Result<Exit, CliError> {
    let forced = match speak {
        args::Speak { lsp: true, .. } => Some(Dialect::Lsp),
        args::Speak { mcp: true, .. } => Some(Dialect::Mcp),
        args::Speak { .. } => None,
    };
    // Claude Code names its project; a host that starts us elsewhere is followed there.
    let project = std::env::var_os("CLAUDE_PROJECT_DIR").map(PathBuf::from).filter(|project| project.is_dir());
    let workspace = project.filter(|_| !given).unwrap_or(workspace);
    // The front end greets the daemon under the name that its own client has.
    match stdio::serve(forced, ConnectOptions::terminal(workspace))
        .map_err(CliError::io("standard input and output"))?
    {
        Ending::Over(0) => Ok(Exit::Completed),
        Ending::Over(_) => Ok(Exit::Failed),
        Ending::Refused(sentence) => {
            // Standard output belongs to the protocol, also where none came of it.
            console.note(format!("error: {sentence}"))?;
            Ok(Exit::Usage)
        }
    }
}

/// The folder that the command is about, absolute.
fn workspace(global: &Global) -> Result<PathBuf, CliError> {
    let given = match &global.workspace {
        Some(dir) => dir.clone(),
        None => std::env::current_dir().map_err(CliError::io("cannot find the current folder"))?,
    };
    match given.canonicalize() {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(path) => Err(CliError::usage(format!("{} is not a folder", path.display()), "give a folder with --in")),
        Err(error) => {
            Err(CliError::usage(format!("{}: {error}", given.display()), "give an existing folder with --in"))
        }
    }
}

async fn with_daemon(verb: Option<Verb>, workspace: PathBuf, console: &mut Console) -> Result<Exit, CliError> {
    let verb = verb.unwrap_or(Verb::Status { watch: false, run: None });
    let foreground = matches!(&verb, Verb::Run(run) if run.foreground);
    // To look at the daemon or to end it is no reason to start one.
    let start = !matches!(
        &verb,
        Verb::Doctor | Verb::Daemon { what: DaemonWhat::Stop { .. } } | Verb::Daemon { what: DaemonWhat::Status }
    );
    let listen = match &verb {
        Verb::Daemon { what: DaemonWhat::Start { listen } } => listen.clone(),
        _ => None,
    };
    if let Some(text) = &listen {
        crate::daemon::listen::address(text)?;
    }
    let options = ConnectOptions { start, foreground, listen, ..ConnectOptions::terminal(workspace) };
    if let Verb::Doctor = verb {
        return doctor(&options, console).await;
    }
    let (client, welcome) = Steady::connect(&options).await?;
    tracing::info!(version = %welcome.version, pid = welcome.pid, role = ?welcome.role, "connected");
    if let Verb::Run(arguments) = &verb {
        let again = async || Steady::connect(&options).await.map(|(client, _)| client).map_err(CliError::from);
        return run::run(client, again, console, arguments).await;
    }
    verbs(&client, &welcome, console, verb).await
}

/// Asks a running daemon, where there is one, and looks at the rest by itself.
async fn doctor(options: &ConnectOptions, console: &mut Console) -> Result<Exit, CliError> {
    match connect(options).await {
        Ok((client, _)) => {
            let status = client.daemon_status().await.map_err(ApiError::from);
            let facts = client.get_facts().await.ok().map(|reply| reply.facts);
            doctor::run(console, &status, facts.as_ref())
        }
        Err(error) => doctor::run(console, &Err(error.0), None),
    }
}

/// Every verb that asks the daemon and ends.
async fn verbs<C: OrchestratorApiClient + Sync>(
    client: &C,
    welcome: &Welcome,
    console: &mut Console,
    verb: Verb,
) -> Result<Exit, CliError> {
    match verb {
        Verb::Status { watch, run } => inspect::status(client, console, run, watch).await,
        Verb::Decide { decision: None, .. } => decide::list(client, console).await,
        Verb::Decide { decision: Some(id), option: None, .. } => decide::show(client, console, id).await,
        Verb::Decide { decision: Some(id), option: Some(option), text, remember } => {
            let typed = decide::Typed { option: &option, text: text.as_deref(), remember };
            decide::answer(client, console, id, typed).await
        }
        Verb::Diff { run, stat } => result::diff(client, console, run, stat).await,
        Verb::Apply { run, tasks } => result::apply(client, console, run, &tasks).await,
        Verb::Undo { run } => result::undo(client, console, run).await,
        Verb::Cancel { id } => inspect::cancel(client, console, &id).await,
        Verb::Retry { id } => inspect::retry(client, console, &id).await,
        Verb::Log { id, follow, tail } => inspect::log(client, console, &id, follow, tail).await,
        Verb::Why { id } => inspect::why(client, console, &id).await,
        Verb::Report { svg, decisions: true, .. } => decisions::scorecard(client, console, svg.as_deref()).await,
        Verb::Report { run, svg, mermaid, decisions: false } => {
            inspect::report(client, console, run, svg.as_deref(), mermaid).await
        }
        Verb::Plan { request, plan } => run::plan(client, console, &request, plan.as_deref()).await,
        Verb::Explain { what: ExplainWhat::Request { text, jsonl: false } } => {
            explain::request(client, console, &text).await
        }
        Verb::Explain { what: ExplainWhat::Request { .. } } => explain::requests(client, console).await,
        Verb::Decisions { what: None | Some(DecisionsWhat::List) } => decide::list(client, console).await,
        Verb::Decisions { what: Some(DecisionsWhat::History { last }) } => {
            decisions::history(client, console, last).await
        }
        Verb::Decisions { what: Some(DecisionsWhat::Forget { id }) }
        | Verb::Policy { what: PolicyWhat::Forget { id } } => decisions::forget(client, console, id).await,
        Verb::Facts => inspect::facts(client, console).await,
        Verb::Gc => admin::gc(client, console).await,
        Verb::Agents => inspect::agents(client, console).await,
        Verb::Trust { revoke } => admin::trust(client, console, revoke).await,
        Verb::Checkpoint { run, label } => admin::checkpoint(client, console, run, label).await,
        Verb::Restore { checkpoint } => admin::restore(client, console, checkpoint).await,
        Verb::Daemon { what } => admin::daemon(client, welcome, console, &what).await,
        Verb::Run(_)
        | Verb::Doctor
        | Verb::Playbooks
        | Verb::Journal { .. }
        | Verb::Config
        | Verb::Demo
        | Verb::Completions { .. }
        | Verb::Setup { .. }
        | Verb::Keeper { .. }
        | Verb::AgentHost { .. }
        | Verb::Fix { .. }
        | Verb::Audit { .. }
        | Verb::Decisions { what: Some(DecisionsWhat::Replay { .. }) }
        | Verb::Policy { .. }
        | Verb::Hook { .. }
        | Verb::Explain { what: ExplainWhat::Error { .. } | ExplainWhat::Command { .. } } => {
            Err(ApiError::new(Code::Internal, "this verb is handled before the daemon is asked", "").into())
        }
    }
}
