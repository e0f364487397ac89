//! A run's result comes home through the editor: as edits of its buffers where it can take them, so that what is
//! unsaved there stays; through the daemon where it cannot and nothing unsaved is in the way. All of it or nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    documents::uri_of,
    edits::{self, Change, FilePatch, Ready},
    shared::{Level, Shared},
};
use crate::{
    api::{ApiError, ApplyReply, DiffReply, PlacedFile},
    ids::{RunId, TaskId},
};

/// A byte order mark.
const MARK: &str = "\u{feff}";

/// Brings it in and says what came of it. It may wait for the user, so nobody waits for it.
pub async fn bring(shared: &Arc<Shared>, run: RunId, tasks: Option<Vec<TaskId>>) {
    match brought(shared, run, tasks).await {
        Ok((level, message)) => shared.tell(level, &message),
        Err(error) => shared.tell_refusal(&error),
    }
}

async fn brought(shared: &Arc<Shared>, run: RunId, tasks: Option<Vec<TaskId>>) -> Result<(Level, String), ApiError> {
    let (_, checkout) = shared.daemon_and_checkout().await?;
    let diff: DiffReply = shared.call("diff", json!({"run": run})).await?;
    let touched: Vec<PathBuf> = diff.files.iter().map(|file| checkout.join(&file.path)).collect();
    if touched.is_empty() {
        return Ok((Level::Info, diff.summary));
    }
    let of_part = tasks.as_ref().is_some_and(|tasks| !tasks.is_empty());
    let made = match of_part {
        // The patch is of the whole result; a part of it is made by the daemon alone.
        true => Err("a part of a result is brought in on disk".to_owned()),
        false => edit(shared, run, &checkout, diff.patch.as_deref().unwrap_or_default()).await,
    };
    let why = match made {
        Ok((edit, files)) => {
            let count = plural(files.len());
            if let Err(why) = send(shared, &format!("Orchestrator: bring in {run}"), edit).await {
                return Ok((Level::Warning, format!("{run} was not brought in; the editor refused: {why}")));
            }
            let back = match record(shared, run, &checkout, files).await {
                Ok(()) => format!("`orchestrator undo {run}` takes it out again, saved or not"),
                Err(error) => {
                    tracing::info!(%error, "the daemon does not know that the editor has a result");
                    "the editor's undo takes it back".to_owned()
                }
            };
            return Ok((Level::Info, format!("{run} is in the editor: {count} changed, not saved yet; {back}")));
        }
        Err(why) => why,
    };
    let unsaved = unsaved(shared, touched).await;
    if !unsaved.is_empty() {
        let names: Vec<String> = unsaved.into_iter().map(|file| file.name).collect();
        let message = format!(
            "{run} was not brought in, nothing is changed: {} has unsaved changes, and {why}; save it and try again",
            names.join(", ")
        );
        return Ok((Level::Warning, message));
    }
    let reply: ApplyReply = shared.call("apply", json!({"run": run, "tasks": tasks})).await?;
    let level = if reply.applied { Level::Info } else { Level::Warning };
    Ok((level, reply.summary))
}

/// A file of a result as the editor took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// From the checkout's top folder.
    path: String,
    /// The editor's text before; nothing where there was no such file.
    before: Option<String>,
    /// The editor's text then; nothing where the file goes.
    after: Option<String>,
}

/// Tells the daemon what the editor has now, so that whoever undoes the run undoes that, and remembers it here.
async fn record(shared: &Arc<Shared>, run: RunId, checkout: &Path, files: Vec<Placed>) -> Result<(), ApiError> {
    let placed: Vec<PlacedFile> = files
        .iter()
        .map(|file| {
            let saved = |text: &Option<String>| text.as_ref().map(|text| as_saved(&checkout.join(&file.path), text));
            PlacedFile { path: file.path.clone(), before: saved(&file.before), after: saved(&file.after) }
        })
        .collect();
    shared.placed().insert(run, files);
    let daemon = shared.daemon().await?;
    let _: ApplyReply = daemon.call("placed", json!({"run": run, "files": placed})).await?;
    Ok(())
}

/// Editors keep a byte order mark to themselves; saving puts it back.
fn as_saved(path: &Path, text: &str) -> String {
    match std::fs::read(path) {
        Ok(bytes) if bytes.starts_with(MARK.as_bytes()) && !text.starts_with(MARK) => format!("{MARK}{text}"),
        _ => text.to_owned(),
    }
}

