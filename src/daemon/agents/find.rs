//! Which of the declared agents there are, and of which version: looked up on the PATH of whoever asks.

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::driver;
use crate::core::agent::{AgentProfile, FoundAgent};

/// How long a program may take to say its version.
const VERSION_MAX: Duration = Duration::from_secs(10);

/// A program as it is: its file, and when that was changed.
type Program = (PathBuf, SystemTime);

/// What programs said: asking some takes a second.
static KNOWN: LazyLock<Mutex<HashMap<Program, Option<String>>>> = LazyLock::new(Mutex::default);

/// What an agent can do, in words: its driver's, unless its own are known.
pub fn abilities(profile: &AgentProfile) -> Vec<String> {
    let drivers = || driver::of(profile.driver).map_or(&["claim", "lease"][..], |driver| driver.abilities());
    match profile.can.is_empty() {
        true => drivers().iter().map(|word| (*word).to_owned()).collect(),
        false => profile.can.clone(),
    }
}

/// Those of `profiles` whose program is on `path_var`. Blocks.
pub fn find(profiles: &[AgentProfile], path_var: &str) -> Vec<FoundAgent> {
    let found = profiles.iter().filter_map(|profile| {
        let program = on_path(profile.command.first()?, path_var)?;
        let version = version(&program, path_var);
        Some(FoundAgent { id: profile.id.clone(), program: program.display().to_string(), version })
    });
    found.collect()
}

fn on_path(name: &str, path_var: &str) -> Option<PathBuf> {
    let runs = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_absolute() && runs(path));
    }
    let folders = std::env::split_paths(path_var);
    folders.map(|folder| folder.join(name)).find(|path| path.is_absolute() && runs(path))
}

fn version(program: &Path, path_var: &str) -> Option<String> {
    let changed = std::fs::metadata(program).and_then(|found| found.modified()).ok()?;
    let key = (program.to_owned(), changed);
    if let Some(known) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return known.clone();
    }
    let said = ask(program, path_var);
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(key, said.clone());
    said
}

fn ask(program: &Path, path_var: &str) -> Option<String> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let mut command = Command::new(program);
    command.arg("--version").env_clear().env("PATH", path_var).env("HOME", home).env("CI", "1").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(_)) => break true,
            Ok(None) if begun.elapsed() < VERSION_MAX => std::thread::sleep(Duration::from_millis(20)),
            _ => break false,
        }
    };
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut text = String::new();
    child.stdout.take()?.take(4096).read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.bytes().any(|byte| byte.is_ascii_digit()))?;
    Some(line.trim().chars().take(60).collect())
}
