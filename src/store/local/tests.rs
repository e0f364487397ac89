//! The SQLite journal against real files: damage, full disks, second openers, processes that just stop.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::*;
use crate::{store::conformance, time::Timestamp};

fn commit(number: u64) -> NewCommit {
    let events = format!(r#"[{{"event":"task_finished","task":"T-{number}","exit":0}}]"#).into_bytes();
    NewCommit { at: Timestamp(1_795_000_000_000 + number), term: 1, command: Some(format!("key-{number}")), events }
}

/// Appends and waits until all are durable, or hears the first error.
fn store(journal: &mut Local, count: u64) -> Result<(), StoreError> {
    let (send, told) = mpsc::channel();
    for _ in 0..count {
        let (send, head) = (send.clone(), journal.head());
        let durable = Box::new(move |result| send.send(result).unwrap());
        match journal.append(head, commit(head.0 + 1), Urgency::Now, durable) {
            Ok(_) => {}
            Err(AppendError::Failed(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
    }
    drop(send);
    let heard: Vec<_> = told.iter().collect();
    assert_eq!(heard.len() as u64, count);
    heard.into_iter().collect::<Result<Vec<_>, _>>().map(|_| ())
}

fn read_all(dir: &Path) -> Result<Vec<Commit>, StoreError> {
    let mut commits = Vec::new();
    open(dir)?.read(Position::START, &mut |commit| {
        commits.push(commit);
        ControlFlow::Continue(())
    })?;
    Ok(commits)
}

/// A closed journal: SQLite has moved everything into the one file.
fn closed(dir: &Path, count: u64) {
    store(&mut open(dir).unwrap(), count).unwrap();
    assert!(!table::wal(&file(dir)).exists(), "closing left a log behind");
}

#[test]
fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::conformance(|| Box::new(open(dir.path()).unwrap()));
}

#[test]
fn files_are_the_users_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    let mut journal = open(&state).unwrap();
    store(&mut journal, 2).unwrap();
    journal.save_fold(journal.head(), b"x".to_vec());
    // The fold is written after the callbacks of what it was taken along with, so before those of the next.
    store(&mut journal, 1).unwrap();
    store(&mut journal, 1).unwrap();
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = ["fold.bin", "journal.db", "journal.db-shm", "journal.db-wal", "journal.head", "journal.lock"];
    assert_eq!(names, expected);
}

#[test]
fn long_and_odd_paths_work() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("x".repeat(200)).join("50% off? #1 é");
    closed(&state, 3);
    assert_eq!(read_all(&state).unwrap().len(), 3);
    let as_uri = Table::connect(
        &file(&state),
        Path::new(&format!("file:{}?immutable=1", table::escape_uri(&file(&state)))),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI,
    );
    assert_eq!(as_uri.unwrap().last().unwrap().unwrap().unwrap().position, Position(3));
}

#[test]
fn a_second_opener_is_refused_and_told_who() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let refused = open(dir.path()).err().unwrap();
    let path = dir.path().join("journal.lock");
    assert_eq!(refused, StoreError::Locked { path, pid: Some(std::process::id()) });
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(journal);
    open(dir.path()).unwrap();
}

/// Runs one of the parts below in a process of its own.
fn in_child(part: &str, dir: &Path) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::local::tests::child", "--nocapture", "--test-threads=1"])
        .env("ORCHESTRATOR_STORE_TEST", part)
        .env("ORCHESTRATOR_STORE_TEST_DIR", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Does nothing in a normal run; the tests below start it in a child with its part in the environment.
#[test]
fn child() {
    let Ok(part) = std::env::var("ORCHESTRATOR_STORE_TEST") else { return };
    let dir = PathBuf::from(std::env::var_os("ORCHESTRATOR_STORE_TEST_DIR").unwrap());
    match part.as_str() {
        "leave" => {
            let mut journal = open(&dir).unwrap();
            store(&mut journal, 40).unwrap();
            std::mem::forget(journal);
            std::process::abort();
        }
        "fill" => {
            let limit = libc::rlimit { rlim_cur: 300_000, rlim_max: 300_000 };
            // SAFETY: both calls take plain values or a pointer that is valid for the call, and this process is ours.
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
            }
            let mut journal = open(&dir).unwrap();
            let mut durable = 0;
            let error = loop {
                match store(&mut journal, 1) {
                    Ok(()) => durable += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
            assert_eq!(store(&mut journal, 1), Err(error.clone()), "the failure was not sticky");
            assert_eq!(journal.failure(), Some(error));
            println!("durable={durable}.");
        }
        "read-only" => {
            // The superuser may write anywhere, so it becomes nobody.
            // SAFETY: these take plain values, and this process is ours.
            unsafe {
                if libc::geteuid() == 0 {
                    assert_eq!((libc::setgid(65_534), libc::setuid(65_534)), (0, 0));
                }
            }
            let refused = open(&dir).err();
            assert!(matches!(refused, Some(StoreError::ReadOnly { .. })), "{refused:?}");
            let refused = open(&dir.join("below")).err();
            assert!(matches!(refused, Some(StoreError::ReadOnly { .. })), "{refused:?}");
            let table = Table::open_writer(&file(&dir)).err();
            assert!(matches!(table, Some(StoreError::ReadOnly { .. })), "{table:?}");
            let exported = crate::store::verify::export(&dir, &mut Vec::new());
            assert_eq!(exported.map(|exported| exported.commits), Ok(3));
            assert_eq!(crate::store::verify::verify(&dir).map(|verified| verified.commits), Ok(3));
        }
        other => panic!("no part {other}"),
    }
}

#[test]
fn a_process_that_just_stops_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let output = in_child("leave", dir.path());
        assert!(!output.status.success() && output.status.code().is_none(), "the child should abort: {output:?}");
        assert!(table::wal(&file(dir.path())).exists(), "the child cleaned up, so this tests nothing");
        let verified = crate::store::verify::verify(dir.path()).unwrap();
        assert_eq!(verified.commits as usize, 40 * round);
        assert_eq!(read_all(dir.path()).unwrap().len(), 40 * round);
    }
}

