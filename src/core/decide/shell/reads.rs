//! Programs that only look or print, with the flags that make each of them do more. Everything is a table: a program
//! that is not here is not known to be harmless.

/// What a program's operands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// Files that are looked at.
    Files,
    /// The first is no file (a pattern, a filter), the others are.
    Rest,
    /// Not files.
    Text,
    /// There must be none.
    None,
}

/// One program that looks.
#[derive(Debug)]
pub struct Looks {
    /// Flags that make it do more; long ones also by any beginning.
    pub bad: &'static str,
    /// Flags that take the next word.
    pub valued: &'static str,
    /// What its operands are.
    pub operands: Operands,
}

/// Names, flags that do more, flags with a value, operands.
type Row = (&'static str, &'static str, &'static str, Operands);

use Operands::{Files, None as Nothing, Rest, Text};

const TABLE: &[Row] = &[
    (
        "cat tac nl rev wc paste join comm fold expand unexpand pr cksum md5sum md5 sha1sum sha224sum sha256sum sha384sum \
      sha512sum shasum b2sum sum hexdump hd od cmp diff3 colordiff wdiff zcat bzcat xzcat lzcat zstdcat gzcat \
      zless zmore bzless xzless zdiff zcmp tsort readelf dir vdir ls lsattr getfacl namei \
      fmt column colrm ul look mediainfo pdfinfo pdffonts fincore",
        "",
        "",
        Files,
    ),
    ("head tail", "", "-n -c -s --lines --bytes --pid --sleep-interval", Files),
    ("nm size strings objdump", "--plugin --target-help", "-j -M -b -m -n -t -f", Files),
    ("pidstat", "-e", "-p -C -G -T -U", Text),
    ("sensors", "-s --set -c --config-file", "", Text),
    ("lastlog", "-C --clear -S --set -R --root", "-u -t -b", Text),
    ("apt-cache", "-o --option -c --config-file -g --generate gencaches", "", Text),
    ("arch", "", "", Nothing),
    ("cut", "", "-d -f -c -b --delimiter --fields --characters --bytes --output-delimiter", Files),
    ("diff", "", "-I -x -X -U -C -W --label --exclude", Files),
    (
        "grep egrep fgrep zgrep zegrep zfgrep bzgrep xzgrep",
        "",
        "-e -m -A -B -C -d -D --include --exclude \
      --exclude-dir --regexp --max-count --color --colour",
        Rest,
    ),
    (
        "rg ripgrep",
        "--pre --hostname-bin -z --search-zip",
        "-e -g -t -T -m -A -B -C -d -j -r -M --glob --type --regexp \
      --max-count --sort --max-depth --iglob --replace",
        Rest,
    ),
    ("ag ack ack-grep", "--pager --ackrc", "-A -B -C -G -m", Rest),
    ("fd fdfind", "-x --exec -X --exec-batch", "-e -t -d -E -S -c --extension --type --max-depth --exclude", Text),
    ("locate mlocate plocate", "", "-n -l -d", Text),
    (
        "sort",
        "-o --output --compress-program -T --temporary-directory",
        "-k -t -S --key --field-separator \
      --buffer-size --parallel --batch-size --sort --files0-from",
        Files,
    ),
    ("tree", "-o -R", "-L -P -I --filelimit --charset --sort --timefmt", Files),
    ("du", "", "-d -B -t -X --max-depth --exclude --threshold", Files),
    ("df", "", "-B -t -x --type --exclude-type", Files),
    (
        "stat readlink realpath file",
        "-C --compile -m --magic-file -z --uncompress -Z --uncompress-noreport",
        "-c -f -t -F \
      --format --printf -e --relative-to --relative-base",
        Files,
    ),
    (
        "basename dirname seq expr factor numfmt echo true false : test yes sleep usleep pwd tput nproc uptime \
      whoami logname groups users who w tty getconf locale sw_vers vm_stat pathchk \
      ncal clear wait times dirs type which whereis whatis apropos getent lscpu lsblk lspci \
      lsusb lsmod lsns lslogins lsdev lsipc lsmem lslocks findmnt free vmstat iostat mpstat last  \
      lastb ps pstree pidof pwdx pmap pgrep sestatus getenforce getcap modinfo acpi cpuid \
      dpkg-architecture infocmp xwininfo xdpyinfo uuidgen biosdecode vpddecode \
      system_profiler ioreg kextstat atq runlevel lsinitramfs getsebool seinfo \
      iwgetid zipinfo netstat exit return break continue shift \
      lsb_release rev2 id caller",
        "",
        "",
        Text,
    ),
    ("top htop", "", "-d -n -p -u -U -o -w", Text),
    ("uname", "", "", Text),
    ("printf", "-v", "", Text),
    ("tr", "", "", Text),
    ("cal", "", "", Text),
    ("date", "-s --set", "-d --date -r --reference -f -I", Text),
    ("hostname", "-F --file -b --boot", "", Nothing),
    ("domainname dnsdomainname nisdomainname", "-F --file", "", Nothing),
    ("uniq", "", "-f -s -w --skip-fields --skip-chars --check-chars", Files),
    ("xxd", "-r --revert", "-l -s -c -g -o -b", Files),
    ("base64 base32 basenc", "-o --output", "-w -b -i --wrap", Files),
    ("jq gojq jaq", "", "-f --from-file --indent -L", Rest),
    ("yq", "-i --inplace -s --split-exp --in-place", "-o -p --output-format --input-format --indent", Rest),
    ("xq", "-i --in-place", "", Rest),
    (
        "xmllint",
        "--shell --output -o --load-trace --xinclude --catalogs --postvalid --valid --dtdvalid --schema",
        "--xpath \
      --encode --pattern",
        Files,
    ),
    (
        "bat batcat",
        "--pager --config-file --generate-config-file cache",
        "-l -r -H --language \
      --line-range --style --theme --paging --wrap --color --tabs --highlight-line",
        Files,
    ),
    (
        "less more most",
        "-o -O -k --log-file --LOG-FILE --lesskey-file --lesskey-src -T --tag-file",
        "-p -b -h -j -x -y -z",
        Files,
    ),
    (
        "man",
        "-P --pager -H --html -C --config-file -X --gxditview -T --troff -Z --ditroff -t -u --update",
        "-s -S -L -m \
      -M -e --sections --locale",
        Text,
    ),
    ("info", "-o --output --restore --dribble", "-n -f", Text),
    ("bc", "", "", Files),
    ("lsof", "", "-i -p -u -c -d -g", Text),
    ("ss", "-K --kill -D --diag -F --filter -N --net", "-f -A --family --query", Text),
    (
        "dmesg",
        "-c --read-clear -C --clear -D --console-off -E --console-on -n --console-level",
        "-l -f -F --level --facility --since --until",
        Text,
    ),
    (
        "journalctl",
        "--rotate --vacuum-size --vacuum-time --vacuum-files --flush --sync --relinquish-var --setup-keys \
      --update-catalog --smart-relinquish-var --cursor-file --root --image --verify-key",
        "-u -n -p -o -g -t -S -U --unit --lines --priority \
      --output --since --until --identifier --grep --facility",
        Text,
    ),
    ("blkid", "-c --cache-file -g --garbage-collect", "-o -s -t -L -U", Text),
    (
        "lvs pvs vgs lvdisplay pvdisplay vgdisplay",
        "--config --devicesfile --profile --commandprofile",
        "-o -O -S \
      --units --options --select --sort",
        Text,
    ),
    ("dumpe2fs xfs_info", "", "", Text),
    (
        "smartctl",
        "-s --set --smart -C --captive -t --test -X --abort -o --offlineauto -S --saveauto -B --drivedb",
        "-d -l -n --device --log",
        Text,
    ),
    ("mount", "", "-t -O", Nothing),
    ("mdfind mdls", "", "-onlyin -name", Text),
    ("dpkg-query", "--admindir --root --instdir", "-f --showformat", Text),
    ("ffprobe", "-o -report", "-v -i -show_entries -of -select_streams -print_format", Files),
    ("tokei scc", "-o --output --config", "-t -e -f --format", Files),
    ("exa eza lsd", "", "-L -I -s -t --level --sort", Files),
    ("dust duf procs", "", "-d -n", Text),
    ("vainfo glxinfo clinfo vulkaninfo", "-o --output", "", Text),
    ("arp", "-d -s -f --delete --set --file", "-i", Text),
    ("route", "", "", Nothing),
    ("iwconfig", "", "", Nothing),
    ("ifstat nstat", "", "-t", Text),
    ("lpstat lpq", "-h", "-p -o", Text),
    ("cd pushd popd", "", "", Text),
    ("ulimit", "", "", Nothing),
];

/// What is known about a program that looks.
pub fn looks(program: &str) -> Option<Looks> {
    let (_, bad, valued, operands) =
        TABLE.iter().find(|(names, ..)| names.split_ascii_whitespace().any(|name| name == program))?;
    Some(Looks { bad, valued, operands: *operands })
}
