//! What must be true for a request to count as done, bound to a command wherever one can prove it.
//!
//! Commands come from two places only: the facts (what the repository itself suggests) and backticks in the request. A
//! command is never made up; a criterion without one is for the reviewer.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{
    intent::{Intent, IntentWord},
    risk::present,
    words::{mentions, tokenize},
};
use crate::core::{
    facts::{Facts, Role},
    plan::spec::Argv,
};

/// One condition of success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// What must hold, one sentence.
    pub text: String,
    /// The command that proves it by ending with 0; `None` = a person or a reviewer must say.
    pub check: Option<Argv>,
}

/// A command in backticks that is told to pass: "must pass `x`", "until `x` is green", "verify with `x`", "`x` passes".
static BOUND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(?:pass(?:es|ing)?|succeeds?|run(?:s|ning)?|with|until|verif(?:y|ied)(?: by| with)?|check(?:ed)?(?: by| with)?|prove[dn]?(?: by| with)?|green)\s+`([^`\n]+)`|`([^`\n]+)`\s+(?:must|should|has to|to|still|is|are|stays?|keeps?|will)?\s*(?:be |still |keep )?(?:pass(?:es|ing)?|succeeds?|green|works?|exits? (?:with )?0|clean)",
    )
    .expect("constant pattern")
});

/// The conditions of a request, the provable ones first.
pub fn derive(text: &str, intent: &Intent, facts: &Facts) -> Vec<Criterion> {
    let tokens = tokenize(text);
    let mut criteria: Vec<Criterion> = Vec::new();
    for found in BOUND.captures_iter(text) {
        let command = found.get(1).or(found.get(2)).map_or("", |quoted| quoted.as_str());
        if let Some(argv) = command_line(command, facts) {
            add(&mut criteria, format!("`{}` passes, as the request says", argv.join(" ")), Some(argv));
        }
    }
    let stated = criteria.len();

    // An answer changes nothing: there is nothing for the tests to prove.
    let changes = intent.primary != Some(IntentWord::Analyze);
    if changes {
        let tests: Vec<&Argv> = usable(facts, Role::Test);
        let proofs = if tests.is_empty() { usable(facts, Role::Build) } else { tests };
        for argv in proofs {
            add(&mut criteria, format!("`{}` passes", argv.join(" ")), Some(argv.clone()));
        }
    }
    let asks_lint = ["lint", "linter", "clippy", "eslint", "ruff"].iter().any(|word| mentions(&tokens, word));
    if asks_lint && changes {
        for argv in usable(facts, Role::Lint) {
            add(&mut criteria, format!("`{}` reports nothing", argv.join(" ")), Some(argv.clone()));
        }
    }
    if changes && ["build", "compile", "compiles"].iter().any(|word| mentions(&tokens, word)) {
        for argv in usable(facts, Role::Build) {
            add(&mut criteria, format!("`{}` succeeds", argv.join(" ")), Some(argv.clone()));
        }
    }

    let first_check = criteria.get(stated).or(criteria.first()).and_then(|criterion| criterion.check.clone());
    for (pattern, statement, provable) in STATEMENTS.iter() {
        if pattern.is_match(text) {
            add(&mut criteria, (*statement).into(), if *provable { first_check.clone() } else { None });
        }
    }
    if let Some(own) = by_intent(intent.primary) {
        add(&mut criteria, own.into(), None);
    }
    criteria
}

/// Things a request may demand in words. The last field says whether the repository's own check can prove it.
static STATEMENTS: LazyLock<Vec<(Regex, &'static str, bool)>> = LazyLock::new(|| {
    [
        (
            r"(?i)keep(ing)? only (what|those|the ones|changes)\b.{0,40}(pass|test|green|prove)|only (what|those|changes).{0,20}pass",
            "Only changes that pass the checks are kept; each is landed alone and the others are undone and named",
            true,
        ),
        (
            r"(?i)(tests?|checks?|suite|ci)\b.{0,20}\b(must|should|have to|need to|still|keep|remain|stay)\b.{0,20}(pass|green)|(keep|make|get)\b.{0,20}\b(tests?|checks?|suite)\b.{0,20}(pass|green)|without breaking (any |the |existing )*tests?",
            "The tests pass as before",
            true,
        ),
        (
            r"(?i)(without|not|don't|never|avoid)\b.{0,12}\b(break|breaking|change|changing|alter|altering)\b.{0,25}\b(api|interface|signature|compatib|callers?|clients?|contract)|(keep|maintain|preserve|remain|stay)\w*\b.{0,25}(backwards?.compatib|compatib|public api|the api)|no breaking changes?",
            "Exported names and signatures stay as they are",
            false,
        ),
        (
            r"(?i)(without|no|don't|not)\b.{0,12}\b(chang\w*|alter\w*)\b.{0,20}(behaviou?r|functionality|output|semantics)|behaviou?r.{0,15}(unchanged|the same|preserved)|(preserve|keep)\w*.{0,20}(behaviou?r|functionality)",
            "The behaviour stays as it is",
            true,
        ),
        (r"(?i)(add|write|with|include|cover\w*)\b.{0,25}\b(unit |integration |regression )?tests?\b", "New tests cover the change", false),
        (r"(?i)(update|write|add|with|include)\b.{0,25}\b(docs?|documentation|readme|changelog)\b", "The documentation says what changed", false),
        (r"(?i)(no|without)( any)? (compiler |lint |new )?warnings?|warning.free", "No new warnings", false),
        (r"(?i)(no|without|not add\w*)( any| adding)?( new| extra| further)? dependenc", "No new dependency is added", false),
        (
            r"(?i)\b(faster|speed|latency|throughput|performance|p9\d)\b",
            "A measurement before and after shows the difference",
            false,
        ),
    ]
    .into_iter()
    .map(|(pattern, statement, provable)| (Regex::new(pattern).expect("constant pattern"), statement, provable))
    .collect()
});

