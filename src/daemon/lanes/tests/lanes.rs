//! Lanes are isolated, reusable, and mended when damaged.

use super::*;

fn ignored_world() -> World {
    let world = World::with(&[(".gitignore", "node_modules/\ntarget/\n.secret\nout/\n"), ("a", "1\n"), ("b/c", "1\n")]);
    world.write(&[
        ("node_modules/x/index.js", "js"),
        ("sub/node_modules/y.js", "js"),
        ("target/debug/x", "obj"),
        ("out/z", "z"),
    ]);
    world
}

#[test]
fn nothing_done_in_a_lane_reaches_the_checkout() {
    let world = ignored_world();
    world.write(&[("a", "dirty\n"), ("untracked", "u\n")]);
    git(&world.checkout, &["stash"]);
    git(&world.checkout, &["stash", "apply", "-q"]);
    git(&world.checkout, &["branch", "mine"]);
    let before = (world.private_state(), world.contents());
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    write(&lane.join("a"), "lane\n");
    write(&lane.join("node_modules/x/index.js"), "changed in the lane");
    git(&lane, &["add", "-A"]);
    git(&lane, &["commit", "-qm", "agent"]);
    git(&lane, &["reset", "-q", "--hard", "HEAD~1"]);
    git(&lane, &["clean", "-ffdqx"]);
    snap(&repo, &lane, &base);
    repo.restore_lane(&lane, &base).unwrap();
    repo.remove_lane(LaneId(1), &world.lanes).unwrap();
    assert_eq!((world.private_state(), world.contents()), before);
    assert!(!git(&world.checkout, &["worktree", "list", "--porcelain"]).contains("L-1"));
    assert!(!lane.exists());
    Repo::empty_trash(&world.lanes).unwrap();
    assert_eq!(fs::read_dir(world.lanes.join(".trash")).unwrap().count(), 0);
    repo.remove_lane(LaneId(1), &world.lanes).unwrap();
}

#[test]
fn stores_are_seeded_once_with_their_times_and_stay_warm() {
    let world = ignored_world();
    world.write(&[(".secret", "s"), (".worktreeinclude", ".secret\na\nout/\n")]);
    world.commit("include");
    symlink("index.js", world.checkout.join("node_modules/x/link")).unwrap();
    executable(&world.checkout.join("target/debug/x"));
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.prepared(&repo, 1, &base, &Prepare::default());
    assert!(lane.made);
    assert_eq!(lane.missing, []);
    let path = lane.path;
    assert_eq!(contents(&path), world.contents());
    let time = |root: &Path| root.join("target/debug/x").metadata().unwrap().modified().unwrap();
    assert_eq!(time(&path), time(&world.checkout));
    assert_ne!(
        path.join("target/debug/x").metadata().unwrap().ino(),
        world.checkout.join("target/debug/x").metadata().unwrap().ino()
    );
    write(&path.join("target/debug/warm"), "w");
    write(&path.join("stray"), "s");
    write(&path.join("stray folder/.git/HEAD"), "ref: refs/heads/main");
    write(&path.join("a"), "edited");
    let again = world.prepared(&repo, 1, &base, &Prepare::default());
    assert!(!again.made);
    assert_eq!(read(&path.join("target/debug/warm")), "w");
    assert!(!path.join("stray").exists() && !path.join("stray folder").exists());
    assert_eq!(read(&path.join("a")), "1\n");
}

