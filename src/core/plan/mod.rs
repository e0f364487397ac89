//! Planning: from an understood request to checked tasks, and the questions that stand before the first of them.
//!
//! A plan comes from the client, from a playbook that fits, or is a single task for an agent; all pass the same checks.
//! Where nothing fits and the request could not be read, the run asks instead of inventing a plan.

pub mod file;
pub mod planner;
pub mod playbook;
pub mod spec;

use std::collections::BTreeMap;

use super::{
    Ctx, Rejection, Settings,
    analyze::Analysis,
    coordinate::strategies,
    decide::{self, decision::DecisionKind},
    event::Event,
    facts::Facts,
    prove::CheckResult,
    run::{Mode, PlanInfo, Run, RunState, Trigger},
    state::State,
    track::moved,
};
use crate::ids::TaskId;
use spec::{Argv, Coordination, Effect, Kind, Plan, Strategy, TaskSpec, Work};

/// The option of `clarify` that gives a request to an agent, where there is no playbook to choose.
const AGENT: &str = "agent";

/// Most checks that are run on the untouched base.
const BASELINE_MAX: usize = 20;

/// Plans that are due to be made, and approvals that are due to be asked for.
pub fn due(state: &mut State, ctx: &mut Ctx) -> Vec<Event> {
    for run in state.index.dirty.iter().filter_map(|run| state.run(*run)) {
        if run.state != RunState::Planning || run.cancelled {
            continue;
        }
        let events = match &run.plan {
            None => make(state, ctx, run),
            Some(info) => approve(state, ctx, run, info),
        };
        if !events.is_empty() {
            return events;
        }
    }
    Vec::new()
}

fn make(state: &State, ctx: &Ctx, run: &Run) -> Vec<Event> {
    let (Some(facts), Some(analysis)) = (&run.facts, &run.analysis) else { return Vec::new() };
    if let Some(plan) = &run.request.plan {
        let source = run.request.plan_source.clone().unwrap_or_else(|| "client".to_owned());
        return planned(state, ctx, run, (**plan).clone(), source, Vec::new(), facts);
    }
    let intent = analysis.intent.primary.map(|word| (word.as_str(), analysis.intent.confidence));
    let (playbooks, _) = playbook::with_project(&ctx.settings.playbooks, facts);
    let choice = playbook::choose(&playbooks, &run.request.description, intent, facts);
    let matched: Vec<(String, f64)> = choice.matches.iter().map(|found| (found.name.clone(), found.score)).collect();
    let chosen = chosen_by_person(state, run).or(choice.chosen);
    if let Some(found) = chosen.as_ref().and_then(|name| playbooks.iter().find(|playbook| playbook.name == *name)) {
        return match playbook::expand(found, &BTreeMap::new(), facts) {
            Ok(plan) => {
                let source = format!("playbook:{}", found.name);
                let left_out = found.left_out(facts).into_iter().map(|note| Event::RunNoted { run: run.id, note });
                let mut events = planned(state, ctx, run, plan, source, matched, facts);
                events.extend(left_out.filter(|_| run.plan.is_none()));
                events
            }
            Err(error) => refuse(run, format!("the playbook {} does not fit here: {error}", found.name)),
        };
    }
    // Nothing ready-made fits. An agent can read what our words cannot; without one, somebody is asked.
    let Some(agents) = &run.agents else {
        return if run.looking { Vec::new() } else { vec![Event::AgentsAsked { run: run.id }] };
    };
    let able = agents.iter().any(|found| ctx.settings.agents.iter().any(|profile| profile.id == found.id));
    // "Run the tests" where no test can run is understood: to ask what was meant would hide what is missing.
    if !able
        && let Some(named) = choice.matches.iter().find(|found| found.means_it_all() && !found.eligible)
        && let Some(found) = playbooks.iter().find(|playbook| playbook.name == named.name)
    {
        let why = match playbook::expand(found, &BTreeMap::new(), facts) {
            Err(error) => error.to_string(),
            Ok(_) if facts.files == 0 => "there is no file here".to_owned(),
            Ok(_) => named.reasons.last().cloned().unwrap_or_default(),
        };
        return refuse(run, format!("the playbook {} does not fit here: {why}", found.name));
    }
    if analysis.intent.primary.is_none() && !able && chosen.as_deref() != Some(AGENT) {
        return match decide::find(state, run, DecisionKind::Clarify) {
            Some(_) => Vec::new(),
            None => vec![clarify(state, ctx, run, &playbooks)],
        };
    }
    if able && let Some(agent) = planner::wanted(ctx.settings, run, analysis) {
        let tasks = vec![planner::task(run, agent)];
        let title: String = run.request.description.lines().next().unwrap_or("").chars().take(80).collect();
        let plan = Plan { title, tasks, ..Plan::default() };
        return planned(state, ctx, run, plan, planner::SOURCE.to_owned(), matched, facts);
    }
    planned(state, ctx, run, for_one_agent(run, analysis), "agent".to_owned(), matched, facts)
}

