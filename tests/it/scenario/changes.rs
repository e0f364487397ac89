//! What a person has a word in before a proven change lands: secrets, protections, what others build on.

use expect_test::expect;

use super::{check, script::Script};

/// All of them.
pub fn topic() {
    a_secret_is_asked_about_before_it_lands();
    what_others_build_on_goes_back_to_its_agent();
    one_question_after_the_other();
    what_was_kept_is_not_asked_again();
    nobody_is_asked_where_nothing_is_noticed();
    a_command_cannot_be_told();
    a_crash_between_two_questions();
    what_was_done_outside_is_taken_back();
}

#[test]
fn a_secret_is_asked_about_before_it_lands() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit; b needs=a
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0 done
        harvested T-1.1 secret=x
        auto
        answer D-1 drop
        "#,
        expect![[r#"
            > set agents=ada
            > harvested T-1.1 secret=x
            T-1.1 harvested c1.1
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-2: unit
            > auto
            T-1.1 v0 exit:0
            T-1.1 -> Reviewing
            D-1 opened security T-1 [keep back drop]
            R-1 Escalate -> ESCALATING
            > answer D-1 drop
            D-1 answered drop
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 undone (a person left it out)
            T-2 blocked (it needs T-1, which is undone)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
        "#]],
    );
}

#[test]
fn what_others_build_on_goes_back_to_its_agent() {
    let mut script = Script::new();
    script.play(
        "
        set agents=ada
        submit compatible | a agent writes=src verify=unit
        auto hold=T-1.1
        said T-1.1 session s-1
        ended T-1.1 exit:0 done
        harvested T-1.1 breaks=load,save
        auto
        answer D-1 back says=keep_load_as_an_alias
        prepared T-1.2
        ",
    );
    let told = script.prompt();
    for part in
        ["sent back", "`load` is gone from `f`", "`save` is gone", "They say: keep load as an alias", "still in place"]
    {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    // It goes on from its change, and is judged anew.
    let attempt = script.core.state.live("T-1.2".parse().unwrap()).expect("it is under way").1;
    assert_eq!(attempt.more.as_ref().unwrap().start.as_deref(), Some("c1.1"));
    script.play("quiet ended T-1.2 exit:0 done\nharvested T-1.2\nauto");
    assert_eq!(script.core.state.task("T-1".parse().unwrap()).unwrap().status(), "completed");
}

#[test]
fn one_question_after_the_other() {
    check(
        r#"
        set agents=ada
        quiet submit compatible | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0 done
        quiet harvested T-1.1 secret=x breaks=f unread=x
        quiet auto
        answer D-1 keep
        answer D-2 keep
        answer D-3 keep
        auto
        "#,
        expect![[r#"
            > set agents=ada
            > answer D-1 keep
            D-1 answered keep
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            D-2 opened breaking_change T-1 [keep back drop]
            R-1 Escalate -> ESCALATING
              = Decided { decision: DecisionId(1), again: false }
            > answer D-2 keep
            D-2 answered keep
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            D-3 opened review T-1 [keep back drop]
            R-1 Escalate -> ESCALATING
              = Decided { decision: DecisionId(2), again: false }
            > answer D-3 keep
            D-3 answered keep
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
              = Decided { decision: DecisionId(3), again: false }
            > auto
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            T-1.1 landed m1.1
            T-1 completed
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn what_was_kept_is_not_asked_again() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0 done
        quiet harvested T-1.1 secret=x
        quiet auto
        answer D-1 keep
        conflict T-1.1
        quiet tick +2s
        quiet auto hold=T-1.2
        quiet ended T-1.2 exit:0 done
        harvested T-1.2 secret=x
        auto
        "#,
        expect![[r#"
            > set agents=ada
            > answer D-1 keep
            D-1 answered keep
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
              = Decided { decision: DecisionId(1), again: false }
            > conflict T-1.1
            T-1.1 over conflict/retry (it conflicts with what has landed, in f)
            T-1 retry
            > harvested T-1.2 secret=x
            T-1.2 harvested c1.2
            T-1.2 -> Checking(0)
                start T-1.2/v0 in L-2: unit
            > auto
            T-1.2 v0 exit:0
            T-1.2 -> Queued
            T-1.2 -> Merging
                merge T-1.2: c1.2 onto base
            T-1.2 merged m1.2 onto base
            T-1.2 -> Advancing
                advance T-1.2: base to m1.2
            T-1.2 landed m1.2
            T-1 completed
            R-1 Complete -> COMPLETING
                publish R-1 m1.2
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn nobody_is_asked_where_nothing_is_noticed() {
    check(
        r#"
        quiet submit compatible | a
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0
        harvested T-1.1
        "#,
        expect![[r#"
            > harvested T-1.1
            T-1.1 harvested c1.1
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
        "#]],
    );
}

#[test]
fn a_command_cannot_be_told() {
    check(
        r#"
        quiet submit compatible | a
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0
        harvested T-1.1 breaks=f
        answer D-1 back
        answer D-1 keep
        "#,
        expect![[r#"
            > harvested T-1.1 breaks=f
            T-1.1 harvested c1.1
            T-1.1 -> Reviewing
            D-1 opened breaking_change T-1 [keep drop]
            R-1 Escalate -> ESCALATING
            > answer D-1 back
              ! D-1 has no option "back" | the options are keep, drop
            > answer D-1 keep
            D-1 answered keep
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
              = Decided { decision: DecisionId(1), again: false }
        "#]],
    );
}

#[test]
fn a_crash_between_two_questions() {
    check(
        r#"
        quiet submit compatible | a
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0
        quiet harvested T-1.1 secret=x breaks=f
        quiet answer D-1 keep
        crash
        answer D-2 keep
        "#,
        expect![[r#"
            > crash
                limit R-1 10
            > answer D-2 keep
            D-2 answered keep
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
              = Decided { decision: DecisionId(2), again: false }
        "#]],
    );
}

#[test]
fn what_was_done_outside_is_taken_back() {
    check(
        r#"
        quiet submit | a ext comp; b ext
        quiet answer D-1 allow
        quiet answer D-2 allow
        quiet auto hold=T-1.1,T-2.1
        quiet ended T-1.1 exit:0
        quiet harvested T-1.1 secret=x
        quiet ended T-2.1 exit:0
        quiet harvested T-2.1 secret=x
        answer D-3 drop
        answer D-4 drop
        auto
        "#,
        expect![[r#"
            > answer D-3 drop
            D-3 answered drop
            T-1.1 -> Compensating
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
                start T-1.1/c in L-1: undo a
              = Decided { decision: DecisionId(3), again: false }
            > answer D-4 drop
            D-4 answered drop
            T-2 failed (a person left it out; its effect outside is there)
              = Decided { decision: DecisionId(4), again: false }
            > auto
            T-1 undone (its effect outside was taken back)
            R-1 Complete -> COMPLETING
                publish R-1 -
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (2 of 2 tasks did not complete, first T-1 (undone))
        "#]],
    );
}
