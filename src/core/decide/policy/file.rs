//! Reads policy files: every rule is checked, its examples too, and what is wrong is said with file and line.

use std::fmt;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;
use toml::Spanned;

use super::{
    ErrorPattern, Prior, Rule, Tier,
    condition::{Answer, Condition, Samples, place, variables},
};
use crate::{
    core::{
        decide::gate::Verdict,
        recover::classify::{Class, Route},
    },
    time::Timestamp,
};

/// One policy file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Whose it is.
    pub tier: Tier,
    /// Its name, for messages.
    pub file: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// Why a policy file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// `file:line: what is wrong`.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<i64>,
    #[serde(default)]
    rules: Vec<Spanned<RawRule>>,
    #[serde(default)]
    error_patterns: Vec<Spanned<RawPattern>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: Spanned<String>,
    when: Spanned<String>,
    verdict: Verdict,
    action: Option<String>,
    #[serde(default)]
    reason: String,
    confidence: Option<Spanned<f64>>,
    prior: Option<Spanned<Prior>>,
    #[serde(default, rename = "match")]
    matching: Vec<Spanned<Json>>,
    #[serde(default)]
    not_match: Vec<Spanned<Json>>,
    expires: Option<Spanned<toml::value::Datetime>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPattern {
    id: Spanned<String>,
    text: Spanned<String>,
    class: Class,
    route: Route,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Read {
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Its error patterns.
    pub patterns: Vec<ErrorPattern>,
    /// What was left out, and why; for people.
    pub notes: Vec<String>,
}

/// Reads one file.
pub fn read(source: &Source) -> Result<Read, PolicyError> {
    let line = |offset: usize| source.text[..offset.min(source.text.len())].matches('\n').count() + 1;
    let bad = |offset: usize, message: String, hint: &str| PolicyError {
        message: format!("{}:{}: {message}", source.file, line(offset)),
        hint: hint.to_owned(),
    };
    let file: File = toml::from_str(source.text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        bad(
            offset,
            error.message().to_owned(),
            "`orchestrator policy list` shows rules as they are written; see SCHEMAS S6",
        )
    })?;
    if *file.version.get_ref() != 1 {
        let what = format!("version {} of policy files is not known here", file.version.get_ref());
        return Err(bad(file.version.span().start, what, "write version = 1, or use a newer program"));
    }
    let mut read = Read::default();
    let samples = Samples::of_each_kind();
    for raw in file.rules {
        let at = raw.get_ref().id.span().start;
        let (when_at, raw) = (raw.get_ref().when.span().start, raw.into_inner());
        let id = raw.id.get_ref().clone();
        if !is_id(&id) {
            return Err(bad(at, format!("`{id}` is no id for a rule"), "use small letters, digits, - and _"));
        }
        if read.rules.iter().any(|rule| rule.id == id) {
            return Err(bad(at, format!("there are two rules `{id}`"), "give each rule an id of its own"));
        }
        if raw.verdict == Verdict::None {
            return Err(bad(at, format!("rule {id}: `none` is no verdict"), "write allow, escalate or deny"));
        }
        let condition = Condition::new(raw.when.get_ref(), &samples)
            .map_err(|wrong| bad(when_at, format!("rule {id}: {}", wrong.message), &wrong.hint))?;
        let confidence = match &raw.confidence {
            Some(confidence) if !(0.0..=1.0).contains(confidence.get_ref()) => {
                return Err(bad(
                    confidence.span().start,
                    format!("rule {id}: confidence is not in 0..1"),
                    "it only orders explanations",
                ));
            }
            Some(confidence) => *confidence.get_ref(),
            None => 1.0,
        };
        let prior = match raw.prior {
            Some(prior) => {
                let span = prior.span().start;
                let prior = prior.into_inner();
                let fits = (0.0..=4.0).contains(&prior.strength) && (0.0..=1.0).contains(&prior.p);
                if !fits {
                    return Err(bad(
                        span,
                        format!("rule {id}: a prior has strength 0..4 and p 0..1"),
                        "a rule weighs as much as four answers at most",
                    ));
                }
                Some(prior)
            }
            None => None,
        };
        for (examples, expected) in [(&raw.matching, true), (&raw.not_match, false)] {
            for example in examples {
                check_example(&condition, example, expected).map_err(|what| {
                    bad(example.span().start, format!("rule {id}: {what}"), "mend the condition or the example")
                })?;
            }
        }
        let expires = match &raw.expires {
            Some(when) => Some(day(when.get_ref()).ok_or_else(|| {
                bad(
                    when.span().start,
                    format!("rule {id}: `{}` is no day", when.get_ref()),
                    "write it as in expires = 2027-01-01",
                )
            })?),
            None => None,
        };
        if source.tier == Tier::Project && raw.verdict == Verdict::Allow {
            read.notes.push(format!(
                "{}:{}: rule {id} is left out: files of a project may forbid and ask, but not allow; who wants it puts it into \
                 the user's own policy.toml",
                source.file,
                line(at)
            ));
            continue;
        }
        read.rules.push(Rule {
            id,
            tier: source.tier,
            condition,
            verdict: raw.verdict,
            action: raw.action.unwrap_or_else(|| default_action(raw.verdict).to_owned()),
            reason: raw.reason,
            confidence,
            prior,
            expires,
            place: format!("{}:{}", source.file, line(at)),
        });
    }
    for raw in file.error_patterns {
        let raw = raw.into_inner();
        let id = raw.id.get_ref().clone();
        let pattern = Regex::new(raw.text.get_ref())
            .map_err(|error| bad(raw.text.span().start, format!("error pattern {id}: {error}"), "mend the pattern"))?;
        let loosens = matches!(raw.route, Route::Retry | Route::Fallback | Route::Compensate | Route::Rollback);
        if source.tier == Tier::Project && loosens {
            let at = line(raw.id.span().start);
            read.notes.push(format!(
                "{}:{at}: error pattern {id} is left out: files of a project may only escalate or park a failure",
                source.file
            ));
            continue;
        }
        read.patterns.push(ErrorPattern { id, text: pattern, class: raw.class, route: raw.route });
    }
    Ok(read)
}

