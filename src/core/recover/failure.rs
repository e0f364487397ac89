//! Why an attempt failed, judged once and stored.

use super::classify::{Class, Classified, Exit, Route, classify};
use crate::core::{decide::policy::Policy, job::End, task::Failure};

/// Most of a failure's message that is stored, bytes.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// A process that ended badly.
pub fn of_end(end: &End, tail: &str) -> Failure {
    let exit = match end {
        End::Exit(code) => Exit::Code(*code),
        End::Signal(signal) => Exit::Signal(*signal),
        End::Timeout => Exit::Timeout,
        End::Silent => Exit::Silent,
        End::Cancelled => Exit::Cancelled,
        End::NotStarted(_) => Exit::NotStarted,
        End::Garbled(_) => Exit::Garbled,
        End::Lost => Exit::Lost,
    };
    let message = match end {
        End::Exit(127) => {
            "it ended with exit status 127: a program was not found in its lane. Install it, or name the \
                           folder that has it in [lanes] copy or link, or say how to install it in [lanes] setup"
                .to_owned()
        }
        End::Exit(code) => format!("it ended with exit status {code}"),
        End::Signal(signal) => format!("signal {signal} ended it"),
        End::Timeout => "it took longer than its time limit and was ended".to_owned(),
        End::Silent => "it said nothing for too long and was ended".to_owned(),
        End::Cancelled => "it was cancelled".to_owned(),
        End::NotStarted(why) => why.clone(),
        End::Garbled(what) => format!("its output could not be read: {what}"),
        End::Lost => "it may have run: the machine or the keeper went down while it did".to_owned(),
    };
    let shown = if tail.is_empty() { message } else { format!("{message}\n{tail}") };
    // Only words of the outside are read for signs; ours would be taken for a program's.
    let words = match end {
        End::NotStarted(why) | End::Garbled(why) if tail.is_empty() => why,
        _ => tail,
    };
    stored(classify(words, exit), &shown)
}

/// The same failure, as the user's own patterns call it (SCHEMAS S6, `[[error_patterns]]`): they have the first word on
/// what a text means. What was said by no text is left as it is: a conflict, an undo that failed, a limit reached.
pub fn by_pattern(policy: &Policy, failure: Failure) -> Failure {
    let by_text = !matches!(failure.class.as_str(), "stuck_undo" | "budget") && failure.class != word(Class::Conflict);
    let Some(pattern) = policy.failure(&failure.message).filter(|_| by_text) else { return failure };
    let again = matches!(pattern.route, Route::Retry | Route::Park);
    Failure {
        class: word(pattern.class),
        next: word(pattern.route),
        recoverable: pattern.route != Route::Escalate,
        retry_potential: if again { failure.retry_potential.max(0.5) } else { 0.0 },
        escalation_required: pattern.route == Route::Escalate,
        pattern: Some(pattern.id.clone()),
        ..failure
    }
}

/// What the text begins with where a command that makes new lanes ready failed.
pub const SETUP: &str = "the lane's setup";

/// A step of ours that failed: laying out a lane, reading it, merging.
pub fn of_step(why: &str) -> Failure {
    if why.starts_with(SETUP) {
        return environment(why);
    }
    let failure = stored(classify(why, Exit::Unknown), why);
    // Our own steps may be repeated, and a disk that is full now has room again when somebody else is done.
    match failure.class == word(Class::Resource) {
        true => Failure { recoverable: true, retry_potential: 0.5, next: word(Route::Retry), ..failure },
        false => failure,
    }
}

/// A session that had a task and was not heard of any more.
pub fn of_lease(what: &str) -> Failure {
    Failure {
        class: word(Class::Transient),
        severity: "low".to_owned(),
        recoverable: true,
        retry_potential: 0.5,
        escalation_required: false,
        message: cut(what),
        next: word(Route::Retry),
        pattern: None,
    }
}

/// An agent's work that was judged and found wanting: it may try again, and is told why.
pub fn judged(what: &str) -> Failure {
    Failure { recoverable: true, retry_potential: 0.5, next: word(Route::Retry), ..wrong_output(what) }
}

/// An agent that had to stop: what it said of it decides the class.
pub fn of_agent(end: &End, trouble: &str, said: &str) -> Failure {
    let failure = of_end(end, said);
    let (class, next) = match trouble {
        "quota" => ("quota", word(Route::Park)),
        "budget" => ("budget", word(Route::Escalate)),
        "refused" | "auth" => ("security", word(Route::Escalate)),
        // It broke off without a reason that is known: what it did is kept, and it goes on from there.
        _ if failure.class == word(Class::Unknown) => ("unknown", word(Route::Retry)),
        // Likewise where it crashed, or something ended it from outside.
        _ if matches!(end, End::Signal(_)) => (failure.class.as_str(), word(Route::Retry)),
        _ => return failure,
    };
    Failure { class: class.to_owned(), recoverable: true, next, ..failure.clone() }
}

/// It ran, but what it did is not what was wanted.
pub fn wrong_output(what: &str) -> Failure {
    Failure {
        class: word(Class::WrongOutput),
        severity: "medium".to_owned(),
        recoverable: false,
        retry_potential: 0.0,
        escalation_required: false,
        message: cut(what),
        next: word(Route::Rollback),
        pattern: None,
    }
}

/// What it needs is not here.
pub fn environment(what: &str) -> Failure {
    Failure {
        class: word(Class::Environment),
        severity: "medium".to_owned(),
        recoverable: false,
        retry_potential: 0.0,
        escalation_required: false,
        message: cut(what),
        next: word(Route::Escalate),
        pattern: None,
    }
}

/// Its change and what landed meanwhile touch the same lines.
pub fn conflict(paths: &[String]) -> Failure {
    Failure {
        class: word(Class::Conflict),
        severity: "low".to_owned(),
        recoverable: true,
        retry_potential: 0.5,
        escalation_required: false,
        message: cut(&format!("it conflicts with what has landed, in {}", paths.join(", "))),
        next: word(Route::Retry),
        pattern: None,
    }
}

/// Its change and what landed meanwhile touch different lines, and do not hold together.
pub fn clash(what: &str) -> Failure {
    Failure { message: cut(what), ..conflict(&[]) }
}

/// An undo outside that failed: never tried twice by itself.
pub fn stuck(end: &End, tail: &str) -> Failure {
    Failure {
        class: "stuck_undo".to_owned(),
        severity: "critical".to_owned(),
        recoverable: false,
        retry_potential: 0.0,
        escalation_required: true,
        message: cut(&format!("its effect outside could not be taken back ({end})\n{tail}")),
        next: word(Route::Escalate),
        pattern: None,
    }
}

fn stored(classified: Classified, message: &str) -> Failure {
    Failure {
        class: word(classified.class),
        severity: word(classified.severity),
        recoverable: classified.recoverable,
        retry_potential: classified.retry_potential,
        escalation_required: classified.escalation_required,
        message: cut(message),
        next: word(classified.route),
        pattern: None,
    }
}

/// The name that the wire and the journal have for it.
fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("classes, severities and routes are plain words"),
    }
}

fn cut(message: &str) -> String {
    let message = message.trim_end();
    match message.len() > MESSAGE_BYTES_MAX {
        // The end of an output says more than its beginning, the first line more than both.
        true => {
            let first = message.lines().next().unwrap_or("");
            let from = message.len() - MESSAGE_BYTES_MAX;
            let from = (from..message.len()).find(|at| message.is_char_boundary(*at)).unwrap_or(message.len());
            let first: String = first.chars().take(200).collect();
            format!("{first}\n…\n{}", &message[from..])
        }
        false => message.to_owned(),
    }
}
