//! Checking a journal, and moving it as text: `journal verify`, `journal export`, `journal import`.
//!
//! An export is JSON lines, one commit a line, with its hashes, so that what is imported can be shown to be what was
//! exported. Verify and export only read and need no lock: they work beside a live daemon. Nothing here mends.

use std::{
    io::{self, BufRead, Write},
    ops::ControlFlow,
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Commit, Hash, NO_HASH, NewCommit, Position, StoreError,
    chain::{self, Tip},
    local::{
        self, acknowledged,
        table::{BadRow, Table},
    },
};
use crate::time::Timestamp;

/// An intact journal, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many commits there are.
    pub commits: u64,
    /// The last commit's position.
    pub head: Position,
    /// When the first commit was decided; `None` in an empty journal.
    pub first_at: Option<Timestamp>,
    /// When the last commit was decided.
    pub last_at: Option<Timestamp>,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Intact commits written.
    pub commits: u64,
    /// What was not intact, in order. Empty for an intact journal.
    pub damaged: Vec<Damage>,
}

/// A stretch of commits that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The first commit concerned.
    pub from: Position,
    /// The last commit concerned; `None` where nobody can say how many there were.
    pub to: Option<Position>,
    /// What is wrong.
    pub what: String,
}

/// One line of an export of an intact commit. Numbers are written as they are hashed; `events` is JSON as it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    position: Position,
    version: u32,
    /// Milliseconds since 1970, which no rounding touches.
    at: Timestamp,
    term: u64,
    command: Option<String>,
    previous: String,
    hash: String,
    #[serde(borrow)]
    events: &'a RawValue,
}

/// One line in place of commits that do not hold, with what can be seen of them.
#[derive(Serialize)]
struct DamagedLine<'a> {
    position: Position,
    to: Option<Position>,
    damaged: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<Remains>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// A row that has the shape of a commit, but does not match its hash or its place.
#[derive(Serialize)]
struct Remains {
    version: u32,
    at: Timestamp,
    term: u64,
    command: Option<String>,
    previous: String,
    hash: String,
    /// As text, since it may be no JSON any more.
    events: String,
}

fn open(dir: &Path) -> Result<Table, StoreError> {
    let path = local::file(dir);
    let missing = || StoreError::Io { what: format!("there is no journal in {}", dir.display()) };
    Table::open_reader(&path)?.ok_or_else(missing)
}

/// Hands out every intact commit in order, beside a live daemon or without one.
///
/// # Errors
/// [`StoreError::Damaged`] with the first position that does not hold; everything before it was handed out.
pub fn read(dir: &Path, each: &mut dyn FnMut(Commit) -> ControlFlow<()>) -> Result<(), StoreError> {
    local::read(&open(dir)?, Position::START, each)
}

/// Reads the whole journal: the file's structure, each commit's hash, the chain, and that no acknowledged commit is
/// gone from its end.
///
/// # Errors
/// [`StoreError::Damaged`] with the first position that does not hold; others where it cannot be read at all.
pub fn verify(dir: &Path) -> Result<Verified, StoreError> {
    // The mark first: a live daemon may move both, and the journal moves before its mark.
    let marked = acknowledged::marked(&local::mark_file(dir));
    let table = open(dir)?;
    let mut verified = Verified { commits: 0, head: Position::START, first_at: None, last_at: None };
    local::read(&table, Position::START, &mut |commit| {
        verified.commits += 1;
        verified.head = commit.position;
        verified.first_at.get_or_insert(commit.at);
        verified.last_at = Some(commit.at);
        ControlFlow::Continue(())
    })?;
    acknowledged::check(&local::mark_file(dir), Some(&table), marked)?;
    match table.integrity()? {
        None => Ok(verified),
        Some(what) => Err(StoreError::Damaged { position: None, what }),
    }
}

