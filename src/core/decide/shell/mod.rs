//! Reads a shell line: which programs run, with which words, and what they touch. It runs nothing and opens nothing.
//!
//! Understanding is a list, not a guess: node kinds, programs and flags that are not known here make the line "not
//! understood", and then nobody may take it for safe.

mod acts;
mod crude;
mod flags;
mod git;
mod interpreters;
pub mod paths;
mod programs;
mod reads;
mod scripts;
mod services;
mod walk;
mod word;

use serde::{Deserialize, Serialize};

use super::{
    effects::{Action, Effect, Reversible, Touched},
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

/// Longest line that is read; people and agents write far shorter ones, and what is longer is no command but a program.
const BYTES_MAX: usize = 32 * 1024;
/// Most brackets and substitutions; the grammar's time grows with them.
const OPENINGS_MAX: usize = 400;

/// Reads a line as it would run in `place`.
pub fn read(line: &str, place: &Place, links: &dyn Links) -> Reading {
    let paths = paths::Paths::new(place, links);
    let mut walk = walk::Walk::new(&paths, place);
    if let Some(refused) = refused(line) {
        walk.vague(refused);
        crude::dangers(&mut walk, line);
    } else {
        walk.line(line);
    }
    if walk.commands.is_empty() && !walk.vague && line.trim().is_empty() {
        walk.vague("the line is empty");
    }
    let told = |action: Action| walk.effects.iter().any(|effect| effect.action == action);
    if told(Action::Secrets) && told(Action::Network) {
        walk.danger("it sees what must not be told, and talks to another machine");
    }
    if let Some(danger) = walk.danger.clone() {
        // Whatever it is, it is more than its listed effects.
        let known = walk.effects.iter().any(|effect| effect.criticality() >= 1.0);
        if !known {
            walk.effect(danger.clone(), Action::Exec, Touched::External, Reversible::No);
        }
        walk.notes.insert(0, danger);
    }
    Reading {
        text: line.to_owned(),
        understood: !walk.vague,
        danger: walk.danger,
        effects: walk.effects,
        commands: walk.commands,
        reasons: walk.notes,
    }
}

/// Why a line is not even parsed.
fn refused(line: &str) -> Option<&'static str> {
    if line.len() > BYTES_MAX {
        return Some("it is longer than a command is");
    }
    let openings = line.bytes().filter(|byte| matches!(byte, b'(' | b'{' | b'`' | b'[')).count();
    if openings > OPENINGS_MAX || line.matches("<<").count() > 20 {
        return Some("it has more substitutions than can be followed");
    }
    line.chars().find_map(|char| match char {
        '\0' => Some("it has a NUL byte, where programs stop reading and people do not"),
        '\n' | '\t' => None,
        '\r' => Some("it has a carriage return, which hides what stands before it"),
        char if char.is_control() => Some("it has control characters"),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => {
            Some("it has invisible or direction-changing characters, so that it does not run as it reads")
        }
        char if char.is_whitespace() && char != ' ' => Some("it has blanks that only look like blanks"),
        // What stands for unknown parts inside here must not come from outside.
        word::UNKNOWN => Some("it has a character that stands for unknown parts"),
        _ => None,
    })
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
