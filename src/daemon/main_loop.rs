//! One loop per workspace: everything that can wake it, in one place, and the only code that changes its state.
//!
//! A turn takes all that has arrived, steps the core with each, and makes one commit of all their events. Replies,
//! effects and notifications wait until that commit is on disk. If a commit fails, the workspace is closed and read
//! again from its journal: memory is a cache of the log.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    agents::{
        self,
        keeper::{self, Keeper, Notice, Order},
    },
    convert::{Clock, Memo, View, WorkspaceInfo},
    effects::{Hands, SetUp, setup_mark},
    lanes::Repo,
    policy::InForce,
    publish::{Published, Subscribers},
    reconcile,
};
use crate::{
    api::count::Count,
    core::{
        Command, Ctx, Effect, Event, Input, Rejection, Reply, Report, Rng, Settings, State,
        decide::known,
        effect,
        job::{End, JobId, JobOrder, JobResult},
        recover::failure::SETUP,
        step,
    },
    ids::{AttemptId, RunId},
    rest::give_back,
    store::{AppendError, Journal, NewCommit, Position, StoreError, Urgency},
    time::{Timestamp, now},
};

/// What is computed from the state before a commit and handed over after it.
pub type Deliver = Box<dyn FnOnce() + Send>;

/// A question about the state: answered at once, delivered when what it saw is on disk.
pub type Read = Box<dyn FnOnce(&View) -> Deliver + Send>;

/// What to do with the outcome of a command.
pub type Answer = Box<dyn FnOnce(Result<(&View, Reply), Rejection>) -> Deliver + Send>;

/// Everything that can wake the loop.
pub enum Wake {
    /// Somebody asked for something.
    Command(Box<Command>, Answer),
    /// Something happened.
    Report(Report),
    /// Somebody wants to know something.
    Read(Read),
    /// A lane is laid out, and something must run in it first.
    SetUp(Box<SetUp>),
    /// A commit is on disk, or is not and never will be.
    Durable(Result<Position, StoreError>),
    /// The keeper has something to say, in the connection of this number.
    Keeper(u64, Notice),
    /// A keeper was found or started (or not), as the connection of this number.
    Connected(u64, Result<Keeper, String>),
    /// Somebody follows the events after a position.
    Subscribe {
        /// The last position they know.
        after: Position,
        /// Where the events go; a slow reader is dropped, and resumes from its position.
        to: mpsc::Sender<Arc<Published>>,
    },
    /// End: save what makes the next start fast, and answer when done.
    Close(Deliver),
}

/// Most wakes taken in one turn: bounds how long a commit can grow and a reply can wait.
const TURN_MAX: usize = 512;

/// After this long without a wake the fold is saved, if enough has happened since the last one.
const QUIET: Duration = Duration::from_secs(2);

/// Commits since the last saved fold that make another worth its bytes.
const FOLD_AFTER: u64 = 200;

/// How long an idle workspace keeps its keeper's connection: a keeper without one ends by itself.
const KEEPER_IDLE: Duration = Duration::from_secs(3);

/// The events of a turn, and where they may be parted.
#[derive(Default)]
struct Told {
    events: Vec<Event>,
    cuts: Vec<usize>,
}

impl Told {
    fn add(&mut self, events: Vec<Event>, cuts: &[usize]) {
        let from = self.events.len();
        self.cuts.extend(cuts.iter().map(|cut| from + cut));
        self.events.extend(events);
    }

    /// The parts but the last, and that.
    fn parts(self) -> (Vec<Vec<Event>>, Vec<Event>) {
        let (mut events, mut parts, mut done) = (self.events, Vec::new(), 0);
        for cut in self.cuts {
            let rest = events.split_off(cut - done);
            parts.push(std::mem::replace(&mut events, rest));
            done = cut;
        }
        (parts, events)
    }
}

/// What waits for a position to be on disk.
#[derive(Default)]
struct Pending {
    position: Position,
    /// The count of changes that this turn led to.
    changes: u64,
    effects: Vec<Effect>,
    deliver: Vec<Deliver>,
    acks: Vec<String>,
    at: Timestamp,
    events: Vec<Event>,
}

/// The connection to the keeper.
enum Line {
    /// None, and none is needed.
    None,
    /// Being made; orders wait until the keeper has said what it knows.
    Connecting(Option<Keeper>, Vec<Order>),
    /// There.
    Open(Keeper),
}

