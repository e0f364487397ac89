//! What git's history tells: where the code changes most, and how old its promises are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use regex::Regex;

use super::{
    Finding, Severity, lexer, line_at,
    listing::{Listing, git},
};

/// Most commits read.
const COMMITS_MAX: &str = "--max-count=5000";
/// Hot spots reported.
const HOT_SPOTS_MAX: usize = 20;
/// Files blamed, those that have not changed for longest first; markers elsewhere are told without age.
const BLAMED_FILES_MAX: usize = 60;
/// Markers reported.
const MARKERS_MAX: usize = 500;
const DAY_S: u64 = 86_400;

/// Files by commits of the last year times lines: where a mistake is likeliest.
pub(super) fn churn(listing: &Listing) -> Vec<Finding> {
    let since = "--since=1.year.ago";
    let args = [
        "log",
        since,
        COMMITS_MAX,
        "--no-merges",
        "--no-renames",
        "--relative",
        "--format=%x01%aN",
        "--name-only",
        "--",
        ".",
    ];
    let Some(out) = git(&listing.root, &args, None) else { return Vec::new() };
    let log = String::from_utf8_lossy(&out);
    let mut touched: HashMap<&str, (u64, BTreeSet<&str>)> = HashMap::new();
    let mut author = "";
    for line in log.lines() {
        match line.strip_prefix('\u{1}') {
            Some(name) => author = name,
            None if line.is_empty() => {}
            None => {
                let entry = touched.entry(line).or_default();
                entry.0 += 1;
                entry.1.insert(author);
            }
        }
    }
    let mut spots: Vec<(u64, u64, usize, &str)> = listing
        .ours()
        // What is not program text changes for other reasons.
        .filter(|path| lexer::style_of(path).is_some())
        .filter_map(|path| touched.get(path).map(|(commits, authors)| (path, *commits, authors.len())))
        .filter(|(_, commits, _)| *commits >= 3)
        .filter_map(|(path, commits, authors)| {
            let lines = listing.text(path)?.lines().count() as u64;
            (lines >= 20).then_some((commits, lines, authors, path))
        })
        .collect();
    spots.sort_by(|a, b| (b.0 * b.1).cmp(&(a.0 * a.1)).then(a.3.cmp(b.3)));
    spots.truncate(HOT_SPOTS_MAX);
    spots
        .into_iter()
        .map(|(commits, lines, authors, path)| {
            let severity = match (commits, lines) {
                (30.., 500..) => Severity::Medium,
                (10.., 200..) => Severity::Low,
                _ => Severity::Info,
            };
            let people = if authors == 1 { "1 author".to_string() } else { format!("{authors} authors") };
            let message = format!("{commits} commits by {people} in a year, {lines} lines");
            Finding::new("churn", path, None, severity, message)
        })
        .collect()
}

/// Markers in comments, oldest first.
pub(super) fn todo_ages(listing: &Listing) -> Vec<Finding> {
    let mut marked: Vec<(&str, Vec<Marker>)> = Vec::new();
    for path in listing.ours() {
        let Some(style) = lexer::style_of(path) else { continue };
        let Some(text) = listing.text(path).filter(|text| WORDS.iter().any(|word| text.contains(word))) else {
            continue;
        };
        let markers = markers(&text, &style);
        if !markers.is_empty() {
            marked.push((path, markers));
        }
    }
    // Who was changed last is blamed last. Files that are not in the log read are older than all that are.
    let last = last_changes(listing);
    marked.sort_by_key(|(path, _)| (last.get(*path).copied().unwrap_or(0), *path));
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let mut found: Vec<(u64, Finding)> = Vec::new();
    for (index, (path, markers)) in marked.into_iter().enumerate() {
        let blame =
            if listing.git && index < BLAMED_FILES_MAX { blame(listing, path, &markers) } else { BTreeMap::new() };
        for marker in markers {
            let about = format!("{}: {}", marker.word, marker.text);
            let (age_s, finding) = match blame.get(&marker.line) {
                Some((author, at_s)) => {
                    let age_s = now_s.saturating_sub(*at_s);
                    let severity = match age_s / DAY_S {
                        730.. => Severity::Medium,
                        365.. => Severity::Low,
                        _ => Severity::Info,
                    };
                    let message = format!("{about} ({}, {author})", age(age_s));
                    (age_s, Finding::new("todo-ages", path, Some(marker.line), severity, message))
                }
                None => (0, Finding::new("todo-ages", path, Some(marker.line), Severity::Info, about)),
            };
            found.push((age_s, finding));
        }
    }
    found.sort_by_key(|(age_s, _)| std::cmp::Reverse(*age_s));
    found.into_iter().take(MARKERS_MAX).map(|(_, finding)| finding).collect()
}

