//! The rules of the house, as tables: who may use whom, what is kept to one place, what no file may hold.
//!
//! It reads the sources as text: strings and comments are taken out, and so is what is compiled for tests only. That
//! is no parser, and it need not be: a rule errs towards finding something, and its message says what to do. A new
//! exception is a line in a table with its reason, never a way around it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;

/// Which folder of `src/` may use which others. Everybody may use `ids` and `time`; nothing else is free.
const FOLDERS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("time", &[]),
    ("rest", &[]),
    ("core", &[]),
    ("store", &["core"]),
    // The facts of a repository are the same object on the wire and in the core.
    ("api", &["core"]),
    // The settings that a file may set are the core's own.
    ("config", &["core"]),
    ("upkeep", &[]),
    // It starts the daemon, as a process of its own or, with --foreground, inside this one.
    ("client", &["api", "config", "daemon"]),
    // `upkeep` only for the shape of the findings that our own audits print: a report shows them.
    ("daemon", &["api", "core", "store", "config", "upkeep", "rest"]),
    // Faces: translations between a protocol and the daemon's calls. They know nothing of each other.
    ("lsp", &["api", "client", "config"]),
    ("mcp", &["api", "client", "config"]),
    ("stdio", &["lsp", "mcp", "client", "config", "rest"]),
    // Besides the daemon's calls it holds the ways to run: the daemon, the keeper, our own fixers and audits. A plan
    // file and an error text are read by the core's own pure functions before anything is started, and the journal
    // can be verified without a daemon.
    ("cli", &["api", "client", "config", "core", "daemon", "stdio", "store", "upkeep"]),
    ("main", &["cli"]),
];

/// Something that belongs to a few places only.
struct Kept {
    what: &'static str,
    pattern: &'static str,
    /// Files, or folders with a slash at their end; below `src/`.
    places: &'static [&'static str],
    instead: &'static str,
}

