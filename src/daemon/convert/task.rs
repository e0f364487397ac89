//! One task on the wire: its place in the queue, how far it is, what it waits for.

use super::{
    View, check, run,
    shape::{Shape, prior},
    words,
};
use crate::{
    api::{
        ApiError, TaskResponse, TaskState, TaskStatus,
        reply::{Basis, Check, CheckState, Cost, DiffStat, Estimate, TaskProgress},
        wire::{Time, WorkId},
    },
    core::{
        decide::decision::DecisionKind,
        effect,
        plan::spec::Kind,
        run::{Outcome, Run, RunState},
        task::{self, Phase, Settled, Task},
    },
    ids::{RunId, TaskId},
};

/// A task was accepted.
///
/// # Errors
/// NOT_FOUND.
pub fn task_response(view: &View<'_>, id: TaskId) -> Result<TaskResponse, ApiError> {
    let task = view.task(id)?;
    let run = view.run(task.run)?;
    let estimate = view.memo.history(view, run).estimate(&task);
    let queue_position = ahead(view, run, &task).len() as u64;
    let status = words::task_state(&task);
    let estimated_start = match (task.attempts.first(), status) {
        (Some(first), _) => Some(Time(first.started_at.unwrap_or(first.claimed_at))),
        (None, TaskState::Ready | TaskState::Queued) => start_s(view, run, &task).map(|seconds| after(view, seconds)),
        (None, _) => None,
    };
    let place = match (status, queue_position) {
        (TaskState::Ready | TaskState::Queued, 0) => "next in line".to_owned(),
        (TaskState::Ready | TaskState::Queued, 1) => "1 task is ahead of it".to_owned(),
        (TaskState::Ready | TaskState::Queued, ahead) => format!("{ahead} tasks are ahead of it"),
        (status, _) => status.name().replace('_', " "),
    };
    Ok(TaskResponse {
        summary: format!("{id} in {}: {place}", run.id),
        revision: view.revision,
        task_id: id,
        status,
        queue_position,
        estimated_start,
        estimated_duration: Some(estimate.p50),
        request_id: run.id,
    })
}

/// Where a task or a run stands.
///
/// # Errors
/// NOT_FOUND.
pub fn task_status(view: &View<'_>, id: WorkId) -> Result<TaskStatus, ApiError> {
    match id {
        WorkId::Task(task) => status_of_task(view, task),
        WorkId::Run(run) => status_of_run(view, run),
    }
}

fn status_of_task(view: &View<'_>, id: TaskId) -> Result<TaskStatus, ApiError> {
    let task = view.task(id)?;
    let run = view.run(task.run)?;
    let status = words::task_state(&task);
    // What is over needs no estimate.
    let estimate = match task.settled() {
        Some(_) => prior(0.0),
        None => view.memo.history(view, run).estimate(&task),
    };
    let verify = check::checks(run, &task);
    let started = task.attempts.first().map(|first| first.started_at.unwrap_or(first.claimed_at));
    let until = task.settled_at.unwrap_or_else(|| view.now());
    let under_way = task.current().and_then(|(_, live)| live.started_at).map_or(0.0, |at| view.now().seconds_since(at));
    let over = task.settled().is_some();
    let retry = task.spec.extras().retry.unwrap_or(view.settings.retry);
    let failure = check::failure(view, &task);
    let blocked_by = blocked_by(view, run, &task);
    let diff = task.attempts.last().and_then(|attempt| attempt.more.as_ref()).and_then(|more| more.diff);
    let mut status = TaskStatus {
        summary: String::new(),
        revision: view.revision,
        task_id: WorkId::Task(id),
        request_id: run.id,
        status,
        title: task.spec.title().to_owned(),
        kind: task.spec.kind(),
        task_type: task.spec.type_word().to_owned(),
        attempt: task.attempts.len() as u32,
        attempts_max: attempts_max(&task, retry.max),
        agent: super::agent::name(&task),
        progress: progress(view, &task, &verify, &estimate),
        started_at: started.map(Time),
        ended_at: task.settled_at.map(Time),
        elapsed: started.map_or(0.0, |at| until.seconds_since(at)),
        remaining: (!over).then(|| (estimate.p50 - under_way).max(0.0)),
        delayed: !over && under_way > estimate.p90,
        blocked_by,
        verify,
        failure,
        checkpoint: None,
        diff: words::diff(diff),
        cost: cost(&task),
        attempts: check::attempts(&task),
    };
    status.summary = task_line(&task, &status);
    Ok(status)
}

