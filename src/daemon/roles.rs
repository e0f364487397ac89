//! Who is behind a connection: a person, a model's session, or an agent of a run. And who may do what.
//!
//! The peer's user must be ours. Its process and all above it are looked at: one that a keeper started carries our
//! marker in its environment, one below a model's session carries that program's. A caller grants itself nothing:
//! what it says of itself is not asked. It may only take rights away: what comes over MCP is a model's call, whoever
//! started the program, and only its form or prompt can be a person's.

use crate::{
    api::{ApiError, Code, Role},
    ids::AttemptId,
};

/// The marker that a keeper puts into the environment of every job.
const JOB_MARKER: &[u8] = b"ORCHESTRATOR_JOB=";

/// Markers that programs running a model's tool calls put into the environment of their commands.
const SESSION_MARKERS: &[&[u8]] = &[b"CLAUDECODE=1", b"CODEX_SANDBOX=", b"GEMINI_CLI=1", b"OPENCODE=1"];

/// How many processes upwards are looked at; deeper than any real tree of shells.
const DEPTH_MAX: usize = 64;

/// Who the peer process is.
pub fn of_process(pid: i32) -> Role {
    peer(pid).0
}

/// Who the peer process is, and, for an agent, of which attempt.
#[cfg(target_os = "linux")]
pub fn peer(pid: i32) -> (Role, Option<AttemptId>) {
    let mut role = Role::Person;
    // Of several marks the outermost counts: that one the keeper gave, any other a job could give to its own children.
    let mut attempt = None;
    let mut current = pid;
    for _ in 0..DEPTH_MAX {
        let environ = std::fs::read(format!("/proc/{current}/environ")).unwrap_or_default();
        for variable in environ.split(|byte| *byte == 0) {
            if let Some(job) = variable.strip_prefix(JOB_MARKER) {
                role = Role::Agent;
                attempt = std::str::from_utf8(job).ok().and_then(|job| job.parse::<AttemptId>().ok());
            }
            if role == Role::Person && SESSION_MARKERS.iter().any(|marker| variable.starts_with(marker)) {
                role = Role::Session;
            }
        }
        // A job that cleared its environment, or outlived its parents, still hangs below its keeper.
        if is_keeper(current) {
            return (Role::Agent, attempt);
        }
        match parent_of(current) {
            Some(parent) if parent > 1 => current = parent,
            _ => break,
        }
    }
    (role, attempt)
}

/// Whether the peer speaks for a host program in front of which a person may sit: it is no agent, and whatever started
/// it is no command of a model's. Claude Code starts its servers with its marker and has none itself; a shell that
/// its model runs has the marker, too, and so has everything below that.
#[cfg(target_os = "linux")]
pub fn vouches(pid: i32) -> bool {
    of_process(pid) != Role::Agent && parent_of(pid).is_some_and(|parent| of_process(parent) == Role::Person)
}

/// Elsewhere nothing is known of the peer's parents, so nobody is taken at their word.
#[cfg(not(target_os = "linux"))]
pub fn vouches(_pid: i32) -> bool {
    false
}

/// Elsewhere the environment of other processes cannot be read this way: the peer's user is all that is known.
#[cfg(not(target_os = "linux"))]
pub fn peer(_pid: i32) -> (Role, Option<AttemptId>) {
    (Role::Person, None)
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
    /// Says something about a task of one's own.
    Own,
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
        (Role::Person, _) | (_, Act::Read | Act::Own) | (Role::Session, Act::Work) => Ok(()),
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

    /// A process that says a byte once it runs, started by a shell with these variables, itself having those.
    #[cfg(target_os = "linux")]
    fn started(shell: &[(&str, &str)], own: &str) -> (std::process::Child, i32) {
        use std::io::{BufRead, BufReader};
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("env {own} sh -c 'echo $$; read line'; true")]);
        command.env_remove("CLAUDECODE").envs(shell.iter().copied());
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("sh is everywhere");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("it was asked for")).read_line(&mut line).expect("it speaks");
        let pid = line.trim().parse().expect("it says its process");
        (child, pid)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_what_a_host_itself_started_speaks_for_a_person() {
        // Below a model's own test run nobody vouches for anything, so there is nothing to compare.
        if of_process(std::process::id() as i32) != Role::Person {
            eprintln!("skipped: this runs below a model's session or an agent");
            return;
        }
        for (shell, own, role, vouched) in [
            (vec![], "CLAUDECODE=1", Role::Session, true),
            (vec![("CLAUDECODE", "1")], "CLAUDECODE=1", Role::Session, false),
            (vec![("CLAUDECODE", "1")], "-i", Role::Session, false),
            (vec![], "CLAUDECODE=1 ORCHESTRATOR_JOB=T-1.1", Role::Agent, false),
            (vec![("ORCHESTRATOR_JOB", "T-1.1")], "CLAUDECODE=1", Role::Agent, false),
            (vec![], "A=1", Role::Person, true),
        ] {
            let (mut child, pid) = started(&shell, own);
            let found = (of_process(pid), vouches(pid));
            // Its standard input closes, and both end.
            drop(child.stdin.take());
            let _ = child.kill();
            let _ = child.wait();
            assert_eq!(found, (role, vouched), "{shell:?} {own}");
        }
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
        let role = peer(child.id() as i32);
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(role, (Role::Agent, Some("T-1.1".parse().unwrap())));
    }
}
