//! Policy files as people write them: what holds, what is refused and in which words, who may loosen, and how many.

use std::time::{Duration, Instant};

use orchestrator::{
    core::decide::{
        gate::{Ask, Judgement, NoLinks, Verdict, judge},
        policy::{Known, Policy, PolicyError, Source, TaskKnown, Tier, without},
    },
    time::Timestamp,
};
use serde_json::json;

use super::corpora::checkout;

fn load(files: &[(Tier, &str)]) -> Result<Policy, PolicyError> {
    let sources: Vec<Source> = files
        .iter()
        .map(|(tier, text)| Source {
            tier: *tier,
            file: match tier {
                Tier::Project => ".orchestrator/policy.toml",
                Tier::Admin => "/etc/policy.toml",
                _ => "policy.toml",
            },
            text,
        })
        .collect();
    Policy::load(&sources)
}

fn rule(id: &str, when: &str, verdict: &str) -> String {
    format!("[[rules]]\nid = \"{id}\"\nwhen = \"{when}\"\nverdict = \"{verdict}\"\nreason = \"because of {id}\"\n")
}

fn file(rules: &[String]) -> String {
    format!("version = 1\n{}", rules.concat())
}

fn task(kind_of_work: &str, risk: Option<f64>) -> TaskKnown {
    TaskKnown { kind_of_work: kind_of_work.to_owned(), kind: "agent".to_owned(), risk, ..TaskKnown::default() }
}

fn ask(policy: &Policy, line: &str) -> Judgement {
    let known = Known { task: Some(task("feature", Some(0.5))), ..Known::default() };
    judge(policy, &Ask { tool: "Bash", input: &json!({"command": line}) }, &checkout(), &known, &NoLinks)
}

#[test]
fn the_specifications_rules_are_there_word_for_word() {
    let policy = Policy::builtin().expect("the built-in policy");
    let words = |id: &str| policy.rules.iter().find(|rule| rule.id == id).map(|rule| rule.condition.text.clone());
    assert_eq!(words("low-risk-refactoring").as_deref(), Some("task.type == 'refactoring' and task.risk < 0.3"));
    assert_eq!(words("prod-deploy").as_deref(), Some("task.type == 'deployment' and environment == 'production'"));
    assert_eq!(words("python-syntax").as_deref(), Some("error.type == 'syntax' and language == 'python'"));

    let situation = |known: Known| policy.situation(&known);
    let low = situation(Known { task: Some(task("refactoring", Some(0.2))), ..Known::default() });
    assert_eq!((low.verdict, low.action.as_deref()), (Verdict::Allow, Some("proceed")));
    let high = situation(Known { task: Some(task("refactoring", Some(0.3))), ..Known::default() });
    assert_eq!(high.verdict, Verdict::None);
    let prod =
        Known { task: Some(task("deployment", None)), environment: Some("production".to_owned()), ..Known::default() };
    let prod = situation(prod);
    assert_eq!(
        (prod.verdict, prod.hits.as_slice(), prod.why.as_str()),
        (Verdict::Escalate, &["prod-deploy".to_owned()][..], "rule")
    );
    let unknown = situation(Known { task: Some(task("deployment", None)), ..Known::default() });
    assert_eq!((unknown.verdict, unknown.why.as_str()), (Verdict::Escalate, "missing:environment"));
    assert_eq!(unknown.missing, ["environment"]);
    let syntax = Known {
        task: Some(task("feature", None)),
        error: Some([("type".to_owned(), json!("syntax"))].into()),
        language: Some("python".to_owned()),
        ..Known::default()
    };
    assert_eq!(situation(syntax).action.as_deref(), Some("auto_fix"));
}

