//! What could go wrong with a request, and what is done about it. Read from the request's words and the facts.
//!
//! A list of generic dangers, not a judgement on commands or diffs: that is the decision gate's. Negated and quoted
//! mentions do not count ("without a migration" is not one).

use serde::{Deserialize, Serialize};

use super::words::{Token, TokenKind, mentions, tokenize};
use crate::core::facts::{Facts, Role};

/// One danger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// A stable name, e.g. `data_loss`.
    pub id: String,
    /// What could happen, one sentence.
    pub what: String,
    /// How grave, 0..1.
    pub level: f64,
    /// What is done about it, one sentence.
    pub mitigation: String,
}

/// A danger that words announce: any phrase is enough.
struct Sign {
    id: &'static str,
    level: f64,
    phrases: &'static [&'static str],
    what: &'static str,
    mitigation: &'static str,
}

const SIGNS: &[Sign] = &[
    Sign {
        id: "data_loss",
        level: 0.9,
        phrases: &[
            "drop table",
            "drop database",
            "drop column",
            "drop the table",
            "drop the database",
            "drop the column",
            "truncate",
            "wipe",
            "purge",
            "erase",
            "delete data",
            "delete all",
            "delete user",
            "delete the data",
            "delete record",
            "delete old data",
            "format the disk",
            "overwrite data",
            "reset the database",
            "force push",
            "rewrite history",
            "destroy",
        ],
        what: "Data could be lost that git cannot bring back",
        mitigation: "Work in lanes only; anything that deletes outside them waits for a person's decision",
    },
    Sign {
        id: "security",
        level: 0.7,
        phrases: &[
            "auth",
            "authentication",
            "authorization",
            "login",
            "oauth",
            "oauth2",
            "password",
            "permission",
            "encryption",
            "encrypt",
            "crypto",
            "cryptography",
            "certificate",
            "tls",
            "session",
            "jwt",
            "sso",
            "rbac",
            "access control",
            "vulnerability",
            "cve",
            "sandbox",
            "csrf",
            "xss",
            "sql injection",
            "security",
            "signature",
        ],
        what: "A mistake here could open the program to others",
        mitigation: "A security review of the diff is required before it is applied",
    },
    Sign {
        id: "secrets",
        level: 0.8,
        phrases: &[
            "secret",
            "credential",
            "api key",
            "private key",
            "ssh key",
            "access token",
            "token rotation",
            "keychain",
        ],
        what: "Secrets could end up in files, logs or prompts",
        mitigation: "Secrets stay in memory and are redacted; reading them needs an approval",
    },
    Sign {
        id: "breaking_api",
        level: 0.6,
        phrases: &[
            "public api",
            "breaking change",
            "rename the api",
            "remove the api",
            "change the api",
            "change api",
            "endpoint",
            "signature of",
            "protocol",
            "wire format",
            "file format",
            "backward compatible",
            "backwards compatible",
            "compatibility",
            "deprecate",
            "drop support",
            "schema",
        ],
        what: "Callers outside this repository could break",
        mitigation: "Exported names and signatures are compared before and after; a difference becomes a decision",
    },
    Sign {
        id: "migration",
        level: 0.7,
        phrases: &[
            "migration",
            "migrate",
            "schema change",
            "alter table",
            "backfill",
            "convert the data",
            "data model",
            "upgrade the database",
        ],
        what: "Old data or old callers may not fit the new shape, and going back may need its own steps",
        mitigation: "Steps are checkpointed, and the way back is written and tried before the way forward",
    },
    Sign {
        id: "deployment",
        level: 0.8,
        phrases: &[
            "deploy",
            "release",
            "publish",
            "roll out",
            "rollout",
            "ship it",
            "ship to",
            "go live",
            "launch",
            "promote to",
            "redeploy",
            "terraform",
            "kubernetes",
            "infrastructure",
        ],
        what: "Effects outside the workspace cannot be undone by restoring files",
        mitigation: "Outside effects need an approval and a compensation with a probe",
    },
    Sign {
        id: "dependency_change",
        level: 0.4,
        phrases: &[
            "upgrade",
            "bump",
            "update dependency",
            "update the dependency",
            "update all dependency",
            "add a dependency",
            "new dependency",
            "dependency",
            "replace the library",
            "lockfile",
            "toolchain",
            "latest version",
            "major version",
        ],
        what: "Other people's code changes under ours",
        mitigation: "Each change is landed alone and proven by the repository's checks",
    },
    Sign {
        id: "concurrency",
        level: 0.5,
        phrases: &[
            "race condition",
            "deadlock",
            "concurrency",
            "concurrent",
            "thread",
            "lock free",
            "mutex",
            "atomic",
            "distributed",
            "consensus",
        ],
        what: "Faults may show only sometimes, so that one passing check proves little",
        mitigation: "Checks are repeated, and the diff is reviewed",
    },
    Sign {
        id: "large_change",
        level: 0.5,
        phrases: &[
            "rewrite",
            "everywhere",
            "all file",
            "whole codebase",
            "entire codebase",
            "whole repository",
            "entire repository",
            "across the codebase",
            "every file",
            "every module",
            "from scratch",
            "overhaul",
            "restructure",
            "rearchitect",
            "port to",
            "codebase",
        ],
        what: "A change this wide is hard to review and to merge",
        mitigation: "Split into tasks that land one by one, each proven",
    },
    Sign {
        id: "external_service",
        level: 0.4,
        phrases: &[
            "payment",
            "stripe",
            "billing",
            "email",
            "webhook",
            "third party",
            "external service",
            "external api",
            "production data",
        ],
        what: "Another system takes part that tests here cannot see",
        mitigation: "Calls are tried against a stand-in; real ones need an approval",
    },
];

