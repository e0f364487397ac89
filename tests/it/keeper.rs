//! The keeper as a real process with real children, killed and reconnected.

use std::{
    future::Future,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use orchestrator::daemon::agents::keeper::{
    End, Ended, Job, Keeper, LogEntry, NotStarted, Notice, Order, RunningJob, read_log,
};
use tokio::sync::mpsc::UnboundedReceiver;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_orchestrator"))
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited 30 s for {what}"),
    }
}

/// What a keeper told when it was greeted.
#[derive(Debug)]
struct Welcome {
    pid: i32,
    running: Vec<RunningJob>,
    queued: Vec<String>,
    ended: Vec<Ended>,
}

/// One connection, in a folder of its own.
struct Rig {
    folder: PathBuf,
    keeper: Keeper,
    notices: UnboundedReceiver<Notice>,
    welcome: Welcome,
    /// Kept last: removed when everything else is gone.
    owner: Option<tempfile::TempDir>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.owner.is_some() {
            // The keeper of this folder may be another by now; the log says which, and only a live one holds a socket.
            self.keeper.send(Order::Stop);
            for entry in read_log(&self.state()) {
                if let LogEntry::Keeper { pid, .. } = entry
                    && is_keeper(pid, &self.state())
                {
                    // SAFETY: a keeper that this test started.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
        }
    }
}

fn is_keeper(pid: i32, state: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.ends_with(&[state.as_os_str().as_encoded_bytes(), b"\0"].concat())
}

impl Rig {
    async fn new() -> Rig {
        let owner = tempfile::tempdir().unwrap();
        let mut rig = Rig::at(owner.path().to_owned()).await;
        rig.owner = Some(owner);
        rig
    }

    async fn at(folder: PathBuf) -> Rig {
        let state = folder.join("state");
        let (keeper, mut notices) = within("a keeper", Keeper::connect_or_start(&state, exe())).await.unwrap();
        let welcome = match within("a welcome", notices.recv()).await {
            Some(Notice::Welcome { pid, running, queued, ended, .. }) => Welcome { pid, running, queued, ended },
            other => panic!("not a welcome: {other:?}"),
        };
        keeper.send(Order::Env { id: 1, vars: vec![("PATH".into(), PATH.into())], writable: None });
        Rig { folder, keeper, notices, welcome, owner: None }
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn job(&self, id: &str, argv: &[&str]) -> Job {
        Job {
            id: id.to_owned(),
            group: 1,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cwd: self.folder.clone(),
            env: 1,
            extra_env: Vec::new(),
            timeout_ms: None,
            silence_ms: None,
            grace_ms: 10_000,
            log: self.folder.join(format!("logs/{}.log", id.replace('/', "_"))),
            cap_bytes: 1 << 20,
        }
    }

    fn sh(&self, id: &str, script: &str) -> Job {
        self.job(id, &["sh", "-c", script])
    }

    fn start(&self, job: Job) {
        self.keeper.send(Order::Start(job));
    }

    async fn next(&mut self) -> Notice {
        within("a notice", self.notices.recv()).await.expect("the receiver ends with Gone")
    }

    async fn ended(&mut self, id: &str) -> Ended {
        loop {
            match self.next().await {
                Notice::Ended(ended) if ended.id == id => return ended,
                Notice::Gone => panic!("the keeper is gone"),
                Notice::Refused { id, why } => panic!("{id} was refused: {why}"),
                _ => {}
            }
        }
    }

    async fn started(&mut self, id: &str) -> RunningJob {
        loop {
            match self.next().await {
                Notice::Started(running) if running.id == id => return running,
                Notice::Ended(ended) if ended.id == id => panic!("{id} ended already: {ended:?}"),
                _ => {}
            }
        }
    }

    async fn refused(&mut self) -> (String, String) {
        loop {
            if let Notice::Refused { id, why } = self.next().await {
                return (id, why);
            }
        }
    }

    async fn gone(&mut self) {
        while self.next().await != Notice::Gone {}
    }

    async fn run(&mut self, job: Job) -> Ended {
        let id = job.id.clone();
        self.start(job);
        self.ended(&id).await
    }

    fn log_of(&self, id: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(format!("logs/{id}.log"))).ok()
    }

