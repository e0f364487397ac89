//! Commands: what somebody asked is checked against the state and recorded. What follows is the stages' business.

use super::{
    Command, Ctx, Event, Rejection, Reply,
    agent::{AgentEnd, Note},
    coordinate,
    decide::{
        self,
        decision::{Answer, By, Decision, DecisionState},
        learned::{self, Reach, Remembered},
    },
    gc,
    input::{AgentWord, Remember},
    job::End,
    plan,
    plan::spec::TaskSpec,
    run::{Apply, Request, Run, RunState, Trigger},
    state::{Checkpoint, State},
    task::{Attempt, Phase, Settled, Task, TaskState},
};
use crate::ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId};

/// Checks and records one command.
pub fn command(state: &State, command: Command, ctx: &mut Ctx) -> Result<(Vec<Event>, Reply), Rejection> {
    match command {
        Command::Submit(request) => submit(state, *request, ctx),
        Command::SubmitTask { spec, dependencies, run, request } => {
            submit_task(state, *spec, &dependencies, run, *request, ctx)
        }
        Command::Answer { decision, choice, text, by, remember } => {
            // One commit: an answer that was meant to hold for longer never holds only once.
            let rule = remembered(state, decision, &choice, &by, remember, ctx)?;
            let answer = |choice| Answer { choice, text, by, at: ctx.now };
            let (mut events, reply) = self::answer(state, decision, choice, answer)?;
            events.extend(rule);
            Ok((events, reply))
        }
        Command::ForgetRule(id) => match state.learned.rules.iter().any(|rule| rule.id == id) {
            true => Ok((vec![Event::RuleForgotten { id }], Reply::None)),
            false => Err(Rejection::NotFound(format!("remembered rule {id}"))),
        },
        Command::NoteOutside { case, what, ruling } => {
            let event = match ruling {
                Some(ruling) => learned::act_outside(state, ctx, *case, &what, ruling),
                None => Event::AskedOutside { sort: case.sort },
            };
            Ok((vec![event], Reply::None))
        }
        Command::CancelRun(run) => cancel_run(state, run),
        Command::CancelTask(task) => cancel_task(state, task),
        Command::Retry { run, task } => retry(state, run, task),
        Command::Apply { run, tasks, asks: false } => apply(state, run, tasks),
        Command::Apply { run, tasks, asks: true } => ask_to_apply(state, run, tasks, ctx),
        Command::Placed { run, apply } => placed(state, run, apply),
        Command::Undo(run) => undo(state, run),
        Command::TakenOut(run) => taken_out(state, run),
        Command::Trust { hash } => Ok((vec![Event::Trusted { hash }], Reply::None)),
        Command::SaveCheckpoint { run, label, position } => save(state, run, label, position, ctx),
        Command::CollectGarbage => {
            let runs = gc::droppable(state, ctx.settings, ctx.now);
            let event = (!runs.is_empty()).then(|| Event::RunsDropped { runs: runs.clone() });
            Ok((event.into_iter().collect(), Reply::Dropped(runs)))
        }
        Command::NoteRefusal { by, what } => Ok((vec![Event::CallRefused { by, what }], Reply::None)),
        Command::RestoreCheckpoint(checkpoint) => restore(state, checkpoint),
        Command::ClaimTask { task, holder } => claim(state, task, &holder, ctx),
        Command::AgentReport { attempt, word } => agent_word(state, attempt, word, ctx),
        Command::Keyed { key, call, command } => keyed(state, key, call, *command, ctx),
    }
}

/// A call that may be made twice, because its first answer was lost with the connection. What was refused, or changed
/// nothing, is simply looked at again.
fn keyed(
    state: &State,
    key: String,
    call: String,
    inner: Command,
    ctx: &mut Ctx,
) -> Result<(Vec<Event>, Reply), Rejection> {
    if let Some(known) = state.answered.iter().rev().find(|known| known.key == key) {
        if known.call != call {
            let what = format!("the key {key:?} was that of another call, {}", known.call);
            return Err(Rejection::Invalid(what, "give each call a key of its own, or none".to_owned()));
        }
        return Ok((Vec::new(), known.reply.clone()));
    }
    let (mut events, reply) = command(state, inner, ctx)?;
    if !events.is_empty() {
        events.push(Event::CallAnswered { key, call, reply: reply.clone() });
    }
    Ok((events, reply))
}

