//! Protections that a change weakens: lines that switch one off, and lines or files that were one and are gone.
//!
//! Only what a change adds or takes away counts, not what was there; and only outside of tests and documents, where the
//! same words describe rather than do.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::{Regex, RegexSet};

use crate::{core::decide::change::Remark, daemon::lanes::Texts, upkeep};

/// Lines that switch a protection off: what they do, and how they look.
const OFF: &[(&str, &str)] = &[
    (
        TLS,
        r"(?i)\bverify\s*=\s*False\b|reject_?unauthorized['\x22]?\s*[:=]\s*(?:false|0)|InsecureSkipVerify\s*[:=]\s*true|danger_accept_invalid_\w+\(\s*true|SSL_VERIFY(?:PEER|HOST)\s*(?:,|=>|=)\s*(?:0|false)|TLS_REJECT_UNAUTHORIZED\W{1,4}0|_create_unverified_context|\bCERT_NONE\b|\bVERIFY_NONE\b|ssl_?verify['\x22]?\s*[:= ]\s*(?:false|0)\b|strict-ssl\s*=?\s*false",
    ),
    (TLS, r"\bcurl\b[^|;&\n]*\s(?:-[a-zA-Z]*k[a-zA-Z]*|--insecure)\b|\bwget\b[^|;&\n]*\s--no-check-certificate"),
    ("Keys of hosts are no longer checked", r"(?i)StrictHostKeyChecking[=\s]+no\b"),
    ("A file is opened to everybody", r"\bchmod\s+(?:-\w+\s+)*(?:0?777|a\+rwx|ugo\+rwx)\b|\b0o777\b"),
    (
        "A guard against forged requests is switched off",
        r"@csrf_exempt|csrf\(\)\s*\.\s*disable|csrf\s*->\s*csrf\s*\.\s*disable|skip_before_action\s+:verify_authenticity_token|WTF_CSRF_ENABLED\s*=\s*False",
    ),
    ("Every site may ask", r#"(?i)Access-Control-Allow-Origin['"]?\s*[:,=]\s*['"]?\*|allow_any_origin\(\)"#),
    ("A check before a commit is skipped", r"\bgit\b[^|;&\n]*\s--no-verify\b"),
    ("An agent may do everything unasked", r"--dangerously-skip-permissions|--dangerously-bypass-approvals|--yolo\b"),
    ("A container may do what the machine may", r"(?m)^\s*privileged:\s*true|\bdocker\b[^|;&\n]*\s--privileged\b"),
    ("A password is no longer asked", r"NOPASSWD:|(?im)^\s*PermitEmptyPasswords\s+yes|^\s*PermitRootLogin\s+yes"),
];
const TLS: &str = "Certificates are no longer checked";

/// The same in the files of a build service.
const OFF_IN_CI: &[(&str, &str)] = &[
    ("A build may write to everything", r"permissions:\s*write-all"),
    ("A build of strangers' changes sees the secrets", r"\bpull_request_target\b"),
];

/// Lines that are a protection, by the files they stand in: those that are gone are named.
const HELD: &[(&str, &str, &str)] = &[
    (r"\.rs$", r"forbid\(unsafe_code\)|deny\(unsafe_code\)", "Unsafe code is no longer refused"),
    (
        r"(?:^|/)\.(?:git|docker|npm)ignore$",
        r"(?i)^(?:[^#!].*)?(?:\.env|\.pem|\.key|\.p12|\.pfx|id_rsa|id_ed25519|secret|credential|password)",
        "A file with secrets is no longer left out",
    ),
    (r"(?:^|/)CODEOWNERS$", r"^[^#\s]", "Somebody no longer has to agree to changes"),
    (
        r"^\.orchestrator/(?:policy|config)\.toml$",
        r"^\s*[^#\s]",
        "A rule that changes like this one are judged by is gone",
    ),
    (r"(?:^|/)\.pre-commit-config\.yaml$", r"^\s*-\s*(?:id|repo):", "A check before a commit is gone"),
];

/// What coding agents may do unasked, and what they run by themselves.
const AGENTS: &str = r"(?:^|/)(?:\.claude/(?:settings[^/]*\.json|hooks/)|\.mcp\.json$|\.codex/|\.gemini/settings\.json$|\.cursor/(?:mcp|permissions))";

/// Files that look for trouble.
const SCANNERS: &str =
    r"(?i)(?:codeql|gitleaks|semgrep|trivy|dependabot|renovate|secrets\.baseline|detect-secrets|cargo-deny|deny\.toml)";

fn set(table: &[(&str, &str)]) -> RegexSet {
    RegexSet::new(table.iter().map(|(_, pattern)| pattern)).expect("the patterns are fixed")
}

static OFF_SET: LazyLock<RegexSet> = LazyLock::new(|| set(OFF));
static OFF_IN_CI_SET: LazyLock<RegexSet> = LazyLock::new(|| set(OFF_IN_CI));
static HELD_SETS: LazyLock<Vec<(Regex, Regex)>> = LazyLock::new(|| {
    let regex = |pattern: &str| Regex::new(pattern).expect("the patterns are fixed");
    HELD.iter().map(|(path, line, _)| (regex(path), regex(line))).collect()
});
static AGENTS_AT: LazyLock<Regex> = LazyLock::new(|| Regex::new(AGENTS).expect("the pattern is fixed"));
static SCANNERS_AT: LazyLock<Regex> = LazyLock::new(|| Regex::new(SCANNERS).expect("the pattern is fixed"));

/// What a file's change does to protections.
pub fn weakened(file: &Texts) -> Vec<Remark> {
    let path = file.path.as_str();
    let there = file.before.is_some();
    let mut remarks: Vec<Remark> = Vec::new();
    let mut remark = |line: Option<u32>, what: &str| {
        // Said once of a file, however many lines do it.
        if !remarks.iter().any(|other| other.what == what) {
            remarks.push(Remark { path: path.to_owned(), line, there, what: what.to_owned() });
        }
    };
    if AGENTS_AT.is_match(path) && file.before != file.after {
        remark(None, "What coding agents may do unasked is changed");
    }
    if there && file.after.is_none() && !file.unread && SCANNERS_AT.is_match(path) {
        remark(None, "What looks for trouble is gone");
    }
    let lines = |text: &Option<String>| -> Vec<String> {
        text.as_deref().unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
    };
    let (before, after) = (lines(&file.before), lines(&file.after));
    for ((of, held), (_, _, what)) in HELD_SETS.iter().zip(HELD).filter(|((of, _), _)| of.is_match(path)) {
        let kept: BTreeSet<&str> = after.iter().map(String::as_str).collect();
        let gone = (1..).zip(&before).find(|(_, line)| held.is_match(line) && !kept.contains(line.as_str()));
        // A line that is worded anew still holds.
        let still = held.is_match(&after.join("\n")) && of.as_str().contains("rs$");
        if let Some((line, _)) = gone.filter(|_| !still) {
            remark(Some(line), what);
        }
    }
    if upkeep::is_sample(path) {
        return remarks;
    }
    let known: BTreeSet<&str> = before.iter().map(String::as_str).collect();
    let in_ci = path.contains(".github/workflows/") || path.ends_with(".gitlab-ci.yml");
    for (number, line) in (1..).zip(&after).filter(|(_, line)| !known.contains(line.as_str()) && !is_comment(line)) {
        for index in OFF_SET.matches(line) {
            remark(Some(number), OFF[index].0);
        }
        for index in OFF_IN_CI_SET.matches(line).iter().filter(|_| in_ci) {
            remark(Some(number), OFF_IN_CI[index].0);
        }
    }
    remarks
}

fn is_comment(line: &str) -> bool {
    ["#", "//", "/*", "*", "--", "<!--", "\"\"\""].iter().any(|mark| line.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, before: Option<&str>, after: Option<&str>) -> Vec<String> {
        let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
        let file = Texts { path: path.into(), before, after, unread: false };
        weakened(&file).into_iter().map(|remark| format!("{:?} {}", remark.line, remark.what)).collect()
    }

    #[test]
    fn protections_that_are_switched_off() {
        for (path, line) in [
            ("a.py", "r = requests.get(url, verify=False)"),
            ("a.js", "const agent = new https.Agent({ rejectUnauthorized: false })"),
            ("a.go", "&tls.Config{InsecureSkipVerify: true}"),
            ("a.rs", "reqwest::Client::builder().danger_accept_invalid_certs(true)"),
            ("deploy.sh", "curl -fsSk https://x"),
            ("deploy.sh", "export NODE_TLS_REJECT_UNAUTHORIZED=0"),
            ("deploy.sh", "ssh -o StrictHostKeyChecking=no host"),
            ("deploy.sh", "chmod -R 777 /srv"),
            ("views.py", "@csrf_exempt"),
            ("app.js", "res.setHeader('Access-Control-Allow-Origin', '*')"),
            ("Makefile", "git commit --no-verify -m x"),
            (".github/workflows/ci.yml", "on: pull_request_target"),
            ("compose.yml", "privileged: true"),
        ] {
            let found = said(path, Some("x\n"), Some(&format!("x\n{line}\n")));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(found[0].starts_with("Some(2) "), "{found:?}");
            // It was so before, or is only spoken of.
            assert!(said(path, Some(&format!("{line}\n")), Some(&format!("x\n{line}\n"))).is_empty(), "{line}");
            assert!(said("tests/test_it.py", None, Some(line)).is_empty(), "{line}");
            assert!(said(path, None, Some(&format!("# {line}\n"))).is_empty(), "{line}");
        }
    }

    #[test]
    fn protections_that_are_gone() {
        let none: [&str; 0] = [];
        assert_eq!(said("src/lib.rs", Some("#![forbid(unsafe_code)]\n"), Some("\n")).len(), 1);
        assert_eq!(said("src/lib.rs", Some("#![forbid(unsafe_code)]\n"), Some("#![forbid(unsafe_code)] // x\n")), none);
        assert_eq!(said(".gitignore", Some("target\n.env\n"), Some("target\n")).len(), 1);
        assert_eq!(said(".gitignore", Some("target\n.env\n"), Some(".env\n")), none);
        assert_eq!(said(".orchestrator/policy.toml", Some("version = 1\n[[rules]]\n"), Some("version = 1\n")).len(), 1);
        assert_eq!(said(".orchestrator/policy.toml", Some("version = 1\n"), Some("version = 1\n[[rules]]\n")), none);
        assert_eq!(said(".claude/settings.json", None, Some("{}")).len(), 1);
        assert_eq!(said(".github/workflows/codeql.yml", Some("on: push\n"), None).len(), 1);
        assert_eq!(said("CODEOWNERS", Some("* @a\n/src @b\n"), Some("* @a\n")).len(), 1);
    }

    #[test]
    fn what_is_none_of_it() {
        for line in [
            "verify = True",
            "let verified = false;",
            "curl -fsSL https://x -o y",
            "chmod 755 x",
            "def verify(self, x): return False",
            "rejectUnauthorized: true",
            "git commit -m 'no verify'",
        ] {
            assert!(said("a.sh", None, Some(line)).is_empty(), "{line}: {:?}", said("a.sh", None, Some(line)));
        }
    }
}
