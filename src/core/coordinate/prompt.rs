//! What an agent is told: the task, where it stands, what is known, what will judge it, and what went wrong before.

use std::fmt::Write;

use crate::core::{
    agent::{AgentPart, Told},
    decide::{change, decision::Decision},
    effect::checks,
    plan::spec::{Effect as Touches, Part, Work},
    run::Run,
    state::State,
    task::{Attempt, Task},
};

/// Most of a failure's words that go into the next prompt, bytes.
const FAILURE_BYTES_MAX: usize = 4_000;

/// Most notes of the run that are told.
const NOTES_MAX: usize = 20;

/// What the agent of an attempt starts with.
pub fn told(state: &State, run: &Run, task: &Task, part: &AgentPart) -> Told {
    let anew = if part.allocation.resume { anew(state, run, task) } else { String::new() };
    Told { prompt: of(state, run, task), anew }
}

/// The words for an attempt of this task.
pub fn of(state: &State, run: &Run, task: &Task) -> String {
    let allocation = task.current().and_then(|(_, live)| live.agent()).map(|part| &part.allocation);
    if allocation.is_some_and(|allocation| allocation.resume) {
        let mut text = String::new();
        let before = before(task);
        // The conversation knows the task; it is told what happened since.
        let _ = match before.map(|before| after(state, task, before)) {
            Some(words) if !words.is_empty() => writeln!(text, "{words}"),
            _ => writeln!(text, "Go on with your task where you were interrupted."),
        };
        rules(&mut text, run, task);
        return text;
    }
    anew(state, run, task)
}

/// The last attempt of an agent before the present one, with its generation.
fn before(task: &Task) -> Option<(u32, &Attempt)> {
    let mut numbered = task.attempts.iter().enumerate().rev().skip(1).map(|(at, attempt)| (at as u32 + 1, attempt));
    numbered.find(|(_, attempt)| attempt.agent().is_some())
}

/// The words for one that knows nothing of the task, whatever was said before.
pub fn anew(state: &State, run: &Run, task: &Task) -> String {
    let mut text = String::new();
    let before = before(task);
    let _ = match &task.spec.work {
        Work::Prompt(prompt) => writeln!(text, "{}\n", prompt.trim()),
        _ => writeln!(text, "{}\n", task.spec.title()),
    };
    if run.tasks.len() > 1 && run.request.description != task.spec.title() {
        let _ = writeln!(text, "It is one part of a larger request: {}\n", run.request.description.trim());
    }
    context(&mut text, run);
    if let Some(attempt) = before {
        let words = after(state, task, attempt);
        if !words.is_empty() {
            let _ = writeln!(text, "{words}\n");
        }
    }
    parts(&mut text, state, run, task);
    let notes = run.shared_notes.iter().rev().take(NOTES_MAX).rev();
    let notes: String = notes.map(|note| format!("- {}: {}\n", note.by.task, note.text)).collect();
    if !notes.is_empty() {
        let _ = writeln!(text, "Others who work on parts of it left these notes:\n{notes}");
    }
    rules(&mut text, run, task);
    text
}

/// What came with the request: a selection, a diagnostic, files; and what the repository is made of.
fn context(text: &mut String, run: &Run) {
    let value = |key: &str| run.request.context.get(key).filter(|value| !value.is_null());
    let words = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(selection) = value("selection") {
        let uri = selection.get("uri").map(words).unwrap_or_default();
        let _ = writeln!(text, "It was asked about this place: {uri}");
        if let Some(selected) = selection.get("text").and_then(|selected| selected.as_str()) {
            let _ = writeln!(text, "```\n{selected}\n```");
        }
    }
    if let Some(diagnostic) = value("diagnostic") {
        let _ = writeln!(text, "The diagnostic it is about: {}", words(diagnostic));
    }
    if let Some(files) = value("files").and_then(|files| files.as_array()) {
        let files: Vec<String> = files.iter().map(words).collect();
        let _ = writeln!(text, "Files it is about: {}", files.join(", "));
    }
    if let Some(facts) = &run.facts {
        let mut languages: Vec<(&String, &u64)> = facts.languages.iter().collect();
        languages.sort_by(|a, b| b.1.cmp(a.1));
        let languages: Vec<&str> = languages.iter().take(3).map(|(name, _)| name.as_str()).collect();
        if !languages.is_empty() {
            let _ = writeln!(text, "The repository: {} files, mostly {}.", facts.files, languages.join(", "));
        }
    }
    let red = run.baseline.iter().filter_map(|check| Some((check, check.result.as_ref()?)));
    for (check, result) in red.filter(|(_, result)| !result.passed()) {
        let _ = writeln!(text, "\nBefore any change, `{}` ends with {}:", check.argv.join(" "), result.end);
        if !result.failures.is_empty() {
            let _ = writeln!(text, "failing: {}", result.failures.join(", "));
        }
        let _ = writeln!(text, "```\n{}\n```", cut(&result.tail));
    }
    text.push('\n');
}

