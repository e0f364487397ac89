//! TODO and FIXME comments: where one is, and what it asks for. Pure.

use super::documents::Document;

/// A mark in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its line, from 0.
    pub line: usize,
    /// The last line that belongs to it.
    pub last: usize,
    /// `TODO` or `FIXME`.
    pub word: &'static str,
    /// What it asks for, in one line; empty where it only marks a place.
    pub text: String,
}

const WORDS: [&str; 2] = ["TODO", "FIXME"];

/// Comment signs that begin a line. Only where one does can the next line go on with it.
const SIGNS: [&str; 9] = ["///", "//!", "//", "#", "--", ";;", ";", "%", "*"];

/// Most lines that one mark takes.
const LINES_MAX: usize = 8;

/// The mark on a line.
pub fn mark(document: &Document, number: usize) -> Option<Mark> {
    let line = document.line(number)?;
    let (word, at) = WORDS.iter().find_map(|word| find_word(line, word).map(|at| (*word, at)))?;
    let mut text = said(&line[at + word.len()..]).to_owned();
    let mut last = number;
    if let Some(sign) = sign(line) {
        while last + 1 < number + LINES_MAX
            && let Some(next) = document.line(last + 1)
            && let Some(more) = next.trim_start().strip_prefix(sign)
            && !more.trim().is_empty()
            && self::sign(next) == Some(sign)
            && !WORDS.iter().any(|word| find_word(next, word).is_some())
        {
            last += 1;
            text.push(' ');
            text.push_str(said(more));
        }
    }
    Some(Mark { line: number, last, word, text: text.trim().to_owned() })
}

/// The comment sign that a line begins with.
fn sign(line: &str) -> Option<&'static str> {
    let line = line.trim_start();
    SIGNS.into_iter().find(|sign| line.starts_with(sign))
}

/// Where a word stands by itself.
fn find_word(line: &str, word: &str) -> Option<usize> {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let (before, after) = (&line[..*at], &line[at + word.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    })
}

/// The words behind a mark: without a name in brackets, a colon, and the end of the comment.
fn said(rest: &str) -> &str {
    let mut rest = rest.trim();
    if let Some((_, behind)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
        rest = behind;
    }
    let rest = rest.trim_start_matches([':', '-', ' ']);
    ["*/", "-->", "#}", "%>"].iter().fold(rest, |rest, end| rest.trim_end().trim_end_matches(end)).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsp::documents::Documents;

    fn marks(text: &str) -> Vec<(usize, usize, &'static str, String)> {
        let mut documents = Documents::default();
        documents.open("file:///a", "x", 1, text.to_owned());
        let document = documents.get("file:///a").unwrap();
        (0..document.lines())
            .filter_map(|line| mark(document, line))
            .map(|mark| (mark.line, mark.last, mark.word, mark.text))
            .collect()
    }

    #[test]
    fn a_mark_says_what_it_asks_for() {
        for (line, word, text) in [
            ("// TODO: parse the config", "TODO", "parse the config"),
            ("    x(); // FIXME(ada) - wrong for 0", "FIXME", "wrong for 0"),
            ("/* TODO make it fast */", "TODO", "make it fast"),
            ("<!-- TODO: a picture -->", "TODO", "a picture"),
            ("# TODO", "TODO", ""),
            ("- [ ] TODO: ü", "TODO", "ü"),
        ] {
            assert_eq!(marks(line), [(0, 0, word, text.to_owned())], "{line}");
        }
        for line in ["let TODOS = 1;", "MY_TODO", "todo!()", "autoTODO"] {
            assert_eq!(marks(line), [], "{line}");
        }
    }

    #[test]
    fn a_comment_goes_on_until_something_else_begins() {
        let text = "// TODO: read the file\n//   and say where it is wrong\n//\n// not this\nx // TODO: a\n// not b\n";
        let expected =
            [(0, 1, "TODO", "read the file and say where it is wrong".to_owned()), (4, 4, "TODO", "a".to_owned())];
        assert_eq!(marks(text), expected);
        let next = "# TODO: one\n# FIXME: two\n";
        assert_eq!(marks(next).iter().map(|mark| mark.3.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }
}