/// One agent does it, proven by the repository's own checks.
fn for_one_agent(run: &Run, analysis: &Analysis) -> Plan {
    let mut task = TaskSpec::new("request", Work::Prompt(run.request.description.clone()));
    let title: String = run.request.description.lines().next().unwrap_or("").chars().take(80).collect();
    task.title = title.as_str().into();
    // What it will touch nobody knows yet; its lane keeps it apart, and the diff is the truth.
    task.extras_mut().writes = Some(vec!["**".to_owned()]);
    task.kind_word = analysis.intent.primary.map_or("generic", |word| word.as_str()).into();
    Plan { title, tasks: vec![task], ..Plan::default() }
}

/// The playbook that a person named when asked what the request means.
fn chosen_by_person(state: &State, run: &Run) -> Option<String> {
    let answers =
        state.decisions.values().filter(|decision| decision.run == run.id && decision.kind == DecisionKind::Clarify);
    answers.filter_map(|decision| decision.answer()).map(|answer| answer.choice.clone()).next_back()
}

fn clarify(state: &State, ctx: &Ctx, run: &Run, playbooks: &[playbook::Playbook]) -> Event {
    decide::open(state, ctx, run, DecisionKind::Clarify, None, |decision| {
        decision.question = "What should be done? The request could not be read with any certainty.".to_owned();
        decision.detail = format!(
            "> {}\n\nNo playbook fits it well enough, and its words do not say what kind of work it is. Choose a \
             playbook, or cancel and say it in other words (what to create, change, fix or look into).",
            run.request.description
        );
        decision.criticality = 0.3;
        let shown = playbooks.iter().filter(|playbook| !playbook.name.starts_with(playbook::PREFIX)).take(5);
        decision.options =
            shown.map(|playbook| decide::choice(&playbook.name, &playbook.name, &playbook.about, true)).collect();
        decision.options.push(decide::choice("cancel", "Cancel", "Nothing is done.", true));
        if decision.options.len() < 2 {
            decision
                .options
                .insert(0, decide::choice(AGENT, "Hand it on", "One agent gets the request as it is.", true));
        }
    })
}

