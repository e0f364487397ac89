//! What a proven change does that a person has a word in, from the command to the answer.

use serde_json::{Value, json};

use super::sandbox::{Sandbox, eventually};

/// The decision that is open, once there is one.
fn asked(sandbox: &Sandbox) -> Value {
    eventually("a decision", || {
        let open = sandbox.run(&["decide", "--json"]).exits(0).json();
        open["decisions"].as_array().and_then(|decisions| decisions.first().cloned())
    })
}

#[test]
fn a_secret_never_lands_unasked_and_no_session_lets_it() {
    let sandbox = Sandbox::new();
    // Put together here, so that no scanner takes this file for a leak.
    let key = "q7RzT2mK9vLx4Wp8NbY3sJ6hGd5fCa1eUoQi";
    let file = sandbox.file("settings", format!("KEY = \"gh{}_{key}\"\n", 'p'));
    let does = format!("mkdir -p src; cp {} src/settings.py", file.display());
    sandbox.run(&["run", "--do", &does, "--verify", "true", "--detach"]).exits(0);
    let decision = asked(&sandbox);
    assert_eq!(
        (decision["kind"].as_str(), decision["criticality"].as_f64()),
        (Some("security"), Some(1.0)),
        "{decision:#}"
    );
    assert_eq!(decision["answerable_by"], json!(["person"]), "{decision:#}");
    let shown = format!("{decision}{}", sandbox.run(&["decide", "D-1"]).exits(0).all());
    assert!(shown.contains("a GitHub token") && shown.contains("src/settings.py:1"), "{shown}");
    assert!(!shown.contains(&key[..8]), "the secret is shown: {shown}");
    let mut command = sandbox.command(&["decide", "D-1", "keep"]);
    command.env("CLAUDECODE", "1");
    sandbox.finish(command).exits(1);
    sandbox.run(&["decide", "D-1", "drop"]).exits(0);
    let report = eventually("the end", || {
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        report["outcome"].is_string().then_some(report)
    });
    assert_eq!(report["tasks"][0]["status"], "undone", "{report:#}");
    assert!(!sandbox.git(&["branch", "-a"]).contains("orchestrator/R-1"), "it landed all the same");
}

#[test]
fn what_others_build_on_is_asked_about_where_that_was_wanted() {
    let sandbox = Sandbox::new();
    sandbox.write("src/lib.rs", "//! A library.\n\npub fn load(path: &str) {}\npub fn save() {}\n");
    sandbox.write("Code.java", "class Code {}\n");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "code"]);
    let does = "sed -i 's/load(path: &str)/load(path: \\&str, fast: bool)/' src/lib.rs";
    // Nobody wanted it: nobody is asked.
    sandbox.run(&["run", "--do", does, "--verify", "true"]).exits(0);
    let said = sandbox.run(&["run", "--do", does, "--verify", "true", "--compatible", "--no-wait"]);
    said.exits(3).says("`load` is altered").says("compatibility was to be kept");
    let decision = asked(&sandbox);
    assert_eq!(decision["kind"], "breaking_change", "{decision:#}");
    let anchor = &decision["context"]["anchor"];
    assert!(anchor["uri"].as_str().unwrap().ends_with("/repo/src/lib.rs"), "{anchor:#}");
    assert_eq!(anchor["range"]["start"]["line"], 2, "{anchor:#}");
    let detail = decision["detail"].as_str().unwrap();
    assert!(detail.contains("was `pub fn load(path: &str)`, now `pub fn load(path: &str, fast: bool)`"), "{detail}");
    sandbox.run(&["decide", "D-1", "keep"]).exits(0);
    // What nobody here can compare is a reviewer's.
    sandbox
        .run(&["run", "--do", "echo 'class Other {}' > Code.java", "--verify", "true", "--compatible", "--detach"])
        .exits(0);
    let decision = asked(&sandbox);
    assert_eq!((decision["kind"].as_str(), decision["why_asked"].as_str()), (Some("review"), Some("missing:exports")));
    assert!(decision["detail"].as_str().unwrap().contains("what java offers"), "{decision:#}");
    sandbox.run(&["decide", "D-2", "drop"]).exits(0);
}

/// Overnight: what waits for an answer does not hold up the rest, with fewer lanes than questions.
#[test]
fn others_go_on_while_three_changes_wait_for_an_answer_and_two_lanes_are_allowed() {
    let sandbox = Sandbox::new();
    sandbox.configure("[lanes]\nmax = 2\n");
    for name in ["one", "two", "three"] {
        sandbox.write(&format!("{name}.py"), format!("def {name}():\n    return 1\n"));
    }
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "three modules"]);
    let task = |id: &str, run: &str| format!("[[tasks]]\nid = \"{id}\"\nrun = \"{run}\"\n");
    let tasks = [
        task("one", "echo 'x = 1' > one.py"),
        task("two", "echo 'x = 1' > two.py"),
        task("three", "echo 'x = 1' > three.py"),
        task("four", "echo 4 > four.txt"),
        task("five", "echo 5 > five.txt"),
    ];
    sandbox.run_plan(&format!("version = 1\n{}", tasks.concat()), &["--compatible", "--no-wait"]).exits(3);
    let states = || {
        let report = sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
        let tasks = report["tasks"].as_array().unwrap().iter();
        tasks.map(|task| task["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(), [["waiting_decision"; 3].as_slice(), &["completed"; 2]].concat());
    for decision in ["D-1", "D-2", "D-3"] {
        sandbox.run(&["decide", decision, "keep"]).exits(0);
    }
    eventually("the end of the run", || (states() == ["completed"; 5]).then_some(()));
}
