//! git: what only looks, what changes the checkout, what destroys work, and what rewrites what others have.

use super::{
    flags::{self, is_one_of},
    walk::Walk,
    word::Word,
};
use crate::core::decide::effects::{Action, Reversible, Touched};

/// Subcommands that look, with the flags that make them do more.
const LOOKS: &[(&str, &str)] = &[
    ("status", ""),
    ("log", "--output --ext-diff --textconv"),
    ("show", "--output --ext-diff --textconv"),
    ("diff", "--output --ext-diff --textconv"),
    ("diff-tree", "--output --ext-diff --textconv"),
    ("diff-index", "--output --ext-diff --textconv"),
    ("diff-files", "--output --ext-diff --textconv"),
    ("whatchanged", "--output --ext-diff --textconv"),
    ("range-diff", "--output --ext-diff --textconv"),
    ("shortlog", "--output"),
    ("blame", "--contents --textconv"),
    ("annotate", "--contents --textconv"),
    ("grep", "-O --open-files-in-pager --ext-grep --textconv"),
    ("rev-parse", ""),
    ("rev-list", ""),
    ("ls-files", ""),
    ("ls-tree", ""),
    ("cat-file", "--textconv --filters"),
    ("describe", ""),
    ("name-rev", ""),
    ("merge-base", ""),
    ("show-ref", ""),
    ("for-each-ref", ""),
    ("show-branch", ""),
    ("count-objects", ""),
    ("cherry", ""),
    ("check-ignore", ""),
    ("check-attr", ""),
    ("var", ""),
    ("version", ""),
    ("fsck", "--lost-found"),
    ("verify-commit", ""),
    ("verify-tag", ""),
    ("check-ref-format", ""),
    ("diff-pairs", ""),
];

/// Subcommands that ask another machine.
const NETWORK: &[&str] =
    &["fetch", "pull", "clone", "ls-remote", "push", "send-email", "svn", "lfs", "remote-update", "request-pull"];

/// Subcommands that change the checkout or the current branch, and that git itself can take back.
const CHANGES: &[&str] = &[
    "add",
    "commit",
    "merge",
    "rebase",
    "cherry-pick",
    "revert",
    "am",
    "apply",
    "mv",
    "rm",
    "checkout",
    "switch",
    "restore",
    "reset",
    "stash",
    "clean",
    "stage",
    "notes",
    "sparse-checkout",
    "read-tree",
    "checkout-index",
    "update-index",
    "write-tree",
    "commit-tree",
    "hash-object",
    "mergetool",
    "bisect",
    "init",
    "pull",
    "submodule",
    "worktree",
    "branch",
    "tag",
    "remote",
    "config",
    "gc",
    "prune",
    "repack",
    "reflog",
    "update-ref",
    "symbolic-ref",
    "filter-branch",
    "filter-repo",
    "maintenance",
    "replace",
    "archive",
    "bundle",
    "format-patch",
    "difftool",
    "rerere",
    "pack-refs",
    "subtree",
    "flow",
];

/// Of these, what every checkout of the repository shares.
const SHARED: &[&str] = &[
    "branch",
    "tag",
    "remote",
    "stash",
    "gc",
    "prune",
    "repack",
    "reflog",
    "update-ref",
    "symbolic-ref",
    "filter-branch",
    "filter-repo",
    "maintenance",
    "replace",
    "notes",
    "pack-refs",
    "submodule",
    "worktree",
    "init",
    "bundle",
    "archive",
    "format-patch",
    "subtree",
    "flow",
];

/// Whether the command works on the lane that it runs in.
fn in_lane(walk: &Walk) -> bool {
    walk.place.lane
        && walk.cwd.as_deref().is_some_and(|cwd| walk.paths.write(&format!("{cwd}/x")).class == Touched::Lane)
}

