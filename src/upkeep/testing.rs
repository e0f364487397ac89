//! Folders for the tests of fixers and audits.

use std::{fs, path::Path, process::Command};

/// A folder with files in it, gone at the end of the test.
pub(super) struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    /// Without git.
    pub(super) fn plain(files: &[(&str, &str)]) -> Folder {
        let folder = Folder { dir: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    /// A git repository with everything committed.
    pub(super) fn git(files: &[(&str, &str)]) -> Folder {
        let folder = Folder::plain(files);
        folder.run(&["init", "-q"]);
        folder.commit("2001-01-01T00:00:00Z");
        folder
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Commits everything at a given time.
    pub(super) fn commit(&self, at: &str) {
        self.run(&["add", "-A"]);
        self.run_at(&["commit", "-q", "--allow-empty", "-m", "x"], at);
    }

    pub(super) fn run(&self, args: &[&str]) {
        self.run_at(args, "2001-01-01T00:00:00Z");
    }

    fn run_at(&self, args: &[&str], at: &str) {
        let status = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", at)
            .env("GIT_COMMITTER_DATE", at)
            .status()
            .unwrap();
        assert!(status.success(), "git {args:?}");
    }
}
