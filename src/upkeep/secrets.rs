//! Keys, tokens and passwords in files. Looks at what is there now, not at the history, and never prints what it finds.

use std::{ops::Range, sync::LazyLock};

use regex::{Regex, RegexSet};

use super::{
    Finding, Severity, line_at,
    listing::{Listing, extension, is_foreign, name_of},
};

/// Secrets whose shape gives them away: what they are, and how they look. The first group, where there is one, is the secret.
const SHAPES: &[(&str, &str)] = &[
    ("a private key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n|\\r)+[A-Za-z0-9+/=:\- ,]{16,}"),
    ("an AWS access key", r"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b"),
    ("a GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{36,255})\b"),
    ("a GitHub token", r"\b(github_pat_[A-Za-z0-9_]{50,255})\b"),
    ("a GitLab token", r"\b(glpat-[A-Za-z0-9_-]{20,})"),
    ("a Slack token", r"\b(xox[abeoprs]-[A-Za-z0-9-]{20,})"),
    ("a Slack webhook", r"https://hooks\.slack\.com/services/(T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,})"),
    ("a Google API key", r"\b(AIza[A-Za-z0-9_-]{35})"),
    ("a Stripe key", r"\b((?:sk|rk)_live_[A-Za-z0-9]{20,})\b"),
    ("an Anthropic key", r"\b(sk-ant-[A-Za-z0-9_-]{24,})"),
    ("an OpenAI key", r"\b(sk-(?:proj-)?[A-Za-z0-9_-]{40,})"),
    ("an npm token", r"\b(npm_[A-Za-z0-9]{36})\b"),
    ("a PyPI token", r"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})"),
    ("a SendGrid key", r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"),
    ("a JSON web token", r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})"),
    ("a password in an address", r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\x22]+:([^\s:/@'\x22]{6,})@[A-Za-z0-9]"),
    (
        ASSIGNED,
        r#"(?i)(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret)[a-z0-9_-]*["']?\s*(?:=|:|=>|:=)\s*["']([^"'\s\\]{12,200})["']"#,
    ),
    (
        ASSIGNED,
        r"(?m)^(?:export )?[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|ACCESS_KEY)[A-Z0-9_]*=([^\s\x22'#$]{12,200})$",
    ),
];
/// The one kind that is told by its name and its randomness, not by its shape.
const ASSIGNED: &str = "a secret by its name";

static SET: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(SHAPES.iter().map(|(_, pattern)| pattern)).expect("the patterns are fixed"));
static PATTERNS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| SHAPES.iter().map(|(_, pattern)| Regex::new(pattern).expect("the patterns are fixed")).collect());

/// Characters of a secret that may be shown; never more than a quarter of it.
const SHOWN_CHARS: usize = 4;
/// Findings in one file after which it is clear what kind of file it is.
const PER_FILE_MAX: usize = 20;

pub(super) fn find(listing: &Listing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in listing.files.iter().filter(|path| !is_foreign(path)) {
        if let Some(text) = listing.text(path) {
            findings.extend(in_text(path, &text));
        }
    }
    findings
}

/// See [`super::secrets_added`].
pub(super) fn added(path: &str, before: &[&str], after: &str) -> Vec<Finding> {
    if is_foreign(path) {
        return Vec::new();
    }
    let sample = is_sample(path);
    let new =
        |(start, end, _): &(usize, usize, Finding)| !before.iter().any(|text| text.contains(&after[*start..*end]));
    let exact = |(_, _, finding): &(usize, usize, Finding)| {
        // What is told by a name or a form that inventions have as well.
        let loose = ["a JSON web token", "a password in an address", ASSIGNED];
        !sample || !loose.iter().any(|what| finding.message.contains(what))
    };
    located(path, after).into_iter().filter(new).filter(exact).map(|(_, _, finding)| finding).collect()
}

