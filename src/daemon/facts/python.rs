//! What a Python project suggests. Python has no one manifest, so several files are asked.

use super::{Found, Tree, is_foreign, join, read_capped};
use crate::core::facts::{Ecosystem, Role};

const MANIFESTS: &[&str] =
    &["pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini", "Pipfile", "requirements.txt", "noxfile.py"];

pub(super) fn find(tree: &Tree, found: &mut Found) {
    for dir in tree.projects(MANIFESTS) {
        project(tree, found, &dir);
    }
}

/// The configuration texts of one project.
struct Config {
    pyproject: toml::Table,
    setup_cfg: String,
    tox: String,
    requirements: String,
    precommit: String,
}

impl Config {
    fn tool(&self, name: &str) -> Option<&toml::Value> {
        self.pyproject.get("tool")?.get(name)
    }

    /// Whether the project depends on a distribution, anywhere it may say so.
    fn requires(&self, name: &str) -> bool {
        let starts = |text: &str| {
            let text = text.trim().trim_matches(['"', '\'']);
            let rest =
                text.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name)).map(|_| &text[name.len()..]);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_'))
        };
        let in_lists = |text: &str| text.lines().any(starts);
        in_lists(&self.requirements) || in_lists(&self.setup_cfg) || mentions(&self.pyproject, &starts)
    }
}

/// Whether a dependency list or table anywhere in `pyproject.toml` names it.
fn mentions(table: &toml::Table, starts: &dyn Fn(&str) -> bool) -> bool {
    table.iter().any(|(key, value)| {
        let dependencies = key.contains("dependencies") || key.contains("dependency-groups") || key == "dev";
        match value {
            toml::Value::Array(items) => items.iter().any(|item| item.as_str().is_some_and(starts)),
            toml::Value::Table(inner) => {
                (dependencies && inner.keys().any(|name| starts(name))) || mentions(inner, starts)
            }
            _ => false,
        }
    })
}

fn project(tree: &Tree, found: &mut Found, dir: &str) {
    let Some(manifest) = tree.first_of(dir, MANIFESTS) else { return };
    let text = |name: &str| tree.manifest(&join(dir, name)).unwrap_or_default();
    let requirements =
        ["requirements.txt", "requirements-dev.txt", "dev-requirements.txt", "requirements_dev.txt", "Pipfile"];
    let config = Config {
        pyproject: text("pyproject.toml").parse().unwrap_or_default(),
        setup_cfg: text("setup.cfg"),
        tox: text("tox.ini"),
        requirements: requirements.iter().map(|name| text(name)).collect::<Vec<_>>().join("\n"),
        precommit: tree.precommit().to_string(),
    };
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    let ours: Vec<&str> = tree.files.iter().copied().filter(|file| file.starts_with(&prefix)).collect();
    if !ours.iter().any(|file| file.ends_with(".py")) && config.pyproject.is_empty() {
        return;
    }
    let test_files: Vec<&str> = ours.iter().copied().filter(|file| is_test_file(file)).collect();
    let place = if dir.is_empty() { "." } else { dir };
    let argv = |name: &str, words: &[&str]| start(tree, dir, name, words);

    formatters(&config, tree, found, &manifest, place);
    if has_any(tree, dir, &["mypy.ini", ".mypy.ini"])
        || config.tool("mypy").is_some()
        || config.setup_cfg.contains("[mypy")
    {
        let listed = config.tool("mypy").is_some_and(|mypy| mypy.get("files").or(mypy.get("packages")).is_some());
        let words: &[&str] = if listed && dir.is_empty() { &[] } else { &[place] };
        found.add(Role::Build, "python", &manifest, &strs(&argv("mypy", words)));
    }
    if has_any(tree, dir, &[".flake8"]) || config.setup_cfg.contains("[flake8]") || config.tox.contains("[flake8]") {
        found.add(Role::Lint, "python", &manifest, &strs(&argv("flake8", &[place])));
    }

    let tests = !test_files.is_empty();
    if tests {
        let says_pytest = config.tool("pytest").is_some()
            || has_any(tree, dir, &["pytest.ini", "conftest.py", "tests/conftest.py", "test/conftest.py"])
            || config.setup_cfg.contains("[tool:pytest]")
            || config.tox.contains("[pytest]")
            || config.requires("pytest");
        let unittest = test_files
            .iter()
            .take(50)
            .any(|file| read_capped(&tree.root.join(file), 1 << 20).is_some_and(|text| text.contains("unittest")));
        if says_pytest || !unittest {
            let words: &[&str] = if dir.is_empty() { &[] } else { &[dir] };
            found.add(Role::Test, "python", &manifest, &strs(&argv("pytest", words)));
        } else {
            let folder = ["tests", "test"].iter().map(|name| join(dir, name));
            let folder =
                folder.into_iter().find(|folder| test_files.iter().any(|f| f.starts_with(&format!("{folder}/"))));
            let python = argv("python3", &["-m", "unittest", "discover", "-s"]);
            let mut words = strs(&python);
            let folder = folder.unwrap_or_else(|| place.to_string());
            words.push(&folder);
            if dir.is_empty() && folder != "." && tree.has(&format!("{folder}/__init__.py")) {
                words.extend(["-t", "."]);
            }
            found.add(Role::Test, "python", &manifest, &words);
        }
    }

    let ecosystem = found.ecosystems.entry("python".into()).or_default();
    if ecosystem.manifest.is_empty() {
        *ecosystem = Ecosystem { manifest, ..Ecosystem::default() };
        // Both build environments of their own from the network, so they are named but not proposed as commands.
        if !config.tox.is_empty() || config.tool("tox").is_some() {
            ecosystem.scripts.push("tox".into());
        }
        if has_any(tree, dir, &["noxfile.py"]) {
            ecosystem.scripts.push("nox".into());
        }
    }
    ecosystem.tests |= tests;
    if !dir.is_empty() {
        ecosystem.members.push(dir.to_string());
    }
}

