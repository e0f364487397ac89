//! The keeper's process: one thread, one loop, awake only when something happened or is due.
//!
//! Each turn: take what is ready (orders, output, deaths), do what is due, start what may start, and only then write
//! the log and tell the daemon, so that a turn costs one write each however much it did.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    os::{fd::AsRawFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    child::{self, Env, Failure, Launched, Launcher},
    line::Line,
    log::{Log, LogEntry, read_log},
    output::{Output, Pipe, Summary},
    poller::{Poller, Ready, Signals},
    process::{self, Reaped},
    protocol::{End, Ended, Job, NotStarted, Notice, Order, RunningJob, VERSION},
    queue::Queue,
    socket,
    tree::{self, Adoption, Member, StartMark},
};

/// A job that ends sooner is never announced: most do, and their end says it all.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(20);
/// How often a job's output is reported.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long results may wait for more of their kind while jobs are queued, so that nobody could start anything sooner
/// for knowing them, or while so many run that the processors have enough to do. Each message wakes the daemon, and
/// each is a flush: with ten jobs of a third of a millisecond that is one for every two of them otherwise.
const RESULTS_WAIT: Duration = Duration::from_millis(3);
/// How many jobs more than there are processors keep these busy until what comes next is there.
const BUSY_BEYOND: usize = 1;
/// How many pipes are kept for the next jobs: a new one costs as much as a tenth of starting a process.
const SPARE_MAX: usize = 64;
/// How often killed processes that are still there are killed again, and for how long.
const SWEEP_EVERY: Duration = Duration::from_millis(50);
const SWEEP_MAX: Duration = Duration::from_secs(10);
/// How long to stay with nothing to do and nobody connected, without and with results nobody took.
const REST_AFTER: Duration = Duration::from_secs(60);
const REST_AFTER_UNTAKEN: Duration = Duration::from_secs(600);
/// A log longer than this is rewritten when most of it is history: whoever comes after a killed keeper reads it before
/// anything can start.
const LOG_BYTES_MAX: u64 = 128 << 10;

const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const LINE: u64 = 2;
/// Jobs have numbers from here on, as descriptors and otherwise; never used twice.
const FIRST_JOB: u64 = 3;

/// Runs the keeper of `dir` until it is told to stop or has nothing left to do.
///
/// Takes over the process: standard streams, signals, session. Standard output is let go of when connections are
/// accepted. Errors: `WouldBlock` when `dir` has a keeper already; otherwise whatever made starting impossible.
pub fn run_keeper(dir: &Path) -> io::Result<()> {
    process::close_inherited();
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).recursive(true).create(dir)?;
    let dir = std::path::absolute(dir)?;
    let _lock = socket::lock(&dir)?;
    process::detach(&dir)?;
    // Complaints go to DIR/keeper.err; where the program has set up something else already, that stands.
    let _ = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).try_init();
    let result = Keeper::new(dir.clone()).and_then(|mut keeper| keeper.run());
    if let Err(error) = &result {
        tracing::error!("the keeper of {} ends: {error}", dir.display());
    }
    socket::remove(&dir);
    result
}

/// Why and how far a job is being ended.
struct Stop {
    /// What to report; `None` when the keeper itself is told to go and the job's end is nobody's decision.
    cause: Option<End>,
    kill_at: Instant,
    killed: bool,
}

/// A job that has, or had, processes.
struct Running {
    job: Job,
    pid: i32,
    launched: Launched,
    mark: StartMark,
    started: Instant,
    started_at_ms: u64,
    start_ticks: u64,
    announced: bool,
    output: Output,
    printed: Instant,
    /// The last progress report, and the bytes it told.
    progress: (Instant, u64),
    stop: Option<Stop>,
    /// Set when the first process is gone; from then on only what it left behind keeps the job.
    exit: Option<(Reaped, Instant)>,
    sweep_at: Option<Instant>,
    swept: HashSet<i32>,
}

impl Running {
    /// When this job needs attention even if nothing happens.
    fn due(&self) -> Option<Instant> {
        let announce = (!self.announced && self.exit.is_none()).then(|| self.started + ANNOUNCE_AFTER);
        let progress = (self.output.total_bytes() > self.progress.1).then(|| self.progress.0 + PROGRESS_EVERY);
        let limits = if self.stop.is_none() && self.exit.is_none() { self.limit() } else { None };
        let kill = self.stop.as_ref().filter(|stop| !stop.killed).map(|stop| stop.kill_at);
        [announce, progress, limits.map(|(at, _)| at), kill, self.sweep_at].into_iter().flatten().min()
    }

