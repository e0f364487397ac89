//! Everything that connections share: the workspaces that are open, who is connected, and when to end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex as Lock, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::{
    net::UnixStream,
    sync::{Mutex, Notify, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    agents::keeper::Keeper,
    convert::{View, WorkspaceInfo},
    effects::{Bounds, Hands, Library, Secrets},
    lanes::{FolderLimits, Found, Git, LaneError, discover},
    main_loop::{Deliver, Early, Loaded, Opening, Wake, Workspace},
    own_program,
    policy::InForce,
    steps::Steps,
};
use crate::{
    api::{ApiError, Code, count::Count, kept::Kept},
    config::{Config, Places},
    core::{Report, Settings, agent::FoundAgent},
    store::{StoreError, local},
    time::{Timestamp, now},
};

/// The address of an open workspace.
#[derive(Clone)]
pub struct Handle {
    /// Its folder of ours.
    pub dir: PathBuf,
    /// Its repository.
    pub repo: super::lanes::Repo,
    /// Its loop.
    pub wakes: mpsc::UnboundedSender<Wake>,
    /// The count of its changes.
    pub count: Arc<Count>,
    /// Answers that hold until it moves.
    pub kept: Arc<Lock<Kept>>,
}

/// The agents that there were a moment ago.
pub struct LastFound {
    /// On which PATH.
    pub path_var: String,
    /// When they were looked for.
    pub at: Timestamp,
    /// Those.
    pub agents: Arc<[FoundAgent]>,
}

/// What connections share.
pub struct Shared {
    /// Where things live.
    pub places: Places,
    /// The configuration.
    pub config: Config,
    /// What the core is told.
    pub settings: Arc<Settings>,
    /// Keys of agents.
    pub secrets: Arc<Secrets>,
    /// When the daemon began.
    pub since: Timestamp,
    /// Where TCP connections are taken, if anywhere.
    pub listening: OnceLock<SocketAddr>,
    /// The agents that were last found.
    pub found: Lock<Option<LastFound>>,
    exe: PathBuf,
    /// By workspace id. Only the loops know the truth; this is how they are reached.
    open: DashMap<String, Handle>,
    /// One workspace is opened at a time: two openings of one would fight over its journal.
    opening: Mutex<()>,
    connections: AtomicU64,
    changed: Notify,
    stop: AtomicBool,
    stopped: Notify,
}

/// Somebody is connected.
pub struct Presence(Arc<Shared>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }
}

impl Shared {
    /// Before anybody is connected.
    pub fn new(places: Places, config: Config) -> Result<Shared, ApiError> {
        let exe = own_program()
            .map_err(|error| ApiError::new(Code::Unavailable, error.to_string(), "reinstall the program"))?;
        let settings = Arc::new(config.settings());
        Ok(Shared {
            places,
            config,
            settings,
            secrets: Arc::default(),
            since: now(),
            listening: OnceLock::new(),
            found: Lock::default(),
            exe,
            open: DashMap::new(),
            opening: Mutex::new(()),
            connections: AtomicU64::new(0),
            changed: Notify::new(),
            stop: AtomicBool::new(false),
            stopped: Notify::new(),
        })
    }

    /// Tells every open workspace.
    pub fn tell_all(&self, report: &Report) {
        for handle in &self.open {
            // One that is being closed reads its state anew.
            let _ = handle.wakes.send(Wake::Report(report.clone()));
        }
    }

    /// How many are connected.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The workspaces that are open.
    pub fn workspaces(&self) -> Vec<Handle> {
        self.open.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Serves one connection.
    pub fn connected(self: Arc<Self>, stream: UnixStream) {
        let presence = self.present();
        tokio::spawn(async move {
            super::connection::serve(self, stream).await;
            drop(presence);
        });
    }

    /// Counts one connection for as long as the result is kept.
    pub fn present(self: &Arc<Self>) -> Presence {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
        Presence(self.clone())
    }

    /// Tells everybody to end.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopped.notify_waiters();
        self.stopped.notify_one();
    }

