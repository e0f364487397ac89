//! Where the demo plays: a temporary folder with a repository, places and a daemon of its own, and their removal.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use super::Exit;
use crate::{
    api::DaemonStatus,
    daemon::agents::keeper::{LogEntry, read_log},
    ids::RunId,
};

/// Between two looks at something that is about to happen in another process.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The longest that one command of the demo may take.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// How long daemon and keeper get to end once they are told to.
const END_MAX: Duration = Duration::from_secs(10);

/// A folder whose name is longer leaves no room for the socket's path below it.
const FOLDER_BYTES_MAX: usize = 40;

/// Why the demo ends early.
#[derive(Debug)]
pub enum Trouble {
    /// A claim does not hold.
    Refuted(String),
    /// Something could not be done.
    Failed(String),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads our output any more.
    Pipe,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Trouble::Pipe,
            _ => Trouble::Failed(error.to_string()),
        }
    }
}

/// Set by Ctrl-C and SIGTERM: the demo then ends at its next look, and cleans up.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupted(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether a process of this id runs.
pub fn alive(pid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    pid > 0 && unsafe { libc::kill(pid, 0) } == 0
}

/// The temporary folder and everything that plays in it.
pub struct Stage {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
    exe: PathBuf,
    daemons: Vec<i32>,
    runs: Vec<RunId>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // `close` has done it by now, except where the demo panicked.
        let _ = self.close();
    }
}

impl Stage {
    /// Makes the folder. Nothing runs yet.
    pub fn new() -> Result<Stage, Trouble> {
        let temp = std::env::temp_dir().canonicalize()?;
        let base =
            if temp.as_os_str().len() <= FOLDER_BYTES_MAX { temp } else { PathBuf::from("/tmp").canonicalize()? };
        let folder = tempfile::Builder::new().prefix("orchestrator-demo-").tempdir_in(base)?;
        let exe = crate::daemon::own_program()?;
        let path = folder.path().to_owned();
        let stage = Stage { folder: Some(folder), path, exe, daemons: Vec::new(), runs: Vec::new() };
        for folder in ["state", "run", "home", "repo"] {
            stage.make_folder(folder)?;
        }
        // Room for six lanes beside the one in which the untouched base is checked.
        stage.write("config/orchestrator/config.toml", "[lanes]\nmax = 8\n[daemon]\nidle_exit_s = 30\n")?;
        let act: extern "C" fn(libc::c_int) = interrupted;
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: the handler only stores to an atomic, which is safe at any moment.
            unsafe { libc::signal(signal, act as libc::sighandler_t) };
        }
        Ok(stage)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Every daemon that there was.
    pub fn daemons(&self) -> &[i32] {
        &self.daemons
    }

