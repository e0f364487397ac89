//! Flags and operands of one command, as most programs read them.

use super::word::Word;

/// A command's words behind its name, told apart.
#[derive(Debug, Default)]
pub struct Parsed<'w> {
    /// Options as written: `-n`, `--lines=3`; clusters whole.
    pub options: Vec<&'w Word>,
    /// Values that stood behind an option as words of their own.
    pub values: Vec<(&'static str, &'w Word)>,
    /// What is left.
    pub operands: Vec<&'w Word>,
    /// A word that may turn out to be an option.
    pub uncertain: bool,
}

/// Tells options, their values and operands apart. `valued` are the options that take the next word.
pub fn parse<'w>(words: &'w [Word], valued: &'static str) -> Parsed<'w> {
    let mut parsed = Parsed::default();
    let mut rest = words.iter();
    let mut only_operands = false;
    while let Some(word) = rest.next() {
        let text = word.text.as_str();
        if only_operands || text == "-" || (word.known && !text.starts_with('-')) {
            parsed.operands.push(word);
            continue;
        }
        if text == "--" {
            only_operands = true;
            continue;
        }
        if !word.known && !word.prefix().starts_with('-') {
            parsed.uncertain |= word.may_be_option();
            parsed.operands.push(word);
            continue;
        }
        if !word.known && !text.contains('=') {
            parsed.uncertain = true;
        }
        parsed.options.push(word);
        if let Some(option) = takes_next(text, valued)
            && let Some(value) = rest.next()
        {
            // A value that falls apart brings words of its own.
            parsed.uncertain |= value.splits;
            parsed.values.push((option, value));
        }
    }
    parsed
}

/// The option at the end of this word that takes the next one, if one does.
fn takes_next(text: &str, valued: &'static str) -> Option<&'static str> {
    let exact = valued.split_ascii_whitespace().find(|option| *option == text);
    if exact.is_some() || text.starts_with("--") {
        return exact;
    }
    // In a cluster, the first letter that takes a value takes the rest of the word, else the next one.
    let letters = text.strip_prefix('-')?;
    for (at, letter) in letters.char_indices() {
        let found = valued.split_ascii_whitespace().find(|option| is_letter(option, letter));
        if found.is_some() {
            return found.filter(|_| at + letter.len_utf8() == letters.len());
        }
    }
    None
}

fn is_letter(option: &str, letter: char) -> bool {
    let mut chars = option.chars();
    chars.next() == Some('-') && chars.next() == Some(letter) && chars.next().is_none()
}

/// Whether a word is one of these options: exactly, as the beginning of a long one, or inside a cluster of letters.
pub fn is_one_of(word: &Word, these: &str, valued: &str) -> bool {
    let text = word.text.as_str();
    let these = || these.split_ascii_whitespace();
    let name = text.split('=').next().unwrap_or(text);
    if text.starts_with("--") {
        return these()
            .any(|option| option == name || (option.starts_with("--") && name.len() > 2 && option.starts_with(name)));
    }
    if these().any(|option| option == text || option == name) {
        return true;
    }
    let Some(letters) = text.strip_prefix('-') else { return false };
    for letter in letters.chars() {
        if these().any(|option| is_letter(option, letter)) {
            return true;
        }
        if valued.split_ascii_whitespace().any(|option| is_letter(option, letter)) {
            return false;
        }
    }
    false
}

impl Parsed<'_> {
    /// Whether any option is one of these.
    pub fn any(&self, these: &str, valued: &str) -> bool {
        self.options.iter().any(|word| is_one_of(word, these, valued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split(' ').map(Word::literal).collect()
    }

    #[test]
    fn options_values_and_operands() {
        let line = words("-rk 2 -t, file -- -o");
        let parsed = parse(&line, "-k -t");
        assert_eq!(parsed.options.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), ["-rk", "-t,"]);
        assert_eq!(parsed.operands.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), ["file", "-o"]);
        assert!(!parsed.any("-o --output", "-k -t"));
    }

    #[test]
    fn an_option_is_found_in_a_cluster_and_by_its_beginning() {
        for (word, found) in [
            ("-o", true),
            ("-uo", true),
            ("-to", false),
            ("--out", true),
            ("--output=x", true),
            ("--o", true),
            ("--only", false),
        ] {
            assert_eq!(is_one_of(&Word::literal(word), "-o --output", "-t"), found, "{word}");
        }
    }
}
