//! Reads the TOML of a playbook strictly: what is not known is refused, with its line and the nearest known name.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Checks, Param, ParamKind, Playbook, PlaybookError, Template, condition::Condition};
use crate::core::{
    facts::Role,
    plan::spec::{Argv, Budget, Compensate, Effect, Extras, Priority, Retry, TaskSpec, Work},
};

const TOP_FIELDS: &[&str] = &["version", "name", "about", "params", "criteria", "match", "tasks"];
const TASK_FIELDS: &[&str] = &[
    "id",
    "title",
    "kind",
    "type",
    "prompt",
    "command",
    "run",
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
    "sandbox",
    "budget",
    "when",
    "foreach",
];
const INTENTS: &[&str] = &["create", "modify", "analyze", "fix", "deploy", "manage"];
/// The only version there is.
const VERSION: i64 = 1;

pub(super) type Parsed<T> = Result<T, PlaybookError>;
type Value<'a> = Spanned<DeValue<'a>>;

/// Parses one playbook. `file` is only named in messages. Conditions are compiled, references and placeholders checked.
pub fn parse(file: &str, text: &str) -> Result<Playbook, PlaybookError> {
    Reader { file, text }.document(Reader::playbook)
}

/// The name most like `word`, if any is like it at all.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(word, name), *name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Reads a file, naming its lines.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Reader<'_> {
    /// Parses the text, and reads the document.
    pub(super) fn document(&self, read: impl FnOnce(&Self, &DeTable) -> Parsed<Playbook>) -> Parsed<Playbook> {
        let document = DeTable::parse(self.text).map_err(|error| {
            let line = error.span().map_or(0, |span| self.line(&span));
            PlaybookError { file: self.file.into(), line, message: error.message().to_string(), hint: None }
        })?;
        read(self, document.get_ref())
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn error(&self, span: &Range<usize>, message: impl Into<String>) -> PlaybookError {
        self.error_at(self.line(span), message, None)
    }

    pub(super) fn error_at(&self, line: usize, message: impl Into<String>, hint: Option<String>) -> PlaybookError {
        PlaybookError { file: self.file.into(), line, message: message.into(), hint }
    }

    /// Refuses keys that are not known.
    pub(super) fn known(&self, table: &DeTable, known: &[&str], place: &str) -> Parsed<()> {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let hint = match nearest(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", known.join(", ")),
                };
                let message = format!("unknown field `{name}` in {place}");
                return Err(self.error_at(self.line(&key.span()), message, Some(hint)));
            }
        }
        Ok(())
    }

    fn wrong(&self, value: &Value, name: &str, wanted: &str) -> PlaybookError {
        self.error(&value.span(), format!("`{name}` must be {wanted}, not {}", value.get_ref().type_str()))
    }

    pub(super) fn table<'t, 'v>(&self, value: &'t Value<'v>, name: &str) -> Parsed<&'t DeTable<'v>> {
        value.get_ref().as_table().ok_or_else(|| self.wrong(value, name, "a table"))
    }

    pub(super) fn string(&self, value: &Value, name: &str) -> Parsed<String> {
        value.get_ref().as_str().map(str::to_string).ok_or_else(|| self.wrong(value, name, "text"))
    }

    fn strings(&self, value: &Value, name: &str) -> Parsed<Vec<String>> {
        let list = value.get_ref().as_array().ok_or_else(|| self.wrong(value, name, "a list of texts"))?;
        list.iter().map(|item| self.string(item, name)).collect()
    }

    pub(super) fn argv(&self, value: &Value, name: &str) -> Parsed<Argv> {
        let argv = self.strings(value, name)?;
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(self.error(&value.span(), format!("`{name}` must name a program")));
        }
        Ok(argv)
    }

    fn argvs(&self, value: &Value, name: &str) -> Parsed<Vec<Argv>> {
        let wanted = "a list of commands, each a list of words";
        let list = value.get_ref().as_array().ok_or_else(|| self.wrong(value, name, wanted))?;
        list.iter().map(|item| self.argv(item, name)).collect()
    }

    /// Text, a number or a yes or no, as the text it is written as.
    fn scalar(&self, value: &Value, name: &str) -> Parsed<String> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Boolean(yes) => Ok(yes.to_string()),
            _ => Err(self.wrong(value, name, "text, a whole number, true or false")),
        }
    }

    fn bool(&self, value: &Value, name: &str) -> Parsed<bool> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong(value, name, "true or false"))
    }

    /// A number of at least zero.
    pub(super) fn number(&self, value: &Value, name: &str) -> Parsed<f64> {
        let text = match value.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.as_str().to_string(),
            _ => return Err(self.wrong(value, name, "a number")),
        };
        let number: f64 = text.replace('_', "").parse().map_err(|_| self.wrong(value, name, "a number"))?;
        if !number.is_finite() || number < 0.0 {
            return Err(self.error(&value.span(), format!("`{name}` must be zero or more")));
        }
        Ok(number)
    }

    /// A word of a closed list that serde knows.
    fn word<T: DeserializeOwned>(&self, value: &Value, name: &str, known: &[&str]) -> Parsed<T> {
        let word = self.string(value, name)?;
        let parsed = serde_json::from_value(serde_json::Value::String(word.clone()));
        parsed.map_err(|_| {
            let hint = nearest(&word, known).map(|near| format!("did you mean `{near}`?"));
            let message = format!("`{name}` is `{word}`, but must be one of {}", known.join(", "));
            self.error_at(self.line(&value.span()), message, hint)
        })
    }

    fn checks(&self, value: &Value, name: &str) -> Parsed<Checks> {
        match value.get_ref().as_str() {
            Some("tests") => Ok(Checks::RepositoryTests),
            Some(other) => {
                let message = format!("`{name}` is `{other}`, but must be \"tests\" or a list of commands");
                Err(self.error(&value.span(), message))
            }
            None => Ok(Checks::Commands(self.argvs(value, name)?)),
        }
    }

    fn condition(&self, value: &Value, name: &str) -> Parsed<Arc<Condition>> {
        let text = self.string(value, name)?;
        Condition::compile(&text)
            .map(Arc::new)
            .map_err(|(message, hint)| self.error_at(self.line(&value.span()), message, hint))
    }

    fn name(&self, value: &Value, field: &str) -> Parsed<String> {
        let name = self.string(value, field)?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let good = (1..=40).contains(&name.len()) && name.chars().all(fits) && !name.starts_with(['-', '_']);
        if !good {
            let message = format!(
                "`{field}` is `{name}`, but must be 1 to 40 of a-z, 0-9, - and _, starting with a letter or digit"
            );
            return Err(self.error(&value.span(), message));
        }
        Ok(name)
    }

    /// What a playbook and a skill both begin with: version, name, one line, parameters.
    pub(super) fn head(&self, top: &DeTable) -> Parsed<Playbook> {
        // The version first: in a newer file other fields may be unknown for good reason.
        let version = top.get("version").ok_or_else(|| self.error_at(1, "`version = 1` is missing", None))?;
        let number = version.get_ref().as_integer().and_then(|number| number.to_string().parse::<i64>().ok());
        if number != Some(VERSION) {
            let hint = Some("this program reads version 1; a newer one may be needed".into());
            return Err(self.error_at(self.line(&version.span()), "`version` is not 1", hint));
        }
        let name = top.get("name").ok_or_else(|| self.error_at(1, "`name` is missing", None))?;
        let mut playbook = Playbook {
            name: self.name(name, "name")?,
            about: top.get("about").map(|value| self.string(value, "about")).transpose()?.unwrap_or_default(),
            params: BTreeMap::new(),
            done: Checks::Unsaid,
            intents: Vec::new(),
            words: Vec::new(),
            facts: None,
            tasks: Vec::new(),
            derived: false,
            file: self.file.into(),
        };
        if let Some(params) = top.get("params") {
            for (name, value) in self.table(params, "params")? {
                playbook.params.insert(name.get_ref().to_string(), self.param(value, name.get_ref())?);
            }
        }
        Ok(playbook)
    }

    fn playbook(&self, top: &DeTable) -> Parsed<Playbook> {
        let mut playbook = self.head(top)?;
        self.known(top, TOP_FIELDS, "the playbook")?;
        if let Some(criteria) = top.get("criteria") {
            let table = self.table(criteria, "criteria")?;
            self.known(table, &["done"], "`criteria`")?;
            if let Some(done) = table.get("done") {
                playbook.done = self.checks(done, "criteria.done")?;
                self.refuse_placeholders_in_checks(&playbook.done, self.line(&done.span()), &playbook.params)?;
            }
        }
        if let Some(on) = top.get("match") {
            let table = self.table(on, "match")?;
            self.known(table, &["intents", "words", "facts"], "`match`")?;
            if let Some(intents) = table.get("intents") {
                playbook.intents = self.strings(intents, "match.intents")?;
                if let Some(unknown) = playbook.intents.iter().find(|intent| !INTENTS.contains(&intent.as_str())) {
                    let hint = nearest(unknown, INTENTS).map(|near| format!("did you mean `{near}`?"));
                    let message = format!("unknown intent `{unknown}`; intents are {}", INTENTS.join(", "));
                    return Err(self.error_at(self.line(&intents.span()), message, hint));
                }
            }
            if let Some(words) = table.get("words") {
                playbook.words = self.strings(words, "match.words")?;
            }
            playbook.facts = table.get("facts").map(|facts| self.condition(facts, "match.facts")).transpose()?;
        }
        self.tasks(top.get("tasks"), &mut playbook)?;
        Ok(playbook)
    }

    fn param(&self, value: &Value, name: &str) -> Parsed<Param> {
        let place = format!("`params.{name}`");
        let table = self.table(value, &format!("params.{name}"))?;
        self.known(table, &["type", "default", "about", "values"], &place)?;
        let kind = match table.get("type") {
            None => "string".to_string(),
            Some(kind) => self.string(kind, "type")?,
        };
        let values = table.get("values").map(|values| self.strings(values, "values")).transpose()?;
        let line = self.line(&value.span());
        let kind = match (kind.as_str(), values) {
            ("string", None) => ParamKind::String,
            ("path", None) => ParamKind::Path,
            ("int", None) => ParamKind::Int,
            ("bool", None) => ParamKind::Bool,
            ("enum", Some(values)) if !values.is_empty() => ParamKind::Enum(values),
            ("enum", _) => return Err(self.error_at(line, format!("{place} is an enum and needs `values`"), None)),
            ("string" | "path" | "int" | "bool", Some(_)) => {
                return Err(self.error_at(line, format!("{place}: only an enum has `values`"), None));
            }
            (other, _) => {
                let known = ["string", "path", "int", "bool", "enum"];
                let hint = nearest(other, &known).map(|near| format!("did you mean `{near}`?"));
                let message = format!("{place} has the unknown type `{other}`; types are {}", known.join(", "));
                return Err(self.error_at(line, message, hint));
            }
        };
        let default = table.get("default").map(|value| self.scalar(value, "default")).transpose()?;
        if let Some(default) = &default {
            super::expand::check_value(&kind, default)
                .map_err(|trouble| self.error_at(line, format!("the default of {place} {trouble}"), None))?;
        }
        let about = table.get("about").map(|value| self.string(value, "about")).transpose()?.unwrap_or_default();
        Ok(Param { kind, default, about })
    }

    fn tasks(&self, tasks: Option<&Value>, playbook: &mut Playbook) -> Parsed<()> {
        let tasks = tasks.ok_or_else(|| self.error_at(1, "there are no `[[tasks]]`", None))?;
        let list = tasks.get_ref().as_array().ok_or_else(|| self.wrong(tasks, "tasks", "a list of tables"))?;
        if list.is_empty() {
            return Err(self.error(&tasks.span(), "there are no `[[tasks]]`"));
        }
        let mut names: HashMap<String, usize> = HashMap::new();
        for (position, task) in list.iter().enumerate() {
            let table = self.table(task, "tasks")?;
            let id = table.get("id").ok_or_else(|| self.error(&task.span(), "a task has no `id`"))?;
            let name = self.name(id, "id")?;
            if names.insert(name.clone(), position).is_some() {
                return Err(self.error(&id.span(), format!("two tasks have the id `{name}`")));
            }
        }
        for task in list.iter() {
            let template = self.task(self.table(task, "tasks")?, self.line(&task.span()), &names, &playbook.params)?;
            playbook.tasks.push(template);
        }
        self.refuse_cycles(&playbook.tasks, "needs", |task| task.needs.clone())?;
        self.refuse_cycles(&playbook.tasks, "parent", |task| task.parent.into_iter().collect())?;
        for task in &playbook.tasks {
            if task.parent.is_some_and(|parent| playbook.tasks[parent].foreach.is_some()) {
                let message = format!("the parent of `{}` is a `foreach` task, which is many", task.spec.name);
                return Err(self.error_at(task.line, message, None));
            }
        }
        Ok(())
    }

    fn task(
        &self,
        table: &DeTable,
        line: usize,
        names: &HashMap<String, usize>,
        params: &BTreeMap<String, Param>,
    ) -> Parsed<Template> {
        let id = self.string(&table["id"], "id")?;
        self.known(table, TASK_FIELDS, &format!("task `{id}`"))?;
        let (work, foreach) = self.work(table, &id, line)?;
        let mut template = self.template(table, line, TaskSpec::new(&id, work), foreach, names)?;
        self.finish(&mut template, params)?;
        Ok(template)
    }

    /// What a task says besides its work.
    pub(super) fn template(
        &self,
        table: &DeTable,
        line: usize,
        spec: TaskSpec,
        foreach: Option<Role>,
        names: &HashMap<String, usize>,
    ) -> Parsed<Template> {
        let id = spec.name.to_string();
        let reference = |value: &Value, name: &str, field: &str| {
            names.get(name).copied().ok_or_else(|| {
                let known: Vec<&str> = names.keys().map(String::as_str).collect();
                let hint = nearest(name, &known).map(|near| format!("did you mean `{near}`?"));
                let message = format!("task `{id}`: `{field}` names `{name}`, which is no task of this playbook");
                self.error_at(self.line(&value.span()), message, hint)
            })
        };
        let mut template =
            Template { line, when: None, foreach, needs: Vec::new(), parent: None, verify: Checks::Unsaid, spec };
        let mut extras = Extras::default();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let spec = &mut template.spec;
            match name {
                "title" => spec.title = self.string(value, name)?.into(),
                "type" => spec.kind_word = self.string(value, name)?.into(),
                "needs" => {
                    for need in self.strings(value, name)? {
                        template.needs.push(reference(value, &need, name)?);
                    }
                }
                "parent" => template.parent = Some(reference(value, &self.string(value, name)?, name)?),
                "effect" => spec.effect = self.word::<Effect>(value, name, &["none", "workspace", "external"])?,
                "verify" => template.verify = self.checks(value, name)?,
                "when" => template.when = Some(self.condition(value, name)?),
                "milestone" => extras.milestone = Some(self.string(value, name)?),
                "capabilities" => extras.capabilities = self.strings(value, name)?,
                "prefers" => extras.prefers = self.strings(value, name)?,
                "specializations" => extras.specializations = self.strings(value, name)?,
                "writes" => extras.writes = Some(self.strings(value, name)?),
                "reads" => extras.reads = self.strings(value, name)?,
                "compensate" => extras.compensate = Some(self.compensate(value)?),
                "retry" => extras.retry = Some(self.retry(value)?),
                "fallback" => extras.fallback = self.strings(value, name)?,
                "estimate_s" => extras.estimate_s = Some(self.number(value, name)?),
                "timeout_s" => extras.timeout_s = Some(self.number(value, name)?),
                "silence_s" => extras.silence_s = Some(self.number(value, name)?),
                "idempotent" => extras.idempotent = self.bool(value, name)?,
                "batch" if value.get_ref().as_table().is_none() => extras.batch = self.bool(value, name)?,
                "resources" => extras.resources = self.strings(value, name)?,
                "priority" => {
                    extras.priority = Some(self.word::<Priority>(value, name, &["low", "normal", "high", "urgent"])?);
                }
                "environment" => extras.environment = Some(self.string(value, name)?),
                "cwd" => extras.cwd = Some(self.string(value, name)?),
                "env" => {
                    for (variable, value) in self.table(value, name)? {
                        extras.env.insert(variable.get_ref().to_string(), self.scalar(value, "env")?);
                    }
                }
                "agent" => extras.agent = Some(self.string(value, name)?),
                "budget" => extras.budget = Some(Box::new(self.budget(value)?)),
                "sandbox" => extras.sandbox = Some(self.word(value, name, &["on", "off"])?),
                // Read by `work`, or above.
                _ => {}
            }
        }
        if matches!(template.spec.work, Work::Prompt(_)) && extras.writes.is_none() {
            let hint = Some("say which files the agent may write, e.g. writes = [\"src/**\"]".into());
            return Err(self.error_at(line, format!("task `{id}` is an agent's and needs `writes`"), hint));
        }
        template.spec.extras = Some(Box::new(extras));
        Ok(template)
    }

    /// The last look at a task: its placeholders, and nothing kept that says nothing.
    pub(super) fn finish(&self, template: &mut Template, params: &BTreeMap<String, Param>) -> Parsed<()> {
        template.spec.extras.take_if(|extras| **extras == Extras::default());
        self.placeholders(template, params)
    }

    /// What the task does; exactly one way of saying it is allowed.
    fn work(&self, table: &DeTable, id: &str, line: usize) -> Parsed<(Work, Option<Role>)> {
        let ways = ["command", "run", "prompt", "playbook", "question", "foreach"];
        let said: Vec<&str> = ways.into_iter().filter(|way| table.contains_key(*way)).collect();
        let [way] = said[..] else {
            let message = match said.len() {
                0 => format!("task `{id}` does nothing: give one of {}", ways.join(", ")),
                _ => format!("task `{id}` says {}; only one of them can be meant", said.join(" and ")),
            };
            return Err(self.error_at(line, message, None));
        };
        let value = &table[way];
        let mut foreach = None;
        let (kind, work) = match way {
            "command" => ("shell", Work::Command(self.argv(value, way)?)),
            "run" => ("shell", Work::Run(self.string(value, way)?)),
            "prompt" => ("agent", Work::Prompt(self.string(value, way)?)),
            "playbook" => {
                let mut params = BTreeMap::new();
                if let Some(given) = table.get("params") {
                    for (name, value) in self.table(given, "params")? {
                        params.insert(name.get_ref().to_string(), self.scalar(value, "params")?);
                    }
                }
                ("workflow", Work::Playbook { name: self.name(value, way)?, params })
            }
            "question" => ("decision", self.question(value, table, id, line)?),
            _ => {
                let roles = ["format", "lint_fix", "lint", "build", "test"];
                foreach = Some(self.word::<Role>(value, way, &roles)?);
                ("shell", Work::Command(Vec::new()))
            }
        };
        if let Some(said) = table.get("kind") {
            let said_kind = self.string(said, "kind")?;
            if said_kind != kind {
                let message = format!("task `{id}` says kind `{said_kind}`, but `{way}` makes it `{kind}`");
                return Err(self.error(&said.span(), message));
            }
        }
        for (field, owner) in [("params", "playbook"), ("options", "question"), ("criticality", "question")] {
            if table.contains_key(field) && way != owner {
                return Err(self.error_at(line, format!("task `{id}`: `{field}` goes with `{owner}` only"), None));
            }
        }
        Ok((work, foreach))
    }

    fn question(&self, value: &Value, table: &DeTable, id: &str, line: usize) -> Parsed<Work> {
        let question = self.string(value, "question")?;
        let options =
            table.get("options").map(|options| self.strings(options, "options")).transpose()?.unwrap_or_default();
        if !(2..=6).contains(&options.len()) || question.chars().count() > 200 {
            let message = format!("task `{id}`: a question has at most 200 characters and two to six `options`");
            return Err(self.error_at(line, message, None));
        }
        let criticality = table.get("criticality").map(|value| self.number(value, "criticality")).transpose()?;
        let criticality = criticality.unwrap_or(0.0);
        if criticality > 1.0 {
            return Err(self.error_at(line, format!("task `{id}`: `criticality` is at most 1"), None));
        }
        Ok(Work::Question { question, options, criticality })
    }

    fn compensate(&self, value: &Value) -> Parsed<Compensate> {
        let table = self.table(value, "compensate")?;
        self.known(table, &["command", "probe"], "`compensate`")?;
        let command =
            table.get("command").ok_or_else(|| self.error(&value.span(), "`compensate` needs a `command`"))?;
        Ok(Compensate {
            command: self.argv(command, "compensate.command")?,
            probe: table.get("probe").map(|probe| self.argv(probe, "compensate.probe")).transpose()?,
        })
    }

    fn retry(&self, value: &Value) -> Parsed<Retry> {
        let table = self.table(value, "retry")?;
        self.known(table, &["max", "base_s", "cap_s"], "`retry`")?;
        let mut retry = Retry::default();
        if let Some(max) = table.get("max") {
            let number = self.number(max, "retry.max")?;
            if number.fract() != 0.0 || number > 1000.0 {
                return Err(self.error(&max.span(), "`retry.max` must be a whole number up to 1000"));
            }
            retry.max = number as u32;
        }
        retry.base_s = table.get("base_s").map_or(Ok(retry.base_s), |value| self.number(value, "retry.base_s"))?;
        retry.cap_s = table.get("cap_s").map_or(Ok(retry.cap_s), |value| self.number(value, "retry.cap_s"))?;
        Ok(retry)
    }

    /// What a task's own agents may use.
    fn budget(&self, value: &Value) -> Parsed<Budget> {
        let table = self.table(value, "budget")?;
        self.known(table, &["usd", "tokens", "minutes", "spawns"], "`budget`")?;
        let number = |key: &str| table.get(key).map(|value| self.number(value, &format!("budget.{key}"))).transpose();
        let whole = |key: &str, most: f64| {
            let number = number(key)?;
            match number.filter(|number| number.fract() != 0.0 || *number > most) {
                Some(_) => {
                    let message = format!("`budget.{key}` must be a whole number up to {most}");
                    Err(self.error(&table[key].span(), message))
                }
                None => Ok(number),
            }
        };
        Ok(Budget {
            usd: number("usd")?,
            tokens: whole("tokens", 1e15)?.map(|tokens| tokens as u64),
            minutes: number("minutes")?,
            spawns: whole("spawns", f64::from(u32::MAX))?.map(|spawns| spawns as u32),
        })
    }

    /// Checks every place a placeholder may be, and that it is in no other.
    fn placeholders(&self, template: &Template, params: &BTreeMap<String, Param>) -> Parsed<()> {
        let Template { spec, line, .. } = template;
        let name = &spec.name;
        let extras = spec.extras();
        let declared = |placeholder: &str| -> Parsed<()> {
            if params.contains_key(placeholder) {
                return Ok(());
            }
            let known: Vec<&str> = params.keys().map(String::as_str).collect();
            let hint = nearest(placeholder, &known).map(|near| format!("did you mean `{{{{{near}}}}}`?"));
            Err(self.error_at(
                *line,
                format!("task `{name}` uses `{{{{{placeholder}}}}}`, which is no parameter"),
                hint,
            ))
        };
        let mut forbidden: Vec<(&str, &str)> = vec![("title", &spec.title), ("type", &spec.kind_word)];
        match &spec.work {
            Work::Command(argv) => self.argv_placeholders(argv, *line, params)?,
            Work::Run(text) => forbidden.push(("run", text)),
            Work::Prompt(text) => placeholders_of(text).into_iter().try_for_each(declared)?,
            Work::Playbook { params, .. } => forbidden.extend(params.values().map(|value| ("params", value.as_str()))),
            Work::Question { question, options, .. } => {
                forbidden.push(("question", question));
                forbidden.extend(options.iter().map(|option| ("options", option.as_str())));
            }
        }
        for value in extras.env.values() {
            placeholders_of(value).into_iter().try_for_each(declared)?;
        }
        for argv in extras.compensate.iter().flat_map(|undo| [Some(&undo.command), undo.probe.as_ref()]).flatten() {
            self.argv_placeholders(argv, *line, params)?;
        }
        self.refuse_placeholders_in_checks(&template.verify, *line, params)?;
        forbidden.extend(extras.writes.iter().flatten().map(|glob| ("writes", glob.as_str())));
        forbidden.extend(extras.reads.iter().map(|glob| ("reads", glob.as_str())));
        forbidden.extend(extras.cwd.iter().map(|cwd| ("cwd", cwd.as_str())));
        for (field, text) in forbidden {
            // A shell's own `${{…}}` does not exist, so `{{` is never meant otherwise.
            if text.contains("{{") {
                let hint = match field {
                    "run" => "use `command`, or pass it by `env`: text put into a shell is run by it",
                    _ => "placeholders go in `command` (a whole word), `prompt` and `env`",
                };
                let message = format!("task `{name}` has a placeholder in `{field}`");
                return Err(self.error_at(*line, message, Some(hint.into())));
            }
        }
        Ok(())
    }

    fn refuse_placeholders_in_checks(
        &self,
        checks: &Checks,
        line: usize,
        params: &BTreeMap<String, Param>,
    ) -> Parsed<()> {
        match checks {
            Checks::Commands(argvs) => argvs.iter().try_for_each(|argv| self.argv_placeholders(argv, line, params)),
            Checks::Unsaid | Checks::RepositoryTests => Ok(()),
        }
    }

    /// In a command a placeholder is a whole word, and not the program.
    fn argv_placeholders(&self, argv: &[String], line: usize, params: &BTreeMap<String, Param>) -> Parsed<()> {
        for (position, word) in argv.iter().enumerate().filter(|(_, word)| word.contains("{{")) {
            let Some(name) = whole_placeholder(word) else {
                let hint = Some("make it a word of its own".into());
                return Err(self.error_at(line, format!("`{word}` mixes text and a placeholder"), hint));
            };
            if position == 0 {
                return Err(self.error_at(line, format!("the program of a command cannot be `{word}`"), None));
            }
            if !params.contains_key(name) {
                let known: Vec<&str> = params.keys().map(String::as_str).collect();
                let hint = nearest(name, &known).map(|near| format!("did you mean `{{{{{near}}}}}`?"));
                return Err(self.error_at(line, format!("`{word}` is no parameter"), hint));
            }
        }
        Ok(())
    }

    fn refuse_cycles(&self, tasks: &[Template], field: &str, next: impl Fn(&Template) -> Vec<usize>) -> Parsed<()> {
        // Depth-first with an explicit path: `on_path` and `done` are the usual grey and black.
        let mut done = vec![false; tasks.len()];
        for start in 0..tasks.len() {
            let mut path: Vec<(usize, Vec<usize>)> = vec![(start, next(&tasks[start]))];
            while let Some((at, left)) = path.last_mut() {
                let at = *at;
                let Some(to) = left.pop() else {
                    done[at] = true;
                    path.pop();
                    continue;
                };
                if let Some(from) = path.iter().position(|(on_path, _)| *on_path == to) {
                    let mut names: Vec<&str> = path[from..].iter().map(|(task, _)| &*tasks[*task].spec.name).collect();
                    names.push(&tasks[to].spec.name);
                    let message = format!("`{field}` goes in a circle: {}", names.join(" -> "));
                    return Err(self.error_at(tasks[to].line, message, None));
                }
                if !done[to] {
                    path.push((to, next(&tasks[to])));
                }
            }
        }
        Ok(())
    }
}

/// The name in a word that is a placeholder and nothing else.
pub(super) fn whole_placeholder(word: &str) -> Option<&str> {
    let name = word.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    (!name.contains(['{', '}'])).then_some(name)
}

/// The names of all placeholders of a text.
pub(super) fn placeholders_of(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        names.push(name.trim());
        rest = after;
    }
    names
}
