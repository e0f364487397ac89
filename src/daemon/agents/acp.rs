//! Agents of the Agent Client Protocol, version 1: our own lenient client. Codex, Gemini, opencode, Claude's adapter.
//!
//! Leniency is the point: an unknown kind in an offer must not cost the whole request, an unknown request gets its
//! error, a line that is no JSON is passed over. The mode is set after the session was made, and what the agent says
//! of it is believed more than what we asked for: in some modes it never asks us.

use serde_json::{Value, json};

use super::{
    claude::{SERVER, shown},
    driver::{AgentDriver, Brief, Launch, OpenAsk, Talk, TurnEnd, Word},
};
use crate::core::agent::{AskVerdict, Usage};

/// The driver.
pub struct Acp;

const INITIALIZE: u64 = 1;
const SESSION: u64 = 2;
const MODE: u64 = 3;
const PROMPT: u64 = 4;

/// Modes in which an agent decides about permissions by itself: never worked in.
const UNASKED: &[&str] = &["auto", "agent", "bypassPermissions", "full-access", "yolo", "dontAsk"];

impl AgentDriver for Acp {
    fn launch(&self, brief: &Brief) -> Launch {
        // Files are read and written on the disk, where the sandbox and the snapshots are: neither is offered here.
        let capabilities = json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false});
        let params = json!({
            "protocolVersion": 1,
            "clientCapabilities": capabilities,
            "clientInfo": {"name": "orchestrator", "version": env!("CARGO_PKG_VERSION")},
        });
        let mut env = Vec::new();
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
            (Some("session/request_permission"), Some(id)) => vec![permission(talk, id, params)],
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
            (None, Some(id)) => reply(talk, id.as_u64().unwrap_or(0), &value),
            (None, None) => vec![Word::Warn("a message is neither a request nor an answer".to_owned())],
        }
    }

    fn answer(&self, talk: &Talk, ask: &OpenAsk, verdict: &AskVerdict) -> Vec<String> {
        let kinds: &[&str] = match verdict {
            // Never "always": that would write a rule inside the agent, and later questions would pass us by.
            AskVerdict::Allow => &["allow_once"],
            AskVerdict::Deny(_) => &["reject_once", "reject_always"],
        };
        let options = ask.options.as_array();
        let option = kinds.iter().find_map(|kind| {
            options.into_iter().flatten().find(|option| option.get("kind").and_then(Value::as_str) == Some(kind))
        });
        let outcome = match option.and_then(|option| option.get("optionId")) {
            Some(id) => json!({"outcome": "selected", "optionId": id}),
            None => json!({"outcome": "cancelled"}),
        };
        let id: Value = serde_json::from_str(&ask.request).unwrap_or(Value::Null);
        let mut lines = vec![json!({"jsonrpc": "2.0", "id": id, "result": {"outcome": outcome}}).to_string()];
        if let AskVerdict::Deny(reason) = verdict
            && talk.brief.mode.as_deref() == Some("workspace-write")
        {
            // Codex ends its turn at a no and never hears why: it is told in a turn of its own.
            let words = format!("That was refused: {reason}\nGo on with your task without it.");
            lines.push(prompt(PROMPT + u64::from(talk.tools) + 1, talk, &words));
        }
        lines
    }

    fn interrupt(&self, talk: &Talk) -> Vec<String> {
        let params = json!({"sessionId": talk.session});
        vec![json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}).to_string()]
    }

    fn abilities(&self) -> &'static [&'static str] {
        &["permission", "resume", "mcp"]
    }
}

fn request(id: u64, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn prompt(id: u64, talk: &Talk, words: &str) -> String {
    let text = json!([{"type": "text", "text": words}]);
    request(id, "session/prompt", json!({"sessionId": talk.session, "prompt": text}))
}

fn session(talk: &Talk) -> String {
    let brief = &talk.brief;
    let servers: Vec<Value> = brief
        .mcp
        .iter()
        .map(|mcp| {
            let env: Vec<Value> = mcp.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"name": SERVER, "command": mcp.command, "args": mcp.args, "env": env})
        })
        .collect();
    let params = json!({"cwd": brief.cwd, "mcpServers": servers});
    match brief.resume {
        true => {
            let mut params = params;
            params["sessionId"] = json!(brief.session);
            request(SESSION, "session/load", params)
        }
        false => request(SESSION, "session/new", params),
    }
}

