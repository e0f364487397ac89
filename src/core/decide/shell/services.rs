//! Programs with subcommands: containers, clouds, packages, services. Per program: what looks, what destroys, and what
//! everything else does.

use super::{
    acts::{self, Does},
    flags::{self, is_one_of},
    scripts,
    walk::Walk,
    word::Word,
};

/// One program.
struct Service {
    /// Its names.
    names: &'static str,
    /// Options before the subcommand that take a word and change nothing.
    valued: &'static str,
    /// Options anywhere that make looking more than that.
    bad: &'static str,
    /// Subcommands that look: words, in order; `|` between them.
    looks: &'static str,
    /// Subcommands that destroy; a word with `-` must be among the options.
    destroys: &'static str,
    /// What everything else does.
    does: Does,
}

const TABLE: &[Service] = &[
    Service {
        names: "docker podman nerdctl",
        valued: "-l --log-level",
        bad: "-H --host --context -c --config --tlscacert --url --connection --identity",
        looks: "ps|images|inspect|history|logs|top|port|stats|diff|events|version|info|image ls|image list|image inspect|\
            image history|container ls|container list|container ps|container inspect|container logs|container top|container stats|container port|container diff|network ls|\
            network list|network inspect|volume ls|volume list|volume inspect|system df|system info|system events|context ls|\
            context show|context inspect|compose ps|compose logs|compose images|compose top|compose version|compose port|compose ls|\
            service ls|service ps|service inspect|service logs|node ls|node ps|node inspect|stack ls|stack ps|stack services|secret ls|config ls|plugin ls|buildx ls|\
            builder ls|buildx version|buildx du|help|pod ps|pod inspect|machine ls",
        destroys: "rm|rmi|prune|system prune|system reset|volume rm|volume remove|volume prune|image rm|image remove|image prune|container rm|container remove|\
            container prune|network prune|builder prune|buildx prune|network rm|stack rm|stack remove|service rm|service remove|swarm leave|node rm|secret rm|config rm|context rm|plugin rm|\
            compose rm|compose down -v|compose down --volumes|compose down --rmi|run --privileged|run --pid=host|run --cap-add=ALL|run --cap-add=SYS_ADMIN|\
            create --privileged|exec --privileged|pod rm|machine rm",
        does: Does::Service,
    },
    Service {
        names: "docker-compose podman-compose",
        valued: "-f --file -p --project-name --profile --env-file --project-directory",
        bad: "-H --host --context",
        looks: "ps|logs|images|top|version|port|ls|events|help",
        destroys: "rm|down -v|down --volumes|down --rmi",
        does: Does::Service,
    },
    Service {
        names: "kubectl oc k3s-kubectl",
        valued: "-n --namespace -l --selector -o --output --field-selector --sort-by -c --container -L --label-columns --tail --since --request-timeout -v",
        bad: "--kubeconfig -f --filename -k --kustomize --raw --server -s --token --as --output-directory --cache-dir --username --password",
        looks: "get|describe|explain|api-resources|api-versions|version|cluster-info|top|logs|config view|config get-contexts|\
            config current-context|config get-clusters|config get-users|auth can-i|auth whoami|rollout status|rollout history|options|help|events|plugin list|whoami|status|projects|project",
        destroys: "delete|drain|replace --force|apply --prune|config delete-context|config delete-cluster",
        does: Does::Service,
    },
    Service {
        names: "helm",
        valued: "-n --namespace -o --output",
        bad: "--kubeconfig --kube-apiserver --kube-token --post-renderer --plugin --registry-config --repository-config --repository-cache",
        looks: "list|ls|status|history|hist|version|env|repo list|repo ls|plugin list|help",
        destroys: "uninstall|delete|del|un|rollback|repo remove",
        does: Does::Service,
    },
    Service {
        names: "terraform tofu terragrunt",
        valued: "",
        bad: "-chdir -out -plugin-dir",
        looks: "version|workspace list|workspace show|state list|fmt -check|help",
        destroys: "destroy|apply -destroy|state rm|workspace delete|force-unlock|state push|run-all destroy|taint",
        does: Does::Service,
    },
    Service {
        names: "pulumi cdk cdktf serverless sls",
        valued: "",
        bad: "",
        looks: "version|help",
        destroys: "destroy|stack rm|state delete|remove|cancel",
        does: Does::Service,
    },
    Service {
        names: "aws",
        valued: "",
        bad: "",
        looks: "configure list|help",
        destroys: "s3 rm|s3 rb|s3 sync --delete|s3 mv|s3api delete-*|iam *|* delete-*|* terminate-*|* deregister-*|* purge-*|* remove-*|* destroy-*|organizations *|* revoke-*|* disable-*|* modify-*",
        does: Does::Cloud,
    },
    Service {
        names: "gcloud gsutil bq az doctl linode-cli hcloud ibmcloud oci aliyun flyctl fly heroku vercel netlify wrangler supabase firebase railway eb",
        valued: "",
        bad: "",
        looks: "version|help|config list|info|config get-value|config configurations list",
        destroys: "*delete|rm|rb|remove|destroy|* rm|* delete|* remove|* destroy|* * delete|* * * delete|* * remove|* * rm|apps:destroy|pg:reset|apps destroy|projects delete|rsync -d|* purge|\
            volumes destroy|* add-iam-policy-binding|* * add-iam-policy-binding|ad *|role *",
        does: Does::Cloud,
    },
    Service {
        names: "gh glab hub",
        valued: "-R --repo",
        bad: "",
        looks: "version|help|alias list|extension list|config list|config get",
        destroys: "repo delete|repo archive|release delete|release delete-asset|issue delete|gist delete|secret delete|variable delete|run delete|cache delete|ssh-key delete|gpg-key delete|label delete|project delete|api --method=DELETE|codespace delete|workflow disable|repo edit --visibility|ssh-key add",
        does: Does::Cloud,
    },
    Service {
        names: "npm",
        valued: "--depth --prefix --loglevel",
        bad: "--registry --globalconfig --userconfig --script-shell --node-options",
        looks: "ls|list|ll|la|root|prefix|bin|config get|config list|config ls|get|help|explain|why|query|pkg get|help-search|completion",
        destroys: "unpublish|deprecate|owner *|access *|token revoke|team rm",
        does: Does::Package,
    },
    Service {
        names: "yarn pnpm npx pnpx yarnpkg bunx lerna nx turbo corepack volta nvm fnm n pnpm-exec",
        valued: "",
        bad: "",
        looks: "",
        destroys: "unpublish|npm tag remove",
        does: Does::Package,
    },
    Service {
        names: "pip pip3 pipx",
        valued: "--format",
        bad: "-o --outdated --index-url --uptodate --log --python --cert --client-cert --proxy",
        looks: "list|show|freeze|check|debug|help|inspect|cache dir|cache info|cache list|environment|hash",
        destroys: "",
        does: Does::Package,
    },
    Service {
        names: "uv poetry pdm hatch pipenv conda mamba micromamba rye pyenv virtualenv venv tox nox pre-commit",
        valued: "-n --name",
        bad: "--python --directory --project",
        looks: "pip list|pip show|pip freeze|pip check|python list|version|self version|env list|env info|info|list|versions|which|config list|config --list",
        destroys: "env remove|remove --all|uninstall -f|cache clean|env prune",
        does: Does::Package,
    },
    Service {
        names: "cargo",
        valued: "",
        bad: "--config -Z",
        looks: "--list|-V|version|help|locate-project|pkgid",
        destroys: "yank|owner --remove|owner -r|owner --add|owner -a",
        does: Does::Build,
    },
    Service {
        names: "rustup",
        valued: "",
        bad: "",
        looks: "show|toolchain list|target list|component list|which|-V|help|show active-toolchain|show home|override list",
        destroys: "self uninstall|toolchain uninstall|toolchain remove",
        does: Does::Package,
    },
    Service {
        names: "go",
        valued: "",
        bad: "-w -u -toolexec -exec -mod -modfile -overlay",
        looks: "version|env|help|doc",
        destroys: "clean -modcache",
        does: Does::Build,
    },
    Service {
        names: "gem bundle bundler rake rails",
        valued: "",
        bad: "-r --remote -b --both --source",
        looks: "list|env|environment|which|contents|help|query",
        destroys: "yank|owner *|db:drop|db:reset|db:schema:load|db:drop:all|db:purge",
        does: Does::Package,
    },
    Service {
        names: "composer mvn mvnw gradle sbt ant lein mix rebar3 stack cabal opam nix nix-env nix-shell nix-build nixos-rebuild guix bazel bazelisk buck2 pants swiftpm xcodebuild pod fastlane flutter dart zig vcpkg conan meson ninja cmake make gmake just task ctest cpack scons waf autoconf automake autoreconf bower grunt gulp webpack vite rollup esbuild parcel tsc jest vitest mocha ava cypress playwright pytest unittest eslint prettier stylelint biome black ruff isort flake8 mypy pyright pylint bandit rubocop rspec golangci-lint gofmt rustfmt clang-format clang-tidy shellcheck hadolint actionlint markdownlint gcc g++ cc c++ clang clang++ rustc javac ld as nasm gfortran ghc ocamlc kotlinc valgrind gdb lldb strace ltrace perf hyperfine act nodemon pm2 forever gunicorn uvicorn flask django-admin manage.py artisan prisma alembic knex sequelize typeorm storybook next nuxt ng vue create-react-app expo react-native cordova ionic electron tauri wasm-pack protoc buf sqlx diesel husky lint-staged commitlint semantic-release changeset release-it standard-version goreleaser jbang latexmk pdflatex xelatex lualatex pandoc sphinx-build mkdocs hugo jekyll zola",
        valued: "",
        bad: "",
        looks: "",
        destroys: "migrate reset|db push --force-reset|db:drop|db drop|-Rf",
        does: Does::Build,
    },
    Service {
        names: "systemctl",
        valued: "-t --type -p --property -n --lines -o --output --state",
        bad: "-H --host -M --machine --root --image",
        looks: "status|show|list-units|list-unit-files|list-sockets|list-timers|list-dependencies|list-jobs|list-machines|is-active|is-enabled|\
            is-failed|is-system-running|cat|get-default|help|list-automounts|list-paths|--version|--failed|--all|-a|--type=service|--type|-t|--state=failed",
        destroys: "reboot|poweroff|halt|kexec|rescue|emergency|isolate|suspend|hibernate|soft-reboot|exit|switch-root|default",
        does: Does::System,
    },
    Service {
        names: "systemd-analyze",
        valued: "",
        bad: "-H --host -M --machine",
        looks: "|time|blame|critical-chain|calendar|timestamp|timespan|unit-paths|cat-config",
        destroys: "",
        does: Does::System,
    },
    Service {
        names: "loginctl machinectl",
        valued: "",
        bad: "-H --host -M --machine",
        looks: "|list|list-sessions|list-users|list-seats|show|show-session|show-user|session-status|user-status|status|seat-status|list-images|image-status",
        destroys: "terminate-*|kill-*|remove|poweroff|terminate",
        does: Does::System,
    },
    Service {
        names: "timedatectl hostnamectl localectl resolvectl networkctl bootctl",
        valued: "",
        bad: "-H --host -M --machine",
        looks: "|status|show|list-timezones|list-locales|list-keymaps|list|statistics|show-timesync|timesync-status|dns|domain",
        destroys: "",
        does: Does::System,
    },
    Service {
        names: "udevadm coredumpctl busctl",
        valued: "",
        bad: "-o --output -H --host -M",
        looks: "info|list|tree|status",
        destroys: "",
        does: Does::System,
    },
    Service {
        names: "service rc-service",
        valued: "",
        bad: "",
        looks: "--status-all",
        destroys: "",
        does: Does::System,
    },
    Service {
        names: "launchctl",
        valued: "",
        bad: "",
        looks: "list|print|help|version|blame",
        destroys: "reboot",
        does: Does::System,
    },
    Service {
        names: "nmcli",
        valued: "-f --fields -t -g --get-values -m",
        bad: "-s --show-secrets -a --ask",
        looks: "|device|dev|device status|device show|dev status|connection show|con show|general|general status|g|radio|connection|con|d|c",
        destroys: "connection delete|con delete",
        does: Does::System,
    },
    Service {
        names: "ufw",
        valued: "",
        bad: "",
        looks: "status|version|app list|show",
        destroys: "reset|disable",
        does: Does::System,
    },
    Service {
        names: "firewall-cmd",
        valued: "--zone",
        bad: "",
        looks: "--state|--list-all|--list-ports|--list-services|--get-zones|--get-active-zones|--get-default-zone|--list-all-zones|--get-services|--list-rich-rules",
        destroys: "",
        does: Does::System,
    },
    Service {
        names: "nft ipset tc brctl ovs-vsctl wg iw rfkill bluetoothctl ethtool",
        valued: "",
        bad: "",
        looks: "list|list ruleset|list tables|show|qdisc show|class show|filter show|dev|list-br",
        destroys: "flush ruleset|flush|destroy",
        does: Does::System,
    },
    Service {
        names: "apt apt-get aptitude",
        valued: " -t",
        bad: "-o --option -c --config-file",
        looks: "list|show|search|policy|depends|rdepends|showpkg|help|showsrc|moo",
        destroys: "",
        does: Does::SystemPackage,
    },
    Service {
        names: "apt-mark apt-config dpkg-divert update-alternatives",
        valued: "",
        bad: "-o -c",
        looks: "showhold|showmanual|showauto|dump|--list|--display|--query|--get-selections",
        destroys: "",
        does: Does::SystemPackage,
    },
    Service {
        names: "brew",
        valued: "",
        bad: "",
        looks: "list|ls|leaves|deps|config|--prefix|--cellar|--repository|--repo|--caskroom|--cache|services list|uses|tap-info|commands|help|doctor|missing",
        destroys: "",
        does: Does::Package,
    },
    Service {
        names: "snap flatpak",
        valued: "",
        bad: "",
        looks: "list|version|info --installed|connections|services|changes|remotes|ps",
        destroys: "",
        does: Does::SystemPackage,
    },
    Service {
        names: "port",
        valued: "",
        bad: "",
        looks: "installed|list|contents|info|search|deps|outdated|variants|version|echo|provides",
        destroys: "",
        does: Does::SystemPackage,
    },
    Service {
        names: "yum dnf microdnf zypper apk emerge pkg pkgutil xbps-install eopkg rpm-ostree urpmi slackpkg pacman yay paru makepkg dpkg rpm softwareupdate mas winget choco scoop pkg_add",
        valued: "",
        bad: "",
        looks: "list installed|list --installed|--pkgs",
        destroys: "",
        does: Does::SystemPackage,
    },
    Service {
        names: "zfs",
        valued: "-t -o -s",
        bad: "",
        looks: "list|get|version|userspace|groupspace|holds|diff",
        destroys: "destroy|rollback|receive -F|recv -F|unload-key",
        does: Does::System,
    },
    Service {
        names: "zpool",
        valued: "-o",
        bad: "",
        looks: "list|status|get|history|iostat|version|events",
        destroys: "destroy|labelclear|remove|detach|create|split|reguid",
        does: Does::System,
    },
    Service {
        names: "btrfs",
        valued: "",
        bad: "",
        looks: "subvolume list|subvolume show|filesystem show|filesystem df|filesystem usage|device stats|device usage|scrub status|version|balance status|fi df|fi show|qgroup show",
        destroys: "subvolume delete|device remove|device delete|check --repair|rescue *",
        does: Does::System,
    },
    Service {
        names: "diskutil",
        valued: "",
        bad: "",
        looks: "list|info|apfs list|listFilesystems|activity",
        destroys: "*",
        does: Does::System,
    },
    Service { names: "efibootmgr", valued: "", bad: "", looks: "|-v", destroys: "-b|-B", does: Does::System },
    Service {
        names: "lxc lxd incus virsh vboxmanage VBoxManage qm pct vmrun multipass vagrant minikube kind k3d limactl colima",
        valued: "-c --connect",
        bad: "",
        looks: "list|info|version|status|global-status|list --all|dominfo|net-list|pool-list|vol-list|nodeinfo|domstate|get clusters|box list|port|profile list|image list",
        destroys: "delete|destroy|undefine|unregistervm|purge|box remove|vol-delete|pool-delete|snapshot-delete|rm",
        does: Does::Service,
    },
    Service {
        names: "tmux",
        valued: "",
        bad: "-f -c -S",
        looks: "ls|list-sessions|list-windows|list-panes|lsw|lsp|list-keys|lsk|list-commands|show-options|info|show|-V",
        destroys: "",
        does: Does::Control,
    },
    Service {
        names: "svn",
        valued: "-r",
        bad: "--config-dir --config-option --diff-cmd --editor-cmd",
        looks: "status|stat|st|info|help|--version",
        destroys: "revert|cleanup --remove-unversioned|delete|rm",
        does: Does::Package,
    },
    Service {
        names: "hg fossil bzr darcs jj sl",
        valued: "",
        bad: "",
        looks: "",
        destroys: "strip|purge|update -C|update --clean|revert|rollback|abandon",
        does: Does::Build,
    },
    Service {
        names: "defaults",
        valued: "",
        bad: "",
        looks: "read|domains|find|read-type|help",
        destroys: "delete",
        does: Does::Control,
    },
    Service {
        names: "pmset scutil networksetup systemsetup spctl tmutil dscl csrutil nvram",
        valued: "",
        bad: "",
        looks: "-g|--get|--dns|--proxy|-listallhardwareports|-listallnetworkservices|--status|status|listbackups|destinationinfo|latestbackup|-p|--nwi|-getdnsservers",
        destroys: "delete|-delete|-create|disable|-passwd|deletelocalsnapshots|-c|-append|-change",
        does: Does::System,
    },
    Service {
        names: "selinux semanage setsebool restorecon chcon setenforce aa-complain aa-disable aa-enforce auditctl authconfig pam-auth-update",
        valued: "",
        bad: "",
        looks: "fcontext -l|port -l|boolean -l|login -l|user -l|-l|-s",
        destroys: "0|Permissive|permissive",
        does: Does::System,
    },
    Service {
        names: "openssl",
        valued: "-in -inform -CAfile",
        bad: "-out -engine -provider -config -sign -passin -key -keyout -signkey -CAkey -provider-path -rand -writerand",
        looks: "version|x509|ciphers|list|dgst|asn1parse|crl|req|verify|errstr|md5|sha1|sha256|help",
        destroys: "",
        does: Does::Control,
    },
    Service {
        names: "redis-cli valkey-cli",
        valued: "-h -p -a -n",
        bad: "",
        looks: "",
        destroys: "flushall|flushdb|FLUSHALL|FLUSHDB|shutdown|SHUTDOWN|config|CONFIG|debug|DEBUG|del|DEL|script|SCRIPT|eval|EVAL",
        does: Does::Database,
    },
    Service {
        names: "psql mysql mariadb sqlite3 sqlite duckdb mongo mongosh mongod cqlsh clickhouse-client clickhouse sqlcmd isql pgcli mycli litecli usql influx cockroach mysqladmin pg_dump pg_dumpall mysqldump mongodump pg_restore mongorestore mysqlimport createdb createuser initdb pg_ctl pg_isready bq dynamodb rabbitmqctl rabbitmqadmin kafka-topics kafka-topics.sh kafka-console-consumer etcdctl consul vault nomad zkcli memcached-tool",
        valued: "",
        bad: "",
        looks: "",
        destroys: "drop|--clean|--drop|delete_queue|purge_queue|--delete|del --prefix|kv delete|secrets disable|operator *|job stop -purge|reset|force_reset|flushdb",
        does: Does::Database,
    },
];