    fn number_in(&self, file: &str) -> i32 {
        std::fs::read_to_string(self.folder.join(file)).unwrap().trim().parse().unwrap()
    }

    /// A named pipe: jobs wait for it by reading a line.
    fn gate(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: a valid path.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        path
    }
}

/// Lets one job through a gate at which it waits (a started job reaches it soon, so opening may block for a moment).
fn open_gate(gate: &Path) {
    std::fs::OpenOptions::new().write(true).open(gate).unwrap().write_all(b"go\n").unwrap();
}

/// Whether the process lives; the dead that wait to be reaped do not.
fn alive(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !matches!(stat[stat.rfind(')').unwrap() + 2..].chars().next(), Some('Z' | 'X')),
        Err(_) => false,
    }
}

/// Waits for the end of a process that is not our child, by its handle.
async fn death_of(pid: i32) {
    // SAFETY: no memory involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    if fd < 0 {
        return;
    }
    let wait = move || {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry that lives through the call; then our descriptor is closed.
        unsafe {
            libc::poll(&mut poll, 1, 25_000);
            libc::close(fd);
        }
    };
    within("a process to die", tokio::task::spawn_blocking(wait)).await.unwrap();
}

/// A script that starts `inner`, which writes its process id into `file` first, and ends when that has happened.
fn leaving(how: &str, inner: &str, file: &str) -> String {
    format!(
        "{how} sh -c 'trap \"\" TERM HUP; echo $$ > {file}.new; mv {file}.new {file}; {inner}' >/dev/null 2>&1 </dev/null &
         while [ ! -e {file} ]; do sleep 0.01; done"
    )
}

#[test]
fn every_way_to_end_is_told_apart() {
    block_on(async {
        let mut rig = Rig::new().await;
        assert_eq!(rig.run(rig.job("ok", &["true"])).await.end, End::Exit(0));
        assert_eq!(rig.run(rig.sh("three", "exit 3")).await.end, End::Exit(3));
        let killed = rig.run(rig.sh("nine", "kill -9 $$")).await;
        assert_eq!(killed.end, End::Signal { number: 9, core: false });
        assert_eq!(rig.log_of("ok"), None, "a silent job makes no file");

        let why = |ended: Ended| match ended.end {
            End::NotStarted { reason, message } => (reason, message),
            other => panic!("{other:?}"),
        };
        let (reason, message) = why(rig.run(rig.job("nf", &["no-such-program"])).await);
        assert_eq!(reason, NotStarted::NotFound);
        assert!(message.contains("no-such-program") && message.contains(PATH), "{message}");
        assert_eq!(why(rig.run(rig.job("nf2", &["./none"])).await).0, NotStarted::NotFound);

        let file = |name: &str, text: &str, mode: u32| {
            std::fs::write(rig.folder.join(name), text).unwrap();
            std::fs::set_permissions(rig.folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        file("plain", "#!/bin/sh\n", 0o644);
        file("shapeless", "echo hello\n", 0o755);
        file("orphan", "#!/no/such/interpreter\n", 0o755);
        assert_eq!(why(rig.run(rig.job("ne", &["./plain"])).await).0, NotStarted::NotExecutable);
        let (reason, message) = why(rig.run(rig.job("ne2", &["./shapeless"])).await);
        assert_eq!(reason, NotStarted::NotExecutable);
        assert!(message.contains("#!"), "{message}");
        let (reason, message) = why(rig.run(rig.job("ni", &["./orphan"])).await);
        assert_eq!(reason, NotStarted::NotFound);
        assert!(message.contains("interpreter"), "{message}");
        let job = Job { cwd: "/no/such/folder".into(), ..rig.job("cwd", &["true"]) };
        let (reason, message) = why(rig.run(job).await);
        assert_eq!(reason, NotStarted::BadCwd);
        assert!(message.contains("/no/such/folder"), "{message}");
        // Failures hold no slot.
        rig.keeper.send(Order::Limit { group: 1, slots: 1 });
        assert_eq!(rig.run(rig.job("after", &["true"])).await.end, End::Exit(0));
    });
}

#[test]
fn bad_orders_are_refused_and_the_rest_goes_on() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.start(rig.job("empty", &[]));
        assert_eq!(rig.refused().await.0, "empty");
        rig.start(Job { env: 7, ..rig.job("env", &["true"]) });
        let (id, why) = rig.refused().await;
        assert!(id == "env" && why.contains("7"), "{id}: {why}");
        rig.keeper.send(Order::Cancel { id: "nobody".into(), grace_ms: 0 });
        assert_eq!(rig.refused().await.0, "nobody");
        let log = std::ffi::OsString::from_encoded(b"/\xff");
        rig.start(Job { log, ..rig.job("path", &["true"]) });
        assert_eq!(rig.refused().await.0, "path");
        assert_eq!(rig.run(rig.job("ok", &["true"])).await.end, End::Exit(0));
    });
}

