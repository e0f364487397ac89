//! What a command does, by its program: wrappers are taken off, the tables are asked, and what neither knows is not
//! understood.

use super::{
    acts, flags, git, interpreters,
    reads::{self, Operands},
    scripts, services,
    walk::{Walk, may_set},
    word::{UNKNOWN, Word},
};
use crate::core::decide::effects::{Action, Reversible, Touched};

/// Folders whose programs are the ones their names say.
const TRUSTED: &[&str] =
    &["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

/// Reads one command.
pub fn command(walk: &mut Walk, words: &[Word]) {
    let Some((first, rest)) = words.split_first() else { return };
    let name = match first.value() {
        Some(name) => name,
        None => {
            walk.vague(format!("which program `{}` is, is known only when it runs", first.text));
            if walk.words_flow.network || walk.words_flow.decoded {
                walk.danger("it runs what comes over the network or out of a decoder");
            }
            // What a variable or a pattern holds in this very line may be enough to see harm.
            let parts: Vec<Word> =
                first.text.split_whitespace().map(Word::literal).chain(rest.iter().cloned()).collect();
            if parts.first().is_some_and(|part| !part.text.contains('…'))
                && parts.len() > 1
                && first.text != parts[0].text
            {
                command(walk, &parts);
            } else {
                destroys_inside(walk, rest);
            }
            return;
        }
    };
    if !first.plain {
        walk.vague("the program's name is written so that it is hard to see");
    }
    let program = match name.rsplit_once('/') {
        None => name,
        Some((folder, program)) if TRUSTED.contains(&folder) => program,
        Some((_, program)) => {
            walk.exec(format!("runs the file {name}"));
            if walk.fetched {
                walk.danger("it runs what was fetched just before");
            }
            for word in rest {
                walk.reads(word);
            }
            if acts::is_known(program) || reads::looks(program).is_some() {
                // A file of that name elsewhere is another program.
                walk.note(format!("{name} is not the {program} of the system"));
            }
            return destroys_inside(walk, rest);
        }
    };
    named(walk, program, rest);
}

/// Reads a command whose program is known by name.
pub fn named(walk: &mut Walk, program: &str, rest: &[Word]) {
    walk.inside(|walk| of_name(walk, program, rest));
}

fn of_name(walk: &mut Walk, program: &str, rest: &[Word]) {
    if let [only] = rest
        && (matches!(only.text.as_str(), "--help" | "--version")
            || only.text == "-version" && program.starts_with("java"))
        && is_known(program)
    {
        return;
    }
    if acts::wrapper(walk, program, rest)
        || interpreters::read(walk, program, rest)
        || special(walk, program, rest)
        || services::read(walk, program, rest)
        || acts::read(walk, program, rest)
        || looks(walk, program, rest)
    {
        return;
    }
    walk.vague(format!("the program {program} is not known here"));
    for word in rest {
        if word.known && super::paths::is_secret(&word.text) {
            walk.reads(word);
        }
    }
    destroys_inside(walk, rest);
}

/// Whether some table has the program.
fn is_known(program: &str) -> bool {
    acts::is_known(program)
        || services::is_known(program)
        || interpreters::is_known(program)
        || reads::looks(program).is_some()
        || matches!(
            program,
            "git"
                | "find"
                | "sed"
                | "awk"
                | "gawk"
                | "mawk"
                | "tar"
                | "xargs"
                | "env"
                | "sudo"
                | "cc"
                | "gcc"
                | "clang"
                | "rustc"
        )
}

/// A program nobody knows may start the rest of its words: where they would destroy, that is said.
fn destroys_inside(walk: &mut Walk, rest: &[Word]) {
    if walk.danger.is_some() {
        return;
    }
    for (at, word) in rest.iter().enumerate() {
        let Some(name) = word.value().map(|text| text.rsplit('/').next().unwrap_or(text)) else { continue };
        if acts::destroys(name) {
            let vague = walk.vague;
            named(walk, name, &rest[at + 1..]);
            walk.vague |= vague;
            return;
        }
    }
}

/// Programs with a language of their own for what they may do.
fn special(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    match program {
        "git" => git::read(walk, rest),
        "find" | "gfind" => find(walk, rest),
        "sed" | "gsed" => sed(walk, rest),
        "awk" | "gawk" | "mawk" | "nawk" => awk(walk, rest),
        "tar" | "gtar" | "bsdtar" => tar(walk, rest),
        "ip" => ip(walk, rest),
        "uniq" | "xxd" => {
            let valued = match program {
                "uniq" => "-f -s -w --skip-fields --skip-chars --check-chars",
                _ => "-l -s -c -g -o -len -seek -cols",
            };
            let parsed = flags::parse(rest, valued);
            walk.flow.decoded |= program == "xxd";
            if parsed.operands.len() > 1 {
                walk.writes(parsed.operands[1]);
            }
            return looks(walk, program, rest);
        }
        "date" => {
            let parsed = flags::parse(rest, "-d --date -r --reference -f -I");
            if parsed.operands.iter().any(|word| !word.prefix().starts_with('+')) {
                walk.effect("sets the clock", Action::Control, Touched::Privilege, Reversible::Compensable);
            }
            return looks(walk, program, rest);
        }
        "ps" => {
            // `ps e` shows the environment of every process.
            let bsd = |word: &&Word| !word.text.starts_with('-') && word.text.contains('e') && word.text.len() < 8;
            if rest.first().filter(bsd).is_some_and(|word| word.text.bytes().all(|byte| byte.is_ascii_alphabetic())) {
                walk.secret("shows the environment of processes");
            }
            return looks(walk, program, rest);
        }
        "sysctl" => {
            let parsed = flags::parse(rest, "-r --pattern");
            let sets = parsed.any("-w --write -p --load -f --system", "")
                || parsed.operands.iter().any(|word| word.text.contains('='));
            if sets || parsed.uncertain {
                walk.effect(
                    "changes a setting of the kernel",
                    Action::Privilege,
                    Touched::Privilege,
                    Reversible::Compensable,
                );
            }
        }
        "stty" => return only(rest, "-a -g --all --save size speed"),
        "mount" | "hostname" | "route" | "ulimit" => {
            let shows = rest.iter().all(|word| {
                word.known && (word.text.starts_with('-') || matches!(word.text.as_str(), "size" | "speed"))
            });
            if !shows || (program == "mount" && rest.iter().any(|word| word.text != "-l")) {
                return false;
            }
            return looks(walk, program, rest);
        }
        "ifconfig" => {
            if rest.iter().filter(|word| !word.text.starts_with('-')).count() > 1
                || rest.iter().any(|word| !word.known && word.splits)
            {
                walk.effect(
                    "changes the network of this machine",
                    Action::Control,
                    Touched::Privilege,
                    Reversible::Compensable,
                );
            }
        }
        "jq" | "yq" | "gojq" | "xq" => {
            let reads_environment = |word: &&Word| {
                let words = word.text.split(|char: char| !char.is_alphanumeric() && char != '$' && char != '_');
                words
                    .into_iter()
                    .any(|part| matches!(part, "env" | "$ENV" | "strenv" | "envsubst" | "load" | "load_str" | "system"))
            };
            let parsed = flags::parse(rest, "-f --from-file --indent -L -o -p --arg --argjson --slurpfile --rawfile");
            if parsed.operands.first().is_some_and(|filter| !filter.known) {
                walk.vague(format!("what {program} shows is known only when it runs"));
            }
            if rest.iter().any(|word| reads_environment(&word)) {
                walk.secret("shows variables of the environment");
            }
            return looks(walk, program, rest);
        }
        "unzip" => {
            let parsed = flags::parse(rest, "-d -x -P");
            let lists = parsed.any("-l -v -Z", "-d -P") && !parsed.any("-o -d -x -u -f -n", "");
            if !lists {
                return false;
            }
            parsed.operands.iter().for_each(|word| walk.reads(word));
        }
        "gzip" | "xz" | "bzip2" | "zstd" | "lz4" => {
            let parsed = flags::parse(rest, "-S -T --suffix --threads");
            if parsed.any("-d --decompress", "-S")
                || matches!(parsed.options.first().map(|word| word.text.as_str()), Some("-dc" | "-cd"))
            {
                walk.flow.decoded = true;
            }
            let prints =
                parsed.any("-l --list -t --test -c --stdout --to-stdout", "-S -T") || parsed.operands.is_empty();
            if !prints || parsed.uncertain {
                return false;
            }
            parsed.operands.iter().for_each(|word| walk.reads(word));
        }
        "base64" | "base32" | "basenc" | "uudecode" | "openssl" | "zcat" | "gunzip" | "gzcat" | "bzcat" | "xzcat" => {
            walk.flow.decoded = true;
            return program != "openssl" && looks(walk, program, rest);
        }
        "echo" | "printf" => {
            let words: Option<Vec<&str>> = rest.iter().map(Word::value).collect();
            walk.flow.text = words.map(|words| {
                let words = words.into_iter().filter(|word| !matches!(*word, "-n" | "-e" | "-E" | "-en" | "-ne"));
                words.collect::<Vec<_>>().join(" ")
            });
            return looks(walk, program, rest);
        }
        // The grammar takes them for names where a shell would not.
        "then" | "do" | "done" | "fi" | "else" | "elif" | "esac" | "in" | "if" | "for" | "while" | "until" | "case"
        | "function" | "select" | "coproc" | "{" | "}" | "[[" | "]]" | "!" => {
            walk.vague(format!("`{program}` stands where a command should"))
        }
        "cd" | "pushd" => {
            let operand = rest.iter().find(|word| !matches!(word.text.as_str(), "-L" | "-P" | "--"));
            let home = Word::literal("~");
            let target = operand.unwrap_or(&home);
            walk.cwd = if target.text == "-" { None } else { walk.path(target) };
            walk.moved = true;
        }
        "popd" => {
            walk.cwd = None;
            walk.moved = true;
        }
        "command" | "type" | "hash" if first_is(rest, "-v -V -a -t") => {}
        "exit" | "return" => {}
        "set" => {
            return !rest.is_empty() && only(rest, "-e -u -x -o pipefail -eu -euo -ex -euxo errexit nounset +e +x");
        }
        "history" if rest.iter().all(|word| word.known && word.text.bytes().all(|byte| byte.is_ascii_digit())) => {}
        "history" => {
            if rest.iter().any(|word| word.text.starts_with("-c") || word.text.starts_with("-d")) {
                walk.danger("it wipes the history of commands");
            }
            return false;
        }
        "kill" => return first_is(rest, "-l -L --list --table"),
        "hdparm" => return !rest.is_empty() && only(rest, "-I -i -g /dev/"),
        "fdisk" | "sfdisk" | "parted" | "gdisk" | "sgdisk" => {
            let lists = rest.iter().any(|word| matches!(word.text.as_str(), "-l" | "--list" | "print" | "-p"));
            return lists && only(rest, "-l --list print -s -x -p /dev/");
        }
        "mdadm" => return first_is(rest, "--detail -D --examine -E -Q --query"),
        "iptables-save" | "ip6tables-save" => return rest.is_empty(),
        "tune2fs" | "chage" => return first_is(rest, "-l"),
        "iptables" | "ip6tables" | "ebtables" => {
            let lists = rest.iter().any(|word| flags::is_one_of(word, "-L -S --list --list-rules", "-t"));
            let changes = "-A -D -I -R -F -X -P -N -E -Z --append --delete --insert --flush --policy --zero";
            return lists && !rest.iter().any(|word| flags::is_one_of(word, changes, "-t"));
        }
        "crontab" => {
            return rest.iter().any(|word| word.text == "-l")
                && !rest.iter().any(|word| flags::is_one_of(word, "-e -r -i", "-u"));
        }
        "ssh-keygen" => return first_is(rest, "-l -lf -lv -lvf -B"),
        "ssh-add" => return !rest.is_empty() && only(rest, "-l -L"),
        "gpg" | "gpg2" => {
            let lists = "--list-keys -k --list-public-keys --fingerprint --list-sigs --list-secret-keys -K";
            let more = |word: &Word| {
                ["--export", "--delete", "--output", "-o", "--edit", "--recv", "--send", "--search", "--refresh"]
                    .iter()
                    .any(|part| word.text.starts_with(part))
            };
            return first_is(rest, lists) && !rest.iter().any(more);
        }
        "screen" => return !rest.is_empty() && only(rest, "-ls -list"),
        "at" => return !rest.is_empty() && only(rest, "-l"),
        // The table of passwords is one of those it can show.
        "getent" if first_is(rest, "shadow gshadow") => walk.secret("shows the hashes of passwords"),
        "jobs" => return rest.iter().all(|word| word.known && !word.text.contains('x')),
        // A name is also a place in an array, whose index is computed.
        "test" if rest.iter().any(|word| matches!(word.text.as_str(), "-v" | "-R") || word.text.contains("$(")) => {
            walk.vague("an index that is computed");
        }
        "read" | "mapfile" | "readarray" => {
            let parsed = flags::parse(rest, "-p -d -n -t -u -N -i -a -c -C -O -s");
            let named = parsed
                .operands
                .iter()
                .chain(parsed.values.iter().filter(|(option, _)| *option == "-a").map(|(_, word)| word));
            let mut names = named.map(|word| word.value().unwrap_or("…"));
            if parsed.any("-C", "")
                || !names
                    .all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && may_set(name))
            {
                return false;
            }
        }
        "less" | "more" | "most" => {
            // `+` gives a command to the pager; one that starts a shell is `!` or `|`.
            let moves =
                |text: &str| text == "+F" || text == "+G" || text[1..].bytes().all(|byte| byte.is_ascii_digit());
            if rest.iter().any(|word| word.text.starts_with('+') && !moves(&word.text) && !word.text.starts_with("+/"))
            {
                walk.vague(format!("{program} gets a command of its own"));
            }
            return looks(walk, program, rest);
        }
        "nvidia-smi" => {
            let shows = [
                "-q",
                "-L",
                "-l",
                "-i",
                "-d",
                "--query",
                "--format",
                "--list",
                "--loop",
                "--display",
                "topo",
                "dmon",
                "pmon",
            ];
            let fine = |word: &Word| {
                word.known
                    && (!word.text.starts_with('-')
                        || shows.iter().any(|one| word.text == *one || one.len() > 2 && word.text.starts_with(one)))
            };
            return rest.iter().all(fine);
        }
        "7z" | "7za" | "7zr" | "rar" | "unrar" | "ar" | "cpio" | "lha" => {
            let first = rest.first().map_or("", |word| word.text.as_str());
            if !matches!(first, "l" | "t" | "lb" | "lt" | "v" | "vb" | "vt" | "-t" | "-it" | "-tv" | "tv") {
                return false;
            }
            rest[1..].iter().for_each(|word| walk.reads(word));
        }
        "alias" => return rest.iter().all(|word| word.known && !word.text.contains('=')),
        "pacman" => {
            let queries = |word: &Word| {
                word.text.starts_with("-Q")
                    || matches!(word.text.as_str(), "-Ss" | "-Si" | "-Sl" | "-Sg" | "-F" | "-Fl")
            };
            return rest.first().is_some_and(|word| word.known && queries(word) && !word.text.contains('y'));
        }
        "dpkg" => {
            return first_is(
                rest,
                "-l -L -s -S -p -I -c --list --listfiles --status --search --get-selections --info --contents \
                 --print-architecture --audit -C --print-avail --print-foreign-architectures -V --verify",
            );
        }
        "rpm" => {
            let query = rest.first().is_some_and(|word| {
                word.known
                    && (word.text.starts_with("-q") || word.text == "--query" || word.text == "-V" || word.text == "-K")
            });
            let more = rest.iter().any(|word| {
                let text = word.text.as_str();
                text.contains("eval")
                    || text.contains("pipe")
                    || text.contains("define")
                    || text.contains("load")
                    || text.contains("://")
                    || text.contains("%(")
            });
            if !query || more {
                return false;
            }
        }
        "vim" | "vi" | "nvim" | "view" | "ex" | "emacs" | "ed" => {
            if rest.iter().any(|word| {
                word.text.contains(":!")
                    || word.text.starts_with("+!")
                    || word.text.starts_with('!')
                    || word.text.contains("shell")
                    || word.text.contains("system(")
            }) {
                walk.danger("it opens a shell from inside an editor");
            }
            return false;
        }
        _ => return false,
    }
    true
}

