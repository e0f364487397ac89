//! Where verbs meet the rest of the program: one short function each, so that what is behind can change alone.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use super::{
    console::Console,
    exit::{CliError, Exit},
    explain::ErrorView,
};
use crate::{
    api::{ApiError, Code},
    config::{Config, Places},
    core::{
        plan::file,
        recover::classify::{Exit as Ended, classify},
    },
    daemon,
    store::verify,
    upkeep,
};

/// Refuses a plan text that cannot be right, before anything is started. The daemon checks it again.
pub fn check_plan(text: &str) -> Result<(), CliError> {
    match file::parse(text, None) {
        Ok(_) => Ok(()),
        Err(error) => {
            let code = match error.first().code {
                file::Code::Cycle => Code::Cycle,
                file::Code::Invalid => Code::Invalid,
            };
            let hint = error.first().hint.clone().unwrap_or_default();
            let mut refused = ApiError::new(code, error.to_string(), hint);
            refused.field = error.first().field.clone();
            Err(refused.into())
        }
    }
}

/// How an error text is understood.
pub fn explain_error(message: &str, exit: Option<i32>) -> Result<ErrorView, CliError> {
    let classified = classify(message, exit.map_or(Ended::Unknown, Ended::Code));
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(ErrorView {
        label: word(serde_json::json!(classified.class)),
        recovery: word(serde_json::json!(classified.route)),
        confidence: classified.confidence,
    })
}

/// The journal's folder: the one given, else the workspace's.
fn journal_dir(workspace: &Path, dir: Option<&Path>) -> Result<std::path::PathBuf, CliError> {
    match dir {
        Some(dir) => Ok(dir.to_owned()),
        None => Ok(daemon::folder_of(workspace)?),
    }
}

fn damaged(error: impl std::fmt::Display) -> CliError {
    ApiError::new(Code::Unavailable, error.to_string(), "`orchestrator journal export` still reads what is whole")
        .into()
}

/// Checks every commit of the journal in `dir`, else of the workspace's; the line says how many there are.
pub fn journal_verify(workspace: &Path, dir: Option<&Path>) -> Result<String, CliError> {
    let dir = journal_dir(workspace, dir)?;
    let verified = verify::verify(&dir).map_err(damaged)?;
    Ok(format!("{} commits, all intact, in {}", verified.commits, dir.display()))
}

/// Writes the journal in `dir`, else the workspace's, as JSON lines.
pub fn journal_export(workspace: &Path, dir: Option<&Path>, mut to: &mut dyn Write) -> Result<String, CliError> {
    let dir = journal_dir(workspace, dir)?;
    let exported = verify::export(&dir, &mut to).map_err(damaged)?;
    match exported.damaged.first() {
        None => Ok(format!("{} commits", exported.commits)),
        Some(first) => Ok(format!(
            "{} commits; damaged from {} on: {} (and {} more places)",
            exported.commits,
            first.from.0,
            first.what,
            exported.damaged.len() - 1
        )),
    }
}

/// Makes a journal in `dir` from JSON lines.
pub fn journal_import(mut from: &mut dyn BufRead, dir: &Path) -> Result<String, CliError> {
    let made = verify::import(dir, &mut from).map_err(damaged)?;
    Ok(format!("{} commits in {}", made.commits, dir.display()))
}

/// One setting: its dotted name, its value, and the file or default that it comes from.
pub struct Setting {
    /// `workflow.workers`.
    pub name: String,
    /// As TOML writes it.
    pub value: String,
    /// `default`, or a path.
    pub origin: String,
}

/// Every setting in force in this workspace.
pub fn settings(_workspace: &Path) -> Result<Vec<Setting>, CliError> {
    let of_config = |error: crate::config::ConfigError| ApiError::new(Code::Invalid, error.message, error.hint);
    let places = Places::find().map_err(of_config)?;
    let config = Config::load(&places).map_err(of_config)?;
    let file = places.config.join("config.toml");
    let written: toml::Table =
        std::fs::read_to_string(&file).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
    let internal = |error: toml::ser::Error| ApiError::new(Code::Internal, error.to_string(), "");
    let all = toml::Table::try_from(&config).map_err(internal)?;
    let mut settings = Vec::new();
    for (section, values) in &all {
        for (key, value) in values.as_table().into_iter().flatten() {
            let said = written.get(section).and_then(|section| section.get(key)).is_some();
            settings.push(Setting {
                name: format!("{section}.{key}"),
                value: value.to_string(),
                origin: if said { file.display().to_string() } else { "default".to_owned() },
            });
        }
    }
    Ok(settings)
}

/// One playbook: its name, what it does, and where it comes from.
pub struct Playbook {
    /// Its name.
    pub name: String,
    /// One line.
    pub about: String,
    /// `built-in`, or a path.
    pub origin: String,
}

/// Every playbook that this workspace has, and what is wrong with files that were passed over.
pub fn playbooks(workspace: &Path) -> (Vec<Playbook>, Vec<String>) {
    let (found, problems) = daemon::playbooks(workspace);
    let origin =
        |file: Option<std::path::PathBuf>| file.map_or("built-in".to_owned(), |file| file.display().to_string());
    let found = found.into_iter();
    let found = found.map(|(found, file)| Playbook { name: found.name, about: found.about, origin: origin(file) });
    (found.collect(), problems)
}

/// Is the daemon until it is told to stop. Whoever started it reads one word from its standard output, which is then
/// let go of.
pub fn daemon_run(listen: Option<String>) -> Result<Exit, CliError> {
    let told = |word: &str| {
        let mut out = std::io::stdout();
        // Nobody may be listening; the daemon does not depend on it.
        let _ = writeln!(out, "{word}").and_then(|()| out.flush());
        daemon::release_stdio();
    };
    daemon::run(listen, told).map_err(CliError::io("the daemon ended"))?;
    Ok(Exit::Completed)
}

/// Is a keeper of processes until nothing is left to keep.
pub fn keeper(dir: &Path) -> Result<Exit, CliError> {
    match daemon::agents::keeper::run_keeper(dir) {
        Ok(()) => Ok(Exit::Completed),
        Err(error) => Err(CliError::io("the keeper ended")(error)),
    }
}

/// Is the host of one agent until that is gone.
pub fn agent_host(dir: &Path) -> Result<Exit, CliError> {
    daemon::agents::run_host(dir).map_err(CliError::io("the agent's host ended"))?;
    Ok(Exit::Completed)
}

/// Runs a built-in fixer.
pub fn fix(console: &mut Console, name: &str, path: Option<&Path>) -> Result<Exit, CliError> {
    let found = upkeep::fix(name, path.unwrap_or(Path::new("."))).map_err(upkeep_error("fix", upkeep::FIXES))?;
    upkeep::print(&found, &mut console.out).map_err(CliError::io("cannot print findings"))?;
    Ok(Exit::Completed)
}

/// Runs a built-in audit.
pub fn audit(console: &mut Console, name: &str) -> Result<Exit, CliError> {
    let found = upkeep::audit(name, Path::new(".")).map_err(upkeep_error("audit", upkeep::AUDITS))?;
    upkeep::print(&found, &mut console.out).map_err(CliError::io("cannot print findings"))?;
    Ok(Exit::Completed)
}

fn upkeep_error(
    verb: &'static str,
    all: &'static [(&'static str, &'static str)],
) -> impl Fn(std::io::Error) -> CliError {
    move |error| match error.kind() {
        std::io::ErrorKind::InvalidInput => {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            CliError::usage(error.to_string(), format!("orchestrator {verb} knows {}", names.join(", ")))
        }
        _ => CliError::io("cannot look at the files")(error),
    }
}
