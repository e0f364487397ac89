//! How events and effects are printed: one line each, ids stable, times left out.

use orchestrator::core::{
    Effect, Event, agent::AskVerdict, job::JobOrder, prove::CheckResult, room::Waiter, run::Outcome, state::State,
    task::Failure,
};

pub fn event(state: &State, event: &Event) -> String {
    match event {
        Event::RunAdded { run, .. } => format!("{run} added"),
        Event::RunSurveyed { run, .. } => format!("{run} surveyed"),
        Event::RunAnalyzed { run, .. } => format!("{run} analyzed"),
        Event::RunPlanned { run, info, first, tasks, as_asked, baseline } => {
            let base: Vec<String> = baseline.iter().map(|argv| argv.join(" ")).collect();
            let count = if *as_asked { state.run(*run).map_or(0, |run| run.tasks.len()) } else { tasks.len() };
            format!("{run} planned by {}: {count} tasks from {first}, base {base:?}", info.source)
        }
        Event::PlanAdopted { run, info, first, tasks, .. } => {
            format!("{run} planned by {}: {} tasks from {first}", info.source, tasks.len())
        }
        Event::RunApproved { run } => format!("{run} approved"),
        Event::RunMoved { run, to, trigger } => format!("{run} {trigger:?} -> {to}"),
        Event::RunStopping { run } => format!("{run} stopping"),
        Event::RunCancelAsked { run } => format!("{run} cancel asked"),
        Event::RunPublished { run, branch } => format!("{run} published {}", branch.as_deref().unwrap_or("-")),
        Event::RunEnded { run, outcome, why } => format!("{run} ended {}{}", word(*outcome), note(why)),
        Event::RunReopened { run } => format!("{run} reopened"),
        Event::RunsDropped { runs } => format!("{runs:?} dropped"),
        Event::CallRefused { by, what } => format!("{by} refused: {what}"),
        Event::RunNoted { run, note } => format!("{run} noted: {note}"),
        Event::TasksAdded { run, first, tasks } => format!("{run} +{} tasks from {first}", tasks.len()),
        Event::AttemptClaimed { attempt, lane, from, start, agent } => {
            let at = start.as_ref().or(from.as_ref());
            let place = match (lane, at) {
                (Some(lane), Some(at)) => format!("{attempt} claimed {lane} at {at}"),
                _ => format!("{attempt} claimed shared"),
            };
            match agent {
                Some(agent) => {
                    let how = match (agent.resume, agent.lease_until.is_some()) {
                        (true, _) => " again",
                        (false, true) => " on lease",
                        (false, false) => "",
                    };
                    format!("{place} by {}{how}", agent.agent)
                }
                None => place,
            }
        }
        Event::AgentSpoke { attempt, .. } => format!("{attempt} spoke"),
        Event::AgentAsked { attempt, ask } => format!("{attempt} asks {} {}", ask.request, ask.tool),
        Event::AskAnswered { attempt, request, verdict, by } => {
            format!("{attempt} told {request} {} by {by}", told(verdict))
        }
        Event::AskParked { attempt, request, .. } => format!("{attempt} told {request} not now"),
        Event::AskWithdrawn { attempt, request } => format!("{attempt} no longer asks {request}"),
        Event::LeaseRenewed { attempt, .. } => format!("{attempt} lease renewed"),
        Event::TaskParked { task, decision } => format!("{task} waits for {decision}"),
        Event::NoteAdded { run, note } => format!("{run} note of {}: {}", note.by, note.text),
        Event::AgentsAsked { run } => format!("{run} agents looked for"),
        Event::AgentsFound { run, agents } => {
            let agents: Vec<&str> = agents.iter().map(|agent| agent.id.as_str()).collect();
            format!("{run} agents [{}]", agents.join(" "))
        }
        Event::AccountLimited { account, .. } => format!("account {account} empty"),
        Event::AccountFree { account } => format!("account {account} free"),
        Event::KeysForgone { run } => format!("{run} goes on without its keys"),
        Event::RoomMissing { waiter, why } => format!("no room for {}: {why}", waits(*waiter)),
        Event::RoomSought { waiting } => format!("room sought for {}", all_waiting(waiting)),
        Event::RoomFound { waiting } => format!("room found; waiting: {}", all_waiting(waiting)),
        Event::CallAnswered { key, call, .. } => format!("{call} answered under {key}"),
        Event::AttemptPrepared { attempt, .. } => format!("{attempt} prepared"),
        Event::AttemptStarted { attempt, .. } => format!("{attempt} started"),
        Event::AttemptRan { attempt, end, .. } => format!("{attempt} ran {end}"),
        Event::AttemptHarvested { attempt, commit, .. } => format!("{attempt} harvested {commit}"),
        Event::AttemptMoved { attempt, to } => format!("{attempt} -> {to:?}"),
        Event::CheckEnded { attempt, merged, index, result } => {
            format!("{attempt} {}{index} {}", if *merged { "m" } else { "v" }, checked(result))
        }
        Event::AttemptMerged { attempt, commit, onto, .. } => format!("{attempt} merged {commit} onto {onto}"),
        Event::AttemptLanded { attempt, commit, .. } => format!("{attempt} landed {commit}"),
        Event::AttemptOver { attempt, failure } => format!("{attempt} over{}", failed(failure.as_ref())),
        Event::TaskSettled { task, how, why } => format!("{task} {}{}", how.word(), note(why)),
        Event::TaskRetry { task, .. } => format!("{task} retry"),
        Event::TaskReopened { task } => format!("{task} due again"),
        Event::TaskApproved { task } => format!("{task} allowed"),
        Event::TaskChosen { task, choice } => format!("{task} chosen {choice}"),
        Event::TaskCancelAsked { task } => format!("{task} cancel asked"),
        Event::DecisionOpened { decision } => {
            let options: Vec<&str> = decision.options.iter().map(|option| option.id.as_str()).collect();
            let task = decision.task.map_or(String::new(), |task| format!(" {task}"));
            format!("{} opened {}{task} [{}]", decision.id, decision.kind.word(), options.join(" "))
        }
        Event::DecisionAnswered { decision, answer } => format!("{decision} answered {}", answer.choice),
        Event::DecisionWithdrawn { decision, why } => format!("{decision} withdrawn{}", note(why)),
        Event::SharedPreparing { run, lane } => format!("{run} shared lane {lane}"),
        Event::SharedReady { run } => format!("{run} shared ready"),
        Event::SharedInspecting { run } => format!("{run} shared inspected"),
        Event::SharedFreed { run, undeclared: None } => format!("{run} shared freed"),
        Event::SharedFreed { run, undeclared: Some(undeclared) } => {
            let readers: Vec<String> = undeclared.readers.iter().map(ToString::to_string).collect();
            format!("{run} shared freed, {:?} changed by [{}]", undeclared.paths, readers.join(" "))
        }
        Event::UndeclaredAccepted { run } => format!("{run} undeclared accepted"),
        Event::TasksApart { run, tasks } => {
            let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            format!("{run} apart [{}]", tasks.join(" "))
        }
        Event::BudgetWarned { run, of } => format!("{run} budget warned: {}", of.word()),
        Event::BudgetReached { run, of } => format!("{run} budget reached: {}", of.word()),
        Event::BudgetRaised { run, minutes, spawns, usd, tokens, attempts, day } => {
            let day = day.map(|(_, usd)| usd);
            let agents = match (usd, tokens, attempts, day) {
                (None, None, None, None) => String::new(),
                more => format!(", usd, tokens, attempts, day {more:?}"),
            };
            format!("{run} budget raised: minutes {minutes:?}, spawns {spawns:?}{agents}")
        }
        Event::BasePreparing { run, lane } => format!("{run} base lane {lane}"),
        Event::BaseChecking { run, index } => format!("{run} base check {index}"),
        Event::BaseChecked { run, index, result } => format!("{run} base {index} {}", checked(result)),
        Event::BaseDropped { run } => format!("{run} base dropped"),
        Event::BaseFreed { run } => format!("{run} base freed"),
        Event::FinalPreparing { run, lane } => format!("{run} final lane {lane}"),
        Event::FinalChecking { run, index } => format!("{run} final check {index}"),
        Event::FinalChecked { run, index, result } => format!("{run} final {index} {}", checked(result)),
        Event::FinalFreed { run } => format!("{run} final freed"),
        Event::BisectBegun { run, check, good, bad } => {
            let good = good.map_or("?".to_owned(), |good| good.to_string());
            format!("{run} bisect {check}: {good}..{bad}")
        }
        Event::BisectLooked { run, green } => format!("{run} bisect {}", if *green { "green" } else { "red" }),
        Event::BisectEnded { run, why } => format!("{run} bisect ended{}", note(why)),
        Event::LandingUndone { run, culprit, commit, again, dropped, .. } => {
            let again: Vec<String> = again.iter().map(ToString::to_string).collect();
            let dropped: Vec<String> = dropped.iter().map(ToString::to_string).collect();
            format!(
                "{run} back to {commit} without {culprit}, again [{}], dropped [{}]",
                again.join(" "),
                dropped.join(" ")
            )
        }
        Event::AttemptRelanded { attempt, before, of: Some(of), lane, .. } => {
            format!("{attempt} lands {of}.{before}, in {lane}")
        }
        Event::AttemptRelanded { attempt, before, lane, .. } => format!("{attempt} lands {before} again, in {lane}"),
        Event::ApplyBegun { run, tasks, number } => format!("{run} apply {number} begun {tasks:?}"),
        Event::Applied { run, apply } => format!("{run} apply {} done", apply.number),
        Event::ApplyRefused { run, why, .. } => format!("{run} apply refused{}", note(why)),
        Event::UndoBegun { run, number } => format!("{run} undo {number} begun"),
        Event::Undone { run, number, .. } => format!("{run} undo {number} done"),
        Event::UndoRefused { run, why, .. } => format!("{run} undo refused{}", note(why)),
        Event::DecisionExpired { decision } => format!("{decision} expired"),
        Event::DecisionReminded { decision, command, .. } => format!("{decision} reminded {}", command.join(" ")),
        Event::LearningBegun { .. } => "learning begun".to_owned(),
        Event::Taught { label, .. } => {
            format!("label {:?} for {:?}: {}", label.how, label.case.sort, if label.yes { "yes" } else { "no" })
        }
        Event::Acted { act } => {
            format!("act {} {:?} by {:?}: {}", act.number, act.what, act.ground, if act.yes { "yes" } else { "no" })
        }
        Event::ActProven { number, right } => format!("act {number} {}", if *right { "right" } else { "wrong" }),
        Event::MilestoneReached { run, milestone } => format!("{run} reached {milestone}"),
        Event::MilestonePassed { run, milestone } => format!("{run} passed {milestone}"),
        Event::DeadlinePassed { run } => format!("{run} deadline passed"),
        Event::DeadlineTold { run, asked } => {
            format!("{run} deadline told {}", if *asked { "by a question" } else { "by a note" })
        }
        Event::AskedOutside { sort } => format!("asked outside about {sort}"),
        Event::ActUnknown { number } => format!("act {number} unknown"),
        Event::RuleRemembered { rule } => format!("{} remembered for {:?}", rule.id, rule.sort),
        Event::RuleForgotten { id } => format!("{id} forgotten"),
        Event::Trusted { hash } => format!("trusted {}", hash.as_deref().unwrap_or("-")),
        Event::CheckpointSaved { checkpoint } => {
            let runs: Vec<String> = checkpoint.runs.iter().map(|(run, landed, _)| format!("{run}:{landed}")).collect();
            format!("{} saved [{}]", checkpoint.id, runs.join(" "))
        }
        Event::CheckpointRestored { checkpoint, run, landed, tasks, .. } => {
            let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            let _ = state;
            format!("{run} back to {checkpoint}: {landed} landed, again [{}]", tasks.join(" "))
        }
    }
}

