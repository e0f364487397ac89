//! The reads that clients make all the time, answered without a task, a channel or a second writing of the reply; and
//! where nothing has changed since the last one, without being computed again ([`crate::api::kept`]).
//!
//! Only what goes well is answered here. Whatever is unusual about a request (other members, a form that is refused, a
//! caller that may not) takes the long way through the library, so there is one wording for each refusal.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::*;
use crate::api::kept::{Holds, READS, WAITS};

/// A request, as far as it must be known here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    /// Whether the caller would know for how long the answer holds.
    #[serde(default)]
    holds: bool,
}

impl<'a> Asked<'a> {
    /// Reads a request; `None` where there is anything unusual about it.
    pub fn read(text: &'a str) -> Option<Asked<'a>> {
        serde_json::from_str(text).ok()
    }

    /// Whether it may be answered here.
    pub fn is_read(&self) -> bool {
        let plain = |id: &RawValue| id.get().starts_with('"') || id.get().bytes().all(|byte| byte.is_ascii_digit());
        READS.contains(&self.method) && self.jsonrpc == "2.0" && self.id.is_some_and(plain)
    }

    /// Whether it changes nothing: reads after it need not see what came of it.
    pub fn waits(&self) -> bool {
        WAITS.contains(&self.method)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTask {
    task_id: WorkId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfState {
    session_id: Option<RunId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfNothing {}

/// What is looked at.
enum Look {
    Task(WorkId),
    State(Option<RunId>, Arc<[FoundAgent]>, api::state::DaemonInfo, u64),
    Pending,
    Runs,
}

impl Look {
    fn answer(self, view: &View) -> Result<(Box<RawValue>, Option<u64>), ApiError> {
        match self {
            Look::Task(id) => Ok((raw(&convert::task_status(view, id)?)?, None)),
            Look::Pending => Ok((raw(&convert::pending_decisions(view))?, None)),
            Look::Runs => Ok((raw(&convert::run_list(view))?, None)),
            Look::State(only, found, daemon, ms) => {
                let agents = convert::agent_list(view, &found);
                let around = convert::Surroundings { agents, daemon, protections: protections(view.settings) };
                Ok((raw(&convert::orchestrator_state(view, only, around)?)?, Some(ms)))
            }
        }
    }
}

fn raw(reply: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
    serde_json::value::to_raw_value(reply).map_err(|error| ApiError::new(Code::Internal, error.to_string(), ""))
}

/// How an answer leaves.
pub trait Out: Send + 'static {
    /// A line, with its end.
    fn line(self, line: Vec<u8>);
}

impl Session {
    /// Answers a read; gives `out` back where it takes the long way.
    pub fn quick<O: Out>(&self, asked: &Asked<'_>, out: O) -> Result<(), O> {
        let (Ok(greeted), Some(id)) = (self.greeted(Act::Read), asked.id) else { return Err(out) };
        let params = asked.params.map_or("{}", RawValue::get);
        let path_var = greeted.env.get("PATH").map_or("", String::as_str);
        let count = greeted.workspace.count.get();
        // Replies differ by what is asked, and where agents are listed, by whose PATH they are on.
        let key = match asked.method {
            "get_state" => format!("{}\n{params}\n{path_var}", asked.method),
            method => format!("{method}\n{params}"),
        };
        // Bound, so that the lock is not held over the sending.
        let kept = lock(&greeted.workspace.kept).get(&key, count, now);
        if let Some((reply, holds)) = kept {
            out.line(line(id.get(), "result", &reply, Some(holds).filter(|_| asked.holds)));
            return Ok(());
        }
        let look = match asked.method {
            "get_task_status" => serde_json::from_str(params).ok().map(|OfTask { task_id }| Look::Task(task_id)),
            "get_pending_decisions" => serde_json::from_str(params).ok().map(|OfNothing {}| Look::Pending),
            "list_runs" => serde_json::from_str(params).ok().map(|OfNothing {}| Look::Runs),
            "get_state" => serde_json::from_str(params).ok().zip(self.agents_known(path_var)).map(
                |(OfState { session_id }, (found, ms))| Look::State(session_id, found, self.surroundings().daemon, ms),
            ),
            _ => None,
        };
        let Some(look) = look else { return Err(out) };
        let owed = Owed { id: id.get().to_owned(), out: Some(out) };
        let (wanted, kept) = (asked.holds, greeted.workspace.kept.clone());
        let read: super::super::main_loop::Read = Box::new(move |view| {
            view.clock.take_asked();
            let answer = look.answer(view);
            let (changes, next) = (view.changes, view.clock.take_asked().then(|| view.clock.next_tick()));
            Box::new(move || match answer {
                Ok((reply, ms)) => {
                    // What is said of the time is true until the clock's next tick, which may have been meanwhile.
                    let left = next.map(|next| next.0.saturating_sub(now().0));
                    let ms = ms.into_iter().chain(left).min();
                    let holds = (ms != Some(0)).then_some(Holds { count: changes, ms });
                    if let Some(holds) = holds {
                        lock(&kept).put(&key, holds, now(), reply.get().as_bytes());
                    }
                    owed.answer(reply.get().as_bytes(), holds.filter(|_| wanted));
                }
                Err(error) => owed.refuse(error),
            })
        });
        // A loop that is gone lets go of the question, and by that it is answered.
        let _ = greeted.workspace.wakes.send(Wake::Read(read));
        Ok(())
    }
}

/// An answer that somebody waits for. One that is let go of, because its loop ended, is a refusal.
struct Owed<O: Out> {
    id: String,
    out: Option<O>,
}

impl<O: Out> Owed<O> {
    fn answer(mut self, reply: &[u8], holds: Option<Holds>) {
        if let Some(out) = self.out.take() {
            out.line(line(&self.id, "result", reply, holds));
        }
    }

    fn refuse(mut self, error: ApiError) {
        self.refusal(error);
    }

    fn refusal(&mut self, error: ApiError) {
        let Some(out) = self.out.take() else { return };
        let error = jsonrpsee::types::ErrorObjectOwned::from(error);
        let error = serde_json::to_vec(&error).unwrap_or_default();
        out.line(line(&self.id, "error", &error, None));
    }
}

impl<O: Out> Drop for Owed<O> {
    fn drop(&mut self) {
        self.refusal(closed());
    }
}

fn line(id: &str, name: &str, value: &[u8], holds: Option<Holds>) -> Vec<u8> {
    let holds = holds.and_then(|holds| serde_json::to_string(&holds).ok());
    let mut line = Vec::with_capacity(value.len() + id.len() + 96);
    line.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    line.extend_from_slice(id.as_bytes());
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
    line.extend_from_slice(value);
    if let Some(holds) = holds {
        line.extend_from_slice(b",\"holds\":");
        line.extend_from_slice(holds.as_bytes());
    }
    line.extend_from_slice(b"}\n");
    line
}
