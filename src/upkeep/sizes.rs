//! Large files, and files that are there twice.

use std::{collections::HashMap, fs};

use sha2::{Digest, Sha256};

use super::{
    Finding, Severity,
    listing::{Listing, git, is_foreign, name_of},
};

const MIB: u64 = 1 << 20;
/// Files smaller than this are alike by chance or by rule.
const DUPLICATE_BYTES_MIN: u64 = 512;
/// Groups reported.
const GROUPS_MAX: usize = 50;

pub(super) fn large(listing: &Listing) -> Vec<Finding> {
    let mut found: Vec<(u64, Finding)> = Vec::new();
    for path in &listing.files {
        let Ok(meta) = fs::symlink_metadata(listing.root.join(path)) else { continue };
        let severity = match meta.len() / MIB {
            _ if !meta.is_file() => continue,
            0 => continue,
            1..=4 => Severity::Info,
            5..=49 => Severity::Medium,
            _ => Severity::High,
        };
        let mib = meta.len() as f64 / MIB as f64;
        found.push((meta.len(), Finding::new("large-files", path, None, severity, format!("{mib:.1} MiB"))));
    }
    found.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// Files with the same content, one finding a group, the most wasteful first.
pub(super) fn duplicates(listing: &Listing) -> Vec<Finding> {
    let ids = if listing.git { blob_ids(listing) } else { HashMap::new() };
    let mut sizes: HashMap<u64, Vec<&str>> = HashMap::new();
    for path in listing.files.iter().map(String::as_str).filter(|path| !is_foreign(path) && !is_repeated_by_rule(path))
    {
        if let Ok(meta) = fs::symlink_metadata(listing.root.join(path))
            && meta.is_file()
            && meta.len() >= DUPLICATE_BYTES_MIN
        {
            sizes.entry(meta.len()).or_default().push(path);
        }
    }
    let mut groups: Vec<(u64, Vec<&str>)> = Vec::new();
    for (bytes, paths) in sizes.into_iter().filter(|(_, paths)| paths.len() > 1) {
        let mut same: HashMap<String, Vec<&str>> = HashMap::new();
        for path in paths {
            // What git knows the id of is not read, unless it is huge and new.
            let id = ids.get(path).cloned().or_else(|| content_id(listing, path, bytes));
            same.entry(id.unwrap_or_else(|| format!("unread {path}"))).or_default().push(path);
        }
        groups.extend(same.into_values().filter(|paths| paths.len() > 1).map(|paths| (bytes, paths)));
    }
    groups.sort_by_key(|(bytes, paths)| (std::cmp::Reverse(bytes * (paths.len() as u64 - 1)), paths[0]));
    groups
        .into_iter()
        .take(GROUPS_MAX)
        .map(|(bytes, mut paths)| {
            paths.sort();
            let others = paths[1..].iter().take(5).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
            let more = if paths.len() > 6 { format!(" and {} more", paths.len() - 6) } else { String::new() };
            let severity = if bytes >= MIB { Severity::Medium } else { Severity::Low };
            let message = format!("the same {bytes} bytes as {others}{more}");
            Finding::new("duplicate-files", paths[0], None, severity, message)
        })
        .collect()
}

/// Blob ids of the files that are as the index has them; a changed file's id there is an old one.
fn blob_ids(listing: &Listing) -> HashMap<String, String> {
    let staged = git(&listing.root, &["ls-files", "-s", "-z"], None).unwrap_or_default();
    let changed = git(&listing.root, &["diff", "--name-only", "--relative", "-z"], None).unwrap_or_default();
    let changed = String::from_utf8_lossy(&changed).into_owned();
    let changed: std::collections::HashSet<&str> = changed.split('\0').collect();
    String::from_utf8_lossy(&staged)
        .split('\0')
        .filter_map(|entry| {
            let (head, path) = entry.split_once('\t')?;
            let id = head.split(' ').nth(1)?;
            (!changed.contains(path)).then(|| (path.to_string(), format!("blob {id}")))
        })
        .collect()
}

fn content_id(listing: &Listing, path: &str, bytes: u64) -> Option<String> {
    if bytes > 64 * MIB {
        return None;
    }
    let content = fs::read(listing.root.join(path)).ok()?;
    // Git's own id would need its hash; for files it does not have, ours does, with its own name.
    Some(Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Files that have to be in many places.
fn is_repeated_by_rule(path: &str) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    ["license", "licence", "copying", "notice", "code_of_conduct", "contributing"]
        .iter()
        .any(|start| name.starts_with(start))
        || matches!(
            name.as_str(),
            "__init__.py" | ".gitkeep" | ".gitignore" | ".npmignore" | ".editorconfig" | "py.typed" | ".gitattributes"
        )
}

#[cfg(test)]
mod tests {
    use crate::upkeep::{Severity, audit, testing::Folder};

    #[test]
    fn large_files_by_size() {
        let big = "x".repeat(6 << 20);
        let folder = Folder::plain(&[("small", "x"), ("mid", &big[..2 << 20]), ("big", &big)]);
        let found = audit("large-files", folder.path()).unwrap();
        assert_eq!(
            found.iter().map(|f| (f.path.as_str(), f.severity)).collect::<Vec<_>>(),
            [("big", Severity::Medium), ("mid", Severity::Info)]
        );
        assert_eq!(found[0].message, "6.0 MiB");
    }

    #[test]
    fn same_content_is_found_with_and_without_git() {
        let text = "line\n".repeat(200);
        let other = "enil\n".repeat(200);
        let files = [
            ("a.rs", text.as_str()),
            ("b/a.rs", &text),
            ("same_size.rs", &other),
            ("LICENSE", &text),
            ("b/LICENSE", &text),
            ("fixtures/a.rs", &text),
            ("small1", "x"),
            ("small2", "x"),
        ];
        for folder in [Folder::git(&files), Folder::plain(&files)] {
            let found = audit("duplicate-files", folder.path()).unwrap();
            assert_eq!(
                found.iter().map(|f| (f.path.as_str(), f.message.as_str())).collect::<Vec<_>>(),
                [("a.rs", "the same 1000 bytes as `b/a.rs`")]
            );
            folder.write("b/a.rs", &other);
            let found = audit("duplicate-files", folder.path()).unwrap();
            assert!(found.iter().all(|f| f.path != "a.rs"), "{found:?}");
        }
    }
}
