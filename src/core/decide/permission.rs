//! What agents ask: told at once where the gate knows, taken from an earlier answer where there is one, decided by what
//! was learned or tried on probation ([`learned::rule`]), or put to a person. An ask is known by its content, so an answer
//! outlives the agent that wanted it.

use super::{
    decision::{AgentAsk, Decision, DecisionKind},
    effects::{Reversible, Touched},
    gate::{CRITICAL, Judgement, Verdict},
    ladder::Case,
    learned::{self, Ground, Ruling},
};
use crate::core::{
    Ctx,
    agent::{Ask, AskVerdict},
    event::Event,
    run::Run,
    settings::Settings,
    state::State,
    task::{Attempt, Phase, Task, TaskState},
};
use crate::ids::{AttemptId, TaskId};

/// Asks that nobody has judged yet.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    while let Some(attempt) = state.index.asking.pop_front() {
        let state = &*state;
        let Some((task, live)) = state.live(attempt) else { continue };
        let (Some(run), Some(part)) = (state.run(task.run), live.agent()) else { continue };
        let Some(ask) = part.asks.iter().find(|ask| ask.verdict.is_none() && ask.decision.is_none()) else { continue };
        return judge(state, ctx, run, (task, attempt, live), ask);
    }
    Vec::new()
}

type Asking<'a> = (&'a Task, AttemptId, &'a Attempt);

/// What becomes of an ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Course {
    /// The agent is told: the gate knows, or somebody answered the same question before. By whom.
    Told(AskVerdict, String),
    /// Decided without a person, and looked at again when it shows how that turned out.
    Decided {
        /// Yes or no.
        yes: bool,
        /// Who stands for it.
        ground: Ground,
        /// The rule, where a person remembered one.
        rule: Option<String>,
    },
    /// A person is asked, because (S3's `why_asked`).
    Ask(String),
}

/// What becomes of an ask that the gate judged so, with what is remembered and learned by now. `in_lane`: what it does is
/// verified, and goes away with the lane if it was wrong.
pub fn course(
    state: &State,
    settings: &Settings,
    (task, in_lane): (&Task, bool),
    judgement: &Judgement,
    case: &Case,
) -> Course {
    let reason = || judgement.reasons.first().cloned().unwrap_or_else(|| "the policy says no".to_owned());
    let gate = || Ground::Gate.word().to_owned();
    if judgement.verdict == Verdict::Deny {
        return Course::Told(AskVerdict::Deny(format!("Not allowed: {}", reason())), gate());
    }
    // A "never" holds for what the gate knows to be harmless, and for what was once allowed, too.
    if let Some(never) = learned::refused(state, settings, task.run, case) {
        return Course::Decided { yes: false, ground: Ground::Rule, rule: Some(never.id.clone()) };
    }
    if judgement.verdict == Verdict::Allow && judgement.criticality <= CRITICAL {
        let acts = judgement.effects.iter().any(|effect| effect.class != Touched::Read);
        return match acts && in_lane {
            true => Course::Decided { yes: true, ground: Ground::Gate, rule: None },
            false => Course::Told(AskVerdict::Allow, gate()),
        };
    }
    if let Some((decision, verdict)) = answered_before(state, task.id, &judgement.key) {
        return Course::Told(verdict, decision.id.to_string());
    }
    match learned::rule(state, settings, task.run, case, judgement.verdict, in_lane) {
        Ruling::Decided { yes, ground, rule } => Course::Decided { yes, ground, rule },
        // The gate knows more exactly why it left it to a person.
        Ruling::Ask(_) if judgement.verdict == Verdict::Escalate => Course::Ask(judgement.why.clone()),
        Ruling::Ask(why) => Course::Ask(why),
    }
}

fn judge(state: &State, ctx: &Ctx, run: &Run, (task, attempt, live): Asking<'_>, ask: &Ask) -> Vec<Event> {
    let judgement = ask.judgement.clone().unwrap_or_else(|| unknown(ask));
    let told =
        |verdict: AskVerdict, by: String| Event::AskAnswered { attempt, request: ask.request.clone(), verdict, by };
    let case = learned::case_of_ask(run, task, &ask.tool, &ask.input, &judgement, ctx.now);
    match course(state, ctx.settings, (task, live.lane.is_some()), &judgement, &case) {
        Course::Told(verdict, by) => vec![told(verdict, by)],
        Course::Decided { yes, ground, rule } => {
            let by = rule.clone().unwrap_or_else(|| ground.word().to_owned());
            let verdict = match (yes, &rule) {
                (true, _) => AskVerdict::Allow,
                (false, Some(rule)) => AskVerdict::Deny(format!("Not allowed: a person said no for good ({rule})")),
                (false, None) => {
                    AskVerdict::Deny("Not allowed: whenever the like was asked, the answer was no".to_owned())
                }
            };
            let what = format!("{}: {}", ask.tool, shown(ask));
            vec![learned::act(state, ctx, task, case, &what, (yes, ground, rule)), told(verdict, by)]
        }
        Course::Ask(why) => vec![put(state, ctx, run, task, ask, (judgement, case, why))],
    }
}

