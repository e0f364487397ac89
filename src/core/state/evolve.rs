//! How each event changes the state. The only code that writes it, live and when the journal is read back; it decides
//! nothing.

use std::collections::BTreeMap;

use super::{
    ASK_WAIT_MS, Alarm, Answered, RunIndex, State, clock,
    index::{picks, rank},
};
use crate::{
    core::{
        agent::{AgentEnd, AgentPart, Ask, Usage},
        bisect::Bisect,
        decide::decision::{DecisionKind, DecisionState},
        event::Event,
        gc,
        plan::spec::TaskSpec,
        room::Room,
        run::{Baseline, Bringing, Moved, Proving, Request, Run, RunState, Shared, Tip},
        task::{Attempt, Phase, Proof, Settled, Task, TaskState},
    },
    ids::{AttemptId, DecisionId, LaneId, RunId, TaskId},
    time::Timestamp,
};

/// Answered calls that are kept. One is made again when its connection broke, within seconds: so many others will not
/// have come by then.
const ANSWERED_MAX: usize = 512;

/// Days whose spending is kept.
const DAYS_KEPT: usize = 8;

impl State {
    /// As [`State::evolve`], for an event that nobody needs any more: a request with a plan of ten thousand tasks is not
    /// copied when the journal is read back.
    pub fn evolve_into(&mut self, at: Timestamp, event: Event) {
        match event {
            Event::RunAdded { run, request } => self.add_run(at, run, *request),
            event => self.evolve(at, &event),
        }
    }

    fn add_run(&mut self, at: Timestamp, run: RunId, request: Request) {
        self.last.run = self.last.run.max(run.0);
        self.last.task = self.last.task.max(request.first_task.map_or(0, |task| task.0));
        if let Some(key) = &request.key {
            self.keys.insert(key.clone(), (run, at));
        }
        self.index.alarms.extend(request.deadline.map(|due| (due, Alarm::Deadline(run))));
        self.runs.insert(run, Run::new(run, request, at));
        self.index.runs.insert(run, RunIndex::default());
        self.index.dirty.insert(run);
    }

