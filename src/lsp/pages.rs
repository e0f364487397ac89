//! What there is to read, as read-only documents of the editor: served where it can ask us, a file where it cannot.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    documents::uri_of,
    shared::{Level, Shared},
};
use crate::{
    api::{
        ApiError, Code, DiffReply, LogId, LogReply, PlanReply, PlanView, Report, result::WhyReply,
        session::ExplainReply,
    },
    client,
    config::{Config, Places, create_private},
    ids::RunId,
};

/// The scheme of addresses that we serve.
pub const SCHEME: &str = "orchestrator";

/// How long an editor may take to open a document; nothing waits for it but the user.
const SHOW_MAX: Duration = Duration::from_secs(2);

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// A run's plan.
    Plan(RunId),
    /// A run's report.
    Report(RunId),
    /// What a run's result changes.
    Diff(RunId),
    /// The output of a task.
    Log(LogId),
    /// Why something is as it is: a run, a task, an attempt or a decision, by its id.
    Why(String),
    /// What a request would be taken for.
    Explain(String),
    /// What is well and what is not on this machine.
    Doctor,
}

impl Page {
    /// Its address: `orchestrator:/plan/R-3.md`.
    pub fn uri(&self) -> String {
        let (kind, name) = self.place();
        format!("{SCHEME}:/{kind}/{name}")
    }

    fn place(&self) -> (&'static str, String) {
        match self {
            Page::Plan(run) => ("plan", format!("{run}.md")),
            Page::Report(run) => ("report", format!("{run}.md")),
            Page::Diff(run) => ("diff", format!("{run}.diff")),
            Page::Log(id) => ("log", format!("{id}.log")),
            Page::Why(id) => ("why", format!("{id}.md")),
            Page::Explain(request) => ("explain", format!("{}.md", encoded(request))),
            Page::Doctor => ("doctor", "this-machine.txt".to_owned()),
        }
    }

    /// The page of an address.
    pub fn of_uri(uri: &str) -> Option<Page> {
        let path = uri.strip_prefix(SCHEME)?.strip_prefix(':')?.trim_start_matches('/');
        let (kind, name) = path.split_once('/')?;
        let (id, _) = name.rsplit_once('.')?;
        match kind {
            "plan" => id.parse().ok().map(Page::Plan),
            "report" => id.parse().ok().map(Page::Report),
            "diff" => id.parse().ok().map(Page::Diff),
            "log" => id.parse().ok().map(Page::Log),
            "why" => is_id(id).then(|| Page::Why(id.to_owned())),
            "explain" => decoded(id).map(Page::Explain),
            "doctor" => Some(Page::Doctor),
            _ => None,
        }
    }

    /// Its text as of now.
    pub async fn text(&self, shared: &Shared) -> Result<String, ApiError> {
        // It works without a daemon, because one looks at it when there is none.
        if *self == Page::Doctor {
            return client::doctor(shared.root()).await;
        }
        Ok(match self {
            Page::Doctor => String::new(),
            Page::Why(id) => why(&shared.call("why", json!({"id": id})).await?),
            Page::Explain(text) => explain(&shared.call("explain_request", json!({"text": text})).await?),
            Page::Plan(run) => plan(*run, &shared.call::<PlanReply>("get_plan", json!({"run": run})).await?.plan),
            Page::Report(run) => report(&shared.call("get_report", json!({"run": run})).await?),
            Page::Diff(run) => {
                let diff: DiffReply = shared.call("diff", json!({"run": run})).await?;
                match diff.patch.unwrap_or_default() {
                    patch if patch.is_empty() => format!("{}\n", diff.summary),
                    patch => patch,
                }
            }
            Page::Log(id) => {
                let log: LogReply = shared.call("get_log", json!({"id": id})).await?;
                match log.text.as_str() {
                    "" => format!("{}\n", log.summary),
                    _ => log.text,
                }
            }
        })
    }
}

