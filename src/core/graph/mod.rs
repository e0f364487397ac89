//! The order of work: which task waits for which, as flat arrays.
//!
//! Here are the graph itself (both directions, topological order, levels) and its timing (critical path, slack).
//! What may start now is in [`ready`], cycles are in [`cycle`], and whether two write sets meet is in [`writes`].
//! Nothing here knows what a task does; a node is a position, and tasks keep theirs for the life of a run.
//!
//! Why not petgraph's own graph: a million tasks with three and a half million edges are ordered here in about a
//! fifth of the time of `DiGraph` + `toposort`, because every pass runs over four-byte arrays.

pub mod cycle;
pub mod ready;
pub mod writes;

pub use cycle::{Cycle, Dropped, break_weakest};
pub use ready::{Ready, Standing, simulate};
pub use writes::overlaps;

/// A directed graph without cycles. An edge `(from, to)` means: `to` starts after `from` is done.
///
/// Invariant: every stored position is below [`Graph::len`], and `order` is topological. Repeated edges are kept:
/// they count the same on both sides, so they change nothing but the size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    successors: Lists,
    predecessors: Lists,
    order: Vec<u32>,
    levels: Vec<u32>,
}

/// One list of positions for each node, end to end in one array: list `i` is `items[starts[i]..starts[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lists {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Default for Lists {
    fn default() -> Self {
        Lists { starts: vec![0], items: Vec::new() }
    }
}

