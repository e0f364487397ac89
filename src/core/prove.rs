//! What a check says: passed, red before as well, or red because of the change.
//!
//! A check that was green on the base must be green. One that was red is judged by the set of its failures
//! (DESIGN §5): a change may not add one. Where no set can be read from the output, nothing is proven.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::job::{End, JobResult};

/// One check, once run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// How it ended.
    pub end: End,
    /// How long it took, seconds.
    pub seconds: f64,
    /// The last of its output; empty where it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// Names of the failed tests; empty where it passed or none could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// How many tests it ran, where its output says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<u32>,
}

impl CheckResult {
    /// What to store of a finished check.
    pub fn of(result: &JobResult) -> CheckResult {
        let passed = result.end.success();
        CheckResult {
            end: result.end.clone(),
            seconds: result.ended_at.seconds_since(result.started_at),
            tail: if passed { String::new() } else { result.tail.clone() },
            failures: if passed { Vec::new() } else { result.failures.clone() },
            ran: result.tests_ran,
        }
    }

    /// Whether it says anything about the tree: it ran, and nobody stopped it.
    pub fn conclusive(&self) -> bool {
        matches!(self.end, End::Exit(_) | End::Signal(_) | End::Timeout | End::Silent)
    }

    /// Whether it was green.
    pub fn passed(&self) -> bool {
        self.end.success()
    }
}

/// The judgement over a check, given what it said of the untouched base.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Green, or no redder than before (the sentence says so).
    Proven(Option<String>),
    /// Red, and the base's result is not known yet.
    NeedsBaseline,
    /// Red because of the change; the sentence says how that is known.
    Refuted(String),
    /// The check cannot run here though it may elsewhere: not the change's fault.
    Environment(String),
}

/// Judges one check. `base` is `None` while the base's own run is due; `Some(None)` where there is none.
pub fn judge(after: &CheckResult, base: Option<Option<&CheckResult>>) -> Verdict {
    if after.passed() {
        return Verdict::Proven(None);
    }
    if let End::NotStarted(why) = &after.end {
        return Verdict::Environment(format!("the check could not start: {why}"));
    }
    let before = match base {
        None => return Verdict::NeedsBaseline,
        Some(None) => return Verdict::Refuted(format!("the check ended with {}", after.end)),
        Some(Some(before)) => before,
    };
    if before.passed() {
        return Verdict::Refuted(match after.failures.len() {
            0 => format!("the check passed before and now ends with {}", after.end),
            _ => format!("the check passed before; now these fail: {}", list(&after.failures)),
        });
    }
    // What neither the untouched base nor the change can be asked says nothing about the change.
    if let (Some(why), Some(_)) = (cannot_run(after), cannot_run(before)) {
        return Verdict::Environment(format!("the check cannot run in a lane, not even on the untouched base: {why}"));
    }
    if !before.conclusive() {
        let what = format!("the check ended with {}, and the untouched base could not be checked", after.end);
        return Verdict::Refuted(what);
    }
    if before.failures.is_empty() || after.failures.is_empty() {
        return Verdict::Refuted("the check was red before, and its output names no failures to compare".to_owned());
    }
    let known: BTreeSet<&String> = before.failures.iter().collect();
    let added: Vec<String> = after.failures.iter().filter(|name| !known.contains(name)).cloned().collect();
    if added.is_empty() {
        Verdict::Proven(Some(format!("red before and no redder now ({} known failures)", known.len())))
    } else {
        Verdict::Refuted(format!("these failures are new: {}", list(&added)))
    }
}

/// Why a red check was not really made: its program, or what it needs to begin, is not installed where it ran.
pub fn cannot_run(check: &CheckResult) -> Option<String> {
    if check.passed() || !check.failures.is_empty() {
        return None;
    }
    let signs =
        ["ModuleNotFoundError: No module named", "Error: Cannot find module", "ImportError while loading conftest"];
    let said = |line: &&str| {
        let missing = line.ends_with(": not found") || line.ends_with(": command not found");
        (check.end == End::Exit(127) && missing) || signs.iter().any(|sign| line.contains(sign))
    };
    // The last sign names what is missing; the ones before lead to it.
    let line = check.tail.lines().map(str::trim).rfind(said);
    let hint =
        "install what it needs in the checkout (npm install, pip install -e ., …), or say how to in [lanes] setup";
    match line {
        Some(line) => Some(format!("{}; {hint}", line.trim_start_matches("E ").trim())),
        None if check.end == End::Exit(127) => Some(format!("a program of it was not found; {hint}")),
        None => None,
    }
}

