//! What is wrong with a plan, told so that it can be mended: what, where, and what to write instead.

use std::{borrow::Cow, fmt};

/// Which of the API's error codes a problem belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Something is not as a plan must be.
    Invalid,
    /// Tasks wait for each other in a circle.
    Cycle,
}

impl Code {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Invalid => "INVALID",
            Code::Cycle => "CYCLE",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its code.
    pub code: Code,
    /// What is wrong, naming the task.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the plan: `tasks[3].needs[0]`; `None` = the text as such.
    pub field: Option<String>,
    /// Line in the text, from 1; `None` where the plan did not come as text.
    pub line: Option<u32>,
    /// Column in that line, in characters, from 1.
    pub column: Option<u32>,
}

/// Why a plan is refused. Never empty; the first problem is the most important.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// The file's name, where there is one.
    pub file: Option<String>,
    /// At most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// How many further problems were seen and not kept.
    pub more: usize,
}

/// How many problems of one plan are told.
pub const PROBLEMS_MAX: usize = 20;

impl PlanError {
    /// The most important problem.
    pub fn first(&self) -> &Problem {
        &self.problems[0]
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            match (&self.file, problem.line) {
                (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
                (Some(file), None) => write!(f, "{file}: ")?,
                (None, Some(line)) => write!(f, "line {line}: ")?,
                (None, None) => {}
            }
            write!(f, "{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        if let Some(field) = &self.field {
            write!(f, " ({field})")?;
        }
        Ok(())
    }
}

/// Something that is allowed and that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which.
    pub kind: WarningKind,
    /// The tasks it is about, ascending.
    pub tasks: Vec<u32>,
    /// For people.
    pub message: String,
}

/// The kinds of [`Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// Below the fifth level of parents. Kept; not laid out hierarchically.
    TooDeep,
    /// An external effect without a way back: it needs a person's approval.
    NeedsApproval,
}

/// A place in a plan: a chain of steps on the stack, so that naming a place costs nothing until something is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
    /// An element of `tasks`, with its name (empty = not known).
    Task(usize, &'p str),
}

/// A step of a place, kept: for finding the line afterwards.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trail {
    Key(String),
    Index(usize),
}

impl<'p> Place<'p> {
    pub(super) const ROOT: Place<'static> = Place { parent: None, step: Step::Root };

    pub(super) fn key(&'p self, key: &'p str) -> Place<'p> {
        Place { parent: Some(self), step: Step::Key(key) }
    }

    pub(super) fn index(&'p self, index: usize) -> Place<'p> {
        Place { parent: Some(self), step: Step::Index(index) }
    }

    pub(super) fn task(index: usize, name: &'p str) -> Place<'p> {
        Place { parent: None, step: Step::Task(index, name) }
    }

    fn trail(&self) -> Vec<Trail> {
        let mut trail = self.parent.map_or_else(Vec::new, Place::trail);
        match self.step {
            Step::Root => {}
            Step::Key(key) => trail.push(Trail::Key(key.to_owned())),
            Step::Index(index) => trail.push(Trail::Index(index)),
            Step::Task(index, _) => trail.extend([Trail::Key("tasks".to_owned()), Trail::Index(index)]),
        }
        trail
    }

    /// `task "x": `, where the place is inside a task.
    fn label(&self) -> Cow<'static, str> {
        match (self.step, self.parent) {
            (Step::Task(index, ""), _) => format!("task {} of the plan: ", index + 1).into(),
            (Step::Task(_, name), _) => format!("task {}: ", quoted(name)).into(),
            (_, Some(parent)) => parent.label(),
            (_, None) => "".into(),
        }
    }
}

/// Text in quotes, cut to a length fit for a message.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

fn field(trail: &[Trail]) -> Option<String> {
    let mut field = String::new();
    for step in trail {
        match step {
            Trail::Key(key) if field.is_empty() => field.push_str(key),
            Trail::Key(key) => field.extend([".", key]),
            Trail::Index(index) => field.push_str(&format!("[{index}]")),
        }
    }
    (!field.is_empty()).then_some(field)
}

/// Collects problems, the first [`PROBLEMS_MAX`] of them; the others are only counted.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<(Problem, Vec<Trail>)>,
    more: usize,
}

impl Report {
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many there are, for noticing new ones.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// Adds a problem. The text is made only if it is kept.
    pub(super) fn add(&mut self, code: Code, place: &Place<'_>, tell: impl FnOnce() -> (String, Option<String>)) {
        if self.problems.len() == PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        let (message, hint) = tell();
        let trail = place.trail();
        let message = format!("{}{message}", place.label());
        self.problems.push((Problem { code, message, hint, field: field(&trail), line: None, column: None }, trail));
    }

    pub(super) fn invalid(&mut self, place: &Place<'_>, message: impl FnOnce() -> String) {
        self.add(Code::Invalid, place, || (message(), None));
    }

    pub(super) fn hinted(&mut self, place: &Place<'_>, message: impl FnOnce() -> String, hint: &str) {
        self.add(Code::Invalid, place, || (message(), Some(hint.to_owned())));
    }

    /// Adds a problem before all others.
    pub(super) fn first(&mut self, place: &Place<'_>, message: String, hint: &str) {
        let mut own = Report::default();
        own.hinted(place, || message, hint);
        if self.problems.len() == PROBLEMS_MAX {
            self.problems.pop();
            self.more += 1;
        }
        self.problems.splice(0..0, own.problems);
    }

    /// The error, with lines where `locate` knows the offset of a place in the text.
    pub(super) fn into_error(
        self,
        file: Option<&str>,
        text: &str,
        mut locate: impl FnMut(&[Trail]) -> Option<usize>,
    ) -> PlanError {
        let problems = self.problems.into_iter().map(|(mut problem, trail)| {
            if let Some(offset) = locate(&trail) {
                (problem.line, problem.column) = position(text, offset);
            }
            problem
        });
        PlanError { file: file.map(str::to_owned), problems: problems.collect(), more: self.more }
    }
}

/// Line and column of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> (Option<u32>, Option<u32>) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    // Continuation bytes of UTF-8 are not characters of their own.
    let column = before[line_start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (u32::try_from(line).ok(), u32::try_from(column).ok())
}

/// The candidate most like `word`, if any is like it.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let letters = word.chars().count();
    let allowed = (letters / 3).clamp(1, 3);
    let distance = |candidate: &str| {
        // A name that was cut short, or has our unit at its end: `timeout` for `timeout_s`.
        let begins = letters >= 4 && (candidate.starts_with(&word) || word.starts_with(candidate));
        if begins {
            return Some(1);
        }
        if candidate.len().abs_diff(word.len()) > 4 {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&word, candidate);
        (distance <= allowed).then_some(distance)
    };
    let near = candidates.into_iter().filter_map(|candidate| Some((distance(candidate)?, candidate)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}