/// An attempt lost with its machine is not counted as a retry, so what ran is the least that may run.
fn attempts_max(task: &Task, retries_max: u32) -> u32 {
    match task.spec.kind() {
        Kind::Decision => 0,
        Kind::Shell | Kind::Agent | Kind::Workflow => (retries_max + 1).max(task.attempts.len() as u32),
    }
}

/// One line: `T-4: verifying, attempt 2 of 4, 1 of 2 checks passed`.
fn task_line(task: &Task, status: &TaskStatus) -> String {
    let mut line = format!("{}: {}", task.id, status.status.name().replace('_', " "));
    if task.settled().is_none() && task.cancelled {
        line.push_str(", being cancelled");
    }
    if task.settled().is_none() && status.attempt > 1 {
        line.push_str(&format!(", attempt {} of {}", status.attempt, status.attempts_max));
    }
    let passed = status.verify.iter().filter(|check| check.state == CheckState::Passed).count();
    if matches!(status.status, TaskState::Verifying | TaskState::Landing) && !status.verify.is_empty() {
        line.push_str(&format!(", {passed} of {} passed", words::plural(status.verify.len(), "check")));
    }
    if task.settled().is_none() && !status.blocked_by.is_empty() {
        line.push_str(&format!(", waits for {}", words::list(&status.blocked_by, 3)));
    }
    match (&status.failure, task.settled()) {
        (_, Some(_)) if !task.why.is_empty() => {
            line.push_str(&format!(": {}", words::first_line(&task.why, 160)));
        }
        (Some(failure), None) => {
            line.push_str(&format!(", after: {}; {}", words::first_line(&failure.message, 120), failure.next));
        }
        _ => {}
    }
    line
}

/// How far a task is. What runs counts by time and stays below what its checks are worth; only proof makes 100.
fn progress(view: &View<'_>, task: &Task, verify: &[Check], estimate: &Estimate) -> TaskProgress {
    if task.settled() == Some(Settled::Completed) {
        return TaskProgress { percent: 100.0, basis: Basis::Checks };
    }
    let Some((_, live)) = task.current() else { return TaskProgress::default() };
    let work_share = if verify.is_empty() { 90.0 } else { 50.0 };
    let passed = verify.iter().filter(|check| matches!(check.state, CheckState::Passed | CheckState::Failed)).count();
    let checked = if verify.is_empty() { 1.0 } else { passed as f64 / verify.len() as f64 };
    match live.phase {
        Phase::Preparing => TaskProgress::default(),
        Phase::Running | Phase::Probing | Phase::Compensating => match live.started_at {
            Some(at) if estimate.p50 > 0.0 => {
                let share = (view.now().seconds_since(at) / estimate.p50).min(1.0);
                TaskProgress { percent: (share * work_share * 0.95).round(), basis: Basis::Time }
            }
            _ => TaskProgress::default(),
        },
        Phase::Harvesting => TaskProgress { percent: work_share, basis: Basis::Checks },
        Phase::Checking(_) | Phase::AwaitingBase(_) => {
            TaskProgress { percent: (work_share + (90.0 - work_share) * checked).round(), basis: Basis::Checks }
        }
        Phase::Reviewing | Phase::Queued | Phase::Merging | Phase::Restaging => {
            TaskProgress { percent: 90.0, basis: Basis::Checks }
        }
        Phase::Rechecking(_) | Phase::AwaitingBaseMerged(_) => {
            TaskProgress { percent: (90.0 + 8.0 * checked).round(), basis: Basis::Checks }
        }
        Phase::Advancing | Phase::Over => TaskProgress { percent: 99.0, basis: Basis::Checks },
    }
}

