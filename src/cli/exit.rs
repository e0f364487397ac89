//! How the command ends: its exit status, and the errors that lead there.

use std::{fmt, io};

use jsonrpsee::core::client;

use crate::{
    api::{ApiError, Code, Outcome},
    client::ConnectError,
};

/// The exit statuses, as documented on the first page of help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Completed = 0,
    /// Failed, or only partly done, or not done yet.
    Failed = 1,
    /// The command line or the plan was refused.
    Usage = 2,
    /// Stopped at an open decision.
    Decision = 3,
    /// Cancelled.
    Cancelled = 4,
    /// The daemon or its store cannot be used.
    Daemon = 5,
    /// Whoever read our output is gone: the status of a process killed by SIGPIPE, as other tools have it.
    Pipe = 141,
}

impl Exit {
    /// The status of a run that ended.
    pub fn of_outcome(outcome: Outcome) -> Exit {
        match outcome {
            Outcome::Completed => Exit::Completed,
            Outcome::Partial | Outcome::Failed => Exit::Failed,
            Outcome::Cancelled => Exit::Cancelled,
        }
    }
}

/// Why a verb could not do its work.
#[derive(Debug)]
pub enum CliError {
    /// Refused, by us or by the daemon.
    Api(ApiError),
    /// Reading or writing failed.
    Io {
        /// What we were doing.
        doing: String,
        /// What the system said.
        error: io::Error,
    },
    /// Whoever read our output is gone: nothing to say, and nobody to say it to.
    Pipe,
}

impl CliError {
    /// A mistake on the command line that clap cannot see.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::Api(ApiError::new(Code::Invalid, message, hint))
    }

    /// Reading or writing failed while doing this.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> CliError {
        let doing = doing.into();
        move |error| CliError::Io { doing, error }
    }

    /// The exit status it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Api(error) => match error.code {
                Code::Invalid | Code::NotFound | Code::Cycle | Code::Untrusted => Exit::Usage,
                Code::Stale | Code::AlreadyDecided | Code::Forbidden | Code::Budget => Exit::Failed,
                Code::Unavailable | Code::Internal => Exit::Daemon,
            },
            CliError::Io { .. } => Exit::Failed,
            CliError::Pipe => Exit::Pipe,
        }
    }

    /// The error as a client of the daemon would see it.
    pub fn to_api(&self) -> ApiError {
        match self {
            CliError::Api(error) => error.clone(),
            CliError::Io { .. } | CliError::Pipe => ApiError::new(Code::Unavailable, self.to_string(), ""),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Api(error) => error.fmt(f),
            CliError::Io { doing, error } => write!(f, "{doing}: {error}"),
            CliError::Pipe => f.write_str("the reader of our output is gone"),
        }
    }
}

impl std::error::Error for CliError {}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> CliError {
        CliError::Api(error)
    }
}

impl From<client::Error> for CliError {
    fn from(error: client::Error) -> CliError {
        CliError::Api(error.into())
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> CliError {
        CliError::Api(error.0)
    }
}

/// What we write goes to the console, so an unnamed failure is one of writing there.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::Pipe,
            _ => CliError::Io { doing: "cannot write the output".into(), error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_quiet_and_a_refused_plan_is_usage() {
        let gone: CliError = io::Error::from(io::ErrorKind::BrokenPipe).into();
        assert_eq!(gone.exit(), Exit::Pipe);
        assert_eq!(CliError::from(ApiError::new(Code::Cycle, "a -> b -> a", "")).exit(), Exit::Usage);
        assert_eq!(CliError::from(ApiError::new(Code::Unavailable, "no daemon", "")).exit(), Exit::Daemon);
        assert_eq!(Exit::of_outcome(Outcome::Partial), Exit::Failed);
    }
}