/// A second look at an agent's work that its check does not refute: tests may not have gone, and where the work was to
/// mend something, something must be mended.
pub fn honest(words: Option<String>, after: &CheckResult, before: &CheckResult, mends: bool) -> Verdict {
    if let (Some(ran_before), Some(ran)) = (before.ran, after.ran)
        && ran < ran_before
    {
        let what = format!("{ran_before} tests ran before the change and {ran} after it; none may go or be skipped");
        return Verdict::Refuted(what);
    }
    if mends && !after.passed() && !before.passed() {
        let still: BTreeSet<&String> = after.failures.iter().collect();
        let mended = before.failures.iter().filter(|name| !still.contains(name)).count();
        if mended == 0 {
            let what = format!("what was red is as red as before: {}", list(&after.failures));
            return Verdict::Refuted(what);
        }
    }
    Verdict::Proven(words)
}

/// How many tests ran, by the summaries of the common runners; `None` where there is none. Skipped ones do not count.
pub fn tests_ran(output: &str) -> Option<u32> {
    let mut ran: Option<u32> = None;
    for line in output.lines() {
        let plain = strip_colours(line);
        let line = plain.trim().trim_matches('=').trim();
        // The number before each of these words.
        let counted = |words: &[&str]| {
            let tokens: Vec<&str> = line.split([' ', ',', ';']).filter(|token| !token.is_empty()).collect();
            let pairs = tokens.windows(2).filter(|pair| words.contains(&pair[1]));
            let numbers: Vec<u32> = pairs.filter_map(|pair| pair[0].parse().ok()).collect();
            (!numbers.is_empty()).then(|| numbers.iter().sum::<u32>())
        };
        let found = if line.starts_with("test result:") {
            // cargo: `test result: ok. 3 passed; 0 failed; 1 ignored; …`
            counted(&["passed", "failed"])
        } else if line.starts_with("Summary [") {
            // nextest: `Summary [0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped`
            counted(&["passed", "failed"])
        } else if let Some(rest) = line.strip_prefix("Ran ") {
            // unittest: `Ran 3 tests in 0.001s`
            rest.split(' ').next().and_then(|number| number.parse().ok())
        } else if line.starts_with("Tests:") || line.starts_with("Tests ") {
            // jest, vitest: `Tests:  1 failed, 2 passed, 3 total`
            counted(&["passed", "failed"])
        } else if line.contains(" in ") && (line.contains(" passed") || line.contains(" failed")) {
            // pytest: `1 failed, 2 passed in 0.03s`
            counted(&["passed", "failed", "error", "errors"])
        } else if let Some(rest) = line.strip_prefix("# pass ").or(line.strip_prefix("# fail ")) {
            // TAP as node prints it.
            rest.trim().parse().ok()
        } else {
            None
        };
        if let Some(found) = found {
            ran = Some(ran.unwrap_or(0) + found);
        }
    }
    ran
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

/// Most names that are kept of one check.
const FAILURES_MAX: usize = 2_000;

/// Reads the names of failed tests from the output of the common runners: cargo test and nextest, pytest,
/// go test, node's runner and TAP, jest and vitest, unittest. Sorted, without repeats.
pub fn failing_tests(output: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for line in output.lines() {
        if let Some(name) = failing_test(strip_colours(line).trim_end())
            && found.len() < FAILURES_MAX
        {
            found.insert(name);
        }
    }
    found.into_iter().collect()
}

fn failing_test(line: &str) -> Option<String> {
    let trimmed = line.trim_start();
    // cargo test: `test module::name ... FAILED`
    if let Some(rest) = trimmed.strip_prefix("test ")
        && let Some(name) = rest.strip_suffix(" ... FAILED")
    {
        return Some(name.to_owned());
    }
    // nextest: `        FAIL [   0.004s] crate module::name`
    if let Some(rest) = trimmed.strip_prefix("FAIL [") {
        return rest.split_once("] ").map(|(_, name)| name.trim().to_owned());
    }
    // pytest: `FAILED tests/test_a.py::test_b - AssertionError`, `ERROR tests/test_a.py`
    for mark in ["FAILED ", "ERROR "] {
        if let Some(rest) = line.strip_prefix(mark) {
            let name = rest.split(" - ").next().unwrap_or(rest).trim();
            if name.contains(".py") {
                return Some(name.to_owned());
            }
        }
    }
    // go test: `--- FAIL: TestName (0.00s)`, and `FAIL\tpackage\t0.1s` for one that does not build
    if let Some(rest) = trimmed.strip_prefix("--- FAIL: ") {
        return Some(rest.split(" (").next().unwrap_or(rest).to_owned());
    }
    if let Some(rest) = line.strip_prefix("FAIL\t") {
        return Some(rest.split(['\t', ' ']).next().unwrap_or(rest).to_owned());
    }
    // TAP and node's runner: `not ok 3 - name`, without those marked as expected
    if let Some(rest) = trimmed.strip_prefix("not ok ") {
        let name = rest.split_once(" - ").map_or(rest, |(_, name)| name);
        let expected = name.contains("# TODO") || name.contains("# SKIP");
        return (!expected).then(|| name.trim().to_owned());
    }
    // unittest: `FAIL: test_name (module.Class)`, `ERROR: test_name (module.Class)`
    for mark in ["FAIL: ", "ERROR: "] {
        if let Some(rest) = line.strip_prefix(mark)
            && rest.starts_with("test")
        {
            return Some(rest.to_owned());
        }
    }
    // jest and vitest: `  ● suite › name`, `FAIL  path/to.test.ts > name`
    if let Some(rest) = trimmed.strip_prefix("● ") {
        return rest.contains(" › ").then(|| rest.to_owned());
    }
    if let Some(rest) = trimmed.strip_prefix("FAIL  ") {
        return Some(rest.trim().to_owned());
    }
    None
}

/// The line without terminal colour sequences.
fn strip_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            if characters.next() == Some('[') {
                for inner in characters.by_ref() {
                    if inner.is_ascii_alphabetic() {
                        break;
                    }
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red(failures: &[&str]) -> CheckResult {
        CheckResult {
            end: End::Exit(1),
            seconds: 1.0,
            tail: "…".into(),
            failures: failures.iter().map(|name| (*name).to_owned()).collect(),
            ran: None,
        }
    }

    fn green() -> CheckResult {
        CheckResult { end: End::Exit(0), seconds: 1.0, tail: String::new(), failures: Vec::new(), ran: None }
    }

    #[test]
    fn a_change_may_not_add_a_failure() {
        assert_eq!(judge(&green(), None), Verdict::Proven(None));
        assert_eq!(judge(&red(&["a"]), None), Verdict::NeedsBaseline);
        assert!(matches!(judge(&red(&["a"]), Some(Some(&green()))), Verdict::Refuted(_)));
        assert!(matches!(judge(&red(&["a"]), Some(Some(&red(&["a", "b"])))), Verdict::Proven(Some(_))));
        assert!(matches!(judge(&red(&["a", "c"]), Some(Some(&red(&["a", "b"])))), Verdict::Refuted(_)));
        assert!(matches!(judge(&red(&[]), Some(Some(&red(&[])))), Verdict::Refuted(_)));
        assert!(matches!(judge(&red(&[]), Some(None)), Verdict::Refuted(_)));
    }

    #[test]
    fn an_agent_may_not_remove_tests_nor_leave_all_red() {
        let with = |result: CheckResult, ran| CheckResult { ran: Some(ran), ..result };
        let gone = honest(None, &with(green(), 2), &with(red(&["a"]), 3), true);
        assert_eq!(
            gone,
            Verdict::Refuted("3 tests ran before the change and 2 after it; none may go or be skipped".into())
        );
        assert_eq!(honest(None, &with(green(), 3), &with(red(&["a"]), 3), true), Verdict::Proven(None));
        assert!(matches!(honest(None, &red(&["a"]), &red(&["a"]), true), Verdict::Refuted(_)));
        assert_eq!(honest(None, &red(&["a"]), &red(&["a", "b"]), true), Verdict::Proven(None));
        assert_eq!(honest(None, &red(&["a"]), &red(&["a"]), false), Verdict::Proven(None));
    }

    #[test]
    fn tests_are_counted_from_the_common_runners() {
        let cargo = "test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        assert_eq!(tests_ran(cargo), Some(4));
        assert_eq!(tests_ran("==== 1 failed, 2 passed, 3 skipped in 0.03s ===="), Some(3));
        assert_eq!(tests_ran("Ran 3 tests in 0.001s\nOK"), Some(3));
        assert_eq!(tests_ran("Tests:       1 failed, 2 passed, 3 total"), Some(3));
        assert_eq!(tests_ran("# tests 3\n# pass 2\n# fail 1"), Some(3));
        assert_eq!(tests_ran("nothing to see"), None);
    }

    #[test]
    fn names_are_read_from_the_common_runners() {
        let output = "test ids::tests::a ... FAILED\ntest b ... ok\nFAILED tests/test_a.py::test_b - assert 1\n\
                      --- FAIL: TestC (0.00s)\nFAIL\texample.com/d\t0.1s\nnot ok 3 - adds\nnot ok 4 - x # TODO later\n\
                      \u{1b}[31mFAIL: test_e (m.C)\u{1b}[0m\n  ● suite › name\nERROR: something else\n";
        assert_eq!(
            failing_tests(output),
            [
                "TestC",
                "adds",
                "example.com/d",
                "ids::tests::a",
                "suite › name",
                "test_e (m.C)",
                "tests/test_a.py::test_b"
            ]
        );
    }
}
