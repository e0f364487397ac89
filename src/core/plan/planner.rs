//! A plan that an agent makes, where a request is too large for one agent and nothing ready-made fits.
//!
//! Planning is a task of its own that changes nothing: its agent reads the repository and answers with a plan file,
//! which passes the same checks as anybody's. What is wrong with it is the agent's next prompt. What it may contain is
//! narrower than what a person may write: work for agents and questions to people, proven by the repository's own
//! checks. A model does not name commands that would run with the user's rights.

use super::{
    file,
    spec::{Argv, Effect as Touches, Kind, Part, Plan, TaskSpec, Work},
};
use crate::{
    core::{
        Settings,
        analyze::{Analysis, complexity::Level},
        coordinate::strategies,
        decide::{self, decision::Decision, decision::DecisionKind},
        event::Event,
        land::settled,
        recover::failure,
        run::{PlanInfo, Run},
        state::State,
        task::{Settled, Task},
    },
    ids::{AttemptId, TaskId},
    time::Timestamp,
};

/// The source of a plan whose only task is to plan.
pub const SOURCE: &str = "planner";

/// Most tasks of a plan that an agent makes.
const TASKS_MAX: usize = 50;

/// How deep agents may lead to agents for one to plan for others.
const DEPTH: u32 = 2;

/// The agent that plans (`None` = whoever fits best), if one is to.
pub fn wanted(settings: &Settings, run: &Run, analysis: &Analysis) -> Option<Option<String>> {
    match run.request.planner.as_deref() {
        Some("none") => return None,
        Some(agent) => return Some(Some(agent.to_owned())),
        None => {}
    }
    let large = matches!(analysis.complexity.level, Level::Complex | Level::VeryComplex);
    if !large || settings.depth < DEPTH {
        return None;
    }
    let found = run.agents.iter().flatten().filter_map(|found| settings.agents.iter().find(|own| own.id == found.id));
    let planner = found.into_iter().find(|profile| profile.planner)?;
    // Whoever fits best, unless some may not.
    let all_may = settings.agents.iter().all(|profile| profile.planner);
    Some(Some(planner.id.clone()).filter(|_| !all_may))
}

/// The task that makes the plan.
pub fn task(run: &Run, agent: Option<String>) -> TaskSpec {
    let checks: Vec<String> = super::criteria_checks(run).iter().map(|argv| argv.join(" ")).collect();
    let proven = match checks.as_slice() {
        [] => "No command of the repository can prove a change; people will read them.".to_owned(),
        checks => format!("Each change will be proven by: {}.", checks.join("; ")),
    };
    let prompt = format!(
        "Make a plan for this request; do not carry it out:\n\n{}\n\nRead what you need of the repository. Then answer \
         with one block of TOML between ``` lines and nothing after it:\n\n```toml\nversion = 1\ntitle = \"…\"\n\
         [[tasks]]\nid = \"short-name\"\ntitle = \"one line\"\nkind = \"agent\"\nprompt = \"\"\"all that whoever does \
         it must know: others see nothing of this conversation\"\"\"\nneeds = [\"ids of tasks that must have landed \
         before\"]\nwrites = [\"globs of the files that it changes\"]\n```\n\nTasks that do not need each other run at \
         once, each by an agent of its own in a checkout of its own, so give them files of their own. Each must leave \
         the repository whole. Few large tasks are better than many small ones; at most {TASKS_MAX}. {proven}",
        run.request.description.trim()
    );
    let mut spec = TaskSpec::new("plan", Work::Prompt(prompt));
    spec.title = "Make the plan".into();
    spec.kind_word = "planning".into();
    spec.effect = Touches::None;
    let extras = spec.extras_mut();
    extras.writes = Some(Vec::new());
    extras.agent = agent;
    extras.part = Some(Part::Plans);
    spec
}

/// What follows from an agent's last words: its plan is taken, put to a person, or refused with what is wrong.
pub fn proposed(state: &State, run: &Run, task: &Task, id: AttemptId, said: &str, now: Timestamp) -> Vec<Event> {
    let adopted = match adopt(state, run, task, said) {
        Ok(adopted) => adopted,
        Err(wrong) => {
            let what = format!("the plan is refused: {wrong}\nAnswer with the whole plan again, mended.");
            return vec![Event::AttemptOver { attempt: id, failure: Some(failure::judged(&what)) }];
        }
    };
    let Some(Event::PlanAdopted { tasks, info, .. }) = adopted.first() else { return Vec::new() };
    if !decide::mode::plan_wants_yes(run, info) {
        return adopted;
    }
    let list: String = tasks.iter().take(TASKS_MAX).map(|task| format!("- {}\n", task.title())).collect();
    let open = decide::open_at(state, now, run, DecisionKind::PlanApproval, Some(task), |decision| {
        decision.question = decide::short(&format!("Start {} with {} tasks? {}", run.id, tasks.len(), info.title));
        decision.detail = format!("Plan of {}:\n\n{list}", info.source);
        decision.criticality = 0.3;
        decision.options = vec![
            decide::choice("approve", "Start", "The tasks run, each in a lane of its own.", true),
            decide::choice("reject", "Cancel", "The run is cancelled; nothing was changed.", true),
        ];
    });
    vec![Event::AttemptOver { attempt: id, failure: None }, open]
}

