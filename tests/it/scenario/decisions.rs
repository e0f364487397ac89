//! Scenarios: questions and answers.

use expect_test::expect;

use super::check;

pub fn topic() {
    trust_is_asked_once_and_bound_to_the_manifests();
    trust_given_elsewhere_withdraws_the_question();
    no_trust_no_run();
    a_plan_wants_a_yes();
    a_plan_gets_a_no();
    questions_of_the_plan_block_only_what_needs_them();
    the_first_answer_wins();
    no_agent();
    withdrawn_with_its_run_and_with_its_task();
    an_answer_is_not_carried_out_twice_when_the_journal_is_read_back();
    a_request_that_cannot_be_read_asks();
    a_playbook_is_chosen_by_a_person();
    an_open_question_is_told_again_and_never_answered_by_time();
    a_persons_answer_teaches_and_can_be_remembered();
}

#[test]
fn an_open_question_is_told_again_and_never_answered_by_time() {
    check(
        r#"
            set remind=600 notify=1800
            submit | a ask
            tick +600s
            tick +1200s
            tick +90d
            answer D-1 yes
            tick +90d
        "#,
        expect![[r#"
            > set remind=600 notify=1800
            > submit | a ask
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
            D-1 opened agent_question T-1 [yes no]
            R-1 Monitor -> MONITORING
            R-1 Escalate -> ESCALATING
                limit R-1 10
            > tick +600s
            D-1 reminded 
            > tick +1200s
            D-1 reminded ring
                notify of D-1: ring
            > tick +90d
            > answer D-1 yes
            D-1 answered yes
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 chosen yes
            T-1 completed (answered: yes)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > tick +90d
        "#]],
    );
}

#[test]
fn a_persons_answer_teaches_and_can_be_remembered() {
    check(
        r#"
            submit | a ext
            answer D-1 deny always
            submit | a ext
            forget never-1
            submit | a ext
            forget never-1
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
            > answer D-1 deny always
            D-1 answered deny
            never-1 remembered for "run a"
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "run a": no
            T-1 cancelled (a person said no)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > submit | a ext
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
            act 1 "a" by Rule: no
            T-2 cancelled (not allowed, as rule says)
            R-2 Monitor -> MONITORING
            R-2 Complete -> COMPLETING
                limit R-2 10
                publish R-2 -
            > forget never-1
            never-1 forgotten
            > submit | a ext
            R-3 added
            R-3 Start -> ANALYZING
                survey R-3
              = Run { run: RunId(3), duplicate: false }
            R-3 surveyed
            R-3 analyzed
            R-3 Plan -> PLANNING
            R-3 planned by client: 1 tasks from T-3, base []
            R-3 approved
            R-3 Execute -> EXECUTING
            D-2 opened permission T-3 [allow deny]
            R-3 Monitor -> MONITORING
            R-3 Escalate -> ESCALATING
                limit R-3 10
            > forget never-1
              ! there is no remembered rule never-1
        "#]],
    );
}

#[test]
fn trust_is_asked_once_and_bound_to_the_manifests() {
    check(
        r#"
            submit | a derived
            answer D-1 trust
            quiet submit | b derived
            trust -
            submit | c derived
            submit trust | d derived
            answer D-2 no
        "#,
        expect![[r#"
            > submit | a derived
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 1 tasks from T-1, base []
            D-1 opened trust [trust no]
                limit R-1 10
            > answer D-1 trust
            D-1 answered trust
            trusted h
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
                prepare L-1 for T-1.1 at base
              = Decided { decision: DecisionId(1), again: false }
            > trust -
            trusted -
            > submit | c derived
            R-3 added
            R-3 Start -> ANALYZING
                survey R-3
              = Run { run: RunId(3), duplicate: false }
            R-3 surveyed
            R-3 analyzed
            R-3 Plan -> PLANNING
            R-3 planned by client: 1 tasks from T-3, base []
            D-2 opened trust [trust no]
                limit R-3 10
            > submit trust | d derived
            R-4 added
            R-4 Start -> ANALYZING
                survey R-4
              = Run { run: RunId(4), duplicate: false }
            R-4 surveyed
            R-4 analyzed
            R-4 Plan -> PLANNING
            R-4 planned by client: 1 tasks from T-4, base []
            R-4 approved
            R-4 Execute -> EXECUTING
            T-4.1 claimed L-3 at base
            R-4 Monitor -> MONITORING
                limit R-4 10
                prepare L-3 for T-4.1 at base
            > answer D-2 no
            D-2 answered no
            R-3 cancel asked
            T-3 cancelled (the run was cancelled)
            R-3 Cancel -> COMPLETING
                publish R-3 -
              = Decided { decision: DecisionId(2), again: false }
        "#]],
    );
}

#[test]
fn trust_given_elsewhere_withdraws_the_question() {
    check(
        r#"
            quiet submit | a derived
            trust other
            trust h
        "#,
        expect![[r#"
            > trust other
            trusted other
            > trust h
            trusted h
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
            D-1 withdrawn (the repository is trusted by now)
                prepare L-1 for T-1.1 at base
        "#]],
    );
}

#[test]
fn no_trust_no_run() {
    check(
        r#"
            quiet submit | a derived
            answer D-1 no
            auto
        "#,
        expect![[r#"
            > answer D-1 no
            D-1 answered no
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 1 tasks)
        "#]],
    );
}

#[test]
fn a_plan_wants_a_yes() {
    check(
        r#"
            submit ask=collaborative | a; b
            answer D-1 approve
            auto
        "#,
        expect![[r#"
            > submit ask=collaborative | a; b
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 2 tasks from T-1, base []
            D-1 opened plan_approval [approve reject]
                limit R-1 10
            > answer D-1 approve
            D-1 answered approve
            R-1 approved
            R-1 Execute -> EXECUTING
            T-1.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
            T-2.1 claimed L-2 at base
                prepare L-1 for T-1.1 at base
                prepare L-2 for T-2.1 at base
              = Decided { decision: DecisionId(1), again: false }
            > auto
            T-1.1 prepared
                start T-1.1 in L-1: a
            T-2.1 prepared
                start T-2.1 in L-2: b
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-1
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-2
            T-1.1 harvested c1.1
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
            T-2.1 harvested c2.1
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
            D-2 opened apply [apply leave]
        "#]],
    );
}

#[test]
fn a_plan_gets_a_no() {
    check(
        r#"
            quiet submit approve=always | a; b
            answer D-1 reject
            auto
        "#,
        expect![[r#"
            > answer D-1 reject
            D-1 answered reject
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            T-2 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 2 tasks)
        "#]],
    );
}

#[test]
fn questions_of_the_plan_block_only_what_needs_them() {
    check(
        r#"
            submit | q ask; a needs=q; b
            auto
            answer D-1 yes
            auto
        "#,
        expect![[r#"
            > submit | q ask; a needs=q; b
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
            D-1 opened agent_question T-1 [yes no]
            T-3.1 claimed L-1 at base
            R-1 Monitor -> MONITORING
                limit R-1 10
                prepare L-1 for T-3.1 at base
            > auto
            T-3.1 prepared
                start T-3.1 in L-1: b
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            T-3.1 harvested c3.1
            T-3.1 -> Queued
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto base
            T-3.1 merged m3.1 onto base
            T-3.1 -> Advancing
                advance T-3.1: base to m3.1
            T-3.1 landed m3.1
            T-3 completed
            R-1 Escalate -> ESCALATING
            > answer D-1 yes
            D-1 answered yes
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 chosen yes
            T-1 completed (answered: yes)
            T-2.1 claimed L-1 at m3.1
                prepare L-1 for T-2.1 at m3.1
              = Decided { decision: DecisionId(1), again: false }
            > auto
            T-2.1 prepared
                start T-2.1 in L-1: a
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-2.1 -> Merging
                merge T-2.1: c2.1 onto m3.1
            T-2.1 merged m2.1 onto m3.1
            T-2.1 -> Advancing
                advance T-2.1: m3.1 to m2.1
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
fn the_first_answer_wins() {
    check(
        r#"
            quiet submit | q ask
            answer D-1 maybe
            answer D-1 ye
            answer D-1 yes
            answer D-1 yes
            answer D-1 no
            answer D-9 no
        "#,
        expect![[r#"
            > answer D-1 maybe
              ! D-1 has no option "maybe" | the options are yes, no
            > answer D-1 ye
              ! D-1 has no option "ye" | did you mean "yes"? The options are yes, no
            > answer D-1 yes
            D-1 answered yes
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 chosen yes
            T-1 completed (answered: yes)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > answer D-1 yes
              = Decided { decision: DecisionId(1), again: true }
            > answer D-1 no
              ! already decided by person (cli), now: yes
            > answer D-9 no
              ! there is no decision D-9
        "#]],
    );
}

#[test]
fn no_agent() {
    check(
        r#"
            quiet submit | a agent writes=src/**; b needs=a
            answer D-1 again
            answer D-2 skip
            auto
        "#,
        expect![[r#"
            > answer D-1 again
            D-1 answered again
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 agents looked for
            T-1 due again
                find agents R-1
              = Decided { decision: DecisionId(1), again: false }
            R-1 agents []
            D-2 opened no_agent T-1 [again skip]
            R-1 Escalate -> ESCALATING
            > answer D-2 skip
            D-2 answered skip
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 cancelled (left out: no agent can do it)
            T-2 blocked (it needs T-1, which is cancelled)
            R-1 Complete -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(2), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (2 of 2 tasks did not complete, first T-1 (cancelled))
        "#]],
    );
}

#[test]
fn withdrawn_with_its_run_and_with_its_task() {
    check(
        r#"
            quiet submit | q ask; p ask; a
            cancel T-1
            cancel R-1
            answer D-2 yes
            auto
        "#,
        expect![[r#"
            > cancel T-1
            T-1 cancel asked
            D-1 withdrawn (T-1 was cancelled)
            T-1 cancelled (cancelled)
            > cancel R-1
            R-1 cancel asked
            T-2 cancelled (the run was cancelled)
            T-3 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
            D-2 withdrawn (the run is over)
                publish R-1 -
            > answer D-2 yes
              ! D-2 was withdrawn: the run is over
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 3 tasks)
        "#]],
    );
}

#[test]
fn an_answer_is_not_carried_out_twice_when_the_journal_is_read_back() {
    check(
        r#"
            quiet submit approve=always | a ext comp
            quiet answer D-1 approve
            quiet answer D-2 allow
            quiet auto hold=T-1.1
            crash
            crash
        "#,
        expect![[r#"
            > crash
                limit R-1 10
                start T-1.1 in L-1: a
            > crash
                limit R-1 10
                start T-1.1 in L-1: a
        "#]],
    );
}

#[test]
fn a_request_that_cannot_be_read_asks() {
    check(
        r#"
            set playbooks=builtin
            submit text=zzz
            answer D-1 cancel
            auto
        "#,
        expect![[r#"
            > set playbooks=builtin
            > submit text=zzz
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
            D-1 opened clarify [audit test tidy cancel]
            > answer D-1 cancel
            D-1 answered cancel
            R-1 cancel asked
            R-1 Cancel -> COMPLETING
                publish R-1 -
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended cancelled (cancelled after 0 of 0 tasks)
        "#]],
    );
}

#[test]
fn a_playbook_is_chosen_by_a_person() {
    check(
        r#"
            set playbooks=builtin
            quiet submit text=zzz
            answer D-1 tidy
            auto
        "#,
        expect![[r#"
            > set playbooks=builtin
            > answer D-1 tidy
            D-1 answered tidy
            R-1 planned by playbook:tidy: 6 tasks from T-1, base []
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 shared lane L-1
            T-1.1 claimed L-2 at base
            R-1 Monitor -> MONITORING
            T-2.1 claimed L-3 at base
            T-3.1 claimed L-4 at base
            T-4.1 claimed L-5 at base
                limit R-1 10
                prepare L-1 for R-1 shared at base
                prepare L-2 for T-1.1 at base
                prepare L-3 for T-2.1 at base
                prepare L-4 for T-3.1 at base
                prepare L-5 for T-4.1 at base
              = Decided { decision: DecisionId(1), again: false }
            > auto
            R-1 shared ready
            T-5.1 claimed shared
            T-6.1 claimed shared
                start T-5.1 in L-1: orchestrator audit conflict-markers
                start T-6.1 in L-1: orchestrator audit dead-links
            T-1.1 prepared
                start T-1.1 in L-2: orchestrator fix line-ends .
            T-2.1 prepared
                start T-2.1 in L-3: orchestrator fix trailing-blanks .
            T-3.1 prepared
                start T-3.1 in L-4: orchestrator fix final-newline .
            T-4.1 prepared
                start T-4.1 in L-5: orchestrator fix exec-bits .
            T-5.1 ran exit:0
            T-5 completed
            T-6.1 ran exit:0
            T-6 completed
            R-1 shared inspected
                inspect L-1 of R-1
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-3
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-4
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-5
            R-1 shared freed
            T-1.1 harvested c1.1
            T-1.1 -> Queued
            T-1.1 -> Merging
                merge T-1.1: c1.1 onto base
            T-2.1 harvested c2.1
            T-2.1 -> Queued
            T-3.1 harvested c3.1
            T-3.1 -> Queued
            T-4.1 harvested c4.1
            T-4.1 -> Queued
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
            T-3.1 -> Merging
                merge T-3.1: c3.1 onto m2.1
            T-3.1 merged m3.1 onto m2.1
            T-3.1 -> Advancing
                advance T-3.1: m2.1 to m3.1
            T-3.1 landed m3.1
            T-3 completed
            T-4.1 -> Merging
                merge T-4.1: c4.1 onto m3.1
            T-4.1 merged m4.1 onto m3.1
            T-4.1 -> Advancing
                advance T-4.1: m3.1 to m4.1
            T-4.1 landed m4.1
            T-4 completed
            R-1 Complete -> COMPLETING
                publish R-1 m4.1
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}