/// Writes every commit that can be read to `out`, one JSON line each, and a line with `damaged` in place of what does
/// not hold. Works on a damaged journal and beside a live daemon.
///
/// # Errors
/// Where the file cannot be opened as a database at all, or `out` cannot be written ([`StoreError::Io`]).
pub fn export(dir: &Path, out: &mut dyn Write) -> Result<Exported, StoreError> {
    // As in `verify`: the mark first.
    let marked = acknowledged::marked(&local::mark_file(dir));
    let table = open(dir)?;
    let mut export = Export { out, tip: Tip::START, exported: Exported { commits: 0, damaged: Vec::new() } };
    loop {
        let mut written = Ok(());
        let ended = table.rows(export.tip.position, &mut |row| {
            written = export.row(row);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written.map_err(|error| out_failed(&error))?;
        let Err(error) = ended else { break };
        // A page cannot be read. Single rows behind it may be: their keys lead there by another way.
        let from = export.tip.position.next();
        let last = table.last().ok().flatten().map(|row| row.map_or_else(|row| row.position, |commit| commit.position));
        let end = last.map_or(from.0.saturating_add(table.rows_max()), |last| last.0);
        let found = (from.0..=end).find_map(|position| table.row(Position(position)).ok().flatten());
        let to = match &found {
            Some(Ok(commit)) => Some(Position(commit.position.0 - 1)),
            Some(Err(row)) => Some(Position(row.position.0 - 1)),
            None => last,
        };
        export.gap(from, to, &error.to_string()).map_err(|error| out_failed(&error))?;
        match found {
            Some(row) => export.row(row).map_err(|error| out_failed(&error))?,
            None => break,
        }
    }
    // A flipped bit in the write-ahead log ends it there without a word; what was acknowledged behind it is gone.
    if let Some(marked) = marked.filter(|marked| marked.position > export.tip.position) {
        let lost = export.gap(export.tip.position.next(), Some(marked.position), "gone from the end");
        lost.map_err(|error| out_failed(&error))?;
    }
    export.out.flush().map_err(|error| out_failed(&error))?;
    Ok(export.exported)
}

fn out_failed(error: &io::Error) -> StoreError {
    StoreError::Io { what: format!("the export could not be written: {error}") }
}

struct Export<'a> {
    out: &'a mut dyn Write,
    /// The last row seen, good or bad; what follows it is compared with its stored hash.
    tip: Tip,
    exported: Exported,
}

impl Export<'_> {
    fn row(&mut self, row: Result<Commit, BadRow>) -> io::Result<()> {
        let position = row.as_ref().map_or_else(|row| row.position, |commit| commit.position);
        let expected = self.tip.position.next();
        if position > expected {
            self.gap(expected, Some(Position(position.0 - 1)), "missing")?;
        }
        let commit = match row {
            Ok(commit) => commit,
            Err(BadRow { position, what, text }) => {
                self.tip = Tip { position, hash: NO_HASH };
                return self.damaged(position, Some(position), &what, None, text.as_deref());
            }
        };
        // After a gap or a row without shape the predecessor's hash is unknown, and the commit's own must do.
        let follows = self.tip.position == Position::START || self.tip.hash != NO_HASH;
        let previous = if follows { self.tip.hash } else { commit.previous };
        let mut before = Tip { position: Position(position.0 - 1), hash: previous };
        let held = before.follow(&commit);
        self.tip = Tip { position, hash: commit.hash };
        let events = str::from_utf8(&commit.events).ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        match (held, events) {
            (Ok(()), Some(events)) => {
                let Commit { position, version, at, term, command, previous, hash, .. } = &commit;
                let (previous, hash) = (chain::to_hex(previous), chain::to_hex(hash));
                let command = command.clone();
                let line = Line {
                    position: *position,
                    version: *version,
                    at: *at,
                    term: *term,
                    command,
                    previous,
                    hash,
                    events,
                };
                self.exported.commits += 1;
                self.line(&line)
            }
            (held, _) => {
                let what = match held {
                    Err(StoreError::Damaged { what, .. }) => what,
                    Err(error) => error.to_string(),
                    Ok(()) => "its events are not JSON".to_owned(),
                };
                let remains = Remains {
                    version: commit.version,
                    at: commit.at,
                    term: commit.term,
                    command: commit.command,
                    previous: chain::to_hex(&commit.previous),
                    hash: chain::to_hex(&commit.hash),
                    events: String::from_utf8_lossy(&commit.events).into_owned(),
                };
                self.damaged(position, Some(position), &what, Some(remains), None)
            }
        }
    }

    /// Notes that the commits from `from` to `to` are not there to be read.
    fn gap(&mut self, from: Position, to: Option<Position>, what: &str) -> io::Result<()> {
        self.tip = Tip { position: to.unwrap_or(from).max(self.tip.position), hash: NO_HASH };
        self.damaged(from, to, what, None, None)
    }

    fn damaged(
        &mut self,
        from: Position,
        to: Option<Position>,
        what: &str,
        commit: Option<Remains>,
        text: Option<&str>,
    ) -> io::Result<()> {
        self.exported.damaged.push(Damage { from, to, what: what.to_owned() });
        self.line(&DamagedLine { position: from, to, damaged: what, commit, text })
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

/// Makes the journal in `dir`, which must be missing or empty, from an export of an intact journal. All or nothing:
/// the chain is checked line by line, and one transaction stores it.
///
/// # Errors
/// [`StoreError::NotEmpty`]; [`StoreError::Damaged`] with the line that does not hold; what opening a journal may say.
pub fn import(dir: &Path, input: &mut dyn BufRead) -> Result<Verified, StoreError> {
    let mut commits = Vec::new();
    let mut tip = Tip::START;
    for (number, line) in (1..).zip(input.lines()) {
        let line: String =
            line.map_err(|error| StoreError::Io { what: format!("line {number} of the import: {error}") })?;
        let commit = parse(&line).map_err(|what| StoreError::Damaged {
            position: Some(tip.position.next()),
            what: format!("line {number} of the import: {what}"),
        })?;
        tip.follow(&commit)?;
        commits.push(commit);
    }
    local::import(dir, &commits)?;
    Ok(Verified {
        commits: commits.len() as u64,
        head: tip.position,
        first_at: commits.first().map(|commit| commit.at),
        last_at: commits.last().map(|commit| commit.at),
    })
}

fn parse(line: &str) -> Result<Commit, String> {
    let parsed: Line = serde_json::from_str(line).map_err(|error| {
        let marked = serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.get("damaged").is_some());
        if marked {
            "it marks a damaged commit, and only intact journals are imported".to_owned()
        } else {
            error.to_string()
        }
    })?;
    let Line { position, version, at, term, command, previous, hash, events } = parsed;
    let hex = |text: &str| -> Result<Hash, String> {
        chain::from_hex(text).ok_or_else(|| format!("{text:?} is not a hash of 64 hexadecimal digits"))
    };
    let new = NewCommit { at, term, command, events: events.get().as_bytes().to_vec() };
    new.check().map_err(|error| error.to_string())?;
    let NewCommit { command, events, .. } = new;
    Ok(Commit { position, version, at, term, command, previous: hex(&previous)?, hash: hex(&hash)?, events })
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;
    use crate::store::{Journal, Urgency, local::Local};

    fn store(journal: &mut Local, count: u64) {
        let (send, told) = mpsc::channel();
        for number in 1..=count {
            let send = send.clone();
            let events = format!(r#"[{{"n":{number},"text":"{}"}}]"#, "é\\n".repeat(100)).into_bytes();
            let command = number.is_multiple_of(2).then(|| format!("key \"{number}\""));
            let commit = NewCommit { at: Timestamp(1000 + number), term: u64::MAX, command, events };
            journal
                .append(journal.head(), commit, Urgency::Now, Box::new(move |result| send.send(result).unwrap()))
                .unwrap();
        }
        drop(send);
        assert!(told.iter().all(|result| result.is_ok()));
    }

    fn exported(dir: &Path) -> (Exported, Vec<serde_json::Value>, String) {
        let mut out = Vec::new();
        let exported = export(dir, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (exported, lines, text)
    }

    #[test]
    fn export_and_import_are_inverse_beside_a_live_journal() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut journal = local::open(from.path()).unwrap();
        assert_eq!(verify(from.path()).unwrap().commits, 0);
        store(&mut journal, 30);
        let (report, lines, text) = exported(from.path());
        assert_eq!((report.commits, report.damaged, lines.len()), (30, vec![], 30));
        assert_eq!(lines[1]["command"], "key \"2\"");
        let verified = verify(from.path()).unwrap();
        let expected = Verified {
            commits: 30,
            head: Position(30),
            first_at: Some(Timestamp(1001)),
            last_at: Some(Timestamp(1030)),
        };
        assert_eq!(verified, expected);

        assert_eq!(import(to.path(), &mut text.as_bytes()), Ok(expected));
        assert_eq!(verify(to.path()), Ok(expected));
        assert_eq!(exported(to.path()).2, text);
        // And it goes on from there.
        store(&mut local::open(to.path()).unwrap(), 1);
        assert_eq!(verify(to.path()).unwrap().commits, 31);
        let again = import(to.path(), &mut text.as_bytes());
        assert_eq!(again, Err(StoreError::NotEmpty { path: local::file(to.path()) }));
        let locked = import(from.path(), &mut text.as_bytes());
        assert!(matches!(locked, Err(StoreError::Locked { .. })), "{locked:?}");
    }

    #[test]
    fn an_import_that_does_not_hold_leaves_nothing() {
        let from = tempfile::tempdir().unwrap();
        store(&mut local::open(from.path()).unwrap(), 5);
        let text = exported(from.path()).2;
        let lines: Vec<&str> = text.lines().collect();
        let without = [&lines[..2], &lines[3..]].concat().join("\n");
        let damaged = r#"{"position":1,"to":2,"damaged":"it is torn"}"#;
        for (input, position, hint) in [
            (without.as_str(), 3, "missing"),
            (&text.replace("\"n\":4", "\"n\":5"), 4, "does not match its hash"),
            (&text.replace("\"term\"", "\"turn\""), 1, "unknown field `turn`"),
            (&text[..text.len() - 5], 5, "line 5"),
            (damaged, 1, "only intact journals"),
            ("\n", 1, "line 1"),
        ] {
            let to = tempfile::tempdir().unwrap();
            let refused = import(to.path(), &mut input.as_bytes()).unwrap_err();
            assert!(
                matches!(&refused, StoreError::Damaged { position: Some(at), .. } if at.0 == position),
                "{refused}"
            );
            assert!(refused.to_string().contains(hint), "{refused}");
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "{hint}: something was made");
        }
    }

    #[test]
    fn a_damaged_journal_is_exported_as_far_as_it_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        store(&mut local::open(dir.path()).unwrap(), 60);
        let good = fs::read(local::file(dir.path())).unwrap();
        let page_bytes = 4096;
        assert!(good.len() > 8 * page_bytes, "too small to lose a page of it");

        // One byte of one commit.
        let needle = br#"[{"n":17,"#;
        let at = good.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut bytes = good.clone();
        bytes[at + 7] = b'8';
        fs::write(local::file(dir.path()), &bytes).unwrap();
        let (report, lines, _) = exported(dir.path());
        assert_eq!((report.commits, lines.len(), report.damaged.len()), (59, 60, 1), "{:?}", report.damaged);
        assert_eq!((report.damaged[0].from, report.damaged[0].to), (Position(17), Some(Position(17))));
        assert!(lines[16]["commit"]["events"].as_str().unwrap().starts_with(r#"[{"n":18,"#), "{}", lines[16]);
        assert!(verify(dir.path()).unwrap_err().to_string().contains("commit 17"));

        // Each page in turn overwritten: whatever was not on it is still there, and nothing is called intact that is not.
        let mut most_saved = 0;
        for page in 1..good.len() / page_bytes {
            let mut bytes = good.clone();
            bytes[page * page_bytes..(page + 1) * page_bytes].fill(0xa5);
            fs::write(local::file(dir.path()), &bytes).unwrap();
            assert!(verify(dir.path()).is_err(), "page {page} is gone and nobody noticed");
            let (report, lines, _) = exported(dir.path());
            assert!(!report.damaged.is_empty());
            let intact: Vec<_> = lines.iter().filter(|line| line.get("damaged").is_none()).collect();
            assert_eq!(intact.len() as u64, report.commits);
            for line in intact {
                assert_eq!(line["events"][0]["n"], line["position"], "a wrong commit was called intact");
            }
            if page > 1 {
                assert!(report.commits >= 48, "page {page}: only {} of 60 saved: {:?}", report.commits, report.damaged);
            }
            most_saved = most_saved.max(report.commits);
        }
        assert!(most_saved < 60);

        // A file that is no database at all cannot be exported, and says so.
        fs::write(local::file(dir.path()), vec![0xa5; 8192]).unwrap();
        assert!(matches!(export(dir.path(), &mut Vec::new()), Err(StoreError::Damaged { position: None, .. })));
        let nothing = tempfile::tempdir().unwrap();
        assert!(matches!(verify(nothing.path()), Err(StoreError::Io { .. })));
    }

    #[test]
    fn an_export_that_cannot_be_written_says_so() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::BrokenPipe))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dir = tempfile::tempdir().unwrap();
        store(&mut local::open(dir.path()).unwrap(), 1);
        assert!(matches!(export(dir.path(), &mut Broken), Err(StoreError::Io { .. })));
    }
}
