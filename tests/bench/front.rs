//! Rows 4 to 6, the MCP front end: a read call, the start, and the memory, against an echo in C.
//!
//! The echo reads what is there, whole lines or not, writes the same bytes back and does nothing else: no line is looked
//! for, and its answer is as short as the request. It is compiled here, because a libc's own tools do more at their start.
//! Both are talked to by the same client over the same kind of pipes, one line out and one line in, in turns of some
//! hundred calls.
//!
//! There are two kinds of reads. What did not change since it was asked for the last time is answered by the front end
//! from what it keeps (`api/kept.rs`); what depends on the time, such as a task that runs, is asked of the daemon each
//! time. Every call has an id and a progress token of its own, as clients send them.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Scale,
    measure::{median, ms, ratio},
    sandbox::Sandbox,
    table::Row,
};

const ECHO: &str = "#include <unistd.h>
static char b[1 << 20];
int main(void) {
  for (;;) {
    ssize_t n = read(0, b, sizeof b);
    if (n <= 0) return 0;
    for (ssize_t w = 0; w < n;) {
      ssize_t k = write(1, b + w, n - w);
      if (k <= 0) return 1;
      w += k;
    }
  }
}
";

/// How many requests a client of many has open: what the servers that people use were compared with.
const OPEN: usize = 32;

/// The echo, compiled.
fn echo(folder: &Path) -> Option<PathBuf> {
    let (source, program) = (folder.join("echo.c"), folder.join("echo"));
    std::fs::write(&source, ECHO).expect("a file");
    let built = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).status();
    built.is_ok_and(|status| status.success()).then_some(program)
}

/// A process that answers each line with a line.
struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: String,
}

impl Peer {
    fn start(mut command: Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Peer { child, stdin, stdout, line: String::new() }
    }

    /// Sends a line and reads one; its length.
    fn call(&mut self, line: &str) -> u64 {
        self.stdin.write_all(line.as_bytes()).expect("it reads");
        self.line.clear();
        self.stdout.read_line(&mut self.line).expect("it answers") as u64
    }

    /// The answer to a request, past what is told beside.
    fn answer(&mut self, line: &str) -> Value {
        self.call(line);
        loop {
            let value: Value = serde_json::from_str(&self.line).expect("JSON");
            if value.get("id").is_some() {
                return value;
            }
            self.line.clear();
            self.stdout.read_line(&mut self.line).expect("it answers");
        }
    }

