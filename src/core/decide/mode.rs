//! How much a person is asked beside what must be asked: the three modes, and what a deadline that passed asks.
//!
//! | | minimal | checkpoint | collaborative |
//! |---|---|---|---|
//! | effects outside, rules, limits | asked | asked | asked |
//! | the plan, before the start | - | if complex or made by a planner | always |
//! | a milestone that is reached | - | - | the rest waits for a yes |
//! | a deadline that passed | a note | asked | asked |
//! | the result, before it enters the checkout | - | where a session would apply it | offered at the end |
//!
//! A plan that came with the request is its sender's own word, however complex; `approve_plan` and `apply` of a request
//! say it once for all modes. A workspace's own configuration may ask for more than the user's, never for less.

use super::{decision::DecisionKind, find};
use crate::{
    core::{
        Ctx,
        analyze::complexity::Level,
        event::Event,
        plan::planner,
        run::{ApplyWish, ApprovePlan, Interaction, PlanInfo, Run, RunState},
        state::State,
        task::{Settled, Task},
    },
    ids::DecisionId,
};

/// Whether a plan wants a yes before its first task starts.
pub fn plan_wants_yes(run: &Run, info: &PlanInfo) -> bool {
    if info.source == planner::SOURCE {
        // There is nothing to say yes to yet.
        return false;
    }
    match run.request.approve_plan {
        ApprovePlan::Never => return false,
        ApprovePlan::Always => return true,
        ApprovePlan::Auto => {}
    }
    let level = run.analysis.as_ref().map(|analysis| analysis.complexity.level);
    let complex = matches!(level, Some(Level::Complex | Level::VeryComplex));
    // `agent` alone is the request as it is, handed to one agent.
    let planner_made = info.source.starts_with("agent:");
    let own = matches!(info.source.as_str(), "client" | "command");
    match run.interaction() {
        Interaction::Minimal => false,
        Interaction::Checkpoint => planner_made || (complex && !own),
        Interaction::Collaborative => true,
    }
}

/// Whether a run starts nothing more until somebody has seen a milestone.
pub fn holds(state: &State, run: &Run) -> bool {
    run.milestone.is_some() || reached(state, run).is_some()
}

/// A milestone whose tasks are all done and that nobody was shown yet, while something of the run is left.
fn reached<'a>(state: &'a State, run: &Run) -> Option<&'a str> {
    if run.interaction() != Interaction::Collaborative || run.cancelled || run.stopping {
        return None;
    }
    let tasks = || run.tasks.iter().filter_map(|task| state.task(*task));
    let done = |name: &&str| {
        !run.milestones_seen.iter().any(|seen| seen == name)
            && tasks().filter(|task| of(task) == Some(*name)).all(|task| task.settled() == Some(Settled::Completed))
    };
    if tasks().all(|task| task.settled().is_some()) {
        return None;
    }
    tasks().filter_map(of).find(done)
}

fn of(task: &Task) -> Option<&str> {
    task.spec.extras().milestone.as_deref()
}

/// What a run asks by its mode while it goes on.
pub fn due(state: &State, ctx: &Ctx, run: &Run) -> Option<Event> {
    if run.cancelled || run.ended() {
        return None;
    }
    if run.deadline_passed && !run.deadline_told {
        return Some(match run.interaction() {
            Interaction::Minimal => Event::DeadlineTold { run: run.id, asked: false },
            _ if find(state, run, DecisionKind::Deadline).is_some() => Event::DeadlineTold { run: run.id, asked: true },
            _ => ask_deadline(state, ctx, run),
        });
    }
    if !matches!(run.state, RunState::Executing | RunState::Monitoring | RunState::Escalating) || run.stopping {
        return None;
    }
    match &run.milestone {
        Some(milestone) if find(state, run, DecisionKind::PlanApproval).is_none() => {
            Some(ask_milestone(state, ctx, run, milestone))
        }
        Some(_) => None,
        None => {
            let milestone = reached(state, run)?.to_owned();
            Some(Event::MilestoneReached { run: run.id, milestone })
        }
    }
}

