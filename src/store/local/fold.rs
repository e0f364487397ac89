//! The cached fold in a file of its own, `fold.bin`: losing or damaging it costs time and nothing else, so it is
//! never flushed and never in the way of a commit.
//!
//! Layout: magic, position (8 bytes), hash of the commit there (32), SHA-256 over those and the bytes (32), bytes.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::store::{Hash, Position, chain::Tip};

/// Another layout gets another number here, and then old files are foreign and ignored.
const MAGIC: &[u8; 16] = b"orc fold v1\0\0\0\0\0";
const HEADER_BYTES: usize = 16 + 8 + 32 + 32;

fn seal(head: &[u8], fold: &[u8]) -> Hash {
    Sha256::new().chain_update(head).chain_update(fold).finalize().into()
}

/// Replaces the fold in one step, so that a crash leaves the old one or the new one. The caller has made sure that
/// the commit at `tip` is durable.
pub(super) fn save(path: &Path, tip: Tip, fold: &[u8]) -> io::Result<()> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&tip.position.0.to_be_bytes());
    header.extend_from_slice(&tip.hash);
    let sealed = seal(&header, fold);
    header.extend_from_slice(&sealed);
    let beside = PathBuf::from(format!("{}.new", path.display()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&header)?;
        file.write_all(fold)?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // Half a file on a full disk is only in the way.
        let _ = fs::remove_file(&beside);
    })
}

/// The saved fold and the commit that it belongs to, if it is whole.
pub(super) fn load(path: &Path) -> Option<(Tip, Vec<u8>)> {
    let mut bytes = fs::read(path).ok()?;
    let (header, fold) = bytes.split_at_checked(HEADER_BYTES)?;
    let (head, sealed) = header.split_at(HEADER_BYTES - 32);
    if !head.starts_with(MAGIC) || seal(head, fold) != sealed {
        tracing::warn!(path = %path.display(), "the cached fold is damaged or foreign, and is ignored");
        return None;
    }
    let position = Position(u64::from_be_bytes(head[16..24].try_into().ok()?));
    let hash = head[24..56].try_into().ok()?;
    bytes.drain(..HEADER_BYTES);
    Some((Tip { position, hash }, bytes))
}
