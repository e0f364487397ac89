//! What rules may know of a task, an agent's ask or a failure, read off the state.

use std::collections::BTreeMap;

use serde_json::json;

use super::policy::{Known, TaskKnown};
use crate::{
    core::{
        agent::AgentPart,
        facts::Facts,
        plan::spec::{Effect, Kind},
        run::Run,
        settings::Settings,
        state::State,
        task::{Failure, Task},
    },
    time::Timestamp,
};

/// When a task is about to start, and whenever nothing more is known.
pub fn of_task(run: Option<&Run>, task: &Task, now: Timestamp) -> Known {
    let mut of_run = BTreeMap::new();
    if let Some(run) = run {
        of_run.insert("priority".to_owned(), json!(run.request.priority));
        of_run.insert("interaction".to_owned(), run.request.interaction.word().into());
        if let Some(analysis) = &run.analysis {
            let intent = analysis.intent.primary.map(|word| word.as_str());
            of_run.insert("intent".to_owned(), json!(intent));
            of_run.insert("complexity".to_owned(), analysis.complexity.score.into());
        }
    }
    let extras = task.spec.extras();
    Known {
        now,
        task: Some(TaskKnown {
            kind_of_work: task.spec.type_word().to_owned(),
            kind: kind(task).to_owned(),
            risk: None,
            title: task.spec.title().to_owned(),
            writes: extras.writes.clone().unwrap_or_default(),
            effect: effect(task).to_owned(),
        }),
        run: of_run,
        environment: extras.environment.clone().or_else(|| run.and_then(|run| run.request.environment.clone())),
        language: run.and_then(|run| run.facts.as_deref()).and_then(language),
        ..Known::default()
    }
}

/// When an agent that has the task asks something.
pub fn of_ask(state: &State, settings: &Settings, task: &Task, agent: &str, now: Timestamp) -> Known {
    let known = of_task(state.run(task.run), task, now);
    let driver = settings.agents.iter().find(|profile| profile.id == agent).map(|profile| profile.driver.word());
    // Whoever asks is an agent, whatever its task is called.
    let task = known.task.map(|task| TaskKnown { kind: "agent".to_owned(), ..task });
    Known { task, agent_id: Some(agent.to_owned()), agent_driver: driver.map(str::to_owned), ..known }
}

/// When an attempt of it failed.
pub fn of_failure(run: &Run, task: &Task, agent: Option<&AgentPart>, failure: &Failure, now: Timestamp) -> Known {
    let error = [("type", failure.class.as_str()), ("class", &failure.class), ("text", &failure.message)];
    let error = error.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let agent_id = agent.map(|part| part.allocation.agent.clone());
    Known { error: Some(error), agent_id, ..of_task(Some(run), task, now) }
}

/// The language that most files are written in.
fn language(facts: &Facts) -> Option<String> {
    facts.languages.iter().max_by_key(|(_, files)| **files).map(|(name, _)| name.clone())
}

/// `task.kind`.
pub fn kind(task: &Task) -> &'static str {
    match task.spec.kind() {
        Kind::Shell => "shell",
        Kind::Agent => "agent",
        Kind::Workflow => "workflow",
        Kind::Decision => "decision",
    }
}

/// `task.effect`.
pub fn effect(task: &Task) -> &'static str {
    match task.spec.effect {
        Effect::None => "none",
        Effect::Workspace => "workspace",
        Effect::External => "external",
    }
}
