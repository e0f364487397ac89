//! Rows 1 and 6 to 9: what durability costs, what idling costs, what kill -9 costs, what history costs.

use std::{
    collections::BTreeMap,
    ffi::CString,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Scale,
    sandbox::{Sandbox, kill, proc_number, write_plan},
    table::Row,
};

/// A layered graph, ten wide, each task needing two to five of the two layers above.
fn layered(tasks: usize) -> Vec<Vec<u32>> {
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut next = |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % bound
    };
    (0..tasks)
        .map(|task| {
            let layer = task / 10 * 10;
            if layer < 20 {
                return Vec::new();
            }
            let mut needs: Vec<u32> = (0..2 + next(4)).map(|_| (layer - 20 + next(20) as usize) as u32).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect()
}

/// The floor: start and wait, nothing stored. Returns how long it took.
fn spawn_loop(needs: &[Vec<u32>], jobs: usize) -> Duration {
    let mut waiting: Vec<u32> = needs.iter().map(|needs| needs.len() as u32).collect();
    let mut after = vec![Vec::new(); needs.len()];
    for (task, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|need| after[*need as usize].push(task as u32));
    }
    let program = CString::new("/bin/true").expect("no NUL");
    let arguments = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
    let environment = [std::ptr::null_mut()];
    let begun = Instant::now();
    let mut ready: std::collections::VecDeque<u32> =
        (0..needs.len() as u32).filter(|task| waiting[*task as usize] == 0).collect();
    let mut running = BTreeMap::new();
    let mut done = 0;
    while done < needs.len() {
        while running.len() < jobs
            && let Some(task) = ready.pop_front()
        {
            let mut pid = 0;
            // SAFETY: every pointer is to a terminated array that outlives the call; no attributes, no file actions.
            let failed = unsafe {
                libc::posix_spawn(
                    &mut pid,
                    program.as_ptr(),
                    std::ptr::null(),
                    std::ptr::null(),
                    arguments.as_ptr(),
                    environment.as_ptr(),
                )
            };
            assert_eq!(failed, 0, "/bin/true could not be started");
            running.insert(pid, task);
        }
        let mut status = 0;
        // SAFETY: waits for any child of ours; `status` is valid for the call.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        let Some(task) = running.remove(&pid) else { continue };
        done += 1;
        for next in &after[task as usize] {
            waiting[*next as usize] -= 1;
            if waiting[*next as usize] == 0 {
                ready.push_back(*next);
            }
        }
    }
    begun.elapsed()
}

/// The middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Row 1: a durable graph against the bare loop, the whole command, the daemon running already.
pub fn durable(scale: Scale) -> Vec<Row> {
    let (tasks, rounds) = if scale == Scale::Full { (10_000, 3) } else { (100, 1) };
    let needs = layered(tasks);
    let sandbox = Sandbox::new();
    sandbox.start();
    let plan = sandbox.path("plan.json");
    write_plan(&plan, &needs, |_| vec!["/bin/true".to_owned()]);
    let mut rows = Vec::new();
    for (jobs, bound) in [(10usize, 1.10), (2, 1.35)] {
        let (mut ratios, mut ours_s, mut floor_s) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let floor = spawn_loop(&needs, jobs).as_secs_f64();
            let begun = Instant::now();
            let done = sandbox
                .command()
                .args(["run", "--json", "--jobs", &jobs.to_string(), "--plan"])
                .arg(&plan)
                .status()
                .expect("our program runs");
            let ours = begun.elapsed().as_secs_f64();
            assert!(done.success(), "the run did not complete");
            ratios.push(ours / floor);
            ours_s.push(ours);
            floor_s.push(floor);
        }
        let ratio = median(&mut ratios);
        rows.push(Row::bound(
            format!("durable graph of {tasks} /bin/true, {jobs} jobs, against a posix_spawn loop"),
            format!("<= {bound:.2} x"),
            format!("{ratio:.2} x ({:.2} s / {:.2} s)", median(&mut ours_s), median(&mut floor_s)),
            ratio <= bound,
        ));
    }
    rows
}

