//! The calls over TCP: HTTP and WebSocket by hand, so that nothing of ours is on the other end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};

/// A daemon of its own that listens, and a repository. Ended and removed at the end.
struct World {
    folder: tempfile::TempDir,
    port: u16,
    token: String,
    pid: i32,
}

impl World {
    fn new() -> World {
        let folder = tempfile::Builder::new().prefix("o").tempdir_in("/tmp").unwrap();
        let mut world = World { folder, port: 0, token: String::new(), pid: 0 };
        for name in ["r", "s", "c", "w"] {
            std::fs::create_dir(world.path(name)).unwrap();
        }
        let git = Command::new("git").args(["init", "-q"]).current_dir(world.path("w")).output().unwrap();
        assert!(git.status.success(), "{git:?}");
        std::fs::write(world.path("w/a"), "a\n").unwrap();
        let status = said(&world.run(&["daemon", "start", "--listen", "127.0.0.1:0", "--json"]));
        world.pid = status["pid"].as_i64().unwrap() as i32;
        world.port = status["listen"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        world.token = std::fs::read_to_string(world.path("r/orchestrator/token")).unwrap().trim().to_owned();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .args(arguments)
            .current_dir(self.path("w"))
            .env("HOME", self.path("c"))
            .env("XDG_RUNTIME_DIR", self.path("r"))
            .env("XDG_STATE_HOME", self.path("s"))
            .env("XDG_CONFIG_HOME", self.path("c"))
            .env("TMPDIR", self.path("c"))
            .output()
            .unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// The headers of a request that fits.
    fn fitting(&self) -> Vec<(String, String)> {
        [
            ("Host", format!("127.0.0.1:{}", self.port)),
            ("Authorization", format!("Bearer {}", self.token)),
            ("X-Orchestrator-Workspace", self.path("w").display().to_string()),
            ("Content-Type", "application/json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// One request: its status and body.
    fn ask(&self, line: &str, headers: &[(String, String)], body: &str) -> (u16, Value) {
        let mut stream = BufReader::new(self.connect());
        request(&mut stream, line, headers, body)
    }

    /// A call that fits by HTTP: the reply, or the error.
    fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let (status, mut reply) = self.ask("POST /api", &self.fitting(), &body);
        assert_eq!(status, 200, "{reply}");
        if reply["error"].is_null() { Ok(reply["result"].take()) } else { Err(reply["error"].take()) }
    }
}

impl World {
    /// Tells the daemon to end, once.
    fn end(&mut self) {
        let pid = std::mem::take(&mut self.pid);
        if pid > 0 {
            // SAFETY: the daemon that this world started; nobody else ends it, so the id is still its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}

fn said(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn request(stream: &mut BufReader<TcpStream>, line: &str, headers: &[(String, String)], body: &str) -> (u16, Value) {
    let mut text = format!("{line} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.get_mut().write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
    let (status, length) = head(stream);
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Reads a status line and headers: the status, and how long the body is.
fn head(stream: &mut BufReader<TcpStream>) -> (u16, usize) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        match line.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => return (status, length),
        }
    }
}

fn with(headers: &[(String, String)], name: &str, value: Option<&str>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = headers.iter().filter(|(known, _)| known != name).cloned().collect();
    headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    headers
}

#[test]
fn http_serves_calls_and_turns_strangers_away() {
    let world = World::new();
    let fits = world.fitting();
    let runs = json!({"jsonrpc": "2.0", "id": 7, "method": "list_runs"}).to_string();
    let (status, reply) = world.ask("POST /api", &fits, &runs);
    assert_eq!((status, &reply["id"], &reply["result"]["runs"]), (200, &json!(7), &json!([])), "{reply}");

    let origin = format!("http://localhost:{}", world.port);
    assert_eq!(world.ask("POST /api", &with(&fits, "Origin", Some(&origin)), &runs).0, 200);

    let wrong = "0".repeat(64);
    let bearer = format!("Bearer {wrong}");
    let basic = format!("Basic {}", world.token);
    let other_port = format!("127.0.0.1:{}", world.port.wrapping_add(1));
    let rebound = format!("evil.org:{}", world.port);
    let page = format!("http://{rebound}");
    for (what, line, headers, expected) in [
        ("no token", "POST /api", with(&fits, "Authorization", None), 401),
        ("a wrong token", "POST /api", with(&fits, "Authorization", Some(&bearer)), 401),
        ("another scheme", "POST /api", with(&fits, "Authorization", Some(&basic)), 401),
        ("no host", "POST /api", with(&fits, "Host", None), 400),
        ("a rebound name", "POST /api", with(&fits, "Host", Some(&rebound)), 403),
        ("another port", "POST /api", with(&fits, "Host", Some(&other_port)), 403),
        ("a page from elsewhere", "POST /api", with(&fits, "Origin", Some(&page)), 403),
        ("a sandboxed page", "POST /api", with(&fits, "Origin", Some("null")), 403),
        ("another path", "POST /other", fits.clone(), 404),
        ("a look", "GET /api", fits.clone(), 405),
        ("a preflight", "OPTIONS /api", fits.clone(), 405),
        ("a WebSocket without an upgrade", "GET /", fits.clone(), 426),
        ("a post to the WebSocket", "POST /", fits.clone(), 405),
        ("no workspace", "POST /api", with(&fits, "X-Orchestrator-Workspace", None), 400),
        ("half a workspace", "POST /api", with(&fits, "X-Orchestrator-Workspace", Some("w")), 400),
        ("no such workspace", "POST /api", with(&fits, "X-Orchestrator-Workspace", Some("/nonexistent/x")), 400),
    ] {
        let (status, reply) = world.ask(line, &headers, &runs);
        assert_eq!(status, expected, "{what}: {reply}");
        assert!(reply["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {reply}");
        assert!(!reply.to_string().contains(&world.token), "{what}: the token is told to strangers");
    }
}

#[test]
fn a_token_is_no_person_and_work_can_be_done_with_it() {
    let world = World::new();
    for (method, params) in [("trust", json!({"grant": true})), ("stop_daemon", json!({"now": true}))] {
        let error = world.call(method, params).unwrap_err();
        assert_eq!(error["data"]["code"], "FORBIDDEN", "{method}: {error}");
    }
    let request = json!({"description": "make b", "plan": {"version": 1, "title": "b", "tasks": [
        {"id": "b", "kind": "shell", "run": "echo b > b", "verify": [["test", "-f", "b"]]}]}});
    let begun = world.call("process_request", json!({"request": request})).unwrap();
    assert_eq!(begun["request_id"], "R-1", "{begun}");
    let mut after = 0;
    loop {
        let changes = world.call("wait_for_change", json!({"after": after, "timeout_s": 30.0})).unwrap();
        let events = changes["events"].as_array().unwrap();
        assert!(!events.is_empty(), "the run stands still: {changes}");
        if events.iter().any(|event| event["type"] == "run.finished") {
            break;
        }
        after = changes["revision"].as_u64().unwrap();
    }
    assert_eq!(world.call("get_report", json!({"run": "R-1"})).unwrap()["outcome"], "completed");
    // The terminal sees the same run.
    assert_eq!(said(&world.run(&["report", "R-1", "--json"]))["outcome"], "completed");
}

#[test]
fn several_requests_go_over_one_connection() {
    let world = World::new();
    let mut stream = BufReader::new(world.connect());
    for id in 1..=3 {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "daemon_status"}).to_string();
        let (status, reply) = request(&mut stream, "POST /api", &world.fitting(), &body);
        assert_eq!((status, &reply["id"]), (200, &json!(id)), "{reply}");
        assert_eq!(reply["result"]["connections"], 1, "{reply}");
    }
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let world = World::new();
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(33 << 20));
    let mut stream = world.connect();
    let mut text = format!("POST /api HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in world.fitting() {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    // It may hang up before it has read all.
    let _ = stream.write_all(body.as_bytes());
    assert_eq!(head(&mut BufReader::new(stream)).0, 413);
}

/// A WebSocket by hand: masked text frames out, whole text frames in.
struct WebSocket(BufReader<TcpStream>);

impl WebSocket {
    fn open(world: &World, headers: &[(String, String)]) -> Result<WebSocket, u16> {
        let mut stream = BufReader::new(world.connect());
        let mut text = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            .to_owned();
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
        match head(&mut stream).0 {
            101 => Ok(WebSocket(stream)),
            other => Err(other),
        }
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x81];
        match text.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(text.bytes().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        self.0.get_mut().write_all(&frame).unwrap();
    }

    /// The next text; pings are passed over.
    fn receive(&mut self) -> Value {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).unwrap();
            let mut more = vec![
                0;
                match head[1] {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                }
            ];
            self.0.read_exact(&mut more).unwrap();
            let length = match head[1] {
                126 | 127 => more.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).unwrap();
            match head[0] {
                0x81 => return serde_json::from_slice(&payload).unwrap(),
                0x89 | 0x8A => {}
                other => panic!("frame {other:#x}: {payload:?}"),
            }
        }
    }

    /// Calls, and passes over what comes in between.
    fn call(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let reply = self.receive();
            if reply["id"] == id {
                return reply;
            }
        }
    }
}

#[test]
fn a_websocket_is_a_session_of_its_own_with_events() {
    let world = World::new();
    let fits = with(&world.fitting(), "X-Orchestrator-Workspace", None);
    assert_eq!(WebSocket::open(&world, &with(&fits, "Authorization", None)).err(), Some(401));
    let page = format!("http://evil.org:{}", world.port);
    assert_eq!(WebSocket::open(&world, &with(&fits, "Origin", Some(&page))).err(), Some(403));

    let mut socket = WebSocket::open(&world, &fits).unwrap_or_else(|status| panic!("{status}"));
    // Nobody has said which workspace it is about.
    assert_eq!(socket.call(1, "list_runs", json!({}))["error"]["data"]["code"], "INVALID");
    let path = std::env::var("PATH").unwrap();
    let hello = json!({"version": "0", "protocol": 1, "workspace": world.path("w"),
        "client": {"name": "test", "surface": "cli"}, "env": {"PATH": path}});
    let welcome = socket.call(2, "hello", json!({"hello": hello}));
    assert_eq!(welcome["result"]["role"], "session", "{welcome}");
    // Another connection is still nobody.
    let mut other = WebSocket::open(&world, &fits).unwrap_or_else(|status| panic!("{status}"));
    assert_eq!(other.call(1, "list_runs", json!({}))["error"]["data"]["code"], "INVALID");
    assert_eq!(socket.call(3, "daemon_status", json!({}))["result"]["connections"], 2);

    let events = socket.call(4, "subscribe_events", json!({"after": 0, "run": null}));
    assert!(!events["result"].is_null(), "{events}");
    let request = json!({"description": "make b", "plan": {"version": 1, "title": "b", "tasks": [
        {"id": "b", "kind": "shell", "run": "echo b > b", "verify": [["test", "-f", "b"]]}]}});
    let begun = world.call("process_request", json!({"request": request})).unwrap();
    assert_eq!(begun["request_id"], "R-1", "{begun}");
    // What the other connection began is told to this one.
    loop {
        let told = socket.receive()["params"]["result"].take();
        let finished = told.as_array().into_iter().flatten().find(|event| event["type"] == "run.finished");
        if let Some(event) = finished {
            assert_eq!(event["run"], "R-1", "{event}");
            break;
        }
    }
}

#[test]
fn addresses_that_others_could_reach_are_refused_and_the_port_goes_with_the_daemon() {
    let mut world = World::new();
    for (address, says) in [("0.0.0.0:0", "only loopback"), ("nonsense", "no address with a port")] {
        let output = world.run(&["daemon", "start", "--listen", address]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    }
    // Where one runs already that listens elsewhere, that is said.
    let output = world.run(&["daemon", "start", "--listen", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not listen on 127.0.0.1:1"), "{output:?}");
    let token = world.path("r/orchestrator/token");
    assert!(token.exists());
    world.end();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while token.exists() || TcpStream::connect(("127.0.0.1", world.port)).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the port is still open");
        std::thread::sleep(Duration::from_millis(10));
    }
    taken_port(&world);
}

/// A port that somebody has is said at the start, and no daemon stays behind.
fn taken_port(world: &World) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = world.run(&["daemon", "start", "--listen", &address]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot listen on"), "{output:?}");
    assert!(!Path::new(&world.path("r/orchestrator/daemon.sock")).exists());
}
