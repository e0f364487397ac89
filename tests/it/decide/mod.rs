//! Decisions: the learner on streams of them, and whole runs that decide.

mod corpora;
mod measure;
mod simulated;
mod streams;