/// The path that an option has in it: `--directory=/x`, `-C/x`.
pub fn joined_path(option: &Word) -> Option<Word> {
    let at = match option.text.split_once('=') {
        Some((name, _)) => name.len() + 1,
        None => option.text.find(['/', '~', '.'])?,
    };
    let text = option.text[at..].to_owned();
    let path = text.contains(['/', '~']) || text.starts_with('.') || !option.known;
    path.then(|| Word { certain: option.certain.saturating_sub(at).min(text.len()), text, ..option.clone() })
}

/// Whether the first word is one of these.
fn first_is(rest: &[Word], these: &str) -> bool {
    rest.first().is_some_and(|word| word.known && these.split_ascii_whitespace().any(|one| one == word.text))
}

/// Whether every word is one of these; what ends in a slash stands for everything below.
fn only(rest: &[Word], these: &str) -> bool {
    let one_of = |text: &str| {
        these.split_ascii_whitespace().any(|one| one == text || one.ends_with('/') && text.starts_with(one))
    };
    rest.iter().all(|word| word.known && one_of(&word.text))
}

/// A program of the table that only looks.
pub fn looks(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    let Some(looks) = reads::looks(program) else { return false };
    let parsed = flags::parse(rest, looks.valued);
    if let Some(bad) = parsed.options.iter().find(|word| flags::is_one_of(word, looks.bad, looks.valued)) {
        walk.vague(format!("{program} {} does more than look", bad.text));
    }
    if parsed.uncertain && !looks.bad.is_empty() {
        walk.vague(format!("a word may turn out to be an option of {program}"));
    }
    // An option's own value may be a file, too.
    let files: Vec<&Word> = match looks.operands {
        Operands::Files => parsed.operands,
        Operands::Rest => {
            let pattern =
                parsed.values.iter().any(|(option, _)| matches!(*option, "-e" | "--regexp" | "-f" | "--from-file"));
            parsed.operands.into_iter().skip(usize::from(!pattern)).collect()
        }
        Operands::Text => Vec::new(),
        Operands::None if parsed.operands.is_empty() => Vec::new(),
        Operands::None => return false,
    };
    for word in files {
        if word.text != "-" {
            walk.reads(word);
        }
    }
    for (_, value) in parsed.values {
        if value.known && super::paths::is_secret(&value.text) {
            walk.reads(value);
        }
    }
    true
}

