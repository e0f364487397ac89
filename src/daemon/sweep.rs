//! Disk space: what belongs to runs that are forgotten is deleted, and no lane is made where there is no room.
//!
//! What may stay is told from the state, not what must go: whatever a crash left behind goes with the next sweep.

use std::{collections::HashSet, ffi::CString, os::unix::ffi::OsStrExt, path::Path};

use super::{
    effects,
    lanes::{Repo, nanos, used_at},
};
use crate::{
    core::State,
    ids::{AttemptId, LaneId, RunId, TaskId},
};

/// What there may be.
pub struct Kept {
    runs: HashSet<RunId>,
    tasks: HashSet<TaskId>,
    /// Whoever was added since is none of ours.
    last: (RunId, TaskId),
    lanes_max: u32,
    lanes: HashSet<LaneId>,
    /// When this was so. A lane that was given to somebody since stays.
    at: u128,
}

impl Kept {
    /// All that the state knows.
    pub fn of(state: &State, lanes_max: u32) -> Kept {
        Kept {
            runs: state.runs.keys().copied().collect(),
            tasks: state.tasks.keys().copied().collect(),
            last: (RunId(state.last.run), TaskId(state.last.task)),
            lanes_max,
            lanes: state.index.lanes.union(&state.index.left_open).copied().collect(),
            at: nanos(),
        }
    }

    fn run(&self, run: RunId) -> bool {
        run > self.last.0 || self.runs.contains(&run)
    }

    fn task(&self, task: TaskId) -> bool {
        task > self.last.1 || self.tasks.contains(&task)
    }

    /// Whether the folder of an agent's host may stay: `T-42.2`. One with another name is none of ours.
    fn agent(&self, name: &str) -> bool {
        name.parse::<AttemptId>().map_or(true, |attempt| self.task(attempt.task))
    }

    /// Whether a lane may stay.
    fn lane(&self, lane: LaneId) -> bool {
        lane.0 <= self.lanes_max || self.lanes.contains(&lane)
    }

    /// Whether a log may stay. A file with another name is none of ours.
    fn log(&self, name: &str) -> bool {
        // `T-42.2.log`, `T-42.2-v0.log`, `R-3-b0.log`
        let Some(stem) = name.strip_suffix(".log") else { return true };
        let owner = match stem.match_indices('-').nth(1) {
            Some((end, _)) => &stem[..end],
            None => stem,
        };
        match (owner.parse::<AttemptId>(), owner.parse::<RunId>()) {
            (Ok(attempt), _) => self.task(attempt.task),
            (_, Ok(run)) => self.run(run),
            _ => true,
        }
    }
}

/// Deletes hidden references, logs and agents' conversations of runs that are no more, and lanes beyond what is
/// configured. Published branches are the user's.
pub fn sweep(repo: &Repo, dir: &Path, kept: &Kept) {
    let complain = |what: String, error: String| tracing::warn!(what, error, "could not be deleted");
    match repo.runs() {
        Ok(runs) => {
            for run in runs.into_iter().filter(|run| !kept.run(*run)) {
                let prefix = format!("refs/orchestrator/{run}/");
                if let Err(error) = repo.delete_refs(&prefix) {
                    complain(prefix, error.to_string());
                }
            }
        }
        Err(error) => complain("refs/orchestrator/".to_owned(), error.to_string()),
    }
    for entry in std::fs::read_dir(dir.join("logs")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !kept.log(&name.to_string_lossy())
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            complain(entry.path().display().to_string(), error.to_string());
        }
    }
    let gone = |folder: &Path, stays: &dyn Fn(&str) -> bool| {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if !stays(&entry.file_name().to_string_lossy())
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                complain(entry.path().display().to_string(), error.to_string());
            }
        }
    };
    gone(&dir.join("agents"), &|name| kept.agent(name));
    // Temporary files of a lane go with it, also where an older daemon had them.
    let lanes = dir.join("lanes");
    for lane in Repo::lanes(&lanes).into_iter().filter(|lane| !kept.lane(*lane)) {
        match repo.remove_idle(lane, &lanes, kept.at) {
            Ok(true) => {
                for folder in [effects::scratch(dir), dir.join("tmp")] {
                    let _ = std::fs::remove_dir_all(folder.join(lane.to_string()));
                }
            }
            Ok(false) => {}
            Err(error) => complain(lane.to_string(), error.to_string()),
        }
    }
    // Those of lanes that went in another way. A number that may be given out by now is left alone.
    for folder in [effects::scratch(dir), dir.join("tmp")] {
        let stays = |lane: LaneId| lane.0 <= 2 * kept.lanes_max || kept.lanes.contains(&lane);
        gone(&folder, &|name| name.parse().map_or(true, stays));
    }
    if let Err(error) = Repo::empty_trash(&lanes) {
        complain(lanes.display().to_string(), error.to_string());
    }
}

