//! The condition of a rule: CEL over the variables of [`VARIABLES`], checked when it is loaded so that it cannot fail
//! over its own spelling when it is asked.

use std::collections::HashMap;

use cel::{
    Context, ExecutionError, Program, Value,
    common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators},
};
use regex::Regex;

/// What kind of value a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// A number.
    Number,
    /// Yes or no.
    Truth,
    /// A list of words.
    Texts,
    /// Anything; its inside is not checked.
    Any,
}

/// Every variable that a rule may name, by its whole name.
pub const VARIABLES: &[(&str, Kind)] = &[
    ("task.type", Kind::Text),
    ("task.kind", Kind::Text),
    ("task.risk", Kind::Number),
    ("task.title", Kind::Text),
    ("task.writes", Kind::Texts),
    ("task.effect", Kind::Text),
    ("run.priority", Kind::Text),
    ("run.interaction", Kind::Text),
    ("run.intent", Kind::Text),
    ("run.complexity", Kind::Any),
    ("agent.id", Kind::Text),
    ("agent.driver", Kind::Text),
    ("environment", Kind::Text),
    ("language", Kind::Text),
    ("error.type", Kind::Text),
    ("error.class", Kind::Text),
    ("error.text", Kind::Text),
    ("command.program", Kind::Text),
    ("command.argv", Kind::Texts),
    ("command.text", Kind::Text),
    ("command.understood", Kind::Truth),
    ("command.effects", Kind::Texts),
    ("command.paths", Kind::Texts),
    ("command.hosts", Kind::Texts),
    ("tool.name", Kind::Text),
    ("tool.input", Kind::Any),
    ("diff.files", Kind::Number),
    ("diff.lines", Kind::Number),
    ("diff.exports_removed", Kind::Any),
    ("diff.undeclared", Kind::Any),
    ("repo", Kind::Any),
    ("cost.run_usd", Kind::Number),
    ("cost.p90_usd", Kind::Number),
    ("decision.kind", Kind::Text),
    ("user.present", Kind::Truth),
];

/// Functions that a rule may call, besides CEL's operators and the macros has, all, exists, exists_one, map and filter.
const FUNCTIONS: &[&str] =
    &["size", "contains", "startsWith", "endsWith", "matches", "int", "string", "double", "uint", "min", "max"];

/// Longest condition.
const CHARACTERS_MAX: usize = 8192;
/// Most signs that nest.
const OPENINGS_MAX: usize = 200;

/// A condition that was checked.
#[derive(Debug)]
pub struct Condition {
    /// As it was written.
    pub text: String,
    /// The variables it names.
    pub names: Vec<String>,
    /// A variable that must have one of these values, or the condition does not hold.
    pub key: Option<(String, Vec<String>)>,
    program: Program,
    patterns: HashMap<String, Regex>,
}

/// Why a condition cannot be used: what is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCondition {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Holds,
    /// It does not.
    Not,
    /// That cannot be said; the text names the variable, or says what went wrong.
    Unknown(String),
}

