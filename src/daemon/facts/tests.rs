//! Facts of small made-up repositories.

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::*;

/// A folder with these versioned files; those ending in `*` are executable and not versioned.
struct Repo {
    dir: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Repo {
    fn new(files: &[(&str, &str)]) -> Repo {
        let dir = tempfile::tempdir().unwrap();
        let mut listed = Vec::new();
        for (name, text) in files {
            let path = dir.path().join(name.trim_end_matches('*'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if name.ends_with('*') {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            } else {
                listed.push(PathBuf::from(name));
            }
        }
        Repo { dir, files: listed }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Facts with PATH being the folder `path/` of the repository.
    fn facts(&self) -> Facts {
        gather(self.root(), &self.files, self.root().join("path").as_os_str())
    }
}

fn argvs(facts: &Facts, role: Role) -> Vec<String> {
    facts.commands(role).map(|command| command.argv.join(" ")).collect()
}

#[test]
fn a_cargo_package_with_tests() {
    let repo = Repo::new(&[
        ("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\n"),
        ("Cargo.lock", "version = 4\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n"),
        ("src/lib.rs", "pub fn f() {}\n#[test]\nfn t() {}\n"),
        ("path/cargo*", ""),
        ("path/cargo-fmt*", ""),
    ]);
    let facts = repo.facts();
    assert_eq!(argvs(&facts, Role::Test), ["cargo test --offline"]);
    assert_eq!(argvs(&facts, Role::Format), ["cargo fmt"]);
    assert_eq!(
        argvs(&facts, Role::LintFix),
        ["cargo clippy --offline --fix --allow-dirty --allow-staged --all-targets"]
    );
    assert_eq!(argvs(&facts, Role::Build), ["cargo check --offline"]);
    assert!(facts.programs["cargo"]);
    assert!(facts.programs["cargo-fmt"]);
    assert!(!facts.programs["cargo-clippy"]);
    assert!(facts.ecosystems["cargo"].tests);
    assert_eq!((facts.files, facts.languages["rust"], facts.vcs.as_str()), (3, 1, "shadow"));
    assert_eq!(facts.lines, 3 + 4 + 3);
}

#[test]
fn a_cargo_workspace_without_lock_or_tests() {
    let repo = Repo::new(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\nexclude = [\"crates/c\"]\n"),
        ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
        ("crates/b/Cargo.toml", "[package]\nname = \"b\"\n"),
        ("crates/c/Cargo.toml", "[package]\nname = \"c\"\n"),
        ("crates/a/src/lib.rs", "// no #[tests] here\n"),
    ]);
    let facts = repo.facts();
    assert_eq!(facts.ecosystems["cargo"].members, ["crates/a", "crates/b"]);
    assert!(argvs(&facts, Role::Test).is_empty());
    assert_eq!(argvs(&facts, Role::Format), ["cargo fmt --all"]);
    assert_eq!(argvs(&facts, Role::Build), ["cargo check --workspace"]);
}

#[test]
fn a_lock_with_packages_nobody_downloaded_is_not_offline() {
    let lock = "[[package]]\nname = \"nobody-has-this\"\nversion = \"9.9.9\"\nsource = \"registry+https://x\"\n";
    let package = "[package]\nname = \"x\"\n";
    let repo = Repo::new(&[("Cargo.toml", package), ("Cargo.lock", lock)]);
    assert_eq!(argvs(&repo.facts(), Role::Build), ["cargo check"]);
    let config = "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"vendor\"\n";
    let repo = Repo::new(&[("Cargo.toml", package), ("Cargo.lock", lock), (".cargo/config.toml", config)]);
    assert_eq!(argvs(&repo.facts(), Role::Build), ["cargo check --offline"]);
}

#[test]
fn npm_scripts_by_what_they_do() {
    let package = r#"{"scripts": {"test": "vitest run", "lint": "eslint .", "format": "prettier --check .",
        "fix": "eslint --fix .", "build": "tsc -p ."}}"#;
    let repo = Repo::new(&[("package.json", package), ("pnpm-lock.yaml", ""), (".prettierrc", "{}")]);
    let facts = repo.facts();
    assert_eq!(argvs(&facts, Role::Test), ["pnpm run test"]);
    assert_eq!(argvs(&facts, Role::LintFix), ["pnpm run fix"]);
    assert_eq!(argvs(&facts, Role::Format), ["node_modules/.bin/prettier --write ."]);
    assert!(!facts.programs["node_modules/.bin/prettier"]);
    assert!(argvs(&facts, Role::Lint).contains(&"pnpm run lint".to_string()));
    assert_eq!(argvs(&facts, Role::Build), ["pnpm run build"]);
    assert!(facts.ecosystems["pnpm"].tests);
}

#[test]
fn npm_placeholders_and_watchers_are_no_tests() {
    for script in ["echo \\\"Error: no test specified\\\" && exit 1", "jest --watch", ""] {
        let repo = Repo::new(&[("package.json", &format!(r#"{{"scripts": {{"test": "{script}"}}}}"#))]);
        let facts = repo.facts();
        assert!(argvs(&facts, Role::Test).is_empty(), "{script}");
        assert!(!facts.ecosystems["npm"].tests);
    }
    let repo = Repo::new(&[("package.json", r#"{"scripts": {"test": "react-scripts test"}}"#)]);
    assert_eq!(argvs(&repo.facts(), Role::Test), ["npm run test -- --watchAll=false"]);
}

#[test]
fn python_with_pytest_ruff_and_a_virtual_environment() {
    let repo = Repo::new(&[
        ("pyproject.toml", "[tool.ruff]\nline-length = 100\n[tool.pytest.ini_options]\n[tool.mypy]\nfiles = [\"x\"]\n"),
        ("tests/test_a.py", "def test_a(): pass\n"),
        ("x.py", ""),
        (".venv/bin/pytest*", ""),
    ]);
    let facts = repo.facts();
    assert_eq!(argvs(&facts, Role::Test), [".venv/bin/pytest"]);
    assert_eq!(argvs(&facts, Role::Format), ["ruff format ."]);
    assert_eq!(argvs(&facts, Role::LintFix), ["ruff check --fix ."]);
    assert_eq!(argvs(&facts, Role::Build), ["mypy"]);
    assert_eq!((facts.programs[".venv/bin/pytest"], facts.programs["ruff"]), (true, false));
}

#[test]
fn python_with_black_and_unittest() {
    let repo = Repo::new(&[
        ("setup.py", ""),
        ("requirements.txt", "black==24.1\nruffle\n"),
        ("tests/__init__.py", ""),
        ("tests/test_a.py", "import unittest\n"),
        ("tox.ini", "[tox]\n"),
    ]);
    let facts = repo.facts();
    assert_eq!(argvs(&facts, Role::Test), ["python3 -m unittest discover -s tests -t ."]);
    assert_eq!(argvs(&facts, Role::Format), ["black ."]);
    assert!(argvs(&facts, Role::LintFix).is_empty(), "ruffle is not ruff");
    assert_eq!(facts.ecosystems["python"].scripts, ["tox"]);
}

#[test]
fn go_modules_at_the_root_and_below() {
    let repo = Repo::new(&[("go.mod", "module x\n"), ("a_test.go", "package x\n")]);
    let facts = repo.facts();
    assert_eq!(argvs(&facts, Role::Test), ["go test ./..."]);
    assert_eq!(argvs(&facts, Role::Format), ["gofmt -l -w ."]);
    let repo = Repo::new(&[("svc/go.mod", "module x\n"), ("svc/a_test.go", ""), ("vendor/y/go.mod", "module y\n")]);
    assert_eq!(argvs(&repo.facts(), Role::Test), ["go -C svc test ./..."]);
}

#[test]
fn make_targets_that_repeat_the_language_are_left_out() {
    let repo = Repo::new(&[
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        ("src/lib.rs", "#[test]\nfn t() {}\n"),
        ("Makefile", "test:\n\tcargo test --all\nlint:\n\t./scripts/lint.sh\nfmt:\n\tx --check\n"),
    ]);
    let facts = repo.facts();
    assert_eq!(argvs(&facts, Role::Test), ["cargo test"]);
    assert!(argvs(&facts, Role::Lint).contains(&"make lint".to_string()));
    assert_eq!(argvs(&facts, Role::Format), ["cargo fmt"]);
    assert_eq!(facts.ecosystems["make"].scripts, ["test", "lint", "fmt"]);
}

#[test]
fn a_makefile_of_nothing_but_all_is_built_by_it_unless_a_language_says_how() {
    let makefile = ("Makefile", "all: kilo\nkilo: kilo.c\n\tcc -o kilo kilo.c\n");
    let repo = Repo::new(&[makefile, ("kilo.c", "int main(void) { return 0; }\n")]);
    assert_eq!(argvs(&repo.facts(), Role::Build), ["make all"]);
    let repo = Repo::new(&[makefile, ("Cargo.toml", "[package]\nname = \"x\"\n")]);
    assert_eq!(argvs(&repo.facts(), Role::Build), ["cargo check"]);
}

#[test]
fn sub_projects_are_entered_from_the_root() {
    let repo = Repo::new(&[
        ("web/package.json", r#"{"scripts": {"test": "node --test"}}"#),
        ("web/inner/package.json", r#"{"scripts": {"test": "node --test"}}"#),
        ("core/Cargo.toml", "[package]\nname = \"x\"\n"),
        ("core/src/lib.rs", "#[test]\nfn t() {}\n"),
        ("tests/fixtures/p/Cargo.toml", "[package]\nname = \"y\"\n"),
        ("native/Makefile", "check:\n\t./run\n"),
    ]);
    let facts = repo.facts();
    assert_eq!(
        argvs(&facts, Role::Test),
        ["cargo test --manifest-path core/Cargo.toml", "npm --prefix web run test", "make -C native check"]
    );
}

#[test]
fn broken_manifests_suggest_nothing_and_do_not_panic() {
    let repo = Repo::new(&[
        ("Cargo.toml", "[package\n"),
        ("package.json", "{\"scripts\": 3}"),
        ("pyproject.toml", "= ="),
        ("go.mod", ""),
        ("Makefile", "\t\u{1}\n:::"),
        ("justfile", ":\n"),
        ("x.bin", "\0\0"),
        ("gone.rs*", ""),
    ]);
    let mut files = repo.files.clone();
    files.push("not-there.rs".into());
    let facts = gather(repo.root(), &files, OsStr::new(""));
    assert!(facts.commands.is_empty(), "{:?}", facts.commands);
    assert!(!facts.ecosystems.contains_key("cargo"));
}

#[test]
fn the_hash_follows_the_manifests_and_nothing_else() {
    let package = "[package]\nname = \"x\"\n";
    let one = Repo::new(&[("Cargo.toml", package), ("src/lib.rs", "a\n")]).facts().manifests_hash;
    let two = Repo::new(&[("Cargo.toml", package), ("src/lib.rs", "b\n")]).facts().manifests_hash;
    let three = Repo::new(&[("Cargo.toml", "[package]\nname = \"y\"\n"), ("src/lib.rs", "a\n")]).facts().manifests_hash;
    assert_eq!(one.len(), 64);
    assert_eq!(one, two);
    assert_ne!(one, three);
    assert_eq!(Repo::new(&[("README", "")]).facts().manifests_hash, "");
}

#[test]
fn the_branch_is_read_without_git() {
    let repo = Repo::new(&[("a", "")]);
    fs::create_dir(repo.root().join(".git")).unwrap();
    fs::write(repo.root().join(".git/HEAD"), "ref: refs/heads/feature/x\n").unwrap();
    let facts = repo.facts();
    assert_eq!((facts.vcs.as_str(), facts.branch.as_deref()), ("git", Some("feature/x")));
}

#[test]
fn playbooks_are_read_with_the_rest_and_trust_is_bound_to_them() {
    let text = "version = 1\n";
    let facts = |text: &str| {
        Repo::new(&[
            ("Makefile", "test:\n\ttrue\n"),
            (".orchestrator/playbooks/b.toml", text),
            (".orchestrator/playbooks/a.toml", "broken"),
            (".orchestrator/playbooks/deep/c.toml", text),
            (".orchestrator/playbooks/notes.md", text),
            ("playbooks/d.toml", text),
        ])
        .facts()
    };
    let found = facts(text);
    let files: Vec<&str> = found.playbooks.iter().map(|playbook| playbook.file.as_str()).collect();
    assert_eq!(files, [".orchestrator/playbooks/a.toml", ".orchestrator/playbooks/b.toml"]);
    assert_eq!(found.playbooks[1].text, text);
    assert_eq!(facts(text).manifests_hash, found.manifests_hash);
    assert_ne!(facts("version = 2\n").manifests_hash, found.manifests_hash, "another playbook needs trust anew");
}