/// A path that is no text.
trait FromEncoded {
    fn from_encoded(bytes: &[u8]) -> PathBuf;
}

impl FromEncoded for std::ffi::OsString {
    fn from_encoded(bytes: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
}

#[test]
fn the_environment_is_what_was_ordered() {
    block_on(async {
        let mut rig = Rig::new().await;
        let vars = [("PATH", PATH), ("A", "base"), ("B", "base"), ("ORCHESTRATOR_JOB", "forged")];
        let vars = vars.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        rig.keeper.send(Order::Env { id: 2, vars, writable: None });
        let extra_env = vec![("B".into(), "extra".into()), ("C".into(), "ä=b".into())];
        let job = Job { env: 2, extra_env, ..rig.job("env", &["env"]) };
        let ended = rig.run(job).await;
        let mut lines: Vec<&str> = ended.tail.lines().collect();
        lines.sort_unstable();
        let (keeper, rest): (Vec<&str>, Vec<&str>) =
            lines.into_iter().partition(|line| line.starts_with("ORCHESTRATOR_KEEPER="));
        assert_eq!(rest, ["A=base", "B=extra", "C=ä=b", "ORCHESTRATOR_JOB=env", &format!("PATH={PATH}")]);
        assert_eq!(keeper.len(), 1);
        assert!(keeper[0].starts_with(&format!("ORCHESTRATOR_KEEPER={}.", rig.welcome.pid)), "{keeper:?}");
    });
}

#[test]
fn signals_descriptors_and_input_are_clean() {
    block_on(async {
        let mut rig = Rig::new().await;
        // Whoever waits for input gets its end.
        assert_eq!(rig.run(rig.job("cat", &["cat"])).await.end, End::Exit(0));
        let status = rig.run(rig.job("status", &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])).await;
        assert!(status.tail.lines().all(|line| line.ends_with("0000000000000000")), "{}", status.tail);
        assert_eq!(status.tail.lines().count(), 2);
        // ls itself opens the fourth.
        let open = rig.run(rig.job("fds", &["ls", "/proc/self/fd"])).await;
        assert_eq!(open.tail.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    });
}

#[test]
fn output_of_any_bytes_is_kept() {
    block_on(async {
        let mut rig = Rig::new().await;
        let ended = rig.run(rig.sh("bytes", r"printf '\377\376 ok\n'; echo err >&2")).await;
        assert_eq!((ended.output_bytes, ended.dropped_bytes), (10, 0));
        assert_eq!(ended.tail, "\u{fffd}\u{fffd} ok\nerr\n");
        assert_eq!(rig.log_of("bytes").unwrap(), b"\xff\xfe ok\nerr\n");
    });
}

/// Runs a silent job until `meanwhile`, which is handed the descriptor it prints to, is done.
#[cfg(target_os = "linux")]
async fn silent(rig: &mut Rig, id: &str, meanwhile: impl FnOnce(&Path)) {
    let gate = rig.gate(&format!("gate-{id}"));
    rig.start(rig.sh(id, &format!("read line < gate-{id}")));
    let job = rig.started(id).await;
    meanwhile(Path::new(&format!("/proc/{}/fd/1", job.pid)));
    open_gate(&gate);
    assert_eq!(rig.ended(id).await.output_bytes, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_silent_jobs_pipe_is_the_next_ones_unless_somebody_else_has_it() {
    block_on(async {
        let mut rig = Rig::new().await;
        let mut pipes = Vec::new();
        let mut outsider = None;
        silent(&mut rig, "a", |out| pipes.push(std::fs::read_link(out).unwrap())).await;
        silent(&mut rig, "b", |out| {
            pipes.push(std::fs::read_link(out).unwrap());
            outsider = Some(std::fs::OpenOptions::new().write(true).open(out).unwrap());
        })
        .await;
        assert_eq!(pipes[0], pipes[1], "each job has a pipe of its own");
        outsider.unwrap().write_all(b"not the next job's").unwrap();
        let ended = rig.run(rig.sh("c", "printf own")).await;
        assert_eq!((ended.output_bytes, ended.tail.as_str()), (3, "own"));
        assert_eq!(rig.log_of("c").unwrap(), b"own");
        silent(&mut rig, "d", |out| assert_ne!(std::fs::read_link(out).unwrap(), pipes[0])).await;
    });
}

#[test]
fn progress_is_told_while_a_job_prints() {
    block_on(async {
        let mut rig = Rig::new().await;
        let gate = rig.gate("gate");
        rig.start(rig.sh("job", "echo one; echo two; read line < gate; echo three"));
        let pid = rig.started("job").await.pid;
        let told = loop {
            if let Notice::Output { id, bytes } = rig.next().await {
                break (id, bytes);
            }
        };
        assert_eq!(told, ("job".to_owned(), 8));
        // A group of its own, so that a signal meant for the job meets nobody else.
        // SAFETY: only asks.
        assert_eq!(unsafe { libc::getpgid(pid) }, pid);
        open_gate(&gate);
        assert_eq!(rig.ended("job").await.output_bytes, 14);
    });
}

#[test]
fn a_gigabyte_of_output_is_capped_and_slows_nobody() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 2 });
        rig.start(rig.job("big", &["head", "-c", "1G", "/dev/zero"]));
        rig.start(rig.sh("small", "echo hello"));
        let mut order = Vec::new();
        while order.len() < 2 {
            if let Notice::Ended(ended) = rig.next().await {
                order.push(ended);
            }
        }
        assert_eq!(order[0].id, "small", "the small job waited for the big one");
        let big = &order[1];
        assert_eq!((&big.end, big.output_bytes), (&End::Exit(0), 1 << 30));
        assert_eq!(big.dropped_bytes, (1 << 30) - (2 << 20));
        let log = rig.log_of("big").unwrap();
        assert!(log.len() > 2 << 20 && log.len() < (2 << 20) + 200, "{}", log.len());
        let status = std::fs::read_to_string(format!("/proc/{}/status", rig.welcome.pid)).unwrap();
        let peak: u64 =
            status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok()).unwrap();
        assert!(peak < 64 << 10, "the keeper took {peak} KiB");
    });
}

