//! What the handlers of one client share: the way out, the way to the daemon, the news from it, and what the client is.
//!
//! Everything lives on one thread, so cells are enough; no cell is borrowed across an `await`.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rmcp::model::{ErrorData, ProtocolVersion, SubscriptionFilter};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use tokio::sync::{Notify, broadcast, oneshot};

use super::{
    seal::Seal,
    wire::{self, Id},
};
use crate::{
    api::{ApiError, Code, Event, kept::Holds},
    client::{
        ConnectOptions,
        again::{self, Tries},
        link::Link,
    },
    ids::DecisionId,
};

/// Answers that may wait for a client that reads slowly; then nothing more is taken from it.
pub const OUTGOING_BYTES_MAX: usize = 16 << 20;

/// As much as a pipe holds: with this many answers queued, writing them comes before more is taken.
const WRITE_BYTES: usize = 64 << 10;

/// Batches of events that a waiting call may be behind. One that is further behind looks again, nothing is lost.
const NEWS_MAX: usize = 256;

/// The revision of the protocol that a request is of.
#[derive(Debug, Clone, PartialEq)]
pub enum Era {
    /// Up to 2025-11-25: a handshake, then a session in which we may ask.
    Handshake(ProtocolVersion),
    /// From 2026-07-28: every request says what it needs, and questions are answers.
    Inline,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its id.
    pub id: Id,
    /// Its revision.
    pub era: Era,
    /// Whether its client can show a form.
    pub forms: bool,
    /// Whether its client follows tasks by itself.
    pub tasks: bool,
    /// What progress is told under.
    pub progress: Option<Value>,
}

impl Call {
    /// A result as this revision has it.
    pub fn dress(&self, result: Value) -> Reply {
        Reply::Value(self.complete(result))
    }

    /// The result of a list or a read; it may change at any time, so nobody keeps it.
    pub fn listed(&self, mut result: Value) -> Reply {
        if self.era == Era::Inline {
            result["ttlMs"] = 0.into();
            result["cacheScope"] = "private".into();
        }
        self.dress(result)
    }

    fn complete(&self, mut result: Value) -> Value {
        if self.era == Era::Inline {
            result["resultType"] = "complete".into();
        }
        result
    }
}

/// The answer to a request.
#[derive(Debug)]
pub enum Reply {
    /// A result.
    Value(Value),
    /// A tool's result, as the daemon wrote it.
    Called(Box<RawValue>),
    /// The same, with the connection that it came by and for how long it holds.
    Held(Box<RawValue>, Link, Holds),
    /// A tool's refusal: a sentence for the model.
    Mistaken(String),
}

/// What a handler comes to.
pub type Handled = Result<Reply, ErrorData>;

/// A client that shook hands.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// The revision that was agreed on.
    pub version: ProtocolVersion,
    /// Whether it can show a form.
    pub forms: bool,
}

/// Everything that one client's handlers share.
pub struct Front {
    /// How the daemon is reached; the client's name goes in when it is known.
    options: RefCell<ConnectOptions>,
    /// Whether this process was started for an agent of a run.
    pub agent: bool,
    /// Whether a session may claim tasks: the user declared an agent whose driver is `pull`.
    pub pull: bool,
    /// The way out.
    pub out: Out,
    /// Seals what the client carries for us.
    pub seal: Seal,
    /// The session of a client that shook hands.
    pub handshake: RefCell<Option<Handshake>>,
    /// Requests that wait for their answer, with what ends them.
    pub under_way: RefCell<HashMap<Id, tokio::task::AbortHandle>>,
    /// Calls that wait for somebody or something: the end of the input does not wait for them.
    pub waits: Cell<usize>,
    /// Our own questions to a client that shook hands.
    asked: RefCell<HashMap<u64, oneshot::Sender<Value>>>,
    last_asked: Cell<u64>,
    /// Open `subscriptions/listen` requests.
    pub listens: RefCell<BTreeMap<Id, SubscriptionFilter>>,
    /// Resources that a client with a handshake watches.
    pub watched: RefCell<BTreeSet<String>>,
    /// What a person chose by typing a prompt; the tool call that follows records it as theirs.
    pub prompted: RefCell<HashMap<DecisionId, String>>,
    /// Decisions whose form was shown by a call: a dismissed form does not come back by itself.
    pub shown: RefCell<BTreeSet<DecisionId>>,
    /// As many as calls are under way that may change something.
    pub changing: Rc<()>,
    daemon: tokio::sync::Mutex<Option<Connected>>,
    /// The count of changes, once it was looked at in this turn.
    count: Cell<Option<u64>>,
    news: broadcast::Sender<Arc<[Event]>>,
    following: Cell<bool>,
    /// Whether this client is told what changes.
    pub telling: Cell<bool>,
}

