//! The rules that every plan must pass, wherever it comes from: a file, a playbook, a client, a planner.

use std::collections::HashMap;

use super::problem::{Code, Place, PlanError, Report, Warning, WarningKind, quoted};
use crate::core::{
    graph::{Cycle, Graph},
    plan::spec::{Argv, Budget, Effect, Kind, Plan, Retry, TaskSpec, Work},
};

/// A plan's graph, and what a person should know about the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Who waits for whom.
    pub graph: Graph,
    /// What is allowed and noteworthy.
    pub warnings: Vec<Warning>,
}

/// How many levels of parents are laid out.
pub const LEVELS_MAX: u32 = 5;
/// The longest duration taken, in seconds: thirty years. More is a mistake, and would overflow a clock.
const DURATION_S_MAX: f64 = 1e9;
/// The most further executions a task may ask for.
const RETRIES_MAX: u32 = 100;
const QUESTION_LETTERS_MAX: usize = 200;

/// Checks a plan of any source.
///
/// # Errors
/// [`PlanError`] with everything that is wrong, places named as in a plan file.
pub fn check(plan: &Plan) -> Result<Checked, PlanError> {
    let mut report = Report::default();
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(plan.tasks.len());
    for (index, task) in plan.tasks.iter().enumerate() {
        if let Some(before) = first.insert(&task.name, index) {
            twice(index, &task.name, before, &mut report);
        }
    }
    match examine(plan, &[], &mut report) {
        Some(checked) if report.is_empty() => Ok(checked),
        _ => Err(report.into_error(None, "", |_| None)),
    }
}

pub(super) fn twice(index: usize, name: &str, before: usize, report: &mut Report) {
    let tell = || format!("the id is taken by tasks[{before}] already");
    report.hinted(&Place::task(index, name).key("id"), tell, "ids are unique in a plan");
}

/// All rules but the uniqueness of names. `unsound` holds, ascending, the tasks that could not be read: of those
/// only the edges are looked at. The answer is `None` if there is no graph.
pub(super) fn examine(plan: &Plan, unsound: &[u32], report: &mut Report) -> Option<Checked> {
    let root = Place::ROOT;
    if plan.tasks.is_empty() {
        let tell = || "a plan needs at least one task".to_owned();
        report.hinted(&root.key("tasks"), tell, "add one with an `id` and a `command`");
    }
    if plan.tasks.len() >= u32::MAX as usize {
        report.invalid(&root.key("tasks"), || format!("{} tasks are too many", plan.tasks.len()));
        return None;
    }
    if plan.max_parallel == Some(0) {
        let hint = "write 1 for one after the other";
        report.hinted(&root.key("max_parallel"), || "at least one task must be able to run".to_owned(), hint);
    }
    budget(&plan.budget, &root.key("budget"), report);
    commands(&plan.verify, &root.key("verify"), report);

    let mut unsound = unsound.iter().copied().peekable();
    for (index, spec) in plan.tasks.iter().enumerate() {
        if unsound.next_if_eq(&(index as u32)).is_none() {
            task(index, spec, report);
        }
    }
    let mut warnings = Vec::new();
    let external = |task: &TaskSpec| task.effect == Effect::External && task.extras().compensate.is_none();
    let unapproved: Vec<u32> = positions(plan, |_, spec| external(spec));
    if !unapproved.is_empty() {
        let message = format!(
            "external effect without `compensate`, needs approval: {}",
            names(plan, unapproved.iter().copied())
        );
        warnings.push(Warning { kind: WarningKind::NeedsApproval, tasks: unapproved, message });
    }
    if let Some(levels) = parents(plan, report) {
        let deep: Vec<u32> = positions(plan, |index, _| levels[index] > LEVELS_MAX);
        if !deep.is_empty() {
            let message = format!(
                "below the {LEVELS_MAX}th level of parents, kept but not laid out as such: {}",
                names(plan, deep.iter().copied())
            );
            warnings.push(Warning { kind: WarningKind::TooDeep, tasks: deep, message });
        }
    }
    let graph = graph(plan, report)?;
    Some(Checked { graph, warnings })
}

