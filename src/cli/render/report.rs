//! A report in words: the summary at the end of `run`, and the whole of `report`.

use std::fmt::Write;

use super::{
    duration::seconds,
    paint::{Paint, glyph},
    table::{Cell, cut, fold, one_line, prose, table, tail},
};
use crate::api::{
    Outcome, Report, TaskState,
    reply::{BaseState, Cost},
    result::{Finding, FindingLevel, ReportTask},
};

/// Lines of a failing check that are shown with it.
const TAIL_LINES: usize = 6;
/// Tasks that are listed by name in the summary of a run.
const LANDED_MAX: usize = 12;
/// Findings about the run itself that its summary shows.
const NOTES_MAX: usize = 4;
/// Findings of one task that the summary of a run shows.
const FOUND_MAX: usize = 3;

/// What came of a run: what landed, what did not and why, where the result is, and what to do next.
pub fn summary(report: &Report, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    text.push_str(&headline(report, paint));
    for check in report.baseline.iter().filter(|check| check.state == BaseState::Failed) {
        let command = shell_words(&check.command);
        // Where it was to be mended, that it passes now is the news.
        let (mark, now) = match check.result {
            Some(BaseState::Passed) => (paint.green("✓"), " and passes now"),
            _ => (paint.yellow("!"), ""),
        };
        let _ = writeln!(text, "  {mark} `{command}` was red before we began{now}");
    }
    text.push_str(&of_the_run(report, width, paint));
    let landed: Vec<&ReportTask> = report.tasks.iter().filter(|task| report.landed.contains(&task.task_id)).collect();
    if !landed.is_empty() {
        let _ = writeln!(text, "{}", paint.bold("Landed"));
        let rows: Vec<Vec<Cell>> = landed.iter().take(LANDED_MAX).map(|task| landed_row(task)).collect();
        text.push_str(&table(&rows, 2, width, paint));
        if landed.len() > LANDED_MAX {
            let _ = writeln!(text, "  and {} more", landed.len() - LANDED_MAX);
        }
    }
    if report.landed.is_empty() {
        text.push_str(&found(report, width, paint));
        text.push_str(&done(report, width, paint));
    }
    text.push_str(&not_landed(report, width, paint));
    text.push_str(&result_line(report, paint));
    text.push_str(&next_commands(report, Shown::Summary, width, paint));
    text
}

/// What is to be said of the run itself: why it failed where no task did, and what was left out and why. (Warnings of
/// the base's checks stand above.)
fn of_the_run(report: &Report, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    let of_run = report.findings.iter().filter(|finding| finding.task_id.is_none());
    let said: Vec<&Finding> = of_run.filter(|finding| finding.level != FindingLevel::Warning).collect();
    for finding in said.iter().take(NOTES_MAX) {
        let lines = fold(&one_line(&finding.text), width.max(40) - 4).join("\n    ");
        let _ = writeln!(text, "  {} {lines}", level_mark(finding.level, paint));
        for line in tail(&finding.tail, TAIL_LINES, 6, width).lines() {
            let _ = writeln!(text, "{}", paint.dim(line));
        }
    }
    if said.len() > NOTES_MAX {
        let _ = writeln!(text, "  {}", paint.dim(&format!("and {} more", said.len() - NOTES_MAX)));
    }
    text
}