/// One workspace, open.
pub struct Workspace {
    info: WorkspaceInfo,
    settings: Arc<Settings>,
    state: State,
    rng: Rng,
    journal: Box<dyn Journal>,
    durable: Position,
    pending: VecDeque<Pending>,
    hands: Hands,
    line: Line,
    /// The first connection to the keeper, if it was begun before the journal was read.
    early: Option<Early>,
    lines: u64,
    /// Jobs that the keeper was told of and has not reported.
    at_keeper: HashMap<JobId, JobOrder>,
    /// Lanes that are made ready for work, and what waits for that.
    setups: HashMap<JobId, SetUp>,
    /// Agents that are talked to.
    talks: HashMap<AttemptId, agents::Line>,
    rules: Arc<InForce>,
    keeper_dir: PathBuf,
    exe: PathBuf,
    subscribers: Subscribers,
    memo: Memo,
    /// Turns so far that may have changed anything, also what no event tells of.
    changes: u64,
    count: Counted,
    fold_at: Position,
    /// Something woke us since memory was last given back.
    stirred: bool,
    wakes: mpsc::UnboundedSender<Wake>,
    failed: Option<StoreError>,
    marked: bool,
}

/// The count of changes that clients look at, ended with the loop: what is in memory may not be on disk when a journal
/// fails, so nothing that was read of it holds afterwards.
struct Counted(Arc<Count>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(u64::MAX);
    }
}

/// A journal and the state that it leads to.
pub struct Loaded {
    journal: Box<dyn Journal>,
    state: State,
    fold_at: Position,
}

impl Loaded {
    /// Reads a journal: the cached fold, and what came after it.
    pub fn read(journal: Box<dyn Journal>) -> Result<Loaded, StoreError> {
        let (mut state, from) = match journal.load_fold()?.and_then(|(at, bytes)| Some((fold_of(&bytes)?, at))) {
            Some((fold, at)) => (fold, at),
            None => (State::default(), Position::START),
        };
        state.reindex();
        let mut damaged = None;
        journal.read(from, &mut |commit| {
            match serde_json::from_slice::<Vec<Event>>(&commit.events) {
                Ok(events) => events.into_iter().for_each(|event| state.evolve_into(commit.at, event)),
                Err(error) => damaged = Some((commit.position, error.to_string())),
            }
            if damaged.is_some() { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        })?;
        if let Some((position, what)) = damaged {
            return Err(StoreError::Damaged { position: Some(position), what });
        }
        // What evolving queued was decided in the commits that were just read.
        state.reindex();
        Ok(Loaded { journal, state, fold_at: from })
    }
}

/// A keeper that is being found or started before anybody knows what it will be told.
pub type Early = tokio::task::JoinHandle<std::io::Result<(Keeper, mpsc::UnboundedReceiver<Notice>)>>;

/// What [`Workspace::open`] needs besides the journal.
pub struct Opening {
    /// What clients see of the workspace.
    pub info: WorkspaceInfo,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// What carries effects out.
    pub hands: Hands,
    /// The rules that agents' asks are judged by.
    pub rules: Arc<InForce>,
    /// The keeper's folder.
    pub keeper_dir: PathBuf,
    /// This program.
    pub exe: PathBuf,
    /// The first connection to the keeper, if it was begun already.
    pub early: Option<Early>,
    /// The count of changes, as clients see it.
    pub count: Arc<Count>,
    /// The loop's own address.
    pub wakes: mpsc::UnboundedSender<Wake>,
}

impl Workspace {
    /// Makes the workspace ready to run; nothing has been sent yet.
    pub fn open(loaded: Loaded, opening: Opening) -> Workspace {
        let Loaded { journal, state, fold_at } = loaded;
        let head = journal.head();
        let marked = opening.hands.marked_unfinished();
        Workspace {
            info: opening.info,
            settings: opening.settings,
            state,
            rng: Rng(now().0 ^ u64::from(std::process::id())),
            journal,
            durable: head,
            pending: VecDeque::new(),
            hands: opening.hands,
            line: Line::None,
            early: opening.early,
            lines: 0,
            at_keeper: HashMap::new(),
            setups: HashMap::new(),
            talks: HashMap::new(),
            rules: opening.rules,
            keeper_dir: opening.keeper_dir,
            exe: opening.exe,
            subscribers: Subscribers::default(),
            memo: Memo::default(),
            changes: opening.count.get(),
            count: Counted(opening.count),
            fold_at,
            stirred: true,
            wakes: opening.wakes,
            failed: None,
            marked,
        }
    }

