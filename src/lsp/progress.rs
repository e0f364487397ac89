//! Each run as one `$/progress` of the editor: asked for, begun, reported, ended. Pure: time comes in, messages go out.
//!
//! A percentage is in every report and never goes back; 100 comes with the end alone. Reports are as many as an eye can
//! follow and only where something changed, because some editors keep but the last fifty messages.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    api::{Event, EventType, Outcome, RunState, state::Session},
    ids::{DecisionId, RunId},
};

/// Between two reports of one run.
pub const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Every run that is under way, as the editor sees it.
#[derive(Debug, Default)]
pub struct Progress {
    runs: BTreeMap<RunId, Shown>,
    /// Tokens are never used twice, also not for the same run.
    tokens: u64,
}

#[derive(Debug)]
struct Shown {
    token: String,
    phase: Phase,
    description: String,
    total: u64,
    settled: u64,
    percent: u32,
    /// What runs, in the words of its title.
    busy: String,
    /// What waits for an answer.
    open: BTreeMap<DecisionId, String>,
    told: Option<(u32, String)>,
    /// When the next report may leave.
    free_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The editor was asked for a token.
    Asked,
    /// `begin` was sent.
    Open,
    /// The editor wants none.
    Unwanted,
}

/// A run as our own front ends show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The run.
    pub run: RunId,
    /// What was asked.
    pub description: String,
    /// How far it is.
    pub percent: u32,
    /// What it does.
    pub message: String,
}

impl Progress {
    /// A run is under way, as a reply of the daemon has it. The token to ask for, where it is new.
    pub fn known(&mut self, session: &Session) -> Option<String> {
        if session.outcome.is_some() || self.runs.contains_key(&session.request_id) {
            return None;
        }
        let token = self.start(session.request_id, &session.description);
        if let Some(shown) = self.runs.get_mut(&session.request_id) {
            shown.total = session.progress.total_tasks;
            shown.settled = session.progress.completed_tasks;
            shown.raise(session.progress.completion_percentage);
        }
        Some(token)
    }

    fn start(&mut self, run: RunId, description: &str) -> String {
        self.tokens += 1;
        let token = format!("orchestrator/{run}/{}", self.tokens);
        let shown = Shown {
            token: token.clone(),
            phase: Phase::Asked,
            description: description.to_owned(),
            total: 0,
            settled: 0,
            percent: 0,
            busy: String::new(),
            open: BTreeMap::new(),
            told: None,
            free_at: Duration::ZERO,
        };
        self.runs.insert(run, shown);
        token
    }

    /// Something happened. The token to ask for, where a run begins, or begins again.
    pub fn event(&mut self, event: &Event) -> Option<String> {
        let run = event.run?;
        let begins = match event.kind {
            EventType::RunCreated => true,
            // Tried again after its end.
            EventType::RunStateChanged => {
                event.data.to.is_some_and(|to| !matches!(to, RunState::Idle | RunState::Error))
            }
            _ => false,
        };
        let mut asked = None;
        if begins && !self.runs.contains_key(&run) {
            let description = event.data.more.get("description").and_then(Value::as_str).unwrap_or_default();
            asked = Some(self.start(run, description));
        }
        let shown = self.runs.get_mut(&run)?;
        match event.kind {
            EventType::TaskAdded => shown.total += 1,
            EventType::TaskCompleted
            | EventType::TaskFailed
            | EventType::TaskBlocked
            | EventType::TaskCancelled
            | EventType::TaskUndone => shown.settled += 1,
            EventType::AttemptStarted => shown.busy = event.data.title.clone().unwrap_or_default(),
            EventType::DecisionOpened => {
                if let Some(decision) = event.data.decision_id {
                    shown.open.insert(decision, event.data.question.clone().unwrap_or_default());
                }
            }
            EventType::DecisionClosed => {
                if let Some(decision) = event.data.decision_id {
                    shown.open.remove(&decision);
                }
            }
            _ => {}
        }
        if let Some(percent) = event.data.percent {
            shown.raise(percent);
        }
        asked
    }

