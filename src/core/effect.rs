//! Effects: what the daemon must do, and how to read off the state what is under way.
//!
//! An effect is sent when the event that asks for it is on disk. Every effect may be sent again after a crash and
//! must then do no harm; [`due`] lists those that a state is waiting for. Both come from the same constructors, so
//! recovery cannot differ from running.

use std::path::PathBuf;

use super::{
    agent::{AgentOrder, AgentPart, AskVerdict},
    confine,
    coordinate::prompt,
    event::Event,
    job::{JobId, JobOrder},
    plan::spec::{Argv, Effect as Touches, TaskSpec, Work},
    room::{self, Waiter},
    run::{Apply, Bringing, Proving, Run, RunState, Shared},
    settings::Settings,
    state::State,
    task::{Attempt, Phase, Task, TaskState},
};
use crate::ids::{AttemptId, DecisionId, LaneId, RunId};

/// Something to do outside the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look at the repository and secure the run's base.
    Survey {
        /// For this run.
        run: RunId,
    },
    /// Lay a lane out for an attempt. Steps on one lane are carried out in the order they were sent: a lane may be
    /// given away while an earlier step on it, whose report nobody waits for any more, is still at work.
    PrepareLane {
        /// The attempt.
        attempt: AttemptId,
        /// Its run.
        run: RunId,
        /// The lane.
        lane: LaneId,
        /// The commit to lay out.
        commit: String,
    },
    /// Lay the readers' lane out.
    PrepareShared {
        /// Of this run.
        run: RunId,
        /// The lane.
        lane: LaneId,
        /// The commit to lay out.
        commit: String,
    },
    /// Look whether the readers' lane is still as it was laid out.
    InspectShared {
        /// Of this run.
        run: RunId,
        /// The lane.
        lane: LaneId,
    },
    /// Lay the lane for the base's checks out.
    PrepareBase {
        /// Of this run.
        run: RunId,
        /// The lane.
        lane: LaneId,
        /// The commit to lay out.
        commit: String,
    },
    /// Lay the lane for the final checks out.
    PrepareFinal {
        /// Of this run.
        run: RunId,
        /// The lane.
        lane: LaneId,
        /// The commit to lay out.
        commit: String,
    },
    /// Start a job at the keeper.
    Start(JobOrder),
    /// End a job at the keeper; it reports as usual.
    Stop {
        /// Which job.
        job: JobId,
    },
    /// Most jobs of a run at once.
    Limit {
        /// Of this run.
        run: RunId,
        /// This many.
        jobs: u32,
    },
    /// Read a lane for changes and keep them as a commit.
    Harvest {
        /// Of this attempt.
        attempt: AttemptId,
        /// Its run.
        run: RunId,
        /// The lane.
        lane: LaneId,
        /// The commit it was laid out at.
        from: String,
        /// The commit's message.
        message: String,
        /// Exports are compared: compatibility is to be kept.
        compare: bool,
    },
    /// Merge a change with what has landed. Steps on one run's ref are carried out in the order they were sent.
    Merge {
        /// Of this attempt.
        attempt: AttemptId,
        /// Its run.
        run: RunId,
        /// The run's tip.
        onto: String,
        /// The change.
        commit: String,
        /// The merge's message.
        message: String,
    },
    /// Move the run's ref.
    Advance {
        /// For this attempt.
        attempt: AttemptId,
        /// Its run.
        run: RunId,
        /// Where to.
        to: String,
        /// Where it must be now.
        from: String,
    },
    /// Tell the user that a decision waits, by a command of theirs.
    Notify {
        /// The command.
        command: Argv,
        /// Which decision.
        decision: DecisionId,
        /// What it asks.
        question: String,
    },
    /// Set the run's ref, wherever it is: after a restore, and at start-up.
    SetRef {
        /// Of this run.
        run: RunId,
        /// Where to.
        to: String,
    },
    /// Publish the result as a branch.
    Publish {
        /// Of this run.
        run: RunId,
        /// The result; `None` where nothing landed.
        commit: Option<String>,
    },
    /// Look up which agents there are.
    FindAgents {
        /// For this run.
        run: RunId,
    },
    /// Tell an agent what it asked.
    Answer {
        /// Of this attempt.
        attempt: AttemptId,
        /// Its own number for the question.
        request: String,
        /// The answer.
        verdict: AskVerdict,
    },
    /// Delete what belongs to runs that are forgotten.
    Sweep,
    /// Bring a result into the checkout.
    Apply {
        /// Of this run.
        run: RunId,
        /// Which apply of the run this is.
        number: u32,
        /// The checkout.
        checkout: PathBuf,
        /// Where the run started.
        base: String,
        /// The landings to bring: all of them as the tip, or each by its commit.
        tip: String,
        /// Where only some tasks are wanted: their own changes, in the order they landed, without what they were built
        /// on.
        only: Vec<String>,
        /// The tasks that were asked for.
        tasks: Vec<crate::ids::TaskId>,
    },
    /// Take an apply back.
    Undo {
        /// Of this run.
        run: RunId,
        /// The checkout.
        checkout: PathBuf,
        /// What was written, and over what.
        apply: Apply,
    },
}

