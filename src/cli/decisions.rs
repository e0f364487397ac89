//! `decisions`: what was decided, and the learner on a stream of JSON lines.

use std::io::{self, BufRead};

use super::{
    console::Console,
    exit::{CliError, Exit},
};
use crate::core::decide::ladder::{Tuning, replay::Replay};

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
