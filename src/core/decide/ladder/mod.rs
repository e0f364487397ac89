//! "Would the user agree?", learned from what persons answered: a time-decayed, hierarchical Beta-Bernoulli ladder.
//!
//! ```text
//! labels ─ learn ─► cells: sort ─ production? ─ reversible? ─ trait ─ trait     (yeses and answers, decayed)
//!                     each rung: the habit of the rung before it, or one of its own
//! case ── judge ──► belief ─► changed? slip, calibration ─► critical? known? proven or braked? audit? ─► auto | ask
//! ```
//!
//! The ladder is a pure function of the labels in their order: it is never stored, labels are. The first rungs are what
//! every action has: its sort, whether it acts on production, whether it can be taken back. Which traits make the further
//! ones is chosen by the labels themselves ([`Ladder::choose`]), so nothing here knows the names of anybody's columns but
//! two that the protocol has: `rule`, for what a rule advises shifts what is believed of a sort before its first answer
//! ([`belief::Belief::advised`]), and `scope`, which is a rung wherever it is given. People change their minds: what the
//! newest answers say about that is weighed in ([`change`]).
//!
//! Learned from are answers of persons: asked, audited, undone, or a mistake they noticed. Silence is no answer. An
//! automatic decision that nobody objected to teaches nothing, or the ladder would come to believe itself.

pub mod belief;
pub mod calibrate;
pub mod change;
pub mod proof;
pub mod replay;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::super::settings::Rng;
use belief::{Counts, Kinds};
use calibrate::Correction;
use change::{Change, Newest};
use proof::{Proof, Record};

/// What a person may set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// As sure as this, and nothing is asked.
    pub threshold: f64,
    /// Above this criticality everything is asked.
    pub critical: f64,
    /// The share of what could go without asking that is asked all the same.
    pub audit: f64,
    /// After so many days an answer counts half.
    pub half_life_days: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { threshold: 0.95, critical: super::gate::CRITICAL, audit: 0.05, half_life_days: 60.0 }
    }
}

/// A property of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Trait {
    /// Yes or no.
    Flag(bool),
    /// A quantity; the ladder tells low, middle and high ones apart.
    Number(f64),
    /// One of several.
    Word(String),
}

/// Something that could be done, as far as a habit may depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What sort of action: the ladder's lowest rung.
    pub sort: String,
    /// When, in days since some day.
    pub at_days: f64,
    /// Whether it can be taken back.
    pub reversible: bool,
    /// Whether it acts on production.
    pub production: bool,
    /// How bad a mistake would be, 0..1.
    pub criticality: f64,
    /// Everything else that is known of it.
    #[serde(default)]
    pub traits: BTreeMap<String, Trait>,
}

impl Case {
    /// The class a certificate is for: proofs about one sort of harmless act say nothing about another's harm.
    fn class(&self) -> String {
        format!("{}\u{1f}{}\u{1f}{}", self.sort, self.production, self.reversible)
    }

    /// Whether it may only be automatic once its class is proven.
    fn needs_proof(&self) -> bool {
        self.production || !self.reversible
    }
}

/// How a label came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The person was asked, because the ladder could or might not decide.
    Asked,
    /// The person was asked though it could have.
    Audit,
    /// The person noticed what had been decided without them.
    Noticed,
    /// It was taken back within ten minutes, or by a failed proof: a "no" with twice the weight.
    Undone,
}

impl How {
    fn weight(self) -> f64 {
        match self {
            How::Asked | How::Audit | How::Noticed => 1.0,
            How::Undone => 2.0,
        }
    }
}

/// What a person said to a case. Stored; everything else here follows from these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// To what.
    pub case: Case,
    /// Whether they agreed that it be done.
    pub yes: bool,
    /// How it came to be said.
    pub how: How,
}

/// What is known about a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Whether the person would say yes.
    pub yes: bool,
    /// The probability that the person agrees with that.
    pub confidence: f64,
    /// Answers to this sort of action so far, not decayed.
    pub n: u32,
    /// Whether claims were checked against enough answers to be called probabilities.
    pub calibrated: bool,
    /// The chance that the newest answers come from a change of mind; weighed into the confidence.
    pub changed: f64,
    /// The rungs that were used, lowest first.
    pub rungs: Vec<Rung>,
}

