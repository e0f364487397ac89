//! Stored facts as followers see them (S2). Cheap: each event is made from itself and a look-up or two, because this
//! runs for each commit of runs with ten thousand tasks; nothing here walks a run's tasks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::words;
use crate::{
    api::{
        event::{Event, EventData, EventType},
        wire::Time,
    },
    core::{
        self, State, effect,
        prove::CheckResult,
        run::Run,
        task::{Settled, Task, TaskState},
    },
    ids::{AttemptId, RunId, TaskId},
    time::Timestamp,
};

/// Above this many tasks of one plan they are not told one by one.
const TOLD_TASKS_MAX: usize = 20_000;

/// The events of one commit. `after` is the state that it led to, `position` its place in the journal.
pub fn events(after: &State, position: u64, at: Timestamp, stored: &[core::Event]) -> Vec<Event> {
    let mut teller =
        Teller { after, position, at, moves_left: BTreeMap::new(), ready: BTreeSet::new(), told: Vec::new() };
    for event in stored {
        if let core::Event::RunMoved { run, .. } = event {
            *teller.moves_left.entry(*run).or_default() += 1;
        }
    }
    for event in stored {
        teller.tell(event);
    }
    teller.told
}

struct Teller<'a> {
    after: &'a State,
    position: u64,
    at: Timestamp,
    /// Changes of state in this commit that are not told yet, per run: they are the last of its history.
    moves_left: BTreeMap<RunId, usize>,
    /// Tasks that were told to be ready already: two of their needs may complete in one commit.
    ready: BTreeSet<TaskId>,
    told: Vec<Event>,
}