    /// Whether somebody has told us to end: nothing is opened any more.
    pub fn ending(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until somebody tells us to end.
    pub async fn stopping(&self) {
        let told = self.stopped.notified();
        if !self.stop.load(Ordering::Relaxed) {
            told.await;
        }
    }

    /// Waits until nobody has been connected for so long.
    pub async fn idle_for(&self, idle: Duration) {
        loop {
            let changed = self.changed.notified();
            if self.connections() > 0 {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(idle) => return,
            }
        }
    }

    /// Something is unfinished: the time without connections counts from here again.
    pub fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// Whether any workspace has something unfinished.
    pub async fn busy(&self) -> bool {
        for handle in self.workspaces() {
            if ask(&handle, |view| view.state.busy()).await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// The workspace that a folder lies in, opened if need be.
    pub async fn workspace(
        self: &Arc<Self>,
        folder: &Path,
        path_var: Option<String>,
    ) -> Result<(Handle, PathBuf), ApiError> {
        let (shared, start) = (self.clone(), self.home_of_lane(folder).unwrap_or_else(|| folder.to_owned()));
        let found = tokio::task::spawn_blocking(move || shared.discover(&start, path_var.as_deref())).await;
        let found = found.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?.map_err(lane_error)?;
        let checkout = found.checkout.clone();
        Ok((self.open(found).await?, checkout))
    }

    /// The checkout of the workspace that a lane of ours belongs to: an agent that starts us there means that one.
    fn home_of_lane(&self, folder: &Path) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let workspaces = self.places.state.join("workspaces");
        let workspaces = workspaces.canonicalize().unwrap_or(workspaces);
        let folder = folder.canonicalize().ok()?;
        let mut parts = folder.strip_prefix(&workspaces).ok()?.components();
        let id = parts.next()?;
        (parts.next()?.as_os_str() == "lanes").then_some(())?;
        let checkout = std::fs::read(workspaces.join(id).join("checkout")).ok()?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(checkout)))
    }

    fn discover(&self, start: &Path, path_var: Option<&str>) -> Result<Found, LaneError> {
        let path_var = path_var.map(std::ffi::OsString::from).or_else(|| std::env::var_os("PATH"));
        let git = Git::find(path_var.as_deref())?;
        let limits = FolderLimits {
            files_max: self.config.lanes.max_folder_files,
            bytes_max: self.config.lanes.max_folder_mb << 20,
            override_flag: "raise lanes.max_folder_files or lanes.max_folder_mb in config.toml",
            home: std::env::var_os("HOME").map(PathBuf::from),
            ..FolderLimits::default()
        };
        discover(&git, start, &self.places.state, &limits)
    }

    /// In a task of its own: whoever asks may vanish meanwhile, and an opening that is given up half way would leave a
    /// journal that is still being read to whoever asks next.
    async fn open(self: &Arc<Self>, found: Found) -> Result<Handle, ApiError> {
        let shared = self.clone();
        let opening = tokio::spawn(async move {
            let _one = shared.opening.lock().await;
            if let Some(handle) = shared.open.get(&found.id).filter(|handle| !handle.wakes.is_closed()) {
                return Ok(handle.clone());
            }
            let dir = shared.places.workspace(&found.id);
            let loaded = tokio::task::spawn_blocking(move || load(&dir));
            shared.open_loaded(found, loaded, None).await
        });
        opening.await.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?
    }