/// Reads a git command.
pub fn read(walk: &mut Walk, words: &[Word]) {
    let mut rest = words;
    let mut elsewhere = walk.moved;
    let mut named = false;
    while let Some((first, after)) = rest.split_first() {
        let text = first.text.as_str();
        rest = match text {
            "--no-pager"
            | "--no-optional-locks"
            | "-P"
            | "--literal-pathspecs"
            | "--no-replace-objects"
            | "--bare"
            | "--glob-pathspecs"
            | "--icase-pathspecs" => after,
            "-C" | "--git-dir" | "--work-tree" | "--namespace" => {
                (elsewhere, named) = (true, true);
                after.get(1..).unwrap_or_default()
            }
            "--exec-path" | "--html-path" | "--man-path" | "--info-path" if after.is_empty() => return,
            "-c" | "--exec-path" | "--config-env" => {
                walk.exec("git gets settings that may start programs");
                after.get(1..).unwrap_or_default()
            }
            "-p" | "--paginate" => after,
            _ if text.starts_with("--git-dir=") || text.starts_with("--work-tree=") => {
                (elsewhere, named) = (true, true);
                after
            }
            "--version" | "--help" | "-h" | "-v" if after.is_empty() => return,
            _ if text.starts_with('-') => {
                walk.exec(format!("git {text} may start programs"));
                after
            }
            _ => break,
        };
    }
    let Some((subcommand, rest)) = rest.split_first() else { return };
    let Some(name) = subcommand.value() else {
        return walk.vague("which git command it is, is known only when it runs");
    };
    let parsed =
        flags::parse(rest, "-m -C -c -F -b -B -o -n -e --author --date --since --until --format --grep -L -S -G");
    let operand = |at: usize| parsed.operands.get(at).map_or("", |word| word.text.as_str());
    let any = |these: &str| rest.iter().any(|word| is_one_of(word, these, "-m -C -F -e -S -G -L -n"));

    if looks(name, rest, operand(0), parsed.operands.len()) {
        // Another folder's repository brings settings of its own, and some of them start programs.
        if elsewhere {
            walk.exec("git uses the settings of another folder");
        }
        let bad = LOOKS.iter().find(|(known, _)| *known == name).map_or("", |(_, bad)| *bad);
        let all = |word: &&Word| word.text.starts_with('-') || !word.known;
        if let Some(word) = rest.iter().filter(all).find(|word| is_one_of(word, bad, "")) {
            walk.exec(format!("git {name} {} writes a file or starts a program", word.text));
        }
        if !bad.is_empty() && parsed.uncertain {
            walk.vague(format!("a word may turn out to be an option of git {name}"));
        }
        let shows = match name {
            "log" | "whatchanged" | "reflog" | "stash" => any("-p -u --patch -L --patch-with-stat"),
            name => matches!(
                name,
                "show" | "diff" | "blame" | "annotate" | "cat-file" | "grep" | "diff-tree" | "diff-index"
            ),
        };
        // A file of the history is a file: `HEAD:.env`, `-- .env`.
        let path = |word: &Word| word.text.rsplit(':').next().unwrap_or_default().to_owned();
        let names = |word: &&Word| !word.text.starts_with('-');
        for word in rest.iter().filter(|_| shows).filter(names) {
            let path = path(word);
            if if word.known { super::paths::is_secret(&path) } else { super::walk::may_match_secret(&path) } {
                walk.secret(format!("shows a secret: {}", word.text));
            }
        }
        return;
    }
    let own = !named && in_lane(walk);
    match name {
        "push" => push(walk, rest),
        "reset" if any("--hard --merge --keep") => discards(walk, own, "git reset --hard throws uncommitted work away"),
        "clean" if !any("-n --dry-run") => discards(walk, own, "git clean removes files that git does not have"),
        "checkout"
            if any("-f --force --ours --theirs")
                || rest.iter().any(|word| matches!(word.text.as_str(), "--" | ".")) =>
        {
            discards(walk, own, "git checkout throws uncommitted work away");
        }
        "switch" if any("-f --force --discard-changes") => {
            discards(walk, own, "git switch throws uncommitted work away")
        }
        "restore" if !any("--staged -S") || any("--worktree -W") => {
            discards(walk, own, "git restore throws uncommitted work away")
        }
        "rm" if any("-f --force") && !any("--cached") => {
            discards(walk, own, "git rm -f removes files with their changes")
        }
        "stash" if matches!(operand(0), "drop" | "clear") => shared(walk, "a dropped stash is lost"),
        "branch" if any("-D") || (any("-d --delete") && any("-f --force")) || any("-M -C") => {
            shared(walk, "commits that are only on that branch are lost");
        }
        "filter-branch" | "filter-repo" => shared(walk, "it rewrites the history"),
        "reflog" if matches!(operand(0), "expire" | "delete") => shared(walk, "it forgets how lost commits are found"),
        "gc" if any("--prune --aggressive") && rest.iter().any(|word| word.text.starts_with("--prune")) => {
            shared(walk, "it removes what nothing points to");
        }
        "prune" if !any("-n --dry-run") => shared(walk, "it removes what nothing points to"),
        "update-ref" if any("-d --stdin") => shared(walk, "it removes a name of commits"),
        "tag" if any("-d --delete -f --force") => shared(walk, "it removes or moves a tag"),
        "worktree" if operand(0) == "remove" && any("-f --force") => {
            shared(walk, "it removes a work tree with its changes")
        }
        "submodule" if operand(0) == "deinit" && any("-f --force") => {
            discards(walk, own, "it removes a submodule's changes")
        }
        "lfs" if operand(0) == "prune" => shared(walk, "it removes large files"),
        "svn" if operand(0) == "dcommit" => walk.network("publishes commits", None, true),
        _ => {}
    }
    if any("--exec -x --upload-pack --receive-pack -u --extcmd --tool")
        && matches!(name, "rebase" | "clone" | "fetch" | "pull" | "ls-remote" | "difftool" | "mergetool" | "bisect")
    {
        walk.exec(format!("git {name} starts a program that it is given"));
    }
    if name == "bisect" && operand(0) == "run" || name == "submodule" && operand(0) == "foreach" {
        let inner: Vec<String> = parsed.operands[1..].iter().map(|word| word.text.clone()).collect();
        walk.exec("git runs a command that it is given");
        walk.line(&inner.join(" "));
    }
    if NETWORK.contains(&name) {
        walk.network(format!("git {name}"), None, matches!(name, "push" | "send-email" | "svn"));
    }
    if CHANGES.contains(&name) || name == "clone" {
        let shared = SHARED.contains(&name);
        match name {
            // It decides which programs git starts, here and in every other checkout.
            "config" => {
                walk.effect("changes git's settings", Action::Writes, Touched::External, Reversible::No);
            }
            _ if own && !shared => walk.effect(format!("git {name}"), Action::Writes, Touched::Lane, Reversible::Yes),
            _ => walk.effect(format!("git {name}"), Action::Writes, Touched::Workspace, Reversible::Yes),
        }
        if matches!(
            name,
            "commit"
                | "merge"
                | "rebase"
                | "checkout"
                | "switch"
                | "am"
                | "cherry-pick"
                | "revert"
                | "worktree"
                | "pull"
                | "clone"
                | "gc"
        ) {
            walk.exec(format!("git {name} may run hooks"));
        }
    } else if !NETWORK.contains(&name) {
        walk.vague(format!("git {name} is not known here"));
    }
}

