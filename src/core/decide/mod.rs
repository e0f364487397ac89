//! Decisions: opening a question, and what its answer leads to.
//!
//! Silence is never an answer. A decision blocks only what depends on it.

pub mod cache;
pub mod change;
pub mod decision;
pub mod effects;
pub mod gate;
pub mod hindsight;
pub mod keys;
pub mod known;
pub mod ladder;
pub mod learned;
pub mod mode;
pub mod permission;
pub mod policy;
pub mod scorecard;
pub mod shell;
pub mod start;
pub mod tools;

use decision::{Choice, Decision, DecisionKind, DecisionState, OnExpiry};

use super::{
    Ctx,
    event::Event,
    land::{proven, settled, taking_back},
    plan::planner,
    plan::spec::Effect as Touches,
    run::{Run, RunState, Undeclared},
    state::State,
    task::{Phase, Settled, Task, TaskState},
};
use crate::{
    ids::{DecisionId, RunId},
    time::Timestamp,
};

/// The consequences of answers that were just given.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    state.learned.catch_up(&mut state.index.ladder, ctx.settings);
    let timely = overdue(state, ctx);
    if !timely.is_empty() {
        return timely;
    }
    while let Some((run, number)) = state.index.regretted.pop_front() {
        let regretted = state.run(run).map(|run| learned::undone(state, ctx, run, number)).unwrap_or_default();
        if !regretted.is_empty() {
            return regretted;
        }
    }
    let proven = learned::due(state, ctx);
    if !proven.is_empty() {
        return proven;
    }
    let asked = permission::due(state, ctx);
    if !asked.is_empty() {
        return asked;
    }
    while let Some(id) = state.index.answered.pop_front() {
        let Some(decision) = state.decisions.get(&id) else { continue };
        let Some(answer) = decision.answer() else { continue };
        let mut events = learned::taught(state, ctx, decision);
        events.extend(consequence(state, ctx, decision, &answer.choice));
        if !events.is_empty() {
            return events;
        }
    }
    // What a run that is over, or a task that is settled, asked about went away.
    while let Some(id) = state.index.moot.pop_front() {
        let Some(decision) = state.decisions.get(&id).filter(|decision| decision.open()) else { continue };
        let run_over = state.run(decision.run).is_none_or(|run| run.ended() || run.cancelled);
        let task_over = decision.task.and_then(|task| state.task(task)).is_some_and(|task| task.settled().is_some());
        let trusted = decision.kind == DecisionKind::Trust
            && state.run(decision.run).and_then(|run| run.facts.as_ref()).map(|facts| facts.manifests_hash.as_str())
                == state.trusted.as_deref();
        let unasked = !run_over && !task_over && permission::unasked(state, decision);
        if decision.kind == DecisionKind::Apply {
            // It is asked when its run is over.
            let applied = |run: &Run| run.applies.iter().any(|apply| apply.undone_at.is_none());
            let why = match state.run(decision.run) {
                Some(run) if !run.ended() => "the run goes on",
                Some(run) if applied(run) => "it is in the checkout",
                Some(_) => continue,
                None => "the run is forgotten",
            };
            return vec![Event::DecisionWithdrawn { decision: id, why: why.to_owned() }];
        }
        if run_over || task_over || trusted || unasked {
            let why = match (run_over, task_over) {
                _ if unasked => "its agent no longer asks",
                (true, _) => "the run is over",
                (false, true) => "the task is over",
                (false, false) => "the repository is trusted by now",
            };
            return vec![Event::DecisionWithdrawn { decision: id, why: why.to_owned() }];
        }
    }
    for run in state.index.dirty.iter().filter_map(|run| state.run(*run)) {
        if let Some(event) = mode::due(state, ctx, run) {
            return vec![event];
        }
        if let Some(undeclared) = run.undeclared.as_ref().filter(|_| !run.cancelled)
            && find(state, run, DecisionKind::UndeclaredWrite).is_none()
        {
            return vec![ask_undeclared(state, ctx, run, undeclared)];
        }
    }
    Vec::new()
}

