//! The output of one job: the pipe it writes to, and the bounded file that remains.
//!
//! The first `cap_bytes` go to the file as they come, the last `cap_bytes` are held in memory until the end; what lies
//! between is counted and dropped. A silent job makes no file.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
};

use super::protocol::TAIL_BYTES;

/// One read takes this much; one turn of the loop takes this many reads, so that a job that prints without end gets
/// its turn like any other.
const CHUNK_BYTES: usize = 64 << 10;
const READS_PER_TURN: usize = 4;

/// A pipe whose reading end never blocks; both ends close on exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors, which nobody else owns once the call has succeeded.
    let (reader, writer) = unsafe {
        #[cfg(target_os = "linux")]
        let made = libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC);
        #[cfg(not(target_os = "linux"))]
        let made = libc::pipe(ends.as_mut_ptr());
        if made != 0 {
            return Err(io::Error::last_os_error());
        }
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    #[cfg(not(target_os = "linux"))]
    for end in [&reader, &writer] {
        // SAFETY: setting a flag of a descriptor that we own.
        unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: setting a flag of a descriptor that we own; the writing end is another open file and stays blocking.
    if unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((reader, writer))
}

/// What a job writes to, and where we read it.
pub(super) struct Pipe {
    reader: File,
    /// Our copy of the other end: the pipe then never reports its end, which would be a wake-up per job, and can be
    /// the next job's.
    writer: OwnedFd,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Pipe> {
        let (reader, writer) = pipe()?;
        Ok(Pipe { reader: File::from(reader), writer })
    }

    pub(super) fn reader(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    pub(super) fn writer(&self) -> RawFd {
        self.writer.as_raw_fd()
    }
}

/// Collects what one job prints.
pub(super) struct Output {
    pipe: Pipe,
    path: PathBuf,
    cap_bytes: u64,
    file: Option<File>,
    /// Why the file could not be written, once that has happened.
    trouble: Option<io::Error>,
    total_bytes: u64,
    lost_bytes: u64,
    /// What came after the first `cap_bytes`, at most `cap_bytes` of it.
    late: VecDeque<u8>,
    late_dropped_bytes: u64,
    last: Vec<u8>,
}

/// What is known when the job has ended.
pub(super) struct Summary {
    pub(super) output_bytes: u64,
    pub(super) dropped_bytes: u64,
    pub(super) tail: String,
}

impl Output {
    pub(super) fn new(pipe: Pipe, path: PathBuf, cap_bytes: u64) -> Output {
        Output {
            pipe,
            path,
            cap_bytes,
            file: None,
            trouble: None,
            total_bytes: 0,
            lost_bytes: 0,
            late: VecDeque::new(),
            late_dropped_bytes: 0,
            last: Vec::new(),
        }
    }

