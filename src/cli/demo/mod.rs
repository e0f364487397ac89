//! `demo`: what the program promises, shown with real runs of this very binary on a throw-away repository.
//!
//! Nothing is simulated: every line with a tick was checked just then, and the exit status is 0 only if all were.
//! The demo has a daemon and folders of its own (`stage`); nothing of the user's is read or touched.

mod project;
mod stage;

use std::{collections::BTreeMap, time::Duration};

use self::stage::{Stage, Trouble, alive};
use super::{
    ask::{Typed, read_answer},
    console::Console,
    exit::{CliError, Exit},
    render::decision,
};
use crate::api::{
    ApplyReply, Decision, DiffReply, Outcome, PendingDecisions, ProcessResponse, Report, TaskState, UndoReply,
    decision::DecisionStatus, result::ReportTask,
};

/// The longest wait for anything that should come within moments: shared machines can be slow.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the person is shown, and how many claims were checked.
struct Show<'a> {
    console: &'a mut Console,
    claims: u32,
}

impl Show<'_> {
    fn scene(&mut self, title: &str) -> Result<(), Trouble> {
        let paint = self.console.paint;
        Ok(self.console.text(format!("\n{}\n", paint.bold(title)))?)
    }

    fn say(&mut self, text: &str) -> Result<(), Trouble> {
        Ok(self.console.text(format!("  {text}\n"))?)
    }

    fn command(&mut self, command: &str) -> Result<(), Trouble> {
        let paint = self.console.paint;
        Ok(self.console.text(format!("  {}\n", paint.cyan(&format!("$ orchestrator {command}"))))?)
    }

    /// Says a thing that was just found to be so, or ends the demo where it was not.
    fn claim(&mut self, holds: bool, claim: &str) -> Result<(), Trouble> {
        let paint = self.console.paint;
        if !holds {
            return Err(Trouble::Refuted(claim.to_owned()));
        }
        self.claims += 1;
        Ok(self.console.text(format!("  {} {claim}\n", paint.green("✓")))?)
    }
}

/// Runs the whole demo. Whatever happens, nothing of it stays behind.
pub fn run(console: &mut Console) -> Result<Exit, CliError> {
    let begun = std::time::Instant::now();
    let mut stage = match Stage::new() {
        Ok(stage) => stage,
        Err(trouble) => return tell(console, &trouble),
    };
    let mut show = Show { console, claims: 0 };
    let played = play(&mut show, &mut stage);
    let closed = stage.close();
    let ended = played.and(closed).and_then(|()| {
        show.scene("6  Nothing stays behind")?;
        let gone = !stage.dir().exists() && stage.daemons().iter().all(|pid| !alive(*pid));
        show.claim(gone, "the demo's daemons, keepers, lanes and repository are gone")
    });
    let claims = show.claims;
    match ended {
        Ok(()) => {
            let took = begun.elapsed().as_secs_f64();
            let paint = console.paint;
            console.text(format!(
                "\n{} {claims} claims, each checked, in {took:.0} s. Now in a repository of yours:\n  {}\n",
                paint.green("✓"),
                paint.cyan("orchestrator run --do 'COMMAND' --verify 'CHECK'")
            ))?;
            Ok(Exit::Completed)
        }
        Err(trouble) => tell(console, &trouble),
    }
}

fn tell(console: &mut Console, trouble: &Trouble) -> Result<Exit, CliError> {
    match trouble {
        Trouble::Pipe => Err(CliError::Pipe),
        Trouble::Interrupted => {
            console.note("\nStopped. Everything of the demo was removed.")?;
            Ok(Exit::Cancelled)
        }
        Trouble::Refuted(claim) => {
            let paint = console.paint;
            console.note(format!("{} this does not hold: {claim}", paint.red("✗")))?;
            Ok(Exit::Failed)
        }
        Trouble::Failed(what) => {
            console.note(format!("error: {what}"))?;
            Ok(Exit::Failed)
        }
    }
}

fn play(show: &mut Show, stage: &mut Stage) -> Result<(), Trouble> {
    project::make(stage)?;
    show.say("A small repository in a temporary folder, with a check (`sh check.sh`). Its own daemon;")?;
    show.say("nothing of yours is read or touched. Every ✓ is checked as it is printed.")?;
    six_at_once(show, stage)?;
    let chosen = question(show, stage)?;
    outcome(show, stage, &chosen)?;
    kill(show, stage)?;
    home(show, stage)
}

