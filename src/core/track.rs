//! Reports are recorded here, and runs are taken to their end: escalation, final checks, publication, outcome.
//!
//! Progress is computed ([`progress`]), never stored.

use super::{
    Ctx, Report,
    agent::Ask,
    bisect, budget,
    coordinate::prompt,
    decide::{self, keys},
    effect,
    event::Event,
    input::AgentSaid,
    job::{End, JobId, JobResult},
    land::{settled, stopped},
    plan::spec::{Part, TaskSpec, Work},
    prove::CheckResult,
    recover::failure,
    room,
    run::{Bringing, Outcome, Proving, Run, RunState, Shared, Trigger, Undeclared},
    state::{RunIndex, State},
    task::{Phase, Settled, Task, TaskState},
};
use crate::{
    ids::{AttemptId, RunId},
    time::Timestamp,
};

/// How often the ref of a run may be found elsewhere before its change fails.
const REFUSED_MAX: u32 = 3;

/// What a report adds to the record. One about an attempt that is no longer under way adds nothing.
pub fn record(state: &State, report: Report, now: Timestamp) -> Vec<Event> {
    let room = room::found_by(&report);
    let events = recorded(state, report, now);
    match room && !events.is_empty() {
        true => room::found(state).into_iter().chain(events).collect(),
        false => events,
    }
}

