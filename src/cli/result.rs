//! `diff`, `apply`, `undo`: looking at a result, bringing it home, taking it out again.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    console::Console,
    exit::{CliError, Exit},
    render::{
        paint::Paint,
        report::plural,
        table::{Cell, table},
    },
};
use crate::{
    api::{
        ApiError, Code, DiffReply, OrchestratorApiClient,
        result::{ChangeKind, FileChange},
    },
    ids::{RunId, TaskId},
};

/// Shows what a run would change: the list of files, and the patch unless only the list is wanted.
pub async fn diff<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    stat: bool,
) -> Result<Exit, CliError> {
    let run = newest(client, run).await?;
    let reply = client.diff(run, Some(!stat)).await?;
    if console.json {
        console.object(&reply)?;
        return Ok(Exit::Completed);
    }
    if reply.files.is_empty() {
        console.line(&reply.summary)?;
        return Ok(Exit::Completed);
    }
    let text = diff_text(&reply, console.out_is_terminal, console.width, console.paint);
    // Ctrl-C belongs to the pager: dying under it would leave the terminal to two readers.
    let _ours = console.out_is_terminal.then(|| signal(SignalKind::interrupt()));
    if console.out_is_terminal && page(&text, console.paint) {
        return Ok(Exit::Completed);
    }
    console.text(text)?;
    Ok(Exit::Completed)
}

/// Brings a run's result into the checkout. Conflicts change nothing and are listed.
pub async fn apply<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: Option<RunId>,
    tasks: &[TaskId],
) -> Result<Exit, CliError> {
    let run = newest(client, run).await?;
    let reply = client.apply(run, (!tasks.is_empty()).then(|| tasks.to_vec()), None).await?;
    console.reply(&reply, |reply, paint| {
        let mut text = format!("{}\n", reply.summary);
        if !reply.conflicts.is_empty() {
            text.push_str("Both sides changed these, so nothing was written:\n");
            reply.conflicts.iter().for_each(|path| text.push_str(&format!("  {}\n", paint.red(path))));
            text.push_str(&format!(
                "Move your changes to these away and apply again, or merge its branch yourself: {} names it\n",
                paint.cyan(&format!("orchestrator report {}", reply.request_id))
            ));
        }
        if let Some(decision) = reply.decision_id {
            text.push_str(&format!("It waits for you: {}\n", paint.cyan(&format!("orchestrator decide {decision}"))));
        }
        text
    })?;
    Ok(match (reply.applied, reply.decision_id) {
        (true, _) => Exit::Completed,
        (false, Some(_)) => Exit::Decision,
        (false, None) => Exit::Failed,
    })
}

/// Takes an applied result out of the checkout. Files edited since change nothing and are listed.
pub async fn undo<C: OrchestratorApiClient + Sync>(
    client: &C,
    console: &mut Console,
    run: RunId,
) -> Result<Exit, CliError> {
    let reply = client.undo(run, None).await?;
    console.reply(&reply, |reply, paint| {
        let mut text = format!("{}\n", reply.summary);
        if !reply.edited_since.is_empty() {
            text.push_str("These were edited since, so nothing was put back:\n");
            reply.edited_since.iter().for_each(|path| text.push_str(&format!("  {}\n", paint.yellow(path))));
        }
        text
    })?;
    Ok(if reply.undone { Exit::Completed } else { Exit::Failed })
}

/// The run that was named, else the newest.
pub async fn newest<C: OrchestratorApiClient + Sync>(client: &C, run: Option<RunId>) -> Result<RunId, CliError> {
    if let Some(run) = run {
        return Ok(run);
    }
    let runs = client.list_runs().await?;
    runs.runs.first().map(|run| run.request_id).ok_or_else(|| {
        ApiError::new(
            Code::NotFound,
            "there is no run in this workspace yet",
            "start one with `orchestrator run \"what you want done\"`",
        )
        .into()
    })
}

