//! The same calls over TCP on loopback: WebSocket on `/`, JSON-RPC by HTTP POST on `/api`. Off unless asked for.
//!
//! A Unix socket knows who calls; a TCP port does not, and every web page of a browser on this machine can reach it.
//! So three things must fit before a byte of a request is looked at: `Host` and `Origin` must be ours (a page that had
//! its own name resolved to 127.0.0.1 still sends that name), and a bearer token must be the one in the file `token`
//! of the runtime folder, made anew with each daemon and readable by this user alone. Even then nobody here counts as
//! a person: a token does not tell one from a program that read the file. Trust and stopping are refused.
//!
//! HTTP has no greeting: the header `X-Orchestrator-Workspace` says which folder a request is about.

use std::{
    fs,
    future::Future,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use jsonrpsee::{
    Methods,
    server::{
        HttpBody, HttpRequest, HttpResponse, PingConfig, Server, ServerConfig, ServerHandle, StopHandle, TowerService,
        TowerServiceBuilder, serve_with_graceful_shutdown, stop_channel,
    },
};
use tokio::net::{TcpListener, TcpStream};
use tower::{BoxError, Service, layer::util::Identity};

use super::{
    server::Session,
    workspaces::{Presence, Shared},
};
use crate::api::{
    ApiError, Code, Hello, OrchestratorApiServer, PROTOCOL, Role, allowed_env,
    session::{ClientInfo, env_allowed},
};

/// The header of an HTTP request that says which folder it is about.
pub const WORKSPACE_HEADER: &str = "x-orchestrator-workspace";

/// Largest request, bytes. A larger plan goes over the Unix socket.
const REQUEST_BYTES_MAX: u32 = 32 << 20;

/// Largest reply, bytes.
const RESPONSE_BYTES_MAX: u32 = 256 << 20;

/// Subscriptions of one WebSocket.
const SUBSCRIPTIONS_MAX: u32 = 64;

/// Random bytes of the token.
const TOKEN_BYTES: usize = 32;

/// A port that is open; it closes when this goes.
pub struct Listening {
    /// Where, with the port that the system chose where none was asked for.
    pub address: SocketAddr,
    token: PathBuf,
    _open: ServerHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // A token that opens nothing should not lie about.
        let _ = fs::remove_file(&self.token);
    }
}

/// Reads `127.0.0.1:8765`, `[::1]:8765` or `localhost:8765`. Every other host would be reachable from outside.
pub fn address(text: &str) -> Result<SocketAddr, ApiError> {
    let refused = |what: &str| {
        let message = format!("cannot listen on {text:?}: {what}");
        Err(ApiError::new(Code::Invalid, message, "give a loopback address and a port, such as 127.0.0.1:8765"))
    };
    let named = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let found = named.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).or_else(|| text.parse().ok());
    match found {
        Some(found) if found.ip().is_loopback() => Ok(found),
        Some(_) => refused("only loopback addresses are served, because whoever reaches the port may start commands"),
        None => refused("this is no address with a port"),
    }
}

/// Opens the port and serves until the result is dropped.
pub async fn start(shared: &Arc<Shared>, address: SocketAddr) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let path = shared.places.runtime.join("token");
    let token = make_token(&path)?;
    let (stop, open) = stop_channel();
    let config = ServerConfig::builder()
        .max_request_body_size(REQUEST_BYTES_MAX)
        .max_response_body_size(RESPONSE_BYTES_MAX)
        .max_connections(shared.config.workflow.max_connections.max(1))
        .max_subscriptions_per_connection(SUBSCRIPTIONS_MAX)
        // Whoever went away without a word is noticed.
        .enable_ws_ping(PingConfig::new())
        .build();
    let door = Arc::new(Door {
        shared: shared.clone(),
        token,
        port: address.port(),
        builder: Server::builder().set_config(config).to_service_builder(),
        stop: stop.clone(),
    });
    tokio::spawn(accept(listener, door, stop));
    tracing::info!(%address, token = %path.display(), "listening");
    Ok(Listening { address, token: path, _open: open })
}

async fn accept(listener: TcpListener, door: Arc<Door>, stop: StopHandle) {
    let stopped = stop.clone().shutdown();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(connected(stream, door.clone(), stop.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut stopped => return,
        }
    }
}

