//! A work tree as a commit, made through a private index: nothing of the user's or the agent's is touched.
//! Not for putting a tree back (`pool` for lanes, `switch` for checkouts).
//!
//! The private index starts as a copy of the real one, so that git need not read unchanged files again. The copy keeps
//! the original's modification time: git compares it with the files' times to know which stat data it may believe, and
//! a younger copy would hide an edit made in the same tick as the last `git add`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    Change, LaneError, Oid, Repo, Skipped, SnapshotOptions, WhySkipped,
    choose::{Chosen, choose},
    nul_joined,
    repo::Scratch,
    status::Scan,
};

/// A work tree's state as a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit; HEAD itself where nothing differs from it.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Whether the commit is HEAD itself.
    pub clean: bool,
    /// What was left out, named.
    pub skipped: Vec<Skipped>,
    /// The files that were given unsaved, and why one could not be taken so.
    pub unsaved: Vec<Unsaved>,
}

/// A lane's state as a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSnapshot {
    /// The commit; the given parent itself where nothing differs from it.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// What differs from the parent.
    pub changed: Vec<Change>,
    /// What was left out, named.
    pub skipped: Vec<Skipped>,
}

/// A checkout's tree, and what was seen on the way.
#[derive(Debug)]
pub(super) struct CheckoutTree {
    pub tree: Oid,
    pub head: Option<Oid>,
    pub skipped: Vec<Skipped>,
    /// Paths of an unfinished merge.
    pub unmerged: Vec<PathBuf>,
}

/// A file that was given unsaved, and why it could not be taken so.
pub type Unsaved = (String, Option<String>);

impl Repo {
    /// The base of a run: HEAD if the checkout is clean, else a hidden commit of it, untracked files included; without
    /// any commit and any file, an empty one. `buffers` are files as an editor has them, by path: what they say is taken
    /// for what the disk says. Kept by `refname`.
    pub fn base(
        &self,
        checkout: &Path,
        refname: &str,
        buffers: &BTreeMap<String, String>,
        options: &SnapshotOptions,
    ) -> Result<Snapshot, LaneError> {
        let CheckoutTree { tree, head, skipped, .. } = self.checkout_tree(checkout, options)?;
        let (tree, unsaved) = self.with_buffers(checkout, tree, buffers)?;
        let clean = match &head {
            Some(head) => self.tree_of(head)? == tree,
            None => false,
        };
        let commit = match (&head, clean) {
            (Some(head), true) => head.clone(),
            (Some(head), false) => self.commit_tree(&tree, &[head], "The checkout as it was when the run started")?,
            (None, _) => self.commit_tree(&tree, &[], "The folder as it was when the run started")?,
        };
        self.set_ref(refname, &commit)?;
        Ok(Snapshot { commit, tree, clean, skipped, unsaved })
    }

    /// The tree with the text of these buffers in it. Only files that the tree has already: what is ignored, secret or
    /// too large stays out of it, saved or not.
    fn with_buffers(
        &self,
        checkout: &Path,
        tree: Oid,
        buffers: &BTreeMap<String, String>,
    ) -> Result<(Oid, Vec<Unsaved>), LaneError> {
        if buffers.is_empty() {
            return Ok((tree, Vec::new()));
        }
        let git_dir = self.git_dir_of(checkout)?;
        let index = Scratch(self.scratch_path("index"));
        self.bare_call(["read-tree", tree.as_str()]).index(&index.0).checked()?;
        let (mut unsaved, mut entries) = (Vec::new(), Vec::new());
        for (path, text) in buffers {
            let found = self.bare_call(["ls-tree", "-z", tree.as_str(), "--"]).arg(path).checked()?.stdout;
            let mode = found.split(|byte| *byte == b' ').next().and_then(|mode| std::str::from_utf8(mode).ok());
            let Some(mode @ ("100644" | "100755")) = mode else {
                unsaved.push((path.clone(), Some("it is not among the files that the run starts from".to_owned())));
                continue;
            };
            let blob = self.as_saved(&git_dir, checkout, path, text)?;
            entries.extend_from_slice(format!("{mode} {blob}\t{path}\0").as_bytes());
            unsaved.push((path.clone(), None));
        }
        self.bare_call(["update-index", "-z", "--index-info"]).index(&index.0).input(entries).checked()?;
        Ok((self.write_tree(&index.0)?, unsaved))
    }

