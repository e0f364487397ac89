//! The writer thread: it owns the connection, takes everything that waits, stores it in one transaction with one
//! flush, and tells each commit's callback.
//!
//! While a flush runs, whatever arrives waits and shares the next one: that is group commit, with no delay of its
//! own. Only commits of `Urgency::Soon` wait on purpose, and never longer than [`SOON_MS`].

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{acknowledged, fold, table::Table};
use crate::store::{AppendError, Durable, NewCommit, Position, SOON_MS, StoreError, Urgency, chain::Tip};

/// The bound of the queue. The daemon does not act before durability, so it stays far below; an append beyond this
/// is refused rather than letting a stuck disk use up the machine's memory.
pub(super) const QUEUED_BYTES_MAX: usize = 256 << 20;
/// What a queued commit costs beside its events.
const COMMIT_BYTES: usize = 256;

/// What the caller's side and the writer thread share.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    commits: Vec<(NewCommit, Durable)>,
    bytes: usize,
    /// When the queued commits must be written at the latest; `None` while there are none.
    due: Option<Instant>,
    fold: Option<(Position, Vec<u8>)>,
    closing: bool,
    failure: Option<StoreError>,
}

/// What the thread takes at once. The fold was saved after these commits were appended or earlier, so once they are
/// stored its position is durable.
struct Batch {
    commits: Vec<(NewCommit, Durable)>,
    fold: Option<(Position, Vec<u8>)>,
    closing: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing inside can be left half done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, commit: NewCommit, urgency: Urgency, durable: Durable) -> Result<(), AppendError> {
        let mut inner = self.lock();
        if let Some(failure) = &inner.failure {
            return Err(AppendError::Failed(failure.clone()));
        }
        let bytes = inner.bytes + commit.events.len() + COMMIT_BYTES;
        if bytes > QUEUED_BYTES_MAX && !inner.commits.is_empty() {
            return Err(AppendError::Backlog { queued_bytes: inner.bytes });
        }
        inner.bytes = bytes;
        inner.commits.push((commit, durable));
        let now = Instant::now();
        let due = match urgency {
            Urgency::Now => now,
            Urgency::Soon => now + Duration::from_millis(SOON_MS),
        };
        // The thread sleeps until `due`, so it need only be woken for an earlier one.
        let sooner = inner.due.is_none_or(|earlier| due < earlier);
        if sooner {
            inner.due = Some(due);
        }
        // Woken with the lock held it would have to sleep again at once.
        drop(inner);
        if sooner {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub fn flush(&self) {
        let mut inner = self.lock();
        if let Some(due) = inner.due {
            inner.due = Some(due.min(Instant::now()));
            self.changed.notify_one();
        }
    }

    pub fn save_fold(&self, at: Position, fold: Vec<u8>) {
        self.lock().fold = Some((at, fold));
        self.changed.notify_one();
    }

    /// Asks the thread to write what is queued and end.
    pub fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }

    pub fn failure(&self) -> Option<StoreError> {
        self.lock().failure.clone()
    }

    /// Waits until there is something to do.
    fn take(&self) -> Batch {
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            match inner.due {
                _ if inner.closing => break,
                Some(due) if due <= now => break,
                Some(due) => {
                    let waited = self.changed.wait_timeout(inner, due - now);
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None if inner.fold.is_some() => break,
                None => inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
            }
        }
        (inner.bytes, inner.due) = (0, None);
        Batch { commits: std::mem::take(&mut inner.commits), fold: inner.fold.take(), closing: inner.closing }
    }

    /// Makes `failure` the answer to every append from now on, and hands back those whom it must be told.
    fn fail(&self, failure: &StoreError) -> Vec<(NewCommit, Durable)> {
        let mut inner = self.lock();
        inner.failure.get_or_insert_with(|| failure.clone());
        (inner.bytes, inner.due) = (0, None);
        std::mem::take(&mut inner.commits)
    }
}

/// The thread's own things.
pub(super) struct Writer {
    pub table: Table,
    /// The last durable commit.
    pub tip: Tip,
    pub fold_path: PathBuf,
    pub acknowledged: acknowledged::Mark,
}

impl Writer {
    /// Runs until the queue is closed.
    pub fn run(mut self, queue: &Queue) {
        let _guard = EndGuard(queue);
        let mut failure = None;
        loop {
            let Batch { commits, fold, closing } = queue.take();
            let (new, durables): (Vec<_>, Vec<_>) = commits.into_iter().unzip();
            if failure.is_none()
                && let Err(error) = self.store(new)
            {
                tracing::error!(%error, "the journal could not store a commit, and takes no more");
                failure = Some(error);
            }
            match &failure {
                None => {
                    let first = self.tip.position.0 - durables.len() as u64 + 1;
                    for (position, durable) in (first..).zip(durables) {
                        tell(durable, Ok(Position(position)));
                    }
                    if let Some((at, fold)) = fold {
                        self.save_fold(at, &fold);
                    }
                }
                Some(error) => {
                    let later = queue.fail(error);
                    durables.into_iter().chain(later.into_iter().map(|(_, durable)| durable)).for_each(|durable| {
                        tell(durable, Err(error.clone()));
                    });
                }
            }
            if closing {
                return;
            }
        }
    }