/// What `event` asks for, in the state that it led to.
pub fn after(state: &State, settings: &Settings, event: &Event, effects: &mut Vec<Effect>) {
    match event {
        Event::RunAdded { run, .. } => effects.push(Effect::Survey { run: *run }),
        Event::DecisionReminded { decision, command, .. } => {
            let asked = state.decisions.get(decision).filter(|_| !command.is_empty());
            effects.extend(asked.map(|asked| Effect::Notify {
                command: command.clone(),
                decision: *decision,
                question: asked.question.clone(),
            }));
        }
        Event::RunPlanned { run, .. } | Event::PlanAdopted { run, .. } => {
            effects.extend(state.run(*run).map(|run| limit(run, settings)))
        }
        Event::RunReopened { run } => effects.extend(state.run(*run).map(|run| limit(run, settings))),
        Event::AttemptClaimed { attempt, .. }
        | Event::AttemptMoved { attempt, .. }
        | Event::AttemptPrepared { attempt, .. } => {
            let Some((task, live)) = state.live(*attempt) else { return };
            if live.phase == Phase::Merging && live.more.as_ref().is_some_and(|more| more.refused > 0) {
                // The run's ref was not where the journal has it, and the journal is the truth.
                effects.extend(state.run(task.run).and_then(tip_ref));
            }
            effects.extend(of_attempt(state, settings, task, *attempt, live));
        }
        Event::SharedPreparing { run, .. } | Event::SharedInspecting { run } => {
            effects.extend(state.run(*run).and_then(shared));
        }
        // What was handed out and has not begun is not begun.
        Event::RunStopping { run } => stop_unbegun(state, *run, effects),
        Event::BasePreparing { run, .. } | Event::BaseChecking { run, .. } => {
            effects.extend(state.run(*run).and_then(|run| proving(state, run, settings, true)));
        }
        Event::FinalPreparing { run, .. } | Event::FinalChecking { run, .. } => {
            effects.extend(state.run(*run).and_then(|run| proving(state, run, settings, false)));
        }
        Event::RunsDropped { .. } => effects.push(Effect::Sweep),
        Event::RunMoved { run, to: RunState::Completing, .. } => {
            effects.extend(state.run(*run).and_then(publish));
        }
        Event::BaseDropped { run } => effects.extend(state.run(*run).and_then(stop_base)),
        Event::FinalFreed { run } | Event::BisectEnded { run, .. } => {
            effects.extend(state.run(*run).and_then(publish));
        }
        Event::AttemptOver { attempt, .. } => {
            // It may have failed with the ref moved and nobody told: the journal is the truth.
            let task = state.task(attempt.task);
            let merged = task.and_then(|task| task.attempt(attempt.generation)?.more.as_ref()?.merged.as_ref());
            if let (Some(task), Some(_)) = (task, merged) {
                effects.extend(state.run(task.run).and_then(tip_ref));
            }
        }
        Event::TaskCancelAsked { task } => {
            if let Some((attempt, live)) = state.task(*task).and_then(Task::current) {
                effects.extend(job_of(attempt, live).map(|job| Effect::Stop { job }));
            }
        }
        Event::RunCancelAsked { run } => stop_all(state, *run, effects),
        Event::ApplyBegun { run, .. } | Event::UndoBegun { run, .. } => {
            effects.extend(state.run(*run).and_then(|run| bringing(state, run)));
        }
        Event::CheckpointRestored { run, commit, .. } => {
            effects.push(Effect::SetRef { run: *run, to: commit.clone() });
        }
        Event::LandingUndone { run, commit, .. } => {
            effects.push(Effect::SetRef { run: *run, to: commit.clone() });
        }
        Event::RoomSought { waiting } | Event::RoomFound { waiting } => {
            room::lay_out(state, settings, waiting, effects);
        }
        Event::AgentsAsked { run } => effects.push(Effect::FindAgents { run: *run }),
        Event::AskAnswered { attempt, request, verdict, .. } | Event::AskParked { attempt, request, verdict } => {
            effects.push(Effect::Answer { attempt: *attempt, request: request.clone(), verdict: verdict.clone() });
        }
        Event::AgentSpoke { .. }
        | Event::AgentAsked { .. }
        | Event::AskWithdrawn { .. }
        | Event::LeaseRenewed { .. }
        | Event::TaskParked { .. }
        | Event::NoteAdded { .. }
        | Event::MilestoneReached { .. }
        | Event::MilestonePassed { .. }
        | Event::DeadlinePassed { .. }
        | Event::DeadlineTold { .. }
        | Event::AgentsFound { .. }
        | Event::AccountLimited { .. }
        | Event::AccountFree { .. }
        | Event::RoomMissing { .. }
        | Event::KeysForgone { .. }
        | Event::RunSurveyed { .. }
        | Event::RunAnalyzed { .. }
        | Event::RunApproved { .. }
        | Event::RunMoved { .. }
        | Event::BudgetWarned { .. }
        | Event::BudgetReached { .. }
        | Event::BudgetRaised { .. }
        | Event::RunPublished { .. }
        | Event::RunEnded { .. }
        | Event::RunNoted { .. }
        | Event::CallRefused { .. }
        | Event::CallAnswered { .. }
        | Event::TasksAdded { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptRan { .. }
        | Event::AttemptHarvested { .. }
        | Event::CheckEnded { .. }
        | Event::AttemptMerged { .. }
        | Event::AttemptLanded { .. }
        | Event::TaskSettled { .. }
        | Event::TaskRetry { .. }
        | Event::TaskReopened { .. }
        | Event::TaskApproved { .. }
        | Event::TaskChosen { .. }
        | Event::DecisionOpened { .. }
        | Event::DecisionAnswered { .. }
        | Event::DecisionWithdrawn { .. }
        | Event::DecisionExpired { .. }
        | Event::LearningBegun { .. }
        | Event::Taught { .. }
        | Event::Acted { .. }
        | Event::AskedOutside { .. }
        | Event::ActProven { .. }
        | Event::ActUnknown { .. }
        | Event::RuleRemembered { .. }
        | Event::RuleForgotten { .. }
        | Event::SharedReady { .. }
        | Event::SharedFreed { .. }
        | Event::UndeclaredAccepted { .. }
        | Event::TasksApart { .. }
        | Event::BaseChecked { .. }
        | Event::BaseFreed { .. }
        | Event::FinalChecked { .. }
        | Event::BisectBegun { .. }
        | Event::BisectLooked { .. }
        | Event::AttemptRelanded { .. }
        | Event::Applied { .. }
        | Event::ApplyRefused { .. }
        | Event::Undone { .. }
        | Event::UndoRefused { .. }
        | Event::Trusted { .. }
        | Event::CheckpointSaved { .. } => {}
    }
}

/// Everything that this state waits for: what a daemon sends when it takes a journal up again.
pub fn due(state: &State, settings: &Settings) -> Vec<Effect> {
    let mut effects = Vec::new();
    for run in state.runs.values() {
        effects.extend(bringing(state, run));
        if run.ended() {
            continue;
        }
        if run.facts.is_none() && run.state == RunState::Analyzing {
            effects.push(Effect::Survey { run: run.id });
        }
        if run.plan.is_some() {
            effects.push(limit(run, settings));
        }
        if run.looking {
            effects.push(Effect::FindAgents { run: run.id });
        }
        // Where the ref is just being moved, that effect says where to; both at once could end at either place.
        let advancing = |task: &Task| task.current().is_some_and(|(_, live)| live.phase == Phase::Advancing);
        if run.tip.is_some() && !run.tasks.iter().filter_map(|task| state.task(*task)).any(advancing) {
            effects.extend(tip_ref(run));
        }
        effects.extend(shared(run));
        effects.extend(proving(state, run, settings, true));
        effects.extend(proving(state, run, settings, false));
        if run.cancelled {
            stop_proving(run, &mut effects);
        }
        effects.extend(publish(run));
        for task in run.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.state == TaskState::Trying)
        {
            if let Some((attempt, live)) = task.current() {
                effects.extend(of_attempt(state, settings, task, attempt, live));
                effects.extend(answers_due(attempt, live));
                if run.cancelled || task.cancelled {
                    effects.extend(job_of(attempt, live).map(|job| Effect::Stop { job }));
                }
            }
        }
        if run.stopping {
            stop_unbegun(state, run.id, &mut effects);
        }
    }
    // Lanes that wait for room are tried at their time.
    let waiting = state.room.as_ref().map_or(&[][..], |room| &room.waiting);
    effects.retain(|effect| Waiter::of(effect).is_none_or(|waiter| !waiting.contains(&waiter)));
    effects
}

