//! Apply and undo: all or nothing, on dirty trees, resumable, and never over somebody's edit.

use std::os::unix::ffi::OsStrExt;

use super::*;

/// A world whose result edits, adds, deletes, links, turns files into folders and back, and renames by case only.
pub(super) fn busy() -> (World, Repo, Oid, Oid) {
    let world = World::with(&[
        ("edit", "1\n2\n3\n4\n5\n"),
        ("gone/deep/file", "1\n"),
        ("program", "1\n"),
        ("to link", "1\n"),
        ("to folder", "1\n"),
        ("to file/a", "1\n"),
        ("to file/b/c", "1\n"),
        ("Case", "1\n"),
        ("untouched", "1\n"),
    ]);
    world.write(&[("to real folder target/x", "1\n")]);
    symlink("to real folder target", world.checkout.join("linked")).unwrap();
    world.commit("more");
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| {
        write(&lane.join("edit"), "1\n2\n3\n4\nfive\n");
        fs::remove_dir_all(lane.join("gone")).unwrap();
        executable(&lane.join("program"));
        fs::remove_file(lane.join("to link")).unwrap();
        symlink("untouched", lane.join("to link")).unwrap();
        fs::remove_file(lane.join("to folder")).unwrap();
        write(&lane.join("to folder/inside/x"), "x\n");
        fs::remove_dir_all(lane.join("to file")).unwrap();
        write(&lane.join("to file"), "now a file\n");
        fs::rename(lane.join("Case"), lane.join("case")).unwrap();
        fs::remove_file(lane.join("linked")).unwrap();
        write(&lane.join("linked/x"), "real\n");
        write(&lane.join("added/new"), "n\n");
        fs::write(lane.join(OsStr::from_bytes(b"bytes \xff\xfe")), b"b").unwrap();
    });
    (world, repo, base, result)
}

#[test]
fn every_kind_of_change_goes_in_and_out_again() {
    let (world, repo, base, result) = busy();
    let (start, private) = (world.contents(), world.private_state());
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert!(!applied.already);
    assert_eq!(world.contents(), contents(&world.lanes.join("L-1")));
    assert!(!world.checkout.join("gone").exists(), "emptied folders go");
    assert_eq!(read(&world.checkout.join("to real folder target/x")), "1\n", "nothing was written through the link");
    assert_eq!(world.private_state()[..6], private[..6], "index, HEAD, branches, stash as they were");

    let twice = repo.apply(&world.plan(&base, &result)).unwrap();
    assert!(twice.already && twice.paths.is_empty());
    assert_eq!((&twice.before, &twice.merged_tree), (&applied.before, &applied.merged_tree));

    let Undone::Restored { paths } = repo.undo(&world.undo_plan(&applied)).unwrap() else { panic!("restored") };
    assert_eq!(paths, applied.paths);
    assert_eq!(world.contents(), start);
    assert_eq!(world.private_state(), private);
    assert_eq!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Already);
    assert!(!repo.apply(&world.plan(&base, &result)).unwrap().already, "and in again");
    assert_eq!(world.contents(), contents(&world.lanes.join("L-1")));
}

#[test]
fn a_dirty_checkout_keeps_its_own_changes() {
    let (world, repo, base, result) = busy();
    world.write(&[("edit", "one\n2\n3\n4\n5\n"), ("untouched", "mine\n"), ("untracked", "u\n"), ("staged", "s\n")]);
    git(&world.checkout, &["add", "staged"]);
    fs::set_permissions(world.checkout.join("edit"), fs::Permissions::from_mode(0o600)).unwrap();
    let start = world.contents();
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(read(&world.checkout.join("edit")), "one\n2\n3\n4\nfive\n");
    assert_eq!(world.checkout.join("edit").metadata().unwrap().mode() & 0o777, 0o600, "permissions are the user's");
    assert_eq!(read(&world.checkout.join("untouched")), "mine\n");
    // Work goes on elsewhere; undo takes out exactly the result.
    world.write(&[("untouched", "mine, later\n")]);
    assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    let mut expected = start;
    expected.insert("untouched".into(), ("file".to_owned(), b"mine, later\n".to_vec()));
    assert_eq!(world.contents(), expected);
}

#[test]
fn a_conflicting_edit_is_named_and_nothing_is_written() {
    let (world, repo, base, result) = busy();
    world.write(&[("edit", "1\n2\n3\n4\nmine\n")]);
    let (start, private) = (world.contents(), world.private_state());
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, [Blocked { path: "edit".into(), why: WhyBlocked::Conflict }]);
    assert!(applied.paths.is_empty());
    assert_eq!((world.contents(), world.private_state()), (start, private));
    assert!(applied.conflicts[0].to_string().contains("edit"));
}

