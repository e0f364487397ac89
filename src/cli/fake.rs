//! A daemon for tests of the verbs: canned answers behind the real JSON-RPC client, in memory.
//!
//! Requests go through the generated client, and answers through the wire types, so that a test that passes has spoken
//! the contract.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Write},
    sync::{Arc, Mutex},
};

use jsonrpsee::{
    core::client::{Client, ClientBuilder, ReceivedMessage, TransportReceiverT, TransportSenderT},
    server::{RpcModule, SubscriptionMessage},
    types::ErrorObjectOwned,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{console::Console, render::paint::Paint};
use crate::api::ApiError;

/// What was called with what, in order.
pub type Calls = Arc<Mutex<Vec<(String, Value)>>>;
type Answers = Mutex<HashMap<&'static str, VecDeque<Result<Value, ApiError>>>>;

/// A daemon that knows a few answers. The last one of a call is given again and again.
#[derive(Default)]
pub struct Fake {
    answers: Answers,
    events: Mutex<Vec<Value>>,
    hang: bool,
    calls: Calls,
}

impl Fake {
    /// Answers the next unanswered call of this method.
    pub fn answer(self, method: &'static str, reply: &impl Serialize) -> Fake {
        let value = serde_json::to_value(reply).unwrap();
        self.answers.lock().unwrap().entry(method).or_default().push_back(Ok(value));
        self
    }

    /// Refuses the next unanswered call of this method.
    pub fn refuse(self, method: &'static str, error: ApiError) -> Fake {
        self.answers.lock().unwrap().entry(method).or_default().push_back(Err(error));
        self
    }

    /// Sends this event to whoever subscribes. Behind the last one the stream ends, as with a daemon that dies.
    pub fn event(self, event: Value) -> Fake {
        self.events.lock().unwrap().push(event);
        self
    }

    /// Keeps the stream open behind the last event.
    pub fn hang(mut self) -> Fake {
        self.hang = true;
        self
    }

    /// A client of it, and what it will have been asked.
    pub fn client(self) -> (Client, Calls) {
        let calls = self.calls.clone();
        let methods: Vec<&'static str> = self.answers.lock().unwrap().keys().copied().collect();
        let mut module = RpcModule::new(self);
        for method in methods {
            module
                .register_method(method, move |params, fake: &Fake, _| -> Result<Value, ErrorObjectOwned> {
                    fake.calls.lock().unwrap().push((method.to_owned(), params.parse().unwrap_or(Value::Null)));
                    let mut answers = fake.answers.lock().unwrap();
                    let queue = answers.get_mut(method).unwrap();
                    let answer = if queue.len() > 1 { queue.pop_front().unwrap() } else { queue[0].clone() };
                    answer.map_err(ErrorObjectOwned::from)
                })
                .unwrap();
        }
        module
            .register_subscription(
                "subscribe_events",
                "event",
                "unsubscribe_events",
                |params, pending, fake, _| async move {
                    fake.calls.lock().unwrap().push(("subscribe_events".into(), params.parse().unwrap_or(Value::Null)));
                    let sink = pending.accept().await.unwrap();
                    let events = fake.events.lock().unwrap().clone();
                    for event in events {
                        let raw = serde_json::value::to_raw_value(&[event]).unwrap();
                        // The follower may have seen enough.
                        if sink.send(SubscriptionMessage::from(raw)).await.is_err() {
                            return;
                        }
                    }
                    if fake.hang {
                        sink.closed().await;
                    }
                },
            )
            .unwrap();
        let (send, receive) = mpsc::unbounded_channel();
        let client = ClientBuilder::default().build_with_tokio(Sender { module, send }, Receiver(receive));
        (client, calls)
    }
}

struct Sender {
    module: RpcModule<Fake>,
    send: mpsc::UnboundedSender<String>,
}

impl TransportSenderT for Sender {
    type Error = io::Error;

    async fn send(&mut self, message: String) -> Result<(), io::Error> {
        let (module, send) = (self.module.clone(), self.send.clone());
        tokio::spawn(async move {
            let (answer, mut notes) = module.raw_json_request(&message, 1024).await.unwrap();
            let _ = send.send(answer.get().to_owned());
            let subscription = serde_json::from_str::<Value>(answer.get()).unwrap()["result"].clone();
            while let Some(note) = notes.recv().await {
                let _ = send.send(note.get().to_owned());
            }
            if message.contains("\"subscribe_events\"") {
                // What a server says when a stream ends.
                let end = json!({"jsonrpc": "2.0", "method": "event", "params": {"subscription": subscription, "error": "gone"}});
                let _ = send.send(end.to_string());
            }
        });
        Ok(())
    }
}

struct Receiver(mpsc::UnboundedReceiver<String>);

impl TransportReceiverT for Receiver {
    type Error = io::Error;

    async fn receive(&mut self) -> Result<ReceivedMessage, io::Error> {
        match self.0.recv().await {
            Some(text) => Ok(ReceivedMessage::Text(text)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// What was written to a console.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A console without a terminal, and what is written to it: results, then notes.
pub fn console(json: bool) -> (Console, Written, Written) {
    let (out, err) = (Written::default(), Written::default());
    let console = Console {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        json,
        paint: Paint::PLAIN,
        out_is_terminal: false,
        interactive: false,
        width: 90,
    };
    (console, out, err)
}

/// A future on a runtime like the program's own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
