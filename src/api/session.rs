//! The connection itself: the greeting, what a client may hand over, the daemon's own status, and what is known
//! about the workspace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    count::CountPlace,
    reply::{Analysis, PlanView},
    state::{Protections, Workspace},
    wire::Time,
};
use crate::core::facts::Facts;

/// Version of this contract. A daemon greets a client of another number with UNAVAILABLE and hands over to a newer.
pub const PROTOCOL: u32 = 1;

/// Names of environment variables that a client hands to the daemon with its greeting, and nothing else.
///
/// Why a list: the daemon outlives the terminal that started it and serves many, so it starts with a cleaned
/// environment; each run takes from its client what commands need to be found and to behave as in the user's own shell.
/// Not on it: everything that may be a secret (an agent's keys are named in its configuration, and stay in memory),
/// everything that names a session that may end (`SSH_AUTH_SOCK`, `DISPLAY`), and everything that changes how a program
/// is loaded (`LD_PRELOAD`, `DYLD_*`), because it would reach every child of every run.
#[rustfmt::skip]
pub const ENV_NAMES: &[&str] = &[
    // Who and where.
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ",
    // How text is read and written.
    "LANG", "LANGUAGE", "TERM", "NO_COLOR", "CI",
    // Where toolchains keep what they have fetched.
    "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUSTFLAGS",
    "RUST_BACKTRACE", "GOPATH", "GOROOT", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "NODE_PATH", "NODE_ENV",
    "NVM_DIR", "PNPM_HOME", "COREPACK_HOME", "VIRTUAL_ENV", "PYTHONPATH", "PYENV_ROOT", "CONDA_PREFIX",
    "UV_CACHE_DIR", "JAVA_HOME", "GRADLE_USER_HOME", "MAVEN_OPTS", "DOTNET_ROOT", "GEM_HOME", "BUNDLE_PATH",
    "NIX_PATH", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PKG_CONFIG_PATH", "CC", "CXX", "MAKEFLAGS",
    // How the network is reached from here.
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
];

/// Prefixes of further names that are handed over: locale parts, and the folders of the XDG base directory rules.
/// `XDG_RUNTIME_DIR` is among them on purpose: it stays the same for a user while anyone is logged in.
pub const ENV_PREFIXES: &[&str] = &["LC_", "XDG_"];

/// Whether a variable of this name goes with the greeting.
pub fn env_allowed(name: &str) -> bool {
    ENV_NAMES.contains(&name) || ENV_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Those of `variables` that go with the greeting.
pub fn allowed_env(variables: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    variables.into_iter().filter(|(name, value)| env_allowed(name) && !holds_password(name, value)).collect()
}

/// A proxy's address may hold a name and a password, and what is handed over is stored.
fn holds_password(name: &str, value: &str) -> bool {
    name.to_ascii_lowercase().ends_with("proxy") && value.contains('@')
}

/// A client's greeting, before any other call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The client's version.
    pub version: String,
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Absolute path of a folder in the workspace.
    pub workspace: String,
    /// Who calls.
    pub client: ClientInfo,
    /// What runs of this connection see, by [`env_allowed`]. The daemon filters it again.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Keys of agents, by the names that the configuration has for them: held in memory, never stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// For messages: `terminal`, `VS Code`, `Claude Code`.
    pub name: String,
    /// `cli`, `lsp`, `mcp`, or a name of its own. The daemon grants nothing by it: roles come from the peer.
    pub surface: String,
}

/// The daemon's answer to a greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The daemon's version.
    pub version: String,
    /// Its [`PROTOCOL`].
    pub protocol: u32,
    /// Where this connection is.
    pub workspace: Workspace,
    /// What this connection may do.
    pub role: Role,
    /// The daemon's process.
    pub pid: u32,
    /// Where the count of the workspace's changes can be looked at; absent where that cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<CountPlace>,
}

/// Who is behind a connection, found out by the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A person.
    Person,
    /// A model's session, or a command below one.
    Session,
    /// An agent of a run.
    Agent,
}

/// Trust in a workspace was given or taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// Whether its files may suggest commands now.
    pub trusted: bool,
    /// Hash of the files that trust is bound to.
    pub manifests_hash: String,
    /// Those files.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What is known about the workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactsReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// As measured just now.
    pub facts: Facts,
}

/// What a request would be taken for. Nothing is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// The request.
    pub text: String,
    /// Every number.
    pub analysis: Analysis,
    /// Every playbook with its score, best first.
    #[serde(default)]
    pub playbooks: Vec<PlaybookScore>,
    /// The plan that would be used; absent where there would be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<PlanView>>,
}

/// How well a playbook fits a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaybookScore {
    /// Its name.
    pub name: String,
    /// 0..1; chosen at 0.6 and above.
    pub score: f64,
    /// The part of intent, 0..1 before its weight of .4.
    pub intent: f64,
    /// The part of words, 0..1 before its weight of .3.
    pub words: f64,
    /// The part of facts, 0..1 before its weight of .3.
    pub facts: f64,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// One line.
    pub summary: String,
    /// Journal position of the connection's workspace.
    pub revision: u64,
    /// Its version.
    pub version: String,
    /// Its [`PROTOCOL`].
    pub protocol: u32,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Time,
    /// Its socket.
    pub socket: String,
    /// Where it takes TCP connections; null where it takes none.
    #[serde(default)]
    pub listen: Option<String>,
    /// Where everything is kept.
    pub state_dir: String,
    /// Workspaces it has open.
    pub workspaces: Vec<Workspace>,
    /// Connections it has.
    pub connections: u64,
    /// Attempts that run.
    pub running: u64,
    /// Memory it has resident; null where it cannot be known.
    #[serde(default)]
    pub rss_bytes: Option<u64>,
    /// Which protections are in force.
    pub protections: Protections,
    /// When it will end for idleness; null while something is unfinished.
    #[serde(default)]
    pub idle_exit_at: Option<Time>,
}

/// The daemon ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReply {
    /// One line.
    pub summary: String,
    /// Journal position.
    pub revision: u64,
    /// Its process.
    pub pid: u32,
    /// Attempts that go on under their keepers; a daemon started later takes them up.
    pub running: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_loaders_stay_behind() {
        for name in ["PATH", "CARGO_HOME", "LC_ALL", "XDG_CONFIG_HOME"] {
            assert!(env_allowed(name), "{name} must be handed over");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "LD_PRELOAD", "SSH_AUTH_SOCK", "path", "CARGO_HOME2"] {
            assert!(!env_allowed(name), "{name} must stay behind");
        }
        let proxy = ("HTTPS_PROXY".into(), "http://ada:secret@proxy:3128".into());
        let kept = allowed_env([("PATH".into(), "/bin".into()), ("API_KEY".into(), "x".into()), proxy]);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["PATH"]);
    }
}
