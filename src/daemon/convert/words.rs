//! Words and enums that several replies share: states, counts, durations, commands.

use crate::{
    api::{
        Outcome, RunState, TaskState,
        decision::{Answerer, AnswererKind, Surface},
        reply::DiffStat,
    },
    core::{
        decide::decision::By,
        plan::spec::{Kind, TaskSpec, Work},
        run,
        task::{self, Phase, Settled, Task},
    },
};

/// `1 task`, `2 tasks`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The first line that says something, cut to `chars_max` characters.
pub fn first_line(text: &str, chars_max: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    match line.char_indices().nth(chars_max) {
        Some(_) => {
            let end = line.char_indices().nth(chars_max.saturating_sub(1)).map_or(line.len(), |(end, _)| end);
            format!("{}…", line[..end].trim_end())
        }
        None => line.to_owned(),
    }
}

/// A stored reason is a sentence and, behind its first line, the output that it rests on.
pub fn split_reason(why: &str) -> (String, String) {
    match why.split_once('\n') {
        Some((first, rest)) => (first.trim_end().to_owned(), rest.trim_end().to_owned()),
        None => (why.trim_end().to_owned(), String::new()),
    }
}

/// Ids and the like with commas, the first `most` of them.
pub fn list<T: std::fmt::Display>(items: &[T], most: usize) -> String {
    let shown: Vec<String> = items.iter().take(most).map(T::to_string).collect();
    match items.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A duration for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{:.1} s", s.max(0.0)),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A share with three decimals: what is behind them is rounding, not knowledge.
pub fn share(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A command as one would type it.
pub fn shell_line(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    let quoted: Vec<String> = argv
        .iter()
        .map(|word| match word.as_str() {
            word if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
            word => format!("'{}'", word.replace('\'', r"'\''")),
        })
        .collect();
    // Checks that were typed as one line travel as `sh -c`; the line is what people know.
    match argv {
        [sh, dash_c, line] if sh == "sh" && dash_c == "-c" => line.clone(),
        _ => quoted.join(" "),
    }
}

/// What a task does, in one line.
pub fn work_line(spec: &TaskSpec) -> String {
    match &spec.work {
        Work::Command(argv) => shell_line(argv),
        Work::Run(text) | Work::Prompt(text) => first_line(text, 200),
        Work::Playbook { name, .. } => format!("playbook {name}"),
        Work::Question { question, .. } => first_line(question, 200),
    }
}

/// Who does a task, where that is settled.
pub fn agent(spec: &TaskSpec) -> Option<String> {
    match spec.kind() {
        Kind::Shell => Some(SHELL.to_owned()),
        Kind::Agent => spec.extras().agent.clone(),
        Kind::Workflow | Kind::Decision => None,
    }
}

/// The driver that runs commands.
pub const SHELL: &str = "shell";

/// The run's state on the wire.
pub fn run_state(state: run::RunState) -> RunState {
    match state {
        run::RunState::Idle => RunState::Idle,
        run::RunState::Analyzing => RunState::Analyzing,
        run::RunState::Planning => RunState::Planning,
        run::RunState::Executing => RunState::Executing,
        run::RunState::Monitoring => RunState::Monitoring,
        run::RunState::Escalating => RunState::Escalating,
        run::RunState::Completing => RunState::Completing,
        run::RunState::Error => RunState::Error,
    }
}

/// The specification's name of a transition.
pub fn trigger(trigger: run::Trigger) -> &'static str {
    match trigger {
        run::Trigger::Start => "start",
        run::Trigger::Plan => "plan",
        run::Trigger::Execute => "execute",
        run::Trigger::Monitor => "monitor",
        run::Trigger::Escalate => "escalate",
        run::Trigger::UserResponse => "user_response",
        run::Trigger::Complete => "complete",
        run::Trigger::Finish => "finish",
        run::Trigger::Error => "error",
        run::Trigger::Recover => "recover",
        run::Trigger::Cancel => "cancel",
    }
}

/// The outcome on the wire.
pub fn outcome(outcome: run::Outcome) -> Outcome {
    match outcome {
        run::Outcome::Completed => Outcome::Completed,
        run::Outcome::Partial => Outcome::Partial,
        run::Outcome::Failed => Outcome::Failed,
        run::Outcome::Cancelled => Outcome::Cancelled,
    }
}

/// How a task is over, on the wire.
pub fn settled(how: Settled) -> TaskState {
    match how {
        Settled::Completed => TaskState::Completed,
        Settled::Failed => TaskState::Failed,
        Settled::Undone => TaskState::Undone,
        Settled::Blocked => TaskState::Blocked,
        Settled::Cancelled => TaskState::Cancelled,
        Settled::Stuck => TaskState::Stuck,
    }
}

/// The task's state on the wire.
pub fn task_state(task: &Task) -> TaskState {
    match task.state {
        task::TaskState::Waiting | task::TaskState::Retry(_) => TaskState::Queued,
        task::TaskState::Ready => TaskState::Ready,
        task::TaskState::Asking(_) => TaskState::WaitingDecision,
        task::TaskState::Settled(how) => settled(how),
        task::TaskState::Trying => match task.current().map(|(_, attempt)| attempt.phase) {
            Some(Phase::Reviewing) => TaskState::WaitingDecision,
            Some(Phase::Running) if task.current().is_some_and(|(_, attempt)| attempt.held()) => {
                TaskState::WaitingDecision
            }
            Some(Phase::Harvesting | Phase::Checking(_) | Phase::AwaitingBase(_)) => TaskState::Verifying,
            Some(
                Phase::Queued
                | Phase::Merging
                | Phase::Restaging
                | Phase::Rechecking(_)
                | Phase::AwaitingBaseMerged(_)
                | Phase::Advancing,
            ) => TaskState::Landing,
            Some(Phase::Preparing | Phase::Running | Phase::Probing | Phase::Compensating | Phase::Over) | None => {
                TaskState::Running
            }
        },
    }
}

/// What an attempt under way is busy with.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Preparing => "its lane is laid out",
        Phase::Running => "its command runs",
        Phase::Harvesting => "its lane is read for changes",
        Phase::Checking(_) => "its checks run",
        Phase::AwaitingBase(_) | Phase::AwaitingBaseMerged(_) => {
            "a red check waits for what it says of the untouched base"
        }
        Phase::Reviewing => "a person is asked to look at its change",
        Phase::Queued => "it is proven and waits for its turn to land",
        Phase::Merging => "its change is merged with what has landed",
        Phase::Restaging => "its lane is set to the merged tree",
        Phase::Rechecking(_) => "its checks run on the merged tree",
        Phase::Advancing => "its change joins the result",
        Phase::Probing => "it failed; whether its effect outside is there is probed",
        Phase::Compensating => "it failed; its effect outside is taken back",
        Phase::Over => "its last attempt is over",
    }
}