    /// Runs until it is closed or its journal fails.
    pub async fn run(mut self, mut wakes: mpsc::UnboundedReceiver<Wake>) -> Option<StoreError> {
        let due = effect::due(&self.state, &self.settings);
        self.carry_out(due);
        let mut closing: Option<Deliver> = None;
        // A deadline may have passed while nobody was there.
        self.turn(vec![Wake::Report(Report::Woken)], &mut closing);
        loop {
            let wait = self.wait();
            let first = tokio::select! {
                wake = wakes.recv() => wake,
                () = sleep_for(wait) => None,
            };
            let mut taken: Vec<Wake> = first.into_iter().collect();
            if taken.is_empty() {
                self.rest(wait);
            }
            while taken.len() < TURN_MAX
                && let Ok(wake) = wakes.try_recv()
            {
                taken.push(wake);
            }
            // The last word of a connection that was let go of is no work.
            self.stirred |= taken.iter().any(|wake| !matches!(wake, Wake::Keeper(line, _) if *line != self.lines));
            self.turn(taken, &mut closing);
            if let Some(error) = self.failed.take() {
                // Whoever finds our queue closed reads the journal anew: it is let go of first.
                drop(self);
                return Some(error);
            }
            if closing.is_some() && self.pending.is_empty() {
                self.save_fold();
                self.journal.flush();
                let done = closing.take();
                drop(self);
                done.into_iter().for_each(|done| done());
                return None;
            }
        }
    }

    /// One turn: all that arrived, one commit.
    fn turn(&mut self, taken: Vec<Wake>, closing: &mut Option<Deliver>) {
        let at = now();
        self.rules.refresh(&mut self.settings);
        let mut events = Told::default();
        let mut effects: Vec<Effect> = Vec::new();
        let mut acks: Vec<String> = Vec::new();
        let mut answers: Vec<(Answer, Result<Reply, Rejection>)> = Vec::new();
        let mut reads: Vec<Read> = Vec::new();
        let mut follow: Vec<(Position, mpsc::Sender<Arc<Published>>)> = Vec::new();
        let due = self.state.next_deadline().is_some_and(|due| due <= at);
        let only_looks = |wake: &Wake| {
            matches!(wake, Wake::Read(_) | Wake::Subscribe { .. } | Wake::Durable(Ok(_)) | Wake::Close(_))
        };
        // Counted before it is known whether anything comes of it: an agent's beat is in no event, and yet is seen.
        if due || !taken.iter().all(only_looks) {
            self.changes += 1;
        }
        for wake in taken {
            match wake {
                Wake::Command(mut command, answer) => {
                    // Known here and nowhere else; to ask for it first would be a turn of its own.
                    let asked = match &mut *command {
                        Command::Keyed { command, .. } => &mut **command,
                        asked => asked,
                    };
                    if let Command::SaveCheckpoint { position, .. } = asked {
                        *position = self.journal.head().0;
                    }
                    let reply = self.step(at, Input::Command(*command), &mut events, &mut effects);
                    answers.push((answer, reply));
                }
                Wake::Report(report) => self.report(at, report, &mut events, &mut effects),
                Wake::SetUp(setup) => {
                    let order = setup.order.clone();
                    if self.cancelled(order.run) {
                        let report = (setup.then)(Err("cancelled".to_owned()));
                        self.report(at, report, &mut events, &mut effects);
                    } else {
                        self.setups.insert(order.id, *setup);
                        self.start(order);
                    }
                }
                Wake::Read(read) => reads.push(read),
                Wake::Durable(Ok(position)) => self.released(position),
                Wake::Durable(Err(error)) => {
                    tracing::error!(workspace = %self.info.path, %error, "the journal failed; the workspace is read again");
                    self.failed = Some(error);
                    return;
                }
                Wake::Keeper(line, notice) if line == self.lines => {
                    self.notice(at, notice, &mut events, &mut effects, &mut acks);
                }
                Wake::Keeper(..) => {}
                Wake::Connected(line, result) if line == self.lines => self.connected(result),
                Wake::Connected(..) => {}
                Wake::Subscribe { after, to } => follow.push((after, to)),
                Wake::Close(done) => *closing = Some(done),
            }
        }
        if self.state.next_deadline().is_some_and(|due| due <= at) {
            let _ = self.step(at, Input::Tick, &mut events, &mut effects);
        }
        let waited_for = !answers.is_empty() || closing.is_some();
        // Where there are very many events, all but the last part of them are commits that nobody waits for.
        let (parts, events) = events.parts();
        for part in parts {
            let Some(position) = self.commit(at, &part, &[], true) else { return };
            let changes = self.changes;
            self.pending.push_back(Pending { position, changes, at, events: part, ..Pending::default() });
        }
        let position = match self.commit(at, &events, &effects, waited_for) {
            Some(position) => position,
            None => return,
        };
        self.info.trusted = self.state.trusted.is_some();
        // Replies and reads see the state as this commit leaves it, and go out when it is on disk.
        let clock = Clock::ticking(at);
        let view = View {
            state: &self.state,
            settings: &self.settings,
            revision: position.0,
            changes: self.changes,
            clock: &clock,
            workspace: &self.info,
            memo: &self.memo,
        };
        let mut deliver: Vec<Deliver> = Vec::with_capacity(answers.len() + reads.len());
        for (answer, reply) in answers {
            deliver.push(answer(reply.map(|reply| (&view, reply))));
        }
        deliver.extend(reads.into_iter().map(|read| read(&view)));
        // Whoever begins to follow gets what is on disk now; this commit reaches them with the others.
        for (after, to) in follow {
            self.subscribers.add(&*self.journal, &self.state, after, self.durable, to);
        }
        let pending = Pending { position, changes: self.changes, effects, deliver, acks, at, events };
        if position <= self.durable {
            self.finish(pending);
        } else {
            self.pending.push_back(pending);
        }
    }

