//! How complex a request is: the specification's six weighted factors, each measured on the request and the repository.
//!
//! | factor | weight | formula (each held to 0..1) |
//! |---|---|---|
//! | scope | .25 | `max(named, wide · size)`: named = paths and code named / 8; wide = 1 "everything", .6 "across, module, system", .2 otherwise; size = log10(files)/3.5 |
//! | dependencies | .20 | `.15·(steps−1) + .15·(build systems−1) + .05·(members−1, at most 8) + .3 if dependencies change` |
//! | uncertainty | .15 | `.5·(1−confidence, 1 if abstained) + .12 per vague word + .15 per missing fact + .2 if under four words` |
//! | technical_depth | .15 | `.5` for the first domain named, `.2` for each more |
//! | integration_points | .15 | `.5` for the first outside system named, `.2` for each more |
//! | risk_level | .10 | [`risk::level`](super::risk::level) |
//!
//! What is unknown counts 0 in its own factor and raises `uncertainty` instead. Nothing here is learned or hidden: the
//! reasons name what was found.

use serde::{Deserialize, Serialize};

use super::{
    intent::Intent,
    risk::{self, Risk},
    signals::is_verb,
    words::{Token, TokenKind, mentions, tokenize},
};
use crate::core::facts::{Facts, Role};

/// The specification's four levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Below 0.3.
    Simple,
    /// Below 0.6.
    Moderate,
    /// Below 0.8.
    Complex,
    /// 0.8 and above.
    VeryComplex,
}

/// One number for each of the six factors: the factors themselves (0..1), or their weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Factors {
    /// How much of the repository is meant.
    pub scope: f64,
    /// How many steps and parts hang together.
    pub dependencies: f64,
    /// How much is not said or not known.
    pub uncertainty: f64,
    /// How deep the subject is.
    pub technical_depth: f64,
    /// How many outside systems take part.
    pub integration_points: f64,
    /// How much could go wrong.
    pub risk_level: f64,
}

/// The specification's weights; they add up to 1.
pub const WEIGHTS: Factors = Factors {
    scope: 0.25,
    dependencies: 0.20,
    uncertainty: 0.15,
    technical_depth: 0.15,
    integration_points: 0.15,
    risk_level: 0.10,
};

impl Factors {
    fn dot(&self, other: &Factors) -> f64 {
        self.scope * other.scope
            + self.dependencies * other.dependencies
            + self.uncertainty * other.uncertainty
            + self.technical_depth * other.technical_depth
            + self.integration_points * other.integration_points
            + self.risk_level * other.risk_level
    }
}

/// How complex a request is, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Complexity {
    /// The level that the score falls into.
    pub level: Level,
    /// The weighted sum, 0..1.
    pub score: f64,
    /// The six factors, 0..1.
    pub factors: Factors,
    /// Their weights.
    pub weights: Factors,
    /// One sentence for each factor, in their order.
    pub reasons: Vec<String>,
}

const EVERYTHING: &[&str] = &[
    "all",
    "every",
    "everything",
    "everywhere",
    "whole",
    "entire",
    "codebase",
    "repository",
    "project",
    "rewrite",
    "from scratch",
    "overhaul",
    "rearchitect",
    "system-wide",
];
const BROAD: &[&str] = &[
    "module",
    "modules",
    "package",
    "component",
    "service",
    "system",
    "architecture",
    "across",
    "layer",
    "framework",
    "platform",
    "application",
    "app",
    "subsystem",
    "crate",
    "library",
];
const VAGUE: &[&str] = &[
    "somehow",
    "something",
    "some",
    "maybe",
    "perhaps",
    "probably",
    "better",
    "nicer",
    "cleaner",
    "improve",
    "stuff",
    "things",
    "etc",
    "whatever",
    "possibly",
    "various",
    "several",
    "appropriate",
    "proper",
    "good",
    "modern",
    "as needed",
    "if possible",
    "i think",
    "not sure",
    "kind of",
    "sort of",
    "might",
    "could be",
    "and so on",
    "best practice",
    "soon",
];

