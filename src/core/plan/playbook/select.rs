//! Which playbook a request means: intent 0.4, words 0.3, facts 0.3, chosen from 0.6.
//!
//! The threshold alone would let an intent and the repository's facts choose a playbook that no word of the request
//! speaks for. So there is one more rule: of the words that say something, **more than half** must be the playbook's.
//! "Fix the failing test" shares one word with `test`, and that is not what it asks for.

use serde::Serialize;

use super::Playbook;
use crate::core::facts::Facts;

/// The score from which a playbook is chosen.
pub const CHOSEN_SCORE_MIN: f64 = 0.6;

const INTENT_WEIGHT: f64 = 0.4;
const WORDS_WEIGHT: f64 = 0.3;
const FACTS_WEIGHT: f64 = 0.3;

/// What each part added; each is at most its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Parts {
    /// 0.4 times the classifier's confidence, if the intent is one of the playbook's.
    pub intent: f64,
    /// 0.3 times the share of the request's telling words that are the playbook's.
    pub words: f64,
    /// 0.3 if its facts hold or it names none.
    pub facts: f64,
}

/// How well one playbook fits, for `explain request`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Match {
    /// The playbook.
    pub name: String,
    /// Sum of the parts.
    pub score: f64,
    /// What each part added.
    pub parts: Parts,
    /// Whether it could be chosen at this score; the reasons say why not.
    pub eligible: bool,
    /// What matched and what did not, a sentence each.
    pub reasons: Vec<String>,
}

impl Match {
    /// Whether every telling word of the request is this playbook's, so that nothing else can be meant.
    pub fn means_it_all(&self) -> bool {
        self.parts.words >= WORDS_WEIGHT - 1e-9
    }
}

/// All playbooks, best first, and the one that is meant, if any.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Name of the playbook chosen.
    pub chosen: Option<String>,
    /// Every playbook's fit, best first, equal scores by name.
    pub matches: Vec<Match>,
}

/// Scores every playbook against a request; a request that is nothing but a playbook's name means it. `intent` is the classifier's word with its confidence (0..1), or `None`
/// where it abstains.
pub fn choose(playbooks: &[Playbook], text: &str, intent: Option<(&str, f64)>, facts: &Facts) -> Choice {
    let words = telling_words(text);
    let mut matches: Vec<Match> = playbooks.iter().map(|playbook| score(playbook, &words, intent, facts)).collect();
    matches.sort_by(|a, b| {
        b.eligible.cmp(&a.eligible).then(b.score.total_cmp(&a.score)).then_with(|| a.name.cmp(&b.name))
    });
    // The sum of 0.3 and 0.3 must count as 0.6 whatever the rounding.
    let best = matches.first().filter(|best| best.eligible && best.score >= CHOSEN_SCORE_MIN - 1e-9);
    let named = playbooks.iter().find(|playbook| playbook.name.eq_ignore_ascii_case(text.trim()));
    Choice { chosen: named.map(|named| named.name.clone()).or_else(|| best.map(|best| best.name.clone())), matches }
}

fn score(playbook: &Playbook, words: &[Word], intent: Option<(&str, f64)>, facts: &Facts) -> Match {
    let mut reasons = Vec::new();
    let mut parts = Parts::default();
    let mut eligible = true;

    match intent {
        Some((intent, confidence)) if playbook.intents.iter().any(|known| known == intent) => {
            parts.intent = INTENT_WEIGHT * confidence.clamp(0.0, 1.0);
            reasons.push(format!("the intent `{intent}` ({confidence:.2}) is one of its intents"));
        }
        Some((intent, _)) => reasons.push(format!("the intent `{intent}` is none of its intents")),
        None => reasons.push("no intent was recognised".to_string()),
    }

    let covered = covered(words, &playbook.words);
    let hits: Vec<&str> =
        words.iter().zip(&covered).filter(|(_, hit)| **hit).map(|(word, _)| word.text.as_str()).collect();
    if !words.is_empty() {
        parts.words = WORDS_WEIGHT * hits.len() as f64 / words.len() as f64;
    }
    if hits.is_empty() {
        reasons.push("none of its words occurs".to_string());
    } else {
        reasons.push(format!("{} of {} telling words are its: {}", hits.len(), words.len(), hits.join(", ")));
    }
    if !playbook.words.is_empty() && hits.len() * 2 <= words.len() {
        eligible = false;
        reasons.push("not chosen: half or more of the request is about something else".to_string());
    }

    match playbook.facts.as_deref().map(|condition| (condition, condition.holds(facts))) {
        None => parts.facts = FACTS_WEIGHT,
        Some((condition, Ok(true))) => {
            parts.facts = FACTS_WEIGHT;
            reasons.push(format!("the repository fits: {}", condition.text));
        }
        Some((condition, Ok(false))) => {
            eligible = false;
            reasons.push(format!("not chosen: the repository does not fit: {}", condition.text));
        }
        Some((_, Err(trouble))) => {
            eligible = false;
            reasons.push(format!("not chosen: {trouble}"));
        }
    }
    Match { name: playbook.name.clone(), score: parts.intent + parts.words + parts.facts, parts, eligible, reasons }
}

/// A word of the request that says something.
#[derive(Debug)]
struct Word {
    text: String,
    stem: String,
    /// After "not", "without" and the like: it counts as a word, but speaks for nothing.
    negated: bool,
}

