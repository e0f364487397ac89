//! Looking: `status`, `log`, `why`, `report`, `facts`, `agents`. And the two that nudge: `cancel` and `retry`.

use std::path::Path;

use super::{
    console::Console,
    exit::{CliError, Exit},
    follow::lagged,
    render,
    result::newest,
    run::{FIRST_WAIT, RECONNECTS},
};
use crate::{
    api::{ApiError, Code, Event, LogId, OrchestratorApiClient, Outcome, WorkId},
    ids::{BadId, RunId, TaskId},
    time::now,
};

/// How long one call waits for more of a log.
const LOG_WAIT_S: f64 = 60.0;

/// A daemon that was watched for so long does not go away again and again, seconds.
const STEADY_S: f64 = 30.0;

/// One screen; with `watch` again after every change, of one run until that is over. A daemon that goes away, killed or
/// in favour of another, is looked for again: the same screen goes on.
pub async fn status<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    watch: bool,
) -> Result<Exit, CliError> {
    if !watch {
        draw_status(client, console, run, watch).await?;
        return Ok(Exit::Completed);
    }
    let (mut drawn, mut losses) = (None, 0);
    loop {
        let since = now();
        match watch_status(client, console, run, &mut drawn).await {
            Ok(Some(outcome)) => return Ok(Exit::of_outcome(outcome)),
            Ok(None) => {}
            // Only who has seen something waits for more of it.
            Err(CliError::Api(error)) if error.code == Code::Unavailable && drawn.is_some() => {
                tracing::debug!(%error, "the daemon went away");
            }
            Err(error) => return Err(error),
        }
        losses = if now().seconds_since(since) > STEADY_S { 1 } else { losses + 1 };
        if losses > RECONNECTS {
            let hint = "look at `orchestrator doctor`; nothing is lost, runs go on with the daemon";
            return Err(ApiError::new(Code::Unavailable, "the daemon goes away again and again", hint).into());
        }
        console.note("The daemon went away; looking for it again.")?;
        // The next call finds another or starts one. One that is found at once and lost at once must not keep us spinning.
        if losses > 1 {
            tokio::time::sleep(FIRST_WAIT * (1 << losses)).await;
        }
    }
}

/// Draws a screen, and one after every change; `drawn` is the newest one's revision, also where the connection breaks. How
/// the one run ended that was asked for; `None` once the connection is gone.
async fn watch_status<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    drawn: &mut Option<u64>,
) -> Result<Option<Outcome>, CliError> {
    let (mut seen, outcome) = draw_status(client, console, run, true).await?;
    *drawn = Some(seen);
    if outcome.is_some() {
        return Ok(outcome);
    }
    let mut events = client.subscribe_events(seen, run).await?;
    loop {
        let told = match events.next().await {
            Some(told) => told,
            // Slower than the events, we go on behind what was seen.
            None if lagged(&events) => {
                events = client.subscribe_events(seen, run).await?;
                continue;
            }
            None => return Ok(None),
        };
        let told: Vec<Event> =
            told.map_err(|error| ApiError::new(Code::Internal, format!("an event cannot be read: {error}"), ""))?;
        // Many events come at once; the screen shows all of them up to its own revision.
        if told.last().is_none_or(|event| event.revision <= seen) {
            continue;
        }
        let (newest, outcome) = draw_status(client, console, run, true).await?;
        seen = newest;
        *drawn = Some(seen);
        if outcome.is_some() {
            return Ok(outcome);
        }
    }
}

/// Draws one screen; its revision, and how the one run ended that was asked for.
async fn draw_status<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    watch: bool,
) -> Result<(u64, Option<Outcome>), CliError> {
    let state = client.get_state(run).await?;
    let outcome = state.sessions.iter().find(|of| Some(of.request_id) == run).and_then(|of| of.outcome);
    if console.json {
        console.object(&state)?;
        return Ok((state.revision, outcome));
    }
    let mut pending = client.get_pending_decisions().await?.decisions;
    if let Some(run) = run {
        pending.retain(|decision| decision.context.request_id == run);
    }
    let mut text = render::status::screen(&state, &pending, now(), console.width, console.paint);
    if let Some(run) = run {
        // One run was asked for: its tasks are what one wants to see.
        let report = client.get_report(run).await?;
        text.push_str(&render::report::whole(&report, console.width, console.paint));
    }
    if watch && console.out_is_terminal {
        text.insert_str(0, "\x1b[H\x1b[2J");
    }
    console.text(text)?;
    Ok((state.revision, outcome))
}

