//! Why a task, or one attempt at it, is where it is.

use super::{Chain, decided};
use crate::{
    api::{ApiError, Code, reply::BaseState},
    core::{
        agent::Candidate,
        confine, effect, execute,
        job::{End, JobId},
        plan::spec::{Effect, Kind},
        prove::CheckResult,
        room::{Room, Waiter},
        run::{Proving, Run, RunState, Shared},
        task::{Attempt, Phase, Settled, Task, TaskState},
    },
    daemon::{
        agents,
        convert::{View, check, report::why_and_tail, task::ahead, words},
    },
    ids::{AttemptId, TaskId},
};

/// Explains a task, or only one attempt of it, and returns a line about that.
pub fn explain(view: &View<'_>, id: TaskId, only: Option<u32>, chain: &mut Chain) -> Result<String, ApiError> {
    let found = view.task(id)?;
    let run = view.run(found.run)?;
    let Some(task) = view.state.task(id) else {
        chain.at(run.created_at, format!("it was promised to {}, whose plan lays it out", run.id));
        if let Some(at) = run.ended_at {
            chain.at(at, format!("{} ended: {}", run.id, words::first_line(&run.outcome_why, 160)));
        }
        return Ok(String::new());
    };
    if let Some(generation) = only {
        let Some(attempt) = task.attempt(generation) else {
            let made = words::plural(task.attempts.len(), "attempt");
            let hint = format!("{id} has had {made}; see: orchestrator why {id}");
            return Err(ApiError::new(Code::NotFound, format!("there is no attempt {id}.{generation}"), hint));
        };
        of_attempt(run, task, generation, attempt, chain);
        let end = check::end(attempt).unwrap_or_else(|| words::phase(attempt.phase).to_owned());
        return Ok(format!("{id}.{generation}: {end}"));
    }
    needs(view, run, task, chain);
    for (generation, attempt) in (1u32..).zip(&task.attempts) {
        of_attempt(run, task, generation, attempt, chain);
    }
    for decision in view.state.decisions.values().filter(|decision| decision.task == Some(id)) {
        decided(chain, decision);
    }
    standing(view, run, task, chain);
    Ok(String::new())
}

/// What it needed, as far as that says why it began when it did, or why it has not.
fn needs(view: &View<'_>, run: &Run, task: &Task, chain: &mut Chain) {
    let Some(run) = view.state.run(run.id) else { return };
    let needs: Vec<&Task> = view.needs(run, task).into_iter().filter_map(|need| view.state.task(need)).collect();
    let done = needs.iter().filter(|need| need.settled() == Some(Settled::Completed));
    let last = done.clone().filter_map(|need| Some((need.settled_at?, need.id))).max();
    match last {
        Some((at, need)) if done.count() == needs.len() => {
            chain.at(at, format!("its last dependency, {need}, completed"));
        }
        _ => {}
    }
    if needs.is_empty()
        && let Some(started) = run.started_at
    {
        chain.at(started, "it needs nothing, so it was due from the start");
    }
}