/// What every shape has somewhere: one fast pass that leaves few lines for the patterns.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"-----BEGIN|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox|hooks\.slack|AIza|_live_|sk-|npm_|pypi-|SG\.|eyJ|://|(?i:passw|secret|token|key)",
    )
    .expect("the pattern is fixed")
});
/// How far from a hint its line is looked at, bytes; longer lines are data.
const WINDOW_BYTES: usize = 2000;
/// A private key goes on after its first line.
const KEY_BYTES: usize = 200;

fn in_text(path: &str, text: &str) -> Vec<Finding> {
    located(path, text).into_iter().map(|(_, _, finding)| finding).collect()
}

/// The findings with the place of each secret.
fn located(path: &str, text: &str) -> Vec<(usize, usize, Finding)> {
    let mut found: Vec<(usize, usize, Finding)> = Vec::new();
    let mut at = 0;
    while let Some(hint) = HINT.find_at(text, at) {
        let line_start = text[..hint.start()].rfind('\n').map_or(0, |at| at + 1).max(at);
        let line_end = text[hint.end()..].find('\n').map_or(text.len(), |at| hint.end() + at);
        let start = boundary(text, line_start.max(hint.start().saturating_sub(WINDOW_BYTES)));
        let end = line_end.min(hint.end() + WINDOW_BYTES);
        let end = boundary(text, if hint.as_str().starts_with('-') { (end + KEY_BYTES).min(text.len()) } else { end });
        in_window(path, text, start..end, &mut found);
        if found.len() >= PER_FILE_MAX {
            break;
        }
        at = end.max(hint.end());
    }
    found.sort_by_key(|(start, _, _)| *start);
    found.truncate(PER_FILE_MAX);
    found
}

/// The first place from here on where a character starts.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// Looks at one stretch of the text, usually a line.
fn in_window(path: &str, text: &str, window: Range<usize>, found: &mut Vec<(usize, usize, Finding)>) {
    let offset = window.start;
    let window = &text[window];
    for index in SET.matches(window) {
        let (what, _) = SHAPES[index];
        for captures in PATTERNS[index].captures_iter(window) {
            let Some(secret) = captures.get(1).or(captures.get(0)) else { continue };
            let (start, end) = (offset + secret.start(), offset + secret.end());
            // The more exact shapes come first in the table, so a stretch already told is not told again.
            if found.iter().any(|(other_start, other_end, _)| start < *other_end && *other_start < end) {
                continue;
            }
            if is_placeholder(secret.as_str()) || says_example(window, secret.as_str()) {
                continue;
            }
            // Rust keeps its tests beside the code.
            let sample = is_sample(path) || (path.ends_with(".rs") && text[..start].contains("#[cfg(test)]"));
            if what == ASSIGNED && (sample || !is_random(secret.as_str())) {
                continue;
            }
            let severity = match what {
                _ if sample => Severity::Low,
                ASSIGNED | "a JSON web token" | "a password in an address" => Severity::Medium,
                _ => Severity::High,
            };
            let message = format!("looks like {what} ({})", masked(secret.as_str()));
            found.push((start, end, Finding::new("secrets", path, Some(line_at(text, start)), severity, message)));
        }
    }
}

/// The first characters and the length.
fn masked(secret: &str) -> String {
    if secret.starts_with("-----BEGIN") {
        return "its content is not shown".into();
    }
    let count = secret.chars().count();
    let shown: String = secret.chars().take(SHOWN_CHARS.min(count / 4)).collect();
    format!("{shown}…, {count} characters")
}

/// Values that stand for a secret.
fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_lowercase();
    let words = [
        "example",
        "changeme",
        "change_me",
        "change-me",
        "placeholder",
        "dummy",
        "your_",
        "your-",
        "yourpass",
        "xxxx",
        "****",
        "....",
        "<",
        "${",
        "{{",
        "$(",
        "%s",
        "%(",
        "process.env",
        "os.environ",
        "getenv",
        "redacted",
        "sample",
        "insert",
        "replace",
        "12345678",
        "abcdef",
        "abcdefgh",
        "deadbeef",
        "secret_here",
        "notreal",
        "not-a-real",
        "fake",
        "mock",
        "todo",
    ];
    let mut distinct: Vec<char> = secret.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    // `{password}`: a text that is filled in, as Python and Rust have it.
    let filled_in = secret.starts_with('{') && secret.ends_with('}');
    filled_in
        || distinct.len() <= 4
        || words.iter().any(|word| lower.contains(word))
        || matches!(lower.as_str(), "password" | "passwd" | "postgres" | "secret" | "guest" | "admin" | "root")
}

