//! Whose process is this? Descendants of jobs, found in `/proc`, so that none survives its job.
//!
//! Orphans are re-parented to the keeper (a subreaper). Looking is dear, so [`Adoption::suspicious`] answers the usual
//! question, "was anything adopted at all?", with one small read; only then is everything scanned.
//! Where there is no `/proc` nothing is found here, and process groups are all there is.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileExt, MetadataExt},
    },
};

use super::child::{JOB_MARK, KEEPER_MARK};

/// A living process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    parent: i32,
    /// Its process group.
    pub(super) group: i32,
    session: i32,
    /// With the pid and within one boot, its identity.
    pub(super) start_ticks: u64,
}

/// Reads what `/proc/PID/stat` says; the dead who are not yet reaped do not count.
fn parse_stat(pid: i32, text: &str) -> Option<Process> {
    // The name is in brackets and may contain anything, brackets too.
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(Process { pid, parent, group, session, start_ticks })
}

/// The process of that number, if it lives.
pub(super) fn process(pid: i32) -> Option<Process> {
    let file = File::open(format!("/proc/{pid}/stat")).ok()?;
    let mut bytes = [0u8; 1024];
    let count = file.read_at(&mut bytes, 0).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&bytes[..count]))
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The value of a variable in the environment that a process was started with.
fn mark(environment: &[u8], name: &str) -> Option<String> {
    environment.split(|byte| *byte == 0).find_map(|var| {
        let value = var.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

fn environment(pid: i32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// Signals exactly this process and never another that got its number; says whether it was there.
pub(super) fn signal(process: &Process, signal: i32) -> bool {
    hold(process).is_some_and(|handle| send(&handle, process.pid, signal))
}

/// A handle of a process, or `None` if it is gone.
fn hold(process_: &Process) -> Option<Option<OwnedFd>> {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory involved; the descriptor returned is nobody else's.
    let handle: Option<OwnedFd> = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, process_.pid, 0);
        (fd >= 0).then(|| std::os::fd::FromRawFd::from_raw_fd(fd as i32))
    };
    #[cfg(not(target_os = "linux"))]
    let handle: Option<OwnedFd> = None;
    // Checked after the handle was taken: from here on the handle cannot come to mean another process.
    let now = process(process_.pid)?;
    (now.start_ticks == process_.start_ticks).then_some(handle)
}

fn send(handle: &Option<OwnedFd>, pid: i32, signal: i32) -> bool {
    match handle {
        #[cfg(target_os = "linux")]
        // SAFETY: the handle is open; no signal information is passed.
        Some(handle) => unsafe {
            let none = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), signal, none, 0) == 0
        },
        // A kernel without pidfds: the identity was checked a moment ago.
        // SAFETY: no memory involved.
        _ => unsafe { libc::kill(pid, signal) == 0 },
    }
}

/// A descendant of the keeper and, where that can be said, the job it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) process: Process,
    /// The child of the keeper that it descends from, perhaps itself.
    pub(super) top: i32,
    /// The job; `None` for an adopted process whose environment and group say nothing.
    pub(super) job: Option<String>,
}

/// Follows every process up to the keeper. `main_of` knows the first processes of jobs, gone or not.
fn members_among(
    table: &[Process],
    keeper: i32,
    main_of: &dyn Fn(i32) -> Option<String>,
    job_mark: &dyn Fn(i32) -> Option<String>,
) -> Vec<Member> {
    let by_pid: HashMap<i32, &Process> = table.iter().map(|process| (process.pid, process)).collect();
    let mut tops: HashMap<i32, Option<String>> = HashMap::new();
    let mut members = Vec::new();
    for process in table {
        let mut top = process;
        // A table read while processes come and go can, in theory, contain a circle.
        for _ in 0..table.len() {
            match by_pid.get(&top.parent) {
                Some(parent) if top.parent != keeper => top = parent,
                _ => break,
            }
        }
        if top.parent != keeper {
            continue;
        }
        let known = || main_of(top.pid).or_else(|| main_of(top.group)).or_else(|| job_mark(top.pid));
        let job = tops.entry(top.pid).or_insert_with(known).clone();
        members.push(Member { process: *process, top: top.pid, job });
    }
    members
}

/// When a job started, in terms of process numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartMark {
    pid: i32,
    number: u64,
}

/// What the keeper knows about processes that were re-parented to it.
pub(super) struct Adoption {
    keeper: i32,
    token: String,
    /// `/proc/self/task/TID/children`, where the kernel has it.
    children: Option<File>,
    /// `/proc/loadavg`: its last field is the number most recently given to a process of our namespace.
    numbers: Option<File>,
    started: u64,
    /// Adopted children that are not reaped (so their numbers are not reused), and their jobs.
    known: HashMap<i32, Option<String>>,
}

/// A range of process numbers longer than this is not looked through one by one.
const CANDIDATES_MAX: i32 = 256;

