//! Which agent does a task: capabilities are a filter, then the specification's score of 40, 30, 20 and 10 per cent.
//!
//! Everybody who was looked at is kept with the numbers, also who lost and who was out of the question.

use std::collections::BTreeMap;

use crate::core::{
    agent::{AgentProfile, Candidate, DriverKind, FoundAgent, Records, Score, Tally},
    plan::spec::TaskSpec,
};
use crate::time::Timestamp;

/// What is known of the agents when one is looked for.
pub struct Field<'a> {
    /// All that are declared.
    pub profiles: &'a [AgentProfile],
    /// Those whose program was found for this run.
    pub found: &'a [FoundAgent],
    /// Tasks that each has now, in any run.
    pub load: BTreeMap<&'a str, u32>,
    /// How they did so far.
    pub records: &'a Records,
    /// Accounts that have nothing left, and until when.
    pub limits: &'a BTreeMap<String, Timestamp>,
    /// Agents that failed at this very task, and how often.
    pub failed: BTreeMap<&'a str, u32>,
}

/// What the look at the field came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// This one, and everybody who was looked at.
    Agent(String, Vec<Candidate>),
    /// Somebody could, but not now: all places are taken, or the account is empty until later.
    Wait(Vec<Candidate>),
    /// Nobody could.
    Nobody(Vec<Candidate>),
}

/// Failures of one agent at one task after which another one goes first.
const FAILURES_BEFORE_ANOTHER: u32 = 2;

/// Finds the agent for a task.
pub fn pick(field: &Field, task: &TaskSpec) -> Pick {
    let extras = task.extras();
    let mut candidates = Vec::new();
    let mut could = false;
    for profile in field.profiles.iter().filter(|profile| profile.driver != DriverKind::Pull) {
        let (out, later) = refusal(field, profile, extras.agent.as_deref(), &extras.capabilities);
        could |= later || out.is_none();
        let score = match out {
            Some(_) => Score::default(),
            None => score(field, profile, task),
        };
        candidates.push(Candidate { agent: profile.id.clone(), score, out });
    }
    // Best first; of equals the first of the configuration. Who failed at it twice stands behind those who did not.
    let tired = |agent: &str| field.failed.get(agent).is_some_and(|failures| *failures >= FAILURES_BEFORE_ANOTHER);
    candidates.sort_by(|a, b| {
        let rank = |candidate: &Candidate| (candidate.out.is_some(), tired(&candidate.agent));
        rank(a).cmp(&rank(b)).then(b.score.total.total_cmp(&a.score.total))
    });
    match candidates.first() {
        Some(best) if best.out.is_none() => Pick::Agent(best.agent.clone(), candidates),
        _ if could => Pick::Wait(candidates),
        _ => Pick::Nobody(candidates),
    }
}

/// Why an agent is out of the question, if it is; and whether it is only for now.
fn refusal(field: &Field, profile: &AgentProfile, asked_for: Option<&str>, needs: &[String]) -> (Option<String>, bool) {
    if asked_for.is_some_and(|asked_for| asked_for != profile.id) {
        return (Some(format!("the plan asks for {}", asked_for.unwrap_or_default())), false);
    }
    if !field.found.iter().any(|found| found.id == profile.id) {
        let program = profile.command.first().map_or("", String::as_str);
        return (Some(format!("`{program}` is not on the PATH")), false);
    }
    let missing: Vec<&str> =
        needs.iter().filter(|need| !profile.capabilities.contains(need)).map(String::as_str).collect();
    // Whoever declares no capabilities has not said what it cannot do.
    if !missing.is_empty() && !profile.capabilities.is_empty() {
        return (Some(format!("it lacks {}", missing.join(", "))), false);
    }
    if let Some(until) = field.limits.get(&profile.account) {
        return (Some(format!("its account {} has nothing left until {until}", profile.account)), true);
    }
    let load = field.load.get(profile.id.as_str()).copied().unwrap_or(0);
    if load >= profile.max_load {
        return (Some(format!("it has {load} tasks, the most it may")), true);
    }
    (None, false)
}

fn score(field: &Field, profile: &AgentProfile, task: &TaskSpec) -> Score {
    let extras = task.extras();
    let fit = match extras.prefers.len() {
        0 => 1.0,
        wanted => {
            let has = extras.prefers.iter().filter(|wanted| profile.capabilities.contains(wanted)).count();
            has as f64 / wanted as f64
        }
    };
    let busy = f64::from(field.load.get(profile.id.as_str()).copied().unwrap_or(0));
    let load = 1.0 - busy / f64::from(profile.max_load.max(1));
    let tally = field.records.get(&profile.id).and_then(|types| types.get(task.type_word())).copied();
    let history = smoothed(tally.unwrap_or_default());
    let special = profile.specialization.as_ref().is_some_and(|own| extras.specializations.contains(own));
    let specialization = if special { 1.0 } else { 0.0 };
    let total = 0.4 * fit + 0.3 * load + 0.2 * history + 0.1 * specialization;
    Score { total, fit, load, history, specialization }
}