    /// The limit that comes first.
    fn limit(&self) -> Option<(Instant, End)> {
        let at = |from: Instant, ms: Option<u64>, end| Some((from.checked_add(Duration::from_millis(ms?))?, end));
        let timeout = at(self.started, self.job.timeout_ms, End::Timeout);
        let silence = at(self.printed, self.job.silence_ms, End::Silent);
        timeout.into_iter().chain(silence).min_by_key(|(at, _)| *at)
    }

    fn public(&self) -> RunningJob {
        RunningJob { id: self.job.id.clone(), pid: self.pid, started_at_ms: self.started_at_ms }
    }
}

/// Where a known job is.
#[derive(Clone, Copy)]
enum Place {
    Queued { group: u32 },
    Running { number: u64 },
    Ended { seq: u64 },
}

struct Keeper {
    dir: PathBuf,
    token: String,
    poller: Poller,
    signals: Signals,
    listener: UnixListener,
    launcher: Launcher,
    log: Log,
    line: Option<Line>,
    envs: HashMap<u32, Rc<Env>>,
    queue: Queue<(Job, Rc<Env>)>,
    running: HashMap<u64, Running>,
    /// Pipes of jobs that are over, for the next ones, each watched under its last job's number.
    spare: Vec<(u64, Pipe)>,
    /// Jobs by first process, as long as that is unreaped.
    mains: HashMap<i32, u64>,
    places: HashMap<String, Place>,
    unacknowledged: BTreeMap<u64, Ended>,
    adoption: Adoption,
    processors: usize,
    next_number: u64,
    next_seq: u64,
    /// Since when nobody is connected and nothing happens.
    resting_since: Instant,
    /// Told to end; nothing is started any more.
    stopping: bool,
    /// Told so by SIGTERM: the log is then the only witness of the jobs we end without a result.
    interrupted: bool,
    /// Until when results wait to be sent; `None` when none does.
    results_wait: Option<Instant>,
    /// Something else is to be sent, without waiting.
    urgent: bool,
    buffer: Vec<u8>,
}

