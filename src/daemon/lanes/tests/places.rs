//! Where a workspace may be, how it is found, and what is said where it cannot be one.

use super::*;

fn refusal(world: &World, start: &Path, limits: &FolderLimits) -> String {
    discover(&own_git(), start, &world.state, limits).unwrap_err().to_string()
}

#[test]
fn a_repository_is_found_from_inside_and_two_work_trees_are_one_workspace() {
    let world = World::with(&[("sub/a", "1\n"), ("b", "1\n")]);
    let found = world.found();
    assert_eq!((found.checkout.as_path(), found.name.as_str()), (world.checkout.as_path(), "project"));
    assert_eq!(found.id.len(), 16);
    let inner = discover(&own_git(), &world.checkout.join("sub"), &world.state, &FolderLimits::default()).unwrap();
    assert_eq!((inner.id.as_str(), inner.checkout), (found.id.as_str(), world.checkout.clone()));

    let other = world.root.join("other tree");
    git(&world.checkout, &["worktree", "add", "-q", "-b", "side", other.to_str().unwrap()]);
    let second = discover(&own_git(), &other, &world.state, &FolderLimits::default()).unwrap();
    assert_eq!((second.id, second.name), (found.id, found.name));
    assert_eq!(second.checkout, other);
    // One repository, two checkouts at once: each run's result goes to its own.
    write(&other.join("only here"), "o\n");
    let repo = found.repo;
    let base = repo.base(&other, "refs/orchestrator/R-3/base", &BTreeMap::new(), &SnapshotOptions::default()).unwrap();
    let lane = repo.prepare_lane(LaneId(1), &world.lanes, &base.commit, &other, &Prepare::default()).unwrap().path;
    write(&lane.join("b"), "2\n");
    let result = snap(&repo, &lane, &base.commit).commit;
    let before = world.contents();
    let plan = ApplyPlan { checkout: other.clone(), ..world.plan(&base.commit, &result) };
    assert_eq!(repo.apply(&plan).unwrap().paths, [PathBuf::from("b")]);
    assert_eq!(contents(&other), contents(&lane));
    assert_eq!(world.contents(), before);
    assert_eq!(repo.head(&other).unwrap().branch.as_deref(), Some("side"));
    let stranger = World::with(&[("a", "1\n")]);
    assert!(repo.head(&stranger.checkout).is_err(), "not a work tree of this repository");
}

#[test]
fn a_bare_repository_with_work_trees_serves_them_and_refuses_itself() {
    let source = World::with(&[("a", "1\n")]);
    let world = World::folder();
    let bare = world.root.join("project/.bare");
    git(&world.root, &["clone", "-q", "--bare", source.checkout.to_str().unwrap(), bare.to_str().unwrap()]);
    assert!(refusal(&world, &bare, &FolderLimits::default()).contains("bare repository"));
    let tree = world.root.join("project/main");
    git(&bare, &["worktree", "add", "-q", tree.to_str().unwrap(), "main"]);
    let found = discover(&own_git(), &tree, &world.state, &FolderLimits::default()).unwrap();
    assert_eq!(found.name, "project");
    write(&tree.join("a"), "dirty\n");
    let repo = found.repo;
    let base =
        repo.base(&tree, "refs/orchestrator/R-3/base", &BTreeMap::new(), &SnapshotOptions::default()).unwrap().commit;
    let lane = repo.prepare_lane(LaneId(1), &world.lanes, &base, &tree, &Prepare::default()).unwrap().path;
    assert_eq!(contents(&lane), contents(&tree));
    write(&lane.join("b"), "b\n");
    let result = snap(&repo, &lane, &base).commit;
    let plan = ApplyPlan { checkout: tree.clone(), ..world.plan(&base, &result) };
    assert_eq!(repo.apply(&plan).unwrap().conflicts, []);
    assert_eq!(contents(&tree), contents(&lane));
}

