//! Carrying effects out: git steps on blocking threads, jobs at the keeper. Decides nothing; reports what happened.
//!
//! Every effect may arrive twice, before and after a crash, and does no harm the second time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    agents::{
        self, Brief, LaunchFile, McpServer,
        keeper::{self, Job, Order},
    },
    facts,
    lanes::{
        ApplyPlan, LaneError, Merge, Oid, Placed, Prepare, PreparedLane, Repo, Snapshot, SnapshotOptions, UndoPlan,
        Undone, linked, nanos,
    },
    main_loop::Wake,
    notify, ports, reconcile,
    steps::Steps,
    sweep::{self, Floor},
};
use crate::{
    config::LanesConfig,
    core::{
        Effect, Report, Settings, State,
        agent::{AgentOrder, AgentProfile, DriverKind, Touched},
        confine::Confine,
        decide::gate::Place as LanePlace,
        facts::Facts,
        job::{End, JobId, JobOrder, JobResult},
        plan::playbook,
        prove,
        room::Waiter,
        run::{Apply, Base, Run},
        task::DiffStat,
    },
    ids::{AttemptId, LaneId, RunId},
    time::{Timestamp, now},
};

/// How much of a red check's output is searched for names of failed tests, bytes.
const SEARCHED_BYTES_MAX: u64 = 4 << 20;

/// How much disk the lanes of a workspace may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// Lanes of a higher number are removed.
    pub lanes_max: u32,
    /// No lane is laid out where less is free.
    pub min_free_bytes: u64,
}

/// Where the user's own playbooks and skills are.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// The configuration's folder.
    pub config: PathBuf,
    /// Further folders with skills.
    pub skills: Vec<String>,
}

/// What must run in a lane before anybody works there.
pub struct SetUp {
    /// The job.
    pub order: JobOrder,
    /// The lane's folder.
    pub lane: PathBuf,
    /// What is reported then.
    pub then: Box<dyn FnOnce(Result<(), String>) -> Report + Send>,
}

/// How long a lane's setup may take, milliseconds.
const SETUP_MS_MAX: u64 = 30 * 60 * 1000;

/// What carries the effects of one workspace out.
pub struct Hands {
    repo: Repo,
    /// The workspace's folder: `lanes/`, `logs/`, `tmp/`.
    dir: PathBuf,
    options: SnapshotOptions,
    /// The last step that was begun in each place: the next waits for it, so that steps come in the order sent.
    last: HashMap<Place, tokio::task::JoinHandle<()>>,
    /// Numbers of environments at the keeper: each run has one in each lane, and another one there for what is confined.
    envs: HashMap<(RunId, LaneId, bool), u32>,
    /// Those that this connection's keeper knows.
    defined: HashSet<u32>,
    /// Which ports lanes have.
    ports: Option<PathBuf>,
    /// What confined commands may write to besides.
    commands_write: Vec<String>,
    /// This program, for jobs that call it by name.
    exe: PathBuf,
    /// Held by whatever is under way.
    steps: Steps,
    /// What lanes are given.
    stores: LanesConfig,
    /// Where the user's own playbooks and skills are.
    library: Library,
    /// The configuration.
    settings: Arc<Settings>,
    /// Keys of agents, as the last client handed them over.
    secrets: Arc<Secrets>,
    /// Most lanes, and what must stay free where they are.
    pub bounds: Bounds,
    /// The machine was started anew since the journal's last daemon: the keeper's log may lack what it saw last.
    pub other_boot: bool,
}

impl Hands {
    /// Makes the workspace's folders and takes stock.
    pub fn new(
        repo: Repo,
        dir: PathBuf,
        exe: PathBuf,
        stores: LanesConfig,
        library: Library,
        bounds: Bounds,
        steps: Steps,
    ) -> std::io::Result<Hands> {
        for folder in ["lanes", "logs", "tmp", "agents"] {
            crate::config::create_private(&dir.join(folder))?;
        }
        let other_boot = other_boot(&dir)?;
        let options = SnapshotOptions { file_bytes_max: stores.max_file_mb << 20, ..SnapshotOptions::default() };
        let (last, envs, defined) = (HashMap::new(), HashMap::new(), HashSet::new());
        let (settings, secrets, ports) = (Arc::default(), Arc::default(), None);
        Ok(Hands {
            repo,
            dir,
            options,
            last,
            envs,
            defined,
            ports,
            commands_write: Vec::new(),
            exe,
            steps,
            stores,
            library,
            settings,
            secrets,
            bounds,
            other_boot,
        })
    }

    /// The same, and confined commands may write there, too.
    pub fn with_writable(mut self, places: Vec<String>) -> Hands {
        self.commands_write = places;
        self
    }

    /// The same with ports for lanes, as far as the configuration has it; `dir` says who has which.
    pub fn with_ports(mut self, dir: PathBuf) -> Hands {
        self.ports = self.stores.ports.then_some(dir);
        self
    }

    /// The same with agents: those of the configuration, and the keys that they get.
    pub fn with_agents(mut self, settings: Arc<Settings>, secrets: Arc<Secrets>) -> Hands {
        self.settings = settings;
        self.secrets = secrets;
        self
    }

