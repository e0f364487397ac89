//! The agents at length: what each is, what it can do, how its work was judged. `status` has a line of each.

use super::{duration::until, paint::Paint, table::fold};
use crate::{
    api::state::{Agent, AgentState, OrchestratorState},
    time::Timestamp,
};

/// Every agent, the installed ones first.
pub fn list(state: &OrchestratorState, now: Timestamp, width: usize, paint: Paint) -> String {
    let (there, missing): (Vec<&Agent>, Vec<&Agent>) =
        state.agents.iter().partition(|agent| agent.state != AgentState::Missing);
    let mut text = String::new();
    for agent in there {
        text.push_str(&one(agent, now, width, paint));
    }
    if !missing.is_empty() {
        text.push_str("not installed\n");
        for agent in missing {
            let program = agent.command.split(' ').next().unwrap_or_default();
            text.push_str(&format!("  {:<10} `{program}` is not on the PATH\n", agent.id));
        }
    }
    text.push_str(&format!("sandbox on this machine: {}\n", state.protections.sandbox));
    text
}

fn one(agent: &Agent, now: Timestamp, width: usize, paint: Paint) -> String {
    let standing = match agent.state {
        AgentState::Idle => paint.dim("idle"),
        AgentState::Executing => paint.cyan("busy"),
        AgentState::Error => paint.red("error"),
        AgentState::Missing => paint.dim("not installed"),
        AgentState::Limited => paint.yellow(&match agent.limited_until {
            Some(then) => format!("limited for {}", until(then, now)),
            None => "limited".to_owned(),
        }),
    };
    let load = match agent.max_load {
        0 => format!("{} tasks claimed", agent.current_load),
        most => format!("{} of {most} tasks", agent.current_load),
    };
    let mut text = format!("{} {standing} · {} · {load}", paint.bold(&agent.id), agent.driver);
    if let Some(version) = &agent.version {
        text.push_str(&format!(" · {version}"));
    }
    text.push('\n');
    let mut line = |name: &str, what: String| {
        if !what.is_empty() {
            let lines = fold(&what, width.saturating_sub(14).max(20)).join("\n              ");
            text.push_str(&format!("  {name:<12}{lines}\n"));
        }
    };
    line("program", agent.program.clone().unwrap_or_default());
    line("can", agent.abilities.join(", ").replace('_', " "));
    line("good at", agent.capabilities.iter().chain(&agent.specialization).cloned().collect::<Vec<_>>().join(", "));
    line(
        "sandbox",
        match agent.sandbox.as_deref() {
            Some("own") => "its own; this program's does not nest with it".to_owned(),
            Some("none") => "none: it can write wherever you can".to_owned(),
            other => other.unwrap_or_default().to_owned(),
        },
    );
    for record in &agent.record {
        let wrong = match record.claimed_wrongly {
            0 => String::new(),
            times => format!("; {times} said to be done and were not"),
        };
        line("record", format!("{}: {} of {} proven{wrong}", record.kind, record.proven, record.judged));
    }
    text
}