    /// A run was begun: should the demo end early, it is cancelled.
    pub fn begun(&mut self, run: RunId) {
        self.runs.push(run);
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let inherited = ["PATH", "LANG", "LC_ALL", "TZ"];
        command.env_clear().envs(inherited.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
            .env("HOME", self.path.join("home"))
            .env("TMPDIR", self.path.join("tmp"))
            .env("XDG_STATE_HOME", self.path.join("state"))
            .env("XDG_RUNTIME_DIR", self.path.join("run"))
            .env("XDG_CONFIG_HOME", self.path.join("config"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.path.join("repo"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; its status and standard output.
    fn finish(&self, mut command: Command, what: &str) -> Result<(Option<i32>, String, String), Trouble> {
        let (out, err) = (tempfile::tempfile_in(&self.path)?, tempfile::tempfile_in(&self.path)?);
        let failed = |error: io::Error| Trouble::Failed(format!("{what}: {error}"));
        let mut child = command.stdout(out.try_clone()?).stderr(err.try_clone()?).spawn().map_err(failed)?;
        let deadline = Instant::now() + COMMAND_MAX;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if Instant::now() > deadline || INTERRUPTED.load(Ordering::Relaxed) {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                self.interrupted()?;
                return Err(Trouble::Failed(format!("{what} took more than {} s", COMMAND_MAX.as_secs())));
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        Ok((status.code(), text_of(out)?, text_of(err)?))
    }

    /// Runs this program with arguments; its standard output. Any exit status but the expected ones is trouble.
    pub fn run(&self, arguments: &[&str], expected: &[Exit]) -> Result<String, Trouble> {
        self.interrupted()?;
        let mut command = self.command(&self.exe);
        command.args(arguments);
        let what = format!("orchestrator {}", arguments.join(" "));
        let (code, out, err) = self.finish(command, &what)?;
        if expected.iter().any(|exit| Some(*exit as i32) == code) {
            return Ok(out);
        }
        self.interrupted()?;
        let said = if err.trim().is_empty() { out } else { err };
        Err(Trouble::Failed(format!("`{what}` ended with {code:?}: {}", said.trim())))
    }

    /// The same with `--json`: the last object that it printed.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str], expected: &[Exit]) -> Result<T, Trouble> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let out = self.run(&arguments, expected)?;
        let last = out.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|error| {
            Trouble::Failed(format!("`orchestrator {}` printed no such object: {error}", arguments.join(" ")))
        })
    }

    /// Runs git in the repository; its standard output.
    pub fn git(&self, arguments: &[&str]) -> Result<String, Trouble> {
        let mut command = self.command(Path::new("git"));
        command.args(arguments);
        let what = format!("git {}", arguments.join(" "));
        match self.finish(command, &what)? {
            (Some(0), out, _) => Ok(out),
            (code, _, err) => Err(Trouble::Failed(format!("`{what}` ended with {code:?}: {}", err.trim()))),
        }
    }

    /// Whether the repository's check passes in the checkout.
    pub fn check_passes(&self) -> Result<bool, Trouble> {
        let mut command = self.command(Path::new("sh"));
        command.arg("check.sh");
        Ok(self.finish(command, "sh check.sh")?.0 == Some(0))
    }

    /// Whether Ctrl-C was pressed.
    fn interrupted(&self) -> Result<(), Trouble> {
        if INTERRUPTED.load(Ordering::Relaxed) { Err(Trouble::Interrupted) } else { Ok(()) }
    }

    /// Waits for something that another process does.
    pub fn wait(&self, what: &str, longest: Duration, mut done: impl FnMut(&Stage) -> bool) -> Result<(), Trouble> {
        let deadline = Instant::now() + longest;
        while !done(self) {
            self.interrupted()?;
            if Instant::now() > deadline {
                return Err(Trouble::Failed(format!("waited {} s in vain for {what}", longest.as_secs())));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// A line from the terminal; `None` at its end. Ctrl-C is heard meanwhile.
    pub fn read_line(&self) -> Result<Option<String>, Trouble> {
        let mut input = libc::pollfd { fd: io::stdin().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll reads and writes the one entry, which lives for the call.
        while unsafe { libc::poll(&mut input, 1, 100) } <= 0 {
            self.interrupted()?;
        }
        let mut line = String::new();
        Ok(if io::stdin().read_line(&mut line)? == 0 { None } else { Some(line) })
    }

    /// Asks the daemon who it is. One that is not this demo's is never touched.
    pub fn note_daemon(&mut self) -> Result<i32, Trouble> {
        let status: DaemonStatus = self.json(&["daemon", "status"], &[Exit::Completed])?;
        if !Path::new(&status.socket).starts_with(&self.path) {
            let what = format!("the demo reached a daemon that is not its own, at {}", status.socket);
            return Err(Trouble::Failed(what));
        }
        let pid = i32::try_from(status.pid).map_err(|error| Trouble::Failed(error.to_string()))?;
        if !self.daemons.contains(&pid) {
            self.daemons.push(pid);
        }
        Ok(pid)
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill_daemon(&self, pid: i32) -> Result<(), Trouble> {
        signal(pid, libc::SIGKILL)?;
        self.wait("the daemon's end", END_MAX, |_| !alive(pid))
    }

    /// Writes a plan and gives its path.
    pub fn write_plan(&self, name: &str, plan: &serde_json::Value) -> Result<String, Trouble> {
        self.write(&format!("{name}.json"), &plan.to_string())?;
        Ok(self.plan(name))
    }

    /// The path of a plan.
    pub fn plan(&self, name: &str) -> String {
        self.path.join(format!("{name}.json")).display().to_string()
    }

    /// A path below the folder as one word of `sh`.
    pub fn quoted(&self, path: &str) -> String {
        format!("'{}'", self.path.join(path).display().to_string().replace('\'', r"'\''"))
    }

    /// Makes a folder.
    pub fn make_folder(&self, path: &str) -> Result<(), Trouble> {
        Ok(fs::create_dir_all(self.path.join(path))?)
    }

    /// Writes a file, with the folders it needs.
    pub fn write(&self, path: &str, text: &str) -> Result<(), Trouble> {
        let path = self.path.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        Ok(fs::write(path, text)?)
    }

    /// Makes an empty file.
    pub fn touch(&self, path: &str) -> Result<(), Trouble> {
        self.write(path, "")
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> Result<String, Trouble> {
        Ok(fs::read_to_string(self.path.join(path))?)
    }

    /// The lines of a file; none where it is not there yet.
    pub fn lines(&self, path: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path.join(path)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The names in a folder.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path.join(path)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Every file of the checkout with its content.
    pub fn tree(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, Trouble> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path.join("repo")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                match entry.file_type()? {
                    kind if kind.is_dir() && entry.file_name() != ".git" => folders.push(entry.path()),
                    kind if kind.is_file() => drop(files.insert(entry.path(), fs::read(entry.path())?)),
                    _ => {}
                }
            }
        }
        Ok(files)
    }

    /// Ends everything that plays here and removes the folder. Only processes of this stage are ever signalled.
    pub fn close(&mut self) -> Result<(), Trouble> {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        let early = INTERRUPTED.swap(false, Ordering::Relaxed);
        // Where the demo ended early, tasks may still wait for something that will never come.
        for run in std::mem::take(&mut self.runs) {
            let _ = self.run(&["cancel", &run.to_string()], &[]);
        }
        let socket = self.path.join("run/orchestrator/daemon.sock");
        if UnixStream::connect(&socket).is_ok()
            && let Ok(pid) = self.note_daemon()
        {
            signal(pid, libc::SIGTERM)?;
            if self.wait("the daemon's end", END_MAX, |_| !alive(pid)).is_err() {
                signal(pid, libc::SIGKILL)?;
            }
        }
        // A keeper ends by itself some time after its last job; here it is told to.
        let workspaces = fs::read_dir(self.path.join("state/orchestrator/workspaces"));
        for keeper in workspaces.into_iter().flatten().flatten().map(|entry| entry.path().join("keeper")) {
            for number in [libc::SIGTERM, libc::SIGKILL] {
                // Whoever holds the lock wrote the log's newest name.
                let last = read_log(&keeper).into_iter().rev().find_map(|entry| match entry {
                    LogEntry::Keeper { pid, .. } => Some(pid),
                    _ => None,
                });
                if let Some(pid) = last.filter(|_| held(&keeper)) {
                    signal(pid, number)?;
                    let _ = self.wait("the keeper's end", END_MAX, |_| !held(&keeper));
                }
            }
        }
        folder.close()?;
        if early { Err(Trouble::Interrupted) } else { Ok(()) }
    }
}

/// Whether a keeper has its lock.
fn held(keeper: &Path) -> bool {
    let Ok(lock) = fs::File::open(keeper.join("keeper.lock")) else { return false };
    // SAFETY: flock on a descriptor that is ours for the call; closing it gives the lock back.
    unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) != 0 }
}

fn signal(pid: i32, signal: libc::c_int) -> Result<(), Trouble> {
    // SAFETY: kill has no preconditions; `pid` is positive, so it is one process.
    if pid > 0 && unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // It is gone already.
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(Trouble::Failed(format!("process {pid} cannot be signalled: {error}"))),
    }
}

fn text_of(mut file: fs::File) -> io::Result<String> {
    use io::{Read, Seek};
    file.flush()?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
