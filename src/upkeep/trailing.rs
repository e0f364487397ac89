//! Strips blanks at line ends, where they can mean nothing: not in strings, not in Markdown's hard breaks, not before
//! a continued line, and only in languages whose strings we can tell.

use std::io;

use super::{
    Finding,
    editorconfig::EditorConfig,
    lexer,
    listing::{Listing, extension, says_generated},
};

pub(super) fn fix(listing: &Listing) -> io::Result<Vec<Finding>> {
    let mut changed: Vec<(&str, Stripped)> = Vec::new();
    for path in listing.ours() {
        let Some(strip) = stripper(path) else { continue };
        let Some(text) = listing.text(path) else { continue };
        let has_blanks =
            [" \n", "\t\n", " \r\n", "\t\r\n"].iter().any(|end| text.contains(end)) || text.ends_with([' ', '\t']);
        if !has_blanks || says_generated(&text) {
            continue;
        }
        if let Some(stripped) = strip(path, &text) {
            changed.push((path, stripped));
        }
    }
    let paths: Vec<&str> = changed.iter().map(|(path, _)| *path).collect();
    let attributes = listing.attributes(&paths);
    let config = EditorConfig::load(listing);
    let mut findings = Vec::new();
    for (path, stripped) in changed {
        let excluded = attributes.get(path).is_some_and(|a| a.not_text || a.not_ours || a.any_whitespace);
        if excluded || config.of(path).trim_trailing_whitespace == Some(false) {
            continue;
        }
        listing.replace(path, &stripped.text)?;
        let lines = stripped.lines;
        let message = format!("blanks at the end of {lines} line{}", if lines == 1 { "" } else { "s" });
        findings.push(Finding::fixed("trailing-blanks", path, Some(stripped.first), message));
    }
    Ok(findings)
}

/// A text without its needless blanks.
struct Stripped {
    text: String,
    lines: u64,
    first: u64,
}

type Strip = fn(&str, &str) -> Option<Stripped>;

/// How a file is treated, by its name; most kinds of file are not.
fn stripper(path: &str) -> Option<Strip> {
    match extension(path).as_str() {
        "md" | "markdown" => Some(|_, text| markdown(text)),
        "yml" | "yaml" => Some(|_, text| yaml(text)),
        _ => lexer::style_of(path).filter(|style| style.sure).map(|_| code as Strip),
    }
}

/// Strips the lines that `may` allows, given their number from 0, their offset, and their text without the line end.
fn strip(text: &str, mut may: impl FnMut(usize, usize, &str) -> bool) -> Option<Stripped> {
    let mut stripped = Stripped { text: String::with_capacity(text.len()), lines: 0, first: 0 };
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let body = line.strip_suffix('\n').unwrap_or(line);
        let body = body.strip_suffix('\r').unwrap_or(body);
        let kept = body.trim_end_matches([' ', '\t']);
        if kept.len() < body.len() && may(number, offset, body) {
            stripped.text.push_str(kept);
            stripped.text.push_str(&line[body.len()..]);
            stripped.lines += 1;
            if stripped.first == 0 {
                stripped.first = number as u64 + 1;
            }
        } else {
            stripped.text.push_str(line);
        }
        offset += line.len();
    }
    (stripped.lines > 0).then_some(stripped)
}

fn code(path: &str, text: &str) -> Option<Stripped> {
    let style = lexer::style_of(path)?;
    let scan = lexer::scan(text, &style);
    if !scan.complete {
        return None;
    }
    strip(text, |_, offset, body| {
        // The last blank and what ends the line both lie inside a string that goes on.
        let end = offset + body.len();
        let in_string = scan.at(end - 1) == Some(lexer::Kind::Text) || scan.at(end) == Some(lexer::Kind::Text);
        let kept = body.trim_end_matches([' ', '\t']);
        // Without the blank a backslash would join this line to the next.
        let continues = kept.ends_with('\\');
        // Documentation comments are Markdown in many languages, where two blanks break the line.
        let hard_break =
            body.ends_with("  ") && ["///", "//!", "*", "/**"].iter().any(|mark| kept.trim_start().starts_with(mark));
        !in_string && !continues && (!hard_break || is_bare_comment(kept))
    })
}

/// A comment line that has nothing in it.
fn is_bare_comment(line: &str) -> bool {
    line.trim().chars().all(|c| matches!(c, '/' | '!' | '*'))
}

/// Lines of blanks only, and single blanks after text; two or more are a hard break, and fenced code stays as it is.
fn markdown(text: &str) -> Option<Stripped> {
    let mut fence: Option<String> = None;
    let fenced: Vec<bool> = text
        .lines()
        .map(|line| {
            let start = line.trim_start();
            let mark: String = start.chars().take_while(|c| matches!(c, '`' | '~')).collect();
            match &fence {
                Some(open) => {
                    if mark.starts_with(open.as_str()) && start.trim_end() == mark {
                        fence = None;
                    }
                    true
                }
                None if mark.starts_with("```") || mark.starts_with("~~~") => {
                    fence = Some(mark);
                    true
                }
                None => false,
            }
        })
        .collect();
    strip(text, |number, _, body| {
        let kept = body.trim_end_matches([' ', '\t']);
        let indented_code = body.starts_with("    ") || body.starts_with('\t');
        let hard_break = !kept.is_empty() && body.ends_with("  ");
        let outside = !fenced.get(number).copied().unwrap_or(true);
        outside && !hard_break && !kept.ends_with('\\') && (kept.is_empty() || !indented_code)
    })
}

