//! Old runs are forgotten with all that belongs to them; what is applied stays.

use std::{path::PathBuf, process::Command};

use super::own::{World, last};

const KEEP_TWO: &str = "[state]\nkeep_runs = 2\nkeep_days = 0\n";

fn git(world: &World, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(world.path("w")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(world: &World, number: u32) {
    let work = format!("echo {number} > f{number}; echo said");
    let check = format!("test -f f{number}");
    let output = world.run(&["run", "--do", &work, "--verify", &check, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// The runs that have hidden references.
fn refs(world: &World) -> Vec<String> {
    let names = git(world, &["for-each-ref", "--format=%(refname:lstrip=2)", "refs/orchestrator/"]);
    let mut runs: Vec<String> = names.lines().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    runs.dedup();
    runs.retain(|name| name.starts_with("R-"));
    runs
}

/// The folder of the one workspace.
fn folder(world: &World) -> PathBuf {
    let mut entries = std::fs::read_dir(world.path("s/orchestrator/workspaces")).unwrap();
    entries.next().unwrap().unwrap().path()
}

fn logs(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(folder(world).join("logs")).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits for what is deleted in the background.
fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "waited 30 s for {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn old_runs_go_by_themselves_and_an_applied_one_stays_until_it_is_undone() {
    let world = World::new(KEEP_TWO, &[("a", "a\n")]);
    run(&world, 1);
    let applied = last(&world.run(&["apply", "R-1", "--json"]));
    assert_eq!(applied["applied"], true, "{applied}");
    for number in 2..=5 {
        run(&world, number);
    }
    until("the old runs' references to go", || refs(&world) == ["R-1", "R-4", "R-5"]);
    until("the old runs' logs to go", || {
        let logs = logs(&world);
        logs.iter().any(|name| name.starts_with("T-5.1")) && !logs.iter().any(|name| name.starts_with("T-2.1"))
    });
    let listed = last(&world.run(&["status", "--json"]))["sessions"].to_string();
    assert!(listed.contains("R-5") && !listed.contains("R-2"), "{listed}");
    assert_ne!(world.run(&["report", "R-2", "--json"]).status.code(), Some(0));
    // The branches that were published are the user's.
    let branches = git(&world, &["branch", "--list", "orchestrator/*"]);
    assert!((1..=5).all(|number| branches.contains(&format!("orchestrator/R-{number}"))), "{branches}");

    // What is applied can still be taken back, and is forgotten after that.
    assert!(world.path("w/f1").exists());
    assert_eq!(last(&world.run(&["undo", "R-1", "--json"]))["undone"], true);
    assert!(!world.path("w/f1").exists());
    let output = world.run(&["gc", "--json"]);
    assert_eq!(last(&output)["dropped"], serde_json::json!(["R-1"]), "{output:?}");
    until("the references to go", || refs(&world) == ["R-4", "R-5"]);
    assert_eq!(last(&world.run(&["gc", "--json"]))["dropped"], serde_json::json!([]));
    // A number is never given out twice, also by a daemon that reads all this from the journal.
    run(&world, 6);
    until("the next old run to go", || refs(&world) == ["R-5", "R-6"]);
}

#[test]
fn where_there_is_no_room_tasks_wait_say_so_and_go_on_when_there_is() {
    let world = World::new("[state]\nmin_free_gb = 1e9\n", &[("a", "a\n")]);
    let output = world.run(&["run", "--do", "echo x > x", "--verify", "true", "--json", "--key", "k", "--detach"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    until("the task to wait", || {
        let state = last(&world.run(&["status", "--json"]));
        state["queue"]["room"].as_str().is_some_and(|room| room.contains("state.min_free_gb"))
            && state["summary"].as_str().unwrap().contains("waiting for room on the disk")
    });
    let shown = String::from_utf8(world.run(&["status"]).stdout).unwrap();
    assert!(shown.contains("no lane is laid out: No space left on device"), "{shown}");
    let why = String::from_utf8(world.run(&["why", "T-1"]).stdout).unwrap();
    assert!(why.contains("room on the disk") || why.contains("begin first, for which it needs a lane"), "{why}");
    let doctor = String::from_utf8(world.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("and then tasks wait"), "{doctor}");
    // What waits can be cancelled; nobody waits for a report that never comes.
    let other = world.run(&["run", "--do", "echo y > y", "--verify", "true", "--json", "--detach"]);
    assert_eq!(other.status.code(), Some(0), "{other:?}");
    assert_eq!(world.run(&["cancel", "R-2", "--json"]).status.code(), Some(0));
    until("the other run to be cancelled", || {
        last(&world.run(&["status", "R-2", "--json"]))["sessions"][0]["outcome"] == "cancelled"
    });
    // There is room again for a daemon that wants less of it.
    world.run(&["daemon", "stop"]);
    std::fs::write(
        world.path("c/orchestrator/config.toml"),
        "[daemon]\nidle_exit_s = 0.2\n[state]\nmin_free_gb = 0.0\n",
    )
    .unwrap();
    let output = world.run(&["run", "--do", "echo x > x", "--verify", "true", "--json", "--key", "k"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = last(&output);
    assert_eq!(report["outcome"], "completed", "{report}");
    assert_eq!(report["tasks"][0]["attempts"].as_array().map(Vec::len), Some(1), "waiting is no attempt: {report}");
    assert!(report.to_string().contains("it waited for room on the disk"), "{report}");
    assert!(last(&world.run(&["status", "--json"]))["queue"]["room"].is_null());
}