#[derive(Clone)]
struct Connected {
    link: Link,
    revision: u64,
}

impl Front {
    /// Nothing is connected yet.
    pub fn new(options: ConnectOptions, agent: bool, pull: bool) -> std::io::Result<Front> {
        Ok(Front {
            options: RefCell::new(options),
            agent,
            pull,
            out: Out::default(),
            seal: Seal::new()?,
            handshake: RefCell::default(),
            under_way: RefCell::default(),
            waits: Cell::new(0),
            asked: RefCell::default(),
            last_asked: Cell::new(0),
            listens: RefCell::default(),
            watched: RefCell::default(),
            prompted: RefCell::default(),
            shown: RefCell::default(),
            changing: Rc::default(),
            daemon: tokio::sync::Mutex::default(),
            count: Cell::new(None),
            news: broadcast::Sender::new(NEWS_MAX),
            following: Cell::new(false),
            telling: Cell::new(false),
        })
    }

    /// The client said who it is.
    pub fn named(&self, name: &str) {
        let name: String = name.chars().filter(|character| !character.is_control()).take(60).collect();
        if !name.is_empty() {
            self.options.borrow_mut().client.name = name;
        }
    }

    async fn connected(&self) -> Result<Connected, ApiError> {
        let mut slot = self.daemon.lock().await;
        if let Some(connected) = slot.as_ref().filter(|connected| !connected.link.is_closed()) {
            return Ok(connected.clone());
        }
        let options = self.options.borrow().clone();
        let (link, welcome) = Link::connect(&options).await.map_err(|error| error.0)?;
        let connected = Connected { link, revision: welcome.revision };
        *slot = Some(connected.clone());
        Ok(connected)
    }

    /// A call of the daemon, its reply as it came. Where the connection broke, it is made again: what would be done twice
    /// has a key.
    pub async fn raw(&self, method: &str, params: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
        match again::with_key(method, params) {
            Some(keyed) => self.steadily(async |link| link.raw(method, &keyed).await).await,
            None => self.steadily(async |link| link.raw(method, params).await).await,
        }
        .map(|(reply, _)| reply)
    }

