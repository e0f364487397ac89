//! Links in Markdown that lead nowhere: relative paths and anchors. The network is never asked.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::LazyLock,
};

use regex::Regex;

use super::{
    Finding, Severity, line_at,
    listing::{Listing, extension, is_foreign},
};

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    // [text](target "title"), with one level of brackets in the text; or [label]: target
    Regex::new(r#"(?m)\[(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*\]\(\s*(<[^<>\n]*>|[^\s()<>]+(?:\([^\s()]*\)[^\s()<>]*)*)(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)|^ {0,3}\[[^\[\]\n^][^\[\]\n]*\]:[ \t]+(<[^<>\n]*>|[^\s<>]+)"#)
        .expect("the pattern is fixed")
});
static ANCHOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?:id|name)\s*=\s*["']([^"']+)["']|\{#([A-Za-z0-9_.:-]+)\}"#).expect("the pattern is fixed")
});

static HTML_HEADING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?is)<h[1-6]\b[^>]*>(.*?)</h[1-6]>").expect("the pattern is fixed"));

/// Finds dead links; with `mend` corrects those whose only fault is the case of letters.
pub(super) fn check(listing: &Listing, mend: bool) -> io::Result<Vec<Finding>> {
    let documents: Vec<&str> =
        listing.files.iter().map(String::as_str).filter(|path| is_markdown(path) && !is_foreign(path)).collect();
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let mut checker =
        Checker { listing, known: known_paths(listing), by_folded: folded(listing), anchors: HashMap::new() };
    let mut findings = Vec::new();
    for path in documents {
        let Some(text) = listing.text(path) else { continue };
        let visible = without_code(&text);
        let mut corrections: Vec<(usize, usize, String)> = Vec::new();
        for captures in LINK.captures_iter(&visible) {
            let Some(target) = captures.get(1).or(captures.get(2)) else { continue };
            let (start, end) = match target.as_str().starts_with('<') {
                true => (target.start() + 1, target.end() - 1),
                false => (target.start(), target.end()),
            };
            let Some(fault) = checker.fault(path, &text, &visible[start..end]) else { continue };
            let line = Some(line_at(&text, start));
            match fault.correction.filter(|_| mend) {
                Some(correction) => {
                    let message = format!("{}; now `{correction}`", fault.message);
                    findings.push(Finding::fixed("dead-links", path, line, message));
                    corrections.push((start, end, correction));
                }
                None => findings.push(Finding::new("dead-links", path, line, fault.severity, fault.message)),
            }
        }
        if !corrections.is_empty() {
            let mut mended = text.clone();
            for (start, end, correction) in corrections.into_iter().rev() {
                mended.replace_range(start..end, &correction);
            }
            listing.replace(path, &mended)?;
        }
    }
    Ok(findings)
}

struct Fault {
    severity: Severity,
    message: String,
    correction: Option<String>,
}

struct Checker<'a> {
    listing: &'a Listing,
    /// Files and folders.
    known: BTreeSet<String>,
    /// The same in lower case, to what is really there.
    by_folded: HashMap<String, Vec<String>>,
    anchors: HashMap<String, Option<BTreeSet<String>>>,
}

