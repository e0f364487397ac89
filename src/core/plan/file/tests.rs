//! Plans good and bad. Every rule has a plan that breaks it, with what a person is told.

use super::*;
use crate::core::plan::spec::{Effect, Kind, Priority, Retry, Work};

/// What is told about a TOML plan that is refused, without the file's name.
fn told(text: &str) -> String {
    parse(text, None).map(|parsed| parsed.plan).expect_err("the plan is bad").to_string()
}

/// The same for the fields of one shell task.
fn told_of_task(fields: &str) -> String {
    told(&format!("version = 1\n[[tasks]]\nid = \"a\"\n{fields}\n"))
}

#[track_caller]
fn says(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
}

const FULL: &str = r#"
version = 1
title = "Move auth to OAuth2"
strategy = "hierarchical"
coordination = "leader_follower"
max_parallel = 4
on_failure = "stop"
budget = { usd = 5.0, tokens = 2000000, minutes = 90, spawns = 20 }
verify = [["cargo","test","--offline"]]

[[tasks]]
id = "tokens"
title = "Token refresh"
kind = "agent"
type = "refactoring"
prompt = "Refresh tokens"
needs = ["schema", "T-12"]
parent = "auth"
milestone = "M1"
capabilities = ["rust"]
prefers = ["security"]
specializations = ["auth"]
writes = ["src/auth/**"]
reads = ["src/**"]
verify = [["cargo","test","auth"]]
effect = "workspace"
retry = { max = 5 }
fallback = ["skill:x","agent:codex"]
estimate_s = 600
timeout_s = 3600.5
silence_s = 600
idempotent = true
batch = true
resources = ["db"]
priority = "high"
environment = "staging"
cwd = "crates/auth"
env = { RUST_LOG = "info" }
agent = "codex"

[[tasks]]
id = "schema"
command = ["make", "schema"]
verify = [["cargo","test","auth"]]

[[tasks]]
id = "auth"
playbook = "tidy"
params = { path = "src", deep = true, times = 3 }

[[tasks]]
id = "ship"
run = "./deploy && ./notify"
effect = "external"
needs = ["tokens"]
compensate = { command = ["./undeploy"], probe = ["./is-deployed"] }

[[tasks]]
id = "ask"
question = "Ship it?"
options = ["yes", "no"]
criticality = 0.8
"#;

#[test]
fn a_plan_with_every_field() {
    let Parsed { plan, graph, external, warnings } = parse(FULL, Some("plan.toml")).unwrap();
    assert_eq!(plan.title, "Move auth to OAuth2");
    assert_eq!((plan.strategy, plan.coordination), (Strategy::Hierarchical, Coordination::LeaderFollower));
    assert_eq!((plan.max_parallel, plan.on_failure), (Some(4), OnFailure::Stop));
    let budget = Budget { usd: Some(5.0), tokens: Some(2_000_000), minutes: Some(90.0), spawns: Some(20) };
    assert_eq!(plan.budget, budget);
    assert_eq!(plan.verify, [["cargo", "test", "--offline"]]);
    let [tokens, schema, auth, ship, ask] = &plan.tasks[..] else { panic!("five tasks") };
    assert_eq!((&*tokens.name, tokens.title(), tokens.type_word()), ("tokens", "Token refresh", "refactoring"));
    assert_eq!((tokens.kind(), &tokens.needs[..]), (Kind::Agent, &[1][..]));
    let extras = tokens.extras();
    assert_eq!((extras.parent, extras.milestone.as_deref()), (Some(2), Some("M1")));
    assert_eq!((&extras.capabilities, &extras.prefers), (&vec!["rust".to_owned()], &vec!["security".to_owned()]));
    assert_eq!(extras.specializations, ["auth"]);
    assert_eq!(extras.writes.as_deref(), Some(&["src/auth/**".to_owned()][..]));
    assert_eq!(extras.reads, ["src/**"]);
    assert_eq!(extras.retry, Some(Retry { max: 5, base_s: 1.0, cap_s: 30.0 }));
    assert_eq!(extras.fallback, ["skill:x", "agent:codex"]);
    assert_eq!((extras.estimate_s, extras.timeout_s, extras.silence_s), (Some(600.0), Some(3600.5), Some(600.0)));
    assert!(extras.idempotent && extras.batch && !extras.derived);
    assert_eq!((&extras.resources[..], extras.priority), (&["db".to_owned()][..], Some(Priority::High)));
    assert_eq!((extras.environment.as_deref(), extras.cwd.as_deref()), (Some("staging"), Some("crates/auth")));
    assert_eq!((extras.env["RUST_LOG"].as_str(), extras.agent.as_deref()), ("info", Some("codex")));
    assert_eq!(schema.work, Work::Command(vec!["make".into(), "schema".into()]));
    assert!(schema.extras.is_none(), "a plain task has no box");
    assert!(Arc::ptr_eq(tokens.verify.as_ref().unwrap(), schema.verify.as_ref().unwrap()), "shared");
    let Work::Playbook { name, params } = &auth.work else { panic!("{:?}", auth.work) };
    assert_eq!((name.as_str(), params.len()), ("tidy", 3));
    assert_eq!((params["deep"].as_str(), params["times"].as_str()), ("true", "3"));
    assert_eq!((ship.effect, &ship.work), (Effect::External, &Work::Run("./deploy && ./notify".into())));
    assert_eq!(ship.extras().compensate.as_ref().unwrap().probe.as_deref(), Some(&["./is-deployed".to_owned()][..]));
    assert_eq!(ask.kind(), Kind::Decision);
    assert_eq!(external, [(0, TaskId(12))]);
    assert_eq!(warnings, []);
    assert_eq!(graph.levels(), [1, 0, 0, 2, 0]);
}

