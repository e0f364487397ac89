//! The pure core.
pub mod analyze;
pub mod facts;
pub mod graph;
pub mod plan;
pub mod recover;