impl Adoption {
    pub(super) fn new(token: &str) -> Adoption {
        let keeper = std::process::id() as i32;
        Adoption {
            keeper,
            token: token.to_owned(),
            children: File::open(format!("/proc/self/task/{keeper}/children")).ok(),
            numbers: File::open("/proc/loadavg").ok(),
            started: 0,
            known: HashMap::new(),
        }
    }

    /// Notes that we started a process.
    pub(super) fn started(&mut self, pid: i32) -> StartMark {
        self.started += 1;
        StartMark { pid, number: self.started }
    }

    /// Notes that an adopted child was reaped.
    pub(super) fn reaped(&mut self, pid: i32) {
        self.known.remove(&pid);
    }

    /// Whether anything may have been left behind by jobs that started at `ended`. May say yes for nothing, never no
    /// for something. `is_main`: the first process of a job that still runs; `runs`: whether a job still runs.
    pub(super) fn suspicious(
        &self,
        ended: &[StartMark],
        is_main: &dyn Fn(i32) -> bool,
        runs: &dyn Fn(&str) -> bool,
    ) -> bool {
        let new = |pid: i32| {
            let of_a_running_job = |job: &Option<String>| job.as_deref().is_some_and(runs);
            !is_main(pid) && !self.known.get(&pid).is_some_and(of_a_running_job)
        };
        if self.known.values().any(|job| !job.as_deref().is_some_and(runs)) {
            return true;
        }
        if let Some(children) = self.children.as_ref().and_then(read_all) {
            return children.split_ascii_whitespace().any(|pid| pid.parse().map_or(true, new));
        }
        let Some(last) = self.numbers.as_ref().and_then(read_all).and_then(|text| last_number(&text)) else {
            return cfg!(target_os = "linux");
        };
        // Numbers are given out in a circle. If as many were given since a job's start as we started jobs ourselves,
        // then nobody else forked meanwhile, the job included.
        let quiet = |mark: &&StartMark| i64::from(last) - i64::from(mark.pid) == (self.started - mark.number) as i64;
        let Some(first) = ended.iter().filter(|mark| !quiet(mark)).map(|mark| mark.pid).min() else { return false };
        if !(0..=CANDIDATES_MAX).contains(&(last - first)) || ended.iter().any(|mark| mark.pid > last) {
            return true;
        }
        (first + 1..=last).any(|pid| new(pid) && process(pid).is_some_and(|process| process.parent == self.keeper))
    }

    /// Looks through all processes for descendants of the keeper and remembers the adopted ones.
    pub(super) fn scan(&mut self, main_of: &dyn Fn(i32) -> Option<String>) -> Vec<Member> {
        let table: Vec<Process> = pids().filter_map(process).collect();
        let known = &self.known;
        let job_mark = |pid: i32| {
            if let Some(Some(job)) = known.get(&pid) {
                return Some(job.clone());
            }
            let environment = environment(pid);
            // Another keeper's mark: a keeper inside a job; the nearest mark is not ours to read then.
            (mark(&environment, KEEPER_MARK)? == self.token).then(|| mark(&environment, JOB_MARK)).flatten()
        };
        let members = members_among(&table, self.keeper, main_of, &job_mark);
        let adopted = members.iter().filter(|member| member.process.pid == member.top && main_of(member.top).is_none());
        self.known = adopted.map(|member| (member.top, member.job.clone())).collect();
        members
    }
}

/// All of a small file that the kernel makes anew at each read from its start.
fn read_all(file: &File) -> Option<String> {
    let mut bytes = vec![0u8; 1024];
    let mut count = 0;
    loop {
        match file.read_at(&mut bytes[count..], count as u64).ok()? {
            0 => break,
            more => count += more,
        }
        if count == bytes.len() {
            bytes.resize(2 * count, 0);
        }
    }
    bytes.truncate(count);
    String::from_utf8(bytes).ok()
}

fn last_number(loadavg: &str) -> Option<i32> {
    loadavg.split_ascii_whitespace().last()?.parse().ok()
}

/// Kills every process that carries the marker of a keeper that is gone, with its descendants and its session, and
/// waits until they are dead; returns how many there were. `token` is [`super::LogEntry::Keeper`]'s.
///
/// Only processes of our own user are looked at, and each is signalled through a handle after its identity was
/// checked, never by number alone. Without `/proc` nothing is found.
pub fn sweep_orphans(token: &str) -> usize {
    let mut killed = HashSet::new();
    // Each round kills at least one process or is the last; the bound is against a system that cannot kill.
    for _ in 0..100 {
        let orphans = orphans_of(token);
        if orphans.is_empty() {
            break;
        }
        let mut handles = Vec::new();
        for orphan in orphans {
            if let Some(handle) = hold(&orphan)
                && send(&handle, orphan.pid, libc::SIGKILL)
            {
                killed.insert((orphan.pid, orphan.start_ticks));
                handles.extend(handle);
            }
        }
        await_death(&handles);
    }
    killed.len()
}

