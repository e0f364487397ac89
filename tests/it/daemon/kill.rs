//! `kill -9` of daemon, keeper, client and all of them, at random points of a run.
//!
//! Afterwards: the same tree as without, nothing lost, nothing finished done twice, and the run ends by itself.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};

use super::sandbox::{Process, Sandbox, eventually, kill_9, lines};

/// Rounds in the usual test run; `ORCHESTRATOR_KILLS` says another number, and `ORCHESTRATOR_SEED` where to begin.
const ROUNDS: u64 = 12;

/// Kills of one round, at most.
const KILLS_MAX: u64 = 3;

/// Enough randomness for choosing whom to kill and when.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Daemon,
    Keeper,
    Client,
    All,
}

/// Thirty tasks: readers, writers with checks, a chain on one file, and a last one that needs them all. Each says to
/// a log outside when it begins and ends.
fn plan(log: &Path) -> String {
    let log = log.display();
    let mut text = String::from("version = 1\ntitle = \"thirty\"\nmax_parallel = 8\n");
    let mut task = |id: &str, needs: &[String], effect: &str, work: &str, check: Option<&str>| {
        let needs: Vec<String> = needs.iter().map(|id| format!("{id:?}")).collect();
        let run = format!("echo {id} begins >> {log}; {work}; sleep 0.02; echo {id} ends >> {log}");
        let check = check.map(|check| format!("verify = [[\"sh\", \"-c\", {check:?}]]\n")).unwrap_or_default();
        writeln!(
            text,
            "[[tasks]]\nid = {id:?}\nkind = \"shell\"\neffect = {effect:?}\nneeds = [{}]\nrun = {run:?}\n{check}",
            needs.join(", ")
        )
        .unwrap();
    };
    let mut all = Vec::new();
    for number in 0..12 {
        let id = format!("read-{number}");
        let needs: Vec<String> = if number < 6 { Vec::new() } else { vec![format!("write-{}", number - 6)] };
        task(&id, &needs, "none", "cat README.md > /dev/null", None);
        all.push(id);
    }
    for number in 0..11 {
        let id = format!("write-{number}");
        let needs: Vec<String> = if number < 6 { Vec::new() } else { vec![format!("write-{}", number - 6)] };
        let file = format!("made/{number}.txt");
        let before = if number < 6 { "true".to_owned() } else { format!("cat made/{}.txt", number - 6) };
        let work = format!("mkdir -p made && {{ {before} && echo {id}; }} > {file}");
        task(&id, &needs, "workspace", &work, Some(&format!("grep -q {id} {file}")));
        all.push(id);
    }
    for number in 0..6 {
        let id = format!("chain-{number}");
        let needs: Vec<String> = if number == 0 { Vec::new() } else { vec![format!("chain-{}", number - 1)] };
        task(&id, &needs, "workspace", &format!("echo {id} >> chain.txt"), None);
        all.push(id);
    }
    task("last", &all, "workspace", "cat made/*.txt chain.txt > all.txt", Some("test -s all.txt"));
    text
}

fn tree(sandbox: &Sandbox, run: &str) -> String {
    sandbox.git(&["rev-parse", &format!("orchestrator/{run}^{{tree}}")])
}

fn kill(sandbox: &Sandbox, victim: Victim) {
    let of = |process: &Process| match victim {
        Victim::Daemon => process.is_daemon(),
        Victim::Keeper => process.is_keeper(),
        Victim::Client => process.command.contains("--key"),
        Victim::All => process.is_daemon() || process.is_keeper() || process.command.contains("--key"),
    };
    for process in sandbox.processes().iter().filter(|process| of(process)) {
        kill_9(process.pid);
    }
}

