//! Replies out, on the way of one run and around it.

use expect_test::expect;
use serde_json::json;

use super::{
    house,
    world::{World, wire},
};
use crate::{
    api::{
        Code, TaskState,
        reply::{Basis, CheckState},
        result::{Finding, FindingLevel},
        state::{DaemonInfo, Protections},
        wire::{Time, WorkId},
    },
    core::{Command, Reply, job::End},
    daemon::convert::*,
    ids::{CheckpointId, DecisionId, RunId, TaskId},
};

const RED: &str = "test a ... FAILED\n";

/// The house after its fire: T-2 landed, T-3 was undone after a retry, T-4 is blocked.
fn burnt() -> World {
    let mut world = World::new();
    world.end("T-3.1/v0", End::Exit(1), RED);
    world.end("T-3.2/v0", End::Exit(1), RED);
    world.plan(house());
    world
}

fn run(world: &World, id: u32) -> &crate::core::run::Run {
    world.view().run(RunId(id)).unwrap()
}

fn status(world: &World, id: u32) -> crate::api::TaskStatus {
    task_status(&world.view(), WorkId::Task(TaskId(id))).unwrap()
}

fn reasons(world: &World, id: &str) -> String {
    let reply = why(&world.view(), id).unwrap();
    let mut text = format!("{}\n", reply.summary);
    for reason in reply.reasons {
        let at = reason.at.map_or("-".to_owned(), |at| at.0.rfc3339()[11..23].to_owned());
        let tail = if reason.tail.is_empty() { String::new() } else { format!(" | {}", reason.tail.trim_end()) };
        text.push_str(&format!("{at:12} {}{tail}\n", reason.text));
    }
    text
}