impl Lists {
    /// Groups `(key, item)` pairs by key, in the order given. Walks the pairs twice.
    fn group(n: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Lists {
        // Counted two places further on, so that after the sums `starts[key + 1]` is where list `key` begins; filling
        // moves it to where the list ends, which is where it belongs. That saves a second array of cursors.
        let mut starts = vec![0u32; n + 2];
        let mut count = 0usize;
        // `for_each` and not `for`: nested iterators, as those of `pairs`, are then plain nested loops.
        pairs.clone().for_each(|(key, _)| {
            starts[key as usize + 2] += 1;
            count += 1;
        });
        assert!(count < u32::MAX as usize, "a graph holds fewer than 2^32 edges");
        let mut end = 0u32;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut items = vec![0u32; count];
        pairs.for_each(|(key, item)| {
            let slot = &mut starts[key as usize + 1];
            items[*slot as usize] = item;
            *slot += 1;
        });
        starts.pop();
        Lists { starts, items }
    }

    fn of(&self, node: u32) -> &[u32] {
        &self.items[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The same pairs the other way round: for each item the keys of the lists it is in, ascending. As
    /// [`Lists::group`], in plain loops.
    fn reversed(&self) -> Lists {
        let mut starts = vec![0u32; self.len() + 2];
        for item in &self.items {
            starts[*item as usize + 2] += 1;
        }
        let mut end = 0u32;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut items = vec![0u32; self.items.len()];
        for key in 0..self.len() as u32 {
            for item in self.of(key) {
                let slot = &mut starts[*item as usize + 1];
                items[*slot as usize] = key;
                *slot += 1;
            }
        }
        starts.pop();
        Lists { starts, items }
    }

    /// All `(key, item)` pairs.
    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + Clone + '_ {
        (0..self.len() as u32).flat_map(|key| self.of(key).iter().map(move |item| (key, *item)))
    }
}

impl Graph {
    /// The graph of `n` tasks with the given edges `(from, to)`: `to` waits for `from`.
    ///
    /// # Errors
    /// [`Cycle`] with one short cycle; a task that waits for itself is a cycle of one.
    /// # Panics
    /// If an edge names a task that is not below `n`: plans are checked for that first.
    pub fn build<E>(n: usize, edges: E) -> Result<Graph, Cycle>
    where
        E: IntoIterator<Item = (u32, u32)>,
        E::IntoIter: Clone,
    {
        let edges = edges.into_iter();
        let forward = edges.clone().all(|(from, to)| from < to);
        let successors = Lists::group(n, edges.clone());
        let predecessors = Lists::group(n, edges.map(|(from, to)| (to, from)));
        if forward { Ok(Graph::forward(successors, predecessors)) } else { Graph::ordered(successors, predecessors) }
    }

    /// The graph of tasks that each list what they wait for, as in [`TaskSpec::needs`](super::plan::spec::TaskSpec).
    ///
    /// # Errors
    /// [`Cycle`] with one short cycle; a task that waits for itself is a cycle of one.
    /// # Panics
    /// If a list names a task that is not there.
    pub fn from_needs<'a, N>(needs: N) -> Result<Graph, Cycle>
    where
        N: IntoIterator<Item = &'a [u32]>,
        N::IntoIter: Clone,
    {
        let needs = needs.into_iter();
        // Counted first, so that both arrays are made once, and copied in one go.
        let (mut n, mut count) = (0, 0);
        needs.clone().for_each(|list| {
            n += 1;
            count += list.len();
        });
        let mut predecessors = Lists { starts: Vec::with_capacity(n + 1), items: Vec::with_capacity(count) };
        predecessors.starts.push(0);
        let mut forward = true;
        for (task, list) in needs.enumerate() {
            let task = task as u32;
            let mut before = true;
            predecessors.items.extend(list.iter().map(|need| {
                before &= *need < task;
                *need
            }));
            forward &= before;
            predecessors.starts.push(predecessors.items.len() as u32);
        }
        assert!(predecessors.items.len() < u32::MAX as usize, "a graph holds fewer than 2^32 edges");
        let successors = predecessors.reversed();
        if forward { Ok(Graph::forward(successors, predecessors)) } else { Graph::ordered(successors, predecessors) }
    }

    /// The graph whose every edge leads to a higher position, as most plans are written: the positions are an
    /// order already, and following them reads all arrays from front to back.
    fn forward(successors: Lists, predecessors: Lists) -> Graph {
        let n = successors.len() as u32;
        let mut levels: Vec<u32> = Vec::with_capacity(n as usize);
        for task in 0..n {
            let before = predecessors.of(task).iter().map(|need| levels[*need as usize] + 1).max();
            levels.push(before.unwrap_or(0));
        }
        Graph { successors, predecessors, order: (0..n).collect(), levels }
    }

    /// Kahn's algorithm. The queue is the order itself, first in first out, so that a node enters it when its
    /// deepest predecessor leaves: its level is then known without taking a maximum.
    fn ordered(successors: Lists, predecessors: Lists) -> Result<Graph, Cycle> {
        let n = successors.len();
        let mut waiting: Vec<u32> = predecessors.starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut levels = vec![0u32; n];
        // One place more than there are nodes: see below.
        let mut order = vec![0u32; n + 1];
        let mut end = 0;
        for node in 0..n as u32 {
            order[end] = node;
            end += usize::from(waiting[node as usize] == 0);
        }
        let mut next = 0;
        while next < end {
            let node = order[next];
            next += 1;
            let level = levels[node as usize] + 1;
            // No branch in here: whether a node was the last one waited for is what no processor can guess. So each
            // successor is written where the next ready one goes, and stays there only if it is; and its level is
            // written each time, the last and highest one last.
            for &successor in successors.of(node) {
                let left = &mut waiting[successor as usize];
                *left -= 1;
                levels[successor as usize] = level;
                order[end] = successor;
                end += usize::from(*left == 0);
            }
        }
        if end < n {
            return Err(cycle::short_cycle(&successors, &waiting));
        }
        order.pop();
        Ok(Graph { successors, predecessors, order, levels })
    }

    /// Adds `count` tasks after the present ones, with edges between any of them.
    ///
    /// # Errors
    /// [`Cycle`]; the graph is then as it was.
    /// # Panics
    /// If an edge names a task that is not there.
    pub fn append(&mut self, count: usize, edges: &[(u32, u32)]) -> Result<(), Cycle> {
        let all = self.successors.pairs().chain(edges.iter().copied());
        *self = Graph::build(self.len() + count, all)?;
        Ok(())
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many edges there are, repeated ones counted.
    pub fn edge_count(&self) -> usize {
        self.successors.items.len()
    }

    /// The tasks that wait for this one.
    pub fn successors(&self, task: u32) -> &[u32] {
        self.successors.of(task)
    }

    /// The tasks that this one waits for.
    pub fn predecessors(&self, task: u32) -> &[u32] {
        self.predecessors.of(task)
    }

    /// Every task after all it waits for; the same for the same edges.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// For each task the length of the longest chain before it, in tasks; 0 = waits for nothing.
    ///
    /// For display only: a task starts when its last dependency is done, not when a level is.
    pub fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// The tasks by level.
    pub fn level_lists(&self) -> Vec<Vec<u32>> {
        let depth = self.levels.iter().max().map_or(0, |deepest| *deepest as usize + 1);
        let mut lists = vec![Vec::new(); depth];
        for (task, level) in self.levels.iter().enumerate() {
            lists[*level as usize].push(task as u32);
        }
        lists
    }

    /// Everything that waits for `task`, directly or not, without itself, ascending.
    pub fn descendants(&self, task: u32) -> Vec<u32> {
        let mut seen = vec![false; self.len()];
        let mut stack = vec![task];
        let mut found = Vec::new();
        while let Some(node) = stack.pop() {
            for &successor in self.successors(node) {
                if !std::mem::replace(&mut seen[successor as usize], true) {
                    found.push(successor);
                    stack.push(successor);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// When everything could start at the earliest, and how much is left from there, given how long each task takes.
    ///
    /// # Panics
    /// If there is not one estimate for each task.
    pub fn timing(&self, estimates_ms: &[u64]) -> Timing {
        assert_eq!(estimates_ms.len(), self.len(), "one estimate for each task");
        let mut start_ms = vec![0u64; self.len()];
        let mut total_ms = 0;
        for &task in &self.order {
            let end = start_ms[task as usize].saturating_add(estimates_ms[task as usize]);
            total_ms = total_ms.max(end);
            for &successor in self.successors(task) {
                let start = &mut start_ms[successor as usize];
                *start = (*start).max(end);
            }
        }
        let bottom_ms = self.bottom(estimates_ms);
        Timing { start_ms, bottom_ms, total_ms }
    }

    /// For each task the longest chain from its start to the end of everything after it, itself included: the
    /// order of dispatch. [`Graph::timing`] has it too; this is the half that scheduling needs.
    ///
    /// # Panics
    /// If there is not one estimate for each task.
    pub fn bottom(&self, estimates_ms: &[u64]) -> Vec<u64> {
        assert_eq!(estimates_ms.len(), self.len(), "one estimate for each task");
        let mut bottom_ms = vec![0u64; self.len()];
        for &task in self.order.iter().rev() {
            let after = self.successors(task).iter().map(|successor| bottom_ms[*successor as usize]).max();
            bottom_ms[task as usize] = estimates_ms[task as usize].saturating_add(after.unwrap_or(0));
        }
        bottom_ms
    }

    /// One longest chain from its first task to its last, given [`Graph::bottom`]; of equally long ones, that of
    /// the lowest positions.
    pub fn critical_path(&self, bottom_ms: &[u64]) -> Vec<u32> {
        let mut first: Option<u32> = None;
        for task in 0..self.len() as u32 {
            let longer = first.is_none_or(|first| bottom_ms[task as usize] > bottom_ms[first as usize]);
            if longer && self.predecessors(task).is_empty() {
                first = Some(task);
            }
        }
        let mut path: Vec<u32> = first.into_iter().collect();
        while let Some(&last) = path.last() {
            let successors = self.successors(last).iter().copied();
            let longest = successors.max_by_key(|next| (bottom_ms[*next as usize], std::cmp::Reverse(*next)));
            match longest {
                Some(next) => path.push(next),
                None => break,
            }
        }
        path
    }
}

/// What the estimates say about a graph. All in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timing {
    /// Earliest start of each task, counted from the start of the first, with no limit on how many run at once.
    pub start_ms: Vec<u64>,
    /// Longest chain from each task's start to the end, itself included.
    pub bottom_ms: Vec<u64>,
    /// Length of the critical path.
    pub total_ms: u64,
}

impl Timing {
    /// How long a task may be late before the whole is.
    pub fn slack_ms(&self, task: u32) -> u64 {
        let through = self.start_ms[task as usize].saturating_add(self.bottom_ms[task as usize]);
        self.total_ms.saturating_sub(through)
    }

    /// Whether the whole is late as soon as this task is.
    pub fn is_critical(&self, task: u32) -> bool {
        self.slack_ms(task) == 0
    }

    /// One longest chain from its first task to its last; of equally long ones, that of the lowest positions.
    pub fn critical_path(&self, graph: &Graph) -> Vec<u32> {
        graph.critical_path(&self.bottom_ms)
    }
}

#[cfg(test)]
pub(crate) mod tests;
