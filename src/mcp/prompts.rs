//! Prompts: what a person starts by typing its name. `decide`, `inbox`, `status`, and one per open decision.
//!
//! A host splits what is typed behind a prompt's name at blanks, so every argument is a single word. Fetching a prompt
//! decides nothing; a choice that a person typed is remembered, and the tool call that follows records it as theirs.

use std::rc::Rc;

use rmcp::model::{ErrorData, GetPromptRequestParams, Prompt, PromptArgument};
use serde_json::{Value, json};

use super::{
    ask,
    front::{Call, Front, Handled},
    server,
    tools::sentence,
};
use crate::{
    api::{ApiError, Code, Decision, OrchestratorState, PendingDecisions, decision::DecisionStatus, request::nearest},
    ids::DecisionId,
};

/// Prompts for open decisions; the inbox has all.
const DECISIONS_MAX: usize = 10;

/// Longest description, characters: hosts show it on one line.
const DESCRIPTION_CHARS_MAX: usize = 80;

/// `prompts/list`.
pub async fn list(front: &Rc<Front>, call: &Call, params: &str) -> Handled {
    server::first_page(params)?;
    // Without a daemon the fixed prompts are there all the same, and say what is wrong when they are fetched.
    let open: Vec<Decision> = match pending(front).await {
        Ok(open) => open.decisions,
        Err(error) => {
            tracing::warn!(%error, "the open decisions cannot be listed");
            Vec::new()
        }
    };
    let word = |name: &str, what: &str| PromptArgument::new(name).with_description(what);
    let mut prompts = vec![
        Prompt::new(
            "decide",
            Some("Show a question of a run, or answer it: decide D-7 approve"),
            Some(vec![
                word("id", "the decision, D-7").with_required(true),
                word("choice", "the id of one of its options; left out = show it").with_required(false),
            ]),
        )
        .with_title("Answer a question"),
        Prompt::new("inbox", Some("Everything that waits for you"), None).with_title("Open questions"),
        Prompt::new("status", Some("Runs, progress and open questions"), None).with_title("Status"),
    ];
    prompts.extend(open.iter().take(DECISIONS_MAX).map(|decision| {
        let choices: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
        let choice = word("choice", &format!("one of {}", choices.join(", "))).with_required(false);
        Prompt::new(name_of(decision.decision_id), Some(short(&decision.question)), Some(vec![choice]))
            .with_title(decision.decision_id.to_string())
    }));
    Ok(call.listed(json!({"prompts": prompts})))
}

/// `decide-d-7`.
fn name_of(id: DecisionId) -> String {
    format!("decide-{}", id.to_string().to_ascii_lowercase())
}

fn short(text: &str) -> String {
    match text.char_indices().nth(DESCRIPTION_CHARS_MAX - 1) {
        Some((end, _)) if text.chars().count() > DESCRIPTION_CHARS_MAX => format!("{}…", text[..end].trim_end()),
        _ => text.to_owned(),
    }
}

/// What a prompt takes; `None` where there is no such prompt.
pub fn arguments(prompt: &str) -> Option<&'static [&'static str]> {
    match prompt {
        "decide" => Some(&["id", "choice"]),
        "inbox" | "status" => Some(&[]),
        _ => id_of(prompt).map(|_| &["choice"][..]),
    }
}

/// The decision that a prompt of its own is about: `decide-d-7`.
pub fn id_of(prompt: &str) -> Option<DecisionId> {
    prompt.strip_prefix("decide-")?.to_ascii_uppercase().parse().ok()
}

/// The refusal of a prompt that there is not.
pub fn unknown(prompt: &str) -> ErrorData {
    let hint = match nearest(prompt, &["decide", "inbox", "status"]) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "there are decide, inbox, status, and one per open decision".to_owned(),
    };
    let shown: String = prompt.chars().take(60).collect();
    ErrorData::invalid_params(format!("there is no prompt `{shown}`; {hint}"), None)
}

/// `prompts/get`.
pub async fn get(front: &Rc<Front>, call: &Call, params: &str) -> Handled {
    let params: GetPromptRequestParams = server::params(params)?;
    let arguments = params.arguments.unwrap_or_default();
    let argument =
        |name: &str| arguments.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let known = self::arguments(&params.name).ok_or_else(|| unknown(&params.name))?;
    if let Some(other) = arguments.keys().find(|name| !known.contains(&name.as_str())) {
        let hint = match nearest(other, known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.is_empty() => "it takes none".to_owned(),
            None => format!("it takes {}", known.join(" and ")),
        };
        let shown: String = other.chars().take(60).collect();
        return Err(ErrorData::invalid_params(format!("`{}` has no argument `{shown}`; {hint}", params.name), None));
    }
    let (about, text) = match params.name.as_str() {
        "inbox" => ("Open questions", inbox(front).await),
        "status" => ("Status", status(front).await),
        "decide" => match argument("id") {
            Some(id) => ("A question of a run", decide(front, id, argument("choice")).await),
            None => {
                let what = "`decide` needs the decision: decide D-7, or decide D-7 OPTION (`inbox` lists them)";
                return Err(ErrorData::invalid_params(what, None));
            }
        },
        name => match name.strip_prefix("decide-") {
            Some(id) => ("A question of a run", decide(front, id, argument("choice")).await),
            None => return Err(unknown(name)),
        },
    };
    let text = text.map_err(|error| match error.code {
        Code::NotFound | Code::Invalid => ErrorData::invalid_params(sentence(&error), None),
        _ => ErrorData::internal_error(sentence(&error), None),
    })?;
    Ok(call.dress(json!({
        "description": about,
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
    })))
}

