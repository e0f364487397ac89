//! What a client sees when a call is refused: one code, what is wrong, and what to do next.
//!
//! On the wire this object is the `data` of the JSON-RPC error; its number follows the code by the table of
//! [`Code::number`]. Not for the program's own trouble: a `StoreError` stops the daemon before it gets here.

use std::fmt;

use jsonrpsee::{core::client, types::ErrorObjectOwned};
use serde::{Deserialize, Serialize};

use super::{decision::Answerer, wire::Time};

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// Nothing has that id or name.
    NotFound,
    /// The request does not have the form it must have; `field` says where.
    Invalid,
    /// It was right once: an older attempt, a superseded checkpoint, a file edited since.
    Stale,
    /// Dependencies form a circle; the message names its path.
    Cycle,
    /// Another answer was first; `choice`, `by` and `at` say which.
    AlreadyDecided,
    /// This connection's role may not do that.
    Forbidden,
    /// Derived from files of a workspace that nobody has trusted yet.
    Untrusted,
    /// A limit of money, tokens, minutes or processes is reached.
    Budget,
    /// Not now: the daemon cannot be reached, is handing over, or lacks something it needs.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Code; 10] = [
        Code::NotFound,
        Code::Invalid,
        Code::Stale,
        Code::Cycle,
        Code::AlreadyDecided,
        Code::Forbidden,
        Code::Untrusted,
        Code::Budget,
        Code::Unavailable,
        Code::Internal,
    ];

    /// The JSON-RPC number. The two that JSON-RPC itself has keep its numbers; the others stay clear of the ones
    /// that jsonrpsee gives out for itself (-32000 to -32009).
    ///
    /// | code | number |
    /// |---|---|
    /// | INVALID | -32602 (invalid params) |
    /// | INTERNAL | -32603 (internal error) |
    /// | NOT_FOUND | -32041 |
    /// | STALE | -32042 |
    /// | CYCLE | -32043 |
    /// | ALREADY_DECIDED | -32044 |
    /// | FORBIDDEN | -32045 |
    /// | UNTRUSTED | -32046 |
    /// | BUDGET | -32047 |
    /// | UNAVAILABLE | -32048 |
    pub fn number(self) -> i32 {
        match self {
            Code::Invalid => -32602,
            Code::Internal => -32603,
            Code::NotFound => -32041,
            Code::Stale => -32042,
            Code::Cycle => -32043,
            Code::AlreadyDecided => -32044,
            Code::Forbidden => -32045,
            Code::Untrusted => -32046,
            Code::Budget => -32047,
            Code::Unavailable => -32048,
        }
    }

    /// The code that a JSON-RPC number stands for. JSON-RPC's own complaints about a request (parse error, invalid
    /// request, unknown method) are the caller's doing, so they are [`Code::Invalid`].
    pub fn from_number(number: i32) -> Code {
        match number {
            -32700 | -32600 | -32601 => Code::Invalid,
            // jsonrpsee: the server is busy or has too many subscriptions.
            -32009 | -32006 => Code::Unavailable,
            other => Code::ALL.into_iter().find(|code| code.number() == other).unwrap_or(Code::Internal),
        }
    }

    /// The code's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Code::NotFound => "NOT_FOUND",
            Code::Invalid => "INVALID",
            Code::Stale => "STALE",
            Code::Cycle => "CYCLE",
            Code::AlreadyDecided => "ALREADY_DECIDED",
            Code::Forbidden => "FORBIDDEN",
            Code::Untrusted => "UNTRUSTED",
            Code::Budget => "BUDGET",
            Code::Unavailable => "UNAVAILABLE",
            Code::Internal => "INTERNAL",
        }
    }
}

/// A refused call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiError {
    /// Which kind of refusal.
    pub code: Code,
    /// What is wrong and where: one sentence.
    pub message: String,
    /// What to do next: one sentence, empty where there is nothing to do.
    #[serde(default)]
    pub hint: String,
    /// The request's field at fault, as a path: `constraints.paths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// With [`Code::AlreadyDecided`]: the answer that was first.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Box<Decided>>,
}

/// The answer that came before a late one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The chosen option.
    pub choice: String,
    /// Who chose it.
    pub by: Answerer,
    /// When.
    pub at: Time,
}

