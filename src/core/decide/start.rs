//! What stands before a task's start: effects outside the repository, and rules about the task itself. An agent's single
//! calls are judged later, one by one ([`super::permission`]).

use super::{
    decision::DecisionKind,
    effects::is_production,
    gate::Verdict,
    known,
    ladder::Case,
    learned::{self, Ground, Ruling},
    policy::Ruled,
};
use crate::{
    core::{
        Ctx,
        event::Event,
        land,
        plan::spec::{Effect as Touches, Kind},
        run::Run,
        settings::Settings,
        state::State,
        task::{Settled, Task},
        track,
    },
    time::Timestamp,
};

/// What the specification calls a deployment, as `task.type`.
const DEPLOYMENT: &str = "deployment";

/// What should become of a task that is due to start.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// It starts.
    Free,
    /// A rule forbids it; the rule's reason.
    Forbidden(String),
    /// Decided without a person.
    Decided {
        /// Whether it may start.
        yes: bool,
        /// Who stands for that.
        ground: Ground,
        /// The rule, where a person remembered one.
        rule: Option<String>,
    },
    /// A person is asked, because (S3's `why_asked`).
    Ask(String),
}

/// What is said to the start of a task, by whom it may concern: the rules, what was remembered, what was learned.
pub fn course(state: &State, settings: &Settings, run: &Run, task: &Task, now: Timestamp) -> (Start, Case, Ruled) {
    let case = case(run, task, now);
    let external = task.spec.effect == Touches::External;
    let ruled = match &settings.rules.broken {
        // What was meant to be forbidden is not known.
        Some(broken) if external => Ruled {
            verdict: Verdict::Escalate,
            reasons: vec![format!("the rules cannot be used: {broken}")],
            ..Ruled::none()
        },
        _ => settings.rules.policy.situation(&known::of_task(Some(run), task, now)),
    };
    let start = match ruled.verdict {
        Verdict::Deny => Start::Forbidden(ruled.reasons.first().cloned().unwrap_or_default()),
        Verdict::Allow | Verdict::None if !external => Start::Free,
        // What an agent will make of a prompt is no class of action that could be proven.
        Verdict::None if task.spec.kind() == Kind::Agent => Start::Ask("criticality".to_owned()),
        // A rule never says yes to what cannot be taken back.
        Verdict::Allow if task.spec.extras().compensate.is_some() && !case.production => Start::Free,
        verdict => match learned::rule(state, settings, run.id, &case, verdict, false) {
            Ruling::Decided { yes, ground, rule } => Start::Decided { yes, ground, rule },
            // The rule knows more exactly why it left it to a person.
            Ruling::Ask(_) if verdict == Verdict::Escalate => Start::Ask(ruled.why.clone()),
            Ruling::Ask(why) => Start::Ask(why),
        },
    };
    (start, case, ruled)
}

/// The events that stand before the start of a task; none, and it may start.
pub fn before(state: &State, ctx: &Ctx, run: &Run, task: &Task) -> Vec<Event> {
    // What nobody has a word about costs a look, no more: ten thousand tasks start that way.
    let concerns = || {
        let environment = environment(run, task);
        let (kind, effect) = (known::kind(task), known::effect(task));
        let named = [task.spec.type_word(), kind, task.spec.title(), effect, environment.unwrap_or_default()];
        ctx.settings.rules.policy.concerns_start(ctx.now, named)
    };
    if task.approved || (task.spec.effect != Touches::External && !concerns()) {
        return Vec::new();
    }
    let (start, case, ruled) = course(state, ctx.settings, run, task, ctx.now);
    match start {
        Start::Free => Vec::new(),
        Start::Forbidden(why) => {
            vec![land::settled(task, Settled::Cancelled, &format!("not allowed: {why}"))]
        }
        Start::Decided { yes, ground, rule } => {
            let what = track::command_line(&task.spec);
            let act = learned::act(state, ctx, task, case, &what, (yes, ground, rule));
            let then = match yes {
                true => Event::TaskApproved { task: task.id },
                false => land::settled(task, Settled::Cancelled, &format!("not allowed, as {} says", ground.word())),
            };
            vec![act, then]
        }
        Start::Ask(why) => vec![ask(state, ctx, run, task, case, why, &ruled)],
    }
}

fn environment<'a>(run: &'a Run, task: &'a Task) -> Option<&'a str> {
    task.spec.extras().environment.as_deref().or(run.request.environment.as_deref())
}

/// What the ladder knows the start of a task as.
fn case(run: &Run, task: &Task, now: Timestamp) -> Case {
    let production = environment(run, task).is_some_and(is_production);
    let criticality = match task.spec.effect {
        _ if production => 0.9,
        Touches::External => 0.7,
        Touches::Workspace | Touches::None => 0.1,
    };
    learned::case_of_task(run, task, criticality, now)
}

/// The question that stands before it.
fn ask(state: &State, ctx: &Ctx, run: &Run, task: &Task, case: Case, why: String, ruled: &Ruled) -> Event {
    let deploys = task.spec.type_word() == DEPLOYMENT;
    let kind = if deploys { DecisionKind::Deploy } else { DecisionKind::Permission };
    let criticality = case.criticality;
    let line = track::command_line(&task.spec);
    let mut detail = match (task.spec.effect, &task.spec.extras().compensate) {
        (Touches::External, Some(compensate)) => format!(
            "`{line}` has effects outside the repository that git cannot take back. Its plan can take them back with \
             `{}`.",
            compensate.command.join(" ")
        ),
        (Touches::External, None) => format!(
            "`{line}` has effects outside the repository that git cannot take back. Its plan names no way to take them \
             back."
        ),
        _ => format!("`{line}` is to run in a lane of its own."),
    };
    for reason in &ruled.reasons {
        detail.push_str(&format!("\n- {reason}"));
    }
    let to = environment(run, task).map_or(String::new(), |name| format!(" to {name}"));
    super::open(state, ctx, run, kind, Some(task), |decision| {
        decision.question = super::short(&match deploys {
            true => format!("Deploy{to} with {}? {}", task.id, task.spec.title()),
            false => format!("May {} run? {}", task.id, task.spec.title()),
        });
        decision.detail = detail;
        decision.criticality = criticality;
        decision.case = Some(Box::new(case));
        decision.why = Some(why);
        decision.rules_hit.clone_from(&ruled.hits);
        decision.options = vec![
            super::choice("allow", "Run it", "It runs once, now.", false),
            super::choice("deny", "Do not run it", "The task is cancelled; what needs it is blocked.", true),
        ];
    })
}