/// What the tasks that are done found, the worst of each first: where nothing was to be changed, this is the result.
fn found(report: &Report, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    for task in report.tasks.iter().filter(|task| task.status == TaskState::Completed) {
        let mut findings: Vec<&Finding> =
            report.findings.iter().filter(|finding| finding.task_id == Some(task.task_id)).collect();
        if findings.is_empty() {
            continue;
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let _ = writeln!(text, "  {} {}", task.task_id, cut(&one_line(title(task)), 60));
        for finding in findings.iter().take(FOUND_MAX) {
            let line = cut(&one_line(&finding.text), width.max(40) - 6);
            let _ = writeln!(text, "    {} {line}", level_mark(finding.level, paint));
        }
        if findings.len() > FOUND_MAX {
            let _ = writeln!(text, "    {}", paint.dim(&format!("and {} more", findings.len() - FOUND_MAX)));
        }
    }
    if text.is_empty() { text } else { format!("{}\n{text}", paint.bold("Found")) }
}

/// The tasks that are done, changed nothing and found nothing, where that is the result: what passed, and what was looked
/// for and is not there. Of many the number says enough.
fn done(report: &Report, width: usize, paint: Paint) -> String {
    let found = |task: &ReportTask| report.findings.iter().any(|finding| finding.task_id == Some(task.task_id));
    let quiet: Vec<&ReportTask> =
        report.tasks.iter().filter(|task| task.status == TaskState::Completed && !found(task)).collect();
    if quiet.is_empty() || quiet.len() > LANDED_MAX {
        return String::new();
    }
    let row = |task: &&ReportTask| {
        let what = match (task.task_type.as_str(), task.lane) {
            ("audit", _) => "nothing found",
            // Who may write has a lane of its own.
            (_, Some(_)) if task.diff.files == 0 => "nothing to change",
            _ => "",
        };
        vec![
            Cell::new("✓", Paint::green),
            task.task_id.to_string().into(),
            cut(&one_line(title(task)), 48).into(),
            Cell::new(task.seconds.map(seconds).unwrap_or_default(), Paint::dim),
            Cell::new(what, Paint::dim),
        ]
    };
    let rows: Vec<Vec<Cell>> = quiet.iter().map(row).collect();
    format!("{}\n{}", paint.bold("Done"), table(&rows, 2, width, paint))
}

/// The mark before a finding.
pub fn level_mark(level: FindingLevel, paint: Paint) -> String {
    match level {
        FindingLevel::Info => paint.dim("i"),
        FindingLevel::Warning => paint.yellow("!"),
        FindingLevel::Error => paint.red("✗"),
    }
}

/// Everything: the summary, and every task, check, decision and finding.
pub fn whole(report: &Report, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    text.push_str(&headline(report, paint));
    let _ = writeln!(text, "{} {}", paint.dim("asked "), cut(&one_line(&report.description), width.max(40) - 8));
    let rows: Vec<Vec<Cell>> = report.tasks.iter().map(task_row).collect();
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Tasks"));
        text.push_str(&table(&rows, 2, width, paint));
    }
    // That a task failed, and why, stands below with all that is not in the result.
    let told_below = |finding: &&Finding| {
        let failed = |task: &ReportTask| task.status.ended() && task.status != TaskState::Completed;
        finding.level == FindingLevel::Error
            && report.tasks.iter().any(|task| Some(task.task_id) == finding.task_id && failed(task))
    };
    let findings: Vec<&Finding> = report.findings.iter().filter(|finding| !told_below(finding)).collect();
    if !findings.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Findings"));
        for finding in findings {
            let mark = level_mark(finding.level, paint);
            let task = finding.task_id.map(|task| format!("{task} ")).unwrap_or_default();
            let _ = writeln!(text, "  {mark} {task}{}", one_line(&finding.text));
            text.push_str(&paint.dim(&tail(&finding.tail, TAIL_LINES, 6, width)));
        }
    }
    if !report.baseline.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Checks before we began"));
        let rows: Vec<Vec<Cell>> = report
            .baseline
            .iter()
            .map(|check| {
                let state = match check.state {
                    BaseState::Passed => Cell::new("passed", Paint::green),
                    BaseState::Failed => Cell::new("failed", Paint::red),
                    // It would have been run for the first change that it had to prove.
                    BaseState::Unknown if report.outcome.is_some() && check.seconds == 0.0 => {
                        Cell::new("not needed", Paint::dim)
                    }
                    BaseState::Unknown => Cell::new("unknown", Paint::dim),
                };
                // Only what differs from before is worth a word: most that is proven stays green.
                let now = match (check.state, check.result) {
                    (BaseState::Failed, Some(BaseState::Passed)) => Cell::new("passes now", Paint::green),
                    (BaseState::Passed, Some(BaseState::Failed)) => Cell::new("fails now", Paint::red),
                    _ => Cell::from(""),
                };
                vec![state, seconds(check.seconds).into(), shell_words(&check.command).into(), now]
            })
            .collect();
        text.push_str(&table(&rows, 2, width, paint));
    }
    if !report.decisions.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("Decisions"));
        let rows: Vec<Vec<Cell>> = report
            .decisions
            .iter()
            .map(|decision| {
                let answer = match (&decision.choice, &decision.by) {
                    (Some(choice), Some(by)) => Cell::from(format!("{choice} ({by})")),
                    (Some(choice), None) => Cell::from(choice.as_str()),
                    (None, _) => Cell::new("open", Paint::yellow),
                };
                let id = decision.decision_id.to_string();
                vec![id.into(), answer, seconds(decision.open_s).into(), decision.question.as_str().into()]
            })
            .collect();
        text.push_str(&table(&rows, 2, width, paint));
    }
    let reasons = not_landed(report, width, paint);
    if !reasons.is_empty() {
        text.push('\n');
        text.push_str(&reasons);
    }
    let follow = format!("{}{}", result_line(report, paint), next_commands(report, Shown::Whole, width, paint));
    if !follow.is_empty() {
        text.push('\n');
        text.push_str(&follow);
    }
    text
}

