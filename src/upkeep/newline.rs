//! Ends source files with a newline. Only languages are touched in which it can mean nothing.

use std::io;

use super::{
    Finding,
    editorconfig::EditorConfig,
    lexer,
    listing::{Listing, extension, says_generated},
};

pub(super) fn fix(listing: &Listing) -> io::Result<Vec<Finding>> {
    let mut lacking: Vec<(&str, String)> = Vec::new();
    for path in listing.ours().filter(|path| is_safe(path)) {
        if let Some(text) = listing.text(path)
            && !text.is_empty()
            && !text.ends_with(['\n', '\r'])
            && !says_generated(&text)
            && !is_one_line_of_data(path, &text)
        {
            lacking.push((path, text));
        }
    }
    let paths: Vec<&str> = lacking.iter().map(|(path, _)| *path).collect();
    let attributes = listing.attributes(&paths);
    let config = EditorConfig::load(listing);
    let mut findings = Vec::new();
    for (path, mut text) in lacking {
        let excluded = attributes.get(path).is_some_and(|a| a.not_text || a.not_ours || a.any_whitespace);
        if excluded || config.of(path).insert_final_newline == Some(false) {
            continue;
        }
        let line = text.lines().count() as u64;
        text.push_str(if text.contains("\r\n") { "\r\n" } else { "\n" });
        listing.replace(path, &text)?;
        findings.push(Finding::fixed("final-newline", path, Some(line), "the last line had no newline"));
    }
    Ok(findings)
}

fn is_safe(path: &str) -> bool {
    // PHP prints what follows its closing mark, newline included.
    let known = lexer::style_of(path).is_some() && extension(path) != "php";
    known || matches!(extension(path).as_str(), "md" | "markdown" | "rst")
}

/// A minified or data file that has no lines at all is as some program wrote it.
fn is_one_line_of_data(path: &str, text: &str) -> bool {
    let long = text.lines().any(|line| line.len() > 1000);
    long || (extension(path) == "json" && !text.contains('\n'))
}

#[cfg(test)]
mod tests {
    use crate::upkeep::{fix, testing::Folder};

    #[test]
    fn source_files_get_a_newline_of_their_kind() {
        let folder = Folder::git(&[
            (".editorconfig", "[keep.*]\ninsert_final_newline = false\n"),
            ("a.rs", "fn a() {}"),
            ("b.py", "x\r\ny"),
            ("c.md", "x"),
            ("ok.rs", "x\n"),
            ("empty.rs", ""),
            ("keep.rs", "x"),
            ("VERSION", "1.0"),
            ("a.txt", "x"),
            ("p.php", "<?php ?>"),
            ("d.json", "{}"),
            ("testdata/a.rs", "x"),
        ]);
        let found = fix("final-newline", folder.path()).unwrap();
        assert_eq!(found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a.rs", "b.py", "c.md"]);
        assert!(found.iter().all(|f| f.fixed));
        assert_eq!(folder.read("a.rs"), "fn a() {}\n");
        assert_eq!(folder.read("b.py"), "x\r\ny\r\n");
        assert_eq!(folder.read("keep.rs"), "x");
    }
}
