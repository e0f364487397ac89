//! Bases and lane snapshots hold exactly what is on disk, and say what they leave out.

use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn a_clean_checkout_is_its_own_base() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo);
    assert_eq!((base.commit.clone(), base.clean), (world.oid("HEAD"), true));
    assert_eq!(repo.read_ref("refs/orchestrator/R-3/base").unwrap(), Some(base.commit));
}

#[test]
fn a_dirty_base_is_exact_to_the_byte_and_touches_nothing() {
    let world = World::with(&[
        ("edited", "1\n"),
        ("deleted", "1\n"),
        ("program", "1\n"),
        ("becomes link", "1\n"),
        ("becomes folder", "1\n"),
        ("folder/becomes file", "1\n"),
        ("linked folder/a", "1\n"),
        ("staged then edited", "1\n"),
        ("README", "1\n"),
    ]);
    world.write(&[("edited", "2\r\n\0"), ("staged then edited", "2\n"), ("staged new", "x\n"), ("un/tracked", "y\n")]);
    git(&world.checkout, &["add", "staged then edited", "staged new"]);
    world.write(&[("staged then edited", "3\n"), ("intended", "z")]);
    git(&world.checkout, &["add", "-N", "intended"]);
    let at = |name: &str| world.checkout.join(name);
    fs::remove_file(at("deleted")).unwrap();
    executable(&at("program"));
    fs::remove_file(at("becomes link")).unwrap();
    symlink("nowhere", at("becomes link")).unwrap();
    fs::remove_file(at("becomes folder")).unwrap();
    world.write(&[("becomes folder/inside", "i\n")]);
    fs::remove_dir_all(at("folder")).unwrap();
    world.write(&[("folder", "f\n")]);
    fs::remove_dir_all(at("linked folder")).unwrap();
    symlink("un", at("linked folder")).unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::rename(at("README"), at("readme")).unwrap();
    let strange = OsStr::from_bytes(b"not \xff utf-8 \n name");
    fs::write(world.checkout.join(strange), b"s").unwrap();

    let before = (world.private_state(), world.contents());
    let repo = world.repo();
    let base = world.base(&repo);
    assert!(!base.clean);
    assert_eq!(base.skipped, []);
    let lane = world.lane(&repo, &base.commit);
    assert_eq!(contents(&lane), before.1, "the lane holds the checkout byte by byte");
    assert_eq!((world.private_state(), world.contents()), before, "and the user's repository is as it was");
    assert_eq!(git(&world.checkout, &["rev-parse", &format!("{}^", base.commit)]).trim(), world.oid("HEAD").as_str());
}

#[test]
fn an_edit_in_the_tick_of_the_last_add_is_seen() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    for round in 0..20 {
        let text = format!("{:04}\n", round);
        world.write(&[("a", "same\n")]);
        git(&world.checkout, &["add", "a"]);
        world.write(&[("a", &text)]);
        let base = world.base(&repo);
        assert_eq!(git(&world.checkout, &["cat-file", "blob", &format!("{}:a", base.commit)]), text);
    }
}

#[test]
fn secrets_large_files_and_nested_repositories_stay_out_and_are_named() {
    let world = World::with(&[("a", "1\n"), ("config/.env", "tracked all the same\n")]);
    world.write(&[(".env", "KEY=1"), ("server.pem", "k"), ("fine", "f\n"), ("node_modules/x/y.js", "1")]);
    fs::write(world.checkout.join("huge"), vec![7; 10_000_001]).unwrap();
    for nested in ["empty nest", "full nest"] {
        fs::create_dir(world.checkout.join(nested)).unwrap();
        git(&world.checkout.join(nested), &["init", "--quiet"]);
        world.write(&[(&format!("{nested}/file"), "n")]);
    }
    git(&world.checkout.join("full nest"), &["add", "-A"]);
    git(&world.checkout.join("full nest"), &["commit", "-qm", "inner"]);
    world.write(&[("config/.env", "changed\n")]);
    let repo = world.repo();
    let base = world.base(&repo);
    let mut skipped: Vec<_> =
        base.skipped.iter().map(|s| (s.path.to_string_lossy().into_owned(), s.why.clone())).collect();
    skipped.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        skipped,
        [
            (".env".to_owned(), WhySkipped::Secret),
            ("empty nest/".to_owned(), WhySkipped::NestedRepository),
            ("full nest/".to_owned(), WhySkipped::NestedRepository),
            ("huge".to_owned(), WhySkipped::TooLarge { bytes: 10_000_001 }),
            ("node_modules".to_owned(), WhySkipped::Store),
            ("server.pem".to_owned(), WhySkipped::Secret),
        ]
    );
    let listed = git(&world.checkout, &["ls-tree", "-r", "--name-only", base.commit.as_str()]);
    assert_eq!(listed, "a\nconfig/.env\nfine\n");
    assert!(base.skipped.iter().all(|skipped| !skipped.why.to_string().is_empty()));
}

