//! What a request wants: create, modify, analyze, fix, deploy or manage. Or nothing that can be told.
//!
//! A log-linear model over the features of `signals` with the numbers of `weights`; the specification's keyword table is
//! its prior. The confidence is the model's probability, which leave-one-source-out folds of the development corpus
//! found calibrated (expected error 0.05). Below [`ABSTAIN_BELOW`], or in another language, it abstains: a question to
//! the user is cheaper than the wrong plan.

use std::{collections::HashSet, fmt, sync::LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    signals::{Signal, is_verb, signals},
    weights::{ORDINARY, WEIGHTS},
    words::{Token, TokenKind, tokenize},
};

/// Six ways to be right, so 1/6 is a blind guess. On held-out sources an answer at or above this is right in seven of
/// ten cases and nearly nine of ten requests get one; an answer between here and 0.3 was right in fewer than one of two.
pub const ABSTAIN_BELOW: f64 = 0.4;

/// From this probability on the runner-up is worth naming.
const SECONDARY_FROM: f64 = 0.15;

/// The six intents of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentWord {
    /// Something new.
    Create,
    /// What exists, changed; nothing was wrong with it.
    Modify,
    /// An answer, not a change.
    Analyze,
    /// Something is wrong and should not be.
    Fix,
    /// Something goes out: a release, a host, production.
    Deploy,
    /// People, rights, order.
    Manage,
}

impl IntentWord {
    /// All six, in the order of the model's columns.
    pub const ALL: [IntentWord; 6] = [
        IntentWord::Create,
        IntentWord::Modify,
        IntentWord::Analyze,
        IntentWord::Fix,
        IntentWord::Deploy,
        IntentWord::Manage,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            IntentWord::Create => "create",
            IntentWord::Modify => "modify",
            IntentWord::Analyze => "analyze",
            IntentWord::Fix => "fix",
            IntentWord::Deploy => "deploy",
            IntentWord::Manage => "manage",
        }
    }
}

impl fmt::Display for IntentWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a request wants, and how sure that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The most probable intent; `None` abstains.
    pub primary: Option<IntentWord>,
    /// The runner-up where it is worth naming: a second thing asked for, or the other reading. Also when abstaining.
    pub secondary: Option<IntentWord>,
    /// The probability of the most probable intent, whether it was named or not; 0 where the language is not understood.
    pub confidence: f64,
    /// The probability of each intent; they add up to 1, but for rounding.
    pub scores: [(IntentWord, f64); 6],
    /// The features that spoke loudest for the most probable intent, or why it abstains.
    pub reasons: Vec<String>,
}

static ORDINARY_WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| ORDINARY.split_whitespace().collect());

fn weights_of(feature: &str) -> Option<&'static [i8; 6]> {
    WEIGHTS.binary_search_by(|(name, _)| (*name).cmp(feature)).ok().map(|index| &WEIGHTS[index].1)
}

fn known(stem: &str) -> bool {
    weights_of(stem).is_some() || ORDINARY_WORDS.contains(stem)
}

/// Says what a request wants.
pub fn classify(text: &str) -> Intent {
    let tokens = tokenize(text);
    let found = signals(text, &known);
    // Six decimals are read back from JSON as they were written: a stored analysis equals a fresh one.
    let probabilities = softmax(&logits(&found)).map(|probability| (probability * 1e6).round() / 1e6);
    let scores: [(IntentWord, f64); 6] = std::array::from_fn(|column| (IntentWord::ALL[column], probabilities[column]));
    let mut order: Vec<usize> = (0..6).collect();
    // Ties go to the earlier, harmless kind: the order of the columns ends with deploy and manage.
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
    let (best, second) = (order[0], order[1]);
    let runner_up = (probabilities[second] >= SECONDARY_FROM).then(|| IntentWord::ALL[second]);

    let silence = |reason: String, confidence: f64| Intent {
        primary: None,
        secondary: None,
        confidence,
        scores,
        reasons: vec![reason],
    };
    if !tokens.iter().any(|token| token.kind == TokenKind::Word)
        && found.iter().all(|(name, _)| !name.starts_with("prefix:"))
    {
        return silence("there is no word to go by".into(), 0.0);
    }
    if foreign(&tokens, text) {
        return silence("the request is not in English".into(), 0.0);
    }
    if !tells_something(&found) {
        return silence("no word of it says what to do".into(), probabilities[best]);
    }

    let mut reasons = loudest(&found, best);
    let primary = (probabilities[best] >= ABSTAIN_BELOW).then(|| IntentWord::ALL[best]);
    if primary.is_none() {
        reasons.insert(
            0,
            format!(
                "{} at {:.2} is less than the {ABSTAIN_BELOW} it takes to answer",
                IntentWord::ALL[best],
                probabilities[best]
            ),
        );
    }
    Intent {
        primary,
        secondary: asked_besides(&tokens, best).or(runner_up),
        confidence: probabilities[best],
        scores,
        reasons,
    }
}

