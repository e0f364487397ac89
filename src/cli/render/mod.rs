//! From wire objects to text: pure functions, so that every screen is a test.

pub mod agents;
pub mod bar;
pub mod decision;
pub mod duration;
pub mod mermaid;
pub mod paint;
pub mod plan;
pub mod report;
pub mod scorecard;
pub mod status;
pub mod svg;
pub mod table;
pub mod task;
