//! `decide`: what waits for a person, and the answer to it. An answer is always typed, never assumed.

use std::io;

use super::{
    args::RememberArg,
    ask::{Typed as Answered, prompt_text, read_answer},
    console::Console,
    exit::{CliError, Exit},
    render,
};
use crate::{
    api::{
        ApiError, Code, Decision, OrchestratorApiClient, Unchecked, UserDecisionResponse,
        decision::DecisionStatus,
        request::{Remember, nearest},
    },
    ids::DecisionId,
    time::now,
};

/// The answer that was typed with the command.
#[derive(Debug, Clone, Copy)]
pub struct Typed<'a> {
    /// An option's id.
    pub option: &'a str,
    /// Words with it.
    pub text: Option<&'a str>,
    /// How long it holds.
    pub remember: RememberArg,
}

/// Everything that waits.
pub async fn list<C: OrchestratorApiClient + Sync>(client: &C, console: &mut Console) -> Result<Exit, CliError> {
    let pending = client.get_pending_decisions().await?;
    let width = console.width;
    console.reply(&pending, |pending, paint| render::decision::list(&pending.decisions, now(), width, paint))?;
    Ok(Exit::Completed)
}

/// One decision with everything about it; at a terminal it can be answered right there.
pub async fn show<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: DecisionId,
) -> Result<Exit, CliError> {
    let decision = find(client, id).await?;
    let open = decision.status == DecisionStatus::Open;
    let ask = open && console.interactive;
    let width = console.width;
    console.reply(&decision, |decision, paint| {
        let mut text = render::decision::question(decision, width, paint);
        if open && !ask {
            text.push_str(&render::decision::elsewhere(decision, paint));
        }
        text
    })?;
    if !ask {
        return Ok(Exit::Completed);
    }
    loop {
        console.text(prompt_text(&decision))?;
        let mut line = String::new();
        // Nothing else is going on in this command, so waiting for the person holds nothing up.
        let read = io::stdin().read_line(&mut line).map_err(CliError::io("cannot read the answer"))?;
        match read_answer(&decision, &line) {
            Answered::NotNow => {
                console.line(format!("{}Not now. {id} stays open.", if read == 0 { "\n" } else { "" }))?;
                return Ok(Exit::Decision);
            }
            Answered::Unclear => console.line(format!("{:?} is none of its options.", line.trim()))?,
            Answered::Choice { choice, text } => {
                let response = UserDecisionResponse { choice, text, remember: Remember::Once, key: None };
                return submit(client, console, id, &response).await;
            }
        }
    }
}

/// Answers a decision.
pub async fn answer<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: DecisionId,
    typed: Typed<'_>,
) -> Result<Exit, CliError> {
    let decision = find(client, id).await?;
    let ids: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
    let Some(option) = decision.option(typed.option) else {
        let hint = match nearest(typed.option, &ids) {
            Some(near) => format!("did you mean `{near}`? Its options are {}", ids.join(", ")),
            None => format!("its options are {}", ids.join(", ")),
        };
        return Err(CliError::usage(format!("{id} has no option {:?}", typed.option), hint));
    };
    if typed.text.is_some() && !option.takes_text {
        return Err(CliError::usage(
            format!("the option {} of {id} takes no words", option.id),
            "leave --text out, or choose an option that takes words",
        ));
    }
    let remember = match typed.remember {
        RememberArg::Once => Remember::Once,
        RememberArg::Run => Remember::Run,
        RememberArg::Always => Remember::Always,
    };
    let response =
        UserDecisionResponse { choice: option.id.clone(), text: typed.text.map(str::to_owned), remember, key: None };
    submit(client, console, id, &response).await
}

async fn submit<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: DecisionId,
    response: &UserDecisionResponse,
) -> Result<Exit, CliError> {
    let result = client.submit_decision(id, Unchecked::from(response)).await?;
    console.reply(&result, |result, paint| format!("{} {}\n", paint.green("✓"), result.summary))?;
    Ok(if result.accepted { Exit::Completed } else { Exit::Failed })
}

/// The decision in full: lists carry a shortened one.
pub async fn find<C: OrchestratorApiClient + Sync>(client: &C, id: DecisionId) -> Result<Decision, CliError> {
    let reply = client.why(id.to_string()).await?;
    let found = reply.decision.filter(|decision| decision.decision_id == id);
    found.map(|decision| *decision).ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            format!("there is no {id} in this workspace"),
            "list what is open with `orchestrator decide`",
        )
        .into()
    })
}
