//! What the gate needs from outside the core: the policy files of this machine, user and workspace, and where paths
//! really lead.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    config::Places,
    core::decide::{
        gate::{Links, Place},
        policy::{Policy, PolicyError, Source, Tier},
    },
};

/// The machine's policy file.
const ADMIN: &str = "/etc/orchestrator/policy.toml";

/// The files that are looked for, in the order of their tiers.
pub fn files(places: &Places, workspace: Option<&Path>) -> Vec<(Tier, PathBuf)> {
    let mut files = vec![(Tier::Admin, PathBuf::from(ADMIN)), (Tier::User, places.config.join("policy.toml"))];
    files.extend(workspace.map(|workspace| (Tier::Project, workspace.join(".orchestrator/policy.toml"))));
    files
}

/// The policy in force in a workspace. A file that is there and cannot be used is an error: rules that forbid must not
/// be lost in silence.
pub fn load(places: &Places, workspace: Option<&Path>) -> Result<Policy, PolicyError> {
    let mut texts = Vec::new();
    for (tier, path) in files(places, workspace) {
        let name = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => texts.push((tier, name, text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => {
                return Err(PolicyError {
                    message: format!("{name} cannot be read: {error}"),
                    hint: "mend its permissions, or move it away to go on without it".to_owned(),
                });
            }
        }
    }
    let sources: Vec<Source> = texts.iter().map(|(tier, file, text)| Source { tier: *tier, file, text }).collect();
    Policy::load(&sources)
}

/// The file system's own answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealPaths;

impl Links for RealPaths {
    fn real(&self, path: &str) -> Option<String> {
        let mut known = Path::new(path);
        let mut missing = Vec::new();
        // What is not there yet is made in the deepest folder that is.
        loop {
            match fs::canonicalize(known) {
                Ok(real) => {
                    let whole = missing.iter().rev().fold(real, |path, part| path.join(part));
                    return whole.into_os_string().into_string().ok();
                }
                Err(_) => {
                    // A link to nowhere would be followed once something is there.
                    if let Ok(target) = fs::read_link(known) {
                        let target = known.parent()?.join(target);
                        return target.to_str().map(crate::core::decide::shell::paths::normal);
                    }
                    missing.push(known.file_name()?.to_owned());
                    known = known.parent()?;
                }
            }
        }
    }
}

/// The place of a command that starts in `cwd`: the lane it is in, else the repository, else the folder itself.
pub fn place(places: &Places, cwd: &Path, home: Option<String>) -> Place {
    let real = fs::canonicalize(cwd).unwrap_or_else(|_| cwd.to_owned());
    let lane = lane_of(places, &real);
    let repository = || real.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
    let root = lane.clone().or_else(repository).unwrap_or_else(|| real.clone());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Place { cwd: text(&real), root: text(&root), lane: lane.is_some(), sandboxed: false, home }
}

/// The lane that a folder is in: `<state>/workspaces/<id>/lanes/<number>`.
fn lane_of(places: &Places, folder: &Path) -> Option<PathBuf> {
    let workspaces = fs::canonicalize(places.state.join("workspaces")).ok()?;
    let mut below = folder.strip_prefix(&workspaces).ok()?.components();
    let (id, lanes, lane) = (below.next()?, below.next()?, below.next()?);
    (lanes.as_os_str() == "lanes").then(|| workspaces.join(id).join(lanes).join(lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_the_system_says() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = fs::canonicalize(dir.path()).expect("it is there");
        fs::create_dir_all(dir.join("in")).expect("made");
        fs::create_dir_all(dir.join("out/deep")).expect("made");
        std::os::unix::fs::symlink(dir.join("out/deep"), dir.join("in/link")).expect("made");
        std::os::unix::fs::symlink("/etc/nowhere", dir.join("in/dangling")).expect("made");
        let real = |path: &str| RealPaths.real(dir.join(path).to_str().expect("UTF-8"));
        let at = |path: &str| dir.join(path).to_str().map(str::to_owned);
        assert_eq!(real("in/link/new/file"), at("out/deep/new/file"));
        assert_eq!(real("in/link/../x"), at("out/x"));
        assert_eq!(real("in/dangling"), Some("/etc/nowhere".to_owned()));
        assert_eq!(real("in/new"), at("in/new"));
    }

    #[test]
    fn a_lane_is_known_by_where_it_lies() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = fs::canonicalize(dir.path()).expect("it is there");
        let places = Places { state: dir.join("state"), runtime: dir.join("run"), config: dir.join("config") };
        let inside = dir.join("state/workspaces/web/lanes/3/src");
        fs::create_dir_all(&inside).expect("made");
        fs::create_dir_all(dir.join("repo/.git")).expect("made");
        fs::create_dir_all(dir.join("repo/src")).expect("made");
        let lane = place(&places, &inside, None);
        assert!(lane.lane && lane.root.ends_with("/lanes/3"), "{lane:?}");
        let repo = place(&places, &dir.join("repo/src"), None);
        assert!(!repo.lane && repo.root.ends_with("/repo") && repo.cwd.ends_with("/repo/src"), "{repo:?}");
    }
}
