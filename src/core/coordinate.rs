//! Who does a task that no command does: agents, and people.
//!
//! An agent that does not exist is never invented: a task that no agent can do becomes the decision `no_agent`.

use super::{
    Ctx,
    decide::{self, decision::DecisionKind},
    event::Event,
    plan::spec::Work,
    run::RunState,
    state::State,
};

/// What is due to be handed to somebody.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    for run in state.index.dirty.iter().filter_map(|run| state.run(*run)) {
        let Some(index) = state.index.runs.get(&run.id) else { continue };
        if !matches!(run.state, RunState::Executing | RunState::Monitoring) || run.cancelled || run.stopping {
            continue;
        }
        let Some((_, _, position)) = index.ready_other.first() else { continue };
        let task = &state.tasks[&run.tasks[*position as usize]];
        let event = match &task.spec.work {
            Work::Question { question, options, criticality } => {
                decide::open(state, ctx, run, DecisionKind::AgentQuestion, Some(task), |decision| {
                    decision.question = decide::short(question);
                    decision.detail = format!("Asked by {} of {}: {}", task.id, run.id, task.spec.title());
                    decision.criticality = *criticality;
                    decision.options = decide::options_of(options);
                })
            }
            Work::Prompt(_) | Work::Playbook { .. } | Work::Command(_) | Work::Run(_) => {
                decide::open(state, ctx, run, DecisionKind::NoAgent, Some(task), |decision| {
                    decision.question = decide::short(&format!("No agent can do {}: {}", task.id, task.spec.title()));
                    decision.detail = "No coding agent is set up that could take this task. A command can do without \
                                       one: `orchestrator run --do CMD --verify CHECK`."
                        .to_owned();
                    decision.criticality = 0.1;
                    decision.options = vec![
                        decide::choice("again", "Look again", "The task is offered again.", true),
                        decide::choice(
                            "skip",
                            "Leave it out",
                            "The task is cancelled; what needs it is blocked.",
                            true,
                        ),
                    ];
                })
            }
        };
        return vec![event];
    }
    Vec::new()
}