/// One rung of the ladder, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// What it distinguishes: `sort`, or a trait's name.
    pub name: String,
    /// The case's value there.
    pub value: String,
    /// Yeses, decayed.
    pub yes: f64,
    /// Answers, decayed.
    pub n: f64,
}

/// What should become of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It may go as estimated.
    Auto,
    /// It could, but this one is asked, to learn how good the automatic ones are.
    Audit,
    /// Too bad if wrong.
    Critical,
    /// Its class has no certificate yet.
    Unproven,
    /// Not sure enough.
    Unsure,
}

/// So many answers to a sort of action are needed before it is decided: at first, and once this many sorts are known.
const ANSWERS_MIN: (u32, u32, usize) = (7, 3, 6);

/// An answer is a slip of the finger or the mind, or given without care, this often. The ladder says what the person would
/// answer with care.
const SLIP: f64 = 0.025;

/// A rung remembers at least so many answers, however old: time alone must not make somebody a stranger whose habits
/// are rarely asked about.
const ANSWERS_KEPT: f64 = 60.0;

/// What was said before a change of mind counts this part.
const BEFORE_CHANGE: f64 = 1.0 / 8.0;

/// Chance that a rung has a habit of its own, before anything is known; and how many rungs that guess is worth.
const FRESH: (f64, f64) = (0.1, 6.0);

/// How often a rule says what the person does, before anything is known; and how many sorts that guess is worth.
const CREDIT: (f64, f64) = (0.8, 5.0);

/// Traits that may become rungs at once; each halves what a new cell knows of the others.
const TRAITS_MAX: usize = 2;

/// A trait is only taken if it foretold the answers so much better (logarithm of the likelihood), besides what a choice
/// among many earns by chance.
const GAIN_MIN: f64 = 2.0;

/// Traits are chosen from this many answers on.
const CHOOSE_FROM: u64 = 20;

/// Answers that are kept for choosing traits: bounds memory and the cost of choosing.
const LOG_MAX: usize = 2_000;

#[derive(Debug, Clone, Default)]
struct Cell {
    counts: Counts,
    at_days: f64,
}

impl Cell {
    fn decayed(&self, at_days: f64, half_life: f64) -> Counts {
        let by_time = (-(at_days - self.at_days).max(0.0) / half_life).exp2();
        let kept = by_time.max((-1.0 / ANSWERS_KEPT).exp2());
        Counts { yes: self.counts.yes * kept, n: self.counts.n * kept }
    }

    fn add(&mut self, yes: bool, weight: f64, at_days: f64, half_life: f64) {
        let counts = self.decayed(at_days, half_life);
        self.counts = Counts { yes: counts.yes + if yes { weight } else { 0.0 }, n: counts.n + weight };
        self.at_days = self.at_days.max(at_days);
    }
}

/// All that was learned.
#[derive(Debug, Clone, Default)]
pub struct Ladder {
    tuning: Tuning,
    kinds: Kinds,
    /// Per depth: the chance that a rung has a habit of its own.
    fresh: [f64; FIXED.len() + 1 + TRAITS_MAX],
    /// The traits that are rungs above the sort and the fixed ones: the scope where it is given, and the chosen ones.
    traits: Vec<String>,
    /// Cells by depth and path. Ordered, so that sums over them are the same each time.
    cells: BTreeMap<(usize, String), Cell>,
    /// Where a number is low, middle and high.
    cuts: HashMap<String, (f64, f64)>,
    log: VecDeque<Label>,
    labels: u64,
    /// At how many labels everything is looked at anew.
    next_look: u64,
    /// Answers per sort.
    answers: BTreeMap<String, u32>,
    /// How many sorts have [`ANSWERS_MIN`]'s second number of answers.
    known: usize,
    /// The newest answers per sort, and which of its labels was the first after its last change of mind.
    newest: HashMap<String, Newest>,
    changed: HashMap<String, u64>,
    /// What a rule last said to each sort, and how often rules turned out to say what the person does.
    advice: BTreeMap<String, bool>,
    credit: f64,
    /// Predictions about what can be taken back, and per class about what cannot.
    plain: Record,
    classes: HashMap<String, Record>,
    all: Record,
    correction: Option<Correction>,
}

