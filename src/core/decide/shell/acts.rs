//! Programs that act: wrappers that start others, and what writes, removes, talks, stops or changes rights.

use super::{
    flags::{self, is_one_of},
    interpreters, programs, scripts,
    walk::Walk,
    word::{UNKNOWN, Word},
};
use crate::core::decide::effects::{Action, Reversible, Touched};

/// What a program does, in the large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Makes or changes the files that it is given.
    Writes,
    /// Removes the files that it is given.
    Deletes,
    /// Copies or moves: reads the first ones, writes the last.
    Copies,
    /// Compiles, tests, formats: runs the project's code.
    Build,
    /// Fetches packages and runs what they bring.
    Package,
    /// The same for the whole system.
    SystemPackage,
    /// Asks other machines.
    Network,
    /// Containers, clusters, infrastructure.
    Service,
    /// Somebody's cloud.
    Cloud,
    /// Data in a database.
    Database,
    /// Stops or changes running programs.
    Control,
    /// Changes the machine.
    System,
    /// Accounts and rights.
    Account,
    /// Raw devices and file systems.
    Device,
    /// Ends the machine.
    Power,
    /// Opens something for a person.
    Interactive,
}

/// Names, and what they do.
const TABLE: &[(&str, Does)] = &[
    (
        "touch mkdir mkfifo mknod mktemp tee chmod chgrp chown setfacl chattr patch split csplit truncate ln link gzip gunzip bzip2 bunzip2 \
      xz unxz zstd unzstd lz4 lzma compress uncompress zip unzip 7z 7za 7zr rar unrar ar cpio lha gpg gpg2 age sops iconv dos2unix unix2dos \
      convert magick mogrify ffmpeg sox exiftool pdftk qpdf gs ps2pdf pdftotext dot screencapture script rename prename mmv rmdir \
      fallocate msgfmt xgettext ctags cscope etags xsltproc sponge logrotate ssh-keygen gpgconf mkpasswd htpasswd keytool certtool \
      indent enscript a2ps groff troff nroff pic tbl tic localedef mandb updatedb ldconfig depmod genisoimage mkisofs xorriso \
      dd id3v2 lame flac oggenc cjpeg jpegoptim optipng pngquant gifsicle svgo tidy asciidoctor dtc objcopy strip ranlib \
      csvcut in2csv xlsx2csv hexedit gettext sqlitebrowser crontab at batch",
        Does::Writes,
    ),
    ("rm unlink shred srm wipe", Does::Deletes),
    ("cp mv install ditto", Does::Copies),
    (
        "curl wget aria2c axel http https httpie xh lynx w3m links elinks youtube-dl yt-dlp ping ping6 fping hping3 traceroute traceroute6 \
      tracepath mtr dig host nslookup drill whois nmap masscan nc ncat netcat socat telnet ftp lftp ncftp tftp sftp ssh scp rsync sshfs \
      autossh mosh ssh-copy-id ssh-keyscan rclone restic borg duplicity s3cmd mail mailx sendmail mutt msmtp swaks finger rsh rlogin rcp \
      iperf iperf3 ab wrk siege hey vegeta speedtest speedtest-cli tcpdump tshark wireshark dumpcap ngrep arping nping wscat websocat grpcurl \
      ngrok cloudflared tailscale zerotier-cli transmission-remote smbclient rpcclient ldapsearch snmpwalk snmpget irssi weechat sshuttle \
      ansible ansible-playbook fab salt puppet chef knife pssh parallel-ssh mussh dhclient dhcpcd ntpdate chronyc avahi-browse nbtscan \
      arp-scan bettercap aircrack-ng airodump-ng hydra nikto sqlmap gobuster ffuf wpscan openvpn wg-quick nmblookup",
        Does::Network,
    ),
    (
        "kill killall pkill xkill renice fuser skill snice tmux screen byobu zellij systemd-run logger wall write mesg notify-send \
      xdotool xclip xsel pbcopy pbpaste wl-copy wl-paste say amixer pactl pacmd alsamixer xset xinput setxkbmap gsettings dconf \
      xdg-open open xdg-mime xdg-settings feh mpv vlc mplayer cmus playerctl fg bg disown suspend trap alias unalias set shopt enable export \
      bind complete compgen hash umask let declare typeset local readonly unset getopts history fc watchman inotifywait entr \
      ssh-agent ssh-add gpg-agent dbus-send gdbus pass op bw keyring secret-tool security lpass lp lpr cancel lprm",
        Does::Control,
    ),
    (
        "sysctl mount umount swapon swapoff losetup modprobe iptables ip6tables ebtables nftables iptables-restore ifup ifdown ifconfig route \
      hwclock date hostname ulimit stty setterm loadkeys dmidecode iwconfig iwlist wpa_supplicant wpa_cli hciconfig update-grub grub-install \
      grub-mkconfig update-initramfs mkinitcpio dracut chkconfig update-rc.d rc-update sysv-rc-conf a2ensite a2dissite a2enmod nginx apachectl apache2ctl httpd \
      mdadm tune2fs resize2fs xfs_growfs lvcreate lvextend vgcreate vgextend pvcreate multipath iscsiadm quotaon edquota setquota cpupower tlp powertop \
      brightnessctl xbacklight kextload kextunload dtrace bpftrace bpftool e2fsck fsck xfs_repair ntfsfix \
      badblocks hdparm nvme sg_format debugfs exportfs showmount nfsstat",
        Does::System,
    ),
    (
        "useradd userdel usermod groupadd groupdel groupmod adduser deluser addgroup delgroup passwd chpasswd gpasswd chsh chfn vipw vigr visudo \
      newusers newgrp pwconv setcap sysadminctl chage faillock pam_tally2 smbpasswd kadmin kpasswd realm adcli insmod rmmod",
        Does::Account,
    ),
    (
        "mkfs mke2fs mkswap wipefs fdisk cfdisk sfdisk gdisk sgdisk parted partprobe gparted cryptsetup blkdiscard lvremove vgremove pvremove lvreduce \
      mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mkfs.fat mkfs.ntfs mkfs.f2fs mkfs.exfat mkfs.msdos newfs newfs_msdos mkntfs mkdosfs \
      ddrescue dcfldd flashrom gpart zerofree testdisk scrub nwipe",
        Does::Device,
    ),
    ("shutdown reboot halt poweroff init telinit pm-suspend pm-hibernate kexec", Does::Power),
    (
        "vim vi nvim view ex emacs emacsclient nano pico micro helix hx kak joe jed ed code subl atom gedit kate mcedit fzf sk peco dialog whiptail \
      mc ranger nnn lf vifm ncdu gitk tig lazygit lazydocker k9s sudoedit",
        Does::Interactive,
    ),
];

