//! The Orchestrator: a large software request goes in, many tasks run at once in isolated checkouts, each change is
//! proven before it counts, and the result comes home when somebody says so.
//!
//! This page is the map. `README.md` says how it is used; each module says what it is for and what it is not.
//!
//! ```text
//! terminal ── cli/ ── client/ ══ socket ══ daemon/ ──────── core/ ─────────── store/
//!                     finds or   server      main_loop        pure: step,      the journal:
//!                     starts     (api/)      (one per         then the seven   append-only,
//!                     the daemon roles       workspace)       stages           hash-chained
//!                                              │  ▲
//!                              daemon/effects  ▼  │ reports
//!                              daemon/lanes    isolated checkouts, landing, apply (git)
//!                              daemon/facts    what the repository has
//!                              daemon/agents   keepers: every process; they outlive the daemon. Agents
//! core: analyze → plan → coordinate → execute → track → decide → recover
//! ```
//!
//! # One request, from the first word to the checkout
//!
//! 1. `orchestrator run "format and lint"`: [`cli`] reads it, [`client`] finds the daemon or starts one, and greets it.
//! 2. [`api`] says what may be asked and in which shape; `daemon/server` checks the caller's role and hands the
//!    request to the loop of its workspace (`daemon/main_loop`), the only code that changes that workspace's state.
//! 3. The loop gives it to [`core::step`] as a command. It becomes an event; "look at the repository" is its effect.
//! 4. The events go to [`store`]; once they are on disk, and never before, the reply leaves and effects are carried out.
//! 5. `daemon/facts` reports languages, commands and programs. The stage `analyze` understands the request, `plan`
//!    takes the playbook that fits (or the plan that came along) and lays out its task graph.
//! 6. `execute` finds what may start: `daemon/lanes` prepares a checkout, the keeper (`daemon/agents`) runs the command.
//! 7. The end of the process is a report. `core::land` then asks for the checks, in that lane; `core::prove` compares
//!    them with the same checks on the untouched base. What is not proven is undone, `recover` says what follows.
//! 8. A proven change is merged in memory with what landed meanwhile, proven again if that made another tree, and moves
//!    the run's hidden ref by compare-and-swap. The user's checkout has not been touched.
//! 9. Where only a person can say, `decide` opens a decision; it holds up what depends on it and nothing else.
//! 10. `track` ends the run, the result is the branch `orchestrator/R-1`; `apply R-1` merges it into the checkout, all
//!     or nothing, and `undo R-1` takes it out again.
//!
//! Killed at any point, the next daemon reads the journal back through the same code and goes on ([`core::effect::due`]).
//!
//! # Where the specification's names are
//!
//! | specification | here |
//! |---|---|
//! | Orchestrator | [`core::State`], [`core::step`] and `daemon/main_loop`, one of each per workspace |
//! | active_sessions | [`core::state::State::runs`]; a session is a run, `R-3` |
//! | pending_decisions | the open ones of [`core::state::State::decisions`]; replies list them by urgency, blocked work, age |
//! | execution_pool | `daemon/agents/keeper`, with as many workers as `[workflow] workers` says (10) |
//! | ProcessIntelligence | [`core::analyze`]: intent, complexity, risks, criteria |
//! | TaskDecomposer | [`core::plan`] (playbooks, plan files) and [`core::graph`]. `sequential` keeps the plan's order, everything else goes by dependencies. [`core::plan::planner`] has an agent make the plan of a large request |
//! | AgentCoordinator, Agent | [`core::coordinate`]: scores and receipts, leases of sessions; [`core::agent`] is an agent as data, `daemon/agents` drives it. [`core::coordinate::strategies`] lays ways of working together into the graph |
//! | ProgressTracker | [`core::track`]; bars, timeline and graph are drawn in `cli/render` |
//! | UserInteractionManager | [`core::decide::decision`] and its faces: `cli/ask` and `cli/decide`, `lsp/follow` (question, lens, diagnostic, code action), `mcp/` (forms and prompts) |
//! | DecisionEngine, DecisionTree | [`core::decide`]: who is asked what, and what an answer leads to. [`core::decide::gate`] says what may run: effects read off the call ([`core::decide::shell`]) and rules in CEL ([`core::decide::policy`], the built-in ones in `src/policy/`) |
//! | ErrorHandler | [`core::recover`]: `classify`, then `route` |
//! | RetryStrategy | [`core::recover::backoff`] |
//! | CompensationStrategy, RollbackStrategy | a plan's `compensate` ([`core::plan::spec`], run by `core::land`); a lane is simply put back |
//! | OrchestratorStateMachine | [`core::run::RunState::next`], one total function |
//! | StateManager | [`store`]; checkpoints are [`core::state::Checkpoint`] |
//! | ContextEngine | [`core::facts`], gathered by [`daemon::facts`] |
//! | WorkflowEngine | [`core::plan::playbook`] and the files in `src/playbooks/` |
//! | SkillManager | a skill is a playbook of one task ([`core::plan::playbook::parse_skill`]); our own are [`upkeep`] |
//! | MetricsCollector | computed from the state when asked (`daemon/convert`): nothing is counted twice |
//! | StructuredLogger | `tracing`, to standard error or the daemon's log; what *happened* is in the journal |
//! | OrchestratorAPI | [`api::OrchestratorApiServer`] and [`api::OrchestratorApiClient`], made from one trait |
//! | ProcessRequest … DecisionResult | [`api`], under the same names |
//! | PerformanceOptimizer | no object: bounds in [`config`], group commit in `store/local`; a tree that was proven is not proven again; what was read is kept until something changes ([`api::kept`], [`api::count`]) |
//! | OrchestratorIntegration | [`stdio`] tells LSP and MCP apart; [`lsp`] is the face for editors (`editors/` starts it), [`mcp`] the one for model hosts |

// In reading order: the words everybody uses, what is asked, decided, kept and done, and who asks. (No doc comments here:
// with them, links in the modules' own pages would be looked up from this one.)

// Ids as people and clients see them: `R-3`, `T-42`, attempt `T-42.2`, `D-7`, `C-5`.
pub mod ids;
// Time as it is stored, and the only reading of the clock for it.
pub mod time;
// Memory that a burst needed and rest does not, given back.
pub mod rest;

// The daemon's contract: every call, and the shapes on the wire.
pub mod api;
// What is decided: the pure state machine and its seven stages.
pub mod core;
// What is kept: the journal, and the seam below which a backend lives.
pub mod store;

// The user's settings, and where things live.
pub mod config;
// What is done: the background process, with lanes, keepers and the loop of each workspace.
pub mod daemon;
// Our own fixers and audits.
pub mod upkeep;

// The way to the daemon: find, start, greet.
pub mod client;

// Two faces on standard input and output, and what tells them apart.
pub mod lsp;
pub mod mcp;
pub mod stdio;

// The command line.
pub mod cli;
