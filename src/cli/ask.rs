//! Asking a person at a terminal: what a typed line means, and the one reader of lines.
//!
//! Silence, an empty line and doubt are never an answer.

use std::io::{self, BufRead};

use tokio::sync::mpsc;

use crate::api::Decision;

/// What is asked for behind a question.
pub fn prompt_text(question: &Decision) -> String {
    format!("Answer with a number (1-{}) or an option's name, Enter for not now: ", question.options.len())
}

/// What a typed line means.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing was answered.
    NotNow,
    /// It could be no answer, or more than one.
    Unclear,
    /// An option, and words where it takes any.
    Choice {
        /// The option's id.
        choice: String,
        /// The words.
        text: Option<String>,
    },
}

/// `2`, `approve`, or either with words after it. An empty line is never an answer.
pub fn read_answer(question: &Decision, line: &str) -> Typed {
    let line = line.trim();
    if line.is_empty() {
        return Typed::NotNow;
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let word = word.trim_end_matches([')', '.', ':']);
    let by_number = word.parse::<usize>().ok().and_then(|number| question.options.get(number.checked_sub(1)?));
    match by_number.or_else(|| question.option(&word.to_lowercase())) {
        Some(option) if rest.trim().is_empty() || option.takes_text => {
            Typed::Choice { choice: option.id.clone(), text: (!rest.trim().is_empty()).then(|| rest.trim().to_owned()) }
        }
        // Words with an option that takes none may mean something else: ask again instead of guessing.
        _ => Typed::Unclear,
    }
}

/// Asks one question on the terminal. One thread reads lines for the whole life of the command, because a read of a
/// terminal cannot be taken back when somebody else answers first.
pub struct Asker {
    /// Lines as they are typed.
    pub lines: mpsc::UnboundedReceiver<String>,
    start: Option<mpsc::UnboundedSender<String>>,
    /// What is being asked.
    pub question: Option<Decision>,
}

impl Asker {
    /// Nothing is asked, and nothing read, yet.
    pub fn new() -> Asker {
        let (send, lines) = mpsc::unbounded_channel();
        Asker { lines, start: Some(send), question: None }
    }

    /// From now on a line is an answer to this question.
    pub fn ask(&mut self, question: Decision) {
        if let Some(send) = self.start.take() {
            std::thread::spawn(move || {
                for line in io::stdin().lock().lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        // What was typed before the question was shown is not its answer.
        while self.lines.try_recv().is_ok() {}
        self.question = Some(question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn enter_is_not_an_answer_and_doubt_asks_again() {
        let question = samples::decision();
        let choice =
            |choice: &str, text: Option<&str>| Typed::Choice { choice: choice.into(), text: text.map(str::to_owned) };
        for (line, typed) in [
            ("", Typed::NotNow),
            ("  \n", Typed::NotNow),
            ("1", choice("approve", None)),
            (" 2) ", choice("reject", None)),
            ("Approve", choice("approve", None)),
            ("reject it breaks the mobile app", choice("reject", Some("it breaks the mobile app"))),
            ("approve but later", Typed::Unclear),
            ("0", Typed::Unclear),
            ("3", Typed::Unclear),
            ("y", Typed::Unclear),
        ] {
            assert_eq!(read_answer(&question, line), typed, "{line:?}");
        }
    }
}
