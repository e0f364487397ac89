//! A run's result enters the user's checkout, and leaves it again. The merge is in memory; the writing is `switch`'s.
//!
//! Each application N of a run keeps three references below `refs/orchestrator/R-3/`: `before-N` (a snapshot of the
//! checkout, its parent the run's base) and `merged-N` (what it becomes, its parents `before-N` and the result), both set
//! before the first write, and `applied-N` once all is written. So an application that was killed is known by the missing
//! third one, and the next call finishes it.

use std::path::{Path, PathBuf};

use super::{Blocked, LaneError, Oid, Repo, Skipped, SnapshotOptions, WhyBlocked, snapshot::CheckoutTree};
use crate::ids::RunId;

/// What to apply, and where.
#[derive(Debug, Clone)]
pub struct ApplyPlan {
    /// The work tree's root.
    pub checkout: PathBuf,
    /// The run's base.
    pub base: Oid,
    /// The run's result, or a part of it.
    pub result: Oid,
    /// The run.
    pub run: RunId,
    /// A folder of ours for content on its way; best on the checkout's file system. What is in it while no call runs was
    /// left by a kill and may be deleted.
    pub staging: PathBuf,
    /// What counts as part of the checkout.
    pub options: SnapshotOptions,
}

/// How an application ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The checkout as it was; [`UndoPlan`] wants it.
    pub before: Oid,
    /// The tree it became; [`UndoPlan`] wants it.
    pub merged_tree: Oid,
    /// The paths that were written.
    pub paths: Vec<PathBuf>,
    /// Why nothing was written; empty on success.
    pub conflicts: Vec<Blocked>,
    /// The checkout already holds all of the result; nothing was written.
    pub already: bool,
    /// Submodules whose recorded commit the result changes. Their work trees are left alone.
    pub submodules: Vec<PathBuf>,
    /// What was not looked at, named.
    pub skipped: Vec<Skipped>,
}

/// A file that an editor has in its buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// From the checkout's top folder.
    pub path: String,
    /// Its text before; nothing where there was no such file.
    pub before: Option<String>,
    /// Its text then; nothing where the file goes.
    pub after: Option<String>,
}

/// What to take out again: an application's own words.
#[derive(Debug, Clone)]
pub struct UndoPlan {
    /// The work tree's root.
    pub checkout: PathBuf,
    /// [`Applied::before`].
    pub before: Oid,
    /// [`Applied::merged_tree`].
    pub merged_tree: Oid,
    /// As in [`ApplyPlan`].
    pub staging: PathBuf,
}

/// How an undo ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// These paths are as they were before the application.
    Restored {
        /// The paths written.
        paths: Vec<PathBuf>,
    },
    /// Every path was so already.
    Already,
    /// Nothing was written.
    Refused {
        /// The paths that were edited since, or are in the way.
        edited: Vec<Blocked>,
    },
}

/// An application of the run on record.
struct Record {
    number: u32,
    before: Oid,
    merged_tree: Oid,
    result: Option<Oid>,
    complete: bool,
}

impl Repo {
    /// Brings a result into a checkout: three-way merge in memory of base, result and the checkout as it is now, dirty
    /// or not, then all paths or none. The index is not touched. Repeating it after a kill finishes it.
    pub fn apply(&self, plan: &ApplyPlan) -> Result<Applied, LaneError> {
        self.apply_with(plan, &mut |_| true)
    }

