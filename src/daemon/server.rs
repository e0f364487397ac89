//! The calls of `api/`, for one connection: convert, one message to the workspace's loop, convert.
//!
//! Nothing is decided here but who may do what (`roles`).

mod quick;

pub use quick::{Asked, Out};

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jsonrpsee::{
    PendingSubscriptionSink, SubscriptionMessage,
    core::{RpcResult, SubscriptionResult, async_trait},
};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    agents,
    convert::{self, Given, View},
    effects, explain,
    main_loop::{Answer, Wake},
    publish::{BEHIND_MAX, Published},
    roles::{self, Act},
    workspaces::{Handle, LastFound, Shared, ask},
};
use crate::{
    api::{
        self, ApiError, Code, OrchestratorApiServer, PROTOCOL,
        decision::{Answerer, AnswererKind, Surface},
        *,
    },
    core::{
        Command, Event, Reply, State,
        agent::FoundAgent,
        confine::Confine,
        decide::gate::Judgement,
        input::AgentWord,
        run::{Mode, Run},
    },
    ids::{AttemptId, CheckpointId, DecisionId, RunId, TaskId},
    store::Position,
    time::now,
};

/// Longest wait of a call that waits, seconds.
const WAIT_S_MAX: f64 = 300.0;

/// Most commits that one notification holds.
const TOLD_MAX: usize = 64;

/// How long an explanation may rest on what the repository was.
const LOOK_LIFE: Duration = Duration::from_secs(2);

/// Refused calls of one connection that the journal remembers.
const REFUSALS_NOTED_MAX: u32 = 20;

/// Most of a log that one call returns, bytes.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// How long the list of agents is good: that somebody installs one is told by nobody.
const AGENTS_LIFE_MS: u64 = 2_000;

/// What a connection is, after its greeting.
struct Greeted {
    workspace: Handle,
    checkout: PathBuf,
    env: BTreeMap<String, String>,
    /// Names of the keys that it handed over.
    keys: Vec<String>,
    client: session::ClientInfo,
}

/// One connection.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    role: Role,
    /// Whether its forms and prompts are a person's (`roles::vouches`).
    vouches: bool,
    refusals: Arc<AtomicU32>,
    /// The attempt that the caller is the agent of.
    attempt: Option<AttemptId>,
    greeted: Arc<OnceLock<Greeted>>,
    last_look: Arc<Mutex<Option<(std::time::Instant, crate::core::facts::Facts)>>>,
}

impl Session {
    /// A connection whose greeting is still to come.
    pub fn new(shared: Arc<Shared>, role: Role, vouches: bool) -> Session {
        let (greeted, last_look, refusals) = (Arc::default(), Arc::default(), Arc::default());
        Session { shared, role, vouches, refusals, attempt: None, greeted, last_look }
    }

    /// What this connection may do. Over MCP comes what a model calls, whoever started the program: a client may say
    /// something that takes rights away.
    fn role(&self) -> Role {
        match (self.role, self.greeted.get()) {
            (Role::Person, Some(greeted)) if is_mcp(&greeted.client) => Role::Session,
            (role, _) => role,
        }
    }

    /// Puts into the journal that this connection asked for what it may not do: a few times, because whoever is
    /// refused may ask a million times.
    pub fn note_refusal(&self, what: String) {
        let Some(greeted) = self.greeted.get() else { return };
        if self.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS_NOTED_MAX {
            return;
        }
        let by = match self.role() {
            Role::Person => "a person",
            Role::Session => "a session",
            Role::Agent => "an agent of a run",
        };
        let by = format!("{by} ({})", greeted.client.name);
        let answer: Answer = Box::new(|_| Box::new(|| ()));
        let _ = greeted.workspace.wakes.send(Wake::Command(Box::new(Command::NoteRefusal { by, what }), answer));
    }

    /// The same for the agent of an attempt.
    pub fn of_attempt(mut self, attempt: Option<AttemptId>) -> Session {
        self.attempt = attempt;
        self
    }

    /// The attempt that a call is about: an agent's is its own and no other, a session says which it claimed.
    fn own(&self, named: Option<AttemptId>) -> Result<AttemptId, ApiError> {
        self.greeted(Act::Own)?;
        match (self.role, self.attempt, named) {
            (Role::Agent, Some(own), Some(named)) if own != named => {
                let message = format!("{named} is not this agent's; its own is {own}");
                Err(ApiError::new(Code::Forbidden, message, "leave attempt_id out"))
            }
            (Role::Agent, Some(own), _) => Ok(own),
            (Role::Agent, None, _) => Err(ApiError::new(
                Code::Forbidden,
                "this process belongs to no attempt",
                "only an agent's own calls count",
            )),
            (_, _, Some(named)) => Ok(named),
            (_, _, None) => {
                let message = "attempt_id is missing";
                Err(ApiError::new(Code::Invalid, message, "name the attempt that claim_task gave")
                    .at_field("attempt_id"))
            }
        }
    }

    /// What an agent or a session says of its own attempt.
    async fn word(&self, attempt: AttemptId, word: AgentWord, key: Option<String>) -> Result<(), ApiError> {
        if self.role == Role::Agent && self.attempt != Some(attempt) {
            return Err(ApiError::new(Code::Forbidden, format!("{attempt} is not this agent's"), ""));
        }
        if self.role != Role::Agent {
            // What one of our own processes works on is not a session's to report.
            let leased = self.read(move |view| Ok(view.state.live(attempt).map(|(_, live)| live.leased()))).await?;
            if leased == Some(false) {
                let message = format!("{attempt} was not claimed by a session: an agent of ours works on it");
                return Err(ApiError::new(Code::Forbidden, message, "claim a task of your own: claim_task"));
            }
        }
        self.keyed((Act::Own, "agent_report", key), Command::AgentReport { attempt, word }, |_, _| Ok(())).await
    }

    /// Who claims, for people and for the record.
    fn holder(&self) -> Result<String, ApiError> {
        let name = &self.greeted(Act::Work)?.client.name;
        Ok(format!("session:{}", if name.is_empty() { "unnamed" } else { name }))
    }