/// Opens a page in the editor and comes back with its address. The editor opens it in its own time.
pub async fn show(shared: &Arc<Shared>, page: Page) -> Result<String, ApiError> {
    // Asked for now, so that a run that is not there is refused here and not in an empty buffer.
    let text = page.text(shared).await?;
    let can = shared.can();
    let uri = match can.served_documents && can.show_document {
        true => page.uri(),
        false => {
            let page = page.clone();
            let (_, checkout) = shared.daemon_and_checkout().await?;
            let file = tokio::task::spawn_blocking(move || write(&page, &text, &checkout)).await;
            let file = file.map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))??;
            uri_of(&file).unwrap_or_else(|| file.display().to_string())
        }
    };
    if !can.show_document {
        shared.tell(Level::Info, &format!("{} is in {}", page.uri(), uri.trim_start_matches("file://")));
        return Ok(uri);
    }
    let (shared, shown) = (shared.clone(), uri.clone());
    tokio::spawn(async move {
        let params = json!({"uri": shown, "takeFocus": true});
        let answer = shared.outbox.request_within(SHOW_MAX, "window/showDocument", params).await;
        if let Some(Err(error)) = answer {
            tracing::info!(%error, "the editor does not show a document");
        }
    });
    Ok(uri)
}

/// [`show`], for where nobody takes the refusal.
pub async fn show_or_tell(shared: &Arc<Shared>, page: Page) {
    if let Err(error) = show(shared, page).await {
        shared.tell_refusal(&error);
    }
}

/// The folder of a checkout's pages: each has an `R-1`, and an editor may have several open.
fn folder_of(checkout: &Path) -> String {
    let name = checkout.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(40).collect();
    let digest = Sha256::digest(checkout.as_os_str().as_encoded_bytes());
    format!("{name}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

/// Writes a page below our state folder, for the user's eyes only and not to be edited.
fn write(page: &Page, text: &str, checkout: &Path) -> Result<PathBuf, ApiError> {
    use std::os::unix::fs::PermissionsExt;
    let of_config = |error: crate::config::ConfigError| ApiError::new(Code::Unavailable, error.message, error.hint);
    let places = Places::find().map_err(of_config)?;
    let places = Config::load(&places).map_err(of_config)?.places(places);
    let (kind, name) = page.place();
    let folder = places.state.join("pages").join(folder_of(checkout));
    // Names of files are short; of a request the latest explanation is kept.
    let file = folder.join(match page {
        Page::Explain(_) => "explain-request.md".to_owned(),
        _ => format!("{kind}-{name}"),
    });
    let written = || {
        create_private(&folder)?;
        let mut new = tempfile::NamedTempFile::new_in(&folder)?;
        std::io::Write::write_all(&mut new, text.as_bytes())?;
        new.as_file().set_permissions(std::fs::Permissions::from_mode(0o400))?;
        new.persist(&file).map_err(|error| error.error)
    };
    match written() {
        Ok(_) => Ok(file),
        Err(error) => {
            let message = format!("{}: {error}", file.display());
            Err(ApiError::new(Code::Unavailable, message, "look at `orchestrator doctor`"))
        }
    }
}

/// A text as the last part of an address.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || byte == b'-' {
            true => out.push(char::from(byte)),
            false => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, behind)) = rest.split_first() {
        rest = match byte {
            b'%' => {
                let (digits, behind) = behind.split_at_checked(2)?;
                out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                behind
            }
            _ => {
                out.push(*byte);
                behind
            }
        };
    }
    String::from_utf8(out).ok()
}

/// Whether it has the form of an id: `R-3`, `T-4.2`.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(kind, number)| {
        matches!(kind, "R" | "T" | "D" | "C")
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

fn why(why: &WhyReply) -> String {
    let mut text = format!("# {}\n\n", why.summary);
    for reason in &why.reasons {
        let at = reason.at.map(|at| format!("{}: ", at.clock())).unwrap_or_default();
        let _ = writeln!(text, "- {at}{}", reason.text.trim());
        if !reason.tail.is_empty() {
            let _ = writeln!(text, "\n```\n{}\n```\n", reason.tail.trim_end());
        }
    }
    if let Some(decision) = &why.decision {
        let _ = writeln!(text, "\n## {}\n", decision.question);
        for option in &decision.options {
            let _ = writeln!(text, "- `{}`: {}. {}", option.id, option.title, option.effect);
        }
    }
    text
}

fn explain(explained: &ExplainReply) -> String {
    let mut text = format!("# {}\n\n> {}\n", explained.summary, explained.text.trim().replace('\n', "\n> "));
    if !explained.playbooks.is_empty() {
        text.push_str("\n## Playbooks, best first\n\n");
        for book in explained.playbooks.iter().take(8) {
            let _ = writeln!(
                text,
                "- **{}** {:.2}: intent {:.2}, words {:.2}, facts {:.2}",
                book.name, book.score, book.intent, book.words, book.facts
            );
        }
    }
    if let Some(plan) = &explained.plan {
        text.push_str("\n## The plan\n\n");
        for task in &plan.tasks {
            let _ = writeln!(text, "- {} {}", task.id, task.title);
        }
    }
    text
}

