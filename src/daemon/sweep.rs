//! Disk space: what belongs to runs that are forgotten is deleted, and no lane is made where there is no room.
//!
//! What may stay is told from the state, not what must go: whatever a crash left behind goes with the next sweep.

use std::{collections::HashSet, ffi::CString, os::unix::ffi::OsStrExt, path::Path};

use super::lanes::Repo;
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
}

impl Kept {
    /// All that the state knows.
    pub fn of(state: &State, lanes_max: u32) -> Kept {
        Kept {
            runs: state.runs.keys().copied().collect(),
            tasks: state.tasks.keys().copied().collect(),
            last: (RunId(state.last.run), TaskId(state.last.task)),
            lanes_max,
            lanes: state.index.lanes.iter().copied().collect(),
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
    let gone = |folder: &str, stays: &dyn Fn(&str) -> bool| {
        for entry in std::fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
            if !stays(&entry.file_name().to_string_lossy())
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                complain(entry.path().display().to_string(), error.to_string());
            }
        }
    };
    gone("agents", &|name| kept.agent(name));
    // What agents put into the temporary folder of a lane that is no more.
    gone("tmp", &|name| name.parse::<LaneId>().map_or(true, |lane| kept.lane(lane)));
    let lanes = dir.join("lanes");
    for lane in Repo::lanes(&lanes).into_iter().filter(|lane| !kept.lane(*lane)) {
        if let Err(error) = repo.remove_lane(lane, &lanes) {
            complain(lane.to_string(), error.to_string());
        }
    }
    if let Err(error) = Repo::empty_trash(&lanes) {
        complain(lanes.display().to_string(), error.to_string());
    }
}

/// Refuses to lay out a lane below `dir` where less is free than is to stay free.
pub fn room(dir: &Path, min_free_bytes: u64) -> Result<(), String> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    match free_bytes(dir) {
        Some(free) if free < min_free_bytes => Err(format!(
            "No space left on device for a lane: {:.1} GiB are free at {}, and state.min_free_gb keeps {:.1} GiB free; \
             `orchestrator gc` forgets old runs",
            gib(free),
            dir.display(),
            gib(min_free_bytes)
        )),
        // Where it cannot be known, the disk itself will say so.
        _ => Ok(()),
    }
}

/// Bytes that this user may still write below `dir`.
fn free_bytes(dir: &Path) -> Option<u64> {
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
    use crate::core::recover::classify::{Exit, classify};

    #[test]
    fn logs_are_told_by_their_owner() {
        let kept = Kept {
            runs: [RunId(2)].into(),
            tasks: [TaskId(7)].into(),
            last: (RunId(2), TaskId(9)),
            lanes_max: 6,
            lanes: HashSet::new(),
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
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(room(dir.path(), 0), Ok(()));
        let refused = room(dir.path(), u64::MAX).unwrap_err();
        assert!(refused.contains("state.min_free_gb") && refused.contains("orchestrator gc"), "{refused}");
        let classified = serde_json::json!(classify(&refused, Exit::Unknown).class);
        assert_eq!(classified, "resource", "{refused}");
        assert_eq!(room(Path::new("/nonexistent/x"), u64::MAX), Ok(()));
    }
}