    /// The agents that there are on this client's PATH.
    async fn agents(&self) -> Result<Arc<[FoundAgent]>, ApiError> {
        let path_var = self.greeted(Act::Read)?.env.get("PATH").cloned().unwrap_or_default();
        if let Some((found, _)) = self.agents_known(&path_var) {
            return Ok(found);
        }
        let (profiles, begun) = (self.shared.settings.agents.clone(), now());
        let path = path_var.clone();
        let found = tokio::task::spawn_blocking(move || agents::find(&profiles, &path));
        let found: Arc<[FoundAgent]> =
            found.await.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?.into();
        *lock(&self.shared.found) = Some(LastFound { path_var, at: begun, agents: found.clone() });
        Ok(found)
    }

    /// The agents on this PATH, if they were looked for just now, and how many milliseconds that is good for.
    fn agents_known(&self, path_var: &str) -> Option<(Arc<[FoundAgent]>, u64)> {
        let known = lock(&self.shared.found);
        let known = known.as_ref().filter(|known| known.path_var == path_var)?;
        let age = now().0.checked_sub(known.at.0)?;
        Some((known.agents.clone(), AGENTS_LIFE_MS.checked_sub(age).filter(|left| *left > 0)?))
    }

    /// Names of the playbooks and skills of a checkout, and of the user.
    async fn library(&self, checkout: PathBuf) -> Vec<String> {
        let look = tokio::task::spawn_blocking(move || super::playbooks(&checkout).0);
        let found = look.await.unwrap_or_default();
        found.into_iter().map(|(playbook, _)| playbook.name).collect()
    }

    fn greeted(&self, act: Act) -> Result<&Greeted, ApiError> {
        roles::allow(self.role(), act)?;
        self.greeted.get().ok_or_else(|| {
            ApiError::new(Code::Invalid, "this connection has not said hello", "call `hello` first, with the workspace")
        })
    }

    /// Asks the loop something about its state.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let greeted = self.greeted(Act::Read)?;
        ask(&greeted.workspace, read).await.unwrap_or_else(|| Err(closed()))
    }

    /// Gives the loop a command; `answer` is made of the state that it leads to, and comes when that is on disk.
    async fn command<T: Send + 'static>(
        &self,
        act: Act,
        command: Command,
        answer: impl FnOnce(&View, Reply) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let greeted = self.greeted(act)?;
        let (to, answered) = oneshot::channel();
        let answer: Answer = Box::new(move |outcome| {
            let value = match outcome {
                Ok((view, reply)) => answer(view, reply),
                Err(rejection) => Err(convert::rejection(rejection)),
            };
            Box::new(move || drop(to.send(value)))
        });
        let sent = greeted.workspace.wakes.send(Wake::Command(Box::new(command), answer));
        sent.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The same under a key of the caller's, where it gave one.
    async fn keyed<T: Send + 'static>(
        &self,
        (act, call, key): (Act, &str, Option<String>),
        command: Command,
        answer: impl FnOnce(&View, Reply) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        request::check_key(key.as_deref())?;
        let command = match key {
            Some(key) => Command::Keyed { key, call: call.to_owned(), command: Box::new(command) },
            None => command,
        };
        self.command(act, command, answer).await
    }

    /// Waits until `ready` has something to say; it is asked at once and after every commit.
    async fn until<T: Send + 'static>(
        &self,
        ready: impl Fn(&View) -> Option<Result<T, ApiError>> + Send + Sync + Clone + 'static,
    ) -> Result<T, ApiError> {
        loop {
            let (mut commits, head) = self.follow(None).await?;
            let _ = head;
            let ready_now = ready.clone();
            if let Some(done) = self.read(move |view| Ok(ready_now(view))).await? {
                return done;
            }
            while commits.recv().await.is_some() {
                // One look for however many commits there were.
                while commits.try_recv().is_ok() {}
                let ready_now = ready.clone();
                if let Some(done) = self.read(move |view| Ok(ready_now(view))).await? {
                    return done;
                }
            }
        }
    }

    /// Follows the commits after a position, or from now on.
    async fn follow(&self, after: Option<u64>) -> Result<(mpsc::Receiver<Arc<Published>>, u64), ApiError> {
        let head = self.read(|view| Ok(view.revision)).await?;
        let (to, commits) = mpsc::channel(BEHIND_MAX);
        let after = after.unwrap_or(head).min(head);
        let greeted = self.greeted(Act::Read)?;
        let subscribe = Wake::Subscribe { after: Position(after), to };
        greeted.workspace.wakes.send(subscribe).map_err(|_| closed())?;
        Ok((commits, after))
    }

    fn answerer(&self) -> Result<Answerer, ApiError> {
        let greeted = self.greeted(Act::Work)?;
        let kind = match self.role() {
            Role::Person => AnswererKind::Person,
            Role::Session | Role::Agent => AnswererKind::Session,
        };
        let surface = match greeted.client.surface.as_str() {
            "lsp" => Surface::Lsp,
            _ if is_mcp(&greeted.client) => Surface::McpTool,
            _ => Surface::Cli,
        };
        Ok(Answerer { kind, surface, name: Some(greeted.client.name.clone()) })
    }

    async fn take_answer(
        &self,
        decision_id: DecisionId,
        response: Unchecked<UserDecisionResponse>,
        by: Answerer,
    ) -> Result<DecisionResult, ApiError> {
        if by.kind != AnswererKind::Person {
            let only = self.read(move |view| Ok(convert::person_only(view, view.decision(decision_id)?))).await?;
            if only {
                let message = format!("{decision_id} is a person's to answer");
                return Err(ApiError::new(Code::Forbidden, message, "show it to the person you work for"));
            }
        }
        let response = response.check()?;
        let remember = response.remember;
        if remember != crate::api::request::Remember::Once && by.kind != AnswererKind::Person {
            let hint = "answer with `remember` = once, and let the person say what holds for longer";
            return Err(
                ApiError::new(Code::Forbidden, "only a person's answer is remembered", hint).at_field("remember")
            );
        }
        let command = convert::answer(decision_id, response, &by)?;
        self.command(Act::Work, command, move |view, reply| {
            let again = matches!(reply, Reply::Decided { again: true, .. });
            let mut result = convert::decision_result(view, decision_id, again)?;
            let rule = view.state.learned.rules.iter().rev().find(|rule| rule.decision == decision_id);
            if let Some(rule) = rule.filter(|_| remember != crate::api::request::Remember::Once) {
                let word = if rule.yes { "always" } else { "never" };
                let whole = format!("; {word} for `{}` (orchestrator decisions forget {})", rule.sort, rule.id);
                result.summary.push_str(&whole);
            }
            Ok(result)
        })
        .await
    }

    fn snapshot_options(&self) -> super::lanes::SnapshotOptions {
        super::lanes::SnapshotOptions {
            file_bytes_max: self.shared.config.lanes.max_file_mb << 20,
            ..super::lanes::SnapshotOptions::default()
        }
    }

    /// Looks at the repository now, on a blocking thread.
    async fn look(&self) -> Result<crate::core::facts::Facts, ApiError> {
        let greeted = self.greeted(Act::Read)?;
        let (repo, checkout) = (greeted.workspace.repo.clone(), greeted.checkout.clone());
        let path_var = greeted.env.get("PATH").cloned().unwrap_or_default();
        let options = self.snapshot_options();
        let looked = tokio::task::spawn_blocking(move || {
            effects::look(&repo, &checkout, "refs/orchestrator/look/base", &BTreeMap::new(), &options, &path_var)
        });
        let looked = looked.await.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?;
        looked.map(|(_, facts)| facts).map_err(|error| ApiError::new(Code::Unavailable, error.to_string(), ""))
    }

    /// What the repository had a moment ago, for whoever asks many questions in a row. Nothing is decided by it.
    async fn looked(&self) -> Result<crate::core::facts::Facts, ApiError> {
        let mut last = self.last_look.lock().await;
        if let Some((at, facts)) = last.as_ref().filter(|(at, _)| at.elapsed() < LOOK_LIFE) {
            tracing::trace!(age = ?at.elapsed(), "the last look is young enough");
            return Ok(facts.clone());
        }
        let facts = self.look().await?;
        *last = Some((std::time::Instant::now(), facts.clone()));
        Ok(facts)
    }

    fn surroundings(&self) -> convert::Surroundings {
        convert::Surroundings {
            agents: Vec::new(),
            daemon: api::state::DaemonInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                since: Time(self.shared.since),
            },
            protections: protections(&self.shared.settings),
        }
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is locked here is replaced as a whole: a panic leaves the old or the new.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn protections(settings: &crate::core::Settings) -> api::state::Protections {
    api::state::Protections {
        sandbox: agents::sandbox::level().to_owned(),
        commands: match (agents::sandbox::abi(), settings.confine) {
            (0, _) | (_, Confine::None) => "none",
            (_, Confine::Derived) => "derived",
            (_, Confine::All) => "all",
        }
        .to_owned(),
        supervision: if cfg!(target_os = "linux") { "keeper+subreaper" } else { "keeper" }.to_owned(),
        durability: "power loss".to_owned(),
    }
}

