//! Rows 4, 5 and 9, the daemon's half: what a call costs over the socket, at first and after a long history, against an
//! echo over pipes that the same client talks to.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::fd::AsRawFd,
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use super::{
    Scale,
    sandbox::{Sandbox, layered, write_plan},
    table::Row,
};

/// The argument that makes this program the echo.
pub const ECHO: &str = "--echo";

/// Answers each line with itself, in plain blocking reads and writes: what no server can beat.
pub fn echo() {
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut bytes = vec![0u8; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// Whoever answers lines.
struct Line {
    to: Box<dyn Write>,
    from: Box<dyn BufRead>,
    child: Option<Child>,
    text: String,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Line {
    fn echo() -> Line {
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(this);
        command.arg(ECHO).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the echo starts");
        let to = Box::new(child.stdin.take().expect("a pipe"));
        let from = Box::new(BufReader::new(child.stdout.take().expect("a pipe")));
        Line { to, from, child: Some(child), text: String::new() }
    }

    fn daemon(sandbox: &Sandbox) -> Line {
        let (to, from) = sandbox.connect().parts();
        Line { to: Box::new(to), from: Box::new(from), child: None, text: String::new() }
    }

    /// Calls with so many open at once, as a client does: each request is built, each answer read as JSON. Seconds.
    fn call(&mut self, method: &str, params: &Value, open: usize) -> f64 {
        let begun = Instant::now();
        let mut requests = String::new();
        for id in 0..open {
            let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            requests.push_str(&request.to_string());
            requests.push('\n');
        }
        self.to.write_all(requests.as_bytes()).expect("it reads");
        for _ in 0..open {
            self.text.clear();
            assert!(self.from.read_line(&mut self.text).expect("it answers") > 0, "it hung up");
            let answer: Value = serde_json::from_str(&self.text).expect("JSON");
            assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        }
        begun.elapsed().as_secs_f64()
    }
}

/// The value below which this share lies.
fn rank(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

/// How many requests are open at once where calls are pipelined.
const OPEN: usize = 32;

/// Calls per turn: the echo and the daemon take turns, so that a slow spell of the machine hits both.
const TURN: usize = 100;

fn finished(tasks: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.start();
    let plan = sandbox.path("plan.json");
    write_plan(&plan, &layered(tasks), |_| vec!["/bin/true".to_owned()]);
    let done = sandbox.command().args(["run", "--detach", "--plan"]).arg(&plan).status().expect("our program runs");
    assert!(done.success(), "the run was not accepted");
    sandbox.connect().finish("R-1");
    sandbox
}

/// Rows 4 and 5, the daemon's half: reads with a run of a thousand tasks there, and one changing call.
pub fn reads(scale: Scale) -> Vec<Row> {
    let (tasks, turns) = if scale == Scale::Full { (1_000, 60) } else { (20, 1) };
    let sandbox = finished(tasks);
    let (mut echo, mut daemon) = (Line::echo(), Line::daemon(&sandbox));
    let mut rows = Vec::new();
    for (method, params) in
        [("get_task_status", json!({"task_id": "T-7"})), ("get_state", json!({"session_id": "R-1"}))]
    {
        let (mut one, mut piped) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for turn in 0..=turns {
            for (line, (one, piped)) in [&mut echo, &mut daemon].into_iter().zip(one.iter_mut().zip(&mut piped)) {
                let took: Vec<f64> = (0..TURN).map(|_| line.call(method, &params, 1)).collect();
                let many: Vec<f64> =
                    (0..TURN / OPEN + 1).map(|_| line.call(method, &params, OPEN) / OPEN as f64).collect();
                // The first turn warms up.
                if turn > 0 {
                    one.extend(took);
                    piped.extend(many);
                }
            }
        }
        let [mut floor, mut ours] = one;
        let (floor_p50, floor_p99) = (rank(&mut floor, 0.5), rank(&mut floor, 0.99));
        let (p50, p99) = (rank(&mut ours, 0.5), rank(&mut ours, 0.99));
        let [mut floor_piped, mut ours_piped] = piped;
        let (floor_piped, ours_piped) = (rank(&mut floor_piped, 0.5), rank(&mut ours_piped, 0.5));
        let what = format!("{method} over the socket, {tasks} tasks there, against an echo over pipes");
        for (name, floor, ours) in [("p50", floor_p50, p50), ("p99", floor_p99, p99)] {
            rows.push(Row::bound(
                format!("{what}: {name}"),
                "<= 3.0 x",
                format!("{:.2} x ({:.0} us / {:.0} us)", ours / floor, ours * 1e6, floor * 1e6),
                ours / floor <= 3.0,
            ));
        }
        rows.push(Row::bound(
            format!("{what}: {OPEN} open at once"),
            ">= 0.50 x",
            format!(
                "{:.2} x ({:.0} us / {:.0} us a call)",
                floor_piped / ours_piped,
                ours_piped * 1e6,
                floor_piped * 1e6
            ),
            floor_piped / ours_piped >= 0.5,
        ));
    }
    rows.push(change(scale, &sandbox, &mut echo, &mut daemon));
    rows
}

/// A changing call: an echo's three, and 1.3 flushes of the same disk.
fn change(scale: Scale, sandbox: &Sandbox, echo: &mut Line, daemon: &mut Line) -> Row {
    let calls = if scale == Scale::Full { 300 } else { 5 };
    let mut file = File::create(sandbox.path("flushed")).expect("a file");
    let (mut floor, mut flush, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..calls {
        let params = json!({"label": "bench"});
        floor.push(echo.call("save_checkpoint", &params, 1));
        let begun = Instant::now();
        file.write_all(&[b'x'; 64]).expect("room");
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::fdatasync(file.as_raw_fd()) }, 0, "the disk flushes");
        flush.push(begun.elapsed().as_secs_f64());
        ours.push(daemon.call("save_checkpoint", &params, 1));
    }
    let (floor, flush, ours) = (rank(&mut floor, 0.5), rank(&mut flush, 0.5), rank(&mut ours, 0.5));
    let bound = 3.0 * floor + 1.3 * flush;
    Row::bound(
        "a changing call (save_checkpoint), p50",
        "<= 3 echoes + 1.3 fdatasync",
        format!("{:.0} us (bound {:.0} us; one fdatasync {:.0} us)", ours * 1e6, bound * 1e6, flush * 1e6),
        ours <= bound,
    )
}

/// Row 9: the hundred-thousandth call costs what the hundredth does.
pub fn history(scale: Scale) -> Vec<Row> {
    let calls = if scale == Scale::Full { 100_000 } else { 1_000 };
    let sandbox = finished(20);
    let mut daemon = Line::daemon(&sandbox);
    // Changing calls make the history grow; they are what could make later ones dearer.
    let every = 50;
    let (mut reads, mut changes) = (Vec::with_capacity(calls), Vec::with_capacity(calls / every));
    let (task, label) = (json!({"task_id": "T-7"}), json!({"label": "bench"}));
    for call in 0..calls {
        match call % every {
            0 => changes.push(daemon.call("save_checkpoint", &label, 1)),
            1 => reads.push(daemon.call("get_state", &json!({}), 1)),
            _ => reads.push(daemon.call("get_task_status", &task, 1)),
        }
    }
    let mut rows = Vec::new();
    for (what, took) in [("a read", &reads), ("a changing call", &changes)] {
        // Behind the first ones, which find everything cold.
        let (skipped, window) = (took.len() / 100, took.len() / 10);
        let early = rank(&mut took[skipped..skipped + window].to_vec(), 0.5);
        let late = rank(&mut took[took.len() - window..].to_vec(), 0.5);
        // A disk has moods of its own, so only the read is held to the bound.
        let (name, measured) = (
            format!("{what} at the end of {calls} calls, {} of them changes, against the beginning", changes.len()),
            format!("{:.2} x ({:.0} us / {:.0} us)", late / early, late * 1e6, early * 1e6),
        );
        rows.push(match what {
            "a read" => Row::bound(name, "<= 1.10 x", measured, late / early <= 1.10),
            _ => Row::shown(name, measured),
        });
    }
    rows
}
