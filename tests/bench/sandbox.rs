//! A daemon of our own to measure: its folders, its socket, and a client that adds next to nothing.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Folders for one measurement; everything in them goes with it, its daemon and keeper first.
pub struct Sandbox {
    root: tempfile::TempDir,
}

impl Sandbox {
    /// With an empty repository in it.
    pub fn new() -> Sandbox {
        let root = tempfile::tempdir().expect("a temporary folder");
        for folder in ["repo", "state", "run", "config"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        let sandbox = Sandbox { root };
        std::fs::write(sandbox.repo().join("README"), "nothing\n").expect("a file");
        for arguments in [
            &["init", "-q"][..],
            &["add", "-A"],
            &["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "start"],
        ] {
            let done = Command::new("git").args(arguments).current_dir(sandbox.repo()).status().expect("git runs");
            assert!(done.success(), "git {arguments:?} failed");
        }
        sandbox
    }

    /// The repository.
    pub fn repo(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    /// A file in the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Our program, in this sandbox.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command.current_dir(self.repo()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, folder) in [("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run"), ("XDG_CONFIG_HOME", "config")] {
            command.env(name, self.path(folder));
        }
        command.env("TMPDIR", self.path("state"));
        command
    }

    /// Starts the daemon, if it does not run.
    pub fn start(&self) {
        let done = self.command().args(["daemon", "start"]).status().expect("our program runs");
        assert!(done.success(), "the daemon did not start");
    }

    /// A greeted connection.
    pub fn connect(&self) -> Wire {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(self.path("run/orchestrator/daemon.sock")) {
                Ok(stream) => {
                    let reader = BufReader::new(stream.try_clone().expect("a second descriptor"));
                    let mut wire = Wire { stream, reader, last: 0 };
                    let workspace = self.repo();
                    let path = std::env::var("PATH").unwrap_or_default();
                    wire.call(
                        "hello",
                        json!({"hello": {"version": env!("CARGO_PKG_VERSION"), "protocol": 1, "workspace": workspace,
                            "client": {"name": "bench", "surface": "cli"}, "env": {"PATH": path}}}),
                    );
                    return wire;
                }
                Err(error) if Instant::now() > deadline => panic!("no daemon: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// The daemon's process.
    pub fn daemon(&self) -> i32 {
        self.connect().call("daemon_status", json!({}))["pid"].as_i64().expect("a pid") as i32
    }

    /// The daemon and the keeper.
    pub fn servers(&self) -> Vec<i32> {
        let serves = |pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            matches!(command.split(|byte| *byte == 0).nth(1), Some(b"daemon" | b"keeper"))
        };
        self.processes().into_iter().filter(serves).collect()
    }

    /// Every process of this sandbox: daemon, keeper and jobs, found by the folder in their environment or arguments.
    pub fn processes(&self) -> Vec<i32> {
        let mark = self.root.path().as_os_str().as_encoded_bytes().to_vec();
        let holds = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let own = std::process::id() as i32;
        pids.filter(|pid| *pid != own)
            .filter(|pid| {
                ["environ", "cmdline"]
                    .iter()
                    .any(|file| std::fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| holds(&bytes)))
            })
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Jobs that a killed keeper left are found only after it is gone.
        for _ in 0..3 {
            for pid in self.processes() {
                kill(pid);
            }
        }
    }
}

/// SIGKILL.
pub fn kill(pid: i32) {
    // SAFETY: kill with a pid that was found to be ours; it may be gone, which is no harm.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// A connection that writes a line and reads lines.
pub struct Wire {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    last: u64,
}

impl Wire {
    /// One call, answered. A refusal ends the measurement.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.stream.write_all(format!("{request}\n").as_bytes()).expect("the daemon reads");
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).expect("the daemon answers") > 0, "the daemon hung up");
            let mut answer: Value = serde_json::from_str(&line).expect("JSON");
            if answer["id"] == json!(self.last) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
        }
    }

    /// Its two halves.
    pub fn parts(self) -> (UnixStream, BufReader<UnixStream>) {
        (self.stream, self.reader)
    }

    /// Waits until a run is over; its outcome.
    pub fn finish(&mut self, run: &str) -> String {
        let mut revision = 0;
        loop {
            let state = self.call("get_state", json!({"session_id": run}));
            if let Some(outcome) = state["sessions"][0]["outcome"].as_str() {
                return outcome.to_owned();
            }
            let changes = self.call(
                "wait_for_change",
                json!({"after": revision.max(state["revision"].as_u64().unwrap_or(0)), "timeout_s": 5.0, "run": run}),
            );
            revision = changes["revision"].as_u64().unwrap_or(revision);
        }
    }
}

/// Processor time of a process and of its children that are over, seconds.
pub fn cpu_s(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().skip(11).take(4);
    // The unit is a hundredth of a second wherever Rust runs.
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A number from a file of /proc that has lines `Name:  123 …`.
pub fn proc_number(pid: i32, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

/// A layered graph, ten wide, each task needing two to five of the two layers above.
pub fn layered(tasks: usize) -> Vec<Vec<u32>> {
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut next = |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % bound
    };
    (0..tasks)
        .map(|task| {
            let layer = task / 10 * 10;
            if layer < 20 {
                return Vec::new();
            }
            let mut needs: Vec<u32> = (0..2 + next(4)).map(|_| (layer - 20 + next(20) as usize) as u32).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect()
}

/// Writes a plan of tasks that each run `argv`, with these needs.
pub fn write_plan(path: &Path, needs: &[Vec<u32>], argv: impl Fn(usize) -> Vec<String>) {
    let tasks: Vec<Value> = needs
        .iter()
        .enumerate()
        .map(|(index, needs)| {
            let needs: Vec<String> = needs.iter().map(|need| format!("t{need}")).collect();
            json!({"id": format!("t{index}"), "command": argv(index), "needs": needs, "effect": "none"})
        })
        .collect();
    std::fs::write(path, json!({"version": 1, "title": "bench", "tasks": tasks}).to_string()).expect("a plan file");
}