/// An answer to one of our requests: each leads to the next.
fn reply(talk: &mut Talk, id: u64, value: &Value) -> Vec<Word> {
    if let Some(error) = value.get("error") {
        let said = error.get("message").and_then(Value::as_str).unwrap_or("an error").to_owned();
        if id == MODE {
            return vec![Word::Warn(format!("the mode could not be set: {said}")), mode_is_wrong(talk, &said)];
        }
        let code = error.get("code").and_then(Value::as_i64);
        return vec![over(talk, false, &said, Some(trouble(&said, code)))];
    }
    let result = value.get("result").unwrap_or(&Value::Null);
    match id {
        INITIALIZE => vec![Word::Send(session(talk))],
        SESSION => {
            let id = result.get("sessionId").and_then(Value::as_str).map(str::to_owned);
            talk.session = id.or_else(|| talk.brief.resume.then(|| talk.brief.session.clone()));
            let current = result.pointer("/modes/currentModeId").and_then(Value::as_str).map(str::to_owned);
            match talk.brief.mode.clone() {
                Some(wanted) if current.as_ref() != Some(&wanted) => {
                    let params = json!({"sessionId": talk.session, "modeId": wanted});
                    vec![Word::Send(request(MODE, "session/set_mode", params))]
                }
                _ => begin(talk, current.as_deref()),
            }
        }
        MODE => {
            let mode = talk.brief.mode.clone();
            begin(talk, mode.as_deref())
        }
        _ => {
            if let Some(usage) = result.get("usage").or(result.pointer("/_meta/usage")) {
                talk.usage.tokens = talk.usage.tokens.max(tokens(usage));
            }
            let said = talk.said.clone();
            match result.get("stopReason").and_then(Value::as_str).unwrap_or("end_turn") {
                "end_turn" => vec![over(talk, true, &said, None)],
                "max_tokens" | "max_turn_requests" => vec![over(talk, false, &said, Some("budget".to_owned()))],
                "refusal" => vec![over(talk, false, &said, Some("refused".to_owned()))],
                // A no of ours ends the turn of some; the next prompt is on its way then.
                "cancelled" if !talk.interrupted && talk.brief.mode.as_deref() == Some("workspace-write") => Vec::new(),
                other => vec![over(talk, false, &said, Some(other.to_owned()))],
            }
        }
    }
}

/// The conversation is there: it is told its task, unless it would act without asking.
fn begin(talk: &mut Talk, mode: Option<&str>) -> Vec<Word> {
    match mode {
        Some(mode) if UNASKED.contains(&mode) => vec![mode_is_wrong(talk, mode)],
        _ => {
            let words = talk.brief.prompt.clone();
            vec![Word::Send(prompt(PROMPT, talk, &words))]
        }
    }
}

fn mode_is_wrong(talk: &mut Talk, mode: &str) -> Word {
    let said = format!("it would not ask before it acts (mode {mode}); set agents.NAME.mode to one in which it does");
    over(talk, false, &said, Some("refused".to_owned()))
}

fn over(talk: &mut Talk, done: bool, said: &str, trouble: Option<String>) -> Word {
    talk.end = Some(TurnEnd { done, said: said.to_owned(), trouble });
    Word::TurnEnd
}

fn trouble(said: &str, code: Option<i64>) -> String {
    let lower = said.to_ascii_lowercase();
    let word = match code {
        Some(-32000) => "auth",
        _ if ["usage limit", "rate limit", "quota", "429", "try again at"].iter().any(|word| lower.contains(word)) => {
            "quota"
        }
        _ if ["auth", "login", "api key"].iter().any(|word| lower.contains(word)) => "auth",
        _ => "error",
    };
    word.to_owned()
}

fn update(talk: &mut Talk, update: &Value) -> Vec<Word> {
    let word = |key: &str| update.get(key).and_then(Value::as_str).unwrap_or_default();
    match word("sessionUpdate") {
        "agent_message_chunk" => {
            let text = update.pointer("/content/text").and_then(Value::as_str).unwrap_or_default();
            let said = format!("{}{text}", talk.said);
            talk.says(&said);
            vec![Word::Text(text.to_owned())]
        }
        "tool_call" => {
            let (id, title) = (word("toolCallId").to_owned(), word("title").to_owned());
            let input = update.get("rawInput").cloned().unwrap_or_default();
            let kind = if word("kind").is_empty() { title.clone() } else { word("kind").to_owned() };
            talk.said.clear();
            talk.uses(&kind, &input);
            talk.calls.insert(id, (kind, input.clone()));
            vec![Word::Tool(title, shown(&input))]
        }
        "tool_call_update" => match word("status") {
            "completed" => vec![Word::ToolDone(true)],
            "failed" => vec![Word::ToolDone(false)],
            _ => Vec::new(),
        },
        "usage_update" => {
            talk.usage.tokens = talk.usage.tokens.max(update.get("used").and_then(Value::as_u64).unwrap_or(0));
            let usd = update.pointer("/cost/amount").and_then(Value::as_f64);
            talk.usage = Usage { usd: usd.or(talk.usage.usd), ..talk.usage };
            Vec::new()
        }
        "current_mode_update" if UNASKED.contains(&word("currentModeId")) => {
            let mode = word("currentModeId").to_owned();
            vec![mode_is_wrong(talk, &mode)]
        }
        // A plan, thoughts, commands, and whatever comes later.
        _ => Vec::new(),
    }
}

