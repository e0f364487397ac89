//! What a tool call touches: Claude Code's tools, ACP's tool kinds, our own MCP tools. Shell commands go on to
//! [`super::shell`]. A tool nobody here knows is not understood, and that is all that is said of it.

use serde_json::Value;

use super::{
    effects::{Action, Effect, Reversible, Touched},
    gate::{Ask, Links, NoLinks, Place},
    shell::{self, paths::Paths},
};

/// What is known about one ask before any rule is read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Everything it touches.
    pub effects: Vec<Effect>,
    /// Whether these are all.
    pub understood: bool,
    /// Whether it may run without anybody's word: it only looks, or stays in a lane.
    pub harmless: bool,
    /// Sentences, the weightiest first.
    pub reasons: Vec<String>,
    /// The shell's reading, where it is a shell command.
    pub command: Option<shell::Reading>,
}

/// What kind of tool it is, whoever's name it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shell,
    Look,
    Write,
    Delete,
    Move,
    Fetch,
    Nothing,
    Delegate,
    Asks,
    Ours,
    Unknown,
}

/// Names of tools: Claude Code's, and the tool kinds of the Agent Client Protocol.
fn kind(tool: &str) -> Kind {
    match tool {
        "Bash" | "execute" | "PowerShell" => Kind::Shell,
        "Read"
        | "Glob"
        | "Grep"
        | "LS"
        | "NotebookRead"
        | "read"
        | "search"
        | "LSP"
        | "ListMcpResourcesTool"
        | "ReadMcpResourceTool" => Kind::Look,
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" | "edit" => Kind::Write,
        "delete" => Kind::Delete,
        "move" => Kind::Move,
        "WebFetch" | "WebSearch" | "fetch" => Kind::Fetch,
        "TodoWrite" | "TodoRead" | "think" | "BashOutput" | "TaskOutput" | "ToolSearch" | "TaskCreate"
        | "TaskUpdate" | "TaskGet" | "TaskList" | "KillShell" | "KillBash" | "TaskStop" => Kind::Nothing,
        "Task" | "Agent" => Kind::Delegate,
        "AskUserQuestion" | "ExitPlanMode" | "EnterPlanMode" | "switch_mode" => Kind::Asks,
        name if ours(name).is_some() => Kind::Ours,
        _ => Kind::Unknown,
    }
}

/// A tool's name among those that do the same: what was said of one agent's shell holds for another's.
pub fn common_name(tool: &str) -> &str {
    match kind(tool) {
        Kind::Shell if tool != "PowerShell" => "Bash",
        Kind::Write => "Edit",
        Kind::Fetch => "WebFetch",
        _ => tool,
    }
}

/// The name of one of our own MCP tools.
fn ours(tool: &str) -> Option<&str> {
    // A plugin's server is called `plugin_<plugin>_<server>`.
    tool.strip_prefix("mcp__orchestrator__").or_else(|| tool.strip_prefix("mcp__plugin_orchestrator_orchestrator__"))
}

/// Reads one ask.
pub fn read(ask: &Ask, place: &Place, links: &dyn Links) -> Reading {
    let paths = Paths::new(place, links);
    match kind(ask.tool) {
        // Another shell's language; its commands are not ours to read.
        Kind::Shell if ask.tool == "PowerShell" => unknown("PowerShell commands are not read"),
        Kind::Shell => command(ask, place, links),
        Kind::Look => {
            let mut reading = Reading { understood: true, ..Reading::default() };
            for path in named(ask.input, LOOKED_AT) {
                reading.effects.push(paths.read(&paths.absolute(path)));
            }
            if reading.effects.is_empty() {
                reading.effects.push(paths.read(&place.cwd));
            }
            finish(reading)
        }
        Kind::Write => touch(ask, &paths, false),
        Kind::Delete => touch(ask, &paths, true),
        // Where it goes is not in the request's fields that every agent fills; both ends are written to.
        Kind::Move => touch(ask, &paths, true),
        Kind::Fetch => {
            let what = text(ask.input, &["url", "query"]).unwrap_or("the web");
            let effect = Effect {
                what: format!("asks {what}"),
                action: Action::Network,
                class: Touched::External,
                reversible: Reversible::Compensable,
                target: text(ask.input, &["url"]).and_then(shell::paths::host),
            };
            finish(Reading { effects: vec![effect], understood: true, ..Reading::default() })
        }
        Kind::Nothing => finish(Reading { understood: true, ..Reading::default() }),
        Kind::Delegate => {
            let mut reading = finish(Reading { understood: true, ..Reading::default() });
            reading.reasons.push("a subagent's own calls are judged one by one".to_owned());
            reading
        }
        Kind::Asks => unknown("this is a question to the user"),
        Kind::Ours => of_ours(ours(ask.tool).unwrap_or_default()),
        Kind::Unknown if ask.tool.starts_with("mcp__") => {
            unknown(&format!("what the tool {} does is its server's affair", ask.tool))
        }
        Kind::Unknown => unknown(&format!("the tool {} is not known here", ask.tool)),
    }
}

/// An ask as it was read before, with the effects that were seen then.
pub fn seen(ask: &Ask, place: &Place, effects: &[Effect], understood: bool) -> Reading {
    let read = read(ask, place, &NoLinks);
    finish(Reading { effects: effects.to_vec(), understood, ..read })
}

