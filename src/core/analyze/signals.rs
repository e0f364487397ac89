//! What the intent model sees of a request: named features with strengths. Not the model; see `intent`.
//!
//! | feature | means |
//! |---|---|
//! | `^verb` | the request begins with this word, politeness, conventional-commit type and component left out |
//! | `+verb` | a later clause begins with this verb |
//! | `word` | the word occurs (a quotation counts a quarter, a negated word not at all) |
//! | `prefix:feat` | a conventional-commit type or a title such as "Bug:" |
//! | `#question` `#polite` | a question mark or an asking first word; "could you …" is a request, not a question |
//! | `#symptom` | something is said to fail and nothing is told to do |
//! | `#noverb` | the first word is no verb of work |
//! | `#member` | a person is added to or removed from something |
//! | `#version` `#code` | a version, code or a path occurs |
//! | `#upgrade-of` | something else than the work itself is raised to a version |
//! | `#bare-version` | a version and next to nothing else |

use std::{collections::HashSet, sync::LazyLock};

use super::words::{Token, TokenKind, stem, tokenize};

/// A named feature and how strongly it holds, 0..1.
pub type Signal = (String, f64);

/// Verbs that begin a piece of work. A head outside this list is not taken for an imperative.
const VERBS: &str = "add adapt address adjust adopt align allow analyze analyse apply archive assess assign audit \
automate avoid ban bind block boost bootstrap build bump bundle cache calculate cancel catch centralize change check clarify clean \
cleanup clear close collapse collect combine compare complete compute configure connect consolidate construct convert \
coordinate copy correct count cover create cut debug decouple dedupe defer define delete deliver deny deploy deprecate derive \
describe design detect determine develop diagnose disable discover display document downgrade draft drop edit eliminate \
emit enable enforce enhance ensure establish estimate evaluate examine exclude expand explain explore expose extend \
extract filter find finish fix flatten fold force format forward generate get give grant group guard handle harden hide \
identify ignore implement import improve include increase inline inspect install integrate introduce investigate invite \
isolate keep launch lint limit list load localize log look lower maintain make manage map mark match measure merge \
migrate minimize mirror modernize modify modularize monitor move name normalize offboard omit onboard open optimize \
organize overhaul oversee parameterize parse pass patch pause pin polish port prefer prepare prevent print profile \
promote propagate protect provide provision prune publish pull push put raise rearrange rebuild record redeploy reduce \
refactor refine refresh register reject release reload remind remove rename render reorder reorganize repair replace report \
reproduce request require rerun resolve respect restart restore restrict restructure resume retire retry return reuse revert \
review revise revoke rewrite roll rollout rotate run save scaffold scale schedule search secure send separate serve set \
setup share ship show simplify skip sort specify speed split stabilize standardize start stop store streamline strip \
summarize support suppress switch sync tag take test tidy tighten toggle trace track transfer transform translate tweak \
trigger trim troubleshoot try turn tune unarchive unban unify uninstall unlock unpin update upgrade upload use validate \
verify wait warn wire work wrap write understand study research trace document tell count";

/// Words that ask when they come first.
const ASKING: &[&str] = &[
    "what", "why", "how", "when", "where", "which", "who", "whose", "is", "are", "does", "did", "can", "could",
    "should", "would", "will", "has", "was", "were", "any", "am",
];

/// Words that say something is wrong.
const SYMPTOM: &[&str] = &[
    "cannot",
    "cant",
    "can't",
    "unable",
    "doesn't",
    "doesnt",
    "won't",
    "isn't",
    "aren't",
    "wasn't",
    "couldn't",
    "didn't",
    "fails",
    "error",
    "errors",
    "crash",
    "wrong",
    "undefined",
    "missing",
    "issue",
    "problem",
    "bug",
    "broken",
    "exception",
    "segfault",
    "hang",
    "hangs",
    "freeze",
    "stuck",
    "incorrect",
    "failed",
    "failing",
    "slow",
    "leak",
    "overflow",
    "panic",
    "inconsistent",
    "infinite",
    "empty",
    "disappear",
    "duplicate",
    "responding",
    "working",
];

/// Verbs that put a person somewhere or take one away.
const MEMBERSHIP: &[&str] = &[
    "add", "remove", "grant", "invite", "promote", "move", "revoke", "nominate", "onboard", "offboard", "unban", "ban",
    "drop",
];

/// Words whose frequency is a matter of style, not of intent.
const EMPTY: &[&str] =
    &["the", "a", "an", "of", "and", "or", "this", "that", "it", "its", "but", "not", "do", "in", "on"];

/// Conventional-commit types and titles of trackers that are evidence by themselves.
const PREFIXES: &[&str] = &[
    "feat",
    "feature",
    "fix",
    "bugfix",
    "hotfix",
    "bug",
    "refactor",
    "perf",
    "style",
    "docs",
    "doc",
    "test",
    "tests",
    "chore",
    "ci",
    "build",
    "revert",
    "release",
    "deploy",
    "deps",
    "question",
    "enhancement",
    "security",
    "request",
];

