//! Starting one child process: what it runs, with which environment, and, where it cannot, why.
//!
//! On Linux by `clone(CLONE_VM | CLONE_VFORK)`: as cheap as `posix_spawn` and, other than that, able to ask for the
//! child's death with the keeper's. Elsewhere by the standard library.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr},
    io,
    os::{
        fd::RawFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use super::protocol::{Job, NotStarted};

/// The variable that names the job in the environment of all its processes.
pub(super) const JOB_MARK: &str = "ORCHESTRATOR_JOB";
/// The variable that names the keeper there.
pub(super) const KEEPER_MARK: &str = "ORCHESTRATOR_KEEPER";
/// Where programs are looked up when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// An environment, checked and ready for use.
pub(super) struct Env {
    vars: BTreeMap<String, CString>,
}

/// `KEY=value` as the system wants it, or what is wrong with it.
fn assignment(key: &str, value: &str) -> Result<CString, String> {
    if key.is_empty() || key.contains('=') {
        return Err(format!("{key:?} cannot be the name of a variable"));
    }
    CString::new(format!("{key}={value}")).map_err(|_| format!("the variable {key:?} contains a zero byte"))
}

impl Env {
    pub(super) fn new(vars: Vec<(String, String)>) -> Result<Env, String> {
        // Of two values for one name the last counts.
        let mut checked = BTreeMap::new();
        for (key, value) in vars {
            let text = assignment(&key, &value)?;
            checked.insert(key, text);
        }
        Ok(Env { vars: checked })
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
    Exec,
}

/// Starts a job whose output goes to `out`. `token` marks its processes as this keeper's.
pub(super) fn start(launcher: &mut Launcher, job: &Job, env: &Env, token: &str, out: RawFd) -> Result<i32, Failure> {
    let name = &job.argv[0];
    let path = env.path(job);
    let program = resolve(name, path, &job.cwd).ok_or_else(|| not_found(job, name, path))?;
    let other = |what: String| Failure { reason: NotStarted::Other, message: what };
    let own = [(JOB_MARK, job.id.as_str()), (KEEPER_MARK, token)];
    let replaced =
        |key: &str| own.iter().any(|(mark, _)| *mark == key) || job.extra_env.iter().any(|(extra, _)| extra == key);
    let extra: BTreeMap<&str, &str> = job.extra_env.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let extra = extra.into_iter().filter(|(key, _)| !own.iter().any(|(mark, _)| mark == key));
    let added = own.into_iter().chain(extra);
    let added: Vec<CString> = added.map(|(k, v)| assignment(k, v)).collect::<Result<_, _>>().map_err(other)?;
    let kept = env.vars.iter().filter(|(key, _)| !replaced(key)).map(|(_, text)| text);
    let vars: Vec<&CString> = added.iter().chain(kept).collect();
    match launcher.launch(&program, &job.argv, &vars, &job.cwd, out) {
        Ok(pid) => Ok(pid),
        Err((step, error)) => Err(explain(job, &program, path, step, &error)),
    }
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
        (Step::None | Step::Setup | Step::Exec, _) => {
            failure(NotStarted::Other, format!("cannot start {shown}: {error}"))
        }
    }
}

/// Turns a path into what the system calls take; malformed ones were refused before.
fn c_path(path: &Path) -> Result<CString, (Step, io::Error)> {
    CString::new(OsStr::to_owned(path.as_os_str()).into_vec()).map_err(|error| (Step::None, error.into()))
}

#[cfg(target_os = "linux")]
pub(super) use linux::Launcher;

#[cfg(target_os = "linux")]
mod linux {
    use std::ptr;

    use super::*;

    const STACK_BYTES: usize = 256 << 10;

    /// The stack that every child borrows until it runs its program.
    pub(in super::super) struct Launcher {
        stack: *mut libc::c_void,
        keeper: libc::pid_t,
    }

    /// What the child reads, and the two fields in which it leaves its trouble: it shares our memory.
    struct Orders {
        program: *const libc::c_char,
        argv: *const *const libc::c_char,
        env: *const *const libc::c_char,
        cwd: *const libc::c_char,
        out: RawFd,
        keeper: libc::pid_t,
        no_signals: libc::sigset_t,
        step: Step,
        errno: libc::c_int,
    }

    impl Launcher {
        pub(in super::super) fn new() -> io::Result<Launcher> {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            // SAFETY: a fresh mapping that overlaps nothing.
            let stack =
                unsafe { libc::mmap(ptr::null_mut(), STACK_BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
            // SAFETY: cannot fail.
            let keeper = unsafe { libc::getpid() };
            if stack == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Launcher { stack, keeper }) }
        }

        /// Invariant: all signals are blocked in the keeper, so that no handler runs in the child on shared memory.
        pub(super) fn launch(
            &mut self,
            program: &Path,
            argv: &[String],
            vars: &[&CString],
            cwd: &Path,
            out: RawFd,
        ) -> Result<i32, (Step, io::Error)> {
            let program = c_path(program)?;
            let cwd = c_path(cwd)?;
            let words: Vec<CString> = argv
                .iter()
                .map(|word| CString::new(word.as_str()))
                .collect::<Result<_, _>>()
                .map_err(|error| (Step::None, error.into()))?;
            let argv: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
            let env: Vec<_> = vars.iter().map(|var| var.as_ptr()).chain([ptr::null()]).collect();
            // SAFETY: a signal set is plain data, and sigemptyset makes it a valid one.
            let no_signals = unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                set
            };
            let mut orders = Orders {
                program: program.as_ptr(),
                argv: argv.as_ptr(),
                env: env.as_ptr(),
                cwd: cwd.as_ptr(),
                out,
                keeper: self.keeper,
                no_signals,
                step: Step::None,
                errno: 0,
            };
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY: the child runs `child` on a stack that nobody else uses, while we are stopped (CLONE_VFORK), so
            // everything `orders` points to outlives its use; it makes only async-signal-safe calls.
            let pid = unsafe {
                let top = self.stack.byte_add(STACK_BYTES);
                libc::clone(child, top, flags, ptr::from_mut(&mut orders).cast())
            };
            // The compiler does not know that clone has written to it.
            // SAFETY: `orders` is ours again: the child has a program or is gone.
            let (step, errno) = unsafe { (ptr::read_volatile(&orders.step), ptr::read_volatile(&orders.errno)) };
            if pid < 0 {
                return Err((Step::None, io::Error::last_os_error()));
            }
            if step != Step::None {
                // It never became the job: take its remains away here, so that nobody takes them for an adopted child.
                // SAFETY: waiting for our own child, which is exiting.
                unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
                return Err((step, io::Error::from_raw_os_error(errno)));
            }
            Ok(pid)
        }
    }

    extern "C" fn child(orders: *mut libc::c_void) -> libc::c_int {
        let orders = orders.cast::<Orders>();
        // SAFETY: the parent is stopped and keeps all of this valid; every call is async-signal-safe; memory is only
        // written in the two fields meant for it (and in errno, which the parent reads after its own calls only).
        unsafe {
            let fail = |step: Step| -> ! {
                (*orders).errno = *libc::__errno_location();
                (*orders).step = step;
                libc::_exit(127)
            };
            // A group, not a session: with a session each, 2,000 /bin/true took 1.3 to 2 times as long (three rounds on a
            // busy machine with CONFIG_SCHED_AUTOGROUP, which makes a scheduler group per session: the likely cause).
            // The keeper's own session has no terminal either. Standard input is the keeper's: /dev/null.
            if libc::setpgid(0, 0) < 0
                || libc::dup2((*orders).out, 1) < 0
                || libc::dup2((*orders).out, 2) < 0
                || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0
            {
                fail(Step::Setup);
            }
            // The keeper may have died before the request above.
            if libc::getppid() != (*orders).keeper {
                libc::_exit(127);
            }
            if libc::chdir((*orders).cwd) != 0 {
                fail(Step::Cwd);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &(*orders).no_signals, ptr::null_mut());
            libc::execve((*orders).program, (*orders).argv, (*orders).env);
            fail(Step::Exec)
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use portable::Launcher;

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::os::{
        fd::{BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    };

    use super::*;

    /// Nothing is kept between starts here.
    pub(in super::super) struct Launcher;

    impl Launcher {
        pub(in super::super) fn new() -> io::Result<Launcher> {
            Ok(Launcher)
        }

        pub(super) fn launch(
            &mut self,
            program: &Path,
            argv: &[String],
            vars: &[&CString],
            cwd: &Path,
            out: RawFd,
        ) -> Result<i32, (Step, io::Error)> {
            if let Err(error) = std::fs::read_dir(cwd) {
                return Err((Step::Cwd, error));
            }
            c_path(program)?;
            // SAFETY: the caller keeps `out` open during this call.
            let out = unsafe { BorrowedFd::borrow_raw(out) };
            let copy = || -> Result<OwnedFd, (Step, io::Error)> {
                out.try_clone_to_owned().map_err(|error| (Step::Setup, error))
            };
            let mut command = std::process::Command::new(program);
            command.arg0(&argv[0]).args(&argv[1..]).current_dir(cwd).env_clear().process_group(0);
            command.stdin(std::process::Stdio::null()).stdout(copy()?).stderr(copy()?);
            for var in vars {
                let text = var.to_bytes();
                let at = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
                command.env(OsStr::from_bytes(&text[..at]), OsStr::from_bytes(text.get(at + 1..).unwrap_or_default()));
            }
            // Dropping the handle neither kills nor waits: the keeper reaps by itself.
            command.spawn().map(|child| child.id() as i32).map_err(|error| (Step::Exec, error))
        }
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
        assert!(Env::new(vec![("".into(), "x".into())]).is_err());
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
        let env = Env::new(vec![("PATH".into(), "/own".into())]).unwrap();
        assert_eq!(env.path(&job()), "/own");
        let extra = Job { extra_env: vec![("PATH".into(), "/extra".into())], ..job() };
        assert_eq!(env.path(&extra), "/extra");
        assert_eq!(Env::new(vec![]).unwrap().path(&job()), DEFAULT_PATH);
    }
}
