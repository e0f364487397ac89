//! A run's timeline as a picture: one row per task, one bar per stretch of work, on a common time axis.
//!
//! Pure: report in, SVG out. Plain classes and one media query, no scripts, no fonts to fetch, so that the file is at
//! home in a browser, a README and a converter, on light and dark ground alike.

use std::fmt::Write;

use super::{
    duration::seconds,
    paint::{Tone, glyph, tone},
    table::{cut, one_line},
};
use crate::{
    api::{
        Outcome, Report, TaskState,
        result::{Phase, ReportTask},
    },
    time::Timestamp,
};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 20.0;
const LABELS: f64 = 288.0;
const NOTES: f64 = 104.0;
const ROW: f64 = 26.0;
const BAR: f64 = 14.0;
const HEAD: f64 = 92.0;
/// Rows drawn; a picture of more is no picture.
const ROWS_MAX: usize = 400;

const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;fill:#1f2328}\
.ground{fill:#ffffff}.edge{fill:none;stroke:#d1d9e0}.stripe{fill:#f6f8fa}.grid{stroke:#d1d9e0;stroke-width:1}\
.h{font-size:15px;font-weight:600}.soft{fill:#59636e}.num{font-variant-numeric:tabular-nums}.crit{font-weight:600}\
.good{fill:#1a7f37}.bad{fill:#cf222e}.look{fill:#bf8700}.busy{fill:#0969da}.quiet{fill:#818b98}\
.thin{opacity:.35}.mid{opacity:.65}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.edge{stroke:#3d444d}.stripe{fill:#151b23}\
.grid{stroke:#2f353d}.soft{fill:#9198a1}.good{fill:#3fb950}.bad{fill:#f85149}.look{fill:#d29922}.busy{fill:#4493f8}\
.quiet{fill:#656c76}}";

/// The timeline of a run. What still goes on is drawn up to `now`.
pub fn timeline(report: &Report, now: Timestamp) -> String {
    let mut rows: Vec<&ReportTask> = report.tasks.iter().collect();
    // In the order in which things happened; what never started comes last.
    rows.sort_by_key(|task| (task.started_at.is_none(), task.started_at, task.task_id));
    let hidden = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);

    let begin = report.created_at.0;
    let end = end_of(report, now);
    let total_s = end.seconds_since(begin).max(0.001);
    let plot_x = MARGIN + LABELS;
    let plot_w = WIDTH - 2.0 * MARGIN - LABELS - NOTES;
    let x_of = |at: Timestamp| plot_x + plot_w * (at.seconds_since(begin) / total_s).clamp(0.0, 1.0);
    let bottom = HEAD + ROW * rows.len() as f64;
    let height = bottom + if hidden > 0 { 64.0 } else { 46.0 };

    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{}\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\
         <rect class=\"edge\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        escape(&report.summary),
        WIDTH - 1.0,
        height - 1.0,
    );
    heading(&mut svg, report, total_s);

    for (row, _) in rows.iter().enumerate().filter(|(row, _)| row % 2 == 0) {
        let y = HEAD + ROW * row as f64;
        let width = WIDTH - 2.0 * MARGIN + 16.0;
        let _ = writeln!(
            svg,
            "<rect class=\"stripe\" x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"{ROW}\" rx=\"4\"/>",
            MARGIN - 8.0
        );
    }
    let step = tick_step(total_s);
    let mut tick = 0.0;
    while tick <= total_s {
        let x = plot_x + plot_w * tick / total_s;
        let label = if tick == 0.0 { "0".to_owned() } else { tick_label(tick, step) };
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"soft num\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            HEAD - 4.0,
            HEAD - 10.0,
        );
        tick += step;
    }
    for (row, task) in rows.iter().enumerate() {
        task_row(&mut svg, task, HEAD + ROW * row as f64, now.min(end), &x_of);
    }
    if hidden > 0 {
        let _ =
            writeln!(svg, "<text class=\"soft\" x=\"{MARGIN}\" y=\"{}\">and {hidden} more tasks</text>", bottom + 18.0);
    }
    legend(&mut svg, &rows, height - 18.0);
    svg.push_str("</svg>\n");
    svg
}

fn heading(svg: &mut String, report: &Report, total_s: f64) {
    let (word, class) = match report.outcome {
        Some(outcome @ Outcome::Completed) => (outcome.name(), "good"),
        Some(outcome @ Outcome::Partial) => (outcome.name(), "look"),
        Some(outcome @ Outcome::Failed) => (outcome.name(), "bad"),
        Some(outcome @ Outcome::Cancelled) => (outcome.name(), "quiet"),
        None => ("in work", "busy"),
    };
    let _ = writeln!(
        svg,
        "<text class=\"h\" x=\"{MARGIN}\" y=\"32\">{} · {}</text>\n\
         <text x=\"{MARGIN}\" y=\"52\"><tspan class=\"{class} crit\">{word}</tspan>\
         <tspan class=\"soft\" dx=\"5\">· {} of {} tasks landed · {}</tspan></text>",
        report.request_id,
        escape(&cut(&one_line(&report.description), 96)),
        report.landed.len(),
        report.tasks.len(),
        seconds(total_s),
    );
}

fn task_row(svg: &mut String, task: &ReportTask, y: f64, now: Timestamp, x_of: &dyn Fn(Timestamp) -> f64) {
    let class = class_of(task.status);
    let middle = y + ROW / 2.0 + 4.0;
    let title = if task.title.is_empty() { &task.name } else { &task.title };
    let weight = if task.critical { " class=\"crit\"" } else { "" };
    let _ = writeln!(
        svg,
        "<g><title>{} {}: {}{}</title><text class=\"{class}\" x=\"{MARGIN}\" y=\"{middle}\">{}</text>\
         <text class=\"soft num\" x=\"{}\" y=\"{middle}\">{}</text><text{weight} x=\"{}\" y=\"{middle}\">{}</text>",
        task.task_id,
        escape(title),
        task.status.name(),
        if task.reason.is_empty() { String::new() } else { format!(", {}", escape(&task.reason)) },
        glyph(task.status),
        MARGIN + 18.0,
        task.task_id,
        MARGIN + 62.0,
        escape(&cut(&one_line(title), 33)),
    );
    let top = y + (ROW - BAR) / 2.0;
    let mut right = None;
    for span in &task.spans {
        let (from, to) = (x_of(span.started_at.0), x_of(span.ended_at.map_or(now, |end| end.0)));
        // A stretch shorter than a pixel is still a stretch.
        let width = (to - from).max(1.5);
        let class = if span.ok == Some(false) { "bad" } else { class };
        let shade = match span.phase {
            Phase::Prepare | Phase::Wait => " thin",
            Phase::Verify => " mid",
            Phase::Work | Phase::Land => "",
        };
        let _ = writeln!(
            svg,
            "<rect class=\"{class}{shade}\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"><title>{} {}</title></rect>",
            span.attempt,
            phase_name(span.phase),
        );
        right = Some(right.map_or(from + width, |right: f64| right.max(from + width)));
    }
    let note = match (task.seconds, task.lane) {
        (Some(taken), Some(lane)) => format!("{} · {lane}", seconds(taken)),
        (Some(taken), None) => seconds(taken),
        (None, _) => task.status.name().replace('_', " "),
    };
    let _ = writeln!(
        svg,
        "<text class=\"soft num\" x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{note}</text></g>",
        WIDTH - MARGIN
    );
}

fn legend(svg: &mut String, rows: &[&ReportTask], y: f64) {
    let mut x = MARGIN;
    let tones = [
        (Tone::Good, "landed"),
        (Tone::Look, "undone, blocked or waiting"),
        (Tone::Bad, "failed"),
        (Tone::Busy, "in work"),
        (Tone::Quiet, "not started or cancelled"),
    ];
    let shown = tones.into_iter().filter(|(kind, _)| rows.iter().any(|task| tone(task.status) == *kind));
    let mut entries: Vec<(String, &str)> = shown.map(|(kind, name)| (tone_class(kind).to_owned(), name)).collect();
    entries.push(("quiet thin".into(), "waits"));
    entries.push(("quiet mid".into(), "is checked"));
    for (class, name) in entries {
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/><text class=\"soft\" x=\"{}\" y=\"{y}\">{name}</text>",
            y - 10.0,
            x + 18.0,
        );
        x += 34.0 + 6.6 * name.len() as f64;
    }
    let _ = writeln!(
        svg,
        "<text class=\"soft\" x=\"{}\" y=\"{y}\" text-anchor=\"end\"><tspan class=\"crit\">bold</tspan>: the longest chain</text>",
        WIDTH - MARGIN
    );
}

/// The right edge: the run's end, else the latest moment known.
fn end_of(report: &Report, now: Timestamp) -> Timestamp {
    let spans = report.tasks.iter().flat_map(|task| &task.spans);
    let latest = spans.filter_map(|span| span.ended_at).map(|end| end.0).max().unwrap_or(report.created_at.0);
    report.ended_at.map_or(now, |end| end.0).max(latest)
}

fn class_of(state: TaskState) -> &'static str {
    tone_class(tone(state))
}

fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Look => "look",
        Tone::Busy => "busy",
        Tone::Quiet => "quiet",
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Prepare => "lane is prepared",
        Phase::Work => "works",
        Phase::Verify => "is checked",
        Phase::Land => "lands",
        Phase::Wait => "waits for an answer",
    }
}

