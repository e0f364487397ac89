//! Inputs: what somebody asked ([`Command`]) and what happened ([`Report`]). The only way into the core.

use std::sync::Arc;

use super::{
    agent::{FoundAgent, Touched, Usage},
    decide::{change::Noticed, decision::By, gate::Judgement, ladder::Case, learned::Ground},
    facts::Facts,
    job::{JobId, JobResult},
    plan::spec::TaskSpec,
    room::Waiter,
    run::{Apply, Base, Request},
    task::DiffStat,
};
use crate::{
    ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId},
    time::Timestamp,
};

/// Anything that can change the state.
#[derive(Debug, Clone)]
pub enum Input {
    /// Somebody asked.
    Command(Command),
    /// Something happened.
    Report(Report),
    /// Time passed: a deadline of [`super::State::next_deadline`] may be due.
    Tick,
}

/// What somebody asked for. Who may ask what is settled before (`daemon/roles.rs`).
#[derive(Debug, Clone)]
pub enum Command {
    /// A request.
    Submit(Box<Request>),
    /// A single task, into a run or as a run of its own.
    SubmitTask {
        /// What it is; `needs` is still empty.
        spec: Box<TaskSpec>,
        /// What it needs, by id.
        dependencies: Vec<TaskId>,
        /// The run it joins.
        run: Option<RunId>,
        /// What a run of its own would be asked as.
        request: Box<Request>,
    },
    /// An answer to a decision.
    Answer {
        /// Which.
        decision: DecisionId,
        /// The option's id.
        choice: String,
        /// Words that come with it.
        text: Option<String>,
        /// Who says so.
        by: By,
        /// Whether it holds for its kind of action from now on, and how far.
        remember: Remember,
    },
    /// No longer.
    ForgetRule(String),
    /// A session outside any run was told whether it may do something, or its user was asked.
    NoteOutside {
        /// What it is.
        case: Box<Case>,
        /// What it would do, in a few words.
        what: String,
        /// Yes or no, on which ground and by which rule; `None` = its user was asked.
        ruling: Option<(bool, Ground, Option<String>)>,
    },
    /// Stop a run.
    CancelRun(RunId),
    /// Stop a task.
    CancelTask(TaskId),
    /// Try what failed again: one task, or all of a run.
    Retry {
        /// Of this run.
        run: RunId,
        /// Only this task.
        task: Option<TaskId>,
    },
    /// Bring a run's result into the checkout.
    Apply {
        /// Which run.
        run: RunId,
        /// Only these tasks; empty = all.
        tasks: Vec<TaskId>,
        /// A session says so: where the run's mode wants a person's word, one is asked.
        asks: bool,
    },
    /// An editor has the result in its buffers; both trees are made already.
    Placed {
        /// Which run.
        run: RunId,
        /// What it put there.
        apply: Apply,
    },
    /// Take the newest apply back.
    Undo(RunId),
    /// An editor took the newest apply, which it had made, out of its buffers.
    TakenOut(RunId),
    /// Allow, or no longer allow, the commands found in the workspace's files.
    Trust {
        /// The hash over those files; `None` takes it back.
        hash: Option<String>,
    },
    /// Remember where every active run stands.
    SaveCheckpoint {
        /// Only this run.
        run: Option<RunId>,
        /// Words for people.
        label: String,
        /// Journal position the daemon is at; the loop fills it in.
        position: u64,
    },
    /// Forget what is over and older than the configuration keeps.
    CollectGarbage,
    /// Remember that somebody asked for what they may not do.
    NoteRefusal {
        /// Who, in words.
        by: String,
        /// Which call, and about what.
        what: String,
    },
    /// Set runs back to a checkpoint.
    RestoreCheckpoint(CheckpointId),
    /// Any other, under a key of its caller's: said again with the same key, it is not done again and has the same answer.
    Keyed {
        /// The key.
        key: String,
        /// The name of the call: a key is for one.
        call: String,
        /// What is asked for.
        command: Box<Command>,
    },
    /// A session wants a task to work on: this one, or any that is offered.
    ClaimTask {
        /// This one.
        task: Option<TaskId>,
        /// Who.
        holder: String,
    },
    /// An agent says something about its own attempt.
    AgentReport {
        /// Which.
        attempt: AttemptId,
        /// What.
        word: AgentWord,
    },
}

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Remember {
    /// Once.
    #[default]
    Once,
    /// For its kind of action, in its run.
    Run,
    /// For its kind of action, everywhere in the workspace.
    Always,
}

/// What an agent says through our own calls.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentWord {
    /// It is there.
    Present,
    /// It goes on; so far, per cent.
    Progress(Option<f64>),
    /// It says that it is done.
    Done(String),
    /// It gives up.
    Failed(String),
    /// A note for the others of its run.
    Note(String),
}

