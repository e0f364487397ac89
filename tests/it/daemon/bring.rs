//! Bringing a result home and taking it out again: all or nothing, on whatever the checkout is by then.

use std::fs;

use super::sandbox::Sandbox;

#[test]
fn a_dirty_checkout_keeps_what_is_in_it_and_undo_restores_exactly() {
    let sandbox = Sandbox::new();
    sandbox
        .run_do("sed -i s/one/ONE/ README.md; mkdir new; echo n > new/n.txt; rm src/lib.txt", "test -f new/n.txt")
        .exits(0);
    // Edited meanwhile, elsewhere in the same file and in others; staged, not staged, not tracked.
    sandbox.write("README.md", "one\ntwo\nthree\nfour\n");
    sandbox.write("staged.txt", "staged\n");
    sandbox.git(&["add", "staged.txt"]);
    sandbox.write("loose.txt", "loose\n");
    let index = fs::read(sandbox.repo.join(".git/index")).unwrap();
    sandbox.run(&["diff", "R-1"]).exits(0).says("+ONE");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "ONE\ntwo\nthree\nfour\n");
    assert!(!sandbox.repo.join("src").exists());
    assert_eq!((sandbox.read("new/n.txt"), sandbox.read("loose.txt")), ("n\n".to_owned(), "loose\n".to_owned()));
    assert_eq!(fs::read(sandbox.repo.join(".git/index")).unwrap(), index, "the index is the user's");
    // Once more is refused, with the reason; then back.
    sandbox.run(&["apply", "R-1"]).exits(1);
    assert_eq!(sandbox.read("README.md"), "ONE\ntwo\nthree\nfour\n");
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\nfour\n");
    assert_eq!(sandbox.read("src/lib.txt"), "a\nb\nc\nd\ne\n");
    assert!(!sandbox.repo.join("new").exists());
    assert_eq!(sandbox.read("loose.txt"), "loose\n");
    assert_eq!(fs::read(sandbox.repo.join(".git/index")).unwrap(), index);
    // Taken out twice changes nothing; brought again works.
    let _ = sandbox.run(&["undo", "R-1"]);
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\nfour\n");
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "ONE\ntwo\nthree\nfour\n");
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\nfour\n");
}

#[test]
fn a_conflicting_edit_is_named_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.run_do("sed -i s/one/ONE/ README.md; echo new > new.txt", "test -f new.txt").exits(0);
    sandbox.write("README.md", "uno\ntwo\nthree\n");
    let before = sandbox.users(&sandbox.repo);
    sandbox.run(&["apply", "R-1"]).exits(1).says("README.md");
    assert_eq!(sandbox.read("README.md"), "uno\ntwo\nthree\n");
    assert!(!sandbox.repo.join("new.txt").exists(), "half of a result was brought");
    assert_eq!(sandbox.users(&sandbox.repo), before);
    // A file that git does not know stands where one must be written.
    sandbox.write("README.md", "one\ntwo\nthree\n");
    sandbox.write("new.txt", "mine\n");
    sandbox.run(&["apply", "R-1"]).exits(1).says("new.txt");
    assert_eq!(
        (sandbox.read("new.txt"), sandbox.read("README.md")),
        ("mine\n".to_owned(), "one\ntwo\nthree\n".to_owned())
    );
    // Out of the way, it works.
    fs::remove_file(sandbox.repo.join("new.txt")).unwrap();
    sandbox.run(&["apply", "R-1"]).exits(0);
    // Edited since: taking it back would lose that, so it is refused and named.
    sandbox.write("new.txt", "new and edited\n");
    sandbox.run(&["undo", "R-1"]).exits(1).says("new.txt");
    assert_eq!(
        (sandbox.read("new.txt"), sandbox.read("README.md")),
        ("new and edited\n".to_owned(), "ONE\ntwo\nthree\n".to_owned())
    );
    sandbox.write("new.txt", "new\n");
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\n");
}

#[test]
fn after_the_branch_has_moved_on_the_result_still_fits() {
    let sandbox = Sandbox::new();
    let plan = "version = 1
[[tasks]]
id = \"first\"
kind = \"shell\"
run = \"sed -i s/one/ONE/ README.md\"
[[tasks]]
id = \"second\"
kind = \"shell\"
run = \"echo second > second.txt\"
";
    sandbox.run_plan(plan, &[]).exits(0);
    sandbox.write("README.md", "one\ntwo\nthree\nfour\n");
    sandbox.git(&["commit", "-q", "-a", "-m", "moved on"]);
    sandbox.git(&["checkout", "-q", "-b", "elsewhere"]);
    // A part first, then the whole.
    sandbox.run(&["apply", "R-1", "--tasks", "T-2"]).exits(0);
    assert_eq!(
        (sandbox.read("second.txt"), sandbox.read("README.md")),
        ("second\n".to_owned(), "one\ntwo\nthree\nfour\n".to_owned())
    );
    sandbox.run(&["apply", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "ONE\ntwo\nthree\nfour\n");
    sandbox.run(&["undo", "R-1"]).exits(0);
    assert_eq!(sandbox.read("README.md"), "one\ntwo\nthree\nfour\n");
    assert_eq!(sandbox.git(&["symbolic-ref", "HEAD"]), "refs/heads/elsewhere\n");
}