#[test]
fn limits_of_time_end_jobs_that_ignore_sigterm() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 9 });
        let stubborn = "trap '' TERM; while :; do sleep 1000; done";
        let begun = Instant::now();
        let job = Job { timeout_ms: Some(300), grace_ms: 200, ..rig.sh("timeout", stubborn) };
        assert_eq!(rig.run(job).await.end, End::Timeout);
        assert!(begun.elapsed() >= Duration::from_millis(500), "the grace was not given");
        // Silence counts from the last output.
        let script = "for i in 1 2 3; do echo $i; sleep 0.2; done; exec sleep 1000";
        let job = Job { silence_ms: Some(600), ..rig.sh("silence", script) };
        let ended = rig.run(job).await;
        assert_eq!((ended.end, ended.tail.as_str()), (End::Silent, "1\n2\n3\n"));
        assert!(ended.ended_at_ms - ended.started_at_ms >= 1000);
    });
}

#[test]
fn a_job_that_is_ended_may_tidy_up() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.start(rig.sh("tidy", "trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.01; done"));
        rig.started("tidy").await;
        while rig.log_of("tidy").is_none_or(|log| log != b"ready\n") {
            tokio::task::yield_now().await;
        }
        rig.keeper.send(Order::Cancel { id: "tidy".into(), grace_ms: 20_000 });
        let ended = rig.ended("tidy").await;
        // The shell may also say that its sleep was terminated.
        assert!(ended.end == End::Cancelled && ended.tail.ends_with("tidied\n"), "{ended:?}");
    });
}

