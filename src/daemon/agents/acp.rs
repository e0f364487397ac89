//! Agents of the Agent Client Protocol, version 1: our own lenient client. Codex, Gemini, opencode, Claude's adapter.
//!
//! Leniency is the point: an unknown kind in an offer must not cost the whole request, an unknown request gets its
//! error, a line that is no JSON is passed over. The mode is set after the session was made, and what the agent says
//! of it is believed more than what we asked for: in some modes it never asks us.
//!
//! The protocol's answer to a question is the name of an option and nothing else. Some end their turn at a no, others go
//! on and guess. So a refusal's reason is told in a turn of its own, as soon as this one is over.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    claude::{SERVER, shown},
    driver::{AgentDriver, Brief, Launch, OpenAsk, Talk, TurnEnd, Word},
};
use crate::core::agent::{AskVerdict, Usage};

/// The driver.
pub struct Acp;

const INITIALIZE: u64 = 1;
const SESSION: u64 = 2;
const ANEW: u64 = 3;
const MODEL: u64 = 4;
const MODE: u64 = 5;
/// The first prompt; each later one has the next number.
const PROMPT: u64 = 100;

/// Modes in which an agent decides about permissions by itself: never worked in.
const UNASKED: &[&str] = &[
    "auto",
    "agent",
    "bypassPermissions",
    "full-access",
    "agent-full-access",
    "yolo",
    "dontAsk",
    "danger-full-access",
];

/// Calls that are under way and remembered; one that floods with them forgets the first.
const CALLS_MAX: usize = 256;

/// Words are handed on a line at a time, and a line that does not end in pieces of this size.
const LINE_BYTES_MAX: usize = 2_000;

/// What is known of a conversation besides what every driver knows.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// How a conversation can be gone on with, if at all.
    resume: Option<&'static str>,
    /// The conversation is not the one that should have gone on.
    began_anew: bool,
    /// The mode, as far as it was said.
    mode: Option<String>,
    /// What may be chosen: modes, models, options.
    modes: Vec<String>,
    models: Vec<String>,
    options: Vec<Choice>,
    /// Prompts sent.
    prompts: u64,
    /// Tokens of the turns that are over.
    turns_tokens: u64,
    /// Words that do not make a line yet.
    line: String,
    /// Calls that are under way.
    calls: BTreeMap<String, Call>,
}

/// A setting of a session that may be chosen.
#[derive(Debug, Clone, Default)]
struct Choice {
    id: String,
    category: String,
    current: String,
    values: Vec<String>,
}

/// A tool call under way.
#[derive(Debug, Clone, Default)]
struct Call {
    /// The tool, if it is named.
    tool: String,
    kind: String,
    title: String,
    input: Map<String, Value>,
    told: bool,
}

impl AgentDriver for Acp {
    fn launch(&self, brief: &Brief) -> Launch {
        // Files are read and written on the disk, where the sandbox and the snapshots are: neither is offered here.
        let capabilities = json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false});
        let params = json!({
            "protocolVersion": 1,
            "clientCapabilities": capabilities,
            "clientInfo": {"name": "orchestrator", "version": env!("CARGO_PKG_VERSION")},
        });
        let mut env = brief.vars.clone();
        if let Some(mode) = &brief.mode {
            // The Codex adapter takes its first mode from here; others do not know the name.
            env.push(("INITIAL_AGENT_MODE".to_owned(), mode.clone()));
        }
        Launch { argv: brief.command.clone(), env, first: vec![request(INITIALIZE, "initialize", params)] }
    }

    fn parse(&self, talk: &mut Talk, line: &str) -> Vec<Word> {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            return if line.trim().is_empty() { Vec::new() } else { vec![Word::Warn("a line is not JSON".to_owned())] };
        };
        let method = value.get("method").and_then(Value::as_str);
        let params = value.get("params").unwrap_or(&Value::Null);
        match (method, value.get("id")) {
            (Some("session/update"), _) => update(talk, params.get("update").unwrap_or(&Value::Null)),
            (Some("session/request_permission"), Some(id)) => permission(talk, id, params),
            (Some("$/cancel_request"), _) => {
                let request = params.get("requestId").or(params.get("id")).unwrap_or(&Value::Null).to_string();
                talk.asks.remove(&request);
                vec![Word::Withdrawn(request)]
            }
            (Some(method), Some(id)) => {
                // Whoever asks for something that nobody offers must not wait for it.
                let error = json!({"code": -32601, "message": format!("{method} is not offered")});
                vec![Word::Send(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())]
            }
            (Some(_), None) => Vec::new(),
            (None, Some(id)) => {
                let number = id.as_u64().or_else(|| id.as_str()?.parse().ok());
                let mut words = flush(talk);
                words.extend(number.map(|number| reply(talk, number, &value)).unwrap_or_default());
                words
            }
            (None, None) => vec![Word::Warn("a message is neither a request nor an answer".to_owned())],
        }
    }

    fn answer(&self, _talk: &Talk, ask: &OpenAsk, verdict: &AskVerdict) -> Vec<String> {
        let outcome = match option(ask, verdict) {
            Some(id) => json!({"outcome": "selected", "optionId": id}),
            None => json!({"outcome": "cancelled"}),
        };
        vec![outcome_of(ask, &outcome)]
    }

    fn unsaid(&self, ask: &OpenAsk, verdict: &AskVerdict) -> Option<String> {
        match verdict {
            AskVerdict::Deny(reason) => Some(reason.clone()),
            AskVerdict::Allow if option(ask, verdict).is_none() => Some(format!(
                "{} would be allowed once, and you offered no such answer: what is allowed for good is not said to an \
                 agent",
                ask.tool
            )),
            AskVerdict::Allow => None,
        }
    }

    fn interrupt(&self, talk: &Talk) -> Vec<String> {
        let Some(session) = &talk.session else { return Vec::new() };
        // Whoever cancels owes an answer to every question that is open.
        let cancelled = json!({"outcome": "cancelled"});
        let mut lines: Vec<String> = talk.asks.values().map(|ask| outcome_of(ask, &cancelled)).collect();
        let params = json!({"sessionId": session});
        lines.push(json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}).to_string());
        lines
    }

    fn chatter(&self, line: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return true };
        let kind = value.pointer("/params/update/sessionUpdate").and_then(Value::as_str).unwrap_or_default();
        match (value.get("method").and_then(Value::as_str), value.get("id")) {
            (Some("session/update"), None) => !matches!(
                kind,
                "tool_call" | "tool_call_update" | "usage_update" | "current_mode_update" | "config_option_update"
            ),
            (Some(method), None) => method != "$/cancel_request",
            (_, Some(_)) => false,
            (None, None) => true,
        }
    }

    fn abilities(&self) -> &'static [&'static str] {
        &["permission", "deny_reason", "resume", "mcp"]
    }
}

