//! What the manifests and lock files say about dependencies. Nothing is looked up elsewhere: whether a version is old
//! or unsafe is not known here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Finding, Severity,
    listing::{Listing, is_foreign, name_of},
};

pub(super) fn find(listing: &Listing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in &listing.files {
        // Lock files are foreign by name, so that fixers leave them alone; their folder decides here.
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if is_foreign(&format!("{folder}/x")) {
            continue;
        }
        match name_of(path) {
            "Cargo.toml" => parsed(listing, path, cargo_manifest, &mut findings),
            "Cargo.lock" => parsed(listing, path, cargo_lock, &mut findings),
            "package.json" => parsed(listing, path, package_json, &mut findings),
            "package-lock.json" => parsed(listing, path, package_lock, &mut findings),
            "go.mod" => parsed(listing, path, go_mod, &mut findings),
            "pyproject.toml" => parsed(listing, path, pyproject, &mut findings),
            name if name.starts_with("requirements") && name.ends_with(".txt") => {
                parsed(listing, path, requirements, &mut findings);
            }
            _ => {}
        }
    }
    findings
}

/// What a reader of one kind of file reports: severity and message.
type Report = Vec<(Severity, String)>;

fn parsed(listing: &Listing, path: &str, read: fn(&Listing, &str, &str) -> Report, findings: &mut Vec<Finding>) {
    let Some(text) = listing.text(path) else { return };
    let report = read(listing, path, &text);
    findings.extend(
        report.into_iter().map(|(severity, message)| Finding::new("dependencies", path, None, severity, message)),
    );
}

fn beside(path: &str, name: &str) -> String {
    path.rsplit_once('/').map_or_else(|| name.to_string(), |(folder, _)| format!("{folder}/{name}"))
}

fn counted(number: usize, what: &str) -> (Severity, String) {
    let noun = if number == 1 { "dependency" } else { "dependencies" };
    (Severity::Info, format!("{number} {what} {noun}"))
}

fn cargo_manifest(_: &Listing, _: &str, text: &str) -> Report {
    let Ok(manifest) = text.parse::<toml::Table>() else { return Vec::new() };
    let mut report = Report::new();
    let mut direct = 0;
    for_each_cargo_table(&manifest, &mut |name, spec| {
        direct += 1;
        let field = |key: &str| spec.get(key).and_then(|value| value.as_str());
        let version = spec.as_str().or_else(|| field("version"));
        if version.is_some_and(|version| version.trim() == "*") {
            report.push((Severity::Medium, format!("`{name}` takes any version")));
        }
        if let Some(url) = field("git") {
            let pinned = spec.get("rev").is_some() || spec.get("tag").is_some();
            let severity = if pinned { Severity::Info } else { Severity::Low };
            let how = if pinned { "pinned" } else { "not pinned to a commit in the manifest" };
            report.push((severity, format!("`{name}` comes from git ({how}): {}", without_login(url))));
        }
        if field("path").is_some_and(|path| path.starts_with('/')) {
            report.push((Severity::Medium, format!("`{name}` comes from an absolute path")));
        }
    });
    if direct > 0 {
        report.push(counted(direct, "direct"));
    }
    report
}

fn for_each_cargo_table(manifest: &toml::Table, visit: &mut dyn FnMut(&str, &toml::Value)) {
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        match key.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => {
                // A workspace's version is judged where it is declared.
                let own = table.iter().filter(|(_, spec)| spec.get("workspace").is_none());
                own.for_each(|(name, spec)| visit(name, spec));
            }
            "workspace" => for_each_cargo_table(table, visit),
            "target" => {
                table.values().filter_map(|value| value.as_table()).for_each(|table| for_each_cargo_table(table, visit))
            }
            _ => {}
        }
    }
}

fn cargo_lock(_: &Listing, _: &str, text: &str) -> Report {
    let Ok(lock) = text.parse::<toml::Table>() else { return Vec::new() };
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut locked = 0;
    for package in lock.get("package").and_then(|value| value.as_array()).into_iter().flatten() {
        let field = |key: &str| package.get(key).and_then(|value| value.as_str());
        if let (Some(name), Some(version), Some(_)) = (field("name"), field("version"), field("source")) {
            locked += 1;
            versions.entry(name).or_default().push(version);
        }
    }
    let mut report: Report = versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            (Severity::Low, format!("`{name}` is there in {} versions: {}", versions.len(), versions.join(", ")))
        })
        .collect();
    if locked > 0 {
        report.push(counted(locked, "locked"));
    }
    report
}

