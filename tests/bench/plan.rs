//! Planning: ordering a graph against bare petgraph, reading a plan file, and how good the order of dispatch is.

use std::fmt::Write;

use orchestrator::core::{
    graph::{Graph, simulate},
    plan::file,
};
use petgraph::{algo::toposort, graph::DiGraph};

use crate::{
    Scale,
    measure::{Contestant, Peak, interleaved, ms, ratio},
    random::{Seeded, Spread, anywhere, durations_ms, layered},
    table::Row,
};

/// What a plan costs: build, cycle check, levels, critical path; petgraph only builds and sorts.
pub fn order(scale: Scale) -> Vec<Row> {
    let sizes: &[(u32, usize)] = match scale {
        Scale::Full => &[(10_000, 51), (1_000_000, 3)],
        Scale::Smoke => &[(1_000, 3)],
    };
    let mut rows = Vec::new();
    for &(n, rounds) in sizes {
        let mut seeded = Seeded(7);
        let near = layered(&mut seeded, n, n / 1000, 3, 6);
        let written = anywhere(&mut seeded, n);
        let names = seeded.shuffled(n);
        let mut shuffled: Vec<(u32, u32)> =
            written.iter().map(|(from, to)| (names[*from as usize], names[*to as usize])).collect();
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, seeded.below(i as u32 + 1) as usize);
        }
        let estimates_ms = durations_ms(&mut seeded, n as usize, Spread::Even);
        // Needs among the last three thousand tasks; anywhere above; anywhere at all, the hardest for every cache.
        for (how, edges) in [("near", &near), ("above", &written), ("shuffled", &shuffled)] {
            let mut needs: Vec<Vec<u32>> = vec![Vec::new(); n as usize];
            edges.iter().for_each(|(from, to)| needs[*to as usize].push(*from));
            let finish = |graph: Graph| {
                let bottom_ms = graph.bottom(&estimates_ms);
                graph.critical_path(&bottom_ms).len() as u64
            };
            let mut contestants: [Contestant<'_>; 4] = [
                Box::new(|| {
                    finish(Graph::from_needs(needs.iter().map(Vec::as_slice)).expect("the graph has no cycle"))
                }),
                Box::new(|| finish(Graph::build(n as usize, edges.iter().copied()).expect("the graph has no cycle"))),
                Box::new(|| {
                    let mut graph: DiGraph<(), (), u32> = DiGraph::with_capacity(n as usize, edges.len());
                    for _ in 0..n {
                        graph.add_node(());
                    }
                    for (from, to) in edges {
                        graph.add_edge((*from).into(), (*to).into(), ());
                    }
                    toposort(&graph, None).expect("the graph has no cycle").len() as u64
                }),
                Box::new(|| edges.iter().map(|(from, to)| u64::from(from ^ to)).sum()),
            ];
            let times = interleaved(rounds, &mut contestants);
            let [from_needs, from_edges, bare, pass] = times[..] else { unreachable!("one time for each") };
            let what = format!("plan {n} tasks, {} edges, {how}", edges.len());
            let measured = |time| format!("{} = {:.2} x petgraph", ms(time), ratio(time, bare));
            if n <= 10_000 {
                rows.push(Row::bound(
                    format!("{what}, from needs"),
                    "< 1 ms",
                    measured(from_needs),
                    from_needs.as_secs_f64() < 1e-3,
                ));
                rows.push(Row::bound(
                    format!("{what}, from edges"),
                    "< 1 ms",
                    measured(from_edges),
                    from_edges.as_secs_f64() < 1e-3,
                ));
            } else {
                for (source, time) in [("needs", from_needs), ("edges", from_edges)] {
                    rows.push(Row::bound(
                        format!("{what}, from {source}"),
                        "<= 0.50 x",
                        measured(time),
                        ratio(time, bare) <= 0.5,
                    ));
                }
            }
            rows.push(Row::shown(format!("{what}: petgraph; one pass"), format!("{}; {}", ms(bare), ms(pass))));
        }
    }
    rows
}

/// A plan of `n` tasks as JSON, 100 bytes a task.
fn json(n: u32) -> String {
    let mut text = String::from("{\"version\":1,\"tasks\":[");
    for i in 0..n {
        let comma = if i == 0 { "" } else { "," };
        let title = format!("Step {i} of many");
        let _ = write!(text, "{comma}{{\"id\":\"t{i}\",\"title\":\"{title}\",\"command\":[\"/bin/true\"],\"needs\":[");
        if i > 10 {
            let _ = write!(text, "\"t{}\",\"t{}\",\"t{}\"", i - 1, i / 2, i - 10);
        }
        text.push_str("]}");
    }
    text + "]}"
}

