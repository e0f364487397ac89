//! The connection of a front end: the daemon's calls as JSON, with replies passed through unread.
//!
//! Why not the client that the command line uses: it costs a task and a channel per call, and reads every reply into
//! types that a front end would only write out again. Here a call is one line out and one line in; all calls that are
//! made in one turn of the loop leave in one write, so the daemon is woken once.
//!
//! Answers that hold are kept here, in the form that the front end gives them ([`Link::keep`]), so that asking again
//! for what nobody changed wakes nobody. They are as new as asking would be: see [`Link::kept`].

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, mpsc, oneshot},
};

use super::{ConnectError, ConnectOptions};
use crate::{
    api::{
        ApiError, Code, Event, Welcome,
        count::Seen,
        kept::{Holds, Kept},
    },
    time::now,
};

/// Notifications of a subscription that wait for the front end. Behind that it is let go of and takes up again.
const EVENTS_MAX: usize = 1_024;

/// A connection that was greeted. Cheap to clone; it closes when the last clone goes.
#[derive(Clone)]
pub struct Link(Arc<Open>);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

struct Open {
    shared: Arc<Shared>,
    reading: tokio::task::AbortHandle,
    writing: tokio::task::AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reading.abort();
        self.writing.abort();
    }
}

struct Shared {
    calls: Mutex<Calls>,
    /// Lines on their way out; `queued` tells the writer.
    outgoing: Mutex<Vec<u8>>,
    queued: Notify,
    /// The count of the workspace's changes, where it can be looked at, and the connection, to see whether it stands.
    seen: Option<(Seen, OwnedFd)>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Calls {
    last_id: u64,
    /// Once it is closed, nothing is added.
    closed: bool,
    waiting: HashMap<u64, Waiting>,
    following: HashMap<String, mpsc::Sender<Vec<Event>>>,
}

/// A reply as it came, and for how long it holds, where that is known.
type Held = (Box<RawValue>, Option<Holds>);

enum Waiting {
    Reply(oneshot::Sender<Result<Held, ApiError>>),
    /// A subscription: its events go here from the very first on.
    Follow(oneshot::Sender<Result<Held, ApiError>>, mpsc::Sender<Vec<Event>>),
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
    /// Whether we would know for how long the answer holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    holds: bool,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    holds: Option<Holds>,
}

#[derive(Deserialize)]
struct Told {
    subscription: serde_json::Value,
    result: Vec<Event>,
}

impl Link {
    /// Finds the daemon, starts it where that is asked for, and greets it. Call it inside a runtime.
    pub async fn connect(options: &ConnectOptions) -> Result<(Link, Welcome), ConnectError> {
        let (stream, welcome) = super::reach(options).await?;
        let seen = welcome.count.as_ref().and_then(Seen::open).zip(stream.as_fd().try_clone_to_owned().ok());
        let (reader, writer) = stream.into_split();
        let shared = Arc::new(Shared {
            calls: Mutex::default(),
            outgoing: Mutex::default(),
            queued: Notify::new(),
            seen,
            kept: Mutex::default(),
        });
        let reading = tokio::spawn(read(BufReader::with_capacity(64 << 10, reader), shared.clone())).abort_handle();
        let writing = tokio::spawn(write(writer, shared.clone())).abort_handle();
        Ok((Link(Arc::new(Open { shared, reading, writing })), welcome))
    }

    /// Whether the daemon has gone.
    pub fn is_closed(&self) -> bool {
        self.0.shared.calls().closed
    }

    /// A call, its reply as it came.
    pub async fn raw(&self, method: &str, params: impl Serialize) -> Result<Box<RawValue>, ApiError> {
        self.asked(method, params, false).await.map(|(reply, _)| reply)
    }

    /// The same, and for how long the reply holds, where that is known.
    pub async fn held(&self, method: &str, params: impl Serialize) -> Result<Held, ApiError> {
        self.asked(method, params, self.0.shared.seen.is_some()).await
    }

