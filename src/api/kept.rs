//! Answers that are kept for as long as they hold, so that what nobody changed is not asked and computed again.
//!
//! Invariant: what is taken out is what the daemon would answer now. Two things can make an answer untrue: a change of
//! the workspace, which moves the count that it was made at ([`super::count`]); and time, so an answer in which the
//! clock was looked at, or that rests on what was found elsewhere, has an end.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The calls whose answers may be kept. Each is one look at the state.
pub const READS: &[&str] = &["get_task_status", "get_state", "get_pending_decisions", "list_runs"];

/// Calls that change nothing and may be under way for long; whoever waits in one may read meanwhile. Any other call may
/// change something, and what the same client reads after it must not be older than it.
pub const WAITS: &[&str] = &["wait_for_change", "subscribe_events"];

/// Answers that are kept at once.
const ANSWERS_MAX: usize = 64;

/// Bytes of them.
const BYTES_MAX: usize = 1 << 20;

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// While the count of changes is this.
    pub count: u64,
    /// And not longer than this, where it rests on what nobody tells us of: the time, and which programs there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

struct Answer {
    bytes: Arc<[u8]>,
    holds: Holds,
    since: Timestamp,
}

/// What one holder keeps.
#[derive(Default)]
pub struct Kept {
    answers: HashMap<Arc<str>, Answer>,
    /// Oldest first. Each key once.
    order: VecDeque<Arc<str>>,
    bytes: usize,
}

impl Kept {
    /// The answer to this, if it holds, and for how long it will. `now` is asked for only where it matters.
    pub fn get(&self, key: &str, count: u64, now: impl Fn() -> Timestamp) -> Option<(Arc<[u8]>, Holds)> {
        let answer = self.answers.get(key).filter(|answer| answer.holds.count == count)?;
        let left = match answer.holds.ms {
            None => None,
            Some(ms) => {
                // A clock that was put back says nothing about age.
                let age = now().0.checked_sub(answer.since.0)?;
                Some(ms.checked_sub(age).filter(|left| *left > 0)?)
            }
        };
        Some((answer.bytes.clone(), Holds { count, ms: left }))
    }

    /// Keeps an answer. What was made at another count is let go of: it can never hold again.
    pub fn put(&mut self, key: &str, holds: Holds, now: Timestamp, bytes: &[u8]) {
        if bytes.len() + key.len() > BYTES_MAX / 4 {
            return;
        }
        if self.answers.values().next().is_some_and(|other| other.holds.count != holds.count) {
            *self = Kept::default();
        }
        let key: Arc<str> = key.into();
        let size = |key: &str, answer: &Answer| key.len() + answer.bytes.len();
        let answer = Answer { bytes: bytes.into(), holds, since: now };
        self.bytes += size(&key, &answer);
        match self.answers.insert(key.clone(), answer) {
            Some(before) => self.bytes -= size(&key, &before),
            None => self.order.push_back(key),
        }
        while self.answers.len() > ANSWERS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(answer) = self.answers.remove(&oldest) {
                self.bytes -= size(&oldest, &answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(count: u64) -> Holds {
        Holds { count, ms: None }
    }

    fn bytes(kept: &Kept, key: &str, count: u64) -> Option<Vec<u8>> {
        kept.get(key, count, never).map(|(bytes, _)| bytes.to_vec())
    }

    fn never() -> Timestamp {
        panic!("the clock does not matter here")
    }

    #[test]
    fn an_answer_holds_until_the_count_moves() {
        let mut kept = Kept::default();
        kept.put("a", at(7), Timestamp(0), b"one");
        assert_eq!(bytes(&kept, "a", 7).as_deref(), Some(b"one".as_slice()));
        assert_eq!((bytes(&kept, "a", 8), bytes(&kept, "b", 7)), (None, None));
        kept.put("b", at(8), Timestamp(0), b"two");
        assert_eq!(bytes(&kept, "a", 7), None, "what can never hold again is gone");
        kept.put("b", at(8), Timestamp(0), b"three");
        assert_eq!(bytes(&kept, "b", 8).as_deref(), Some(b"three".as_slice()));
        assert_eq!((kept.order.len(), kept.bytes), (1, 6));
    }

    #[test]
    fn what_rests_on_time_ends_with_it() {
        let mut kept = Kept::default();
        kept.put("a", Holds { count: 1, ms: Some(500) }, Timestamp(1_000), b"one");
        let left = |now: u64| kept.get("a", 1, || Timestamp(now)).and_then(|(_, holds)| holds.ms);
        assert_eq!((left(1_000), left(1_499)), (Some(500), Some(1)));
        assert_eq!((left(1_500), left(999)), (None, None), "too old, and a clock that was put back");
    }

    #[test]
    fn it_is_bounded_in_number_and_bytes() {
        let mut kept = Kept::default();
        for number in 0..10 * ANSWERS_MAX {
            kept.put(&number.to_string(), at(1), Timestamp(0), b"small");
        }
        assert_eq!((kept.answers.len(), kept.order.len()), (ANSWERS_MAX, ANSWERS_MAX));
        assert!(bytes(&kept, "0", 1).is_none() && bytes(&kept, "639", 1).is_some());
        for number in 0..20 {
            kept.put(&format!("large {number}"), at(1), Timestamp(0), &vec![b'x'; BYTES_MAX / 8]);
            assert!(kept.bytes <= BYTES_MAX);
        }
        assert_eq!(kept.bytes, kept.answers.iter().map(|(key, answer)| key.len() + answer.bytes.len()).sum::<usize>());
        kept.put("too large", at(1), Timestamp(0), &vec![b'x'; BYTES_MAX]);
        assert!(bytes(&kept, "too large", 1).is_none());
    }
}