#[test]
fn cancelling_ends_the_running_and_drops_the_queued() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 1 });
        rig.start(rig.job("running", &["sleep", "1000"]));
        rig.start(rig.sh("queued", "echo ran > ran"));
        let pid = rig.started("running").await.pid;
        for id in ["queued", "running"] {
            rig.keeper.send(Order::Cancel { id: id.into(), grace_ms: 20_000 });
        }
        assert_eq!(rig.ended("queued").await.end, End::Cancelled);
        assert_eq!(rig.ended("running").await.end, End::Cancelled);
        assert!(!alive(pid) && !rig.folder.join("ran").exists());
        // Asked again, it tells again.
        rig.keeper.send(Order::Cancel { id: "running".into(), grace_ms: 0 });
        assert_eq!(rig.ended("running").await.end, End::Cancelled);
    });
}

#[test]
fn nothing_a_job_started_outlives_it() {
    block_on(async {
        let mut rig = Rig::new().await;
        let sleep = "sleep 1000; echo";
        let ways = [
            ("child", ""),
            ("session", "setsid"),
            // With job control the shell puts it into a group of its own, in the same session.
            ("group", "set -m;"),
            ("unmarked", "setsid env -i"),
        ];
        for (name, how) in ways {
            let ended = rig.run(rig.sh(name, &leaving(how, sleep, name))).await;
            assert_eq!(ended.end, End::Exit(0), "{name}");
            assert!(ended.swept >= 1, "{name}: {ended:?}");
            assert!(!alive(rig.number_in(name)), "{name} survived");
        }
        // Forked twice, in a session of its own, deaf to SIGTERM, with a child: a proper daemon.
        let script = "( setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & echo $! > child; echo $$ > new; mv new daemon; wait' \
             >/dev/null 2>&1 </dev/null & ); while [ ! -e daemon ]; do sleep 0.01; done";
        let ended = rig.run(rig.sh("daemon", script)).await;
        assert!(ended.swept >= 2, "{ended:?}");
        assert!(!alive(rig.number_in("daemon")) && !alive(rig.number_in("child")));
    });
}

#[test]
fn a_running_jobs_daemon_lives_until_its_own_job_ends() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 4 });
        let gate = rig.gate("gate");
        let script = format!("( {} ); read line < gate", leaving("setsid", "sleep 1000; echo", "daemon"));
        rig.start(rig.sh("long", &script));
        rig.started("long").await;
        while !rig.folder.join("daemon").exists() {
            tokio::task::yield_now().await;
        }
        let daemon = rig.number_in("daemon");
        for id in ["a", "b"] {
            assert_eq!(rig.run(rig.sh(id, "sleep 0.01; exit 0")).await.swept, 0);
        }
        assert!(alive(daemon), "another job's end took it away");
        open_gate(&gate);
        assert!(rig.ended("long").await.swept >= 1);
        assert!(!alive(daemon));
    });
}