fn default_action(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "proceed",
        Verdict::Escalate | Verdict::None => "escalate",
        Verdict::Deny => "refuse",
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 64
        && id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.'))
}

/// An example must be what it is given for.
fn check_example(condition: &Condition, example: &Spanned<Json>, expected: bool) -> Result<(), String> {
    let Json::Object(fields) = example.get_ref() else { return Err("an example is a table of variables".to_owned()) };
    let mut tree = serde_json::Map::new();
    for (name, value) in fields {
        // `"task.type" = …` as well as `task = { type = … }`.
        place(&mut tree, name, value.clone());
    }
    match (condition.ask(&variables(tree)), expected) {
        (Answer::Holds, true) | (Answer::Not, false) => Ok(()),
        (Answer::Holds, false) => Err("the condition holds for an example of `not_match`".to_owned()),
        (Answer::Not, true) => Err("the condition does not hold for an example of `match`".to_owned()),
        (Answer::Unknown(what), _) => Err(format!("an example does not say `{what}`")),
    }
}

/// The first moment of a day, or the moment itself.
fn day(when: &toml::value::Datetime) -> Option<Timestamp> {
    let date = when.date?;
    match (when.time, when.offset) {
        (Some(_), Some(_)) => Timestamp::parse_rfc3339(&when.to_string()),
        _ => Timestamp::parse_rfc3339(&format!("{date}T00:00:00Z")),
    }
}

/// The text without the rule of that id, where it has one.
pub fn without(text: &str, id: &str) -> Option<String> {
    let file: File = toml::from_str(text).ok()?;
    let at = file.rules.iter().find(|rule| rule.get_ref().id.get_ref() == id)?.get_ref().id.span().start;
    // A rule goes from its header to the next one. Comments right above the header belong to it.
    let header = text[..at].rfind("[[rules]]")?;
    let above = text[..header].split_inclusive('\n').rev();
    let comments = above.take_while(|line| line.trim_start().starts_with('#'));
    let start = header - comments.map(str::len).sum::<usize>();
    let after = header + "[[rules]]".len();
    let end = text[after..]
        .match_indices('\n')
        .map(|(newline, _)| after + newline + 1)
        .find(|line| {
            let rest = text[*line..].trim_start_matches([' ', '\t']);
            rest.starts_with('[') && !rest.starts_with("[rules.")
        })
        .unwrap_or(text.len());
    // Comments above the next header stay with that one.
    let kept = text[at..end].trim_end_matches('\n').rsplit('\n').take_while(|line| line.trim_start().starts_with('#'));
    let back: usize = kept.map(|line| line.len() + 1).sum();
    let trailing = if back > 0 { text[at..end].trim_end_matches('\n').len() + at + 1 - back } else { end };
    let without = format!("{}{}", &text[..start], &text[trailing.min(end)..]);
    // What is left must still be a policy without it.
    let left: File = toml::from_str(&without).ok()?;
    (left.rules.len() + 1 == file.rules.len() && left.rules.iter().all(|rule| rule.get_ref().id.get_ref() != id))
        .then_some(without)
}
