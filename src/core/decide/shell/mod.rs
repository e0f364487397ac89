//! Reads a shell line: which programs run, with which words, and what they touch. It runs nothing and opens nothing.
//!
//! Understanding is a list, not a guess: node kinds, programs and flags that are not known here make the line "not
//! understood", and then nobody may take it for safe.

pub mod paths;

use serde::{Deserialize, Serialize};

use super::{
    effects::{Effect, Touched},
    gate::{Links, Place},
};

/// How a line is called in batches (SCHEMAS S8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// It only looks or prints.
    Safe,
    /// It acts, or it is not understood.
    NeedsApproval,
    /// It can do what nobody can take back.
    Dangerous,
}

/// What is known about a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The line.
    pub text: String,
    /// Whether everything in it is known.
    pub understood: bool,
    /// Why it is dangerous, if it is.
    pub danger: Option<String>,
    /// Everything it is known to touch.
    pub effects: Vec<Effect>,
    /// The words of each command, as far as they are known; what is not is `…`.
    pub commands: Vec<Vec<String>>,
    /// Sentences, the weightiest first.
    pub reasons: Vec<String>,
}

impl Reading {
    /// What it is called in batches.
    pub fn label(&self) -> Label {
        match (&self.danger, self.understood) {
            (Some(_), _) => Label::Dangerous,
            (None, true) if self.effects.iter().all(|effect| effect.class == Touched::Read) => Label::Safe,
            (None, _) => Label::NeedsApproval,
        }
    }
}

/// Reads a line as it would run in `place`.
pub fn read(line: &str, _place: &Place, _links: &dyn Links) -> Reading {
    let reasons = vec!["no program of it is known".to_owned()];
    Reading { text: line.to_owned(), reasons, ..Reading::default() }
}

/// Words as one line that a shell reads as exactly these words.
pub fn join(words: &[&str]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// One word, quoted where a shell would read more into it.
pub fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
