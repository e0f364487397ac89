//! The hash chain: how a commit is hashed, and whether one follows from another.
//!
//! The encoding is canonical: fixed widths, big-endian, a length before everything that varies. It is part of
//! what is stored, so it never changes for a version once released; a new format gets a new version number.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Commit, NewCommit, Position, StoreError};

/// SHA-256.
pub type Hash = [u8; 32];

/// What the first commit has as the hash of its predecessor.
pub const NO_HASH: Hash = [0; 32];

/// The commit format that this program writes. It reads all up to this one.
pub const COMMIT_VERSION: u32 = 1;

/// The hash of a commit: SHA-256 over version, position, at, term, command, previous, events.
pub fn hash(commit: &Commit) -> Hash {
    let Commit { position, version, at, term, command, previous, hash: _, events } = commit;
    let mut sha = Sha256::new();
    sha.update(b"orchestrator commit\0");
    sha.update(version.to_be_bytes());
    sha.update(position.0.to_be_bytes());
    sha.update(at.0.to_be_bytes());
    sha.update(term.to_be_bytes());
    match command {
        None => sha.update([0]),
        Some(command) => {
            sha.update([1]);
            sha.update((command.len() as u64).to_be_bytes());
            sha.update(command);
        }
    }
    sha.update(previous);
    sha.update((events.len() as u64).to_be_bytes());
    sha.update(events);
    sha.finalize().into()
}

/// The end of a checked chain: where the next commit must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The last commit's position; 0 where there is none.
    pub position: Position,
    /// The last commit's hash; zeros where there is none.
    pub hash: Hash,
}

impl Tip {
    /// Before the first commit.
    pub const START: Tip = Tip { position: Position::START, hash: NO_HASH };

    /// Makes a commit that follows this tip, and moves the tip to it.
    pub fn extend(&mut self, commit: NewCommit) -> Commit {
        let NewCommit { at, term, command, events } = commit;
        let (position, version, previous) = (self.position.next(), COMMIT_VERSION, self.hash);
        let mut commit = Commit { position, version, at, term, command, previous, hash: NO_HASH, events };
        commit.hash = hash(&commit);
        *self = Tip { position, hash: commit.hash };
        commit
    }

    /// Checks that `commit` is whole and follows this tip, and moves the tip to it. Where it does not hold, the
    /// tip stays.
    pub fn follow(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let expected = self.position.next();
        let damaged = |position, what: String| Err(StoreError::Damaged { position: Some(position), what });
        if commit.position != expected {
            return damaged(expected, format!("it is missing, commit {} comes next", commit.position));
        }
        check(commit)?;
        if commit.previous != self.hash {
            let what = "it does not follow from the commit before it, which was changed, or it was".to_owned();
            return damaged(expected, what);
        }
        *self = Tip { position: expected, hash: commit.hash };
        Ok(())
    }
}

/// Checks a commit by itself: a known version, and content that matches its hash.
pub fn check(commit: &Commit) -> Result<(), StoreError> {
    let damaged = |what: String| Err(StoreError::Damaged { position: Some(commit.position), what });
    if commit.version == 0 || commit.version > COMMIT_VERSION {
        let version = commit.version;
        return damaged(format!("its format {version} is unknown to this program, which knows up to {COMMIT_VERSION}"));
    }
    if hash(commit) != commit.hash {
        return damaged("its content does not match its hash".to_owned());
    }
    Ok(())
}

/// A hash as 64 hexadecimal digits in lower case.
pub fn to_hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads what [`to_hex`] writes.
pub fn from_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut hash = NO_HASH;
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn new_commit(command: Option<&str>, events: &str) -> NewCommit {
        NewCommit { at: Timestamp(5), term: 7, command: command.map(str::to_owned), events: events.into() }
    }

    #[test]
    fn the_encoding_never_changes() {
        let mut tip = Tip::START;
        let first = tip.extend(new_commit(None, "[]"));
        let second = tip.extend(new_commit(Some("k"), r#"[{"a":1}]"#));
        // Written down once, and checked by a second implementation (Python's hashlib and struct).
        assert_eq!(to_hex(&first.hash), "332c73b8a83fbf1c7eda0c0aca82fe136542a612f3d242729421b2a3dfb9f86a");
        assert_eq!(to_hex(&second.hash), "9ad725b9a7f32e23ea08c7bf726168be00859ff1e46e52d23497d5ff557f65c2");
        assert_eq!(from_hex(&to_hex(&second.hash)), Some(second.hash));
        assert_eq!(second.previous, first.hash);
    }

    /// Whole, and of a program that is newer than this one: not read as if it were known, and not called changed.
    #[test]
    fn what_a_newer_program_wrote_is_refused_by_its_version() {
        let mut tip = Tip::START;
        let mut newer = tip.clone().extend(new_commit(None, "[]"));
        newer.version = COMMIT_VERSION + 1;
        newer.hash = hash(&newer);
        let refused = tip.follow(&newer).unwrap_err().to_string();
        assert!(refused.contains("its format 2 is unknown to this program, which knows up to 1"), "{refused}");
        assert_eq!(tip, Tip::START);
    }

    #[test]
    fn every_field_is_covered() {
        let mut tip = Tip::START;
        let first = tip.extend(new_commit(None, "[]"));
        let good = tip.extend(new_commit(Some("key"), "[1]"));
        let after_first = Tip { position: first.position, hash: first.hash };
        assert_eq!(after_first.clone().follow(&good), Ok(()));
        let changes: [fn(&mut Commit); 9] = [
            |commit| commit.position.0 += 1,
            |commit| commit.version = 0,
            |commit| commit.at.0 += 1,
            |commit| commit.term += 1,
            |commit| commit.command = None,
            |commit| commit.command = Some("kez".to_owned()),
            |commit| commit.previous[31] ^= 1,
            |commit| commit.hash[0] ^= 0x80,
            |commit| commit.events[1] = b'2',
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut commit = good.clone();
            change(&mut commit);
            let mut tip = after_first;
            let refused = tip.follow(&commit);
            assert!(
                matches!(refused, Err(StoreError::Damaged { position: Some(Position(2)), .. })),
                "change {index} went unnoticed: {refused:?}"
            );
            assert_eq!(tip, after_first);
        }
        // A whole commit of another history does not follow, although its own hash holds.
        let stranger = Tip { position: Position(1), hash: [9; 32] }.extend(new_commit(None, "[]"));
        assert!(after_first.clone().follow(&stranger).is_err());
    }

    #[test]
    fn only_our_hex_is_read() {
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert_eq!(from_hex(text), None, "{text:?} was taken for a hash");
        }
    }
}
