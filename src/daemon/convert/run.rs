//! Runs on the wire: the answer to a request, the state of the workspace, progress, lists.

use std::collections::BTreeSet;

use super::{View, decision::open_words, plan::plan_view, shape::Shape, words};
use crate::{
    api::{
        ApiError, OrchestratorState, ProcessResponse, RunList, RunState,
        reply::{BudgetView, Eta},
        result::RunLine,
        state::{Agent, DaemonInfo, Metrics, ProgressReport, Protections, Queue, RunResult, Session, Transition},
        wire::Time,
    },
    core::{
        decide::decision::DecisionKind,
        run::{Mode, Outcome, Run, RunState as Stage},
        task::{Settled, TaskState},
        track,
    },
    ids::RunId,
};

/// How many tasks of a run stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Done and proven.
    pub done: usize,
    /// Under way.
    pub running: usize,
    /// Failed, undone or stuck.
    pub failed: usize,
    /// Blocked by those.
    pub blocked: usize,
    /// Cancelled.
    pub cancelled: usize,
    /// Wait for another try.
    pub retrying: usize,
    /// Open decisions.
    pub open: usize,
}

/// Counts the tasks of a run.
pub fn run_counts(view: &View<'_>, run: &Run) -> Counts {
    let mut counts = Counts { total: run.tasks.len(), ..Counts::default() };
    for task in run.tasks.iter().filter_map(|task| view.state.task(*task)) {
        match task.state {
            TaskState::Settled(Settled::Completed) => counts.done += 1,
            TaskState::Settled(Settled::Failed | Settled::Undone | Settled::Stuck) => counts.failed += 1,
            TaskState::Settled(Settled::Blocked) => counts.blocked += 1,
            TaskState::Settled(Settled::Cancelled) => counts.cancelled += 1,
            TaskState::Trying => counts.running += 1,
            TaskState::Retry(_) => counts.retrying += 1,
            TaskState::Waiting | TaskState::Ready | TaskState::Asking(_) => {}
        }
    }
    counts.open = view.open_decisions(run.id).count();
    counts
}

/// One line: `R-3: 4 of 6 tasks done, 1 running, 1 decision open`.
pub fn run_line(view: &View<'_>, run: &Run) -> String {
    let id = run.id;
    if run.plan.is_none() {
        return match (run.outcome, run.state) {
            (Some(outcome), _) => {
                let why = words::first_line(&run.outcome_why, 160);
                let why = if why.is_empty() { "it has no plan".to_owned() } else { why };
                format!("{id}: {}: {why}", outcome.word())
            }
            (None, Stage::Planning) => format!("{id}: being planned{}", open_words(view, run)),
            (None, _) => format!("{id}: the repository is looked at"),
        };
    }
    let counts = run_counts(view, run);
    let planned_only = run.request.mode == Mode::Plan && run.started_at.is_none();
    if planned_only && (run.ended() || run.cancelled) {
        return format!("{id}: planned, {}; nothing was started", words::plural(counts.total, "task"));
    }
    let mut line = match run.outcome {
        Some(outcome) => format!("{id}: {}, ", outcome.word()),
        None => format!("{id}: "),
    };
    line.push_str(&format!("{} of {} done", counts.done, words::plural(counts.total, "task")));
    for (count, word) in [
        (counts.running, "running"),
        (counts.retrying, "to be tried again"),
        (counts.failed, "failed"),
        (counts.blocked, "blocked"),
        (counts.cancelled, "cancelled"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {word}"));
        }
    }
    line.push_str(&open_words(view, run));
    match (run.outcome, run.state) {
        (None, Stage::Completing) => line.push_str(", the result is put together"),
        (None, _) if run.cancelled => line.push_str(", being cancelled"),
        // A red final check is not to be seen in the counts.
        (Some(Outcome::Failed), _) if counts.failed == 0 && !run.outcome_why.is_empty() => {
            line.push_str(&format!(": {}", words::first_line(&run.outcome_why, 160)));
        }
        _ => {}
    }
    line
}

/// A request was accepted, or is the run with its key already.
///
/// # Errors
/// NOT_FOUND.
pub fn process_response(view: &View<'_>, id: RunId, duplicate: bool) -> Result<ProcessResponse, ApiError> {
    let run = view.run(id)?;
    let plan = plan_view(view, run).map(Box::new);
    // What stands before the whole run comes before what stands before a task.
    let open = || view.open_decisions(id);
    let first = open().find(|decision| decision.task.is_none()).or_else(|| open().next());
    let requires_approval =
        open().any(|decision| matches!(decision.kind, DecisionKind::PlanApproval | DecisionKind::Trust));
    let estimated_completion = completion(view, run);
    let mut summary = run_line(view, run);
    if let Some(first) = first {
        summary.push_str(&format!("; {}: {}", first.id, first.question));
    }
    match (run.request.deadline, estimated_completion) {
        (Some(deadline), _) if deadline < run.created_at => {
            summary.push_str(&format!("; the deadline {} had passed already", Time(deadline)));
        }
        (Some(deadline), Some(done)) if !run.ended() && done.0 > deadline => {
            summary.push_str(&format!("; the deadline {} will probably not be held", Time(deadline)));
        }
        _ => {}
    }
    Ok(ProcessResponse {
        summary,
        revision: view.revision,
        request_id: id,
        status: words::run_state(run.state),
        estimated_completion,
        initial_plan: plan,
        requires_approval,
        decision_id: first.map(|decision| decision.id),
        duplicate,
        unenforced: run.request.unenforced.clone(),
        budget: budget(view, run),
    })
}

