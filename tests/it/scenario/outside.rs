//! Scenarios: effects outside the repository.

use expect_test::expect;

use super::check;

pub fn topic() {
    asked_for_once_and_run_once();
    refused();
    production_is_asked_for_more_loudly();
    a_failure_is_taken_back_after_a_probe();
    a_failure_that_left_nothing_behind_has_nothing_to_take_back();
    without_a_probe_it_is_taken_back_at_once_and_may_get_stuck();
    a_person_takes_it_back();
    a_probe_that_says_nothing_gets_stuck();
    lost_asks_and_a_person_knows_that_it_ran();
    lost_asks_and_is_run_again();
    lost_and_harmless_twice();
    not_proven_is_taken_back();
    not_proven_and_not_there();
    cancelled_while_it_ran_is_taken_back();
    the_merged_tree_is_red_or_cancelled();
    the_merged_tree_is_red_and_there_is_no_probe();
    red_while_the_base_is_not_known_yet();
    cancelled_after_it_ran_says_what_is_left();
    its_conflict_is_not_run_again_by_itself();
}

#[test]
fn asked_for_once_and_run_once() {
    check(
        r#"
            submit | a ext
            answer D-1 allow
            auto
        "#,
        expect![[r#"
            > submit | a ext
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 1 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            D-1 opened permission T-1 [allow deny]
            R-1 Monitor -> MONITORING
            R-1 Escalate -> ESCALATING
                limit R-1 10
            > answer D-1 allow
            D-1 answered allow
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "run a": yes
            T-1 allowed
            T-1 due again
            T-1.1 claimed L-1 at base
                prepare L-1 for T-1.1 at base
              = Decided { decision: DecisionId(1), again: false }
            > auto
            T-1.1 prepared
                start T-1.1 in L-1: a
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-1
            T-1.1 harvested c1.1
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
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
fn refused() {
    check(
        r#"
            quiet submit | a ext; b needs=a
            answer D-1 deny
            auto
        "#,
        expect![[r#"
            > answer D-1 deny
            D-1 answered deny
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "run a": no
            T-1 cancelled (a person said no)
            T-2 blocked (it needs T-1, which is cancelled)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (2 of 2 tasks did not complete, first T-1 (cancelled))
        "#]],
    );
}

#[test]
fn production_is_asked_for_more_loudly() {
    check(
        r#"
            quiet submit env=production | a ext comp
            answer D-1 later
            answer D-1 alow
            answer D-1 allow
            answer D-1 allow
            answer D-1 deny
        "#,
        expect![[r#"
            > answer D-1 later
              ! D-1 has no option "later" | the options are allow, deny
            > answer D-1 alow
              ! D-1 has no option "alow" | did you mean "allow"? The options are allow, deny
            > answer D-1 allow
            D-1 answered allow
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "run a": yes
            T-1 allowed
            T-1 due again
            T-1.1 claimed L-1 at base
                prepare L-1 for T-1.1 at base
              = Decided { decision: DecisionId(1), again: false }
            > answer D-1 allow
              = Decided { decision: DecisionId(1), again: true }
            > answer D-1 deny
              ! already decided by person (cli), now: allow
        "#]],
    );
}

#[test]
fn a_failure_is_taken_back_after_a_probe() {
    check(
        r#"
            quiet submit | a ext comp probe
            quiet answer D-1 allow
            quiet prepared T-1.1
            ended T-1.1 exit:1 says=connection_reset_by_peer
            cancel T-1
            ended T-1.1/p exit:0
            ended T-1.1/c exit:0
            auto
        "#,
        expect![[r#"
            > ended T-1.1 exit:1 says=connection_reset_by_peer
            T-1.1 ran exit:1
            T-1.1 -> Probing
                start T-1.1/p in L-1: probe a
            > cancel T-1
              ! T-1 failed, and its effect outside is being taken back | see: orchestrator why T-1
            > ended T-1.1/p exit:0
            T-1.1 -> Compensating
                start T-1.1/c in L-1: undo a
            > ended T-1.1/c exit:0
            T-1 undone (its effect outside was taken back)
            R-1 Complete -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (1 of 1 tasks did not complete, first T-1 (undone))
        "#]],
    );
}

#[test]
fn a_failure_that_left_nothing_behind_has_nothing_to_take_back() {
    check(
        r#"
            quiet submit | a ext probe
            quiet answer D-1 allow
            quiet prepared T-1.1
            ended T-1.1 exit:1 says=connection_reset_by_peer
            ended T-1.1/p exit:1
        "#,
        expect![[r#"
            > ended T-1.1 exit:1 says=connection_reset_by_peer
            T-1.1 ran exit:1
            T-1.1 -> Probing
                start T-1.1/p in L-1: probe a
            > ended T-1.1/p exit:1
            T-1.1 over network/retry (it ended with exit status 1)
            T-1 failed (it ended with exit status 1)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn without_a_probe_it_is_taken_back_at_once_and_may_get_stuck() {
    check(
        r#"
            quiet submit | a ext comp
            quiet answer D-1 allow
            quiet prepared T-1.1
            ended T-1.1 timeout
            ended T-1.1/c exit:1
            answer D-2 leave
            auto
        "#,
        expect![[r#"
            > ended T-1.1 timeout
            T-1.1 ran timeout
            T-1.1 -> Compensating
                start T-1.1/c in L-1: undo a
            > ended T-1.1/c exit:1
            T-1.1 over stuck_undo/escalate (its effect outside could not be taken back (exit:1))
            D-2 opened stuck_undo T-1 [done leave]
            R-1 Escalate -> ESCALATING
            > answer D-2 leave
            D-2 answered leave
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 stuck (its effect outside is still there)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(2), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (1 of 1 tasks did not complete, first T-1 (stuck))
        "#]],
    );
}

#[test]
fn a_person_takes_it_back() {
    check(
        r#"
            quiet submit | a ext comp
            quiet answer D-1 allow
            quiet prepared T-1.1
            quiet ended T-1.1 timeout
            ended T-1.1/c lost
            answer D-2 done
        "#,
        expect![[r#"
            > ended T-1.1/c lost
            T-1.1 over stuck_undo/escalate (its effect outside could not be taken back (lost))
            D-2 opened stuck_undo T-1 [done leave]
            R-1 Escalate -> ESCALATING
            > answer D-2 done
            D-2 answered done
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 undone (a person took it back)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(2), again: false }
        "#]],
    );
}

#[test]
fn a_probe_that_says_nothing_gets_stuck() {
    check(
        r#"
            quiet submit | a ext probe
            quiet answer D-1 allow
            quiet prepared T-1.1
            quiet ended T-1.1 timeout
            ended T-1.1/p lost
            cancel R-1
            auto
        "#,
        expect![[r#"
            > ended T-1.1/p lost
            T-1.1 over stuck_undo/escalate (its effect outside could not be taken back (lost))
            D-2 opened stuck_undo T-1 [done leave]
            R-1 Escalate -> ESCALATING
            > cancel R-1
            R-1 cancel asked
            T-1 stuck (its effect outside is still there)
            R-1 Cancel -> COMPLETING
            D-2 withdrawn (the run is over)
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 1 tasks)
        "#]],
    );
}

#[test]
fn lost_asks_and_a_person_knows_that_it_ran() {
    check(
        r#"
            quiet submit | a ext
            quiet answer D-1 allow
            quiet prepared T-1.1
            ended T-1.1 lost
            answer D-2 done
            auto
        "#,
        expect![[r#"
            > ended T-1.1 lost
            T-1.1 ran lost
            T-1.1 over transient/retry (it may have run: the machine or the keeper went down while it did)
            D-2 opened retry_exhausted T-1 [done again stop]
            R-1 Escalate -> ESCALATING
            > answer D-2 done
            D-2 answered done
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 completed (a person says it is done)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(2), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn lost_asks_and_is_run_again() {
    check(
        r#"
            quiet submit | a ext
            quiet answer D-1 allow
            quiet prepared T-1.1
            quiet ended T-1.1 lost
            answer D-2 again
            auto
        "#,
        expect![[r#"
            > answer D-2 again
            D-2 answered again
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 allowed
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
              = Decided { decision: DecisionId(2), again: false }
            > auto
            T-1.2 prepared
                start T-1.2 in L-1: a
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-1
            T-1.2 harvested c1.2
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
fn lost_and_harmless_twice() {
    check(
        r#"
            quiet submit | a ext idem
            quiet answer D-1 allow
            quiet prepared T-1.1
            ended T-1.1 lost
        "#,
        expect![[r#"
            > ended T-1.1 lost
            T-1.1 ran lost
            T-1.1 over transient/retry (it may have run: the machine or the keeper went down while it did)
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
        "#]],
    );
}

#[test]
fn not_proven_is_taken_back() {
    check(
        r#"
            quiet submit | a ext probe verify=unit; b ext verify=lint
            quiet answer D-1 allow
            quiet auto hold=T-1.1/v0
            quiet answer D-2 allow
            ended T-1.1/v0 exit:1
            ended T-1.1/p exit:0
            ended T-1.1/c exit:0
            quiet auto hold=T-2.1/v0
            ended T-2.1/v0 exit:1
        "#,
        expect![[r#"
            > ended T-1.1/v0 exit:1
            T-1.1 v0 exit:1
            T-1.1 -> Probing
                start T-1.1/p in L-2: probe a
            > ended T-1.1/p exit:0
            T-1.1 -> Compensating
                start T-1.1/c in L-2: undo a
            > ended T-1.1/c exit:0
            T-1 undone (its effect outside was taken back)
            > ended T-2.1/v0 exit:1
            T-2.1 v0 exit:1
            T-2.1 over wrong_output/rollback (not proven by `lint`: the check passed before and now ends with exit:1)
            T-2 failed (not proven by `lint`: the check passed before and now ends with exit:1)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn not_proven_and_not_there() {
    check(
        r#"
            quiet submit | a ext probe verify=unit
            quiet answer D-1 allow
            quiet auto hold=T-1.1/v0
            ended T-1.1/v0 exit:1
            ended T-1.1/p exit:1
        "#,
        expect![[r#"
            > ended T-1.1/v0 exit:1
            T-1.1 v0 exit:1
            T-1.1 -> Probing
                start T-1.1/p in L-2: probe a
            > ended T-1.1/p exit:1
            T-1 undone (it was not proven, and its effect outside is not there)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn cancelled_while_it_ran_is_taken_back() {
    check(
        r#"
            quiet submit | a ext comp probe verify=unit,lint; b ext comp verify=unit
            quiet answer D-1 allow
            quiet auto hold=T-1.1
            quiet answer D-2 allow
            quiet auto hold=T-1.1,T-2.1/v0
            cancel R-1
            ended T-1.1 cancelled
            ended T-1.1/p exit:1
            ended T-2.1/v0 cancelled
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
                stop T-1.1
                stop T-2.1/v0
            > ended T-1.1 cancelled
            T-1.1 ran cancelled
            T-1.1 -> Probing
                start T-1.1/p in L-2: probe a
            > ended T-1.1/p exit:1
            T-1 cancelled (cancelled)
            > ended T-2.1/v0 cancelled
            T-2.1 v0 cancelled
            T-2.1 -> Compensating
                start T-2.1/c in L-1: undo b
            > auto
            T-2 undone (its effect outside was taken back)
            R-1 Cancel -> COMPLETING
                publish R-1 -
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 2 tasks)
        "#]],
    );
}

#[test]
fn the_merged_tree_is_red_or_cancelled() {
    check(
        r#"
            quiet submit | a ext comp verify=unit; b ext probe verify=unit; c ext probe verify=unit
            quiet answer D-1 allow
            quiet answer D-2 allow
            quiet answer D-3 allow
            quiet auto hold=merge:T-1.1,merge:T-2.1,merge:T-3.1,R-1/b0
            merged T-1.1 other
            prepared T-1.1
            ended T-1.1/m0 exit:1
            ended R-1/b0 exit:0
            merged T-2.1 other
            prepared T-2.1
            ended T-2.1/m0 exit:1
            merged T-3.1 other
            prepared T-3.1
            cancel T-3
            ended T-3.1/m0 cancelled
        "#,
        expect![[r#"
            > merged T-1.1 other
            T-1.1 merged m1.1 onto base
            T-1.1 -> Restaging
                prepare L-2 for T-1.1 at m1.1
            > prepared T-1.1
            T-1.1 prepared
                start T-1.1/m0 in L-2: unit
            > ended T-1.1/m0 exit:1
            T-1.1 m0 exit:1
            T-1.1 -> AwaitingBaseMerged(0)
            > ended R-1/b0 exit:0
            R-1 base 0 exit:0
            T-1.1 -> Compensating
            T-2.1 -> Merging
            R-1 base freed
                start T-1.1/c in L-2: undo a
                merge T-2.1: c2.1 onto base
            > merged T-2.1 other
            T-2.1 merged m2.1 onto base
            T-2.1 -> Restaging
                prepare L-3 for T-2.1 at m2.1
            > prepared T-2.1
            T-2.1 prepared
                start T-2.1/m0 in L-3: unit
            > ended T-2.1/m0 exit:1
            T-2.1 m0 exit:1
            T-2.1 -> Probing
            T-3.1 -> Merging
                start T-2.1/p in L-3: probe b
                merge T-3.1: c3.1 onto base
            > merged T-3.1 other
            T-3.1 merged m3.1 onto base
            T-3.1 -> Restaging
                prepare L-4 for T-3.1 at m3.1
            > prepared T-3.1
            T-3.1 prepared
                start T-3.1/m0 in L-4: unit
            > cancel T-3
            T-3 cancel asked
                stop T-3.1/m0
            > ended T-3.1/m0 cancelled
            T-3.1 m0 cancelled
            T-3.1 -> Probing
                start T-3.1/p in L-4: probe c
        "#]],
    );
}

#[test]
fn the_merged_tree_is_red_and_there_is_no_probe() {
    check(
        r#"
            quiet submit | a ext comp verify=unit
            quiet answer D-1 allow
            quiet auto hold=merge:T-1.1
            quiet merged T-1.1 other
            quiet prepared T-1.1
            ended T-1.1/m0 exit:1
        "#,
        expect![[r#"
            > ended T-1.1/m0 exit:1
            T-1.1 m0 exit:1
            T-1.1 -> Compensating
                start T-1.1/c in L-2: undo a
        "#]],
    );
}

#[test]
fn red_while_the_base_is_not_known_yet() {
    check(
        r#"
            quiet submit | a ext comp verify=unit; b ext probe verify=unit; c ext probe verify=unit
            quiet answer D-1 allow
            quiet answer D-2 allow
            quiet answer D-3 allow
            quiet auto hold=T-1.1/v0,T-2.1/v0,merge:T-3.1,R-1/b0
            merged T-3.1 other
            prepared T-3.1
            ended T-3.1/m0 exit:1
            ended T-1.1/v0 exit:1
            ended T-2.1/v0 exit:1
            ended R-1/b0 exit:0
        "#,
        expect![[r#"
            > merged T-3.1 other
            T-3.1 merged m3.1 onto base
            T-3.1 -> Restaging
                prepare L-4 for T-3.1 at m3.1
            > prepared T-3.1
            T-3.1 prepared
                start T-3.1/m0 in L-4: unit
            > ended T-3.1/m0 exit:1
            T-3.1 m0 exit:1
            T-3.1 -> AwaitingBaseMerged(0)
            > ended T-1.1/v0 exit:1
            T-1.1 v0 exit:1
            T-1.1 -> AwaitingBase(0)
            > ended T-2.1/v0 exit:1
            T-2.1 v0 exit:1
            T-2.1 -> AwaitingBase(0)
            > ended R-1/b0 exit:0
            R-1 base 0 exit:0
            T-1.1 -> Compensating
            T-2.1 -> Probing
            T-3.1 -> Probing
            R-1 base freed
                start T-1.1/c in L-2: undo a
                start T-2.1/p in L-3: probe b
                start T-3.1/p in L-4: probe c
        "#]],
    );
}

#[test]
fn cancelled_after_it_ran_says_what_is_left() {
    check(
        r#"
            quiet submit | a ext
            quiet answer D-1 allow
            quiet auto hold=merge:T-1.1
            cancel R-1
            auto
            retry R-1
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled; its effect outside is there)
            R-1 Cancel -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 1 tasks)
            > retry R-1
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 due again
            D-2 opened permission T-1 [allow deny]
            R-1 Escalate -> ESCALATING
                limit R-1 10
              = Reopened([TaskId(1)])
        "#]],
    );
}

#[test]
fn its_conflict_is_not_run_again_by_itself() {
    check(
        r#"
            quiet submit | a ext
            quiet answer D-1 allow
            quiet auto hold=merge:T-1.1
            conflict T-1.1
            answer D-2 drop
        "#,
        expect![[r#"
            > conflict T-1.1
            T-1.1 over conflict/retry (it conflicts with what has landed, in f)
            D-2 opened conflict T-1 [again drop]
            R-1 Escalate -> ESCALATING
            > answer D-2 drop
            D-2 answered drop
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 failed (left out: it conflicts with what landed; its effect outside is there)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(2), again: false }
        "#]],
    );
}
