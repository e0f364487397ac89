//! The numbers that the design holds us to, measured: `cargo bench` for all, `cargo bench -- plan` for those whose
//! name contains a word, `cargo bench -- --list` for the names. One file per group of rows; each row compares with
//! a bare alternative in the same process and the same rounds, because ratios travel between machines and
//! milliseconds do not. Ends with status 1 if a bound is broken.
//!
//! Without optimisation (as `cargo test --all-targets` builds it) sizes are small and no verdict counts: that only
//! shows that everything still runs.

mod calls;
mod engine;
mod front;
mod gate;
mod lanes;
mod lsp;
mod measure;
mod plan;
mod random;
mod sandbox;
mod table;

use std::process::ExitCode;

use table::{Row, Verdict};

/// How large the measured things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As the design says.
    Full,
    /// Just enough to run every line.
    Smoke,
}

/// A group of rows: its name and what measures it.
type Group = (&'static str, fn(Scale) -> Vec<Row>);

const GROUPS: &[Group] = &[
    ("plan-order", plan::order),
    ("plan-file", plan::file),
    ("plan-makespan", plan::makespan),
    ("gate-verdict", gate::verdict),
    ("gate-hook", gate::hook),
    ("lanes", lanes::large),
    ("durable", engine::durable),
    ("idle", engine::idle),
    ("kill-everything", engine::kill_everything),
    ("kill-daemon", engine::kill_daemon),
    ("calls", calls::reads),
    ("history", calls::history),
    ("lsp-read", lsp::read),
    ("lsp-start", lsp::start),
    ("lsp-action", lsp::action),
    ("front-mcp", front::mcp),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == calls::ECHO) {
        calls::echo();
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        GROUPS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let scale = if cfg!(debug_assertions) { Scale::Smoke } else { Scale::Full };
    if scale == Scale::Smoke {
        println!("built without optimisation: small sizes, and the verdicts mean nothing");
    }
    let mut rows = Vec::new();
    for (name, group) in GROUPS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            rows.extend(group(scale));
        }
    }
    if rows.is_empty() {
        eprintln!("no group of that name; `--list` shows them");
        return ExitCode::FAILURE;
    }
    print!("{}", table::render(&rows));
    let broken = rows.iter().any(|row| row.verdict == Verdict::Broken);
    if broken && scale == Scale::Full { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
