//! What changed between two commits or trees: as data, as counted lines, as a patch. Nothing of a work tree.

use std::path::PathBuf;

use super::{Change, LaneError, Oid, Repo, Status, path_of};

/// What a result changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// The changed files, by path.
    pub files: Vec<FileChange>,
    /// Lines added in text files.
    pub insertions: u64,
    /// Lines removed in text files.
    pub deletions: u64,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Relative to the root.
    pub path: PathBuf,
    /// What happened to it; a rename is a deletion and an addition.
    pub status: Status,
    /// Lines added; none for a binary file.
    pub insertions: Option<u64>,
    /// Lines removed; none for a binary file.
    pub deletions: Option<u64>,
    /// Mode and object before and after.
    pub(super) sides: (Side, Side),
}

/// A changed file as text, on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// Relative to the root.
    pub path: String,
    /// Before; none where there was no file, or none that could be read as text.
    pub before: Option<String>,
    /// After.
    pub after: Option<String>,
    /// What could not be read: too long, or no text.
    pub unread: bool,
}

/// Longest file that is read as text.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Most that is read of one change.
const TEXTS_BYTES_MAX: u64 = 32 << 20;

/// One side of a change: mode and object; none where the path does not exist.
pub(super) type Side = Option<(u32, Oid)>;

/// A changed path with both sides.
#[derive(Debug, Clone)]
pub(super) struct TreeChange {
    pub path: PathBuf,
    pub old: Side,
    pub new: Side,
    pub status: Status,
}

impl TreeChange {
    pub fn plain(&self) -> Change {
        Change { path: self.path.clone(), status: self.status }
    }
}

impl Repo {
    /// The files of a commit, relative to the root (one process). Submodules are not files.
    pub fn files(&self, commit: &Oid) -> Result<Vec<PathBuf>, LaneError> {
        let output = self.bare_call(["ls-tree", "-r", "-z", "--name-only", commit.as_str()]).checked()?;
        Ok(super::fields(&output.stdout).map(super::path_of).collect())
    }

    /// The changes with their line counts (one process).
    pub fn diff(&self, base: &Oid, result: &Oid) -> Result<Diff, LaneError> {
        let output = self
            .bare_call([
                "diff-tree",
                "-r",
                "-z",
                "--no-renames",
                "--no-ext-diff",
                "--no-textconv",
                "--raw",
                "--numstat",
            ])
            .args(["--no-abbrev", base.as_str(), result.as_str()])
            .long()
            .checked()?;
        let (changes, rest) = read_raw(&output.stdout)?;
        let mut diff = Diff::default();
        let mut counts = std::collections::HashMap::new();
        for field in super::fields(rest) {
            let mut parts = field.splitn(3, |b| *b == b'\t');
            let (Some(added), Some(removed), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(LaneError::unexpected(format!("git numstat printed {:?}", String::from_utf8_lossy(field))));
            };
            let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
            counts.insert(path_of(path), (number(added), number(removed)));
        }
        for change in changes {
            let (insertions, deletions) = counts.get(&change.path).copied().unwrap_or_default();
            diff.insertions += insertions.unwrap_or(0);
            diff.deletions += deletions.unwrap_or(0);
            let sides = (change.old, change.new);
            diff.files.push(FileChange { path: change.path, status: change.status, insertions, deletions, sides });
        }
        Ok(diff)
    }