#[test]
fn a_full_disk_fails_loudly_and_the_acknowledged_stay() {
    let dir = tempfile::tempdir().unwrap();
    let output = in_child("fill", dir.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let durable: usize = said.split_once("durable=").unwrap().1.split_once('.').unwrap().0.parse().unwrap();
    assert!(durable > 10, "only {durable} fit");
    // With space again it goes on; the failed commit was never promised and may be there or not.
    let commits = read_all(dir.path()).unwrap();
    assert!(commits.len() == durable || commits.len() == durable + 1, "{} of {durable}", commits.len());
    store(&mut open(dir.path()).unwrap(), 5).unwrap();
    assert_eq!(read_all(dir.path()).unwrap().len(), commits.len() + 5);
}

#[test]
fn a_full_database_fails_everything_queued_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (lock, table) = open_table(dir.path()).unwrap();
    table.limit_growth(4);
    let mut journal = start(dir.path(), lock, table).unwrap();
    let (send, told) = mpsc::channel();
    let mut refused = 0;
    for number in 1..=2000 {
        let (send, head) = (send.clone(), journal.head());
        let durable = Box::new(move |result: Result<Position, StoreError>| send.send((head.next(), result)).unwrap());
        match journal.append(head, commit(number), Urgency::Now, durable) {
            Ok(_) => {}
            Err(AppendError::Failed(StoreError::Full { .. })) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    drop(send);
    let heard: Vec<_> = told.iter().collect();
    assert_eq!(heard.len() + refused, 2000);
    let good = heard.iter().take_while(|(_, result)| result.is_ok()).count();
    for (index, (position, result)) in heard.iter().enumerate() {
        assert_eq!(position.0, index as u64 + 1, "a callback was called out of order");
        match result {
            Ok(told) => assert!(told == position && index < good),
            Err(error) => assert!(matches!(error, StoreError::Full { .. }) && index >= good, "{error:?}"),
        }
    }
    assert!(good < heard.len());
    drop(journal);
    assert_eq!(read_all(dir.path()).unwrap().len(), good);
}

#[test]
fn a_folder_that_may_not_be_written_is_refused_but_can_be_exported() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 3);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for name in ["journal.db", "journal.lock", "journal.head"] {
        mode(&dir.path().join(name), 0o444);
    }
    mode(dir.path(), 0o555);
    let output = in_child("read-only", dir.path());
    mode(dir.path(), 0o700);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn newer_foreign_and_garbage_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 3);
    let good = fs::read(file(dir.path())).unwrap();
    let refusal = |bytes: &[u8]| {
        fs::write(file(dir.path()), bytes).unwrap();
        let refused = open(dir.path()).err().expect("it was opened");
        assert_eq!(fs::read(file(dir.path())).unwrap(), bytes, "a refused file was changed");
        refused
    };
    let garbage = refusal(&b"not a database, but long enough to look at. ".repeat(300));
    assert!(matches!(garbage, StoreError::Damaged { position: None, .. }), "{garbage:?}");
    let torn = refusal(&good[..good.len() / 2]);
    assert!(matches!(torn, StoreError::Damaged { .. }), "{torn:?}");
    let empty = refusal(b"");
    assert!(matches!(empty, StoreError::Damaged { position: Some(Position(1)), .. }), "{empty:?}");

    fs::write(file(dir.path()), &good).unwrap();
    Table::open_writer(&file(dir.path())).unwrap().tamper("PRAGMA user_version = 2");
    let newer = open(dir.path()).err().unwrap();
    assert_eq!(newer, StoreError::Newer { path: file(dir.path()), found: 2, known: 1 });
    Table::connect(&file(dir.path()), &file(dir.path()), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap()
        .tamper("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let foreign = open(dir.path()).err().unwrap();
    assert!(foreign.to_string().contains("not a journal of this program"), "{foreign}");
}

#[test]
fn a_lost_end_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 9);
    Table::open_writer(&file(dir.path())).unwrap().tamper("DELETE FROM commits WHERE position > 6");
    let refused = open(dir.path()).err();
    assert!(matches!(refused, Some(StoreError::Damaged { position: Some(Position(7)), .. })), "{refused:?}");
    assert_eq!(crate::store::verify::verify(dir.path()).err(), refused);
    // The way on that the message names.
    fs::remove_file(mark_file(dir.path())).unwrap();
    store(&mut open(dir.path()).unwrap(), 1).unwrap();
    assert_eq!(read_all(dir.path()).unwrap().len(), 7);
    // A mark that is torn is no mark.
    fs::write(mark_file(dir.path()), "0000000").unwrap();
    assert_eq!(read_all(dir.path()).unwrap().len(), 7);
}

