//! What a Go module suggests.

use super::{Found, Tree, join};
use crate::core::facts::{Ecosystem, Role};

pub(super) fn find(tree: &Tree, found: &mut Found) {
    for dir in tree.projects(&["go.mod"]) {
        project(tree, found, &dir);
    }
}

fn project(tree: &Tree, found: &mut Found, dir: &str) {
    let manifest = join(dir, "go.mod");
    let Some(text) = tree.manifest(&manifest) else { return };
    if !text.lines().any(|line| line.trim_start().starts_with("module ")) {
        return;
    }
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let below = |file: &&&str| file.starts_with(&prefix);
    let tests = tree.files.iter().filter(below).any(|file| file.ends_with("_test.go") && !file.contains("vendor/"));
    let vendored = tree.files.iter().any(|file| file.starts_with(&format!("{prefix}vendor/")));
    // A module below the root is entered with -C (Go 1.20), because package patterns do not cross modules.
    let go = |words: &[&'static str]| -> Vec<String> {
        let mut argv = vec!["go".to_string()];
        if !dir.is_empty() {
            argv.extend(["-C".to_string(), dir.to_string()]);
        }
        argv.extend(words.iter().map(|word| word.to_string()));
        argv
    };
    let mut add = |role, argv: Vec<String>| {
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        found.add(role, "go", &manifest, &argv);
    };
    if vendored {
        // gofmt walks into vendor/; `go fmt` asks for packages and so leaves it alone.
        add(Role::Format, go(&["fmt", "./..."]));
    } else {
        let place = if dir.is_empty() { "." } else { dir };
        add(Role::Format, ["gofmt", "-l", "-w", place].map(String::from).to_vec());
    }
    let golangci = [".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json"];
    if dir.is_empty() && golangci.iter().any(|config| tree.manifest(config).is_some()) {
        add(Role::LintFix, ["golangci-lint", "run", "--fix"].map(String::from).to_vec());
        add(Role::Lint, ["golangci-lint", "run"].map(String::from).to_vec());
    }
    add(Role::Lint, go(&["vet", "./..."]));
    add(Role::Build, go(&["build", "./..."]));
    if tests {
        add(Role::Test, go(&["test", "./..."]));
    }
    let ecosystem = found.ecosystems.entry("go".into()).or_default();
    if ecosystem.manifest.is_empty() {
        *ecosystem = Ecosystem { manifest, ..Ecosystem::default() };
    }
    ecosystem.tests |= tests;
    if !dir.is_empty() {
        ecosystem.members.push(dir.to_string());
    }
}