fn positions(plan: &Plan, matches: impl Fn(usize, &TaskSpec) -> bool) -> Vec<u32> {
    let all = plan.tasks.iter().enumerate();
    all.filter(|(index, spec)| matches(*index, spec)).map(|(index, _)| index as u32).collect()
}

/// The first names of a list.
fn names(plan: &Plan, mut tasks: impl Iterator<Item = u32>) -> String {
    let shown: Vec<&str> = tasks.by_ref().take(10).map(|task| &*plan.tasks[task as usize].name).collect();
    match tasks.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn graph(plan: &Plan, report: &mut Report) -> Option<Graph> {
    let count = plan.tasks.len() as u32;
    let before = report.count();
    for (index, task) in plan.tasks.iter().enumerate() {
        for (at, need) in task.needs.iter().enumerate() {
            if *need >= count {
                let place = Place::task(index, &task.name);
                let tell = || format!("needs task {need}, and there are {count}");
                report.invalid(&place.key("needs").index(at), tell);
            }
        }
    }
    if report.count() > before {
        return None;
    }
    match Graph::from_needs(plan.tasks.iter().map(|task| &*task.needs)) {
        Ok(graph) => Some(graph),
        Err(Cycle { mut path }) => {
            // The path says "before"; people read "needs", which is the other way round, from the first written.
            path.reverse();
            circle(plan, path, "needs", "take one of these needs away", report);
            None
        }
    }
}

/// The longest circle that is told in full; the middle of a longer one is left out.
const CIRCLE_SHOWN_MAX: usize = 100;

fn circle(plan: &Plan, mut path: Vec<u32>, relation: &str, hint: &str, report: &mut Report) {
    let lowest = path.iter().enumerate().min_by_key(|(_, task)| **task).map_or(0, |(at, _)| at);
    path.rotate_left(lowest);
    let first = path[0] as usize;
    path.push(path[0]);
    let name = |task: &u32| quoted(&plan.tasks[*task as usize].name);
    let between = format!(" {relation} ");
    let mut shown: Vec<String> = path.iter().take(CIRCLE_SHOWN_MAX).map(name).collect();
    if path.len() > CIRCLE_SHOWN_MAX {
        shown.push(format!("… ({} more) …", path.len() - CIRCLE_SHOWN_MAX - 1));
        shown.extend(path.last().map(name));
    }
    let field = if relation == "needs" { "needs" } else { "parent" };
    let tell = || (format!("in a circle: {}", shown.join(&between)), Some(hint.to_owned()));
    report.add(Code::Cycle, &Place::task(first, &plan.tasks[first].name).key(field), tell);
}

/// The level of each task in the hierarchy, from 1; `None` if it is none.
fn parents(plan: &Plan, report: &mut Report) -> Option<Vec<u32>> {
    const OPEN: u32 = u32::MAX;
    let parent = |task: usize| plan.tasks[task].extras.as_ref().and_then(|extras| extras.parent);
    let mut levels = vec![0; plan.tasks.len()];
    let mut chain = Vec::new();
    for start in 0..plan.tasks.len() {
        let mut task = start;
        let top = loop {
            match levels[task] {
                0 => {}
                OPEN => {
                    let from = chain.iter().position(|open| *open == task).unwrap_or_default();
                    let path = chain[from..].iter().map(|task| *task as u32).collect();
                    circle(plan, path, "is part of", "take one of these parents away", report);
                    return None;
                }
                known => break known,
            }
            levels[task] = OPEN;
            chain.push(task);
            match parent(task) {
                None => break 0,
                Some(above) if (above as usize) < plan.tasks.len() => task = above as usize,
                Some(above) => {
                    let tell = || format!("its parent is task {above}, and there are {}", plan.tasks.len());
                    report.invalid(&Place::task(task, &plan.tasks[task].name).key("parent"), tell);
                    return None;
                }
            }
        };
        let mut level = top;
        while let Some(task) = chain.pop() {
            level += 1;
            levels[task] = level;
        }
    }
    Some(levels)
}

/// Whether a name is one that a plan may give: `^[a-z0-9][a-z0-9_-]{0,39}$`.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 40
        && bytes.first().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || matches!(byte, b'_' | b'-'))
}

