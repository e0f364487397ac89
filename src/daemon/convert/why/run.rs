//! Why a run is where it is.

use super::{super::outcome::bringing, Chain, decided};
use crate::{
    api::{ApiError, wire::Time},
    core::{
        graph::Graph,
        plan::spec::Priority,
        run::{Interaction, Proving, Run, Trigger},
        task::{Settled, TaskState},
    },
    daemon::convert::{View, report::why_and_tail, words},
    ids::RunId,
};

/// How many tasks of one kind are told about.
const TASKS_MAX: usize = 10;

pub fn explain(view: &View<'_>, id: RunId, chain: &mut Chain) -> Result<(), ApiError> {
    let run = view.run(id)?;
    asked(run, chain);
    planned(view, run, chain);
    for decision in view.state.decisions.values().filter(|decision| decision.run == id) {
        decided(chain, decision);
    }
    tasks(view, run, chain);
    moved(run, chain);
    ended(run, chain);
    Ok(())
}

fn asked(run: &Run, chain: &mut Chain) {
    let priority = match run.request.priority {
        Priority::Normal => "",
        Priority::Low => ", with low priority",
        Priority::High => ", with high priority",
        Priority::Urgent => ", urgently",
    };
    chain.at(
        run.created_at,
        format!("it was asked for{priority}: {}", words::first_line(&run.request.description, 160)),
    );
    let by_workspace = run.interaction() != run.request.interaction;
    let whose = if by_workspace { ", as the workspace's own configuration wants it" } else { "" };
    let asks = match run.interaction() {
        Interaction::Minimal => "only effects outside, rules and limits are asked about",
        Interaction::Checkpoint => "a complex or planner-made plan is asked about, too, and a session's apply",
        Interaction::Collaborative => "every plan is asked about, too, and every milestone and the apply",
    };
    chain.at(run.created_at, format!("its mode is {}{whose}: {asks}", run.interaction().word()));
    if let Some(deadline) = run.request.deadline {
        let late = if deadline < run.created_at { ", which had passed already" } else { "" };
        chain.at(run.created_at, format!("its deadline is {}{late}", Time(deadline)));
    }
    if !run.request.unenforced.is_empty() {
        chain.at(run.created_at, format!("nothing here can enforce: {}", run.request.unenforced.join(", ")));
    }
}

fn planned(view: &View<'_>, run: &Run, chain: &mut Chain) {
    let at = |trigger: Trigger| run.history.iter().find(|moved| moved.trigger == trigger).map(|moved| moved.at);
    let analyzed = at(Trigger::Plan).unwrap_or(run.created_at);
    if let Some(analysis) = &run.analysis {
        let intent = match analysis.intent.primary {
            Some(word) => format!("it was understood as {word} ({:.2})", analysis.intent.confidence),
            None => "its words do not say with any certainty what is wanted".to_owned(),
        };
        chain.at(analyzed, format!("{intent}, complexity {:.2}", analysis.complexity.score));
    }
    let Some(plan) = &run.plan else { return };
    let scores: Vec<String> = plan.matched.iter().take(3).map(|(name, score)| format!("{name} {score:.2}")).collect();
    let scores =
        if scores.is_empty() { String::new() } else { format!(" (playbooks that fit: {})", scores.join(", ")) };
    chain.at(
        analyzed,
        format!("its plan of {} came from {}{scores}", words::plural(run.tasks.len(), "task"), plan.source),
    );
    for warning in &plan.warnings {
        chain.at(analyzed, format!("the plan is odd: {warning}"));
    }
    for note in &run.notes {
        chain.now(note.clone());
    }
    for known in &run.baseline {
        let command = words::shell_line(&known.argv);
        match &known.result {
            Some(result) if !result.passed() => {
                chain.now(format!("`{command}` was red on the untouched base ({})", result.end));
            }
            _ => {}
        }
    }
    if let Some(started) = run.started_at {
        let jobs = run.jobs(view.settings.workers);
        chain.at(started, format!("the first tasks were handed out, at most {jobs} at once"));
    }
}