#[test]
fn what_git_does_not_see_is_never_overwritten() {
    let (world, repo, base, result) = busy();
    fs::write(world.checkout.join(".git/info/exclude"), "added/new\nprecious\n").unwrap();
    world.write(&[("added/new", "ignored, but mine\n"), ("to file/precious", "p\n")]);
    let start = world.contents();
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    let expected = ["added/new", "to file"].map(|path| Blocked { path: path.into(), why: WhyBlocked::InTheWay });
    assert_eq!(applied.conflicts, expected);
    assert_eq!(world.contents(), start);

    // A file above the size limit, which the snapshot leaves out.
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| write(&lane.join("data"), "small\n"));
    fs::write(world.checkout.join("data"), vec![b'x'; 10_000_001]).unwrap();
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, [Blocked { path: "data".into(), why: WhyBlocked::InTheWay }]);
    assert_eq!(applied.skipped.len(), 1);

    // An ignored link to a place outside: the result's file must not be written through it.
    let world = World::with(&[("a", "1\n")]);
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| write(&lane.join("out/x"), "x\n"));
    fs::create_dir(world.root.join("outside")).unwrap();
    fs::write(world.checkout.join(".git/info/exclude"), "out\n").unwrap();
    symlink(world.root.join("outside"), world.checkout.join("out")).unwrap();
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, [Blocked { path: "out/x".into(), why: WhyBlocked::InTheWay }]);
    assert_eq!(fs::read_dir(world.root.join("outside")).unwrap().count(), 0);
}

#[test]
fn an_unfinished_merge_stops_only_its_own_files() {
    let world = World::with(&[("a", "1\n"), ("b", "1\n")]);
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| write(&lane.join("b"), "2\n"));
    git(&world.checkout, &["checkout", "-qb", "other"]);
    world.write(&[("a", "other\n")]);
    world.commit("other");
    git(&world.checkout, &["checkout", "-q", "main"]);
    world.write(&[("a", "main\n")]);
    world.commit("main");
    assert!(!run_git(&world.checkout, &["merge", "other"]).status.success());
    fs::write(world.checkout.join(".git/index.lock"), b"").unwrap();
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!((applied.conflicts.len(), read(&world.checkout.join("b")).as_str()), (0, "2\n"));
    assert!(read(&world.checkout.join("a")).contains("<<<<<<<"));
}

#[test]
fn it_applies_after_the_branch_moved() {
    let (world, repo, base, result) = busy();
    world.write(&[("edit", "zero\n1\n2\n3\n4\n5\n"), ("later", "l\n")]);
    let head = world.commit("later");
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(read(&world.checkout.join("edit")), "zero\n1\n2\n3\n4\nfive\n");
    assert_eq!(world.oid("HEAD"), head);
    // Committed by the user, and the run applied again: nothing is left to do.
    world.commit("with the result");
    assert!(repo.apply(&world.plan(&base, &result)).unwrap().already);
}

#[test]
fn undo_refuses_where_a_path_was_edited_since() {
    let (world, repo, base, result) = busy();
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    world.write(&[("edit", "edited since\n"), ("gone/deep/file", "made again, differently\n")]);
    let start = world.contents();
    let Undone::Refused { edited } = repo.undo(&world.undo_plan(&applied)).unwrap() else { panic!("refused") };
    assert_eq!(
        edited,
        [
            Blocked { path: "edit".into(), why: WhyBlocked::Edited },
            Blocked { path: "gone/deep/file".into(), why: WhyBlocked::InTheWay }
        ]
    );
    assert_eq!(world.contents(), start);
}

#[test]
fn an_apply_killed_at_any_path_is_finished_by_the_next_or_undone() {
    let (world, repo, base, result) = busy();
    let start = world.contents();
    let wanted = contents(&world.lanes.join("L-1"));
    let plan = world.plan(&base, &result);
    let mut stops = 0;
    loop {
        let mut left = stops;
        let killed = repo.apply_with(&plan, &mut |_| {
            left -= 1;
            left >= 0
        });
        let Err(error) = killed else { break };
        assert!(error.to_string().contains("as a test asked"), "{error}");
        // A new process, as after a kill: nothing remembered.
        let repo = world.repo();
        let applied = repo.apply(&plan).unwrap();
        assert_eq!(applied.conflicts, [], "killed before path {stops}");
        assert_eq!(world.contents(), wanted, "killed before path {stops}");
        // The record is that of the first try, so undo brings back the true beginning, also when killed itself.
        let mut left = stops / 2;
        let undo = world.undo_plan(&applied);
        let killed = repo.undo_with(&undo, &mut |_| {
            left -= 1;
            left >= 0
        });
        assert!(killed.is_err());
        assert!(matches!(world.repo().undo(&undo).unwrap(), Undone::Restored { .. } | Undone::Already));
        assert_eq!(world.contents(), start, "killed before path {stops}");
        stops += 1;
    }
    assert!(stops >= 12, "every path was a place to stop: {stops}");
    assert_eq!(world.contents(), wanted);
}

