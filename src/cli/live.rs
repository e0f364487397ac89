//! What a follower knows of a run while it goes on, and what is worth saying of each event. Pure: events in, lines out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::render::{
    bar::{WIDTH, bar},
    duration::seconds,
    paint::Paint,
    table::{cut, one_line, tail},
};
use crate::{
    api::{Event, EventType, Outcome, Report, RunState, TaskState, result::Phase},
    ids::{AttemptId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// Lines of output that are shown with a failure.
const TAIL_LINES: usize = 4;

/// Tasks in work that are drawn.
const BUSY_MAX: usize = 12;

/// What of an event changes where a run stands; reading it costs a fraction of reading the whole.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Glimpse {
    revision: u64,
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(default)]
    data: GlimpseData,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct GlimpseData {
    to: Option<RunState>,
    outcome: Option<Outcome>,
    decision_id: Option<DecisionId>,
}

impl Glimpse {
    fn of(event: &Event) -> Glimpse {
        let data = &event.data;
        let data = GlimpseData { to: data.to, outcome: data.outcome, decision_id: data.decision_id };
        Glimpse { revision: event.revision, kind: event.kind, data }
    }
}

/// A run as its follower sees it.
#[derive(Debug)]
pub struct Live {
    /// The run.
    pub run: RunId,
    /// Journal position seen last.
    pub revision: u64,
    /// Where it stands.
    pub state: RunState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// 0..100, never going back.
    pub percent: f64,
    /// Decisions that wait for an answer.
    pub open: BTreeSet<DecisionId>,
    titles: BTreeMap<TaskId, String>,
    busy: BTreeMap<TaskId, Busy>,
    ended: BTreeSet<TaskId>,
}

/// What a task is busy with.
#[derive(Debug)]
struct Busy {
    since: Timestamp,
    doing: String,
}

impl Live {
    /// As the report has it: everything up to its revision.
    pub fn of_report(report: &Report) -> Live {
        let mut live = Live {
            run: report.request_id,
            revision: report.revision,
            state: report.state,
            outcome: report.outcome,
            percent: report.progress.completion_percentage,
            open: BTreeSet::new(),
            titles: BTreeMap::new(),
            busy: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        for decision in &report.decisions {
            if decision.status == crate::api::decision::DecisionStatus::Open {
                live.open.insert(decision.decision_id);
            }
        }
        for task in &report.tasks {
            let title = if task.title.is_empty() { &task.name } else { &task.title };
            live.titles.insert(task.task_id, one_line(title));
            if task.status.ended() {
                live.ended.insert(task.task_id);
            }
            if let Some(span) = task.spans.last()
                && span.ended_at.is_none()
                && matches!(task.status, TaskState::Running | TaskState::Verifying | TaskState::Landing)
            {
                let doing = match (span.phase, task.lane) {
                    (Phase::Prepare, _) => "prepares its lane".to_owned(),
                    (Phase::Work, Some(lane)) => format!("works in {lane}"),
                    (Phase::Work, None) => "works".to_owned(),
                    (Phase::Verify, _) => "is checked".to_owned(),
                    (Phase::Land, _) => "lands".to_owned(),
                    (Phase::Wait, _) => "waits for an answer".to_owned(),
                };
                live.busy.insert(task.task_id, Busy { since: span.started_at.0, doing });
            }
        }
        live
    }

    /// Takes in where the run stands after an event, and nothing else of it.
    pub fn note(&mut self, event: &Glimpse) {
        self.revision = self.revision.max(event.revision);
        match event.kind {
            EventType::RunStateChanged => self.state = event.data.to.unwrap_or(self.state),
            EventType::RunFinished => self.outcome = Some(event.data.outcome.unwrap_or(Outcome::Failed)),
            EventType::DecisionOpened => self.open.extend(event.data.decision_id),
            EventType::DecisionClosed => {
                event.data.decision_id.map(|decision| self.open.remove(&decision));
            }
            _ => {}
        }
    }

    /// Takes an event in and returns what is worth saying of it.
    pub fn take(&mut self, event: &Event, width: usize, paint: Paint) -> Vec<String> {
        self.note(&Glimpse::of(event));
        let data = &event.data;
        if let Some(percent) = data.percent {
            self.percent = self.percent.max(percent);
        }
        if let (Some(task), Some(title)) = (data.task_id, &data.title) {
            self.titles.insert(task, one_line(title));
        }
        let task = data.task_id.or(data.attempt.map(|attempt| attempt.task));
        let reason = data.reason.as_deref().map(one_line).unwrap_or_default();
        let mut lines = Vec::new();
        match (event.kind, task) {
            (EventType::RunFinished, _) => self.busy.clear(),
            (EventType::RunPlanned, _) => {
                lines.push(planned_line(self.run, data.tasks));
            }
            (EventType::TaskAdded, Some(task)) => {
                self.titles.entry(task).or_default();
            }
            (EventType::AttemptStarted, Some(task)) => {
                let mut doing = match &data.agent {
                    Some(agent) if agent != "shell" => format!("{agent} works"),
                    _ => "works".to_owned(),
                };
                if let Some(lane) = data.lane {
                    doing.push_str(&format!(" in {lane}"));
                }
                let again = data.attempt.filter(|attempt| attempt.generation > 1);
                lines.push(self.line(paint.cyan("▸"), task, &again_text(again, &doing)));
                self.busy.insert(task, Busy { since: event.at.0, doing });
            }
            (EventType::AttemptEnded, Some(task)) => {
                if let Some(busy) = self.busy.get_mut(&task) {
                    busy.doing = "is checked".into();
                }
                if let Some(end) = data.end.as_deref().filter(|end| *end != "exit:0") {
                    lines.push(self.line(paint.yellow("!"), task, &format!("ended with {end}{}", dash(&reason))));
                    lines.extend(tail_lines(data.tail.as_deref(), width, paint));
                }
            }
            (EventType::CheckFinished, Some(task)) => {
                let command = data.command.as_deref().map(one_line).unwrap_or_else(|| "check".into());
                let took = data.seconds.map(|taken| format!(" ({})", seconds(taken))).unwrap_or_default();
                match data.passed {
                    Some(false) => {
                        lines.push(self.line(paint.red("✗"), task, &format!("`{command}` failed{took}")));
                        lines.extend(tail_lines(data.tail.as_deref(), width, paint));
                    }
                    _ => lines.push(self.line(paint.dim("·"), task, &format!("`{command}` passed{took}"))),
                }
            }
            (EventType::TaskLanded, Some(task)) => lines.push(self.line(paint.green("✓"), task, "landed")),
            (EventType::TaskCompleted, Some(task)) => {
                self.end(task);
                if !reason.is_empty() {
                    lines.push(self.line(paint.dim("·"), task, &reason));
                }
            }
            (EventType::TaskFailed, Some(task)) => {
                self.end(task);
                lines.push(self.line(paint.red("✗"), task, &format!("failed{}", dash(&reason))));
                lines.extend(tail_lines(data.tail.as_deref(), width, paint));
            }
            (EventType::TaskUndone, Some(task)) => {
                self.end(task);
                lines.push(self.line(paint.yellow("↶"), task, &format!("undone{}", dash(&reason))));
                lines.extend(tail_lines(data.tail.as_deref(), width, paint));
            }
            (EventType::TaskBlocked, Some(task)) => {
                self.end(task);
                lines.push(self.line(paint.yellow("⊘"), task, &format!("blocked{}", dash(&reason))));
            }
            (EventType::TaskCancelled, Some(task)) => {
                self.end(task);
                lines.push(self.line(paint.dim("–"), task, "cancelled"));
            }
            (EventType::DecisionClosed, _) => {
                if let Some(decision) = data.decision_id {
                    let what = data.choice.as_deref().unwrap_or("no longer asked");
                    let by = data.more.get("by").and_then(|by| by.as_str()).map(|by| format!(" by {by}"));
                    lines.push(format!("{} {decision} {what}{}", paint.green("✓"), by.unwrap_or_default()));
                }
            }
            (EventType::AgentLimited | EventType::AgentMissing, _) => {
                let agent = data.agent.as_deref().unwrap_or("an agent");
                let what = if event.kind == EventType::AgentLimited { "is out of quota" } else { "is not installed" };
                lines.push(format!("{} {agent} {what}{}", paint.yellow("!"), dash(&reason)));
            }
            (EventType::BudgetWarned | EventType::BudgetReached, _) => {
                let what = if event.kind == EventType::BudgetWarned { "budget nearly used" } else { "budget used up" };
                lines.push(format!("{} {what}{}", paint.yellow("!"), dash(&reason)));
            }
            (EventType::CheckpointRestored, _) => {
                if let Some(checkpoint) = data.checkpoint_id {
                    lines.push(format!("{} went back to {checkpoint}", paint.yellow("↶")));
                }
            }
            (EventType::DecisionReminded, _) => {
                if let Some(decision) = data.decision_id {
                    let asked = data.question.as_deref().map(|question| format!(": {question}")).unwrap_or_default();
                    lines.push(format!("{} {decision} still waits{asked}", paint.yellow("?")));
                }
            }
            // Not worth a line: the bars and the percentage show them.
            (
                EventType::RunCreated
                | EventType::RunAnalyzed
                | EventType::RunStateChanged
                | EventType::DecisionOpened
                | EventType::TaskReady
                | EventType::AttemptClaimed
                | EventType::CheckpointSaved,
                _,
            ) => {}
            // An event of a task that does not say which: nothing can be said about it.
            (
                EventType::TaskAdded
                | EventType::TaskLanded
                | EventType::TaskCompleted
                | EventType::TaskFailed
                | EventType::TaskBlocked
                | EventType::TaskCancelled
                | EventType::TaskUndone
                | EventType::AttemptStarted
                | EventType::AttemptEnded
                | EventType::CheckFinished,
                None,
            ) => {}
        }
        lines
    }

    fn end(&mut self, task: TaskId) {
        self.busy.remove(&task);
        self.ended.insert(task);
    }

    fn line(&self, mark: String, task: TaskId, text: &str) -> String {
        let title = self.titles.get(&task).map(|title| cut(title, 44)).unwrap_or_default();
        let title = if title.is_empty() { String::new() } else { format!(" {title}") };
        format!("{mark} {task}{title}: {text}")
    }

    /// The line above all others: the specification's bar and the counts.
    pub fn overall(&self, width: usize) -> String {
        let counts = format!("{}/{} tasks", self.ended.len(), self.titles.len());
        // The rest of the line: ids, brackets, the percentage and what stands between them.
        let taken = self.run.to_string().len() + counts.len() + " [] 100.0% ".len() + 1;
        format!("{} {} {counts}", self.run, bar(self.percent, WIDTH.min(width.saturating_sub(taken).max(4))))
    }

    /// That it goes on, for whoever sees no bars and has heard nothing for a while; nothing where nothing is in work.
    pub fn still(&self, now: Timestamp, width: usize) -> Option<String> {
        let (task, busy) = self.busy.iter().min_by_key(|(task, busy)| (busy.since, **task))?;
        let title = self.titles.get(task).map(String::as_str).unwrap_or_default();
        let others = match self.busy.len() - 1 {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        let took = seconds(now.seconds_since(busy.since));
        let (over, all) = (self.ended.len(), self.titles.len());
        Some(cut(&format!("… {over} of {all} tasks over; {task} {title} {} for {took}{others}", busy.doing), width))
    }

    /// A line per task in work: how long, and with what. The longest at it first, and no more than fit a screen.
    pub fn busy_lines(&self, now: Timestamp, width: usize) -> Vec<(TaskId, String)> {
        let line = |(task, busy): (&TaskId, &Busy)| {
            let title = self.titles.get(task).map(String::as_str).unwrap_or_default();
            let text = format!("  {task} {title} · {} · {}", busy.doing, seconds(now.seconds_since(busy.since)));
            (*task, cut(&text, width))
        };
        let mut busy: Vec<_> = self.busy.iter().collect();
        busy.sort_by_key(|(task, busy)| (busy.since, **task));
        busy.into_iter().take(BUSY_MAX).map(line).collect()
    }
}

/// That a run is planned, and with how many tasks.
pub fn planned_line(run: RunId, tasks: Option<u64>) -> String {
    let tasks = tasks.map(|count| format!(": {}", super::render::report::plural(count, "task")));
    format!("{run} planned{}", tasks.unwrap_or_default())
}

fn again_text(again: Option<AttemptId>, doing: &str) -> String {
    match again {
        Some(attempt) => format!("{doing}, attempt {}", attempt.generation),
        None => doing.to_owned(),
    }
}

fn dash(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn tail_lines(text: Option<&str>, width: usize, paint: Paint) -> Vec<String> {
    let text = tail(text.unwrap_or_default(), TAIL_LINES, 6, width);
    text.lines().map(|line| paint.dim(line)).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_run_is_told_as_it_happens() {
        let mut report = samples::report();
        report.tasks.clear();
        report.decisions.clear();
        report.outcome = None;
        report.progress.completion_percentage = 0.0;
        let mut live = Live::of_report(&report);
        let mut told = Vec::new();
        for (second, kind, data) in [
            (0, "run.planned", json!({"tasks": 2})),
            (0, "task.added", json!({"task_id": "T-1", "title": "Format"})),
            (0, "task.added", json!({"task_id": "T-2", "title": "Rename\u{1b}[2J"})),
            (1, "attempt.started", json!({"task_id": "T-1", "attempt": "T-1.1", "agent": "shell", "lane": "L-1"})),
            (2, "attempt.started", json!({"attempt": "T-2.2", "agent": "claude", "lane": "L-2"})),
            (3, "check.finished", json!({"task_id": "T-1", "command": "cargo test", "passed": true, "seconds": 1.5})),
            (3, "task.landed", json!({"task_id": "T-1", "percent": 50.0})),
            (3, "task.completed", json!({"task_id": "T-1"})),
            (
                4,
                "check.finished",
                json!({"task_id": "T-2", "command": "cargo test", "passed": false, "tail": "a\nboom\n"}),
            ),
        ] {
            let event = json!({"revision": 60 + second, "at": samples::at(second as f64), "run": "R-1", "type": kind, "data": data});
            told.extend(live.take(&serde_json::from_value(event).unwrap(), 80, Paint::PLAIN));
        }
        told.push(live.overall(80));
        assert!(live.overall(40).chars().count() < 40, "{}", live.overall(40));
        told.extend(live.busy_lines(samples::at(62.0).0, 80).into_iter().map(|(_, line)| line));
        told.extend(live.still(samples::at(62.0).0, 80));
        expect![[r#"
            R-1 planned: 2 tasks
            ▸ T-1 Format: works in L-1
            ▸ T-2 Rename [2J: claude works in L-2, attempt 2
            · T-1 Format: `cargo test` passed (1.5s)
            ✓ T-1 Format: landed
            ✗ T-2 Rename [2J: `cargo test` failed
                  a
                  boom
            R-1 [███████████████░░░░░░░░░░░░░░░] 50.0% 1/2 tasks
              T-2 Rename [2J · claude works in L-2 · 1m00s
            … 1 of 2 tasks over; T-2 Rename [2J claude works in L-2 for 1m00s"#]]
        .assert_eq(&told.join("\n"));
        assert_eq!(live.revision, 64);

        let undone = json!({"revision": 70, "at": samples::at(9.0), "type": "task.undone",
            "data": {"task_id": "T-2", "reason": "`cargo test` fails with it", "percent": 20.0}});
        let told = live.take(&serde_json::from_value(undone).unwrap(), 80, Paint::PLAIN);
        assert_eq!(told, ["↶ T-2 Rename [2J: undone: `cargo test` fails with it"]);
        assert_eq!(live.percent, 50.0, "a percentage never goes back");
        assert!(live.busy_lines(samples::at(9.0).0, 80).is_empty());
        assert_eq!(live.still(samples::at(9.0).0, 80), None);
    }
}
