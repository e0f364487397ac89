//! Understanding a request: what it wants, how complex and risky it is, when it counts as done.
//!
//! Pure: the request and the facts in, an [`Analysis`] out, the same for the same input. It matches no playbook and
//! plans nothing.

pub mod complexity;
pub mod criteria;
pub mod intent;
pub mod risk;
mod signals;
mod weights;
pub mod words;

use serde::{Deserialize, Serialize};

pub use complexity::{Complexity, Level};
pub use criteria::Criterion;
pub use intent::{Intent, IntentWord};
pub use risk::Risk;

use super::facts::{Facts, Role};

/// What is analysed: the parts of a process request that matter here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// What the user wrote.
    pub text: String,
    /// `context.environment`, e.g. `production`.
    pub environment: Option<String>,
    /// `context.language`, where given.
    pub language: Option<String>,
    /// `context.files` and `constraints.paths`: where the work is.
    pub paths: Vec<String>,
    /// `constraints.maintain_compatibility`.
    pub maintain_compatibility: bool,
    /// `constraints.offline`.
    pub offline: bool,
}

/// What was understood. Stored in the journal with the run, so fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// What is wanted.
    pub intent: Intent,
    /// How complex it is.
    pub complexity: Complexity,
    /// A first guess of the wall-clock time in seconds, before there is a plan or any history. See [`duration_s`].
    pub estimated_duration_s: f64,
    /// What the work needs: `program:cargo`, `agent`, `language:rust`, `environment:production`, `network`.
    pub required_resources: Vec<String>,
    /// What could go wrong, gravest first.
    pub risks: Vec<Risk>,
    /// When it counts as done, provable conditions first.
    pub success_criteria: Vec<Criterion>,
}

/// Understands a request as far as words and facts go.
pub fn analyze(request: &Request, facts: &Facts) -> Analysis {
    let intent = intent::classify(&request.text);
    let environment = request.environment.as_deref();
    let mut risks = risk::assess(&request.text, facts, environment);
    if request.maintain_compatibility && !risks.iter().any(|risk| risk.id == "breaking_api") {
        // Only what may be changed can be broken.
        if matches!(intent.primary, Some(IntentWord::Modify | IntentWord::Fix | IntentWord::Create) | None) {
            risks.push(Risk {
                id: "breaking_api".into(),
                what: "Compatibility is demanded, so a changed signature would be a fault".into(),
                level: 0.4,
                mitigation:
                    "Exported names and signatures are compared before and after; a difference becomes a decision"
                        .into(),
            });
            risks.sort_by(|a, b| b.level.total_cmp(&a.level).then(a.id.cmp(&b.id)));
        }
    }
    let hints: Vec<&str> = request.paths.iter().map(String::as_str).collect();
    let complexity = complexity::assess(&request.text, &intent, facts, &risks, &hints);
    let mut success_criteria = criteria::derive(&request.text, &intent, facts);
    let promised = "Exported names and signatures stay as they are";
    if request.maintain_compatibility && !success_criteria.iter().any(|criterion| criterion.text == promised) {
        success_criteria.push(Criterion { text: promised.into(), check: None });
    }
    let required_resources = resources(request, &intent, &risks, &success_criteria, facts);
    Analysis {
        estimated_duration_s: duration_s(&complexity, &intent),
        intent,
        complexity,
        required_resources,
        risks,
        success_criteria,
    }
}

/// The prior for the wall-clock time: `120 s · 45^score`, so 2 minutes for nothing to speak of, 6 at the edge of simple,
/// 20 at the edge of moderate, 42 at the edge of complex, 90 at the top. An answer takes half of that, for nothing is
/// built or merged. Deliberately coarse: the plan's estimates and the history of like tasks replace it.
pub fn duration_s(complexity: &Complexity, intent: &Intent) -> f64 {
    let share = if intent.primary == Some(IntentWord::Analyze) { 0.5 } else { 1.0 };
    (120.0 * 45f64.powf(complexity.score) * share).round()
}