impl Keeper {
    fn new(dir: PathBuf) -> io::Result<Keeper> {
        let signals = Signals::new()?;
        let token = process::token()?;
        let unacknowledged = settle_predecessor(&read_log(&dir));
        let header =
            LogEntry::Keeper { token: token.clone(), pid: std::process::id() as i32, boot: process::boot_id() };
        let live: Vec<LogEntry> = unacknowledged.values().cloned().map(LogEntry::Ended).collect();
        let log = Log::create(&dir, &header, &live)?;
        let listener = socket::listen(&dir)?;
        let mut poller = Poller::new()?;
        poller.add(listener.as_raw_fd(), LISTENER)?;
        poller.add(signals.fd(), SIGNALS)?;
        process::say_ready()?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Keeper {
            adoption: Adoption::new(&token),
            places: unacknowledged.values().map(|e| (e.id.clone(), Place::Ended { seq: e.seq })).collect(),
            next_seq: unacknowledged.keys().next_back().map_or(1, |last| last + 1),
            unacknowledged,
            dir,
            token,
            poller,
            signals,
            listener,
            launcher: Launcher::new()?,
            log,
            line: None,
            envs: HashMap::new(),
            queue: Queue::new(processors as u32, process::running_max()),
            running: HashMap::new(),
            spare: Vec::new(),
            mains: HashMap::new(),
            processors,
            next_number: FIRST_JOB,
            resting_since: Instant::now(),
            stopping: false,
            interrupted: false,
            results_wait: None,
            urgent: false,
            buffer: Vec::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut ready: Vec<Ready> = Vec::new();
        loop {
            self.poller.wait(self.timeout(), &mut ready)?;
            let mut died = false;
            for event in &ready {
                match event.token {
                    LISTENER => self.accept(),
                    SIGNALS => {
                        died = true;
                        if self.signals.take() {
                            self.go_away();
                        }
                    }
                    LINE => {
                        if event.readable {
                            self.read_orders();
                        }
                    }
                    number => self.read_output(number),
                }
            }
            if died {
                self.reap();
            }
            self.do_what_is_due();
            self.start_what_may_start();
            self.record();
            self.tell();
            let over = self.stopping && self.running.is_empty() && self.queue.is_idle();
            if over || self.rest_left().is_some_and(|left| left.is_zero()) {
                if !self.interrupted {
                    // What was acknowledged need not be told to the next daemon.
                    self.forget_history()?;
                }
                if let Some(line) = &mut self.line {
                    line.flush_last();
                }
                return Ok(());
            }
        }
    }

    /// How long nothing needs to be done unless something happens.
    fn timeout(&self) -> Option<Duration> {
        let due = self.running.values().filter_map(Running::due).min();
        let due = due.map(|at| at.saturating_duration_since(Instant::now()));
        let results = self.results_wait.map(|at| at.saturating_duration_since(Instant::now()));
        due.into_iter().chain(results).chain(self.rest_left()).min()
    }

    /// How long until the keeper may end for want of work, if it may at all.
    fn rest_left(&self) -> Option<Duration> {
        if self.line.is_some() || !self.running.is_empty() || !self.queue.is_idle() {
            return None;
        }
        Some(rest_after(self.unacknowledged.is_empty()).saturating_sub(self.resting_since.elapsed()))
    }

    // --- the connection ---

    /// Takes the newest connection; an older one is closed: its daemon is gone or has been replaced.
    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if !socket::is_ours(&stream) {
                tracing::warn!("refused a connection from another user");
                continue;
            }
            // Accepting does not pass the listener's mode on.
            if let Err(error) = stream.set_nonblocking(true) {
                tracing::error!("cannot use the new connection: {error}");
                continue;
            }
            // What the older daemon had sent by now was in order when it was sent.
            self.read_orders();
            self.hang_up();
            let line = Line::new(stream);
            match self.poller.add(line.fd(), LINE) {
                Ok(()) => self.line = Some(line),
                Err(error) => tracing::error!("cannot watch the new connection: {error}"),
            }
        }
    }

    fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            self.poller.remove(line.fd());
            self.resting_since = Instant::now();
        }
    }

    fn read_orders(&mut self) {
        let Some(line) = &mut self.line else { return };
        let mut orders = Vec::new();
        let open = line.read(&mut self.buffer, &mut orders);
        for order in orders.iter().filter(|order| !order.is_empty()) {
            match serde_json::from_slice(order) {
                Ok(order) => self.obey(order),
                Err(error) => self.refuse(named_job(order), format!("not an order of version {VERSION}: {error}")),
            }
        }
        if !open {
            self.hang_up();
        }
    }

    fn notify(&mut self, notice: &Notice) {
        if let Some(line) = self.line.as_mut().filter(|line| line.greeted) {
            self.urgent |= !matches!(notice, Notice::Ended(_));
            line.push(notice);
        }
    }

    fn refuse(&mut self, id: String, why: String) {
        self.notify(&Notice::Refused { id, why });
    }

    fn tell(&mut self) {
        let Some(line) = &mut self.line else {
            self.results_wait = None;
            return;
        };
        if !line.has_unsent() {
            return;
        }
        let busy = self.running.len() >= self.processors + BUSY_BEYOND;
        if (self.queue.has_waiting() || busy) && !self.urgent {
            let now = Instant::now();
            if now < *self.results_wait.get_or_insert(now + RESULTS_WAIT) {
                return;
            }
        }
        self.results_wait = None;
        self.urgent = false;
        let was_blocked = line.blocked;
        if !line.flush() {
            return self.hang_up();
        }
        if line.blocked != was_blocked
            && let Err(error) = self.poller.change(line.fd(), LINE, line.blocked)
        {
            tracing::error!("cannot watch the connection: {error}");
            self.hang_up();
        }
    }

    // --- orders ---

    fn obey(&mut self, order: Order) {
        match order {
            Order::Hello { version: _ } => self.welcome(),
            // Without a greeting we do not know whom we talk to; saying nothing would look like obedience.
            _ if !self.line.as_ref().is_some_and(|line| line.greeted) => self.hang_up(),
            Order::Env { id, vars, writable } => match Env::new(vars, writable.as_deref()) {
                Ok(env) => drop(self.envs.insert(id, Rc::new(env))),
                Err(why) => {
                    self.envs.remove(&id);
                    self.refuse(String::new(), format!("environment {id}: {why}"));
                }
            },
            Order::Limit { group, slots } => self.queue.limit(group, slots),
            Order::Start(job) => self.order_job(job),
            Order::Cancel { id, grace_ms } => self.cancel(id, grace_ms),
            Order::Ack { ids, up_to } => self.acknowledge(&ids, up_to),
            Order::Stop => self.stop_everything(),
        }
    }

    fn welcome(&mut self) {
        let mut running: Vec<(&u64, &Running)> = self.running.iter().collect();
        running.sort_unstable_by_key(|(number, _)| **number);
        let notice = Notice::Welcome {
            version: VERSION,
            pid: std::process::id() as i32,
            running: running.into_iter().map(|(_, running)| running.public()).collect(),
            queued: self.queue.waiting().map(str::to_owned).collect(),
            ended: self.unacknowledged.values().cloned().collect(),
        };
        if let Some(line) = &mut self.line {
            line.greeted = true;
            self.urgent = true;
            line.push(&notice);
        }
    }

    fn order_job(&mut self, job: Job) {
        if let Some(place) = self.places.get(&job.id) {
            let again = match place {
                Place::Queued { .. } => None,
                Place::Running { number } => self.running.get(number).map(|running| Notice::Started(running.public())),
                Place::Ended { seq } => self.unacknowledged.get(seq).cloned().map(Notice::Ended),
            };
            if let Some(notice) = again {
                self.notify(&notice);
            }
            return;
        }
        if self.stopping {
            return self.refuse(job.id, "this keeper is ending: connect to the next one".to_owned());
        }
        if let Some(why) = child::malformed(&job) {
            return self.refuse(job.id, why);
        }
        let Some(env) = self.envs.get(&job.env) else {
            let why = format!("environment {} was not defined: send Env first", job.env);
            return self.refuse(job.id, why);
        };
        self.places.insert(job.id.clone(), Place::Queued { group: job.group });
        self.queue.push(job.group, job.id.clone(), (job, Rc::clone(env)));
    }

    fn cancel(&mut self, id: String, grace_ms: u64) {
        match self.places.get(&id).copied() {
            None => self.refuse(id, "no such job: its result was acknowledged, or it was never ordered".to_owned()),
            Some(Place::Ended { seq }) => {
                if let Some(ended) = self.unacknowledged.get(&seq).cloned() {
                    self.notify(&Notice::Ended(ended));
                }
            }
            Some(Place::Queued { group }) => {
                if let Some((job, _)) = self.queue.remove(group, &id) {
                    self.never_ran(job, End::Cancelled);
                }
            }
            Some(Place::Running { number }) => self.end_job(number, Some(End::Cancelled), grace_ms),
        }
    }

    fn acknowledge(&mut self, ids: &[String], up_to: Option<u64>) {
        for id in ids {
            if let Some(Place::Ended { seq }) = self.places.get(id).copied() {
                self.unacknowledged.remove(&seq);
                self.places.remove(id);
            }
        }
        while let Some(first) = self.unacknowledged.first_entry()
            && up_to.is_some_and(|last| *first.key() <= last)
        {
            self.places.remove(&first.remove().id);
        }
    }

    fn stop_everything(&mut self) {
        self.stopping = true;
        for (job, _) in self.queue.clear() {
            self.never_ran(job, End::Cancelled);
        }
        let numbers: Vec<u64> = self.running.keys().copied().collect();
        for number in numbers {
            let grace_ms = self.running.get(&number).map_or(0, |running| running.job.grace_ms);
            self.end_job(number, Some(End::Cancelled), grace_ms);
        }
    }

    /// SIGTERM: the system goes down, or a person wants us gone. Nobody decided anything about the jobs, so those that
    /// we end get no result; the log tells that they had started.
    fn go_away(&mut self) {
        self.stopping = true;
        self.interrupted = true;
        for (job, _) in self.queue.clear() {
            self.places.remove(&job.id);
        }
        let numbers: Vec<u64> = self.running.keys().copied().collect();
        for number in numbers {
            let grace_ms = self.running.get(&number).map_or(0, |running| running.job.grace_ms);
            self.end_job(number, None, grace_ms);
        }
    }

    // --- starting ---

    fn start_what_may_start(&mut self) {
        loop {
            let batch: Vec<(Job, Rc<Env>)> = std::iter::from_fn(|| self.queue.take()).collect();
            if batch.is_empty() {
                return;
            }
            let at_ms = process::now_ms();
            for (job, _) in &batch {
                self.log.push(&LogEntry::Started { id: job.id.clone(), at_ms });
            }
            let recorded = self.log.write();
            for (job, env) in batch {
                match &recorded {
                    Ok(()) => self.start(job, &env, at_ms),
                    Err(error) => {
                        let folder = self.dir.display();
                        let message = format!("cannot record the start in {folder}: {error}; free some disk space");
                        self.queue.release(job.group);
                        self.never_ran(job, End::NotStarted { reason: NotStarted::Other, message });
                    }
                }
            }
        }
    }

    fn start(&mut self, job: Job, env: &Rc<Env>, started_at_ms: u64) {
        let start_ticks = process::boot_ticks();
        let number = self.next_number;
        let started = self.try_start(&job, env, number);
        let (pid, launched, pipe) = match started {
            Ok(started) => started,
            Err(Failure { reason, message }) => {
                self.queue.release(job.group);
                return self.never_ran(job, End::NotStarted { reason, message });
            }
        };
        self.next_number += 1;
        let now = Instant::now();
        self.mains.insert(pid, number);
        self.places.insert(job.id.clone(), Place::Running { number });
        let running = Running {
            pid,
            launched,
            mark: self.adoption.started(pid),
            started: now,
            started_at_ms,
            start_ticks,
            announced: false,
            output: Output::new(pipe, job.log.clone(), job.cap_bytes),
            printed: now,
            progress: (now, 0),
            stop: None,
            exit: None,
            sweep_at: None,
            swept: HashSet::new(),
            job,
        };
        self.running.insert(number, running);
    }

    fn try_start(&mut self, job: &Job, env: &Rc<Env>, number: u64) -> Result<(i32, Launched, Pipe), Failure> {
        let pipe = self.pipe(number).map_err(|error| Failure {
            reason: NotStarted::Other,
            message: format!("cannot make a pipe for the output: {error}; raise `ulimit -n` or run fewer jobs at once"),
        })?;
        match child::start(&mut self.launcher, job, env, &self.token, pipe.writer()) {
            Ok((pid, launched)) => Ok((pid, launched, pipe)),
            Err(failure) => {
                self.poller.remove(pipe.reader());
                Err(failure)
            }
        }
    }

    /// A pipe, watched under `number`.
    fn pipe(&mut self, number: u64) -> io::Result<Pipe> {
        match self.spare.pop() {
            Some((_, pipe)) => self.poller.change(pipe.reader(), number, false).map(|()| pipe),
            None => {
                let pipe = Pipe::new()?;
                self.poller.add(pipe.reader(), number).map(|()| pipe)
            }
        }
    }

    /// Keeps the pipe of a job that is over for another, unless somebody may still write to it.
    fn put_by(&mut self, number: u64, pipe: Pipe, clean: bool) {
        if clean && self.spare.len() < SPARE_MAX {
            self.spare.push((number, pipe));
        } else {
            self.poller.remove(pipe.reader());
        }
    }

    // --- running ---

    fn read_output(&mut self, number: u64) {
        match self.running.get_mut(&number) {
            Some(running) => {
                if running.output.read_turn(&mut self.buffer) {
                    running.printed = Instant::now();
                }
            }
            // Somebody whom we cannot see, such as one to whom the job had passed its descriptor: not the next job's.
            None => {
                for (_, pipe) in self.spare.extract_if(.., |(last, _)| *last == number) {
                    self.poller.remove(pipe.reader());
                }
            }
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let due = self.running.iter().filter(|(_, running)| running.due().is_some_and(|at| at <= now));
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        let mut sweep = false;
        for number in due {
            sweep |= self.attend(number, now);
        }
        if sweep {
            self.settle(&[]);
        }
    }

    /// Does what is due for one job; says whether its leftovers need another look.
    fn attend(&mut self, number: u64, now: Instant) -> bool {
        let Some(running) = self.running.get_mut(&number) else { return false };
        if !running.announced && running.exit.is_none() && running.started + ANNOUNCE_AFTER <= now {
            running.announced = true;
            let notice = Notice::Started(running.public());
            let (id, pid) = (running.job.id.clone(), running.pid);
            let start_ticks = tree::process(pid).map_or(0, |process| process.start_ticks);
            self.log.push(&LogEntry::Running { id, pid, start_ticks });
            self.notify(&notice);
        }
        let Some(running) = self.running.get_mut(&number) else { return false };
        let bytes = running.output.total_bytes();
        if bytes > running.progress.1 && running.progress.0 + PROGRESS_EVERY <= now {
            running.progress = (now, bytes);
            let notice = Notice::Output { id: running.job.id.clone(), bytes };
            self.notify(&notice);
        }
        let Some(running) = self.running.get(&number) else { return false };
        if running.stop.is_none()
            && running.exit.is_none()
            && let Some((at, end)) = running.limit()
            && at <= now
        {
            let grace_ms = running.job.grace_ms;
            self.end_job(number, Some(end), grace_ms);
        }
        let Some(running) = self.running.get(&number) else { return false };
        let kill = running.stop.as_ref().is_some_and(|stop| !stop.killed && stop.kill_at <= now);
        let again = running.sweep_at.is_some_and(|at| at <= now);
        if !kill && !again {
            return false;
        }
        if running.exit.is_some() {
            if let Some(stop) = self.running.get_mut(&number).and_then(|running| running.stop.as_mut()) {
                stop.killed = true;
            }
            return true;
        }
        self.kill_tree(number, now);
        false
    }

    /// SIGKILL for a job whose first process lives. Its end, and what then is left, comes with the reaping.
    fn kill_tree(&mut self, number: u64, now: Instant) {
        let members = self.members();
        let Some(running) = self.running.get_mut(&number) else { return };
        if let Some(stop) = &mut running.stop {
            stop.killed = true;
        }
        process::lead_group(running.pid);
        process::signal_group(running.pid, libc::SIGKILL);
        for member in members.iter().filter(|member| member.job.as_ref() == Some(&running.job.id)) {
            if tree::signal(&member.process, libc::SIGKILL) && member.process.pid != running.pid {
                running.swept.insert(member.process.pid);
            }
        }
        // A first process that hangs in the kernel is asked again, ever less often; its end cannot be made up.
        let pause = if running.sweep_at.is_some() { SWEEP_MAX } else { SWEEP_EVERY };
        running.sweep_at = Some(now + pause);
    }

    /// Begins to end a job: SIGTERM to all its processes, and after the grace SIGKILL.
    fn end_job(&mut self, number: u64, cause: Option<End>, grace_ms: u64) {
        let members = self.members();
        let Some(running) = self.running.get_mut(&number) else { return };
        let now = Instant::now();
        let kill_at = now.checked_add(Duration::from_millis(grace_ms)).unwrap_or(now + Duration::from_secs(86_400));
        if let Some(stop) = &mut running.stop {
            // The first reason stands; a shorter patience counts.
            stop.kill_at = stop.kill_at.min(kill_at);
            return;
        }
        if running.exit.is_some() {
            // It has ended by itself; only what it left is being killed.
            return;
        }
        running.stop = Some(Stop { cause, kill_at, killed: false });
        process::lead_group(running.pid);
        process::signal_group(running.pid, libc::SIGTERM);
        for member in members.iter().filter(|member| member.job.as_ref() == Some(&running.job.id)) {
            if member.process.group != running.pid {
                tree::signal(&member.process, libc::SIGTERM);
            }
        }
    }

    // --- ending ---

    fn reap(&mut self) {
        let mut ended = Vec::new();
        while let Some(reaped) = process::reap() {
            match self.mains.remove(&reaped.pid) {
                Some(number) => {
                    if let Some(running) = self.running.get_mut(&number) {
                        running.exit = Some((reaped, Instant::now()));
                        running.sweep_at = None;
                        ended.push(number);
                    }
                }
                None => self.adoption.reaped(reaped.pid),
            }
        }
        self.settle(&ended);
    }

    /// All descendants, each with its job.
    fn members(&mut self) -> Vec<Member> {
        let running = &self.running;
        let ids: HashMap<i32, &str> = running.values().map(|r| (r.pid, r.job.id.as_str())).collect();
        self.adoption.scan(&|pid| ids.get(&pid).map(|id| (*id).to_owned()))
    }

    /// Finishes the jobs whose first process is gone, `ended` just now, as soon as nothing of them is left.
    fn settle(&mut self, ended: &[u64]) {
        let gone: Vec<u64> = self.running.iter().filter(|(_, r)| r.exit.is_some()).map(|(number, _)| *number).collect();
        if gone.is_empty() {
            return;
        }
        let leftovers = if gone.len() > ended.len() || self.suspects(ended) { self.leftovers() } else { Vec::new() };
        let now = Instant::now();
        let mut over = gone;
        // Results are numbered in the order in which the jobs were started.
        over.sort_unstable();
        for number in over {
            let Some(running) = self.running.get_mut(&number) else { continue };
            let Some((reaped, exited)) = running.exit else { continue };
            let mine: Vec<&Member> = leftovers.iter().filter(|m| m.job.as_ref() == Some(&running.job.id)).collect();
            let group_left = !cfg!(target_os = "linux") && group_exists(running.pid);
            let hopeless = now >= exited + SWEEP_MAX && running.stop.as_ref().is_none_or(|stop| stop.killed);
            if (mine.is_empty() && !group_left) || hopeless {
                if hopeless {
                    tracing::error!("{}: {} processes could not be killed", running.job.id, mine.len());
                }
                self.finish(number, reaped);
                continue;
            }
            // A job that is being ended has until its grace is over; what merely outlived its job has not.
            if running.stop.as_ref().is_some_and(|stop| !stop.killed && now < stop.kill_at) {
                continue;
            }
            if let Some(stop) = &mut running.stop {
                stop.killed = true;
            }
            if group_left {
                process::signal_group(running.pid, libc::SIGKILL);
            }
            for member in mine {
                if tree::signal(&member.process, libc::SIGKILL) {
                    running.swept.insert(member.process.pid);
                }
            }
            running.sweep_at = Some(now + SWEEP_EVERY);
        }
    }

    /// The cheap look: whether `ended` jobs may have left anything.
    fn suspects(&self, ended: &[u64]) -> bool {
        let marks: Vec<StartMark> = ended.iter().filter_map(|n| self.running.get(n)).map(|r| r.mark).collect();
        let runs = |id: &str| match self.places.get(id) {
            Some(Place::Running { number }) => self.running.get(number).is_some_and(|r| r.exit.is_none()),
            _ => false,
        };
        self.adoption.suspicious(&marks, &|pid| self.mains.contains_key(&pid), &runs)
    }

    /// The thorough look: what is left of jobs whose first process is gone. A process that does not say whose it is
    /// belongs to nobody as long as a job that was there before it still runs, and then to the last that has ended.
    fn leftovers(&mut self) -> Vec<Member> {
        let mut members = self.members();
        let (mut dead, mut live) = (Vec::new(), Vec::new());
        for running in self.running.values() {
            if running.exit.is_some() { dead.push(running) } else { live.push(running) }
        }
        dead.sort_unstable_by_key(|running| running.start_ticks);
        for member in members.iter_mut().filter(|member| member.job.is_none()) {
            // A tick is ten milliseconds, and both were rounded.
            let before = |running: &&&Running| running.start_ticks <= member.process.start_ticks + 1;
            if !live.iter().any(|running| before(&running)) {
                member.job = dead.iter().rev().find(before).map(|running| running.job.id.clone());
            }
        }
        members.retain(|member| dead.iter().any(|running| member.job.as_ref() == Some(&running.job.id)));
        members
    }

    fn finish(&mut self, number: u64, reaped: Reaped) {
        let Some(mut running) = self.running.remove(&number) else { return };
        let summary = running.output.finish(&mut self.buffer);
        let clean = summary.output_bytes == 0 && running.swept.is_empty() && running.stop.is_none();
        self.put_by(number, running.output.into_pipe(), clean);
        self.queue.release(running.job.group);
        let trouble = running.launched.trouble(&running.job);
        self.launcher.gone(running.launched);
        let end = match (running.stop, trouble) {
            (None, None) => process::end_of(reaped.status),
            // It never became the job.
            (None, Some(Failure { reason, message })) => {
                return self.never_ran(running.job, End::NotStarted { reason, message });
            }
            (Some(Stop { cause: Some(cause), .. }), _) => cause,
            (Some(Stop { cause: None, .. }), _) => {
                self.places.remove(&running.job.id);
                return;
            }
        };
        self.report(Ended {
            seq: self.next_seq,
            id: running.job.id,
            end,
            started_at_ms: running.started_at_ms,
            ended_at_ms: process::now_ms(),
            output_bytes: summary.output_bytes,
            dropped_bytes: summary.dropped_bytes,
            tail: summary.tail,
            cpu_ms: reaped.cpu_ms,
            max_rss_kb: reaped.max_rss_kb,
            swept: running.swept.len() as u32,
        });
    }

    fn never_ran(&mut self, job: Job, end: End) {
        let at_ms = process::now_ms();
        let nothing = Summary { output_bytes: 0, dropped_bytes: 0, tail: String::new() };
        self.report(without_process(self.next_seq, job.id, end, at_ms, at_ms, nothing));
    }

    fn report(&mut self, ended: Ended) {
        self.next_seq = ended.seq + 1;
        self.places.insert(ended.id.clone(), Place::Ended { seq: ended.seq });
        let entry = LogEntry::Ended(ended.clone());
        self.log.push(&entry);
        // Sent at the turn's end, after the log was written.
        self.notify(&Notice::Ended(ended.clone()));
        self.unacknowledged.insert(ended.seq, ended);
        self.resting_since = Instant::now();
    }

    // --- the log ---

    fn record(&mut self) {
        let settled = self.unacknowledged.is_empty() && self.running.is_empty() && self.queue.is_idle();
        let written = if settled && !self.interrupted && self.log.grown_bytes() > 0 {
            self.log.rewrite(&[])
        } else {
            self.log.write().and_then(|()| self.compact())
        };
        if let Err(error) = written {
            // The daemon still hears of everything; only a killed keeper would now lose something.
            tracing::error!("cannot write the log: {error}");
        }
    }

    /// Rewrites a log that is mostly history.
    fn compact(&mut self) -> io::Result<()> {
        // At least as much was added as was kept, so that what is written again is never more than what was written.
        if self.log.grown_bytes() < LOG_BYTES_MAX.max(2 * self.log.kept_bytes()) {
            return Ok(());
        }
        self.forget_history()
    }

    fn forget_history(&mut self) -> io::Result<()> {
        let ended = self.unacknowledged.values().cloned().map(LogEntry::Ended);
        let started = self.running.values();
        let started = started.map(|r| LogEntry::Started { id: r.job.id.clone(), at_ms: r.started_at_ms });
        let live: Vec<LogEntry> = ended.chain(started).collect();
        self.log.rewrite(&live)
    }
}