/// Tests and actions of `find` that only look; those that take a word are marked.
const FIND_TESTS: &str = "-print -print0 -ls -prune -quit -depth -d -mount -xdev -daystart -empty -readable -writable \
    -executable -nouser -nogroup -true -false -not -and -or -a -o -follow -noleaf -nowarn -warn \
    -ignore_readdir_race -help -H -L -P -E -X -x -s ! ( ) ,";
const FIND_VALUED: &str = "-name -iname -path -ipath -wholename -iwholename -regex -iregex -lname -ilname -type -xtype -size \
    -mtime -mmin -atime -amin -ctime -cmin -newer -anewer -cnewer -newermt -newerct -perm -user -group -uid -gid -inum \
    -links -samefile -maxdepth -mindepth -regextype -printf -used -fstype -context -D -Btime -flags -mnewer -files0-from -f";

fn find(walk: &mut Walk, rest: &[Word]) {
    let is_test = |word: &Word| word.text.starts_with('-') || matches!(word.text.as_str(), "!" | "(" | ")" | ",");
    let flags = rest.iter().take_while(|word| {
        matches!(word.text.as_str(), "-H" | "-L" | "-P" | "-E" | "-X" | "-s" | "-x") || word.text.starts_with("-O")
    });
    let begin = flags.count();
    let starts: Vec<Word> = rest[begin..].iter().take_while(|word| !is_test(word)).cloned().collect();
    for word in &starts {
        if word.may_be_option() {
            walk.vague("a word may turn out to be an action of find");
        }
        walk.reads(word);
    }
    let mut at = begin + starts.len();
    let starts = if starts.is_empty() { vec![Word::literal(".")] } else { starts };
    while at < rest.len() {
        let text = rest[at].text.as_str();
        at += 1;
        if FIND_TESTS.split_ascii_whitespace().any(|known| known == text) {
        } else if FIND_VALUED.split_ascii_whitespace().any(|known| known == text) || text.starts_with("-newer") {
            if rest.get(at).is_some_and(|value| {
                value.splits && (value.text.contains(UNKNOWN) || value.text.ends_with(['*', '?', ']']))
            }) {
                walk.vague("a word may turn out to be an action of find");
            }
            at += 1;
        } else if text == "-delete" {
            starts.iter().for_each(|start| walk.deletes(&found_below(start)));
        } else if matches!(text, "-exec" | "-execdir" | "-ok" | "-okdir") {
            let length =
                rest[at..].iter().position(|word| matches!(word.text.as_str(), ";" | "+")).unwrap_or(rest.len() - at);
            let inner = &rest[at..at + length];
            at += length + 1;
            let program = inner.first().map_or("", |word| word.text.rsplit('/').next().unwrap_or(""));
            if interpreters::is_shell(program) && inner.len() == 1 {
                walk.danger("it opens a shell from inside find");
            }
            if text != "-exec" {
                walk.vague(format!("{text} runs a command in folders that are not known yet"));
            }
            if starts.len() > 5 {
                walk.vague("find starts in many places");
            }
            for start in starts.iter().take(5) {
                let filled = |word: &Word| if word.text.contains("{}") { found_below(start) } else { word.clone() };
                let inner: Vec<Word> = inner.iter().map(filled).collect();
                command(walk, &inner);
            }
        } else if text.starts_with("-fprint") || text == "-fls" {
            if let Some(target) = rest.get(at) {
                walk.writes(target);
                at += 1 + usize::from(text == "-fprintf");
            }
        } else {
            // Some write operands behind tests; `find` itself refuses them.
            walk.vague(format!("`{text}` is not a test of find that is known here"));
        }
    }
}

