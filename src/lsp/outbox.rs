//! What goes to the editor: answers, notifications, and our own requests with the waits for their answers.
//!
//! Nothing here waits for the editor to read. The queue is bounded twice: what only shows the newest state (a progress
//! report, a file's diagnostics) takes the place of its older self, and a client that lets [`OUT_BYTES_MAX`] pile up
//! does not read at all: the pump leaves.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

/// Most that may wait to be read by the editor, bytes: more than any real session has, and no burden for a machine.
pub const OUT_BYTES_MAX: usize = 64 << 20;

/// What an editor answers: a result, or the error object.
pub type Answer = Result<Value, Value>;

/// The way to the editor. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Default)]
struct Inner {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Woken when the queue is over its bound.
    over: Notify,
    /// Woken when all that was queued is written.
    drained: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// What was taken is still being written.
    writing: bool,
    next_id: u64,
    pending: HashMap<u64, oneshot::Sender<Answer>>,
}

struct Item {
    /// Items of one key stand for each other; only the newest counts.
    key: Option<String>,
    body: Vec<u8>,
}

impl Outbox {
    /// Queues an answer or any other finished message.
    pub fn send(&self, message: &Value) {
        self.push(None, message);
    }

    /// Queues the answer to a request: its id and result as the JSON that they are.
    pub fn result(&self, id: &str, result: &[u8]) {
        let mut body = Vec::with_capacity(result.len() + id.len() + 40);
        body.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"result\":");
        body.extend_from_slice(result);
        body.extend_from_slice(b",\"id\":");
        body.extend_from_slice(id.as_bytes());
        body.push(b'}');
        self.queued(None, body);
    }

    /// Queues a notification.
    pub fn notify(&self, method: &str, params: Value) {
        self.push(None, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Queues a notification that takes the place of an unsent one with the same key.
    pub fn notify_newest(&self, key: String, method: &str, params: Value) {
        self.push(Some(key), &json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Queues a request. Its answer may never come: whoever waits sets a bound, or waits in a task of its own.
    pub fn request(&self, method: &str, params: Value) -> (u64, oneshot::Receiver<Answer>) {
        let (to, answer) = oneshot::channel();
        let id = {
            let mut queue = self.queue();
            // Whoever stopped waiting is forgotten.
            queue.pending.retain(|_, waiting| !waiting.is_closed());
            queue.next_id += 1;
            let id = queue.next_id;
            queue.pending.insert(id, to);
            id
        };
        let mut message = json!({"jsonrpc": "2.0", "id": id, "method": method});
        // A request without parameters has no such field: null is none that the protocol knows.
        if !params.is_null() {
            message["params"] = params;
        }
        self.push(None, &message);
        (id, answer)
    }

    /// A request whose answer is waited for at most so long; `None` where none came.
    pub async fn request_within(&self, bound: Duration, method: &str, params: Value) -> Option<Answer> {
        let (_, answer) = self.request(method, params);
        tokio::time::timeout(bound, answer).await.ok()?.ok()
    }

    /// Takes an editor's answer. One that nobody waits for, a second one for example, is dropped.
    pub fn answer(&self, id: &Value, answer: Answer) {
        let waiting = id.as_u64().and_then(|id| self.queue().pending.remove(&id));
        match waiting {
            Some(waiting) => drop(waiting.send(answer)),
            None => tracing::debug!(%id, "an answer that nobody waits for"),
        }
    }

    fn push(&self, key: Option<String>, message: &Value) {
        // A Value has string keys only, so this cannot fail.
        self.queued(key, serde_json::to_vec(message).unwrap_or_default());
    }

    fn queued(&self, key: Option<String>, body: Vec<u8>) {
        let over = {
            let mut queue = self.queue();
            let older = key.as_ref().and_then(|_| queue.items.iter().position(|item| item.key == key));
            match older.and_then(|index| queue.items.get_mut(index)) {
                Some(item) => {
                    let before = item.body.len();
                    let after = body.len();
                    item.body = body;
                    queue.bytes = queue.bytes - before + after;
                }
                None => {
                    queue.bytes += body.len();
                    queue.items.push_back(Item { key, body });
                }
            }
            queue.bytes > OUT_BYTES_MAX
        };
        self.0.filled.notify_one();
        if over {
            self.0.over.notify_one();
        }
    }

    /// The next messages as they go over the wire, at most about `bytes_max`; waits where there are none.
    pub async fn take(&self, bytes_max: usize) -> Vec<u8> {
        loop {
            let framed = self.take_now(bytes_max);
            if !framed.is_empty() {
                return framed;
            }
            self.0.drained.notify_one();
            self.0.filled.notified().await;
        }
    }

    fn take_now(&self, bytes_max: usize) -> Vec<u8> {
        let mut queue = self.queue();
        let mut framed = Vec::new();
        while framed.len() < bytes_max
            && let Some(item) = queue.items.pop_front()
        {
            queue.bytes -= item.body.len();
            framed.extend_from_slice(format!("Content-Length: {}\r\n\r\n", item.body.len()).as_bytes());
            framed.extend_from_slice(&item.body);
        }
        queue.writing = !framed.is_empty();
        framed
    }

    /// Comes back when everything has been written.
    pub async fn drained(&self) {
        loop {
            {
                let queue = self.queue();
                if queue.items.is_empty() && !queue.writing {
                    return;
                }
            }
            self.0.drained.notified().await;
        }
    }

    /// Comes back when more waits than an editor that reads would let pile up.
    pub async fn overfull(&self) {
        self.0.over.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic between two of our lines leaves a queue that is still a queue.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(outbox: &Outbox) -> String {
        String::from_utf8(outbox.take_now(usize::MAX)).unwrap()
    }

    #[test]
    fn an_unsent_report_gives_way_to_the_newer_one_in_its_place() {
        let outbox = Outbox::default();
        outbox.notify_newest("a".into(), "p", json!(1));
        outbox.notify("end", json!(0));
        outbox.notify_newest("a".into(), "p", json!(22));
        outbox.notify_newest("b".into(), "p", json!(3));
        let text = taken(&outbox);
        let order: Vec<usize> = ["22", "\"end\"", ":3"].iter().map(|what| text.find(what).unwrap()).collect();
        assert!(order.is_sorted(), "{text}");
        assert_eq!(text.matches("Content-Length").count(), 3);
        outbox.notify_newest("a".into(), "p", json!(4));
        assert!(taken(&outbox).contains(":4"), "what was sent is sent");
        let queue = outbox.queue();
        assert_eq!((queue.items.len(), queue.bytes), (0, 0));
    }

    #[tokio::test]
    async fn an_answer_reaches_its_asker_once() {
        let outbox = Outbox::default();
        let (id, answer) = outbox.request("ask", json!({}));
        outbox.answer(&json!(id + 7), Ok(json!("of nobody")));
        outbox.answer(&json!("1"), Ok(json!("of nobody")));
        outbox.answer(&json!(id), Ok(json!("yes")));
        outbox.answer(&json!(id), Ok(json!("no")));
        assert_eq!(answer.await.unwrap(), Ok(json!("yes")));
        assert_eq!(outbox.request_within(Duration::from_millis(1), "ask", json!({})).await, None);
        let _ = outbox.request("ask", json!({}));
        assert_eq!(outbox.queue().pending.len(), 1, "the one that is no longer waited for is forgotten");
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_noticed() {
        let outbox = Outbox::default();
        let much = json!("x".repeat(OUT_BYTES_MAX / 2));
        outbox.notify("a", much.clone());
        assert!(tokio::time::timeout(Duration::from_millis(5), outbox.overfull()).await.is_err());
        outbox.notify("b", much);
        tokio::time::timeout(Duration::from_secs(1), outbox.overfull()).await.unwrap();
    }
}