    /// [`Repo::apply`], stopping as if killed where `go_on` says no.
    pub(super) fn apply_with(
        &self,
        plan: &ApplyPlan,
        go_on: &mut dyn FnMut(&Path) -> bool,
    ) -> Result<Applied, LaneError> {
        let records = self.records(plan.run)?;
        if let Some(record) = records.last().filter(|last| !last.complete && last.result.as_ref() == Some(&plan.result))
        {
            let compared = self.compare(&plan.checkout, &self.tree_of(&record.before)?, &record.merged_tree)?;
            // Nothing written yet: the fresh attempt below does the same, with a newer look at the checkout.
            if !compared.done.is_empty() {
                let mut applied = Applied {
                    before: record.before.clone(),
                    merged_tree: record.merged_tree.clone(),
                    paths: compared.pending(),
                    conflicts: compared.blocked.clone(),
                    already: false,
                    submodules: compared.submodules.clone(),
                    skipped: Vec::new(),
                };
                if applied.conflicts.is_empty() {
                    applied.paths.extend(compared.done.iter().cloned());
                    applied.paths.sort();
                    applied.conflicts = self.write(&plan.checkout, &compared, &plan.staging, go_on)?;
                }
                return self.finish(plan.run, record.number, applied);
            }
        }
        let CheckoutTree { tree: now_tree, skipped, unmerged, .. } =
            self.checkout_tree(&plan.checkout, &plan.options)?;
        let before =
            self.commit_tree(&now_tree, &[&plan.base], "The checkout as it was before the result was applied")?;
        // On the base alone, so that the base is the merge base whatever history the result has.
        let result_tree = self.tree_of(&plan.result)?;
        let flat = self.commit_tree(&result_tree, &[&plan.base], "The result")?;
        let mut applied = Applied {
            before: before.clone(),
            merged_tree: now_tree.clone(),
            paths: Vec::new(),
            conflicts: Vec::new(),
            already: false,
            submodules: Vec::new(),
            skipped,
        };
        let merged = match self.merge_trees(&before, &flat)? {
            Ok(merged) => merged,
            Err(paths) => {
                applied.conflicts = paths.into_iter().map(|path| Blocked { path, why: WhyBlocked::Conflict }).collect();
                return Ok(applied);
            }
        };
        applied.merged_tree = merged.clone();
        if merged == now_tree {
            applied.already = true;
            if let Some(record) = records.iter().rev().find(|record| record.result.as_ref() == Some(&plan.result)) {
                applied.before = record.before.clone();
                applied.merged_tree = record.merged_tree.clone();
            }
            return Ok(applied);
        }
        let compared = self.compare(&plan.checkout, &now_tree, &merged)?;
        applied.paths = compared.pending();
        applied.submodules = compared.submodules.clone();
        applied.conflicts = compared.blocked.clone();
        let torn = applied.paths.iter().filter(|path| unmerged.contains(path));
        applied.conflicts.extend(torn.map(|path| Blocked { path: path.clone(), why: WhyBlocked::Unmerged }));
        if !applied.conflicts.is_empty() {
            applied.paths.clear();
            return Ok(applied);
        }
        if applied.paths.is_empty() {
            // Only submodules differ, and those are the user's.
            applied.already = true;
            return Ok(applied);
        }
        let merged_commit =
            self.commit_tree(&merged, &[&before, &plan.result], "The checkout with the result applied")?;
        let number =
            self.record(plan.run, records.last().map_or(1, |last| last.number + 1), &before, &merged_commit)?;
        applied.conflicts = self.write(&plan.checkout, &compared, &plan.staging, go_on)?;
        self.finish(plan.run, number, applied)
    }

    /// Writes down what an editor did in its buffers, as if it were an application: nothing is written. Whatever of it the
    /// user saves can be taken out again like one.
    pub fn placed(&self, plan: &ApplyPlan, files: &[Placed]) -> Result<Applied, LaneError> {
        let CheckoutTree { tree, .. } = self.checkout_tree(&plan.checkout, &plan.options)?;
        let side = |pick: fn(&Placed) -> Option<&str>| files.iter().map(move |file| (file.path.as_str(), pick(file)));
        // The disk may have some of it already: editors make new files at once.
        let before_tree = self.with_texts(&plan.checkout, &tree, side(|file| file.before.as_deref()))?;
        let merged_tree = self.with_texts(&plan.checkout, &before_tree, side(|file| file.after.as_deref()))?;
        let before = self.commit_tree(&before_tree, &[&plan.base], "The checkout as an editor had it before")?;
        let merged = self.commit_tree(&merged_tree, &[&before, &plan.result], "The checkout with the result in it")?;
        let number = self.records(plan.run)?.last().map_or(1, |last| last.number + 1);
        let number = self.record(plan.run, number, &before, &merged)?;
        let paths = files.iter().map(|file| PathBuf::from(&file.path)).collect();
        let applied = Applied {
            before,
            merged_tree,
            paths,
            conflicts: Vec::new(),
            already: false,
            submodules: Vec::new(),
            skipped: Vec::new(),
        };
        self.finish(plan.run, number, applied)
    }