/// Domains, each with the words that give it away.
const DOMAINS: &[(&str, &[&str])] = &[
    (
        "concurrency",
        &[
            "concurrency",
            "concurrent",
            "thread",
            "race condition",
            "deadlock",
            "lock",
            "async",
            "parallel",
            "mutex",
            "atomic",
            "multithreaded",
        ],
    ),
    (
        "distributed systems",
        &[
            "distributed",
            "consensus",
            "replication",
            "sharding",
            "cluster",
            "raft",
            "eventual consistency",
            "queue",
            "microservice",
        ],
    ),
    (
        "cryptography and security",
        &[
            "crypto",
            "cryptography",
            "encryption",
            "encrypt",
            "oauth",
            "oauth2",
            "auth",
            "authentication",
            "authorization",
            "jwt",
            "tls",
            "signature",
            "sso",
            "security",
        ],
    ),
    ("data migration", &["migration", "migrate", "schema", "backfill", "data model"]),
    (
        "protocols and formats",
        &[
            "protocol",
            "parser",
            "grammar",
            "serialization",
            "wire format",
            "codec",
            "binary format",
            "grpc",
            "protobuf",
        ],
    ),
    (
        "compilers and types",
        &["compiler", "type system", "borrow checker", "macro", "codegen", "ast", "interpreter", "linker", "bytecode"],
    ),
    (
        "performance",
        &[
            "performance",
            "latency",
            "throughput",
            "memory leak",
            "profiling",
            "optimize",
            "cache",
            "gpu",
            "simd",
            "allocation",
            "zero copy",
        ],
    ),
    (
        "low level",
        &["kernel", "driver", "unsafe", "assembly", "ffi", "embedded", "syscall", "firmware", "memory safety"],
    ),
    ("machine learning", &["machine learning", "neural", "training", "inference", "embedding", "tensor", "gradient"]),
    (
        "algorithms and numbers",
        &[
            "algorithm",
            "numerical",
            "floating point",
            "optimizer",
            "scheduler",
            "scheduling",
            "graph",
            "geometry",
            "transaction",
        ],
    ),
];

/// Outside systems, each with its words.
const SYSTEMS: &[(&str, &[&str])] = &[
    (
        "database",
        &["database", "db", "sql", "postgres", "postgresql", "mysql", "sqlite", "mongodb", "dynamodb", "table"],
    ),
    ("cache or queue", &["redis", "kafka", "rabbitmq", "nats", "memcached", "message queue", "sqs"]),
    ("HTTP interface", &["api", "rest", "graphql", "endpoint", "webhook", "http", "websocket", "grpc"]),
    ("identity provider", &["oauth", "oauth2", "sso", "saml", "ldap", "openid", "identity provider", "keycloak"]),
    ("cloud", &["aws", "azure", "gcp", "s3", "lambda", "cloud", "cloudflare"]),
    ("cluster or container", &["kubernetes", "k8s", "docker", "helm", "terraform", "container"]),
    ("code host or CI", &["github", "gitlab", "ci", "pipeline", "jenkins", "github action"]),
    ("payment", &["payment", "stripe", "paypal", "billing"]),
    ("mail or chat", &["email", "smtp", "slack", "discord", "telegram", "sms"]),
    ("package registry", &["npm", "pypi", "crates", "registry", "maven", "docker hub"]),
    (
        "search or telemetry",
        &["elasticsearch", "opensearch", "telemetry", "prometheus", "grafana", "opentelemetry", "sentry"],
    ),
    ("model provider", &["openai", "anthropic", "gemini", "llm", "bedrock", "ollama"]),
];

