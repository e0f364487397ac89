//! A user of their own for one test: folders, a repository, the program, and a hand-written client of the socket.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Nothing here takes longer unless it hangs.
const HANGS_AFTER: Duration = Duration::from_secs(90);

/// Where the tools are.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a verb said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The last wire object printed.
    pub fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_else(|| panic!("nothing was printed: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// Output and errors together.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Said {
        assert!(self.all().contains(words), "{words:?} is not said:\n{}", self.all());
        self
    }
}

/// A process of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    pub command: String,
}

impl Process {
    pub fn is_daemon(&self) -> bool {
        self.command.ends_with("daemon run")
    }

    pub fn is_keeper(&self) -> bool {
        self.command.contains(" keeper /")
    }

    /// One that serves an editor or a model's host.
    pub fn is_front_end(&self) -> bool {
        self.command.ends_with("--lsp") || self.command.ends_with("--mcp")
    }
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may contain anything: the state, then the parent (proc_pid_stat(5)).
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Folders of its own, and everything that was started in them.
pub struct Sandbox {
    owner: Option<tempfile::TempDir>,
    pub root: PathBuf,
    pub repo: PathBuf,
    pub state: PathBuf,
    pub runtime: PathBuf,
    pub config: PathBuf,
    pub home: PathBuf,
}

impl Sandbox {
    /// With a repository of two files and one commit.
    pub fn new() -> Sandbox {
        let sandbox = Sandbox::empty();
        sandbox.git_in(&sandbox.root, &["init", "-q", "-b", "main", "repo"]);
        sandbox.write("README.md", "one\ntwo\nthree\n");
        sandbox.write("src/lib.txt", "a\nb\nc\nd\ne\n");
        sandbox.git(&["add", "-A"]);
        sandbox.git(&["commit", "-q", "-m", "first"]);
        sandbox
    }

    /// With folders only; `repo` is for the test to make.
    pub fn empty() -> Sandbox {
        let owner = tempfile::Builder::new().prefix("orc").tempdir_in("/tmp").unwrap();
        let root = owner.path().canonicalize().unwrap();
        let sandbox = Sandbox {
            repo: root.join("repo"),
            state: root.join("state"),
            runtime: root.join("run"),
            config: root.join("config"),
            home: root.join("home"),
            root,
            owner: Some(owner),
        };
        for folder in [&sandbox.repo, &sandbox.state, &sandbox.runtime, &sandbox.config, &sandbox.home] {
            fs::create_dir_all(folder).unwrap();
        }
        sandbox.configure("");
        sandbox
    }