fn plan(run: RunId, plan: &PlanView) -> String {
    let mut text = format!("# Plan of {run}\n\n{} tasks, from {}\n", plan.tasks.len(), plan.source);
    for (level, ids) in plan.execution_levels.iter().enumerate() {
        let _ = writeln!(text, "\n## Level {}\n", level + 1);
        for task in plan.tasks.iter().filter(|task| ids.contains(&task.id)) {
            let star = if task.critical { " (on the critical path)" } else { "" };
            let _ = writeln!(text, "- **{}** {}{star}", task.id, task.title);
            if !task.needs.is_empty() {
                let needs: Vec<String> = task.needs.iter().map(ToString::to_string).collect();
                let _ = writeln!(text, "  - after {}", needs.join(", "));
            }
            if let Some(writes) = &task.writes {
                let _ = writeln!(text, "  - writes {}", writes.join(", "));
            }
            for check in &task.verify {
                let _ = writeln!(text, "  - proven by `{}`", check.join(" "));
            }
        }
    }
    let criteria = &plan.analysis.success_criteria;
    if !criteria.is_empty() {
        text.push_str("\n## Done when\n\n");
        for criterion in criteria {
            let check = criterion.check.as_ref().map(|check| format!(" (`{check}`)")).unwrap_or_default();
            let _ = writeln!(text, "- {}{check}", criterion.text);
        }
    }
    text
}

fn report(report: &Report) -> String {
    let mut text = format!("# {}\n\n{}\n\n## Tasks\n\n", report.summary, report.description.trim());
    for task in &report.tasks {
        let diff = match task.diff.files {
            0 => String::new(),
            1 => format!(", 1 file +{} -{}", task.diff.insertions, task.diff.deletions),
            files => format!(", {files} files +{} -{}", task.diff.insertions, task.diff.deletions),
        };
        let _ = writeln!(text, "- **{}** {}: {}{diff}", task.task_id, task.title, task.status.name());
        if !task.reason.is_empty() {
            let _ = writeln!(text, "  - {}", task.reason);
        }
        if !task.tail.is_empty() {
            let _ = writeln!(text, "\n```\n{}\n```\n", task.tail.trim_end());
        }
    }
    if !report.findings.is_empty() {
        text.push_str("\n## Findings\n\n");
        for finding in &report.findings {
            let _ = writeln!(text, "- {}", finding.text.trim());
        }
    }
    if !report.decisions.is_empty() {
        text.push_str("\n## Decisions\n\n");
        for decision in &report.decisions {
            let choice = decision.choice.as_deref().unwrap_or("not answered");
            let by = decision.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let _ = writeln!(text, "- **{}** {}: {choice}{by}", decision.decision_id, decision.question);
        }
    }
    if let Some(result) = &report.result {
        let _ = writeln!(text, "\nResult: `{}`", result.reference);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkouts_have_folders_of_their_own() {
        let [one, other] = ["/a/web", "/b/web"].map(|checkout| folder_of(Path::new(checkout)));
        assert!(one.starts_with("web-") && other.starts_with("web-") && one != other, "{one} {other}");
        assert_eq!(folder_of(Path::new("/a/../w e/b")).matches(['/', ' ']).count(), 0);
    }

    #[test]
    fn an_address_names_its_page_and_only_ours_do() {
        for page in [
            Page::Plan(RunId(3)),
            Page::Report(RunId(3)),
            Page::Diff(RunId(12)),
            Page::Log("T-4".parse().unwrap()),
            Page::Log("T-4.2".parse().unwrap()),
            Page::Why("D-7".to_owned()),
            Page::Why("T-4.2".to_owned()),
            Page::Explain("Füge 100% /tests hinzu.\nBitte. ☃".to_owned()),
            Page::Doctor,
        ] {
            assert_eq!(Page::of_uri(&page.uri()), Some(page.clone()), "{}", page.uri());
        }
        assert_eq!(Page::of_uri("orchestrator:///plan/R-3.md"), Some(Page::Plan(RunId(3))), "as some editors write it");
        for other in [
            "file:///plan/R-3.md",
            "orchestrator:/plan/T-3.md",
            "orchestrator:/plans/R-3.md",
            "orchestrator:",
            "orchestrator:/why/x.md",
            "orchestrator:/why/R-.md",
            "orchestrator:/explain/%zz.md",
        ] {
            assert_eq!(Page::of_uri(other), None, "{other}");
        }
    }
}
