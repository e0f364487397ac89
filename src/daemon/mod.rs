//! The daemon.
pub mod agents;
pub mod facts;
pub mod lanes;
