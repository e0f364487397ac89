//! The scorecard in words and as a picture, and the history of decisions.

use std::fmt::Write;

use super::{
    duration::ago,
    paint::Paint,
    table::{Cell, one_line, table},
};
use crate::{
    api::{
        score::{DecisionHistory, Outside, RiskPoint, ScorePart, Scorecard},
        state::Share,
    },
    time::Timestamp,
};

/// The card in words.
pub fn card(card: &Scorecard, width: usize, paint: Paint) -> String {
    let mut text = format!("{}\n\n", paint.bold(&card.summary));
    let lines = [
        ("autonomy", share(&card.autonomy), "without a person, of all that the gate left open"),
        ("wrong", share(&card.wrong_auto), "of those looked at; what a proof refutes is undone"),
        ("audits", share(&card.audits), "in which the person disagreed"),
        ("critical", card.critical_automatic.to_string(), "critical ones without a person; anything but 0 is a bug"),
        ("calibration", format!("{:.3}", card.calibration_error), "mean distance of claim and outcome"),
        ("answers", card.labels.to_string(), "learned from"),
        ("outside", outside(card.outside), "to Claude Code's own sessions; not in the shares above"),
    ];
    let rows: Vec<Vec<Cell>> = lines
        .into_iter()
        .map(|(name, value, what)| vec![name.into(), value.into(), Cell::new(what, Paint::dim)])
        .collect();
    text.push_str(&table(&rows, 0, width, paint));
    if !card.traits.is_empty() {
        let _ = writeln!(text, "cases are told apart by {}", one_line(&card.traits.join(", ")));
    }
    parts(&mut text, "By ground", &card.grounds, width, paint);
    parts(&mut text, "By sort", &card.sorts[..card.sorts.len().min(15)], width, paint);
    if !card.reliability.is_empty() {
        let _ = writeln!(
            text,
            "\n{}",
            paint.bold("Reliability: how sure it was that you would agree, and how often you did")
        );
        let n: f64 = card.reliability.iter().map(|bin| bin.n).sum();
        if n < ENOUGH {
            let _ = writeln!(text, "  {}", paint.dim(&few(n)));
        }
        for bin in &card.reliability {
            let bar = "█".repeat((bin.agreed * 40.0).round() as usize);
            let _ = writeln!(
                text,
                "  {:.1}-{:.1}  claimed {:.2}  came {:.2}  {} {}",
                bin.from,
                bin.to,
                bin.claimed,
                bin.agreed,
                paint.green(&format!("{bar:<40}")),
                paint.dim(&format!("n={:.0}", bin.n))
            );
        }
    }
    if !card.risk_coverage.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Risk and coverage: what other thresholds would have brought"));
        for point in distinct(&card.risk_coverage) {
            let _ = writeln!(
                text,
                "  {:.2}  {:>5.1} % without asking, {:>4.1} % of them wrong",
                point.threshold,
                point.coverage * 100.0,
                point.risk.abs() * 100.0
            );
        }
    }
    text
}

/// Answers below which diagrams say little.
const ENOUGH: f64 = 45.0;

fn few(n: f64) -> String {
    format!("from {n:.0} answers: it says little below {ENOUGH:.0}")
}

/// Of thresholds that would have brought the same, the highest.
fn distinct(points: &[RiskPoint]) -> impl Iterator<Item = &RiskPoint> {
    let same = |a: &RiskPoint, b: &RiskPoint| a.coverage == b.coverage && a.risk == b.risk;
    points
        .iter()
        .enumerate()
        .filter(move |(at, point)| points.get(at + 1).is_none_or(|next| !same(point, next)))
        .map(|(_, point)| point)
}

fn outside(told: Outside) -> String {
    match told.allowed + told.denied + told.asked {
        0 => "-".to_owned(),
        _ => format!("{} allowed, {} denied, {} asked", told.allowed, told.denied, told.asked),
    }
}

fn share(share: &Share) -> String {
    match (share.value, share.low.zip(share.high)) {
        (Some(value), Some((low, high))) => {
            format!("{:.1} % ({:.1} to {:.1}, n={})", value * 100.0, low * 100.0, high * 100.0, share.n)
        }
        (Some(value), None) => format!("{:.1} % (n={})", value * 100.0, share.n),
        (None, _) => "-".to_owned(),
    }
}

