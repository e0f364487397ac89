//! Scenarios: cancel in every phase, retry, checkpoints, apply and undo.

use expect_test::expect;

use super::check;

pub fn topic() {
    cancel_before_the_survey();
    cancel_while_planning();
    cancel_while_lanes_are_laid_out();
    cancel_before_the_base_is_laid_out();
    cancel_while_jobs_run();
    cancel_while_landing();
    cancel_while_escalating();
    cancel_while_the_final_checks_run();
    cancel_while_the_final_lane_is_laid_out();
    cancel_while_no_lane_is_left_for_the_final_checks();
    cancel_a_task_in_each_phase();
    a_cancelled_task_is_not_tried_again();
    cancel_a_task_that_waits_for_its_next_try();
    retry_a_run();
    retry_a_task_of_a_run_that_goes_on();
    nothing_joins_a_run_that_is_coming_to_its_end();
    checkpoints();
    a_checkpoint_of_another_history_is_refused();
    a_checkpoint_waits_for_what_runs();
    apply_and_undo();
    an_apply_under_way_is_sent_again_after_a_crash();
}

#[test]
fn cancel_before_the_survey() {
    check(
        r#"
            quiet submit later | a
            cancel R-1
            surveyed R-1
            auto
            cancel R-1
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
                publish R-1 -
            > surveyed R-1
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 0 tasks)
            > cancel R-1
              ! R-1 is over: cancelled | orchestrator retry R-1 tries what failed again
        "#]],
    );
}