fn request(id: u64, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// The option that says what was decided. Never "always": that would write a rule inside the agent, and later questions
/// would pass us by.
fn option<'a>(ask: &'a OpenAsk, verdict: &AskVerdict) -> Option<&'a Value> {
    let kinds: &[&str] = match verdict {
        AskVerdict::Allow => &["allow_once"],
        AskVerdict::Deny(_) => &["reject_once", "reject_always"],
    };
    let options = ask.options.as_array();
    let found = kinds.iter().find_map(|kind| {
        options.into_iter().flatten().find(|option| option.get("kind").and_then(Value::as_str) == Some(kind))
    });
    found?.get("optionId")
}

fn outcome_of(ask: &OpenAsk, outcome: &Value) -> String {
    let id: Value = serde_json::from_str(&ask.request).unwrap_or(Value::Null);
    json!({"jsonrpc": "2.0", "id": id, "result": {"outcome": outcome}}).to_string()
}

/// A prompt; the answer to it, and to no earlier one, ends the turn.
fn prompt(talk: &mut Talk, words: &str) -> Word {
    let text = json!([{"type": "text", "text": words}]);
    let id = PROMPT + talk.acp.prompts;
    talk.acp.prompts += 1;
    Word::Send(request(id, "session/prompt", json!({"sessionId": talk.session, "prompt": text})))
}

fn session(talk: &Talk, resume: Option<&str>) -> Word {
    let brief = &talk.brief;
    let servers: Vec<Value> = brief
        .mcp
        .iter()
        .map(|mcp| {
            let env: Vec<Value> = mcp.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"name": SERVER, "command": mcp.command, "args": mcp.args, "env": env})
        })
        .collect();
    let mut params = json!({"cwd": brief.cwd, "mcpServers": servers});
    Word::Send(match resume {
        Some(method) => {
            params["sessionId"] = json!(brief.session);
            request(SESSION, method, params)
        }
        None => request(if brief.resume { ANEW } else { SESSION }, "session/new", params),
    })
}