    /// A decision of a run is open, as a reply of the daemon has it.
    pub fn waits(&mut self, run: RunId, decision: DecisionId, question: &str) {
        if let Some(shown) = self.runs.get_mut(&run) {
            shown.open.insert(decision, question.to_owned());
        }
    }

    /// The run of a token.
    pub fn run_of(&self, token: &str) -> Option<RunId> {
        self.runs.iter().find(|(_, shown)| shown.token == token).map(|(run, _)| *run)
    }

    /// The editor took the token, or did not. What to say then.
    pub fn created(&mut self, token: &str, taken: bool, now: Duration) -> Option<Value> {
        let (run, shown) = self.runs.iter_mut().find(|(_, shown)| shown.token == token)?;
        if shown.phase != Phase::Asked {
            return None;
        }
        if !taken {
            shown.phase = Phase::Unwanted;
            return None;
        }
        shown.phase = Phase::Open;
        shown.free_at = now + REPORT_EVERY;
        let message = shown.message();
        shown.told = Some((shown.percent, message.clone()));
        let title = format!("{run}: {}", first_words(&shown.description));
        Some(json!({"token": token, "value": {"kind": "begin", "title": title, "cancellable": true,
            "message": message, "percentage": shown.percent}}))
    }

    /// Reports that may leave now.
    pub fn due(&mut self, now: Duration) -> Vec<(String, Value)> {
        let open = self.runs.values_mut().filter(|shown| shown.phase == Phase::Open && shown.free_at <= now);
        open.filter_map(|shown| {
            let state = (shown.percent, shown.message());
            if shown.told.as_ref() == Some(&state) {
                return None;
            }
            shown.told = Some(state.clone());
            shown.free_at = now + REPORT_EVERY;
            let value = json!({"kind": "report", "cancellable": true, "message": state.1, "percentage": state.0});
            Some((shown.token.clone(), json!({"token": shown.token, "value": value})))
        })
        .collect()
    }

    /// When there will be a report to send; nothing where all is told.
    pub fn due_at(&self) -> Option<Duration> {
        let open = self.runs.values().filter(|shown| shown.phase == Phase::Open);
        open.filter(|shown| shown.told.as_ref() != Some(&(shown.percent, shown.message())))
            .map(|shown| shown.free_at)
            .min()
    }

    /// A run is over, or is no longer followed. What to say.
    pub fn end(&mut self, run: RunId, message: &str) -> Option<Value> {
        let shown = self.runs.remove(&run)?;
        // One that is still asked for is never begun, so there is nothing to end.
        (shown.phase == Phase::Open)
            .then(|| json!({"token": shown.token, "value": {"kind": "end", "message": message}}))
    }

    /// Nothing is followed any more.
    pub fn end_all(&mut self, message: &str) -> Vec<Value> {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        runs.into_iter().filter_map(|run| self.end(run, message)).collect()
    }

    /// Whether something is under way.
    pub fn any(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Every run that is under way.
    pub fn lines(&self) -> Vec<Line> {
        let line = |(run, shown): (&RunId, &Shown)| Line {
            run: *run,
            description: shown.description.clone(),
            percent: shown.percent,
            message: shown.message(),
        };
        self.runs.iter().map(line).collect()
    }
}

impl Shown {
    fn raise(&mut self, percent: f64) {
        // 100 is said by the end, after the last check.
        self.percent = self.percent.max((percent.clamp(0.0, 99.0)) as u32);
    }

