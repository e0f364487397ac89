//! Asking the person behind a client: a form for a decision, and what its answer means.
//!
//! There are three ways for one form. A client of 2026-07-28 gets it as the answer to its call and repeats the call
//! with what the person said; an older one is asked while the call waits; one that follows tasks finds it in the task
//! (`tasks`). Whatever the way: a form that is dismissed leaves the decision open, and silence is no answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use rmcp::model::{ElicitResult, ElicitationAction, InputResponses};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    front::{Call, Era, Front, Reply},
    tools::{answer, sentence},
};
use crate::{
    api::{
        ApiError, Code, Decision, DecisionResult, EventType, WhyReply,
        decision::{DecisionStatus, Surface},
    },
    ids::{DecisionId, RunId},
};

/// What a client carries from the first round of a call to the second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Carried {
    tool: String,
    run: RunId,
    asked: BTreeSet<DecisionId>,
    /// The key under which the run was handed in.
    key: Option<String>,
}

/// What the second round of a call brings; empty in the first.
#[derive(Debug, Default)]
pub struct Round {
    /// The key under which the run was handed in.
    pub key: Option<String>,
    answers: BTreeMap<DecisionId, Value>,
}

/// Reads what comes with a call that is repeated. Nothing in it is believed that we did not seal.
pub fn round(
    front: &Front,
    tool: &str,
    state: Option<&str>,
    responses: Option<InputResponses>,
) -> Result<Round, String> {
    let Some(state) = state else {
        return match responses {
            None => Ok(Round::default()),
            Some(_) => {
                Err("`inputResponses` without `requestState`: repeat the call with both as they came".to_owned())
            }
        };
    };
    let carried: Carried = front.seal.open(state).ok_or_else(|| {
        "`requestState` is not one that this server gave out, or it was changed; make the call again without it"
            .to_owned()
    })?;
    if carried.tool != tool {
        return Err(format!("this `requestState` belongs to a call of `{}`", carried.tool));
    }
    let mut answers = BTreeMap::new();
    for (name, value) in responses.unwrap_or_default() {
        let id = name.parse().ok().filter(|id| carried.asked.contains(id));
        let id = id.ok_or_else(|| format!("`inputResponses` answers {name:?}, which was not asked"))?;
        answers.insert(id, value);
    }
    Ok(Round { key: carried.key, answers })
}

/// Records the answers of a round. Each becomes a remark for the model.
pub async fn record(front: &Front, round: &Round) -> Vec<String> {
    let mut notes = Vec::new();
    for (id, value) in &round.answers {
        notes.push(match decision(front, *id).await {
            Ok(decision) => match one(front, &decision, value.clone()).await {
                Ok(note) => note,
                Err(error) => sentence(&error),
            },
            Err(error) => sentence(&error),
        });
    }
    notes
}

/// What came of asking.
pub enum Asked {
    /// The client is asked by this answer to its call.
    Return(Reply),
    /// It was asked and has said something.
    Done(Option<String>),
    /// There was nothing to ask.
    Not,
}