    /// Opens a workspace whose journal is being read. Only for the holder of `opening`.
    async fn open_loaded(
        self: &Arc<Self>,
        found: Found,
        loaded: Loading,
        early: Option<Early>,
    ) -> Result<Handle, ApiError> {
        let dir = self.places.workspace(&found.id);
        let info = WorkspaceInfo {
            path: found.checkout.display().to_string(),
            id: found.id.clone(),
            name: found.name.clone(),
            vcs: if found.repo.is_shadow() { "shadow" } else { "git" }.to_owned(),
            trusted: false,
        };
        let (wakes, woken) = mpsc::unbounded_channel();
        let (count, kept) = (Arc::new(Count::new()), Arc::default());
        let handle = Handle { dir: dir.clone(), repo: found.repo.clone(), wakes: wakes.clone(), count, kept };
        let count = handle.count.clone();
        let (shared, repo) = (self.clone(), found.repo);
        let checkout = found.checkout.clone();
        let failed = |error: tokio::task::JoinError| ApiError::new(Code::Internal, error.to_string(), "");
        let loaded = loaded.await.map_err(failed)??;
        let opened = tokio::task::spawn_blocking(move || {
            // The next daemon finds unfinished work by these.
            let _ = std::fs::write(dir.join("checkout"), checkout.as_os_str().as_encoded_bytes());
            let unavailable = |error: std::io::Error| {
                ApiError::new(Code::Unavailable, error.to_string(), "look at `orchestrator doctor`")
            };
            let steps = Steps::take(&dir).map_err(unavailable)?;
            let _ = repo.sweep();
            let stores = shared.config.lanes.clone();
            let library = Library { config: shared.places.config.clone(), skills: shared.config.skill.paths.clone() };
            let bounds = Bounds {
                lanes_max: shared.config.lanes.max,
                min_free_bytes: (shared.config.state.min_free_gb.max(0.0) * f64::from(1 << 30)) as u64,
            };
            let hands = Hands::new(repo, dir.clone(), shared.exe.clone(), stores, library, bounds, steps)
                .map_err(unavailable)?
                .with_agents(shared.settings.clone(), shared.secrets.clone())
                .with_writable(shared.config.sandbox.writable.clone())
                .with_ports(shared.places.state.join("ports"));
            let kept = &shared.config.decisions.cache;
            let rules = InForce::new(shared.places.clone(), PathBuf::from(&info.path));
            let rules = Arc::new(rules.keeping(kept.size, kept.ttl_s));
            let opening = Opening {
                rules,
                info,
                settings: shared.settings.clone(),
                hands,
                keeper_dir: dir.join("keeper"),
                exe: shared.exe.clone(),
                early,
                count,
                wakes,
            };
            Ok::<_, ApiError>(Workspace::open(loaded, opening))
        });
        let workspace = opened.await.map_err(failed)??;
        let id = found.id.clone();
        self.open.insert(found.id, handle.clone());
        let shared = self.clone();
        tokio::spawn(async move {
            if let Some(error) = workspace.run(woken).await {
                tracing::error!(%error, workspace = id, "a workspace was closed; its journal is read again when it is asked for");
                // What it was doing goes on under its keeper; take it up again at once.
                shared.open.remove(&id);
                shared.reopen(&id).await;
            }
        });
        Ok(handle)
    }

    /// Takes up the workspaces that a daemon before us left with something unfinished. Before anybody is connected.
    pub async fn open_unfinished(self: &Arc<Self>, begun: Begun) {
        for (id, loaded) in begun.0 {
            let dir = self.places.workspace(&id);
            let Some(checkout) = checkout_of(&dir) else { continue };
            if let Err(error) = self.take_up(&id, dir, &checkout, loaded).await {
                tracing::error!(%error, checkout = %checkout.display(), "a workspace cannot be taken up again");
            }
        }
    }

    /// Boxed and not `async`: opening a workspace leads here again.
    fn reopen(self: &Arc<Self>, id: &str) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (shared, dir) = (self.clone(), self.places.workspace(id));
        Box::pin(async move {
            let Some(checkout) = checkout_of(&dir) else { return };
            if let Err(error) = shared.workspace(&checkout, None).await {
                tracing::error!(%error, checkout = %checkout.display(), "a workspace cannot be taken up again");
            }
        })
    }

    /// Opens a workspace of which a daemon before us knew. Whoever waits for it waits for the longest of three things
    /// at once: the journal is read, git says where the repository is, and the keeper settles what the last one left.
    async fn take_up(
        self: &Arc<Self>,
        id: &str,
        dir: PathBuf,
        checkout: &Path,
        loaded: Loading,
    ) -> Result<Handle, ApiError> {
        let _one = self.opening.lock().await;
        if let Some(handle) = self.open.get(id).filter(|handle| !handle.wakes.is_closed()) {
            return Ok(handle.clone());
        }
        let early = worked(&dir).then(|| {
            let (keeper_dir, exe) = (dir.join("keeper"), self.exe.clone());
            tokio::spawn(async move { Keeper::connect_or_start(&keeper_dir, &exe).await })
        });
        let (shared, start) = (self.clone(), checkout.to_owned());
        let found = tokio::task::spawn_blocking(move || shared.discover(&start, None)).await;
        let found = found.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?.map_err(lane_error)?;
        if found.id == id {
            return self.open_loaded(found, loaded, early).await;
        }
        // Another repository is there now. The old one's journal is let go of before anything else happens.
        drop((loaded.await, early));
        let dir = self.places.workspace(&found.id);
        self.open_loaded(found, tokio::task::spawn_blocking(move || load(&dir)), None).await
    }

    /// Closes every workspace in good order.
    pub async fn close_all(&self) {
        for handle in self.workspaces() {
            let (done, closed) = oneshot::channel::<()>();
            let close: Deliver = Box::new(move || {
                let _ = done.send(());
            });
            if handle.wakes.send(Wake::Close(close)).is_ok() {
                // A disk that hangs must not keep us for ever: the journal needs no good-bye.
                let _ = tokio::time::timeout(Duration::from_secs(10), closed).await;
            }
        }
    }
}

