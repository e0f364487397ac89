//! `decisions replay --jsonl` (SCHEMAS S8): a stream of decisions and what became of them, one line at a time.
//!
//! A wrong line is answered with what is wrong with it, and changes nothing.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::{super::effects::is_production, Case, Course, How, Label, Ladder, Trait, Tuning};

/// Decisions that wait for their feedback at most: who never sends any must not fill the memory.
const WAITING_MAX: usize = 100_000;

/// One stream.
#[derive(Debug)]
pub struct Replay {
    ladder: Ladder,
    seed: u64,
    could: u64,
    at_days: f64,
    line: u64,
    waiting: HashMap<String, (Case, Course)>,
}

impl Replay {
    /// Begins with no history.
    pub fn new(tuning: Tuning, seed: u64) -> Replay {
        Replay { ladder: Ladder::new(tuning), seed, could: 0, at_days: 0.0, line: 0, waiting: HashMap::new() }
    }

    /// What was learned so far.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Takes one line; the reply, if one is due.
    pub fn line(&mut self, line: &str) -> Option<Value> {
        self.line += 1;
        if line.trim().is_empty() {
            return None;
        }
        match self.take(line) {
            Ok(reply) => reply,
            Err((message, hint)) => {
                Some(json!({"error": {"code": "INVALID", "line": self.line, "message": message, "hint": hint}}))
            }
        }
    }

    fn take(&mut self, line: &str) -> Result<Option<Value>, (String, String)> {
        let value: Value = serde_json::from_str(line).map_err(|error| {
            (format!("line {} is no JSON: {error}", self.line), "send one JSON object a line".to_owned())
        })?;
        let Value::Object(mut message) = value else {
            return Err(("the line is no JSON object".to_owned(), EXAMPLE.to_owned()));
        };
        match message.remove("op").as_ref().and_then(Value::as_str) {
            Some("decide") => match message.remove("record") {
                Some(Value::Object(record)) => self.decide(record).map(Some),
                _ => Err(("`record` is missing or no object".to_owned(), EXAMPLE.to_owned())),
            },
            Some("feedback") => self.feedback(&message).map(|()| None),
            Some(op) => Err((format!("there is no op {op:?}"), "op is `decide` or `feedback`".to_owned())),
            None => Err(("`op` is missing or no text".to_owned(), EXAMPLE.to_owned())),
        }
    }

    fn decide(&mut self, record: Map<String, Value>) -> Result<Value, (String, String)> {
        let id = id(record.get("id"))?;
        if self.waiting.contains_key(&id) {
            let hint = "send its feedback first, or give each decision an id of its own";
            return Err((format!("the decision {id:?} waits for its feedback already"), hint.to_owned()));
        }
        if self.waiting.len() >= WAITING_MAX {
            let hint = "send feedback for decisions, `null` where nobody looked";
            return Err((format!("{WAITING_MAX} decisions wait for their feedback"), hint.to_owned()));
        }
        let case = self.case(record)?;
        self.at_days = case.at_days;
        let (estimate, course) = self.ladder.judge(&case, self.seed, self.could);
        self.could += u64::from(matches!(course, Course::Auto | Course::Audit));
        self.waiting.insert(id, (case, course));
        Ok(json!({
            "auto": course == Course::Auto,
            "choice": if estimate.yes { "approve" } else { "reject" },
            "confidence": (estimate.confidence * 1e4).round() / 1e4,
            "why": course,
            "n": estimate.n,
        }))
    }

    fn feedback(&mut self, message: &Map<String, Value>) -> Result<(), (String, String)> {
        let id = id(message.get("id"))?;
        let hint = "outcome is \"approve\", \"reject\" or null";
        let outcome = match message.get("outcome") {
            Some(Value::Null) => None,
            Some(Value::String(word)) if word == "approve" => Some(true),
            Some(Value::String(word)) if word == "reject" => Some(false),
            Some(other) => return Err((format!("{other} is no outcome"), hint.to_owned())),
            None => return Err(("`outcome` is missing".to_owned(), hint.to_owned())),
        };
        let Some((case, course)) = self.waiting.remove(&id) else {
            let hint = "each decision takes feedback once, after it was asked with op `decide`";
            return Err((format!("no decision {id:?} waits for feedback"), hint.to_owned()));
        };
        if let Some(yes) = outcome {
            let how = match course {
                Course::Auto => How::Noticed,
                Course::Audit => How::Audit,
                Course::Critical | Course::Unproven | Course::Unsure => How::Asked,
            };
            self.ladder.learn(&Label { case, yes, how });
        }
        Ok(())
    }

