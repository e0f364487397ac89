//! What a Cargo manifest suggests.

use std::path::{Path, PathBuf};

use globset::Glob;

use super::{Found, Tree, join};
use crate::core::facts::{Ecosystem, Role};

pub(super) fn find(tree: &Tree, found: &mut Found) {
    for dir in tree.projects(&["Cargo.toml"]) {
        project(tree, found, &dir);
    }
}

fn project(tree: &Tree, found: &mut Found, dir: &str) {
    let manifest = join(dir, "Cargo.toml");
    let Some(table) = tree.manifest(&manifest).and_then(|text| text.parse::<toml::Table>().ok()) else { return };
    let workspace = table.get("workspace").and_then(|value| value.as_table());
    if workspace.is_none() && !table.contains_key("package") {
        return;
    }
    let members = workspace.map(|workspace| members(tree, dir, workspace)).unwrap_or_default();
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let tests = tree.rust_tests.iter().any(|file| file.starts_with(&prefix));

    // `default-members` says that not everything builds everywhere; then Cargo's own choice is the right one.
    let everything = workspace.is_some_and(|workspace| !workspace.contains_key("default-members"));
    let offline = can_stay_offline(tree, dir);
    let command = |words: &[&'static str], all: &'static str, may_fetch: bool| -> Vec<String> {
        let mut argv: Vec<String> = words[..1].iter().map(|word| word.to_string()).collect();
        argv.insert(0, "cargo".into());
        if !dir.is_empty() {
            argv.extend(["--manifest-path".to_string(), manifest.clone()]);
        }
        if may_fetch && offline {
            argv.push("--offline".into());
        }
        if everything {
            argv.push(all.into());
        }
        argv.extend(words[1..].iter().map(|word| word.to_string()));
        argv
    };
    let mut add = |role, argv: Vec<String>| {
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        found.add(role, "cargo", &manifest, &argv);
    };
    add(Role::Format, command(&["fmt"], "--all", false));
    add(
        Role::LintFix,
        command(&["clippy", "--fix", "--allow-dirty", "--allow-staged", "--all-targets"], "--workspace", true),
    );
    add(Role::Lint, command(&["clippy", "--all-targets"], "--workspace", true));
    add(Role::Build, command(&["check"], "--workspace", true));
    if tests {
        add(Role::Test, command(&["test"], "--workspace", true));
    }
    let ecosystem = found.ecosystems.entry("cargo".into()).or_default();
    if ecosystem.manifest.is_empty() {
        *ecosystem = Ecosystem { manifest, ..Ecosystem::default() };
    }
    ecosystem.tests |= tests;
    ecosystem.members.extend(members);
    if !dir.is_empty() {
        ecosystem.members.push(dir.to_string());
    }
}

/// Workspace members, globs resolved against the versioned manifests.
fn members(tree: &Tree, dir: &str, workspace: &toml::Table) -> Vec<String> {
    let list = |key: &str| -> Vec<String> {
        let values = workspace.get(key).and_then(|value| value.as_array()).into_iter().flatten();
        values.filter_map(|value| value.as_str()).map(|path| join(dir, path.trim_end_matches('/'))).collect()
    };
    let excluded = list("exclude");
    let mut members = Vec::new();
    for pattern in list("members") {
        if !pattern.contains(['*', '?', '[']) {
            members.push(pattern);
            continue;
        }
        let Ok(glob) = globset::GlobBuilder::new(&pattern).literal_separator(true).build() else { continue };
        members.extend(matching_manifests(tree, &glob));
    }
    members.retain(|member| !excluded.contains(member));
    members.sort();
    members.dedup();
    members
}

fn matching_manifests(tree: &Tree, glob: &Glob) -> Vec<String> {
    let matcher = glob.compile_matcher();
    let manifests = tree.files.iter().filter_map(|file| file.strip_suffix("/Cargo.toml"));
    manifests.filter(|dir| matcher.is_match(dir)).map(str::to_string).collect()
}

/// Whether `--offline` cannot fail for want of a download: the lock file is versioned, and either sources are
/// replaced by vendored ones or every locked package is in Cargo's cache. Without `--offline` a complete cache is
/// used just the same, so doubt costs nothing.
fn can_stay_offline(tree: &Tree, dir: &str) -> bool {
    let Some(lock) = tree.manifest(&join(dir, "Cargo.lock")).and_then(|text| text.parse::<toml::Table>().ok()) else {
        return false;
    };
    let vendored = [".cargo/config.toml", ".cargo/config"].iter().any(|config| {
        tree.manifest(&join(dir, config))
            .is_some_and(|text| text.contains("replace-with") && text.contains("directory"))
    });
    if vendored {
        return true;
    }
    let wanted: Vec<String> = lock
        .get("package")
        .and_then(|value| value.as_array())
        .into_iter()
        .flatten()
        .filter_map(|package| {
            let source = package.get("source")?.as_str()?;
            // A git dependency lies in the cache under a hash of its address; not looked up, so it counts as missing.
            let file = format!("{}-{}.crate", package.get("name")?.as_str()?, package.get("version")?.as_str()?);
            Some(if source.starts_with("git+") { String::new() } else { file })
        })
        .collect();
    wanted.is_empty() || cargo_home().is_some_and(|home| all_cached(&home, &wanted))
}

fn cargo_home() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        return Some(home.into());
    }
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"))
}

fn all_cached(home: &Path, wanted: &[String]) -> bool {
    let Ok(registries) = std::fs::read_dir(home.join("registry/cache")) else { return false };
    let registries: Vec<PathBuf> = registries.flatten().map(|entry| entry.path()).collect();
    wanted.iter().all(|file| !file.is_empty() && registries.iter().any(|registry| registry.join(file).is_file()))
}