fn submit(state: &State, request: Request, ctx: &Ctx) -> Result<(Vec<Event>, Reply), Rejection> {
    if let Some((run, at)) = request.key.as_ref().and_then(|key| state.keys.get(key))
        && ctx.now.0.saturating_sub(at.0) < gc::KEY_LIFE_MS
        && state.runs.contains_key(run)
    {
        return Ok((Vec::new(), Reply::Run { run: *run, duplicate: true }));
    }
    if let Some(plan) = &request.plan {
        plan::check(plan, ctx.settings)?;
    }
    let run = RunId(state.last.run + 1);
    let trigger = Trigger::Start;
    let events = vec![
        Event::RunAdded { run, request: Box::new(request) },
        Event::RunMoved { run, to: RunState::Analyzing, trigger },
    ];
    Ok((events, Reply::Run { run, duplicate: false }))
}

fn submit_task(
    state: &State,
    mut spec: TaskSpec,
    dependencies: &[TaskId],
    run: Option<RunId>,
    mut request: Request,
    ctx: &Ctx,
) -> Result<(Vec<Event>, Reply), Rejection> {
    let mut home = run;
    for id in dependencies {
        let needed = task(state, *id)?;
        match home {
            None => home = Some(needed.run),
            Some(home) if home != needed.run => {
                let what = format!("{id} belongs to {}, not to {home}", needed.run);
                return Err(Rejection::Invalid(what, "a task can only wait for tasks of its own run".to_owned()));
            }
            Some(_) => {}
        }
        spec.needs.push(needed.position);
    }
    let Some(home) = home else {
        // A task alone is a run of one.
        if request.description.is_empty() {
            request.description = spec.title().to_owned();
        }
        request.plan = Some(Box::new(plan::spec::Plan {
            title: spec.title().to_owned(),
            tasks: vec![spec],
            ..plan::spec::Plan::default()
        }));
        request.plan_source = Some("client".to_owned());
        let first = TaskId(state.last.task + 1);
        request.first_task = Some(first);
        let (events, reply) = submit(state, request, ctx)?;
        let known = match reply {
            Reply::Run { run, duplicate: true } => state.run(run).and_then(|run| run.request.first_task),
            _ => Some(first),
        };
        return Ok((events, known.map_or(reply, Reply::Task)));
    };
    let joined = going(state, home)?;
    if joined.plan.is_none() {
        let hint = format!("wait until {home} is planned, or submit without workflow_id");
        return Err(Rejection::Invalid(format!("{home} has no plan yet"), hint));
    }
    // The same rules as for a whole plan, but for what it needs, which is there already.
    let needs = std::mem::take(&mut spec.needs);
    let alone = plan::spec::Plan { tasks: vec![spec], ..plan::spec::Plan::default() };
    plan::check(&alone, ctx.settings)?;
    if joined.tasks.len() >= ctx.settings.tasks_max as usize {
        let hint = "raise workflow.max_tasks in config.toml, or submit without workflow_id".to_owned();
        return Err(Rejection::Invalid(
            format!("{home} has {} tasks, the most there may be", joined.tasks.len()),
            hint,
        ));
    }
    let tasks = joining(state, joined, alone, needs, ctx)?;
    let first = TaskId(state.last.task + 1);
    Ok((vec![Event::TasksAdded { run: home, first, tasks }], Reply::Task(first)))
}

