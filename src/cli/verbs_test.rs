//! Verbs against a daemon with canned answers: what is called, what is printed, how it ends.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use super::{
    args::{RememberArg, RunArgs},
    console::Console,
    decide,
    exit::{CliError, Exit},
    fake::{Fake, block_on, console},
    inspect, result, run, samples,
};
use crate::{
    api::{ApiError, ApplyReply, Code, Outcome, PendingDecisions, ProcessResponse, Report, RunState, WhyReply},
    ids::{DecisionId, RunId, TaskId},
};

fn accepted() -> ProcessResponse {
    ProcessResponse {
        summary: "accepted: 2 tasks from the playbook tidy".into(),
        revision: 3,
        request_id: RunId(1),
        status: RunState::Planning,
        estimated_completion: None,
        initial_plan: None,
        requires_approval: false,
        decision_id: None,
        duplicate: false,
        unenforced: vec!["colour".into()],
        budget: Default::default(),
    }
}

fn begun() -> Report {
    let mut report = samples::report();
    report.revision = 3;
    report.outcome = None;
    report.ended_at = None;
    report.state = RunState::Executing;
    report.tasks.clear();
    report.decisions.clear();
    report.landed.clear();
    report.progress.completion_percentage = 0.0;
    report
}

fn event(revision: u64, kind: &str, data: Value) -> Value {
    json!({"revision": revision, "at": samples::at(revision as f64), "run": "R-1", "type": kind, "data": data})
}

fn words(request: &str) -> RunArgs {
    RunArgs { request: vec![request.into()], ..RunArgs::default() }
}

/// Runs `run` against a daemon; looking for it again finds nothing.
fn run_against(
    fake: Fake,
    console: &mut Console,
    arguments: &RunArgs,
) -> (Result<Exit, CliError>, Vec<(String, Value)>) {
    block_on(async {
        let (client, calls) = fake.client();
        let gone = async || Err(ApiError::new(Code::Internal, "gone", "").into());
        let exit = run::run(client, gone, console, arguments).await;
        let calls = calls.lock().unwrap().clone();
        (exit, calls)
    })
}

#[test]
fn a_run_is_followed_to_its_end() {
    let fake = Fake::default()
        .answer("process_request", &accepted())
        .answer("get_report", &begun())
        .answer("get_report", &samples::report())
        .event(event(4, "task.added", json!({"task_id": "T-1", "title": "Format the sources"})))
        .event(event(5, "attempt.started", json!({"task_id": "T-1", "attempt": "T-1.1", "lane": "L-1"})))
        .event(event(6, "task.landed", json!({"task_id": "T-1", "percent": 50.0})))
        .event(event(7, "run.finished", json!({"outcome": "partial"})))
        .hang();
    let (mut console, out, _) = console(false);
    let (exit, calls) = run_against(fake, &mut console, &words("tidy up"));
    assert_eq!(exit.unwrap(), Exit::Failed, "partly done is not done");
    let text = out.text();
    let (told, summary) = text.split_once("\n\n").unwrap();
    expect![[r#"
        accepted: 2 tasks from the playbook tidy
          ! handed on, but nothing here can enforce: colour
        ▸ T-1 Format the sources: works in L-1
        ✓ T-1 Format the sources: landed"#]]
    .assert_eq(told);
    assert!(summary.starts_with("R-1 partial: 3 of 6 tasks done, 3 landed in 34s\nLanded\n"), "{summary}");
    let methods: Vec<&str> = calls.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(methods, ["process_request", "get_report", "subscribe_events", "get_report"]);
    assert_eq!(calls[0].1["request"]["description"], "tidy up");
    assert_eq!(calls[2].1, json!({"after": 3, "run": "R-1"}), "no hole between the report and the stream");
}

#[test]
fn json_lines_are_the_wire_objects_in_order() {
    let fake = Fake::default()
        .answer("process_request", &accepted())
        .answer("get_report", &begun())
        .answer("get_report", &samples::report())
        .event(event(7, "run.finished", json!({"outcome": "completed"})))
        .hang();
    let (mut console, out, err) = console(true);
    run_against(fake, &mut console, &words("tidy up")).0.unwrap();
    let lines: Vec<Value> = out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], serde_json::to_value(accepted()).unwrap());
    assert_eq!(lines[1]["type"], "run.finished");
    assert_eq!(lines[2], serde_json::to_value(samples::report()).unwrap());
    assert_eq!(err.text(), "");
}

