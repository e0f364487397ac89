//! Lanes of a large repository: what a snapshot of a lane and the next use of one cost, beside what git itself needs to
//! look at as many files, and to check them out once.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use orchestrator::{
    daemon::lanes::{FolderLimits, Git, Oid, Prepare, Repo, SnapshotOptions, discover},
    ids::LaneId,
};

use super::{
    Scale,
    measure::{Contestant, interleaved, ms, ratio},
    table::Row,
};

/// Most that a snapshot, or the next use of a lane, may take: nobody notices it beside the work in it.
const BOUND_S: f64 = 0.5;

/// Files that are changed, and files that are new, in a lane whose snapshot is taken or that is used again.
const CHANGED: usize = 20;

/// A snapshot of a lane and its next use, each with changes in it.
pub fn large(scale: Scale) -> Vec<Row> {
    let files = if scale == Scale::Full { 50_000 } else { 500 };
    let root = tempfile::tempdir().expect("a temporary folder");
    let (checkout, lanes) = (root.path().join("w"), root.path().join("lanes"));
    for number in 0..files {
        let path = path(&checkout, number);
        if number < 1_000 {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        }
        std::fs::write(path, format!("content {number}\n")).expect("a file");
    }
    std::fs::create_dir(&lanes).expect("a folder");
    git(&checkout, &["init", "-q"]);
    git(&checkout, &["add", "-A"]);
    git(&checkout, &["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "start"]);
    let at: Oid = git(&checkout, &["rev-parse", "HEAD"]).trim().parse().expect("a commit");
    let found = Git::find(std::env::var_os("PATH").as_deref())
        .and_then(|git| discover(&git, &checkout, &root.path().join("s"), &FolderLimits::default()));
    let repo = found.expect("a repository").repo;
    let lane = |number: u32| {
        let prepared = repo.prepare_lane(LaneId(number), &lanes, &at, &checkout, &Prepare::default());
        prepared.expect("a lane").path
    };
    let start = Instant::now();
    let other = root.path().join("other");
    git(&checkout, &["worktree", "add", "-q", "--detach", &other.display().to_string()]);
    let added = start.elapsed();
    let (kept, reused) = (lane(1), lane(2));
    let mut round = 0;
    let mut change = move |lane: &Path| {
        round += 1;
        for number in 0..CHANGED {
            std::fs::write(path(lane, number * 7), format!("round {round}\n")).expect("a file");
            std::fs::write(lane.join(format!("new{number}")), format!("round {round}\n")).expect("a file");
        }
    };
    let mut change_kept = change;
    let mut contestants: Vec<Contestant> = vec![
        Box::new(|| git(&other, &["status", "--porcelain"]).len() as u64),
        Box::new(|| {
            change_kept(&kept);
            snapshot(&repo, &kept, &at)
        }),
        Box::new(|| {
            change(&reused);
            u64::from(lane(2) == reused)
        }),
    ];
    let times = interleaved(5, &mut contestants);
    let [status, snapshot, reuse] = times[..] else { unreachable!("one time for each") };
    let row = |what: &str, took: std::time::Duration| {
        let beside = format!("{} = {:.2} × `git status`", ms(took), ratio(took, status));
        Row::bound(
            format!("{what}, {} changes among {files} files", 2 * CHANGED),
            format!("≤ {BOUND_S} s"),
            beside,
            took.as_secs_f64() <= BOUND_S,
        )
    };
    vec![
        row("a lane's snapshot", snapshot),
        row("a lane's next use", reuse),
        Row::shown(format!("`git status` of {files} files"), ms(status)),
        Row::shown(format!("`git worktree add` of {files} files, once"), ms(added)),
    ]
}

fn snapshot(repo: &Repo, lane: &Path, at: &Oid) -> u64 {
    let options = SnapshotOptions::default();
    let taken = repo.snapshot_lane(lane, at, "bench", "refs/orchestrator/R-1/T-1/1", &options).expect("a snapshot");
    u64::from(taken.commit != *at)
}

fn path(root: &Path, number: usize) -> PathBuf {
    root.join(format!("d{}/e{}/f{number}", number % 20, number % 1_000))
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git").args(arguments).current_dir(folder).output().expect("git runs");
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