/// The tasks that join a run: one, or those that a playbook or a skill becomes there.
fn joining(
    state: &State,
    run: &Run,
    mut alone: plan::spec::Plan,
    needs: Vec<u32>,
    ctx: &Ctx,
) -> Result<Vec<TaskSpec>, Rejection> {
    let facts = run.facts.as_ref().expect("a planned run was looked at");
    let refused = |why: String| Rejection::Invalid(why, "see: orchestrator playbooks".to_owned());
    if plan::inline_playbooks(&mut alone, &ctx.settings.playbooks, facts).map_err(refused)? {
        plan::check(&alone, ctx.settings)?;
        let derived = alone.tasks.iter().any(|task| task.extras().derived);
        if derived && !run.request.trust && state.trusted.as_deref() != Some(facts.manifests_hash.as_str()) {
            let what = "its commands come from this repository's files, which nobody has trusted".to_owned();
            return Err(Rejection::Invalid(what, "say so first: orchestrator trust".to_owned()));
        }
    }
    let offset = run.tasks.len() as u32;
    for task in &mut alone.tasks {
        task.needs.iter_mut().for_each(|need| *need += offset);
        if task.needs.is_empty() {
            task.needs.clone_from(&needs);
        }
        if let Some(parent) = task.extras.as_mut().and_then(|extras| extras.parent.as_mut()) {
            *parent += offset;
        }
    }
    Ok(alone.tasks)
}

fn answer(
    state: &State,
    id: DecisionId,
    choice: String,
    make: impl FnOnce(String) -> Answer,
) -> Result<(Vec<Event>, Reply), Rejection> {
    let decision = state.decisions.get(&id).ok_or_else(|| Rejection::NotFound(format!("decision {id}")))?;
    if let Some(answer) = decision.answer() {
        if answer.choice == choice {
            return Ok((Vec::new(), Reply::Decided { decision: id, again: true }));
        }
        let by = Box::new(answer.by.clone());
        return Err(Rejection::AlreadyDecided { choice: answer.choice.clone(), by, at: answer.at });
    }
    let gone = match &decision.state {
        DecisionState::Open | DecisionState::Answered(_) => None,
        DecisionState::Withdrawn(why) => Some(format!("{id} was withdrawn: {why}")),
        DecisionState::Expired(at) => Some(format!("{id} expired at {at}: nobody had answered by then")),
    };
    if let Some(gone) = gone {
        return Err(Rejection::NoLongerAsked(gone, asked_again(state, decision)));
    }
    if !decision.options.iter().any(|option| option.id == choice) {
        let options: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
        let near = plan::nearest(&choice, options.iter().copied());
        let hint = match near {
            Some(near) => format!("did you mean {near:?}? The options are {}", options.join(", ")),
            None => format!("the options are {}", options.join(", ")),
        };
        return Err(Rejection::Invalid(format!("{id} has no option {choice:?}"), hint));
    }
    let answer = make(choice);
    Ok((vec![Event::DecisionAnswered { decision: id, answer }], Reply::Decided { decision: id, again: false }))
}

/// How to have a question again that is asked no more.
fn asked_again(state: &State, decision: &Decision) -> String {
    let task = decision.task.and_then(|task| state.task(task));
    match task.filter(|task| task.settled() == Some(Settled::Cancelled)) {
        Some(task) => format!("`orchestrator retry {}` does its task anew, and asks again", task.id),
        None => "`orchestrator decide` lists what is open".to_owned(),
    }
}

/// "Always" or "never" for the kind of action that a decision is about. What cannot be remembered is refused before the
/// answer is taken.
fn remembered(
    state: &State,
    id: DecisionId,
    choice: &str,
    by: &By,
    remember: Remember,
    ctx: &Ctx,
) -> Result<Option<Event>, Rejection> {
    let reach = |run: RunId| match remember {
        Remember::Once => None,
        Remember::Run => Some(Reach::Run(run)),
        Remember::Always => Some(Reach::Always),
    };
    let decision = state.decisions.get(&id).ok_or_else(|| Rejection::NotFound(format!("decision {id}")))?;
    let Some(reach) = reach(decision.run) else { return Ok(None) };
    let invalid = |what: String, hint: &str| Err(Rejection::Invalid(what, hint.to_owned()));
    if by.kind != "person" {
        return invalid("only a person's answer is remembered".to_owned(), "answer with `remember` = once");
    }
    let Some(case) = &decision.case else {
        let hint = "answer with `remember` = once; only permissions are of a kind";
        return invalid(format!("{id} is no kind of action that a rule could cover"), hint);
    };
    let yes = choice == "allow";
    if !learned::may_hold(ctx.settings, case, yes) {
        let hint = "answer with `remember` = once; critical, irreversible and production actions are asked each time";
        return invalid(format!("{id} cannot be allowed for good"), hint);
    }
    let same = |rule: &&Remembered| rule.decision == id && rule.reach == reach && rule.yes == yes;
    if state.learned.rules.iter().find(same).is_some() {
        // The same word again.
        return Ok(None);
    }
    let number = state.learned.remembered + 1;
    let rule = Remembered {
        id: format!("{}-{number}", if yes { "always" } else { "never" }),
        reach,
        sort: case.sort.clone(),
        production: case.production,
        criticality: case.criticality,
        reversible: case.reversible,
        yes,
        decision: id,
        at: ctx.now,
    };
    Ok(Some(Event::RuleRemembered { rule: Box::new(rule) }))
}