    /// Changes the state as the event says. `at` is the time of its commit.
    pub fn evolve(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::RunAdded { run, request } => self.add_run(at, *run, (**request).clone()),
            Event::RunSurveyed { run, facts, base, notes } => self.change(*run, |run| {
                run.facts = Some(facts.clone());
                run.base = Some(base.clone());
                run.request.buffers = BTreeMap::new();
                run.notes.extend(notes.iter().cloned());
            }),
            Event::RunAnalyzed { run, analysis } => {
                self.change(*run, |run| run.analysis = Some(analysis.clone()));
            }
            Event::RunPlanned { run, info, first, tasks, as_asked, baseline } => {
                let mut asked = Vec::new();
                self.change(*run, |run| {
                    run.finals = info.verify.iter().map(|argv| Baseline { argv: argv.clone(), result: None }).collect();
                    run.plan = Some(info.clone());
                    run.allowed = info.budget.clone();
                    run.baseline = baseline.iter().map(|argv| Baseline { argv: argv.clone(), result: None }).collect();
                    // Its tasks are tasks now; a single one may stand for what took its place.
                    match run.request.plan.take_if(|plan| plan.tasks.len() > 1) {
                        Some(plan) => asked = plan.tasks,
                        None => asked.extend(run.request.plan.iter().flat_map(|plan| plan.tasks.iter().cloned())),
                    }
                });
                let tasks = if *as_asked { asked } else { tasks.clone() };
                self.add_tasks(*run, *first, tasks);
            }
            Event::PlanAdopted { run, info, first, tasks, baseline } => {
                self.change(*run, |run| {
                    run.finals = info.verify.iter().map(|argv| Baseline { argv: argv.clone(), result: None }).collect();
                    run.allowed = info.budget.clone();
                    run.plan = Some(info.clone());
                    for argv in baseline {
                        if !run.baseline.iter().any(|check| check.argv == *argv) {
                            run.baseline.push(Baseline { argv: argv.clone(), result: None });
                        }
                    }
                });
                self.set_limit(*run);
                self.add_tasks(*run, *first, tasks.clone());
            }
            Event::TasksAdded { run, first, tasks } => self.add_tasks(*run, *first, tasks.clone()),
            Event::RunApproved { run } => self.change(*run, |run| run.approved = true),
            Event::RunMoved { run, to, trigger } => {
                self.change(*run, |run| {
                    run.history.push(Moved { from: run.state, to: *to, trigger: *trigger, at });
                    run.state = *to;
                    if *to == RunState::Executing {
                        run.started_at.get_or_insert(at);
                        run.clock_from.get_or_insert(at);
                    }
                });
                self.set_limit(*run);
            }
            Event::BudgetWarned { run, of } => {
                self.change(*run, |run| run.warned.push(*of));
                self.set_limit(*run);
            }
            Event::BudgetReached { run, of } => {
                self.change(*run, |run| run.exhausted = Some(*of));
                self.set_limit(*run);
            }
            Event::BudgetRaised { run, minutes, spawns, usd, tokens, attempts, day } => {
                self.day_raised = day.or(self.day_raised);
                self.change(*run, |run| {
                    run.allowed.minutes = *minutes;
                    run.allowed.spawns = *spawns;
                    run.allowed.usd = usd.or(run.allowed.usd);
                    run.allowed.tokens = tokens.or(run.allowed.tokens);
                    run.attempts_most = attempts.or(run.attempts_most);
                    run.warned.clear();
                    run.exhausted = None;
                });
                self.set_limit(*run);
            }
            Event::MilestoneReached { run, milestone } => {
                self.change(*run, |run| run.milestone = Some(milestone.clone()));
            }
            Event::MilestonePassed { run, milestone } => self.change(*run, |run| {
                run.milestone = None;
                run.milestones_seen.push(milestone.clone());
            }),
            Event::DeadlinePassed { run } => {
                self.forget_alarm(&Alarm::Deadline(*run));
                self.change(*run, |run| run.deadline_passed = true);
            }
            Event::DeadlineTold { run, .. } => self.change(*run, |run| run.deadline_told = true),
            Event::RunStopping { run } => {
                self.change(*run, |run| run.stopping = true);
                self.set_limit(*run);
            }
            Event::RunCancelAsked { run } => {
                self.change(*run, |run| run.cancelled = true);
                self.hurry_room(at);
                self.ask_no_more(*run);
                self.set_limit(*run);
            }
            Event::RunPublished { run, branch } => self.change(*run, |run| {
                run.branch = branch.clone().or(run.branch.take());
                run.published = true;
            }),
            Event::RunEnded { run, outcome, why } => {
                self.change(*run, |run| {
                    run.outcome = Some(*outcome);
                    run.outcome_why = why.clone();
                    run.ended_at = Some(at);
                });
                self.ask_no_more(*run);
                self.forget_alarm(&Alarm::Deadline(*run));
                self.set_limit(*run);
                self.index.runs.remove(run);
                self.index.dirty.remove(run);
                if !self.index.left_open.is_empty() {
                    let tasks = self.index.runs.keys().filter_map(|run| self.runs.get(run)).flat_map(|run| &run.tasks);
                    self.index.left_open = tasks.flat_map(|task| self.left_open(*task)).collect();
                }
            }
            Event::RunReopened { run } => {
                self.change(*run, |run| {
                    run.outcome = None;
                    run.outcome_why = String::new();
                    run.ended_at = None;
                    run.cancelled = false;
                    run.stopping = false;
                    run.published = false;
                    run.exhausted = None;
                    run.warned.clear();
                    run.clock_from = None;
                    run.spawned = 0;
                    run.undeclared = None;
                    run.bisect = None;
                    run.unexplained = None;
                    run.again.clear();
                    run.milestone = None;
                    run.round += 1;
                    for check in &mut run.finals {
                        check.result = None;
                    }
                    // What could not be found out is asked anew.
                    for check in &mut run.baseline {
                        check.result.take_if(|result| !result.conclusive());
                    }
                });
                self.set_deadline(*run);
                self.ask_no_more(*run);
                self.index_run(*run);
            }
            Event::RunsDropped { runs } => self.drop_runs(at, runs),
            Event::CallAnswered { key, call, reply } => {
                let (key, call, reply) = (key.clone(), call.clone(), reply.clone());
                self.answered.push_back(Answered { key, call, reply });
                while self.answered.len() > ANSWERED_MAX {
                    self.answered.pop_front();
                }
            }
            // For whoever reads the journal; nothing follows from it.
            Event::CallRefused { .. } => {}
            Event::RunNoted { run, note } => self.change(*run, |run| run.notes.push(note.clone())),
            Event::AttemptClaimed { attempt, lane, from, start, agent } => {
                if let Some(task) = self.tasks.get_mut(&attempt.task) {
                    let rank = rank(task, self.index.runs.get(&task.run));
                    task.state = TaskState::Trying;
                    // Most tasks are tried once, and ten thousand of them are held.
                    task.attempts.reserve_exact(1);
                    task.attempts.push(Attempt {
                        phase: if lane.is_some() { Phase::Preparing } else { Phase::Running },
                        lane: *lane,
                        claimed_at: at,
                        started_at: None,
                        ended_at: None,
                        end: None,
                        more: from.as_ref().map(|from| {
                            Box::new(Proof {
                                from: Some(from.clone()),
                                start: start.clone(),
                                agent: agent.as_ref().map(|agent| Box::new(AgentPart::new((**agent).clone()))),
                                ..Proof::default()
                            })
                        }),
                    });
                    if let Some(until) = agent.as_ref().and_then(|agent| agent.lease_until) {
                        self.index.alarms.insert((until, Alarm::Lease(*attempt)));
                    }
                    if let Some(index) = self.index.runs.get_mut(&task.run) {
                        index.take_ready(rank);
                        match lane {
                            Some(_) => {
                                index.trying_own.insert(task.id);
                            }
                            None => index.trying_shared += 1,
                        }
                    }
                    if let Some(run) = self.runs.get_mut(&task.run) {
                        run.spawned += 1;
                    }
                    self.index.lanes.extend(lane);
                    self.index.tokens.extend(task.spec.extras().resources.iter().cloned());
                }
            }
            Event::AttemptPrepared { attempt, told } => self.change_attempt(*attempt, |attempt| {
                attempt.phase = match attempt.phase {
                    Phase::Restaging => Phase::Rechecking(0),
                    _ => Phase::Running,
                };
                if attempt.leased() {
                    // Nothing of ours starts: it is the session's from here on.
                    attempt.started_at.get_or_insert(at);
                }
                if let Some(part) = attempt.agent_mut().filter(|_| told.is_some()) {
                    part.told.clone_from(told);
                }
            }),
            Event::AttemptStarted { attempt, at } => {
                self.change_attempt(*attempt, |attempt| attempt.started_at = Some(*at));
            }
            Event::AttemptRan { attempt, end, started_at, ended_at, tail, agent } => {
                // Whoever has ended waits for nobody, and a session that has handed in owes nothing.
                self.forget_alarms_of(*attempt);
                if let Some(agent) = agent {
                    self.agent_ended(at, *attempt, agent);
                }
                self.change_attempt(*attempt, |attempt| {
                    attempt.started_at = Some(*started_at);
                    attempt.ended_at = Some(*ended_at);
                    attempt.end = Some(end.clone());
                    if !tail.is_empty() {
                        attempt.more.get_or_insert_default().tail = tail.clone();
                    }
                });
                let run = self.tasks.get(&attempt.task).map(|task| task.run);
                if let Some(index) = run.and_then(|run| self.index.runs.get_mut(&run)) {
                    let took_ms = ended_at.0.saturating_sub(started_at.0) as f64;
                    index.mean_ms = Some(index.mean_ms.map_or(took_ms, |mean| mean * 0.9 + took_ms * 0.1));
                }
                self.index.due.push_back(*attempt);
            }
            Event::AttemptHarvested { attempt, commit, tree, diff, paths, noticed } => {
                self.change_attempt(*attempt, |attempt| {
                    let more = attempt.more.get_or_insert_default();
                    more.commit = Some(commit.clone());
                    more.tree = Some(tree.clone());
                    more.diff = Some(*diff);
                    more.noticed.clone_from(noticed);
                    if let Some(agent) = &mut more.agent {
                        agent.paths.clone_from(paths);
                    }
                });
                self.index.due.push_back(*attempt);
            }
            Event::AttemptMoved { attempt, to } => {
                self.change_attempt(*attempt, |attempt| {
                    debug_assert!(attempt.phase.leads_to(*to), "an attempt went from {:?} to {to:?}", attempt.phase);
                    let from = std::mem::replace(&mut attempt.phase, *to);
                    if *to == Phase::Merging {
                        let more = attempt.more.get_or_insert_default();
                        more.merged = None;
                        more.rechecks.clear();
                        more.refused += u32::from(from == Phase::Advancing);
                    }
                });
                let run = self.tasks.get(&attempt.task).map(|task| task.run);
                if let Some(index) = run.and_then(|run| self.index.runs.get_mut(&run)) {
                    match to {
                        Phase::Queued => index.landing.push_back(*attempt),
                        _ => index.landing.retain(|waiting| waiting != attempt),
                    }
                }
                self.index.dirty.extend(run);
                if *to == Phase::Reviewing {
                    // Its lane is in nobody's way now, of whatever run.
                    self.index.dirty.extend(self.index.runs.keys());
                }
            }
            Event::CheckEnded { attempt, merged, index, result } => {
                self.change_attempt(*attempt, |attempt| {
                    let more = attempt.more.get_or_insert_default();
                    let list = if *merged { &mut more.rechecks } else { &mut more.checks };
                    list.truncate(*index as usize);
                    list.push(result.clone());
                });
                self.index.due.push_back(*attempt);
            }
            Event::AttemptMerged { attempt, commit, tree, onto } => {
                self.change_attempt(*attempt, |attempt| {
                    attempt.more.get_or_insert_default().merged = Some((commit.clone(), tree.clone(), onto.clone()));
                });
                self.index.due.push_back(*attempt);
            }
            Event::AttemptLanded { attempt, commit, tree } => {
                self.tally(*attempt, true);
                let run = self.tasks.get(&attempt.task).map(|task| task.run);
                if let Some(run) = run {
                    self.change(run, |run| {
                        run.tip = Some(Tip { commit: commit.clone(), tree: tree.clone() });
                        run.landed.push((*attempt, commit.clone()));
                    });
                }
                self.end_attempt(at, *attempt);
            }
            Event::AttemptOver { attempt, failure } => {
                if failure.as_ref().is_some_and(|failure| failure.class == "wrong_output") {
                    self.tally(*attempt, false);
                }
                self.change_attempt(*attempt, |attempt| {
                    if failure.is_some() {
                        attempt.more.get_or_insert_default().failure = failure.clone();
                    }
                });
                self.end_attempt(at, *attempt);
                self.index.left_open.extend(self.left_open(attempt.task));
                if failure.is_some() {
                    self.index.failed.push_back(*attempt);
                }
            }
            Event::TaskSettled { task, how, why } => self.settle_task(at, *task, *how, why),
            Event::TaskRetry { task, at: due } => {
                self.set_task(*task, TaskState::Retry(*due));
            }
            Event::TaskReopened { task } => self.reopen(*task),
            Event::TaskApproved { task } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.approved = true;
                }
            }
            Event::TaskChosen { task, choice } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.choice = Some(choice.as_str().into());
                }
            }
            Event::TaskCancelAsked { task } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.cancelled = true;
                    self.index.dirty.insert(task.run);
                }
                self.hurry_room(at);
            }
            Event::DecisionOpened { decision } => {
                self.last.decision = self.last.decision.max(decision.id.0);
                if let (Some(ask), Some(task), Some(generation)) = (&decision.ask, decision.task, decision.generation) {
                    let attempt = AttemptId { task, generation };
                    self.change_ask(attempt, &ask.request, |ask| ask.decision = Some(decision.id));
                    self.index.alarms.insert((at.plus_ms(ASK_WAIT_MS), Alarm::Ask(attempt, ask.request.clone())));
                    // Its lane is in nobody's way now, of whatever run.
                    self.index.dirty.extend(self.index.runs.keys());
                } else if let Some(task) = decision.task.filter(|_| !decision.of_attempt()) {
                    self.set_task(task, TaskState::Asking(decision.id));
                }
                if let Some(index) = self.index.runs.get_mut(&decision.run) {
                    index.open += 1;
                }
                self.index.open.insert(decision.id);
                self.index.clock.extend(clock(decision));
                self.index.dirty.insert(decision.run);
                self.decisions.insert(decision.id, (**decision).clone());
            }
            Event::DecisionAnswered { decision, answer } => {
                self.close(*decision, DecisionState::Answered(answer.clone()));
                self.index.answered.push_back(*decision);
            }
            Event::DecisionWithdrawn { decision, why } => {
                self.close(*decision, DecisionState::Withdrawn(why.clone()));
            }
            Event::AgentSpoke { attempt, session, usage, percent } => {
                self.change_attempt(*attempt, |attempt| {
                    let Some(part) = attempt.agent_mut() else { return };
                    part.session = session.clone().or(part.session.take());
                    part.usage = usage.unwrap_or(part.usage);
                    part.percent = percent.or(part.percent);
                });
                if usage.is_some() {
                    // Its run's limits may be near.
                    self.touch(*attempt);
                }
            }
            Event::AgentAsked { attempt, ask } => {
                self.change_attempt(*attempt, |attempt| {
                    if let Some(part) = attempt.agent_mut() {
                        part.asked((**ask).clone());
                    }
                });
                self.index.asking.push_back(*attempt);
            }
            Event::AskAnswered { attempt, request, verdict, .. } => {
                self.change_ask(*attempt, request, |ask| {
                    ask.verdict = Some(verdict.clone());
                    ask.judgement = None;
                });
                self.forget_alarm(&Alarm::Ask(*attempt, request.clone()));
                self.touch(*attempt);
            }
            Event::AskParked { attempt, request, verdict } => {
                self.change_ask(*attempt, request, |ask| {
                    ask.verdict = Some(verdict.clone());
                    ask.parked = true;
                });
                self.forget_alarm(&Alarm::Ask(*attempt, request.clone()));
                self.touch(*attempt);
            }
            Event::AskWithdrawn { attempt, request } => {
                let mut asked = None;
                self.change_attempt(*attempt, |attempt| {
                    if let Some(part) = attempt.agent_mut() {
                        asked = part.ask(request).and_then(|ask| ask.decision);
                        part.asks.retain(|ask| ask.request != *request);
                    }
                });
                self.index.moot.extend(asked);
                self.forget_alarm(&Alarm::Ask(*attempt, request.clone()));
                self.touch(*attempt);
            }
            Event::LeaseRenewed { attempt, until } => {
                self.forget_alarm(&Alarm::Lease(*attempt));
                self.change_attempt(*attempt, |attempt| {
                    if let Some(part) = attempt.agent_mut() {
                        part.allocation.lease_until = Some(*until);
                    }
                });
                self.index.alarms.insert((*until, Alarm::Lease(*attempt)));
            }
            Event::TaskParked { task, decision } => self.set_task(*task, TaskState::Asking(*decision)),
            Event::NoteAdded { run, note } => self.change(*run, |run| run.shared_notes.push(note.clone())),
            Event::AgentsAsked { run } => self.change(*run, |run| {
                run.agents = None;
                run.looking = true;
            }),
            Event::AgentsFound { run, agents } => self.change(*run, |run| {
                run.agents = Some(agents.clone());
                run.looking = false;
            }),
            Event::AccountLimited { account, until } => {
                self.forget_alarm(&Alarm::Account(account.clone()));
                self.limits.insert(account.clone(), *until);
                self.index.alarms.insert((*until, Alarm::Account(account.clone())));
            }
            Event::KeysForgone { run } => self.change(*run, |run| run.request.keys.clear()),
            Event::RoomMissing { waiter, why } => self.change_room(|room| {
                let room = room.get_or_insert_with(|| Room::new(why, at));
                room.why.clone_from(why);
                if !room.waiting.contains(waiter) {
                    room.waiting.push(*waiter);
                }
            }),
            Event::RoomSought { waiting } => {
                self.change_room(|room| room.iter_mut().for_each(|room| room.looked(at, waiting)));
            }
            Event::RoomFound { .. } => {
                self.change_room(|room| *room = None);
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::AccountFree { account } => {
                self.limits.remove(account);
                self.forget_alarm(&Alarm::Account(account.clone()));
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::DecisionExpired { decision } => self.close(*decision, DecisionState::Expired(at)),
            Event::DecisionReminded { decision, next, .. } => {
                if let Some(found) = self.decisions.get_mut(decision) {
                    self.index.clock.retain(|(_, other)| other != decision);
                    found.remind_at = *next;
                    self.index.clock.extend(clock(found));
                }
            }
            Event::LearningBegun { seed } => self.learned.seed = Some(*seed),
            Event::Taught { decision, label } => {
                self.learned.teach(label);
                if let Some(found) = decision.and_then(|decision| self.decisions.get_mut(&decision)) {
                    found.taught = true;
                }
            }
            Event::Acted { act } => {
                self.learned.note(act);
                if act.unproven() {
                    self.index.unproven.insert(act.number);
                }
            }
            Event::AskedOutside { .. } => self.learned.outside.asked += 1,
            Event::ActProven { number, right } => {
                self.learned.prove(*number, *right);
                self.index.unproven.remove(number);
            }
            Event::ActUnknown { number } => {
                self.learned.lose(*number);
                self.index.unproven.remove(number);
            }
            Event::RuleRemembered { rule } => {
                self.learned.remembered += 1;
                self.learned.rules.push((**rule).clone());
            }
            Event::RuleForgotten { id } => self.learned.rules.retain(|rule| rule.id != *id),
            Event::SharedPreparing { run, lane } => {
                self.index.lanes.insert(*lane);
                self.change(*run, |run| {
                    run.shared = Shared::Preparing(*lane);
                    run.shared_since = Some(at);
                });
            }
            Event::SharedReady { run } => self.change(*run, |run| {
                if let Shared::Preparing(lane) = run.shared {
                    run.shared = Shared::Ready(lane);
                }
            }),
            Event::SharedInspecting { run } => self.change(*run, |run| {
                if let Shared::Ready(lane) = run.shared {
                    run.shared = Shared::Inspecting(lane);
                }
            }),
            Event::SharedFreed { run, undeclared } => {
                if let Some(lane) = self.runs.get(run).and_then(|run| run.shared.lane()) {
                    self.index.lanes.remove(&lane);
                }
                self.change(*run, |run| {
                    run.shared = Shared::None;
                    if let Some(found) = undeclared {
                        let all = run.undeclared.get_or_insert_default();
                        all.paths.extend(found.paths.iter().cloned());
                        all.readers.extend(found.readers.iter().copied());
                    }
                });
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::UndeclaredAccepted { run } => self.change(*run, |run| run.undeclared = None),
            Event::TasksApart { run, tasks } => {
                self.change(*run, |run| run.undeclared = None);
                for task in tasks {
                    let over = self.task(*task).is_some_and(|task| task.settled().is_some());
                    if over {
                        self.set_task(*task, TaskState::Waiting);
                    }
                    if let Some(task) = self.tasks.get_mut(task) {
                        task.apart = true;
                        if over {
                            task.begin_anew();
                        }
                    }
                }
                if self.index.runs.contains_key(run) {
                    self.index_run(*run);
                }
            }
            Event::BasePreparing { run, lane } => {
                self.index.lanes.insert(*lane);
                self.change(*run, |run| run.proving_base = Proving::Preparing(*lane));
            }
            Event::BaseChecking { run, index } => self.change(*run, |run| {
                run.round += u32::from(run.proving_base.runs(*index));
                run.proving_base = run.proving_base.running(*index);
            }),
            Event::BaseChecked { run, index, result } => {
                self.change(*run, |run| {
                    if let Some(check) = run.baseline.get_mut(*index as usize) {
                        check.result = Some(result.clone());
                    }
                });
                // Whoever waited for this may now be judged.
                if let Some(index) = self.index.runs.get(run) {
                    let waiting = index.trying_own.iter().filter_map(|task| self.tasks.get(task)?.current());
                    self.index.due.extend(waiting.map(|(attempt, _)| attempt));
                }
            }
            Event::BaseDropped { run } => self.change(*run, |run| run.base_unneeded = true),
            Event::BaseFreed { run } => {
                // A check that was ended half-way is another job when it is due again.
                self.change(*run, |run| run.round += u32::from(std::mem::take(&mut run.base_unneeded)));
                self.free_proving(*run, |run| &mut run.proving_base);
            }
            Event::FinalPreparing { run, lane } => {
                self.index.lanes.insert(*lane);
                self.change(*run, |run| run.proving_final = Proving::Preparing(*lane));
            }
            Event::FinalChecking { run, index } => self.change(*run, |run| {
                run.round += u32::from(run.proving_final.runs(*index));
                run.proving_final = run.proving_final.running(*index);
            }),
            Event::FinalChecked { run, index, result } => self.change(*run, |run| {
                if let Some(check) = run.finals.get_mut(*index as usize) {
                    check.result = Some(result.clone());
                }
            }),
            Event::FinalFreed { run } => {
                self.change(*run, |run| run.bisect.iter_mut().for_each(|bisect| bisect.looked = false));
                self.free_proving(*run, |run| &mut run.proving_final);
            }
            Event::BisectBegun { run, check, good, bad } => self.change(*run, |run| {
                run.bisect = Some(Bisect { check: *check, good: *good, bad: *bad, looked: false });
                run.round += 1;
            }),
            Event::BisectLooked { run, green } => self.change(*run, |run| {
                run.bisect.iter_mut().for_each(|bisect| bisect.learn(*green));
                run.round += 1;
            }),
            Event::BisectEnded { run, why } => self.change(*run, |run| {
                run.bisect = None;
                run.unexplained = Some(why.clone());
            }),
            Event::LandingUndone { run, culprit, failure, landed, commit, tree, again, dropped } => {
                self.change(*run, |run| {
                    run.landed.truncate(*landed as usize);
                    run.tip = Some(Tip { commit: commit.clone(), tree: tree.clone() });
                    run.bisect = None;
                    run.again.clone_from(again);
                    run.finals.iter_mut().for_each(|check| check.result = None);
                });
                self.change_attempt(*culprit, |attempt| {
                    attempt.more.get_or_insert_default().failure = Some(failure.clone());
                });
                let tasks = again.iter().chain([culprit]).map(|attempt| attempt.task).chain(dropped.iter().copied());
                for id in tasks {
                    self.set_task(id, TaskState::Waiting);
                    if let Some(task) = self.tasks.get_mut(&id) {
                        // What was allowed stays allowed: nothing of it runs again.
                        task.settled_at = None;
                        task.why = "".into();
                    }
                }
                if self.index.runs.contains_key(run) {
                    self.index_run(*run);
                }
            }
            Event::AttemptRelanded { attempt, before, of, lane, from } => {
                self.reland(at, *attempt, (of.unwrap_or(attempt.task), *before), *lane, from);
            }
            Event::ApplyBegun { run, tasks, number } => self.change(*run, |run| {
                let tip = run.tip.as_ref().map(|tip| tip.commit.clone()).unwrap_or_default();
                run.bringing = Some(Bringing::Apply { tasks: tasks.clone(), number: *number, tip });
                run.refusal = None;
            }),
            Event::Applied { run, apply } => {
                self.change(*run, |run| {
                    run.bringing = None;
                    run.refusal = None;
                    run.applies.push(apply.clone());
                });
                self.ask_no_more(*run);
            }
            Event::UndoBegun { run, number } => {
                self.change(*run, |run| {
                    run.bringing = Some(Bringing::Undo { number: *number });
                    run.refusal = None;
                });
            }
            Event::Undone { run, number, paths } => {
                self.change(*run, |run| {
                    run.bringing = None;
                    run.refusal = None;
                    for apply in run.applies.iter_mut().filter(|apply| apply.number == *number) {
                        apply.undone_at = Some(at);
                        if apply.in_editor {
                            apply.unsaved = apply.paths.iter().filter(|path| !paths.contains(path)).cloned().collect();
                        }
                    }
                });
                self.index.regretted.push_back((*run, *number));
            }
            Event::ApplyRefused { run, why, paths } | Event::UndoRefused { run, why, paths } => {
                self.change(*run, |run| {
                    run.bringing = None;
                    run.refusal = Some((why.clone(), paths.clone()));
                });
            }
            Event::Trusted { hash } => {
                self.trusted = hash.clone();
                let asks = |id: &&DecisionId| {
                    self.decisions.get(id).is_some_and(|decision| decision.kind == DecisionKind::Trust)
                };
                self.index.moot.extend(self.index.open.iter().filter(asks));
                self.index.dirty.extend(self.index.runs.keys());
            }
            Event::CheckpointSaved { checkpoint } => {
                self.last.checkpoint = self.last.checkpoint.max(checkpoint.id.0);
                self.checkpoints.insert(checkpoint.id, checkpoint.clone());
            }
            Event::CheckpointRestored { run, landed, commit, tree, tasks, .. } => {
                self.change(*run, |run| {
                    run.landed.truncate(*landed as usize);
                    run.tip = Some(Tip { commit: commit.clone(), tree: tree.clone() });
                });
                for task in tasks {
                    self.set_task(*task, TaskState::Waiting);
                    if let Some(task) = self.tasks.get_mut(task) {
                        task.begin_anew();
                    }
                }
                if self.index.runs.contains_key(run) {
                    self.index_run(*run);
                }
            }
        }
    }

    fn change_ask(&mut self, attempt: AttemptId, request: &str, change: impl FnOnce(&mut Ask)) {
        self.change_attempt(attempt, |attempt| {
            let part = attempt.agent_mut();
            if let Some(ask) = part.and_then(|part| part.ask_mut(request)) {
                change(ask);
            }
        });
    }

    /// Keeps the alarm in step with when room is looked for.
    fn change_room(&mut self, change: impl FnOnce(&mut Option<Room>)) {
        change(&mut self.room);
        self.forget_alarm(&Alarm::Room);
        self.index.alarms.extend(self.room.as_ref().map(|room| (room.next, Alarm::Room)));
    }

    /// Somebody stops what may wait for room: it is looked at once, so that nobody waits for nothing.
    fn hurry_room(&mut self, at: Timestamp) {
        self.change_room(|room| room.iter_mut().for_each(|room| room.next = at));
    }

    /// Its run should be looked at.
    fn touch(&mut self, attempt: AttemptId) {
        self.index.dirty.extend(self.tasks.get(&attempt.task).map(|task| task.run));
    }

    fn forget_alarms_of(&mut self, id: AttemptId) {
        self.index
            .alarms
            .retain(|(_, alarm)| !matches!(alarm, Alarm::Lease(other) | Alarm::Ask(other, _) if *other == id));
    }

    fn forget_alarm(&mut self, alarm: &Alarm) {
        self.index.alarms.retain(|(_, other)| other != alarm);
    }

    /// An agent's process is over: what it asked is nobody's question any more, and what it used is counted.
    fn agent_ended(&mut self, at: Timestamp, id: AttemptId, end: &AgentEnd) {
        let mut used = Usage::default();
        self.change_attempt(id, |attempt| {
            let Some(part) = attempt.agent_mut() else { return };
            if end.usage.tokens >= part.usage.tokens {
                part.usage = end.usage;
            }
            used = part.usage;
            part.end = Some(end.clone());
            part.told = None;
        });
        let day = self.spent.entry(at.0 / 86_400_000).or_default();
        *day = day.plus(used);
        while self.spent.len() > DAYS_KEPT {
            self.spent.pop_first();
        }
    }

    /// Checks judged an agent's work: counted for the agent and the type of task, once for the attempt.
    fn tally(&mut self, id: AttemptId, proven: bool) {
        let Some(task) = self.tasks.get(&id.task) else { return };
        let attempt = task.attempt(id.generation).filter(|attempt| !attempt.relands());
        let Some(part) = attempt.and_then(Attempt::agent) else { return };
        let claimed = part.end.as_ref().is_some_and(|end| end.done);
        // Sessions come and go under any name; what is declared for them stays.
        let profile = Some(&part.allocation.profile).filter(|profile| !profile.is_empty());
        let by_type = self.records.entry(profile.unwrap_or(&part.allocation.agent).clone()).or_default();
        let tally = by_type.entry(task.spec.type_word().to_owned()).or_default();
        tally.judged += 1;
        tally.proven += u32::from(proven);
        tally.claimed_wrongly += u32::from(!proven && claimed);
    }

    /// Forgets runs that are over. What is given out once is never given out again: `last` stays.
    fn drop_runs(&mut self, at: Timestamp, runs: &[RunId]) {
        for run in runs {
            let tasks = self.runs.remove(run).map(|run| run.tasks).unwrap_or_default();
            for task in tasks {
                self.tasks.remove(&task);
            }
        }
        let (kept, open, clock) = (&self.runs, &mut self.index.open, &mut self.index.clock);
        self.decisions.retain(|id, decision| {
            let stays = kept.contains_key(&decision.run);
            if !stays {
                open.remove(id);
                clock.retain(|(_, other)| other != id);
            }
            stays
        });
        for checkpoint in self.checkpoints.values_mut() {
            checkpoint.runs.retain(|(run, _, _)| kept.contains_key(run));
        }
        self.keys.retain(|_, (run, since)| kept.contains_key(run) && at.0.saturating_sub(since.0) < gc::KEY_LIFE_MS);
    }

    fn change(&mut self, run: RunId, change: impl FnOnce(&mut Run)) {
        if let Some(found) = self.runs.get_mut(&run) {
            change(found);
            if !found.ended() {
                self.index.dirty.insert(run);
            }
        }
    }

    fn change_attempt(&mut self, attempt: AttemptId, change: impl FnOnce(&mut Attempt)) {
        let task = self.tasks.get_mut(&attempt.task);
        if let Some(found) = task.and_then(|task| task.attempts.get_mut(attempt.generation as usize - 1)) {
            change(found);
        }
    }

    fn add_tasks(&mut self, run: RunId, first: TaskId, specs: Vec<TaskSpec>) {
        let Some(owner) = self.runs.get_mut(&run) else { return };
        for (offset, spec) in (0u32..).zip(specs) {
            let id = TaskId(first.0 + offset);
            let position = owner.tasks.len() as u32;
            owner.tasks.push(id);
            self.last.task = self.last.task.max(id.0);
            self.tasks.insert(id, Box::new(Task::new(id, run, position, spec)));
        }
        self.index_run(run);
    }

    /// What a run that is over or to be over asked about goes away.
    fn ask_no_more(&mut self, run: RunId) {
        let of_run = |id: &&DecisionId| self.decisions.get(id).is_some_and(|decision| decision.run == run);
        self.index.moot.extend(self.index.open.iter().filter(of_run));
    }

    /// Sets a task's state and keeps the ready tables in step.
    pub(super) fn set_task(&mut self, id: TaskId, to: TaskState) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let from = std::mem::replace(&mut task.state, to);
        let Some(index) = self.index.runs.get_mut(&task.run) else { return };
        let rank = rank(task, Some(index));
        match from {
            TaskState::Ready => index.take_ready(rank),
            TaskState::Retry(at) => {
                index.retrying -= 1;
                self.index.deadlines.remove(&(at, id));
            }
            _ => {}
        }
        match to {
            TaskState::Ready => index.put_ready(task, rank),
            TaskState::Retry(at) => {
                index.retrying += 1;
                self.index.deadlines.insert((at, id));
            }
            _ => {}
        }
        self.index.dirty.insert(task.run);
    }

    /// Makes a task due again, or lets it wait for what it needs.
    fn reopen(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let was = task.settled();
        if was.is_some() {
            task.begin_anew();
        }
        let (position, run) = (task.position as usize, task.run);
        if let (Some(was), Some(index)) = (was, self.index.runs.get_mut(&run)) {
            index.unsettled += 1;
            index.completed -= u32::from(was == Settled::Completed);
            let tasks = &self.runs[&run].tasks;
            let mut too_early = Vec::new();
            for successor in index.graph.successors(position as u32) {
                let chooser = &self.tasks[&tasks[*successor as usize]];
                if was != Settled::Completed && picks(chooser) {
                    index.remaining[*successor as usize] += 1;
                    // It was due again before what it chooses from was.
                    too_early.extend((chooser.state == TaskState::Ready).then_some(chooser.id));
                }
            }
            for chooser in too_early {
                self.set_task(chooser, TaskState::Waiting);
            }
        }
        let remaining = self.index.runs.get(&run).map_or(0, |index| index.remaining[position]);
        self.set_task(id, if remaining == 0 { TaskState::Ready } else { TaskState::Waiting });
    }

    fn settle_task(&mut self, at: Timestamp, id: TaskId, how: Settled, why: &str) {
        if let Some((attempt, _)) = self.task(id).and_then(Task::current) {
            self.end_attempt(at, attempt);
        }
        if let Some(TaskState::Asking(decision)) = self.tasks.get(&id).map(|task| task.state) {
            self.index.moot.push_back(decision);
        }
        self.set_task(id, TaskState::Settled(how));
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.settled_at = Some(at);
        task.why = why.into();
        let (run, position) = (task.run, task.position);
        let Some(index) = self.index.runs.get_mut(&run) else { return };
        index.unsettled -= 1;
        let tasks = &self.runs[&run].tasks;
        // Who chooses among candidates waits for each to be over, however.
        let picks = |successor: &u32| picks(&self.tasks[&tasks[*successor as usize]]);
        if how != Settled::Completed {
            self.index.blocking.push_back(id);
        }
        index.completed += u32::from(how == Settled::Completed);
        let mut due = Vec::new();
        let successors = index.graph.successors(position).iter();
        for successor in successors.filter(|successor| how == Settled::Completed || picks(successor)) {
            let remaining = &mut index.remaining[*successor as usize];
            *remaining -= 1;
            if *remaining == 0 {
                due.push(*successor);
            }
        }
        let due: Vec<TaskId> = due.iter().map(|position| tasks[*position as usize]).collect();
        for task in due {
            if self.tasks[&task].state == TaskState::Waiting {
                self.set_task(task, TaskState::Ready);
            }
        }
    }

    /// A change that had landed waits to land once more, with a lane for its checks.
    fn reland(&mut self, at: Timestamp, id: AttemptId, (of, before): (TaskId, u32), lane: LaneId, from: &str) {
        let Some(earlier) = self.task(of).and_then(|task| task.attempt(before)).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&id.task) else { return };
        let rank = rank(task, self.index.runs.get(&task.run));
        let mut more = earlier.more.unwrap_or_default();
        more.relands = Some(before);
        more.from = Some(from.to_owned());
        (more.merged, more.failure, more.refused) = (None, None, 0);
        more.rechecks.clear();
        if let Some(agent) = &mut more.agent {
            // What it used was counted, and what it asked was answered.
            agent.usage = Usage::default();
            agent.asks.clear();
        }
        task.state = TaskState::Trying;
        task.attempts.push(Attempt {
            phase: Phase::Queued,
            lane: Some(lane),
            claimed_at: at,
            started_at: Some(at),
            ended_at: None,
            end: earlier.end,
            more: Some(more),
        });
        let run = task.run;
        self.index.tokens.extend(task.spec.extras().resources.iter().cloned());
        self.index.lanes.insert(lane);
        if let Some(index) = self.index.runs.get_mut(&run) {
            index.take_ready(rank);
            index.trying_own.insert(id.task);
            index.landing.push_back(id);
        }
        self.change(run, |run| run.again.retain(|attempt| attempt.task != id.task));
    }

    /// An attempt is over: its lane is free and others may have it.
    fn end_attempt(&mut self, at: Timestamp, id: AttemptId) {
        let Some(task) = self.tasks.get_mut(&id.task) else { return };
        let run = task.run;
        let Some(attempt) = task.attempts.get_mut(id.generation as usize - 1) else { return };
        if attempt.phase == Phase::Over {
            return;
        }
        attempt.phase = Phase::Over;
        attempt.ended_at.get_or_insert(at);
        if let Some(part) = attempt.agent_mut() {
            part.told = None;
        }
        let lane = attempt.lane;
        if let Some(part) = attempt.agent() {
            // What it waited for, it waits for no more; a decision that it was parked on stays open for the next try.
            let parked = part.parked_on();
            let open = part.asks.iter().filter_map(|ask| ask.decision).filter(|decision| Some(*decision) != parked);
            self.index.moot.extend(open);
            self.index
                .alarms
                .retain(|(_, alarm)| !matches!(alarm, Alarm::Lease(other) | Alarm::Ask(other, _) if *other == id));
        }
        for token in &task.spec.extras().resources {
            self.index.tokens.remove(token);
        }
        if let Some(index) = self.index.runs.get_mut(&run) {
            match lane {
                Some(_) => {
                    index.trying_own.remove(&id.task);
                }
                None => index.trying_shared -= 1,
            }
            if !index.landing.is_empty() {
                index.landing.retain(|waiting| *waiting != id);
            }
        }
        if let Some(lane) = lane {
            self.index.lanes.remove(&lane);
            // Whoever waited for a lane may go on.
            self.index.dirty.extend(self.index.runs.keys());
        }
        self.index.dirty.insert(run);
    }

    fn close(&mut self, id: DecisionId, to: DecisionState) {
        let Some(decision) = self.decisions.get_mut(&id) else { return };
        if decision.open()
            && let Some(index) = self.index.runs.get_mut(&decision.run)
        {
            index.open -= 1;
        }
        decision.state = to;
        self.index.open.remove(&id);
        self.index.clock.retain(|(_, other)| *other != id);
        self.index.dirty.insert(decision.run);
    }

    fn free_proving(&mut self, run: RunId, which: impl FnOnce(&mut Run) -> &mut Proving) {
        let Some(found) = self.runs.get_mut(&run) else { return };
        let proving = which(found);
        if let Proving::Preparing(lane) | Proving::Running(lane, _) = *proving {
            self.index.lanes.remove(&lane);
        }
        *proving = Proving::Idle;
        self.index.dirty.extend(self.index.runs.keys());
        self.index.dirty.insert(run);
    }
}

impl Proving {
    /// Whether the check of this number is running.
    fn runs(self, index: u32) -> bool {
        matches!(self, Proving::Running(_, current) if current == index)
    }

    /// The check of this number runs now, in the lane that was laid out.
    fn running(self, index: u32) -> Proving {
        match self {
            Proving::Preparing(lane) | Proving::Running(lane, _) => Proving::Running(lane, index),
            Proving::Idle => Proving::Idle,
        }
    }
}