#[test]
fn a_file_that_a_filter_refuses_is_left_out_and_named() {
    let world = World::with(&[("a", "1\n"), (".gitattributes", "*.locked filter=broken\n")]);
    git(&world.checkout, &["config", "filter.broken.clean", "false"]);
    git(&world.checkout, &["config", "filter.broken.required", "true"]);
    world.write(&[("x.locked", "x"), ("b", "b\n"), ("c", "c\n"), ("d", "d\n")]);
    let base = world.base(&world.repo());
    assert_eq!(base.skipped.len(), 1);
    assert_eq!(base.skipped[0].path, Path::new("x.locked"));
    assert!(matches!(base.skipped[0].why, WhySkipped::Unreadable(_)), "{:?}", base.skipped);
    let listed = git(&world.checkout, &["ls-tree", "-r", "--name-only", base.commit.as_str()]);
    assert_eq!(listed, ".gitattributes\na\nb\nc\nd\n");
}

#[test]
fn a_missing_large_file_filter_fails_softly() {
    let world = World::with(&[(".gitattributes", "*.bin filter=lfs\n")]);
    for (key, value) in [
        ("process", "no-such-lfs process"),
        ("clean", "no-such-lfs clean"),
        ("smudge", "no-such-lfs smudge"),
        ("required", "true"),
    ] {
        git(&world.checkout, &["config", &format!("filter.lfs.{key}"), value]);
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    world.write(&[("asset.bin", pointer)]);
    let repo = world.repo();
    let (_, result) = world.work(&repo, |lane| {
        assert_eq!(read(&lane.join("asset.bin")), pointer);
        write(&lane.join("b"), "b\n");
    });
    assert_eq!(git(&world.checkout, &["cat-file", "blob", &format!("{result}:asset.bin")]), pointer);
}

#[test]
fn a_locked_index_and_an_unfinished_merge_do_not_keep_us() {
    let world = World::with(&[("a", "1\n")]);
    git(&world.checkout, &["checkout", "-qb", "other"]);
    world.write(&[("a", "other\n")]);
    world.commit("other");
    git(&world.checkout, &["checkout", "-q", "main"]);
    world.write(&[("a", "main\n")]);
    world.commit("main");
    assert!(!run_git(&world.checkout, &["merge", "other"]).status.success());
    fs::write(world.checkout.join(".git/index.lock"), b"").unwrap();
    let base = world.base(&world.repo());
    let text = git(&world.checkout, &["cat-file", "blob", &format!("{}:a", base.commit)]);
    assert_eq!(text, read(&world.checkout.join("a")));
    assert!(text.contains("<<<<<<<"));
    assert!(world.checkout.join(".git/index.lock").exists());
}

#[test]
fn an_unborn_repository_has_an_empty_base_or_that_of_its_files() {
    let world = World::unborn(&[]);
    let repo = world.repo();
    let head = repo.head(&world.checkout).unwrap();
    assert_eq!(head, Head { commit: None, branch: Some("main".to_owned()), detached: false });
    let empty = world.base(&repo);
    assert_eq!(git(&world.checkout, &["ls-tree", "-r", empty.commit.as_str()]), "");
    world.write(&[("a", "1\n")]);
    let (base, result) = world.work(&repo, |lane| write(&lane.join("b"), "2\n"));
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.paths, [PathBuf::from("b")]);
    assert_eq!(read(&world.checkout.join("b")), "2\n");
    assert!(!world.checkout.join(".git/index").exists(), "the index is the user's");
}

#[test]
fn heads_of_every_kind_are_told() {
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let commit = Some(world.oid("HEAD"));
    assert_eq!(
        repo.head(&world.checkout).unwrap(),
        Head { commit: commit.clone(), branch: Some("main".to_owned()), detached: false }
    );
    git(&world.checkout, &["checkout", "-q", "--detach"]);
    assert_eq!(repo.head(&world.checkout).unwrap(), Head { commit, branch: None, detached: true });
}

