//! The way to the daemon, kept up: connects, hands on what happens there, and connects again.
//!
//! The first attempt starts a daemon where none runs, and so does a command that needs one. One that ended while nothing
//! was under way is only looked for: somebody may have stopped it on purpose.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::mpsc;

use super::{
    follow::Wake,
    shared::{Daemon, Shared},
};
use crate::{
    api::{ApiError, Code, OrchestratorState, PendingDecisions},
    client::link::Link,
};

/// Before the first further attempt.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Between attempts after that: often enough to see a daemon that somebody starts, seldom enough to be no load.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is under way when the connection is made.
pub struct Found {
    /// Every run.
    pub state: OrchestratorState,
    /// Every open decision.
    pub pending: PendingDecisions,
}

/// Keeps the link up for as long as it is polled.
pub async fn keep(shared: Arc<Shared>, to: mpsc::Sender<Wake>) {
    let mut pause = PAUSE_MIN;
    let mut start = true;
    loop {
        let lost = match follow(&shared, start, &to).await {
            Ok(()) => {
                pause = PAUSE_MIN;
                ApiError::new(Code::Unavailable, "the connection to the daemon is lost", "")
            }
            Err(error) => error,
        };
        shared.set_link(Daemon::Down(lost.clone()));
        if to.send(Wake::Unlinked(lost)).await.is_err() {
            return;
        }
        start = shared.is_busy();
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            () = shared.needed.notified() => start = true,
        }
        if start {
            shared.set_link(Daemon::Connecting);
        }
    }
}

/// One connection, from the greeting to its end.
async fn follow(shared: &Shared, start: bool, to: &mpsc::Sender<Wake>) -> Result<(), ApiError> {
    let (link, welcome) = Link::connect(&shared.connect_options(start)).await.map_err(|error| error.0)?;
    let state: OrchestratorState = link.call("get_state", json!({})).await?;
    let pending = link.call("get_pending_decisions", json!({})).await?;
    let mut events = link.follow(state.revision).await?;
    shared.set_link(Daemon::Up(link, welcome.workspace.path.into()));
    let _ = to.send(Wake::Linked(Box::new(Found { state, pending }))).await;
    while let Some(told) = events.recv().await {
        if to.send(Wake::Events(told)).await.is_err() {
            break;
        }
    }
    Ok(())
}