/// It looks at the task alone, so it lets through what stays at home, and nothing else.
#[test]
fn an_allow_covers_what_it_looked_at() {
    let policy = Policy::builtin().expect("the built-in policy");
    let known = Known { task: Some(task("refactoring", Some(0.1))), ..Known::default() };
    let says = |line: &str| {
        judge(&policy, &Ask { tool: "Bash", input: &json!({"command": line}) }, &checkout(), &known, &NoLinks).verdict
    };
    assert_eq!(says("touch src/a.rs"), Verdict::Allow);
    assert_eq!(says("npm install"), Verdict::None);
    assert_eq!(says("rm -rf src"), Verdict::Escalate);
    assert_eq!(says("curl -d x http://y"), Verdict::Escalate);
}

#[test]
fn the_strictest_counts_and_higher_tiers_loosen() {
    let npm = |verdict: &str| file(&[rule("npm", "command.program == 'npm'", verdict)]);
    let says = |files: &[(Tier, &str)], line: &str| ask(&load(files).expect("a policy"), line).verdict;
    let both =
        file(&[rule("a", "command.program == 'npm'", "allow"), rule("b", "command.program == 'npm'", "escalate")]);
    let all = file(&[
        rule("a", "command.program == 'npm'", "allow"),
        rule("b", "command.program == 'npm'", "escalate"),
        rule("c", "'install' in command.argv", "deny"),
    ]);
    assert_eq!(says(&[(Tier::User, &npm("allow"))], "npm install"), Verdict::Allow);
    assert_eq!(says(&[(Tier::User, &both)], "npm install"), Verdict::Escalate);
    assert_eq!(says(&[(Tier::User, &all)], "npm install"), Verdict::Deny);
    assert_eq!(says(&[(Tier::User, &npm("allow")), (Tier::Admin, &npm("deny"))], "npm install"), Verdict::Deny);
    assert_eq!(says(&[(Tier::User, &npm("deny")), (Tier::Admin, &npm("allow"))], "npm install"), Verdict::Allow);
    assert_eq!(says(&[(Tier::Project, &npm("deny"))], "npm install"), Verdict::Deny);
    assert_eq!(says(&[(Tier::Project, &npm("deny")), (Tier::User, &npm("allow"))], "npm install"), Verdict::Allow);
    // What is critical, or not understood, no rule waves through.
    let rm = file(&[rule("rm", "command.program in ['rm', 'frobnicate']", "allow")]);
    assert_eq!(says(&[(Tier::Admin, &rm)], "rm -rf x"), Verdict::Escalate);
    assert_eq!(says(&[(Tier::Admin, &rm)], "frobnicate"), Verdict::Escalate);
    assert_eq!(says(&[(Tier::Admin, &rm)], "rm 'x"), Verdict::Escalate);
}

#[test]
fn every_command_of_a_line_is_asked_about() {
    let policy = load(&[(
        Tier::User,
        &file(&[
            rule("tests", "command.program == 'npm'", "allow"),
            rule("text", "command.text.startsWith('make check')", "allow"),
            rule("never", "command.program == 'pip'", "deny"),
        ]),
    )])
    .expect("a policy");
    assert_eq!(ask(&policy, "npm test").verdict, Verdict::Allow);
    assert_eq!(ask(&policy, "npm test && cargo publish").verdict, Verdict::Escalate);
    assert_eq!(ask(&policy, "npm test; make").verdict, Verdict::None, "make is not covered");
    assert_eq!(ask(&policy, "make check").verdict, Verdict::Allow);
    assert_eq!(ask(&policy, "make check; npm install x").verdict, Verdict::None, "a text names one command");
    assert_eq!(ask(&policy, "ls && pip install x").verdict, Verdict::Deny);
    assert_eq!(ask(&policy, "echo $(pip install x)").verdict, Verdict::Deny);
}

