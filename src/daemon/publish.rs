//! The event stream: whoever follows gets every commit after a position, without hole or repeat.
//!
//! What is not in memory any more is read from the journal. A reader that does not keep up is let go of; it takes what
//! is still in its channel and follows again from there.

use std::{ops::ControlFlow, sync::Arc};

use tokio::sync::mpsc;

use super::convert;
use crate::{
    api,
    core::{Event, State},
    store::{Journal, Position},
    time::Timestamp,
};

/// One commit, as followers get it.
#[derive(Debug)]
pub struct Published {
    /// Its position.
    pub position: Position,
    /// Its events.
    pub events: Vec<api::Event>,
}

/// How many commits a follower may be behind before it is let go of. A commit is usually a handful of events; a
/// front end that falls this far behind reads faster from the journal.
pub const BEHIND_MAX: usize = 1_024;

/// Everyone who follows a workspace.
#[derive(Default)]
pub struct Subscribers {
    all: Vec<mpsc::Sender<Arc<Published>>>,
}

impl Subscribers {
    /// Begins to follow after a position: what is on disk comes from the journal, what follows as it is stored.
    ///
    /// Invariant: `durable` is the last position that [`Subscribers::publish`] was called for, so nothing is missed.
    pub fn add(
        &mut self,
        journal: &dyn Journal,
        state: &State,
        after: Position,
        durable: Position,
        to: mpsc::Sender<Arc<Published>>,
    ) {
        let mut open = true;
        if after < durable {
            let read = journal.read(after, &mut |commit| {
                if commit.position > durable {
                    return ControlFlow::Break(());
                }
                let events: Vec<Event> = serde_json::from_slice(&commit.events).unwrap_or_default();
                let events = convert::events(state, commit.position.0, commit.at, &events);
                open = to.try_send(Arc::new(Published { position: commit.position, events })).is_ok();
                if open { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if let Err(error) = read {
                tracing::error!(%error, "the journal cannot be read for a follower");
                return;
            }
        }
        if open {
            self.all.push(to);
        }
    }

    /// A commit is on disk.
    pub fn publish(&mut self, state: &State, position: Position, at: Timestamp, events: &[Event]) {
        if self.all.is_empty() {
            return;
        }
        let events = convert::events(state, position.0, at, events);
        let published = Arc::new(Published { position, events });
        self.all.retain(|to| to.try_send(published.clone()).is_ok());
    }
}