fn diff_text(reply: &DiffReply, for_terminal: bool, width: usize, paint: Paint) -> String {
    let rows: Vec<Vec<Cell>> = reply.files.iter().map(file_row).collect();
    let mut text = table(&rows, 1, width, paint);
    text.push_str(&format!(
        " {} changed, {}, {}\n",
        plural(reply.files.len() as u64, "file"),
        paint.green(&format!("+{}", reply.insertions)),
        paint.red(&format!("-{}", reply.deletions))
    ));
    if let Some(patch) = &reply.patch {
        text.push('\n');
        for line in patch.lines() {
            text.push_str(&patch_line(line, for_terminal, paint));
            text.push('\n');
        }
    }
    text
}

fn file_row(file: &FileChange) -> Vec<Cell> {
    let (letter, colour): (&str, fn(Paint, &str) -> String) = match file.change {
        ChangeKind::Added => ("A", Paint::green),
        ChangeKind::Modified => ("M", Paint::yellow),
        ChangeKind::Deleted => ("D", Paint::red),
        ChangeKind::Renamed => ("R", Paint::cyan),
    };
    let size = if file.binary { "binary".into() } else { format!("+{} -{}", file.insertions, file.deletions) };
    let tasks: Vec<String> = file.tasks.iter().map(ToString::to_string).collect();
    vec![Cell::new(letter, colour), file.path.as_str().into(), size.into(), Cell::new(tasks.join(" "), Paint::dim)]
}

/// A patch line in its colour. On a terminal the control characters of the file's text are shown as `·`, so that no file
/// can draw on it; anywhere else the patch stays exactly what `git apply` takes.
fn patch_line(line: &str, for_terminal: bool, paint: Paint) -> String {
    let line: String = match for_terminal {
        true => line.chars().map(|c| if c.is_control() && c != '\t' { '·' } else { c }).collect(),
        false => line.to_owned(),
    };
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => paint.bold(&line),
        [b'd', b'i', b'f', b'f', ..] | [b'i', b'n', b'd', b'e', b'x', ..] => paint.bold(&line),
        [b'+', ..] => paint.green(&line),
        [b'-', ..] => paint.red(&line),
        [b'@', b'@', ..] => paint.cyan(&line),
        _ => line,
    }
}

/// Shows the text in the user's pager; false where there is none to show it.
fn page(text: &str, paint: Paint) -> bool {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let words: Vec<String> = match &pager {
        Some(pager) => pager.split_whitespace().map(str::to_owned).collect(),
        None => ["less", "-FRX"].map(str::to_owned).into(),
    };
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped());
    if paint.on && std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(text.as_bytes()) {
            Ok(()) => {}
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(_) => return false,
        }
    }
    child.wait().is_ok()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_diff_lists_its_files_and_colours_its_patch() {
        let file = |path: &str, change, binary| FileChange {
            path: path.into(),
            change,
            insertions: 3,
            deletions: 1,
            binary,
            tasks: vec![TaskId(1)],
        };
        let reply = DiffReply {
            summary: String::new(),
            revision: 1,
            request_id: RunId(1),
            files: vec![file("src/lib.rs", ChangeKind::Modified, false), file("logo.png", ChangeKind::Added, true)],
            insertions: 3,
            deletions: 1,
            patch: Some("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\u{1b}[2J\n".into()),
        };
        expect![[r#"
            |
             M  src/lib.rs  +3 -1   T-1
             A  logo.png    binary  T-1
             2 files changed, +3, -1
        "#]]
        .assert_eq(&format!("|\n{}", diff_text(&DiffReply { patch: None, ..reply.clone() }, false, 80, Paint::PLAIN)));
        let painted = diff_text(&reply, true, 80, Paint { on: true });
        assert!(painted.contains("\x1b[32m+new·[2J\x1b[0m") && painted.contains("\x1b[31m-old"), "{painted:?}");
        // Without a terminal the patch stays exactly what `git apply` takes.
        assert!(diff_text(&reply, false, 80, Paint::PLAIN).ends_with("-old\n+new\u{1b}[2J\n"));
    }
}
