//! LSP on standard input and output: the face for editors.
//!
//! `pump` carries the messages, `server` answers them (through `late`, which makes it once the greeting is answered),
//! `follow` shows what happens in the daemon, over the way that `link` keeps up. What an action, a progress, an edit or
//! a page looks like is decided by plain functions beside them. Nothing here decides anything about a run.

pub mod actions;
mod bring;
pub mod can;
mod commands;
mod convert;
pub mod documents;
pub mod edits;
mod follow;
mod frame;
mod late;
mod link;
mod marks;
pub mod outbox;
mod pages;
mod parent;
mod progress;
pub mod pump;
mod server;
mod shared;
pub mod types;

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use crate::client::ConnectOptions;

/// Serves until the client leaves; returns the process's exit status.
pub async fn serve<R, W>(input: R, output: W, options: ConnectOptions) -> io::Result<u8>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    let outbox = outbox::Outbox::default();
    // Unbounded: what wakes the loop is what one user does, and answers to what the loop itself asked.
    let (wakes, woken) = mpsc::unbounded_channel();
    let shared = Arc::new(shared::Shared::new(outbox.clone(), wakes, options));
    let service = late::Late::new(shared.clone());
    let (greeted, reads) = (shared.clone(), shared.clone());
    let seen_initialize = move |initialize: &serde_json::Value| {
        greeted.greet(initialize);
        // All that is used is read above. The types would refuse an editor for a capability that is newer than they.
        serde_json::json!({"capabilities": {}})
    };
    let kept = move |command: &str, arguments: &str| reads.kept(&commands::key(command, arguments)?);
    let pumped = pump::pump(service, outbox, input, output, seen_initialize, kept);
    tokio::select! {
        ended = pumped => Ok(ended.status()),
        () = follow::follow(shared, woken) => Err(io::Error::other("the loop that follows the daemon ended")),
    }
}
