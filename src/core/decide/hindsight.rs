//! What other rules, or another threshold, would have said to what was decided in the past.
//!
//! The journal is read back through the same code as always, and each decision is made once more at its own place in it:
//! with what was known, remembered and learned by then. Nothing is stored, and nothing of the past changes.

use std::collections::BTreeMap;

use super::{
    decision::DecisionKind,
    gate::{self, Judgement, Place},
    known,
    learned::{self, Ground},
    permission::{self, Course},
    start::{self, Start},
};
use crate::{
    core::{
        agent::{Ask, AskVerdict},
        event::Event,
        settings::Settings,
        state::State,
        track,
    },
    ids::{AttemptId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// What became, or would become, of something that wanted to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It went ahead without a person.
    Allowed,
    /// It was refused without a person.
    Refused,
    /// A person was asked.
    Asked,
}

impl Way {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Way::Allowed => "allowed",
            Way::Refused => "refused",
            Way::Asked => "asked",
        }
    }

    fn of(yes: bool) -> Way {
        if yes { Way::Allowed } else { Way::Refused }
    }
}

/// A way, and who or what stands for it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Said {
    /// The way.
    pub way: Way,
    /// `gate`, `learned`, `probation`, a remembered rule, an earlier decision, or why a person is asked.
    pub by: String,
}

/// A decision that would have been another one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Turned {
    /// When it was decided.
    pub at: Timestamp,
    /// In which run.
    pub run: RunId,
    /// For which task.
    pub task: TaskId,
    /// The question that was put to a person, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// What it would have done, in a few words.
    pub what: String,
    /// What was said then.
    pub was: Said,
    /// What would be said now.
    pub would: Said,
    /// The rules that would speak, the deciding one first.
    pub rules_hit: Vec<String>,
}

/// Reads a journal, and collects what would be turned.
pub struct Hindsight<'a> {
    state: State,
    settings: &'a Settings,
    place: &'a dyn Fn(LaneId) -> Place,
    asked: BTreeMap<(AttemptId, String), (String, Said, Vec<String>)>,
    /// Decisions that were looked at.
    pub looked: u64,
    /// Those that would be others, in order.
    pub turned: Vec<Turned>,
}