/// The effect that lays this one's lane out, if that is what it waits for.
pub fn of_waiter(state: &State, settings: &Settings, waiter: Waiter) -> Option<Effect> {
    match waiter {
        Waiter::Attempt(attempt) => {
            let (task, live) = state.live(attempt)?;
            of_attempt(state, settings, task, attempt, live)
        }
        Waiter::Shared(run) => shared(state.run(run)?),
        Waiter::Base(run) => proving(state, state.run(run)?, settings, true),
        Waiter::Final(run) => proving(state, state.run(run)?, settings, false),
    }
}

/// The one effect that an attempt in this phase waits for.
fn of_attempt(state: &State, settings: &Settings, task: &Task, id: AttemptId, attempt: &Attempt) -> Option<Effect> {
    let run = state.run(task.run)?;
    let more = attempt.more.as_deref();
    match attempt.phase {
        Phase::Preparing => {
            let commit = more?.start.clone().or(more?.from.clone())?;
            Some(Effect::PrepareLane { attempt: id, run: run.id, lane: attempt.lane?, commit })
        }
        Phase::Running if attempt.end.is_some() || attempt.leased() => None,
        Phase::Running => Some(Effect::Start(order(state, run, task, id, attempt, JobId::Attempt(id), settings)?)),
        Phase::Harvesting => Some(Effect::Harvest {
            attempt: id,
            run: run.id,
            lane: attempt.lane?,
            from: more?.from.clone()?,
            message: message(run, task),
            compare: run.request.keeps_compatible(),
        }),
        Phase::Checking(index) => {
            Some(Effect::Start(order(state, run, task, id, attempt, JobId::Check(id, index), settings)?))
        }
        Phase::Merging => Some(Effect::Merge {
            attempt: id,
            run: run.id,
            onto: run.tip_commit()?.to_owned(),
            commit: more?.commit.clone()?,
            message: message(run, task),
        }),
        Phase::Restaging => {
            let (commit, _, _) = more?.merged.clone()?;
            Some(Effect::PrepareLane { attempt: id, run: run.id, lane: attempt.lane?, commit })
        }
        Phase::Rechecking(index) => {
            Some(Effect::Start(order(state, run, task, id, attempt, JobId::Merged(id, index), settings)?))
        }
        Phase::Advancing => {
            let (to, _, from) = more?.merged.clone()?;
            Some(Effect::Advance { attempt: id, run: run.id, to, from })
        }
        Phase::Probing => Some(Effect::Start(order(state, run, task, id, attempt, JobId::Probe(id), settings)?)),
        Phase::Compensating => {
            Some(Effect::Start(order(state, run, task, id, attempt, JobId::Compensate(id), settings)?))
        }
        Phase::AwaitingBase(_) | Phase::AwaitingBaseMerged(_) | Phase::Reviewing | Phase::Queued | Phase::Over => None,
    }
}