/// Whether the tables of this file have it.
pub fn is_known(program: &str) -> bool {
    of(program).is_some()
}

fn of(program: &str) -> Option<Does> {
    TABLE.iter().find(|(names, _)| names.split_ascii_whitespace().any(|name| name == program)).map(|(_, does)| *does)
}

/// Whether a program by itself destroys what it is given: worth looking for inside other commands.
pub fn destroys(program: &str) -> bool {
    matches!(of(program), Some(Does::Deletes | Does::Device | Does::Power | Does::Account))
        || program == "dd"
        || program.starts_with("mkfs.")
}

/// Takes a wrapper off and reads what it starts; false if it is none.
pub fn wrapper(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    let valued = match program {
        "nohup" | "setsid" | "command" | "builtin" | "nocorrect" | "noglob" | "unbuffer" | "chronic" | "time" => "",
        "exec" => "-a",
        "nice" => "-n --adjustment",
        "ionice" => "-c -n --class --classdata",
        "chrt" | "taskset" | "setpriv" | "catchsegv" => "",
        "stdbuf" => "-i -o -e --input --output --error",
        "timeout" | "gtimeout" => "-s -k --signal --kill-after",
        "watch" => "-n -q --interval --equexit",
        "xargs" | "gxargs" => {
            "-I -n -P -d -L -s -E -a -J -R --max-args --max-procs --delimiter --max-lines --replace --arg-file"
        }
        "env" => "-u -C -S --unset --chdir --split-string",
        "sudo" | "doas" | "pkexec" | "run0" | "gosu" | "su-exec" | "sudoedit" => {
            "-u -g -h -p -C -r -t -T -U -D -R --user --group"
        }
        "su" | "runuser" => "-c -s -g -G -w --command --shell",
        "busybox" | "toybox" => "",
        "caffeinate" => "-t -w",
        "chroot" | "nsenter" | "unshare" | "firejail" | "bwrap" | "proot" | "fakeroot" | "systemd-run" | "parallel"
        | "flock" | "script" | "entr" | "ltrace" | "strace" | "proxychains" | "torsocks" | "xvfb-run"
        | "dbus-run-session" | "cpulimit" | "faketime" | "daemonize" => {
            return contains(walk, program, rest);
        }
        _ => return false,
    };
    // The options of a wrapper end at its first other word.
    let mut at = 0;
    while let Some(word) = rest.get(at) {
        let text = word.text.as_str();
        if text == "--" {
            at += 1;
            break;
        }
        if !text.starts_with('-') || text == "-" {
            break;
        }
        let takes = valued.split_ascii_whitespace().any(|option| option == text);
        at += 1 + usize::from(takes);
    }
    let at = at.min(rest.len());
    let (options, inner) = rest.split_at(at);
    if options.iter().any(|word| !word.known && word.splits) {
        walk.vague(format!("an option of {program} is known only when it runs"));
    }
    match program {
        "command" | "builtin" if options.iter().any(|word| matches!(word.text.as_str(), "-v" | "-V")) => {}
        "env" => env(walk, options, inner),
        "sudo" | "doas" | "pkexec" | "run0" | "gosu" | "su-exec" | "sudoedit" | "su" | "runuser" => {
            privileged(walk, program, options, inner)
        }
        "xargs" | "gxargs" => xargs(walk, options, inner),
        "watch" => {
            let line: Vec<&str> = inner.iter().map(|word| word.text.as_str()).collect();
            if inner.iter().any(|word| !word.known) {
                walk.vague("the line that runs is known only then");
            }
            if line.is_empty() {
                walk.vague("watch watches nothing");
            }
            walk.line(&line.join(" "));
        }
        "timeout" | "gtimeout" | "taskset" | "chrt" => match inner.split_first() {
            Some((_, inner)) => started(walk, program, inner),
            None => walk.vague(format!("{program} starts nothing")),
        },
        "nohup" => {
            walk.writes(&Word::literal("nohup.out"));
            started(walk, program, inner);
        }
        "exec" if inner.is_empty() => walk.vague("it changes where the shell's own output goes"),
        "time" if options.iter().any(|word| is_one_of(word, "-o --output -a --append", "-f")) => {
            walk.vague("time writes a file");
            started(walk, program, inner);
        }
        "busybox" | "toybox" => match inner.split_first() {
            Some((name, rest)) if name.known => programs::named(walk, &name.text.clone(), rest),
            _ => walk.vague("which program busybox is, is not said"),
        },
        "setpriv" | "catchsegv" => {
            walk.vague(format!("{program} is not followed"));
            started(walk, program, inner);
        }
        _ => started(walk, program, inner),
    }
    true
}

