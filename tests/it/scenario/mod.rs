//! Scenarios: a script in, the core's events and effects out, through one [`check`] function.
//!
//! A line of a script is one input, or a word to the harness; [`script`] documents the language, [`show`] how events
//! and effects are printed. After every line the journal is read back and compared with the live state.

mod agents;
mod autonomy;
mod changes;
mod coordination;
mod decisions;
mod endings;
mod failures;
mod hindsight;
mod landing;
mod lanes;
mod limits;
mod modes;
mod outside;
mod rules;
pub mod script;
mod show;
mod submitting;

use expect_test::Expect;

/// Every topic, for the transition coverage.
pub const TOPICS: &[fn()] = &[
    coordination::topic,
    lanes::topic,
    landing::topic,
    failures::topic,
    outside::topic,
    decisions::topic,
    endings::topic,
    submitting::topic,
    limits::topic,
    agents::topic,
    changes::topic,
];

/// Runs a script with the usual settings and compares what it printed.
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&script::run(text));
}
