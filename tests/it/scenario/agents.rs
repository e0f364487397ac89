//! Agents: who gets a task, what they ask, what their word is worth, and what happens when they cannot go on.

use expect_test::expect;

use super::check;

/// All of them.
pub fn topic() {
    keys_that_are_gone_are_waited_for_and_asked_for_once();
    an_agent_does_what_no_command_does();
    the_checks_decide_and_their_words_are_handed_on();
    a_liar_changes_nothing();
    an_agent_may_not_take_tests_away();
    what_the_gate_knows_is_answered_at_once();
    a_question_waits_and_its_answer_reaches_the_agent();
    a_run_that_waits_for_a_person_is_cancelled_and_its_agent_ends();
    nobody_waits_for_ever();
    an_answer_outlives_its_agent();
    an_agent_that_no_longer_asks();
    a_session_takes_what_no_agent_can_do();
    a_session_that_is_gone_loses_its_task();
    an_empty_account_is_parked_not_the_task();
    limits_are_asked_about();
    nothing_can_prove_it();
    what_judges_it_was_changed_by_it();
    a_crash_while_an_agent_asks();
}

#[test]
fn an_agent_does_what_no_command_does() {
    check(
        r#"
        set agents=ada,ben test=unit
        submit trust text=fix_the_parser
        auto
        "#,
        expect![[r#"
            > set agents=ada,ben test=unit
            > submit trust text=fix_the_parser
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 agents looked for
                find agents R-1
            R-1 agents [ada ben]
            R-1 planned by agent: 1 tasks from T-1, base ["unit"]
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 base lane L-1
            T-1.1 claimed L-2 at base by ada
                limit R-1 10
                prepare L-1 for R-1 base at base
                prepare L-2 for T-1.1 at base
            > auto
            R-1 base check 0
                start R-1/b0 in L-1: unit
            T-1.1 prepared
                start T-1.1 in L-2: ada begins
            R-1 base 0 exit:0
            R-1 base freed
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            T-1.1 harvested c1.1
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-2: unit
            T-1.1 v0 exit:0
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
fn the_checks_decide_and_their_words_are_handed_on() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1/v0
        ended T-1.1/v0 exit:1 says=two_is_not_three
        tick +2s
        prepared T-1.2
        ended T-1.2 exit:0 done
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-1.1/v0 exit:1 says=two_is_not_three
            T-1.1 v0 exit:1
            T-1.1 over wrong_output/retry (not proven by `unit`: the check passed before and now ends with exit:1)
            T-1 retry
            > tick +2s
            T-1 due again
            T-1.2 claimed L-2 at c1.1 by ada
                prepare L-2 for T-1.2 at c1.1
            > prepared T-1.2
            T-1.2 prepared
                start T-1.2 in L-2: ada begins
            > ended T-1.2 exit:0 done
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-2
        "#]],
    );
}

#[test]
fn a_liar_changes_nothing() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit retry=0
        quiet auto hold=T-1.1
        ended T-1.1 exit:0 done
        harvested T-1.1 same
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > harvested T-1.1 same
            T-1.1 harvested base
            T-1.1 over wrong_output/retry (it says that it is done, and changed nothing)
            T-1 undone (it says that it is done, and changed nothing)
            R-1 Complete -> COMPLETING
                publish R-1 -
        "#]],
    );
}

