//! Answers that need more than the state: what a request would be taken for, and what a result changes.

use super::{
    convert::{self, View},
    lanes::{self, Status},
};
use crate::{
    api::{
        ApiError, DiffReply, ExplainReply,
        result::{ChangeKind, FileChange, Finding, FindingLevel},
        session::PlaybookScore,
    },
    core::{analyze, facts::Facts, plan::playbook},
    ids::{RunId, TaskId},
    upkeep::{self, Severity},
};

/// What a request would be taken for here, with every number. Nothing is stored.
pub fn explain(view: &View, text: &str, facts: &Facts) -> Result<ExplainReply, ApiError> {
    let request = analyze::Request { text: text.to_owned(), ..analyze::Request::default() };
    let known = analyze::analyze(&request, facts);
    let intent = known.intent.primary.map(|word| (word.as_str(), known.intent.confidence));
    let (available, _) = playbook::with_project(&view.settings.playbooks, facts);
    let choice = playbook::choose(&available, text, intent, facts);
    let matched: Vec<(String, f64)> = choice.matches.iter().map(|found| (found.name.clone(), found.score)).collect();
    let summary = match (&choice.chosen, intent) {
        (Some(playbook), _) => format!("the playbook {playbook} would do it"),
        (None, Some((word, confidence))) => {
            format!("{word} ({:.0} %); no playbook fits, so an agent would do it", confidence * 100.0)
        }
        (None, None) => "the request cannot be read with any certainty; you would be asked".to_owned(),
    };
    let playbooks = choice.matches.iter().map(|found| PlaybookScore {
        name: found.name.clone(),
        score: found.score,
        intent: found.parts.intent,
        words: found.parts.words,
        facts: found.parts.facts,
    });
    Ok(ExplainReply {
        summary,
        revision: view.revision,
        text: text.to_owned(),
        playbooks: playbooks.collect(),
        analysis: convert::analysis(&known, &matched, choice.chosen.as_deref(), None),
        plan: None,
    })
}

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