    /// Steps the core, or says why it refuses.
    fn step(
        &mut self,
        at: Timestamp,
        input: Input,
        events: &mut Told,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, Rejection> {
        let mut ctx = Ctx { now: at, rng: &mut self.rng, settings: &self.settings };
        let done = step(&mut self.state, input, &mut ctx)?;
        events.add(done.events, &done.cuts);
        effects.extend(done.effects);
        Ok(done.reply)
    }

    fn report(&mut self, at: Timestamp, report: Report, events: &mut Told, effects: &mut Vec<Effect>) {
        let report = match report {
            Report::JobEnded { job: job @ JobId::Setup(..), result } => match self.set_up(job, result, effects) {
                Some(report) => report,
                None => return,
            },
            report => report,
        };
        // A report is never refused: a stale one changes nothing.
        let _ = self.step(at, Input::Report(report), events, effects);
    }

    fn cancelled(&self, run: RunId) -> bool {
        self.state.run(run).is_none_or(|run| run.cancelled || run.ended())
    }

    /// The setup of a lane is over: what that means for whoever waits for the lane.
    fn set_up(&mut self, job: JobId, result: JobResult, effects: &mut Vec<Effect>) -> Option<Report> {
        let setup = self.setups.remove(&job)?;
        if result.end == End::Cancelled && !self.cancelled(setup.order.run) {
            // It was ended for a run that is gone; somebody else has the lane now.
            effects.push(Effect::Start(setup.order.clone()));
            self.setups.insert(job, setup);
            return None;
        }
        let line = setup.order.argv.join(" ");
        let done = match result.end.success() {
            true => Repo::mark_set_up(&setup.lane, &setup_mark(&setup.order.argv)).map_err(|error| error.to_string()),
            false => Err(format!("{SETUP} `{line}` ended with {}\n{}", result.end, result.tail)),
        };
        Some((setup.then)(done))
    }

    /// Appends one commit of these events; the position it will have, or the head where there is nothing to store.
    fn commit(&mut self, at: Timestamp, events: &[Event], effects: &[Effect], waited_for: bool) -> Option<Position> {
        let head = self.journal.head();
        if events.is_empty() {
            if waited_for {
                self.journal.flush();
            }
            return Some(head);
        }
        let bytes = match serde_json::to_vec(events) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.failed = Some(StoreError::Io { what: format!("events could not be written: {error}") });
                return None;
            }
        };
        // Waiting for company is worth it only while the keeper has enough to do.
        let starved = effects.iter().any(|effect| matches!(effect, Effect::Start(_)))
            && self.at_keeper.len() <= 2 * self.settings.workers as usize;
        let busy_elsewhere = effects.is_empty() && !self.at_keeper.is_empty();
        let urgency = if waited_for || starved || !(busy_elsewhere || self.at_keeper.len() > 2) {
            Urgency::Now
        } else {
            Urgency::Soon
        };
        if self.unfinished() {
            self.mark(true);
        }
        let wakes = self.wakes.clone();
        let commit = NewCommit { at, term: 1, command: None, events: bytes };
        let durable = Box::new(move |result| {
            let _ = wakes.send(Wake::Durable(result));
        });
        match self.journal.append(head, commit, urgency, durable) {
            Ok(position) => Some(position),
            Err(error) => {
                tracing::error!(workspace = %self.info.path, %error, "the journal refuses a commit");
                self.failed = Some(match error {
                    AppendError::Failed(error) => error,
                    other => StoreError::Io { what: other.to_string() },
                });
                None
            }
        }
    }

