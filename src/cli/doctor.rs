//! `doctor`: what the orchestrator needs on this machine, one line each, with what to do where it is missing.
//!
//! Works without a daemon, because one asks it when there is none.

use std::{
    ffi::CString,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Serialize;

use super::{
    console::Console,
    exit::{CliError, Exit},
    render::{
        duration::bytes,
        paint::Paint,
        table::{Cell, prose},
    },
};
use crate::{
    api::{ApiError, DaemonStatus},
    core::{confine::Confine, facts::Facts},
};

/// Oldest git that merges in memory as we need it.
const GIT_MIN: (u32, u32) = (2, 38);

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Works, but something is lost.
    Warn,
    /// Does not work.
    Fail,
}

/// One line of the doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    pub remedy: String,
}

fn check(name: &str, health: Health, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name: name.into(), health, found: found.into(), remedy: remedy.into() }
}

/// Looks at everything. `daemon` is what a running one said of itself, or why none could be reached; `facts` what it
/// knows of the workspace.
pub fn run(
    console: &mut Console,
    daemon: &Result<DaemonStatus, ApiError>,
    facts: Option<&Facts>,
) -> Result<Exit, CliError> {
    let state = state_dir(&|name| std::env::var_os(name).map(PathBuf::from));
    let runtime = runtime_dir(&|name| std::env::var_os(name).map(PathBuf::from));
    let config = crate::config::Places::find().and_then(|places| crate::config::Config::load(&places));
    let config = config.unwrap_or_default();
    let min_free_bytes = (config.state.min_free_gb.max(0.0) * f64::from(1 << 30)) as u64;
    let mut checks = vec![git(), folder("state", &state, false), folder("socket folder", &runtime, true)];
    checks.push(free(&state, min_free_bytes));
    checks.push(daemon_check(daemon));
    checks.push(sandbox(config.sandbox.commands));
    checks.extend(programs(std::env::var_os("PATH").as_deref()));
    checks.extend(facts.into_iter().flat_map(missing_programs));
    let worst = checks.iter().map(|check| check.health as u8).max().unwrap_or(0);
    if console.json {
        for check in &checks {
            console.object(check)?;
        }
    } else {
        let text = lines(&checks, console.width, console.paint);
        console.text(text)?;
    }
    Ok(if worst == Health::Fail as u8 { Exit::Failed } else { Exit::Completed })
}

fn lines(checks: &[Check], width: usize, paint: Paint) -> String {
    let row = |check: &Check| {
        let health = match check.health {
            Health::Ok => Cell::new("ok", Paint::green),
            Health::Warn => Cell::new("warn", Paint::yellow),
            Health::Fail => Cell::new("fail", Paint::red),
        };
        let say = match check.remedy.is_empty() {
            true => check.found.clone(),
            false => format!("{}: {}", check.found, check.remedy),
        };
        vec![health, check.name.as_str().into(), say.into()]
    };
    prose(&checks.iter().map(row).collect::<Vec<_>>(), 0, width, paint)
}

fn git() -> Check {
    let output = Command::new("git").arg("--version").stdin(Stdio::null()).output();
    let text = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => return check("git", Health::Fail, format!("ends with {}", output.status), "reinstall git"),
        Err(error) => return check("git", Health::Fail, error.to_string(), "install git 2.38 or later"),
    };
    match git_version(&text) {
        Some(version) if version >= GIT_MIN => check("git", Health::Ok, text, ""),
        Some(_) => check("git", Health::Fail, text, "install git 2.38 or later: older ones cannot merge in memory"),
        None => check("git", Health::Warn, text, "its version cannot be read; it should be 2.38 or later"),
    }
}

/// Major and minor of `git version 2.43.0 (Apple Git-146)`.
fn git_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Where everything is kept.
fn state_dir(env: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let base = env("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| env("HOME").map(|home| home.join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from("/nonexistent")).join("orchestrator")
}

/// Where the socket and its lock are.
fn runtime_dir(env: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if let Some(dir) = env("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()) {
        return dir.join("orchestrator");
    }
    // SAFETY: getuid has no preconditions and cannot fail.
    let uid = unsafe { libc::getuid() };
    env("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")).join(format!("orchestrator-{uid}"))
}

