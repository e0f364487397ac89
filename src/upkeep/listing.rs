//! The files of a folder, which of them are ours to touch, and how they are read and replaced.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Largest file that is read, bytes.
const READ_BYTES_MAX: u64 = 2 << 20;
/// Most files listed where there is no git to ask.
const WALK_FILES_MAX: usize = 200_000;

/// A folder and its files.
pub(super) struct Listing {
    pub root: PathBuf,
    /// Files git knows or would add, `/`-separated, sorted. Names that are not UTF-8 are left out.
    pub files: Vec<String>,
    /// Whether git answered.
    pub git: bool,
}

/// What `.gitattributes` says about a file, as far as we care.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Attributes {
    /// `-text` or `binary`.
    pub not_text: bool,
    /// `eol=lf` or `eol=crlf`.
    pub eol: Option<String>,
    /// `-whitespace`.
    pub any_whitespace: bool,
    /// `linguist-vendored` or `linguist-generated`.
    pub not_ours: bool,
}

impl Listing {
    /// Lists `root`; where it is a file, that file alone.
    pub fn load(root: &Path) -> io::Result<Listing> {
        if fs::symlink_metadata(root)?.is_file() {
            let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
            let git = git(parent, &["rev-parse", "--git-dir"], None).is_some();
            return Ok(Listing { root: parent.into(), files: vec![name], git });
        }
        let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        if let Some(out) = git(root, &args, None) {
            let files: BTreeSet<&str> =
                out.split(|byte| *byte == 0).filter_map(|name| str::from_utf8(name).ok()).collect();
            let files = files.into_iter().filter(|name| !name.is_empty()).map(str::to_string).collect();
            return Ok(Listing { root: root.into(), files, git: true });
        }
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort();
        Ok(Listing { root: root.into(), files, git: false })
    }

    /// The files that people of this project write by hand, as far as the name tells.
    pub fn ours(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str).filter(|path| !is_foreign(path))
    }

    /// The text of a file; `None` for links, binaries, large files and what is not UTF-8.
    pub fn text(&self, path: &str) -> Option<String> {
        let full = self.root.join(path);
        let meta = fs::symlink_metadata(&full).ok()?;
        if !meta.is_file() || meta.len() > READ_BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(meta.len() as usize);
        fs::File::open(&full).ok()?.take(READ_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        if bytes[..bytes.len().min(8000)].contains(&0) {
            return None;
        }
        String::from_utf8(bytes).ok()
    }

    /// Replaces a file, all at once, keeping its permissions.
    pub fn replace(&self, path: &str, text: &str) -> io::Result<()> {
        let full = self.root.join(path);
        let permissions = fs::metadata(&full)?.permissions();
        let folder = full.parent().unwrap_or(&self.root);
        let mut file = tempfile::Builder::new().prefix(".orchestrator-fix-").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(permissions)?;
        file.persist(&full).map_err(|error| error.error)?;
        Ok(())
    }

    /// What `.gitattributes` says about these files, by one question to git; nothing outside a repository.
    pub fn attributes(&self, paths: &[&str]) -> HashMap<String, Attributes> {
        let mut attributes: HashMap<String, Attributes> = HashMap::new();
        if !self.git || paths.is_empty() {
            return attributes;
        }
        let args =
            ["check-attr", "-z", "--stdin", "text", "eol", "whitespace", "linguist-vendored", "linguist-generated"];
        let input = paths.join("\0") + "\0";
        let Some(out) = git(&self.root, &args, Some(input.into_bytes())) else { return attributes };
        let mut fields = out.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next()) {
            let entry = attributes.entry(path.into_owned()).or_default();
            match (name.as_ref(), value.as_ref()) {
                ("text", "unset") => entry.not_text = true,
                ("eol", "lf" | "crlf") => entry.eol = Some(value.into_owned()),
                ("whitespace", "unset") => entry.any_whitespace = true,
                ("linguist-vendored" | "linguist-generated", "set" | "true") => entry.not_ours = true,
                _ => {}
            }
        }
        attributes
    }
}

/// Runs git in a folder and gives its output, or `None` where it fails or there is none.
pub(super) fn git(root: &Path, args: &[&str], input: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut command = Command::new("git");
    command.args(["-c", "core.quotepath=off"]).args(args).current_dir(root);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::null());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().ok()?;
    // Written beside the reading, because git answers while it still reads and both pipes are finite.
    let writer = child.stdin.take().zip(input).map(|(mut pipe, input)| {
        std::thread::spawn(move || {
            // A git that ends early closes the pipe; its exit status tells, so the write's error says nothing more.
            let _ = pipe.write_all(&input);
        })
    });
    let output = child.wait_with_output().ok()?;
    if let Some(writer) = writer {
        writer.join().ok()?;
    }
    output.status.success().then_some(output.stdout)
}