/// Commands cost no model; an agent says what it used, and some do not say what that costs.
fn cost(task: &Task) -> Cost {
    match task.spec.kind() {
        Kind::Shell | Kind::Decision | Kind::Workflow => Cost { usd: Some(0.0), tokens: 0, known: true },
        Kind::Agent => {
            let used = super::agent::used([task]);
            Cost { usd: used.usd, tokens: used.tokens, known: used.usd.is_some() }
        }
    }
}

/// What the agents of a run used, all of its tasks together.
pub fn cost_of(view: &View<'_>, run: &Run) -> Cost {
    let used = super::agent::used(run.tasks.iter().filter_map(|task| view.state.task(*task)));
    Cost { usd: used.usd, tokens: used.tokens, known: used.usd.is_some() }
}

/// What a task waits for: decisions, and tasks that are not done.
pub fn blocked_by(view: &View<'_>, run: &Run, task: &Task) -> Vec<String> {
    let run_level = || {
        let open = view.open_decisions(run.id).filter(|decision| decision.task.is_none());
        open.map(|decision| decision.id.to_string())
    };
    match task.state {
        task::TaskState::Asking(decision) => vec![decision.to_string()],
        task::TaskState::Trying => {
            let about = view.open_decisions(run.id).filter(|decision| decision.task == Some(task.id));
            about.map(|decision| decision.id.to_string()).collect()
        }
        task::TaskState::Waiting | task::TaskState::Settled(Settled::Blocked) => {
            let Some(run) = view.state.run(run.id) else { return Vec::new() };
            let unmet = view
                .needs(run, task)
                .into_iter()
                .filter(|need| view.state.task(*need).is_none_or(|need| need.settled() != Some(Settled::Completed)));
            let unmet: Vec<String> = unmet.map(|need| need.to_string()).collect();
            if task.settled().is_some() { unmet } else { unmet.into_iter().chain(run_level()).collect() }
        }
        task::TaskState::Ready => run_level().collect(),
        task::TaskState::Retry(_) | task::TaskState::Settled(_) => Vec::new(),
    }
}

/// The tasks that go before this one, as dispatch has it: those of more urgent runs that are due, then those of its
/// own run that rank before it.
pub fn ahead(view: &View<'_>, run: &Run, task: &Task) -> Vec<TaskId> {
    if !matches!(task.state, task::TaskState::Ready | task::TaskState::Waiting | task::TaskState::Retry(_)) {
        return Vec::new();
    }
    let before = |other: &Run| {
        (std::cmp::Reverse(other.request.priority), other.id) < (std::cmp::Reverse(run.request.priority), run.id)
    };
    let mut found = Vec::new();
    for (id, index) in &view.state.index.runs {
        let Some(other) = view.state.run(*id).filter(|other| other.id != run.id && before(other)) else { continue };
        let due = index.ready_own.iter().chain(&index.ready_shared);
        found.extend(due.filter_map(|(_, _, position)| other.tasks.get(*position as usize)));
    }
    let (Some(index), Some(own)) = (view.state.index.runs.get(&run.id), view.state.run(run.id)) else { return found };
    let rank = |task: &Task| {
        let bottom = index.bottom.get(task.position as usize).copied().unwrap_or(0);
        let priority = task.spec.extras().priority.unwrap_or_default();
        (std::cmp::Reverse(priority), std::cmp::Reverse(bottom), task.position)
    };
    let ours = rank(task);
    let waiting = view
        .tasks(own)
        .filter(|other| matches!(other.state, task::TaskState::Ready | task::TaskState::Waiting) && rank(other) < ours);
    found.extend(waiting.map(|other| other.id));
    found
}

