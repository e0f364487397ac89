//! What a repository has: languages, build systems and the commands they suggest.
//!
//! Everything here is read from files; no process is started and nothing is written. What a command *does* is not
//! judged here: commands found this way come from the workspace, so they need trust (bound to
//! [`Facts::manifests_hash`]) before they run.

mod cargo;
mod golang;
mod languages;
mod library;
mod node;
mod python;
mod targets;

pub(super) use languages::language;

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::core::facts::{Ecosystem, Facts, FoundCommand, Role};

pub use library::{lane_problem, of_user};

/// Largest manifest that is read, bytes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Largest single file whose lines are counted, bytes.
const COUNTED_FILE_BYTES_MAX: u64 = 2 << 20;
/// Most bytes read to count lines; what lies beyond is not counted, so `lines` is then a lower bound.
const COUNTED_BYTES_MAX: u64 = 96 << 20;
/// Most sub-projects of one build system that are looked at where the root has no manifest of it.
const SUBPROJECTS_MAX: usize = 8;
/// How deep such a sub-project may lie.
const SUBPROJECT_DEPTH_MAX: usize = 3;

/// Gathers the facts of the folder `root`, whose versioned files are `files` (relative, as git lists them).
///
/// `path_var` is the value of PATH that the run's commands will see. `dirty` stays false: only git can tell, and the
/// caller has asked it already. A manifest that cannot be read or parsed suggests nothing; nothing here fails.
pub fn gather(root: &Path, files: &[PathBuf], path_var: &OsStr) -> Facts {
    let mut tree = Tree::new(root, files, path_var);
    let mut facts = Facts { files: files.len() as u64, ..Facts::default() };
    (facts.vcs, facts.branch) = vcs(root);
    let census = languages::count(&tree);
    facts.lines = census.lines;
    facts.languages = census.languages;
    tree.rust_tests = census.rust_tests;

    let mut found = Found::default();
    cargo::find(&tree, &mut found);
    node::find(&tree, &mut found);
    python::find(&tree, &mut found);
    golang::find(&tree, &mut found);
    // Last, because a target that only repeats what was found above is dropped.
    targets::find_make(&tree, &mut found);
    targets::find_just(&tree, &mut found);

    facts.ecosystems = found.ecosystems;
    facts.commands = found.commands;
    for command in &facts.commands {
        for program in needed_programs(&command.argv) {
            let present = tree.has_program(&program);
            facts.programs.insert(program, present);
        }
    }
    facts.playbooks = library::of_workspace(&tree);
    facts.lanes = library::lanes(&tree);
    facts.interaction = library::interaction(&tree);
    facts.manifests_hash = tree.hash();
    facts
}

/// The programs a command needs, by name: its first word, and for a Cargo subcommand that is a program of its own,
/// that program too.
fn needed_programs(argv: &[String]) -> Vec<String> {
    let mut programs: Vec<String> = argv.first().cloned().into_iter().collect();
    if let [cargo, sub, ..] = argv
        && cargo == "cargo"
        && matches!(sub.as_str(), "fmt" | "clippy")
    {
        programs.push(format!("cargo-{sub}"));
    }
    programs
}

/// `git` and the branch checked out, or `shadow`. Reads `.git` only, also where it is a work tree's pointer file.
fn vcs(root: &Path) -> (String, Option<String>) {
    let dot_git = root.join(".git");
    let git_dir = if dot_git.is_dir() {
        Some(dot_git)
    } else {
        read_capped(&dot_git, 4096)
            .and_then(|text| text.strip_prefix("gitdir:").map(|path| root.join(path.trim())))
            .filter(|dir| dir.is_dir())
    };
    let Some(git_dir) = git_dir else {
        // A folder below the top of a repository is still in it.
        let inside = root.ancestors().skip(1).any(|dir| dir.join(".git").exists());
        return (if inside { "git" } else { "shadow" }.to_string(), None);
    };
    let branch = read_capped(&git_dir.join("HEAD"), 4096)
        .and_then(|head| head.trim().strip_prefix("ref: refs/heads/").map(str::to_string));
    ("git".to_string(), branch)
}

fn read_capped(path: &Path, bytes_max: u64) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > bytes_max {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(bytes_max).read_to_string(&mut text).ok()?;
    Some(text)
}

/// What the finders fill in.
#[derive(Default)]
struct Found {
    ecosystems: BTreeMap<String, Ecosystem>,
    commands: Vec<FoundCommand>,
}

impl Found {
    /// Adds a command unless the very same one is there.
    fn add(&mut self, role: Role, ecosystem: &str, origin: &str, argv: &[&str]) {
        let argv: Vec<String> = argv.iter().map(|word| word.to_string()).collect();
        if !self.commands.iter().any(|command| command.argv == argv) {
            let (origin, ecosystem) = (origin.into(), ecosystem.into());
            self.commands.push(FoundCommand { role, argv, origin, ecosystem, missing: None });
        }
    }

