//! A run's task graph as Mermaid, which README viewers and editors draw.

use std::fmt::Write;

use super::{
    paint::{Tone, glyph, tone},
    table::{cut, one_line},
};
use crate::api::Report;

/// The graph: one box per task in the colour of its state, an arrow from what is needed to who needs it.
pub fn graph(report: &Report) -> String {
    let mut text = String::from("flowchart LR\n");
    for task in &report.tasks {
        let title = if task.title.is_empty() { &task.name } else { &task.title };
        let _ = writeln!(
            text,
            "  {}[\"{} {} {}\"]:::{}",
            node(task.task_id),
            glyph(task.status),
            task.task_id,
            escape(&cut(&one_line(title), 60)),
            class(tone(task.status)),
        );
    }
    for task in &report.tasks {
        for need in &task.needs {
            let _ = writeln!(text, "  {} --> {}", node(*need), node(task.task_id));
        }
    }
    // Middle tones with white text can be read on light and dark ground.
    text.push_str(
        "  classDef good fill:#1a7f37,stroke:#116329,color:#fff\n  \
         classDef bad fill:#cf222e,stroke:#a40e26,color:#fff\n  \
         classDef look fill:#9a6700,stroke:#7d4e00,color:#fff\n  \
         classDef busy fill:#0969da,stroke:#0550ae,color:#fff\n  \
         classDef quiet fill:#6e7781,stroke:#57606a,color:#fff\n",
    );
    text
}

fn node(task: crate::ids::TaskId) -> String {
    format!("T{}", task.0)
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Look => "look",
        Tone::Busy => "busy",
        Tone::Quiet => "quiet",
    }
}

/// A label between quotes: Mermaid reads entity codes there, and takes quotes, angles and backticks for its own.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '<' | '>' | '`' | '#' | '&' | '\\' => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::samples;

    #[test]
    fn labels_are_escaped_and_arrows_follow_the_work() {
        let mut report = samples::report();
        report.tasks[0].title = "Say \"hi\" <b> #1; `x`".into();
        report.tasks.truncate(3);
        expect![[r##"
            flowchart LR
              T1["✓ T-1 Say #34;hi#34; #60;b#62; #35;1; #96;x#96;"]:::good
              T2["✓ T-2 Mend what clippy finds"]:::good
              T3["↶ T-3 Rename the module"]:::look
              T1 --> T2
              T1 --> T3
              classDef good fill:#1a7f37,stroke:#116329,color:#fff
              classDef bad fill:#cf222e,stroke:#a40e26,color:#fff
              classDef look fill:#9a6700,stroke:#7d4e00,color:#fff
              classDef busy fill:#0969da,stroke:#0550ae,color:#fff
              classDef quiet fill:#6e7781,stroke:#57606a,color:#fff
        "##]]
        .assert_eq(&graph(&report));
    }
}