fn planned(
    state: &State,
    ctx: &Ctx,
    run: &Run,
    mut plan: Plan,
    source: String,
    matched: Vec<(String, f64)>,
    facts: &Facts,
) -> Vec<Event> {
    let expanded = match inline_playbooks(&mut plan, &ctx.settings.playbooks, facts) {
        Ok(expanded) => expanded,
        Err(why) => return refuse(run, why),
    };
    bind_checks(&mut plan, run);
    plan.coordination = run.request.coordination.unwrap_or(plan.coordination);
    let strategy = run.request.strategy.unwrap_or(plan.strategy);
    let warnings = match file::check(&plan) {
        Ok(checked) => {
            let proves = |spec: &TaskSpec| spec.verify.is_some() || !criteria_checks(run).is_empty();
            let notes = strategies::rewrite(&mut plan, strategy, proves);
            checked.warnings.iter().map(|warning| warning.message.clone()).chain(notes).collect()
        }
        Err(_) if plan.tasks.is_empty() && source.starts_with("playbook:") => {
            vec!["nothing in this repository is in its scope".to_owned()]
        }
        Err(error) => return refuse(run, format!("the plan does not hold: {error}")),
    };
    let info = PlanInfo {
        source,
        title: plan.title.clone(),
        strategy,
        coordination: plan.coordination,
        max_parallel: plan.max_parallel,
        on_failure: plan.on_failure,
        budget: plan.budget.within(&run.request.budget),
        verify: plan.verify.clone(),
        warnings,
        matched,
    };
    let rewritten = strategy == Strategy::Hierarchical || plan.coordination != Coordination::PeerToPeer;
    let as_asked = !expanded && !rewritten && run.request.verify.is_empty() && run.request.plan.is_some();
    let first = run.request.first_task.filter(|_| plan.tasks.len() == 1).unwrap_or(TaskId(state.last.task + 1));
    let baseline = baseline(run, &plan.tasks);
    let mut events = vec![Event::RunPlanned {
        run: run.id,
        info: Box::new(info),
        first,
        tasks: if as_asked { Vec::new() } else { plan.tasks },
        as_asked,
        baseline: baseline.clone(),
    }];
    // A check that another run has already made on this very tree need not run again.
    let tree = run.base.as_ref().map(|base| base.tree.as_str());
    for (index, argv) in baseline.iter().enumerate() {
        let same = state.runs.values().filter(|other| other.base.as_ref().map(|base| base.tree.as_str()) == tree);
        let known = same
            .flat_map(|other| &other.baseline)
            .find(|check| check.argv == *argv && check.result.as_ref().is_some_and(CheckResult::conclusive));
        if let Some(result) = known.and_then(|check| check.result.clone()) {
            events.push(Event::BaseChecked { run: run.id, index: index as u32, result });
        }
    }
    events
}

/// The checks that came with a request in words bind every change that it leads to, and the result.
fn bind_checks(plan: &mut Plan, run: &Run) {
    if run.request.verify.is_empty() {
        return;
    }
    for task in plan.tasks.iter_mut().filter(|task| task.effect != Effect::None) {
        let mut checks = task.verify.as_ref().map_or_else(|| criteria_checks(run), |own| own.to_vec());
        checks.extend(run.request.verify.iter().cloned());
        task.verify = Some(std::sync::Arc::new(checks));
    }
    plan.verify.extend(run.request.verify.iter().cloned());
}

/// The checks that changes will be judged by, each once, in order.
fn baseline(run: &Run, tasks: &[TaskSpec]) -> Vec<Argv> {
    let criteria = criteria_checks(run);
    let mut baseline: Vec<Argv> = Vec::new();
    for task in
        tasks.iter().filter(|task| task.effect != Effect::None && matches!(task.kind(), Kind::Shell | Kind::Agent))
    {
        let checks = task.verify.as_ref().map_or(criteria.as_slice(), |own| own.as_slice());
        for argv in checks {
            if baseline.len() < BASELINE_MAX && !baseline.contains(argv) {
                baseline.push(argv.clone());
            }
        }
    }
    baseline
}

/// The commands that the request's success criteria are bound to: what proves a change that names no check.
pub fn criteria_checks(run: &Run) -> Vec<Argv> {
    let Some(analysis) = &run.analysis else { return Vec::new() };
    let mut checks: Vec<Argv> = Vec::new();
    for argv in analysis.success_criteria.iter().filter_map(|criterion| criterion.check.clone()) {
        if !checks.contains(&argv) {
            checks.push(argv);
        }
    }
    checks
}