    /// The changed files as texts (2 processes). Links, submodules and what is too long are left out, and said so.
    pub fn texts(&self, diff: &Diff) -> Result<Vec<Texts>, LaneError> {
        let plain =
            |side: &Side| side.as_ref().filter(|(mode, _)| mode & 0o170_000 == 0o100_000).map(|(_, oid)| oid.clone());
        let sides = |file: &FileChange| [plain(&file.sides.0), plain(&file.sides.1)];
        let asked: Vec<String> = diff.files.iter().flat_map(sides).flatten().map(|oid| oid.to_string()).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let input = |oids: &[String]| (oids.join("\n") + "\n").into_bytes();
        let sizes =
            self.bare_call(["cat-file", "--batch-check=%(objectname) %(objectsize)"]).input(input(&asked)).checked()?;
        let mut left = TEXTS_BYTES_MAX;
        let mut wanted: Vec<String> = Vec::new();
        for line in String::from_utf8_lossy(&sizes.stdout).lines() {
            let Some((oid, size)) = line.split_once(' ').and_then(|(oid, size)| Some((oid, size.parse::<u64>().ok()?)))
            else {
                continue;
            };
            if size <= TEXT_BYTES_MAX.min(left) && !wanted.iter().any(|other| other == oid) {
                left -= size;
                wanted.push(oid.to_owned());
            }
        }
        let mut found = std::collections::HashMap::new();
        if !wanted.is_empty() {
            let output = self
                .bare_call(["cat-file", "--batch=%(objectname) %(objectsize)"])
                .input(input(&wanted))
                .long()
                .checked()?;
            let mut rest = output.stdout.as_slice();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let head = String::from_utf8_lossy(&rest[..end]).into_owned();
                let odd = || LaneError::unexpected(format!("git cat-file printed {head:?}"));
                let (oid, size) = head.split_once(' ').ok_or_else(odd)?;
                let size: usize = size.parse().map_err(|_| odd())?;
                let content = rest.get(end + 1..end + 1 + size).ok_or_else(odd)?;
                let text = std::str::from_utf8(content).ok().filter(|text| !text.contains('\0'));
                found.insert(oid.to_owned(), text.map(str::to_owned));
                rest = rest.get(end + 2 + size..).unwrap_or_default();
            }
        }
        let texts = diff.files.iter().map(|file| {
            let [before, after] = sides(file).map(|oid| oid.map(|oid| found.get(oid.as_str()).cloned().flatten()));
            let unread = [&before, &after].into_iter().any(|side| matches!(side, Some(None)));
            let path = file.path.to_string_lossy().into_owned();
            Texts { path, before: before.flatten(), after: after.flatten(), unread }
        });
        Ok(texts.collect())
    }

    /// The changes as a patch (one process). Without colour it is complete, binary files included, for `git apply`.
    pub fn patch(&self, base: &Oid, result: &Oid, color: bool) -> Result<Vec<u8>, LaneError> {
        let form = if color { "--color=always" } else { "--binary" };
        let call = self
            .bare_call(["diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--full-index", form])
            .args([base.as_str(), result.as_str()]);
        Ok(call.long().checked()?.stdout)
    }

    /// The changed paths with modes and objects (one process).
    pub(super) fn tree_changes(&self, old: &Oid, new: &Oid) -> Result<Vec<TreeChange>, LaneError> {
        if old == new {
            return Ok(Vec::new());
        }
        let call = self.bare_call(["diff-tree", "-r", "-z", "--no-renames", "--raw", "--no-abbrev", "--full-index"]);
        let output = call.args([old.as_str(), new.as_str()]).checked()?;
        Ok(read_raw(&output.stdout)?.0)
    }
}

/// Reads `--raw -z`: `:oldmode newmode oldoid newoid S\0path\0`; returns what follows it.
pub(super) fn read_raw(mut bytes: &[u8]) -> Result<(Vec<TreeChange>, &[u8]), LaneError> {
    let mut changes = Vec::new();
    while bytes.first() == Some(&b':') {
        let odd = || LaneError::unexpected("git diff-tree printed an entry we do not understand");
        let mut parts = bytes[1..].splitn(3, |b| *b == 0);
        let (head, path, rest) =
            (parts.next().ok_or_else(odd)?, parts.next().ok_or_else(odd)?, parts.next().ok_or_else(odd)?);
        let head = std::str::from_utf8(head).map_err(|_| odd())?;
        let words: Vec<&str> = head.split(' ').collect();
        let [old_mode, new_mode, old, new, letter] = words[..] else { return Err(odd()) };
        let side = |mode: &str, oid: &str| -> Result<Side, LaneError> {
            let mode = u32::from_str_radix(mode, 8).map_err(|_| odd())?;
            Ok(if mode == 0 { None } else { Some((mode, oid.parse()?)) })
        };
        let status = match letter.as_bytes().first() {
            Some(b'A') => Status::Added,
            Some(b'M') => Status::Modified,
            Some(b'D') => Status::Deleted,
            Some(b'T') => Status::TypeChanged,
            _ => return Err(odd()),
        };
        changes.push(TreeChange { path: path_of(path), old: side(old_mode, old)?, new: side(new_mode, new)?, status });
        bytes = rest;
    }
    Ok((changes, bytes))
}
