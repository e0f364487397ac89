//! Wire objects for tests of what is drawn from them: one run in which something landed, something was undone,
//! something failed and something never started.

use crate::{
    api::{
        Decision, OrchestratorState, Outcome, Report, RunState, TaskState, Time,
        decision::{
            AnswererKind, Confidence, DecisionContext, DecisionKind, DecisionOption, DecisionStatus, EffectClass,
            EffectNote, Evidence, Reversible, Suggestion, SuggestionSource, Verdict,
        },
        reply::{AttemptView, BaseState, DiffStat, Eta},
        result::{BaselineCheck, Finding, FindingLevel, Phase, ReportDecision, ReportTask, Span},
        state::{
            Agent, AgentState, DaemonInfo, Metrics, ProgressReport, Protections, Queue, RunResult, Session, Share,
            Workspace,
        },
    },
    core::plan::spec::Kind,
    ids::{AttemptId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

const BEGIN_MS: u64 = 1_795_000_000_000;

/// Seconds after the run's begin.
pub fn at(seconds: f64) -> Time {
    Time(Timestamp(BEGIN_MS + (seconds * 1000.0) as u64))
}

fn task(id: u32, name: &str, title: &str, status: TaskState, needs: &[u32]) -> ReportTask {
    ReportTask {
        task_id: TaskId(id),
        name: name.into(),
        title: title.into(),
        kind: Kind::Shell,
        task_type: "skill_execution".into(),
        status,
        needs: needs.iter().map(|need| TaskId(*need)).collect(),
        critical: false,
        agent: None,
        lane: None,
        started_at: None,
        ended_at: None,
        seconds: None,
        spans: Vec::new(),
        attempts: Vec::new(),
        diff: DiffStat::default(),
        reason: String::new(),
        tail: String::new(),
    }
}

fn worked(mut task: ReportTask, lane: u32, spans: &[(Phase, u32, f64, f64, bool)]) -> ReportTask {
    let attempt = |generation| AttemptId { task: task.task_id, generation };
    task.spans = spans
        .iter()
        .map(|(phase, generation, from, to, ok)| Span {
            phase: *phase,
            attempt: attempt(*generation),
            started_at: at(*from),
            ended_at: Some(at(*to)),
            ok: Some(*ok),
        })
        .collect();
    let last = spans.iter().map(|span| span.1).max().unwrap_or(0);
    task.attempts = (1..=last)
        .map(|generation| AttemptView {
            id: attempt(generation),
            agent: "shell".into(),
            end: Some("exit:0".into()),
            started_at: None,
            ended_at: None,
            failure: None,
        })
        .collect();
    task.lane = Some(LaneId(lane));
    task.agent = Some("shell".into());
    task.started_at = task.spans.first().map(|span| span.started_at);
    task.ended_at = task.spans.last().and_then(|span| span.ended_at);
    task.seconds = Some(task.ended_at.unwrap().0.seconds_since(task.started_at.unwrap().0));
    task
}

/// A run of six tasks that ended partly done.
pub fn report() -> Report {
    use Phase::{Land, Prepare, Verify, Wait, Work};
    let mut format = worked(
        task(1, "fmt", "Format the sources", TaskState::Completed, &[]),
        1,
        &[
            (Prepare, 1, 0.4, 1.1, true),
            (Work, 1, 1.1, 3.0, true),
            (Verify, 1, 3.0, 9.5, true),
            (Land, 1, 9.5, 9.8, true),
        ],
    );
    format.critical = true;
    format.diff = DiffStat { files: 12, insertions: 88, deletions: 91 };
    let mut clippy = worked(
        task(2, "clippy", "Mend what clippy finds", TaskState::Completed, &[1]),
        1,
        &[
            (Work, 1, 10.0, 16.0, true),
            (Verify, 1, 16.0, 21.0, false),
            (Work, 2, 22.1, 27.0, true),
            (Verify, 2, 27.0, 33.0, true),
            (Land, 2, 33.0, 33.4, true),
        ],
    );
    clippy.critical = true;
    clippy.diff = DiffStat { files: 1, insertions: 4, deletions: 9 };
    let mut rename = worked(
        task(3, "rename", "Rename the module", TaskState::Undone, &[1]),
        2,
        &[(Prepare, 1, 10.0, 10.8, true), (Work, 1, 10.8, 13.0, true), (Verify, 1, 13.0, 19.0, false)],
    );
    rename.reason = "`cargo test` passed before and fails with it (exit 101)".into();
    rename.tail = "running 2 tests\ntest parse::empty ... ok\ntest parse::nested ... FAILED\n\nfailures:\n    parse::nested\ntest result: FAILED. 1 passed; 1 failed\n".into();
    let mut audit = worked(
        task(4, "audit", "Check the licences of everything we depend on", TaskState::Failed, &[]),
        3,
        &[(Work, 1, 0.5, 2.0, false), (Work, 2, 3.0, 4.4, false)],
    );
    audit.reason = "`licences --check` is not installed".into();
    let mut publish = task(5, "publish", "Publish the result", TaskState::Blocked, &[2, 4]);
    publish.reason = "needs T-4, which failed".into();
    let docs = worked(
        task(6, "docs", "Write the changelog", TaskState::Completed, &[]),
        2,
        &[(Wait, 1, 0.6, 8.2, true), (Work, 1, 8.2, 9.7, true), (Verify, 1, 9.7, 9.9, true)],
    );
    Report {
        summary: "R-1 partial: 3 of 6 tasks landed".into(),
        revision: 57,
        request_id: RunId(1),
        description: "format and lint this repository; keep only what passes its tests".into(),
        state: RunState::Idle,
        outcome: Some(Outcome::Partial),
        created_at: at(0.0),
        ended_at: Some(at(34.0)),
        progress: ProgressReport {
            total_tasks: 6,
            completed_tasks: 3,
            completion_percentage: 100.0,
            ..Default::default()
        },
        findings: vec![Finding {
            level: FindingLevel::Warning,
            task_id: Some(TaskId(4)),
            text: "`licences` is not on the PATH of this run".into(),
            tail: String::new(),
        }],
        tasks: vec![format, clippy, rename, audit, publish, docs],
        landed: vec![TaskId(1), TaskId(2), TaskId(6)],
        undone: vec![TaskId(3)],
        baseline: vec![BaselineCheck {
            result: None,
            command: vec!["cargo".into(), "test".into()],
            state: BaseState::Passed,
            seconds: 6.2,
            tail: String::new(),
        }],
        decisions: vec![ReportDecision {
            decision_id: DecisionId(1),
            question: "May the changelog name contributors?".into(),
            status: DecisionStatus::Answered,
            choice: Some("yes".into()),
            by: Some("terminal".into()),
            open_s: 7.6,
        }],
        result: Some(RunResult {
            reference: "orchestrator/R-1".into(),
            base: "1c0ffee".into(),
            commits: 3,
            applied_at: None,
        }),
        diff: DiffStat { files: 13, insertions: 92, deletions: 100 },
        cost: Default::default(),
        transition_history: Vec::new(),
    }
}

/// An open question about a deployment.
pub fn decision() -> Decision {
    let option = |id: &str, title: &str, effect: &str, reversible| DecisionOption {
        id: id.into(),
        title: title.into(),
        effect: effect.into(),
        reversible,
        takes_text: id == "reject",
    };
    Decision {
        decision_id: DecisionId(7),
        kind: DecisionKind::Deploy,
        task_type: "deployment".into(),
        question: "Deploy web-app to production?".into(),
        detail: "All 214 tests pass on the merged tree.\nThe last deployment was three days ago.".into(),
        options: vec![
            option("approve", "Deploy now", "runs ./deploy production", false),
            option("reject", "Do not deploy", "leaves the result on its branch", true),
        ],
        context: DecisionContext {
            request_id: RunId(3),
            task_id: Some(TaskId(42)),
            attempt: None,
            anchor: None,
            ask: None,
            effects: vec![EffectNote {
                what: "replaces the running service".into(),
                class: EffectClass::External,
                reversible: Reversible::No,
            }],
        },
        urgency: 0.6,
        criticality: 0.9,
        verdict: Verdict::Escalate,
        confidence: Confidence::default(),
        why_asked: "rule".into(),
        suggestions: vec![Suggestion {
            choice: "approve".into(),
            source: SuggestionSource::History,
            reason: "you approved like deployments".into(),
            evidence: Evidence { agree: 4, n: 5, last: None },
            score: 0.7,
        }],
        rules_hit: vec!["prod-deploy".into()],
        policy_version: "1".into(),
        key: "k".into(),
        blocks: vec![TaskId(42), TaskId(43)],
        created_at: at(5.0),
        remind_at: None,
        expires_at: None,
        on_expiry: None,
        answerable_by: vec![AnswererKind::Person],
        remembers: None,
        status: DecisionStatus::Open,
        answer: None,
    }
}

/// The state of a workspace in which [`report`]'s run ended and another waits for [`decision`].
pub fn state() -> OrchestratorState {
    let session = |id, description: &str, state, outcome, progress, open, result| Session {
        interaction: "checkpoint".to_owned(),
        request_id: RunId(id),
        description: description.into(),
        state,
        outcome,
        transition_history: Vec::new(),
        progress,
        open_decisions: open,
        warnings: outcome.map_or_else(|| vec!["4.10 of 5.00 US dollars used".to_owned()], |_| Vec::new()),
        result,
    };
    let report = report();
    let waiting = ProgressReport {
        total_tasks: 8,
        completed_tasks: 3,
        active_tasks: 1,
        completion_percentage: 42.0,
        average_task_duration: Some(12.0),
        milestone_progress: "1/3".into(),
        performance_score: Some(0.75),
        eta: Some(Eta { p50: at(180.0), p90: at(300.0) }),
    };
    OrchestratorState {
        summary: "1 run in work, 1 decision open".into(),
        revision: 91,
        session_id: None,
        state: RunState::Escalating,
        workspace: Workspace {
            path: "/home/ada/web-app".into(),
            id: "w1".into(),
            name: "web-app".into(),
            vcs: "git".into(),
            trusted: true,
        },
        sessions: vec![
            session(3, "move auth to OAuth2", RunState::Escalating, None, waiting, vec![DecisionId(7)], None),
            session(1, &report.description, RunState::Idle, report.outcome, report.progress, vec![], report.result),
        ],
        pending_decisions: 1,
        agents: vec![Agent {
            id: "claude".into(),
            driver: "claude".into(),
            capabilities: vec!["rust".into()],
            specialization: vec![],
            current_load: 1,
            max_load: 3,
            state: AgentState::Executing,
            limited_until: None,
            version: Some("2.1".into()),
            program: Some("/usr/bin/claude".into()),
            command: "claude".into(),
            sandbox: Some("standard".into()),
            abilities: vec!["permission".into()],
            record: Vec::new(),
        }],
        queue: Queue { ready: 2, running: 1, max_workers: 10, room: None },
        metrics: Metrics {
            autonomy: Share { value: Some(0.8), low: None, high: None, n: 15 },
            wrong_auto: Share { value: Some(0.0), low: Some(0.0), high: Some(0.22), n: 12 },
            cost_usd: Some(0.42),
        },
        protections: Protections {
            sandbox: "landlock".into(),
            commands: "derived".into(),
            supervision: "keeper".into(),
            durability: "power loss".into(),
        },
        daemon: DaemonInfo { version: "0.1.0".into(), since: at(0.0) },
    }
}