fn started(walk: &mut Walk, program: &str, inner: &[Word]) {
    match inner.is_empty() {
        true if matches!(program, "nice" | "command" | "builtin" | "time") => {}
        true => walk.vague(format!("{program} starts nothing")),
        false => programs::command(walk, inner),
    }
}

fn env(walk: &mut Walk, options: &[Word], inner: &[Word]) {
    if options.iter().any(|word| is_one_of(word, "-S --split-string -C --chdir", "-u")) {
        walk.vague("env splits a line of its own");
        for word in options {
            walk.line(&word.text);
        }
    }
    let settings = inner.iter().take_while(|word| word.text.contains('=')).count();
    if settings > 0 {
        walk.vague("env sets variables for a program");
    }
    match inner.get(settings..) {
        Some(inner) if !inner.is_empty() => programs::command(walk, inner),
        _ => walk.secret("shows the whole environment"),
    }
}

fn privileged(walk: &mut Walk, program: &str, options: &[Word], inner: &[Word]) {
    walk.effect(format!("runs as another user by {program}"), Action::Privilege, Touched::Privilege, Reversible::No);
    let shell = options.iter().any(|word| is_one_of(word, "-s -i --shell --login -l", "-u -g -c"));
    if program == "su" || program == "runuser" {
        let line = options
            .iter()
            .position(|word| matches!(word.text.as_str(), "-c" | "--command"))
            .and_then(|at| options.get(at + 1));
        let inner_line = inner
            .iter()
            .position(|word| matches!(word.text.as_str(), "-c" | "--command"))
            .and_then(|at| inner.get(at + 1));
        match line.or(inner_line) {
            Some(line) => walk.line(&line.text),
            None => walk.danger("it opens a shell of another user"),
        }
        return;
    }
    if inner.is_empty() {
        if shell {
            walk.danger("it opens a shell of another user");
        }
        if program == "sudoedit" || options.iter().any(|word| word.text == "-e") {
            walk.vague("it edits files of another user");
        }
        return;
    }
    let settings = inner.iter().take_while(|word| word.text.contains('=')).count();
    let inner = &inner[settings.min(inner.len())..];
    let name = inner.first().map_or("", |word| word.text.rsplit('/').next().unwrap_or(""));
    if interpreters::is_shell(name) && inner.len() == 1 && !walk.flow.network {
        walk.note(format!("{program} {name} is a shell of another user"));
    }
    if matches!(name, "su" | "visudo")
        || interpreters::is_shell(name)
            && inner[1..].iter().all(|word| word.text.starts_with('-') && !word.text.contains('c'))
            && inner.len() > 1
    {
        walk.danger("it opens a shell of another user");
    }
    programs::command(walk, inner);
}

