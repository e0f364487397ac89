//! The host of one agent: the process that owns its standard streams and outlives the daemon.
//!
//! It is a job of the workspace's keeper, which has its identity, its descendants and its end. The host writes the
//! transcript, keeps the clocks, ends a turn that is over, and hands answers on. It decides nothing: what may be done is
//! said by the daemon, and while none is there a question simply waits. Killed, it takes the agent along.
//!
//! In its folder: `launch.json` (what it is to do), `transcript`, `result.json` (how it ended; written once, whole).

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        net::UnixStream,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    claude::shown,
    driver::{self, AgentDriver, Brief, Talk, Word},
    keeper::socket,
    sandbox,
    transcript::{Kind, Transcript},
};
use crate::core::agent::{AskVerdict, DriverKind};

/// What a host is to do: `launch.json`. Holds no secrets; those come in its environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LaunchFile {
    /// How the agent is driven.
    pub driver: DriverKind,
    /// What the conversation is about.
    pub brief: Brief,
    /// Names of variables whose values must not be written down.
    pub secrets: Vec<String>,
    /// Longest time without waiting for answers, milliseconds.
    pub wall_ms: Option<u64>,
    /// Longest time without a word, milliseconds.
    pub silence_ms: u64,
    /// Longest time to the first word, milliseconds.
    pub start_ms: u64,
    /// Most tokens.
    pub tokens: Option<u64>,
    /// Folders that may be written to; `None` = no sandbox.
    pub writable: Option<Vec<PathBuf>>,
    /// The agent's own folders below the home folder of whoever asked, which may be written to as well.
    #[serde(default)]
    pub own: Vec<String>,
}

/// How it ended: `result.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostResult {
    /// `exit`, `signal`, `timeout`, `silent`, `budget`, `loop`, `not_started`.
    pub end: String,
    /// The status or the signal.
    #[serde(default)]
    pub number: i32,
    /// What is wrong, where it could not be started.
    #[serde(default)]
    pub why: String,
}

/// What the daemon says to a host: one JSON value a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToHost {
    /// An answer; a second one to the same question is not passed on.
    Answer {
        /// The question's number.
        request: String,
        /// The answer.
        verdict: AskVerdict,
    },
    /// The turn is to end early.
    Interrupt,
}

/// What a host says to the daemon: how long the transcript is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Bytes.
    pub bytes: u64,
}

/// A transcript longer than this keeps only what the conversation hangs on: words for people are left out from there.
const TRANSCRIPT_BYTES_MAX: u64 = 16 << 20;
/// Lines that wait to be read: one that floods is stopped by its own pipe, and memory stays bounded.
const WAKES_MAX: usize = 64;
/// A line longer than this is cut.
const LINE_BYTES_MAX: usize = 8 << 20;
/// How long an agent may take to go after its turn.
const LEAVE: Duration = Duration::from_secs(10);
/// Between asking it to go and making it.
const GRACE: Duration = Duration::from_secs(5);
/// How long output is waited for once the process is gone: something it left may hold the stream.
const DRAIN: Duration = Duration::from_secs(2);
/// How long it has to end its turn when told to.
const INTERRUPT: Duration = Duration::from_secs(20);
/// The same tool with the same input so often in a row is a loop.
const REPEATS_MAX: u32 = 8;

enum Wake {
    Line(String),
    Complaint(String),
    Silence,
    Gone(io::Result<ExitStatus>),
    Daemon(UnixStream),
    Told(ToHost),
}

/// Runs the host of `dir` to the agent's end.
pub fn run_host(dir: &Path) -> io::Result<()> {
    let text = fs::read(dir.join("launch.json"))?;
    let launch: LaunchFile = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let result = match Host::start(dir, launch) {
        Ok(mut host) => host.run(),
        Err(error) => HostResult { end: "not_started".to_owned(), number: 0, why: error.to_string() },
    };
    write_whole(&dir.join("result.json"), &serde_json::to_vec(&result).map_err(io::Error::other)?)
}

/// Writes a file so that nobody ever sees half of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Makes a host's folder, for this user only, and says where it is.
pub fn folder(workspace_dir: &Path, attempt: &str) -> PathBuf {
    workspace_dir.join("agents").join(attempt)
}

/// Makes it.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

