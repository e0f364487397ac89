//! A person at a terminal: questions that are asked and answered, Ctrl-C, and a screen that follows.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use super::sandbox::{Sandbox, eventually, kill_9};

/// The program at a terminal of its own.
struct Terminal {
    keyboard: File,
    shown: Arc<Mutex<String>>,
    seen: usize,
    child: Child,
}

impl Terminal {
    fn start(sandbox: &Sandbox, arguments: &[&str], columns: u16) -> Terminal {
        let (mut ours, mut theirs) = (0, 0);
        let mut size = libc::winsize { ws_row: 30, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: openpty writes two descriptors and reads a size, all of them ours.
        let opened =
            unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null_mut(), &raw mut size) };
        assert_eq!(opened, 0, "no terminal: {}", std::io::Error::last_os_error());
        // SAFETY: openpty gave these to us and nobody else has them.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        // SAFETY: our end is for us: the child must not hold its own terminal open.
        unsafe { libc::fcntl(ours.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        let end = || Stdio::from(theirs.try_clone().unwrap());
        // Not `sandbox.command`: a process that leads a group cannot begin a session.
        let mut plain = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        plain.args(arguments).current_dir(&sandbox.repo).env_clear().envs(sandbox.env()).env("TERM", "xterm");
        plain.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: only calls that are safe between fork and exec; descriptor 0 is the terminal by then.
        unsafe {
            plain.pre_exec(|| {
                libc::setsid();
                // Whoever started the tests in the background had them ignore it; a terminal's shell does not.
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                match libc::ioctl(0, libc::TIOCSCTTY as _, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = plain.spawn().unwrap();
        drop((plain, theirs));
        let (keyboard, shown) = (File::from(ours), Arc::new(Mutex::new(String::new())));
        let (mut screen, sink) = (keyboard.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { keyboard, shown, seen: 0, child }
    }

    /// Waits until something is shown that was not there at the last call.
    #[track_caller]
    fn shows(&mut self, words: &str) {
        let (shown, seen) = (self.shown.clone(), self.seen);
        self.seen = eventually(&format!("{words:?} on the screen"), || {
            let all = shown.lock().unwrap();
            all[seen..].find(words).map(|at| seen + at + words.len())
        });
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn ends(mut self) -> (ExitStatus, String) {
        let status = eventually("its end", || self.child.try_wait().unwrap());
        let shown = self.shown.lock().unwrap().clone();
        (status, shown)
    }
}

#[test]
fn questions_are_asked_one_after_another_and_answered_where_they_are_asked() {
    let sandbox = Sandbox::new();
    sandbox.write("Makefile", "test:\n\ttrue\n");
    sandbox.git(&["add", "-A"]);
    sandbox.git(&["commit", "-q", "-m", "make"]);
    let plan = "version = 1\n[[tasks]]\nid = \"which\"\nkind = \"decision\"\nquestion = \"Which colour?\"\noptions = [\"Red\", \"Blue\"]\n[[tasks]]\nid = \"paint\"\nneeds = [\"which\"]\nrun = \"echo $ORCHESTRATOR_ANSWER_WHICH > door.txt\"\n";
    let file = sandbox.file("plan.toml", plan);
    let mut terminal = Terminal::start(&sandbox, &["run", "--plan", file.to_str().unwrap()], 100);
    terminal.shows("May commands found in this repository's own files run?");
    terminal.shows("Enter for not now");
    terminal.types("1\r");
    terminal.shows("Which colour?");
    terminal.shows("Enter for not now");
    terminal.types("purple\r");
    terminal.shows("is none of its options");
    terminal.types("blue\r");
    terminal.shows("completed");
    let (status, shown) = terminal.ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert_eq!(sandbox.git(&["show", "orchestrator/R-1:door.txt"]), "blue\n");
}

#[test]
fn control_c_lets_go_and_a_second_one_cancels() {
    let sandbox = Sandbox::new();
    let mut terminal = Terminal::start(&sandbox, &["run", "--do", "sleep 60", "--verify", "true"], 100);
    terminal.shows("works in");
    terminal.types("\u{3}");
    terminal.shows("goes on in the background");
    terminal.shows("orchestrator status R-1");
    terminal.ends();
    assert_eq!(
        sandbox.run(&["status", "R-1", "--json"]).exits(0).json()["sessions"][0]["outcome"],
        serde_json::Value::Null
    );
    let mut terminal = Terminal::start(&sandbox, &["run", "--do", "sleep 61", "--verify", "true"], 100);
    terminal.shows("works in");
    terminal.types("\u{3}");
    terminal.shows("Ctrl-C again cancels it");
    terminal.types("\u{3}");
    terminal.shows("R-2 is cancelled");
    let (status, shown) = terminal.ends();
    assert_eq!(status.code(), Some(4), "{shown}");
    sandbox.run(&["cancel", "R-1"]).exits(0);
}

#[test]
fn a_watched_status_outlives_its_daemon() {
    let sandbox = Sandbox::new();
    let go = sandbox.root.join("go");
    let what = format!("until test -e {}; do sleep 0.02; done; echo x > x", go.display());
    sandbox.run(&["run", "--do", &what, "--verify", "test -s x", "--detach"]).exits(0);
    let mut one = Terminal::start(&sandbox, &["status", "R-1", "--watch"], 80);
    let mut all = Terminal::start(&sandbox, &["status", "--watch"], 80);
    one.shows("R-1");
    all.shows("R-1");
    // One is killed, the other told to end: whoever watches finds the next one, and sees what happens there.
    for end in ["kill", "stop"] {
        let daemon = sandbox.daemons()[0];
        match end {
            "kill" => kill_9(daemon),
            _ => drop(sandbox.run(&["daemon", "stop"])),
        }
        sandbox.gone(daemon);
        eventually("the next daemon", || (sandbox.daemons().len() == 1).then_some(()));
    }
    one.shows("The daemon went away; looking for it again.");
    std::fs::write(&go, "").unwrap();
    one.shows("completed");
    let (status, shown) = one.ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    all.shows("completed");
    all.types("\u{3}");
    all.ends();
}

#[test]
fn a_watched_status_follows_and_fits_a_narrow_screen() {
    let sandbox = Sandbox::new();
    let mut watching = Terminal::start(&sandbox, &["status", "--watch"], 80);
    watching.shows("at most 10 at once");
    let mut narrow = Terminal::start(&sandbox, &["run", "--do", "sleep 0.5; echo x > x", "--verify", "true"], 40);
    watching.shows("R-1");
    watching.shows("completed");
    watching.types("\u{3}");
    watching.ends();
    // One run is watched until it is over, and then, as when it is followed, its end is the status.
    sandbox.run(&["status", "R-1", "--watch"]).exits(0);
    sandbox.run(&["run", "--do", "false", "--verify", "true", "--detach"]).exits(0);
    sandbox.run(&["status", "R-2", "--watch"]).exits(1);
    narrow.shows("completed");
    let (status, shown) = narrow.ends();
    assert_eq!(status.code(), Some(0));
    // The line with the bar is redrawn in place, which only works while it is one line.
    let bars = shown.split(['\n', '\r']).filter(|line| line.contains('░') || line.contains('█'));
    for bar in bars {
        let plain: String =
            bar.split('\u{1b}').next_back().unwrap_or_default().chars().skip_while(|c| *c != 'R').collect();
        assert!(plain.chars().count() <= 40, "{plain:?}");
    }
}
