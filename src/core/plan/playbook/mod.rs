//! Playbooks: task-graph templates (S5), how one is chosen for a request, and how it becomes a plan.
//!
//! Pure: the text comes in as a string and the repository as [`Facts`]. Reading `.orchestrator/playbooks/` and asking
//! for trust are the daemon's.
//!
//! Beyond S5 a task may say
//! - `foreach = "format" | "lint_fix" | "lint" | "build" | "test"` instead of a command: it is expanded once per
//!   command of that role that the repository's manifests suggest and whose program is present;
//! - `verify = "tests"` (also `criteria.done = "tests"`): the repository's own test commands, or where it has none its
//!   build commands, or where it has neither nothing, so that the exit status is the check.

mod condition;
mod expand;
mod parse;
mod select;
mod skill;

use std::{collections::BTreeMap, fmt, sync::Arc};

use self::condition::Condition;
use super::spec::{Argv, TaskSpec};
use crate::core::facts::{Facts, FoundCommand, Role};

pub use self::{
    expand::expand,
    parse::parse,
    select::{CHOSEN_SCORE_MIN, Choice, Match, Parts, choose},
    skill::{PREFIX, parse_skill, skill_name},
};

/// A playbook, checked: every condition compiles, every reference resolves, no cycle, every placeholder is allowed.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Its name, `^[a-z0-9][a-z0-9_-]{0,39}$`.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// Parameters by name.
    pub params: BTreeMap<String, Param>,
    /// Checks on the final merged tree.
    pub done: Checks,
    /// Intents it serves.
    pub intents: Vec<String>,
    /// Words and short phrases that speak for it.
    pub words: Vec<String>,
    /// What the repository must have.
    facts: Option<Arc<Condition>>,
    /// Its tasks in the order written.
    tasks: Vec<Template>,
    /// The file comes from the workspace, so that every task of it needs trust. [`parse`] leaves this false; who
    /// reads a project's playbook sets it.
    pub derived: bool,
    /// File name for messages.
    file: String,
}

impl Playbook {
    /// The repository's commands that this playbook would run if they could, a sentence each.
    pub fn left_out(&self, facts: &Facts) -> Vec<String> {
        let roles = self.tasks.iter().filter_map(|task| task.foreach);
        let missing = roles.flat_map(|role| facts.commands(role).filter(|command| !runnable(facts, command)));
        let said = missing.map(|command| {
            let line = command.argv.join(" ");
            match &command.missing {
                Some(program) => {
                    format!("`{line}` is left out: {program} is not installed here; install the dependencies first")
                }
                // A path in the repository: what its package manager puts there.
                None if command.argv.first().is_some_and(|program| program.contains('/')) => {
                    format!("`{line}` is left out: its program is not installed here; install the dependencies first")
                }
                None => format!("`{line}` is left out: its program is not on the PATH"),
            }
        });
        said.collect()
    }

    /// The programs for want of which it would leave commands of the repository out, in the order of those.
    pub fn programs_missing(&self, facts: &Facts) -> Vec<String> {
        let roles = self.tasks.iter().filter_map(|task| task.foreach);
        let mut programs: Vec<String> = Vec::new();
        for command in roles.flat_map(|role| facts.commands(role).filter(|command| !runnable(facts, command))) {
            let first = command.argv.first().filter(|program| facts.programs.get(*program) == Some(&false));
            let program = command.missing.as_ref().or(first).cloned();
            // What is there and still cannot run is Cargo without one of its parts.
            let program = program.unwrap_or_else(|| command.argv.iter().take(2).cloned().collect::<Vec<_>>().join("-"));
            if !programs.contains(&program) {
                programs.push(program);
            }
        }
        programs
    }

    /// The file it came from, as named to [`parse`].
    pub fn file(&self) -> &str {
        &self.file
    }
}

/// One declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// What its values look like.
    pub kind: ParamKind,
    /// Used where none is given; a parameter without a default must be given.
    pub default: Option<String>,
    /// One line for people.
    pub about: String,
}

/// What values of a parameter look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    String,
    /// A relative path that stays inside the workspace.
    Path,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// One of these.
    Enum(Vec<String>),
}