/// The size of a change on the wire.
pub fn diff(diff: Option<task::DiffStat>) -> DiffStat {
    let diff = diff.unwrap_or_default();
    DiffStat {
        files: u64::from(diff.files),
        insertions: u64::from(diff.insertions),
        deletions: u64::from(diff.deletions),
    }
}

/// Who answered, on the wire. Words that are not known are taken for what claims least: a session on the command line.
pub fn answerer(by: &By) -> Answerer {
    let kind = match by.kind.as_str() {
        "person" => AnswererKind::Person,
        "rule" => AnswererKind::Rule,
        "learned" => AnswererKind::Learned,
        "probation" => AnswererKind::Probation,
        _ => AnswererKind::Session,
    };
    let surface = match by.surface.as_str() {
        "lsp" => Surface::Lsp,
        "mcp_form" => Surface::McpForm,
        "mcp_prompt" => Surface::McpPrompt,
        "mcp_tool" => Surface::McpTool,
        _ => Surface::Cli,
    };
    Answerer { kind, surface, name: by.name.clone() }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        let line = |words: &[&str]| shell_line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["cargo", "test", "--offline"]), "cargo test --offline");
        assert_eq!(line(&["echo", "it's", ""]), r"echo 'it'\''s' ''");
        assert_eq!(line(&["sh", "-c", "make && make test"]), "make && make test");
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        assert_eq!(first_line("\n  ünï  \nsecond", 10), "ünï");
        assert_eq!(first_line("ääääää", 4), "äää…");
        assert_eq!(split_reason("it failed\nboom\n"), ("it failed".to_owned(), "boom".to_owned()));
        assert_eq!(list(&[1, 2, 3], 2), "1, 2 and 1 more");
        assert_eq!(duration(90.0), "90 s");
        assert_eq!(duration(-1.0), "0.0 s");
    }
}
