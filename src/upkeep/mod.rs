//! Our own fixers and audits: what `orchestrator fix NAME` and `orchestrator audit NAME` do to a folder.
//!
//! They are what useful work is left where a repository suggests no commands, and what `tidy` and `audit` run besides
//! those. Everything is conservative: a file that is vendored, generated, a fixture or not surely understood is left
//! alone, because a wrong fix costs more trust than a missed one. Nothing here knows about runs or lanes.

mod conflicts;
mod dependencies;
mod editorconfig;
mod exec_bits;
mod history;
mod lexer;
mod line_ends;
mod links;
mod listing;
mod newline;
mod secrets;
mod sizes;
mod trailing;
mod untested;

use std::{
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use self::listing::Listing;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth doing some day.
    Low,
    /// Worth doing soon.
    Medium,
    /// Wrong now.
    High,
}

/// One thing that was found, and perhaps fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The fixer or audit that found it.
    pub kind: String,
    /// The file, relative to the folder; empty for the folder as a whole.
    pub path: String,
    /// The line, from 1, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence for people. Never holds a secret.
    pub message: String,
    /// Whether the file was changed so that it is gone.
    pub fixed: bool,
}

impl Finding {
    fn new(kind: &str, path: &str, line: Option<u64>, severity: Severity, message: impl Into<String>) -> Finding {
        Finding { kind: kind.into(), path: path.into(), line, severity, message: message.into(), fixed: false }
    }

    fn fixed(kind: &str, path: &str, line: Option<u64>, message: impl Into<String>) -> Finding {
        Finding { fixed: true, ..Finding::new(kind, path, line, Severity::Low, message) }
    }
}

/// The fixers, by name, with what they do.
pub const FIXES: &[(&str, &str)] = &[
    ("line-ends", "give files with mixed line ends one kind, the file's majority or what is configured"),
    ("trailing-blanks", "strip blanks at line ends, but not in strings, hard breaks or test data"),
    ("final-newline", "end source files with a newline"),
    ("exec-bits", "make scripts executable and plain data not, in sure cases only"),
    ("conflict-markers", "report conflict markers left behind; they are never changed"),
    ("dead-links", "report links in Markdown that lead nowhere, and correct those that differ in case only"),
];

/// The audits, by name, with what they look for.
pub const AUDITS: &[(&str, &str)] = &[
    ("churn", "files that change most and are largest, by the last year's history"),
    ("todo-ages", "TODO, FIXME, XXX and HACK in comments, with age and author"),
    ("large-files", "files of a megabyte or more"),
    ("duplicate-files", "files with the same content"),
    ("dependencies", "how many there are, which are loose, unpinned, or there in several versions"),
    ("missing-tests", "sources that no test mentions"),
    ("secrets", "keys, tokens and passwords in files"),
    ("dead-links", "links in Markdown that lead nowhere"),
    ("conflict-markers", "conflict markers left behind"),
];

/// Runs a fixer on a folder (or one file below it) and says what it found and fixed.
///
/// A name that is not in [`FIXES`] is an error of kind `InvalidInput`. Each file is replaced at once or not at all.
pub fn fix(name: &str, root: &Path) -> io::Result<Vec<Finding>> {
    let known = FIXES.iter().any(|(known, _)| *known == name);
    let listing = if known { Listing::load(root)? } else { return Err(unknown("fixer", name, FIXES)) };
    match name {
        "line-ends" => line_ends::fix(&listing),
        "trailing-blanks" => trailing::fix(&listing),
        "final-newline" => newline::fix(&listing),
        "exec-bits" => exec_bits::fix(&listing),
        "conflict-markers" => Ok(conflicts::find(&listing)),
        _ => links::check(&listing, true),
    }
}

/// Runs an audit on a folder. Changes nothing.
///
/// A name that is not in [`AUDITS`] is an error of kind `InvalidInput`. The findings come most severe first.
pub fn audit(name: &str, root: &Path) -> io::Result<Vec<Finding>> {
    let known = AUDITS.iter().any(|(known, _)| *known == name);
    let listing = if known { Listing::load(root)? } else { return Err(unknown("audit", name, AUDITS)) };
    let mut findings = match name {
        "churn" => history::churn(&listing),
        "todo-ages" => history::todo_ages(&listing),
        "large-files" => sizes::large(&listing),
        "duplicate-files" => sizes::duplicates(&listing),
        "dependencies" => dependencies::find(&listing),
        "missing-tests" => untested::find(&listing),
        "secrets" => secrets::find(&listing),
        "dead-links" => links::check(&listing, false)?,
        _ => conflicts::find(&listing),
    };
    // Stable, so that within a severity each audit's own order stays.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

fn unknown(what: &str, name: &str, known: &[(&str, &str)]) -> io::Error {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let message = format!("there is no {what} `{name}`; there are {}", names.join(", "));
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// What looks like a secret in a text and was in none of the texts before. In tests and documents only what has the exact
/// shape of one.
pub fn secrets_added(path: &str, before: &[&str], after: &str) -> Vec<Finding> {
    secrets::added(path, before, after)
}

/// Whether a path is one of tests, examples or documents.
pub fn is_sample(path: &str) -> bool {
    secrets::is_sample(path)
}

/// Whether a path is one of tests, or in a folder of examples or documents.
pub fn is_test(path: &str) -> bool {
    secrets::is_test(path)
}

/// A source text with its comments blanked, and its strings but for a mark where each begins; `None` where nobody here
/// can tell which they are.
pub fn without_strings(path: &str, text: &str) -> Option<String> {
    let style = lexer::style_of(path).filter(|style| style.sure)?;
    let scan = lexer::scan(text, &style);
    let mut bytes = text.as_bytes().to_vec();
    for (kind, start, end) in &scan.regions {
        bytes[*start..*end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        if *kind == lexer::Kind::Text && start < end {
            bytes[*start] = b'"';
        }
    }
    // Regions begin and end where characters do.
    String::from_utf8(bytes).ok().filter(|_| scan.complete)
}

/// Writes findings as JSON lines, `{"finding":{…}}`.
pub fn print(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        finding: &'a Finding,
    }
    for finding in findings {
        serde_json::to_writer(&mut *out, &Line { finding })?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The line number, from 1, of a byte offset.
fn line_at(text: &str, offset: usize) -> u64 {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() as u64 + 1
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_runs_on_an_empty_folder() {
        let folder = testing::Folder::plain(&[]);
        for (name, _) in FIXES {
            assert_eq!(fix(name, folder.path()).unwrap(), [], "{name}");
        }
        for (name, _) in AUDITS {
            assert_eq!(audit(name, folder.path()).unwrap(), [], "{name}");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let error = fix("x", Path::new(".")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("line-ends"));
        assert!(audit("exec-bits", Path::new(".")).unwrap_err().to_string().contains("secrets"));
    }

    #[test]
    fn findings_are_printed_as_json_lines() {
        let mut out = Vec::new();
        print(&[Finding::new("k", "a b", Some(3), Severity::High, "m")], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"finding\":{\"kind\":\"k\",\"path\":\"a b\",\"line\":3,\"severity\":\"high\",\"message\":\"m\",\"fixed\":false}}\n"
        );
    }
}