/// The agents and how loaded they are.
pub async fn agents<C: OrchestratorApiClient + Sync>(client: &C, console: &mut Console) -> Result<Exit, CliError> {
    let state = client.get_state(None).await?;
    if console.json {
        console.object(&state.agents)?;
    } else if state.agents.is_empty() {
        console.line(
            "No agents: commands run by themselves. Coding agents on the PATH are found by `orchestrator doctor`.",
        )?;
    } else {
        console.text(render::agents::list(&state, now(), console.width, console.paint))?;
    }
    Ok(Exit::Completed)
}

/// The output of a task's last attempt, or of one attempt; with `follow` until that attempt ends.
pub async fn log<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: &str,
    follow: bool,
    tail: Option<u64>,
) -> Result<Exit, CliError> {
    let mut id: LogId = parse(id, "orchestrator status R-3 lists a run's tasks")?;
    let mut reply = client.get_log(id, tail, None, None).await?;
    loop {
        if console.json {
            console.object(&reply)?;
        } else {
            if reply.attempt.is_none() && !follow {
                console.note(&reply.summary)?;
            }
            // A terminal must not be driven by a program's output; a file or a pipe gets it as it was.
            let text = if console.out_is_terminal { readable(&reply.text, console.paint) } else { reply.text.clone() };
            console.text(text)?;
        }
        if !follow || reply.ended {
            return Ok(Exit::Completed);
        }
        // From here on this very attempt, even if the task is tried again meanwhile.
        if let Some(attempt) = reply.attempt {
            id = attempt.into();
        }
        reply = client.get_log(id, None, Some(reply.next_offset_bytes), Some(LOG_WAIT_S)).await?;
    }
}

/// A program's output as a person reads it at a terminal: without control characters, and our own audits' and fixers'
/// findings, which are lines of JSON to everybody else, as the sentences that they are.
fn readable(text: &str, paint: render::paint::Paint) -> String {
    let line = |line: &str| match crate::daemon::explain::finding(line, TaskId(0)) {
        Some(finding) => {
            let end = if line.ends_with('\n') { "\n" } else { "" };
            format!(
                "{} {}{end}",
                render::report::level_mark(finding.level, paint),
                render::table::one_line(&finding.text)
            )
        }
        None => render::table::harmless(line),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Why a thing is as it is.
pub async fn why<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: &str,
) -> Result<Exit, CliError> {
    let reply = client.why(id.to_owned()).await?;
    // A task's reasons are easier to read below where it stands.
    if let (Ok(work @ WorkId::Task(_)), false) = (id.parse(), console.json) {
        let task = client.get_task_status(work).await?;
        console.text(render::task::status(&task, console.width, console.paint))?;
    }
    let width = console.width;
    console.reply(&reply, |reply, paint| render::task::why(reply, width, paint))?;
    Ok(Exit::Completed)
}

/// What a run did, found and took; or its timeline, or its graph.
pub async fn report<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    svg: Option<&Path>,
    mermaid: bool,
) -> Result<Exit, CliError> {
    let run = newest(client, run).await?;
    let report = client.get_report(run).await?;
    if let Some(file) = svg {
        let picture = render::svg::timeline(&report, now());
        if file == Path::new("-") {
            console.text(picture)?;
        } else {
            std::fs::write(file, picture).map_err(CliError::io(format!("cannot write {}", file.display())))?;
            console.note(format!("timeline of {run} written to {}", file.display()))?;
        }
        return Ok(Exit::Completed);
    }
    if mermaid {
        console.text(render::mermaid::graph(&report))?;
        return Ok(Exit::Completed);
    }
    let width = console.width;
    console.reply(&report, |report, paint| render::report::whole(report, width, paint))?;
    Ok(Exit::Completed)
}

