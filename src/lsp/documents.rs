//! The editor's open buffers: their text as the editor has it, and the way between its positions and ours. Pure.
//!
//! A change costs what it changes plus the shift of the line table, so that typing in a file of 50,000 lines stays cheap.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{
    can::Encoding,
    types::{Position, Range},
};

/// Every open buffer, by the address that the editor gave it.
#[derive(Debug, Default)]
pub struct Documents {
    open: BTreeMap<String, Document>,
    /// The one that was last worked in.
    active: Option<String>,
}

/// One open buffer.
#[derive(Debug, Clone)]
pub struct Document {
    /// The editor's address for it.
    pub uri: String,
    /// The editor's word for its language.
    pub language: String,
    /// The editor's count of its changes.
    pub version: i32,
    text: String,
    /// Where each line begins, bytes.
    starts: Vec<usize>,
}

impl Documents {
    /// A buffer was opened.
    pub fn open(&mut self, uri: &str, language: &str, version: i32, text: String) {
        self.active = Some(uri.to_owned());
        let document = Document::new(uri, language, version, text);
        self.open.insert(uri.to_owned(), document);
    }

    /// A buffer was changed: a range, or all of it.
    pub fn change(&mut self, uri: &str, version: i32, range: Option<Range>, text: &str, encoding: Encoding) {
        // An editor that changes what it never opened is wrong; nothing can be made of a range in nothing.
        let Some(document) = self.open.get_mut(uri) else { return };
        document.version = version;
        match range {
            Some(range) => document.replace(range, text, encoding),
            None => *document = Document::new(uri, &document.language.clone(), version, text.to_owned()),
        }
        self.active = Some(uri.to_owned());
    }

    /// A buffer was closed.
    pub fn close(&mut self, uri: &str) {
        self.open.remove(uri);
        if self.active.as_deref() == Some(uri) {
            self.active = self.open.keys().next().cloned();
        }
    }

    /// Somebody works in this one.
    pub fn work_in(&mut self, uri: &str) {
        if self.open.contains_key(uri) {
            self.active = Some(uri.to_owned());
        }
    }

    /// The one that was last worked in.
    pub fn active(&self) -> Option<&Document> {
        self.open.get(self.active.as_ref()?)
    }

    /// The buffer of this address.
    pub fn get(&self, uri: &str) -> Option<&Document> {
        self.open.get(uri)
    }

    /// The buffer of this file, however the editor writes its address.
    pub fn of_path(&self, path: &Path) -> Option<&Document> {
        self.open.values().find(|document| document.path().as_deref() == Some(path))
    }

    /// Every buffer.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.open.values()
    }
}

impl Document {
    fn new(uri: &str, language: &str, version: i32, text: String) -> Document {
        let starts = std::iter::once(0).chain(line_starts(&text, 0)).collect();
        Document { uri: uri.to_owned(), language: language.to_owned(), version, text, starts }
    }

    /// All of its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file that it shows, where it shows one.
    pub fn path(&self) -> Option<PathBuf> {
        path_of(&self.uri)
    }

    /// How many lines it has; the one behind the last line's end counts.
    pub fn lines(&self) -> usize {
        self.starts.len()
    }

    /// A line without its end; nothing beyond the last.
    pub fn line(&self, number: usize) -> Option<&str> {
        let start = *self.starts.get(number)?;
        let end = self.starts.get(number + 1).copied().unwrap_or(self.text.len());
        Some(self.text[start..end].trim_end_matches(['\n', '\r']))
    }

    /// The text of a range; what lies outside of the document is left out.
    pub fn slice(&self, range: Range, encoding: Encoding) -> &str {
        let (start, end) = self.span(range, encoding);
        &self.text[start..end]
    }

    fn span(&self, range: Range, encoding: Encoding) -> (usize, usize) {
        let (start, end) = (self.offset(range.start, encoding), self.offset(range.end, encoding));
        (start.min(end), start.max(end))
    }

    /// Bytes before a position. Beyond a line's end means its end, as the protocol says; within a character, before it.
    fn offset(&self, position: Position, encoding: Encoding) -> usize {
        let number = position.line as usize;
        let (Some(start), Some(line)) = (self.starts.get(number), self.line(number)) else { return self.text.len() };
        let mut left = position.character as usize;
        for (at, character) in line.char_indices() {
            let width = match encoding {
                Encoding::Utf8 => character.len_utf8(),
                Encoding::Utf16 => character.len_utf16(),
                Encoding::Utf32 => 1,
            };
            if left < width {
                return start + at;
            }
            left -= width;
        }
        start + line.len()
    }

