//! The state of a workspace on one screen.

use std::fmt::Write;

use super::{
    bar::{WIDTH, bar},
    decision,
    duration::until,
    paint::Paint,
    report::{dollars, plural},
    table::{Cell, cut, fold, one_line, table},
};
use crate::{
    api::{
        Decision, OrchestratorState,
        state::{Agent, AgentState, Session, Share},
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
        let _ = writeln!(text, "and {} more", plural((state.sessions.len() - RUNS_MAX) as u64, "earlier run"));
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
    let queue = &state.queue;
    let mut parts =
        vec![format!("{} running, {} ready, at most {} at once", queue.running, queue.ready, queue.max_workers)];
    // Before anything was decided or paid for there is nothing to say of it.
    parts.extend(share(&state.metrics.autonomy).map(|share| format!("autonomy {share}")));
    parts.extend(share(&state.metrics.wrong_auto).map(|share| format!("wrong {share}")));
    parts.extend(state.metrics.cost_usd.filter(|usd| *usd > 0.0).map(dollars));
    parts.push(format!("sandbox {}{}", state.protections.sandbox, confined(&state.protections.commands)));
    parts.push(format!("daemon {}", state.daemon.version));
    let _ = writeln!(text, "\n{}", paint.dim(&fold(&parts.join(" · "), width.max(40)).join("\n")));
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
    let (missing, there): (Vec<&Agent>, Vec<&Agent>) =
        state.agents.iter().partition(|agent| agent.state == AgentState::Missing);
    let rows: Vec<Vec<Cell>> = there
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
    let mut text = table(&rows, 2, width, paint);
    // One line for all that are not there: `orchestrator agents` says what each would need.
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|agent| agent.id.as_str()).collect();
        let line = format!("not installed: {}", names.join(", "));
        let lines = fold(&line, width.saturating_sub(4).max(20)).join("\n    ");
        let _ = writeln!(text, "  {}", paint.dim(&lines));
    }
    text
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

fn share(share: &Share) -> Option<String> {
    let value = share.value? * 100.0;
    Some(match share.high {
        Some(high) => format!("{value:.0}% (at most {:.0}%, n={})", high * 100.0, share.n),
        None => format!("{value:.0}% (n={})", share.n),
    })
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

            1 running, 2 ready, at most 10 at once · autonomy 80% (n=15) · wrong 0% (at most 22%,
            n=12) · $0.42 · sandbox landlock (agents, commands nobody typed) · daemon 0.1.0
        "#]]
        .assert_eq(&screen(&samples::state(), &[samples::decision()], now, 90, Paint::PLAIN));
    }

    #[test]
    fn what_is_not_there_takes_no_room() {
        let mut state = samples::state();
        let mut agents = vec![state.agents[0].clone(); 3];
        for (agent, id) in agents.iter_mut().zip(["claude", "codex", "opencode"]).skip(1) {
            (agent.id, agent.state) = (id.to_owned(), AgentState::Missing);
        }
        (state.agents, state.metrics.autonomy.value, state.metrics.wrong_auto.value) = (agents, None, None);
        state.metrics.cost_usd = Some(0.0);
        let text = screen(&state, &[], samples::at(0.0).0, 90, Paint::PLAIN);
        assert!(text.contains("\n  claude  busy  1/3  rust\n  not installed: codex, opencode\n"), "{text}");
        assert!(text.contains("at most 10 at once · sandbox landlock"), "{text}");
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