fn xargs(walk: &mut Walk, options: &[Word], inner: &[Word]) {
    if options.iter().any(|word| is_one_of(word, "-o --open-tty -p --interactive", "-I -n -P -d -L -s -E -a")) {
        walk.vague("xargs asks a person");
    }
    if inner.is_empty() {
        return; // It prints, as echo does.
    }
    let mut words = inner.to_vec();
    match replaced(options) {
        None => words.push(Word::unknown()),
        Some(mark) if mark.is_empty() => walk.vague("what xargs replaces is not known"),
        Some(mark) => {
            for word in words.iter_mut().filter(|word| word.text.contains(&mark)) {
                // What stands before the mark is certain; a line for a shell keeps what it says besides.
                let before = word.text.find(&mark).unwrap_or(0);
                let text = word.text.replace(&mark, &UNKNOWN.to_string());
                *word = Word { certain: before.min(word.certain), text, known: false, plain: false, splits: false };
            }
        }
    }
    programs::command(walk, &words);
}

/// What `xargs` replaces in the words, where it does; empty where that is not known.
fn replaced(options: &[Word]) -> Option<String> {
    let mut found = None;
    let mut rest = options.iter();
    while let Some(word) = rest.next() {
        let text = word.text.as_str();
        found = match text {
            "-I" | "-J" => Some(rest.next().and_then(Word::value).unwrap_or("").to_owned()),
            "-i" | "--replace" => Some("{}".to_owned()),
            _ => match text
                .strip_prefix("-I")
                .or_else(|| text.strip_prefix("-i"))
                .or_else(|| text.strip_prefix("--replace="))
            {
                Some(mark) => Some(mark.to_owned()),
                None => found,
            },
        };
    }
    found
}

/// Wrappers whose own options are not followed: never understood, but what they start is looked through.
fn contains(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    walk.vague(format!("what {program} starts is not followed"));
    if matches!(program, "chroot" | "nsenter" | "unshare") {
        walk.effect(
            format!("{program} leaves the system's walls"),
            Action::Privilege,
            Touched::Privilege,
            Reversible::No,
        );
    }
    if program == "nsenter" && rest.iter().any(|word| matches!(word.text.as_str(), "1" | "-t1" | "--target=1")) {
        walk.danger("it enters the namespaces of the whole machine");
    }
    for (at, word) in rest.iter().enumerate() {
        let Some(name) = word.value().map(|text| text.rsplit('/').next().unwrap_or(text).to_owned()) else { continue };
        if destroys(&name) || interpreters::is_shell(&name) || name == "git" {
            programs::named(walk, &name, &rest[at + 1..]);
            return true;
        }
        if name.contains(' ') {
            walk.line(&name);
        }
    }
    true
}

/// Reads a command of this file's tables; false if it is none.
pub fn read(walk: &mut Walk, program: &str, rest: &[Word]) -> bool {
    let does_what = match of(program) {
        Some(what) => what,
        None if program.starts_with("mkfs.") => Does::Device,
        None if matches!(program, "dropdb" | "dropuser" | "dropuser.py") => {
            walk.danger("it removes a database or its user");
            Does::Database
        }
        None if matches!(program, "printenv") => {
            let one = rest.len() == 1
                && rest[0].known
                && !super::walk::is_secret_name(&rest[0].text)
                && !rest[0].text.starts_with('-');
            if !one {
                walk.secret("shows the whole environment");
            }
            return true;
        }
        None => return false,
    };
    does(walk, does_what, program, rest);
    true
}

