//! From a playbook, its parameters and a repository to a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Checks, ParamKind, Playbook, PlaybookError, Template, parse, repository_checks, runnable_commands};
use crate::core::{
    facts::{Facts, FoundCommand, Role},
    plan::spec::{Argv, Plan, TaskSpec, Work},
};

/// Expands a playbook. Tasks whose `when` is false, and `foreach` tasks for which the repository has no runnable
/// command, are left out and what needed them needs what they needed. Tasks with a command or a check from the
/// repository's manifests, and all tasks of a playbook that is itself [`derived`](Playbook::derived), are marked so.
///
/// Invariant: the plan's `needs` and `parent`s are positions in the plan, and it has a task.
pub fn expand(playbook: &Playbook, params: &BTreeMap<String, String>, facts: &Facts) -> Result<Plan, PlaybookError> {
    let values = values(playbook, params)?;
    let own_checks: Option<Arc<Vec<Argv>>> =
        Some(repository_checks(facts)).filter(|checks| !checks.is_empty()).map(Arc::new);
    let expansion = Expansion { playbook, values: &values, facts, own_checks };

    let mut tasks: Vec<TaskSpec> = Vec::new();
    let mut positions: Vec<Vec<u32>> = Vec::new();
    for template in &playbook.tasks {
        let mut here = Vec::new();
        for task in expansion.instances(template)? {
            here.push(tasks.len() as u32);
            tasks.push(task);
        }
        positions.push(here);
    }
    if tasks.is_empty() {
        let missing: Vec<String> =
            playbook.programs_missing(facts).iter().map(|program| format!("`{program}`")).collect();
        let why = match missing.as_slice() {
            [] => "nothing in it applies to this repository".to_owned(),
            [one] => format!("nothing in it can run here: {one} is not installed"),
            many => format!("nothing in it can run here: {} are not installed", many.join(", ")),
        };
        return Err(expansion.error(0, why));
    }
    unique_names(&mut tasks);
    for (template, here) in playbook.tasks.iter().zip(&positions) {
        let needs: BTreeSet<u32> =
            template.needs.iter().flat_map(|need| standing_in(playbook, &positions, *need)).collect();
        let mut parent = template.parent;
        while let Some(left_out) = parent.filter(|parent| positions[*parent].is_empty()) {
            parent = playbook.tasks[left_out].parent;
        }
        for position in here {
            let task = &mut tasks[*position as usize];
            task.needs = needs.iter().copied().collect();
            if let Some(parent) = parent {
                task.extras_mut().parent = positions[parent].first().copied();
            }
        }
    }
    let verify = match &playbook.done {
        Checks::Unsaid => Vec::new(),
        Checks::Commands(argvs) => argvs.iter().map(|argv| expansion.argv(argv)).collect(),
        Checks::RepositoryTests => expansion.own_checks.as_deref().cloned().unwrap_or_default(),
    };
    let title = if playbook.about.is_empty() { &playbook.name } else { &playbook.about };
    Ok(Plan { title: title.clone(), verify, tasks, ..Plan::default() })
}

/// The plan positions of a task, or if it was left out, of what it needed. Terminates because parsing refused cycles.
fn standing_in(playbook: &Playbook, positions: &[Vec<u32>], task: usize) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        if !seen.insert(task) {
            continue;
        }
        if positions[task].is_empty() {
            open.extend(&playbook.tasks[task].needs);
        } else {
            found.extend(&positions[task]);
        }
    }
    found
}

struct Expansion<'a> {
    playbook: &'a Playbook,
    values: &'a BTreeMap<String, String>,
    facts: &'a Facts,
    own_checks: Option<Arc<Vec<Argv>>>,
}