const KEPT: &[Kept] = &[
    Kept {
        what: "petgraph",
        pattern: r"\bpetgraph::",
        places: &["core/graph/"],
        instead: "ask core/graph, which has the flat arrays that the bounds need",
    },
    Kept {
        what: "the database",
        pattern: r"\brusqlite::",
        places: &["store/local.rs", "store/local/"],
        instead: "use the traits of store/: other journals come behind them",
    },
    Kept {
        what: "jsonrpsee",
        pattern: r"\bjsonrpsee::",
        places: &[
            "api/",
            "client/",
            "daemon/server.rs",
            "daemon/server/",
            "daemon/connection.rs",
            "daemon/listen.rs",
            // An event stream is the subscription that the client's trait returns, and its errors come with it.
            "cli/follow.rs",
            "cli/exit.rs",
        ],
        instead: "speak through api/ (the trait and its types); a transport belongs to client/ or daemon/server",
    },
    Kept {
        what: "the types of MCP",
        pattern: r"\brmcp::",
        places: &["mcp/"],
        instead: "protocol types stay in their folder; what the daemon says is in api/",
    },
    Kept {
        what: "the types of LSP",
        pattern: r"\btower_lsp::",
        places: &["lsp/"],
        instead: "protocol types stay in their folder; what the daemon says is in api/",
    },
    Kept {
        what: "the command line's parser",
        pattern: r"\bclap(_complete)?::",
        places: &["cli/"],
        instead: "parse in cli/args.rs and hand over plain values",
    },
    Kept {
        what: "dashmap",
        pattern: r"\bdashmap::",
        places: &["daemon/workspaces.rs"],
        instead: "the truth is in State, inside its loop; only the table of open workspaces is shared",
    },
    Kept {
        what: "the log's subscriber",
        pattern: r"\btracing_subscriber::",
        // The program, the daemon and the keeper are processes of their own; everybody else only emits.
        places: &["cli/mod.rs", "daemon/mod.rs", "daemon/agents/keeper/"],
        instead: "emit with `tracing`; who listens is decided where a process starts",
    },
    Kept {
        what: "the environment",
        pattern: r"\benv::(vars?|vars_os|var_os|args|args_os|current_dir|set_current_dir|set_var|remove_var|temp_dir|current_exe|home_dir)\b",
        places: &[
            "config.rs",
            "cli/",
            // The greeting carries the variables that a run may take; the daemon is started with a cleaned set.
            "client/mod.rs",
            // Where the program itself lies, and the PATH of the daemon, on which git is found.
            "daemon/mod.rs",
            // PATH and HOME of the daemon, where a client sent none; over HTTP none can send any.
            "daemon/workspaces.rs",
            "daemon/listen.rs",
            // The clock that tests of the real program set; not in builds for people.
            "time.rs",
            // Where cargo keeps its index: the user's CARGO_HOME.
            "daemon/facts/cargo.rs",
            // git must not see the GIT_* variables of whoever started us.
            "daemon/lanes/git.rs",
            // A process of its own: it leaves its folder, and its socket must fit the short limit for such paths.
            "daemon/agents/keeper/",
            // The host of an agent is a process of its own, too: its keys come to it there. The others are told where
            // the user's home folder is.
            "daemon/agents/host.rs",
            "daemon/agents/find.rs",
            "daemon/effects.rs",
        ],
        instead: "take the value as an argument: config.rs and cli/ read the environment",
    },
    Kept {
        what: "starting processes",
        pattern: r"\bCommand::new\b|\bposix_spawnp?\b|\blibc::(v?fork|clone|exec\w+)\b",
        places: &[
            // The daemon.
            "client/mod.rs",
            // Everything that runs for a task; an agent below its host, which the keeper starts; and what an agent
            // says of its version.
            "daemon/agents/keeper/",
            "daemon/agents/host.rs",
            "daemon/agents/sandbox.rs",
            "daemon/agents/find.rs",
            "daemon/lanes/git.rs",
            // The user's own command, when a decision waits for long.
            "daemon/notify.rs",
            // `git ls-files` and `git log`: what a folder holds, and since when.
            "upkeep/listing.rs",
            "upkeep/history.rs",
            // `git --version`, and the pager of a diff.
            "cli/doctor.rs",
            "cli/result.rs",
            // The demo is this program, run again as its user would.
            "cli/demo/",
        ],
        instead: "let the keeper run it (it bounds, records and survives), or daemon/lanes/git.rs where it is git",
    },
    Kept {
        what: "reading the clock",
        pattern: r"\b(SystemTime|Instant)\b|\bclock_gettime\b",
        places: &[
            "time.rs",
            // How long to wait for a person or for the daemon; never stored.
            "cli/follow.rs",
            "cli/run.rs",
            "cli/demo/",
            "client/mod.rs",
            "mcp/wait.rs",
            // How long the git processes of a former daemon may go on.
            "daemon/steps.rs",
            // How long an agent may take, and how long it waited for answers; and a version that is asked for.
            "daemon/agents/host.rs",
            "daemon/agents/find.rs",
            // How long a reader of a log waits for more.
            "daemon/server.rs",
            "daemon/server/",
            // How often an editor is told of progress.
            "lsp/follow.rs",
            // Time limits of children, which must hold while no daemon runs.
            "daemon/agents/keeper/",
            // Time limits of git, and the age of files left behind.
            "daemon/lanes/",
            // When a group commit is due.
            "store/local/writer.rs",
            // The age of a comment is counted from today.
            "upkeep/history.rs",
        ],
        instead: "take `now` as an argument; what is stored is a Timestamp from time.rs",
    },
    Kept {
        what: "printing",
        pattern: r"\be?print(ln)?!",
        // What a host prints is its task's log: the keeper reads it.
        places: &["cli/", "daemon/agents/host.rs"],
        instead: "return it, or say it with `tracing`: standard output belongs to the protocol",
    },
    Kept {
        what: "asynchrony",
        pattern: r"\basync\b|\.await\b|\btokio::",
        places: &["api/", "client/", "cli/", "daemon/", "lsp/", "mcp/", "stdio/"],
        instead: "nothing is awaited here: keep it plain, and let the daemon or a client do the waiting",
    },
];

