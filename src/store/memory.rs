//! A journal in memory that fails on command, for tests and simulation.
//!
//! [`Memory`] is the disk and the hand that plays fate; it outlives the journals opened on it. Everything is
//! deterministic: nothing happens by itself, and the one random choice (how much a crash leaves) comes from a seed.
//! Callbacks run in the thread of whoever causes them, with no lock held.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    AppendError, Commit, Durable, Journal, NewCommit, Position, StoreError, Urgency,
    chain::{Hash, Tip},
};

/// What happens to one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The append itself is refused, and the journal has failed, for what is queued as well.
    Refuse(StoreError),
    /// The append is taken, but cannot be stored: its callback and all later ones hear this error.
    Fail(StoreError),
    /// As [`Fault::Fail`] with [`StoreError::Unknown`]; `stored` says what a reader will find.
    Unknown {
        /// Whether the commit is there after all.
        stored: bool,
    },
}

/// The disk below journals in memory. Clones are the same disk.
#[derive(Clone)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    commits: Vec<Commit>,
    fold: Option<(Tip, Vec<u8>)>,
    queued: VecDeque<Queued>,
    fold_waiting: Option<(Position, Vec<u8>)>,
    /// Whether commits wait for `acknowledge`.
    held: bool,
    /// Faults by the number of the append, counted from 1 over the disk's life.
    faults: BTreeMap<u64, Fault>,
    appends: u64,
    /// Which opening holds the disk; a journal of an earlier one is dead.
    opening: u64,
    open: bool,
    failure: Option<StoreError>,
    random: u64,
}

struct Queued {
    commit: Commit,
    durable: Durable,
    fault: Option<Fault>,
}

/// A callback with what it is to be told; called once the lock is free.
type Told = (Durable, Result<Position, StoreError>);

impl Memory {
    /// An empty disk. The seed decides what crashes leave behind.
    pub fn new(seed: u64) -> Memory {
        let disk = Disk {
            commits: Vec::new(),
            fold: None,
            queued: VecDeque::new(),
            fold_waiting: None,
            held: false,
            faults: BTreeMap::new(),
            appends: 0,
            opening: 0,
            open: false,
            failure: None,
            random: seed,
        };
        Memory { disk: Arc::new(Mutex::new(disk)) }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another is open.
    pub fn open(&self) -> Result<MemoryJournal, StoreError> {
        let mut disk = self.lock();
        if disk.open {
            return Err(StoreError::Locked { path: PathBuf::from("memory"), pid: Some(std::process::id()) });
        }
        disk.open = true;
        disk.opening += 1;
        disk.failure = None;
        Ok(MemoryJournal { memory: self.clone(), opening: disk.opening, head: Position(disk.commits.len() as u64) })
    }

    /// What happens to the `number`th append of this disk's life, counted from 1.
    pub fn fault(&self, number: u64, fault: Fault) {
        self.lock().faults.insert(number, fault);
    }

    /// How many appends were taken or refused by a fault so far.
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// Whether commits stay queued until [`Memory::acknowledge`]. Not held, they are durable at once.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
        if !held {
            self.acknowledge(usize::MAX);
        }
    }

    /// How many commits wait.
    pub fn queued(&self) -> usize {
        self.lock().queued.len()
    }

    /// Makes the oldest `count` queued commits durable and calls their callbacks. Returns how many there were.
    pub fn acknowledge(&self, count: usize) -> usize {
        let mut told: Vec<Told> = Vec::new();
        {
            let mut disk = self.lock();
            while told.len() < count
                && let Some(queued) = disk.queued.pop_front()
            {
                told.push(disk.store(queued));
            }
            disk.keep_fold();
        }
        let number = told.len();
        told.into_iter().for_each(|(durable, result)| durable(result));
        number
    }

    /// The machine stops: the open journal is dead, of the queued commits a prefix of random length survives, and
    /// no callback is called. Returns how many queued commits survived.
    pub fn crash(&self) -> usize {
        let mut disk = self.lock();
        let survivors = (disk.random() % (disk.queued.len() as u64 + 1)) as usize;
        let queued = std::mem::take(&mut disk.queued);
        let mut kept = 0;
        for queued in queued.into_iter().take(survivors) {
            if disk.failure.is_none() && matches!(queued.fault, None | Some(Fault::Unknown { stored: true })) {
                kept += 1;
            }
            // The callback is dropped uncalled: there is nobody left to call.
            drop(disk.store(queued));
        }
        disk.fold_waiting = None;
        disk.open = false;
        disk.opening += 1;
        kept
    }

    /// Flips one bit in the events of the commit at `position`, where there is one.
    pub fn damage(&self, position: Position) {
        let mut disk = self.lock();
        if let Some(commit) = (position.0 as usize).checked_sub(1).and_then(|index| disk.commits.get_mut(index)) {
            let middle = commit.events.len() / 2;
            commit.events[middle] ^= 1;
        }
    }