/// Weighs a request. `hints` are constraints and free context in words (a language, `maintain_compatibility`, a path
/// glob); they are read like the request, and named paths among them narrow the scope.
pub fn assess(text: &str, intent: &Intent, facts: &Facts, risks: &[Risk], hints: &[&str]) -> Complexity {
    let tokens = tokenize(text);
    let mut all = tokens.clone();
    for hint in hints {
        all.extend(tokenize(&hint.replace('_', " ")));
    }
    let (scope, scope_reason) = scope(&all, facts);
    let (dependencies, dependencies_reason) = dependencies(&tokens, facts);
    let (uncertainty, uncertainty_reason) = uncertainty(&tokens, intent, facts);
    let (technical_depth, depth_reason) = named(&all, DOMAINS, "domain");
    let (integration_points, integration_reason) = named(&all, SYSTEMS, "outside system");
    let risk_level = held(risk::level(risks));
    let risk_reason = match risks.first() {
        Some(gravest) => format!("{} risks, the gravest {} at {:.1}", risks.len(), gravest.id, gravest.level),
        None => "no risk is in sight".into(),
    };
    let factors = Factors { scope, dependencies, uncertainty, technical_depth, integration_points, risk_level };
    let score = held(factors.dot(&WEIGHTS));
    let level = match score {
        score if score < 0.3 => Level::Simple,
        score if score < 0.6 => Level::Moderate,
        score if score < 0.8 => Level::Complex,
        _ => Level::VeryComplex,
    };
    let reasons = [
        ("scope", scope, scope_reason),
        ("dependencies", dependencies, dependencies_reason),
        ("uncertainty", uncertainty, uncertainty_reason),
        ("technical_depth", technical_depth, depth_reason),
        ("integration_points", integration_points, integration_reason),
        ("risk_level", risk_level, risk_reason),
    ]
    .into_iter()
    .map(|(name, value, reason)| format!("{name} {value:.2}: {reason}."))
    .collect();
    Complexity { level, score, factors, weights: WEIGHTS, reasons }
}

fn held(value: f64) -> f64 {
    // Six decimals are read back from JSON as they were written: a stored analysis equals a fresh one.
    (value.clamp(0.0, 1.0) * 1e6).round() / 1e6
}

fn scope(tokens: &[Token], facts: &Facts) -> (f64, String) {
    let mut places: Vec<&str> = tokens
        .iter()
        .filter(|token| !token.negated && matches!(token.kind, TokenKind::Path | TokenKind::Code))
        .map(|token| token.raw.as_str())
        .collect();
    places.sort_unstable();
    places.dedup();
    let everything = EVERYTHING.iter().find(|word| mentions(tokens, word));
    let broad = BROAD.iter().find(|word| mentions(tokens, word));
    let wide = match (everything, broad) {
        // "all tests in src/a.rs" is not the whole repository.
        (Some(_), _) if places.is_empty() => 1.0,
        (Some(_), _) | (_, Some(_)) => 0.6,
        (None, None) => 0.2,
    };
    let size = if facts.files == 0 { 0.0 } else { held((facts.files as f64).log10() / 3.5) };
    let value = held((places.len() as f64 / 8.0).max(wide * size));
    let word = everything.or(broad).map_or(String::new(), |word| format!(", \"{word}\""));
    let files = if facts.files == 0 {
        "a repository of unknown size".into()
    } else {
        format!("a repository of {} files", facts.files)
    };
    (value, format!("{} places named{word} in {files}", places.len()))
}

/// Clauses that begin a piece of work, at least one.
pub(super) fn steps(tokens: &[Token]) -> usize {
    let mut clauses = 0;
    let mut last = None;
    for token in tokens {
        if last != Some(token.clause) {
            last = Some(token.clause);
            clauses += usize::from(token.counts() && is_verb(&token.stem));
        }
    }
    clauses.max(1)
}

fn dependencies(tokens: &[Token], facts: &Facts) -> (f64, String) {
    let steps = steps(tokens);
    let systems = facts.ecosystems.len();
    let members: usize = facts.ecosystems.values().map(|ecosystem| ecosystem.members.len()).sum();
    let changed = ["dependency", "upgrade", "bump", "library", "package"].iter().any(|word| mentions(tokens, word));
    let value = held(
        0.15 * (steps - 1) as f64
            + 0.15 * systems.saturating_sub(1) as f64
            + 0.05 * members.saturating_sub(1).min(8) as f64
            + if changed { 0.3 } else { 0.0 },
    );
    let note = if changed { ", and dependencies change" } else { "" };
    (value, format!("{steps} steps asked for, {systems} build systems with {members} members{note}"))
}

