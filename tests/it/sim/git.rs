//! A toy git: trees are maps from path to content, commits know their parent, a run has one ref, a lane has files.

use std::collections::BTreeMap;

use orchestrator::ids::{LaneId, RunId};

pub type Tree = BTreeMap<String, String>;

/// A commit.
#[derive(Clone)]
pub struct Commit {
    pub tree: Tree,
    parent: Option<String>,
}

/// What a lane holds, and for whom it was laid out.
#[derive(Default)]
pub struct Lane {
    pub owner: String,
    pub commit: String,
    pub files: Tree,
}

#[derive(Default)]
pub struct Git {
    commits: BTreeMap<String, Commit>,
    pub refs: BTreeMap<RunId, String>,
    pub branches: BTreeMap<RunId, String>,
    pub lanes: BTreeMap<LaneId, Lane>,
}

/// The name of a tree: its content.
pub fn name(tree: &Tree) -> String {
    format!("{tree:?}")
}

impl Git {
    pub fn tree(&self, commit: &str) -> &Tree {
        &self.commits.get(commit).unwrap_or_else(|| panic!("there is no commit {commit}")).tree
    }

    /// A new commit; never the same as an earlier one, as with real times in it.
    pub fn commit(&mut self, tree: Tree, parent: Option<&str>) -> String {
        let id = format!("c{}", self.commits.len());
        self.commits.insert(id.clone(), Commit { tree, parent: parent.map(str::to_owned) });
        id
    }

    pub fn lay_out(&mut self, lane: LaneId, owner: String, commit: &str) {
        let files = self.tree(commit).clone();
        self.lanes.insert(lane, Lane { owner, commit: commit.to_owned(), files });
    }

    /// Three-way merge of a commit, whose parent is the base, onto another; or the paths in conflict.
    pub fn merge(&mut self, commit: &str, onto: &str) -> Result<(String, String), Vec<String>> {
        let parent = self.commits[commit].parent.clone().expect("a change has a parent");
        if parent == onto {
            return Ok((commit.to_owned(), name(self.tree(commit))));
        }
        let (base, ours, theirs) = (self.tree(&parent), self.tree(onto), self.tree(commit));
        let mut merged = ours.clone();
        let mut conflicts = Vec::new();
        for path in base.keys().chain(theirs.keys()) {
            let (before, here, there) = (base.get(path), ours.get(path), theirs.get(path));
            if there == before || here == there {
                continue;
            }
            match there {
                _ if here != before => conflicts.push(path.clone()),
                Some(content) => drop(merged.insert(path.clone(), content.clone())),
                None => drop(merged.remove(path)),
            }
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let tree = name(&merged);
        Ok((self.commit(merged, Some(onto)), tree))
    }
}