/// The room that is to stay free below the lanes.
pub struct Floor<'a> {
    /// Free bytes below which no lane is laid out.
    pub min_free_bytes: u64,
    /// Bytes that are free; `None` where that cannot be known. Then the disk itself will say so.
    pub free: &'a dyn Fn() -> Option<u64>,
}

/// Sees to it that a lane may be laid out. Where too little is free, lanes that nobody works in go, whoever was given
/// theirs first; those that went are told. What still lacks is the error.
pub fn make_room(
    repo: &Repo,
    lanes_dir: &Path,
    floor: &Floor,
    idle: &[LaneId],
    asked_at: u128,
    mut went: impl FnMut(LaneId, u64),
) -> Result<(), String> {
    let lacks = || (floor.free)().filter(|free| *free < floor.min_free_bytes);
    let Some(mut free) = lacks() else { return Ok(()) };
    let mut idle: Vec<(u128, LaneId)> =
        idle.iter().map(|lane| (used_at(&lanes_dir.join(lane.to_string())), *lane)).collect();
    idle.sort_unstable();
    for (_, lane) in idle {
        match repo.remove_idle(lane, lanes_dir, asked_at) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                tracing::warn!(%lane, %error, "an idle lane could not be removed for its room");
                continue;
            }
        }
        if let Err(error) = Repo::empty_trash(lanes_dir) {
            tracing::warn!(%lane, %error, "a removed lane could not be deleted");
        }
        let left = (floor.free)();
        went(lane, left.unwrap_or(free).saturating_sub(free));
        match lacks() {
            None => return Ok(()),
            Some(less) => free = less,
        }
    }
    Err(format!(
        "No space left on device for a lane: {} are free at {}, and state.min_free_gb keeps {} free; free some, or let \
         `orchestrator gc` forget old runs",
        gib(free),
        lanes_dir.display(),
        gib(floor.min_free_bytes)
    ))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Bytes that this user may still write below `dir`.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let path = CString::new(dir.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeroes is a valid statvfs, and statvfs writes one to it; the path ends with a zero byte.
    let (answer, stat) = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &mut stat), stat)
    };
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::unnecessary_cast, reason = "the fields are of other widths elsewhere")
    )]
    (answer == 0).then(|| (stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::recover::classify::{Exit, classify},
        daemon::lanes::{FolderLimits, Git, Prepare, discover, nanos},
    };

    #[test]
    fn logs_are_told_by_their_owner() {
        let kept = Kept {
            runs: [RunId(2)].into(),
            tasks: [TaskId(7)].into(),
            last: (RunId(2), TaskId(9)),
            lanes_max: 6,
            lanes: HashSet::new(),
            at: 0,
        };
        for stays in
            ["T-7.1.log", "T-7.2-v0.log", "R-2-b0.log", "R-3-f1.log", "T-10.1.log", "notes", "x.log", "a-b-c.log"]
        {
            assert!(kept.log(stays), "{stays}");
        }
        for goes in ["T-1.1.log", "T-1.12-m3.log", "R-1-b0.log", "R-1-f10.log", "T-9.1-p.log"] {
            assert!(!kept.log(goes), "{goes}");
        }
        for (name, stays) in [("T-7.3", true), ("T-10.1", true), ("notes", true), ("T-1.1", false), ("T-9.12", false)] {
            assert_eq!(kept.agent(name), stays, "{name}");
        }
        assert!(kept.lane(LaneId(6)) && !kept.lane(LaneId(7)));
    }

    #[test]
    fn a_full_disk_is_said_and_taken_for_one() {
        let (_dir, repo, lanes) = with_lanes(0);
        let floor = |bytes: u64| {
            make_room(&repo, &lanes, &Floor { min_free_bytes: bytes, free: &|| Some(7) }, &[], 0, |_, _| ())
        };
        assert_eq!(floor(7), Ok(()));
        let refused = floor(8).unwrap_err();
        assert!(refused.contains("state.min_free_gb") && refused.contains("orchestrator gc"), "{refused}");
        let classified = serde_json::json!(classify(&refused, Exit::Unknown).class);
        assert_eq!(classified, "resource", "{refused}");
        assert!(free_bytes(&lanes).is_some());
        let unknown = Floor { min_free_bytes: u64::MAX, free: &|| free_bytes(Path::new("/nonexistent/x")) };
        assert_eq!(make_room(&repo, &lanes, &unknown, &[], 0, |_, _| ()), Ok(()));
    }

    #[test]
    fn idle_lanes_go_for_room_the_least_recently_used_first_and_no_more_than_needed() {
        let (_dir, repo, lanes) = with_lanes(4);
        let left = || Repo::lanes(&lanes);
        // Each lane that goes leaves one byte.
        let free = || Some(4 - left().len() as u64);
        let floor = |bytes: u64| Floor { min_free_bytes: bytes, free: &free };
        let mut went = Vec::new();
        // The first two were used last; the second is held by somebody.
        for lane in [1, 2] {
            std::fs::write(lanes.join(format!(".meta/L-{lane}.used")), nanos().to_string()).unwrap();
        }
        let idle = [LaneId(1), LaneId(3), LaneId(4)];
        make_room(&repo, &lanes, &floor(1), &idle, nanos(), |lane, _| went.push(lane)).unwrap();
        assert_eq!((went.as_slice(), left()), (&[LaneId(3)][..], vec![LaneId(1), LaneId(2), LaneId(4)]));
        make_room(&repo, &lanes, &floor(9), &idle, nanos(), |lane, freed| {
            assert_eq!(freed, 1);
            went.push(lane);
        })
        .unwrap_err();
        assert_eq!((went.as_slice(), left()), (&[LaneId(3), LaneId(4), LaneId(1)][..], vec![LaneId(2)]));
        // Somebody was given it since.
        make_room(&repo, &lanes, &floor(9), &[LaneId(2)], 1, |_, _| panic!("it is in use")).unwrap_err();
        assert_eq!(left(), [LaneId(2)]);
    }

    /// A repository with so many lanes.
    fn with_lanes(count: u32) -> (tempfile::TempDir, Repo, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let checkout = dir.path().join("w");
        std::fs::create_dir(&checkout).unwrap();
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
            let done = std::process::Command::new("git").args(identity).args(arguments).current_dir(&checkout).output();
            let done = done.unwrap();
            assert!(done.status.success(), "{done:?}");
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q"]);
        git(&["commit", "-q", "--allow-empty", "-m", "start"]);
        let at = git(&["rev-parse", "HEAD"]).parse().unwrap();
        let found = discover(
            &Git::find(std::env::var_os("PATH").as_deref()).unwrap(),
            &checkout,
            &dir.path().join("s"),
            &FolderLimits::default(),
        )
        .unwrap();
        let repo = found.repo;
        let lanes = dir.path().join("lanes");
        std::fs::create_dir(&lanes).unwrap();
        for lane in 1..=count {
            repo.prepare_lane(LaneId(lane), &lanes, &at, &checkout, &Prepare::default()).unwrap();
        }
        (dir, repo, lanes)
    }
}