/// How long a claim waits for its lane.
const LANE_WAIT: Duration = Duration::from_secs(60);

/// Longest words of a report, characters.
const REPORT_CHARS_MAX: usize = 4_000;

/// Longest note of a run: each is told to every agent.
const NOTE_CHARS_MAX: usize = 1_000;

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

fn is_mcp(client: &session::ClientInfo) -> bool {
    client.surface.starts_with("mcp")
}

fn closed() -> ApiError {
    ApiError::new(Code::Unavailable, "the workspace is being closed", api::error::TRY_AGAIN)
}

#[async_trait]
impl OrchestratorApiServer for Session {
    async fn hello(&self, hello: Hello) -> RpcResult<Welcome> {
        let env = session::allowed_env(hello.env);
        let mut keys = Vec::new();
        if self.role != Role::Agent {
            let wanted = self.shared.config.agent_env();
            let given: BTreeMap<String, String> =
                hello.secrets.into_iter().filter(|(name, _)| wanted.contains(name)).collect();
            keys.extend(given.keys().cloned());
            if self.shared.secrets.keep(given) {
                self.shared.tell_all(&crate::core::Report::KeysGiven);
            }
        }
        if self.shared.ending() {
            return Err(closed().into());
        }
        let folder = PathBuf::from(&hello.workspace);
        if !folder.is_absolute() {
            let message = format!("{:?} is not an absolute path", hello.workspace);
            return Err(ApiError::new(Code::Invalid, message, "say where the workspace is")
                .at_field("workspace")
                .into());
        }
        let (workspace, checkout) = self.shared.workspace(&folder, env.get("PATH").cloned()).await?;
        let greeted = Greeted { workspace, checkout, env, keys, client: hello.client };
        // A second greeting on the same connection changes nothing: whoever follows already, follows this workspace.
        let greeted = self.greeted.get_or_init(|| greeted);
        let path = greeted.checkout.display().to_string();
        let role = self.role();
        let welcome = self.read(move |view| {
            let mut workspace = view.workspace.clone();
            workspace.path = path;
            workspace.trusted = view.state.trusted.is_some();
            Ok(Welcome {
                summary: format!("{} at revision {}", workspace.name, view.revision),
                revision: view.revision,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: PROTOCOL,
                workspace,
                role,
                pid: std::process::id(),
                count: None,
            })
        });
        let welcome: Welcome = welcome.await?;
        Ok(Welcome { count: greeted.workspace.count.place(), ..welcome })
    }

    async fn process_request(&self, request: Unchecked<ProcessRequest>) -> RpcResult<ProcessResponse> {
        let greeted = self.greeted(Act::Work)?;
        let given = Given {
            now: now(),
            checkout: &greeted.checkout,
            env: &greeted.env,
            keys: &greeted.keys,
            trust: false,
            settings: &self.shared.settings,
            playbooks: &[],
        };
        let request = convert::process_request(request.check()?, &given)?;
        let dry = request.mode == Mode::Plan;
        let answer = self.command(Act::Work, Command::Submit(Box::new(request)), |view, reply| match reply {
            Reply::Run { run, duplicate } => convert::process_response(view, run, duplicate),
            other => Err(unexpected(&other)),
        });
        let response = answer.await?;
        if !dry {
            return Ok(response);
        }
        // A dry run is its plan: the answer waits for it.
        let (run, duplicate) = (response.request_id, response.duplicate);
        let planned = self.until(move |view| {
            let over = view.run(run).map(Run::ended).unwrap_or(true);
            over.then(|| convert::process_response(view, run, duplicate))
        });
        Ok(planned.await?)
    }