/// What the core must not know of, and what stands in its place.
const NOT_IN_CORE: &[(&str, &str)] = &[
    (r"\bstd::(fs|io|net|process|os|thread)\b|\b(fs|io)::", "an effect for the daemon to do, and its report"),
    (r"\btokio\b|\basync\b|\.await\b", "a deadline in State; the core waits for nothing"),
    (r"\bstd::time\b|\bSystemTime\b|\bInstant\b|\btime::now\b", "`ctx.now`"),
    (r"\bstd::env\b|\benv::", "`ctx.settings`"),
    (r"\brand::|\bgetrandom\b|\bRandomState\b", "`ctx.rng`"),
    (r"\bthread_local!|\bstatic mut\b|\b(Mutex|RwLock|Atomic[A-Z]\w+|OnceLock)\b", "a field of State"),
    (r"\btracing::|\blog::", "an event; whoever stores it can say it, too"),
];

/// What no file may hold, in code and comments (strings are left out), and what to do instead.
const NOWHERE: &[(&str, &str)] = &[
    (r"#!?\[allow\(", "mend it, or write #[expect(lint, reason = \"...\")]: that ends when its reason does"),
    (r"\b(todo|unimplemented|dbg)!", "do it now, or leave it out and say so in the README's limits"),
    (r"#\[ignore", "assert what happens today and say what is wrong with it; an ignored test checks nothing"),
    (r"//.*\b(TODO|FIXME|XXX|HACK)\b[^,.`|]*$", "do it now, or say in a sentence what holds today"),
];

/// One source file.
struct Source {
    /// Relative to the repository, with slashes.
    path: String,
    /// As it is.
    text: String,
    /// Without comments, strings and what is compiled for tests only. Line numbers hold.
    code: String,
    /// The same with comments, and with tests.
    spoken: String,
    /// Whether all of it is compiled for tests only.
    test: bool,
}

impl Source {
    /// Below `src/`, or nothing.
    fn in_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }

    /// The folder, or the file at the top, that the table of folders speaks of.
    fn folder(&self) -> Option<&str> {
        let first = self.in_src()?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a folder that can be read").path()) {
        match path.is_dir() {
            true => rust_files(&path, into),
            false if path.extension().is_some_and(|extension| extension == "rs") => into.push(path),
            false => {}
        }
    }
}

/// Every source of the crate, its tests and benches, in the order of their paths.
fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read_sources);
    &SOURCES
}

fn read_sources() -> Vec<Source> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    rust_files(&root().join("tests"), &mut files);
    files.sort();
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(root()).expect("found below it").to_str().expect("UTF-8").to_owned();
            source(path, fs::read_to_string(file).expect("UTF-8"))
        })
        .collect();
    assert!(sources.len() > 100, "only {} sources found below {}", sources.len(), root().display());
    // A module that its parent declares for tests only takes everything below it along.
    let tests: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs");
        source.test |= tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")));
    }
    sources
}

fn source(path: String, text: String) -> Source {
    let plain = blank(&text, true);
    let spoken = blank(&text, false);
    let test = path.starts_with("tests/");
    Source { code: without_tests(&plain), spoken, test, path, text }
}

/// The folder in which the children of a file's module lie.
fn children(path: &str) -> &str {
    let stem = path.trim_end_matches(".rs");
    ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem)
}

fn test_modules(source: &Source) -> Vec<String> {
    let declared = Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod (\w+);").expect("a pattern");
    let plain = blank(&source.text, true);
    declared.captures_iter(&plain).map(|found| format!("{}/{}", children(&source.path), &found[1])).collect()
}