fn cancel_run(state: &State, id: RunId) -> Result<(Vec<Event>, Reply), Rejection> {
    let run = running(state, id)?;
    if run.cancelled {
        return Ok((Vec::new(), Reply::None));
    }
    let mut events = vec![Event::RunCancelAsked { run: id }];
    if run.state == RunState::Completing {
        // Final checks that have not begun are left out, and publication is due at once.
        events.push(Event::RunMoved { run: id, to: RunState::Completing, trigger: Trigger::Cancel });
    }
    Ok((events, Reply::None))
}

fn cancel_task(state: &State, id: TaskId) -> Result<(Vec<Event>, Reply), Rejection> {
    let found = task(state, id)?;
    if let Some(settled) = found.settled() {
        let hint = format!("see: orchestrator why {id}");
        return Err(Rejection::Invalid(format!("{id} is over: {}", settled.word()), hint));
    }
    let mut events = vec![Event::TaskCancelAsked { task: id }];
    match found.state {
        // Its job is stopped and reports; the attempt's end settles the task.
        TaskState::Trying if found.current().is_some_and(|(id, live)| super::effect::job_of(id, live).is_some()) => {}
        TaskState::Trying if found.current().is_some_and(|(_, live)| live.phase == Phase::Advancing) => {
            let hint = format!("undo its run's result instead: orchestrator undo {}", found.run);
            return Err(Rejection::Invalid(format!("{id} is landing this very moment"), hint));
        }
        TaskState::Trying
            if found.current().is_some_and(|(_, live)| matches!(live.phase, Phase::Probing | Phase::Compensating)) =>
        {
            let hint = format!("see: orchestrator why {id}");
            return Err(Rejection::Invalid(format!("{id} failed, and its effect outside is being taken back"), hint));
        }
        _ => {
            if let TaskState::Asking(decision) = found.state {
                events.push(Event::DecisionWithdrawn { decision, why: format!("{id} was cancelled") });
            }
            events.push(super::land::stopped(state, found, "cancelled"));
        }
    }
    Ok((events, Reply::None))
}

fn retry(state: &State, id: RunId, only: Option<TaskId>) -> Result<(Vec<Event>, Reply), Rejection> {
    let run = state.run(id).ok_or_else(|| Rejection::NotFound(format!("run {id}")))?;
    if !run.ended() {
        going(state, id)?;
    }
    if let Some(task) = only {
        let found = self::task(state, task)?;
        if found.run != id {
            let hint = format!("it belongs to {}", found.run);
            return Err(Rejection::Invalid(format!("{task} is not a task of {id}"), hint));
        }
    }
    let again = |task: &TaskId| {
        state.task(*task).and_then(super::task::Task::settled).is_some_and(|settled| settled != Settled::Completed)
    };
    let tasks: Vec<TaskId> = match only {
        Some(task) if again(&task) => {
            // What was blocked because of it goes with it.
            let position = state.tasks[&task].position;
            let needs = run.tasks.iter().map(|task| state.tasks[task].spec.needs.as_slice());
            let graph = super::graph::Graph::from_needs(needs).unwrap_or_default();
            let after = graph.descendants(position).into_iter().map(|position| run.tasks[position as usize]);
            std::iter::once(task).chain(after.filter(again)).collect()
        }
        Some(task) => {
            let found = self::task(state, task)?;
            let what = format!("{task} is {}", found.status());
            return Err(Rejection::Invalid(
                what,
                "only what failed, was blocked or cancelled can be tried again".into(),
            ));
        }
        None => run.tasks.iter().copied().filter(again).collect(),
    };
    if tasks.is_empty() {
        let hint = "only what failed, was blocked or cancelled can be tried again".to_owned();
        return Err(Rejection::Invalid(format!("nothing of {id} failed"), hint));
    }
    let mut events = Vec::new();
    if run.ended() {
        events.push(Event::RunReopened { run: id });
        events.extend(way_back_in(id));
    }
    events.extend(tasks.iter().map(|task| Event::TaskReopened { task: *task }));
    Ok((events, Reply::Reopened(tasks)))
}