fn permission(talk: &mut Talk, id: &Value, params: &Value) -> Word {
    let call = params.get("toolCall").unwrap_or(&Value::Null);
    let known = call.get("toolCallId").and_then(Value::as_str).and_then(|id| talk.calls.get(id)).cloned();
    let (kind, input) = known.unwrap_or_default();
    let said = |key: &str| call.get(key).and_then(Value::as_str).map(str::to_owned);
    // Some ask without saying what for: the call that went before says it.
    let tool = said("kind").filter(|kind| !kind.is_empty()).unwrap_or(kind);
    let tool = if tool.is_empty() { said("title").unwrap_or_default() } else { tool };
    let input = call.get("rawInput").filter(|input| !input.is_null()).cloned().unwrap_or(input);
    let input = if input.is_null() { json!({"title": said("title")}) } else { input };
    let options = params.get("options").cloned().unwrap_or_default();
    talk.asks(OpenAsk { request: id.to_string(), tool, input, options })
}

fn tokens(usage: &Value) -> u64 {
    let total = usage.get("totalTokens").or(usage.get("total_tokens")).and_then(Value::as_u64);
    let parts = ["inputTokens", "outputTokens", "cachedReadTokens", "thoughtTokens"];
    total.unwrap_or_else(|| parts.iter().filter_map(|key| usage.get(key).and_then(Value::as_u64)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief() -> Brief {
        Brief { prompt: "do it".into(), cwd: "/lane".into(), mode: Some("default".into()), ..Brief::default() }
    }

    #[test]
    fn each_answer_leads_to_the_next_request_and_the_mode_is_set() {
        let mut talk = Talk::new(brief());
        let mut say = |line: &str| Acp.parse(&mut talk, line);
        let sent = |words: Vec<Word>| match words.into_iter().next() {
            Some(Word::Send(line)) => line,
            other => panic!("nothing was sent: {other:?}"),
        };
        assert!(sent(say(r#"{"id":1,"result":{"protocolVersion":1}}"#)).contains("session/new"));
        let new = r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"agent","availableModes":[]}}}"#;
        assert!(sent(say(new)).contains("session/set_mode"));
        assert!(sent(say(r#"{"id":3,"result":null}"#)).contains("do it"));
        assert!(
            matches!(say(r#"{"id":9,"method":"fs/read_text_file","params":{}}"#).as_slice(), [Word::Send(line)] if line.contains("-32601"))
        );
        let ask = r#"{"id":5,"method":"session/request_permission","params":{"toolCall":{"toolCallId":"c","kind":"execute","rawInput":{"command":"ls"}},"options":[{"optionId":"odd","kind":"ask_my_mother"},{"optionId":"once","kind":"allow_once"},{"optionId":"no","kind":"reject_once"}]}}"#;
        assert!(matches!(say(ask).as_slice(), [Word::Ask(_)]));
        assert_eq!(say(r#"{"id":4,"result":{"stopReason":"end_turn"}}"#), [Word::TurnEnd]);
        let open = talk.asks["5"].clone();
        assert!(Acp.answer(&talk, &open, &AskVerdict::Allow)[0].contains("\"optionId\":\"once\""));
        assert!(Acp.answer(&talk, &open, &AskVerdict::Deny("no".into()))[0].contains("\"optionId\":\"no\""));
        assert!(talk.end.unwrap().done);
    }

    #[test]
    fn a_mode_in_which_it_would_not_ask_is_refused() {
        let mut talk = Talk::new(Brief { mode: None, ..brief() });
        Acp.parse(&mut talk, r#"{"id":1,"result":{}}"#);
        let words = Acp.parse(&mut talk, r#"{"id":2,"result":{"sessionId":"s","modes":{"currentModeId":"agent"}}}"#);
        assert_eq!(words, [Word::TurnEnd]);
        let end = talk.end.unwrap();
        assert_eq!((end.done, end.trouble.as_deref()), (false, Some("refused")));
    }
}