/// An answer to one of our requests: each leads to the next.
fn reply(talk: &mut Talk, id: u64, value: &Value) -> Vec<Word> {
    let result = value.get("result").unwrap_or(&Value::Null);
    if let Some(error) = value.get("error") {
        let said = error.get("message").and_then(Value::as_str).unwrap_or("an error").to_owned();
        let more = error.pointer("/data/message").or(error.pointer("/data/details")).and_then(Value::as_str);
        let said = more.filter(|more| !said.contains(more)).map_or(said.clone(), |more| format!("{said}: {more}"));
        return match id {
            SESSION if talk.brief.resume => {
                let what = format!("its conversation cannot be gone on with ({said}); it begins anew");
                vec![Word::Warn(what), session(talk, None)]
            }
            MODEL => vec![over(talk, false, &format!("its model could not be set: {said}"), Some("refused"))],
            MODE => vec![mode_is_wrong(talk, &format!("the mode could not be set: {said}"))],
            INITIALIZE | SESSION | ANEW => vec![broke_off(talk, &said, error)],
            id if id + 1 == PROMPT + talk.acp.prompts => vec![broke_off(talk, &said, error)],
            _ => Vec::new(),
        };
    }
    match id {
        INITIALIZE => {
            let version = result.get("protocolVersion").and_then(Value::as_u64).unwrap_or(1);
            if version != 1 {
                let said =
                    format!("it speaks version {version} of the Agent Client Protocol, and only 1 is spoken here");
                return vec![over(talk, false, &said, Some("error"))];
            }
            let can = |pointer: &str| result.pointer(pointer).is_some_and(|can| !can.is_null() && *can != json!(false));
            // Without a replay where there is a choice.
            talk.acp.resume = match talk.brief.resume {
                true if can("/agentCapabilities/sessionCapabilities/resume") => Some("session/resume"),
                true if can("/agentCapabilities/loadSession") => Some("session/load"),
                _ => None,
            };
            vec![session(talk, talk.acp.resume)]
        }
        SESSION | ANEW => {
            let resumed = id == SESSION && talk.brief.resume;
            let said = result.get("sessionId").and_then(Value::as_str).map(str::to_owned);
            talk.session = said.or_else(|| resumed.then(|| talk.brief.session.clone()));
            if talk.session.is_none() {
                return vec![over(talk, false, "it made a session without an id", Some("error"))];
            }
            talk.acp.began_anew = id == ANEW;
            learn(talk, result);
            set_model(talk)
        }
        MODEL => {
            learn(talk, result);
            set_mode(talk)
        }
        MODE => {
            let before = talk.acp.mode.clone();
            learn(talk, result);
            // Some answer with nothing and say their mode by an update, others not at all.
            if talk.acp.mode == before && !talk.acp.options.iter().any(is_mode) {
                talk.acp.mode.clone_from(&talk.brief.mode);
            }
            match (&talk.acp.mode, &talk.brief.mode) {
                (Some(is), Some(wanted)) if is != wanted => {
                    let what = format!("it says that its mode is {is}, not {wanted}");
                    vec![mode_is_wrong(talk, &what)]
                }
                _ => begin(talk),
            }
        }
        id if id + 1 == PROMPT + talk.acp.prompts => turn_over(talk, result),
        // An answer to an earlier prompt, or to nothing that was asked.
        _ => Vec::new(),
    }
}

fn is_mode(choice: &Choice) -> bool {
    choice.category == "mode" || choice.id == "mode"
}

fn is_model(choice: &Choice) -> bool {
    choice.category == "model" || choice.id == "model"
}

/// What an answer or an update says of modes, models and options.
fn learn(talk: &mut Talk, said: &Value) {
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let ids = |pointer: &str, key: &str| -> Vec<String> {
        let list = said.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|one| word(one, key)).collect()
    };
    let known = &mut talk.acp;
    if let Some(modes) = said.get("modes").filter(|modes| !modes.is_null()) {
        known.mode = word(modes, "currentModeId").or(known.mode.take());
        known.modes = ids("/modes/availableModes", "id");
    }
    if said.get("models").is_some() {
        known.models = ids("/models/availableModels", "modelId");
    }
    if let Some(options) = said.get("configOptions").and_then(Value::as_array) {
        let choice = |option: &Value| {
            let listed = option.get("options").and_then(Value::as_array);
            // Options may be grouped.
            let flat =
                listed.into_iter().flatten().flat_map(|one| match one.get("options").and_then(Value::as_array) {
                    Some(group) => group.iter().collect(),
                    None => vec![one],
                });
            Choice {
                id: word(option, "id").unwrap_or_default(),
                category: word(option, "category").unwrap_or_default(),
                current: word(option, "currentValue").unwrap_or_default(),
                values: flat.filter_map(|one| word(one, "value")).collect(),
            }
        };
        known.options = options.iter().map(choice).collect();
        if let Some(mode) = known.options.iter().find(|choice| is_mode(choice)) {
            known.mode = Some(mode.current.clone());
        }
    }
}

/// The model is set where one is wanted and another is there.
fn set_model(talk: &mut Talk) -> Vec<Word> {
    let Some(wanted) = talk.brief.model.clone() else { return set_mode(talk) };
    if let Some(choice) = talk.acp.options.iter().find(|choice| is_model(choice)) {
        if choice.current == wanted {
            return set_mode(talk);
        }
        if choice.values.contains(&wanted) {
            let params = json!({"sessionId": talk.session, "configId": choice.id, "value": wanted});
            return vec![Word::Send(request(MODEL, "session/set_config_option", params))];
        }
    }
    if talk.acp.models.contains(&wanted) {
        let params = json!({"sessionId": talk.session, "modelId": wanted});
        return vec![Word::Send(request(MODEL, "session/set_model", params))];
    }
    let choice = talk.acp.options.iter().find(|choice| is_model(choice));
    let offered = choice.map_or(&talk.acp.models, |choice| &choice.values);
    let said = match offered.is_empty() {
        true => format!("it offers no choice of models, and agents.NAME.model wants {wanted}"),
        false => format!("it has no model {wanted}; agents.NAME.model may be one of: {}", offered.join(", ")),
    };
    vec![over(talk, false, &said, Some("refused"))]
}

