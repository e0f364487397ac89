//! Decisions in words: a list of what waits, and one question with its numbered options.

use std::fmt::Write;

use super::{
    duration::ago,
    paint::Paint,
    table::{Cell, fold, harmless, one_line, table},
};
use crate::{
    api::{
        Decision,
        decision::{DecisionStatus, Reversible},
    },
    time::Timestamp,
};

/// What waits for an answer, most urgent first, one line each.
pub fn list(decisions: &[Decision], now: Timestamp, width: usize, paint: Paint) -> String {
    if decisions.is_empty() {
        return "Nothing waits for you.\n".into();
    }
    let rows: Vec<Vec<Cell>> = decisions
        .iter()
        .map(|decision| {
            vec![
                Cell::new(decision.decision_id.to_string(), Paint::yellow),
                decision.context.request_id.to_string().into(),
                Cell::new(ago(decision.created_at, now), Paint::dim),
                match decision.blocks.len() {
                    0 => "".into(),
                    count => Cell::from(format!("holds up {count}")),
                },
                decision.question.as_str().into(),
            ]
        })
        .collect();
    let ids: Vec<&str> = decisions[0].options.iter().map(|option| option.id.as_str()).collect();
    let example = format!("orchestrator decide {} {}", decisions[0].decision_id, ids.join("|"));
    format!("{}{} {}\n", table(&rows, 0, width, paint), paint.dim("Answer with"), paint.cyan(&example))
}

/// One question: what it is about, and its options by number. None is marked as the default, because none is.
pub fn question(decision: &Decision, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    let lines = |text: &str, indent: usize| {
        fold(&one_line(text), width.saturating_sub(indent).max(20)).join(&format!("\n{}", " ".repeat(indent)))
    };
    let about = match decision.context.task_id {
        Some(task) => format!("{} {task}", decision.context.request_id),
        None => decision.context.request_id.to_string(),
    };
    let id = format!("? {}", decision.decision_id);
    let indent = id.chars().count() + 1;
    let asked = one_line(&decision.question);
    let _ = match asked.chars().count() + about.chars().count() + indent + 3 <= width {
        true => writeln!(text, "{} {} {}", paint.yellow(&id), paint.bold(&asked), paint.dim(&format!("({about})"))),
        false => writeln!(text, "{} {}", paint.yellow(&id), paint.bold(&lines(&format!("{asked} ({about})"), indent))),
    };
    let mut code = false;
    for line in harmless(&decision.detail).trim_end().lines() {
        code ^= line.starts_with("```");
        // Code and what stands in columns is left as it is.
        let prose = !code && !line.starts_with([' ', '`', '|']);
        let _ = writeln!(text, "    {}", if prose { lines(line, 4) } else { line.to_owned() });
    }
    // Where the question is all that is known of it, it is not said twice.
    for effect in decision.context.effects.iter().filter(|effect| !decision.question.contains(&effect.what)) {
        let way_back = match effect.reversible {
            Reversible::Yes => "can be taken back",
            Reversible::Compensable => "can be made up for",
            Reversible::No => "cannot be taken back",
        };
        let _ = writeln!(text, "    {} {}", paint.dim("effect:"), lines(&format!("{} ({way_back})", effect.what), 4));
    }
    for (number, option) in decision.options.iter().enumerate() {
        let mut notes = Vec::new();
        if !option.reversible {
            notes.push("cannot be taken back");
        }
        if option.takes_text {
            notes.push("takes words");
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" [{}]", notes.join(", ")) };
        let (title, effect) = (one_line(&option.title), one_line(&option.effect));
        let whole = format!("{title} - {effect}{notes}");
        let shown = match whole.chars().count() + 5 <= width {
            true => format!("{title} {}", paint.dim(&format!("- {effect}{notes}"))),
            false => lines(&whole, 5),
        };
        let _ = writeln!(text, "  {} {shown}", paint.bold(&format!("{})", number + 1)));
    }
    for suggestion in &decision.suggestions {
        let evidence = &suggestion.evidence;
        let behind = if evidence.n > 0 { format!(" ({} of {})", evidence.agree, evidence.n) } else { String::new() };
        let said = lines(&format!("{}: {}{behind}", suggestion.choice, suggestion.reason), 12);
        let _ = writeln!(text, "  {} {said}", paint.dim("suggested"));
    }
    if decision.status != DecisionStatus::Open {
        let _ = match &decision.answer {
            Some(answer) => writeln!(text, "  answered: {} by {}, {}", answer.choice, answer.by, answer.at.clock()),
            None => writeln!(text, "  no longer open"),
        };
    }
    text
}

/// How to answer from elsewhere.
pub fn elsewhere(decision: &Decision, paint: Paint) -> String {
    let ids: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
    let command = format!("orchestrator decide {} {}", decision.decision_id, ids.join("|"));
    let lasting = decision.remembers.as_ref().filter(|kind| !kind.options.is_empty()).map(|kind| {
        let options = kind.options.join(" or ");
        let words = format!("with --remember always, {options} holds for every `{}`", kind.sort);
        format!("  {}\n", paint.dim(&words))
    });
    format!("  {} {}\n{}", paint.dim("answer with"), paint.cyan(&command), lasting.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_question_shows_everything_and_prefers_nothing() {
        expect![[r#"
            ? D-7 Deploy web-app to production? (R-3 T-42)
                All 214 tests pass on the merged tree.
                The last deployment was three days ago.
                effect: replaces the running service (cannot be taken back)
              1) Deploy now - runs ./deploy production [cannot be taken back]
              2) Do not deploy - leaves the result on its branch [takes words]
              suggested approve: you approved like deployments (4 of 5)
        "#]]
        .assert_eq(&question(&samples::decision(), 100, Paint::PLAIN));
    }

    #[test]
    fn on_a_narrow_screen_lines_end_between_words_and_code_stays() {
        let mut decision = samples::decision();
        decision.detail =
            "It would deploy the current state of the branch to everybody.\n\n```\n{\"a\":      1}\n```\n".into();
        decision.context.effects[0].what = decision.question.clone();
        let text = question(&decision, 40, Paint::PLAIN);
        assert!(text.contains("    It would deploy the current state of\n    the branch to everybody.\n"), "{text}");
        assert!(text.contains("    {\"a\":      1}\n"), "{text}");
        assert!(!text.contains("effect:"), "the question is not said twice: {text}");
        let long = text.lines().filter(|line| line.chars().count() > 40).count();
        assert_eq!(long, 0, "{text}");
    }

    #[test]
    fn a_list_says_how_to_answer() {
        let now = samples::at(65.0).0;
        expect![[r#"
            D-7  R-3  1m ago  holds up 2  Deploy web-app to production?
            Answer with orchestrator decide D-7 approve|reject
        "#]]
        .assert_eq(&list(&[samples::decision()], now, 90, Paint::PLAIN));
        assert_eq!(list(&[], now, 90, Paint::PLAIN), "Nothing waits for you.\n");
    }
}