/// What a program of that kind does with these words.
pub fn does(walk: &mut Walk, what: Does, program: &str, rest: &[Word]) {
    use {Reversible::*, Touched::*};
    match what {
        Does::Writes => writes(walk, program, rest),
        Does::Deletes => deletes(walk, program, rest),
        Does::Copies => copies(walk, program, rest),
        Does::Network => network(walk, program, rest),
        // The project's own scripts are no more fetched than a Makefile's targets are.
        Does::Package if runs_scripts(program, rest) => {
            walk.exec(format!("{program} runs the project's code"));
            if rest.iter().any(|word| TELLS.contains(&word.text.as_str())) {
                walk.network(format!("{program} runs a script by that name"), None, true);
            }
        }
        Does::Build => {
            walk.exec(format!("{program} runs the project's code"));
            let text = rest.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            if rest.iter().any(|word| TELLS.contains(&word.text.as_str())) {
                walk.network(format!("{program} {text}"), None, true);
            }
            if let Some(danger) =
                scripts::code_danger(&text).filter(|_| matches!(program, "nix-shell" | "nix" | "make" | "gmake"))
            {
                walk.danger(danger);
            }
            // A file may be named as output.
            for pair in
                rest.windows(2).filter(|pair| matches!(pair[0].text.as_str(), "-o" | "--output" | "-O" | "--out"))
            {
                walk.writes(&pair[1]);
            }
        }
        Does::Package => {
            let text = rest.first().map_or("", |word| word.text.as_str());
            let tells =
                matches!(text, "publish" | "login" | "adduser" | "token" | "push" | "owner" | "access" | "dist-tag");
            walk.network(format!("{program} {text}"), None, tells);
            walk.exec(format!("{program} may run what it fetches"));
            if rest.iter().any(|word| is_one_of(word, "-g --global --user --system --target --prefix --root", ""))
                || matches!(program, "brew" | "pipx" | "gem" | "rustup")
            {
                walk.effect(format!("{program} installs outside the project"), Action::Writes, External, Compensable);
            }
        }
        Does::SystemPackage => {
            walk.network(program, None, false);
            walk.effect(format!("{program} changes the system's packages"), Action::Writes, External, Compensable);
        }
        Does::Service => {
            walk.effect(
                format!("{program} changes what runs elsewhere"),
                Action::Control,
                External,
                if walk.danger.is_some() { No } else { Compensable },
            );
            if rest.iter().any(|word| {
                matches!(word.text.as_str(), "login" | "push" | "pull" | "build" | "run" | "install" | "upgrade")
            }) {
                walk.network(
                    format!("{program} asks other machines"),
                    None,
                    rest.iter().any(|word| matches!(word.text.as_str(), "push" | "login")),
                );
            }
        }
        Does::Cloud => walk.network(format!("{program} asks or changes a cloud"), None, true),
        Does::Database => {
            walk.effect(format!("{program} talks to a database"), Action::Network, External, No);
            walk.flow.network = true;
        }
        Does::Control => control(walk, program, rest),
        Does::System => {
            walk.effect(format!("{program} changes this machine"), Action::Privilege, Privilege, Compensable);
        }
        Does::Account => {
            let looks = matches!(program, "passwd" | "chage" | "faillock")
                && rest.first().is_some_and(|word| matches!(word.text.as_str(), "-S" | "-l" | "--status"));
            if !looks {
                walk.danger(format!("{program} changes accounts or rights"));
            }
            walk.effect(format!("{program} changes accounts or rights"), Action::Privilege, Privilege, No);
        }
        Does::Device => {
            walk.danger(format!("{program} writes to raw devices"));
            walk.effect(format!("{program} writes to raw devices"), Action::Privilege, Privilege, No);
        }
        Does::Power => {
            if !rest.iter().any(|word| matches!(word.text.as_str(), "-c" | "--help" | "--show")) {
                walk.danger("it ends the machine");
            }
            walk.effect(format!("{program} ends the machine"), Action::Privilege, Privilege, No);
        }
        Does::Interactive => {
            walk.exec(format!("{program} waits for a person and may start programs"));
            rest.iter().filter(|word| !word.text.starts_with('-')).for_each(|word| walk.writes(word));
        }
    }
}

