//! A repository with a daemon and places of its own, for tests that run the program.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

/// A repository and places of its own.
pub struct World(tempfile::TempDir);

impl World {
    /// With these lines of configuration and these files, none of them committed.
    pub fn new(config: &str, files: &[(&str, &str)]) -> World {
        let world = World(tempfile::Builder::new().prefix("p").tempdir_in("/tmp").unwrap());
        for name in ["r", "s", "c/orchestrator", "w"] {
            std::fs::create_dir_all(world.path(name)).unwrap();
        }
        // A daemon that nobody needs any more goes at once.
        std::fs::write(world.path("c/orchestrator/config.toml"), format!("[daemon]\nidle_exit_s = 0.2\n{config}"))
            .unwrap();
        world.write(files);
        for arguments in [vec!["init", "-q"], vec!["add", "."]] {
            let git = Command::new("git").args(&arguments).current_dir(world.path("w")).output().unwrap();
            assert!(git.status.success(), "{git:?}");
        }
        world
    }

    /// Writes files of the repository.
    pub fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.path("w").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// A path below the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program in the repository.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .args(arguments)
            .current_dir(self.path("w"))
            .env("HOME", self.path("c"))
            .env("XDG_RUNTIME_DIR", self.path("r"))
            .env("XDG_STATE_HOME", self.path("s"))
            .env("XDG_CONFIG_HOME", self.path("c"))
            .env("TMPDIR", self.path("c"))
            .output()
            .unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whoever asks is asked back for its process; where none runs, there is nothing to end.
        let status = self.run(&["daemon", "status", "--json"]);
        if let Ok(status) = serde_json::from_slice::<Value>(&status.stdout)
            && let Some(pid) = status["pid"].as_i64().filter(|pid| *pid > 0)
        {
            // SAFETY: the daemon of this world, which answered just now.
            unsafe { libc::kill(pid as i32, libc::SIGTERM) };
        }
    }
}

/// The last object that a command printed.
pub fn last(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