fn logits(found: &[Signal]) -> [f64; 6] {
    let mut sums = [0.0; 6];
    for (name, strength) in found {
        if let Some(weights) = weights_of(name) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += f64::from(*weight) / 20.0 * strength;
            }
        }
    }
    sums
}

fn softmax(logits: &[f64; 6]) -> [f64; 6] {
    let greatest = logits.iter().copied().fold(f64::MIN, f64::max);
    let powers = logits.map(|logit| (logit - greatest).exp());
    let total: f64 = powers.iter().sum();
    powers.map(|power| power / total)
}

/// A second thing that is asked for in so many words ("refactor it, then deploy"): the spec verb of a later clause.
fn asked_besides(tokens: &[Token], best: usize) -> Option<IntentWord> {
    tokens.windows(2).filter(|pair| pair[0].clause != pair[1].clause && pair[1].counts()).find_map(|pair| {
        let weights = weights_of(&format!("^{}", pair[1].stem)).filter(|_| is_verb(&pair[1].stem))?;
        let column = (0..6).max_by_key(|column| weights[*column])?;
        (column != best && weights[column] >= 20).then(|| IntentWord::ALL[column])
    })
}

/// Whether anything but the shape of the text spoke: shapes alone would make an intent of any gibberish.
fn tells_something(found: &[Signal]) -> bool {
    found.iter().any(|(name, strength)| {
        !matches!(name.as_str(), "#noverb" | "#code" | "#polite")
            && weights_of(name)
                .is_some_and(|weights| weights.iter().any(|weight| f64::from(weight.abs()) * strength >= 8.0))
    })
}

fn loudest(found: &[Signal], column: usize) -> Vec<String> {
    let mut spoken: Vec<(f64, &str)> = found
        .iter()
        .filter_map(|(name, strength)| {
            let weights = weights_of(name)?;
            let own = f64::from(weights[column]) / 20.0 * strength;
            (own > 0.2).then_some((own, name.as_str()))
        })
        .collect();
    spoken.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    spoken.into_iter().take(4).map(|(weight, name)| format!("{} ({weight:+.1})", describe(name))).collect()
}

fn describe(feature: &str) -> String {
    if let Some(verb) = feature.strip_prefix('^') {
        return format!("begins with \"{verb}…\"");
    }
    if let Some(verb) = feature.strip_prefix('+') {
        return format!("goes on with \"{verb}…\"");
    }
    if let Some(kind) = feature.strip_prefix("prefix:") {
        return format!("is titled \"{kind}:\"");
    }
    match feature {
        "#question" => "asks a question".into(),
        "#polite" => "asks politely".into(),
        "#symptom" => "describes something that goes wrong".into(),
        "#noverb" => "begins with no verb of work".into(),
        "#member" => "puts somebody somewhere or takes them away".into(),
        "#version" => "names a version".into(),
        "#upgrade-of" => "raises a dependency to a version".into(),
        "#bare-version" => "is little more than a version".into(),
        "#code" => "names code or a path".into(),
        word => format!("says \"{word}…\""),
    }
}

/// Function words by which other languages give themselves away; none is an everyday English word of the trade.
const FOREIGN: &str = "der die das und nicht ein eine einen bitte mit für ist auf dem den von zu wie kann ich wir sie \
soll sollen muss warum wird sind auch aus bei nach oder als \
le la les et pour avec une des est dans sur que qui pas du au aux ce cette nous vous je merci \
el los las para con por favor una un como esta este del en y se \
il della di che non per gli alla nel questo \
het een voor niet van op zijn deze naar alle \
o os uma não do da dos ao \
och att det som inte och är";

const ENGLISH: &str = "the a an and to of in for with on is are it this that from not be we you i by as all at or when if \
can should must please our its into without so add fix update make use remove";