    /// Does something with the connection, again where that breaks; and the connection that it went over.
    async fn steadily<T>(&self, call: impl AsyncFn(&Link) -> Result<T, ApiError>) -> Result<(T, Link), ApiError> {
        let mut tries = Tries::default();
        loop {
            let Connected { link, .. } = self.connected().await?;
            match call(&link).await {
                Ok(reply) => return Ok((reply, link)),
                Err(error) if tries.more(link.is_closed(), &error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A read whose answer may be kept.
    pub async fn held(&self, method: &str, params: &impl Serialize) -> Result<Reply, ApiError> {
        let (answered, link) = self.steadily(async |link| link.held(method, params).await).await?;
        Ok(match answered {
            (reply, Some(holds)) => Reply::Held(reply, link, holds),
            (reply, None) => Reply::Called(reply),
        })
    }

    /// A turn begins: what the last one saw of the daemon may be outdated.
    pub fn look_anew(&self) {
        self.count.set(None);
    }

    /// What was kept under a key, if it still holds and nothing under way may change it.
    pub fn kept(&self, key: &str) -> Option<Arc<[u8]>> {
        if Rc::strong_count(&self.changing) > 1 {
            return None;
        }
        // Somebody connects anew: then there is nothing to look at.
        let daemon = self.daemon.try_lock().ok()?;
        let link = &daemon.as_ref()?.link;
        let count = self.count.get().or_else(|| link.count())?;
        self.count.set(Some(count));
        link.kept(key, count)
    }

    /// A call of the daemon, its reply read.
    pub async fn ask<T: DeserializeOwned>(&self, method: &str, params: &impl Serialize) -> Result<T, ApiError> {
        let reply = self.raw(method, params).await?;
        serde_json::from_str(reply.get()).map_err(|error| {
            let hint = "the daemon may be of another version; restart it with `orchestrator daemon stop`";
            ApiError::new(Code::Internal, format!("the daemon's answer to `{method}` cannot be read: {error}"), hint)
        })
    }

    /// What happens from now on. The first caller starts the following.
    pub fn news(self: &Rc<Self>) -> broadcast::Receiver<Arc<[Event]>> {
        let news = self.news.subscribe();
        if !self.following.replace(true) {
            tokio::task::spawn_local(follow(self.clone()));
        }
        news
    }

    /// Asks a client that shook hands, and waits for its answer: the result, or null where it refused.
    pub async fn question(&self, method: &str, params: &Value) -> Value {
        let id = self.last_asked.get() + 1;
        self.last_asked.set(id);
        let (to, answer) = oneshot::channel();
        self.asked.borrow_mut().insert(id, to);
        // A caller that gives up takes the question back.
        let taken_back = TakeBack { front: self, id };
        self.out.push(wire::request(id, method, params));
        let answer = answer.await.unwrap_or_default();
        std::mem::forget(taken_back);
        answer
    }

    /// The client answered a question of ours. A second answer finds nobody who waits.
    pub fn answered(&self, id: &Id, answer: Value) {
        if let Some(waiting) = id.value().as_u64().and_then(|id| self.asked.borrow_mut().remove(&id)) {
            let _ = waiting.send(answer);
        }
    }
}

struct TakeBack<'a> {
    front: &'a Front,
    id: u64,
}

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        if self.front.asked.borrow_mut().remove(&self.id).is_some() {
            let params =
                serde_json::json!({"requestId": self.id, "reason": "it was answered elsewhere, or is no longer asked"});
            self.front.out.push(wire::notification("notifications/cancelled", &params));
        }
    }
}

/// Hands on what the daemon tells, without hole: after a broken connection from where it broke. A daemon that was
/// stopped is not started again for this; it is looked for, less and less often.
async fn follow(front: Rc<Front>) {
    let mut last = None;
    let mut pause = Duration::from_millis(50);
    loop {
        let connected = match last {
            None => front.connected().await,
            Some(_) => front.connected_if_there().await,
        };
        if let Ok(connected) = connected {
            let after = *last.get_or_insert(connected.revision);
            if let Ok(mut told) = connected.link.follow(after).await {
                pause = Duration::from_millis(50);
                while let Some(events) = told.recv().await {
                    if let Some(event) = events.last() {
                        last = Some(event.revision);
                    }
                    // Without anybody who waits it is told to nobody.
                    let _ = front.news.send(events.into());
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

impl Front {
    async fn connected_if_there(&self) -> Result<Connected, ApiError> {
        let mut slot = self.daemon.lock().await;
        if let Some(connected) = slot.as_ref().filter(|connected| !connected.link.is_closed()) {
            return Ok(connected.clone());
        }
        let options = ConnectOptions { start: false, ..self.options.borrow().clone() };
        let (link, welcome) = Link::connect(&options).await.map_err(|error| error.0)?;
        let connected = Connected { link, revision: welcome.revision };
        *slot = Some(connected.clone());
        Ok(connected)
    }
}

/// Lines on their way to the client.
#[derive(Default)]
pub struct Out {
    queue: RefCell<Vec<u8>>,
    /// Room that was written out before, so that the next lines need none of their own.
    spare: Cell<Vec<u8>>,
    /// Taken by the writer, and not written yet.
    writing: Cell<usize>,
    broken: Cell<bool>,
    queued: Notify,
    moved: Notify,
}

impl Out {
    /// Queues a line; all that is queued in one turn leaves in one write.
    pub fn push(&self, line: Vec<u8>) {
        let mut queue = self.queue.borrow_mut();
        match queue.is_empty() && queue.capacity() < line.len() {
            true => *queue = line,
            false => queue.extend_from_slice(&line),
        }
        self.queued.notify_one();
    }

    /// Queues the answer of a result that was written before.
    pub fn framed(&self, id: &Id, body: &[u8]) {
        wire::framed(&mut self.queue.borrow_mut(), id, body);
        self.queued.notify_one();
    }

    /// Whether a write is worth its while before more is queued.
    pub fn worth_writing(&self) -> bool {
        self.queue.borrow().len() >= WRITE_BYTES
    }

    /// Whether more waits than may.
    pub fn full(&self) -> bool {
        self.queue.borrow().len() + self.writing.get() > OUTGOING_BYTES_MAX
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty() && self.writing.get() == 0
    }

    /// Whether the client no longer hears us.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Waits until something was written, or can no longer be.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Writes until the client no longer reads.
    pub async fn write(&self, mut output: impl tokio::io::AsyncWrite + Unpin) {
        use tokio::io::AsyncWriteExt;
        loop {
            self.queued.notified().await;
            let mut lines = self.queue.replace(self.spare.take());
            self.writing.set(lines.len());
            let mut rest = lines.as_slice();
            while !rest.is_empty() {
                match output.write(rest).await {
                    Ok(count) if count > 0 => {
                        rest = &rest[count..];
                        self.writing.set(rest.len());
                        self.moved.notify_waiters();
                    }
                    _ => {
                        self.broken.set(true);
                        self.moved.notify_waiters();
                        return;
                    }
                }
            }
            if output.flush().await.is_err() {
                self.broken.set(true);
            }
            self.moved.notify_waiters();
            if lines.capacity() <= 2 * WRITE_BYTES {
                lines.clear();
                self.spare.set(lines);
            }
        }
    }
}
