//! Scenarios: how agents work together, as tasks and edges.

use expect_test::expect;

use super::check;

pub fn topic() {
    a_leader_reviews_what_a_follower_did_before_anything_builds_on_it();
    a_review_that_says_neither_is_asked_again();
    of_several_candidates_the_best_lands();
    where_no_candidate_is_proven_nothing_lands();
    an_owner_finds_its_parts_well();
    an_agent_plans_and_a_person_says_yes();
    a_plan_that_does_not_hold_goes_back_with_what_is_wrong();
    a_plan_of_an_agent_is_rejected();
    a_leaders_no_takes_out_what_landed_and_lands_the_rest_once_more();
    where_no_plan_comes_about_one_agent_gets_the_request();
}

#[test]
fn a_leader_reviews_what_a_follower_did_before_anything_builds_on_it() {
    check(
        r#"
            set agents=ada,ben
            quiet submit | lead; a agent writes=a verify=unit; b needs=a
            quiet auto hold=T-3.1
            ended T-3.1 exit:0 done says=REJECT:_the_sign_is_wrong
            harvested T-3.1 same
            auto
        "#,
        expect![[r#"
            > set agents=ada,ben
            > ended T-3.1 exit:0 done says=REJECT:_the_sign_is_wrong
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            > harvested T-3.1 same
            T-3.1 harvested m1.1
            T-3 failed (the review says no: the sign is wrong)
            R-1 back to base without T-1.1, again [], dropped []
            R-1 noted: T-1 was taken out of the result: its leader says no (T-3): the sign is wrong
            T-1 undone (its leader says no (T-3): the sign is wrong)
            T-2 blocked (it needs T-3, which is failed)
            R-1 Complete -> COMPLETING
                set ref R-1 to base
                publish R-1 -
            > auto
            R-1 published -
            R-1 Finish -> IDLE
            R-1 ended failed (3 of 3 tasks did not complete, first T-1 (undone))
        "#]],
    );
}

#[test]
fn a_review_that_says_neither_is_asked_again() {
    check(
        r#"
            set agents=ada
            quiet submit | lead; a agent writes=a verify=unit; b needs=a
            quiet auto hold=T-3.1
            ended T-3.1 exit:0 done says=looks_fine
            harvested T-3.1 same
            tick +2s
            quiet auto hold=T-3.2
            ended T-3.2 exit:0 done says=APPROVE
            harvested T-3.2 same
        "#,
        expect![[r#"
            > set agents=ada
            > ended T-3.1 exit:0 done says=looks_fine
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            > harvested T-3.1 same
            T-3.1 harvested m1.1
            T-3.1 over wrong_output/retry (the last line must be APPROVE, or REJECT: and why)
            T-3 retry
            > tick +2s
            T-3 due again
            T-3.2 claimed L-1 at m1.1 by ada
                prepare L-1 for T-3.2 at m1.1
            > ended T-3.2 exit:0 done says=APPROVE
            T-3.2 ran exit:0
            T-3.2 -> Harvesting
                harvest T-3.2 in L-1
            > harvested T-3.2 same
            T-3.2 harvested m1.1
            T-3 completed (APPROVE)
            T-2.1 claimed L-1 at m1.1
                prepare L-1 for T-2.1 at m1.1
        "#]],
    );
}

#[test]
fn of_several_candidates_the_best_lands() {
    check(
        r#"
            set agents=ada,ben
            quiet submit | votes; a agent writes=a verify=unit retry=0; b needs=a
            quiet auto hold=T-3.1,T-4.1,T-5.1/v0
            ended T-3.1 exit:1 error
            harvested T-3.1 same
            ended T-4.1 exit:0 done
            quiet auto hold=T-5.1/v0
            crash
            auto
        "#,
        expect![[r#"
            > set agents=ada,ben
            > ended T-3.1 exit:1 error
            T-3.1 ran exit:1
            T-3.1 -> Harvesting
                harvest T-3.1 in L-2
            > harvested T-3.1 same
            T-3.1 harvested base
            T-3.1 over unknown/retry (it ended with exit status 1)
            T-3 failed (it ended with exit status 1)
            > ended T-4.1 exit:0 done
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-3
            > crash
                limit R-1 10
                start T-5.1/v0 in L-4: unit
            > auto
            T-5.1 v0 exit:0
            T-5 completed (proven; one of several to choose from)
            T-1.1 lands T-4.1, in L-1
            T-1.1 -> Merging
                merge T-1.1: c4.1 onto base
            T-1.1 merged m1.1 onto base
            T-1.1 -> Restaging
                prepare L-1 for T-1.1 at m1.1
            T-1.1 prepared
                start T-1.1/m0 in L-1: unit
            T-1.1 m0 exit:0
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
            T-2.1 harvested c2.1
            T-2.1 -> Queued
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
fn where_no_candidate_is_proven_nothing_lands() {
    check(
        r#"
            set agents=ada,ben
            quiet submit | votes; a agent writes=a verify=unit retry=0; b needs=a
            quiet auto hold=T-3.1,T-4.1,T-5.1
            quiet ended T-3.1 exit:0 done
            quiet harvested T-3.1 same
            quiet ended T-4.1 exit:0 done
            quiet harvested T-4.1 same
            ended T-5.1 exit:0 done
            harvested T-5.1 same
            quiet auto
            retry R-1
        "#,
        expect![[r#"
            > set agents=ada,ben
            > ended T-5.1 exit:0 done
            T-5.1 ran exit:0
            T-5.1 -> Harvesting
                harvest T-5.1 in L-4
            > harvested T-5.1 same
            T-5.1 harvested base
            T-5.1 over wrong_output/retry (it says that it is done, and changed nothing)
            T-5 undone (it says that it is done, and changed nothing)
            T-1 failed (none of its candidates was proven)
            T-2 blocked (it needs T-1, which is failed)
            R-1 Complete -> COMPLETING
                publish R-1 -
            > retry R-1
            R-1 reopened
            R-1 Start -> ANALYZING
            R-1 Plan -> PLANNING
            R-1 Execute -> EXECUTING
            R-1 Monitor -> MONITORING
            T-1 due again
            T-2 due again
            T-3 due again
            T-4 due again
            T-5 due again
            T-3.2 claimed L-2 at base by ben
            T-4.2 claimed L-3 at base by ada
            T-5.2 claimed L-4 at base by ben
                limit R-1 10
                prepare L-2 for T-3.2 at base
                prepare L-3 for T-4.2 at base
                prepare L-4 for T-5.2 at base
              = Reopened([TaskId(1), TaskId(2), TaskId(3), TaskId(4), TaskId(5)])
        "#]],
    );
}

#[test]
fn an_owner_finds_its_parts_well() {
    check(
        r#"
            set agents=ada test=unit
            quiet submit trust | owned; whole agent writes=src; a in=whole; b in=whole
            quiet auto hold=T-1.1
            ended T-1.1 exit:0 done
            harvested T-1.1 same
            auto
        "#,
        expect![[r#"
            > set agents=ada test=unit
            > ended T-1.1 exit:0 done
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-1
            > harvested T-1.1 same
            T-1.1 harvested m3.1
            T-1 completed (nothing to change)
            R-1 Complete -> COMPLETING
                publish R-1 m3.1
            > auto
            R-1 published orchestrator/R-1
            R-1 Finish -> IDLE
            R-1 ended completed
        "#]],
    );
}

/// A plan of two tasks as an agent would say it, in the script's letters (a blank is a `_`).
const PLAN: &str = "{'version':1,'title':'Two','tasks':[{'id':'a','kind':'agent','prompt':'a','writes':['a']},{'id':'b','kind':'agent','prompt':'b','writes':['b'],'needs':['a']}]}";

fn said(plan: &str) -> String {
    plan.replace('\'', "\"")
}

#[test]
fn an_agent_plans_and_a_person_says_yes() {
    let script = format!(
        "
        set agents=ada test=unit
        quiet submit trust planner=ada text=move_auth_to_OAuth2
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0 done says={}
        harvested T-1.1 same
        answer D-1 approve
        crash
        auto
        ",
        said(PLAN)
    );
    check(
        &script,
        expect![[r#"
        > set agents=ada test=unit
        > harvested T-1.1 same
        T-1.1 harvested base
        T-1.1 over
        D-1 opened plan_approval T-1 [approve reject]
        R-1 Escalate -> ESCALATING
        > answer D-1 approve
        D-1 answered approve
        R-1 UserResponse -> EXECUTING
        R-1 Monitor -> MONITORING
        R-1 planned by agent:ada: 2 tasks from T-2
        T-1 completed (it planned 2 tasks)
        R-1 base lane L-1
        T-2.1 claimed L-2 at base by ada
            limit R-1 10
            prepare L-1 for R-1 base at base
            prepare L-2 for T-2.1 at base
          = Decided { decision: DecisionId(1), again: false }
        > crash
            limit R-1 10
            prepare L-1 for R-1 base at base
            prepare L-2 for T-2.1 at base
        > auto
        R-1 base check 0
            start R-1/b0 in L-1: unit
        T-2.1 prepared
            start T-2.1 in L-2: ada begins
        R-1 base 0 exit:0
        R-1 base freed
        T-2.1 ran exit:0
        T-2.1 -> Harvesting
            harvest T-2.1 in L-2
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
        T-3.1 claimed L-1 at m2.1 by ada
            prepare L-1 for T-3.1 at m2.1
        T-3.1 prepared
            start T-3.1 in L-1: ada begins
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
            publish R-1 m3.1
        R-1 published orchestrator/R-1
        R-1 Finish -> IDLE
        R-1 ended completed
    "#]],
    );
}

#[test]
fn a_plan_that_does_not_hold_goes_back_with_what_is_wrong() {
    let circle = said(PLAN).replace(r#""writes":["a"]"#, r#""writes":["a"],"needs":["b"]"#);
    let command = r#"{"version":1,"tasks":[{"id":"a","run":"curl"}]}"#;
    let script = format!(
        "
        set agents=ada test=unit
        quiet submit trust planner=ada ask=minimal text=move_auth_to_OAuth2
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0 done says={circle}
        harvested T-1.1 same
        quiet tick +2s
        quiet auto hold=T-1.2
        quiet ended T-1.2 exit:0 done says={command}
        harvested T-1.2 same
        quiet tick +9s
        quiet auto hold=T-1.3
        quiet ended T-1.3 exit:0 done says={}
        harvested T-1.3 same
        ",
        said(PLAN)
    );
    check(
        &script,
        expect![[r#"
            > set agents=ada test=unit
            > harvested T-1.1 same
            T-1.1 harvested base
            T-1.1 over wrong_output/retry (the plan is refused: line 1: task "a": in a circle: "a" needs "b" needs "a"; take one of these needs away (tasks[0].needs))
            T-1 retry
            > harvested T-1.2 same
            T-1.2 harvested base
            T-1.2 over wrong_output/retry (the plan is refused: task "a": only kind = "agent" and kind = "decision" may be planned here)
            T-1 retry
            > harvested T-1.3 same
            T-1.3 harvested base
            R-1 planned by agent:ada: 2 tasks from T-2
            T-1 completed (it planned 2 tasks)
            R-1 base lane L-1
            T-2.1 claimed L-2 at base by ada
                limit R-1 10
                prepare L-1 for R-1 base at base
                prepare L-2 for T-2.1 at base
        "#]],
    );
}

#[test]
fn a_plan_of_an_agent_is_rejected() {
    let script = format!(
        "
        set agents=ada
        quiet submit planner=ada text=move_auth_to_OAuth2
        quiet auto hold=T-1.1
        quiet ended T-1.1 exit:0 done says={}
        quiet harvested T-1.1 same
        answer D-1 reject
        ",
        said(PLAN)
    );
    check(
        &script,
        expect![[r#"
        > set agents=ada
        > answer D-1 reject
        D-1 answered reject
        R-1 UserResponse -> EXECUTING
        R-1 Monitor -> MONITORING
        R-1 cancel asked
        T-1 cancelled (the run was cancelled)
        R-1 Cancel -> COMPLETING
            publish R-1 -
          = Decided { decision: DecisionId(1), again: false }
    "#]],
    );
}

#[test]
fn a_leaders_no_takes_out_what_landed_and_lands_the_rest_once_more() {
    check(
        r#"
            set agents=ada,ben
            quiet submit | lead; a agent writes=a verify=unit; b agent writes=b verify=unit
            quiet auto hold=T-3.1,merge:T-2.1
            ended T-3.1 exit:0 done says=REJECT:_it_is_slow
            harvested T-3.1 same
            merged T-2.1 other
            auto
        "#,
        expect![[r#"
            > set agents=ada,ben
            > ended T-3.1 exit:0 done says=REJECT:_it_is_slow
            T-3.1 ran exit:0
            T-3.1 -> Harvesting
                harvest T-3.1 in L-1
            > harvested T-3.1 same
            T-3.1 harvested m1.1
            T-3 failed (the review says no: it is slow)
            > merged T-2.1 other
            T-2.1 merged m2.1 onto m1.1
            T-2.1 -> Restaging
                prepare L-3 for T-2.1 at m2.1
            > auto
            T-2.1 prepared
                start T-2.1/m0 in L-3: unit
            T-2.1 m0 exit:0
            T-2.1 -> Advancing
                advance T-2.1: m1.1 to m2.1
            T-2.1 landed m2.1
            T-2 completed
            T-4.1 claimed L-1 at m2.1 by ada
            R-1 back to base without T-1.1, again [T-2.1], dropped []
            R-1 noted: T-1 was taken out of the result: its leader says no (T-3): it is slow
            T-1 undone (its leader says no (T-3): it is slow)
            T-2.2 lands 1 again, in L-2
            T-2.2 -> Merging
                prepare L-1 for T-4.1 at m2.1
                set ref R-1 to base
                merge T-2.2: c2.1 onto base
            T-4.1 prepared
                start T-4.1 in L-1: ada begins
            T-2.2 merged m2.2 onto base
            T-2.2 -> Restaging
                prepare L-2 for T-2.2 at m2.2
            T-4.1 ran exit:0
            T-4.1 -> Harvesting
                harvest T-4.1 in L-1
            T-2.2 prepared
                start T-2.2/m0 in L-2: unit
            T-4.1 harvested m2.1
            T-4.1 over wrong_output/retry (the last line must be APPROVE, or REJECT: and why)
            T-4 retry
            T-2.2 m0 exit:0
            T-2.2 -> Advancing
                advance T-2.2: base to m2.2
            T-2.2 landed m2.2
            T-2 completed
        "#]],
    );
}

#[test]
fn where_no_plan_comes_about_one_agent_gets_the_request() {
    check(
        r#"
            set agents=ada,ben
            quiet submit trust planner=ada ask=minimal text=move_auth_to_OAuth2
            quiet auto hold=T-1.1
            ended T-1.1 exit:0 done says=no_plan
            harvested T-1.1 same
            tick +1s
            quiet auto hold=T-1.2
            ended T-1.2 exit:0 done says=no_plan
            quiet harvested T-1.2 same
            quiet tick +2s
            quiet auto hold=T-1.3
            quiet ended T-1.3 exit:0 done says=no_plan
            quiet harvested T-1.3 same
            quiet tick +4s
            quiet auto hold=T-1.4
            ended T-1.4 exit:0 done says=no_plan
            harvested T-1.4 same
            auto
        "#,
        expect![[r#"
            > set agents=ada,ben
            > ended T-1.1 exit:0 done says=no_plan
            T-1.1 ran exit:0
            T-1.1 -> Harvesting
                harvest T-1.1 in L-1
            > harvested T-1.1 same
            T-1.1 harvested base
            T-1.1 over wrong_output/retry (the plan is refused: line 1: not TOML: key with no value, expected `=`)
            T-1 retry
            > tick +1s
            T-1 due again
            T-1.2 claimed L-1 at base by ada
                prepare L-1 for T-1.2 at base
            > ended T-1.2 exit:0 done says=no_plan
            T-1.2 ran exit:0
            T-1.2 -> Harvesting
                harvest T-1.2 in L-1
            > ended T-1.4 exit:0 done says=no_plan
            T-1.4 ran exit:0
            T-1.4 -> Harvesting
                harvest T-1.4 in L-1
            > harvested T-1.4 same
            T-1.4 harvested base
            T-1.4 over wrong_output/retry (the plan is refused: line 1: not TOML: key with no value, expected `=`)
            T-1 failed (the plan is refused: line 1: not TOML: key with no value, expected `=`)
            R-1 planned by agent: 1 tasks from T-2
            R-1 noted: no plan came of T-1 (the plan is refused: line 1: not TOML: key with no value, expected `=`); one agent gets the request as it is
            T-2.1 claimed L-1 at base by ada
                limit R-1 10
                prepare L-1 for T-2.1 at base
            > auto
            T-2.1 prepared
                start T-2.1 in L-1: ada begins
            T-2.1 ran exit:0
            T-2.1 -> Harvesting
                harvest T-2.1 in L-1
            T-2.1 harvested c2.1
            T-2.1 -> Reviewing
            D-1 opened review T-2 [accept reject]
            R-1 Escalate -> ESCALATING
        "#]],
    );
}
