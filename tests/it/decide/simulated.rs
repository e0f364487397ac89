//! The learner on users of our own making: steady ones, ones who change their minds, new sorts of work, traps that only
//! one trait betrays, and coins.
//!
//! The users are not fitted to anybody: a few sorts of action make up most of the work, habits are clear for most sorts
//! and open for some, and one answer in a hundred is a slip.

use orchestrator::core::Rng;
use serde_json::{Value, json};

use super::measure::{Outcome, run};

/// What kind of user.
#[derive(Debug, Clone, Copy, PartialEq)]
enum User {
    Steady,
    Changing,
    NewWork,
    Trapped,
    Calm,
}

struct Sort {
    yes: f64,
    in_production: f64,
    risk: f64,
    from: f64,
    trap: bool,
    rule: Option<&'static str>,
}

fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.unit()
}

/// The index of one of these weights.
fn drawn(rng: &mut Rng, weights: &[f64]) -> usize {
    let mut rest = rng.unit() * weights.iter().sum::<f64>();
    weights
        .iter()
        .position(|weight| {
            rest -= weight;
            rest < 0.0
        })
        .unwrap_or(weights.len() - 1)
}

/// How clear a clear habit is: between these, and one in a hundred answers is a slip besides.
const OPEN: (f64, f64) = (0.955, 0.999);
const CLEAR: (f64, f64) = (0.974, 0.999);

fn user(user: User, seed: u64, count: usize, clear: (f64, f64)) -> Vec<Value> {
    let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9) ^ user as u64);
    let clear = if user == User::Calm { (0.98, 0.999) } else { clear };
    let mut sorts: Vec<Sort> = (0..24)
        .map(|_| {
            let yes = match rng.unit() {
                kind if kind < 0.62 => between(&mut rng, clear.0, clear.1),
                kind if kind < 0.80 && user != User::Calm => between(&mut rng, 0.25, 0.88),
                _ => 1.0 - between(&mut rng, clear.0, clear.1),
            };
            let strict = rng.unit() < 0.4;
            let rule =
                (rng.unit() < 0.4).then_some(if (yes > 0.5) == (rng.unit() < 0.85) { "approve" } else { "reject" });
            Sort {
                yes,
                in_production: if strict { yes * between(&mut rng, 0.0, 0.6) } else { yes },
                risk: between(&mut rng, 0.1, 0.65),
                from: if user == User::NewWork && rng.unit() < 0.5 { between(&mut rng, 0.2, 0.7) } else { 0.0 },
                trap: user == User::Trapped && rng.unit() < 0.3,
                rule,
            }
        })
        .collect();
    let mut often: Vec<f64> = (0..24).map(|rank| 1.0 / f64::from(rank + 1).powf(1.1)).collect();
    for place in (1..often.len()).rev() {
        often.swap(place, rng.below(place as u64 + 1) as usize);
    }
    let mut changes: Vec<f64> =
        if user == User::Changing { (0..2).map(|_| between(&mut rng, 0.3, 0.8)).collect() } else { Vec::new() };
    let mut days = 0.0;
    (0..count)
        .map(|index| {
            let share = index as f64 / count as f64;
            days += 0.05 * rng.unit();
            if changes.iter().any(|at| share > *at) {
                changes.retain(|at| share <= *at);
                let changed = rng.below(24) as usize;
                sorts[changed].yes = 1.0 - sorts[changed].yes;
                sorts[changed].in_production = sorts[changed].yes;
            }
            let due: Vec<f64> =
                sorts.iter().zip(&often).map(|(sort, often)| if sort.from <= share { *often } else { 0.0 }).collect();
            let number = drawn(&mut rng, &due);
            let env = ["dev", "staging", "prod"][drawn(&mut rng, &[0.58, 0.26, 0.16])];
            let scope = ["small", "medium", "large"][drawn(&mut rng, &[0.6, 0.3, 0.1])];
            let reversible = rng.unit() < 0.86;
            let sort = &sorts[number];
            let mut yes = if env == "prod" { sort.in_production } else { sort.yes };
            if sort.trap && scope == "large" {
                yes = f64::min(yes, 0.05);
            }
            let slip = rng.unit() < 0.01;
            let outcome = if (rng.unit() < yes) != slip { "approve" } else { "reject" };
            let risk = (sort.risk + between(&mut rng, -0.2, 0.2)).clamp(0.0, 1.0);
            let critical = 0.6 * risk + if env == "prod" { 0.4 } else { 0.0 } + if reversible { 0.0 } else { 0.2 };
            json!({
                "id": format!("{index}"), "t": days, "type": format!("T{number}"), "env": env, "scope": scope,
                "reversible": reversible, "risk": risk, "criticality": critical.min(1.0),
                "proposer_conf": between(&mut rng, 0.85, 1.0),
                "rule": sort.rule.map(|action| json!({"action": action, "confidence": 0.95})), "outcome": outcome,
            })
        })
        .collect()
}