fn recorded(state: &State, report: Report, now: Timestamp) -> Vec<Event> {
    match report {
        Report::NoRoom { waiter, why } => {
            room::missing(state, waiter, why).unwrap_or_else(|failed| recorded(state, *failed, now))
        }
        // Whoever starts it anew may have made room, or want less of it.
        Report::Woken => room::look(state).into_iter().collect(),
        Report::AgentsFound { run, agents } => match state.run(run) {
            Some(found) if found.looking => vec![Event::AgentsFound { run, agents }],
            _ => Vec::new(),
        },
        Report::KeysMissing { attempt, names } => keys::missing(state, attempt, &names, now),
        Report::KeysGiven => keys::given(state),
        Report::AgentSaid { attempt, said } => agent_said(state, attempt, said, now),
        Report::Surveyed { run, facts, base, notes } => match state.run(run) {
            Some(found) if found.state == RunState::Analyzing && found.facts.is_none() => {
                vec![Event::RunSurveyed { run, facts, base, notes }]
            }
            _ => Vec::new(),
        },
        Report::SurveyFailed { run, why } => match state.run(run) {
            Some(found) if found.state == RunState::Analyzing && found.facts.is_none() => give_up(found, why),
            _ => Vec::new(),
        },
        Report::LanePrepared { attempt } => match state.live(attempt) {
            Some((task, live)) if matches!(live.phase, Phase::Preparing | Phase::Restaging) => {
                let part = live.agent().filter(|_| live.phase == Phase::Preparing && !live.leased());
                let told = part.and_then(|part| Some(prompt::told(state, state.run(task.run)?, task, part)));
                vec![Event::AttemptPrepared { attempt, told: told.map(Box::new) }]
            }
            _ => Vec::new(),
        },
        Report::LaneFailed { attempt, why } => match state.live(attempt) {
            Some((_, live)) if matches!(live.phase, Phase::Preparing | Phase::Restaging) => {
                vec![Event::AttemptOver { attempt, failure: Some(failure::of_step(&why)) }]
            }
            _ => Vec::new(),
        },
        // Only where a step of ours is under way: a job that runs has the last word about its attempt.
        Report::StepFailed { attempt, why } => match state.live(attempt) {
            Some((_, live)) if matches!(live.phase, Phase::Harvesting | Phase::Merging | Phase::Advancing) => {
                vec![Event::AttemptOver { attempt, failure: Some(failure::of_step(&why)) }]
            }
            _ => Vec::new(),
        },
        Report::SharedPrepared { run, failed } => match (state.run(run), failed) {
            (Some(found), None) if matches!(found.shared, Shared::Preparing(_)) => vec![Event::SharedReady { run }],
            (Some(found), Some(why)) if matches!(found.shared, Shared::Preparing(_)) => {
                // Those that were due fail with it; the rest of the run goes on.
                let due = state.index.runs.get(&run).into_iter().flat_map(|index| &index.ready_shared);
                let due = due.map(|(_, _, position)| &state.tasks[&found.tasks[*position as usize]]);
                let failed = due.map(|task| settled(task, Settled::Failed, &format!("no lane to read in: {why}")));
                std::iter::once(Event::SharedFreed { run, undeclared: None }).chain(failed).collect()
            }
            _ => Vec::new(),
        },
        Report::SharedInspected { run, changed } => match state.run(run) {
            Some(found) if matches!(found.shared, Shared::Inspecting(_)) => inspected(state, found, changed),
            _ => Vec::new(),
        },
        Report::BasePrepared { run, failed } => match (state.run(run), failed) {
            (Some(found), _)
                if (found.cancelled || found.base_unneeded) && matches!(found.proving_base, Proving::Preparing(_)) =>
            {
                vec![Event::BaseFreed { run }]
            }
            (Some(found), None) if matches!(found.proving_base, Proving::Preparing(_)) => {
                let index = found.baseline.iter().position(|check| check.result.is_none()).unwrap_or(0) as u32;
                vec![Event::BaseChecking { run, index }]
            }
            (Some(found), Some(why)) if matches!(found.proving_base, Proving::Preparing(_)) => {
                // Without a base to compare with, a red check counts as the change's.
                let failed = |index: usize| Event::BaseChecked { run, index: index as u32, result: unproven(&why) };
                let open = found.baseline.iter().enumerate().filter(|(_, check)| check.result.is_none());
                let mut events: Vec<Event> = open.map(|(index, _)| failed(index)).collect();
                events.push(Event::BaseFreed { run });
                events.push(Event::RunNoted { run, note: format!("the base could not be checked: {why}") });
                events
            }
            _ => Vec::new(),
        },
        Report::FinalPrepared { run, failed } => match (state.run(run), failed) {
            (Some(found), _) if found.cancelled && matches!(found.proving_final, Proving::Preparing(_)) => {
                vec![Event::FinalFreed { run }]
            }
            (Some(found), None) if matches!(found.proving_final, Proving::Preparing(_)) => {
                let first = || found.finals.iter().position(|check| check.result.is_none()).unwrap_or(0) as u32;
                let index = found.bisect.map_or_else(first, |bisect| bisect.check);
                vec![Event::FinalChecking { run, index }]
            }
            (Some(found), Some(why)) if found.bisect.is_some() && found.proving_final != Proving::Idle => {
                vec![bisect::gave_up(found, &why), Event::FinalFreed { run }]
            }
            (Some(found), Some(why)) if matches!(found.proving_final, Proving::Preparing(_)) => {
                let failed = |index: usize| Event::FinalChecked { run, index: index as u32, result: unproven(&why) };
                let open = found.finals.iter().enumerate().filter(|(_, check)| check.result.is_none());
                let mut events: Vec<Event> = open.map(|(index, _)| failed(index)).collect();
                events.push(Event::FinalFreed { run });
                events
            }
            _ => Vec::new(),
        },
        Report::Noted { run, note } => match state.run(run) {
            // Every lane of the run says the same.
            Some(found) if !found.ended() && !found.notes.contains(&note) => vec![Event::RunNoted { run, note }],
            _ => Vec::new(),
        },
        Report::JobStarted { job: JobId::Attempt(attempt), at } => match state.live(attempt) {
            Some((_, live)) if live.phase == Phase::Running && live.started_at.is_none() => {
                vec![Event::AttemptStarted { attempt, at }]
            }
            _ => Vec::new(),
        },
        Report::JobStarted { .. } => Vec::new(),
        Report::JobEnded { job, result } => job_ended(state, job, result),
        Report::Harvested { attempt, commit, tree, diff, paths, noticed } => match state.live(attempt) {
            Some((_, live)) if live.phase == Phase::Harvesting => {
                vec![Event::AttemptHarvested { attempt, commit, tree, diff, paths, noticed }]
            }
            _ => Vec::new(),
        },
        Report::Merged { attempt, commit, tree, onto } => match state.live(attempt) {
            Some((_, live)) if live.phase == Phase::Merging => {
                vec![Event::AttemptMerged { attempt, commit, tree, onto }]
            }
            _ => Vec::new(),
        },
        Report::MergeConflict { attempt, paths } => match state.live(attempt) {
            Some((_, live)) if live.phase == Phase::Merging => {
                vec![Event::AttemptOver { attempt, failure: Some(failure::conflict(&paths)) }]
            }
            _ => Vec::new(),
        },
        Report::Advanced { attempt } => match state.live(attempt) {
            Some((task, live)) if live.phase == Phase::Advancing => {
                let merged = live.more.as_ref().and_then(|more| more.merged.clone());
                match merged {
                    Some((commit, tree, _)) => {
                        let landed = Event::AttemptLanded { attempt, commit, tree };
                        vec![landed, settled(task, Settled::Completed, "")]
                    }
                    None => Vec::new(),
                }
            }
            _ => Vec::new(),
        },
        Report::AdvanceRefused { attempt, why } => match state.live(attempt) {
            Some((_, live)) if live.phase == Phase::Advancing => {
                let before = live.more.as_ref().map_or(0, |more| more.refused);
                vec![match before < REFUSED_MAX {
                    // The ref is set back to where the journal has it, and the change merged again.
                    true => Event::AttemptMoved { attempt, to: Phase::Merging },
                    false => Event::AttemptOver { attempt, failure: Some(failure::of_step(&why)) },
                }]
            }
            _ => Vec::new(),
        },
        Report::Published { run, branch, failed } => match state.run(run) {
            Some(found) if found.state == RunState::Completing && !found.published => {
                let note = failed.map(|why| Event::RunNoted { run, note: format!("no branch was made: {why}") });
                note.into_iter().chain([Event::RunPublished { run, branch }]).collect()
            }
            _ => Vec::new(),
        },
        Report::Applied { run, apply } => match bringing(state, run) {
            Some(Bringing::Apply { number, .. }) if *number == apply.number => vec![Event::Applied { run, apply }],
            _ => Vec::new(),
        },
        Report::ApplyRefused { run, why, paths } => match bringing(state, run) {
            Some(Bringing::Apply { .. }) => vec![Event::ApplyRefused { run, why, paths }],
            _ => Vec::new(),
        },
        Report::Undone { run, number, paths } => match bringing(state, run) {
            Some(Bringing::Undo { number: begun }) if *begun == number => vec![Event::Undone { run, number, paths }],
            _ => Vec::new(),
        },
        Report::UndoRefused { run, why, paths } => match bringing(state, run) {
            Some(Bringing::Undo { .. }) => vec![Event::UndoRefused { run, why, paths }],
            _ => Vec::new(),
        },
    }
}