    fn store(&mut self, new: Vec<NewCommit>) -> Result<(), StoreError> {
        if new.is_empty() {
            return Ok(());
        }
        let mut tip = self.tip;
        let commits: Vec<_> = new.into_iter().map(|commit| tip.extend(commit)).collect();
        self.table.insert(&commits)?;
        self.tip = tip;
        self.acknowledged.set(tip);
        Ok(())
    }

    fn save_fold(&self, at: Position, fold: &[u8]) {
        let tip = if at == self.tip.position { Ok(Some(self.tip)) } else { self.table.tip(at) };
        let saved = match tip {
            Ok(Some(tip)) => fold::save(&self.fold_path, tip, fold).map_err(|error| error.to_string()),
            Ok(None) => Err(format!("there is no commit {at}")),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = saved {
            tracing::warn!(%error, path = %self.fold_path.display(), "the fold was not cached; the next start reads more");
        }
    }
}

/// However the thread ends (also by a panic), nobody may wait for it afterwards.
struct EndGuard<'a>(&'a Queue);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let error = StoreError::Io { what: "its writer thread has ended".to_owned() };
        for (_, durable) in self.0.fail(&error) {
            tell(durable, Err(error.clone()));
        }
    }
}

/// Calls back. A panic in one callback must not swallow those of other commits.
fn tell(durable: Durable, result: Result<Position, StoreError>) {
    if std::panic::catch_unwind(AssertUnwindSafe(move || durable(result))).is_err() {
        tracing::error!("a callback of the journal panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn push(queue: &Queue, bytes: usize, urgency: Urgency) -> Result<(), AppendError> {
        // Fresh zeros are not touched here, so they take no memory.
        let commit = NewCommit { at: Timestamp(1), term: 1, command: None, events: vec![0; bytes] };
        queue.push(commit, urgency, Box::new(|_| {}))
    }

    #[test]
    fn the_queue_is_bounded_until_it_is_taken() {
        let queue = Queue::default();
        let quarter = QUEUED_BYTES_MAX / 4;
        for _ in 0..3 {
            push(&queue, quarter, Urgency::Now).unwrap();
        }
        let queued_bytes = 3 * (quarter + COMMIT_BYTES);
        assert_eq!(push(&queue, quarter, Urgency::Now), Err(AppendError::Backlog { queued_bytes }));
        push(&queue, 10, Urgency::Soon).unwrap();
        assert_eq!(queue.take().commits.len(), 4);
        push(&queue, quarter, Urgency::Now).unwrap();
    }

    #[test]
    fn urgency_only_ever_moves_the_flush_forward() {
        let queue = Queue::default();
        let due = || queue.lock().due;
        queue.flush();
        assert_eq!(due(), None, "a flush of nothing wakes the thread");
        push(&queue, 1, Urgency::Soon).unwrap();
        let first = due().unwrap();
        push(&queue, 1, Urgency::Soon).unwrap();
        assert_eq!(due(), Some(first), "a later commit put off an earlier one");
        queue.flush();
        let flushed = due().unwrap();
        assert!(flushed <= Instant::now() && flushed <= first);
        push(&queue, 1, Urgency::Soon).unwrap();
        assert_eq!(due(), Some(flushed));
        assert_eq!(queue.take().commits.len(), 3);
        assert_eq!(due(), None);
        let before = Instant::now();
        push(&queue, 1, Urgency::Soon).unwrap();
        assert!(due().unwrap() >= before + Duration::from_millis(SOON_MS));
        push(&queue, 1, Urgency::Now).unwrap();
        assert!(due().unwrap() <= Instant::now());
    }

    #[test]
    fn a_failed_queue_takes_nothing_and_keeps_its_first_failure() {
        let queue = Queue::default();
        push(&queue, 1, Urgency::Now).unwrap();
        assert_eq!(queue.fail(&StoreError::Unknown).len(), 1);
        assert_eq!(queue.fail(&StoreError::Io { what: "later".to_owned() }).len(), 0);
        assert_eq!(push(&queue, 1, Urgency::Now), Err(AppendError::Failed(StoreError::Unknown)));
        assert_eq!(queue.failure(), Some(StoreError::Unknown));
    }
}
