//! The graph against petgraph and against itself, on seeded random graphs.

use petgraph::{algo::is_cyclic_directed, graph::DiGraph};

use super::*;
use crate::core::plan::spec::Priority;

/// SplitMix64: enough for shaping test graphs, and the same on every machine.
pub(crate) struct Seeded(pub u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn shuffled(&mut self, n: u32) -> Vec<u32> {
        let mut all: Vec<u32> = (0..n).collect();
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i as u64 + 1) as usize);
        }
        all
    }
}

/// Edges without a cycle, some of them twice.
fn random_dag(seeded: &mut Seeded, n: u32, edges: usize) -> Vec<(u32, u32)> {
    // Every other graph with its positions in order, which is a case of its own.
    let names = if seeded.below(2) == 0 { (0..n).collect() } else { seeded.shuffled(n) };
    (0..edges)
        .map(|_| {
            let to = 1 + seeded.below(u64::from(n) - 1);
            (names[seeded.below(to) as usize], names[to as usize])
        })
        .collect()
}

/// Longest path to each node, by the definition (relaxed until nothing changes), not by our order.
fn longest_by_definition(n: usize, edges: &[(u32, u32)], weight: &[u64]) -> Vec<u64> {
    let mut longest = vec![0; n];
    loop {
        let before = longest.clone();
        for &(from, to) in edges {
            longest[to as usize] = longest[to as usize].max(longest[from as usize] + weight[from as usize]);
        }
        if longest == before {
            return longest;
        }
    }
}

#[test]
fn order_levels_and_critical_path_on_random_graphs() {
    let mut seeded = Seeded(1);
    for round in 0..200 {
        let n = 2 + seeded.below(60) as u32;
        let count = seeded.below(u64::from(n) * 3) as usize;
        let edges = random_dag(&mut seeded, n, count);
        let graph = Graph::build(n as usize, edges.iter().copied()).unwrap();
        let mut position = vec![0; n as usize];
        graph.order().iter().enumerate().for_each(|(at, task)| position[*task as usize] = at);
        assert!(edges.iter().all(|(from, to)| position[*from as usize] < position[*to as usize]), "round {round}");
        let ones = vec![1; n as usize];
        let levels: Vec<u64> = graph.levels().iter().map(|level| u64::from(*level)).collect();
        assert_eq!(levels, longest_by_definition(n as usize, &edges, &ones), "round {round}");

        let estimates: Vec<u64> = (0..n).map(|_| seeded.below(1000)).collect();
        let timing = graph.timing(&estimates);
        assert_eq!(timing.start_ms, longest_by_definition(n as usize, &edges, &estimates));
        // petgraph has no longest path, but its Bellman-Ford on negated weights is one.
        let mut oracle: DiGraph<(), f64> = DiGraph::new();
        let source = oracle.add_node(());
        let nodes: Vec<_> = (0..n).map(|_| oracle.add_node(())).collect();
        for node in &nodes {
            oracle.add_edge(source, *node, 0.0);
        }
        for (from, to) in &edges {
            oracle.add_edge(nodes[*from as usize], nodes[*to as usize], -(estimates[*from as usize] as f64));
        }
        let paths = petgraph::algo::bellman_ford(&oracle, source).unwrap();
        let ends = nodes.iter().zip(&estimates).map(|(node, own)| -paths.distances[node.index()] + *own as f64);
        assert_eq!(timing.total_ms as f64, ends.fold(0.0, f64::max), "round {round}");

        let path = timing.critical_path(&graph);
        assert_eq!(path.iter().map(|task| estimates[*task as usize]).sum::<u64>(), timing.total_ms);
        assert!(path.windows(2).all(|pair| graph.successors(pair[0]).contains(&pair[1])));
        assert!(path.iter().all(|task| timing.is_critical(*task)));
        for task in 0..n {
            // Delayed by its slack the whole is as long as before, by one more it is longer.
            let mut slower = estimates.clone();
            slower[task as usize] += timing.slack_ms(task);
            assert_eq!(graph.timing(&slower).total_ms, timing.total_ms);
            slower[task as usize] += 1;
            assert_eq!(graph.timing(&slower).total_ms, timing.total_ms + 1);
        }
    }
}