/// What time alone does to open questions: somebody is reminded, and those whose creator set a time expire. Nothing is
/// ever answered by it.
fn overdue(state: &State, ctx: &Ctx) -> Vec<Event> {
    let Some((at, id)) = state.index.clock.first().copied().filter(|(at, _)| *at <= ctx.now) else { return Vec::new() };
    let Some(decision) = state.decisions.get(&id).filter(|decision| decision.open()) else { return Vec::new() };
    if decision.expires_at != Some(at) {
        let notify = ctx.settings.notify_ms.map(|after| decision.created_at.plus_ms(after));
        // First a word to whoever follows; then, if there is one, the notify command, once.
        let next = notify.filter(|next| *next > at && !ctx.settings.notify.is_empty());
        let command = if Some(at) == notify { ctx.settings.notify.clone() } else { Vec::new() };
        return vec![Event::DecisionReminded { decision: id, command, next }];
    }
    let mut events = vec![Event::DecisionExpired { decision: id }];
    let park = decision.on_expiry != Some(OnExpiry::Cancel);
    match decision.task.and_then(|task| state.task(task)).filter(|task| task.state == TaskState::Asking(id)) {
        Some(task) if park => {
            let why = format!("put aside: nobody answered {id} in time; `orchestrator retry {}` asks again", task.id);
            events.push(settled(task, Settled::Cancelled, &why));
        }
        Some(task) => events.push(settled(task, Settled::Cancelled, &format!("nobody answered {id} in time"))),
        None if !park => events.push(Event::RunCancelAsked { run: decision.run }),
        None => {}
    }
    events
}

fn consequence(state: &State, ctx: &Ctx, decision: &Decision, choice: &str) -> Vec<Event> {
    let run = decision.run;
    // A journal that is read back brings every answer here again: those whose consequence was drawn have none.
    let waits = state.run(run).is_some_and(|run| run.state == RunState::Planning && !run.cancelled && !run.approved);
    let task = decision.task.and_then(|task| state.task(task));
    let milestone = state.run(run).and_then(|run| run.milestone.clone()).filter(|_| decision.task.is_none());
    match (decision.kind, choice) {
        (DecisionKind::PlanApproval, choice) if decision.task.is_some() => planner::answered(state, decision, choice),
        (DecisionKind::PlanApproval, choice) if let Some(milestone) = milestone => match choice {
            "approve" => vec![Event::MilestonePassed { run, milestone }],
            _ => vec![Event::MilestonePassed { run, milestone }, Event::RunStopping { run }],
        },
        (DecisionKind::Deadline, choice) => of_deadline(state, run, choice),
        (DecisionKind::Apply, "apply") => match super::submit::apply(state, run, Vec::new()) {
            Ok((events, _)) => events,
            Err(refused) => vec![Event::RunNoted { run, note: format!("the result was not brought in: {refused}") }],
        },
        (DecisionKind::Apply, _) => Vec::new(),
        (DecisionKind::Trust | DecisionKind::PlanApproval | DecisionKind::Clarify, _) if !waits => Vec::new(),
        (DecisionKind::Trust, "trust") => {
            let hash = state.run(run).and_then(|run| Some(run.facts.as_ref()?.manifests_hash.clone()));
            vec![Event::Trusted { hash }]
        }
        (DecisionKind::PlanApproval, "approve") => vec![Event::RunApproved { run }],
        (DecisionKind::Trust | DecisionKind::PlanApproval, _) => vec![Event::RunCancelAsked { run }],
        (DecisionKind::Clarify, "cancel") => vec![Event::RunCancelAsked { run }],
        // Planning reads the chosen playbook off the answered decision.
        (DecisionKind::Clarify, _) => Vec::new(),
        (DecisionKind::Budget, choice) if decision.task.is_none() => of_budget(state, ctx, run, choice),
        (DecisionKind::UndeclaredWrite, choice) => of_undeclared(state, run, choice),
        (DecisionKind::NeedsEnv, choice) => keys::answered(state, decision, choice),
        (DecisionKind::Review | DecisionKind::BreakingChange | DecisionKind::Security, choice) => {
            task.map(|task| reviewed(state, ctx, decision, choice, task)).unwrap_or_default()
        }
        (DecisionKind::Permission, choice) if let Some(ask) = &decision.ask => {
            permission::answered(state, decision, ask, choice)
        }
        (kind, choice) => match task {
            Some(task) if task.state == TaskState::Asking(decision.id) => of_task(kind, choice, task),
            _ => Vec::new(),
        },
    }
}