#[test]
fn a_clone_that_tries_to_allow_is_refused() {
    let project =
        file(&[rule("open", "command.program == 'npm'", "allow"), rule("closed", "command.program == 'yarn'", "deny")]);
    let patterns = "[[error_patterns]]\nid = \"again\"\ntext = \"x\"\nclass = \"transient\"\nroute = \"retry\"\n";
    let policy = load(&[(Tier::Project, &format!("{project}{patterns}"))]).expect("the rest of it counts");
    assert_eq!(ask(&policy, "npm install").verdict, Verdict::None);
    assert_eq!(ask(&policy, "yarn install").verdict, Verdict::Deny, "it may tighten");
    assert_eq!(policy.notes.len(), 2);
    assert!(policy.notes[0].starts_with(".orchestrator/policy.toml:3: rule open is left out"), "{}", policy.notes[0]);
    assert!(policy.notes[0].contains("may forbid and ask, but not allow"), "{}", policy.notes[0]);
    assert!(policy.failure("x").is_none());
}

#[test]
fn what_cannot_be_asked_escalates() {
    let policy =
        |verdict: &str| load(&[(Tier::User, &file(&[rule("cost", "cost.run_usd > 1.0", verdict)]))]).expect("a policy");
    let strict = ask(&policy("deny"), "ls");
    assert_eq!((strict.verdict, strict.why.as_str()), (Verdict::Escalate, "missing:cost.run_usd"));
    assert_eq!(strict.missing, ["cost.run_usd"]);
    assert_eq!(ask(&policy("allow"), "npm install").verdict, Verdict::None);
    assert_eq!(ask(&policy("escalate"), "ls").verdict, Verdict::Escalate);
}