impl Ladder {
    /// One that knows nothing.
    pub fn new(tuning: Tuning) -> Ladder {
        Ladder { tuning, credit: CREDIT.0, fresh: [FRESH.0; FIXED.len() + 1 + TRAITS_MAX], ..Ladder::default() }
    }

    /// One that learned these, in this order.
    pub fn of<'a>(tuning: Tuning, labels: impl IntoIterator<Item = &'a Label>) -> Ladder {
        let mut ladder = Ladder::new(tuning);
        labels.into_iter().for_each(|label| ladder.learn(label));
        ladder
    }

    /// What it was set to.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// How many labels it learned.
    pub fn labels(&self) -> u64 {
        self.labels
    }

    /// The traits that make its rungs above the sort, as the labels chose them.
    pub fn traits(&self) -> &[String] {
        &self.traits
    }

    /// The newest predictions with what came, the oldest first.
    pub fn predictions(&self) -> impl Iterator<Item = &Proof> {
        self.all.iter()
    }

    /// What the person would say.
    pub fn estimate(&self, case: &Case) -> Estimate {
        let (before, rungs) = self.mean(case);
        let newest = self.newest.get(&case.sort);
        let change = newest.map_or(Change::default(), |newest| newest.change(&self.kinds));
        let mean = change.weighed(before);
        // What was learned from are answers, slips included; what is said is what would be meant.
        let meant = ((mean - SLIP) / (1.0 - 2.0 * SLIP)).clamp(0.001, 0.999);
        let yes = meant >= 0.5;
        let claim = if yes { meant } else { 1.0 - meant };
        Estimate {
            yes,
            confidence: self.correction.as_ref().map_or(claim, |correction| correction.apply(claim)),
            n: self.answers.get(&case.sort).copied().unwrap_or(0),
            calibrated: self.labels >= proof::CLEAN_MIN.into(),
            changed: change.chance,
            rungs,
        }
    }

    /// Whether a case may go without asking. `number` counts the cases that could (audits included), and `seed` is the
    /// workspace's: together they say which of them are asked all the same.
    pub fn judge(&self, case: &Case, seed: u64, number: u64) -> (Estimate, Course) {
        let estimate = self.estimate(case);
        let course = self.course(case, &estimate, seed, number);
        (estimate, course)
    }

    fn course(&self, case: &Case, estimate: &Estimate, seed: u64, number: u64) -> Course {
        let tuning = &self.tuning;
        if case.criticality > tuning.critical {
            return Course::Critical;
        }
        let least = match case.needs_proof() {
            true => match self.classes.get(&case.class()).and_then(Record::certificate) {
                Some(proven) => proven.max(tuning.threshold),
                None => return Course::Unproven,
            },
            false => self.plain.brake(tuning.threshold),
        };
        let needed = if self.known < ANSWERS_MIN.2 { ANSWERS_MIN.0 } else { ANSWERS_MIN.1 };
        if estimate.n < needed {
            return Course::Unsure;
        }
        if estimate.confidence < least {
            return Course::Unsure;
        }
        if audited(seed, number, tuning.audit) { Course::Audit } else { Course::Auto }
    }

    /// Takes in what a person said. What was believed just before is compared with it first.
    pub fn learn(&mut self, label: &Label) {
        // Mistakes that were noticed tell nothing about how many were not: they teach, but prove nothing.
        if matches!(label.how, How::Asked | How::Audit) {
            let before = self.estimate(&label.case);
            let stands_for = match label.how {
                How::Audit if self.tuning.audit > 0.0 => 1.0 / self.tuning.audit,
                _ => 1.0,
            };
            let proof = Proof { confidence: before.confidence, agreed: before.yes == label.yes, stands_for };
            self.all.add(proof);
            match label.case.needs_proof() {
                true => self.classes.entry(label.case.class()).or_default().add(proof),
                false => self.plain.add(proof),
            }
        }
        let answers = self.answers.entry(label.case.sort.clone()).or_default();
        *answers += 1;
        self.known += usize::from(*answers == ANSWERS_MIN.1);
        if let Some(advice) = advice(&label.case) {
            self.advice.insert(label.case.sort.clone(), advice);
        }
        self.labels += 1;
        self.look_for_change(label);
        self.absorb(label, self.labels);
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(label.clone());
        if self.labels >= self.next_look {
            self.look();
            // Each further look costs what there is to see: spaced so that all of them cost a constant per label.
            self.next_look = (self.labels + 1).max((self.labels as f64 * 1.1) as u64);
        }
    }

    /// Holds the newest label, not yet absorbed, against what was foretold. After a change of mind what was said before
    /// counts little, and what was said since counts whole.
    fn look_for_change(&mut self, label: &Label) {
        let (foretold, _) = self.mean(&label.case);
        let sort = &label.case.sort;
        let newest = self.newest.entry(sort.clone()).or_default();
        newest.add(self.labels, label.yes, label.how.weight(), foretold);
        let change = newest.change(&self.kinds);
        if !change.certain() {
            return;
        }
        newest.clear();
        self.changed.insert(sort.clone(), change.since);
        let above = format!("{sort}\u{1f}");
        for ((_, key), cell) in &mut self.cells {
            if key == sort || key.starts_with(&above) {
                let Counts { yes, n } = cell.counts;
                cell.counts = Counts { yes: yes * BEFORE_CHANGE, n: n * BEFORE_CHANGE };
            }
        }
        let first = self.labels - self.log.len() as u64;
        let since: Vec<(u64, Label)> = (first..)
            .zip(&self.log)
            .filter(|(number, said)| *number >= change.since && said.case.sort == *sort)
            .map(|(number, said)| (number, said.clone()))
            .collect();
        since.iter().for_each(|(number, said)| self.absorb(said, *number));
    }

    fn mean(&self, case: &Case) -> (f64, Vec<Rung>) {
        let keys = self.keys(case);
        let counts: Vec<Counts> = keys
            .iter()
            .enumerate()
            .map(|(depth, key)| {
                let cell = self.cells.get(&(depth, key.clone()));
                // Time passes for a habit when something new is learned about it, not while nobody asks.
                cell.map_or(Counts::default(), |cell| cell.counts)
            })
            .collect();
        let mut belief = self.kinds.prior();
        if let Some(advice) = advice(case) {
            belief = belief.advised(advice, self.credit);
        }
        for (depth, own) in counts.iter().enumerate() {
            // What the next rung knows itself counts there, and only there.
            let finer = counts.get(depth + 1).copied().unwrap_or_default();
            belief = belief.after(own.without(finer)).0;
            if depth + 1 < counts.len() {
                belief = belief.or_fresh(self.fresh[depth], &self.kinds);
            }
        }
        let names = std::iter::once("sort").chain(self.above());
        let rungs = names.zip(&counts).map(|(name, counts)| Rung {
            name: name.to_owned(),
            value: self.value(case, name),
            yes: counts.yes,
            n: counts.n,
        });
        (belief.mean(), rungs.collect())
    }

    /// The paths of a case's cells, from the sort upwards.
    fn keys(&self, case: &Case) -> Vec<String> {
        let mut key = case.sort.clone();
        let mut keys = vec![key.clone()];
        for name in self.above() {
            key.push('\u{1f}');
            key.push_str(&self.value(case, name));
            keys.push(key.clone());
        }
        keys
    }

    /// The names of the rungs above the sort.
    fn above(&self) -> impl Iterator<Item = &str> {
        FIXED.into_iter().chain(self.traits.iter().map(String::as_str))
    }

    fn value(&self, case: &Case, name: &str) -> String {
        match name {
            "sort" => return case.sort.clone(),
            PRODUCTION => return case.production.to_string(),
            REVERSIBLE => return case.reversible.to_string(),
            _ => {}
        }
        match case.traits.get(name) {
            None => "-".to_owned(),
            Some(Trait::Flag(flag)) => flag.to_string(),
            Some(Trait::Word(word)) => word.clone(),
            Some(Trait::Number(number)) => match self.cuts.get(name) {
                None => "-".to_owned(),
                Some((low, _)) if number <= low => "low".to_owned(),
                Some((_, high)) if number <= high => "middle".to_owned(),
                Some(_) => "high".to_owned(),
            },
        }
    }

    fn absorb(&mut self, label: &Label, number: u64) {
        let half_life = self.tuning.half_life_days.max(1e-6);
        let before_change = self.changed.get(&label.case.sort).is_some_and(|since| number < *since);
        let weight = label.how.weight() * if before_change { BEFORE_CHANGE } else { 1.0 };
        for (depth, key) in self.keys(&label.case).into_iter().enumerate() {
            let cell = self.cells.entry((depth, key)).or_default();
            cell.add(label.yes, weight, label.case.at_days, half_life);
        }
    }

    /// Looks at everything anew: how common each kind of habit is, which traits matter, whether claims hold.
    fn look(&mut self) {
        self.estimate_kinds();
        self.credit_rules();
        if self.labels >= CHOOSE_FROM {
            self.choose();
        }
        let proofs: Vec<Proof> = self.all.iter().copied().collect();
        self.correction = Correction::of(&proofs);
    }

    fn estimate_kinds(&mut self) {
        let habits: Vec<Counts> = self.at_depth(0).map(|(_, cell)| cell.counts).collect();
        self.kinds.learn(&habits);
        for depth in 1..=FIXED.len() + self.traits.len() {
            let (mut fresh, mut all) = (FRESH.0 * FRESH.1, FRESH.1);
            let before = self.fresh[depth - 1];
            for (below, rungs) in self.siblings(depth) {
                for counts in &rungs {
                    let ratio = self.own_habit(below.without(*counts), *counts).exp() * before;
                    fresh += ratio / (1.0 - before + ratio);
                    all += 1.0;
                }
            }
            self.fresh[depth - 1] = fresh / all;
        }
    }

    /// How often rules say what the person does: counted by sort, for a rule about a frequent sort is one witness still.
    fn credit_rules(&mut self) {
        let (mut right, mut all) = (CREDIT.0 * CREDIT.1, CREDIT.1);
        for (sort, advice) in &self.advice {
            let Some(cell) = self.cells.get(&(0, sort.clone())) else { continue };
            let yes = (cell.counts.yes + 0.5) / (cell.counts.n + 1.0);
            right += if *advice { yes } else { 1.0 - yes };
            all += 1.0;
        }
        self.credit = right / all;
    }

    fn at_depth(&self, depth: usize) -> impl Iterator<Item = (&String, &Cell)> {
        self.cells.range((depth, String::new())..(depth + 1, String::new())).map(|((_, key), cell)| (key, cell))
    }

    /// The rungs of a depth beside each other, with the counts of the one below them all.
    fn siblings(&self, depth: usize) -> Vec<(Counts, Vec<Counts>)> {
        let mut groups: BTreeMap<&str, Vec<Counts>> = BTreeMap::new();
        for (key, cell) in self.at_depth(depth) {
            let below = key.rsplit_once('\u{1f}').map_or("", |(below, _)| below);
            groups.entry(below).or_default().push(cell.counts);
        }
        let of = |key: &str| self.cells.get(&(depth - 1, key.to_owned())).map_or(Counts::default(), |cell| cell.counts);
        groups.into_iter().filter(|(_, rungs)| rungs.len() > 1).map(|(key, rungs)| (of(key), rungs)).collect()
    }

    /// How much better a habit of its own explains these counts than that of the others, as a logarithm.
    fn own_habit(&self, others: Counts, own: Counts) -> f64 {
        let prior = self.kinds.prior();
        let (as_others, _) = prior.after(others);
        (prior.after(own).1 - as_others.after(own).1).min(50.0)
    }

    /// Chooses the traits that make the rungs: those without which the answers would have been foretold clearly worse.
    fn choose(&mut self) {
        let names: BTreeSet<&str> =
            self.log.iter().rev().take(50).flat_map(|label| label.case.traits.keys().map(String::as_str)).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        self.cut(&names);
        let least = GAIN_MIN + (names.len() as f64).ln();
        // How much an act touches is part of what it is: asked about one file says little about all of them.
        let mut traits: Vec<String> = names.iter().filter(|name| *name == SCOPE).cloned().collect();
        let most = traits.len() + TRAITS_MAX;
        while traits.len() < most {
            let gains = names.iter().filter(|name| !traits.contains(name)).map(|name| (self.gain(&traits, name), name));
            let best = gains.max_by(|(a, _), (b, _)| a.total_cmp(b));
            match best {
                Some((gain, name)) if gain > least => traits.push(name.clone()),
                _ => break,
            }
        }
        if traits != self.traits {
            self.traits = traits;
            self.cells.clear();
            let log = std::mem::take(&mut self.log);
            let first = self.labels - log.len() as u64 + 1;
            (first..).zip(&log).for_each(|(number, label)| self.absorb(label, number));
            self.log = log;
            self.estimate_kinds();
        }
    }

    /// Where numbers are cut: at their thirds.
    fn cut(&mut self, names: &[String]) {
        for name in names {
            let mut numbers: Vec<f64> = self
                .log
                .iter()
                .filter_map(|label| match label.case.traits.get(name)? {
                    Trait::Number(number) => Some(*number),
                    Trait::Flag(_) | Trait::Word(_) => None,
                })
                .collect();
            if !numbers.is_empty() && !self.traits.contains(name) {
                numbers.sort_by(f64::total_cmp);
                let cuts = (numbers[numbers.len() / 3], numbers[2 * numbers.len() / 3]);
                self.cuts.insert(name.clone(), cuts);
            }
        }
    }

    /// How much better the answers are explained if each value of a trait may have a habit of its own.
    fn gain(&self, below: &[String], name: &str) -> f64 {
        let mut cells: BTreeMap<String, BTreeMap<String, Counts>> = BTreeMap::new();
        let mut values = BTreeSet::new();
        for label in &self.log {
            let mut key = label.case.sort.clone();
            for name in FIXED.into_iter().chain(below.iter().map(String::as_str)) {
                key.push('\u{1f}');
                key.push_str(&self.value(&label.case, name));
            }
            let value = self.value(&label.case, name);
            values.insert(value.clone());
            let counts = cells.entry(key).or_default().entry(value).or_default();
            counts.n += 1.0;
            counts.yes += f64::from(u8::from(label.yes));
        }
        // What has a value of its own nearly each time is a name, and foretells nothing.
        if values.len() < 2 || values.len() as f64 > 0.3 * self.log.len() as f64 + 2.0 {
            return 0.0;
        }
        let fresh = 1.5 * FRESH.0;
        let mut gain = 0.0;
        for rungs in cells.values().filter(|rungs| rungs.len() > 1) {
            let sum =
                rungs.values().fold(Counts::default(), |sum, own| Counts { yes: sum.yes + own.yes, n: sum.n + own.n });
            for own in rungs.values() {
                gain += (1.0 - fresh + fresh * self.own_habit(sum.without(*own), *own).exp()).ln();
            }
        }
        // Each rung was compared with the others, so each difference was seen from both sides.
        gain / 2.0
    }
}

