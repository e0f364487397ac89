//! Rows of results and their printing.

use std::fmt::Write;

/// Whether a bound is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Held,
    /// It is not.
    Broken,
    /// There is no bound; the number is for orientation.
    Shown,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it must be.
    pub bound: String,
    /// What it is.
    pub measured: String,
    /// Whether that is enough.
    pub verdict: Verdict,
}

impl Row {
    /// A row with a bound.
    pub fn bound(what: impl Into<String>, bound: impl Into<String>, measured: impl Into<String>, held: bool) -> Row {
        let verdict = if held { Verdict::Held } else { Verdict::Broken };
        Row { what: what.into(), bound: bound.into(), measured: measured.into(), verdict }
    }

    /// A row for orientation.
    pub fn shown(what: impl Into<String>, measured: impl Into<String>) -> Row {
        Row { what: what.into(), bound: "-".to_owned(), measured: measured.into(), verdict: Verdict::Shown }
    }
}

/// The table as text, columns aligned.
pub fn render(rows: &[Row]) -> String {
    let header = ["what", "bound", "measured", "verdict"].map(str::to_owned);
    let lines: Vec<[String; 4]> = std::iter::once(header)
        .chain(rows.iter().map(|row| {
            let verdict = match row.verdict {
                Verdict::Held => "held",
                Verdict::Broken => "BROKEN",
                Verdict::Shown => "-",
            };
            [row.what.clone(), row.bound.clone(), row.measured.clone(), verdict.to_owned()]
        }))
        .collect();
    let widths: [usize; 4] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let gap = if column == 3 { "\n" } else { " | " };
            let _ = write!(text, "{cell:width$}{gap}", width = if column == 3 { 0 } else { widths[column] });
        }
    }
    text
}