#[test]
fn a_timeout_takes_the_daemons_too() {
    block_on(async {
        let mut rig = Rig::new().await;
        let script = format!("{}; exec sleep 1000", leaving("setsid", "while :; do sleep 1000; done", "daemon"));
        let job = Job { timeout_ms: Some(1500), grace_ms: 100, ..rig.sh("job", &script) };
        let ended = rig.run(job).await;
        assert_eq!(ended.end, End::Timeout);
        assert!(!alive(rig.number_in("daemon")));
    });
}

#[test]
fn limits_of_parallelism_hold_and_order_is_kept() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 3 });
        let ids: Vec<String> = (0..12).map(|number| format!("T-{number}.1")).collect();
        for id in &ids {
            rig.start(rig.sh(id, &format!("echo {id} >> order; sleep 0.1")));
        }
        let mut ended = Vec::new();
        while ended.len() < ids.len() {
            if let Notice::Ended(one) = rig.next().await {
                ended.push(one);
            }
        }
        let at_once = |at: u64| ended.iter().filter(|e| e.started_at_ms <= at && at < e.ended_at_ms).count();
        let most = ended.iter().map(|e| at_once(e.started_at_ms)).max();
        assert_eq!(most, Some(3));
        ended.sort_by_key(|e| (e.started_at_ms, ids.iter().position(|id| *id == e.id)));
        assert_eq!(ended.iter().map(|e| e.id.clone()).collect::<Vec<_>>(), ids);
    });
}

#[test]
fn a_new_connection_hears_everything_and_nothing_runs_twice() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 1 });
        let gate = rig.gate("gate");
        let jobs = |rig: &Rig| {
            ["done", "running", "queued"].map(|id| match id {
                "running" => rig.sh(id, "echo running >> ran; read line < gate"),
                _ => rig.sh(id, &format!("echo {id} >> ran")),
            })
        };
        for job in jobs(&rig) {
            rig.start(job);
        }
        let done = rig.ended("done").await;
        let running = rig.started("running").await;

        let mut again = Rig::at(rig.folder.clone()).await;
        rig.gone().await;
        assert_eq!(again.welcome.pid, rig.welcome.pid);
        assert_eq!(again.welcome.running, std::slice::from_ref(&running));
        assert_eq!(again.welcome.queued, ["queued"]);
        assert_eq!(again.welcome.ended, std::slice::from_ref(&done));
        // A daemon that is not sure orders everything again.
        for job in jobs(&again) {
            again.start(job);
        }
        assert_eq!(again.ended("done").await, done);
        assert_eq!(again.started("running").await, running);
        open_gate(&gate);
        assert_eq!(again.ended("running").await.end, End::Exit(0));
        let last = again.ended("queued").await;
        assert_eq!(last.end, End::Exit(0));
        assert_eq!(std::fs::read_to_string(rig.folder.join("ran")).unwrap(), "done\nrunning\nqueued\n");

        // Acknowledged is forgotten, in the keeper and in its log.
        again.keeper.send(Order::Ack { ids: vec!["done".into()], up_to: None });
        again.keeper.send(Order::Cancel { id: "done".into(), grace_ms: 0 });
        assert_eq!(again.refused().await.0, "done");
        drop(again);
        let mut third = Rig::at(rig.folder.clone()).await;
        assert_eq!(third.welcome.ended.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["running", "queued"]);
        third.keeper.send(Order::Ack { ids: vec![], up_to: Some(last.seq) });
        third.keeper.send(Order::Cancel { id: "done".into(), grace_ms: 0 });
        third.refused().await;
        // The log is written before the daemon is told.
        assert!(matches!(read_log(&rig.state())[..], [LogEntry::Keeper { .. }]), "{:?}", read_log(&rig.state()));
    });
}

