//! Runs git: one clean environment, fixed options, a deadline. Not for deciding what to run.
//!
//! Invariant: nothing inherited from our caller (`GIT_DIR`, `GIT_INDEX_FILE`, …) reaches a git process, and each one
//! that works on a repository is told its directory in `GIT_DIR`, so git never searches upwards and finds a parent.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::LaneError;

/// Limit for commands that read or write a few objects or references.
const QUICK_S: u64 = 120;
/// Limit for commands that go over a whole work tree.
const LONG_S: u64 = 1800;

/// Options that every command gets: no hooks, no signing, no monitors, no housekeeping, no paths relative to what may
/// move; missing large-file filters pass content on instead of failing.
const FIXED: &[&str] = &[
    "--no-pager",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.splitIndex=false",
    // A setting of the user's that makes `git add` refuse files must not keep them out of a snapshot.
    "-c",
    "core.safecrlf=false",
    // Submodules are filled by us, from this machine.
    "-c",
    "submodule.recurse=false",
    // A git that a kill left behind, or another task's, holds a reference's lock for milliseconds.
    "-c",
    "core.filesRefLockTimeout=3000",
    "-c",
    "core.packedRefsTimeout=3000",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "worktree.useRelativePaths=false",
    "-c",
    "filter.lfs.required=false",
    "-c",
    "checkout.workers=0",
    // A power cut must not take back work that the journal calls landed: one flush per process instead of one per object.
    "-c",
    "core.fsync=committed,loose-object,reference",
    "-c",
    "core.fsyncMethod=batch",
];

/// Without git-lfs on the PATH its filters are switched off: git dies when a filter process cannot start, required or not.
const WITHOUT_LFS: &[&str] = &["-c", "filter.lfs.process=", "-c", "filter.lfs.clean=", "-c", "filter.lfs.smudge="];

/// A git program that is new enough.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    has_lfs: bool,
    /// Major and minor version.
    pub version: (u32, u32),
}

