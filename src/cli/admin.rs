//! Verbs about the installation rather than about runs: trust, checkpoints, journal, daemon, settings, completions.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use super::{
    args::{DaemonWhat, JournalWhat},
    console::Console,
    exit::{CliError, Exit},
    render::{
        duration::{ago, bytes},
        paint::Paint,
        report::plural,
        table::{Cell, prose, table},
    },
    seams,
};
use crate::{
    api::{ApiError, Code, OrchestratorApiClient, Welcome},
    ids::{CheckpointId, RunId},
    time::now,
};

/// Gives or takes trust in the files of the workspace.
pub async fn trust<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    revoke: bool,
) -> Result<Exit, CliError> {
    let reply = client.trust(!revoke).await?;
    console.reply(&reply, |reply, paint| {
        let files: String = reply.files.iter().map(|file| format!("  {}\n", paint.dim(file))).collect();
        format!("{}\n{files}", reply.summary)
    })?;
    Ok(Exit::Completed)
}

/// Saves a checkpoint.
pub async fn checkpoint<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    label: Option<String>,
) -> Result<Exit, CliError> {
    let reply = client.save_checkpoint(run, label, None).await?;
    console.reply(&reply, |reply, paint| {
        let restore = paint.cyan(&format!("orchestrator restore {}", reply.checkpoint_id));
        format!("{}\nGo back with {restore}\n", reply.summary)
    })?;
    Ok(Exit::Completed)
}

/// Goes back to a checkpoint.
pub async fn restore<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    checkpoint: CheckpointId,
) -> Result<Exit, CliError> {
    let reply = client.restore_checkpoint(checkpoint, None).await?;
    console.reply(&reply, |reply, paint| {
        let left = reply.external_left.iter().map(|left| format!("  {} did not go back: {left}\n", paint.yellow("!")));
        format!("{}\n{}", reply.summary, left.collect::<String>())
    })?;
    Ok(Exit::Completed)
}

/// Forgets old runs.
pub async fn gc<C: OrchestratorApiClient + Sync>(client: &C, console: &mut Console) -> Result<Exit, CliError> {
    let reply = client.collect_garbage().await?;
    console.reply(&reply, |reply, _| format!("{}\n", reply.summary))?;
    Ok(Exit::Completed)
}

/// What the daemon says of itself.
pub async fn daemon_status<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
) -> Result<Exit, CliError> {
    let reply = client.daemon_status().await?;
    let width = console.width;
    console.reply(&reply, |reply, paint| {
        let memory = reply.rss_bytes.map(|rss| format!(", {}", bytes(rss))).unwrap_or_default();
        let mut text = format!("{}\n", reply.summary);
        text.push_str(&format!(
            "version {}, process {}, started {}{memory}\n",
            reply.version,
            reply.pid,
            ago(reply.since, now())
        ));
        text.push_str(&format!("socket {}\nstate  {}\n", reply.socket, reply.state_dir));
        if let Some(listen) = &reply.listen {
            let token = Path::new(&reply.socket).with_file_name("token");
            text.push_str(&format!(
                "listens on ws://{listen}/ and http://{listen}/api, token in {}\n",
                token.display()
            ));
        }
        text.push_str(&format!("{}, {} running\n", plural(reply.connections, "connection"), reply.running));
        let protections = &reply.protections;
        text.push_str(&format!(
            "sandbox {} (commands: {}), supervision {}, durability {}\n",
            protections.sandbox, protections.commands, protections.supervision, protections.durability
        ));
        let rows: Vec<Vec<Cell>> = reply
            .workspaces
            .iter()
            .map(|workspace| {
                vec![
                    Cell::new(workspace.name.clone(), Paint::bold),
                    workspace.vcs.as_str().into(),
                    workspace.path.as_str().into(),
                ]
            })
            .collect();
        text.push_str(&table(&rows, 2, width, paint));
        text
    })?;
    Ok(Exit::Completed)
}

/// `daemon start|stop|status` once connected. Starting is done by connecting.
pub async fn daemon<C: OrchestratorApiClient + Sync>(
    client: &C,
    welcome: &Welcome,
    console: &mut Console,
    what: &DaemonWhat,
) -> Result<Exit, CliError> {
    match what {
        DaemonWhat::Start { listen: None } => {
            console.reply(welcome, |welcome, _| format!("{}\n", welcome.summary))?;
            Ok(Exit::Completed)
        }
        DaemonWhat::Start { listen: Some(wanted) } => {
            let status = client.daemon_status().await?;
            let wanted = crate::daemon::listen::address(wanted)?;
            let there = status.listen.as_ref().and_then(|there| there.parse::<std::net::SocketAddr>().ok());
            // Port 0 asks for any.
            if there.is_none_or(|there| there.ip() != wanted.ip() || ![there.port(), 0].contains(&wanted.port())) {
                let message = format!("a daemon (pid {}) runs already, and does not listen on {wanted}", status.pid);
                let hint = "end it and start it again: orchestrator daemon stop";
                return Err(ApiError::new(Code::Unavailable, message, hint).into());
            }
            daemon_status(client, console).await
        }
        DaemonWhat::Stop { now } => {
            let reply = client.stop_daemon(*now).await?;
            if !now {
                gone(reply.pid).await;
            }
            console.reply(&reply, |reply, _| format!("{}\n", reply.summary))?;
            Ok(Exit::Completed)
        }
        DaemonWhat::Status => daemon_status(client, console).await,
        DaemonWhat::Run { listen } => seams::daemon_run(listen.clone()),
    }
}