#[test]
fn stores_above_a_limit_are_named_and_links_are_not_work() {
    let world = ignored_world();
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let prepare = Prepare {
        copy: vec!["target".to_owned()],
        link: vec!["node_modules".to_owned()],
        files_max: 2,
        ..Prepare::default()
    };
    let lane = world.prepared(&repo, 1, &base, &prepare);
    assert_eq!(lane.missing.len(), 1);
    assert_eq!(lane.missing[0].path, Path::new("target"));
    assert!(!lane.path.join("target").exists());
    assert_eq!(fs::read_link(lane.path.join("node_modules")).unwrap(), world.checkout.join("node_modules"));
    assert_eq!(repo.dirty_paths(&lane.path, &SnapshotOptions::default()).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(snap(&repo, &lane.path, &base).commit, base);
    repo.restore_lane(&lane.path, &base).unwrap();
    assert!(lane.path.join("node_modules").is_symlink());
    assert!(world.checkout.join("node_modules/x/index.js").exists());
}

#[test]
fn a_lane_deleted_by_hand_or_damaged_is_made_anew() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    fs::remove_dir_all(&lane).unwrap();
    assert!(world.prepared(&repo, 1, &base, &Prepare::default()).made);
    assert_eq!(contents(&lane), world.contents());
    // The same with the registration gone as well.
    fs::remove_dir_all(&lane).unwrap();
    git(&world.checkout, &["worktree", "prune", "--expire=now"]);
    assert!(world.prepared(&repo, 1, &base, &Prepare::default()).made);
    // Only the `.git` file gone; until it is mended every call refuses instead of finding a parent repository.
    fs::remove_file(lane.join(".git")).unwrap();
    let refused = repo.snapshot_lane(&lane, &base, "x", "refs/orchestrator/R-3/x", &SnapshotOptions::default());
    assert!(refused.unwrap_err().to_string().contains("not a lane"));
    assert!(repo.restore_lane(&lane, &base).is_err());
    assert!(repo.dirty_paths(&lane, &SnapshotOptions::default()).is_err());
    assert!(world.prepared(&repo, 1, &base, &Prepare::default()).made);
    assert_eq!(contents(&lane), world.contents());
    assert_eq!(git(&world.checkout, &["worktree", "list"]).matches("L-1").count(), 1);
    // A damaged private index, a damaged lane index, and stale locks.
    fs::write(world.lanes.join(".meta/L-1.index"), b"garbage").unwrap();
    fs::write(world.checkout.join(".git/worktrees/L-1/index"), b"garbage").unwrap();
    fs::write(world.lanes.join(".meta/L-1.index.lock"), b"").unwrap();
    fs::write(world.checkout.join(".git/worktrees/L-1/index.lock"), b"").unwrap();
    write(&lane.join("a"), "edited");
    assert!(!world.prepared(&repo, 1, &base, &Prepare::default()).made);
    assert_eq!(contents(&lane), world.contents());
    assert_eq!(git(&lane, &["status", "--porcelain"]), "");
}

#[test]
fn a_folder_in_the_lanes_place_inside_another_repository_is_never_worked_on() {
    let world = World::with(&[("a", "1\n")]);
    // The state folder lies in somebody's repository: git must not walk up into it.
    git(&world.root, &["init", "--quiet"]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    write(&world.lanes.join("L-1/precious"), "p");
    let lane = world.prepared(&repo, 1, &base, &Prepare::default());
    assert!(lane.made);
    assert_eq!(contents(&lane.path), world.contents());
    let trash = contents(&world.lanes.join(".trash"));
    assert!(trash.values().any(|(_, bytes)| bytes == b"p"), "it is moved away, not deleted");
}

#[test]
fn an_agents_half_finished_rebase_and_branch_do_not_reach_the_next_task() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    for (branch, text) in [("x", "x\n"), ("y", "y\n")] {
        git(&lane, &["checkout", "-q", "-b", branch, base.as_str()]);
        write(&lane.join("a"), text);
        git(&lane, &["commit", "-qam", branch]);
    }
    assert!(!run_git(&lane, &["rebase", "x"]).status.success());
    assert!(git(&lane, &["status"]).contains("rebase"));
    world.lane(&repo, &base);
    let status = git(&lane, &["status", "--porcelain=v2", "--branch"]);
    assert_eq!(status, format!("# branch.oid {base}\n# branch.head (detached)\n"));
    assert!(!git(&lane, &["status"]).contains("rebase"));
}

