//! `setup claude-code`: this program as an MCP server of Claude Code, the permissions that spare its user the first
//! questions, and with `--hook` the rules for its own sessions. Doing it twice is doing it once, and `--remove` takes out
//! exactly that.
//!
//! Both files belong to somebody else: what is not ours keeps its order and its spelling, and a file that cannot be
//! read as JSON is left alone. Claude Code's other ways to the same (`claude mcp add`, the plugin) are printed.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::{Value, json, value::RawValue};

use super::{
    args::ClaudeCodeArgs,
    console::Console,
    exit::{CliError, Exit},
};

/// The server's name: `/mcp__orchestrator__decide` comes of it.
const NAME: &str = "orchestrator";

/// Tools that Claude Code need not ask for. Not among them: what stops work or sets it back.
const ALLOWED: [&str; 12] = [
    "mcp__orchestrator__process_request",
    "mcp__orchestrator__submit_task",
    "mcp__orchestrator__get_task_status",
    "mcp__orchestrator__get_state",
    "mcp__orchestrator__save_checkpoint",
    "mcp__orchestrator__get_pending_decisions",
    "mcp__orchestrator__submit_decision",
    "mcp__orchestrator__wait_for_change",
    // Offered only where the user declared sessions as workers.
    "mcp__orchestrator__claim_task",
    "mcp__orchestrator__my_task",
    "mcp__orchestrator__report_task",
    "mcp__orchestrator__notes",
];

/// What Claude Code runs before each use of a tool, behind the program's path.
const HOOK: &str = "hook permission";

/// The two files of a scope, and the program that is named in the first.
struct Places {
    servers: PathBuf,
    permissions: PathBuf,
    program: String,
}

impl Places {
    /// The user's files, or the project's, which its people share: those name the program without its folder.
    fn find(project: Option<&Path>) -> Result<Places, CliError> {
        if let Some(root) = project {
            let (servers, permissions) = (root.join(".mcp.json"), root.join(".claude/settings.json"));
            return Ok(Places { servers, permissions, program: NAME.to_owned() });
        }
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let program = std::env::current_exe().and_then(|own| own.canonicalize()).map_err(CliError::io("where am I"))?;
        let program = program.display().to_string();
        // Claude Code keeps everything in that folder where it is told one.
        match (absolute("CLAUDE_CONFIG_DIR"), absolute("HOME")) {
            (Some(folder), _) => {
                Ok(Places { servers: folder.join(".claude.json"), permissions: folder.join("settings.json"), program })
            }
            (None, Some(home)) => Ok(Places {
                servers: home.join(".claude.json"),
                permissions: home.join(".claude/settings.json"),
                program,
            }),
            (None, None) => Err(CliError::usage("HOME is not set", "set it, or use --project")),
        }
    }
}

/// Carries it out, or prints what it would do.
pub fn run(console: &mut Console, workspace: &Path, arguments: &ClaudeCodeArgs) -> Result<Exit, CliError> {
    let root = workspace.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(workspace);
    let places = Places::find(arguments.project.then_some(root))?;
    let entry = json!({"type": "stdio", "command": places.program, "args": ["--mcp"]});
    let hook = hook(&places.program);
    if arguments.print {
        console.text(printed(&places, &entry, arguments.hook.then_some(&hook)))?;
        return Ok(Exit::Completed);
    }
    let server = edit(&places.servers, |text| with_server(text, (!arguments.remove).then_some(&entry)))?;
    let permissions = edit(&places.permissions, |text| with_permissions(text, !arguments.remove))?;
    // One that stands there stays, unless it is to go.
    let hooked = (arguments.hook || arguments.remove)
        && edit(&places.permissions, |text| with_hook(text, arguments.hook.then_some(&hook)))?;
    let mut changed: Vec<&PathBuf> = Vec::new();
    changed.extend(server.then_some(&places.servers));
    changed.extend((permissions || hooked).then_some(&places.permissions));
    if console.json {
        let done = if arguments.remove { "removed" } else { "registered" };
        console.object(&json!({"host": "claude-code", "done": done, "changed": changed}))?;
        return Ok(Exit::Completed);
    }
    match (arguments.remove, changed.is_empty()) {
        (false, true) => console.line("Claude Code knows this program already; nothing was changed")?,
        (true, true) => console.line("Claude Code has nothing of this program; nothing was changed")?,
        (remove, false) => {
            let what = if remove { "taken out of" } else { "written to" };
            for path in &changed {
                console.line(format!("{what} {}", path.display()))?;
            }
        }
    }
    if !arguments.remove {
        console.text(NEXT)?;
    }
    Ok(Exit::Completed)
}