    fn replace(&mut self, range: Range, text: &str, encoding: Encoding) {
        let (start, end) = self.span(range, encoding);
        self.text.replace_range(start..end, text);
        // A line end of two bytes may be cut or joined by the change, so the line before is looked at again, and a line
        // that begins right behind it as well. Those after that only move.
        let first = self.starts.partition_point(|line| *line <= start).saturating_sub(2);
        let kept = self.starts.partition_point(|line| *line <= end + 1);
        let moved: Vec<usize> = self.starts[kept..].iter().map(|line| line - (end - start) + text.len()).collect();
        let from = self.starts[first];
        let until = moved.first().copied().unwrap_or(usize::MAX);
        self.starts.truncate(first + 1);
        self.starts.extend(line_starts(&self.text, from).take_while(|line| *line < until));
        self.starts.extend(moved);
    }
}

/// Where lines begin behind the one that begins at `from`: after `\n`, `\r\n`, or a single `\r`.
fn line_starts(text: &str, from: usize) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    (from..bytes.len()).filter_map(move |at| match bytes[at] {
        b'\n' => Some(at + 1),
        b'\r' if bytes.get(at + 1) != Some(&b'\n') => Some(at + 1),
        _ => None,
    })
}

/// The path that a `file:` address names.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    if !uri.starts_with("file:") {
        return None;
    }
    tower_lsp::ls_types::Uri::from_str(uri).ok()?.to_file_path().map(std::borrow::Cow::into_owned)
}

/// The address of a path.
pub fn uri_of(path: &Path) -> Option<String> {
    tower_lsp::ls_types::Uri::from_file_path(path).map(|uri| uri.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: (u32, u32), to: (u32, u32)) -> Range {
        Range::new(Position::new(from.0, from.1), Position::new(to.0, to.1))
    }

    #[test]
    fn any_change_leaves_the_lines_of_a_fresh_document() {
        let pieces = ["a", "\n", "\r\n", "\r", "bé", "", "x\ny", "😀\r"];
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let mut document = Document::new("file:///a", "x", 0, "one\r\ntwo\rthree\nfour".to_owned());
            for _ in 0..2_000 {
                let (a, b) = (random(document.lines() + 1) as u32, random(6) as u32);
                let (c, d) = (a + random(3) as u32, random(6) as u32);
                let text = [pieces[random(pieces.len())], pieces[random(pieces.len())]].concat();
                document.replace(range((a, b), (c, d)), &text, encoding);
                let fresh = Document::new("file:///a", "x", 0, document.text.clone());
                assert_eq!(document.starts, fresh.starts, "{:?}", document.text);
                if document.text.len() > 200 {
                    document.replace(range((0, 0), (9, 0)), "", encoding);
                }
            }
        }
    }

    #[test]
    fn characters_are_counted_as_agreed() {
        let document = Document::new("file:///a", "x", 0, "é😀z\nnext".to_owned());
        for (encoding, at) in [(Encoding::Utf8, 6), (Encoding::Utf16, 3), (Encoding::Utf32, 2)] {
            assert_eq!(document.slice(range((0, at), (0, at + 1)), encoding), "z", "{encoding:?}");
        }
        assert_eq!(
            document.slice(range((0, 2), (9, 9)), Encoding::Utf16),
            "😀z\nnext",
            "within a character: before it"
        );
        assert_eq!(document.slice(range((1, 2), (0, 99)), Encoding::Utf16), "\nne", "a range the wrong way round");
        assert_eq!((document.line(1), document.line(2)), (Some("next"), None));
    }

    #[test]
    fn a_change_of_what_was_never_opened_is_nothing() {
        let mut documents = Documents::default();
        documents.change("file:///a", 1, Some(range((0, 0), (0, 0))), "x", Encoding::Utf16);
        assert!(documents.get("file:///a").is_none() && documents.active().is_none());
        documents.open("file:///a%20b", "x", 1, "t".into());
        assert_eq!(documents.of_path(Path::new("/a b")).map(Document::text), Some("t"));
        documents.change("file:///a%20b", 2, None, "whole", Encoding::Utf16);
        assert_eq!(documents.active().map(|document| (document.version, document.text())), Some((2, "whole")));
        documents.close("file:///a%20b");
        assert!(documents.active().is_none());
        assert_eq!(uri_of(Path::new("/a b/ü")).as_deref(), Some("file:///a%20b/%C3%BC"));
    }
}
