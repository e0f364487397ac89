//! Playbooks from text to plan, and the choice among the built-in ones.

use super::*;
use crate::core::{
    facts::Ecosystem,
    plan::spec::{Effect, Work},
};

fn command(role: Role, argv: &[&str]) -> FoundCommand {
    let argv = argv.iter().map(|word| word.to_string()).collect();
    FoundCommand { role, argv, origin: "Cargo.toml".into(), ecosystem: "cargo".into(), missing: None }
}

/// A Cargo repository with tests; clippy is not installed.
fn rust_facts() -> Facts {
    let mut facts = Facts { vcs: "git".into(), files: 12, lines: 900, ..Facts::default() };
    facts.ecosystems.insert("cargo".into(), Ecosystem { tests: true, ..Ecosystem::default() });
    facts.languages.insert("rust".into(), 9);
    facts.commands = vec![
        command(Role::Format, &["cargo", "fmt"]),
        command(Role::LintFix, &["cargo", "clippy", "--fix"]),
        command(Role::Build, &["cargo", "check"]),
        command(Role::Test, &["cargo", "test"]),
        command(Role::Test, &["make", "test"]),
    ];
    facts.programs = [("cargo", true), ("cargo-fmt", true), ("cargo-clippy", false), ("make", true)]
        .map(|(name, present)| (name.to_string(), present))
        .into();
    facts
}

fn refused(text: &str) -> String {
    parse("x.toml", text).map(|playbook| format!("{playbook:?}")).unwrap_err().to_string()
}

fn with_tasks(tasks: &str) -> String {
    format!("version = 1\nname = \"x\"\nparams.path = {{ type = \"path\", default = \".\" }}\n{tasks}")
}

fn names(plan: &super::super::spec::Plan) -> Vec<&str> {
    plan.tasks.iter().map(|task| &*task.name).collect()
}

const NO_PARAMS: BTreeMap<String, String> = BTreeMap::new();

#[test]
fn a_playbook_is_send_and_sync() {
    fn assert<T: Send + Sync>() {}
    assert::<Playbook>();
}

#[test]
fn mistakes_are_named_with_their_line_and_the_nearest_name() {
    let cases = [
        (
            "version = 1\nname = \"x\"\ntaks = []\n",
            "x.toml:3: unknown field `taks` in the playbook; did you mean `tasks`?",
        ),
        ("name = \"x\"\n", "x.toml:1: `version = 1` is missing"),
        (
            "version = 2\nname = \"x\"\nnew = 1\n",
            "x.toml:1: `version` is not 1; this program reads version 1; a newer one may be needed",
        ),
        ("version = 1\nname = \"X y\"\n", "x.toml:2: `name` is `X y`, but must be 1 to 40 of a-z"),
        ("version = 1\nname = \"x\"\n", "x.toml:1: there are no `[[tasks]]`"),
        ("version = 1\nname =\n", "x.toml:2: "),
        ("version = 1\nname = \"x\"\n[match]\nintents = [\"fixes\"]\n", "x.toml:4: unknown intent `fixes`"),
        (
            "version = 1\nname = \"x\"\n[match]\nfacts = 'has(user.x)'\n",
            "x.toml:4: `has(user.x)` uses the unknown variable `user`; only `repo` is known here",
        ),
        (
            "version = 1\nname = \"x\"\n[match]\nfacts = 'has(repo.crago)'\n",
            "x.toml:4: `has(repo.crago)` uses `repo.crago`, which does not exist; did you mean `repo.cargo`?",
        ),
        ("version = 1\nname = \"x\"\n[match]\nfacts = 'has(repo'\n", "x.toml:4: `has(repo` is not a CEL expression"),
        (
            "version = 1\nname = \"x\"\n[match]\nfacts = 'shell(\"x\")'\n",
            "x.toml:4: `shell(\"x\")` calls the unknown function `shell`",
        ),
        (
            "version = 1\nname = \"x\"\nparams.n = { type = \"int\", default = \"a\" }\n",
            "x.toml:3: the default of `params.n` must be a whole number, not `a`",
        ),
        (
            "version = 1\nname = \"x\"\nparams.n = { type = \"number\" }\n",
            "x.toml:3: `params.n` has the unknown type `number`",
        ),
    ];
    for (text, wanted) in cases {
        let got = refused(text);
        assert!(got.starts_with(wanted), "{text}\n  got    {got}\n  wanted {wanted}");
    }
}