static RAW: LazyLock<Regex> = LazyLock::new(|| Regex::new(r##"^b?r(#*)""##).expect("a pattern"));
static CHARACTER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^\\'])'").expect("a pattern"));

/// Blanks out strings and characters, and comments where asked to. Newlines stay.
fn blank(text: &str, comments: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let wipe = |out: &mut Vec<u8>, from: usize, to: usize| {
        out[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    };
    let find = |from: usize, what: &str| text[from..].find(what).map_or(bytes.len(), |at| from + at);
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'/' | b'"' | b'\'' | b'b' | b'r') {
            at += 1;
            continue;
        }
        let rest = &text[at..];
        let starts_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = if rest.starts_with("//") {
            let end = find(at, "\n");
            if comments {
                wipe(&mut out, at, end);
            }
            at = end;
            continue;
        } else if rest.starts_with("/*") {
            let end = (find(at, "*/") + 2).min(bytes.len());
            if comments {
                wipe(&mut out, at, end);
            }
            at = end;
            continue;
        } else if let (true, Some(open)) = (starts_word, RAW.captures(rest)) {
            let close = format!("\"{}", &open[1]);
            (find(at + open[0].len(), &close) + close.len()).min(bytes.len())
        } else if rest.starts_with('"') {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            (end + 1).min(bytes.len())
        } else if let (true, Some(found)) = (starts_word, CHARACTER.find(rest)) {
            at + found.end()
        } else {
            at += 1;
            continue;
        };
        wipe(&mut out, at, end);
        at = end;
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

/// Blanks out every item under `#[cfg(test)]`: up to its semicolon, or to the end of its braces.
fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let mut depth = 0;
        let mut end = start;
        for (offset, byte) in code.bytes().enumerate().skip(start) {
            end = offset + 1;
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth <= 0 {
                        break;
                    }
                }
                b';' if depth == 0 => break,
                _ => {}
            }
        }
        out[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        from = end;
    }
    String::from_utf8(out).expect("only whole items were blanked")
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn pattern(text: &str) -> Regex {
    Regex::new(&format!("(?m){text}")).expect("a pattern of a table")
}

/// Where a pattern is found, as `path:line: the line`.
fn hits(source: &Source, text: &str, pattern: &Regex) -> Vec<String> {
    let hit = |offset: usize| {
        let line = line_of(text, offset);
        format!("{}:{line}: {}", source.path, source.text.lines().nth(line - 1).unwrap_or("").trim())
    };
    pattern.find_iter(text).map(|found| hit(found.start())).collect()
}

/// Fails with everything that was found, and what to do about it.
fn none(found: Vec<String>, what: &str, instead: &str) {
    let mut lines = String::new();
    for line in &found {
        let _ = writeln!(lines, "  {line}");
    }
    assert!(found.is_empty(), "{what}:\n{lines}What to do: {instead}");
}

/// The top-level modules that a text names, with the offset of each: `crate::x`, `crate::{x::…, y}`, and `super::`
/// where it climbs to the top.
fn used(source: &Source) -> Vec<(String, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    let mut take = |from: usize| {
        let rest = &code[from..];
        let Some(group) = rest.strip_prefix('{') else {
            let name: String = rest.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            found.push((name, from));
            return;
        };
        let (mut depth, mut fresh) = (0, true);
        for (offset, byte) in group.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 0 => break,
                b'}' => depth -= 1,
                b',' if depth == 0 => fresh = true,
                byte if fresh && (byte.is_ascii_alphabetic() || byte == b'_') => {
                    fresh = false;
                    let name = &group[offset..];
                    let name: String = name.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
                    found.push((name, from + 1 + offset));
                }
                _ => {}
            }
        }
    };
    for at in Regex::new(r"\bcrate::").expect("a pattern").find_iter(code) {
        take(at.end());
    }
    let depth = children(source.in_src().unwrap_or("")).split('/').filter(|part| !part.is_empty()).count();
    for at in Regex::new(r"\b(super::)+").expect("a pattern").find_iter(code) {
        if at.as_str().matches("super").count() >= depth {
            take(at.end());
        }
    }
    found
}