    async fn submit_task(&self, task: Unchecked<TaskSubmission>) -> RpcResult<TaskResponse> {
        let greeted = self.greeted(Act::Work)?;
        let task = task.check()?;
        let names_one = matches!(task.kind.as_str(), "skill_execution" | "workflow_execution");
        let playbooks = if names_one { self.library(greeted.checkout.clone()).await } else { Vec::new() };
        let given = Given {
            now: now(),
            checkout: &greeted.checkout,
            env: &greeted.env,
            keys: &greeted.keys,
            trust: false,
            settings: &self.shared.settings,
            playbooks: &playbooks,
        };
        let command = convert::submit_task(task, &given)?;
        let answer = self.command(Act::Work, command, |view, reply| match reply {
            Reply::Task(task) => convert::task_response(view, task),
            other => Err(unexpected(&other)),
        });
        Ok(answer.await?)
    }

    async fn get_task_status(&self, task_id: WorkId) -> RpcResult<TaskStatus> {
        Ok(self.read(move |view| convert::task_status(view, task_id)).await?)
    }

    async fn cancel_task(&self, task_id: WorkId) -> RpcResult<CancelResponse> {
        let was = self.read(move |view| convert::status_word(view, task_id)).await?;
        let command = match task_id {
            WorkId::Run(run) => Command::CancelRun(run),
            WorkId::Task(task) => Command::CancelTask(task),
        };
        self.greeted(Act::Work)?;
        let over = move |view: &View| match task_id {
            WorkId::Run(run) => view.state.run(run).is_none_or(Run::ended),
            WorkId::Task(task) => view.state.task(task).is_none_or(|task| task.settled().is_some()),
        };
        // What has ended is not refused: whoever wants it ended has what they want.
        if self.read(move |view| Ok(over(view))).await? {
            return Ok(self.read(move |view| convert::cancel_response(view, task_id, &was)).await?);
        }
        self.command(Act::Work, command, |_, _| Ok(())).await?;
        // What runs is asked to end, and gets a moment for it.
        let ended = self.until(move |view| over(view).then_some(Ok(())));
        let _ = tokio::time::timeout(Duration::from_secs(15), ended).await;
        Ok(self.read(move |view| convert::cancel_response(view, task_id, &was)).await?)
    }

    async fn get_state(&self, session_id: Option<RunId>) -> RpcResult<OrchestratorState> {
        let mut surroundings = self.surroundings();
        let found = self.agents().await?;
        let state = self.read(move |view| {
            surroundings.agents = convert::agent_list(view, &found);
            convert::orchestrator_state(view, session_id, surroundings)
        });
        Ok(state.await?)
    }

    async fn save_checkpoint(
        &self,
        session_id: Option<RunId>,
        label: Option<String>,
        key: Option<String>,
    ) -> RpcResult<CheckpointResponse> {
        let label = label.unwrap_or_default();
        // The position is the loop's to say.
        let command = Command::SaveCheckpoint { run: session_id, label, position: 0 };
        let answer = self.keyed((Act::Work, "save_checkpoint", key), command, |view, reply| match reply {
            Reply::Checkpoint(id) => convert::checkpoint_response(view, id),
            other => Err(unexpected(&other)),
        });
        Ok(answer.await?)
    }

    async fn get_pending_decisions(&self) -> RpcResult<PendingDecisions> {
        Ok(self.read(|view| Ok(convert::pending_decisions(view))).await?)
    }

    async fn submit_decision(
        &self,
        decision_id: DecisionId,
        response: Unchecked<UserDecisionResponse>,
    ) -> RpcResult<DecisionResult> {
        let by = self.answerer()?;
        Ok(self.take_answer(decision_id, response, by).await?)
    }

    async fn answer_decision(
        &self,
        decision_id: DecisionId,
        response: Unchecked<UserDecisionResponse>,
        surface: Surface,
    ) -> RpcResult<DecisionResult> {
        let mut by = self.answerer()?;
        // Only over MCP does one connection carry what a person says and what a model calls.
        if by.surface == Surface::McpTool && matches!(surface, Surface::McpForm | Surface::McpPrompt) {
            by.surface = surface;
            if self.vouches {
                by.kind = AnswererKind::Person;
            }
        }
        Ok(self.take_answer(decision_id, response, by).await?)
    }

    async fn get_scorecard(&self) -> RpcResult<Scorecard> {
        Ok(self.read(|view| Ok(convert::scorecard(view))).await?)
    }

    async fn decision_history(&self, last: Option<u32>) -> RpcResult<DecisionHistory> {
        Ok(self.read(move |view| Ok(convert::history(view, last.unwrap_or(30).min(1000)))).await?)
    }

    async fn forget_rule(&self, id: String, key: Option<String>) -> RpcResult<ForgetReply> {
        let forgotten = id.clone();
        let reply = self.keyed((Act::Govern, "forget_rule", key), Command::ForgetRule(id), move |view, _| {
            let summary = format!("{forgotten} no longer holds; such actions are asked about again");
            Ok(ForgetReply { summary, revision: view.revision, id: forgotten })
        });
        Ok(reply.await?)
    }

    async fn judge_ask(
        &self,
        root: String,
        tool: String,
        input: serde_json::Value,
        judgement: serde_json::Value,
        otherwise: Option<String>,
    ) -> RpcResult<AskRuling> {
        roles::allow(self.role(), Act::Read)?;
        let otherwise = otherwise.unwrap_or_default();
        let judgement: Judgement = serde_json::from_value(judgement)
            .map_err(|error| ApiError::new(Code::Invalid, error.to_string(), "").at_field("judgement"))?;
        for handle in self.shared.workspaces() {
            let (root, tool, input, judgement) = (root.clone(), tool.clone(), input.clone(), judgement.clone());
            let otherwise = otherwise.clone();
            let ruled = ask(&handle, move |view| {
                let ruling = || convert::ask_ruling(view, (&tool, &input), &judgement, &otherwise);
                (view.workspace.path == root).then(ruling)
            });
            if let Some((ruled, note)) = ruled.await.flatten() {
                // The answer does not wait for the disk; and what an agent of a run says here is no session's.
                if let Some(note) = note.filter(|_| roles::allow(self.role(), Act::Work).is_ok()) {
                    let nobody: Answer = Box::new(|_| Box::new(|| {}));
                    let _ = handle.wakes.send(Wake::Command(Box::new(note), nobody));
                }
                return Ok(ruled);
            }
        }
        Err(ApiError::new(Code::NotFound, format!("no workspace is open at {root}"), "").into())
    }

