//! What a request would be taken for: the core's own stages, on a state that is thrown away.

use std::sync::Arc;

use super::{
    Memo, View,
    plan::{analysis, plan_view},
    words,
};
use crate::{
    api::{ExplainReply, session::PlaybookScore},
    core::{
        self, Command, Ctx, Input, Report, Rng, State, analyze,
        facts::Facts,
        plan::playbook::{self, Match},
        run::{Base, Mode, Request},
    },
    ids::RunId,
};

/// What a request would be taken for, every number, and the plan that would be used. Nothing is stored; the ids in the
/// plan count from 1 and mean nothing outside of it.
pub fn explain_reply(view: &View<'_>, text: &str, facts: &Facts) -> ExplainReply {
    let asked = analyze::Request { text: text.to_owned(), ..analyze::Request::default() };
    let known = analyze::analyze(&asked, facts);
    let intent = known.intent.primary.map(|word| (word.as_str(), known.intent.confidence));
    let (available, _) = playbook::with_project(&view.settings.playbooks, facts);
    let choice = playbook::choose(&available, text, intent, facts);
    let matched: Vec<(String, f64)> = choice.matches.iter().map(|found| (found.name.clone(), found.score)).collect();
    let mut playbooks: Vec<PlaybookScore> = choice.matches.iter().map(score).collect();
    playbooks.sort_by(|a, b| b.score.total_cmp(&a.score));
    let plan = rehearse(view, text, facts);
    let understood = match (known.intent.primary, known.intent.confidence) {
        (Some(word), confidence) => format!("understood as {word} ({confidence:.2})"),
        (None, _) => "its words do not say with any certainty what is wanted".to_owned(),
    };
    let follows = match &plan {
        Some(plan) => format!("the plan would be {}: {}", plan.source, words::plural(plan.tasks.len(), "task")),
        None => "there would be no plan without a word from you".to_owned(),
    };
    ExplainReply {
        summary: format!("{understood}; {follows}"),
        revision: view.revision,
        text: text.to_owned(),
        analysis: analysis(&known, &matched, choice.chosen.as_deref(), None),
        playbooks,
        plan: plan.map(Box::new),
    }
}

/// The parts on the wire go from 0 to 1 each; the core has them weighted.
fn score(found: &Match) -> PlaybookScore {
    PlaybookScore {
        name: found.name.clone(),
        score: words::share(found.score),
        intent: words::share(found.parts.intent / 0.4),
        words: words::share(found.parts.words / 0.3),
        facts: words::share(found.parts.facts / 0.3),
    }
}

/// The plan that the core would make, found by asking it to plan only.
fn rehearse(view: &View<'_>, text: &str, facts: &Facts) -> Option<crate::api::PlanView> {
    let mut state = State::default();
    let mut rng = Rng(0);
    let mut ctx = Ctx { now: view.now(), rng: &mut rng, settings: view.settings };
    let request = Request { description: text.to_owned(), mode: Mode::Plan, ..Request::default() };
    let run = RunId(1);
    let survey = Report::Surveyed { run, facts: Arc::new(facts.clone()), base: Base::default(), notes: Vec::new() };
    for input in [Input::Command(Command::Submit(Box::new(request))), Input::Report(survey)] {
        core::step(&mut state, input, &mut ctx).ok()?;
    }
    // Its counts are none of the workspace's.
    let memo = Memo::default();
    let scratch = View { state: &state, memo: &memo, ..*view };
    plan_view(&scratch, state.run(run)?)
}
