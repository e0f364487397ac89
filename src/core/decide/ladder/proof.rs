//! When a track record is good enough: bounds on an error rate, the certificate (guilty until proven) and the brake
//! (innocent until doubtful).
//!
//! Both look only at decisions a person was asked about though the ladder already had an opinion: before it could act,
//! and in audits. Mistakes that somebody happened to notice say nothing about those nobody noticed, and stay out.

use std::collections::VecDeque;

/// The share of wrong decisions that is accepted.
pub const ALPHA: f64 = 0.05;

/// The chance that a certificate is wrong.
pub const DELTA: f64 = 0.1;

/// How many of the newest decisions are looked at: a guarantee is for a window, because people change.
pub const WINDOW: usize = 500;

/// Thresholds that are tried, strictest first.
const GRID: [f64; 6] = [0.995, 0.99, 0.98, 0.97, 0.96, 0.95];

/// One prediction and what the person said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proof {
    /// How sure the ladder was, before it knew.
    pub confidence: f64,
    /// Whether the person agreed.
    pub agreed: bool,
    /// How many decisions it stands for: an audit, for all those like it that nobody was asked about.
    pub stands_for: f64,
}

/// The newest predictions of one kind.
#[derive(Debug, Clone, Default)]
pub struct Record(VecDeque<Proof>);

impl Record {
    /// Adds one, and forgets what is older than the window.
    pub fn add(&mut self, proof: Proof) {
        if self.0.len() == WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(proof);
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Proof> {
        self.0.iter()
    }

    /// How many there are at or above a confidence, and how many of them were wrong.
    pub fn above(&self, confidence: f64) -> (u32, u32) {
        let mut count = (0, 0);
        for proof in self.0.iter().filter(|proof| proof.confidence >= confidence) {
            count.0 += 1;
            count.1 += u32::from(!proof.agreed);
        }
        count
    }

    /// The lowest threshold above which the error is proven to be at most [`ALPHA`] but for a chance of [`DELTA`], or
    /// none. Fixed-sequence Learn-then-Test: thresholds are tested from the strictest that has enough predictions to
    /// pass at all, and the first that fails ends it, so that many tests cost nothing.
    pub fn certificate(&self) -> Option<f64> {
        let mut proven = None;
        for threshold in GRID {
            let (n, wrong) = self.above(threshold);
            // Whether there are enough does not depend on how they turned out, so leaving these out is no test.
            if n < CLEAN_MIN {
                continue;
            }
            if clopper_pearson_upper(wrong, n, DELTA) > ALPHA {
                break;
            }
            proven = Some(threshold);
        }
        proven
    }

    /// The lowest threshold from `least` on at which nothing speaks for an error above [`ALPHA`]; above 1 where every one
    /// is in doubt, and then nothing is automatic.
    pub fn brake(&self, least: f64) -> f64 {
        let doubtful = |threshold: f64| {
            let (n, wrong) = self.above(threshold);
            n > 0 && wilson(wrong, n, Z_ONE_SIDED_90).0 > ALPHA
        };
        let tried = std::iter::once(least).chain(GRID.into_iter().rev().filter(|threshold| *threshold > least));
        tried.into_iter().find(|threshold| !doubtful(*threshold)).unwrap_or(2.0)
    }
}

/// So many answers without a mistake are the fewest that prove anything: 1 - DELTA^(1/45) is just under ALPHA.
pub const CLEAN_MIN: u32 = 45;

/// The 90 % quantile of the normal distribution.
pub const Z_ONE_SIDED_90: f64 = 1.281_551_565_545;

/// The 97.5 % quantile: both ends of a 95 % interval.
pub const Z_TWO_SIDED_95: f64 = 1.959_963_984_540;

/// Wilson's interval for a share: its two ends.
pub fn wilson(count: u32, n: u32, z: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, square) = (f64::from(n), z * z);
    let share = f64::from(count) / n;
    let middle = share + square / (2.0 * n);
    let wide = z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    (((middle - wide) / scale).max(0.0), ((middle + wide) / scale).min(1.0))
}

/// The upper end of the exact one-sided interval of Clopper and Pearson: the share at which so few out of `n` would be
/// seen with a chance of `delta`.
pub fn clopper_pearson_upper(count: u32, n: u32, delta: f64) -> f64 {
    if count >= n {
        return 1.0;
    }
    let (mut low, mut high) = (f64::from(count) / f64::from(n), 1.0);
    // Sixty halvings are below the precision of the numbers themselves.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match at_most(count, n, middle) > delta {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

/// The chance of at most `count` out of `n` at this share.
fn at_most(count: u32, n: u32, share: f64) -> f64 {
    let odds = share / (1.0 - share);
    let mut term = (f64::from(n) * (-share).ln_1p()).exp();
    let mut sum = term;
    for seen in 0..count {
        term *= odds * f64::from(n - seen) / f64::from(seen + 1);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize, wrong: usize, confidence: f64) -> Record {
        let mut record = Record::default();
        (0..n).for_each(|index| record.add(Proof { confidence, agreed: index >= wrong, stands_for: 1.0 }));
        record
    }

    /// The numbers that the method is known for: 45, 77 and 105 labels with 0, 1 and 2 mistakes.
    #[test]
    fn a_certificate_needs_what_it_needs() {
        for (n, wrong, proven) in
            [(44, 0, false), (45, 0, true), (76, 1, false), (77, 1, true), (104, 2, false), (105, 2, true)]
        {
            assert_eq!(record(n, wrong, 0.96).certificate().is_some(), proven, "{wrong} of {n}");
        }
        assert_eq!(record(45, 0, 0.94).certificate(), None, "what nobody was sure of proves nothing");
        assert_eq!(record(60, 0, 0.985).certificate(), Some(0.95));
    }

    #[test]
    fn the_brake_waits_for_doubt() {
        assert_eq!(record(0, 0, 0.96).brake(0.95), 0.95);
        assert_eq!(record(40, 2, 0.955).brake(0.95), 0.95, "two of forty may be chance");
        assert_eq!(record(40, 8, 0.955).brake(0.95), 0.96, "eight of forty are not");
        assert_eq!(record(40, 8, 0.999).brake(0.95), 2.0, "nothing is left to trust");
    }

    #[test]
    fn intervals_hold_the_share() {
        assert!((clopper_pearson_upper(0, 59, 0.05) - 0.0495).abs() < 1e-3);
        let (low, high) = wilson(5, 100, Z_TWO_SIDED_95);
        assert!((low - 0.0215).abs() < 1e-3 && (high - 0.1118).abs() < 1e-3, "{low} {high}");
        assert_eq!(wilson(0, 0, Z_TWO_SIDED_95), (0.0, 1.0));
    }
}