/// One attempt: handed out, worked, checked, landed or failed. Checks are stored with how long they took, so their
/// times follow from the end of the work.
fn of_attempt(run: &Run, task: &Task, generation: u32, attempt: &Attempt, chain: &mut Chain) {
    let id = AttemptId { task: task.id, generation };
    let lane = attempt.lane.map_or_else(|| "the shared reading lane".to_owned(), |lane| format!("lane {lane}"));
    match attempt.agent() {
        Some(part) => {
            let who = &part.allocation.agent;
            let how = match (part.allocation.resume, attempt.leased()) {
                (true, _) => format!("{who} goes on with attempt {generation}, in {lane}"),
                (false, true) => format!("{who} claimed attempt {generation}, in {lane}"),
                (false, false) => format!("attempt {generation} was given to {who}, in {lane}"),
            };
            chain.at_with(attempt.claimed_at, how, &receipt(&part.allocation.candidates));
        }
        None => chain.at(attempt.claimed_at, format!("attempt {generation} was handed out, in {lane}")),
    }
    let more = attempt.more.as_deref();
    let mut at = attempt.ended_at.or(attempt.started_at).unwrap_or(attempt.claimed_at);
    if let Some(end) = &attempt.end {
        let took = attempt.started_at.map_or(0.0, |start| at.seconds_since(start));
        let tail = more.map_or("", |more| more.tail.as_str());
        let took = words::duration(took);
        let text = match attempt.agent() {
            // What it was told is no command; how its program ended says little, its last words more.
            Some(part) => {
                let said = part.end.as_ref().map_or("", |end| end.said.trim());
                let said = match words::first_line(said, 160) {
                    said if said.is_empty() => String::new(),
                    said => format!(": {said}"),
                };
                let how = if end.success() { "stopped".to_owned() } else { format!("ended with {end}") };
                format!("{} {how} after {took}{said}", part.allocation.agent)
            }
            None => format!("`{}` ended with {end} after {took}", words::work_line(&task.spec)),
        };
        chain.at_with(at, text, if end.success() { "" } else { tail });
    }
    if let Some(diff) = more.and_then(|more| more.diff).filter(|diff| diff.files > 0) {
        let files = words::plural(diff.files as usize, "file");
        chain.at(at, format!("it changed {files} (+{} -{})", diff.insertions, diff.deletions));
    }
    let all = effect::checks(run, task);
    let (own, merged) = more.map_or((&[][..], &[][..]), |more| (&more.checks, &more.rechecks));
    for (results, place) in [(own, ""), (merged, " on the tree merged with what had landed")] {
        for (index, result) in results.iter().enumerate() {
            at = at.plus_ms((result.seconds * 1000.0) as u64);
            let command = all.get(index).map_or_else(|| format!("check {index}"), |argv| words::shell_line(argv));
            let base = all.get(index).map_or(BaseState::Unknown, |argv| check::base(run, argv));
            chain.at_with(at, checked(&command, result, base, place), &result.tail);
        }
    }
    if let Some(failure) = more.and_then(|more| more.failure.as_ref()) {
        let message = words::first_line(&failure.message, 200);
        let by = failure.pattern.as_ref().map(|id| format!(", by your pattern `{id}`")).unwrap_or_default();
        chain.at(at, format!("attempt {generation} failed ({}{by}): {message}", failure.class));
    }
    if let Some((_, commit)) = run.landed.iter().find(|(landed, _)| *landed == id) {
        let commit: String = commit.chars().take(12).collect();
        chain.at(task.settled_at.unwrap_or(at), format!("its change landed as {commit}"));
    }
    if attempt.phase != Phase::Over {
        chain.now(format!("attempt {generation} is under way: {}", words::phase(attempt.phase)));
    }
}