impl Condition {
    /// Reads and checks a condition.
    pub fn new(text: &str, samples: &Samples) -> Result<Condition, BadCondition> {
        let bad = |message: String, hint: String| Err(BadCondition { message, hint });
        // The parser goes down with every bracket, and a stack has an end.
        let openings = text.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'!' | b'-' | b'?')).count();
        if text.len() > CHARACTERS_MAX || openings > OPENINGS_MAX {
            return bad(
                format!(
                    "a condition of {} characters and {openings} brackets or signs is too much for one rule",
                    text.len()
                ),
                format!("at most {CHARACTERS_MAX} and {OPENINGS_MAX}; make several rules of it"),
            );
        }
        let spelled = spelled(text);
        // Nothing in the parser is known to panic; one rule must not end the program if something does.
        let compiled = std::panic::catch_unwind(|| Program::compile(&spelled));
        let program = match compiled {
            Ok(Ok(program)) => program,
            Ok(Err(errors)) => {
                let first = errors.errors.first().map(|error| error.msg.clone()).unwrap_or_default();
                return bad(
                    format!("`{text}` is not a CEL expression: {first}"),
                    "write it as in task.type == 'x' and task.risk < 0.3".to_owned(),
                );
            }
            Err(_) => return bad(format!("`{text}` cannot be read"), "write it more simply".to_owned()),
        };
        let mut found = Found::default();
        found.visit(program.expression(), &mut Vec::new());
        if let Some((message, hint)) = found.problems.into_iter().next() {
            return bad(format!("`{text}`: {message}"), hint);
        }
        let mut patterns = HashMap::new();
        for pattern in found.patterns {
            match Regex::new(&pattern) {
                Ok(regex) => drop(patterns.insert(pattern, regex)),
                Err(error) => {
                    return bad(format!("`{text}`: `{pattern}` is no pattern: {error}"), "mend the pattern".to_owned());
                }
            }
        }
        let key = key(program.expression());
        let condition = Condition { text: text.to_owned(), names: found.names, key, program, patterns };
        condition.check_types(samples)?;
        Ok(condition)
    }

    /// Every part of it is tried on values of the right kinds: what cannot be computed there never can.
    fn check_types(&self, samples: &Samples) -> Result<(), BadCondition> {
        let bad = |what: String| BadCondition {
            message: format!("`{}`: {what}", self.text),
            hint: "compare text with text and numbers with numbers; the condition as a whole says yes or no".to_owned(),
        };
        let own = (!self.patterns.is_empty()).then(|| self.context(&samples.variables));
        let context = own.as_ref().unwrap_or(&samples.context);
        for part in parts(self.program.expression()) {
            if let Some(wrong) = compares_unlike(part) {
                return Err(bad(wrong));
            }
            match Value::resolve(part, context) {
                Ok(Value::Bool(_)) => {}
                // What `repo` and a tool's input hold is known only then.
                Err(ExecutionError::NoSuchKey(_)) if self.names.iter().any(|name| kind_of(name) == Some(Kind::Any)) => {
                }
                Ok(other) => return Err(bad(format!("it is no yes or no but {:?}", other.type_of()).to_lowercase())),
                Err(_) if self.names.iter().any(|name| kind_of(name) == Some(Kind::Any)) => {}
                Err(error) => return Err(bad(error.to_string())),
            }
        }
        Ok(())
    }

    /// The functions and variables that it is asked with.
    fn context(&self, variables: &[(String, Value)]) -> Context<'static, 'static> {
        let mut context = Context::default();
        for (name, value) in variables {
            context.add_variable_from_value(name.as_str(), value.clone());
        }
        if !self.patterns.is_empty() {
            let patterns = self.patterns.clone();
            let matches = move |cel::extractors::This(text): cel::extractors::This<std::sync::Arc<String>>,
                                pattern: std::sync::Arc<String>| {
                patterns.get(pattern.as_str()).is_some_and(|regex| regex.is_match(&text))
            };
            // It can only fail where the library brings a function of that name, which then does the same.
            let _ = context.add_function("matches", matches);
        }
        context
    }

    /// What it says where these are known.
    pub fn ask(&self, variables: &[(String, Value)]) -> Answer {
        self.answer(self.program.execute(&self.context(variables)))
    }

    /// The same with a context that several conditions share; only for those without patterns.
    pub fn ask_in(&self, shared: &Context<'_, '_>, variables: &[(String, Value)]) -> Answer {
        match self.patterns.is_empty() {
            true => self.answer(self.program.execute(shared)),
            false => self.ask(variables),
        }
    }

    fn answer(&self, value: Result<Value, ExecutionError>) -> Answer {
        match value {
            Ok(Value::Bool(true)) => Answer::Holds,
            Ok(Value::Bool(false)) => Answer::Not,
            Ok(other) => Answer::Unknown(format!("the condition is no yes or no but {:?}", other.type_of())),
            Err(ExecutionError::UndeclaredReference(name)) => Answer::Unknown(name.to_string()),
            Err(ExecutionError::NoSuchKey(key)) => {
                // The whole name, where only one variable ends so.
                let whole = self.names.iter().find(|name| name.rsplit('.').next() == Some(key.as_str()));
                Answer::Unknown(whole.cloned().unwrap_or_else(|| key.to_string()))
            }
            Err(error) => Answer::Unknown(error.to_string()),
        }
    }

    /// Whether it looked at what is asked itself, not only at the task around it.
    pub fn looks_at_the_ask(&self) -> bool {
        self.names.iter().any(|name| name.starts_with("command") || name.starts_with("tool"))
    }
}

/// A context with these variables, for many conditions.
pub fn shared(variables: &[(String, Value)]) -> Context<'static, 'static> {
    let mut context = Context::default();
    for (name, value) in variables {
        context.add_variable_from_value(name.as_str(), value.clone());
    }
    context
}

