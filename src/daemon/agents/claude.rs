//! Claude Code, headless: stream-json both ways, permissions asked over its standard streams.
//!
//! It is given no settings but ours: a rule in the user's or the repository's own files would answer what our gate is
//! to answer. Its exit status is not looked at: it ends with 0 after tools were refused.

use serde_json::{Value, json};

use super::driver::{AgentDriver, Brief, Launch, OpenAsk, Talk, TurnEnd, Word};
use crate::core::agent::{AskVerdict, Usage};

/// The driver.
pub struct Claude;

/// Tools that only make sense with a person at its terminal, or that leave the lane.
const WITHOUT: &str = "AskUserQuestion,EnterPlanMode,ExitPlanMode,EnterWorktree,ExitWorktree,CronCreate,ScheduleWakeup";

/// The name that our server has in its configuration; its tools are `mcp__orchestrator__…`.
pub const SERVER: &str = "orchestrator";

impl AgentDriver for Claude {
    fn launch(&self, brief: &Brief) -> Launch {
        let mut servers = serde_json::Map::new();
        if let Some(mcp) = &brief.mcp {
            let server = json!({"type": "stdio", "command": mcp.command, "args": mcp.args, "env": mcp.env});
            servers.insert(SERVER.to_owned(), server);
        }
        let config = json!({ "mcpServers": servers }).to_string();
        let mut argv = brief.command.clone();
        for word in [
            "-p",
            "--input-format",
            "stream-json",
            "--output-format",
            "stream-json",
            "--verbose",
            "--permission-prompt-tool",
            "stdio",
            "--permission-mode",
            "default",
            "--setting-sources",
            "",
            "--strict-mcp-config",
            "--mcp-config",
            &config,
            "--disallowedTools",
            WITHOUT,
            if brief.resume { "--resume" } else { "--session-id" },
            &brief.session,
        ] {
            argv.push(word.to_owned());
        }
        if let Some(model) = &brief.model {
            argv.extend(["--model".to_owned(), model.clone()]);
        }
        if let Some(usd) = brief.usd {
            argv.extend(["--max-budget-usd".to_owned(), format!("{usd:.2}")]);
        }
        let first = vec![
            json!({"type": "control_request", "request_id": "hello", "request": {"subtype": "initialize"}}).to_string(),
            json!({"type": "user", "message": {"role": "user", "content": brief.prompt}}).to_string(),
        ];
        Launch { argv, env: Vec::new(), first }
    }

    fn parse(&self, talk: &mut Talk, line: &str) -> Vec<Word> {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            return if line.trim().is_empty() {
                Vec::new()
            } else {
                vec![Word::Warn(format!("not JSON: {}", cut(line)))]
            };
        };
        match text(&value, "type") {
            "system" => system(talk, &value),
            "assistant" => assistant(talk, &value),
            "user" => results(&value),
            "control_request" => control(talk, &value),
            "control_cancel_request" => {
                let request = text(&value, "request_id").to_owned();
                talk.asks.remove(&request);
                vec![Word::Withdrawn(request)]
            }
            "rate_limit_event" => limited(talk, &value),
            "result" => result(talk, &value),
            // Whatever else a later version says.
            _ => Vec::new(),
        }
    }

    fn answer(&self, _talk: &Talk, ask: &OpenAsk, verdict: &AskVerdict) -> Vec<String> {
        let response = match verdict {
            AskVerdict::Allow => json!({"behavior": "allow", "updatedInput": ask.input}),
            AskVerdict::Deny(reason) => json!({"behavior": "deny", "message": reason}),
        };
        vec![control_response(&ask.request, response)]
    }

    fn interrupt(&self, _talk: &Talk) -> Vec<String> {
        vec![json!({"type": "control_request", "request_id": "stop", "request": {"subtype": "interrupt"}}).to_string()]
    }

    fn chatter(&self, line: &str) -> bool {
        // What tools answered, and what is streamed piece by piece; an assistant's message says what it used.
        serde_json::from_str::<Value>(line)
            .map_or(true, |value| matches!(text(&value, "type"), "user" | "stream_event"))
    }

    fn abilities(&self) -> &'static [&'static str] {
        &["permission", "deny_reason", "resume", "cost", "mcp", "budget"]
    }
}

