//! From the editor's words to the daemon's and back: a command's argument to a request, a refusal to an error.

use serde_json::{Map, Value, json};

use super::{
    shared::{Shared, sentence},
    types::{Error, ErrorCode, Range},
};
use crate::api::{ApiError, Code};

/// Longest selection that goes with a request, characters. The file is there to be read.
const SELECTION_CHARS_MAX: usize = 20_000;

/// A refusal as the editor sees it: one sentence, and the wire object as its data.
pub fn error(error: &ApiError) -> Error {
    Error {
        code: ErrorCode::from(i64::from(error.code.number())),
        message: sentence(error).into(),
        data: Some(json!(error)),
    }
}

/// What `orchestrator.run` is given, as a request: words, or an object with a place in a file beside the request's own
/// fields. Those go on as they are, and the daemon says what is wrong with them.
pub fn request(shared: &Shared, arguments: &[Value]) -> Result<Map<String, Value>, ApiError> {
    let mut request = match arguments {
        [Value::String(words)] => Map::from_iter([("description".to_owned(), json!(words))]),
        [Value::Object(fields)] => fields.clone(),
        _ => {
            let hint = "orchestrator.run takes one argument: the words, or {\"description\", \"uri\"?, \"range\"?, …}";
            return Err(ApiError::new(Code::Invalid, "this is no request", hint));
        }
    };
    let place = (request.remove("uri"), request.remove("range"), request.remove("diagnostic"));
    let context = request.entry("context").or_insert_with(|| json!({}));
    // Of another type it is the daemon's to refuse, with its words.
    let Value::Object(context) = context else { return Ok(request) };
    let (uri, range, diagnostic) = place;
    if let Some(diagnostic) = diagnostic {
        context.entry("diagnostic").or_insert(diagnostic);
    }
    if let Some(Value::String(uri)) = uri {
        if !shared.is_ours(&uri) {
            let message =
                format!("{} is not in {}, which is served here", shared.name_of(&uri), shared.root().display());
            let hint = "open its folder in a window of its own";
            return Err(ApiError::new(Code::Invalid, message, hint).at_field("uri"));
        }
        context.entry("files").or_insert_with(|| json!([shared.name_of(&uri)]));
        let documents = shared.documents();
        let document = documents.get(&uri);
        if let Some(document) = document.filter(|document| !document.language.is_empty()) {
            context.entry("language").or_insert_with(|| json!(document.language));
        }
        if let Some(range) = range {
            let parsed: Range = serde_json::from_value(range.clone()).map_err(|error| {
                ApiError::new(Code::Invalid, format!("`range` is no LSP range: {error}"), "").at_field("range")
            })?;
            let text = document.map_or("", |document| document.slice(parsed, shared.can().encoding));
            let text: String = text.chars().take(SELECTION_CHARS_MAX).collect();
            context.entry("selection").or_insert_with(|| json!({"uri": uri, "range": range, "text": text}));
        }
    }
    Ok(request)
}

/// The parameters by name that a command carries; none is an empty object.
pub fn parameters(command: &str, arguments: &[Value]) -> Result<Map<String, Value>, ApiError> {
    match arguments {
        [] | [Value::Null] => Ok(Map::new()),
        [Value::Object(parameters)] => Ok(parameters.clone()),
        _ => {
            let message = format!("{command} takes one argument: an object with the call's parameters");
            Err(ApiError::new(Code::Invalid, message, "for example {\"run\": \"R-3\"}"))
        }
    }
}

/// One parameter of a command.
pub fn parameter<T: serde::de::DeserializeOwned>(
    command: &str,
    parameters: &Map<String, Value>,
    name: &str,
) -> Result<T, ApiError> {
    let value = parameters.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value.clone()).map_err(|error| {
        let message = match value {
            Value::Null => format!("{command} needs `{name}`"),
            value => format!("`{name}` is {value}: {error}"),
        };
        ApiError::new(Code::Invalid, message, "").at_field(name)
    })
}