/// What a rule says to a case, where one says anything: a witness about its sort, never more. In a record of
/// `decisions replay` it is `rule`, and its action.
fn advice(case: &Case) -> Option<bool> {
    match case.traits.get("rule") {
        Some(Trait::Word(word)) if word == "approve" => Some(true),
        Some(Trait::Word(word)) if word == "reject" => Some(false),
        Some(_) | None => None,
    }
}

/// The trait that says how much an act touches at once.
const SCOPE: &str = "scope";

/// Names of the two fixed properties, as rungs.
const PRODUCTION: &str = "production";
const REVERSIBLE: &str = "reversible";

/// The rungs every ladder has above the sort. Who refuses an act on production, or one that cannot be taken back, has
/// said little about the harmless one of the same sort, and these two are what a certificate's class is made of.
const FIXED: [&str; 2] = [PRODUCTION, REVERSIBLE];

/// Whether the case of this number is an audit: one in each block of 1/rate, at a place that the seed draws. Stratified,
/// so that the share is kept in every stretch and no audit can be foretold.
fn audited(seed: u64, number: u64, rate: f64) -> bool {
    if rate <= 0.0 {
        return false;
    }
    let block = (1.0 / rate).round().max(1.0) as u64;
    let mut rng = Rng(seed ^ (number / block).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    number % block == rng.below(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(index: u32, production: bool, criticality: f64) -> Case {
        let at_days = f64::from(index) * 0.1;
        Case { sort: "deploy".into(), at_days, reversible: true, production, criticality, traits: BTreeMap::new() }
    }

    fn taught(count: u32, production: bool) -> Ladder {
        let labels: Vec<Label> =
            (0..count).map(|index| Label { case: case(index, production, 0.7), yes: true, how: How::Asked }).collect();
        Ladder::of(Tuning::default(), &labels)
    }

    #[test]
    fn nothing_is_automatic_before_it_was_seen_often_enough() {
        for count in 0..ANSWERS_MIN.0 {
            assert_eq!(taught(count, false).judge(&case(count, false, 0.1), 1, 0).1, Course::Unsure, "{count}");
        }
        let courses = (0..20).map(|number| taught(20, false).judge(&case(20, false, 0.1), 1, number).1);
        let courses: Vec<Course> = courses.collect();
        assert_eq!(courses.iter().filter(|course| **course == Course::Audit).count(), 1, "one of twenty: {courses:?}");
        assert_eq!(courses.iter().filter(|course| **course == Course::Auto).count(), 19);
    }

    #[test]
    fn production_is_asked_until_its_own_class_is_proven() {
        // The first answers were to somebody unsure, and prove nothing; 45 clean ones above the threshold do.
        let sure = |count: &u32| {
            let course = taught(*count, true).judge(&case(200, true, 0.7), 1, 1).1;
            matches!(course, Course::Auto | Course::Audit)
        };
        let first = (0..200).find(sure);
        assert!(first.is_some_and(|first| first > proof::CLEAN_MIN), "{first:?}");
        // Whatever was learned elsewhere proves nothing here.
        assert_eq!(taught(200, false).judge(&case(200, true, 0.7), 1, 1).1, Course::Unproven);
    }

    #[test]
    fn the_critical_is_asked_whatever_was_learned() {
        for production in [false, true] {
            for number in 0..40 {
                let course = taught(300, production).judge(&case(300, production, 0.81), 1, number).1;
                assert_eq!(course, Course::Critical);
            }
        }
    }

    #[test]
    fn a_change_of_mind_is_noticed() {
        let mut ladder = taught(60, false);
        for index in 60..66 {
            ladder.learn(&Label { case: case(index, false, 0.1), yes: false, how: How::Asked });
        }
        let estimate = ladder.estimate(&case(66, false, 0.1));
        assert!(!estimate.yes || estimate.confidence < 0.7, "{estimate:?}");
        ladder.learn(&Label { case: case(66, false, 0.1), yes: false, how: How::Undone });
        assert!(!ladder.estimate(&case(67, false, 0.1)).yes);
    }

    /// Counts are made anew when traits are chosen; what was said before a change of mind must not come back with them.
    #[test]
    fn a_change_of_mind_outlives_a_new_choice_of_traits() {
        let mut ladder = taught(60, false);
        for index in 60..70 {
            ladder.learn(&Label { case: case(index, false, 0.1), yes: false, how: How::Asked });
        }
        let before = ladder.estimate(&case(70, false, 0.1));
        assert!(!before.yes && before.rungs[0].n < 25.0, "{before:?}");
        let with_scope = |index: u32| {
            let mut case = case(index, false, 0.1);
            case.traits.insert(SCOPE.to_owned(), Trait::Word("small".to_owned()));
            case
        };
        for index in 70..80 {
            ladder.learn(&Label { case: with_scope(index), yes: false, how: How::Asked });
        }
        assert_eq!(ladder.traits(), [SCOPE]);
        let after = ladder.estimate(&with_scope(80));
        assert!(!after.yes && after.confidence > 0.9 && after.rungs[0].yes < 10.0, "{after:?}");
    }

    #[test]
    fn a_yes_to_little_says_less_about_much() {
        let of = |index: u32, scope: &str| {
            let mut case = case(index, false, 0.1);
            case.traits.insert(SCOPE.to_owned(), Trait::Word(scope.to_owned()));
            case
        };
        let labels: Vec<Label> =
            (0..30).map(|index| Label { case: of(index, "small"), yes: true, how: How::Asked }).collect();
        let ladder = Ladder::of(Tuning::default(), &labels);
        assert_eq!(ladder.traits(), [SCOPE], "it is a rung without proof");
        let (small, large) = (ladder.estimate(&of(30, "small")), ladder.estimate(&of(30, "large")));
        assert!(small.confidence > 0.97 && large.confidence < small.confidence - 0.01, "{small:?} {large:?}");
    }

    #[test]
    fn the_ladder_is_a_function_of_its_labels() {
        let (a, b) = (taught(57, false), taught(57, false));
        assert_eq!(a.estimate(&case(57, false, 0.1)), b.estimate(&case(57, false, 0.1)));
    }
}