fn writes(walk: &mut Walk, program: &str, rest: &[Word]) {
    // Only what is surely no path is taken as an option's value: all else may be where it writes.
    let valued = match program {
        "truncate" => "-s --size",
        "mkdir" | "mkfifo" => "-m --mode",
        "touch" => "-t -d --date",
        "split" | "csplit" => "-l -b -n -a --lines --bytes --number",
        "gzip" | "xz" | "bzip2" | "zstd" => "-S -T --suffix --threads",
        _ => "",
    };
    let parsed = flags::parse(rest, valued);
    let before = walk.effects.len();
    match program {
        "dd" => {
            for word in rest {
                if let Some(target) = word.text.strip_prefix("of=") {
                    let target =
                        Word { text: target.to_owned(), certain: word.certain.saturating_sub(3), ..word.clone() };
                    walk.writes(&target);
                }
                if let Some(source) = word.text.strip_prefix("if=") {
                    walk.reads(&Word::literal(source));
                }
            }
            return;
        }
        "chmod" | "chown" | "chgrp" | "setfacl" => rights(walk, program, &parsed, rest),
        "truncate" if empties(rest) => {
            let lost = |word: &&Word| walk.path(word).is_none_or(|path| walk.paths.write(&path).class != Touched::Lane);
            if parsed.operands.iter().any(lost) {
                walk.danger("it empties a file");
            }
        }
        "crontab" if parsed.any("-r", "-u") => walk.danger("it removes all of a user's timed commands"),
        "zip" if parsed.any("-m --move", "") => walk.danger("it removes the files that it packs"),
        "gpg" | "gpg2" | "age" | "sops" => {
            walk.flow.decoded = true;
            if rest.iter().any(|word| {
                word.text.starts_with("--export-secret")
                    || word.text.starts_with("--delete")
                    || is_one_of(word, "-d --decrypt", "")
            }) {
                walk.secret(format!("{program} shows what is kept secret"));
            }
            if rest.iter().any(|word| word.text.starts_with("--delete-secret")) {
                walk.danger("it removes a secret key");
            }
        }
        "gunzip" | "bunzip2" | "unxz" | "unzstd" | "uncompress" | "unzip" | "7z" | "7za" => walk.flow.decoded = true,
        "ffmpeg" | "convert" | "magick" if rest.iter().any(|word| word.text.contains("://")) => {
            walk.network(program, None, false)
        }
        "crontab" | "at" | "batch" => {
            walk.effect(
                format!("{program} lets commands run later"),
                Action::Exec,
                Touched::External,
                Reversible::Compensable,
            );
        }
        _ => {}
    }
    let operands: Vec<&Word> = match program {
        // The first word says what, the others where.
        "chmod" | "chown" | "chgrp" | "setfacl" | "chattr"
            if !rest.iter().any(|word| word.text.starts_with("--reference")) =>
        {
            parsed.operands.into_iter().skip(1).collect()
        }
        "crontab" | "at" | "batch" => return,
        _ => parsed.operands,
    };
    for word in operands {
        walk.writes(word);
    }
    for path in parsed.options.iter().filter_map(|option| programs::joined_path(option)) {
        walk.writes(&path);
    }
    if walk.effects.len() == before {
        // It writes, and does not say where: below its folder, as far as anybody knows.
        walk.writes(&Word::literal("./…"));
    }
}

/// Whether `truncate` leaves nothing.
fn empties(rest: &[Word]) -> bool {
    let sizes = rest
        .windows(2)
        .filter(|pair| matches!(pair[0].text.as_str(), "-s" | "--size"))
        .map(|pair| pair[1].text.as_str());
    let joined =
        rest.iter().filter_map(|word| word.text.strip_prefix("-s").or_else(|| word.text.strip_prefix("--size=")));
    sizes.chain(joined).any(|size| size == "0")
}

/// Changes of who may do what with a file.
fn rights(walk: &mut Walk, program: &str, parsed: &flags::Parsed, rest: &[Word]) {
    let mode = parsed.operands.first().map_or("", |word| word.text.as_str());
    let special = program == "chmod"
        && (mode.contains("+s")
            || mode.contains("=s")
            || mode.split(',').any(|part| part.contains('+') && part.ends_with('s'))
            || (mode.len() == 4
                && mode.bytes().all(|byte| byte.is_ascii_digit())
                && matches!(mode.as_bytes()[0], b'2' | b'4' | b'6' | b'7')));
    if special {
        walk.danger("it lets everybody run a program with its owner's rights");
    }
    let recursive = rest.iter().any(|word| is_one_of(word, "-R --recursive", ""));
    let system = |word: &&Word| {
        let path = word.text.trim_end_matches('/');
        path.is_empty() && word.text.starts_with('/')
            || matches!(path, "/*" | "/etc" | "/usr" | "/bin" | "/var" | "/lib" | "/home" | "~" | "/root" | "/boot")
    };
    if recursive && parsed.operands.iter().skip(1).any(system) {
        walk.danger("it changes the rights of the whole system");
    }
}

fn deletes(walk: &mut Walk, program: &str, rest: &[Word]) {
    let parsed = flags::parse(rest, if program == "shred" { "-n -s --iterations --size" } else { "" });
    if rest.iter().any(|word| matches!(word.text.as_str(), "--help" | "--version")) && rest.len() == 1 {
        return;
    }
    if parsed.operands.is_empty() {
        walk.deletes(&Word::unknown());
    }
    for word in &parsed.operands {
        walk.deletes(word);
    }
}

