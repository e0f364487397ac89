//! The scorecard and the history of decisions on the wire.

use super::{View, decision, words};
use crate::{
    api::{
        Decision,
        score::{
            AskRuling, AutomaticDecision, DecisionHistory, Outside, ReliabilityBin, RememberedRule, RiskPoint,
            ScorePart, Scorecard,
        },
        state::Share,
        wire::Time,
    },
    core::Command,
    core::decide::{
        gate::Judgement,
        learned::{self, Reach, Ruling},
        scorecard::{self as core, Part, Rate},
    },
};

/// What is remembered and learned of a session's ask, and what is to be noted of that; `otherwise` is what the session
/// hears where that is nothing.
pub fn ask_ruling(
    view: &View<'_>,
    (tool, input): (&str, &serde_json::Value),
    judgement: &Judgement,
    otherwise: &str,
) -> (AskRuling, Option<Command>) {
    let case = learned::case_of_tool("interactive", None, (tool, input), judgement, view.now());
    let (ruling, reason) = learned::rule_outside(view.state, view.settings, &case, judgement.verdict);
    let what = input.get("command").and_then(serde_json::Value::as_str).unwrap_or(tool).to_owned();
    let (decision, by, ruling) = match ruling {
        Ruling::Decided { yes, ground, rule } => {
            let by = rule.clone().unwrap_or_else(|| ground.word().to_owned());
            (if yes { "allow" } else { "deny" }, by, Some((yes, ground, rule)))
        }
        Ruling::Ask(why) => ("ask", why, None),
    };
    // What rules and effects decide by themselves was never left open.
    let noted = ruling.is_some() || otherwise == "ask";
    let note = noted.then(|| Command::NoteOutside { case: Box::new(case), what, ruling });
    (AskRuling { decision: decision.to_owned(), by, reason }, note)
}

/// The scorecard of the workspace.
pub fn scorecard(view: &View<'_>) -> Scorecard {
    let ladder = &view.state.index.ladder;
    let card = core::scorecard(&view.state.learned, ladder, view.settings);
    let percent = |rate: Rate| rate.value().map_or("-".to_owned(), |value| format!("{:.1} %", value * 100.0));
    let (low, high) = card.wrong.interval();
    let summary = match card.autonomy.of {
        0 => "nothing was left open by the gate yet".to_owned(),
        of => format!(
            "{} of {of} went without a person; {} of {} looked at were wrong ({:.1} to {:.1} %)",
            percent(card.autonomy),
            card.wrong.count,
            card.wrong.of,
            low * 100.0,
            high * 100.0
        ),
    };
    Scorecard {
        summary,
        revision: view.revision,
        autonomy: share(card.autonomy),
        wrong_auto: share(card.wrong),
        audits: share(card.audits),
        critical_automatic: card.critical_automatic.into(),
        calibration_error: words::share(card.calibration_error),
        outside: Outside { allowed: card.outside.allowed, denied: card.outside.denied, asked: card.outside.asked },
        labels: card.labels,
        traits: ladder.traits().to_vec(),
        grounds: card.grounds.iter().map(|(ground, counts)| part(ground.word(), counts)).collect(),
        sorts: card.sorts.iter().map(|(sort, counts)| part(sort, counts)).collect(),
        reliability: (card.bins.iter().enumerate())
            .filter(|(_, bin)| bin.n > 0.0)
            .map(|(index, bin)| ReliabilityBin {
                from: index as f64 / 10.0,
                to: (index + 1) as f64 / 10.0,
                n: bin.n,
                claimed: bin.claimed,
                agreed: bin.agreed / bin.n,
            })
            .collect(),
        risk_coverage: (card.curve.iter())
            .map(|point| RiskPoint { threshold: point.threshold, coverage: point.coverage, risk: point.risk })
            .collect(),
    }
}

/// A share with its 95 % interval.
pub fn share(rate: Rate) -> Share {
    let interval = (rate.of > 0).then(|| rate.interval());
    Share {
        value: rate.value(),
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        n: rate.of.into(),
    }
}

fn part(name: &str, counts: &Part) -> ScorePart {
    ScorePart {
        name: name.to_owned(),
        automatic: counts.automatic.into(),
        right: counts.right.into(),
        wrong: counts.wrong.into(),
        asked: counts.asked.into(),
    }
}

/// What was decided, newest first.
pub fn history(view: &View<'_>, last: u32) -> DecisionHistory {
    let over = view.state.decisions.values().rev().filter(|known| !known.open());
    let decisions: Vec<Decision> =
        over.take(last as usize).map(|known| decision::decision(view, known).pending()).collect();
    let automatic: Vec<AutomaticDecision> = (view.state.learned.acts.iter().rev().take(last as usize))
        .map(|act| AutomaticDecision {
            number: act.number,
            at: Time(act.at),
            request_id: Some(act.run).filter(|_| !act.outside()),
            task_id: Some(act.task).filter(|_| !act.outside()),
            what: act.what.clone(),
            sort: act.case.sort.clone(),
            allowed: act.yes,
            ground: act.ground.word().to_owned(),
            rule: act.rule.clone(),
            right: act.right,
        })
        .collect();
    let remembered: Vec<RememberedRule> = (view.state.learned.rules.iter())
        .map(|rule| RememberedRule {
            id: rule.id.clone(),
            sort: rule.sort.clone(),
            allowed: rule.yes,
            request_id: match rule.reach {
                Reach::Run(run) => Some(run),
                Reach::Always => None,
            },
            decision_id: rule.decision,
            at: Time(rule.at),
        })
        .collect();
    let summary = format!(
        "{} answered or gone, {} decided without a person, {} remembered",
        words::plural(decisions.len(), "decision"),
        automatic.len(),
        remembered.len()
    );
    DecisionHistory { summary, revision: view.revision, decisions, automatic, remembered }
}