/// The distance between ticks: a round number that gives four to eight of them.
fn tick_step(total_s: f64) -> f64 {
    const ROUND: &[f64] = &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
    let wanted = total_s / 7.0;
    if wanted > 3600.0 {
        return (wanted / 3600.0).ceil() * 3600.0;
    }
    if wanted >= 0.5 {
        return ROUND.iter().copied().find(|step| *step >= wanted).unwrap_or(3600.0);
    }
    // Below half a second: 1, 2 or 5 times a power of ten.
    let power = 10f64.powf(wanted.log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= wanted).unwrap_or(power)
}

fn tick_label(tick: f64, step: f64) -> String {
    match step {
        step if step < 0.1 => format!("{:.0}ms", tick * 1000.0),
        step if step < 1.0 => format!("{tick:.1}s"),
        _ if tick < 60.0 => format!("{tick:.0}s"),
        _ => {
            let whole = tick.round() as u64;
            let (hours, minutes, rest) = (whole / 3600, whole % 3600 / 60, whole % 60);
            match (hours, minutes, rest) {
                (0, minutes, 0) => format!("{minutes}m"),
                (0, minutes, rest) => format!("{minutes}m{rest:02}s"),
                (hours, 0, _) => format!("{hours}h"),
                (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
            }
        }
    }
}

/// The text with what XML reserves replaced, and without what XML forbids.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_timeline_has_a_row_per_task_and_escapes_what_people_wrote() {
        let mut report = samples::report();
        report.description = "Tidy <up> & \"test\"\u{1}".into();
        let svg = timeline(&report, report.ended_at.unwrap().0);
        assert_eq!(svg.matches("<g>").count(), report.tasks.len());
        assert!(svg.contains("Tidy &lt;up&gt; &amp; &quot;test&quot;"), "{svg}");
        assert!(!svg.contains('\u{1}') && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let spans: usize = report.tasks.iter().map(|task| task.spans.len()).sum();
        assert_eq!(svg.matches("height=\"14\"").count(), spans);
    }

    #[test]
    fn bars_stay_inside_the_plot() {
        let report = samples::report();
        let svg = timeline(&report, report.ended_at.unwrap().0);
        for bar in svg.lines().filter(|line| line.contains("height=\"14\"")) {
            let value = |name: &str| -> f64 {
                let start = bar.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
                bar[start..].split('"').next().unwrap().parse().unwrap()
            };
            assert!(
                value("x") >= MARGIN + LABELS && value("x") + value("width") <= WIDTH - MARGIN - NOTES + 2.0,
                "{bar}"
            );
        }
    }

    #[test]
    fn an_empty_and_an_unfinished_run_can_be_drawn() {
        let mut report = samples::report();
        report.ended_at = None;
        report.outcome = None;
        for task in &mut report.tasks {
            if let Some(span) = task.spans.last_mut() {
                span.ended_at = None;
                span.ok = None;
            }
        }
        let svg = timeline(&report, report.created_at.0.plus_ms(90_000));
        assert!(svg.contains("in work") && svg.contains("1m30s"), "{svg}");
        report.tasks.clear();
        assert!(timeline(&report, report.created_at.0).ends_with("</svg>\n"));
    }

    #[test]
    fn ticks_are_round() {
        for (total, step) in
            [(0.03, 0.005), (0.4, 0.1), (3.0, 0.5), (42.0, 10.0), (600.0, 120.0), (100_000.0, 14_400.0)]
        {
            assert!((tick_step(total) - step).abs() < 1e-9, "{total}: {}", tick_step(total));
        }
        assert_eq!(tick_label(90.0, 30.0), "1m30s");
        assert_eq!(tick_label(0.02, 0.005), "20ms");
    }
}
