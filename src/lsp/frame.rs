//! Bytes to message bodies: LSP's headers and lengths. Pure; it reads nothing and answers nothing.
//!
//! Lenient where clients differ (small letters, other orders, a bare line feed), strict about what would desynchronise
//! the stream. What is wrong is reported once, and reading goes on at the next header that is found.

/// Longest body that is read, bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Longest block of headers, bytes. Real ones have fifty.
const HEADERS_BYTES_MAX: usize = 8 << 10;

/// Beyond this a length is taken for garbage rather than skipped over, bytes.
const SKIP_BYTES_MAX: usize = 1 << 30;

const LENGTH: &[u8] = b"content-length:";

/// What was found in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A body of the announced length.
    Body(Vec<u8>),
    /// Something that is no frame; the sentence says what is wrong.
    Bad(String),
}

/// The stream so far.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// How much of `bytes` is done with.
    at: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Headers,
    Body(usize),
    /// A body that is too long passes by.
    Skip(usize),
    /// Where the next header may be is unknown.
    Lost,
}

impl Frames {
    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next piece, where all of it is there.
    pub fn next(&mut self) -> Option<Piece> {
        loop {
            let rest = &self.bytes[self.at..];
            match self.state {
                State::Headers => match headers(rest) {
                    Headers::Partial => return None,
                    Headers::Length(taken, length) if length <= BODY_BYTES_MAX => {
                        self.at += taken;
                        self.state = State::Body(length);
                    }
                    Headers::Length(taken, length) => {
                        self.at += taken;
                        self.state = if length <= SKIP_BYTES_MAX { State::Skip(length) } else { State::Lost };
                        return Some(Piece::Bad(format!(
                            "a message of {length} bytes is too long: {BODY_BYTES_MAX} is the most"
                        )));
                    }
                    Headers::Bad(taken, why) => {
                        self.at += taken;
                        self.state = State::Lost;
                        return Some(Piece::Bad(why));
                    }
                },
                State::Body(length) if rest.len() >= length => {
                    let body = rest[..length].to_vec();
                    self.at += length;
                    self.state = State::Headers;
                    return Some(Piece::Body(body));
                }
                State::Body(_) => return None,
                State::Skip(left) => {
                    let passed = left.min(rest.len());
                    self.at += passed;
                    if passed < left {
                        self.state = State::Skip(left - passed);
                        return None;
                    }
                    self.state = State::Headers;
                }
                State::Lost => {
                    let found = rest.windows(LENGTH.len()).position(|window| window.eq_ignore_ascii_case(LENGTH));
                    let Some(found) = found else {
                        // The word may be cut in two.
                        self.at += rest.len().saturating_sub(LENGTH.len() - 1);
                        return None;
                    };
                    self.at += found;
                    self.state = State::Headers;
                }
            }
        }
    }

    /// Whether the stream may end here: between two frames.
    pub fn whole(&self) -> bool {
        matches!(self.state, State::Headers) && self.bytes[self.at..].iter().all(u8::is_ascii_whitespace)
    }
}

enum Headers {
    /// The blank line is not there yet.
    Partial,
    /// Bytes of the block, and of the body behind it.
    Length(usize, usize),
    /// Bytes to leave behind, and why.
    Bad(usize, String),
}