impl Checker<'_> {
    /// What is wrong with a link, if it is one we can judge and something is.
    fn fault(&mut self, document: &str, text: &str, target: &str) -> Option<Fault> {
        let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        if !is_judgeable(target, path) {
            return None;
        }
        let path = percent_decoded(path.split('?').next().unwrap_or(path));
        if path.is_empty() {
            return self.missing_anchor(document, text, anchor?, target);
        }
        let resolved = resolve(document, &path)?;
        if let Some(found) = self.exists(&resolved) {
            let anchor = anchor.filter(|anchor| !anchor.is_empty())?;
            if !is_markdown(&found) {
                return None;
            }
            let there = self.listing.text(&found)?;
            return self.missing_anchor(&found, &there, anchor, target);
        }
        let correction = self.other_case(&resolved).and_then(|real| respelled(target, &path, &resolved, &real));
        let message = format!("`{target}` leads nowhere");
        Some(Fault { severity: Severity::Medium, message, correction })
    }

    /// The file or folder a path means, also where a site generator leaves the extension off.
    fn exists(&self, path: &str) -> Option<String> {
        if path.is_empty() || self.known.contains(path) {
            return Some(path.to_string());
        }
        let stem = path.strip_suffix(".html").unwrap_or(path);
        let spellings = [".md", ".mdx", ".markdown", "/index.md", "/README.md", "/_index.md", ".rst", ".ipynb"];
        let spelled =
            spellings.into_iter().map(|ending| format!("{stem}{ending}")).find(|path| self.known.contains(path));
        // Built or ignored files are there all the same.
        spelled.or_else(|| self.listing.root.join(path).symlink_metadata().ok().map(|_| path.to_string()))
    }

    /// The one path that differs in case only.
    fn other_case(&self, path: &str) -> Option<String> {
        match self.by_folded.get(&path.to_lowercase()).map(Vec::as_slice) {
            Some([one]) => Some(one.clone()),
            _ => None,
        }
    }

    fn missing_anchor(&mut self, path: &str, text: &str, anchor: &str, target: &str) -> Option<Fault> {
        let anchors = self.anchors.entry(path.to_string()).or_insert_with(|| anchors(text)).as_ref()?;
        let wanted = percent_decoded(anchor).to_lowercase();
        // A line of source (`#L10`), text to highlight, and the top of the page always lead somewhere.
        let special = wanted.is_empty() || wanted == "top" || wanted.starts_with(":~:") || is_line(&wanted);
        if special || anchors.contains(&wanted) || anchors.contains(wanted.trim_start_matches("user-content-")) {
            return None;
        }
        let message = format!("`{target}`: {path} has no heading for `#{anchor}`");
        Some(Fault { severity: Severity::Low, message, correction: None })
    }
}

fn is_line(anchor: &str) -> bool {
    anchor.strip_prefix('l').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_markdown(path: &str) -> bool {
    matches!(extension(path).as_str(), "md" | "markdown")
}

/// Only plain relative links; a leading slash means different roots to different sites, and templates are no paths.
fn is_judgeable(target: &str, path: &str) -> bool {
    let scheme = target.find(':').is_some_and(|colon| !target[..colon].contains(['/', '#']));
    let rust_path = target.contains("::");
    let hosted = ["/blob/", "/tree/", "/issues", "/pull", "/releases", "/wiki", "/actions", "/discussions"];
    let template = target.contains(['{', '}', '$', '*', '|', '\\', '@']);
    let on_host = path.starts_with("../") && hosted.iter().any(|part| path.contains(part));
    !(scheme || rust_path || target.starts_with('/') || template || on_host || is_prose(path))
}

/// Rustdoc and wiki links name things, not files: no dot, no slash, a capital letter.
fn is_prose(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['/', '.'])
        && (path.contains(char::is_uppercase) || path.contains(['(', '!', ',', '…']))
}

/// A path from the folder's root, or `None` where it leaves the folder.
fn resolve(document: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The target with the part that has the wrong case replaced, if that is all there is to it.
fn respelled(target: &str, path: &str, resolved: &str, real: &str) -> Option<String> {
    // Only where the written path ends as the resolved one does, letter for letter, is the rewrite mechanical.
    let plain = path.trim_start_matches("./").trim_end_matches('/');
    let tail = plain.rsplit_once("../").map_or(plain, |(_, tail)| tail);
    let (start, changed) = (resolved.len().checked_sub(tail.len())?, real.len() == resolved.len());
    if !changed || !resolved.ends_with(tail) || !target.contains(tail) || resolved.get(..start)? != real.get(..start)? {
        return None;
    }
    Some(target.replacen(tail, &real[start..], 1))
}

fn known_paths(listing: &Listing) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for file in &listing.files {
        if listing.root.join(file).symlink_metadata().is_err() {
            continue;
        }
        let mut path = file.as_str();
        while known.insert(path.to_string()) {
            match path.rsplit_once('/') {
                Some((folder, _)) => path = folder,
                None => break,
            }
        }
    }
    known
}

