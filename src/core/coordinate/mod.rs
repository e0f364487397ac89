//! Who does a task that no command does: agents, sessions, and people.
//!
//! An agent that does not exist is never invented: a task that no agent can do becomes the decision `no_agent`, and
//! stays on offer to sessions meanwhile.

pub mod prompt;
pub mod score;
pub mod strategies;

use std::collections::BTreeMap;

use super::{
    Ctx, Rng,
    agent::{AgentProfile, Allocation, Candidate, DriverKind},
    decide::{
        self,
        decision::{DecisionKind, OnExpiry},
    },
    event::Event,
    execute,
    plan::spec::{Effect as Touches, Kind, Part, Work},
    room,
    run::{Proving, Run, RunState},
    state::{Alarm, RunIndex, State},
    task::{Phase, Task},
};
use crate::{
    core::recover::failure,
    ids::{AttemptId, LaneId},
    time::Timestamp,
};
use score::{Field, Pick};

/// How many due tasks of a run are looked at for one that can start.
const LOOK_MAX: usize = 64;

/// How long a session has an attempt without a word, milliseconds.
pub const LEASE_MS: u64 = 600_000;

/// What is due to be handed to somebody, and what was handed out and is due back.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    let alarms = alarms_due(state, ctx);
    if !alarms.is_empty() {
        return alarms;
    }
    let state = &*state;
    for run in state.index.dirty.iter().filter_map(|run| state.run(*run)) {
        let Some(index) = state.index.runs.get(&run.id) else { continue };
        if !matches!(run.state, RunState::Executing | RunState::Monitoring) || run.cancelled || run.stopping {
            continue;
        }
        if decide::mode::holds(state, run) {
            continue;
        }
        let due = index.ready_other.iter().take(LOOK_MAX);
        for (_, _, position) in due {
            let task = &state.tasks[&run.tasks[*position as usize]];
            if super::bisect::waits(run, task) {
                continue;
            }
            let events = match &task.spec.work {
                Work::Question { question, options, criticality } => {
                    let open = decide::open(state, ctx, run, DecisionKind::AgentQuestion, Some(task), |decision| {
                        decision.question = decide::short(question);
                        decision.detail = format!("Asked by {} of {}: {}", task.id, run.id, task.spec.title());
                        decision.criticality = *criticality;
                        if let Some(seconds) = task.spec.extras().timeout_s {
                            // Only where the plan says how long, and then it is put aside, not answered.
                            decision.expires_at = Some(ctx.now.plus_ms((seconds.max(0.0) * 1000.0) as u64));
                            decision.on_expiry = Some(OnExpiry::Park);
                        }
                        decision.options = decide::options_of(options);
                    });
                    vec![open]
                }
                Work::Prompt(_) if task.spec.extras().part == Some(Part::Picks) => {
                    strategies::pick(state, run, task, state.free_lane(ctx.settings.lanes_max))
                }
                Work::Prompt(_) => hand_out(state, ctx, run, index, task),
                Work::Playbook { .. } | Work::Command(_) | Work::Run(_) => Vec::new(),
            };
            if !events.is_empty() {
                return events;
            }
        }
    }
    Vec::new()
}

/// Hands a task to the agent that fits best, or says why it cannot be.
fn hand_out(state: &State, ctx: &mut Ctx, run: &Run, index: &RunIndex, task: &Task) -> Vec<Event> {
    let Some(found) = &run.agents else {
        return if run.looking { Vec::new() } else { vec![Event::AgentsAsked { run: run.id }] };
    };
    let mut failed: BTreeMap<&str, u32> = BTreeMap::new();
    for part in task.attempts.iter().filter(|attempt| execute::judged_wrong(attempt)).filter_map(|a| a.agent()) {
        *failed.entry(part.allocation.agent.as_str()).or_default() += 1;
    }
    let field = Field {
        profiles: &ctx.settings.agents,
        found,
        load: load(state),
        records: &state.records,
        limits: &state.limits,
        failed,
    };
    let (agent, candidates) = match score::pick(&field, &task.spec) {
        Pick::Agent(agent, candidates) => (agent, candidates),
        Pick::Wait(_) => return Vec::new(),
        Pick::Nobody(candidates) => return vec![nobody(state, ctx, run, task, &candidates)],
    };
    // The checks of the untouched base go first: what they say is part of what the agent is told.
    let base_to_come = run.proving_base == Proving::Idle && run.baseline.iter().any(|check| check.result.is_none());
    if base_to_come || !execute::may_start(state, ctx, run, index, task) {
        return Vec::new();
    }
    let before = decide::start::before(state, ctx, run, task);
    if !before.is_empty() {
        return before;
    }
    if let Some(decision) = super::spend::before_spawn(state, ctx, run, task) {
        return vec![decision];
    }
    let before = task.attempts.iter().rev().find(|attempt| attempt.agent().is_some());
    let same_lane = before.and_then(|attempt| attempt.lane).filter(|lane| free(state, ctx, *lane));
    let Some(lane) = same_lane.or_else(|| state.free_lane(ctx.settings.lanes_max)) else { return Vec::new() };
    // A conversation goes on only where it was: an agent files it under its folder.
    let earlier = before.filter(|_| same_lane.is_some()).and_then(|attempt| attempt.agent());
    let earlier = earlier.filter(|part| part.allocation.agent == agent && resumable(part));
    let resume = earlier.is_some();
    let session = match earlier {
        Some(part) => part.session.clone().unwrap_or_else(|| part.allocation.session.clone()),
        None => uuid(ctx.rng),
    };
    let Some((usd, tokens)) = super::spend::reserve(state, ctx, run, task) else { return Vec::new() };
    let profile = ctx.settings.agents.iter().find(|profile| profile.id == agent);
    let account = profile.map(|profile| profile.account.clone()).unwrap_or_default();
    let program = found.iter().find(|found| found.id == agent).map(|found| found.program.clone()).unwrap_or_default();
    let allocation =
        Allocation { agent, candidates, account, session, resume, usd, tokens, program, ..Allocation::default() };
    claim(run, task, lane, allocation).into_iter().collect()
}