/// Row 6, the daemon's part: memory with a run of 10,000 tasks held, wake-ups and writes when nothing is due.
pub fn idle(scale: Scale) -> Vec<Row> {
    let tasks = if scale == Scale::Full { 10_000 } else { 200 };
    let sandbox = Sandbox::new();
    sandbox.start();
    let plan = sandbox.path("plan.json");
    write_plan(&plan, &layered(tasks), |_| vec!["/bin/true".to_owned()]);
    let done = sandbox.command().args(["run", "--detach", "--plan"]).arg(&plan).status().expect("our program runs");
    assert!(done.success(), "the run was not accepted");
    let mut wire = sandbox.connect();
    wire.finish("R-1");
    let pid = sandbox.daemon();
    // Long enough for the fold to be saved and the keeper's connection to be let go of.
    std::thread::sleep(Duration::from_secs(if scale == Scale::Full { 14 } else { 1 }));
    let figures = || {
        let switches = proc_number(pid, "status", "voluntary_ctxt_switches").unwrap_or(0);
        (switches, proc_number(pid, "io", "write_bytes").unwrap_or(0))
    };
    let before = figures();
    std::thread::sleep(Duration::from_secs(if scale == Scale::Full { 10 } else { 1 }));
    let after = figures();
    let pss_mib = proc_number(pid, "smaps_rollup", "Pss").unwrap_or(0) as f64 / 1024.0;
    let (woken, written) = (after.0 - before.0, after.1 - before.1);
    vec![
        Row::bound(
            format!("daemon with {tasks} tasks held"),
            "<= 16 MiB PSS",
            format!("{pss_mib:.1} MiB"),
            pss_mib <= 16.0,
        ),
        Row::bound("wake-ups of the idle daemon in 10 s", "0", format!("{woken}"), woken == 0),
        Row::bound("bytes the idle daemon writes in 10 s", "0", format!("{written}"), written == 0),
    ]
}

/// Row 7: kill -9 of everything at half, and the same command again.
pub fn kill_everything(scale: Scale) -> Vec<Row> {
    let tasks = if scale == Scale::Full { 10_000 } else { 200 };
    let sandbox = Sandbox::new();
    sandbox.start();
    let (plan, log) = (sandbox.path("plan.json"), sandbox.path("log"));
    // Each task says that it ran, in one write, outside of everything we keep.
    write_plan(&plan, &layered(tasks), |index| {
        vec!["sh".to_owned(), "-c".to_owned(), format!("echo t{index} >> {}", log.display())]
    });
    let mut client = sandbox
        .command()
        .args(["run", "--json", "--jobs", "10", "--key", "bench", "--plan"])
        .arg(&plan)
        .spawn()
        .expect("our program runs");
    let lines = || std::fs::read(&log).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    while lines() < tasks / 2 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut wire = sandbox.connect();
    let settled: Vec<String> = {
        let report = wire.call("get_report", json!({"run": "R-1"}));
        let tasks = report["tasks"].as_array().cloned().unwrap_or_default();
        tasks
            .iter()
            .filter(|task| task["status"] == "completed")
            .filter_map(|task| task["name"].as_str().map(str::to_owned))
            .collect()
    };
    for pid in sandbox.processes() {
        kill(pid);
    }
    let _ = client.wait();
    let at_kill = lines();
    let begun = Instant::now();
    let mut again = sandbox
        .command()
        .args(["run", "--json", "--key", "bench", "--plan"])
        .arg(&plan)
        .spawn()
        .expect("our program runs");
    while lines() == at_kill {
        std::thread::sleep(Duration::from_micros(200));
    }
    let first = begun.elapsed();
    assert!(again.wait().expect("it ends").success(), "the run did not complete after kill -9");
    let text = std::fs::read_to_string(&log).expect("the log");
    let mut ran: BTreeMap<&str, u32> = BTreeMap::new();
    text.lines().for_each(|line| *ran.entry(line).or_default() += 1);
    let missing = tasks - ran.len();
    let repeated = settled.iter().filter(|name| ran.get(name.as_str()).is_some_and(|count| *count > 1)).count();
    let twice = ran.values().filter(|count| **count > 1).count();
    vec![
        Row::bound(
            format!("kill -9 of everything at half of {tasks}: tasks missing"),
            "0",
            format!("{missing}"),
            missing == 0,
        ),
        Row::bound(
            "the same: finished tasks repeated",
            "0",
            format!("{repeated} (of any kind: {twice})"),
            repeated == 0,
        ),
        Row::bound(
            "the same: exec to first new task",
            "<= 50 ms",
            format!("{:.0} ms", first.as_secs_f64() * 1000.0),
            first <= Duration::from_millis(50),
        ),
    ]
}

