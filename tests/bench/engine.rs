//! Rows 1 and 6 to 8: what durability costs, what idling costs, what kill -9 costs.

use std::{
    collections::BTreeMap,
    ffi::CString,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Scale,
    sandbox::{Sandbox, cpu_s, kill, layered, proc_number, write_plan},
    table::Row,
};

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

/// Processor time of this process's ended children, seconds.
fn children_cpu_s() -> f64 {
    // SAFETY: plain data, filled by the call.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` lives through the call.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
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
        let (mut ratios, mut cpu_ratios, mut ours_s, mut floor_s) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let floor = || {
                let cpu = children_cpu_s();
                let took = spawn_loop(&needs, jobs).as_secs_f64();
                (took, children_cpu_s() - cpu)
            };
            let ours = || {
                let servers = || sandbox.servers().into_iter().map(cpu_s).sum::<f64>();
                let (cpu, before) = (children_cpu_s(), servers());
                let begun = Instant::now();
                let done = sandbox
                    .command()
                    .args(["run", "--json", "--jobs", &jobs.to_string(), "--plan"])
                    .arg(&plan)
                    .status()
                    .expect("our program runs");
                let took = begun.elapsed().as_secs_f64();
                assert!(done.success(), "the run did not complete");
                (took, children_cpu_s() - cpu + servers() - before)
            };
            // Who begins changes, so that a slow spell favours nobody.
            let (floor, ours) = if round % 2 == 0 {
                let floor = floor();
                (floor, ours())
            } else {
                let ours = ours();
                (floor(), ours)
            };
            ratios.push(ours.0 / floor.0);
            cpu_ratios.push(ours.1 / floor.1);
            ours_s.push(ours.0);
            floor_s.push(floor.0);
        }
        let ratio = median(&mut ratios);
        let what = format!("durable graph of {tasks} /bin/true, {jobs} jobs, against a posix_spawn loop");
        rows.push(Row::bound(
            what.clone(),
            format!("<= {bound:.2} x"),
            format!("{ratio:.2} x ({:.2} s / {:.2} s)", median(&mut ours_s), median(&mut floor_s)),
            ratio <= bound,
        ));
        rows.push(Row::shown(
            format!("{what}: processor time of everybody"),
            format!("{:.2} x", median(&mut cpu_ratios)),
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
    // Long enough for the fold to be saved, memory to be given back and the keeper's connection to be let go of.
    drop(wire);
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
    let length = || std::fs::metadata(&log).map_or(0, |file| file.len());
    let lines = || std::fs::read(&log).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    let again = || {
        let mut command = sandbox.command();
        command.args(["run", "--json", "--key", "bench", "--plan"]).arg(&plan);
        command.spawn().expect("our program runs")
    };
    let runs = || {
        let mut ran: BTreeMap<String, u32> = BTreeMap::new();
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().for_each(|line| *ran.entry(line.to_owned()).or_default() += 1);
        ran
    };
    // What had ended, with how often it had run by then: one that an earlier kill interrupted may have run twice.
    let mut settled: BTreeMap<String, u32> = BTreeMap::new();
    let mut firsts_ms = Vec::new();
    // At half, and then again and again a little later: one look is no figure.
    for kills in 0..if scale == Scale::Full { 5 } else { 2 } {
        while lines() < tasks / 2 + kills * tasks / 20 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let report = sandbox.connect().call("get_report", json!({"run": "R-1"}));
        let done = report["tasks"].as_array().cloned().unwrap_or_default();
        let done = done.iter().filter(|task| task["status"] == "completed");
        let ran = runs();
        for name in done.filter_map(|task| task["name"].as_str()) {
            settled.entry(name.to_owned()).or_insert(ran.get(name).copied().unwrap_or_default());
        }
        // Until nobody is left: what a job started may go on for a moment.
        loop {
            let left = sandbox.processes();
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(kill);
            let _ = client.wait();
        }
        let before = length();
        let begun = Instant::now();
        client = again();
        while length() == before {
            std::thread::sleep(Duration::from_micros(100));
        }
        firsts_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    assert!(client.wait().expect("it ends").success(), "the run did not complete after kill -9");
    let first_ms = median(&mut firsts_ms);
    let ran = runs();
    let missing = tasks - ran.len();
    let repeated = settled.iter().filter(|(name, by_then)| ran.get(*name).is_some_and(|count| count > by_then)).count();
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
            format!("{first_ms:.0} ms (median of {})", firsts_ms.len()),
            first_ms <= 50.0,
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
