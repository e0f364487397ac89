//! Each point of an attempt's life at which something may die, with `kill -9` of daemon, host and agent: the run comes to
//! the same end, no landing is lost or doubled, no question is lost.
//!
//! Where the daemon dies between two steps of git, a `git` in front of the real one kills it: at the step that is named,
//! before or after it is done.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{asked, double_file, program};
use crate::daemon::sandbox::{PATH, Process, Sandbox, eventually, kill_9, script};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Daemon,
    Host,
    Agent,
}

const ALL: [Victim; 3] = [Victim::Daemon, Victim::Host, Victim::Agent];

struct World {
    sandbox: Sandbox,
}

impl World {
    /// With an agent that asks before it works, and one more task that lands beside it.
    fn new(play: Value) -> Option<World> {
        let python = program("python3", "ORCHESTRATOR_PYTHON")?;
        let sandbox = Sandbox::new();
        let file = sandbox.file("double.json", play.to_string());
        let text = format!(
            "[ \"$1\" = --version ] && {{ echo '1.0 (double)'; exit 0; }}\n\
             exec {} {} --script {} --log \"$TMPDIR\"/double.log --state \"$TMPDIR\"/double.state",
            python.display(),
            double_file("acp.py").display(),
            file.display()
        );
        script(&sandbox.root.join("double"), &text);
        let command = json!([sandbox.root.join("double")]);
        sandbox.configure(&format!("[agents.double]\ndriver = \"acp\"\ncommand = {command}\n"));
        fs::create_dir(sandbox.root.join("bin")).unwrap();
        let real = "/usr/bin/git";
        let git = format!(
            "point=$(cat {root}/armed 2>/dev/null)\n\
             if [ -n \"$point\" ]; then case \"$*\" in *\"${{point#* }}\"*)\n\
             if mv {root}/armed {root}/hit 2>/dev/null; then\n\
             [ \"${{point%% *}}\" = before ] || {real} \"$@\"\n\
             kill -9 $PPID; exit 1\nfi;; esac; fi\nexec {real} \"$@\"",
            root = sandbox.root.display()
        );
        script(&sandbox.root.join("bin/git"), &git);
        Some(World { sandbox })
    }

    /// Begins the run, with a daemon whose git is ours, and says which process that daemon is.
    fn begin(&self) -> i32 {
        let path = format!("{}:{PATH}", self.sandbox.root.join("bin").display());
        let mut start = self.sandbox.command(&["daemon", "start"]);
        start.env("PATH", path);
        self.sandbox.finish(start).exits(0);
        let daemon = self.process(Victim::Daemon);
        let plan = "version = 1\n[[tasks]]\nid = \"agent\"\nkind = \"agent\"\nprompt = \"do it\"\nwrites = [\"made.txt\"]\n\
                    verify = [[\"test\", \"-f\", \"made.txt\"]]\nretry = { max = 3, base_s = 0.01 }\n\
                    [[tasks]]\nid = \"other\"\nrun = \"echo other > other.txt\"\n";
        let file = self.sandbox.file("plan.toml", plan);
        self.sandbox.run(&["run", "--plan", file.to_str().unwrap(), "--detach"]).exits(0);
        daemon
    }

    /// The daemon is to die at this step of git.
    fn arm(&self, when: &str, step: &str) {
        let new = self.sandbox.file("arming", format!("{when} {step}"));
        fs::rename(new, self.sandbox.root.join("armed")).unwrap();
    }

    fn hit(&self) -> PathBuf {
        self.sandbox.root.join("hit")
    }

    /// Waits until the step was taken and the daemon is dead.
    #[track_caller]
    fn died(&self, context: &str, daemon: i32) {
        eventually(&format!("{context}: the step"), || self.hit().exists().then_some(()));
        self.sandbox.gone(daemon);
    }

    #[track_caller]
    fn process(&self, victim: Victim) -> i32 {
        let is = |process: &Process| match victim {
            Victim::Daemon => process.is_daemon(),
            Victim::Host => process.command.contains(" agent-host "),
            Victim::Agent => process.command.contains("acp.py"),
        };
        eventually(&format!("the {victim:?}"), || {
            Some(self.sandbox.processes().iter().find(|process| is(process))?.pid)
        })
    }

    #[track_caller]
    fn kill(&self, victim: Victim) {
        let pid = self.process(victim);
        kill_9(pid);
        self.sandbox.gone(pid);
    }

