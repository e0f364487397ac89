//! Turns a request into tokens: words with stems, clauses and negation; code, paths and quotations kept apart.
//!
//! Everything else in `analyze` reads these tokens, so that "do not deploy" is nowhere a deployment. It is not a
//! grammar: clauses end at punctuation and conjunctions, and a negator's scope is a rule of thumb stated at
//! [`mark_negation`].

/// What a token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A word of the language, hyphens included.
    Word,
    /// An identifier, a call, anything in backticks.
    Code,
    /// A path, a file name or a glob.
    Path,
    /// A web address.
    Url,
    /// A version such as `v1.2.3` or `24.11`.
    Version,
    /// Digits, issue numbers, hashes.
    Number,
}

/// One token of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// As written, without surrounding punctuation.
    pub raw: String,
    /// Lower case and stemmed for words; as written otherwise.
    pub stem: String,
    /// What it is made of.
    pub kind: TokenKind,
    /// Inside quotation marks: what somebody else said, not what is asked.
    pub quoted: bool,
    /// Inside the scope of "do not", "without", "instead of" and the like.
    pub negated: bool,
    /// Which clause it belongs to, counted from 0.
    pub clause: usize,
    /// Byte offset in the text.
    pub start: usize,
}

impl Token {
    /// A word that is asked for: neither negated nor quoted.
    pub fn counts(&self) -> bool {
        self.kind == TokenKind::Word && !self.negated && !self.quoted
    }
}

/// Reduces an English word to a stem. Only consistency matters: every word list goes through it too.
pub fn stem(word: &str) -> String {
    let mut word = word.to_lowercase().replace('’', "'");
    for suffix in ["'s", "s'"] {
        if let Some(rest) = word.strip_suffix(suffix) {
            word = rest.to_string();
        }
    }
    match word.as_str() {
        "built" => return "build".into(),
        "using" | "used" | "uses" => return "use".into(),
        "made" | "making" => return "mak".into(),
        "ran" => return "run".into(),
        "broke" | "broken" => return "break".into(),
        "wrote" | "written" => return "writ".into(),
        "data" | "this" | "its" | "has" | "was" | "does" | "is" | "as" | "us" | "yes" | "always" | "during"
        | "string" | "nothing" | "something" | "anything" | "everything" | "missing" | "need" | "speed" | "embed"
        | "https" | "dns" | "os" | "ios" | "css" | "js" | "aws" | "tls" | "process" | "access" | "status" | "news"
        | "alias" | "bus" | "plus" | "thus" => return word,
        _ => {}
    }
    let length = word.chars().count();
    if !word.is_ascii() || length < 4 {
        return word;
    }
    if let Some(rest) = word.strip_suffix("ies") {
        if rest.len() >= 2 {
            return format!("{rest}y");
        }
    } else if word.ends_with("sses") || word.ends_with("shes") || word.ends_with("ches") || word.ends_with("xes") {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us") && !word.ends_with("is") {
        word.truncate(word.len() - 1);
    }
    for suffix in ["ing", "ed"] {
        if let Some(rest) = word.strip_suffix(suffix)
            && rest.len() >= 3
            && rest.bytes().any(|byte| b"aeiouy".contains(&byte))
            && !(suffix == "ed" && rest.ends_with('e'))
        {
            let bytes = rest.as_bytes();
            let (last, before) = (bytes[bytes.len() - 1], bytes[bytes.len() - 2]);
            let doubled = last == before && !b"lsz".contains(&last) && !b"aeiou".contains(&last);
            let cut = if doubled { rest.len() - 1 } else { rest.len() };
            word = rest[..cut].to_string();
            return strip_final_e(word);
        }
    }
    if word.len() > 7 && word.ends_with("ment") {
        word.truncate(word.len() - 4);
    } else if word.len() > 6 && word.ends_with("tion") {
        word.truncate(word.len() - 3);
    }
    strip_final_e(word)
}

fn strip_final_e(mut word: String) -> String {
    if word.len() >= 4 && word.ends_with('e') && !word.ends_with("ee") {
        word.pop();
    }
    word
}

