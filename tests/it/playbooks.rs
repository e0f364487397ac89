//! A workspace's own playbooks, end to end: chosen, held back until trusted, and never able to break a run.

use super::own::{World, last};

const GREET: &str = "version = 1\nname = \"greet\"\nabout = \"Says hello\"\n[match]\nwords = [\"greet\", \"welcome\"]\n\
                     [[tasks]]\nid = \"hello\"\ncommand = [\"touch\", \"hello\"]\nverify = [[\"test\", \"-f\", \"hello\"]]\n";

#[test]
fn the_list_names_both_kinds_and_what_is_wrong() {
    let world = World::new(
        "",
        &[
            (".orchestrator/playbooks/greet.toml", GREET),
            (".orchestrator/playbooks/broken.toml", "version = 1\nname = \"broken\"\ncolour = 3\n"),
            ("deep/er/x", ""),
        ],
    );
    for folder in ["w", "w/deep/er"] {
        let output = world.run(&["playbooks", "--json", "--in", &world.path(folder).display().to_string()]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("\"name\":\"tidy\"") && said.contains("\"origin\":\"built-in\""), "{output:?}");
        assert!(said.contains("\"name\":\"greet\"") && said.contains("greet.toml"), "{output:?}");
        assert!(!said.contains("\"broken\""), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("broken.toml:3: "), "{output:?}");
    }
}

#[test]
fn a_playbook_of_the_workspace_waits_for_trust_and_a_broken_one_is_a_note() {
    let world = World::new(
        "",
        &[
            (".orchestrator/playbooks/greet.toml", GREET),
            (".orchestrator/playbooks/broken.toml", "version = 1\nname = \"broken\"\ncolour = 3\n"),
        ],
    );
    // It is chosen by its name; nothing of it has run before somebody trusts it.
    let output = world.run(&["run", "greet", "--no-wait", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = last(&output);
    let open = last(&world.run(&["decide", "--json"]));
    assert_eq!(open["decisions"][0]["kind"], "trust", "{open}");
    assert!(open["decisions"][0]["detail"].as_str().unwrap().contains("touch hello"), "{open}");
    assert_eq!(report["tasks"][0]["name"], "hello", "{report}");
    assert_eq!(report["tasks"][0]["attempts"].as_array().map_or(0, Vec::len), 0, "{report}");
    let notes = report["findings"].to_string();
    assert!(notes.contains(".orchestrator/playbooks/broken.toml:3: "), "{notes}");

    // They are read anew for each run: a mended file counts at once, and a new one is found.
    world.write(&[
        (".orchestrator/playbooks/broken.toml", &GREET.replace("greet", "part").replace("welcome", "leave")),
        (".orchestrator/playbooks/greet.toml", &GREET.replace("greet", "tidy")),
    ]);
    let output = world.run(&["run", "part", "--no-wait", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = last(&output);
    assert_eq!(report["request_id"], "R-2", "{report}");
    let notes = report["findings"].to_string();
    assert!(!notes.contains("broken.toml"), "{notes}");
    assert!(notes.contains("greet.toml: the name tidy is that of a built-in playbook"), "{notes}");
}

/// What trust is asked for are the repository's own commands, and not our fixers, which run beside them.
#[test]
fn the_question_of_trust_names_the_commands_of_the_repository_and_no_others() {
    let world = World::new("", &[("Makefile", "test:\n\ttrue\n"), ("notes.txt", "blanks  \n")]);
    let request = "format and lint this repository; keep only what passes its tests";
    let output = world.run(&["run", request, "--no-wait", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let tasks = last(&output)["tasks"].to_string();
    assert!(tasks.contains("trailing-blanks"), "no fixer of ours is planned: {tasks}");
    let open = last(&world.run(&["decide", "--json"]));
    let detail = open["decisions"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("make test") && !detail.contains("orchestrator fix"), "{open}");
}