fn six_at_once(show: &mut Show, stage: &mut Stage) -> Result<(), Trouble> {
    show.scene("1  Six tasks side by side, each in a checkout of its own")?;
    let plan = stage.write_plan("improve", &project::six(stage))?;
    show.command("run --plan improve.json --detach")?;
    let begun: ProcessResponse =
        stage.json(&["run", "--plan", &plan, "--key", "improve", "--detach"], &[Exit::Completed])?;
    stage.note_daemon()?;
    stage.begun(begun.request_id);
    // Each writes its name and waits for the five others: alone, none of them would ever end.
    stage.wait("all six tasks at work", WAIT_MAX, |stage| stage.names("met").len() == 6)?;
    show.claim(true, "all six met while they worked: each waits until the other five are there")
}

/// The answer that was given, and who gave it.
fn question(show: &mut Show, stage: &mut Stage) -> Result<String, Trouble> {
    show.scene("2  A question, which holds up only what depends on it")?;
    let mut open: Option<Decision> = None;
    stage.wait("the question", WAIT_MAX, |stage| {
        let pending = stage.json::<PendingDecisions>(&["decide"], &[Exit::Completed]);
        open = pending.ok().and_then(|pending| pending.decisions.into_iter().next());
        open.is_some()
    })?;
    let Some(asked) = open else { return Err(Trouble::Refuted("the plan's question is open".to_owned())) };
    let paint = show.console.paint;
    let text = decision::question(&asked, show.console.width, paint);
    show.console.text(text.lines().map(|line| format!("  {line}\n")).collect::<String>())?;
    let chosen = ask(show, stage, &asked)?;
    show.command(&format!("decide {} {chosen}", asked.decision_id))?;
    let id = asked.decision_id.to_string();
    stage.run(&["decide", &id, &chosen], &[Exit::Completed])?;
    Ok(chosen)
}

fn ask(show: &mut Show, stage: &Stage, asked: &Decision) -> Result<String, Trouble> {
    let for_you = "polite".to_owned();
    if !show.console.interactive {
        show.say("Nobody sits at a terminal here, so the demo answers for you, as you would: polite.")?;
        return Ok(for_you);
    }
    loop {
        show.console.text("  Your answer (a number or a name; empty = the demo answers for you): ")?;
        let Some(line) = stage.read_line()? else {
            show.say("\n  No answer will come: the demo answers for you: polite.")?;
            return Ok(for_you);
        };
        match read_answer(asked, &line) {
            Typed::Choice { choice, .. } => return Ok(choice),
            Typed::NotNow => {
                show.say("The demo answers for you: polite.")?;
                return Ok(for_you);
            }
            Typed::Unclear => show.say(&format!("{:?} is none of its options.", line.trim()))?,
        }
    }
}

fn outcome(show: &mut Show, stage: &mut Stage, chosen: &str) -> Result<(), Trouble> {
    show.scene("3  What is proven lands; what is wrong is taken back and named")?;
    let report: Report = stage.json(&["run", "--plan", &stage.plan("improve"), "--key", "improve"], &[Exit::Failed])?;
    let task = |name: &str| report.tasks.iter().find(|task| task.name == name);
    let landed = |task: &ReportTask| task.status == TaskState::Completed && report.landed.contains(&task.task_id);
    let good = project::GOOD.iter().all(|name| task(name).is_some_and(landed));
    show.claim(good, "five of the six changes passed the check in their lanes and landed together")?;
    let wrong = task(project::WRONG).filter(|task| task.status == TaskState::Undone);
    let named = report.findings.iter().find(|finding| finding.task_id == wrong.map(|task| task.task_id));
    show.claim(wrong.is_some() && !report.landed.iter().any(|id| Some(*id) == wrong.map(|task| task.task_id)), {
        "the sixth exits with 0, but the check refutes it: not in the result"
    })?;
    let Some(named) = named else { return Err(Trouble::Refuted("the wrong change is named".to_owned())) };
    let paint = show.console.paint;
    let id = named.task_id.map(|id| id.to_string()).unwrap_or_default();
    show.say(&format!("  {}", paint.red(&format!("{id} {}", named.text))))?;
    let answered = report.decisions.iter().any(|asked| {
        asked.status == DecisionStatus::Answered && asked.choice.as_deref() == Some(chosen) && asked.by.is_some()
    });
    let by = report.decisions.first().and_then(|asked| asked.by.clone()).unwrap_or_default();
    show.claim(answered && task("greeting").is_some_and(landed), &format!("the answer is recorded ({by}) and obeyed"))?;
    show.claim(stage.git(&["status", "--porcelain"])?.is_empty(), "the checkout was not touched")
}