    /// A text as git keeps it: by its path, so that line ends and filters are as for a saved file.
    fn as_saved(&self, git_dir: &Path, checkout: &Path, path: &str, text: &str) -> Result<String, LaneError> {
        let saved = self.inner.git.call(["hash-object", "-w", "--stdin", "--path"]).arg(path);
        saved.git_dir(git_dir).work_tree(checkout).input(text.to_owned().into_bytes()).line()
    }

    /// The tree with these texts at these paths; without the paths that have none.
    pub(super) fn with_texts<'a>(
        &self,
        checkout: &Path,
        tree: &Oid,
        texts: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Oid, LaneError> {
        let git_dir = self.git_dir_of(checkout)?;
        let index = Scratch(self.scratch_path("index"));
        self.bare_call(["read-tree", tree.as_str()]).index(&index.0).checked()?;
        let mut entries = Vec::new();
        for (path, text) in texts {
            let found = self.bare_call(["ls-tree", "-z", tree.as_str(), "--"]).arg(path).checked()?.stdout;
            let mode = if found.starts_with(b"100755 ") { "100755" } else { "100644" };
            let entry = match text {
                Some(text) => format!("{mode} {}\t{path}\0", self.as_saved(&git_dir, checkout, path, text)?),
                None => format!("0 {}\t{path}\0", "0".repeat(self.inner.digits)),
            };
            entries.extend_from_slice(entry.as_bytes());
        }
        self.bare_call(["update-index", "-z", "--index-info"]).index(&index.0).input(entries).checked()?;
        self.write_tree(&index.0)
    }

    /// The checkout's tree as it is now.
    pub(super) fn checkout_tree(&self, checkout: &Path, options: &SnapshotOptions) -> Result<CheckoutTree, LaneError> {
        let git_dir = self.git_dir_of(checkout)?;
        let index = Scratch(self.scratch_path("index"));
        copy_index(&git_dir.join("index"), &index.0)?;
        let scan = self.scan(&git_dir, checkout, &index.0, true)?;
        let (paths, skipped) = choose(checkout, &scan, options, true);
        let (unmerged, head) = (scan.unmerged, scan.head);
        if let (Some(head), true) = (&head, paths.is_empty() && !scan.staged) {
            return Ok(CheckoutTree { tree: self.tree_of(head)?, head: Some(head.clone()), skipped, unmerged });
        }
        let mut skipped = skipped;
        skipped.extend(self.add(&git_dir, checkout, &index.0, paths)?);
        let tree = self.write_tree(&index.0)?;
        if self.is_shadow() {
            // Nobody else has an index of the folder, so the next snapshot may start from this one.
            let _ = fs::rename(&index.0, git_dir.join("index"));
        }
        Ok(CheckoutTree { tree, head, skipped, unmerged })
    }

    /// A lane's state as a commit on `parent`, kept by `refname`. Nothing changed: the parent itself, no reference set.
    pub fn snapshot_lane(
        &self,
        lane_path: &Path,
        parent: &Oid,
        message: &str,
        refname: &str,
        options: &SnapshotOptions,
    ) -> Result<LaneSnapshot, LaneError> {
        // A restore that a kill interrupted may still be writing; half of it must not become a snapshot.
        let _lock = super::pool::lock(lane_path)?;
        let (git_dir, index) = self.lane_index(lane_path)?;
        let scan = self.scan_lane(lane_path, &git_dir, &index)?;
        let (paths, mut skipped) = choose(lane_path, &scan, options, false);
        if paths.is_empty() {
            let call = self.bare_call(["diff-index", "--cached", "--quiet", parent.as_str()]).index(&index);
            let (shown, output) = (call.shown(), call.run()?);
            match output.code() {
                Some(0) => {
                    let tree = self.tree_of(parent)?;
                    return Ok(LaneSnapshot { commit: parent.clone(), tree, changed: Vec::new(), skipped });
                }
                Some(1) => {}
                _ => return Err(super::git::failed(shown, &output)),
            }
        }
        skipped.extend(self.add(&git_dir, lane_path, &index, paths)?);
        let tree = self.write_tree(&index)?;
        if tree == self.tree_of(parent)? {
            return Ok(LaneSnapshot { commit: parent.clone(), tree, changed: Vec::new(), skipped });
        }
        let changed = self.tree_changes(parent, &tree)?.iter().map(|change| change.plain()).collect();
        let commit = self.commit_tree(&tree, &[parent], message)?;
        self.set_ref(refname, &commit)?;
        Ok(LaneSnapshot { commit, tree, changed, skipped })
    }

