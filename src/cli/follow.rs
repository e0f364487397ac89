//! Following a run: events as they come, questions where somebody can be asked, and the ways in which it ends.

use std::{collections::BTreeSet, future::pending, time::Duration};

use jsonrpsee::core::client::{Subscription, SubscriptionCloseReason};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use super::{
    ask::{Asker, Typed, prompt_text, read_answer},
    bars::Bars,
    console::Console,
    exit::CliError,
    live::{Glimpse, Live, planned_line},
    render::decision,
};
use crate::{
    api::{
        ApiError, Code, Event, OrchestratorApiClient, RunState, Unchecked, UserDecisionResponse,
        decision::PENDING_DETAIL_CHARS_MAX,
        event::{Told, follow},
        request::Remember,
    },
    ids::{DecisionId, RunId},
    time::now,
};

/// How often elapsed times are drawn again.
const REDRAW: Duration = Duration::from_millis(250);

/// After so long without a word, whoever sees no bars is told that it goes on.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// How following a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The run ended.
    Finished,
    /// Only an answer helps, and nobody here gives one.
    Decision,
    /// Ctrl-C.
    Interrupted,
    /// The time given with `--within` is over.
    TimeUp,
    /// The connection broke.
    Lost,
}

/// What to wait for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When to come back in any case.
    pub until: Option<Instant>,
    /// Come back when only an answer helps, even where somebody could be asked.
    pub no_wait: bool,
}

/// Someone who follows a run, across connections.
pub struct Follower {
    run: RunId,
    patience: Patience,
    live: Option<Live>,
    bars: Option<Bars>,
    asker: Option<Asker>,
    told: BTreeSet<DecisionId>,
    interrupt: Signal,
}

impl Follower {
    /// Gets ready to follow a run; from here on Ctrl-C is ours.
    pub fn new(run: RunId, patience: Patience, console: &Console) -> Result<Follower, CliError> {
        let interrupt = signal(SignalKind::interrupt()).map_err(CliError::io("cannot listen for Ctrl-C"))?;
        let asker = (console.interactive && !patience.no_wait).then(Asker::new);
        let bars = console.interactive.then(Bars::new);
        Ok(Follower { run, patience, live: None, bars, asker, told: BTreeSet::new(), interrupt })
    }

    /// Follows until one of the ends. Call it again with a new connection after [`End::Lost`]: it goes on where it was.
    pub async fn follow<C: OrchestratorApiClient + Sync>(
        &mut self,
        client: &C,
        console: &mut Console,
    ) -> Result<End, CliError> {
        let end = self.follow_inner(client, console).await;
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
        match end {
            // What the daemon refuses stays refused; a broken connection may come back.
            Err(CliError::Api(error)) if error.code == Code::Unavailable => Ok(End::Lost),
            other => other,
        }
    }

