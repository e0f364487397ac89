//! The daemon's end of the line to its keeper: find or start it, send orders, receive notices.

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, pipe},
    },
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    protocol::{Notice, Order, VERSION, push_line},
    socket,
};

/// How long a keeper may take to accept a connection, all attempts together. Sweeping up after a killed one is in it.
const START_MAX: Duration = Duration::from_secs(20);
/// How long to wait before asking again for a keeper that is just ending or just being started by somebody else.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Keepers that this process started, so that they do not stay zombies if they end before it does.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A connection to the workspace's keeper. Dropping it closes the connection; the keeper and its jobs go on.
#[derive(Debug, Clone)]
pub struct Keeper {
    orders: mpsc::UnboundedSender<Order>,
}

impl Keeper {
    /// Connects to the keeper of `dir`, starting `exe keeper DIR` if there is none, and waits until it accepts.
    ///
    /// The first notice is [`Notice::Welcome`] (unless the keeper ended that very moment), the last [`Notice::Gone`];
    /// after that one, connect again: everything
    /// not acknowledged is told again. Needs a tokio runtime with IO and time. Errors: the keeper could not be started
    /// or did not accept within 20 s; `DIR/keeper.err` then says more.
    pub async fn connect_or_start(dir: &Path, exe: &Path) -> io::Result<(Keeper, mpsc::UnboundedReceiver<Notice>)> {
        let dir = std::path::absolute(dir)?;
        let stream = match timeout(START_MAX, find_or_start(&dir, exe)).await {
            Ok(stream) => stream?,
            Err(_) => {
                let shown = dir.display();
                let what = format!("no keeper accepted a connection in {shown} within 20 s: see {shown}/keeper.err");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
        };
        let (reader, writer) = stream.into_split();
        let (orders, to_send) = mpsc::unbounded_channel();
        let (received, notices) = mpsc::unbounded_channel();
        let _ = orders.send(Order::Hello { version: VERSION });
        tokio::spawn(write_orders(writer, to_send, received.clone()));
        tokio::spawn(read_notices(reader, received));
        Ok((Keeper { orders }, notices))
    }

    /// Sends an order. Orders sent together travel in one write. On a connection that is gone this does nothing:
    /// [`Notice::Gone`] has been or will be received, and what was not answered must be ordered again.
    pub fn send(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

async fn find_or_start(dir: &Path, exe: &Path) -> io::Result<UnixStream> {
    loop {
        match socket::connect(dir) {
            Ok(stream) => return UnixStream::from_std(stream),
            Err(error) => match error.kind() {
                // No socket, or a dead one: there is no keeper.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {}
                // It has the socket but cannot take more callers for now.
                io::ErrorKind::WouldBlock => {
                    sleep(RETRY_AFTER).await;
                    continue;
                }
                _ => return Err(error),
            },
        }
        start(dir, exe).await?;
        match socket::connect(dir) {
            Ok(stream) => return UnixStream::from_std(stream),
            // Another process holds the lock: one that is ending, or one that is not listening yet.
            Err(_) => sleep(RETRY_AFTER).await,
        }
    }
}

/// Starts a keeper and waits until it accepts connections or has ended.
async fn start(dir: &Path, exe: &Path) -> io::Result<()> {
    let mut command = Command::new(exe);
    command.arg("keeper").arg(dir).current_dir("/").env_clear();
    if let Some(folder) = std::env::var_os("TMPDIR") {
        command.env("TMPDIR", folder);
    }
    // The keeper makes a session of its own and replaces its standard output when it listens: our end then reads as
    // ended, without a message and without polling.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start {}: {error}", exe.display())))?;
    let ready = child.stdout.take().map(OwnedFd::from);
    bury(Some(child));
    if let Some(ready) = ready {
        let mut ready = pipe::Receiver::from_owned_fd(ready)?;
        ready.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

/// Remembers a started keeper and takes away those that have ended.
fn bury(child: Option<Child>) {
    let mut started = STARTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    started.extend(child);
    started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

async fn write_orders(
    mut writer: OwnedWriteHalf,
    mut orders: mpsc::UnboundedReceiver<Order>,
    received: mpsc::UnboundedSender<Notice>,
) {
    let mut batch = Vec::new();
    let mut lines = Vec::new();
    while orders.recv_many(&mut batch, 1024).await > 0 {
        lines.clear();
        for order in batch.drain(..) {
            if let Err(error) = push_line(&mut lines, &order) {
                // Only a path that is not UTF-8 gets here.
                let id = if let Order::Start(job) = order { job.id } else { String::new() };
                let _ = received.send(Notice::Refused { id, why: format!("cannot be written as JSON: {error}") });
            }
        }
        if writer.write_all(&lines).await.is_err() {
            // The reader finds out too, and says so.
            return;
        }
    }
}

async fn read_notices(mut reader: OwnedReadHalf, received: mpsc::UnboundedSender<Notice>) {
    let mut bytes: Vec<u8> = Vec::with_capacity(64 << 10);
    loop {
        match reader.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in bytes[..end].split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                // The receiver may have been dropped; the orders' side then closes the connection.
                Ok(notice) => drop(received.send(notice)),
                // A newer keeper may say more than we know; what we need is in what we know.
                Err(error) => tracing::warn!("the keeper said something unknown: {error}"),
            }
        }
        bytes.drain(..=end);
    }
    bury(None);
    let _ = received.send(Notice::Gone);
}
