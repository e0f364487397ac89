//! Columns that line up. Where one row is one line, what is wider than its share ends in `…`; what people must be able to
//! read whole goes on below itself.

use super::paint::Paint;

/// How a cell is coloured, after its width is settled.
pub type Colour = fn(Paint, &str) -> String;

/// One cell: its text and its colour.
#[derive(Clone)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: one_line(&text.into()), colour: None }
    }
}

impl Cell {
    /// A coloured cell.
    pub fn new(text: impl Into<String>, colour: Colour) -> Cell {
        Cell { text: one_line(&text.into()), colour: Some(colour) }
    }
}

/// Rows with columns lined up and two spaces between them, indented by `indent`; the last column takes what is left of
/// `width`, at least twenty columns, and is cut there.
pub fn table(rows: &[Vec<Cell>], indent: usize, width: usize, paint: Paint) -> String {
    let last = rows.iter().filter_map(|row| row.last()).map(|cell| cell.text.chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(indent + last.min(LAST_MIN));
    lay(rows, indent, Some(room), paint, |text, used| vec![cut(text, width.saturating_sub(used).max(LAST_MIN))])
}

/// The same, and what is wider than the last column goes on in it, a line below.
pub fn prose(rows: &[Vec<Cell>], indent: usize, width: usize, paint: Paint) -> String {
    lay(rows, indent, None, paint, |text, used| fold(text, width.saturating_sub(used).max(FOLDED_MIN)))
}

/// The least that the last column of a table has.
const LAST_MIN: usize = 20;
/// The same where it goes on below itself.
const FOLDED_MIN: usize = 12;
/// A column that is wider than this gives way where the others have no room.
const COLUMN_MIN: usize = 16;

/// `room` is what the columns before the last may take together, `last` makes lines of the last cell's text, given the
/// columns that are used before it.
fn lay(
    rows: &[Vec<Cell>],
    indent: usize,
    room: Option<usize>,
    paint: Paint,
    last: impl Fn(&str, usize) -> Vec<String>,
) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| -> usize {
        rows.iter().filter(|row| row.len() > column + 1).map(|row| row[column].text.chars().count()).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..columns).map(width_of).collect();
    // The widest gives way first, a little at a time, so that a title is cut and an id is not.
    while room
        .is_some_and(|room| widths.iter().filter(|width| **width > 0).map(|width| width + 2).sum::<usize>() > room)
        && let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > COLUMN_MIN)
    {
        *widest -= 1;
    }
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        let mut used = indent;
        for (column, cell) in row.iter().enumerate() {
            let painted = |shown: &str| cell.colour.map_or_else(|| shown.to_owned(), |colour| colour(paint, shown));
            if column + 1 == row.len() {
                let lines: Vec<String> = last(&cell.text, used).iter().map(|shown| painted(shown)).collect();
                line.push_str(&lines.join(&format!("\n{}", " ".repeat(used))));
                break;
            }
            let shown = cut(&cell.text, widths[column]);
            line.push_str(&painted(&shown));
            line.push_str(&" ".repeat(widths[column] - shown.chars().count() + 2));
            used += widths[column] + 2;
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text in lines of at most `width` characters, broken between words; a longer word has a line of its own.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one line at least");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The text on one line: line ends and control characters become spaces, so that no title can draw on the terminal.
pub fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text cut to `width` characters, with `…` where something is missing.
pub fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// The text without control characters other than line ends and tabs: output of programs, safe for a terminal.
pub fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// The last `lines` lines that hold anything, each indented by `indent` and cut to `width`.
pub fn tail(text: &str, lines: usize, indent: usize, width: usize) -> String {
    let clean = harmless(text);
    let full: Vec<&str> = clean.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = full.len().saturating_sub(lines);
    full[start..]
        .iter()
        .map(|line| format!("{}{}\n", " ".repeat(indent), cut(line.trim_end(), width.saturating_sub(indent).max(20))))
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_wide_column_in_the_middle_gives_way() {
        let rows = vec![
            vec!["T-1".into(), "Mend what the linter found: cargo clippy --all-targets".into(), "~30s".into()],
            vec!["T-2".into(), "Format".into(), "~4s".into()],
        ];
        expect![[r#"
            T-1  Mend what the linter fou…  ~30s
            T-2  Format                     ~4s
        "#]]
        .assert_eq(&table(&rows, 0, 36, Paint::PLAIN));
        assert!(table(&rows, 0, 100, Paint::PLAIN).contains("--all-targets  ~30s"));
    }

    #[test]
    fn what_must_be_read_whole_goes_on_below_itself() {
        let rows = vec![
            vec!["ok".into(), "git".into(), "git version 2.47.3".into()],
            vec!["warn".into(), "agents".into(), "no coding agent on the PATH: install one of them".into()],
        ];
        expect![[r#"
            |
            ok    git     git version 2.47.3
            warn  agents  no coding agent on the
                          PATH: install one of them
        "#]]
        .assert_eq(&format!("|\n{}", prose(&rows, 0, 40, Paint::PLAIN)));
        assert_eq!(fold("a-word-that-is-too-long for it", 8), ["a-word-that-is-too-long", "for it"]);
        assert_eq!(fold("", 8), [""]);
    }

    #[test]
    fn columns_line_up_and_the_last_is_cut() {
        let rows = vec![
            vec!["T-1".into(), Cell::new("completed", Paint::green), "Format the sources".into()],
            vec!["T-10".into(), "failed".into(), "Lint\nand mend everything that clippy knows about".into()],
        ];
        // The first line keeps the snapshot from losing the indentation of the rest.
        expect![[r#"
            |
              T-1   completed  Format the sources
              T-10  failed     Lint and mend every…
        "#]]
        .assert_eq(&format!("|\n{}", table(&rows, 2, 39, Paint::PLAIN)));
        let painted = table(&rows, 0, 80, Paint { on: true });
        assert!(painted.contains("\x1b[32mcompleted\x1b[0m  Format"), "colour does not count as width: {painted:?}");
    }

    #[test]
    fn programs_cannot_draw_on_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb\r\n"), "a [2Jb");
        assert_eq!(tail("one\n\n\x1b[31mtwo\nthree\n", 2, 2, 40), "  [31mtwo\n  three\n");
    }
}