#[test]
fn both_ways_to_build_agree() {
    let mut seeded = Seeded(2);
    let edges = random_dag(&mut seeded, 500, 2000);
    let mut needs: Vec<Vec<u32>> = vec![Vec::new(); 500];
    edges.iter().for_each(|(from, to)| needs[*to as usize].push(*from));
    let by_needs = Graph::from_needs(needs.iter().map(Vec::as_slice)).unwrap();
    let by_edges = Graph::build(500, edges.iter().copied()).unwrap();
    assert_eq!(by_needs.levels(), by_edges.levels());
    for task in 0..500 {
        assert_eq!(by_needs.predecessors(task), needs[task as usize]);
        assert_eq!(by_edges.predecessors(task), needs[task as usize]);
    }
}

#[test]
fn cycles_are_found_and_are_cycles() {
    let mut seeded = Seeded(3);
    let (mut cyclic, mut free) = (0, 0);
    for _ in 0..400 {
        let n = 1 + seeded.below(40) as u32;
        let edges: Vec<(u32, u32)> = (0..seeded.below(u64::from(n) * 2))
            .map(|_| (seeded.below(u64::from(n)) as u32, seeded.below(u64::from(n)) as u32))
            .collect();
        let mut oracle: DiGraph<(), ()> = DiGraph::new();
        for _ in 0..n {
            oracle.add_node(());
        }
        for (from, to) in &edges {
            oracle.add_edge((*from).into(), (*to).into(), ());
        }
        match Graph::build(n as usize, edges.iter().copied()) {
            Ok(_) => {
                free += 1;
                assert!(!is_cyclic_directed(&oracle));
            }
            Err(Cycle { path }) => {
                cyclic += 1;
                assert!(is_cyclic_directed(&oracle));
                let next = path.iter().cycle().skip(1);
                assert!(path.iter().zip(next).all(|(from, to)| edges.contains(&(*from, *to))), "{path:?}");
                let mut once = path.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), path.len(), "{path:?} visits a task twice");
            }
        }
    }
    assert!(cyclic > 50 && free > 50, "{cyclic} with and {free} without a cycle");
}

#[test]
fn the_cycle_shown_is_a_short_one() {
    // A ring of 1,000 with a chord that makes a triangle, and a tail behind it that is on no cycle.
    let mut edges: Vec<(u32, u32)> = (0..1000).map(|i| (i, (i + 1) % 1000)).collect();
    edges.push((12, 10));
    edges.push((5, 1000));
    let Cycle { path } = Graph::build(1001, edges.iter().copied()).unwrap_err();
    assert_eq!(path, [10, 11, 12]);
    let Cycle { path } = Graph::build(3, [(0, 1), (2, 2), (1, 0)]).unwrap_err();
    assert_eq!(path, [2], "a task that waits for itself is the shortest");
}

#[test]
fn a_ring_of_a_hundred_thousand_is_no_stack_overflow() {
    let n = 100_000;
    let Cycle { path } = Graph::build(n as usize, (0..n).map(|i| (i, (i + 1) % n))).unwrap_err();
    assert_eq!(path.len(), n as usize);
}

#[test]
fn appending_keeps_positions_and_refuses_cycles() {
    let mut graph = Graph::build(2, [(0, 1)]).unwrap();
    graph.append(1, &[(0, 2), (2, 1)]).unwrap();
    assert_eq!(graph.levels(), [0, 2, 1]);
    assert_eq!(graph.predecessors(1), [0, 2]);
    let before = graph.clone();
    assert_eq!(graph.append(1, &[(1, 3), (3, 0)]).unwrap_err().path.len(), 3);
    assert_eq!(graph, before);
    assert_eq!(graph.descendants(0), [1, 2]);
    assert_eq!(graph.level_lists(), [[0], [2], [1]]);
}

#[test]
fn nothing_and_one() {
    let empty = Graph::build(0, []).unwrap();
    assert!(empty.is_empty() && empty.level_lists().is_empty());
    assert!(empty.timing(&[]).critical_path(&empty).is_empty());
    assert_eq!(simulate(&empty, &[], 3), 0);
    let one = Graph::build(1, []).unwrap();
    assert_eq!(one.timing(&[7]).critical_path(&one), [0]);
    assert_eq!(simulate(&one, &[7], 3), 7);
}

