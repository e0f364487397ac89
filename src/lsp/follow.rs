//! The loop that follows the daemon and shows the editor what it sees: progress, decisions, one question at a time.
//!
//! Everything that can wake it is one enum. What waits for the editor or the daemon does so in tasks of its own and
//! comes back as a wake; the loop itself waits for nobody.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    actions, bring,
    link::{self, Found},
    pages::{self, Page},
    progress::{Progress, ending},
    shared::{Level, Shared, line_of, sentence},
};
use crate::{
    api::{ApiError, Code, Decision, DecisionResult, Event, EventType, Outcome, PendingDecisions, Report},
    ids::{DecisionId, RunId},
};

/// How long an editor may take to accept a progress token before we go on without its word: some answer only at the
/// next occasion.
const CREATE_MAX: Duration = Duration::from_millis(300);

/// How long housekeeping may take; its answer changes nothing.
const HOUSEKEEPING_MAX: Duration = Duration::from_secs(2);

/// Between two refreshes of the pages that the editor shows.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// How long a question is taken to be on the screen of an editor whose questions leave it by themselves. VS Code's were
/// seen to go after twelve seconds.
const TOAST_LIFE: Duration = Duration::from_secs(15);

/// Batches of events that may wait for us.
const EVENTS_MAX: usize = 256;

/// Longest part of a decision's detail that a question shows, characters.
const DETAIL_MAX: usize = 300;

/// Everything that can wake the loop.
pub enum Wake {
    /// The editor is ready: `initialized` came.
    Ready,
    /// The daemon is connected.
    Linked(Box<Found>),
    /// It no longer is, or could not be.
    Unlinked(ApiError),
    /// Things happened there.
    Events(Vec<Event>),
    /// The open decisions, read again.
    Decisions(Vec<Decision>),
    /// The editor took a progress token, or did not.
    Created { token: String, taken: bool },
    /// The user cancelled a progress.
    Cancel { token: String },
    /// A run was started from here.
    Own(RunId),
    /// One of those is over.
    OwnOver { run: RunId, report: Box<Report> },
    /// The user wants to be asked, about this one or the most urgent.
    Ask(Option<DecisionId>),
    /// The editor answered a question: the title of the choice, or not now.
    Replied { request: u64, title: Option<String> },
    /// Buffers were opened or closed.
    Documents,
}

/// What was put to the user.
enum Question {
    Decision(Box<Decision>),
    Over { run: RunId, landed: bool },
}

const BRING: &str = "Bring it in";
const DIFF: &str = "Show the diff";
const REPORT: &str = "Show the report";

struct Follower {
    shared: Arc<Shared>,
    progress: Progress,
    /// Times of progress count from here.
    since: Instant,
    linked: bool,
    told_down: bool,
    own: BTreeSet<RunId>,
    /// Questions whose answer may still come.
    questions: BTreeMap<u64, Question>,
    /// The one that is on the screen.
    asked: Option<u64>,
    /// When it is gone from there, where it goes by itself.
    gone_at: Option<Instant>,
    /// The one that the user wants next.
    wanted: Option<DecisionId>,
    /// Not now: until the user asks, or the daemon comes back.
    put_off: BTreeSet<DecisionId>,
    overs: VecDeque<(RunId, Box<Report>)>,
    /// Diagnostics as the editor has them, by file.
    published: BTreeMap<String, Value>,
    /// The file that shows what has no place.
    home: Option<String>,
    reading: bool,
    read_again: bool,
    refresh_at: Option<Instant>,
    tasks: JoinSet<()>,
}

