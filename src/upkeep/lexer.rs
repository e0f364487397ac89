//! Where strings and comments are in a source file, exactly enough to keep away from the first and look into the second.
//!
//! One scanner with a table per language. It does not parse: it errs towards "inside a string", and where it ends
//! inside one it says that it lost its way, so that the caller leaves the file alone.

use super::listing::{extension, name_of};

/// How a language writes what we look for.
pub(super) struct Style {
    line_comments: &'static [&'static str],
    block_comment: Option<(&'static str, &'static str)>,
    nested: bool,
    quotes: &'static [Quote],
    quirk: Quirk,
    /// Whether strings are understood well enough to change lines of the file.
    pub sure: bool,
}

struct Quote {
    open: &'static str,
    close: &'static str,
    escapes: bool,
    lines: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Quirk {
    None,
    Rust,
    Cpp,
    JavaScript,
    Shell,
}

const fn quote(open: &'static str, escapes: bool, lines: bool) -> Quote {
    Quote { open, close: open, escapes, lines }
}

const PLAIN: &[Quote] = &[quote("\"", true, false), quote("'", true, false)];
const TRIPLE: &[Quote] = &[quote("\"\"\"", true, true), quote("\"", true, false), quote("'", true, false)];
const PYTHON: &[Quote] =
    &[quote("\"\"\"", true, true), quote("'''", true, true), quote("\"", true, false), quote("'", true, false)];
const TOML: &[Quote] =
    &[quote("\"\"\"", true, true), quote("'''", false, true), quote("\"", true, false), quote("'", false, false)];
const GO: &[Quote] = &[quote("`", false, true), quote("\"", true, false), quote("'", true, false)];
const JSON: &[Quote] = &[quote("\"", true, false)];
const RUST: &[Quote] = &[quote("\"", true, true)];
const SHELL: &[Quote] =
    &[Quote { open: "$'", close: "'", escapes: true, lines: true }, quote("'", false, true), quote("\"", true, true)];

const fn style(
    line_comments: &'static [&'static str],
    block_comment: Option<(&'static str, &'static str)>,
    quotes: &'static [Quote],
    quirk: Quirk,
) -> Style {
    Style { line_comments, block_comment, nested: false, quotes, quirk, sure: true }
}

const SLASHES: &[&str] = &["//"];
const STARS: Option<(&str, &str)> = Some(("/*", "*/"));

/// The style of a file by its name; `None` for languages not known here.
pub(super) fn style_of(path: &str) -> Option<Style> {
    let unsure = |style: Style| Style { sure: false, ..style };
    if matches!(name_of(path), "Makefile" | "Dockerfile" | "GNUmakefile" | "CMakeLists.txt") {
        return Some(unsure(style(&["#"], None, &[], Quirk::None)));
    }
    Some(match extension(path).as_str() {
        "rs" => Style { nested: true, ..style(SLASHES, STARS, RUST, Quirk::Rust) },
        "c" | "h" => style(SLASHES, STARS, PLAIN, Quirk::None),
        "cc" | "cpp" | "cxx" | "hpp" | "hh" | "hxx" => style(SLASHES, STARS, PLAIN, Quirk::Cpp),
        "java" | "swift" => style(SLASHES, STARS, TRIPLE, Quirk::None),
        "kt" | "kts" | "scala" => style(SLASHES, STARS, TRIPLE, Quirk::None),
        "go" => style(SLASHES, STARS, GO, Quirk::None),
        "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx" => style(SLASHES, STARS, PLAIN, Quirk::JavaScript),
        "css" => style(&[], STARS, PLAIN, Quirk::None),
        "scss" | "less" => style(SLASHES, STARS, PLAIN, Quirk::None),
        "py" | "pyi" => style(&["#"], None, PYTHON, Quirk::None),
        "toml" => style(&["#"], None, TOML, Quirk::None),
        "json" => style(&[], None, JSON, Quirk::None),
        "sh" | "bash" => style(&["#"], None, SHELL, Quirk::Shell),
        // Strings of these are harder than this scanner; only their comments are of use.
        "cs" | "php" | "dart" | "zig" => unsure(style(SLASHES, STARS, PLAIN, Quirk::None)),
        "rb" | "pl" | "pm" | "yml" | "yaml" | "ex" | "exs" | "r" | "jl" | "nix" | "tf" | "mk" | "cmake" => {
            unsure(style(&["#"], None, PLAIN, Quirk::None))
        }
        "lua" | "sql" | "hs" => unsure(style(&["--"], None, PLAIN, Quirk::None)),
        _ => return None,
    })
}

