//! `run`: hands in a request, follows it, and says what came of it. `plan` shows what would happen instead.

use std::{io::Read, path::Path, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    args::RunArgs,
    console::Console,
    exit::{CliError, Exit},
    follow::{End, Follower, Patience},
    render,
};
use crate::{
    api::{
        ApiError, Code, OrchestratorApiClient, ProcessRequest, ProcessResponse, Report, Unchecked, WorkId,
        request::Mode,
    },
    ids::RunId,
};

/// How long a second Ctrl-C is waited for.
const SECOND_INTERRUPT: Duration = Duration::from_secs(3);
/// How often a lost daemon is looked for, each time waiting twice as long as before.
pub(super) const RECONNECTS: u32 = 7;
/// The first of these waits.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Hands in the request, follows the run, and ends as it ended. `reconnect` finds the daemon again after it was lost.
pub async fn run<C: OrchestratorApiClient + Sync>(
    mut client: C,
    reconnect: impl AsyncFn() -> Result<C, CliError>,
    console: &mut Console,
    arguments: &RunArgs,
) -> Result<Exit, CliError> {
    let mut request = request(arguments, Mode::Start)?;
    // With a key, handing it in again after a lost connection is no second run.
    let key = request.key.get_or_insert_with(|| format!("cli-{}-{}", std::process::id(), crate::time::now().0));
    tracing::debug!(key, "handed in under this key");
    let started = Instant::now();
    if arguments.trust {
        let trust = client.trust(true).await?;
        if !console.json {
            console.line(&trust.summary)?;
        }
    }
    let mut tries = 0;
    let response = loop {
        match client.process_request(Unchecked::from(&request)).await.map_err(ApiError::from) {
            Ok(response) => break response,
            Err(error) if error.code == Code::Unavailable && tries < RECONNECTS => {
                tries += 1;
                client = find_again(&reconnect, console).await?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    announce(&response, console)?;
    let run = response.request_id;
    if arguments.detach {
        if !console.json {
            console.text(come_back(run, console))?;
        }
        return Ok(Exit::Completed);
    }
    let patience = Patience { until: arguments.within.map(|within| started + within), no_wait: arguments.no_wait };
    let mut follower = Follower::new(run, patience, console)?;
    let (mut losses, mut seen) = (0, None);
    loop {
        match follower.follow(&client, console).await? {
            End::Lost => {
                losses = if follower.revision() == seen { losses + 1 } else { 1 };
                seen = follower.revision();
                if losses > RECONNECTS {
                    let hint = format!("look at `orchestrator doctor`; {run} is kept, and goes on with the daemon");
                    return Err(ApiError::new(Code::Unavailable, "the daemon goes away again and again", hint).into());
                }
                // One that is found at once and lost at once must not keep us spinning.
                if losses > 1 {
                    tokio::time::sleep(FIRST_WAIT * (1 << losses)).await;
                }
                client = find_again(&reconnect, console).await?;
            }
            End::Finished => match client.get_report(run).await.map_err(ApiError::from) {
                Ok(report) => return finish(&report, console),
                Err(error) if error.code == Code::Unavailable && losses < RECONNECTS => {
                    losses += 1;
                    client = find_again(&reconnect, console).await?;
                }
                Err(error) => return Err(error.into()),
            },
            End::Decision => {
                if !console.json {
                    console.line(format!("{run} stopped: it goes on once the question is answered."))?;
                }
                return last_word(&client, run, console, Exit::Decision).await;
            }
            End::TimeUp => {
                if !console.json {
                    let within = render::duration::seconds(started.elapsed().as_secs_f64());
                    console.line(format!("{within} are over; {run} goes on in the background. The best so far:"))?;
                }
                let report = client.get_report(run).await?;
                // It may have ended in the very last moment.
                if report.outcome.is_some() {
                    return finish(&report, console);
                }
                show(&report, console)?;
                if !console.json {
                    console.text(come_back(run, console))?;
                }
                return Ok(Exit::Failed);
            }
            End::Interrupted => {
                if !arguments.foreground {
                    console.note(format!("\n{run} goes on in the background; Ctrl-C again cancels it."))?;
                    if !follower.interrupted_again(SECOND_INTERRUPT).await {
                        console.note(come_back(run, console).trim_end())?;
                        return Ok(Exit::Failed);
                    }
                }
                let cancelled = client.cancel_task(WorkId::Run(run)).await?;
                console.reply(&cancelled, |cancelled, _| format!("{}\n", cancelled.summary))?;
                for left in &cancelled.external_left {
                    console.note(format!("still there: {left}"))?;
                }
                return Ok(Exit::Cancelled);
            }
        }
    }
}

/// Shows what would happen, and starts nothing.
pub async fn plan<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    words: &[String],
    file: Option<&Path>,
) -> Result<Exit, CliError> {
    if let ([word], None) = (words, file)
        && let Ok(run) = word.parse::<RunId>()
    {
        let reply = client.get_plan(run).await?;
        let width = console.width;
        console.reply(&reply, |reply, paint| render::plan::plan(&reply.plan, width, paint))?;
        return Ok(Exit::Completed);
    }
    let arguments = RunArgs { request: words.to_vec(), plan: file.map(Path::to_owned), ..RunArgs::default() };
    let response = client.process_request(Unchecked::from(&request(&arguments, Mode::Plan)?)).await?;
    let width = console.width;
    console.reply(&response, |response, paint| match &response.initial_plan {
        Some(plan) => format!(
            "{}{}{}",
            render::plan::analysis(&plan.analysis, width, paint),
            paint.bold("Plan "),
            render::plan::plan(plan, width, paint)
        ),
        None => format!("{}\n", response.summary),
    })?;
    Ok(Exit::Completed)
}

/// The request that these arguments mean.
fn request(arguments: &RunArgs, mode: Mode) -> Result<ProcessRequest, CliError> {
    let mut description = arguments.request.join(" ").trim().to_owned();
    if description == "-" {
        description.clear();
        std::io::stdin().read_to_string(&mut description).map_err(CliError::io("cannot read the request"))?;
        description = description.trim().to_owned();
    }
    let plan = match (&arguments.command, &arguments.plan) {
        (Some(command), _) => {
            if description.is_empty() {
                description = format!("Run `{command}`; keep what passes {}", ticked(&arguments.verify));
            }
            Some(one_command(command, &arguments.verify))
        }
        (None, Some(file)) => {
            let text = read_plan(file)?;
            super::seams::check_plan(&text)?;
            if description.is_empty() {
                description = format!("Run the plan {}", file.display());
            }
            Some(Value::String(text))
        }
        (None, None) => match named(arguments)? {
            Some(Named { name, params }) => {
                if description.is_empty() {
                    description = format!("Run {}", name.replacen(':', " ", 1));
                }
                Some(one_playbook(&name, &params))
            }
            None => None,
        },
    };
    let mut request =
        ProcessRequest { description, plan, mode, key: arguments.key.clone(), ..ProcessRequest::default() };
    request.jobs = arguments.jobs;
    request.constraints.maintain_compatibility = arguments.compatible.then_some(true);
    // A check without a command binds the result of what is asked for in words.
    if arguments.command.is_none() && !arguments.verify.is_empty() {
        let argv = |check: &String| vec!["sh".to_owned(), "-c".to_owned(), check.clone()];
        request.constraints.verify = Some(arguments.verify.iter().map(argv).collect());
    }
    Ok(request)
}

fn read_plan(file: &Path) -> Result<String, CliError> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(CliError::io("cannot read the plan"))?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| {
        CliError::usage(
            format!("cannot read the plan {}: {error}", file.display()),
            "give the path of a TOML or JSON file",
        )
    })
}