/// The mode is set where one is wanted and another is there.
fn set_mode(talk: &mut Talk) -> Vec<Word> {
    let Some(wanted) = talk.brief.mode.clone() else { return begin(talk) };
    if talk.acp.mode.as_ref() == Some(&wanted) {
        return begin(talk);
    }
    let option = talk.acp.options.iter().find(|choice| is_mode(choice) && choice.values.contains(&wanted));
    if let Some(choice) = option {
        let params = json!({"sessionId": talk.session, "configId": choice.id, "value": wanted});
        return vec![Word::Send(request(MODE, "session/set_config_option", params))];
    }
    if talk.acp.modes.contains(&wanted) {
        let params = json!({"sessionId": talk.session, "modeId": wanted});
        return vec![Word::Send(request(MODE, "session/set_mode", params))];
    }
    let offered = match talk.acp.options.iter().find(|choice| is_mode(choice)) {
        Some(choice) => choice.values.join(", "),
        None => talk.acp.modes.join(", "),
    };
    let what = match offered.is_empty() {
        true => format!("it offers no modes, and {wanted} is wanted"),
        false => format!("it has no mode {wanted}, but: {offered}"),
    };
    vec![mode_is_wrong(talk, &what)]
}

/// The conversation is there: it is told its task, unless it would act without asking.
fn begin(talk: &mut Talk) -> Vec<Word> {
    match talk.acp.mode.clone() {
        Some(mode) if UNASKED.contains(&mode.as_str()) => vec![unasked(talk, &mode)],
        _ => {
            let anew = talk.acp.began_anew && !talk.brief.anew.is_empty();
            let words = if anew { talk.brief.anew.clone() } else { talk.brief.prompt.clone() };
            vec![prompt(talk, &words)]
        }
    }
}

fn unasked(talk: &mut Talk, mode: &str) -> Word {
    mode_is_wrong(talk, &format!("it would not ask before it acts (mode {mode})"))
}

fn mode_is_wrong(talk: &mut Talk, what: &str) -> Word {
    let said = format!("{what}; set agents.NAME.mode to one in which it asks");
    over(talk, false, &said, Some("refused"))
}

/// The turn's answer came.
fn turn_over(talk: &mut Talk, result: &Value) -> Vec<Word> {
    let usage = result.get("usage").or(result.pointer("/_meta/usage")).or(result.pointer("/_meta/quota/token_count"));
    if let Some(usage) = usage.filter(|usage| !usage.is_null()) {
        talk.acp.turns_tokens += tokens(usage);
        talk.usage.tokens = talk.usage.tokens.max(talk.acp.turns_tokens);
    }
    let said = talk.said.clone();
    let stop = result.get("stopReason").and_then(Value::as_str).unwrap_or_default();
    match stop {
        "end_turn" | "cancelled" if !talk.refusals.is_empty() && !talk.interrupted => {
            let reasons = std::mem::take(&mut talk.refusals).join("\n");
            let words = format!(
                "What you asked for was refused: {reasons}\nGo on with your task without it; if it is done, say so."
            );
            vec![prompt(talk, &words)]
        }
        "end_turn" => vec![over(talk, true, &said, None)],
        "max_tokens" | "max_turn_requests" => {
            vec![over(talk, false, &or(said, "its turn grew too long"), Some("budget"))]
        }
        "refusal" => vec![over(talk, false, &or(said, "it refuses to do this"), Some("refused"))],
        "cancelled" => vec![over(talk, false, &or(said, "its turn was cancelled"), Some("cancelled"))],
        "" => vec![over(talk, false, "its turn ended without a reason", Some("error"))],
        other => vec![over(talk, false, &format!("its turn ended: {other}"), Some("error"))],
    }
}

fn or(said: String, otherwise: &str) -> String {
    if said.trim().is_empty() { otherwise.to_owned() } else { said }
}

/// How a turn ended; the first word counts.
fn over(talk: &mut Talk, done: bool, said: &str, trouble: Option<&str>) -> Word {
    if talk.end.is_none() {
        talk.end = Some(TurnEnd { done, said: said.to_owned(), trouble: trouble.map(str::to_owned) });
    }
    Word::TurnEnd
}

/// An error instead of an answer. What its account has left, and until when, is in its data, if it is said at all.
fn broke_off(talk: &mut Talk, said: &str, error: &Value) -> Word {
    let trouble = trouble(said, error.get("code").and_then(Value::as_i64), error.get("data").unwrap_or(&Value::Null));
    if trouble == "quota" {
        let reset = ["resetsAt", "resets_at", "resetAt"].iter().find_map(|key| find(error, key)?.as_u64());
        // Seconds, and with some milliseconds.
        talk.limited_until_ms = reset.map(|at| if at > 100_000_000_000 { at } else { at * 1000 });
    }
    over(talk, false, said, Some(trouble))
}