/// Whether the rest of the line says that this is only an example.
fn says_example(line: &str, secret: &str) -> bool {
    let rest = line.replace(secret, " ").to_lowercase();
    ["example", "placeholder", "dummy", "fake", "not a real", "gitleaks:allow", "pragma: allowlist secret", "nosecret"]
        .iter()
        .any(|word| rest.contains(word))
}

/// Test and documentation files, where a secret is likelier invented.
pub(super) fn is_sample(path: &str) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    let named = ["example", "sample", "template"].iter().any(|word| name.contains(word));
    named || is_test(path) || matches!(extension(path).as_str(), "md" | "rst" | "adoc")
}

/// Files of tests, examples and documents by their folder, and of tests by their name.
pub(super) fn is_test(path: &str) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').any(|part| {
        matches!(
            part.to_ascii_lowercase().as_str(),
            "test"
                | "tests"
                | "__tests__"
                | "spec"
                | "example"
                | "examples"
                | "docs"
                | "doc"
                | "samples"
                | "mocks"
                | "e2e"
        )
    }) || name.contains(".test.")
        || name.contains(".spec.")
        || name.contains("_test.")
        || name.starts_with("test_")
}

/// Random enough to be a secret and not a name, a path or a sentence.
fn is_random(secret: &str) -> bool {
    let digits = secret.chars().any(|c| c.is_ascii_digit());
    let letters = secret.chars().any(|c| c.is_ascii_alphabetic());
    let plain = secret.chars().all(|c| c.is_ascii_graphic());
    let code = secret.contains(['(', ')', '{', '}', '[', ']', ',', ';'])
        || secret.contains("::")
        || secret.contains("://")
        || secret.starts_with(['/', '.', '@', '#', '$']);
    digits && letters && plain && !code && entropy(secret) >= 3.3
}