#[test]
fn a_killed_keeper_takes_its_jobs_along_and_the_next_one_knows() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 9 });
        let done = rig.run(rig.sh("done", "echo once")).await;
        let script = format!("( {} ); exec sleep 1000", leaving("setsid", "sleep 1000; echo", "daemon"));
        rig.start(rig.sh("open", &script));
        let open = rig.started("open").await;
        while !rig.folder.join("daemon").exists() {
            tokio::task::yield_now().await;
        }
        let daemon = rig.number_in("daemon");
        // SAFETY: the keeper of this test.
        unsafe { libc::kill(rig.welcome.pid, libc::SIGKILL) };
        rig.gone().await;
        death_of(open.pid).await;
        assert!(!alive(open.pid));

        let log = read_log(&rig.state());
        let started = |id: &str| log.iter().any(|entry| matches!(entry, LogEntry::Started { id: i, .. } if i == id));
        assert!(started("done") && started("open"), "{log:?}");
        assert!(log.contains(&LogEntry::Ended(done.clone())));
        assert!(!log.iter().any(|entry| matches!(entry, LogEntry::Ended(ended) if ended.id == "open")));
        let pid = |entry: &LogEntry| match entry {
            LogEntry::Running { id, pid, start_ticks } if id == "open" => Some((*pid, *start_ticks > 0)),
            _ => None,
        };
        assert_eq!(log.iter().find_map(pid), Some((open.pid, true)));

        let mut next = Rig::at(rig.folder.clone()).await;
        assert_ne!(next.welcome.pid, rig.welcome.pid);
        assert!(!alive(daemon), "the sweep missed what had left the session");
        let ends: Vec<(&str, &End)> = next.welcome.ended.iter().map(|e| (e.id.as_str(), &e.end)).collect();
        assert_eq!(ends, [("done", &End::Exit(0)), ("open", &End::Lost)]);
        // It may have run: the same attempt is not run again.
        next.start(next.sh("open", "echo again > again"));
        assert_eq!(next.ended("open").await.end, End::Lost);
        assert!(!rig.folder.join("again").exists());
    });
}

#[test]
fn stop_cancels_everything_and_ends_the_keeper() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 1 });
        rig.start(rig.job("running", &["sleep", "1000"]));
        rig.start(rig.job("queued", &["true"]));
        rig.started("running").await;
        rig.keeper.send(Order::Stop);
        assert_eq!(rig.ended("queued").await.end, End::Cancelled);
        assert_eq!(rig.ended("running").await.end, End::Cancelled);
        rig.gone().await;
        death_of(rig.welcome.pid).await;
        assert!(!rig.state().join("keeper.sock").exists());
        // What was not acknowledged is in the log, and the next keeper says it.
        let next = Rig::at(rig.folder.clone()).await;
        assert_eq!(next.welcome.ended.len(), 2);
    });
}

#[test]
fn a_keeper_that_is_terminated_makes_no_results_up() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.start(rig.job("running", &["sleep", "1000"]));
        let pid = rig.started("running").await.pid;
        // SAFETY: the keeper of this test.
        unsafe { libc::kill(rig.welcome.pid, libc::SIGTERM) };
        rig.gone().await;
        assert!(!alive(pid));
        let next = Rig::at(rig.folder.clone()).await;
        assert_eq!(next.welcome.ended.iter().map(|e| &e.end).collect::<Vec<_>>(), [&End::Lost]);
    });
}

