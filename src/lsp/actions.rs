//! What the editor offers at a place: ready-made requests, and the answers to what is asked there. Pure.
//!
//! LSP has no input box, so each action is a whole request. Its command is in the action itself: some editors cannot
//! resolve one later.

use serde_json::{Value, json};

use super::{
    can::Can,
    documents::Document,
    marks::{self, Mark},
    types::{Diagnostic, Position, Range},
};
use crate::api::{Decision, decision::DecisionOption};

/// The name under which our diagnostics stand.
pub const SOURCE: &str = "orchestrator";

/// Lines of a selection that are looked at for marks.
const LINES_MAX: usize = 400;

/// Actions of one kind that one place offers.
const OFFERED_MAX: usize = 5;

/// Longest selection that is taken for a request in words, characters.
const WORDS_MAX: usize = 2_000;

/// Longest part of a message in a title, characters.
const TITLE_MAX: usize = 60;

/// What is asked at a place.
#[derive(Debug)]
pub struct Place<'a> {
    /// The buffer.
    pub document: &'a Document,
    /// How messages call its file: relative to the workspace.
    pub name: &'a str,
    /// Whether a run can change it.
    pub ours: bool,
    /// What is selected; empty where only the cursor stands somewhere.
    pub range: Range,
    /// What the editor knows to be wrong here, of any server.
    pub diagnostics: &'a [Diagnostic],
    /// Decisions that are shown in this file, with their lines.
    pub decisions: &'a [(Decision, u32)],
    /// Kinds the editor wants; empty = all.
    pub only: &'a [String],
}

/// The actions for a place, as they go over the wire.
pub fn actions(place: &Place<'_>, can: &Can) -> Vec<Value> {
    let mut offered = answers(place);
    if place.ours {
        offered.extend(of_diagnostics(place));
        offered.extend(of_marks(place));
        offered.extend(of_selection(place, can));
    }
    offered.retain(|action| wanted(action.kind, place.only));
    offered.into_iter().map(|action| action.wire(can)).collect()
}

struct Action {
    title: String,
    kind: &'static str,
    command: &'static str,
    argument: Value,
    diagnostics: Option<Value>,
}

impl Action {
    fn wire(self, can: &Can) -> Value {
        let command = json!({"title": self.title, "command": self.command, "arguments": [self.argument]});
        if !can.action_literals {
            return command;
        }
        let mut action = json!({"title": self.title, "kind": self.kind, "command": command});
        if let Some(diagnostics) = self.diagnostics {
            action["diagnostics"] = diagnostics;
        }
        action
    }
}

/// Kinds are paths: `refactor` takes `refactor.orchestrate`.
fn wanted(kind: &str, only: &[String]) -> bool {
    let within = |wide: &str| kind == wide || kind.strip_prefix(wide).is_some_and(|rest| rest.starts_with('.'));
    only.is_empty() || only.iter().any(|wide| wide.is_empty() || within(wide))
}

fn lines(range: Range) -> std::ops::RangeInclusive<usize> {
    let (first, last) = (range.start.line.min(range.end.line), range.start.line.max(range.end.line));
    first as usize..=(last as usize).min(first as usize + LINES_MAX)
}