#[cfg(test)]
thread_local! {
    /// Git processes started by this thread, so that tests hold the numbers in the folder's table.
    pub(super) static PROCESSES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// What a git process left behind.
#[derive(Debug)]
pub(super) struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// One command on its way to git: arguments, place, index, input, limit.
pub(super) struct Call<'a> {
    git: &'a Git,
    args: Vec<OsString>,
    envs: Vec<(&'static str, OsString)>,
    current_dir: Option<PathBuf>,
    input: Option<Vec<u8>>,
    held: Option<File>,
    limit: Duration,
}

impl Git {
    /// Finds `git` in a PATH value and asks for its version (one process).
    pub fn find(path_var: Option<&OsStr>) -> Result<Git, LaneError> {
        let find = |name: &str| {
            let folders = path_var.into_iter().flat_map(std::env::split_paths);
            folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_absolute() && is_program(candidate))
        };
        let program = find("git").ok_or(LaneError::GitMissing)?;
        let mut git = Git { program, has_lfs: find("git-lfs").is_some(), version: (0, 0) };
        let output = git.call(["version"]).checked()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let found = text.strip_prefix("git version ").unwrap_or(&text).to_owned();
        git.version = version_of(&found).filter(|version| *version >= (2, 38)).ok_or(LaneError::GitTooOld { found })?;
        Ok(git)
    }

    /// A command; nothing is told about where it works.
    pub(super) fn call<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(&self, args: I) -> Call<'_> {
        Call {
            git: self,
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            envs: Vec::new(),
            current_dir: None,
            input: None,
            held: None,
            limit: Duration::from_secs(QUICK_S),
        }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Call<'_> {
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name, value.as_ref().to_owned()));
        self
    }

    /// Where the process starts; git searches for a repository there unless [`Call::git_dir`] names one.
    pub fn cwd(mut self, path: &Path) -> Self {
        self.current_dir = Some(path.to_owned());
        self
    }

    /// The repository.
    pub fn git_dir(self, path: &Path) -> Self {
        let call = self.env("GIT_DIR", path);
        if call.current_dir.is_some() { call } else { call.cwd(path) }
    }

    /// The work tree, which is also where the process starts.
    pub fn work_tree(self, path: &Path) -> Self {
        self.env("GIT_WORK_TREE", path).cwd(path)
    }

    /// A private index. Only here may git write an index for refreshing alone, since nobody else reads it.
    pub fn index(self, path: &Path) -> Self {
        self.env("GIT_INDEX_FILE", path).env("GIT_OPTIONAL_LOCKS", "1")
    }

    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Some(bytes);
        self
    }

    /// A lock that the process shares for as long as it lives, as its standard input: after a kill of ours, the next
    /// one waits for a git that is still writing. Not for calls with input; those end by themselves when it closes.
    pub fn holding(mut self, lock: &File) -> Result<Self, LaneError> {
        self.held = Some(lock.try_clone().map_err(LaneError::io("share the lock for", self.shown()))?);
        Ok(self)
    }

    /// The longer limit, for commands over a whole work tree.
    pub fn long(mut self) -> Self {
        self.limit = Duration::from_secs(LONG_S);
        self
    }

    /// Runs and returns whatever came of it; an error only if it could not run or did not end.
    pub fn run(mut self) -> Result<Output, LaneError> {
        let shown = self.shown();
        let limit = self.limit;
        let mut command = Command::new(&self.git.program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") || name == "LANGUAGE" {
                command.env_remove(name);
            }
        }
        command
            .args(FIXED)
            .args(if self.git.has_lfs { &[][..] } else { WITHOUT_LFS })
            .args(&self.args)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_SEQUENCE_EDITOR", "true")
            .env("GIT_ASKPASS", "true")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_AUTHOR_NAME", "Orchestrator")
            .env("GIT_AUTHOR_EMAIL", "orchestrator@localhost")
            .env("GIT_COMMITTER_NAME", "Orchestrator")
            .env("GIT_COMMITTER_EMAIL", "orchestrator@localhost")
            .envs(self.envs)
            .current_dir(self.current_dir.as_deref().unwrap_or(Path::new("/")))
            .stdin(match (&self.input, self.held.take()) {
                (Some(_), _) => Stdio::piped(),
                (None, Some(lock)) => lock.into(),
                (None, None) => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Own group: a deadline also ends the filters that git started.
            .process_group(0);
        #[cfg(test)]
        PROCESSES.with(|count| count.set(count.get() + 1));
        let started = Instant::now();
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if !self.git.program.exists() => LaneError::GitMissing,
            _ => LaneError::Io { what: "start git in", path: self.current_dir.clone().unwrap_or_default(), source },
        })?;
        let talked = talk(&mut child, self.input.as_deref().unwrap_or_default(), started + limit);
        let (stdout, stderr) = match talked {
            Ok(Some(streams)) => streams,
            Ok(None) | Err(_) => {
                // SAFETY: plain system call; the group is the child's own and the child has not been waited for yet.
                unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
                let _ = child.wait();
                return Err(match talked {
                    Err(source) => LaneError::Io { what: "talk to git for", path: shown.into(), source },
                    _ => LaneError::Timeout { command: shown, limit_s: limit.as_secs() },
                });
            }
        };
        let status = child.wait().map_err(LaneError::io("wait for git for", shown.clone()))?;
        tracing::trace!(command = %shown, code = ?status.code(), ms = started.elapsed().as_millis() as u64, "git");
        Ok(Output { status, stdout, stderr })
    }

    /// Runs; any exit code but 0 is an error.
    pub fn checked(self) -> Result<Output, LaneError> {
        let shown = self.shown();
        let output = self.run()?;
        if output.status.success() { Ok(output) } else { Err(failed(shown, &output)) }
    }

    /// Runs, expects success, and returns the one line that was printed.
    pub fn line(self) -> Result<String, LaneError> {
        let output = self.checked()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }

    pub fn shown(&self) -> String {
        let words: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        words.join(" ").chars().take(300).collect()
    }
}