fn unknown(reason: &str) -> Reading {
    Reading { reasons: vec![reason.to_owned()], ..Reading::default() }
}

/// Our own MCP tools: what only looks, what an agent owes us, and what belongs to a person.
fn of_ours(tool: &str) -> Reading {
    let done = |effects: Vec<Effect>| finish(Reading { effects, understood: true, ..Reading::default() });
    match tool {
        "get_task_status"
        | "get_state"
        | "get_pending_decisions"
        | "wait_for_change"
        | "my_task"
        | "report_task"
        | "notes"
        | "save_checkpoint" => done(Vec::new()),
        // Work in lanes; what leaves them is asked on its own.
        "process_request" | "submit_task" | "cancel_task" | "claim_task" => done(vec![Effect {
            what: format!("asks the orchestrator: {tool}"),
            action: Action::Control,
            class: Touched::Workspace,
            reversible: Reversible::Yes,
            target: None,
        }]),
        "submit_decision" => unknown("an answer is a person's to give"),
        _ => unknown(&format!("the orchestrator's tool {tool} is a person's to use")),
    }
}

/// Names of fields that hold a path, as the agents' tools have them.
const LOOKED_AT: &[&str] = &["file_path", "path", "notebook_path", "abs_path", "filePath", "filepath"];

fn named<'a>(input: &'a Value, fields: &[&str]) -> Vec<&'a str> {
    let mut found: Vec<&str> = fields.iter().filter_map(|field| input.get(field)?.as_str()).collect();
    // ACP names what a call is about in `locations`.
    for location in input.get("locations").and_then(Value::as_array).into_iter().flatten() {
        found.extend(location.get("path").and_then(Value::as_str));
    }
    found.retain(|path| !path.is_empty());
    found
}

fn text<'a>(input: &'a Value, fields: &[&str]) -> Option<&'a str> {
    fields.iter().find_map(|field| input.get(field)?.as_str())
}

fn touch(ask: &Ask, paths: &Paths, delete: bool) -> Reading {
    let mut reading = Reading { understood: true, ..Reading::default() };
    let fields = ["source", "destination", "from", "to", "old_path", "new_path"];
    for path in named(ask.input, LOOKED_AT).into_iter().chain(named(ask.input, &fields)) {
        let path = paths.absolute(path);
        let effect = if delete { paths.delete(&path) } else { paths.write(&path) };
        if !reading.effects.contains(&effect) {
            reading.effects.push(effect);
        }
    }
    if reading.effects.is_empty() {
        return unknown("it does not say which file it changes");
    }
    finish(reading)
}

fn command(ask: &Ask, place: &Place, links: &dyn Links) -> Reading {
    let Some(line) = shell_line(ask.input) else {
        return unknown("it does not say which command it runs");
    };
    let read = shell::read(&line, place, links);
    let mut reading = Reading {
        effects: read.effects.clone(),
        understood: read.understood,
        reasons: read.reasons.clone(),
        command: Some(read),
        ..Reading::default()
    };
    if ask.input.get("dangerouslyDisableSandbox").and_then(Value::as_bool) == Some(true) {
        reading.understood = false;
        reading.reasons.insert(0, "it asks to leave the sandbox".to_owned());
    }
    finish(reading)
}

/// The command of a shell tool: one text, or a list of words that no shell has read yet.
fn shell_line(input: &Value) -> Option<String> {
    match input.get("command").or_else(|| input.get("cmd"))? {
        Value::String(line) => {
            let arguments = input.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let words: Option<Vec<&str>> = arguments.iter().map(Value::as_str).collect();
            Some(words?.iter().fold(line.clone(), |line, word| format!("{line} {}", shell::quote(word))))
        }
        Value::Array(words) => {
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            Some(shell::join(&words?))
        }
        _ => None,
    }
}

/// What was asked, as one text: a shell's line, else the whole input.
pub fn asked(ask: &Ask) -> String {
    match kind(ask.tool) {
        Kind::Shell => shell_line(ask.input).unwrap_or_else(|| ask.input.to_string()),
        // What is written does not make it another question; where, does.
        Kind::Write | Kind::Delete | Kind::Move => {
            let mut paths = named(ask.input, LOOKED_AT);
            paths.sort_unstable();
            match paths.is_empty() {
                true => ask.input.to_string(),
                false => paths.join("\n"),
            }
        }
        _ => ask.input.to_string(),
    }
}

fn finish(mut reading: Reading) -> Reading {
    reading.harmless = reading.understood
        && reading.effects.iter().all(|effect| match effect.class {
            Touched::Read => true,
            Touched::Lane => effect.reversible == Reversible::Yes,
            Touched::Workspace | Touched::External | Touched::Secret | Touched::Privilege => false,
        });
    if reading.reasons.is_empty() {
        let worst = reading.effects.iter().max_by(|a, b| a.criticality().total_cmp(&b.criticality()));
        reading.reasons.push(match worst {
            Some(effect) if reading.harmless && effect.class == Touched::Lane => {
                format!("{}: it stays in the lane", effect.what)
            }
            Some(effect) => effect.what.clone(),
            None => "it only looks or prints".to_owned(),
        });
    }
    reading
}