/// How long a keeper without connection and work stays.
fn rest_after(all_acknowledged: bool) -> Duration {
    let rest = if all_acknowledged { REST_AFTER } else { REST_AFTER_UNTAKEN };
    // Tests of the real program have no minutes to wait: there a second is as long as they say. Builds for people do
    // not have this.
    #[cfg(debug_assertions)]
    if let Some(ms) = std::env::var("ORCHESTRATOR_TEST_SECOND_MS").ok().and_then(|ms| ms.parse::<u32>().ok()) {
        return rest / 1000 * ms;
    }
    rest
}

#[cfg(not(target_os = "linux"))]
fn group_exists(pid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::kill(-pid, 0) == 0 }
}

#[cfg(target_os = "linux")]
fn group_exists(_pid: i32) -> bool {
    // Every leftover was adopted, and adopted processes are looked for anyway.
    false
}

/// The job that an order we cannot read is about, if it says.
fn named_job(order: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(order).unwrap_or_default();
    let body = value.as_object().and_then(|object| object.values().next());
    body.and_then(|body| body.get("id")?.as_str()).unwrap_or_default().to_owned()
}

fn without_process(seq: u64, id: String, end: End, started: u64, ended: u64, summary: Summary) -> Ended {
    Ended {
        seq,
        id,
        end,
        started_at_ms: started,
        ended_at_ms: ended,
        output_bytes: summary.output_bytes,
        dropped_bytes: summary.dropped_bytes,
        tail: summary.tail,
        cpu_ms: 0,
        max_rss_kb: 0,
        swept: 0,
    }
}