#[test]
fn a_damaged_log_is_noticed() {
    // SQLite takes the first frame that does not hold for the end of the log, and says nothing.
    let dir = tempfile::tempdir().unwrap();
    in_child("leave", dir.path());
    let wal = table::wal(&file(dir.path()));
    let good = fs::read(&wal).unwrap();
    let files = [file(dir.path()), table::wal(&file(dir.path())), mark_file(dir.path())];
    let kept: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for offset in [40, good.len() / 2, good.len() - 1] {
        files.iter().zip(&kept).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
        let mut flipped = good.clone();
        flipped[offset] ^= 1;
        fs::write(&wal, &flipped).unwrap();
        let refused = open(dir.path()).err();
        assert!(matches!(refused, Some(StoreError::Damaged { .. })), "byte {offset}: {refused:?}");
    }
    files.iter().zip(&kept).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    fs::remove_file(&wal).unwrap();
    assert!(matches!(open(dir.path()).err(), Some(StoreError::Damaged { .. })), "a lost log went unnoticed");
    files.iter().zip(&kept).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    assert_eq!(read_all(dir.path()).unwrap().len(), 40);
}

#[test]
fn a_hole_or_a_changed_row_is_named() {
    for (sql, position) in [
        ("DELETE FROM commits WHERE position = 4", 4),
        ("DELETE FROM commits WHERE position = 1", 1),
        ("UPDATE commits SET events = '[]' WHERE position = 5", 5),
        ("UPDATE commits SET command = NULL WHERE position = 2", 2),
        ("UPDATE commits SET term = 2 WHERE position = 9", 9),
        ("UPDATE commits SET version = 2 WHERE position = 3", 3),
        ("UPDATE commits SET hash = x'00' WHERE position = 3", 3),
        ("UPDATE commits SET position = 0 WHERE position = 6", 6),
    ] {
        let dir = tempfile::tempdir().unwrap();
        closed(dir.path(), 9);
        let bytes = Table::open_writer(&file(dir.path())).unwrap();
        bytes.tamper(sql);
        drop(bytes);
        let read = read_all(dir.path()).err();
        assert!(
            matches!(&read, Some(StoreError::Damaged { position: Some(found), .. }) if found.0 == position),
            "{sql}: {read:?}"
        );
        assert!(crate::store::verify::verify(dir.path()).is_err(), "{sql}");
    }
}

/// Flips one bit of every byte of the file in turn: whatever comes out is an error or the very same commits.
#[test]
fn no_flipped_byte_goes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 12);
    let good = read_all(dir.path()).unwrap();
    let bytes = fs::read(file(dir.path())).unwrap();
    let (mut named, mut loud, mut harmless) = (0, 0, 0);
    let payloads: Vec<_> = good.iter().map(|commit| (around(&bytes, &commit.events), commit.position)).collect();
    let payload = |offset: usize| payloads.iter().find(|(range, _)| range.contains(&offset)).map(|(_, at)| *at);
    for offset in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[offset] ^= 1 << (offset % 8);
        fs::write(file(dir.path()), &flipped).unwrap();
        let mut read = Vec::new();
        let outcome = Table::open_reader(&file(dir.path())).and_then(|table| match table {
            None => Ok(()),
            Some(table) => super::read(&table, Position::START, &mut |commit| {
                read.push(commit);
                ControlFlow::Continue(())
            }),
        });
        assert!(good.starts_with(&read), "byte {offset}: something else was read");
        let verified = || crate::store::verify::verify(dir.path());
        match (payload(offset), &outcome) {
            (Some(at), Err(StoreError::Damaged { position: Some(position), .. })) => {
                assert_eq!(*position, at, "byte {offset}");
                assert_eq!(verified().err(), outcome.err(), "byte {offset}");
                named += 1;
            }
            (Some(at), _) => panic!("byte {offset} in the events of {at}: {outcome:?}"),
            (None, _) if outcome.is_err() || verified().is_err() => loud += 1,
            (None, _) => {
                assert_eq!((outcome, read.len()), (Ok(()), good.len()), "byte {offset} went unnoticed");
                harmless += 1;
            }
        }
    }
    assert!(named > 500 && loud > 500 && harmless > 0, "{named} {loud} {harmless}");
}