/// What must hold after a round whose victims were these.
fn judge(sandbox: &Sandbox, report: &Value, log: &Path, victims: &[Victim], expected: &str, context: &str) {
    let run = report["request_id"].as_str().unwrap();
    assert_eq!(report["outcome"], "completed", "{context}: {report:#}");
    assert_eq!(tree(sandbox, run), expected, "{context}: another tree");
    let mut said: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in lines(log) {
        let (id, what) = line.split_once(' ').unwrap_or_else(|| panic!("{context}: half a line: {line:?}"));
        let entry = said.entry(id.to_owned()).or_default();
        match what {
            "begins" => entry.0 += 1,
            _ => entry.1 += 1,
        }
    }
    let tasks = report["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 30, "{context}");
    for task in tasks {
        let name = task["name"].as_str().unwrap();
        let attempts = task["attempts"].as_array().unwrap();
        let (begun, ended) = said.get(name).copied().unwrap_or_default();
        assert!(begun >= 1 && ended >= 1, "{context}: {name} is lost: {task:#}");
        assert!(
            begun <= attempts.len(),
            "{context}: {name} ran {begun} times in {} attempts: {task:#}",
            attempts.len()
        );
        let (last, earlier) = attempts.split_last().unwrap();
        assert_eq!(last["end"], "exit:0", "{context}: {name}");
        for attempt in earlier {
            // An end that the journal has is never followed by another execution.
            assert_eq!(attempt["end"], "lost", "{context}: {name} ran again after it had ended: {task:#}");
        }
        if !victims.iter().any(|victim| matches!(victim, Victim::Keeper | Victim::All)) {
            assert_eq!((begun, ended, attempts.len()), (1, 1, 1), "{context}: {name} was interrupted: {task:#}");
        }
    }
}

#[test]
fn killed_at_any_point_a_run_ends_the_same_and_nothing_finished_is_repeated() {
    let number = |name: &str, otherwise: u64| std::env::var(name).ok().map_or(otherwise, |n| n.parse().unwrap());
    let (rounds, seed) = (number("ORCHESTRATOR_KILLS", ROUNDS), number("ORCHESTRATOR_SEED", 1));
    let sandbox = Sandbox::new();
    let round = |key: &str, kills: &[(Duration, Victim)]| {
        let log = sandbox.root.join(format!("log-{key}"));
        let file = sandbox.file(&format!("plan-{key}.toml"), plan(&log));
        let arguments = ["run", "--json", "--key", key, "--jobs", "8", "--plan", file.to_str().unwrap()];
        let mut client = Some(sandbox.command(&arguments).spawn().unwrap());
        for (wait, victim) in kills {
            // The point is meant to be anywhere; nothing that is asserted depends on where it falls.
            std::thread::sleep(*wait);
            kill(&sandbox, *victim);
            if matches!(victim, Victim::Client | Victim::All) {
                let _ = client.take().map(|child| sandbox.finish_child(child));
                // The same key is the same run.
                client = Some(sandbox.command(&arguments).spawn().unwrap());
            }
        }
        let said = client.take().map(|child| sandbox.finish_child(child)).unwrap();
        (said, log)
    };
    let begun = std::time::Instant::now();
    let (said, log) = round("calm", &[]);
    let whole_ms = begun.elapsed().as_millis() as u64;
    let report = said.exits(0).json();
    let expected = tree(&sandbox, report["request_id"].as_str().unwrap());
    judge(&sandbox, &report, &log, &[], &expected, "without kills");
    for number in 0..rounds {
        let mut dice = Dice((seed + number).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.below(2);
        let count = 1 + dice.below(KILLS_MAX);
        let kills: Vec<(Duration, Victim)> = (0..count)
            .map(|_| {
                let wait = Duration::from_millis(dice.below(whole_ms / count + 1));
                let victims = [Victim::Daemon, Victim::Keeper, Victim::Client, Victim::All];
                (wait, victims[dice.below(4) as usize])
            })
            .collect();
        let context = format!("round {number}, seed {}, kills {kills:?}", seed + number);
        let (said, log) = round(&format!("k{number}"), &kills);
        let end = said.out.lines().last().unwrap_or_default();
        let end = &end[..end.floor_char_boundary(500)];
        assert_eq!(said.code, Some(0), "{context}\n{end}\n{}\n{}", said.err, sandbox.daemon_log());
        let victims: Vec<Victim> = kills.iter().map(|(_, victim)| *victim).collect();
        judge(&sandbox, &said.json(), &log, &victims, &expected, &context);
        let _ = fs::remove_file(log);
    }
    let jobs = sandbox.jobs();
    assert!(jobs.is_empty(), "{jobs:#?}");
}

#[test]
fn a_read_under_which_the_daemon_dies_is_asked_again() {
    let sandbox = Sandbox::new();
    let go = sandbox.file("go", "").with_file_name("gone-on");
    let work = format!("echo one; until [ -e {} ]; do sleep 0.02; done; echo two", go.display());
    sandbox.run(&["run", "--do", &work, "--verify", "true", "--detach"]).exits(0);
    // The command returns before it is planned.
    eventually("its task", || (sandbox.run(&["log", "T-1"]).code == Some(0)).then_some(()));
    let mut follows = sandbox.command(&["log", "T-1", "--follow"]);
    let mut follows = follows.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(follows.stdout.take().unwrap()).lines();
    // From its first words on, it waits in a call for more.
    assert_eq!(said.next().unwrap().unwrap(), "one");
    for daemon in sandbox.daemons() {
        kill_9(daemon);
    }
    fs::write(&go, "").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "two");
    assert!(said.next().is_none(), "each line once");
    assert!(follows.wait().unwrap().success());
}

#[test]
fn a_call_that_was_done_is_not_done_again_for_the_same_key_whoever_died_meanwhile() {
    let sandbox = Sandbox::new();
    let save = json!({"label": "one", "key": "mine"});
    let first = sandbox.wire().ok("save_checkpoint", save.clone());
    for daemon in sandbox.daemons() {
        kill_9(daemon);
        sandbox.gone(daemon);
    }
    let mut wire = sandbox.wire();
    assert_eq!(wire.ok("save_checkpoint", save)["checkpoint_id"], first["checkpoint_id"]);
    let other = wire.ok("save_checkpoint", json!({"label": "one", "key": "other"}));
    assert_ne!(other["checkpoint_id"], first["checkpoint_id"]);
    // A key is for one call, and of a form.
    assert_eq!(wire.refused("undo", json!({"run": "R-1", "key": "mine"})), "INVALID");
    assert_eq!(wire.refused("save_checkpoint", json!({"key": "k".repeat(65)})), "INVALID");
}