fn uncertainty(tokens: &[Token], intent: &Intent, facts: &Facts) -> (f64, String) {
    let vague: Vec<&str> = VAGUE.iter().filter(|word| mentions(tokens, word)).copied().collect();
    let mut missing = Vec::new();
    if facts.files == 0 {
        missing.push("size");
    }
    if facts.ecosystems.is_empty() {
        missing.push("build system");
    }
    if facts.commands(Role::Test).next().is_none() {
        missing.push("test command");
    }
    let doubt = if intent.primary.is_none() { 1.0 } else { 1.0 - intent.confidence };
    let short = tokens.iter().filter(|token| token.kind == TokenKind::Word).count() < 4;
    let value =
        held(0.5 * doubt + 0.12 * vague.len() as f64 + 0.15 * missing.len() as f64 + if short { 0.2 } else { 0.0 });
    let mut parts = vec![match intent.primary {
        Some(word) => format!("the intent is {word} with {:.2}", intent.confidence),
        None => "the intent cannot be told".into(),
    }];
    if !vague.is_empty() {
        parts.push(format!("vague: {}", vague.join(", ")));
    }
    if !missing.is_empty() {
        parts.push(format!("not known: {}", missing.join(", ")));
    }
    if short {
        parts.push("few words".into());
    }
    (value, parts.join("; "))
}

fn named(tokens: &[Token], table: &[(&str, &[&str])], what: &str) -> (f64, String) {
    let found: Vec<&str> = table
        .iter()
        .filter(|(_, words)| words.iter().any(|word| mentions(tokens, word)))
        .map(|(name, _)| *name)
        .collect();
    match found.len() {
        0 => (0.0, format!("no {what} is named")),
        count => (held(0.5 + 0.2 * (count - 1) as f64), found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::analyze::{intent::classify, tests::cargo_repository};

    fn of(text: &str, facts: &Facts) -> Complexity {
        assess(text, &classify(text), facts, &risk::assess(text, facts, None), &[])
    }

    #[test]
    fn a_ladder_of_requests() {
        let facts = cargo_repository();
        let scores: Vec<f64> = [
            "Fix the typo in README.md",
            "Add a --quiet flag to the command line and document it",
            "Refactor the authentication module to use OAuth2, migrate the sessions in the database and update the API",
            "Rewrite the entire distributed scheduler from scratch: replace the Postgres database with Kafka and Redis, change the gRPC \
             protocol, migrate all data without downtime, add OAuth2 and encryption, upgrade every dependency, then deploy it to production on Kubernetes",
        ]
        .iter()
        .map(|text| of(text, &facts).score)
        .collect();
        assert!(scores.windows(2).all(|pair| pair[0] < pair[1]), "{scores:?}");
        assert!(scores[0] < 0.3 && scores[2] >= 0.3 && scores[3] >= 0.6, "{scores:?}");
    }

    #[test]
    fn unknown_facts_raise_uncertainty_and_nothing_else() {
        let text = "Rename the option everywhere";
        let (known, unknown) = (of(text, &cargo_repository()), of(text, &Facts::default()));
        assert!(unknown.factors.uncertainty > known.factors.uncertainty + 0.3);
        assert_eq!(unknown.factors.scope, 0.0);
        assert!(known.factors.scope > 0.5);
    }

    #[test]
    fn more_named_means_more() {
        let facts = cargo_repository();
        let (one, two) =
            (of("Speed up the cache", &facts), of("Speed up the cache and the parser of the protocol", &facts));
        assert!(two.factors.technical_depth > one.factors.technical_depth);
        assert!(of("Fix a.rs, b.rs, c.rs, d.rs and e.rs", &facts).factors.scope > of("Fix a.rs", &facts).factors.scope);
        assert_eq!(of("Fix a.rs without touching the database", &facts).factors.integration_points, 0.0);
    }

    #[test]
    fn levels_follow_the_specification_and_every_factor_has_its_reason() {
        let complexity = of("Add a flag", &cargo_repository());
        assert_eq!(complexity.reasons.len(), 6);
        assert!(
            (WEIGHTS.dot(&Factors {
                scope: 1.0,
                dependencies: 1.0,
                uncertainty: 1.0,
                technical_depth: 1.0,
                integration_points: 1.0,
                risk_level: 1.0
            }) - 1.0)
                .abs()
                < 1e-9
        );
        assert!(Level::Simple < Level::VeryComplex);
    }
}