/// The job that an attempt in this phase has at the keeper.
pub fn job_of(id: AttemptId, attempt: &Attempt) -> Option<JobId> {
    match attempt.phase {
        // A session is no process of ours.
        Phase::Running if attempt.leased() => None,
        Phase::Running => Some(JobId::Attempt(id)),
        Phase::Checking(index) => Some(JobId::Check(id, index)),
        Phase::Rechecking(index) => Some(JobId::Merged(id, index)),
        // An undo that began is not stopped half-way.
        Phase::Probing | Phase::Compensating => None,
        _ => None,
    }
}

fn order(
    state: &State,
    run: &Run,
    task: &Task,
    id: AttemptId,
    attempt: &Attempt,
    job: JobId,
    settings: &Settings,
) -> Option<JobOrder> {
    let extras = task.spec.extras();
    // Readers are only handed out once their lane is laid out.
    let shared = match run.shared {
        Shared::Ready(lane) => Some(lane),
        Shared::None | Shared::Preparing(_) | Shared::Inspecting(_) => None,
    };
    let agent = match job {
        JobId::Attempt(_) => attempt.agent().and_then(|part| agent_order(state, run, task, part)),
        _ => None,
    };
    let argv = match job {
        JobId::Attempt(_) if agent.is_some() => Vec::new(),
        JobId::Attempt(_) => command(&task.spec)?,
        JobId::Check(_, index) | JobId::Merged(_, index) => checks(run, task).get(index as usize)?.clone(),
        JobId::Probe(_) => extras.compensate.as_ref()?.probe.clone()?,
        JobId::Compensate(_) => extras.compensate.as_ref()?.command.clone(),
        JobId::Baseline(..) | JobId::Final(..) | JobId::Setup(..) => return None,
    };
    let mut env = extras.env.clone();
    env.insert("ORCHESTRATOR_RUN".to_owned(), run.id.to_string());
    env.insert("ORCHESTRATOR_TASK".to_owned(), id.to_string());
    env.extend(answers(state, run, task));
    Some(JobOrder {
        id: job,
        run: run.id,
        argv,
        lane: attempt.lane.or(shared)?,
        cwd: extras.cwd.clone().unwrap_or_default(),
        env,
        timeout_ms: Some((extras.timeout_s.unwrap_or(settings.timeout_s) * 1000.0) as u64),
        silence_ms: extras.silence_s.map(|seconds| (seconds * 1000.0) as u64),
        // An agent confines itself, as its profile says.
        confined: agent.is_none() && confine::of_task(settings, run, task, job),
        agent: agent.map(Box::new),
    })
}

