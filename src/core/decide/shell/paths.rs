//! Which part of the world a path is in: the lane, the workspace, the system, or what must not be told.

use crate::core::decide::{
    effects::{Action, Effect, Reversible, Touched},
    gate::{Links, Place},
};

/// Paths as seen from one place.
pub struct Paths<'a> {
    place: &'a Place,
    links: &'a dyn Links,
}

impl<'a> Paths<'a> {
    /// As seen from `place`.
    pub fn new(place: &'a Place, links: &'a dyn Links) -> Paths<'a> {
        Paths { place, links }
    }

    /// The absolute path, with `~`, `.` and `..` taken out. From the folder of the place.
    pub fn absolute(&self, path: &str) -> String {
        self.from(&self.place.cwd, path)
    }

    /// The same from another folder.
    pub fn from(&self, cwd: &str, path: &str) -> String {
        let home = self.place.home.as_deref().unwrap_or("/~");
        let whole = match path {
            "~" => home.to_owned(),
            path if path.starts_with("~/") => format!("{home}/{}", &path[2..]),
            // Another user's home.
            path if path.starts_with('~') => format!("/~/{path}"),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("{cwd}/{path}"),
        };
        // Behind a link, `..` is the folder above where the link leads.
        let climbs = whole.split('/').any(|part| part == "..");
        match climbs.then(|| self.links.real(&whole)).flatten() {
            Some(real) => real,
            None => normal(&whole),
        }
    }

    /// Looking at a path.
    pub fn read(&self, path: &str) -> Effect {
        let real = self.links.real(path);
        let secret = is_secret(path) || real.as_deref().is_some_and(is_secret);
        Effect {
            what: format!("{} {path}", if secret { "reads the secret" } else { "reads" }),
            action: if secret { Action::Secrets } else { Action::Reads },
            class: if secret { Touched::Secret } else { Touched::Read },
            reversible: if secret { Reversible::No } else { Reversible::Yes },
            target: Some(path.to_owned()),
        }
    }

    /// Making or changing it.
    pub fn write(&self, path: &str) -> Effect {
        self.change(path, Action::Writes, "writes")
    }

    /// Removing it.
    pub fn delete(&self, path: &str) -> Effect {
        self.change(path, Action::Deletes, "deletes")
    }

    fn change(&self, path: &str, action: Action, verb: &str) -> Effect {
        // Both the path as written and where its links lead must be inside.
        let real = self.links.real(path).unwrap_or_else(|| path.to_owned());
        let root = normal(&self.place.root);
        let real_root = self.links.real(&root).unwrap_or_else(|| root.clone());
        let whole = path == root || real == real_root;
        let inside = (within(path, &root) || within(path, &real_root)) && within(&real, &real_root);
        let deletes = action == Action::Deletes;
        let target = Some(path.to_owned());
        let what = format!("{verb} {path}");
        let effect =
            |class, reversible, what: String| Effect { what, action, class, reversible, target: target.clone() };
        if is_device(&real) {
            return effect(Touched::Privilege, Reversible::No, format!("{verb} the device {path}"));
        }
        if is_secret(path) || is_secret(&real) {
            return effect(Touched::Secret, Reversible::No, format!("{verb} the secret {path}"));
        }
        if inside && !(whole && deletes) {
            // What steers tools (hooks, agents' settings) acts later, outside the lane, when nobody looks.
            if steers(&real, &real_root) {
                let what = format!("{verb} {path}, which decides what other programs run");
                return effect(Touched::External, Reversible::No, what);
            }
            return match (self.place.lane, deletes) {
                (true, _) => effect(Touched::Lane, Reversible::Yes, what),
                // Nobody keeps a copy of the user's own files but their version control, and it may not have these.
                (false, true) => effect(Touched::Workspace, Reversible::No, what),
                (false, false) => effect(Touched::Workspace, Reversible::Yes, what),
            };
        }
        match (is_scratch(&real), deletes) {
            (true, false) => effect(Touched::Workspace, Reversible::Yes, what),
            (true, true) => effect(Touched::Workspace, Reversible::No, what),
            _ => effect(Touched::External, Reversible::No, format!("{what}, outside {}", self.place.root)),
        }
    }
}