pub fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Survey { run } => format!("survey {run}"),
        Effect::PrepareLane { attempt, lane, commit, .. } => format!("prepare {lane} for {attempt} at {commit}"),
        Effect::PrepareShared { run, lane, commit } => format!("prepare {lane} for {run} shared at {commit}"),
        Effect::InspectShared { run, lane } => format!("inspect {lane} of {run}"),
        Effect::PrepareBase { run, lane, commit } => format!("prepare {lane} for {run} base at {commit}"),
        Effect::PrepareFinal { run, lane, commit } => format!("prepare {lane} for {run} final at {commit}"),
        Effect::FindAgents { run } => format!("find agents {run}"),
        Effect::Answer { attempt, request, verdict } => format!("answer {attempt} {request}: {}", told(verdict)),
        Effect::Start(JobOrder { id, lane, agent: Some(agent), .. }) => {
            format!("start {id} in {lane}: {} {}", agent.agent, if agent.resume { "goes on" } else { "begins" })
        }
        Effect::Start(JobOrder { id, lane, argv, .. }) => format!("start {id} in {lane}: {}", argv.join(" ")),
        Effect::Stop { job } => format!("stop {job}"),
        Effect::Limit { run, jobs } => format!("limit {run} {jobs}"),
        Effect::Harvest { attempt, lane, compare, .. } => {
            let comparing = if *compare { ", comparing exports" } else { "" };
            format!("harvest {attempt} in {lane}{comparing}")
        }
        Effect::Merge { attempt, onto, commit, .. } => format!("merge {attempt}: {commit} onto {onto}"),
        Effect::Advance { attempt, to, from, .. } => format!("advance {attempt}: {from} to {to}"),
        Effect::Notify { decision, command, .. } => format!("notify of {decision}: {}", command.join(" ")),
        Effect::Sweep => "sweep".to_owned(),
        Effect::SetRef { run, to } => format!("set ref {run} to {to}"),
        Effect::Publish { run, commit } => format!("publish {run} {}", commit.as_deref().unwrap_or("-")),
        Effect::Apply { run, number, tip, only, .. } => format!("apply {run} {number}: {tip} {only:?}"),
        Effect::Undo { run, apply, .. } => format!("undo {run} {}", apply.number),
    }
}

