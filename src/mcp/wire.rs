//! Lines and messages: splits the stream, tells what a line is, writes answers. Nothing is decided here.
//!
//! An id is echoed exactly as it came. What is not a message gets the JSON-RPC error that there is for it, and the
//! stream goes on at the next line, however long the bad one was.

use std::{borrow::Cow, fmt};

use rmcp::model::ErrorData;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Longest line, bytes; as the SDKs have it.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// The id of a request, as the JSON text that it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// Strings and whole numbers are ids; everything else is none.
    fn read(raw: &RawValue) -> Option<Id> {
        let text = raw.get();
        let number = || text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
        if text.starts_with('"') {
            // Two spellings of one string are one id, but it goes back as it came: no client writes both.
            Some(Id(text.to_owned()))
        } else {
            number().then(|| Id(text.to_owned()))
        }
    }

    /// A number of our own.
    pub fn number(number: u64) -> Id {
        Id(number.to_string())
    }

    /// The id that a JSON value is, where it is one.
    pub fn of(value: &serde_json::Value) -> Option<Id> {
        let raw = serde_json::value::to_raw_value(value).ok()?;
        Id::read(&raw)
    }

    /// As a value.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a line is.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// Wants exactly one answer.
    Request(Id, Cow<'a, str>, Option<&'a RawValue>),
    /// Wants none.
    Notification(Cow<'a, str>, Option<&'a RawValue>),
    /// An answer to a request of ours: its result, or null where it was refused.
    Answer(Id, serde_json::Value),
    /// No message; the error goes back, with the id where there was a usable one.
    Bad(Option<Id>, ErrorData),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A member that is there, also where it is null.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one line; `None` where it is blank.
pub fn read(line: &[u8]) -> Option<Incoming<'_>> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return None;
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return Some(Incoming::Bad(None, ErrorData::parse_error("this line is not UTF-8", None)));
    };
    let envelope = match serde_json::from_str::<Envelope<'_>>(text) {
        Ok(envelope) => envelope,
        Err(error) => return Some(Incoming::Bad(None, no_envelope(text, &error))),
    };
    Some(message(envelope))
}

/// Why a line is no message at all.
fn no_envelope(text: &str, error: &serde_json::Error) -> ErrorData {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        let message = format!("this line is no JSON: {error}; send each message on one line");
        return ErrorData::parse_error(message, None);
    }
    match text.starts_with('[') {
        true => ErrorData::invalid_request("batches are not part of MCP; send one message a line", None),
        false => ErrorData::invalid_request("a message is a JSON object with `jsonrpc` and `method`", None),
    }
}

fn message(envelope: Envelope<'_>) -> Incoming<'_> {
    let bad = |id: Option<Id>, what: &'static str| Incoming::Bad(id, ErrorData::invalid_request(what, None));
    let id = envelope.id.and_then(Id::read);
    if envelope.jsonrpc.is_none_or(|version| version.get() != "\"2.0\"") {
        return bad(id, "`jsonrpc` must be \"2.0\"");
    }
    if envelope.id.is_some() && id.is_none() {
        return bad(None, "`id` must be a string or a whole number");
    }
    if let Some(method) = envelope.method {
        let Ok(method) = serde_json::from_str::<Cow<'_, str>>(method.get()) else {
            return bad(id, "`method` must be a string");
        };
        // A string without escapes is borrowed: nearly every method.
        let params = envelope.params.filter(|params| params.get() != "null");
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            let error =
                ErrorData::invalid_params("`params` must be an object: MCP has no parameters by position", None);
            return match id {
                Some(id) => Incoming::Bad(Some(id), error),
                None => Incoming::Notification(method, None),
            };
        }
        return match id {
            Some(id) => Incoming::Request(id, method, params),
            None => Incoming::Notification(method, params),
        };
    }
    match (id, envelope.result, envelope.error) {
        (Some(id), Some(result), _) => Incoming::Answer(id, serde_json::from_str(result.get()).unwrap_or_default()),
        (Some(id), None, Some(_)) => Incoming::Answer(id, serde_json::Value::Null),
        // A client that could not read us; there is nobody to tell.
        (None, None, Some(_)) => Incoming::Answer(Id::number(0), serde_json::Value::Null),
        (id, _, _) => bad(id, "a message needs `method`, or `id` with `result` or `error`"),
    }
}