/// What somebody changed in the readers' lane, who read there, and that the lane is free.
fn inspected(state: &State, run: &Run, changed: Result<Vec<String>, String>) -> Vec<Event> {
    let since = run.shared_since.unwrap_or_default();
    let read_there = |task: &&Task| {
        !task.apart && task.attempts.iter().any(|attempt| attempt.lane.is_none() && attempt.claimed_at >= since)
    };
    let readers = || run.tasks.iter().filter_map(|task| state.task(*task)).filter(read_there).map(|task| task.id);
    let (undeclared, note) = match changed {
        Ok(paths) if paths.is_empty() => (None, None),
        Ok(paths) => (Some(Box::new(Undeclared { paths, readers: readers().collect() })), None),
        Err(why) => (None, Some(format!("nobody could look whether tasks that only read changed files: {why}"))),
    };
    let freed = Event::SharedFreed { run: run.id, undeclared };
    std::iter::once(freed).chain(note.map(|note| Event::RunNoted { run: run.id, note })).collect()
}

/// What an agent's conversation says. Of what is known already, nothing is stored.
fn agent_said(state: &State, attempt: AttemptId, said: AgentSaid, now: Timestamp) -> Vec<Event> {
    let Some((_, live)) = state.live(attempt).filter(|(_, live)| live.phase == Phase::Running && live.end.is_none())
    else {
        return Vec::new();
    };
    let Some(part) = live.agent() else { return Vec::new() };
    let spoke = |session, usage| vec![Event::AgentSpoke { attempt, session, usage, percent: None }];
    match said {
        AgentSaid::Session(session) if part.session.as_ref() != Some(&session) => spoke(Some(session), None),
        AgentSaid::Usage(usage) if usage != part.usage => spoke(None, Some(usage)),
        AgentSaid::Session(_) | AgentSaid::Usage(_) => Vec::new(),
        AgentSaid::Asked { request, tool, input, judgement } => match part.ask(&request) {
            Some(_) => Vec::new(),
            None => {
                let key = judgement.key.clone();
                let (decision, verdict, parked) = (None, None, false);
                let judgement = Some(*judgement);
                let ask = Ask { request, tool, input, key, judgement, at: now, decision, verdict, parked };
                vec![Event::AgentAsked { attempt, ask: Box::new(ask) }]
            }
        },
        AgentSaid::Withdrawn(request) => match part.ask(&request) {
            Some(ask) if ask.verdict.is_none() => vec![Event::AskWithdrawn { attempt, request }],
            _ => Vec::new(),
        },
    }
}

