//! Scenarios: what is handed in, and how.

use expect_test::expect;

use super::check;

pub fn topic() {
    a_key_means_the_same_run_for_seven_days();
    a_plan_only();
    a_plan_that_goes_in_circles();
    a_task_alone_is_a_run_of_one();
    tasks_join_a_run();
    a_task_cannot_join_a_run_that_has_no_plan();
    a_task_that_joins_is_checked();
    a_playbook_that_finds_nothing_says_so();
    a_request_that_only_a_playbook_can_mean_says_what_is_missing_and_asks_nothing();
    a_playbook_inside_a_plan();
    a_survey_that_fails();
    a_task_wakes_a_run_that_waits_for_a_person();
}

#[test]
fn a_key_means_the_same_run_for_seven_days() {
    check(
        r#"
            submit key=k | a
            submit key=k | b
            tick +6d
            submit key=k | c
            tick +1d
            submit key=k | d
        "#,
        expect![[r#"
            > submit key=k | a
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
            > submit key=k | b
              = Run { run: RunId(1), duplicate: true }
            > tick +6d
            > submit key=k | c
              = Run { run: RunId(1), duplicate: true }
            > tick +1d
            > submit key=k | d
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
            T-2.1 claimed L-2 at base
            R-2 Monitor -> MONITORING
                limit R-2 10
                prepare L-2 for T-2.1 at base
        "#]],
    );
}

#[test]
fn a_plan_only() {
    check(
        r#"
            submit mode=plan | a; b needs=a
            auto
        "#,
        expect![[r#"
            > submit mode=plan | a; b needs=a
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 2 tasks from T-1, base []
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
            T-1 cancelled (the run was cancelled)
            T-2 cancelled (the run was cancelled)
                limit R-1 10
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 2 tasks)
        "#]],
    );
}

#[test]
fn a_plan_that_goes_in_circles() {
    check(
        r#"
            submit | a needs=b; b needs=a
            submit | a; a
            set tasks=1
            submit | a; b
        "#,
        expect![[r#"
            > submit | a needs=b; b needs=a
              ! task "a": in a circle: "a" needs "b" needs "a"; take one of these needs away (tasks[0].needs)
            > submit | a; a
              ! task "a": the id is taken by tasks[0] already; ids are unique in a plan (tasks[1].id) | ids are unique in a plan
            > set tasks=1
            > submit | a; b
              ! the plan has 2 tasks, at most 1 are taken | raise workflow.max_tasks in config.toml, or split the plan
        "#]],
    );
}

#[test]
fn a_task_alone_is_a_run_of_one() {
    check(
        r#"
            task key=k | a
            surveyed R-1
            task key=k | a
            auto
        "#,
        expect![[r#"
            > task key=k | a
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Task(TaskId(1))
            > surveyed R-1
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
            > task key=k | a
              = Task(TaskId(1))
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
fn tasks_join_a_run() {
    check(
        r#"
            quiet submit | a; b
            quiet auto hold=T-1.1,T-2.1
            task run=R-1 deps=T-1 | c
            task deps=T-1,T-2 | d read
            task run=R-9 | e
            task deps=T-9 | e
            quiet submit | z
            task run=R-2 deps=T-1 | e
            task deps=T-1,T-5 | e
            ended T-1.1 exit:1
            task run=R-1 deps=T-1 | f
            auto
            task run=R-1 | g
        "#,
        expect![[r#"
            > task run=R-1 deps=T-1 | c
            R-1 +1 tasks from T-3
              = Task(TaskId(3))
            > task deps=T-1,T-2 | d read
            R-1 +1 tasks from T-4
              = Task(TaskId(4))
            > task run=R-9 | e
              ! there is no run R-9
            > task deps=T-9 | e
              ! there is no task T-9
            > task run=R-2 deps=T-1 | e
              ! T-1 belongs to R-1, not to R-2 | a task can only wait for tasks of its own run
            > task deps=T-1,T-5 | e
              ! T-5 belongs to R-2, not to R-1 | a task can only wait for tasks of its own run
            > ended T-1.1 exit:1
            T-1.1 ran exit:1
            T-1.1 over unknown/fallback (it ended with exit status 1)
            T-1 failed (it ended with exit status 1)
            T-3 blocked (it needs T-1, which is failed)
            T-4 blocked (it needs T-1, which is failed)
            > task run=R-1 deps=T-1 | f
            R-1 +1 tasks from T-6
            T-6 blocked (it needs T-1, which is failed)
              = Task(TaskId(6))
            > auto
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-2
            T-5.1 prepared
                start T-5.1 in L-3: z
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto base
            T-5.1 ran exit:0
            T-5.1 -> Harvesting
                harvest T-5.1 in L-3
            T-2.1 merged m2.1 onto base
            T-2.1 -> Advancing
                advance T-2.1: base to m2.1
            T-5.1 harvested c5.1
            T-5.1 -> Queued
            T-5.1 -> Merging
                merge T-5.1: c5.1 onto base
            T-2.1 landed m2.1
            T-2 completed
            R-1 Complete -> COMPLETING
                publish R-1 m2.1
            T-5.1 merged m5.1 onto base
            T-5.1 -> Advancing
                advance T-5.1: base to m5.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended partial (4 of 5 tasks did not complete, first T-1 (failed))
            T-5.1 landed m5.1
            T-5 completed
            R-2 Complete -> COMPLETING
                publish R-2 m5.1
            R-2 published orchestrator/R-2
            R-2 Finish -> IDLE
            R-2 ended completed
            > task run=R-1 | g
              ! R-1 is over: partial | orchestrator retry R-1 tries what failed again
        "#]],
    );
}

#[test]
fn a_task_cannot_join_a_run_that_has_no_plan() {
    check(
        r#"
            quiet submit later | a
            task run=R-1 | b
        "#,
        expect![[r#"
            > task run=R-1 | b
              ! R-1 has no plan yet | wait until R-1 is planned, or submit without workflow_id
        "#]],
    );
}

#[test]
fn a_task_that_joins_is_checked() {
    check(
        r#"
            quiet submit | a
            set tasks=1
            task run=R-1 | b
        "#,
        expect![[r#"
            > set tasks=1
            > task run=R-1 | b
              ! R-1 has 1 tasks, the most there may be | raise workflow.max_tasks in config.toml, or submit without workflow_id
        "#]],
    );
}

#[test]
fn a_playbook_that_finds_nothing_says_so() {
    check(
        r#"
            set playbooks=builtin
            quiet submit text=zzz
            answer D-1 test
            auto
        "#,
        expect![[r#"
            > set playbooks=builtin
            > answer D-1 test
            D-1 answered test
            R-1 Error -> ERROR
            R-1 ended failed (the playbook test does not fit here: test.toml: nothing in it applies to this repository)
              = Decided { decision: DecisionId(1), again: false }
            > auto
        "#]],
    );
}

#[test]
fn a_request_that_only_a_playbook_can_mean_says_what_is_missing_and_asks_nothing() {
    check(
        r#"
            set playbooks=builtin
            submit text=run_the_tests
            auto
        "#,
        expect![[r#"
            > set playbooks=builtin
            > submit text=run_the_tests
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 agents looked for
                find agents R-1
            R-1 agents []
            R-1 Error -> ERROR
            R-1 ended failed (the playbook test does not fit here: test.toml: nothing in it applies to this repository)
            > auto
        "#]],
    );
}

#[test]
fn a_playbook_inside_a_plan() {
    check(
        r#"
            set playbooks=builtin
            submit | a; tests flow needs=a; b needs=tests
            submit | a; test flow needs=a; b needs=test
            submit test=suite trust | a; test flow needs=a; b needs=test
        "#,
        expect![[r#"
            > set playbooks=builtin
            > submit | a; tests flow needs=a; b needs=tests
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 Error -> ERROR
            R-1 ended failed (there is no playbook "tests"; did you mean "test"?)
            > submit | a; test flow needs=a; b needs=test
            R-2 added
            R-2 Start -> ANALYZING
                survey R-2
              = Run { run: RunId(2), duplicate: false }
            R-2 surveyed
            R-2 analyzed
            R-2 Plan -> PLANNING
            R-2 Error -> ERROR
            R-2 ended failed (the playbook test: test.toml: nothing in it applies to this repository)
            > submit test=suite trust | a; test flow needs=a; b needs=test
            R-3 added
            R-3 Start -> ANALYZING
                survey R-3
              = Run { run: RunId(3), duplicate: false }
            R-3 surveyed
            R-3 analyzed
            R-3 Plan -> PLANNING
            R-3 planned by client: 3 tasks from T-1, base ["suite"]
            R-3 approved
            R-3 Execute -> EXECUTING
            R-3 Monitor -> MONITORING
            R-3 base lane L-1
            T-1.1 claimed L-2 at base
                limit R-3 10
                prepare L-1 for R-3 base at base
                prepare L-2 for T-1.1 at base
        "#]],
    );
}

#[test]
fn a_survey_that_fails() {
    check(
        r#"
            quiet submit later | a
            survey-failed R-1 not a repository
            survey-failed R-1 not a repository
            retry R-1
            auto
        "#,
        expect![[r#"
            > survey-failed R-1 not a repository
            R-1 Error -> ERROR
            R-1 ended failed (not a repository)
            > survey-failed R-1 not a repository
            > retry R-1
              ! nothing of R-1 failed | only what failed, was blocked or cancelled can be tried again
            > auto
        "#]],
    );
}

#[test]
fn a_task_wakes_a_run_that_waits_for_a_person() {
    check(
        r#"
            quiet submit | q ask
            quiet auto
            task run=R-1 | b
            auto
        "#,
        expect![[r#"
            > task run=R-1 | b
            R-1 +1 tasks from T-2
            R-1 UserResponse -> EXECUTING
            T-2.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
                prepare L-1 for T-2.1 at base
              = Task(TaskId(2))
            > auto
            T-2.1 prepared
                start T-2.1 in L-1: b
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
            R-1 Escalate -> ESCALATING
        "#]],
    );
}
