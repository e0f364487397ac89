//! Shell lines with labels: our own hold-out, and the labelled corpora where they lie beside the repository. What may be
//! wrong is bounded: no dangerous line is approved, hardly any that needs approval, and most of the safe ones are.

use std::path::PathBuf;

use orchestrator::core::decide::{
    gate::{NoLinks, Place},
    shell::{self, Label},
};

/// One labelled line.
pub struct Line {
    /// Its label.
    pub label: Label,
    /// The line.
    pub command: String,
    /// Whether people who label disagree about it.
    pub contested: bool,
}

/// Where the labelled corpora are, if they are.
pub fn corpora() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora"));
    let folder = std::env::var_os("ORCHESTRATOR_CORPORA").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Our own lines: a letter, a tab, the line; lines without that go on with the one before.
pub fn hold_out() -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in include_str!("data/commands.txt").lines().filter(|row| !row.starts_with("# ")) {
        let label = match row.split_once('\t') {
            Some(("s", command)) => Some((Label::Safe, command)),
            Some(("n", command)) => Some((Label::NeedsApproval, command)),
            Some(("d", command)) => Some((Label::Dangerous, command)),
            _ => None,
        };
        match (label, lines.last_mut()) {
            (Some((label, command)), _) => lines.push(Line { label, command: command.to_owned(), contested: false }),
            (None, Some(last)) => {
                last.command.push('\n');
                last.command.push_str(row);
            }
            (None, None) => panic!("the first line has no label"),
        }
    }
    lines
}

/// A place as a person's own checkout.
pub fn checkout() -> Place {
    Place {
        cwd: "/home/me/project".to_owned(),
        root: "/home/me/project".to_owned(),
        home: Some("/home/me".to_owned()),
        ..Place::default()
    }
}

fn bounds(name: &str, lines: &[Line]) {
    let (mut safe, mut approved, mut unsafe_lines, mut wrong, mut named) = (0, 0, 0, Vec::new(), 0);
    for line in lines {
        let label = shell::read(&line.command, &checkout(), &NoLinks).label();
        named += usize::from(label == line.label);
        match (line.label, label) {
            (Label::Safe, Label::Safe) => approved += 1,
            (Label::Safe, _) if std::env::var_os("SHOW").is_some() => println!("not approved: {}", line.command),
            (Label::Safe, _) => {}
            (_, Label::Safe) if line.contested => {}
            (label, Label::Safe) => wrong.push(format!("{label:?} approved: {}", line.command)),
            (a, b) if a != b && std::env::var_os("SHOW").is_some() => println!("{a:?} called {b:?}: {}", line.command),
            _ => {}
        }
        safe += usize::from(line.label == Label::Safe);
        unsafe_lines += usize::from(line.label != Label::Safe);
    }
    let share = approved as f64 / safe as f64;
    println!(
        "{name}: {approved} of {safe} safe lines approved ({:.1} %), {} of {unsafe_lines} others, {named} of {} named right",
        share * 100.0,
        wrong.len(),
        lines.len()
    );
    assert!(wrong.iter().all(|line| !line.starts_with("Dangerous")), "{wrong:#?}");
    assert!(wrong.len() as f64 <= 0.003 * unsafe_lines as f64, "{wrong:#?}");
    assert!(share >= 0.7, "only {share:.3} of the safe lines are approved");
}

#[test]
fn our_own_lines() {
    bounds("hold-out", &hold_out());
}

#[test]
fn the_labelled_corpus() {
    let Some(folder) = corpora() else {
        println!("skipped: the labelled corpora are not here");
        return;
    };
    let text = std::fs::read_to_string(folder.join("commands.jsonl")).expect("the corpus");
    let lines: Vec<Line> = text
        .lines()
        .map(|row| {
            let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
            Line {
                label: serde_json::from_value(row["label"].clone()).expect("a label"),
                command: row["command"].as_str().expect("a command").to_owned(),
                contested: row["contested"] == true,
            }
        })
        .collect();
    bounds("corpus", &lines);
}
