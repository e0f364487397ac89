//! What the daemon and the keeper say to each other: one JSON value per line, both ways.
//!
//! The same types are the lines of the keeper's log. Nothing here does anything.
//!
//! Compatibility: a field may be added with a default; anything else raises [`VERSION`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of this protocol.
pub const VERSION: u32 = 1;

/// How much of the output's end travels in [`Ended::tail`], in bytes.
pub const TAIL_BYTES: usize = 2048;

/// What the daemon tells the keeper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Must be the first line of a connection; answered by [`Notice::Welcome`].
    Hello {
        /// The protocol version that the daemon speaks.
        version: u32,
    },
    /// Defines an environment that jobs refer to. Defining an id again changes only jobs ordered later.
    Env {
        /// What jobs call it.
        id: u32,
        /// Every variable there is; nothing is inherited from the keeper.
        vars: Vec<(String, String)>,
        /// The only places that its jobs may write to, where the system can see to that; `None` = anywhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        writable: Option<Vec<PathBuf>>,
    },
    /// Sets how many jobs of a group run at once; 0 holds the group. Without it, one per processor.
    Limit {
        /// The group, as in [`Job::group`].
        group: u32,
        /// Jobs at once.
        slots: u32,
    },
    /// Starts a job, or queues it behind its group's limit. A job that is already known is not started again.
    Start(Job),
    /// Ends a job: SIGTERM to all its processes, SIGKILL after the grace.
    Cancel {
        /// The job.
        id: String,
        /// Milliseconds between the two signals.
        grace_ms: u64,
    },
    /// Says that results are stored and may be forgotten.
    Ack {
        /// By job.
        #[serde(default)]
        ids: Vec<String>,
        /// Every result up to and including this [`Ended::seq`].
        #[serde(default)]
        up_to: Option<u64>,
    },
    /// Cancels everything, reports it and ends the keeper.
    Stop,
}

/// One command to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Unique per attempt, e.g. `T-42.2` or `T-42.2/v1`.
    pub id: String,
    /// Whose parallelism limit counts.
    #[serde(default)]
    pub group: u32,
    /// The program and its arguments; no shell. A program without a slash is looked up in the job's PATH.
    pub argv: Vec<String>,
    /// The directory to run in; absolute.
    pub cwd: PathBuf,
    /// The environment, as defined by [`Order::Env`].
    pub env: u32,
    /// More variables; they win over the environment's.
    #[serde(default)]
    pub extra_env: Vec<(String, String)>,
    /// Milliseconds the job may run.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Milliseconds the job may print nothing.
    #[serde(default)]
    pub silence_ms: Option<u64>,
    /// Milliseconds between SIGTERM and SIGKILL where a limit above ends the job.
    pub grace_ms: u64,
    /// Where stdout and stderr go, in the order they came; created only when there is output.
    pub log: PathBuf,
    /// Bytes of output kept from the start, and as many again from the end.
    #[serde(default = "default_cap_bytes")]
    pub cap_bytes: u64,
}

/// The default of [`Job::cap_bytes`]: 1 MiB.
pub fn default_cap_bytes() -> u64 {
    1 << 20
}

/// What the keeper tells the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The answer to [`Order::Hello`]: everything the keeper knows.
    Welcome {
        /// The protocol version that the keeper speaks.
        version: u32,
        /// The keeper's process id.
        pid: i32,
        /// Jobs that have processes.
        running: Vec<RunningJob>,
        /// Jobs that wait behind their group's limit, by group and order.
        queued: Vec<String>,
        /// Results that nobody acknowledged yet, oldest first.
        ended: Vec<Ended>,
    },
    /// A job has been running for a moment. Jobs that end sooner are only reported as ended.
    Started(RunningJob),
    /// A running job printed; at most once a second.
    Output {
        /// The job.
        id: String,
        /// Bytes printed so far.
        bytes: u64,
    },
    /// A job is over and none of its processes is left.
    Ended(Ended),
    /// An order could not be taken.
    Refused {
        /// The job it was about, or empty.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// The connection is gone (made by the daemon's side, never sent). Connect again: nothing was lost.
    #[serde(skip)]
    Gone,
}

/// A job that has processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningJob {
    /// The job.
    pub id: String,
    /// Its first process, which leads a process group of its own.
    pub pid: i32,
    /// Wall-clock milliseconds since 1970.
    pub started_at_ms: u64,
}

/// How a job ended, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Counts results; only ever grows within one log.
    pub seq: u64,
    /// The job.
    pub id: String,
    /// How.
    pub end: End,
    /// Wall-clock milliseconds since 1970; equal to the end where it never started.
    pub started_at_ms: u64,
    /// Wall-clock milliseconds since 1970.
    pub ended_at_ms: u64,
    /// Bytes printed.
    pub output_bytes: u64,
    /// Bytes printed that are not in the log.
    pub dropped_bytes: u64,
    /// The end of the output, as text.
    pub tail: String,
    /// Processor time of the job and of those descendants it waited for.
    pub cpu_ms: u64,
    /// The largest resident size of one of these processes.
    pub max_rss_kb: u64,
    /// Descendants that outlived the first process and were killed.
    pub swept: u32,
}

/// The ways a job can end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code.
    Exit(i32),
    /// By a signal that the keeper did not send.
    Signal {
        /// Which.
        number: i32,
        /// Whether it left a core file.
        core: bool,
    },
    /// Ended for running longer than [`Job::timeout_ms`].
    Timeout,
    /// Ended for printing nothing for [`Job::silence_ms`].
    Silent,
    /// Ended, or taken from the queue, on request.
    Cancelled,
    /// There never was a process.
    NotStarted {
        /// The kind of trouble.
        reason: NotStarted,
        /// What is wrong and what to do.
        message: String,
    },
    /// It was started and nobody saw it end: it may have run in part or whole.
    Lost,
}

/// Why a job could not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotStarted {
    /// There is no such program, or its interpreter is missing.
    NotFound,
    /// The file is there but cannot be run.
    NotExecutable,
    /// The working directory cannot be entered.
    BadCwd,
    /// Anything else, e.g. too many processes.
    Other,
}

/// Writes `value` as one line.
pub fn push_line<T: Serialize>(line: &mut Vec<u8>, value: &T) -> Result<(), serde_json::Error> {
    let start = line.len();
    match serde_json::to_writer(&mut *line, value) {
        Ok(()) => {
            line.push(b'\n');
            Ok(())
        }
        Err(error) => {
            // A half-written line would spoil the next one.
            line.truncate(start);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_and_defaults_hold() {
        let text = r#"{"start":{"id":"T-1.1","argv":["true"],"cwd":"/","env":1,"grace_ms":5,"log":"/tmp/l"}}"#;
        let Order::Start(job) = serde_json::from_str(text).unwrap() else { panic!("not a start") };
        assert_eq!((job.group, job.cap_bytes, job.timeout_ms), (0, 1 << 20, None));
        let mut line = Vec::new();
        push_line(&mut line, &Order::Stop).unwrap();
        push_line(&mut line, &Order::Start(job.clone())).unwrap();
        let back: Vec<Order> = line.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
        assert_eq!(back, [Order::Stop, Order::Start(job)]);
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_no_trace() {
        use std::os::unix::ffi::OsStringExt;
        let log = PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff]));
        let text = r#"{"id":"a","argv":["true"],"cwd":"/","env":1,"grace_ms":5,"log":""}"#;
        let job = Job { log, ..serde_json::from_str(text).unwrap() };
        let mut line = b"before\n".to_vec();
        assert!(push_line(&mut line, &Order::Start(job)).is_err());
        assert_eq!(line, b"before\n");
    }
}