#[test]
fn the_weakest_edges_are_dropped_and_no_others() {
    // 0 -> 1 -> 2 -> 0 with the weakest in the middle, and an edge outside that is weaker still.
    let edges = [(0, 1, 0.9), (1, 2, 0.2), (2, 0, 0.5), (2, 3, 0.1)];
    assert_eq!(break_weakest(4, &edges), [Dropped { edge: 1, cycle: vec![2, 0, 1] }]);
    assert_eq!(break_weakest(1, &[(0, 0, 1.0)]), [Dropped { edge: 0, cycle: vec![0] }]);
    assert_eq!(break_weakest(2, &[(0, 1, 1.0)]), []);

    let mut seeded = Seeded(4);
    let mut total = 0;
    for _ in 0..200 {
        let n = 2 + seeded.below(20) as u32;
        let edges: Vec<(u32, u32, f32)> = (0..seeded.below(u64::from(n) * 3))
            .map(|_| (seeded.below(u64::from(n)) as u32, seeded.below(u64::from(n)) as u32, seeded.below(5) as f32))
            .collect();
        let dropped = break_weakest(n as usize, &edges);
        total += dropped.len();
        let without = |extra: Option<usize>| {
            let kept = (0..edges.len())
                .filter(|edge| Some(*edge) == extra || dropped.iter().all(|dropped| dropped.edge != *edge));
            Graph::build(n as usize, kept.map(|edge| (edges[edge].0, edges[edge].1)).collect::<Vec<_>>())
        };
        assert!(without(None).is_ok(), "a cycle is left");
        for Dropped { edge, cycle } in &dropped {
            assert!(without(Some(*edge)).is_err(), "edge {edge} was dropped without need");
            let (from, to, weight) = edges[*edge];
            assert_eq!((cycle[0], *cycle.last().unwrap()), (to, from));
            for pair in cycle.windows(2) {
                let strongest = edges.iter().filter(|edge| (edge.0, edge.1) == (pair[0], pair[1])).map(|edge| edge.2);
                assert!(strongest.fold(f32::MIN, f32::max) >= weight, "a weaker edge was kept");
            }
        }
    }
    assert!(total > 200, "{total} dropped: the test saw cycles");
}

#[test]
fn the_most_urgent_comes_first() {
    let graph = Graph::build(6, [(0, 4), (1, 4), (1, 4)]).unwrap();
    let rank = |task: u32| match task {
        2 => (Priority::High, 1),
        3 => (Priority::Normal, 9),
        5 => (Priority::Low, u64::MAX),
        4 => (Priority::Urgent, 0),
        _ => (Priority::Normal, 5),
    };
    let mut ready = Ready::new(&graph, rank);
    assert_eq!(ready.queue(), [2, 3, 0, 1, 5]);
    assert_eq!((ready.pop(), ready.pop(), ready.pop(), ready.pop()), (Some(2), Some(3), Some(0), Some(1)));
    assert!(ready.complete(&graph, 0).is_empty());
    assert!(ready.complete(&graph, 0).is_empty(), "completing again changes nothing");
    assert_eq!(ready.waiting_for(4), Some(2), "the repeated edge counts on both sides");
    assert_eq!(ready.complete(&graph, 1), [4]);
    assert_eq!((ready.peek(), ready.len()), (Some(4), 2));
    assert_eq!(ready.pop(), Some(4));
    ready.put_back(4);
    ready.put_back(0);
    assert_eq!(ready.queue(), [4, 5], "a completed task is not queued again");
    assert_eq!(ready.waiting_for(0), None);

    let standing = |task: u32| match task {
        0 | 1 => Standing::Done,
        2 => Standing::Taken,
        _ => Standing::Open,
    };
    assert_eq!(Ready::resume(&graph, rank, standing).queue(), [4, 3, 5]);
}

