//! Typed reading of single values: each takes a value and its place, reports what does not fit, and goes on.
//! Null is an absent value throughout.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use super::{
    problem::{Code, Place, Report, nearest, quoted},
    value::Value,
};
use crate::core::plan::spec::Argv;

fn wrong<T>(value: &Value<'_>, expected: &str, place: &Place<'_>, report: &mut Report) -> Option<T> {
    if *value != Value::Null {
        report.invalid(place, || format!("expected {expected}, found {}", value.kind()));
    }
    None
}

pub(super) fn text<'a>(value: Value<'a>, place: &Place<'_>, report: &mut Report) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(text),
        other => wrong(&other, "text", place, report),
    }
}

pub(super) fn string(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<String> {
    text(value, place, report).map(Cow::into_owned)
}

pub(super) fn flag(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(flag),
        other => wrong(&other, "true or false", place, report),
    }
}

pub(super) fn number(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<f64> {
    match value {
        Value::Whole(number) => Some(number as f64),
        Value::Number(number) => Some(number),
        other => wrong(&other, "a number", place, report),
    }
}

pub(super) fn whole<T: TryFrom<i64>>(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<T> {
    let Value::Whole(number) = value else { return wrong(&value, "a whole number", place, report) };
    let fits = T::try_from(number).ok();
    if fits.is_none() {
        let why = if number < 0 { "is below 0" } else { "is too large" };
        report.invalid(place, || format!("{number} {why}"));
    }
    fits
}

/// One of a fixed set of words.
pub(super) fn word<T: Copy>(
    value: Value<'_>,
    words: &[(&str, T)],
    place: &Place<'_>,
    report: &mut Report,
) -> Option<T> {
    let given = text(value, place, report)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
        return Some(*meaning);
    }
    report.add(Code::Invalid, place, || {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{} is not one of {}", quoted(&given), all.join(", "));
        (message, nearest(&given, all).map(|near| format!("did you mean {near:?}?")))
    });
    None
}

pub(super) fn list<'a, T>(
    value: Value<'a>,
    expected: &str,
    place: &Place<'_>,
    report: &mut Report,
    mut item: impl FnMut(Value<'a>, &Place<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(values) = value else { return wrong(&value, expected, place, report) };
    let mut items = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let place = place.index(index);
        if value == Value::Null {
            report.invalid(&place, || "null has no place in a list".to_owned());
        }
        items.extend(item(value, &place, report));
    }
    Some(items)
}

pub(super) fn strings(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<Vec<String>> {
    list(value, "a list of texts", place, report, string)
}

/// Commands are lists, never one text: splitting it is the shell's, which `run` is for.
pub(super) fn argv(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<Argv> {
    if matches!(value, Value::Text(_)) {
        report.hinted(
            place,
            || "expected a command as a list of texts, found text".to_owned(),
            "write [\"program\", \"argument\"], or use `run` for a line of shell",
        );
        return None;
    }
    list(value, "a command as a list of texts", place, report, string)
}

pub(super) fn argvs(value: Value<'_>, place: &Place<'_>, report: &mut Report) -> Option<Vec<Argv>> {
    if let Value::List(items) = &value
        && matches!(items.first(), Some(Value::Text(_)))
    {
        report.hinted(
            place,
            || "expected a list of commands, found one command".to_owned(),
            "put it in a second pair of brackets: [[\"program\", \"argument\"]]",
        );
        return None;
    }
    list(value, "a list of commands", place, report, argv)
}

/// The entries of a table; a repeated key is reported and its first value kept.
pub(super) fn table<'a>(
    value: Value<'a>,
    expected: &str,
    place: &Place<'_>,
    report: &mut Report,
) -> Option<Vec<(Cow<'a, str>, Value<'a>)>> {
    let Value::Table(mut entries) = value else { return wrong(&value, expected, place, report) };
    // A task has few fields: comparing all pairs is cheaper than a set, until there are absurdly many.
    const FEW: usize = 32;
    let repeated = |entries: &[(Cow<'a, str>, Value<'a>)]| {
        (1..entries.len()).any(|index| entries[..index].iter().any(|(key, _)| *key == entries[index].0))
    };
    if entries.len() > FEW || repeated(&entries) {
        let mut seen: HashSet<Cow<'a, str>> = HashSet::new();
        entries.retain(|(key, _)| {
            let first = seen.insert(key.clone());
            if !first {
                report.invalid(&place.key(key), || format!("the field {} is given twice", quoted(key)));
            }
            first
        });
    }
    Some(entries)
}

/// A table of texts; with `plain`, numbers and flags are taken as the text they are written as.
pub(super) fn texts(
    value: Value<'_>,
    plain: bool,
    place: &Place<'_>,
    report: &mut Report,
) -> Option<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for (key, value) in table(value, "a table of texts", place, report)? {
        let at = place.key(&key);
        let value = match value {
            Value::Whole(number) if plain => Some(number.to_string()),
            Value::Number(number) if plain => Some(number.to_string()),
            Value::Flag(flag) if plain => Some(flag.to_string()),
            Value::Whole(number) => {
                let hint = format!("write \"{number}\"");
                report.hinted(&at, || "expected text, found a whole number".to_owned(), &hint);
                None
            }
            value => string(value, &at, report),
        };
        if let Some(value) = value {
            map.insert(key.into_owned(), value);
        }
    }
    Some(map)
}

/// What people write for a field that has another name here.
const SYNONYMS: &[(&str, &str)] = &[
    ("name", "id"),
    ("depends_on", "needs"),
    ("depends", "needs"),
    ("dependencies", "needs"),
    ("deps", "needs"),
    ("after", "needs"),
    ("requires", "needs"),
    ("cmd", "command"),
    ("argv", "command"),
    ("args", "command"),
    ("exec", "command"),
    ("shell", "run"),
    ("script", "run"),
    ("sh", "run"),
    ("instruction", "prompt"),
    ("instructions", "prompt"),
    ("description", "title"),
    ("workflow", "playbook"),
    ("pattern", "playbook"),
    ("check", "verify"),
    ("checks", "verify"),
    ("test", "verify"),
    ("tests", "verify"),
    ("duration", "estimate_s"),
    ("retries", "retry"),
    ("steps", "tasks"),
    ("jobs", "max_parallel"),
    ("workers", "max_parallel"),
    ("undo", "compensate"),
    ("files", "writes"),
    ("directory", "cwd"),
    ("dir", "cwd"),
    ("cost", "usd"),
];

pub(super) fn unknown(key: &str, known: &[&str], place: &Place<'_>, report: &mut Report) {
    report.add(Code::Invalid, &place.key(key), || {
        let lower = key.to_lowercase().replace('-', "_");
        let synonym = SYNONYMS.iter().find(|(word, field)| *word == lower && known.contains(field));
        let near = synonym.map(|(_, field)| *field).or_else(|| nearest(&lower, known.iter().copied()));
        let hint = near.map(|near| format!("did you mean {near:?}?"));
        (format!("unknown field {}", quoted(key)), hint)
    });
}
