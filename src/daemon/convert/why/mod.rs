//! Why a run, task, attempt, decision or checkpoint is as it is: the chain of reasons, with times.
//!
//! Everything is read off the state: what took effect when comes first, in order; behind it stands what holds now.

mod run;
mod task;

use super::{View, decision, words};
use crate::{
    api::{
        ApiError, Code, WhyReply,
        decision::DecisionStatus,
        result::Reason,
        wire::{Time, WorkId},
    },
    core::decide::decision::{Decision, DecisionState},
    ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// Why the thing of this id is as it is.
///
/// # Errors
/// INVALID where the text is no id, NOT_FOUND where nothing here has it.
pub fn why(view: &View<'_>, id: &str) -> Result<WhyReply, ApiError> {
    let given = id.trim();
    // From outside, ids are written with their workspace in front.
    let own = match given.split_once(':') {
        Some((name, own)) if name == view.workspace.name => own,
        Some((name, _)) => {
            let hint = format!("this is {}; ask in a folder of the other", view.workspace.name);
            return Err(ApiError::new(Code::NotFound, format!("{given} is of another workspace, {name:?}"), hint));
        }
        None => given,
    };
    let mut chain = Chain::default();
    let mut asked = None;
    let summary = if let Ok(run) = own.parse::<RunId>() {
        run::explain(view, run, &mut chain)?;
        super::run_line(view, view.run(run)?)
    } else if let Ok(task) = own.parse::<TaskId>() {
        task::explain(view, task, None, &mut chain)?;
        super::task_status(view, WorkId::Task(task))?.summary
    } else if let Ok(attempt) = own.parse::<AttemptId>() {
        task::explain(view, attempt.task, Some(attempt.generation), &mut chain)?
    } else if let Ok(id) = own.parse::<DecisionId>() {
        let known = view.decision(id)?;
        let shown = decision::decision(view, known);
        of_decision(view, known, &shown, &mut chain);
        let summary = decision_line(&shown);
        asked = Some(Box::new(shown));
        summary
    } else if let Ok(id) = own.parse::<CheckpointId>() {
        of_checkpoint(view, id, &mut chain)?
    } else {
        let hint = "ids look like R-3, T-42, T-42.2, D-7 or C-5; `orchestrator status` shows them";
        let shown = words::first_line(given, 60);
        return Err(ApiError::new(Code::Invalid, format!("{shown:?} is not an id"), hint).at_field("id"));
    };
    Ok(WhyReply { summary, revision: view.revision, id: own.to_owned(), reasons: chain.in_order(), decision: asked })
}

/// Reasons while they are gathered.
#[derive(Default)]
struct Chain {
    timed: Vec<(Timestamp, Reason)>,
    standing: Vec<Reason>,
}

impl Chain {
    /// Something that took effect at a moment.
    fn at(&mut self, at: Timestamp, text: impl Into<String>) {
        self.at_with(at, text, "");
    }

    /// The same, with the output behind it.
    fn at_with(&mut self, at: Timestamp, text: impl Into<String>, tail: &str) {
        let reason = Reason { at: Some(Time(at)), revision: None, text: text.into(), tail: tail.to_owned() };
        self.timed.push((at, reason));
    }

    /// Something that holds.
    fn now(&mut self, text: impl Into<String>) {
        self.standing.push(Reason { at: None, revision: None, text: text.into(), tail: String::new() });
    }

    fn in_order(mut self) -> Vec<Reason> {
        // Stable: what happened within one millisecond stays in the order in which it was found.
        self.timed.sort_by_key(|(at, _)| *at);
        self.timed.into_iter().map(|(_, reason)| reason).chain(self.standing).collect()
    }
}

/// A decision as a part of another chain: asked, and what became of it.
fn decided(chain: &mut Chain, decision: &Decision) {
    chain.at(decision.created_at, format!("{} was asked: {}", decision.id, decision.question));
    match &decision.state {
        DecisionState::Open => chain.now(format!("{} is open: orchestrator decide {}", decision.id, decision.id)),
        DecisionState::Answered(answer) => {
            let words =
                answer.text.as_ref().map(|text| format!(" ({})", words::first_line(text, 120))).unwrap_or_default();
            let by = words::answerer(&answer.by);
            chain.at(answer.at, format!("{by} answered {}: {}{words}", decision.id, answer.choice));
        }
        DecisionState::Expired(at) => chain.at(*at, format!("{} expired: nobody had answered", decision.id)),
        DecisionState::Withdrawn(why) => chain.now(format!("{} is no longer asked: {why}", decision.id)),
    }
}

fn decision_line(decision: &crate::api::Decision) -> String {
    let id = decision.decision_id;
    match (&decision.answer, decision.status) {
        (Some(answer), _) => format!("{id}: answered by {}, {}: {}", answer.by, answer.at.clock(), answer.choice),
        (None, DecisionStatus::Open) => match decision.blocks.len() {
            0 => format!("{id}: open"),
            blocks => format!(
                "{id}: open, {} for it",
                if blocks == 1 { "1 task waits".to_owned() } else { format!("{blocks} tasks wait") }
            ),
        },
        (None, DecisionStatus::Withdrawn) => format!("{id}: no longer asked"),
        (None, _) => format!("{id}: over"),
    }
}

fn of_decision(view: &View<'_>, known: &Decision, shown: &crate::api::Decision, chain: &mut Chain) {
    decided(chain, known);
    if let Some(task) = known.task.and_then(|task| view.state.task(task)) {
        chain.now(format!("it stands before {} of {}: {}", task.id, task.run, task.spec.title()));
    } else {
        chain.now(format!("it stands before all of {}", known.run));
    }
    let asked = match shown.why_asked.as_str() {
        "audit" => {
            "it is one of the few that are asked although they could have gone without, to learn how good those are"
        }
        "rule" => "a rule of the policy wants a person's word",
        "criticality" => "a wrong answer could do much harm",
        "confidence" => "nothing here could decide it with enough certainty",
        "mode" => "the plan or the run's interaction mode asks for a person",
        "missing:agent" => "no agent is set up that could do it",
        "missing:check" => "no check could prove it",
        "not_understood" => "not all of what it does is understood",
        _ => "no rule decides it",
    };
    match shown.why_asked.strip_prefix("missing:").filter(|what| !matches!(*what, "agent" | "check")) {
        Some(what) => chain.now(format!("it was asked because a rule goes by `{what}`, which nobody named")),
        None => chain.now(format!("it was asked because {asked}")),
    }
    of_confidence(view, known, shown, chain);
    for effect in &shown.context.effects {
        let class = format!("{:?}", effect.class).to_lowercase();
        chain.now(format!("its effect is of class {class}: {}", effect.what));
    }
    let who =
        if shown.answerable_by.len() == 1 { "only a person may answer" } else { "a person or a session may answer" };
    chain.now(format!("criticality {:.1}: {who}", shown.criticality));
    if known.open() {
        chain.now(format!(
            "urgency {:.2}; it blocks {}",
            shown.urgency,
            match shown.blocks.as_slice() {
                [] => "nothing".to_owned(),
                blocks => words::list(blocks, 10),
            }
        ));
        for suggestion in &shown.suggestions {
            chain.now(format!("{} may fit: {}", suggestion.choice, suggestion.reason));
        }
    }
}

/// From this chance on a change of mind is worth a line.
const CHANGE_TOLD: f64 = 0.05;

/// The five factors, and what earlier answers to such actions say.
fn of_confidence(view: &View<'_>, known: &Decision, shown: &crate::api::Decision, chain: &mut Chain) {
    let confidence = &shown.confidence;
    if let Some(case) = &known.case {
        let estimate = view.state.index.ladder.estimate(case);
        // The first says what sort it is; of the others, those that know something.
        let told = estimate.rungs.iter().enumerate().filter(|(at, rung)| *at == 0 || rung.n > 0.0);
        for (_, rung) in told {
            chain.now(match rung.n {
                n if n > 0.0 => format!("{} {}: {:.1} yes of {n:.1} answers", rung.name, rung.value, rung.yes),
                _ => format!("{} {}: no answers yet", rung.name, rung.value),
            });
        }
        if estimate.changed >= CHANGE_TOLD {
            let chance = estimate.changed;
            chain.now(format!(
                "your newest answers differ from those before: with probability {chance:.2} you changed your mind"
            ));
        }
        let word = if estimate.yes { "yes" } else { "no" };
        let checked = if confidence.calibrated { "" } else { "; too few answers to call it calibrated" };
        let answers = words::plural(estimate.n as usize, "answer");
        chain.now(match estimate.n {
            0 => "nothing like it was answered before".to_owned(),
            _ => format!("you would say {word} with probability {:.2}, after {answers}{checked}", estimate.confidence),
        });
    }
    let factors: Vec<String> = (confidence.factors.iter())
        .map(|(name, value)| format!("{name} {value:.2} (weight {:.2})", confidence.weights.get(name).unwrap_or(&0.0)))
        .collect();
    chain.now(format!("factors: {}", factors.join(", ")));
    if !shown.rules_hit.is_empty() {
        chain.now(format!("rules that hold: {}", shown.rules_hit.join(", ")));
    }
}

fn of_checkpoint(view: &View<'_>, id: CheckpointId, chain: &mut Chain) -> Result<String, ApiError> {
    let saved = view.checkpoint(id)?;
    let label = if saved.label.is_empty() { String::new() } else { format!(" as {:?}", saved.label) };
    chain.at(saved.at, format!("it was saved{label} at journal position {}", saved.position));
    let mut back = 0;
    for (run, landed, tip) in &saved.runs {
        let commit: String = tip.commit.chars().take(12).collect();
        chain.now(format!("it holds {run} at {commit}, with {}", words::plural(*landed as usize, "landed change")));
        match view.state.run(*run) {
            None => chain.now(format!("{run} is no longer kept, so nothing of it would go back")),
            Some(now) => {
                let since: Vec<TaskId> =
                    now.landed.iter().skip(*landed as usize).map(|(attempt, _)| attempt.task).collect();
                back += since.len();
                if !since.is_empty() {
                    chain.now(format!("restoring it would take back what landed since: {}", words::list(&since, 10)));
                }
            }
        }
    }
    if saved.runs.is_empty() {
        chain.now("no run was going on then");
    }
    Ok(format!("{id}: restoring it takes back {}", words::plural(back, "landing")))
}
