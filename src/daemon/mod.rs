//! The daemon: one per user, started on demand, behind every editor, session and terminal.
//!
//! | file | subject |
//! |---|---|
//! | `main_loop` | one loop per workspace: the only code that changes its state |
//! | `server` | the calls of `api/`, per connection |
//! | `connection` | newline framing over the Unix socket, and who is behind it |
//! | `listen` | the same calls over WebSocket and HTTP on loopback |
//! | `roles` | who may do what |
//! | `effects` | git steps and jobs; `reconcile`: the keeper's words in ours |
//! | `publish` | the event stream |
//! | `convert` | between the wire and the core |
//! | `policy` | the policy files, and where paths really lead |
//! | `facts`, `lanes`, `agents` | what the repository has; isolated checkouts; processes |
//!
//! It ends when it is idle and nothing is unfinished; a newer client asks it to hand over. Killed at any moment it
//! loses nothing: jobs go on under their keepers, and the next daemon takes the journals up.

pub mod agents;
mod changes;
mod connection;
pub mod convert;
mod effects;
pub mod explain;
pub mod facts;
pub mod lanes;
pub mod listen;
mod main_loop;
mod notify;
pub mod policy;
mod ports;
mod publish;
mod reconcile;
mod roles;
mod server;
mod steps;
mod sweep;
mod workspaces;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::net::UnixListener;

use crate::{
    api::{ApiError, Code},
    config::{Config, Places, create_private},
    core::plan::playbook::{self, Playbook},
};
use workspaces::Shared;

/// This program's own file, also after it was replaced by a newer one.
pub fn own_program() -> io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // Linux says so of a file that was replaced under a running program; the new one is at the old place.
    let text = exe.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| exe.clone(), PathBuf::from))
}

/// Is the daemon until it is told to stop or has nothing left to do. `told` gets one word when it can be reached:
/// `ready`; or `taken` where another daemon is there already; or the trouble as an [`ApiError`] in JSON. `listen` goes
/// before the configured address, and must be had.
pub fn run(listen: Option<String>, told: impl FnOnce(&str)) -> io::Result<()> {
    // What the first client had open, a pipe to somebody who waits for its end, is not ours to keep.
    agents::keeper::close_inherited();
    crate::rest::prepare();
    let begun = (|| {
        let of_config = |error: crate::config::ConfigError| ApiError::new(Code::Invalid, error.message, error.hint);
        let places = Places::find().map_err(of_config)?;
        let config = Config::load(&places).map_err(of_config)?;
        let places = config.places(places);
        let lock = lock(&places)?;
        Ok((places, config, lock))
    })();
    let (places, config, lock) = match begun {
        Ok((places, config, Some(lock))) => (places, config, lock),
        Ok((_, _, None)) => {
            told("taken");
            return Ok(());
        }
        Err(error) => {
            told(&trouble(&error));
            return Err(io::Error::other(error.message));
        }
    };
    detach();
    serve(places, config, lock, listen, told)
}

/// Serves from a thread of this process: for continuous integration, where nothing may stay behind. The thread ends
/// with the process. Returns once it can be reached; where a daemon runs already, that one serves.
pub fn serve_in_thread(places: Places, config: Config) -> Result<(), ApiError> {
    let Some(lock) = lock(&places)? else { return Ok(()) };
    let (told, said) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("daemon".to_owned());
    let spawned = thread.spawn(move || {
        if let Err(error) = serve(places, config, lock, None, |word| drop(told.send(word.to_owned()))) {
            tracing::error!(%error, "the daemon in this process ended");
        }
    });
    spawned.map_err(|error| ApiError::new(Code::Unavailable, error.to_string(), ""))?;
    match said.recv().as_deref() {
        Ok("ready") => Ok(()),
        Ok(trouble) => Err(serde_json::from_str(trouble)
            .unwrap_or_else(|_| ApiError::new(Code::Unavailable, trouble, "look at `orchestrator doctor`"))),
        Err(_) => Err(ApiError::new(Code::Unavailable, "the daemon ended while it started", "run it with -v")),
    }
}

fn trouble(error: &ApiError) -> String {
    serde_json::to_string(error).unwrap_or_else(|_| error.message.clone())
}

/// Takes the lock of the one daemon; `None` where another has it. The lock goes with the process, however it ends.
fn lock(places: &Places) -> Result<Option<File>, ApiError> {
    let failed = |path: &std::path::Path, error: io::Error| {
        let message = format!("{}: {error}", path.display());
        ApiError::new(
            Code::Unavailable,
            message,
            "look at `orchestrator doctor`; the folder must be yours and writable",
        )
    };
    let unusable = |error: io::Error| {
        ApiError::new(
            Code::Unavailable,
            error.to_string(),
            "look at `orchestrator doctor`; the folder must be yours and writable",
        )
    };
    places.create().map_err(unusable)?;
    create_private(&places.state.join("workspaces")).map_err(unusable)?;
    let path = places.lock();
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(|error| failed(&path, error))?;
    // SAFETY: flock on a descriptor that we own and that stays open as long as `file`.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(failed(&path, error)) };
    }
    // For people who look; the lock itself is what counts.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Some(file))
}

/// A session of its own, so that no terminal's end reaches it.
fn detach() {
    // SAFETY: setsid has no preconditions; it fails harmlessly where we lead a group already.
    unsafe { libc::setsid() };
}

