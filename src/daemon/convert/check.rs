//! Checks, attempts and failures as the wire has them.

use super::{View, words};
use crate::{
    api::{
        reply::{AttemptView, BaseState, Check, CheckState, FailureView, Severity},
        wire::Time,
    },
    core::{
        effect,
        job::End,
        plan::spec::Argv,
        prove::CheckResult,
        run::Run,
        task::{Attempt, Failure, Phase, Settled, Task, TaskState},
    },
    ids::AttemptId,
};

/// The checks of a task's newest attempt: on the merged tree where they run or ran there, else in its lane.
pub fn checks(run: &Run, task: &Task) -> Vec<Check> {
    let attempt = task.attempts.last();
    let more = attempt.and_then(|attempt| attempt.more.as_deref());
    let phase = attempt.map(|attempt| attempt.phase);
    let merged = matches!(phase, Some(Phase::Rechecking(_) | Phase::AwaitingBaseMerged(_)))
        || more.is_some_and(|more| !more.rechecks.is_empty());
    let results = more.map_or(&[][..], |more| if merged { &more.rechecks } else { &more.checks });
    let running = match phase {
        Some(Phase::Checking(index) | Phase::Rechecking(index)) => Some(index as usize),
        _ => None,
    };
    let all = effect::checks(run, task);
    let check =
        |(index, argv): (usize, &Argv)| check(argv, results.get(index), running == Some(index), base(run, argv));
    all.iter().enumerate().map(check).collect()
}

/// The checks on the final tree of a run.
pub fn finals(run: &Run) -> Vec<Check> {
    let running = match run.proving_final {
        crate::core::run::Proving::Running(_, index) => Some(index as usize),
        _ => None,
    };
    let all = run.finals.iter().enumerate();
    all.map(|(index, known)| check(&known.argv, known.result.as_ref(), running == Some(index), base(run, &known.argv)))
        .collect()
}

fn check(argv: &Argv, result: Option<&CheckResult>, running: bool, base: BaseState) -> Check {
    let state = match result {
        None if running => CheckState::Running,
        None => CheckState::Pending,
        Some(result) if result.passed() => CheckState::Passed,
        Some(result) if matches!(result.end, End::NotStarted(_) | End::Exit(127)) => CheckState::Missing,
        Some(_) => CheckState::Failed,
    };
    let exit_code = match result.map(|result| &result.end) {
        Some(End::Exit(code)) => Some(*code),
        _ => None,
    };
    Check {
        command: argv.clone(),
        state,
        exit_code,
        base,
        seconds: result.map_or(0.0, |result| result.seconds),
        tail: result.map_or(String::new(), |result| result.tail.clone()),
    }
}

/// What a check said of the untouched base.
pub fn base(run: &Run, argv: &Argv) -> BaseState {
    let known = run.baseline.iter().find(|check| check.argv == *argv);
    base_state(known.and_then(|check| check.result.as_ref()))
}

/// A result on the untouched base, in a word.
pub fn base_state(result: Option<&CheckResult>) -> BaseState {
    match result {
        None => BaseState::Unknown,
        // A check that could not be run says nothing of the base.
        Some(CheckResult { end: End::NotStarted(_), .. }) => BaseState::Unknown,
        Some(result) if result.passed() => BaseState::Passed,
        Some(_) => BaseState::Failed,
    }
}

/// Every attempt of a task, oldest first.
pub fn attempts(task: &Task) -> Vec<AttemptView> {
    let all = (1u32..).zip(&task.attempts);
    all.map(|(generation, attempt)| {
        let failure = attempt.more.as_ref().and_then(|more| more.failure.as_ref());
        AttemptView {
            id: AttemptId { task: task.id, generation },
            agent: match attempt.agent() {
                Some(part) => part.allocation.agent.clone(),
                None => words::agent(&task.spec).unwrap_or_else(|| words::SHELL.to_owned()),
            },
            end: end(attempt),
            started_at: attempt.started_at.map(Time),
            ended_at: attempt.ended_at.map(Time),
            failure: failure.map(|failure| failure_view(failure, failure.next.clone(), None)),
        }
    })
    .collect()
}

/// How an attempt ended; one that never became a process says so.
pub fn end(attempt: &Attempt) -> Option<String> {
    match (&attempt.end, attempt.phase) {
        (Some(end), _) => Some(end.to_string()),
        (None, Phase::Over) if attempt.more.as_ref().is_some_and(|more| more.failure.is_some()) => {
            Some("not_started".to_owned())
        }
        (None, Phase::Over) => Some("cancelled".to_owned()),
        (None, _) => None,
    }
}

/// What went wrong with a task last, and what happens next. Nothing where it completed all the same.
pub fn failure(view: &View<'_>, task: &Task) -> Option<FailureView> {
    if task.settled() == Some(Settled::Completed) {
        return None;
    }
    let failure = task.attempts.iter().rev().find_map(|attempt| attempt.more.as_ref()?.failure.as_ref())?;
    let (next, at) = next(view, task);
    Some(failure_view(failure, next, at))
}

/// What happens to a task next, in words, and when.
pub fn next(view: &View<'_>, task: &Task) -> (String, Option<Time>) {
    let following = task.attempts.len() + 1;
    match task.state {
        TaskState::Retry(at) => {
            let wait = words::duration(at.seconds_since(view.now()));
            (format!("attempt {following} in {wait}"), Some(Time(at)))
        }
        TaskState::Trying => (format!("attempt {} is under way", task.attempts.len()), None),
        TaskState::Ready | TaskState::Waiting => (format!("attempt {following} when it is its turn"), None),
        TaskState::Asking(decision) => (format!("waits for an answer to {decision}"), None),
        TaskState::Settled(Settled::Completed) => ("nothing: it is done".to_owned(), None),
        TaskState::Settled(Settled::Stuck) => ("a person must take its effect outside back".to_owned(), None),
        TaskState::Settled(_) => (format!("nothing by itself; `orchestrator retry {}` tries it again", task.id), None),
    }
}

fn failure_view(failure: &Failure, next: String, next_at: Option<Time>) -> FailureView {
    FailureView {
        class: failure.class.clone(),
        severity: match failure.severity.as_str() {
            "low" => Severity::Low,
            "high" => Severity::High,
            "critical" => Severity::Critical,
            _ => Severity::Medium,
        },
        recoverable: failure.recoverable,
        retry_potential: failure.retry_potential > 0.0,
        escalation_required: failure.escalation_required,
        message: failure.message.clone(),
        next,
        next_at,
    }
}
