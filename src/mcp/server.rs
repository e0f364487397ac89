//! The loop: lines in, handlers, lines out. Every request gets exactly one answer, except one that its client
//! cancelled; the end of the input ends everything at once.

use std::{borrow::Cow, io, rc::Rc, time::Duration};

use rmcp::model::{ClientCapabilities, ErrorCode, ErrorData, Implementation, PaginatedRequestParams, ProtocolVersion};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{
    changes, complete,
    front::{Call, Era, Front, Handled, Handshake, Reply},
    prompts, resources, tasks, tools,
    wire::{self, Id, Incoming, Line, Lines},
};

/// Requests of one client under way at once; a client that has more is told so.
const UNDER_WAY_MAX: usize = 1024;

/// What a client may have sent while it reads none of its answers.
const UNREAD_BYTES_MAX: usize = 32 << 20;

/// After the end of the input: for calls that the daemon answers at once, and for the client to read.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Bytes taken at once.
const CHUNK: usize = 64 << 10;

/// What the model is told about this server as a whole.
const INSTRUCTIONS: &str = "\
The Orchestrator runs large software requests: it plans, runs many tasks at once in isolated checkouts, keeps only what \
the repository's own checks prove, and leaves the result on a branch. Use process_request for work that is larger than \
one sitting or should go on in the background; it returns at once with a run id (R-1). Follow it with wait_for_change, \
look with get_task_status or get_state. Questions of a run (get_pending_decisions) are the user's: show them in full \
with all options and wait; call submit_decision only with what the user chose. A person can also answer by the form \
that appears, the prompt `decide D-7 OPTION`, or `orchestrator decide D-7 OPTION` in a terminal. Nothing enters the \
checkout by itself: tell the user `orchestrator diff R-1`, then `orchestrator apply R-1` (and `undo R-1`).";

/// And where a session may claim tasks.
const CLAIM_INSTRUCTIONS: &str = " You can do a task of a run yourself, where the user wants it: claim_task names the \
checkout to work in and the commands that will judge it; edit only there, and end with report_task.";

/// The same for an agent of a run.
const AGENT_INSTRUCTIONS: &str = "\
You work on one task of a larger run. my_task says what to do, where, and which commands will judge it; work only in \
that checkout. Leave what others of the run must know with notes. When you are done call report_task with kind done: \
the commands decide, not your word.";

/// Serves until the input ends.
pub async fn serve<R, W>(mut input: R, output: W, front: Front) -> io::Result<()>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    let front = Rc::new(front);
    let writing = front.clone();
    let writer = tokio::task::spawn_local(async move { writing.out.write(output).await });
    let mut lines = Lines::default();
    // Never filled beforehand: a start touches only the pages that its messages need.
    let mut chunk = Vec::with_capacity(CHUNK);
    let outcome = loop {
        // All that is taken in one turn was asked for before the first look, so one look at the count is new enough.
        front.look_anew();
        while !front.out.full()
            && let Some(line) = lines.next(false)
        {
            take(&front, line);
            if front.out.worth_writing() {
                tokio::task::yield_now().await;
                front.look_anew();
            }
        }
        if front.out.is_broken() {
            break Ok(());
        }
        if front.out.full() && lines.held() > UNREAD_BYTES_MAX {
            break Err(io::Error::other("the client reads none of its answers and goes on asking"));
        }
        tokio::select! {
            read = input.read_buf(&mut chunk) => match read {
                Ok(0) => break Ok(()),
                Ok(_) => {
                    lines.push(&chunk);
                    chunk.clear();
                }
                Err(error) => break Err(error),
            },
            // Room for answers, or nobody left to hear them.
            () = front.out.moved() => {}
        }
    };
    if outcome.is_ok() && !front.out.is_broken() {
        // A last line may lack its end.
        while let Some(line) = lines.next(true) {
            take(&front, line);
        }
        let _ = tokio::time::timeout(LAST_WORDS, last_words(&front)).await;
    }
    for (_, call) in front.under_way.borrow_mut().drain() {
        call.abort();
    }
    writer.abort();
    outcome
}

/// Until all is said that can be said at once.
async fn last_words(front: &Front) {
    loop {
        let quick = front.under_way.borrow().len() > front.waits.get();
        if front.out.is_broken() || (!quick && front.out.is_empty()) {
            return;
        }
        // Answers come out of tasks of this thread; each one that is written wakes us.
        front.out.moved().await;
    }
}