fn orphans_of(token: &str) -> Vec<Process> {
    // SAFETY: cannot fail.
    let (me, my_user, my_session) = unsafe { (libc::getpid(), libc::geteuid(), libc::getsid(0)) };
    let own =
        |pid: &i32| *pid != me && std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == my_user);
    let table: Vec<Process> = pids().filter(own).filter_map(process).collect();
    let marked = |process: &&Process| mark(&environment(process.pid), KEEPER_MARK).as_deref() == Some(token);
    let roots: Vec<&Process> = table.iter().filter(marked).collect();
    if roots.is_empty() {
        return Vec::new();
    }
    // A keeper leads its session, so that every session with a marked process is its own or was made below it.
    let sessions: HashSet<i32> = roots.iter().map(|root| root.session).filter(|id| *id != my_session).collect();
    let mut found: HashSet<i32> = roots.iter().map(|root| root.pid).collect();
    found.extend(table.iter().filter(|process| sessions.contains(&process.session)).map(|process| process.pid));
    // Children of what was found, until there are no more.
    loop {
        let before = found.len();
        let more: Vec<i32> = table.iter().filter(|p| found.contains(&p.parent)).map(|p| p.pid).collect();
        found.extend(more);
        if found.len() == before {
            break;
        }
    }
    table.into_iter().filter(|process| found.contains(&process.pid)).collect()
}

/// Waits until the processes are dead, each at most a second: one that hangs in the kernel must not hold us up.
fn await_death(handles: &[OwnedFd]) {
    for handle in handles {
        let mut poll = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives through the call.
        unsafe { libc::poll(&mut poll, 1, 1000) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "12 (a) b (c) S 7 12 11 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1 18446744073709551615";
        let expected = Process { pid: 12, parent: 7, group: 12, session: 11, start_ticks: 4711 };
        assert_eq!(parse_stat(12, line), Some(expected));
        assert_eq!(parse_stat(12, &line.replace(" S ", " Z ")), None);
        assert_eq!(parse_stat(12, "12 (cut"), None);
    }

    #[test]
    fn members_are_told_by_descent_group_and_mark() {
        let p = |pid, parent, group| Process { pid, parent, group, session: 10, start_ticks: 0 };
        // 10 keeper; 20 main of job a; 21 its child; 30 adopted, in the group of the gone main 25 of job b; 40 adopted and
        // marked; 41 its child; 50 adopted, unmarked; 60 somebody else's.
        let table = [
            p(10, 1, 10),
            p(20, 10, 20),
            p(21, 20, 21),
            p(30, 10, 25),
            p(40, 10, 40),
            p(41, 40, 41),
            p(50, 10, 50),
            p(60, 1, 60),
        ];
        let main_of = |pid| match pid {
            20 => Some("a".to_owned()),
            25 => Some("b".to_owned()),
            _ => None,
        };
        let found = members_among(&table, 10, &main_of, &|pid| (pid == 40).then(|| "c".to_owned()));
        let found: Vec<_> = found.iter().map(|m| (m.process.pid, m.top, m.job.as_deref())).collect();
        let expected = [
            (20, 20, Some("a")),
            (21, 20, Some("a")),
            (30, 30, Some("b")),
            (40, 40, Some("c")),
            (41, 40, Some("c")),
            (50, 50, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn marks_are_whole_variables() {
        let environment = b"XORCHESTRATOR_JOB=no\0ORCHESTRATOR_JOB=T-1.1\0ORCHESTRATOR_JOBS=no\0";
        assert_eq!(mark(environment, JOB_MARK).as_deref(), Some("T-1.1"));
        assert_eq!(mark(environment, KEEPER_MARK), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_answers_as_expected() {
        let me = process(std::process::id() as i32).unwrap();
        assert!(me.start_ticks > 0 && me.start_ticks <= super::super::process::boot_ticks() + 1);
        let numbers = read_all(&File::open("/proc/loadavg").unwrap()).unwrap();
        assert!(last_number(&numbers).unwrap() > 0);
    }

    /// Kernels without a list of children: as good as that, from the numbers given out.
    #[cfg(target_os = "linux")]
    #[test]
    fn without_a_list_of_children_numbers_tell() {
        let sleep = || std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut adoption = Adoption::new("t");
        adoption.children = None;
        let mut job = sleep();
        let mark = adoption.started(job.id() as i32);
        let mut other = sleep();
        let other_pid = other.id() as i32;
        // Other tests start children of this process too; they pass for first processes of jobs here.
        let seen = adoption.suspicious(&[mark], &|pid| pid != other_pid, &|_| true);
        adoption.known.insert(other_pid, Some("running".into()));
        let known = adoption.suspicious(&[mark], &|pid| pid != other_pid, &|_| true);
        let its_job_ended = adoption.suspicious(&[mark], &|_| true, &|_| false);
        for child in [&mut job, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!((seen, known, its_job_ended), (true, false, true));
        // A number that was given long ago, or in the circle's last round, says nothing: look.
        let old = StartMark { pid: 1, number: 1 };
        let ahead = StartMark { pid: i32::MAX, number: 1 };
        adoption.known.clear();
        assert!(adoption.suspicious(&[ahead], &|_| true, &|_| true));
        assert!(adoption.suspicious(&[old], &|_| true, &|_| true));
    }
}
