//! Real clients: Neovim without a screen, and pytest-lsp with what named editors declare. `.ci/clients` puts them in
//! place; where one is absent the test says so.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::daemon::sandbox::{PATH, Sandbox};

/// The program that a variable names, or a sentence that it is not there.
fn client(variable: &str, what: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(program) => Some(program.into()),
        None if std::env::var_os("ORCHESTRATOR_CI").is_some() => panic!("{what} is missing: {variable} is not set"),
        None => {
            println!("skipped: {what} is not there ({variable} names it; .ci/clients installs it)");
            None
        }
    }
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A command with our program first on its PATH.
fn with_us(sandbox: &Sandbox, mut command: Command) -> Command {
    let own = Path::new(env!("CARGO_BIN_EXE_orchestrator")).parent().unwrap();
    command.env("PATH", format!("{}:{PATH}", own.display())).env("XDG_DATA_HOME", sandbox.root.join("data"));
    command
}

#[test]
fn neovim_with_nothing_but_enable() {
    let Some(nvim) = client("ORCHESTRATOR_NVIM", "Neovim 0.11 or later") else { return };
    let sandbox = Sandbox::new();
    sandbox.write("notes.txt", "one\n\n# TODO: say it louder\n");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "notes"]);
    let script = here("tests/it/lsp/nvim_check.lua");
    let arguments = ["--headless", "-u", "NONE", "-l", script.to_str().unwrap(), "notes.txt"];
    let mut command = with_us(&sandbox, sandbox.command_of(&nvim, &arguments));
    command.env("NVIM_PLUGIN", here("editors/nvim"));
    let said = sandbox.finish(command).exits(0);
    for fact in [
        "attached: orchestrator | utf-16",
        "offered: Orchestrate: do this TODO\n",
        "progress: begin | true | end",
        "-> Bring it in, Show the diff, Show the report",
        "buffer: two | true",
        "diagnostic: true | true | D-1 waits for you: Which colour?",
        "lens: 1 decision waiting: Which colour?",
        "open after no answer: 1",
        "D-1: Which colour? -> Red (",
        "saved by the user: two\n",
        "after undo: 0 | 0 | 0 | false\n",
        "plan: true",
        "health: true | true",
        "all is well",
    ] {
        assert!(said.all().contains(fact), "{fact:?} is missing:\n{}", said.all());
    }
    assert_eq!(sandbox.read("notes.txt").lines().next(), Some("one"), "taken out again");
}

/// Two repositories in one session, each with an R-1 of its own to come: what is typed in a buffer is for its root.
#[test]
fn neovim_with_two_roots() {
    let Some(nvim) = client("ORCHESTRATOR_NVIM", "Neovim 0.11 or later") else { return };
    let sandbox = Sandbox::new();
    sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "other"]);
    let other = sandbox.root.join("other");
    std::fs::write(other.join("notes.txt"), "one\n").unwrap();
    sandbox.git_in(&other, &["add", "-A"]);
    sandbox.git_in(&other, &["commit", "-q", "-m", "notes"]);
    let script = here("tests/it/lsp/nvim_roots.lua");
    let (script, file) = (script.to_str().unwrap(), other.join("notes.txt"));
    let arguments = ["--headless", "-u", "NONE", "-l", script, "src/lib.txt", file.to_str().unwrap()];
    let mut command = with_us(&sandbox, sandbox.command_of(&nvim, &arguments));
    command.env("NVIM_PLUGIN", here("editors/nvim"));
    let said = sandbox.finish(command).exits(0);
    for fact in [
        "two servers: true | repo | other\n",
        "second: 1 waiting | 1\n",
        "first: [] | 0\n",
        "decide in the first: nothing waits for you\n",
        "on the page: 1 | 2\n",
        "nowhere: In which folder?  -> repo, other\n",
        "nowhere, all: 1\n",
        "asked: D-1: Which colour? -> Red (",
        "answered: 0 | 0\n",
        "one left: 0 | ",
        "all is well",
    ] {
        assert!(said.all().contains(fact), "{fact:?} is missing:\n{}", said.all());
    }
}

/// What the README promises: `setup neovim` and nothing more.
#[test]
fn neovim_after_setup_attaches_by_itself() {
    let Some(nvim) = client("ORCHESTRATOR_NVIM", "Neovim 0.11 or later") else { return };
    let sandbox = Sandbox::new();
    let setup = || sandbox.finish(with_us(&sandbox, sandbox.command(&["setup", "neovim"]))).exits(0);
    setup().says("is in place: 6 files written");
    setup().says("was there already");
    let ask = "lua local ok = vim.wait(20000, function() local c = vim.lsp.get_clients({name = 'orchestrator', bufnr = 0})[1] \
               return c and c.initialized end, 20); io.stdout:write('attached ' .. tostring(ok) .. ' ' .. vim.fn.exists(':Orchestrator'))";
    let arguments = ["--headless", "src/lib.txt", "-c", ask, "-c", "qa!"];
    let said = sandbox.finish(with_us(&sandbox, sandbox.command_of(&nvim, &arguments)));
    assert!(said.all().contains("attached true 2"), "{said:?}");
}

#[test]
fn pytest_lsp_as_three_editors() {
    let Some(python) = client("ORCHESTRATOR_PYTEST_LSP", "pytest-lsp") else { return };
    let sandbox = Sandbox::new();
    let script = here("tests/it/lsp/pytest_flow.py");
    let arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", script.to_str().unwrap()];
    let mut command = sandbox.command_of(&python, &arguments);
    command.env("ORCHESTRATOR", env!("CARGO_BIN_EXE_orchestrator")).env("WORKSPACE", &sandbox.repo);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    sandbox.finish(command).exits(0).says("6 passed");
}

/// The lines that a new user of VS Code copies, in the README and as `setup vscode` prints them, name what there is.
#[test]
fn the_lines_for_vs_code_name_what_there_is() {
    let read = |name: &str| std::fs::read_to_string(here(name)).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&read("editors/vscode/package.json")).unwrap();
    let packed = format!("orchestrator-{}.vsix", manifest["version"].as_str().unwrap());
    assert!(manifest["scripts"]["pack"].is_string() && here("editors/vscode/package-lock.json").exists());
    let sandbox = Sandbox::new();
    let printed = sandbox.run(&["setup", "vscode"]).exits(0).out;
    for text in [read("README.md"), printed] {
        for line in ["cd editors/vscode && npm ci && npm run pack", &format!("code --install-extension {packed}")] {
            assert!(text.contains(line), "{line:?} is missing:\n{text}");
        }
    }
    assert!(read("README.md").contains("`orchestrator setup neovim`"), "what the test above follows");
}
