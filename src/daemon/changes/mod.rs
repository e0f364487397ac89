//! What a change does that a person has a word in: secrets it brings in, protections it weakens, exports it takes away
//! or alters. Reads texts, decides nothing: what is asked is `core/decide/change`.

mod exports;
mod guards;

use std::collections::BTreeMap;

use super::{facts, lanes::Texts};
use crate::{
    core::decide::change::{Broken, Noticed, Remark},
    upkeep,
};
use exports::{Export, Known, Language, Offer};

/// Most things of one kind that are kept of a change.
const KEPT_MAX: usize = 50;

/// What there is to notice in a change; exports are compared only where that is wanted.
pub fn noticed(texts: &[Texts], compare: bool) -> Option<Noticed> {
    let before: Vec<&str> = texts.iter().filter_map(|file| file.before.as_deref()).collect();
    let mut noticed = Noticed::default();
    for file in texts {
        let there = file.before.is_some();
        if let Some(after) = &file.after {
            noticed.security.extend(upkeep::secrets_added(&file.path, &before, after).into_iter().map(|finding| {
                Remark {
                    path: finding.path,
                    line: finding.line.map(|line| line as u32),
                    there,
                    what: capitalised(&finding.message),
                }
            }));
        }
        noticed.security.extend(guards::weakened(file));
    }
    if compare {
        exported(texts, &mut noticed);
    }
    noticed.security.truncate(KEPT_MAX);
    noticed.broken.truncate(KEPT_MAX);
    noticed.unread.truncate(KEPT_MAX);
    (noticed != Noticed::default()).then_some(noticed)
}

fn capitalised(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// One file's offer before and after.
struct Pair<'a> {
    path: &'a str,
    language: Language,
    before: Offer,
    after: Offer,
}