#[test]
fn an_agent_may_not_take_tests_away() {
    check(
        r#"
        set agents=ada test=unit
        quiet submit trust text=fix_the_failing_test
        quiet auto hold=R-1/b0
        quiet ended R-1/b0 exit:1 names=a,b ran=5
        quiet auto hold=T-1.1/v0
        ended T-1.1/v0 exit:0 ran=4
        "#,
        expect![[r#"
            > set agents=ada test=unit
            > ended T-1.1/v0 exit:0 ran=4
        "#]],
    );
}

#[test]
fn what_the_gate_knows_is_answered_at_once() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        said T-1.1 session s-1
        said T-1.1 asks r1 Read allow
        said T-1.1 asks r2 Bash deny
        said T-1.1 asks r3 Edit none
        said T-1.1 asks r3 Edit none
        "#,
        expect![[r#"
            > set agents=ada
            > said T-1.1 session s-1
            T-1.1 spoke
            > said T-1.1 asks r1 Read allow
            T-1.1 asks r1 Read
            T-1.1 told r1 yes by gate
                answer T-1.1 r1: yes
            > said T-1.1 asks r2 Bash deny
            T-1.1 asks r2 Bash
            T-1.1 told r2 no by gate
                answer T-1.1 r2: no
            > said T-1.1 asks r3 Edit none
            T-1.1 asks r3 Edit
            act 1 "Edit: Edit" by Probation: yes
            T-1.1 told r3 yes by probation
                answer T-1.1 r3: yes
            > said T-1.1 asks r3 Edit none
        "#]],
    );
}

#[test]
fn a_question_waits_and_its_answer_reaches_the_agent() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        said T-1.1 asks r1 push escalate
        answer D-1 allow
        said T-1.1 asks r2 push escalate
        auto
        "#,
        expect![[r#"
            > set agents=ada
            > said T-1.1 asks r1 push escalate
            T-1.1 asks r1 push
            D-1 opened permission T-1 [allow deny]
            R-1 Escalate -> ESCALATING
            > answer D-1 allow
            D-1 answered allow
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "push push": yes
            T-1.1 told r1 yes by D-1
                answer T-1.1 r1: yes
              = Decided { decision: DecisionId(1), again: false }
            > said T-1.1 asks r2 push escalate
            T-1.1 asks r2 push
            T-1.1 told r2 yes by D-1
                answer T-1.1 r2: yes
            > auto
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            T-1.1 harvested c1.1
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-2: unit
            T-1.1 v0 exit:0
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
fn a_run_that_waits_for_a_person_is_cancelled_and_its_agent_ends() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        quiet said T-1.1 asks r1 push escalate
        cancel R-1
        ended T-1.1 cancelled
        auto
        "#,
        expect![[r#"
            > set agents=ada
            > cancel R-1
            R-1 cancel asked
            D-1 withdrawn (the run is over)
            R-1 UserResponse -> EXECUTING
                stop T-1.1
            > ended T-1.1 cancelled
            T-1.1 ran cancelled
            T-1 cancelled (cancelled)
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
fn nobody_waits_for_ever() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        quiet said T-1.1 session s-1
        said T-1.1 asks r1 push escalate
        tick +600s
        ended T-1.1 exit:0 done
        harvested T-1.1
        answer D-1 deny
        prepared T-1.2
        said T-1.2 asks r7 push escalate
        "#,
        expect![[r#"
            > set agents=ada
            > said T-1.1 asks r1 push escalate
            T-1.1 asks r1 push
            D-1 opened permission T-1 [allow deny]
            R-1 Escalate -> ESCALATING
            > tick +600s
            T-1.1 told r1 not now
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
                answer T-1.1 r1: no
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > harvested T-1.1
            T-1.1 harvested c1.1
            T-1.1 over
            T-1 waits for D-1
            R-1 Escalate -> ESCALATING
            > answer D-1 deny
            D-1 answered deny
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "push push": no
            T-1 due again
            T-1.2 claimed L-2 at c1.1 by ada again
                prepare L-2 for T-1.2 at c1.1
              = Decided { decision: DecisionId(1), again: false }
            > prepared T-1.2
            T-1.2 prepared
                start T-1.2 in L-2: ada goes on
            > said T-1.2 asks r7 push escalate
            T-1.2 asks r7 push
            T-1.2 told r7 no by D-1
                answer T-1.2 r7: no
        "#]],
    );
}

#[test]
fn an_answer_outlives_its_agent() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        quiet said T-1.1 asks r1 push escalate
        answer D-1 allow
        ended T-1.1 lost
        quiet auto hold=T-1.2
        said T-1.2 asks r1 push escalate
        "#,
        expect![[r#"
            > set agents=ada
            > answer D-1 allow
            D-1 answered allow
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "push push": yes
            T-1.1 told r1 yes by D-1
                answer T-1.1 r1: yes
              = Decided { decision: DecisionId(1), again: false }
            > ended T-1.1 lost
            T-1.1 ran lost
            T-1.1 over transient/retry (it may have run: the machine or the keeper went down while it did)
            T-1 due again
            T-1.2 claimed L-2 at base by ada
                prepare L-2 for T-1.2 at base
            > said T-1.2 asks r1 push escalate
            T-1.2 asks r1 push
            T-1.2 told r1 yes by D-1
                answer T-1.2 r1: yes
        "#]],
    );
}

#[test]
fn an_agent_that_no_longer_asks() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        said T-1.1 asks r1 push escalate
        said T-1.1 withdrawn r1
        said T-1.1 asks r2 other escalate
        ended T-1.1 exit:1 error
        harvested T-1.1 same
        "#,
        expect![[r#"
            > set agents=ada
            > said T-1.1 asks r1 push escalate
            T-1.1 asks r1 push
            D-1 opened permission T-1 [allow deny]
            R-1 Escalate -> ESCALATING
            > said T-1.1 withdrawn r1
            T-1.1 no longer asks r1
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            D-1 withdrawn (its agent no longer asks)
            > said T-1.1 asks r2 other escalate
            T-1.1 asks r2 other
            D-2 opened permission T-1 [allow deny]
            R-1 Escalate -> ESCALATING
            > ended T-1.1 exit:1 error
            T-1.1 ran exit:1
            T-1.1 -> Harvesting
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
                harvest T-1.1 in L-2
            > harvested T-1.1 same
            T-1.1 harvested base
            T-1.1 over unknown/retry (it ended with exit status 1)
            D-2 withdrawn (its agent no longer asks)
            T-1 retry
        "#]],
    );
}

#[test]
fn a_session_takes_what_no_agent_can_do() {
    check(
        r#"
        submit | a agent writes=src verify=unit; b agent writes=lib verify=unit
        quiet auto
        claim T-2
        claim
        claim
        prepared T-2.1
        agent T-2.1 note watch_the_lock
        agent T-2.1 done it_is_done
        quiet auto
        agent T-2.1 done again
        "#,
        expect![[r#"
            > submit | a agent writes=src verify=unit; b agent writes=lib verify=unit
            R-1 added
            R-1 Start -> ANALYZING
                survey R-1
              = Run { run: RunId(1), duplicate: false }
            R-1 surveyed
            R-1 analyzed
            R-1 Plan -> PLANNING
            R-1 planned by client: 2 tasks from T-1, base ["unit"]
            R-1 approved
            R-1 Execute -> EXECUTING
            R-1 agents looked for
            R-1 Monitor -> MONITORING
            R-1 base lane L-1
                limit R-1 10
                find agents R-1
                prepare L-1 for R-1 base at base
            R-1 agents []
            D-1 opened no_agent T-1 [again skip]
            D-2 opened no_agent T-2 [again skip]
            R-1 Escalate -> ESCALATING
            > claim T-2
            D-2 withdrawn (session:s takes it)
            T-2 due again
            T-2.1 claimed L-1 at base by session:s on lease
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
                prepare L-1 for T-2.1 at base
              = Claimed(AttemptId { task: TaskId(2), generation: 1 })
            > claim
            D-1 withdrawn (session:s takes it)
            T-1 due again
            T-1.1 claimed L-2 at base by session:s on lease
                prepare L-2 for T-1.1 at base
              = Claimed(AttemptId { task: TaskId(1), generation: 1 })
            > claim
              = NothingOffered
            > prepared T-2.1
            T-2.1 prepared
            > agent T-2.1 note watch_the_lock
            R-1 note of T-2.1: watch_the_lock
            > agent T-2.1 done it_is_done
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            > agent T-2.1 done again
              ! T-2.1 is over and its place is taken or free again (T-2 has had 1 attempts); what was left in the lane is not looked at
        "#]],
    );
}

#[test]
fn a_session_that_is_gone_loses_its_task() {
    check(
        r#"
        set agents=ada
        quiet submit max=1; | a agent writes=src verify=unit
        quiet auto hold=prepare:T-1.1
        cancel R-1
        quiet set agents=zed
        quiet submit | b agent writes=src verify=unit
        quiet auto
        "#,
        expect![[r#"
            > set agents=ada
            > cancel R-1
            R-1 cancel asked
            T-1 cancelled (the run was cancelled)
            R-1 Cancel -> COMPLETING
                publish R-1 -
        "#]],
    );
    check(
        r#"
        quiet submit | a agent writes=src verify=unit
        quiet auto
        quiet claim
        quiet prepared T-1.1
        tick +300s
        agent T-1.1 present
        tick +300s
        tick +300s
        agent T-1.1 done late
        "#,
        expect![[r#"
            > tick +300s
            > agent T-1.1 present
            T-1.1 lease renewed
            > tick +300s
            > tick +300s
            T-1.1 over transient/retry (the session that had it has not been heard of for ten minutes)
            T-1 retry
            > agent T-1.1 done late
              ! T-1.1 is over and its place is taken or free again (T-1 has had 1 attempts); what was left in the lane is not looked at
        "#]],
    );
}

#[test]
fn an_empty_account_is_parked_not_the_task() {
    check(
        r#"
        set agents=ada,ben
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        ended T-1.1 exit:1 quota
        harvested T-1.1
        quiet auto hold=T-1.2
        ended T-1.2 exit:1 quota
        harvested T-1.2 same
        tick +3600s
        "#,
        expect![[r#"
            > set agents=ada,ben
            > ended T-1.1 exit:1 quota
            T-1.1 ran exit:1
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > harvested T-1.1
            T-1.1 harvested c1.1
            account ada empty
            T-1.1 over quota/park (it ended with exit status 1)
            T-1 due again
            T-1.2 claimed L-2 at c1.1 by ben
                prepare L-2 for T-1.2 at c1.1
            > ended T-1.2 exit:1 quota
            T-1.2 ran exit:1
            T-1.2 -> Harvesting
                harvest T-1.2 in L-2
            > harvested T-1.2 same
            T-1.2 harvested base
            account ben empty
            T-1.2 over quota/park (it ended with exit status 1)
            T-1 due again
            > tick +3600s
            account ada free
            account ben free
            T-1.3 claimed L-2 at base by ada
                prepare L-2 for T-1.3 at base
        "#]],
    );
}

#[test]
fn limits_are_asked_about() {
    check(
        r#"
        set agents=ada spawns=1
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        ended T-1.1 exit:1 budget
        harvested T-1.1
        answer D-1 raise
        answer D-2 raise
        quiet auto hold=T-1.2
        ended T-1.2 exit:1 error
        harvested T-1.2 same
        tick +9s
        "#,
        expect![[r#"
            > set agents=ada spawns=1
            > ended T-1.1 exit:1 budget
            T-1.1 ran exit:1
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > harvested T-1.1
            T-1.1 harvested c1.1
            T-1.1 over budget/escalate (it ended with exit status 1)
            D-1 opened budget T-1 [raise stop]
            R-1 Escalate -> ESCALATING
            > answer D-1 raise
            D-1 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 allowed
            T-1 due again
            R-1 budget reached: attempts
            D-2 opened budget [raise stop cancel]
            R-1 Escalate -> ESCALATING
              = Decided { decision: DecisionId(1), again: false }
            > answer D-2 raise
            D-2 answered raise
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            R-1 budget raised: minutes None, spawns None, usd, tokens, attempts, day (None, None, Some(2), None)
            T-1.2 claimed L-2 at c1.1 by ada
            R-1 budget warned: attempts
                prepare L-2 for T-1.2 at c1.1
              = Decided { decision: DecisionId(2), again: false }
            > ended T-1.2 exit:1 error
            T-1.2 ran exit:1
            T-1.2 -> Harvesting
                harvest T-1.2 in L-2
            > harvested T-1.2 same
            T-1.2 harvested base
            T-1.2 over unknown/retry (it ended with exit status 1)
            T-1 retry
            > tick +9s
            T-1 due again
            R-1 budget reached: attempts
            D-3 opened budget [raise stop cancel]
            R-1 Escalate -> ESCALATING
        "#]],
    );
}

#[test]
fn nothing_can_prove_it() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src; b agent writes=lib verify=-
        quiet auto hold=T-2.1
        ended T-2.1 exit:0 done
        harvested T-2.1
        answer D-1 accept
        answer D-2 reject
        auto
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-2.1 exit:0 done
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-2
            > harvested T-2.1
            T-2.1 harvested c2.1
            T-2.1 -> Reviewing
            D-2 opened review T-2 [accept reject]
            R-1 Escalate -> ESCALATING
            > answer D-1 accept
            D-1 answered accept
            T-1.1 -> Queued
            T-1.1 -> Merging
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
                merge T-1.1: c1.1 onto base
              = Decided { decision: DecisionId(1), again: false }
            > answer D-2 reject
            D-2 answered reject
            T-2 undone (a person left it out)
              = Decided { decision: DecisionId(2), again: false }
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
            R-1 ended partial (1 of 2 tasks did not complete, first T-2 (undone))
        "#]],
    );
}

#[test]
fn what_judges_it_was_changed_by_it() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit; b agent writes=lib verify=unit
        quiet auto hold=T-1.1,T-2.1,R-1/b0
        ended T-1.1 exit:0 done
        harvested T-1.1 touches=unit
        auto hold=T-2.1,R-1/b0
        ended R-1/b0 exit:0
        ended T-2.1 exit:0 done
        harvested T-2.1 touches=unit
        auto
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-2
            > harvested T-1.1 touches=unit
            T-1.1 harvested c1.1
            T-1.1 -> Checking(0)
                start T-1.1/v0 in L-2: unit
            > auto hold=T-2.1,R-1/b0
            T-1.1 v0 exit:0
            T-1.1 -> AwaitingBase(0)
            > ended R-1/b0 exit:0
            R-1 base 0 exit:0
            T-1.1 -> Reviewing
            D-1 opened review T-1 [accept reject]
            R-1 base freed
            > ended T-2.1 exit:0 done
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-3
            > harvested T-2.1 touches=unit
            T-2.1 harvested c2.1
            T-2.1 -> Checking(0)
                start T-2.1/v0 in L-3: unit
            > auto
            T-2.1 v0 exit:0
            T-2.1 -> Reviewing
            D-2 opened review T-2 [accept reject]
            R-1 Escalate -> ESCALATING
        "#]],
    );
}

#[test]
fn a_crash_while_an_agent_asks() {
    check(
        r#"
        set agents=ada
        quiet submit | a agent writes=src verify=unit
        quiet auto hold=T-1.1
        quiet said T-1.1 asks r1 push escalate
        quiet said T-1.1 asks r2 Read allow
        crash
        said T-1.1 asks r1 push escalate
        answer D-1 allow
        "#,
        expect![[r#"
            > set agents=ada
            > crash
                limit R-1 10
                start T-1.1 in L-2: ada begins
                answer T-1.1 r2: yes
            > said T-1.1 asks r1 push escalate
            > answer D-1 allow
            D-1 answered allow
            R-1 UserResponse -> EXECUTING
            R-1 Monitor -> MONITORING
            learning begun
            label Asked for "push push": yes
            T-1.1 told r1 yes by D-1
                answer T-1.1 r1: yes
              = Decided { decision: DecisionId(1), again: false }
        "#]],
    );
}

#[test]
fn keys_that_are_gone_are_waited_for_and_asked_for_once() {
    check(
        r#"
            set agents=ada,ben
            quiet submit | a agent writes=a verify=unit; b agent writes=b verify=unit; c agent writes=c verify=unit needs=a
            quiet base R-1
            quiet ended R-1/b0 exit:0
            quiet prepared T-1.1
            quiet prepared T-2.1
            keyless T-1.1
            keyless T-2.1
            keys-given
            quiet prepared T-1.2
            quiet prepared T-2.2
            keyless T-1.2
            answer D-2 without
            quiet prepared T-1.3
            keyless T-2.2
            answer D-3 stop
        "#,
        expect![[r#"
            > set agents=ada,ben
            > keyless T-1.1
            T-1.1 over
            D-1 opened needs_env [again without stop]
            T-1 waits for D-1
            > keyless T-2.1
            T-2.1 over
            T-2 waits for D-1
            R-1 Escalate -> ESCALATING
            > keys-given
            D-1 withdrawn (a client has handed keys over again)
            T-1 due again
            T-2 due again
            R-1 UserResponse -> EXECUTING
            T-1.2 claimed L-2 at base by ada
            T-2.2 claimed L-3 at base by ben
            R-1 Monitor -> MONITORING
                prepare L-2 for T-1.2 at base
                prepare L-3 for T-2.2 at base
            > keyless T-1.2
            T-1.2 over
            D-2 opened needs_env [again without stop]
            T-1 waits for D-2
            > answer D-2 without
            D-2 answered without
            T-1 due again
            T-1.3 claimed L-2 at base by ada
                prepare L-2 for T-1.3 at base
              = Decided { decision: DecisionId(2), again: false }
            > keyless T-2.2
            T-2.2 over
            D-3 opened needs_env [again without stop]
            T-2 waits for D-3
            > answer D-3 stop
            D-3 answered stop
            T-2 failed (its keys were not handed over again)
              = Decided { decision: DecisionId(3), again: false }
        "#]],
    );
}
