//! The same ask in another place is another question: a lane is kept or thrown away as a whole, a checkout is the user's.

use orchestrator::core::decide::{
    effects::Reversible,
    gate::{Ask, Judgement, Links, NoLinks, Place, Verdict, judge},
    policy::{Known, Policy, TaskKnown},
};
use serde_json::{Value, json};

use super::corpora::checkout;

fn lane() -> Place {
    Place {
        cwd: "/state/lanes/3".to_owned(),
        root: "/state/lanes/3".to_owned(),
        lane: true,
        home: Some("/home/me".to_owned()),
        ..Place::default()
    }
}

fn known() -> Known {
    let task = TaskKnown { kind_of_work: "feature".to_owned(), kind: "agent".to_owned(), ..TaskKnown::default() };
    Known { task: Some(task), ..Known::default() }
}

fn judged(tool: &str, input: &Value, place: &Place, links: &dyn Links) -> Judgement {
    let policy = Policy::builtin().expect("the built-in policy");
    judge(&policy, &Ask { tool, input }, place, &known(), links)
}

fn shell(line: &str, place: &Place) -> Judgement {
    judged("Bash", &json!({"command": line}), place, &NoLinks)
}

#[test]
fn in_a_lane_work_goes_on_and_what_leaves_it_does_not() {
    for line in [
        "rm -rf build",
        "touch a b",
        "mkdir -p src/x",
        "sed -i s/a/b/ f",
        "echo x > src/a",
        "git reset --hard",
        "git clean -fdx",
        "git add . ",
        "mv a b",
        "cp -r a b",
        "find . -name '*.o' -delete",
        "find . -name '*.o' -exec rm {} +",
        "tar xf a.tar",
        "rm /state/lanes/3/x",
        "cd src && rm x",
        "truncate -s 0 f",
        "ls && rm a",
    ] {
        let judgement = shell(line, &lane());
        assert_eq!(judgement.verdict, Verdict::Allow, "{line}: {:?}", judgement.reasons);
        assert_eq!(judgement.reversible, Reversible::Yes, "{line}");
        assert_ne!(shell(line, &checkout()).verdict, Verdict::Allow, "{line} in the checkout");
    }
    for line in [
        "rm -rf ../4",
        "rm -rf /state/lanes/3",
        "rm -rf .",
        "rm -rf $X",
        "rm -rf $X/y",
        "touch /etc/x",
        "cp --target-directory=/etc a",
        "cp -t/etc a",
        "tar xf a.tar -C/etc",
        "tar xf a.tar -C ..",
        "unzip a.zip -d ../x",
        "7z x a -o/etc",
        "echo x > ~/.bashrc",
        "cd .. && rm -rf 4",
        "cd $X && rm -rf y",
        "cd - && rm x",
        "git -C /home/me/project reset --hard",
        "cd /home/me/project && git clean -fdx",
        "git push --force",
        "git branch -D x",
        "git stash drop",
        "git config core.hooksPath x",
        "git config alias.x '!sh'",
        "find . / -delete",
        "find $X -delete",
        "find . /home/me -exec rm {} +",
        "find $X -exec touch {} +",
        "cp a ../b",
        "ln -s /etc/passwd x",
        "curl x | sh",
        "sudo rm x",
        "echo x > .git/hooks/pre-commit",
        "echo x > .claude/settings.json",
        "echo x > .orchestrator/policy.toml",
        "kill -9 1",
        "cat ~/.ssh/id_rsa",
        "docker rm -f x",
        "terraform destroy",
        "psql -c 'drop table x'",
        "npm publish",
        "git push",
    ] {
        let judgement = shell(line, &lane());
        assert!(matches!(judgement.verdict, Verdict::Escalate | Verdict::Deny), "{line}: {judgement:?}");
    }
    for line in ["cargo test", "npm install", "git commit -m x", "make", "./run.sh", "git config --list; cargo build"] {
        assert_eq!(shell(line, &lane()).verdict, Verdict::None, "{line}: history and probation decide");
    }
    let walled = Place { sandboxed: true, ..lane() };
    assert_eq!(shell("cargo test", &walled).verdict, Verdict::Allow, "the system keeps it in the lane");
    assert_eq!(shell("npm install", &walled).verdict, Verdict::None, "the network is outside of any wall");
}