#[test]
fn json_and_toml_and_a_value_give_the_same_plan() {
    let table: toml::Table = FULL.parse().unwrap();
    let value = serde_json::to_value(table).unwrap();
    let expected = parse(FULL, None).unwrap();
    assert_eq!(from_value(&value).unwrap(), expected);
    assert_eq!(from_json(&value.to_string()).unwrap(), expected);
    assert_eq!(parse(&format!("\u{feff}\n {value:#}\n"), Some("plan.toml")).unwrap(), expected, "told by its brace");
    assert_eq!(check(&expected.plan).unwrap().graph, expected.graph);
}

#[test]
fn null_is_an_absent_field_and_escapes_are_read() {
    let plan =
        r#"{"version":1,"title":null,"tasks":[{"id":"\u0061","run":"a\nb","writes":null,"needs":null,"parent":null}]}"#;
    let plan = from_json(plan).unwrap().plan;
    assert_eq!((&*plan.tasks[0].name, &plan.tasks[0].work), ("a", &Work::Run("a\nb".into())));
    assert!(plan.tasks[0].extras.is_none());
}

#[test]
fn text_that_is_no_plan() {
    says(&told(" \n"), &["the plan is empty", "version = 1"]);
    says(&told("version = 1\ntasks = [\n"), &["line 2: not TOML: "]);
    let two = parse("a = = 1\nb = \"\nversion = 1\n", Some("p.toml")).unwrap_err();
    assert!(two.problems.len() >= 2, "all mistakes are told: {two}");
    says(&two.to_string(), &["p.toml:1: not TOML", "p.toml:2: not TOML"]);
    says(&told("{\"version\": 1,\n \"tasks\": [}"), &["line 2: not JSON: expected value"]);
    let error = from_json("{\"version\": 1, \"tasks\": []} x").unwrap_err();
    assert_eq!((error.first().line, error.first().column), (Some(1), Some(29)));
    says(
        &parse("[]", Some("plan.json")).unwrap_err().to_string(),
        &["plan.json:1: a plan is an object with `version`"],
    );
    says(&from_value(&serde_json::json!(3)).unwrap_err().to_string(), &["a plan is an object"]);
    says(&told(&format!("{{\"version\":1,\"tasks\":{}", "[".repeat(100_000))), &["not JSON: recursion limit"]);
}