/// For who reviews or integrates: the changes that it is about.
fn parts(text: &mut String, state: &State, run: &Run, task: &Task) {
    if !matches!(task.spec.extras().part, Some(Part::Reviews(_) | Part::Integrates)) {
        return;
    }
    let needed = task.spec.needs.iter().filter_map(|need| state.task(*run.tasks.get(*need as usize)?));
    for part in needed {
        let landed = run.landed.iter().find(|(attempt, _)| attempt.task == part.id);
        let change = landed.and_then(|(attempt, _)| part.attempt(attempt.generation)?.more.as_ref()?.commit.clone());
        let _ = match change {
            Some(commit) => writeln!(text, "{} ({}): its change is `git show {commit}`.", part.spec.title(), part.id),
            None => writeln!(text, "{} ({}): it changed nothing.", part.spec.title(), part.id),
        };
    }
    text.push('\n');
}

/// What became of an attempt, for the one that follows it.
fn after(state: &State, task: &Task, (generation, attempt): (u32, &Attempt)) -> String {
    let Some(more) = attempt.more.as_deref() else { return String::new() };
    let mut words = String::new();
    for ask in more.agent.iter().flat_map(|part| &part.asks).filter(|ask| ask.parked) {
        let answer = ask.decision.and_then(|decision| state.decisions.get(&decision)).and_then(|found| found.answer());
        if let (Some(decision), Some(answer)) = (ask.decision, answer) {
            let _ = write!(words, "Your question about {} ({decision}) was answered: {}.", ask.tool, answer.choice);
            if let Some(said) = &answer.text {
                let _ = write!(words, " {said}");
            }
            words.push_str(" Ask again if you still need it: the answer stands.\n");
        }
    }
    let of_it = |decision: &&Decision| decision.task == Some(task.id) && decision.generation == Some(generation);
    for back in state.decisions.values().filter(of_it).filter_map(change::sent_back) {
        let _ = writeln!(words, "{back}");
    }
    if let Some(failure) = &more.failure {
        let kept =
            if more.commit.is_some() && more.commit != more.from { "Your changes are still in place. " } else { "" };
        let _ = match failure.class.as_str() {
            "conflict" => writeln!(
                words,
                "Your earlier change conflicts with what has landed meanwhile ({}). You start over on the new state; \
                 your earlier change is the commit {} (`git show` it) and should be made to fit.",
                failure.message,
                more.commit.as_deref().unwrap_or("-")
            ),
            "wrong_output" => {
                writeln!(words, "The last attempt was judged and is not accepted. {kept}\n{}", cut(&failure.message))
            }
            _ => writeln!(words, "The last attempt ended early: {}. {kept}", cut(&failure.message)),
        };
    }
    words
}

/// What holds for every agent.
fn rules(text: &mut String, run: &Run, task: &Task) {
    let _ = writeln!(
        text,
        "You work alone in a checkout of your own, the current folder. Change files only below it. Do not commit, push, \
         switch branches or stash: what you leave in the files is taken."
    );
    let extras = task.spec.extras();
    match &extras.writes {
        Some(globs) if globs.iter().all(|glob| glob != "**") => {
            let _ = writeln!(text, "Change only: {}.", globs.join(", "));
        }
        _ => {}
    }
    if task.spec.effect == Touches::None {
        let _ = writeln!(text, "Change nothing: your last words are the answer.");
        return;
    }
    let checks = checks(run, task);
    if checks.is_empty() {
        let _ = writeln!(text, "No command can prove the result, so a person will read your change: keep it small.");
        return;
    }
    let list: Vec<String> = checks.iter().map(|argv| format!("`{}`", argv.join(" "))).collect();
    let _ = writeln!(
        text,
        "When you stop, these commands judge the result, run by us in this checkout: {}. Tests may not be removed, \
         skipped or weakened.",
        list.join(", ")
    );
}

/// The end of a long text.
fn cut(text: &str) -> &str {
    let text = text.trim_end();
    let from = text.len().saturating_sub(FAILURE_BYTES_MAX);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}
