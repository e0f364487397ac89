//! Cycles: finding a short one to show, and breaking those of derived graphs at their weakest edge.
//!
//! The strongly connected parts come from petgraph; this is the only place that uses it. Graphs without a cycle,
//! which is nearly all of them, never get here.

use std::collections::VecDeque;

use petgraph::{algo::kosaraju_scc, graph::DiGraph};

use super::Lists;

/// A cycle: each task must be done before the next, and the last before the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// The tasks in that order, each once; a single one waits for itself.
    pub path: Vec<u32>,
}

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tasks wait for each other in a circle: {:?}", self.path)
    }
}

impl std::error::Error for Cycle {}

/// An edge that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its position in the list of edges.
    pub edge: usize,
    /// The cycle in which it was the weakest, starting at the task that the edge leads to.
    pub cycle: Vec<u32>,
}

/// How many tasks of a strongly connected part the search for a short cycle starts from. The first few suffice to
/// avoid absurdly long ones, and a part of a million tasks must not cost a million searches.
const STARTS_MAX: usize = 32;

/// A short cycle among the tasks that Kahn's algorithm could not order (`waiting > 0`): the shortest through one
/// of the first tasks of the smallest strongly connected part.
pub(super) fn short_cycle(successors: &Lists, waiting: &[u32]) -> Cycle {
    let left: Vec<u32> = (0..successors.len() as u32).filter(|node| waiting[*node as usize] > 0).collect();
    if let Some(node) = left.iter().find(|node| successors.of(**node).contains(node)) {
        return Cycle { path: vec![*node] };
    }
    let edges = left
        .iter()
        .flat_map(|from| successors.of(*from).iter().map(move |to| (*from, *to)))
        .filter(|(_, to)| waiting[*to as usize] > 0);
    let mut parts = parts(successors.len(), edges);
    parts.retain(|part| part.len() > 1);
    let smallest = parts.iter().min_by_key(|part| (part.len(), part[0]));
    let smallest = smallest.expect("what Kahn's algorithm leaves over holds a cycle");
    let mut inside = vec![false; successors.len()];
    smallest.iter().for_each(|node| inside[*node as usize] = true);
    let mut came_from = vec![u32::MAX; successors.len()];
    let mut best: Option<Vec<u32>> = None;
    for &start in smallest.iter().take(STARTS_MAX) {
        let found = path(start, start, &mut came_from, |node| {
            successors.of(node).iter().copied().filter(|to| inside[*to as usize])
        });
        let found = found.expect("every task of a strongly connected part lies on a cycle");
        if best.as_ref().is_none_or(|best| found.len() < best.len()) {
            best = Some(found);
        }
        if best.as_ref().is_some_and(|best| best.len() == 2) {
            break;
        }
    }
    Cycle { path: best.expect("the part is not empty") }
}

/// Makes a derived graph free of cycles by leaving out weak edges `(from, to, weight)`, and says which.
///
/// Edges are taken strongest first (equal ones in the order given), each unless it would close a cycle with those
/// already taken. So every edge that is dropped is the weakest of the cycle given with it, no edge is dropped
/// without need, and edges on no cycle always stay. The result is in the order of the list.
///
/// # Panics
/// If an edge names a task that is not below `n`.
pub fn break_weakest(n: usize, edges: &[(u32, u32, f32)]) -> Vec<Dropped> {
    let parts = parts(n, edges.iter().map(|(from, to, _)| (*from, *to)));
    let mut part_of = vec![0u32; n];
    for (number, part) in parts.iter().enumerate() {
        part.iter().for_each(|node| part_of[*node as usize] = number as u32);
    }
    // Only edges inside one strongly connected part can lie on a cycle.
    let inside = |edge: &usize| part_of[edges[*edge].0 as usize] == part_of[edges[*edge].1 as usize];
    let mut strongest_first: Vec<usize> = (0..edges.len()).filter(inside).collect();
    strongest_first.sort_by(|a, b| edges[*b].2.total_cmp(&edges[*a].2));
    let mut taken: Vec<Vec<u32>> = vec![Vec::new(); n];
    let mut came_from = vec![u32::MAX; n];
    let mut dropped = Vec::new();
    for edge in strongest_first {
        let (from, to, _) = edges[edge];
        let back = if from == to {
            Some(vec![from])
        } else {
            path(to, from, &mut came_from, |node| taken[node as usize].iter().copied())
        };
        match back {
            Some(cycle) => dropped.push(Dropped { edge, cycle }),
            None => taken[from as usize].push(to),
        }
    }
    dropped.sort_by_key(|dropped| dropped.edge);
    dropped
}

/// The strongly connected parts, each ascending. Kosaraju's algorithm and not Tarjan's, because petgraph's Tarjan
/// recurses, and a ring of a million tasks would end the process.
fn parts(n: usize, edges: impl Iterator<Item = (u32, u32)>) -> Vec<Vec<u32>> {
    let mut graph: DiGraph<(), (), u32> = DiGraph::default();
    for _ in 0..n {
        graph.add_node(());
    }
    for (from, to) in edges {
        graph.add_edge(from.into(), to.into(), ());
    }
    let ascending = |part: Vec<petgraph::graph::NodeIndex<u32>>| {
        let mut part: Vec<u32> = part.into_iter().map(|node| node.index() as u32).collect();
        part.sort_unstable();
        part
    };
    kosaraju_scc(&graph).into_iter().map(ascending).collect()
}

/// The tasks of a shortest way of at least one edge from `start` to `goal`, both included; for a way back to
/// `start` it is named once. `came_from` is scratch space: all `u32::MAX` before and after.
fn path<I: Iterator<Item = u32>>(
    start: u32,
    goal: u32,
    came_from: &mut [u32],
    next: impl Fn(u32) -> I,
) -> Option<Vec<u32>> {
    let mut queue = VecDeque::from([start]);
    let mut touched = Vec::new();
    let mut found = None;
    'search: while let Some(node) = queue.pop_front() {
        for successor in next(node) {
            if successor == goal {
                let mut way: Vec<u32> = if goal == start { vec![node] } else { vec![goal, node] };
                let mut last = node;
                while last != start {
                    last = came_from[last as usize];
                    way.push(last);
                }
                way.reverse();
                found = Some(way);
                break 'search;
            }
            if successor != start && came_from[successor as usize] == u32::MAX {
                came_from[successor as usize] = node;
                touched.push(successor);
                queue.push_back(successor);
            }
        }
    }
    touched.into_iter().for_each(|node| came_from[node as usize] = u32::MAX);
    found
}