fn stems(words: &[&str]) -> HashSet<String> {
    words.iter().map(|word| stem(word)).collect()
}

static VERB_STEMS: LazyLock<HashSet<String>> = LazyLock::new(|| VERBS.split_whitespace().map(stem).collect());
static SYMPTOM_STEMS: LazyLock<HashSet<String>> = LazyLock::new(|| stems(SYMPTOM));
static MEMBERSHIP_STEMS: LazyLock<HashSet<String>> = LazyLock::new(|| stems(MEMBERSHIP));

/// Whether the stem is one of a verb of work.
pub fn is_verb(stem: &str) -> bool {
    VERB_STEMS.contains(stem)
}

/// Splits a conventional-commit type off: `fix(ui)!: text` and `chore/release: text` give the types and the rest.
fn split_prefix(text: &str) -> (Vec<String>, &str) {
    let trimmed = text.trim_start();
    let Some(colon) = trimmed.find(':').filter(|colon| *colon <= 40) else { return (Vec::new(), trimmed) };
    let (before, after) = (&trimmed[..colon], &trimmed[colon + 1..]);
    // A type is one chunk without spaces; "Feature request: x" and "[Bug]: x" are titles of trackers.
    let chunk = before.trim_end_matches('!').trim_matches(['[', ']']);
    let words: Vec<String> =
        chunk.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_lowercase).collect();
    if words.is_empty() || words.len() > 3 || !PREFIXES.contains(&words[0].as_str()) || after.starts_with(':') {
        return (Vec::new(), trimmed);
    }
    let mut types = vec![words[0].clone()];
    types.extend(words[1..].iter().filter(|word| matches!(word.as_str(), "release" | "deps" | "deploy")).cloned());
    (types, after.trim_start())
}

/// The tokens from the first one that asks for work on, and whether it was asked politely.
fn after_politeness(tokens: &[Token]) -> (&[Token], bool) {
    const OPENINGS: &[&[&str]] = &[
        &["please"],
        &["pls"],
        &["kindly"],
        &["hi"],
        &["hello"],
        &["hey"],
        &["ok"],
        &["okay"],
        &["so"],
        &["now"],
        &["just"],
        &["also"],
        &["first"],
        &["next"],
        &["then"],
        &["finally"],
        &["and"],
        &["thanks"],
        &["can", "you"],
        &["could", "you"],
        &["would", "you"],
        &["will", "you"],
        &["can", "we"],
        &["could", "we"],
        &["i", "want", "you", "to"],
        &["i", "want", "to"],
        &["i", "need", "you", "to"],
        &["i", "need", "to"],
        &["i'd", "like", "you", "to"],
        &["i'd", "like", "to"],
        &["i", "would", "like", "you", "to"],
        &["i", "would", "like", "to"],
        &["we", "need", "to"],
        &["we", "should"],
        &["we", "must"],
        &["we", "want", "to"],
        &["you", "should"],
        &["you", "must"],
        &["let's"],
        &["let", "us"],
        &["help", "me", "to"],
        &["help", "me"],
        &["help", "us"],
        &["try", "to"],
        &["go", "ahead", "and"],
        &["i", "need"],
        &["i", "want"],
        &["we", "need"],
        &["orchestrate"],
        &["need", "to"],
        &["want", "to"],
        &["in", "order", "to"],
    ];
    let mut rest = tokens;
    let mut polite = false;
    'again: loop {
        for opening in OPENINGS {
            let fits = opening.len() < rest.len()
                && opening.iter().zip(rest).all(|(want, token)| token.raw.to_lowercase().replace('’', "'") == **want);
            if fits {
                polite |= opening.len() > 1;
                rest = &rest[opening.len()..];
                continue 'again;
            }
        }
        return (rest, polite);
    }
}