#[test]
fn version_is_required_and_told_first() {
    let no_version = "titel = 1\n[[tasks]]\nid = \"a\"\nrun = \"true\"\n";
    let error = parse(no_version, None).unwrap_err();
    says(&error.first().to_string(), &["`version` is missing", "write version = 1"]);
    assert_eq!(error.problems.len(), 2);
    says(
        &told("version = 2\n[[tasks]]\nid = \"a\"\nrun = \"true\"\n"),
        &["line 1: version 2 is not known", "(version)"],
    );
    says(&told("version = \"1\"\n[[tasks]]\nid = \"a\"\nrun = \"true\"\n"), &["expected the number 1, found text"]);
    let many: String = (0..50).map(|i| format!("unknown_{i} = 1\n")).collect();
    let error = parse(&many, None).unwrap_err();
    says(&error.first().message, &["`version` is missing"]);
    assert_eq!((error.problems.len(), error.more), (PROBLEMS_MAX, 32), "50 fields, no version, no task");
    says(&error.to_string(), &["… and 32 more"]);
}

#[test]
fn unknown_fields_are_refused_with_the_nearest_name() {
    says(
        &told("version = 1\nstratgy = \"x\"\n[[tasks]]\nid = \"a\"\nrun = \"x\"\n"),
        &["line 2: unknown field \"stratgy\"; did you mean \"strategy\"? (stratgy)"],
    );
    for (field, hint) in [
        ("need = []", "\"needs\""),
        ("depends_on = []", "\"needs\""),
        ("timeout = 3", "\"timeout_s\""),
        ("Verify = []", "\"verify\""),
        ("retries = 3", "\"retry\""),
        ("capabilites = []", "\"capabilities\""),
        ("derived-from = 3", ""),
        ("derived = true", ""),
    ] {
        let told = told_of_task(&format!("run = \"true\"\n{field}"));
        let name = field.split(' ').next().unwrap();
        says(&told, &[&format!("line 5: task \"a\": unknown field {name:?}"), &format!("(tasks[0].{name})")]);
        assert_eq!(told.contains("did you mean"), !hint.is_empty(), "{told}");
        says(&told, &[hint]);
    }
    says(
        &told_of_task("run = \"x\"\nretry = { maximum = 3 }"),
        &["unknown field \"maximum\"", "\"max\"", "tasks[0].retry.maximum"],
    );
    says(&told_of_task("run = \"x\"\ncompensate = { comand = [\"x\"] }"), &["did you mean \"command\"?"]);
    says(
        &told("version = 1\nbudget = { token = 3 }\n[[tasks]]\nid = \"a\"\nrun = \"x\"\n"),
        &["\"tokens\"", "(budget.token)"],
    );
    says(
        &from_json(r#"{"version":1,"tasks":[{"id":"a","id":"b","run":"x"}]}"#).unwrap_err().to_string(),
        &["\"id\" is given twice"],
    );
    says(
        &from_json(r#"{"version":1,"version":1,"tasks":[{"id":"a","run":"x"}]}"#).unwrap_err().to_string(),
        &["\"version\" is given twice"],
    );
}

#[test]
fn wrong_types_name_the_field_and_what_was_expected() {
    for (fields, parts) in [
        ("run = 3", &["line 4: ", "expected text, found a whole number", "(tasks[0].run)"][..]),
        ("command = \"make all\"", &["as a list of texts, found text", "use `run`", "(tasks[0].command)"]),
        ("command = [\"make\", 1]", &["expected text, found a whole number", "(tasks[0].command[1])"]),
        ("run = \"x\"\nverify = [\"make\"]", &["found one command", "[[\"program\"", "line 5"]),
        ("run = \"x\"\nverify = [[\"make\"], \"x\"]", &["(tasks[0].verify[1])"]),
        ("run = \"x\"\nneeds = \"b\"", &["expected a list of task ids, found text"]),
        ("run = \"x\"\nneeds = [1]", &["(tasks[0].needs[0])"]),
        ("run = \"x\"\nwrites = [true]", &["expected text, found true or false", "(tasks[0].writes[0])"]),
        ("run = \"x\"\ntimeout_s = \"1h\"", &["expected a number, found text", "(tasks[0].timeout_s)"]),
        ("run = \"x\"\nestimate_s = 2020-01-01", &["expected a number, found a date"]),
        ("run = \"x\"\nidempotent = 1", &["expected true or false, found a whole number"]),
        ("run = \"x\"\nretry = 3", &["expected a table with `max`"]),
        ("run = \"x\"\nretry = { max = -1 }", &["-1 is below 0", "(tasks[0].retry.max)"]),
        ("run = \"x\"\nretry = { max = 1.5 }", &["expected a whole number, found a number"]),
        ("run = \"x\"\nenv = { A = 1 }", &["expected text", "write \"1\"", "(tasks[0].env.A)"]),
        (
            "run = \"x\"\neffect = \"extern\"",
            &["is not one of none, workspace, external", "did you mean \"external\"?"],
        ),
        ("run = \"x\"\npriority = \"nromal\"", &["did you mean \"normal\"?"]),
        ("run = \"x\"\nparent = 3", &["expected text", "(tasks[0].parent)"]),
    ] {
        let told = told_of_task(fields);
        says(&told, parts);
        assert_eq!(told.lines().count(), 1, "nothing that follows from it is told as well: {told}");
    }
    says(&told("version = 1\ntasks = 3\n"), &["line 2: expected a list of tasks, found a whole number (tasks)"]);
    says(&told("version = 1\ntasks = [3]\n"), &["task 1 of the plan: expected a table"]);
    let json = "{\"version\":1,\n\"tasks\":[{\"id\":\"a\",\"run\":\"x\"},\n null,\n {\"id\":\"é\",  \"run\":7}]}";
    let error = from_json(json).unwrap_err();
    let places: Vec<_> = error.problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places[..2], [(Some(3), Some(2)), (Some(4), Some(20))], "{error}");
    says(
        &from_json(r#"{"version":1,"tasks":{"a":{}}}"#).unwrap_err().to_string(),
        &["expected a list of tasks, found a table"],
    );
    says(&from_json(r#"{"version":1,"tasks":"a"}"#).unwrap_err().to_string(), &["found text"]);
    says(
        &from_json(r#"{"version":1,"budget":{"tokens":1e300},"tasks":[{"id":"a","run":"x"}]}"#)
            .unwrap_err()
            .to_string(),
        &["(budget.tokens)"],
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let text = "version = 1\n[[tasks]]\nid = \"a\"\nrnu = \"x\"\nrun = \"x\"\ntimeout_s = -1\n[[tasks]]\nid = \"b\"\nneeds = [\"c\"]\nrun = 3\n";
    let error = parse(text, Some("p.toml")).unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{error}");
    says(&lines[0], &["p.toml:4: task \"a\": unknown field \"rnu\""]);
    says(&lines[1], &["p.toml:10: task \"b\": expected text"]);
    says(&lines[2], &["p.toml:9: task \"b\": needs \"c\", which is not a task of this plan"]);
    says(&lines[3], &["p.toml:6: task \"a\": -1 is below 0"]);
}

#[test]
fn ids() {
    let forty = "a".repeat(40);
    for good in ["a", "0", "a_b-c9", &forty] {
        assert!(parse(&format!("version = 1\n[[tasks]]\nid = {good:?}\nrun = \"x\"\n"), None).is_ok(), "{good}");
    }
    let long = "a".repeat(41);
    for bad in ["", "A", "-a", "_a", "a b", "a.b", "é", "T-1", &long] {
        let told = told(&format!("version = 1\n[[tasks]]\nid = {bad:?}\nrun = \"x\"\n"));
        says(&told, &["is not an id; use at most 40 of a-z", "(tasks[0].id)"]);
    }
    says(&told("version = 1\n[[tasks]]\nrun = \"x\"\n"), &["task 1 of the plan: a task needs an `id`"]);
    let twice = "version = 1\n[[tasks]]\nid = \"a\"\nrun = \"x\"\n[[tasks]]\nid = \"a\"\nrun = \"x\"\n";
    says(&told(twice), &["line 6: task \"a\": the id is taken by tasks[0] already", "(tasks[1].id)"]);
}

#[test]
fn dangling_needs_name_the_nearest() {
    let plan = |needs: &str| {
        format!("version = 1\n[[tasks]]\nid = \"schema\"\nrun = \"x\"\n[[tasks]]\nid = \"b\"\nrun = \"x\"\n{needs}\n")
    };
    says(
        &told(&plan("needs = [\"schemas\"]")),
        &["line 8: task \"b\": needs \"schemas\", which is not", "did you mean \"schema\"?", "(tasks[1].needs[0])"],
    );
    says(&told(&plan("needs = [\"T-012\"]")), &["needs \"T-012\""]);
    says(
        &told(&plan("parent = \"shema\"")),
        &["is part of \"shema\", which is not", "did you mean \"schema\"?", "(tasks[1].parent)"],
    );
    says(&told(&plan("parent = \"T-1\"")), &["its parent T-1 is outside of this plan"]);
    let parsed = parse(&plan("needs = [\"T-7\", \"schema\", \"T-8\"]"), None).unwrap();
    assert_eq!(parsed.external, [(1, TaskId(7)), (1, TaskId(8))]);
    assert_eq!(parsed.plan.tasks[1].needs, [0]);
}

#[test]
fn needs_keep_their_order_whether_above_or_below() {
    let text = r#"{"version":1,"tasks":[{"id":"a","run":"x"},{"id":"b","run":"x","parent":"d","needs":["d","a","T-1","c"]},
        {"id":"c","run":"x"},{"id":"d","run":"x"}]}"#;
    let plan = from_json(text).unwrap().plan;
    assert_eq!(plan.tasks[1].needs, [3, 0, 2]);
    assert_eq!(plan.tasks[1].extras().parent, Some(3));
}

#[test]
fn a_cyclic_plan_names_the_path() {
    let task = |id: &str, needs: &str| format!("[[tasks]]\nid = {id:?}\nrun = \"x\"\nneeds = {needs}\n");
    let text = format!(
        "version = 1\n{}{}{}{}",
        task("a", "[]"),
        task("b", "[\"d\"]"),
        task("c", "[\"b\"]"),
        task("d", "[\"a\", \"c\"]")
    );
    let error = parse(&text, None).unwrap_err();
    assert_eq!((error.problems.len(), error.first().code, error.first().code.as_str()), (1, Code::Cycle, "CYCLE"));
    let expected = "line 9: task \"b\": in a circle: \"b\" needs \"d\" needs \"c\" needs \"b\"; take one of these needs away (tasks[1].needs)";
    assert_eq!(error.to_string(), expected);
    let itself = parse(&format!("version = 1\n{}", task("a", "[\"a\"]")), None).unwrap_err();
    says(&itself.to_string(), &["in a circle: \"a\" needs \"a\""]);
    let ring: Vec<_> = (0..1000)
        .map(|i| serde_json::json!({"id": format!("t{i}"), "run": "x", "needs": [format!("t{}", (i + 1) % 1000)]}))
        .collect();
    let error = from_value(&serde_json::json!({"version": 1, "tasks": ring})).unwrap_err();
    says(&error.to_string(), &["\"t0\" needs \"t1\" needs", "(900 more) … needs \"t0\""]);
    let parents = "version = 1\n[[tasks]]\nid = \"a\"\nrun = \"x\"\nparent = \"b\"\n[[tasks]]\nid = \"b\"\nrun = \"x\"\nparent = \"a\"\n";
    let error = parse(parents, None).unwrap_err();
    assert_eq!(error.first().code, Code::Cycle);
    says(&error.to_string(), &["\"a\" is part of \"b\" is part of \"a\""]);
}

#[test]
fn ten_levels_of_parents_are_kept_and_flagged() {
    // The deepest first, so that no order of the file is relied on.
    let tasks: Vec<_> = (1..=10)
        .rev()
        .map(|level| match level {
            1 => serde_json::json!({"id": "l1", "run": "x"}),
            _ => serde_json::json!({"id": format!("l{level}"), "run": "x", "parent": format!("l{}", level - 1)}),
        })
        .collect();
    let parsed = from_value(&serde_json::json!({"version": 1, "tasks": tasks})).unwrap();
    assert_eq!(parsed.plan.tasks.len(), 10);
    let [Warning { kind: WarningKind::TooDeep, tasks, message }] = &parsed.warnings[..] else {
        panic!("{:?}", parsed.warnings)
    };
    assert_eq!(tasks, &[0, 1, 2, 3, 4], "levels 10 to 6");
    says(message, &["5th level", "l10, l9, l8, l7, l6"]);
}

#[test]
fn work_must_be_one_thing_and_fit_the_kind() {
    for (fields, parts) in [
        ("title = \"x\"", &["nothing to do is given; give one of command, run, prompt"][..]),
        ("kind = \"agent\"", &["nothing to do is given; an agent task has `prompt`"]),
        ("run = \"x\"\ncommand = [\"x\"]", &["only one of command, run can be what the task does"]),
        (
            "kind = \"agent\"\nrun = \"x\"",
            &["kind \"agent\" does not fit `run`", "kind = \"shell\"", "(tasks[0].kind)"],
        ),
        ("kind = \"shel\"\nrun = \"x\"", &["did you mean \"shell\"?"]),
        ("command = []", &["the command is empty", "(tasks[0].command)"]),
        ("command = [\"\"]", &["the command is empty"]),
        ("command = [\"a\", \"\\u0000\"]", &["NUL"]),
        ("run = \" \"", &["`run` is empty"]),
        ("playbook = \"\"", &["`playbook` is empty"]),
        ("run = \"x\"\nparams = {}", &["`params` belongs to a `playbook`", "(tasks[0].params)"]),
        ("run = \"x\"\noptions = [\"a\", \"b\"]", &["`options` belongs to a `question`"]),
        ("run = \"x\"\nverify = [[]]", &["the command is empty", "(tasks[0].verify[0])"]),
        ("prompt = \"x\"", &["an agent task must say what it `writes`", "writes = []"]),
        ("prompt = \"x\"\ntimeout_s = 3", &["an agent task must say what it `writes`"]),
        ("prompt = \"\"\nwrites = []", &["`prompt` is empty"]),
        ("question = \"x?\"", &["needs options to choose from, not 0; give two to six"]),
        ("question = \"x?\"\noptions = [\"a\"]", &["not 1"]),
        ("question = \"x?\"\noptions = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"]", &["not 7"]),
        ("question = \"x?\"\noptions = [\"a\",\"a\"]", &["option \"a\" is empty or there already", "options[1]"]),
        ("question = \"x?\"\noptions = [\"a\",\"b\"]\ncriticality = 1.5", &["1.5 is not between 0 and 1"]),
    ] {
        let told = told_of_task(fields);
        says(&told, parts);
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let long = "é".repeat(201);
    says(&told_of_task(&format!("question = {long:?}\noptions = [\"a\", \"b\"]")), &["has 201 letters"]);
    assert!(parse("version = 1\n[[tasks]]\nid = \"a\"\nprompt = \"x\"\nwrites = []\n", None).is_ok());
}

#[test]
fn settings_out_of_bounds() {
    for (field, parts) in [
        ("timeout_s = -0.5", &["-0.5 is below 0", "(tasks[0].timeout_s)"][..]),
        ("silence_s = inf", &["inf is not a finite number"]),
        ("estimate_s = nan", &["NaN is not a finite number"]),
        ("estimate_s = 1e12", &["is above 1000000000"]),
        ("retry = { max = 101 }", &["101 further executions are too many"]),
        ("retry = { base_s = -1 }", &["-1 is below 0", "(tasks[0].retry.base_s)"]),
        ("retry = { base_s = 50 }", &["the longest delay 30 s is below the first, 50 s"]),
        ("compensate = { probe = [\"x\"] }", &["`compensate` needs a `command`"]),
        ("compensate = { command = [] }", &["the command is empty", "(tasks[0].compensate.command)"]),
        ("fallback = [\"codex\"]", &["is not a fallback", "agent:name", "(tasks[0].fallback[0])"]),
        ("fallback = [\"skill:\"]", &["is not a fallback"]),
        ("env = { \"A=B\" = \"x\" }", &["cannot be set in an environment"]),
        ("cwd = \"../x\"", &["leads out of the workspace", "(tasks[0].cwd)"]),
        ("cwd = \"/x\"", &["leads out of the workspace"]),
        ("writes = [\"src/**\", \"/etc/x\"]", &["names nothing inside the workspace", "(tasks[0].writes[1])"]),
        ("reads = [\"a/../../b\"]", &["(tasks[0].reads[0])"]),
        ("writes = [\"src/{a\"]", &["is not a glob"]),
        ("budget = { usd = -1 }", &["-1 is below 0", "(tasks[0].budget.usd)"]),
        ("sandbox = \"none\"", &["is not one of on, off", "(tasks[0].sandbox)"]),
    ] {
        let told = told_of_task(&format!("run = \"x\"\n{field}"));
        says(&told, parts);
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let plan = |top: &str| told(&format!("version = 1\n{top}\n[[tasks]]\nid = \"a\"\nrun = \"x\"\n"));
    says(&plan("max_parallel = 0"), &["at least one task must be able to run"]);
    says(&plan("max_parallel = 5000000000"), &["5000000000 is too large"]);
    says(&plan("budget = { usd = -1 }"), &["-1 is below 0", "(budget.usd)"]);
    says(&plan("budget = { minutes = inf }"), &["finite", "(budget.minutes)"]);
    says(&plan("verify = [[]]"), &["the command is empty", "(verify[0])"]);
    says(&plan("on_failure = \"halt\""), &["is not one of continue, stop"]);
    for empty in ["version = 1\n", "version = 1\ntasks = []\n", "{\"version\": 1, \"tasks\": null}"] {
        let told = told(empty);
        says(&told, &["a plan needs at least one task"]);
        assert_eq!(told.lines().count(), 1);
    }
}

#[test]
fn an_external_effect_without_a_way_back_needs_approval() {
    let text =
        "version = 1\n[[tasks]]\nid = \"a\"\nrun = \"x\"\n[[tasks]]\nid = \"b\"\nrun = \"x\"\neffect = \"external\"\n";
    let warnings = parse(text, None).unwrap().warnings;
    let [Warning { kind: WarningKind::NeedsApproval, tasks, message }] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(tasks, &[1]);
    says(message, &["needs approval: b"]);
}

#[test]
fn plans_from_elsewhere_pass_the_same_checks() {
    let task = |name: &str, needs: &[u32]| {
        let mut task = crate::core::plan::spec::TaskSpec::new(name, Work::Run("x".into()));
        task.needs = needs.to_vec();
        task
    };
    let plan = |tasks: Vec<_>| Plan { tasks, ..Plan::default() };
    assert_eq!(check(&plan(vec![task("a", &[]), task("b", &[0, 0])])).unwrap().graph.levels(), [0, 1]);
    let refused = |tasks: Vec<_>| check(&plan(tasks)).unwrap_err();
    says(&refused(vec![]).to_string(), &["at least one task"]);
    says(&refused(vec![task("a", &[]), task("a", &[])]).to_string(), &["the id is taken by tasks[0]"]);
    says(&refused(vec![task("a", &[7])]).to_string(), &["needs task 7, and there are 1 (tasks[0].needs[0])"]);
    assert_eq!(refused(vec![task("a", &[1]), task("b", &[0])]).first().code, Code::Cycle);
    let mut orphan = task("a", &[]);
    orphan.extras_mut().parent = Some(9);
    says(&refused(vec![orphan]).to_string(), &["its parent is task 9"]);
    let mut agent = task("a", &[]);
    agent.work = Work::Prompt("x".into());
    says(&refused(vec![agent]).to_string(), &["must say what it `writes`"]);
}

/// A plan of `n` tasks, each needing up to three above it and one below. About 100 bytes a task.
fn large_json(n: u32) -> String {
    use std::fmt::Write;
    let mut text = String::from("{\"version\":1,\"tasks\":[");
    for i in 0..n {
        let comma = if i == 0 { "" } else { "," };
        write!(text, "{comma}{{\"id\":\"t{i}\",\"command\":[\"/bin/true\",\"{i}\"],\"needs\":[").unwrap();
        if i > 10 {
            write!(text, "\"t{}\",\"t{}\",\"t{}\"", i - 1, i / 2, i - 10).unwrap();
        }
        text.push_str("]}");
    }
    text + "]}"
}

#[test]
fn a_hundred_thousand_tasks() {
    let parsed = from_json(&large_json(100_000)).unwrap();
    assert_eq!((parsed.plan.tasks.len(), parsed.graph.edge_count()), (100_000, 3 * (100_000 - 11)));
    assert!(std::mem::size_of_val(&parsed.plan.tasks[0]) <= 200, "tasks stay small");
}

#[test]
fn a_mistake_at_the_end_of_a_large_plan_has_its_line() {
    let bad = large_json(10_000).replace("\"/bin/true\",\"9999\"", "\"/bin/true\",\n7");
    let error = from_json(&bad).unwrap_err();
    assert_eq!((error.problems.len(), error.first().line), (1, Some(2)), "{error}");
    assert_eq!(error.first().field.as_deref(), Some("tasks[9999].command[1]"));
}

/// Damaged plans, seeded: each is read or refused with a reason, and a line that exists.
#[test]
fn damaged_plans_are_refused_and_nothing_else() {
    let mut seeded = crate::core::graph::tests::Seeded(8);
    let json = serde_json::to_string_pretty(&FULL.parse::<toml::Table>().unwrap()).unwrap();
    let (mut good, mut bad) = (0, 0);
    for round in 0..600 {
        let mut text = if round % 2 == 0 { FULL } else { &json }.as_bytes().to_vec();
        for _ in 0..1 + seeded.below(3) {
            let at = seeded.below(text.len() as u64) as usize;
            let to = (at + seeded.below(30) as usize).min(text.len());
            match seeded.below(4) {
                0 => drop(text.drain(at..to)),
                1 => text[at] = b"\"[]{}=,:-1aT\n "[seeded.below(14) as usize],
                2 => {
                    let copy = text[at..to].to_vec();
                    text.splice(at..at, copy);
                }
                _ => text.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().count() as u32;
        match parse(&text, Some("plan")) {
            Ok(parsed) => {
                good += 1;
                assert_eq!(check(&parsed.plan).unwrap().graph, parsed.graph);
            }
            Err(error) => {
                bad += 1;
                assert!(!error.problems.is_empty() && error.problems.len() <= PROBLEMS_MAX);
                assert!(error.problems.iter().all(|problem| problem.line.is_none_or(|line| line <= lines + 1)));
                assert!(
                    error.problems.iter().all(|problem| problem.field.is_none()
                        || problem.line.is_some()
                        || ["version", "tasks"].contains(&problem.field.as_deref().unwrap_or_default())),
                    "{error}\n{text}"
                );
            }
        }
    }
    assert!(good > 20 && bad > 300, "{good} good and {bad} bad");
}

#[test]
fn one_task_that_needs_a_hundred_thousand_below_it() {
    let names: Vec<String> = (0..100_000).map(|i| format!("t{i}")).collect();
    let mut tasks = vec![serde_json::json!({"id": "last", "run": "x", "needs": names})];
    tasks.extend(names.iter().map(|name| serde_json::json!({"id": name, "run": "x"})));
    let plan = from_value(&serde_json::json!({"version": 1, "tasks": tasks})).unwrap().plan;
    assert!(plan.tasks[0].needs.iter().copied().eq(1..=100_000));
}

#[test]
fn ten_thousand_tasks_of_toml() {
    let task = |i: u32| format!("[[tasks]]\nid = \"t{i}\"\nrun = \"true\"\nneeds = [\"t{}\"]\n", (i + 1).min(9_999));
    let last = "[[tasks]]\nid = \"t9999\"\nrun = \"true\"\n";
    let text = format!("version = 1\n{}{last}", (0..9_999).map(task).collect::<String>());
    let parsed = parse(&text, None).unwrap();
    assert_eq!((parsed.plan.tasks.len(), parsed.graph.level_lists().len()), (10_000, 10_000));
}
