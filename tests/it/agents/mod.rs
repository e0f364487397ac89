//! Agents, whole: the real Claude Code on a scripted model, scripted agents for what no real one does on purpose, and
//! sessions that claim tasks.

mod acp;
mod claude;
mod crash;
mod double;
mod pull;
mod real;
mod rogue;
mod together;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::daemon::sandbox::{Sandbox, eventually};

/// A repository with one failing test, and one that passes.
fn failing(sandbox: &Sandbox) {
    sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "repo"]);
    sandbox.write("pyproject.toml", "[project]\nname = \"sample\"\nversion = \"1\"\n");
    sandbox.write("sample.py", "def add(a, b):\n    return a - b\n");
    sandbox.write("tests/__init__.py", "");
    sandbox.write(
        "tests/test_sample.py",
        "import unittest\nimport sample\n\nclass Sample(unittest.TestCase):\n    def test_adds(self):\n        \
         self.assertEqual(sample.add(2, 3), 5)\n\n    def test_zero(self):\n        \
         self.assertEqual(sample.add(0, 0), 0)\n",
    );
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "first"]);
}

/// The report of a run, once it is over.
#[track_caller]
fn over(sandbox: &Sandbox, run: &str) -> Value {
    eventually(&format!("the end of {run}"), || {
        let status = sandbox.run(&["report", run, "--json"]).exits(0).json();
        status["outcome"].is_string().then_some(status)
    })
}

/// The first open decision, once there is one.
#[track_caller]
fn asked(sandbox: &Sandbox) -> Value {
    eventually("a decision", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        open["decisions"].as_array().and_then(|decisions| decisions.first().cloned())
    })
}

/// A file of the project's own doubles.
fn double_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doubles").join(name)
}

/// Where a program is that a test needs, or why the test is skipped. Where everything was installed, that is a failure.
fn program(name: &str, variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        named.or_else(|| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()));
    if found.is_none() {
        assert!(std::env::var_os("ORCHESTRATOR_CI").is_none(), "{name} is not installed, and {variable} names none");
        println!("skipped: {name} is not installed ({variable} may name it)");
    }
    found
}