/// Whether it only looks.
fn looks(name: &str, rest: &[Word], first: &str, operands: usize) -> bool {
    let any = |these: &str| rest.iter().any(|word| is_one_of(word, these, "-n"));
    let only =
        |these: &str| rest.iter().filter(|word| word.text.starts_with('-')).all(|word| is_one_of(word, these, ""));
    match name {
        "branch" => {
            let quiet = only(
                "-l --list -a --all -r --remotes -v --verbose --contains --no-contains --merged --no-merged --sort --format \
                --points-at --show-current --color --no-color --column --no-column -q --quiet -i --ignore-case --abbrev --no-abbrev",
            );
            let names = any("-l --list --contains --no-contains --merged --no-merged --points-at --sort --format");
            quiet && (operands == 0 || names)
        }
        "tag" => {
            let quiet = only(
                "-l --list -n --sort --contains --no-contains --merged --no-merged --points-at --format --column --color -i --ignore-case",
            );
            quiet && (operands == 0 || any("-l --list --contains --no-contains --merged --no-merged --points-at -n"))
        }
        "remote" => (operands == 0 && only("-v --verbose")) || first == "get-url" || (first == "show" && any("-n")),
        "stash" => matches!(first, "list" | "show"),
        "config" => {
            any(
                "--get --get-all --get-regexp --get-urlmatch --list -l --get-color --get-colorbool --show-origin --show-scope",
            ) && !any("--add --unset --unset-all --replace-all --rename-section --remove-section -e --edit")
                || matches!(first, "get" | "list")
        }
        "worktree" => first == "list",
        "submodule" => matches!(first, "status" | "summary"),
        "reflog" => matches!(first, "" | "show" | "list" | "exists") || !matches!(first, "expire" | "delete" | "drop"),
        "notes" => matches!(first, "list" | "show"),
        "bisect" => first == "log",
        "symbolic-ref" => operands == 1 && !any("-d --delete"),
        "hash-object" => !any("-w"),
        "lfs" => matches!(first, "ls-files" | "status" | "env" | "version" | "track" if operands == 1),
        "clean" => any("-n --dry-run") && !any("-f --force"),
        "help" => !any("-w --web"),
        "apply" => any("--stat --numstat --summary --check") && !any("--apply --index --cached -3 --3way"),
        "rerere" => matches!(first, "status" | "diff"),
        "sparse-checkout" => first == "list",
        "bundle" => matches!(first, "list-heads"),
        "maintenance" | "archive" => any("--list -l") && operands == 0,
        _ => LOOKS.iter().any(|(known, _)| *known == name),
    }
}

/// What is not committed in this checkout is lost. In a lane, that is a lane's own.
fn discards(walk: &mut Walk, own: bool, what: &str) {
    match own {
        true => walk.effect(what, Action::Deletes, Touched::Lane, Reversible::Yes),
        false => {
            walk.danger(what);
            walk.effect(what, Action::Deletes, Touched::Workspace, Reversible::No);
        }
    }
}

/// What every checkout of the repository shares is lost.
fn shared(walk: &mut Walk, what: &str) {
    walk.danger(what);
    walk.effect(what, Action::Deletes, Touched::Workspace, Reversible::No);
}

fn push(walk: &mut Walk, rest: &[Word]) {
    let forces = rest
        .iter()
        .any(|word| is_one_of(word, "-f --force --force-with-lease --force-if-includes --mirror --prune", "-o"));
    let deletes = rest.iter().any(|word| is_one_of(word, "-d --delete", "-o"));
    // `+main` forces, `:main` deletes.
    let reference = rest.iter().filter(|word| !word.text.starts_with('-')).skip(1);
    let marked = reference.into_iter().any(|word| word.text.starts_with(['+', ':']));
    if forces || deletes || marked {
        walk.danger("it rewrites or removes what others have");
        walk.effect("rewrites what others have", Action::Deletes, Touched::External, Reversible::No);
    }
    if rest.iter().any(|word| is_one_of(word, "--receive-pack --exec", "")) {
        walk.exec("git push starts a program on the other side");
    }
}