/// The machine's way from IDLE back to work: a new start, all of whose early stages are done.
fn way_back_in(run: RunId) -> impl Iterator<Item = Event> {
    let path = [
        (RunState::Analyzing, Trigger::Start),
        (RunState::Planning, Trigger::Plan),
        (RunState::Executing, Trigger::Execute),
        (RunState::Monitoring, Trigger::Monitor),
    ];
    path.into_iter().map(move |(to, trigger)| Event::RunMoved { run, to, trigger })
}

/// A session's word does not bring a result in where a person wants to say so.
fn ask_to_apply(state: &State, id: RunId, tasks: Vec<TaskId>, ctx: &Ctx) -> Result<(Vec<Event>, Reply), Rejection> {
    let applied = apply(state, id, tasks.clone())?;
    let run = &state.runs[&id];
    if decide::mode::session_may_apply(run) {
        return Ok(applied);
    }
    if let Some(decision) = decide::mode::offered(state, run) {
        return Ok((Vec::new(), Reply::Asked(decision)));
    }
    if !tasks.is_empty() || !run.ended() {
        let hint = format!("tell the person you work for: orchestrator apply {id}");
        return Err(Rejection::Invalid(format!("a part of {id} is a person's to bring in"), hint));
    }
    let decision = DecisionId(state.last.decision + 1);
    Ok((vec![decide::mode::ask_apply(state, ctx, run)], Reply::Asked(decision)))
}

pub(super) fn apply(state: &State, id: RunId, tasks: Vec<TaskId>) -> Result<(Vec<Event>, Reply), Rejection> {
    let run = state.run(id).ok_or_else(|| Rejection::NotFound(format!("run {id}")))?;
    idle_checkout(state, id)?;
    if run.landed.is_empty() {
        let hint = if run.ended() { format!("see: orchestrator report {id}") } else { "wait for it".to_owned() };
        return Err(Rejection::Invalid(format!("nothing of {id} has landed, so there is nothing to apply"), hint));
    }
    for task in &tasks {
        if !run.landed.iter().any(|(attempt, _)| attempt.task == *task) {
            let landed: Vec<String> = run.landed.iter().map(|(attempt, _)| attempt.task.to_string()).collect();
            let hint = format!("landed: {}", landed.join(", "));
            return Err(Rejection::Invalid(format!("{task} has not landed in {id}"), hint));
        }
    }
    let number = run.applies.last().map_or(0, |apply| apply.number) + 1;
    Ok((vec![Event::ApplyBegun { run: id, tasks, number }], Reply::None))
}

/// What an editor wrote into its buffers is in the checkout as soon as the user saves: it is an apply that is over.
fn placed(state: &State, id: RunId, mut placed: Apply) -> Result<(Vec<Event>, Reply), Rejection> {
    apply(state, id, placed.tasks.clone())?;
    placed.number = state.runs[&id].applies.last().map_or(0, |apply| apply.number) + 1;
    Ok((vec![Event::Applied { run: id, apply: placed }], Reply::None))
}

/// The editor has done it; there is nothing to write.
fn taken_out(state: &State, id: RunId) -> Result<(Vec<Event>, Reply), Rejection> {
    undo(state, id)?;
    let applies = state.runs[&id].applies.iter().rev();
    match applies.into_iter().find(|apply| apply.undone_at.is_none()) {
        Some(apply) if apply.in_editor => {
            Ok((vec![Event::Undone { run: id, number: apply.number, paths: apply.paths.clone() }], Reply::None))
        }
        _ => {
            let hint = format!("orchestrator undo {id} takes it out");
            Err(Rejection::Invalid(format!("{id} was not brought in by an editor"), hint))
        }
    }
}

