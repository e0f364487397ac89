//! The journal: the append-only truth of one workspace, and the seam below which a backend lives.
//!
//! One entry is one commit: a list of events that became true together. The store knows nothing of their
//! meaning; to it they are one line of JSON text. What it promises is order (one writer, positions without
//! holes), durability (a commit's callback runs once the commit would survive a loss of power) and honesty
//! (each commit carries the hash of the one before it, so that a hole or a changed byte is noticed and named).
//!
//! - [`local`]: SQLite in the workspace's state folder, the one that people use.
//! - [`memory`]: the same promises in memory, with scripted faults, for tests and simulation.
//! - [`conformance`]: one suite that both must pass.
//! - [`verify`]: checking, exporting and importing a journal from the command line.
//!
//! Nothing here reads the clock for anything that is stored: `at` comes from the caller.

pub mod chain;
pub mod conformance;
pub mod error;
pub mod local;
pub mod memory;
pub mod verify;

use std::{fmt, ops::ControlFlow};

use serde::{Deserialize, Serialize};

pub use self::{
    chain::{COMMIT_VERSION, Hash, NO_HASH},
    error::{AppendError, StoreError},
};
use crate::time::Timestamp;

/// How many commits there are up to and including this one: the first commit is 1, an empty journal's head is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The head of an empty journal; `read` after it reads everything.
    pub const START: Position = Position(0);

    /// The position that follows this one.
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a caller wants stored. The journal adds position, version and the hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// When the caller decided it.
    pub at: Timestamp,
    /// The leader's term under which it was decided.
    pub term: u64,
    /// The request key or command id that asked for it, so that a repeated request finds its first answer.
    pub command: Option<String>,
    /// The events: a JSON array in one line, as `serde_json::to_vec` writes it. See [`NewCommit::check`].
    pub events: Vec<u8>,
}

/// The largest `events` that a commit may have: as much as one message to the daemon, since a plan of a million tasks is
/// one event. What follows from an event is stored in parts long before this.
pub const EVENTS_BYTES_MAX: usize = 256 << 20;

impl NewCommit {
    /// Refuses what could be stored but not read, exported or imported again: anything but a JSON array in one
    /// line without space around it, and anything above [`EVENTS_BYTES_MAX`]. Every backend asks this in `append`.
    pub fn check(&self) -> Result<(), AppendError> {
        let events = &self.events;
        if events.len() > EVENTS_BYTES_MAX {
            let what = format!("its events are {} bytes, and at most {EVENTS_BYTES_MAX} are taken", events.len());
            return Err(AppendError::Refused { what });
        }
        if events.first() != Some(&b'[') || events.last() != Some(&b']') || events.contains(&b'\n') {
            return Err(AppendError::Refused { what: "its events are not a JSON array in one line".to_owned() });
        }
        match serde_json::from_slice::<&serde_json::value::RawValue>(events) {
            Ok(_) => Ok(()),
            Err(error) => Err(AppendError::Refused { what: format!("its events are not JSON: {error}") }),
        }
    }
}

/// A stored commit. `read` hands out only commits whose hash and place in the chain were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its place, counted from 1 without holes.
    pub position: Position,
    /// The format of the commit itself ([`COMMIT_VERSION`]); the events have versions of their own.
    pub version: u32,
    /// When it was decided.
    pub at: Timestamp,
    /// The leader's term under which it was decided.
    pub term: u64,
    /// The request key or command id that asked for it.
    pub command: Option<String>,
    /// The hash of the commit before it; zeros for the first.
    pub previous: Hash,
    /// SHA-256 over all of the above and the events ([`chain`]).
    pub hash: Hash,
    /// The events, byte for byte as they were appended: a JSON array in one line.
    pub events: Vec<u8>,
}

/// How soon a commit must reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// With the next flush, at once if none is running.
    Now,
    /// May wait up to [`SOON_MS`] to share a flush; goes along with any earlier one.
    Soon,
}

/// How long a commit of [`Urgency::Soon`] waits for company, in milliseconds.
pub const SOON_MS: u64 = 5;

/// Told once when its commit is on disk, in the order of positions. It runs on the journal's own thread and
/// delays the next flush, so it should do no more than pass the news on; it must not drop the journal.
///
/// An error means that the commit **may or may not** be stored (a failed flush tells no more than that): forget
/// the state in memory, open the journal again and read what is there.
pub type Durable = Box<dyn FnOnce(Result<Position, StoreError>) + Send>;

/// One totally ordered journal with one writer.
///
/// A failure is sticky: once a commit could not be stored, every queued and later append fails with the same
/// error, because positions after a hole would be lies. The way on is to drop the journal and open it again.
/// Dropping a journal flushes what is queued and calls every callback.
pub trait Journal: Send {
    /// Assigns the next position, queues the commit and returns; never waits for the disk. `durable` is called
    /// exactly once if this returns `Ok`, and never otherwise.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] where `expect` is not the head, [`AppendError::Refused`] for a malformed or huge
    /// commit, [`AppendError::Backlog`] where the disk has fallen far behind, [`AppendError::Failed`] once the
    /// journal has failed. After any of them nothing was queued.
    fn append(
        &mut self,
        expect: Position,
        commit: NewCommit,
        urgency: Urgency,
        durable: Durable,
    ) -> Result<Position, AppendError>;

    /// The last position assigned, durable or not.
    fn head(&self) -> Position;

    /// Treats everything that is queued now as [`Urgency::Now`].
    fn flush(&mut self);

    /// Hands out every *durable* commit after `after`, in order, each checked against its hash and its
    /// predecessor, until `each` breaks or the end. Reading after the head hands out nothing.
    ///
    /// The commit at `after` itself is not checked again; reading after [`Position::START`] checks everything.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the first position that does not hold; everything before it was handed out.
    fn read(&self, after: Position, each: &mut dyn FnMut(Commit) -> ControlFlow<()>) -> Result<(), StoreError>;

    /// Keeps `fold`, the state after applying everything up to `at`, as a cache for the next start, replacing an
    /// older one. It is written behind the caller's back, never before the commit at `at` is durable, and not
    /// flushed. A failure to write it is logged and loses nothing. `at` beyond the head is ignored.
    ///
    /// The bytes are the caller's: a program whose state has another layout must find that out from them.
    fn save_fold(&mut self, at: Position, fold: Vec<u8>);

    /// The cached fold, where there is one that fits this journal. A damaged, unknown or foreign one (another
    /// format, ahead of the durable head, or of another history) is `None`, as if it had never been saved.
    ///
    /// # Errors
    /// Only where the journal itself cannot be read.
    fn load_fold(&self) -> Result<Option<(Position, Vec<u8>)>, StoreError>;
}
