//! The core: one pure, deterministic state machine per workspace.
//!
//! Nothing in this folder reads a clock, a file, the environment or the network, starts a process or waits.
//! [`step`] is the only entrance: it takes an [`Input`] (a command somebody gave, or a report of something that
//! happened), records what happened, and lets [`settle`] find what follows from it. It returns events to store,
//! effects to carry out once they are stored, and a reply. Recovery is the same code: load, evolve each event, and
//! send [`effect::due`].
//!
//! When you look for "why did this task start?", there is one place to look: the stages, in the order of [`STAGES`].

pub mod agent;
pub mod analyze;
pub mod bisect;
pub mod budget;
pub mod confine;
pub mod coordinate;
pub mod decide;
pub mod effect;
pub mod event;
pub mod execute;
pub mod facts;
pub mod gc;
pub mod graph;
pub mod input;
pub mod invariants;
pub mod job;
pub mod land;
pub mod plan;
pub mod prove;
pub mod recover;
pub mod room;
pub mod run;
pub mod settings;
pub mod spend;
pub mod state;
pub mod submit;
pub mod task;
pub mod track;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use effect::Effect;
pub use event::Event;
pub use input::{Command, Input, Report};
pub use settings::{Rng, Settings};
pub use state::State;

use crate::{
    ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// What the core is told besides its input.
pub struct Ctx<'a> {
    /// The time.
    pub now: Timestamp,
    /// Its source of chance.
    pub rng: &'a mut Rng,
    /// The configuration.
    pub settings: &'a Settings,
}

/// What follows from an input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// To be stored, in order, before anything else happens.
    pub events: Vec<Event>,
    /// To be carried out once the events are stored.
    pub effects: Vec<Effect>,
    /// To be given to whoever asked, once the events are stored.
    pub reply: Reply,
    /// Where `events` may be stored as several commits, in ascending order; empty unless there are very many. A journal
    /// that ends at such a place is one that the stages go on from by themselves.
    pub cuts: Vec<usize>,
}

/// About how many events are stored as one commit, where a step has far more of them.
const CUT_EVERY: usize = 100_000;

/// Most events of one answer of a stage: what a failure or a cancellation does to a million tasks is told in parts.
pub const ANSWER_MAX: usize = CUT_EVERY;

/// What a command is answered with. The rest of a reply is read off the state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Nothing to say.
    #[default]
    None,
    /// This run was added, or is the one with that key already (`duplicate`).
    Run {
        /// Its id.
        run: RunId,
        /// Whether the key was known.
        duplicate: bool,
    },
    /// This task was added.
    Task(TaskId),
    /// A decision has its answer; `again` where it had the same one before.
    Decided {
        /// Which.
        decision: DecisionId,
        /// Whether it was answered so before.
        again: bool,
    },
    /// A person is asked first.
    Asked(DecisionId),
    /// These runs were forgotten.
    Dropped(Vec<RunId>),
    /// A checkpoint was saved.
    Checkpoint(CheckpointId),
    /// These tasks are due again.
    Reopened(Vec<TaskId>),
    /// A session has this attempt now.
    Claimed(AttemptId),
    /// Nothing is offered to sessions just now.
    NothingOffered,
}

/// Why a command is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// There is no such thing here.
    NotFound(String),
    /// It makes no sense; the second text says what would.
    Invalid(String, String),
    /// The plan goes in circles; the path.
    Cycle(String),
    /// Somebody else was faster: the choice, by whom, when.
    AlreadyDecided {
        /// The option that was chosen.
        choice: String,
        /// By whom.
        by: Box<decide::decision::By>,
        /// When.
        at: Timestamp,
    },
    /// It came too late.
    Stale(String),
    /// The question is no more; the second text says where it went.
    NoLongerAsked(String, String),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::NotFound(what) => write!(f, "there is no {what}"),
            Rejection::Invalid(what, _)
            | Rejection::Cycle(what)
            | Rejection::Stale(what)
            | Rejection::NoLongerAsked(what, _) => f.write_str(what),
            Rejection::AlreadyDecided { choice, by, at } => write!(f, "already decided by {by}, {at}: {choice}"),
        }
    }
}

impl std::error::Error for Rejection {}

/// One stage: looks at what is due in its field and says what follows. No events = nothing is due.
pub type Stage = fn(&mut State, &mut Ctx) -> Vec<Event>;

/// The seven stages, in the order they are asked.
pub const STAGES: [(&str, Stage); 7] = [
    ("analyze", analyze_due),
    ("plan", plan::due),
    ("coordinate", coordinate::due),
    ("execute", execute::due),
    ("track", track::due),
    ("decide", decide::due),
    ("recover", recover::due),
];

/// Takes one input. On a rejection the state is as before.
pub fn step(state: &mut State, input: Input, ctx: &mut Ctx) -> Result<Step, Rejection> {
    let mut step = Step::default();
    let events = match input {
        Input::Command(command) => {
            let (events, reply) = submit::command(state, command, ctx)?;
            step.reply = reply;
            events
        }
        Input::Report(report) => track::record(state, report, ctx.now),
        Input::Tick => Vec::new(),
    };
    apply(state, ctx, events, &mut step);
    settle(state, ctx, &mut step);
    Ok(step)
}

/// Asks the stages what is due until none answers.
pub fn settle(state: &mut State, ctx: &mut Ctx, step: &mut Step) {
    'again: loop {
        for (_, stage) in STAGES {
            let events = stage(state, ctx);
            if !events.is_empty() {
                apply(state, ctx, events, step);
                continue 'again;
            }
        }
        break;
    }
    state.index.dirty.clear();
    if cfg!(debug_assertions) {
        invariants::check(state, ctx.settings);
    }
}

fn apply(state: &mut State, ctx: &Ctx, events: Vec<Event>, step: &mut Step) {
    // What the input itself led to stays one; every answer of a stage is a whole that the next one follows from.
    if step.events.len() - step.cuts.last().unwrap_or(&0) >= CUT_EVERY {
        step.cuts.push(step.events.len());
    }
    // What was decided was decided by how many lanes might be held then.
    let held = state.index.lanes.len();
    let allowed = cfg!(debug_assertions).then(|| state.lanes_allowed(ctx.settings.lanes_max) as usize);
    for mut event in events {
        if let Event::AttemptOver { failure: Some(failure), .. } = &mut event {
            *failure = recover::failure::by_pattern(&ctx.settings.rules.policy, std::mem::take(failure));
        }
        state.evolve(ctx.now, &event);
        effect::after(state, ctx.settings, &event, &mut step.effects);
        step.events.push(event);
    }
    let holds = state.index.lanes.len();
    debug_assert!(
        allowed.is_none_or(|allowed| holds <= held.max(allowed)),
        "{holds} lanes were given out: {allowed:?}"
    );
}

/// The first stage: a request whose repository was looked at is understood.
fn analyze_due(state: &mut State, _ctx: &mut Ctx) -> Vec<Event> {
    let mut events = Vec::new();
    for run in state.index.dirty.iter().filter_map(|run| state.runs.get(run)) {
        if run.state != run::RunState::Analyzing || run.analysis.is_some() {
            continue;
        }
        let Some(facts) = &run.facts else { continue };
        let request = analyze::Request {
            text: run.request.description.clone(),
            environment: run.request.environment.clone(),
            maintain_compatibility: run.request.keeps_compatible(),
            ..analyze::Request::default()
        };
        let analysis = Box::new(analyze::analyze(&request, facts));
        events.push(Event::RunAnalyzed { run: run.id, analysis });
        events.extend(track::moved(run, run::Trigger::Plan));
    }
    events
}