/// The open decisions.
pub async fn pending(front: &Front) -> Result<PendingDecisions, ApiError> {
    front.ask("get_pending_decisions", &json!({})).await
}

async fn inbox(front: &Front) -> Result<String, ApiError> {
    let open = pending(front).await?;
    if open.decisions.is_empty() {
        return Ok("Tell me that no question of the orchestrator waits for me.".to_owned());
    }
    let mut text =
        String::from("Show me these open questions in full, with all their options, and decide none of them:\n");
    for decision in &open.decisions {
        text.push_str(&format!("\n{}\n{}", ask::message(decision), options(decision)));
    }
    text.push_str("\nI answer with the prompt `decide`, for example: decide ");
    text.push_str(&open.decisions[0].decision_id.to_string());
    text.push_str(&format!(" {}", open.decisions[0].options.first().map_or("OPTION", |option| option.id.as_str())));
    Ok(text)
}

fn options(decision: &Decision) -> String {
    decision.options.iter().map(|option| format!("- {}: {}. {}\n", option.id, option.title, option.effect)).collect()
}

async fn status(front: &Front) -> Result<String, ApiError> {
    let state: OrchestratorState = front.ask("get_state", &json!({"session_id": null})).await?;
    let mut text = format!("Tell me in a few lines where the orchestrator stands:\n{}\n", state.summary);
    for session in state.sessions.iter().take(10) {
        let progress = &session.progress;
        let standing = session.outcome.map_or_else(|| session.state.name().to_owned(), |outcome| outcome.to_string());
        let description: String = session.description.chars().take(100).collect();
        text.push_str(&format!(
            "- {} {standing}, {:.0} % ({} of {} tasks): {description}\n",
            session.request_id, progress.completion_percentage, progress.completed_tasks, progress.total_tasks
        ));
    }
    let open = pending(front).await?;
    for decision in &open.decisions {
        text.push_str(&format!("- open question {}: {}\n", decision.decision_id, decision.question));
    }
    Ok(text)
}

/// What the model is told when a person typed `decide D-7` or `decide D-7 approve`.
async fn decide(front: &Front, id: &str, choice: Option<&str>) -> Result<String, ApiError> {
    let id: DecisionId = id.to_ascii_uppercase().parse().map_err(|_| {
        let shown: String = id.chars().take(60).collect();
        ApiError::new(Code::Invalid, format!("{shown:?} is no decision of the form D-7"), "`inbox` lists what is open")
    })?;
    let decision = ask::decision(front, id).await?;
    if decision.status != DecisionStatus::Open {
        let choice = decision
            .answer
            .as_ref()
            .map_or(String::new(), |answer| format!(" as `{}` by {}, {}", answer.choice, answer.by, answer.at.clock()));
        return Ok(format!("Tell me that {id} was already decided{choice}, and that nothing was changed now."));
    }
    let shown = format!("{}\n{}", ask::message(&decision), options(&decision));
    let Some(choice) = choice else {
        return Ok(format!(
            "Show me this question in full, with all its options, and do not decide it:\n\n{shown}\nI answer with: \
             decide {id} OPTION"
        ));
    };
    let choice = choice.to_ascii_lowercase();
    if decision.option(&choice).is_none() {
        let known: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
        let hint = match nearest(&choice, &known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("its options are {}", known.join(", ")),
        };
        return Err(ApiError::new(Code::Invalid, format!("{id} has no option `{choice}`"), hint));
    }
    front.prompted.borrow_mut().insert(id, choice.clone());
    Ok(format!(
        "I decide {id}: {choice}. Record exactly that by calling the orchestrator's tool submit_decision with \
         decision_id \"{id}\" and response {{\"choice\": \"{choice}\"}}, once, and tell me what came of it.\n\n{shown}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_fits_on_a_line() {
        assert_eq!(short("Deploy?"), "Deploy?");
        let long = short(&"ä".repeat(200));
        assert_eq!(long.chars().count(), DESCRIPTION_CHARS_MAX);
        assert!(long.ends_with('…'));
        assert_eq!(short(&"a".repeat(80)).len(), 80);
    }
}