    /// Whether it is said that something is unfinished here.
    pub fn marked_unfinished(&self) -> bool {
        self.dir.join("unfinished").exists()
    }

    /// Says, for the next daemon, whether anything is unfinished here.
    pub fn mark_unfinished(&self, unfinished: bool) {
        let path = self.dir.join("unfinished");
        let done = if unfinished { std::fs::write(&path, b"") } else { std::fs::remove_file(&path) };
        match done {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "the next daemon will not find this workspace by itself");
            }
            _ => {}
        }
    }

    /// Where an attempt's or a check's output is kept.
    pub fn log(&self, job: JobId) -> PathBuf {
        log_path(&self.dir, job)
    }

    /// The environment of a run's jobs in a lane: what its client handed over, and what the lane has of its own.
    fn vars(&self, run: &Run, lane: LaneId) -> Vars {
        let mut env = run.request.env.clone();
        env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let tmp = self.tmp(lane);
        // Made with the lane; it may have been taken away since, or be an older daemon's lane.
        if let Err(error) = agents::make_folder(&tmp) {
            tracing::warn!(tmp = %tmp.display(), %error, "a lane has no folder for temporary files");
        }
        env.insert("TMPDIR".to_owned(), tmp.display().to_string());
        env.insert("ORCHESTRATOR_LANE".to_owned(), lane.to_string());
        let ports = self.ports.as_ref().map(|dir| ports::of_lane(dir, &self.lane(lane)));
        match ports {
            // Not PORT, which tests may read: what is green in the checkout is to be green in a lane.
            Some(Ok(Some(first))) => drop(env.insert("ORCHESTRATOR_PORT_BASE".to_owned(), first.to_string())),
            Some(Ok(None)) => tracing::warn!(%lane, "there are no ports left for a lane"),
            Some(Err(error)) => tracing::warn!(%lane, %error, "a lane has no ports"),
            None => {}
        }
        // Prompts would wait for ever: nobody sits there.
        env.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
        env.insert("TERM".to_owned(), "dumb".to_owned());
        env.into_iter().collect()
    }

    /// The number of a job's environment, and what the keeper must be told first where it does not know it.
    pub fn env(&mut self, order: &JobOrder, run: Option<&Run>) -> (u32, Option<Order>) {
        let confined = order.confined && agents::sandbox::abi() > 0;
        let next = self.envs.len() as u32 + 1;
        let id = *self.envs.entry((order.run, order.lane, confined)).or_insert(next);
        if !self.defined.insert(id) {
            return (id, None);
        }
        let vars = run.map(|run| self.vars(run, order.lane)).unwrap_or_default();
        let writable = run.filter(|_| confined).map(|run| self.writable(run, order.lane, &vars));
        (id, Some(Order::Env { id, vars, writable }))
    }

    /// What confined commands may write to in a lane. Found anew whenever the lane is laid out: it may be another folder
    /// of the same name, and what may be written to is the folder and not its name.
    fn writable(&self, run: &Run, lane: LaneId, vars: &[(String, String)]) -> Vec<PathBuf> {
        let whole = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let (path, tmp) = (whole(self.lane(lane)), whole(self.tmp(lane)));
        let protected =
            [whole(run.request.checkout.clone()), whole(self.repo.common_dir().to_owned()), whole(self.dir.clone())];
        let commands = agents::sandbox::Commands {
            lane: &path,
            tmp: &tmp,
            vars,
            shared: linked(&path),
            more: &self.commands_write,
            protected: &protected,
        };
        commands.writable()
    }

    /// Another keeper knows none.
    pub fn forget_envs(&mut self) {
        self.defined.clear();
    }

    /// Where what runs in a lane has its temporary files. They go with the lane.
    fn tmp(&self, lane: LaneId) -> PathBuf {
        scratch(&self.dir).join(lane.to_string())
    }

    /// The folder of an attempt's agent.
    pub fn agent_dir(&self, attempt: AttemptId) -> PathBuf {
        agents::folder(&self.dir, &attempt.to_string())
    }

    /// Where an agent works, and whether it is kept there, for judging what it asks.
    pub fn place(&self, order: &JobOrder) -> LanePlace {
        let lane = self.lane(order.lane).canonicalize().unwrap_or_else(|_| self.lane(order.lane)).display().to_string();
        let profile = order.agent.as_ref().and_then(|agent| self.profile(&agent.agent));
        let sandboxed = profile.is_some_and(|profile| profile.sandbox == "standard") && agents::sandbox::abi() > 0;
        let home = std::env::var("HOME").ok();
        LanePlace { cwd: lane.clone(), root: lane, lane: true, sandboxed, home }
    }

    fn profile(&self, id: &str) -> Option<&AgentProfile> {
        self.settings.agents.iter().find(|profile| profile.id == id)
    }

    /// What an agent of this order is to have of its client, came with the request, and is not there any more.
    pub fn missing_keys(&self, order: &JobOrder, run: Option<&Run>) -> Vec<String> {
        let (Some(agent), Some(run)) = (&order.agent, run) else { return Vec::new() };
        let Some(profile) = self.profile(&agent.agent) else { return Vec::new() };
        self.secrets.lacks(run.request.keys.iter().filter(|name| profile.env.contains(name)))
    }

    /// Writes down what an agent's host is to do; its command, and the keys that it gets.
    fn launch(&self, order: &JobOrder, agent: &AgentOrder, attempt: AttemptId) -> std::io::Result<(Vec<String>, Vars)> {
        let missing = || std::io::Error::other(format!("agents.{} is not declared any more", agent.agent));
        let profile = self.profile(&agent.agent).ok_or_else(missing)?;
        let dir = self.agent_dir(attempt);
        agents::make_folder(&dir)?;
        let lane = self.lane(order.lane).canonicalize()?;
        let tmp = self.tmp(order.lane);
        agents::make_folder(&tmp)?;
        let mut command = profile.command.clone();
        if let Some(program) = command.first_mut() {
            program.clone_from(&agent.program);
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let launch = LaunchFile {
            driver: profile.driver,
            brief: Brief {
                command,
                prompt: agent.prompt.clone(),
                session: agent.session.clone(),
                resume: agent.resume,
                anew: agent.anew.clone(),
                cwd: lane.join(&order.cwd).display().to_string(),
                model: profile.model.clone(),
                mode: profile.mode.clone(),
                vars: profile.vars.clone(),
                usd: agent.usd,
                price: profile.price,
                mcp: Some(self.own_server(attempt)),
            },
            secrets: profile.env.iter().filter(|name| secret(name)).cloned().collect(),
            wall_ms: order.timeout_ms,
            silence_ms: order.silence_ms.unwrap_or(SILENCE_MS),
            start_ms: START_MS,
            tokens: agent.tokens,
            writable: (profile.sandbox == "standard").then(|| agents::sandbox::writable(&lane, &tmp, home.as_deref())),
            own: match (profile.driver, profile.folders.is_empty()) {
                // A program of its own name that speaks as Claude Code does keeps its state where that does.
                (DriverKind::Claude, true) => vec![".claude".to_owned()],
                _ => profile.folders.clone(),
            },
        };
        agents::write_whole(&dir.join("launch.json"), &serde_json::to_vec(&launch)?)?;
        let argv = [self.exe.display().to_string(), "agent-host".to_owned(), dir.display().to_string()];
        Ok((argv.to_vec(), self.secrets.of(&profile.env)))
    }

    /// Our own MCP server, as an agent starts it: it must find this daemon, whatever the agent's variables are.
    /// Some start their servers with a clean environment, so that what it is for must be said, too.
    fn own_server(&self, attempt: AttemptId) -> McpServer {
        let mut env = std::collections::BTreeMap::new();
        env.insert("ORCHESTRATOR_JOB".to_owned(), attempt.to_string());
        for name in ["HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            if let Ok(value) = std::env::var(name) {
                env.insert(name.to_owned(), value);
            }
        }
        env.insert("TMPDIR".to_owned(), std::env::temp_dir().display().to_string());
        McpServer { command: self.exe.display().to_string(), args: vec!["--mcp".to_owned()], env }
    }

    /// The keeper's form of an order, or why there is none.
    pub fn job(&self, order: &JobOrder, env: u32) -> std::io::Result<Job> {
        let lane = self.lane(order.lane);
        let mut argv = order.argv.clone();
        let (mut timeout_ms, mut silence_ms, mut own_env) = (order.timeout_ms, order.silence_ms, Vec::new());
        if let (Some(agent), JobId::Attempt(attempt)) = (&order.agent, order.id) {
            (argv, own_env) = self.launch(order, agent, attempt)?;
            // Its host keeps the clocks: they stand while somebody is asked.
            (timeout_ms, silence_ms) = (None, None);
        }
        // Our own fixers and audits are this very program, wherever it is installed.
        if argv.first().is_some_and(|program| program == "orchestrator") {
            argv[0] = self.exe.display().to_string();
        }
        let mut extra_env: Vec<(String, String)> = order.env.clone().into_iter().collect();
        extra_env.push(("PWD".to_owned(), lane.join(&order.cwd).display().to_string()));
        extra_env.extend(own_env);
        Ok(Job {
            id: order.id.to_string(),
            group: order.run.0,
            argv,
            cwd: if order.cwd.is_empty() { lane } else { lane.join(&order.cwd) },
            env,
            extra_env,
            timeout_ms,
            silence_ms,
            grace_ms: reconcile::GRACE_MS,
            log: self.log(order.id),
            cap_bytes: keeper::default_cap_bytes(),
        })
    }

    /// A keeper's result in the core's words; for a red check with the names of the tests that failed. `agent`: the job
    /// may be an agent's, whose host has more to say.
    pub fn result(&self, job: JobId, ended: keeper::Ended, agent: bool) -> JobResult {
        let check = !matches!(job, JobId::Attempt(_) | JobId::Probe(_) | JobId::Compensate(_) | JobId::Setup(..));
        let mut end = reconcile::end(ended.end);
        let (mut tail, mut said) = (ended.tail, None);
        if let JobId::Attempt(attempt) = job
            && agent
            && let Some((said_end, of_agent, words)) = agents::ended(&self.agent_dir(attempt), now())
        {
            // Its host knows how the agent ended; the keeper only how the host did.
            if !matches!(end, End::Cancelled | End::Lost) {
                end = said_end;
            }
            (tail, said) = (words, Some(Box::new(of_agent)));
        }
        let output = if check { read_capped(&self.log(job)) } else { String::new() };
        let failures = if end.success() { Vec::new() } else { prove::failing_tests(&output) };
        JobResult {
            end,
            started_at: Timestamp(ended.started_at_ms),
            ended_at: Timestamp(ended.ended_at_ms),
            tail,
            failures,
            tests_ran: prove::tests_ran(&output),
            output_bytes: ended.output_bytes,
            agent: said,
        }
    }

    fn lane(&self, lane: LaneId) -> PathBuf {
        self.dir.join("lanes").join(lane.to_string())
    }

    /// What the lanes of a run are given, and what is run in a new one: as the user's configuration says, and the
    /// workspace's, which was trusted before the run began.
    fn needs(&self, state: &State, run: RunId) -> (Prepare, Vec<String>, bool) {
        let project = state.run(run).and_then(|run| run.facts.as_ref()).map(|facts| facts.lanes.clone());
        let project = project.unwrap_or_default();
        let both = |own: &[String], theirs: &[String]| {
            let more = theirs.iter().filter(|name| !own.contains(name));
            own.iter().chain(more).cloned().collect::<Vec<String>>()
        };
        let all = (1..=state.lanes_allowed(self.bounds.lanes_max)).map(LaneId);
        let prepare = Prepare {
            copy: both(&self.stores.copy, &project.copy),
            link: both(&self.stores.link, &project.link),
            idle: all.filter(|lane| !state.index.lanes.contains(lane)).collect(),
            asked_at: nanos(),
            ..Prepare::default()
        };
        // What the user's own configuration says was typed.
        let (setup, typed) = match self.stores.setup.is_empty() {
            true => (project.setup, false),
            false => (self.stores.setup.clone(), true),
        };
        let confined = match self.settings.confine {
            Confine::None => false,
            Confine::Derived => !typed,
            Confine::All => true,
        };
        (prepare, setup, confined)
    }

    /// Carries out everything but jobs, on a blocking thread, and reports.
    pub fn carry_out(&mut self, effect: Effect, state: &State, wakes: &mpsc::UnboundedSender<Wake>) {
        let (repo, dir, wakes) = (self.repo.clone(), self.dir.clone(), wakes.clone());
        let (options, steps) = (self.options.clone(), self.steps.clone());
        let settings = self.settings.clone();
        let bounds = self.bounds;
        // Not even one in which a session may still be at work, though its task was taken from it.
        let held: HashSet<LaneId> = state.index.lanes.union(&state.index.left_open).copied().collect();
        let waiter = Waiter::of(&effect);
        if let Effect::PrepareLane { lane, .. }
        | Effect::PrepareShared { lane, .. }
        | Effect::PrepareBase { lane, .. }
        | Effect::PrepareFinal { lane, .. } = &effect
        {
            for (_, id) in self.envs.iter().filter(|((_, own, confined), _)| own == lane && *confined) {
                self.defined.remove(id);
            }
        }
        let kept = matches!(effect, Effect::Sweep).then(|| sweep::Kept::of(state, bounds.lanes_max));
        let lanes_dir = dir.join("lanes");
        let run_of = |run: RunId| state.run(run).map(|run| run.request.clone()).unwrap_or_default();
        let place = match &effect {
            Effect::PrepareLane { lane, .. }
            | Effect::PrepareShared { lane, .. }
            | Effect::PrepareBase { lane, .. }
            | Effect::PrepareFinal { lane, .. }
            | Effect::InspectShared { lane, .. }
            | Effect::Harvest { lane, .. } => Some(Place::Lane(*lane)),
            Effect::Advance { run, .. } | Effect::SetRef { run, .. } | Effect::Publish { run, .. } => {
                Some(Place::Ref(*run))
            }
            Effect::Apply { .. } | Effect::Undo { .. } => Some(Place::Checkout),
            _ => None,
        };
        let checkout = match &effect {
            Effect::Survey { run }
            | Effect::PrepareLane { run, .. }
            | Effect::PrepareShared { run, .. }
            | Effect::PrepareBase { run, .. }
            | Effect::PrepareFinal { run, .. } => run_of(*run).checkout,
            _ => PathBuf::new(),
        };
        let path_var = match &effect {
            Effect::Survey { run } | Effect::FindAgents { run } => {
                run_of(*run).env.get("PATH").cloned().unwrap_or_default()
            }
            _ => String::new(),
        };
        let buffers = match &effect {
            Effect::Survey { run } => state.run(*run).map(|run| run.request.buffers.clone()).unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        let library = match &effect {
            Effect::Survey { .. } => self.library.clone(),
            _ => Library::default(),
        };
        let (prepare, setup, confined) = match laying_out(&effect) {
            Some(run) => self.needs(state, run),
            None => (Prepare::default(), Vec::new(), false),
        };
        let step = move || {
            let tell = |report: Report| {
                let _ = wakes.send(Wake::Report(report));
            };
            // Lays a lane out; where something must run in it first, the report waits for that.
            let lay_out = |lane: LaneId, run: RunId, commit: &str, then: Then| {
                let idle: Vec<LaneId> = Repo::lanes(&lanes_dir).into_iter().filter(|own| !held.contains(own)).collect();
                let floor = Floor { min_free_bytes: bounds.min_free_bytes, free: &|| sweep::free_bytes(&lanes_dir) };
                let went = |lane: LaneId, freed: u64| {
                    // What was in it is nobody's by now.
                    let _ = std::fs::remove_dir_all(scratch(&dir).join(lane.to_string()));
                    let note = format!(
                        "{lane}, which nobody works in, was removed for its room ({} MiB): less than \
                         state.min_free_gb was free",
                        freed >> 20
                    );
                    tell(Report::Noted { run, note });
                };
                let room = sweep::make_room(&repo, &lanes_dir, &floor, &idle, prepare.asked_at, went);
                if let (Err(why), Some(waiter)) = (room, waiter) {
                    return tell(Report::NoRoom { waiter, why });
                }
                let prepared = || -> Result<PreparedLane, String> {
                    let commit: Oid = commit.parse().map_err(said)?;
                    again(|| repo.prepare_lane(lane, &lanes_dir, &commit, &checkout, &prepare)).map_err(said)
                };
                let prepared = match prepared() {
                    Ok(prepared) => prepared,
                    Err(why) => return tell(then(Err(why))),
                };
                for missing in &prepared.missing {
                    let note = format!("{} is not in the lanes: {}", missing.path.display(), missing.why);
                    tell(Report::Noted { run, note });
                }
                if setup.is_empty() || Repo::is_set_up(&prepared.path, &setup_mark(&setup)) {
                    return tell(then(Ok(())));
                }
                let id = JobId::Setup(lane, prepared.number);
                let env = [("ORCHESTRATOR_RUN".to_owned(), run.to_string())].into();
                let (cwd, timeout_ms) = (String::new(), Some(SETUP_MS_MAX));
                let order = JobOrder {
                    id,
                    run,
                    argv: setup.clone(),
                    lane,
                    cwd,
                    env,
                    timeout_ms,
                    silence_ms: None,
                    confined,
                    agent: None,
                };
                let _ = wakes.send(Wake::SetUp(Box::new(SetUp { order, lane: prepared.path, then })));
            };
            let report = match effect {
                Effect::Survey { run } => survey(&repo, &checkout, run, &buffers, &options, &path_var, &library),
                Effect::PrepareLane { attempt, run, lane, commit } => {
                    let then = move |done: Result<(), String>| match done {
                        Ok(()) => Report::LanePrepared { attempt },
                        Err(why) => Report::LaneFailed { attempt, why },
                    };
                    return lay_out(lane, run, &commit, Box::new(then));
                }
                Effect::PrepareShared { run, lane, commit } => {
                    let then = move |done: Result<(), String>| Report::SharedPrepared { run, failed: done.err() };
                    return lay_out(lane, run, &commit, Box::new(then));
                }
                Effect::PrepareBase { run, lane, commit } => {
                    let then = move |done: Result<(), String>| Report::BasePrepared { run, failed: done.err() };
                    return lay_out(lane, run, &commit, Box::new(then));
                }
                Effect::PrepareFinal { run, lane, commit } => {
                    let then = move |done: Result<(), String>| Report::FinalPrepared { run, failed: done.err() };
                    return lay_out(lane, run, &commit, Box::new(then));
                }
                Effect::InspectShared { run, lane } => {
                    let lane = lanes_dir.join(lane.to_string());
                    let changed = again(|| repo.dirty_paths(&lane, &options)).map_err(said);
                    Report::SharedInspected { run, changed: changed.map(|paths| texts(&paths)) }
                }
                Effect::Harvest { attempt, run, lane, from, message, compare } => {
                    let lane = lanes_dir.join(lane.to_string());
                    again(|| harvest(&repo, &lane, attempt, run, (&from, compare), &message, &options))
                        .unwrap_or_else(|error| Report::StepFailed { attempt, why: said(error) })
                }
                Effect::Merge { attempt, onto, commit, message, .. } => {
                    again(|| merge(&repo, attempt, &onto, &commit, &message))
                        .unwrap_or_else(|error| Report::StepFailed { attempt, why: said(error) })
                }
                Effect::Advance { attempt, run, to, from } => again(|| advance(&repo, attempt, run, &to, &from))
                    .unwrap_or_else(|error| Report::StepFailed { attempt, why: said(error) }),
                Effect::SetRef { run, to } => {
                    if let Err(error) = again(|| set_tip(&repo, run, &to)) {
                        tracing::error!(%run, %error, "the run's ref could not be set");
                    }
                    return;
                }
                Effect::Publish { run, commit: None } => Report::Published { run, branch: None, failed: None },
                Effect::Publish { run, commit: Some(commit) } => {
                    let published = again(|| repo.publish_branch(run, &commit.parse()?));
                    match published {
                        Ok(branch) => Report::Published { run, branch: Some(branch), failed: None },
                        Err(error) => Report::Published { run, branch: None, failed: Some(said(error)) },
                    }
                }
                Effect::Apply { run, number, checkout, base, tip, only, tasks } => {
                    let staging = dir.join("tmp").join(format!("apply-{run}-{number}"));
                    let plan = ApplyPlanOf { run, number, checkout, base, tip, only, tasks, staging, options };
                    apply(&repo, plan).unwrap_or_else(|error| Report::ApplyRefused {
                        run,
                        why: said(error),
                        paths: Vec::new(),
                    })
                }
                Effect::Undo { run, checkout, apply } => {
                    let staging = dir.join("tmp").join(format!("undo-{run}-{}", apply.number));
                    undo(&repo, run, checkout, &apply, staging).unwrap_or_else(|error| Report::UndoRefused {
                        run,
                        why: said(error),
                        paths: Vec::new(),
                    })
                }
                Effect::Sweep => {
                    kept.iter().for_each(|kept| sweep::sweep(&repo, &dir, kept));
                    return;
                }
                Effect::FindAgents { run } => {
                    Report::AgentsFound { run, agents: agents::find(&settings.agents, &path_var) }
                }
                Effect::Start(_) | Effect::Stop { .. } | Effect::Limit { .. } | Effect::Answer { .. } => return,
                Effect::Notify { command, decision, question } => {
                    if let Err(error) = notify::tell(&command, decision, &question) {
                        tracing::warn!(%decision, %error, "the notify command did not run");
                    }
                    return;
                }
            };
            drop(steps);
            tell(report);
        };
        let before = place.and_then(|place| self.last.remove(&place));
        let begun = tokio::spawn(async move {
            if let Some(before) = before {
                // However it ended, it is over.
                let _ = before.await;
            }
            let _ = tokio::task::spawn_blocking(step).await;
        });
        if let Some(place) = place {
            self.last.insert(place, begun);
        }
    }
}