/// Takes whole lines out of a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Up to here lines were taken.
    taken: usize,
    /// Up to here there is no line end.
    searched: usize,
    /// The rest of a line that was too long is being passed over.
    passing_over: bool,
}

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    /// Longer than [`LINE_BYTES_MAX`]; its content is gone.
    TooLong,
}

/// A buffer that grew for one long line is given back when it is empty, from this size on.
const ROOM_KEPT_BYTES: usize = 1 << 20;

impl Lines {
    /// More bytes came. What was taken makes room for them at once, however many lines it was.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.held() == 0 && self.buffer.capacity() > ROOM_KEPT_BYTES {
            self.let_go();
        }
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that came and were not taken yet.
    pub fn held(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// The next line, where it is complete; at the end of the stream, what is left.
    pub fn next(&mut self, ended: bool) -> Option<Line<'_>> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| at + self.searched);
            let begin = self.taken;
            match end {
                Some(end) => {
                    (self.taken, self.searched) = (end + 1, end + 1);
                    if std::mem::take(&mut self.passing_over) {
                        continue;
                    }
                    let long = end - begin > LINE_BYTES_MAX;
                    return Some(if long { Line::TooLong } else { Line::Whole(&self.buffer[begin..end]) });
                }
                None if self.passing_over => {
                    self.let_go();
                    return None;
                }
                None if self.held() > LINE_BYTES_MAX => {
                    self.let_go();
                    self.passing_over = true;
                    return Some(Line::TooLong);
                }
                None if ended && self.held() > 0 => {
                    (self.taken, self.searched) = (self.buffer.len(), self.buffer.len());
                    return Some(Line::Whole(&self.buffer[begin..]));
                }
                None => {
                    self.searched = self.buffer.len();
                    return None;
                }
            }
        }
    }

    fn let_go(&mut self) {
        (self.buffer, self.taken, self.searched) = (Vec::new(), 0, 0);
    }
}

#[derive(Serialize)]
struct Reply<'a, T> {
    jsonrpc: &'static str,
    #[serde(serialize_with = "raw_id")]
    id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorData>,
}

fn raw_id<S: serde::Serializer>(id: &Option<&Id>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        // Checked when it was read: this is JSON.
        Some(id) => RawValue::from_string(id.0.clone()).map_err(serde::ser::Error::custom)?.serialize(serializer),
        None => serializer.serialize_none(),
    }
}

/// An answer, as a line.
pub fn result(id: &Id, result: &impl Serialize) -> Vec<u8> {
    line(&Reply { jsonrpc: "2.0", id: Some(id), result: Some(result), error: None })
}

/// A result without its envelope, for [`framed`].
pub fn body(result: &impl Serialize) -> Vec<u8> {
    let mut body = line(result);
    body.pop();
    body
}

/// Appends an answer, as a line, of a result that was written before.
pub fn framed(to: &mut Vec<u8>, id: &Id, body: &[u8]) {
    to.reserve(body.len() + id.0.len() + 40);
    to.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    to.extend_from_slice(id.0.as_bytes());
    to.extend_from_slice(b",\"result\":");
    to.extend_from_slice(body);
    to.extend_from_slice(b"}\n");
}

/// A refusal, as a line.
pub fn error(id: Option<&Id>, error: &ErrorData) -> Vec<u8> {
    line(&Reply::<()> { jsonrpc: "2.0", id, result: None, error: Some(error) })
}

/// A notification, as a line.
pub fn notification(method: &str, params: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Notification<'a, P> {
        jsonrpc: &'static str,
        method: &'a str,
        params: P,
    }
    line(&Notification { jsonrpc: "2.0", method, params })
}

/// A request of ours, as a line.
pub fn request(id: u64, method: &str, params: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a, P> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        params: P,
    }
    line(&Request { jsonrpc: "2.0", id, method, params })
}

