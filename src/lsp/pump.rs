//! Carries messages between a byte stream and the service: what `Server::serve` of the library does, with an order.
//!
//! The library's own loop runs notifications side by side, stops reading when four handlers wait for the user, keeps an
//! orphan when its input ends, and gives up at the first bad frame (all seen). The rules here:
//!
//! - The reader awaits no handler but `initialize` and `shutdown`, which answer at once. Answers of the editor go
//!   straight to whoever waits for them.
//! - Notifications are carried out one after the other. A request starts when those before it are done.
//! - Cancellations pass both queues.
//! - What is wrong is answered, and reading goes on. When the input ends, so does everything, whatever is pending.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tower::Service;

use super::{
    frame::{Frames, Piece},
    outbox::Outbox,
    parent,
    types::{Request, Response},
};

/// Requests that may be under way. Editors have a handful; beyond this something asks without reading.
const UNDER_WAY_MAX: usize = 1_024;

/// Notifications that may wait for the one that is carried out. They change a buffer in memory, so a thousand are gone
/// in a moment; beyond it the reader waits.
const NOTIFICATIONS_MAX: usize = 1_024;

/// How much is read and written at once.
const CHUNK_BYTES: usize = 64 << 10;

/// How long the last answers may take to leave.
const FLUSH_MAX: Duration = Duration::from_millis(500);

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const INTERNAL_ERROR: i64 = -32603;
const CANCELLED: i64 = -32800;
const REQUEST_FAILED: i64 = -32803;

/// The exit status that the protocol asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `exit` after `shutdown`: 0.
    InOrder,
    /// `exit` without `shutdown`, the end of the input, an editor that is gone or does not read: 1.
    Otherwise,
}

impl Ended {
    /// The process's exit status.
    pub fn status(self) -> u8 {
        match self {
            Ended::InOrder => 0,
            Ended::Otherwise => 1,
        }
    }
}

/// Serves until the editor is done or gone. `seen_initialize` gets the parameters of `initialize` as they came, and says
/// what the service sees of them: they hold more than its types know, and sometimes what these refuse. `kept` has
/// the results of commands, by name and arguments, that need not be carried out again.
pub async fn pump<T, R, W>(
    service: T,
    outbox: Outbox,
    mut input: R,
    mut output: W,
    seen_initialize: impl FnMut(&Value) -> Value,
    kept: impl Fn(&str, &str) -> Option<Arc<[u8]>>,
) -> Ended
where
    T: Service<Request, Response = Option<Response>>,
    T::Future: Future<Output = Result<Option<Response>, T::Error>> + Send + 'static,
    T::Error: Send + 'static,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (parent_found, parent) = oneshot::channel();
    let mut reader = Reader::new(service, outbox.clone(), seen_initialize, kept, parent_found);
    let mut writer = std::pin::pin!(write(&outbox, &mut output));
    let ended = tokio::select! {
        ended = reader.read(&mut input) => ended,
        () = &mut writer => return Ended::Otherwise,
        () = outbox.overfull() => {
            tracing::warn!("the editor does not read what it is sent");
            return Ended::Otherwise;
        }
        () = parent::gone(parent) => {
            tracing::info!("the editor's process is gone");
            return Ended::Otherwise;
        }
    };
    // The answer to `shutdown` may still be on its way. Nothing else is worth waiting for.
    if ended == Ended::InOrder {
        tokio::select! {
            () = &mut writer => {}
            _ = tokio::time::timeout(FLUSH_MAX, outbox.drained()) => {}
        }
    }
    ended
}