/// Where checks come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Checks {
    /// None were named.
    #[default]
    Unsaid,
    /// These commands.
    Commands(Vec<Argv>),
    /// The repository's own test commands, or its build commands where it has no tests.
    RepositoryTests,
}

/// One task before expansion.
#[derive(Debug, Clone)]
struct Template {
    line: usize,
    when: Option<Arc<Condition>>,
    foreach: Option<Role>,
    needs: Vec<usize>,
    parent: Option<usize>,
    verify: Checks,
    /// Everything else; for a `foreach` task the work is an empty command.
    spec: TaskSpec,
}

/// Why a playbook was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookError {
    /// The file, as named to [`parse`].
    pub file: String,
    /// Line from 1; 0 where no line is to blame.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do next, where there is something to say.
    pub hint: Option<String>,
}

impl fmt::Display for PlaybookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}: {}", self.file, self.message)?,
        }
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for PlaybookError {}

/// Whether a found command can do its work here, as far as the facts say.
pub fn runnable(facts: &Facts, command: &FoundCommand) -> bool {
    command.missing.is_none() && present(facts, command)
}

/// Whether every program that a found command itself starts with is present.
fn present(facts: &Facts, command: &FoundCommand) -> bool {
    let has = |program: &str| facts.programs.get(program).copied().unwrap_or(true);
    let sub = match command.argv.as_slice() {
        [cargo, sub, ..] if cargo == "cargo" && matches!(sub.as_str(), "fmt" | "clippy") => format!("cargo-{sub}"),
        _ => String::new(),
    };
    command.argv.first().is_some_and(|program| has(program)) && (sub.is_empty() || has(&sub))
}

/// The repository's commands of one role whose programs are present, in order.
pub fn runnable_commands(facts: &Facts, role: Role) -> impl Iterator<Item = &FoundCommand> {
    facts.commands(role).filter(move |command| runnable(facts, command))
}

/// What `verify = "tests"` means here: the test commands, else the build commands, else nothing. Tests that need what
/// is not installed are tests all the same: a change that they could not judge is not proven.
pub fn repository_checks(facts: &Facts) -> Vec<Argv> {
    let of = |role| {
        let found = facts.commands(role).filter(|command| present(facts, command));
        found.map(|command| command.argv.clone()).collect::<Vec<Argv>>()
    };
    let tests = of(Role::Test);
    if tests.is_empty() { of(Role::Build) } else { tests }
}

/// The built-in playbooks, by name.
pub fn builtin() -> Vec<Playbook> {
    const TEXTS: [(&str, &str); 3] = [
        ("audit.toml", include_str!("../../../playbooks/audit.toml")),
        ("test.toml", include_str!("../../../playbooks/test.toml")),
        ("tidy.toml", include_str!("../../../playbooks/tidy.toml")),
    ];
    TEXTS
        .into_iter()
        .map(|(file, text)| parse(file, text).unwrap_or_else(|error| panic!("a built-in playbook is broken: {error}")))
        .collect()
}

/// The playbooks of `known` and those that the workspace brings, which need trust; and what is wrong with the files
/// that were passed over. A workspace cannot take the name of a playbook that is known.
pub fn with_project(known: &[Playbook], facts: &Facts) -> (Vec<Playbook>, Vec<String>) {
    let mut playbooks = known.to_vec();
    let mut problems = Vec::new();
    for brought in &facts.playbooks {
        let parsed = match brought.skill {
            true => parse_skill(&brought.file, &brought.text),
            false => parse(&brought.file, &brought.text),
        };
        match parsed {
            Ok(found) => match playbooks.iter().find(|other| other.name == found.name) {
                None => playbooks.push(Playbook { derived: !brought.own, ..found }),
                Some(other) => {
                    let built_in = !other.derived && !other.file.contains('/');
                    let whose = if built_in { "a built-in playbook" } else { other.file.as_str() };
                    problems.push(format!(
                        "{}: the name {} is that of {whose}; this file is passed over until it has another",
                        brought.file, found.name
                    ));
                }
            },
            Err(error) => problems.push(format!("{error} (this file is passed over)")),
        }
    }
    (playbooks, problems)
}

#[cfg(test)]
mod tests;
