//! One connection on the Unix socket: a JSON-RPC message a line, both ways.
//!
//! Requests of a connection overlap; each is answered exactly once. What is not JSON-RPC gets the error that the
//! specification has for it, and the connection goes on.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    roles,
    server::{Asked, Out, Session},
    workspaces::Shared,
};
use crate::{api::OrchestratorApiServer, config::user_id};

/// Longest message, bytes: a plan of a million tasks, and room.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Requests of one connection under way at once; more wait in the socket.
const UNDER_WAY_MAX: usize = 256;

/// Messages on their way out of one connection. A client that does not read stops its own requests, nobody else's.
const OUTGOING_MAX: usize = 1_024;

/// Notifications of one subscription that wait for a slow client.
const SUBSCRIPTION_MAX: usize = 256;

/// Serves until the client leaves.
pub async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    let Ok(peer) = stream.peer_cred() else { return };
    // Root may look after anybody's daemon; nobody else may enter but its user. The socket's mode says so as well.
    if peer.uid() != user_id() && peer.uid() != 0 {
        tracing::warn!(uid = peer.uid(), "a stranger was turned away");
        return;
    }
    let (role, attempt) = peer.pid().map_or((crate::api::Role::Agent, None), roles::peer);
    let vouches = peer.pid().is_some_and(roles::vouches);
    let session = Session::new(shared, role, vouches).of_attempt(attempt);
    let module = session.clone().into_rpc();
    let (reader, mut writer) = stream.into_split();
    let (out, mut outgoing) = mpsc::channel::<Line>(OUTGOING_MAX);
    let writing = tokio::spawn(async move {
        let mut batch = Vec::new();
        let mut places = Vec::new();
        while let Some(line) = outgoing.recv().await {
            batch.extend_from_slice(&line.bytes);
            places.extend(line.place);
            // All that waits goes out in one write: the client is woken once.
            while let Ok(line) = outgoing.try_recv() {
                batch.extend_from_slice(&line.bytes);
                places.extend(line.place);
            }
            if writer.write_all(&batch).await.is_err() {
                break;
            }
            places.clear();
            batch.clear();
            batch.shrink_to(64 << 10);
        }
    });
    read(reader, &session, &module, &out).await;
    // Subscriptions end with the module and their senders; what was answered still goes out.
    drop((session, module, out));
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), writing).await;
}

async fn read(
    reader: tokio::net::unix::OwnedReadHalf,
    session: &Session,
    module: &RpcModule<Session>,
    out: &mpsc::Sender<Line>,
) {
    let mut reader = BufReader::new(reader);
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut tasks = tokio::task::JoinSet::new();
    // As many as calls are under way that may change something.
    let changing = Arc::new(());
    let mut line = Vec::new();
    loop {
        line.clear();
        match read_line(&mut reader, &mut line).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                let what = format!("a message is longer than {} MiB; the connection ends", MESSAGE_BYTES_MAX >> 20);
                let _ = out.send(problem(-32600, &what)).await;
                break;
            }
        }
        while tasks.try_join_next().is_some() {}
        let text = match std::str::from_utf8(&line) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text.trim(),
            Err(_) => {
                let _ = out.send(problem(-32700, "a message is not UTF-8")).await;
                continue;
            }
        };
        let Ok(mut place) = places.clone().acquire_owned().await else { break };
        let asked = Asked::read(text);
        // What this client asked for before may still have to be begun; then a read waits its turn behind it.
        if let Some(asked) = asked.as_ref().filter(|asked| asked.is_read() && Arc::strong_count(&changing) == 1) {
            match session.quick(asked, Place { place, out: out.clone() }) {
                Ok(()) => continue,
                Err(given_back) => place = given_back.place,
            }
        }
        let changes = asked.is_none_or(|asked| !asked.is_read() && !asked.waits()).then(|| changing.clone());
        let (session, module, out, text) = (session.clone(), module.clone(), out.clone(), text.to_owned());
        tasks.spawn(async move {
            answer(&session, &module, &text, &out).await;
            drop((place, changes));
        });
    }
    // Whoever has left waits for nothing.
    tasks.abort_all();
}