/// The options of every decision that is shown on the lines in question, and after them those that may hold for all that
/// is like it. Editors put the cursor on the first action of
/// their menu, and an answer must not be what one key press gives: the question comes first, and none is preferred.
fn answers(place: &Place<'_>) -> Vec<Action> {
    let here = place.decisions.iter().filter(|(_, line)| lines(place.range).contains(&(*line as usize)));
    here.flat_map(|(decision, line)| {
        let question = Action {
            title: format!("{} waits for you: {}", decision.decision_id, short(&decision.question)),
            kind: "quickfix",
            command: "orchestrator.decide",
            argument: json!({"decision_id": decision.decision_id}),
            diagnostics: Some(json!([diagnostic(decision, *line)])),
        };
        let options = decision.options.iter().map(|option| Action {
            title: format!("{}: {} ({})", decision.decision_id, option.title, short(&option.effect)),
            kind: "quickfix",
            command: "orchestrator.submit_decision",
            argument: json!({"decision_id": decision.decision_id, "response": {"choice": option.id}}),
            diagnostics: Some(json!([diagnostic(decision, *line)])),
        });
        let lasting = decision.remembers.iter().flat_map(|kind| {
            let may = |option: &&DecisionOption| kind.options.contains(&option.id);
            decision.options.iter().filter(may).map(|option| Action {
                title: format!(
                    "{}: {} {} for `{}`",
                    decision.decision_id,
                    option.title,
                    if option.id == "allow" { "always" } else { "from now on" },
                    short(&kind.sort)
                ),
                kind: "quickfix",
                command: "orchestrator.submit_decision",
                argument: json!({"decision_id": decision.decision_id,
                    "response": {"choice": option.id, "remember": "always"}}),
                diagnostics: Some(json!([diagnostic(decision, *line)])),
            })
        });
        std::iter::once(question).chain(options).chain(lasting).collect::<Vec<_>>()
    })
    .collect()
}

/// An open decision as a diagnostic on its line.
pub fn diagnostic(decision: &Decision, line: u32) -> Value {
    let range = Range::new(Position::new(line, 0), Position::new(line, 1));
    let message = format!("{} waits for you: {}", decision.decision_id, decision.question);
    json!({"range": range, "severity": 3, "source": SOURCE, "code": decision.decision_id, "message": message})
}

fn of_diagnostics(place: &Place<'_>) -> Vec<Action> {
    let others = place.diagnostics.iter().filter(|found| found.source.as_deref() != Some(SOURCE));
    others
        .take(OFFERED_MAX)
        .flat_map(|found| {
            let source = found.source.as_deref().map(|source| format!(" ({source})")).unwrap_or_default();
            let at = format!("{}, line {}", place.name, found.range.start.line + 1);
            let message = found.message.trim();
            let argument = |description: String| {
                json!({"description": description, "uri": place.document.uri, "range": found.range, "diagnostic": found})
            };
            [
                Action {
                    title: format!("Orchestrate: fix this diagnostic: {}", short(message)),
                    kind: "quickfix",
                    command: "orchestrator.run",
                    argument: argument(format!("Fix this diagnostic{source} in {at}: {message}")),
                    diagnostics: Some(json!([found])),
                },
                Action {
                    title: format!("Orchestrate: explain the failure: {}", short(message)),
                    kind: "quickfix",
                    command: "orchestrator.run",
                    argument: argument(format!(
                        "Explain the cause of this failure{source} in {at}, and change no file: {message}"
                    )),
                    diagnostics: Some(json!([found])),
                },
            ]
        })
        .collect()
}

fn of_marks(place: &Place<'_>) -> Vec<Action> {
    let mut found: Vec<Mark> = Vec::new();
    for line in lines(place.range) {
        if found.len() == OFFERED_MAX || line >= place.document.lines() {
            break;
        }
        found.extend(marks::mark(place.document, line));
    }
    let alone = found.len() == 1;
    found
        .into_iter()
        .map(|mark| {
            let at = format!("{}, line {}", place.name, mark.line + 1);
            let range = Range::new(Position::new(mark.line as u32, 0), Position::new(mark.last as u32 + 1, 0));
            let description = match mark.text.as_str() {
                "" => format!("Do what the {} in {at} stands for, and remove it", mark.word),
                text => format!("Do this {} in {at}, and remove it: {text}", mark.word),
            };
            let title = match (alone, mark.text.as_str()) {
                (true, _) | (_, "") => format!("Orchestrate: do this {}", mark.word),
                (false, text) => format!("Orchestrate: do this {}: {}", mark.word, short(text)),
            };
            Action {
                title,
                kind: "quickfix",
                command: "orchestrator.run",
                argument: json!({"description": description, "uri": place.document.uri, "range": range}),
                diagnostics: None,
            }
        })
        .collect()
}