/// Whether a conversation got far enough to be gone on with.
fn resumable(part: &super::agent::AgentPart) -> bool {
    part.session.is_some()
}

fn free(state: &State, ctx: &Ctx, lane: LaneId) -> bool {
    let allowed = state.lanes_allowed(ctx.settings.lanes_max);
    lane.0 <= allowed
        && state.index.lanes.len() < allowed as usize
        && !state.index.lanes.contains(&lane)
        && !state.index.left_open.contains(&lane)
}

/// The event that hands an attempt out. It goes on from the work of the attempt before, unless that conflicted.
fn claim(run: &Run, task: &Task, lane: LaneId, allocation: Allocation) -> Option<Event> {
    let before = task.attempts.last().and_then(|attempt| attempt.more.as_deref());
    let kept = before.filter(|more| {
        let conflict = more.failure.as_ref().is_some_and(|failure| failure.class == "conflict");
        !conflict && more.agent.is_some() && more.commit.is_some() && more.commit != more.from
    });
    let (from, start) = match kept {
        Some(more) => (more.from.clone()?, more.commit.clone()),
        None => (run.tip_commit()?.to_owned(), None),
    };
    Some(Event::AttemptClaimed {
        attempt: execute::next_attempt(task),
        lane: Some(lane),
        from: Some(from),
        start,
        agent: Some(Box::new(allocation)),
    })
}

/// How many attempts each agent has under way, in all runs. One whose work a person looks at needs it no more.
pub fn load(state: &State) -> BTreeMap<&str, u32> {
    let mut load = BTreeMap::new();
    for index in state.index.runs.values() {
        for task in index.trying_own.iter().filter_map(|task| state.task(*task)) {
            let live = task.current().filter(|(_, live)| live.phase != Phase::Reviewing);
            if let Some(part) = live.and_then(|(_, live)| live.agent()) {
                *load.entry(part.allocation.agent.as_str()).or_default() += 1;
            }
        }
    }
    load
}

fn nobody(state: &State, ctx: &Ctx, run: &Run, task: &Task, candidates: &[Candidate]) -> Event {
    let why: String = candidates
        .iter()
        .map(|candidate| format!("- {}: {}\n", candidate.agent, candidate.out.as_deref().unwrap_or("")))
        .collect();
    let pulled = ctx.settings.agents.iter().any(|profile| profile.driver == DriverKind::Pull);
    let why = match (why.is_empty(), pulled) {
        (true, false) => "No coding agent is declared in config.toml.\n".to_owned(),
        (true, true) => "Only sessions are declared as agents in config.toml.\n".to_owned(),
        (false, _) => why,
    };
    decide::open(state, ctx, run, DecisionKind::NoAgent, Some(task), |decision| {
        decision.question = decide::short(&format!("No agent can do {}: {}", task.id, task.spec.title()));
        let first = match pulled {
            true => "",
            false => "put `[agents.session]` with `driver = \"pull\"` into config.toml, start the session anew, and ",
        };
        decision.detail = format!(
            "{why}\nWhat helps: install one (`orchestrator agents` lists those that can be driven) and look again; {first}\
             let a session take it (Claude Code or any MCP client, by its tool `claim_task` with {}, which stays on \
             offer); or do it with a command of your own: `orchestrator run --do CMD --verify CHECK`.",
            task.id
        );
        decision.criticality = 0.1;
        decision.options = vec![
            decide::choice("again", "Look again", "The PATH is searched again and the task is offered anew.", true),
            decide::choice("skip", "Leave it out", "The task is cancelled; what needs it is blocked.", true),
        ];
    })
}