/// What a lane that is laid out leads to, or what kept it from that.
type Then = Box<dyn FnOnce(Result<(), String>) -> Report + Send>;

/// The run that an effect lays a lane out for.
fn laying_out(effect: &Effect) -> Option<RunId> {
    match effect {
        Effect::PrepareLane { run, .. }
        | Effect::PrepareShared { run, .. }
        | Effect::PrepareBase { run, .. }
        | Effect::PrepareFinal { run, .. } => Some(*run),
        _ => None,
    }
}

/// A setup as it is remembered beside the lane.
pub fn setup_mark(argv: &[String]) -> String {
    argv.join("\n")
}

/// Keys of agents by the names of their variables. In memory only: a daemon that starts anew has none until a client
/// greets it.
#[derive(Debug, Default)]
pub struct Secrets(std::sync::Mutex<std::collections::BTreeMap<String, String>>);

impl Secrets {
    /// Keeps what a client handed over; the newest value of a name counts. Whether any name is new.
    pub fn keep(&self, given: std::collections::BTreeMap<String, String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = given.keys().any(|name| !known.contains_key(name));
        known.extend(given);
        new
    }

    /// Those of these names that are not known.
    fn lacks<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.filter(|name| !known.contains_key(*name)).cloned().collect()
    }

    /// The values of those names that are known.
    fn of(&self, names: &[String]) -> Vec<(String, String)> {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.iter().filter_map(|name| Some((name.clone(), known.get(name)?.clone()))).collect()
    }
}

