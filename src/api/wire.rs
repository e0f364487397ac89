//! How single values look on the wire: times, and requests that are checked by us instead of by the RPC library.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{error::ApiError, request::Request};
use crate::{
    ids::{AttemptId, BadId, RunId, TaskId},
    time::Timestamp,
};

/// A moment, RFC 3339 in UTC on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Timestamp);

impl Time {
    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Time> {
        Timestamp::parse_rfc3339(text).map(Time)
    }

    /// Hours and minutes in UTC, for messages: `14:02 UTC`.
    pub fn clock(self) -> String {
        format!("{} UTC", self.0.rfc3339().get(11..16).unwrap_or("??:??"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Time {
        Time(timestamp)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Time::parse(&text)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is not a time of the form 2026-11-22T14:02:00Z")))
    }
}

macro_rules! one_of_ids {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $($variant:ident($id:ty): $what:literal),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $what] $variant($id)),+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $($name::$variant(id) => id.fmt(f)),+ }
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                $(if let Ok(id) = text.parse() { return Ok($name::$variant(id)); })+
                Err(BadId { text: text.chars().take(60).collect(), expected: $expected })
            }
        }

        $(impl From<$id> for $name {
            fn from(id: $id) -> Self { $name::$variant(id) }
        })+

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

one_of_ids!(
    /// What a call about work may name: a task or a whole run.
    WorkId, "T-42 or R-3", Task(TaskId): "One task.", Run(RunId): "A run with all its tasks."
);
one_of_ids!(
    /// What a log belongs to: a task (its last attempt) or one attempt.
    LogId, "T-42 or T-42.2", Task(TaskId): "The task's last attempt.", Attempt(AttemptId): "This attempt."
);

/// A request as it came in, before [`Unchecked::check`].
///
/// The RPC library would answer a bad request with its own words. This carries the value through, so that the
/// answer is ours: which field, what is wrong, and the nearest name.
#[derive(Debug, Clone)]
pub struct Unchecked<T> {
    value: Value,
    kind: PhantomData<fn() -> T>,
}

impl<T: Request> Unchecked<T> {
    /// The request, or what is wrong with it.
    pub fn check(self) -> Result<T, ApiError> {
        super::request::parse_request(self.value)
    }

    /// The value as it came in.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

impl<T> From<Value> for Unchecked<T> {
    fn from(value: Value) -> Self {
        Unchecked { value, kind: PhantomData }
    }
}

impl<T: Request + Serialize> From<&T> for Unchecked<T> {
    fn from(request: &T) -> Self {
        // Our request types have string keys and no failing serializers; a null would be refused by `check`.
        Unchecked { value: serde_json::to_value(request).unwrap_or(Value::Null), kind: PhantomData }
    }
}

impl<T> Serialize for Unchecked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Unchecked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Unchecked::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let time = Time::parse("2026-11-22T14:02:00.250Z").unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-11-22T14:02:00.250Z\"");
        assert_eq!(serde_json::from_str::<Time>("\"2026-11-22T14:02:00.250Z\"").unwrap(), time);
        assert_eq!(time.clock(), "14:02 UTC");
        let error = serde_json::from_str::<Time>("\"soon\"").unwrap_err().to_string();
        assert!(error.starts_with("\"soon\" is not a time of the form"), "{error}");
    }

    #[test]
    fn work_is_a_task_or_a_run() {
        assert_eq!("T-4".parse::<WorkId>().unwrap(), WorkId::Task(TaskId(4)));
        assert_eq!("R-4".parse::<WorkId>().unwrap().to_string(), "R-4");
        assert_eq!("T-4.1".parse::<WorkId>().unwrap_err().expected, "T-42 or R-3");
        assert!("T-4.1".parse::<LogId>().is_ok());
    }
}
