//! The user's own policy, as the core goes by it: before a task starts, and when one failed.

use orchestrator::core::{
    decide::decision::DecisionKind,
    task::{Settled, TaskState},
};

use super::script::Script;

/// The same failure, with and without a pattern that names it.
fn after(policy: Option<&str>, plan: &str) -> (TaskState, String, Option<String>) {
    let mut script = Script::new();
    if let Some(text) = policy {
        script.policy(text);
    }
    script.play(&format!("submit | {plan}\nauto hold=T-1.1\nended T-1.1 exit:1 says=the_gizmo_is_out_of_phase"));
    let task = script.core.state.tasks.values().next().expect("a task");
    let failure = task.attempts[0].more.as_ref().and_then(|more| more.failure.clone()).expect("it failed");
    (task.state, failure.class, failure.pattern)
}

#[test]
fn a_failure_is_called_what_the_users_own_pattern_calls_it() {
    let pattern = |route: &str| {
        format!(
            "version = 1\n[[error_patterns]]\nid = \"gizmo\"\ntext = '(?i)gizmo .* phase'\nclass = \"transient\"\nroute = \"{route}\"\n"
        )
    };
    let (state, class, by) = after(None, "a verify=-");
    assert_eq!((state, class.as_str(), by), (TaskState::Settled(Settled::Failed), "unknown", None));
    let (state, class, by) = after(Some(&pattern("retry")), "a verify=-");
    assert!(matches!(state, TaskState::Retry(_)), "{state:?}");
    assert_eq!((class.as_str(), by.as_deref()), ("transient", Some("gizmo")));
    let (state, class, _) = after(Some(&pattern("escalate")), "a verify=-");
    assert_eq!((state, class.as_str()), (TaskState::Settled(Settled::Failed), "transient"), "it is not tried again");
    // A pattern never repeats what acts outside and may not be repeated.
    let mut script = Script::new();
    script.policy(&pattern("retry"));
    script.play("submit | a ext\nanswer D-1 allow\nauto hold=T-1.1\nended T-1.1 exit:1 says=gizmo_in_phase");
    let task = script.core.state.tasks.values().next().expect("a task");
    assert_eq!(task.state, TaskState::Settled(Settled::Failed));
}

#[test]
fn rules_stand_before_readers_writers_and_agents_alike() {
    let rules = "version = 1\n\
        [[rules]]\nid = \"no-a\"\nwhen = \"task.type == 'risky'\"\nverdict = \"deny\"\nreason = \"too risky\"\n\
        [[rules]]\nid = \"ask-b\"\nwhen = \"task.type == 'odd'\"\nverdict = \"escalate\"\nreason = \"look first\"\n";
    for work in ["read", "verify=-", "agent writes=src verify=unit"] {
        let mut script = Script::new();
        script.policy(rules);
        script.play(&format!(
            "set agents=ada\nsubmit | a {work} type=risky; b {work} type=odd; c {work} type=plain\nauto"
        ));
        let state = &script.core.state;
        let of = |number: u32| state.tasks[&orchestrator::ids::TaskId(number)].state;
        assert_eq!(of(1), TaskState::Settled(Settled::Cancelled), "{work}: a rule forbids it");
        assert!(state.tasks[&orchestrator::ids::TaskId(1)].why.contains("too risky"), "{work}");
        let TaskState::Asking(decision) = of(2) else { panic!("{work}: {:?}", of(2)) };
        let asked = &state.decisions[&decision];
        assert_eq!((asked.kind, asked.why.as_deref()), (DecisionKind::Permission, Some("rule")), "{work}");
        assert_eq!(asked.rules_hit, ["ask-b"], "{work}");
        assert_eq!(of(3), TaskState::Settled(Settled::Completed), "{work}: no rule is about it");
        script.play(&format!("answer {decision} allow\nauto"));
        assert_eq!(
            script.core.state.tasks[&orchestrator::ids::TaskId(2)].state,
            TaskState::Settled(Settled::Completed),
            "{work}"
        );
    }
}

#[test]
fn rules_that_cannot_be_read_leave_what_acts_outside_to_a_person() {
    let mut script = Script::new();
    script.core.settings.rules.broken = Some("policy.toml:3: no".to_owned());
    script.play("submit | a ext; b verify=-\nauto");
    let state = &script.core.state;
    let asked = state.decisions.values().next().expect("a question");
    assert!(asked.detail.contains("policy.toml:3"), "{asked:?}");
    assert_eq!(state.tasks[&orchestrator::ids::TaskId(2)].state, TaskState::Settled(Settled::Completed));
}