impl Expansion<'_> {
    fn error(&self, line: usize, message: impl Into<String>) -> PlaybookError {
        PlaybookError { file: self.playbook.file.clone(), line, message: message.into(), hint: None }
    }

    /// The tasks that a template becomes: none, one, or for `foreach` one per command.
    fn instances(&self, template: &Template) -> Result<Vec<TaskSpec>, PlaybookError> {
        if let Some(when) = &template.when
            && !when.holds(self.facts).map_err(|trouble| self.error(template.line, trouble))?
        {
            return Ok(Vec::new());
        }
        let mut task = template.spec.clone();
        let mut derived = self.playbook.derived;
        task.verify = match &template.verify {
            Checks::Unsaid => None,
            Checks::Commands(argvs) => Some(Arc::new(argvs.iter().map(|argv| self.argv(argv)).collect())),
            Checks::RepositoryTests => {
                derived |= self.own_checks.is_some();
                self.own_checks.clone()
            }
        };
        match &mut task.work {
            Work::Command(argv) => *argv = self.argv(argv),
            Work::Prompt(text) => *text = self.text(text),
            Work::Run(_) | Work::Playbook { .. } | Work::Question { .. } => {}
        }
        if let Some(extras) = &mut task.extras {
            for value in extras.env.values_mut() {
                *value = self.text(value);
            }
            if let Some(undo) = &mut extras.compensate {
                undo.command = self.argv(&undo.command);
                undo.probe = undo.probe.as_deref().map(|probe| self.argv(probe));
            }
        }
        let Some(role) = template.foreach else {
            if derived {
                task.extras_mut().derived = true;
            }
            return Ok(vec![task]);
        };
        Ok(runnable_commands(self.facts, role).map(|command| self.for_command(&task, role, command)).collect())
    }

    fn for_command(&self, task: &TaskSpec, role: Role, command: &FoundCommand) -> TaskSpec {
        let mut task = task.clone();
        task.name = format!("{}-{}", task.name, short_name(command)).into();
        let title = format!(
            "{}: {}",
            if task.title.is_empty() { role_title(role) } else { &task.title },
            command.argv.join(" ")
        );
        task.title = title.into();
        task.work = Work::Command(command.argv.clone());
        task.extras_mut().derived = true;
        task
    }

    /// Puts values in for the words that are placeholders.
    fn argv(&self, argv: &[String]) -> Argv {
        let value = |word: &String| parse::whole_placeholder(word).and_then(|name| self.values.get(name)).cloned();
        argv.iter().map(|word| value(word).unwrap_or_else(|| word.clone())).collect()
    }

    /// Puts values in for placeholders anywhere in a text. Values are not read again, so a value with braces is inert.
    fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, tail)) = after.split_once("}}") else { break };
            out.push_str(before);
            match self.values.get(name.trim()) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[before.len()..rest.len() - tail.len()]),
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

fn role_title(role: Role) -> &'static str {
    match role {
        Role::Test => "Test",
        Role::Build => "Build",
        Role::Lint => "Lint",
        Role::LintFix => "Mend lint",
        Role::Format => "Format",
    }
}

/// A short word for a command: its program, without folders.
fn short_name(command: &FoundCommand) -> String {
    let program = command.argv.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    let word = if matches!(program, "uv" | "poetry" | "python3") { &command.ecosystem } else { program };
    let plain: String =
        word.chars().map(|c| c.to_ascii_lowercase()).filter(char::is_ascii_alphanumeric).take(16).collect();
    if plain.is_empty() { "command".into() } else { plain }
}

/// Makes names unique and no longer than 40 characters, by a number at the end.
fn unique_names(tasks: &mut [TaskSpec]) {
    let mut taken: BTreeSet<Box<str>> = BTreeSet::new();
    for task in tasks {
        let base: String = task.name.chars().take(40).collect();
        let mut name = base.clone();
        let mut number = 2;
        while !taken.insert(name.clone().into()) {
            name = format!("{}-{number}", base.chars().take(36).collect::<String>());
            number += 1;
        }
        task.name = name.into();
    }
}

/// All parameters with their values, defaults filled in and each value checked.
fn values(playbook: &Playbook, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, PlaybookError> {
    let error = |message: String, hint| PlaybookError { file: playbook.file.clone(), line: 0, message, hint };
    let known: Vec<&str> = playbook.params.keys().map(String::as_str).collect();
    if let Some(unknown) = given.keys().find(|name| !playbook.params.contains_key(*name)) {
        let hint = match parse::nearest(unknown, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "it has none".to_string(),
            None => format!("known are {}", known.join(", ")),
        };
        return Err(error(format!("playbook `{}` has no parameter `{unknown}`", playbook.name), Some(hint)));
    }
    let mut values = BTreeMap::new();
    for (name, param) in &playbook.params {
        let Some(value) = given.get(name).or(param.default.as_ref()) else {
            return Err(error(format!("the parameter `{name}` of playbook `{}` must be given", playbook.name), None));
        };
        check_value(&param.kind, value).map_err(|trouble| error(format!("the parameter `{name}` {trouble}"), None))?;
        values.insert(name.clone(), value.clone());
    }
    Ok(values)
}

/// Whether a value fits its kind; the error continues "the parameter `x` …".
pub(super) fn check_value(kind: &ParamKind, value: &str) -> Result<(), String> {
    match kind {
        _ if value.contains('\0') => Err("must not contain a zero byte".into()),
        ParamKind::String => Ok(()),
        ParamKind::Int if value.parse::<i64>().is_err() => Err(format!("must be a whole number, not `{value}`")),
        ParamKind::Int => Ok(()),
        ParamKind::Bool if !matches!(value, "true" | "false") => Err(format!("must be true or false, not `{value}`")),
        ParamKind::Bool => Ok(()),
        ParamKind::Enum(values) if !values.iter().any(|known| known == value) => {
            Err(format!("must be one of {}, not `{value}`", values.join(", ")))
        }
        ParamKind::Enum(_) => Ok(()),
        ParamKind::Path if value.is_empty() => Err("must not be empty".into()),
        // A path that starts with a dash would be read as an option by the program it is given to.
        ParamKind::Path if value.starts_with('-') => Err(format!("must not start with a dash; write ./{value}")),
        ParamKind::Path if value.starts_with('/') || value.split('/').any(|part| part == "..") => {
            Err(format!("must stay inside the workspace, and `{value}` may not"))
        }
        ParamKind::Path => Ok(()),
    }
}
