//! Plan files: TOML or JSON text to a [`Plan`] with names resolved, strictly by the schema (S4).
//!
//! Reading goes task by task and never stops at the first problem: what does not fit is reported with its place and
//! what to write instead, so that one look mends a plan. The rules that do not depend on the file are in
//! [`check()`], which also serves plans from elsewhere. Nothing here gives out ids or touches a disk.

mod check;
mod locate;
mod problem;
mod read;
mod task;
mod value;

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use toml::de::{DeTable, DeValue};

pub use check::{Checked, LEVELS_MAX, check, is_name};
pub use problem::{Code, PROBLEMS_MAX, PlanError, Problem, Warning, WarningKind};

use self::{
    problem::{Place, Report, Trail, nearest, quoted},
    task::Draft,
    value::{Key, Value},
};
use crate::{
    core::{
        graph::Graph,
        plan::spec::{Argv, Budget, Coordination, OnFailure, Plan, Strategy},
    },
    ids::TaskId,
};

/// A plan that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The plan.
    pub plan: Plan,
    /// Who waits for whom inside it.
    pub graph: Graph,
    /// Dependencies on tasks outside the plan: position of the task, and what it waits for. In order.
    pub external: Vec<(u32, TaskId)>,
    /// What is allowed and noteworthy.
    pub warnings: Vec<Warning>,
}

/// Reads a plan. `file` is its name: its ending decides between TOML and JSON, else the first letter does.
///
/// # Errors
/// [`PlanError`] with up to [`PROBLEMS_MAX`] problems, each with its line.
pub fn parse(text: &str, file: Option<&str>) -> Result<Parsed, PlanError> {
    // Editors on other systems put a byte order mark in front; it has no meaning here.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.trim_start().chars().next();
    let ends = |ending: &str| file.is_some_and(|file| file.to_ascii_lowercase().ends_with(ending));
    match first {
        None => {
            let mut report = Report::default();
            let hint = "write version = 1 and at least one task";
            report.hinted(&Place::ROOT, || "the plan is empty".to_owned(), hint);
            Err(report.into_error(file, text, |_| None))
        }
        Some('{') => parse_json(text, file),
        Some(_) if ends(".json") => parse_json(text, file),
        Some(_) => parse_toml(text, file),
    }
}

/// Reads a plan in JSON.
///
/// # Errors
/// As [`parse`].
pub fn from_json(text: &str) -> Result<Parsed, PlanError> {
    parse_json(text, None)
}

/// Reads a plan that is part of a request.
///
/// # Errors
/// As [`parse`], without lines.
pub fn from_value(value: &serde_json::Value) -> Result<Parsed, PlanError> {
    let mut draft = PlanDraft::default();
    if let Err(error) = value.deserialize_any(Document(&mut draft)) {
        debug_assert!(error.is_data(), "a value in memory has no syntax");
        draft.report.invalid(&Place::ROOT, || NOT_AN_OBJECT.to_owned());
    }
    draft.finish().map_err(|report| report.into_error(None, "", |_| None))
}

fn parse_json(text: &str, file: Option<&str>) -> Result<Parsed, PlanError> {
    let mut draft = PlanDraft::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = deserializer.deserialize_any(Document(&mut draft)).and_then(|()| deserializer.end());
    if let Err(error) = outcome {
        // What was read before the mistake may be incomplete, so nothing else is said about it.
        let at = (u32::try_from(error.line()).ok(), u32::try_from(error.column()).ok());
        let message = error.to_string();
        let what = message.rfind(" at line ").map_or(&*message, |end| &message[..end]);
        let what = if error.is_data() { NOT_AN_OBJECT.to_owned() } else { format!("not JSON: {what}") };
        return Err(syntax(file, [(what, at)]));
    }
    draft.finish().map_err(|report| {
        let locator = locate::JsonLocator::new(text);
        report.into_error(file, text, |trail: &[Trail]| locator.offset(trail))
    })
}