impl<'a> Hindsight<'a> {
    /// With these rules and this threshold; `place` says where a lane lies.
    pub fn new(settings: &'a Settings, place: &'a dyn Fn(LaneId) -> Place) -> Hindsight<'a> {
        Hindsight { state: State::default(), settings, place, asked: BTreeMap::new(), looked: 0, turned: Vec::new() }
    }

    /// The next event of the journal.
    pub fn take(&mut self, at: Timestamp, event: Event) {
        match &event {
            Event::AskAnswered { attempt, request, verdict, by } => {
                if let Some(found) = self.asked.remove(&(*attempt, request.clone())) {
                    let was = Said { way: Way::of(*verdict == AskVerdict::Allow), by: by.clone() };
                    self.compare(at, attempt.task, None, was, found);
                }
            }
            Event::AskWithdrawn { attempt, request } => drop(self.asked.remove(&(*attempt, request.clone()))),
            Event::DecisionOpened { decision } => {
                let was = Said { way: Way::Asked, by: decision.why.clone().unwrap_or_default() };
                match (&decision.ask, decision.task, decision.generation) {
                    (Some(ask), Some(task), Some(generation)) => {
                        let attempt = AttemptId { task, generation };
                        if let Some(found) = self.asked.remove(&(attempt, ask.request.clone())) {
                            self.compare(at, task, Some(decision.id), was, found);
                        }
                    }
                    (None, Some(task), _)
                        if matches!(decision.kind, DecisionKind::Permission | DecisionKind::Deploy) =>
                    {
                        if let Some(found) = self.start(task, at) {
                            self.compare(at, task, Some(decision.id), was, found);
                        }
                    }
                    _ => {}
                }
            }
            // What stood before a task's start; an agent's ask is told of by what it was answered.
            Event::Acted { act } if self.state.task(act.task).is_some_and(|task| task.current().is_none()) => {
                let by = act.rule.clone().unwrap_or_else(|| act.ground.word().to_owned());
                if let Some(found) = self.start(act.task, at) {
                    self.compare(at, act.task, None, Said { way: Way::of(act.yes), by }, found);
                }
            }
            _ => {}
        }
        let asked = match &event {
            Event::AgentAsked { attempt, ask } => Some((*attempt, ask.clone())),
            _ => None,
        };
        self.state.evolve_into(at, event);
        if let Some((attempt, ask)) = asked
            && let Some(found) = self.ask(attempt, &ask, at)
        {
            self.asked.insert((attempt, ask.request.clone()), found);
        }
    }

    /// What would be said to an agent's ask.
    fn ask(&mut self, attempt: AttemptId, ask: &Ask, at: Timestamp) -> Option<(String, Said, Vec<String>)> {
        self.state.learned.catch_up(&mut self.state.index.ladder, self.settings);
        let (task, live) = self.state.live(attempt)?;
        let run = self.state.run(task.run)?;
        let then = ask.judgement.clone().unwrap_or_else(|| permission::unknown(ask));
        let now = self.judge(attempt, ask, then, at)?;
        let case = learned::case_of_ask(run, task, &ask.tool, &ask.input, &now, at);
        let course = permission::course(&self.state, self.settings, (task, live.lane.is_some()), &now, &case);
        let would = match course {
            Course::Told(verdict, by) => Said { way: Way::of(verdict == AskVerdict::Allow), by },
            Course::Decided { yes, ground, rule } => decided(yes, ground, rule),
            Course::Ask(why) => Said { way: Way::Asked, by: why },
        };
        Some((format!("{}: {}", ask.tool, permission::shown(ask)), would, now.rules_hit))
    }

    fn judge(&self, attempt: AttemptId, ask: &Ask, then: Judgement, at: Timestamp) -> Option<Judgement> {
        let policy = &self.settings.rules.policy;
        if then.policy_version == policy.version {
            return Some(then);
        }
        let (task, live) = self.state.live(attempt)?;
        let agent = live.agent().map_or("", |part| part.allocation.agent.as_str());
        let known = known::of_ask(&self.state, self.settings, task, agent, at);
        let place = live.lane.map_or_else(Place::default, |lane| (self.place)(lane));
        Some(gate::judge_again(policy, &gate::Ask { tool: &ask.tool, input: &ask.input }, &place, &known, &then))
    }

    /// What would be said to the start of a task.
    fn start(&mut self, task: TaskId, at: Timestamp) -> Option<(String, Said, Vec<String>)> {
        self.state.learned.catch_up(&mut self.state.index.ladder, self.settings);
        let task = self.state.task(task)?;
        let run = self.state.run(task.run)?;
        let (start, _, ruled) = start::course(&self.state, self.settings, run, task, at);
        let would = match start {
            Start::Free => Said { way: Way::Allowed, by: "rule".to_owned() },
            Start::Forbidden(_) => Said { way: Way::Refused, by: "rule".to_owned() },
            Start::Decided { yes, ground, rule } => decided(yes, ground, rule),
            Start::Ask(why) => Said { way: Way::Asked, by: why },
        };
        Some((track::command_line(&task.spec), would, ruled.hits))
    }

    fn compare(
        &mut self,
        at: Timestamp,
        task: TaskId,
        decision: Option<DecisionId>,
        was: Said,
        (what, would, rules_hit): (String, Said, Vec<String>),
    ) {
        self.looked += 1;
        let Some(run) = self.state.task(task).map(|task| task.run).filter(|_| was.way != would.way) else { return };
        let what = what.chars().take(200).collect();
        self.turned.push(Turned { at, run, task, decision, what, was, would, rules_hit });
    }
}

fn decided(yes: bool, ground: Ground, rule: Option<String>) -> Said {
    Said { way: Way::of(yes), by: rule.unwrap_or_else(|| ground.word().to_owned()) }
}