fn agent_order(state: &State, run: &Run, task: &Task, part: &AgentPart) -> Option<AgentOrder> {
    let allocation = &part.allocation;
    // Journals of earlier versions have neither; there it is made from what is known now.
    let told = || prompt::told(state, run, task, part);
    let told = part.told.as_deref().cloned().unwrap_or_else(told);
    let found = || Some(&run.agents.iter().flatten().find(|found| found.id == allocation.agent)?.program);
    let program = Some(&allocation.program).filter(|program| !program.is_empty()).or_else(found)?;
    Some(AgentOrder {
        agent: allocation.agent.clone(),
        program: program.clone(),
        prompt: told.prompt,
        anew: told.anew,
        session: allocation.session.clone(),
        resume: allocation.resume,
        usd: allocation.usd,
        tokens: allocation.tokens,
    })
}

/// The answers that an agent may not have heard; it hears each once, however often it is sent.
fn answers_due(attempt: AttemptId, live: &Attempt) -> Vec<Effect> {
    if live.phase != Phase::Running || live.end.is_some() {
        return Vec::new();
    }
    let asks = live.agent().map(|part| part.asks.as_slice()).unwrap_or_default().iter();
    let answered = asks.filter_map(|ask| {
        Some(Effect::Answer { attempt, request: ask.request.clone(), verdict: ask.verdict.clone()? })
    });
    answered.collect()
}

