//! The throw-away repository of the demo, and the plans that are run on it. Only `sh` and git are needed.

use serde_json::{Value, json};

use super::stage::{Stage, Trouble};

/// Tasks whose change is right.
pub const GOOD: [&str; 5] = ["count", "lower", "repeat", "trim", "upper"];

/// The task whose change is wrong, though its command succeeds.
pub const WRONG: &str = "first";

/// What every improved file says.
pub const IMPROVED: &str = "# Without an argument it reads standard input.";

/// What the edits by hand say.
pub const BY_HAND: &str = "edited by hand";

/// Name, the function as it is, and what the check wants of it: arguments and answer.
const FUNCTIONS: [(&str, &str, &str, &str); 6] = [
    ("count", "printf '%s\\n' \"$1\" | wc -w | tr -d ' '", "'a b c'", "3"),
    ("first", "printf '%s\\n' \"${1%% *}\"", "'alpha beta'", "alpha"),
    ("lower", "printf '%s\\n' \"$1\" | tr A-Z a-z", "ABC", "abc"),
    ("repeat", "printf '%s%s\\n' \"$1\" \"$1\"", "ab", "abab"),
    ("trim", "printf '%s\\n' \"$1\" | sed 's/^ *//; s/ *$//'", "'  x  '", "x"),
    ("upper", "printf '%s\\n' \"$1\" | tr a-z A-Z", "abc", "ABC"),
];

/// Makes the repository.
pub fn make(stage: &Stage) -> Result<(), Trouble> {
    let mut check = String::from("set -eu\ncd \"$(dirname \"$0\")\"\nfor file in lib/*.sh; do . \"./$file\"; done\n");
    check.push_str("want() { [ \"$2\" = \"$3\" ] || { echo \"$1: wanted $2, got $3\"; exit 1; }; }\n");
    for (name, body, arguments, answer) in FUNCTIONS {
        // Room between the head and the function, so that edits of both are two edits.
        let text = format!("# {name}: a small tool.\n#\n#\n#\n#\n{name}() {{\n    {body}\n}}\n");
        stage.write(&format!("repo/lib/{name}.sh"), &text)?;
        check.push_str(&format!("want {name} {answer} \"$({name} {arguments})\"\n"));
    }
    stage.write("repo/check.sh", &check)?;
    stage.write("repo/README.md", "Six small tools.\n")?;
    for folder in ["met", "tmp"] {
        stage.make_folder(folder)?;
    }
    stage.git(&["init", "--quiet"])?;
    stage.git(&["config", "user.name", "Demo"])?;
    stage.git(&["config", "user.email", "demo@localhost"])?;
    stage.git(&["add", "."])?;
    stage.git(&["commit", "--quiet", "-m", "Six small tools"])?;
    Ok(())
}

/// The person's own, uncommitted edits: one file of the result and one that it does not touch.
pub fn edit_by_hand(stage: &Stage) -> Result<(), Trouble> {
    stage.write("repo/README.md", &format!("Six small tools, {BY_HAND}.\n"))?;
    let count = stage.read("repo/lib/count.sh")?;
    stage.write("repo/lib/count.sh", &count.replacen("a small tool", BY_HAND, 1))
}

fn check() -> Value {
    json!([["sh", "check.sh"]])
}

/// Six changes at once, one of them wrong, and a seventh that waits for an answer.
pub fn six(stage: &Stage) -> Value {
    let met = stage.quoted("met");
    let mut tasks: Vec<Value> = FUNCTIONS
        .iter()
        .map(|(name, body, ..)| {
            // The wrong one gives the last word instead of the first.
            let body = if *name == WRONG { "printf '%s\\n' \"${1##* }\"" } else { body };
            let run = format!(
                "set -eu\n: > {met}/{name}\ntries=0\nuntil [ \"$(ls {met} | wc -l)\" -ge 6 ]; do\n\
                 tries=$((tries + 1)); [ $tries -lt 1200 ] || exit 9; sleep 0.05\ndone\n\
                 {{ sed '/^{name}() /,$d' lib/{name}.sh; cat <<'END'\n{IMPROVED}\n{name}() {{\n    \
                 [ $# -gt 0 ] || set -- \"$(cat)\"\n    {body}\n}}\nEND\n}} > lib/{name}.new\n\
                 mv lib/{name}.new lib/{name}.sh\n"
            );
            json!({"id": name, "title": format!("Let {name} read standard input"), "kind": "shell", "run": run, "verify": check()})
        })
        .collect();
    tasks.push(json!({
        "id": "tone", "title": "How to greet", "kind": "decision",
        "question": "How shall the greeting sound?", "options": ["Plain", "Polite"], "criticality": 0.2,
    }));
    tasks.push(json!({
        "id": "greeting", "title": "Write the greeting", "kind": "shell", "needs": ["tone"],
        "run": "case $ORCHESTRATOR_ANSWER_TONE in polite) echo 'Welcome, and thank you.';; *) echo Hello.;; esac > GREETING.md",
        "verify": [["sh", "-c", "test -s GREETING.md && sh check.sh"]],
    }));
    json!({"version": 1, "title": "Improve the tools", "tasks": tasks})
}

/// Six tasks that wait for a file, and say outside their lanes that they began and that they ended.
pub fn survive(stage: &Stage) -> Value {
    let (started, ended, go) = (stage.quoted("started"), stage.quoted("ended"), stage.quoted("go"));
    let tasks: Vec<Value> = ["red", "orange", "yellow", "green", "blue", "violet"]
        .iter()
        .map(|name| {
            let run = format!(
                "set -eu\necho {name} $$ >> {started}\ntries=0\nuntil [ -e {go} ]; do\n\
                 tries=$((tries + 1)); [ $tries -lt 1200 ] || exit 9; sleep 0.05\ndone\n\
                 mkdir -p notes\necho {name} > notes/{name}\necho {name} >> {ended}\n"
            );
            json!({"id": name, "title": format!("Note {name}"), "kind": "shell", "run": run, "verify": check()})
        })
        .collect();
    json!({"version": 1, "title": "Survive", "tasks": tasks})
}
