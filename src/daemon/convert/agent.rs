//! Agents on the wire: what an agent is told of its own task, and what is told of the agents.

use std::{collections::BTreeSet, path::Path};

use super::{View, words};
use crate::{
    api::{
        AgentReportReply, AgentTask, ApiError, ClaimReply, Code, NotesReply,
        agent::Note,
        state::{Agent, AgentRecord, AgentState},
        wire::Time,
    },
    core::{
        State,
        agent::{FoundAgent, Usage},
        coordinate::{prompt, score},
        effect,
        plan::spec::Kind,
        run::Run,
        task::{Attempt, Task},
    },
    ids::AttemptId,
};

/// The attempt, if it is current and its task's newest; STALE otherwise.
fn live<'v>(view: &View<'v>, attempt: AttemptId) -> Result<(&'v Task, &'v Attempt, &'v Run), ApiError> {
    let Some(task) = view.state.task(attempt.task) else {
        return Err(ApiError::not_found(attempt));
    };
    let gone = || {
        let message = format!("{attempt} is over: its task is {}", task.status());
        ApiError::new(Code::Stale, message, "claim another task")
    };
    let (_, live) = view.state.live(attempt).ok_or_else(gone)?;
    let run = view.state.run(task.run).ok_or_else(gone)?;
    Ok((task, live, run))
}

/// One task as its agent sees it. `dir` is the workspace's folder of ours.
pub fn agent_task(view: &View<'_>, attempt: AttemptId, dir: &Path) -> Result<AgentTask, ApiError> {
    let (task, live, run) = live(view, attempt)?;
    let lane = live.lane.map(|lane| dir.join("lanes").join(lane.to_string()).display().to_string()).unwrap_or_default();
    let status = status(live);
    Ok(AgentTask {
        summary: format!("{attempt}: {} ({status}); work in {lane}", task.spec.title()),
        revision: view.revision,
        attempt_id: attempt,
        task_id: task.id,
        request_id: run.id,
        title: task.spec.title().to_owned(),
        kind_word: task.spec.type_word().to_owned(),
        prompt: prompt::of(view.state, run, task),
        lane,
        writes: task.spec.extras().writes.clone().unwrap_or_default(),
        verify: effect::checks(run, task).into_owned(),
        status: status.to_owned(),
        lease_until: lease(live),
        notes: notes(run, 0),
    })
}

fn status(live: &Attempt) -> &'static str {
    use crate::core::task::Phase;
    match live.phase {
        Phase::Preparing => "preparing",
        Phase::Running if live.end.is_none() => "running",
        Phase::Running | Phase::Harvesting | Phase::Checking(_) | Phase::AwaitingBase(_) => "verifying",
        Phase::Reviewing => "waiting_decision",
        _ => "landing",
    }
}

fn lease(live: &Attempt) -> Option<Time> {
    live.agent().and_then(|part| part.allocation.lease_until).filter(|_| live.holds_lease()).map(Time)
}

/// A claim that succeeded, or that found nothing.
pub fn claim_reply(view: &View<'_>, claimed: Option<AttemptId>, dir: &Path) -> Result<ClaimReply, ApiError> {
    let task = claimed.map(|attempt| agent_task(view, attempt, dir)).transpose()?;
    let summary = match &task {
        Some(task) => {
            format!("{} is yours until {}", task.attempt_id, task.lease_until.map_or("-".into(), Time::clock))
        }
        None => "no task is offered just now".to_owned(),
    };
    Ok(ClaimReply { summary, revision: view.revision, task })
}

/// A report was taken.
pub fn agent_report(view: &View<'_>, attempt: AttemptId) -> Result<AgentReportReply, ApiError> {
    let task = view.state.task(attempt.task).ok_or_else(|| ApiError::not_found(attempt))?;
    let (status, lease_until) = match view.state.live(attempt) {
        Some((_, live)) => (status(live), lease(live)),
        None => (task.status(), None),
    };
    Ok(AgentReportReply {
        summary: format!("{attempt}: {status}"),
        revision: view.revision,
        attempt_id: attempt,
        status: status.to_owned(),
        lease_until,
    })
}

