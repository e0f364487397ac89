//! What a `package.json` suggests: its scripts first, then the linters and formatters that are configured and installed.

use serde_json::Value;

use super::{Found, Tree, join};
use crate::core::facts::{Ecosystem, Role};

pub(super) fn find(tree: &Tree, found: &mut Found) {
    for dir in tree.projects(&["package.json"]) {
        project(tree, found, &dir);
    }
}

/// The script names of each role, best first; only the first of each line is used.
const SCRIPTS: &[(Role, &[&str])] = &[
    (Role::Format, &["format", "fmt", "format:fix", "format:write", "prettier:write", "prettier:fix", "prettier"]),
    (Role::LintFix, &["lint:fix", "lint-fix", "fix:lint", "eslint:fix", "fix"]),
    (Role::Lint, &["lint", "lint:check", "eslint"]),
    (Role::Build, &["typecheck", "type-check", "check:types", "check-types", "tsc"]),
    (Role::Build, &["build"]),
    (Role::Test, &["test:ci", "test", "test:unit", "tests"]),
];

const ESLINT: &[&str] = &[
    "eslint.config.js",
    "eslint.config.mjs",
    "eslint.config.cjs",
    "eslint.config.ts",
    ".eslintrc",
    ".eslintrc.js",
    ".eslintrc.cjs",
    ".eslintrc.json",
    ".eslintrc.yml",
    ".eslintrc.yaml",
];
const PRETTIER: &[&str] = &[
    ".prettierrc",
    ".prettierrc.json",
    ".prettierrc.json5",
    ".prettierrc.yml",
    ".prettierrc.yaml",
    ".prettierrc.toml",
    ".prettierrc.js",
    ".prettierrc.cjs",
    ".prettierrc.mjs",
    "prettier.config.js",
    "prettier.config.cjs",
    "prettier.config.mjs",
];

fn project(tree: &Tree, found: &mut Found, dir: &str) {
    let manifest = join(dir, "package.json");
    let Some(Ok(Value::Object(package))) = tree.manifest(&manifest).map(|text| serde_json::from_str(&text)) else {
        return;
    };
    let manager = manager(tree, dir, package.get("packageManager").and_then(Value::as_str));
    let scripts = package.get("scripts").and_then(Value::as_object);
    let script = |name: &str| scripts.and_then(|scripts| scripts.get(name)).and_then(Value::as_str);

    let mut tests = false;
    for (role, names) in SCRIPTS {
        for name in *names {
            let Some(body) = script(name) else { continue };
            let Some(actual) = actual_role(*role, body) else { continue };
            if actual != *role && found.has(actual, manager) {
                continue;
            }
            tests |= actual == Role::Test;
            let mut argv = run(manager, dir, name);
            if actual == Role::Test && body.contains("react-scripts test") {
                // Watches for changes, and so never ends, unless told otherwise.
                argv.extend(if manager == "npm" { &["--", "--watchAll=false"][..] } else { &["--watchAll=false"] });
            }
            let origin = format!("{manifest}: scripts.{name}");
            let known = found.commands.len();
            found.add(actual, manager, &origin, &argv);
            if found.commands.len() > known {
                found.lacks(lacks(tree, dir, body, scripts));
            }
            break;
        }
    }
    if dir.is_empty() {
        installed_tools(tree, found, manager, &package);
    }
    let ecosystem = found.ecosystems.entry(manager.into()).or_default();
    if ecosystem.manifest.is_empty() {
        *ecosystem = Ecosystem { manifest, ..Ecosystem::default() };
        ecosystem.scripts = scripts.map(|scripts| scripts.keys().cloned().collect()).unwrap_or_default();
    }
    ecosystem.tests |= tests;
    let workspaces = package.get("workspaces");
    let globs = workspaces.and_then(|value| value.get("packages").unwrap_or(value).as_array()).into_iter().flatten();
    ecosystem.members.extend(globs.filter_map(|glob| glob.as_str()).map(|glob| join(dir, glob)));
    if !dir.is_empty() {
        ecosystem.members.push(dir.to_string());
    }
}