fn bringing(state: &State, run: RunId) -> Option<&Bringing> {
    state.run(run)?.bringing.as_ref()
}

fn job_ended(state: &State, job: JobId, result: JobResult) -> Vec<Event> {
    let check = |attempt: AttemptId, merged: bool, index: u32, phase: Phase| match state.live(attempt) {
        Some((_, live)) if live.phase == phase => {
            vec![Event::CheckEnded { attempt, merged, index, result: CheckResult::of(&result) }]
        }
        _ => Vec::new(),
    };
    match job {
        JobId::Attempt(attempt) => match state.live(attempt) {
            Some((task, live)) if live.phase == Phase::Running && live.end.is_none() => {
                let tail = if result.end.success() { String::new() } else { result.tail };
                let JobResult { end, started_at, ended_at, mut agent, .. } = result;
                if task.spec.extras().part != Some(Part::Plans) {
                    // A plan is kept whole; of other last words the end will do.
                    agent.iter_mut().for_each(|agent| shorten(&mut agent.said));
                }
                vec![Event::AttemptRan { attempt, end, started_at, ended_at, tail, agent }]
            }
            _ => Vec::new(),
        },
        // Laying lanes out reports by itself.
        JobId::Setup(..) => Vec::new(),
        JobId::Check(attempt, index) => check(attempt, false, index, Phase::Checking(index)),
        JobId::Merged(attempt, index) => check(attempt, true, index, Phase::Rechecking(index)),
        JobId::Probe(attempt) => match state.live(attempt) {
            Some((_, live)) if live.phase == Phase::Probing => probed(state, attempt, &result),
            _ => Vec::new(),
        },
        JobId::Compensate(attempt) => match state.live(attempt) {
            Some((task, live)) if live.phase == Phase::Compensating => {
                if result.end.success() {
                    let why = "its effect outside was taken back";
                    vec![settled(task, Settled::Undone, why)]
                } else {
                    let failure = failure::stuck(&result.end, &result.tail);
                    vec![Event::AttemptOver { attempt, failure: Some(failure) }]
                }
            }
            _ => Vec::new(),
        },
        JobId::Baseline(run, _) => match state.run(run).map(|found| (found, found.proving_base)) {
            Some((found, Proving::Running(_, index))) if effect::base_job(found, index) == job => {
                vec![match result.end {
                    _ if found.cancelled || found.base_unneeded => Event::BaseFreed { run },
                    // It says nothing about the tree, so it begins anew.
                    End::Lost | End::Cancelled => Event::BaseChecking { run, index },
                    _ => Event::BaseChecked { run, index, result: CheckResult::of(&result) },
                }]
            }
            _ => Vec::new(),
        },
        JobId::Final(run, _) => match state.run(run).map(|found| (found, found.proving_final)) {
            Some((found, Proving::Running(_, index))) if effect::final_job(found, index) == job => {
                vec![match result.end {
                    _ if found.cancelled => Event::FinalFreed { run },
                    End::Lost | End::Cancelled => Event::FinalChecking { run, index },
                    _ if found.bisect.is_some() => bisect::looked(found, &CheckResult::of(&result)),
                    _ => Event::FinalChecked { run, index, result: CheckResult::of(&result) },
                }]
            }
            _ => Vec::new(),
        },
    }
}

