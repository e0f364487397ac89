//! The state of a workspace on one screen.

use std::fmt::Write;

use super::{
    bar::{WIDTH, bar},
    decision,
    duration::until,
    paint::Paint,
    report::plural,
    table::{Cell, cut, one_line, table},
};
use crate::{
    api::{
        Decision, OrchestratorState,
        state::{AgentState, Session, Share},
    },
    time::Timestamp,
};

/// Runs shown; the rest is counted.
const RUNS_MAX: usize = 8;

/// One screen: runs, what waits for you, agents, and how well it all goes.
pub fn screen(state: &OrchestratorState, decisions: &[Decision], now: Timestamp, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    let workspace = &state.workspace;
    let trust = if workspace.trusted { "trusted" } else { "not trusted" };
    let _ = writeln!(
        text,
        "{} {} {}",
        paint.bold(&workspace.name),
        paint.dim(&one_line(&workspace.path)),
        paint.dim(&format!("({}, {trust})", workspace.vcs))
    );
    if state.sessions.is_empty() {
        let _ = writeln!(text, "No runs yet. Try:\n  {}", paint.cyan("orchestrator run \"what you want done\""));
    }
    for session in state.sessions.iter().take(RUNS_MAX) {
        text.push_str(&run(session, now, width, paint));
    }
    if state.sessions.len() > RUNS_MAX {
        let _ = writeln!(text, "and {} more", plural((state.sessions.len() - RUNS_MAX) as u64, "run"));
    }
    if !decisions.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Waits for you"));
        text.push_str(&decision::list(decisions, now, width, paint));
    }
    if !state.agents.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Agents"));
        text.push_str(&agents(state, now, width, paint));
    }
    if let Some(room) = &state.queue.room {
        let _ = writeln!(text, "\n{}", paint.yellow(room));
    }
    let _ = writeln!(
        text,
        "\n{}",
        paint.dim(&format!(
            "{} running, {} ready, at most {} at once · autonomy {} · wrong {}{} · sandbox {}{} · daemon {}",
            state.queue.running,
            state.queue.ready,
            state.queue.max_workers,
            share(&state.metrics.autonomy),
            share(&state.metrics.wrong_auto),
            state.metrics.cost_usd.map(|usd| format!(" · ${usd:.2}")).unwrap_or_default(),
            state.protections.sandbox,
            confined(&state.protections.commands),
            state.daemon.version,
        ))
    );
    text
}

/// Whose commands are confined as agents are.
fn confined(commands: &str) -> &'static str {
    match commands {
        "derived" => " (agents, commands nobody typed)",
        "all" => " (agents, commands)",
        _ => " (agents)",
    }
}

/// The agents, one line each.
pub fn agents(state: &OrchestratorState, now: Timestamp, width: usize, paint: Paint) -> String {
    let rows: Vec<Vec<Cell>> = state
        .agents
        .iter()
        .map(|agent| {
            let standing = match agent.state {
                AgentState::Idle => Cell::new("idle", Paint::dim),
                AgentState::Executing => Cell::new("busy", Paint::cyan),
                AgentState::Error => Cell::new("error", Paint::red),
                AgentState::Missing => Cell::new("not installed", Paint::dim),
                AgentState::Limited => match agent.limited_until {
                    Some(then) => Cell::new(format!("limited for {}", until(then, now)), Paint::yellow),
                    None => Cell::new("limited", Paint::yellow),
                },
            };
            let load = format!("{}/{}", agent.current_load, agent.max_load);
            vec![agent.id.as_str().into(), standing, load.into(), agent.capabilities.join(", ").into()]
        })
        .collect();
    table(&rows, 2, width, paint)
}

fn run(session: &Session, now: Timestamp, width: usize, paint: Paint) -> String {
    let progress = &session.progress;
    let standing = match session.outcome {
        Some(outcome) => paint.outcome(outcome),
        None => paint.cyan(session.state.name()),
    };
    let mut text = format!(
        "\n{} {standing} {}\n",
        paint.bold(&session.request_id.to_string()),
        cut(&one_line(&session.description), width.saturating_sub(24).max(20))
    );
    let mut parts = vec![format!("{}/{} done", progress.completed_tasks, progress.total_tasks)];
    if session.outcome.is_none() {
        if session.interaction != "checkpoint" {
            parts.push(session.interaction.clone());
        }
        parts.insert(0, bar(progress.completion_percentage, WIDTH));
        if progress.active_tasks > 0 {
            parts.push(format!("{} running", progress.active_tasks));
        }
        if let Some(eta) = &progress.eta {
            parts.push(format!("{} left, at most {}", until(eta.p50, now), until(eta.p90, now)));
        }
    }
    if let Some(result) = &session.result {
        parts.push(match result.applied_at {
            Some(_) => "applied".into(),
            None => format!("result on {}", result.reference),
        });
    }
    let _ = writeln!(text, "    {}", parts.join(" · "));
    for warning in &session.warnings {
        let _ = writeln!(text, "    {}", paint.yellow(&format!("! {warning}")));
    }
    text
}

fn share(share: &Share) -> String {
    match (share.value, share.high) {
        (Some(value), Some(high)) => format!("{:.0}% (at most {:.0}%, n={})", value * 100.0, high * 100.0, share.n),
        (Some(value), None) => format!("{:.0}% (n={})", value * 100.0, share.n),
        (None, _) => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::samples;

    #[test]
    fn one_screen() {
        let now = samples::at(65.0).0;
        expect![[r#"
            web-app /home/ada/web-app (git, trusted)

            R-3 ESCALATING move auth to OAuth2
                [████████████░░░░░░░░░░░░░░░░░░] 42.0% · 3/8 done · 1 running · 1m55s left, at most 3m55s
                ! 4.10 of 5.00 US dollars used

            R-1 partial format and lint this repository; keep only what passes its tests
                3/6 done · result on orchestrator/R-1

            Waits for you
            D-7  R-3  1m ago  holds up 2  Deploy web-app to production?
            Answer with orchestrator decide D-7 approve|reject

            Agents
              claude  busy  1/3  rust

            1 running, 2 ready, at most 10 at once · autonomy 80% (n=15) · wrong 0% (at most 22%, n=12) · $0.42 · sandbox landlock (agents, commands nobody typed) · daemon 0.1.0
        "#]].assert_eq(&screen(&samples::state(), &[samples::decision()], now, 90, Paint::PLAIN));
    }

    #[test]
    fn an_empty_workspace_says_what_to_do() {
        let mut state = samples::state();
        state.sessions.clear();
        state.agents.clear();
        let text = screen(&state, &[], samples::at(0.0).0, 90, Paint::PLAIN);
        assert!(text.contains("No runs yet. Try:\n  orchestrator run"), "{text}");
    }
}
