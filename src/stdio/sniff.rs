//! First bytes to dialect: a pure function that consumes nothing and may be asked again with more.
//!
//! MCP sends one JSON object a line; LSP sends a header block before each. So the first byte that is no blank mostly
//! decides. What is neither gets one sentence that says what to do instead, because whoever configured it sees only
//! that this program ended.

/// A protocol that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Editors: a header block, then JSON.
    Lsp,
    /// Claude Code and other model hosts: JSON, one message a line.
    Mcp,
}

/// What the first bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sniffed {
    /// Not enough yet.
    More,
    /// This dialect, after so many bytes of byte order mark and blanks.
    Is(Dialect, usize),
    /// Neither; the sentence says what is wrong and what to do.
    Refused(&'static str),
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Longest header block; a real one has fifty bytes.
const HEADER_BYTES_MAX: usize = 4096;

/// Longest first body that is waited for to see whether it is MCP. An editor's `initialize` is smaller, or is LSP.
const BODY_BYTES_MAX: usize = 64 << 10;

const HTTP: &str = "this is an HTTP request, and this program speaks LSP or MCP on standard input; configure it as a \
                    stdio server (for HTTP and WebSocket: `orchestrator daemon start --listen 127.0.0.1:8765`)";
const MCP_FRAMED: &str = "this is MCP with LSP framing (Content-Length headers), which no MCP revision allows; send one \
                          JSON message a line";
const NO_LENGTH: &str = "the header block has no Content-Length; LSP needs one before each message, and MCP is one JSON \
                         message a line, without headers";
const NONSENSE: &str = "the input is neither LSP (it begins with `Content-Length: `) nor MCP (it begins with `{`); \
                        `orchestrator --help` lists the verbs";

/// Looks at all that came so far. `ended`: nothing more will come.
pub fn sniff(bytes: &[u8], ended: bool) -> Sniffed {
    let more = |refusal| if ended { Sniffed::Refused(refusal) } else { Sniffed::More };
    let after_bom = match bytes {
        rest if rest.len() < BOM.len() && BOM.starts_with(rest) => return more(NONSENSE),
        [_, _, _, rest @ ..] if bytes.starts_with(BOM) => rest,
        rest => rest,
    };
    let text = after_bom.trim_ascii_start();
    let skip = bytes.len() - text.len();
    match text.first() {
        None => more(NONSENSE),
        // A batch is MCP, too: its answer says that there are none.
        Some(b'{' | b'[') => Sniffed::Is(Dialect::Mcp, skip),
        Some(letter) if letter.is_ascii_alphabetic() => match header(text) {
            Header::More => more(NONSENSE),
            Header::Http => Sniffed::Refused(HTTP),
            Header::Nonsense => Sniffed::Refused(NONSENSE),
            Header::NoLength => Sniffed::Refused(NO_LENGTH),
            Header::Block { body, length } => match text.get(body..body.saturating_add(length)) {
                Some(body) if is_mcp(body) => Sniffed::Refused(MCP_FRAMED),
                Some(_) => Sniffed::Is(Dialect::Lsp, skip),
                None if length > BODY_BYTES_MAX || ended => Sniffed::Is(Dialect::Lsp, skip),
                None => Sniffed::More,
            },
        },
        Some(_) => Sniffed::Refused(NONSENSE),
    }
}

enum Header {
    More,
    Http,
    Nonsense,
    NoLength,
    Block { body: usize, length: usize },
}

/// Reads the header block. Names are written in any case and come in any order; some clients end lines with a bare LF.
fn header(text: &[u8]) -> Header {
    let mut length = None;
    let mut at = 0;
    while at < HEADER_BYTES_MAX {
        let rest = &text[at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return if at == 0 { unfinished(rest) } else { Header::More };
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        at += end + 1;
        if line.is_empty() {
            return length.map_or(Header::NoLength, |length| Header::Block { body: at, length });
        }
        let line = String::from_utf8_lossy(line);
        match line.split_once(':') {
            Some((name, value)) if is_header(name) => {
                if name.eq_ignore_ascii_case("content-length") {
                    match value.trim().parse() {
                        Ok(value) => length = Some(value),
                        Err(_) => return Header::NoLength,
                    }
                }
            }
            _ if is_http(line.as_bytes()) => return Header::Http,
            _ => return Header::Nonsense,
        }
    }
    Header::Nonsense
}

/// The first line, while its end has not come: long enough to be something, or still anything.
fn unfinished(line: &[u8]) -> Header {
    let word = line.iter().position(|byte| !byte.is_ascii_alphabetic() && *byte != b'-').unwrap_or(line.len());
    match (line.get(word), is_http(line)) {
        (_, true) => Header::Http,
        (Some(b':'), _) if line.len() < 256 => Header::More,
        (Some(b' '), _) if METHODS.iter().any(|method| method.eq_ignore_ascii_case(&line[..word])) => Header::More,
        (Some(_), _) => Header::Nonsense,
        (None, _) if word < 64 => Header::More,
        (None, _) => Header::Nonsense,
    }
}

const METHODS: &[&[u8]] = &[b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"PRI"];

/// `POST /mcp HTTP/1.1`, or as much of it as shows.
fn is_http(line: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        line.strip_prefix(*method).and_then(|rest| rest.strip_prefix(b" ")).is_some_and(|rest| {
            let target = rest.first();
            matches!(target, Some(b'/' | b'*' | b'h')) || rest.windows(5).any(|part| part == b"HTTP/")
        })
    })
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a framed first message is MCP's: only its `initialize` names a protocol version.
fn is_mcp(body: &[u8]) -> bool {
    let Ok(message) = serde_json::from_slice::<serde_json::Value>(body) else { return false };
    match message["method"].as_str() {
        Some("initialize") => message["params"]["protocolVersion"].is_string(),
        Some(method) => method == "server/discover",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// Every prefix is either undecided or decided the same way.
    #[track_caller]
    fn check(bytes: &[u8], expected: Sniffed) {
        assert_eq!(sniff(bytes, false), expected, "{:?}", String::from_utf8_lossy(bytes));
        for end in 0..bytes.len() {
            let early = sniff(&bytes[..end], false);
            let same = match (&early, &expected) {
                (Sniffed::Is(one, _), Sniffed::Is(other, _)) => one == other,
                _ => early == Sniffed::More || early == expected,
            };
            assert!(same, "after {end} bytes of {:?}: {early:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn first_bytes_of_real_clients() {
        let mcp = |skip| Sniffed::Is(Dialect::Mcp, skip);
        check(br#"{"jsonrpc":"2.0","id":"server-discover-probe-1","method":"server/discover"}"#, mcp(0));
        check(br#"{"method":"initialize","params":{}}"#, mcp(0));
        check(b"\xEF\xBB\xBF \r\n\t{\"id\":1}", mcp(7));
        check(b"[{}]", mcp(0));
        let lsp = |skip| Sniffed::Is(Dialect::Lsp, skip);
        let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"processId":1,"capabilities":{}}}"#;
        check(framed(body).as_bytes(), lsp(0));
        check(format!("\u{feff}{}", framed(body)).as_bytes(), lsp(3));
        check(format!("content-length: {}\n\n{body}", body.len()).as_bytes(), lsp(0));
        let type_first = format!(
            "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH:{}\r\n\r\n{body}",
            body.len()
        );
        check(type_first.as_bytes(), lsp(0));
    }

    #[test]
    fn a_large_first_body_is_not_waited_for() {
        assert_eq!(sniff(b"Content-Length: 90000\r\n\r\n", false), Sniffed::Is(Dialect::Lsp, 0));
        assert_eq!(sniff(b"Content-Length: 900\r\n\r\n{", false), Sniffed::More);
        assert_eq!(sniff(b"Content-Length: 18446744073709551615\r\n\r\n{", false), Sniffed::Is(Dialect::Lsp, 0));
    }

    #[test]
    fn what_is_neither_is_told_what_to_do() {
        check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Sniffed::Refused(HTTP));
        check(b"POST /mcp HTTP/1.1\r\n", Sniffed::Refused(HTTP));
        check(b"PRI * HTTP/2.0\r\n\r\n", Sniffed::Refused(HTTP));
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#;
        check(framed(initialize).as_bytes(), Sniffed::Refused(MCP_FRAMED));
        check(b"hello there\n", Sniffed::Refused(NONSENSE));
        check(b"\"text\"", Sniffed::Refused(NONSENSE));
        check(b"42\n", Sniffed::Refused(NONSENSE));
        check(b"\xff\xfe{\0", Sniffed::Refused(NONSENSE));
        check(b"X-Other: 1\r\n\r\n", Sniffed::Refused(NO_LENGTH));
        check(b"Content-Length: many\r\n", Sniffed::Refused(NO_LENGTH));
        check(&[b'a'; 64], Sniffed::Refused(NONSENSE));
        let endless = [b"Content-Type: ".as_slice(), &[b'x'; HEADER_BYTES_MAX]].concat();
        assert_eq!(sniff(&endless, false), Sniffed::Refused(NONSENSE));
    }

    #[test]
    fn an_end_in_the_middle_is_an_answer_too() {
        assert_eq!(sniff(b"Content-Le", true), Sniffed::Refused(NONSENSE));
        assert_eq!(sniff(b"Content-Length: 5\r\n\r\n{", true), Sniffed::Is(Dialect::Lsp, 0));
        assert_eq!(sniff(b" \n", false), Sniffed::More);
    }
}