/// Everything but block scalars, whose text is kept as written, and quoted texts that go on.
fn yaml(text: &str) -> Option<Stripped> {
    let mut block: Option<usize> = None;
    let mut quoted = false;
    strip_yaml_lines(text, |body| {
        let indent = body.len() - body.trim_start_matches(' ').len();
        let blank = body.trim().is_empty();
        if let Some(parent) = block {
            if blank || indent > parent {
                return false;
            }
            block = None;
        }
        let kept = body.trim_end();
        let plain = kept.split(" #").next().unwrap_or(kept).trim_end();
        let indicator = plain.rsplit([' ', '\t']).next().unwrap_or("");
        let opens = indicator.starts_with(['|', '>'])
            && indicator.chars().skip(1).all(|c| c.is_ascii_digit() || matches!(c, '+' | '-'));
        if opens {
            // A block in a list item may be indented no further than the dash's content.
            block = Some(indent);
        }
        // An odd number of double quotes: a text that spans lines begins or ends here.
        let was_quoted = quoted;
        if plain.matches('"').count() % 2 == 1 {
            quoted = !quoted;
        }
        !was_quoted && !quoted
    })
}

/// Like [`strip`], but asks about every line, because YAML is told apart by what came before.
fn strip_yaml_lines(text: &str, mut may: impl FnMut(&str) -> bool) -> Option<Stripped> {
    let allowed: Vec<bool> = text.lines().map(&mut may).collect();
    strip(text, |number, _, _| allowed.get(number).copied().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::{fix, testing::Folder};

    fn stripped(path: &str, text: &str) -> String {
        stripper(path).and_then(|strip| strip(path, text)).map_or(text.to_string(), |stripped| stripped.text)
    }

    #[test]
    fn code_is_stripped_outside_strings() {
        assert_eq!(stripped("a.rs", "let a; \t\nlet b = \"x \n y\"; \n"), "let a;\nlet b = \"x \n y\";\n");
        assert_eq!(stripped("a.rs", "let r = r#\"a \n\"#; // c \n"), "let r = r#\"a \n\"#; // c\n");
        assert_eq!(stripped("a.js", "f(`a \n${b} \n`); \n"), "f(`a \n${b} \n`);\n");
        assert_eq!(stripped("a.py", "\"\"\"doc \n\"\"\" \nx = 1 \n"), "\"\"\"doc \n\"\"\"\nx = 1\n");
        assert_eq!(
            stripped("a.sh", "cat <<E \nx \nE\necho a \\ \necho b \r\n"),
            "cat <<E\nx \nE\necho a \\ \necho b\r\n"
        );
        assert_eq!(stripped("a.toml", "a = '''\nx \n''' \n"), "a = '''\nx \n'''\n");
    }

    #[test]
    fn what_cannot_be_told_is_left_alone() {
        for (path, text) in [
            ("a.rs", "let a = 1; \nlet s = \"open \n"),
            ("a.rb", "x = <<E \ny \nE\n"),
            ("Makefile", "A = b \n"),
            ("a.html", "<pre> \n"),
            ("a.txt", "x \n"),
            ("a.properties", "a=b \n"),
            ("a.rs", "/// one  \n/// two\n"),
            ("a.java", " * one  \n"),
        ] {
            assert_eq!(stripped(path, text), text, "{path}");
        }
    }

    #[test]
    fn markdown_keeps_hard_breaks_and_code() {
        let text = "one  \ntwo \n \n```\nx \n```\n    code \nlast\t\n";
        assert_eq!(stripped("a.md", text), "one  \ntwo\n\n```\nx \n```\n    code \nlast\n");
    }

    #[test]
    fn yaml_keeps_block_scalars_and_open_quotes() {
        let text = "a: 1 \nb: |\n  x \n\n  y \nc: >- # d\n  z \nd: \"q \n  r \"\ne: 2 \n";
        assert_eq!(stripped("a.yaml", text), "a: 1\nb: |\n  x \n\n  y \nc: >- # d\n  z \nd: \"q \n  r \"\ne: 2\n");
    }

    #[test]
    fn attributes_and_configuration_are_honoured() {
        let folder = Folder::git(&[
            (".gitattributes", "w.rs -whitespace\n"),
            (".editorconfig", "[e.rs]\ntrim_trailing_whitespace = false\n"),
            ("a.rs", "x \n"),
            ("w.rs", "x \n"),
            ("e.rs", "x \n"),
            ("a.patch", " \n"),
        ]);
        let found = fix("trailing-blanks", folder.path()).unwrap();
        assert_eq!(found.iter().map(|f| (f.path.as_str(), f.line)).collect::<Vec<_>>(), [("a.rs", Some(1))]);
        assert_eq!(folder.read("a.rs"), "x\n");
        assert_eq!(folder.read("w.rs"), "x \n");
    }
}