/// Splits a request into tokens, with clauses and negation marked.
pub fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut clause = 0;
    let mut quote: Option<char> = None;
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            // A blank line or a list item ends a clause as a full stop does.
            if first == '\n' && tokens.last().is_some_and(|token: &Token| token.clause == clause) {
                clause += 1;
            }
            at += first.len_utf8();
            continue;
        }
        if first == '`' {
            let fence = if text[at..].starts_with("```") { "```" } else { "`" };
            let inner = at + fence.len();
            if let Some(length) = text[inner..].find(fence) {
                push(&mut tokens, &text[inner..inner + length], TokenKind::Code, quote.is_some(), clause, inner);
                at = inner + length + fence.len();
                continue;
            }
            at += 1;
            continue;
        }
        let chunk_end = text[at..]
            .char_indices()
            .find(|(index, c)| *index > 0 && (c.is_whitespace() || matches!(c, '`' | ',' | ']')))
            .map_or(text.len(), |(index, _)| at + index);
        let chunk = &text[at..chunk_end];
        let opened = chunk.trim_start_matches(['(', '[', '{', '<']);
        if let Some(mark) = opened.chars().next().filter(|c| matches!(c, '"' | '“' | '\'' | '‘'))
            && quote.is_none()
        {
            let close = match mark {
                '“' => '”',
                '‘' => '’',
                other => other,
            };
            let inner = at + (chunk.len() - opened.len()) + mark.len_utf8();
            // A quotation needs its end; a lone mark is punctuation.
            if text[inner..].char_indices().any(|(index, c)| c == close && ends_word(&text[inner..], index, c)) {
                quote = Some(close);
                at = inner;
                continue;
            }
        }
        let mut body = chunk;
        let mut closes = false;
        if let Some(close) = quote
            && let Some(index) =
                body.char_indices().find(|(i, c)| *c == close && ends_word(body, *i, *c)).map(|(i, _)| i)
        {
            body = &body[..index];
            closes = true;
        }
        emit(&mut tokens, body, quote.is_some(), clause, at);
        if closes {
            let used = body.len() + quote.map_or(0, char::len_utf8);
            quote = None;
            at += used.max(1);
        } else {
            at = chunk_end;
        }
        let tail = text[..at].trim_end_matches([')', ']', '"', '\'', '”', '’', '}']);
        let soft = tail.ends_with(',') || text[at..].starts_with(',');
        let ends = tail.ends_with(['.', ';', ':', '!', '?', '…']) || soft || text[..at].ends_with([')', ']']);
        let joins = tokens.last().is_some_and(|token| {
            token.kind == TokenKind::Word && matches!(token.stem.as_str(), "and" | "then" | "but" | "or" | "while")
        });
        if (ends || joins || body.starts_with(['(', '['])) && tokens.last().is_some_and(|token| token.clause == clause)
        {
            clause += 1;
        }
    }
    mark_negation(text, &mut tokens);
    tokens
}

/// Whether the mark at `index` closes a word rather than being an apostrophe inside one.
fn ends_word(text: &str, index: usize, mark: char) -> bool {
    text[index + mark.len_utf8()..].chars().next().is_none_or(|next| !next.is_alphanumeric())
}

fn push(tokens: &mut Vec<Token>, raw: &str, kind: TokenKind, quoted: bool, clause: usize, start: usize) {
    let stem = if kind == TokenKind::Word { stem(raw) } else { raw.to_string() };
    tokens.push(Token { raw: raw.to_string(), stem, kind, quoted, negated: false, clause, start });
}

fn emit(tokens: &mut Vec<Token>, chunk: &str, quoted: bool, clause: usize, start: usize) {
    let left = chunk
        .trim_start_matches(['(', '[', '{', '<', '"', '\'', '“', '‘', ',', ';', ':', '!', '?', '-', '*', '•', '—']);
    let offset = start + chunk.len() - left.len();
    let calls = left.contains("()");
    let body = left.trim_end_matches([',', ';', ':', '!', '?', '.', ']', '}', '"', '\'', '”', '’', '…', '*', '—']);
    let body = if calls { body } else { body.trim_end_matches([')', '>', '.', ':', ',', '?', '!']) };
    if !body.chars().any(char::is_alphanumeric) {
        return;
    }
    let kind = kind_of(body);
    // "bug/crash" and "read/write" are two words, "src/main.rs" is one path.
    if kind == TokenKind::Word && body.contains('/') {
        let mut at = offset;
        for part in body.split('/') {
            if !part.is_empty() {
                push(tokens, part, kind_of(part), quoted, clause, at);
            }
            at += part.len() + 1;
        }
        return;
    }
    push(tokens, body, kind, quoted, clause, offset);
}