fn take(front: &Rc<Front>, line: Line<'_>) {
    let line = match line {
        Line::Whole(line) => line,
        Line::TooLong => {
            let what = format!("a line is longer than {} MiB; it was passed over", wire::LINE_BYTES_MAX >> 20);
            return front.out.push(wire::error(None, &ErrorData::invalid_request(what, None)));
        }
    };
    match wire::read(line) {
        None => {}
        Some(Incoming::Bad(id, error)) => front.out.push(wire::error(id.as_ref(), &error)),
        Some(Incoming::Answer(id, answer)) => front.answered(&id, answer),
        Some(Incoming::Notification(method, params)) => notified(front, &method, params),
        Some(Incoming::Request(id, method, params)) => request(front, id, method, params),
    }
}

fn notified(front: &Rc<Front>, method: &str, params: Option<&RawValue>) {
    match method {
        "notifications/cancelled" => {
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Cancelled {
                request_id: Value,
            }
            let cancelled = params.and_then(|params| serde_json::from_str::<Cancelled>(params.get()).ok());
            if let Some(id) = cancelled.and_then(|cancelled| Id::of(&cancelled.request_id)) {
                // No answer follows, as the protocol has it.
                if let Some(call) = front.under_way.borrow_mut().remove(&id) {
                    call.abort();
                }
                front.listens.borrow_mut().remove(&id);
            }
        }
        // The session is open: from here on changes are told.
        "notifications/initialized" if front.handshake.borrow().is_some() => changes::start(front),
        // Others mean nothing to us; a notification is never answered.
        _ => {}
    }
}

/// What every request may say of itself.
#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "progressToken", default)]
    progress: Option<Value>,
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", default)]
    version: Option<Value>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", default)]
    capabilities: Option<ClientCapabilities>,
    #[serde(rename = "io.modelcontextprotocol/clientInfo", default)]
    client: Option<Implementation>,
}

#[derive(Default, Deserialize)]
struct WithMeta {
    #[serde(rename = "_meta", default)]
    meta: Option<Meta>,
}

/// What parameters may hold, as far as it matters before they are read for their method.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said<'a> {
    #[serde(rename = "_meta", default)]
    meta: Option<Meta>,
    /// Which tool or prompt.
    #[serde(borrow, default)]
    pub name: Option<&'a RawValue>,
    /// What for.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    /// That this goes on with an earlier call.
    #[serde(default)]
    pub request_state: Option<IgnoredAny>,
    /// That this brings answers.
    #[serde(default)]
    pub input_responses: Option<IgnoredAny>,
}

