//! The user's notify command: told once that a decision waits, and given a moment to say so.

use std::{
    io,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::ids::DecisionId;

/// How often the command is looked at, and how many times before it is ended: 30 seconds.
const LOOKS: (Duration, u32) = (Duration::from_millis(100), 300);

/// Runs the command with the question as its last argument. No shell reads it.
pub fn tell(command: &[String], decision: DecisionId, question: &str) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .arg(format!("{decision}: {question}"))
        .env("ORCHESTRATOR_DECISION", decision.to_string())
        .env("ORCHESTRATOR_QUESTION", question)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    for _ in 0..LOOKS.1 {
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(()),
                false => Err(io::Error::other(format!("{program} ended with {status}"))),
            };
        }
        sleep(LOOKS.0);
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program} did not end within 30 seconds")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_one_argument() {
        let script = r#"test "$1" = 'D-7: May it; run?' && test "$ORCHESTRATOR_DECISION" = D-7"#;
        let command = ["sh", "-c", script, "notify"].map(str::to_owned);
        tell(&command, DecisionId(7), "May it; run?").unwrap();
        assert!(tell(&["/nowhere/at/all".to_owned()], DecisionId(7), "x").is_err());
        assert!(tell(&["false".to_owned()], DecisionId(7), "x").is_err());
    }
}
