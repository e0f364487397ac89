//! One word of a command, as far as it can be known before the shell has run.

/// What stands in a word for a part that nobody knows yet.
pub const UNKNOWN: char = '…';

/// A word. `text` is exactly what the program gets if `known`; else it has [`UNKNOWN`] where something is filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// Its characters, without quotes.
    pub text: String,
    /// Whether these are all, and exactly one word.
    pub known: bool,
    /// Bytes at the beginning that are certain.
    pub certain: usize,
    /// Whether it is written plainly: no expansion, escape or quote inside. A program's name must be.
    pub plain: bool,
    /// Whether it may become several words, or none.
    pub splits: bool,
}

impl Word {
    /// A word that is what it says.
    pub fn literal(text: &str) -> Word {
        Word { text: text.to_owned(), known: true, certain: text.len(), plain: true, splits: false }
    }

    /// A word, or several, of which nothing is known.
    pub fn unknown() -> Word {
        Word { text: UNKNOWN.to_string(), known: false, certain: 0, plain: false, splits: true }
    }

    /// The text, if it is known.
    pub fn value(&self) -> Option<&str> {
        self.known.then_some(self.text.as_str())
    }

    /// What it certainly begins with.
    pub fn prefix(&self) -> &str {
        &self.text[..self.certain]
    }

    /// Whether the program might take it for an option that is not written here.
    pub fn may_be_option(&self) -> bool {
        !self.known && (self.certain == 0 || self.splits || self.prefix().starts_with('-'))
    }

    /// Adds a part that is certain.
    pub fn push(&mut self, part: &str) {
        if self.certain == self.text.len() && self.known {
            self.certain += part.len();
        }
        self.text.push_str(part);
    }

    /// Adds a part that is not known; unquoted, it may split the word.
    pub fn push_unknown(&mut self, splits: bool) {
        self.known = false;
        self.plain = false;
        self.splits |= splits;
        self.text.push(UNKNOWN);
    }
}

/// What `$'…'` stands for; nothing where an escape is not known.
pub fn ansi_c(inner: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = inner.chars().peekable();
    while let Some(char) = rest.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        let escape = rest.next()?;
        let (radix, most, mut digits) = match escape {
            'n' | 't' | 'r' | 'a' | 'b' | 'f' | 'v' | 'e' | 'E' | '\\' | '\'' | '"' | '?' => {
                out.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    'e' | 'E' => '\u{1b}',
                    other => other,
                });
                continue;
            }
            'x' => (16, 2, String::new()),
            'u' => (16, 4, String::new()),
            'U' => (16, 8, String::new()),
            octal @ '0'..='7' => (8, 3, String::from(octal)),
            _ => return None,
        };
        while digits.len() < most && rest.peek().is_some_and(|char| char.is_digit(radix)) {
            digits.extend(rest.next());
        }
        let code = u32::from_str_radix(&digits, radix).ok()?;
        // A zero ends the text for the program, whatever follows.
        out.push(char::from_u32(code).filter(|char| *char != '\0')?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_what_bash_makes_of_them() {
        assert_eq!(ansi_c(r"\x72m").as_deref(), Some("rm"));
        assert_eq!(ansi_c(r"\162\155 \u72").as_deref(), Some("rm r"));
        assert_eq!(ansi_c(r"a\tb\n").as_deref(), Some("a\tb\n"));
        assert_eq!(ansi_c(r"\c[").as_deref(), None);
        assert_eq!(ansi_c(r"\x00").as_deref(), None);
    }

    #[test]
    fn a_word_may_be_an_option_unless_its_beginning_says_no() {
        let mut word = Word::literal("./");
        word.push_unknown(false);
        assert!(!word.may_be_option());
        assert_eq!(word.prefix(), "./");
        assert!(Word::unknown().may_be_option());
        assert!(!Word::literal("-x").may_be_option(), "it is one, and it is known which");
    }
}