fn resources(
    request: &Request,
    intent: &Intent,
    risks: &[Risk],
    success_criteria: &[Criterion],
    facts: &Facts,
) -> Vec<String> {
    let mut needed = Vec::new();
    let tokens = words::tokenize(&request.text);
    // Formatting and linting are the repository's own commands; everything else takes somebody who writes.
    let tidy_only = ["format", "lint", "tidy"].iter().any(|word| words::mentions(&tokens, word))
        && [Role::Format, Role::LintFix, Role::Lint].iter().any(|role| facts.commands(*role).next().is_some());
    if !(tidy_only && intent.primary != Some(IntentWord::Create)) {
        needed.push("agent".to_string());
    }
    let programs = success_criteria.iter().filter_map(|criterion| criterion.check.as_ref()?.first());
    needed.extend(programs.map(|program| format!("program:{program}")));
    if let Some(language) = request.language.clone().or_else(|| main_language(facts)) {
        needed.push(format!("language:{}", language.to_lowercase()));
    }
    if let Some(environment) = &request.environment {
        needed.push(format!("environment:{environment}"));
    }
    let outward = ["deployment", "dependency_change", "external_service"];
    if !request.offline && risks.iter().any(|risk| outward.contains(&risk.id.as_str())) {
        needed.push("network".into());
    }
    let mut seen = std::collections::BTreeSet::new();
    needed.retain(|need| seen.insert(need.clone()));
    needed
}

/// The language with the most files; the first in the alphabet where several have as many.
fn main_language(facts: &Facts) -> Option<String> {
    let most = facts.languages.values().max()?;
    facts.languages.iter().find(|(_, files)| *files == most).map(|(language, _)| language.clone())
}

/// The lines of a development corpus, or `None` where the folder is absent: such a test says so and passes.
#[cfg(test)]
pub(crate) fn corpus(name: &str) -> Option<Vec<serde_json::Value>> {
    let folder = std::env::var_os("ORCHESTRATOR_CORPORA")
        .map(std::path::PathBuf::from)
        .unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"));
    match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Some(text.lines().map(|line| serde_json::from_str(line).expect("a corpus line is JSON")).collect()),
        Err(_) => {
            println!("skipped: {name} is not there");
            None
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::core::facts::{Ecosystem, FoundCommand};

    /// A middling Rust repository whose commands all run.
    pub fn cargo_repository() -> Facts {
        let command = |role, argv: &[&str]| FoundCommand {
            role,
            argv: argv.iter().map(|word| word.to_string()).collect(),
            origin: "Cargo.toml".into(),
            ecosystem: "cargo".into(),
            missing: None,
        };
        Facts {
            vcs: "git".into(),
            files: 400,
            lines: 60_000,
            languages: [("rust".to_string(), 300), ("markdown".to_string(), 40)].into(),
            ecosystems: [(
                "cargo".to_string(),
                Ecosystem { manifest: "Cargo.toml".into(), tests: true, ..Default::default() },
            )]
            .into(),
            commands: vec![
                command(Role::Test, &["cargo", "test", "--offline"]),
                command(Role::Build, &["cargo", "check"]),
                command(Role::Lint, &["cargo", "clippy"]),
                command(Role::Format, &["cargo", "fmt"]),
            ],
            programs: [("cargo".to_string(), true)].into(),
            ..Facts::default()
        }
    }

    fn of(text: &str) -> Analysis {
        analyze(&Request { text: text.into(), ..Default::default() }, &cargo_repository())
    }

    #[test]
    fn the_example_of_the_specification() {
        let request = Request {
            text: "Refactor the authentication module to use OAuth2".into(),
            language: Some("python".into()),
            maintain_compatibility: true,
            ..Default::default()
        };
        let analysis = analyze(&request, &cargo_repository());
        assert_eq!(analysis.intent.primary, Some(IntentWord::Modify));
        assert_eq!(analysis.complexity.level, Level::Moderate, "{:?}", analysis.complexity);
        let risks: Vec<&str> = analysis.risks.iter().map(|risk| risk.id.as_str()).collect();
        assert_eq!(risks, ["security", "breaking_api"]);
        assert!(analysis.success_criteria[0].check.is_some());
        assert!(analysis.success_criteria.iter().any(|criterion| criterion.text.starts_with("Exported names")));
        assert_eq!(analysis.required_resources, ["agent", "program:cargo", "language:python"]);
    }

    #[test]
    fn repository_commands_need_no_agent() {
        let analysis = of("format and lint this repository; keep only what passes its tests");
        assert!(!analysis.required_resources.contains(&"agent".to_string()), "{:?}", analysis.required_resources);
    }

    #[test]
    fn it_can_be_stored_and_read_back() {
        for text in ["Deploy to production", "", "Why is it slow?", "Bitte die Tests reparieren"] {
            let analysis = of(text);
            let json = serde_json::to_string(&analysis).unwrap();
            assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
        }
    }

    #[test]
    fn longer_work_is_expected_to_take_longer() {
        let (small, great) = (
            of("Fix the typo in README.md"),
            of("Rewrite the whole database layer and migrate all data, then deploy it"),
        );
        assert!(small.estimated_duration_s >= 120.0 && small.estimated_duration_s < great.estimated_duration_s);
        assert!(great.estimated_duration_s <= 5400.0);
    }
}