    /// Forgets every durable commit after `position`, as a lying disk does.
    pub fn truncate(&self, position: Position) {
        self.lock().commits.truncate(position.0 as usize);
    }
}

impl Disk {
    fn store(&mut self, queued: Queued) -> Told {
        let Queued { commit, durable, fault } = queued;
        if let Some(failure) = &self.failure {
            return (durable, Err(failure.clone()));
        }
        let position = commit.position;
        let failure = match fault {
            None => {
                self.commits.push(commit);
                return (durable, Ok(position));
            }
            Some(Fault::Refuse(error) | Fault::Fail(error)) => error,
            Some(Fault::Unknown { stored }) => {
                if stored {
                    self.commits.push(commit);
                }
                StoreError::Unknown
            }
        };
        self.failure = Some(failure.clone());
        (durable, Err(failure))
    }

    /// Where the next commit goes, queued ones included.
    fn tip(&self) -> Tip {
        let last = self.queued.back().map(|queued| &queued.commit).or(self.commits.last());
        last.map_or(Tip::START, |commit| Tip { position: commit.position, hash: commit.hash })
    }

    fn hash_at(&self, position: Position) -> Option<Hash> {
        match position {
            Position::START => Some(Tip::START.hash),
            Position(number) => self.commits.get(number as usize - 1).map(|commit| commit.hash),
        }
    }

    /// Keeps the waiting fold once its position is durable.
    fn keep_fold(&mut self) {
        if let Some((position, fold)) = self.fold_waiting.take() {
            match self.hash_at(position) {
                Some(hash) => self.fold = Some((Tip { position, hash }, fold)),
                None => self.fold_waiting = Some((position, fold)),
            }
        }
    }

    /// SplitMix64: small, and the same everywhere.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A journal on a [`Memory`] disk.
pub struct MemoryJournal {
    memory: Memory,
    opening: u64,
    head: Position,
}

impl MemoryJournal {
    fn disk(&self) -> Result<MutexGuard<'_, Disk>, StoreError> {
        let disk = self.memory.lock();
        if disk.opening == self.opening {
            Ok(disk)
        } else {
            Err(StoreError::Io { what: "the machine of this journal has crashed".to_owned() })
        }
    }
}

impl Journal for MemoryJournal {
    fn append(
        &mut self,
        expect: Position,
        commit: NewCommit,
        _urgency: Urgency,
        durable: Durable,
    ) -> Result<Position, AppendError> {
        let mut disk = self.disk().map_err(AppendError::Failed)?;
        if let Some(failure) = &disk.failure {
            return Err(AppendError::Failed(failure.clone()));
        }
        if expect != self.head {
            return Err(AppendError::Conflict { expected: expect, head: self.head });
        }
        commit.check()?;
        disk.appends += 1;
        let number = disk.appends;
        let fault = disk.faults.remove(&number);
        if let Some(Fault::Refuse(error)) = fault {
            disk.failure = Some(error.clone());
            return Err(AppendError::Failed(error));
        }
        let commit = disk.tip().extend(commit);
        let position = commit.position;
        disk.queued.push_back(Queued { commit, durable, fault });
        let held = disk.held;
        drop(disk);
        self.head = position;
        if !held {
            self.memory.acknowledge(usize::MAX);
        }
        Ok(position)
    }

    fn head(&self) -> Position {
        self.head
    }

    /// Nothing to do: without `hold` everything is durable at once, and with it the test decides.
    fn flush(&mut self) {}