const NEXT: &str = "Start `claude` anew in a repository and say: orchestrate: format and lint this repository
Questions come up as forms; the prompts /mcp__orchestrator__inbox and /mcp__orchestrator__decide D-1 OPTION answer, too.
";

/// The hook as Claude Code's settings have it; its command goes through a shell.
fn hook(program: &str) -> Value {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let program = match program.chars().all(plain) {
        true => program.to_owned(),
        false => format!("'{}'", program.replace('\'', r"'\''")),
    };
    json!({"matcher": "*", "hooks": [{"type": "command", "command": format!("{program} {HOOK}")}]})
}

fn printed(places: &Places, entry: &Value, hook: Option<&Value>) -> String {
    let mut settings = json!({"permissions": {"allow": ALLOWED}});
    if let Some(hook) = hook {
        settings["hooks"] = json!({"PreToolUse": [hook]});
    }
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    format!(
        "{}:\n{}\n\n{}:\n{}\n\nOr by hand: claude mcp add -s user orchestrator -- {} --mcp\n",
        places.servers.display(),
        pretty(&json!({"mcpServers": {NAME: entry}})),
        places.permissions.display(),
        pretty(&settings),
        places.program,
    )
}

/// Changes a file where `change` has something to change: in one step, or not at all. A file that holds nothing then
/// goes, unless it was there with more than that before.
fn edit(path: &Path, change: impl FnOnce(&str) -> Result<Option<String>, String>) -> Result<bool, CliError> {
    let refuse = |error: String| {
        CliError::usage(format!("{}: {error}", path.display()), "mend the file, or use --print and edit it by hand")
    };
    let failed = |error: io::Error| refuse(error.to_string());
    // A link to a file elsewhere stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let before = match fs::read_to_string(&target) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let Some(after) = change(&before).map_err(refuse)? else { return Ok(false) };
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    if after.trim() == "{}" {
        fs::remove_file(&target).map_err(failed)?;
        return Ok(true);
    }
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(after.as_bytes()).map_err(failed)?;
    if let Ok(metadata) = fs::metadata(&target) {
        file.as_file().set_permissions(metadata.permissions()).map_err(failed)?;
    }
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(true)
}

