//! Starting one child process: what it runs, with which environment, and, where it cannot, why.
//!
//! On Linux by `clone(CLONE_VM)`: as cheap as `posix_spawn` and, other than that, able to ask for the child's death with
//! the keeper's, and without a wait: while one child is on its way to its program, the next is being started. Elsewhere
//! by the standard library.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    super::sandbox,
    protocol::{Job, NotStarted},
};

/// The variable that names the job in the environment of all its processes.
pub(super) const JOB_MARK: &str = "ORCHESTRATOR_JOB";
/// The variable that names the keeper there.
pub(super) const KEEPER_MARK: &str = "ORCHESTRATOR_KEEPER";
/// Where programs are looked up when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// An environment, checked and ready for use.
pub(super) struct Env {
    vars: BTreeMap<String, CString>,
    /// What confines its jobs. Made once, for however many there are; each enters it with two system calls.
    ruleset: Option<OwnedFd>,
}

/// `KEY=value` as the system wants it, or what is wrong with it.
fn assignment(key: &str, value: &str) -> Result<CString, String> {
    if key.is_empty() || key.contains('=') {
        return Err(format!("{key:?} cannot be the name of a variable"));
    }
    CString::new(format!("{key}={value}")).map_err(|_| format!("the variable {key:?} contains a zero byte"))
}

impl Env {
    pub(super) fn new(vars: Vec<(String, String)>, writable: Option<&[PathBuf]>) -> Result<Env, String> {
        // Of two values for one name the last counts.
        let mut checked = BTreeMap::new();
        for (key, value) in vars {
            let text = assignment(&key, &value)?;
            checked.insert(key, text);
        }
        let ruleset = writable.map(sandbox::ruleset).transpose().map_err(|error| error.to_string())?.flatten();
        Ok(Env { vars: checked, ruleset })
    }

    fn path<'a>(&'a self, job: &'a Job) -> &'a str {
        let extra = job.extra_env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_str());
        let own = || self.vars.get("PATH");
        extra.or_else(|| own().and_then(|text| text.to_str().ok()?.strip_prefix("PATH="))).unwrap_or(DEFAULT_PATH)
    }
}

/// What is wrong with the order itself, if anything: such a job is refused before it is queued.
pub(super) fn malformed(job: &Job) -> Option<String> {
    if job.id.is_empty() || job.id.contains('\0') {
        return Some("the id must be non-empty and without zero bytes".to_owned());
    }
    match job.argv.first() {
        None => return Some("argv is empty: name a program".to_owned()),
        Some(program) if program.is_empty() => return Some("the program's name is empty".to_owned()),
        Some(_) => {}
    }
    if job.argv.iter().any(|word| word.contains('\0')) {
        return Some("argv contains a zero byte".to_owned());
    }
    if !job.cwd.is_absolute() || job.cwd.as_os_str().as_bytes().contains(&0) {
        return Some(format!("cwd must be an absolute path, not {:?}", job.cwd));
    }
    if !job.log.is_absolute() {
        return Some(format!("log must be an absolute path, not {:?}", job.log));
    }
    job.extra_env.iter().find_map(|(key, value)| assignment(key, value).err())
}

/// Why there is no process.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: NotStarted,
    pub(super) message: String,
}

/// Where in the child a system call failed.
#[derive(Clone, Copy, PartialEq)]
#[repr(i32)]
enum Step {
    None = 0,
    Setup,
    Cwd,
    Confine,
    Exec,
}

