//! Decisions out.

use expect_test::expect;
use serde_json::json;

use super::world::{World, wire};
use crate::{
    api::{
        Code,
        decision::{AnswererKind, DecisionStatus, Reversible},
    },
    core::{Command, Rejection, Reply, decide::decision::By},
    daemon::convert::*,
    ids::{DecisionId, RunId, TaskId},
};

fn by(kind: &str, name: Option<&str>) -> By {
    By { kind: kind.into(), surface: "cli".into(), name: name.map(str::to_owned) }
}

fn answer_as(world: &mut World, id: u32, choice: &str, by: By) -> Result<Reply, Rejection> {
    world.command(Command::Answer {
        decision: DecisionId(id),
        choice: choice.into(),
        text: None,
        by,
        remember: Default::default(),
    })
}

/// A deployment that needs permission, and a question; both in one run.
fn asking() -> World {
    let mut world = World::new();
    world.plan(json!([
        {"id": "deploy", "title": "Deploy", "command": ["deploy"], "effect": "external", "estimate_s": 30,
         "type": "deployment", "compensate": {"command": ["undeploy"]}},
        {"id": "after", "command": ["x"], "needs": ["deploy"], "estimate_s": 60},
        {"id": "colour", "question": "Which colour?", "options": ["Red", "Deep blue"], "estimate_s": 10},
    ]));
    world
}