/// The error for a command that ended badly.
pub(super) fn failed(command: String, output: &Output) -> LaneError {
    let stderr: String = output.stderr_text().chars().take(4000).collect();
    let lock = stderr.split('\'').find(|part| part.ends_with(".lock") && stderr.contains("File exists"));
    match lock {
        Some(path) => LaneError::Locked { path: path.into() },
        None => LaneError::Git { command, code: output.code(), stderr },
    }
}

/// Writes the input and collects both outputs until they close. `None` when the deadline passed.
/// One poll loop instead of three threads: most of our git processes live two milliseconds.
fn talk(child: &mut std::process::Child, input: &[u8], deadline: Instant) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut stdin = child.stdin.take();
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let (mut out, mut err, mut sent) = (Vec::new(), Vec::new(), 0);
    if let Some(pipe) = &stdin {
        nonblocking(pipe.as_raw_fd())?;
    }
    if input.is_empty() {
        stdin = None;
    }
    while stdout.is_some() || stderr.is_some() {
        let fd = |open: Option<i32>, events| libc::pollfd { fd: open.unwrap_or(-1), events, revents: 0 };
        let mut fds = [
            fd(stdin.as_ref().map(|pipe| pipe.as_raw_fd()), libc::POLLOUT),
            fd(stdout.as_ref().map(|pipe| pipe.as_raw_fd()), libc::POLLIN),
            fd(stderr.as_ref().map(|pipe| pipe.as_raw_fd()), libc::POLLIN),
        ];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // SAFETY: `fds` is a live array of three entries for the length of the call; closed ones hold -1.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), 3, left.as_millis().min(i32::MAX as u128) as i32 + 1) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        if fds[0].revents != 0
            && let Some(pipe) = &mut stdin
        {
            match pipe.write(&input[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It stopped reading; its exit code and standard error say why.
                Err(_) => sent = input.len(),
            }
            if sent == input.len() {
                stdin = None;
            }
        }
        if fds[1].revents != 0 && !take(&mut stdout, &mut out)? {
            stdout = None;
        }
        if fds[2].revents != 0 && !take(&mut stderr, &mut err)? {
            stderr = None;
        }
    }
    Ok(Some((out, err)))
}

/// Reads what is there; false at the end of the stream.
fn take(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 65536];
    let Some(pipe) = pipe else { return Ok(false) };
    match pipe.read(&mut chunk) {
        Ok(0) => Ok(false),
        Ok(count) => {
            into.extend_from_slice(&chunk[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}

fn nonblocking(fd: i32) -> io::Result<()> {
    // SAFETY: plain system calls on a descriptor that the caller keeps open.
    let done = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        flags >= 0 && libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) >= 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_every_vendor_form() {
        assert_eq!(version_of("2.47.3"), Some((2, 47)));
        assert_eq!(version_of("2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version_of("2.38.GIT"), Some((2, 38)));
        assert_eq!(version_of("unknown"), None);
    }

    #[test]
    fn a_command_that_hangs_is_ended_at_its_limit_with_its_children() {
        let git = Git::find(std::env::var_os("PATH").as_deref()).unwrap();
        let mut call = git.call(["-c", "alias.hang=!sleep 1000", "hang"]).cwd(Path::new("/"));
        call.limit = Duration::from_millis(200);
        let started = Instant::now();
        assert!(matches!(call.run(), Err(LaneError::Timeout { .. })));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn large_input_and_output_pass_at_the_same_time() {
        let git = Git::find(std::env::var_os("PATH").as_deref()).unwrap();
        let input = vec![b'x'; 3_000_000];
        let output = git.call(["stripspace"]).input(input.clone()).checked().unwrap();
        assert_eq!(output.stdout.len(), input.len() + 1);
    }
}