fn of_task(kind: DecisionKind, choice: &str, task: &Task) -> Vec<Event> {
    let again = Event::TaskReopened { task: task.id };
    match (kind, choice) {
        (DecisionKind::Permission | DecisionKind::Deploy, "allow") => {
            vec![Event::TaskApproved { task: task.id }, again]
        }
        (DecisionKind::Permission | DecisionKind::Deploy, _) => {
            vec![settled(task, Settled::Cancelled, "a person said no")]
        }
        (DecisionKind::AgentQuestion, choice) => vec![
            Event::TaskChosen { task: task.id, choice: choice.to_owned() },
            settled(task, Settled::Completed, &format!("answered: {choice}")),
        ],
        (DecisionKind::NoAgent, "again") => vec![Event::AgentsAsked { run: task.run }, again],
        (DecisionKind::Conflict, "again") => vec![again],
        // Its own limits no longer hold.
        (DecisionKind::Budget, "raise") => vec![Event::TaskApproved { task: task.id }, again],
        (DecisionKind::Budget, _) => vec![settled(task, Settled::Failed, "its run's limit is reached")],
        (DecisionKind::NoAgent, _) => vec![settled(task, Settled::Cancelled, "left out: no agent can do it")],
        (DecisionKind::Conflict, _) if task.spec.effect == Touches::External => {
            vec![settled(task, Settled::Failed, "left out: it conflicts with what landed; its effect outside is there")]
        }
        (DecisionKind::Conflict, _) => vec![settled(task, Settled::Undone, "left out: it conflicts with what landed")],
        (DecisionKind::RetryExhausted, "again") => vec![Event::TaskApproved { task: task.id }, again],
        (DecisionKind::RetryExhausted, "done") => vec![settled(task, Settled::Completed, "a person says it is done")],
        (DecisionKind::RetryExhausted, _) => vec![settled(task, Settled::Failed, "a person gave it up")],
        (DecisionKind::StuckUndo, "done") => vec![settled(task, Settled::Undone, "a person took it back")],
        (DecisionKind::StuckUndo, _) => vec![settled(task, Settled::Stuck, "its effect outside is still there")],
        (
            DecisionKind::Clarify
            | DecisionKind::Trust
            | DecisionKind::PlanApproval
            | DecisionKind::UndeclaredWrite
            | DecisionKind::Review
            | DecisionKind::BreakingChange
            | DecisionKind::Security
            | DecisionKind::Deadline
            | DecisionKind::Apply
            | DecisionKind::NeedsEnv,
            _,
        ) => Vec::new(),
    }
}

/// What a person said of a change before it landed.
fn reviewed(state: &State, ctx: &Ctx, decision: &Decision, choice: &str, task: &Task) -> Vec<Event> {
    let Some(run) = state.run(task.run) else { return Vec::new() };
    match task.current() {
        Some((attempt, live)) if live.phase == Phase::Reviewing && Some(attempt.generation) == decision.generation => {
            match choice {
                "accept" | change::KEEP => proven(state, run, task, attempt, live, ctx.now),
                // No failure: it is a person's wish, and counts against nobody.
                change::BACK => {
                    vec![Event::AttemptOver { attempt, failure: None }, Event::TaskReopened { task: task.id }]
                }
                // What it did outside is taken back as after a red check.
                _ if let Some(to) = taking_back(task) => vec![Event::AttemptMoved { attempt, to }],
                _ if task.spec.effect == Touches::External => {
                    vec![settled(task, Settled::Failed, "a person left it out; its effect outside is there")]
                }
                _ => vec![settled(task, Settled::Undone, "a person left it out")],
            }
        }
        _ => Vec::new(),
    }
}

fn of_budget(state: &State, ctx: &Ctx, id: RunId, choice: &str) -> Vec<Event> {
    let Some(run) = state.run(id).filter(|run| run.exhausted.is_some() && !run.stopping && !run.cancelled) else {
        return Vec::new();
    };
    if choice == "raise" {
        return super::budget::raised(state, ctx, run).into_iter().collect();
    }
    vec![match choice {
        "stop" => Event::RunStopping { run: id },
        _ => Event::RunCancelAsked { run: id },
    }]
}

fn of_deadline(state: &State, id: RunId, choice: &str) -> Vec<Event> {
    let going = state.run(id).is_some_and(|run| !run.ended() && !run.cancelled && !run.stopping);
    match choice {
        "stop" if going => vec![Event::RunStopping { run: id }],
        "cancel" if going => vec![Event::RunCancelAsked { run: id }],
        _ => Vec::new(),
    }
}

fn of_undeclared(state: &State, id: RunId, choice: &str) -> Vec<Event> {
    let Some(undeclared) = state.run(id).and_then(|run| run.undeclared.as_ref()) else { return Vec::new() };
    vec![match choice {
        "again" => Event::TasksApart { run: id, tasks: undeclared.readers.clone() },
        _ => Event::UndeclaredAccepted { run: id },
    }]
}