/// When a run will probably be done, or was. Not known while only a person can make it go on.
fn completion(view: &View<'_>, run: &Run) -> Option<Time> {
    let after = |seconds: f64| Time(view.now().plus_ms((seconds.max(0.0) * 1000.0) as u64));
    if run.request.mode == Mode::Plan && run.plan.is_some() {
        // Nothing was started: when it would be done if it were now.
        return Some(after(Shape::of(view, view.state.run(run.id)?).plan_s(run.jobs(view.settings.workers))));
    }
    if let Some(ended) = run.ended_at {
        return Some(Time(ended));
    }
    if let Some(eta) = eta(view, run) {
        return Some(eta.p50);
    }
    let guess = run.analysis.as_ref().filter(|_| run.plan.is_none() && view.open_decisions(run.id).next().is_none());
    guess.map(|analysis| Time(run.created_at.plus_ms((analysis.estimated_duration_s * 1000.0) as u64)))
}

/// When a run that goes on will be done.
fn eta(view: &View<'_>, run: &Run) -> Option<Eta> {
    let index = view.state.index.runs.get(&run.id)?;
    // Tasks count as due as soon as they are laid out, also while the whole run waits for a yes.
    let waits_for_person = view.open_decisions(run.id).any(|decision| decision.task.is_none())
        || (index.open > 0 && (!index.moving(view.state) || view.state.all_ask(view.settings.lanes_max)));
    if run.plan.is_none() || run.ended() || waits_for_person {
        return None;
    }
    let (p50, p90) = track::eta_s(view.state, run, view.settings.workers, view.now())?;
    let at = |seconds: f64| Time(view.now().plus_ms((seconds.max(0.0) * 1000.0) as u64));
    Some(Eta { p50: at(p50), p90: at(p90) })
}

/// The limits that hold: the plan's and the request's, whichever is stricter, and what was added since.
fn budget(view: &View<'_>, run: &Run) -> BudgetView {
    let named = match (&run.plan, &run.request.plan) {
        (Some(_), _) => run.allowed.clone(),
        (None, Some(plan)) => plan.budget.within(&run.request.budget),
        (None, None) => run.request.budget.clone(),
    };
    // Money of agents always has a limit.
    let usd = named.usd.or(Some(view.settings.run_usd));
    BudgetView { usd, tokens: named.tokens, minutes: named.minutes, p90_usd: None }
}

/// How far a run is.
pub fn progress_report(view: &View<'_>, run: &Run) -> ProgressReport {
    let progress = view.memo.progress(view, run);
    ProgressReport {
        total_tasks: u64::from(progress.total),
        completed_tasks: u64::from(progress.completed),
        active_tasks: u64::from(progress.active),
        completion_percentage: (progress.percent * 10.0).round() / 10.0,
        average_task_duration: progress.average_s,
        milestone_progress: format!("{}/{}", progress.milestones.0, progress.milestones.1),
        performance_score: progress.first_share.map(words::share),
        eta: eta(view, run),
    }
}

/// A run within the state.
pub fn session(view: &View<'_>, run: &Run) -> Session {
    Session {
        request_id: run.id,
        description: run.request.description.clone(),
        state: words::run_state(run.state),
        outcome: run.outcome.map(words::outcome),
        interaction: run.interaction().word().to_owned(),
        transition_history: transitions(run),
        progress: progress_report(view, run),
        open_decisions: view.open_decisions(run.id).map(|decision| decision.id).collect(),
        warnings: warnings(view, run),
        result: result(run),
    }
}

/// Limits that people were told of, as they stand now.
fn warnings(view: &View<'_>, run: &Run) -> Vec<String> {
    let told = run.warned.iter().chain(run.exhausted.as_ref()).copied().collect::<BTreeSet<_>>();
    let open = told.into_iter().filter(|_| !run.ended());
    open.filter_map(|of| of.words(view.state, view.settings, run, view.now())).collect()
}

/// Every state a run was in.
pub fn transitions(run: &Run) -> Vec<Transition> {
    let all = run.history.iter();
    all.map(|moved| Transition {
        from: words::run_state(moved.from),
        to: words::run_state(moved.to),
        trigger: words::trigger(moved.trigger).to_owned(),
        timestamp: Time(moved.at),
    })
    .collect()
}

/// Where a run's result is; `None` while nothing has landed.
pub fn result(run: &Run) -> Option<RunResult> {
    if run.landed.is_empty() {
        return None;
    }
    Some(RunResult {
        reference: run.branch.clone().unwrap_or_else(|| run.tip_ref()),
        base: run.base.as_ref()?.commit.clone(),
        commits: run.landed.len() as u64,
        applied_at: applied(run).map(Time),
    })
}