/// The program that a script begins with, where it is a dependency's and the dependencies are not installed. Only what
/// is certain: a plain word that neither PATH nor `node_modules/.bin` has, in a project that has no `node_modules`.
fn lacks(tree: &Tree, dir: &str, body: &str, scripts: Option<&serde_json::Map<String, Value>>) -> Option<String> {
    let installed = |folder: &str| tree.root.join(join(folder, "node_modules")).is_dir();
    if installed(dir) || installed("") {
        return None;
    }
    let mut words = body.split_whitespace().skip_while(|word| word.contains('=') || *word == "cross-env");
    let mut first = words.next()?;
    // `npm run other` is as good as what the other one begins with.
    if matches!(first, "npm" | "yarn" | "pnpm") {
        let name = words.find(|word| *word != "run" && !word.starts_with('-'))?;
        let other = scripts?.get(name)?.as_str()?;
        first = other.split_whitespace().find(|word| !word.contains('=') && *word != "cross-env")?;
    }
    let plain = first.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let shell = ["echo", "cd", "exit", "true", "false", "test", "if", "for", "export", "set", "command", "exec"];
    (plain && !shell.contains(&first) && !tree.has_program(first)).then(|| first.to_owned())
}

/// The package manager, by `packageManager`, then by lock file, which in a monorepo may lie at the root.
fn manager(tree: &Tree, dir: &str, declared: Option<&str>) -> &'static str {
    let declared = declared.and_then(|text| text.split('@').next());
    if let Some(name) = ["npm", "pnpm", "yarn"].into_iter().find(|name| declared == Some(name)) {
        return name;
    }
    for place in [dir, ""] {
        for (lock, name) in [
            ("pnpm-lock.yaml", "pnpm"),
            ("yarn.lock", "yarn"),
            ("package-lock.json", "npm"),
            ("npm-shrinkwrap.json", "npm"),
        ] {
            if tree.has(&join(place, lock)) {
                return name;
            }
        }
    }
    "npm"
}

fn run<'a>(manager: &'a str, dir: &'a str, script: &'a str) -> Vec<&'a str> {
    let mut argv = vec![manager];
    if !dir.is_empty() {
        let flag = match manager {
            "pnpm" => "-C",
            "yarn" => "--cwd",
            _ => "--prefix",
        };
        argv.extend([flag, dir]);
    }
    argv.extend(["run", script]);
    argv
}

/// What a script really does, whatever it is called; `None` for one that must not be run (a placeholder, a watcher).
fn actual_role(role: Role, body: &str) -> Option<Role> {
    let checks = ["--check", "--list-different", " -c ", " -l "].iter().any(|flag| body.contains(flag));
    let mends = ["--fix", "--write", "--apply"].iter().any(|flag| body.contains(flag));
    let watches = body.split_whitespace().any(|word| matches!(word, "--watch" | "--watchAll" | "-w" | "watch"));
    match role {
        _ if body.trim().is_empty() || body.contains("no test specified") => None,
        Role::Test | Role::Build | Role::Lint if watches => None,
        Role::Format if checks && !mends => Some(Role::Lint),
        // `prettier` alone prints; only one that writes is a formatter.
        Role::Format if body.trim_start().starts_with("prettier") && !mends => None,
        Role::Lint if mends => Some(Role::LintFix),
        _ => Some(role),
    }
}

/// Tools that have a configuration at the root and no script of their own.
fn installed_tools(tree: &Tree, found: &mut Found, manager: &str, package: &serde_json::Map<String, Value>) {
    let configured = |names: &[&str], key: &str| -> Option<String> {
        if let Some(file) = tree.first_of("", names) {
            tree.manifest(&file);
            return Some(file);
        }
        package.contains_key(key).then(|| format!("package.json: {key}"))
    };
    if let Some(origin) = configured(ESLINT, "eslintConfig") {
        if !found.has(Role::LintFix, manager) {
            found.add(Role::LintFix, manager, &origin, &["node_modules/.bin/eslint", "--fix", "."]);
        }
        if !found.has(Role::Lint, manager) {
            found.add(Role::Lint, manager, &origin, &["node_modules/.bin/eslint", "."]);
        }
    }
    if let Some(origin) = configured(PRETTIER, "prettier")
        && !found.has(Role::Format, manager)
    {
        found.add(Role::Format, manager, &origin, &["node_modules/.bin/prettier", "--write", "."]);
    }
    if let Some(origin) = configured(&["biome.json", "biome.jsonc"], "") {
        if !found.has(Role::Format, manager) {
            found.add(Role::Format, manager, &origin, &["node_modules/.bin/biome", "format", "--write", "."]);
        }
        if !found.has(Role::LintFix, manager) {
            found.add(Role::LintFix, manager, &origin, &["node_modules/.bin/biome", "lint", "--write", "."]);
        }
    }
    if tree.has("tsconfig.json") && !found.has(Role::Build, manager) {
        tree.manifest("tsconfig.json");
        found.add(Role::Build, manager, "tsconfig.json", &["node_modules/.bin/tsc", "--noEmit"]);
    }
}
