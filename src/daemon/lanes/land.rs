//! Landing: merging in memory, and the branch on which a run's result is published. No work tree is involved.

use std::path::PathBuf;

use super::{LaneError, Oid, Repo, fields, git::failed, path_of};
use crate::ids::RunId;

/// How a merge in memory came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// It merged; verify the tree, then [`Repo::advance`] the run's reference to the commit.
    Clean {
        /// The merge; `ours` itself where `theirs` brings nothing new.
        commit: Oid,
        /// Its tree.
        tree: Oid,
    },
    /// Both sides changed the same places; nothing was kept.
    Conflict {
        /// The files, in order.
        paths: Vec<PathBuf>,
    },
}

impl Repo {
    /// Merges two commits in memory (2 processes). Neither moves.
    pub fn merge(&self, ours: &Oid, theirs: &Oid, message: &str) -> Result<Merge, LaneError> {
        match self.merge_trees(ours, theirs)? {
            Err(paths) => Ok(Merge::Conflict { paths }),
            Ok(tree) if tree == self.tree_of(ours)? => Ok(Merge::Clean { commit: ours.clone(), tree }),
            Ok(tree) => {
                let commit = self.commit_tree(&tree, &[ours, theirs], message)?;
                Ok(Merge::Clean { commit, tree })
            }
        }
    }

    /// Puts what one commit changed, and nothing of what it was built on, onto another (5 processes). Neither moves.
    ///
    /// A merge with a stand-in for `onto` whose parent is the change's own: the change's parent is then where both come
    /// from. (`merge-tree --merge-base` would say the same, from git 2.40 on.)
    pub fn pick(&self, onto: &Oid, change: &Oid, message: &str) -> Result<Merge, LaneError> {
        let parent: Oid = self.bare_call(["rev-parse", "--verify", &format!("{change}^1")]).line()?.parse()?;
        let stand_in = self.commit_tree(&self.tree_of(onto)?, &[&parent], message)?;
        match self.merge_trees(&stand_in, change)? {
            Err(paths) => Ok(Merge::Conflict { paths }),
            Ok(tree) => Ok(Merge::Clean { commit: self.commit_tree(&tree, &[onto], message)?, tree }),
        }
    }

    /// The merged tree, or the files in conflict (one process).
    pub(super) fn merge_trees(&self, ours: &Oid, theirs: &Oid) -> Result<Result<Oid, Vec<PathBuf>>, LaneError> {
        let mut call = self
            .bare_call(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"])
            .args([ours.as_str(), theirs.as_str()])
            .long();
        if self.inner.git.version >= (2, 43) {
            // Without a work tree, older versions see no `merge=union` and the like from .gitattributes.
            call = call.env("GIT_ATTR_SOURCE", ours.as_str());
        }
        let (shown, output) = (call.shown(), call.run()?);
        let mut found = fields(&output.stdout);
        match (output.code(), found.next()) {
            (Some(0), Some(tree)) => Ok(Ok(String::from_utf8_lossy(tree).trim().parse()?)),
            (Some(1), Some(_)) => Ok(Err(found.map(path_of).collect())),
            _ => Err(failed(shown, &output)),
        }
    }

    /// Sets the run's result branch and returns its name (2 processes). It is `orchestrator/R-3`, or `orchestrator-R-3`
    /// where a branch `orchestrator` is in the way. A branch that is checked out, or that stands where we did not put
    /// it, is left alone and the next free name is used (`…-2`). Which branches are ours, and where we put them, is kept
    /// in hidden references, so a repetition finds the same name.
    pub fn publish_branch(&self, run: RunId, commit: &Oid) -> Result<String, LaneError> {
        for last in [false, true] {
            let output = self.among_worktrees(|| {
                self.bare_call(["for-each-ref", "--format=%(refname) %(objectname) %(worktreepath)"])
                    .args([
                        "refs/heads/orchestrator",
                        "refs/heads/orchestrator-*",
                        "refs/heads/orchestrator-*/**",
                        &format!("refs/orchestrator/{run}/branch/"),
                    ])
                    .checked()
            })?;
            let text = String::from_utf8_lossy(&output.stdout);
            let refs: Vec<(&str, &str, bool)> = text
                .lines()
                .filter_map(|line| {
                    let mut words = line.splitn(3, ' ');
                    Some((words.next()?, words.next()?, words.next().is_some_and(|place| !place.is_empty())))
                })
                .collect();
            let find = |name: &str| refs.iter().find(|(own, _, _)| *own == name);
            let (branch, old) = (1..)
                .flat_map(|count| {
                    let end = if count == 1 { String::new() } else { format!("-{count}") };
                    [format!("orchestrator/{run}{end}"), format!("orchestrator-{run}{end}")]
                })
                .find_map(|branch| {
                    let name = format!("refs/heads/{branch}");
                    let mark = format!("refs/orchestrator/{run}/branch/{branch}");
                    let below = format!("{name}/");
                    let slashed = branch.starts_with("orchestrator/");
                    let blocked = (slashed && find("refs/heads/orchestrator").is_some())
                        || refs.iter().any(|(own, _, _)| own.starts_with(&below));
                    // The dashed form exists only for repositories where the slashed one cannot.
                    let wanted = slashed != find("refs/heads/orchestrator").is_some();
                    let mark = find(&mark).map(|(_, oid, _)| *oid);
                    match find(&name) {
                        _ if blocked || !wanted => None,
                        None => Some((branch, None)),
                        Some((_, oid, _)) if *oid == commit.as_str() && mark == Some(oid) => {
                            Some((branch, Some(oid.to_string())))
                        }
                        Some((_, oid, checked_out)) if mark == Some(oid) && !checked_out => {
                            Some((branch, Some(oid.to_string())))
                        }
                        Some(_) => None,
                    }
                })
                .unwrap_or_default();
            if old.as_deref() == Some(commit.as_str()) {
                return Ok(branch);
            }
            let zero = "0".repeat(self.inner.digits);
            let orders = format!(
                "update refs/heads/{branch} {commit} {}\nupdate refs/orchestrator/{run}/branch/{branch} {commit}\n",
                old.as_deref().unwrap_or(&zero)
            );
            let call = self.bare_call(["update-ref", "--stdin"]).input(orders.into_bytes());
            let (shown, output) = (call.shown(), call.run()?);
            if output.status.success() {
                return Ok(branch);
            }
            // Somebody moved it between the two processes; look once more.
            if last {
                return Err(failed(shown, &output));
            }
        }
        unreachable!("the second round returns")
    }
}