    async fn asked(&self, method: &str, params: impl Serialize, holds: bool) -> Result<Held, ApiError> {
        let (to, reply) = oneshot::channel();
        self.send(method, params, holds, Waiting::Reply(to))?;
        reply.await.unwrap_or_else(|_| Err(broken()))
    }

    /// Keeps what was made of a reply, under a key of the caller's own.
    pub fn keep(&self, key: &str, holds: Holds, made: &[u8]) {
        self.0.shared.kept().put(key, holds, now(), made);
    }

    /// The count of changes, if the daemon stands; `None` where nothing that was kept may be used.
    ///
    /// What was kept at this count is as new as asking now: the daemon moves the count before anybody hears of a change,
    /// so one that was heard of anywhere is seen here. And where the daemon is gone, and with it whoever moves the count,
    /// the kernel has closed the connection before another one can begin: that is looked at past what is still unread in
    /// it, and after the count.
    pub fn count(&self) -> Option<u64> {
        let (seen, connection) = self.0.shared.seen.as_ref()?;
        let count = seen.get();
        stands(connection).then_some(count)
    }

    /// What was kept under this key, if it holds at this count.
    pub fn kept(&self, key: &str, count: u64) -> Option<Arc<[u8]>> {
        self.0.shared.kept().get(key, count, now).map(|(made, _)| made)
    }

    /// A call, its reply read.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: impl Serialize) -> Result<T, ApiError> {
        let reply = self.raw(method, params).await?;
        serde_json::from_str(reply.get()).map_err(|error| {
            ApiError::new(
                Code::Internal,
                format!("the daemon's answer to `{method}` cannot be read: {error}"),
                "the daemon may be of another version; restart it with `orchestrator daemon stop`",
            )
        })
    }

    /// Events after a revision, until the connection or the result is dropped.
    pub async fn follow(&self, after: u64) -> Result<mpsc::Receiver<Vec<Event>>, ApiError> {
        let (to, reply) = oneshot::channel();
        let (events, told) = mpsc::channel(EVENTS_MAX);
        self.send("subscribe_events", serde_json::json!({"after": after}), false, Waiting::Follow(to, events))?;
        reply.await.unwrap_or_else(|_| Err(broken()))?;
        Ok(told)
    }

    fn send(&self, method: &str, params: impl Serialize, holds: bool, waiting: Waiting) -> Result<(), ApiError> {
        let shared = &self.0.shared;
        let id = {
            let mut calls = shared.calls();
            if calls.closed {
                return Err(broken());
            }
            calls.last_id += 1;
            let id = calls.last_id;
            calls.waiting.insert(id, waiting);
            id
        };
        let mut outgoing = shared.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = outgoing.len();
        let request = Request { jsonrpc: "2.0", id, method, params, holds };
        if let Err(error) = serde_json::to_writer(&mut *outgoing, &request) {
            outgoing.truncate(begin);
            shared.calls().waiting.remove(&id);
            return Err(ApiError::new(Code::Invalid, format!("this cannot be sent: {error}"), ""));
        }
        outgoing.push(b'\n');
        shared.queued.notify_one();
        Ok(())
    }
}

impl Shared {
    fn calls(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        *self.kept() = Kept::default();
        let mut calls = self.calls();
        calls.closed = true;
        // Whoever waits hears of it by the end of its channel.
        calls.waiting.clear();
        calls.following.clear();
    }

    fn take(&self, line: &[u8]) {
        let Ok(incoming) = serde_json::from_slice::<Incoming>(line) else {
            tracing::warn!(bytes = line.len(), "the daemon said something that cannot be read");
            return;
        };
        let Some(id) = incoming.id else {
            return self.tell(incoming.params);
        };
        let mut calls = self.calls();
        let outcome = match (incoming.result, incoming.error) {
            (Some(result), _) => Ok((result.to_owned(), incoming.holds)),
            (None, Some(error)) => Err(refusal(error)),
            (None, None) => Err(broken()),
        };
        match calls.waiting.remove(&id) {
            Some(Waiting::Reply(to)) => drop(to.send(outcome)),
            Some(Waiting::Follow(to, events)) => {
                if let Ok((name, _)) = &outcome {
                    calls.following.insert(name.get().to_owned(), events);
                }
                drop(to.send(outcome));
            }
            // Its caller gave up.
            None => {}
        }
    }

