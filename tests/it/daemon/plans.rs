//! Plan files as people write them: refused whole and by name, or run.

use std::fmt::Write;

use super::sandbox::{Sandbox, lines};

#[test]
fn a_plan_that_cannot_be_right_is_refused_whole_with_its_place() {
    let sandbox = Sandbox::new();
    let task = |id: &str, more: &str| {
        format!("[[tasks]]\nid = \"{id}\"\nkind = \"shell\"\nrun = \"touch {}/ran\"\n{more}\n", sandbox.root.display())
    };
    let whole = |tasks: &[String]| format!("version = 1\n{}", tasks.concat());
    for (plan, words) in [
        (
            whole(&[task("a", "needs = [\"c\"]"), task("b", "needs = [\"a\"]"), task("c", "needs = [\"b\"]")]),
            vec!["in a circle: \"a\" needs \"c\" needs \"b\" needs \"a\""],
        ),
        (whole(&[task("self", "needs = [\"self\"]")]), vec!["self"]),
        (whole(&[task("a", "needs = [\"nobody\"]")]), vec!["nobody"]),
        (whole(&[task("a", ""), task("a", "")]), vec!["a"]),
        (whole(&[task("a", "verfy = [[\"true\"]]")]), vec!["verfy", "verify"]),
        (whole(&[task("A b", "")]), vec!["A b"]),
        ("version = 1\n".to_owned(), vec!["task"]),
        (String::new(), vec!["version"]),
        ("version = 99\n[[tasks]]\nid = \"a\"\nkind = \"shell\"\nrun = \"true\"\n".to_owned(), vec!["version"]),
        ("this is neither\n".to_owned(), vec!["TOML"]),
        ("{\"version\": 1, \"tasks\": [".to_owned(), vec!["JSON"]),
        ("version = 1\n[[tasks]\n".to_owned(), vec!["2"]),
        (whole(&[task("a", "prompt = \"x\"")]), vec!["prompt"]),
        (whole(&[task("a", "timeout_s = -1")]), vec!["timeout_s"]),
        (whole(&[task("a", "cwd = \"../..\"")]), vec!["cwd"]),
    ] {
        let mut said = sandbox.run_plan(&plan, &[]).exits(2);
        for word in words {
            said = said.says(word);
        }
        assert!(said.err.starts_with("error: "), "{}", said.all());
    }
    assert!(!sandbox.root.join("ran").exists());
    // Through the socket the same holds: nothing is begun.
    let mut wire = sandbox.wire();
    let cycle = whole(&[task("a", "needs = [\"b\"]"), task("b", "needs = [\"a\"]")]);
    assert_eq!(wire.refused("process_request", serde_json::json!({"request": {"plan": cycle}})), "CYCLE");
    assert_eq!(wire.ok("list_runs", serde_json::json!({}))["runs"], serde_json::json!([]));
}

#[test]
fn ten_levels_of_parents_are_kept_and_run() {
    let sandbox = Sandbox::new();
    let mut plan = String::from("version = 1\nstrategy = \"hierarchical\"\n");
    for level in 0..10 {
        let parent = if level == 0 { String::new() } else { format!("parent = \"l{}\"\n", level - 1) };
        write!(plan, "[[tasks]]\nid = \"l{level}\"\nkind = \"shell\"\n{parent}run = \"echo {level} > {level}.txt\"\n")
            .unwrap();
    }
    let said = sandbox.run_plan(&plan, &["--json"]);
    let report = said.exits(0).json();
    assert_eq!(report["tasks"].as_array().unwrap().len(), 10, "{report:#}");
    for level in 0..10 {
        assert_eq!(sandbox.git(&["show", &format!("orchestrator/R-1:{level}.txt")]), format!("{level}\n"));
    }
}

