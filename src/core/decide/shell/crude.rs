//! A line that the grammar does not read is looked through by its separators, for dangers only. It never makes a line
//! safe: whoever comes here has said that it is not understood.

use super::{programs, walk::Walk, word::Word};

/// Most of a text that is looked through.
const BYTES_MAX: usize = 16 * 1024;

/// Finds commands that destroy in a text that is no proper line.
pub fn dangers(walk: &mut Walk, text: &str) {
    let end = (0..=text.len().min(BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let separators = |char: char| matches!(char, ';' | '&' | '|' | '\n' | '(' | ')' | '`' | '<' | '>' | '$' | ':');
    for piece in text[..end].split(separators).take(500) {
        let spread = |token: &str| -> Vec<Word> {
            let bare: String = token.chars().filter(|char| !matches!(char, '\'' | '"' | '\\')).collect();
            match bare.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).filter(|inner| inner.contains(',')) {
                Some(inner) => inner.split(',').map(Word::literal).collect(),
                None => vec![Word::literal(bare.trim_matches(['{', '}']))],
            }
        };
        let words: Vec<Word> =
            piece.split_whitespace().flat_map(spread).filter(|word| !word.text.is_empty()).take(50).collect();
        let skip = words.iter().take_while(|word| is_keyword(&word.text)).count();
        if walk.danger.is_none() && words.len() > skip {
            programs::command(walk, &words[skip..]);
        }
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "if" | "then" | "else" | "elif" | "do" | "while" | "until" | "!" | "e:" | "e")
}
