//! One task of a plan file: its fields, with names still unresolved.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    problem::{Code, Place, Report, quoted},
    read,
    value::Value,
};
use crate::core::{
    confine::Sandbox,
    plan::spec::{Argv, Compensate, Effect, Kind, NO_EXTRAS, Priority, Retry, TaskSpec, Work},
};

/// A task as read. What its lists of names mean is found out when all names are known.
pub(super) struct Draft<'a> {
    pub(super) spec: TaskSpec,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) needs: Vec<Cow<'a, str>>,
    pub(super) parent: Option<Cow<'a, str>>,
    /// Whether everything could be read; if not, rules about what is missing would only repeat the problem.
    pub(super) sound: bool,
}

/// How criticality of a question is taken when the plan says nothing: that of a reversible change.
const CRITICALITY_DEFAULT: f64 = 0.3;

const FIELDS: &[&str] = &[
    "id",
    "title",
    "kind",
    "type",
    "command",
    "run",
    "prompt",
    "playbook",
    "params",
    "question",
    "options",
    "criticality",
    "needs",
    "parent",
    "milestone",
    "capabilities",
    "prefers",
    "specializations",
    "writes",
    "reads",
    "verify",
    "effect",
    "compensate",
    "retry",
    "fallback",
    "estimate_s",
    "timeout_s",
    "silence_s",
    "idempotent",
    "batch",
    "resources",
    "priority",
    "environment",
    "cwd",
    "env",
    "agent",
    "budget",
    "sandbox",
];

const KINDS: &[(&str, Kind)] =
    &[("shell", Kind::Shell), ("agent", Kind::Agent), ("workflow", Kind::Workflow), ("decision", Kind::Decision)];
const EFFECTS: &[(&str, Effect)] =
    &[("none", Effect::None), ("workspace", Effect::Workspace), ("external", Effect::External)];