#[test]
fn the_same_key_twice_is_one_run() {
    let sandbox = Sandbox::new();
    let log = sandbox.root.join("log");
    let plan = format!(
        "version = 1\n[[tasks]]\nid = \"a\"\nkind = \"shell\"\nrun = \"echo a >> {}; sleep 0.1; echo a > a.txt\"\n",
        log.display()
    );
    let file = sandbox.file("plan.toml", &plan);
    let arguments = ["run", "--key", "once", "--plan", file.to_str().unwrap()];
    let clients: Vec<_> = (0..4).map(|_| sandbox.command(&arguments).spawn().unwrap()).collect();
    for client in clients {
        sandbox.finish_child(client).exits(0).says("R-1 completed");
    }
    // Also after the end, and after a daemon.
    sandbox.run(&["daemon", "stop"]).exits(0);
    sandbox.run(&arguments).exits(0).says("R-1 completed");
    assert_eq!(lines(&log), ["a"]);
    let mut wire = sandbox.wire();
    assert_eq!(wire.ok("list_runs", serde_json::json!({}))["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn three_hundred_tasks_at_ten_at_a_time() {
    let sandbox = Sandbox::new();
    let log = sandbox.root.join("log");
    let mut plan = String::from("version = 1\n");
    for number in 0..300 {
        let needs = if number < 10 { String::new() } else { format!("needs = [\"t{}\"]\n", number - 10) };
        write!(
            plan,
            "[[tasks]]\nid = \"t{number}\"\nkind = \"shell\"\neffect = \"none\"\n{needs}run = \"echo b {number} >> {log}; echo e {number} >> {log}\"\n",
            log = log.display()
        )
        .unwrap();
    }
    sandbox.run_plan(&plan, &["--jobs", "10"]).exits(0).says("300 of 300");
    let lines = lines(&log);
    assert_eq!(lines.len(), 600);
    let mut running: i32 = 0;
    for (at, line) in lines.iter().enumerate() {
        running += if line.starts_with('b') { 1 } else { -1 };
        assert!(running <= 10, "{running} at once at line {at}");
        if let Some(number) = line.strip_prefix("b ").and_then(|number| number.parse::<u32>().ok()).filter(|n| *n >= 10)
        {
            let before = format!("e {}", number - 10);
            assert!(lines[..at].contains(&before), "t{number} began before what it needs had ended");
        }
    }
}

/// Lists have long details cut; who is asked must read all of it.
#[test]
fn a_question_is_asked_with_the_whole_of_its_detail() {
    let sandbox = Sandbox::new();
    let plan = "version = 1\n[[tasks]]\nid = \"a\"\nkind = \"agent\"\nprompt = \"do it\"\nwrites = [\"**\"]\n\
                verify = [[\"true\"]]\n";
    let said = sandbox.run_plan(plan, &["--no-wait"]).exits(3).says("No agent can do T-1");
    let words: Vec<&str> = said.out.split_whitespace().collect();
    assert!(words.join(" ").contains("`orchestrator run --do CMD --verify CHECK`."), "{}", said.all());
}

/// More than the journal once took as one commit (64 MiB): it is taken, begun, cancelled and read back.
#[test]
fn a_plan_of_eighty_megabytes_begins_and_is_cancelled() {
    let sandbox = Sandbox::new();
    let words = "x".repeat(2_000);
    let mut plan = String::from("{\"version\": 1, \"tasks\": [");
    for number in 0..40_000 {
        let comma = if number == 0 { "" } else { "," };
        write!(plan, "{comma}{{\"id\": \"t{number}\", \"effect\": \"none\", \"run\": \"sleep 0.2 # {words}\"}}")
            .unwrap();
    }
    plan.push_str("]}");
    assert!(plan.len() > 80_000_000);
    let file = sandbox.file("plan.json", &plan);
    sandbox.run(&["run", "--detach", "--jobs", "2", "--plan", file.to_str().unwrap()]).exits(0);
    let mut wire = sandbox.wire();
    let mut done = |least: u64| {
        super::sandbox::eventually("its tasks", || {
            let state = wire.ok("get_state", serde_json::json!({"session_id": "R-1"}));
            let progress = &state["sessions"][0]["progress"];
            (progress["completed_tasks"].as_u64() >= Some(least)).then(|| progress["total_tasks"].clone())
        })
    };
    assert_eq!(done(3), 40_000);
    sandbox.run(&["cancel", "R-1"]).exits(0);
    assert_eq!(sandbox.wire().finished("R-1")["outcome"], "cancelled");
    sandbox.run(&["daemon", "stop"]).exits(0);
    sandbox.run(&["journal", "verify"]).exits(0);
    assert_eq!(sandbox.run(&["status", "R-1", "--json"]).exits(0).json()["sessions"][0]["outcome"], "cancelled");
}

#[test]
fn why_names_the_users_pattern_that_a_failure_was_called_by() {
    let sandbox = Sandbox::new();
    let folder = sandbox.root.join("config/orchestrator");
    std::fs::create_dir_all(&folder).unwrap();
    let pattern = "version = 1\n[[error_patterns]]\nid = \"gizmo\"\ntext = \"gizmo .* phase\"\nclass = \"transient\"\nroute = \"escalate\"\n";
    std::fs::write(folder.join("policy.toml"), pattern).unwrap();
    sandbox.run(&["run", "--do", "echo the gizmo is out of phase >&2; exit 1", "--verify", "true"]).exits(1);
    sandbox.run(&["why", "T-1"]).exits(0).says("failed (transient, by your pattern `gizmo`)");
}