/// Without `.`, `..` and doubled slashes. Absolute paths only.
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn within(path: &str, root: &str) -> bool {
    root != "/"
        && !root.is_empty()
        && (path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')))
}

/// Files under which a mistake reaches beyond the lane: hooks, settings of agents and editors, our own policy.
fn steers(path: &str, root: &str) -> bool {
    let Some(inner) = path.strip_prefix(root).map(|inner| inner.trim_start_matches('/').to_lowercase()) else {
        return true;
    };
    let first = inner.split('/').next().unwrap_or("");
    // A file system may fold case, and so does this look.
    matches!(first, ".orchestrator" | ".claude" | ".mcp.json" | ".cursor" | ".codex" | ".gemini" | ".vscode" | ".idea")
        || inner.split('/').any(|part| matches!(part, ".git" | ".hg" | ".svn" | ".husky" | ".gitmodules"))
        || inner.ends_with(".envrc")
}

/// Places where everybody may leave files.
fn is_scratch(path: &str) -> bool {
    ["/tmp", "/var/tmp", "/private/tmp", "/private/var/tmp"].iter().any(|scratch| within(path, scratch))
}

/// A device that holds or takes something; not the few that swallow or give zeroes.
pub fn is_device(path: &str) -> bool {
    within(path, "/dev") && !is_sink(path)
}

/// Writing there changes nothing.
pub fn is_sink(path: &str) -> bool {
    matches!(path, "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/stdin" | "/dev/tty" | "/dev/zero" | "/dev/full")
        || path.strip_prefix("/dev/fd/").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Names of files that hold what must not be told, by the conventions of the programs that keep them.
pub fn is_secret(path: &str) -> bool {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or("");
    let public = name.ends_with(".pub");
    let folders = [
        "/.ssh/",
        "/.gnupg/",
        "/.aws/",
        "/.azure/",
        "/.kube/",
        "/.docker/config.json",
        "/.config/gcloud/",
        "/.config/gh/",
        "/.password-store/",
        "/.local/share/keyrings/",
        "/keychains/",
        "/etc/ssl/private/",
        "/run/secrets/",
        "/var/run/secrets/",
        "/.config/op/",
        "/.vault-token",
        "/.config/sops/",
        "/etc/sudoers.d/",
        "/etc/krb5.keytab",
        "/.mozilla/",
        "/.config/google-chrome/",
        "/.terraform.d/credentials",
        "/.cargo/credentials",
        "/.m2/settings.xml",
        "/.claude/.credentials",
        "/.codex/auth.json",
    ];
    let names = [
        ".env",
        ".netrc",
        "_netrc",
        ".pgpass",
        ".my.cnf",
        ".npmrc",
        ".pypirc",
        ".git-credentials",
        ".htpasswd",
        "shadow",
        "gshadow",
        "sudoers",
        "shadow-",
        "master.key",
        "credentials",
        "credentials.json",
        "credentials.toml",
        ".credentials.json",
        "secrets.yml",
        "secrets.yaml",
        "secrets.json",
        "secret.yml",
        "secret.yaml",
        "secrets.toml",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "service-account.json",
        ".s3cfg",
        ".boto",
        ".dockercfg",
        "kubeconfig",
        "wallet.dat",
        ".bash_history",
        ".zsh_history",
        ".psql_history",
        ".mysql_history",
        ".python_history",
        ".node_repl_history",
        "login.keychain",
        "environ",
        ".envrc",
        "terraform.tfstate",
        "secring.gpg",
        "htpasswd",
    ];
    let known_hosts = matches!(name, "known_hosts" | "authorized_keys" | "config") && path.contains("/.ssh/");
    if folders.iter().any(|folder| path.contains(folder)) {
        return !public && !known_hosts;
    }
    if matches!(name, ".env.example" | ".env.sample" | ".env.template" | ".env.dist" | ".env.defaults") {
        return false;
    }
    // A folder of keys, named as a whole.
    if ["/.ssh", "/.gnupg", "/.aws", "/.password-store"].iter().any(|folder| path.ends_with(folder)) {
        return true;
    }
    names.contains(&name)
        || name.starts_with(".env.")
        || ["pem", "key", "p12", "pfx", "jks", "keystore", "kdbx", "ppk", "asc", "gpg", "age", "tfvars"]
            .iter()
            .any(|extension| name.strip_suffix(extension).is_some_and(|stem| stem.ends_with('.')))
        || (path.starts_with("/proc/") && matches!(name, "mem" | "kcore" | "maps"))
        || ["private_key", "private-key", "privatekey", "api_key", "apikey", "access_token", "id_rsa"]
            .iter()
            .any(|part| name.contains(part) && !public)
}

/// The host of an address, where one is named.
pub fn host(address: &str) -> Option<String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => host.split(':').next()?,
    };
    (host.contains('.') || host == "localhost").then(|| host.to_lowercase())
}
