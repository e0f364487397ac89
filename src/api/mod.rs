//! The daemon's contract: every call that a client may make, and the shapes that go over the wire.
//!
//! JSON-RPC 2.0, parameters by name. The first eight calls are the specification's (2.10); the rest is what its faces
//! need. Nothing here decides anything: requests are checked for their form, never for their meaning.
//!
//! A call that would be done twice if it were made twice takes a `key` (`process_request` and `submit_task` inside of what
//! is handed in): whoever lost the connection under it makes it again with the same key, and has the same answer. The
//! newest few hundred of them are kept in the journal.
//!
//! The library's own checks would answer a malformed request in its words, so requests travel as [`Unchecked`] and the
//! server calls [`Unchecked::check`] first.

pub mod agent;
pub mod count;
pub mod decision;
pub mod error;
pub mod event;
pub mod kept;
pub mod reply;
pub mod request;
pub mod result;
pub mod score;
pub mod session;
pub mod state;
pub mod wire;

pub use agent::{AgentReportReply, AgentTask, ClaimReply, NotesReply, ReportKind};
pub use decision::{Decision, DecisionResult, PendingDecisions};
pub use error::{ApiError, Code};
pub use event::{Changes, Event, EventData, EventType};
use jsonrpsee::{
    core::{RpcResult, SubscriptionResult},
    proc_macros::rpc,
};
pub use reply::{
    CancelResponse, CheckpointResponse, Outcome, PlanView, ProcessResponse, TaskResponse, TaskState, TaskStatus,
};
pub use request::{ProcessRequest, TaskSubmission, UserDecisionResponse, parse_request};
pub use result::{
    ApplyReply, DiffReply, GarbageReply, LogReply, PlacedFile, PlanReply, Report, RestoreReply, RetryReply, RunList,
    UndoReply, WhyReply,
};
pub use score::{AskRuling, DecisionHistory, ForgetReply, Scorecard};
pub use session::{
    DaemonStatus, ExplainReply, FactsReply, Hello, PROTOCOL, Role, StopReply, TrustReply, Welcome, allowed_env,
};
pub use state::{OrchestratorState, RunState};
pub use wire::{LogId, Time, Unchecked, WorkId};

use crate::ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId};

/// Every call of the daemon. The macro makes `OrchestratorApiServer` and `OrchestratorApiClient` of it.
#[rpc(server, client)]
pub trait OrchestratorApi {
    /// The greeting; any other call before it is refused with INVALID.
    #[method(name = "hello", param_kind = map)]
    async fn hello(&self, hello: Hello) -> RpcResult<Welcome>;

    /// Hands in a large request.
    #[method(name = "process_request", param_kind = map)]
    async fn process_request(&self, request: Unchecked<ProcessRequest>) -> RpcResult<ProcessResponse>;

    /// Hands in one task.
    #[method(name = "submit_task", param_kind = map)]
    async fn submit_task(&self, task: Unchecked<TaskSubmission>) -> RpcResult<TaskResponse>;

    /// Where a task or a run stands.
    #[method(name = "get_task_status", param_kind = map)]
    async fn get_task_status(&self, task_id: WorkId) -> RpcResult<TaskStatus>;

    /// Cancels a task or a run. Cancelling what has ended changes nothing and says so.
    #[method(name = "cancel_task", param_kind = map)]
    async fn cancel_task(&self, task_id: WorkId) -> RpcResult<CancelResponse>;

    /// The state of the workspace, or of one run in it.
    #[method(name = "get_state", param_kind = map)]
    async fn get_state(&self, session_id: Option<RunId>) -> RpcResult<OrchestratorState>;

    /// Saves a checkpoint of one run, or of all.
    #[method(name = "save_checkpoint", param_kind = map)]
    async fn save_checkpoint(
        &self,
        session_id: Option<RunId>,
        label: Option<String>,
        key: Option<String>,
    ) -> RpcResult<CheckpointResponse>;