/// The same tasks as TOML.
fn toml(n: u32) -> String {
    let mut text = String::from("version = 1\n");
    for i in 0..n {
        let _ = write!(text, "[[tasks]]\nid = \"t{i}\"\ntitle = \"Step {i} of many\"\ncommand = [\"/bin/true\"]\n");
        if i > 10 {
            let _ = writeln!(text, "needs = [\"t{}\", \"t{}\", \"t{}\"]", i - 1, i / 2, i - 10);
        }
    }
    text
}

/// What reading and checking a plan file costs, against serde_json into its own generic value.
pub fn file(scale: Scale) -> Vec<Row> {
    let (n, small, rounds) = match scale {
        Scale::Full => (1_000_000, 10_000, 3),
        Scale::Smoke => (1_000, 100, 1),
    };
    let text = json(n);
    let peak = Peak::start();
    let parsed = file::from_json(&text).expect("the plan is good");
    let grown_bytes = peak.grown_bytes();
    let tasks = parsed.plan.tasks.len();
    drop(parsed);
    let mut contestants: [Contestant<'_>; 2] = [
        Box::new(|| file::from_json(&text).map_or(0, |parsed| parsed.graph.len() as u64)),
        Box::new(|| serde_json::from_str::<serde_json::Value>(&text).map_or(0, |value| u64::from(value.is_object()))),
    ];
    let times = interleaved(rounds, &mut contestants);
    drop(contestants);
    let megabytes = text.len() / 1_000_000;
    let mut rows = vec![Row::bound(
        format!("read and check a plan of {tasks} tasks, {megabytes} MB of JSON"),
        "< 5 s",
        format!("{} = {:.2} x serde_json's Value", ms(times[0]), ratio(times[0], times[1])),
        times[0].as_secs_f64() < 5.0,
    )];
    let what = "the same: peak memory a task, the text not counted";
    rows.push(match grown_bytes {
        Some(bytes) => {
            let each = bytes / u64::from(n);
            // Pages and the allocator's own take more than small plans do.
            Row::bound(what, "< 1024 bytes", format!("{each} bytes"), each < 1024 || scale == Scale::Smoke)
        }
        None => Row::shown(what, "not known on this system"),
    });
    let text = toml(small);
    let mut contestants: [Contestant<'_>; 1] =
        [Box::new(|| file::parse(&text, None).map_or(0, |parsed| parsed.graph.len() as u64))];
    let time = interleaved(rounds * 5, &mut contestants)[0];
    rows.push(Row::bound(
        format!("read and check a plan of {small} tasks of TOML"),
        "< 250 ms",
        ms(time),
        time.as_secs_f64() < 0.25,
    ));
    rows
}

/// The simulated makespan over the lower bound max(critical path, work / jobs), the worst of each kind of graph.
pub fn makespan(scale: Scale) -> Vec<Row> {
    let n = match scale {
        Scale::Full => 10_000,
        Scale::Smoke => 1_000,
    };
    let mut seeded = Seeded(11);
    let mut rows = Vec::new();
    for (layers, reach) in [(5, 1), (20, 1), (20, 5), (100, 1), (100, 4), (n / 10, 1), (n / 10, 8), (0, 0)] {
        let (shape, edges) = match layers {
            0 => ("needs anywhere before".to_owned(), anywhere(&mut seeded, n)),
            _ => {
                let shape = format!("{layers} layers of {}, reach {reach}", n / layers);
                (shape, layered(&mut seeded, n, layers, reach, 5))
            }
        };
        let graph = Graph::build(n as usize, edges).expect("the graph has no cycle");
        let mut worst = [0f64; 3];
        for spread in [Spread::Equal, Spread::Even, Spread::Exponential, Spread::LongTail] {
            let durations_ms = durations_ms(&mut seeded, n as usize, spread);
            let work_ms: u64 = durations_ms.iter().sum();
            let path_ms = graph.timing(&durations_ms).total_ms;
            for (jobs, worst) in [2, 10, 64].into_iter().zip(&mut worst) {
                let bound_ms = path_ms.max(work_ms.div_ceil(jobs));
                *worst = worst.max(simulate(&graph, &durations_ms, jobs as usize) as f64 / bound_ms as f64);
            }
        }
        let what = format!("makespan of {n} tasks, {shape}; worst of 4 spreads at 2/10/64 jobs");
        let measured = format!("{:.4} / {:.4} / {:.4}", worst[0], worst[1], worst[2]);
        // The bound is for layered graphs. Where tasks need any before them, a run begins with a handful that can
        // start, which the lower bound does not know.
        rows.push(match layers {
            0 => Row::shown(what, measured),
            _ => Row::bound(what, "<= 1.02 x", measured, worst.iter().all(|ratio| *ratio <= 1.02)),
        });
    }
    rows
}