/// Reads one line without its end; false at the end of the stream.
async fn read_line<R: tokio::io::AsyncRead + Unpin>(reader: &mut BufReader<R>, line: &mut Vec<u8>) -> Result<bool, ()> {
    loop {
        let Ok(available) = reader.fill_buf().await else { return Ok(false) };
        if available.is_empty() {
            return Ok(false);
        }
        let (taken, done) = match available.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (available.len(), false),
        };
        if line.len() + taken > MESSAGE_BYTES_MAX {
            return Err(());
        }
        line.extend_from_slice(&available[..taken]);
        reader.consume(taken);
        if done {
            return Ok(true);
        }
    }
}

/// A line on its way out, and the place among those under way that it holds until it is written.
struct Line {
    bytes: Vec<u8>,
    place: Option<OwnedSemaphorePermit>,
}

impl From<Vec<u8>> for Line {
    fn from(bytes: Vec<u8>) -> Line {
        Line { bytes, place: None }
    }
}

/// Where a read's answer goes.
struct Place {
    place: OwnedSemaphorePermit,
    out: mpsc::Sender<Line>,
}

impl Out for Place {
    fn line(self, bytes: Vec<u8>) {
        let line = Line { bytes, place: Some(self.place) };
        // Full of what a subscription says: it waits for room, holding its place.
        if let Err(mpsc::error::TrySendError::Full(line)) = self.out.try_send(line) {
            tokio::spawn(async move { drop(self.out.send(line).await) });
        }
    }
}

async fn answer(session: &Session, module: &RpcModule<Session>, text: &str, out: &mpsc::Sender<Line>) {
    match module.raw_json_request(text, SUBSCRIPTION_MAX).await {
        Ok((response, mut notices)) => {
            if let Some(what) = refused(text, response.get()) {
                session.note_refusal(what);
            }
            if out.send(framed(response.get().as_bytes())).await.is_err() {
                return;
            }
            // Only a subscription ever has something more to say; any other closes this at once.
            while let Some(notice) = notices.recv().await {
                if out.send(framed(notice.get().as_bytes())).await.is_err() {
                    return;
                }
            }
        }
        Err(error) => {
            let what = format!("this is no JSON-RPC 2.0 request: {error}");
            let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let _ = out.send(problem(if json { -32600 } else { -32700 }, &what)).await;
        }
    }
}

/// What was asked for, where the answer is that the caller may not do it.
fn refused(request: &str, response: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Response {
        error: Option<Code>,
    }
    #[derive(serde::Deserialize)]
    struct Code {
        code: i32,
    }
    #[derive(serde::Deserialize)]
    struct Request {
        method: String,
        params: Option<serde_json::Value>,
    }
    let forbidden = crate::api::Code::Forbidden.number();
    // Nearly no answer has the number anywhere; the others are not read a second time.
    if !response.contains(&forbidden.to_string()) {
        return None;
    }
    let code = serde_json::from_str::<Response>(response).ok()?.error?.code;
    let request = serde_json::from_str::<Request>(request).ok().filter(|_| code == forbidden)?;
    let id = ["decision_id", "task_id", "run", "checkpoint_id"];
    let id = id.into_iter().find_map(|name| request.params.as_ref()?.get(name)?.as_str());
    let what = id.map_or_else(|| request.method.clone(), |id| format!("{} {id}", request.method));
    Some(what.chars().take(100).collect())
}

fn framed(message: &[u8]) -> Line {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend_from_slice(message);
    line.push(b'\n');
    line.into()
}

fn problem(code: i32, message: &str) -> Line {
    let value = serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}});
    framed(value.to_string().as_bytes())
}