fn undo(state: &State, id: RunId) -> Result<(Vec<Event>, Reply), Rejection> {
    let run = state.run(id).ok_or_else(|| Rejection::NotFound(format!("run {id}")))?;
    idle_checkout(state, id)?;
    match run.applies.iter().rev().find(|apply| apply.undone_at.is_none()) {
        Some(apply) => Ok((vec![Event::UndoBegun { run: id, number: apply.number }], Reply::None)),
        None => {
            let hint = format!("orchestrator apply {id} brings it into the checkout");
            Err(Rejection::Invalid(format!("{id} is not applied"), hint))
        }
    }
}

/// Two results cannot enter the checkout at once.
fn idle_checkout(state: &State, id: RunId) -> Result<(), Rejection> {
    let checkout = &state.runs[&id].request.checkout;
    match state.runs.values().find(|run| run.bringing.is_some() && run.request.checkout == *checkout) {
        Some(busy) => {
            let what = format!("{} is being applied or undone right now", busy.id);
            Err(Rejection::Invalid(what, "try again in a moment".to_owned()))
        }
        None => Ok(()),
    }
}

fn save(
    state: &State,
    only: Option<RunId>,
    label: String,
    position: u64,
    ctx: &Ctx,
) -> Result<(Vec<Event>, Reply), Rejection> {
    if let Some(run) = only {
        state.run(run).ok_or_else(|| Rejection::NotFound(format!("run {run}")))?;
    }
    let runs = state.runs.values().filter(|run| only.map_or(!run.ended(), |only| only == run.id));
    let runs = runs.filter_map(|run| {
        let tip = run.tip.clone().or_else(|| {
            run.base.as_ref().map(|base| super::run::Tip { commit: base.commit.clone(), tree: base.tree.clone() })
        })?;
        Some((run.id, run.landed.len() as u32, tip))
    });
    let id = CheckpointId(state.last.checkpoint + 1);
    let checkpoint = Checkpoint { id, at: ctx.now, label, position, runs: runs.collect() };
    Ok((vec![Event::CheckpointSaved { checkpoint }], Reply::Checkpoint(id)))
}

fn restore(state: &State, id: CheckpointId) -> Result<(Vec<Event>, Reply), Rejection> {
    let checkpoint = state.checkpoints.get(&id).ok_or_else(|| Rejection::NotFound(format!("checkpoint {id}")))?;
    let mut events = Vec::new();
    let mut reopened = Vec::new();
    for (run_id, landed, tip) in &checkpoint.runs {
        let Some(run) = state.run(*run_id) else { continue };
        if run.landed.len() as u32 <= *landed {
            continue;
        }
        let same = landed.checked_sub(1).is_none_or(|last| run.landed[last as usize].1 == tip.commit);
        if !same {
            let what = format!("{run_id} was set back further since {id} was saved, so {id} is no part of its history");
            return Err(Rejection::Stale(what));
        }
        if !run.ended() {
            going(state, *run_id)?;
        }
        if run.bringing.is_some() {
            let hint = "try again in a moment".to_owned();
            return Err(Rejection::Invalid(format!("{run_id} is being applied or undone right now"), hint));
        }
        let trying = state.index.runs.get(run_id).is_some_and(|index| index.trying() > 0);
        if trying {
            let hint = format!("wait until nothing of it runs, or cancel it: orchestrator cancel {run_id}");
            return Err(Rejection::Invalid(format!("{run_id} has attempts under way"), hint));
        }
        // What was built on those landings falls with them.
        let needs = run.tasks.iter().map(|task| state.tasks[task].spec.needs.as_slice());
        let graph = super::graph::Graph::from_needs(needs).unwrap_or_default();
        let mut positions = std::collections::BTreeSet::new();
        for (attempt, _) in &run.landed[*landed as usize..] {
            let position = state.tasks[&attempt.task].position;
            positions.insert(position);
            positions.extend(graph.descendants(position));
        }
        let fallen = positions.into_iter().map(|position| &state.tasks[&run.tasks[position as usize]]);
        let fallen: Vec<&Task> = fallen.filter(|task| task.state != TaskState::Waiting).map(Box::as_ref).collect();
        for task in &fallen {
            if let TaskState::Asking(decision) = task.state {
                let why = format!("{run_id} was set back to {id}");
                events.push(Event::DecisionWithdrawn { decision, why });
            }
        }
        let tasks: Vec<TaskId> = fallen.iter().map(|task| task.id).collect();
        reopened.extend(tasks.iter().copied());
        if run.ended() {
            events.push(Event::RunReopened { run: *run_id });
            events.extend(way_back_in(*run_id));
        }
        events.push(Event::CheckpointRestored {
            checkpoint: id,
            run: *run_id,
            landed: *landed,
            commit: tip.commit.clone(),
            tree: tip.tree.clone(),
            tasks,
        });
    }
    Ok((events, Reply::Reopened(reopened)))
}