    /// The run's end, whatever of it is asked once more meanwhile; and what it must be.
    #[track_caller]
    fn converges(&self, context: &str, answers: bool) {
        let report = eventually(&format!("{context}: the end"), || {
            if answers {
                let open = self.sandbox.run(&["decide", "--json"]).exits(0).json();
                for decision in open["decisions"].as_array().into_iter().flatten() {
                    assert_eq!(decision["kind"], "permission", "{context}: {decision:#}");
                    // It may have been withdrawn meanwhile: its agent is gone.
                    self.sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "allow"]);
                }
            }
            let report = self.sandbox.run(&["report", "R-1", "--json"]).exits(0).json();
            report["outcome"].is_string().then_some(report)
        });
        assert_eq!(report["outcome"], "completed", "{context}: {}", self.sandbox.run(&["why", "T-1"]).all());
        // Two tasks, two landings: neither lost nor doubled.
        let landed = self.sandbox.git(&["rev-list", "--count", "--no-merges", "main..orchestrator/R-1"]);
        assert_eq!(landed.trim(), "2", "{context}");
        assert_eq!(self.sandbox.git(&["show", "orchestrator/R-1:made.txt"]), "made\n", "{context}");
        assert_eq!(self.sandbox.git(&["show", "orchestrator/R-1:other.txt"]), "other\n", "{context}");
        self.sandbox.run(&["journal", "verify"]).exits(0);
        let left = eventually("nothing of the agent's to be left", || {
            self.sandbox.jobs().is_empty().then(Vec::<Process>::new)
        });
        assert!(left.is_empty());
    }

    /// How many questions about a push were ever asked.
    fn questions(&self) -> usize {
        let mut wire = self.sandbox.wire();
        let all = wire.ok("get_report", json!({"run": "R-1"}));
        all["decisions"].as_array().map_or(0, |decisions| decisions.len())
    }
}

fn asks() -> Value {
    let made = json!({"write": "made.txt", "text": "made\n"});
    let ask = json!({"ask": "git push", "id": "p", "kind": "execute", "raw": {"command": "git push origin main"},
        "then": {"allow_once": [made], "reject_once": [{"say": "no"}]}});
    json!({"prompts": [[{"say": "begun\n"}, ask]]})
}

#[test]
fn where_a_lane_is_made_and_where_work_is_taken_over_and_landed() {
    for (context, when, step, armed_at_once) in [
        ("claimed, without a lane", "before", "L-2 ", true),
        ("a lane, and nobody in it", "after", "worktree add", true),
        ("taken over, not referred to", "after", "commit-tree", false),
        ("taken over", "after", "update-ref refs/orchestrator/R-1/T-1/", false),
        ("merged, not landed", "after", "merge-tree", false),
        ("landed, not written down", "after", "update-ref refs/orchestrator/R-1/tip", false),
        ("landed, not published", "before", "update-ref --stdin", false),
        ("published, not written down", "after", "update-ref --stdin", false),
    ] {
        let Some(world) = World::new(asks()) else { return };
        if armed_at_once {
            world.arm(when, step);
        }
        let daemon = world.begin();
        if armed_at_once {
            world.died(context, daemon);
        } else {
            let decision = asked(&world.sandbox);
            eventually("the other task to land", || {
                let status = world.sandbox.wire().ok("get_task_status", json!({"task_id": "T-2"}));
                (status["status"] == "completed").then_some(())
            });
            world.arm(when, step);
            world.sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "allow"]).exits(0);
            world.died(context, daemon);
        }
        world.converges(context, armed_at_once);
        assert_eq!(world.questions(), 1, "{context}");
    }
}

#[test]
fn where_an_agent_has_just_been_started() {
    for victim in ALL {
        let mut play = asks();
        play["new_delay_s"] = json!(0.5);
        let Some(world) = World::new(play) else { return };
        world.begin();
        world.process(Victim::Agent);
        world.kill(victim);
        world.converges(&format!("started, {victim:?}"), true);
    }
}

#[test]
fn where_a_question_is_open() {
    for victim in ALL {
        let Some(world) = World::new(asks()) else { return };
        world.begin();
        let decision = asked(&world.sandbox);
        world.kill(victim);
        let context = format!("asked, {victim:?}");
        if victim == Victim::Daemon {
            // The very question, and its answer reaches the one who asked.
            world.sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "allow"]).exits(0);
            world.converges(&context, false);
        } else {
            // Nobody waits for that answer any more; whoever goes on asks again.
            world.converges(&context, true);
        }
    }
}

#[test]
fn where_an_answer_is_stored_and_has_not_been_heard() {
    for victim in ALL {
        let Some(world) = World::new(asks()) else { return };
        world.begin();
        let decision = asked(&world.sandbox);
        // Its host does not listen, so the answer is on disk and nowhere else.
        let host = world.process(Victim::Host);
        // SAFETY: no memory involved; a process of this sandbox.
        unsafe { libc::kill(host, libc::SIGSTOP) };
        world.sandbox.run(&["decide", decision["decision_id"].as_str().unwrap(), "allow"]).exits(0);
        world.kill(victim);
        // SAFETY: as above; it may be gone.
        unsafe { libc::kill(host, libc::SIGCONT) };
        // Whoever asks again has the answer: no person is asked twice.
        let context = format!("answered, {victim:?}");
        world.converges(&context, false);
        assert_eq!(world.questions(), 1, "{context}");
    }
}

#[test]
fn where_everybody_dies_at_once() {
    let Some(world) = World::new(asks()) else { return };
    world.begin();
    asked(&world.sandbox);
    for process in world.sandbox.processes() {
        kill_9(process.pid);
    }
    eventually("the end of them all", || world.sandbox.processes().is_empty().then_some(()));
    world.converges("everybody", true);
}
