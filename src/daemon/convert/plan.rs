//! A run's plan and analysis as the wire has them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    View,
    shape::{History, Shape, prior},
    words,
};
use crate::{
    api::{
        ApiError, Code, PlanReply, PlanView,
        reply::{Analysis, Complexity, Criterion, Estimate, Intent, MonitoringConfig, PlanTask, Risk},
    },
    core::{
        analyze::{self, complexity::Factors},
        effect,
        plan::playbook::CHOSEN_SCORE_MIN,
        run::{PlanInfo, Run},
    },
    ids::RunId,
};

/// A run's plan, for whoever asks for it.
///
/// # Errors
/// NOT_FOUND for the run; UNAVAILABLE while there is no plan; NOT_FOUND where there never will be one.
pub fn plan_reply(view: &View<'_>, id: RunId) -> Result<PlanReply, ApiError> {
    let run = view.run(id)?;
    match plan_view(view, run) {
        Some(plan) => {
            let path = plan.critical_path.len();
            let summary = format!(
                "{id}: {} from {}, the longest chain has {}",
                words::plural(plan.tasks.len(), "task"),
                plan.source,
                words::plural(path, "task")
            );
            Ok(PlanReply { summary, revision: view.revision, request_id: id, plan })
        }
        None if run.ended() => {
            let why = words::first_line(&run.outcome_why, 200);
            let hint = format!("see: orchestrator why {id}");
            Err(ApiError::new(Code::NotFound, format!("{id} was never planned: {why}"), hint))
        }
        None => {
            let waits = view.open_decisions(id).next();
            let hint = match waits {
                Some(decision) => format!("it waits for an answer: orchestrator decide {}", decision.id),
                None => "ask again in a moment".to_owned(),
            };
            Err(ApiError::new(Code::Unavailable, format!("{id} has no plan yet"), hint))
        }
    }
}

/// A run's plan; `None` while there is none.
pub fn plan_view<'a>(view: &View<'a>, run: &'a Run) -> Option<PlanView> {
    let info = run.plan.as_deref()?;
    let shape = Shape::of(view, run);
    let timing = shape.timing();
    let history = History::of(shape.tasks.iter().copied());
    let id = |position: u32| shape.tasks[position as usize].id;
    let tasks = shape.tasks.iter().map(|task| {
        let extras = task.spec.extras();
        PlanTask {
            id: task.id,
            name: task.spec.name.to_string(),
            title: task.spec.title().to_owned(),
            kind: task.spec.kind(),
            task_type: task.spec.type_word().to_owned(),
            needs: view.needs(run, task),
            level: shape.graph.levels()[task.position as usize],
            critical: timing.is_critical(task.position),
            slack: timing.slack_ms(task.position) as f64 / 1000.0,
            estimate: history.estimate(task),
            agent: words::agent(&task.spec),
            effect: task.spec.effect,
            writes: extras.writes.clone(),
            verify: effect::checks(run, task).into_owned(),
            checkpoint: None,
        }
    });
    let tasks = tasks.collect();
    let plan_s = shape.plan_s(run.jobs(view.settings.workers));
    let understood =
        run.analysis.as_deref().map(|known| analysis(known, &info.matched, chosen(info), Some(prior(plan_s))));
    Some(PlanView {
        source: info.source.clone(),
        strategy: info.strategy,
        coordination_strategy: info.coordination,
        tasks,
        critical_path: timing.critical_path(&shape.graph).into_iter().map(id).collect(),
        execution_levels: shape
            .graph
            .level_lists()
            .into_iter()
            .map(|level| level.into_iter().map(id).collect())
            .collect(),
        agent_allocations: BTreeMap::new(),
        communication_channels: Vec::new(),
        synchronization_points: shape.barriers(),
        // No limit on silence unless a task has its own.
        monitoring_config: MonitoringConfig { silence_s: 0.0, timeout_s: view.settings.timeout_s },
        analysis: understood.unwrap_or_default(),
    })
}

/// The playbook that a plan came from.
fn chosen(info: &PlanInfo) -> Option<&str> {
    info.source.strip_prefix("playbook:")
}

/// What was understood of a request. `matched`: playbooks with their scores, best first; `chosen`: the one that was
/// taken; `planned`: how long the plan takes, which replaces the first guess.
pub fn analysis(
    known: &analyze::Analysis,
    matched: &[(String, f64)],
    chosen: Option<&str>,
    planned: Option<Estimate>,
) -> Analysis {
    let best = matched.first().filter(|(_, score)| *score >= CHOSEN_SCORE_MIN).map(|(name, _)| name.as_str());
    Analysis {
        intent: Intent {
            primary: known.intent.primary.map(|word| word.as_str().to_owned()),
            secondary: known.intent.secondary.iter().map(|word| word.as_str().to_owned()).collect(),
            confidence: known.intent.confidence,
            abstained: known.intent.primary.is_none(),
        },
        complexity: Complexity {
            level: word(&known.complexity.level),
            score: known.complexity.score,
            factors: factors(&known.complexity.factors),
            weights: factors(&known.complexity.weights),
            reasons: known.complexity.reasons.clone(),
        },
        estimated_duration: Some(planned.unwrap_or_else(|| prior(known.estimated_duration_s))),
        required_resources: known.required_resources.clone(),
        risks: known.risks.iter().map(risk).collect(),
        success_criteria: known
            .success_criteria
            .iter()
            .map(|criterion| Criterion {
                text: criterion.text.clone(),
                check: criterion.check.as_deref().map(words::shell_line),
            })
            .collect(),
        matched_patterns: matched.iter().filter(|(_, score)| *score > 0.0).map(|(name, _)| name.clone()).collect(),
        suggested_workflow: chosen.or(best).map(str::to_owned),
    }
}

fn risk(risk: &analyze::Risk) -> Risk {
    // The bands of complexity, so that the same word means the same.
    let level = match risk.level {
        level if level < 0.3 => "low",
        level if level < 0.6 => "medium",
        level if level < 0.8 => "high",
        _ => "critical",
    };
    Risk { id: risk.id.clone(), what: risk.what.clone(), level: level.to_owned(), mitigation: risk.mitigation.clone() }
}

/// The six factors, or their weights, by name.
fn factors(factors: &Factors) -> BTreeMap<String, f64> {
    let named = [
        ("scope", factors.scope),
        ("dependencies", factors.dependencies),
        ("uncertainty", factors.uncertainty),
        ("technical_depth", factors.technical_depth),
        ("integration_points", factors.integration_points),
        ("risk_level", factors.risk_level),
    ];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The name that an enum has when it is stored.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