    async fn follow_inner<C: OrchestratorApiClient + Sync>(
        &mut self,
        client: &C,
        console: &mut Console,
    ) -> Result<End, CliError> {
        let report = client.get_report(self.run).await?;
        // After a lost connection the stream goes on behind what was seen; a fresh follower starts from the report.
        let fresh = self.live.is_none();
        let live = self.live.get_or_insert_with(|| Live::of_report(&report));
        // What was told before we listened.
        if fresh && !console.json && !report.tasks.is_empty() {
            console.line(planned_line(self.run, Some(report.tasks.len() as u64)))?;
        }
        if live.outcome.is_some() || report.outcome.is_some() {
            return Ok(End::Finished);
        }
        let mut events: Subscription<Told> = follow(client, live.revision, Some(self.run)).await?;
        if let Some(end) = self.questions(client, console).await? {
            return Ok(end);
        }
        let mut redraw = tokio::time::interval(REDRAW);
        let mut said = Instant::now();
        loop {
            let until = self.patience.until;
            let prompting = self.asker.as_ref().is_some_and(|asker| asker.question.is_some());
            let drawing = self.bars.is_some() && !prompting;
            let plain = self.bars.is_none() && !console.json;
            tokio::select! {
                told = events.next() => {
                    let told = match told {
                        Some(Ok(told)) => told,
                        Some(Err(error)) => return Err(unreadable(&error)),
                        // We were slower than the run. Nothing is lost: the stream goes on behind what was seen.
                        None if lagged(&events) => {
                            let seen = self.live.as_ref().map_or(0, |live| live.revision);
                            events = follow(client, seen, Some(self.run)).await?;
                            continue;
                        }
                        None => return Ok(End::Lost),
                    };
                    if console.json {
                        if self.hand_on(&told, console)? {
                            return Ok(End::Finished);
                        }
                        if let Some(end) = self.questions(client, console).await? {
                            return Ok(end);
                        }
                        continue;
                    }
                    said = Instant::now();
                    for event in &told.events().map_err(|error| unreadable(&error))? {
                        if let Some(end) = self.event(event, client, console).await? {
                            return Ok(end);
                        }
                    }
                }
                line = async { match &mut self.asker { Some(asker) => asker.lines.recv().await, None => pending().await } } => {
                    self.typed(line, client, console).await?;
                    if let Some(end) = self.questions(client, console).await? {
                        return Ok(end);
                    }
                }
                _ = self.interrupt.recv() => return Ok(End::Interrupted),
                () = async { match until { Some(until) => tokio::time::sleep_until(until).await, None => pending().await } } => return Ok(End::TimeUp),
                _ = redraw.tick(), if drawing => self.draw(console.width),
                () = tokio::time::sleep_until(said + QUIET_MAX), if plain => {
                    said = Instant::now();
                    if let Some(line) = self.live.as_ref().and_then(|live| live.still(now(), console.width)) {
                        console.line(console.paint.dim(&line))?;
                    }
                }
            }
        }
    }