fn ask_milestone(state: &State, ctx: &Ctx, run: &Run, milestone: &str) -> Event {
    let left = run.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.settled().is_none());
    let list: String = left.take(30).map(|task| format!("- {} {}\n", task.id, task.spec.title())).collect();
    super::open(state, ctx, run, DecisionKind::PlanApproval, None, |decision| {
        decision.question = super::short(&format!("{} has reached {milestone}. Go on?", run.id));
        decision.detail = format!(
            "Every task of {milestone} is done; see what landed with `orchestrator diff {}`. Nothing more starts until this \
             is answered. Left:\n\n{list}",
            run.id
        );
        decision.criticality = 0.1;
        decision.options = vec![
            super::choice("approve", "Go on", "The rest of the plan starts.", true),
            super::choice("reject", "Stop here", "What runs ends, the rest is blocked; what landed stays.", true),
        ];
    })
}

fn ask_deadline(state: &State, ctx: &Ctx, run: &Run) -> Event {
    let at = run.request.deadline.unwrap_or(ctx.now);
    let left = run.tasks.iter().filter_map(|task| state.task(*task)).filter(|task| task.settled().is_none()).count();
    super::open(state, ctx, run, DecisionKind::Deadline, None, |decision| {
        decision.question = format!("The deadline of {} has passed. How does it go on?", run.id);
        let done = run.tasks.len() - left;
        decision.detail = format!(
            "It was {}; {done} of {} tasks are over. The run goes on until this is answered.",
            at.rfc3339(),
            run.tasks.len()
        );
        decision.criticality = 0.3;
        decision.options = vec![
            super::choice("go", "Go on", "The run goes on to its end, late.", true),
            super::choice(
                "stop",
                "Start nothing more",
                "What runs ends, the rest is blocked; what landed stays.",
                true,
            ),
            super::choice("cancel", "Cancel the run", "What runs is ended too; what landed stays.", true),
        ];
    })
}

/// Whether a session may bring this run's result into the checkout by its own word.
pub fn session_may_apply(run: &Run) -> bool {
    run.request.apply == ApplyWish::Auto && run.interaction() == Interaction::Minimal
}

/// The offer to bring the result of a run that is just ending into the checkout, where its mode or its request wants one.
pub fn offer(state: &State, ctx: &Ctx, run: &Run) -> Option<Event> {
    let wanted = match run.request.apply {
        ApplyWish::Ask => true,
        ApplyWish::Never => false,
        ApplyWish::Auto => run.interaction() == Interaction::Collaborative,
    };
    (wanted && !run.landed.is_empty()).then(|| ask_apply(state, ctx, run))
}

/// The open offer of a run's result.
pub fn offered(state: &State, run: &Run) -> Option<DecisionId> {
    find(state, run, DecisionKind::Apply)
}

/// The question whether a result may enter the checkout.
pub fn ask_apply(state: &State, ctx: &Ctx, run: &Run) -> Event {
    let tasks: String = run
        .landed
        .iter()
        .filter_map(|(attempt, _)| state.task(attempt.task))
        .take(30)
        .map(|task| format!("- {} {}\n", task.id, task.spec.title()))
        .collect();
    super::open(state, ctx, run, DecisionKind::Apply, None, |decision| {
        decision.question = format!("Bring the result of {} into the checkout?", run.id);
        decision.detail = format!(
            "`orchestrator diff {0}` shows it, `orchestrator undo {0}` takes it out again. All or nothing is written to \
             {1}. What landed:\n\n{tasks}",
            run.id,
            run.request.checkout.display()
        );
        decision.criticality = 0.3;
        decision.options = vec![
            super::choice("apply", "Bring it in", "The files are written, or none where they conflict.", true),
            super::choice("leave", "Leave it", "It stays on its branch; `orchestrator apply` brings it later.", true),
        ];
    })
}
