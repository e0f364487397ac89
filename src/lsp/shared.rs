//! What the parts of one session have in common: the editor's buffers, the open decisions, and the way to the daemon.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    bring::Placed,
    can::Can,
    documents::{Documents, path_of},
    follow::Wake,
    outbox::Outbox,
    pages::Page,
};
use crate::{
    api::{ApiError, Code, Decision, kept::Holds, session::ClientInfo},
    client::{
        ConnectOptions,
        again::{self, Tries},
        link::Link,
    },
    ids::RunId,
};

/// How long a command waits for the daemon. Starting one takes a fraction of a second; it has its own bound as well.
const LINK_MAX: Duration = Duration::from_secs(25);

/// The way to the daemon.
#[derive(Clone)]
pub enum Daemon {
    /// Not yet, or not again.
    Connecting,
    /// There, with the checkout's top folder as the daemon names it.
    Up(Link, PathBuf),
    /// The last attempt failed.
    Down(ApiError),
}

/// One session with one editor.
pub struct Shared {
    /// The way to the editor.
    pub outbox: Outbox,
    /// The way to the loop that follows the daemon.
    pub wakes: mpsc::UnboundedSender<Wake>,
    /// Wakes the link when a command needs the daemon.
    pub needed: Notify,
    link: watch::Sender<Daemon>,
    options: ConnectOptions,
    greeted: OnceLock<Greeting>,
    documents: Mutex<Documents>,
    decisions: Mutex<Vec<Decision>>,
    /// Pages that the editor has asked us for.
    served: Mutex<BTreeMap<String, Page>>,
    /// What results of runs look like in the editor's buffers, since it took them.
    placed: Mutex<BTreeMap<RunId, Vec<Placed>>>,
    /// Whether runs are under way.
    busy: AtomicBool,
}

/// What `initialize` said.
struct Greeting {
    can: Can,
    root: PathBuf,
    name: String,
    /// The editor's own side wants `orchestrator/status`.
    status: bool,
}

impl Shared {
    /// A session before `initialize`.
    pub fn new(outbox: Outbox, wakes: mpsc::UnboundedSender<Wake>, options: ConnectOptions) -> Shared {
        Shared {
            outbox,
            wakes,
            needed: Notify::new(),
            link: watch::Sender::new(Daemon::Connecting),
            options,
            greeted: OnceLock::new(),
            documents: Mutex::default(),
            decisions: Mutex::default(),
            served: Mutex::default(),
            placed: Mutex::default(),
            busy: AtomicBool::new(false),
        }
    }

    /// Takes the parameters of `initialize`, the first time they come.
    pub fn greet(&self, initialize: &Value) {
        let folder = ["/workspaceFolders/0/uri", "/rootUri"]
            .iter()
            .find_map(|at| path_of(initialize.pointer(at)?.as_str()?))
            .or_else(|| initialize.get("rootPath")?.as_str().map(PathBuf::from))
            .filter(|path| path.is_absolute() && path.is_dir());
        let name = initialize.pointer("/clientInfo/name").and_then(Value::as_str).unwrap_or("an editor");
        let status = initialize.pointer("/initializationOptions/status").and_then(Value::as_bool).unwrap_or(false);
        let _ = self.greeted.set(Greeting {
            can: Can::of(initialize),
            root: folder.unwrap_or_else(|| self.options.workspace.clone()),
            name: name.chars().take(60).collect(),
            status,
        });
    }

    /// What the editor can do.
    pub fn can(&self) -> Can {
        self.greeted.get().map(|greeting| greeting.can.clone()).unwrap_or_default()
    }

    /// Whether the editor's own side wants `orchestrator/status`.
    pub fn wants_status(&self) -> bool {
        self.greeted.get().is_some_and(|greeting| greeting.status)
    }

    /// The folder that the editor has open.
    pub fn root(&self) -> &Path {
        self.greeted.get().map_or(&self.options.workspace, |greeting| &greeting.root)
    }

    /// How to connect.
    pub fn connect_options(&self, start: bool) -> ConnectOptions {
        let name = self.greeted.get().map_or("an editor", |greeting| &greeting.name);
        let client = ClientInfo { name: name.to_owned(), surface: "lsp".to_owned() };
        ConnectOptions { workspace: self.root().to_owned(), start, client, ..self.options.clone() }
    }