    fn read(&self, after: Position, each: &mut dyn FnMut(Commit) -> ControlFlow<()>) -> Result<(), StoreError> {
        let (mut tip, commits) = {
            let disk = self.disk()?;
            let Some(hash) = disk.hash_at(after) else { return Ok(()) };
            (Tip { position: after, hash }, disk.commits[after.0 as usize..].to_vec())
        };
        for commit in commits {
            tip.follow(&commit)?;
            if each(commit).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn save_fold(&mut self, at: Position, fold: Vec<u8>) {
        let head = self.head;
        if let Ok(mut disk) = self.disk()
            && at <= head
        {
            disk.fold_waiting = Some((at, fold));
            disk.keep_fold();
        }
    }

    fn load_fold(&self) -> Result<Option<(Position, Vec<u8>)>, StoreError> {
        let disk = self.disk()?;
        let fitting = disk.fold.as_ref().filter(|(tip, _)| disk.hash_at(tip.position) == Some(tip.hash));
        Ok(fitting.map(|(tip, fold)| (tip.position, fold.clone())))
    }
}

impl Drop for MemoryJournal {
    /// A clean end: what is queued becomes durable.
    fn drop(&mut self) {
        if self.disk().is_ok() {
            self.memory.acknowledge(usize::MAX);
            if let Ok(mut disk) = self.disk() {
                disk.open = false;
                disk.fold_waiting = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{store::conformance, time::Timestamp};

    fn append(
        journal: &mut MemoryJournal,
        told: &mpsc::Sender<Result<Position, StoreError>>,
    ) -> Result<Position, AppendError> {
        let told = told.clone();
        let commit = NewCommit { at: Timestamp(1), term: 1, command: None, events: b"[1]".to_vec() };
        journal.append(journal.head(), commit, Urgency::Now, Box::new(move |result| told.send(result).unwrap()))
    }

    fn count(journal: &MemoryJournal) -> usize {
        let mut count = 0;
        journal
            .read(Position::START, &mut |_| {
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        count
    }

    #[test]
    fn conforms() {
        let memory = Memory::new(1);
        conformance::conformance(|| Box::new(memory.open().unwrap()));
    }

    #[test]
    fn acknowledges_late_and_in_order() {
        let (send, told) = mpsc::channel();
        let memory = Memory::new(1);
        memory.hold(true);
        let mut journal = memory.open().unwrap();
        for _ in 0..3 {
            append(&mut journal, &send).unwrap();
        }
        journal.save_fold(Position(2), b"state".to_vec());
        assert_eq!((journal.head(), memory.queued(), count(&journal)), (Position(3), 3, 0));
        assert_eq!(memory.acknowledge(1), 1);
        assert_eq!(journal.load_fold(), Ok(None));
        assert_eq!(memory.acknowledge(9), 2);
        assert_eq!(journal.load_fold(), Ok(Some((Position(2), b"state".to_vec()))));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(Position(1)), Ok(Position(2)), Ok(Position(3))]);
    }

    #[test]
    fn a_crash_keeps_a_prefix_and_all_lengths_occur() {
        let mut survived = [0; 4];
        for seed in 0..64 {
            let (send, told) = mpsc::channel();
            let memory = Memory::new(seed);
            let mut journal = memory.open().unwrap();
            append(&mut journal, &send).unwrap();
            memory.hold(true);
            for _ in 0..3 {
                append(&mut journal, &send).unwrap();
            }
            let kept = memory.crash();
            survived[kept] += 1;
            assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(Position(1))]);
            assert!(matches!(append(&mut journal, &send), Err(AppendError::Failed(_))), "a dead journal took a commit");
            drop(journal);
            memory.hold(false);
            let mut journal = memory.open().unwrap();
            assert_eq!((journal.head().0 as usize, count(&journal)), (1 + kept, 1 + kept));
            append(&mut journal, &send).unwrap();
        }
        assert!(survived.iter().all(|times| *times > 0), "{survived:?}");
    }

    #[test]
    fn scripted_failures_are_sticky_until_opened_again() {
        let full = StoreError::Full { path: PathBuf::from("memory") };
        for (fault, stored) in [
            (Fault::Refuse(full.clone()), 0),
            (Fault::Fail(full.clone()), 1),
            (Fault::Unknown { stored: false }, 1),
            (Fault::Unknown { stored: true }, 2),
        ] {
            let (send, told) = mpsc::channel();
            let memory = Memory::new(1);
            memory.fault(2, fault.clone());
            memory.hold(true);
            let mut journal = memory.open().unwrap();
            append(&mut journal, &send).unwrap();
            let second = append(&mut journal, &send);
            assert_eq!(second.is_err(), matches!(fault, Fault::Refuse(_)), "{fault:?}: {second:?}");
            let third = append(&mut journal, &send);
            memory.acknowledge(usize::MAX);
            let heard: Vec<_> = told.try_iter().collect();
            let expected = if matches!(fault, Fault::Unknown { .. }) { StoreError::Unknown } else { full.clone() };
            if second.is_err() {
                assert_eq!(third, Err(AppendError::Failed(expected.clone())));
                assert_eq!(heard, [Err(expected.clone())]);
            } else {
                assert_eq!(heard, [Ok(Position(1)), Err(expected.clone()), Err(expected.clone())]);
            }
            assert_eq!(append(&mut journal, &send), Err(AppendError::Failed(expected)));
            drop(journal);
            let journal = memory.open().unwrap();
            assert_eq!(count(&journal), stored, "{fault:?}");
        }
    }

    #[test]
    fn damage_is_named_and_one_opener_at_a_time() {
        let (send, _told) = mpsc::channel();
        let memory = Memory::new(1);
        let mut journal = memory.open().unwrap();
        for _ in 0..3 {
            append(&mut journal, &send).unwrap();
        }
        assert!(matches!(memory.open(), Err(StoreError::Locked { .. })));
        memory.damage(Position(2));
        let read = journal.read(Position::START, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(read, Err(StoreError::Damaged { position: Some(Position(2)), .. })), "{read:?}");
        journal.save_fold(Position(3), b"x".to_vec());
        memory.truncate(Position(2));
        assert_eq!(journal.load_fold(), Ok(None));
    }
}
