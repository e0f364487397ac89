//! What people and sessions ask for: anything, at any time.

use std::path::PathBuf;

use orchestrator::{
    core::{
        Command, Input,
        decide::decision::By,
        input::AgentWord,
        run::{ApprovePlan, Interaction, Mode, Request},
    },
    ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId},
};

use super::world::World;
use crate::scenario::script::plan;

/// Most runs of a world.
const RUNS_MAX: u32 = 4;

fn by() -> By {
    By { kind: "person".into(), surface: "cli".into(), name: None }
}

/// One client does one thing.
pub fn act(world: &mut World) {
    let last = world.core.state.last;
    let pick = world.rng.below(100);
    let run = RunId(1 + world.rng.below(u64::from(last.run) + 1) as u32);
    let task = TaskId(1 + world.rng.below(u64::from(last.task) + 1) as u32);
    let command = match pick {
        _ if last.run == 0 => submit(world),
        0..12 if last.run < RUNS_MAX => submit(world),
        0..45 => match world.core.state.index.open.first().copied() {
            Some(decision) => answer(world, decision),
            None => return,
        },
        45..49 => Command::CancelRun(run),
        49..55 => Command::CancelTask(task),
        55..63 => Command::Retry { run, task: None },
        63..66 => Command::Retry { run, task: Some(task) },
        66..71 => {
            let tasks = if world.chance(30) { vec![task] } else { Vec::new() };
            // A session's apply is asked about in checkpoint mode.
            let asks = world.chance(30);
            Command::Apply { run, tasks, asks }
        }
        71..75 => Command::Undo(run),
        75..78 => Command::Trust { hash: Some("h".to_owned()).filter(|_| world.chance(70)) },
        78..82 => {
            Command::SaveCheckpoint { run: Some(run).filter(|_| world.chance(30)), label: String::new(), position: 1 }
        }
        82..86 => Command::RestoreCheckpoint(CheckpointId(1 + world.rng.below(u64::from(last.checkpoint) + 1) as u32)),
        86..92 => {
            let spec = Box::new(plan(&one_task(world, "late", "")).tasks.remove(0));
            let dependencies = if world.chance(50) { vec![task] } else { Vec::new() };
            let run = Some(run).filter(|_| world.chance(60));
            if run.is_none() && dependencies.is_empty() && last.run >= RUNS_MAX {
                return;
            }
            let request = Request { checkout: PathBuf::from("/w"), ..Request::default() };
            Command::SubmitTask { spec, dependencies, run, request: Box::new(request) }
        }
        92..95 => Command::ClaimTask { task: Some(task).filter(|_| world.chance(50)), holder: "session:s".into() },
        95..97 => {
            let attempts = world.core.state.task(task).map_or(1, |task| task.attempts.len().max(1)) as u64;
            let attempt = AttemptId { task, generation: 1 + world.rng.below(attempts) as u32 };
            let word = match world.rng.below(6) {
                0 => AgentWord::Present,
                1 => AgentWord::Progress(Some(20.0)),
                2 => AgentWord::Note("n".into()),
                3 => AgentWord::Failed("no".into()),
                _ => AgentWord::Done("yes".into()),
            };
            Command::AgentReport { attempt, word }
        }
        // A late click on something that is answered already.
        _ => Command::Answer {
            decision: DecisionId(1 + world.rng.below(u64::from(last.decision) + 1) as u32),
            choice: "no-such-option".into(),
            text: None,
            by: by(),
            remember: Default::default(),
        },
    };
    let command = match command {
        // They have a key of their own.
        Command::Submit(_) | Command::SubmitTask { .. } => command,
        command => {
            world.calls += 1;
            let (key, call) = (format!("k{}", world.calls), "call".to_owned());
            Command::Keyed { key, call, command: Box::new(command) }
        }
    };
    world.called = Some(command.clone());
    world.input(Input::Command(command));
}