fn parse_toml(text: &str, file: Option<&str>) -> Result<Parsed, PlanError> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let told = errors.iter().map(|error| {
            let at = error.span().map_or((None, None), |span| problem::position(text, span.start));
            (format!("not TOML: {}", error.message().replace('\n', ", ")), at)
        });
        return Err(syntax(file, told));
    }
    let mut draft = PlanDraft::default();
    for (key, value) in document.into_inner() {
        let key = key.into_inner();
        match value.into_inner() {
            DeValue::Array(tasks) if key == "tasks" => {
                tasks.into_iter().for_each(|task| draft.task(task.into_inner().into()));
            }
            value => draft.top(key, value.into()),
        }
    }
    draft.finish().map_err(|report| {
        let (document, _) = DeTable::parse_recoverable(text);
        report.into_error(file, text, |trail| locate::toml_offset(document.get_ref(), trail))
    })
}

const NOT_AN_OBJECT: &str = "a plan is an object with `version` and `tasks`";

type At = (Option<u32>, Option<u32>);

/// The error for a text that is not even TOML or JSON. There is at least one mistake.
fn syntax(file: Option<&str>, mistakes: impl IntoIterator<Item = (String, At)>) -> PlanError {
    let mut all = mistakes.into_iter();
    let problem = |(message, (line, column)): (String, At)| Problem {
        code: Code::Invalid,
        message,
        hint: None,
        field: None,
        line,
        column,
    };
    let problems = all.by_ref().take(PROBLEMS_MAX).map(problem).collect();
    PlanError { file: file.map(str::to_owned), problems, more: all.count() }
}

const FIELDS: &[&str] =
    &["version", "title", "strategy", "coordination", "max_parallel", "on_failure", "budget", "verify", "tasks"];
const STRATEGIES: &[(&str, Strategy)] = &[
    ("sequential", Strategy::Sequential),
    ("parallel", Strategy::Parallel),
    ("hierarchical", Strategy::Hierarchical),
    ("adaptive", Strategy::Adaptive),
];
const COORDINATIONS: &[(&str, Coordination)] = &[
    ("leader_follower", Coordination::LeaderFollower),
    ("peer_to_peer", Coordination::PeerToPeer),
    ("hierarchical", Coordination::Hierarchical),
    ("consensus", Coordination::Consensus),
];
const ON_FAILURES: &[(&str, OnFailure)] = &[("continue", OnFailure::Continue), ("stop", OnFailure::Stop)];

/// A plan while it is read.
#[derive(Default)]
struct PlanDraft<'a> {
    plan: Plan,
    report: Report,
    /// Where each name is defined first.
    names: HashMap<Cow<'a, str>, u32>,
    /// Names that were not defined yet where they were used: task, which of its needs (`None` = its parent), name.
    /// Plans mostly name what stands above, so this stays short.
    later: Vec<(u32, Option<u32>, Cow<'a, str>)>,
    external: Vec<(u32, TaskId)>,
    /// Tasks that could not be read, ascending.
    unsound: Vec<u32>,
    /// The last verification, shared with the next task if that has the same.
    verify: Option<Arc<Vec<Argv>>>,
    version: Option<Value<'a>>,
    /// `tasks` is something else than a list: it is then not called empty as well.
    tasks_unreadable: bool,
}

/// Stands in a list of needs for one that is not resolved yet.
const LATER: u32 = u32::MAX;

