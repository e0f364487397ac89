//! Finding the daemon, starting it where there is none, and greeting it.
//!
//! However many clients start at once, one daemon comes of it: whoever gets its lock is it, the others find it.

pub mod again;
pub mod brief;
pub mod link;
mod transport;

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jsonrpsee::core::client::ClientBuilder;
use tokio::{io::AsyncReadExt, net::UnixStream};

use crate::{
    api::{ApiError, Code, Hello, PROTOCOL, Welcome, allowed_env, session::ClientInfo},
    config::{Config, Places},
};

/// A connection to the daemon, with the calls of [`crate::api::OrchestratorApiClient`].
pub type Client = jsonrpsee::core::client::Client;

/// How to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Absolute path of a folder in the workspace.
    pub workspace: PathBuf,
    /// Whether to start a daemon where none runs.
    pub start: bool,
    /// Serve this connection from a daemon inside this process, which ends with it.
    pub foreground: bool,
    /// Where a daemon that has to be started takes TCP connections, instead of what is configured.
    pub listen: Option<String>,
    /// Who calls. Rights do not come from it; messages and recorded answers name it.
    pub client: ClientInfo,
    /// Whether this process says of itself that an agent's job started it. It gets fewer tools; what it may do the
    /// daemon finds out by itself.
    pub agent: bool,
}