/// Variables with their values.
type Vars = Vec<(String, String)>;

/// Whether a variable of that name holds something that must not be written down.
fn secret(name: &str) -> bool {
    ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|word| name.contains(word))
}

/// An agent that says nothing for so long, and waits for nobody, hangs.
const SILENCE_MS: u64 = 600_000;

/// How long an agent may take to its first word: some are fetched first.
const START_MS: u64 = 120_000;

/// Most paths of a change that are told.
const PATHS_MAX: usize = 100;

/// Where steps must not overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// A lane, whoever it belongs to by now.
    Lane(LaneId),
    /// A run's ref.
    Ref(RunId),
    /// The user's checkout.
    Checkout,
}

/// Where the lanes of a workspace have their temporary files: below the system's own, in a folder of this user alone.
/// Programs put sockets there, whose addresses end after 107 bytes; the workspace's folder has 70 of them already in many
/// a home.
pub fn scratch(dir: &Path) -> PathBuf {
    let own = std::env::temp_dir().join(format!("orchestrator-{}", crate::config::user_id()));
    match (crate::config::create_private(&own), dir.file_name()) {
        (Ok(()), Some(workspace)) => own.join(workspace),
        // Somebody else was there first.
        _ => dir.join("tmp"),
    }
}

/// Where the output of jobs is kept, below the workspace's folder.
pub fn logs(dir: &Path) -> PathBuf {
    dir.join("logs")
}

