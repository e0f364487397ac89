//! Scenarios: what a run may use, the order it keeps, and readers that wrote.

use expect_test::expect;

use super::check;

pub fn topic() {
    a_run_that_has_used_its_processes_asks_and_goes_on_with_as_many_again();
    minutes_warn_and_then_ask_and_what_runs_goes_on();
    a_budget_that_is_not_raised_blocks_the_rest();
    a_cancelled_run_asks_nothing_about_its_budget();
    a_plan_in_order_does_one_task_after_another();
    a_plan_that_stops_does_not_begin_what_it_has_handed_out();
    readers_that_changed_files_are_done_again_apart();
    what_readers_found_may_stand_all_the_same();
    a_lane_that_nobody_could_look_at_is_said();
    a_playbook_joins_a_run_that_is_under_way();
    money_warns_at_four_fifths_and_asks_once_for_the_whole_run();
    tokens_are_counted_while_they_are_used_and_what_others_hold_is_reserved();
    a_day_has_a_limit_of_its_own();
    a_task_has_a_limit_of_its_own();
}

#[test]
fn a_run_that_has_used_its_processes_asks_and_goes_on_with_as_many_again() {
    check(
        r#"
            quiet submit | spawns=2; a read; b read; c read; d read; e read
            quiet shared R-1
            ended T-1.1 exit:0
            ended T-2.1 exit:0
            inspected R-1
            answer D-1 raise
            crash
            quiet auto
            answer D-2 raise
            auto
        "#,
        expect![[r#"
            > ended T-1.1 exit:0
            T-1.1 ran exit:0
            T-1 completed
            > ended T-2.1 exit:0
            T-2.1 ran exit:0
            T-2 completed
            R-1 shared inspected
            R-1 Escalate -> ESCALATING
                inspect L-1 of R-1
            > inspected R-1
            R-1 shared freed
            > answer D-1 raise
            D-1 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 budget raised: minutes None, spawns Some(4)
            R-1 shared lane L-1
                prepare L-1 for R-1 shared at base
              = Decided { decision: DecisionId(1), again: false }
            > crash
                limit R-1 10
                prepare L-1 for R-1 shared at base
            > answer D-2 raise
            D-2 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 budget raised: minutes None, spawns Some(6)
            R-1 shared lane L-1
                prepare L-1 for R-1 shared at base
              = Decided { decision: DecisionId(2), again: false }
            > auto
            R-1 shared ready
            T-5.1 claimed shared
            R-1 budget warned: spawns
                start T-5.1 in L-1: e
            T-5.1 ran exit:0
            T-5 completed
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
fn minutes_warn_and_then_ask_and_what_runs_goes_on() {
    check(
        r#"
            quiet submit jobs=1 | minutes=1; a; b
            quiet prepared T-1.1
            tick +47s
            tick +1s
            crash
            tick +12s
            quiet auto
            answer D-1 raise
            quiet auto
            tick +1s
        "#,
        expect![[r#"
            > tick +47s
            > tick +1s
            R-1 budget warned: minutes
            > crash
                limit R-1 1
                start T-1.1 in L-1: a
            > tick +12s
            R-1 budget reached: minutes
            D-1 opened budget [raise stop cancel]
            > answer D-1 raise
            D-1 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 budget raised: minutes Some(2.0), spawns None
            T-2.1 claimed L-1 at m1.1
                prepare L-1 for T-2.1 at m1.1
              = Decided { decision: DecisionId(1), again: false }
            > tick +1s
        "#]],
    );
}

#[test]
fn a_budget_that_is_not_raised_blocks_the_rest() {
    check(
        r#"
            quiet submit | spawns=1; a; b needs=a; c
            quiet auto
            answer D-1 stop
            auto
            retry R-1
        "#,
        expect![[r#"
            > answer D-1 stop
            D-1 answered stop
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 stopping
            T-2 blocked (what the run may use is used up (spawns))
            T-3 blocked (what the run may use is used up (spawns))
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (2 of 3 tasks did not complete, first T-2 (blocked))
            > retry R-1
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            T-2 due again
            T-3 due again
            T-2.1 claimed L-1 at m1.1
            R-1 budget reached: spawns
            D-2 opened budget [raise stop cancel]
                limit R-1 10
                prepare L-1 for T-2.1 at m1.1
              = Reopened([TaskId(2), TaskId(3)])
        "#]],
    );
}

#[test]
fn a_cancelled_run_asks_nothing_about_its_budget() {
    check(
        r#"
            quiet submit | spawns=1; a; b
            quiet auto
            answer D-1 cancel
            auto
        "#,
        expect![[r#"
            > answer D-1 cancel
            D-1 answered cancel
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 cancel asked
            T-2 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
                publish R-1 m1.1
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 1 of 2 tasks)
        "#]],
    );
}

#[test]
fn a_plan_in_order_does_one_task_after_another() {
    check(
        r#"
            submit | order; a; b read; c est=900; d read
            auto
        "#,
        expect![[r#"
            > submit | order; a; b read; c est=900; d read
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
                limit R-1 1
                prepare L-1 for T-1.1 at base
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
            T-2.1 claimed L-1 at m1.1
                prepare L-1 for T-2.1 at m1.1
            T-2.1 prepared
                start T-2.1 in L-1: b
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested m1.1
            T-2 completed (nothing to change)
            T-3.1 claimed L-1 at m1.1
                prepare L-1 for T-3.1 at m1.1
            T-3.1 prepared
                start T-3.1 in L-1: c
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            T-3.1 harvested c3.1
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto m1.1
            T-3.1 merged m3.1 onto m1.1
            T-3.1 -> Advancing
                advance T-3.1: m1.1 to m3.1
            T-3.1 landed m3.1
            T-3 completed
            T-4.1 claimed L-1 at m3.1
                prepare L-1 for T-4.1 at m3.1
            T-4.1 prepared
                start T-4.1 in L-1: d
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-1
            T-4.1 harvested m3.1
            T-4 completed (nothing to change)
            R-1 Complete -> COMPLETING
                publish R-1 m3.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn a_plan_that_stops_does_not_begin_what_it_has_handed_out() {
    check(
        r#"
            quiet submit jobs=1 | stop; a read; b read; c; d needs=a
            quiet shared R-1
            started T-1.1
            ended T-1.1 exit:1 says=error
            crash
            auto
        "#,
        expect![[r#"
            > started T-1.1
            T-1.1 started
            > ended T-1.1 exit:1 says=error
            T-1.1 ran exit:1
            T-1.1 over unknown/fallback (it ended with exit status 1)
            T-2.1 claimed shared
            T-1 failed (it ended with exit status 1)
            R-1 stopping
            T-3 blocked (the plan stops after a failure)
            T-4 blocked (the plan stops after a failure)
                start T-2.1 in L-1: b
                stop T-2.1
            > crash
                limit R-1 1
                start T-2.1 in L-1: b
                stop T-2.1
            > auto
            T-2.1 ran exit:0
            T-2 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            R-1 Complete -> COMPLETING
                publish R-1 -
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended partial (3 of 4 tasks did not complete, first T-1 (failed))
        "#]],
    );
}

#[test]
fn readers_that_changed_files_are_done_again_apart() {
    check(
        r#"
            quiet submit | a read; b read; c read needs=a
            quiet auto hold=inspect:R-1
            crash
            inspected R-1 src/lib.rs
            answer D-1 again
            quiet prepared T-1.1
            auto hold=T-2.2
            ended T-2.2 exit:0
            harvested T-2.2
            auto
        "#,
        expect![[r#"
            > crash
                limit R-1 10
                inspect L-1 of R-1
            > inspected R-1 src/lib.rs
            R-1 shared freed, ["src/lib.rs"] changed by [T-1 T-2 T-3]
            D-1 opened undeclared_write [again accept]
            R-1 Escalate -> ESCALATING
            > answer D-1 again
            D-1 answered again
            R-1 apart [T-1 T-2 T-3]
            R-1 UserResponse -> EXECUTING
            T-1.2 claimed L-1 at base
            R-1 Monitor -> MONITORING
            T-2.2 claimed L-2 at base
                prepare L-1 for T-1.2 at base
                prepare L-2 for T-2.2 at base
              = Decided { decision: DecisionId(1), again: false }
            > auto hold=T-2.2
            T-1.2 prepared
                start T-1.2 in L-1: a
            T-2.2 prepared
                start T-2.2 in L-2: b
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-1
            T-1.2 harvested base
            T-1 completed (nothing to change)
            T-3.2 claimed L-1 at base
                prepare L-1 for T-3.2 at base
            T-3.2 prepared
                start T-3.2 in L-1: c
            T-3.2 ran exit:0
            T-3.2 -> Harvesting
                harvest T-3.2 in L-1
            T-3.2 harvested base
            T-3 completed (nothing to change)
            > ended T-2.2 exit:0
            T-2.2 ran exit:0
            T-2.2 -> Harvesting
                harvest T-2.2 in L-2
            > harvested T-2.2
            T-2.2 harvested c2.2
            T-2.2 over wrong_output/rollback (it changed files though its plan says effect = "none"; declare effect = "workspace")
            T-2 undone (it changed files though its plan says effect = "none"; declare effect = "workspace")
            R-1 Complete -> COMPLETING
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended partial (1 of 3 tasks did not complete, first T-2 (undone))
        "#]],
    );
}

#[test]
fn what_readers_found_may_stand_all_the_same() {
    check(
        r#"
            quiet submit | a read
            quiet auto hold=inspect:R-1
            inspected R-1 notes.txt
            answer D-1 accept
            auto
        "#,
        expect![[r#"
            > inspected R-1 notes.txt
            R-1 shared freed, ["notes.txt"] changed by [T-1]
            D-1 opened undeclared_write [again accept]
            R-1 Escalate -> ESCALATING
            > answer D-1 accept
            D-1 answered accept
            R-1 undeclared accepted
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn a_lane_that_nobody_could_look_at_is_said() {
    check(
        r#"
            quiet submit | a read
            quiet auto hold=inspect:R-1
            inspected R-1 failed index.lock is there
            auto
        "#,
        expect![[r#"
            > inspected R-1 failed index.lock is there
            R-1 shared freed
            R-1 noted: nobody could look whether tasks that only read changed files: index.lock is there
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
fn a_playbook_joins_a_run_that_is_under_way() {
    check(
        r#"
            set playbooks=builtin
            quiet submit trust | a read; b read
            task run=R-1 deps=T-2 | audit flow
            task run=R-1 | nonsense flow
        "#,
        expect![[r#"
            > set playbooks=builtin
            > task run=R-1 deps=T-2 | audit flow
            R-1 +9 tasks from T-3
              = Task(TaskId(3))
            > task run=R-1 | nonsense flow
              ! there is no playbook "nonsense" | see: orchestrator playbooks
        "#]],
    );
}

#[test]
fn money_warns_at_four_fifths_and_asks_once_for_the_whole_run() {
    check(
        r#"
            set agents=ada
            quiet submit | usd=0.5; a agent writes=a verify=-; b agent needs=a writes=b verify=-; c agent needs=b writes=c verify=-; d agent needs=b writes=d verify=-
            quiet auto hold=T-1.1
            ended T-1.1 exit:0 done
            quiet harvested T-1.1
            answer D-1 accept
            quiet auto hold=T-2.1
            ended T-2.1 exit:0 done
            quiet harvested T-2.1
            quiet answer D-2 accept
            auto
            answer D-3 raise
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-1
            > answer D-1 accept
            D-1 answered accept
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
              = Decided { decision: DecisionId(1), again: false }
            > ended T-2.1 exit:0 done
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
            R-1 budget warned: usd
                harvest T-2.1 in L-1
            > auto
            T-2.1 merged m2.1 onto m1.1
            T-2.1 -> Advancing
                advance T-2.1: m1.1 to m2.1
            T-2.1 landed m2.1
            T-2 completed
            R-1 budget reached: usd
            D-3 opened budget [raise stop cancel]
            R-1 Escalate -> ESCALATING
            > answer D-3 raise
            D-3 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 budget raised: minutes None, spawns None, usd, tokens, attempts, day (Some(1.0), None, None, None)
            T-3.1 claimed L-1 at m2.1 by ada
                prepare L-1 for T-3.1 at m2.1
              = Decided { decision: DecisionId(3), again: false }
        "#]],
    );
}

#[test]
fn tokens_are_counted_while_they_are_used_and_what_others_hold_is_reserved() {
    check(
        r#"
            set agents=ada
            quiet submit | tokens=1000; a agent writes=a; b agent writes=b
            quiet auto hold=T-1.1,T-2.1
            said T-1.1 usage 700
            said T-1.1 usage 800
            ended T-1.1 exit:0 done
        "#,
        expect![[r#"
            > set agents=ada
            > said T-1.1 usage 700
            T-1.1 spoke
            > said T-1.1 usage 800
            T-1.1 spoke
            R-1 budget warned: tokens
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
            R-1 budget reached: tokens
            D-1 opened budget [raise stop cancel]
                harvest T-1.1 in L-1
        "#]],
    );
}

#[test]
fn a_day_has_a_limit_of_its_own() {
    check(
        r#"
            set agents=ada day=0.25
            quiet submit | a agent writes=a verify=-; b agent needs=a writes=b verify=-
            quiet auto hold=T-1.1
            ended T-1.1 exit:0 done
            quiet harvested T-1.1
            quiet answer D-1 accept
            auto
            answer D-2 raise
        "#,
        expect![[r#"
            > set agents=ada day=0.25
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
            R-1 budget warned: day_usd
                harvest T-1.1 in L-1
            > auto
            T-1.1 merged m1.1 onto base
            T-1.1 -> Advancing
                advance T-1.1: base to m1.1
            T-1.1 landed m1.1
            T-1 completed
            R-1 budget reached: day_usd
            D-2 opened budget [raise stop cancel]
            R-1 Escalate -> ESCALATING
            > answer D-2 raise
            D-2 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 budget raised: minutes None, spawns None, usd, tokens, attempts, day (None, None, None, Some(0.5))
            T-2.1 claimed L-1 at m1.1 by ada
                prepare L-1 for T-2.1 at m1.1
              = Decided { decision: DecisionId(2), again: false }
        "#]],
    );
}

#[test]
fn a_task_has_a_limit_of_its_own() {
    check(
        r#"
            set agents=ada
            quiet submit | a agent writes=a verify=unit most=0.2
            quiet auto hold=T-1.1
            ended T-1.1 exit:1 error
            quiet harvested T-1.1 same
            tick +2s
            answer D-1 raise
            quiet auto hold=T-1.2
            ended T-1.2 exit:1 error
            quiet harvested T-1.2 same
            tick +9s
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-1.1 exit:1 error
            T-1.1 ran exit:1
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > tick +2s
            T-1 due again
            D-1 opened budget T-1 [raise stop]
            R-1 Escalate -> ESCALATING
            > answer D-1 raise
            D-1 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 allowed
            T-1 due again
            T-1.2 claimed L-2 at base by ada
                prepare L-2 for T-1.2 at base
              = Decided { decision: DecisionId(1), again: false }
            > ended T-1.2 exit:1 error
            T-1.2 ran exit:1
            T-1.2 -> Harvesting
                harvest T-1.2 in L-2
            > tick +9s
            T-1 due again
            T-1.3 claimed L-2 at base by ada
                prepare L-2 for T-1.3 at base
        "#]],
    );
}
