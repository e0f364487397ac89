//! How long the calls take on ten thousand files. Run by name, with output; the plain test run only checks that the
//! calls agree with each other at that size.

use std::time::Instant;

use super::*;

#[test]
fn ten_thousand_files() {
    let world = World::unborn(&[]);
    for number in 0..10_000 {
        world.write(&[(&format!("d{}/e{}/f{number}", number % 20, number % 200), &format!("content {number}\n"))]);
    }
    world.commit("many");
    let repo = world.repo();
    let (mut lines, mut counts) = (Vec::new(), Vec::new());
    let mut timed = |what: &str, call: &mut dyn FnMut()| {
        let mut times: Vec<f64> = Vec::new();
        let mut processes = 0;
        let rounds = if what.contains("once") { 1 } else { 5 };
        for _ in 0..rounds {
            crate::daemon::lanes::git::PROCESSES.set(0);
            let started = Instant::now();
            call();
            processes = crate::daemon::lanes::git::PROCESSES.get();
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        lines.push(format!("{what}: {processes} processes, median {:.1} ms", times[times.len() / 2]));
        counts.push(processes);
    };
    let base = world.base(&repo).commit;
    timed("base, clean", &mut || assert!(world.base(&repo).clean));
    timed("lane made, once", &mut || drop(world.lane(&repo, &base)));
    let lane = world.lanes.join("L-1");
    timed("lane reset, nothing to do", &mut || drop(world.lane(&repo, &base)));
    timed("snapshot, unchanged", &mut || assert_eq!(snap(&repo, &lane, &base).commit, base));
    let mut round = 0;
    let mut result = base.clone();
    timed("snapshot of 40 changes", &mut || {
        round += 1;
        for number in 0..20 {
            write(&lane.join(format!("d{number}/e{number}/f{number}")), &format!("{round}\n"));
            write(&lane.join(format!("new{number}")), &format!("{round}\n"));
        }
        result = snap(&repo, &lane, &base).commit;
    });
    timed("restore of 40 changes", &mut || {
        for number in 0..20 {
            write(&lane.join(format!("d{number}/e{number}/f{number}")), "x\n");
            write(&lane.join(format!("new{number}")), "x\n");
        }
        repo.restore_lane(&lane, &base).unwrap();
    });
    timed("merge", &mut || {
        assert!(matches!(repo.merge(&base, &result, "m").unwrap(), Merge::Clean { .. }));
    });
    timed("diff", &mut || assert_eq!(repo.diff(&base, &result).unwrap().files.len(), 40));
    world.write(&[("dirty", "d\n")]);
    timed("base, dirty", &mut || assert!(!world.base(&repo).clean));
    let mut applied = None;
    timed("apply of 40 paths, once", &mut || applied = Some(repo.apply(&world.plan(&base, &result)).unwrap()));
    let applied = applied.unwrap();
    assert_eq!((applied.paths.len(), applied.conflicts.len()), (40, 0));
    timed("undo of 40 paths, once", &mut || {
        assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    });
    assert_eq!(read(&world.checkout.join("dirty")), "d\n");
    // base clean, make, reset, unchanged, changed, restore, merge, diff, base dirty, apply, undo: the table in `mod.rs`.
    assert_eq!(counts, [2, 3, 2, 2, 6, 2, 2, 1, 5, 15, 5]);
    // Shown with --nocapture only.
    std::io::Write::write_all(&mut std::io::stdout(), (lines.join("\n") + "\n").as_bytes()).unwrap();
}
