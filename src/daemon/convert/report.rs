//! The report of a run: what came of it, what is worth knowing, and when each task was busy with what.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::{
    View, check,
    decision::status,
    run::{progress_report, result, run_line, transitions},
    shape::Shape,
    words,
};
use crate::{
    api::{
        ApiError, Report, TaskState,
        reply::{BaseState, DiffStat},
        result::{BaselineCheck, Finding, FindingLevel, Phase as Busy, ReportDecision, ReportTask, Span},
        wire::Time,
    },
    core::{
        decide::decision::Decision,
        effect,
        prove::CheckResult,
        run::Run,
        task::{Attempt, Phase, Settled, Task},
    },
    ids::{AttemptId, RunId, TaskId},
    time::Timestamp,
};

/// Most failed tasks that are findings of their own: behind those, the list of tasks says it better.
const FAILED_FINDINGS_MAX: usize = 20;

/// The report of a run, finished or so far. `found`: what its tasks said on lines of their output, see [`finding`].
///
/// # Errors
/// NOT_FOUND.
pub fn report(view: &View<'_>, id: RunId, found: Vec<Finding>) -> Result<Report, ApiError> {
    let run = view.run(id)?;
    let shape = Shape::of(view, run);
    let timing = shape.timing();
    let landed: Vec<TaskId> = run.landed.iter().map(|(attempt, _)| attempt.task).collect();
    let lookup = Lookup::of(view, run);
    let tasks: Vec<ReportTask> = shape
        .tasks
        .iter()
        .map(|task| report_task(view, run, task, timing.is_critical(task.position), &lookup))
        .collect();
    let in_result = |task: &&&Task| lookup.in_result(task);
    let mut diff = DiffStat::default();
    // Tasks that landed one after another may have changed the same file: `diff R-1` has the exact number.
    for task in shape.tasks.iter().filter(in_result) {
        let own = last_diff(task);
        diff.files += own.files;
        diff.insertions += own.insertions;
        diff.deletions += own.deletions;
    }
    let undone = shape.tasks.iter().filter(|task| was_undone(task) && !lookup.in_result(task)).map(|task| task.id);
    let decisions = view.state.decisions.values().filter(|decision| decision.run == id);
    Ok(Report {
        summary: run_line(view, run),
        revision: view.revision,
        request_id: id,
        description: run.request.description.clone(),
        state: words::run_state(run.state),
        outcome: run.outcome.map(words::outcome),
        created_at: Time(run.created_at),
        ended_at: run.ended_at.map(Time),
        progress: progress_report(view, run),
        findings: findings(view, run, found),
        tasks,
        undone: undone.collect(),
        landed,
        baseline: run.baseline.iter().map(|known| baseline(view, run, &known.argv, known.result.as_ref())).collect(),
        decisions: decisions.map(|decision| report_decision(view, decision)).collect(),
        result: result(run),
        diff,
        cost: super::task::cost_of(view, run),
        transition_history: transitions(run),
    })
}

/// What is looked up for each task of a run, which may have ten thousand.
struct Lookup<'a> {
    landed: HashSet<AttemptId>,
    decisions: HashMap<TaskId, Vec<&'a Decision>>,
}

