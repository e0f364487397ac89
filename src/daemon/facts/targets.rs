//! What Make targets and Just recipes suggest, where they add to what the language's own manifest said.

use super::{Found, Tree};
use crate::core::facts::{Ecosystem, Role};

const MAKEFILES: &[&str] = &["GNUmakefile", "makefile", "Makefile"];
const JUSTFILES: &[&str] = &["justfile", "Justfile", ".justfile"];

/// Target names by role, best first; one is used of each.
const TARGETS: &[(Role, &[&str])] = &[
    (Role::Format, &["fmt", "format"]),
    (Role::LintFix, &["lint-fix", "fix", "lint_fix"]),
    (Role::Lint, &["lint"]),
    (Role::Build, &["build", "typecheck"]),
    (Role::Test, &["test", "check", "tests"]),
];

/// A target and the commands below it.
struct Target {
    name: String,
    recipe: String,
}

pub(super) fn find_make(tree: &Tree, found: &mut Found) {
    for dir in tree.projects(MAKEFILES) {
        let Some(manifest) = tree.first_of(&dir, MAKEFILES) else { continue };
        let Some(text) = tree.manifest(&manifest) else { continue };
        let prefix: Vec<&str> = if dir.is_empty() { vec!["make"] } else { vec!["make", "-C", &dir] };
        add_targets(found, "make", &manifest, &prefix, targets(&text, make_names), &dir);
    }
}

pub(super) fn find_just(tree: &Tree, found: &mut Found) {
    for dir in tree.projects(JUSTFILES) {
        let Some(manifest) = tree.first_of(&dir, JUSTFILES) else { continue };
        let Some(text) = tree.manifest(&manifest) else { continue };
        let prefix: Vec<&str> = if dir.is_empty() {
            vec!["just"]
        } else {
            vec!["just", "--justfile", &manifest, "--working-directory", &dir]
        };
        add_targets(found, "just", &manifest, &prefix, targets(&text, just_names), &dir);
    }
}

fn add_targets(found: &mut Found, ecosystem: &str, manifest: &str, prefix: &[&str], targets: Vec<Target>, dir: &str) {
    let mut tests = false;
    let built = found.commands.iter().any(|command| command.role == Role::Build);
    for (role, names) in TARGETS {
        // By convention `all` builds; where a language says by itself how it is built, it may do more than that.
        let names =
            if *role == Role::Build && ecosystem == "make" && !built { &["build", "typecheck", "all"] } else { *names };
        let best = names.iter().find_map(|name| targets.iter().find(|target| target.name == *name));
        let Some(target) = best else { continue };
        let checks = ["--check", "-check", "--list-different", "gofmt -d", "gofmt -l ."];
        let role = match role {
            Role::Format if checks.iter().any(|flag| target.recipe.contains(flag)) => Role::Lint,
            role => *role,
        };
        tests |= role == Role::Test;
        if repeats(found, role, &target.recipe) {
            continue;
        }
        let mut argv = prefix.to_vec();
        argv.push(&target.name);
        found.add(role, ecosystem, &format!("{manifest}: {}", target.name), &argv);
    }
    if targets.is_empty() {
        return;
    }
    let entry = found.ecosystems.entry(ecosystem.into()).or_default();
    if entry.manifest.is_empty() {
        *entry = Ecosystem { manifest: manifest.into(), ..Ecosystem::default() };
        entry.scripts = targets.into_iter().map(|target| target.name).collect();
    }
    entry.tests |= tests;
    if !dir.is_empty() {
        entry.members.push(dir.to_string());
    }
}

/// Whether a recipe is one line that does what a command of this role, found before, does already.
fn repeats(found: &Found, role: Role, recipe: &str) -> bool {
    let mut lines = recipe.lines().filter(|line| !line.is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let words: Vec<&str> = line.trim_start_matches(['@', '-']).split_whitespace().collect();
    found.commands.iter().filter(|command| command.role == role).any(|command| {
        // The program and its subcommand decide; flags may differ.
        let known: Vec<&str> = command.argv.iter().map(String::as_str).filter(|word| *word != "run").take(2).collect();
        let asked: Vec<&str> = words.iter().copied().filter(|word| *word != "run").take(2).collect();
        known == asked || (known.len() == 1 && asked.first() == known.first())
    })
}

/// Reads rules: a line at the margin that `names` recognises, and the indented lines after it.
fn targets(text: &str, names: fn(&str) -> Vec<String>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut open = 0;
    for line in text.lines() {
        if line.starts_with(['\t', ' ']) {
            let from = targets.len() - open;
            for target in &mut targets[from..] {
                target.recipe.push_str(line.trim());
                target.recipe.push('\n');
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let found: Vec<String> =
            names(line).into_iter().filter(|name| targets.iter().all(|target| target.name != *name)).collect();
        open = found.len();
        targets.extend(found.into_iter().map(|name| Target { name, recipe: String::new() }));
    }
    targets
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(['.', '-'])
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// The explicit targets of a rule line; variables, patterns and special targets are none.
fn make_names(line: &str) -> Vec<String> {
    let Some((left, right)) = line.split_once(':') else { return Vec::new() };
    if right.starts_with('=') || right.starts_with(":=") || left.contains('=') {
        return Vec::new();
    }
    left.split_whitespace().filter(|word| is_name(word)).map(str::to_string).collect()
}

/// The recipe of a line, unless it needs arguments (a parameter without a default) or is private.
fn just_names(line: &str) -> Vec<String> {
    let Some((left, right)) = line.split_once(':') else { return Vec::new() };
    if right.starts_with('=') {
        return Vec::new();
    }
    let mut words = left.trim_start_matches('@').split_whitespace();
    let name = words.next().unwrap_or("");
    let needs_arguments = words.any(|word| !word.contains('=') && !word.starts_with('*'));
    let plain =
        is_name(name) && !name.starts_with('_') && !matches!(name, "set" | "alias" | "import" | "mod" | "export");
    if plain && !needs_arguments { vec![name.to_string()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, read: fn(&str) -> Vec<String>) -> Vec<String> {
        targets(text, read).into_iter().map(|target| target.name).collect()
    }

    #[test]
    fn reads_make_targets_and_nothing_else() {
        let text = "CC := cc\nX = a:b\n.PHONY: test\n%.o: %.c\n\tcc\ntest check: all\n\t@cargo test\nall::\n\techo\n$(OUT): x\n";
        assert_eq!(names(text, make_names), ["test", "check", "all"]);
        assert_eq!(targets(text, make_names)[0].recipe, "@cargo test\n");
    }

    #[test]
    fn reads_just_recipes_that_can_run_without_arguments() {
        let text = "set shell := [\"sh\"]\nx := \"1\"\n@test *ARGS:\n  cargo test\nfmt:\n  cargo fmt\ndeploy env:\n  x\n_private:\n  y\n";
        assert_eq!(names(text, just_names), ["test", "fmt"]);
    }

    #[test]
    fn an_indented_line_before_any_target_is_harmless() {
        assert!(targets("\tcc x\n  y\n", make_names).is_empty());
    }
}
