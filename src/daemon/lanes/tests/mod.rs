//! Real git in temporary folders: what each call promises, and that the user's repository stays as it was.

mod apply;
mod kill;
mod lanes;
mod places;
mod snapshots;
mod speed;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use super::*;
use crate::ids::{LaneId, RunId};

const RUN: RunId = RunId(3);

/// A temporary world: a repository (or folder) with its state folder and lanes beside it.
struct World {
    _keep: tempfile::TempDir,
    root: PathBuf,
    /// The user's checkout.
    checkout: PathBuf,
    state: PathBuf,
    lanes: PathBuf,
}

/// All files below a folder but `.git`: kind and executable bit, and content.
type Contents = BTreeMap<PathBuf, (String, Vec<u8>)>;

fn git(dir: &Path, args: &[&str]) -> String {
    let output = run_git(dir, args);
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run_git(dir: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command
        .args(["-c", "user.name=User", "-c", "user.email=user@example.org", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

fn own_git() -> Git {
    Git::find(std::env::var_os("PATH").as_deref()).unwrap()
}

impl World {
    /// An empty folder.
    fn folder() -> World {
        let keep = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(keep.path()).unwrap();
        let world = World {
            checkout: root.join("project"),
            state: root.join("state"),
            lanes: root.join("state/lanes"),
            root,
            _keep: keep,
        };
        fs::create_dir_all(&world.checkout).unwrap();
        world
    }

    /// A repository without commits.
    fn unborn(options: &[&str]) -> World {
        let world = World::folder();
        let mut args = vec!["init", "--quiet", "--initial-branch=main"];
        args.extend(options);
        git(&world.checkout, &args);
        world
    }

    /// A repository with one commit of the given files.
    fn with(files: &[(&str, &str)]) -> World {
        let world = World::unborn(&[]);
        world.write(files);
        world.commit("first");
        world
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            write(&self.checkout.join(path), text);
        }
    }

    fn commit(&self, message: &str) -> Oid {
        git(&self.checkout, &["add", "-A"]);
        git(&self.checkout, &["commit", "--quiet", "--allow-empty", "-m", message]);
        self.oid("HEAD")
    }

    fn oid(&self, name: &str) -> Oid {
        git(&self.checkout, &["rev-parse", name]).trim().parse().unwrap()
    }

    fn found(&self) -> Found {
        discover(&own_git(), &self.checkout, &self.state, &FolderLimits::default()).unwrap()
    }

    fn repo(&self) -> Repo {
        self.found().repo
    }

    fn base(&self, repo: &Repo) -> Snapshot {
        repo.base(&self.checkout, "refs/orchestrator/R-3/base", &BTreeMap::new(), &SnapshotOptions::default()).unwrap()
    }

    fn lane(&self, repo: &Repo, at: &Oid) -> PathBuf {
        self.prepared(repo, 1, at, &Prepare::default()).path
    }

    fn prepared(&self, repo: &Repo, lane: u32, at: &Oid, prepare: &Prepare) -> PreparedLane {
        repo.prepare_lane(LaneId(lane), &self.lanes, at, &self.checkout, prepare).unwrap()
    }

    /// A base, a lane on it, the work done there, and its snapshot.
    fn work(&self, repo: &Repo, work: impl FnOnce(&Path)) -> (Oid, Oid) {
        let base = self.base(repo).commit;
        let lane = self.lane(repo, &base);
        work(&lane);
        (base.clone(), snap(repo, &lane, &base).commit)
    }

    fn plan(&self, base: &Oid, result: &Oid) -> ApplyPlan {
        ApplyPlan {
            checkout: self.checkout.clone(),
            base: base.clone(),
            result: result.clone(),
            run: RUN,
            staging: self.state.join("staging"),
            options: SnapshotOptions::default(),
        }
    }

    fn undo_plan(&self, applied: &Applied) -> UndoPlan {
        UndoPlan {
            checkout: self.checkout.clone(),
            before: applied.before.clone(),
            merged_tree: applied.merged_tree.clone(),
            staging: self.state.join("staging"),
        }
    }

    fn contents(&self) -> Contents {
        contents(&self.checkout)
    }

    /// Everything of the user's that must stay: index bytes, HEAD, branches, tags, stash, configuration, status.
    fn private_state(&self) -> Vec<Vec<u8>> {
        let read = |name: &str| fs::read(self.checkout.join(".git").join(name)).unwrap_or_default();
        let said = |args: &[&str]| run_git(&self.checkout, args).stdout;
        vec![
            read("index"),
            read("HEAD"),
            read("config"),
            read("info/exclude"),
            said(&["for-each-ref", "refs/heads", "refs/tags", "refs/stash", "refs/remotes"]),
            said(&["stash", "list"]),
            said(&["--no-optional-locks", "status", "--porcelain=v2", "--untracked-files=all"]),
        ]
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn contents(root: &Path) -> Contents {
    let mut found = Contents::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let meta = path.symlink_metadata().unwrap();
            let own = path.strip_prefix(root).unwrap().to_owned();
            if entry.file_name() == OsStr::new(".git") {
                continue;
            }
            if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
                found.insert(own, ("link".to_owned(), target));
            } else if meta.is_dir() {
                pending.push(path);
            } else {
                let kind = if meta.mode() & 0o100 != 0 { "program" } else { "file" };
                found.insert(own, (kind.to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn snap(repo: &Repo, lane: &Path, parent: &Oid) -> LaneSnapshot {
    let refname = "refs/orchestrator/R-3/T-1/1";
    repo.snapshot_lane(lane, parent, "Work", refname, &SnapshotOptions::default()).unwrap()
}

fn names(changes: &[Change]) -> Vec<(String, Status)> {
    changes.iter().map(|change| (change.path.to_string_lossy().into_owned(), change.status)).collect()
}