    /// The paths of a lane that a snapshot of it would take as changed since it was last prepared, restored or
    /// snapshotted (one process); for tasks that promised to change nothing.
    pub fn dirty_paths(&self, lane_path: &Path, options: &SnapshotOptions) -> Result<Vec<PathBuf>, LaneError> {
        let _lock = super::pool::lock(lane_path)?;
        let (git_dir, index) = self.lane_index(lane_path)?;
        let scan = self.scan_lane(lane_path, &git_dir, &index)?;
        let (chosen, _) = choose(lane_path, &scan, options, false);
        let paths: BTreeSet<PathBuf> = chosen.paths.into_iter().chain(chosen.hidden).collect();
        Ok(paths.into_iter().collect())
    }

    /// A look at a lane, without the links into the checkout that we put there ourselves.
    fn scan_lane(&self, lane_path: &Path, git_dir: &Path, index: &Path) -> Result<Scan, LaneError> {
        let mut scan = self.scan(git_dir, lane_path, index, false)?;
        let links = super::pool::links(lane_path);
        scan.untracked.retain(|path| !links.iter().any(|link| path == Path::new(link)));
        Ok(scan)
    }

    pub(super) fn write_tree(&self, index: &Path) -> Result<Oid, LaneError> {
        self.bare_call(["write-tree"]).index(index).line()?.parse()
    }

    /// Takes paths into a private index, through git's filters. One process; a path that git cannot take (a filter
    /// fails, it vanishes into something else) costs a few more until it is found, left out and named.
    fn add(&self, git_dir: &Path, work_tree: &Path, index: &Path, chosen: Chosen) -> Result<Vec<Skipped>, LaneError> {
        let update = |option: &str, paths: &[PathBuf]| {
            let call = self.inner.git.call(["update-index", "-z", "--add", "--remove", "--replace", option, "--stdin"]);
            call.git_dir(git_dir).work_tree(work_tree).index(index).input(nul_joined(paths)).long().run()
        };
        if !chosen.hidden.is_empty() {
            let output = update("--force-remove", &chosen.hidden)?;
            if !output.status.success() {
                return Err(super::git::failed("update-index --force-remove".to_owned(), &output));
            }
        }
        let mut skipped = Vec::new();
        let mut pending = if chosen.paths.is_empty() { Vec::new() } else { vec![chosen.paths] };
        while let Some(mut paths) = pending.pop() {
            let output = update("--add", &paths)?;
            if output.status.success() {
                continue;
            }
            if paths.len() == 1 {
                let said = output.stderr_text();
                let why = said.lines().next().unwrap_or("git could not take it").trim_start_matches("error: ");
                skipped.push(Skipped { path: paths.remove(0), why: WhySkipped::Unreadable(why.to_owned()) });
                if skipped.len() > 50 {
                    return Err(super::git::failed("update-index --stdin".to_owned(), &output));
                }
                continue;
            }
            // The first half first: a deletion must come before an addition below the same name.
            let second = paths.split_off(paths.len() / 2);
            pending.push(second);
            pending.push(paths);
        }
        Ok(skipped)
    }
}

/// Copies an index together with its modification time; a missing one stays missing, which git reads as empty.
pub(super) fn copy_index(from: &Path, to: &Path) -> Result<(), LaneError> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(LaneError::Io { what: "read", path: from.to_owned(), source }),
    };
    let copy = |source: &mut File| -> io::Result<()> {
        let modified = source.metadata()?.modified()?;
        let mut target = File::create(to)?;
        io::copy(source, &mut target)?;
        target.flush()?;
        target.set_modified(modified)
    };
    copy(&mut source).map_err(LaneError::io("write", to))
}
