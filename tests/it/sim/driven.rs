//! A core under test: its state, the journal of what it did, and a second state that only ever read that journal.
//!
//! Scenarios and simulation both drive the core through here, so that both check the same: the two states agree, the
//! tables that are rebuilt after loading mean the same as those kept up, and every transition taken is counted.

use std::collections::BTreeSet;

use orchestrator::{
    core::{
        Ctx, Event, Input, Rejection, Rng, Settings, State, Step,
        run::RunState,
        state::{Index, RunIndex},
        step,
    },
    ids::AttemptId,
    time::Timestamp,
};

use super::coverage;

/// The core, driven.
pub struct Driven {
    /// The live state.
    pub state: State,
    /// Every commit so far: when, and its events as they are stored.
    pub journal: Vec<(Timestamp, Vec<u8>)>,
    /// What reading the journal gives; never settled, so it is what a daemon has after a restart.
    pub read_back: State,
    /// The core's chance.
    pub rng: Rng,
    /// The configuration.
    pub settings: Settings,
}

impl Driven {
    pub fn new(seed: u64, settings: Settings) -> Driven {
        Driven { state: State::default(), journal: Vec::new(), read_back: State::default(), rng: Rng(seed), settings }
    }

    /// One input. What it leads to is stored at once; a rejected one must leave no trace.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Result<Step, Rejection> {
        let ctx = &mut Ctx { now, rng: &mut self.rng, settings: &self.settings };
        let taken = step(&mut self.state, input, ctx)?;
        if !taken.events.is_empty() {
            let stored = serde_json::to_vec(&taken.events).expect("events are JSON");
            self.read_back(now, &stored);
            self.journal.push((now, stored));
        }
        Ok(taken)
    }

    fn read_back(&mut self, at: Timestamp, stored: &[u8]) {
        let events: Vec<Event> = serde_json::from_slice(stored).expect("stored events are read back");
        for event in &events {
            note(&self.read_back, event);
            self.read_back.evolve(at, event);
        }
    }

    /// Panics where the journal and the live state have come apart.
    pub fn check(&self) {
        let live = serde_json::to_value(&self.state).expect("a state is JSON");
        let read_back = serde_json::to_value(&self.read_back).expect("a state is JSON");
        assert_eq!(live, read_back, "the journal, read back, is another state");
        let mut loaded: State = serde_json::from_value(live.clone()).expect("a state is read back");
        loaded.reindex();
        assert_eq!(live, serde_json::to_value(&loaded).expect("a state is JSON"), "reindexing changed the state");
        assert_eq!(meaning(&self.state.index), meaning(&loaded.index), "tables kept up and rebuilt differ");
        assert_eq!(meaning(&self.read_back.index), meaning(&loaded.index), "tables read back and rebuilt differ");
    }
}

/// What an index says, without what is only a queue between two stages.
fn meaning(index: &Index) -> String {
    let run = |index: &RunIndex| {
        let landing: BTreeSet<&AttemptId> = index.landing.iter().collect();
        format!(
            "{:?} bottom {:?} remaining {:?} reads_base {:?} shared {:?} own {:?} other {:?} unsettled {} completed {} \
             trying {} {:?} retrying {} open {} landing {landing:?}",
            index.graph,
            index.bottom,
            index.remaining,
            index.reads_base,
            index.ready_shared,
            index.ready_own,
            index.ready_other,
            index.unsettled,
            index.completed,
            index.trying_shared,
            index.trying_own,
            index.retrying,
            index.open,
        )
    };
    let runs: Vec<String> = index.runs.iter().map(|(id, tables)| format!("\n{id}: {}", run(tables))).collect();
    format!(
        "{} \nlanes {:?} tokens {:?} deadlines {:?} alarms {:?} open {:?}",
        runs.concat(),
        index.lanes,
        index.tokens,
        index.deadlines,
        index.alarms,
        index.open
    )
}

/// Counts the transitions that an event takes, and checks that the machines have them.
fn note(state: &State, event: &Event) {
    match event {
        Event::RunMoved { run, to, trigger } => {
            let from = state.run(*run).map_or(RunState::Idle, |run| run.state);
            assert_eq!(from.next(*trigger), Ok(*to), "{run} took a way that its machine does not have");
            coverage::run(from, *trigger);
        }
        Event::AttemptMoved { attempt, to } => {
            let (_, live) = state.live(*attempt).expect("an attempt that moves is under way");
            assert!(live.phase.leads_to(*to), "{attempt} went from {:?} to {to:?}", live.phase);
            coverage::phase(live.phase, *to);
        }
        Event::AttemptPrepared { attempt, .. } => {
            let (_, live) = state.live(*attempt).expect("an attempt whose lane is laid out is under way");
            coverage::prepared(live.phase);
        }
        Event::AttemptOver { attempt, .. } | Event::AttemptLanded { attempt, .. } => {
            let (_, live) = state.live(*attempt).expect("an attempt that ends is under way");
            coverage::over(live.phase);
        }
        Event::TaskSettled { task, .. } => {
            if let Some((_, live)) = state.task(*task).and_then(|task| task.current()) {
                coverage::over(live.phase);
            }
        }
        _ => {}
    }
}
