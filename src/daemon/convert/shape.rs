//! The graph of one run with its times, for a run that goes on as well as for one that is over (whose tables the core
//! no longer keeps), and what like tasks of the run have taken so far.

use std::{borrow::Cow, collections::HashMap};

use super::View;
use crate::{
    api::reply::Estimate,
    core::{
        graph::{Graph, Timing},
        run::Run,
        state::{ESTIMATE_PRIOR_MS, estimate_ms},
        task::{Settled, Task},
    },
    ids::TaskId,
};

/// How much longer than the median nine of ten tasks take at most, where nothing is known: as `track::eta_s` has it.
const P90_FACTOR: f64 = 2.0;

/// How many like tasks must have ended before they stand for the next one.
const LIKE_MIN: usize = 3;

/// A run's graph and tasks, by position.
pub struct Shape<'a> {
    /// Who waits for whom.
    pub graph: Cow<'a, Graph>,
    /// The tasks.
    pub tasks: Vec<&'a Task>,
    /// What each is expected to take, as the scheduler has it.
    pub estimates_ms: Vec<u64>,
}

impl<'a> Shape<'a> {
    /// Of this run.
    pub fn of(view: &View<'a>, run: &'a Run) -> Shape<'a> {
        let tasks: Vec<&Task> = view.tasks(run).collect();
        let graph = match view.state.index.runs.get(&run.id) {
            Some(index) if index.graph.len() == tasks.len() => Cow::Borrowed(&index.graph),
            // Stored plans were checked: there is no cycle to be refused.
            _ => Cow::Owned(Graph::from_needs(tasks.iter().map(|task| task.spec.needs.as_slice())).unwrap_or_default()),
        };
        let estimates_ms = tasks.iter().map(|task| estimate_ms(&task.spec)).collect();
        Shape { graph, tasks, estimates_ms }
    }

    /// Times of the whole plan.
    pub fn timing(&self) -> Timing {
        self.graph.timing(&self.estimates_ms)
    }

    /// Times of what is left: what is over takes no more time.
    pub fn timing_left(&self) -> Timing {
        let left = self.tasks.iter().zip(&self.estimates_ms);
        let left: Vec<u64> = left.map(|(task, ms)| if task.settled().is_some() { 0 } else { *ms }).collect();
        self.graph.timing(&left)
    }

    /// Milliseconds of work that are left.
    pub fn work_left_ms(&self) -> u64 {
        let left = self.tasks.iter().zip(&self.estimates_ms).filter(|(task, _)| task.settled().is_none());
        left.map(|(_, ms)| *ms).sum()
    }

    /// Seconds that the whole plan takes with `jobs` at once: the longest chain, or the work shared out.
    pub fn plan_s(&self, jobs: u32) -> f64 {
        let work: u64 = self.estimates_ms.iter().sum();
        let longest = self.timing().total_ms as f64;
        longest.max(work as f64 / f64::from(jobs.max(1))) / 1000.0
    }

    /// This task and all that waits for it, directly or not, as far as they are not over.
    pub fn unsettled_from(&self, position: u32) -> Vec<TaskId> {
        let after = self.graph.descendants(position);
        let all = std::iter::once(position).chain(after);
        all.filter_map(|at| self.tasks.get(at as usize))
            .filter(|task| task.settled().is_none())
            .map(|task| task.id)
            .collect()
    }

    /// Tasks that wait for everything before them: barriers. One level at a time, a task is one if it needs every
    /// earlier task that nothing else waits for; each of the others is then behind one of those.
    pub fn barriers(&self) -> Vec<TaskId> {
        let mut open = vec![false; self.graph.len()];
        let mut open_count = 0;
        let mut found = Vec::new();
        for level in self.graph.level_lists() {
            for &task in &level {
                let mut needs: Vec<u32> = self.graph.predecessors(task).to_vec();
                needs.sort_unstable();
                needs.dedup();
                let met = needs.iter().filter(|need| open[**need as usize]).count();
                if needs.len() > 1 && met == open_count {
                    found.push(self.tasks[task as usize].id);
                }
            }
            for &task in &level {
                for &need in self.graph.predecessors(task) {
                    if std::mem::take(&mut open[need as usize]) {
                        open_count -= 1;
                    }
                }
            }
            for &task in &level {
                open[task as usize] = true;
                open_count += 1;
            }
        }
        found
    }
}

/// What completed tasks of a run took, by type, ascending.
#[derive(Debug)]
pub struct History(HashMap<Box<str>, Vec<f64>>);

impl History {
    /// Of these tasks.
    pub fn of<'a>(tasks: impl Iterator<Item = &'a Task>) -> History {
        let mut by_type: HashMap<&str, Vec<f64>> = HashMap::new();
        for task in tasks.filter(|task| task.settled() == Some(Settled::Completed)) {
            let Some(start) = task.attempts.last().and_then(|attempt| attempt.started_at) else { continue };
            let Some(end) = task.settled_at else { continue };
            by_type.entry(task.spec.type_word()).or_default().push(end.seconds_since(start));
        }
        by_type.values_mut().for_each(|taken| taken.sort_unstable_by(f64::total_cmp));
        History(by_type.into_iter().map(|(word, taken)| (word.into(), taken)).collect())
    }

    /// What a task is expected to take: its plan's word, or what like tasks took, or the prior.
    pub fn estimate(&self, task: &Task) -> Estimate {
        if let Some(seconds) = task.spec.extras().estimate_s {
            return prior(seconds);
        }
        match self.0.get(task.spec.type_word()) {
            Some(taken) if taken.len() >= LIKE_MIN => {
                let rank = |share: f64| taken[((taken.len() as f64 * share).ceil() as usize).clamp(1, taken.len()) - 1];
                Estimate { p50: rank(0.5), p90: rank(0.9), basis: format!("n={}", taken.len()) }
            }
            _ => prior(ESTIMATE_PRIOR_MS as f64 / 1000.0),
        }
    }
}

/// An estimate that no observation stands behind.
pub fn prior(seconds: f64) -> Estimate {
    Estimate { p50: seconds, p90: seconds * P90_FACTOR, basis: "prior".to_owned() }
}
