//! Gives files with mixed line ends one kind. Files that are consistent, whichever way, are not touched.

use std::{collections::HashMap, io};

use super::{
    Finding,
    editorconfig::EditorConfig,
    listing::{Attributes, Listing, extension, says_generated},
};

pub(super) fn fix(listing: &Listing) -> io::Result<Vec<Finding>> {
    let mut mixed: Vec<(&str, String)> = Vec::new();
    for path in listing.ours().filter(|path| !is_exact(path)) {
        if let Some(text) = listing.text(path) {
            let (crlf, lf) = count(&text);
            if crlf > 0 && lf > 0 && !says_generated(&text) {
                mixed.push((path, text));
            }
        }
    }
    let paths: Vec<&str> = mixed.iter().map(|(path, _)| *path).collect();
    let attributes: HashMap<String, Attributes> = listing.attributes(&paths);
    let config = EditorConfig::load(listing);
    let mut findings = Vec::new();
    for (path, text) in mixed {
        let attributes = attributes.get(path).cloned().unwrap_or_default();
        if attributes.not_text || attributes.not_ours {
            continue;
        }
        let (crlf, lf) = count(&text);
        let wanted = attributes.eol.or(config.of(path).end_of_line);
        // The programs that read batch files stumble over LF alone.
        let batch = matches!(extension(path).as_str(), "bat" | "cmd");
        let to_crlf = wanted.as_deref().map_or(batch || crlf > lf, |wanted| wanted == "crlf");
        let plain = text.replace("\r\n", "\n");
        listing.replace(path, &if to_crlf { plain.replace('\n', "\r\n") } else { plain })?;
        let kind = if to_crlf { "CRLF" } else { "LF" };
        let message = format!("{crlf} lines ended with CRLF and {lf} with LF; now all end with {kind}");
        findings.push(Finding::fixed("line-ends", path, None, message));
    }
    Ok(findings)
}

/// Lines ended by CRLF and by LF alone.
fn count(text: &str) -> (usize, usize) {
    let bytes = text.as_bytes();
    let mut counts = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            match at > 0 && bytes[at - 1] == b'\r' {
                true => counts.0 += 1,
                false => counts.1 += 1,
            }
        }
    }
    counts
}

/// Formats in which a line end inside a record or message is content.
fn is_exact(path: &str) -> bool {
    matches!(
        extension(path).as_str(),
        "csv"
            | "tsv"
            | "eml"
            | "mbox"
            | "http"
            | "po"
            | "pem"
            | "crt"
            | "ics"
            | "vcf"
            | "ipynb"
            | "txt"
            | "log"
            | "dat"
    )
}

#[cfg(test)]
mod tests {
    use crate::upkeep::{fix, testing::Folder};

    #[test]
    fn mixed_files_take_the_majority_or_what_is_configured() {
        let folder = Folder::git(&[
            (".gitattributes", "*.bat text eol=crlf\n*.bin.c -text\n"),
            (".editorconfig", "[*.py]\nend_of_line = crlf\n"),
            ("mostly_lf.rs", "a\nb\r\nc\n"),
            ("mostly_crlf.rs", "a\r\nb\r\nc\n"),
            ("tie.rs", "a\r\nb\n"),
            ("y.cmd", "a\nb\nc\r\n"),
            ("x.py", "a\nb\nc\r\n"),
            ("all_crlf.rs", "a\r\nb\r\n"),
            ("x.bin.c", "a\nb\r\n"),
            ("data.csv", "a\nb\r\n"),
            ("fixtures/x.rs", "a\nb\r\n"),
            ("gen.rs", "// @generated\nb\r\n"),
        ]);
        folder.write("x.bat", "a\nb\nc\r\n");
        let mut paths: Vec<String> = fix("line-ends", folder.path()).unwrap().into_iter().map(|f| f.path).collect();
        paths.sort();
        assert_eq!(paths, ["mostly_crlf.rs", "mostly_lf.rs", "tie.rs", "x.bat", "x.py", "y.cmd"]);
        assert_eq!(folder.read("mostly_lf.rs"), "a\nb\nc\n");
        assert_eq!(folder.read("mostly_crlf.rs"), "a\r\nb\r\nc\r\n");
        assert_eq!(folder.read("tie.rs"), "a\nb\n");
        assert_eq!(folder.read("x.bat"), "a\r\nb\r\nc\r\n");
        assert_eq!(folder.read("y.cmd"), "a\r\nb\r\nc\r\n");
        assert_eq!(folder.read("x.py"), "a\r\nb\r\nc\r\n");
        assert_eq!(folder.read("all_crlf.rs"), "a\r\nb\r\n");
        assert_eq!(folder.read("x.bin.c"), "a\nb\r\n");
        assert_eq!(fix("line-ends", folder.path()).unwrap(), [], "a second time there is nothing to do");
    }
}