/// Who was looked at for an attempt, the winner first, each with its numbers or with what ruled it out.
fn receipt(candidates: &[Candidate]) -> String {
    let line = |candidate: &Candidate| match &candidate.out {
        Some(out) => format!("{}: out, {out}", candidate.agent),
        None => {
            let score = candidate.score;
            format!(
                "{}: {:.2} = 40% match {:.2} + 30% free {:.2} + 20% record {:.2} + 10% speciality {:.2}",
                candidate.agent, score.total, score.fit, score.load, score.history, score.specialization
            )
        }
    };
    candidates.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn checked(command: &str, result: &CheckResult, base: BaseState, place: &str) -> String {
    if result.passed() {
        let mended = if base == BaseState::Failed { "; it was red on the untouched base" } else { "" };
        return format!("`{command}` passed{place}{mended}");
    }
    let before = match base {
        BaseState::Passed => "it passed on the untouched base",
        BaseState::Failed => "it was red on the untouched base as well",
        BaseState::Unknown => "what it says of the untouched base is not known",
    };
    let how = match &result.end {
        End::NotStarted(why) => format!("could not start ({})", words::first_line(why, 120)),
        end => format!("failed ({end})"),
    };
    format!("`{command}` {how}{place}; {before}")
}

/// What holds now: why it is over, or why it does not go on.
fn standing(view: &View<'_>, run: &Run, task: &Task, chain: &mut Chain) {
    if task.cancelled && task.settled().is_none() {
        chain.now("somebody cancelled it; it is over as soon as what runs for it is");
    }
    confined(view, run, task, chain);
    match task.state {
        TaskState::Settled(how) => settled(view, run, task, how, chain),
        TaskState::Waiting => waiting(view, run, task, chain),
        TaskState::Ready => ready(view, run, task, chain),
        TaskState::Retry(at) => {
            let wait = words::duration(at.seconds_since(view.now()));
            let count = task.attempts.len();
            chain.now(format!("it is tried again in {wait}, after {}", words::plural(count, "failed attempt")));
        }
        TaskState::Trying => {
            let waiter = task.current().map(|(attempt, _)| Waiter::Attempt(attempt));
            if let Some(room) = &view.state.room
                && waiter.is_some_and(|waiter| room.waiting.contains(&waiter))
            {
                chain.now(format!("its lane waits for room on the disk: {}", no_room(view, room)));
            }
        }
        // One that is its own is told with the decision.
        TaskState::Asking(decision) => {
            let run_wide = view.state.decisions.get(&decision).filter(|decision| decision.task.is_none());
            if let Some(asked) = run_wide {
                chain.now(format!("it waits for {decision}: {}. {}", asked.question, asked.detail));
            }
        }
    }
}

/// Whether its commands may write to the lane only, where that is worth a word: always where one was refused a write,
/// for then that may be why.
fn confined(view: &View<'_>, run: &Run, task: &Task, chain: &mut Chain) {
    let Some((generation, last)) = (1..).zip(&task.attempts).last() else { return };
    let job = JobId::Attempt(AttemptId { task: task.id, generation });
    if !confine::of_task(view.settings, run, task, job) || agents::sandbox::abi() == 0 {
        return;
    }
    let refused = |text: &str| text.contains("Permission denied") || text.contains("EACCES");
    let more = last.more.as_deref();
    let checks = more.iter().flat_map(|more| more.checks.iter().chain(&more.rechecks)).filter(|check| !check.passed());
    let failed =
        task.settled().is_some_and(|how| how != Settled::Completed) || more.is_some_and(|more| more.failure.is_some());
    if failed && more.map(|more| &*more.tail).into_iter().chain(checks.map(|check| &*check.tail)).any(refused) {
        chain.now(
            "its commands may write to the lane and to caches only (Landlock), and something was refused: name what they \
             need in config.toml (`[sandbox] writable = [\"/path\"]`), or give the task sandbox = \"off\""
                .to_owned(),
        );
    }
}

fn settled(view: &View<'_>, run: &Run, task: &Task, how: Settled, chain: &mut Chain) {
    let at = task.settled_at.unwrap_or_else(|| view.now());
    let (why, tail) = why_and_tail(task);
    let text = match how {
        Settled::Completed if why.is_empty() => "it completed".to_owned(),
        Settled::Completed => format!("it completed: {why}"),
        Settled::Failed => format!("it failed for good: {why}"),
        Settled::Undone => format!("its change was taken back: {why}"),
        Settled::Blocked => format!("it is blocked: {why}"),
        Settled::Cancelled if why.is_empty() || why == "cancelled" => "it was cancelled".to_owned(),
        Settled::Cancelled => format!("it was cancelled: {why}"),
        Settled::Stuck => format!("it is stuck: {why}"),
    };
    if how == Settled::Blocked {
        root_cause(view, run, task, chain);
    }
    chain.at_with(at, text, if how == Settled::Completed { "" } else { &tail });
    if how != Settled::Completed {
        chain.now(check::next(view, task).0);
    }
}

/// From a blocked task back to what failed: each step once, the cause before its consequence.
fn root_cause(view: &View<'_>, run: &Run, task: &Task, chain: &mut Chain) {
    let Some(run) = view.state.run(run.id) else { return };
    let mut blocked = task;
    let mut steps = Vec::new();
    // A plan has no cycles, so this ends; the bound is for damage.
    for _ in 0..run.tasks.len() {
        let needs = view.needs(run, blocked);
        let bad = |need: &&Task| need.settled().is_some_and(|how| how != Settled::Completed);
        let Some(cause) = needs.iter().filter_map(|need| view.state.task(*need)).find(bad) else { break };
        steps.push((blocked, cause));
        if cause.settled() != Some(Settled::Blocked) {
            break;
        }
        blocked = cause;
    }
    for (blocked, cause) in steps.into_iter().rev() {
        let at = cause.settled_at.unwrap_or(run.created_at);
        let how = words::task_state(cause).name();
        let (why, tail) = why_and_tail(cause);
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let text = format!("{} ({}), which {} needs, is {how}{why}", cause.id, cause.spec.title(), blocked.id);
        chain.at_with(at, text, &tail);
    }
}

fn waiting(view: &View<'_>, run: &Run, task: &Task, chain: &mut Chain) {
    let Some(run) = view.state.run(run.id) else { return };
    before_the_run(view, run, chain);
    for need in view.needs(run, task).into_iter().filter_map(|need| view.state.task(need)) {
        if need.settled() != Some(Settled::Completed) {
            let state = words::task_state(need).name().replace('_', " ");
            chain.now(format!("it needs {} ({}), which is {state}", need.id, need.spec.title()));
        }
    }
}

/// What stands before all tasks of a run; whether anything does.
fn before_the_run(view: &View<'_>, run: &Run, chain: &mut Chain) -> bool {
    let mut found = false;
    let mut add = |text: String| {
        chain.now(text);
        found = true;
    };
    for decision in view.open_decisions(run.id).filter(|decision| decision.task.is_none()) {
        add(format!("{} waits for an answer to {}: {}", run.id, decision.id, decision.question));
    }
    match run.state {
        RunState::Idle | RunState::Analyzing | RunState::Planning => {
            add(format!("{} is {}: its first tasks are not handed out yet", run.id, run.state));
        }
        RunState::Completing | RunState::Error => add(format!("{} is {}: nothing new starts", run.id, run.state)),
        RunState::Executing | RunState::Monitoring | RunState::Escalating => {}
    }
    if run.cancelled {
        add(format!("{} is being cancelled", run.id));
    } else if let Some(limit) = run.exhausted {
        add(format!("{} has used up what it may use ({})", run.id, limit.word()));
    } else if run.stopping {
        add(format!("a task of {} failed and its plan stops then", run.id));
    }
    found
}

/// Why a task that is due has not started: what `execute` goes by, in its order.
fn ready(view: &View<'_>, run: &Run, task: &Task, chain: &mut Chain) {
    let Some(run) = view.state.run(run.id) else { return };
    chain.now("everything it needs is done: it is due");
    let in_the_way = before_the_run(view, run, chain);
    let Some(index) = view.state.index.runs.get(&run.id) else { return };
    let jobs = run.jobs(view.settings.workers);
    let lanes_full = view.state.free_lane(view.settings.lanes_max).is_none();
    let all_held = match &view.state.room {
        Some(room) => no_room(view, room),
        None => {
            let all = words::plural(view.state.lanes_allowed(view.settings.lanes_max) as usize, "lane");
            match view.state.asking() {
                0 => format!("all {all} of this workspace are held"),
                asking => format!("all {all} of this workspace are held, {asking} of them by tasks that wait for you"),
            }
        }
    };
    let shared =
        index.reads_base.get(task.position as usize).copied().unwrap_or(false) && task.spec.kind() == Kind::Shell;
    let mut found = in_the_way;
    let mut add = |text: String| {
        chain.now(text);
        found = true;
    };
    if shared {
        match run.shared {
            Shared::Preparing(lane) => add(format!("the reading lane {lane} is being laid out")),
            Shared::None if lanes_full => add(format!("it waits for the reading lane: {all_held}")),
            Shared::None => {}
            Shared::Ready(_) if index.trying_shared >= jobs => {
                let running = words::plural(index.trying_shared as usize, "reading task");
                add(format!("{running} are handed out already, and {jobs} run at once"));
            }
            Shared::Inspecting(lane) => add(format!("the reading lane {lane} is looked at for changes first")),
            Shared::Ready(_) => {}
        }
    } else if matches!(task.spec.kind(), Kind::Shell) {
        let base_due = run.baseline.iter().any(|check| check.result.is_none());
        if base_due && run.proving_base == Proving::Idle {
            let full = if lanes_full { format!(", for which it needs a lane: {all_held}") } else { String::new() };
            add(format!("the checks of the untouched base begin first{full}"));
        }
        let running: Vec<TaskId> = index.at_work(view.state).collect();
        if running.len() as u32 >= jobs {
            let all = words::plural(running.len(), "task");
            let verb = if running.len() == 1 { "runs" } else { "run" };
            add(format!("{all} {verb}, as many as {} may at once: {}", run.id, words::list(&running, 5)));
        }
        if lanes_full {
            add(all_held.clone());
        }
        for other in index.trying_own.iter().filter_map(|other| view.state.task(*other)) {
            if let Some(what) = clash(task, other) {
                add(format!("{what} {}, which is under way", other.id));
            }
        }
        if task.spec.effect == Effect::External && !task.approved {
            add("it has effects outside and will need a person's permission".to_owned());
        }
    }
    let before = ahead(view, run, task);
    match before.as_slice() {
        [] if found => {}
        [] => chain.now("it is next in line"),
        before => {
            let goes = if before.len() == 1 { "goes" } else { "go" };
            chain.now(format!("{} {goes} before it: {}", words::plural(before.len(), "task"), words::list(before, 5)));
        }
    }
}

/// That there is no room for a lane, since when, and when it is looked again.
fn no_room(view: &View<'_>, room: &Room) -> String {
    let (since, next) = (view.now().seconds_since(room.since), room.next.seconds_since(view.now()).max(0.0));
    format!("for {} {}; looked again in {}", words::duration(since), room.why, words::duration(next))
}

/// What two tasks must not have at once: as `execute` has it.
fn clash(task: &Task, other: &Task) -> Option<String> {
    let (own, theirs) = (task.spec.extras(), other.spec.extras());
    if let Some(token) = own.resources.iter().find(|token| theirs.resources.contains(token)) {
        return Some(format!("it wants the resource {token:?} that is held by"));
    }
    execute::clash(task, other).then(|| "it writes where something else may be written by".to_owned())
}
