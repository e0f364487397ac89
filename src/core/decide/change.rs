//! What a person has a word in before a proven change lands: secrets that it brings in, protections that it weakens,
//! and, where compatibility is to be kept, what it takes away from those who build on it.
//!
//! What a change does is read where files are read (`daemon/changes`); here it is only asked about.

use serde::{Deserialize, Serialize};

use super::{
    choice,
    decision::{Anchored, Decision, DecisionKind},
    open_at, short,
};
use crate::{
    core::{
        event::Event,
        plan::spec::Work,
        run::Run,
        state::State,
        task::{Attempt, Task},
    },
    ids::AttemptId,
    time::Timestamp,
};

/// What was noticed in a change; at least one of the lists is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noticed {
    /// What looks like a secret, and protections that are weakened. Never the secret itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<Remark>,
    /// Exports that are gone or altered, where compatibility is to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// Files whose exports nobody here can tell, where compatibility is to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Remark>,
}

/// Something about a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// Relative to the root.
    pub path: String,
    /// From 1, in the file as it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Whether the file is there before the change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub there: bool,
    /// In words.
    pub what: String,
}

/// An export that others may have built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Relative to the root.
    pub path: String,
    /// From 1, in the file as it is before the change.
    pub line: u32,
    /// As it is spoken of.
    pub name: String,
    /// Its signature before.
    pub before: String,
    /// What is there instead, or where it went; `None` = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// How the question about unread files says why it is asked.
const UNREAD: &str = "missing:exports";

/// What a person is to say next about a change before it may land, one thing after the other: a question, or nothing
/// while one is open already; `None` = nothing stands before it.
pub fn before(
    state: &State,
    run: &Run,
    task: &Task,
    id: AttemptId,
    attempt: &Attempt,
    now: Timestamp,
) -> Option<Vec<Event>> {
    let noticed = attempt.more.as_ref().and_then(|more| more.noticed.as_deref())?;
    for subject in [Subject::Security, Subject::Broken, Subject::Unread] {
        if subject.lines(noticed).is_empty() {
            continue;
        }
        let of = |generation: u32| {
            let ours = move |decision: &&Decision| {
                decision.task == Some(task.id) && decision.generation == Some(generation) && subject.is(decision)
            };
            state.decisions.values().rev().find(ours)
        };
        match of(id.generation) {
            Some(asked) if asked.answer().is_some_and(|answer| answer.choice == KEEP) => continue,
            Some(_) => return Some(Vec::new()),
            None => {}
        }
        // The same was asked about an attempt before, and kept: it is not asked twice.
        let known = (1..id.generation).rev().any(|generation| {
            let same = task.attempt(generation).and_then(|attempt| attempt.more.as_ref()?.noticed.as_deref());
            same.is_some_and(|same| subject.lines(same) == subject.lines(noticed))
                && of(generation).and_then(Decision::answer).is_some_and(|answer| answer.choice == KEEP)
        });
        if !known {
            return Some(vec![question(state, run, task, attempt, (subject, noticed), now)]);
        }
    }
    None
}

/// The option that takes the change as it is.
pub const KEEP: &str = "keep";
/// The option that sends it back to its agent.
pub const BACK: &str = "back";
/// Most places that a question names.
const NAMED_MAX: usize = 20;

#[derive(Clone, Copy)]
enum Subject {
    Security,
    Broken,
    Unread,
}

impl Subject {
    fn kind(self) -> DecisionKind {
        match self {
            Subject::Security => DecisionKind::Security,
            Subject::Broken => DecisionKind::BreakingChange,
            Subject::Unread => DecisionKind::Review,
        }
    }

    fn is(self, decision: &Decision) -> bool {
        decision.kind == self.kind()
            && (decision.kind != DecisionKind::Review || decision.why.as_deref() == Some(UNREAD))
    }

    /// What is to be named, one a line.
    fn lines(self, noticed: &Noticed) -> Vec<String> {
        let place = |remark: &Remark| match remark.line {
            Some(line) => format!("`{}:{line}`: {}", remark.path, remark.what),
            None => format!("`{}`: {}", remark.path, remark.what),
        };
        match self {
            Subject::Security => noticed.security.iter().map(place).collect(),
            Subject::Unread => noticed.unread.iter().map(place).collect(),
            Subject::Broken => noticed.broken.iter().map(Broken::words).collect(),
        }
    }

