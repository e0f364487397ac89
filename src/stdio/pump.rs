//! Our own end of standard input and output: never a blocked thread where the kernel can tell when bytes are there.
//!
//! The descriptors that we are given are shared with whoever started us (and with a shell after us), so their flags
//! are not ours to change: `O_NONBLOCK` on a shared description breaks the other side. A pipe is opened again, which
//! makes a description of our own; a socket is asked with `MSG_DONTWAIT`; only what is neither (a terminal, a file)
//! is left to a thread. Measured: a blocking standard input costs four times the whole call.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd},
    net::unix::pipe,
};

/// Standard input, beginning with what was already looked at.
pub struct Input {
    /// Read, and not yet handed out.
    ahead: Vec<u8>,
    source: Source,
}

enum Source {
    Pipe(pipe::Receiver),
    Socket(AsyncFd<OwnedFd>),
    Thread(tokio::io::Stdin),
}

/// Standard output.
pub enum Output {
    /// A pipe of our own.
    Pipe(pipe::Sender),
    /// A socket that others have, too.
    Socket(AsyncFd<OwnedFd>),
    /// Everything else.
    Thread(tokio::io::Stdout),
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    Other,
}

fn kind(fd: BorrowedFd<'_>) -> Kind {
    // SAFETY: fstat writes the whole of `stat`, which outlives the call; the descriptor is open.
    let mode = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        if libc::fstat(fd.as_raw_fd(), &mut stat) != 0 {
            return Kind::Other;
        }
        stat.st_mode & libc::S_IFMT
    };
    match mode {
        libc::S_IFIFO => Kind::Pipe,
        libc::S_IFSOCK => Kind::Socket,
        _ => Kind::Other,
    }
}

/// A description of our own for the pipe behind a descriptor. Linux opens the same pipe again under this name; other
/// systems copy the descriptor, flags shared, so there it is not tried.
fn reopened(fd: BorrowedFd<'_>) -> Option<String> {
    (cfg!(target_os = "linux") && kind(fd) == Kind::Pipe).then(|| format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn socket(fd: BorrowedFd<'_>) -> Option<AsyncFd<OwnedFd>> {
    // A copy, because the two standard streams may be one socket, and one descriptor is watched only once.
    let copy = (kind(fd) == Kind::Socket).then(|| fd.try_clone_to_owned().ok()).flatten()?;
    // SAFETY: an `OwnedFd` is open for as long as it lives, and says the same descriptor each time.
    unsafe { AsyncFd::register(copy) }.ok()
}

impl Input {
    /// Of this process.
    pub fn standard() -> Input {
        let stdin = io::stdin();
        let fd = std::os::fd::AsFd::as_fd(&stdin);
        let pipe = reopened(fd).and_then(|path| pipe::OpenOptions::new().open_receiver(path).ok());
        let source = match (pipe, socket(fd)) {
            (Some(pipe), _) => Source::Pipe(pipe),
            (None, Some(socket)) => Source::Socket(socket),
            (None, None) => Source::Thread(tokio::io::stdin()),
        };
        Input { ahead: Vec::new(), source }
    }

    /// All that was read and not handed out.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Lets go of the first bytes of [`Input::ahead`].
    pub fn skip(&mut self, bytes: usize) {
        self.ahead.drain(..bytes);
    }

    /// Reads more into [`Input::ahead`]; false at the end.
    pub async fn look(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let read = std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(self.poll_source(context, &mut buffer))?;
            Poll::Ready(io::Result::Ok(buffer.filled().len()))
        });
        let count = read.await?;
        self.ahead.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }

    fn poll_source(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.source {
            Source::Pipe(pipe) => Pin::new(pipe).poll_read(context, buffer),
            Source::Thread(stdin) => Pin::new(stdin).poll_read(context, buffer),
            Source::Socket(socket) => loop {
                let mut guard = ready!(socket.poll_read_ready(context))?;
                let space = buffer.initialize_unfilled();
                let read = guard.try_io(|fd| {
                    // SAFETY: `space` is valid for its length during the call, and the descriptor is ours.
                    let count = unsafe {
                        libc::recv(fd.as_raw_fd(), space.as_mut_ptr().cast(), space.len(), libc::MSG_DONTWAIT)
                    };
                    usize::try_from(count).map_err(|_| io::Error::last_os_error())
                });
                match read {
                    Ok(Ok(count)) => {
                        buffer.advance(count);
                        return Poll::Ready(Ok(()));
                    }
                    // Whoever hung up without reading everything has left all the same.
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Poll::Ready(Ok(())),
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(error)) => return Poll::Ready(Err(error)),
                    Err(_would_block) => {}
                }
            },
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let input = self.get_mut();
        if input.ahead.is_empty() {
            return input.poll_source(context, buffer);
        }
        let count = input.ahead.len().min(buffer.remaining());
        buffer.put_slice(&input.ahead[..count]);
        input.ahead.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl Output {
    /// Of this process.
    pub fn standard() -> Output {
        let stdout = io::stdout();
        let fd = std::os::fd::AsFd::as_fd(&stdout);
        let pipe = reopened(fd).and_then(|path| pipe::OpenOptions::new().open_sender(path).ok());
        match (pipe, socket(fd)) {
            (Some(pipe), _) => Output::Pipe(pipe),
            (None, Some(socket)) => Output::Socket(socket),
            (None, None) => Output::Thread(tokio::io::stdout()),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Output::Pipe(pipe) => Pin::new(pipe).poll_write(context, bytes),
            Output::Thread(stdout) => Pin::new(stdout).poll_write(context, bytes),
            Output::Socket(socket) => loop {
                let mut guard = ready!(socket.poll_write_ready(context))?;
                let written = guard.try_io(|fd| {
                    // SAFETY: `bytes` is valid for its length during the call, and the descriptor is ours. A peer that
                    // has left is an error, not a signal: the runtime ignores SIGPIPE.
                    let count =
                        unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) };
                    usize::try_from(count).map_err(|_| io::Error::last_os_error())
                });
                match written {
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(result) => return Poll::Ready(result),
                    Err(_would_block) => {}
                }
            },
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Output::Thread(stdout) => Pin::new(stdout).poll_flush(context),
            Output::Pipe(_) | Output::Socket(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What others may go on using is not shut down: it closes with this process.
        self.poll_flush(context)
    }
}