#[test]
fn mistakes_in_tasks() {
    let cases = [
        ("[[tasks]]\ncommand = [\"a\"]\n", "a task has no `id`"),
        ("[[tasks]]\nid = \"a\"\n", "task `a` does nothing"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nrun = \"b\"\n", "says command and run"),
        ("[[tasks]]\nid = \"a\"\ncommand = []\n", "`command` must name a program"),
        ("[[tasks]]\nid = \"a\"\nkind = \"agent\"\ncommand = [\"a\"]\n", "says kind `agent`"),
        ("[[tasks]]\nid = \"a\"\ncomand = [\"a\"]\n", "did you mean `command`?"),
        (
            "[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\neffect = \"nothing\"\n",
            "must be one of none, workspace, external",
        ),
        ("[[tasks]]\nid = \"a\"\nprompt = \"do\"\n", "needs `writes`"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nneeds = [\"b\"]\n", "names `b`, which is no task"),
        (
            "[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\n[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\n",
            "two tasks have the id `a`",
        ),
        (
            "[[tasks]]\nid = \"a\"\nneeds = [\"b\"]\ncommand = [\"a\"]\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\ncommand = [\"a\"]\n",
            "goes in a circle: a -> b -> a",
        ),
        ("[[tasks]]\nid = \"a\"\nneeds = [\"a\"]\ncommand = [\"a\"]\n", "goes in a circle: a -> a"),
        ("[[tasks]]\nid = \"a\"\nrun = \"ls {{path}}\"\n", "placeholder in `run`; use `command`"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"ls\", \"--x={{path}}\"]\n", "mixes text and a placeholder"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"{{path}}\"]\n", "the program of a command cannot be"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"ls\", \"{{pth}}\"]\n", "did you mean `{{path}}`?"),
        ("[[tasks]]\nid = \"a\"\nprompt = \"{{x}}\"\nwrites = []\n", "`{{x}}`, which is no parameter"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\ntitle = \"{{path}}\"\n", "placeholder in `title`"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nverify = \"test\"\n", "must be \"tests\" or a list of commands"),
        ("[[tasks]]\nid = \"a\"\nforeach = \"tests\"\n", "did you mean `test`?"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\ntimeout_s = -1\n", "must be zero or more"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nbudget = { usd = -1 }\n", "`budget.usd` must be zero or more"),
        (
            "[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nbudget = { spawns = 1.5 }\n",
            "`budget.spawns` must be a whole number",
        ),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nbudget = { usds = 1 }\n", "unknown field `usds`"),
        ("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\nsandbox = \"none\"\n", "sandbox"),
        ("[[tasks]]\nid = \"a\"\nquestion = \"q\"\noptions = [\"one\"]\n", "two to six `options`"),
    ];
    for (tasks, wanted) in cases {
        let got = refused(&with_tasks(tasks));
        assert!(got.contains(wanted), "{tasks}\n  got    {got}\n  wanted {wanted}");
    }
}

#[test]
fn left_out_tasks_hand_their_needs_on() {
    let text = with_tasks(
        "[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\n\
         [[tasks]]\nid = \"b\"\nwhen = 'has(repo.npm)'\nneeds = [\"a\"]\ncommand = [\"b\"]\n\
         [[tasks]]\nid = \"c\"\nforeach = \"lint\"\nneeds = [\"b\"]\n\
         [[tasks]]\nid = \"d\"\nneeds = [\"c\"]\ncommand = [\"d\"]\n\
         [[tasks]]\nid = \"e\"\nforeach = \"test\"\nneeds = [\"d\"]\n\
         [[tasks]]\nid = \"f\"\nneeds = [\"e\", \"c\"]\ncommand = [\"f\"]\n",
    );
    let plan = expand(&parse("x.toml", &text).unwrap(), &NO_PARAMS, &rust_facts()).unwrap();
    assert_eq!(names(&plan), ["a", "d", "e-cargo", "e-make", "f"]);
    let needs: Vec<&[u32]> = plan.tasks.iter().map(|task| &task.needs[..]).collect();
    assert_eq!(needs, [&[][..], &[0], &[1], &[1], &[0, 2, 3]]);
    assert!(!plan.tasks[0].extras().derived);
    assert!(plan.tasks[2].extras().derived);
}

#[test]
fn conditions_see_the_repository_and_what_is_missing_is_false() {
    let facts = rust_facts();
    for (condition, holds) in [
        ("has(repo.cargo)", true),
        ("has(repo.npm)", false),
        ("repo.npm.tests", false),
        ("repo.cargo.tests && repo.files > 10", true),
        ("repo.programs['cargo-fmt']", true),
        ("repo.programs['nothing']", false),
        ("'rust' in repo.languages && repo.languages['rust'] == 9", true),
        ("repo.commands.test == 2 && repo.commands.lint_fix == 0", true),
        ("repo.cargo.scripts.exists(s, s == 'x')", false),
        ("!repo.dirty", true),
    ] {
        let condition = condition::Condition::compile(condition).unwrap();
        assert_eq!(condition.holds(&facts), Ok(holds), "{}", condition.text);
    }
    assert!(condition::Condition::compile("repo.files + 1").unwrap().holds(&facts).is_err());
}

#[test]
fn parameters_are_checked_and_put_in() {
    let text = "version = 1\nname = \"x\"\nparams.path = { type = \"path\" }\nparams.n = { type = \"int\", default = 3 }\n\
        params.how = { type = \"enum\", values = [\"a\", \"b\"], default = \"a\" }\n\
        [[tasks]]\nid = \"a\"\nprompt = \"Do {{ path }} {{n}} times {{how}}\"\nwrites = [\"**\"]\nenv = { P = \"<{{path}}>\" }\n\
        [[tasks]]\nid = \"b\"\ncommand = [\"ls\", \"{{path}}\"]\n";
    let playbook = parse("x.toml", text).unwrap();
    let given = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let plan = expand(&playbook, &given(&[("path", "a b/{{n}}")]), &rust_facts()).unwrap();
    assert_eq!(plan.tasks[0].work, Work::Prompt("Do a b/{{n}} 3 times a".into()));
    assert_eq!(plan.tasks[0].extras().env["P"], "<a b/{{n}}>");
    assert_eq!(plan.tasks[1].work, Work::Command(vec!["ls".into(), "a b/{{n}}".into()]));
    for (pairs, wanted) in [
        (&[][..], "must be given"),
        (&[("path", "../x")], "must stay inside the workspace"),
        (&[("path", "/etc")], "must stay inside the workspace"),
        (&[("path", "--all")], "must not start with a dash"),
        (&[("path", "."), ("n", "x")], "must be a whole number"),
        (&[("path", "."), ("how", "c")], "must be one of a, b"),
        (&[("path", "."), ("hwo", "a")], "did you mean `how`?"),
    ] {
        let error = expand(&playbook, &given(pairs), &rust_facts()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn tidy_runs_every_fixer_and_proves_it_by_the_tests() {
    let tidy = builtin().into_iter().find(|playbook| playbook.name == "tidy").unwrap();
    let plan = expand(&tidy, &NO_PARAMS, &rust_facts()).unwrap();
    assert_eq!(
        names(&plan),
        [
            "format-cargo",
            "line-ends",
            "trailing-blanks",
            "final-newline",
            "exec-bits",
            "conflict-markers",
            "dead-links"
        ]
    );
    let tests = vec![vec!["cargo".to_string(), "test".into()], vec!["make".into(), "test".into()]];
    assert_eq!(plan.verify, tests);
    for task in &plan.tasks {
        let reads_only = task.effect == Effect::None;
        assert_eq!(task.verify.as_deref(), (!reads_only).then_some(&tests), "{}", task.name);
        assert_eq!(task.extras().derived, !reads_only, "{}", task.name);
        assert!(task.needs.is_empty());
    }
    let untested = Facts { files: 1, ..Facts::default() };
    let plan = expand(&tidy, &NO_PARAMS, &untested).unwrap();
    assert!(plan.verify.is_empty() && plan.tasks.iter().all(|task| task.verify.is_none() && !task.extras().derived));
}

#[test]
fn test_falls_back_to_builds_where_there_are_no_tests() {
    let test = builtin().into_iter().find(|playbook| playbook.name == "test").unwrap();
    let mut facts = rust_facts();
    assert_eq!(names(&expand(&test, &NO_PARAMS, &facts).unwrap()), ["test-cargo", "test-make"]);
    facts.commands.retain(|command| command.role != Role::Test);
    assert_eq!(names(&expand(&test, &NO_PARAMS, &facts).unwrap()), ["build-cargo"]);
    for missing in ["cargo", "make"] {
        facts.programs.insert(missing.to_owned(), false);
    }
    let said = expand(&test, &NO_PARAMS, &facts).unwrap_err().to_string();
    assert!(said.contains("nothing in it can run here: `cargo` is not installed"), "{said}");
    facts.commands.clear();
    assert!(expand(&test, &NO_PARAMS, &facts).unwrap_err().to_string().contains("nothing in it applies"));
}

#[test]
fn a_project_playbook_is_derived_throughout() {
    let mut playbook = parse("x.toml", &with_tasks("[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\n")).unwrap();
    assert!(!expand(&playbook, &NO_PARAMS, &rust_facts()).unwrap().tasks[0].extras().derived);
    playbook.derived = true;
    assert!(expand(&playbook, &NO_PARAMS, &rust_facts()).unwrap().tasks[0].extras().derived);
}

#[test]
fn audits_and_fixes_of_the_built_in_playbooks_exist() {
    for playbook in builtin() {
        for task in expand(&playbook, &NO_PARAMS, &rust_facts()).unwrap().tasks {
            let Work::Command(argv) = &task.work else { continue };
            let [program, verb, name, ..] = argv.as_slice() else { continue };
            if program == "orchestrator" {
                let known = if verb == "fix" { crate::upkeep::FIXES } else { crate::upkeep::AUDITS };
                assert!(known.iter().any(|(known, _)| known == name), "{argv:?}");
            }
        }
    }
}

#[test]
fn requests_choose_the_playbook_they_mean() {
    let playbooks = builtin();
    let facts = rust_facts();
    let chosen = |text: &str, intent: Option<(&str, f64)>| choose(&playbooks, text, intent, &facts).chosen;
    for (text, intent, wanted) in [
        ("format and lint this repository; keep only what passes its tests", "modify", Some("tidy")),
        ("tidy up", "modify", Some("tidy")),
        ("please fix the formatting", "fix", Some("tidy")),
        ("run the tests", "analyze", Some("test")),
        ("run the test suite", "manage", Some("test")),
        ("audit this repository", "analyze", Some("audit")),
        ("find secrets", "analyze", Some("audit")),
        ("check this repository for leaked secrets", "analyze", Some("audit")),
        ("which dependencies are unpinned", "analyze", Some("audit")),
        ("do the tests pass?", "analyze", Some("test")),
        ("please run rustfmt and clippy", "modify", Some("tidy")),
        ("tidy this repo and make sure the tests still pass", "modify", Some("tidy")),
        ("remove secrets from the config", "modify", None),
        ("remove duplicates from the list", "modify", None),
        ("build a login page", "create", None),
        ("what are the riskiest parts of this code", "analyze", Some("audit")),
        ("find broken links", "analyze", Some("audit")),
        ("add OAuth2 login", "create", None),
        ("fix the failing test", "fix", None),
        ("change the format of the log output", "modify", None),
        ("add a lint command to the CLI", "create", None),
        ("clean up the cache", "modify", None),
        ("store the client secret in the vault", "modify", None),
        ("write tests for the parser", "create", None),
        ("do not format anything, just refactor the parser", "modify", None),
        ("fix it", "fix", None),
        ("", "fix", None),
    ] {
        assert_eq!(chosen(text, Some((intent, 0.9))).as_deref(), wanted, "{text}");
        // Where the classifier abstains, words and facts must be enough, and must not choose anything else.
        assert_eq!(chosen(text, None).as_deref(), wanted, "without an intent: {text}");
        // A wrong intent must not make up for words that are about something else.
        for wrong in ["modify", "fix", "analyze", "manage"] {
            if wanted.is_none() {
                assert_eq!(chosen(text, Some((wrong, 1.0))), None, "as {wrong}: {text}");
            }
        }
    }
}

#[test]
fn a_playbook_whose_facts_are_false_is_never_chosen() {
    let playbooks = builtin();
    let choice = choose(&playbooks, "run the tests", Some(("analyze", 1.0)), &Facts { files: 3, ..Facts::default() });
    assert_eq!(choice.chosen, None);
    let test = choice.matches.iter().find(|one| one.name == "test").unwrap();
    assert!(!test.eligible && test.score >= CHOSEN_SCORE_MIN);
    assert!(test.reasons.iter().any(|reason| reason.contains("does not fit")), "{:?}", test.reasons);
}

#[test]
fn equal_scores_are_ordered_by_name() {
    let text = |name: &str| {
        format!(
            "version = 1\nname = \"{name}\"\n[match]\nwords = [\"go\", \"bake\"]\n[[tasks]]\nid = \"a\"\ncommand = [\"a\"]\n"
        )
    };
    let playbooks = [parse("b", &text("b")).unwrap(), parse("a", &text("a")).unwrap()];
    let choice = choose(&playbooks, "bake", None, &Facts::default());
    assert_eq!(choice.chosen.as_deref(), Some("a"));
    assert_eq!(choice.matches.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_workspace_brings_playbooks_but_takes_no_name_and_breaks_nothing() {
    let brought = |file: &str, text: &str| crate::core::facts::ProjectPlaybook {
        skill: false,
        own: false,
        file: format!(".orchestrator/playbooks/{file}"),
        text: text.to_owned(),
    };
    let good = "version = 1\nname = \"greet\"\nabout = \"Says hello\"\n[match]\nwords = [\"greet\"]\n\
                [[tasks]]\nid = \"hello\"\ncommand = [\"true\"]\n";
    let facts = Facts {
        playbooks: vec![
            brought("a.toml", &good.replace("greet", "tidy")),
            brought("b.toml", "version = 1\nname = \"b\"\nabuot = 1\n"),
            brought("c.toml", good),
            brought("d.toml", good),
        ],
        ..rust_facts()
    };
    let known = builtin();
    let (playbooks, problems) = with_project(&known, &facts);
    assert_eq!(playbooks.len(), known.len() + 1);
    let greet = playbooks.last().unwrap();
    assert!(greet.derived && greet.name == "greet" && greet.file() == ".orchestrator/playbooks/c.toml");
    assert!(playbooks.iter().find(|playbook| playbook.name == "tidy").is_some_and(|tidy| !tidy.derived));
    let plan = expand(greet, &BTreeMap::new(), &facts).unwrap();
    assert!(plan.tasks.iter().all(|task| task.extras().derived), "its tasks need trust");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("a.toml: the name tidy is that of a built-in playbook"), "{problems:?}");
    assert!(problems[1].contains("b.toml:3: "), "{problems:?}");
    assert!(problems[2].contains("d.toml: the name greet is that of .orchestrator/playbooks/c.toml"), "{problems:?}");

    // Its name alone means it, whatever the words say.
    assert_eq!(choose(&playbooks, " Greet\n", None, &facts).chosen.as_deref(), Some("greet"));
    assert_eq!(choose(&known, "greet", None, &facts).chosen, None);
}