/// Asks about a decision of a run while a call is under way.
pub async fn now(front: &Rc<Front>, call: &Call, tool: &str, run: RunId, id: DecisionId, key: Option<&str>) -> Asked {
    if !front.shown.borrow_mut().insert(id) {
        return Asked::Not;
    }
    let Ok(decision) = decision(front, id).await else { return Asked::Not };
    if decision.status != DecisionStatus::Open {
        return Asked::Not;
    }
    if call.era == Era::Inline {
        let carried = Carried { tool: tool.to_owned(), run, asked: BTreeSet::from([id]), key: key.map(str::to_owned) };
        let Ok(state) = front.seal.close(&carried) else { return Asked::Not };
        return Asked::Return(Reply::Value(json!({
            "resultType": "input_required",
            "inputRequests": {(id.to_string()): form(&decision, &call.era)},
            "requestState": state,
        })));
    }
    // Whoever answers elsewhere takes the form back.
    let mut news = front.news();
    let elsewhere = async {
        loop {
            let closed = |event: &crate::api::Event| {
                event.kind == EventType::DecisionClosed && event.data.decision_id == Some(id)
            };
            match news.recv().await {
                Ok(events) if events.iter().any(closed) => return,
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    front.waits.set(front.waits.get() + 1);
    let form = form(&decision, &call.era);
    let said = tokio::select! {
        said = front.question("elicitation/create", &form["params"]) => Some(said),
        () = elsewhere => None,
    };
    front.waits.set(front.waits.get() - 1);
    Asked::Done(match said {
        None => Some(format!("{id} was answered elsewhere")),
        // A client that refuses to show it, or was asked wrongly: the decision stays open.
        Some(Value::Null) => None,
        Some(said) => match one(front, &decision, said).await {
            Ok(note) => Some(note),
            Err(error) => Some(sentence(&error)),
        },
    })
}

/// A decision with all its words, open or not.
pub async fn decision(front: &Front, id: DecisionId) -> Result<Decision, ApiError> {
    let why: WhyReply = front.ask("why", &json!({"id": id.to_string()})).await?;
    why.decision.map(|decision| *decision).ok_or_else(|| ApiError::not_found(id))
}

/// Option ids that a "decline" of the form stands for, where the decision has one. Not "no": whoever declines a question
/// with Yes and No for its answers may only mean that they do not want to answer.
const DECLINES: [&str; 3] = ["decline", "deny", "reject"];

/// Records what a person said in a form. `Ok` is a remark: also that nothing was said.
pub async fn one(front: &Front, decision: &Decision, said: Value) -> Result<String, ApiError> {
    let id = decision.decision_id;
    let said: ElicitResult = serde_json::from_value(said).map_err(|error| {
        let message = format!("the answer to the form of {id} cannot be read: {error}");
        ApiError::new(Code::Invalid, message, "it is {\"action\": \"accept\", \"content\": {\"choice\": …}}")
    })?;
    let response = match said.action {
        ElicitationAction::Accept => content(decision, said.content.unwrap_or_default())?,
        ElicitationAction::Decline => {
            let declined = decision.options.iter().find(|option| DECLINES.contains(&option.id.as_str()));
            match declined {
                Some(option) => json!({"choice": option.id}),
                None => return Ok(format!("{id} stays open: it cannot be declined, only answered")),
            }
        }
        // A dismissed form, and a host without anybody in front of it.
        _ => return Ok(format!("{id} stays open")),
    };
    let reply = answer(front, &id.to_string(), response, Surface::McpForm).await?;
    match serde_json::from_str::<DecisionResult>(reply.get()) {
        Ok(result) => Ok(result.summary),
        Err(_) => Ok(format!("{id} is answered")),
    }
}

/// The fields of a form as an answer.
fn content(decision: &Decision, content: Value) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    struct Content {
        choice: String,
        text: Option<String>,
    }
    let id = decision.decision_id;
    let content: Content = serde_json::from_value(content).map_err(|error| {
        ApiError::new(Code::Invalid, format!("the form of {id} came back without a choice: {error}"), "")
    })?;
    let Some(option) = decision.option(&content.choice) else {
        let options: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
        let message = format!("{id} has no option {:?}", content.choice);
        return Err(ApiError::new(Code::Invalid, message, format!("its options are {}", options.join(", "))));
    };
    let mut response = Map::new();
    response.insert("choice".to_owned(), content.choice.into());
    // Words that an option does not take are not forced on it.
    let text = content.text.filter(|text| option.takes_text && !text.trim().is_empty());
    response.extend(text.map(|text| ("text".to_owned(), text.into())));
    Ok(Value::Object(response))
}

/// The form of a decision: one choice, nothing preselected, and words where an option takes some.
pub fn form(decision: &Decision, era: &Era) -> Value {
    let titled = |option: &crate::api::decision::DecisionOption| match option.effect.as_str() {
        "" => option.title.clone(),
        effect => format!("{}: {effect}", option.title),
    };
    // Titled choices came with 2025-11-25; before, names beside them were the custom.
    let old = matches!(era, Era::Handshake(version) if version.as_str() < "2025-11-25");
    let mut choice = json!({"type": "string", "title": "Answer", "description": "What should happen"});
    match old {
        true => {
            choice["enum"] = decision.options.iter().map(|option| option.id.clone()).collect();
            choice["enumNames"] = decision.options.iter().map(titled).collect();
        }
        false => {
            let choices = decision.options.iter();
            choice["oneOf"] = choices.map(|option| json!({"const": option.id, "title": titled(option)})).collect();
        }
    }
    let mut properties = json!({"choice": choice});
    if decision.options.iter().any(|option| option.takes_text) {
        properties["text"] = json!({"type": "string", "title": "Words", "description": "Optional, with the answer"});
    }
    json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": message(decision),
            "requestedSchema": {"type": "object", "properties": properties, "required": ["choice"]},
        },
    })
}

/// The question with what one must know to answer it.
pub fn message(decision: &Decision) -> String {
    let context = &decision.context;
    let about = match context.task_id {
        Some(task) => format!("{}, {task}", context.request_id),
        None => context.request_id.to_string(),
    };
    let mut text = format!("{} ({about}): {}", decision.decision_id, decision.question);
    let detail = decision.detail.trim();
    if !detail.is_empty() && detail != decision.question.trim() {
        text.push_str("\n\n");
        text.extend(detail.chars().take(2_000));
    }
    for suggestion in &decision.suggestions {
        text.push_str(&format!("\nSuggested: {} ({})", suggestion.choice, suggestion.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use rmcp::model::{ElicitRequestParams, InputRequests, ProtocolVersion};

    use super::*;

    #[test]
    fn a_form_is_one_of_the_protocol_in_each_revision() {
        let decision = crate::cli::samples::decision();
        for era in
            [Era::Inline, Era::Handshake(ProtocolVersion::V_2025_11_25), Era::Handshake(ProtocolVersion::V_2025_06_18)]
        {
            let form = form(&decision, &era);
            let params: ElicitRequestParams = serde_json::from_value(form["params"].clone()).unwrap();
            let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = params else {
                panic!("a form");
            };
            assert!(message.contains(&decision.question));
            assert_eq!(requested_schema.required, Some(vec!["choice".to_owned()]));
            assert!(form.to_string().contains(&decision.options[0].id));
            assert!(!form.to_string().contains("\"default\""));
        }
        let requests = json!({"D-7": form(&decision, &Era::Inline)});
        assert_eq!(serde_json::from_value::<InputRequests>(requests).unwrap().len(), 1);
    }

    #[test]
    fn only_an_option_of_the_decision_is_an_answer() {
        let decision = crate::cli::samples::decision();
        let id = decision.options[0].id.clone();
        assert_eq!(content(&decision, json!({"choice": id, "text": " "})).unwrap(), json!({"choice": id}));
        let error = content(&decision, json!({"choice": "maybe"})).unwrap_err();
        assert!(error.message.contains("has no option \"maybe\"") && error.hint.contains(&id), "{error:?}");
        assert!(content(&decision, json!({})).unwrap_err().message.contains("without a choice"));
    }
}