/// What went wrong first, and what that took with it.
fn tasks(view: &View<'_>, run: &Run, chain: &mut Chain) {
    let Some(run) = view.state.run(run.id) else { return };
    let over = |task: &crate::core::task::Task| {
        matches!(task.settled(), Some(Settled::Failed | Settled::Undone | Settled::Stuck | Settled::Cancelled))
    };
    let bad: Vec<_> = view.tasks(run).filter(|task| over(task)).collect();
    // Each consequence is told with its cause; a graph is only needed where there is one.
    let graph = match bad.is_empty() {
        true => Graph::default(),
        false => Graph::from_needs(view.tasks(run).map(|task| task.spec.needs.as_slice())).unwrap_or_default(),
    };
    for task in bad.iter().take(TASKS_MAX) {
        let (why, tail) = why_and_tail(task);
        let how = words::task_state(task).name();
        let why = if why.is_empty() || why == how { String::new() } else { format!(": {why}") };
        let blocked =
            graph.descendants(task.position).into_iter().filter_map(|position| run.tasks.get(position as usize));
        let blocked =
            blocked.filter(|id| view.state.task(**id).and_then(|task| task.settled()) == Some(Settled::Blocked));
        let blocked = match blocked.count() {
            0 => String::new(),
            count => format!("; it blocks {}", words::plural(count, "task")),
        };
        let text = format!("{} ({}) {how}{why}{blocked}", task.id, task.spec.title());
        chain.at_with(task.settled_at.unwrap_or(run.created_at), text, &tail);
    }
    if bad.len() > TASKS_MAX {
        chain.now(format!("{} more tasks did not work", bad.len() - TASKS_MAX));
    }
    if run.ended() {
        return;
    }
    let mut running = Vec::new();
    for task in view.tasks(run) {
        match task.state {
            TaskState::Trying => running.push(task.id),
            TaskState::Retry(at) => {
                let wait = words::duration(at.seconds_since(view.now()));
                chain.now(format!("{} is tried again in {wait}", task.id));
            }
            TaskState::Waiting | TaskState::Ready | TaskState::Asking(_) | TaskState::Settled(_) => {}
        }
    }
    if !running.is_empty() {
        chain.now(format!("under way: {}", words::list(&running, TASKS_MAX)));
    }
    match run.proving_base {
        Proving::Idle => {}
        Proving::Preparing(_) | Proving::Running(..) => chain.now("the checks run on the untouched base"),
    }
    match run.proving_final {
        Proving::Idle => {}
        Proving::Preparing(_) | Proving::Running(..) => chain.now("the final checks run on the merged tree"),
    }
}

/// The changes of state that are not told by what caused them.
fn moved(run: &Run, chain: &mut Chain) {
    for moved in &run.history {
        let text = match moved.trigger {
            Trigger::Escalate => "nothing ran or was due, and an open decision blocked: it waited for a person",
            Trigger::UserResponse => "it went on after an answer",
            Trigger::Complete => "every task was over: the final checks and publication came next",
            Trigger::Error => "it could not go on",
            Trigger::Recover => "it recovered and went on",
            Trigger::Cancel if run.cancelled => "it was cancelled",
            Trigger::Cancel
            | Trigger::Start
            | Trigger::Plan
            | Trigger::Execute
            | Trigger::Monitor
            | Trigger::Finish => continue,
        };
        chain.at(moved.at, text);
    }
    if run.stopping && !run.ended() {
        chain.now("a task failed and the plan stops then: nothing new starts");
    }
    if run.cancelled && !run.ended() {
        chain.now("somebody cancelled it; what runs is stopped");
    }
}

fn ended(run: &Run, chain: &mut Chain) {
    for known in &run.finals {
        if let Some(result) = known.result.as_ref().filter(|result| !result.passed()) {
            let at = run.ended_at.unwrap_or(run.created_at);
            let text = format!("the final check `{}` is red ({})", words::shell_line(&known.argv), result.end);
            chain.at_with(at, text, &result.tail);
        }
    }
    if let (Some(outcome), Some(at)) = (run.outcome, run.ended_at) {
        let (why, tail) = words::split_reason(&run.outcome_why);
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        chain.at_with(at, format!("it ended {}{why}", outcome.word()), &tail);
        let kept = match (&run.branch, run.landed.len()) {
            (_, 0) => "nothing landed, so there is no branch".to_owned(),
            (Some(branch), count) => format!("{} on the branch {branch}", words::plural(count, "landed change")),
            (None, count) => format!("{} under {}", words::plural(count, "landed change"), run.tip_ref()),
        };
        chain.at(at, kept);
    }
    for apply in &run.applies {
        let part =
            if apply.tasks.is_empty() { String::new() } else { format!(" (only {})", words::list(&apply.tasks, 5)) };
        let files = words::plural(apply.paths.len(), "file");
        chain.at(apply.at, format!("its result entered the checkout{part}: {files}"));
        if let Some(undone) = apply.undone_at {
            chain.at(undone, "that was taken back");
        }
    }
    if let Some((why, paths)) = &run.refusal {
        let paths = if paths.is_empty() { String::new() } else { format!(" ({})", words::list(paths, 5)) };
        chain.now(format!("the last apply or undo was refused, nothing was written: {why}{paths}"));
    }
    if let Some(text) = bringing(run) {
        chain.now(text);
    }
}