/// What is asked when files changed in the lane that readers share.
fn ask_undeclared(state: &State, ctx: &Ctx, run: &Run, undeclared: &Undeclared) -> Event {
    let Undeclared { paths, readers } = undeclared;
    open(state, ctx, run, DecisionKind::UndeclaredWrite, None, |decision| {
        let who = match readers.as_slice() {
            [one] => format!("{one} changed files though it is declared to read only."),
            many => format!("One of {} tasks that are declared to read only changed files.", many.len()),
        };
        decision.question = short(&format!("{who} What does that mean for {}?", run.id));
        let files: String = paths.iter().take(20).map(|path| format!("- `{path}`\n")).collect();
        let names: Vec<String> = readers.iter().take(50).map(ToString::to_string).collect();
        decision.detail = format!(
            "They share one lane, so another of them may have read what was changed:\n\n{files}\nThe change is thrown \
             away with the lane in any case. Tasks that read there: {}.",
            names.join(", ")
        );
        decision.criticality = 0.1;
        decision.options = vec![
            choice(
                "again",
                "Do them again, apart",
                "Each runs in a lane of its own; the one that writes fails by name.",
                true,
            ),
            choice("accept", "Let it stand", "What they found stands; the changes are gone.", true),
        ];
    })
}

/// The event that opens a question; `fill` writes it.
pub fn open(
    state: &State,
    ctx: &Ctx,
    run: &Run,
    kind: DecisionKind,
    task: Option<&Task>,
    fill: impl FnOnce(&mut Decision),
) -> Event {
    let remind_at = ctx.settings.remind_ms.map(|after| ctx.now.plus_ms(after));
    open_at(state, ctx.now, run, kind, task, |decision| {
        decision.remind_at = remind_at;
        fill(decision);
    })
}

/// The same, where only the time is known.
pub fn open_at(
    state: &State,
    now: Timestamp,
    run: &Run,
    kind: DecisionKind,
    task: Option<&Task>,
    fill: impl FnOnce(&mut Decision),
) -> Event {
    let mut decision = Decision {
        id: DecisionId(state.last.decision + 1),
        run: run.id,
        task: task.map(|task| task.id),
        generation: task.map(|task| task.attempts.len() as u32).filter(|generation| *generation > 0),
        kind,
        question: String::new(),
        detail: String::new(),
        options: Vec::new(),
        criticality: 0.0,
        ask: None,
        anchor: None,
        case: None,
        why: None,
        rules_hit: Vec::new(),
        taught: false,
        remind_at: None,
        expires_at: None,
        on_expiry: None,
        created_at: now,
        state: DecisionState::Open,
    };
    fill(&mut decision);
    debug_assert!((2..=6).contains(&decision.options.len()), "a decision has two to six options");
    Event::DecisionOpened { decision: Box::new(decision) }
}

/// A question, cut to the length it may have (SCHEMAS S3).
pub fn short(question: &str) -> String {
    question.chars().take(200).collect()
}

/// One option.
pub fn choice(id: &str, title: &str, effect: &str, reversible: bool) -> Choice {
    let (id, title, effect) = (id.to_owned(), title.to_owned(), effect.to_owned());
    Choice { id, title, effect, reversible, takes_text: false }
}

/// The options of a plan's own question. Titles that come to the same id are told apart by their number.
pub fn options_of(titles: &[String]) -> Vec<Choice> {
    let mut options: Vec<Choice> = Vec::with_capacity(titles.len());
    for (number, title) in (1..).zip(titles) {
        let mut option = option_of(title);
        if options.iter().any(|other| other.id == option.id) {
            option.id = format!("{}-{number}", option.id);
        }
        options.push(option);
    }
    options
}

/// An option of a plan's own question: its id is made from its title.
fn option_of(title: &str) -> Choice {
    let mut id = String::new();
    for character in title.to_lowercase().chars() {
        match character {
            'a'..='z' | '0'..='9' => id.push(character),
            _ if id.ends_with('-') || id.is_empty() => {}
            _ => id.push('-'),
        }
    }
    let id = id.trim_end_matches('-');
    choice(if id.is_empty() { "option" } else { id }, title, "The task completes with this answer.", false)
}

/// The decision of that kind that is open, or answered this very moment with its consequence still to come.
pub fn find(state: &State, run: &Run, kind: DecisionKind) -> Option<DecisionId> {
    find_all(state, run, kind).next().map(|decision| decision.id)
}

/// All of them.
pub fn find_all<'a>(state: &'a State, run: &'a Run, kind: DecisionKind) -> impl Iterator<Item = &'a Decision> {
    let asked = state.index.open.iter().chain(&state.index.answered).filter_map(|id| state.decisions.get(id));
    asked.filter(move |decision| decision.run == run.id && decision.kind == kind)
}
