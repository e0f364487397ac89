//! Starting processes, and talking to those that talk.
//!
//! | file | subject |
//! |---|---|
//! | `keeper` | one process per workspace: every process below it, its limits, its end |
//! | `driver` | what all agents have in common; a conversation is a pure fold over its transcript |
//! | `claude`, `acp` | the drivers |
//! | `host` | the process that owns one agent's streams and outlives the daemon; `transcript`: what it writes |
//! | `talk` | the daemon's end of the line to a host |
//! | `find` | which agents there are; `sandbox`: what they may write to |

mod acp;
mod claude;
mod driver;
mod find;
mod host;
pub mod keeper;
pub mod sandbox;
mod talk;
mod transcript;

pub use driver::{Brief, McpServer};
pub use find::{abilities, find};
pub use host::{LaunchFile, folder, make_folder, run_host, write_whole};
pub use talk::{Judge, Line, ended, follow};