/// Row 8: kill -9 of the daemon alone interrupts nothing.
pub fn kill_daemon(_scale: Scale) -> Vec<Row> {
    let sandbox = Sandbox::new();
    sandbox.start();
    let (plan, log) = (sandbox.path("plan.json"), sandbox.path("log"));
    let tasks = 10;
    write_plan(&plan, &vec![Vec::new(); tasks], |index| {
        vec![
            "sh".to_owned(),
            "-c".to_owned(),
            format!("echo begin t{index} >> {0}; sleep 2; echo end t{index} >> {0}", log.display()),
        ]
    });
    let done =
        sandbox.command().args(["run", "--detach", "--jobs", "10", "--plan"]).arg(&plan).status().expect("it runs");
    assert!(done.success(), "the run was not accepted");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    while text().matches("begin").count() < tasks {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(sandbox.daemon());
    sandbox.start();
    let outcome = sandbox.connect().finish("R-1");
    let interrupted = text().matches("begin").count() - tasks + (tasks - text().matches("end").count().min(tasks));
    vec![Row::bound(
        format!("kill -9 of the daemon alone under {tasks} running attempts: interrupted"),
        "0",
        format!("{interrupted} (the run {outcome})"),
        interrupted == 0 && outcome == "completed",
    )]
}

/// Row 9: the hundred-thousandth call costs what the hundredth does.
pub fn history(scale: Scale) -> Vec<Row> {
    let calls = if scale == Scale::Full { 100_000 } else { 1_000 };
    let sandbox = Sandbox::new();
    sandbox.start();
    let plan = sandbox.path("plan.json");
    write_plan(&plan, &layered(20), |_| vec!["/bin/true".to_owned()]);
    let done = sandbox.command().args(["run", "--detach", "--plan"]).arg(&plan).status().expect("our program runs");
    assert!(done.success(), "the run was not accepted");
    let mut wire = sandbox.connect();
    wire.finish("R-1");
    // Changing calls make the history grow; they are what could make later ones dearer.
    let changes = calls / 50;
    let mut took = Vec::with_capacity(calls);
    for call in 0..calls {
        if call % (calls / changes) == 0 {
            wire.call("save_checkpoint", json!({"label": "bench"}));
        }
        let begun = Instant::now();
        wire.call("get_task_status", json!({"task_id": "T-7"}));
        took.push(begun.elapsed().as_secs_f64());
    }
    let window = calls / 10;
    let early = median(&mut took[100..100 + window].to_vec());
    let late = median(&mut took[calls - window..].to_vec());
    let ratio = late / early;
    vec![Row::bound(
        format!("a read after {calls} calls and {changes} commits, against one after 100"),
        "<= 1.10 x",
        format!("{ratio:.2} x ({:.0} us / {:.0} us)", late * 1e6, early * 1e6),
        ratio <= 1.10,
    )]
}