/// Starts a job whose output goes to `out`. `token` marks its processes as this keeper's. What goes wrong on the way to
/// the program is known when the child is gone: ask [`Launched::trouble`] then.
pub(super) fn start(
    launcher: &mut Launcher,
    job: &Job,
    env: &Rc<Env>,
    token: &str,
    out: RawFd,
) -> Result<(i32, Launched), Failure> {
    let name = &job.argv[0];
    let path = env.path(job);
    let program = resolve(name, path, &job.cwd).ok_or_else(|| not_found(job, name, path))?;
    let own = [(JOB_MARK, job.id.as_str()), (KEEPER_MARK, token)];
    let marked = |key: &str| own.iter().any(|(mark, _)| *mark == key);
    // Of two values for one name the last counts.
    let extra = job
        .extra_env
        .iter()
        .enumerate()
        .filter(|(at, (key, _))| !marked(key) && !job.extra_env[at + 1..].iter().any(|(later, _)| later == key));
    let extra = extra.map(|(_, (key, value))| (key.as_str(), value.as_str()));
    let added = own.into_iter().chain(extra);
    let replaced = |key: &str| marked(key) || job.extra_env.iter().any(|(extra, _)| extra == key);
    let kept = env.vars.iter().filter(|(key, _)| !replaced(key)).map(|(_, text)| text.as_c_str());
    let call = Call { program: &program, argv: &job.argv, added: &mut added.into_iter(), kept: &mut kept.into_iter() };
    launcher.launch(call, job, env, out).map_err(|(step, error)| explain(job, &program, path, step, &error))
}

/// What a child is to become.
struct Call<'a, 'b> {
    program: &'a Path,
    argv: &'a [String],
    /// Variables of this job alone, name and value.
    added: &'b mut dyn Iterator<Item = (&'a str, &'a str)>,
    /// Variables of its environment.
    kept: &'b mut dyn Iterator<Item = &'a CStr>,
}

/// Why a child of this job is none, from the step at which it gave up.
#[cfg(target_os = "linux")]
fn told(job: &Job, env: &Env, step: Step, errno: i32) -> Option<Failure> {
    if step == Step::None {
        return None;
    }
    let path = env.path(job);
    let program = resolve(&job.argv[0], path, &job.cwd).unwrap_or_else(|| PathBuf::from(&job.argv[0]));
    Some(explain(job, &program, path, step, &io::Error::from_raw_os_error(errno)))
}

/// The file to run: as given where it has a slash (relative to `cwd`), else the first executable of that name in PATH;
/// failing that the first file of that name, so that the system can say why it is none.
fn resolve(name: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(cwd.join(name));
    }
    let mut fallback = None;
    for folder in path.split(':') {
        let file = cwd.join(folder).join(name);
        match executable(&file) {
            Some(true) => return Some(file),
            Some(false) if fallback.is_none() => fallback = Some(file),
            Some(false) | None => {}
        }
    }
    fallback
}

/// Whether the file may be run; `None` where there is no such file.
fn executable(file: &Path) -> Option<bool> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(file).ok()?;
    // Directories carry the same bits; one named like the program must not hide it.
    found.is_file().then(|| found.permissions().mode() & 0o111 != 0)
}

fn not_found(job: &Job, name: &str, path: &str) -> Failure {
    if !job.cwd.is_dir() {
        return bad_cwd(job, &io::Error::from_raw_os_error(libc::ENOENT));
    }
    let message = format!("there is no program {name:?} on the job's PATH ({path}): install it or correct PATH");
    Failure { reason: NotStarted::NotFound, message }
}

fn bad_cwd(job: &Job, error: &io::Error) -> Failure {
    let message = format!("cannot enter the working directory {}: {error}", job.cwd.display());
    Failure { reason: NotStarted::BadCwd, message }
}