#[test]
fn a_sparse_checkout_gives_sparse_lanes_that_lose_nothing() {
    let world = World::with(&[("in/a", "1\n"), ("out/b", "1\n"), ("top", "1\n")]);
    git(&world.checkout, &["sparse-checkout", "set", "in"]);
    assert!(!world.checkout.join("out").exists());
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| {
        assert!(!lane.join("out").exists());
        write(&lane.join("in/a"), "2\n");
        write(&lane.join("in/new"), "2\n");
    });
    assert_eq!(base, world.oid("HEAD"));
    let listed = git(&world.checkout, &["ls-tree", "-r", "--name-only", result.as_str()]);
    assert_eq!(listed, "in/a\nin/new\nout/b\ntop\n");
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(read(&world.checkout.join("in/a")), "2\n");
    assert!(!world.checkout.join("out").exists());
}

#[test]
fn submodules_on_this_machine_are_filled_and_others_named() {
    let inner = World::with(&[("lib", "lib\n")]);
    let world = World::with(&[("a", "1\n")]);
    let source = inner.checkout.to_str().unwrap();
    git(&world.checkout, &["submodule", "--quiet", "add", source, "vendored/lib"]);
    git(&world.checkout, &["submodule", "--quiet", "add", source, "away"]);
    world.commit("submodules");
    git(&world.checkout, &["submodule", "--quiet", "deinit", "-f", "away"]);
    fs::remove_dir_all(world.checkout.join(".git/modules/away")).unwrap();
    let before = world.private_state();
    let repo = world.repo();
    let base = world.base(&repo);
    assert_eq!(base.commit, world.oid("HEAD"), "{:?}", base.skipped);
    let lane = world.prepared(&repo, 1, &base.commit, &Prepare::default());
    assert_eq!(read(&lane.path.join("vendored/lib/lib")), "lib\n");
    assert_eq!(lane.missing.iter().map(|m| m.path.as_path()).collect::<Vec<_>>(), [Path::new("away")]);
    write(&lane.path.join("vendored/lib/lib"), "changed\n");
    git(&lane.path.join("vendored/lib"), &["commit", "-qam", "inside"]);
    let snapshot = snap(&repo, &lane.path, &base.commit);
    assert_eq!(snapshot.commit, base.commit);
    assert_eq!(snapshot.skipped, [Skipped { path: "vendored/lib".into(), why: WhySkipped::Submodule }]);
    world.lane(&repo, &base.commit);
    assert_eq!(read(&lane.path.join("vendored/lib/lib")), "lib\n");
    assert_eq!(world.private_state(), before);
    write(&world.checkout.join("vendored/lib/lib"), "dirty\n");
    let dirty = world.base(&repo);
    assert_eq!(dirty.skipped, [Skipped { path: "vendored/lib".into(), why: WhySkipped::Submodule }]);
}