/// Where the result is, and how large.
fn result_line(report: &Report, paint: Paint) -> String {
    let Some(result) = &report.result else { return String::new() };
    let stat = report.diff;
    let applied = result.applied_at.map(|at| format!(", applied at {}", at.clock())).unwrap_or_default();
    format!(
        "{} {} ({} changed, +{} -{}{applied})\n",
        paint.bold("Result"),
        paint.cyan(&result.reference),
        plural(stat.files, "file"),
        stat.insertions,
        stat.deletions
    )
}

fn headline(report: &Report, paint: Paint) -> String {
    let state = match report.outcome {
        Some(outcome) => paint.outcome(outcome),
        None => paint.cyan(report.state.name()),
    };
    let done = report.tasks.iter().filter(|task| task.status == TaskState::Completed).count();
    let landed = match report.landed.len() {
        0 => String::new(),
        some => format!(", {some} landed"),
    };
    let taken = report.ended_at.map(|end| format!(" in {}", seconds(end.0.seconds_since(report.created_at.0))));
    let cost = cost(&report.cost).map(|cost| format!(", {cost}")).unwrap_or_default();
    format!(
        "{} {state}: {done} of {} done{landed}{}{cost}\n",
        paint.bold(&report.request_id.to_string()),
        plural(report.tasks.len() as u64, "task"),
        taken.unwrap_or_default()
    )
}

/// What agents cost, where they cost anything: money where it is known, tokens where only those are told.
fn cost(cost: &Cost) -> Option<String> {
    match (cost.usd, cost.tokens) {
        (Some(usd), _) if usd > 0.0 => Some(dollars(usd)),
        (_, 0) => None,
        (_, tokens) => Some(plural(tokens, "token")),
    }
}

/// An amount with as many digits as it takes to see that it is something.
pub fn dollars(usd: f64) -> String {
    match usd {
        0.1.. => format!("${usd:.2}"),
        0.001.. => format!("${usd:.3}"),
        _ => "less than $0.001".to_owned(),
    }
}

fn landed_row(task: &ReportTask) -> Vec<Cell> {
    let changed = match task.diff.files {
        0 => "no change".to_owned(),
        files => format!("{} +{} -{}", plural(files, "file"), task.diff.insertions, task.diff.deletions),
    };
    vec![
        Cell::new("✓", Paint::green),
        task.task_id.to_string().into(),
        cut(&one_line(title(task)), 48).into(),
        Cell::new(task.seconds.map(seconds).unwrap_or_default(), Paint::dim),
        Cell::new(changed, Paint::dim),
    ]
}

fn task_row(task: &ReportTask) -> Vec<Cell> {
    let attempts = match task.attempts.len() {
        0 | 1 => String::new(),
        many => format!("{many} tries"),
    };
    vec![
        glyph(task.status).to_string().into(),
        task.task_id.to_string().into(),
        Cell::new(task.status.name().to_owned(), state_colour(task.status)),
        task.seconds.map(seconds).unwrap_or_else(|| "-".into()).into(),
        task.lane.map(|lane| lane.to_string()).unwrap_or_default().into(),
        task.agent.as_deref().unwrap_or_default().into(),
        attempts.into(),
        title(task).into(),
    ]
}

/// What is not in the result, each with its reason and the last lines behind it.
fn not_landed(report: &Report, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    let left: Vec<&ReportTask> =
        report.tasks.iter().filter(|task| task.status.ended() && task.status != TaskState::Completed).collect();
    if left.is_empty() {
        return text;
    }
    let _ = writeln!(text, "{}", paint.bold("Not in the result"));
    for task in left {
        let mark = paint_glyph(task.status, paint);
        let state = paint.state(task.status);
        let _ = writeln!(text, "  {mark} {} {}: {state}", task.task_id, cut(&one_line(title(task)), 60));
        if !task.reason.is_empty() {
            text.push_str(&prose(&[vec![task.reason.as_str().into()]], 4, width, paint));
        }
        text.push_str(&paint.dim(&tail(&task.tail, TAIL_LINES, 6, width)));
    }
    text
}