/// The rules for a single task.
fn task(index: usize, spec: &TaskSpec, report: &mut Report) {
    let place = Place::task(index, &spec.name);
    if !is_name(&spec.name) {
        let hint = "use at most 40 of a-z, 0-9, _ and -, the first a letter or a digit";
        report.hinted(&place.key("id"), || format!("{} is not an id", quoted(&spec.name)), hint);
    }
    work(spec, &place, report);
    if let Some(verify) = &spec.verify {
        commands(verify, &place.key("verify"), report);
    }
    let Some(extras) = spec.extras.as_deref() else {
        if spec.kind() == Kind::Agent {
            needs_writes(&place, report);
        }
        return;
    };
    if spec.kind() == Kind::Agent && extras.writes.is_none() {
        needs_writes(&place, report);
    }
    globs(extras.writes.as_deref().unwrap_or_default(), &place.key("writes"), report);
    globs(&extras.reads, &place.key("reads"), report);
    if let Some(compensate) = &extras.compensate {
        let at = place.key("compensate");
        command(&compensate.command, &at.key("command"), report);
        if let Some(probe) = &compensate.probe {
            command(probe, &at.key("probe"), report);
        }
    }
    if let Some(Retry { max, base_s, cap_s }) = extras.retry {
        let at = place.key("retry");
        if max > RETRIES_MAX {
            let hint = format!("write at most {RETRIES_MAX}");
            report.hinted(&at.key("max"), || format!("{max} further executions are too many"), &hint);
        }
        let before = report.count();
        positive(Some(base_s), DURATION_S_MAX, &at.key("base_s"), report);
        positive(Some(cap_s), DURATION_S_MAX, &at.key("cap_s"), report);
        if report.count() == before && cap_s < base_s {
            report.invalid(&at.key("cap_s"), || format!("the longest delay {cap_s} s is below the first, {base_s} s"));
        }
    }
    for (number, fallback) in extras.fallback.iter().enumerate() {
        let named = ["skill:", "agent:"].iter().find_map(|kind| fallback.strip_prefix(kind));
        if named.is_none_or(str::is_empty) {
            let at = place.key("fallback");
            let hint = "write \"skill:name\" or \"agent:name\"";
            report.hinted(&at.index(number), || format!("{} is not a fallback", quoted(fallback)), hint);
        }
    }
    positive(extras.estimate_s, DURATION_S_MAX, &place.key("estimate_s"), report);
    positive(extras.timeout_s, DURATION_S_MAX, &place.key("timeout_s"), report);
    positive(extras.silence_s, DURATION_S_MAX, &place.key("silence_s"), report);
    if let Some(own) = &extras.budget {
        budget(own, &place.key("budget"), report);
    }
    for (name, value) in &extras.env {
        let at = place.key("env");
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            report.invalid(&at.key(name), || format!("{} cannot be set in an environment", quoted(name)));
        }
    }
    if let Some(cwd) = &extras.cwd
        && leaves(cwd)
    {
        let hint = "give a folder inside the workspace, relative to it";
        report.hinted(&place.key("cwd"), || format!("{} leads out of the workspace", quoted(cwd)), hint);
    }
}

fn budget(budget: &Budget, place: &Place<'_>, report: &mut Report) {
    positive(budget.usd, f64::MAX, &place.key("usd"), report);
    positive(budget.minutes, DURATION_S_MAX / 60.0, &place.key("minutes"), report);
}