const SANDBOXES: &[(&str, Sandbox)] = &[("on", Sandbox::On), ("off", Sandbox::Off)];
const PRIORITIES: &[(&str, Priority)] =
    &[("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High), ("urgent", Priority::Urgent)];

/// What is given of a task's work; exactly one of the first five must be.
#[derive(Default)]
struct WorkFields {
    kind: Option<Kind>,
    command: Option<Argv>,
    run: Option<String>,
    prompt: Option<String>,
    playbook: Option<String>,
    question: Option<String>,
    params: Option<BTreeMap<String, String>>,
    options: Option<Vec<String>>,
    criticality: Option<f64>,
}

impl<'a> Draft<'a> {
    /// Reads the element of `tasks` at `index`.
    pub(super) fn read(index: usize, value: Value<'a>, report: &mut Report) -> Draft<'a> {
        let id = match &value {
            Value::Table(entries) => entries.iter().find_map(|(key, value)| match value {
                Value::Text(text) if key == "id" => Some(text.clone()),
                _ => None,
            }),
            _ => None,
        };
        let name: Box<str> = id.as_deref().unwrap_or_default().into();
        let place = Place::task(index, &name);
        let problems_before = report.count();
        let mut spec = TaskSpec::new("", Work::Command(Vec::new()));
        let mut work = WorkFields::default();
        let mut draft_needs = Vec::new();
        let mut parent = None;
        let mut unknown = 0;
        // A null task is as wrong as any other that is no table.
        if value == Value::Null {
            report.invalid(&place, || "expected a table with the task's fields, found null".to_owned());
        }
        let entries = read::table(value, "a table with the task's fields", &place, report);
        let is_table = entries.is_some();
        for (key, value) in entries.unwrap_or_default() {
            let at = place.key(&key);
            let known = field(&key, value, &mut spec, &mut work, &at, report, |name, value, at, report| match name {
                Names::Needs => {
                    draft_needs = read::list(value, "a list of task ids", at, report, read::text).unwrap_or_default();
                }
                Names::Parent => parent = read::text(value, at, report),
            });
            if !known {
                unknown += 1;
                read::unknown(&key, FIELDS, &place, report);
            }
        }
        if is_table && id.is_none() && report.count() == problems_before + unknown {
            report.hinted(&place, || "a task needs an `id`".to_owned(), "add id = \"…\", by which others can need it");
        }
        if is_table
            && report.count() == problems_before + unknown
            && let Some(chosen) = work.choose(spec.effect, &place, report)
        {
            spec.work = chosen;
        }
        if spec.extras.as_deref() == Some(&*NO_EXTRAS) {
            spec.extras = None;
        }
        let sound = report.count() == problems_before + unknown;
        spec.name = name;
        Draft { spec, id, needs: draft_needs, parent, sound }
    }
}

/// The fields that hold names of other tasks.
enum Names {
    Needs,
    Parent,
}

/// Reads one field into `spec` or `work`; `false` = there is no such field.
fn field<'a>(
    key: &str,
    value: Value<'a>,
    spec: &mut TaskSpec,
    work: &mut WorkFields,
    at: &Place<'_>,
    report: &mut Report,
    names: impl FnOnce(Names, Value<'a>, &Place<'_>, &mut Report),
) -> bool {
    /// Stores what was read among the rarer settings, if anything was.
    macro_rules! extra {
        ($name:ident = $read:expr) => {
            if let Some(read) = $read {
                spec.extras_mut().$name = read;
            }
        };
        ($name:ident ?= $read:expr) => {
            if let Some(read) = $read {
                spec.extras_mut().$name = Some(read);
            }
        };
    }
    match key {
        "id" => drop(read::text(value, at, report)),
        "title" => spec.title = read::text(value, at, report).unwrap_or_default().into(),
        "type" => spec.kind_word = read::text(value, at, report).unwrap_or_default().into(),
        "kind" => work.kind = read::word(value, KINDS, at, report),
        "command" => work.command = read::argv(value, at, report),
        "run" => work.run = read::string(value, at, report),
        "prompt" => work.prompt = read::string(value, at, report),
        "playbook" => work.playbook = read::string(value, at, report),
        "params" => work.params = read::texts(value, true, at, report),
        "question" => work.question = read::string(value, at, report),
        "options" => work.options = read::strings(value, at, report),
        "criticality" => work.criticality = read::number(value, at, report),
        "needs" => names(Names::Needs, value, at, report),
        "parent" => names(Names::Parent, value, at, report),
        "effect" => spec.effect = read::word(value, EFFECTS, at, report).unwrap_or_default(),
        "verify" => spec.verify = read::argvs(value, at, report).filter(|all| !all.is_empty()).map(Into::into),
        "milestone" => extra!(milestone? = read::string(value, at, report)),
        "capabilities" => extra!(capabilities = read::strings(value, at, report)),
        "prefers" => extra!(prefers = read::strings(value, at, report)),
        "specializations" => extra!(specializations = read::strings(value, at, report)),
        "writes" => extra!(writes? = read::strings(value, at, report)),
        "reads" => extra!(reads = read::strings(value, at, report)),
        "compensate" => extra!(compensate? = compensate(value, at, report)),
        "retry" => extra!(retry? = retry(value, at, report)),
        "fallback" => extra!(fallback = read::strings(value, at, report)),
        "estimate_s" => extra!(estimate_s? = read::number(value, at, report)),
        "timeout_s" => extra!(timeout_s? = read::number(value, at, report)),
        "silence_s" => extra!(silence_s? = read::number(value, at, report)),
        "idempotent" => extra!(idempotent = read::flag(value, at, report)),
        "batch" => extra!(batch = read::flag(value, at, report)),
        "resources" => extra!(resources = read::strings(value, at, report)),
        "priority" => extra!(priority? = read::word(value, PRIORITIES, at, report)),
        "environment" => extra!(environment? = read::string(value, at, report)),
        "cwd" => extra!(cwd? = read::string(value, at, report)),
        "env" => extra!(env = read::texts(value, false, at, report)),
        "agent" => extra!(agent? = read::string(value, at, report)),
        "sandbox" => extra!(sandbox? = read::word(value, SANDBOXES, at, report)),
        "budget" => extra!(budget? = Some(Box::new(super::budget(value, at, report)))),
        _ => return false,
    }
    true
}

fn compensate(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<Compensate> {
    let (mut command, mut probe) = (None, None);
    let before = report.count();
    for (key, value) in read::table(value, "a table with `command` and `probe`", place, report)? {
        let at = place.key(&key);
        match &*key {
            "command" => command = read::argv(value, &at, report),
            "probe" => probe = read::argv(value, &at, report),
            _ => read::unknown(&key, &["command", "probe"], place, report),
        }
    }
    if command.is_none() && report.count() == before {
        report.invalid(place, || "`compensate` needs a `command` that takes the effect back".to_owned());
    }
    Some(Compensate { command: command?, probe })
}

fn retry(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<Retry> {
    let mut retry = Retry::default();
    for (key, value) in read::table(value, "a table with `max`, `base_s` and `cap_s`", place, report)? {
        let at = place.key(&key);
        match &*key {
            "max" => retry.max = read::whole(value, &at, report).unwrap_or(retry.max),
            "base_s" => retry.base_s = read::number(value, &at, report).unwrap_or(retry.base_s),
            "cap_s" => retry.cap_s = read::number(value, &at, report).unwrap_or(retry.cap_s),
            _ => read::unknown(&key, &["max", "base_s", "cap_s"], place, report),
        }
    }
    Some(retry)
}

impl WorkFields {
    /// The work, if exactly one is given, with what belongs to it, and fitting `kind`.
    fn choose(self, effect: Effect, place: &Place<'_>, report: &mut Report) -> Option<Work> {
        let given: Vec<&str> = [
            ("command", self.command.is_some()),
            ("run", self.run.is_some()),
            ("prompt", self.prompt.is_some()),
            ("playbook", self.playbook.is_some()),
            ("question", self.question.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect();
        let [name] = given[..] else {
            let hint = match self.kind {
                None => "give one of command, run, prompt, playbook, question",
                Some(Kind::Shell) => "a shell task has `command` (a list) or `run` (a line of shell)",
                Some(Kind::Agent) => "an agent task has `prompt`",
                Some(Kind::Workflow) => "a workflow task has `playbook`",
                Some(Kind::Decision) => "a decision task has `question` and `options`",
            };
            let message = || match given[..] {
                [] => "nothing to do is given".to_owned(),
                _ => format!("only one of {} can be what the task does", given.join(", ")),
            };
            report.hinted(place, message, hint);
            return None;
        };
        for (field, is_given, owner) in [
            ("params", self.params.is_some(), "playbook"),
            ("options", self.options.is_some(), "question"),
            ("criticality", self.criticality.is_some(), "question"),
        ] {
            if is_given && owner != name {
                let hint = format!("leave it out, or give `{owner}` instead of `{name}`");
                report.hinted(&place.key(field), || format!("`{field}` belongs to a `{owner}`"), &hint);
            }
        }
        let work = if let Some(command) = self.command {
            Work::Command(command)
        } else if let Some(text) = self.run {
            Work::Run(text)
        } else if let Some(text) = self.prompt {
            Work::Prompt(text)
        } else if let Some(name) = self.playbook {
            Work::Playbook { name, params: self.params.unwrap_or_default() }
        } else {
            let criticality = self.criticality.unwrap_or(match effect {
                Effect::External => 0.9,
                Effect::None | Effect::Workspace => CRITICALITY_DEFAULT,
            });
            let options = self.options.unwrap_or_default();
            Work::Question { question: self.question.unwrap_or_default(), options, criticality }
        };
        let own = TaskSpec::new("", work);
        if let Some(kind) = self.kind
            && kind != own.kind()
        {
            let word = |kind: Kind| KINDS.iter().find(|(_, other)| *other == kind).map_or("", |(word, _)| *word);
            report.add(Code::Invalid, &place.key("kind"), || {
                let message = format!("kind {} does not fit `{name}`", quoted(word(kind)));
                (message, Some(format!("write kind = {:?}, or leave it out", word(own.kind()))))
            });
            return None;
        }
        Some(own.work)
    }
}
