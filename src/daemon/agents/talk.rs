//! The daemon's end of the line to an agent's host: follows its transcript, reports what it says, hands answers on.
//!
//! A translation: what was said before is read again from the transcript's beginning whenever a daemon takes an attempt
//! up, and what is known already changes nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::mpsc,
};

use super::{
    driver::{self, AgentDriver, Talk, Word},
    host::{HostResult, LaunchFile, ToHost},
    keeper::socket,
    transcript,
};
use crate::{
    core::Report,
    core::{
        agent::{AgentEnd, Usage},
        decide::{
            gate::{self, Judgement, Place},
            policy::Known,
        },
        input::AgentSaid,
        job::End,
    },
    daemon::{main_loop::Wake, policy::InForce},
    ids::AttemptId,
    time::{Timestamp, now},
};

/// Between two tries to reach a host that is just starting, or has just ended.
const AGAIN: Duration = Duration::from_millis(25);

/// Usage is told when it grew by so many tokens: each telling is a commit.
const USAGE_STEP: u64 = 20_000;

/// What asks are judged by.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The rules.
    pub rules: std::sync::Arc<InForce>,
    /// Where the agent works.
    pub place: Place,
    /// What is known of its task.
    pub known: Known,
}

impl Judge {
    fn judge(&self, tool: &str, input: &serde_json::Value) -> Judgement {
        // Rules end by the time of the ask.
        let known = Known { now: now(), ..self.known.clone() };
        self.rules.judge(&gate::Ask { tool, input }, &self.place, &known)
    }
}

/// The line to one agent.
#[derive(Debug, Clone)]
pub struct Line {
    to: mpsc::UnboundedSender<ToHost>,
}

impl Line {
    /// Hands something on; nothing where the agent is gone.
    pub fn send(&self, word: ToHost) {
        let _ = self.to.send(word);
    }

    /// Whether the agent is gone, or was not reached in time.
    pub fn closed(&self) -> bool {
        self.to.is_closed()
    }
}

impl Line {
    /// Answers a question.
    pub fn answer(&self, request: &str, verdict: &crate::core::agent::AskVerdict) {
        self.send(ToHost::Answer { request: request.to_owned(), verdict: verdict.clone() });
    }
}

/// Follows the agent of an attempt until its host is gone.
pub fn follow(dir: PathBuf, attempt: AttemptId, judge: Judge, wakes: mpsc::UnboundedSender<Wake>) -> Line {
    let (to, words) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        if let Some(stream) = reach(&dir).await {
            converse(&dir, attempt, judge, wakes, stream, words).await;
        }
    });
    Line { to }
}