/// The specification spells `and`, `or` and `not`; CEL spells them `&&`, `||` and `!`. Texts stay as they are.
fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '\'' | '"') {
            let triple = rest.starts_with("'''") || rest.starts_with("\"\"\"");
            let quote: String = std::iter::repeat_n(first, if triple { 3 } else { 1 }).collect();
            let raw = out.ends_with(['r', 'R']);
            let mut end = quote.len();
            while end < rest.len() && !rest[end..].starts_with(&quote) {
                let escaped = rest[end..].starts_with('\\') && !raw;
                end += rest[end..].chars().take(if escaped { 2 } else { 1 }).map(char::len_utf8).sum::<usize>();
            }
            end = (end + quote.len()).min(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len());
            // `x.and` would be a field.
            out.push_str(match &rest[..end] {
                "and" if !out.ends_with('.') => "&&",
                "or" if !out.ends_with('.') => "||",
                "not" if !out.ends_with('.') => "!",
                word => word,
            });
            rest = &rest[end..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn kind_of(name: &str) -> Option<Kind> {
    VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// What an expression names, and what is wrong with that.
#[derive(Default)]
struct Found {
    names: Vec<String>,
    patterns: Vec<String>,
    problems: Vec<(String, String)>,
}

impl Found {
    fn name(&mut self, name: &str) {
        let inside = |(known, kind): &(&str, Kind)| {
            *known == name || (*kind == Kind::Any && name.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
        };
        if let Some((known, _)) = VARIABLES.iter().find(|variable| inside(variable)) {
            if !self.names.iter().any(|name| name == known) {
                self.names.push((*known).to_owned());
            }
            return;
        }
        let known: Vec<&str> = VARIABLES.iter().map(|(known, _)| *known).collect();
        let root = name.split('.').next().unwrap_or(name);
        let fields: Vec<&str> = known.iter().copied().filter(|known| known.starts_with(&format!("{root}."))).collect();
        let hint = match (nearest(name, &known), fields.as_slice()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => "SCHEMAS S6 lists the variables: task, run, agent, environment, language, error, command, tool, diff, repo, cost, decision, user".to_owned(),
            (None, fields) => format!("known are {}", fields.join(", ")),
        };
        self.problems.push((format!("there is no variable `{name}`"), hint));
    }

    fn visit(&mut self, expression: &IdedExpr, bound: &mut Vec<String>) {
        if let Some(name) = whole_name(expression) {
            let root = name.split('.').next().unwrap_or("");
            if !bound.iter().any(|bound| bound == root) && !root.starts_with('@') {
                self.name(&name);
            }
            return;
        }
        match &expression.expr {
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
            Expr::Select(select) => self.visit(&select.operand, bound),
            Expr::Call(call) => {
                let operator = !call.func_name.chars().all(|char| char.is_ascii_alphanumeric());
                if !operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
                    let hint = nearest(&call.func_name, FUNCTIONS).map_or_else(
                        || format!("known are {}", FUNCTIONS.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    self.problems.push((format!("there is no function `{}`", call.func_name), hint));
                }
                if call.func_name == "matches" {
                    match call.args.last().map(|argument| &argument.expr) {
                        Some(Expr::Literal(LiteralValue::String(pattern))) => {
                            self.patterns.push(pattern.inner().to_owned())
                        }
                        _ => self.problems.push((
                            "a pattern for `matches` must be written out".to_owned(),
                            "give it as text in quotes".to_owned(),
                        )),
                    }
                }
                call.target.iter().for_each(|target| self.visit(target, bound));
                call.args.iter().for_each(|argument| self.visit(argument, bound));
            }
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range, bound);
                self.visit(&comprehension.accu_init, bound);
                let depth = bound.len();
                bound.push(comprehension.iter_var.clone());
                bound.extend(comprehension.iter_var2.clone());
                bound.push(comprehension.accu_var.clone());
                self.visit(&comprehension.loop_cond, bound);
                self.visit(&comprehension.loop_step, bound);
                self.visit(&comprehension.result, bound);
                bound.truncate(depth);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element, bound)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.visit_entry(&entry.expr, bound)),
            Expr::Struct(fields) => fields.entries.iter().for_each(|entry| self.visit_entry(&entry.expr, bound)),
        }
    }

    fn visit_entry(&mut self, entry: &EntryExpr, bound: &mut Vec<String>) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value, bound),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, bound);
                self.visit(&entry.value, bound);
            }
        }
    }
}