#[test]
fn a_folder_uses_only_those_that_the_table_grants_it() {
    let sources = sources();
    let known: BTreeMap<&str, &[&str]> = FOLDERS.iter().copied().collect();
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.test) {
        let Some(folder) = source.folder().filter(|folder| *folder != "lib") else { continue };
        let Some(granted) = known.get(folder) else {
            found.push(format!("{}: the folder `{folder}` is not in the table", source.path));
            continue;
        };
        for (name, offset) in used(source) {
            // A type or macro at the crate's top is none; there are no such items.
            let free = name == folder || name == "ids" || name == "time" || granted.contains(&name.as_str());
            if !free {
                let line = line_of(&source.code, offset);
                found.push(format!("{}:{line}: `{folder}` uses `{name}`", source.path));
            }
        }
    }
    none(
        found,
        "folders that know of others they should not",
        "move the code to where it is decided, or hand the value over; a new right is a line in FOLDERS with its reason",
    );
}

#[test]
fn what_has_one_place_stays_there() {
    for kept in KEPT {
        let pattern = pattern(kept.pattern);
        let elsewhere = |source: &&Source| {
            let path = source.in_src().unwrap_or("");
            !source.test && !kept.places.iter().any(|place| path.starts_with(place))
        };
        let found = sources().iter().filter(elsewhere).flat_map(|source| hits(source, &source.code, &pattern));
        none(found.collect(), &format!("{} outside its place ({})", kept.what, kept.places.join(", ")), kept.instead);
    }
}

#[test]
fn the_core_is_pure() {
    for (forbidden, instead) in NOT_IN_CORE {
        let pattern = pattern(forbidden);
        let core = sources().iter().filter(|source| source.folder() == Some("core") && !source.test);
        let found = core.flat_map(|source| hits(source, &source.code, &pattern)).collect();
        none(found, "the core decides and does nothing", &format!("use {instead}"));
    }
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    for (forbidden, instead) in NOWHERE {
        let pattern = pattern(forbidden);
        let found = sources().iter().flat_map(|source| hits(source, &source.spoken, &pattern)).collect();
        none(found, "marks of unfinished or silenced code", instead);
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = sources().iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path.clone());
    none(silent.collect(), "files that begin without `//!`", "say in one sentence what it is for and what it is not");
}

#[test]
fn every_file_is_a_module() {
    let sources = sources();
    let mut declared = BTreeSet::from(["src/lib", "src/main", "tests/it/main", "tests/bench/main"].map(str::to_owned));
    let module = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);").expect("a pattern");
    for source in sources {
        for found in module.captures_iter(&blank(&source.text, true)) {
            let child = format!("{}/{}", children(&source.path), &found[1]);
            declared.extend([format!("{child}/mod"), child]);
        }
    }
    let forgotten = sources.iter().filter(|source| !declared.contains(source.path.trim_end_matches(".rs")));
    none(
        forgotten.map(|source| source.path.clone()).collect(),
        "files that nothing compiles",
        "add their `mod` line to the parent, or delete them",
    );
}

#[test]
fn names_say_what_a_thing_is() {
    let pattern = pattern(
        r"\b(struct|enum|trait|type|union|mod) \w*(Manager|Engine|Handler|Helper|Util|_manager|_engine|_handler|_helper|_utils?)s?\b",
    );
    let found = sources().iter().flat_map(|source| hits(source, &source.code, &pattern)).collect();
    none(
        found,
        "names that say nothing",
        "a noun for the thing it is, a verb for what a function does (src/lib.rs maps the specification's names)",
    );
}