/// The notes of an attempt's run after a number.
pub fn notes_reply(view: &View<'_>, attempt: AttemptId, after: u32) -> Result<NotesReply, ApiError> {
    let (_, _, run) = live(view, attempt)?;
    let notes = notes(run, after);
    let summary = format!("{} of {}", words::plural(notes.len(), "note"), run.id);
    Ok(NotesReply { summary, revision: view.revision, request_id: run.id, notes })
}

fn notes(run: &Run, after: u32) -> Vec<Note> {
    let numbered = (1u32..).zip(&run.shared_notes).filter(|(number, _)| *number > after);
    numbered.map(|(number, note)| Note { number, at: Time(note.at), by: note.by, text: note.text.clone() }).collect()
}

/// The agents: those declared, with what was found of them, and the sessions that hold or held tasks.
pub fn agent_list(view: &View<'_>, found: &[FoundAgent]) -> Vec<Agent> {
    let load = crate::core::coordinate::load(view.state);
    let mut agents = Vec::new();
    for profile in &view.settings.agents {
        let there = found.iter().find(|found| found.id == profile.id);
        let limited = view.state.limits.get(&profile.account).copied();
        let current = load.get(profile.id.as_str()).copied().unwrap_or(0);
        // Sessions that take tasks are listed by their own names; what is declared for them is there.
        let pulled = profile.driver == crate::core::agent::DriverKind::Pull;
        let leases = load.iter().filter(|(name, _)| pulled && name.starts_with("session:")).map(|(_, load)| *load);
        let current = if pulled { leases.sum() } else { current };
        let state = match (there, limited, current) {
            (None, ..) if !pulled => AgentState::Missing,
            (_, Some(_), _) => AgentState::Limited,
            (_, _, 0) => AgentState::Idle,
            _ => AgentState::Executing,
        };
        agents.push(Agent {
            id: profile.id.clone(),
            driver: profile.driver.word().to_owned(),
            capabilities: profile.capabilities.clone(),
            specialization: profile.specialization.iter().cloned().collect(),
            current_load: current,
            max_load: profile.max_load,
            state,
            limited_until: limited.map(Time),
            version: there.and_then(|found| found.version.clone()),
            program: there.map(|found| found.program.clone()),
            command: profile.command.join(" "),
            sandbox: Some(profile.sandbox.clone()).filter(|_| !pulled),
            abilities: crate::daemon::agents::abilities(profile),
            record: record(view.state, &profile.id),
        });
    }
    let declared: BTreeSet<&str> = view.settings.agents.iter().map(|profile| profile.id.as_str()).collect();
    let sessions: BTreeSet<&str> = load.keys().copied().chain(view.state.records.keys().map(String::as_str)).collect();
    for id in sessions.into_iter().filter(|id| !declared.contains(id)) {
        let current = load.get(id).copied().unwrap_or(0);
        agents.push(Agent {
            id: id.to_owned(),
            driver: "pull".to_owned(),
            capabilities: Vec::new(),
            specialization: Vec::new(),
            current_load: current,
            max_load: 0,
            state: if current > 0 { AgentState::Executing } else { AgentState::Idle },
            limited_until: None,
            version: None,
            program: None,
            command: String::new(),
            sandbox: None,
            abilities: vec!["claim".to_owned(), "lease".to_owned()],
            record: record(view.state, id),
        });
    }
    agents
}

fn record(state: &State, agent: &str) -> Vec<AgentRecord> {
    let types = state.records.get(agent).into_iter().flatten();
    types
        .map(|(kind, tally)| AgentRecord {
            kind: kind.clone(),
            judged: tally.judged,
            proven: tally.proven,
            claimed_wrongly: tally.claimed_wrongly,
            score: score::smoothed(*tally),
        })
        .collect()
}

/// What the agents of these tasks used; `None` for money that nobody told.
pub fn used<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> Usage {
    let parts = tasks.into_iter().flat_map(|task| &task.attempts).filter_map(Attempt::agent);
    parts.fold(Usage { tokens: 0, usd: Some(0.0) }, |sum, part| sum.plus(part.usage))
}

/// Who does a task: its newest attempt's agent, or what the plan says.
pub fn name(task: &Task) -> Option<String> {
    let newest = task.attempts.iter().rev().find_map(Attempt::agent);
    match task.spec.kind() {
        Kind::Agent => newest.map(|part| part.allocation.agent.clone()).or_else(|| words::agent(&task.spec)),
        _ => words::agent(&task.spec),
    }
}