#[test]
fn many_daemons_at_once_start_one_keeper() {
    block_on(async {
        let owner = tempfile::tempdir().unwrap();
        // Longer than the address of a socket may be.
        let folder = owner.path().join("x".repeat(100)).join("y".repeat(100));
        let state = folder.join("state");
        let tries = (0..4).map(|_| {
            let state = state.clone();
            tokio::spawn(async move { Keeper::connect_or_start(&state, exe()).await.map(|(keeper, _)| keeper) })
        });
        let tries: Vec<_> = tries.collect();
        for one in tries {
            within("a connection", one).await.unwrap().unwrap();
        }
        let mut rig = Rig::at(folder).await;
        rig.owner = Some(owner);
        assert_eq!(rig.run(rig.job("ok", &["true"])).await.end, End::Exit(0));
        let mode = std::fs::metadata(rig.state().join("keeper.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // It hangs on nothing of ours: a session of its own, and every standard stream elsewhere.
        // SAFETY: only asks.
        assert_eq!(unsafe { libc::getsid(rig.welcome.pid) }, rig.welcome.pid);
        for (fd, target) in [(0, "/dev/null"), (1, "/dev/null"), (2, "keeper.err")] {
            let link = std::fs::read_link(format!("/proc/{}/fd/{fd}", rig.welcome.pid)).unwrap();
            assert!(link.ends_with(target) || link == Path::new(target), "{fd} is {}", link.display());
        }
    });
}

#[test]
fn thousands_of_jobs_end_once_each() {
    block_on(async {
        let mut rig = Rig::new().await;
        rig.keeper.send(Order::Limit { group: 1, slots: 10 });
        let count = 2_000;
        for number in 0..count {
            rig.start(rig.job(&format!("T-{number}.1"), &["/bin/true"]));
        }
        let mut seen = std::collections::HashSet::new();
        while seen.len() < count {
            match rig.next().await {
                Notice::Ended(ended) => {
                    assert_eq!((&ended.end, ended.swept), (&End::Exit(0), 0), "{ended:?}");
                    rig.keeper.send(Order::Ack { ids: vec![], up_to: Some(ended.seq) });
                    assert!(seen.insert(ended.id));
                }
                Notice::Started(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(
            std::fs::OpenOptions::new()
                .custom_flags(libc::O_DIRECTORY)
                .read(true)
                .open(rig.folder.join("logs"))
                .is_err()
        );
    });
}

/// A keeper whose seconds are 5 ms, so that its minutes pass while one watches.
fn hurried(state: &Path) -> std::process::Child {
    let mut command = std::process::Command::new(exe());
    command.arg("keeper").arg(state).env_clear().env("ORCHESTRATOR_TEST_SECOND_MS", "5");
    let mut child = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // It lets go of its output when it can be reached.
    std::io::Read::read_to_end(&mut child.stdout.take().unwrap(), &mut Vec::new()).unwrap();
    child
}

#[test]
fn a_keeper_that_nobody_needs_ends_after_a_minute_and_with_untaken_results_after_ten() {
    block_on(async {
        let owner = tempfile::tempdir().unwrap();
        let state = owner.path().join("state");
        // 60 s are 0.3 s here: long enough to be seen alive, and then gone.
        let mut child = hurried(&state);
        let begun = Instant::now();
        tokio::task::spawn_blocking(move || assert!(child.wait().unwrap().success())).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(250), "it did not wait for anybody");
        // With a result that nobody took it waits ten times as long, and whoever comes then gets it.
        let mut child = hurried(&state);
        let rig = Rig::at(owner.path().to_owned()).await;
        assert_eq!(rig.welcome.pid, child.id() as i32);
        rig.start(rig.sh("untaken", "exit 7"));
        wait_for_log(&state, "untaken").await;
        drop(rig);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(child.try_wait().unwrap().is_none(), "it went with a result that nobody has");
        let mut rig = Rig::at(owner.path().to_owned()).await;
        assert_eq!(rig.welcome.ended.iter().map(|ended| ended.id.as_str()).collect::<Vec<_>>(), ["untaken"]);
        drop(std::mem::replace(&mut rig, Rig::new().await));
        drop(rig);
        tokio::task::spawn_blocking(move || assert!(child.wait().unwrap().success())).await.unwrap();
        // It is on disk for the next one all the same.
        let ended = |entry: &LogEntry| matches!(entry, LogEntry::Ended(ended) if ended.id == "untaken");
        assert!(read_log(&state).iter().any(ended), "{:?}", read_log(&state));
    });
}

/// Waits until the log says that a job is over.
async fn wait_for_log(state: &Path, id: &str) {
    let ended = |entry: &LogEntry| matches!(entry, LogEntry::Ended(ended) if ended.id == id);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !read_log(state).iter().any(ended) {
        assert!(Instant::now() < deadline, "{id} did not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
