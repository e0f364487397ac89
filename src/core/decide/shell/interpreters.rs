//! Programs that run code: shells and languages. Code they are given is looked through for danger; it is never taken
//! for harmless.

use super::{flags, programs, scripts, walk::Walk, word::Word};

const SHELLS: &[&str] = &["sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "pwsh"];
const LANGUAGES: &[&str] = &[
    "python",
    "python2",
    "python3",
    "pypy",
    "pypy3",
    "node",
    "nodejs",
    "deno",
    "bun",
    "ruby",
    "perl",
    "php",
    "lua",
    "luajit",
    "Rscript",
    "R",
    "julia",
    "osascript",
    "tclsh",
    "expect",
    "groovy",
    "scala",
    "irb",
    "ipython",
    "guile",
    "racket",
    "ts-node",
    "tsx",
    "elixir",
    "erl",
    "ghci",
    "runghc",
    "swift",
    "jshell",
    "clojure",
    "raku",
    "ocaml",
    "java",
    "dotnet",
    "dc",
    "m4",
];

/// Whether it is a shell.
pub fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program)
}

/// Whether it runs code.
pub fn is_known(program: &str) -> bool {
    is_shell(program) || is_language(program)
}

fn is_language(program: &str) -> bool {
    LANGUAGES.contains(&program) || version_of(program).is_some()
}

/// `python3.12` and the like.
fn version_of(program: &str) -> Option<&str> {
    let stem = program.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.');
    (stem != program && LANGUAGES.contains(&stem)).then_some(stem)
}

/// Reads a command whose program runs code; false if it does not.
pub fn read(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    match program {
        "eval" => {
            walk.exec("runs a line that it was given");
            made_of_the_network(walk, "it runs what comes over the network or out of a decoder");
            inner(walk, rest);
        }
        "source" | "." => {
            made_of_the_network(walk, "it runs what comes over the network or out of a decoder");
            walk.exec(format!("runs the file {}", rest.first().map_or("…", |word| &word.text)));
            if walk.fetched {
                walk.danger("it runs what was fetched just before");
            }
            rest.iter().for_each(|word| walk.reads(word));
        }
        _ if is_shell(program) => shell(walk, program, rest),
        _ if is_language(program) => language(walk, program, rest),
        _ => return false,
    }
    true
}

fn made_of_the_network(walk: &mut Walk, what: &str) {
    if walk.words_flow.network || walk.words_flow.decoded {
        walk.danger(what);
    }
}

/// Words that a shell joins to one line.
fn inner(walk: &mut Walk, words: &[Word]) {
    let line: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let known = words.iter().all(|word| word.known);
    if !known {
        walk.vague("the line that runs is known only then");
    }
    walk.line(&line.join(" "));
}

fn shell(walk: &mut Walk, program: &str, rest: &[Word]) {
    let simple = |word: &&Word| matches!(word.text.as_str(), "--version" | "--help") && rest.len() == 1;
    if rest.iter().any(|word| simple(&word)) {
        return;
    }
    made_of_the_network(walk, "it runs what comes over the network or out of a decoder");
    let valued = "-o -O --rcfile --init-file";
    // `-c` takes the line behind the other letters.
    let line = rest.iter().position(|word| {
        word.text.starts_with('-') && !word.text.starts_with("--") && word.text.contains('c') || word.text == "-Command"
    });
    if let Some(at) = line {
        walk.exec(format!("{program} runs a line that it was given"));
        match rest.get(at + 1) {
            Some(word) if word.known => walk.line(&word.text),
            Some(word) => {
                walk.vague("the line that runs is known only then");
                walk.line(&word.text);
            }
            None => {}
        }
        return;
    }
    if walk.effects.iter().any(|effect| effect.what.contains("/dev/tcp/") || effect.what.contains("/dev/udp/")) {
        walk.danger("it hands a shell to another machine");
    }
    let parsed = flags::parse(rest, valued);
    match parsed.operands.first() {
        Some(file) => {
            walk.exec(format!("{program} runs the file {}", file.text));
            if walk.fetched {
                walk.danger("it runs what was fetched just before");
            }
        }
        None => {
            walk.flow.interprets = true;
            walk.exec(format!("{program} runs what it reads"));
            let fed = super::walk::Flow { interprets: false, ..walk.flow.clone() };
            if fed.text.is_some() {
                walk.fed(&fed);
            }
        }
    }
}

/// Options with which the languages take code.
const CODE: &[&str] =
    &["-c", "-e", "--eval", "-E", "-r", "-p", "--print", "-pe", "-ne", "-le", "-nle", "-lne", "-ple", "-i", "eval"];

fn language(walk: &mut Walk, program: &str, rest: &[Word]) {
    let only = rest.first().map(|word| word.text.as_str());
    if rest.len() == 1 && matches!(only, Some("--version" | "-V" | "-v" | "-version" | "--help")) {
        return;
    }
    if program == "dotnet" && matches!(only, Some("--info" | "--list-sdks" | "--list-runtimes")) {
        return;
    }
    made_of_the_network(walk, "it runs what comes over the network or out of a decoder");
    walk.exec(format!("{program} runs code"));
    let mut code = false;
    for (at, word) in rest.iter().enumerate() {
        let takes_code = CODE.contains(&word.text.as_str())
            || word.text.starts_with("-i")
            || (program == "perl" && word.text.ends_with('e') && word.text.starts_with('-'));
        let Some(text) = rest.get(at + 1).filter(|_| takes_code) else { continue };
        code = true;
        if let Some(danger) = scripts::code_danger(&text.text) {
            walk.danger(danger);
        }
        if !text.known {
            walk.vague("the code that runs is known only then");
        }
    }
    match rest.iter().find(|word| !word.text.starts_with('-')) {
        None if !code => walk.flow.interprets = true,
        Some(file) if !code => {
            if walk.fetched {
                walk.danger("it runs what was fetched just before");
            }
            walk.reads(file);
        }
        _ => {}
    }
    let text: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
    let text = text.join(" ");
    if text.contains("manage.py flush")
        || text.contains("migrate:fresh")
        || text.contains("db:wipe")
        || text.contains("db:drop")
    {
        walk.danger("it empties a database");
    }
    if let Some(danger) = scripts::sql_danger(&text).filter(|_| code || text.contains("artisan")) {
        walk.danger(danger);
    }
    if text.contains("-m http.server") || text.contains("SimpleHTTPServer") {
        walk.network("serves files to other machines", None, true);
    }
    if text.contains("-m pip install") || text.contains("-m pip download") {
        programs::named(walk, "pip", &[Word::literal("install")]);
    }
}