/// The checkout that a workspace was last opened from.
fn checkout_of(dir: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let bytes = std::fs::read(dir.join("checkout")).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// A journal that is being read.
type Loading = JoinHandle<Result<Loaded, ApiError>>;

/// Journals of workspaces with something unfinished, whose reading has begun.
pub struct Begun(Vec<(String, Loading)>);

/// Begins to read them, on threads of their own: first of all, since everything else waits for it. Only for the holder of
/// the daemon's lock, within its runtime.
pub fn begin(places: &Places) -> Begun {
    let entries = std::fs::read_dir(places.state.join("workspaces")).into_iter().flatten().flatten();
    // Set while something is unfinished: a workspace at rest costs nothing to leave alone.
    let unfinished = entries.filter(|entry| entry.path().join("unfinished").exists());
    let begun = unfinished.map(|entry| {
        let dir = entry.path();
        (entry.file_name().to_string_lossy().into_owned(), tokio::task::spawn_blocking(move || load(&dir)))
    });
    Begun(begun.collect())
}

/// Reads the journal of a workspace.
fn load(dir: &Path) -> Result<Loaded, ApiError> {
    let journal = local::open(dir).map_err(|error| store_error(&error))?;
    Loaded::read(Box::new(journal)).map_err(|error| store_error(&error))
}

/// Whether the workspace's last keeper had jobs: then the next one is needed soon, and has something to settle.
fn worked(dir: &Path) -> bool {
    let log = std::fs::read(dir.join("keeper").join("keeper.log")).unwrap_or_default();
    log.iter().filter(|byte| **byte == b'\n').take(2).count() > 1
}

/// Asks a workspace something about its state; `None` where it is closed.
pub async fn ask<T: Send + 'static>(handle: &Handle, read: impl FnOnce(&View) -> T + Send + 'static) -> Option<T> {
    let (to, answer) = oneshot::channel();
    let read: super::main_loop::Read = Box::new(move |view| {
        let value = read(view);
        Box::new(move || drop(to.send(value)))
    });
    handle.wakes.send(Wake::Read(read)).ok()?;
    answer.await.ok()
}

fn lane_error(error: LaneError) -> ApiError {
    let code = match error {
        LaneError::FolderRefused { .. } | LaneError::Bare { .. } | LaneError::Broken { .. } => Code::Invalid,
        _ => Code::Unavailable,
    };
    ApiError::new(code, error.to_string(), "")
}

fn store_error(error: &StoreError) -> ApiError {
    ApiError::new(Code::Unavailable, error.to_string(), "`orchestrator journal export` still reads what is whole")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is killed while its workspace is opened must leave no journal behind that is still being read.
    #[tokio::test]
    async fn an_opening_ends_though_nobody_waits_for_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("project");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.txt"), "a").unwrap();
        let places = Places {
            state: root.path().join("state"),
            runtime: root.path().join("runtime"),
            config: root.path().join("config"),
        };
        places.create().unwrap();
        let shared = Arc::new(Shared::new(places, Config::default()).unwrap());
        let start = folder.clone();
        let discovering = shared.clone();
        let found = tokio::task::spawn_blocking(move || discovering.discover(&start, None)).await.unwrap().unwrap();
        // Asked once, and given up before anything came of it.
        let mut asked = Box::pin(shared.open(found));
        std::future::poll_fn(|cx| {
            assert!(asked.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(asked);
        let opened = async {
            while shared.workspaces().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), opened).await.expect("the opening ends");
        shared.workspace(&folder, None).await.expect("and whoever asks next has it");
        shared.close_all().await;
    }
}
