//! The keeper: one small process per workspace that starts, supervises and reaps all jobs (shell commands, checks,
//! setup commands) and outlives the daemon. Agents, which talk, are not its business.
//!
//! So a `kill -9` of the daemon interrupts nothing, and a result is neither lost nor made twice: the next daemon
//! connects and is told everything. When the keeper itself is killed, its log tells which jobs had started and
//! which had ended, and the next keeper removes what the old one's jobs left behind.
//!
//! The process: [`run_keeper`]. The daemon's end of the line: [`Keeper`].

mod child;
mod line;
mod link;
mod log;
mod output;
mod poller;
mod process;
mod protocol;
mod queue;
#[cfg(target_os = "linux")]
mod raw;
mod run;
pub(in crate::daemon::agents) mod socket;
mod tree;

pub use link::Keeper;
pub use log::{LogEntry, read_log};
pub(in crate::daemon) use process::close_inherited;
pub use protocol::{End, Ended, Job, NotStarted, Notice, Order, RunningJob, TAIL_BYTES, VERSION, default_cap_bytes};
pub use run::run_keeper;
pub use tree::sweep_orphans;