/// Whether a folder of ours can be used, or made where it is not there yet.
fn folder(name: &str, path: &Path, private: bool) -> Check {
    let shown = path.display().to_string();
    let existing = path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"));
    if !writable(existing) {
        let remedy = format!("make {} writable for you, or set another place", existing.display());
        return check(name, Health::Fail, format!("{shown} cannot be written"), remedy);
    }
    if existing != path {
        return check(name, Health::Ok, format!("{shown} (made at the first start)"), "");
    }
    let open = std::fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o077 != 0).unwrap_or(false);
    match open {
        true if private => {
            check(name, Health::Fail, format!("{shown} is open to others"), format!("chmod 700 {shown}"))
        }
        true => check(name, Health::Warn, format!("{shown} is open to others"), format!("chmod 700 {shown}")),
        false => check(name, Health::Ok, shown, ""),
    }
}

fn writable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the pointer is a terminated string that lives through the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
}

fn free(path: &Path, min_free_bytes: u64) -> Check {
    let existing = path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"));
    let left = CString::new(existing.as_os_str().as_bytes()).ok().and_then(|path| {
        // SAFETY: statvfs is plain numbers, for which all zeroes is a value.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is a terminated string, and `stat` is valid for the call to fill.
        let answer = unsafe { libc::statvfs(path.as_ptr(), &mut stat) };
        (answer == 0).then(|| (stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
    });
    match left {
        Some(left) if left >= min_free_bytes => {
            let floor = format!("{} free; lanes are laid out down to {}", bytes(left), bytes(min_free_bytes));
            check("disk", Health::Ok, floor, "")
        }
        Some(left) => {
            let remedy = format!(
                "below {} idle lanes are removed and then tasks wait: free some space, or lower state.min_free_gb",
                bytes(min_free_bytes)
            );
            check("disk", Health::Warn, format!("{} free at {}", bytes(left), existing.display()), remedy)
        }
        None => check("disk", Health::Warn, format!("the space at {} cannot be known", existing.display()), ""),
    }
}

fn daemon_check(daemon: &Result<DaemonStatus, ApiError>) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    match daemon {
        Ok(status) if status.version == ours => {
            check("daemon", Health::Ok, format!("version {ours}, process {}, {}", status.pid, status.socket), "")
        }
        Ok(status) => check(
            "daemon",
            Health::Warn,
            format!("version {}, this command is {ours}", status.version),
            "end it with `orchestrator daemon stop`; the next command starts the right one",
        ),
        Err(error) => check("daemon", Health::Warn, error.to_string(), "the next command starts one"),
    }
}

/// Whom it confines.
#[cfg(target_os = "linux")]
fn confined(commands: Confine) -> &'static str {
    match commands {
        Confine::None => "agents are confined to their lanes, commands are not (sandbox.commands)",
        Confine::Derived => "agents are confined to their lanes, and commands that nobody typed (sandbox.commands)",
        Confine::All => "agents and commands are confined to their lanes (sandbox.commands)",
    }
}

/// Which confinement for agents this system has.
#[cfg(target_os = "linux")]
fn sandbox(commands: Confine) -> Check {
    const VERSION: libc::c_long = 1;
    // SAFETY: with the version flag the call takes no attribute and only answers a number.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0 as libc::size_t, VERSION)
    };
    match abi {
        1.. => check("sandbox", Health::Ok, format!("Landlock, version {abi}; {}", confined(commands)), ""),
        _ => {
            let remedy = "agents can write wherever you can; a kernel of 5.13 or later with Landlock on confines them";
            check("sandbox", Health::Warn, "no Landlock", remedy)
        }
    }
}

/// Which confinement for agents this system has.
#[cfg(not(target_os = "linux"))]
fn sandbox(_commands: Confine) -> Check {
    check(
        "sandbox",
        Health::Warn,
        "none on this system",
        "agents can write wherever you can; lanes still keep work apart",
    )
}