/// Writes what is queued, until the editor has closed its end.
async fn write<W: AsyncWrite + Unpin>(outbox: &Outbox, output: &mut W) {
    loop {
        let framed = outbox.take(CHUNK_BYTES).await;
        if output.write_all(&framed).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

type Carried = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests under way, by their ids as they came, and the way to cancel each.
type UnderWay = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;

struct Reader<T, F, K> {
    service: T,
    outbox: Outbox,
    seen_initialize: F,
    kept: K,
    initialized: bool,
    parent: Option<oneshot::Sender<Option<u32>>>,
    notifications: mpsc::Sender<Carried>,
    /// Notifications that were queued.
    queued: u64,
    /// Notifications that are done.
    done: watch::Receiver<u64>,
    under_way: UnderWay,
    tasks: JoinSet<()>,
    shut_down: bool,
}

impl<T, F, K> Reader<T, F, K>
where
    T: Service<Request, Response = Option<Response>>,
    T::Future: Future<Output = Result<Option<Response>, T::Error>> + Send + 'static,
    T::Error: Send + 'static,
    F: FnMut(&Value) -> Value,
    K: Fn(&str, &str) -> Option<Arc<[u8]>>,
{
    fn new(
        service: T,
        outbox: Outbox,
        seen_initialize: F,
        kept: K,
        parent: oneshot::Sender<Option<u32>>,
    ) -> Reader<T, F, K> {
        let (notifications, mut queue) = mpsc::channel::<Carried>(NOTIFICATIONS_MAX);
        let (count, done) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(notification) = queue.recv().await {
                // One that panics must not hold up the rest.
                let _ = caught(notification).await;
                count.send_modify(|count| *count += 1);
            }
        });
        let under_way = UnderWay::default();
        let parent = Some(parent);
        Reader {
            service,
            outbox,
            seen_initialize,
            kept,
            initialized: false,
            parent,
            notifications,
            queued: 0,
            done,
            under_way,
            tasks,
            shut_down: false,
        }
    }

    async fn read<R: AsyncRead + Unpin>(&mut self, input: &mut R) -> Ended {
        let mut frames = Frames::default();
        // Never filled beforehand: a start touches only the pages that its messages need.
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        loop {
            match input.read_buf(&mut chunk).await {
                Ok(0) | Err(_) => {
                    if !frames.whole() {
                        tracing::warn!("the input ended within a message");
                    }
                    return Ended::Otherwise;
                }
                Ok(_) => {
                    frames.feed(&chunk);
                    chunk.clear();
                }
            }
            while let Some(piece) = frames.next() {
                let ended = match piece {
                    Piece::Body(body) => self.body(&body).await,
                    Piece::Bad(why) => {
                        self.refuse(&Value::Null, INVALID_REQUEST, &why);
                        None
                    }
                };
                if let Some(ended) = ended {
                    return ended;
                }
            }
            // Ended tasks give their memory back.
            while self.tasks.try_join_next().is_some() {}
        }
    }

    fn refuse(&self, id: &Value, code: i64, why: &str) {
        self.outbox.send(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}));
    }

    /// A command whose result is kept, answered here and now. False where it takes the long way: where anything is
    /// unusual about it, or anything else is under way that it might have to come after.
    fn quick(&self, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Plain<'a> {
            jsonrpc: &'a str,
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            method: &'a str,
            #[serde(borrow)]
            params: Option<Execute<'a>>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Execute<'a> {
            command: &'a str,
            #[serde(borrow)]
            arguments: Option<&'a RawValue>,
        }
        if !self.initialized || self.shut_down || !lock(&self.under_way).is_empty() {
            return false;
        }
        let Ok(plain) = serde_json::from_slice::<Plain>(body) else { return false };
        let (Some(id), Some(execute), "workspace/executeCommand", "2.0") =
            (plain.id, plain.params, plain.method, plain.jsonrpc)
        else {
            return false;
        };
        let is_id = id.get().starts_with('"') || id.get().parse::<i64>().is_ok();
        let arguments = execute.arguments.map_or("[]", RawValue::get);
        let Some(result) = is_id.then(|| (self.kept)(execute.command, arguments)).flatten() else { return false };
        self.outbox.result(id.get(), &result);
        true
    }

    async fn body(&mut self, body: &[u8]) -> Option<Ended> {
        if self.quick(body) {
            return None;
        }
        let message: Value = match serde_json::from_slice(body) {
            Ok(message) => message,
            Err(error) => {
                self.refuse(&Value::Null, PARSE_ERROR, &format!("the message is not JSON: {error}"));
                return None;
            }
        };
        let Value::Object(fields) = &message else {
            let why = match message {
                Value::Array(_) => "LSP has no batches: send each message in a frame of its own",
                _ => "a message is a JSON object",
            };
            self.refuse(&Value::Null, INVALID_REQUEST, why);
            return None;
        };
        let id = fields.get("id").cloned();
        if let Some(id) = &id
            && !(id.is_null() || id.is_string() || id.as_i64().is_some())
        {
            self.refuse(&Value::Null, INVALID_REQUEST, &format!("{id} is no id: a whole number or a string is one"));
            return None;
        }
        let Some(method) = fields.get("method") else {
            match (&id, fields.get("result"), fields.get("error")) {
                (Some(id), _, Some(error)) => self.outbox.answer(id, Err(error.clone())),
                (Some(id), Some(result), None) => self.outbox.answer(id, Ok(result.clone())),
                (id, ..) => {
                    let why = "a message has a `method`, or the `id` and `result` of an answer";
                    self.refuse(id.as_ref().unwrap_or(&Value::Null), INVALID_REQUEST, why);
                }
            }
            return None;
        };
        let method = method.as_str().unwrap_or_default().to_owned();
        let params = fields.get("params").cloned();
        match serde_json::from_value::<Request>(message) {
            Ok(request) => self.dispatch(&method, id, params, request).await,
            Err(error) => {
                let why = format!("this is no JSON-RPC 2.0 request: {error}");
                self.refuse(&id.unwrap_or(Value::Null), INVALID_REQUEST, &why);
                None
            }
        }
    }

    async fn dispatch(
        &mut self,
        method: &str,
        id: Option<Value>,
        params: Option<Value>,
        request: Request,
    ) -> Option<Ended> {
        match (method, id) {
            ("$/cancelRequest", _) => {
                let id = params.as_ref().and_then(|params| params.get("id")).map(Value::to_string);
                let cancel = id.and_then(|id| lock(&self.under_way).remove(&id));
                let _ = cancel.map(|cancel| cancel.send(()));
                None
            }
            ("exit", None) => Some(if self.shut_down { Ended::InOrder } else { Ended::Otherwise }),
            ("initialize", Some(_)) => {
                let mut request = request;
                if let Some(params) = &params {
                    let shown = (self.seen_initialize)(params);
                    let (method, id, _) = request.into_parts();
                    let again = Request::build(method).params(shown);
                    request = match id {
                        Some(id) => again.id(id).finish(),
                        None => again.finish(),
                    };
                    let process = params.get("processId").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
                    let _ = self.parent.take().map(|found| found.send(process));
                }
                self.initialized |= self.inline(request).await;
                None
            }
            ("shutdown", Some(_)) => {
                self.shut_down |= self.inline(request).await;
                None
            }
            (_, Some(id)) => {
                self.request(&id, request).await;
                None
            }
            (_, None) => {
                self.notification(method, request).await;
                None
            }
        }
    }

    /// The service's own future for a message.
    async fn call(&mut self, request: Request) -> Option<T::Future> {
        poll_fn(|context| self.service.poll_ready(context)).await.ok()?;
        Some(self.service.call(request))
    }

    /// Carries a request out before anything else is read. Whether it succeeded.
    async fn inline(&mut self, request: Request) -> bool {
        let Some(future) = self.call(request).await else { return false };
        match future.await {
            Ok(Some(response)) => {
                self.outbox.send(&json!(response));
                response.is_ok()
            }
            Ok(None) | Err(_) => false,
        }
    }

    async fn notification(&mut self, method: &str, request: Request) {
        let Some(future) = self.call(request).await else { return };
        let carried: Carried = Box::pin(async move { drop(future.await) });
        if method == "window/workDoneProgress/cancel" {
            self.tasks.spawn(carried);
            return;
        }
        self.queued += 1;
        // The one that carries them out lives as long as we do.
        let _ = self.notifications.send(carried).await;
    }

    async fn request(&mut self, id: &Value, request: Request) {
        let key = id.to_string();
        {
            let mut under_way = lock(&self.under_way);
            under_way.retain(|_, cancel| !cancel.is_closed());
            if under_way.contains_key(&key) {
                let why = format!("a request with the id {id} is under way already");
                return self.refuse(id, INVALID_REQUEST, &why);
            }
            if under_way.len() >= UNDER_WAY_MAX {
                let why = format!("{UNDER_WAY_MAX} requests are under way; wait for some of their answers");
                return self.refuse(id, REQUEST_FAILED, &why);
            }
        }
        let Some(future) = self.call(request).await else { return };
        let (cancel, mut cancelled) = oneshot::channel();
        lock(&self.under_way).insert(key.clone(), cancel);
        let (mut done, before) = (self.done.clone(), self.queued);
        let (outbox, under_way, id) = (self.outbox.clone(), self.under_way.clone(), id.clone());
        self.tasks.spawn(async move {
            let work = async {
                // It fails only when the other end is gone, and we with it.
                let _ = done.wait_for(|done| *done >= before).await;
                future.await
            };
            let answer = tokio::select! {
                answer = caught(work) => Some(answer),
                // Dropping the sender without a word is no cancellation.
                Ok(()) = &mut cancelled => None,
            };
            lock(&under_way).remove(&id.to_string());
            let error =
                |code: i64, why: &str| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}});
            match answer {
                Some(Ok(Ok(Some(response)))) => outbox.send(&json!(response)),
                Some(Ok(Ok(None))) => outbox.send(&error(-32601, "there is no such method")),
                Some(Ok(Err(_))) => outbox.send(&error(INVALID_REQUEST, "the server has exited")),
                Some(Err(())) => outbox.send(&error(INTERNAL_ERROR, "this is a bug; please report it")),
                None => outbox.send(&error(CANCELLED, "cancelled")),
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Awaits a future and takes its panic for an answer, so that one broken call does not end the session.
async fn caught<O>(future: impl Future<Output = O>) -> Result<O, ()> {
    let mut future = std::pin::pin!(future);
    poll_fn(|context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}