/// What `{}` stands for: something below where the search began.
fn found_below(start: &Word) -> Word {
    if !start.known || start.text.starts_with('-') {
        return Word::unknown();
    }
    let mut word = Word::literal(start.text.trim_end_matches('/'));
    word.push("/");
    word.push_unknown(false);
    word
}

fn sed(walk: &mut Walk, rest: &[Word]) {
    let valued = "-e -f -l -E- --expression --file --line-length";
    let parsed = flags::parse(rest, valued);
    let in_place = parsed.options.iter().any(|word| {
        word.text.starts_with("-i")
            || word.text.starts_with("--in-place")
            || word.text.starts_with("-I")
            || flags::is_one_of(word, "-i", "-e -f -l")
    });
    if parsed.any("-f --file", "-e -l") {
        walk.exec("runs a sed script from a file");
    }
    let given: Vec<&Word> = parsed
        .values
        .iter()
        .filter(|(option, _)| matches!(*option, "-e" | "--expression"))
        .map(|(_, word)| *word)
        .collect();
    let joined = parsed.options.iter().filter_map(|word| word.text.strip_prefix("--expression="));
    let joined: Vec<String> = joined.map(str::to_owned).collect();
    let has_script = !given.is_empty() || !joined.is_empty() || parsed.any("-f --file", "-e -l");
    let (script, files) = match has_script {
        true => (None, parsed.operands.as_slice()),
        false => (parsed.operands.first().copied(), parsed.operands.get(1..).unwrap_or_default()),
    };
    for script in given.into_iter().chain(script) {
        match script.known {
            true if scripts::sed_only_edits(&script.text) => {}
            true => walk.exec("runs a sed script that writes files or runs commands"),
            false => walk.vague("the sed script is known only when it runs"),
        }
    }
    for script in joined {
        if !scripts::sed_only_edits(&script) {
            walk.exec("runs a sed script that writes files or runs commands");
        }
    }
    if parsed.uncertain {
        walk.vague("a word may turn out to be an option of sed");
    }
    for word in files {
        if in_place { walk.writes(word) } else { walk.reads(word) }
    }
}