fn folded(listing: &Listing) -> HashMap<String, Vec<String>> {
    let mut folded: HashMap<String, Vec<String>> = HashMap::new();
    for path in known_paths(listing) {
        folded.entry(path.to_lowercase()).or_default().push(path);
    }
    folded
}

/// Blanks out code and comments, byte for byte, so that offsets stay.
fn without_code(text: &str) -> String {
    static INLINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"``[^\n]+?``|`[^`\n]+`|(?s)<!--.*?-->").expect("the pattern is fixed"));
    let mut out = String::with_capacity(text.len());
    let mut fence = Fence::default();
    for line in text.split_inclusive('\n') {
        if fence.holds(line) { out.extend(blank(line)) } else { out.push_str(line) }
    }
    let mut visible = out.clone();
    for found in INLINE.find_iter(&out) {
        visible.replace_range(found.range(), &blank(found.as_str()).collect::<String>());
    }
    visible
}

/// Whether lines, given one after another, are code between fences.
///
/// A fence ends with as many of its own marks as began it, or more, and nothing after them: a README shows fenced blocks
/// inside of longer fences, and whoever takes each mark for a turn loses every heading that follows.
#[derive(Default)]
struct Fence {
    /// The mark of the open one, and how many began it.
    open: Option<(char, usize)>,
}

impl Fence {
    /// Takes the next line; whether it is code, the fence's own lines included.
    fn holds(&mut self, line: &str) -> bool {
        let start = line.trim();
        let mark = start.chars().next().filter(|mark| matches!(mark, '`' | '~'));
        let count = mark.map_or(0, |mark| start.chars().take_while(|c| *c == mark).count());
        let rest = &start[count..];
        match (self.open, mark.filter(|_| count >= 3)) {
            // A line with a backquote after its marks is a word in code.
            (None, Some('`')) if rest.contains('`') => false,
            (None, Some(mark)) => {
                self.open = Some((mark, count));
                true
            }
            (Some((open, least)), Some(mark)) if open == mark && count >= least && rest.is_empty() => {
                self.open = None;
                true
            }
            (Some(_), _) => true,
            (None, None) => false,
        }
    }
}

fn blank(text: &str) -> impl Iterator<Item = char> {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' })
}

/// The anchors of a document as GitHub makes them; `None` where a generator's own rules are likely at work.
fn anchors(text: &str) -> Option<BTreeSet<String>> {
    let mut anchors = BTreeSet::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut fence = Fence::default();
    let mut before = "";
    for line in text.lines() {
        if fence.holds(line) {
            continue;
        }
        // An include or a macro brings headings that are not in this text.
        if line.contains("{{#include") || line.contains("{%") || line.contains("--8<--") {
            return None;
        }
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let underline = line.len() >= 2 && (line.bytes().all(|b| b == b'=') || line.bytes().all(|b| b == b'-'));
        let heading = if (1..=6).contains(&level) && line[level..].starts_with([' ', '\t']) {
            line[level..].trim().trim_end_matches('#').trim_end()
        } else if underline && !before.trim().is_empty() {
            before.trim()
        } else {
            before = line;
            continue;
        };
        before = "";
        let slug = slug(heading);
        let count = counts.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug.clone() } else { format!("{slug}-{count}") });
        *count += 1;
    }
    // A title that is centred is written as HTML, and is a heading all the same.
    anchors.extend(HTML_HEADING.captures_iter(text).map(|captures| slug(&captures[1])));
    for captures in ANCHOR.captures_iter(text) {
        let anchor = captures.get(1).or(captures.get(2)).map_or("", |found| found.as_str());
        anchors.insert(anchor.to_lowercase());
    }
    Some(anchors)
}

fn slug(heading: &str) -> String {
    static LINKED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]*>").expect("the pattern is fixed"));
    let plain = LINKED.replace_all(heading, "$1");
    let kept = plain.to_lowercase();
    kept.trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_string())
}

