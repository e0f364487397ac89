//! What every journal must do, as one suite run against each backend.
//!
//! It is not compiled for tests only, so that the integration tests and later backends can run it. It panics
//! with a message where a backend does not conform. Faults are the backends' own tests.

use std::{
    ops::ControlFlow,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use super::{AppendError, Commit, Journal, NO_HASH, NewCommit, Position, StoreError, Urgency, chain};
use crate::time::Timestamp;

/// Far more than any disk needs; only a broken backend runs into it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the suite. Each call of `open` opens the same journal, which is empty at first; the suite drops the last one
/// before it opens the next.
///
/// # Panics
/// Where the backend does not conform.
pub fn conformance(mut open: impl FnMut() -> Box<dyn Journal>) {
    starts_empty(&mut *open());
    appends_in_order(&mut *open());
    refuses_conflicts_and_nonsense(&mut *open());
    keeps_what_was_acknowledged(&mut open);
    reads_from_anywhere(&mut *open());
    lets_soon_commits_reach_the_disk(&mut *open());
    keeps_odd_values(&mut open);
    keeps_big_commits(&mut open);
    keeps_folds(&mut open);
    reads_many(&mut open);
}

fn commit(number: u64) -> NewCommit {
    let command = number.is_multiple_of(3).then(|| format!("request-{number}"));
    let events = format!(r#"[{{"event":"counted","number":{number}}}]"#).into_bytes();
    NewCommit { at: Timestamp(1_795_000_000_000 + number), term: 1 + number / 7, command, events }
}

/// Whether a stored commit is what was appended.
fn same(stored: &Commit, new: &NewCommit) -> bool {
    (stored.at, stored.term, &stored.command, &stored.events) == (new.at, new.term, &new.command, &new.events)
}

type Told = Receiver<(Position, Result<Position, StoreError>)>;

/// Appends without waiting; the receiver hears each callback with the position it was made for.
fn append_all(journal: &mut dyn Journal, commits: impl IntoIterator<Item = NewCommit>, urgency: Urgency) -> Told {
    let (send, told) = mpsc::channel();
    for commit in commits {
        let (send, head) = (send.clone(), journal.head());
        let durable = Box::new(move |result| send.send((head.next(), result)).expect("a callback came too late"));
        assert_eq!(journal.append(head, commit, urgency, durable), Ok(head.next()), "an append was refused");
        assert_eq!(journal.head(), head.next());
    }
    told
}

/// Waits for all callbacks: exactly one each, in order, then nothing.
fn await_all(told: Told, count: u64) {
    let mut last = None;
    for _ in 0..count {
        let (position, result) = told.recv_timeout(PATIENCE).expect("a callback was never called");
        assert_eq!(result, Ok(position), "a callback was told another position");
        assert!(last.is_none_or(|last: Position| last.next() == position), "{position} came after {last:?}");
        last = Some(position);
    }
    assert!(told.recv_timeout(PATIENCE).is_err(), "a callback was called twice");
}

fn read_all(journal: &dyn Journal, after: Position) -> Vec<Commit> {
    let mut commits = Vec::new();
    let read = journal.read(after, &mut |commit| {
        commits.push(commit);
        ControlFlow::Continue(())
    });
    assert_eq!(read, Ok(()), "a good journal could not be read");
    commits
}

fn starts_empty(journal: &mut dyn Journal) {
    assert_eq!(journal.head(), Position::START, "the suite needs an empty journal");
    assert_eq!(read_all(journal, Position::START), []);
    assert_eq!(journal.load_fold(), Ok(None));
    journal.flush();
}

fn appends_in_order(journal: &mut dyn Journal) {
    let told = append_all(journal, (1..=200).map(commit), Urgency::Now);
    await_all(told, 200);
    let commits = read_all(journal, Position::START);
    assert_eq!(commits.len(), 200);
    let mut previous = NO_HASH;
    for (number, stored) in (1..).zip(&commits) {
        assert_eq!(stored.position, Position(number));
        assert!(same(stored, &commit(number)), "commit {number} was stored as {stored:?}");
        assert_eq!((stored.previous, stored.hash), (previous, chain::hash(stored)), "commit {number} breaks the chain");
        previous = stored.hash;
    }
}

fn refuses_conflicts_and_nonsense(journal: &mut dyn Journal) {
    let head = journal.head();
    let never = || Box::new(|_: Result<Position, StoreError>| panic!("a refused commit was called back"));
    for expected in [Position(head.0 - 1), Position(head.0 + 1), Position::START, Position(u64::MAX)] {
        let refused = journal.append(expected, commit(0), Urgency::Now, never());
        assert_eq!(refused, Err(AppendError::Conflict { expected, head }));
    }
    for events in ["", "[", "]", "{}", "[1,]", "[1]\n", "[1\n,2]", " [1]", "[1] ", "[1][2]", "null", "[\"\u{1}\"]"] {
        let refused = journal.append(head, NewCommit { events: events.into(), ..commit(0) }, Urgency::Now, never());
        assert!(matches!(refused, Err(AppendError::Refused { .. })), "{events:?} was taken: {refused:?}");
    }
    let refused =
        journal.append(head, NewCommit { events: b"[\"\xff\"]".to_vec(), ..commit(0) }, Urgency::Now, never());
    assert!(matches!(refused, Err(AppendError::Refused { .. })), "bytes that are no text were taken: {refused:?}");
    assert_eq!(journal.head(), head, "a refusal moved the head");
    // And none of it is sticky.
    let told = append_all(journal, [commit(head.0 + 1)], Urgency::Now);
    await_all(told, 1);
}

fn keeps_what_was_acknowledged(open: &mut impl FnMut() -> Box<dyn Journal>) {
    let mut journal = open();
    let before = read_all(&*journal, Position::START);
    let head = journal.head();
    assert_eq!(before.len() as u64, head.0);
    // Nobody waits for these: a clean end flushes them and calls their callbacks.
    let told = append_all(&mut *journal, (1..=50).map(|number| commit(head.0 + number)), Urgency::Soon);
    drop(journal);
    await_all(told, 50);
    let journal = open();
    assert_eq!(journal.head(), Position(head.0 + 50));
    let after = read_all(&*journal, Position::START);
    assert_eq!(after[..before.len()], before[..], "opening again changed history");
    assert_eq!(after.len() as u64, head.0 + 50);
}

fn reads_from_anywhere(journal: &mut dyn Journal) {
    let all = read_all(journal, Position::START);
    let head = journal.head();
    for after in [0, 1, 7, head.0 - 1, head.0] {
        assert_eq!(read_all(journal, Position(after)), all[after as usize..]);
    }
    assert_eq!(read_all(journal, Position(head.0 + 1)), []);
    assert_eq!(read_all(journal, Position(u64::MAX)), []);
    let mut seen = 0;
    let read = journal.read(Position::START, &mut |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((read, seen), (Ok(()), 3), "reading did not stop when asked");
}

fn lets_soon_commits_reach_the_disk(journal: &mut dyn Journal) {
    let head = journal.head().0;
    // By themselves, hurried along, and in company that is in a hurry.
    let told = append_all(journal, [commit(head + 1)], Urgency::Soon);
    await_all(told, 1);
    let told = append_all(journal, [commit(head + 2), commit(head + 3)], Urgency::Soon);
    journal.flush();
    await_all(told, 2);
    let soon = append_all(journal, [commit(head + 4)], Urgency::Soon);
    let now = append_all(journal, [commit(head + 5)], Urgency::Now);
    await_all(now, 1);
    assert!(soon.try_recv().is_ok(), "a later commit became durable before an earlier one");
}

fn keeps_odd_values(open: &mut impl FnMut() -> Box<dyn Journal>) {
    let odd = [
        NewCommit { at: Timestamp(0), term: 0, command: Some(String::new()), events: b"[]".to_vec() },
        NewCommit { at: Timestamp(u64::MAX), term: u64::MAX, command: None, events: b"[null]".to_vec() },
        NewCommit {
            at: Timestamp(i64::MAX as u64 + 1),
            term: i64::MAX as u64,
            command: Some("a'b\"c\0d\ne\u{1f980}".to_owned()),
            events: "[\"\\u0000\\n\u{1f980}\", 1e400 , 12345678901234567890123 ]".into(),
        },
    ];
    let mut journal = open();
    let head = journal.head();
    let told = append_all(&mut *journal, odd.clone(), Urgency::Now);
    await_all(told, 3);
    drop(journal);
    for (stored, odd) in read_all(&*open(), head).iter().zip(&odd) {
        assert!(same(stored, odd), "{odd:?} was stored as {stored:?}");
    }
}

fn keeps_big_commits(open: &mut impl FnMut() -> Box<dyn Journal>) {
    let events = |letter: &str| format!("[\"{}\"]", letter.repeat(5_000_000)).into_bytes();
    let big = ["a", "b"].map(|letter| NewCommit { events: events(letter), ..commit(1) });
    let mut journal = open();
    let head = journal.head();
    let told = append_all(&mut *journal, [big[0].clone(), commit(2), big[1].clone()], Urgency::Now);
    await_all(told, 3);
    drop(journal);
    let stored = read_all(&*open(), head);
    assert!(
        same(&stored[0], &big[0]) && same(&stored[1], &commit(2)) && same(&stored[2], &big[1]),
        "a big commit changed"
    );
    let huge = NewCommit { events: vec![b'['; super::EVENTS_BYTES_MAX + 1], ..commit(1) };
    assert!(huge.check().is_err());
}

fn keeps_folds(open: &mut impl FnMut() -> Box<dyn Journal>) {
    let mut journal = open();
    let head = journal.head();
    journal.save_fold(head, b"at the head".to_vec());
    drop(journal);
    let mut journal = open();
    assert_eq!(journal.load_fold(), Ok(Some((head, b"at the head".to_vec()))), "a fold was forgotten");
    // Ahead of the head is a mistake, and leaves the good one.
    journal.save_fold(head.next(), b"ahead".to_vec());
    // Saved while its commit is still queued: kept once that is durable, as a clean end makes it.
    drop(journal);
    let mut journal = open();
    assert_eq!(journal.load_fold(), Ok(Some((head, b"at the head".to_vec()))), "a fold ahead of the journal was kept");
    let told = append_all(&mut *journal, [commit(1), commit(2)], Urgency::Soon);
    journal.save_fold(head.next(), Vec::new());
    journal.save_fold(journal.head(), vec![0; 3_000_000]);
    drop(journal);
    await_all(told, 2);
    let mut journal = open();
    assert_eq!(journal.load_fold(), Ok(Some((Position(head.0 + 2), vec![0; 3_000_000]))), "the newer fold was lost");
    // An older one may replace it: it is the caller's cache.
    journal.save_fold(head, b"older".to_vec());
    let told = append_all(&mut *journal, [commit(3)], Urgency::Now);
    await_all(told, 1);
    drop(journal);
    assert_eq!(open().load_fold(), Ok(Some((head, b"older".to_vec()))));
}

fn reads_many(open: &mut impl FnMut() -> Box<dyn Journal>) {
    const MANY: u64 = 100_000;
    let mut journal = open();
    let head = journal.head();
    let told = append_all(&mut *journal, (1..=MANY).map(commit), Urgency::Now);
    await_all(told, MANY);
    drop(journal);
    let journal = open();
    let mut number = 0;
    let read = journal.read(head, &mut |stored| {
        number += 1;
        assert!(same(&stored, &commit(number)), "commit {number} of many was stored as {stored:?}");
        ControlFlow::Continue(())
    });
    assert_eq!((read, number), (Ok(()), MANY));
}