/// What an agent's conversation says, read by its driver.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentSaid {
    /// Which conversation it has.
    Session(String),
    /// What it used so far.
    Usage(Usage),
    /// It asks whether it may do something; what the gate says of that.
    Asked {
        /// Its own number for it.
        request: String,
        /// The tool.
        tool: String,
        /// What it would do with it.
        input: serde_json::Value,
        /// What the gate says.
        judgement: Box<Judgement>,
    },
    /// It no longer wants to know.
    Withdrawn(String),
}

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Report {
    /// Which agents there are for a run.
    AgentsFound {
        /// For this run.
        run: RunId,
        /// These.
        agents: Vec<FoundAgent>,
    },
    /// An agent said something.
    AgentSaid {
        /// In this attempt.
        attempt: AttemptId,
        /// What.
        said: AgentSaid,
    },
    /// A daemon has taken the journal up: nothing happened, but something may be due.
    Woken,
    /// The repository was looked at.
    Surveyed {
        /// For this run.
        run: RunId,
        /// What it has.
        facts: Arc<Facts>,
        /// Where the run starts from.
        base: Base,
        /// What people should know.
        notes: Vec<String>,
    },
    /// It could not be.
    SurveyFailed {
        /// For this run.
        run: RunId,
        /// What is wrong and what to do.
        why: String,
    },
    /// A lane is laid out for an attempt.
    LanePrepared {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// A lane could not be laid out.
    LaneFailed {
        /// For this attempt.
        attempt: AttemptId,
        /// What is wrong.
        why: String,
    },
    /// The readers' lane is laid out, or why it could not be.
    SharedPrepared {
        /// Of this run.
        run: RunId,
        /// What is wrong, if it could not be.
        failed: Option<String>,
    },
    /// The readers' lane was looked at after the last of them.
    SharedInspected {
        /// Of this run.
        run: RunId,
        /// What differs from how it was laid out, or why nobody could look.
        changed: Result<Vec<String>, String>,
    },
    /// The lane for the base's checks is laid out, or why it could not be.
    BasePrepared {
        /// Of this run.
        run: RunId,
        /// What is wrong, if it could not be.
        failed: Option<String>,
    },
    /// The lane for the final checks is laid out, or why it could not be.
    FinalPrepared {
        /// Of this run.
        run: RunId,
        /// What is wrong, if it could not be.
        failed: Option<String>,
    },
    /// An agent was to start, and keys that came with its request are not there any more.
    KeysMissing {
        /// Its attempt.
        attempt: AttemptId,
        /// Their names.
        names: Vec<String>,
    },
    /// A client handed keys over that nobody had.
    KeysGiven,
    /// A lane could not be laid out for want of room on the disk.
    NoRoom {
        /// Whose.
        waiter: Waiter,
        /// What is missing, and what to do.
        why: String,
    },
    /// Something about a run that people should see.
    Noted {
        /// Which run.
        run: RunId,
        /// A sentence.
        note: String,
    },
    /// A job's process began.
    JobStarted {
        /// Which job.
        job: JobId,
        /// When.
        at: Timestamp,
    },
    /// A job is over.
    JobEnded {
        /// Which job.
        job: JobId,
        /// How.
        result: JobResult,
    },
    /// A lane was read for changes.
    Harvested {
        /// Of this attempt.
        attempt: AttemptId,
        /// The commit that holds them; the lane's own starting point where there are none.
        commit: String,
        /// Its tree.
        tree: String,
        /// How much changed.
        diff: DiffStat,
        /// Where, the first few.
        paths: Vec<Touched>,
        /// What it does that a person has a word in.
        noticed: Option<Box<Noticed>>,
    },
    /// A change was merged with what had landed.
    Merged {
        /// Of this attempt.
        attempt: AttemptId,
        /// The merge, or the change itself where nothing else had landed.
        commit: String,
        /// Its tree.
        tree: String,
        /// The tip it was merged onto.
        onto: String,
    },
    /// It could not be merged.
    MergeConflict {
        /// Of this attempt.
        attempt: AttemptId,
        /// The paths both sides changed.
        paths: Vec<String>,
    },
    /// The run's ref moved to the attempt's merge.
    Advanced {
        /// Of this attempt.
        attempt: AttemptId,
    },
    /// The run's ref was not where it should be; it is here.
    AdvanceRefused {
        /// Of this attempt.
        attempt: AttemptId,
        /// Where the ref is.
        why: String,
    },
    /// A git step of an attempt failed: disk full, repository gone, ….
    StepFailed {
        /// Of this attempt.
        attempt: AttemptId,
        /// What is wrong.
        why: String,
    },
    /// The result was published.
    Published {
        /// Of this run.
        run: RunId,
        /// As this branch; `None` where nothing had landed.
        branch: Option<String>,
        /// What went wrong, if it did; the hidden ref holds the result all the same.
        failed: Option<String>,
    },
    /// A result entered the checkout.
    Applied {
        /// Of this run.
        run: RunId,
        /// How.
        apply: Apply,
    },
    /// It did not.
    ApplyRefused {
        /// Of this run.
        run: RunId,
        /// What is wrong.
        why: String,
        /// Where.
        paths: Vec<String>,
    },
    /// An apply was taken back.
    Undone {
        /// Of this run.
        run: RunId,
        /// Its number.
        number: u32,
        /// What was restored.
        paths: Vec<String>,
    },
    /// It was not.
    UndoRefused {
        /// Of this run.
        run: RunId,
        /// What is wrong.
        why: String,
        /// Where.
        paths: Vec<String>,
    },
}
