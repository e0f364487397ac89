//! MCP over the real program: both eras, everything that a client can do wrong, decisions, and who answered them.

mod bad_input;
mod claims;
pub mod client;
mod decisions;
mod eras;
mod everywhere;
pub mod model;
pub mod real;
mod rights;
