//! The three modes: what is asked in each, and what is not; per user, workspace and run. And a deadline that passes.

use orchestrator::{
    core::{
        analyze::Level,
        decide::decision::{Decision, DecisionKind},
        run::{Interaction, Outcome, RunState},
        task::{Settled, TaskState},
    },
    ids::{RunId, TaskId},
};

use super::script::Script;

const MODES: [&str; 3] = ["minimal", "checkpoint", "collaborative"];

fn open(script: &Script) -> Vec<&Decision> {
    let state = &script.core.state;
    state.index.open.iter().filter_map(|id| state.decisions.get(id)).collect()
}

fn kinds(script: &Script) -> Vec<DecisionKind> {
    open(script).iter().map(|decision| decision.kind).collect()
}

#[test]
fn what_is_asked_before_the_start() {
    for (mode, expected) in MODES.into_iter().zip([&[][..], &[], &[DecisionKind::PlanApproval]]) {
        let mut script = Script::new();
        script.play(&format!("submit ask={mode} | a verify=-; b verify=-"));
        assert_eq!(kinds(&script), expected, "a plan of the sender's own, {mode}");
    }
    // An effect outside is asked about in every mode.
    for mode in MODES {
        let mut script = Script::new();
        script.play(&format!("submit ask={mode} approve=never | a ext"));
        assert_eq!(kinds(&script), [DecisionKind::Permission], "{mode}");
    }
    // What the request says of its plan holds in every mode.
    for mode in MODES {
        let mut script = Script::new();
        script.play(&format!("submit ask={mode} approve=always | a verify=-"));
        assert_eq!(kinds(&script), [DecisionKind::PlanApproval], "{mode}");
    }
}

#[test]
fn complex_and_planner_made_plans() {
    use orchestrator::core::decide::mode::plan_wants_yes;
    let mut script = Script::new();
    script.play("submit later | a verify=-");
    script.play("surveyed R-1");
    let run = script.core.state.run(RunId(1)).expect("a run");
    let mut run = run.clone();
    let mut info = run.plan.clone().expect("a plan");
    let mut wants = |mode, source: &str, level| {
        run.request.interaction = mode;
        run.analysis.as_mut().expect("it was analyzed").complexity.level = level;
        info.source = source.to_owned();
        plan_wants_yes(&run, &info)
    };
    for (source, level, checkpoint) in [
        ("playbook:tidy", Level::Simple, false),
        ("playbook:tidy", Level::Complex, true),
        ("playbook:tidy", Level::VeryComplex, true),
        ("agent:claude", Level::Simple, true),
        ("agent", Level::Simple, false),
        ("agent", Level::Complex, true),
        ("client", Level::VeryComplex, false),
        ("command", Level::VeryComplex, false),
    ] {
        assert!(!wants(Interaction::Minimal, source, level), "minimal, {source} {level:?}");
        assert_eq!(wants(Interaction::Checkpoint, source, level), checkpoint, "checkpoint, {source} {level:?}");
        assert!(wants(Interaction::Collaborative, source, level), "collaborative, {source} {level:?}");
    }
}

#[test]
fn a_workspace_may_ask_for_more_and_never_for_less() {
    let mut script = Script::new();
    script.play("submit ask=minimal later | a verify=-");
    let run = script.core.state.runs.get_mut(&RunId(1)).expect("a run");
    let mut facts =
        orchestrator::core::facts::Facts { interaction: Some(Interaction::Collaborative), ..Default::default() };
    run.facts = Some(std::sync::Arc::new(facts.clone()));
    assert_eq!(run.interaction(), Interaction::Collaborative);
    run.request.interaction = Interaction::Collaborative;
    facts.interaction = Some(Interaction::Minimal);
    run.facts = Some(std::sync::Arc::new(facts));
    assert_eq!(run.interaction(), Interaction::Collaborative, "a clone cannot silence the user");
}

/// Two tasks of a milestone, and one that would follow.
const PLAN: &str = "a verify=- milestone=M1; b verify=- milestone=M1; c verify=- needs=a,b; d verify=-";

#[test]
fn milestones_hold_the_rest_in_one_mode_only() {
    for mode in ["minimal", "checkpoint"] {
        let mut script = Script::new();
        script.play(&format!("submit ask={mode} | {PLAN}\nauto"));
        assert_eq!(script.core.state.run(RunId(1)).and_then(|run| run.outcome), Some(Outcome::Completed), "{mode}");
        assert!(script.core.state.decisions.is_empty(), "{mode}");
    }
    let mut script = Script::new();
    script.play(&format!("submit ask=collaborative | max=2; {PLAN}\nanswer D-1 approve\nauto"));
    let state = |script: &Script, task: u32| script.core.state.tasks[&TaskId(task)].state;
    assert_eq!(kinds(&script), [DecisionKind::PlanApproval]);
    assert!(open(&script)[0].question.contains("M1"), "{:?}", open(&script));
    assert_eq!(state(&script, 3), TaskState::Ready, "nothing more starts");
    assert_eq!(script.core.state.run(RunId(1)).expect("a run").state, RunState::Escalating);
    // A crash changes nothing about that.
    script.play("crash\nauto");
    assert_eq!((kinds(&script).len(), state(&script, 3)), (1, TaskState::Ready));
    script.play("answer D-2 approve\nauto");
    assert_eq!(state(&script, 3), TaskState::Settled(Settled::Completed));
    // At its end the result is offered; nothing is applied by anybody else's word.
    assert_eq!(kinds(&script), [DecisionKind::Apply]);
    let run = script.core.state.run(RunId(1)).expect("a run");
    assert_eq!((run.outcome, run.applies.len()), (Some(Outcome::Completed), 0));
    script.play("answer D-3 apply\nauto");
    assert_eq!(script.core.state.run(RunId(1)).expect("a run").applies.len(), 1);
}

