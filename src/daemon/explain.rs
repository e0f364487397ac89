//! Answers that need more than the state: what a result changes, and what its tasks found.

use super::{
    convert,
    lanes::{self, Status},
};
use crate::{
    api::{
        DiffReply,
        result::{ChangeKind, FileChange, Finding, FindingLevel},
    },
    ids::{RunId, TaskId},
    upkeep::{self, Severity},
};

/// What a result changes, as the wire has it.
pub fn diff_reply(run: RunId, revision: u64, diff: &lanes::Diff, patch: Option<String>) -> DiffReply {
    let files: Vec<FileChange> = diff
        .files
        .iter()
        .map(|file| FileChange {
            path: file.path.to_string_lossy().into_owned(),
            change: match file.status {
                Status::Added => ChangeKind::Added,
                Status::Deleted => ChangeKind::Deleted,
                Status::Modified | Status::TypeChanged => ChangeKind::Modified,
            },
            insertions: file.insertions.unwrap_or(0),
            deletions: file.deletions.unwrap_or(0),
            binary: file.insertions.is_none(),
            tasks: Vec::new(),
        })
        .collect();
    let summary = format!("{run}: {} files, +{} -{}", files.len(), diff.insertions, diff.deletions);
    DiffReply {
        summary,
        revision,
        request_id: run,
        files,
        insertions: diff.insertions,
        deletions: diff.deletions,
        patch,
    }
}

/// Reads a finding off a line of a task's output: our own fixers' and audits' form, or the plain one that any command
/// may print (`convert::finding`). Most lines are neither.
pub fn finding(line: &str, task: TaskId) -> Option<Finding> {
    #[derive(serde::Deserialize)]
    struct Line {
        finding: upkeep::Finding,
    }
    let line = line.trim();
    if !line.starts_with("{\"finding\"") {
        return None;
    }
    let Ok(Line { finding }) = serde_json::from_str(line) else { return convert::finding(line, task) };
    let place = finding.line.map_or(finding.path.clone(), |number| format!("{}:{number}", finding.path));
    let fixed = if finding.fixed { " (mended)" } else { "" };
    Some(Finding {
        level: match finding.severity {
            Severity::Info | Severity::Low => FindingLevel::Info,
            Severity::Medium => FindingLevel::Warning,
            Severity::High => FindingLevel::Error,
        },
        task_id: Some(task),
        text: format!("{place}: {}{fixed}", finding.message),
        tail: String::new(),
    })
}