/// A client whose answer was lost in a crash asks again, with the same key: what was done is not done again.
pub fn ask_again(world: &mut World) {
    let Some(command) = world.called.clone() else { return };
    let Command::Keyed { key, .. } = &command else { return };
    if world.core.state.answered.iter().any(|known| known.key == *key) {
        let commits = world.core.journal.len();
        world.input(Input::Command(command));
        assert_eq!(world.core.journal.len(), commits, "a call that was answered was done again");
    }
}

fn answer(world: &mut World, decision: DecisionId) -> Command {
    let options = world.core.state.decisions[&decision].options.clone();
    let choice = options[world.rng.below(options.len() as u64) as usize].id.clone();
    Command::Answer { decision, choice, text: None, by: by(), remember: Default::default() }
}

/// Answers everything that is open. False = nothing was.
pub fn answer_all(world: &mut World, round: u32) -> bool {
    let open: Vec<DecisionId> = world.core.state.index.open.iter().copied().collect();
    for decision in &open {
        let Some(found) = world.core.state.decisions.get(decision).filter(|decision| decision.open()) else { continue };
        // In the end people give up what cannot be had.
        let choice = found.options.last().expect("there are options").id.clone();
        let command = match round < 5 {
            true => answer(world, *decision),
            false => {
                Command::Answer { decision: *decision, choice, text: None, by: by(), remember: Default::default() }
            }
        };
        world.input(Input::Command(command));
    }
    assert!(round < 100, "questions without end");
    !open.is_empty()
}

fn submit(world: &mut World) -> Command {
    let count = 1 + world.rng.below(6);
    let mut text = String::new();
    if world.chance(40) {
        text.push_str(["stop; ", "final=whole; ", "stop final=whole,again; ", "max=1; "][world.rng.below(4) as usize]);
    }
    let mut names: Vec<String> = Vec::new();
    for number in 0..count {
        let letter = ["w", "x", "s", "v"][world.rng.below(4) as usize];
        let name = format!("{letter}{number}");
        let mut needs = Vec::new();
        for earlier in &names {
            if world.chance(35) {
                needs.push(earlier.clone());
            }
        }
        let needs = if needs.is_empty() { String::new() } else { format!(" needs={}", needs.join(",")) };
        text.push_str(&one_task(world, &name, &needs));
        if number + 1 < count {
            text.push_str("; ");
        }
        names.push(name);
    }
    let request = Request {
        description: "do it".into(),
        checkout: PathBuf::from("/w"),
        plan: Some(Box::new(plan(&text))),
        mode: if world.chance(4) { Mode::Plan } else { Mode::Start },
        interaction: if world.chance(10) { Interaction::Collaborative } else { Interaction::Checkpoint },
        approve_plan: if world.chance(5) { ApprovePlan::Always } else { ApprovePlan::Auto },
        jobs: if world.chance(20) { Some(1 + world.rng.below(3) as u32) } else { None },
        key: if world.chance(20) { Some("key".into()) } else { None },
        trust: world.chance(50),
        ..Request::default()
    };
    Command::Submit(Box::new(request))
}

fn one_task(world: &mut World, name: &str, needs: &str) -> String {
    let kind = match world.rng.below(20) {
        0..8 => "",
        8..14 => " read",
        14 | 15 => " ext comp probe",
        16 => " ext comp",
        17 => " ext",
        18 => " ask",
        _ => " agent",
    };
    let mut text = format!("{name}{kind}{needs}");
    let proven = world.rng.below(8);
    if !kind.contains("ask") {
        text.push_str(match proven {
            0 | 1 => " verify=unit",
            2 => " verify=unit,lint",
            3 => " verify=-",
            4 if !kind.contains("agent") => " writes=src/common res=db",
            5 => " res=db,net retry=1",
            _ => "",
        });
    }
    if kind.contains("agent") && !text.contains("writes=") {
        text.push_str(" writes=src");
    }
    if kind.contains("ext") && world.chance(20) {
        text.push_str(" idem");
    }
    text
}