    /// Sends so many lines at once and reads all answers.
    fn piped(&mut self, many: &str, count: usize) -> Duration {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let stdin = &mut self.stdin;
            scope.spawn(move || {
                // In pieces, as a client's own buffer would.
                many.as_bytes().chunks(16 << 10).for_each(|chunk| stdin.write_all(chunk).expect("it reads"));
            });
            for _ in 0..count {
                self.line.clear();
                self.stdout.read_line(&mut self.line).expect("it answers");
            }
        });
        begun.elapsed()
    }

    /// Keeps so many requests open until all are answered.
    fn open(&mut self, lines: &[String], width: usize) -> Duration {
        let begun = Instant::now();
        let (first, rest) = lines.split_at(width.min(lines.len()));
        self.stdin.write_all(first.concat().as_bytes()).expect("it reads");
        let mut rest = rest.iter();
        for _ in lines {
            self.line.clear();
            self.stdout.read_line(&mut self.line).expect("it answers");
            if let Some(next) = rest.next() {
                self.stdin.write_all(next.as_bytes()).expect("it reads");
            }
        }
        begun.elapsed()
    }

    /// Proportional set size, MiB.
    fn pss_mib(&self) -> Option<f64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).ok()?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(id: u64, method: &str, params: Value) -> String {
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

fn hello() -> String {
    let info = json!({"name": "bench", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
    request(1, "initialize", params)
}

/// Calls of one read, each with an id and a progress token of its own.
fn reads(task: &str, count: usize) -> Vec<String> {
    let line = |id: usize| {
        let arguments = json!({"task_id": task});
        let params = json!({"name": "get_task_status", "arguments": arguments, "_meta": {"progressToken": id}});
        request(id as u64 + 100, "tools/call", params)
    };
    (0..count).map(line).collect()
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

/// The rows.
pub fn mcp(scale: Scale) -> Vec<Row> {
    let full = scale == Scale::Full;
    let (rounds, calls, piped, starts) = if full { (5, 400, 2_000, 20) } else { (1, 20, 50, 3) };
    let sandbox = Sandbox::new();
    let Some(echo) = echo(&sandbox.path("")) else {
        return vec![Row::shown("MCP read call", "not measured: no C compiler for the echo")];
    };
    let server = || {
        let mut command = sandbox.command();
        command.arg("--mcp");
        command
    };
    let mut rows = Vec::new();
    // Alone on the machine, before there is a daemon.
    let mut alone = Peer::start(server());
    alone.answer(&hello());
    alone.answer(&request(2, "tools/list", json!({})));
    // Idle: when its start is over, it gives back what only that needed.
    let pss = |peer: &Peer| {
        std::thread::sleep(Duration::from_secs(3));
        peer.pss_mib()
    };
    if let Some(mib) = pss(&alone) {
        rows.push(Row::bound("MCP front end alone and idle, PSS", "4.5 MiB", format!("{mib:.1} MiB"), mib <= 4.5));
    }
    drop(alone);

    let (mut ours_s, mut floor_s) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        for (times, command) in [(&mut floor_s, Command::new(&echo)), (&mut ours_s, server())] {
            let begun = Instant::now();
            let mut peer = Peer::start(command);
            peer.call(&hello());
            times.push(begun.elapsed());
        }
    }
    let (ours, floor) = (median(ours_s), median(floor_s));
    rows.push(Row::bound(
        "MCP start to the answer of initialize, against the echo",
        "2.00 ×",
        format!("{:.2} × ({} / {})", ratio(ours, floor), ms(ours), ms(floor)),
        ratio(ours, floor) <= 2.0,
    ));

    sandbox.start();
    let done = sandbox.command().args(["run", "--do", "true", "--verify", "true"]).status().expect("our program runs");
    assert!(done.success(), "a first run");
    // One that runs for as long as we measure.
    let detached = sandbox.command().args(["run", "--detach", "--do", "sleep 3600", "--verify", "true"]).status();
    assert!(detached.is_ok_and(|status| status.success()), "a run that goes on");
    let mut ours = Peer::start(server());
    ours.answer(&hello());
    while ours.answer(&reads("T-2", 1)[0])["result"]["structuredContent"]["status"] != "running" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut floor = Peer::start(Command::new(&echo));
    for (what, task) in [("of what did not change", "T-1"), ("of what runs, through the daemon", "T-2")] {
        let (lines, many) = (reads(task, calls), reads(task, piped).concat());
        let first = ours.answer(&lines[0]);
        assert_eq!(first["result"]["isError"], false, "{first}");
        let (mut ours_t, mut floor_t) = (Vec::new(), Vec::new());
        let (mut ours_p, mut floor_p) = (Vec::new(), Vec::new());
        let (mut ours_o, mut floor_o) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (peer, times, piped_times, open_times) in [
                (&mut floor, &mut floor_t, &mut floor_p, &mut floor_o),
                (&mut ours, &mut ours_t, &mut ours_p, &mut ours_o),
            ] {
                for line in &lines {
                    let begun = Instant::now();
                    peer.call(line);
                    times.push(begun.elapsed());
                }
                open_times.push(peer.open(&lines, OPEN));
                piped_times.push(peer.piped(&many, piped));
            }
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let (ours, floor) = (percentile(&mut ours_t, share), percentile(&mut floor_t, share));
            rows.push(Row::bound(
                format!("MCP read call {what}, {name}, against the echo"),
                "3.00 ×",
                format!("{:.2} × ({} / {})", ratio(ours, floor), ms(ours), ms(floor)),
                ratio(ours, floor) <= 3.0,
            ));
        }
        let (ours_o, floor_o) = (median(ours_o), median(floor_o));
        let per_second = |time: Duration| calls as f64 / time.as_secs_f64();
        rows.push(Row::bound(
            format!("the same, {OPEN} open at a time: calls a second, against the echo"),
            "0.50 ×",
            format!("{:.2} × ({:.0} / {:.0})", ratio(floor_o, ours_o), per_second(ours_o), per_second(floor_o)),
            ratio(floor_o, ours_o) >= 0.5,
        ));
        let per_second = |time: Duration| piped as f64 / time.as_secs_f64();
        let (ours_p, floor_p) = (median(ours_p), median(floor_p));
        rows.push(Row::bound(
            "the same, all at once: calls a second, against the echo",
            "0.50 ×",
            format!("{:.2} × ({:.0} / {:.0})", ratio(floor_p, ours_p), per_second(ours_p), per_second(floor_p)),
            ratio(floor_p, ours_p) >= 0.5,
        ));
    }
    if let Some(mib) = pss(&ours) {
        rows.push(Row::bound(
            "MCP front end beside a daemon and idle, PSS",
            "2.0 MiB",
            format!("{mib:.1} MiB"),
            mib <= 2.0,
        ));
    }
    rows
}