    /// The open decisions, most urgent first.
    #[method(name = "get_pending_decisions", param_kind = map)]
    async fn get_pending_decisions(&self) -> RpcResult<PendingDecisions>;

    /// Answers a decision.
    #[method(name = "submit_decision", param_kind = map)]
    async fn submit_decision(
        &self,
        decision_id: DecisionId,
        response: Unchecked<UserDecisionResponse>,
    ) -> RpcResult<DecisionResult>;

    /// The same over one face of a connection that has several: an MCP client's form, prompt or tool. Whether it counts
    /// as a person's the daemon finds out.
    #[method(name = "answer_decision", param_kind = map)]
    async fn answer_decision(
        &self,
        decision_id: DecisionId,
        response: Unchecked<UserDecisionResponse>,
        surface: decision::Surface,
    ) -> RpcResult<DecisionResult>;

    /// How well decisions without a person went.
    #[method(name = "get_scorecard", param_kind = map)]
    async fn get_scorecard(&self) -> RpcResult<Scorecard>;

    /// What was decided, newest first: by persons, and without them (default 30 of each).
    #[method(name = "decision_history", param_kind = map)]
    async fn decision_history(&self, last: Option<u32>) -> RpcResult<DecisionHistory>;

    /// An answer that held for a kind of action no longer does. Persons only.
    #[method(name = "forget_rule", param_kind = map)]
    async fn forget_rule(&self, id: String, key: Option<String>) -> RpcResult<ForgetReply>;

    /// What is remembered and learned of something that a session outside any run wants to do, in the workspace whose
    /// checkout is at `root`; `judgement` is what the rules say, `otherwise` what the session hears where nothing is
    /// remembered or learned. Needs no greeting. That it was asked is noted for the scorecard.
    #[method(name = "judge_ask", param_kind = map)]
    async fn judge_ask(
        &self,
        root: String,
        tool: String,
        input: serde_json::Value,
        judgement: serde_json::Value,
        otherwise: Option<String>,
    ) -> RpcResult<AskRuling>;

    /// Events after a revision; waits for the first where there is none, at most `timeout_s` seconds (default 30, most 300).
    #[method(name = "wait_for_change", param_kind = map)]
    async fn wait_for_change(&self, after: u64, timeout_s: Option<f64>, run: Option<RunId>) -> RpcResult<Changes>;

    /// Goes back to a checkpoint. Effects outside do not go back and are listed.
    #[method(name = "restore_checkpoint", param_kind = map)]
    async fn restore_checkpoint(&self, checkpoint_id: CheckpointId, key: Option<String>) -> RpcResult<RestoreReply>;

    /// What a run's result would change; with `patch` (the default) as text too.
    #[method(name = "diff", param_kind = map)]
    async fn diff(&self, run: RunId, patch: Option<bool>) -> RpcResult<DiffReply>;

    /// Brings a run's result, or the part of some tasks, into the checkout.
    #[method(name = "apply", param_kind = map)]
    async fn apply(&self, run: RunId, tasks: Option<Vec<TaskId>>, key: Option<String>) -> RpcResult<ApplyReply>;

    /// Takes a run's result out of the checkout again.
    #[method(name = "undo", param_kind = map)]
    async fn undo(&self, run: RunId, key: Option<String>) -> RpcResult<UndoReply>;

    /// An editor brought a run's result into its buffers: each file's text before and after, as saving it would write it.
    /// It counts as applied from then on, and `undo` takes it out.
    #[method(name = "placed", param_kind = map)]
    async fn placed(&self, run: RunId, files: Vec<PlacedFile>) -> RpcResult<ApplyReply>;

    /// An editor took out of its buffers what it had brought in; what it saved of it meanwhile is its own again to save.
    #[method(name = "taken_out", param_kind = map)]
    async fn taken_out(&self, run: RunId) -> RpcResult<UndoReply>;

    /// Tries a failed task, or all failed tasks of a run, again.
    #[method(name = "retry", param_kind = map)]
    async fn retry(&self, task_id: WorkId, key: Option<String>) -> RpcResult<RetryReply>;