    async fn wait_for_change(&self, after: u64, timeout_s: Option<f64>, run: Option<RunId>) -> RpcResult<Changes> {
        let wait = timeout_s.unwrap_or(30.0);
        if !(0.0..=WAIT_S_MAX).contains(&wait) {
            let message = format!("timeout_s is {wait}, and must be between 0 and {WAIT_S_MAX}");
            return Err(ApiError::new(Code::Invalid, message, "").at_field("timeout_s").into());
        }
        let head = self.read(|view| Ok(view.revision)).await?;
        let (mut commits, mut revision) = self.follow(Some(after)).await?;
        let mut events = Vec::new();
        let deadline = tokio::time::sleep(Duration::from_secs_f64(wait));
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                commit = commits.recv() => match commit {
                    Some(commit) => {
                        revision = commit.position.0;
                        events.extend(commit.events.iter().filter(|event| concerns(event, run)).cloned());
                        if !events.is_empty() && commits.is_empty() {
                            break;
                        }
                    }
                    None => break,
                },
                // What is there already comes, however short the wait.
                () = &mut deadline, if revision >= head => break,
            }
        }
        let summary = format!("{} events up to revision {revision}", events.len());
        Ok(Changes { summary, revision, events })
    }

    async fn restore_checkpoint(&self, checkpoint_id: CheckpointId, key: Option<String>) -> RpcResult<RestoreReply> {
        let call = (Act::Work, "restore_checkpoint", key);
        let answer = self.keyed(call, Command::RestoreCheckpoint(checkpoint_id), move |view, reply| match reply {
            Reply::Reopened(tasks) => {
                Ok(convert::restore_reply(view, checkpoint_id, &restored(view, checkpoint_id, &tasks)))
            }
            other => Err(unexpected(&other)),
        });
        Ok(answer.await?)
    }

    async fn diff(&self, run: RunId, patch: Option<bool>) -> RpcResult<DiffReply> {
        let (base, tip, revision) = self
            .read(move |view| {
                let run = view.run(run)?;
                let base = run.base.as_ref().map(|base| base.commit.clone());
                Ok((base, run.tip.as_ref().map(|tip| tip.commit.clone()), view.revision))
            })
            .await?;
        let repo = self.greeted(Act::Read)?.workspace.repo.clone();
        let patch = patch.unwrap_or(true);
        let made = tokio::task::spawn_blocking(move || result_diff(&repo, run, revision, base, tip, patch));
        Ok(made.await.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))??)
    }

    async fn apply(&self, run: RunId, tasks: Option<Vec<TaskId>>, key: Option<String>) -> RpcResult<ApplyReply> {
        let tasks = tasks.unwrap_or_default();
        let asks = self.role() != Role::Person;
        let command = Command::Apply { run, tasks: tasks.clone(), asks };
        let asked = self.keyed((Act::Work, "apply", key), command, move |view, reply| match reply {
            Reply::Asked(decision) => Ok(Some(convert::apply_asked(view, run, decision))),
            _ => Ok(None),
        });
        if let Some(asked) = asked.await? {
            return Ok(asked);
        }
        let answer = self.until(move |view| match view.run(run) {
            Ok(found) => convert::apply_reply(view, run, &tasks, &[brought(found)?]).map(Ok),
            Err(error) => Some(Err(error)),
        });
        Ok(answer.await?)
    }

    async fn placed(&self, run: RunId, files: Vec<PlacedFile>) -> RpcResult<ApplyReply> {
        // What an undo writes is what was said here: a person's editor may say it, a model's session may not.
        let repo = self.greeted(Act::Govern)?.workspace.repo.clone();
        let files = convert::placed(files)?;
        let (checkout, base, result) = self
            .read(move |view| {
                let run = view.run(run)?;
                let base = run.base.as_ref().map(|base| base.commit.clone()).unwrap_or_default();
                let result = run.tip.as_ref().map(|tip| tip.commit.clone()).unwrap_or_default();
                Ok((run.request.checkout.clone(), base, result))
            })
            .await?;
        let options = self.snapshot_options();
        let made =
            tokio::task::spawn_blocking(move || effects::placed(&repo, run, checkout, &base, &result, &files, options));
        let made = made.await.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?;
        let apply = made.map_err(|error| ApiError::new(Code::Unavailable, error.to_string(), ""))?;
        let answer = self.command(Act::Govern, Command::Placed { run, apply }, move |view, _| {
            let brought = brought(view.run(run)?).and_then(|event| convert::apply_reply(view, run, &[], &[event]));
            brought.ok_or_else(|| ApiError::new(Code::Internal, format!("{run} was not recorded as applied"), ""))
        });
        Ok(answer.await?)
    }

    async fn taken_out(&self, run: RunId) -> RpcResult<UndoReply> {
        let answer = self.command(Act::Govern, Command::TakenOut(run), move |view, _| {
            let back = brought_back(view.run(run)?).and_then(|event| convert::undo_reply(view, run, &[event]));
            back.ok_or_else(|| ApiError::new(Code::Internal, format!("{run} was not recorded as taken out"), ""))
        });
        Ok(answer.await?)
    }

    async fn undo(&self, run: RunId, key: Option<String>) -> RpcResult<UndoReply> {
        self.keyed((Act::Work, "undo", key), Command::Undo(run), |_, _| Ok(())).await?;
        let answer = self.until(move |view| match view.run(run) {
            Ok(found) => convert::undo_reply(view, run, &[brought_back(found)?]).map(Ok),
            Err(error) => Some(Err(error)),
        });
        Ok(answer.await?)
    }

    async fn retry(&self, task_id: WorkId, key: Option<String>) -> RpcResult<RetryReply> {
        let command = match task_id {
            WorkId::Run(run) => Command::Retry { run, task: None },
            WorkId::Task(task) => {
                let run = self.read(move |view| Ok(view.task(task)?.run)).await?;
                Command::Retry { run, task: Some(task) }
            }
        };
        let answer = self.keyed((Act::Work, "retry", key), command, move |view, reply| match reply {
            Reply::Reopened(tasks) => Ok(convert::retry_reply(view, task_id, tasks)),
            other => Err(unexpected(&other)),
        });
        Ok(answer.await?)
    }

    async fn get_plan(&self, run: RunId) -> RpcResult<PlanReply> {
        Ok(self.read(move |view| convert::plan_reply(view, run)).await?)
    }

    async fn get_report(&self, run: RunId) -> RpcResult<Report> {
        let greeted = self.greeted(Act::Read)?;
        let attempts = self.read(move |view| Ok(last_attempts(view.state, view.run(run)?))).await?;
        let dir = greeted.workspace.dir.clone();
        let findings = tokio::task::spawn_blocking(move || findings(&dir, &attempts)).await.unwrap_or_default();
        let mut report = self.read(move |view| convert::report(view, run, findings)).await?;
        if !report.landed.is_empty() {
            // What two tasks both touched counts once.
            let whole = self.diff(run, Some(false)).await?;
            report.diff = reply::DiffStat {
                files: whole.files.len() as u64,
                insertions: whole.insertions,
                deletions: whole.deletions,
            };
        }
        Ok(report)
    }

    async fn get_log(
        &self,
        id: LogId,
        tail: Option<u64>,
        offset_bytes: Option<u64>,
        wait_s: Option<f64>,
    ) -> RpcResult<LogReply> {
        let greeted = self.greeted(Act::Read)?;
        let deadline =
            tokio::time::Instant::now() + Duration::from_secs_f64(wait_s.unwrap_or(0.0).clamp(0.0, WAIT_S_MAX));
        loop {
            let (attempt, ended, revision) = self.read(move |view| attempt_of(view, id)).await?;
            let dir = greeted.workspace.dir.clone();
            let read = tokio::task::spawn_blocking(move || {
                attempt.map_or_else(|| Ok((String::new(), 0, 0)), |attempt| read_log(&dir, attempt, tail, offset_bytes))
            });
            let read = read.await.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))?;
            let (text, from, next) = read.map_err(|error| ApiError::new(Code::Unavailable, error.to_string(), ""))?;
            let waits = text.is_empty() && offset_bytes.is_some() && !ended && tokio::time::Instant::now() < deadline;
            if waits {
                // The keeper writes the file; nobody tells when. A follower looks four times a second.
                tokio::time::sleep(Duration::from_millis(250)).await;
                continue;
            }
            let summary = match attempt {
                Some(attempt) => format!("{attempt}: {} bytes", next - from),
                None => format!("{id} has no attempt yet"),
            };
            return Ok(LogReply {
                summary,
                revision,
                id,
                attempt,
                text,
                offset_bytes: from,
                next_offset_bytes: next,
                ended,
            });
        }
    }

    async fn why(&self, id: String) -> RpcResult<WhyReply> {
        Ok(self.read(move |view| convert::why(view, &id)).await?)
    }

    async fn trust(&self, grant: bool) -> RpcResult<TrustReply> {
        roles::allow(self.role(), Act::Govern)?;
        let facts = self.look().await?;
        let hash = facts.manifests_hash.clone();
        let command = Command::Trust { hash: grant.then(|| hash.clone()) };
        let answer = self.command(Act::Govern, command, move |view, _| {
            Ok(TrustReply {
                summary: match grant {
                    true => "commands found in this repository's files may run until those files change".to_owned(),
                    false => "commands found in this repository's files may no longer run".to_owned(),
                },
                revision: view.revision,
                trusted: grant,
                manifests_hash: hash,
                files: facts.ecosystems.values().map(|ecosystem| ecosystem.manifest.clone()).collect(),
            })
        });
        Ok(answer.await?)
    }

    async fn get_facts(&self) -> RpcResult<FactsReply> {
        let facts = self.look().await?;
        let revision = self.read(|view| Ok(view.revision)).await?;
        let summary = format!(
            "{} files; {}",
            facts.files,
            match facts.ecosystems.is_empty() {
                true => "no build system found".to_owned(),
                false => facts.ecosystems.keys().cloned().collect::<Vec<_>>().join(", "),
            }
        );
        Ok(FactsReply { summary, revision, facts })
    }

    async fn explain_request(&self, text: String) -> RpcResult<ExplainReply> {
        let facts = self.looked().await?;
        Ok(self.read(move |view| Ok(convert::explain_reply(view, &text, &facts))).await?)
    }

    async fn list_runs(&self) -> RpcResult<RunList> {
        Ok(self.read(|view| Ok(convert::run_list(view))).await?)
    }

    async fn collect_garbage(&self) -> RpcResult<GarbageReply> {
        let (runs, days) = (self.shared.settings.keep_runs, self.shared.settings.keep_days);
        let answer = self.command(Act::Work, Command::CollectGarbage, move |view, reply| match reply {
            Reply::Dropped(dropped) => {
                let kept = view.state.runs.len() as u64;
                let gone = match dropped.as_slice() {
                    [] => "nothing to forget".to_owned(),
                    [one] => format!("{one} is forgotten"),
                    [first, .., last] => format!("{} runs from {first} to {last} are forgotten", dropped.len()),
                };
                let summary = format!("{gone}; {kept} stay (the newest {runs}, {days} days, and what is applied)");
                Ok(GarbageReply { summary, revision: view.revision, dropped, kept })
            }
            other => Err(unexpected(&other)),
        });
        Ok(answer.await?)
    }

    async fn claim_task(&self, task_id: Option<TaskId>, key: Option<String>) -> RpcResult<ClaimReply> {
        let holder = self.holder()?;
        if !self.shared.config.pulls() {
            let message = "sessions take no tasks here: config.toml declares no agent with driver = \"pull\"";
            let hint = "the user may put [agents.session] with driver = \"pull\" there, and start the daemon anew";
            return Err(ApiError::new(Code::Forbidden, message, hint).into());
        }
        let dir = self.greeted(Act::Work)?.workspace.dir.clone();
        let folder = dir.clone();
        let claim = Command::ClaimTask { task: task_id, holder };
        let claimed = self.keyed((Act::Work, "claim_task", key), claim, move |view, reply| match reply {
            Reply::Claimed(attempt) => Ok((Some(attempt), convert::claim_reply(view, Some(attempt), &folder)?)),
            Reply::NothingOffered => Ok((None, convert::claim_reply(view, None, &folder)?)),
            other => Err(unexpected(&other)),
        });
        let (attempt, reply) = claimed.await?;
        let Some(attempt) = attempt else { return Ok(reply) };
        // The lane is laid out in a moment; who claims can begin at once when this is answered.
        let ready = self.until(move |view| match view.state.live(attempt) {
            Some((_, live)) if live.phase == crate::core::task::Phase::Preparing => None,
            Some(_) => Some(convert::claim_reply(view, Some(attempt), &dir)),
            None => {
                Some(Err(ApiError::new(Code::Unavailable, "its lane could not be laid out", api::error::TRY_AGAIN)))
            }
        });
        match tokio::time::timeout(LANE_WAIT, ready).await {
            Ok(reply) => Ok(reply?),
            // It says `preparing`, and agent_task says when it is there.
            Err(_) => Ok(reply),
        }
    }

    async fn agent_task(&self, attempt_id: Option<AttemptId>) -> RpcResult<AgentTask> {
        let attempt = self.own(attempt_id)?;
        let dir = self.greeted(Act::Own)?.workspace.dir.clone();
        if self.role != Role::Agent {
            self.word(attempt, AgentWord::Present, None).await?;
        }
        Ok(self.read(move |view| convert::agent_task(view, attempt, &dir)).await?)
    }

    async fn agent_report(
        &self,
        kind: ReportKind,
        text: String,
        attempt_id: Option<AttemptId>,
        percent: Option<f64>,
        key: Option<String>,
    ) -> RpcResult<AgentReportReply> {
        let attempt = self.own(attempt_id)?;
        if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            let message = "percent is not between 0 and 100";
            return Err(ApiError::new(Code::Invalid, message, "leave it out where it is not known")
                .at_field("percent")
                .into());
        }
        let word = match kind {
            ReportKind::Progress => AgentWord::Progress(percent),
            ReportKind::Done => AgentWord::Done(cut(text, REPORT_CHARS_MAX)),
            ReportKind::Failed => AgentWord::Failed(cut(text, REPORT_CHARS_MAX)),
        };
        self.word(attempt, word, key).await?;
        Ok(self.read(move |view| convert::agent_report(view, attempt)).await?)
    }

    async fn agent_notes(
        &self,
        attempt_id: Option<AttemptId>,
        add: Option<String>,
        after: Option<u32>,
        key: Option<String>,
    ) -> RpcResult<NotesReply> {
        let attempt = self.own(attempt_id)?;
        let word = match add.filter(|text| !text.trim().is_empty()) {
            Some(text) => AgentWord::Note(cut(text, NOTE_CHARS_MAX)),
            None => AgentWord::Present,
        };
        if self.role != Role::Agent || word != AgentWord::Present {
            self.word(attempt, word, key).await?;
        }
        Ok(self.read(move |view| convert::notes_reply(view, attempt, after.unwrap_or(0))).await?)
    }

    async fn daemon_status(&self) -> RpcResult<DaemonStatus> {
        let revision = self.read(|view| Ok(view.revision)).await?;
        let mut workspaces = Vec::new();
        let mut running = 0;
        for handle in self.shared.workspaces() {
            let seen = ask(&handle, |view| {
                let mut workspace = view.workspace.clone();
                workspace.trusted = view.state.trusted.is_some();
                (workspace, view.state.index.runs.values().map(|run| u64::from(run.trying())).sum::<u64>())
            });
            if let Some((workspace, trying)) = seen.await {
                running += trying;
                workspaces.push(workspace);
            }
        }
        let (connections, pid) = (self.shared.connections(), std::process::id());
        Ok(DaemonStatus {
            summary: format!("daemon {} (pid {pid}), {running} attempts running", env!("CARGO_PKG_VERSION")),
            revision,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            pid,
            since: Time(self.shared.since),
            socket: self.shared.places.socket().display().to_string(),
            listen: self.shared.listening.get().map(ToString::to_string),
            state_dir: self.shared.places.state.display().to_string(),
            workspaces,
            connections,
            running,
            rss_bytes: resident_bytes(),
            protections: protections(&self.shared.settings),
            idle_exit_at: None,
        })
    }

    async fn stop_daemon(&self, now: bool) -> RpcResult<StopReply> {
        roles::allow(self.role(), Act::Govern)?;
        let status = self.daemon_status().await?;
        let _ = now;
        self.shared.end();
        Ok(StopReply {
            summary: format!("the daemon (pid {}) ends; {} attempts go on", status.pid, status.running),
            revision: status.revision,
            pid: status.pid,
            running: status.running,
        })
    }

    async fn subscribe_events(
        &self,
        pending: PendingSubscriptionSink,
        after: u64,
        run: Option<RunId>,
    ) -> SubscriptionResult {
        let (mut commits, mut last) = match self.follow(Some(after)).await {
            Ok(following) => following,
            Err(error) => {
                pending.reject(jsonrpsee::types::ErrorObjectOwned::from(error)).await;
                return Ok(());
            }
        };
        let sink = pending.accept().await?;
        loop {
            tokio::select! {
                commit = commits.recv() => match commit {
                    Some(commit) => {
                        last = commit.position.0;
                        let mut told: Vec<Arc<Published>> = vec![commit];
                        // Whoever follows a fast run is woken once for all that is there.
                        while told.len() < TOLD_MAX
                            && let Ok(commit) = commits.try_recv()
                        {
                            last = commit.position.0;
                            told.push(commit);
                        }
                        let events: Vec<&api::Event> =
                            told.iter().flat_map(|commit| &commit.events).filter(|event| concerns(event, run)).collect();
                        if events.is_empty() {
                            continue;
                        }
                        let message = serde_json::value::to_raw_value(&events)?;
                        if sink.send(SubscriptionMessage::from(message)).await.is_err() {
                            return Ok(());
                        }
                    }
                    // We were let go of for being slow: take up where we are.
                    None => match self.follow(Some(last)).await {
                        Ok((again, _)) => commits = again,
                        Err(_) => return Ok(()),
                    },
                },
                () = sink.closed() => return Ok(()),
            }
        }
    }
}