fn headers(bytes: &[u8]) -> Headers {
    let mut at = 0;
    let mut length = None;
    let mut seen = false;
    loop {
        let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n').map(|end| at + end) else {
            return match bytes.len() > HEADERS_BYTES_MAX {
                true => Headers::Bad(bytes.len(), format!("no message begins within {HEADERS_BYTES_MAX} bytes")),
                false => Headers::Partial,
            };
        };
        let line = bytes[at..end].strip_suffix(b"\r").unwrap_or(&bytes[at..end]);
        at = end + 1;
        if line.is_empty() {
            match length {
                Some(length) => return Headers::Length(at, length),
                // Blank lines between messages are nobody's harm.
                None if !seen => continue,
                None => return Headers::Bad(at, "a message without Content-Length".to_owned()),
            }
        }
        seen = true;
        let text = String::from_utf8_lossy(line);
        let Some((name, value)) = text.split_once(':') else {
            let shown: String = text.chars().take(60).collect();
            return Headers::Bad(at, format!("{shown:?} is no header: a message begins with Content-Length"));
        };
        let value = value.trim();
        if name.trim().eq_ignore_ascii_case("content-length") {
            match (value.parse::<usize>(), length) {
                (Ok(new), None) => length = Some(new),
                (Ok(new), Some(old)) if new == old => {}
                (Ok(new), Some(old)) => return Headers::Bad(at, format!("two lengths for one message: {old}, {new}")),
                (Err(_), _) => {
                    let shown: String = value.chars().take(60).collect();
                    return Headers::Bad(at, format!("Content-Length {shown:?} is not a number of bytes"));
                }
            }
        } else if name.trim().eq_ignore_ascii_case("content-type") {
            let lower = value.to_ascii_lowercase();
            let charset = lower.split_once("charset=").map_or("utf-8", |(_, charset)| charset);
            // The body is read all the same and judged by what it is.
            if !matches!(charset.trim_matches('"'), "utf-8" | "utf8") {
                tracing::warn!(charset, "messages are read as utf-8");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], step: usize) -> Vec<Piece> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(step) {
            frames.feed(chunk);
            found.extend(std::iter::from_fn(|| frames.next()));
        }
        found
    }

    fn bodies(text: &[&str]) -> Vec<Piece> {
        text.iter().map(|text| Piece::Body(text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn any_chunking_gives_the_same_bodies() {
        let stream = b"Content-Length: 2\r\n\r\n{}\r\n\r\ncontent-type: application/vscode-jsonrpc; charset=utf8\n\
            content-LENGTH:3\n\n[1]Content-Length: 0\r\n\r\nContent-Length: 4\r\nX-Other: 1\r\n\r\nnull";
        for step in 1..=stream.len() {
            assert_eq!(all(stream, step), bodies(&["{}", "[1]", "", "null"]), "in chunks of {step}");
        }
    }

    #[test]
    fn what_is_no_frame_is_told_once_and_the_next_one_is_found() {
        for (bad, why) in [
            ("Content-Length: many\r\n\r\n{}", "Content-Length \"many\" is not a number of bytes"),
            ("Content-Type: x\r\n\r\n{\"a\": 1}", "a message without Content-Length"),
            ("hello\r\n", "\"hello\" is no header: a message begins with Content-Length"),
            ("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "two lengths for one message: 2, 3"),
        ] {
            let stream = format!("{bad}Content-Length: 2\r\n\r\n{{}}");
            for step in [1, 7, stream.len()] {
                let expected = [vec![Piece::Bad(why.to_owned())], bodies(&["{}"])].concat();
                assert_eq!(all(stream.as_bytes(), step), expected, "{bad:?} in chunks of {step}");
            }
        }
        let endless = all(&vec![b'x'; 3 * HEADERS_BYTES_MAX], 1000);
        assert_eq!(endless.len(), 1, "{endless:?}");
    }

    #[test]
    fn a_body_that_is_too_long_passes_by() {
        let mut stream = format!("Content-Length: {}\r\n\r\n", 17 << 20).into_bytes();
        stream.resize(stream.len() + (17 << 20), b'x');
        stream.extend_from_slice(b"Content-Length: 2\r\n\r\n{}");
        let found = all(&stream, 1 << 16);
        assert!(
            matches!(&found[0], Piece::Bad(why) if why.starts_with("a message of 17825792 bytes")),
            "{:?}",
            found[0]
        );
        assert_eq!(found[1..], bodies(&["{}"]));
        let absurd = all(b"Content-Length: 99999999999999\r\n\r\nContent-Length: 2\r\n\r\n{}", 5);
        assert_eq!(absurd[1..], bodies(&["{}"]));
    }

    #[test]
    fn the_end_may_come_between_frames_only() {
        let stream = b"Content-Length: 2\r\n\r\n{}";
        for cut in 0..=stream.len() {
            let mut frames = Frames::default();
            frames.feed(&stream[..cut]);
            while frames.next().is_some() {}
            assert_eq!(frames.whole(), cut == 0 || cut == stream.len(), "cut at {cut}");
        }
    }
}