fn foreign(tokens: &[Token], text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    // Another script altogether: Cyrillic, Greek, CJK, Arabic.
    let strange = text.chars().filter(|c| c.is_alphabetic() && *c as u32 > 0x24f).count();
    if strange * 3 > letters {
        return true;
    }
    static LISTS: LazyLock<(HashSet<&str>, HashSet<&str>)> =
        LazyLock::new(|| (FOREIGN.split_whitespace().collect(), ENGLISH.split_whitespace().collect()));
    let words: Vec<String> = tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Word && !token.quoted)
        .map(|token| token.raw.to_lowercase())
        .collect();
    let theirs: HashSet<&String> = words.iter().filter(|word| LISTS.0.contains(word.as_str())).collect();
    let ours: HashSet<&String> = words.iter().filter(|word| LISTS.1.contains(word.as_str())).collect();
    let accents = words.iter().filter(|word| word.chars().any(|c| c.is_alphabetic() && !c.is_ascii())).count();
    theirs.len() >= 2 && theirs.len() > ours.len() || accents >= 1 && theirs.len() + accents >= 2 && ours.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(text: &str) -> Option<IntentWord> {
        classify(text).primary
    }

    #[test]
    fn the_table_can_be_searched() {
        assert!(WEIGHTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn plain_requests_of_each_kind() {
        use IntentWord::*;
        for (text, wanted) in [
            ("Build a command line tool that converts YAML to JSON", Create),
            ("Add a dark theme to the settings page", Create),
            ("Refactor the authentication module to use OAuth2", Modify),
            ("Rename `getFoo` to `loadFoo` everywhere", Modify),
            ("format and lint this repository; keep only what passes its tests", Modify),
            ("Investigate why start-up takes four seconds", Analyze),
            ("How does the retry logic work?", Analyze),
            ("Please review the open changes", Analyze),
            ("Don't publish, just reword the notes", Modify),
            ("Bump serde to 1.0.200", Modify),
            ("Fix the crash when the list is empty", Fix),
            ("Could you repair the failing tests?", Fix),
            ("Deploy to staging", Deploy),
            ("Release version 2.3.0 and publish it", Deploy),
            ("Grant access to the logs for the new maintainers", Manage),
            ("Organize the open issues and assign owners", Manage),
        ] {
            assert_eq!(primary(text), Some(wanted), "{text}: {:?}", classify(text));
        }
    }

    #[test]
    fn commit_types_are_evidence() {
        use IntentWord::*;
        for (text, wanted) in [
            ("feat(ui): sidebar", Create),
            ("fix: sidebar", Fix),
            ("refactor!: sidebar", Modify),
            ("chore(release): v1.4.2", Deploy),
        ] {
            assert_eq!(primary(text), Some(wanted), "{text}: {:?}", classify(text));
        }
    }

    #[test]
    fn what_is_negated_or_quoted_is_not_asked_for() {
        use IntentWord::*;
        for text in [
            "Update the changelog but do not deploy or release anything",
            "Refactor the publisher without releasing it",
            "Improve the wording of the message \"deploy failed, release it again\"",
        ] {
            let intent = classify(text);
            assert_eq!(intent.primary, Some(Modify), "{text}: {intent:?}");
            assert_ne!(intent.secondary, Some(Deploy), "{text}: {intent:?}");
        }
        let (without, with) = (classify("do not deploy").scores[4].1, classify("deploy").scores[4].1);
        assert!(without < 0.3 && with > 0.7, "{without} {with}");
        assert_eq!(primary("do not deploy"), None);
    }

    #[test]
    fn a_second_wish_is_the_secondary() {
        let intent = classify("Refactor the parser, then deploy it to staging");
        assert_eq!(
            (intent.primary, intent.secondary),
            (Some(IntentWord::Modify), Some(IntentWord::Deploy)),
            "{intent:?}"
        );
    }

    #[test]
    fn it_abstains_rather_than_guess() {
        for text in [
            "",
            "   ",
            "🙂",
            "????",
            "asdf qwer zxcv",
            "12345",
            "src/lib.rs",
            "Bitte repariere die Tests und rolle nichts aus",
            "Ajoute une page pour les commandes",
            "Añade una página de inicio para los usuarios",
            "Исправь ошибку в парсере",
            "テストを修正してください",
        ] {
            let intent = classify(text);
            assert_eq!(intent.primary, None, "{text}: {intent:?}");
            assert!(!intent.reasons.is_empty());
        }
    }

    #[test]
    fn scores_are_probabilities() {
        for text in ["fix it", "", "deploy deploy deploy", &"word ".repeat(5000)] {
            let total: f64 = classify(text).scores.iter().map(|(_, score)| score).sum();
            assert!((total - 1.0).abs() < 1e-5, "{total}");
        }
    }

    /// Guards the model against a change of the features. The corpus is part of what the numbers were fitted on, so
    /// this is not the accuracy to report: that is leave-one-source-out, 0.69 answered always, 0.74 at 88 % coverage.
    #[test]
    fn development_corpus() {
        let Some(lines) = crate::core::analyze::corpus("intent.jsonl") else { return };
        let (mut right, mut answered, mut total) = (0, 0, 0);
        for line in &lines {
            let intent = classify(line["text"].as_str().unwrap());
            total += 1;
            answered += usize::from(intent.primary.is_some());
            right += usize::from(intent.primary.is_some_and(|word| word.as_str() == line["label"]));
        }
        let (accuracy, coverage) = (right as f64 / answered as f64, answered as f64 / total as f64);
        assert!(accuracy > 0.75 && coverage > 0.85, "accuracy {accuracy:.3} coverage {coverage:.3} of {total}");
    }
}