/// Takes a result out again: from the editor where that has it unsaved, else from the disk.
pub async fn take_out(shared: &Arc<Shared>, run: RunId) -> Result<Value, ApiError> {
    let (daemon, checkout) = shared.daemon_and_checkout().await?;
    let placed = shared.placed().get(&run).cloned().unwrap_or_default();
    let touched: Vec<PathBuf> = placed.iter().map(|file| checkout.join(&file.path)).collect();
    if touched.is_empty() || unsaved(shared, touched).await.is_empty() {
        let reply: Value = daemon.call("undo", json!({"run": run})).await?;
        if reply["undone"] == true {
            shared.placed().remove(&run);
        }
        return Ok(reply);
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        match taken_out(&shared, run, &checkout, placed).await {
            Ok((level, message)) => shared.tell(level, &message),
            Err(error) => shared.tell_refusal(&error),
        }
    });
    Ok(json!({"summary": format!("{run} is being taken out of the editor"), "request_id": run}))
}

/// The way back of [`brought`]: all files, or none where one was edited since.
async fn taken_out(
    shared: &Arc<Shared>,
    run: RunId,
    checkout: &Path,
    placed: Vec<Placed>,
) -> Result<(Level, String), ApiError> {
    let (mut ready, mut edited) = (Vec::new(), Vec::new());
    for file in placed {
        let now = match now(shared, checkout.join(&file.path)).await {
            Ok(now) => now,
            Err(why) => {
                edited.push(format!("{} ({why})", file.path));
                continue;
            }
        };
        let bare = |text: &Option<String>| text.as_ref().map(|text| text.trim_start_matches(MARK).to_owned());
        let text = bare(&now.text);
        let (before, after) = (bare(&file.before), bare(&file.after));
        if text == before {
            continue;
        }
        if text != after {
            edited.push(file.path);
            continue;
        }
        let change = match (&before, &after) {
            (None, _) => Change::Deleted,
            (_, None) => Change::Added,
            _ => Change::Modified,
        };
        let text = now.text.unwrap_or_default();
        let edits = edits::between(&text, before.as_deref().unwrap_or_default());
        let version = now.version.filter(|_| change != Change::Added);
        ready.push(Ready { uri: now.uri, version, text, change, edits });
    }
    if !edited.is_empty() {
        let edited = edited.join(", ");
        let message = format!(
            "{run} was not taken out, nothing is changed: edited since it was brought in: {edited}; \
             take those edits back, or change the lines by hand"
        );
        return Ok((Level::Warning, message));
    }
    let count = plural(ready.len());
    if !ready.is_empty() {
        let edit = match edits::workspace_edit(&ready, &shared.can(), &format!("Orchestrator: {run} taken out")) {
            Ok(edit) => edit,
            Err(why) => return Ok((Level::Warning, format!("{run} was not taken out, nothing is changed: {why}"))),
        };
        if let Err(why) = send(shared, &format!("Orchestrator: take out {run}"), edit).await {
            return Ok((Level::Warning, format!("{run} was not taken out; the editor refused: {why}")));
        }
    }
    shared.placed().remove(&run);
    // It may be out on disk by a terminal's word already; then the editor was all that was left.
    if let Err(error) = shared.daemon().await?.call::<Value>("taken_out", json!({"run": run})).await {
        tracing::info!(%error, "the daemon has nothing to take out");
    }
    Ok((Level::Info, format!("{run} is out of the editor again: {count} changed back, not saved yet")))
}

fn plural(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

/// The edit that brings a patch into what the editor has now, and what it makes of which file; or why there is none.
async fn edit(shared: &Arc<Shared>, run: RunId, checkout: &Path, patch: &str) -> Result<(Value, Vec<Placed>), String> {
    let patches = edits::parse(patch)?;
    let mut ready = Vec::new();
    for patch in &patches {
        let file = now(shared, checkout.join(&patch.path)).await.map_err(|why| format!("{}: {why}", patch.path))?;
        ready.push(fitted(patch, file).map_err(|why| format!("{}: {why}", patch.path))?);
    }
    let label = format!("Orchestrator: {run}");
    let edit = edits::workspace_edit(&ready, &shared.can(), &label).map_err(str::to_owned)?;
    let placed = |(patch, ready): (FilePatch, Ready)| Placed {
        path: patch.path,
        after: (ready.change != Change::Deleted).then(|| edits::with_edits(&ready.text, &ready.edits)),
        before: (ready.change != Change::Added).then_some(ready.text),
    };
    Ok((edit, patches.into_iter().zip(ready).map(placed).collect()))
}

/// A file as the editor has it, or else the disk.
struct Now {
    uri: String,
    version: Option<i32>,
    text: Option<String>,
}

async fn now(shared: &Arc<Shared>, path: PathBuf) -> Result<Now, String> {
    if let Some(document) = shared.documents().of_path(&path) {
        let (uri, version) = (document.uri.clone(), Some(document.version));
        return Ok(Now { uri, version, text: Some(document.text().to_owned()) });
    }
    let uri = uri_of(&path).ok_or("its name is no address")?;
    let read = tokio::task::spawn_blocking(move || std::fs::read(&path)).await.map_err(|error| error.to_string())?;
    let text = match read {
        Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| "it is not text")?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.to_string()),
    };
    Ok(Now { uri, version: None, text })
}