fn control_response(request: &str, response: Value) -> String {
    let response = json!({"subtype": "success", "request_id": request, "response": response});
    json!({"type": "control_response", "response": response}).to_string()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn system(talk: &mut Talk, value: &Value) -> Vec<Word> {
    match text(value, "subtype") {
        "init" => {
            talk.session = Some(text(value, "session_id").to_owned()).filter(|session| !session.is_empty());
            Vec::new()
        }
        "api_retry" => {
            let number = |key: &str| value.get(key).map(ToString::to_string).unwrap_or_default();
            let what =
                format!("its service answers {}; it tries again ({})", number("error_status"), number("attempt"));
            let mut words = vec![Word::Warn(what)];
            // A key that is refused is refused ten times, for three minutes. Once may be a token that is being renewed.
            let refused = matches!(value.get("error_status").and_then(Value::as_u64), Some(401 | 403));
            let again = value.get("attempt").and_then(Value::as_u64) >= Some(2);
            if refused && again && talk.end.is_none() {
                let said = format!(
                    "its service refuses the key ({}): set ANTHROPIC_API_KEY to one that holds, or log in with `claude`",
                    number("error_status")
                );
                talk.end = Some(TurnEnd { done: false, said, trouble: Some("auth".to_owned()) });
                words.push(Word::TurnEnd);
            }
            words
        }
        "task_started" => {
            talk.background.insert(text(value, "task_id").to_owned());
            Vec::new()
        }
        "task_notification" => {
            talk.background.remove(text(value, "task_id"));
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn assistant(talk: &mut Talk, value: &Value) -> Vec<Word> {
    let message = value.get("message").unwrap_or(&Value::Null);
    if let Some(usage) = message.get("usage") {
        talk.by_message.insert(text(message, "id").to_owned(), tokens(usage));
        let seen = talk.by_message.values().sum();
        talk.usage.tokens = talk.usage.tokens.max(seen);
        talk.usage.usd = talk.usage.usd.or(None);
    }
    let mut words = Vec::new();
    for block in message.get("content").and_then(Value::as_array).into_iter().flatten() {
        match text(block, "type") {
            "text" => {
                talk.says(text(block, "text"));
                words.push(Word::Text(text(block, "text").to_owned()));
            }
            "tool_use" => {
                let input = block.get("input").cloned().unwrap_or_default();
                talk.uses(text(block, "name"), &input);
                words.push(Word::Tool(text(block, "name").to_owned(), shown(&input)));
            }
            _ => {}
        }
    }
    words
}

/// What a tool is used on, in a few words.
pub fn shown(input: &Value) -> String {
    let keys = [
        "command",
        "file_path",
        "filePath",
        "filepath",
        "path",
        "url",
        "query",
        "pattern",
        "description",
        "text",
        "title",
    ];
    let found = keys.iter().find_map(|key| input.get(key).and_then(Value::as_str));
    cut(&found.map_or_else(|| input.to_string(), str::to_owned))
}

fn results(value: &Value) -> Vec<Word> {
    let blocks = value.pointer("/message/content").and_then(Value::as_array);
    let results = blocks.into_iter().flatten().filter(|block| text(block, "type") == "tool_result");
    results.map(|block| Word::ToolDone(block.get("is_error").and_then(Value::as_bool) != Some(true))).collect()
}

fn control(talk: &mut Talk, value: &Value) -> Vec<Word> {
    let request = text(value, "request_id").to_owned();
    let asked = value.get("request").unwrap_or(&Value::Null);
    match text(asked, "subtype") {
        "can_use_tool" => {
            let input = asked.get("input").cloned().unwrap_or_default();
            let tool = text(asked, "tool_name").to_owned();
            vec![talk.asks(OpenAsk { request, tool, input, options: Value::Null })]
        }
        "elicitation" => vec![Word::Send(control_response(&request, json!({"action": "decline"})))],
        other => {
            // Nobody here can do that, and it must not wait for it.
            let error = json!({"subtype": "error", "request_id": request, "error": format!("{other} is not offered")});
            vec![Word::Send(json!({"type": "control_response", "response": error}).to_string())]
        }
    }
}

fn limited(talk: &mut Talk, value: &Value) -> Vec<Word> {
    let info = value.get("rate_limit_info").unwrap_or(value);
    if text(info, "status") != "rejected" {
        return Vec::new();
    }
    let reset = info.get("resetsAt").or(info.get("resets_at")).and_then(Value::as_u64);
    // Seconds, and in some versions milliseconds.
    talk.limited_until_ms = reset.map(|at| if at > 100_000_000_000 { at } else { at * 1000 });
    vec![Word::Warn("its account has nothing left".to_owned())]
}

fn tokens(usage: &Value) -> u64 {
    let keys = ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    keys.iter().filter_map(|key| usage.get(key).and_then(Value::as_u64)).sum()
}

fn result(talk: &mut Talk, value: &Value) -> Vec<Word> {
    if let Some(usage) = value.get("usage") {
        let tokens = talk.usage.tokens.max(tokens(usage));
        let usd = value.get("total_cost_usd").and_then(Value::as_f64);
        talk.usage = Usage { tokens, usd };
    }
    let said = text(value, "result").to_owned();
    let subtype = text(value, "subtype");
    let failed = value.get("is_error").and_then(Value::as_bool) == Some(true) || subtype.starts_with("error");
    let trouble = failed.then(|| trouble(subtype, &said, talk));
    if !said.is_empty() {
        talk.says(&said);
    }
    let end = TurnEnd { done: !failed, said: talk.said.clone(), trouble };
    talk.end = Some(end);
    // Work in the background brings another turn, and another result.
    if talk.background.is_empty() || failed { vec![Word::TurnEnd] } else { Vec::new() }
}

/// A word for what went wrong, from what it says: there is no field for it.
fn trouble(subtype: &str, said: &str, talk: &Talk) -> String {
    let lower = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let word = match subtype {
        "error_max_budget_usd" | "error_max_turns" => "budget",
        _ if talk.limited_until_ms.is_some() => "quota",
        _ if has(&["usage limit", "rate limit", "rate_limit", "429", "quota", "credit balance"]) => "quota",
        _ if has(&["/login", "invalid api key", "authentication", "401", "oauth token"]) => "auth",
        _ => "error",
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(lines: &[&str]) -> (Talk, Vec<Word>) {
        let mut talk = Talk::new(Brief::default());
        let words = lines.iter().flat_map(|line| Claude.parse(&mut talk, line)).collect();
        (talk, words)
    }

    #[test]
    fn a_key_that_is_refused_twice_ends_the_turn_and_an_overloaded_service_does_not() {
        let retry = |status: u64, attempt: u64| {
            format!(
                r#"{{"type":"system","subtype":"api_retry","attempt":{attempt},"max_retries":10,"error_status":{status}}}"#
            )
        };
        let (once, words) = self::talk(&[&retry(401, 1)]);
        assert!(once.end.is_none() && !words.contains(&Word::TurnEnd));
        let (busy, _) = self::talk(&[&retry(529, 1), &retry(529, 2), &retry(529, 3)]);
        assert!(busy.end.is_none());
        let (refused, words) = self::talk(&[&retry(401, 1), &retry(401, 2), &retry(401, 3)]);
        let end = refused.end.expect("it is over");
        assert_eq!((end.done, end.trouble.as_deref()), (false, Some("auth")));
        assert_eq!(words.iter().filter(|word| **word == Word::TurnEnd).count(), 1);
    }

    #[test]
    fn a_turn_is_read_as_the_real_program_tells_it() {
        let (talk, words) = talk(&[
            r#"{"type":"system","subtype":"init","session_id":"s-1","permissionMode":"default"}"#,
            r#"{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"Looking."}],"usage":{"input_tokens":100,"output_tokens":1}}}"#,
            r#"{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"git push"}}],"usage":{"input_tokens":100,"output_tokens":5}}}"#,
            r#"{"type":"control_request","request_id":"r1","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"git push"}}}"#,
            r#"{"type":"user","message":{"content":[{"type":"tool_result","is_error":true,"tool_use_id":"t1"}]}}"#,
            r#"{"type":"result","subtype":"success","is_error":false,"result":"Done.","total_cost_usd":0.5,"usage":{"input_tokens":400,"output_tokens":80}}"#,
        ]);
        assert_eq!(talk.session.as_deref(), Some("s-1"));
        assert_eq!(talk.usage, Usage { tokens: 480, usd: Some(0.5) });
        assert_eq!(talk.end.as_ref().map(|end| (end.done, end.said.as_str())), Some((true, "Done.")));
        assert_eq!(talk.asks.keys().collect::<Vec<_>>(), ["r1"]);
        assert_eq!(words.last(), Some(&Word::TurnEnd));
        let ask = &talk.asks["r1"];
        let denied = Claude.answer(&talk, ask, &AskVerdict::Deny("not here".into()));
        assert!(denied[0].contains("\"behavior\":\"deny\"") && denied[0].contains("not here"), "{denied:?}");
        let allowed = Claude.answer(&talk, ask, &AskVerdict::Allow);
        assert!(allowed[0].contains("\"updatedInput\":{\"command\":\"git push\"}"), "{allowed:?}");
    }

    #[test]
    fn success_that_is_an_error_is_none_and_limits_are_told_apart() {
        let end = |lines: &[&str]| talk(lines).0.end.unwrap();
        let budget = end(&[r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"result":""}"#]);
        assert_eq!((budget.done, budget.trouble.as_deref()), (false, Some("budget")));
        let auth = end(&[
            r#"{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key · Please run /login"}"#,
        ]);
        assert_eq!((auth.done, auth.trouble.as_deref()), (false, Some("auth")));
        let (limited, _) = talk(&[
            r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1800000000}}"#,
            r#"{"type":"result","subtype":"success","is_error":true,"result":"Limit reached"}"#,
        ]);
        assert_eq!(limited.limited_until_ms, Some(1_800_000_000_000));
        assert_eq!(limited.end.unwrap().trouble.as_deref(), Some("quota"));
    }

    #[test]
    fn background_work_brings_a_second_result_and_garbage_does_no_harm() {
        let (talk, words) = talk(&[
            "Some warning on the wrong stream",
            r#"{"type":"system","subtype":"task_started","task_id":"a"}"#,
            r#"{"type":"result","subtype":"success","result":"first"}"#,
            r#"{"type":"system","subtype":"task_notification","task_id":"a"}"#,
            r#"{"type":"something_new","deep":[1]}"#,
            r#"{"type":"control_request","request_id":"x","request":{"subtype":"fancy"}}"#,
            r#"{"type":"result","subtype":"success","result":"second"}"#,
        ]);
        assert_eq!(words.iter().filter(|word| **word == Word::TurnEnd).count(), 1);
        assert_eq!(talk.end.unwrap().said, "second");
        assert!(matches!(&words[0], Word::Warn(_)));
        assert!(words.iter().any(|word| matches!(word, Word::Send(line) if line.contains("fancy is not offered"))));
    }
}
