//! Sources that no test mentions. A heuristic, and said as one: it sees names, not coverage.

use std::collections::{HashMap, HashSet};

use super::{
    Finding, Severity,
    listing::{Listing, extension, name_of, says_generated},
};

/// Shorter files hold too little to test.
const LINES_MIN: usize = 30;
const FINDINGS_MAX: usize = 200;

/// One source file as it is judged.
struct Source<'a> {
    path: &'a str,
    language: Language,
    lines: usize,
    /// Has tests in it (Rust).
    tests_inside: bool,
    has_code: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Language {
    Rust,
    Python,
    Script,
    Go,
}

pub(super) fn find(listing: &Listing) -> Vec<Finding> {
    let mut sources: Vec<Source> = Vec::new();
    let mut mentioned: HashMap<Language, HashSet<String>> = HashMap::new();
    let mut tested_folders: HashSet<&str> = HashSet::new();
    for path in listing.ours() {
        let Some(language) = language(path) else { continue };
        let Some(text) = listing.text(path) else { continue };
        if is_test(path, language) {
            mentioned.entry(language).or_default().extend(words(&text));
            mentioned.entry(language).or_default().insert(tested_stem(path));
            if language == Language::Go {
                tested_folders.insert(folder(path));
            }
            continue;
        }
        let inside = language == Language::Rust
            && (text.contains("#[test]") || text.contains("#[cfg(test)]") || text.contains("::test]"));
        if inside {
            // Tests beside the code also use their neighbours.
            let from = text.find("#[cfg(test)]").or_else(|| text.find("#[test]")).unwrap_or(0);
            mentioned.entry(language).or_default().extend(words(&text[from..]));
        }
        if says_generated(&text) {
            continue;
        }
        let has_code = match language {
            Language::Rust => text.contains("fn "),
            Language::Python => text.contains("def "),
            Language::Script => text.contains("function") || text.contains("=>") || text.contains("class "),
            Language::Go => text.contains("func "),
        };
        sources.push(Source { path, language, lines: text.lines().count(), tests_inside: inside, has_code });
    }
    let mut untested: Vec<&Source> = sources
        .iter()
        .filter(|source| {
            source.has_code && source.lines >= LINES_MIN && !source.tests_inside && !is_exempt(source.path)
        })
        .filter(|source| {
            let Some(mentioned) = mentioned.get(&source.language) else { return true };
            match source.language {
                // Go tests a package, not a file.
                Language::Go => !tested_folders.contains(folder(source.path)),
                _ => !mentioned.contains(&module(source.path)),
            }
        })
        .collect();
    // Where nothing at all is tested, or its tests are kept elsewhere, a list of every file says less than that.
    if mentioned.is_empty() && untested.len() > 1 {
        let lines: usize = untested.iter().map(|source| source.lines).sum();
        let message = format!("no tests here: {} sources with {lines} lines", untested.len());
        return vec![Finding::new("missing-tests", ".", None, Severity::Info, message)];
    }
    untested.sort_by_key(|source| (std::cmp::Reverse(source.lines), source.path));
    untested
        .into_iter()
        .take(FINDINGS_MAX)
        .map(|source| {
            let message = format!("{} lines that no test seems to mention", source.lines);
            Finding::new("missing-tests", source.path, None, Severity::Info, message)
        })
        .collect()
}

