//! Events out.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::json;

use super::{house, world::World};
use crate::{
    api::{Event, EventType},
    core::{Command, State, job::End},
    daemon::convert::events,
    ids::{RunId, TaskId},
};

/// Every commit of a world, told as the daemon would: each with the state that it led to.
fn told(world: &World) -> Vec<Event> {
    let mut state = State::default();
    let mut all = Vec::new();
    for (position, at, stored) in &world.journal {
        for event in stored {
            state.evolve(*at, event);
        }
        all.extend(events(&state, *position, *at, stored));
    }
    all
}

/// One line per event: what it is, of what, and what else it says.
fn lines(events: &[Event]) -> String {
    let line = |event: &Event| {
        let mut data = serde_json::to_value(&event.data).unwrap();
        let fields = data.as_object_mut().unwrap();
        let task = fields.remove("task_id").map_or(String::new(), |task| format!(" {}", task.as_str().unwrap()));
        fields.remove("title");
        fields.remove("agent");
        // What is understood of a request is not this test's business.
        let understood = (fields.remove("intent"), fields.remove("complexity"));
        assert_eq!(understood.1.is_some(), event.kind == EventType::RunAnalyzed);
        let rest: Vec<String> = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{} {}{task}{}\n", event.revision, event.kind.name(), rest.concat())
    };
    events.iter().map(line).collect()
}