/// Waits until the host listens. `None` where it has ended, or never began within a time in which it must have.
async fn reach(dir: &Path) -> Option<UnixStream> {
    for _ in 0..(600_000 / AGAIN.as_millis()) {
        if dir.join("result.json").exists() {
            return None;
        }
        match socket::connect(dir).and_then(UnixStream::from_std) {
            Ok(stream) => return Some(stream),
            // It is queued, or just starting.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    None
}

async fn converse(
    dir: &Path,
    attempt: AttemptId,
    judge: Judge,
    wakes: mpsc::UnboundedSender<Wake>,
    stream: UnixStream,
    mut words: mpsc::UnboundedReceiver<ToHost>,
) {
    let Some((driver, mut talk)) = open(dir) else { return };
    let (reader, mut writer) = stream.into_split();
    let mut grown = BufReader::new(reader).lines();
    let mut told = Told::default();
    let mut offset = 0;
    loop {
        offset = take_in(dir, offset, driver, &mut talk);
        told.report(&talk, attempt, &judge, &wakes);
        tokio::select! {
            line = grown.next_line() => match line {
                Ok(Some(_)) => {}
                // Its result is told by the keeper.
                _ => return,
            },
            word = words.recv() => match word {
                Some(word) => {
                    let Ok(mut line) = serde_json::to_vec(&word) else { continue };
                    line.push(b'\n');
                    if writer.write_all(&line).await.is_err() {
                        return;
                    }
                }
                None => return,
            },
        }
    }
}

fn open(dir: &Path) -> Option<(&'static dyn AgentDriver, Talk)> {
    let launch: LaunchFile = serde_json::from_slice(&std::fs::read(dir.join("launch.json")).ok()?).ok()?;
    Some((driver::of(launch.driver)?, Talk::new(launch.brief)))
}

fn take_in(dir: &Path, offset: u64, driver: &dyn AgentDriver, talk: &mut Talk) -> u64 {
    let read = transcript::read(&dir.join("transcript"), offset, |kind, text| {
        let _: Vec<Word> = driver::fold(driver, talk, kind, text);
    });
    read.unwrap_or(offset)
}

/// What was reported already by this daemon.
#[derive(Default)]
struct Told {
    session: Option<String>,
    usage: Usage,
    asks: std::collections::BTreeSet<String>,
}

impl Told {
    fn report(&mut self, talk: &Talk, attempt: AttemptId, judge: &Judge, wakes: &mpsc::UnboundedSender<Wake>) {
        let say = |said| {
            let _ = wakes.send(Wake::Report(Report::AgentSaid { attempt, said }));
        };
        if talk.session != self.session
            && let Some(session) = &talk.session
        {
            self.session = Some(session.clone());
            say(AgentSaid::Session(session.clone()));
        }
        if talk.usage.tokens >= self.usage.tokens + USAGE_STEP || talk.usage.usd != self.usage.usd {
            self.usage = talk.usage;
            say(AgentSaid::Usage(talk.usage));
        }
        for gone in self.asks.iter().filter(|request| !talk.asks.contains_key(*request)) {
            if !talk.answered.contains(gone) {
                say(AgentSaid::Withdrawn(gone.clone()));
            }
        }
        self.asks.retain(|request| talk.asks.contains_key(request));
        for ask in talk.asks.values() {
            if self.asks.insert(ask.request.clone()) {
                let judgement = Box::new(judge.judge(&ask.tool, &ask.input));
                let (request, tool, input) = (ask.request.clone(), ask.tool.clone(), ask.input.clone());
                say(AgentSaid::Asked { request, tool, input, judgement });
            }
        }
    }
}

/// How an agent ended, from its host's result and its transcript; `None` where its host left neither.
pub fn ended(dir: &Path, now: Timestamp) -> Option<(End, AgentEnd, String)> {
    let result: HostResult = serde_json::from_slice(&std::fs::read(dir.join("result.json")).ok()?).ok()?;
    let (driver, mut talk) = open(dir)?;
    take_in(dir, 0, driver, &mut talk);
    let complaint = complaints(dir);
    let end = talk.end.clone();
    let done = end.as_ref().is_some_and(|end| end.done);
    let mut trouble = end.as_ref().and_then(|end| end.trouble.clone());
    let stopped = match result.end.as_str() {
        "not_started" => End::NotStarted(result.why.clone()),
        // It had said that it was done before it was made to go: some do not go by themselves.
        "exit" | "signal" if done => End::Exit(0),
        "exit" if end.is_none() && result.number == 0 => {
            End::Garbled("it ended without saying that its turn is over".to_owned())
        }
        // Status 0 with a trouble is no success.
        "exit" => End::Exit(if result.number == 0 { 1 } else { result.number }),
        "signal" => End::Signal(result.number),
        "timeout" => End::Timeout,
        "silent" => End::Silent,
        "cancelled" => End::Cancelled,
        other => {
            trouble = trouble.or(Some(other.to_owned()));
            End::Exit(1)
        }
    };
    if result.end == "budget" {
        trouble = Some("budget".to_owned());
    }
    let limited_until = talk.limited_until_ms.map(Timestamp).filter(|until| *until > now && !done);
    let said = end.map_or_else(|| talk.said.clone(), |end| end.said);
    let usage = priced(&talk);
    let tail = match (said.is_empty(), complaint.is_empty()) {
        (false, true) => ending(&said).to_owned(),
        (false, false) => format!("{complaint}\n{}", ending(&said)),
        (true, _) => complaint,
    };
    Some((stopped, AgentEnd { done, said, trouble, limited_until, usage }, tail))
}

/// The end of long words.
fn ending(said: &str) -> &str {
    let from = said.len().saturating_sub(2_000);
    let from = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(said.len());
    &said[from..]
}

/// What it used; where it does not say what that costs, the configuration's price does. All tokens count as read, but for
/// none that is known to be written: the low end, and said so by nobody else.
fn priced(talk: &Talk) -> Usage {
    let usd = talk.usage.usd.or_else(|| {
        let (read, _) = talk.brief.price?;
        Some(talk.usage.tokens as f64 * read / 1e6)
    });
    Usage { usd, ..talk.usage }
}

/// The end of what it wrote to its error stream.
fn complaints(dir: &Path) -> String {
    let mut lines: Vec<String> = Vec::new();
    let _ = transcript::read(&dir.join("transcript"), 0, |kind, text| {
        if kind == transcript::Kind::Complained && !text.trim().is_empty() {
            lines.push(text.chars().take(400).collect());
            if lines.len() > 12 {
                lines.remove(0);
            }
        }
    });
    lines.join("\n")
}