impl ConnectOptions {
    /// How the command line connects: the daemon is started where none runs.
    pub fn terminal(workspace: PathBuf) -> ConnectOptions {
        let client = ClientInfo { name: "terminal".to_owned(), surface: "cli".to_owned() };
        let agent = std::env::var_os("ORCHESTRATOR_JOB").is_some();
        ConnectOptions { workspace, start: true, foreground: false, listen: None, client, agent }
    }
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub struct ConnectError(pub ApiError);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ConnectError {}

/// How long a daemon may take from its start to its first answer, and an older one to end.
const START_MAX: Duration = Duration::from_secs(20);

/// How long the doctor may look.
const DOCTOR_MAX: Duration = Duration::from_secs(20);

/// Between two looks for a daemon that somebody else is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Between two starts, where the first found the lock taken.
const START_AGAIN: Duration = Duration::from_millis(50);

/// The longest that one call may take: applying a large result, waiting for a change.
const CALL_MAX: Duration = Duration::from_secs(3600);

/// How many messages of a subscription are kept for a slow reader before it is let go of and resumes.
const SUBSCRIPTION_BUFFER: usize = 8_192;

fn unavailable(message: impl Into<String>, hint: &str) -> ConnectError {
    ConnectError(ApiError::new(Code::Unavailable, message, hint))
}

/// Finds the daemon, starts it where needed, and greets it.
pub async fn connect(options: &ConnectOptions) -> Result<(Client, Welcome), ConnectError> {
    let (stream, welcome) = reach(options).await?;
    let (sender, receiver) = transport::split(stream);
    let client = ClientBuilder::default()
        .request_timeout(CALL_MAX)
        .max_buffer_capacity_per_subscription(SUBSCRIPTION_BUFFER)
        .build_with_tokio(sender, receiver);
    Ok((client, welcome))
}

/// A stream to the daemon that has been greeted.
async fn reach(options: &ConnectOptions) -> Result<(UnixStream, Welcome), ConnectError> {
    let of_config = |error: crate::config::ConfigError| unavailable(error.message, &error.hint);
    let places = Places::find().map_err(of_config)?;
    let config = Config::load(&places).map_err(of_config)?;
    let places = config.places(places);
    let deadline = Instant::now() + START_MAX;
    let mut start_from = Instant::now();
    let mut deaths = 0;
    loop {
        match UnixStream::connect(places.socket()).await {
            Ok(stream) => match greet(stream, options, &config).await? {
                Greeted::Here(stream, welcome) => return Ok((stream, *welcome)),
                // An older one was asked to go; what it runs goes on under the keepers.
                Greeted::Left => tokio::time::sleep(LOOK_AGAIN).await,
            },
            Err(error) if absent(&error) && !options.start => {
                return Err(unavailable("no daemon runs", "any verb that needs one starts it: `orchestrator status`"));
            }
            // One that is just ending still has the lock, so the one that we start may find it taken: then again.
            Err(error) if absent(&error) && Instant::now() >= start_from => {
                match options.foreground {
                    true => crate::daemon::serve_in_thread(places.clone(), config.clone()).map_err(ConnectError)?,
                    false => match start(&places, options.listen.as_deref()).await? {
                        Started::Ready => {}
                        Started::Taken => start_from = Instant::now() + START_AGAIN,
                        // Killed as it started; twice is no accident.
                        Started::Died(_) if deaths == 0 => deaths += 1,
                        Started::Died(error) => return Err(error),
                    },
                }
            }
            // Somebody else is starting one, or ours is about to listen.
            Err(error) if absent(&error) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(error) => {
                let socket = places.socket();
                return Err(unavailable(format!("{}: {error}", socket.display()), "look at `orchestrator doctor`"));
            }
        }
        if Instant::now() > deadline {
            let log = places.runtime.join("daemon.log");
            return Err(unavailable("the daemon did not answer in time", &format!("see {}", log.display())));
        }
    }
}

/// What `orchestrator doctor` says in a folder. It is this program, run again, so that a face says what a terminal says.
pub async fn doctor(folder: &std::path::Path) -> Result<String, ApiError> {
    let exe =
        crate::daemon::own_program().map_err(|error| unavailable(error.to_string(), "reinstall the program").0)?;
    let mut command = Command::new(exe);
    command.arg("--in").arg(folder).arg("doctor").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match tokio::time::timeout(DOCTOR_MAX, output(command)).await {
        // It ends with another status where something fails; what it says is what was asked for.
        Ok(Ok((said, _))) if !said.is_empty() => Ok(said),
        Ok(Ok((_, trouble))) => Err(unavailable(trouble.trim().to_owned(), "").0),
        Ok(Err(error)) => Err(unavailable(error.to_string(), "run `orchestrator doctor` in a terminal").0),
        Err(_) => Err(unavailable("it did not answer in time", "run `orchestrator doctor` in a terminal").0),
    }
}

/// What a program says on its two outputs until it has closed them. Whoever gives up waiting, or ends, ends it: nothing
/// that an editor asked for and took back may stay behind.
async fn output(mut command: Command) -> io::Result<(String, String)> {
    struct Ended(Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            // SAFETY: the group is that of our child, whose number nobody else has before it is waited for.
            unsafe { libc::kill(-(self.0.id() as i32), libc::SIGKILL) };
            let _ = self.0.wait();
        }
    }
    async fn read(pipe: Option<impl Into<OwnedFd>>) -> io::Result<String> {
        let mut said = Vec::new();
        if let Some(pipe) = pipe {
            tokio::net::unix::pipe::Receiver::from_owned_fd(pipe.into())?.read_to_end(&mut said).await?;
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
    // A group of its own, so that what it has started in turn ends with it.
    let mut child = Ended(command.process_group(0).spawn()?);
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    tokio::try_join!(read(stdout), read(stderr))
}

/// Whether nobody is there to be reached. A daemon that dies while we wait for it to accept resets the connection.
fn absent(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

/// The parameters of the greeting, by name.
#[derive(serde::Serialize)]
struct Greeting {
    hello: Hello,
}

fn left(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

enum Greeted {
    Here(UnixStream, Box<Welcome>),
    Left,
}

async fn greet(mut stream: UnixStream, options: &ConnectOptions, config: &Config) -> Result<Greeted, ConnectError> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let hello = Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        workspace: options.workspace.display().to_string(),
        client: options.client.clone(),
        env: allowed_env(variables),
        secrets: config
            .agent_env()
            .into_iter()
            .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)))
            .collect(),
    };
    let welcome: Welcome = match link::once(&mut stream, "hello", Greeting { hello }).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(error)) if error.passes() => return Ok(Greeted::Left),
        Ok(Err(error)) => return Err(ConnectError(error)),
        // It ended between accepting and answering.
        Err(error) if left(&error) => return Ok(Greeted::Left),
        Err(error) => return Err(unavailable(format!("the daemon's greeting cannot be read: {error}"), "")),
    };
    if older(&welcome.version, env!("CARGO_PKG_VERSION")) {
        tracing::info!(version = %welcome.version, "an older daemon is asked to hand over");
        // Its answer may be cut off by its end.
        let _ = link::once::<serde_json::Value>(&mut stream, "stop_daemon", serde_json::json!({"now": false})).await;
        return Ok(Greeted::Left);
    }
    if welcome.protocol != PROTOCOL {
        return Err(unavailable(
            format!("the daemon is of version {} and speaks another protocol", welcome.version),
            "use the newer `orchestrator`, or stop the daemon: `orchestrator daemon stop`",
        ));
    }
    Ok(Greeted::Here(stream, Box::new(welcome)))
}