/// Most that is kept of an agent's last words, bytes.
const SAID_BYTES_MAX: usize = 4_000;

fn shorten(said: &mut String) {
    if let Some(from) = said.len().checked_sub(SAID_BYTES_MAX).filter(|from| *from > 0) {
        let from = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(said.len());
        said.drain(..from);
    }
}

/// A failed task's effect outside is there (then it is taken back) or not (then it just failed).
fn probed(state: &State, attempt: AttemptId, result: &JobResult) -> Vec<Event> {
    if result.end.success() {
        return vec![Event::AttemptMoved { attempt, to: Phase::Compensating }];
    }
    let Some((task, live)) = state.live(attempt) else { return Vec::new() };
    if !matches!(result.end, End::Exit(_)) {
        // Nobody knows whether it is there.
        let failure = failure::stuck(&result.end, &result.tail);
        return vec![Event::AttemptOver { attempt, failure: Some(failure) }];
    }
    match live.end {
        Some(End::Exit(0)) => {
            return vec![settled(task, Settled::Undone, "it was not proven, and its effect outside is not there")];
        }
        Some(End::Cancelled) => return vec![settled(task, Settled::Cancelled, "cancelled")],
        _ => {}
    }
    let end = live.end.clone().unwrap_or(End::Lost);
    let tail = live.more.as_ref().map_or("", |more| more.tail.as_str());
    vec![Event::AttemptOver { attempt, failure: Some(failure::of_end(&end, tail)) }]
}

fn unproven(why: &str) -> CheckResult {
    CheckResult {
        end: End::NotStarted(why.to_owned()),
        seconds: 0.0,
        tail: why.to_owned(),
        failures: Vec::new(),
        ran: None,
    }
}

/// A run that cannot go on through no fault of its tasks.
fn give_up(run: &Run, why: String) -> Vec<Event> {
    let mut events: Vec<Event> = moved(run, Trigger::Error).into_iter().collect();
    events.push(Event::RunEnded { run: run.id, outcome: Outcome::Failed, why });
    events
}

/// The event that takes a run over this transition, if the machine has it.
pub fn moved(run: &Run, trigger: Trigger) -> Option<Event> {
    match run.state.next(trigger) {
        Ok(to) => Some(Event::RunMoved { run: run.id, to, trigger }),
        Err(illegal) => {
            debug_assert!(false, "{}: {illegal}", run.id);
            None
        }
    }
}

/// Why a task of a plan that stops at a failure is not begun.
pub const STOPS: &str = "the plan stops after a failure";

/// Runs on their way to an end, or to waiting for a person.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    let used_up = budget::due(state, ctx);
    if !used_up.is_empty() {
        return used_up;
    }
    for run in state.index.dirty.iter().filter_map(|run| state.run(*run)) {
        let Some(index) = state.index.runs.get(&run.id) else { continue };
        let events = due_of(state, ctx, run, index);
        if !events.is_empty() {
            return events;
        }
    }
    Vec::new()
}