/// A link in the lane that leads out of it.
struct Out;

impl Links for Out {
    fn real(&self, path: &str) -> Option<String> {
        Some(path.replacen("/state/lanes/3/link", "/etc", 1))
    }
}

#[test]
fn links_are_followed_before_anything_is_believed() {
    for (tool, input) in [
        ("Bash", json!({"command": "rm -rf link/x"})),
        ("Bash", json!({"command": "echo x > link/passwd"})),
        ("Write", json!({"file_path": "/state/lanes/3/link/passwd", "content": ""})),
    ] {
        assert_eq!(judged(tool, &input, &lane(), &NoLinks).verdict, Verdict::Allow, "{input}");
        assert_eq!(judged(tool, &input, &lane(), &Out).verdict, Verdict::Escalate, "{input}");
    }
    assert_eq!(
        judged("Read", &json!({"file_path": "/state/lanes/3/link/shadow"}), &lane(), &Out).verdict,
        Verdict::Escalate
    );
}

#[test]
fn tools_that_are_no_shell() {
    let path = |path: &str| json!({"file_path": path});
    let cases = [
        ("Read", path("/state/lanes/3/a"), Verdict::Allow, Verdict::Allow),
        ("Read", path("/home/me/.ssh/id_ed25519"), Verdict::Escalate, Verdict::Escalate),
        ("Glob", json!({"pattern": "**/*.rs"}), Verdict::Allow, Verdict::Allow),
        ("Grep", json!({"pattern": "x", "path": "src"}), Verdict::Allow, Verdict::Allow),
        ("Write", path("src/a.rs"), Verdict::Allow, Verdict::None),
        ("Edit", path("src/a.rs"), Verdict::Allow, Verdict::None),
        ("MultiEdit", path("/etc/hosts"), Verdict::Escalate, Verdict::Escalate),
        ("NotebookEdit", json!({"notebook_path": "n.ipynb"}), Verdict::Allow, Verdict::None),
        ("Write", path(".claude/settings.json"), Verdict::Escalate, Verdict::Escalate),
        ("Write", path(".env"), Verdict::Escalate, Verdict::Escalate),
        ("Write", json!({"content": "x"}), Verdict::Escalate, Verdict::Escalate),
        ("WebFetch", json!({"url": "https://example.com/x"}), Verdict::None, Verdict::None),
        ("WebSearch", json!({"query": "x"}), Verdict::None, Verdict::None),
        ("Task", json!({"prompt": "x"}), Verdict::Allow, Verdict::Allow),
        ("Agent", json!({"prompt": "x"}), Verdict::Allow, Verdict::Allow),
        ("TodoWrite", json!({"todos": []}), Verdict::Allow, Verdict::Allow),
        ("ExitPlanMode", json!({}), Verdict::Escalate, Verdict::Escalate),
        ("AskUserQuestion", json!({}), Verdict::Escalate, Verdict::Escalate),
        ("mcp__orchestrator__get_state", json!({}), Verdict::Allow, Verdict::Allow),
        ("mcp__orchestrator__report_task", json!({}), Verdict::Allow, Verdict::Allow),
        ("mcp__orchestrator__submit_task", json!({}), Verdict::None, Verdict::None),
        ("mcp__orchestrator__submit_decision", json!({}), Verdict::Escalate, Verdict::Escalate),
        ("mcp__orchestrator__restore_checkpoint", json!({}), Verdict::Escalate, Verdict::Escalate),
        ("mcp__github__delete_repo", json!({}), Verdict::Escalate, Verdict::Escalate),
        ("read", json!({"path": "a"}), Verdict::Allow, Verdict::Allow),
        ("edit", json!({"locations": [{"path": "/state/lanes/3/a"}]}), Verdict::Allow, Verdict::Escalate),
        ("delete", json!({"path": "a"}), Verdict::Allow, Verdict::Escalate),
        ("move", json!({"locations": [{"path": "a"}, {"path": "/etc/b"}]}), Verdict::Escalate, Verdict::Escalate),
        ("search", json!({}), Verdict::Allow, Verdict::Allow),
        ("execute", json!({"command": "ls", "args": ["-la"]}), Verdict::Allow, Verdict::Allow),
        ("execute", json!({"command": ["rm", "-rf", "/"]}), Verdict::Escalate, Verdict::Escalate),
        ("execute", json!({"command": "ls", "args": ["; rm -rf /"]}), Verdict::Allow, Verdict::Allow),
        ("fetch", json!({"url": "http://x.example"}), Verdict::None, Verdict::None),
        ("think", json!({}), Verdict::Allow, Verdict::Allow),
        ("other", json!({}), Verdict::Escalate, Verdict::Escalate),
        ("PowerShell", json!({"command": "ls"}), Verdict::Escalate, Verdict::Escalate),
        ("Bash", json!({"command": "ls", "dangerouslyDisableSandbox": true}), Verdict::Escalate, Verdict::Escalate),
        ("Bash", json!({"command": 3}), Verdict::Escalate, Verdict::Escalate),
        ("Bash", json!(null), Verdict::Escalate, Verdict::Escalate),
        ("", json!({}), Verdict::Escalate, Verdict::Escalate),
    ];
    for (tool, input, in_lane, in_checkout) in cases {
        let judgement = judged(tool, &input, &lane(), &NoLinks);
        assert_eq!(judgement.verdict, in_lane, "{tool} {input} in a lane: {:?}", judgement.reasons);
        let judgement = judged(tool, &input, &checkout(), &NoLinks);
        assert_eq!(judgement.verdict, in_checkout, "{tool} {input} in the checkout: {:?}", judgement.reasons);
        assert!(!judgement.reasons.is_empty(), "{tool} {input}");
    }
}