fn language(path: &str) -> Option<Language> {
    Some(match extension(path).as_str() {
        "rs" => Language::Rust,
        "py" => Language::Python,
        "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "tsx" => Language::Script,
        "go" => Language::Go,
        _ => return None,
    })
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn stem(path: &str) -> &str {
    name_of(path).split('.').next().unwrap_or("")
}

fn is_test(path: &str, language: Language) -> bool {
    let in_folder =
        folder(path).split('/').any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec" | "e2e" | "benches"));
    let name = name_of(path);
    let by_name = match language {
        Language::Rust => {
            matches!(stem(path), "tests" | "test") || name.ends_with("_test.rs") || name.ends_with("_tests.rs")
        }
        Language::Python => name.starts_with("test_") || name.ends_with("_test.py") || name == "conftest.py",
        Language::Script => {
            let kinds = [".test.", ".spec.", ".test-", "_test.", "-test."];
            matches!(stem(path), "test" | "tests" | "spec")
                || name.starts_with("test-")
                || kinds.iter().any(|kind| name.contains(kind))
        }
        Language::Go => name.ends_with("_test.go"),
    };
    in_folder || by_name
}

/// `test_parser.py`, `parser_test.go` and `parser.test.ts` are about `parser`.
fn tested_stem(path: &str) -> String {
    let stem = stem(path);
    stem.trim_start_matches("test_").trim_end_matches("_tests").trim_end_matches("_test").to_string()
}

/// The name by which other files mention this one: the folder's for files that stand for their folder.
fn module(path: &str) -> String {
    match stem(path) {
        "mod" | "index" | "__init__" if !folder(path).is_empty() => name_of(folder(path)).to_string(),
        stem => stem.to_string(),
    }
}

/// Entry points, build scripts and configuration, which are tried by running them.
fn is_exempt(path: &str) -> bool {
    let part_of = |names: &[&str]| folder(path).split('/').any(|part| names.contains(&part));
    matches!(
        stem(path),
        "main" | "lib" | "build" | "setup" | "conftest" | "manage" | "webpack" | "gulpfile" | "__main__"
    ) || name_of(path).contains(".config.")
        || name_of(path).ends_with(".d.ts")
        || part_of(&["examples", "example", "benches", "bench", "scripts", "migrations", "docs", "bin"])
}

/// Identifiers, also as the parts of a dotted or slashed path.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').filter(|word| word.len() > 1).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use crate::upkeep::{audit, testing::Folder};

    fn untested(files: &[(&str, &str)]) -> Vec<String> {
        let folder = Folder::plain(files);
        audit("missing-tests", folder.path()).unwrap().into_iter().map(|f| f.path).collect()
    }

    #[test]
    fn mentions_count_per_language() {
        let rust = "fn f() {}\n".repeat(40);
        let python = "def f(): pass\n".repeat(40);
        let go = "func F() {}\n".repeat(40);
        let script = "function f() {}\n".repeat(40);
        let inside = format!("{rust}#[cfg(test)]\nmod tests {{ use super::helper; }}\n");
        assert_eq!(
            untested(&[
                ("src/main.rs", &rust),
                ("src/lonely.rs", &rust),
                ("src/inside.rs", &inside),
                ("src/helper.rs", &rust),
                ("src/used/mod.rs", &rust),
                ("src/tiny.rs", "fn f() {}\n"),
                ("tests/it.rs", "use x::used;\n"),
                ("app/views.py", &python),
                ("app/models.py", &python),
                ("test_views.py", "x\n"),
                ("pkg/a.go", &go),
                ("pkg/a_test.go", "x\n"),
                ("other/b.go", &go),
                ("web/cart.ts", &script),
                ("web/menu.ts", &script),
                ("web/menu.test.ts", "x\n"),
                ("vite.config.ts", &script),
            ]),
            ["app/models.py", "other/b.go", "src/lonely.rs", "web/cart.ts"]
        );
    }

    #[test]
    fn a_small_package_keeps_its_tests_beside_its_source() {
        let script = "function f() {}\n".repeat(40);
        let test = "import slug from './index.js';\n";
        assert_eq!(untested(&[("index.js", &script), ("test.js", test)]), Vec::<String>::new());
        let typed = [("index.js", script.as_str()), ("other.js", &script), ("index.test-d.ts", test)];
        assert_eq!(untested(&typed), ["other.js"]);
    }

    #[test]
    fn a_folder_without_any_test_is_one_finding() {
        let script = "function f() {}\n".repeat(40);
        assert_eq!(untested(&[("lib/a.js", &script), ("lib/b.js", &script)]), ["."]);
        assert_eq!(untested(&[("lib/a.js", &script)]), ["lib/a.js"]);
    }
}
