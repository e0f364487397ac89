//! Where one task stands, in words, and why a thing is as it is.

use std::fmt::Write;

use super::{
    bar::bar,
    duration::seconds,
    paint::Paint,
    report::shell_words,
    table::{Cell, one_line, table, tail},
};
use crate::api::{
    TaskStatus, WhyReply,
    reply::{Basis, CheckState},
};

/// Everything about a task that fits on a screen.
pub fn status(task: &TaskStatus, width: usize, paint: Paint) -> String {
    let mut text = format!(
        "{} {} {} {}\n",
        paint.bold(&task.task_id.to_string()),
        paint.state(task.status),
        one_line(&task.title),
        paint.dim(&format!("({})", task.request_id))
    );
    let basis = match task.progress.basis {
        Basis::Checks => "by its checks",
        Basis::Tools => "by what its agent did",
        Basis::Time => "by time",
        Basis::None => "nothing known yet",
    };
    let remaining = task.remaining.map(|left| format!(", {} left", seconds(left))).unwrap_or_default();
    let delayed = if task.delayed { paint.yellow(" delayed") } else { String::new() };
    let _ = writeln!(
        text,
        "  {} {basis} · {} so far{remaining} · attempt {} of {}{delayed}",
        bar(task.progress.percent, 20),
        seconds(task.elapsed),
        task.attempt,
        task.attempts_max
    );
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
        let _ = writeln!(text, "  {} {}", paint.red(&failure.class), one_line(&failure.message));
        let _ = writeln!(text, "  {} {}", paint.dim("next"), one_line(&failure.next));
    }
    for check in task.verify.iter().filter(|check| check.state == CheckState::Failed) {
        text.push_str(&paint.dim(&tail(&check.tail, 6, 4, width)));
    }
    text
}

/// The reasons behind a thing, in the order in which they took effect.
pub fn why(reply: &WhyReply, width: usize, paint: Paint) -> String {
    let summary = one_line(&reply.summary);
    // Most sentences begin with what was asked about.
    let rest = summary.strip_prefix(&reply.id).map_or_else(|| format!(" {summary}"), str::to_owned);
    let mut text = format!("{}{rest}\n", paint.bold(&reply.id));
    for reason in &reply.reasons {
        let at = reason.at.map(|at| at.clock()).unwrap_or_default();
        let _ = writeln!(text, "  {} {}", paint.dim(&format!("{at:<9}")), one_line(&reason.text));
        text.push_str(&paint.dim(&tail(&reason.tail, 6, 14, width)));
    }
    if let Some(decision) = &reply.decision {
        text.push_str(&super::decision::question(decision, paint));
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
                "escalation_required": false, "message": "cargo test fails with it", "next": "attempt 3 in 2 s"},
        }))
        .unwrap();
        expect![[r#"
            T-3 running Rename (R-1)
              [██████████░░░░░░░░░░] 50.0% by its checks · 13s so far, 10s left · attempt 2 of 4 delayed
              failed  6.0s  cargo test
              wrong_output cargo test fails with it
              next attempt 3 in 2 s
                boom
        "#]]
        .assert_eq(&status(&task, 90, Paint::PLAIN));
    }
}
