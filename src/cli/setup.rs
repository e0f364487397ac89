//! Puts in place, or prints, what an editor needs to start this program. Doing it twice is doing it once. What a model
//! host needs is `claude_code`'s.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    args::SetupWhat,
    claude_code,
    console::Console,
    exit::{CliError, Exit},
};

/// The Neovim plugin, as it is in `editors/nvim`: its paths and texts.
const NEOVIM: &[(&str, &str)] = &[
    ("lsp/orchestrator.lua", include_str!("../../editors/nvim/lsp/orchestrator.lua")),
    ("plugin/orchestrator.lua", include_str!("../../editors/nvim/plugin/orchestrator.lua")),
    ("lua/orchestrator/init.lua", include_str!("../../editors/nvim/lua/orchestrator/init.lua")),
    ("lua/orchestrator/health.lua", include_str!("../../editors/nvim/lua/orchestrator/health.lua")),
    ("doc/orchestrator.txt", include_str!("../../editors/nvim/doc/orchestrator.txt")),
];

const HELIX: &str = include_str!("../../editors/helix/languages.toml");
const EMACS: &str = include_str!("../../editors/emacs/orchestrator.el");

const VSCODE: &str = "The extension is packed from a clone of this repository, with node 18 or later:

  cd editors/vscode && npm ci && npm run pack
  code --install-extension orchestrator-0.1.0.vsix

It looks for `orchestrator` on the PATH; the setting orchestrator.path says where else.
";

/// Carries it out.
pub fn run(console: &mut Console, workspace: &Path, what: &SetupWhat) -> Result<Exit, CliError> {
    match what {
        SetupWhat::ClaudeCode(arguments) => return claude_code::run(console, workspace, arguments),
        SetupWhat::Neovim { print: false } => {
            let folder = data_home()?.join("nvim/site/pack/orchestrator/start/orchestrator");
            let changed = neovim(&folder).map_err(CliError::io("cannot write the plugin"))?;
            if console.json {
                console.object(&json!({"editor": "neovim", "folder": folder, "changed": changed}))?;
                return Ok(Exit::Completed);
            }
            let what = match changed.len() {
                0 => "was there already".to_owned(),
                count => format!("is in place: {count} files written"),
            };
            console.line(format!("the plugin {what}, in {}", folder.display()))?;
            console.line(
                "It serves every buffer from the next start on. Try `:checkhealth orchestrator`, then `gra` on a \
                          TODO, or `:Orchestrator run` with your words.",
            )?;
        }
        SetupWhat::Neovim { print: true } => {
            for (path, text) in NEOVIM {
                console.text(format!("==> {path} <==\n{text}\n"))?;
            }
            console.text(format!("==> plugin/orchestrator_enable.lua <==\n{}", enable()))?;
        }
        SetupWhat::Vscode => console.text(VSCODE)?,
        SetupWhat::Helix => console.text(HELIX)?,
        SetupWhat::Emacs => console.text(EMACS)?,
    }
    Ok(Exit::Completed)
}

/// Writes the plugin into a folder that Neovim loads by itself; the files that were not as they should be.
fn neovim(folder: &Path) -> io::Result<Vec<String>> {
    let mut changed = Vec::new();
    let enable = enable();
    let files = NEOVIM.iter().copied().chain([("plugin/orchestrator_enable.lua", enable.as_str())]);
    for (path, text) in files {
        let file = folder.join(path);
        if fs::read(&file).is_ok_and(|now| now == text.as_bytes()) {
            continue;
        }
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(&file, text)?;
        changed.push(path.to_owned());
    }
    Ok(changed)
}

/// What turns the server on. Where the PATH does not lead to this program, it is named in full.
fn enable() -> String {
    let own = std::env::current_exe().ok().and_then(|own| own.canonicalize().ok());
    let mut text = "-- Written by `orchestrator setup neovim`.\n".to_owned();
    if let Some(own) = own.filter(|own| on_path().as_ref() != Some(own)) {
        let program = own.display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
        text.push_str(&format!("require('orchestrator').setup({{ cmd = {{ '{program}', '--lsp' }} }})\n"));
    }
    text.push_str("vim.lsp.enable('orchestrator')\n");
    // A package of this kind has nobody who makes its help known.
    text.push_str(
        "local doc = vim.fs.dirname(vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2))) .. '/doc'\n\
         if not vim.uv.fs_stat(doc .. '/tags') then\n  vim.cmd.helptags(vim.fn.fnameescape(doc))\nend\n",
    );
    text
}

/// The program that `orchestrator` means on the PATH.
fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|folder| folder.join("orchestrator").canonicalize().ok())
}

/// Where a user's programs keep what belongs to them.
fn data_home() -> Result<PathBuf, CliError> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    home.ok_or_else(|| CliError::usage("neither XDG_DATA_HOME nor HOME is set", "set HOME, or use --print"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_written_once_and_mended_where_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let all = neovim(folder.path()).unwrap();
        assert_eq!(all.len(), NEOVIM.len() + 1);
        assert_eq!(neovim(folder.path()).unwrap(), Vec::<String>::new());
        fs::write(folder.path().join("lsp/orchestrator.lua"), "old").unwrap();
        assert_eq!(neovim(folder.path()).unwrap(), ["lsp/orchestrator.lua"]);
        let enabled = fs::read_to_string(folder.path().join("plugin/orchestrator_enable.lua")).unwrap();
        assert!(enabled.contains("'--lsp' } })\nvim.lsp.enable('orchestrator')\n"), "a test is on no PATH: {enabled}");
    }

    #[test]
    fn every_file_of_the_plugin_is_in_the_table() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/nvim");
        let mut found = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path.strip_prefix(&folder).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        let mut known: Vec<&str> = NEOVIM.iter().map(|(path, _)| *path).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
