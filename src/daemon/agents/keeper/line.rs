//! The keeper's end of the connection: bytes in, lines out, nothing blocking. What the lines mean is not known here.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
};

use super::protocol::{Notice, push_line};

/// A line longer than this is no order.
const LINE_BYTES_MAX: usize = 64 << 20;
/// A daemon that lets this much pile up does not read any more. Results stay; the next connection gets them.
const UNSENT_BYTES_MAX: usize = 64 << 20;
const CHUNK_BYTES: usize = 64 << 10;
const READS_PER_TURN: usize = 4;

/// A connection to a daemon.
pub(super) struct Line {
    stream: UnixStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    /// Whether the daemon has said hello.
    pub(super) greeted: bool,
    /// Whether we wait for room to write.
    pub(super) blocked: bool,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> Line {
        Line { stream, received: Vec::new(), unsent: Vec::new(), sent: 0, greeted: false, blocked: false }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Reads what is there, up to one turn's share. Whole lines go to `lines`; false when the connection is over.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, lines: &mut Vec<Vec<u8>>) -> bool {
        buffer.resize(CHUNK_BYTES, 0);
        let mut open = true;
        for _ in 0..READS_PER_TURN {
            match self.stream.read(buffer) {
                Ok(0) => {
                    open = false;
                    break;
                }
                Ok(count) => {
                    let mut rest = &buffer[..count];
                    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                        self.received.extend_from_slice(&rest[..at]);
                        lines.push(std::mem::take(&mut self.received));
                        rest = &rest[at + 1..];
                    }
                    self.received.extend_from_slice(rest);
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    open = false;
                    break;
                }
            }
        }
        open && self.received.len() <= LINE_BYTES_MAX
    }

    /// Puts a notice behind the others; sent by [`Line::flush`].
    pub(super) fn push(&mut self, notice: &Notice) {
        push_line(&mut self.unsent, notice).expect("a notice has nothing that JSON cannot say");
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends as much as there is room for; false when the connection is over.
    pub(super) fn flush(&mut self) -> bool {
        self.blocked = false;
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(0) => return false,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return self.unsent.len() - self.sent <= UNSENT_BYTES_MAX;
                }
                Err(_) => return false,
            }
        }
        self.unsent.clear();
        self.sent = 0;
        if self.unsent.capacity() > CHUNK_BYTES {
            self.unsent = Vec::new();
        }
        true
    }

    /// Sends the rest, waiting at most a second for a daemon that does not read.
    pub(super) fn flush_last(&mut self) {
        let waits = self.stream.set_nonblocking(false).is_ok()
            && self.stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).is_ok();
        if waits && !self.flush() {
            tracing::warn!("the daemon did not take the last notices; they are in the log");
        }
    }
}