#[test]
fn a_merge_lands_or_names_its_conflict_and_the_reference_moves_once() {
    let world =
        World::with(&[("a", "1\n2\n3\n4\n5\n"), ("b", "1\n"), (".gitattributes", "log merge=union\n"), ("log", "0\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    let task = |lane: &Path, files: &[(&str, &str)]| {
        repo.restore_lane(lane, &base).unwrap();
        files.iter().for_each(|(name, text)| write(&lane.join(name), text));
        snap(&repo, lane, &base).commit
    };
    let one = task(&lane, &[("a", "one\n2\n3\n4\n5\n")]);
    let two = task(&lane, &[("a", "1\n2\n3\n4\ntwo\n"), ("b", "2\n")]);
    let three = task(&lane, &[("a", "three\n2\n3\n4\n5\n"), ("b", "3\n")]);
    let before = world.private_state();
    let Merge::Clean { commit, tree } = repo.merge(&one, &two, "T-2").unwrap() else { panic!("a clean merge") };
    assert_eq!(repo.tree_of(&commit).unwrap(), tree);
    assert_eq!(git(&world.checkout, &["cat-file", "blob", &format!("{commit}:a")]), "one\n2\n3\n4\ntwo\n");
    assert_eq!(repo.merge(&commit, &three, "T-3").unwrap(), Merge::Conflict { paths: vec!["a".into(), "b".into()] });
    assert_eq!(repo.merge(&commit, &two, "again").unwrap(), Merge::Clean { commit: commit.clone(), tree });
    if own_git().version >= (2, 43) {
        let (left, right) = (task(&lane, &[("log", "0\nl\n")]), task(&lane, &[("log", "0\nr\n")]));
        assert!(matches!(repo.merge(&left, &right, "union").unwrap(), Merge::Clean { .. }));
    }

    let run = "refs/orchestrator/R-3/run";
    assert!(repo.advance(run, &one, None).unwrap());
    assert!(!repo.advance(run, &two, None).unwrap(), "it exists already");
    assert!(!repo.advance(run, &commit, Some(&base)).unwrap(), "it stands elsewhere");
    assert!(repo.advance(run, &commit, Some(&one)).unwrap());
    assert!(repo.advance(run, &commit, Some(&one)).unwrap(), "a repetition agrees");
    let lock = world.checkout.join(".git/refs/orchestrator/R-3/run.lock");
    fs::write(&lock, b"").unwrap();
    assert!(repo.advance(run, &two, Some(&commit)).is_err(), "somebody may be at it");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options().write(true).open(&lock).unwrap().set_modified(old).unwrap();
    assert!(repo.advance(run, &two, Some(&commit)).unwrap(), "left by a killed process");
    assert!(repo.advance("refs/heads/main", &two, None).is_err(), "only references of ours");
    assert_eq!(world.private_state(), before);
    repo.delete_refs("refs/orchestrator/R-3/").unwrap();
    assert_eq!(git(&world.checkout, &["for-each-ref", "refs/orchestrator"]), "");
}

#[test]
fn the_result_branch_never_moves_what_the_user_moved() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| write(&lane.join("a"), "2\n"));
    assert_eq!(repo.publish_branch(RUN, &base).unwrap(), "orchestrator/R-3");
    assert_eq!(repo.publish_branch(RUN, &result).unwrap(), "orchestrator/R-3");
    assert_eq!(repo.publish_branch(RUN, &result).unwrap(), "orchestrator/R-3", "a repetition");
    assert_eq!(world.oid("orchestrator/R-3"), result);
    git(&world.checkout, &["checkout", "-q", "orchestrator/R-3"]);
    assert_eq!(repo.publish_branch(RUN, &base).unwrap(), "orchestrator/R-3-2", "it is checked out");
    git(&world.checkout, &["checkout", "-q", "main"]);
    git(&world.checkout, &["branch", "-f", "orchestrator/R-3", "main"]);
    git(&world.checkout, &["branch", "-f", "orchestrator/R-3-2", result.as_str()]);
    assert_eq!(repo.publish_branch(RUN, &result).unwrap(), "orchestrator/R-3-3", "both were moved by the user");
    assert_eq!(world.oid("orchestrator/R-3"), base);
    assert_eq!(git(&world.checkout, &["rev-parse", "--abbrev-ref", "HEAD"]).trim(), "main");

    let world = World::with(&[("a", "1\n")]);
    git(&world.checkout, &["branch", "orchestrator"]);
    let repo = world.repo();
    let head = world.oid("HEAD");
    assert_eq!(repo.publish_branch(RUN, &head).unwrap(), "orchestrator-R-3");
    assert_eq!(repo.publish_branch(RUN, &head).unwrap(), "orchestrator-R-3");
    git(&world.checkout, &["branch", "-D", "orchestrator-R-3"]);
    git(&world.checkout, &["branch", "orchestrator-R-3/mine"]);
    assert_eq!(repo.publish_branch(RUN, &head).unwrap(), "orchestrator-R-3-2");
}