fn of_selection(place: &Place<'_>, can: &Can) -> Vec<Action> {
    if place.range.start == place.range.end {
        return Vec::new();
    }
    let text = place.document.slice(place.range, can.encoding).trim();
    // Some editors always have the character under the cursor selected.
    if text.chars().nth(1).is_none() {
        return Vec::new();
    }
    let (first, last) = (place.range.start.line + 1, place.range.end.line + 1);
    let at = match first == last {
        true => format!("{}, line {first}", place.name),
        false => format!("{}, lines {first} to {last}", place.name),
    };
    let argument = |description: Option<String>| {
        let mut argument = json!({"uri": place.document.uri, "range": place.range});
        if let Some(description) = description {
            argument["description"] = description.into();
        }
        argument
    };
    let run = |title: &str, kind, description: String| Action {
        title: format!("Orchestrate: {title}"),
        kind,
        command: "orchestrator.run",
        argument: argument(Some(description)),
        diagnostics: None,
    };
    let mut offered = vec![
        run("write tests for this", "refactor.orchestrate", format!("Write tests for the code in {at}")),
        run("document this", "refactor.orchestrate", format!("Document the code in {at}; change nothing that runs")),
    ];
    if text.chars().count() <= WORDS_MAX {
        offered.push(run("do what this says", "refactor.orchestrate", text.to_owned()));
    }
    if can.input_box {
        // The editor's own side asks for the words, and then hands in the request.
        offered.insert(
            0,
            Action {
                title: "Orchestrate…".to_owned(),
                kind: "refactor.orchestrate",
                command: "orchestrator.ask",
                argument: argument(None),
                diagnostics: None,
            },
        );
    }
    offered
}