fn concerns(event: &api::Event, run: Option<RunId>) -> bool {
    run.is_none() || event.run == run
}

fn unexpected(reply: &Reply) -> ApiError {
    ApiError::new(Code::Internal, format!("the core answered {reply:?}"), "this is a bug; please report it")
}

fn result_diff(
    repo: &super::lanes::Repo,
    run: RunId,
    revision: u64,
    base: Option<String>,
    tip: Option<String>,
    patch: bool,
) -> Result<DiffReply, ApiError> {
    let git = |error: super::lanes::LaneError| ApiError::new(Code::Unavailable, error.to_string(), "");
    let (Some(base), Some(tip)) = (base, tip) else {
        let summary = format!("nothing of {run} has landed");
        return Ok(DiffReply {
            summary,
            revision,
            request_id: run,
            files: Vec::new(),
            insertions: 0,
            deletions: 0,
            patch: None,
        });
    };
    let (base, tip) = (base.parse().map_err(git)?, tip.parse().map_err(git)?);
    let diff = repo.diff(&base, &tip).map_err(git)?;
    let patch = match patch {
        true => Some(String::from_utf8_lossy(&repo.patch(&base, &tip, false).map_err(git)?).into_owned()),
        false => None,
    };
    Ok(explain::diff_reply(run, revision, &diff, patch))
}