    /// The pipe, when the job is over.
    pub(super) fn into_pipe(self) -> Pipe {
        self.pipe
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Reads what is there, up to one turn's share; says whether anything was.
    pub(super) fn read_turn(&mut self, buffer: &mut Vec<u8>) -> bool {
        let before = self.total_bytes;
        for _ in 0..READS_PER_TURN {
            if !self.read_once(buffer) {
                break;
            }
        }
        self.total_bytes > before
    }

    /// Reads once; false when the pipe is empty for now or for good.
    fn read_once(&mut self, buffer: &mut Vec<u8>) -> bool {
        buffer.resize(CHUNK_BYTES, 0);
        loop {
            match self.pipe.reader.read(buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.take(&buffer[..count]);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let head_left = self.cap_bytes.saturating_sub(self.total_bytes).min(bytes.len() as u64) as usize;
        self.total_bytes += bytes.len() as u64;
        let (head, late) = bytes.split_at(head_left);
        self.write(head);
        let cap = self.cap_bytes as usize;
        let late_kept = &late[late.len().saturating_sub(cap)..];
        let overflow = (self.late.len() + late_kept.len()).saturating_sub(cap);
        self.late.drain(..overflow);
        self.late.extend(late_kept);
        self.late_dropped_bytes += (overflow + late.len() - late_kept.len()) as u64;
        let end = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let overflow = (self.last.len() + end.len()).saturating_sub(TAIL_BYTES);
        self.last.drain(..overflow);
        self.last.extend_from_slice(end);
    }

    /// Appends to the file, making it and its folder at the first byte. A full disk must not end the job: what cannot
    /// be written counts as dropped.
    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.trouble.is_none()
            && let Err(error) = self.try_write(bytes)
        {
            tracing::error!("cannot write {}: {error}; the rest of this output is dropped", self.path.display());
            self.trouble = Some(error);
        }
        if self.trouble.is_some() {
            self.lost_bytes += bytes.len() as u64;
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path);
                let file = match open() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                        open()?
                    }
                    other => other?,
                };
                self.file.insert(file)
            }
        };
        file.write_all(bytes)
    }

    /// Takes what is still in the pipe, without waiting for anybody who holds its other end, and completes the file.
    ///
    /// A pipe holds no more than a megabyte here, so a writer that nobody could kill cannot keep us for ever.
    pub(super) fn finish(&mut self, buffer: &mut Vec<u8>) -> Summary {
        for _ in 0..16 {
            if !self.read_once(buffer) {
                break;
            }
        }
        if self.late_dropped_bytes > 0 {
            let marker = format!("\n[orchestrator: {} bytes dropped here]\n", self.late_dropped_bytes);
            let lost_before = self.lost_bytes;
            self.write(marker.as_bytes());
            // The marker is ours and no part of what the job printed.
            self.lost_bytes = lost_before;
        }
        let late = std::mem::take(&mut self.late);
        let (front, back) = late.as_slices();
        self.write(front);
        self.write(back);
        Summary {
            output_bytes: self.total_bytes,
            dropped_bytes: self.late_dropped_bytes + self.lost_bytes,
            tail: tail_text(&self.last),
        }
    }
}

/// The bytes as text, without the rest of a character that was cut in two at the front.
fn tail_text(last: &[u8]) -> String {
    let whole =
        if last.len() < TAIL_BYTES { 0 } else { last.iter().take(3).take_while(|b| **b & 0xc0 == 0x80).count() };
    String::from_utf8_lossy(&last[whole..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(cap_bytes: u64, chunks: &[&[u8]]) -> (Summary, Option<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/on/demand.log");
        let mut output = Output::new(Pipe::new().unwrap(), path.clone(), cap_bytes);
        for chunk in chunks {
            output.take(chunk);
        }
        let summary = output.finish(&mut Vec::new());
        (summary, std::fs::read(path).ok())
    }

    #[test]
    fn silence_makes_no_file() {
        let (summary, file) = printed(10, &[]);
        assert_eq!((summary.output_bytes, summary.dropped_bytes, summary.tail.as_str(), file), (0, 0, "", None));
    }

    #[test]
    fn the_middle_is_dropped_and_said_so() {
        let (summary, file) = printed(4, &[b"ab", b"cdef", b"ghijk", b"lm"]);
        assert_eq!((summary.output_bytes, summary.dropped_bytes), (13, 5));
        let file = String::from_utf8(file.unwrap()).unwrap();
        assert_eq!(file, "abcd\n[orchestrator: 5 bytes dropped here]\njklm");
        assert_eq!(summary.tail, "abcdefghijklm");
    }

    #[test]
    fn exactly_twice_the_cap_drops_nothing() {
        let (summary, file) = printed(4, &[b"abcdefgh"]);
        assert_eq!((summary.dropped_bytes, file.unwrap()), (0, b"abcdefgh".to_vec()));
    }

    #[test]
    fn the_tail_starts_at_a_whole_character_and_bears_any_bytes() {
        let long = "ä".repeat(TAIL_BYTES / 2) + "x";
        let (summary, _) = printed(1 << 20, &[long.as_bytes()]);
        assert_eq!(summary.tail.len(), TAIL_BYTES - 1);
        assert!(summary.tail.starts_with('ä'));
        assert_eq!(printed(10, &[b"\xff\xfe ok"]).0.tail, "\u{fffd}\u{fffd} ok");
    }
}