/// `a.b.c`, also where only asked for by `has`.
fn whole_name(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!("{}.{}", whole_name(&select.operand)?, select.field)),
        _ => None,
    }
}

/// The known name most like this one, if any is like it.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(word, name), *name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The operands of `&&`, `||` and `!`, all the way down: each says yes or no for itself.
fn parts(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call)
            if matches!(
                call.func_name.as_str(),
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT
            ) =>
        {
            call.args.iter().flat_map(parts).collect()
        }
        _ => vec![expression],
    }
}

/// An `==` of a variable with a literal of another kind is never true, and meant otherwise.
fn compares_unlike(part: &IdedExpr) -> Option<String> {
    let Expr::Call(call) = &part.expr else { return None };
    if !matches!(call.func_name.as_str(), operators::EQUALS | operators::NOT_EQUALS) {
        return None;
    }
    let (left, right) = (call.args.first()?, call.args.get(1)?);
    let (name, literal) = match (whole_name(left), &right.expr, whole_name(right), &left.expr) {
        (Some(name), Expr::Literal(literal), ..) | (_, _, Some(name), Expr::Literal(literal)) => (name, literal),
        _ => return None,
    };
    let fits = match kind_of(&name)? {
        Kind::Text => matches!(literal, LiteralValue::String(_)),
        Kind::Number => matches!(literal, LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)),
        Kind::Truth => matches!(literal, LiteralValue::Boolean(_)),
        Kind::Texts => false,
        Kind::Any => true,
    };
    (!fits).then(|| format!("`{name}` is compared with a value of another kind"))
}

/// A variable that decides: `name == 'x'` or `name in ['x', 'y']`, alone or under `&&`.
fn key(expression: &IdedExpr) -> Option<(String, Vec<String>)> {
    let Expr::Call(call) = &expression.expr else { return None };
    let text = |expression: &IdedExpr| match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    };
    let decides = |name: &str| kind_of(name) == Some(Kind::Text) && name != "command.text";
    match call.func_name.as_str() {
        operators::LOGICAL_AND => call.args.iter().find_map(key),
        operators::EQUALS => {
            let (left, right) = (call.args.first()?, call.args.get(1)?);
            let (name, value) = match (whole_name(left), text(right)) {
                (Some(name), Some(value)) => (name, value),
                _ => (whole_name(right)?, text(left)?),
            };
            decides(&name).then(|| (name, vec![value]))
        }
        operators::IN => {
            let name = whole_name(call.args.first()?).filter(|name| decides(name))?;
            let Expr::List(list) = &call.args.get(1)?.expr else { return None };
            Some((name, list.elements.iter().map(text).collect::<Option<Vec<String>>>()?))
        }
        _ => None,
    }
}

/// One value of each kind, for every variable: what conditions are tried on. Made once for all rules of a file.
pub struct Samples {
    variables: Vec<(String, Value)>,
    context: Context<'static, 'static>,
}

impl Samples {
    /// The values.
    pub fn of_each_kind() -> Samples {
        let mut tree = serde_json::Map::new();
        for (name, kind) in VARIABLES {
            let sample = match kind {
                Kind::Text => serde_json::json!("x"),
                Kind::Number => serde_json::json!(0.5),
                Kind::Truth => serde_json::json!(true),
                Kind::Texts => serde_json::json!(["x"]),
                Kind::Any => serde_json::json!({}),
            };
            place(&mut tree, name, sample);
        }
        let variables = variables(tree);
        Samples { context: shared(&variables), variables }
    }
}

/// Puts a value at `a.b`.
pub fn place(tree: &mut serde_json::Map<String, serde_json::Value>, name: &str, value: serde_json::Value) {
    match name.split_once('.') {
        None => drop(tree.insert(name.to_owned(), value)),
        Some((root, field)) => {
            let entry = tree.entry(root).or_insert_with(|| serde_json::json!({}));
            if let Some(fields) = entry.as_object_mut() {
                fields.insert(field.to_owned(), value);
            }
        }
    }
}

/// A JSON tree as variables.
pub fn variables(tree: serde_json::Map<String, serde_json::Value>) -> Vec<(String, Value)> {
    tree.into_iter().map(|(name, value)| (name, value_of(&value))).collect()
}

fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => text.clone().into(),
        serde_json::Value::Array(items) => items.iter().map(value_of).collect::<Vec<Value>>().into(),
        serde_json::Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value_of(value)))
            .collect::<HashMap<String, Value>>()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(condition: &str, known: serde_json::Value) -> Answer {
        let serde_json::Value::Object(tree) = known else { panic!("an object") };
        Condition::new(condition, &Samples::of_each_kind())
            .unwrap_or_else(|bad| panic!("{}", bad.message))
            .ask(&variables(tree))
    }

    #[test]
    fn words_for_operators_outside_of_texts() {
        assert_eq!(spelled("a and not b or c"), "a && ! b || c");
        assert_eq!(spelled(r#"a == 'x and y' and b == "it's or" "#), r#"a == 'x and y' && b == "it's or" "#);
        assert_eq!(spelled(r"a == 'it\'s and' and b"), r"a == 'it\'s and' && b");
        assert_eq!(spelled("android.and == band"), "android.and == band");
    }

    #[test]
    fn the_specifications_conditions_hold_where_they_should() {
        let low = "task.type == 'refactoring' and task.risk < 0.3";
        let known = |risk: f64| serde_json::json!({"task": {"type": "refactoring", "risk": risk}});
        assert_eq!(asked(low, known(0.2)), Answer::Holds);
        assert_eq!(asked(low, known(0.3)), Answer::Not);
        assert_eq!(
            asked(low, serde_json::json!({"task": {"type": "refactoring"}})),
            Answer::Unknown("task.risk".to_owned())
        );
        assert_eq!(asked(low, serde_json::json!({"task": {"type": "other"}})), Answer::Not);
        let python = "error.type == 'syntax' and language == 'python'";
        assert_eq!(
            asked(python, serde_json::json!({"error": {"type": "syntax"}})),
            Answer::Unknown("language".to_owned())
        );
        assert_eq!(asked(python, serde_json::json!({"error": {"type": "x"}})), Answer::Not);
    }

    #[test]
    fn what_a_rule_may_use() {
        let argv = serde_json::json!({"command": {"argv": ["git", "push", "-f"], "text": "git push -f", "paths": [], "effects": ["network"]}});
        for condition in [
            "command.argv.exists(word, word == '-f')",
            "'-f' in command.argv",
            "command.text.matches('push +-f')",
            "command.text.startsWith('git') and size(command.argv) == 3",
            "'network' in command.effects",
            "not has(command.program)",
        ] {
            assert_eq!(asked(condition, argv.clone()), Answer::Holds, "{condition}");
        }
        assert_eq!(asked("repo.files > 3", serde_json::json!({"repo": {"files": 4}})), Answer::Holds);
        assert_eq!(asked("has(repo.cargo)", serde_json::json!({"repo": {}})), Answer::Not);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_nearest_name() {
        for (condition, message, hint) in [
            ("task.typ == 'x'", "no variable `task.typ`", "did you mean `task.type`?"),
            ("enviroment == 'x'", "no variable `enviroment`", "did you mean `environment`?"),
            ("tasc.type == 'x'", "no variable `tasc.type`", "did you mean `task.type`?"),
            ("task.type.startWith('x')", "no function `startWith`", "did you mean `startsWith`?"),
            ("frobnicate(task.type)", "no function `frobnicate`", "known are size"),
            ("task.type == ", "is not a CEL expression", "write it"),
            ("task.risk == 'high'", "another kind", "compare"),
            ("task.risk < 'high'", "", "compare"),
            ("task.type", "no yes or no", "compare"),
            ("true or task.type", "no yes or no", "compare"),
            ("task.type == 'x' and size(task.type)", "no yes or no", "compare"),
            ("command.text.matches('(')", "is no pattern", "mend"),
            ("command.text.matches(task.type)", "must be written out", "quotes"),
            ("task.type > 3", "", "compare"),
            (&format!("{}true{}", "(".repeat(300), ")".repeat(300)), "too much for one rule", "several"),
            (&format!("task.type == '{}'", "x".repeat(9000)), "too much for one rule", "several"),
        ] {
            let bad = Condition::new(condition, &Samples::of_each_kind()).expect_err(condition);
            assert!(bad.message.contains(message), "{condition}: {}", bad.message);
            assert!(bad.hint.contains(hint), "{condition}: {}", bad.hint);
        }
    }
}