/// What people answered to the questions that a task waited for: the option's id under the question's own name, so
/// that a command can do what was chosen.
fn answers<'a>(state: &'a State, run: &'a Run, task: &'a Task) -> impl Iterator<Item = (String, String)> + 'a {
    let needed = task.spec.needs.iter().filter_map(|need| state.task(*run.tasks.get(*need as usize)?));
    needed.filter_map(|question| {
        let name = question.spec.name.to_uppercase().replace('-', "_");
        Some((format!("ORCHESTRATOR_ANSWER_{name}"), question.choice.as_deref()?.to_owned()))
    })
}

/// The command of a shell task.
fn command(spec: &TaskSpec) -> Option<Argv> {
    match &spec.work {
        Work::Command(argv) => Some(argv.clone()),
        Work::Run(text) => Some(vec!["sh".to_owned(), "-c".to_owned(), text.clone()]),
        Work::Prompt(_) | Work::Playbook { .. } | Work::Question { .. } => None,
    }
}

/// The checks that prove a task: its own, or else those of the request's success criteria. A reading task has
/// only its own: its exit status is its check.
pub fn checks<'a>(run: &'a Run, task: &'a Task) -> std::borrow::Cow<'a, [Argv]> {
    if let Some(own) = &task.spec.verify {
        return std::borrow::Cow::Borrowed(own.as_slice());
    }
    if task.spec.effect == Touches::None {
        return std::borrow::Cow::Borrowed(&[]);
    }
    std::borrow::Cow::Owned(super::plan::criteria_checks(run))
}

fn message(run: &Run, task: &Task) -> String {
    format!("{}\n\nTask {} of {}: {}\n", task.spec.title(), task.id, run.id, run.request.description)
}

fn limit(run: &Run, settings: &Settings) -> Effect {
    Effect::Limit { run: run.id, jobs: run.jobs(settings.workers) }
}

fn shared(run: &Run) -> Option<Effect> {
    match run.shared {
        Shared::Preparing(lane) => {
            Some(Effect::PrepareShared { run: run.id, lane, commit: run.base.as_ref()?.commit.clone() })
        }
        Shared::Inspecting(lane) => Some(Effect::InspectShared { run: run.id, lane }),
        Shared::None | Shared::Ready(_) => None,
    }
}

fn proving(state: &State, run: &Run, settings: &Settings, base: bool) -> Option<Effect> {
    let (proving, list) = if base { (run.proving_base, &run.baseline) } else { (run.proving_final, &run.finals) };
    match proving {
        Proving::Idle => None,
        Proving::Preparing(lane) if base => {
            Some(Effect::PrepareBase { run: run.id, lane, commit: run.base.as_ref()?.commit.clone() })
        }
        Proving::Preparing(lane) => {
            Some(Effect::PrepareFinal { run: run.id, lane, commit: super::bisect::looked_at(run)?.to_owned() })
        }
        Proving::Running(lane, index) => Some(Effect::Start(JobOrder {
            id: if base { base_job(run, index) } else { final_job(run, index) },
            run: run.id,
            argv: list.get(index as usize)?.argv.clone(),
            lane,
            cwd: String::new(),
            env: [("ORCHESTRATOR_RUN".to_owned(), run.id.to_string())].into(),
            timeout_ms: Some((settings.timeout_s * 1000.0) as u64),
            silence_ms: None,
            confined: confine::of_run(state, settings, run, !base),
            agent: None,
        })),
    }
}