    fn tell(&self, params: Option<&RawValue>) {
        let Some(told) = params.and_then(|params| serde_json::from_str::<Told>(params.get()).ok()) else { return };
        let name = told.subscription.to_string();
        let mut calls = self.calls();
        let gone = calls.following.get(&name).is_some_and(|events| events.try_send(told.result).is_err());
        if gone {
            calls.following.remove(&name);
        }
    }
}

/// Whether the other end still has the connection open.
fn stands(connection: &OwnedFd) -> bool {
    #[cfg(target_os = "linux")]
    const GONE: libc::c_short = libc::POLLRDHUP;
    #[cfg(not(target_os = "linux"))]
    const GONE: libc::c_short = 0;
    let mut poll = libc::pollfd { fd: connection.as_raw_fd(), events: GONE, revents: 0 };
    // SAFETY: one entry, valid for the call; it waits for nothing.
    unsafe { libc::poll(&mut poll, 1, 0) == 0 }
}

fn broken() -> ApiError {
    ApiError::new(
        Code::Unavailable,
        "the connection to the daemon broke",
        "call again: nothing that was accepted is lost, and the same key is the same run",
    )
}

fn refusal(error: &RawValue) -> ApiError {
    #[derive(Deserialize)]
    struct Refused {
        code: i32,
        message: String,
        data: Option<serde_json::Value>,
    }
    match serde_json::from_str::<Refused>(error.get()) {
        Ok(Refused { data: Some(data), code, message }) => {
            let detail = data.as_str().map(|detail| format!("{message}: {detail}")).unwrap_or(message);
            serde_json::from_value(data).unwrap_or_else(|_| ApiError::new(Code::from_number(code), detail, ""))
        }
        Ok(Refused { code, message, .. }) => ApiError::new(Code::from_number(code), message, ""),
        Err(_) => ApiError::new(Code::Internal, "the daemon refused in words that cannot be read", ""),
    }
}

async fn read(mut reader: BufReader<OwnedReadHalf>, shared: Arc<Shared>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(count) if count > 0 => shared.take(&line),
            _ => break,
        }
        // One large reply is no reason to keep its room.
        line.shrink_to(64 << 10);
    }
    shared.close();
}

async fn write(mut writer: OwnedWriteHalf, shared: Arc<Shared>) {
    loop {
        shared.queued.notified().await;
        let lines = std::mem::take(&mut *shared.outgoing.lock().unwrap_or_else(PoisonError::into_inner));
        if !lines.is_empty() && writer.write_all(&lines).await.is_err() {
            // The reader hears of it, too, and closes.
            return;
        }
    }
}

/// One call on a stream that nobody else uses yet: the greeting.
pub(super) async fn once<T: DeserializeOwned>(
    stream: &mut UnixStream,
    method: &str,
    params: impl Serialize,
) -> io::Result<Result<T, ApiError>> {
    let request = Request { jsonrpc: "2.0", id: 0, method, params, holds: false };
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut reader = BufReader::new(stream);
    line.clear();
    if reader.read_until(b'\n', &mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let incoming: Incoming = serde_json::from_slice(&line)?;
    Ok(match (incoming.result, incoming.error) {
        (Some(result), _) => Ok(serde_json::from_str(result.get())?),
        (None, Some(error)) => Err(refusal(error)),
        (None, None) => return Err(io::ErrorKind::InvalidData.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_what_it_says() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let error = refusal(&raw(
            r#"{"code":-32041,"message":"x","data":{"code":"NOT_FOUND","message":"there is no R-9","hint":"look"}}"#,
        ));
        assert_eq!((error.code, error.message.as_str()), (Code::NotFound, "there is no R-9"));
        let error = refusal(&raw(r#"{"code":-32602,"message":"Invalid params","data":"missing field"}"#));
        assert_eq!((error.code, error.message.as_str()), (Code::Invalid, "Invalid params: missing field"));
    }
}
