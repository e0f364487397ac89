//! What an agent may write to: its lane, the repository's objects, its own state, temporary files, package caches.
//!
//! Linux's Landlock, inherited by everything the agent starts, without root and without setup. Reading is free; what
//! is denied is changing branches, tags, hooks and configuration of the shared repository, the user's checkout and home,
//! and signals to processes outside. Elsewhere there is none, and `doctor` and `status` say so.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command},
};

/// Folders below the home folder where package managers and agents keep what they fetched and their own state.
const HOME_FOLDERS: &[&str] = &[
    ".cache",
    ".cargo/registry",
    ".cargo/git",
    ".npm",
    ".gradle",
    ".m2",
    "go/pkg",
    ".local/share/pnpm",
    ".local/share/uv",
    ".claude",
    ".codex",
    ".gemini",
    ".local/share/opencode",
    ".local/state/opencode",
    ".config/opencode",
];

/// Devices that programs write to without harm.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/shm"];

/// The level in force on this machine.
pub fn level() -> &'static str {
    if abi() > 0 { "landlock" } else { "none" }
}

/// What the kernel has; 0 = nothing.
#[cfg(target_os = "linux")]
pub fn abi() -> i64 {
    // SAFETY: asks for the version: no attributes, size zero, the flag for it.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, 1u32) }.max(0)
}

/// What the kernel has; 0 = nothing.
#[cfg(not(target_os = "linux"))]
pub fn abi() -> i64 {
    0
}

/// Where an agent keeps its own state, conversations too: without these folders none can be gone on with. They are
/// named as they are below a home folder; whoever moved them says so by `variable`. Each is made.
pub fn own(folders: &[String], variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let moved = [
        (".claude", "CLAUDE_CONFIG_DIR"),
        (".config/", "XDG_CONFIG_HOME"),
        (".local/share/", "XDG_DATA_HOME"),
        (".local/state/", "XDG_STATE_HOME"),
        (".cache/", "XDG_CACHE_HOME"),
    ];
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let placed = folders.iter().filter_map(|folder| {
        let elsewhere = moved.iter().find_map(|(usual, name)| {
            let rest = folder.strip_prefix(usual)?;
            Some(absolute(name)?.join(rest))
        });
        elsewhere.or_else(|| Some(absolute("HOME")?.join(folder)))
    });
    // What cannot be made is missed by the agent, and it says so.
    placed.inspect(|folder| drop(std::fs::create_dir_all(folder))).filter(|folder| folder.exists()).collect()
}

/// Everything that an agent in this lane may write to beside its own folders; what is not there is left out.
pub fn writable(lane: &Path, tmp: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let mut paths = vec![lane.to_owned(), tmp.to_owned()];
    // A lane's `.git` is a file that names its folder in the repository; the objects are the repository's own.
    if let Ok(text) = std::fs::read_to_string(lane.join(".git"))
        && let Some(git_dir) = text.trim().strip_prefix("gitdir: ")
    {
        let git_dir = lane.join(git_dir);
        let common = std::fs::read_to_string(git_dir.join("commondir")).unwrap_or_default();
        paths.push(git_dir.join(common.trim()).join("objects"));
        paths.push(git_dir);
    }
    paths.extend(home.into_iter().flat_map(|home| HOME_FOLDERS.iter().map(|folder| home.join(folder))));
    paths.extend(DEVICES.iter().map(PathBuf::from));
    paths.retain(|path| path.exists());
    paths
}

/// Starts a process that, with all its descendants, may write only to `writable`; to anything where that is `None` or
/// the system cannot do it.
pub fn spawn(mut command: Command, writable: Option<&[PathBuf]>) -> io::Result<Child> {
    let Some(writable) = writable.filter(|_| abi() > 0) else { return command.spawn() };
    // A thread that confines itself cannot be let out again, so one is made for this and ends with it.
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            confine(writable)?;
            command.spawn()
        });
        confined.join().unwrap_or_else(|_| Err(io::Error::other("the sandbox could not be made")))
    })
}

#[cfg(target_os = "linux")]
fn confine(writable: &[PathBuf]) -> io::Result<()> {
    use landlock::{ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules};
    let abi = ABI::V6;
    let made = || -> Result<(), RulesetError> {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_write(abi))?.scope(Scope::Signal)?.create()?;
        let rules = path_beneath_rules(writable, AccessFs::from_write(abi));
        ruleset.add_rules(rules)?.restrict_self()?;
        Ok(())
    };
    made().map_err(|error| io::Error::other(format!("the sandbox could not be made: {error}")))
}

#[cfg(not(target_os = "linux"))]
fn confine(_writable: &[PathBuf]) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_own_folders_are_where_its_environment_says() {
        let dir = tempfile::tempdir().unwrap();
        let variable = |name: &str| match name {
            "HOME" => Some(dir.path().join("home").into_os_string()),
            "XDG_CONFIG_HOME" => Some(dir.path().join("settings").into_os_string()),
            "XDG_STATE_HOME" => Some("not/absolute".into()),
            _ => None,
        };
        let folders = [".config/opencode", ".local/state/opencode", ".gemini"].map(str::to_owned);
        let placed = own(&folders, variable);
        let expected = ["settings/opencode", "home/.local/state/opencode", "home/.gemini"];
        assert_eq!(placed, expected.map(|folder| dir.path().join(folder)));
        assert!(placed.iter().all(|folder| folder.is_dir()));
    }

    #[test]
    fn a_confined_process_writes_only_where_it_may() {
        if abi() == 0 {
            assert!(std::env::var_os("ORCHESTRATOR_CI").is_none(), "this kernel has no Landlock");
            println!("skipped: this kernel has no Landlock");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (lane, outside) = (dir.path().join("lane"), dir.path().join("outside"));
        std::fs::create_dir(&lane).unwrap();
        std::fs::create_dir(&outside).unwrap();
        let script = "echo a > lane/in; (echo b > outside/out) 2>/dev/null; echo c > /dev/null; cat outside/read";
        std::fs::write(outside.join("read"), "r").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(dir.path());
        let places = writable(&lane, &lane, None);
        let status = spawn(command, Some(&places)).unwrap().wait().unwrap();
        assert!(status.success(), "reading is free");
        assert!(lane.join("in").exists());
        assert!(!outside.join("out").exists());
        // Whoever made the sandbox is not in it.
        std::fs::write(outside.join("ours"), "x").unwrap();
    }
}