/// Publication is due once the run completes and its final checks, if any, are over.
pub fn publish(run: &Run) -> Option<Effect> {
    let due = run.state == RunState::Completing && run.finals_over() && !run.published;
    let landed = run.tip.as_ref().filter(|_| !run.landed.is_empty());
    due.then(|| Effect::Publish { run: run.id, commit: landed.map(|tip| tip.commit.clone()) })
}

fn bringing(state: &State, run: &Run) -> Option<Effect> {
    match run.bringing.as_ref()? {
        Bringing::Apply { tasks, number, tip } => {
            // Each task's own change, not the merge it landed as: that holds everything before it.
            let only = run
                .landed
                .iter()
                .filter(|(attempt, _)| tasks.contains(&attempt.task))
                .filter_map(|(id, _)| state.task(id.task)?.attempt(id.generation)?.more.as_ref()?.commit.clone());
            Some(Effect::Apply {
                run: run.id,
                number: *number,
                checkout: run.request.checkout.clone(),
                base: run.base.as_ref()?.commit.clone(),
                tip: tip.clone(),
                only: only.collect(),
                tasks: tasks.clone(),
            })
        }
        Bringing::Undo { number } => Some(Effect::Undo {
            run: run.id,
            checkout: run.request.checkout.clone(),
            apply: run.applies.iter().find(|apply| apply.number == *number)?.clone(),
        }),
    }
}

fn stop_all(state: &State, run: RunId, effects: &mut Vec<Effect>) {
    let Some(found) = state.run(run) else { return };
    if !found.cancelled {
        return;
    }
    for task in found.tasks.iter().filter_map(|task| state.task(*task)) {
        if let Some((attempt, live)) = task.current() {
            effects.extend(job_of(attempt, live).map(|job| Effect::Stop { job }));
        }
    }
    stop_proving(found, effects);
}

/// Ends what a run that stops has handed out and nobody has begun.
fn stop_unbegun(state: &State, run: RunId, effects: &mut Vec<Effect>) {
    let Some(found) = state.run(run) else { return };
    for task in found.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.state == TaskState::Trying) {
        if let Some((attempt, live)) = task.current()
            && live.phase == Phase::Running
            && live.started_at.is_none()
        {
            effects.push(Effect::Stop { job: JobId::Attempt(attempt) });
        }
    }
}

fn stop_base(run: &Run) -> Option<Effect> {
    match run.proving_base {
        Proving::Running(_, index) => Some(Effect::Stop { job: base_job(run, index) }),
        Proving::Idle | Proving::Preparing(_) => None,
    }
}

fn stop_proving(run: &Run, effects: &mut Vec<Effect>) {
    effects.extend(stop_base(run));
    if let Proving::Running(_, index) = run.proving_final {
        effects.push(Effect::Stop { job: final_job(run, index) });
    }
}

/// The job of a check of the base. Its number counts on from round to round, so that no two jobs share an id.
pub fn base_job(run: &Run, index: u32) -> JobId {
    JobId::Baseline(run.id, run.round * run.baseline.len() as u32 + index)
}

/// The job of a check of the result; see [`base_job`].
pub fn final_job(run: &Run, index: u32) -> JobId {
    JobId::Final(run.id, run.round * run.finals.len() as u32 + index)
}

fn tip_ref(run: &Run) -> Option<Effect> {
    Some(Effect::SetRef { run: run.id, to: run.tip_commit()?.to_owned() })
}