fn kind_of(body: &str) -> TokenKind {
    if body.contains("://") {
        return TokenKind::Url;
    }
    let slashes = body.matches('/').count();
    let dotted = |part: &str| {
        part.rsplit_once('.').is_some_and(|(stem, end)| {
            !stem.is_empty() && (1..=5).contains(&end.len()) && end.chars().all(|c| c.is_ascii_alphanumeric())
        })
    };
    let version = body.trim_start_matches(['v', 'V']);
    if version.starts_with(|c: char| c.is_ascii_digit())
        && version.contains('.')
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+x".contains(c))
    {
        return TokenKind::Version;
    }
    if body.starts_with('#') || body.chars().all(|c| c.is_ascii_digit() || ".,%+-".contains(c)) {
        return TokenKind::Number;
    }
    if slashes > 0
        && (body.starts_with(['/', '.', '~', '@'])
            || body.ends_with('/')
            || slashes > 1
            || dotted(body)
            || body.contains('*'))
    {
        return TokenKind::Path;
    }
    let lower_then_upper =
        body.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    if body.contains(['_', '(', '=', '$', '{', '<', '@', '\\']) || body.contains("::") || body.starts_with("--") {
        return TokenKind::Code;
    }
    if dotted(body) && slashes == 0 && body.is_ascii() {
        return if body.chars().next().is_some_and(char::is_uppercase) || file_extension(body) {
            TokenKind::Path
        } else {
            TokenKind::Code
        };
    }
    // camelCase is code, but GitHub and OAuth are words.
    if lower_then_upper && body.starts_with(|c: char| c.is_ascii_lowercase()) && !body.contains('-') {
        return TokenKind::Code;
    }
    if slashes > 0 && !body.split('/').all(|part| part.chars().all(char::is_alphabetic)) {
        return TokenKind::Path;
    }
    TokenKind::Word
}

fn file_extension(body: &str) -> bool {
    const EXTENSIONS: &[&str] = &[
        "rs", "py", "js", "ts", "tsx", "jsx", "go", "java", "kt", "c", "h", "cpp", "hpp", "cs", "rb", "php", "sh",
        "md", "toml", "json", "yaml", "yml", "xml", "html", "css", "sql", "lock", "txt", "swift", "vue", "proto", "tf",
        "nix",
    ];
    body.rsplit_once('.').is_some_and(|(_, end)| EXTENSIONS.contains(&end.to_ascii_lowercase().as_str()))
}

/// Marks what "do not", "without", "no", "instead of" and the like take back.
///
/// The scope runs to the end of the clause; "or" and a bare "and" carry it on ("do not deploy or release"), a comma,
/// "but", "then", or an "and" before a plain verb after a gerund ("without breaking it and release") end it.
/// "Do not forget to …" asks for the thing; "cannot open" and "doesn't compile" describe and negate nothing here.
fn mark_negation(text: &str, tokens: &mut [Token]) {
    let mut index = 0;
    while index < tokens.len() {
        let word = tokens[index].raw.to_lowercase().replace('’', "'");
        let next = tokens.get(index + 1).map(|token| token.stem.clone()).unwrap_or_default();
        let (scope_from, gerund) = match word.as_str() {
            "don't" | "dont" | "never" | "mustn't" | "shouldn't" => (index + 1, false),
            "not" => {
                let before = index.checked_sub(1).map(|i| tokens[i].stem.as_str()).unwrap_or_default();
                // "does not work", "is not found", "can not open" are symptoms.
                if matches!(before, "do" | "should" | "must" | "shall" | "please" | "and" | "but" | "or" | "")
                    && next != "only"
                {
                    (index + 1, false)
                } else {
                    index += 1;
                    continue;
                }
            }
            "without" | "avoid" | "avoiding" | "excluding" | "except" | "skip" | "skipping" => (index + 1, true),
            "no" if next != "such" && next != "space" && next != "modul" => (index + 1, true),
            "instead" | "rather" if matches!(next.as_str(), "of" | "than") => (index + 2, true),
            _ => {
                index += 1;
                continue;
            }
        };
        if matches!(next.as_str(), "forget" | "hesitat" | "fail" | "just" | "only") {
            index += 2;
            continue;
        }
        let mut end = scope_from;
        while end < tokens.len() {
            if end > scope_from {
                let (previous, current) = (&tokens[end - 1], &tokens[end]);
                let between = &text[(previous.start + previous.raw.len()).min(current.start)..current.start];
                let joined_or = previous.stem == "or" || previous.stem == "nor";
                let stops =
                    matches!(current.stem.as_str(), "but" | "then" | "instead" | "until" | "unless" | "when" | "if");
                let plain_verb = gerund && previous.stem == "and" && !current.raw.ends_with("ing");
                if between.contains([',', '.', ';', '!', '?', ':', '\n', ')']) && !joined_or || stops || plain_verb {
                    break;
                }
            }
            tokens[end].negated = true;
            end += 1;
        }
        index = end.max(index + 1);
    }
}

