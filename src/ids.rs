//! The ids of everything that has one: a letter, a dash, a number, counted per workspace.
//!
//! Printing and parsing are inverse; anything else is refused with what was expected. An id written for
//! another workspace (`web:D-7`) is parsed by [`Foreign`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an id: the text, and the form that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadId {
    /// What was given, cut to a length fit for a message.
    pub text: String,
    /// The expected form, by example.
    pub expected: &'static str,
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an id of the form {}", self.text, self.expected)
    }
}

impl std::error::Error for BadId {}

fn bad(text: &str, expected: &'static str) -> BadId {
    BadId { text: text.chars().take(60).collect(), expected }
}

/// Reads a number the way we print it: no sign, no leading zero, at least one.
fn number(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "-{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix(concat!($letter, "-"))
                    .and_then(number)
                    .map($name)
                    .ok_or_else(|| bad(text, $example))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// One request handed to the orchestrator (the specification's session).
    RunId, "R", "R-3"
);
id!(
    /// One piece of work in a run's graph.
    TaskId, "T", "T-42"
);
id!(
    /// Something that is a person's to decide.
    DecisionId, "D", "D-7"
);
id!(
    /// A journal position with the trees that belong to it.
    CheckpointId, "C", "C-5"
);
id!(
    /// A place in the pool of isolated checkouts.
    LaneId, "L", "L-2"
);

/// One try at a task. `generation` counts from 1 and is the fencing token: a report under any other is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId {
    /// The task that is tried.
    pub task: TaskId,
    /// Which try, from 1.
    pub generation: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task, self.generation)
    }
}

impl FromStr for AttemptId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let parsed = text.split_once('.').and_then(|(task, generation)| {
            Some(AttemptId { task: task.parse().ok()?, generation: number(generation)? })
        });
        parsed.ok_or_else(|| bad(text, "T-42.2"))
    }
}

impl Serialize for AttemptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttemptId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// An id that may name its workspace: `D-7`, or `web:D-7` from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign<T> {
    /// The workspace's short name, where one was given.
    pub workspace: Option<String>,
    /// The id inside that workspace.
    pub id: T,
}

impl<T: FromStr<Err = BadId>> FromStr for Foreign<T> {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.split_once(':') {
            Some((workspace, id)) => Ok(Foreign { workspace: Some(workspace.to_owned()), id: id.parse()? }),
            None => Ok(Foreign { workspace: None, id: text.parse()? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_and_parsing_are_inverse() {
        for text in ["T-1", "T-4294967295"] {
            assert_eq!(text.parse::<TaskId>().unwrap().to_string(), text);
        }
        let attempt: AttemptId = "T-42.2".parse().unwrap();
        assert_eq!(attempt, AttemptId { task: TaskId(42), generation: 2 });
        assert_eq!(attempt.to_string(), "T-42.2");
        assert_eq!("web:D-7".parse::<Foreign<DecisionId>>().unwrap().workspace.as_deref(), Some("web"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "T", "T-", "T-0", "T-01", "T-+1", "t-1", "R-1", "T-4294967296", "T-1 ", "T-1.1", "T-١"] {
            assert!(text.parse::<TaskId>().is_err(), "{text:?} was taken for a task id");
        }
        for text in ["T-1", "T-1.", "T-1.0", "T-1.1.1", "R-1.1"] {
            assert!(text.parse::<AttemptId>().is_err(), "{text:?} was taken for an attempt id");
        }
    }
}