    /// Where it is, in the files as they are in the checkout.
    fn anchor(self, noticed: &Noticed) -> Option<Anchored> {
        let place = |remark: &Remark| Anchored { path: remark.path.clone(), line: remark.line.unwrap_or(1) };
        match self {
            Subject::Security => noticed.security.iter().find(|remark| remark.there).map(place),
            Subject::Unread => noticed.unread.first().map(place),
            Subject::Broken => {
                noticed.broken.first().map(|broken| Anchored { path: broken.path.clone(), line: broken.line })
            }
        }
    }
}

impl Broken {
    fn words(&self) -> String {
        match &self.after {
            None => format!("`{}` is gone from `{}`: was `{}`", self.name, self.path, self.before),
            Some(after) => format!("`{}` in `{}`: was `{}`, now {after}", self.name, self.path, self.before),
        }
    }
}

fn question(
    state: &State,
    run: &Run,
    task: &Task,
    attempt: &Attempt,
    (subject, noticed): (Subject, &Noticed),
    now: Timestamp,
) -> Event {
    let lines = subject.lines(noticed);
    let more = match lines.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let title = task.spec.title();
    let (asks, about) = match subject {
        Subject::Security => {
            let first = &noticed.security[0];
            (
                format!("{} in `{}`{more}: take the change of {}? {title}", first.what, first.path, task.id),
                "It is proven, but it touches what protects you. What looks like a secret is in the change's commit for \
                 good once it has landed.",
            )
        }
        Subject::Broken => {
            let first = &noticed.broken[0];
            let done = if first.after.is_some() { "altered" } else { "removed" };
            (
                format!(
                    "`{}` is {done}{more}, and compatibility was to be kept. Take the change of {}? {title}",
                    first.name, task.id
                ),
                "It is proven, but others may have built on what it takes away or alters.",
            )
        }
        Subject::Unread => {
            let first = &noticed.unread[0];
            (
                format!(
                    "Does the change of {} keep what others build on? Nobody here can tell for `{}`{more}",
                    task.id, first.path
                ),
                "It is proven, and compatibility was to be kept. In these files exports cannot be compared by a program \
                 here, so somebody has to look.",
            )
        }
    };
    let commit = attempt.more.as_ref().and_then(|more| more.commit.as_deref()).unwrap_or("-");
    open_at(state, now, run, subject.kind(), Some(task), |decision| {
        decision.question = short(&asks);
        let named: String = lines.iter().take(NAMED_MAX).map(|line| format!("- {line}\n")).collect();
        let left = match lines.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            left => format!("- and {left} more\n"),
        };
        decision.detail = format!("{about}\n\n{named}{left}\nSee it with `git show {commit}`.");
        decision.anchor = subject.anchor(noticed);
        decision.criticality = match subject {
            // Somebody who has it has it; and it is never a model's to say that this is well.
            Subject::Security => 1.0,
            Subject::Broken => 0.6,
            Subject::Unread => 0.3,
        };
        if let Subject::Unread = subject {
            decision.why = Some(UNREAD.to_owned());
        }
        decision.options =
            vec![choice(KEEP, "Take it", "It joins the run's result as it is.", !matches!(subject, Subject::Security))];
        if matches!(task.spec.work, Work::Prompt(_)) {
            let mut back =
                choice(BACK, "Send it back", "Its agent is told this and what you add, and does it again.", true);
            back.takes_text = true;
            decision.options.push(back);
        }
        decision.options.push(choice("drop", "Leave it out", "It is dropped; what needs it is blocked.", true));
    })
}

/// What an agent is told whose change was sent back.
pub fn sent_back(decision: &Decision) -> Option<String> {
    let answer = decision.answer().filter(|answer| answer.choice == BACK)?;
    let rule = match decision.kind {
        DecisionKind::Security => "Your change was looked at by a person and sent back: it must not do this.",
        DecisionKind::BreakingChange => {
            "Your change was looked at by a person and sent back: exported names and signatures must stay as they were."
        }
        _ => "Your change was looked at by a person and sent back: what others build on must stay as it was.",
    };
    let named: Vec<&str> = decision.detail.lines().filter(|line| line.starts_with("- ")).collect();
    let added = answer.text.as_deref().map(|text| format!("\nThey say: {text}")).unwrap_or_default();
    Some(format!("{rule} Your changes are still in place.\n{}{added}", named.join("\n")))
}
