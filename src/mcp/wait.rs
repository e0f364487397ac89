//! Waiting for the daemon's news inside a call, with a sign of life for the client, and a question where one comes up.
//!
//! The daemon is never asked to wait: a call that its client cancels would go on waiting there.

use std::{rc::Rc, sync::Arc, time::Duration};

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, MissedTickBehavior},
};

use super::{
    ask,
    front::{Call, Front, Reply},
    tools::raw,
    wire,
};
use crate::{
    api::{ApiError, Changes, Code, Event, EventType, PendingDecisions, ProcessResponse, RunState},
    ids::{DecisionId, RunId},
};

/// How long a started run may take for its plan before its starter gets an answer without it.
const PLAN_MAX: Duration = Duration::from_millis(1000);

/// Between two signs of life; a host gives up on a call that is silent for minutes.
const BEAT: Duration = Duration::from_secs(10);

/// Waits without an argument.
const DEFAULT_S: f64 = 60.0;

/// Most that one call waits; hosts move longer calls to the background, or end them.
const LONGEST_S: f64 = 300.0;

/// Most events of one answer. The revision is that of the last one, so the next call goes on behind it.
const EVENTS_MAX: usize = 60;

/// Counts a call that waits, for as long as it does.
struct Waits(Rc<Front>);

impl Waits {
    fn new(front: &Rc<Front>) -> Waits {
        front.waits.set(front.waits.get() + 1);
        Waits(front.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waits.set(self.0.waits.get() - 1);
    }
}

/// Waits a moment for a run's plan or its first question. False: neither came, or nothing is to be waited for.
pub async fn planned(front: &Rc<Front>, run: RunId, after: u64, response: &ProcessResponse) -> bool {
    let mut news = front.news();
    if response.decision_id.is_some()
        || !matches!(response.status, RunState::Idle | RunState::Analyzing | RunState::Planning)
    {
        return true;
    }
    let settled = |events: &[Event]| {
        events.iter().any(|event| {
            let kind = matches!(event.kind, EventType::RunPlanned | EventType::RunFinished | EventType::DecisionOpened);
            kind && event.run == Some(run) && event.revision > after
        })
    };
    let wait = async {
        loop {
            match news.recv().await {
                Ok(events) if settled(&events) => return true,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return false,
            }
        }
    };
    let planned = tokio::time::timeout(PLAN_MAX, wait).await.unwrap_or(false);
    // Right behind its plan a run asks for trust or approval; one turn lets that come, too.
    if planned {
        let _ = tokio::time::timeout(Duration::from_millis(20), news.recv()).await;
    }
    planned
}

/// The tool `wait_for_change`.
pub async fn tool(
    front: &Rc<Front>,
    call: &Call,
    arguments: &JsonObject,
    round: ask::Round,
) -> Result<Reply, ApiError> {
    let seconds = number(arguments, "timeout_s")?.unwrap_or(DEFAULT_S);
    if !(0.0..=LONGEST_S).contains(&seconds) {
        let message = format!("`timeout_s` is {seconds}, and must be between 0 and {LONGEST_S}");
        return Err(ApiError::new(Code::Invalid, message, "call again where it was too short"));
    }
    let run = match arguments.get("run").and_then(Value::as_str) {
        Some(text) => Some(text.parse::<RunId>().map_err(|_| {
            ApiError::new(Code::Invalid, format!("`run` is {text:?}, which is no id of the form R-3"), "")
        })?),
        None => None,
    };
    let mut notes = ask::record(front, &round).await;
    // From here on nothing is missed, whatever the first look says.
    let mut news = front.news();
    let after = match arguments.get("after") {
        None | Some(Value::Null) => None,
        Some(after) => Some(after.as_u64().ok_or_else(|| {
            let message = format!("`after` is {after}, and must be a revision: a whole number of 0 or more");
            ApiError::new(Code::Invalid, message, "take `revision` of any answer")
        })?),
    };
    let waits = Waits::new(front);
    let state = front.raw("get_state", &json!({"session_id": run})).await?;
    let head = revision(state.get());
    let after = after.unwrap_or(head);
    if after > head {
        let message = format!("`after` is {after}, and the newest revision is {head}");
        return Err(ApiError::new(Code::Invalid, message, "take `revision` of any answer of this workspace"));
    }
    let began = Instant::now();
    let deadline = began + Duration::from_secs_f64(seconds);
    let mut beat = tokio::time::interval_at(began + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut percent = 0.0;
    loop {
        if call.forms
            && let Some((of, decision)) = unshown(front, run).await?
        {
            match ask::now(front, call, "wait_for_change", of, decision, None).await {
                ask::Asked::Return(reply) => return Ok(reply),
                ask::Asked::Done(note) => notes.extend(note),
                ask::Asked::Not => {}
            }
        }
        let changes: Changes =
            front.ask("wait_for_change", &json!({"after": after, "timeout_s": 0.0, "run": run})).await?;
        let over = Instant::now() >= deadline;
        if !changes.events.is_empty() || over || !notes.is_empty() {
            drop(waits);
            return Ok(told(changes, notes, after));
        }
        loop {
            tokio::select! {
                told = next(&mut news) => match told {
                    Some(events) => {
                        let mine = |event: &&Event| run.is_none() || event.run == run;
                        if let Some(now) = events.iter().filter(mine).filter_map(|event| event.data.percent).next_back() {
                            percent = now;
                        }
                        if events.iter().any(|event| mine(&event)) {
                            break;
                        }
                    }
                    None => break,
                },
                _ = beat.tick() => progress(front, call, began.elapsed().as_secs_f64(), seconds, percent, run),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
    }
}

/// The next batch; `None` where some were missed, so that one has to look.
async fn next(news: &mut Receiver<Arc<[Event]>>) -> Option<Arc<[Event]>> {
    match news.recv().await {
        Ok(events) => Some(events),
        Err(RecvError::Lagged(_)) => None,
        // The sender lives as long as we do.
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// An open decision that no call has shown yet, most urgent first.
async fn unshown(front: &Rc<Front>, run: Option<RunId>) -> Result<Option<(RunId, DecisionId)>, ApiError> {
    let open: PendingDecisions = front.ask("get_pending_decisions", &json!({})).await?;
    let shown = front.shown.borrow();
    let of = |decision: &crate::api::Decision| (decision.context.request_id, decision.decision_id);
    let mut found = open.decisions.iter().map(of).filter(|(of, _)| run.is_none_or(|run| run == *of));
    Ok(found.find(|(_, decision)| !shown.contains(decision)))
}

/// A sign of life. It goes up each time, as the protocol wants it.
fn progress(front: &Front, call: &Call, done_s: f64, total_s: f64, percent: f64, run: Option<RunId>) {
    let Some(token) = &call.progress else { return };
    let what = run.map_or_else(|| "the workspace".to_owned(), |run| run.to_string());
    let message = match percent > 0.0 {
        true => format!("{what}: {percent:.0} %"),
        false => format!("waiting for {what}"),
    };
    let params = json!({
        "progressToken": token,
        "progress": (done_s * 10.0).round() / 10.0,
        "total": total_s,
        "message": message,
    });
    front.out.push(wire::notification("notifications/progress", &params));
}

/// The answer: at most so many events, whole revisions of them.
fn told(mut changes: Changes, notes: Vec<String>, after: u64) -> Reply {
    let all = changes.events.len();
    if all > EVENTS_MAX {
        let last = changes.events[EVENTS_MAX - 1].revision;
        // A revision is told whole or not at all, unless it alone is too much.
        let whole = changes.events.iter().take_while(|event| event.revision < last).count();
        let (keep, upto) = match whole {
            0 => (EVENTS_MAX, last),
            whole => (whole, changes.events[whole - 1].revision),
        };
        changes.events.truncate(keep);
        changes.revision = upto;
        changes.summary =
            format!("{keep} of {all} events after revision {after}; ask again with after {upto} for the rest");
    }
    if !notes.is_empty() {
        changes.summary = format!("{}; {}", notes.join("; "), changes.summary);
    }
    raw(&changes)
}

fn revision(reply: &str) -> u64 {
    #[derive(serde::Deserialize)]
    struct Revision {
        revision: u64,
    }
    serde_json::from_str::<Revision>(reply).map_or(0, |reply| reply.revision)
}

fn number(arguments: &JsonObject, name: &str) -> Result<Option<f64>, ApiError> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| {
            let shown: String = value.to_string().chars().take(60).collect();
            ApiError::new(Code::Invalid, format!("`{name}` is {shown}, and must be a number"), "").at_field(name)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(revisions: &[u64]) -> Changes {
        let event = |revision: &u64| -> Event {
            let value = json!({"revision": revision, "at": "2026-11-22T14:02:00Z", "type": "task.ready"});
            serde_json::from_value(value).unwrap()
        };
        let revision = revisions.last().copied().unwrap_or(0);
        Changes { summary: String::new(), revision, events: revisions.iter().map(event).collect() }
    }

    #[test]
    fn a_long_answer_stops_between_two_revisions() {
        let last = |reply: Reply| match reply {
            Reply::Called(raw) => {
                let told: Changes = serde_json::from_str(raw.get()).unwrap();
                (told.events.len(), told.revision)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(last(told(changes(&[4, 5, 5]), Vec::new(), 3)), (3, 5));
        let many: Vec<u64> = (0..100).map(|number| 10 + number / 7).collect();
        assert_eq!(last(told(changes(&many), Vec::new(), 3)), (56, 17));
        assert_eq!(last(told(changes(&[9; 100]), Vec::new(), 3)), (EVENTS_MAX, 9));
    }
}
