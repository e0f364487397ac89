//! MCP on standard input and output: the face for Claude Code and other model hosts.
//!
//! | file | subject |
//! |---|---|
//! | `wire` | lines and messages |
//! | `server` | the loop: which revision a request is of, one answer each, cancelling |
//! | `front` | what the handlers share: the way out, the way to the daemon, its news |
//! | `tools`, `wait` | what a model calls |
//! | `ask` | forms for decisions; `seal`: what a client carries between two rounds of a call |
//! | `tasks` | runs that a client follows by itself |
//! | `prompts`, `resources`, `complete` | what a person types, reads and mentions |
//! | `changes` | telling what changed |
//!
//! The revisions with a handshake (up to 2025-11-25) and the one without (2026-07-28) are served on one stream, request
//! by request. Messages are rmcp's types; the loop is our own, because the library's costs a task and two channels per
//! request, which is more than the call itself.

mod ask;
mod changes;
mod complete;
mod front;
mod prompts;
mod resources;
mod seal;
mod server;
mod tasks;
mod tools;
mod wait;
mod wire;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    api::session::ClientInfo,
    client::ConnectOptions,
    config::{Config, Places},
};

/// Serves until the client leaves; returns the process's exit status. `agent`: this process was started for an agent.
pub async fn serve<R, W>(input: R, output: W, options: ConnectOptions) -> io::Result<u8>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    let agent = options.agent;
    // Until the client says who it is.
    let client = ClientInfo { name: "MCP client".to_owned(), surface: "mcp".to_owned() };
    // A file that cannot be read is the daemon's to complain of: whoever calls anything hears it.
    let config = Places::find().and_then(|places| Config::load(&places));
    let pull = config.is_ok_and(|config| config.pulls());
    let front = front::Front::new(ConnectOptions { client, ..options }, agent, pull)?;
    server::serve(input, output, front).await.map(|()| 0)
}
