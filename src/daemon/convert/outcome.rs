//! What became of a command that changes something: cancelled, tried again, saved, restored, applied, undone.

use super::{View, words};
use crate::{
    api::{
        ApiError, ApplyReply, CancelResponse, CheckpointResponse, RestoreReply, RetryReply, UndoReply,
        wire::{Time, WorkId},
    },
    core::{
        Event,
        plan::spec::Effect,
        run::{Bringing, Run},
        task::{Settled, Task},
    },
    ids::{CheckpointId, DecisionId, RunId, TaskId},
};

/// Where a task (its status) or a run (its outcome, or else its state) stands, in the word that `CancelResponse` has.
///
/// # Errors
/// NOT_FOUND.
pub fn status_word(view: &View<'_>, id: WorkId) -> Result<String, ApiError> {
    Ok(match id {
        WorkId::Task(task) => words::task_state(&*view.task(task)?).name().to_owned(),
        WorkId::Run(run) => {
            let run = view.run(run)?;
            run.outcome
                .map_or_else(|| words::run_state(run.state).name().to_owned(), |outcome| outcome.word().to_owned())
        }
    })
}

/// What became of a cancellation. `was` is [`status_word`] of the state before it. Also for what was over already,
/// which the core refuses to cancel: then nothing has changed, and this says so.
///
/// # Errors
/// NOT_FOUND.
pub fn cancel_response(view: &View<'_>, id: WorkId, was: &str) -> Result<CancelResponse, ApiError> {
    let status = status_word(view, id)?;
    let (over, tasks, landed): (bool, Vec<TaskId>, usize) = match id {
        WorkId::Task(task) => {
            let task = view.task(task)?;
            let landed = view.run(task.run)?.landed.iter().filter(|(attempt, _)| attempt.task == task.id).count();
            (task.settled().is_some(), vec![task.id], landed)
        }
        WorkId::Run(run) => {
            let run = view.run(run)?;
            (run.ended(), run.tasks.clone(), run.landed.len())
        }
    };
    let external_left = external_left(view, &tasks);
    let changed = status != was || !over;
    let summary = match (changed, over) {
        (false, _) => format!("{id} was {was} already; nothing was changed"),
        (true, true) if landed == 1 => format!("{id} is {status}; 1 landed change stays on its branch"),
        (true, true) if landed > 1 => format!("{id} is {status}; {landed} landed changes stay on its branch"),
        (true, true) => format!("{id} is {status}; none of its changes were kept"),
        (true, false) => format!("{id} is being cancelled; what runs is stopped"),
    };
    Ok(CancelResponse {
        summary,
        revision: view.revision,
        task_id: id,
        status,
        was: was.to_owned(),
        undone: landed == 0 && external_left.is_empty(),
        external_left,
    })
}

/// Effects outside that are still there: of tasks that completed, whose undo failed, or that may have run.
fn external_left(view: &View<'_>, tasks: &[TaskId]) -> Vec<String> {
    let tasks = tasks.iter().filter_map(|task| view.state.task(*task));
    let outside = tasks.filter(|task| task.spec.effect == Effect::External && may_be_there(task));
    outside.map(|task| format!("{} {}: `{}`", task.id, task.spec.title(), words::work_line(&task.spec))).collect()
}

fn may_be_there(task: &Task) -> bool {
    match task.settled() {
        Some(Settled::Completed | Settled::Stuck) => true,
        Some(Settled::Undone | Settled::Blocked) => false,
        // It was stopped or failed while it ran, and its plan names no way to take the effect back.
        Some(Settled::Failed | Settled::Cancelled) | None => {
            task.spec.extras().compensate.is_none() && task.attempts.iter().any(|attempt| attempt.started_at.is_some())
        }
    }
}

/// Work that goes on again: the tasks that the core named.
pub fn retry_reply(view: &View<'_>, id: WorkId, tasks: Vec<TaskId>) -> RetryReply {
    let summary = format!("{id}: {} queued again: {}", words::plural(tasks.len(), "task"), words::list(&tasks, 5));
    RetryReply { summary, revision: view.revision, task_id: id, tasks }
}

/// A checkpoint was saved.
///
/// # Errors
/// NOT_FOUND.
pub fn checkpoint_response(view: &View<'_>, id: CheckpointId) -> Result<CheckpointResponse, ApiError> {
    let saved = view.checkpoint(id)?;
    let runs: Vec<RunId> = saved.runs.iter().map(|(run, _, _)| *run).collect();
    let label = if saved.label.is_empty() { String::new() } else { format!(" ({})", saved.label) };
    let summary = match runs.len() {
        0 => format!("{id}{label} saved; no run was going on"),
        _ => format!("{id}{label} saved: {}", words::list(&runs, 5)),
    };
    let tree = saved.runs.first().map(|(_, _, tip)| tip.tree.clone());
    Ok(CheckpointResponse { summary, revision: view.revision, checkpoint_id: id, at: Time(saved.at), runs, tree })
}