    /// Reads a record: the named fields, and everything else as traits.
    fn case(&self, mut record: Map<String, Value>) -> Result<Case, (String, String)> {
        record.remove("id");
        let at_days = number(&mut record, "t")?.unwrap_or(self.at_days);
        let sort = match (text(&mut record, "type")?, text(&mut record, "action")?) {
            (Some(sort), other) => {
                other.into_iter().for_each(|action| drop(record.insert("action".to_owned(), Value::String(action))));
                sort
            }
            (None, Some(action)) => action,
            (None, None) => {
                let hint = "name what sort of action it is in `type` or `action`";
                return Err(("the record has neither `type` nor `action`".to_owned(), hint.to_owned()));
            }
        };
        let reversible = match record.remove("reversible") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(reversible)) => reversible,
            Some(other) => return Err((format!("`reversible` is {other}"), "it is true or false".to_owned())),
        };
        let environment = record.get("env").or_else(|| record.get("environment")).and_then(Value::as_str);
        let production = environment.is_some_and(is_production);
        let criticality = number(&mut record, "criticality")?;
        if let Some(given) = criticality.filter(|given| !(0.0..=1.0).contains(given)) {
            return Err((format!("`criticality` is {given}"), "it is a number from 0 to 1".to_owned()));
        }
        let mut traits = BTreeMap::new();
        for (name, value) in record {
            let value = match value {
                Value::Bool(flag) => Trait::Flag(flag),
                Value::Number(number) => Trait::Number(number.as_f64().unwrap_or_default()),
                Value::String(word) => Trait::Word(word),
                // A rule speaks by its action.
                Value::Object(fields) => match fields.get("action").and_then(Value::as_str) {
                    Some(action) => Trait::Word(action.to_owned()),
                    None => continue,
                },
                Value::Null | Value::Array(_) => continue,
            };
            traits.insert(name, value);
        }
        if let Some(given) = criticality {
            traits.insert("criticality".to_owned(), Trait::Number(given));
        }
        // Without a given one, by the table of S3.
        let criticality = criticality.unwrap_or(match (reversible, production) {
            (false, _) => 1.0,
            (true, true) => 0.9,
            (true, false) => 0.3,
        });
        Ok(Case { sort, at_days, reversible, production, criticality, traits })
    }
}

const EXAMPLE: &str = r#"for example {"op":"decide","record":{"id":"1","t":0,"type":"deployment"}}"#;

fn id(value: Option<&Value>) -> Result<String, (String, String)> {
    match value {
        Some(Value::String(id)) => Ok(id.clone()),
        Some(Value::Number(id)) => Ok(id.to_string()),
        Some(other) => Err((format!("`id` is {other}"), "an id is a text".to_owned())),
        None => Err(("`id` is missing".to_owned(), "an id is a text".to_owned())),
    }
}

fn number(record: &mut Map<String, Value>, name: &str) -> Result<Option<f64>, (String, String)> {
    match record.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(other) => Err((format!("`{name}` is {other}"), "it is a number".to_owned())),
    }
}

fn text(record: &mut Map<String, Value>, name: &str) -> Result<Option<String>, (String, String)> {
    match record.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err((format!("`{name}` is {other}"), "it is a text".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_named_and_changes_nothing() {
        let mut replay = Replay::new(Tuning::default(), 1);
        let mut fault = |line: &str| {
            let reply = replay.line(line).unwrap_or_else(|| panic!("{line} is answered"));
            reply["error"]["message"].as_str().unwrap_or_else(|| panic!("{line}: {reply}")).to_owned()
        };
        assert!(fault("{").starts_with("line 1 is no JSON"));
        assert_eq!(fault("[]"), "the line is no JSON object");
        assert_eq!(fault("{}"), "`op` is missing or no text");
        assert_eq!(fault(r#"{"op":"judge"}"#), r#"there is no op "judge""#);
        assert_eq!(fault(r#"{"op":"decide"}"#), "`record` is missing or no object");
        assert_eq!(fault(r#"{"op":"decide","record":{}}"#), "`id` is missing");
        assert_eq!(fault(r#"{"op":"decide","record":{"id":"a"}}"#), "the record has neither `type` nor `action`");
        assert_eq!(fault(r#"{"op":"decide","record":{"id":"a","type":1}}"#), "`type` is 1");
        assert_eq!(fault(r#"{"op":"decide","record":{"id":"a","type":"x","t":"now"}}"#), r#"`t` is "now""#);
        assert_eq!(fault(r#"{"op":"decide","record":{"id":"a","type":"x","criticality":7}}"#), "`criticality` is 7");
        assert_eq!(fault(r#"{"op":"feedback","id":"a","outcome":null}"#), r#"no decision "a" waits for feedback"#);
        assert_eq!(fault(r#"{"op":"feedback","id":"a"}"#), "`outcome` is missing");
        assert_eq!(fault(r#"{"op":"feedback","id":"a","outcome":"maybe"}"#), r#""maybe" is no outcome"#);
        assert!(replay.line("").is_none() && replay.ladder().labels() == 0);

        let reply = replay.line(r#"{"op":"decide","record":{"id":"a","type":"x","t":1,"extra":{"deep":[]}}}"#);
        assert_eq!(reply.expect("it is answered")["auto"], false);
        let twice = replay.line(r#"{"op":"decide","record":{"id":"a","type":"x","t":1}}"#);
        assert!(twice.expect("it is answered").get("error").is_some(), "the same id twice");
        assert!(replay.line(r#"{"op":"feedback","id":"a","outcome":"approve"}"#).is_none());
        assert_eq!(replay.ladder().labels(), 1);
    }
}