/// The first value of that name, wherever it is.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(key).or_else(|| fields.values().find_map(|value| find(value, key))),
        Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

fn trouble(said: &str, code: Option<i64>, data: &Value) -> &'static str {
    let text = format!("{said} {}", if data.is_null() { String::new() } else { data.to_string() }).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match code {
        _ if has(&["usage limit", "usagelimit", "rate limit", "rate_limit", "quota", "429", "try again at"]) => "quota",
        Some(-32000) => "auth",
        _ if has(&["auth", "login", "log in", "api key", "api_key"]) => "auth",
        _ => "error",
    }
}

/// What is left of words that make no line yet.
fn flush(talk: &mut Talk) -> Vec<Word> {
    match talk.acp.line.is_empty() {
        true => Vec::new(),
        false => vec![Word::Text(std::mem::take(&mut talk.acp.line))],
    }
}

fn update(talk: &mut Talk, update: &Value) -> Vec<Word> {
    // Before the session is there, what is told is what was: a conversation that goes on is played back.
    if talk.session.is_none() {
        return Vec::new();
    }
    let word = |key: &str| update.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut words = if word("sessionUpdate") == "agent_message_chunk" { Vec::new() } else { flush(talk) };
    match word("sessionUpdate") {
        "agent_message_chunk" => {
            let text = update.pointer("/content/text").and_then(Value::as_str).unwrap_or_default();
            let said = format!("{}{text}", talk.said);
            talk.says(&said);
            talk.acp.line.push_str(text);
            if let Some(end) = talk.acp.line.rfind('\n') {
                let rest = talk.acp.line.split_off(end + 1);
                let lines = std::mem::replace(&mut talk.acp.line, rest);
                words.push(Word::Text(lines.trim_end().to_owned()));
            } else if talk.acp.line.len() > LINE_BYTES_MAX {
                words.extend(flush(talk));
            }
        }
        kind @ ("tool_call" | "tool_call_update") => {
            if kind == "tool_call" {
                talk.said.clear();
            }
            let id = word("toolCallId").to_owned();
            words.extend(called(talk, &id, update));
            if matches!(word("status"), "completed" | "failed") {
                let call = talk.acp.calls.remove(&id).unwrap_or_default();
                talk.uses(call.name(), &Value::Object(call.input.clone()));
                if !call.told {
                    words.push(call.word());
                }
                words.push(Word::ToolDone(word("status") == "completed"));
            }
        }
        "usage_update" => {
            talk.usage.tokens = talk.usage.tokens.max(update.get("used").and_then(Value::as_u64).unwrap_or(0));
            let dollars = update.pointer("/cost/currency").is_none_or(|currency| currency == "USD");
            let usd = update.pointer("/cost/amount").and_then(Value::as_f64).filter(|_| dollars);
            talk.usage = Usage { usd: usd.or(talk.usage.usd), ..talk.usage };
        }
        "current_mode_update" => {
            talk.acp.mode = Some(word("currentModeId").to_owned());
            words.extend(mode_changed(talk));
        }
        "config_option_update" => {
            learn(talk, update);
            words.extend(mode_changed(talk));
        }
        // A plan, thoughts, commands, and whatever comes later.
        _ => {}
    }
    words
}

/// It works, and says that it is in another mode by now: in one in which it does not ask it must not go on.
fn mode_changed(talk: &mut Talk) -> Option<Word> {
    let mode = talk.acp.mode.clone()?;
    (talk.acp.prompts > 0 && UNASKED.contains(&mode.as_str())).then(|| unasked(talk, &mode))
}

/// Notes what is said of a call; it is told as soon as it is known what for.
fn called(talk: &mut Talk, id: &str, said: &Value) -> Option<Word> {
    if !talk.acp.calls.contains_key(id) && talk.acp.calls.len() >= CALLS_MAX {
        talk.acp.calls.pop_first();
    }
    let call = talk.acp.calls.entry(id.to_owned()).or_default();
    call.learn(said);
    (!call.told && !call.input.is_empty()).then(|| {
        call.told = true;
        call.word()
    })
}

impl Call {
    /// Takes in what is said of it; what was known and is not said again stays.
    fn learn(&mut self, said: &Value) {
        let word = |key: &str| said.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        if let Some(title) = word("title") {
            title.clone_into(&mut self.title);
        }
        if let Some(kind) = word("kind") {
            kind.clone_into(&mut self.kind);
        }
        if let Some(tool) = said.pointer("/_meta/claudeCode/toolName").and_then(Value::as_str) {
            tool.clone_into(&mut self.tool);
        }
        for (key, value) in said.get("rawInput").and_then(Value::as_object).into_iter().flatten() {
            self.input.insert(key.clone(), value.clone());
        }
        let listed = |key: &str| said.get(key).and_then(Value::as_array).into_iter().flatten();
        // What it is about: places, and the files of the differences that it would make.
        let differences = listed("content").filter(|one| one.get("type").and_then(Value::as_str) == Some("diff"));
        let places = listed("locations").chain(differences).filter_map(|one| one.get("path")?.as_str());
        let places: Vec<Value> = places.map(|path| json!({"path": path})).collect();
        if !places.is_empty() && !self.kind.is_empty() && self.kind != "execute" {
            self.input.insert("locations".to_owned(), Value::Array(places));
        }
    }