#[test]
fn a_milestone_may_be_the_end() {
    let mut script = Script::new();
    script
        .play(&format!("submit ask=collaborative | max=2; {PLAN}\nanswer D-1 approve\nauto\nanswer D-2 reject\nauto"));
    let run = script.core.state.run(RunId(1)).expect("a run");
    assert_eq!(run.outcome, Some(Outcome::Partial), "{}", run.outcome_why);
    assert_eq!(script.core.state.tasks[&TaskId(3)].state, TaskState::Settled(Settled::Blocked));
}

#[test]
fn the_result_is_offered_where_that_is_wanted() {
    for (mode, apply, offered) in [
        ("minimal", "", false),
        ("checkpoint", "", false),
        ("collaborative", "", true),
        ("minimal", "apply=ask", true),
        ("checkpoint", "apply=ask", true),
        ("collaborative", "apply=never", false),
    ] {
        let mut script = Script::new();
        script.play(&format!("submit ask={mode} approve=never {apply} | a verify=-\nauto"));
        assert_eq!(kinds(&script).contains(&DecisionKind::Apply), offered, "{mode} {apply}");
    }
    // Brought in by hand, the offer goes away; taken up again, too.
    let mut script = Script::new();
    script.play("submit apply=ask | a verify=-; b verify=- retry=0\nauto hold=T-2.1\nended T-2.1 exit:1\nauto");
    assert_eq!(kinds(&script), [DecisionKind::Apply]);
    script.play("apply R-1\nauto");
    assert!(open(&script).is_empty(), "it is in the checkout");
    script.play("undo R-1\nauto\nretry R-1\nauto");
    assert_eq!(kinds(&script), [DecisionKind::Apply], "a new end, a new offer");
    script.play("retry R-1 T-1");
    script.play("answer D-2 leave\nanswer D-2 apply");
}

#[test]
fn a_session_asks_before_it_brings_a_result_in() {
    for (mode, asks) in [("minimal", false), ("checkpoint", true), ("collaborative", true)] {
        let mut script = Script::new();
        script.play(&format!("submit ask={mode} approve=never apply=auto | a verify=-\nauto\napply R-1 asks\nauto"));
        let run = script.core.state.run(RunId(1)).expect("a run");
        assert_eq!(run.applies.is_empty(), asks, "{mode}");
        assert_eq!(kinds(&script).contains(&DecisionKind::Apply), asks, "{mode}");
        // Asked twice, it is one question.
        script.play("apply R-1 asks");
        assert!(kinds(&script).len() <= 1, "{mode}");
    }
    // Its person needs nobody's leave.
    let mut script = Script::new();
    script.play("submit | a verify=-\nauto\napply R-1\nauto");
    assert_eq!(script.core.state.run(RunId(1)).expect("a run").applies.len(), 1);
}

#[test]
fn a_deadline_that_passes_is_asked_about_once_and_holds_nothing_up() {
    let mut script = Script::new();
    script.play("submit due=60 | a verify=-; b verify=- needs=a\nauto hold=T-1.1\ntick +59s");
    assert!(open(&script).is_empty());
    script.play("tick +1s");
    assert_eq!(kinds(&script), [DecisionKind::Deadline]);
    assert_eq!(open(&script)[0].task, None);
    script.play("crash\ntick +60s");
    assert_eq!(kinds(&script), [DecisionKind::Deadline], "once");
    script.play("answer D-1 stop\nended T-1.1 exit:0\nauto");
    let run = script.core.state.run(RunId(1)).expect("a run");
    assert_eq!(run.outcome, Some(Outcome::Partial), "what ran landed, the rest was not begun: {}", run.outcome_why);

    // One in the past is said at once; nobody's answer is needed for the run to end, and then the question goes.
    let mut script = Script::new();
    script.play("submit due=0 | a verify=-");
    assert_eq!(kinds(&script), [DecisionKind::Deadline]);
    script.play("auto");
    assert_eq!(script.core.state.run(RunId(1)).and_then(|run| run.outcome), Some(Outcome::Completed));
    assert!(open(&script).is_empty());

    let mut script = Script::new();
    script.play("submit ask=minimal due=0 | a verify=-\nauto");
    assert!(script.core.state.decisions.is_empty(), "minimal asks nothing of the kind");
}

#[test]
fn a_question_of_the_plan_expires_where_its_plan_set_a_time() {
    let mut script = Script::new();
    script.play("submit | q ask timeout=60; a verify=- needs=q; b verify=-\nauto\ntick +59s");
    assert_eq!(kinds(&script), [DecisionKind::AgentQuestion]);
    script.play("tick +1s\nauto");
    assert!(open(&script).is_empty());
    let state = &script.core.state;
    assert_eq!(state.tasks[&TaskId(1)].state, TaskState::Settled(Settled::Cancelled), "put aside, never answered");
    assert_eq!(state.tasks[&TaskId(2)].state, TaskState::Settled(Settled::Blocked));
    assert_eq!(state.tasks[&TaskId(3)].state, TaskState::Settled(Settled::Completed));
    // Late words are refused as late; asked again, it is a new question with a new time.
    script.play("answer D-1 yes");
    script.play("retry R-1 T-1\nauto\nanswer D-2 yes\nauto");
    assert_eq!(script.core.state.tasks[&TaskId(2)].state, TaskState::Settled(Settled::Completed));
    // Without a time, silence changes nothing.
    let mut script = Script::new();
    script.play("submit | q ask\ntick +90d");
    assert_eq!(kinds(&script), [DecisionKind::AgentQuestion]);
}
