//! Which commands are confined to their lane, where the system can do that.
//!
//! What nobody typed is: commands that were found in files of the repository, playbooks, and whatever runs what an agent
//! wrote, its checks first of all. An agent that may write only to its lane could else have a test of its own write
//! anywhere. What a person typed is not unless they say so: `run --do` and plan files are meant as they are written, and
//! leave a log, a build or a marker outside of the lane as they would in any shell. Nor is what has its effect outside.

use serde::{Deserialize, Serialize};

use super::{
    job::JobId,
    plan::spec::{Effect as Touches, Kind},
    run::Run,
    settings::Settings,
    state::State,
    task::Task,
};

/// Whose commands are confined, unless a task says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confine {
    /// Those that nobody typed.
    #[default]
    Derived,
    /// All that have no effect outside.
    All,
    /// Nobody's.
    None,
}

/// What a task says of its own commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// They are confined, if any are.
    On,
    /// They are not.
    Off,
}

/// Whether a person typed the plan of a run.
fn typed(run: &Run) -> bool {
    run.plan.as_ref().is_some_and(|plan| matches!(plan.source.as_str(), "client" | "command"))
}

/// Whether a job of this task is confined.
pub fn of_task(settings: &Settings, run: &Run, task: &Task, job: JobId) -> bool {
    let outside = task.spec.effect == Touches::External || matches!(job, JobId::Probe(_) | JobId::Compensate(_));
    match (settings.confine, task.spec.extras().sandbox) {
        (Confine::None, _) | (_, Some(Sandbox::Off)) => false,
        (_, Some(Sandbox::On)) => true,
        _ if outside => false,
        (Confine::All, None) => true,
        (Confine::Derived, None) => task.spec.kind() == Kind::Agent || task.spec.extras().derived || !typed(run),
    }
}

/// Whether the checks of a whole tree are confined: its base (`landed` = false), or what landed.
pub fn of_run(state: &State, settings: &Settings, run: &Run, landed: bool) -> bool {
    let mut tasks = run.tasks.iter().filter_map(|task| state.task(*task));
    match settings.confine {
        Confine::None => false,
        Confine::All => true,
        // Where one task needs more than its lane, its checks may, too.
        Confine::Derived if tasks.clone().any(|task| task.spec.extras().sandbox == Some(Sandbox::Off)) => false,
        Confine::Derived => !typed(run) || (landed && tasks.any(|task| task.spec.kind() == Kind::Agent)),
    }
}