#[test]
fn a_plain_folder_works_end_to_end_and_nothing_appears_in_it() {
    let world = World::folder();
    world.write(&[("a", "1\n"), ("sub/b", "1\n"), (".env", "SECRET=1\n"), (".gitignore", "*.log\n"), ("x.log", "l\n")]);
    world.write(&[("node_modules/m/i.js", "m\n")]);
    let start = world.contents();
    let found = world.found();
    assert!(found.repo.is_shadow());
    assert_eq!((found.checkout.as_path(), found.name.as_str()), (world.checkout.as_path(), "project"));
    assert_eq!(world.found().id, found.id);
    let repo = found.repo;
    assert_eq!(repo.head(&world.checkout).unwrap().branch, None);
    let base = world.base(&repo);
    assert_eq!(base.skipped, [Skipped { path: ".env".into(), why: WhySkipped::Secret }]);
    assert_eq!(world.base(&repo).tree, base.tree, "and again, from the remembered index");
    let lane = world.lane(&repo, &base.commit);
    let mut expected = start.clone();
    expected.remove(Path::new(".env"));
    expected.remove(Path::new("x.log"));
    assert_eq!(contents(&lane), expected, "with its packages, without its secrets");
    assert_eq!(git(&lane, &["status", "--porcelain"]), "", "git works in the lane");
    write(&lane.join("a"), "2\n");
    write(&lane.join("new/c"), "n\n");
    fs::remove_dir_all(lane.join("sub")).unwrap();
    let result = snap(&repo, &lane, &base.commit).commit;
    assert_eq!(world.contents(), start);
    let applied = repo.apply(&world.plan(&base.commit, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(read(&world.checkout.join("a")), "2\n");
    assert!(world.checkout.join("new/c").exists() && !world.checkout.join("sub").exists());
    assert_eq!(read(&world.checkout.join(".env")), "SECRET=1\n");
    assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    assert_eq!(world.contents(), start);
    assert!(!world.checkout.join(".git").exists());
    assert_eq!(repo.publish_branch(RUN, &result).unwrap(), "orchestrator/R-3");
    repo.remove_lane(LaneId(1), &world.lanes).unwrap();
}

#[test]
fn folders_that_are_no_workspace_are_refused_with_the_number_and_the_flag() {
    let world = World::folder();
    for number in 0..4 {
        world.write(&[(&format!("f{number}"), "12345")]);
    }
    let limits = FolderLimits { files_max: 3, ..FolderLimits::default() };
    let said = refusal(&world, &world.checkout, &limits);
    assert!(said.contains("more than 3 files") && said.contains("--allow-large-folder"), "{said}");
    let limits = FolderLimits { bytes_max: 10, ..FolderLimits::default() };
    assert!(refusal(&world, &world.checkout, &limits).contains("MB"));
    let limits = FolderLimits { files_max: 3, allow_large: true, ..FolderLimits::default() };
    assert!(discover(&own_git(), &world.checkout, &world.state, &limits).is_ok());
    let limits = FolderLimits { home: Some(world.checkout.clone()), ..FolderLimits::default() };
    assert!(refusal(&world, &world.checkout, &limits).contains("home folder"));
    git(&world.checkout, &["init", "-q"]);
    let said = refusal(&world, &world.checkout, &limits);
    assert!(said.contains("git init"), "a home folder under git is refused too: {said}");
    assert!(refusal(&world, Path::new("/"), &FolderLimits::default()).contains("root of the file system"));
    let within = FolderLimits::default();
    let said = discover(&own_git(), &world.root, &world.state, &within).unwrap_err().to_string();
    assert!(said.contains("state folder"), "{said}");
}

#[test]
fn broken_repositories_are_not_taken_for_plain_folders() {
    let world = World::folder();
    fs::write(world.checkout.join(".git"), "gitdir: /nowhere/at/all\n").unwrap();
    let said = refusal(&world, &world.checkout, &FolderLimits::default());
    assert!(said.contains("git cannot use"), "{said}");
    let world = World::with(&[("a", "1\n")]);
    let said = refusal(&world, &world.checkout.join(".git"), &FolderLimits::default());
    assert!(said.contains("start in the work tree"), "{said}");
    git(&world.checkout, &["config", "core.repositoryFormatVersion", "99"]);
    assert!(refusal(&world, &world.checkout, &FolderLimits::default()).contains("git cannot use"));
}

#[test]
fn a_repository_of_another_user_is_refused_with_the_remedy() {
    let world = World::with(&[("a", "1\n")]);
    // Only root can give files away; elsewhere the wording alone is checked.
    let given = std::os::unix::fs::chown(&world.checkout, Some(12345), None)
        .and_then(|()| std::os::unix::fs::chown(world.checkout.join(".git"), Some(12345), None));
    let said = match given {
        Ok(()) => refusal(&world, &world.checkout, &FolderLimits::default()),
        Err(_) => LaneError::Ownership { path: world.checkout.clone() }.to_string(),
    };
    assert!(said.contains("git config --global --add safe.directory"), "{said}");
}

#[test]
fn a_missing_or_old_git_is_named_with_what_to_install() {
    let missing = "git not found: install git 2.38 or newer and see that it is on the PATH";
    assert_eq!(Git::find(None).unwrap_err().to_string(), missing);
    let world = World::folder();
    assert_eq!(Git::find(Some(world.root.as_os_str())).unwrap_err().to_string(), missing);
    let fake = world.root.join("git");
    write(&fake, "#!/bin/sh\necho git version 2.30.2\n");
    executable(&fake);
    let said = Git::find(Some(world.root.as_os_str())).unwrap_err().to_string();
    assert_eq!(said, "git 2.30.2 is too old: install git 2.38 or newer");
    write(&fake, "#!/bin/sh\necho git version 2.38.1\n");
    let git = Git::find(Some(world.root.as_os_str())).unwrap();
    assert_eq!(git.version, (2, 38));
    fs::remove_file(&fake).unwrap();
    assert!(matches!(
        discover(&git, &world.checkout, &world.state, &FolderLimits::default()),
        Err(LaneError::GitMissing)
    ));
}

#[test]
fn sha256_and_alternates_and_reftables_work_like_the_rest() {
    let world = World::unborn(&["--object-format=sha256"]);
    world.write(&[("a", "1\n")]);
    assert_eq!(world.commit("first").as_str().len(), 64);
    round_trip(&world);

    let source = World::with(&[("a", "1\n")]);
    let world = World::folder();
    git(&world.root, &["clone", "-q", "--shared", source.checkout.to_str().unwrap(), "project"]);
    assert!(world.checkout.join(".git/objects/info/alternates").exists());
    round_trip(&world);

    let world = World::folder();
    if run_git(&world.checkout, &["init", "-q", "--ref-format=reftable"]).status.success() {
        world.write(&[("a", "1\n")]);
        world.commit("first");
        round_trip(&world);
        assert_eq!(git(&world.lanes.join("L-1"), &["status", "--porcelain"]), " M a\n");
    }
}

/// Base, lane, reset, snapshot, landing, branch, apply, undo.
fn round_trip(world: &World) {
    world.write(&[("untracked", "u\n")]);
    let start = world.contents();
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| write(&lane.join("a"), "2\n"));
    assert!(!world.prepared(&repo, 1, &base, &Prepare::default()).made);
    let Merge::Clean { commit, .. } = repo.merge(&base, &result, "T-1").unwrap() else { panic!("a clean merge") };
    assert!(repo.advance("refs/orchestrator/R-3/run", &commit, None).unwrap());
    assert_eq!(repo.publish_branch(RUN, &commit).unwrap(), "orchestrator/R-3");
    let applied = repo.apply(&world.plan(&base, &commit)).unwrap();
    assert_eq!(applied.paths, [PathBuf::from("a")]);
    assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    assert_eq!(world.contents(), start);
    write(&world.lanes.join("L-1/a"), "3\n");
}

#[test]
fn object_ids_are_checked() {
    assert!("0123456789abcdef0123456789abcdef01234567".parse::<Oid>().is_ok());
    for text in ["", "HEAD", "0123456789ABCDEF0123456789abcdef01234567", "--output=x", &"a".repeat(41)] {
        assert!(text.parse::<Oid>().is_err(), "{text}");
    }
    let oid: Oid = serde_json::from_str(&format!("{:?}", "b".repeat(64))).unwrap();
    assert_eq!(serde_json::to_string(&oid).unwrap(), format!("{:?}", "b".repeat(64)));
    assert!(serde_json::from_str::<Oid>("\"x\"").is_err());
}

#[test]
fn what_killed_calls_left_in_scratch_is_swept() {
    let world = World::with(&[("a", "1\n")]);
    let found = world.found();
    let scratch = world.state.join("scratch").join(&found.id);
    write(&scratch.join("index-1-2-3"), "left");
    write(&scratch.join("folder/x"), "left");
    found.repo.sweep().unwrap();
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    world.base(&found.repo);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "and a finished call leaves nothing");
}
