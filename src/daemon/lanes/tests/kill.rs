//! A real process working in a loop, killed by SIGKILL at moments of its own choosing a dozen times; each time the next
//! process brings checkout and lane to where they should be.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

use super::*;

const NAME: &str = "daemon::lanes::tests::kill::killed_at_any_moment_everything_converges";
const CHILD: &str = "LANES_TEST_CHILD";

#[test]
fn killed_at_any_moment_everything_converges() {
    if let Some(job) = std::env::var_os(CHILD) {
        return work_until_killed(&job.to_string_lossy());
    }
    let (world, _, base, result) = super::apply::busy();
    let (start, private) = (world.contents(), world.private_state());
    let wanted = contents(&world.lanes.join("L-1"));
    let (mut steps, mut interrupted) = (BTreeMap::<String, u32>::new(), 0);
    for round in 0_u64..16 {
        let job = format!("{}\n{base}\n{result}", world.root.display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(CHILD, job)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The child says what it is about to do. Which step is hit, and how deep inside, differs from round to round.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        let mut steps_said = lines.filter(|line| line.starts_with("step "));
        let mut last = steps_said.nth(round as usize % 4).unwrap();
        std::thread::sleep(Duration::from_millis(round * 7 % 60));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it was killed, and did not fail by itself before");
        if let Some(later) = steps_said.last() {
            last = later;
        }

        let repo = world.repo();
        let words: Vec<&str> = last.split(' ').collect();
        *steps.entry(words[1].to_owned()).or_default() += 1;
        let now = world.contents();
        interrupted += u32::from(now != start && now != wanted);
        if words[1] == "undo" {
            let plan = UndoPlan {
                checkout: world.checkout.clone(),
                before: words[2].parse().unwrap(),
                merged_tree: words[3].parse().unwrap(),
                staging: world.state.join("staging"),
            };
            assert!(matches!(repo.undo(&plan).unwrap(), Undone::Restored { .. } | Undone::Already), "{last}");
            assert_eq!(world.contents(), start, "{last}");
        }
        let applied = repo.apply(&world.plan(&base, &result)).unwrap();
        assert_eq!(applied.conflicts, [], "{last}");
        assert_eq!(world.contents(), wanted, "{last}");
        assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }), "{last}");
        assert_eq!(world.contents(), start, "{last}");
        let lane = world.lane(&repo, &result);
        assert_eq!(contents(&lane), wanted, "{last}");
        assert_eq!(git(&lane, &["status", "--porcelain"]), "", "{last}");
        let lane = world.lane(&repo, &base);
        assert_eq!(contents(&lane), start, "{last}");
        assert_eq!(world.private_state(), private, "{last}");
        repo.sweep().unwrap();
    }
    assert!(steps.len() >= 3, "too few kinds of step were hit: {steps:?}");
    tracing::info!(?steps, interrupted, "killed");
}

/// The child's life. It says each step before taking it.
fn work_until_killed(job: &str) {
    let lines: Vec<&str> = job.lines().collect();
    let root = PathBuf::from(lines[0]);
    let (base, result): (Oid, Oid) = (lines[1].parse().unwrap(), lines[2].parse().unwrap());
    let (checkout, state) = (root.join("project"), root.join("state"));
    let say = |text: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\nstep {text}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    let repo = discover(&own_git(), &checkout, &state, &FolderLimits::default()).unwrap().repo;
    loop {
        say("lane".to_owned());
        let lane = repo.prepare_lane(LaneId(1), &state.join("lanes"), &base, &checkout, &Prepare::default()).unwrap();
        write(&lane.path.join("edit"), "work\n");
        snap(&repo, &lane.path, &base);
        repo.restore_lane(&lane.path, &result).unwrap();
        say("apply".to_owned());
        let plan = ApplyPlan {
            checkout: checkout.clone(),
            base: base.clone(),
            result: result.clone(),
            run: RUN,
            staging: state.join("staging"),
            options: SnapshotOptions::default(),
        };
        let applied = repo.apply(&plan).unwrap();
        assert_eq!(applied.conflicts, []);
        say(format!("undo {} {}", applied.before, applied.merged_tree));
        let plan = UndoPlan {
            checkout: checkout.clone(),
            before: applied.before,
            merged_tree: applied.merged_tree,
            staging: state.join("staging"),
        };
        repo.undo(&plan).unwrap();
    }
}