/// The features of a request. `known` says whether a stem is an ordinary word of the trade (that is how a login is
/// told from one).
pub fn signals(text: &str, known: &dyn Fn(&str) -> bool) -> Vec<Signal> {
    let mut found: Vec<Signal> = Vec::new();
    let (types, body) = split_prefix(text);
    for kind in &types {
        set(&mut found, format!("prefix:{kind}"), 1.0);
    }
    let tokens = tokenize(body);
    // "hydra-proxy: restart it": a short first clause before a colon names a component, the request follows.
    let first_clause = tokens.iter().take_while(|token| token.clause == 0).count();
    let component = first_clause > 0
        && first_clause <= 2
        && first_clause < tokens.len()
        && tokens[first_clause - 1].kind != TokenKind::Number
        && body[tokens[first_clause - 1].start..tokens[first_clause].start].contains(':');
    let main = if component { &tokens[first_clause..] } else { &tokens[..] };
    let (main, polite) = after_politeness(main);
    // "Do not publish, just fix the notes": what is asked for begins after the prohibition.
    let (main, polite) = match main.iter().position(|token| token.clause != main[0].clause) {
        Some(next) if main[..next].last().is_some_and(|token| token.negated) && forbids(&main[0]) => {
            let (rest, again) = after_politeness(&main[next..]);
            (rest, polite || again)
        }
        _ => (main, polite),
    };

    let head = main.first().filter(|token| token.counts());
    let head_clause = main.first().map(|token| token.clause);
    let verb_head = head.is_some_and(|token| is_verb(&token.stem));
    if let Some(head) = head {
        set(&mut found, format!("^{}", head.stem), 1.0);
    }
    if !verb_head {
        set(&mut found, "#noverb".into(), 1.0);
    }
    let mut follow_ups: HashSet<usize> = HashSet::new();
    for pair in main.windows(2) {
        if pair[0].clause != pair[1].clause && pair[1].counts() && is_verb(&pair[1].stem) {
            set(&mut found, format!("+{}", pair[1].stem), 1.0);
            if verb_head {
                follow_ups.insert(pair[1].start);
            }
        }
    }

    let asks = head.is_some_and(|token| ASKING.contains(&token.raw.to_lowercase().as_str()));
    let mark = body.trim_end().ends_with('?');
    if polite {
        set(&mut found, "#polite".into(), 1.0);
    }
    if (asks || mark) && !(polite && verb_head) {
        set(&mut found, "#question".into(), 1.0);
    }
    if !verb_head && tokens.iter().any(|token| token.kind == TokenKind::Word && SYMPTOM_STEMS.contains(&token.stem))
        || tokens.windows(2).any(|pair| pair[0].stem == "not" && !pair[1].negated && !verb_head)
    {
        set(&mut found, "#symptom".into(), 1.0);
    }

    if let Some(head) = head
        && MEMBERSHIP_STEMS.contains(&head.stem)
    {
        let clause: Vec<&Token> = main.iter().take_while(|token| Some(token.clause) == head_clause).skip(1).collect();
        let goes =
            clause.iter().position(|token| matches!(token.stem.as_str(), "to" | "from" | "as" | "in" | "into" | "for"));
        let unknown = |token: &Token| {
            let word = token.raw.trim_start_matches('@');
            matches!(token.stem.as_str(), "me" | "myself" | "yourself")
                || word.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
                    && word.chars().any(char::is_alphabetic)
                    && !known(&token.stem)
        };
        if goes == Some(1) && unknown(clause[0]) && matches!(clause[1].stem.as_str(), "to" | "from" | "as" | "in") {
            set(&mut found, "#member".into(), 1.0);
        }
    }

    if tokens.iter().any(|token| token.kind == TokenKind::Version) {
        let words = tokens.iter().filter(|token| token.kind == TokenKind::Word).count();
        set(&mut found, if words <= 1 { "#bare-version" } else { "#version" }.into(), 1.0);
    }
    // "Bump serde to 1.0.200" raises what the work is built on; "bump version to 1.0.200" raises the work itself.
    if head.is_some_and(|token| matches!(token.stem.as_str(), "bump" | "upgrad" | "updat" | "pin" | "downgrad"))
        && let Some(version) = main.iter().position(|token| token.kind == TokenKind::Version)
        && main[1..version].iter().any(|token| !OWN_VERSION.contains(&token.stem.as_str()))
        && !main[1..version].iter().any(|token| matches!(token.stem.as_str(), "version" | "releas"))
    {
        found.retain(|(name, _)| name != "#version");
        set(&mut found, "#upgrade-of".into(), 1.0);
    }
    if tokens.iter().any(|token| matches!(token.kind, TokenKind::Code | TokenKind::Path)) {
        set(&mut found, "#code".into(), 1.0);
    }

    // A long text says each thing more often, not more surely.
    let words = tokens.iter().filter(|token| token.kind == TokenKind::Word).count().max(1);
    let share = (10.0 / words as f64).sqrt().min(1.0);
    for token in tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Word && !token.negated && !EMPTY.contains(&token.stem.as_str()))
    {
        // What a later clause begins with has its own feature; as a bare word it must not outvote the first clause.
        let later = follow_ups.contains(&token.start);
        let strength = if token.quoted || later { 0.25 * share } else { share };
        set(&mut found, token.stem.clone(), strength);
        if token.stem.contains('-') {
            for part in token.stem.split('-').filter(|part| part.len() > 1) {
                set(&mut found, stem(part), strength);
            }
        }
    }
    found
}

/// Words that may stand between "bump" and a version without naming what is bumped.
const OWN_VERSION: &[&str] = &["version", "to", "releas", "the", "from", "for", "our", "packag", "project", "number"];

/// Whether a clause that begins so says what not to do.
fn forbids(token: &Token) -> bool {
    matches!(
        token.raw.to_lowercase().replace('’', "'").as_str(),
        "do" | "don't" | "dont" | "never" | "without" | "no" | "avoid"
    )
}

/// Keeps each feature once, at its greatest strength.
fn set(found: &mut Vec<Signal>, name: String, strength: f64) {
    match found.iter_mut().find(|(existing, _)| *existing == name) {
        Some((_, known)) => *known = known.max(strength),
        None => found.push((name, strength)),
    }
}