/// A text in one short line.
pub fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    match line.char_indices().nth(TITLE_MAX) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::decision::Remembers;
    use crate::lsp::documents::Documents;

    const CAN: fn() -> Can = || Can { action_literals: true, ..Can::default() };

    #[derive(Default)]
    struct With<'a> {
        diagnostics: &'a [Diagnostic],
        decisions: &'a [(Decision, u32)],
        only: &'a [String],
    }

    fn offered(text: &str, range: ((u32, u32), (u32, u32)), with: With<'_>, can: &Can) -> Vec<Value> {
        let mut documents = Documents::default();
        documents.open("file:///w/src/a.rs", "rust", 1, text.to_owned());
        let position = |(line, character)| Position::new(line, character);
        let place = Place {
            document: documents.get("file:///w/src/a.rs").unwrap(),
            name: "src/a.rs",
            ours: true,
            range: Range::new(position(range.0), position(range.1)),
            diagnostics: with.diagnostics,
            decisions: with.decisions,
            only: with.only,
        };
        actions(&place, can)
    }

    fn titles(actions: &[Value]) -> Vec<&str> {
        actions.iter().map(|action| action["title"].as_str().unwrap()).collect()
    }

    fn found(source: Option<&str>, message: &str) -> Diagnostic {
        serde_json::from_value(
            json!({"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 2}},
            "source": source, "message": message}),
        )
        .unwrap()
    }

    #[test]
    fn a_mark_becomes_a_whole_request() {
        let actions = offered("fn a() {}\n// TODO: parse it\n", ((1, 4), (1, 4)), With::default(), &CAN());
        assert_eq!(titles(&actions), ["Orchestrate: do this TODO"]);
        let argument = &actions[0]["command"]["arguments"][0];
        assert_eq!(argument["description"], "Do this TODO in src/a.rs, line 2, and remove it: parse it");
        assert_eq!(argument["range"]["start"]["line"], 1);
        assert_eq!(actions[0]["kind"], "quickfix");
        assert!(offered("fn a() {}\n// TODO: x\n", ((0, 0), (0, 0)), With::default(), &CAN()).is_empty());
    }

    #[test]
    fn what_another_server_found_can_be_mended_or_explained() {
        let diagnostics = [found(Some("rustc"), "mismatched types\nexpected u8"), found(Some(SOURCE), "D-1 waits")];
        let actions = offered("x\n", ((0, 0), (0, 0)), With { diagnostics: &diagnostics, ..With::default() }, &CAN());
        assert_eq!(
            titles(&actions),
            [
                "Orchestrate: fix this diagnostic: mismatched types",
                "Orchestrate: explain the failure: mismatched types"
            ]
        );
        let argument = &actions[0]["command"]["arguments"][0];
        let description = argument["description"].as_str().unwrap();
        assert!(description.starts_with("Fix this diagnostic (rustc) in src/a.rs, line 1: mismatched types\n"));
        assert_eq!(argument["diagnostic"]["source"], "rustc");
    }

    #[test]
    fn a_selection_offers_more_and_the_kinds_are_filtered() {
        let all = offered("fn a() {}\n", ((0, 0), (0, 9)), With::default(), &Can { input_box: true, ..CAN() });
        assert_eq!(
            titles(&all),
            [
                "Orchestrate…",
                "Orchestrate: write tests for this",
                "Orchestrate: document this",
                "Orchestrate: do what this says"
            ]
        );
        let only = ["refactor".to_owned()];
        assert_eq!(offered("fn a() {}\n", ((0, 0), (0, 9)), With { only: &only, ..With::default() }, &CAN()).len(), 3);
        let only = ["quickfix".to_owned(), "refactor.orchestrated".to_owned()];
        assert!(offered("fn a() {}\n", ((0, 0), (0, 9)), With { only: &only, ..With::default() }, &CAN()).is_empty());
        assert!(
            offered("   \n", ((0, 0), (0, 3)), With::default(), &CAN()).is_empty(),
            "nothing is selected but blanks"
        );
    }

    #[test]
    fn a_decision_is_answered_where_it_is_shown() {
        let decision = crate::cli::samples::decision();
        let shown = [(decision.clone(), 3)];
        let here = offered("a\nb\nc\nd\n", ((3, 0), (3, 0)), With { decisions: &shown, ..With::default() }, &CAN());
        assert_eq!(here.len(), 1 + decision.options.len());
        assert_eq!(here[0]["command"]["command"], "orchestrator.decide", "one key press answers nothing");
        assert_eq!(here[1]["command"]["command"], "orchestrator.submit_decision");
        assert_eq!(here[0]["diagnostics"][0]["code"], json!(decision.decision_id));
        // What may hold for its kind of action comes after the answers that hold once.
        let kind = Remembers { sort: "Bash make".into(), options: vec!["reject".into()] };
        let lasting = [(crate::api::Decision { remembers: Some(kind), ..decision.clone() }, 3)];
        let here = offered("a\nb\nc\nd\n", ((3, 0), (3, 0)), With { decisions: &lasting, ..With::default() }, &CAN());
        assert_eq!(here.len(), 2 + decision.options.len());
        let last = here.last().unwrap();
        assert!(last["title"].as_str().unwrap().ends_with("from now on for `Bash make`"), "{last}");
        assert_eq!(last["command"]["arguments"][0]["response"], json!({"choice": "reject", "remember": "always"}));
        assert!(here.iter().all(|action| action.get("isPreferred").is_none()));
        let elsewhere =
            offered("a\nb\nc\nd\n", ((0, 0), (0, 0)), With { decisions: &shown, ..With::default() }, &CAN());
        assert!(elsewhere.is_empty());
    }

    #[test]
    fn an_editor_without_literals_gets_commands() {
        let actions = offered("// TODO: x\n", ((0, 0), (0, 0)), With::default(), &Can::default());
        assert_eq!(actions[0]["command"], "orchestrator.run");
    }
}