/// The last attempt of each task that has one.
fn last_attempts(state: &State, run: &Run) -> Vec<(TaskId, AttemptId)> {
    let tasks = run.tasks.iter().filter_map(|task| state.task(*task));
    let last = tasks.filter(|task| !task.attempts.is_empty());
    last.map(|task| (task.id, AttemptId { task: task.id, generation: task.attempts.len() as u32 })).collect()
}

/// How the apply that is over ended, as the event that said so; `None` while it is under way.
fn brought(run: &Run) -> Option<Event> {
    match (&run.bringing, &run.refusal, run.applies.last()) {
        (Some(_), _, _) => None,
        (None, Some((why, paths)), _) => {
            Some(Event::ApplyRefused { run: run.id, why: why.clone(), paths: paths.clone() })
        }
        (None, None, last) => last.map(|apply| Event::Applied { run: run.id, apply: apply.clone() }),
    }
}

/// The same for an undo.
fn brought_back(run: &Run) -> Option<Event> {
    match (&run.bringing, &run.refusal) {
        (Some(_), _) => None,
        (None, Some((why, paths))) => Some(Event::UndoRefused { run: run.id, why: why.clone(), paths: paths.clone() }),
        (None, None) => {
            let last =
                run.applies.iter().filter(|apply| apply.undone_at.is_some()).max_by_key(|apply| apply.undone_at)?;
            let paths = last.paths.iter().filter(|path| !last.unsaved.contains(path)).cloned().collect();
            Some(Event::Undone { run: run.id, number: last.number, paths })
        }
    }
}