const WORDS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// A marker in a comment.
#[derive(Debug, PartialEq)]
struct Marker {
    line: u64,
    word: String,
    text: String,
}

/// A marker is the first word of a comment's line, or is followed by a colon or by a name in brackets; the word alone
/// in the middle of a sentence is talk about markers.
fn markers(text: &str, style: &lexer::Style) -> Vec<Marker> {
    static MARKER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:.*[\s/*#;-])?(?:(TODO|FIXME|XXX|HACK)(?:\([^)\n]*\))?:|(TODO|FIXME|XXX|HACK)\([^)\n]+\))\s*(.*)$|^[\s/*#;!<-]*(TODO|FIXME|XXX|HACK)\b[\s!.-]*(.*)$")
            .expect("the pattern is fixed")
    });
    let scan = lexer::scan(text, style);
    let mut markers = Vec::new();
    for (kind, start, end) in &scan.regions {
        let has_word = || WORDS.iter().any(|word| text[*start..*end].contains(word));
        if *kind != lexer::Kind::Comment || !has_word() {
            continue;
        }
        let first_line = line_at(text, *start);
        for (index, line) in text[*start..*end].lines().enumerate() {
            let Some(captures) = MARKER.captures(line) else { continue };
            let part = |group: usize| captures.get(group).map(|found| found.as_str());
            let word = part(1).or(part(2)).or(part(4)).unwrap_or_default().to_string();
            let rest = part(3).or(part(5)).unwrap_or_default().trim_end_matches("*/").trim();
            // "TODO and FIXME comments: where they are": a sentence that begins with the word is talk, too.
            if part(4).is_some() && names_another(rest) {
                continue;
            }
            let text = rest.chars().take(120).collect();
            markers.push(Marker { line: first_line + index as u64, word, text });
        }
    }
    markers
}

/// Whether a text goes on with another of the words, as one that lists them does.
fn names_another(rest: &str) -> bool {
    let next = ["and ", "or ", "& ", "/", ", ", "| "].iter().find_map(|link| rest.trim_start().strip_prefix(link));
    next.is_some_and(|next| WORDS.iter().any(|word| next.trim_start_matches(['`', '"', '\'', ' ']).starts_with(word)))
}

/// When each file was last changed, seconds since 1970, newest commits first up to the cap.
fn last_changes(listing: &Listing) -> HashMap<String, u64> {
    let args = ["log", COMMITS_MAX, "--no-renames", "--relative", "--format=%x01%ct", "--name-only", "--", "."];
    let out = git(&listing.root, &args, None).unwrap_or_default();
    let mut last = HashMap::new();
    let mut at_s = 0;
    for line in String::from_utf8_lossy(&out).lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix('\u{1}') {
            Some(time) => at_s = time.parse().unwrap_or(0),
            None => {
                last.entry(line.to_string()).or_insert(at_s);
            }
        }
    }
    last
}

/// Author and time of each marker's line.
fn blame(listing: &Listing, path: &str, markers: &[Marker]) -> BTreeMap<u64, (String, u64)> {
    let ranges: Vec<String> = markers.iter().take(100).map(|marker| format!("-L{0},{0}", marker.line)).collect();
    let mut args = vec!["blame", "--porcelain"];
    args.extend(ranges.iter().map(String::as_str));
    args.extend(["--", path]);
    let out = git(&listing.root, &args, None).unwrap_or_default();
    parse_blame(&String::from_utf8_lossy(&out))
}