#[cfg(test)]
mod tests {
    use crate::upkeep::{Severity, audit, fix, testing::Folder};

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let folder = Folder::git(files);
        audit("dead-links", folder.path())
            .unwrap()
            .into_iter()
            .map(|f| format!("{}:{} {}", f.path, f.line.unwrap(), f.message))
            .collect()
    }

    #[test]
    fn dead_paths_and_anchors_are_found() {
        let text = "# Top\n[a](gone.md) ![b](img/x.png)\n[c](#nowhere)\n[d](b.md#no)\n\n[ref]: gone2.md\n";
        assert_eq!(
            dead(&[("docs/a.md", text), ("docs/b.md", "# Yes\n")]),
            [
                "docs/a.md:2 `gone.md` leads nowhere",
                "docs/a.md:2 `img/x.png` leads nowhere",
                "docs/a.md:6 `gone2.md` leads nowhere",
                "docs/a.md:3 `#nowhere`: docs/a.md has no heading for `#nowhere`",
                "docs/a.md:4 `b.md#no`: docs/b.md has no heading for `#no`",
            ]
        );
    }

    #[test]
    fn live_and_unknowable_links_are_not() {
        let text = "# It's *really* `so`: a-b_c\n## Twice\n## Twice\nSetext\n------\n<a name=\"Own\"></a>\n\
            [1](#its-really-so-a-b_c) [2](#twice-1) [3](#setext) [4](#own) [5](../src/main.rs#L10) [6](../src/) [7](b%20c.md)\n\
            [8](https://x/y.md) [9](mailto:a@b) [10](/abs) [11](../../issues) [12](../blob/main/x) [13](guide) [14]({{x}}/y.md)\n\
            `[15](code.md)`\n```\n[16](fence.md)\n```\n<!-- [17](comment.md) -->\n[18](<b c.md>) [19](b%20c.md \"title\")\n\
            [`Vec`](Vec) [20](std::vec::Vec) [21](page.html) [^note]: gone.md\n[x]: ../src/main.rs 'title'\n";
        let files = [
            ("docs/a.md", text),
            ("src/main.rs", ""),
            ("docs/b c.md", ""),
            ("docs/guide/index.md", ""),
            ("docs/page.md", ""),
            ("vendor/v.md", "[x](gone)"),
        ];
        assert_eq!(dead(&files), Vec::<String>::new());
    }

    #[test]
    fn a_fence_ends_where_its_own_marks_are() {
        let shown = "````md\n```sh\nls\n````\n# One\n~~~\n```\n~~~\n# Two\n```\n```sh\n[x](gone.md)\n```\n\
            ```in `a` line```\n# Three\n[1](#one) [2](#two) [3](#three) [4](gone.md)\n";
        assert_eq!(dead(&[("a.md", shown)]), ["a.md:16 `gone.md` leads nowhere"]);
        let title = "<h1 align=center><code>just</code></h1>\n\n[top](#just)\n";
        assert_eq!(dead(&[("a.md", title)]), Vec::<String>::new());
    }

    #[test]
    fn only_the_case_is_corrected_and_only_if_there_is_one_target() {
        let text = "[a](Guide/SETUP.md#x) [b](gone.md) [c](./readme.md)\n";
        let folder = Folder::git(&[("a.md", text), ("guide/setup.md", "# X\n"), ("README.md", "")]);
        let found = fix("dead-links", folder.path()).unwrap();
        assert_eq!(folder.read("a.md"), "[a](guide/setup.md#x) [b](gone.md) [c](./README.md)\n");
        assert_eq!(found.iter().map(|f| f.fixed).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(found[1].severity, Severity::Medium);
        let unclear = Folder::git(&[("a.md", "[a](x.MD)\n"), ("x.md", ""), ("X.md", "")]);
        assert!(fix("dead-links", unclear.path()).unwrap().iter().all(|f| !f.fixed));
    }
}
