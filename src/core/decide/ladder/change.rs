//! Whether a person changed their mind about a sort of action: their newest answers, held against what was foretold of
//! each.
//!
//! Before each answer there is a small chance that from there on the sort has a habit of its own about which nothing is
//! known, which is what a rung of the ladder is in space. A slip is forgiven by the answers after it; two against a clear
//! habit are not. What was foretold came from the whole ladder, so an act on production that is refused as always says
//! nothing about a change.

use std::collections::VecDeque;

use super::belief::{Counts, Kinds};

/// The chance of a change of mind before an answer.
const CHANCE: f64 = 0.004;

/// So many of the newest answers are looked at: a change that they do not show by then is in the counts.
const NEWEST: usize = 12;

/// From this chance on a change is taken for granted, and what was said before it counts little.
const CERTAIN: f64 = 0.9;

/// No foretelling is so sure that an answer against it proves anything by itself.
const SUREST: f64 = 0.997;

/// One answer, and what was foretold of it.
#[derive(Debug, Clone, Copy)]
struct Said {
    /// The label's number.
    number: u64,
    yes: bool,
    weight: f64,
    /// The probability of a yes, before it was known.
    foretold: f64,
}

/// The newest answers to a sort of action.
#[derive(Debug, Clone, Default)]
pub struct Newest(VecDeque<Said>);

/// What the newest answers say about a change of mind.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Change {
    /// The chance that there was one.
    pub chance: f64,
    /// The probability of a yes, if there was one.
    pub yes_after: f64,
    /// The number of the answer that was likeliest the first after it.
    pub since: u64,
}

impl Change {
    /// The probability of a yes where it is `before` without a change.
    pub fn weighed(self, before: f64) -> f64 {
        (1.0 - self.chance) * before + self.chance * self.yes_after
    }

    /// Whether there was one, as good as certainly.
    pub fn certain(self) -> bool {
        self.chance > CERTAIN
    }
}

impl Newest {
    /// Takes in an answer of which a yes was foretold with this probability.
    pub fn add(&mut self, number: u64, yes: bool, weight: f64, foretold: f64) {
        if self.0.len() == NEWEST {
            self.0.pop_front();
        }
        self.0.push_back(Said { number, yes, weight, foretold: foretold.clamp(1.0 - SUREST, SUREST) });
    }

    /// Forgets all: a change was taken for granted.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What they say: Bayes' rule over "no change" and "one before this answer" for each of them.
    pub fn change(&self, kinds: &Kinds) -> Change {
        // What led up to each place, as a logarithm: no change until there, and then one.
        let mut unchanged = 0.0;
        let led: Vec<f64> = (self.0.iter())
            .map(|said| {
                let led = unchanged + CHANCE.ln();
                let right = if said.yes { said.foretold } else { 1.0 - said.foretold };
                unchanged += (1.0 - CHANCE).ln() + said.weight * right.ln();
                led
            })
            .collect();
        // From the newest backwards: how likely the answers since are, from a habit nothing is known about.
        let mut since = Counts::default();
        let mut places: Vec<(f64, f64, u64)> = Vec::with_capacity(self.0.len());
        for (said, led) in self.0.iter().zip(&led).rev() {
            since.n += said.weight;
            since.yes += if said.yes { said.weight } else { 0.0 };
            let (habit, fits) = kinds.prior().after(since);
            places.push((led + fits, habit.mean(), said.number));
        }
        let Some(likeliest) = places.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else { return Change::default() };
        let best = likeliest.0.max(unchanged);
        let changed: f64 = places.iter().map(|(fits, ..)| (fits - best).exp()).sum();
        let yes: f64 = places.iter().map(|(fits, mean, _)| (fits - best).exp() * mean).sum();
        Change { chance: changed / (changed + (unchanged - best).exp()), yes_after: yes / changed, since: likeliest.2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: &[bool], foretold: f64) -> Change {
        let mut newest = Newest::default();
        (0..).zip(answers).for_each(|(number, yes)| newest.add(number, *yes, 1.0, foretold));
        newest.change(&Kinds::default())
    }

    #[test]
    fn a_slip_is_forgiven_and_a_change_is_not() {
        assert_eq!(after(&[], 0.98), Change::default());
        assert!(after(&[true; 12], 0.98).chance < 0.05);
        let slip = after(&[true, true, true, true, true, false], 0.98);
        assert!(slip.chance > 0.05 && slip.chance < 0.4, "{slip:?}");
        let forgiven = after(&[true, true, false, true, true, true, true], 0.98);
        assert!(forgiven.chance < slip.chance, "{forgiven:?}");
        let changed = after(&[true, true, true, true, false, false, false], 0.98);
        assert!(changed.certain() && changed.since == 4 && changed.weighed(0.98) < 0.3, "{changed:?}");
    }

    /// Refusing what was refused before is no change, whatever the sort's other acts are answered.
    #[test]
    fn what_was_foretold_is_no_change() {
        let mut newest = Newest::default();
        for number in 0..12 {
            let refused = number % 2 == 0;
            newest.add(number, !refused, 1.0, if refused { 0.03 } else { 0.97 });
        }
        let change = newest.change(&Kinds::default());
        assert!(change.chance < 0.05, "{change:?}");
    }
}
