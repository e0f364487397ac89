//! Colours and the glyphs of states. Colour only repeats what the words say.

use crate::api::{Outcome, TaskState};

/// Writes ANSI colours, or nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether to colour.
    pub on: bool,
}

impl Paint {
    /// Without colours.
    pub const PLAIN: Paint = Paint { on: false };

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What matters.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Good.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Bad.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Look at it.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// A name or a place.
    pub fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    /// A task's state in its colour.
    pub fn state(self, state: TaskState) -> String {
        let name = state.name();
        match tone(state) {
            Tone::Good => self.green(name),
            Tone::Bad => self.red(name),
            Tone::Look => self.yellow(name),
            Tone::Busy => self.cyan(name),
            Tone::Quiet => self.dim(name),
        }
    }

    /// A run's outcome in its colour.
    pub fn outcome(self, outcome: Outcome) -> String {
        match outcome {
            Outcome::Completed => self.green(outcome.name()),
            Outcome::Partial => self.yellow(outcome.name()),
            Outcome::Failed => self.red(outcome.name()),
            Outcome::Cancelled => self.dim(outcome.name()),
        }
    }
}

/// How a state should strike the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Done.
    Good,
    /// Not done and will not be.
    Bad,
    /// Somebody should look.
    Look,
    /// In work.
    Busy,
    /// Nothing to see yet, or any more.
    Quiet,
}

/// How a task's state should strike the eye.
pub fn tone(state: TaskState) -> Tone {
    match state {
        TaskState::Completed => Tone::Good,
        TaskState::Failed | TaskState::Stuck => Tone::Bad,
        TaskState::WaitingDecision | TaskState::Parked | TaskState::Undone | TaskState::Blocked => Tone::Look,
        TaskState::Running | TaskState::Verifying | TaskState::Landing => Tone::Busy,
        TaskState::Queued | TaskState::Ready | TaskState::Cancelled => Tone::Quiet,
    }
}

/// One character for a task's state; each is one column wide.
pub fn glyph(state: TaskState) -> char {
    match state {
        TaskState::Completed => '✓',
        TaskState::Failed => '✗',
        TaskState::Stuck => '!',
        TaskState::WaitingDecision => '?',
        TaskState::Parked => '‖',
        TaskState::Undone => '↶',
        TaskState::Blocked => '⊘',
        TaskState::Cancelled => '–',
        TaskState::Running | TaskState::Verifying | TaskState::Landing => '▸',
        TaskState::Queued | TaskState::Ready => '·',
    }
}