/// A task that a session may have: due, or without an agent.
pub fn offered(state: &State, task: &Task) -> bool {
    let Some(run) = state.run(task.run) else { return false };
    let going = matches!(run.state, RunState::Executing | RunState::Monitoring | RunState::Escalating);
    let picks = task.spec.extras().part == Some(Part::Picks);
    if task.spec.kind() != Kind::Agent || picks || !going || run.cancelled || run.stopping {
        return false;
    }
    if task.spec.effect == Touches::External && !task.approved {
        return false;
    }
    match task.state {
        super::task::TaskState::Ready => !super::bisect::waits(run, task),
        super::task::TaskState::Asking(decision) => state
            .decisions
            .get(&decision)
            .is_some_and(|decision| decision.kind == DecisionKind::NoAgent && decision.open()),
        _ => false,
    }
}

/// Hands a task to a session, under a lease. The events, or why not now.
pub fn lease(state: &State, ctx: &mut Ctx, task: &Task, holder: &str) -> Result<Vec<Event>, String> {
    let (Some(run), Some(index)) = (state.run(task.run), state.index.runs.get(&task.run)) else {
        return Err(format!("{} is over", task.run));
    };
    let profile = may_be_pulled(state, ctx, task)?;
    if !execute::may_start(state, ctx, run, index, task) {
        return Err(format!("{} has to wait for tasks that write the same files", task.id));
    }
    let Some(lane) = state.free_lane(ctx.settings.lanes_max) else {
        return Err(match &state.room {
            Some(room) => room.why.clone(),
            None => "every lane is in use".to_owned(),
        });
    };
    let allocation = Allocation {
        agent: holder.to_owned(),
        profile: profile.unwrap_or_default(),
        session: uuid(ctx.rng),
        lease_until: Some(ctx.now.plus_ms(LEASE_MS)),
        ..Allocation::default()
    };
    let mut events = Vec::new();
    if let super::task::TaskState::Asking(decision) = task.state {
        events.push(Event::DecisionWithdrawn { decision, why: format!("{holder} takes it") });
        events.push(Event::TaskReopened { task: task.id });
    }
    events.extend(claim(run, task, lane, allocation));
    Ok(events)
}

/// Whether one of the declared agents that sessions stand for can do this, and has room. Where none is declared, nobody
/// gets here by the daemon, and nothing limits those that do.
fn may_be_pulled(state: &State, ctx: &Ctx, task: &Task) -> Result<Option<String>, String> {
    let pulled: Vec<_> = ctx.settings.agents.iter().filter(|profile| profile.driver == DriverKind::Pull).collect();
    if pulled.is_empty() {
        return Ok(None);
    }
    let needs = &task.spec.extras().capabilities;
    let able = |profile: &&&AgentProfile| {
        profile.capabilities.is_empty() || needs.iter().all(|need| profile.capabilities.contains(need))
    };
    let able: Vec<_> = pulled.iter().filter(able).collect();
    let Some(first) = able.first() else {
        return Err(format!("it needs {}, which no agent with driver = \"pull\" has", needs.join(", ")));
    };
    let tasks = state.index.runs.values().flat_map(|index| &index.trying_own).filter_map(|task| state.task(*task));
    let leased = tasks.filter(|task| task.current().is_some_and(|(_, live)| live.leased())).count();
    let most: u32 = pulled.iter().map(|profile| profile.max_load).sum();
    match leased >= most as usize {
        true => Err(format!("sessions have {leased} tasks, the most they may (agents.NAME.max_load)")),
        false => Ok(Some(first.id.clone())),
    }
}

/// What was due at a time that has come.
fn alarms_due(state: &State, ctx: &Ctx) -> Vec<Event> {
    let Some((at, alarm)) = state.index.alarms.first() else { return Vec::new() };
    if *at > ctx.now {
        return Vec::new();
    }
    match alarm {
        Alarm::Account(account) => vec![Event::AccountFree { account: account.clone() }],
        Alarm::Lease(attempt) => {
            let what = "the session that had it has not been heard of for ten minutes";
            vec![Event::AttemptOver { attempt: *attempt, failure: Some(failure::of_lease(what)) }]
        }
        Alarm::Deadline(run) => vec![Event::DeadlinePassed { run: *run }],
        Alarm::Room => room::look(state).into_iter().collect(),
        Alarm::Ask(attempt, request) => vec![not_now(state, *attempt, request)],
    }
}

/// An agent that has waited long enough is told so; its decision stays open.
fn not_now(state: &State, attempt: AttemptId, request: &str) -> Event {
    let decision = state.live(attempt).and_then(|(_, live)| live.agent()?.ask(request)?.decision);
    let what = decision.map_or_else(|| "the decision".to_owned(), |decision| decision.to_string());
    let reason = format!(
        "Not now: nobody has answered yet, and {what} stays open. Do what can be done without it, or stop here; you will \
         be told the answer and can go on then."
    );
    Event::AskParked { attempt, request: request.to_owned(), verdict: super::agent::AskVerdict::Deny(reason) }
}

/// Until when a lease runs that is renewed now.
pub fn lease_until(now: Timestamp) -> Timestamp {
    now.plus_ms(LEASE_MS)
}

/// A random UUID (version 4).
fn uuid(rng: &mut Rng) -> String {
    let (high, low) = (rng.next(), rng.next());
    let high = (high & !0xF000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}