fn package_json(listing: &Listing, path: &str, text: &str) -> Report {
    let Ok(Value::Object(package)) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut report = Report::new();
    let mut direct = 0;
    for key in ["dependencies", "devDependencies", "optionalDependencies"] {
        for (name, version) in package.get(key).and_then(Value::as_object).into_iter().flatten() {
            direct += 1;
            let version = version.as_str().unwrap_or("").trim();
            match version {
                "*" | "" | "latest" | "x" => report.push((Severity::Medium, format!("`{name}` takes any version"))),
                _ if version.starts_with("http://") => {
                    report.push((Severity::High, format!("`{name}` comes over an unprotected connection")));
                }
                _ if version.contains("git") && version.contains(['/', ':']) => {
                    let pinned = version
                        .rsplit_once('#')
                        .is_some_and(|(_, pin)| pin.len() >= 7 && pin.bytes().all(|b| b.is_ascii_hexdigit()));
                    let severity = if pinned { Severity::Info } else { Severity::Low };
                    report.push((
                        severity,
                        format!("`{name}` comes from git{}", if pinned { "" } else { ", not pinned to a commit" }),
                    ));
                }
                _ => {}
            }
        }
    }
    if direct == 0 {
        return report;
    }
    report.push(counted(direct, "direct"));
    let locks = ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"];
    // A member of a workspace is locked at its top.
    let locked = locks.iter().any(|lock| listing.files.iter().any(|file| *file == beside(path, lock) || file == lock));
    if !locked {
        report.push((Severity::Low, "there is no lock file, so every install may differ".into()));
    }
    report
}

fn package_lock(_: &Listing, _: &str, text: &str) -> Report {
    let Ok(lock) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut report = Report::new();
    for (place, package) in lock.get("packages").and_then(Value::as_object).into_iter().flatten() {
        let Some((_, name)) = place.rsplit_once("node_modules/") else { continue };
        if let Some(version) = package.get("version").and_then(Value::as_str) {
            versions.entry(name).or_default().push(version);
        }
        let resolved = package.get("resolved").and_then(Value::as_str).unwrap_or("");
        if resolved.starts_with("http://") {
            report.push((Severity::High, format!("`{name}` is locked to an unprotected connection")));
        }
    }
    let locked: usize = versions.values().map(Vec::len).sum();
    let several = versions.values_mut().filter_map(|versions| {
        versions.sort();
        versions.dedup();
        (versions.len() > 1).then_some(())
    });
    let several = several.count();
    if several > 0 {
        report.push((Severity::Info, format!("{several} packages are there in several versions")));
    }
    if locked > 0 {
        report.push(counted(locked, "locked"));
    }
    report
}

fn go_mod(_: &Listing, _: &str, text: &str) -> Report {
    let mut report = Report::new();
    let mut block = "";
    let mut direct = 0;
    for line in text.lines() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let code = code.trim();
        let (word, rest) = match code.split_once(' ') {
            _ if code == ")" => {
                block = "";
                continue;
            }
            Some((word, "(")) => {
                block = if word == "require" {
                    "require"
                } else if word == "replace" {
                    "replace"
                } else {
                    "other"
                };
                continue;
            }
            _ if code.is_empty() => continue,
            Some((word, rest)) if block.is_empty() => (word, rest.trim()),
            _ => (block, code),
        };
        match word {
            "require" if comment.trim() != "indirect" => direct += 1,
            "replace" => {
                let local = rest.split("=>").nth(1).is_some_and(|target| target.trim().starts_with(['.', '/']));
                let how = if local { "a local folder" } else { "another module" };
                let name = rest.split_whitespace().next().unwrap_or("");
                report.push((Severity::Low, format!("`{name}` is replaced by {how}")));
            }
            _ => {}
        }
    }
    if direct > 0 {
        report.push(counted(direct, "direct"));
    }
    report
}

fn pyproject(_: &Listing, _: &str, text: &str) -> Report {
    let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
    let listed =
        table.get("project").and_then(|project| project.get("dependencies")).and_then(|value| value.as_array());
    let lines: Vec<&str> = listed.into_iter().flatten().filter_map(|value| value.as_str()).collect();
    // A library's ranges are meant to be loose; only what has no bound at all is told.
    let mut report = python_sources(&lines);
    for line in &lines {
        if !line.contains(['=', '<', '>', '~', '@', '!']) {
            report.push((Severity::Info, format!("`{}` takes any version", python_name(line))));
        }
    }
    if !lines.is_empty() {
        report.push(counted(lines.len(), "direct"));
    }
    report
}

fn requirements(_: &Listing, _: &str, text: &str) -> Report {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '-']))
        .collect();
    let mut report = python_sources(&lines);
    let loose: Vec<String> = lines
        .iter()
        .filter(|line| !line.contains("==") && !line.contains('@') && !line.contains("://"))
        .map(|line| python_name(line))
        .collect();
    if !loose.is_empty() {
        let names = loose.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = if loose.len() > 8 { format!(" and {} more", loose.len() - 8) } else { String::new() };
        report.push((Severity::Low, format!("{} not pinned to one version: {names}{more}", loose.len())));
    }
    if !lines.is_empty() {
        report.push(counted(lines.len(), "listed"));
    }
    report
}