/// A JSON object whose members keep their order and, where nobody changes them, their spelling.
#[derive(Default)]
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Members;
        impl<'de> de::Visitor<'de> for Members {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Object {
    fn read(text: &str) -> Result<Object, String> {
        match text.trim() {
            "" => Ok(Object::default()),
            text => serde_json::from_str(text).map_err(|error| format!("this is no JSON object: {error}")),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    fn set(&mut self, name: &str, text: String) -> Result<(), String> {
        let value = RawValue::from_string(text).map_err(|error| error.to_string())?;
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// As text, its members on lines of their own at this depth.
    fn text(&self, depth: usize) -> Result<String, String> {
        if self.0.is_empty() {
            return Ok("{}".to_owned());
        }
        let indent = "  ".repeat(depth + 1);
        let mut members = Vec::new();
        for (name, value) in &self.0 {
            let name = serde_json::to_string(name).map_err(|error| error.to_string())?;
            members.push(format!("{indent}{name}: {}", value.get()));
        }
        Ok(format!("{{\n{}\n{}}}", members.join(",\n"), "  ".repeat(depth)))
    }
}

/// A value as text, its further lines indented to a depth.
fn pretty(value: &impl Serialize, depth: usize) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(text.replace('\n', &format!("\n{}", "  ".repeat(depth))))
}

/// The file of servers with ours in it, or without; `None` where it is so already.
fn with_server(text: &str, entry: Option<&Value>) -> Result<Option<String>, String> {
    let mut file = Object::read(text)?;
    let mut servers = Object::read(file.get("mcpServers").unwrap_or(""))?;
    let now = servers.get(NAME).and_then(|text| serde_json::from_str::<Value>(text).ok());
    if now.as_ref() == entry {
        return Ok(None);
    }
    match entry {
        Some(entry) => servers.set(NAME, pretty(entry, 2)?)?,
        None => servers.0.retain(|(name, _)| name != NAME),
    }
    match servers.0.is_empty() {
        true => file.0.retain(|(name, _)| name != "mcpServers"),
        false => file.set("mcpServers", servers.text(1)?)?,
    }
    Ok(Some(file.text(0)? + "\n"))
}

/// The settings with our tools allowed, or without; `None` where it is so already.
fn with_permissions(text: &str, on: bool) -> Result<Option<String>, String> {
    let mut file = Object::read(text)?;
    let mut permissions = Object::read(file.get("permissions").unwrap_or(""))?;
    let allow = permissions.get("allow").unwrap_or("[]");
    let mut allow: Vec<Value> =
        serde_json::from_str(allow).map_err(|error| format!("`permissions.allow` is no list: {error}"))?;
    let ours = |rule: &Value| rule.as_str().is_some_and(|rule| ALLOWED.contains(&rule));
    // Whoever allowed the whole server has allowed these.
    let whole = allow.iter().any(|rule| rule == "mcp__orchestrator" || rule == "mcp__orchestrator__*");
    let before = allow.len();
    match on {
        true if whole => {}
        true => {
            let missing = ALLOWED.iter().filter(|rule| !allow.iter().any(|known| known == *rule));
            let missing: Vec<Value> = missing.map(|rule| (*rule).into()).collect();
            allow.extend(missing);
        }
        false => allow.retain(|rule| !ours(rule)),
    }
    if allow.len() == before {
        return Ok(None);
    }
    match allow.is_empty() {
        true => permissions.0.retain(|(name, _)| name != "allow"),
        false => permissions.set("allow", pretty(&allow, 2)?)?,
    }
    match permissions.0.is_empty() {
        true => file.0.retain(|(name, _)| name != "permissions"),
        false => file.set("permissions", permissions.text(1)?)?,
    }
    Ok(Some(file.text(0)? + "\n"))
}

/// The settings with our hook before each use of a tool, or without; `None` where it is so already.
fn with_hook(text: &str, hook: Option<&Value>) -> Result<Option<String>, String> {
    let mut file = Object::read(text)?;
    let mut hooks = Object::read(file.get("hooks").unwrap_or(""))?;
    let groups = hooks.get("PreToolUse").unwrap_or("[]");
    let groups: Vec<Box<RawValue>> =
        serde_json::from_str(groups).map_err(|error| format!("`hooks.PreToolUse` is no list: {error}"))?;
    let ours = |hook: &Value| {
        let command = hook["command"].as_str().and_then(|command| command.strip_suffix(HOOK));
        command.is_some_and(|program| program.trim_end().trim_matches('\'').ends_with(NAME))
    };
    let (mut kept, mut there, mut changed) = (Vec::new(), false, false);
    for group in groups {
        let mut read: Value = serde_json::from_str(group.get()).map_err(|error| error.to_string())?;
        let commands = read["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !commands.iter().any(ours) {
            kept.push(pretty(&group, 2)?);
        } else if hook == Some(&read) && !there {
            there = true;
            kept.push(pretty(&group, 2)?);
        } else {
            // What somebody put beside ours stays.
            changed = true;
            let others: Vec<Value> = commands.iter().filter(|hook| !ours(hook)).cloned().collect();
            if !others.is_empty() {
                read["hooks"] = others.into();
                kept.push(pretty(&read, 3)?);
            }
        }
    }
    if let Some(hook) = hook.filter(|_| !there) {
        changed = true;
        kept.push(pretty(hook, 3)?);
    }
    if !changed {
        return Ok(None);
    }
    match kept.is_empty() {
        true => hooks.0.retain(|(name, _)| name != "PreToolUse"),
        false => hooks.set("PreToolUse", format!("[\n      {}\n    ]", kept.join(",\n      ")))?,
    }
    match hooks.0.is_empty() {
        true => file.0.retain(|(name, _)| name != "hooks"),
        false => file.set("hooks", hooks.text(1)?)?,
    }
    Ok(Some(file.text(0)? + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_is_put_in_once_follows_the_program_and_leaves_others_alone() {
        let theirs = "{\n  \"hooks\": {\n    \"PreToolUse\": [\n      \
                      {\"matcher\": \"Bash\",   \"hooks\": [{\"type\": \"command\", \"command\": \"check.sh\"}]}\n    ]\n  }\n}\n";
        let ours = hook("/bin/orchestrator");
        let with = with_hook(theirs, Some(&ours)).unwrap().unwrap();
        assert!(
            with.contains("\"matcher\": \"Bash\",   \"hooks\"") && with.contains("/bin/orchestrator hook permission")
        );
        assert_eq!(with_hook(&with, Some(&ours)).unwrap(), None, "twice is once");
        let moved = with_hook(&with, Some(&hook("/opt/my tools/orchestrator"))).unwrap().unwrap();
        assert!(
            moved.contains("'/opt/my tools/orchestrator' hook permission") && !moved.contains("/bin/orch"),
            "{moved}"
        );
        assert_eq!(with_hook(&moved, None).unwrap().unwrap(), theirs, "removed is as before");
        assert_eq!(with_hook(theirs, None).unwrap(), None);
        let beside = json!({"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [
            {"type": "command", "command": "orchestrator hook permission"}, {"type": "command", "command": "mine"}]}]}});
        let left: Value = serde_json::from_str(&with_hook(&beside.to_string(), None).unwrap().unwrap()).unwrap();
        let mine = json!([{"matcher": "*", "hooks": [{"type": "command", "command": "mine"}]}]);
        assert_eq!(left["hooks"]["PreToolUse"], mine);
        let fresh = with_hook("", Some(&ours)).unwrap().unwrap();
        assert_eq!(with_hook(&fresh, None).unwrap().unwrap(), "{}\n");
        assert!(with_hook(r#"{"hooks": {"PreToolUse": {}}}"#, None).is_err());
    }

    const THEIRS: &str = "{\n  \"zeta\": [1,   2],\n  \"mcpServers\": {\n    \"other\": {\"command\":\"x\"}\n  },\n  \"alpha\": 1.50\n}\n";

    #[test]
    fn what_is_not_ours_keeps_its_order_and_spelling() {
        let entry = json!({"type": "stdio", "command": "/bin/orchestrator", "args": ["--mcp"]});
        let with = with_server(THEIRS, Some(&entry)).unwrap().unwrap();
        assert!(with.starts_with("{\n  \"zeta\": [1,   2],\n  \"mcpServers\": {\n    \"other\": {\"command\":\"x\"},\n    \"orchestrator\": {"));
        assert!(with.ends_with("  },\n  \"alpha\": 1.50\n}\n"), "{with}");
        assert_eq!(with_server(&with, Some(&entry)).unwrap(), None, "twice is once");
        let moved = json!({"type": "stdio", "command": "/opt/orchestrator", "args": ["--mcp"]});
        assert!(with_server(&with, Some(&moved)).unwrap().unwrap().contains("/opt/"));
        assert_eq!(with_server(&with, None).unwrap().unwrap(), THEIRS, "removed is as before");
        assert_eq!(with_server(THEIRS, None).unwrap(), None);
        let fresh = with_server("", Some(&entry)).unwrap().unwrap();
        assert_eq!(with_server(&fresh, None).unwrap().unwrap(), "{}\n");
    }

    #[test]
    fn permissions_are_added_once_and_taken_out_alone() {
        let theirs =
            "{\n  \"permissions\": {\n    \"allow\": [\n      \"Bash(ls)\"\n    ],\n    \"deny\": []\n  }\n}\n";
        let with = with_permissions(theirs, true).unwrap().unwrap();
        assert!(with.contains("\"Bash(ls)\",\n      \"mcp__orchestrator__process_request\""), "{with}");
        assert_eq!(with_permissions(&with, true).unwrap(), None);
        assert_eq!(with_permissions(&with, false).unwrap().unwrap(), theirs);
        assert_eq!(with_permissions(r#"{"permissions":{"allow":["mcp__orchestrator"]}}"#, true).unwrap(), None);
        assert!(!with.contains("cancel_task") && !with.contains("restore_checkpoint"));
    }

    #[test]
    fn a_file_that_is_no_json_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        fs::write(&path, "// mine\n{}").unwrap();
        let error = edit(&path, |text| with_permissions(text, true)).unwrap_err();
        assert!(error.to_string().contains("settings.json: this is no JSON object"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "// mine\n{}");
        assert!(with_permissions(r#"{"permissions": {"allow": "all"}}"#, true).is_err());
    }

    #[test]
    fn a_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".claude/settings.json");
        assert!(edit(&path, |text| with_permissions(text, true)).unwrap());
        assert!(!edit(&path, |text| with_permissions(text, true)).unwrap());
        assert!(edit(&path, |text| with_permissions(text, false)).unwrap());
        assert!(!path.exists());
    }
}