    /// Writes down what is about to happen, under the first free number from `number` on. One can be taken although the
    /// list did not show it: a git that a kill left behind may have finished its own recording in between.
    fn record(&self, run: RunId, mut number: u32, before: &Oid, merged: &Oid) -> Result<u32, LaneError> {
        let zero = "0".repeat(self.inner.digits);
        loop {
            let orders = format!(
                "update refs/orchestrator/{run}/before-{number} {before} {zero}\n\
                 update refs/orchestrator/{run}/merged-{number} {merged} {zero}\n"
            );
            match self.bare_call(["update-ref", "--stdin"]).input(orders.into_bytes()).checked() {
                Ok(_) => return Ok(number),
                Err(error) => {
                    if self.read_ref(&format!("refs/orchestrator/{run}/before-{number}"))?.is_none() {
                        return Err(error);
                    }
                    number += 1;
                }
            }
        }
    }

    fn finish(&self, run: RunId, number: u32, mut applied: Applied) -> Result<Applied, LaneError> {
        if applied.conflicts.is_empty() {
            self.set_ref(&format!("refs/orchestrator/{run}/applied-{number}"), &applied.before)?;
        } else {
            applied.paths.clear();
        }
        Ok(applied)
    }

    /// Takes an application out again: exactly its paths, as they were; nothing at all where one was edited since.
    /// Repeating it after a kill finishes it; after an application that was killed it restores what was written.
    pub fn undo(&self, plan: &UndoPlan) -> Result<Undone, LaneError> {
        self.undo_with(plan, &mut |_| true)
    }

    pub(super) fn undo_with(&self, plan: &UndoPlan, go_on: &mut dyn FnMut(&Path) -> bool) -> Result<Undone, LaneError> {
        let compared = self.compare(&plan.checkout, &plan.merged_tree, &self.tree_of(&plan.before)?)?;
        if !compared.blocked.is_empty() {
            return Ok(Undone::Refused { edited: compared.blocked });
        }
        let paths = compared.pending();
        if paths.is_empty() {
            return Ok(Undone::Already);
        }
        let edited = self.write(&plan.checkout, &compared, &plan.staging, go_on)?;
        Ok(if edited.is_empty() { Undone::Restored { paths } } else { Undone::Refused { edited } })
    }

    /// The run's applications, oldest first (one process).
    fn records(&self, run: RunId) -> Result<Vec<Record>, LaneError> {
        let format = "--format=%(refname:lstrip=3) %(objectname) %(tree) %(parent)";
        let place = format!("refs/orchestrator/{run}/");
        let output = self.bare_call(["for-each-ref", format, &place]).checked()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut records: Vec<Record> = Vec::new();
        let mut complete = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let Some((kind, number)) = words[0].rsplit_once('-') else { continue };
            let Ok(number) = number.parse() else { continue };
            match (kind, &words[1..]) {
                ("applied", _) => complete.push(number),
                ("merged", [_, tree, before, rest @ ..]) => records.push(Record {
                    number,
                    before: before.parse()?,
                    merged_tree: tree.parse()?,
                    result: rest.first().map(|oid| oid.parse()).transpose()?,
                    complete: false,
                }),
                _ => {}
            }
        }
        for record in &mut records {
            record.complete = complete.contains(&record.number);
        }
        records.sort_by_key(|record| record.number);
        Ok(records)
    }
}