fn parse_blame(text: &str) -> BTreeMap<u64, (String, u64)> {
    // A commit's author is told with its first line only.
    let mut commits: HashMap<&str, (String, u64)> = HashMap::new();
    let mut lines: Vec<(u64, &str)> = Vec::new();
    let mut commit = "";
    for line in text.lines() {
        if line.starts_with('\t') {
            continue;
        }
        let mut words = line.split(' ');
        let first = words.next().unwrap_or("");
        if first.len() >= 40 && first.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            commit = first;
            lines.extend(words.nth(1).and_then(|number| number.parse().ok()).map(|number| (number, first)));
        } else if let Some(author) = line.strip_prefix("author ") {
            commits.entry(commit).or_default().0 = author.to_string();
        } else if let Some(at_s) = line.strip_prefix("author-time ") {
            commits.entry(commit).or_default().1 = at_s.parse().unwrap_or(0);
        }
    }
    lines
        .into_iter()
        // Lines that are not committed yet have no age.
        .filter(|(_, commit)| !commit.bytes().all(|byte| byte == b'0'))
        .filter_map(|(line, commit)| commits.get(commit).map(|known| (line, known.clone())))
        .collect()
}

fn age(age_s: u64) -> String {
    let days = age_s / DAY_S;
    match days {
        0 => "today".into(),
        1 => "1 day old".into(),
        2..=59 => format!("{days} days old"),
        60..=729 => format!("{} months old", days / 30),
        _ => format!("{} years old", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::{audit, testing::Folder};

    fn words(path: &str, text: &str) -> Vec<String> {
        markers(text, &lexer::style_of(path).unwrap())
            .into_iter()
            .map(|m| format!("{} {} {}", m.line, m.word, m.text))
            .collect()
    }

    #[test]
    fn markers_in_comments() {
        let text =
            "// TODO: one\nlet a = 1; // FIXME(ada): two\n/* x\n * XXX three */\n/// note HACK: four\n// - TODO five\n";
        assert_eq!(words("a.rs", text), ["1 TODO one", "2 FIXME two", "4 XXX three", "5 HACK four", "6 TODO five"]);
        assert_eq!(words("a.py", "x = 1  # TODO fix\n"), ["1 TODO fix"]);
    }

    #[test]
    fn talk_and_strings_are_no_markers() {
        let text = "// finds every TODO in comments\nlet s = \"// TODO: x\";\n// TODOS are bad\n// the (TODO|FIXME) words\nlet TODO = 1;\n\
            //! TODO and FIXME comments: where one is\n// FIXME/XXX are the same to it\n";
        assert_eq!(words("a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn ages_come_from_blame() {
        let folder = Folder::git(&[("a.rs", "// TODO: old\n"), ("vendor/b.rs", "// TODO: not ours\n")]);
        folder.write("a.rs", "// TODO: old\n// TODO: new\n");
        let found = audit("todo-ages", folder.path()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(
            found[0].message.starts_with("TODO: old (") && found[0].message.ends_with("years old, Ada)"),
            "{found:?}"
        );
        assert_eq!((found[0].severity, found[0].line), (Severity::Medium, Some(1)));
        assert_eq!((found[1].message.as_str(), found[1].severity), ("TODO: new", Severity::Info));
    }

    #[test]
    fn hot_spots_are_the_files_that_change_and_are_large() {
        let folder = Folder::git(&[("hot.rs", ""), ("calm.rs", &"x\n".repeat(100)), ("notes.md", "")]);
        // In the window of a year whenever the test runs.
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        for round in 1..=4u64 {
            folder.write("hot.rs", &format!("x{round}\n").repeat(50));
            folder.write("notes.md", &format!("{round}\n").repeat(50));
            folder.commit(&format!("{} +0000", now_s - round * 1000));
        }
        let found = audit("churn", folder.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].path.as_str(), found[0].message.as_str()),
            ("hot.rs", "4 commits by 1 author in a year, 50 lines")
        );
    }

    #[test]
    fn without_history_there_is_nothing_to_say_about_churn() {
        let folder = Folder::plain(&[("a.rs", "// TODO: x\n")]);
        assert!(audit("churn", folder.path()).unwrap().is_empty());
        assert_eq!(audit("todo-ages", folder.path()).unwrap()[0].message, "TODO: x");
    }

    #[test]
    fn ages_in_words() {
        assert_eq!(
            [0, 1, 30, 90, 800].map(|days| age(days * DAY_S)),
            ["today", "1 day old", "30 days old", "3 months old", "2 years old"]
        );
    }
}
