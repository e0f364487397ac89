//! How long to wait before trying again. Pure: the jitter is handed in, nothing here reads a clock or draws a number.

/// The longest that a server's own word is honoured, in seconds. What asks for more is a reset to park for, not a delay.
pub const RETRY_AFTER_MAX_S: f64 = 3600.0;

/// Milliseconds to wait before further execution number `attempt` (1 = the first repetition; 0 counts as 1).
///
/// `min(base · 2^(attempt-1) · (1 + 0.1 · jitter), cap)`, with `jitter` in 0..1: the specification's 1, 2, 4 s with up
/// to 10 % on top and a ceiling of 30 s. A `Retry-After` is a promise by the other side and therefore a floor that the
/// ceiling does not cut, up to [`RETRY_AFTER_MAX_S`]; the jitter still applies, so that a crowd does not come back as one.
/// Values that are not numbers, or below 0, count as 0.
pub fn delay_ms(attempt: u32, base_s: f64, cap_s: f64, retry_after_s: Option<f64>, jitter: f64) -> u64 {
    let sane = |value: f64| if value.is_nan() || value < 0.0 { 0.0 } else { value };
    let (base_s, cap_s, jitter) = (sane(base_s), sane(cap_s), sane(jitter).min(1.0));
    let spread = 1.0 + 0.1 * jitter;
    // 2^64 seconds is past any ceiling; a larger exponent would only overflow.
    let doubling = 2f64.powi(attempt.saturating_sub(1).min(64) as i32);
    let own_s = (base_s * doubling * spread).min(cap_s);
    let theirs_s = retry_after_s.map_or(0.0, |asked_s| sane(asked_s).min(RETRY_AFTER_MAX_S) * spread);
    // Rounded up for what was promised: coming back a fraction early counts as coming back early.
    (own_s.max(theirs_s) * 1000.0).ceil().min(u64::MAX as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling() {
        let delays: Vec<u64> = (1..=7).map(|attempt| delay_ms(attempt, 1.0, 30.0, None, 0.0)).collect();
        assert_eq!(delays, [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    }

    #[test]
    fn jitter_adds_at_most_a_tenth_and_never_passes_the_ceiling() {
        assert_eq!(delay_ms(3, 1.0, 30.0, None, 1.0), 4400);
        assert_eq!(delay_ms(3, 1.0, 30.0, None, 0.5), 4200);
        assert_eq!(delay_ms(6, 1.0, 30.0, None, 1.0), 30000);
        assert_eq!(delay_ms(3, 1.0, 30.0, None, 7.0), 4400);
    }

    #[test]
    fn retry_after_is_a_floor() {
        assert_eq!(delay_ms(1, 1.0, 30.0, Some(20.0), 0.0), 20000);
        assert_eq!(delay_ms(1, 1.0, 30.0, Some(120.0), 0.0), 120_000);
        assert_eq!(delay_ms(5, 1.0, 30.0, Some(2.0), 0.0), 16000);
        assert_eq!(delay_ms(1, 1.0, 30.0, Some(1e12), 0.0), 3_600_000);
    }

    #[test]
    fn senseless_numbers_do_no_harm() {
        assert_eq!(delay_ms(0, 1.0, 30.0, None, 0.0), 1000);
        assert_eq!(delay_ms(u32::MAX, 1.0, 30.0, None, 0.0), 30000);
        assert_eq!(delay_ms(1, f64::NAN, 30.0, Some(-4.0), f64::NAN), 0);
        assert_eq!(delay_ms(2, f64::INFINITY, 30.0, None, 0.0), 30000);
    }
}