/// Tasks that name a playbook or a skill are replaced by its tasks; whether there were any.
pub fn inline_playbooks(plan: &mut Plan, known: &[playbook::Playbook], facts: &Facts) -> Result<bool, String> {
    if plan.tasks.iter().all(|task| task.kind() != Kind::Workflow) {
        return Ok(false);
    }
    let (playbooks, _) = playbook::with_project(known, facts);
    // Playbooks may name playbooks, at most as deep as plans may go.
    for _ in 0..5 {
        let Some(at) = plan.tasks.iter().position(|task| task.kind() == Kind::Workflow) else { return Ok(true) };
        let Work::Playbook { name, params } = plan.tasks[at].work.clone() else { return Ok(true) };
        let found = playbooks.iter().find(|playbook| playbook.name == name).ok_or_else(|| {
            let near = nearest(&name, playbooks.iter().map(|playbook| playbook.name.as_str()));
            let near = near.map_or(String::new(), |near| {
                format!("; did you mean {:?}?", near.strip_prefix(playbook::PREFIX).unwrap_or(near))
            });
            match name.strip_prefix(playbook::PREFIX) {
                None => format!("there is no playbook {name:?}{near}"),
                Some(skill) => format!(
                    "there is no skill {skill:?} (it would be .orchestrator/skills/{skill}.toml here, or \
                     skills/{skill}.toml beside your config.toml){near}"
                ),
            }
        })?;
        let inner = playbook::expand(found, &params, facts).map_err(|error| format!("the playbook {name}: {error}"))?;
        splice(plan, at, inner.tasks);
    }
    match plan.tasks.iter().find(|task| task.kind() == Kind::Workflow) {
        Some(task) => Err(format!("playbooks name each other more than five deep, at task {:?}", task.name)),
        None => Ok(true),
    }
}

/// Puts `inner` in the place of the task at `at`: what needed it needs all of them, and they need what it needed.
fn splice(plan: &mut Plan, at: usize, inner: Vec<TaskSpec>) {
    let outer = plan.tasks[at].clone();
    let count = inner.len() as u32;
    let at = at as u32;
    // Behind the removed task every position moves by what came in, less the one that went.
    let place = |position: u32| if position > at { position + count - 1 } else { position };
    for task in &mut plan.tasks {
        let needs = std::mem::take(&mut task.needs);
        for need in needs {
            if need == at {
                match count {
                    0 => task.needs.extend(outer.needs.iter().map(|need| place(*need))),
                    _ => task.needs.extend(at..at + count),
                }
            } else {
                task.needs.push(place(need));
            }
        }
        if let Some(extras) = &mut task.extras {
            extras.parent = extras.parent.filter(|parent| *parent != at || count > 0).map(place);
        }
    }
    let outer_needs: Vec<u32> = outer.needs.iter().map(|need| place(*need)).collect();
    let inner = inner.into_iter().map(|mut task| {
        task.needs.iter_mut().for_each(|need| *need += at);
        if task.needs.is_empty() {
            task.needs.clone_from(&outer_needs);
        }
        if let Some(parent) = task.extras.as_mut().and_then(|extras| extras.parent.as_mut()) {
            *parent += at;
        }
        let name: String = format!("{}-{}", outer.name, task.name).chars().take(40).collect();
        task.name = name.as_str().into();
        task
    });
    plan.tasks.splice(at as usize..=at as usize, inner);
}

/// A request that cannot be planned is over, and says why.
fn refuse(run: &Run, why: String) -> Vec<Event> {
    let mut events: Vec<Event> = moved(run, Trigger::Error).into_iter().collect();
    events.push(Event::RunEnded { run: run.id, outcome: super::run::Outcome::Failed, why });
    events
}

/// What stands before the first task: trust in the workspace's own commands, and a yes to the plan.
fn approve(state: &State, ctx: &Ctx, run: &Run, info: &PlanInfo) -> Vec<Event> {
    if run.request.mode == Mode::Plan {
        // A dry run ends here; nothing was started.
        let mut events: Vec<Event> = moved(run, Trigger::Cancel).into_iter().collect();
        events.insert(0, Event::RunCancelAsked { run: run.id });
        return events;
    }
    if let Some(hash) = needs_trust(state, run) {
        return match decide::find(state, run, DecisionKind::Trust) {
            Some(_) => Vec::new(),
            None => vec![ask_trust(state, ctx, run, &hash)],
        };
    }
    if !run.approved && decide::mode::plan_wants_yes(run, info) {
        return match decide::find(state, run, DecisionKind::PlanApproval) {
            Some(_) => Vec::new(),
            None => vec![ask_plan(state, ctx, run, info)],
        };
    }
    let mut events = Vec::new();
    if !run.approved {
        events.push(Event::RunApproved { run: run.id });
    }
    events.extend(moved(run, Trigger::Execute));
    events
}