    /// Says of the command added last that it starts a program which is not installed.
    fn lacks(&mut self, program: Option<String>) {
        if let (Some(command), Some(_)) = (self.commands.last_mut(), &program) {
            command.missing = program;
        }
    }

    fn has(&self, role: Role, ecosystem: &str) -> bool {
        self.commands.iter().any(|command| command.role == role && command.ecosystem == ecosystem)
    }
}

/// The files of the workspace, as the finders see them.
struct Tree<'a> {
    root: &'a Path,
    /// Versioned files, `/`-separated, sorted. Names that are not UTF-8 are left out: no manifest has one.
    files: BTreeSet<&'a str>,
    path_dirs: Vec<PathBuf>,
    /// Rust files that hold tests, filled in by the line count, which reads them anyway.
    rust_tests: Vec<String>,
    /// Manifests read so far with their hash: what commands are derived from.
    read: RefCell<BTreeMap<String, [u8; 32]>>,
    precommit: OnceCell<String>,
}

impl<'a> Tree<'a> {
    fn new(root: &'a Path, files: &'a [PathBuf], path_var: &OsStr) -> Tree<'a> {
        Tree {
            root,
            files: files.iter().filter_map(|file| file.to_str()).collect(),
            path_dirs: std::env::split_paths(path_var).filter(|dir| dir.is_absolute()).collect(),
            rust_tests: Vec::new(),
            read: RefCell::default(),
            precommit: OnceCell::new(),
        }
    }

    fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// Reads a versioned manifest and remembers it as one that commands depend on.
    fn manifest(&self, file: &str) -> Option<String> {
        if !self.has(file) {
            return None;
        }
        let text = read_capped(&self.root.join(file), MANIFEST_BYTES_MAX)?;
        self.read.borrow_mut().insert(file.to_string(), Sha256::digest(text.as_bytes()).into());
        Some(text)
    }

    /// The first of these names that is versioned in `dir` (`""` = the root), as a path from the root.
    fn first_of(&self, dir: &str, names: &[&str]) -> Option<String> {
        names.iter().map(|name| join(dir, name)).find(|path| self.has(path))
    }

    /// Folders with a file of one of these names: only the root where it has one, else the shallowest sub-projects.
    fn projects(&self, names: &[&str]) -> Vec<String> {
        if names.iter().any(|name| self.has(name)) {
            return vec![String::new()];
        }
        let mut dirs: Vec<&str> = Vec::new();
        for file in &self.files {
            let Some((dir, name)) = file.rsplit_once('/') else { continue };
            if names.contains(&name) && dir.split('/').count() <= SUBPROJECT_DEPTH_MAX && !is_foreign(dir) {
                dirs.push(dir);
            }
        }
        dirs.sort_by_key(|dir| (dir.split('/').count(), *dir));
        let mut chosen: Vec<String> = Vec::new();
        for dir in dirs {
            let nested = chosen.iter().any(|outer| dir == outer || dir.starts_with(&format!("{outer}/")));
            if !nested && chosen.len() < SUBPROJECTS_MAX {
                chosen.push(dir.to_string());
            }
        }
        chosen
    }

    /// Whether PATH, or for a program named by a path the workspace, has this program.
    fn has_program(&self, program: &str) -> bool {
        if program.contains('/') {
            return is_executable(&self.root.join(program));
        }
        self.path_dirs.iter().any(|dir| is_executable(&dir.join(program)))
    }

    /// The pre-commit configuration, empty where there is none: it names the formatters that people really use.
    fn precommit(&self) -> &str {
        self.precommit.get_or_init(|| self.manifest(".pre-commit-config.yaml").unwrap_or_default())
    }

    /// One hash over every manifest read; empty where none was.
    fn hash(&self) -> String {
        let read = self.read.borrow();
        if read.is_empty() {
            return String::new();
        }
        let mut hasher = Sha256::new();
        for (path, digest) in read.iter() {
            hasher.update((path.len() as u64).to_le_bytes());
            hasher.update(path.as_bytes());
            hasher.update(digest);
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Joins with `/`, where an empty folder is the root.
fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_string() } else { format!("{dir}/{name}") }
}

/// Whether a folder holds other people's code, test data or documentation rather than a part of the project.
fn is_foreign(dir: &str) -> bool {
    dir.split('/').any(|part| {
        matches!(
            part,
            "vendor"
                | "third_party"
                | "third-party"
                | "node_modules"
                | "target"
                | "dist"
                | "fixtures"
                | "fixture"
                | "__fixtures__"
                | "testdata"
                | "test-data"
                | "test_data"
                | "snapshots"
                | "templates"
                | "template"
                | "docs"
                | "doc"
                | "examples"
                | "example"
                | "site-packages"
        )
    })
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
