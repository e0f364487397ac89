//! After a failure: what kind it is, whether and when to try again, and what it takes with it.

pub mod backoff;
pub mod classify;
pub mod failure;
mod route;

pub use route::due;