/// Random runs, stopped and resumed at random: what is ready is always what the definition says.
#[test]
fn ready_is_what_waits_for_nothing() {
    let mut seeded = Seeded(6);
    let mut resumed = 0;
    for _ in 0..100 {
        let n = 2 + seeded.below(50) as u32;
        let count = seeded.below(u64::from(n) * 3) as usize;
        let edges = random_dag(&mut seeded, n, count);
        let graph = Graph::build(n as usize, edges.iter().copied()).unwrap();
        let rank = |task: u32| (Priority::Normal, u64::from(task * 7 % 5));
        let mut standing = vec![Standing::Open; n as usize];
        let mut ready = Ready::new(&graph, rank);
        loop {
            let free = |task: &u32| {
                let done = |need: &u32| standing[*need as usize] == Standing::Done;
                standing[*task as usize] == Standing::Open && graph.predecessors(*task).iter().all(done)
            };
            let mut expected: Vec<u32> = (0..n).filter(free).collect();
            expected.sort_by_key(|task| (std::cmp::Reverse(rank(*task)), *task));
            assert_eq!(ready.queue(), expected);
            let running: Vec<u32> = (0..n).filter(|task| standing[*task as usize] == Standing::Taken).collect();
            match seeded.below(5) {
                0 => {
                    ready = Ready::resume(&graph, rank, |task| standing[task as usize]);
                    resumed += 1;
                }
                1 if !running.is_empty() => {
                    let task = running[seeded.below(running.len() as u64) as usize];
                    standing[task as usize] = Standing::Open;
                    ready.put_back(task);
                }
                2 | 3 if !running.is_empty() => {
                    let task = running[seeded.below(running.len() as u64) as usize];
                    standing[task as usize] = Standing::Done;
                    ready.complete(&graph, task);
                }
                _ => match ready.pop() {
                    Some(task) => standing[task as usize] = Standing::Taken,
                    None if running.is_empty() => break,
                    None => {}
                },
            }
        }
        assert!(standing.iter().all(|standing| *standing == Standing::Done));
    }
    assert!(resumed > 100);
}

/// Layered graphs: each task waits for up to five of the `reach` layers before its own.
fn layered(seeded: &mut Seeded, n: u32, layers: u32, reach: u32) -> Graph {
    let width = n / layers;
    let mut edges = Vec::new();
    for task in width..n {
        let layer = task / width;
        for _ in 0..1 + seeded.below(5) {
            let from_layer = layer - 1 - seeded.below(u64::from(reach.min(layer))) as u32;
            edges.push((from_layer * width + seeded.below(u64::from(width)) as u32, task));
        }
    }
    Graph::build(n as usize, edges).unwrap()
}

#[test]
fn makespan_is_within_two_percent_of_the_bound() {
    let mut seeded = Seeded(5);
    let mut worst: f64 = 0.0;
    for (layers, reach) in [(5, 1), (20, 1), (100, 1), (100, 4), (1000, 1), (1000, 8)] {
        let graph = layered(&mut seeded, 10_000, layers, reach);
        for shape in ["equal", "even", "exponential", "long tail"] {
            let durations: Vec<u64> = (0..graph.len())
                .map(|_| match shape {
                    "equal" => 1000,
                    "even" => 1 + seeded.below(2000),
                    "exponential" => (-1000.0 * (1.0 - seeded.unit()).ln()) as u64 + 1,
                    _ => (1000.0 / (1.0 - seeded.unit()).powf(0.5)).min(60_000.0) as u64,
                })
                .collect();
            let total_ms = graph.timing(&durations).total_ms;
            let work_ms: u64 = durations.iter().sum();
            for jobs in [2, 10, 64] {
                let bound = total_ms.max(work_ms.div_ceil(jobs));
                let ratio = simulate(&graph, &durations, jobs as usize) as f64 / bound as f64;
                assert!(ratio >= 1.0, "faster than possible: {ratio}");
                // Where a layer is just as wide as there are jobs, both halves of the bound are about equal and no
                // order reaches it with long-tailed durations.
                let allowed = if graph.len() as u64 / u64::from(layers) == jobs { 1.03 } else { 1.02 };
                assert!(ratio <= allowed, "{layers} layers reaching {reach}, {shape}, {jobs} jobs: {ratio:.4}");
                worst = worst.max(ratio);
            }
        }
    }
    assert!(worst > 1.0, "some case is hard enough to be above the bound");
}
