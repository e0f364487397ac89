//! Counts files by language and lines, reading each text file once and no more than a cap.

use std::{collections::BTreeMap, fs, io::Read};

use super::{COUNTED_BYTES_MAX, COUNTED_FILE_BYTES_MAX, Tree};

/// What reading every file once tells.
pub(super) struct Census {
    pub lines: u64,
    pub languages: BTreeMap<String, u64>,
    /// Rust files with a test attribute in them.
    pub rust_tests: Vec<String>,
}

pub(super) fn count(tree: &Tree) -> Census {
    let mut census = Census { lines: 0, languages: BTreeMap::new(), rust_tests: Vec::new() };
    let mut left_bytes = COUNTED_BYTES_MAX;
    let mut buffer = Vec::new();
    for file in &tree.files {
        let language = language(file);
        if let Some(language) = language {
            *census.languages.entry(language.to_string()).or_default() += 1;
        }
        let path = tree.root.join(file);
        // Links are not followed: what they point at is counted where it lies, or is not ours.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if !meta.is_file() || meta.len() > COUNTED_FILE_BYTES_MAX || meta.len() > left_bytes || known_binary(file) {
            continue;
        }
        buffer.clear();
        let Ok(opened) = fs::File::open(&path) else { continue };
        if opened.take(COUNTED_FILE_BYTES_MAX).read_to_end(&mut buffer).is_err() {
            continue;
        }
        left_bytes = left_bytes.saturating_sub(buffer.len() as u64);
        if buffer[..buffer.len().min(8000)].contains(&0) {
            continue;
        }
        census.lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        census.lines += u64::from(buffer.last().is_some_and(|byte| *byte != b'\n'));
        if language == Some("rust") && has_rust_test(&buffer) {
            census.rust_tests.push(file.to_string());
        }
    }
    census
}

fn has_rust_test(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    ["#[test]", "::test]", "::test(", "#[rstest", "proptest!"].iter().any(|mark| text.contains(mark))
}

/// Extensions of files that are never text, so that they need not be opened.
fn known_binary(file: &str) -> bool {
    matches!(
        extension(file).as_str(),
        "png"
            | "jpg"
            | "jpeg"
            | "gif"
            | "webp"
            | "ico"
            | "pdf"
            | "zip"
            | "gz"
            | "xz"
            | "zst"
            | "bz2"
            | "tar"
            | "jar"
            | "wasm"
            | "so"
            | "a"
            | "o"
            | "dll"
            | "exe"
            | "ttf"
            | "otf"
            | "woff"
            | "woff2"
            | "mp3"
            | "mp4"
            | "mov"
            | "ogg"
            | "wav"
            | "db"
            | "sqlite"
            | "class"
            | "pyc"
            | "bin"
    )
}

fn extension(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// The language of a file by its name, as linguist calls it, in lower case; JSX and TSX count as the language they extend.
pub(in crate::daemon) fn language(file: &str) -> Option<&'static str> {
    let name = file.rsplit('/').next().unwrap_or(file);
    match name {
        "Makefile" | "GNUmakefile" | "makefile" => return Some("makefile"),
        "Dockerfile" | "Containerfile" => return Some("dockerfile"),
        "CMakeLists.txt" => return Some("cmake"),
        "justfile" | "Justfile" | ".justfile" => return Some("just"),
        "Rakefile" | "Gemfile" => return Some("ruby"),
        _ => {}
    }
    Some(match extension(file).as_str() {
        "rs" => "rust",
        "py" | "pyi" | "pyw" => "python",
        "js" | "mjs" | "cjs" | "jsx" => "javascript",
        "ts" | "mts" | "cts" | "tsx" => "typescript",
        "go" => "go",
        "c" | "h" => "c",
        "cc" | "cpp" | "cxx" | "hpp" | "hh" | "hxx" => "c++",
        "cs" => "c#",
        "java" => "java",
        "kt" | "kts" => "kotlin",
        "swift" => "swift",
        "scala" | "sc" => "scala",
        "rb" => "ruby",
        "php" => "php",
        "pl" | "pm" => "perl",
        "lua" => "lua",
        "sh" | "bash" | "zsh" => "shell",
        "fish" => "fish",
        "ps1" => "powershell",
        "hs" => "haskell",
        "ml" | "mli" => "ocaml",
        "ex" | "exs" => "elixir",
        "erl" | "hrl" => "erlang",
        "clj" | "cljs" | "cljc" => "clojure",
        "zig" => "zig",
        "nim" => "nim",
        "dart" => "dart",
        "r" => "r",
        "jl" => "julia",
        "m" => "objective-c",
        "vue" => "vue",
        "svelte" => "svelte",
        "html" | "htm" => "html",
        "css" => "css",
        "scss" => "scss",
        "less" => "less",
        "sql" => "sql",
        "proto" => "protocol buffer",
        "graphql" | "gql" => "graphql",
        "tf" => "hcl",
        "nix" => "nix",
        "json" | "jsonc" => "json",
        "toml" => "toml",
        "yml" | "yaml" => "yaml",
        "xml" => "xml",
        "md" | "markdown" => "markdown",
        "rst" => "restructuredtext",
        "mk" => "makefile",
        "cmake" => "cmake",
        "el" => "emacs lisp",
        "vim" => "vim script",
        "tex" => "tex",
        _ => return None,
    })
}