fn programs(path: Option<&std::ffi::OsStr>) -> Vec<Check> {
    let profiles = crate::config::Places::find()
        .and_then(|places| crate::config::Config::load(&places))
        .map(|config| config.agent_profiles())
        .unwrap_or_default();
    let there = |command: &[String]| command.first().is_some_and(|program| on_path(program, path));
    let found: Vec<&str> =
        profiles.iter().filter(|profile| there(&profile.command)).map(|profile| profile.id.as_str()).collect();
    // An agent may be installed without what lets us drive it.
    let half = on_path("codex", path) && !found.contains(&"codex");
    let agents = match (found.is_empty(), half) {
        (false, false) => check("agents", Health::Ok, found.join(", "), ""),
        (_, true) => {
            let have = if found.is_empty() { "codex without its adapter".to_owned() } else { found.join(", ") };
            let remedy = "to drive Codex, install its adapter: npm install -g @agentclientprotocol/codex-acp";
            check("agents", Health::Warn, have, remedy)
        }
        (true, false) => check(
            "agents",
            Health::Warn,
            "no coding agent on the PATH",
            "the repository's own commands still work, and a connected session can claim tasks; with one of claude, \
             codex with codex-acp, gemini or opencode more does",
        ),
    };
    let shell = match on_path("sh", path) {
        true => check("sh", Health::Ok, "found", ""),
        false => check("sh", Health::Fail, "not on the PATH", "checks and `run` texts need it"),
    };
    vec![shell, agents]
}

/// What the workspace's own commands need and the PATH lacks.
fn missing_programs(facts: &Facts) -> Vec<Check> {
    let missing = facts.programs.iter().filter(|(_, found)| !**found);
    missing
        .map(|(program, _)| {
            let remedy = format!("commands of this workspace need it: install {program}, or put it on the PATH");
            check(program, Health::Warn, "not on the PATH", remedy)
        })
        .collect()
}

fn on_path(name: &str, path: Option<&std::ffi::OsStr>) -> bool {
    let executable = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    path.is_some_and(|path| std::env::split_paths(path).any(|dir| executable(&dir.join(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(git_version("git version 2.43.0"), Some((2, 43)));
        assert_eq!(git_version("git version 2.39.3 (Apple Git-146)"), Some((2, 39)));
        assert_eq!(git_version("git version unknown"), None);
        assert!(git_version("git version 2.9.1").unwrap() < GIT_MIN, "numbers, not texts");
    }

    #[test]
    fn folders_are_where_the_design_says() {
        let env = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/ada")),
            "XDG_RUNTIME_DIR" => Some(PathBuf::from("/run/user/7")),
            _ => None,
        };
        assert_eq!(state_dir(&env), Path::new("/home/ada/.local/state/orchestrator"));
        assert_eq!(runtime_dir(&env), Path::new("/run/user/7/orchestrator"));
        assert!(runtime_dir(&|_| None).starts_with("/tmp"));
    }

    #[test]
    fn an_open_socket_folder_fails_and_a_missing_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let set = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o755);
        assert_eq!(folder("socket folder", dir.path(), true).health, Health::Fail);
        assert_eq!(folder("state", dir.path(), false).health, Health::Warn);
        set(0o700);
        assert_eq!(folder("socket folder", dir.path(), true).health, Health::Ok);
        assert_eq!(folder("state", &dir.path().join("new/deep"), false).health, Health::Ok);
    }

    #[test]
    fn the_path_is_searched_for_what_can_be_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("claude"), "").unwrap();
        let path = Some(dir.path().as_os_str());
        assert!(!on_path("claude", path));
        std::fs::set_permissions(dir.path().join("claude"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(on_path("claude", path));
        assert_eq!(programs(path)[1].found, "claude");
        let facts =
            Facts { programs: [("cargo".to_owned(), true), ("npm".to_owned(), false)].into(), ..Facts::default() };
        assert_eq!(missing_programs(&facts).len(), 1);
        assert_eq!(programs(path)[0].health, Health::Fail, "no sh there");
    }
}