#[test]
fn a_key_of_a_finished_run_ends_at_once_with_its_result() {
    let mut done = samples::report();
    done.outcome = Some(Outcome::Completed);
    let mut response = accepted();
    response.duplicate = true;
    let fake = Fake::default().answer("process_request", &response).answer("get_report", &done);
    let (mut console, out, _) = console(false);
    let arguments = RunArgs { key: Some("nightly".into()), ..words("tidy up") };
    let (exit, calls) = run_against(fake, &mut console, &arguments);
    assert_eq!(exit.unwrap(), Exit::Completed);
    assert_eq!(calls[0].1["request"]["key"], "nightly");
    assert!(out.text().contains("this key's run is there already"), "{}", out.text());
}

#[test]
fn without_a_terminal_an_open_decision_stops_the_command_and_not_the_run() {
    let mut question = samples::decision();
    question.context.request_id = RunId(1);
    let pending = PendingDecisions { summary: String::new(), revision: 5, decisions: vec![question] };
    let fake = Fake::default()
        .answer("process_request", &accepted())
        .answer("get_report", &begun())
        .answer("get_pending_decisions", &pending)
        .event(event(4, "decision.opened", json!({"decision_id": "D-7"})))
        .event(event(5, "run.state_changed", json!({"from": "MONITORING", "to": "ESCALATING"})))
        .hang();
    let (mut console, out, _) = console(false);
    let (exit, calls) = run_against(fake, &mut console, &words("deploy"));
    assert_eq!(exit.unwrap(), Exit::Decision);
    let text = out.text();
    assert!(text.contains("? D-7 Deploy web-app to production?"), "{text}");
    assert!(text.contains("answer with orchestrator decide D-7 approve|reject\nR-1 stopped"), "{text}");
    assert!(!calls.iter().any(|(method, _)| method == "submit_decision" || method == "cancel_task"), "{calls:?}");
}

#[test]
fn time_is_up_with_the_best_so_far_and_the_run_goes_on() {
    let fake = Fake::default().answer("process_request", &accepted()).answer("get_report", &begun()).hang();
    let (mut console, out, _) = console(false);
    let arguments = RunArgs { within: Some(Duration::ZERO), ..words("tidy up") };
    let (exit, calls) = run_against(fake, &mut console, &arguments);
    assert_eq!(exit.unwrap(), Exit::Failed);
    assert!(out.text().contains("R-1 goes on in the background. The best so far:"), "{}", out.text());
    assert!(!calls.iter().any(|(method, _)| method == "cancel_task"), "{calls:?}");
}

#[test]
fn a_lost_daemon_is_found_again_and_nothing_is_told_twice() {
    let first = Fake::default().answer("process_request", &accepted()).answer("get_report", &begun()).event(event(
        4,
        "task.landed",
        json!({"task_id": "T-1", "title": "Format"}),
    ));
    let (mut console, out, err) = console(false);
    let (exit, calls) = block_on(async {
        let (client, _) = first.client();
        let second = Fake::default()
            .answer("get_report", &begun())
            .answer("get_report", &samples::report())
            .event(event(7, "run.finished", json!({"outcome": "completed"})))
            .hang();
        let (other, calls) = second.client();
        let other = std::sync::Mutex::new(Some(other));
        let again = async || Ok(other.lock().unwrap().take().expect("asked for once"));
        let exit = run::run(client, again, &mut console, &words("tidy up")).await;
        (exit, calls.lock().unwrap().clone())
    });
    assert_eq!(exit.unwrap(), Exit::Failed);
    assert_eq!(calls[1], ("subscribe_events".into(), json!({"after": 4, "run": "R-1"})));
    assert_eq!(out.text().matches("T-1 Format: landed").count(), 1);
    assert!(err.text().contains("The run is not lost."), "{}", err.text());
}

#[test]
fn a_daemon_that_refuses_to_answer_is_given_up_on() {
    let busy = ApiError::new(Code::Unavailable, "handing over", "");
    let fake = Fake::default().answer("process_request", &accepted()).refuse("get_report", busy);
    let (mut console, _, err) = console(false);
    let (exit, _) = run_against(fake, &mut console, &words("tidy up"));
    assert_eq!(exit.unwrap_err().exit(), Exit::Daemon);
    assert_eq!(err.text().matches("looking for it again").count(), 1);
}

#[test]
fn a_refused_request_says_why_and_starts_nothing() {
    let cycle = ApiError::new(Code::Cycle, "the plan has a cycle: a -> b -> a", "drop one of them");
    let fake = Fake::default().refuse("process_request", cycle.clone());
    let (mut console, out, _) = console(false);
    let (exit, calls) = run_against(fake, &mut console, &words("x"));
    let error = exit.unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(error.to_api(), cycle);
    assert_eq!((calls.len(), out.text().as_str()), (1, ""));
}