fn due_of(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex) -> Vec<Event> {
    if (run.cancelled || run.stopping) && index.unsettled > 0 {
        let events = stop_leftovers(state, run);
        if !events.is_empty() {
            return events;
        }
    }
    match run.state {
        RunState::Analyzing | RunState::Planning if run.cancelled => moved(run, Trigger::Cancel).into_iter().collect(),
        RunState::Executing | RunState::Monitoring | RunState::Escalating if index.unsettled == 0 => {
            if let Shared::Ready(_) = run.shared {
                // Readers that were killed half-way say nothing that counts.
                return vec![match run.cancelled {
                    true => Event::SharedFreed { run: run.id, undeclared: None },
                    false => Event::SharedInspecting { run: run.id },
                }];
            }
            if run.proving_base != Proving::Idle && !run.base_unneeded && !run.cancelled {
                return vec![Event::BaseDropped { run: run.id }];
            }
            if run.proving_base != Proving::Idle || run.shared != Shared::None {
                // Whoever works in those lanes reports, and then they are free.
                return Vec::new();
            }
            if run.undeclared.is_some() && !run.cancelled {
                // What the readers said may not stand.
                return match run.state {
                    RunState::Monitoring if index.open > 0 => moved(run, Trigger::Escalate).into_iter().collect(),
                    _ => Vec::new(),
                };
            }
            let trigger = match run.state {
                _ if run.cancelled => Trigger::Cancel,
                RunState::Executing => Trigger::Monitor,
                RunState::Escalating => Trigger::UserResponse,
                _ => Trigger::Complete,
            };
            moved(run, trigger).into_iter().collect()
        }
        // Not while it is open what becomes of a failed attempt: it may be due again.
        RunState::Monitoring if !goes_on(state, ctx, run, index) && index.open > 0 && !state.undecided() => {
            moved(run, Trigger::Escalate).into_iter().collect()
        }
        RunState::Escalating if goes_on(state, ctx, run, index) || index.open == 0 => {
            moved(run, Trigger::UserResponse).into_iter().collect()
        }
        RunState::Completing => completing(state, ctx, run),
        _ => Vec::new(),
    }
}

/// Whether anything of a run goes on without anybody's answer.
fn goes_on(state: &State, ctx: &Ctx, run: &Run, index: &RunIndex) -> bool {
    match run.halted() || state.all_ask(ctx.settings.lanes_max) {
        true => index.going(state) > 0,
        false => index.moving(state),
    }
}

/// Tasks of a run that was cancelled, or that stops after a failure: all that no process stands for is over.
fn stop_leftovers(state: &State, run: &Run) -> Vec<Event> {
    let mut events = Vec::new();
    let why = match run.exhausted {
        Some(limit) => format!("what the run may use is used up ({})", limit.word()),
        None => STOPS.to_owned(),
    };
    for task in run.tasks.iter().filter_map(|task| state.task(*task)) {
        if events.len() >= super::ANSWER_MAX {
            break;
        }
        let over = match (task.state, task.current()) {
            (TaskState::Settled(_), _) => false,
            // What runs reports its end; what is landing lands.
            (TaskState::Trying, Some((id, live))) => {
                let stoppable = super::effect::job_of(id, live).is_none()
                    && !matches!(live.phase, Phase::Advancing | Phase::Probing | Phase::Compensating);
                (run.cancelled && stoppable) || (run.stopping && live.phase == Phase::Preparing)
            }
            // What follows from its failure is `recover`'s to say.
            (TaskState::Trying, None) => false,
            (TaskState::Asking(_), _) => run.cancelled,
            // It was done before; only its landing is due.
            _ if bisect::waits(run, task) => run.cancelled,
            _ => true,
        };
        if over {
            events.push(match run.cancelled {
                true => stopped(state, task, "the run was cancelled"),
                false => settled(task, Settled::Blocked, &why),
            });
        }
    }
    events
}