/// What is known about the workspace.
pub async fn facts<C: OrchestratorApiClient + Sync>(client: &C, console: &mut Console) -> Result<Exit, CliError> {
    let reply = client.get_facts().await?;
    let width = console.width;
    console.reply(&reply, |reply, paint| {
        use render::{paint::Paint, report::shell_words, table::Cell};
        let facts = &reply.facts;
        let mut text = format!("{}\n", reply.summary);
        text.push_str(&format!("{} files, {} lines, {}\n", facts.files, facts.lines, facts.vcs));
        let languages: Vec<String> = facts.languages.iter().map(|(name, files)| format!("{name} {files}")).collect();
        text.push_str(&format!("languages: {}\n", languages.join(", ")));
        let rows: Vec<Vec<Cell>> = facts
            .commands
            .iter()
            .map(|command| {
                let role = serde_json::to_value(command.role).ok().and_then(|role| role.as_str().map(str::to_owned));
                vec![
                    role.unwrap_or_default().into(),
                    Cell::new(command.origin.clone(), Paint::dim),
                    Cell::new(shell_words(&command.argv), Paint::cyan),
                ]
            })
            .collect();
        text.push_str(&render::table::prose(&rows, 2, width, paint));
        for (program, _) in facts.programs.iter().filter(|(_, found)| !**found) {
            // A path is looked up in the repository: what its package manager would put there.
            let place = if program.contains('/') { "installed here" } else { "on the PATH" };
            text.push_str(&format!("{} {program} is not {place}\n", paint.yellow("!")));
        }
        text
    })?;
    Ok(Exit::Completed)
}

/// Cancels a task or a run.
pub async fn cancel<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: &str,
) -> Result<Exit, CliError> {
    let id: WorkId = parse(id, "give T-42 for a task or R-3 for a run")?;
    let reply = client.cancel_task(id).await?;
    console.reply(&reply, |reply, paint| {
        let left = reply.external_left.iter().map(|left| format!("  {} still there: {left}\n", paint.yellow("!")));
        format!("{}\n{}", reply.summary, left.collect::<String>())
    })?;
    Ok(Exit::Completed)
}

/// Tries a failed task, or all failed tasks of a run, again.
pub async fn retry<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    id: &str,
) -> Result<Exit, CliError> {
    let id: WorkId = parse(id, "give T-42 for a task or R-3 for a run")?;
    let reply = client.retry(id, None).await?;
    console.reply(&reply, |reply, _| format!("{}\n", reply.summary))?;
    Ok(if reply.tasks.is_empty() { Exit::Failed } else { Exit::Completed })
}

/// An id as typed; small letters are taken for the capital ones that ids have.
fn parse<T: std::str::FromStr<Err = BadId>>(text: &str, hint: &str) -> Result<T, CliError> {
    if let Some((workspace, _)) = text.split_once(':') {
        let message = format!("{text} belongs to the workspace {workspace}");
        return Err(CliError::usage(message, "run the command there, or name its folder with --in"));
    }
    text.to_uppercase().parse().map_err(|error: BadId| CliError::usage(error.to_string(), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sentences_at_a_terminal_and_the_rest_is_as_it_was() {
        let text = "plain \u{1b}[2J\n{\"finding\":{\"kind\":\"x\",\"path\":\"a.md\",\"line\":3,\"severity\":\"low\",\
                    \"message\":\"a blank\",\"fixed\":true}}\n{\"finding\": no JSON\nhalf";
        let shown = readable(text, render::paint::Paint::PLAIN);
        assert_eq!(shown, "plain [2J\ni a.md:3: a blank (mended)\n{\"finding\": no JSON\nhalf");
    }

    #[test]
    fn ids_are_read_as_people_type_them() {
        assert_eq!(parse::<WorkId>("t-4", "").unwrap(), WorkId::Task(TaskId(4)));
        assert_eq!(parse::<WorkId>("4", "hint").unwrap_err().exit(), Exit::Usage);
        let error = parse::<WorkId>("web:T-4", "").unwrap_err();
        assert_eq!(error.to_string(), "web:T-4 belongs to the workspace web");
    }
}
