//! The transcript of one agent: a line per thing said, in the order it happened. Written by its host alone.
//!
//! `MILLISECONDS LETTER TEXT`, where TEXT is the line as it was, without its end. Secrets are written as `•••`.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Who said a line, and of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The agent, on its output.
    Said,
    /// The agent, on its error stream.
    Complained,
    /// We told the agent.
    Told,
    /// A question was answered; the text is its number.
    Answered,
    /// A refusal's reason that the answer could not carry.
    Refused,
    /// So many lines were left out, because it grew too long; and the last words up to here.
    Omitted,
    /// It was told to stop.
    Interrupted,
}

impl Kind {
    const ALL: [(Kind, char); 7] = [
        (Kind::Said, 'O'),
        (Kind::Complained, 'E'),
        (Kind::Told, 'I'),
        (Kind::Answered, 'A'),
        (Kind::Refused, 'R'),
        (Kind::Omitted, 'L'),
        (Kind::Interrupted, 'X'),
    ];

    fn letter(self) -> char {
        Kind::ALL.iter().find(|(kind, _)| *kind == self).map_or('?', |(_, letter)| *letter)
    }
}

/// Shorter values are too likely to be ordinary words.
const SECRET_BYTES_MIN: usize = 8;

/// What is written instead of a secret.
const HIDDEN: &str = "•••";

/// The file, open for writing.
pub struct Transcript {
    file: File,
    secrets: Vec<String>,
    bytes: u64,
}

impl Transcript {
    /// Opens it for appending. `secrets` are never written.
    pub fn open(path: &Path, secrets: Vec<String>) -> io::Result<Transcript> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        Ok(Transcript { file, secrets, bytes })
    }

    /// One line as it may be written down: without secrets.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.trim_end_matches(['\n', '\r']).replace('\n', " ");
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }

    /// Writes one record; its form without secrets.
    pub fn write(&mut self, kind: Kind, text: &str) -> io::Result<String> {
        let text = self.hide(text);
        let line = format!("{} {} {text}\n", crate::time::now().0, kind.letter());
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(text)
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Reads the whole records from `offset` on; each is handed on, and the offset behind the last is returned.
pub fn read(path: &Path, offset: u64, mut each: impl FnMut(Kind, &str)) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(offset),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::new(file);
    let mut at = offset;
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.by_ref().read_until(b'\n', &mut line)?;
        if count == 0 || line.last() != Some(&b'\n') {
            // Half a record is still being written.
            return Ok(at);
        }
        at += count as u64;
        let text = String::from_utf8_lossy(&line);
        if let Some((kind, text)) = record(text.trim_end_matches('\n')) {
            each(kind, text);
        }
    }
}

fn record(line: &str) -> Option<(Kind, &str)> {
    let (_, rest) = line.split_once(' ')?;
    let (letter, text) = rest.split_once(' ')?;
    let (kind, _) = Kind::ALL.iter().find(|(_, known)| letter.starts_with(*known) && letter.len() == 1)?;
    Some((*kind, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_without_secrets_and_without_halves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let mut transcript = Transcript::open(&path, vec!["sk-ant-123456".into(), "short".into()]).unwrap();
        transcript.write(Kind::Said, "key sk-ant-123456 and short\n").unwrap();
        transcript.write(Kind::Answered, "7").unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"5 O half").unwrap();
        let mut seen = Vec::new();
        let at = read(&path, 0, |kind, text| seen.push((kind, text.to_owned()))).unwrap();
        assert_eq!(seen, [(Kind::Said, "key ••• and short".to_owned()), (Kind::Answered, "7".to_owned())]);
        assert_eq!(at, transcript.bytes());
        file.write_all(b" more\n").unwrap();
        let mut rest = Vec::new();
        read(&path, at, |kind, text| rest.push((kind, text.to_owned()))).unwrap();
        assert_eq!(rest, [(Kind::Said, "half more".to_owned())]);
    }
}
