//! A plan and an analysis in words.

use std::fmt::Write;

use super::{
    duration::seconds,
    paint::Paint,
    report::{plural, shell_words},
    table::{Cell, one_line, table},
};
use crate::api::{ExplainReply, PlanView, reply::Analysis};

/// A plan by its levels: what can run side by side stands side by side.
pub fn plan(plan: &PlanView, width: usize, paint: Paint) -> String {
    let mut text = format!(
        "{} from {}, {} strategy, {}\n",
        plural(plan.tasks.len() as u64, "task"),
        plan.source,
        word(&plan.strategy),
        plural(plan.execution_levels.len() as u64, "level"),
    );
    for (level, ids) in plan.execution_levels.iter().enumerate() {
        let _ = writeln!(text, "{}", paint.dim(&format!("level {}", level + 1)));
        let tasks = plan.tasks.iter().filter(|task| ids.contains(&task.id));
        let rows: Vec<Vec<Cell>> = tasks
            .map(|task| {
                let checks: Vec<String> = task.verify.iter().map(|check| shell_words(check)).collect();
                let proof = match checks.is_empty() {
                    true => "no check".to_owned(),
                    false => format!("proven by {}", checks.join(" and ")),
                };
                let needs: Vec<String> = task.needs.iter().map(ToString::to_string).collect();
                vec![
                    if task.critical { Cell::new("*", Paint::yellow) } else { " ".into() },
                    task.id.to_string().into(),
                    task.title.as_str().into(),
                    Cell::new(task.agent.clone().unwrap_or_default(), Paint::cyan),
                    Cell::new(format!("~{}", seconds(task.estimate.p50)), Paint::dim),
                    Cell::new(
                        if needs.is_empty() { String::new() } else { format!("after {}", needs.join(", ")) },
                        Paint::dim,
                    ),
                    proof.into(),
                ]
            })
            .collect();
        text.push_str(&table(&rows, 2, width, paint));
    }
    if plan.critical_path.len() > 1 {
        let path: Vec<String> = plan.critical_path.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{} {}", paint.yellow("*"), paint.dim(&format!("longest chain: {}", path.join(" > "))));
    }
    text
}

/// What was understood of a request, with its numbers.
pub fn analysis(analysis: &Analysis, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    let intent = &analysis.intent;
    let _ = match &intent.primary {
        Some(primary) => {
            let more = if intent.secondary.is_empty() {
                String::new()
            } else {
                format!(", also {}", intent.secondary.join(", "))
            };
            writeln!(text, "{} {primary}{more} (confidence {:.2})", paint.bold("Intent"), intent.confidence)
        }
        None => {
            writeln!(text, "{} abstained: it would have been a guess ({:.2})", paint.bold("Intent"), intent.confidence)
        }
    };
    let complexity = &analysis.complexity;
    let _ = writeln!(text, "{} {} ({:.2})", paint.bold("Complexity"), complexity.level, complexity.score);
    let rows: Vec<Vec<Cell>> = complexity
        .factors
        .iter()
        .map(|(name, value)| {
            let weight = complexity.weights.get(name).copied().unwrap_or(0.0);
            vec![
                name.replace('_', " ").into(),
                format!("{value:.2}").into(),
                Cell::new(format!("x {weight:.2}"), Paint::dim),
            ]
        })
        .collect();
    text.push_str(&table(&rows, 2, width, paint));
    for reason in &complexity.reasons {
        let _ = writeln!(text, "  {}", paint.dim(&one_line(reason)));
    }
    if let Some(estimate) = &analysis.estimated_duration {
        let _ = writeln!(
            text,
            "{} about {}, nine of ten below {} ({})",
            paint.bold("Duration"),
            seconds(estimate.p50),
            seconds(estimate.p90),
            estimate.basis
        );
    }
    if !analysis.required_resources.is_empty() {
        let _ = writeln!(text, "{} {}", paint.bold("Needs"), analysis.required_resources.join(", "));
    }
    if !analysis.risks.is_empty() {
        let _ = writeln!(text, "{}", paint.bold("Risks"));
        let rows: Vec<Vec<Cell>> = analysis
            .risks
            .iter()
            .map(|risk| {
                vec![Cell::new(risk.level.clone(), Paint::yellow), format!("{}: {}", risk.what, risk.mitigation).into()]
            })
            .collect();
        text.push_str(&table(&rows, 2, width, paint));
    }
    if !analysis.success_criteria.is_empty() {
        let _ = writeln!(text, "{}", paint.bold("Done when"));
        for criterion in &analysis.success_criteria {
            // Most say their command themselves.
            let check = criterion.check.as_ref().filter(|check| !criterion.text.contains(check.as_str()));
            let check = check.map(|check| format!(" (`{}`)", one_line(check))).unwrap_or_default();
            let _ = writeln!(text, "  {}{}", one_line(&criterion.text), paint.dim(&check));
        }
    }
    text
}

/// How a request would be understood: the analysis, the playbooks by score, the plan.
pub fn explained(reply: &ExplainReply, width: usize, paint: Paint) -> String {
    let mut text = analysis(&reply.analysis, width, paint);
    if !reply.playbooks.is_empty() {
        let _ = writeln!(text, "{}", paint.bold("Playbooks (chosen at 0.60)"));
        let rows: Vec<Vec<Cell>> = reply
            .playbooks
            .iter()
            .map(|fit| {
                let parts = format!("intent {:.2}  words {:.2}  facts {:.2}", fit.intent, fit.words, fit.facts);
                vec![format!("{:.2}", fit.score).into(), fit.name.as_str().into(), Cell::new(parts, Paint::dim)]
            })
            .collect();
        text.push_str(&table(&rows, 2, width, paint));
    }
    if let Some(view) = &reply.plan {
        let _ = writeln!(text, "{}", paint.bold("Plan"));
        text.push_str(&plan(view, width, paint));
    }
    text
}

/// A unit variant by its name on the wire.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_shows_levels_and_the_longest_chain() {
        let task = |id: &str, title: &str, needs: serde_json::Value, critical: bool| {
            json!({"id": id, "name": "n", "title": title, "kind": "shell", "type": "skill_execution", "needs": needs,
                "level": 0, "critical": critical, "slack": 0, "estimate": {"p50": 12, "p90": 30, "basis": "prior"},
                "effect": "workspace", "verify": [["cargo", "test"]]})
        };
        let view: PlanView = serde_json::from_value(json!({
            "source": "playbook:tidy", "strategy": "adaptive", "coordination_strategy": "peer_to_peer",
            "tasks": [task("T-1", "Format", json!([]), true), task("T-2", "Audit", json!([]), false),
                task("T-3", "Lint", json!(["T-1"]), true)],
            "critical_path": ["T-1", "T-3"], "execution_levels": [["T-1", "T-2"], ["T-3"]],
            "monitoring_config": {"silence_s": 600, "timeout_s": 3600},
            "analysis": serde_json::to_value(Analysis::default()).unwrap(),
        }))
        .unwrap();
        expect![[r#"
            3 tasks from playbook:tidy, adaptive strategy, 2 levels
            level 1
              *  T-1  Format    ~12s    proven by cargo test
                 T-2  Audit     ~12s    proven by cargo test
            level 2
              *  T-3  Lint    ~12s  after T-1  proven by cargo test
            * longest chain: T-1 > T-3
        "#]]
        .assert_eq(&plan(&view, 100, Paint::PLAIN));
    }
}