fn kill(show: &mut Show, stage: &mut Stage) -> Result<(), Trouble> {
    show.scene("4  kill -9 of the daemon, in the middle")?;
    let plan = stage.write_plan("survive", &project::survive(stage))?;
    show.command("run --plan survive.json --jobs 3 --detach")?;
    let begun: ProcessResponse =
        stage.json(&["run", "--plan", &plan, "--key", "survive", "--jobs", "3", "--detach"], &[Exit::Completed])?;
    stage.begun(begun.request_id);
    stage.wait("three tasks at work", WAIT_MAX, |stage| stage.lines("started").len() == 3)?;
    let daemon = stage.note_daemon()?;
    stage.kill_daemon(daemon)?;
    show.say(&show.console.paint.cyan(&format!("$ kill -9 {daemon}")))?;
    let at_work: Vec<i32> =
        stage.lines("started").iter().filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect();
    show.claim(!alive(daemon), "the daemon is dead")?;
    show.claim(
        at_work.len() == 3 && at_work.iter().all(|pid| alive(*pid)),
        "its three running tasks are not: their keeper holds them",
    )?;
    stage.touch("go")?;
    stage.wait("the three tasks' ends", WAIT_MAX, |stage| stage.lines("ended").len() == 3)?;
    show.claim(stage.lines("started").len() == 3, "they went on to their end with no daemon at all")?;
    show.command("run --plan survive.json --key survive")?;
    let report: Report = stage.json(&["run", "--plan", &plan, "--key", "survive"], &[Exit::Completed])?;
    let again = stage.note_daemon()?;
    show.claim(
        again != daemon && report.outcome == Some(Outcome::Completed),
        "the same key attaches to the same run; a new daemon ends it",
    )?;
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for line in stage.lines("started") {
        *times.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let counts: Vec<String> = times.iter().map(|(name, times)| format!("{name} {times}×")).collect();
    let once = times.len() == 6 && times.values().all(|times| *times == 1) && stage.lines("ended").len() == 6;
    let attempts: usize = report.tasks.iter().map(|task| task.attempts.len()).sum();
    show.claim(once && attempts == 6, &format!("nothing ran twice: {}", counts.join(", ")))
}

fn home(show: &mut Show, stage: &mut Stage) -> Result<(), Trouble> {
    show.scene("5  Home, and back")?;
    show.command("diff R-1 --stat")?;
    let diff: DiffReply = stage.json(&["diff", "R-1"], &[Exit::Completed])?;
    let shown = stage.run(&["diff", "R-1", "--stat"], &[Exit::Completed])?;
    show.console.text(shown.lines().map(|line| format!("  {line}\n")).collect::<String>())?;
    show.claim(diff.files.len() == 6, "the result is five improved files and the greeting")?;
    project::edit_by_hand(stage)?;
    show.say("Meanwhile you edit README.md and lib/count.sh, and commit neither.")?;
    let dirty = stage.tree()?;
    show.command("apply R-1")?;
    let applied: ApplyReply = stage.json(&["apply", "R-1"], &[Exit::Completed])?;
    let count = stage.read("repo/lib/count.sh")?;
    let both = count.contains(project::BY_HAND) && count.contains(project::IMPROVED);
    let kept = stage.read("repo/README.md")?.contains(project::BY_HAND);
    show.claim(
        applied.applied && both && kept,
        "the result is in the checkout beside your edits, also in the same file",
    )?;
    show.claim(stage.check_passes()?, "the check passes on both together")?;
    show.command("undo R-1")?;
    let undone: UndoReply = stage.json(&["undo", "R-1"], &[Exit::Completed])?;
    show.claim(undone.undone && stage.tree()? == dirty, "every file is again, byte for byte, as you had left it")
}