fn copies(walk: &mut Walk, program: &str, rest: &[Word]) {
    let parsed = flags::parse(rest, "-t -S -m -o -g --target-directory --suffix --mode --owner --group");
    let into =
        parsed.values.iter().find(|(option, _)| matches!(*option, "-t" | "--target-directory")).map(|(_, word)| *word);
    if parsed.any("-s --strip --strip-program", "-t -S -m -o -g") && program == "install" {
        walk.exec("install starts a program");
    }
    if program == "install"
        && parsed.values.iter().any(|(option, value)| {
            matches!(*option, "-m" | "--mode") && value.text.len() == 4 && !value.text.starts_with(['0', '1'])
        })
    {
        walk.danger("it lets everybody run a program with its owner's rights");
    }
    let (sources, target) = match (into, parsed.operands.split_last()) {
        (Some(into), _) => (parsed.operands.as_slice(), Some(into)),
        (None, Some((last, sources))) => (sources, Some(*last)),
        (None, None) => (parsed.operands.as_slice(), None),
    };
    for source in sources {
        match program {
            "mv" => {
                walk.reads(source);
                if target.is_some_and(|target| target.text == "/dev/null") {
                    walk.danger("it moves a file to where nothing comes back from");
                }
                // It is gone from where it was, and whole where it goes.
                walk.writes(source);
            }
            _ => walk.reads(source),
        }
    }
    for path in parsed.options.iter().filter_map(|option| programs::joined_path(option)) {
        walk.writes(&path);
    }
    match target {
        Some(target) => walk.writes(target),
        None => walk.vague(format!("{program} has nothing to do")),
    }
}

/// Words by which a build's target, or a script, tells others something.
const TELLS: [&str; 7] = ["publish", "deploy", "install", "login", "upload", "release", "push"];

/// Whether a package tool is only asked to run one of the scripts that the project's own file names.
fn runs_scripts(program: &str, rest: &[Word]) -> bool {
    matches!(program, "npm" | "yarn" | "pnpm" | "bun")
        && rest.first().is_some_and(|word| matches!(word.text.as_str(), "test" | "t" | "run" | "run-script"))
}

fn network(walk: &mut Walk, program: &str, rest: &[Word]) {
    let texts: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
    let address = texts
        .iter()
        .find(|text| text.contains("://") || (text.contains('.') && !text.starts_with('-') && !text.contains('/')));
    let target = address.and_then(|address| super::paths::host(address));
    let tells = match program {
        "curl" => rest.iter().any(|word| {
            is_one_of(word, "-d --data --data-raw --data-binary --data-urlencode --data-ascii -F --form --form-string -T --upload-file --json", "-o -H -u -A -b -e -x -m -w -X")
                || matches!(word.text.as_str(), "POST" | "PUT" | "PATCH" | "DELETE" | "-XPOST" | "-XPUT" | "-XDELETE" | "-XPATCH")
        }),
        "wget" => texts.iter().any(|text| text.starts_with("--post") || text.starts_with("--body") || text.starts_with("--method")),
        "dig" | "host" | "nslookup" | "ping" | "traceroute" | "whois" | "mtr" | "tracepath" => false,
        _ => true,
    };
    walk.network(format!("{program} asks another machine"), target, tells);
    match program {
        "curl" | "wget" | "aria2c" | "axel" | "http" | "https" | "yt-dlp" => {
            let saves = rest.iter().any(|word| {
                is_one_of(
                    word,
                    "-o -O --output --remote-name --output-document --remote-name-all -J",
                    "-H -d -X -u -A -b -e",
                )
            });
            if saves || program != "curl" {
                walk.fetched = true;
            }
            for pair in rest.windows(2).filter(|pair| matches!(pair[0].text.as_str(), "-o" | "--output" | "-O" if program != "curl" || pair[0].text != "-O")) {
                walk.writes(&pair[1]);
            }
            if saves && program == "curl" && texts.contains(&"-O")
                || (program == "wget"
                    && !texts.iter().any(|text| text.starts_with("-O") || text.contains("O-") || *text == "-qO-"))
            {
                walk.writes(&Word::literal("./…"));
            }
            if rest.iter().any(|word| is_one_of(word, "-K --config", "-o -H -d -X -u")) {
                walk.vague(format!("{program} takes its options from a file"));
            }
        }
        "ssh" | "autossh" | "mosh" => remote_line(walk, rest),
        "rsync" => {
            if texts.iter().any(|text| text.starts_with("--del") || text.starts_with("--remove-source")) {
                walk.danger("rsync removes files that the other side does not have");
            }
            if rest.iter().any(|word| is_one_of(word, "--rsync-path", "")) {
                walk.exec("rsync starts a program that it is given");
            }
            if let Some(last) = rest.last() {
                walk.writes(last);
            }
        }
        "rclone" | "s3cmd" => {
            if matches!(
                texts.first(),
                Some(&("delete" | "purge" | "deletefile" | "rmdirs" | "cleanup" | "sync" | "del" | "rb"))
            ) {
                walk.danger("it removes files on another machine");
            }
        }
        "nc" | "ncat" | "netcat" | "socat" => {
            let shell = rest.iter().any(|word| is_one_of(word, "-e --exec -c --sh-exec --lua-exec", "-p -w -s -x -X"))
                || texts
                    .iter()
                    .any(|text| text.to_uppercase().contains("EXEC:") || text.to_uppercase().contains("SYSTEM:"));
            if shell {
                walk.danger("it hands a shell to another machine");
            }
        }
        "ansible" | "pssh" => {
            let text = texts.join(" ");
            if let Some(danger) = scripts::code_danger(&text) {
                walk.danger(danger);
            }
        }
        "nmap" if texts.contains(&"--interactive") => walk.danger("it opens a shell from inside nmap"),
        "restic" | "borg" if texts.iter().any(|text| matches!(*text, "forget" | "prune" | "delete")) => {
            walk.danger("it removes backups")
        }
        "telnet" | "ftp" | "sftp" | "lftp" => {}
        _ => {}
    }
    // What is handed over: a key that proves who asks is not told to anybody.
    let identity = |at: usize| {
        at > 0
            && matches!(texts[at - 1], "-i" | "--key" | "--cert" | "-E" | "--cacert" | "-F" if program.starts_with("ss") || program == "scp" || program == "sftp" || program == "curl" && texts[at - 1] != "-F" && texts[at - 1] != "-i")
    };
    for (at, word) in rest.iter().enumerate() {
        if identity(at) || (program == "ssh-copy-id") {
            continue;
        }
        let text = word.text.rsplit(['@', '=', ':', '<']).next().unwrap_or(&word.text);
        for candidate in [word.text.as_str(), text] {
            let path = super::paths::normal(&walk.paths.absolute(candidate));
            if !candidate.is_empty() && (super::paths::is_secret(candidate) || super::paths::is_secret(&path)) {
                walk.secret(format!("hands over {candidate}"));
            }
        }
    }
}

