//! The whole core and store under a seeded virtual world: a daemon that crashes around its commits, a keeper that dies,
//! lanes, a toy git, and clients who ask for anything at any time.
//!
//! One seed is one world; it is always the same world. While it runs: the core's invariants after each step, no job in a
//! lane that is not its own, no job id given out twice, the journal read back is the live state. Once faults stop:
//! everything comes to rest, and what landed is there, once ([`rest`]). A world that breaks prints its seed and its
//! last inputs; that seed joins [`FOUND`] with a sentence.

pub mod coverage;
pub mod driven;

mod clients;
mod git;
mod keeper;
mod rest;
mod world;

use std::{
    collections::VecDeque,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

/// The first of the seeds that run each time.
pub const FIRST: u64 = 1;
/// How many run each time; `ORCHESTRATOR_SIM_SEEDS` may ask for more (`5000`) or others (`42..43`).
pub const SEEDS: u64 = 300;

/// Seeds that once found something, and what.
const FOUND: &[(u64, &str)] = &[
    (80, "the last reader failed while another task asked a person, and its lane was kept for ever"),
    (108, "a reader with a red check waited for a check of the base that nobody was going to make"),
    (
        155,
        "a failed attempt was blocked before anybody looked at its failure, and the readers' lane waited for that look",
    ),
    (176, "a ref moved, the report said that it had not, and nobody set it back"),
    (195, "a note came before a crash, and the same attempt's agent was ordered again with other words"),
];

/// The last inputs of a world, for the report of its end.
pub type Trail = Arc<Mutex<VecDeque<String>>>;

/// Runs the worlds of these seeds; panics with each that breaks, with its seed, and the last inputs of the first.
pub fn worlds(seeds: Range<u64>) {
    let mut broken = Vec::new();
    for seed in seeds {
        let trail = Trail::default();
        let world = AssertUnwindSafe(|| world::run(seed, trail.clone()));
        if let Err(panic) = catch_unwind(world) {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            let inputs: Vec<String> = trail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
            let inputs = if broken.is_empty() { inputs.join("\n") } else { "…".to_owned() };
            let said = said.unwrap_or_default();
            broken.push(format!("seed {seed} broke its world: {said}\nits last inputs:\n{inputs}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn worlds_come_to_rest() {
    FOUND.iter().for_each(|(seed, _)| worlds(*seed..*seed + 1));
    let asked = std::env::var("ORCHESTRATOR_SIM_SEEDS").ok();
    let number = |text: &str| text.parse::<u64>().expect("ORCHESTRATOR_SIM_SEEDS is a number, or first..end");
    let Range { start, end } = match asked.as_deref().map(|text| (text, text.split_once(".."))) {
        None => FIRST..FIRST + SEEDS,
        Some((_, Some((first, end)))) => number(first)..number(end),
        Some((count, None)) => FIRST..FIRST + number(count),
    };
    let half = start + (end - start) / 2;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| worlds(start..half));
        let second = scope.spawn(|| worlds(half..end));
        for thread in [first, second] {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}
