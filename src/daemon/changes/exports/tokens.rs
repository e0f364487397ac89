//! A text without strings and comments as words and marks.

/// A word, a number, or a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// Itself.
    pub text: &'a str,
    /// Its line, from 1.
    pub line: u32,
    /// Whether blanks stand before it.
    pub gap: bool,
}

impl Token<'_> {
    /// Whether it is a name.
    pub fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
    }
}

/// Marks of more than one character that must not be taken apart: their parts mean something else.
const LONG: &[&str] = &["...", "=>", "->", "::", "?:", "==", ">=", "<=", ":="];

/// All of a text.
pub fn of(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line, mut gap) = (0, 1, false);
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            line += u32::from(first == '\n');
            (at, gap) = (at + first.len_utf8(), true);
            continue;
        }
        let rest = &text[at..];
        let length = match first {
            '\'' => quoted(rest),
            _ if wordy(first) || first == '#' && rest[1..].starts_with(|c: char| c.is_alphabetic()) => {
                1.max(first.len_utf8())
                    + rest[first.len_utf8()..].find(|c| !wordy(c)).unwrap_or(rest.len() - first.len_utf8())
            }
            _ => LONG.iter().find(|mark| rest.starts_with(**mark)).map_or(first.len_utf8(), |mark| mark.len()),
        };
        tokens.push(Token { text: &rest[..length], line, gap });
        (at, gap) = (at + length, false);
    }
    tokens
}

fn wordy(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The length of a character in quotes, or of a lifetime.
fn quoted(rest: &str) -> usize {
    let body = &rest[1..];
    let inner = match body.strip_prefix('\\') {
        Some(escaped) => escaped.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(at, _)| at + 1),
        None => body.chars().next().map(char::len_utf8),
    };
    match inner.filter(|inner| body[*inner..].starts_with('\'')) {
        Some(inner) => inner + 2,
        None => 1 + body.find(|c| !wordy(c)).unwrap_or(body.len()),
    }
}

/// Most characters of a signature that are shown.
const SHOWN_MAX: usize = 160;

/// As it is written, on one line.
pub fn shown(tokens: &[Token]) -> String {
    let mut words = String::new();
    for token in tokens {
        if token.gap && !words.is_empty() {
            words.push(' ');
        }
        words.push_str(token.text);
    }
    match words.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words,
    }
}

/// In a form of which equal means the same, however it is laid out.
pub fn plain(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
}

/// Where the bracket that opens at `open` closes; the end where it does not.
pub fn closes(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// The first of these marks from `from` on that stands in no bracket; the end where there is none.
pub fn find(tokens: &[Token], from: usize, marks: &[&str]) -> usize {
    let mut at = from;
    while at < tokens.len() {
        let text = tokens[at].text;
        if marks.contains(&text) {
            return at;
        }
        at = if matches!(text, "(" | "[" | "{") { closes(tokens, at) + 1 } else { at + 1 };
    }
    tokens.len()
}

/// The parts between commas that stand in no bracket, those of types included.
pub fn split<'t, 'a>(tokens: &'t [Token<'a>], marks: &[&str]) -> Vec<&'t [Token<'a>]> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            text if depth <= 0 && marks.contains(&text) => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start.min(tokens.len())..]);
    parts.retain(|part| !part.is_empty());
    parts
}