/// A session takes a task that is offered.
fn claim(state: &State, only: Option<TaskId>, holder: &str, ctx: &mut Ctx) -> Result<(Vec<Event>, Reply), Rejection> {
    let candidates: Vec<&Task> = match only {
        Some(id) => {
            let found = task(state, id)?;
            if let Some(holder) = found.current().and_then(|(_, live)| Some(&live.agent()?.allocation.agent)) {
                let what = format!("{id} is taken: {holder} works on it");
                return Err(Rejection::Invalid(what, "leave task_id out for any other that is offered".to_owned()));
            }
            if !coordinate::offered(state, found) {
                let what = format!("{id} is not offered: it is {}", found.status());
                let hint = "only agent tasks that are due, or that no agent can do, are offered to sessions".to_owned();
                return Err(Rejection::Invalid(what, hint));
            }
            vec![found]
        }
        None => {
            let runs = state.index.runs.keys().filter_map(|run| state.run(*run));
            let tasks = runs.flat_map(|run| &run.tasks).filter_map(|task| state.task(*task));
            tasks.filter(|task| coordinate::offered(state, task)).collect()
        }
    };
    let mut why = String::new();
    for found in candidates {
        let attempt = super::execute::next_attempt(found);
        match coordinate::lease(state, ctx, found, holder) {
            Ok(events) => return Ok((events, Reply::Claimed(attempt))),
            Err(reason) => why = reason,
        }
    }
    match only {
        Some(id) => Err(Rejection::Invalid(
            format!("{id} cannot start now: {why}"),
            "ask again when something has ended".into(),
        )),
        None => Ok((Vec::new(), Reply::NothingOffered)),
    }
}

/// What an agent says of its own attempt. Of one that is no longer current, it is stale.
fn agent_word(state: &State, attempt: AttemptId, word: AgentWord, ctx: &Ctx) -> Result<(Vec<Event>, Reply), Rejection> {
    let known = task(state, attempt.task)?;
    let Some((found, live)) = state.live(attempt).filter(|(_, live)| live.agent().is_some()) else {
        let now = known.attempts.len();
        return Err(Rejection::Stale(format!(
            "{attempt} is over and its place is taken or free again ({} has had {now} attempts); what was left in the \
             lane is not looked at",
            attempt.task
        )));
    };
    let handed_in = live.phase != Phase::Running || live.end.is_some();
    let mut events = Vec::new();
    let until = live.agent().and_then(|part| part.allocation.lease_until);
    if let Some(until) = until.filter(|_| live.holds_lease()) {
        let renewed = coordinate::lease_until(ctx.now);
        // A call a second must not fill the journal: a lease that is nearly new is new enough.
        if renewed.0.saturating_sub(until.0) >= LEASE_STEP_MS {
            events.push(Event::LeaseRenewed { attempt, until: renewed });
        }
    }
    match word {
        AgentWord::Present => {}
        AgentWord::Progress(percent) => {
            if percent.is_some() {
                events.push(Event::AgentSpoke { attempt, session: None, usage: None, percent });
            }
        }
        AgentWord::Note(text) => {
            events.push(Event::NoteAdded { run: found.run, note: Note { by: attempt, at: ctx.now, text } });
        }
        AgentWord::Done(_) | AgentWord::Failed(_) if handed_in => {
            let hint = "wait for what the checks say: it is verified now".to_owned();
            return Err(Rejection::Invalid(format!("{attempt} is not being worked on: {}", found.status()), hint));
        }
        // One that we run ends when its process does; its word is noted, and the checks decide.
        AgentWord::Done(_) | AgentWord::Failed(_) if until.is_none() => {}
        AgentWord::Done(said) => events.push(handed_over(attempt, live, ctx, End::Exit(0), said)),
        AgentWord::Failed(said) => events.push(handed_over(attempt, live, ctx, End::Exit(1), said)),
    }
    Ok((events, Reply::None))
}