/// What a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Comment,
}

/// The strings and comments of a file, in order, as byte ranges with their marks.
pub(super) struct Scan {
    pub regions: Vec<(Kind, usize, usize)>,
    /// False where the file ended inside a string: then nothing that was found can be relied on.
    pub complete: bool,
}

impl Scan {
    /// The region a byte lies in. The newline that ends a line comment lies in none.
    pub fn at(&self, offset: usize) -> Option<Kind> {
        let index = self.regions.partition_point(|(_, start, _)| *start <= offset).checked_sub(1)?;
        let (kind, _, end) = self.regions[index];
        (offset < end).then_some(kind)
    }
}

/// Finds the strings and comments of a text.
pub(super) fn scan(text: &str, style: &Style) -> Scan {
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        at: 0,
        style,
        regions: Vec::new(),
        complete: true,
        templates: Vec::new(),
    };
    scanner.run();
    Scan { regions: scanner.regions, complete: scanner.complete }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    style: &'a Style,
    regions: Vec<(Kind, usize, usize)>,
    complete: bool,
    /// JavaScript: open braces inside each `${` that is open.
    templates: Vec<usize>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        // Here-documents announced on this line: the word that ends each, and whether tabs before it are allowed.
        let mut heredocs: Vec<(String, bool)> = Vec::new();
        while self.at < self.bytes.len() {
            if self.bytes[self.at] == b'\n' && !heredocs.is_empty() {
                self.heredocs(std::mem::take(&mut heredocs));
                continue;
            }
            if self.comment() || self.quirk(&mut heredocs) || self.quoted() {
                continue;
            }
            self.at += 1;
        }
        if !self.templates.is_empty() || !heredocs.is_empty() {
            self.complete = false;
        }
    }

    fn starts(&self, mark: &str) -> bool {
        self.bytes[self.at..].starts_with(mark.as_bytes())
    }

    fn find(&self, mark: &str, from: usize) -> Option<usize> {
        let from = (from..self.bytes.len()).find(|at| self.text.is_char_boundary(*at))?;
        self.text[from..].find(mark).map(|at| from + at)
    }

    fn region(&mut self, kind: Kind, end: Option<usize>) {
        if end.is_none() {
            self.complete = false;
        }
        let end = end.unwrap_or(self.bytes.len());
        self.regions.push((kind, self.at, end));
        self.at = end;
    }

    fn comment(&mut self) -> bool {
        if self.style.line_comments.iter().any(|mark| self.starts(mark)) {
            let hash = self.bytes[self.at] == b'#';
            let before = self.at.checked_sub(1).map(|at| self.bytes[at]);
            // In a shell and most of its kin a `#` inside a word is no comment.
            if hash && before.is_some_and(|byte| !byte.is_ascii_whitespace() && !b";()[]{},".contains(&byte)) {
                return false;
            }
            let end = self.find("\n", self.at).unwrap_or(self.bytes.len());
            self.region(Kind::Comment, Some(end));
            return true;
        }
        let Some((open, close)) = self.style.block_comment else { return false };
        if !self.starts(open) {
            return false;
        }
        let mut depth = 1;
        let mut at = self.at + open.len();
        while depth > 0 && at < self.bytes.len() {
            if self.bytes[at..].starts_with(close.as_bytes()) {
                depth -= 1;
                at += close.len();
            } else if self.style.nested && self.bytes[at..].starts_with(open.as_bytes()) {
                depth += 1;
                at += open.len();
            } else {
                at += 1;
            }
        }
        self.region(Kind::Comment, (depth == 0).then_some(at));
        true
    }

    fn quoted(&mut self) -> bool {
        let Some(quote) = self.style.quotes.iter().find(|quote| self.starts(quote.open)) else { return false };
        let mut at = self.at + quote.open.len();
        loop {
            match self.bytes.get(at) {
                None => {
                    // A stray quote on the last line of a language whose strings end with the line is harmless.
                    let end = if quote.lines { None } else { Some(self.bytes.len()) };
                    self.region(Kind::Text, end);
                    return true;
                }
                Some(b'\\') if quote.escapes => at += 2,
                Some(b'\n') if !quote.lines => {
                    self.region(Kind::Text, Some(at));
                    return true;
                }
                Some(_) if self.bytes[at..].starts_with(quote.close.as_bytes()) => {
                    self.region(Kind::Text, Some(at + quote.close.len()));
                    return true;
                }
                Some(_) => at += 1,
            }
        }
    }

    fn quirk(&mut self, heredocs: &mut Vec<(String, bool)>) -> bool {
        match self.style.quirk {
            Quirk::None => false,
            Quirk::Rust => self.rust(),
            Quirk::Cpp => self.cpp(),
            Quirk::JavaScript => self.javascript(),
            Quirk::Shell => self.shell(heredocs),
        }
    }

    fn after_word(&self) -> bool {
        self.at.checked_sub(1).is_some_and(|at| self.bytes[at].is_ascii_alphanumeric() || self.bytes[at] == b'_')
    }

    /// Raw strings, and characters as against lifetimes.
    fn rust(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        match rest[0] {
            b'\'' => {
                let end = match rest.get(1) {
                    Some(b'\\') => {
                        // The escape may be long, as in '\u{1F600}', but never spans a line.
                        let from = self.at + 3;
                        self.find("'", from)
                            .filter(|end| !self.bytes[self.at..*end].contains(&b'\n'))
                            .map(|end| end + 1)
                    }
                    Some(_) => {
                        let length = self.text[self.at + 1..].chars().next().map_or(1, char::len_utf8);
                        (rest.get(1 + length) == Some(&b'\'')).then_some(self.at + length + 2)
                    }
                    None => None,
                };
                self.at = end.unwrap_or(self.at + 1);
                true
            }
            b'r' => {
                let prefixed = self.at > 0 && matches!(self.bytes[self.at - 1], b'b' | b'c');
                let word_before = if prefixed {
                    self.at > 1 && (self.bytes[self.at - 2].is_ascii_alphanumeric() || self.bytes[self.at - 2] == b'_')
                } else {
                    self.after_word()
                };
                let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
                if word_before || rest.get(1 + hashes) != Some(&b'"') {
                    return false;
                }
                let close = format!("\"{}", "#".repeat(hashes));
                let end = self.find(&close, self.at + hashes + 2).map(|at| at + close.len());
                self.region(Kind::Text, end);
                true
            }
            _ => false,
        }
    }

    fn cpp(&mut self) -> bool {
        if !self.starts("R\"") {
            // A digit separator, as in 1'000, opens no character.
            if self.bytes[self.at] == b'\'' && self.after_word() {
                self.at += 1;
                return true;
            }
            return false;
        }
        let Some(paren) = self.find("(", self.at).filter(|paren| paren - self.at <= 18) else { return false };
        let close = format!("){}\"", &self.text[self.at + 2..paren]);
        let end = self.find(&close, paren).map(|at| at + close.len());
        self.region(Kind::Text, end);
        true
    }

    /// Templates with code inside, and regular expressions, whose quotes mean nothing.
    fn javascript(&mut self) -> bool {
        match self.bytes[self.at] {
            b'`' => {
                self.template(self.at + 1);
                true
            }
            b'{' => {
                self.templates.iter_mut().last().into_iter().for_each(|depth| *depth += 1);
                false
            }
            b'}' => match self.templates.last_mut() {
                Some(0) => {
                    self.templates.pop();
                    self.template(self.at + 1);
                    true
                }
                Some(depth) => {
                    *depth -= 1;
                    false
                }
                None => false,
            },
            b'/' if self.regex_may_start() => {
                let mut at = self.at + 1;
                let mut class = false;
                loop {
                    match self.bytes.get(at) {
                        None | Some(b'\n') => return false,
                        Some(b'\\') => at += 1,
                        Some(b'[') => class = true,
                        Some(b']') => class = false,
                        Some(b'/') if !class => break,
                        Some(_) => {}
                    }
                    at += 1;
                }
                self.at = at + 1;
                true
            }
            _ => false,
        }
    }

    /// From inside a template to its end or to the code in it.
    fn template(&mut self, from: usize) {
        let mut at = from;
        loop {
            match self.bytes.get(at) {
                None => return self.region(Kind::Text, None),
                Some(b'\\') => at += 2,
                Some(b'`') => return self.region(Kind::Text, Some(at + 1)),
                Some(b'$') if self.bytes.get(at + 1) == Some(&b'{') => {
                    self.templates.push(0);
                    return self.region(Kind::Text, Some(at + 2));
                }
                Some(_) => at += 1,
            }
        }
    }

    /// A slash divides after a value and opens a regular expression elsewhere.
    fn regex_may_start(&self) -> bool {
        let before = self.text[..self.at].trim_end();
        let Some(last) = before.chars().last() else { return true };
        if last.is_alphanumeric() || last == '_' || last == '$' {
            let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').next().unwrap_or("");
            return matches!(
                word,
                "return" | "typeof" | "case" | "in" | "of" | "delete" | "void" | "throw" | "else" | "do"
            );
        }
        !matches!(last, ')' | ']' | '}' | '"' | '\'' | '`' | '<')
    }

    fn shell(&mut self, heredocs: &mut Vec<(String, bool)>) -> bool {
        match self.bytes[self.at] {
            b'\\' => {
                self.at += 2;
                true
            }
            b'<' if self.starts("<<<") => {
                self.at += 3;
                true
            }
            b'<' if self.starts("<<") => {
                let rest = &self.text[self.at + 2..];
                let tabs = rest.starts_with('-');
                let rest = rest.trim_start_matches('-').trim_start_matches([' ', '\t']);
                let word: String = rest
                    .trim_start_matches(['\'', '"', '\\'])
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '-')
                    .collect();
                // `1 << 3` in arithmetic is no here-document.
                if word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    heredocs.push((word.clone(), tabs));
                    let skipped = rest.find(&word).unwrap_or(0) + word.len();
                    self.at = self.text.len() - rest.len() + skipped;
                    if self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b'\'' | b'"')) {
                        self.at += 1;
                    }
                } else {
                    self.at += 2;
                }
                true
            }
            _ => false,
        }
    }

    /// The bodies of here-documents; the scanner stands on the newline before them.
    fn heredocs(&mut self, heredocs: Vec<(String, bool)>) {
        self.at += 1;
        let mut at = self.at;
        for (word, tabs) in heredocs {
            loop {
                if at >= self.bytes.len() {
                    return self.region(Kind::Text, None);
                }
                let end = self.find("\n", at).unwrap_or(self.bytes.len());
                let line = &self.text[at..end];
                let line = if tabs { line.trim_start_matches('\t') } else { line };
                at = (end + 1).min(self.bytes.len());
                if line == word {
                    break;
                }
                if end == self.bytes.len() {
                    return self.region(Kind::Text, None);
                }
            }
        }
        self.region(Kind::Text, Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with strings as `S`, comments as `C`, newlines kept, the rest as it is.
    fn marked(path: &str, text: &str) -> String {
        let scan = scan(text, &style_of(path).unwrap());
        assert!(scan.complete, "{text}");
        text.char_indices()
            .map(|(at, c)| match scan.at(at) {
                _ if c == '\n' => '\n',
                Some(Kind::Text) => 'S',
                Some(Kind::Comment) => 'C',
                None => c,
            })
            .collect()
    }

    #[test]
    fn rust() {
        assert_eq!(marked("a.rs", "let a = \"x // y\n z\"; // c"), "let a = SSSSSSS\nSSS; CCCC");
        assert_eq!(marked("a.rs", "r#\"a\"b\"# 'x' '\"' '\\'' &'a b\"c\""), "SSSSSSSS 'x' '\"' '\\'' &'a bSSS");
        assert_eq!(marked("a.rs", "/* a /* b */ c */ x"), "CCCCCCCCCCCCCCCCC x");
        assert_eq!(marked("a.rs", "'\\u{41}' 'ä' \"s\" br\"x\\\" y"), "'\\u{41}' 'ä' SSS bSSSSS y");
        assert_eq!(marked("a.rs", "for x in var\"s\""), "for x in varSSS");
    }

    #[test]
    fn javascript() {
        assert_eq!(marked("a.ts", "`a ${ {b: `c`} } d` // e"), "SSSSS {b: SSS} SSSS CCCC");
        assert_eq!(marked("a.js", "x = /[`/]'/.test(y) / 2 // c"), "x = /[`/]'/.test(y) / 2 CCCC");
        assert_eq!(marked("a.js", "it's\n'a'"), "itSS\nSSS");
    }

    #[test]
    fn python_go_toml_and_cpp() {
        assert_eq!(marked("a.py", "x = '''a\n\"b''' # c"), "x = SSSS\nSSSSS CCC");
        assert_eq!(marked("a.py", "x = 'a#b' # c"), "x = SSSSS CCC");
        assert_eq!(marked("a.go", "a := `x\n\"` // c"), "a := SS\nSS CCCC");
        assert_eq!(marked("a.toml", "a = '''x\\''' # c"), "a = SSSSSSSS CCC");
        assert_eq!(marked("a.cpp", "1'000; R\"x(a)\" )x\" // c"), "1'000; SSSSSSSSSSS CCCC");
    }

    #[test]
    fn shell() {
        assert_eq!(marked("a.sh", "cat <<'E' | x # c\na ' b\nE\necho 'q'"), "cat <<'E' | x CCC\nSSSSS\nS\necho SSS");
        assert_eq!(marked("a.sh", "echo $# ${a#b} $((1 << 3)) \\' \"x\ny\""), "echo $# ${a#b} $((1 << 3)) \\' SS\nSS");
    }

    #[test]
    fn a_file_that_ends_in_a_string_is_not_trusted() {
        for (path, text) in
            [("a.rs", "\"x"), ("a.js", "`${x"), ("a.sh", "cat <<E\nx"), ("a.py", "\"\"\"x"), ("a.c", "/* x")]
        {
            assert!(!scan(text, &style_of(path).unwrap()).complete, "{text}");
        }
    }

    #[test]
    fn any_part_of_any_text_is_scanned_in_any_language_without_a_panic() {
        let text = "a 'ä' \\ö \"ü\\\" `x${ {y} `z` }` r#\"é\"# R\"ß(a)ß\" /* /* ñ */ */ // ö\n<<-'E' <<<x <<ÄÖ 'q\n\tE\nÄÖ\n\
            '''ü''' \"\"\"ö\"\"\" $'ä' /[`]/ '\\u{e4}' # ñ\n";
        for path in ["a.rs", "a.cpp", "a.ts", "a.sh", "a.py", "a.go", "a.toml", "a.java", "a.css", "a.yml", "Makefile"]
        {
            let style = style_of(path).unwrap();
            for (end, _) in text.char_indices() {
                for (start, _) in text[..end].char_indices() {
                    let part = &text[start..end];
                    let mut last = 0;
                    for (_, from, to) in scan(part, &style).regions {
                        assert!(last <= from && from <= to && to <= part.len(), "{path}: {part}");
                        assert!(part.is_char_boundary(from), "{path}: {part}");
                        last = to;
                    }
                }
            }
        }
    }
}