#[test]
fn a_diff_counts_lines_and_a_patch_applies() {
    let world = World::with(&[("a", "1\n2\n"), ("gone", "1\n2\n3\n"), ("bin", "\0\u{1}")]);
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| {
        write(&lane.join("a"), "1\ntwo\nthree\n");
        fs::remove_file(lane.join("gone")).unwrap();
        fs::write(lane.join("bin"), b"\0\x02\xff").unwrap();
        write(&lane.join("new\tname\n"), "x\n");
    });
    let diff = repo.diff(&base, &result).unwrap();
    let seen: Vec<_> =
        diff.files.iter().map(|f| (f.path.to_str().unwrap(), f.status, f.insertions, f.deletions)).collect();
    use Status::*;
    assert_eq!(
        seen,
        [
            ("a", Modified, Some(2), Some(1)),
            ("bin", Modified, None, None),
            ("gone", Deleted, Some(0), Some(3)),
            ("new\tname\n", Added, Some(1), Some(0)),
        ]
    );
    assert_eq!((diff.insertions, diff.deletions), (3, 4));
    assert!(repo.patch(&base, &result, true).unwrap().windows(2).any(|pair| pair == b"\x1b["));
    let patch = world.root.join("patch");
    fs::write(&patch, repo.patch(&base, &result, false).unwrap()).unwrap();
    git(&world.checkout, &["apply", patch.to_str().unwrap()]);
    assert_eq!(world.contents(), contents(&world.lanes.join("L-1")));
}

#[test]
fn a_copied_python_environment_is_the_lanes_own() {
    let world = World::with(&[(".gitignore", ".venv/\n"), ("a", "1\n")]);
    let home = world.checkout.display().to_string();
    world.write(&[
        (".venv/pyvenv.cfg", &format!("command = python -m venv {home}/.venv\n")),
        (".venv/bin/pip", &format!("#!{home}/.venv/bin/python\n{home}2/other\n")),
        (".venv/lib/python3.12/site-packages/__editable__.pth", &format!("{home}/src\n{home}")),
        (".venv/lib/python3.12/site-packages/module.py", &format!("{home}\n")),
    ]);
    executable(&world.checkout.join(".venv/bin/pip"));
    let repo = world.repo();
    let before = world.contents();
    let lane = world.lane(&repo, &world.base(&repo).commit);
    let own = lane.display().to_string();
    assert_eq!(read(&lane.join(".venv/bin/pip")), format!("#!{own}/.venv/bin/python\n{home}2/other\n"));
    assert_eq!(lane.join(".venv/bin/pip").metadata().unwrap().mode() & 0o777, 0o755);
    assert_eq!(read(&lane.join(".venv/lib/python3.12/site-packages/__editable__.pth")), format!("{own}/src\n{own}"));
    assert_eq!(read(&lane.join(".venv/lib/python3.12/site-packages/module.py")), format!("{home}\n"));
    assert_eq!(world.contents(), before);
}

#[test]
fn a_lane_whose_making_was_killed_is_finished() {
    let world = ignored_world();
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let path = world.lanes.join("L-1");
    // Killed after `worktree add`, and in the middle of writing files and of copying a store.
    fs::create_dir_all(world.lanes.join(".meta")).unwrap();
    git(
        &world.checkout,
        &["worktree", "add", "-q", "--detach", "--no-checkout", path.to_str().unwrap(), base.as_str()],
    );
    write(&path.join("b/c"), "half wri");
    write(&world.lanes.join(".meta/L-1.seed/half"), "h");
    let lane = world.prepared(&repo, 1, &base, &Prepare::default());
    assert_eq!(contents(&path), world.contents().into_iter().filter(|(path, _)| !path.starts_with("out")).collect());
    assert!(!lane.made);
    // Killed while being removed: the folder is away, the registration still there.
    fs::rename(&path, world.lanes.join("elsewhere")).unwrap();
    repo.remove_lane(LaneId(1), &world.lanes).unwrap();
    assert!(!git(&world.checkout, &["worktree", "list"]).contains("L-1"));
}

#[test]
fn a_worktree_of_the_user_on_a_disk_that_is_away_stays_registered() {
    let world = World::with(&[("a", "1\n")]);
    let away = world.root.join("away");
    git(&world.checkout, &["worktree", "add", "-q", "--detach", away.to_str().unwrap()]);
    fs::rename(&away, world.root.join("unmounted")).unwrap();
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    fs::remove_dir_all(&lane).unwrap();
    world.lane(&repo, &base);
    repo.remove_lane(LaneId(1), &world.lanes).unwrap();
    fs::rename(world.root.join("unmounted"), &away).unwrap();
    assert_eq!(git(&away, &["status", "--porcelain"]), "");
}