fn line(message: &impl Serialize) -> Vec<u8> {
    // Every type that we write has string keys and no failing serializer; a client that waits for this must hear
    // something even so.
    let mut line = serde_json::to_vec(message).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be written");
        br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"an answer could not be written"}}"#.to_vec()
    });
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a stream that comes in these pieces; `None` stands for one that is too long.
    fn all(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        fn take(lines: &mut Lines, ended: bool, found: &mut Vec<Option<Vec<u8>>>) {
            while let Some(line) = lines.next(ended) {
                found.push(match line {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
            }
        }
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece);
            take(&mut lines, false, &mut found);
        }
        take(&mut lines, true, &mut found);
        assert_eq!(lines.held(), 0);
        found
    }

    #[test]
    fn lines_are_the_same_wherever_the_stream_is_cut() {
        let text = b"{\"a\":1}\r\n\n{\"b\":\"\xc3\xa4\"}\nlast";
        let whole = all(&[text]);
        assert_eq!(whole.len(), 4);
        for cut in 0..=text.len() {
            assert_eq!(all(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&single), whole);
    }

    #[test]
    fn a_line_too_long_is_passed_over_and_the_next_one_is_read() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(all(&[&long, b"xx", b"x\n{}\n"]), [None, Some(b"{}".to_vec())]);
        let mut at_once = long.clone();
        at_once.extend_from_slice(b"\n{}\n");
        assert_eq!(all(&[&at_once]), [None, Some(b"{}".to_vec())]);
        assert_eq!(all(&[&long]), [None]);
        assert_eq!(all(&[&long[..LINE_BYTES_MAX], b"\n"]), [Some(long[..LINE_BYTES_MAX].to_vec())]);
    }

    #[test]
    fn room_for_a_long_line_is_given_back() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; 4 << 20]);
        lines.push(b"\nshort\n");
        assert!(matches!(lines.next(false), Some(Line::Whole(line)) if line.len() == 4 << 20));
        assert_eq!(lines.next(false), Some(Line::Whole(b"short")));
        lines.push(b"more\n");
        assert!(lines.buffer.capacity() < ROOM_KEPT_BYTES);
        assert_eq!(lines.next(false), Some(Line::Whole(b"more")));
    }

    /// What comes back for a line, in a word.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match read(line.as_bytes()) {
            None => "blank".to_owned(),
            Some(Incoming::Request(id, method, _)) => format!("request {id} {method}"),
            Some(Incoming::Notification(method, params)) => format!("notification {method} {}", params.is_some()),
            Some(Incoming::Answer(id, value)) => format!("answer {id} {value}"),
            Some(Incoming::Bad(id, error)) => {
                format!("bad {} {}", id.map_or("null".to_owned(), |id| id.to_string()), error.code.0)
            }
        };
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn ids_of_every_json_type() {
        let with = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        check(&with("1"), "request 1 ping");
        check(&with("-7"), "request -7 ping");
        check(&with("18446744073709551616"), "request 18446744073709551616 ping");
        check(&with(r#""a\"b""#), r#"request "a\"b" ping"#);
        check(&with(r#""""#), r#"request "" ping"#);
        for id in ["null", "true", "1.5", "1e3", "{}", "[1]"] {
            check(&with(id), "bad null -32600");
        }
    }

    #[test]
    fn what_is_no_message_is_said_so() {
        check(" \r", "blank");
        check("{", "bad null -32700");
        check("nonsense", "bad null -32700");
        check("[]", "bad null -32600");
        check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "bad null -32600");
        check("42", "bad null -32600");
        check("{}", "bad null -32600");
        check(r#"{"id":1,"method":"ping"}"#, "bad 1 -32600");
        check(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "bad 1 -32600");
        check(r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "bad 1 -32600");
        check(r#"{"jsonrpc":"2.0","id":1}"#, "bad 1 -32600");
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, "bad 1 -32602");
        check(r#"{"jsonrpc":"2.0","method":"x","params":[1]}"#, "notification x false");
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, "request 1 ping");
        check(r#"{"jsonrpc":"2.0","id":3,"result":{"a":1}}"#, r#"answer 3 {"a":1}"#);
        check(r#"{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"x"}}"#, "answer 3 null");
        assert!(matches!(read(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"), Some(Incoming::Bad(None, _))));
    }
}