fn explain(job: &Job, program: &Path, path: &str, step: Step, error: &io::Error) -> Failure {
    let shown = program.display();
    let failure = |reason, message| Failure { reason, message };
    match (step, error.raw_os_error()) {
        (Step::Cwd, _) => bad_cwd(job, error),
        (Step::Exec, Some(libc::ENOENT)) if program.exists() => failure(
            NotStarted::NotFound,
            format!(
                "{shown} is there, but the interpreter or loader it names is not: install that or mend its first line"
            ),
        ),
        (Step::Exec, Some(libc::ENOENT | libc::ENOTDIR)) if job.argv[0].contains('/') => failure(
            NotStarted::NotFound,
            format!("there is no program {shown}: build or install it, or correct the path"),
        ),
        (Step::Exec, Some(libc::ENOENT | libc::ENOTDIR)) => not_found(job, &job.argv[0], path),
        (Step::Exec, Some(libc::ENOEXEC)) => failure(
            NotStarted::NotExecutable,
            format!(
                "{shown} is neither a program for this system nor a script with a `#!` line: add one, or name its interpreter"
            ),
        ),
        (Step::Exec, Some(libc::EACCES)) if program.is_dir() => {
            failure(NotStarted::NotExecutable, format!("{shown} is a directory: name a program"))
        }
        (Step::Exec, Some(libc::EACCES | libc::EPERM)) => failure(
            NotStarted::NotExecutable,
            format!(
                "{shown} may not be run ({error}): chmod +x it, and check that its file system is not mounted noexec"
            ),
        ),
        (Step::Exec, Some(libc::E2BIG)) => failure(
            NotStarted::Other,
            format!(
                "the arguments and environment of {shown} are too long for this system: pass less, or pass it in a file"
            ),
        ),
        (Step::None, Some(libc::EAGAIN | libc::ENOMEM)) => failure(
            NotStarted::Other,
            format!("the system gave no new process ({error}): run fewer jobs at once, or raise `ulimit -u`"),
        ),
        (Step::Confine, _) => failure(
            NotStarted::Other,
            format!("{shown} could not be confined to its lane ({error}): see `sandbox` in `orchestrator doctor`"),
        ),
        (Step::None | Step::Setup | Step::Exec, _) => {
            failure(NotStarted::Other, format!("cannot start {shown}: {error}"))
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Launched, Launcher};

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::c_char, os::fd::AsRawFd, ptr};

    use super::{super::raw, *};

    /// More than any page, so that the lowest part can be closed off.
    const STACK_BYTES: usize = 128 << 10;
    const GUARD_BYTES: usize = 64 << 10;

    /// How many places are kept for the next children.
    const FREE_MAX: usize = 64;

    /// Starts children, each from a place of its own.
    pub(in super::super) struct Launcher {
        keeper: libc::pid_t,
        free: Vec<Slot>,
    }

    /// What a child borrows until it runs its program or is gone: a stack, and everything it reads.
    struct Slot {
        stack: *mut libc::c_void,
        /// The texts of the call, each with its zero byte, one behind the other.
        texts: Vec<u8>,
        /// Where each begins.
        starts: Vec<usize>,
        /// The lists of arguments and variables, each with its end.
        lists: Vec<*const c_char>,
        /// In a place of its own: the child knows it by its address.
        orders: Box<Orders>,
    }

    /// What the child reads, and the two fields in which it leaves its trouble: it shares our memory.
    struct Orders {
        program: *const c_char,
        argv: *const *const c_char,
        env: *const *const c_char,
        cwd: *const c_char,
        out: RawFd,
        /// A Landlock ruleset to enter; -1 = none.
        ruleset: RawFd,
        keeper: libc::pid_t,
        step: Step,
        errno: libc::c_int,
    }

    /// A child that was started. Must be kept until it was reaped: it may still read what is in here.
    pub(in super::super) struct Launched {
        slot: Slot,
        env: Rc<Env>,
    }

    impl Launched {
        /// Why the child did not become the job, if so. Only once it was reaped.
        pub(in super::super) fn trouble(&self, job: &Job) -> Option<Failure> {
            let orders = &raw const *self.slot.orders;
            // SAFETY: the child is gone, so nobody writes; the compiler does not know that it has written.
            let (step, errno) = unsafe { (ptr::read_volatile(&(*orders).step), ptr::read_volatile(&(*orders).errno)) };
            told(job, &self.env, step, errno)
        }
    }

    impl Slot {
        fn new() -> io::Result<Slot> {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a fresh mapping that overlaps nothing.
            let stack = unsafe { libc::mmap(ptr::null_mut(), STACK_BYTES, access, flags, -1, 0) };
            if stack == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the lower part of the mapping that was just made.
            unsafe { libc::mprotect(stack, GUARD_BYTES, libc::PROT_NONE) };
            let orders = Box::new(Orders {
                program: ptr::null(),
                argv: ptr::null(),
                env: ptr::null(),
                cwd: ptr::null(),
                out: -1,
                ruleset: -1,
                keeper: 0,
                step: Step::None,
                errno: 0,
            });
            Ok(Slot { stack, texts: Vec::new(), starts: Vec::new(), lists: Vec::new(), orders })
        }

        fn push(&mut self, parts: &[&[u8]]) {
            self.starts.push(self.texts.len());
            parts.iter().for_each(|part| self.texts.extend_from_slice(part));
            self.texts.push(0);
        }

        /// Puts everything where the child finds it. Malformed words and paths were refused before.
        fn fill(&mut self, call: Call<'_, '_>, cwd: &Path, (out, ruleset): (RawFd, RawFd), keeper: libc::pid_t) {
            self.texts.clear();
            self.starts.clear();
            self.lists.clear();
            self.push(&[call.program.as_os_str().as_bytes()]);
            self.push(&[cwd.as_os_str().as_bytes()]);
            call.argv.iter().for_each(|word| self.push(&[word.as_bytes()]));
            call.added.for_each(|(key, value)| self.push(&[key.as_bytes(), b"=", value.as_bytes()]));
            // Only now do the texts stay where they are.
            let (starts, base) = (&self.starts, self.texts.as_ptr());
            // SAFETY: every start lies inside of the texts.
            let at = |index: usize| unsafe { base.add(starts[index]).cast::<c_char>() };
            let words = 2 + call.argv.len();
            self.lists.extend((2..words).map(at));
            self.lists.push(ptr::null());
            self.lists.extend((words..starts.len()).map(at));
            self.lists.extend(call.kept.map(CStr::as_ptr));
            self.lists.push(ptr::null());
            let argv = self.lists.as_ptr();
            // SAFETY: the list of arguments and its end come first.
            let env = unsafe { argv.add(call.argv.len() + 1) };
            let (program, cwd) = (at(0), at(1));
            *self.orders = Orders { program, argv, env, cwd, out, ruleset, keeper, step: Step::None, errno: 0 };
        }
    }

    impl Drop for Slot {
        fn drop(&mut self) {
            // SAFETY: our own mapping; whoever used it is gone.
            unsafe { libc::munmap(self.stack, STACK_BYTES) };
        }
    }

    impl Launcher {
        pub(in super::super) fn new() -> io::Result<Launcher> {
            // SAFETY: cannot fail.
            Ok(Launcher { keeper: unsafe { libc::getpid() }, free: Vec::new() })
        }

        /// Invariant: all signals are blocked in the keeper, so that no handler runs in the child on shared memory.
        pub(super) fn launch(
            &mut self,
            call: Call<'_, '_>,
            job: &Job,
            env: &Rc<Env>,
            out: RawFd,
        ) -> Result<(i32, Launched), (Step, io::Error)> {
            let free = self.free.pop().map_or_else(Slot::new, Ok);
            let mut slot = free.map_err(|error| (Step::None, error))?;
            let ruleset = env.ruleset.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            slot.fill(call, &job.cwd, (out, ruleset), self.keeper);
            let wait = if raw::ALONE { 0 } else { libc::CLONE_VFORK };
            // SAFETY: the child runs `child` on a stack that nobody else uses; what `orders` points to is kept in the
            // slot, and in the environment beside it, until the child was reaped. It writes nothing but the two fields
            // meant for it, and makes system calls that leave even our errno alone (or else we wait for it).
            let pid = unsafe {
                let top = slot.stack.byte_add(STACK_BYTES);
                let orders = (&raw mut *slot.orders).cast();
                libc::clone(child, top, libc::CLONE_VM | libc::SIGCHLD | wait, orders)
            };
            if pid < 0 {
                let error = io::Error::last_os_error();
                self.free.push(slot);
                return Err((Step::None, error));
            }
            Ok((pid, Launched { slot, env: Rc::clone(env) }))
        }

        /// The child was reaped: its place is free.
        pub(in super::super) fn gone(&mut self, launched: Launched) {
            if self.free.len() < FREE_MAX {
                self.free.push(launched.slot);
            }
        }
    }

    extern "C" fn child(orders: *mut libc::c_void) -> libc::c_int {
        let orders = orders.cast::<Orders>();
        // SAFETY: the keeper keeps all of this valid until we are gone; memory is only written in the two fields meant
        // for it.
        unsafe {
            let fail = |step: Step, errno: i32| -> libc::c_int {
                ptr::write_volatile(&raw mut (*orders).errno, errno);
                ptr::write_volatile(&raw mut (*orders).step, step);
                127
            };
            let out = (*orders).out as isize;
            // A group, not a session: with a session each, 2,000 /bin/true took 1.3 to 2 times as long (three rounds on a
            // busy machine with CONFIG_SCHED_AUTOGROUP, which makes a scheduler group per session: the likely cause).
            // The keeper's own session has no terminal either. Standard input is the keeper's: /dev/null.
            let kill = libc::SIGKILL as isize;
            let setup = [
                [libc::SYS_setpgid as isize, 0, 0, 0, 0],
                [libc::SYS_dup3 as isize, out, 1, 0, 0],
                [libc::SYS_dup3 as isize, out, 2, 0, 0],
                [libc::SYS_prctl as isize, libc::PR_SET_PDEATHSIG as isize, kill, 0, 0],
            ];
            for [number, a, b, c, d] in setup {
                let answer = raw::call(number, a, b, c, d);
                if answer < 0 {
                    return fail(Step::Setup, -answer as i32);
                }
            }
            // The keeper may have died before the request above.
            if raw::call(libc::SYS_getppid as isize, 0, 0, 0, 0) != (*orders).keeper as isize {
                return 127;
            }
            let answer = raw::call(libc::SYS_chdir as isize, (*orders).cwd as isize, 0, 0, 0);
            if answer < 0 {
                return fail(Step::Cwd, -answer as i32);
            }
            let ruleset = (*orders).ruleset as isize;
            if ruleset >= 0 {
                // Whoever may not gain rights may give some up. For good, and for all that it starts.
                let confine = [
                    [libc::SYS_prctl as isize, libc::PR_SET_NO_NEW_PRIVS as isize, 1],
                    [libc::SYS_landlock_restrict_self as isize, ruleset, 0],
                ];
                for [number, a, b] in confine {
                    let answer = raw::call(number, a, b, 0, 0);
                    if answer < 0 {
                        return fail(Step::Confine, -answer as i32);
                    }
                }
            }
            // The kernel's set of signals has 64 bits.
            let none = 0u64;
            let (how, none) = (libc::SIG_SETMASK as isize, &raw const none as isize);
            raw::call(libc::SYS_rt_sigprocmask as isize, how, none, 0, size_of::<u64>() as isize);
            let (program, argv, env) = ((*orders).program as isize, (*orders).argv as isize, (*orders).env as isize);
            let answer = raw::call(libc::SYS_execve as isize, program, argv, env, 0);
            fail(Step::Exec, -answer as i32)
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use portable::{Launched, Launcher};

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::{
        ffi::OsStr,
        os::{
            fd::{BorrowedFd, OwnedFd},
            unix::process::CommandExt,
        },
    };

    use super::*;

    /// Nothing is kept between starts here.
    pub(in super::super) struct Launcher;

    /// Here a child either was started or is known not to have been.
    pub(in super::super) struct Launched;

    impl Launched {
        /// Nothing is left to be found out.
        pub(in super::super) fn trouble(&self, _job: &Job) -> Option<Failure> {
            None
        }
    }

    impl Launcher {
        pub(in super::super) fn new() -> io::Result<Launcher> {
            Ok(Launcher)
        }

        pub(super) fn launch(
            &mut self,
            call: Call<'_, '_>,
            job: &Job,
            _env: &Rc<Env>,
            out: RawFd,
        ) -> Result<(i32, Launched), (Step, io::Error)> {
            if let Err(error) = std::fs::read_dir(&job.cwd) {
                return Err((Step::Cwd, error));
            }
            // SAFETY: the caller keeps `out` open during this call.
            let out = unsafe { BorrowedFd::borrow_raw(out) };
            let copy = || -> Result<OwnedFd, (Step, io::Error)> {
                out.try_clone_to_owned().map_err(|error| (Step::Setup, error))
            };
            let mut command = std::process::Command::new(call.program);
            command.arg0(&call.argv[0]).args(&call.argv[1..]).current_dir(&job.cwd).env_clear().process_group(0);
            command.stdin(std::process::Stdio::null()).stdout(copy()?).stderr(copy()?);
            for var in call.kept {
                let text = var.to_bytes();
                let at = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
                command.env(OsStr::from_bytes(&text[..at]), OsStr::from_bytes(text.get(at + 1..).unwrap_or_default()));
            }
            call.added.for_each(|(key, value)| drop(command.env(key, value)));
            // Dropping the handle neither kills nor waits: the keeper reaps by itself.
            command.spawn().map(|child| (child.id() as i32, Launched)).map_err(|error| (Step::Exec, error))
        }

        pub(in super::super) fn gone(&mut self, _launched: Launched) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let text = r#"{"id":"a","argv":["tool"],"cwd":"/","env":1,"grace_ms":5,"log":"/l"}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn bad_orders_are_named() {
        assert_eq!(malformed(&job()), None);
        let word = |w: &str| Job { argv: vec![w.to_owned()], ..job() };
        assert!(malformed(&Job { argv: vec![], ..job() }).unwrap().contains("argv is empty"));
        assert!(malformed(&word("a\0b")).unwrap().contains("zero byte"));
        assert!(malformed(&Job { cwd: "here".into(), ..job() }).unwrap().contains("absolute"));
        assert!(malformed(&Job { extra_env: vec![("A=B".into(), "".into())], ..job() }).unwrap().contains("A=B"));
        assert!(Env::new(vec![("".into(), "x".into())], None).is_err());
    }

    #[test]
    fn a_program_is_looked_up_in_the_jobs_own_path() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = |folder: &str, mode: u32| {
            let file = dir.path().join(folder).join("tool");
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let plain = file("plain", 0o644);
        let good = file("good", 0o755);
        std::fs::create_dir_all(dir.path().join("folder/tool")).unwrap();
        assert_eq!(resolve("tool", "folder:plain:good", dir.path()), Some(good.clone()));
        assert_eq!(resolve("tool", "folder:plain", dir.path()), Some(plain));
        assert_eq!(resolve("tool", "folder", dir.path()), None);
        assert_eq!(resolve("./good/tool", "", dir.path()), Some(good));
        let env = Env::new(vec![("PATH".into(), "/own".into())], None).unwrap();
        assert_eq!(env.path(&job()), "/own");
        let extra = Job { extra_env: vec![("PATH".into(), "/extra".into())], ..job() };
        assert_eq!(env.path(&extra), "/extra");
        assert_eq!(Env::new(vec![], None).unwrap().path(&job()), DEFAULT_PATH);
    }
}