/// Environments where a mistake meets users.
const LIVE: &[&str] = &["production", "prod", "live"];

/// The dangers of a request, gravest first, each at most once.
pub fn assess(text: &str, facts: &Facts, environment: Option<&str>) -> Vec<Risk> {
    let tokens = tokenize(text);
    let mut risks: Vec<Risk> = SIGNS
        .iter()
        .filter_map(|sign| {
            let phrase = sign.phrases.iter().find(|phrase| mentions(&tokens, phrase))?;
            Some(risk(sign.id, format!("{} (\"{phrase}\")", sign.what), sign.level, sign.mitigation))
        })
        .collect();

    let named_live = LIVE.iter().any(|word| mentions(&tokens, word));
    let given_live = environment.is_some_and(|name| LIVE.contains(&name.to_ascii_lowercase().as_str()));
    if given_live || named_live && risks.iter().any(|risk| risk.id == "deployment" || risk.id == "data_loss") {
        risks.push(risk(
            "production",
            "It is about the environment that users see".into(),
            0.9,
            "Nothing external runs in production without a person's approval",
        ));
    } else if named_live {
        risks.push(risk(
            "production",
            "Production is mentioned".into(),
            0.6,
            "Tasks stay in lanes; production is not touched",
        ));
    }

    let tested = facts.commands(Role::Test).any(|command| present(facts, &command.argv));
    if !tested {
        let builds = facts.commands(Role::Build).any(|command| present(facts, &command.argv));
        risks.push(risk(
            "no_tests",
            if builds {
                "Only the build can prove anything: no test command was found that runs here"
            } else {
                "No command was found that could prove a result"
            }
            .into(),
            if builds { 0.4 } else { 0.6 },
            "What no check can prove is shown as a review with its diff, never as completed",
        ));
    }
    if facts.dirty {
        risks.push(risk(
            "dirty_checkout",
            "The checkout has changes that are not committed; they are part of the base".into(),
            0.2,
            "A snapshot keeps them, and applying merges in memory, all or nothing",
        ));
    }
    if facts.vcs != "git" && !facts.vcs.is_empty() {
        risks.push(risk(
            "no_history",
            "The folder has no history of its own".into(),
            0.3,
            "A shadow repository outside the folder keeps every state",
        ));
    }
    if touches_everything(&tokens) && facts.files > 2_000 && !risks.iter().any(|risk| risk.id == "large_change") {
        risks.push(risk(
            "large_change",
            format!("It speaks of everything in a repository of {} files", facts.files),
            0.5,
            "Split into tasks that land one by one, each proven",
        ));
    }
    risks.sort_by(|a, b| b.level.total_cmp(&a.level).then(a.id.cmp(&b.id)));
    risks
}

/// One number for all of them: `1 - Π(1 - 0.6·level)`, so that many small ones add up and none alone is certain.
pub fn level(risks: &[Risk]) -> f64 {
    1.0 - risks.iter().map(|risk| 1.0 - 0.6 * risk.level).product::<f64>()
}

/// Whether the program of a command is on the PATH; one that was never looked up counts as absent.
pub(super) fn present(facts: &Facts, argv: &[String]) -> bool {
    argv.first().is_some_and(|program| facts.programs.get(program).copied().unwrap_or(program.starts_with("./")))
}

fn touches_everything(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| {
        token.kind == TokenKind::Word
            && token.counts()
            && matches!(token.stem.as_str(), "all" | "every" | "entir" | "whol" | "everywher")
    })
}

fn risk(id: &str, what: String, level: f64, mitigation: &str) -> Risk {
    Risk { id: id.into(), what, level, mitigation: mitigation.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::analyze::tests::cargo_repository;

    fn ids(text: &str, environment: Option<&str>) -> Vec<String> {
        assess(text, &cargo_repository(), environment).into_iter().map(|risk| risk.id).collect()
    }

    #[test]
    fn words_announce_dangers() {
        assert_eq!(ids("Fix a typo in the README", None), Vec::<String>::new());
        assert_eq!(ids("Refactor the authentication module to use OAuth2", None), ["security"]);
        assert_eq!(
            ids("Migrate the users table and drop the old column; drop table legacy", None),
            ["data_loss", "migration"]
        );
        assert_eq!(ids("Deploy to staging", None), ["deployment"]);
        assert_eq!(ids("Deploy to production", None), ["production", "deployment"]);
        assert_eq!(ids("Rotate the API keys", None), ["secrets"]);
    }

    #[test]
    fn negated_and_quoted_mentions_do_not_count() {
        assert_eq!(ids("Fix the footer, do not deploy it", None), Vec::<String>::new());
        assert_eq!(ids("Fix the footer without a migration", None), Vec::<String>::new());
        assert_eq!(ids("Fix the label \"Delete all\"", None), Vec::<String>::new());
    }

    #[test]
    fn facts_count() {
        assert_eq!(ids("Fix a typo", Some("production")), ["production"]);
        let bare = assess("Fix a typo", &Facts { dirty: true, vcs: "shadow".into(), ..Facts::default() }, None);
        let bare: Vec<&str> = bare.iter().map(|risk| risk.id.as_str()).collect();
        assert_eq!(bare, ["no_tests", "no_history", "dirty_checkout"]);
        let mut missing = cargo_repository();
        missing.programs.insert("cargo".into(), false);
        assert_eq!(assess("Fix a typo", &missing, None)[0].id, "no_tests");
    }

    #[test]
    fn the_sum_grows_and_stays_below_one() {
        let some = assess("Deploy the migration to production", &Facts::default(), None);
        assert!(level(&[]) == 0.0 && level(&some[..1]) < level(&some) && level(&some) < 1.0);
    }
}