/// Whether the text contains the phrase as whole stemmed words that count; the phrase is given in plain English.
pub fn mentions(tokens: &[Token], phrase: &str) -> bool {
    let wanted: Vec<String> = phrase.split(' ').map(stem).collect();
    tokens.windows(wanted.len()).any(|window| {
        window.iter().zip(&wanted).all(|(token, want)| {
            !token.negated
                && !token.quoted
                && token.kind == TokenKind::Word
                && (token.stem == *want || token.stem.split('-').any(|part| part == want || stem(part) == *want))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negated(text: &str) -> Vec<String> {
        tokenize(text).into_iter().filter(|token| token.negated).map(|token| token.raw).collect()
    }

    #[test]
    fn stems_meet() {
        for group in [
            &["create", "creates", "creating", "created", "creation"][..],
            &["deploy", "deploys", "deployed", "deploying", "deployment", "deployments"],
            &["fix", "fixes", "fixed", "fixing"],
            &["stop", "stopped", "stopping"],
            &["migrate", "migration", "migrating"],
            &["investigate", "investigation"],
            &["use", "using", "used"],
            &["dependency", "dependencies"],
        ] {
            for word in group {
                assert_eq!(stem(word), stem(group[0]), "{word}");
            }
        }
        assert_eq!(stem("process"), "process");
        assert_ne!(stem("releases"), stem("rely"));
    }

    #[test]
    fn negation_has_a_scope() {
        assert_eq!(
            negated("Fix the tests but do not deploy or release it, then update the docs"),
            ["deploy", "or", "release", "it"]
        );
        assert_eq!(negated("refactor without breaking the API and release it"), ["breaking", "the", "API", "and"]);
        assert_eq!(negated("don't forget to release"), Vec::<String>::new());
        assert_eq!(negated("the build does not work"), Vec::<String>::new());
        assert_eq!(negated("use cargo instead of make, and publish"), ["make"]);
    }

    #[test]
    fn kinds_are_told_apart() {
        let kinds: Vec<(String, TokenKind)> =
            tokenize("move `Foo::bar` from src/lib.rs to v1.2.3, read/write https://x.y/z fooBar #12")
                .into_iter()
                .filter(|token| token.kind != TokenKind::Word)
                .map(|token| (token.raw, token.kind))
                .collect();
        assert_eq!(
            kinds,
            [
                ("Foo::bar".to_string(), TokenKind::Code),
                ("src/lib.rs".to_string(), TokenKind::Path),
                ("v1.2.3".to_string(), TokenKind::Version),
                ("https://x.y/z".to_string(), TokenKind::Url),
                ("fooBar".to_string(), TokenKind::Code),
                ("#12".to_string(), TokenKind::Number),
            ]
        );
    }

    #[test]
    fn quotations_are_marked_and_apostrophes_are_not() {
        let quoted = |text: &str| -> Vec<String> {
            tokenize(text).into_iter().filter(|token| token.quoted).map(|token| token.raw).collect()
        };
        assert_eq!(quoted("fix the message \"cannot deploy now\" please"), ["cannot", "deploy", "now"]);
        assert_eq!(quoted("don't touch the user's 'deploy key' file"), ["deploy", "key"]);
        assert_eq!(quoted("a lone \" mark"), Vec::<String>::new());
    }

    #[test]
    fn any_text_is_taken() {
        for text in
            ["", "   ", "`", "```", "\"", "“x", "日本語のテスト", "é'", "a`b", "((((", "🎉 ship it!", "'`'", "x,]`,,"]
        {
            let _ = tokenize(text);
        }
        // Every token's place must be where its text is: the clauses and the negation are cut from there.
        const PIECES: &[&str] = &[
            "do not ",
            "éé",
            "/",
            "\"",
            "'",
            "`",
            "(",
            ")",
            "[",
            "]",
            ", ",
            "“",
            "”",
            "’",
            "a",
            "src/ü.rs",
            "::",
            ". ",
            "\n",
            "日",
            "-",
            "#1",
            "no ",
            "and ",
            "🎉",
            "v1.2",
            "http://x",
            "without ",
            "fix: ",
            "x_y",
            "İ",
            "ß",
            "ing",
            "ies",
            "ed",
            " ",
        ];
        let mut seed = 1u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.push_str(PIECES[(seed >> 33) as usize % PIECES.len()]);
            }
            for token in tokenize(&text) {
                assert!(text[token.start..].starts_with(&token.raw), "{text:?} {token:?}");
            }
            let _ = crate::core::analyze::signals::signals(&text, &|_| false);
        }
    }
}