fn completing(state: &State, ctx: &Ctx, run: &Run) -> Vec<Event> {
    if run.bisect.is_some() && !run.cancelled {
        return bisect::due(state, run, state.free_lane(ctx.settings.lanes_max));
    }
    let next = run.finals.iter().position(|check| check.result.is_none());
    match (run.proving_final, next) {
        (Proving::Idle, Some(_)) if !run.finals_over() => {
            return match state.free_lane(ctx.settings.lanes_max) {
                Some(lane) => vec![Event::FinalPreparing { run: run.id, lane }],
                None => Vec::new(),
            };
        }
        // Whoever works in that lane reports, and then it is free.
        (Proving::Running(..) | Proving::Preparing(_), _) if run.cancelled => return Vec::new(),
        (Proving::Running(_, current), Some(next)) if next as u32 != current => {
            return vec![Event::FinalChecking { run: run.id, index: next as u32 }];
        }
        (Proving::Running(..), None) => {
            return bisect::begin(run).into_iter().chain([Event::FinalFreed { run: run.id }]).collect();
        }
        _ => {}
    }
    if !run.published {
        return Vec::new();
    }
    let (outcome, why) = outcome(state, run);
    let mut events: Vec<Event> = moved(run, Trigger::Finish).into_iter().collect();
    events.push(Event::RunEnded { run: run.id, outcome, why });
    if matches!(outcome, Outcome::Completed | Outcome::Partial) {
        events.extend(decide::mode::offer(state, ctx, run));
    }
    events
}

/// How a run whose tasks are all over ended.
fn outcome(state: &State, run: &Run) -> (Outcome, String) {
    // A candidate that was not chosen is no part of the result, however it ended; nor is a plan that did not come about,
    // where others did the work without.
    let apart = |task: &&Task| match task.spec.extras().part {
        Some(Part::Candidate(_)) => true,
        Some(Part::Plans) => run.tasks.len() > 1 && task.settled() == Some(Settled::Failed),
        _ => false,
    };
    let tasks = || run.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| !apart(task));
    let all = tasks().count();
    let completed = tasks().filter(|task| task.settled() == Some(Settled::Completed)).count();
    let unproven = !run.landed.is_empty() && run.finals.iter().any(|check| check.result.is_none());
    if run.cancelled && (run.tasks.is_empty() || completed < all || unproven) {
        return (Outcome::Cancelled, format!("cancelled after {completed} of {all} tasks"));
    }
    let red = run.finals.iter().find(|check| check.result.as_ref().is_some_and(|result| !result.passed()));
    if let Some(check) = red {
        let why = format!("the final check `{}` is red", check.argv.join(" "));
        return match &run.unexplained {
            Some(more) => (Outcome::Failed, format!("{why}; {more}")),
            None => (Outcome::Failed, why),
        };
    }
    let bad: Vec<&Task> = tasks().filter(|task| task.settled() != Some(Settled::Completed)).collect();
    let Some(first) = bad.iter().find(|task| task.settled() != Some(Settled::Blocked)).or(bad.first()) else {
        return (Outcome::Completed, String::new());
    };
    let status = first.status();
    let why = format!("{} of {all} tasks did not complete, first {} ({status})", bad.len(), first.id);
    (if completed > 0 { Outcome::Partial } else { Outcome::Failed }, why)
}