    /// How far the run was seen; nothing before the first report.
    pub fn revision(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.revision)
    }

    /// Whether Ctrl-C comes again within this time.
    pub async fn interrupted_again(&mut self, within: Duration) -> bool {
        tokio::time::timeout(within, self.interrupt.recv()).await.is_ok()
    }

    async fn event<C: OrchestratorApiClient + Sync>(
        &mut self,
        event: &Event,
        client: &C,
        console: &mut Console,
    ) -> Result<Option<End>, CliError> {
        let Some(live) = &mut self.live else { return Ok(None) };
        let lines = live.take(event, console.width, console.paint);
        let finished = live.outcome.is_some();
        let was_prompting = self.asker.as_ref().is_some_and(|asker| asker.question.is_some());
        if let Some(asker) = &mut self.asker {
            // Somebody else was first.
            asker.question.take_if(|question| finished || !live.open.contains(&question.decision_id));
        }
        self.say(&lines, was_prompting, console)?;
        if finished {
            return Ok(Some(End::Finished));
        }
        self.questions(client, console).await
    }

    /// Writes events as they came, a line each and all in one piece: a run of ten thousand tasks has fifty thousand,
    /// and what reads them here must not take the processor from what they tell of. True once the run is over.
    fn hand_on(&mut self, told: &Told, console: &mut Console) -> Result<bool, CliError> {
        let Some(live) = &mut self.live else { return Ok(false) };
        let mut text = Vec::with_capacity(told.bytes());
        for event in told.each().map_err(|error| unreadable(&error))? {
            let glimpse: Glimpse = serde_json::from_str(event.get()).map_err(|error| unreadable(&error))?;
            text.extend_from_slice(event.get().as_bytes());
            text.push(b'\n');
            live.note(&glimpse);
            if live.outcome.is_some() {
                break;
            }
        }
        console.bytes(&text)?;
        Ok(live.outcome.is_some())
    }

    /// Shows or asks what is open. An end where nothing but an answer helps and nobody here is going to give one.
    async fn questions<C: OrchestratorApiClient + Sync>(
        &mut self,
        client: &C,
        console: &mut Console,
    ) -> Result<Option<End>, CliError> {
        let Some(live) = &self.live else { return Ok(None) };
        // Before the first task a question leaves the run in PLANNING.
        let stuck = matches!(live.state, RunState::Escalating | RunState::Planning) && !live.open.is_empty();
        let prompting = self.asker.as_ref().is_some_and(|asker| asker.question.is_some());
        let new = live.open.iter().any(|decision| !self.told.contains(decision));
        if new && !prompting {
            let pending = client.get_pending_decisions().await?;
            let fresh = pending.decisions.into_iter().filter(|decision| decision.context.request_id == self.run);
            for question in fresh.filter(|question| !self.told.contains(&question.decision_id)).collect::<Vec<_>>() {
                self.told.insert(question.decision_id);
                // A list has details cut, and nobody is to answer without having read it all.
                let question = match question.detail.chars().count() {
                    PENDING_DETAIL_CHARS_MAX.. => super::decide::find(client, question.decision_id).await?,
                    _ => question,
                };
                let mut text = decision::question(&question, console.width, console.paint);
                match &mut self.asker {
                    Some(asker) => {
                        text.push_str(&prompt_text(&question));
                        asker.ask(question);
                        if let Some(bars) = &mut self.bars {
                            bars.clear();
                        }
                        console.text(text)?;
                        return Ok(None);
                    }
                    None if console.json => {}
                    None => {
                        text.push_str(&decision::elsewhere(&question, console.paint));
                        console.text(text)?;
                    }
                }
            }
        }
        let prompting = self.asker.as_ref().is_some_and(|asker| asker.question.is_some());
        Ok((stuck && !prompting).then_some(End::Decision))
    }

    /// A line typed at a question.
    async fn typed<C: OrchestratorApiClient + Sync>(
        &mut self,
        line: Option<String>,
        client: &C,
        console: &mut Console,
    ) -> Result<(), CliError> {
        let Some(asker) = &mut self.asker else { return Ok(()) };
        let Some(line) = line else {
            // Nobody is there any more: what is open stays open.
            self.asker = None;
            return Ok(());
        };
        let Some(question) = asker.question.take() else { return Ok(()) };
        let id = question.decision_id;
        match read_answer(&question, &line) {
            Typed::NotNow => console.line(format!("Not now. {id} stays open."))?,
            Typed::Unclear => {
                console.text(format!("{:?} is none of its options.\n{}", line.trim(), prompt_text(&question)))?;
                asker.question = Some(question);
            }
            Typed::Choice { choice, text } => {
                let answer = UserDecisionResponse { choice, text, remember: Remember::Once, key: None };
                // However it ends it is not open for us: the event that says so may take a moment.
                if let Some(live) = &mut self.live {
                    live.open.remove(&id);
                }
                match client.submit_decision(id, Unchecked::from(&answer)).await.map_err(ApiError::from) {
                    Ok(result) => console.line(format!("{} {}", console.paint.green("✓"), result.summary))?,
                    Err(error) if error.code == Code::Unavailable => return Err(error.into()),
                    Err(error) => console.note(format!("{} {error}", console.paint.yellow("!")))?,
                }
            }
        }
        Ok(())
    }

    /// Prints lines above the bars, or above the question that is being asked.
    fn say(&mut self, lines: &[String], was_prompting: bool, console: &mut Console) -> Result<(), CliError> {
        if lines.is_empty() && !was_prompting {
            return Ok(());
        }
        let question = self.asker.as_ref().and_then(|asker| asker.question.as_ref());
        if was_prompting && (question.is_none() || !lines.is_empty()) {
            console.text("\r\x1b[K")?;
        }
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
        for line in lines {
            console.line(line)?;
        }
        console.out.flush()?;
        match question {
            Some(question) if !lines.is_empty() => Ok(console.text(prompt_text(question))?),
            Some(_) => Ok(()),
            None => {
                self.draw(console.width);
                Ok(())
            }
        }
    }

    fn draw(&mut self, width: usize) {
        if let (Some(bars), Some(live)) = (&mut self.bars, &self.live) {
            bars.draw(&live.overall(width), &live.busy_lines(now(), width.saturating_sub(1)));
        }
    }
}

/// Whether a stream ended because we were slower than the events, not because the daemon went away.
pub fn lagged<T>(events: &Subscription<T>) -> bool {
    matches!(events.close_reason(), Some(SubscriptionCloseReason::Lagged))
}

fn unreadable(error: &serde_json::Error) -> CliError {
    ApiError::new(Code::Internal, format!("an event cannot be read: {error}"), "").into()
}