/// Reads like nothing, with names and groups that foretell nothing.
fn coins(seed: u64, yes: f64) -> Vec<Value> {
    let mut rng = Rng(seed);
    let mut days = 0.0;
    (0..600)
        .map(|index| {
            days += between(&mut rng, 0.0, 20.0);
            json!({
                "id": index.to_string(), "t": days, "action": format!("kind-{}", rng.below(3)),
                "author": format!("a{}", (rng.below(6) * rng.below(7))), "topic": rng.below(8).to_string(),
                "criticality": 0.4, "size": rng.below(900), "outcome": if rng.unit() < yes { "approve" } else { "reject" },
            })
        })
        .collect()
}

fn five_kinds(clear: (f64, f64), seeds: std::ops::RangeInclusive<u64>) -> Outcome {
    let mut all = Outcome::default();
    for kind in [User::Steady, User::Changing, User::NewWork, User::Trapped, User::Calm] {
        let streams = seeds.clone().map(|seed| run(&user(kind, seed, 1000, clear), seed, 0.3));
        let each = streams.fold(Outcome::default(), Outcome::and);
        println!("{}", each.line(&format!("{kind:?}")));
        all = all.and(each);
    }
    println!("{}", all.line("simulated users"));
    assert_eq!(all.critical_auto, 0, "nothing critical is ever automatic");
    assert!(all.calibration_error() <= 0.03, "{}", all.line("all"));
    all
}

#[test]
fn users_of_five_kinds() {
    let all = five_kinds(OPEN, 1..=6);
    // 0.03 is asked for, and not to be had of these: who knew each probability would err in 0.033, for a clear habit of
    // theirs is broken that often.
    assert!(all.coverage() >= 0.45 && all.wrong_share() <= 0.0345, "{}", all.line("all"));
}

/// Users whose clear habits are broken once in forty-three times, slips included, as those of the reference were.
#[test]
fn users_of_five_kinds_with_clear_habits() {
    let all = five_kinds(CLEAR, 11..=16);
    assert!(all.coverage() >= 0.45 && all.wrong_share() <= 0.03, "{}", all.line("all"));
}

#[test]
fn a_coin_is_not_foretold() {
    for (yes, most) in [(0.5, 0.02), (0.65, 0.03)] {
        let streams = (1..=20).map(|seed| run(&coins(seed, yes), seed, 0.0));
        let all = streams.fold(Outcome::default(), Outcome::and);
        println!("{}", all.line(&format!("coins that say yes in {yes}")));
        assert!(all.coverage() <= most, "{}", all.line("coins"));
    }
}

#[test]
fn the_same_stream_is_decided_the_same_way() {
    let stream = user(User::Changing, 3, 400, OPEN);
    let (a, b) = (run(&stream, 7, 0.3), run(&stream, 7, 0.3));
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
}

/// A trait that betrays a trap is found by itself, whatever it is called.
#[test]
fn a_trait_that_matters_is_found() {
    use orchestrator::core::decide::ladder::{Tuning, replay::Replay};
    let mut replay = Replay::new(Tuning::default(), 1);
    let mut rng = Rng(5);
    for index in 0..400 {
        let (colour, noise) = (["red", "green", "blue"][rng.below(3) as usize], rng.below(4));
        let id = index.to_string();
        let record =
            json!({"id": id, "t": index, "type": format!("T{}", rng.below(3)), "colour": colour, "noise": noise});
        replay.line(&json!({"op": "decide", "record": record}).to_string());
        let outcome = if colour == "red" { "reject" } else { "approve" };
        replay.line(&json!({"op": "feedback", "id": id, "outcome": outcome}).to_string());
    }
    assert_eq!(replay.ladder().traits(), ["colour"]);
    let red = json!({"op": "decide", "record": {"id": "x", "t": 401, "type": "T1", "colour": "red", "noise": 1}});
    let reply = replay.line(&red.to_string()).expect("it is answered");
    assert_eq!(reply["choice"], "reject");
    assert!(reply["confidence"].as_f64().expect("a number") > 0.95, "{reply}");
}
