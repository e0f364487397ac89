//! Scenarios: from a change in a lane to the run's ref and the branch.

use expect_test::expect;

use super::check;

pub fn topic() {
    a_writer_is_proven_merged_and_landed();
    landing_is_one_at_a_time_and_a_merged_tree_is_proven_again();
    a_merged_tree_that_is_red_is_made_to_fit_what_has_landed();
    red_before_and_no_redder_now();
    redder_than_before();
    a_second_check_waits_for_the_base_as_well();
    the_merged_tree_waits_for_the_base();
    the_base_cannot_be_checked();
    a_lost_check_of_the_base_begins_anew_under_another_id();
    a_check_that_another_run_made_on_this_tree_is_not_made_again();
    nothing_to_change();
    what_it_changes_had_landed_already();
    a_conflict_runs_again_then_asks();
    the_merged_tree_is_redder_than_the_base();
    redder_than_a_base_that_is_known_later();
    a_lane_that_cannot_be_set_to_the_merged_tree();
    a_ref_that_is_elsewhere_is_set_back_a_few_times();
    a_step_of_ours_that_fails_is_tried_again();
    the_final_check_decides();
    final_checks_are_left_out_where_nothing_landed();
    the_final_lane_cannot_be_laid_out();
    a_branch_that_cannot_be_made_is_only_noted();
    checks_come_from_the_success_criteria_where_a_task_names_none();
    the_landing_that_makes_the_whole_red_is_found_and_taken_out();
    nobody_is_blamed_for_what_was_red_before();
    a_search_for_the_landing_is_cancelled();
    a_search_without_a_lane_ends();
    a_crash_while_a_landing_is_looked_for_and_while_others_land_again();
}