    /// A file says whether anything is unfinished here, so that the next daemon need not read every journal to know.
    /// It is there before the commit that needs it, and goes when the one is on disk after which nothing does.
    fn mark(&mut self, busy: bool) {
        if busy != self.marked {
            self.hands.mark_unfinished(busy);
            self.marked = busy;
        }
    }

    fn unfinished(&self) -> bool {
        !self.state.index.runs.is_empty() || self.state.runs.values().any(|run| run.bringing.is_some())
    }

    /// A position is on disk: what waited for it goes out.
    fn released(&mut self, position: Position) {
        self.durable = self.durable.max(position);
        while self.pending.front().is_some_and(|pending| pending.position <= self.durable) {
            if let Some(pending) = self.pending.pop_front() {
                self.finish(pending);
            }
        }
        if self.pending.is_empty() && self.marked && !self.unfinished() {
            self.mark(false);
        }
    }

    fn finish(&mut self, pending: Pending) {
        // First of all: whoever hears of this, from us or from what we start, finds the count moved.
        self.count.0.set(pending.changes);
        self.subscribers.publish(&self.state, pending.position, pending.at, &pending.events);
        self.carry_out(pending.effects);
        if pending.events.iter().any(|event| matches!(event, Event::RunEnded { .. })) {
            self.forget_old();
        }
        for event in &pending.events {
            if let Event::RunCancelAsked { run } = event {
                let of_run = self.setups.values().filter(|setup| setup.order.run == *run).map(|setup| setup.order.id);
                for job in of_run.collect::<Vec<JobId>>() {
                    self.order(Order::Cancel { id: job.to_string(), grace_ms: reconcile::GRACE_MS });
                }
            }
        }
        if !pending.acks.is_empty()
            && let Line::Open(keeper) = &self.line
        {
            keeper.send(Order::Ack { ids: pending.acks, up_to: None });
        }
        pending.deliver.into_iter().for_each(|deliver| deliver());
    }