/// Where `needle` is in `bytes`.
fn around(bytes: &[u8], needle: &[u8]) -> std::ops::Range<usize> {
    let start = bytes.windows(needle.len()).position(|window| window == needle).expect("the events are in the file");
    start..start + needle.len()
}

#[test]
fn a_damaged_or_foreign_fold_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    for (dir, text) in [(&dir, "a fold"), (&other, "another")] {
        let mut journal = open(dir.path()).unwrap();
        store(&mut journal, if text == "a fold" { 3 } else { 2 }).unwrap();
        journal.save_fold(Position(2), text.into());
        store(&mut journal, 1).unwrap();
    }
    let load = || open(dir.path()).unwrap().load_fold().unwrap();
    let good = fs::read(fold_file(dir.path())).unwrap();
    assert_eq!(load(), Some((Position(2), b"a fold".to_vec())));
    for offset in 0..good.len() {
        let mut flipped = good.clone();
        flipped[offset] ^= 0x10;
        fs::write(fold_file(dir.path()), &flipped).unwrap();
        assert_eq!(load(), None, "byte {offset}");
    }
    for length in 0..good.len() {
        fs::write(fold_file(dir.path()), &good[..length]).unwrap();
        assert_eq!(load(), None, "cut to {length}");
    }
    // Whole, but of a commit that this journal does not have: one ahead, one of another history.
    let ahead = Tip { position: Position(99), hash: [1; 32] };
    let elsewhere = Tip { position: Position(2), hash: [1; 32] };
    for tip in [ahead, elsewhere] {
        fold::save(&fold_file(dir.path()), tip, b"foreign").unwrap();
        assert_eq!(load(), None);
    }
    // Equal commits make equal histories, so there it fits.
    fs::copy(fold_file(other.path()), fold_file(dir.path())).unwrap();
    assert_eq!(load(), Some((Position(2), b"another".to_vec())));
}

#[test]
fn what_arrives_during_a_flush_shares_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel::<()>();
    let hold = Box::new(move |_: Result<Position, StoreError>| {
        begin.send(()).unwrap();
        gone.recv().unwrap();
    });
    journal.append(Position(0), commit(1), Urgency::Now, hold).unwrap();
    // The first is flushed alone: what follows arrives while that lasts.
    begun.recv().unwrap();
    let (send, told) = mpsc::channel();
    for number in 2..=100 {
        let (send, path) = (send.clone(), file(dir.path()));
        let urgency = if number % 2 == 0 { Urgency::Now } else { Urgency::Soon };
        let durable = Box::new(move |result: Result<Position, StoreError>| {
            // Looks at the disk when the first of them is told, so before a second flush could follow.
            let on_disk = Table::open_reader(&path).unwrap().unwrap().last().unwrap().unwrap().unwrap().position;
            send.send((result.unwrap(), on_disk)).unwrap();
        });
        journal.append(journal.head(), commit(number), urgency, durable).unwrap();
    }
    drop(send);
    // Only now does the first callback end, which stands for a flush that takes long.
    go.send(()).unwrap();
    assert_eq!(told.iter().next(), Some((Position(2), Position(100))));
}

#[test]
fn soon_waits_for_company_and_now_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    let (send, told) = mpsc::channel();
    let append = |journal: &mut Local, urgency| {
        let send = send.clone();
        let durable = Box::new(move |_| send.send(Instant::now()).unwrap());
        journal.append(journal.head(), commit(1), urgency, durable).unwrap();
    };
    let started = Instant::now();
    append(&mut journal, Urgency::Soon);
    let alone = told.recv_timeout(Duration::from_secs(60)).unwrap() - started;
    assert!(
        alone >= Duration::from_millis(super::super::SOON_MS),
        "a commit that could wait went alone after {alone:?}"
    );
}

#[test]
fn a_callback_that_panics_harms_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.append(Position(0), commit(1), Urgency::Now, Box::new(|_| panic!("on purpose"))).unwrap();
    store(&mut journal, 2).unwrap();
    drop(journal);
    assert_eq!(read_all(dir.path()).unwrap().len(), 3);
}