#[test]
fn no_file_holds_a_path_of_this_machine() {
    let here = root().to_str().expect("UTF-8");
    // The folder name alone would be found anywhere; a checkout at the very top has no path worth looking for.
    if here.matches('/').count() < 2 {
        println!("skipped: {here} is too short to be looked for");
        return;
    }
    let mut files = vec![root().join("README.md"), root().join("Cargo.toml"), root().join(".ci/run")];
    rust_files(&root().join("src"), &mut files);
    rust_files(&root().join("tests"), &mut files);
    let named = files.iter().filter(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(here)));
    none(
        named.map(|file| file.display().to_string()).collect(),
        "files that name this checkout's folder",
        "take the path from the environment or the caller",
    );
}

/// Every pattern of the tables finds what it forbids, and strings, comments and tests hide what they should.
#[test]
fn the_rules_can_fail() {
    let of = |path: &str, text: &str| source(path.to_owned(), text.to_owned());
    let finds = |text: &str, forbidden: &str| {
        let source = of("src/core/x.rs", text);
        !hits(&source, &source.code, &pattern(forbidden)).is_empty()
    };
    for (what, text) in [
        ("petgraph", "use petgraph::Graph;"),
        ("the database", "fn a(x: rusqlite::Row) {}"),
        ("jsonrpsee", "use jsonrpsee::core;"),
        ("the types of MCP", "use rmcp::model;"),
        ("the types of LSP", "use tower_lsp::ls_types;"),
        ("the command line's parser", "use clap::Parser;"),
        ("dashmap", "use dashmap::DashMap;"),
        ("the log's subscriber", "tracing_subscriber::fmt();"),
        ("the environment", "let a = std::env::var_os(\"A\");"),
        ("starting processes", "Command::new(\"ls\");"),
        ("reading the clock", "let now = Instant::now();"),
        ("printing", "println!(\"a\");"),
        ("asynchrony", "async fn a() {}"),
    ] {
        let kept = KEPT.iter().find(|kept| kept.what == what).expect("a line of the table");
        assert!(finds(text, kept.pattern), "{what} is not found in {text}");
        for hidden in [
            format!("// {text}"),
            format!("/* {text} */"),
            format!("let a = r#\"{text}\"#;"),
            format!("#[cfg(test)]\nmod tests {{ {text} }}"),
        ] {
            assert!(!finds(&hidden, kept.pattern), "{what} is found in {hidden}");
        }
        assert!(finds(&format!("#[cfg(test)]\nmod tests {{ }}\n{text}"), kept.pattern), "{what} behind tests");
    }
    assert_eq!(KEPT.len(), 13, "a new line of the table needs its example above");

    for text in [
        "std::fs::read(x)",
        "x.await",
        "std::time::Instant",
        "std::env::var",
        "rand::rng()",
        "static mut A",
        "tracing::info!()",
    ] {
        assert_eq!(NOT_IN_CORE.iter().filter(|(forbidden, _)| finds(text, forbidden)).count(), 1, "{text}");
    }
    let mark = ["TO", "DO"].concat();
    for text in ["#[allow(dead_code)]", "dbg!(x)", "#[ignore]", &format!("// {mark} later")] {
        let source = of("src/x.rs", text);
        assert!(
            NOWHERE.iter().any(|(forbidden, _)| !hits(&source, &source.spoken, &pattern(forbidden)).is_empty()),
            "{text}"
        );
    }

    let names = |path: &str, text: &str| used(&of(path, text)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names("src/api/x.rs", "use crate::{cli::{a, b}, core::c, ids};"), ["cli", "core", "ids"]);
    assert_eq!(names("src/api/x.rs", "use super::super::cli; use super::y;"), ["cli"]);
    assert_eq!(names("src/api/mod.rs", "use super::cli; // crate::daemon"), ["cli"]);

    assert_eq!(blank("let a = '\"'; b(\"\\\"x\"); 'l: loop {}", true), "let a =    ; b(     ); 'l: loop {}");
    assert_eq!(
        test_modules(&of("src/a/mod.rs", "#[cfg(test)]\npub(crate) mod fake;\nmod b;")),
        ["src/a/fake".to_owned()]
    );
}