async fn connected(stream: TcpStream, door: Arc<Door>, stop: StopHandle) {
    // Replies are small and wanted now.
    let _ = stream.set_nodelay(true);
    let gate = Gate { presence: Arc::new(door.shared.present()), door, last: Arc::default() };
    if let Err(error) = serve_with_graceful_shutdown(stream, gate, stop.shutdown()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What all connections need.
struct Door {
    shared: Arc<Shared>,
    token: String,
    port: u16,
    builder: TowerServiceBuilder<Identity, Identity>,
    stop: StopHandle,
}

/// One TCP connection: looks at the headers of each request, and lets it through to the calls.
#[derive(Clone)]
struct Gate {
    door: Arc<Door>,
    presence: Arc<Presence>,
    /// The workspace that the last HTTP request of this connection was about, greeted already.
    last: Arc<Mutex<Option<(String, Session)>>>,
}

/// Which way a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    WebSocket,
    /// The folder it is about.
    Http(String),
}

/// Why a request is turned away: the status, and what to say.
type Refusal = (u16, ApiError);

impl<B> Service<HttpRequest<B>> for Gate
where
    B: Send + 'static,
    TowerService<Identity, Identity>: Service<HttpRequest<B>, Response = HttpResponse, Error = BoxError>,
    <TowerService<Identity, Identity> as Service<HttpRequest<B>>>::Future: Send,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move {
            let way = match gate.door.way(&request) {
                Ok(way) => way,
                Err(refusal) => return Ok(refused(refusal)),
            };
            let methods: Methods = match &way {
                Way::WebSocket => Session::new(gate.door.shared.clone(), Role::Session, false).into_rpc().into(),
                Way::Http(folder) => match gate.greeted(folder).await {
                    Ok(session) => session.into_rpc().into(),
                    Err(error) => return Ok(refused((400, error))),
                },
            };
            let mut service = gate.door.builder.clone().build(methods, gate.door.stop.clone());
            if way == Way::WebSocket {
                // It goes on when this request is answered: somebody is there until it is closed.
                let (closed, presence) = (service.on_session_closed(), gate.presence.clone());
                tokio::spawn(async move {
                    closed.await;
                    drop(presence);
                });
            }
            service.call(request).await
        })
    }
}

impl Gate {
    /// A session that has said hello for this folder.
    async fn greeted(&self, folder: &str) -> Result<Session, ApiError> {
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, session)) = known.filter(|(known, _)| known == folder) {
            return Ok(session);
        }
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            workspace: folder.to_owned(),
            client: ClientInfo { name: "http".to_owned(), surface: "http".to_owned() },
            // The daemon's own: a request by HTTP brings none.
            env: allowed_env(variables.filter(|(name, _)| env_allowed(name))),
            secrets: Default::default(),
        };
        let session = Session::new(self.door.shared.clone(), Role::Session, false);
        session.hello(hello).await.map_err(|error| {
            let error = jsonrpsee::core::client::Error::Call(error);
            ApiError::from(error)
        })?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((folder.to_owned(), session.clone()));
        Ok(session)
    }
}

impl Door {
    /// Looks at everything but the body.
    fn way<B>(&self, request: &HttpRequest<B>) -> Result<Way, Refusal> {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let refuse =
            |status: u16, code: Code, message: &str, hint: &str| Err((status, ApiError::new(code, message, hint)));
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let Some(host) = header("host").or(authority) else {
            return refuse(400, Code::Invalid, "the request has no Host header", "");
        };
        // Both may be there, and then both must be ours.
        if !is_ours(host, self.port) || authority.is_some_and(|authority| !is_ours(authority, self.port)) {
            let hint = format!("call 127.0.0.1:{} or localhost:{}", self.port, self.port);
            return refuse(403, Code::Forbidden, "the Host header is not this machine's", &hint);
        }
        if let Some(origin) = header("origin")
            && !origin.strip_prefix("http://").is_some_and(|origin| is_ours(origin, self.port))
        {
            return refuse(403, Code::Forbidden, "requests of web pages from elsewhere are refused", "");
        }
        let token = header("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        if !token.is_some_and(|token| equal(token.as_bytes(), self.token.as_bytes())) {
            let hint = format!(
                "send the header `Authorization: Bearer TOKEN`; the token is in {}",
                self.shared.places.runtime.join("token").display()
            );
            let what = if token.is_some() { "the token is not this daemon's" } else { "a bearer token is needed" };
            return refuse(401, Code::Forbidden, what, &hint);
        }
        let upgrade = header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
        match (request.uri().path(), request.method().as_str()) {
            ("/", "GET") if upgrade => Ok(Way::WebSocket),
            ("/", "GET") => {
                refuse(426, Code::Invalid, "this is a WebSocket's address", "HTTP requests go to POST /api")
            }
            ("/", _) => refuse(405, Code::Invalid, "a WebSocket begins with GET", "HTTP requests go to POST /api"),
            ("/api", "POST") => match header(WORKSPACE_HEADER) {
                Some(folder) if folder.starts_with('/') => Ok(Way::Http(folder.to_owned())),
                Some(_) => refuse(400, Code::Invalid, "X-Orchestrator-Workspace is not an absolute path", ""),
                None => {
                    let hint = "send the header `X-Orchestrator-Workspace: /absolute/path`";
                    refuse(400, Code::Invalid, "which workspace the request is about is not said", hint)
                }
            },
            ("/api", _) => refuse(405, Code::Invalid, "JSON-RPC over HTTP is sent by POST", ""),
            (_, _) => {
                refuse(404, Code::NotFound, "nothing is served here", "WebSocket is on /, JSON-RPC by POST on /api")
            }
        }
    }
}

