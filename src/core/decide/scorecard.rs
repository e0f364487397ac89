//! How well decisions without a person went, computed from the stored facts each time it is asked: autonomy beside its
//! error rate, per ground and per sort, whether claims held, and what other thresholds would have brought.

use std::collections::BTreeMap;

use super::{
    ladder::{
        How,
        calibrate::{self, Bin},
        proof::{Z_TWO_SIDED_95, wilson},
    },
    learned::{Ground, Learned, Outside},
};
use crate::core::{decide::ladder::Ladder, settings::Settings};

/// A share and what stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// Of how many.
    pub of: u32,
}

impl Rate {
    /// The share; none without observations.
    pub fn value(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.count) / f64::from(self.of))
    }

    /// Wilson's 95 % interval.
    pub fn interval(self) -> (f64, f64) {
        wilson(self.count, self.of, Z_TWO_SIDED_95)
    }
}

/// One ground, or one sort of action.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Part {
    /// Decided without a person.
    pub automatic: u32,
    /// Of these, found right: proven and landed.
    pub right: u32,
    /// Of these, found wrong: undone.
    pub wrong: u32,
    /// Answered by a person.
    pub asked: u32,
}

/// One point of the risk-coverage curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// At this threshold…
    pub threshold: f64,
    /// …so much would go without asking…
    pub coverage: f64,
    /// …and so much of that would be wrong.
    pub risk: f64,
}

/// The whole card.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorecard {
    /// What needed nobody, of all that the gate left open.
    pub autonomy: Rate,
    /// What was decided wrongly without a person, of all such decisions that somebody or a proof looked at.
    pub wrong: Rate,
    /// Audits in which the person disagreed.
    pub audits: Rate,
    /// Critical actions that went without a person. Anything but 0 is a bug.
    pub critical_automatic: u32,
    /// By what stood for them.
    pub grounds: Vec<(Ground, Part)>,
    /// By sort of action, the most frequent first.
    pub sorts: Vec<(String, Part)>,
    /// The reliability diagram.
    pub bins: [Bin; 10],
    /// The mean distance of claim and outcome.
    pub calibration_error: f64,
    /// What other thresholds would have brought.
    pub curve: Vec<Point>,
    /// What sessions outside any run were told; in none of the shares above, for nobody knows how that turned out.
    pub outside: Outside,
    /// Answers that were learned from.
    pub labels: u64,
}

/// Thresholds of the curve.
const THRESHOLDS: [f64; 8] = [0.5, 0.7, 0.8, 0.9, 0.93, 0.95, 0.97, 0.99];

/// Computes the card.
pub fn scorecard(learned: &Learned, ladder: &Ladder, settings: &Settings) -> Scorecard {
    let mut grounds: Vec<(Ground, Part)> =
        [Ground::Gate, Ground::Rule, Ground::Learned, Ground::Probation].map(|ground| (ground, Part::default())).into();
    let mut sorts: BTreeMap<&str, Part> = BTreeMap::new();
    let mut critical_automatic = 0;
    for act in &learned.acts {
        critical_automatic += u32::from(act.yes && act.case.criticality > settings.decisions.critical);
        if act.outside() {
            continue;
        }
        let count = |part: &mut Part| {
            part.automatic += 1;
            part.right += u32::from(act.right == Some(true));
            part.wrong += u32::from(act.right == Some(false));
        };
        grounds.iter_mut().filter(|(ground, _)| *ground == act.ground).for_each(|(_, part)| count(part));
        count(sorts.entry(&act.case.sort).or_default());
    }
    for label in learned.labels.iter().filter(|label| matches!(label.how, How::Asked | How::Audit)) {
        sorts.entry(&label.case.sort).or_default().asked += 1;
    }
    let mut audits = Rate::default();
    for proof in ladder.predictions().filter(|proof| proof.stands_for > 1.0) {
        audits.of += 1;
        audits.count += u32::from(!proof.agreed);
    }
    let looked = |part: &Part| part.right + part.wrong;
    let wrong = Rate {
        count: audits.count + sorts.values().map(|part| part.wrong).sum::<u32>(),
        of: audits.of + sorts.values().map(looked).sum::<u32>(),
    };
    let outside = learned.outside;
    let acted = (learned.acted - outside.allowed - outside.denied) as u32;
    let mut sorts: Vec<(String, Part)> = sorts.into_iter().map(|(sort, part)| (sort.to_owned(), part)).collect();
    sorts.sort_by_key(|(_, part)| std::cmp::Reverse(part.automatic + part.asked));
    let bins = calibrate::bins(ladder.predictions());
    Scorecard {
        autonomy: Rate { count: acted, of: acted + learned.asked as u32 },
        wrong,
        audits,
        critical_automatic,
        grounds,
        sorts,
        calibration_error: calibrate::error(&bins),
        bins,
        curve: curve(ladder),
        outside,
        labels: learned.labels.len() as u64,
    }
}

fn curve(ladder: &Ladder) -> Vec<Point> {
    let all: f64 = ladder.predictions().map(|proof| proof.stands_for).sum();
    let mut points = Vec::new();
    for threshold in THRESHOLDS {
        let above = || ladder.predictions().filter(|proof| proof.confidence >= threshold);
        let covered: f64 = above().map(|proof| proof.stands_for).sum();
        let wrong: f64 = above().filter(|proof| !proof.agreed).map(|proof| proof.stands_for).sum();
        if covered > 0.0 {
            points.push(Point { threshold, coverage: covered / all, risk: wrong / covered });
        }
    }
    points
}
