//! Scenarios: after a failure: again, a question, or the end of the task and of what needs it.

use expect_test::expect;

use super::check;

pub fn topic() {
    again_after_one_two_and_four_seconds_then_failed();
    jitter_adds_at_most_a_tenth();
    what_cannot_help_is_not_tried_again();
    a_lost_attempt_begins_at_once_and_is_not_counted();
    lost_again_and_again_asks();
    a_lost_check_loses_the_attempt_and_refutes_nothing();
    red_because_of_the_change_is_undone();
    a_check_that_cannot_start_is_not_the_changes_fault();
    on_failure_stop();
    stale_reports_are_dropped();
    a_clock_that_jumps_back_only_waits_longer();
    a_crash_sends_what_is_under_way_again();
    a_crash_while_completing();
}

#[test]
fn again_after_one_two_and_four_seconds_then_failed() {
    check(
        r#"
            submit | a; b needs=a; c needs=b; d
            prepared T-1.1
            ended T-1.1 exit:1 says=connection_reset_by_peer
            tick +0s
            tick +1s
            prepared T-1.2
            ended T-1.2 exit:1 says=connection_reset_by_peer
            tick +1s
            tick +1s
            prepared T-1.3
            ended T-1.3 timeout
            tick +3s
            tick +1s
            prepared T-1.4
            ended T-1.4 silent
            auto
        "#,
        expect![[r#"
            > submit | a; b needs=a; c needs=b; d
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 4 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
            T-4.1 claimed L-2 at base
                limit R-1 10
                prepare L-1 for T-1.1 at base
                prepare L-2 for T-4.1 at base
            > prepared T-1.1
            T-1.1 prepared
                start T-1.1 in L-1: a
            > ended T-1.1 exit:1 says=connection_reset_by_peer
            T-1.1 ran exit:1
            T-1.1 over network/retry (it ended with exit status 1)
            T-1 retry
            > tick +0s
            > tick +1s
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
            > prepared T-1.2
            T-1.2 prepared
                start T-1.2 in L-1: a
            > ended T-1.2 exit:1 says=connection_reset_by_peer
            T-1.2 ran exit:1
            T-1.2 over network/retry (it ended with exit status 1)
            T-1 retry
            > tick +1s
            > tick +1s
            T-1 due again
            T-1.3 claimed L-1 at base
                prepare L-1 for T-1.3 at base
            > prepared T-1.3
            T-1.3 prepared
                start T-1.3 in L-1: a
            > ended T-1.3 timeout
            T-1.3 ran timeout
            T-1.3 over transient/retry (it took longer than its time limit and was ended)
            T-1 retry
            > tick +3s
            > tick +1s
            T-1 due again
            T-1.4 claimed L-1 at base
                prepare L-1 for T-1.4 at base
            > prepared T-1.4
            T-1.4 prepared
                start T-1.4 in L-1: a
            > ended T-1.4 silent
            T-1.4 ran silent
            T-1.4 over transient/retry (it said nothing for too long and was ended)
            T-1 failed (it said nothing for too long and was ended)
            T-2 blocked (it needs T-1, which is failed)
            T-3 blocked (it needs T-2, which is blocked)
            > auto
            T-4.1 prepared
                start T-4.1 in L-2: d
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-2
            T-4.1 harvested c4.1
            T-4.1 -> Queued
            T-4.1 -> Merging
                merge T-4.1: c4.1 onto base
            T-4.1 merged m4.1 onto base
            T-4.1 -> Advancing
                advance T-4.1: base to m4.1
            T-4.1 landed m4.1
            T-4 completed
            R-1 Complete -> COMPLETING
                publish R-1 m4.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (3 of 4 tasks did not complete, first T-1 (failed))
        "#]],
    );
}

#[test]
fn jitter_adds_at_most_a_tenth() {
    check(
        r#"
            set jitter=0.1
            quiet submit | a
            quiet prepared T-1.1
            ended T-1.1 timeout
            tick +1s
            tick +100ms
        "#,
        expect![[r#"
            > set jitter=0.1
            > ended T-1.1 timeout
            T-1.1 ran timeout
            T-1.1 over transient/retry (it took longer than its time limit and was ended)
            T-1 retry
            > tick +1s
            > tick +100ms
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
        "#]],
    );
}

#[test]
fn what_cannot_help_is_not_tried_again() {
    check(
        r#"
            quiet submit | a; b; c
            quiet auto hold=T-1.1,T-2.1,T-3.1
            ended T-1.1 not_started
            ended T-2.1 exit:1 says=error:_no_such_option
            ended T-3.1 garbled
        "#,
        expect![[r#"
            > ended T-1.1 not_started
            T-1.1 ran not_started
            T-1.1 over environment/fallback (no such program)
            T-1 failed (no such program)
            > ended T-2.1 exit:1 says=error:_no_such_option
            T-2.1 ran exit:1
            T-2.1 over permanent/fallback (it ended with exit status 1)
            T-2 failed (it ended with exit status 1)
            > ended T-3.1 garbled
            T-3.1 ran garbled
            T-3.1 over wrong_output/fallback (its output could not be read: no answer)
            T-3 failed (its output could not be read: no answer)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn a_lost_attempt_begins_at_once_and_is_not_counted() {
    check(
        r#"
            quiet submit | a retry=0
            quiet auto hold=T-1.1
            ended T-1.1 lost
            quiet auto hold=T-1.2
            ended T-1.2 lost
        "#,
        expect![[r#"
            > ended T-1.1 lost
            T-1.1 ran lost
            T-1.1 over transient/retry (it may have run: the machine or the keeper went down while it did)
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
            > ended T-1.2 lost
            T-1.2 ran lost
            T-1.2 over transient/retry (it may have run: the machine or the keeper went down while it did)
            T-1 due again
            T-1.3 claimed L-1 at base
                prepare L-1 for T-1.3 at base
        "#]],
    );
}

#[test]
fn lost_again_and_again_asks() {
    check(
        r#"
            quiet submit | a read
            quiet shared R-1
            quiet ended T-1.1 lost
            quiet ended T-1.2 lost
            quiet ended T-1.3 lost
            quiet ended T-1.4 lost
            ended T-1.5 lost
            ended T-1.6 lost
            quiet inspected R-1
            answer D-1 again
            shared R-1
            ended T-1.7 lost
            answer D-2 stop
        "#,
        expect![[r#"
            > ended T-1.5 lost
            T-1.5 ran lost
            T-1.5 over transient/retry (it may have run: the machine or the keeper went down while it did)
            T-1 due again
            T-1.6 claimed shared
                start T-1.6 in L-1: a
            > ended T-1.6 lost
            T-1.6 ran lost
            T-1.6 over transient/retry (it may have run: the machine or the keeper went down while it did)
            D-1 opened retry_exhausted T-1 [done again stop]
            R-1 shared inspected
            R-1 Escalate -> ESCALATING
                inspect L-1 of R-1
            > answer D-1 again
            D-1 answered again
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 allowed
            T-1 due again
            R-1 shared lane L-1
                prepare L-1 for R-1 shared at base
              = Decided { decision: DecisionId(1), again: false }
            > shared R-1
            R-1 shared ready
            T-1.7 claimed shared
                start T-1.7 in L-1: a
            > ended T-1.7 lost
            T-1.7 ran lost
            T-1.7 over transient/retry (it may have run: the machine or the keeper went down while it did)
            D-2 opened retry_exhausted T-1 [done again stop]
            R-1 shared inspected
            R-1 Escalate -> ESCALATING
                inspect L-1 of R-1
            > answer D-2 stop
            D-2 answered stop
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 failed (a person gave it up)
              = Decided { decision: DecisionId(2), again: false }
        "#]],
    );
}

#[test]
fn a_lost_check_loses_the_attempt_and_refutes_nothing() {
    check(
        r#"
            quiet submit | a verify=unit
            quiet auto hold=T-1.1/v0
            ended T-1.1/v0 lost
        "#,
        expect![[r#"
            > ended T-1.1/v0 lost
            T-1.1 v0 lost
            T-1.1 over transient/retry (it may have run: the machine or the keeper went down while it did)
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
        "#]],
    );
}

#[test]
fn red_because_of_the_change_is_undone() {
    check(
        r#"
            quiet submit | a verify=unit; b needs=a
            quiet auto hold=T-1.1/v0
            ended T-1.1/v0 exit:1
            auto
        "#,
        expect![[r#"
            > ended T-1.1/v0 exit:1
            T-1.1 v0 exit:1
            T-1.1 over wrong_output/rollback (not proven by `unit`: the check passed before and now ends with exit:1)
            T-1 undone (not proven by `unit`: the check passed before and now ends with exit:1)
            T-2 blocked (it needs T-1, which is undone)
            R-1 Complete -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (2 of 2 tasks did not complete, first T-1 (undone))
        "#]],
    );
}

#[test]
fn a_check_that_cannot_start_is_not_the_changes_fault() {
    check(
        r#"
            quiet submit | a verify=unit
            quiet auto hold=T-1.1/v0
            ended T-1.1/v0 not_started
        "#,
        expect![[r#"
            > ended T-1.1/v0 not_started
            T-1.1 v0 not_started
            T-1.1 over environment/escalate (the check could not start: no such program)
            T-1 failed (the check could not start: no such program)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn on_failure_stop() {
    check(
        r#"
            quiet submit | stop; a; b; c needs=b; d read; q ask
            quiet auto hold=T-1.1,T-2.1,T-4.1,shared:R-1
            quiet started T-2.1
            ended T-1.1 exit:1
            auto hold=T-2.1
            answer D-1 yes
            ended T-2.1 exit:1 says=connection_reset_by_peer
            auto
        "#,
        expect![[r#"
            > ended T-1.1 exit:1
            T-1.1 ran exit:1
            T-1.1 over unknown/fallback (it ended with exit status 1)
            T-1 failed (it ended with exit status 1)
            R-1 stopping
            T-3 blocked (the plan stops after a failure)
            T-4 blocked (the plan stops after a failure)
            > auto hold=T-2.1
            R-1 shared ready
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            > answer D-1 yes
            D-1 answered yes
            T-5 chosen yes
            T-5 completed (answered: yes)
              = Decided { decision: DecisionId(1), again: false }
            > ended T-2.1 exit:1 says=connection_reset_by_peer
            T-2.1 ran exit:1
            T-2.1 over network/retry (it ended with exit status 1)
            T-2 failed (it ended with exit status 1)
            R-1 Complete -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended partial (4 of 5 tasks did not complete, first T-1 (failed))
        "#]],
    );
}

#[test]
fn stale_reports_are_dropped() {
    check(
        r#"
            quiet submit | a
            prepared T-1.2
            prepared T-1.1
            prepared T-1.1 failed late
            broken T-1.1 late
            prepared T-1.1
            started T-1.1
            started T-1.1
            ended T-1.1 exit:1 says=connection_reset_by_peer
            ended T-1.1 exit:0
            harvested T-1.1
            tick +2s
            ended T-1.1 exit:0
            advanced T-1.2
            ended T-1.1/v0 exit:0
            ended R-1/b0 exit:0
            ended R-1/f7 exit:0
            shared R-1
            base R-1
            final R-1
            published R-1
            applied R-1 1
            surveyed R-1
            survey-failed R-1 late
            survey-failed R-9 never
            merged T-9.1
        "#,
        expect![[r#"
            > prepared T-1.2
            > prepared T-1.1
            T-1.1 prepared
                start T-1.1 in L-1: a
            > prepared T-1.1 failed late
            > broken T-1.1 late
            > prepared T-1.1
            > started T-1.1
            T-1.1 started
            > started T-1.1
            > ended T-1.1 exit:1 says=connection_reset_by_peer
            T-1.1 ran exit:1
            T-1.1 over network/retry (it ended with exit status 1)
            T-1 retry
            > ended T-1.1 exit:0
            > harvested T-1.1
            > tick +2s
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
            > ended T-1.1 exit:0
            > advanced T-1.2
            > ended T-1.1/v0 exit:0
            > ended R-1/b0 exit:0
            > ended R-1/f7 exit:0
            > shared R-1
            > base R-1
            > final R-1
            > published R-1
            > applied R-1 1
            > surveyed R-1
            > survey-failed R-1 late
            > survey-failed R-9 never
            > merged T-9.1
        "#]],
    );
}

#[test]
fn a_clock_that_jumps_back_only_waits_longer() {
    check(
        r#"
            quiet submit | a
            quiet prepared T-1.1
            ended T-1.1 timeout
            tick -60s
            tick +60s
            tick +1s
        "#,
        expect![[r#"
            > ended T-1.1 timeout
            T-1.1 ran timeout
            T-1.1 over transient/retry (it took longer than its time limit and was ended)
            T-1 retry
            > tick -60s
            > tick +60s
            > tick +1s
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
        "#]],
    );
}

#[test]
fn a_crash_sends_what_is_under_way_again() {
    check(
        r#"
            quiet submit | a verify=unit; b; c read; d
            quiet auto hold=T-1.1,harvest:T-2.1,shared:R-1,prepare:T-4.1,R-1/b0
            cancel T-1
            crash
        "#,
        expect![[r#"
            > cancel T-1
            T-1 cancel asked
                stop T-1.1
            > crash
                limit R-1 10
                prepare L-1 for R-1 shared at base
                start R-1/b0 in L-2: unit
                start T-1.1 in L-3: a
                stop T-1.1
                harvest T-2.1 in L-4
                prepare L-5 for T-4.1 at base
        "#]],
    );
}

#[test]
fn a_crash_while_completing() {
    check(
        r#"
            quiet submit | final=whole; a
            quiet auto hold=R-1/f0
            crash
            quiet ended R-1/f0 exit:0
            crash
        "#,
        expect![[r#"
            > crash
                limit R-1 10
                set ref R-1 to m1.1
                start R-1/f0 in L-1: whole
            > crash
                limit R-1 10
                set ref R-1 to m1.1
                publish R-1 m1.1
        "#]],
    );
}