/// The share of work that was proven, drawn towards one half by two imagined attempts: no history is no verdict.
pub fn smoothed(tally: Tally) -> f64 {
    (f64::from(tally.proven) + 1.0) / (f64::from(tally.judged) + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::spec::Work;

    pub(super) fn profile(id: &str) -> AgentProfile {
        AgentProfile {
            id: id.to_owned(),
            driver: DriverKind::Claude,
            command: vec![id.to_owned()],
            capabilities: Vec::new(),
            specialization: None,
            max_load: 3,
            model: None,
            account: id.to_owned(),
            env: Vec::new(),
            sandbox: "standard".to_owned(),
            planner: true,
            price: None,
            mode: None,
            vars: Vec::new(),
            folders: Vec::new(),
            can: Vec::new(),
        }
    }

    fn found(id: &str) -> FoundAgent {
        FoundAgent { id: id.to_owned(), program: format!("/bin/{id}"), version: None }
    }

    fn field<'a>(
        profiles: &'a [AgentProfile],
        found: &'a [FoundAgent],
        records: &'a Records,
        limits: &'a BTreeMap<String, Timestamp>,
    ) -> Field<'a> {
        Field { profiles, found, load: BTreeMap::new(), records, limits, failed: BTreeMap::new() }
    }

    #[test]
    fn weights_are_the_specifications() {
        let mut a = profile("a");
        a.capabilities = vec!["rust".to_owned()];
        a.specialization = Some("auth".to_owned());
        let (found, records, limits) = ([found("a")], Records::new(), BTreeMap::new());
        let profiles = [a];
        let mut field = field(&profiles, &found, &records, &limits);
        field.load.insert("a", 1);
        let mut task = TaskSpec::new("t", Work::Prompt("x".to_owned()));
        task.extras_mut().prefers = vec!["rust".to_owned(), "security".to_owned()];
        task.extras_mut().specializations = vec!["auth".to_owned()];
        let Pick::Agent(_, candidates) = pick(&field, &task) else { panic!("nobody was picked") };
        let score = candidates[0].score;
        // 40 % of one of two, 30 % of two thirds free, 20 % of no history, 10 % of the speciality.
        assert!((score.total - (0.2 + 0.2 + 0.1 + 0.1)).abs() < 1e-9, "{score:?}");
    }

    #[test]
    fn capabilities_filter_and_losers_are_told_why() {
        let mut a = profile("a");
        a.capabilities = vec!["python".to_owned()];
        let b = profile("b");
        let (found, records, limits) = ([found("a"), found("b")], Records::new(), BTreeMap::new());
        let profiles = [a, b, profile("c")];
        let field = field(&profiles, &found, &records, &limits);
        let mut task = TaskSpec::new("t", Work::Prompt("x".to_owned()));
        task.extras_mut().capabilities = vec!["rust".to_owned()];
        let Pick::Agent(best, candidates) = pick(&field, &task) else { panic!("nobody was picked") };
        assert_eq!(best, "b");
        let out: Vec<(&str, Option<&str>)> =
            candidates.iter().map(|candidate| (candidate.agent.as_str(), candidate.out.as_deref())).collect();
        assert_eq!(out, [("b", None), ("a", Some("it lacks rust")), ("c", Some("`c` is not on the PATH"))]);
    }

    #[test]
    fn history_counts_and_an_empty_account_waits() {
        let (found, mut records, mut limits) = ([found("a"), found("b")], Records::new(), BTreeMap::new());
        let tally = Tally { judged: 8, proven: 8, claimed_wrongly: 0 };
        records.entry("b".to_owned()).or_default().insert("generic".to_owned(), tally);
        let profiles = [profile("a"), profile("b")];
        let task = TaskSpec::new("t", Work::Prompt("x".to_owned()));
        assert!(
            matches!(pick(&field(&profiles, &found, &records, &limits), &task), Pick::Agent(best, _) if best == "b")
        );
        let mut tired = field(&profiles, &found, &records, &limits);
        tired.failed.insert("b", 2);
        assert!(matches!(pick(&tired, &task), Pick::Agent(best, _) if best == "a"));
        limits.insert("a".to_owned(), Timestamp(5));
        limits.insert("b".to_owned(), Timestamp(5));
        assert!(matches!(pick(&field(&profiles, &found, &records, &limits), &task), Pick::Wait(_)));
        assert!(matches!(pick(&field(&profiles, &[], &records, &limits), &task), Pick::Nobody(_)));
    }
}
