//! A scripted model for real agents, on a port of its own: `tests/doubles/anthropic.py` for Claude Code, and
//! `tests/doubles/openai.py` for those that speak OpenAI's or Gemini's language.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::daemon::sandbox::{Sandbox, eventually};

/// The model, until it is dropped.
pub struct Model {
    child: Child,
    /// Its address.
    pub url: String,
    log: std::path::PathBuf,
}

impl Model {
    /// Starts Claude's with these turns.
    pub fn start(sandbox: &Sandbox, python: &Path, name: &str, turns: Value) -> Model {
        Model::of(sandbox, python, ("anthropic.py", &[]), name, turns)
    }

    /// Starts the others' with these steps.
    pub fn start_open(sandbox: &Sandbox, python: &Path, name: &str, steps: Value) -> Model {
        Model::of(sandbox, python, ("openai.py", &["--log-body"]), name, steps)
    }

    fn of(sandbox: &Sandbox, python: &Path, (file, more): (&str, &[&str]), name: &str, turns: Value) -> Model {
        let script = sandbox.file(&format!("{name}.json"), turns.to_string());
        let (port, log) = (sandbox.root.join(format!("{name}.port")), sandbox.root.join(format!("{name}.log")));
        let mut command = sandbox.command_of(python, &[]);
        command.arg(super::double_file(file)).args(more).arg("--script").arg(script);
        command.args(["--port", "0", "--port-file"]).arg(&port).arg("--log").arg(&log);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let port = eventually("the scripted model", || {
            std::fs::read_to_string(&port).ok().filter(|text| !text.trim().is_empty())
        });
        Model { child, url: format!("http://127.0.0.1:{}", port.trim()), log }
    }

    /// Everything it was asked, as text.
    pub fn heard(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
