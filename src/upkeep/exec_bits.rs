//! Makes scripts executable and plain data not, in cases that leave no doubt.

use std::{collections::HashMap, fs, io, os::unix::fs::PermissionsExt};

use super::{
    Finding,
    listing::{Listing, extension, git},
};

pub(super) fn fix(listing: &Listing) -> io::Result<Vec<Finding>> {
    // Where git does not follow permissions, those on disk say nothing about what people meant.
    let ignored = git(&listing.root, &["config", "--type=bool", "core.fileMode"], None)
        .is_some_and(|answer| answer.trim_ascii() == b"false");
    if ignored || !listing.git {
        return Ok(Vec::new());
    }
    let tracked = tracked_modes(listing);
    let mut wanted: Vec<(&str, bool)> = Vec::new();
    for path in listing.ours() {
        let Some(mode) = tracked.get(path) else { continue };
        let Ok(meta) = fs::symlink_metadata(listing.root.join(path)) else { continue };
        let executable = meta.permissions().mode() & 0o111 != 0;
        // The index and the disk must agree, or someone is in the middle of changing it.
        if !meta.is_file() || executable != (mode == "100755") {
            continue;
        }
        if executable && is_plain_data(path) && !starts_as_script(listing, path) {
            wanted.push((path, false));
        } else if !executable && is_script_place(path) && starts_as_script(listing, path) {
            wanted.push((path, true));
        }
    }
    let paths: Vec<&str> = wanted.iter().map(|(path, _)| *path).collect();
    let attributes = listing.attributes(&paths);
    let mut findings = Vec::new();
    for (path, executable) in wanted {
        if attributes.get(path).is_some_and(|attributes| attributes.not_ours) {
            continue;
        }
        let full = listing.root.join(path);
        let mode = fs::metadata(&full)?.permissions().mode();
        // Executable for whom it is readable, as git itself does it.
        let mode = if executable { mode | ((mode & 0o444) >> 2) } else { mode & !0o111 };
        fs::set_permissions(&full, fs::Permissions::from_mode(mode))?;
        let message = match executable {
            true => "a script that could not be run: made executable",
            false => "plain data marked executable: no longer",
        };
        findings.push(Finding::fixed("exec-bits", path, None, message));
    }
    Ok(findings)
}

/// Mode of each file in the index.
fn tracked_modes(listing: &Listing) -> HashMap<String, String> {
    let Some(out) = git(&listing.root, &["ls-files", "-s", "-z"], None) else { return HashMap::new() };
    String::from_utf8_lossy(&out)
        .split('\0')
        .filter_map(|entry| {
            let (head, path) = entry.split_once('\t')?;
            Some((path.to_string(), head.split(' ').next()?.to_string()))
        })
        .collect()
}

fn starts_as_script(listing: &Listing, path: &str) -> bool {
    let Some(text) = listing.text(path) else { return false };
    let first = text.lines().next().unwrap_or("");
    first.strip_prefix("#!").is_some_and(|rest| rest.trim_start().starts_with('/'))
}

/// Places where a script is there to be run: a `bin` folder, or a shell script outside folders of things to be sourced.
fn is_script_place(path: &str) -> bool {
    let folders: Vec<&str> = path.rsplit_once('/').map(|(folders, _)| folders.split('/').collect()).unwrap_or_default();
    let sourced = folders.iter().any(|part| {
        matches!(*part, "lib" | "libs" | "include" | "functions" | "completions" | "templates" | "template")
    });
    !sourced && (folders.last() == Some(&"bin") || extension(path) == "sh")
}

/// Kinds of file that no system runs.
fn is_plain_data(path: &str) -> bool {
    matches!(
        extension(path).as_str(),
        "md" | "json"
            | "toml"
            | "yml"
            | "yaml"
            | "css"
            | "png"
            | "jpg"
            | "jpeg"
            | "gif"
            | "ico"
            | "webp"
            | "csv"
            | "c"
            | "h"
            | "cpp"
            | "hpp"
            | "java"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::{fix, testing::Folder};

    fn executable(folder: &Folder, path: &str) -> bool {
        fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o111 != 0
    }

    #[test]
    fn only_sure_cases_change() {
        let folder = Folder::git(&[
            ("bin/run", "#!/usr/bin/env python3\n"),
            ("build.sh", "#!/bin/sh\n"),
            ("lib/common.sh", "#!/bin/sh\n"),
            ("sourced.sh", "x=1\n"),
            ("tool.py", "#!/usr/bin/env python3\n"),
            ("a.md", "x"),
            ("odd.json", "#!/bin/node\n"),
            ("a.py", "x"),
        ]);
        for data in ["a.md", "odd.json", "a.py"] {
            fs::set_permissions(folder.path().join(data), fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder.commit("2001-01-02T00:00:00Z");
        let found = fix("exec-bits", folder.path()).unwrap();
        assert_eq!(found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a.md", "bin/run", "build.sh"]);
        assert!(executable(&folder, "bin/run") && executable(&folder, "build.sh") && !executable(&folder, "a.md"));
        assert!(
            !executable(&folder, "lib/common.sh") && !executable(&folder, "tool.py") && executable(&folder, "a.py")
        );
    }

    #[test]
    fn nothing_changes_where_git_ignores_permissions() {
        let folder = Folder::git(&[("build.sh", "#!/bin/sh\n")]);
        folder.run(&["config", "core.fileMode", "false"]);
        assert_eq!(fix("exec-bits", folder.path()).unwrap(), []);
        assert_eq!(fix("exec-bits", Folder::plain(&[("build.sh", "#!/bin/sh\n")]).path()).unwrap(), []);
    }
}