#[test]
fn a_half_applied_result_can_be_undone_and_an_edit_in_it_is_respected() {
    let (world, repo, base, result) = busy();
    let start = world.contents();
    let plan = world.plan(&base, &result);
    let mut left = 8;
    let killed = repo.apply_with(&plan, &mut |_| {
        left -= 1;
        left > 0
    });
    assert!(killed.is_err());
    world.write(&[("edit", "an edit after the crash\n")]);
    let applied = repo.apply(&plan).unwrap();
    assert_eq!(applied.conflicts, [Blocked { path: "edit".into(), why: WhyBlocked::Edited }]);
    world.write(&[("edit", "1\n2\n3\n4\n5\n")]);
    assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    assert_eq!(world.contents(), start);
}

#[test]
fn an_edit_during_the_writing_is_kept_and_the_rest_taken_back() {
    let (world, repo, base, result) = busy();
    let mut expected = world.contents();
    let plan = world.plan(&base, &result);
    let mut count = 0;
    let applied = repo
        .apply_with(&plan, &mut |path| {
            count += 1;
            if path == Path::new("to link") {
                write(&world.checkout.join("to link"), "saved by an editor just now\n");
            }
            true
        })
        .unwrap();
    assert!(count > 5);
    assert_eq!(applied.conflicts, [Blocked { path: "to link".into(), why: WhyBlocked::Edited }]);
    expected.insert("to link".into(), ("file".to_owned(), b"saved by an editor just now\n".to_vec()));
    assert_eq!(world.contents(), expected);
}

#[test]
fn line_ends_and_filters_are_those_of_the_checkout() {
    let world = World::with(&[("dos.txt", "1\n2\n"), ("unix.txt", "1\n2\n"), ("up.case", "abc\n")]);
    world.write(&[(".gitattributes", "dos.txt eol=crlf\nunix.txt eol=lf\n*.case filter=case\n")]);
    git(&world.checkout, &["config", "filter.case.clean", "tr A-Z a-z"]);
    git(&world.checkout, &["config", "filter.case.smudge", "tr a-z A-Z"]);
    world.commit("attributes");
    for name in ["dos.txt", "up.case"] {
        fs::remove_file(world.checkout.join(name)).unwrap();
        git(&world.checkout, &["checkout", "--", name]);
    }
    assert_eq!(read(&world.checkout.join("dos.txt")), "1\r\n2\r\n");
    let start = world.contents();
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| {
        assert_eq!(contents(lane), start);
        write(&lane.join("dos.txt"), "1\r\n2\r\n3\r\n");
        write(&lane.join("up.case"), "ABC\nDEF\n");
        write(&lane.join(".gitattributes"), "*.txt eol=crlf\n*.case filter=case\n");
        write(&lane.join("new.txt"), "n\n");
    });
    let blob = |path: &str| git(&world.checkout, &["cat-file", "blob", &format!("{result}:{path}")]);
    assert_eq!((blob("dos.txt").as_str(), blob("up.case").as_str()), ("1\n2\n3\n", "abc\ndef\n"));
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(read(&world.checkout.join("dos.txt")), "1\r\n2\r\n3\r\n");
    assert_eq!(read(&world.checkout.join("up.case")), "ABC\nDEF\n");
    assert_eq!(read(&world.checkout.join("new.txt")), "n\r\n", "by the attributes that come with it");
    assert!(repo.apply(&world.plan(&base, &result)).unwrap().already);
    assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    assert_eq!(world.contents(), start);

    let world = World::unborn(&[]);
    git(&world.checkout, &["config", "core.autocrlf", "true"]);
    world.write(&[("a", "1\r\n2\r\n")]);
    world.commit("converted");
    let repo = world.repo();
    assert!(world.base(&repo).clean);
    let (base, result) = world.work(&repo, |lane| {
        assert_eq!(read(&lane.join("a")), "1\r\n2\r\n");
        write(&lane.join("a"), "1\r\n2\r\n3\r\n");
    });
    assert_eq!(repo.diff(&base, &result).unwrap().insertions, 1);
    assert_eq!(repo.apply(&world.plan(&base, &result)).unwrap().conflicts, []);
    assert_eq!(read(&world.checkout.join("a")), "1\r\n2\r\n3\r\n");
}