/// Follows for as long as it is polled.
pub async fn follow(shared: Arc<Shared>, mut wakes: mpsc::UnboundedReceiver<Wake>) {
    let (to, mut of_daemon) = mpsc::channel(EVENTS_MAX);
    let mut follower = Follower {
        shared: shared.clone(),
        progress: Progress::default(),
        since: Instant::now(),
        linked: false,
        told_down: false,
        own: BTreeSet::new(),
        questions: BTreeMap::new(),
        asked: None,
        gone_at: None,
        wanted: None,
        put_off: BTreeSet::new(),
        overs: VecDeque::new(),
        published: BTreeMap::new(),
        home: None,
        reading: false,
        read_again: false,
        refresh_at: None,
        tasks: JoinSet::new(),
    };
    let mut link = Some(to);
    loop {
        let report_at = follower.progress.due_at().map(|at| follower.since + at);
        let timer = [report_at, follower.refresh_at, follower.gone_at].into_iter().flatten().min();
        tokio::select! {
            wake = wakes.recv() => match wake {
                Some(Wake::Ready) => {
                    if let Some(to) = link.take() {
                        follower.tasks.spawn(link::keep(shared.clone(), to));
                    }
                }
                Some(wake) => follower.wake(wake),
                None => return std::future::pending().await,
            },
            Some(wake) = of_daemon.recv() => follower.wake(wake),
            () = async { match timer { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
        }
        follower.due();
        while follower.tasks.try_join_next().is_some() {}
    }
}

impl Follower {
    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Ready => {}
            Wake::Linked(found) => self.linked(*found),
            Wake::Unlinked(error) => self.unlinked(&error),
            Wake::Events(events) => events.iter().for_each(|event| self.event(event)),
            Wake::Decisions(decisions) => {
                self.reading = false;
                if std::mem::take(&mut self.read_again) {
                    self.read_decisions();
                }
                self.decisions(decisions);
            }
            Wake::Created { token, taken } => {
                let now = self.since.elapsed();
                if let Some(begin) = self.progress.created(&token, taken, now) {
                    self.shared.outbox.notify("$/progress", begin);
                }
            }
            Wake::Cancel { token } => self.cancel(&token),
            Wake::Own(run) => drop(self.own.insert(run)),
            Wake::OwnOver { run, report } => {
                self.overs.push_back((run, report));
                self.ask_next();
            }
            Wake::Ask(decision) => {
                self.wanted = decision.or_else(|| self.shared.decisions().first().map(|first| first.decision_id));
                // What is on the screen is what was put off by whoever now asks for another.
                if let Some(request) = self.asked.take() {
                    self.withdraw(request);
                }
                self.ask_next();
            }
            Wake::Replied { request, title } => self.replied(request, title),
            Wake::Documents => self.publish(),
        }
        let busy = self.progress.any();
        self.shared.busy().store(busy, Ordering::Relaxed);
    }

    /// Sends what is due by now.
    fn due(&mut self) {
        let mut moved = false;
        for (token, report) in self.progress.due(self.since.elapsed()) {
            self.shared.outbox.notify_newest(token, "$/progress", report);
            moved = true;
        }
        if moved {
            self.status();
        }
        if self.gone_at.is_some_and(|at| at <= Instant::now()) {
            self.gone_at = None;
            // Its answer still counts. It is not put a second time; what waits behind it gets its turn.
            if let Some(Question::Decision(decision)) =
                self.asked.take().and_then(|request| self.questions.get(&request))
            {
                self.put_off.insert(decision.decision_id);
            }
            self.ask_next();
        }
        if self.refresh_at.is_some_and(|at| at <= Instant::now()) {
            self.refresh_at = None;
            self.refresh_pages();
        }
    }

    fn linked(&mut self, found: Found) {
        self.linked = true;
        self.told_down = false;
        // A daemon that came back is an occasion to ask again.
        self.put_off.clear();
        for session in &found.state.sessions {
            let token = self.progress.known(session);
            self.create(token);
        }
        for decision in &found.pending.decisions {
            let run = decision.context.request_id;
            self.progress.waits(run, decision.decision_id, &decision.question);
        }
        self.decisions(found.pending.decisions);
        self.status();
    }

    fn unlinked(&mut self, error: &ApiError) {
        for end in self.progress.end_all("the daemon is gone; what runs goes on under its keeper") {
            self.shared.outbox.notify("$/progress", end);
        }
        // What is open cannot be known now; a stale question would be answered into nothing.
        self.decisions(Vec::new());
        let was = std::mem::replace(&mut self.linked, false);
        if !was && !self.told_down {
            // Said once: an editor is often opened where nobody wants a run.
            self.told_down = true;
            let message = format!("orchestrator: {}", sentence(error));
            self.shared.outbox.notify("window/logMessage", json!({"type": Level::Warning as u8, "message": message}));
        }
        self.status();
    }

    fn event(&mut self, event: &Event) {
        let token = self.progress.event(event);
        self.create(token);
        if matches!(event.kind, EventType::DecisionOpened | EventType::DecisionClosed) {
            self.read_decisions();
        }
        if event.kind == EventType::RunFinished
            && let Some(run) = event.run
        {
            let message = ending(run, event.data.outcome, event.data.reason.as_deref());
            if let Some(end) = self.progress.end(run, &message) {
                self.shared.outbox.notify("$/progress", end);
            }
            if self.own.remove(&run) {
                self.read_report(run);
            }
            self.status();
        }
        if !self.shared.served().is_empty() {
            self.refresh_at.get_or_insert(Instant::now() + REFRESH_EVERY);
        }
    }

    /// Asks the editor for a token; `begin` follows its answer.
    fn create(&mut self, token: Option<String>) {
        let Some(token) = token else { return };
        if !self.shared.can().progress {
            self.progress.created(&token, false, Duration::ZERO);
            return;
        }
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let params = json!({"token": token});
            let answer = shared.outbox.request_within(CREATE_MAX, "window/workDoneProgress/create", params).await;
            let taken = !matches!(answer, Some(Err(_)));
            let _ = shared.wakes.send(Wake::Created { token, taken });
        });
    }

    fn cancel(&mut self, token: &str) {
        let Some(run) = self.progress.run_of(token) else { return };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let cancelled = async { shared.call::<Value>("cancel_task", json!({"task_id": run})).await };
            if let Err(error) = cancelled.await {
                shared.tell_refusal(&error);
            }
        });
    }

    fn read_decisions(&mut self) {
        if self.reading {
            self.read_again = true;
            return;
        }
        self.reading = true;
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let read = async { shared.call::<PendingDecisions>("get_pending_decisions", json!({})).await };
            // Without a daemon there is nothing to answer; the next connection brings them.
            let decisions = read.await.map(|pending| pending.decisions).unwrap_or_default();
            let _ = shared.wakes.send(Wake::Decisions(decisions));
        });
    }

    fn read_report(&mut self, run: RunId) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let read = async { shared.call::<Report>("get_report", json!({"run": run})).await };
            match read.await {
                Ok(report) => drop(shared.wakes.send(Wake::OwnOver { run, report: Box::new(report) })),
                Err(error) => shared.tell_refusal(&error),
            }
        });
    }

    /// The open decisions are these now.
    fn decisions(&mut self, decisions: Vec<Decision>) {
        let open: BTreeSet<DecisionId> = decisions.iter().map(|decision| decision.decision_id).collect();
        let before: Vec<DecisionId> = self.shared.decisions().iter().map(|decision| decision.decision_id).collect();
        let changed = !before.iter().eq(decisions.iter().map(|decision| &decision.decision_id));
        *self.shared.decisions() = decisions;
        self.put_off.retain(|decision| open.contains(decision));
        if let Some(request) = self.asked
            && let Some(Question::Decision(decision)) = self.questions.get(&request)
            && !open.contains(&decision.decision_id)
        {
            self.asked = None;
            self.withdraw(request);
        }
        if changed {
            self.publish();
            if self.shared.can().lens_refresh {
                self.housekeeping("workspace/codeLens/refresh", Value::Null);
            }
            self.status();
        }
        self.ask_next();
    }

    /// Takes a question off the screen, where the editor can. Its answer may come all the same.
    fn withdraw(&mut self, request: u64) {
        self.shared.outbox.notify("$/cancelRequest", json!({"id": request}));
    }

    /// Puts the next question, where none is on the screen.
    fn ask_next(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let wanted = self.wanted.take();
        let next = {
            let open = self.shared.decisions();
            let by_wish = open.iter().find(|decision| Some(decision.decision_id) == wanted);
            by_wish.or_else(|| open.iter().find(|decision| !self.put_off.contains(&decision.decision_id))).cloned()
        };
        if let Some(decision) = next {
            let message = question_text(&decision);
            let level = if decision.criticality > 0.5 { Level::Warning } else { Level::Info };
            let titles = titles(&decision);
            return self.ask(level, &message, &titles, Question::Decision(Box::new(decision)));
        }
        if let Some((run, report)) = self.overs.pop_front() {
            let landed = !report.landed.is_empty();
            let level = match report.outcome {
                Some(Outcome::Completed) => Level::Info,
                Some(Outcome::Partial | Outcome::Failed | Outcome::Cancelled) | None => Level::Warning,
            };
            let choices = if landed { vec![BRING, DIFF, REPORT] } else { vec![REPORT] };
            let choices: Vec<String> = choices.into_iter().map(str::to_owned).collect();
            self.ask(level, &report.summary, &choices, Question::Over { run, landed });
        }
    }

    fn ask(&mut self, level: Level, message: &str, choices: &[String], question: Question) {
        let actions: Vec<Value> = choices.iter().map(|title| json!({"title": title})).collect();
        let params = json!({"type": level as u8, "message": message, "actions": actions});
        let (request, answer) = self.shared.outbox.request("window/showMessageRequest", params);
        self.questions.insert(request, question);
        self.asked = Some(request);
        self.gone_at = self.shared.can().toasts.then(|| Instant::now() + TOAST_LIFE);
        let wakes = self.shared.wakes.clone();
        self.tasks.spawn(async move {
            let Ok(answer) = answer.await else { return };
            let title = answer.ok().and_then(|item| item.get("title")?.as_str().map(str::to_owned));
            let _ = wakes.send(Wake::Replied { request, title });
        });
    }

    fn replied(&mut self, request: u64, title: Option<String>) {
        if self.asked == Some(request) {
            self.asked = None;
        }
        match (self.questions.remove(&request), title) {
            (Some(Question::Decision(decision)), Some(title)) => self.answer(&decision, &title),
            // Not now is no answer.
            (Some(Question::Decision(decision)), None) => drop(self.put_off.insert(decision.decision_id)),
            (Some(Question::Over { run, landed }), Some(title)) => self.choose(run, landed, &title),
            (Some(Question::Over { .. }) | None, _) => {}
        }
        self.ask_next();
    }

    fn answer(&mut self, decision: &Decision, title: &str) {
        let Some(index) = titles(decision).iter().position(|known| known == title) else { return };
        // Until the answer is on disk it is still open, and must not be asked again meanwhile.
        self.put_off.insert(decision.decision_id);
        let (id, choice) = (decision.decision_id, decision.options[index].id.clone());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let submitted = async {
                let answer = json!({"decision_id": id, "response": {"choice": choice}});
                shared.call::<DecisionResult>("submit_decision", answer).await
            };
            match submitted.await {
                Ok(result) => tracing::info!(summary = %result.summary, "answered"),
                Err(error) if error.code == Code::AlreadyDecided => {
                    shared.tell(Level::Info, &format!("{id} was {}", error.message));
                }
                Err(error) => shared.tell_refusal(&error),
            }
        });
    }

    fn choose(&mut self, run: RunId, landed: bool, title: &str) {
        let shared = self.shared.clone();
        match title {
            BRING if landed => drop(self.tasks.spawn(async move { bring::bring(&shared, run, None).await })),
            DIFF => drop(self.tasks.spawn(async move { pages::show_or_tell(&shared, Page::Diff(run)).await })),
            _ => drop(self.tasks.spawn(async move { pages::show_or_tell(&shared, Page::Report(run)).await })),
        }
    }

    /// Shows each open decision as a diagnostic in its place.
    fn publish(&mut self) {
        let mut wanted: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        {
            let documents = self.shared.documents();
            self.home = self.home.take().filter(|home| documents.get(home).is_some());
            if self.home.is_none() {
                self.home = documents.active().map(|document| document.uri.clone());
            }
            for decision in self.shared.decisions().iter() {
                let place = match (&decision.context.anchor, &self.home) {
                    (Some(anchor), _) => (anchor.uri.clone(), line_of(&anchor.range)),
                    (None, Some(home)) => (home.clone(), 0),
                    // No file is open: the question and the status say it.
                    (None, None) => continue,
                };
                wanted.entry(place.0).or_default().push(actions::diagnostic(decision, place.1));
            }
        }
        let gone: Vec<String> = self.published.keys().filter(|uri| !wanted.contains_key(*uri)).cloned().collect();
        for uri in gone {
            self.published.remove(&uri);
            self.publish_in(&uri, &json!([]));
        }
        for (uri, diagnostics) in wanted {
            let diagnostics = Value::Array(diagnostics);
            if self.published.get(&uri) != Some(&diagnostics) {
                self.publish_in(&uri, &diagnostics);
                self.published.insert(uri, diagnostics);
            }
        }
    }

    fn publish_in(&self, uri: &str, diagnostics: &Value) {
        let params = json!({"uri": uri, "diagnostics": diagnostics});
        self.shared.outbox.notify_newest(format!("diagnostics {uri}"), "textDocument/publishDiagnostics", params);
    }

    /// What our own editor sides draw: runs and open decisions.
    fn status(&self) {
        if !self.shared.wants_status() {
            return;
        }
        let line = |line: super::progress::Line| {
            json!({"request_id": line.run, "description": line.description, "percent": line.percent,
                "message": line.message})
        };
        let runs: Vec<Value> = self.progress.lines().into_iter().map(line).collect();
        let decisions = self.shared.decisions().clone();
        let params = json!({"runs": runs, "decisions": decisions, "connected": self.linked});
        self.shared.outbox.notify_newest("status".to_owned(), "orchestrator/status", params);
    }

    fn refresh_pages(&mut self) {
        let pages: Vec<String> = self.shared.served().keys().cloned().collect();
        for uri in pages {
            self.housekeeping(
                "workspace/textDocumentContent/refresh",
                json!({"textDocument": {"uri": uri}, "uri": uri}),
            );
        }
    }

    /// A request whose answer changes nothing.
    fn housekeeping(&mut self, method: &'static str, params: Value) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            drop(shared.outbox.request_within(HOUSEKEEPING_MAX, method, params).await);
        });
    }
}

/// The titles of a decision's options, all different: the answer comes back as a title.
fn titles(decision: &Decision) -> Vec<String> {
    let twice = |title: &str| decision.options.iter().filter(|option| option.title == title).count() > 1;
    let title = |option: &crate::api::decision::DecisionOption| match twice(&option.title) {
        true => format!("{} ({})", option.title, option.id),
        false => option.title.clone(),
    };
    decision.options.iter().map(title).collect()
}

fn question_text(decision: &Decision) -> String {
    let head = format!("{} ({}): {}", decision.decision_id, decision.context.request_id, decision.question);
    let detail = decision.detail.trim();
    match detail.char_indices().nth(DETAIL_MAX) {
        _ if detail.is_empty() => head,
        Some((end, _)) => format!("{head}\n{}…", &detail[..end]),
        None => format!("{head}\n{detail}"),
    }
}
