//! Requests in.

use expect_test::expect;
use serde_json::{Value, json};

use super::world::World;
use crate::{
    api::{
        ApiError, Code,
        decision::{Answerer, AnswererKind, Surface},
        request::parse_request,
    },
    core::{
        Command, Rejection,
        plan::{
            playbook,
            spec::{Strategy, Work},
        },
    },
    daemon::convert::{answer, process_request, rejection, submit_task},
    ids::{DecisionId, TaskId},
    time::Timestamp,
};

fn read(value: Value) -> Result<crate::core::run::Request, ApiError> {
    World::new().given(|given| process_request(parse_request(value)?, given))
}

fn submitted(value: Value) -> Result<Command, ApiError> {
    let mut world = World::new();
    world.settings.playbooks = playbook::builtin();
    world.given(|given| submit_task(parse_request(value)?, given))
}

fn told(error: ApiError) -> String {
    let field = error.field.unwrap_or_default();
    format!("{} {field}\n{}\n-> {}\n", error.code.name(), error.message, error.hint)
}

#[test]
fn the_specifications_example_is_taken_whole() {
    let request = read(json!({
        "description": "Refactor authentication system to use OAuth2",
        "context": {"project": "web-app", "language": "python", "team": "core", "environment": "staging"},
        "priority": "high",
        "constraints": {"deadline": "2025-12-31", "maintain_compatibility": true, "offline": false, "colour": "blue"},
        "preferences": {"interaction": "minimal", "planner": "none", "agents": ["codex"]},
        "key": "k1", "jobs": 3,
    }))
    .unwrap();
    expect![[r#"
        {
          "description": "Refactor authentication system to use OAuth2",
          "checkout": "/home/ada/web",
          "priority": "high",
          "mode": "start",
          "interaction": "minimal",
          "approve_plan": "auto",
          "environment": "staging",
          "jobs": 3,
          "deadline": 1767225599999,
          "unenforced": [
            "colour",
            "preferences.agents"
          ],
          "key": "k1",
          "trust": false,
          "planner": "none",
          "context": {
            "constraints": {
              "colour": "blue",
              "deadline": "2025-12-31",
              "maintain_compatibility": true,
              "offline": false
            },
            "language": "python",
            "preferences": {
              "agents": [
                "codex"
              ],
              "interaction": "minimal",
              "planner": "none"
            },
            "project": "web-app",
            "team": "core"
          },
          "env": {
            "PATH": "/bin"
          }
        }
    "#]]
    .assert_eq(&super::world::wire(&request));
}

#[test]
fn a_plan_comes_as_text_or_object_and_takes_the_requests_limits() {
    let text = "version = 1\ntitle = \"Tidy\"\nbudget = { usd = 5.0 }\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";
    let request = read(json!({
        "plan": text,
        "constraints": {"max_cost_usd": 2.0, "max_minutes": 10, "verify": [["make", "check"]]},
        "preferences": {"strategy": "sequential"},
    }))
    .unwrap();
    let plan = request.plan.unwrap();
    let budget = plan.budget.within(&request.budget);
    assert_eq!((budget.usd, budget.minutes), (Some(2.0), Some(10.0)));
    assert_eq!(request.strategy, Some(Strategy::Sequential));
    assert_eq!(plan.verify, [["make", "check"]]);
    assert_eq!((request.description.as_str(), request.plan_source.as_deref()), ("Tidy", Some("client")));
    // The plan's own checks are run and the time is watched: only the money is not.
    assert_eq!(request.unenforced, ["max_cost_usd"]);
    let object = read(json!({"plan": {"version": 1, "tasks": [{"id": "a", "run": "true"}]}})).unwrap();
    assert_eq!(object.description, "A plan of 1 task");
    let unplanned = read(json!({"description": "x", "constraints": {"verify": [["make"]]}})).unwrap();
    // Words alone: every change that they lead to must pass it.
    assert_eq!((unplanned.unenforced.len(), unplanned.verify), (0, vec![vec!["make".to_owned()]]));
}

#[test]
fn a_bad_plan_is_refused_with_its_place() {
    let refused = |plan: Value| told(read(json!({"description": "x", "plan": plan})).unwrap_err());
    let circle = json!({"version": 1, "tasks": [
        {"id": "a", "command": ["x"], "needs": ["b"]}, {"id": "b", "command": ["x"], "needs": ["a"]}]});
    let outside = json!({"version": 1, "tasks": [{"id": "a", "command": ["x"], "needs": ["T-7"]}]});
    let several = "version = 1\n[[tasks]]\nid = \"a\"\ncomand = [\"x\"]\n[[tasks]]\nid = \"A\"\ncommand = [\"x\"]\n";
    let all: String = [circle, outside, json!(several), json!("{ not json"), json!(3)].map(refused).concat();
    expect![[r#"
        CYCLE plan.tasks[0].needs
        task "a": in a circle: "a" needs "b" needs "a"
        -> take one of these needs away
        INVALID plan.tasks[0].needs
        task "a" needs T-7, which is not a task of this plan
        -> name a task of the plan by its id; to add to the run of T-7, submit single tasks to it
        INVALID plan.tasks[0].comand
        line 4: task "a": unknown field "comand"
        line 2: task "a": nothing to do is given; give one of command, run, prompt, playbook, question
        line 6: task "A": "A" is not an id; use at most 40 of a-z, 0-9, _ and -, the first a letter or a digit
        -> did you mean "command"?
        INVALID plan
        line 1: not JSON: key must be a string
        -> 
        INVALID plan
        `plan` must be text or an object
        -> send the content of a plan file as text, or the plan as an object with `version` and `tasks`
    "#]]
    .assert_eq(&all);
}

#[test]
fn bad_constraints_name_their_field() {
    let error = read(json!({"description": "x", "constraints": {"deadline": "soon"}})).unwrap_err();
    assert_eq!((error.code, error.field.as_deref()), (Code::Invalid, Some("constraints.deadline")));
    let request = json!({"plan": {"version": 1, "tasks": [{"id": "a", "run": "true"}]},
        "constraints": {"verify": [["make"], []]}});
    assert_eq!(read(request).unwrap_err().field.as_deref(), Some("constraints.verify[1]"));
}

#[test]
fn a_task_is_made_of_its_parameters() {
    let made = |value: Value| match submitted(value).unwrap() {
        Command::SubmitTask { spec, dependencies, run, request } => (spec, dependencies, run, request),
        other => panic!("{other:?}"),
    };
    let (spec, dependencies, _, request) = made(json!({
        "type": "refactoring", "description": "Tidy the kitchen\nnow", "key": "k",
        "parameters": {"command": ["tidy"], "verify": [["check"]], "timeout_s": 60, "needs": ["T-3"]},
        "dependencies": ["T-2"],
    }));
    assert_eq!((&*spec.name, &*spec.title, spec.type_word()), ("tidy-the-kitchen", "Tidy the kitchen", "refactoring"));
    assert_eq!(spec.extras().timeout_s, Some(60.0));
    assert_eq!(dependencies, [TaskId(2), TaskId(3)]);
    assert_eq!((request.key.as_deref(), request.env.len()), (Some("k"), 1));
    let (spec, ..) = made(json!({"type": "testing", "description": "Write tests"}));
    assert!(matches!(&spec.work, Work::Prompt(text) if text == "Write tests"), "{:?}", spec.work);
    // It may write anything, so nothing else that writes runs beside it.
    assert_eq!(spec.extras().writes.as_deref(), Some(&["**".to_owned()][..]));
    let (spec, ..) = made(json!({"type": "decision_making", "description": "Which colour?",
        "parameters": {"options": ["Red", "Blue"]}}));
    assert!(matches!(&spec.work, Work::Question { question, .. } if question == "Which colour?"));
    let (spec, ..) = made(json!({"type": "workflow_execution", "description": "Tidy up",
        "parameters": {"playbook": "tidy"}}));
    assert!(matches!(&spec.work, Work::Playbook { name, .. } if name == "tidy"));
    let (spec, ..) = made(json!({"type": "skill_execution", "description": "x", "workflow_id": "R-1",
        "parameters": {"skill": "bump", "args": {"part": "minor", "times": 2}}}));
    let Work::Playbook { name, params } = &spec.work else { panic!("{:?}", spec.work) };
    assert_eq!((name.as_str(), params["part"].as_str(), params["times"].as_str()), ("skill:bump", "minor", "2"));
    let (spec, ..) = made(json!({"type": "skill_execution", "description": "x", "parameters": {"run": "a | b"}}));
    assert!(matches!(&spec.work, Work::Run(line) if line == "a | b"));
}

#[test]
fn a_task_that_cannot_be_is_refused() {
    let refused = |value: Value| told(submitted(value).unwrap_err());
    let all: String = [
        json!({"type": "skill_execution", "description": "x", "parameters": {"skill": "lint"}}),
        json!({"type": "skill_execution", "description": "x"}),
        json!({"type": "workflow_execution", "description": "x", "parameters": {"playbook": "tidi"}}),
        json!({"type": "workflow_execution", "description": "x", "workflow_id": "R-1"}),
        json!({"type": "decision_making", "description": "Which?"}),
        json!({"type": "x", "description": "x", "parameters": {"command": "ls -l"}}),
        json!({"type": "x", "description": "x", "parameters": {"command": ["ls"], "comand": 1}}),
        json!({"type": "x", "description": "x", "parameters": {"command": ["ls"], "needs": ["other"]}}),
    ]
    .map(refused)
    .concat();
    expect![[r#"
        INVALID parameters.skill
        there is no skill "lint"
        -> the skills here are bump
        INVALID parameters.skill
        `parameters` names neither a skill nor a command
        -> send `parameters.skill` with a name, or `parameters.command` (a list) or `run` (shell)
        INVALID parameters.playbook
        there is no playbook "tidi"
        -> did you mean "tidy"?
        INVALID parameters.playbook
        `parameters.playbook` must name a playbook
        -> the playbooks here are audit, test, tidy
        INVALID parameters.options
        a question needs options to choose from, not 0
        -> give two to six
        INVALID parameters.command
        expected a command as a list of texts, found text
        -> write ["program", "argument"], or use `run` for a line of shell
        INVALID parameters.comand
        unknown field "comand"
        -> did you mean "command"?
        INVALID parameters.needs[0]
        needs "other", which is not a task of this plan
        -> name tasks by their number, as T-42, in `dependencies`
    "#]]
    .assert_eq(&all);
}

#[test]
fn an_answer_says_who_gave_it() {
    let by = Answerer { kind: AnswererKind::Person, surface: Surface::McpForm, name: Some("Ada".into()) };
    let response = parse_request(json!({"choice": "allow", "text": "go"})).unwrap();
    match answer(DecisionId(1), response, &by).unwrap() {
        Command::Answer { choice, text, by, .. } => {
            assert_eq!((choice.as_str(), text.as_deref()), ("allow", Some("go")));
            assert_eq!(
                (by.kind.as_str(), by.surface.as_str(), by.name.as_deref()),
                ("person", "mcp_form", Some("Ada"))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_of_the_core_keep_their_words() {
    let by = crate::core::decide::decision::By { kind: "person".into(), surface: "lsp".into(), name: None };
    let decided = Rejection::AlreadyDecided { choice: "a".into(), by: Box::new(by), at: Timestamp(0) };
    let error = rejection(decided);
    assert_eq!(error.code, Code::AlreadyDecided);
    let by = &error.decided.as_ref().unwrap().by;
    assert_eq!((by.kind, by.surface), (AnswererKind::Person, Surface::Lsp));
    assert_eq!(error.message, "already decided by a person (lsp), 00:00 UTC: a");
    for (refusal, code) in [
        (Rejection::NotFound("task T-9".into()), Code::NotFound),
        (Rejection::Invalid("no".into(), "yes".into()), Code::Invalid),
        (Rejection::Cycle("a -> a".into()), Code::Cycle),
        (Rejection::Stale("old".into()), Code::Stale),
        (Rejection::NoLongerAsked("D-1 expired".into(), "ask anew".into()), Code::Stale),
    ] {
        let error = rejection(refusal);
        assert_eq!(error.code, code);
        assert!(!error.hint.is_empty(), "{error}");
    }
}
