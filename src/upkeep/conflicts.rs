//! Finds conflict markers left behind. They are never removed: which side is right is for a person.

use super::{
    Finding, Severity, lexer,
    listing::{Listing, extension},
};

const START: &str = "<<<<<<< ";
const MIDDLE: &str = "=======";
const END: &str = ">>>>>>> ";

pub(super) fn find(listing: &Listing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in listing.ours() {
        let Some(text) = listing.text(path).filter(|text| text.contains(START) && text.contains(END)) else { continue };
        for line in conflicts(path, &text) {
            let message = "a conflict marker was left behind; choose a side and remove the markers";
            findings.push(Finding::new("conflict-markers", path, Some(line), Severity::High, message));
        }
    }
    findings
}

/// Lines on which a whole conflict starts: its three marks in order, each at a line's start, none in a string, and in
/// Markdown none in a code block.
fn conflicts(path: &str, text: &str) -> Vec<u64> {
    let scan = lexer::style_of(path).map(|style| lexer::scan(text, &style)).filter(|scan| scan.complete);
    let markdown = matches!(extension(path).as_str(), "md" | "markdown" | "rst" | "adoc");
    let mut found = Vec::new();
    let mut start: Option<u64> = None;
    let mut middle = false;
    let mut fenced = false;
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let at = offset;
        offset += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        if markdown && line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        // An apostrophe in one side may open a "string" that hides the next mark, so only the first one is asked.
        let in_string = scan.as_ref().is_some_and(|scan| scan.at(at) == Some(lexer::Kind::Text));
        if line.starts_with(START) && !in_string && !fenced {
            start = Some(number as u64 + 1);
            middle = false;
        } else if line == MIDDLE && start.is_some() {
            middle = true;
        } else if line.starts_with(END) && middle {
            found.extend(start.take());
            middle = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::{audit, fix, testing::Folder};

    const CONFLICT: &str = "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> topic\n";

    #[test]
    fn whole_conflicts_are_found_and_left() {
        let text = format!("a = 0\n{CONFLICT}b = 0\n{CONFLICT}");
        let folder = Folder::git(&[
            ("a.py", &text),
            ("README", CONFLICT),
            ("tests/fixtures/a.py", CONFLICT),
            ("x.patch", CONFLICT),
        ]);
        let found = audit("conflict-markers", folder.path()).unwrap();
        let places: Vec<(&str, Option<u64>)> = found.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(places, [("README", Some(1)), ("a.py", Some(2)), ("a.py", Some(8))]);
        assert!(fix("conflict-markers", folder.path()).unwrap().iter().all(|f| !f.fixed));
        assert_eq!(folder.read("a.py"), text);
    }

    #[test]
    fn talk_about_conflicts_is_none() {
        assert!(conflicts("a.py", &format!("T = '''\n{CONFLICT}'''\n")).is_empty());
        assert!(conflicts("a.rs", &format!("let t = r\"\n{CONFLICT}\";\n")).is_empty());
        assert!(conflicts("a.md", &format!("```\n{CONFLICT}```\n")).is_empty());
        assert!(conflicts("a.rst", "Title\n=======\n\n>>>>>>> x\n").is_empty());
        assert!(conflicts("a.c", "<<<<<<< a\n>>>>>>> b\n").is_empty());
    }
}