/// Whether version `a` comes before `b`, by their numbers.
pub fn older(a: &str, b: &str) -> bool {
    let numbers = |version: &str| -> Vec<u64> {
        let plain = version.split(['-', '+']).next().unwrap_or("");
        plain.split('.').map(|number| number.parse().unwrap_or(0)).collect()
    };
    numbers(a) < numbers(b)
}

/// How a start came out.
enum Started {
    /// It can be reached.
    Ready,
    /// Another one has the lock.
    Taken,
    /// It ended without a word.
    Died(ConnectError),
}

/// Starts a daemon and waits for its first word.
async fn start(places: &Places, listen: Option<&str>) -> Result<Started, ConnectError> {
    let exe = crate::daemon::own_program().map_err(|error| unavailable(error.to_string(), "reinstall the program"))?;
    places.create().map_err(|error| unavailable(error.to_string(), "look at `orchestrator doctor`"))?;
    let log = places.runtime.join("daemon.log");
    let errors = std::fs::File::create(&log)
        .map_err(|error| unavailable(format!("{}: {error}", log.display()), "look at `orchestrator doctor`"))?;
    let mut child = Command::new(exe)
        .args(["daemon", "run"])
        .args(listen.iter().flat_map(|address| ["--listen", address]))
        .env_clear()
        // Only what says where things are: runs get the environment of whoever asks for them.
        .envs(std::env::vars_os().filter(|(name, _)| daemon_env(&name.to_string_lossy())))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| unavailable(format!("the daemon could not be started: {error}"), ""))?;
    // It writes one line and lets go of its standard output. No thread waits for that: a front end has one only.
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = tokio::net::unix::pipe::Receiver::from_owned_fd(stdout.into())
            .map_err(|error| unavailable(format!("the daemon cannot be heard: {error}"), ""))?;
        let _ = stdout.read_to_string(&mut said).await;
    }
    match said.trim() {
        "ready" => Ok(Started::Ready),
        // Another one was faster.
        "taken" => {
            let _ = child.wait();
            Ok(Started::Taken)
        }
        "" => {
            let why = std::fs::read_to_string(&log).unwrap_or_default();
            let last = why.lines().last().unwrap_or("it ended without a word").to_owned();
            let _ = child.wait();
            let hint = format!("see {}", log.display());
            Ok(Started::Died(unavailable(format!("the daemon could not start: {last}"), &hint)))
        }
        trouble => match serde_json::from_str::<ApiError>(trouble) {
            Ok(error) => Err(ConnectError(error)),
            Err(_) => Err(unavailable(trouble, &format!("see {}", log.display()))),
        },
    }
}

/// Variables that a daemon starts with.
fn daemon_env(name: &str) -> bool {
    matches!(name, "HOME" | "PATH" | "USER" | "LOGNAME" | "LANG" | "TMPDIR" | "TZ")
        || name.starts_with("XDG_")
        || name.starts_with("LC_")
        || name == "ORCHESTRATOR_LOG"
        || (cfg!(debug_assertions) && name == "ORCHESTRATOR_TEST_CLOCK")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a question that is taken back nothing stays behind.
    #[tokio::test]
    async fn a_program_that_nobody_waits_for_any_more_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let shell = |script: String| {
            let mut command = Command::new("sh");
            command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        let said = output(shell("echo out; echo err >&2; exit 3".to_owned())).await.unwrap();
        assert_eq!(said, ("out\n".to_owned(), "err\n".to_owned()));
        let begun = async {
            loop {
                match std::fs::read_to_string(&file).ok().and_then(|pid| pid.trim().parse::<i32>().ok()) {
                    Some(pid) => return pid,
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let long = output(shell(format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display())));
        let pid = tokio::select! {
            said = long => panic!("it ended: {said:?}"),
            pid = begun => pid,
        };
        // Its own child's child is somebody else's to take note of.
        let over = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !over() {
            assert!(Instant::now() < deadline, "{pid} is there still");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(older("0.9.0", "0.10.0") && older("0.1.0", "1.0.0"));
        assert!(!older("1.0.0", "1.0.0") && !older("2.0.0", "1.9.9"));
    }
}