#[test]
fn a_writer_is_proven_merged_and_landed() {
    check(
        r#"
            submit | w verify=unit
            base R-1
            ended R-1/b0 exit:0
            prepared T-1.1
            started T-1.1
            ended T-1.1 exit:0
            harvested T-1.1
            ended T-1.1/v0 exit:0
            merged T-1.1
            advanced T-1.1
            published R-1
        "#,
        expect![[r#"
            > submit | w verify=unit
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 1 tasks from T-1, base ["unit"]
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 base lane L-1
            T-1.1 claimed L-2 at base
                limit R-1 10
                prepare L-1 for R-1 base at base
                prepare L-2 for T-1.1 at base
            > base R-1
            R-1 base check 0
                start R-1/b0 in L-1: unit
            > ended R-1/b0 exit:0
            R-1 base 0 exit:0
            R-1 base freed
            > prepared T-1.1
            T-1.1 prepared
                start T-1.1 in L-2: w
            > started T-1.1
            T-1.1 started
            > ended T-1.1 exit:0
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > harvested T-1.1
            T-1.1 harvested c1.1
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-2: unit
            > ended T-1.1/v0 exit:0
            T-1.1 v0 exit:0
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
            > merged T-1.1
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            > advanced T-1.1
            T-1.1 landed m1.1
            T-1 completed
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
            > published R-1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn landing_is_one_at_a_time_and_a_merged_tree_is_proven_again() {
    check(
        r#"
            quiet submit | a verify=unit; b verify=unit
            quiet auto hold=merge:T-1.1,merge:T-2.1
            merged T-1.1
            advanced T-1.1
            merged T-2.1 other
            prepared T-2.1
            ended T-2.1/m0 exit:0
            advanced T-2.1
            auto
        "#,
        expect![[r#"
            > merged T-1.1
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            > advanced T-1.1
            T-1.1 landed m1.1
            T-1 completed
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto m1.1
            > merged T-2.1 other
            T-2.1 merged m2.1 onto m1.1
            T-2.1 -> Restaging
                prepare L-3 for T-2.1 at m2.1
            > prepared T-2.1
            T-2.1 prepared
                start T-2.1/m0 in L-3: unit
            > ended T-2.1/m0 exit:0
            T-2.1 m0 exit:0
            T-2.1 -> Advancing
                advance T-2.1: m1.1 to m2.1
            > advanced T-2.1
            T-2.1 landed m2.1
            T-2 completed
            R-1 Complete -> COMPLETING
                publish R-1 m2.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn a_merged_tree_that_is_red_is_made_to_fit_what_has_landed() {
    check(
        r#"
            quiet submit | a verify=unit,lint; b verify=unit,lint
            quiet auto hold=merge:T-2.1,T-2.1/m0
            merged T-2.1 other
            prepared T-2.1
            ended T-2.1/m0 exit:0
            ended T-2.1/m1 exit:1
            tick +1s
            auto hold=T-2.2/v1
            ended T-2.2/v1 exit:1
            auto
        "#,
        expect![[r#"
            > merged T-2.1 other
            T-2.1 merged m2.1 onto m1.1
            T-2.1 -> Restaging
                prepare L-3 for T-2.1 at m2.1
            > prepared T-2.1
            T-2.1 prepared
                start T-2.1/m0 in L-3: unit
            > ended T-2.1/m0 exit:0
            T-2.1 m0 exit:0
            T-2.1 -> Rechecking(1)
                start T-2.1/m1 in L-3: lint
            > ended T-2.1/m1 exit:1
            T-2.1 m1 exit:1
            T-2.1 over conflict/retry (not proven by `lint` on the tree merged with what had landed: the check passed before and now ends with exit:1)
            T-2 retry
                set ref R-1 to m1.1
            > tick +1s
            T-2 due again
            T-2.2 claimed L-1 at m1.1
                prepare L-1 for T-2.2 at m1.1
            > auto hold=T-2.2/v1
            T-2.2 prepared
                start T-2.2 in L-1: b
            T-2.2 ran exit:0
            T-2.2 -> Harvesting
                harvest T-2.2 in L-1
            T-2.2 harvested c2.2
            T-2.2 -> Checking(0)
                start T-2.2/v0 in L-1: unit
            T-2.2 v0 exit:0
            T-2.2 -> Checking(1)
                start T-2.2/v1 in L-1: lint
            > ended T-2.2/v1 exit:1
            T-2.2 v1 exit:1
            T-2.2 over wrong_output/rollback (not proven by `lint`: the check passed before and now ends with exit:1)
            T-2 undone (not proven by `lint`: the check passed before and now ends with exit:1)
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (1 of 2 tasks did not complete, first T-2 (undone))
        "#]],
    );
}

#[test]
fn red_before_and_no_redder_now() {
    check(
        r#"
            submit | w verify=unit,lint
            quiet auto hold=R-1/b0,T-1.1/v0
            ended T-1.1/v0 exit:1 names=a
            ended R-1/b0 exit:1 names=a,b
            auto
        "#,
        expect![[r#"
            > submit | w verify=unit,lint
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 1 tasks from T-1, base ["unit", "lint"]
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 base lane L-1
            T-1.1 claimed L-2 at base
                limit R-1 10
                prepare L-1 for R-1 base at base
                prepare L-2 for T-1.1 at base
            > ended T-1.1/v0 exit:1 names=a
            T-1.1 v0 exit:1 ["a"]
            T-1.1 -> AwaitingBase(0)
            > ended R-1/b0 exit:1 names=a,b
            R-1 base 0 exit:1 ["a", "b"]
            T-1.1 -> Checking(1)
            R-1 base check 1
                start T-1.1/v1 in L-2: lint
                start R-1/b1 in L-1: lint
            > auto
            T-1.1 v1 exit:0
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
            R-1 base 1 exit:0
            R-1 base freed
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
fn redder_than_before() {
    check(
        r#"
            quiet submit | w verify=unit
            quiet auto hold=R-1/b0,T-1.1/v0
            ended R-1/b0 exit:1 names=a
            ended T-1.1/v0 exit:1 names=a,b
            auto
        "#,
        expect![[r#"
            > ended R-1/b0 exit:1 names=a
            R-1 base 0 exit:1 ["a"]
            R-1 base freed
            > ended T-1.1/v0 exit:1 names=a,b
            T-1.1 v0 exit:1 ["a", "b"]
            T-1.1 over wrong_output/rollback (not proven by `unit`: these failures are new: b)
            T-1 undone (not proven by `unit`: these failures are new: b)
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
fn a_second_check_waits_for_the_base_as_well() {
    check(
        r#"
            quiet submit | w verify=unit,lint; v verify=unit,lint
            quiet auto hold=R-1/b0,R-1/b1,T-1.1/v0,T-1.1/v1,T-2.1/v0
            ended T-1.1/v0 exit:0
            ended T-1.1/v1 exit:1 names=a
            ended T-2.1/v0 exit:1 names=a
            ended R-1/b0 exit:1 names=a
            ended R-1/b1 exit:1 names=a
            auto
        "#,
        expect![[r#"
            > ended T-1.1/v0 exit:0
            T-1.1 v0 exit:0
            T-1.1 -> Checking(1)
                start T-1.1/v1 in L-2: lint
            > ended T-1.1/v1 exit:1 names=a
            T-1.1 v1 exit:1 ["a"]
            T-1.1 -> AwaitingBase(1)
            > ended T-2.1/v0 exit:1 names=a
            T-2.1 v0 exit:1 ["a"]
            T-2.1 -> AwaitingBase(0)
            > ended R-1/b0 exit:1 names=a
            R-1 base 0 exit:1 ["a"]
            T-2.1 -> Checking(1)
            R-1 base check 1
                start T-2.1/v1 in L-3: lint
                start R-1/b1 in L-1: lint
            > ended R-1/b1 exit:1 names=a
            R-1 base 1 exit:1 ["a"]
            T-1.1 -> Queued
            T-1.1 -> Merging
            R-1 base freed
                merge T-1.1: c1.1 onto base
            > auto
            T-2.1 v1 exit:0
            T-2.1 -> Queued
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            T-1.1 landed m1.1
            T-1 completed
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto m1.1
            T-2.1 merged m2.1 onto m1.1
            T-2.1 -> Advancing
                advance T-2.1: m1.1 to m2.1
            T-2.1 landed m2.1
            T-2 completed
            R-1 Complete -> COMPLETING
                publish R-1 m2.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn the_merged_tree_waits_for_the_base() {
    check(
        r#"
            quiet submit | w verify=unit,lint
            quiet auto hold=R-1/b0,R-1/b1,merge:T-1.1
            merged T-1.1 other
            prepared T-1.1
            ended T-1.1/m0 exit:1 names=a
            ended R-1/b0 exit:1 names=a
            ended T-1.1/m1 exit:1 names=a
            ended R-1/b1 exit:1 names=a
            auto
        "#,
        expect![[r#"
            > merged T-1.1 other
            T-1.1 merged m1.1 onto base
            T-1.1 -> Restaging
                prepare L-2 for T-1.1 at m1.1
            > prepared T-1.1
            T-1.1 prepared
                start T-1.1/m0 in L-2: unit
            > ended T-1.1/m0 exit:1 names=a
            T-1.1 m0 exit:1 ["a"]
            T-1.1 -> AwaitingBaseMerged(0)
            > ended R-1/b0 exit:1 names=a
            R-1 base 0 exit:1 ["a"]
            T-1.1 -> Rechecking(1)
            R-1 base check 1
                start T-1.1/m1 in L-2: lint
                start R-1/b1 in L-1: lint
            > ended T-1.1/m1 exit:1 names=a
            T-1.1 m1 exit:1 ["a"]
            T-1.1 -> AwaitingBaseMerged(1)
            > ended R-1/b1 exit:1 names=a
            R-1 base 1 exit:1 ["a"]
            T-1.1 -> Advancing
            R-1 base freed
                advance T-1.1: base to m1.1
            > auto
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
fn the_base_cannot_be_checked() {
    check(
        r#"
            quiet submit | w verify=unit
            base R-1 failed no space
            quiet auto hold=T-1.1/v0
            ended T-1.1/v0 exit:1 names=a
        "#,
        expect![[r#"
            > base R-1 failed no space
            R-1 base 0 not_started
            R-1 base freed
            R-1 noted: the base could not be checked: no space
            > ended T-1.1/v0 exit:1 names=a
            T-1.1 v0 exit:1 ["a"]
            T-1.1 over wrong_output/rollback (not proven by `unit`: the check ended with exit:1, and the untouched base could not be checked)
            T-1 undone (not proven by `unit`: the check ended with exit:1, and the untouched base could not be checked)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn a_lost_check_of_the_base_begins_anew_under_another_id() {
    check(
        r#"
            quiet submit | w verify=unit
            quiet auto hold=R-1/b0,T-1.1
            ended R-1/b0 lost
            ended R-1/b0 exit:1
            ended R-1/b1 exit:0
        "#,
        expect![[r#"
            > ended R-1/b0 lost
            R-1 base check 0
                start R-1/b1 in L-1: unit
            > ended R-1/b0 exit:1
            > ended R-1/b1 exit:0
            R-1 base 0 exit:0
            R-1 base freed
        "#]],
    );
}

#[test]
fn a_check_that_another_run_made_on_this_tree_is_not_made_again() {
    check(
        r#"
            quiet submit | w verify=unit
            quiet auto
            quiet submit | v verify=unit,lint
            submit tree=t1 | v verify=unit
            auto
        "#,
        expect![[r#"
            > submit tree=t1 | v verify=unit
            R-3 added
            R-3 Start -> ANALYZING
                survey R-3
              = Run { run: RunId(3), duplicate: false }
            R-3 surveyed
            R-3 analyzed
            R-3 Plan -> PLANNING
            R-3 planned by client: 1 tasks from T-3, base ["unit"]
            R-3 approved
            R-3 Execute -> EXECUTING
            R-3 Monitor -> MONITORING
            R-3 base lane L-3
            T-3.1 claimed L-4 at base
                limit R-3 10
                prepare L-3 for R-3 base at base
                prepare L-4 for T-3.1 at base
            > auto
            R-2 base check 1
                start R-2/b1 in L-1: lint
            T-2.1 prepared
                start T-2.1 in L-2: v
            R-3 base check 0
                start R-3/b0 in L-3: unit
            T-3.1 prepared
                start T-3.1 in L-4: v
            R-2 base 1 exit:0
            R-2 base freed
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-2
            R-3 base 0 exit:0
            R-3 base freed
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-4
            T-2.1 harvested c2.1
            T-2.1 -> Checking(0)
                start T-2.1/v0 in L-2: unit
            T-3.1 harvested c3.1
            T-3.1 -> Checking(0)
                start T-3.1/v0 in L-4: unit
            T-2.1 v0 exit:0
            T-2.1 -> Checking(1)
                start T-2.1/v1 in L-2: lint
            T-3.1 v0 exit:0
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto base
            T-2.1 v1 exit:0
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
            T-3.1 merged m3.1 onto base
            T-3.1 -> Advancing
                advance T-3.1: base to m3.1
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-3.1 landed m3.1
            T-3 completed
            R-3 Complete -> COMPLETING
                publish R-3 m3.1
            T-2.1 landed m2.1
            T-2 completed
            R-2 Complete -> COMPLETING
                publish R-2 m2.1
            R-3 published orchestrator/R-3
            R-3 Finish -> IDLE
            R-3 ended completed
            R-2 published orchestrator/R-2
            R-2 Finish -> IDLE
            R-2 ended completed
        "#]],
    );
}

#[test]
fn nothing_to_change() {
    check(
        r#"
            quiet submit | w verify=unit; v; u verify=-
            quiet auto hold=harvest:T-1.1,harvest:T-2.1,harvest:T-3.1
            harvested T-1.1 same
            harvested T-2.1 same
            harvested T-3.1 same
            ended T-1.1/v0 exit:0
            auto
        "#,
        expect![[r#"
            > harvested T-1.1 same
            T-1.1 harvested base
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-2: unit
            > harvested T-2.1 same
            T-2.1 harvested base
            T-2 completed (nothing to change)
            > harvested T-3.1 same
            T-3.1 harvested base
            T-3 completed (nothing to change)
            > ended T-1.1/v0 exit:0
            T-1.1 v0 exit:0
            T-1 completed (nothing to change)
            R-1 Complete -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn what_it_changes_had_landed_already() {
    check(
        r#"
            quiet submit | a; b
            quiet auto hold=merge:T-2.1
            merged T-2.1 empty
        "#,
        expect![[r#"
            > merged T-2.1 empty
            T-2.1 merged m2.1 onto m1.1
            T-2 completed (what it changes had landed already)
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
        "#]],
    );
}

#[test]
fn a_conflict_runs_again_then_asks() {
    check(
        r#"
            quiet submit | a; b retry=1
            quiet auto hold=merge:T-2.1
            conflict T-2.1
            tick +2s
            quiet auto hold=merge:T-2.2
            conflict T-2.2
            answer D-1 again
            quiet auto hold=merge:T-2.3
            conflict T-2.3
            answer D-2 drop
            auto
        "#,
        expect![[r#"
            > conflict T-2.1
            T-2.1 over conflict/retry (it conflicts with what has landed, in f)
            T-2 retry
            > tick +2s
            T-2 due again
            T-2.2 claimed L-1 at m1.1
                prepare L-1 for T-2.2 at m1.1
            > conflict T-2.2
            T-2.2 over conflict/retry (it conflicts with what has landed, in f)
            D-1 opened conflict T-2 [again drop]
            R-1 Escalate -> ESCALATING
            > answer D-1 again
            D-1 answered again
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-2 due again
            T-2.3 claimed L-1 at m1.1
                prepare L-1 for T-2.3 at m1.1
              = Decided { decision: DecisionId(1), again: false }
            > conflict T-2.3
            T-2.3 over conflict/retry (it conflicts with what has landed, in f)
            D-2 opened conflict T-2 [again drop]
            R-1 Escalate -> ESCALATING
            > answer D-2 drop
            D-2 answered drop
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-2 undone (left out: it conflicts with what landed)
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
              = Decided { decision: DecisionId(2), again: false }
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (1 of 2 tasks did not complete, first T-2 (undone))
        "#]],
    );
}

#[test]
fn the_merged_tree_is_redder_than_the_base() {
    check(
        r#"
            quiet submit | w verify=unit
            quiet auto hold=R-1/b0,merge:T-1.1
            quiet merged T-1.1 other
            quiet prepared T-1.1
            ended T-1.1/m0 exit:1 names=a,b
            ended R-1/b0 exit:1 names=a
        "#,
        expect![[r#"
            > ended T-1.1/m0 exit:1 names=a,b
            T-1.1 m0 exit:1 ["a", "b"]
            T-1.1 -> AwaitingBaseMerged(0)
            > ended R-1/b0 exit:1 names=a
            R-1 base 0 exit:1 ["a"]
            T-1.1 over conflict/retry (not proven by `unit` on the tree merged with what had landed: these failures are new: b)
            R-1 base freed
            T-1 retry
                set ref R-1 to base
        "#]],
    );
}

#[test]
fn redder_than_a_base_that_is_known_later() {
    check(
        r#"
            quiet submit | w verify=unit
            quiet auto hold=R-1/b0,T-1.1/v0
            ended T-1.1/v0 exit:1 names=a,b
            ended R-1/b0 exit:1 names=a
        "#,
        expect![[r#"
            > ended T-1.1/v0 exit:1 names=a,b
            T-1.1 v0 exit:1 ["a", "b"]
            T-1.1 -> AwaitingBase(0)
            > ended R-1/b0 exit:1 names=a
            R-1 base 0 exit:1 ["a"]
            T-1.1 over wrong_output/rollback (not proven by `unit`: these failures are new: b)
            R-1 base freed
            T-1 undone (not proven by `unit`: these failures are new: b)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn a_lane_that_cannot_be_set_to_the_merged_tree() {
    check(
        r#"
            quiet submit | w verify=unit
            quiet auto hold=merge:T-1.1
            merged T-1.1 other
            prepared T-1.1 failed connection reset by peer
            tick +1s
        "#,
        expect![[r#"
            > merged T-1.1 other
            T-1.1 merged m1.1 onto base
            T-1.1 -> Restaging
                prepare L-2 for T-1.1 at m1.1
            > prepared T-1.1 failed connection reset by peer
            T-1.1 over network/retry (connection reset by peer)
            T-1 retry
                set ref R-1 to base
            > tick +1s
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
        "#]],
    );
}

#[test]
fn a_ref_that_is_elsewhere_is_set_back_a_few_times() {
    check(
        r#"
            quiet submit | a retry=0
            quiet auto hold=advance:T-1.1
            refused T-1.1
            merged T-1.1
            refused T-1.1
            merged T-1.1
            refused T-1.1
            merged T-1.1
            refused T-1.1
        "#,
        expect![[r#"
            > refused T-1.1
            T-1.1 -> Merging
                set ref R-1 to base
                merge T-1.1: c1.1 onto base
            > merged T-1.1
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            > refused T-1.1
            T-1.1 -> Merging
                set ref R-1 to base
                merge T-1.1: c1.1 onto base
            > merged T-1.1
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            > refused T-1.1
            T-1.1 -> Merging
                set ref R-1 to base
                merge T-1.1: c1.1 onto base
            > merged T-1.1
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            > refused T-1.1
            T-1.1 over unknown/fallback (the ref is at x)
            T-1 failed (the ref is at x)
            R-1 Complete -> COMPLETING
                set ref R-1 to base
                publish R-1 -
        "#]],
    );
}

#[test]
fn a_step_of_ours_that_fails_is_tried_again() {
    check(
        r#"
            quiet submit | a
            quiet auto hold=harvest:T-1.1
            broken T-1.1 connection reset by peer
            tick +2s
            prepared T-1.2 failed No space left on device
        "#,
        expect![[r#"
            > broken T-1.1 connection reset by peer
            T-1.1 over network/retry (connection reset by peer)
            T-1 retry
            > tick +2s
            T-1 due again
            T-1.2 claimed L-1 at base
                prepare L-1 for T-1.2 at base
            > prepared T-1.2 failed No space left on device
            T-1.2 over resource/retry (No space left on device)
            T-1 retry
        "#]],
    );
}

#[test]
fn the_final_check_decides() {
    check(
        r#"
            submit | final=whole,again; a
            quiet auto hold=R-1/f0
            ended R-1/f0 exit:1
            auto
        "#,
        expect![[r#"
            > submit | final=whole,again; a
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
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for T-1.1 at base
            > ended R-1/f0 exit:1
            R-1 final 0 exit:1
            R-1 final check 1
                start R-1/f1 in L-1: again
            > auto
            R-1 final 1 exit:0
            R-1 bisect 0: ?..1
            R-1 final freed
            R-1 final lane L-1
                prepare L-1 for R-1 final at base
            R-1 final check 0
                start R-1/f2 in L-1: whole
            R-1 bisect green
            R-1 final freed
            R-1 back to base without T-1.1, again [], dropped []
            R-1 noted: T-1 made `whole` red on the whole result and was taken out: a
            T-1 undone (`whole` is red on the whole result since this landed)
            R-1 Error -> ERROR
            R-1 Recover -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 Complete -> COMPLETING
                set ref R-1 to base
                publish R-1 -
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (1 of 1 tasks did not complete, first T-1 (undone))
        "#]],
    );
}

#[test]
fn final_checks_are_left_out_where_nothing_landed() {
    check(
        r#"
            quiet submit | final=whole; a read
            auto
        "#,
        expect![[r#"
            > auto
            R-1 shared ready
            T-1.1 claimed shared
                start T-1.1 in L-1: a
            T-1.1 ran exit:0
            T-1 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            R-1 Complete -> COMPLETING
                publish R-1 -
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn the_final_lane_cannot_be_laid_out() {
    check(
        r#"
            quiet submit | final=whole; a
            quiet auto hold=final:R-1
            final R-1 failed no space
            auto
        "#,
        expect![[r#"
            > final R-1 failed no space
            R-1 final 0 not_started
            R-1 final freed
                publish R-1 m1.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended failed (the final check `whole` is red)
        "#]],
    );
}

#[test]
fn a_branch_that_cannot_be_made_is_only_noted() {
    check(
        r#"
            quiet submit | a
            quiet auto hold=publish:R-1
            published R-1 failed is taken
            published R-1 failed is taken
        "#,
        expect![[r#"
            > published R-1 failed is taken
            R-1 noted: no branch was made: is taken
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended completed
            > published R-1 failed is taken
        "#]],
    );
}

#[test]
fn checks_come_from_the_success_criteria_where_a_task_names_none() {
    check(
        r#"
            submit trust test=suite text=fix_the_failing_tests_in_the_parser | a; b verify=-; c read
            auto
        "#,
        expect![[r#"
            > submit trust test=suite text=fix_the_failing_tests_in_the_parser | a; b verify=-; c read
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base ["suite"]
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 shared lane L-1
            R-1 Monitor -> MONITORING
            R-1 base lane L-2
            T-1.1 claimed L-3 at base
            T-2.1 claimed L-4 at base
                limit R-1 10
                prepare L-1 for R-1 shared at base
                prepare L-2 for R-1 base at base
                prepare L-3 for T-1.1 at base
                prepare L-4 for T-2.1 at base
            > auto
            R-1 shared ready
            T-3.1 claimed shared
                start T-3.1 in L-1: c
            R-1 base check 0
                start R-1/b0 in L-2: suite
            T-1.1 prepared
                start T-1.1 in L-3: a
            T-2.1 prepared
                start T-2.1 in L-4: b
            T-3.1 ran exit:0
            T-3 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 base 0 exit:0
            R-1 base freed
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-3
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-4
            R-1 shared freed
            T-1.1 harvested c1.1
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-3: suite
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
            T-1.1 v0 exit:0
            T-1.1 -> Queued
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-2.1 landed m2.1
            T-2 completed
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto m2.1
            T-1.1 merged m1.1 onto m2.1
            T-1.1 -> Advancing
                advance T-1.1: m2.1 to m1.1
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
fn the_landing_that_makes_the_whole_red_is_found_and_taken_out() {
    check(
        r#"
            quiet submit | final=whole; a; b; c; d needs=c; e needs=b
            quiet auto hold=R-1/f0
            ended R-1/f0 exit:1
            auto hold=R-1/f1
            ended R-1/f1 exit:0
            auto hold=R-1/f2
            ended R-1/f2 exit:0
            auto hold=R-1/f3
            ended R-1/f3 exit:1
            auto
        "#,
        expect![[r#"
            > ended R-1/f0 exit:1
            R-1 final 0 exit:1
            R-1 bisect 0: ?..5
            R-1 final freed
            R-1 final lane L-1
                prepare L-1 for R-1 final at base
            > auto hold=R-1/f1
            R-1 final check 0
                start R-1/f1 in L-1: whole
            > ended R-1/f1 exit:0
            R-1 bisect green
            R-1 final freed
            R-1 final lane L-1
                prepare L-1 for R-1 final at m3.1
            > auto hold=R-1/f2
            R-1 final check 0
                start R-1/f2 in L-1: whole
            > ended R-1/f2 exit:0
            R-1 bisect green
            R-1 final freed
            R-1 final lane L-1
                prepare L-1 for R-1 final at m1.1
            > auto hold=R-1/f3
            R-1 final check 0
                start R-1/f3 in L-1: whole
            > ended R-1/f3 exit:1
            R-1 bisect red
            R-1 final freed
            R-1 back to m3.1 without T-1.1, again [T-5.1 T-4.1], dropped []
            R-1 noted: T-1 made `whole` red on the whole result and was taken out: a
            T-1 undone (`whole` is red on the whole result since this landed)
            R-1 Error -> ERROR
            R-1 Recover -> EXECUTING
            T-5.2 lands 1 again, in L-1
            T-5.2 -> Merging
            T-4.2 lands 1 again, in L-2
            R-1 Monitor -> MONITORING
                set ref R-1 to m3.1
                merge T-5.2: c5.1 onto m3.1
            > auto
            T-5.2 merged m5.2 onto m3.1
            T-5.2 -> Advancing
                advance T-5.2: m3.1 to m5.2
            T-5.2 landed m5.2
            T-5 completed
            T-4.2 -> Merging
                merge T-4.2: c4.1 onto m5.2
            T-4.2 merged m4.2 onto m5.2
            T-4.2 -> Advancing
                advance T-4.2: m5.2 to m4.2
            T-4.2 landed m4.2
            T-4 completed
            R-1 Complete -> COMPLETING
            R-1 final lane L-1
                prepare L-1 for R-1 final at m4.2
            R-1 final check 0
                start R-1/f4 in L-1: whole
            R-1 final 0 exit:0
            R-1 final freed
                publish R-1 m4.2
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (1 of 5 tasks did not complete, first T-1 (undone))
        "#]],
    );
}

#[test]
fn nobody_is_blamed_for_what_was_red_before() {
    check(
        r#"
            quiet submit | final=whole; a; b
            quiet auto hold=R-1/f0
            ended R-1/f0 exit:1
            quiet auto hold=R-1/f1
            ended R-1/f1 exit:1
            auto
        "#,
        expect![[r#"
            > ended R-1/f0 exit:1
            R-1 final 0 exit:1
            R-1 bisect 0: ?..2
            R-1 final freed
            R-1 final lane L-1
                prepare L-1 for R-1 final at base
            > ended R-1/f1 exit:1
            R-1 bisect red
            R-1 final freed
            R-1 bisect ended (`whole` was red before any change)
                publish R-1 m2.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended failed (the final check `whole` is red; `whole` was red before any change)
        "#]],
    );
}

#[test]
fn a_search_for_the_landing_is_cancelled() {
    check(
        r#"
            quiet submit | final=whole; a; b
            quiet auto hold=R-1/f0
            quiet ended R-1/f0 exit:1
            quiet auto hold=R-1/f1
            cancel R-1
            auto
        "#,
        expect![[r#"
            > cancel R-1
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
                stop R-1/f1
            > auto
            R-1 final freed
                publish R-1 m2.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended failed (the final check `whole` is red)
        "#]],
    );
}

#[test]
fn a_search_without_a_lane_ends() {
    check(
        r#"
            quiet submit | final=whole; a; b
            quiet auto hold=R-1/f0
            quiet ended R-1/f0 exit:1
            final R-1 failed disk full
            auto
        "#,
        expect![[r#"
            > final R-1 failed disk full
            R-1 bisect ended (which change made `whole` red could not be found out: disk full)
            R-1 final freed
                publish R-1 m2.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended failed (the final check `whole` is red; which change made `whole` red could not be found out: disk full)
        "#]],
    );
}

#[test]
fn a_crash_while_a_landing_is_looked_for_and_while_others_land_again() {
    check(
        r#"
            quiet submit | final=whole; a; b verify=unit; c verify=unit
            quiet auto hold=R-1/f0
            quiet ended R-1/f0 exit:1
            crash
            quiet auto hold=R-1/f1
            quiet ended R-1/f1 exit:0
            quiet auto hold=R-1/f2
            ended R-1/f2 exit:1
            crash
            merged T-3.2 other
            crash
            auto
        "#,
        expect![[r#"
            > crash
                limit R-1 10
                set ref R-1 to m3.1
                prepare L-1 for R-1 final at base
            > ended R-1/f2 exit:1
            R-1 bisect red
            R-1 final freed
            R-1 back to base without T-1.1, again [T-2.1 T-3.1], dropped []
            R-1 noted: T-1 made `whole` red on the whole result and was taken out: a
            T-1 undone (`whole` is red on the whole result since this landed)
            R-1 Error -> ERROR
            R-1 Recover -> EXECUTING
            T-2.2 lands 1 again, in L-1
            T-2.2 -> Merging
            T-3.2 lands 1 again, in L-2
            R-1 Monitor -> MONITORING
                set ref R-1 to base
                merge T-2.2: c2.1 onto base
            > crash
                limit R-1 10
                set ref R-1 to base
                merge T-2.2: c2.1 onto base
            > merged T-3.2 other
            > crash
                limit R-1 10
                set ref R-1 to base
                merge T-2.2: c2.1 onto base
            > auto
            T-2.2 merged m2.2 onto base
            T-2.2 -> Restaging
                prepare L-1 for T-2.2 at m2.2
            T-2.2 prepared
                start T-2.2/m0 in L-1: unit
            T-2.2 m0 exit:0
            T-2.2 -> Advancing
                advance T-2.2: base to m2.2
            T-2.2 landed m2.2
            T-2 completed
            T-3.2 -> Merging
                merge T-3.2: c3.1 onto m2.2
            T-3.2 merged m3.2 onto m2.2
            T-3.2 -> Restaging
                prepare L-2 for T-3.2 at m3.2
            T-3.2 prepared
                start T-3.2/m0 in L-2: unit
            T-3.2 m0 exit:0
            T-3.2 -> Advancing
                advance T-3.2: m2.2 to m3.2
            T-3.2 landed m3.2
            T-3 completed
            R-1 Complete -> COMPLETING
            R-1 final lane L-1
                prepare L-1 for R-1 final at m3.2
            R-1 final check 0
                start R-1/f3 in L-1: whole
            R-1 final 0 exit:0
            R-1 final freed
                publish R-1 m3.2
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (1 of 3 tasks did not complete, first T-1 (undone))
        "#]],
    );
}