#[test]
fn a_run_is_told_from_beginning_to_end() {
    let mut world = World::new();
    world.end("T-3.1/v0", End::Exit(1), "test a ... FAILED\n");
    world.plan(house());
    expect![[r#"
        1 run.created description="Tidy the house"
        1 run.state_changed from="IDLE" percent=0.0 reason="start" to="ANALYZING"
        2 run.analyzed
        2 run.state_changed from="ANALYZING" percent=0.0 reason="plan" to="PLANNING"
        2 run.planned percent=0.0 source="client" tasks=4
        2 task.added T-1 tasks=4
        2 task.added T-2 tasks=4
        2 task.added T-3 tasks=4
        2 task.added T-4 tasks=4
        2 run.state_changed from="PLANNING" percent=0.0 reason="execute" to="EXECUTING"
        2 run.state_changed from="EXECUTING" percent=0.0 reason="monitor" to="MONITORING"
        3 attempt.claimed T-1 attempt="T-1.1"
        4 attempt.started T-1 attempt="T-1.1"
        5 attempt.ended T-1 attempt="T-1.1" end="exit:0" seconds=1.0
        5 task.completed T-1 percent=25.0
        5 task.ready T-2
        5 task.ready T-3
        5 attempt.claimed T-3 attempt="T-3.1" lane="L-3"
        5 attempt.claimed T-2 attempt="T-2.1" lane="L-4"
        10 check.finished command="check floor" on="base" passed=true seconds=1.0
        11 attempt.started T-3 attempt="T-3.1" lane="L-3"
        12 attempt.ended T-3 attempt="T-3.1" end="exit:0" lane="L-3" seconds=1.0
        13 attempt.started T-2 attempt="T-2.1" lane="L-4"
        14 attempt.ended T-2 attempt="T-2.1" end="exit:0" lane="L-4" seconds=1.0
        15 check.finished command="check house" on="base" passed=true seconds=1.0
        18 check.finished T-3 attempt="T-3.1" command="check house" end="exit:1" lane="L-3" on="lane" passed=false seconds=1.0 tail="test a ... FAILED\n"
        18 task.undone T-3 percent=75.0 reason="not proven by `check house`: the check passed before; now these fail: a" tail="test a ... FAILED"
        18 task.blocked T-4 percent=75.0 reason="it needs T-3, which is undone"
        19 check.finished T-2 attempt="T-2.1" command="check floor" lane="L-4" on="lane" passed=true seconds=1.0
        21 task.landed T-2 attempt="T-2.1" commit="merge-T-2.1" lane="L-4"
        21 task.completed T-2 percent=99.0
        21 run.state_changed from="MONITORING" percent=99.0 reason="complete" to="COMPLETING"
        22 run.state_changed from="COMPLETING" percent=100.0 reason="finish" to="IDLE"
        22 run.finished outcome="partial" percent=100.0 reason="2 of 4 tasks did not complete, first T-3 (undone)"
    "#]].assert_eq(&lines(&told(&world)));
}

#[test]
fn each_task_is_told_to_be_ready_once_and_after_its_needs() {
    let mut world = World::new();
    world.plan(json!([
        {"id": "a", "command": ["x"], "effect": "none"}, {"id": "b", "command": ["x"], "effect": "none"},
        {"id": "c", "command": ["x"], "effect": "none", "needs": ["a", "b"]},
        {"id": "d", "command": ["x"], "needs": ["c", "a", "a"]},
    ]));
    let all = told(&world);
    let ready: Vec<TaskId> =
        all.iter().filter(|event| event.kind == EventType::TaskReady).filter_map(|event| event.data.task_id).collect();
    assert_eq!(ready, [TaskId(3), TaskId(4)]);
    let completed: BTreeMap<TaskId, usize> = all
        .iter()
        .enumerate()
        .filter(|(_, event)| event.kind == EventType::TaskCompleted)
        .filter_map(|(at, event)| Some((event.data.task_id?, at)))
        .collect();
    let at = all.iter().position(|event| event.kind == EventType::TaskReady).unwrap();
    assert!(completed[&TaskId(1)] < at && completed[&TaskId(2)] < at);
}

#[test]
fn percent_never_goes_back_and_ends_at_100() {
    let mut world = World::new();
    let tasks: Vec<_> = (0..30).map(|n| json!({"id": format!("t{n}"), "command": ["x"]})).collect();
    world.plan(json!(tasks));
    let percents: Vec<f64> = told(&world).iter().filter_map(|event| event.data.percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
    assert_eq!(percents.last(), Some(&100.0));
    assert!(percents.iter().any(|percent| *percent > 40.0 && *percent < 60.0));
}

#[test]
fn decisions_checkpoints_and_retries_are_told() {
    let mut world = World::new();
    world.plan(json!([
        {"id": "ask", "question": "Which?", "options": ["A", "B"]},
        {"id": "bad", "command": ["x"], "effect": "none", "retry": {"max": 0}},
    ]));
    world.end("T-2.1", End::Exit(3), "boom\n");
    let by = crate::core::decide::decision::By { kind: "person".into(), surface: "lsp".into(), name: None };
    let answer = Command::Answer {
        decision: crate::ids::DecisionId(1),
        choice: "a".into(),
        text: None,
        by,
        remember: Default::default(),
    };
    world.command(Command::SaveCheckpoint { run: Some(RunId(1)), label: "mark".into(), position: 3 }).unwrap();
    world.command(answer).unwrap();
    world.command(Command::Retry { run: RunId(1), task: Some(TaskId(2)) }).unwrap_err();
    let all = told(&world);
    let kinds = [EventType::DecisionOpened, EventType::CheckpointSaved, EventType::DecisionClosed];
    let some: Vec<Event> = all.iter().filter(|event| kinds.contains(&event.kind)).cloned().collect();
    expect![[r#"
        2 decision.opened T-1 decision_id="D-1" question="Which?"
        7 checkpoint.saved checkpoint_id="C-1" reason="mark"
        8 decision.closed T-1 by="a person (lsp)" choice="a" decision_id="D-1"
    "#]]
    .assert_eq(&lines(&some));
    // Moves of one commit are told with where each came from.
    let moves: Vec<_> = all
        .iter()
        .filter(|event| event.kind == EventType::RunStateChanged)
        .map(|event| (event.data.from, event.data.to))
        .collect();
    for pair in moves.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{moves:?}");
    }
    assert_eq!(moves[0].0, Some(crate::api::RunState::Idle));
}

#[test]
fn a_commit_is_told_without_a_walk_over_the_run() {
    let mut world = World::new();
    let tasks: Vec<_> = (0..500).map(|n| json!({"id": format!("t{n}"), "command": ["x"], "effect": "none"})).collect();
    world.plan(json!(tasks));
    let mut state = State::default();
    let mut most = 0;
    for (position, at, stored) in &world.journal {
        for event in stored {
            state.evolve(*at, event);
        }
        let count = events(&state, *position, *at, stored).len();
        // Only the plan itself tells of all tasks; each later commit tells of what it holds.
        if !stored.iter().any(|event| matches!(event, crate::core::Event::RunPlanned { .. })) {
            assert!(count <= stored.len() + 1, "{count} events of {stored:?}");
            most = most.max(count);
        }
    }
    assert!(most > 0);
}