impl<'a> PlanDraft<'a> {
    /// A field of the plan other than its list of tasks.
    fn top(&mut self, key: Cow<'a, str>, value: Value<'a>) {
        let (plan, report) = (&mut self.plan, &mut self.report);
        let at = Place::ROOT.key(&key);
        match &*key {
            "version" => self.version = Some(value),
            "title" => plan.title = read::string(value, &at, report).unwrap_or_default(),
            "strategy" => plan.strategy = read::word(value, STRATEGIES, &at, report).unwrap_or_default(),
            "coordination" => plan.coordination = read::word(value, COORDINATIONS, &at, report).unwrap_or_default(),
            "max_parallel" => plan.max_parallel = read::whole(value, &at, report),
            "on_failure" => plan.on_failure = read::word(value, ON_FAILURES, &at, report).unwrap_or_default(),
            "budget" => plan.budget = budget(value, &at, report),
            "verify" => plan.verify = read::argvs(value, &at, report).unwrap_or_default(),
            "tasks" if value == Value::Null => {}
            "tasks" => {
                self.tasks_unreadable = true;
                report.invalid(&at, || format!("expected a list of tasks, found {}", value.kind()));
            }
            _ => read::unknown(&key, FIELDS, &Place::ROOT, report),
        }
    }

    /// The next element of `tasks`.
    fn task(&mut self, value: Value<'a>) {
        let index = self.plan.tasks.len();
        let Draft { mut spec, id, needs, parent, sound } = Draft::read(index, value, &mut self.report);
        let task = index as u32;
        if !sound {
            self.unsound.push(task);
        }
        spec.needs.reserve_exact(needs.len());
        for (at, name) in needs.into_iter().enumerate() {
            if let Some(position) = self.names.get(&name) {
                spec.needs.push(*position);
            } else if let Ok(outside) = name.parse::<TaskId>() {
                self.external.push((task, outside));
            } else {
                self.later.push((task, Some(at as u32), name));
                spec.needs.push(LATER);
            }
        }
        if let Some(name) = parent {
            match self.names.get(&name) {
                Some(position) => spec.extras_mut().parent = Some(*position),
                None => self.later.push((task, None, name)),
            }
        }
        if let Some(verify) = &spec.verify {
            if self.verify.as_ref() == Some(verify) {
                spec.verify = self.verify.clone();
            } else {
                self.verify = Some(verify.clone());
            }
        }
        if let Some(id) = id {
            match self.names.get(&id) {
                Some(before) => check::twice(index, &id, *before as usize, &mut self.report),
                None => drop(self.names.insert(id, task)),
            }
        }
        self.plan.tasks.push(spec);
    }

    /// Resolves what was named before it was defined, and checks the whole.
    fn finish(mut self) -> Result<Parsed, Report> {
        // The unresolved names of one task come in the order of its list, so its next slot is after the last one.
        let (mut current, mut slot) = (LATER, 0);
        let mut dangling = Vec::new();
        for (task, at, name) in std::mem::take(&mut self.later) {
            let found = self.names.get(&name).copied();
            if found.is_none() {
                self.dangling(task, at, &name);
            }
            let spec = &mut self.plan.tasks[task as usize];
            if at.is_none() {
                if let Some(position) = found {
                    spec.extras_mut().parent = Some(position);
                }
                continue;
            }
            if task != current {
                (current, slot) = (task, 0);
            }
            while spec.needs[slot] != LATER {
                slot += 1;
            }
            match found {
                Some(position) => spec.needs[slot] = position,
                None => dangling.push(task),
            }
            slot += 1;
        }
        dangling.dedup();
        for task in dangling {
            self.plan.tasks[task as usize].needs.retain(|need| *need != LATER);
        }
        let PlanDraft { plan, mut report, names, external, unsound, version, tasks_unreadable, .. } = self;
        // Freed before the graph is built, so that the two never stand in memory together.
        drop(names);
        let checked = if tasks_unreadable { None } else { check::examine(&plan, &unsound, &mut report) };
        let place = Place::ROOT.key("version");
        // Told first: under another version the rest may well be right.
        match version {
            Some(Value::Whole(1)) => {}
            None | Some(Value::Null) => {
                report.first(&place, "the plan's `version` is missing".to_owned(), "write version = 1 at its top");
            }
            Some(Value::Whole(other)) => {
                report.first(&place, format!("version {other} is not known here"), "this program reads version 1");
            }
            Some(other) => {
                report.first(&place, format!("expected the number 1, found {}", other.kind()), "write version = 1");
            }
        }
        match checked {
            Some(Checked { graph, warnings }) if report.is_empty() => Ok(Parsed { plan, graph, external, warnings }),
            _ => Err(report),
        }
    }