#[test]
fn a_mistyped_option_is_never_an_answer() {
    let why = WhyReply {
        summary: String::new(),
        revision: 1,
        id: "D-7".into(),
        reasons: Vec::new(),
        decision: Some(Box::new(samples::decision())),
    };
    let fake = Fake::default().answer("why", &why);
    let (mut console, ..) = console(false);
    let (errors, calls) = block_on(async {
        let (client, calls) = fake.client();
        let mut errors = Vec::new();
        for (option, text) in [("aprove", None), ("yes", None), ("approve", Some("but later"))] {
            let typed = decide::Typed { option, text, remember: RememberArg::Once };
            errors.push(decide::answer(&client, &mut console, DecisionId(7), typed).await.unwrap_err().to_api());
        }
        (errors, calls.lock().unwrap().clone())
    });
    assert_eq!(errors[0].hint, "did you mean `approve`? Its options are approve, reject");
    assert_eq!(errors[1].hint, "its options are approve, reject");
    assert_eq!(errors[2].message, "the option approve of D-7 takes no words");
    assert!(calls.iter().all(|(method, _)| method == "why"), "{calls:?}");
}

#[test]
fn conflicts_change_nothing_and_are_named() {
    let reply = ApplyReply {
        summary: "R-1 was not applied: 1 file conflicts".into(),
        revision: 9,
        request_id: RunId(1),
        applied: false,
        files: Vec::new(),
        conflicts: vec!["src/lib.rs".into()],
        tasks: Vec::new(),
        decision_id: None,
    };
    let (mut console, out, _) = console(false);
    let (exit, calls) = block_on(async {
        let (client, calls) = Fake::default().answer("apply", &reply).client();
        let exit = result::apply(&client, &mut console, Some(RunId(1)), &[TaskId(2)]).await;
        (exit, calls.lock().unwrap().clone())
    });
    assert_eq!(exit.unwrap(), Exit::Failed);
    assert_eq!(calls[0].1, json!({"run": "R-1", "tasks": ["T-2"], "key": null}));
    assert!(out.text().contains("nothing was written:\n  src/lib.rs\n"), "{}", out.text());
}

#[test]
fn a_log_is_followed_by_offset_to_the_end_of_its_attempt() {
    let part = |text: &str, from: u64, ended| {
        json!({"summary": "", "revision": 1, "id": "T-1", "attempt": "T-1.2", "text": text, "offset_bytes": from,
            "next_offset_bytes": from + text.len() as u64, "ended": ended})
    };
    let fake = Fake::default().answer("get_log", &part("one\n", 0, false)).answer("get_log", &part("two\n", 4, true));
    let (mut console, out, _) = console(false);
    let calls = block_on(async {
        let (client, calls) = fake.client();
        inspect::log(&client, &mut console, "t-1", true, Some(10)).await.unwrap();
        calls.lock().unwrap().clone()
    });
    assert_eq!(out.text(), "one\ntwo\n");
    assert_eq!((&calls[1].1["id"], &calls[1].1["offset_bytes"]), (&json!("T-1.2"), &json!(4)));
}

#[test]
fn a_watched_status_goes_on_behind_a_daemon_that_went_away() {
    let mut over = samples::state();
    over.revision = 92;
    over.sessions[0].outcome = Some(Outcome::Partial);
    let mut going = over.clone();
    going.revision = 91;
    going.sessions[0].outcome = None;
    let run = going.sessions[0].request_id;
    let pending = PendingDecisions { summary: String::new(), revision: 91, decisions: Vec::new() };
    // The first stream ends without a word, and the second answer comes from the daemon after it.
    let fake = Fake::default().answer("get_state", &going).answer("get_state", &over);
    let fake = fake.answer("get_pending_decisions", &pending).answer("get_report", &samples::report());
    let (mut console, _, err) = console(false);
    let calls = block_on(async {
        let (client, calls) = fake.client();
        let exit = inspect::status(&client, &mut console, Some(run), true).await.unwrap();
        assert_eq!(exit, Exit::of_outcome(Outcome::Partial));
        calls.lock().unwrap().clone()
    });
    let subscribed: Vec<_> = calls.iter().filter(|(method, _)| method == "subscribe_events").collect();
    assert!(matches!(subscribed.as_slice(), [(_, params)] if params.to_string().contains("91")), "{subscribed:?}");
    assert_eq!(calls.iter().filter(|(method, _)| method == "get_state").count(), 2, "{calls:?}");
    assert!(err.text().contains("The daemon went away"), "{}", err.text());
}

#[test]
fn one_screen_is_drawn_from_two_calls() {
    let pending = PendingDecisions { summary: String::new(), revision: 91, decisions: vec![samples::decision()] };
    let fake = Fake::default().answer("get_state", &samples::state()).answer("get_pending_decisions", &pending);
    let (mut console, out, _) = console(false);
    block_on(async {
        let (client, _) = fake.client();
        inspect::status(&client, &mut console, None, false).await.unwrap();
    });
    assert!(out.text().starts_with("web-app /home/ada/web-app (git, trusted)\n"), "{}", out.text());
}
