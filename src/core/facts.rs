//! What is known about a repository, as data. Gathered outside the core (`daemon/facts.rs`); the core only reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the workspace has, measured at the run's start. Absent means "not found", never "no".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// `git`, or `shadow` for a plain folder.
    pub vcs: String,
    /// The branch checked out, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether the checkout differed from HEAD.
    pub dirty: bool,
    /// Files under version control (or in the folder), not counting ignored ones.
    pub files: u64,
    /// Lines in the text files among them.
    pub lines: u64,
    /// Files by language, by extension; names as linguist has them, in lower case.
    pub languages: BTreeMap<String, u64>,
    /// Build systems found, by name: cargo, npm, pnpm, yarn, python, go, make, just.
    pub ecosystems: BTreeMap<String, Ecosystem>,
    /// Commands found in the manifests and their conventions, in the order they should be tried.
    pub commands: Vec<FoundCommand>,
    /// Programs the commands need and whether PATH has them.
    pub programs: BTreeMap<String, bool>,
    /// Hash over the files that commands were derived from: what trust is bound to.
    pub manifests_hash: String,
    /// What a new lane needs, as the workspace's own configuration has it.
    #[serde(skip_serializing_if = "LaneNeeds::is_empty")]
    pub lanes: LaneNeeds,
    /// How much the workspace's own configuration wants to be asked, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction: Option<super::run::Interaction>,
    /// Playbooks and skills that the workspace brings itself and those of the user, as they were when it was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub playbooks: Vec<ProjectPlaybook>,
}

/// A playbook's file of the workspace, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectPlaybook {
    /// Relative to the workspace; a path of the user's own file.
    pub file: String,
    /// What it says.
    pub text: String,
    /// It is a skill.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skill: bool,
    /// It is the user's own and not the workspace's, so it needs no trust.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// How lanes are made ready for work, beyond their tracked files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneNeeds {
    /// A command that is run once in each new lane; empty = none.
    pub setup: Vec<String>,
    /// Names of ignored folders that are copied into each new lane.
    pub copy: Vec<String>,
    /// Names of ignored folders that are shared with the checkout.
    pub link: Vec<String>,
}

impl LaneNeeds {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.setup.is_empty() && self.copy.is_empty() && self.link.is_empty()
    }
}

/// One build system of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ecosystem {
    /// The manifest, relative to the workspace.
    pub manifest: String,
    /// Script or target names the manifest declares.
    pub scripts: Vec<String>,
    /// Whether tests were found that its test command would run.
    pub tests: bool,
    /// Members (packages, modules), for monorepos.
    pub members: Vec<String>,
}

/// What a found command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the tests.
    Test,
    /// Type-checks or builds.
    Build,
    /// Reports problems and changes nothing.
    Lint,
    /// Mends what the linter found.
    LintFix,
    /// Formats in place.
    Format,
}

/// A command that the repository itself suggests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundCommand {
    /// What it is for.
    pub role: Role,
    /// The command, no shell.
    pub argv: Vec<String>,
    /// Where it comes from, e.g. `Cargo.toml` or `package.json: scripts.test`.
    pub origin: String,
    /// The build system it belongs to.
    pub ecosystem: String,
    /// A program that it starts in turn and that is not installed: it would end with "not found".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Facts {
    /// The commands of one role, in order.
    pub fn commands(&self, role: Role) -> impl Iterator<Item = &FoundCommand> {
        self.commands.iter().filter(move |command| command.role == role)
    }
}
