//! Jobs: the processes that a keeper starts for the core, and every way one can end.
//!
//! A job's id says what it is for, so that a result finds its way home also after a restart.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    agent::{AgentEnd, AgentOrder},
    plan::spec::Argv,
};
use crate::{
    ids::{AttemptId, LaneId, RunId},
    time::Timestamp,
};

/// What a job is for. Printing and parsing are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobId {
    /// The attempt's own command: `T-42.2`.
    Attempt(AttemptId),
    /// The attempt's check of this number, in its lane: `T-42.2/v0`.
    Check(AttemptId, u32),
    /// The same check on the tree merged with what landed meanwhile: `T-42.2/m0`.
    Merged(AttemptId, u32),
    /// Asks whether an effect outside is there: `T-42.2/p`.
    Probe(AttemptId),
    /// Takes an effect outside back: `T-42.2/c`.
    Compensate(AttemptId),
    /// A check of the untouched base: `R-3/b0`.
    Baseline(RunId, u32),
    /// A check of the final tree: `R-3/f0`.
    Final(RunId, u32),
    /// Makes a new lane ready: `L-2/s17`. The number tells one making of the lane from another. Not the core's: it is
    /// part of laying the lane out.
    Setup(LaneId, u64),
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobId::Attempt(attempt) => write!(f, "{attempt}"),
            JobId::Check(attempt, index) => write!(f, "{attempt}/v{index}"),
            JobId::Merged(attempt, index) => write!(f, "{attempt}/m{index}"),
            JobId::Probe(attempt) => write!(f, "{attempt}/p"),
            JobId::Compensate(attempt) => write!(f, "{attempt}/c"),
            JobId::Baseline(run, index) => write!(f, "{run}/b{index}"),
            JobId::Final(run, index) => write!(f, "{run}/f{index}"),
            JobId::Setup(lane, number) => write!(f, "{lane}/s{number}"),
        }
    }
}

impl FromStr for JobId {
    type Err = String;
    fn from_str(text: &str) -> Result<JobId, String> {
        let bad = || format!("{text:?} is not a job id");
        let Some((owner, part)) = text.split_once('/') else {
            return text.parse().map(JobId::Attempt).map_err(|_| bad());
        };
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| bad());
        if let Ok(attempt) = owner.parse::<AttemptId>() {
            return match part.as_bytes() {
                b"p" => Ok(JobId::Probe(attempt)),
                b"c" => Ok(JobId::Compensate(attempt)),
                [b'v', ..] => Ok(JobId::Check(attempt, number(&part[1..])?)),
                [b'm', ..] => Ok(JobId::Merged(attempt, number(&part[1..])?)),
                _ => Err(bad()),
            };
        }
        if let (Ok(lane), Some(number)) = (owner.parse::<LaneId>(), part.strip_prefix('s')) {
            return number.parse().map(|number| JobId::Setup(lane, number)).map_err(|_| bad());
        }
        let run = owner.parse::<RunId>().map_err(|_| bad())?;
        match part.as_bytes() {
            [b'b', ..] => Ok(JobId::Baseline(run, number(&part[1..])?)),
            [b'f', ..] => Ok(JobId::Final(run, number(&part[1..])?)),
            _ => Err(bad()),
        }
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// An order to start a job. Sending it twice starts it once: the keeper knows it by its id.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOrder {
    /// What it is for.
    pub id: JobId,
    /// The run whose parallelism it counts against.
    pub run: RunId,
    /// The command.
    pub argv: Argv,
    /// The lane it works in.
    pub lane: LaneId,
    /// Folder inside the lane; empty = its root.
    pub cwd: String,
    /// Added to the run's environment.
    pub env: BTreeMap<String, String>,
    /// Wall-clock limit, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Limit without output, milliseconds.
    pub silence_ms: Option<u64>,
    /// Whether it may write to its lane only, and to what builds need beside it, where the system can see to that.
    pub confined: bool,
    /// Where it is an agent's attempt: what it is told. `argv` is then its driver's business.
    pub agent: Option<Box<AgentOrder>>,
}

/// Every way a process can end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// We ended it: wall-clock limit.
    Timeout,
    /// We ended it: no output for too long.
    Silent,
    /// We ended it: somebody cancelled.
    Cancelled,
    /// It never was a process.
    NotStarted(String),
    /// It spoke, but not as agreed.
    Garbled(String),
    /// It may have run: the machine or its keeper went down.
    Lost,
}

impl End {
    /// Whether it ended well.
    pub fn success(&self) -> bool {
        *self == End::Exit(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exit(code) => write!(f, "exit:{code}"),
            End::Signal(signal) => write!(f, "signal:{signal}"),
            End::Timeout => f.write_str("timeout"),
            End::Silent => f.write_str("silent"),
            End::Cancelled => f.write_str("cancelled"),
            End::NotStarted(_) => f.write_str("not_started"),
            End::Garbled(_) => f.write_str("garbled"),
            End::Lost => f.write_str("lost"),
        }
    }
}

/// What a keeper says of a job that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct JobResult {
    /// How it ended.
    pub end: End,
    /// When the process began.
    pub started_at: Timestamp,
    /// When nothing of it was left.
    pub ended_at: Timestamp,
    /// The last of its output, at most 2 KiB.
    pub tail: String,
    /// Names of failed tests found in the whole kept output; only for checks.
    pub failures: Vec<String>,
    /// How many tests its output says were run; only for checks.
    pub tests_ran: Option<u32>,
    /// Bytes it printed.
    pub output_bytes: u64,
    /// What its agent said of the end, where it was one's.
    pub agent: Option<Box<AgentEnd>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;

    #[test]
    fn job_ids_print_and_parse() {
        let attempt = AttemptId { task: TaskId(42), generation: 2 };
        for job in [
            JobId::Attempt(attempt),
            JobId::Check(attempt, 0),
            JobId::Merged(attempt, 11),
            JobId::Probe(attempt),
            JobId::Compensate(attempt),
            JobId::Baseline(RunId(3), 0),
            JobId::Final(RunId(3), 1),
            JobId::Setup(LaneId(2), 1_800_000_000_000_000),
        ] {
            assert_eq!(job.to_string().parse(), Ok(job));
        }
        for text in ["", "T-1", "T-1.1/x", "T-1.1/v", "R-1/v0", "R-1", "T-1.1/p1", "T-1.1/v-1"] {
            assert!(text.parse::<JobId>().is_err(), "{text:?} was taken for a job id");
        }
    }
}