/// A playbook or skill, with its parameters.
struct Named {
    name: String,
    params: Map<String, Value>,
}

/// The playbook or skill that was named.
fn named(arguments: &RunArgs) -> Result<Option<Named>, CliError> {
    let name = match (&arguments.playbook, &arguments.skill) {
        (Some(playbook), _) => playbook.clone(),
        (None, Some(skill)) => format!("skill:{skill}"),
        (None, None) if arguments.set.is_empty() => return Ok(None),
        (None, None) => {
            return Err(CliError::usage("--set goes with --playbook or --skill", "see: orchestrator playbooks"));
        }
    };
    let mut params = Map::new();
    for set in &arguments.set {
        let Some((name, value)) = set.split_once('=') else {
            return Err(CliError::usage(format!("{set:?} sets nothing"), "write --set NAME=VALUE"));
        };
        params.insert(name.to_owned(), value.into());
    }
    Ok(Some(Named { name, params }))
}

/// The plan of `--playbook` and `--skill`: what the name stands for, expanded when the repository was looked at.
fn one_playbook(name: &str, params: &Map<String, Value>) -> Value {
    json!({"version": 1, "title": name, "tasks": [{"id": "do", "title": name, "playbook": name, "params": params}]})
}

/// The plan of `--do CMD --verify CHECK`: one task, proven by every check.
fn one_command(command: &str, checks: &[String]) -> Value {
    let mut task = Map::new();
    task.insert("id".into(), "do".into());
    task.insert("title".into(), render::table::cut(&render::table::one_line(command), 80).into());
    task.insert("kind".into(), "shell".into());
    task.insert("run".into(), command.into());
    task.insert("verify".into(), checks.iter().map(|check| json!(["sh", "-c", check])).collect());
    json!({"version": 1, "title": task["title"].clone(), "tasks": [task]})
}

