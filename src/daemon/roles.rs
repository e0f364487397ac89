//! Who is behind a connection: a person, a model's session, or an agent of a run. And who may do what.
//!
//! The peer's user must be ours. Its process and all above it are looked at: one that a keeper started carries our
//! marker in its environment, one below a model's session carries that program's. A caller grants itself nothing:
//! what it says of itself is not asked.

use crate::api::{ApiError, Code, Role};

/// The marker that a keeper puts into the environment of every job.
const JOB_MARKER: &[u8] = b"ORCHESTRATOR_JOB=";

/// Markers that programs running a model's tool calls put into the environment of their commands.
const SESSION_MARKERS: &[&[u8]] = &[b"CLAUDECODE=1", b"CODEX_SANDBOX=", b"GEMINI_CLI=1", b"OPENCODE=1"];

/// How many processes upwards are looked at; deeper than any real tree of shells.
const DEPTH_MAX: usize = 64;

/// Who the peer process is.
#[cfg(target_os = "linux")]
pub fn of_process(pid: i32) -> Role {
    let mut role = Role::Person;
    let mut current = pid;
    for _ in 0..DEPTH_MAX {
        let environ = std::fs::read(format!("/proc/{current}/environ")).unwrap_or_default();
        for variable in environ.split(|byte| *byte == 0) {
            if variable.starts_with(JOB_MARKER) {
                return Role::Agent;
            }
            if SESSION_MARKERS.iter().any(|marker| variable.starts_with(marker)) {
                role = Role::Session;
            }
        }
        // A job that cleared its environment, or outlived its parents, still hangs below its keeper.
        if is_keeper(current) {
            return Role::Agent;
        }
        match parent_of(current) {
            Some(parent) if parent > 1 => current = parent,
            _ => break,
        }
    }
    role
}

/// Elsewhere the environment of other processes cannot be read this way: the peer's user is all that is known.
#[cfg(not(target_os = "linux"))]
pub fn of_process(_pid: i32) -> Role {
    Role::Person
}

/// Whether a process is one of our keepers, of whatever version. Who only looks like one may do less, never more.
#[cfg(target_os = "linux")]
fn is_keeper(pid: i32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"keeper") && words.next().is_some_and(|dir| dir.starts_with(b"/"))
}

#[cfg(target_os = "linux")]
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything; what follows the last bracket is plain.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What a call does, for the question who may make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Looks.
    Read,
    /// Starts, stops or answers work, or brings a result home.
    Work,
    /// Is a person's alone: trust, and ending the daemon.
    Govern,
}

/// Refuses what this role may not do.
pub fn allow(role: Role, act: Act) -> Result<(), ApiError> {
    let refused = |who: &str| {
        let message = format!("{who} may not do this");
        Err(ApiError::new(Code::Forbidden, message, "a person can do it in a terminal of their own"))
    };
    match (role, act) {
        (Role::Person, _) | (_, Act::Read) | (Role::Session, Act::Work) => Ok(()),
        (Role::Session, Act::Govern) => refused("a model's session"),
        (Role::Agent, Act::Work | Act::Govern) => refused("an agent of a run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_only_looks() {
        assert!(allow(Role::Agent, Act::Read).is_ok());
        assert_eq!(allow(Role::Agent, Act::Work).unwrap_err().code, Code::Forbidden);
        assert_eq!(allow(Role::Session, Act::Govern).unwrap_err().code, Code::Forbidden);
        assert!(allow(Role::Person, Act::Govern).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_with_the_marker_is_an_agent() {
        use std::io::Read;
        let mut child = std::process::Command::new("sh")
            .args(["-c", "echo; read line"])
            .env("ORCHESTRATOR_JOB", "T-1.1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh is everywhere");
        // Its environment can be read once it runs, which is a moment after it was started.
        child.stdout.as_mut().expect("it was asked for").read_exact(&mut [0]).expect("it speaks");
        let role = of_process(child.id() as i32);
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(role, Role::Agent);
    }
}