#[test]
fn a_rule_ends_on_its_day() {
    let text = format!("{}expires = 2026-12-01\n", file(&[rule("short", "command.program == 'npm'", "allow")]));
    let policy = load(&[(Tier::User, &text)]).expect("a policy");
    let says = |now: &str| {
        let known = Known {
            now: Timestamp::parse_rfc3339(now).expect("a time"),
            task: Some(task("x", None)),
            ..Known::default()
        };
        judge(&policy, &Ask { tool: "Bash", input: &json!({"command": "npm test"}) }, &checkout(), &known, &NoLinks)
            .verdict
    };
    assert_eq!(says("2026-11-30T23:59:59Z"), Verdict::Allow);
    assert_eq!(says("2026-12-01T00:00:00Z"), Verdict::None);
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_way_out() {
    let good = rule("ok", "task.type == 'x'", "deny");
    let one = std::slice::from_ref(&good);
    for (text, message, hint) in [
        ("version = 1\n[[rules]\n".to_owned(), "policy.toml:2: ", ""),
        ("version = 2\n".to_owned(), "policy.toml:1: version 2", "version = 1"),
        ("rules = []\n".to_owned(), "missing field `version`", ""),
        (
            format!("{}\n{}", file(one), rule("two", "task.typ == 'x'", "deny")),
            "policy.toml:10: rule two: `task.typ == 'x'`: there is no variable `task.typ`",
            "did you mean `task.type`?",
        ),
        (file(&[rule("f", "task.type.startWith('x')", "deny")]), "policy.toml:4: rule f", "did you mean `startsWith`?"),
        (file(&[rule("s", "task.type == ", "deny")]), "is not a CEL expression", ""),
        (file(&[rule("k", "task.risk == 'high'", "deny")]), "another kind", "numbers"),
        (file(&[rule("b", "task.type", "deny")]), "no yes or no", ""),
        (file(&[rule("v", "true", "perhaps")]), "policy.toml:5: unknown variant `perhaps`", ""),
        (file(&[rule("n", "true", "none")]), "`none` is no verdict", "allow, escalate or deny"),
        (file(&[rule("Bad Id", "true", "deny")]), "`Bad Id` is no id", ""),
        (file(&[good.clone(), good.clone()]), "there are two rules `ok`", ""),
        (format!("{}extra = 1\n", file(one)), "unknown field `extra`", ""),
        (
            format!("{}match = [{{ task = {{ type = \"y\" }} }}]\n", file(one)),
            "policy.toml:7: rule ok: the condition does not hold for an example of `match`",
            "mend",
        ),
        (
            format!("{}not_match = [{{ task = {{ type = \"x\" }} }}]\n", file(one)),
            "policy.toml:7: rule ok: the condition holds for an example of `not_match`",
            "mend",
        ),
        (format!("{}match = [{{ environment = \"y\" }}]\n", file(one)), "does not say `task`", ""),
        (format!("{}prior = {{ strength = 5, p = 0.5 }}\n", file(one)), "strength 0..4", "four answers"),
        (format!("{}confidence = 1.5\n", file(one)), "not in 0..1", ""),
        (format!("{}expires = 07:00:00\n", file(one)), "is no day", "2027-01-01"),
        (
            format!(
                "{}[[error_patterns]]\nid = \"p\"\ntext = \"(\"\nclass = \"transient\"\nroute = \"retry\"\n",
                file(one)
            ),
            "policy.toml:9: error pattern p",
            "mend",
        ),
    ] {
        let error = load(&[(Tier::User, &text)]).expect_err(&text);
        assert!(error.message.contains(message), "{}\nfor\n{text}", error.message);
        assert!(error.hint.contains(hint), "{}\nfor\n{text}", error.hint);
    }
}

#[test]
fn a_policy_has_its_own_words_for_failures() {
    let text = "version = 1\n[[error_patterns]]\nid = \"flaky-registry\"\ntext = \"(?i)registry .* 503\"\nclass = \"transient\"\nroute = \"retry\"\n";
    let policy = load(&[(Tier::User, text)]).expect("a policy");
    assert_eq!(policy.failure("Registry said 503").map(|pattern| pattern.id.as_str()), Some("flaky-registry"));
    assert!(policy.failure("x").is_none());
}

#[test]
fn a_rule_can_be_taken_out_and_the_rest_stays_as_it_was() {
    let text = "# mine\nversion = 1\n\n# first\n[[rules]]\nid = \"a\"\nwhen = \"true\"\nverdict = \"deny\"\n\n# second\n[[rules]]\nid = \"b\"\nwhen = \"true\"\nverdict = \"deny\"\nmatch = [{ environment = \"x\" }]\n[rules.prior]\nstrength = 1\np = 0.5\n\n# third\n[[rules]]\nid = \"c\"\nwhen = \"true\"\nverdict = \"deny\"\n";
    let left = without(text, "b").expect("it is there");
    assert!(
        left.contains("# mine") && left.contains("# first") && left.contains("# third") && !left.contains("second"),
        "{left}"
    );
    let left = without(&left, "a").expect("it is there");
    assert!(
        left.starts_with("# mine\nversion = 1\n") && left.contains("id = \"c\"") && !left.contains("id = \"a\""),
        "{left}"
    );
    assert!(without(text, "d").is_none());
}

#[test]
fn ten_thousand_rules_are_fast() {
    let rules: Vec<String> = (0..10_000)
        .map(|number| match number % 2 {
            0 => rule(&format!("r{number}"), &format!("command.program == 'tool{number}' and task.risk > 0.3"), "deny"),
            _ => rule(
                &format!("r{number}"),
                &format!("task.type == 'kind{number}' or 'x{number}' in command.argv"),
                "escalate",
            ),
        })
        .collect();
    let text = file(&rules);
    let start = Instant::now();
    let policy = load(&[(Tier::User, &text)]).expect("a policy");
    let loaded = start.elapsed();
    let start = Instant::now();
    assert_eq!(ask(&policy, "tool500 --x").rules_hit, ["r500"]);
    assert_eq!(ask(&policy, "ls -la").verdict, Verdict::Allow);
    assert_eq!(ask(&policy, "ls x777").rules_hit, ["r777"]);
    let asked = start.elapsed() / 3;
    println!("10,000 rules: loaded in {loaded:?}, one verdict in {asked:?}");
    // Without optimisation; the bench holds the real figure.
    assert!(loaded < Duration::from_secs(60) && asked < Duration::from_secs(2), "{loaded:?} {asked:?}");
}
