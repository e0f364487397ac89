//! Durations and moments for people: short, and never more exact than they are.

use crate::{api::Time, time::Timestamp};

/// Seconds as people say them: `0.4s`, `12s`, `3m05s`, `2h10m`, `4d3h`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// How long ago, in one unit: `12s ago`, `3m ago`, `5h ago`, `2d ago`.
pub fn ago(then: Time, now: Timestamp) -> String {
    let whole = now.seconds_since(then.0) as u64;
    match whole {
        0..60 => format!("{whole}s ago"),
        60..3600 => format!("{}m ago", whole / 60),
        3600..172_800 => format!("{}h ago", whole / 3600),
        _ => format!("{}d ago", whole / 86_400),
    }
}

/// How long until then, or `now`.
pub fn until(then: Time, now: Timestamp) -> String {
    match then.0.seconds_since(now) {
        left if left < 1.0 => "now".into(),
        left => seconds(left),
    }
}

/// Bytes as people say them: `512 B`, `3.4 MiB`.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let cases = [
            (0.0, "0.0s"),
            (0.44, "0.4s"),
            (9.94, "9.9s"),
            (9.96, "10s"),
            (59.4, "59s"),
            (59.6, "1m00s"),
            (185.0, "3m05s"),
            (7800.0, "2h10m"),
            (356_400.0, "4d3h"),
            (-1.0, "?"),
            (f64::NAN, "?"),
        ];
        for (value, text) in cases {
            assert_eq!(seconds(value), text, "{value}");
        }
        assert_eq!(ago(Time(Timestamp(0)), Timestamp(200_000)), "3m ago");
        assert_eq!(until(Time(Timestamp(0)), Timestamp(5)), "now");
        assert_eq!(bytes(3_565_158), "3.4 MiB");
        assert_eq!(bytes(0), "0 B");
    }
}
