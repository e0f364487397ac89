//! The ways to run.
fn main() {}
