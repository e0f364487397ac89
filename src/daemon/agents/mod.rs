//! Starting processes.
pub mod keeper;
