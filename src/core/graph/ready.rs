//! What may start now: counters of unfinished dependencies and a heap of the tasks that have none left.
//!
//! It says which task is due first, not whether there is room for it: limits, overlapping writes and exclusive
//! resources are the dispatcher's, which takes tasks with [`Ready::pop`] and returns those that must wait with
//! [`Ready::put_back`].

use std::{cmp::Reverse, collections::BinaryHeap};

use super::Graph;
use crate::core::plan::spec::Priority;

/// Where a task stands when [`Ready::resume`] picks a run up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not started.
    Open,
    /// Started, or ready but kept back by a decision or a failure: not to be handed out. One that still waits for
    /// others is [`Standing::Open`], whatever else is said about it.
    Taken,
    /// Completed: its dependants no longer wait for it.
    Done,
}

/// The ready tasks of a run, the most urgent first: by priority, then by the longest remaining chain (critical
/// path first), then by position.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Unfinished dependencies of each task; `DONE` once it is completed itself.
    waiting: Vec<u32>,
    /// Priority in the two highest bits, then the remaining chain in milliseconds.
    ranks: Vec<u64>,
    heap: BinaryHeap<(u64, Reverse<u32>)>,
    /// What the last completion released; kept to spare an allocation for each.
    released: Vec<u32>,
}

const DONE: u32 = u32::MAX;
const BOTTOM_MAX: u64 = (1 << 62) - 1;

impl Ready {
    /// A run that has not begun. `rank` gives a task's priority and its longest remaining chain
    /// ([`Graph::bottom`]).
    pub fn new(graph: &Graph, rank: impl Fn(u32) -> (Priority, u64)) -> Ready {
        Ready::resume(graph, rank, |_| Standing::Open)
    }

    /// A run in the middle: after a restart, or after tasks were added.
    pub fn resume(graph: &Graph, rank: impl Fn(u32) -> (Priority, u64), standing: impl Fn(u32) -> Standing) -> Ready {
        let tasks = 0..graph.len() as u32;
        let ranks: Vec<u64> = tasks
            .clone()
            .map(|task| {
                let (priority, bottom_ms) = rank(task);
                (priority as u64) << 62 | bottom_ms.min(BOTTOM_MAX)
            })
            .collect();
        let standings: Vec<Standing> = tasks.clone().map(standing).collect();
        let mut waiting = Vec::with_capacity(graph.len());
        let mut heap = Vec::new();
        for task in tasks {
            let needs = graph.predecessors(task).iter();
            let left = needs.filter(|need| standings[**need as usize] != Standing::Done).count() as u32;
            match standings[task as usize] {
                Standing::Done => waiting.push(DONE),
                Standing::Taken => waiting.push(left),
                Standing::Open => {
                    waiting.push(left);
                    if left == 0 {
                        heap.push((ranks[task as usize], Reverse(task)));
                    }
                }
            }
        }
        Ready { waiting, ranks, heap: heap.into(), released: Vec::new() }
    }

    /// The most urgent ready task, left where it is.
    pub fn peek(&self) -> Option<u32> {
        self.heap.peek().map(|(_, Reverse(task))| *task)
    }

    /// Takes the most urgent ready task.
    pub fn pop(&mut self) -> Option<u32> {
        self.heap.pop().map(|(_, Reverse(task))| task)
    }

    /// Returns a task that was taken: it could not start, or is due again. Only tasks that were taken may be
    /// returned; one that was completed meanwhile, or still waits for another, is not queued.
    pub fn put_back(&mut self, task: u32) {
        if self.waiting[task as usize] == 0 {
            self.heap.push((self.ranks[task as usize], Reverse(task)));
        }
    }

    /// Marks a task completed and queues those of its dependants that waited for nothing else; they are the answer.
    /// Completing a task again changes nothing. The cost is that of its edges, so constant for each edge of a run.
    pub fn complete(&mut self, graph: &Graph, task: u32) -> &[u32] {
        self.released.clear();
        if std::mem::replace(&mut self.waiting[task as usize], DONE) == DONE {
            return &self.released;
        }
        for &successor in graph.successors(task) {
            let left = &mut self.waiting[successor as usize];
            // A dependant that is already done was completed out of order, e.g. by hand: nothing to release.
            if *left == DONE || *left == 0 {
                continue;
            }
            *left -= 1;
            if *left == 0 {
                self.heap.push((self.ranks[successor as usize], Reverse(successor)));
                self.released.push(successor);
            }
        }
        &self.released
    }

    /// How many unfinished tasks this one waits for, repeated edges counted; `None` once it is completed.
    pub fn waiting_for(&self, task: u32) -> Option<u32> {
        let left = self.waiting[task as usize];
        (left != DONE).then_some(left)
    }

    /// How many tasks are ready.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The ready tasks in the order in which they would be taken.
    pub fn queue(&self) -> Vec<u32> {
        let ascending = self.heap.clone().into_sorted_vec();
        ascending.into_iter().rev().map(|(_, Reverse(task))| task).collect()
    }
}

/// How long the whole takes when each task takes exactly `durations_ms` and `jobs` run at once, dispatched by
/// [`Ready`]. In milliseconds.
///
/// # Panics
/// If `jobs` is 0 or there is not one duration for each task.
pub fn simulate(graph: &Graph, durations_ms: &[u64], jobs: usize) -> u64 {
    assert!(jobs > 0, "at least one job");
    let bottom_ms = graph.bottom(durations_ms);
    let mut ready = Ready::new(graph, |task| (Priority::Normal, bottom_ms[task as usize]));
    let mut running: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut now_ms = 0;
    loop {
        while running.len() < jobs {
            match ready.pop() {
                Some(task) => running.push(Reverse((now_ms + durations_ms[task as usize], task))),
                None => break,
            }
        }
        let Some(Reverse((ends_ms, task))) = running.pop() else { return now_ms };
        now_ms = ends_ms;
        ready.complete(graph, task);
        // All that end at the same instant, so that the choice among what they release does not depend on order.
        while let Some(Reverse((also_ms, also))) = running.peek().copied() {
            if also_ms != now_ms {
                break;
            }
            running.pop();
            ready.complete(graph, also);
        }
    }
}