impl Teller<'_> {
    fn add(&mut self, run: Option<RunId>, kind: EventType, data: EventData) {
        self.told.push(Event { revision: self.position, at: Time(self.at), run, kind, data });
    }

    /// An event of a task, with what goes with all of them.
    fn add_task(&mut self, id: TaskId, kind: EventType, mut data: EventData) {
        let task = self.after.task(id);
        data.task_id = Some(id);
        data.title = task.map(|task| task.spec.title().to_owned());
        self.add(task.map(|task| task.run), kind, data);
    }

    fn add_attempt(&mut self, id: AttemptId, kind: EventType, mut data: EventData) {
        let task = self.after.task(id.task);
        data.attempt = Some(id);
        data.agent = task.and_then(super::agent::name);
        data.lane = data.lane.or(task.and_then(|task| task.attempt(id.generation)).and_then(|attempt| attempt.lane));
        self.add_task(id.task, kind, data);
    }

    fn tell(&mut self, event: &core::Event) {
        use core::Event as E;
        match event {
            E::RunAdded { run, request } => {
                let mut data = EventData::default();
                data.more.insert("description".to_owned(), words::first_line(&request.description, 200).into());
                self.add(Some(*run), EventType::RunCreated, data);
            }
            E::RunAnalyzed { run, analysis } => {
                let mut data = EventData::default();
                let intent = analysis.intent.primary.map_or(Value::Null, |word| word.as_str().into());
                data.more.insert("intent".to_owned(), intent);
                data.more.insert("complexity".to_owned(), analysis.complexity.score.into());
                self.add(Some(*run), EventType::RunAnalyzed, data);
            }
            E::RunPlanned { run, info, first, tasks, as_asked, .. } => {
                // Tasks may have been added since, in the very same commit: those are told with their own event.
                let asked = || {
                    let planned = self.after.run(*run).map_or(&[][..], |run| &run.tasks);
                    planned.iter().zip(first.0..).take_while(|(task, number)| task.0 == *number).count()
                };
                let count = if *as_asked { asked() } else { tasks.len() };
                let mut data =
                    EventData { tasks: Some(count as u64), percent: self.percent(*run), ..EventData::default() };
                data.more.insert("source".to_owned(), info.source.as_str().into());
                self.add(Some(*run), EventType::RunPlanned, data);
                self.added(*run, *first, count);
            }
            E::PlanAdopted { run, info, first, tasks, .. } => {
                let mut data = EventData { tasks: Some(tasks.len() as u64), ..EventData::default() };
                data.more.insert("source".to_owned(), info.source.as_str().into());
                self.add(Some(*run), EventType::RunPlanned, data);
                self.added(*run, *first, tasks.len());
            }
            E::TasksAdded { run, first, tasks } => self.added(*run, *first, tasks.len()),
            E::RunMoved { run, to, trigger } => {
                let left =
                    self.moves_left.get_mut(run).map_or(0, |left| std::mem::replace(left, left.saturating_sub(1)));
                let history = self.after.run(*run).map_or(&[][..], |run| &run.history);
                let moved = history.len().checked_sub(left).and_then(|index| history.get(index));
                let data = EventData {
                    from: moved.map(|moved| words::run_state(moved.from)),
                    to: Some(words::run_state(*to)),
                    reason: Some(words::trigger(*trigger).to_owned()),
                    percent: self.percent(*run),
                    ..EventData::default()
                };
                self.add(Some(*run), EventType::RunStateChanged, data);
            }
            E::RunEnded { run, outcome, why } => {
                let data = EventData {
                    outcome: Some(words::outcome(*outcome)),
                    reason: reason(why),
                    percent: Some(100.0),
                    ..EventData::default()
                };
                self.add(Some(*run), EventType::RunFinished, data);
            }
            E::AttemptClaimed { attempt, lane, .. } => {
                self.add_attempt(
                    *attempt,
                    EventType::AttemptClaimed,
                    EventData { lane: *lane, ..EventData::default() },
                );
            }
            E::AttemptStarted { attempt, .. } => {
                self.add_attempt(*attempt, EventType::AttemptStarted, EventData::default());
            }
            E::AttemptRan { attempt, end, started_at, ended_at, tail, .. } => {
                let data = EventData {
                    end: Some(end.to_string()),
                    seconds: Some(ended_at.seconds_since(*started_at)),
                    tail: some(tail),
                    ..EventData::default()
                };
                self.add_attempt(*attempt, EventType::AttemptEnded, data);
            }
            E::AttemptOver { attempt, failure } => self.over(*attempt, failure.as_ref()),
            E::CheckEnded { attempt, merged, index, result } => {
                let command = self.after.task(attempt.task).and_then(|task| {
                    let run = self.after.run(task.run)?;
                    Some(words::shell_line(effect::checks(run, task).get(*index as usize)?))
                });
                let data = checked(command, result, if *merged { "merged" } else { "lane" });
                self.add_attempt(*attempt, EventType::CheckFinished, data);
            }
            E::BaseChecked { run, index, result } => {
                let command =
                    self.of_run(*run, |run| run.baseline.get(*index as usize).map(|check| check.argv.as_slice()));
                self.add(Some(*run), EventType::CheckFinished, checked(command, result, "base"));
            }
            E::FinalChecked { run, index, result } => {
                let command =
                    self.of_run(*run, |run| run.finals.get(*index as usize).map(|check| check.argv.as_slice()));
                self.add(Some(*run), EventType::CheckFinished, checked(command, result, "final"));
            }
            E::AttemptLanded { attempt, commit, .. } => {
                let mut data = EventData::default();
                data.more.insert("commit".to_owned(), commit.as_str().into());
                self.add_attempt(*attempt, EventType::TaskLanded, data);
            }
            E::TaskSettled { task, how, why } => self.settled(*task, *how, why),
            E::TaskReopened { task } => self.told_ready(*task),
            E::DecisionOpened { decision } => {
                let data = EventData {
                    decision_id: Some(decision.id),
                    question: Some(decision.question.clone()),
                    ..EventData::default()
                };
                self.of_decision(decision.id, EventType::DecisionOpened, data);
            }
            E::DecisionAnswered { decision, answer } => {
                let mut data = EventData { choice: Some(answer.choice.clone()), ..EventData::default() };
                data.more.insert("by".to_owned(), words::answerer(&answer.by).to_string().into());
                self.of_decision(*decision, EventType::DecisionClosed, data);
            }
            E::DecisionWithdrawn { decision, why } => {
                self.of_decision(
                    *decision,
                    EventType::DecisionClosed,
                    EventData { reason: reason(why), ..EventData::default() },
                );
            }
            E::DecisionExpired { decision } => {
                let data = EventData { reason: some("nobody answered in time"), ..EventData::default() };
                self.of_decision(*decision, EventType::DecisionClosed, data);
            }
            E::DecisionReminded { decision, .. } => {
                let data = EventData {
                    decision_id: Some(*decision),
                    question: self.after.decisions.get(decision).map(|asked| asked.question.clone()),
                    ..EventData::default()
                };
                self.of_decision(*decision, EventType::DecisionReminded, data);
            }
            E::CheckpointSaved { checkpoint } => {
                let run = match checkpoint.runs.as_slice() {
                    [(run, _, _)] => Some(*run),
                    _ => None,
                };
                let data = EventData {
                    checkpoint_id: Some(checkpoint.id),
                    reason: some(&checkpoint.label),
                    ..EventData::default()
                };
                self.add(run, EventType::CheckpointSaved, data);
            }
            E::LandingUndone { again, dropped, .. } => {
                let again = again.iter().map(|attempt| attempt.task);
                again.chain(dropped.iter().copied()).for_each(|task| self.told_ready(task));
            }
            E::AttemptRelanded { attempt, lane, .. } => {
                let data = EventData { lane: Some(*lane), ..EventData::default() };
                self.add_attempt(*attempt, EventType::AttemptClaimed, data);
            }
            E::CheckpointRestored { checkpoint, run, tasks, .. } => {
                let data = EventData {
                    checkpoint_id: Some(*checkpoint),
                    tasks: self.after.run(*run).map(|run| run.tasks.len() as u64),
                    percent: self.percent(*run),
                    ..EventData::default()
                };
                self.add(Some(*run), EventType::CheckpointRestored, data);
                for task in tasks {
                    self.told_ready(*task);
                }
            }
            E::BudgetWarned { run, of } => self.budget(*run, EventType::BudgetWarned, *of),
            E::BudgetReached { run, of } => self.budget(*run, EventType::BudgetReached, *of),
            E::TasksApart { tasks, .. } => tasks.iter().for_each(|task| self.told_ready(*task)),
            E::AccountLimited { account, until } => {
                let mut data = EventData { agent: Some(account.clone()), ..EventData::default() };
                data.more.insert("until".to_owned(), until.to_string().into());
                self.add(None, EventType::AgentLimited, data);
            }
            // The contract has no event for these: what follows from them is told instead.
            E::AgentSpoke { .. }
            | E::AgentAsked { .. }
            | E::AskAnswered { .. }
            | E::AskParked { .. }
            | E::AskWithdrawn { .. }
            | E::LeaseRenewed { .. }
            | E::TaskParked { .. }
            | E::NoteAdded { .. }
            | E::MilestoneReached { .. }
            | E::MilestonePassed { .. }
            | E::DeadlinePassed { .. }
            | E::DeadlineTold { .. }
            | E::AgentsAsked { .. }
            | E::AgentsFound { .. }
            | E::AccountFree { .. }
            | E::RoomMissing { .. }
            | E::KeysForgone { .. }
            | E::RoomSought { .. }
            | E::RoomFound { .. }
            | E::RunSurveyed { .. }
            | E::RunApproved { .. }
            | E::RunStopping { .. }
            | E::RunCancelAsked { .. }
            | E::RunPublished { .. }
            | E::RunReopened { .. }
            | E::RunNoted { .. }
            | E::CallRefused { .. }
            | E::RunsDropped { .. }
            | E::AttemptPrepared { .. }
            | E::CallAnswered { .. }
            | E::AttemptHarvested { .. }
            | E::AttemptMoved { .. }
            | E::AttemptMerged { .. }
            | E::TaskRetry { .. }
            | E::TaskApproved { .. }
            | E::TaskChosen { .. }
            | E::TaskCancelAsked { .. }
            | E::SharedPreparing { .. }
            | E::SharedReady { .. }
            | E::SharedInspecting { .. }
            | E::SharedFreed { .. }
            | E::UndeclaredAccepted { .. }
            | E::BudgetRaised { .. }
            | E::BasePreparing { .. }
            | E::BaseChecking { .. }
            | E::BaseDropped { .. }
            | E::BaseFreed { .. }
            | E::FinalPreparing { .. }
            | E::FinalChecking { .. }
            | E::FinalFreed { .. }
            | E::BisectBegun { .. }
            | E::BisectLooked { .. }
            | E::BisectEnded { .. }
            | E::ApplyBegun { .. }
            | E::Applied { .. }
            | E::ApplyRefused { .. }
            | E::UndoBegun { .. }
            | E::Undone { .. }
            | E::UndoRefused { .. }
            | E::LearningBegun { .. }
            | E::Taught { .. }
            | E::Acted { .. }
            | E::AskedOutside { .. }
            | E::ActProven { .. }
            | E::ActUnknown { .. }
            | E::RuleRemembered { .. }
            | E::RuleForgotten { .. }
            | E::Trusted { .. } => {}
        }
    }

    fn added(&mut self, run: RunId, first: TaskId, count: usize) {
        let tasks = self.after.run(run).map(|run| run.tasks.len() as u64);
        // Whoever plans more than this reads the plan itself; `run.planned` has told how many they are.
        if count > TOLD_TASKS_MAX {
            return;
        }
        for number in (first.0..).take(count) {
            self.add_task(TaskId(number), EventType::TaskAdded, EventData { tasks, ..EventData::default() });
        }
    }

    fn budget(&mut self, run: RunId, kind: EventType, of: core::budget::Limit) {
        let data = EventData { reason: Some(of.word().to_owned()), ..EventData::default() };
        self.add(Some(run), kind, data);
    }

    /// An attempt without a process has no other end than this; the end of the others is told already.
    fn over(&mut self, id: AttemptId, failure: Option<&core::task::Failure>) {
        let ran = self
            .after
            .task(id.task)
            .and_then(|task| task.attempt(id.generation))
            .is_some_and(|attempt| attempt.end.is_some());
        if ran {
            return;
        }
        let end = if failure.is_some() { "not_started" } else { "cancelled" };
        let data = EventData {
            end: Some(end.to_owned()),
            reason: failure.and_then(|failure| reason(&failure.message)),
            ..EventData::default()
        };
        self.add_attempt(id, EventType::AttemptEnded, data);
    }

    fn settled(&mut self, id: TaskId, how: Settled, why: &str) {
        let kind = match how {
            Settled::Completed => EventType::TaskCompleted,
            Settled::Failed | Settled::Stuck => EventType::TaskFailed,
            Settled::Undone => EventType::TaskUndone,
            Settled::Blocked => EventType::TaskBlocked,
            Settled::Cancelled => EventType::TaskCancelled,
        };
        let (sentence, tail) = words::split_reason(why);
        let run = self.after.task(id).map(|task| task.run);
        let mut data = EventData {
            reason: some(&sentence),
            tail: some(&tail),
            percent: run.and_then(|run| self.percent(run)),
            ..EventData::default()
        };
        if how == Settled::Stuck {
            data.more.insert("status".to_owned(), how.word().into());
        }
        self.add_task(id, kind, data);
        if how == Settled::Completed {
            self.dependants_ready(id);
        }
    }

    /// Those whose last need this was.
    fn dependants_ready(&mut self, id: TaskId) {
        let after = self.after;
        let Some(task) = after.task(id) else { return };
        let (Some(run), Some(index)) = (after.run(task.run), after.index.runs.get(&task.run)) else { return };
        for successor in index.graph.successors(task.position) {
            if index.remaining.get(*successor as usize) == Some(&0)
                && let Some(next) = run.tasks.get(*successor as usize)
            {
                self.told_ready(*next);
            }
        }
    }

    fn told_ready(&mut self, id: TaskId) {
        let due = |task: &Task| matches!(task.state, TaskState::Ready | TaskState::Trying | TaskState::Asking(_));
        if self.after.task(id).is_some_and(due) && self.ready.insert(id) {
            self.add_task(id, EventType::TaskReady, EventData::default());
        }
    }

    fn of_decision(&mut self, id: crate::ids::DecisionId, kind: EventType, mut data: EventData) {
        let decision = self.after.decisions.get(&id);
        data.decision_id = Some(id);
        match (decision.and_then(|decision| decision.task), decision.map(|decision| decision.run)) {
            (Some(task), _) => self.add_task(task, kind, data),
            (None, run) => self.add(run, kind, data),
        }
    }

    fn of_run<'s>(&'s self, run: RunId, argv: impl FnOnce(&'s Run) -> Option<&'s [String]>) -> Option<String> {
        self.after.run(run).and_then(argv).map(words::shell_line)
    }

    /// The share of tasks that are over. A lower bound of what `get_state` says, which also counts what runs: that
    /// would mean a walk over all tasks for each event.
    fn percent(&self, run: RunId) -> Option<f64> {
        let total = self.after.run(run)?.tasks.len();
        let Some(index) = self.after.index.runs.get(&run) else { return Some(100.0) };
        let over = total.saturating_sub(index.unsettled as usize);
        let percent = if total == 0 { 0.0 } else { (over as f64 / total as f64 * 100.0).min(99.0) };
        Some((percent * 10.0).round() / 10.0)
    }
}

fn checked(command: Option<String>, result: &CheckResult, on: &str) -> EventData {
    let mut data = EventData {
        command,
        passed: Some(result.passed()),
        seconds: Some(result.seconds),
        tail: some(&result.tail),
        ..EventData::default()
    };
    data.more.insert("on".to_owned(), on.into());
    if !result.passed() {
        data.more.insert("end".to_owned(), result.end.to_string().into());
    }
    data
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn reason(text: &str) -> Option<String> {
    some(&words::split_reason(text).0)
}