fn service(program: &str) -> Option<&'static Service> {
    TABLE.iter().find(|service| service.names.split_ascii_whitespace().any(|name| name == program))
}

/// Whether the table has it.
pub fn is_known(program: &str) -> bool {
    service(program).is_some()
}

/// Reads a command of such a program; false if it is none.
pub fn read(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    let Some(service) = service(program) else { return false };
    let parsed = flags::parse(rest, service.valued);
    let path: Vec<&str> = parsed.operands.iter().map(|word| word.text.as_str()).collect();
    let all: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();

    let looks = service.looks.split('|').map(str::trim).any(|pattern| match pattern {
        "" => path.is_empty() && parsed.options.is_empty() && service.looks.starts_with('|'),
        pattern => looks_like(pattern, &path, rest),
    });
    if !looks {
        let mut destroys = service.destroys.split('|').map(str::trim).filter(|pattern| !pattern.is_empty());
        if let Some(pattern) = destroys.find(|pattern| matches(pattern, &path, rest)) {
            walk.danger(format!("{program} {} cannot be taken back", pattern.replace('*', "…")));
        }
    }
    if matches!(service.does, Does::Service) {
        containers(walk, program, rest, &path);
    }
    if matches!(service.does, Does::Database) {
        let text = all.join(" ");
        if let Some(danger) = scripts::sql_danger(&text) {
            walk.danger(danger);
        }
        rest.iter().filter(|word| word.known && super::paths::is_secret(&word.text)).for_each(|word| walk.reads(word));
    }
    if matches!(service.does, Does::Cloud) {
        let deletes =
            all.windows(2).any(|pair| matches!(pair[0], "-X" | "--method") && pair[1].eq_ignore_ascii_case("delete"));
        if deletes {
            walk.danger("it deletes something on another machine");
        }
        rest.iter().filter(|word| word.known && super::paths::is_secret(&word.text)).for_each(|word| walk.reads(word));
        if all.iter().any(|word| {
            word.contains("secret") || matches!(*word, "token" | "print-access-token" | "get-session-token")
        }) {
            walk.secret(format!("{program} shows or sets a secret"));
        }
    }

    // `logs -f` goes on as more comes; elsewhere `-f` names a file.
    let follows = |word: &&Word| word.text == "-f" && path.first() == Some(&"logs");
    let bad = rest.iter().find(|word| is_one_of(word, service.bad, service.valued) && !follows(word));
    // Several commands in one.
    if rest.iter().any(|word| word.text.contains(';')) && program == "tmux" {
        walk.vague("tmux gets several commands");
    }
    let may_be_bad = parsed.uncertain && !service.bad.is_empty();
    if looks {
        if let Some(bad) = bad {
            walk.vague(format!("{program} {} does more than look", bad.text));
        }
        if may_be_bad {
            walk.vague(format!("a word may turn out to be an option of {program}"));
        }
        let tells = |word: &&str| {
            ["secret", "_auth", "token", "password"].iter().any(|part| word.to_lowercase().contains(part))
        };
        if path.iter().skip(1).any(tells) {
            walk.secret(format!("{program} shows secrets"));
        }
        if program == "openssl" {
            let verb = path.first().copied().unwrap_or("");
            if matches!(verb, "x509" | "req" | "crl") && !all.contains(&"-noout") {
                walk.vague("openssl writes what it reads anew");
            }
            walk.flow.decoded = true;
            rest.iter().for_each(|word| walk.reads(word));
        }
        return true;
    }
    if program == "openssl" {
        walk.flow.decoded = true;
        if let Some("s_client" | "s_server" | "s_time" | "ocsp") = path.first().copied() {
            walk.network("openssl talks to another machine", None, true);
        }
    }
    acts::does(walk, service.does, program, rest);
    true
}