/// The question that a person is asked.
fn put(
    state: &State,
    ctx: &Ctx,
    run: &Run,
    task: &Task,
    ask: &Ask,
    (judgement, case, why): (Judgement, Case, String),
) -> Event {
    super::open(state, ctx, run, DecisionKind::Permission, Some(task), |decision| {
        decision.question = super::short(&format!("May {} use {}? {}", task.id, ask.tool, shown(ask)));
        decision.detail = format!(
            "The agent of {} ({}) asks before it does this:\n\n```json\n{}\n```\n\n{}",
            task.id,
            task.spec.title(),
            serde_json::to_string_pretty(&ask.input).unwrap_or_default(),
            judgement.reasons.iter().map(|reason| format!("- {reason}\n")).collect::<String>()
        );
        decision.criticality = judgement.criticality;
        decision.case = Some(Box::new(case));
        decision.why = Some(why);
        decision.options = vec![
            super::choice("allow", "Allow it", "The agent does this, once.", false),
            super::Choice {
                takes_text: true,
                ..super::choice("deny", "Do not", "The agent is told no, with your words.", true)
            },
        ];
        decision.ask = Some(Box::new(AgentAsk {
            request: ask.request.clone(),
            tool: ask.tool.clone(),
            input: ask.input.clone(),
            judgement,
        }));
    })
}

/// What was not judged by anybody escalates.
pub(super) fn unknown(ask: &Ask) -> Judgement {
    Judgement {
        verdict: Verdict::Escalate,
        why: "not_understood".to_owned(),
        rules_hit: Vec::new(),
        missing: Vec::new(),
        effects: Vec::new(),
        understood: false,
        reversible: Reversible::No,
        criticality: 0.7,
        reasons: Vec::new(),
        policy_version: String::new(),
        key: ask.key.clone(),
    }
}

/// What it would do, in a few words.
pub(super) fn shown(ask: &Ask) -> String {
    let word = |key: &str| ask.input.get(key).and_then(|value| value.as_str());
    let keys = ["command", "file_path", "filePath", "filepath", "path", "url", "query", "title"];
    let place = || ask.input.pointer("/locations/0/path").and_then(|path| path.as_str());
    let what = keys.into_iter().find_map(word).or_else(place);
    what.map_or_else(|| ask.input.to_string(), str::to_owned)
}

/// The answer to the same question of the same task, if somebody gave one.
fn answered_before<'a>(state: &'a State, task: TaskId, key: &str) -> Option<(&'a Decision, AskVerdict)> {
    let asked = |decision: &&Decision| {
        decision.task == Some(task) && decision.ask.as_ref().is_some_and(|ask| ask.judgement.key == key)
    };
    let found = state.decisions.values().rev().filter(asked).find(|decision| decision.answer().is_some())?;
    Some((found, verdict(found)?))
}

fn verdict(decision: &Decision) -> Option<AskVerdict> {
    let answer = decision.answer()?;
    Some(match answer.choice.as_str() {
        "allow" => AskVerdict::Allow,
        _ => AskVerdict::Deny(match answer.text.as_deref().filter(|text| !text.trim().is_empty()) {
            Some(text) => format!("{}: {text}", answer.by.kind),
            None => format!("A {} said no.", answer.by.kind),
        }),
    })
}

/// What an answer leads to: the agent is told, or goes on if it had been told not to wait.
pub fn answered(state: &State, decision: &Decision, ask: &AgentAsk, _choice: &str) -> Vec<Event> {
    let (Some(task), Some(generation)) = (decision.task, decision.generation) else { return Vec::new() };
    let Some(found) = state.task(task) else { return Vec::new() };
    if found.state == TaskState::Asking(decision.id) {
        // It asks again when it goes on, and the answer stands.
        return vec![Event::TaskReopened { task }];
    }
    let attempt = AttemptId { task, generation };
    let Some((_, live)) = state.live(attempt).filter(|(_, live)| live.phase == Phase::Running) else {
        return Vec::new();
    };
    let waits = live.agent().and_then(|part| part.ask(&ask.request)).is_some_and(|ask| ask.verdict.is_none());
    match (waits, verdict(decision)) {
        (true, Some(verdict)) => {
            vec![Event::AskAnswered { attempt, request: ask.request.clone(), verdict, by: decision.id.to_string() }]
        }
        _ => Vec::new(),
    }
}

/// Whether nobody wants to know any more: the agent is gone, and its task does not wait for it.
pub fn unasked(state: &State, decision: &Decision) -> bool {
    let Some(ask) = &decision.ask else { return false };
    let (Some(task), Some(generation)) = (decision.task, decision.generation) else { return false };
    let Some(found) = state.task(task) else { return true };
    if found.state == TaskState::Asking(decision.id) {
        return false;
    }
    let live = state.live(AttemptId { task, generation });
    live.is_none_or(|(_, live)| live.agent().and_then(|part| part.ask(&ask.request)).is_none())
}