    /// A run is over, so an older one may be too many: looked at in a turn of its own, after everybody has their answer.
    fn forget_old(&self) {
        let answer: Answer = Box::new(|_| Box::new(|| ()));
        let _ = self.wakes.send(Wake::Command(Box::new(Command::CollectGarbage), answer));
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(order) => self.start(order),
                Effect::Stop { job } => {
                    self.order(Order::Cancel { id: job.to_string(), grace_ms: reconcile::GRACE_MS });
                }
                Effect::Limit { run, jobs } => self.order(Order::Limit { group: run.0, slots: jobs }),
                Effect::Answer { attempt, request, verdict } => {
                    if let Some(line) = self.talks.get(&attempt) {
                        line.answer(&request, &verdict);
                    }
                }
                other => self.hands.carry_out(other, &self.state, &self.wakes),
            }
        }
    }

    fn start(&mut self, order: JobOrder) {
        // Not before the keeper has said what it knows: an agent that runs has its keys.
        if let (JobId::Attempt(attempt), Line::Open(_)) = (order.id, &self.line) {
            let names = self.hands.missing_keys(&order, self.state.run(order.run));
            if !names.is_empty() {
                self.at_keeper.remove(&order.id);
                self.talks.remove(&attempt);
                let _ = self.wakes.send(Wake::Report(Report::KeysMissing { attempt, names }));
                return;
            }
        }
        let (env, define) = self.hands.env(&order, self.state.run(order.run));
        if let Some(define) = define {
            self.order(define);
        }
        let job = match self.hands.job(&order, env) {
            Ok(job) => job,
            Err(error) => {
                let why = format!("it could not be prepared: {error}");
                let _ = self.wakes.send(Wake::Report(reconcile::not_started(order.id, &why)));
                return;
            }
        };
        self.talk(&order);
        self.at_keeper.insert(order.id, order);
        self.order(Order::Start(job));
    }

    /// Follows the agent of this order, unless it is followed already.
    fn talk(&mut self, order: &JobOrder) {
        let (JobId::Attempt(attempt), Some(agent)) = (order.id, &order.agent) else { return };
        if self.talks.get(&attempt).is_some_and(|line| !line.closed()) {
            return;
        }
        let Some(task) = self.state.task(attempt.task) else { return };
        let known = known::of_ask(&self.state, &self.settings, task, &agent.agent, now());
        let judge = agents::Judge { rules: self.rules.clone(), place: self.hands.place(order), known };
        let line = agents::follow(self.hands.agent_dir(attempt), attempt, judge, self.wakes.clone());
        self.talks.insert(attempt, line);
    }

    /// Sends an order, or keeps it until there is a keeper.
    fn order(&mut self, order: Order) {
        match &mut self.line {
            Line::Open(keeper) => keeper.send(order),
            Line::Connecting(_, waiting) => waiting.push(order),
            Line::None => {
                self.line = Line::Connecting(None, vec![order]);
                self.connect();
            }
        }
    }

    fn connect(&mut self) {
        self.lines += 1;
        self.hands.forget_envs();
        let (line, wakes) = (self.lines, self.wakes.clone());
        let (dir, exe, early) = (self.keeper_dir.clone(), self.exe.clone(), self.early.take());
        tokio::spawn(async move {
            let connected = match early {
                Some(early) => early.await.unwrap_or_else(|error| Err(std::io::Error::other(error))),
                None => Keeper::connect_or_start(&dir, &exe).await,
            };
            match connected {
                Ok((keeper, mut notices)) => {
                    let _ = wakes.send(Wake::Connected(line, Ok(keeper)));
                    while let Some(notice) = notices.recv().await {
                        if wakes.send(Wake::Keeper(line, notice)).is_err() {
                            break;
                        }
                    }
                }
                Err(error) => {
                    let _ = wakes.send(Wake::Connected(line, Err(error.to_string())));
                }
            }
        });
    }

    fn connected(&mut self, result: Result<Keeper, String>) {
        match (result, &mut self.line) {
            (Ok(keeper), Line::Connecting(there, _)) => *there = Some(keeper),
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::error!(workspace = %self.info.path, %error, "no keeper");
                self.line = Line::None;
                for (job, _) in self.at_keeper.drain() {
                    let _ = self.wakes.send(Wake::Report(reconcile::not_started(job, &error)));
                }
            }
        }
    }

    fn notice(
        &mut self,
        at: Timestamp,
        notice: Notice,
        events: &mut Told,
        effects: &mut Vec<Effect>,
        acks: &mut Vec<String>,
    ) {
        match notice {
            Notice::Welcome { running, queued, ended, .. } => {
                self.greeted(at, reconcile::known(&running, &queued, &ended), events, effects);
                for job in running {
                    if let Ok(id) = job.id.parse() {
                        let at_ms = Timestamp(job.started_at_ms);
                        self.report(at, Report::JobStarted { job: id, at: at_ms }, events, effects);
                    }
                }
                for ended in ended {
                    self.ended(at, ended, events, effects, acks);
                }
            }
            Notice::Started(job) => {
                if let Ok(id) = job.id.parse() {
                    self.report(at, Report::JobStarted { job: id, at: Timestamp(job.started_at_ms) }, events, effects);
                }
            }
            Notice::Output { .. } => {}
            Notice::Ended(ended) => self.ended(at, ended, events, effects, acks),
            Notice::Refused { id, why } => {
                tracing::error!(job = id, why, "the keeper refuses an order");
                if let Ok(job) = id.parse() {
                    self.at_keeper.remove(&job);
                    self.report(at, reconcile::not_started(job, &why), events, effects);
                }
            }
            Notice::Gone => {
                self.line = Line::None;
                if !self.at_keeper.is_empty() {
                    // The next one reads its log and says what became of its jobs.
                    self.line = Line::Connecting(None, Vec::new());
                    self.connect();
                }
            }
        }
    }

    fn ended(
        &mut self,
        at: Timestamp,
        ended: keeper::Ended,
        events: &mut Told,
        effects: &mut Vec<Effect>,
        acks: &mut Vec<String>,
    ) {
        acks.push(ended.id.clone());
        let Ok(job) = ended.id.parse::<JobId>() else { return };
        let order = self.at_keeper.remove(&job);
        if let JobId::Attempt(attempt) = job {
            self.talks.remove(&attempt);
        }
        if ended.end == keeper::End::Lost && !matches!(job, JobId::Attempt(_) | JobId::Compensate(_)) {
            // A check may run twice; only what changes something may not.
            effects.extend(order.map(Effect::Start));
            return;
        }
        let agent = order.is_none_or(|order| order.agent.is_some());
        let result = self.hands.result(job, ended, agent);
        self.report(at, Report::JobEnded { job, result }, events, effects);
    }

    /// A keeper has said what it knows: orders that waited go out, and so does every job it has never heard of.
    fn greeted(&mut self, at: Timestamp, known: HashSet<JobId>, events: &mut Told, effects: &mut Vec<Effect>) {
        let waiting = match std::mem::replace(&mut self.line, Line::None) {
            Line::Connecting(Some(keeper), waiting) => {
                self.line = Line::Open(keeper);
                waiting
            }
            other => {
                self.line = other;
                return;
            }
        };
        // Starts are ordered anew below, with the environments that this keeper does not know yet.
        for order in waiting.into_iter().filter(|order| !matches!(order, Order::Start(_) | Order::Env { .. })) {
            self.order(order);
        }
        self.hands.forget_envs();
        let unknown: Vec<JobOrder> =
            self.at_keeper.values().filter(|order| !known.contains(&order.id)).cloned().collect();
        let limits = effect::due(&self.state, &self.settings).into_iter();
        self.carry_out(limits.filter(|effect| matches!(effect, Effect::Limit { .. })).collect());
        for order in unknown {
            // After a power loss the keeper's log may have lost its end: what was handed out then may have run.
            if self.hands.other_boot && matches!(order.id, JobId::Attempt(_) | JobId::Compensate(_)) {
                self.at_keeper.remove(&order.id);
                self.report(at, reconcile::lost(order.id, at), events, effects);
            } else {
                self.start(order);
            }
        }
        self.hands.other_boot = false;
    }

    /// How long to sleep when nothing wakes us.
    fn wait(&self) -> Option<Duration> {
        let deadline = self.state.next_deadline().map(|due| Duration::from_millis(due.0.saturating_sub(now().0)));
        let quiet = (self.stirred && self.pending.is_empty()).then_some(QUIET);
        let idle_line = matches!(self.line, Line::Open(_)) && self.at_keeper.is_empty() && self.pending.is_empty();
        let line = idle_line.then_some(KEEPER_IDLE);
        [deadline, quiet, line].into_iter().flatten().min()
    }

    /// Nothing woke us for this long: what makes the next start fast is saved, and what a burst needed is given back.
    fn rest(&mut self, slept: Option<Duration>) {
        // A deadline may have come sooner; then there is work again.
        if slept < Some(QUIET) {
            return;
        }
        if self.stirred && self.pending.is_empty() {
            self.stirred = false;
            if self.journal.head().0 - self.fold_at.0 >= FOLD_AFTER {
                self.save_fold();
            }
            self.at_keeper.shrink_to_fit();
            give_back();
        } else if matches!(self.line, Line::Open(_)) && self.at_keeper.is_empty() && self.pending.is_empty() {
            self.line = Line::None;
            self.lines += 1;
        }
    }

    fn save_fold(&mut self) {
        let head = self.journal.head();
        if head == self.fold_at {
            return;
        }
        if let Some(bytes) = fold_bytes(&self.state) {
            self.journal.save_fold(head, bytes);
        }
        self.fold_at = head;
    }
}

/// The version of the fold's form: another one is not read, and the journal is folded again.
const FOLD_VERSION: u32 = 1;

fn fold_bytes(state: &State) -> Option<Vec<u8>> {
    serde_json::to_vec(&(FOLD_VERSION, env!("CARGO_PKG_VERSION"), state)).ok()
}

fn fold_of(bytes: &[u8]) -> Option<State> {
    let (version, program, state): (u32, &str, State) = serde_json::from_slice(bytes).ok()?;
    (version == FOLD_VERSION && program == env!("CARGO_PKG_VERSION")).then_some(state)
}

async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