    fn dangling(&mut self, task: u32, at: Option<u32>, name: &str) {
        /// Among how many names a similar one is looked for: a wrong name must not cost a search of millions.
        const CANDIDATES_MAX: usize = 20_000;
        let tasks = &self.plan.tasks;
        let own = &tasks[task as usize].name;
        let place = Place::task(task as usize, own);
        let field = place.key(if at.is_some() { "needs" } else { "parent" });
        let index = at.map(|at| field.index(at as usize));
        self.report.add(Code::Invalid, index.as_ref().unwrap_or(&field), || {
            if at.is_none() && name.parse::<TaskId>().is_ok() {
                return (format!("its parent {name} is outside of this plan"), Some("name a task of the plan".into()));
            }
            let others = tasks.iter().take(CANDIDATES_MAX).map(|other| &*other.name).filter(|other| other != &&**own);
            let near = nearest(name, others).map(|near| format!("did you mean {near:?}?"));
            let relation = if at.is_some() { "needs" } else { "is part of" };
            (format!("{relation} {}, which is not a task of this plan", quoted(name)), near)
        });
    }
}

fn budget(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Budget {
    let mut budget = Budget::default();
    let entries = read::table(value, "a table with `usd`, `tokens`, `minutes` and `spawns`", place, report);
    for (key, value) in entries.unwrap_or_default() {
        let at = place.key(&key);
        match &*key {
            "usd" => budget.usd = read::number(value, &at, report),
            "tokens" => budget.tokens = read::whole(value, &at, report),
            "minutes" => budget.minutes = read::number(value, &at, report),
            "spawns" => budget.spawns = read::whole(value, &at, report),
            _ => read::unknown(&key, &["usd", "tokens", "minutes", "spawns"], place, report),
        }
    }
    budget
}

/// Reads a JSON document into the draft, one task at a time.
struct Document<'d, 'a>(&'d mut PlanDraft<'a>);

impl<'a> Visitor<'a> for Document<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `version` and `tasks`")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen: Vec<Cow<'a, str>> = Vec::new();
        while let Some(Key(key)) = entries.next_key()? {
            if seen.contains(&key) {
                let place = Place::ROOT.key(&key);
                self.0.report.invalid(&place, || format!("the field {} is given twice", quoted(&key)));
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            if key == "tasks" {
                entries.next_value_seed(Tasks(self.0))?;
            } else {
                let value = entries.next_value()?;
                self.0.top(key.clone(), value);
            }
            // A text of nothing but unknown fields must not make this quadratic.
            if FIELDS.contains(&&*key) {
                seen.push(key);
            }
        }
        Ok(())
    }
}

/// Reads the list of tasks.
struct Tasks<'d, 'a>(&'d mut PlanDraft<'a>);

impl<'a> DeserializeSeed<'a> for Tasks<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Tasks<'_, 'a> {
    /// Something else than a list, which is reported like any other field of the wrong type.
    fn other<E>(self, value: Value<'a>) -> Result<(), E> {
        self.0.top("tasks".into(), value);
        Ok(())
    }
}

impl<'a> Visitor<'a> for Tasks<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tasks")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut tasks: A) -> Result<(), A::Error> {
        while let Some(task) = tasks.next_element()? {
            self.0.task(task);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.other(Value::Table(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.other(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.other(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.other(Value::Whole(number))
    }

    fn visit_u64<E>(self, _number: u64) -> Result<(), E> {
        self.other(Value::Other("a number"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.other(Value::Number(number))
    }

    fn visit_str<E>(self, _text: &str) -> Result<(), E> {
        self.other(Value::Text("".into()))
    }
}

#[cfg(test)]
mod tests;