/// Bits per character, by the text's own frequencies.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::{audit, testing::Folder};

    /// Put together here, so that no scanner takes this file for a leak.
    fn token(parts: &[&str]) -> String {
        parts.concat()
    }

    fn found(path: &str, text: &str) -> Vec<(Severity, String)> {
        in_text(path, text).into_iter().map(|f| (f.severity, f.message)).collect()
    }

    #[test]
    fn known_shapes_are_found_and_never_shown() {
        let body = "q7RzT2mK9vLx4Wp8NbY3sJ6hGd5fCa1eUoQi";
        for (secret, what) in [
            (token(&["AK", "IAQ7RZT2MK4VLX4WP6"]), "an AWS access key"),
            (token(&["gh", "p_", body]), "a GitHub token"),
            (token(&["github", "_pat_", body, body]), "a GitHub token"),
            (token(&["xo", "xb-", body]), "a Slack token"),
            (token(&["AI", "za", &body[..35]]), "a Google API key"),
            (token(&["sk", "_live_", body]), "a Stripe key"),
            (token(&["sk", "-ant-", body]), "an Anthropic key"),
            (token(&["ey", "J", body, ".eyJ", body, ".", body]), "a JSON web token"),
            (token(&["-----BEGIN RSA ", "PRIVATE KEY-----\n", body, body]), "a private key"),
        ] {
            let got = found("src/a.rs", &format!("x\nlet k = \"{secret}\";\n"));
            assert_eq!(got.len(), 1, "{what}: {got:?}");
            assert!(got[0].1.contains(what), "{got:?}");
            assert!(got[0].0 >= Severity::Medium);
            assert!(!got[0].1.contains(&secret[..10]), "{got:?}");
        }
    }

    #[test]
    fn secrets_by_name_need_to_be_random() {
        let random = token(&["Zk9", "vT4q", "Lw8Rx2Bn"]);
        assert_eq!(
            found("a.py", &format!("DB_PASSWORD = '{random}'\n")),
            [(Severity::Medium, "looks like a secret by its name (Zk9…, 15 characters)".into())]
        );
        assert_eq!(found(".env", &format!("API_TOKEN={random}\n")).len(), 1);
        assert_eq!(
            found("a.yml", &format!("url: postgres://app:{random}@db/x\n")),
            [(Severity::Medium, "looks like a password in an address (Zk9…, 15 characters)".into())]
        );
        for harmless in [
            "password = \"correct horse battery\"",
            "password = \"changeme12345\"",
            "token = \"${GITHUB_TOKEN_1}\"",
            "secret_name = \"my-service-credentials\"",
            "token = \"aaaaaaaaaaaaaaaa1\"",
            "const tokenUrl = 'https://auth.x/v2/token3'",
            "let token = get_token(\"abc\", 12);",
            "password: { type: 'string' }",
            "tokenizer = 'bert-base-uncased'",
            "API_KEY=your_api_key_here_1",
            "postgres://postgres:postgres@localhost/db",
            "if k.starts_with(\"-----BEGIN PRIVATE KEY-----\") {}",
            "aws = AKIAIOSFODNN7EXAMPLE",
            "url = f\"postgres://{user}:{password}@{host}/db\"",
            "url = f\"postgres://app:{random}@db/x\"",
        ] {
            assert_eq!(found("src/a.py", harmless), [], "{harmless}");
        }
    }

    #[test]
    fn tests_and_examples_weigh_less() {
        let random = token(&["Zk9", "vT4q", "Lw8Rx2Bn"]);
        assert!(found("tests/a.py", &format!("password = '{random}'")).is_empty());
        let key = token(&["gh", "p_", "q7RzT2mK9vLx4Wp8NbY3sJ6hGd5fCa1eUoQi"]);
        assert_eq!(found("tests/a.py", &key)[0].0, Severity::Low);
        assert!(found("src/a.py", &format!("{key} # example")).is_empty());
    }

    #[test]
    fn only_what_a_change_brings_in() {
        let key = token(&["gh", "p_", "q7RzT2mK9vLx4Wp8NbY3sJ6hGd5fCa1eUoQi"]);
        let other = token(&["gh", "p_", "w8SaU3nL0wMy5Xq9OcZ4tK7iHe6gDb2fVpRj"]);
        let before = format!("one = '{key}'\n");
        let after = format!("# moved down\none = '{key}'\ntwo = '{other}'\n");
        let lines = |found: Vec<Finding>| found.into_iter().map(|finding| finding.line).collect::<Vec<_>>();
        assert_eq!(lines(added("a.py", &[&before], &after)), [Some(3)]);
        assert_eq!(lines(added("a.py", &[], &after)), [Some(2), Some(3)]);
        // From one file into another it was there before.
        assert_eq!(lines(added("b.py", &["x = 1", &after], &after)), []);
        assert_eq!(lines(added("tests/a.py", &[], &after)).len(), 2, "an exact shape counts anywhere");
        let random = token(&["Zk9", "vT4q", "Lw8Rx2Bn"]);
        assert_eq!(lines(added("tests/a.py", &[], &format!("u = 'postgres://app:{random}@db/x'\n"))), []);
    }

    #[test]
    fn the_audit_reads_the_folder() {
        let key = token(&["gh", "p_", "q7RzT2mK9vLx4Wp8NbY3sJ6hGd5fCa1eUoQi"]);
        let folder = Folder::git(&[("a.rs", &format!("\n\n// {key}\n")), ("fixtures/a.rs", &key)]);
        let found = audit("secrets", folder.path()).unwrap();
        assert_eq!(found.iter().map(|f| (f.path.as_str(), f.line)).collect::<Vec<_>>(), [("a.rs", Some(3))]);
    }
}