    /// Writes `config.toml`: fast retries, and what the test wants beside.
    pub fn configure(&self, more: &str) {
        let folder = self.config.join("orchestrator");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), format!("[retry]\nbase_s = 0.01\ncap_s = 0.05\n{more}\n")).unwrap();
    }

    /// The program with these arguments, in the repository.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_orchestrator")), arguments)
    }

    /// Any program, in the repository and with the sandbox's environment.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.repo).env_clear();
        for (name, value) in self.env() {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C and the like of whoever runs the tests must reach the tests only.
        command.process_group(0);
        command
    }

    pub fn env(&self) -> [(&'static str, PathBuf); 6] {
        [
            ("PATH", PATH.into()),
            ("HOME", self.home.clone()),
            ("XDG_STATE_HOME", self.state.clone()),
            ("XDG_RUNTIME_DIR", self.runtime.clone()),
            ("XDG_CONFIG_HOME", self.config.clone()),
            // What lanes leave in temporary files goes with the rest.
            ("TMPDIR", self.root.clone()),
        ]
    }

    /// Runs a verb to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.finish(self.command(arguments))
    }

    /// Runs a verb in another folder.
    #[track_caller]
    pub fn run_in(&self, folder: &Path, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        command.current_dir(folder);
        self.finish(command)
    }

    /// Runs `run --do CMD --verify CHECK` to its end.
    #[track_caller]
    pub fn run_do(&self, what: &str, check: &str) -> Said {
        self.run(&["run", "--do", what, "--verify", check])
    }

    /// Runs a plan of this text to its end.
    #[track_caller]
    pub fn run_plan(&self, plan: &str, more: &[&str]) -> Said {
        let file = self.file("plan.toml", plan);
        let mut arguments = vec!["run", "--plan", file.to_str().unwrap()];
        arguments.extend(more);
        self.run(&arguments)
    }

    /// A file beside the repository.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[track_caller]
    pub fn finish(&self, mut command: Command) -> Said {
        let child = command.spawn().unwrap();
        self.finish_child(child)
    }

    /// Waits for a child's end and takes what it printed.
    #[track_caller]
    pub fn finish_child(&self, child: Child) -> Said {
        let pid = child.id() as i32;
        let (to, ended) = mpsc::channel();
        std::thread::spawn(move || drop(to.send(child.wait_with_output())));
        match ended.recv_timeout(HANGS_AFTER) {
            Ok(output) => {
                let output = output.unwrap();
                Said {
                    code: output.status.code(),
                    out: String::from_utf8_lossy(&output.stdout).into_owned(),
                    err: String::from_utf8_lossy(&output.stderr).into_owned(),
                }
            }
            Err(_) => {
                let seen = self.processes();
                // SAFETY: a child that we started and that has not been waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                let said = ended.recv_timeout(HANGS_AFTER);
                panic!("it hangs; {}\nprocesses: {seen:#?}\nsaid: {said:?}", self.daemon_log());
            }
        }
    }

    pub fn daemon_log(&self) -> String {
        fs::read_to_string(self.socket().with_file_name("daemon.log")).unwrap_or_default()
    }

    pub fn socket(&self) -> PathBuf {
        self.runtime.join("orchestrator/daemon.sock")
    }

    /// The folder of the one workspace there is.
    pub fn workspace(&self) -> PathBuf {
        let found = fs::read_dir(self.state.join("orchestrator/workspaces")).unwrap().flatten().map(|e| e.path());
        let found: Vec<PathBuf> = found.collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.repo.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.repo.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.repo, arguments)
    }

    #[track_caller]
    pub fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut command = self.command_of(Path::new("git"), &["-c", "user.name=t", "-c", "user.email=t@localhost"]);
        let said = self.finish({
            command.args(["-c", "protocol.file.allow=always"]).args(arguments).current_dir(folder);
            command
        });
        assert_eq!(said.code, Some(0), "git {arguments:?}: {}", said.all());
        said.out
    }

    /// Everything of the user's that we may not touch, as text: status, index, stash, branches, HEAD.
    pub fn users(&self, checkout: &Path) -> String {
        let git = |arguments: &[&str]| {
            let mut command = self.command_of(Path::new("git"), &["--no-optional-locks"]);
            command.args(arguments).current_dir(checkout);
            self.finish(command).all()
        };
        let index = git(&["rev-parse", "--git-path", "index"]);
        let index = fs::read(checkout.join(index.trim())).unwrap_or_default();
        let branches: Vec<String> = git(&["for-each-ref", "refs/heads", "refs/tags", "refs/stash"])
            .lines()
            // The result's branch is what a run adds, by design.
            .filter(|line| !line.contains("refs/heads/orchestrator/R-") && !line.contains("refs/heads/orchestrator-R-"))
            .map(str::to_owned)
            .collect();
        format!(
            "{}\n{branches:#?}\n{}\n{}\nindex {} bytes, {:x}",
            git(&["status", "--porcelain=v1", "--branch", "--ignored"]),
            git(&["symbolic-ref", "HEAD"]),
            git(&["stash", "list"]),
            index.len(),
            index.iter().fold(0u64, |sum, byte| sum.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(*byte))),
        )
    }

    /// Every process that has this sandbox in its command line, environment or folder, but not us.
    pub fn processes(&self) -> Vec<Process> {
        let root = self.root.as_os_str().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            if pid == std::process::id() as i32 {
                continue;
            }
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let command = read("cmdline");
            let ours = |bytes: &[u8]| bytes.windows(root.len()).any(|window| window == root);
            let folder = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            // A zombie has neither, and is its parent's to take away.
            if ours(&command) || ours(&read("environ")) || folder.starts_with(&self.root) {
                let words = command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
                let command = words.collect::<Vec<_>>().join(" ").trim_end().to_owned();
                found.push(Process { pid, command });
            }
        }
        found.sort();
        found
    }

    pub fn daemons(&self) -> Vec<i32> {
        let daemons: Vec<i32> =
            self.processes().into_iter().filter(Process::is_daemon).map(|process| process.pid).collect();
        // A child of a daemon (git, a keeper) bears its command line until it becomes the other program.
        let child = |pid: &i32| parent(*pid).is_some_and(|parent| daemons.contains(&parent));
        daemons.iter().copied().filter(|pid| !child(pid)).collect()
    }

    pub fn keepers(&self) -> Vec<i32> {
        self.processes().into_iter().filter(Process::is_keeper).map(|process| process.pid).collect()
    }

    /// What runs beside daemon and keeper: jobs and what they left behind.
    pub fn jobs(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| !process.is_daemon() && !process.is_keeper()).collect()
    }

    /// Waits until a process is gone.
    #[track_caller]
    pub fn gone(&self, pid: i32) {
        eventually(&format!("the end of process {pid}"), || {
            // A zombie is gone as well, once none of its threads holds its descriptors any more.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest).trim_start();
            let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
            (state.is_empty() || (state.starts_with('Z') && threads() <= 1)).then_some(())
        });
    }

    /// Says hello at the socket by hand.
    #[track_caller]
    pub fn wire(&self) -> Wire {
        let mut wire = self.raw();
        let welcome = wire.call("hello", self.hello());
        assert_eq!(welcome["result"]["protocol"], 1, "{welcome}");
        wire
    }

    /// Connects to the socket and says nothing. Starts the daemon where none runs.
    #[track_caller]
    pub fn raw(&self) -> Wire {
        if UnixStream::connect(self.socket()).is_err() {
            self.run(&["daemon", "start"]).exits(0);
        }
        Wire::connect(&self.socket())
    }

    pub fn hello(&self) -> Value {
        json!({"hello": {
            "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "workspace": self.repo,
            "client": {"name": "test", "surface": "cli"}, "env": {"PATH": PATH, "HOME": self.home},
        }})
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Editors do not wait for their servers when they quit: one that has yet to see the end of its input gets
        // the time to, and is one too many if it never does.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !std::thread::panicking()
            && Instant::now() < deadline
            && self.processes().iter().any(Process::is_front_end)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        // A git step that the daemon is just taking is none of a job's.
        let git_step = |process: &Process| process.command.contains("core.hooksPath=/dev/null");
        // One whose command line is gone is at its end already.
        let ending = |process: &Process| process.command.is_empty();
        let jobs = self.jobs().into_iter();
        let left: Vec<Process> = jobs.filter(|process| !git_step(process) && !ending(process)).collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        // Keepers last: they take their jobs with them.
        loop {
            let all = self.processes();
            if all.is_empty() || Instant::now() > deadline {
                break;
            }
            for process in &all {
                // SAFETY: processes of this sandbox, which nobody but this test has.
                unsafe { libc::kill(process.pid, libc::SIGKILL) };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // What a test made unreadable must not keep the folder.
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(&self.root).output();
        if std::thread::panicking() && std::env::var_os("ORCHESTRATOR_KEEP").is_some() {
            // To look at what happened.
            let _ = self.owner.take().map(tempfile::TempDir::keep);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes were left: {left:#?}");
            assert!(self.processes().is_empty(), "processes cannot be ended: {:#?}", self.processes());
        }
    }
}

/// Waits for something that nobody announces.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + HANGS_AFTER;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", HANGS_AFTER.as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills with a signal that nothing can catch.
pub fn kill_9(pid: i32) {
    // SAFETY: the caller found this process by its sandbox.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// A hand-written client of the socket: one JSON message a line.
pub struct Wire {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
    last: u64,
}

impl Wire {
    #[track_caller]
    pub fn connect(socket: &Path) -> Wire {
        Wire::of(UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display())))
    }

    /// Either end of a connection.
    pub fn of(stream: UnixStream) -> Wire {
        stream.set_read_timeout(Some(HANGS_AFTER)).unwrap();
        stream.set_write_timeout(Some(HANGS_AFTER)).unwrap();
        Wire { writer: stream.try_clone().unwrap(), reader: BufReader::new(stream), last: 0 }
    }

    /// Sends a request without waiting; its id.
    pub fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.bytes(format!("{request}\n").as_bytes());
        self.last
    }

    /// Answers a request, where we play the daemon.
    pub fn reply(&mut self, id: &Value, result: Value) {
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
        self.bytes(format!("{answer}\n").as_bytes());
    }

    /// Sends what it is given.
    #[track_caller]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
    }

    /// Gives up writing soon, where nobody reads.
    pub fn impatient(&self) {
        self.writer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    }

    /// Sends what it is given; false where it cannot be taken.
    pub fn try_bytes(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).is_ok()
    }

    /// The next message; null at the end of the stream.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Value::Null,
            Ok(_) => serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Value::Null,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The answer to a request, past whatever else comes.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.next();
            if message.is_null() || message["id"] == id {
                return message;
            }
        }
    }

    /// One request and its answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// The result of a request that is not refused.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The code of a refusal, as in [`orchestrator::api::Code`].
    #[track_caller]
    pub fn refused(&mut self, method: &str, params: Value) -> String {
        let answer = self.call(method, params);
        match answer["error"]["data"]["code"].as_str() {
            Some(code) => code.to_owned(),
            None => panic!("{method} is not refused by us: {answer}"),
        }
    }

    /// Hands in a plan and waits until its run has ended; the report.
    #[track_caller]
    pub fn finish_plan(&mut self, plan: Value) -> Value {
        let reply = self.ok("process_request", json!({"request": {"plan": plan}}));
        let run = reply["request_id"].clone();
        self.finished(run.as_str().unwrap())
    }

    /// Waits until a run has ended; its report.
    #[track_caller]
    pub fn finished(&mut self, run: &str) -> Value {
        let mut after = 0;
        loop {
            let report = self.ok("get_report", json!({"run": run}));
            if !report["outcome"].is_null() {
                return report;
            }
            after = after.max(report["revision"].as_u64().unwrap());
            let changes = self.ok("wait_for_change", json!({"after": after, "timeout_s": 60.0, "run": run}));
            after = changes["revision"].as_u64().unwrap();
        }
    }

    /// Everything up to the end of the stream.
    pub fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.reader.read_to_end(&mut bytes);
        bytes
    }
}

/// A script that can be run.
pub fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The lines of a file that jobs append to.
pub fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