#[test]
fn a_permission_is_shown_whole() {
    let world = asking();
    let pending = pending_decisions(&world.view());
    let permission =
        pending.decisions.iter().find(|decision| decision.kind == crate::api::decision::DecisionKind::Deploy);
    let permission = permission.unwrap();
    // 90 of 100 seconds wait for it, on the critical path, at normal priority.
    assert!((permission.urgency - (0.5 * 0.9 + 0.3 + 0.2 * 0.3)).abs() < 1e-9, "{}", permission.urgency);
    expect![[r#"
        {
          "decision_id": "D-2",
          "kind": "deploy",
          "type": "deployment",
          "question": "Deploy with T-1? Deploy",
          "detail": "`deploy` has effects outside the repository that git cannot take back. Its plan can take them back with `undeploy`.\n- rule prod-deploy (built-in:17) asks for what is not known: environment",
          "options": [
            {
              "id": "allow",
              "title": "Run it",
              "effect": "It runs once, now.",
              "reversible": true,
              "takes_text": false
            },
            {
              "id": "deny",
              "title": "Do not run it",
              "effect": "The task is cancelled; what needs it is blocked.",
              "reversible": true,
              "takes_text": false
            }
          ],
          "context": {
            "request_id": "R-1",
            "task_id": "T-1",
            "effects": [
              {
                "what": "deploy",
                "class": "external",
                "reversible": "compensable"
              }
            ]
          },
          "urgency": 0.81,
          "criticality": 0.7,
          "verdict": "none",
          "confidence": {
            "value": 0.245,
            "calibrated": false,
            "n": 0,
            "factors": {
              "context": 1.0,
              "historical": 0.0,
              "preferences": 0.0,
              "risk": 0.3,
              "rules": 0.0
            },
            "weights": {
              "context": 0.2,
              "historical": 0.3,
              "preferences": 0.1,
              "risk": 0.15,
              "rules": 0.25
            }
          },
          "why_asked": "missing:environment",
          "suggestions": [
            {
              "choice": "allow",
              "source": "context",
              "reason": "its plan can take it back with `undeploy`",
              "evidence": {
                "agree": 0,
                "n": 0
              },
              "score": 0.45
            }
          ],
          "rules_hit": [
            "prod-deploy"
          ],
          "policy_version": "none",
          "key": "328c02f67f466fa2bf73f23884bfb863",
          "blocks": [
            "T-1",
            "T-2"
          ],
          "created_at": "2026-11-23T12:00:00.002Z",
          "answerable_by": [
            "person"
          ],
          "remembers": {
            "sort": "run deploy",
            "options": [
              "deny"
            ]
          },
          "status": "open"
        }
    "#]].assert_eq(&wire(permission));
}

#[test]
fn the_most_urgent_comes_first_and_sessions_may_answer_what_is_harmless() {
    let world = asking();
    let pending = pending_decisions(&world.view());
    let kinds: Vec<_> =
        pending.decisions.iter().map(|decision| (decision.context.task_id, decision.answerable_by.len())).collect();
    assert_eq!(kinds, [(Some(TaskId(1)), 1), (Some(TaskId(3)), 2)]);
    assert!(pending.summary.starts_with("2 decisions are open, most urgent D-"), "{}", pending.summary);
    assert_eq!(pending_decisions(&World::new().view()).summary, "nothing waits for you");
}

#[test]
fn criticality_is_that_of_the_strictest_effect() {
    let of = |task: serde_json::Value, environment: Option<&str>| {
        let mut world = World::new();
        let mut request = json!({"description": "x", "plan": {"version": 1, "tasks": [task]}});
        if let Some(environment) = environment {
            request["context"] = json!({"environment": environment});
        }
        world.ask(request).unwrap();
        let known = world.view().decision(DecisionId(1)).unwrap();
        (criticality(&world.view(), known), person_only(&world.view(), known))
    };
    let deploy = |compensate: bool| {
        let mut task = json!({"id": "a", "command": ["x"], "effect": "external"});
        if compensate {
            task["compensate"] = json!({"command": ["y"]});
        }
        task
    };
    assert_eq!(of(deploy(true), None), (0.7, true));
    assert_eq!(of(deploy(false), None), (0.9, true));
    assert_eq!(of(deploy(true), Some("production")), (0.9, true));
    let question = json!({"id": "a", "question": "?", "options": ["a", "b"], "criticality": 0.2});
    assert_eq!(of(question, None), (0.2, false));
}

/// What its first answer and its effects say of taking back.
fn taking_back(world: &World, id: u32) -> (bool, Vec<Reversible>) {
    let decisions = pending_decisions(&world.view()).decisions;
    let shown = decisions.iter().find(|decision| decision.decision_id == DecisionId(id)).unwrap();
    assert!(shown.options.last().unwrap().reversible, "nothing happens then: {:?}", shown.options);
    (shown.options[0].reversible, shown.context.effects.iter().map(|effect| effect.reversible).collect())
}

#[test]
fn an_answer_and_the_effects_beside_it_say_the_same_of_taking_back() {
    let of = |task: serde_json::Value| {
        let mut world = World::new();
        world.plan(json!([task]));
        taking_back(&world, 1)
    };
    let deploy = json!({"id": "a", "command": ["x"], "effect": "external"});
    assert_eq!(of(deploy.clone()), (false, vec![Reversible::No]));
    let mut with_a_way_back = deploy;
    with_a_way_back["compensate"] = json!({"command": ["y"]});
    assert_eq!(of(with_a_way_back), (true, vec![Reversible::Compensable]));
    let question = json!({"id": "a", "question": "?", "options": ["a", "b"]});
    assert_eq!(of(question), (true, vec![Reversible::Yes]));
    let mut trust = World::new().with_tests();
    trust.ask(json!({"description": "x", "plan": {"version": 1, "tasks": [{"id": "a", "command": ["x"]}]}})).unwrap();
    assert_eq!(taking_back(&trust, 1), (false, vec![Reversible::No]));
}

#[test]
fn trust_stands_before_the_whole_run() {
    let mut world = World::new().with_tests();
    world.ask(json!({"description": "x", "plan": {"version": 1, "tasks": [{"id": "a", "command": ["x"]}]}})).unwrap();
    let response = process_response(&world.view(), RunId(1), false).unwrap();
    assert!(response.requires_approval);
    assert_eq!((response.decision_id, response.estimated_completion), (Some(DecisionId(1)), None));
    let shown = &pending_decisions(&world.view()).decisions[0];
    assert_eq!((shown.criticality, shown.blocks.as_slice()), (1.0, &[TaskId(1)][..]));
    assert!((shown.urgency - 0.86).abs() < 1e-9, "{}", shown.urgency);
    let status = task_status(&world.view(), crate::api::WorkId::Task(TaskId(1))).unwrap();
    assert_eq!(status.blocked_by, ["D-1"]);
    answer_as(&mut world, 1, "no", by("person", None)).unwrap();
    let result = decision_result(&world.view(), DecisionId(1), false).unwrap();
    assert_eq!(result.summary, "D-1 answered: Do not run them; R-1 is cancelled");
    assert!(result.unblocked.is_empty());
}

#[test]
fn an_answer_unblocks_and_a_late_one_hears_of_it() {
    let mut world = asking();
    world.hold("T-1.1");
    let id = pending_decisions(&world.view()).decisions[0].decision_id;
    answer_as(&mut world, id.0, "allow", by("person", Some("terminal"))).unwrap();
    let result = decision_result(&world.view(), id, false).unwrap();
    assert_eq!(
        (result.accepted, result.status, result.unblocked.as_slice()),
        (true, DecisionStatus::Answered, &[TaskId(1), TaskId(2)][..])
    );
    assert_eq!(result.summary, format!("{id} answered: Run it; 2 tasks go on"));
    assert_eq!(
        answer_as(&mut world, id.0, "allow", by("session", None)).unwrap(),
        Reply::Decided { decision: id, again: true }
    );
    assert!(decision_result(&world.view(), id, true).unwrap().summary.ends_with("nothing has changed"));
    let late = answer_as(&mut world, id.0, "deny", by("person", None)).unwrap_err();
    assert_eq!(rejection(late).code, Code::AlreadyDecided);
    let named = already_decided(&world.view(), id).unwrap();
    assert!(named.message.starts_with("already decided by terminal, 12:00 UTC: allow"), "{}", named.message);
    let reply = why(&world.view(), &id.to_string()).unwrap();
    assert!(reply.summary.starts_with(&format!("{id}: answered by terminal, 12:00 UTC")), "{}", reply.summary);
    assert_eq!(reply.decision.unwrap().answer.unwrap().by.kind, AnswererKind::Person);
}

#[test]
fn what_persons_answered_before_is_suggested() {
    let mut world = asking();
    let first = pending_decisions(&world.view()).decisions[0].clone();
    let [way_back] = first.suggestions.as_slice() else { panic!("{:?}", first.suggestions) };
    assert_eq!((way_back.choice.as_str(), way_back.evidence.n), ("allow", 0), "only what its plan says of it");
    answer_as(&mut world, first.decision_id.0, "allow", by("person", None)).unwrap();
    // The same plan again: other ids, the same question.
    world.plan(json!([{"id": "deploy", "title": "Deploy", "command": ["deploy"], "effect": "external",
        "type": "deployment", "compensate": {"command": ["undeploy"]}}]));
    let again = pending_decisions(&world.view())
        .decisions
        .into_iter()
        .find(|open| open.context.request_id == RunId(2))
        .unwrap();
    assert_eq!(again.key, first.key);
    let [suggestion] = again.suggestions.as_slice() else { panic!("{:?}", again.suggestions) };
    assert_eq!((suggestion.choice.as_str(), suggestion.evidence.agree, suggestion.evidence.n), ("allow", 1, 1));
    // What a session answers teaches nothing.
    let mut world = asking();
    let colour = pending_decisions(&world.view()).decisions[1].clone();
    answer_as(&mut world, colour.decision_id.0, "red", by("session", None)).unwrap();
    world.plan(json!([{"id": "colour", "question": "Which colour?", "options": ["Red", "Deep blue"]}]));
    let again = pending_decisions(&world.view())
        .decisions
        .into_iter()
        .find(|open| open.context.request_id == RunId(2))
        .unwrap();
    assert_eq!((again.key == colour.key, again.suggestions.len()), (true, 0));
}

#[test]
fn why_a_decision_is_asked() {
    let world = asking();
    let id = pending_decisions(&world.view()).decisions[0].decision_id;
    let reply = why(&world.view(), &id.to_string()).unwrap();
    let text: String = reply.reasons.iter().map(|reason| format!("{}\n", reason.text)).collect();
    expect![[r#"
        D-2: open, 2 tasks wait for it
        D-2 was asked: Deploy with T-1? Deploy
        D-2 is open: orchestrator decide D-2
        it stands before T-1 of R-1: Deploy
        it was asked because a rule goes by `environment`, which nobody named
        sort run deploy: no answers yet
        nothing like it was answered before
        factors: context 1.00 (weight 0.20), historical 0.00 (weight 0.30), preferences 0.00 (weight 0.10), risk 0.30 (weight 0.15), rules 0.00 (weight 0.25)
        rules that hold: prod-deploy
        its effect is of class external: deploy
        criticality 0.7: only a person may answer
        urgency 0.81; it blocks T-1, T-2
        allow may fit: its plan can take it back with `undeploy`
    "#]]
    .assert_eq(&format!("{}\n{text}", reply.summary));
}

#[test]
fn a_question_of_a_run_from_an_editor_has_its_place() {
    let mut world = World::new();
    let range = json!({"start": {"line": 3, "character": 0}, "end": {"line": 3, "character": 9}});
    let question = json!({"id": "colour", "question": "Which colour?", "options": ["Red", "Blue"]});
    let selection = json!({"uri": "file:///web/a.rs", "range": range, "text": "// colour"});
    world
        .ask(json!({"description": "paint it", "context": {"selection": selection},
            "plan": {"version": 1, "tasks": [question]}}))
        .unwrap();
    let anchor = pending_decisions(&world.view()).decisions[0].context.anchor.clone().unwrap();
    assert_eq!((anchor.uri.as_str(), anchor.range), ("file:///web/a.rs", range));
    let elsewhere = pending_decisions(&asking().view());
    assert!(elsewhere.decisions.iter().all(|decision| decision.context.anchor.is_none()));
}