struct Host {
    driver: &'static dyn AgentDriver,
    talk: Talk,
    launch: LaunchFile,
    transcript: Transcript,
    /// Lines that were left out of it since the last that was not.
    omitted: u64,
    pid: i32,
    wakes: mpsc::Receiver<Wake>,
    stdin: Option<mpsc::Sender<String>>,
    daemon: Option<UnixStream>,
    started: Instant,
    spoke: Instant,
    spoken: bool,
    /// Since when the clocks stand, and for how long they stood.
    waiting_since: Option<Instant>,
    waited: Duration,
    leave_at: Option<Instant>,
    asked_to_go: Option<Instant>,
    ended: Option<&'static str>,
    exit: Option<(ExitStatus, Instant)>,
    open_streams: u32,
}

impl Host {
    fn start(dir: &Path, launch: LaunchFile) -> io::Result<Host> {
        let driver = driver::of(launch.driver).ok_or_else(|| io::Error::other("this driver starts nothing"))?;
        let values = launch.secrets.iter().filter_map(|name| std::env::var(name).ok()).collect();
        let mut transcript = Transcript::open(&dir.join("transcript"), values)?;
        let listener = socket::listen(dir)?;
        listener.set_nonblocking(false)?;
        let plan = driver.launch(&launch.brief);
        let (program, arguments) = plan.argv.split_first().ok_or_else(|| io::Error::other("no command is declared"))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&launch.brief.cwd).envs(plan.env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let writable = launch.writable.clone().map(|mut writable| {
            writable.extend(sandbox::own(&launch.own, |name| std::env::var_os(name)));
            writable
        });
        let mut child = sandbox::spawn(command, writable.as_deref())
            .map_err(|error| io::Error::new(error.kind(), format!("`{program}` cannot be started: {error}")))?;
        let pid = child.id() as i32;
        let (to, wakes) = mpsc::sync_channel(WAKES_MAX);
        let stdin = write_lines(&mut child);
        let mut open_streams = 0;
        if let Some(stream) = child.stdout.take() {
            open_streams += 1;
            read_lines(stream, to.clone(), Wake::Line);
        }
        if let Some(stream) = child.stderr.take() {
            open_streams += 1;
            read_lines(stream, to.clone(), Wake::Complaint);
        }
        let gone = to.clone();
        thread::spawn(move || {
            let _ = gone.send(Wake::Gone(child.wait()));
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten().filter(socket::is_ours) {
                let Ok(reader) = stream.try_clone() else { continue };
                if to.send(Wake::Daemon(stream)).is_err() {
                    return;
                }
                let to = to.clone();
                thread::spawn(move || {
                    for line in BufReader::new(reader).lines().map_while(Result::ok) {
                        if let Ok(told) = serde_json::from_str(&line)
                            && to.send(Wake::Told(told)).is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        let now = Instant::now();
        for line in &plan.first {
            transcript.write(Kind::Told, line)?;
            let _ = stdin.send(line.clone());
        }
        Ok(Host {
            driver,
            talk: Talk::new(launch.brief.clone()),
            launch,
            transcript,
            omitted: 0,
            pid,
            wakes,
            stdin: Some(stdin),
            daemon: None,
            started: now,
            spoke: now,
            spoken: false,
            waiting_since: None,
            waited: Duration::ZERO,
            leave_at: None,
            asked_to_go: None,
            ended: None,
            exit: None,
            open_streams,
        })
    }

    fn run(&mut self) -> HostResult {
        loop {
            let wait = self.next_due().map(|at| at.saturating_duration_since(Instant::now()));
            let wake = match wait {
                Some(wait) => self.wakes.recv_timeout(wait),
                None => self.wakes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match wake {
                Ok(wake) => self.take(wake),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.result(),
            }
            // All that is there is taken before the daemon is told, once.
            for _ in 0..1024 {
                match self.wakes.try_recv() {
                    Ok(wake) => self.take(wake),
                    Err(_) => break,
                }
            }
            self.tell();
            self.do_what_is_due();
            if let Some((_, at)) = self.exit
                && (self.open_streams == 0 || at.elapsed() >= DRAIN)
            {
                self.tell();
                return self.result();
            }
        }
    }

    fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Line(line) => {
                (self.spoke, self.spoken) = (Instant::now(), true);
                self.hear(&line);
            }
            Wake::Complaint(line) => {
                self.spoke = Instant::now();
                let _ = self.transcript.write(Kind::Complained, &line);
            }
            Wake::Silence => self.open_streams = self.open_streams.saturating_sub(1),
            Wake::Gone(status) => {
                let status = status.unwrap_or_else(|_| ExitStatus::from_raw(1 << 8));
                self.exit = Some((status, Instant::now()));
            }
            Wake::Daemon(stream) => {
                let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
                self.daemon = Some(stream);
            }
            Wake::Told(ToHost::Answer { request, verdict }) => self.answer(&request, &verdict),
            Wake::Told(ToHost::Interrupt) => self.interrupt("cancelled"),
        }
    }

    /// One line of the agent's.
    fn hear(&mut self, line: &str) {
        let line = self.transcript.hide(line);
        if self.transcript.bytes() > TRANSCRIPT_BYTES_MAX && self.driver.chatter(&line) {
            self.omitted += 1;
        } else {
            self.tell_omitted();
            let _ = self.transcript.write(Kind::Said, &line);
        }
        let words = driver::fold(self.driver, &mut self.talk, Kind::Said, &line);
        // Printed is what `log` shows: this process is a job, and its standard output is that job's log.
        for word in words {
            match word {
                Word::Send(line) => self.say(&line),
                Word::TurnEnd => self.leave_at = Some(Instant::now() + LEAVE),
                Word::Text(text) => println!("{}", self.plain(&text)),
                Word::Tool(tool, what) => println!("· {tool} {}", self.plain(&what)),
                Word::ToolDone(true) => {}
                Word::ToolDone(false) => println!("  (it did not work)"),
                Word::Ask(ask) => println!("? asks to use {} {}", ask.tool, self.plain(&shown(&ask.input))),
                Word::Withdrawn(_) => {}
                Word::Warn(what) => println!("! {}", self.plain(&what)),
            }
        }
        if self.leave_at.is_some() {
            // The end of its input is the end of its work.
            self.stdin = None;
        }
        self.clock();
        let over_tokens = self.launch.tokens.is_some_and(|most| self.talk.usage.tokens > most);
        let over_money = match (self.launch.brief.usd, self.talk.usage.usd) {
            (Some(most), Some(usd)) => usd > most,
            _ => false,
        };
        if self.talk.end.is_none() && (over_tokens || over_money) {
            self.interrupt("budget");
        } else if self.talk.end.is_none() && self.talk.repeated.1 >= REPEATS_MAX {
            self.interrupt("loop");
        }
    }

    /// Says in the transcript how much was left out, and the last words up to here: a fold must come to the same.
    fn tell_omitted(&mut self) {
        if self.omitted > 0 {
            let _ = self.transcript.write(Kind::Omitted, &format!("{} {}", self.omitted, self.talk.said));
            self.omitted = 0;
        }
    }

    fn plain(&self, text: &str) -> String {
        text.replace('\u{1b}', " ")
    }

    fn say(&mut self, line: &str) {
        let _ = self.transcript.write(Kind::Told, line);
        if let Some(stdin) = &self.stdin {
            let _ = stdin.send(line.to_owned());
        }
    }

    fn answer(&mut self, request: &str, verdict: &AskVerdict) {
        // Heard already, withdrawn, or not asked by this one.
        let Some(ask) = self.talk.asks.get(request).cloned() else { return };
        for line in self.driver.answer(&self.talk, &ask, verdict) {
            self.say(&line);
        }
        match verdict {
            AskVerdict::Allow => println!("  allowed"),
            AskVerdict::Deny(reason) => println!("  refused: {}", self.plain(reason)),
        }
        let _ = self.transcript.write(Kind::Answered, request);
        driver::fold(self.driver, &mut self.talk, Kind::Answered, request);
        if let Some(reason) = self.driver.unsaid(&ask, verdict)
            && let Ok(reason) = self.transcript.write(Kind::Refused, &reason)
        {
            driver::fold(self.driver, &mut self.talk, Kind::Refused, &reason);
        }
        self.spoke = Instant::now();
        self.clock();
    }

    fn interrupt(&mut self, why: &'static str) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(why);
        let _ = self.transcript.write(Kind::Interrupted, why);
        self.talk.interrupted = true;
        let lines = self.driver.interrupt(&self.talk);
        // Whoever has not begun has nothing to end.
        let patience = if lines.is_empty() { Duration::ZERO } else { INTERRUPT };
        for line in lines {
            self.say(&line);
        }
        self.leave_at = Some(Instant::now() + patience);
    }

    /// Stops or starts the clocks: nobody's time runs while it waits for an answer.
    fn clock(&mut self) {
        match (self.talk.asks.is_empty(), self.waiting_since) {
            (false, None) => self.waiting_since = Some(Instant::now()),
            (true, Some(since)) => {
                self.waited += since.elapsed();
                self.waiting_since = None;
                self.spoke = Instant::now();
            }
            _ => {}
        }
    }

    fn limits(&self) -> [(Option<Instant>, &'static str); 3] {
        if self.waiting_since.is_some() || self.leave_at.is_some() {
            return [(None, "timeout"), (None, "silent"), (None, "silent")];
        }
        let after = |from: Instant, ms: u64| from.checked_add(Duration::from_millis(ms));
        let wall = self.launch.wall_ms.and_then(|ms| after(self.started + self.waited, ms));
        let silence = after(self.spoke, self.launch.silence_ms).filter(|_| self.spoken);
        let start = after(self.started, self.launch.start_ms).filter(|_| !self.spoken);
        [(wall, "timeout"), (silence, "silent"), (start, "silent")]
    }

    fn next_due(&self) -> Option<Instant> {
        let limits = self.limits().into_iter().filter_map(|(at, _)| at);
        let go = match (self.leave_at, self.asked_to_go) {
            (_, Some(asked)) => Some(asked + GRACE),
            (leave, None) => leave,
        };
        let drain = self.exit.map(|(_, at)| at + DRAIN);
        limits.chain(go).chain(drain).min()
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        for (at, why) in self.limits() {
            if at.is_some_and(|at| at <= now) && self.ended.is_none() {
                self.ended = Some(why);
                let _ = self.transcript.write(Kind::Interrupted, why);
                self.leave_at = Some(now);
            }
        }
        if self.exit.is_some() {
            return;
        }
        match (self.leave_at, self.asked_to_go) {
            (Some(at), None) if at <= now => {
                self.stdin = None;
                self.asked_to_go = Some(now);
                self.signal(libc::SIGTERM);
            }
            (_, Some(asked)) if asked + GRACE <= now => {
                self.asked_to_go = Some(now);
                self.signal(libc::SIGKILL);
            }
            _ => {}
        }
    }

    /// The agent's own group; what it put elsewhere is swept by the keeper when we are gone.
    fn signal(&self, signal: i32) {
        // SAFETY: no memory involved; our child leads that group and is not reaped while `exit` is empty.
        unsafe { libc::kill(-self.pid, signal) };
    }

    fn tell(&mut self) {
        let grown = Grown { bytes: self.transcript.bytes() };
        if let (Some(stream), Ok(mut line)) = (&mut self.daemon, serde_json::to_vec(&grown)) {
            line.push(b'\n');
            if stream.write_all(&line).is_err() {
                self.daemon = None;
            }
        }
    }

    fn result(&mut self) -> HostResult {
        self.tell_omitted();
        let status = self.exit.map(|(status, _)| status).unwrap_or_else(|| ExitStatus::from_raw(0));
        let own = self.talk.end.as_ref().is_some_and(|end| end.done);
        match (self.ended, status.code(), status.signal()) {
            // It had said that it was done before its time ran out.
            (Some(why), ..) if !own => HostResult { end: why.to_owned(), ..HostResult::default() },
            (_, Some(code), _) => HostResult { end: "exit".to_owned(), number: code, why: String::new() },
            (_, None, Some(signal)) => HostResult { end: "signal".to_owned(), number: signal, why: String::new() },
            (_, None, None) => HostResult { end: "exit".to_owned(), number: 1, why: String::new() },
        }
    }
}

/// Lines to the agent, from a thread of their own: one that does not read must not stop its host.
fn write_lines(child: &mut Child) -> mpsc::Sender<String> {
    let (to, lines) = mpsc::channel::<String>();
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            for line in lines {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n")).is_err() {
                    return;
                }
            }
        });
    }
    to
}

/// Lines of one of the agent's streams. What is too long is cut, and what is no text is made some.
fn read_lines(stream: impl Read + Send + 'static, to: mpsc::SyncSender<Wake>, of: fn(String) -> Wake) {
    thread::spawn(move || {
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = reader.by_ref().take(LINE_BYTES_MAX as u64);
            let Ok(count) = limited.read_until(b'\n', &mut line) else { break };
            if count == 0 {
                break;
            }
            if line.last() != Some(&b'\n') && count == LINE_BYTES_MAX {
                skip_line(&mut reader);
            }
            if to.send(of(String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
        let _ = to.send(Wake::Silence);
    });
}

fn skip_line(reader: &mut impl BufRead) {
    loop {
        let Ok(bytes) = reader.fill_buf() else { return };
        let (count, end) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (bytes.len(), bytes.is_empty()),
        };
        reader.consume(count);
        if end {
            return;
        }
    }
}