fn by_intent(intent: Option<IntentWord>) -> Option<&'static str> {
    match intent? {
        IntentWord::Create => Some("What was asked for exists and can be shown working"),
        IntentWord::Modify => None,
        IntentWord::Analyze => {
            Some("The question is answered, with the places in the code that support it; no file changes")
        }
        IntentWord::Fix => Some("The fault no longer occurs, shown by a check that failed before"),
        IntentWord::Deploy => Some("A probe of the target answers as the new version"),
        IntentWord::Manage => Some("The listed people, rights or items are in the asked-for state"),
    }
}

fn usable(facts: &Facts, role: Role) -> Vec<&Argv> {
    facts.commands(role).map(|command| &command.argv).filter(|argv| present(facts, argv)).collect()
}

/// A command line without shell syntax whose program is known here: from the facts' programs, or a path of the workspace.
/// What needs a shell is left to the planner.
fn command_line(text: &str, facts: &Facts) -> Option<Argv> {
    if text.contains(['|', '&', ';', '>', '<', '$', '*', '"', '\'', '\\', '(', ')', '#', '=']) {
        return None;
    }
    let argv: Argv = text.split_whitespace().map(String::from).collect();
    let program = argv.first()?;
    let known = program.starts_with("./") || facts.programs.get(program) == Some(&true);
    known.then_some(argv)
}

fn add(criteria: &mut Vec<Criterion>, text: String, check: Option<Argv>) {
    // The same command proves the same thing once; a statement in words may lean on it again.
    let repeated = criteria
        .iter()
        .any(|known| known.text == text || text.starts_with('`') && known.check.is_some() && known.check == check);
    if !repeated {
        criteria.push(Criterion { text, check });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::analyze::{intent::classify, tests::cargo_repository};

    fn of(text: &str, facts: &Facts) -> Vec<(String, Option<String>)> {
        derive(text, &classify(text), facts)
            .into_iter()
            .map(|criterion| (criterion.text, criterion.check.map(|argv| argv.join(" "))))
            .collect()
    }

    #[test]
    fn the_repository_proves_changes() {
        let found = of("Fix the crash in the parser", &cargo_repository());
        assert_eq!(found[0].1.as_deref(), Some("cargo test --offline"));
        assert!(found.iter().any(|(text, check)| text.contains("no longer occurs") && check.is_none()));
        let answer = of("Explain how the parser works", &cargo_repository());
        assert!(answer.iter().all(|(_, check)| check.is_none()) && !answer.is_empty(), "{answer:?}");
    }

    #[test]
    fn a_missing_program_proves_nothing_and_a_build_is_second_best() {
        let mut facts = cargo_repository();
        facts.programs.insert("cargo".into(), false);
        assert!(of("Fix the crash", &facts).iter().all(|(_, check)| check.is_none()));
        let mut facts = cargo_repository();
        facts.commands.retain(|command| command.role != Role::Test);
        assert_eq!(of("Fix the crash", &facts)[0].1.as_deref(), Some("cargo check"));
    }

    #[test]
    fn what_the_request_states_is_bound() {
        let facts = cargo_repository();
        let found = of("Rename the option; it must pass `cargo test -p parser`", &facts);
        assert_eq!(found[0].1.as_deref(), Some("cargo test -p parser"));
        assert_eq!(of("Rename it until `./check.sh` passes", &facts)[0].1.as_deref(), Some("./check.sh"));
        // A shell line or an unknown program is not taken over.
        for text in ["it must pass `rm -rf / && x`", "it must pass `frob --all`", "Rename `cargo` in the docs"] {
            assert!(
                of(text, &facts).iter().all(|(_, check)| check.as_deref().is_none_or(|c| c == "cargo test --offline")),
                "{text}"
            );
        }
        let kept = of("format and lint this repository; keep only what passes its tests", &facts);
        assert!(
            kept.iter()
                .any(|(text, check)| text.starts_with("Only changes")
                    && check.as_deref() == Some("cargo test --offline"))
        );
        assert!(kept.iter().any(|(_, check)| check.as_deref() == Some("cargo clippy")));
        let api = of("Refactor the client without breaking the API", &facts);
        assert!(api.iter().any(|(text, _)| text.starts_with("Exported names")));
    }
}