fn fitted(patch: &FilePatch, now: Now) -> Result<Ready, String> {
    let edits = edits::edits(now.text.as_deref(), patch)?;
    // A new file has no version; a buffer of that name would have refused above.
    let version = now.version.filter(|_| patch.change != Change::Added);
    Ok(Ready { uri: now.uri, version, text: now.text.unwrap_or_default(), change: patch.change, edits })
}

/// Gives the edit to the editor; the error is its reason not to take it. It may show it to the user first, so its answer
/// takes what it takes.
async fn send(shared: &Arc<Shared>, label: &str, edit: Value) -> Result<(), String> {
    let (_, answer) = shared.outbox.request("workspace/applyEdit", json!({"label": label, "edit": edit}));
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => error,
        Err(_) => Value::Null,
    };
    match answer.get("applied").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        _ => {
            let why = ["failureReason", "message"].iter().find_map(|name| answer.get(name)?.as_str());
            Err(why.unwrap_or("it gave no reason").to_owned())
        }
    }
}

/// A file that the editor has changes of which the disk does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsaved {
    /// As the user knows it.
    pub name: String,
    /// Where it is, links followed.
    pub path: PathBuf,
    /// What saving it would write; nothing where that is not known: the disk's is not UTF-8.
    pub text: Option<String>,
}

/// Those of these files that are unsaved, by name. Empty paths = of all files.
pub async fn unsaved(shared: &Arc<Shared>, paths: Vec<PathBuf>) -> Vec<Unsaved> {
    let open: Vec<(PathBuf, String)> = {
        let documents = shared.documents();
        let wanted = |path: &PathBuf| paths.is_empty() || paths.contains(path);
        let files = documents.iter().filter_map(|document| Some((document.path()?, document.text())));
        files.filter(|(path, _)| wanted(path)).map(|(path, text)| (path, text.to_owned())).collect()
    };
    let root = shared.root().to_owned();
    let differ = move || {
        let mut unsaved: Vec<Unsaved> = open.iter().filter_map(|(path, text)| compared(&root, path, text)).collect();
        unsaved.sort_by(|a, b| a.name.cmp(&b.name));
        unsaved
    };
    tokio::task::spawn_blocking(differ).await.unwrap_or_default()
}

/// A buffer beside its file. Editors keep a byte order mark to themselves; saving puts it back.
fn compared(root: &Path, path: &Path, text: &str) -> Option<Unsaved> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let as_saved = match std::fs::read(path) {
        Err(_) => Some(text.to_owned()),
        Ok(bytes) => match std::str::from_utf8(&bytes) {
            Ok(disk) if disk.strip_prefix(MARK).unwrap_or(disk) == text => return None,
            Ok(disk) if disk.starts_with(MARK) => Some(format!("{MARK}{text}")),
            Ok(_) => Some(text.to_owned()),
            Err(_) => None,
        },
    };
    Some(Unsaved {
        name: path.strip_prefix(root).unwrap_or(path).display().to_string(),
        path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        text: as_saved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_compared_as_it_would_be_saved() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            std::fs::write(root.join(name), bytes).unwrap();
            root.join(name)
        };
        let text_of = |path: &Path, text: &str| compared(&root, path, text).map(|unsaved| unsaved.text);
        let plain = file("plain", "a\n".as_bytes());
        assert_eq!(text_of(&plain, "a\n"), None);
        assert_eq!(text_of(&plain, "b\n"), Some(Some("b\n".to_owned())));
        let marked = file("marked", "\u{feff}a\n".as_bytes());
        assert_eq!(text_of(&marked, "a\n"), None, "the editor keeps the mark to itself");
        assert_eq!(text_of(&marked, "b\n"), Some(Some("\u{feff}b\n".to_owned())));
        let latin = file("latin", b"caf\xe9\n");
        assert_eq!(text_of(&latin, "caf\u{e9}\n"), Some(None), "what saving would write is not known");
        assert_eq!(compared(&root, &root.join("new"), "x").unwrap().name, "new");
    }
}
