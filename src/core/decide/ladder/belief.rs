//! What counts say about a habit: a mixture of Beta distributions, updated by answers.
//!
//! People's habits come in a few kinds: nearly always yes, mostly yes, it depends, mostly no, nearly never. Each kind is
//! a Beta distribution; how common each is, is learned from the person's own answers ([`Kinds::learn`]). A handful of
//! answers then says which kind a habit is of, which one Beta with a fixed prior cannot: six yeses from somebody whose
//! habits are clear weigh more than six from somebody who mostly weighs each case.

/// One kind of habit: the parameters of its Beta distribution, and its share of all habits to begin with.
const KINDS: [(f64, f64, f64); 5] =
    [(1.0, 100.0, 0.11), (1.0, 25.0, 0.11), (2.0, 2.0, 0.30), (25.0, 1.0, 0.24), (100.0, 1.0, 0.24)];

/// How many habits the first shares are worth: after as many of the person's own, those count as much.
const SHARES_WORTH: f64 = 6.0;

/// Rounds of re-estimating the shares; they move little after the third.
const ROUNDS: usize = 4;

/// Evidence: yeses and answers, both decayed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Yeses.
    pub yes: f64,
    /// All answers.
    pub n: f64,
}

impl Counts {
    /// These without those of a part of them.
    pub fn without(self, part: Counts) -> Counts {
        let yes = (self.yes - part.yes).max(0.0);
        Counts { yes, n: (self.n - part.n).max(yes) }
    }
}

/// One component of a belief.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    share: f64,
    yes: f64,
    no: f64,
}

/// What is believed about one habit.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief(Vec<Part>);

impl Belief {
    /// The belief after these answers, and how well they were foretold (the logarithm of their likelihood).
    pub fn after(&self, counts: Counts) -> (Belief, f64) {
        if counts.n <= 0.0 {
            return (self.clone(), 0.0);
        }
        let no = counts.n - counts.yes;
        let fits: Vec<f64> = (self.0.iter())
            .map(|part| {
                part.share.max(1e-12).ln() + ln_beta(part.yes + counts.yes, part.no + no) - ln_beta(part.yes, part.no)
            })
            .collect();
        let best = fits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = fits.iter().map(|fit| (fit - best).exp()).sum();
        let parts = self.0.iter().zip(&fits).map(|(part, fit)| Part {
            share: (fit - best).exp() / sum,
            yes: part.yes + counts.yes,
            no: part.no + no,
        });
        (Belief(parts.collect()), best + sum.ln())
    }

    /// This one, or with a chance of `fresh` a habit of its own about which nothing is known.
    pub fn or_fresh(&self, fresh: f64, kinds: &Kinds) -> Belief {
        let same = self.0.iter().map(|part| Part { share: part.share * (1.0 - fresh), ..*part });
        let own = kinds.prior().0.into_iter().map(|part| Part { share: part.share * fresh, ..part });
        Belief(same.chain(own).collect())
    }

    /// The belief after a witness who is right with this probability said yes or no. Bayes' rule over the kinds of habit:
    /// a kind that mostly says what the witness says gains, one that says either keeps its share.
    pub fn advised(&self, yes: bool, right: f64) -> Belief {
        let fit = |part: &Part| {
            let mean = part.yes / (part.yes + part.no);
            let agrees = if yes { mean } else { 1.0 - mean };
            part.share * (right * agrees + (1.0 - right) * (1.0 - agrees))
        };
        let sum: f64 = self.0.iter().map(fit).sum();
        Belief(self.0.iter().map(|part| Part { share: fit(part) / sum, ..*part }).collect())
    }

    /// The probability of a yes.
    pub fn mean(&self) -> f64 {
        self.0.iter().map(|part| part.share * part.yes / (part.yes + part.no)).sum()
    }
}

/// How common each kind of habit is with this person.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinds([f64; KINDS.len()]);

impl Default for Kinds {
    fn default() -> Self {
        Kinds(KINDS.map(|(_, _, share)| share))
    }
}

impl Kinds {
    /// What is believed of a habit nothing is known about.
    pub fn prior(&self) -> Belief {
        Belief(KINDS.iter().zip(self.0).map(|((yes, no, _), share)| Part { share, yes: *yes, no: *no }).collect())
    }

    /// Estimates the shares from what is known of all habits (expectation and maximisation, from where it stands).
    pub fn learn(&mut self, habits: &[Counts]) {
        for _ in 0..ROUNDS {
            let prior = self.prior();
            let mut shares = KINDS.map(|(_, _, share)| share * SHARES_WORTH);
            for counts in habits {
                for (share, part) in shares.iter_mut().zip(prior.after(*counts).0.0) {
                    *share += part.share;
                }
            }
            let sum: f64 = shares.iter().sum();
            self.0 = shares.map(|share| share / sum);
        }
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The logarithm of the gamma function for positive numbers: Stirling's series above 8, and the recurrence below. Its
/// error is under 1e-10, far below what counts of answers can show.
fn ln_gamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 8.0 {
        below += x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.918_938_533_204_672_7 + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gamma_function_is_right() {
        for (x, value) in [(1.0, 1.0f64), (2.0, 1.0), (5.0, 24.0), (0.5, 1.772_453_850_905_516), (11.0, 3_628_800.0)] {
            assert!((ln_gamma(x) - value.ln()).abs() < 1e-9, "{x}: {}", ln_gamma(x));
        }
    }

    #[test]
    fn more_agreement_never_means_less_certainty() {
        let kinds = Kinds::default();
        let mut before = 0.0;
        for n in 0..60 {
            let mean = kinds.prior().after(Counts { yes: f64::from(n), n: f64::from(n) }).0.mean();
            assert!(mean > before, "after {n}: {mean}");
            before = mean;
        }
        assert!(before > 0.98);
        assert!(kinds.prior().after(Counts { yes: 0.0, n: 12.0 }).0.mean() < 0.04);
    }

    #[test]
    fn a_witness_shifts_the_belief_as_far_as_it_is_credible() {
        let prior = Kinds::default().prior();
        let two = |belief: Belief| belief.after(Counts { yes: 2.0, n: 2.0 }).0.mean();
        let (yes, no) = (two(prior.advised(true, 0.9)), two(prior.advised(false, 0.9)));
        assert!(yes > two(prior.clone()) + 0.01 && no < two(prior.clone()) - 0.05, "{yes} {no}");
        // Who is right half of the time says nothing.
        assert!((two(prior.advised(false, 0.5)) - two(prior.clone())).abs() < 1e-12);
    }

    #[test]
    fn a_person_of_clear_habits_is_believed_sooner() {
        let (mut clear, mut torn) = (Kinds::default(), Kinds::default());
        clear.learn(&[Counts { yes: 30.0, n: 30.0 }; 10]);
        torn.learn(&[Counts { yes: 15.0, n: 30.0 }; 10]);
        let six = Counts { yes: 6.0, n: 6.0 };
        assert!(clear.prior().after(six).0.mean() > torn.prior().after(six).0.mean() + 0.05);
    }
}
