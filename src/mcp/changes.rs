//! Telling a client what changed: lists of prompts and resources, and resources that it watches.
//!
//! A client that shook hands is told without asking; one of 2026-07-28 says in `subscriptions/listen` what it wants to
//! hear, and each notification carries the id of that request.

use std::{collections::BTreeSet, rc::Rc};

use rmcp::model::{ErrorData, SubscribeRequestParams, SubscriptionFilter, SubscriptionsListenRequestParams};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{
    front::{Call, Front},
    resources::{self, Address},
    server,
    wire::{self, Id},
};
use crate::api::{Event, EventType};

/// Open listen requests of one client.
const LISTENS_MAX: usize = 16;

/// Resources that one client watches.
const WATCHED_MAX: usize = 1_000;

/// Starts to tell a client what changes; a second start does nothing.
pub fn start(front: &Rc<Front>) {
    if front.agent || front.telling.replace(true) {
        return;
    }
    // An agent's connection has no lists that change, and nobody else's daemon is started for this alone: the client
    // was greeted, and will ask for the lists next.
    let mut news = front.news();
    let front = front.clone();
    tokio::task::spawn_local(async move {
        loop {
            let changed = match news.recv().await {
                Ok(events) => Changed::of(&events),
                Err(RecvError::Lagged(_)) => Changed::everything(),
                Err(RecvError::Closed) => return,
            };
            tell(&front, &changed);
        }
    });
}

/// `resources/subscribe` and `resources/unsubscribe`.
pub fn watch(front: &Rc<Front>, call: &Call, params: &str, on: bool) -> Result<(), ErrorData> {
    let params: SubscribeRequestParams = server::params(params)?;
    if Address::parse(&params.uri).is_none() {
        return Err(resources::no_address(call, &params.uri));
    }
    let mut watched = front.watched.borrow_mut();
    match on {
        true if watched.len() >= WATCHED_MAX => {
            return Err(ErrorData::invalid_params(format!("{WATCHED_MAX} resources are watched already"), None));
        }
        true => watched.extend([params.uri]),
        false => watched.retain(|uri| *uri != params.uri),
    }
    drop(watched);
    start(front);
    Ok(())
}

/// `subscriptions/listen`: says at once what will be told.
pub fn listen(front: &Rc<Front>, call: &Call, params: &str) -> Result<(), ErrorData> {
    let params: SubscriptionsListenRequestParams = server::params(params)?;
    let requested = params.notifications;
    let mut listens = front.listens.borrow_mut();
    if listens.len() >= LISTENS_MAX {
        return Err(ErrorData::invalid_params(format!("{LISTENS_MAX} listen requests are open already"), None));
    }
    let mut accepted = SubscriptionFilter::new();
    accepted.prompts_list_changed = requested.prompts_list_changed.filter(|on| *on);
    accepted.resources_list_changed = requested.resources_list_changed.filter(|on| *on);
    let uris = requested
        .resource_subscriptions
        .map(|uris| uris.into_iter().filter(|uri| Address::parse(uri).is_some()).take(WATCHED_MAX).collect::<Vec<_>>());
    accepted.resource_subscriptions = uris.filter(|uris| !uris.is_empty());
    let acknowledged = json!({"_meta": tag(&call.id), "notifications": accepted});
    front.out.push(wire::notification("notifications/subscriptions/acknowledged", &acknowledged));
    listens.insert(call.id.clone(), accepted);
    drop(listens);
    start(front);
    Ok(())
}

fn tag(id: &Id) -> Value {
    json!({"io.modelcontextprotocol/subscriptionId": id.value()})
}

/// What a batch of events changes.
#[derive(Debug, Default, PartialEq)]
struct Changed {
    prompts: bool,
    resources: bool,
    /// Addresses; with [`Changed::everything`] all that are watched.
    updated: BTreeSet<String>,
    all: bool,
}

impl Changed {
    fn everything() -> Changed {
        Changed { prompts: true, resources: true, updated: BTreeSet::new(), all: true }
    }

    fn of(events: &[Event]) -> Changed {
        let mut changed = Changed::default();
        for event in events {
            let mut updated = |address: Address| changed.updated.extend([address.to_string()]);
            if let Some(run) = event.run {
                updated(Address::Run(run));
                updated(Address::Report(run));
                if matches!(event.kind, EventType::RunPlanned | EventType::TaskAdded) {
                    updated(Address::Plan(run));
                }
            }
            if let (Some(task), EventType::AttemptStarted | EventType::AttemptEnded) = (event.data.task_id, event.kind)
            {
                updated(Address::Log(crate::api::LogId::Task(task)));
            }
            if let Some(id) = event.data.decision_id {
                updated(Address::Decision(id));
            }
            let asked = matches!(event.kind, EventType::DecisionOpened | EventType::DecisionClosed);
            changed.prompts |= asked;
            changed.resources |= asked || event.kind == EventType::RunCreated;
        }
        changed
    }

    fn touches(&self, uri: &str) -> bool {
        self.all || self.updated.contains(uri)
    }
}

const PROMPTS: &str = "notifications/prompts/list_changed";
const RESOURCES: &str = "notifications/resources/list_changed";
const UPDATED: &str = "notifications/resources/updated";

fn tell(front: &Front, changed: &Changed) {
    if front.handshake.borrow().is_some() {
        let say = |method: &str, params: Value| front.out.push(wire::notification(method, &params));
        if changed.prompts {
            say(PROMPTS, json!({}));
        }
        if changed.resources {
            say(RESOURCES, json!({}));
        }
        for uri in front.watched.borrow().iter().filter(|uri| changed.touches(uri)) {
            say(UPDATED, json!({"uri": uri}));
        }
    }
    for (id, filter) in front.listens.borrow().iter() {
        let say = |method: &str, mut params: Value| {
            params["_meta"] = tag(id);
            front.out.push(wire::notification(method, &params));
        };
        if changed.prompts && filter.prompts_list_changed == Some(true) {
            say(PROMPTS, json!({}));
        }
        if changed.resources && filter.resources_list_changed == Some(true) {
            say(RESOURCES, json!({}));
        }
        for uri in filter.resource_subscriptions.iter().flatten().filter(|uri| changed.touches(uri)) {
            say(UPDATED, json!({"uri": uri}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(values: Value) -> Vec<Event> {
        serde_json::from_value(values).unwrap()
    }

    #[test]
    fn a_question_changes_the_lists_and_what_belongs_to_it() {
        let at = "2026-11-22T14:02:00Z";
        let changed = Changed::of(&events(json!([
            {"revision": 4, "at": at, "run": "R-1", "type": "decision.opened", "data": {"decision_id": "D-2"}},
        ])));
        assert!(changed.prompts && changed.resources);
        assert!(changed.touches("orchestrator://decisions/D-2") && changed.touches("orchestrator://runs/R-1"));
        assert!(!changed.touches("orchestrator://runs/R-1/plan") && !changed.touches("orchestrator://runs/R-2"));
        let changed = Changed::of(&events(json!([
            {"revision": 5, "at": at, "run": "R-1", "type": "attempt.started", "data": {"task_id": "T-1"}},
        ])));
        assert!(!changed.prompts && !changed.resources && changed.touches("orchestrator://tasks/T-1/log"));
        assert!(Changed::everything().touches("orchestrator://runs/R-9"));
    }
}