fn walk(root: &Path, below: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let skipped =
                matches!(name.as_str(), ".git" | ".hg" | ".svn" | "node_modules" | "target" | ".venv" | "__pycache__");
            if !skipped {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() && files.len() < WALK_FILES_MAX {
            files.push(path);
        }
    }
    Ok(())
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The extension in lower case, empty where there is none.
pub(super) fn extension(path: &str) -> String {
    name_of(path).rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// Whether a path is other people's, generated, or data that tests compare with byte for byte.
pub(super) fn is_foreign(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|part| is_foreign_folder(&part.to_ascii_lowercase()))
        || is_foreign_name(&name.to_ascii_lowercase())
}

fn is_foreign_folder(part: &str) -> bool {
    matches!(
        part,
        "vendor"
            | "vendored"
            | "node_modules"
            | "third_party"
            | "third-party"
            | "thirdparty"
            | "external"
            | "extern"
            | "deps"
            | "dist"
            | "target"
            | "generated"
            | "gen"
            | "__generated__"
            | ".git"
            | ".yarn"
            | "bower_components"
            | "testdata"
            | "test-data"
            | "test_data"
            | "fixtures"
            | "fixture"
            | "__fixtures__"
            | "snapshots"
            | "__snapshots__"
            | "golden"
            | "goldens"
            | "golden_files"
            | "goldenfiles"
            | "cassettes"
            | "corpus"
            | "corpora"
            | "expected"
            | "expect"
            | "baselines"
            | "ui-tests"
            | "__recordings__"
    )
}

fn is_foreign_name(name: &str) -> bool {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    matches!(
        name,
        "cargo.lock"
            | "package-lock.json"
            | "npm-shrinkwrap.json"
            | "pnpm-lock.yaml"
            | "yarn.lock"
            | "bun.lock"
            | "poetry.lock"
            | "uv.lock"
            | "pipfile.lock"
            | "go.sum"
            | "gemfile.lock"
            | "composer.lock"
            | "flake.lock"
            | "mix.lock"
    ) || matches!(
        extension,
        "snap"
            | "golden"
            | "expected"
            | "approved"
            | "stderr"
            | "stdout"
            | "diff"
            | "patch"
            | "rej"
            | "orig"
            | "map"
            | "lock"
            | "svg"
    ) || stem.ends_with(".min")
        || stem.ends_with("_pb2")
        || stem.ends_with(".pb")
        || stem.ends_with(".g")
        || stem.ends_with(".generated")
}

/// Whether the first lines of a file say that a program wrote it.
pub(super) fn says_generated(text: &str) -> bool {
    text.lines().take(10).any(|line| {
        let line = line.to_ascii_lowercase();
        line.contains("@generated")
            || line.contains("do not edit")
            || line.contains("do not modify")
            || line.contains("autogenerated")
            || line.contains("auto-generated")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::testing::Folder;

    #[test]
    fn git_lists_versioned_and_new_files_but_not_ignored_ones() {
        let folder = Folder::git(&[("a.rs", ""), (".gitignore", "*.log\n"), ("ä b.txt", "")]);
        folder.write("new.rs", "");
        folder.write("x.log", "");
        let listing = Listing::load(folder.path()).unwrap();
        assert_eq!(listing.files, [".gitignore", "a.rs", "new.rs", "ä b.txt"]);
        let one = Listing::load(&folder.path().join("a.rs")).unwrap();
        assert_eq!(one.files, ["a.rs"]);
    }

    #[test]
    fn a_folder_without_git_is_walked() {
        let folder = Folder::plain(&[("b/c.rs", ""), ("a.rs", ""), ("node_modules/x.js", "")]);
        let listing = Listing::load(folder.path()).unwrap();
        assert_eq!(listing.files, ["a.rs", "b/c.rs"]);
        assert!(!listing.git && listing.attributes(&["a.rs"]).is_empty());
    }

    #[test]
    fn attributes_come_from_git() {
        let attributes = "*.bat eol=crlf\n*.dat binary\nx/* linguist-vendored\n*.ws -whitespace\n";
        let folder = Folder::git(&[(".gitattributes", attributes)]);
        let got = Listing::load(folder.path()).unwrap().attributes(&["a.bat", "b.dat", "x/y.c", "c.ws", "d.rs"]);
        assert_eq!(got["a.bat"].eol.as_deref(), Some("crlf"));
        assert!(got["b.dat"].not_text && got["x/y.c"].not_ours && got["c.ws"].any_whitespace);
        assert_eq!(got["d.rs"], Attributes::default());
    }

    #[test]
    fn foreign_paths() {
        for path in ["vendor/a.c", "a/Fixtures/x.rs", "jquery.min.js", "Cargo.lock", "t/x.snap", "a.pb.go", "x.patch"] {
            assert!(is_foreign(path), "{path}");
        }
        for path in ["src/vendor.rs", "src/main.rs", "admin.js", "docs/lock.md"] {
            assert!(!is_foreign(path), "{path}");
        }
        assert!(says_generated("// Code generated by x. DO NOT EDIT.\n") && !says_generated("// edited\n"));
    }

    #[test]
    fn replacing_keeps_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::plain(&[("a.sh", "x")]);
        let path = folder.path().join("a.sh");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        Listing::load(folder.path()).unwrap().replace("a.sh", "y").unwrap();
        assert_eq!(
            (folder.read("a.sh").as_str(), fs::metadata(&path).unwrap().permissions().mode() & 0o777),
            ("y", 0o750)
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