fn formatters(config: &Config, tree: &Tree, found: &mut Found, manifest: &str, place: &str) {
    let dir = if place == "." { "" } else { place };
    let black = config.tool("black").is_some() || config.requires("black") || config.precommit.contains("id: black");
    let ruff = config.tool("ruff").is_some()
        || has_any(tree, dir, &["ruff.toml", ".ruff.toml"])
        || config.requires("ruff")
        || config.precommit.contains("id: ruff");
    let isort = config.tool("isort").is_some() || has_any(tree, dir, &[".isort.cfg"]);
    let mut add = |role, name: &str, words: &[&str]| {
        found.add(role, "python", manifest, &strs(&start(tree, dir, name, words)));
    };
    if isort {
        add(Role::Format, "isort", &[place]);
    }
    if black {
        add(Role::Format, "black", &[place]);
    } else if ruff {
        add(Role::Format, "ruff", &["format", place]);
    }
    if ruff {
        add(Role::LintFix, "ruff", &["check", "--fix", place]);
        add(Role::Lint, "ruff", &["check", place]);
    }
}

/// How this project would start a Python program: its own virtual environment, then its environment tool, then PATH.
fn start(tree: &Tree, dir: &str, name: &str, words: &[&str]) -> Vec<String> {
    let mut argv = Vec::new();
    let venvs = [".venv", "venv"].iter().flat_map(|venv| [join(dir, venv), venv.to_string()]);
    let own = venvs.map(|venv| format!("{venv}/bin/{name}")).find(|path| tree.has_program(path));
    let lock = |file: &str| dir.is_empty() && tree.has(file);
    if let Some(own) = own {
        argv.push(own);
    } else if lock("uv.lock") && tree.has_program("uv") {
        argv.extend(["uv", "run", "--frozen", name].map(String::from));
    } else if lock("poetry.lock") && tree.has_program("poetry") {
        argv.extend(["poetry", "run", name].map(String::from));
    } else {
        argv.push(name.to_string());
    }
    argv.extend(words.iter().map(|word| word.to_string()));
    argv
}

fn strs(argv: &[String]) -> Vec<&str> {
    argv.iter().map(String::as_str).collect()
}

fn has_any(tree: &Tree, dir: &str, names: &[&str]) -> bool {
    // Read, not only looked up: a configuration can name programs to load, so trust must cover it.
    tree.first_of(dir, names).is_some_and(|file| tree.manifest(&file).is_some())
}

fn is_test_file(file: &str) -> bool {
    let (dir, name) = file.rsplit_once('/').unwrap_or(("", file));
    name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py")) && !is_foreign(dir)
}