/// In how many seconds a task will probably start: after the longest chain before it, or after the work that goes
/// before it is shared out. Not known while a person stands before it, or before there is a plan.
fn start_s(view: &View<'_>, run: &Run, task: &Task) -> Option<f64> {
    let run = view.state.run(run.id)?;
    if run.plan.is_none() || run.ended() || view.open_decisions(run.id).any(|open| open.task.is_none()) {
        return None;
    }
    let shape = Shape::of(view, run);
    let chain = shape.timing_left().start_ms.get(task.position as usize).copied()?;
    let ms = |id: &TaskId| view.state.task(*id).map_or(0, |task| crate::core::state::estimate_ms(&task.spec));
    let before: u64 = ahead(view, run, task).iter().map(ms).sum();
    let running: u64 = view.tasks(run).filter(|task| task.current().is_some()).map(|task| ms(&task.id) / 2).sum();
    let jobs = run.jobs(view.settings.workers);
    let busy = view.tasks(run).filter(|task| task.current().is_some()).count() as u32;
    let shared = if before == 0 && busy < jobs { 0.0 } else { (before + running) as f64 / f64::from(jobs) };
    Some(f64::max(chain as f64, shared) / 1000.0)
}

fn after(view: &View<'_>, seconds: f64) -> Time {
    Time(view.now().plus_ms((seconds * 1000.0) as u64))
}

/// A run, asked for as if it were a task.
fn status_of_run(view: &View<'_>, id: RunId) -> Result<TaskStatus, ApiError> {
    let run = view.run(id)?;
    let report = run::progress_report(view, run);
    let remaining = report.eta.as_ref().map(|eta| eta.p50.0.seconds_since(view.now()));
    let mut diff = DiffStat::default();
    for (attempt, _) in &run.landed {
        let own = view.state.task(attempt.task).and_then(|task| task.attempt(attempt.generation));
        let own = words::diff(own.and_then(|attempt| attempt.more.as_ref()).and_then(|more| more.diff));
        diff.files += own.files;
        diff.insertions += own.insertions;
        diff.deletions += own.deletions;
    }
    let open: Vec<String> = view.open_decisions(id).map(|decision| decision.id.to_string()).collect();
    let first = run.plan.as_ref().and_then(|plan| plan.source.strip_prefix("playbook:").map(str::to_owned));
    Ok(TaskStatus {
        summary: run::run_line(view, run),
        revision: view.revision,
        task_id: WorkId::Run(id),
        request_id: id,
        status: state_of_run(view, run, !open.is_empty()),
        title: words::first_line(&run.request.description, 120),
        kind: Kind::Workflow,
        task_type: first.unwrap_or_else(|| "workflow_execution".to_owned()),
        attempt: u32::from(run.started_at.is_some()),
        attempts_max: 1,
        agent: None,
        progress: TaskProgress {
            percent: report.completion_percentage,
            basis: if report.total_tasks == 0 { Basis::None } else { Basis::Checks },
        },
        started_at: run.started_at.map(Time),
        ended_at: run.ended_at.map(Time),
        elapsed: run.started_at.map_or(0.0, |at| run.ended_at.unwrap_or_else(|| view.now()).seconds_since(at)),
        remaining,
        delayed: run.outcome.is_none() && run.request.deadline.is_some_and(|deadline| deadline < view.now()),
        blocked_by: open,
        verify: check::finals(run),
        failure: None,
        checkpoint: None,
        diff,
        cost: cost_of(view, run),
        attempts: Vec::new(),
    })
}

/// A run's state in the words that tasks have.
fn state_of_run(view: &View<'_>, run: &Run, open: bool) -> TaskState {
    match (run.outcome, run.state) {
        (Some(Outcome::Completed), _) => TaskState::Completed,
        (Some(Outcome::Partial | Outcome::Failed), _) => TaskState::Failed,
        (Some(Outcome::Cancelled), _) => TaskState::Cancelled,
        (None, RunState::Analyzing | RunState::Planning) if open => TaskState::WaitingDecision,
        (None, RunState::Idle | RunState::Analyzing | RunState::Planning) => TaskState::Queued,
        (None, RunState::Executing | RunState::Monitoring) => TaskState::Running,
        (None, RunState::Escalating) => TaskState::WaitingDecision,
        (None, RunState::Completing) if effect::publish(run).is_none() => TaskState::Verifying,
        (None, RunState::Completing) => TaskState::Landing,
        (None, RunState::Error) => {
            let asked = view.open_decisions(run.id).any(|decision| decision.kind != DecisionKind::NoAgent);
            if asked { TaskState::WaitingDecision } else { TaskState::Failed }
        }
    }
}