/// State went back to a checkpoint: from the events of that step.
pub fn restore_reply(view: &View<'_>, id: CheckpointId, events: &[Event]) -> RestoreReply {
    let mut runs = Vec::new();
    let mut tasks = Vec::new();
    for event in events {
        if let Event::CheckpointRestored { run, tasks: again, .. } = event {
            runs.push(*run);
            tasks.extend(again.iter().copied());
        }
    }
    // They are queued again, so it no longer shows that they had completed; what they did outside is there.
    let outside =
        tasks.iter().filter_map(|task| view.state.task(*task)).filter(|task| task.spec.effect == Effect::External);
    let external_left: Vec<String> =
        outside.map(|task| format!("{} {}: `{}`", task.id, task.spec.title(), words::work_line(&task.spec))).collect();
    let summary = match runs.len() {
        0 => format!("{id}: nothing had landed since, so nothing was changed"),
        _ => format!("{id}: {} went back, {} queued again", words::list(&runs, 5), words::plural(tasks.len(), "task")),
    };
    RestoreReply { summary, revision: view.revision, checkpoint_id: id, runs, tasks, external_left }
}

/// A person is asked before the result comes in.
pub fn apply_asked(view: &View<'_>, id: RunId, decision: DecisionId) -> ApplyReply {
    ApplyReply {
        summary: format!("{id} is a person's to bring in: {decision} asks them; nothing was written"),
        revision: view.revision,
        request_id: id,
        applied: false,
        files: Vec::new(),
        conflicts: Vec::new(),
        tasks: Vec::new(),
        decision_id: Some(decision),
    }
}

/// Whether a result entered the checkout: from the events that the apply ended with; `None` while they are not there.
///
/// `tasks` are those that were asked for.
pub fn apply_reply(view: &View<'_>, id: RunId, tasks: &[TaskId], events: &[Event]) -> Option<ApplyReply> {
    let reply = |summary: String, applied, files: &[String], conflicts: &[String]| ApplyReply {
        summary,
        revision: view.revision,
        request_id: id,
        applied,
        files: files.to_vec(),
        conflicts: conflicts.to_vec(),
        tasks: tasks.to_vec(),
        decision_id: None,
    };
    events.iter().rev().find_map(|event| match event {
        Event::Applied { run, apply } if *run == id => {
            let part = if tasks.is_empty() { String::new() } else { format!(" of {}", words::list(tasks, 5)) };
            let files = words::plural(apply.paths.len(), "file");
            if apply.in_editor {
                let summary = format!("{id} is in the editor: {files} changed there");
                return Some(reply(summary, true, &apply.paths, &[]));
            }
            let back = format!("take it back with `orchestrator undo {id}`");
            Some(reply(format!("{id}{part} is in the checkout: {files} written; {back}"), true, &apply.paths, &[]))
        }
        Event::ApplyRefused { run, why, paths } if *run == id => {
            let where_ = if paths.is_empty() { String::new() } else { format!(" ({})", words::list(paths, 3)) };
            Some(reply(format!("{id} was not applied, nothing was written: {why}{where_}"), false, &[], paths))
        }
        _ => None,
    })
}

/// Whether a result left the checkout again: from the events that the undo ended with; `None` while they are not there.
pub fn undo_reply(view: &View<'_>, id: RunId, events: &[Event]) -> Option<UndoReply> {
    let reply = |summary: String, undone, files: &[String], edited_since: &[String]| UndoReply {
        summary,
        revision: view.revision,
        request_id: id,
        undone,
        files: files.to_vec(),
        edited_since: edited_since.to_vec(),
    };
    events.iter().rev().find_map(|event| match event {
        Event::Undone { run, paths, number } if *run == id => {
            let files = words::plural(paths.len(), "file");
            let apply = view.state.run(id).and_then(|run| run.applies.iter().find(|apply| apply.number == *number));
            let mut summary = format!("{id} is out of the checkout again: {files} put back");
            if let Some(apply) = apply.filter(|apply| !apply.unsaved.is_empty()) {
                let unsaved = words::list(&apply.unsaved, 3);
                summary.push_str(&format!(
                    "; an editor had brought it in and did not save {unsaved}: what it shows of it, take out there"
                ));
            }
            Some(reply(summary, true, paths, &[]))
        }
        Event::UndoRefused { run, why, paths } if *run == id => {
            let where_ = if paths.is_empty() { String::new() } else { format!(" ({})", words::list(paths, 3)) };
            Some(reply(format!("{id} was not undone, nothing was written: {why}{where_}"), false, &[], paths))
        }
        _ => None,
    })
}

/// What is under way between a run and the checkout, in words.
pub(super) fn bringing(run: &Run) -> Option<String> {
    Some(match run.bringing.as_ref()? {
        Bringing::Apply { tasks, .. } if tasks.is_empty() => "its result is being applied to the checkout".to_owned(),
        Bringing::Apply { tasks, .. } => {
            format!("the part of {} is being applied to the checkout", words::list(tasks, 5))
        }
        Bringing::Undo { .. } => "its result is being taken out of the checkout".to_owned(),
    })
}