/// What `ssh` runs on the other side is looked through for danger.
fn remote_line(walk: &mut Walk, rest: &[Word]) {
    let valued = "-i -p -l -o -L -R -D -F -J -b -c -e -m -W -w -B -E -I -O -Q -S";
    if rest.iter().any(|word| {
        word.text.to_lowercase().contains("proxycommand")
            || word.text.to_lowercase().contains("localcommand")
            || word.text.to_lowercase().contains("permitlocal")
    }) {
        walk.danger("ssh starts a program of its options");
    }
    let mut at = 0;
    while let Some(word) = rest.get(at).filter(|word| word.text.starts_with('-')) {
        at += 1 + usize::from(valued.split_ascii_whitespace().any(|option| option == word.text));
    }
    let line: Vec<&str> = rest.iter().skip(at + 1).map(|word| word.text.as_str()).collect();
    if !line.is_empty() {
        walk.exec("ssh runs a command on another machine");
        // There, the paths are others; the dangers are the same.
        walk.line(&line.join(" "));
    }
}

fn control(walk: &mut Walk, program: &str, rest: &[Word]) {
    match program {
        "kill" | "skill"
            if rest.iter().any(|word| word.text == "-1") && rest.len() > 1
                || rest.last().is_some_and(|word| {
                    matches!(word.text.as_str(), "-1" | "1" | "0") && rest.len() > 1 && word.text != "0"
                }) =>
        {
            walk.danger("it ends every process");
        }
        "pass" | "op" | "bw" | "keyring" | "secret-tool" | "security" | "lpass" => {
            walk.secret(format!("{program} shows or changes secrets"));
            return;
        }
        "pbpaste" | "xclip" | "xsel" | "wl-paste" => walk.secret("reads or changes the clipboard"),
        "systemd-run" | "trap" | "alias" | "enable" | "export" | "hash" | "bind" | "shopt" => {
            walk.vague(format!("{program} changes what later commands do"))
        }
        _ => {}
    }
    for word in rest {
        if word.text.contains(' ') && matches!(program, "tmux" | "screen" | "trap") {
            walk.line(&word.text);
        }
    }
    walk.effect(format!("{program} changes what runs"), Action::Control, Touched::External, Reversible::No);
}