fn awk(walk: &mut Walk, rest: &[Word]) {
    let valued = "-F -v -f --field-separator --assign --file";
    let mut parsed = flags::parse(rest, valued);
    let other = parsed.options.iter().find(|word| {
        !(word.text.starts_with("-F")
            || word.text.starts_with("-v")
            || word.text.starts_with("--field-separator")
            || word.text.starts_with("--assign"))
    });
    if let Some(other) = other {
        walk.vague(format!("awk {} is not followed", other.text));
    }
    if parsed.operands.is_empty() {
        return;
    }
    let program = parsed.operands.remove(0);
    match program.known {
        true if scripts::awk_only_prints(&program.text) => {}
        true => {
            walk.exec("runs an awk program that starts commands or writes files");
            for quoted in program.text.split('"').skip(1).step_by(2) {
                if program.text.contains("system") || program.text.contains('|') {
                    shell_inside(walk, quoted, "awk");
                }
            }
        }
        false => walk.vague("the awk program is known only when it runs"),
    }
    if parsed.operands.iter().any(|word| word.may_be_option()) && parsed.uncertain {
        // Behind the program nothing is an option.
        parsed.uncertain = false;
    }
    for word in parsed.operands {
        walk.reads(word);
    }
}

/// A text that another program hands to a shell: looked through for danger.
pub fn shell_inside(walk: &mut Walk, text: &str, by: &str) {
    let first = text.split_whitespace().next().unwrap_or("");
    if interpreters::is_shell(first.rsplit('/').next().unwrap_or("")) && !text.contains(" -c") {
        walk.danger(format!("it opens a shell from inside {by}"));
    }
    walk.line(text);
}

