//! Whether a claimed 0.95 is one, and what to do where it is not: isotonic regression on predictions that were made
//! before the answer.

use super::proof::Proof;

/// Above this mean distance between what was claimed and what came, claims are corrected.
pub const ERROR_MAX: f64 = 0.03;

/// Fewer predictions say too little about themselves.
const PREDICTIONS_MIN: usize = 300;

/// A correction has to make what came so much less surprising, as a share, or it is not worth its noise.
const WORTH: f64 = 0.05;

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// How many decisions, those included that an audit stands for.
    pub n: f64,
    /// How many came true.
    pub agreed: f64,
    /// Their mean claim.
    pub claimed: f64,
    /// The variance of `agreed` if every claim is honest.
    pub chance: f64,
}

/// Ten bins of equal width.
pub fn bins<'a>(proofs: impl IntoIterator<Item = &'a Proof>) -> [Bin; 10] {
    let mut bins = [Bin::default(); 10];
    for proof in proofs {
        let bin = &mut bins[((proof.confidence * 10.0) as usize).min(9)];
        bin.n += proof.stands_for;
        bin.agreed += if proof.agreed { proof.stands_for } else { 0.0 };
        bin.claimed += proof.confidence * proof.stands_for;
        bin.chance += proof.stands_for.powi(2) * proof.confidence * (1.0 - proof.confidence);
    }
    for bin in bins.iter_mut().filter(|bin| bin.n > 0.0) {
        bin.claimed /= bin.n;
    }
    bins
}

/// The expected calibration error: the mean distance between claim and outcome over the bins.
pub fn error(bins: &[Bin; 10]) -> f64 {
    let n: f64 = bins.iter().map(|bin| bin.n).sum();
    let off = |bin: &Bin| (bin.n * bin.claimed - bin.agreed).abs();
    if n > 0.0 { bins.iter().map(off).sum::<f64>() / n } else { 0.0 }
}

/// The calibration error that honest claims would show by chance alone: a few audits that stand for many weigh much.
fn chance(bins: &[Bin; 10]) -> f64 {
    let n: f64 = bins.iter().map(|bin| bin.n).sum();
    // The mean distance of a normal variable is 0.8 of its deviation.
    if n > 0.0 { bins.iter().map(|bin| 0.8 * bin.chance.sqrt()).sum::<f64>() / n } else { 0.0 }
}

/// A correction: what each claim is worth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Correction(Vec<(f64, f64)>);

impl Correction {
    /// The correction that these predictions ask for; none where their claims hold.
    pub fn of(proofs: &[Proof]) -> Option<Correction> {
        let bins = bins(proofs);
        if proofs.len() < PREDICTIONS_MIN || error(&bins) <= ERROR_MAX + chance(&bins) {
            return None;
        }
        // A person's first answers, to which every claim was a guess, must not correct what is known by now: what the
        // older half teaches has to hold in the newer one.
        let (older, newer) = proofs.split_at(proofs.len() / 2);
        let learned = Correction::fit(older);
        let surprise = |claim: &dyn Fn(f64) -> f64| -> f64 {
            let of = |proof: &Proof| {
                let claim = claim(proof.confidence).clamp(0.001, 0.999);
                -proof.stands_for * if proof.agreed { claim.ln() } else { (1.0 - claim).ln() }
            };
            newer.iter().map(of).sum()
        };
        let (raw, corrected) = (surprise(&|claim| claim), surprise(&|claim| learned.apply(claim)));
        (corrected < raw * (1.0 - WORTH)).then(|| Correction::fit(proofs))
    }

    fn fit(proofs: &[Proof]) -> Correction {
        let mut sorted: Vec<&Proof> = proofs.iter().collect();
        sorted.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
        // Pool adjacent violators: blocks of (sum of outcomes, sum of claims, count), merged until they rise.
        let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
        for proof in sorted {
            let weight = proof.stands_for;
            let mut block = (if proof.agreed { weight } else { 0.0 }, proof.confidence * weight, weight);
            // Equal claims are one claim, whatever order they came in.
            let same = |last: &(f64, f64, f64)| (last.1 / last.2 - block.1 / block.2).abs() < 1e-9;
            if let Some(last) = blocks.pop_if(|last| same(last)) {
                block = (last.0 + block.0, last.1 + block.1, last.2 + block.2);
            }
            while let Some(last) = blocks.pop_if(|last| last.0 / last.2 >= block.0 / block.2) {
                block = (last.0 + block.0, last.1 + block.1, last.2 + block.2);
            }
            blocks.push(block);
        }
        // Half an answer against each block: a few that all agreed are not a certainty.
        let knots = blocks.iter().map(|(agreed, claimed, n)| (claimed / n, (agreed + 0.5) / (n + 1.0)));
        Correction(knots.collect())
    }

    /// What a claim is worth: between the blocks it lies on the line from one to the next.
    pub fn apply(&self, claim: f64) -> f64 {
        let after = self.0.partition_point(|(at, _)| *at < claim);
        match (after.checked_sub(1).and_then(|before| self.0.get(before)), self.0.get(after)) {
            (Some((x0, y0)), Some((x1, y1))) if x1 > x0 => y0 + (y1 - y0) * (claim - x0) / (x1 - x0),
            (Some((_, y)), _) | (None, Some((_, y))) => *y,
            (None, None) => claim,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims of which so many come true, evenly spread.
    fn claims(confidence: f64, agreed: usize, n: usize) -> Vec<Proof> {
        let came_true = |index: usize| (index + 1) * agreed / n > index * agreed / n;
        (0..n).map(|index| Proof { confidence, agreed: came_true(index), stands_for: 1.0 }).collect()
    }

    #[test]
    fn honest_claims_stay_as_they_are() {
        assert_eq!(Correction::of(&[claims(0.9, 90, 100), claims(0.6, 60, 100)].concat()), None);
    }

    #[test]
    fn a_boaster_is_taken_down() {
        let (sure, unsure) = (claims(0.97, 160, 200), claims(0.7, 110, 200));
        let proofs: Vec<Proof> = sure.into_iter().zip(unsure).flat_map(|(a, b)| [a, b]).collect();
        let correction = Correction::of(&proofs).expect("it is off by 0.16");
        assert!((correction.apply(0.97) - 0.80).abs() < 0.02, "{}", correction.apply(0.97));
        assert!(correction.apply(0.99) >= correction.apply(0.8) && correction.apply(0.8) >= correction.apply(0.6));
    }

    #[test]
    fn the_error_is_the_mean_distance() {
        let proofs = [claims(0.95, 85, 100), claims(0.55, 55, 100)].concat();
        assert!((error(&bins(&proofs)) - 0.05).abs() < 1e-9);
        assert_eq!(error(&bins(&[])), 0.0);
    }
}
