//! The specification's progress bar (2.5): thirty cells, full ones first, one decimal.

/// Cells of the specification's bar.
pub const WIDTH: usize = 30;

/// `[████░░░░]` for a percentage, clamped to 0..100.
pub fn cells(percentage: f64, width: usize) -> String {
    let share = if percentage.is_finite() { percentage.clamp(0.0, 100.0) / 100.0 } else { 0.0 };
    let filled = (width as f64 * share) as usize;
    format!("[{}{}]", "█".repeat(filled), "░".repeat(width - filled))
}

/// `[████░░░░] 42.0%`.
pub fn bar(percentage: f64, width: usize) -> String {
    let shown = if percentage.is_finite() { percentage.clamp(0.0, 100.0) } else { 0.0 };
    format!("{} {shown:.1}%", cells(percentage, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_the_specifications() {
        assert_eq!(bar(42.0, WIDTH), "[████████████░░░░░░░░░░░░░░░░░░] 42.0%");
        assert_eq!(bar(0.0, 4), "[░░░░] 0.0%");
        assert_eq!(bar(99.9, 4), "[███░] 99.9%", "not full before it is done");
        assert_eq!(bar(100.0, 4), "[████] 100.0%");
        assert_eq!(bar(250.0, 4), "[████] 100.0%");
        assert_eq!(bar(f64::NAN, 4), "[░░░░] 0.0%");
    }
}