/// When the result entered the checkout, where it is there still.
fn applied(run: &Run) -> Option<crate::time::Timestamp> {
    run.applies.iter().rev().find(|apply| apply.undone_at.is_none()).map(|apply| apply.at)
}

/// What the state shows that is not of the workspace.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Known agents.
    pub agents: Vec<Agent>,
    /// Which protections are in force.
    pub protections: Protections,
    /// The daemon that answers.
    pub daemon: DaemonInfo,
}

/// The state of the workspace, or of one run in it.
///
/// # Errors
/// NOT_FOUND.
pub fn orchestrator_state(
    view: &View<'_>,
    only: Option<RunId>,
    around: Surroundings,
) -> Result<OrchestratorState, ApiError> {
    let chosen = only.map(|id| view.run(id)).transpose()?;
    let runs: Vec<&Run> = match chosen {
        Some(run) => vec![run],
        None => view.state.runs.values().rev().filter(|run| !only_planned(run)).collect(),
    };
    let trying = |run: &Run| view.state.index.runs.get(&run.id).map_or(0, |index| index.trying());
    let open: usize = runs.iter().map(|run| view.open_decisions(run.id).count()).sum();
    let going: Vec<&&Run> = runs.iter().filter(|run| !run.ended()).collect();
    // The busiest; of equally busy ones the newest.
    let busiest = going.iter().max_by_key(|run| (trying(run), run.id));
    let state = match (chosen, busiest) {
        (Some(run), _) => words::run_state(run.state),
        (None, Some(run)) => words::run_state(run.state),
        (None, None) => RunState::Idle,
    };
    let room = view.state.room.as_ref().map(|room| format!("no lane is laid out: {}", room.why));
    let mut queue = Queue { max_workers: u64::from(view.settings.workers), room, ..Queue::default() };
    for index in runs.iter().filter_map(|run| view.state.index.runs.get(&run.id)) {
        queue.ready += (index.ready_shared.len() + index.ready_own.len() + index.ready_other.len()) as u64;
        queue.running += u64::from(index.trying());
    }
    let summary = match chosen {
        Some(run) => run_line(view, run),
        None if going.is_empty() && runs.is_empty() => "no runs yet".to_owned(),
        None if going.is_empty() => format!("nothing runs; {} here", words::plural(runs.len(), "run")),
        None => {
            let open = if open > 0 { format!(", {} open", words::plural(open, "decision")) } else { String::new() };
            let tasks = words::plural(queue.running as usize, "attempt");
            let room = if queue.room.is_some() { ", waiting for room on the disk" } else { "" };
            format!("{} in work, {tasks} under way{open}{room}", words::plural(going.len(), "run"))
        }
    };
    Ok(OrchestratorState {
        summary,
        revision: view.revision,
        session_id: only,
        state,
        workspace: view.workspace.clone(),
        sessions: runs.iter().map(|run| session(view, run)).collect(),
        pending_decisions: open as u64,
        agents: around.agents,
        queue,
        metrics: metrics(view, &runs),
        protections: around.protections,
        daemon: around.daemon,
    })
}

/// The published pair, from the same facts as the scorecard: what went without a person, and how much of it was wrong.
fn metrics(view: &View<'_>, runs: &[&Run]) -> Metrics {
    let card = super::score::scorecard(view);
    let tasks = runs.iter().flat_map(|run| &run.tasks).filter_map(|task| view.state.task(*task));
    let cost_usd = super::agent::used(tasks).usd;
    Metrics { autonomy: card.autonomy, wrong_auto: card.wrong_auto, cost_usd }
}

/// Runs, newest first.
pub fn run_list(view: &View<'_>) -> RunList {
    let runs = view.state.runs.values().rev().filter(|run| !only_planned(run));
    let runs: Vec<RunLine> = runs.map(|run| line(view, run)).collect();
    let going = view.state.runs.values().filter(|run| !run.ended()).count();
    let summary = match (runs.len(), going) {
        (0, _) => "no runs yet".to_owned(),
        (all, 0) => format!("{}, none in work", words::plural(all, "run")),
        (all, going) => format!("{}, {going} in work", words::plural(all, "run")),
    };
    RunList { summary, revision: view.revision, runs }
}

/// Whether somebody only wanted to see a plan: that is no work that was cancelled, nor the newest run that `apply` and
/// `report` mean where none is named.
fn only_planned(run: &Run) -> bool {
    run.request.mode == Mode::Plan && run.ended() && run.started_at.is_none()
}

fn line(view: &View<'_>, run: &Run) -> RunLine {
    RunLine {
        request_id: run.id,
        description: words::first_line(&run.request.description, 100),
        state: words::run_state(run.state),
        outcome: run.outcome.map(words::outcome),
        created_at: Time(run.created_at),
        ended_at: run.ended_at.map(Time),
        tasks: run.tasks.len() as u64,
        landed: run.landed.len() as u64,
        applied_at: applied(run).map(Time),
        open_decisions: view.open_decisions(run.id).map(|decision| decision.id).collect(),
    }
}