impl<'a> Lookup<'a> {
    fn of(view: &View<'a>, run: &Run) -> Lookup<'a> {
        let mut decisions: HashMap<TaskId, Vec<&Decision>> = HashMap::new();
        for decision in view.state.decisions.values().filter(|decision| decision.run == run.id) {
            if let Some(task) = decision.task {
                decisions.entry(task).or_default().push(decision);
            }
        }
        Lookup { landed: run.landed.iter().map(|(attempt, _)| *attempt).collect(), decisions }
    }

    /// A task lands at most once, and with its newest attempt.
    fn in_result(&self, task: &Task) -> bool {
        self.landed.contains(&AttemptId { task: task.id, generation: task.attempts.len() as u32 })
    }
}

/// Reads one line of a task's output: `{"finding": {"level": "warning", "text": "…"}}`; `None` for any other line.
/// The level may be absent (a warning); texts are cut, because whatever runs may print them.
pub fn finding(line: &str, task: TaskId) -> Option<Finding> {
    #[derive(Deserialize)]
    struct Line {
        finding: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        level: Option<FindingLevel>,
        text: String,
        #[serde(default)]
        tail: String,
    }
    let line = line.trim();
    // Most lines are no JSON at all: the parser need not say so.
    if !line.starts_with("{\"finding\"") {
        return None;
    }
    let Line { finding } = serde_json::from_str(line).ok()?;
    let text = words::first_line(&finding.text, 300);
    let tail = finding.tail.chars().take(2_000).collect();
    let level = finding.level.unwrap_or(FindingLevel::Warning);
    (!text.is_empty()).then_some(Finding { level, task_id: Some(task), text, tail })
}

/// What people should know, gravest first: what the tasks said, and what the run itself shows.
fn findings(view: &View<'_>, run: &Run, found: Vec<Finding>) -> Vec<Finding> {
    let mut all = Vec::new();
    let of_run = |level, text: String, tail: String| Finding { level, task_id: None, text, tail };
    for known in &run.finals {
        let Some(result) = known.result.as_ref().filter(|result| !result.passed()) else { continue };
        let text = format!("the final check `{}` is red ({})", words::shell_line(&known.argv), result.end);
        all.push(of_run(FindingLevel::Error, text, result.tail.clone()));
    }
    if run.plan.is_none() && run.ended() && !run.outcome_why.is_empty() {
        let (text, tail) = words::split_reason(&run.outcome_why);
        all.push(of_run(FindingLevel::Error, text, tail));
    }
    let mut failed = 0;
    let Some(known) = view.state.run(run.id) else { return all };
    for task in view.tasks(known) {
        let how = match task.settled() {
            Some(Settled::Failed) => "failed",
            Some(Settled::Undone) => "was undone",
            Some(Settled::Stuck) => "is stuck: its effect outside could not be taken back",
            _ => continue,
        };
        failed += 1;
        if failed <= FAILED_FINDINGS_MAX {
            let (why, tail) = why_and_tail(task);
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            let text = format!("{how}: {}{why}", task.spec.title());
            all.push(Finding { level: FindingLevel::Error, task_id: Some(task.id), text, tail });
        }
    }
    if failed > FAILED_FINDINGS_MAX {
        let text = format!("{} more tasks failed", failed - FAILED_FINDINGS_MAX);
        all.push(of_run(FindingLevel::Error, text, String::new()));
    }
    all.extend(found);
    for known in &run.baseline {
        let Some(result) = known.result.as_ref() else { continue };
        if check::base_state(Some(result)) == BaseState::Failed {
            let text = format!(
                "`{}` was red before anything was changed; changes are judged by the failures they add",
                words::shell_line(&known.argv)
            );
            all.push(of_run(FindingLevel::Warning, text, result.tail.clone()));
        }
    }
    if let Some(deadline) = run.request.deadline
        && run.ended_at.unwrap_or_else(|| view.now()) > deadline
    {
        let text = format!("the deadline {} was not held", Time(deadline));
        all.push(of_run(FindingLevel::Warning, text, String::new()));
    }
    for name in &run.request.unenforced {
        all.push(of_run(
            FindingLevel::Info,
            format!("`{name}` was handed on, but nothing here can enforce it"),
            String::new(),
        ));
    }
    let warnings = run.plan.iter().flat_map(|plan| &plan.warnings);
    all.extend(warnings.chain(&run.notes).map(|note| of_run(FindingLevel::Info, note.clone(), String::new())));
    // Stable: within a level the order above holds.
    all.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    all
}

fn report_task(view: &View<'_>, run: &Run, task: &Task, critical: bool, lookup: &Lookup<'_>) -> ReportTask {
    let started = task.attempts.first().map(|first| first.started_at.unwrap_or(first.claimed_at));
    let status = words::task_state(task);
    let (reason, tail) = match status {
        TaskState::Completed => (String::new(), String::new()),
        _ => why_and_tail(task),
    };
    ReportTask {
        task_id: task.id,
        name: task.spec.name.to_string(),
        title: task.spec.title().to_owned(),
        kind: task.spec.kind(),
        task_type: task.spec.type_word().to_owned(),
        status,
        needs: view.state.run(run.id).map_or_else(Vec::new, |run| view.needs(run, task)),
        critical,
        agent: super::agent::name(task),
        lane: task.attempts.last().and_then(|attempt| attempt.lane),
        started_at: started.map(Time),
        ended_at: task.settled_at.map(Time),
        seconds: started.map(|at| task.settled_at.unwrap_or_else(|| view.now()).seconds_since(at)),
        spans: spans(task, lookup),
        attempts: check::attempts(task),
        diff: last_diff(task),
        reason,
        tail,
    }
}

fn last_diff(task: &Task) -> DiffStat {
    let more = task.attempts.last().and_then(|attempt| attempt.more.as_ref());
    words::diff(more.and_then(|more| more.diff))
}

/// Whether a task changed something that is not kept.
fn was_undone(task: &Task) -> bool {
    match task.settled() {
        Some(Settled::Undone) => true,
        Some(Settled::Failed | Settled::Cancelled) => last_diff(task).files > 0,
        Some(Settled::Completed | Settled::Blocked | Settled::Stuck) | None => false,
    }
}

/// Why a task is not in the result, and the output behind that.
pub(super) fn why_and_tail(task: &Task) -> (String, String) {
    let attempt = task.attempts.last().and_then(|attempt| attempt.more.as_deref());
    let stored = match (task.why.is_empty(), attempt.and_then(|more| more.failure.as_ref())) {
        (false, _) => task.why.to_string(),
        (true, Some(failure)) => failure.message.clone(),
        (true, None) => String::new(),
    };
    let (reason, behind) = words::split_reason(&stored);
    let red = |checks: &[CheckResult]| checks.last().filter(|check| !check.passed()).map(|check| check.tail.clone());
    let own = attempt.map(|more| {
        let checked = red(&more.rechecks).or_else(|| red(&more.checks));
        checked.unwrap_or_else(|| more.tail.clone())
    });
    let tail = own.filter(|tail| !tail.is_empty()).unwrap_or(behind);
    // A task that never ran has nothing to show but the sentence.
    if task.attempts.is_empty() { (reason, String::new()) } else { (reason, tail) }
}

/// What a task was busy with and when. Each attempt: its lane is laid out, it works, it is checked, it lands.
fn spans(task: &Task, lookup: &Lookup<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    for (generation, attempt) in (1u32..).zip(&task.attempts) {
        let id = AttemptId { task: task.id, generation };
        let last = generation as usize == task.attempts.len();
        let next = task.attempts.get(generation as usize).map(|next| next.claimed_at);
        // When all of it was over: at the latest when the next attempt began.
        let over = if last { task.settled_at.or(next) } else { next };
        of_attempt(id, attempt, lookup.landed.contains(&id), over, &mut spans);
    }
    for decision in lookup.decisions.get(&task.id).into_iter().flatten() {
        let ended = decision.answer().map(|answer| answer.at).or(if decision.open() { None } else { task.settled_at });
        spans.push(Span {
            phase: Busy::Wait,
            attempt: AttemptId { task: task.id, generation: decision.generation.unwrap_or(1) },
            started_at: Time(decision.created_at),
            ended_at: ended.map(Time),
            ok: decision.answer().map(|_| true),
        });
    }
    spans.sort_by_key(|span| span.started_at);
    spans
}

fn of_attempt(id: AttemptId, attempt: &Attempt, landed: bool, over: Option<Timestamp>, spans: &mut Vec<Span>) {
    let more = attempt.more.as_deref();
    let mut add = |phase, from: Timestamp, to: Option<Timestamp>, ok| {
        let to = to.map(|to| Time(to.max(from)));
        spans.push(Span { phase, attempt: id, started_at: Time(from), ended_at: to, ok });
    };
    let ended = attempt.phase == Phase::Over;
    let Some(started) = attempt.started_at else {
        let to = if ended { attempt.ended_at } else { None };
        let phase = if attempt.phase == Phase::Running { Busy::Work } else { Busy::Prepare };
        add(phase, attempt.claimed_at, to, ended.then_some(false));
        return;
    };
    if attempt.lane.is_some() {
        add(Busy::Prepare, attempt.claimed_at, Some(started), Some(true));
    }
    let Some(end) = &attempt.end else {
        add(Busy::Work, started, if ended { attempt.ended_at } else { None }, ended.then_some(false));
        return;
    };
    let worked = attempt.ended_at.unwrap_or(started);
    add(Busy::Work, started, Some(worked), Some(end.success()));
    if !end.success() {
        return;
    }
    let checks: &[CheckResult] = more.map_or(&[], |more| &more.checks);
    let failed = more.is_some_and(|more| more.failure.is_some());
    let checking = matches!(attempt.phase, Phase::Harvesting | Phase::Checking(_) | Phase::AwaitingBase(_));
    if checks.is_empty() && !checking && !landed {
        return;
    }
    // Checks are stored with how long they took: they ran one after the other once the work was over.
    let checked = worked.plus_ms((checks.iter().map(|check| check.seconds).sum::<f64>() * 1000.0) as u64);
    if checking || !checks.is_empty() {
        // Where landing failed, proving had gone well before.
        let proven = landed || !failed || more.is_some_and(|more| more.merged.is_some());
        let to = if checking { None } else { Some(over.map_or(checked, |over| over.min(checked))) };
        add(Busy::Verify, worked, to, (!checking).then_some(proven));
    }
    let landing = matches!(
        attempt.phase,
        Phase::Queued
            | Phase::Merging
            | Phase::Restaging
            | Phase::Rechecking(_)
            | Phase::AwaitingBaseMerged(_)
            | Phase::Advancing
    );
    if landed || landing || more.is_some_and(|more| more.merged.is_some()) {
        add(Busy::Land, checked, if landing { None } else { over }, (!landing).then_some(landed));
    }
}

/// What a check said last of what landed last: that is the result, as far as anybody looked.
fn of_result<'a>(view: &View<'a>, run: &'a Run, argv: &[String]) -> Option<&'a CheckResult> {
    let last = run.finals.iter().find(|check| check.argv == argv);
    if let Some(last) = last.and_then(|check| check.result.as_ref()) {
        return Some(last);
    }
    let (landed, _) = run.landed.last()?;
    let task = view.state.task(landed.task)?;
    let more = task.attempt(landed.generation)?.more.as_deref()?;
    let index = effect::checks(run, task).iter().position(|check| check == argv)?;
    more.rechecks.get(index).or_else(|| more.checks.get(index))
}

fn baseline(view: &View<'_>, run: &Run, argv: &[String], result: Option<&CheckResult>) -> BaselineCheck {
    BaselineCheck {
        command: argv.to_vec(),
        state: check::base_state(result),
        seconds: result.map_or(0.0, |result| result.seconds),
        result: of_result(view, run, argv).map(|result| check::base_state(Some(result))),
        tail: result.map_or(String::new(), |result| result.tail.clone()),
    }
}

fn report_decision(view: &View<'_>, known: &Decision) -> ReportDecision {
    let answer = known.answer();
    let run = view.state.run(known.run);
    let closed = match (answer, known.open()) {
        (Some(answer), _) => answer.at,
        (None, true) => view.now(),
        // Withdrawn: at the latest when its task or its run was over.
        (None, false) => {
            let task = known.task.and_then(|task| view.state.task(task)).and_then(|task| task.settled_at);
            task.or(run.and_then(|run| run.ended_at)).unwrap_or_else(|| view.now())
        }
    };
    ReportDecision {
        decision_id: known.id,
        question: known.question.clone(),
        status: status(known),
        choice: answer.map(|answer| answer.choice.clone()),
        by: answer.map(|answer| words::answerer(&answer.by).to_string()),
        open_s: closed.seconds_since(known.created_at),
    }
}