fn ticked(checks: &[String]) -> String {
    checks.iter().map(|check| format!("`{check}`")).collect::<Vec<_>>().join(" and ")
}

fn announce(response: &ProcessResponse, console: &mut Console) -> Result<(), CliError> {
    if console.json {
        return Ok(console.object(response)?);
    }
    let paint = console.paint;
    console.line(paint.bold(&response.summary))?;
    if response.duplicate {
        console.line(paint.dim("  this key's run is there already: following it"))?;
    }
    if !response.unenforced.is_empty() {
        let list = response.unenforced.join(", ");
        console.line(format!("  {} handed on, but nothing here can enforce: {list}", paint.yellow("!")))?;
    }
    Ok(())
}

fn come_back(run: RunId, console: &Console) -> String {
    let paint = console.paint;
    format!(
        "  {}   see how far it is\n  {}   what came of it\n",
        paint.cyan(&format!("orchestrator status {run}")),
        paint.cyan(&format!("orchestrator report {run}"))
    )
}

async fn find_again<C>(
    reconnect: &impl AsyncFn() -> Result<C, CliError>,
    console: &mut Console,
) -> Result<C, CliError> {
    console.note("The daemon went away; looking for it again. The run is not lost.")?;
    let mut wait = FIRST_WAIT;
    let mut attempt = 1;
    loop {
        match reconnect().await {
            Ok(client) => return Ok(client),
            Err(error) if attempt == RECONNECTS => return Err(error),
            Err(CliError::Api(error)) if error.code == Code::Unavailable => tokio::time::sleep(wait).await,
            Err(error) => return Err(error),
        }
        wait *= 2;
        attempt += 1;
    }
}

async fn last_word<C: OrchestratorApiClient + Sync>(
    client: &C,
    run: RunId,
    console: &mut Console,
    exit: Exit,
) -> Result<Exit, CliError> {
    if console.json {
        console.object(&client.get_report(run).await?)?;
    }
    Ok(exit)
}

fn show(report: &Report, console: &mut Console) -> Result<(), CliError> {
    let width = console.width;
    Ok(console.reply(report, |report, paint| render::report::summary(report, width, paint))?)
}

fn finish(report: &Report, console: &mut Console) -> Result<Exit, CliError> {
    if !console.json {
        console.line("")?;
    }
    show(report, console)?;
    match report.outcome {
        Some(outcome) => Ok(Exit::of_outcome(outcome)),
        None => {
            Err(ApiError::new(Code::Internal, format!("{} ended without an outcome", report.request_id), "").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_its_check_is_a_plan_of_one_task() {
        let arguments = RunArgs {
            command: Some("cargo fix".into()),
            verify: vec!["cargo test && true".into()],
            jobs: Some(2),
            ..RunArgs::default()
        };
        let request = request(&arguments, Mode::Start).unwrap();
        assert_eq!(request.description, "Run `cargo fix`; keep what passes `cargo test && true`");
        let plan = request.plan.as_ref().unwrap();
        assert_eq!(plan["tasks"][0]["verify"], json!([["sh", "-c", "cargo test && true"]]));
        assert_eq!(plan["tasks"][0]["run"], "cargo fix");
        // What we build ourselves passes the daemon's own check.
        let checked: ProcessRequest = Unchecked::<ProcessRequest>::from(&request).check().unwrap();
        assert_eq!(checked, request);
    }

    #[test]
    fn a_missing_or_broken_plan_is_refused_before_anything_starts() {
        let arguments = RunArgs { plan: Some("/nowhere/plan.toml".into()), ..RunArgs::default() };
        let error = request(&arguments, Mode::Start).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("/nowhere/plan.toml"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plan.toml");
        std::fs::write(&file, "version = 1\n[[tasks]\n").unwrap();
        let error = request(&RunArgs { plan: Some(file), ..RunArgs::default() }, Mode::Start).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
    }
}