/// How much of a report stands above its next commands.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Summary,
    Whole,
}

fn next_commands(report: &Report, shown: Shown, width: usize, paint: Paint) -> String {
    let run = report.request_id;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut add = |command: String, what: &str| rows.push(vec![Cell::new(command, Paint::cyan), what.into()]);
    let applied = report.result.as_ref().is_some_and(|result| result.applied_at.is_some());
    match report.outcome {
        _ if applied => add(format!("orchestrator undo {run}"), "take it out of your checkout again"),
        Some(Outcome::Completed | Outcome::Partial) if !report.landed.is_empty() => {
            add(format!("orchestrator diff {run}"), "see what would change");
            add(format!("orchestrator apply {run}"), "bring it into your checkout");
            add(format!("orchestrator undo {run}"), "take it out again afterwards");
        }
        Some(_) if shown == Shown::Summary && report.landed.is_empty() && !report.findings.is_empty() => {
            add(format!("orchestrator report {run}"), "read all of it");
        }
        _ => {}
    }
    if matches!(report.outcome, Some(Outcome::Partial | Outcome::Failed)) {
        if let Some(failed) =
            report.tasks.iter().find(|task| !task.attempts.is_empty() && task.status != TaskState::Completed)
        {
            add(format!("orchestrator log {}", failed.task_id), "read its whole output");
        }
        if !report.tasks.is_empty() {
            add(format!("orchestrator retry {run}"), "try what failed again");
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!("{}\n{}", paint.bold("Next"), prose(&rows, 2, width, paint))
}

fn title(task: &ReportTask) -> &str {
    if task.title.is_empty() { &task.name } else { &task.title }
}

/// The colour of a state as a function of its text.
pub fn state_colour(state: TaskState) -> super::table::Colour {
    use super::paint::{Tone, tone};
    match tone(state) {
        Tone::Good => Paint::green,
        Tone::Bad => Paint::red,
        Tone::Look => Paint::yellow,
        Tone::Busy => Paint::cyan,
        Tone::Quiet => Paint::dim,
    }
}

/// A state's glyph in its colour.
pub fn paint_glyph(state: TaskState, paint: Paint) -> String {
    state_colour(state)(paint, &glyph(state).to_string())
}

/// `1 file`, `3 files`.
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A command as one would type it.
pub fn shell_words(argv: &[String]) -> String {
    // `sh -c TEXT` is how a check given as text is run; people know it by its text.
    if let [shell, flag, text] = argv
        && shell == "sh"
        && flag == "-c"
    {
        return one_line(text);
    }
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-./=:,@+%".contains(c));
    let quoted =
        argv.iter().map(|word| if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) });
    one_line(&quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_partial_run_is_summed_up() {
        expect![[r#"
            R-1 partial: 3 of 6 tasks done, 3 landed in 34s
            Landed
              ✓  T-1  Format the sources      9.4s  12 files +88 -91
              ✓  T-2  Mend what clippy finds  23s   1 file +4 -9
              ✓  T-6  Write the changelog     9.3s  no change
            Not in the result
              ↶ T-3 Rename the module: undone
                `cargo test` passed before and fails with it (exit 101)
                  running 2 tests
                  test parse::empty ... ok
                  test parse::nested ... FAILED
                  failures:
                      parse::nested
                  test result: FAILED. 1 passed; 1 failed
              ✗ T-4 Check the licences of everything we depend on: failed
                `licences --check` is not installed
              ⊘ T-5 Publish the result: blocked
                needs T-4, which failed
            Result orchestrator/R-1 (13 files changed, +92 -100)
            Next
              orchestrator diff R-1   see what would change
              orchestrator apply R-1  bring it into your checkout
              orchestrator undo R-1   take it out again afterwards
              orchestrator log T-3    read its whole output
              orchestrator retry R-1  try what failed again
        "#]]
        .assert_eq(&summary(&samples::report(), 90, Paint::PLAIN));
    }

    #[test]
    fn the_whole_report() {
        expect![[r#"
            R-1 partial: 3 of 6 tasks done, 3 landed in 34s
            asked  format and lint this repository; keep only what passes its tests

            Tasks
              ✓  T-1  completed  9.4s  L-1  shell           Format the sources
              ✓  T-2  completed  23s   L-1  shell  2 tries  Mend what clippy finds
              ↶  T-3  undone     9.0s  L-2  shell           Rename the module
              ✗  T-4  failed     3.9s  L-3  shell  2 tries  Check the licences of everything we depen…
              ⊘  T-5  blocked    -                          Publish the result
              ✓  T-6  completed  9.3s  L-2  shell           Write the changelog

            Findings
              ! T-4 `licences` is not on the PATH of this run

            Checks before we began
              passed  6.2s  cargo test

            Decisions
              D-1  yes (terminal)  7.6s  May the changelog name contributors?

            Not in the result
              ↶ T-3 Rename the module: undone
                `cargo test` passed before and fails with it (exit 101)
                  running 2 tests
                  test parse::empty ... ok
                  test parse::nested ... FAILED
                  failures:
                      parse::nested
                  test result: FAILED. 1 passed; 1 failed
              ✗ T-4 Check the licences of everything we depend on: failed
                `licences --check` is not installed
              ⊘ T-5 Publish the result: blocked
                needs T-4, which failed

            Result orchestrator/R-1 (13 files changed, +92 -100)
            Next
              orchestrator diff R-1   see what would change
              orchestrator apply R-1  bring it into your checkout
              orchestrator undo R-1   take it out again afterwards
              orchestrator log T-3    read its whole output
              orchestrator retry R-1  try what failed again
        "#]]
        .assert_eq(&whole(&samples::report(), 90, Paint::PLAIN));
    }

    #[test]
    fn where_nothing_was_changed_what_was_looked_at_is_the_result() {
        let mut report = samples::report();
        report.tasks.truncate(2);
        for task in &mut report.tasks {
            (task.status, task.diff.files) = (TaskState::Completed, 0);
        }
        (report.tasks[0].task_type, report.tasks[0].lane) = ("audit".into(), None);
        (report.outcome, report.result) = (Some(Outcome::Completed), None);
        report.landed.clear();
        report.findings.clear();
        expect![[r#"
            R-1 completed: 2 of 2 tasks done in 34s
            Done
              ✓  T-1  Format the sources      9.4s  nothing found
              ✓  T-2  Mend what clippy finds  23s   nothing to change
        "#]]
        .assert_eq(&summary(&report, 90, Paint::PLAIN));
    }

    #[test]
    fn a_failure_is_told_once_and_the_report_does_not_point_at_itself() {
        let mut report = samples::report();
        let failed = |text: &str| Finding {
            level: FindingLevel::Error,
            task_id: Some(report.tasks[2].task_id),
            text: text.to_owned(),
            tail: String::new(),
        };
        report.findings = vec![failed("was undone: Rename the module")];
        report.landed.clear();
        let text = whole(&report, 90, Paint::PLAIN);
        assert!(!text.contains("Findings") && text.contains("T-3 Rename the module: undone"), "{text}");
        assert!(!text.contains("orchestrator report"), "{text}");
        assert!(summary(&report, 90, Paint::PLAIN).contains("orchestrator report R-1"));
    }

    #[test]
    fn a_check_that_was_red_and_passes_now_is_no_warning() {
        let mut report = samples::report();
        report.baseline[0].state = BaseState::Failed;
        assert!(summary(&report, 90, Paint::PLAIN).contains("  ! `cargo test` was red before we began\n"));
        report.baseline[0].result = Some(BaseState::Passed);
        assert!(
            summary(&report, 90, Paint::PLAIN).contains("  ✓ `cargo test` was red before we began and passes now\n")
        );
    }

    #[test]
    fn what_agents_cost_stands_in_the_first_line() {
        let mut report = samples::report();
        let line = |report: &Report| headline(report, Paint::PLAIN);
        assert!(line(&report).ends_with("in 34s\n"));
        report.cost = Cost { usd: Some(0.0032), tokens: 900, known: true };
        assert!(line(&report).ends_with("in 34s, $0.003\n"), "{}", line(&report));
        report.cost = Cost { usd: None, tokens: 900, known: false };
        assert!(line(&report).ends_with("in 34s, 900 tokens\n"), "{}", line(&report));
        assert_eq!((dollars(2.5), dollars(0.00001)), ("$2.50".to_owned(), "less than $0.001".to_owned()));
    }

    #[test]
    fn commands_can_be_typed_again() {
        let words = |words: &[&str]| shell_words(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["sh", "-c", "cargo test && true"]), "cargo test && true");
        assert_eq!(words(&["grep", "it's", ""]), "grep 'it'\\''s' ''");
    }
}