fn told(verdict: &AskVerdict) -> &'static str {
    match verdict {
        AskVerdict::Allow => "yes",
        AskVerdict::Deny(_) => "no",
    }
}

fn word(outcome: Outcome) -> &'static str {
    outcome.word()
}

fn note(why: &str) -> String {
    match why.lines().next() {
        Some(first) => format!(" ({first})"),
        None => String::new(),
    }
}

fn checked(result: &CheckResult) -> String {
    match result.failures.is_empty() {
        true => result.end.to_string(),
        false => format!("{} {:?}", result.end, result.failures),
    }
}

fn failed(failure: Option<&Failure>) -> String {
    match failure {
        Some(failure) => format!(" {}/{}{}", failure.class, failure.next, note(&failure.message)),
        None => String::new(),
    }
}

fn waits(waiter: Waiter) -> String {
    match waiter {
        Waiter::Attempt(attempt) => attempt.to_string(),
        Waiter::Shared(run) => format!("{run} shared"),
        Waiter::Base(run) => format!("{run} base"),
        Waiter::Final(run) => format!("{run} final"),
    }
}

fn all_waiting(waiting: &[Waiter]) -> String {
    let all: Vec<String> = waiting.iter().map(|waiter| waits(*waiter)).collect();
    format!("[{}]", all.join(" "))
}
