//! What commands of a run may write to, and what each lane has of its own: ports and a folder for temporary files.

use super::own::{World, last};

/// A project's playbook whose tasks try to write where they may and where they may not.
const PLAYBOOK: &str = r#"
version = 1
name = "reach"
about = "Tries to write everywhere"
[[tasks]]
id = "kept"
run = "echo in > kept; echo tmp > \"$TMPDIR/t\"; (echo x > \"$HOME/out\") 2>/dev/null; (echo x > \"$CHECKOUT/evil\") 2>/dev/null; (echo x > \"$CHECKOUT/.git/hooks/evil\") 2>/dev/null; echo $ORCHESTRATOR_PORT_BASE $TMPDIR > kept.own; git status > /dev/null"
verify = [["test", "-f", "kept"]]
[[tasks]]
id = "free"
sandbox = "off"
run = "echo in > free; echo x > \"$HOME/free\"; echo $ORCHESTRATOR_PORT_BASE $TMPDIR > free.own"
verify = [["test", "-f", "free"]]
"#;

fn landlocked() -> bool {
    let there = orchestrator::daemon::agents::sandbox::abi() > 0;
    if !there {
        assert!(std::env::var_os("ORCHESTRATOR_CI").is_none(), "this kernel has no Landlock");
        println!("skipped: this kernel has no Landlock");
    }
    there
}

fn world(config: &str) -> World {
    let world = World::new(config, &[("a", "a\n")]);
    let checkout = world.path("w").display().to_string();
    world.write(&[(".orchestrator/playbooks/reach.toml", &PLAYBOOK.replace("$CHECKOUT", &checkout))]);
    world
}

fn show(world: &World, file: &str) -> String {
    let branch = format!("orchestrator/R-1:{file}");
    let shown =
        std::process::Command::new("git").args(["show", &branch]).current_dir(world.path("w")).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn commands_that_nobody_typed_write_to_their_lane_and_what_is_typed_goes_where_it_says() {
    if !landlocked() {
        return;
    }
    let world = world("");
    let output = world.run(&["run", "--playbook", "reach", "--trust", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // It did what it was to do, in its lane and its own temporary folder, and git worked there.
    let (kept, free) = (show(&world, "kept.own"), show(&world, "free.own"));
    assert!(!world.path("c/out").exists() && !world.path("w/evil").exists());
    assert!(!world.path("w/.git/hooks/evil").exists());
    assert!(world.path("c/free").exists(), "sandbox = \"off\" is meant");
    // Two lanes share neither ports nor a folder for temporary files.
    let [kept, free] = [kept, free].map(|own| {
        let words: Vec<String> = own.split_whitespace().map(str::to_owned).collect();
        let [port, tmp] = words.try_into().unwrap();
        // Short enough for a socket some folders below, whose address ends after 107 bytes.
        assert!(tmp.len() < 60, "{tmp}");
        (port.parse::<u16>().unwrap(), tmp)
    });
    assert!(kept.0.abs_diff(free.0) >= 10, "{kept:?} {free:?}");
    assert_ne!(kept.1, free.1);
    // A person's own command leaves what it says.
    let output = world.run(&["run", "--do", "echo x > y; echo x > \"$HOME/typed\"", "--verify", "test -f y", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(world.path("c/typed").exists());
    let state = last(&world.run(&["status", "--json"]));
    assert_eq!(state["protections"]["commands"], "derived", "{state}");
    let shown = String::from_utf8(world.run(&["status"]).stdout).unwrap();
    assert!(shown.contains("(agents, commands nobody typed)"), "{shown}");
}

#[test]
fn the_user_may_confine_everything_and_say_where_else_it_may_write() {
    if !landlocked() {
        return;
    }
    let world = world("[sandbox]\ncommands = \"all\"\nwritable = [\"~/data\"]\n");
    std::fs::create_dir(world.path("c/data")).unwrap();
    let refused = world.run(&["run", "--do", "echo x > \"$HOME/out\"", "--verify", "true", "--json", "--no-wait"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!world.path("c/out").exists());
    let why = String::from_utf8(world.run(&["why", "T-1"]).stdout).unwrap();
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(why.contains("[sandbox] writable") && why.contains("sandbox = \"off\""), "{why}");
    let output = world.run(&["run", "--do", "echo x > \"$HOME/data/in\"; echo y > y", "--verify", "true", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(world.path("c/data/in").exists());
    let shown = String::from_utf8(world.run(&["doctor"]).stdout).unwrap();
    assert!(shown.contains("agents and commands are confined"), "{shown}");
}