/// How long an ending daemon is waited for: it lets git steps that are under way come to their end.
const GONE_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// Waits until a process is gone: whoever starts a daemon next, or removes its folders, meets none.
async fn gone(pid: u32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    let ended = async {
        // SAFETY: signal 0 is never delivered; it only asks whether the process is there.
        while unsafe { libc::kill(pid, 0) } == 0 && !is_over(pid) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    // One that takes longer ends all the same.
    let _ = tokio::time::timeout(GONE_MAX, ended).await;
}

/// Whether a process has ended and only waits for whoever started it to take note: a client that runs on does not.
fn is_over(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it is in parentheses, and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Verifies, exports or imports a journal. Needs no daemon.
pub fn journal(console: &mut Console, workspace: &Path, what: &JournalWhat) -> Result<Exit, CliError> {
    let summary = match what {
        JournalWhat::Verify { dir } => seams::journal_verify(workspace, dir.as_deref())?,
        JournalWhat::Export { to, dir } if to == Path::new("-") => {
            let mut out = Watched { out: &mut console.out, gone: false };
            let summary = match seams::journal_export(workspace, dir.as_deref(), &mut out) {
                // `| head` has read enough: the journal did not fail.
                Err(_) if out.gone => return Err(CliError::Pipe),
                exported => exported?,
            };
            // Standard output holds the journal; the summary must not join it.
            console.out.flush()?;
            console.note(&summary)?;
            return Ok(Exit::Completed);
        }
        JournalWhat::Export { to, dir } => {
            let doing = format!("cannot write {}", to.display());
            let mut out = io::BufWriter::new(std::fs::File::create(to).map_err(CliError::io(doing.clone()))?);
            let summary = seams::journal_export(workspace, dir.as_deref(), &mut out)?;
            out.flush().map_err(CliError::io(doing))?;
            summary
        }
        JournalWhat::Import { from, dir } if from == Path::new("-") => {
            seams::journal_import(&mut io::stdin().lock(), dir)?
        }
        JournalWhat::Import { from, dir } => {
            let file = std::fs::File::open(from).map_err(CliError::io(format!("cannot read {}", from.display())))?;
            seams::journal_import(&mut io::BufReader::new(file), dir)?
        }
    };
    if console.json {
        console.object(&json!({ "summary": summary }))?
    } else {
        console.line(summary)?
    }
    Ok(Exit::Completed)
}

/// Every setting with its value and where it comes from.
pub fn config(console: &mut Console, workspace: &Path) -> Result<Exit, CliError> {
    let settings = seams::settings(workspace)?;
    if console.json {
        for setting in &settings {
            console.object(&json!({"name": setting.name, "value": setting.value, "origin": setting.origin}))?;
        }
        return Ok(Exit::Completed);
    }
    let rows: Vec<Vec<Cell>> = settings
        .into_iter()
        .map(|setting| {
            // The value last: it may be long, and must be read whole.
            vec![Cell::new(setting.name, Paint::cyan), Cell::new(setting.origin, Paint::dim), setting.value.into()]
        })
        .collect();
    console.text(prose(&rows, 0, console.width, console.paint))?;
    Ok(Exit::Completed)
}

/// Standard output, and whether its reader went away.
struct Watched<'a> {
    out: &'a mut dyn Write,
    gone: bool,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.gone |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.gone |= flushed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        flushed
    }
}

/// Every playbook that this workspace has.
pub fn playbooks(console: &mut Console, workspace: &Path) -> Result<Exit, CliError> {
    let (playbooks, problems) = seams::playbooks(workspace);
    for problem in &problems {
        console.note(problem)?;
    }
    if console.json {
        for playbook in &playbooks {
            console.object(&json!({"name": playbook.name, "about": playbook.about, "origin": playbook.origin}))?;
        }
        return Ok(Exit::Completed);
    }
    let rows: Vec<Vec<Cell>> = playbooks
        .into_iter()
        .map(|playbook| {
            vec![Cell::new(playbook.name, Paint::cyan), Cell::new(playbook.origin, Paint::dim), playbook.about.into()]
        })
        .collect();
    console.text(prose(&rows, 0, console.width, console.paint))?;
    Ok(Exit::Completed)
}

/// Completions for a shell, to be put where it looks for them.
pub fn completions(console: &mut Console, shell: clap_complete::Shell) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::args::typed_command(), "orchestrator", &mut script);
    console.out.write_all(&script)?;
    console.out.flush()?;
    Ok(Exit::Completed)
}