/// How much longer a lease must get for it to be stored, milliseconds.
const LEASE_STEP_MS: u64 = 30_000;

/// A session hands its attempt in.
fn handed_over(attempt: AttemptId, live: &Attempt, ctx: &Ctx, end: End, said: String) -> Event {
    let done = end.success();
    let tail = if done { String::new() } else { said.clone() };
    let agent = Box::new(AgentEnd { done, said, ..AgentEnd::default() });
    Event::AttemptRan {
        attempt,
        end,
        started_at: live.started_at.unwrap_or(live.claimed_at),
        ended_at: ctx.now,
        tail,
        agent: Some(agent),
    }
}

fn running(state: &State, id: RunId) -> Result<&super::run::Run, Rejection> {
    let run = state.run(id).ok_or_else(|| Rejection::NotFound(format!("run {id}")))?;
    match run.outcome {
        Some(outcome) => {
            let hint = format!("orchestrator retry {id} tries what failed again");
            Err(Rejection::Invalid(format!("{id} is over: {}", outcome.word()), hint))
        }
        None => Ok(run),
    }
}

/// A run that can take up more work: not over, and not on its way there.
fn going(state: &State, id: RunId) -> Result<&super::run::Run, Rejection> {
    let run = running(state, id)?;
    let ending = run.cancelled || run.stopping || run.state == RunState::Completing;
    if ending {
        let hint = "wait until it is over".to_owned();
        return Err(Rejection::Invalid(format!("{id} is coming to its end"), hint));
    }
    Ok(run)
}

fn task(state: &State, id: TaskId) -> Result<&Task, Rejection> {
    state.task(id).ok_or_else(|| Rejection::NotFound(format!("task {id}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Input, Rng, Settings, step},
        time::Timestamp,
    };

    fn give(state: &mut State, command: Command) -> Result<Reply, Rejection> {
        let (settings, rng) = (Settings::default(), &mut Rng(1));
        step(state, Input::Command(command), &mut Ctx { now: Timestamp(1), rng, settings: &settings })
            .map(|step| step.reply)
    }

    fn save(key: &str, call: &str) -> Command {
        let save = Command::SaveCheckpoint { run: None, label: String::new(), position: 1 };
        Command::Keyed { key: key.into(), call: call.into(), command: Box::new(save) }
    }

    #[test]
    fn a_call_made_again_with_its_key_is_done_once() {
        let mut state = State::default();
        let first = give(&mut state, save("a", "save_checkpoint"));
        assert_eq!(first, Ok(Reply::Checkpoint(CheckpointId(1))));
        let mut state: State = serde_json::from_value(serde_json::to_value(&state).unwrap()).unwrap();
        assert_eq!(give(&mut state, save("a", "save_checkpoint")), first);
        assert_eq!(state.checkpoints.len(), 1);
        assert_eq!(give(&mut state, save("b", "save_checkpoint")), Ok(Reply::Checkpoint(CheckpointId(2))));
        let other = give(&mut state, save("a", "undo"));
        assert!(matches!(other, Err(Rejection::Invalid(_, _))), "a key is for one call: {other:?}");
        // What was refused is no answer that is kept.
        let undo = |key: &str| Command::Keyed {
            key: key.into(),
            call: "undo".into(),
            command: Command::Undo(RunId(9)).into(),
        };
        assert!(give(&mut state, undo("c")).is_err() && give(&mut state, undo("c")).is_err());
        assert_eq!(state.answered.len(), 2);
        for number in 0..600 {
            give(&mut state, save(&format!("k{number}"), "save_checkpoint")).unwrap();
        }
        assert_eq!(state.answered.len(), 512, "the newest few are kept");
    }
}