/// Whether the words begin as the pattern says. A `*` stands for any word, or for the rest of one.
fn matches(pattern: &str, path: &[&str], rest: &[Word]) -> bool {
    let mut at = 0;
    for part in pattern.split_ascii_whitespace() {
        if part.starts_with('-') {
            let given = rest.iter().any(|word| {
                is_one_of(word, part, "")
                    && (part.starts_with("--") || word.text == part || !word.text.starts_with("--"))
            });
            if !given {
                return false;
            }
            continue;
        }
        let Some(word) = path.get(at) else { return false };
        at += 1;
        let same = match (part.strip_suffix('*'), part.strip_prefix('*')) {
            _ if part == "*" => true,
            (Some(begin), _) => word.starts_with(begin),
            (_, Some(end)) => word.ends_with(end),
            _ => word.eq_ignore_ascii_case(part),
        };
        if !same {
            return false;
        }
    }
    true
}

/// The same for looking, where the first word may be an option: `brew --prefix`.
fn looks_like(pattern: &str, path: &[&str], rest: &[Word]) -> bool {
    let first = pattern.split_ascii_whitespace().next().unwrap_or("");
    if first.starts_with('-') {
        return rest
            .first()
            .is_some_and(|word| word.known && (word.text == first || word.text.starts_with(&format!("{first}="))))
            && path.len() <= 1;
    }
    matches(pattern, path, rest) && rest.iter().take(path.len().min(1)).all(|word| word.known)
}

/// What containers and clusters are told to run, and what of this machine they get.
fn containers(walk: &mut Walk, program: &str, rest: &[Word], path: &[&str]) {
    let mounts_root = rest.iter().any(|word| {
        word.text.starts_with("/:/")
            || word.text.contains("=/:/")
            || word.text.contains("docker.sock")
            || word.text.contains("source=/,")
    });
    if mounts_root {
        walk.danger(format!("{program} gives a container the whole machine"));
    }
    let runs = matches!(path.first(), Some(&("exec" | "run" | "debug")))
        || matches!(path.get(..2), Some(["compose", "exec" | "run"]));
    if runs {
        for (at, word) in rest.iter().enumerate().skip(1) {
            let name = word.text.rsplit('/').next().unwrap_or("");
            if acts::destroys(name) && word.known {
                let inner: Vec<&str> = rest[at..].iter().map(|word| word.text.as_str()).collect();
                walk.line(&super::join(&inner));
                return;
            }
            if super::interpreters::is_shell(name)
                && let Some(line) =
                    rest.get(at + 2).filter(|_| rest.get(at + 1).is_some_and(|flag| flag.text.ends_with('c')))
            {
                walk.line(&line.text);
                return;
            }
        }
    }
}