/// What is offered before and not after.
fn exported(texts: &[Texts], noticed: &mut Noticed) {
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for file in texts {
        // What was not there has nobody who built on it; but what moved into it counts.
        let there = file.before.is_some() || file.unread;
        let language = match exports::language(&file.path, facts::language(&file.path)) {
            Known::Nothing => continue,
            Known::No(_) if !there => continue,
            Known::No(language) => {
                let what = format!("nobody here can compare what {language} offers to others");
                noticed.unread.push(Remark { path: file.path.clone(), line: None, there: true, what });
                continue;
            }
            Known::Yes(language) => language,
        };
        let read = |text: &Option<String>| match text {
            Some(text) => exports::of(language, &file.path, text),
            None => Some(Offer::default()),
        };
        match (read(&file.before), read(&file.after)) {
            (Some(before), Some(after)) if !file.unread => {
                pairs.push(Pair { path: &file.path, language, before, after });
            }
            _ if there => {
                let what = "it could not be read: too long, no text, or a form that is not known here".to_owned();
                noticed.unread.push(Remark { path: file.path.clone(), line: None, there: true, what });
            }
            _ => {}
        }
    }
    // A Go package is its folder: which file a name stands in is nobody's business.
    let mut packages: BTreeMap<&str, Vec<&Export>> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.language == Language::Go) {
        packages.entry(folder(pair.path)).or_default().extend(&pair.after.exports);
    }
    let none = Vec::new();
    for pair in &pairs {
        let package = match pair.language {
            Language::Go => packages.get(folder(pair.path)).unwrap_or(&none),
            _ => &none,
        };
        let here = || pair.after.exports.iter().chain(package.iter().copied());
        for export in &pair.before.exports {
            let same_name: Vec<&Export> = here().filter(|other| other.name == export.name).collect();
            if same_name.iter().any(|other| exports::compatible(export, other))
                || pair.after.also.contains(&export.name)
            {
                continue;
            }
            let elsewhere = pairs.iter().filter(|other| !std::ptr::eq(*other, pair)).find(|other| {
                let offers = |offer: &Offer| {
                    offer.exports.iter().any(|found| found.name == export.name && exports::compatible(export, found))
                };
                offers(&other.after) && !offers(&other.before)
            });
            if elsewhere.is_some() && pair.after.everything {
                continue;
            }
            let after = match (same_name.first(), elsewhere) {
                (Some(found), _) => Some(format!("`{}`", found.shown)),
                (None, Some(other)) => Some(format!("in `{}`", other.path)),
                (None, None) => None,
            };
            noticed.broken.push(Broken {
                path: pair.path.to_owned(),
                line: export.line,
                name: export.name.clone(),
                before: export.shown.clone(),
                after,
            });
        }
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, before: Option<&str>, after: Option<&str>) -> Texts {
        Texts { path: path.into(), before: before.map(str::to_owned), after: after.map(str::to_owned), unread: false }
    }

    fn broken(texts: &[Texts]) -> Vec<String> {
        let noticed = noticed(texts, true).unwrap_or_default();
        let mut words: Vec<String> = noticed
            .broken
            .iter()
            .map(|broken| {
                format!("{}:{} {} -> {}", broken.path, broken.line, broken.name, broken.after.as_deref().unwrap_or("-"))
            })
            .collect();
        words.extend(noticed.unread.iter().map(|remark| format!("{} ?", remark.path)));
        words
    }

    #[test]
    fn exports_are_compared_over_the_whole_change() {
        let old = "//! Words.\npub fn keep() {}\npub fn go(x: u8) {}\n";
        let none: [&str; 0] = [];
        assert_eq!(broken(&[file("src/a.rs", Some(old), Some(old))]), none);
        assert_eq!(broken(&[file("src/a.rs", Some(old), Some("pub fn keep() {}\n"))]), ["src/a.rs:3 go -> -"]);
        assert_eq!(
            broken(&[file("src/a.rs", Some(old), Some("pub fn keep() {}\npub fn go(x: u8, y: u8) {}\n"))]),
            ["src/a.rs:3 go -> `pub fn go(x: u8, y: u8)`"]
        );
        // Moved: said where to; passed on: nothing to say.
        let moved = file("src/b.rs", None, Some("pub fn go(x: u8) {}\n"));
        assert_eq!(
            broken(&[file("src/a.rs", Some(old), Some("pub fn keep() {}\n")), moved.clone()]),
            ["src/a.rs:3 go -> in `src/b.rs`"]
        );
        let on = "pub use crate::b::go;\npub fn keep() {}\n";
        assert_eq!(broken(&[file("src/a.rs", Some(old), Some(on)), moved.clone()]), none);
        assert_eq!(
            broken(&[file("src/a.rs", Some(old), Some("pub use crate::b::*;\npub fn keep() {}\n")), moved]),
            none
        );
        // In Go from file to file of a package.
        let (whole, half) = ("package a\nfunc A() {}\nfunc B() {}\n", "package a\nfunc A() {}\n");
        assert_eq!(
            broken(&[file("p/a.go", Some(whole), Some(half)), file("p/b.go", None, Some("package a\nfunc B() {}\n"))]),
            none
        );
        // A file that is gone, and languages that nobody here reads.
        assert_eq!(broken(&[file("src/a.py", Some("def f(): pass\n"), None)]), ["src/a.py:1 f -> -"]);
        assert_eq!(
            broken(&[
                file("A.java", Some("class A {}"), Some("class B {}")),
                file("New.java", None, Some("class New {}")),
                file("README.md", Some("a"), Some("b")),
                file("tests/t.rs", Some(old), Some("")),
            ]),
            ["A.java ?"]
        );
        let long = Texts { path: "src/long.rs".into(), unread: true, ..Texts::default() };
        assert_eq!(broken(&[long]), ["src/long.rs ?"]);
    }

    #[test]
    fn nothing_is_compared_unasked() {
        assert_eq!(noticed(&[file("src/a.rs", Some("pub fn a() {}"), Some(""))], false), None);
    }

    #[test]
    fn secrets_that_a_change_brings_in_are_named_and_not_shown() {
        let key = ["gh", "p_", "q7RzT2mK9vLx4Wp8NbY3sJ6hGd5fCa1eUoQi"].concat();
        let text = format!("import os\nkey = '{key}'\n");
        let found = noticed(&[file("a.py", None, Some(&text))], false).expect("it is noticed");
        assert_eq!((found.security.len(), found.security[0].line, found.security[0].there), (1, Some(2), false));
        assert!(found.security[0].what.starts_with("Looks like a GitHub token"), "{found:?}");
        assert!(!format!("{found:?}").contains(&key[..12]), "{found:?}");
        // What was there before, or comes from another file, is not brought in.
        assert_eq!(noticed(&[file("b.py", None, Some(&text)), file("a.py", Some(&text), None)], false), None);
    }
}
