//! The one test binary: what needs the program as a whole, or the repository as a whole. Unit tests live in `src/`.
//!
//! A module per kind. They need Rust and git and nothing else; what a machine lacks is said as `skipped: …`, and is a
//! failure where `ORCHESTRATOR_CI` is set, because there it was installed.

#[cfg(target_os = "linux")]
mod agents;
mod confine;
#[cfg(target_os = "linux")]
mod daemon;
mod decide;
mod demo;
#[cfg(target_os = "linux")]
mod everywhere;
mod gate;
mod gc;
#[cfg(target_os = "linux")]
mod keeper;
#[cfg(target_os = "linux")]
mod kept;
mod listen;
#[cfg(target_os = "linux")]
mod lsp;
#[cfg(target_os = "linux")]
mod mcp;
mod own;
mod pipe;
mod playbooks;
mod readme;
mod scenario;
mod sim;
mod tidy;