/// Which words belong to the playbook, alone or as part of one of its phrases.
fn covered(words: &[Word], phrases: &[String]) -> Vec<bool> {
    let mut covered = vec![false; words.len()];
    for phrase in phrases {
        let stems: Vec<String> = telling_words(phrase).into_iter().map(|word| word.stem).collect();
        if stems.is_empty() {
            continue;
        }
        for start in 0..(words.len() + 1).saturating_sub(stems.len()) {
            let window = &words[start..start + stems.len()];
            if window.iter().zip(&stems).all(|(word, stem)| word.stem == *stem && !word.negated) {
                covered[start..start + stems.len()].fill(true);
            }
        }
    }
    covered
}

/// Words that say nothing about what is to be done.
const EMPTY_WORDS: &[&str] = &[
    "a",
    "about",
    "all",
    "also",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "but",
    "by",
    "can",
    "code",
    "codebase",
    "could",
    "do",
    "does",
    "entire",
    "every",
    "everything",
    "file",
    "files",
    "for",
    "from",
    "give",
    "go",
    "has",
    "have",
    "hello",
    "here",
    "hey",
    "hi",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "just",
    "keep",
    "kindly",
    "let",
    "like",
    "me",
    "my",
    "now",
    "of",
    "on",
    "only",
    "or",
    "our",
    "out",
    "over",
    "part",
    "parts",
    "please",
    "project",
    "repo",
    "repository",
    "see",
    "should",
    "show",
    "so",
    "some",
    "source",
    "sources",
    "tell",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "to",
    "tree",
    "up",
    "us",
    "want",
    "was",
    "we",
    "what",
    "where",
    "which",
    "who",
    "whole",
    "will",
    "with",
    "workspace",
    "would",
    "you",
    "your",
];

fn telling_words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for clause in text.split(['.', ';', ',', '!', '?', ':', '\n']) {
        // How many more words a "not" reaches.
        let mut negation = 0u8;
        for raw in clause.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '`' | '/')) {
            let raw = raw.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace('’', "'");
            let plain = raw.strip_suffix("'s").unwrap_or(&raw);
            if plain.is_empty() {
                continue;
            }
            if matches!(plain, "not" | "don't" | "dont" | "never" | "without" | "no" | "doesn't" | "except") {
                negation = 3;
                continue;
            }
            negation = negation.saturating_sub(1);
            if EMPTY_WORDS.binary_search(&plain).is_ok() {
                continue;
            }
            // "re-format" and "lint-fix" are read as their parts.
            for part in plain.split(['-', '_']).filter(|part| part.len() > 1 || plain.len() == 1) {
                words.push(Word { text: part.to_string(), stem: stem(part), negated: negation > 0 });
            }
        }
    }
    words
}

/// The part of an English word that its forms share. Crude: only equality of two stems means anything.
fn stem(word: &str) -> String {
    let mut stem = word.to_string();
    for (ending, rest_min, replacement) in [
        ("iest", 3, ""),
        ("ies", 3, "y"),
        ("ied", 2, "y"),
        ("ting", 3, "t"),
        ("ing", 3, ""),
        ("ers", 4, ""),
        ("er", 4, ""),
        ("ed", 3, ""),
        ("es", 3, ""),
        ("s", 3, ""),
    ] {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.len() >= rest_min
            && !(ending == "s" && rest.ends_with('s'))
        {
            stem = format!("{rest}{replacement}");
            break;
        }
    }
    // "formatted" -> "formatt" -> "format", but "pass" stays.
    let doubled = stem.len() > 4 && stem.ends_with(|c: char| "tpnmgbdr".contains(c));
    if doubled && stem.as_bytes()[stem.len() - 1] == stem.as_bytes()[stem.len() - 2] {
        stem.pop();
    }
    while stem.len() > 3 && (stem.ends_with('e') || stem.ends_with('y')) {
        stem.pop();
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for forms in [
            &["format", "formats", "formatted", "formatting", "formatter", "formatters"][..],
            &["tidy", "tidying", "tidied", "tidies"],
            &["lint", "lints", "linting", "linter", "linted"],
            &["test", "tests", "testing", "tested"],
            &["risk", "risky", "riskiest", "risks"],
            &["secret", "secrets"],
            &["pass", "passes", "passed", "passing"],
            &["audit", "audits", "auditing"],
            &["dependency", "dependencies"],
            &["file", "files"],
        ] {
            let stems: Vec<String> = forms.iter().map(|form| stem(form)).collect();
            assert!(stems.iter().all(|one| *one == stems[0]), "{forms:?} -> {stems:?}");
        }
    }

    #[test]
    fn different_words_keep_different_stems() {
        let words = ["format", "form", "lint", "line", "link", "test", "text", "pass", "path", "risk", "run"];
        for (i, one) in words.iter().enumerate() {
            assert!(words[i + 1..].iter().all(|other| stem(one) != stem(other)), "{one}");
        }
    }

    #[test]
    fn empty_words_are_sorted_for_the_search() {
        assert!(EMPTY_WORDS.is_sorted());
    }

    #[test]
    fn negation_reaches_a_little_way_and_not_over_a_comma() {
        let words = telling_words("do not format, lint");
        assert_eq!(
            words.iter().map(|w| (w.stem.as_str(), w.negated)).collect::<Vec<_>>(),
            [("format", true), ("lint", false)]
        );
    }
}