    fn message(&self) -> String {
        if let Some((decision, question)) = self.open.first_key_value() {
            return match self.open.len() {
                1 => format!("{decision} waits for you: {}", first_words(question)),
                count => format!("{count} decisions wait for you: {}", first_words(question)),
            };
        }
        if self.total == 0 {
            return "planning".to_owned();
        }
        let step = (self.settled + 1).min(self.total);
        match self.busy.as_str() {
            "" => format!("step {step}/{}", self.total),
            busy => format!("step {step}/{}: {}", self.total, first_words(busy)),
        }
    }
}

/// How the end of a run is said.
pub fn ending(run: RunId, outcome: Option<Outcome>, reason: Option<&str>) -> String {
    let outcome = outcome.map_or("over", Outcome::name);
    match reason {
        Some(reason) if !reason.is_empty() => format!("{run} {outcome}: {}", first_words(reason)),
        _ => format!("{run} {outcome}"),
    }
}

fn first_words(text: &str) -> String {
    super::actions::short(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: Value) -> Event {
        let event = json!({"revision": 1, "at": "2026-11-22T14:02:00Z", "run": "R-1", "type": kind, "data": data});
        serde_json::from_value(event).unwrap()
    }

    fn value(message: &Value) -> (&str, Option<u64>, &str) {
        let value = &message["value"];
        (value["kind"].as_str().unwrap(), value["percentage"].as_u64(), value["message"].as_str().unwrap())
    }

    #[test]
    fn one_run_from_its_request_to_its_end() {
        let mut progress = Progress::default();
        let at = Duration::from_millis;
        let token = progress.event(&event("run.created", json!({"description": "tidy up"}))).unwrap();
        assert!(progress.due(at(0)).is_empty(), "nothing is said before the editor took the token");
        let begin = progress.created(&token, true, at(10)).unwrap();
        assert_eq!(begin["value"]["title"], "R-1: tidy up");
        assert_eq!(value(&begin), ("begin", Some(0), "planning"));
        assert_eq!(progress.created(&token, true, at(11)), None, "an answer that comes twice");
        for task in ["T-1", "T-2"] {
            progress.event(&event("task.added", json!({"task_id": task})));
        }
        progress.event(&event("attempt.started", json!({"title": "edit parser.rs", "percent": 40.0})));
        assert_eq!((progress.due(at(100)), progress.due_at()), (vec![], Some(at(260))));
        assert_eq!(value(&progress.due(at(260))[0].1), ("report", Some(40), "step 1/2: edit parser.rs"));
        assert_eq!(progress.due_at(), None, "all is told");
        progress.event(&event("task.completed", json!({"percent": 20.0})));
        assert_eq!(value(&progress.due(at(600))[0].1), ("report", Some(40), "step 2/2: edit parser.rs"));
        progress.event(&event("decision.opened", json!({"decision_id": "D-1", "question": "May it?", "percent": 100})));
        assert_eq!(value(&progress.due(at(900))[0].1), ("report", Some(99), "D-1 waits for you: May it?"));
        progress.event(&event("decision.closed", json!({"decision_id": "D-1"})));
        assert_eq!(progress.run_of(&token), Some(RunId(1)));
        let end = progress.end(RunId(1), "R-1 completed").unwrap();
        assert_eq!(value(&end), ("end", None, "R-1 completed"));
        assert_eq!((progress.end(RunId(1), "again"), progress.any()), (None, false));
        let again = progress.event(&event("run.state_changed", json!({"to": "EXECUTING"})));
        assert!(again.is_some_and(|again| again != token), "a run that is tried again has a token of its own");
    }

    #[test]
    fn an_editor_that_wants_no_token_hears_nothing() {
        let mut progress = Progress::default();
        let token = progress.event(&event("run.created", json!({"description": "x"}))).unwrap();
        assert_eq!(progress.created(&token, false, Duration::ZERO), None);
        progress.event(&event("attempt.started", json!({"percent": 50.0})));
        assert!(progress.due(Duration::from_secs(9)).is_empty());
        assert_eq!(progress.end(RunId(1), "over"), None);
        let late = progress.event(&event("run.created", json!({}))).unwrap();
        assert_eq!(progress.end_all("gone"), Vec::<Value>::new(), "never begun, never ended");
        assert_eq!(progress.created(&late, true, Duration::ZERO), None, "its run is over");
        assert!(progress.event(&event("task.completed", json!({}))).is_none());
    }
}
