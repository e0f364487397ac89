//! Scenarios: who works where and when: readers in the shared lane, writers in their own, limits, tokens, write sets.

use expect_test::expect;

use super::check;

pub fn topic() {
    readers_share_one_lane();
    a_readers_lane_is_given_back_while_its_run_waits_for_a_person();
    a_reader_behind_a_question_behind_a_writer_reads_what_was_written();
    a_readers_lane_that_cannot_be_laid_out_fails_the_readers_only();
    a_reader_that_wrote_in_a_lane_of_its_own_is_refused();
    jobs_and_lanes_limit_writers();
    one_lane_is_enough_for_everything();
    what_waits_for_a_person_keeps_nobody_else_from_starting();
    an_agent_that_asks_a_person_keeps_nobody_else_from_starting();
    the_critical_path_first_then_plan_order_and_priority_before_both();
    the_most_urgent_run_first();
    tasks_that_write_the_same_files_do_not_run_at_once();
    an_exclusive_token_is_held_across_runs_and_by_readers_too();
    many_readers_are_handed_out_ahead_and_refilled_in_strides();
    whoever_finds_no_room_waits_and_nobody_else_is_given_a_lane();
    room_is_looked_for_again_and_a_restarted_daemon_looks_at_once();
}

#[test]
fn readers_share_one_lane() {
    check(
        r#"
            submit | a read; b read needs=a; c read
            shared R-1
            started T-1.1
            ended T-1.1 exit:0
            auto
        "#,
        expect![[r#"
            > submit | a read; b read needs=a; c read
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 shared lane L-1
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for R-1 shared at base
            > shared R-1
            R-1 shared ready
            T-1.1 claimed shared
            T-3.1 claimed shared
                start T-1.1 in L-1: a
                start T-3.1 in L-1: c
            > started T-1.1
            T-1.1 started
            > ended T-1.1 exit:0
            T-1.1 ran exit:0
            T-1 completed
            T-2.1 claimed shared
                start T-2.1 in L-1: b
            > auto
            T-3.1 ran exit:0
            T-3 completed
            T-2.1 ran exit:0
            T-2 completed
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
fn a_readers_lane_is_given_back_while_its_run_waits_for_a_person() {
    check(
        r#"
            set lanes=1
            submit | a read; q ask; b read needs=q; w
            auto
            answer D-1 yes
            auto
        "#,
        expect![[r#"
            > set lanes=1
            > submit | a read; q ask; b read needs=q; w
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
            D-1 opened agent_question T-2 [yes no]
            R-1 shared lane L-1
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for R-1 shared at base
            > auto
            R-1 shared ready
            T-1.1 claimed shared
                start T-1.1 in L-1: a
            T-1.1 ran exit:0
            T-1 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            T-4.1 claimed L-1 at base
                prepare L-1 for T-4.1 at base
            T-4.1 prepared
                start T-4.1 in L-1: w
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-1
            T-4.1 harvested c4.1
            T-4.1 -> Queued
            T-4.1 -> Merging
                merge T-4.1: c4.1 onto base
            T-4.1 merged m4.1 onto base
            T-4.1 -> Advancing
                advance T-4.1: base to m4.1
            T-4.1 landed m4.1
            T-4 completed
            R-1 Escalate -> ESCALATING
            > answer D-1 yes
            D-1 answered yes
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-2 chosen yes
            T-2 completed (answered: yes)
            R-1 shared lane L-1
                prepare L-1 for R-1 shared at base
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 shared ready
            T-3.1 claimed shared
                start T-3.1 in L-1: b
            T-3.1 ran exit:0
            T-3 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            R-1 Complete -> COMPLETING
                publish R-1 m4.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn a_reader_behind_a_question_behind_a_writer_reads_what_was_written() {
    check(
        r#"
            set lanes=1
            submit | a read; w needs=a; q ask needs=w; b read needs=q
            auto
            answer D-1 yes
            auto
        "#,
        expect![[r#"
            > set lanes=1
            > submit | a read; w needs=a; q ask needs=w; b read needs=q
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
            R-1 shared lane L-1
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for R-1 shared at base
            > auto
            R-1 shared ready
            T-1.1 claimed shared
                start T-1.1 in L-1: a
            T-1.1 ran exit:0
            T-1 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            T-2.1 claimed L-1 at base
                prepare L-1 for T-2.1 at base
            T-2.1 prepared
                start T-2.1 in L-1: w
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-2.1 landed m2.1
            T-2 completed
            D-1 opened agent_question T-3 [yes no]
            R-1 Escalate -> ESCALATING
            > answer D-1 yes
            D-1 answered yes
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-3 chosen yes
            T-3 completed (answered: yes)
            T-4.1 claimed L-1 at m2.1
                prepare L-1 for T-4.1 at m2.1
              = Decided { decision: DecisionId(1), again: false }
            > auto
            T-4.1 prepared
                start T-4.1 in L-1: b
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-1
            T-4.1 harvested m2.1
            T-4 completed (nothing to change)
            R-1 Complete -> COMPLETING
                publish R-1 m2.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn a_readers_lane_that_cannot_be_laid_out_fails_the_readers_only() {
    check(
        r#"
            submit | a read; b needs=a; w
            shared R-1 failed disk full
            shared R-1 failed disk full
            auto
        "#,
        expect![[r#"
            > submit | a read; b needs=a; w
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 shared lane L-1
            T-3.1 claimed L-2 at base
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for R-1 shared at base
                prepare L-2 for T-3.1 at base
            > shared R-1 failed disk full
            R-1 shared freed
            T-1 failed (no lane to read in: disk full)
            T-2 blocked (it needs T-1, which is failed)
            > shared R-1 failed disk full
            > auto
            T-3.1 prepared
                start T-3.1 in L-2: w
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-2
            T-3.1 harvested c3.1
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto base
            T-3.1 merged m3.1 onto base
            T-3.1 -> Advancing
                advance T-3.1: base to m3.1
            T-3.1 landed m3.1
            T-3 completed
            R-1 Complete -> COMPLETING
                publish R-1 m3.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (2 of 3 tasks did not complete, first T-1 (failed))
        "#]],
    );
}

#[test]
fn a_reader_that_wrote_in_a_lane_of_its_own_is_refused() {
    check(
        r#"
            quiet submit | w; r read needs=w
            quiet auto hold=harvest:T-2.1
            harvested T-2.1
        "#,
        expect![[r#"
            > harvested T-2.1
            T-2.1 harvested c2.1
            T-2.1 over wrong_output/rollback (it changed files though its plan says effect = "none"; declare effect = "workspace")
            T-2 undone (it changed files though its plan says effect = "none"; declare effect = "workspace")
            R-1 Complete -> COMPLETING
                publish R-1 m1.1
        "#]],
    );
}

#[test]
fn jobs_and_lanes_limit_writers() {
    check(
        r#"
            set lanes=3
            submit jobs=2 | a; b; c
            auto hold=T-1.1,T-2.1
            submit | d; e
        "#,
        expect![[r#"
            > set lanes=3
            > submit jobs=2 | a; b; c
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
            T-2.1 claimed L-2 at base
                limit R-1 2
                prepare L-1 for T-1.1 at base
                prepare L-2 for T-2.1 at base
            > auto hold=T-1.1,T-2.1
            T-1.1 prepared
                start T-1.1 in L-1: a
            T-2.1 prepared
                start T-2.1 in L-2: b
            > submit | d; e
            R-2 added
            R-2 Start -> ANALYZING
                survey R-2
              = Run { run: RunId(2), duplicate: false }
            R-2 surveyed
            R-2 analyzed
            R-2 Plan -> PLANNING
            R-2 planned by client: 2 tasks from T-4, base []
            R-2 approved
            R-2 Execute -> EXECUTING
            T-4.1 claimed L-3 at base
            R-2 Monitor -> MONITORING
                limit R-2 10
                prepare L-3 for T-4.1 at base
        "#]],
    );
}

/// One lane and one place: beside a task that waits for a person another works, and never more than that.
#[test]
fn what_waits_for_a_person_keeps_nobody_else_from_starting() {
    check(
        r#"
            set agents=ada lanes=1
            quiet submit jobs=1 | a agent writes=src verify=unit; b agent writes=lib verify=unit; c agent writes=bin verify=unit
            quiet auto hold=T-1.1
            quiet ended T-1.1 exit:0 done
            quiet harvested T-1.1 touches=unit
            auto hold=T-2.1
            quiet ended T-2.1 exit:0 done
            quiet harvested T-2.1 touches=unit
            auto hold=T-3.1
            answer D-1 reject
            answer D-2 accept
            auto hold=T-3.1
        "#,
        expect![[r#"
            > set agents=ada lanes=1
            > auto hold=T-2.1
            T-1.1 v0 exit:0
            T-1.1 -> Reviewing
            D-1 opened review T-1 [accept reject]
            T-2.1 claimed L-2 at base by ada
                prepare L-2 for T-2.1 at base
            T-2.1 prepared
                start T-2.1 in L-2: ada begins
            > auto hold=T-3.1
            T-2.1 v0 exit:0
            T-2.1 -> Reviewing
            D-2 opened review T-2 [accept reject]
            R-1 Escalate -> ESCALATING
            > answer D-1 reject
            D-1 answered reject
            T-1 undone (a person left it out)
            R-1 UserResponse -> EXECUTING
            T-3.1 claimed L-1 at base by ada
            R-1 Monitor -> MONITORING
                prepare L-1 for T-3.1 at base
              = Decided { decision: DecisionId(1), again: false }
            > answer D-2 accept
            D-2 answered accept
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
              = Decided { decision: DecisionId(2), again: false }
            > auto hold=T-3.1
            T-3.1 prepared
                start T-3.1 in L-1: ada begins
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-2.1 landed m2.1
            T-2 completed
        "#]],
    );
}

#[test]
fn an_agent_that_asks_a_person_keeps_nobody_else_from_starting() {
    check(
        r#"
            set agents=ada lanes=1
            quiet submit jobs=2 | a agent writes=src verify=unit; b agent writes=lib verify=unit; c write
            quiet auto hold=T-1.1,T-2.1
            said T-1.1 asks r1 push escalate
            auto hold=T-1.1,T-2.1
            answer D-1 allow
            quiet ended T-2.1 exit:0 done
            auto hold=T-1.1
        "#,
        expect![[r#"
            > set agents=ada lanes=1
            > said T-1.1 asks r1 push escalate
            T-1.1 asks r1 push
            D-1 opened permission T-1 [allow deny]
            T-2.1 claimed L-2 at base by ada
                prepare L-2 for T-2.1 at base
            > auto hold=T-1.1,T-2.1
            T-2.1 prepared
                start T-2.1 in L-2: ada begins
            > answer D-1 allow
            D-1 answered allow
            learning begun
            label Asked for "push push": yes
            T-1.1 told r1 yes by D-1
                answer T-1.1 r1: yes
              = Decided { decision: DecisionId(1), again: false }
            > auto hold=T-1.1
            T-2.1 harvested c2.1
            T-2.1 -> Checking(0)
                start T-2.1/v0 in L-2: unit
            T-2.1 v0 exit:0
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-2.1 landed m2.1
            T-2 completed
        "#]],
    );
}

#[test]
fn one_lane_is_enough_for_everything() {
    check(
        r#"
            set lanes=1
            submit | final=whole; a read; b verify=unit; c verify=unit needs=b
            auto
        "#,
        expect![[r#"
            > set lanes=1
            > submit | final=whole; a read; b verify=unit; c verify=unit needs=b
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base ["unit"]
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 shared lane L-1
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for R-1 shared at base
            > auto
            R-1 shared ready
            T-1.1 claimed shared
                start T-1.1 in L-1: a
            T-1.1 ran exit:0
            T-1 completed
            R-1 shared inspected
                inspect L-1 of R-1
            R-1 shared freed
            R-1 base lane L-1
                prepare L-1 for R-1 base at base
            R-1 base check 0
                start R-1/b0 in L-1: unit
            R-1 base 0 exit:0
            R-1 base freed
            T-2.1 claimed L-1 at base
                prepare L-1 for T-2.1 at base
            T-2.1 prepared
                start T-2.1 in L-1: b
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Checking(0)
                start T-2.1/v0 in L-1: unit
            T-2.1 v0 exit:0
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-2.1 landed m2.1
            T-2 completed
            T-3.1 claimed L-1 at m2.1
                prepare L-1 for T-3.1 at m2.1
            T-3.1 prepared
                start T-3.1 in L-1: c
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            T-3.1 harvested c3.1
            T-3.1 -> Checking(0)
                start T-3.1/v0 in L-1: unit
            T-3.1 v0 exit:0
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto m2.1
            T-3.1 merged m3.1 onto m2.1
            T-3.1 -> Advancing
                advance T-3.1: m2.1 to m3.1
            T-3.1 landed m3.1
            T-3 completed
            R-1 Complete -> COMPLETING
            R-1 final lane L-1
                prepare L-1 for R-1 final at m3.1
            R-1 final check 0
                start R-1/f0 in L-1: whole
            R-1 final 0 exit:0
            R-1 final freed
                publish R-1 m3.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

#[test]
fn the_critical_path_first_then_plan_order_and_priority_before_both() {
    check(
        r#"
            set lanes=1
            submit | a est=5; b est=5; c needs=b est=60; d prio=high est=1
            auto
        "#,
        expect![[r#"
            > set lanes=1
            > submit | a est=5; b est=5; c needs=b est=60; d prio=high est=1
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
            T-4.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for T-4.1 at base
            > auto
            T-4.1 prepared
                start T-4.1 in L-1: d
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-1
            T-4.1 harvested c4.1
            T-4.1 -> Queued
            T-4.1 -> Merging
                merge T-4.1: c4.1 onto base
            T-4.1 merged m4.1 onto base
            T-4.1 -> Advancing
                advance T-4.1: base to m4.1
            T-4.1 landed m4.1
            T-4 completed
            T-2.1 claimed L-1 at m4.1
                prepare L-1 for T-2.1 at m4.1
            T-2.1 prepared
                start T-2.1 in L-1: b
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto m4.1
            T-2.1 merged m2.1 onto m4.1
            T-2.1 -> Advancing
                advance T-2.1: m4.1 to m2.1
            T-2.1 landed m2.1
            T-2 completed
            T-3.1 claimed L-1 at m2.1
                prepare L-1 for T-3.1 at m2.1
            T-3.1 prepared
                start T-3.1 in L-1: c
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            T-3.1 harvested c3.1
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto m2.1
            T-3.1 merged m3.1 onto m2.1
            T-3.1 -> Advancing
                advance T-3.1: m2.1 to m3.1
            T-3.1 landed m3.1
            T-3 completed
            T-1.1 claimed L-1 at m3.1
                prepare L-1 for T-1.1 at m3.1
            T-1.1 prepared
                start T-1.1 in L-1: a
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-1
            T-1.1 harvested c1.1
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto m3.1
            T-1.1 merged m1.1 onto m3.1
            T-1.1 -> Advancing
                advance T-1.1: m3.1 to m1.1
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
fn the_most_urgent_run_first() {
    check(
        r#"
            set lanes=1
            quiet submit | a; b
            auto hold=T-1.1
            quiet submit prio=low | c
            quiet submit prio=urgent | d
            auto hold=T-4.1
        "#,
        expect![[r#"
            > set lanes=1
            > auto hold=T-1.1
            T-1.1 prepared
                start T-1.1 in L-1: a
            > auto hold=T-4.1
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
            T-4.1 claimed L-1 at base
                prepare L-1 for T-4.1 at base
            T-4.1 prepared
                start T-4.1 in L-1: d
        "#]],
    );
}

#[test]
fn tasks_that_write_the_same_files_do_not_run_at_once() {
    check(
        r#"
            submit | a writes=src/**; b writes=src/x.rs; c writes=doc/**
        "#,
        expect![[r#"
            > submit | a writes=src/**; b writes=src/x.rs; c writes=doc/**
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
            T-3.1 claimed L-2 at base
                limit R-1 10
                prepare L-1 for T-1.1 at base
                prepare L-2 for T-3.1 at base
        "#]],
    );
}

#[test]
fn an_exclusive_token_is_held_across_runs_and_by_readers_too() {
    check(
        r#"
            quiet submit | a res=db
            submit | b read res=db; c read
            ended T-1.1 exit:0
            quiet prepared T-1.1
            ended T-1.1 exit:1
        "#,
        expect![[r#"
            > submit | b read res=db; c read
            R-2 added
            R-2 Start -> ANALYZING
                survey R-2
              = Run { run: RunId(2), duplicate: false }
            R-2 surveyed
            R-2 analyzed
            R-2 Plan -> PLANNING
            R-2 planned by client: 2 tasks from T-2, base []
            R-2 approved
            R-2 Execute -> EXECUTING
            R-2 shared lane L-2
            R-2 Monitor -> MONITORING
                limit R-2 10
                prepare L-2 for R-2 shared at base
            > ended T-1.1 exit:0
            > ended T-1.1 exit:1
            T-1.1 ran exit:1
            T-1.1 over unknown/fallback (it ended with exit status 1)
            T-2.1 claimed L-1 at base
            T-1 failed (it ended with exit status 1)
            R-1 Complete -> COMPLETING
                prepare L-1 for T-2.1 at base
                publish R-1 -
        "#]],
    );
}

#[test]
fn many_readers_are_handed_out_ahead_and_refilled_in_strides() {
    check(
        r#"
            set workers=1
            quiet submit | a read; b read; c read; d read; e read; f read; g read
            shared R-1
            ended T-1.1 exit:0
            ended T-2.1 exit:0
        "#,
        expect![[r#"
            > set workers=1
            > shared R-1
            R-1 shared ready
            T-1.1 claimed shared
                start T-1.1 in L-1: a
            > ended T-1.1 exit:0
            T-1.1 ran exit:0
            T-1 completed
            T-2.1 claimed shared
            T-3.1 claimed shared
            T-4.1 claimed shared
            T-5.1 claimed shared
            T-6.1 claimed shared
            T-7.1 claimed shared
                start T-2.1 in L-1: b
                start T-3.1 in L-1: c
                start T-4.1 in L-1: d
                start T-5.1 in L-1: e
                start T-6.1 in L-1: f
                start T-7.1 in L-1: g
            > ended T-2.1 exit:0
            T-2.1 ran exit:0
            T-2 completed
        "#]],
    );
}

#[test]
fn whoever_finds_no_room_waits_and_nobody_else_is_given_a_lane() {
    check(
        r#"
            submit | a; b; c
            no-room T-1.1
            prepared T-2.1
            tick +1s
        "#,
        expect![[r#"
            > submit | a; b; c
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 3 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
            T-2.1 claimed L-2 at base
            T-3.1 claimed L-3 at base
                limit R-1 10
                prepare L-1 for T-1.1 at base
                prepare L-2 for T-2.1 at base
                prepare L-3 for T-3.1 at base
            > no-room T-1.1
            no room for T-1.1: 0 GiB are free
            R-1 noted: it waited for room on the disk: 0 GiB are free
            > prepared T-2.1
            room found; waiting: [T-1.1]
            T-2.1 prepared
                prepare L-1 for T-1.1 at base
                start T-2.1 in L-2: b
            > tick +1s
        "#]],
    );
}

#[test]
fn room_is_looked_for_again_and_a_restarted_daemon_looks_at_once() {
    check(
        r#"
            set lanes=1
            submit | a
            no-room T-1.1
            tick +15s
            no-room T-1.1
            crash
            tick +30s
            prepared T-1.1
            quiet auto
            submit | c
            no-room T-2.1
            cancel R-2
        "#,
        expect![[r#"
            > set lanes=1
            > submit | a
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
            > no-room T-1.1
            no room for T-1.1: 0 GiB are free
            R-1 noted: it waited for room on the disk: 0 GiB are free
            > tick +15s
            room sought for [T-1.1]
                prepare L-1 for T-1.1 at base
            > no-room T-1.1
            no room for T-1.1: 0 GiB are free
            > crash
                limit R-1 10
            > tick +30s
            room sought for [T-1.1]
                prepare L-1 for T-1.1 at base
            > prepared T-1.1
            room found; waiting: []
            T-1.1 prepared
                start T-1.1 in L-1: a
            > submit | c
            R-2 added
            R-2 Start -> ANALYZING
                survey R-2
              = Run { run: RunId(2), duplicate: false }
            R-2 surveyed
            R-2 analyzed
            R-2 Plan -> PLANNING
            R-2 planned by client: 1 tasks from T-2, base []
            R-2 approved
            R-2 Execute -> EXECUTING
            T-2.1 claimed L-1 at base
            R-2 Monitor -> MONITORING
                limit R-2 10
                prepare L-1 for T-2.1 at base
            > no-room T-2.1
            no room for T-2.1: 0 GiB are free
            R-2 noted: it waited for room on the disk: 0 GiB are free
            > cancel R-2
            R-2 cancel asked
            room sought for [T-2.1]
            T-2 cancelled (the run was cancelled)
            R-2 Cancel -> COMPLETING
                prepare L-1 for T-2.1 at base
                publish R-2 -
        "#]],
    );
}