    /// What it is judged and counted by: the tool that is named, or the protocol's word for its kind.
    fn name(&self) -> &str {
        [&self.tool, &self.kind, &self.title].into_iter().find(|name| !name.is_empty()).map_or("a tool", String::as_str)
    }

    fn word(&self) -> Word {
        let input = Value::Object(self.input.clone());
        let what = if self.input.is_empty() { self.title.clone() } else { shown(&input) };
        Word::Tool(self.name().to_owned(), what)
    }
}

fn permission(talk: &mut Talk, id: &Value, params: &Value) -> Vec<Word> {
    let mut words = flush(talk);
    let said = params.get("toolCall").unwrap_or(&Value::Null);
    // Some ask without saying what for: the call that went before says it.
    let number = said.get("toolCallId").and_then(Value::as_str).unwrap_or_default().to_owned();
    words.extend(called(talk, &number, said));
    let call = talk.acp.calls.get(&number).cloned().unwrap_or_default();
    let mut input = call.input.clone();
    if input.is_empty() && call.kind == "execute" {
        // Gemini's title is the command, whole, and there is no other word of it.
        input.insert("command".to_owned(), json!(call.title));
    } else if input.is_empty() {
        input.insert("title".to_owned(), json!(call.title));
    }
    let tool = own_tool(&call, said).unwrap_or_else(|| call.name().to_owned());
    let options = params.get("options").cloned().unwrap_or_default();
    words.push(talk.asks(OpenAsk { request: id.to_string(), tool, input: Value::Object(input), options }));
    words
}

/// The name of one of our own tools, where it is one: each agent has a way of its own to say so.
fn own_tool(call: &Call, said: &Value) -> Option<String> {
    let name = |tool: &str| format!("mcp__{SERVER}__{tool}");
    let field = |key: &str| call.input.get(key).and_then(Value::as_str);
    // Codex: the call that went before names server and tool.
    if field("server") == Some(SERVER) {
        return field("tool").map(name);
    }
    // Gemini: the call's number begins with it.
    let number = said.get("toolCallId").and_then(Value::as_str).unwrap_or_default();
    let rest = number.strip_prefix("mcp_").unwrap_or(number).strip_prefix(SERVER)?;
    let tool = rest.trim_start_matches(['_', '.', '/']).split("__").next()?;
    (!tool.is_empty()).then(|| name(tool))
}