#[test]
fn staging_on_another_file_system_works_too() {
    let Some(other) = Some(Path::new("/dev/shm")).filter(|path| path.is_dir()) else {
        return tracing::info!("skipped: there is no second file system");
    };
    let keep = tempfile::tempdir_in(other).unwrap();
    let (world, repo, base, result) = busy();
    if keep.path().metadata().unwrap().dev() == world.checkout.metadata().unwrap().dev() {
        return tracing::info!("skipped: both folders are on one file system");
    }
    let start = world.contents();
    let plan = ApplyPlan { staging: keep.path().to_owned(), ..world.plan(&base, &result) };
    let applied = repo.apply(&plan).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(world.contents(), contents(&world.lanes.join("L-1")));
    let undo = UndoPlan { staging: keep.path().to_owned(), ..world.undo_plan(&applied) };
    assert!(matches!(repo.undo(&undo).unwrap(), Undone::Restored { .. }));
    assert_eq!(world.contents(), start);
}

#[test]
fn a_part_of_a_result_applies_alone_and_the_rest_later() {
    let world = World::with(&[("a", "1\n"), ("b", "1\n")]);
    let repo = world.repo();
    let (base, one) = world.work(&repo, |lane| write(&lane.join("a"), "2\n"));
    let lane = world.lane(&repo, &one);
    write(&lane.join("b"), "2\n");
    let both = snap(&repo, &lane, &one).commit;
    assert_eq!(repo.apply(&world.plan(&base, &one)).unwrap().paths, [PathBuf::from("a")]);
    let second = repo.apply(&world.plan(&base, &both)).unwrap();
    assert_eq!(second.paths, [PathBuf::from("b")]);
    assert!(matches!(repo.undo(&world.undo_plan(&second)).unwrap(), Undone::Restored { .. }));
    assert_eq!(
        (read(&world.checkout.join("a")), read(&world.checkout.join("b"))),
        ("2\n".to_owned(), "1\n".to_owned())
    );
}

#[test]
fn a_file_hidden_by_flags_in_the_users_index_is_not_overwritten() {
    let world = World::with(&[("local", "1\n"), ("a", "1\n")]);
    git(&world.checkout, &["update-index", "--assume-unchanged", "local"]);
    world.write(&[("local", "my own tweak\n")]);
    let repo = world.repo();
    let (base, result) = world.work(&repo, |lane| write(&lane.join("local"), "2\n"));
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, [Blocked { path: "local".into(), why: WhyBlocked::Edited }]);
    assert_eq!(read(&world.checkout.join("local")), "my own tweak\n");
}

#[test]
fn content_that_a_kill_left_beside_its_target_is_no_part_of_the_checkout() {
    let (world, repo, base, result) = busy();
    let start = world.contents();
    world.write(&[(".orchestrator-0123abcd.tmp", "left\n")]);
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!((applied.conflicts.len(), applied.skipped.len()), (0, 0));
    let listed = git(&world.checkout, &["ls-tree", "-r", "--name-only", applied.before.as_str()]);
    assert!(!listed.contains(".orchestrator"), "{listed}");
    assert!(matches!(repo.undo(&world.undo_plan(&applied)).unwrap(), Undone::Restored { .. }));
    fs::remove_file(world.checkout.join(".orchestrator-0123abcd.tmp")).unwrap();
    assert_eq!(world.contents(), start);
}

#[test]
fn a_submodule_that_the_result_moves_is_named_and_left() {
    let inner = World::with(&[("lib", "lib\n")]);
    let world = World::with(&[("a", "1\n")]);
    git(&world.checkout, &["submodule", "--quiet", "add", inner.checkout.to_str().unwrap(), "lib"]);
    let base = world.commit("submodule");
    let repo = world.repo();
    // A result can only move one by its author's own commit; lanes never do.
    git(&world.checkout.join("lib"), &["commit", "-q", "--allow-empty", "-m", "moved"]);
    world.write(&[("a", "2\n")]);
    let result = world.commit("both");
    git(&world.checkout, &["reset", "-q", "--hard", base.as_str()]);
    git(&world.checkout, &["submodule", "--quiet", "update"]);
    let at = git(&world.checkout.join("lib"), &["rev-parse", "HEAD"]);
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!((applied.conflicts, applied.paths), (vec![], vec![PathBuf::from("a")]));
    assert_eq!(applied.submodules, [PathBuf::from("lib")]);
    assert_eq!(git(&world.checkout.join("lib"), &["rev-parse", "HEAD"]), at);
}

#[test]
fn a_record_that_appeared_meanwhile_is_stepped_over() {
    let (world, repo, base, result) = busy();
    git(&world.checkout, &["update-ref", "refs/orchestrator/R-3/before-1", base.as_str()]);
    let applied = repo.apply(&world.plan(&base, &result)).unwrap();
    assert_eq!(applied.conflicts, []);
    assert_eq!(repo.read_ref("refs/orchestrator/R-3/before-1").unwrap(), Some(base));
    assert_eq!(repo.read_ref("refs/orchestrator/R-3/applied-2").unwrap(), Some(applied.before));
}