fn needs_writes(place: &Place<'_>, report: &mut Report) {
    let hint = "add writes = [\"src/**\"], or writes = [] if it only reads";
    report.hinted(place, || "an agent task must say what it `writes`".to_owned(), hint);
}

fn work(spec: &TaskSpec, place: &Place<'_>, report: &mut Report) {
    let empty = |text: &str, key: &str, report: &mut Report| {
        if text.trim().is_empty() {
            report.invalid(&place.key(key), || format!("`{key}` is empty"));
        } else if text.contains('\0') {
            report.invalid(&place.key(key), || format!("`{key}` holds a NUL byte"));
        }
    };
    match &spec.work {
        Work::Command(argv) => command(argv, &place.key("command"), report),
        Work::Run(text) => empty(text, "run", report),
        Work::Prompt(text) => empty(text, "prompt", report),
        Work::Playbook { name, params: _ } => empty(name, "playbook", report),
        Work::Question { question, options, criticality } => {
            empty(question, "question", report);
            let letters = question.chars().count();
            if letters > QUESTION_LETTERS_MAX {
                let hint = format!("say it in at most {QUESTION_LETTERS_MAX}");
                report.hinted(&place.key("question"), || format!("the question has {letters} letters"), &hint);
            }
            let at = place.key("options");
            if !(2..=6).contains(&options.len()) {
                let hint = "give two to six";
                report.hinted(&at, || format!("a question needs options to choose from, not {}", options.len()), hint);
            }
            for (number, option) in options.iter().enumerate() {
                if option.trim().is_empty() || options[..number].contains(option) {
                    let tell = || format!("option {} is empty or there already", quoted(option));
                    report.invalid(&at.index(number), tell);
                }
            }
            if !(0.0..=1.0).contains(criticality) {
                report.invalid(&place.key("criticality"), || format!("{criticality} is not between 0 and 1"));
            }
        }
    }
}

fn command(argv: &Argv, place: &Place<'_>, report: &mut Report) {
    if argv.first().is_none_or(String::is_empty) {
        report.hinted(place, || "the command is empty".to_owned(), "the first element is the program");
    } else if argv.iter().any(|argument| argument.contains('\0')) {
        report.invalid(place, || "the command holds a NUL byte".to_owned());
    }
}

fn commands(all: &[Argv], place: &Place<'_>, report: &mut Report) {
    for (number, argv) in all.iter().enumerate() {
        command(argv, &place.index(number), report);
    }
}

fn positive(value: Option<f64>, max: f64, place: &Place<'_>, report: &mut Report) {
    if let Some(value) = value
        && !(0.0..=max).contains(&value)
    {
        report.invalid(place, || match value {
            _ if value < 0.0 => format!("{value} is below 0"),
            _ if value.is_finite() => format!("{value} is above {max}"),
            _ => format!("{value} is not a finite number"),
        });
    }
}

/// Whether a relative path leads out of the workspace.
fn leaves(path: &str) -> bool {
    path.starts_with('/') || path.contains('\0') || path.split('/').any(|part| part == "..")
}

fn globs(globs: &[String], place: &Place<'_>, report: &mut Report) {
    for (number, glob) in globs.iter().enumerate() {
        let at = place.index(number);
        if glob.is_empty() || leaves(glob) {
            let hint = "globs are relative to the workspace and stay inside it: \"src/**\"";
            report.hinted(&at, || format!("{} names nothing inside the workspace", quoted(glob)), hint);
        } else if glob.contains(['[', '{', '}', '\\', '!'])
            && let Err(error) = globset::Glob::new(glob)
        {
            // Only these characters can be wrong, and compiling a million plain globs would cost seconds.
            report.invalid(&at, || format!("{} is not a glob: {}", quoted(glob), error.kind()));
        }
    }
}
