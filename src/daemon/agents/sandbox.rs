//! What agents and commands may write to: the lane, the repository's objects, temporary files, package caches; an agent
//! its own state, too.
//!
//! Linux's Landlock, inherited by everything that is started, without root and without setup. Reading is free; what
//! is denied is changing branches, tags, hooks and configuration of the shared repository, the user's checkout and home,
//! and signals to processes outside. Elsewhere there is none, and `doctor` and `status` say so.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command},
};

/// Folders below the home folder where package managers keep what they fetched.
const CACHES: &[&str] = &[
    ".cache",
    ".cargo/registry",
    ".cargo/git",
    ".npm",
    ".gradle",
    ".m2",
    "go/pkg",
    ".local/share/pnpm",
    ".local/share/uv",
];

/// Folders there where agents keep their own state.
const STATES: &[&str] =
    &[".claude", ".codex", ".gemini", ".local/share/opencode", ".local/state/opencode", ".config/opencode"];

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
    existing(lane, tmp, home, &[CACHES, STATES])
}

fn existing(lane: &Path, tmp: &Path, home: Option<&Path>, folders: &[&[&str]]) -> Vec<PathBuf> {
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
    let folders = folders.iter().copied().flatten();
    paths.extend(home.into_iter().flat_map(|home| folders.clone().map(|folder| home.join(folder))));
    paths.extend(DEVICES.iter().map(PathBuf::from));
    paths.retain(|path| path.exists());
    paths
}

/// Folders that builds keep things in wherever a variable says: its name, and what below its value.
const MOVED: &[(&str, &[&str])] = &[
    ("XDG_CACHE_HOME", &[""]),
    ("CARGO_HOME", &["registry", "git"]),
    ("CARGO_TARGET_DIR", &[""]),
    ("GOPATH", &["pkg"]),
    ("GOCACHE", &[""]),
    ("GOMODCACHE", &[""]),
    ("npm_config_cache", &[""]),
    ("YARN_CACHE_FOLDER", &[""]),
    ("PIP_CACHE_DIR", &[""]),
    ("UV_CACHE_DIR", &[""]),
    ("GRADLE_USER_HOME", &[""]),
    ("CCACHE_DIR", &[""]),
    ("SCCACHE_DIR", &[""]),
];

/// Further folders below the home folder that builds write to and no agent needs.
const BUILD_FOLDERS: &[&str] = &[
    ".ccache",
    ".nuget/packages",
    ".bun/install/cache",
    ".pnpm-store",
    ".yarn/berry",
    ".gem",
    ".bundle",
    ".mix",
    ".hex",
];

/// Folders that a program makes when it first needs them, which it could not: made for it where it is on the PATH.
const MADE: &[(&str, &[&str])] = &[
    ("sh", &[".cache"]),
    ("cargo", &[".cargo/registry", ".cargo/git"]),
    ("npm", &[".npm"]),
    ("go", &["go/pkg"]),
    ("gradle", &[".gradle"]),
    ("mvn", &[".m2"]),
];

/// Where programs put what they do not keep, whatever TMPDIR says.
const COMMON_TMP: &[&str] = &["/tmp", "/var/tmp"];

/// What commands in a lane may write to.
pub struct Commands<'a> {
    /// The lane.
    pub lane: &'a Path,
    /// Its folder for temporary files.
    pub tmp: &'a Path,
    /// The commands' variables.
    pub vars: &'a [(String, String)],
    /// Stores of the checkout that the lane shares on purpose.
    pub shared: Vec<PathBuf>,
    /// What the user allows besides.
    pub more: &'a [String],
    /// Never written to, whatever lies around them: the checkout, its repository, our own state.
    pub protected: &'a [PathBuf],
}