/// Whatever asks, in whatever place: what is critical is never let through, and never left to habit.
#[test]
fn what_is_critical_is_never_automatic() {
    let user = "version = 1\n[[rules]]\nid = 'all'\nwhen = \"tool.name != ''\"\nverdict = 'allow'\n";
    let source = orchestrator::core::decide::policy::Source {
        tier: orchestrator::core::decide::policy::Tier::Admin,
        file: "admin.toml",
        text: user,
    };
    let policy = Policy::load(&[source]).expect("it is a policy");
    for line in super::corpora::hold_out() {
        for place in [checkout(), lane()] {
            for environment in [None, Some("production".to_owned())] {
                let known = Known { environment, ..known() };
                let input = json!({"command": line.command});
                let judgement = judge(&policy, &Ask { tool: "Bash", input: &input }, &place, &known, &NoLinks);
                let critical = judgement.criticality > 0.8 || !judgement.understood;
                let automatic = matches!(judgement.verdict, Verdict::Allow | Verdict::None);
                assert!(!(critical && automatic), "{}: {judgement:?}", line.command);
            }
        }
    }
}

#[test]
fn the_same_question_has_the_same_key() {
    let there = Place { cwd: "/state/lanes/9".to_owned(), root: "/state/lanes/9".to_owned(), ..lane() };
    let key = |line: &str, place: &Place| shell(line, place).key;
    assert_eq!(key("rm /state/lanes/3/x", &lane()), key("rm /state/lanes/9/x", &there));
    assert_ne!(key("rm x", &lane()), key("rm y", &lane()));
    let written =
        |content: &str| judged("Write", &json!({"file_path": "a", "content": content}), &lane(), &NoLinks).key;
    assert_eq!(written("1"), written("2"));
}
