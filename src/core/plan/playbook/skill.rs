//! Skills (S5): a named command or instruction. To everything behind this file a skill is a playbook of one task, whose
//! name begins with `skill:`, so parameters, trust, expansion and checks are one and the same.

use std::collections::HashMap;

use toml::de::DeTable;

use super::{
    Checks, Playbook, PlaybookError,
    parse::{Parsed, Reader},
};
use crate::core::plan::spec::{TaskSpec, Work};

/// What the name of a skill begins with where a playbook could be named as well.
pub const PREFIX: &str = "skill:";

const FIELDS: &[&str] = &[
    "version",
    "name",
    "about",
    "kind",
    "command",
    "text",
    "params",
    "capabilities",
    "writes",
    "effect",
    "verify",
    "compensate",
    "batch",
    "timeout_s",
];

/// The name under which a skill is found among playbooks.
pub fn skill_name(name: &str) -> String {
    format!("{PREFIX}{}", name.strip_prefix(PREFIX).unwrap_or(name))
}

/// Parses one skill. `file` is only named in messages.
pub fn parse_skill(file: &str, text: &str) -> Result<Playbook, PlaybookError> {
    Reader { file, text }.document(|reader, top| skill(reader, top))
}

fn skill(reader: &Reader, top: &DeTable) -> Parsed<Playbook> {
    reader.known(top, FIELDS, "the skill")?;
    let mut playbook = reader.head(top)?;
    let name = playbook.name.clone();
    let kind = top.get("kind").map(|kind| reader.string(kind, "kind")).transpose()?;
    let way = match kind.as_deref() {
        Some("command") => "command",
        Some("instruction") => "text",
        Some(other) => {
            let hint = Some("write kind = \"command\" or kind = \"instruction\"".to_owned());
            return Err(reader.error_at(1, format!("`kind` is `{other}`, which no skill is"), hint));
        }
        None if top.contains_key("text") => "text",
        None => "command",
    };
    for (field, fits) in [("command", way == "command"), ("text", way == "text")] {
        if top.contains_key(field) != fits {
            let hint = Some("a command has `command`, an instruction has `text`".to_owned());
            return Err(reader.error_at(1, format!("the skill `{name}` and its `{field}` do not fit"), hint));
        }
    }
    let work = match way {
        "text" => Work::Prompt(reader.string(&top["text"], "text")?),
        _ => Work::Command(reader.argv(&top["command"], "command")?),
    };
    if let Some(batch) = top.get("batch") {
        let table = reader.table(batch, "batch")?;
        reader.known(table, &["max"], "`batch`")?;
        table.get("max").map(|max| reader.number(max, "batch.max")).transpose()?;
    }
    let mut template = reader.template(top, 1, TaskSpec::new(&name, work), None, &HashMap::new())?;
    if template.spec.title.is_empty() && !playbook.about.is_empty() {
        template.spec.title = playbook.about.as_str().into();
    }
    template.spec.kind_word = "skill_execution".into();
    template.spec.extras_mut().batch = top.contains_key("batch");
    reader.finish(&mut template, &playbook.params)?;
    // Not offered to a request in words: a skill is named.
    playbook.name = skill_name(&name);
    playbook.done = Checks::Unsaid;
    playbook.tasks.push(template);
    Ok(playbook)
}
