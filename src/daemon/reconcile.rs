//! What a keeper says, in the core's words.

use std::collections::HashSet;

use super::agents::keeper::{self, Ended, RunningJob};
use crate::{
    core::{
        Report,
        job::{End, JobId, JobResult},
    },
    time::{Timestamp, now},
};

/// Between asking a job to end and making it, milliseconds.
pub const GRACE_MS: u64 = 5_000;

/// The jobs that a keeper has in any form.
pub fn known(running: &[RunningJob], queued: &[String], ended: &[Ended]) -> HashSet<JobId> {
    let ids = running.iter().map(|job| &job.id).chain(queued).chain(ended.iter().map(|ended| &ended.id));
    ids.filter_map(|id| id.parse().ok()).collect()
}

/// The keeper's word for an end, in ours.
pub fn end(end: keeper::End) -> End {
    match end {
        keeper::End::Exit(code) => End::Exit(code),
        keeper::End::Signal { number, .. } => End::Signal(number),
        keeper::End::Timeout => End::Timeout,
        keeper::End::Silent => End::Silent,
        keeper::End::Cancelled => End::Cancelled,
        keeper::End::NotStarted { message, .. } => End::NotStarted(message),
        keeper::End::Lost => End::Lost,
    }
}

/// A job that never became a process.
pub fn not_started(job: JobId, why: &str) -> Report {
    Report::JobEnded { job, result: nothing(End::NotStarted(why.to_owned()), now()) }
}

/// A job that may have run.
pub fn lost(job: JobId, at: Timestamp) -> Report {
    Report::JobEnded { job, result: nothing(End::Lost, at) }
}

fn nothing(end: End, at: Timestamp) -> JobResult {
    JobResult {
        end,
        started_at: at,
        ended_at: at,
        tail: String::new(),
        failures: Vec::new(),
        tests_ran: None,
        output_bytes: 0,
        agent: None,
    }
}
