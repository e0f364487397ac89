//! Where one task stands, in words, and why a thing is as it is.

use std::fmt::Write;

use super::{
    bar::bar,
    duration::seconds,
    paint::Paint,
    report::shell_words,
    table::{Cell, fold, one_line, prose, table, tail},
};
use crate::api::{
    TaskStatus, WhyReply,
    reply::{Basis, CheckState},
};

/// Everything about a task that fits on a screen; the last lines of a check that failed stand with the reasons ([`why`]).
pub fn status(task: &TaskStatus, width: usize, paint: Paint) -> String {
    let mut text = format!(
        "{} {} {} {}\n",
        paint.bold(&task.task_id.to_string()),
        paint.state(task.status),
        one_line(&task.title),
        paint.dim(&format!("({})", task.request_id))
    );
    if task.status.ended() {
        let _ = writeln!(text, "  took {} · attempt {} of {}", seconds(task.elapsed), task.attempt, task.attempts_max);
    } else {
        text.push_str(&under_way(task, paint));
    }
    if !task.blocked_by.is_empty() {
        let _ = writeln!(text, "  waits for {}", task.blocked_by.join(", "));
    }
    let rows: Vec<Vec<Cell>> = task
        .verify
        .iter()
        .map(|check| {
            let state = match check.state {
                CheckState::Pending => Cell::new("pending", Paint::dim),
                CheckState::Running => Cell::new("running", Paint::cyan),
                CheckState::Passed => Cell::new("passed", Paint::green),
                CheckState::Failed => Cell::new("failed", Paint::red),
                CheckState::Missing => Cell::new("missing", Paint::yellow),
            };
            vec![state, seconds(check.seconds).into(), shell_words(&check.command).into()]
        })
        .collect();
    text.push_str(&table(&rows, 2, width, paint));
    if let Some(failure) = &task.failure {
        // Its first line is the sentence; what follows is output, which stands with the reasons.
        let sentence = failure.message.lines().next().unwrap_or_default();
        let row = |name: &str, colour: super::table::Colour, what: &str| vec![Cell::new(name, colour), what.into()];
        let rows = [row(&failure.class, Paint::red, sentence), row("next", Paint::dim, &failure.next)];
        text.push_str(&prose(&rows, 2, width, paint));
    }
    text
}

/// How far a task is that is not over yet.
fn under_way(task: &TaskStatus, paint: Paint) -> String {
    let basis = match task.progress.basis {
        Basis::Checks => "by its checks",
        Basis::Tools => "by what its agent did",
        Basis::Time => "by time",
        Basis::None => "nothing known yet",
    };
    let remaining = task.remaining.map(|left| format!(", {} left", seconds(left))).unwrap_or_default();
    let delayed = if task.delayed { paint.yellow(" delayed") } else { String::new() };
    format!(
        "  {} {basis} · {} so far{remaining} · attempt {} of {}{delayed}\n",
        bar(task.progress.percent, 20),
        seconds(task.elapsed),
        task.attempt,
        task.attempts_max
    )
}

/// The reasons behind a thing, in the order in which they took effect.
pub fn why(reply: &WhyReply, width: usize, paint: Paint) -> String {
    let summary = one_line(&reply.summary);
    // Most sentences begin with what was asked about.
    let rest = summary.strip_prefix(&reply.id).map_or_else(|| format!(" {summary}"), str::to_owned);
    let mut text = format!("{}{rest}\n", paint.bold(&reply.id));
    let mut said = "";
    for reason in &reply.reasons {
        let at = reason.at.map(|at| at.clock()).unwrap_or_default();
        let lines = fold(&one_line(&reason.text), width.saturating_sub(12).max(20)).join("\n            ");
        let _ = writeln!(text, "  {} {lines}", paint.dim(&format!("{at:<9}")));
        // What is taken back is taken back for what a check said just before: its words stand there.
        if reason.tail != said && !reason.text.ends_with(reason.tail.trim_end()) {
            text.push_str(&paint.dim(&tail(&reason.tail, 6, 14, width)));
        }
        if !reason.tail.is_empty() {
            said = &reason.tail;
        }
    }
    if let Some(decision) = &reply.decision {
        text.push_str(&super::decision::question(decision, width, paint));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failing_task_shows_its_check() {
        let task: TaskStatus = serde_json::from_value(json!({
            "summary": "", "revision": 1, "task_id": "T-3", "request_id": "R-1", "status": "running", "title": "Rename",
            "kind": "shell", "type": "refactoring", "attempt": 2, "attempts_max": 4,
            "progress": {"percent": 50.0, "basis": "checks"}, "elapsed": 12.5, "remaining": 10.0, "delayed": true,
            "verify": [{"command": ["cargo", "test"], "state": "failed", "exit_code": 101, "base": "passed", "seconds": 6.0, "tail": "boom\n"}],
            "failure": {"class": "wrong_output", "severity": "medium", "recoverable": true, "retry_potential": true,
                "escalation_required": false, "message": "cargo test fails with it\nboom\n", "next": "attempt 3 in 2 s"},
        }))
        .unwrap();
        expect![[r#"
            T-3 running Rename (R-1)
              [██████████░░░░░░░░░░] 50.0% by its checks · 13s so far, 10s left · attempt 2 of 4 delayed
              failed  6.0s  cargo test
              wrong_output  cargo test fails with it
              next          attempt 3 in 2 s
        "#]]
        .assert_eq(&status(&task, 90, Paint::PLAIN));
    }
}