fn serve(
    places: Places,
    config: Config,
    lock: File,
    listen: Option<String>,
    told: impl FnOnce(&str),
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(2))
        .build()?;
    let served = runtime.block_on(async move {
        let listener = match bind(&places) {
            Ok(listener) => listener,
            Err(error) => {
                let what = format!("{}: {error}", places.socket().display());
                told(&trouble(&ApiError::new(Code::Unavailable, &what, "look at `orchestrator doctor`")));
                return Err(io::Error::other(what));
            }
        };
        let begun = workspaces::begin(&places);
        let shared = match Shared::new(places, config) {
            Ok(shared) => Arc::new(shared),
            Err(error) => {
                told(&trouble(&error));
                return Err(io::Error::other(error.message));
            }
        };
        let listening = match open_port(&shared, listen).await {
            Ok(listening) => listening,
            Err(error) => {
                let _ = std::fs::remove_file(shared.places.socket());
                told(&trouble(&error));
                return Err(io::Error::other(error.message));
            }
        };
        told("ready");
        tracing::info!(socket = %shared.places.socket().display(), "the daemon is ready");
        shared.open_unfinished(begun).await;
        accept(&shared, listener, listening.is_some()).await;
        drop(listening);
        shared.close_all().await;
        let _ = std::fs::remove_file(shared.places.socket());
        Ok(())
    });
    // Waits for git steps that are under way. Only then may another daemon begin.
    drop(runtime);
    drop(lock);
    served
}

/// Binds the socket; one that a crash left is in nobody's use, because we hold the lock.
fn bind(places: &Places) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let path = places.socket();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Opens the port that was asked for. One that is only configured and cannot be had is no reason to serve nobody.
async fn open_port(shared: &Arc<Shared>, asked: Option<String>) -> Result<Option<listen::Listening>, ApiError> {
    let text = asked.as_deref().unwrap_or(&shared.config.daemon.listen);
    if text.is_empty() {
        return Ok(None);
    }
    match listen::start(shared, listen::address(text)?).await {
        Ok(listening) => {
            let _ = shared.listening.set(listening.address);
            Ok(Some(listening))
        }
        Err(error) if asked.is_some() => {
            let message = format!("cannot listen on {text}: {error}");
            Err(ApiError::new(Code::Unavailable, message, "choose another port, or end what uses this one"))
        }
        Err(error) => {
            tracing::error!(address = text, %error, "nobody can be served by TCP");
            Ok(None)
        }
    }
}

/// Takes connections until it is told to stop, or nobody is there and nothing is unfinished. Who comes by TCP cannot
/// start a daemon, so one that `listens` waits for them.
async fn accept(shared: &Arc<Shared>, listener: UnixListener, listens: bool) {
    let idle = Duration::from_secs_f64(shared.config.daemon.idle_exit_s.max(0.0));
    let mut interrupt = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "no signal can be waited for");
            return;
        }
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => shared.clone().connected(stream),
                Err(error) => {
                    // Out of descriptors, most likely: those we have will be closed.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = shared.stopping() => return,
            _ = interrupt.recv() => {
                shared.end();
                return;
            }
            () = shared.idle_for(idle), if !listens => {
                if !shared.busy().await {
                    tracing::info!("nothing is left to do");
                    shared.end();
                    return;
                }
                shared.look_again();
            }
        }
    }
}

/// Lets go of the standard streams: whoever started us waits for the end of our standard output.
pub fn release_stdio() {
    let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    // Standard error stays: it is the daemon's log file, or whatever a person chose.
    for stream in [0, 1] {
        // SAFETY: dup2 onto a standard stream of ours; `null` is open for the call.
        unsafe { libc::dup2(null.as_raw_fd(), stream) };
    }
}

/// The folder of ours that belongs to the workspace of `start`.
pub fn folder_of(start: &std::path::Path) -> Result<PathBuf, ApiError> {
    let of_config = |error: crate::config::ConfigError| ApiError::new(Code::Invalid, error.message, error.hint);
    let places = Places::find().map_err(of_config)?;
    let config = Config::load(&places).map_err(of_config)?;
    let places = config.places(places);
    let of_lane = |error: lanes::LaneError| ApiError::new(Code::Unavailable, error.to_string(), "");
    let git = lanes::Git::find(std::env::var_os("PATH").as_deref()).map_err(of_lane)?;
    let found = lanes::discover(&git, start, &places.state, &lanes::FolderLimits::default()).map_err(of_lane)?;
    Ok(places.workspace(&found.id))
}

/// The playbooks that there are in a workspace, each with its file where it is the workspace's own; and what is wrong
/// with the files that were passed over.
pub fn playbooks(start: &std::path::Path) -> (Vec<(Playbook, Option<PathBuf>)>, Vec<String>) {
    // They belong to the checkout's root, wherever in it somebody stands.
    let checkout = start.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(start);
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["playbooks", "skills"].map(|name| std::path::Path::new(".orchestrator").join(name)) {
        let entries = std::fs::read_dir(checkout.join(&folder)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| folder.join(entry.file_name())));
    }
    files.sort();
    let mut facts = facts::gather(checkout, &files, std::ffi::OsStr::new(""));
    // Without a configuration that can be read there are none of the user's; whoever needs it says so.
    if let Ok(places) = crate::config::Places::find() {
        let paths = crate::config::Config::load(&places).map(|config| config.skill.paths).unwrap_or_default();
        facts.playbooks.extend(facts::of_user(&places.config, &paths));
    }
    let builtin = playbook::builtin();
    let (playbooks, problems) = playbook::with_project(&builtin, &facts);
    let file = |playbook: &Playbook| {
        let brought = !builtin.iter().any(|known| known.name == playbook.name);
        brought.then(|| checkout.join(playbook.file()))
    };
    (playbooks.into_iter().map(|playbook| (playbook.clone(), file(&playbook))).collect(), problems)
}