/// A person said what becomes of it.
pub fn answered(state: &State, decision: &Decision, choice: &str) -> Vec<Event> {
    let planned = || {
        let task = state.task(decision.task?)?;
        let run = state.run(task.run).filter(|_| task.settled().is_none())?;
        let said = &task.attempt(decision.generation?)?.agent()?.end.as_ref()?.said;
        adopt(state, run, task, said).ok()
    };
    match choice {
        "approve" => planned().unwrap_or_default(),
        _ => vec![Event::RunCancelAsked { run: decision.run }],
    }
}

/// No plan came about, however often it was tried: one agent gets the request as it is, as where nobody plans.
pub fn without(state: &State, run: &Run, task: &Task, why: &str) -> Vec<Event> {
    let Some(analysis) = run.analysis.as_deref() else { return vec![settled(task, Settled::Failed, why)] };
    let mut plan = super::for_one_agent(run, analysis);
    super::bind_checks(&mut plan, run);
    let first_line = why.lines().next().unwrap_or_default();
    let note = format!("no plan came of {} ({first_line}); one agent gets the request as it is", task.id);
    let adopted = taken(state, run, plan, ("agent".to_owned(), Vec::new()));
    vec![settled(task, Settled::Failed, why), adopted, Event::RunNoted { run: run.id, note }]
}

/// The event that makes a plan the run's; whose it is, and what is to be said of it.
fn taken(state: &State, run: &Run, plan: Plan, (source, warnings): (String, Vec<String>)) -> Event {
    let before = run.plan.as_deref();
    let info = PlanInfo {
        source,
        title: plan.title.clone(),
        strategy: run.request.strategy.unwrap_or(plan.strategy),
        coordination: plan.coordination,
        max_parallel: plan.max_parallel,
        on_failure: plan.on_failure,
        budget: plan.budget.within(&run.allowed),
        verify: plan.verify.clone(),
        warnings,
        matched: before.map(|info| info.matched.clone()).unwrap_or_default(),
    };
    let baseline = super::baseline(run, &plan.tasks);
    let first = TaskId(state.last.task + 1);
    Event::PlanAdopted { run: run.id, info: Box::new(info), first, tasks: plan.tasks, baseline }
}

/// The events that make the plan the run's, or what is wrong with it.
fn adopt(state: &State, run: &Run, task: &Task, said: &str) -> Result<Vec<Event>, String> {
    let mut plan = read(said)?;
    permitted(&plan, &super::criteria_checks(run))?;
    super::bind_checks(&mut plan, run);
    plan.coordination = run.request.coordination.unwrap_or(plan.coordination);
    let strategy = run.request.strategy.unwrap_or(plan.strategy);
    let proves = |spec: &TaskSpec| spec.verify.is_some() || !super::criteria_checks(run).is_empty();
    let warnings = strategies::rewrite(&mut plan, strategy, proves);
    let offset = run.tasks.len() as u32;
    for spec in &mut plan.tasks {
        spec.needs.iter_mut().for_each(|need| *need += offset);
        if spec.needs.is_empty() {
            spec.needs.push(task.position);
        }
        if let Some(extras) = &mut spec.extras {
            extras.parent = extras.parent.map(|parent| parent + offset);
            extras.part = extras.part.map(|part| part.moved(offset));
        }
    }
    let agent =
        task.attempts.iter().rev().find_map(|attempt| attempt.agent()).map(|part| part.allocation.agent.clone());
    let count = plan.tasks.len();
    Ok(vec![
        taken(state, run, plan, (format!("agent:{}", agent.unwrap_or_default()), warnings)),
        settled(task, Settled::Completed, &format!("it planned {count} tasks")),
    ])
}

/// The plan in an agent's words: its last block between ``` lines, or all of it.
fn read(said: &str) -> Result<Plan, String> {
    let blocks = said.split("```").skip(1).step_by(2);
    let block = blocks.last().map(|block| match block.split_once('\n') {
        Some((word, rest)) if !word.contains(['=', '{']) => rest,
        _ => block,
    });
    let parsed = file::parse(block.unwrap_or(said), None).map_err(|error| error.to_string())?;
    match parsed.external.first() {
        Some((_, outside)) => Err(format!("it needs {outside}, which is no task of this plan")),
        None => Ok(parsed.plan),
    }
}

/// What an agent's plan may hold.
fn permitted(plan: &Plan, checks: &[Argv]) -> Result<(), String> {
    if plan.tasks.len() > TASKS_MAX {
        return Err(format!("{} tasks are too many: at most {TASKS_MAX}", plan.tasks.len()));
    }
    let known = |argvs: &[Argv]| argvs.iter().find(|argv| !checks.contains(argv)).map(|argv| argv.join(" "));
    if let Some(command) = known(&plan.verify) {
        return Err(format!("`verify`: `{command}` is no check of this repository; leave it out"));
    }
    for task in &plan.tasks {
        let extras = task.extras();
        let wrong = match task.kind() {
            Kind::Shell | Kind::Workflow => "only kind = \"agent\" and kind = \"decision\" may be planned here",
            _ if task.effect == Touches::External => "effect = \"external\" may not be planned here",
            _ if !extras.env.is_empty() || extras.compensate.is_some() => "`env` and `compensate` are not for it",
            _ if extras.sandbox.is_some() => "`sandbox` is not for it",
            _ => match task.verify.as_ref().and_then(|own| known(own)) {
                Some(command) => &format!("`{command}` is no check of this repository; leave `verify` out"),
                None => continue,
            },
        };
        return Err(format!("task \"{}\": {wrong}", task.name));
    }
    Ok(())
}