/// The events that a restore stored, told from the tasks that are due again.
fn restored(view: &View, checkpoint: CheckpointId, tasks: &[TaskId]) -> Vec<Event> {
    let saved = view.state.checkpoints.get(&checkpoint);
    let runs = saved.into_iter().flat_map(|saved| &saved.runs);
    runs.filter_map(|(run, landed, tip)| {
        let own: Vec<TaskId> =
            tasks.iter().copied().filter(|task| view.state.task(*task).is_some_and(|task| task.run == *run)).collect();
        (!own.is_empty()).then(|| Event::CheckpointRestored {
            checkpoint,
            run: *run,
            landed: *landed,
            commit: tip.commit.clone(),
            tree: tip.tree.clone(),
            tasks: own,
        })
    })
    .collect()
}

/// Findings that the run's tasks printed as lines `{"finding": …}`.
fn findings(dir: &std::path::Path, attempts: &[(TaskId, AttemptId)]) -> Vec<result::Finding> {
    use crate::core::job::JobId;
    // Most of very many tasks print nothing and have no file: one look at the folder spares them.
    let folder = std::fs::read_dir(effects::logs(dir)).into_iter().flatten().flatten();
    let there: std::collections::HashSet<_> = folder.map(|entry| entry.path()).collect();
    let mut findings = Vec::new();
    for (task, attempt) in attempts {
        let path = effects::log_path(dir, JobId::Attempt(*attempt));
        let Some(Ok(bytes)) = there.contains(&path).then(|| std::fs::read(&path)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        findings.extend(text.lines().filter_map(|line| explain::finding(line, *task)));
    }
    findings
}

/// The attempt a log id names, whether it is over, and the revision.
fn attempt_of(view: &View, id: LogId) -> Result<(Option<AttemptId>, bool, u64), ApiError> {
    let (task, generation) = match id {
        LogId::Task(task) => (task, None),
        LogId::Attempt(attempt) => (attempt.task, Some(attempt.generation)),
    };
    let found = view.task(task)?;
    let generation = generation.unwrap_or(found.attempts.len() as u32);
    if generation == 0 {
        return Ok((None, found.settled().is_some(), view.revision));
    }
    let attempt = found.attempt(generation).ok_or_else(|| ApiError::not_found(id))?;
    Ok((
        Some(AttemptId { task, generation }),
        attempt.end.is_some() || attempt.phase == crate::core::task::Phase::Over,
        view.revision,
    ))
}

/// A piece of an attempt's log: its text, where it begins, and where to go on.
fn read_log(
    dir: &std::path::Path,
    attempt: AttemptId,
    tail: Option<u64>,
    offset: Option<u64>,
) -> std::io::Result<(String, u64, u64)> {
    use std::io::{ErrorKind, Read, Seek, SeekFrom};
    let path = effects::log_path(dir, crate::core::job::JobId::Attempt(attempt));
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        // Only what printed something has a file.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((String::new(), 0, 0)),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let from = offset.unwrap_or_else(|| length.saturating_sub(LOG_BYTES_MAX)).min(length);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let next = from + bytes.len() as u64;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match tail {
        Some(lines) => {
            let start = text.trim_end_matches('\n').rmatch_indices('\n').nth((lines as usize).saturating_sub(1));
            let cut = if lines == 0 { text.len() } else { start.map_or(0, |(at, _)| at + 1) };
            (text[cut..].to_owned(), next - (text.len() - cut) as u64, next)
        }
        None => (text, from, next),
    })
}

/// Memory that this process has resident.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}