impl Commands<'_> {
    /// The places, those that exist.
    pub fn writable(&self) -> Vec<PathBuf> {
        let variable = |name: &str| self.vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let home = variable("HOME").map(Path::new).filter(|home| home.is_absolute());
        for (program, folders) in MADE {
            let found = variable("PATH").is_some_and(|path| {
                std::env::split_paths(path).any(|folder| folder.is_absolute() && folder.join(program).is_file())
            });
            for folder in folders.iter().filter(|_| found) {
                // What cannot be made is missed by whoever needs it, and they say so.
                let _ = home.map(|home| std::fs::create_dir_all(home.join(folder)));
            }
        }
        let below = |(name, folders): &(&str, &'static [&'static str])| {
            let root = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
            root.into_iter().flat_map(|root| folders.iter().map(move |folder| root.join(folder)))
        };
        let named = self.more.iter().filter_map(|path| match path.strip_prefix("~/") {
            Some(rest) => Some(home?.join(rest)),
            None => Some(PathBuf::from(path)),
        });
        let built = home.into_iter().flat_map(|home| BUILD_FOLDERS.iter().map(|folder| home.join(folder)));
        let around = COMMON_TMP.iter().map(PathBuf::from).chain(MOVED.iter().flat_map(below)).chain(built);
        let around = around.filter_map(|path| path.canonicalize().ok());
        let around = around.filter(|path| !self.protects(path) && home.is_none_or(|home| !home.starts_with(path)));
        let mut paths = existing(self.lane, self.tmp, home, &[CACHES]);
        paths.extend(around.chain(named).chain(self.shared.iter().cloned()).filter(|path| path.exists()));
        paths
    }

    /// Whether writing there would be writing to what nobody may.
    fn protects(&self, path: &Path) -> bool {
        self.protected.iter().any(|own| own.starts_with(path) || path.starts_with(own))
    }
}

/// The ruleset that confines whoever enters it to `writable`; `None` where the system has none.
#[cfg(target_os = "linux")]
pub fn ruleset(writable: &[PathBuf]) -> io::Result<Option<std::os::fd::OwnedFd>> {
    if abi() == 0 {
        return Ok(None);
    }
    made(writable).map(Into::into).map_err(not_made)
}

/// The ruleset that confines whoever enters it; there is none on this system.
#[cfg(not(target_os = "linux"))]
pub fn ruleset(_writable: &[PathBuf]) -> io::Result<Option<std::os::fd::OwnedFd>> {
    Ok(None)
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
    made(writable).and_then(|ruleset| ruleset.restrict_self().map(drop)).map_err(not_made)
}

#[cfg(target_os = "linux")]
fn not_made(error: landlock::RulesetError) -> io::Error {
    io::Error::other(format!("the sandbox could not be made: {error}"))
}

#[cfg(target_os = "linux")]
fn made(writable: &[PathBuf]) -> Result<landlock::RulesetCreated, landlock::RulesetError> {
    use landlock::{ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope, path_beneath_rules};
    let abi = ABI::V6;
    let ruleset = Ruleset::default().handle_access(AccessFs::from_write(abi))?.scope(Scope::Signal)?.create()?;
    ruleset.add_rules(path_beneath_rules(writable, AccessFs::from_write(abi)))
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
    fn commands_write_to_caches_and_not_to_what_is_protected() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let folder = |name: &str| {
            let folder = dir.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (home, checkout, lane) = (folder("home"), folder("work/checkout"), folder("state/lanes/L-1"));
        std::fs::write(folder("bin").join("go"), "").unwrap();
        folder("cargo/registry");
        let var = |name: &str, path: PathBuf| (name.to_owned(), path.display().to_string());
        let vars = [
            var("HOME", home.clone()),
            var("PATH", dir.join("bin")),
            var("CARGO_HOME", dir.join("cargo")),
            var("CARGO_TARGET_DIR", folder("work/checkout/target")),
            var("GOCACHE", folder("work")),
            var("GOPATH", PathBuf::from("relative")),
        ];
        let (tmp, more) = (folder("state/tmp/L-1"), ["~/own".to_owned(), dir.join("data").display().to_string()]);
        folder("home/own");
        folder("data");
        let protected = [checkout, dir.join("state")];
        let commands =
            Commands { lane: &lane, tmp: &tmp, vars: &vars, shared: Vec::new(), more: &more, protected: &protected };
        let writable = commands.writable();
        for there in ["state/lanes/L-1", "state/tmp/L-1", "home/go/pkg", "cargo/registry", "home/own", "data"] {
            assert!(writable.contains(&dir.join(there)), "{there}: {writable:?}");
        }
        // What holds the checkout, or lies in it, is not for them; nor is what nobody has a use for.
        for absent in ["work", "work/checkout/target", "home", "home/.npm", "cargo"] {
            assert!(!writable.contains(&dir.join(absent)), "{absent}: {writable:?}");
        }
        let holds = dir.starts_with("/tmp");
        assert_eq!(writable.contains(&PathBuf::from("/tmp")), !holds, "{writable:?}");
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