    /// A run's plan.
    #[method(name = "get_plan", param_kind = map)]
    async fn get_plan(&self, run: RunId) -> RpcResult<PlanReply>;

    /// A run's report, finished or so far.
    #[method(name = "get_report", param_kind = map)]
    async fn get_report(&self, run: RunId) -> RpcResult<Report>;

    /// An attempt's output: its last `tail` lines (default: all, cut to a megabyte), or from a byte offset on. Where
    /// there is nothing yet behind `offset_bytes` and the attempt goes on, waits up to `wait_s` seconds (default 0,
    /// most 300) for more.
    #[method(name = "get_log", param_kind = map)]
    async fn get_log(
        &self,
        id: LogId,
        tail: Option<u64>,
        offset_bytes: Option<u64>,
        wait_s: Option<f64>,
    ) -> RpcResult<LogReply>;

    /// Why a run, task, attempt, decision or checkpoint is as it is.
    #[method(name = "why", param_kind = map)]
    async fn why(&self, id: String) -> RpcResult<WhyReply>;

    /// Gives or takes trust in the files of the workspace. Persons only.
    #[method(name = "trust", param_kind = map)]
    async fn trust(&self, grant: bool) -> RpcResult<TrustReply>;

    /// What is known about the workspace.
    #[method(name = "get_facts", param_kind = map)]
    async fn get_facts(&self) -> RpcResult<FactsReply>;

    /// What a request would be taken for.
    #[method(name = "explain_request", param_kind = map)]
    async fn explain_request(&self, text: String) -> RpcResult<ExplainReply>;

    /// Runs, newest first.
    #[method(name = "list_runs", param_kind = map)]
    async fn list_runs(&self) -> RpcResult<RunList>;

    /// Forgets runs that are over and older than the configuration keeps, and deletes what belongs to them.
    #[method(name = "collect_garbage", param_kind = map)]
    async fn collect_garbage(&self) -> RpcResult<GarbageReply>;

    /// Claims a task that is offered to sessions, or this one. The lease runs ten minutes from any call about it.
    #[method(name = "claim_task", param_kind = map)]
    async fn claim_task(&self, task_id: Option<TaskId>, key: Option<String>) -> RpcResult<ClaimReply>;

    /// The caller's own task: an agent that we started leaves `attempt_id` out, a session names the one it claimed.
    #[method(name = "agent_task", param_kind = map)]
    async fn agent_task(&self, attempt_id: Option<AttemptId>) -> RpcResult<AgentTask>;

    /// Reports about the caller's own task. A late one, of an attempt that is no longer current, is STALE.
    #[method(name = "agent_report", param_kind = map)]
    async fn agent_report(
        &self,
        kind: ReportKind,
        text: String,
        attempt_id: Option<AttemptId>,
        percent: Option<f64>,
        key: Option<String>,
    ) -> RpcResult<AgentReportReply>;

    /// The run's notes after a number (default 0: all); with `add`, leaves one first.
    #[method(name = "agent_notes", param_kind = map)]
    async fn agent_notes(
        &self,
        attempt_id: Option<AttemptId>,
        add: Option<String>,
        after: Option<u32>,
        key: Option<String>,
    ) -> RpcResult<NotesReply>;

    /// How the daemon is.
    #[method(name = "daemon_status", param_kind = map)]
    async fn daemon_status(&self) -> RpcResult<DaemonStatus>;

    /// Ends the daemon; running attempts go on under their keepers. `now` does not wait for open commits of clients.
    #[method(name = "stop_daemon", param_kind = map)]
    async fn stop_daemon(&self, now: bool) -> RpcResult<StopReply>;

    /// Events after a revision as they are stored, without hole or repeat; of one run or of all. One notification
    /// holds those of one or several commits, in order.
    #[subscription(name = "subscribe_events" => "event", unsubscribe = "unsubscribe_events", item = Vec<Event>, param_kind = map)]
    async fn subscribe_events(&self, after: u64, run: Option<RunId>) -> SubscriptionResult;
}