#[test]
fn cancel_while_planning() {
    check(
        r#"
            quiet submit approve=always | a
            cancel R-1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
            D-1 withdrawn (the run is over)
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 1 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_lanes_are_laid_out() {
    check(
        r#"
            quiet submit | a verify=unit; b read
            quiet base R-1
            cancel R-1
            cancel R-1
            shared R-1
            ended R-1/b0 cancelled
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            T-2 cancelled (the run was cancelled)
                stop R-1/b0
            > cancel R-1
            > shared R-1
            R-1 shared ready
            R-1 shared freed
            > ended R-1/b0 cancelled
            R-1 base freed
            R-1 Cancel -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 2 tasks)
        "#]],
    );
}

#[test]
fn cancel_before_the_base_is_laid_out() {
    check(
        r#"
            quiet submit | a verify=unit
            cancel R-1
            base R-1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            > base R-1
            R-1 base freed
            R-1 Cancel -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 1 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_jobs_run() {
    check(
        r#"
            quiet submit | a verify=unit; b; c read; d needs=a
            quiet auto hold=T-1.1/v0,T-2.1,T-3.1
            cancel R-1
            ended T-3.1 exit:1 says=connection_reset_by_peer
            ended T-2.1 exit:0
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-4 cancelled (the run was cancelled)
                stop T-1.1/v0
                stop T-2.1
                stop T-3.1
            > ended T-3.1 exit:1 says=connection_reset_by_peer
            T-3.1 ran exit:1
            T-3.1 over network/retry (it ended with exit status 1)
            T-3 cancelled (cancelled)
            R-1 shared freed
            > ended T-2.1 exit:0
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
            T-2 cancelled (the run was cancelled)
                harvest T-2.1 in L-4
            > auto
            T-1.1 v0 exit:0
            T-1.1 -> Queued
            T-1 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
                publish R-1 -
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 4 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_landing() {
    check(
        r#"
            quiet submit | a; b; c
            quiet auto hold=advance:T-1.1,merge:T-2.1,harvest:T-3.1
            cancel R-1
            advanced T-1.1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-2 cancelled (the run was cancelled)
            T-3 cancelled (the run was cancelled)
            > advanced T-1.1
            T-1.1 landed m1.1
            T-1 completed
            R-1 Cancel -> COMPLETING
                publish R-1 m1.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 1 of 3 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_escalating() {
    check(
        r#"
            quiet submit | q ask
            quiet auto
            cancel R-1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
            D-1 withdrawn (the run is over)
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 1 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_the_final_checks_run() {
    check(
        r#"
            quiet submit | final=whole,again; a
            quiet auto hold=R-1/f0
            cancel R-1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
                stop R-1/f0
            > auto
            R-1 final freed
                publish R-1 m1.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 1 of 1 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_the_final_lane_is_laid_out() {
    check(
        r#"
            quiet submit | final=whole; a
            quiet auto hold=final:R-1
            cancel R-1
            final R-1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
            > final R-1
            R-1 final freed
                publish R-1 m1.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 1 of 1 tasks)
        "#]],
    );
}

#[test]
fn cancel_while_no_lane_is_left_for_the_final_checks() {
    check(
        r#"
            set lanes=1
            quiet submit | final=whole; a
            quiet auto hold=advance:T-1.1
            quiet submit prio=urgent | b
            advanced T-1.1
            cancel R-1
            published R-1
        "#,
        expect![[r#"
            > set lanes=1
            > advanced T-1.1
            T-1.1 landed m1.1
            T-1 completed
            T-2.1 claimed L-1 at base
            R-1 Complete -> COMPLETING
                prepare L-1 for T-2.1 at base
            > cancel R-1
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
                publish R-1 m1.1
            > published R-1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 1 of 1 tasks)
        "#]],
    );
}

#[test]
fn cancel_a_task_in_each_phase() {
    check(
        r#"
            quiet submit | a verify=unit; b; c; d; e; f needs=a
            quiet auto hold=T-1.1/v0,prepare:T-2.1,harvest:T-3.1,advance:T-4.1
            cancel T-1
            cancel T-2
            cancel T-3
            cancel T-4
            cancel T-5
            cancel T-6
            cancel T-7
            ended T-1.1/v0 exit:1
            auto
        "#,
        expect![[r#"
            > cancel T-1
            T-1 cancel asked
                stop T-1.1/v0
            > cancel T-2
            T-2 cancel asked
            T-2 cancelled (cancelled)
            > cancel T-3
            T-3 cancel asked
            T-3 cancelled (cancelled)
            > cancel T-4
              ! T-4 is landing this very moment | undo its run's result instead: orchestrator undo R-1
            > cancel T-5
            T-5 cancel asked
            T-5 cancelled (cancelled)
            > cancel T-6
            T-6 cancel asked
            T-6 cancelled (cancelled)
            > cancel T-7
              ! there is no task T-7
            > ended T-1.1/v0 exit:1
            T-1.1 v0 exit:1
            T-1.1 over wrong_output/rollback (not proven by `unit`: the check passed before and now ends with exit:1)
            T-1 cancelled (cancelled)
            > auto
            T-4.1 landed m4.1
            T-4 completed
            R-1 Complete -> COMPLETING
                publish R-1 m4.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (5 of 6 tasks did not complete, first T-1 (cancelled))
        "#]],
    );
}

#[test]
fn a_cancelled_task_is_not_tried_again() {
    check(
        r#"
            quiet submit | a; b
            quiet auto hold=T-1.1
            cancel T-1
            ended T-1.1 exit:1 says=connection_reset_by_peer
        "#,
        expect![[r#"
            > cancel T-1
            T-1 cancel asked
                stop T-1.1
            > ended T-1.1 exit:1 says=connection_reset_by_peer
            T-1.1 ran exit:1
            T-1.1 over network/retry (it ended with exit status 1)
            T-1 cancelled (cancelled)
            R-1 Complete -> COMPLETING
                publish R-1 m2.1
        "#]],
    );
}

#[test]
fn cancel_a_task_that_waits_for_its_next_try() {
    check(
        r#"
            quiet submit | a
            quiet prepared T-1.1
            quiet ended T-1.1 timeout
            cancel T-1
            tick +5s
            auto
        "#,
        expect![[r#"
            > cancel T-1
            T-1 cancel asked
            T-1 cancelled (cancelled)
            R-1 Complete -> COMPLETING
                publish R-1 -
            > tick +5s
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (1 of 1 tasks did not complete, first T-1 (cancelled))
        "#]],
    );
}

#[test]
fn retry_a_run() {
    check(
        r#"
            quiet submit | final=whole; a; b needs=a; c
            quiet auto hold=T-1.1
            ended T-1.1 exit:1
            quiet auto
            retry R-1
            auto
            retry R-1
        "#,
        expect![[r#"
            > ended T-1.1 exit:1
            T-1.1 ran exit:1
            T-1.1 over unknown/fallback (it ended with exit status 1)
            T-1 failed (it ended with exit status 1)
            T-2 blocked (it needs T-1, which is failed)
            R-1 Complete -> COMPLETING
            R-1 final lane L-1
                prepare L-1 for R-1 final at m3.1
            > retry R-1
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 due again
            T-2 due again
            T-1.2 claimed L-1 at m3.1
                limit R-1 10
                prepare L-1 for T-1.2 at m3.1
              = Reopened([TaskId(1), TaskId(2)])
            > auto
            T-1.2 prepared
                start T-1.2 in L-1: a
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-1
            T-1.2 harvested c1.2
            T-1.2 -> Queued
            T-1.2 -> Merging
                merge T-1.2: c1.2 onto m3.1
            T-1.2 merged m1.2 onto m3.1
            T-1.2 -> Advancing
                advance T-1.2: m3.1 to m1.2
            T-1.2 landed m1.2
            T-1 completed
            T-2.1 claimed L-1 at m1.2
                prepare L-1 for T-2.1 at m1.2
            T-2.1 prepared
                start T-2.1 in L-1: b
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto m1.2
            T-2.1 merged m2.1 onto m1.2
            T-2.1 -> Advancing
                advance T-2.1: m1.2 to m2.1
            T-2.1 landed m2.1
            T-2 completed
            R-1 Complete -> COMPLETING
            R-1 final lane L-1
                prepare L-1 for R-1 final at m2.1
            R-1 final check 0
                start R-1/f1 in L-1: whole
            R-1 final 0 exit:0
            R-1 final freed
                publish R-1 m2.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
            > retry R-1
              ! nothing of R-1 failed | only what failed, was blocked or cancelled can be tried again
        "#]],
    );
}

#[test]
fn retry_a_task_of_a_run_that_goes_on() {
    check(
        r#"
            quiet submit | a; b needs=a; c
            quiet auto hold=T-1.1,T-3.1
            quiet ended T-1.1 exit:1
            retry R-1 T-3
            retry R-1 T-1
            retry R-1 T-1
            retry R-2
            auto
            retry R-1 T-1
            quiet submit | z
            retry R-2 T-1
        "#,
        expect![[r#"
            > retry R-1 T-3
              ! T-3 is running | only what failed, was blocked or cancelled can be tried again
            > retry R-1 T-1
            T-1 due again
            T-2 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
              = Reopened([TaskId(1), TaskId(2)])
            > retry R-1 T-1
              ! T-1 is running | only what failed, was blocked or cancelled can be tried again
            > retry R-2
              ! there is no run R-2
            > auto
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-2
            T-1.2 prepared
                start T-1.2 in L-1: a
            T-3.1 harvested c3.1
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto base
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-1
            T-3.1 merged m3.1 onto base
            T-3.1 -> Advancing
                advance T-3.1: base to m3.1
            T-1.2 harvested c1.2
            T-1.2 -> Queued
            T-3.1 landed m3.1
            T-3 completed
            T-1.2 -> Merging
                merge T-1.2: c1.2 onto m3.1
            T-1.2 merged m1.2 onto m3.1
            T-1.2 -> Advancing
                advance T-1.2: m3.1 to m1.2
            T-1.2 landed m1.2
            T-1 completed
            T-2.1 claimed L-1 at m1.2
                prepare L-1 for T-2.1 at m1.2
            T-2.1 prepared
                start T-2.1 in L-1: b
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto m1.2
            T-2.1 merged m2.1 onto m1.2
            T-2.1 -> Advancing
                advance T-2.1: m1.2 to m2.1
            T-2.1 landed m2.1
            T-2 completed
            R-1 Complete -> COMPLETING
                publish R-1 m2.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
            > retry R-1 T-1
              ! T-1 is completed | only what failed, was blocked or cancelled can be tried again
            > retry R-2 T-1
              ! T-1 is not a task of R-2 | it belongs to R-1
        "#]],
    );
}

#[test]
fn nothing_joins_a_run_that_is_coming_to_its_end() {
    check(
        r#"
            quiet submit | a; b
            quiet auto hold=T-1.1,publish:R-1
            quiet ended T-1.1 exit:1
            retry R-1
            task run=R-1 | c
            auto
            retry R-1
            cancel R-1
            retry R-1
            auto
        "#,
        expect![[r#"
            > retry R-1
              ! R-1 is coming to its end | wait until it is over
            > task run=R-1 | c
              ! R-1 is coming to its end | wait until it is over
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (1 of 2 tasks did not complete, first T-1 (failed))
            > retry R-1
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 due again
            T-1.2 claimed L-1 at m2.1
                limit R-1 10
                prepare L-1 for T-1.2 at m2.1
              = Reopened([TaskId(1)])
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
                publish R-1 m2.1
            > retry R-1
              ! R-1 is coming to its end | wait until it is over
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 1 of 2 tasks)
        "#]],
    );
}

#[test]
fn checkpoints() {
    check(
        r#"
            quiet submit | a; b; c needs=b; d read needs=c
            quiet auto hold=advance:T-1.1,advance:T-2.1
            save
            advanced T-2.1
            save R-1
            quiet auto
            restore C-2
            auto
            restore C-2
            restore C-1
            restore C-9
            auto
        "#,
        expect![[r#"
            > save
            C-1 saved [R-1:0]
              = Checkpoint(CheckpointId(1))
            > advanced T-2.1
            T-2.1 landed m2.1
            T-2 completed
            T-1.1 -> Merging
            T-3.1 claimed L-1 at m2.1
                merge T-1.1: c1.1 onto m2.1
                prepare L-1 for T-3.1 at m2.1
            > save R-1
            C-2 saved [R-1:1]
              = Checkpoint(CheckpointId(2))
            > restore C-2
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 back to C-2: 1 landed, again [T-1 T-3 T-4]
            T-3.2 claimed L-1 at m2.1
            T-1.2 claimed L-2 at m2.1
                limit R-1 10
                set ref R-1 to m2.1
                prepare L-1 for T-3.2 at m2.1
                prepare L-2 for T-1.2 at m2.1
              = Reopened([TaskId(1), TaskId(3), TaskId(4)])
            > auto
            T-3.2 prepared
                start T-3.2 in L-1: c
            T-1.2 prepared
                start T-1.2 in L-2: a
            T-3.2 ran exit:0
            T-3.2 -> Harvesting
                harvest T-3.2 in L-1
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-2
            T-3.2 harvested c3.2
            T-3.2 -> Queued
            T-3.2 -> Merging
                merge T-3.2: c3.2 onto m2.1
            T-1.2 harvested c1.2
            T-1.2 -> Queued
            T-3.2 merged m3.2 onto m2.1
            T-3.2 -> Advancing
                advance T-3.2: m2.1 to m3.2
            T-3.2 landed m3.2
            T-3 completed
            T-1.2 -> Merging
            T-4.2 claimed L-1 at m3.2
                merge T-1.2: c1.2 onto m3.2
                prepare L-1 for T-4.2 at m3.2
            T-1.2 merged m1.2 onto m3.2
            T-1.2 -> Advancing
                advance T-1.2: m3.2 to m1.2
            T-4.2 prepared
                start T-4.2 in L-1: d
            T-1.2 landed m1.2
            T-1 completed
            T-4.2 ran exit:0
            T-4.2 -> Harvesting
                harvest T-4.2 in L-1
            T-4.2 harvested m3.2
            T-4 completed (nothing to change)
            R-1 Complete -> COMPLETING
                publish R-1 m1.2
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
            > restore C-2
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 back to C-2: 1 landed, again [T-1 T-3 T-4]
            T-3.3 claimed L-1 at m2.1
            T-1.3 claimed L-2 at m2.1
                limit R-1 10
                set ref R-1 to m2.1
                prepare L-1 for T-3.3 at m2.1
                prepare L-2 for T-1.3 at m2.1
              = Reopened([TaskId(1), TaskId(3), TaskId(4)])
            > restore C-1
              ! R-1 has attempts under way | wait until nothing of it runs, or cancel it: orchestrator cancel R-1
            > restore C-9
              ! there is no checkpoint C-9
            > auto
            T-3.3 prepared
                start T-3.3 in L-1: c
            T-1.3 prepared
                start T-1.3 in L-2: a
            T-3.3 ran exit:0
            T-3.3 -> Harvesting
                harvest T-3.3 in L-1
            T-1.3 ran exit:0
            T-1.3 -> Harvesting
                harvest T-1.3 in L-2
            T-3.3 harvested c3.3
            T-3.3 -> Queued
            T-3.3 -> Merging
                merge T-3.3: c3.3 onto m2.1
            T-1.3 harvested c1.3
            T-1.3 -> Queued
            T-3.3 merged m3.3 onto m2.1
            T-3.3 -> Advancing
                advance T-3.3: m2.1 to m3.3
            T-3.3 landed m3.3
            T-3 completed
            T-1.3 -> Merging
            T-4.3 claimed L-1 at m3.3
                merge T-1.3: c1.3 onto m3.3
                prepare L-1 for T-4.3 at m3.3
            T-1.3 merged m1.3 onto m3.3
            T-1.3 -> Advancing
                advance T-1.3: m3.3 to m1.3
            T-4.3 prepared
                start T-4.3 in L-1: d
            T-1.3 landed m1.3
            T-1 completed
            T-4.3 ran exit:0
            T-4.3 -> Harvesting
                harvest T-4.3 in L-1
            T-4.3 harvested m3.3
            T-4 completed (nothing to change)
            R-1 Complete -> COMPLETING
                publish R-1 m1.3
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn a_checkpoint_of_another_history_is_refused() {
    check(
        r#"
            quiet submit | a; b needs=a
            quiet auto hold=advance:T-1.1
            quiet save
            quiet auto hold=merge:T-2.1
            quiet advanced T-1.1
            quiet save
            quiet auto
            quiet restore C-1
            quiet auto
            restore C-2
        "#,
        expect![[r#"
            > restore C-2
              ! R-1 was set back further since C-2 was saved, so C-2 is no part of its history
        "#]],
    );
}

#[test]
fn a_checkpoint_waits_for_what_runs() {
    check(
        r#"
            quiet submit | a; b needs=a; q ask needs=a
            quiet auto hold=advance:T-1.1
            quiet save
            quiet advanced T-1.1
            quiet auto hold=T-2.1
            restore C-1
            ended T-2.1 exit:1
            restore C-1
            crash
            auto
        "#,
        expect![[r#"
            > restore C-1
              ! R-1 has attempts under way | wait until nothing of it runs, or cancel it: orchestrator cancel R-1
            > ended T-2.1 exit:1
            T-2.1 ran exit:1
            T-2.1 over unknown/fallback (it ended with exit status 1)
            T-2 failed (it ended with exit status 1)
            R-1 Escalate -> ESCALATING
            > restore C-1
            D-1 withdrawn (R-1 was set back to C-1)
            R-1 back to C-1: 0 landed, again [T-1 T-2 T-3]
            R-1 UserResponse -> EXECUTING
            T-1.2 claimed L-1 at base
            R-1 Monitor -> MONITORING
                set ref R-1 to base
                prepare L-1 for T-1.2 at base
              = Reopened([TaskId(1), TaskId(2), TaskId(3)])
            > crash
                limit R-1 10
                set ref R-1 to base
                prepare L-1 for T-1.2 at base
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
            D-2 opened agent_question T-3 [yes no]
            T-2.2 claimed L-1 at m1.2
                prepare L-1 for T-2.2 at m1.2
            T-2.2 prepared
                start T-2.2 in L-1: b
            T-2.2 ran exit:0
            T-2.2 -> Harvesting
                harvest T-2.2 in L-1
            T-2.2 harvested c2.2
            T-2.2 -> Queued
            T-2.2 -> Merging
                merge T-2.2: c2.2 onto m1.2
            T-2.2 merged m2.2 onto m1.2
            T-2.2 -> Advancing
                advance T-2.2: m1.2 to m2.2
            T-2.2 landed m2.2
            T-2 completed
            R-1 Escalate -> ESCALATING
        "#]],
    );
}

#[test]
fn apply_and_undo() {
    check(
        r#"
            quiet submit | a; b
            apply R-1
            quiet auto
            apply R-1 T-9
            undo R-1
            apply R-1 T-1
            apply R-1
            undo R-1
            applied R-1 7
            applied R-1 1
            apply-refused R-1
            undo R-1
            undo-refused R-1
            undo R-1
            undone R-1 9
            undone R-1 1
            undone R-1 1
            apply R-1
            apply-refused R-1
            undo R-1
            apply R-9
            crash
        "#,
        expect![[r#"
            > apply R-1
              ! nothing of R-1 has landed, so there is nothing to apply | wait for it
            > apply R-1 T-9
              ! T-9 has not landed in R-1 | landed: T-1, T-2
            > undo R-1
              ! R-1 is not applied | orchestrator apply R-1 brings it into the checkout
            > apply R-1 T-1
            R-1 apply 1 begun [TaskId(1)]
                apply R-1 1: m2.1 ["c1.1"]
            > apply R-1
              ! R-1 is being applied or undone right now | try again in a moment
            > undo R-1
              ! R-1 is being applied or undone right now | try again in a moment
            > applied R-1 7
            > applied R-1 1
            R-1 apply 1 done
            > apply-refused R-1
            > undo R-1
            R-1 undo 1 begun
                undo R-1 1
            > undo-refused R-1
            R-1 undo refused (edited since)
            > undo R-1
            R-1 undo 1 begun
                undo R-1 1
            > undone R-1 9
            > undone R-1 1
            R-1 undo 1 done
            > undone R-1 1
            > apply R-1
            R-1 apply 2 begun []
                apply R-1 2: m2.1 []
            > apply-refused R-1
            R-1 apply refused (conflict)
            > undo R-1
              ! R-1 is not applied | orchestrator apply R-1 brings it into the checkout
            > apply R-9
              ! there is no run R-9
            > crash
        "#]],
    );
}

#[test]
fn an_apply_under_way_is_sent_again_after_a_crash() {
    check(
        r#"
            quiet submit | a
            quiet auto
            apply R-1
            crash
            applied R-1 1
            undo R-1
            crash
            undone R-1 1
            crash
        "#,
        expect![[r#"
            > apply R-1
            R-1 apply 1 begun []
                apply R-1 1: m1.1 []
            > crash
                apply R-1 1: m1.1 []
            > applied R-1 1
            R-1 apply 1 done
            > undo R-1
            R-1 undo 1 begun
                undo R-1 1
            > crash
                undo R-1 1
            > undone R-1 1
            R-1 undo 1 done
            > crash
        "#]],
    );
}