/// What a killed predecessor leaves: results nobody is known to have taken, and jobs that it started and did not see
/// end. The processes of the latter are killed; they are reported as lost, and a repeated order does not run them
/// again.
fn settle_predecessor(log: &[LogEntry]) -> BTreeMap<u64, Ended> {
    let mut ended: BTreeMap<u64, Ended> = BTreeMap::new();
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    let mut tokens = Vec::new();
    for entry in log {
        match entry {
            LogEntry::Keeper { token, boot, .. } => {
                if *boot == process::boot_id() {
                    tokens.push(token);
                }
            }
            LogEntry::Started { id, at_ms } => drop(open.insert(id, *at_ms)),
            LogEntry::Running { .. } => {}
            LogEntry::Ended(end) => {
                open.remove(end.id.as_str());
                ended.insert(end.seq, end.clone());
            }
        }
    }
    if !open.is_empty() {
        let swept: usize = tokens.iter().map(|token| tree::sweep_orphans(token)).sum();
        tracing::warn!("the last keeper was killed with {} jobs running; {swept} processes were left", open.len());
    }
    let now_ms = process::now_ms();
    for (id, at_ms) in open {
        let seq = ended.keys().next_back().map_or(1, |last| last + 1);
        let nothing = Summary { output_bytes: 0, dropped_bytes: 0, tail: String::new() };
        ended.insert(seq, without_process(seq, id.to_owned(), End::Lost, at_ms, now_ms, nothing));
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untaken_results_keep_the_keeper_longer() {
        assert!(rest_after(true) < rest_after(false));
    }

    #[test]
    fn a_predecessors_open_jobs_are_lost_and_its_results_kept() {
        let nothing = || Summary { output_bytes: 0, dropped_bytes: 0, tail: String::new() };
        let done = without_process(7, "done".into(), End::Exit(0), 1, 2, nothing());
        let log = [
            LogEntry::Started { id: "done".into(), at_ms: 1 },
            LogEntry::Started { id: "open".into(), at_ms: 5 },
            LogEntry::Ended(done.clone()),
        ];
        let settled = settle_predecessor(&log);
        assert_eq!(settled.keys().copied().collect::<Vec<_>>(), [7, 8]);
        assert_eq!(settled[&7], done);
        assert_eq!((settled[&8].id.as_str(), &settled[&8].end, settled[&8].started_at_ms), ("open", &End::Lost, 5));
    }

    #[test]
    fn an_unreadable_order_is_told_by_its_job() {
        assert_eq!(named_job(br#"{"start":{"id":"T-1.1"}}"#), "T-1.1");
        assert_eq!(named_job(b"nonsense"), "");
    }
}