/// The hint of a refusal that passes by itself.
pub const TRY_AGAIN: &str = "try again in a moment";

impl ApiError {
    /// A refusal with its remedy.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), hint: hint.into(), field: None, decided: None }
    }

    /// Whether it passes by itself: the daemon or the workspace is just being closed, and comes again when asked for.
    pub fn passes(&self) -> bool {
        self.code == Code::Unavailable && self.hint == TRY_AGAIN
    }

    /// The same refusal, naming the request's field at fault.
    pub fn at_field(mut self, field: impl Into<String>) -> ApiError {
        self.field = Some(field.into());
        self
    }

    /// Nothing has this id.
    pub fn not_found(what: impl fmt::Display) -> ApiError {
        ApiError::new(
            Code::NotFound,
            format!("there is no {what} in this workspace"),
            "list them with `orchestrator status`",
        )
    }

    /// A late answer to a decision that has one.
    pub fn already_decided(decided: Decided) -> ApiError {
        let message = format!("already decided by {}, {}: {}", decided.by, decided.at.clock(), decided.choice);
        let mut error = ApiError::new(Code::AlreadyDecided, message, "nothing was changed; the first answer holds");
        error.decided = Some(Box::new(decided));
        error
    }

    /// What a failed call of the generated client means. Transport trouble is [`Code::Unavailable`].
    pub fn from_client(error: client::Error) -> ApiError {
        match error {
            client::Error::Call(object) => object.into(),
            client::Error::ParseError(parse) => ApiError::new(
                Code::Internal,
                format!("the daemon's answer cannot be read: {parse}"),
                "the daemon may be of another version; restart it with `orchestrator daemon stop`",
            ),
            client::Error::RequestTimeout => ApiError::new(
                Code::Unavailable,
                "the daemon did not answer in time",
                "look at `orchestrator doctor`; nothing that was accepted is lost",
            ),
            other => ApiError::new(
                Code::Unavailable,
                format!("the connection to the daemon broke: {other}"),
                "run the command again; the same --key attaches to the same run",
            ),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.field {
            Some(field) if !self.message.contains(field.as_str()) => write!(f, " (at `{field}`)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for ErrorObjectOwned {
    fn from(error: ApiError) -> ErrorObjectOwned {
        ErrorObjectOwned::owned(error.code.number(), error.message.clone(), Some(error))
    }
}

impl From<ErrorObjectOwned> for ApiError {
    fn from(object: ErrorObjectOwned) -> ApiError {
        if let Some(error) = object.data().and_then(|data| serde_json::from_str(data.get()).ok()) {
            return error;
        }
        // An error of jsonrpsee itself: its data is a text that says more than its message.
        let detail = object.data().and_then(|data| serde_json::from_str::<String>(data.get()).ok());
        let message = match detail {
            Some(detail) => format!("{}: {detail}", object.message()),
            None => object.message().to_owned(),
        };
        ApiError::new(Code::from_number(object.code()), message, "")
    }
}

impl From<client::Error> for ApiError {
    fn from(error: client::Error) -> ApiError {
        ApiError::from_client(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::decision::{AnswererKind, Surface};

    #[test]
    fn a_number_stands_for_one_code() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), code);
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }

    #[test]
    fn an_error_survives_the_wire() {
        let by = Answerer { kind: AnswererKind::Person, surface: Surface::Cli, name: Some("terminal".into()) };
        let decided = Decided { choice: "approve".into(), by, at: Time::parse("2026-11-22T14:02:00Z").unwrap() };
        for error in [
            ApiError::new(Code::Invalid, "no such field", "did you mean `key`?").at_field("kee"),
            ApiError::already_decided(decided),
        ] {
            let object = ErrorObjectOwned::from(error.clone());
            assert_eq!(object.code(), error.code.number());
            assert_eq!(ApiError::from(object), error);
        }
    }

    #[test]
    fn an_error_of_the_library_keeps_its_detail() {
        let object = ErrorObjectOwned::owned(-32602, "Invalid params", Some("\"X\" is not an id of the form T-42"));
        let error = ApiError::from(object);
        assert_eq!(error.code, Code::Invalid);
        assert_eq!(error.message, "Invalid params: \"X\" is not an id of the form T-42");
    }
}
