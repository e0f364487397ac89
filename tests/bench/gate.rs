//! The gate: one verdict, a policy of ten thousand rules, and the hook from process start to its answer.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Instant,
};

use orchestrator::core::decide::{
    gate::{Ask, NoLinks, Place, judge},
    policy::{Known, Policy, Source, TaskKnown, Tier},
};
use serde_json::json;

use crate::{
    Scale,
    measure::{Contestant, interleaved, median, ms, ratio},
    table::Row,
};

/// Lines of about a hundred characters, as agents write them.
const LINES: &[&str] = &[
    "cd src && grep -rn --include='*.rs' 'fn judge' core | sort -t: -k1,1 | head -n 20 && git status --short",
    "find . -path ./target -prune -o -name '*.toml' -type f -print | xargs grep -l 'edition' | sort | uniq -c",
    "for f in src/*.rs tests/*.rs; do echo \"$f: $(wc -l < \"$f\")\"; done | awk '{ n += $2 } END { print n }' x",
    "cargo test --locked --test it gate:: 2>&1 | tail -n 40; git diff --stat HEAD~1 -- src/core/decide/gate.rs",
    "docker ps --format '{{.Names}}' | while read -r name; do docker logs --tail 5 \"$name\" 2>&1 | grep -i err; done",
];

fn known() -> Known {
    let task = TaskKnown { kind_of_work: "feature".to_owned(), kind: "agent".to_owned(), ..TaskKnown::default() };
    Known { task: Some(task), ..Known::default() }
}

fn rules(count: usize) -> String {
    let rule = |number: usize| {
        let when = match number % 2 {
            0 => format!("command.program == 'tool{number}' and task.risk > 0.3"),
            _ => format!("task.type == 'kind{number}' and 'x{number}' in command.argv"),
        };
        format!("[[rules]]\nid = \"r{number}\"\nwhen = \"{when}\"\nverdict = \"deny\"\n")
    };
    format!("version = 1\n{}", (0..count).map(rule).collect::<String>())
}

/// One verdict, with the built-in rules and with ten thousand more.
pub fn verdict(scale: Scale) -> Vec<Row> {
    let (rounds, count) = match scale {
        Scale::Full => (301, 10_000),
        Scale::Smoke => (3, 100),
    };
    let place = Place { cwd: "/p".to_owned(), root: "/p".to_owned(), ..Place::default() };
    let builtin = Policy::builtin().expect("the built-in policy");
    let text = rules(count);
    let begun = Instant::now();
    let source = Source { tier: Tier::User, file: "policy.toml", text: &text };
    let large = Policy::load(&[source]).expect("a policy");
    let loaded = begun.elapsed();
    let known = known();
    let inputs: Vec<serde_json::Value> = LINES.iter().map(|line| json!({"command": line})).collect();
    let of = |policy: &Policy| {
        let verdicts = inputs.iter().map(|input| judge(policy, &Ask { tool: "Bash", input }, &place, &known, &NoLinks));
        verdicts.map(|judgement| judgement.effects.len() as u64).sum::<u64>()
    };
    let mut contestants: [Contestant<'_>; 2] = [Box::new(|| of(&builtin)), Box::new(|| of(&large))];
    let times = interleaved(rounds, &mut contestants);
    let each = |at: usize| times[at] / LINES.len() as u32;
    let us = |at: usize| format!("{:.1} µs", each(at).as_secs_f64() * 1e6);
    vec![
        Row::bound("one verdict, a line of 100 characters", "≤ 50 µs", us(0), each(0).as_secs_f64() <= 50e-6),
        Row::bound(
            format!("the same under {count} rules more"),
            "≤ 2 x",
            format!("{} = {:.2} x", us(1), ratio(times[1], times[0])),
            ratio(times[1], times[0]) <= 2.0,
        ),
        Row::shown(format!("{count} rules read and checked"), ms(loaded)),
    ]
}

/// `hook permission`, from before it is started until its answer is read to the end, without a daemon and with one that
/// has the workspace open and is asked; beside it, a process that does nothing.
pub fn hook(scale: Scale) -> Vec<Row> {
    let rounds = match scale {
        Scale::Full => 51,
        Scale::Smoke => 3,
    };
    let home = tempfile::tempdir().expect("a folder");
    let repo = home.path().join("repo");
    std::fs::create_dir(&repo).expect("a folder");
    // Neither rules nor effects decide it: a daemon's word is what it would be decided by.
    let command =
        "make lint && npm run build --workspace packages/core && npx prettier --check 'src/**/*.ts' --log-level warn";
    let input = json!({
        "session_id": "s", "cwd": repo, "permission_mode": "default", "hook_event_name": "PreToolUse",
        "tool_name": "Bash", "tool_input": {"command": command},
    })
    .to_string();
    let start = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&repo).env_clear();
        command.env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("XDG_RUNTIME_DIR", home.path());
        command
    };
    let run = |program: &str, arguments: &[&str]| {
        let begun = Instant::now();
        let mut command = start(program, arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        // `true` reads nothing.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        (begun.elapsed(), output.stdout.len())
    };
    const OURS: &str = env!("CARGO_BIN_EXE_orchestrator");
    let answered = || {
        let (took, bytes) = run(OURS, &["hook", "permission"]);
        assert!(bytes > 50, "an answer");
        took
    };
    let (mut alone, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(answered());
        bare.push(run("/bin/true", &[]).0);
    }
    let quietly = |arguments: &[&str]| {
        let output = start(OURS, arguments).stdin(Stdio::null()).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let asked = || {
        let card: serde_json::Value =
            serde_json::from_slice(&quietly(&["report", "--decisions", "--json"])).expect("a scorecard");
        card["outside"]["asked"].as_u64().expect("a count")
    };
    let git = Command::new("git").args(["init", "-q"]).current_dir(&repo).status().expect("git");
    assert!(git.success(), "a repository");
    // The workspace is open from here on.
    let before = asked();
    let with_daemon: Vec<_> = (0..rounds).map(|_| answered()).collect();
    let heard = asked() - before;
    quietly(&["daemon", "stop"]);
    let (alone, bare) = (median(alone), median(bare));
    let daemon = median(with_daemon);
    let row = |name: &str, took: std::time::Duration| {
        let shown = format!("{} = {:.1} x a process that does nothing", ms(took), ratio(took, bare));
        Row::bound(name, "≤ 10 ms", shown, took.as_secs_f64() <= 10e-3)
    };
    vec![
        row("hook permission, start to answer, no daemon", alone),
        row("the same with a daemon, which is asked", daemon),
        // One that took too long was answered by rules alone: that is no measurement of the daemon.
        Row::bound(
            "asks that reached the daemon",
            "≥ 0.9",
            format!("{heard} of {rounds}"),
            heard as f64 >= 0.9 * rounds as f64,
        ),
    ]
}