#[test]
fn lane_snapshots_name_what_changed_and_repeat_to_nothing() {
    let world = World::with(&[("a", "1\n"), ("b", "1\n"), ("c", "1\n"), ("d", "1\n")]);
    let repo = world.repo();
    let base = world.base(&repo).commit;
    let lane = world.lane(&repo, &base);
    let none = snap(&repo, &lane, &base);
    assert_eq!((none.commit, none.changed.len()), (base.clone(), 0));
    write(&lane.join("a"), "2\n");
    fs::remove_file(lane.join("b")).unwrap();
    fs::remove_file(lane.join("c")).unwrap();
    symlink("a", lane.join("c")).unwrap();
    executable(&lane.join("d"));
    write(&lane.join("new/é"), "n\n");
    assert_eq!(repo.dirty_paths(&lane, &SnapshotOptions::default()).unwrap().len(), 5);
    let one = snap(&repo, &lane, &base);
    use Status::*;
    let expected = [("a", Modified), ("b", Deleted), ("c", TypeChanged), ("d", Modified), ("new/é", Added)];
    assert_eq!(names(&one.changed), expected.map(|(name, status)| (name.to_owned(), status)));
    assert_eq!(repo.tree_of(&one.commit).unwrap(), one.tree);
    assert_eq!(snap(&repo, &lane, &one.commit).commit, one.commit, "nothing changed since");
    // What the agent does to the lane's own index and HEAD changes nothing: flags, commits, branches.
    git(&lane, &["add", "-A"]);
    git(&lane, &["commit", "-qm", "agent's own"]);
    git(&lane, &["update-index", "--assume-unchanged", "a"]);
    write(&lane.join("a"), "hidden\n");
    let two = snap(&repo, &lane, &one.commit);
    assert_eq!(names(&two.changed), [("a".to_owned(), Modified)]);
    // Back to the base in content: the same tree.
    repo.restore_lane(&lane, &base).unwrap();
    assert_eq!(snap(&repo, &lane, &base).commit, base);
    assert_eq!(contents(&lane), world.contents());
}

#[test]
fn what_is_still_not_saved_when_the_result_comes_stays_the_editors() {
    let text = |head: &str, foot: &str| format!("{head}\n{}{foot}\n", "-\n".repeat(9));
    let world = World::with(&[("a", &text("head", "foot"))]);
    let repo = world.repo();
    let buffers = BTreeMap::from([("a".to_owned(), text("head", "FOOT"))]);
    let refname = "refs/orchestrator/R-3/base";
    let base = repo.base(&world.checkout, refname, &buffers, &SnapshotOptions::default()).unwrap().commit;
    let lane = world.lane(&repo, &base);
    fs::write(lane.join("a"), text("HEAD", "FOOT")).unwrap();
    let result = snap(&repo, &lane, &base).commit;
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    let disk = || fs::read_to_string(world.checkout.join("a")).unwrap();
    assert_eq!(disk(), text("HEAD", "foot"), "what was worked out is written, what the user typed is not");
    repo.undo(&world.undo_plan(&applied)).unwrap();
    assert_eq!(disk(), text("head", "foot"));
}

#[test]
fn the_base_takes_what_an_editor_has_unsaved_and_leaves_the_disk() {
    let world = World::with(&[
        ("run.sh", "echo saved\n"),
        (".gitattributes", "*.crlf text eol=crlf\n"),
        ("a [1].crlf", "saved\r\n"),
    ]);
    executable(&world.checkout.join("run.sh"));
    world.write(&[(".env", "SECRET=1\n")]);
    let repo = world.repo();
    let before = (world.private_state(), world.contents());
    let given = [("run.sh", "echo unsaved\n"), ("a [1].crlf", "new\r\n"), (".env", "SECRET=2\n"), ("nowhere", "x\n")];
    let buffers = given.iter().map(|(path, text)| (String::from(*path), String::from(*text))).collect();
    let refname = "refs/orchestrator/R-3/base";
    let base = repo.base(&world.checkout, refname, &buffers, &SnapshotOptions::default()).unwrap();
    assert!(!base.clean);
    let taken: Vec<(&str, bool)> = base.unsaved.iter().map(|(path, why)| (path.as_str(), why.is_none())).collect();
    assert_eq!(taken, [(".env", false), ("a [1].crlf", true), ("nowhere", false), ("run.sh", true)]);
    let shown = |path: &str| git(&world.checkout, &["show", &format!("{}:{path}", base.commit)]);
    assert_eq!(shown("a [1].crlf"), "new\n", "through the filters of its path");
    let entry = |path: &str| git(&world.checkout, &["ls-tree", base.commit.as_str(), path]);
    assert!(entry("run.sh").starts_with("100755"), "its mode is the file's");
    assert_eq!(entry(".env"), "");
    assert_eq!((world.private_state(), world.contents()), before, "the user's repository is as it was");
    let lane = world.lane(&repo, &base.commit);
    assert_eq!(fs::read_to_string(lane.join("run.sh")).unwrap(), "echo unsaved\n");
    assert_eq!(fs::read_to_string(lane.join("a [1].crlf")).unwrap(), "new\r\n");
    assert_eq!(world.base(&repo).unsaved, []);
}