fn refused((status, error): Refusal) -> HttpResponse {
    let body = serde_json::to_vec(&error).unwrap_or_default();
    let mut response = HttpResponse::new(HttpBody::from(body));
    *response.status_mut() = status.try_into().unwrap_or_default();
    let mut say = |name: &'static str, value: &'static str| {
        if let Ok(value) = value.try_into() {
            response.headers_mut().insert(name, value);
        }
    };
    say("content-type", "application/json");
    match status {
        401 => say("www-authenticate", "Bearer"),
        405 => say("allow", "GET, POST"),
        426 => say("upgrade", "websocket"),
        _ => {}
    }
    response
}

/// Whether `HOST:PORT` is a name of this machine's loopback with our port.
fn is_ours(authority: &str, port: u16) -> bool {
    let (host, said) = match authority.rsplit_once(':') {
        Some((host, said)) if !said.ends_with(']') => (host, said.parse().ok()),
        _ => (authority, Some(80)),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let loopback = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback && said == Some(port)
}

/// Compares in a time that says nothing about where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b))) == 0
}

/// Makes a token and puts it into a file that only this user can read.
fn make_token(path: &std::path::Path) -> io::Result<String> {
    let mut random = [0; TOKEN_BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{token}")?;
    fs::rename(&new, path)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        assert_eq!(address("127.0.0.1:8765").unwrap().port(), 8765);
        assert_eq!(address("localhost:0").unwrap().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(address("[::1]:8765").unwrap().is_ipv6());
        for (bad, says) in [
            ("0.0.0.0:8765", "only loopback"),
            ("[::]:8765", "only loopback"),
            ("192.168.1.2:80", "only loopback"),
            ("8765", "no address"),
            ("127.0.0.1", "no address"),
            ("example.org:80", "no address"),
            ("localhost:70000", "no address"),
        ] {
            let error = address(bad).expect_err(bad);
            assert_eq!(error.code, Code::Invalid);
            assert!(error.message.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn names_of_this_machine_and_no_others() {
        for good in ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765", "127.1.2.3:8765"] {
            assert!(is_ours(good, 8765), "{good}");
        }
        for bad in [
            "127.0.0.1:80",
            "127.0.0.1",
            "localhost.evil.org:8765",
            "evil.org:8765",
            "[::1]",
            "",
            ":8765",
            "127.0.0.1:8765:8765",
            "127.0.0.1.evil.org:8765",
            "null",
        ] {
            assert!(!is_ours(bad, 8765), "{bad}");
        }
        assert!(is_ours("localhost", 80));
    }

    #[test]
    fn a_token_is_new_each_time_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let (first, second) = (make_token(&path).unwrap(), make_token(&path).unwrap());
        assert_ne!(first, second);
        assert_eq!(second.len(), 2 * TOKEN_BYTES);
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), second);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(equal(second.as_bytes(), second.as_bytes()) && !equal(first.as_bytes(), second.as_bytes()));
        assert!(!equal(b"", second.as_bytes()) && !equal(&second.as_bytes()[1..], second.as_bytes()));
    }
}