/// Where the output of a job is kept; there is no file where it printed nothing.
pub fn log_path(dir: &Path, job: JobId) -> PathBuf {
    logs(dir).join(format!("{}.log", job.to_string().replace('/', "-")))
}

/// A git step that fails may have met another git process, the user's for instance: it is tried twice more before an
/// attempt, with all its work, is lost over it. Every step can be repeated.
fn again<T>(step: impl Fn() -> Result<T, LaneError>) -> Result<T, LaneError> {
    for pause_ms in [20, 200] {
        match step() {
            Err(LaneError::Git { .. } | LaneError::Locked { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(pause_ms));
            }
            done => return done,
        }
    }
    step()
}

fn said(error: LaneError) -> String {
    error.to_string()
}

/// Whether the machine was started anew since the last call for this folder.
fn other_boot(dir: &Path) -> std::io::Result<bool> {
    let current = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let path = dir.join("boot");
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known == current {
        return Ok(false);
    }
    std::fs::write(&path, &current)?;
    Ok(!known.is_empty())
}

fn read_capped(path: &Path) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What was read before an error is still worth searching.
        let _ = file.take(SEARCHED_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The base of a run, kept by `refname`, with what an editor has unsaved, and what the repository has.
pub fn look(
    repo: &Repo,
    checkout: &Path,
    refname: &str,
    buffers: &BTreeMap<String, String>,
    options: &SnapshotOptions,
    path_var: &str,
) -> Result<(Snapshot, Facts), LaneError> {
    let snapshot = repo.base(checkout, refname, buffers, options)?;
    let files = repo.files(&snapshot.commit)?;
    let mut found = facts::gather(checkout, &files, path_var.as_ref());
    found.vcs = if repo.is_shadow() { "shadow" } else { "git" }.to_owned();
    found.branch = repo.head(checkout)?.branch;
    found.dirty = !snapshot.clean;
    Ok((snapshot, found))
}

fn survey(
    repo: &Repo,
    checkout: &Path,
    run: RunId,
    buffers: &BTreeMap<String, String>,
    options: &SnapshotOptions,
    path_var: &str,
    library: &Library,
) -> Report {
    // A run of this number may have been here before: under another state folder, or before this one was deleted.
    let looked = repo
        .delete_refs(&format!("refs/orchestrator/{run}/"))
        .and_then(|()| look(repo, checkout, &format!("refs/orchestrator/{run}/base"), buffers, options, path_var));
    match looked {
        Ok((snapshot, mut facts)) => {
            facts.playbooks.extend(facts::of_user(&library.config, &library.skills));
            let skipped = snapshot.skipped.iter();
            let skipped: Vec<(String, String)> =
                skipped.map(|skipped| (skipped.path.to_string_lossy().into_owned(), skipped.why.to_string())).collect();
            let mut notes: Vec<String> =
                skipped.iter().map(|(path, why)| format!("{path} is not part of the run: {why}")).collect();
            notes.extend(snapshot.unsaved.into_iter().map(|(path, why)| match why {
                None => format!("{path} is taken as the editor has it, which is not saved yet"),
                Some(why) => format!("what is unsaved in {path} is not part of the run: {why}"),
            }));
            notes.extend(facts::lane_problem(checkout));
            if !facts.playbooks.is_empty() {
                notes.extend(playbook::with_project(&playbook::builtin(), &facts).1);
            }
            let (commit, tree) = (snapshot.commit.into(), snapshot.tree.into());
            let base = Base { commit, tree, clean: snapshot.clean, skipped };
            Report::Surveyed { run, facts: Arc::new(facts), base, notes }
        }
        Err(error) => Report::SurveyFailed { run, why: said(error) },
    }
}

fn harvest(
    repo: &Repo,
    lane: &Path,
    attempt: AttemptId,
    run: RunId,
    (from, compare): (&str, bool),
    message: &str,
    options: &SnapshotOptions,
) -> Result<Report, LaneError> {
    let parent: Oid = from.parse()?;
    let refname = format!("refs/orchestrator/{run}/{}/{}", attempt.task, attempt.generation);
    let snapshot = repo.snapshot_lane(lane, &parent, message, &refname, options)?;
    let mut paths = Vec::new();
    let mut noticed = None;
    let diff = match snapshot.commit == parent {
        true => DiffStat::default(),
        false => {
            let diff = repo.diff(&parent, &snapshot.commit)?;
            let named = diff.files.iter().take(PATHS_MAX);
            noticed = super::changes::noticed(&repo.texts(&diff)?, compare).map(Box::new);
            paths.extend(named.map(|file| Touched {
                path: file.path.to_string_lossy().into_owned(),
                new: file.status == super::lanes::Status::Added,
            }));
            DiffStat {
                files: diff.files.len() as u32,
                insertions: diff.insertions as u32,
                deletions: diff.deletions as u32,
            }
        }
    };
    let (commit, tree) = (snapshot.commit.into(), snapshot.tree.into());
    Ok(Report::Harvested { attempt, commit, tree, diff, paths, noticed })
}

fn merge(repo: &Repo, attempt: AttemptId, onto: &str, commit: &str, message: &str) -> Result<Report, LaneError> {
    let (ours, theirs): (Oid, Oid) = (onto.parse()?, commit.parse()?);
    Ok(match repo.merge(&ours, &theirs, message)? {
        Merge::Clean { commit, tree } => {
            Report::Merged { attempt, commit: commit.into(), tree: tree.into(), onto: onto.to_owned() }
        }
        Merge::Conflict { paths } => Report::MergeConflict { attempt, paths: texts(&paths) },
    })
}

fn advance(repo: &Repo, attempt: AttemptId, run: RunId, to: &str, from: &str) -> Result<Report, LaneError> {
    let refname = format!("refs/orchestrator/{run}/tip");
    let (to, from): (Oid, Oid) = (to.parse()?, from.parse()?);
    // The ref comes into being with the first landing; until then the base is where it would be.
    let old = repo.read_ref(&refname)?;
    let agreed = match old {
        None => repo.advance(&refname, &to, None)?,
        Some(_) => repo.advance(&refname, &to, Some(&from))?,
    };
    Ok(match agreed {
        true => Report::Advanced { attempt },
        false => Report::AdvanceRefused { attempt, why: format!("{refname} was moved by somebody else") },
    })
}

fn set_tip(repo: &Repo, run: RunId, to: &str) -> Result<(), LaneError> {
    let refname = format!("refs/orchestrator/{run}/tip");
    let to: Oid = to.parse()?;
    let current = repo.read_ref(&refname)?;
    if current.as_ref() != Some(&to) {
        repo.advance(&refname, &to, current.as_ref())?;
    }
    Ok(())
}

/// The parts of [`Effect::Apply`], with what we add.
struct ApplyPlanOf {
    run: RunId,
    number: u32,
    checkout: PathBuf,
    base: String,
    tip: String,
    only: Vec<String>,
    tasks: Vec<crate::ids::TaskId>,
    staging: PathBuf,
    options: SnapshotOptions,
}

fn apply(repo: &Repo, plan: ApplyPlanOf) -> Result<Report, LaneError> {
    let run = plan.run;
    let base: Oid = plan.base.parse()?;
    let mut result: Oid = plan.tip.parse()?;
    if !plan.tasks.is_empty() {
        result = base.clone();
        for commit in &plan.only {
            match repo.pick(&result, &commit.parse()?, "A part of the result")? {
                Merge::Clean { commit, .. } => result = commit,
                Merge::Conflict { paths } => {
                    let why =
                        "these tasks changed what others had changed before them, and cannot be taken without those"
                            .to_owned();
                    return Ok(Report::ApplyRefused { run, why, paths: texts(&paths) });
                }
            }
        }
    }
    let ApplyPlanOf { checkout, staging, options, .. } = plan;
    let applied = repo.apply(&ApplyPlan { checkout, base, result: result.clone(), run, staging, options })?;
    if !applied.conflicts.is_empty() {
        let paths: Vec<String> = applied.conflicts.iter().map(ToString::to_string).collect();
        return Ok(Report::ApplyRefused { run, why: "the checkout and the result disagree".to_owned(), paths });
    }
    if applied.already {
        let why = "the checkout holds all of the result already".to_owned();
        return Ok(Report::ApplyRefused { run, why, paths: Vec::new() });
    }
    let apply = Apply {
        number: plan.number,
        result: result.into(),
        tasks: plan.tasks,
        before: applied.before.into(),
        merged: applied.merged_tree.into(),
        paths: texts(&applied.paths),
        at: now(),
        in_editor: false,
        unsaved: Vec::new(),
        undone_at: None,
    };
    Ok(Report::Applied { run, apply })
}

/// The apply that an editor made in its buffers. Its number is given where it becomes an event.
pub fn placed(
    repo: &Repo,
    run: RunId,
    checkout: PathBuf,
    base: &str,
    result: &str,
    files: &[Placed],
    options: SnapshotOptions,
) -> Result<Apply, LaneError> {
    // Nothing is written, so nothing is staged.
    let plan =
        ApplyPlan { checkout, base: base.parse()?, result: result.parse()?, run, staging: PathBuf::new(), options };
    let applied = repo.placed(&plan, files)?;
    Ok(Apply {
        number: 0,
        result: result.to_owned(),
        tasks: Vec::new(),
        before: applied.before.into(),
        merged: applied.merged_tree.into(),
        paths: texts(&applied.paths),
        at: now(),
        in_editor: true,
        unsaved: Vec::new(),
        undone_at: None,
    })
}

fn undo(repo: &Repo, run: RunId, checkout: PathBuf, apply: &Apply, staging: PathBuf) -> Result<Report, LaneError> {
    let plan = UndoPlan { checkout, before: apply.before.parse()?, merged_tree: apply.merged.parse()?, staging };
    Ok(match repo.undo(&plan)? {
        Undone::Restored { paths } => Report::Undone { run, number: apply.number, paths: texts(&paths) },
        Undone::Already => Report::Undone { run, number: apply.number, paths: Vec::new() },
        Undone::Refused { edited } => {
            let paths = edited.iter().map(ToString::to_string).collect();
            let why = match apply.in_editor {
                false => "these files were edited since the apply",
                true => {
                    "these files were edited since an editor brought it in, or it did not save them: take it out there \
                     (`Take a result out again`), or save and try again"
                }
            };
            Report::UndoRefused { run, why: why.to_owned(), paths }
        }
    })
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}