impl<'a> Said<'a> {
    /// Whatever else is wrong is found, and said, by the method; here only `_meta` must be right.
    fn read(text: &'a str) -> serde_json::Result<Said<'a>> {
        serde_json::from_str(text).or_else(|_| {
            let WithMeta { meta } = serde_json::from_str(text)?;
            Ok(Said { meta, ..Said::default() })
        })
    }
}

fn request(front: &Rc<Front>, id: Id, method: Cow<'_, str>, params: Option<&RawValue>) {
    let refuse = |error: ErrorData| front.out.push(wire::error(Some(&id), &error));
    if front.under_way.borrow().contains_key(&id) {
        return refuse(ErrorData::invalid_request("a request with this id is still under way", None));
    }
    let text = params.map_or("{}", RawValue::get);
    let mut said = match Said::read(text) {
        Ok(said) => said,
        Err(error) => return refuse(ErrorData::invalid_params(format!("`_meta`: {error}"), None)),
    };
    if method == "initialize" {
        return match initialize(front, text) {
            Ok(result) => front.out.push(wire::result(&id, &result)),
            Err(error) => refuse(error),
        };
    }
    let call = match place(front, &id, &method, said.meta.take().unwrap_or_default()) {
        Ok(call) => call,
        Err(error) => return refuse(error),
    };
    // So is what nobody has changed since it was asked for the last time.
    let key = (method == "tools/call").then(|| tools::key(&call, &said)).flatten();
    if let Some(kept) = key.as_deref().and_then(|key| front.kept(key)) {
        return front.out.framed(&call.id, &kept);
    }
    // What needs neither the daemon nor time is answered here and now.
    match at_once(front, &call, &method, text) {
        Some(Ok(reply)) => return front.out.push(line(&call, &reply)),
        Some(Err(error)) => return refuse(error),
        None => {}
    }
    if front.under_way.borrow().len() >= UNDER_WAY_MAX {
        let what = format!("{UNDER_WAY_MAX} requests are under way; wait for an answer or cancel one");
        return refuse(ErrorData::internal_error(what, None));
    }
    // A read of the same client that comes after this must not be older than what this does.
    let looks = key.is_some() || method == "subscriptions/listen" || (method == "tools/call" && tools::waits(&said));
    let changes = (!looks).then(|| front.changing.clone());
    let (shared, method, text) = (front.clone(), method.into_owned(), text.to_owned());
    let task = tokio::task::spawn_local(async move {
        let handled = handle(&shared, &call, &method, &text).await;
        drop(changes);
        if let (Some(key), Ok(Reply::Held(reply, link, holds))) = (&key, &handled) {
            link.keep(key, *holds, &wire::body(&called(&call, reply.get(), Some(reply), false)));
        }
        // Whoever was cancelled in the meantime hears nothing.
        if shared.under_way.borrow_mut().remove(&call.id).is_some() {
            shared.out.push(match handled {
                Ok(reply) => line(&call, &reply),
                Err(error) => wire::error(Some(&call.id), &error),
            });
        }
    });
    front.under_way.borrow_mut().insert(id, task.abort_handle());
}

/// What a tool comes to.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Called<'a> {
    content: [Text<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a RawValue>,
    is_error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
}

#[derive(serde::Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

fn called<'a>(call: &Call, text: &'a str, structured_content: Option<&'a RawValue>, is_error: bool) -> Called<'a> {
    let result_type = (call.era == Era::Inline).then_some("complete");
    Called { content: [Text { r#type: "text", text }], structured_content, is_error, result_type }
}

/// A reply as a line.
fn line(call: &Call, reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Value(value) => wire::result(&call.id, value),
        // Clients that know no structured content, and those that show text only, read the same there.
        Reply::Called(reply) | Reply::Held(reply, ..) => {
            wire::result(&call.id, &called(call, reply.get(), Some(reply), false))
        }
        Reply::Mistaken(sentence) => wire::result(&call.id, &called(call, sentence, None, true)),
    }
}

/// Which revision a request is of, and what its client can do.
fn place(front: &Rc<Front>, id: &Id, method: &str, meta: Meta) -> Result<Call, ErrorData> {
    let Some(version) = meta.version else {
        let handshake = front.handshake.borrow();
        let (era, forms) = match &*handshake {
            Some(handshake) => (Era::Handshake(handshake.version.clone()), handshake.forms),
            None if method == "ping" => (Era::Handshake(ProtocolVersion::LATEST_WITH_INITIALIZE), false),
            None => {
                let what = format!(
                    "`{method}` before `initialize`: send that first, or name the revision in \
                     params._meta[\"io.modelcontextprotocol/protocolVersion\"] (2026-07-28)"
                );
                return Err(match method {
                    "server/discover" => ErrorData::invalid_params(what, None),
                    _ => ErrorData::invalid_request(what, None),
                });
            }
        };
        return Ok(Call { id: id.clone(), era, forms, tasks: false, progress: meta.progress });
    };
    let version = version
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| ErrorData::invalid_params("`io.modelcontextprotocol/protocolVersion` must be a string", None))?;
    if version != ProtocolVersion::V_2026_07_28.as_str() {
        let requested: ProtocolVersion = serde_json::from_value(Value::String(version)).unwrap_or_default();
        return Err(ErrorData::unsupported_protocol_version(requested, ProtocolVersion::KNOWN_VERSIONS));
    }
    let Some(capabilities) = meta.capabilities else {
        let what = "params._meta[\"io.modelcontextprotocol/clientCapabilities\"] is missing: each request of 2026-07-28 \
                    says what its client can do";
        return Err(ErrorData::invalid_params(what, None));
    };
    if let Some(client) = &meta.client {
        front.named(client.title.as_deref().unwrap_or(&client.name));
    }
    Ok(Call {
        id: id.clone(),
        era: Era::Inline,
        forms: forms(&capabilities),
        tasks: capabilities.supports_tasks(),
        progress: meta.progress,
    })
}

/// Whether a client can show a form. One that says `elicitation: {}` means forms: there was nothing else at first.
fn forms(capabilities: &ClientCapabilities) -> bool {
    capabilities.elicitation.as_ref().is_some_and(|elicitation| elicitation.form.is_some() || elicitation.url.is_none())
}

fn initialize(front: &Rc<Front>, params: &str) -> Result<Value, ErrorData> {
    let params: rmcp::model::InitializeRequestParams = serde_json::from_str(params)
        .map_err(|error| ErrorData::invalid_params(format!("`initialize`: {error}"), None))?;
    let known = ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE);
    let version = match known.contains(&params.protocol_version) {
        true => params.protocol_version,
        false => ProtocolVersion::LATEST_WITH_INITIALIZE,
    };
    front.named(params.client_info.title.as_deref().unwrap_or(&params.client_info.name));
    let handshake = Handshake { version: version.clone(), forms: forms(&params.capabilities) };
    *front.handshake.borrow_mut() = Some(handshake);
    Ok(json!({
        "protocolVersion": version,
        "capabilities": capabilities(front, false),
        "serverInfo": server_info(),
        "instructions": instructions(front),
    }))
}

fn server_info() -> Value {
    json!({"name": "orchestrator", "title": "Orchestrator", "version": env!("CARGO_PKG_VERSION")})
}

fn instructions(front: &Front) -> String {
    match (front.agent, front.pull) {
        (true, _) => AGENT_INSTRUCTIONS.to_owned(),
        (false, false) => INSTRUCTIONS.to_owned(),
        (false, true) => format!("{INSTRUCTIONS}{CLAIM_INSTRUCTIONS}"),
    }
}

fn capabilities(front: &Front, inline: bool) -> Value {
    if front.agent {
        return json!({"tools": {}});
    }
    let mut capabilities = json!({
        "tools": {},
        "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true},
        "completions": {},
    });
    if inline {
        capabilities["extensions"] = json!({rmcp::model::TASKS_EXTENSION_ID: {}});
    }
    capabilities
}

/// What needs neither the daemon nor time.
fn at_once(front: &Rc<Front>, call: &Call, method: &str, params: &str) -> Option<Handled> {
    Some(match (method, &call.era) {
        ("server/discover", _) => Ok(call.listed(json!({
            "supportedVersions": ProtocolVersion::KNOWN_VERSIONS,
            "capabilities": capabilities(front, true),
            "instructions": instructions(front),
            "_meta": {"io.modelcontextprotocol/serverInfo": server_info()},
        }))),
        ("ping", Era::Handshake(_)) => Ok(call.dress(json!({}))),
        ("tools/list", _) => tools::list(front, call, params),
        _ if front.agent && method != "tools/call" => Err(unknown(method)),
        ("resources/templates/list", _) => {
            first_page(params).map(|()| call.listed(json!({"resourceTemplates": resources::templates()})))
        }
        ("resources/subscribe" | "resources/unsubscribe", Era::Handshake(_)) => {
            changes::watch(front, call, params, method == "resources/subscribe").map(|()| call.dress(json!({})))
        }
        // Where it is fine it stays open: `handle` waits until its client ends it.
        ("subscriptions/listen", Era::Inline) => match changes::listen(front, call, params) {
            Ok(()) => return None,
            Err(error) => Err(error),
        },
        _ => return None,
    })
}

async fn handle(front: &Rc<Front>, call: &Call, method: &str, params: &str) -> Handled {
    match (method, &call.era) {
        ("tools/call", _) => tools::call(front, call, params).await,
        ("prompts/list", _) => prompts::list(front, call, params).await,
        ("prompts/get", _) => prompts::get(front, call, params).await,
        ("resources/list", _) => resources::list(front, call, params).await,
        ("resources/read", _) => resources::read(front, call, params).await,
        ("completion/complete", _) => complete::complete(front, call, params).await,
        ("tasks/get" | "tasks/update" | "tasks/cancel", Era::Inline) => {
            tasks::handle(front, call, method, params).await
        }
        // Open until its client ends it.
        ("subscriptions/listen", Era::Inline) => std::future::pending().await,
        _ => Err(unknown(method)),
    }
}

fn unknown(method: &str) -> ErrorData {
    let shown: String = method.chars().take(80).collect();
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("there is no method `{shown}` here"), None)
}

/// Every list is whole: there is one page, and no cursor for another was ever given out.
pub fn first_page(text: &str) -> Result<(), ErrorData> {
    match params::<PaginatedRequestParams>(text)?.cursor {
        None => Ok(()),
        Some(cursor) => {
            let shown: String = cursor.chars().take(80).collect();
            Err(ErrorData::invalid_params(format!("there is no page {shown:?}"), None))
        }
    }
}

/// Parameters of a method, or what is wrong with them.
pub fn params<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ErrorData> {
    serde_json::from_str(text).map_err(|error| {
        // What a type is called here means nothing to who reads it.
        let said = error.to_string();
        let said = match said.split_once("expected struct ") {
            Some((before, behind)) => {
                let behind = behind.split_once(' ').map_or("", |(_, behind)| behind);
                format!("{before}expected an object {behind}")
            }
            None => said,
        };
        ErrorData::invalid_params(said.trim_end().to_owned(), None)
    })
}