#[test]
fn a_request_is_answered_with_its_plan() {
    let mut world = World::new();
    world.hold("T-1.1");
    world.plan(house());
    let response = process_response(&world.view(), RunId(1), false).unwrap();
    expect![[r#"
        {
          "summary": "R-1: 0 of 4 tasks done, 1 running",
          "revision": 4,
          "request_id": "R-1",
          "status": "MONITORING",
          "estimated_completion": "2026-11-23T12:01:30.004Z",
          "initial_plan": {
            "source": "client",
            "strategy": "adaptive",
            "coordination_strategy": "peer_to_peer",
            "tasks": [
              {
                "id": "T-1",
                "name": "look",
                "title": "Look around",
                "kind": "shell",
                "type": "skill_execution",
                "needs": [],
                "level": 0,
                "critical": true,
                "slack": 0.0,
                "estimate": {
                  "p50": 30.0,
                  "p90": 60.0,
                  "basis": "prior"
                },
                "agent": "shell",
                "effect": "none",
                "writes": null,
                "verify": []
              },
              {
                "id": "T-2",
                "name": "sweep",
                "title": "Sweep",
                "kind": "shell",
                "type": "skill_execution",
                "needs": [
                  "T-1"
                ],
                "level": 1,
                "critical": false,
                "slack": 20.0,
                "estimate": {
                  "p50": 10.0,
                  "p90": 20.0,
                  "basis": "prior"
                },
                "agent": "shell",
                "effect": "workspace",
                "writes": null,
                "verify": [
                  [
                    "check",
                    "floor"
                  ]
                ]
              },
              {
                "id": "T-3",
                "name": "burn",
                "title": "Burn",
                "kind": "shell",
                "type": "skill_execution",
                "needs": [
                  "T-1"
                ],
                "level": 1,
                "critical": true,
                "slack": 0.0,
                "estimate": {
                  "p50": 30.0,
                  "p90": 60.0,
                  "basis": "prior"
                },
                "agent": "shell",
                "effect": "workspace",
                "writes": null,
                "verify": [
                  [
                    "check",
                    "house"
                  ]
                ]
              },
              {
                "id": "T-4",
                "name": "mourn",
                "title": "Mourn",
                "kind": "shell",
                "type": "skill_execution",
                "needs": [
                  "T-3",
                  "T-2"
                ],
                "level": 2,
                "critical": true,
                "slack": 0.0,
                "estimate": {
                  "p50": 30.0,
                  "p90": 60.0,
                  "basis": "prior"
                },
                "agent": "shell",
                "effect": "workspace",
                "writes": null,
                "verify": []
              }
            ],
            "critical_path": [
              "T-1",
              "T-3",
              "T-4"
            ],
            "execution_levels": [
              [
                "T-1"
              ],
              [
                "T-2",
                "T-3"
              ],
              [
                "T-4"
              ]
            ],
            "agent_allocations": {},
            "communication_channels": [],
            "synchronization_points": [
              "T-4"
            ],
            "monitoring_config": {
              "silence_s": 0.0,
              "timeout_s": 3600.0
            },
            "analysis": {
              "intent": {
                "primary": "modify",
                "secondary": [
                  "fix"
                ],
                "confidence": 0.75,
                "abstained": false
              },
              "complexity": {
                "level": "moderate",
                "score": 0.5,
                "factors": {
                  "dependencies": 0.0,
                  "integration_points": 0.0,
                  "risk_level": 0.36,
                  "scope": 0.5,
                  "technical_depth": 0.0,
                  "uncertainty": 0.25
                },
                "weights": {
                  "dependencies": 0.2,
                  "integration_points": 0.15,
                  "risk_level": 0.1,
                  "scope": 0.25,
                  "technical_depth": 0.15,
                  "uncertainty": 0.15
                },
                "reasons": [
                  "scope 0.50: as the test says"
                ]
              },
              "estimated_duration": {
                "p50": 90.0,
                "p90": 180.0,
                "basis": "prior"
              },
              "required_resources": [
                "program:make"
              ],
              "risks": [
                {
                  "id": "fire",
                  "what": "It may burn",
                  "level": "high",
                  "mitigation": "Water is at hand"
                }
              ],
              "success_criteria": [],
              "matched_patterns": [],
              "suggested_workflow": null
            }
          },
          "requires_approval": false,
          "duplicate": false,
          "unenforced": [],
          "budget": {
            "usd": 5.0,
            "tokens": null,
            "minutes": null,
            "p90_usd": null
          }
        }
    "#]]
    .assert_eq(&wire(&response));
}

#[test]
fn a_duplicate_and_a_past_deadline_are_said() {
    let mut world = World::new();
    world.hold("T-1.1");
    let request = json!({"description": "x", "key": "k", "constraints": {"deadline": "2020-01-01"},
        "plan": {"version": 1, "tasks": house()}});
    let id = world.ask(request.clone()).unwrap();
    assert_eq!(world.ask(request).unwrap(), id);
    let response = process_response(&world.view(), id, true).unwrap();
    assert!(response.duplicate);
    assert!(
        response.summary.ends_with("; the deadline 2020-01-01T23:59:59.999Z had passed already"),
        "{}",
        response.summary
    );
    assert!(response.unenforced.is_empty(), "what passes is asked about");
}

#[test]
fn a_dry_run_shows_its_plan_and_starts_nothing() {
    let mut world = World::new();
    let request = json!({"description": "x", "mode": "plan", "plan": {"version": 1, "tasks": house()}});
    let id = world.ask(request).unwrap();
    let response = process_response(&world.view(), id, false).unwrap();
    assert_eq!(response.summary, "R-1: planned, 4 tasks; nothing was started");
    let plan = response.initial_plan.unwrap();
    assert_eq!(plan.tasks.len(), 4);
    // look 30 s, then burn 30 s, then mourn 30 s.
    assert_eq!(response.estimated_completion, Some(Time(world.now.plus_ms(90_000))));
    assert_eq!(plan.critical_path, [TaskId(1), TaskId(3), TaskId(4)]);
    assert_eq!(plan.execution_levels, [vec![TaskId(1)], vec![TaskId(2), TaskId(3)], vec![TaskId(4)]]);
    assert_eq!(plan.synchronization_points, [TaskId(4)]);
    let slack: Vec<f64> = plan.tasks.iter().map(|task| task.slack).collect();
    assert_eq!(slack, [0.0, 20.0, 0.0, 0.0]);
    // To have looked at a plan is no run that was cancelled, nor the newest one that others mean; by its id it is there.
    assert!(run_list(&world.view()).runs.is_empty());
    assert!(report(&world.view(), id, Vec::new()).is_ok());
}

#[test]
fn estimates_learn_from_like_tasks() {
    let mut world = World::new();
    world.hold("T-4.1");
    let tasks: Vec<_> = (1..=4).map(|n| json!({"id": format!("t{n}"), "command": ["x"], "type": "sweep"})).collect();
    let id = world.plan(json!(tasks));
    let plan = plan_reply(&world.view(), id).unwrap().plan;
    let estimate = &plan.tasks[3].estimate;
    assert_eq!(estimate.basis, "n=3");
    assert!(estimate.p50 >= 1.0 && estimate.p50 <= estimate.p90 && estimate.p90 < 30.0, "{estimate:?}");
}

#[test]
fn a_task_on_its_way_says_how_far_it_is() {
    let mut world = World::new();
    world.hold("T-2.1");
    world.plan(house());
    world.now = world.now.plus_ms(5_000);
    let sweeping = status(&world, 2);
    assert_eq!((sweeping.status, sweeping.progress.basis), (TaskState::Running, Basis::Time));
    assert!(sweeping.progress.percent > 20.0 && sweeping.progress.percent < 50.0, "{}", sweeping.progress.percent);
    assert!(!sweeping.delayed && sweeping.remaining.unwrap() < 6.0);
    world.now = world.now.plus_ms(60_000);
    let late = status(&world, 2);
    assert!(late.delayed && late.progress.percent < 50.0 && late.remaining == Some(0.0));
    assert_eq!(late.verify[0].state, CheckState::Pending);
    world.hold("T-2.1/v0");
    world.release("T-2.1", End::Exit(0));
    let checked = status(&world, 2);
    assert_eq!((checked.status, checked.verify[0].state), (TaskState::Verifying, CheckState::Running));
    assert_eq!(checked.summary, "T-2: verifying, 0 of 1 check passed");
    world.release("T-2.1/v0", End::Exit(0));
    let done = status(&world, 2);
    assert_eq!((done.status, done.progress.percent), (TaskState::Completed, 100.0));
    assert_eq!(done.verify[0].state, CheckState::Passed);
    assert_eq!(status(&world, 4).blocked_by, Vec::<String>::new());
}

#[test]
fn a_failed_task_says_everything() {
    let world = burnt();
    expect![[r#"
        {
          "summary": "T-3: undone: not proven by `check house`: the check passed before; now these fail: a",
          "revision": 22,
          "task_id": "T-3",
          "request_id": "R-1",
          "status": "undone",
          "title": "Burn",
          "kind": "shell",
          "type": "skill_execution",
          "attempt": 1,
          "attempts_max": 2,
          "agent": "shell",
          "progress": {
            "percent": 0.0,
            "basis": "none"
          },
          "started_at": "2026-11-23T12:00:02.011Z",
          "ended_at": "2026-11-23T12:00:06.021Z",
          "elapsed": 4.01,
          "delayed": false,
          "blocked_by": [],
          "verify": [
            {
              "command": [
                "check",
                "house"
              ],
              "state": "failed",
              "exit_code": 1,
              "base": "passed",
              "seconds": 1.0,
              "tail": "test a ... FAILED\n"
            }
          ],
          "failure": {
            "class": "wrong_output",
            "severity": "medium",
            "recoverable": false,
            "retry_potential": false,
            "escalation_required": false,
            "message": "not proven by `check house`: the check passed before; now these fail: a\ntest a ... FAILED",
            "next": "nothing by itself; `orchestrator retry T-3` tries it again"
          },
          "diff": {
            "files": 1,
            "insertions": 3,
            "deletions": 1
          },
          "cost": {
            "usd": 0.0,
            "tokens": 0,
            "known": true
          },
          "attempts": [
            {
              "id": "T-3.1",
              "agent": "shell",
              "end": "exit:0",
              "started_at": "2026-11-23T12:00:02.011Z",
              "ended_at": "2026-11-23T12:00:03.011Z",
              "failure": {
                "class": "wrong_output",
                "severity": "medium",
                "recoverable": false,
                "retry_potential": false,
                "escalation_required": false,
                "message": "not proven by `check house`: the check passed before; now these fail: a\ntest a ... FAILED",
                "next": "rollback"
              }
            }
          ]
        }
    "#]]
    .assert_eq(&wire(&status(&world, 3)));
    let blocked = status(&world, 4);
    assert_eq!((blocked.status, blocked.blocked_by.as_slice()), (TaskState::Blocked, &["T-3".to_owned()][..]));
    assert_eq!(blocked.summary, "T-4: blocked: it needs T-3, which is undone");
}

#[test]
fn a_retry_says_when() {
    let mut world = World::new();
    world.end("T-1.1", End::Exit(1), "connect ECONNREFUSED 127.0.0.1:5432\n");
    world.plan(json!([{"id": "a", "command": ["fetch"], "effect": "none"}]));
    let waiting = status(&world, 1);
    let failure = waiting.failure.clone().unwrap();
    assert_eq!((failure.class.as_str(), failure.retry_potential), ("network", true));
    assert_eq!(failure.next, "attempt 2 in 1.0 s");
    // The report about the readers' lane came a millisecond later.
    assert_eq!(failure.next_at, Some(Time(world.now.plus_ms(999))));
    assert_eq!(waiting.status, TaskState::Queued);
    assert_eq!(
        world.view().run(RunId(1)).map(|run| run_line(&world.view(), run)).unwrap(),
        "R-1: 0 of 1 task done, 1 to be tried again"
    );
    world.wait(2);
    assert_eq!(status(&world, 1).status, TaskState::Completed);
    assert_eq!(progress_report(&world.view(), run(&world, 1)).performance_score, Some(0.0));
}

#[test]
fn a_run_can_be_asked_for_as_a_task() {
    let world = burnt();
    let status = task_status(&world.view(), WorkId::Run(RunId(1))).unwrap();
    assert_eq!(status.status, TaskState::Failed);
    assert_eq!(status.summary, "R-1: partial, 2 of 4 tasks done, 1 failed, 1 blocked");
    assert_eq!((status.diff.files, status.elapsed > 0.0), (1, true));
}

#[test]
fn a_submitted_task_is_known_before_its_run_has_a_plan() {
    let mut world = World::new();
    world.hold("T-1.1");
    let task = json!({"type": "sweeping", "description": "Sweep", "parameters": {"command": ["sweep"]}});
    let command = world.given(|given| submit_task(crate::api::parse_request(task).unwrap(), given)).unwrap();
    // One step: the survey has not reported yet.
    let reply = world.step(crate::core::Input::Command(command)).unwrap();
    assert_eq!(reply, Reply::Task(TaskId(1)));
    let response = task_response(&world.view(), TaskId(1)).unwrap();
    assert_eq!((response.status, response.queue_position, response.request_id), (TaskState::Queued, 0, RunId(1)));
    assert_eq!(response.estimated_start, None);
    assert_eq!(status(&world, 1).title, "Sweep");
    assert!(reasons(&world, "T-1").contains("it was promised to R-1"));
    world.wait(0);
    expect![[r#"
        {
          "summary": "T-1 in R-1: running",
          "revision": 4,
          "task_id": "T-1",
          "status": "running",
          "queue_position": 0,
          "estimated_start": "2026-11-23T12:00:00.004Z",
          "estimated_duration": 30.0,
          "request_id": "R-1"
        }
    "#]]
    .assert_eq(&wire(&task_response(&world.view(), TaskId(1)).unwrap()));
}

#[test]
fn places_in_the_queue_follow_dispatch() {
    let mut world = World::new();
    world.settings.workers = 1;
    world.hold("T-1.1");
    let tasks = json!([
        {"id": "a", "command": ["x"], "priority": "urgent"},
        {"id": "b", "command": ["x"]},
        {"id": "c", "command": ["x"], "priority": "high"},
        {"id": "d", "command": ["x"], "needs": ["b"]},
    ]);
    world.plan(tasks);
    let place = |task: u32| task_response(&world.view(), TaskId(task)).unwrap();
    assert_eq!([1, 2, 3, 4].map(|task| place(task).queue_position), [0, 1, 0, 2]);
    assert_eq!(place(2).summary, "T-2 in R-1: 1 task is ahead of it");
    // c (30 s) goes first, and of a 15 s are left on average.
    assert_eq!(place(2).estimated_start, Some(Time(world.now.plus_ms(45_000))));
    expect![[r#"
        T-2: ready
        12:00:00.002 it needs nothing, so it was due from the start
        -            everything it needs is done: it is due
        -            1 task runs, as many as R-1 may at once: T-1
        -            1 task goes before it: T-3
    "#]]
    .assert_eq(&reasons(&world, "T-2"));
}

#[test]
fn the_state_shows_runs_and_queue() {
    let mut world = burnt();
    world.hold("T-5.1");
    world.plan(json!([{"id": "a", "command": ["x"]}, {"id": "b", "command": ["x"], "needs": ["a"]}]));
    let around = || Surroundings {
        agents: Vec::new(),
        protections: Protections { sandbox: "none".into(), ..Protections::default() },
        daemon: DaemonInfo { version: "0.1.0".into(), since: Time(super::world::NOON) },
    };
    let all = orchestrator_state(&world.view(), None, around()).unwrap();
    assert_eq!(all.summary, "1 run in work, 1 attempt under way");
    assert_eq!((all.queue.running, all.queue.ready, all.sessions.len()), (1, 0, 2));
    assert_eq!(all.state, crate::api::RunState::Monitoring);
    let one = orchestrator_state(&world.view(), Some(RunId(1)), around()).unwrap();
    expect![[r#"
        {
          "summary": "R-1: partial, 2 of 4 tasks done, 1 failed, 1 blocked",
          "revision": 26,
          "session_id": "R-1",
          "state": "IDLE",
          "workspace": {
            "path": "/home/ada/web",
            "id": "w1",
            "name": "web",
            "vcs": "git",
            "trusted": false
          },
          "sessions": [
            {
              "request_id": "R-1",
              "description": "Tidy the house\nand more",
              "state": "IDLE",
              "outcome": "partial",
              "interaction": "checkpoint",
              "transition_history": [
                {
                  "from": "IDLE",
                  "to": "ANALYZING",
                  "trigger": "start",
                  "timestamp": "2026-11-23T12:00:00.001Z"
                },
                {
                  "from": "ANALYZING",
                  "to": "PLANNING",
                  "trigger": "plan",
                  "timestamp": "2026-11-23T12:00:00.002Z"
                },
                {
                  "from": "PLANNING",
                  "to": "EXECUTING",
                  "trigger": "execute",
                  "timestamp": "2026-11-23T12:00:00.002Z"
                },
                {
                  "from": "EXECUTING",
                  "to": "MONITORING",
                  "trigger": "monitor",
                  "timestamp": "2026-11-23T12:00:00.002Z"
                },
                {
                  "from": "MONITORING",
                  "to": "COMPLETING",
                  "trigger": "complete",
                  "timestamp": "2026-11-23T12:00:07.025Z"
                },
                {
                  "from": "COMPLETING",
                  "to": "IDLE",
                  "trigger": "finish",
                  "timestamp": "2026-11-23T12:00:07.026Z"
                }
              ],
              "progress": {
                "total_tasks": 4,
                "completed_tasks": 2,
                "active_tasks": 0,
                "completion_percentage": 100.0,
                "average_task_duration": 1.0,
                "milestone_progress": "1/1",
                "performance_score": 0.667,
                "eta": null
              },
              "open_decisions": [],
              "result": {
                "ref": "orchestrator/R-1",
                "base": "base",
                "commits": 1
              }
            }
          ],
          "pending_decisions": 0,
          "agents": [],
          "queue": {
            "ready": 0,
            "running": 0,
            "max_workers": 10
          },
          "metrics": {
            "autonomy": {
              "value": null,
              "n": 0
            },
            "wrong_auto": {
              "value": null,
              "n": 0
            },
            "cost_usd": 0.0
          },
          "protections": {
            "sandbox": "none",
            "commands": "",
            "supervision": "",
            "durability": ""
          },
          "daemon": {
            "version": "0.1.0",
            "since": "2026-11-23T12:00:00.000Z"
          }
        }
    "#]]
    .assert_eq(&wire(&one));
    let list = run_list(&world.view());
    assert_eq!(list.summary, "2 runs, 1 in work");
    let lines: Vec<_> = list.runs.iter().map(|run| (run.request_id, run.tasks, run.landed)).collect();
    assert_eq!(lines, [(RunId(2), 2, 0), (RunId(1), 4, 1)]);
    let empty = World::new();
    assert_eq!(orchestrator_state(&empty.view(), None, around()).unwrap().summary, "no runs yet");
}

#[test]
fn the_report_tells_what_came_of_it() {
    let world = burnt();
    let said =
        Finding { level: FindingLevel::Warning, task_id: Some(TaskId(2)), text: "dust".into(), tail: String::new() };
    let report = report(&world.view(), RunId(1), vec![said]).unwrap();
    expect![[r#"
        {
          "summary": "R-1: partial, 2 of 4 tasks done, 1 failed, 1 blocked",
          "revision": 22,
          "request_id": "R-1",
          "description": "Tidy the house\nand more",
          "state": "IDLE",
          "outcome": "partial",
          "created_at": "2026-11-23T12:00:00.001Z",
          "ended_at": "2026-11-23T12:00:07.026Z",
          "progress": {
            "total_tasks": 4,
            "completed_tasks": 2,
            "active_tasks": 0,
            "completion_percentage": 100.0,
            "average_task_duration": 1.0,
            "milestone_progress": "1/1",
            "performance_score": 0.667,
            "eta": null
          },
          "findings": [
            {
              "level": "error",
              "task_id": "T-3",
              "text": "was undone: Burn: not proven by `check house`: the check passed before; now these fail: a",
              "tail": "test a ... FAILED\n"
            },
            {
              "level": "warning",
              "task_id": "T-2",
              "text": "dust"
            }
          ],
          "tasks": [
            {
              "task_id": "T-1",
              "name": "look",
              "title": "Look around",
              "kind": "shell",
              "type": "skill_execution",
              "status": "completed",
              "needs": [],
              "critical": true,
              "agent": "shell",
              "started_at": "2026-11-23T12:00:00.003Z",
              "ended_at": "2026-11-23T12:00:01.005Z",
              "seconds": 1.002,
              "spans": [
                {
                  "phase": "work",
                  "attempt": "T-1.1",
                  "started_at": "2026-11-23T12:00:00.003Z",
                  "ended_at": "2026-11-23T12:00:01.003Z",
                  "ok": true
                }
              ],
              "attempts": [
                {
                  "id": "T-1.1",
                  "agent": "shell",
                  "end": "exit:0",
                  "started_at": "2026-11-23T12:00:00.003Z",
                  "ended_at": "2026-11-23T12:00:01.003Z"
                }
              ],
              "diff": {
                "files": 0,
                "insertions": 0,
                "deletions": 0
              }
            },
            {
              "task_id": "T-2",
              "name": "sweep",
              "title": "Sweep",
              "kind": "shell",
              "type": "skill_execution",
              "status": "completed",
              "needs": [
                "T-1"
              ],
              "critical": false,
              "agent": "shell",
              "lane": "L-4",
              "started_at": "2026-11-23T12:00:03.013Z",
              "ended_at": "2026-11-23T12:00:07.025Z",
              "seconds": 4.012,
              "spans": [
                {
                  "phase": "prepare",
                  "attempt": "T-2.1",
                  "started_at": "2026-11-23T12:00:01.005Z",
                  "ended_at": "2026-11-23T12:00:03.013Z",
                  "ok": true
                },
                {
                  "phase": "work",
                  "attempt": "T-2.1",
                  "started_at": "2026-11-23T12:00:03.013Z",
                  "ended_at": "2026-11-23T12:00:04.013Z",
                  "ok": true
                },
                {
                  "phase": "verify",
                  "attempt": "T-2.1",
                  "started_at": "2026-11-23T12:00:04.013Z",
                  "ended_at": "2026-11-23T12:00:05.013Z",
                  "ok": true
                },
                {
                  "phase": "land",
                  "attempt": "T-2.1",
                  "started_at": "2026-11-23T12:00:05.013Z",
                  "ended_at": "2026-11-23T12:00:07.025Z",
                  "ok": true
                }
              ],
              "attempts": [
                {
                  "id": "T-2.1",
                  "agent": "shell",
                  "end": "exit:0",
                  "started_at": "2026-11-23T12:00:03.013Z",
                  "ended_at": "2026-11-23T12:00:04.013Z"
                }
              ],
              "diff": {
                "files": 1,
                "insertions": 3,
                "deletions": 1
              }
            },
            {
              "task_id": "T-3",
              "name": "burn",
              "title": "Burn",
              "kind": "shell",
              "type": "skill_execution",
              "status": "undone",
              "needs": [
                "T-1"
              ],
              "critical": true,
              "agent": "shell",
              "lane": "L-3",
              "started_at": "2026-11-23T12:00:02.011Z",
              "ended_at": "2026-11-23T12:00:06.021Z",
              "seconds": 4.01,
              "spans": [
                {
                  "phase": "prepare",
                  "attempt": "T-3.1",
                  "started_at": "2026-11-23T12:00:01.005Z",
                  "ended_at": "2026-11-23T12:00:02.011Z",
                  "ok": true
                },
                {
                  "phase": "work",
                  "attempt": "T-3.1",
                  "started_at": "2026-11-23T12:00:02.011Z",
                  "ended_at": "2026-11-23T12:00:03.011Z",
                  "ok": true
                },
                {
                  "phase": "verify",
                  "attempt": "T-3.1",
                  "started_at": "2026-11-23T12:00:03.011Z",
                  "ended_at": "2026-11-23T12:00:04.011Z",
                  "ok": false
                }
              ],
              "attempts": [
                {
                  "id": "T-3.1",
                  "agent": "shell",
                  "end": "exit:0",
                  "started_at": "2026-11-23T12:00:02.011Z",
                  "ended_at": "2026-11-23T12:00:03.011Z",
                  "failure": {
                    "class": "wrong_output",
                    "severity": "medium",
                    "recoverable": false,
                    "retry_potential": false,
                    "escalation_required": false,
                    "message": "not proven by `check house`: the check passed before; now these fail: a\ntest a ... FAILED",
                    "next": "rollback"
                  }
                }
              ],
              "diff": {
                "files": 1,
                "insertions": 3,
                "deletions": 1
              },
              "reason": "not proven by `check house`: the check passed before; now these fail: a",
              "tail": "test a ... FAILED\n"
            },
            {
              "task_id": "T-4",
              "name": "mourn",
              "title": "Mourn",
              "kind": "shell",
              "type": "skill_execution",
              "status": "blocked",
              "needs": [
                "T-3",
                "T-2"
              ],
              "critical": true,
              "agent": "shell",
              "started_at": null,
              "ended_at": "2026-11-23T12:00:06.021Z",
              "seconds": null,
              "spans": [],
              "attempts": [],
              "diff": {
                "files": 0,
                "insertions": 0,
                "deletions": 0
              },
              "reason": "it needs T-3, which is undone"
            }
          ],
          "landed": [
            "T-2"
          ],
          "undone": [
            "T-3"
          ],
          "baseline": [
            {
              "command": [
                "check",
                "floor"
              ],
              "state": "passed",
              "seconds": 1.0,
              "result": "passed"
            },
            {
              "command": [
                "check",
                "house"
              ],
              "state": "passed",
              "seconds": 1.0
            }
          ],
          "decisions": [],
          "result": {
            "ref": "orchestrator/R-1",
            "base": "base",
            "commits": 1
          },
          "diff": {
            "files": 1,
            "insertions": 3,
            "deletions": 1
          },
          "cost": {
            "usd": 0.0,
            "tokens": 0,
            "known": true
          },
          "transition_history": [
            {
              "from": "IDLE",
              "to": "ANALYZING",
              "trigger": "start",
              "timestamp": "2026-11-23T12:00:00.001Z"
            },
            {
              "from": "ANALYZING",
              "to": "PLANNING",
              "trigger": "plan",
              "timestamp": "2026-11-23T12:00:00.002Z"
            },
            {
              "from": "PLANNING",
              "to": "EXECUTING",
              "trigger": "execute",
              "timestamp": "2026-11-23T12:00:00.002Z"
            },
            {
              "from": "EXECUTING",
              "to": "MONITORING",
              "trigger": "monitor",
              "timestamp": "2026-11-23T12:00:00.002Z"
            },
            {
              "from": "MONITORING",
              "to": "COMPLETING",
              "trigger": "complete",
              "timestamp": "2026-11-23T12:00:07.025Z"
            },
            {
              "from": "COMPLETING",
              "to": "IDLE",
              "trigger": "finish",
              "timestamp": "2026-11-23T12:00:07.026Z"
            }
          ]
        }
    "#]].assert_eq(&wire(&report));
}

#[test]
fn findings_are_read_from_lines() {
    let task = TaskId(2);
    let found = finding(r#"{"finding": {"level": "error", "text": "a\nb", "tail": "t"}}"#, task).unwrap();
    assert_eq!((found.level, found.text.as_str(), found.task_id), (FindingLevel::Error, "a", Some(task)));
    assert_eq!(finding(r#"{"finding":{"text":"x"}}"#, task).unwrap().level, FindingLevel::Warning);
    for line in ["", "finding", "{}", r#"{"finding":{}}"#, r#"{"finding":{"text":""}}"#, r#"{"finding": 3}"#] {
        assert_eq!(finding(line, task), None, "{line}");
    }
}

#[test]
fn why_a_task_is_undone_or_blocked() {
    let world = burnt();
    let all: String = ["T-3", "T-4", "T-3.1", "R-1"].map(|id| reasons(&world, id) + "\n").concat();
    expect![[r#"
        T-3: undone: not proven by `check house`: the check passed before; now these fail: a
        12:00:01.005 its last dependency, T-1, completed
        12:00:01.005 attempt 1 was handed out, in lane L-3
        12:00:03.011 `burn` ended with exit:0 after 1.0 s
        12:00:03.011 it changed 1 file (+3 -1)
        12:00:04.011 `check house` failed (exit:1); it passed on the untouched base | test a ... FAILED
        12:00:04.011 attempt 1 failed (wrong_output): not proven by `check house`: the check passed before; now these fail: a
        12:00:06.021 its change was taken back: not proven by `check house`: the check passed before; now these fail: a | test a ... FAILED
        -            nothing by itself; `orchestrator retry T-3` tries it again

        T-4: blocked: it needs T-3, which is undone
        12:00:06.021 T-3 (Burn), which T-4 needs, is undone: not proven by `check house`: the check passed before; now these fail: a | test a ... FAILED
        12:00:06.021 it is blocked: it needs T-3, which is undone
        -            nothing by itself; `orchestrator retry T-4` tries it again

        T-3.1: exit:0
        12:00:01.005 attempt 1 was handed out, in lane L-3
        12:00:03.011 `burn` ended with exit:0 after 1.0 s
        12:00:03.011 it changed 1 file (+3 -1)
        12:00:04.011 `check house` failed (exit:1); it passed on the untouched base | test a ... FAILED
        12:00:04.011 attempt 1 failed (wrong_output): not proven by `check house`: the check passed before; now these fail: a

        R-1: partial, 2 of 4 tasks done, 1 failed, 1 blocked
        12:00:00.001 it was asked for: Tidy the house
        12:00:00.001 its mode is checkpoint: a complex or planner-made plan is asked about, too, and a session's apply
        12:00:00.002 it was understood as modify (0.75), complexity 0.50
        12:00:00.002 its plan of 4 tasks came from client
        12:00:00.002 the first tasks were handed out, at most 10 at once
        12:00:06.021 T-3 (Burn) undone: not proven by `check house`: the check passed before; now these fail: a; it blocks 1 task | test a ... FAILED
        12:00:07.025 every task was over: the final checks and publication came next
        12:00:07.026 it ended partial: 2 of 4 tasks did not complete, first T-3 (undone)
        12:00:07.026 1 landed change on the branch orchestrator/R-1

    "#]].assert_eq(&all);
}

#[test]
fn why_a_task_has_not_started() {
    let mut world = World::new();
    world.settings.lanes_max = 2;
    world.hold("T-1.1");
    world.hold("T-2.1");
    world.plan(json!([
        {"id": "a", "command": ["x"], "resources": ["db"], "estimate_s": 90},
        {"id": "b", "command": ["x"], "writes": ["src/**"], "estimate_s": 100},
        {"id": "c", "command": ["x"], "resources": ["db"]},
        {"id": "d", "command": ["x"], "writes": ["src/a.rs"]},
        {"id": "e", "command": ["x"], "needs": ["c", "d"]},
    ]));
    let all: String = ["T-1", "T-3", "T-4", "T-5"].map(|id| reasons(&world, id) + "\n").concat();
    expect![[r#"
        T-1: running
        12:00:00.002 it needs nothing, so it was due from the start
        12:00:00.002 attempt 1 was handed out, in lane L-2
        -            attempt 1 is under way: its command runs

        T-3: ready
        12:00:00.002 it needs nothing, so it was due from the start
        -            everything it needs is done: it is due
        -            all 2 lanes of this workspace are held
        -            it wants the resource "db" that is held by T-1, which is under way

        T-4: ready
        12:00:00.002 it needs nothing, so it was due from the start
        -            everything it needs is done: it is due
        -            all 2 lanes of this workspace are held
        -            it writes where something else may be written by T-2, which is under way
        -            1 task goes before it: T-3

        T-5: queued, waits for T-3, T-4
        -            it needs T-3 (c), which is ready
        -            it needs T-4 (d), which is ready

    "#]]
    .assert_eq(&all);
}

#[test]
fn cancelling_says_what_is_left() {
    let mut world = World::new();
    world.hold("T-2.1");
    world.plan(house());
    let run = WorkId::Run(RunId(1));
    let was = status_word(&world.view(), run).unwrap();
    assert_eq!(was, "MONITORING");
    world.command(Command::CancelRun(RunId(1))).unwrap();
    let reply = cancel_response(&world.view(), run, &was).unwrap();
    assert_eq!((reply.status.as_str(), reply.undone), ("cancelled", false));
    assert_eq!(reply.summary, "R-1 is cancelled; 1 landed change stays on its branch");
    // Once more: nothing happens, and that is said.
    assert!(world.command(Command::CancelRun(RunId(1))).is_err());
    let again = cancel_response(&world.view(), run, "cancelled").unwrap();
    assert_eq!(again.summary, "R-1 was cancelled already; nothing was changed");
    let task = cancel_response(&world.view(), WorkId::Task(TaskId(1)), "completed").unwrap();
    assert_eq!(task.summary, "T-1 was completed already; nothing was changed");
}

#[test]
fn effects_outside_are_named_when_they_stay() {
    let mut world = World::new();
    world.plan(json!([
        {"id": "deploy", "title": "Deploy", "command": ["deploy", "it now"], "effect": "external"},
        {"id": "more", "command": ["x"], "needs": ["deploy"]},
    ]));
    let by = crate::core::decide::decision::By { kind: "person".into(), surface: "cli".into(), name: None };
    let answer = Command::Answer {
        decision: DecisionId(1),
        choice: "allow".into(),
        text: None,
        by,
        remember: Default::default(),
    };
    world.hold("T-2.1");
    world.command(answer).unwrap();
    world.command(Command::CancelRun(RunId(1))).unwrap();
    let reply = cancel_response(&world.view(), WorkId::Run(RunId(1)), "MONITORING").unwrap();
    assert_eq!(reply.external_left, ["T-1 Deploy: `deploy 'it now'`"]);
    assert!(!reply.undone);
}

#[test]
fn a_result_is_applied_and_refuses_to_be_undone() {
    let mut world = burnt();
    world.command(Command::Apply { run: RunId(1), tasks: Vec::new(), asks: false }).unwrap();
    let events: Vec<_> = world.journal.iter().flat_map(|(_, _, events)| events.clone()).collect();
    let reply = apply_reply(&world.view(), RunId(1), &[], &events).unwrap();
    assert_eq!((reply.applied, reply.files.as_slice()), (true, &["a.txt".to_owned()][..]));
    assert_eq!(reply.summary, "R-1 is in the checkout: 1 file written; take it back with `orchestrator undo R-1`");
    assert!(undo_reply(&world.view(), RunId(1), &events).is_none());
    assert!(run_list(&world.view()).runs[0].applied_at.is_some());
    world.command(Command::Undo(RunId(1))).unwrap();
    let events: Vec<_> = world.journal.iter().flat_map(|(_, _, events)| events.clone()).collect();
    let reply = undo_reply(&world.view(), RunId(1), &events).unwrap();
    assert_eq!((reply.undone, reply.edited_since.as_slice()), (false, &["a.txt".to_owned()][..]));
    assert_eq!(reply.summary, "R-1 was not undone, nothing was written: edited since (a.txt)");
    assert!(reasons(&world, "R-1").contains("its result entered the checkout: 1 file"));
}

/// Whoever is shown as one who may answer is one whose answer is taken.
#[test]
fn that_a_result_enters_the_checkout_is_for_persons_to_say() {
    let mut world = burnt();
    world.command(Command::Apply { run: RunId(1), tasks: Vec::new(), asks: true }).unwrap();
    let shown = pending_decisions(&world.view()).decisions.pop().unwrap();
    assert_eq!((shown.kind, shown.criticality), (crate::api::decision::DecisionKind::Apply, 0.3));
    assert_eq!(shown.answerable_by, [crate::api::decision::AnswererKind::Person]);
    let known = &world.state.decisions[&shown.decision_id];
    assert!(decision::person_only(&world.view(), known));
    let why = reasons(&world, &shown.decision_id.to_string());
    assert!(why.contains("only a person may answer"), "{why}");
}

#[test]
fn checkpoints_are_saved_explained_and_restored() {
    let mut world = World::new();
    world.hold("T-2.1");
    world.plan(house());
    let save = Command::SaveCheckpoint { run: None, label: "before".into(), position: 7 };
    assert_eq!(world.command(save).unwrap(), Reply::Checkpoint(CheckpointId(1)));
    let saved = checkpoint_response(&world.view(), CheckpointId(1)).unwrap();
    assert_eq!((saved.summary.as_str(), saved.tree.as_deref()), ("C-1 (before) saved: R-1", Some("tree-T-3.1")));
    world.release("T-2.1", End::Exit(0));
    expect![[r#"
        C-1: restoring it takes back 2 landings
        12:00:05.022 it was saved as "before" at journal position 7
        -            it holds R-1 at merge-T-3.1, with 1 landed change
        -            restoring it would take back what landed since: T-2, T-4
    "#]]
    .assert_eq(&reasons(&world, "C-1"));
    let before = world.journal.len();
    world.hold("T-2.2");
    world.command(Command::RestoreCheckpoint(CheckpointId(1))).unwrap();
    let events: Vec<_> = world.journal[before..].iter().flat_map(|(_, _, events)| events.clone()).collect();
    let reply = restore_reply(&world.view(), CheckpointId(1), &events);
    assert_eq!((reply.runs.as_slice(), reply.tasks.as_slice()), (&[RunId(1)][..], &[TaskId(2), TaskId(4)][..]));
    assert_eq!(reply.summary, "C-1: R-1 went back, 2 tasks queued again");
}

#[test]
fn failed_work_is_queued_again() {
    let mut world = burnt();
    world.ends.clear();
    let reply = match world.command(Command::Retry { run: RunId(1), task: None }).unwrap() {
        Reply::Reopened(tasks) => retry_reply(&world.view(), WorkId::Run(RunId(1)), tasks),
        other => panic!("{other:?}"),
    };
    assert_eq!(reply.summary, "R-1: 2 tasks queued again: T-3, T-4");
    assert_eq!(run_line(&world.view(), run(&world, 1)), "R-1: completed, 4 of 4 tasks done");
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let world = burnt();
    let view = world.view();
    for id in ["R-9", "T-9", "T-9.1", "T-3.9", "D-9", "C-9", "other:T-1"] {
        let error = why(&view, id).unwrap_err();
        assert_eq!(error.code, Code::NotFound, "{id}");
        assert!(!error.hint.is_empty(), "{id}");
    }
    assert_eq!(
        why(&view, "T-9").unwrap_err().hint,
        "the newest task here is T-4; list them with `orchestrator status`"
    );
    assert_eq!(why(&view, "nonsense").unwrap_err().code, Code::Invalid);
    assert_eq!(why(&view, "web:T-1").unwrap().id, "T-1");
    assert_eq!(report(&view, RunId(2), Vec::new()).unwrap_err().code, Code::NotFound);
    assert_eq!(process_response(&view, RunId(2), false).unwrap_err().code, Code::NotFound);
    assert_eq!(plan_reply(&view, RunId(2)).unwrap_err().code, Code::NotFound);
    assert_eq!(decision_result(&view, DecisionId(1), false).unwrap_err().code, Code::NotFound);
}

#[test]
fn a_cause_is_told_before_what_it_blocks() {
    let mut world = World::new();
    world.end("T-1.1", End::Exit(2), "boom\n");
    world.plan(json!([
        {"id": "a", "command": ["x"], "effect": "none", "retry": {"max": 0}},
        {"id": "b", "command": ["x"], "needs": ["a"]},
        {"id": "c", "command": ["x"], "needs": ["b"]},
    ]));
    expect![[r#"
        T-3: blocked: it needs T-2, which is blocked
        12:00:01.005 T-1 (a), which T-2 needs, is failed: it ended with exit status 2 | boom
        12:00:01.005 T-2 (b), which T-3 needs, is blocked: it needs T-1, which is failed
        12:00:01.005 it is blocked: it needs T-2, which is blocked
        -            nothing by itself; `orchestrator retry T-3` tries it again
    "#]]
    .assert_eq(&reasons(&world, "T-3"));
}

#[test]
fn a_run_that_could_not_be_planned_says_why() {
    let mut world = World::new();
    let tasks = json!([{"id": "a", "playbook": "nope"}]);
    let id = world.ask(json!({"description": "x", "plan": {"version": 1, "tasks": tasks}})).unwrap();
    let response = process_response(&world.view(), id, false).unwrap();
    assert_eq!(response.summary, "R-1: failed: there is no playbook \"nope\"");
    assert_eq!((response.initial_plan, response.status), (None, crate::api::RunState::Error));
    let error = plan_reply(&world.view(), id).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::NotFound, "R-1 was never planned: there is no playbook \"nope\"")
    );
    let findings = report(&world.view(), id, Vec::new()).unwrap().findings;
    assert_eq!(findings[0].text, "there is no playbook \"nope\"");
    assert!(reasons(&world, "R-1").contains("it ended failed: there is no playbook"));
}

#[test]
fn explaining_a_request_stores_nothing_and_shows_what_would_be_done() {
    let mut world = World::new().with_tests();
    world.settings.playbooks = crate::core::plan::playbook::builtin();
    let reply = explain_reply(&world.view(), "Run the tests", &world.facts);
    assert_eq!(reply.playbooks.len(), world.settings.playbooks.len());
    assert!(reply.playbooks.is_sorted_by(|a, b| a.score >= b.score), "{:?}", reply.playbooks);
    let best = &reply.playbooks[0];
    let sum = 0.4 * best.intent + 0.3 * best.words + 0.3 * best.facts;
    assert!((sum - best.score).abs() < 0.01, "{best:?}");
    assert_eq!(reply.analysis.complexity.factors.len(), 6);
    let plan = reply.plan.expect("there is a playbook for that");
    assert!(plan.source.starts_with("playbook:") && !plan.tasks.is_empty(), "{}", plan.source);
    assert!(reply.summary.contains(&plan.source), "{}", reply.summary);
    let vague = explain_reply(&world.view(), "hm", &world.facts);
    assert!(vague.plan.is_none() && vague.analysis.intent.abstained, "{}", vague.summary);
    assert!(world.state.runs.is_empty());
}