fn python_sources(lines: &[&str]) -> Report {
    let mut report = Report::new();
    for line in lines {
        let name = python_name(line);
        if line.contains("git+") {
            let pinned = line
                .rsplit_once('@')
                .is_some_and(|(_, pin)| pin.len() >= 40 && pin[..40].bytes().all(|b| b.is_ascii_hexdigit()));
            let severity = if pinned { Severity::Info } else { Severity::Low };
            report.push((
                severity,
                format!("`{name}` comes from git{}", if pinned { "" } else { ", not pinned to a commit" }),
            ));
        } else if line.contains("http://") {
            report.push((Severity::High, format!("`{name}` comes over an unprotected connection")));
        }
    }
    report
}

fn python_name(line: &str) -> String {
    let name = line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))).next().unwrap_or(line);
    if name == "git" || name.is_empty() { without_login(line) } else { name.to_string() }
}

/// An address without the user and password it may hold.
fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::upkeep::{audit, testing::Folder};

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let folder = Folder::plain(files);
        audit("dependencies", folder.path()).unwrap().into_iter().map(|f| format!("{} {}", f.path, f.message)).collect()
    }

    #[test]
    fn cargo() {
        let manifest = "[dependencies]\na = \"*\"\nb = { git = \"https://user:pass@h/b\" }\nc = { git = \"https://h/c\", rev = \"1\" }\n\
            d = { workspace = true }\n[target.'cfg(unix)'.dependencies]\ne = \"1\"\n";
        let lock = "[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n\
            [[package]]\nname = \"s\"\nversion = \"1.0.0\"\nsource = \"r\"\n[[package]]\nname = \"s\"\nversion = \"2.0.0\"\nsource = \"r\"\n";
        assert_eq!(
            messages(&[("Cargo.toml", manifest), ("Cargo.lock", lock), ("vendor/y/Cargo.toml", manifest)]),
            [
                "Cargo.toml `a` takes any version",
                "Cargo.lock `s` is there in 2 versions: 1.0.0, 2.0.0",
                "Cargo.toml `b` comes from git (not pinned to a commit in the manifest): https://h/b",
                "Cargo.lock 2 locked dependencies",
                "Cargo.toml `c` comes from git (pinned): https://h/c",
                "Cargo.toml 4 direct dependencies",
            ]
        );
    }

    #[test]
    fn npm() {
        let package =
            r#"{"dependencies": {"a": "latest", "b": "^1.0.0", "c": "git+ssh://g/c.git#main", "d": "http://x/d.tgz"}}"#;
        assert_eq!(
            messages(&[("package.json", package)]),
            [
                "package.json `d` comes over an unprotected connection",
                "package.json `a` takes any version",
                "package.json `c` comes from git, not pinned to a commit",
                "package.json there is no lock file, so every install may differ",
                "package.json 4 direct dependencies",
            ]
        );
        let lock = r#"{"packages": {"": {}, "node_modules/a": {"version": "1.0.0"}, "node_modules/b/node_modules/a": {"version": "2.0.0"}}}"#;
        let got = messages(&[("package.json", r#"{"dependencies": {"a": "1"}}"#), ("package-lock.json", lock)]);
        assert_eq!(
            got,
            [
                "package-lock.json 1 packages are there in several versions",
                "package-lock.json 2 locked dependencies",
                "package.json 1 direct dependency"
            ]
        );
    }

    #[test]
    fn python_and_go() {
        let requirements = "# x\na==1.0\nb>=2 # why\n-r other.txt\nc @ git+https://h/c@main\n";
        assert_eq!(
            messages(&[("requirements-dev.txt", requirements)]),
            [
                "requirements-dev.txt `c` comes from git, not pinned to a commit",
                "requirements-dev.txt 1 not pinned to one version: `b`",
                "requirements-dev.txt 3 listed dependencies",
            ]
        );
        let go = "module m\n\nrequire (\n\ta v1.0.0\n\tb v1.0.0 // indirect\n)\nrequire c v1.0.0\nreplace a => ../a\n";
        assert_eq!(
            messages(&[("go.mod", go)]),
            ["go.mod `a` is replaced by a local folder", "go.mod 2 direct dependencies"]
        );
    }

    #[test]
    fn broken_files_say_nothing() {
        assert!(
            messages(&[("Cargo.toml", "[x"), ("package.json", "{"), ("Cargo.lock", "="), ("pyproject.toml", "=")])
                .is_empty()
        );
    }
}