/// The command of a task, for people.
pub fn command_line(spec: &TaskSpec) -> String {
    match &spec.work {
        Work::Command(argv) => argv.join(" "),
        Work::Run(text) => text.clone(),
        Work::Prompt(text) => text.clone(),
        Work::Playbook { name, .. } => format!("playbook {name}"),
        Work::Question { question, .. } => question.clone(),
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its tasks.
    pub total: u32,
    /// Those that completed.
    pub completed: u32,
    /// Those that are over, however.
    pub settled: u32,
    /// Those under way.
    pub active: u32,
    /// 0..100; 100 only when everything is over and proven.
    pub percent: f64,
    /// Mean duration of the finished attempts, seconds.
    pub average_s: Option<f64>,
    /// The share of what was tried to the end that was proven at the first attempt; `None` before the first. What was
    /// blocked or cancelled was not tried to the end.
    pub first_share: Option<f64>,
    /// Milestones reached, of all.
    pub milestones: (u32, u32),
}

/// Computes how far a run is. An attempt under way counts by its phase: half when its command is over.
pub fn progress(state: &State, run: &Run) -> Progress {
    let mut progress = Progress {
        total: run.tasks.len() as u32,
        completed: 0,
        settled: 0,
        active: 0,
        percent: 0.0,
        average_s: None,
        first_share: None,
        milestones: (0, 0),
    };
    let (mut done, mut seconds, mut ended, mut first, mut tried) = (0.0, 0.0, 0u32, 0u32, 0u32);
    let mut milestones = std::collections::BTreeMap::<&str, bool>::new();
    for task in run.tasks.iter().filter_map(|task| state.task(*task)) {
        if let Some(milestone) = task.spec.extras().milestone.as_deref() {
            *milestones.entry(milestone).or_insert(true) &= task.settled() == Some(Settled::Completed);
        }
        for attempt in &task.attempts {
            if let (Some(start), Some(end)) = (attempt.started_at, attempt.ended_at) {
                seconds += end.seconds_since(start);
                ended += 1;
            }
        }
        match (task.settled(), task.current()) {
            (Some(how), _) => {
                progress.settled += 1;
                done += 1.0;
                tried += u32::from(!matches!(how, Settled::Blocked | Settled::Cancelled));
                if how == Settled::Completed {
                    progress.completed += 1;
                    first += u32::from(task.attempts.len() <= 1);
                }
            }
            (None, Some((_, live))) => {
                progress.active += 1;
                done += match live.phase {
                    Phase::Preparing => 0.0,
                    Phase::Running => 0.1,
                    Phase::Harvesting | Phase::Checking(_) | Phase::AwaitingBase(_) => 0.5,
                    _ => 0.8,
                };
            }
            (None, None) => {}
        }
    }
    progress.milestones = (milestones.values().filter(|reached| **reached).count() as u32, milestones.len() as u32);
    progress.average_s = (ended > 0).then(|| seconds / f64::from(ended));
    progress.first_share = (tried > 0).then(|| f64::from(first) / f64::from(tried));
    progress.percent = if run.ended() {
        100.0
    } else if progress.total == 0 {
        0.0
    } else {
        // The last per cent belongs to the final checks and publication.
        (done / f64::from(progress.total) * 100.0).min(99.0)
    };
    progress
}

/// When a run is expected to be over: p50 and p90, from what is left on its longest way and on its busiest worker.
pub fn eta_s(state: &State, run: &Run, workers: u32, now: Timestamp) -> Option<(f64, f64)> {
    let index = state.index.runs.get(&run.id)?;
    let measured = progress(state, run).average_s;
    let (mut work, mut longest) = (0.0f64, 0.0f64);
    for task in run.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.settled().is_none()) {
        let own = task.spec.extras().estimate_s.or(measured).unwrap_or(super::state::ESTIMATE_PRIOR_MS as f64 / 1000.0);
        let spent = task.current().and_then(|(_, live)| live.started_at).map_or(0.0, |start| now.seconds_since(start));
        work += (own - spent).max(own * 0.1);
        if task.spec.extras().estimate_s.is_some() || measured.is_none() {
            longest = longest.max(*index.bottom.get(task.position as usize)? as f64 / 1000.0);
        } else {
            longest = longest.max(own);
        }
    }
    let p50 = longest.max(work / f64::from(run.jobs(workers)));
    Some((p50, p50 * 2.0))
}