    /// The editor's buffers.
    pub fn documents(&self) -> MutexGuard<'_, Documents> {
        lock(&self.documents)
    }

    /// The open decisions, most urgent first.
    pub fn decisions(&self) -> MutexGuard<'_, Vec<Decision>> {
        lock(&self.decisions)
    }

    /// Pages that the editor has asked us for.
    pub fn served(&self) -> MutexGuard<'_, BTreeMap<String, Page>> {
        lock(&self.served)
    }

    /// What results of runs look like in the editor's buffers, since it took them.
    pub fn placed(&self) -> MutexGuard<'_, BTreeMap<RunId, Vec<Placed>>> {
        lock(&self.placed)
    }

    /// The decisions that are shown in a file, each with its line. What has no place of its own stands at the top.
    pub fn shown_in(&self, uri: &str) -> Vec<(Decision, u32)> {
        let path = path_of(uri);
        let here = |decision: &Decision| match &decision.context.anchor {
            None => Some(0),
            Some(anchor) if anchor.uri == uri || (path.is_some() && path_of(&anchor.uri) == path) => {
                Some(line_of(&anchor.range))
            }
            Some(_) => None,
        };
        self.decisions().iter().filter_map(|decision| Some((decision.clone(), here(decision)?))).collect()
    }

    /// How messages call a file: relative to the folder that is open.
    pub fn name_of(&self, uri: &str) -> String {
        match path_of(uri) {
            Some(path) => path.strip_prefix(self.root()).unwrap_or(&path).display().to_string(),
            None => uri.to_owned(),
        }
    }

    /// Whether it is a file of the folder that is open, or no file yet. Only there can a run change it: a window with a
    /// second folder is served for its first.
    pub fn is_ours(&self, uri: &str) -> bool {
        let inside = |path: &Path, root: &Path| path.starts_with(root);
        path_of(uri).is_none_or(|path| {
            inside(&path, self.root())
                || match (path.canonicalize(), self.root().canonicalize()) {
                    (Ok(path), Ok(root)) => inside(&path, &root),
                    _ => false,
                }
        })
    }

    /// The state of the link, for whoever changes it.
    pub fn set_link(&self, link: Daemon) {
        self.link.send_replace(link);
    }

    /// Whether runs are under way; a daemon that vanishes then is started again.
    pub fn busy(&self) -> &AtomicBool {
        &self.busy
    }

    /// Whether the daemon is worth starting for what is known.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// What was kept of a read, if the daemon would answer the same now.
    pub fn kept(&self, key: &str) -> Option<Arc<[u8]>> {
        match &*self.link.borrow() {
            Daemon::Up(link, _) => link.kept(key, link.count()?),
            Daemon::Connecting | Daemon::Down(_) => None,
        }
    }

    /// A call of the daemon, its reply read; made again where the connection breaks under it.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, ApiError> {
        let params = again::with_key(method, &params).unwrap_or(params);
        let mut tries = Tries::default();
        loop {
            let link = self.daemon().await?;
            match link.call(method, &params).await {
                Err(error) if tries.more(link.is_closed(), &error).await => {}
                outcome => return outcome,
            }
        }
    }

    /// A read whose answer may be kept, with the connection that it came by.
    pub async fn held(
        &self,
        method: &str,
        params: &impl serde::Serialize,
    ) -> Result<(Box<RawValue>, Option<Holds>, Link), ApiError> {
        let mut tries = Tries::default();
        loop {
            let link = self.daemon().await?;
            match link.held(method, params).await {
                Ok((reply, holds)) => return Ok((reply, holds, link)),
                Err(error) if tries.more(link.is_closed(), &error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The daemon; it is started where none runs.
    pub async fn daemon(&self) -> Result<Link, ApiError> {
        self.daemon_and_checkout().await.map(|(link, _)| link)
    }

    /// The daemon, and the top folder of the checkout.
    pub async fn daemon_and_checkout(&self) -> Result<(Link, PathBuf), ApiError> {
        let mut link = self.link.subscribe();
        let mut fresh = false;
        let wait = async {
            loop {
                match &*link.borrow_and_update() {
                    Daemon::Up(link, checkout) => return Ok((link.clone(), checkout.clone())),
                    Daemon::Down(error) if fresh => return Err(error.clone()),
                    Daemon::Down(_) | Daemon::Connecting => self.needed.notify_one(),
                }
                // The sender is part of us.
                let _ = link.changed().await;
                fresh = true;
            }
        };
        tokio::time::timeout(LINK_MAX, wait).await.unwrap_or_else(|_| {
            let hint = "look at `orchestrator doctor`";
            Err(ApiError::new(Code::Unavailable, "the daemon did not answer in time", hint))
        })
    }

    /// Shows a sentence in the editor.
    pub fn tell(&self, level: Level, message: &str) {
        self.outbox.notify("window/showMessage", json!({"type": level as u8, "message": message}));
    }

    /// Shows what was refused.
    pub fn tell_refusal(&self, error: &ApiError) {
        self.tell(Level::Warning, &sentence(error));
    }
}

/// How a message stands out.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    /// Somebody should look.
    Warning = 2,
    /// Good to know.
    Info = 3,
}

/// What is wrong and what to do, in one line.
pub fn sentence(error: &ApiError) -> String {
    match error.hint.as_str() {
        "" => error.message.clone(),
        hint => format!("{}; {hint}", error.message),
    }
}

/// The first line of a range as it came over the wire.
pub fn line_of(range: &Value) -> u32 {
    range.pointer("/start/line").and_then(Value::as_u64).and_then(|line| u32::try_from(line).ok()).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one of these was held left plain data behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
