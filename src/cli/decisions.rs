//! `decisions`: what was decided, and the learner on a stream of JSON lines.

use std::{
    io::{self, BufRead},
    path::Path,
};

use super::{
    console::Console,
    exit::{CliError, Exit},
    render,
};
use crate::{
    api::OrchestratorApiClient,
    core::decide::ladder::{Tuning, replay::Replay},
    time::now,
};

/// The longest line that is read: a stream without line ends must not fill the memory.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Decides a stream; each reply leaves before the next line is read. Needs no daemon.
pub fn replay(console: &mut Console, seed: u64) -> Result<Exit, CliError> {
    let mut replay = Replay::new(Tuning::default(), seed);
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut input, LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(CliError::io("cannot read standard input"))? == 0 {
            return Ok(Exit::Completed);
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX {
            let hint = "each line is one JSON object of less than 1 MiB";
            return Err(CliError::usage("a line is longer than 1 MiB", hint));
        }
        if let Some(reply) = replay.line(&String::from_utf8_lossy(&line)) {
            console.object(&reply)?;
        }
    }
}

/// What was decided, by whom, and what is remembered.
pub async fn history<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    last: u32,
) -> Result<Exit, CliError> {
    let history = client.decision_history(Some(last)).await?;
    let width = console.width;
    console.reply(&history, |history, paint| render::scorecard::history(history, now(), width, paint))?;
    Ok(Exit::Completed)
}

/// A remembered answer no longer holds.
pub async fn forget<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: String,
) -> Result<Exit, CliError> {
    let reply = client.forget_rule(id, None).await?;
    console.reply(&reply, |reply, paint| format!("{} {}\n", paint.green("✓"), reply.summary))?;
    Ok(Exit::Completed)
}

/// How well decisions without a person went, in words or as a picture.
pub async fn scorecard<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    svg: Option<&Path>,
) -> Result<Exit, CliError> {
    let card = client.get_scorecard().await?;
    let width = console.width;
    match svg {
        Some(file) if file == Path::new("-") => console.text(render::scorecard::picture(&card))?,
        Some(file) => {
            let picture = render::scorecard::picture(&card);
            std::fs::write(file, picture).map_err(CliError::io(format!("cannot write {}", file.display())))?;
            console.note(format!("scorecard written to {}", file.display()))?;
        }
        None => console.reply(&card, |card, paint| render::scorecard::card(card, width, paint))?,
    }
    Ok(Exit::Completed)
}
