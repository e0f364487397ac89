//! Playbooks and skills: those that the workspace brings, which need trust, and the user's own; and what the workspace's
//! configuration says about its lanes.

use std::path::{Path, PathBuf};

use super::{MANIFEST_BYTES_MAX, Tree, read_capped};
use crate::core::{
    facts::{LaneNeeds, ProjectPlaybook},
    run::Interaction,
};

/// Where a workspace has its own playbooks and skills.
const FOLDERS: [(&str, bool); 2] = [(".orchestrator/playbooks/", false), (".orchestrator/skills/", true)];
/// Most files of each kind that are read.
const FILES_MAX: usize = 50;
/// Where a workspace says how its lanes are made ready.
const PROJECT_CONFIG: &str = ".orchestrator/config.toml";

/// The files of the workspace, by name. Each is a manifest: its tasks run with the user's rights, so trust is bound to
/// its content as well.
pub(super) fn of_workspace(tree: &Tree) -> Vec<ProjectPlaybook> {
    let mut found = Vec::new();
    for (folder, skill) in FOLDERS {
        let here = |file: &&str| {
            let name = file.strip_prefix(folder);
            name.is_some_and(|name| name.ends_with(".toml") && !name.contains('/'))
        };
        let files = tree.files.iter().copied().filter(here).take(FILES_MAX);
        found.extend(files.filter_map(|file| {
            Some(ProjectPlaybook { file: file.to_owned(), text: tree.manifest(file)?, skill, own: false })
        }));
    }
    found
}

/// The user's own files: `playbooks/` and `skills/` below the configuration, and folders of skills named there.
pub fn of_user(config: &Path, skill_paths: &[String]) -> Vec<ProjectPlaybook> {
    let mut folders = vec![(config.join("playbooks"), false), (config.join("skills"), true)];
    folders.extend(skill_paths.iter().map(|path| (PathBuf::from(path), true)));
    let mut found = Vec::new();
    for (folder, skill) in folders {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
        files.sort();
        found.extend(files.into_iter().take(FILES_MAX).filter_map(|path| {
            let text = read_capped(&path, MANIFEST_BYTES_MAX)?;
            Some(ProjectPlaybook { file: path.display().to_string(), text, skill, own: true })
        }));
    }
    found
}

/// How much the workspace's own configuration wants to be asked, at least.
pub(super) fn interaction(tree: &Tree) -> Option<Interaction> {
    tree.manifest(PROJECT_CONFIG).and_then(|text| read_interaction(&text).ok()).flatten()
}

fn read_interaction(text: &str) -> Result<Option<Interaction>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Some(interaction) = table.get("interaction") else { return Ok(None) };
    match interaction.as_table().filter(|table| table.len() == 1).and_then(|table| table.get("mode")) {
        Some(mode) => {
            mode.clone().try_into().map(Some).map_err(|_| {
                format!("[interaction]: mode is {mode}; it is one of minimal, checkpoint and collaborative")
            })
        }
        None => Err("[interaction]: a workspace says `mode` there, and nothing else".to_owned()),
    }
}

/// What the workspace's `.orchestrator/config.toml` says about lanes. Reading it makes it a manifest, so that its
/// commands need trust. What cannot be read says nothing; [`lane_problem`] says what is wrong.
pub(super) fn lanes(tree: &Tree) -> LaneNeeds {
    tree.manifest(PROJECT_CONFIG).and_then(|text| read_lanes(&text).ok()).unwrap_or_default()
}

/// What is wrong with the workspace's own configuration, as far as lanes and questions go.
pub fn lane_problem(root: &Path) -> Option<String> {
    let text = read_capped(&root.join(PROJECT_CONFIG), MANIFEST_BYTES_MAX)?;
    read_lanes(&text)
        .err()
        .or(read_interaction(&text).err())
        .map(|why| format!("{PROJECT_CONFIG} is passed over: {why}"))
}

fn read_lanes(text: &str) -> Result<LaneNeeds, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Some(lanes) = table.get("lanes") else { return Ok(LaneNeeds::default()) };
    let needs: LaneNeeds = lanes.clone().try_into().map_err(|error: toml::de::Error| {
        format!("[lanes]: {}; a workspace says `setup`, `copy` and `link` there", error.message())
    })?;
    let names = needs.copy.iter().chain(&needs.link);
    match names.into_iter().find(|name| name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | "..")) {
        Some(name) => Err(format!("[lanes]: {name:?} is not the name of a folder")),
        None => Ok(needs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_to_ask_is_read_strictly() {
        assert_eq!(read_interaction("[lanes]\nsetup = []\n"), Ok(None));
        assert_eq!(read_interaction("[interaction]\nmode = \"collaborative\"\n"), Ok(Some(Interaction::Collaborative)));
        for text in ["[interaction]\nmode = \"never\"\n", "[interaction]\nmode = \"minimal\"\nnotify = [\"x\"]\n"] {
            assert!(read_interaction(text).unwrap_err().starts_with("[interaction]: "), "{text}");
        }
    }

    #[test]
    fn lanes_are_read_strictly() {
        let read = |text: &str| read_lanes(text);
        assert_eq!(read("[policy]\nx = 1\n").unwrap(), LaneNeeds::default());
        let needs = read("[lanes]\nsetup = [\"npm\", \"ci\"]\ncopy = [\"deps\"]\n").unwrap();
        assert_eq!((needs.setup, needs.copy), (vec!["npm".into(), "ci".into()], vec!["deps".into()]));
        for (text, wrong) in [
            ("[lanes]\nmax = 60\n", "unknown field `max`"),
            ("[lanes]\nlink = [\"../other\"]\n", "\"../other\" is not the name of a folder"),
            ("[lanes]\nsetup = \"npm ci\"\n", "[lanes]"),
            ("[lanes\n", ""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
