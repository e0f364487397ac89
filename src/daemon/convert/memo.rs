//! What was counted of a run's tasks, kept until something changes: a run of ten thousand tasks is walked once, however
//! often somebody asks how far it is. Nothing here is the truth, and losing it costs time only.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use super::{View, shape::History};
use crate::{
    core::{
        run::Run,
        track::{self, Progress},
    },
    ids::RunId,
    time::Timestamp,
};

/// When a count was made, in terms of what can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// At this revision.
    At(u64),
    /// After the run was over: nothing about its tasks changes until it goes on or is set back.
    Over(Timestamp, u32, usize, usize),
}

impl Mark {
    fn of(view: &View<'_>, run: &Run) -> Mark {
        match run.ended_at {
            Some(ended) => Mark::Over(ended, run.round, run.landed.len(), run.history.len()),
            None => Mark::At(view.revision),
        }
    }
}

/// The counts of all runs.
#[derive(Debug, Default)]
pub struct Memo {
    progress: RefCell<HashMap<RunId, (Mark, Progress)>>,
    history: RefCell<Option<(RunId, Mark, Arc<History>)>>,
}

impl Memo {
    /// How far a run is.
    pub fn progress(&self, view: &View<'_>, run: &Run) -> Progress {
        let mark = Mark::of(view, run);
        let mut known = self.progress.borrow_mut();
        if let Some((_, progress)) = known.get(&run.id).filter(|(made, _)| *made == mark) {
            return progress.clone();
        }
        let progress = track::progress(view.state, run);
        // Runs that are forgotten leave their counts behind; a few are cheaper than being told of each.
        if known.len() > 2 * view.state.runs.len() + 16 {
            known.clear();
        }
        known.insert(run.id, (mark, progress.clone()));
        progress
    }

    /// What the tasks of a run took: of the run that was asked about last.
    pub fn history(&self, view: &View<'_>, run: &Run) -> Arc<History> {
        let mark = Mark::of(view, run);
        let mut known = self.history.borrow_mut();
        if let Some((_, _, history)) = known.as_ref().filter(|(id, made, _)| (*id, *made) == (run.id, mark)) {
            return history.clone();
        }
        let history = Arc::new(History::of(view.tasks(run)));
        *known = Some((run.id, mark, history.clone()));
        history
    }
}