fn parts(text: &mut String, title: &str, parts: &[ScorePart], width: usize, paint: Paint) {
    let rows: Vec<Vec<Cell>> = parts
        .iter()
        .filter(|part| part.automatic + part.asked > 0)
        .map(|part| {
            vec![
                part.name.as_str().into(),
                format!("{} automatic", part.automatic).into(),
                format!("{} right", part.right).into(),
                match part.wrong {
                    0 => Cell::new("0 wrong", Paint::dim),
                    wrong => Cell::new(format!("{wrong} wrong"), Paint::red),
                },
                format!("{} asked", part.asked).into(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n{}\n{}", paint.bold(title), table(&rows, 2, width, paint));
    }
}

/// What was decided, newest first.
pub fn history(history: &DecisionHistory, now: Timestamp, width: usize, paint: Paint) -> String {
    let mut text = format!("{}\n", history.summary);
    let rows: Vec<Vec<Cell>> = history
        .decisions
        .iter()
        .map(|decision| {
            let became = match &decision.answer {
                Some(answer) => format!("{} by {}", answer.choice, answer.by),
                None => format!("{:?}", decision.status).to_lowercase(),
            };
            vec![
                Cell::new(decision.decision_id.to_string(), Paint::yellow),
                Cell::new(ago(decision.created_at, now), Paint::dim),
                became.into(),
                decision.question.as_str().into(),
            ]
        })
        .collect();
    text.push_str(&table(&rows, 0, width, paint));
    if !history.automatic.is_empty() {
        let rows: Vec<Vec<Cell>> = history
            .automatic
            .iter()
            .map(|act| {
                let right = match act.right {
                    Some(true) => "right",
                    Some(false) => "undone",
                    None => "not looked at",
                };
                vec![
                    act.task_id.map_or("outside".to_owned(), |task| task.to_string()).into(),
                    Cell::new(ago(act.at, now), Paint::dim),
                    format!("{} by {}", if act.allowed { "allowed" } else { "denied" }, act.ground).into(),
                    right.into(),
                    act.what.as_str().into(),
                ]
            })
            .collect();
        let _ = write!(text, "\n{}\n{}", paint.bold("Without a person"), table(&rows, 0, width, paint));
    }
    if !history.remembered.is_empty() {
        let rows: Vec<Vec<Cell>> = history
            .remembered
            .iter()
            .map(|rule| {
                let reach = rule.request_id.map_or("everywhere here".to_owned(), |run| format!("in {run}"));
                vec![
                    Cell::new(rule.id.as_str(), Paint::yellow),
                    format!("{} {}", if rule.allowed { "always" } else { "never" }, rule.sort).into(),
                    reach.into(),
                    format!("from {}", rule.decision_id).into(),
                    Cell::new(format!("orchestrator decisions forget {}", rule.id), Paint::cyan),
                ]
            })
            .collect();
        let _ = write!(text, "\n{}\n{}", paint.bold("Remembered"), table(&rows, 0, width, paint));
    }
    text
}

const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;fill:#1f2328}\
.ground{fill:#ffffff}.grid{stroke:#d1d9e0;stroke-width:1;fill:none}.h{font-size:15px;font-weight:600}.soft{fill:#59636e}\
.ideal{stroke:#818b98;stroke-dasharray:4 4;fill:none}.line{stroke:#0969da;stroke-width:2;fill:none}.dot{fill:#0969da}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#3d444d}.soft{fill:#9198a1}\
.ideal{stroke:#656c76}.line{stroke:#4493f8}.dot{fill:#4493f8}}";

/// Width and height of one diagram, and the space around it.
const SIDE: f64 = 300.0;
const SPACE: f64 = 60.0;

/// Two diagrams side by side: what was claimed against what came, and what each threshold would have brought.
pub fn picture(card: &Scorecard) -> String {
    let (width, height) = (2.0 * SIDE + 3.0 * SPACE, SIDE + 2.0 * SPACE + 30.0);
    let top = SPACE + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{label}\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n\
         <text class=\"h\" x=\"{SPACE}\" y=\"32\">Decisions without a person</text>\n\
         <text class=\"soft\" x=\"{SPACE}\" y=\"52\">{label}</text>\n",
        label = super::svg::escape(&card.summary),
    );
    let reliability: Vec<Dot> = (card.reliability.iter())
        .map(|bin| Dot { at: (bin.claimed, bin.agreed), n: bin.n, label: format!("n={:.0}", bin.n) })
        .collect();
    let held =
        Diagram { title: "Claims", across: "how sure it was", up: "how often you agreed", top: 1.0, ideal: true };
    held.draw(&mut svg, (SPACE, top), &reliability);
    let curve: Vec<Dot> = distinct(&card.risk_coverage)
        .map(|point| Dot { at: (point.coverage, point.risk.abs()), n: 1.0, label: format!("{:.2}", point.threshold) })
        .collect();
    // Above 20 % wrong nobody would let it decide: unless that is what there is to see.
    let worst = curve.iter().map(|dot| dot.at.1).fold(0.0, f64::max);
    let thresholds = Diagram {
        title: "Thresholds",
        across: "share that would go without asking",
        up: "of that wrong",
        top: if worst > 0.2 { 1.0 } else { 0.2 },
        ideal: false,
    };
    thresholds.draw(&mut svg, (2.0 * SPACE + SIDE, top), &curve);
    let n: f64 = card.reliability.iter().map(|bin| bin.n).sum();
    let note = match n < ENOUGH {
        true => format!("On the dashed line claims hold; {}.", few(n)),
        false => "On the dashed line claims hold.".to_owned(),
    };
    let _ = writeln!(svg, "<text class=\"soft\" x=\"{SPACE}\" y=\"{}\">{note}</text>", height - 14.0);
    svg.push_str("</svg>\n");
    svg
}

/// One point: where, how much stands behind it, and what is written beside it.
struct Dot {
    at: (f64, f64),
    n: f64,
    label: String,
}

/// A square with two axes.
struct Diagram {
    title: &'static str,
    across: &'static str,
    up: &'static str,
    /// What the upper end of the vertical axis stands for.
    top: f64,
    /// With the line on which both axes are equal.
    ideal: bool,
}

impl Diagram {
    fn draw(&self, svg: &mut String, (x, y): (f64, f64), dots: &[Dot]) {
        let at = |(a, b): (f64, f64)| (x + a * SIDE, y + (1.0 - b / self.top) * SIDE);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{}\">{}: ↑ {}</text>", y - 10.0, self.title, self.up);
        for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let (across, up) = (x + part * SIDE, y + (1.0 - part) * SIDE);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{across} {y}V{}M{x} {up}H{}\"/>", y + SIDE, x + SIDE);
            let _ = writeln!(
                svg,
                "<text class=\"soft\" x=\"{across}\" y=\"{}\" text-anchor=\"middle\">{:.0} %</text>\
                 <text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0} %</text>",
                y + SIDE + 16.0,
                part * 100.0,
                x - 6.0,
                up + 4.0,
                part * self.top * 100.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{} →</text>",
            x + SIDE / 2.0,
            y + SIDE + 34.0,
            self.across
        );
        if self.ideal {
            let ((x1, y1), (x2, y2)) = (at((0.0, 0.0)), at((1.0, 1.0)));
            let _ = writeln!(svg, "<path class=\"ideal\" d=\"M{x1} {y1}L{x2} {y2}\"/>");
        }
        let step = |(index, dot): (usize, &Dot)| {
            let (x, y) = at(dot.at);
            format!("{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" })
        };
        let path: String = dots.iter().enumerate().map(step).collect();
        let _ = writeln!(svg, "<path class=\"line\" d=\"{path}\"/>");
        let most = dots.iter().map(|dot| dot.n).fold(1.0, f64::max);
        for dot in dots {
            let (x, y) = at(dot.at);
            let radius = 3.0 + 5.0 * (dot.n / most).sqrt();
            // At the lower edge the axis has its own words.
            let low = dot.at.1 < 0.1 * self.top;
            let (beside, below) = (x - radius - 3.0, if low { y - radius - 4.0 } else { y + radius + 12.0 });
            let _ = writeln!(
                svg,
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>\
                 <text class=\"soft\" x=\"{beside:.1}\" y=\"{below:.1}\" text-anchor=\"end\">{}</text>",
                dot.label
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::api::score::{ReliabilityBin, RiskPoint};

    fn sample() -> Scorecard {
        let share = |value: f64, n| Share { value: Some(value), low: Some(0.0), high: Some(0.1), n };
        Scorecard {
            summary: "92.0 % of 100 went without a person".into(),
            revision: 7,
            autonomy: share(0.92, 100),
            wrong_auto: share(0.02, 50),
            audits: Share::default(),
            critical_automatic: 0,
            calibration_error: 0.0123,
            outside: Outside { allowed: 3, denied: 1, asked: 2 },
            labels: 8,
            traits: vec!["environment".into()],
            grounds: vec![ScorePart { name: "probation".into(), automatic: 92, right: 90, wrong: 2, asked: 0 }],
            sorts: vec![ScorePart { name: "Bash cargo".into(), automatic: 40, right: 40, wrong: 0, asked: 3 }],
            reliability: vec![ReliabilityBin { from: 0.9, to: 1.0, n: 40.0, claimed: 0.96, agreed: 0.95 }],
            risk_coverage: vec![RiskPoint { threshold: 0.95, coverage: 0.6, risk: 0.02 }],
        }
    }

    #[test]
    fn the_card_says_the_pair_first() {
        expect![[r#"
            92.0 % of 100 went without a person

            autonomy     92.0 % (0.0 to 10.0, n=100)   without a person, of all that the gate left open
            wrong        2.0 % (0.0 to 10.0, n=50)     of those looked at; what a proof refutes is undone
            audits       -                             in which the person disagreed
            critical     0                             critical ones without a person; anything but 0 is a bug
            calibration  0.012                         mean distance of claim and outcome
            answers      8                             learned from
            outside      3 allowed, 1 denied, 2 asked  to Claude Code's own sessions; not in the shares above
            cases are told apart by environment

            By ground
              probation  92 automatic  90 right  2 wrong  0 asked

            By sort
              Bash cargo  40 automatic  40 right  0 wrong  3 asked

            Reliability: how sure it was that you would agree, and how often you did
              from 40 answers: it says little below 45
              0.9-1.0  claimed 0.96  came 0.95  ██████████████████████████████████████   n=40

            Risk and coverage: what other thresholds would have brought
              0.95   60.0 % without asking,  2.0 % of them wrong
        "#]]
        .assert_eq(&card(&sample(), 120, Paint::PLAIN));
    }

    #[test]
    fn the_picture_is_one_whole() {
        let svg = picture(&Scorecard { summary: "a < b & c".into(), ..sample() });
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; c") && svg.matches("<circle").count() == 2);
    }
}