fn tokens(usage: &Value) -> u64 {
    let number = |key: &&str| usage.get(*key).and_then(Value::as_u64);
    let parts = ["inputTokens", "outputTokens", "cachedReadTokens", "thoughtTokens", "input_tokens", "output_tokens"];
    let total = ["totalTokens", "total_tokens"].iter().find_map(number);
    total.unwrap_or_else(|| parts.iter().filter_map(number).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief() -> Brief {
        Brief { prompt: "do it".into(), cwd: "/lane".into(), mode: Some("default".into()), ..Brief::default() }
    }

    /// What is sent for a line.
    fn sent(talk: &mut Talk, line: &str) -> String {
        let words = Acp.parse(talk, line);
        match words.iter().find_map(|word| if let Word::Send(line) = word { Some(line.clone()) } else { None }) {
            Some(line) => line,
            None => panic!("nothing was sent: {words:?}"),
        }
    }

    /// A conversation that was told its task.
    fn begun() -> Talk {
        let mut talk = Talk::new(Brief { mode: None, ..brief() });
        sent(&mut talk, r#"{"id":1,"result":{"protocolVersion":1}}"#);
        assert!(sent(&mut talk, r#"{"id":2,"result":{"sessionId":"s"}}"#).contains("do it"));
        talk
    }

    fn end(talk: &Talk) -> (bool, Option<&str>, &str) {
        let end = talk.end.as_ref().unwrap();
        (end.done, end.trouble.as_deref(), &end.said)
    }

    const ASK: &str = r#"{"id":5,"method":"session/request_permission","params":{"toolCall":{"toolCallId":"c","kind":"execute","rawInput":{"command":"ls"}},"options":[{"optionId":"odd","kind":"ask_my_mother"},{"optionId":"once","kind":"allow_once"},{"optionId":"no","kind":"reject_once"}]}}"#;

    #[test]
    fn each_answer_leads_to_the_next_request_and_the_mode_is_set() {
        let mut talk = Talk::new(brief());
        assert!(sent(&mut talk, r#"{"id":1,"result":{"protocolVersion":1}}"#).contains("session/new"));
        let new = r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"agent","availableModes":[{"id":"default"}]}}}"#;
        assert!(sent(&mut talk, new).contains("session/set_mode"));
        assert!(sent(&mut talk, r#"{"id":"5","result":null}"#).contains("do it"));
        assert!(sent(&mut talk, r#"{"id":9,"method":"fs/read_text_file","params":{}}"#).contains("-32601"));
        assert!(matches!(Acp.parse(&mut talk, ASK).last(), Some(Word::Ask(_))));
        assert_eq!(Acp.parse(&mut talk, r#"{"id":100,"result":{"stopReason":"end_turn"}}"#), [Word::TurnEnd]);
        let open = talk.asks["5"].clone();
        assert!(Acp.answer(&talk, &open, &AskVerdict::Allow)[0].contains("\"optionId\":\"once\""));
        assert!(Acp.answer(&talk, &open, &AskVerdict::Deny("no".into()))[0].contains("\"optionId\":\"no\""));
        assert!(talk.end.unwrap().done);
    }

    #[test]
    fn a_mode_in_which_it_would_not_ask_is_refused_whenever_it_is_said() {
        let mut talk = Talk::new(Brief { mode: None, ..brief() });
        Acp.parse(&mut talk, r#"{"id":1,"result":{}}"#);
        let words = Acp.parse(&mut talk, r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"agent"}}}"#);
        assert_eq!(words, [Word::TurnEnd]);
        assert_eq!((end(&talk).0, end(&talk).1), (false, Some("refused")));

        // It was set, and something else is said to be in force.
        let mut talk = Talk::new(brief());
        Acp.parse(&mut talk, r#"{"id":1,"result":{}}"#);
        let new = r#"{"id":2,"result":{"sessionId":"s","configOptions":[{"id":"m","category":"mode","currentValue":"auto","options":[{"value":"default"},{"value":"auto"}]}]}}"#;
        assert!(sent(&mut talk, new).contains("session/set_config_option"));
        let said =
            r#"{"id":5,"result":{"configOptions":[{"id":"m","category":"mode","currentValue":"auto","options":[]}]}}"#;
        assert_eq!(Acp.parse(&mut talk, said), [Word::TurnEnd]);
        assert!(end(&talk).2.contains("its mode is auto, not default"), "{:?}", talk.end);

        // It does not have it at all.
        let mut talk = Talk::new(brief());
        Acp.parse(&mut talk, r#"{"id":1,"result":{}}"#);
        let new = r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"ask","availableModes":[{"id":"ask"},{"id":"yolo"}]}}}"#;
        assert_eq!(Acp.parse(&mut talk, new), [Word::TurnEnd]);
        assert!(end(&talk).2.contains("it has no mode default, but: ask, yolo"), "{:?}", talk.end);

        // It changes its mode while it works; what it says afterwards does not make that good.
        let mut talk = begun();
        let changed = r#"{"method":"session/update","params":{"update":{"sessionUpdate":"current_mode_update","currentModeId":"yolo"}}}"#;
        assert_eq!(Acp.parse(&mut talk, changed), [Word::TurnEnd]);
        Acp.parse(&mut talk, r#"{"id":100,"result":{"stopReason":"end_turn"}}"#);
        assert_eq!((end(&talk).0, end(&talk).1), (false, Some("refused")));
    }

    #[test]
    fn stop_reasons_are_told_apart_and_a_turn_without_one_is_not_done() {
        let stopped = |answer: &str| {
            let mut talk = begun();
            Acp.parse(&mut talk, answer);
            let end = talk.end.unwrap();
            (end.done, end.trouble)
        };
        let trouble = |word: &str| (false, Some(word.to_owned()));
        assert_eq!(stopped(r#"{"id":100,"result":{"stopReason":"end_turn"}}"#), (true, None));
        assert_eq!(stopped(r#"{"id":100,"result":{"stopReason":"refusal"}}"#), trouble("refused"));
        assert_eq!(stopped(r#"{"id":100,"result":{"stopReason":"max_tokens"}}"#), trouble("budget"));
        assert_eq!(stopped(r#"{"id":100,"result":{"stopReason":"cancelled"}}"#), trouble("cancelled"));
        assert_eq!(stopped(r#"{"id":100,"result":{"stopReason":"tea_time"}}"#), trouble("error"));
        assert_eq!(stopped(r#"{"id":100,"result":{}}"#), trouble("error"));
        assert_eq!(stopped(r#"{"id":100,"error":{"code":-32000,"message":"log in first"}}"#), trouble("auth"));
        let quota =
            r#"{"id":100,"error":{"code":-32603,"message":"no","data":{"codexErrorInfo":"usageLimitExceeded"}}}"#;
        assert_eq!(stopped(quota), trouble("quota"));
        // An answer that nobody asked for ends nothing.
        let mut talk = begun();
        assert!(Acp.parse(&mut talk, r#"{"id":77,"result":{"stopReason":"end_turn"}}"#).is_empty());
        assert!(talk.end.is_none());
    }

    #[test]
    fn a_refusals_reason_is_told_in_a_turn_of_its_own_however_this_one_ends() {
        for stop in ["cancelled", "end_turn"] {
            let mut talk = begun();
            Acp.parse(&mut talk, ASK);
            let ask = talk.asks.remove("5").unwrap();
            talk.refusals.extend(Acp.unsaid(&ask, &AskVerdict::Deny("it is Friday".into())));
            let over = json!({"id": 100, "result": {"stopReason": stop}}).to_string();
            let told = sent(&mut talk, &over);
            assert!(told.contains("it is Friday") && told.contains("\"id\":101"), "{told}");
            // The first turn's answer, come twice, is not the second's.
            assert!(Acp.parse(&mut talk, &over).is_empty());
            assert_eq!(Acp.parse(&mut talk, r#"{"id":101,"result":{"stopReason":"end_turn"}}"#), [Word::TurnEnd]);
            assert!(end(&talk).0);
        }
    }

    #[test]
    fn a_conversation_that_goes_on_is_not_read_twice_and_begins_anew_where_it_is_gone() {
        let resumed = || {
            let brief = Brief { resume: true, session: "old".into(), anew: "all of it".into(), mode: None, ..brief() };
            let mut talk = Talk::new(brief);
            let can = r#"{"id":1,"result":{"agentCapabilities":{"loadSession":true}}}"#;
            let load = sent(&mut talk, can);
            assert!(load.contains("session/load") && load.contains("\"sessionId\":\"old\""), "{load}");
            talk
        };
        let mut talk = resumed();
        let replayed = r#"{"method":"session/update","params":{"update":{"sessionUpdate":"usage_update","used":900,"cost":{"amount":3.0}}}}"#;
        assert!(Acp.parse(&mut talk, replayed).is_empty());
        assert_eq!(talk.usage, Usage::default());
        assert!(sent(&mut talk, r#"{"id":2,"result":{}}"#).contains("do it"));
        assert_eq!(talk.session.as_deref(), Some("old"));

        let mut talk = resumed();
        let gone = r#"{"id":2,"error":{"code":-32002,"message":"no such session"}}"#;
        assert!(sent(&mut talk, gone).contains("session/new"));
        assert!(sent(&mut talk, r#"{"id":3,"result":{"sessionId":"new"}}"#).contains("all of it"));
        assert_eq!(talk.session.as_deref(), Some("new"));
    }

    #[test]
    fn a_call_is_known_by_all_that_was_said_of_it() {
        let mut talk = begun();
        let mut say = |update: Value| {
            Acp.parse(&mut talk, &json!({"method": "session/update", "params": {"update": update}}).to_string())
        };
        // The input comes later, in parts; a call is told once, and counted when it is over.
        assert!(say(json!({"sessionUpdate": "tool_call", "toolCallId": "a", "kind": "edit", "title": "Preparing", "rawInput": {}})).is_empty());
        let told =
            say(json!({"sessionUpdate": "tool_call_update", "toolCallId": "a", "rawInput": {"filePath": "x.rs"}}));
        assert_eq!(told, [Word::Tool("edit".into(), "x.rs".into())]);
        assert!(
            say(json!({"sessionUpdate": "tool_call_update", "toolCallId": "a", "rawInput": {"content": "…"}}))
                .is_empty()
        );
        assert_eq!(
            say(json!({"sessionUpdate": "tool_call_update", "toolCallId": "a", "status": "completed"})),
            [Word::ToolDone(true)]
        );
        assert_eq!((talk.tools, talk.acp.calls.len()), (1, 0));
        let mut ask = |call: Value| {
            let ask =
                json!({"id": 7, "method": "session/request_permission", "params": {"toolCall": call, "options": []}});
            match Acp.parse(&mut talk, &ask.to_string()).pop() {
                Some(Word::Ask(ask)) => (ask.tool, ask.input),
                other => panic!("{other:?}"),
            }
        };
        // Gemini: the title is the command; an edit has its places.
        assert_eq!(
            ask(json!({"toolCallId": "g", "kind": "execute", "title": "rm -rf x", "locations": []})),
            ("execute".into(), json!({"command": "rm -rf x"}))
        );
        let edit = json!({"toolCallId": "h", "kind": "edit", "title": "Writing", "content": [{"type": "diff", "path": "/lane/a"}]});
        assert_eq!(ask(edit), ("edit".into(), json!({"locations": [{"path": "/lane/a"}]})));
        // Claude's adapter names the tool; Codex says nothing, and the call before did.
        let named = json!({"toolCallId": "i", "kind": "other", "rawInput": {"a": 1}, "_meta": {"claudeCode": {"toolName": "mcp__orchestrator__notes"}}});
        assert_eq!(ask(named).0, "mcp__orchestrator__notes");
    }
}