/// The hash that would have to be trusted, where the run would run commands found in the workspace's files.
fn needs_trust(state: &State, run: &Run) -> Option<String> {
    let facts = run.facts.as_ref()?;
    if run.request.trust || state.trusted.as_deref() == Some(facts.manifests_hash.as_str()) {
        return None;
    }
    let tasks = || run.tasks.iter().filter_map(|task| state.task(*task));
    let derived = tasks().any(|task| task.spec.extras().derived);
    let checked = || tasks().any(|task| task.spec.verify.is_none() && task.spec.effect != Effect::None);
    let criteria_found = || !criteria_checks(run).is_empty();
    // What an agent plans will be proven by the repository's own commands.
    let plans = || tasks().any(|task| task.spec.extras().part == Some(spec::Part::Plans));
    let laid_out = || !facts.lanes.setup.is_empty() && tasks().any(|task| task.spec.kind() != Kind::Decision);
    (derived || laid_out() || (criteria_found() && (checked() || plans()))).then(|| facts.manifests_hash.clone())
}

fn ask_trust(state: &State, ctx: &Ctx, run: &Run, hash: &str) -> Event {
    let mut commands: Vec<String> = Vec::new();
    for task in run.tasks.iter().filter_map(|task| state.task(*task)) {
        // Our own fixers need trust for the sake of the checks that prove them, and come from no manifest.
        let ours = matches!(&task.spec.work, Work::Command(argv)
            if matches!(argv.get(..2), Some([program, verb]) if program == "orchestrator" && matches!(verb.as_str(), "fix" | "audit")));
        if task.spec.extras().derived && !ours {
            commands.push(super::track::command_line(&task.spec));
        }
    }
    commands.extend(criteria_checks(run).iter().map(|argv| argv.join(" ")));
    commands.extend(run.facts.iter().map(|facts| facts.lanes.setup.join(" ")).filter(|line| !line.is_empty()));
    commands.dedup();
    let list: String = commands.iter().take(20).map(|command| format!("- `{command}`\n")).collect();
    decide::open(state, ctx, run, DecisionKind::Trust, None, |decision| {
        decision.question = "May commands found in this repository's own files run?".to_owned();
        decision.detail = format!(
            "They come from its manifests and would run with your rights:\n\n{list}\nTrust is bound to the content \
             of those files ({}…) and is asked again when they change.",
            &hash[..hash.len().min(12)]
        );
        decision.criticality = 0.6;
        decision.options = vec![
            decide::choice(
                "trust",
                "Trust this repository",
                "Its own commands may run until these files change.",
                false,
            ),
            decide::choice("no", "Do not run them", "The run is cancelled; nothing was started.", true),
        ];
    })
}

fn ask_plan(state: &State, ctx: &Ctx, run: &Run, info: &PlanInfo) -> Event {
    let tasks = run.tasks.iter().filter_map(|task| state.task(*task));
    let list: String = tasks.take(30).map(|task| format!("- {} {}\n", task.id, task.spec.title())).collect();
    decide::open(state, ctx, run, DecisionKind::PlanApproval, None, |decision| {
        decision.question = format!("Start {} with {} tasks?", run.id, run.tasks.len());
        decision.detail = format!("Plan from {}:\n\n{list}", info.source);
        decision.criticality = 0.3;
        decision.options = vec![
            decide::choice("approve", "Start", "The tasks run, each in a lane of its own.", true),
            decide::choice("reject", "Cancel", "The run is cancelled; nothing was started.", true),
        ];
    })
}

/// Refuses a plan that came with a request before anything is stored.
pub fn check(plan: &Plan, settings: &Settings) -> Result<(), Rejection> {
    if plan.tasks.len() > settings.tasks_max as usize {
        let what = format!("the plan has {} tasks, at most {} are taken", plan.tasks.len(), settings.tasks_max);
        return Err(Rejection::Invalid(what, "raise workflow.max_tasks in config.toml, or split the plan".to_owned()));
    }
    match file::check(plan) {
        Ok(_) => Ok(()),
        Err(error) => {
            let first = error.first();
            Err(match first.code {
                file::Code::Cycle => Rejection::Cycle(error.to_string()),
                file::Code::Invalid => Rejection::Invalid(error.to_string(), first.hint.clone().unwrap_or_default()),
            })
        }
    }
}

/// The candidate that a misspelt word most likely meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
