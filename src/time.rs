//! Wall-clock time as it is stored, and the one place that reads the clock.
//!
//! Durable time is [`Timestamp`]: milliseconds since 1970 UTC, stored as a number, shown as RFC 3339.
//! No decision compares clocks of two machines, and nothing in `core/` calls [`now`].

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Reads the wall clock. Only the daemon and the command line call this.
pub fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    #[cfg(debug_assertions)]
    let now = shifted(now);
    Timestamp(now)
}

/// The environment variable by which tests of the real program set its clock: it names a file with milliseconds to add.
/// Builds for people do not have it.
#[cfg(debug_assertions)]
pub const TEST_CLOCK: &str = "ORCHESTRATOR_TEST_CLOCK";

#[cfg(debug_assertions)]
fn shifted(now: u64) -> u64 {
    static FILE: std::sync::LazyLock<Option<std::ffi::OsString>> =
        std::sync::LazyLock::new(|| std::env::var_os(TEST_CLOCK));
    let shift = FILE.as_ref().and_then(|file| std::fs::read_to_string(file).ok()?.trim().parse::<i64>().ok());
    now.saturating_add_signed(shift.unwrap_or(0))
}

impl Timestamp {
    /// This moment plus `delay_ms` milliseconds, saturating.
    pub fn plus_ms(self, delay_ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(delay_ms))
    }

    /// Seconds from `earlier` to this moment; 0 where the clock went backwards.
    pub fn seconds_since(self, earlier: Timestamp) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1000.0
    }

    /// RFC 3339 in UTC with milliseconds, as the wire has it.
    pub fn rfc3339(self) -> String {
        self.to_string()
    }

    /// Reads RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let since = humantime::parse_rfc3339_weak(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Timestamp(since.as_millis() as u64))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The year 9999 is the last that RFC 3339 can write.
        let time = UNIX_EPOCH + Duration::from_millis(self.0.min(253_402_300_799_999));
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_and_read_back() {
        let time = Timestamp(1_795_000_000_123);
        assert_eq!(time.rfc3339(), "2026-11-18T11:06:40.123Z");
        assert_eq!(Timestamp::parse_rfc3339(&time.rfc3339()), Some(time));
        assert_eq!(Timestamp(u64::MAX).rfc3339(), "9999-12-31T23:59:59.999Z");
    }
}