#[test]
fn six_lanes_at_once_land_all_their_work() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let run = "refs/orchestrator/R-3/run";
    assert!(repo.advance(run, &base, None).unwrap());
    std::thread::scope(|scope| {
        for number in 1..=6 {
            let (repo, world, base) = (repo.clone(), &world, &base);
            scope.spawn(move || {
                let lane = world.prepared(&repo, number, base, &Prepare::default()).path;
                write(&lane.join(format!("from {number}")), "x\n");
                let refname = format!("refs/orchestrator/R-3/T-{number}/1");
                let work = repo.snapshot_lane(&lane, base, "Work", &refname, &SnapshotOptions::default()).unwrap();
                loop {
                    let ours = repo.read_ref(run).unwrap().unwrap();
                    let Merge::Clean { commit, .. } = repo.merge(&ours, &work.commit, "Land").unwrap() else {
                        panic!()
                    };
                    if repo.advance(run, &commit, Some(&ours)).unwrap() {
                        break;
                    }
                }
            });
        }
    });
    let landed = repo.read_ref(run).unwrap().unwrap();
    assert_eq!(repo.diff(&base, &landed).unwrap().files.len(), 6);
    assert_eq!(Repo::lanes(&world.lanes), (1..=6).map(LaneId).collect::<Vec<_>>());
    assert_eq!(repo.runs().unwrap(), [RUN]);
}

#[test]
fn a_git_that_outlived_its_daemon_is_waited_for() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    world.lane(&repo, &base);
    // What a killed daemon leaves: a process whose standard input is the lane's lock.
    let lock = fs::File::options().write(true).open(world.lanes.join(".meta/L-1.lock")).unwrap();
    // A child that another test is just starting may have it for a moment, until it executes its program.
    lock.lock().unwrap();
    let mut left = Command::new("sleep").arg("0.4").stdin(lock).spawn().unwrap();
    world.lane(&repo, &base);
    assert!(left.try_wait().unwrap().is_some(), "the lane was taken while the other still wrote");
}

#[test]
fn a_landing_repeated_after_a_kill_is_not_doubled() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let run = "refs/orchestrator/R-3/run";
    assert!(repo.advance(run, &base, None).unwrap());
    let lane = world.lane(&repo, &base);
    write(&lane.join("a"), "2\n");
    let land = |repo: &Repo| {
        let work = snap(repo, &lane, &base);
        let ours = repo.read_ref(run).unwrap().unwrap();
        let Merge::Clean { commit, tree } = repo.merge(&ours, &work.commit, "Land").unwrap() else { panic!() };
        assert!(repo.advance(run, &commit, Some(&ours)).unwrap());
        (commit, tree, names(&work.changed))
    };
    let first = land(&repo);
    // The journal never heard of it: a new process does all of it again.
    let second = land(&world.repo());
    assert_eq!(first, second);
    assert_eq!(first.2, [("a".to_owned(), Status::Modified)]);
}

#[test]
fn a_link_in_the_lanes_place_is_not_followed() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    let victim = world.root.join("victim");
    write(&victim.join("precious"), "p\n");
    fs::copy(lane.join(".git"), victim.join(".git")).unwrap();
    fs::remove_dir_all(&lane).unwrap();
    symlink(&victim, &lane).unwrap();
    assert!(repo.restore_lane(&lane, &base).is_err());
    assert!(world.prepared(&repo, 1, &base, &Prepare::default()).made);
    assert_eq!(read(&victim.join("precious")), "p\n");
    assert_eq!(contents(&lane), world.contents());
}

#[test]
fn lanes_made_at_the_same_moment_do_not_trip_over_each_other() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let together = std::sync::Barrier::new(12);
    std::thread::scope(|scope| {
        for number in 1..=12 {
            let (repo, world, base, together) = (repo.clone(), &world, &base, &together);
            scope.spawn(move || {
                together.wait();
                assert!(world.prepared(&repo, number, base, &Prepare::default()).made);
            });
        }
    });
    assert_eq!(Repo::lanes(&world.lanes).len(), 12);
}
