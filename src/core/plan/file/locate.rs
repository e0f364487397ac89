//! From a place in a plan back to its offset in the text. Done only for plans that are refused, by reading the
//! text again: a reader that kept every position would make the good plans pay for it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::problem::Trail;

/// The offset of the value that `trail` leads to in a JSON text; of the last one there, where it ends early.
pub(super) struct JsonLocator<'a> {
    text: &'a str,
    top: BTreeMap<String, &'a RawValue>,
    tasks: Option<Vec<&'a RawValue>>,
}

impl<'a> JsonLocator<'a> {
    pub(super) fn new(text: &'a str) -> JsonLocator<'a> {
        let top: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
        let tasks = top.get("tasks").and_then(|raw| serde_json::from_str(raw.get()).ok());
        JsonLocator { text, top, tasks }
    }

    pub(super) fn offset(&self, trail: &[Trail]) -> Option<usize> {
        let (Trail::Key(key), mut rest) = trail.split_first()? else { return None };
        let mut raw: &str = self.top.get(key)?.get();
        if let (Some(tasks), "tasks", [Trail::Index(index), after @ ..]) = (&self.tasks, &**key, rest) {
            raw = tasks.get(*index)?.get();
            rest = after;
        }
        for step in rest {
            match inside(raw, step) {
                Some(next) => raw = next,
                None => break,
            }
        }
        // Both are slices of one text.
        Some(raw.as_ptr() as usize - self.text.as_ptr() as usize)
    }
}

fn inside<'a>(raw: &'a str, step: &Trail) -> Option<&'a str> {
    match step {
        Trail::Key(key) => {
            let entries: BTreeMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
            entries.get(key).map(|raw| raw.get())
        }
        Trail::Index(index) => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            items.get(*index).map(|raw| raw.get())
        }
    }
}

/// The same for a TOML text: the offset of the key, where there is one.
pub(super) fn toml_offset(document: &DeTable<'_>, trail: &[Trail]) -> Option<usize> {
    let (Trail::Key(key), rest) = trail.split_first()? else { return None };
    let (key, value) = document.get_key_value(&**key)?;
    let mut offset = key.span().start;
    let mut value = value;
    for step in rest {
        match (step, value.get_ref()) {
            (Trail::Key(key), DeValue::Table(table)) => {
                let Some((key, inner)) = table.get_key_value(&**key) else { break };
                offset = key.span().start;
                value = inner;
            }
            (Trail::Index(index), DeValue::Array(items)) => {
                let Some(item) = items.get(*index) else { break };
                offset = item.span().start;
                value = item;
            }
            _ => break,
        }
    }
    Some(offset)
}