fn tar(walk: &mut Walk, rest: &[Word]) {
    let valued = "-f -C -b -T -X -I -F -H -K -L -N -V -g --file --directory --files-from --exclude-from --exclude --strip-components";
    let runs =
        "--use-compress-program --checkpoint-action --to-command --info-script --new-volume-script --rsh-command -I -F";
    // The first word may be letters without a dash.
    let mut words = rest.to_vec();
    if let Some(first) = words.first_mut().filter(|first| first.known && !first.text.starts_with('-')) {
        *first = Word::literal(&format!("-{}", first.text));
    }
    let parsed = flags::parse(&words, valued);
    if parsed.any(runs, "-f -C -T -X -b") {
        walk.exec("tar runs a program that is given to it");
        if words.iter().any(|word| word.text.contains("exec=") && word.text.contains("sh")) {
            walk.danger("it opens a shell from inside tar");
        }
    }
    if parsed.any("--remove-files", "") {
        walk.danger("it removes the files that it packs");
    }
    let lists = parsed.any("-t --list", "-f -C -T -X")
        && !parsed.any("-x -c -r -u -A --extract --create --append --update --delete --get", "-f -C -T -X");
    let file = parsed.values.iter().find(|(option, _)| matches!(*option, "-f" | "--file")).map(|(_, word)| *word);
    if file.is_some_and(|file| file.text.contains(':')) {
        walk.network("tar asks another machine", None, true);
    }
    if parsed.uncertain {
        walk.vague("a word may turn out to be an option of tar");
    }
    if lists {
        if let Some(file) = file {
            walk.reads(file);
        }
        return;
    }
    if parsed.any("-c --create -r -u --append --update", "-f -C -T -X") {
        for word in &parsed.operands {
            walk.reads(word);
        }
        match file {
            Some(file) if file.text != "-" => walk.writes(file),
            _ => {}
        }
        return;
    }
    walk.flow.decoded = true;
    let folder =
        parsed.values.iter().find(|(option, _)| matches!(*option, "-C" | "--directory")).map(|(_, word)| *word);
    let joined = parsed.options.iter().find_map(|word| joined_path(word));
    match folder.or(joined.as_ref()) {
        Some(folder) => walk.writes(folder),
        None => walk.writes(&Word::literal("./…")),
    }
}

fn ip(walk: &mut Walk, rest: &[Word]) {
    let changes = |word: &Word| {
        matches!(
            word.text.as_str(),
            "add" | "a" if word.text == "add"
        ) || matches!(
            word.text.as_str(),
            "del"
                | "delete"
                | "set"
                | "change"
                | "replace"
                | "append"
                | "flush"
                | "exec"
                | "save"
                | "restore"
                | "attach"
                | "detach"
                | "up"
                | "down"
                | "-b"
                | "-batch"
                | "-force"
        ) || !word.known
    };
    if rest.iter().any(changes) {
        walk.effect(
            "changes the network of this machine",
            Action::Control,
            Touched::Privilege,
            Reversible::Compensable,
        );
    }
}
