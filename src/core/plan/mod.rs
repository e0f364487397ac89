//! Planning: from a request to tasks.
pub mod file;
pub mod playbook;
pub mod spec;
