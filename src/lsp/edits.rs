//! A run's result as edits of the editor's buffers. Pure: a patch and the texts as they are now, to edits or a refusal.
//!
//! A hunk fits where all its lines stand as the patch has them; nothing is guessed. What edits cannot say (a mode, a
//! link, bytes) is named, so that the caller can take the other way or refuse.

use serde_json::{Value, json};

use super::{
    can::{Can, Encoding},
    types::{Position, Range},
};

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// Relative to the checkout.
    pub path: String,
    /// What becomes of it.
    pub change: Change,
    hunks: Vec<Hunk>,
    /// Why edits cannot say it.
    opaque: Option<&'static str>,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    Added,
    /// Lines of it change.
    Modified,
    /// It goes.
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Hunk {
    /// The line of the old file at which it begins, from 0.
    start: usize,
    lines: Vec<(Side, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Old,
    New,
}

/// Lines of a text that are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The first line.
    pub first: usize,
    /// The line behind the last.
    pub end: usize,
    /// What stands there then, with line ends.
    pub text: String,
}

/// Reads what `git diff` prints.
pub fn parse(patch: &str) -> Result<Vec<FilePatch>, String> {
    let mut files: Vec<FilePatch> = Vec::new();
    let mut lines = patch.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let plain = line.trim_end_matches(['\n', '\r']);
        if let Some(names) = plain.strip_prefix("diff --git ") {
            let path = second_name(names);
            files.push(FilePatch { path, change: Change::Modified, hunks: Vec::new(), opaque: None });
            continue;
        }
        let Some(file) = files.last_mut() else { continue };
        if let Some(mode) = plain.strip_prefix("new file mode ") {
            file.change = Change::Added;
            if mode != "100644" {
                file.opaque = Some("it is executable, a link or a submodule");
            }
        } else if let Some(mode) = plain.strip_prefix("deleted file mode ") {
            file.change = Change::Deleted;
            if mode.starts_with("12") || mode.starts_with("16") {
                file.opaque = Some("it is a link or a submodule");
            }
        } else if plain.starts_with("old mode ") {
            file.opaque = Some("its mode changes");
        } else if plain.starts_with("rename from ") || plain.starts_with("copy from ") {
            file.opaque = Some("it is renamed");
        } else if plain.starts_with("Binary files ") || plain.starts_with("GIT binary patch") {
            file.opaque = Some("it is not text");
        } else if let Some(name) = plain.strip_prefix("+++ ").filter(|name| *name != "/dev/null") {
            file.path = without_side(&unquoted(name.trim_end_matches('\t')));
        } else if let Some(name) = plain.strip_prefix("--- ").filter(|name| *name != "/dev/null") {
            file.path = without_side(&unquoted(name.trim_end_matches('\t')));
        } else if let Some(head) = plain.strip_prefix("@@ -") {
            let (start, old, new) = spans(head).ok_or_else(|| format!("{plain:?} is no hunk"))?;
            let mut hunk = Hunk { start, lines: Vec::new() };
            let (mut old_left, mut new_left) = (old, new);
            while old_left > 0 || new_left > 0 {
                let line = lines.next().ok_or("the patch ends within a hunk")?;
                let (side, text) = match line.split_at_checked(1) {
                    Some((" ", text)) => (Side::Both, text),
                    Some(("-", text)) => (Side::Old, text),
                    Some(("+", text)) => (Side::New, text),
                    // Said of the line before it.
                    Some(("\\", _)) => {
                        no_newline(&mut hunk);
                        continue;
                    }
                    _ => return Err(format!("{line:?} is no line of a hunk")),
                };
                old_left = old_left.saturating_sub(usize::from(side != Side::New));
                new_left = new_left.saturating_sub(usize::from(side != Side::Old));
                hunk.lines.push((side, text.to_owned()));
            }
            if lines.peek().is_some_and(|line| line.starts_with('\\')) {
                lines.next();
                no_newline(&mut hunk);
            }
            file.hunks.push(hunk);
        }
    }
    Ok(files)
}

fn no_newline(hunk: &mut Hunk) {
    if let Some((_, text)) = hunk.lines.last_mut()
        && text.ends_with('\n')
    {
        text.pop();
    }
}

/// `1,3 +1,4 @@ …`: where the old side begins, and how many lines either side has.
fn spans(head: &str) -> Option<(usize, usize, usize)> {
    let (old, rest) = head.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let span = |text: &str| -> Option<(usize, usize)> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let ((start, old), (_, new)) = (span(old)?, span(new)?);
    // Without old lines the number is that of the line before.
    Some((if old == 0 { start } else { start.checked_sub(1)? }, old, new))
}

/// The second of the two names behind `diff --git`; only used where no line with one name follows.
fn second_name(names: &str) -> String {
    if let Some(at) = names.rfind(" \"b/") {
        return without_side(&unquoted(&names[at + 1..]));
    }
    names.rfind(" b/").map_or_else(|| names.to_owned(), |at| names[at + 3..].to_owned())
}

fn without_side(name: &str) -> String {
    name.split_once('/').map_or(name, |(_, path)| path).to_owned()
}

/// Takes git's quotes off a name.
fn unquoted(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else { return name.to_owned() };
    let bytes = inner.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|digits| digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        match (bytes[at], octal, bytes.get(at + 1)) {
            (b'\\', Some(digits), _) => {
                out.push(digits.iter().fold(0_u8, |sum, digit| sum.wrapping_mul(8).wrapping_add(digit - b'0')));
                at += 4;
            }
            (b'\\', None, Some(escaped)) => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    other => *other,
                });
                at += 2;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The edits that bring a patch into a text, or why it does not fit. `None` = there is no such file now.
pub fn edits(text: Option<&str>, patch: &FilePatch) -> Result<Vec<Edit>, String> {
    if let Some(why) = patch.opaque {
        return Err(why.to_owned());
    }
    let text = match (patch.change, text) {
        (Change::Added, Some(_)) => return Err("it exists already".to_owned()),
        (Change::Modified | Change::Deleted, None) => return Err("it is not there".to_owned()),
        (_, text) => text.unwrap_or(""),
    };
    if text.replace("\r\n", "").contains('\r') {
        return Err("its lines end in a way that edits cannot say".to_owned());
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut found = Vec::new();
    let (mut from, mut shift) = (0, 0_isize);
    for hunk in &patch.hunks {
        let wanted = hunk.start.saturating_add_signed(shift);
        let (at, cut) = fit(&lines, hunk, from, wanted)
            .ok_or_else(|| format!("it was edited where the result changes it, around line {}", wanted + 1))?;
        shift = at as isize - (hunk.start + cut.start) as isize;
        from = at + hunk.lines[cut.clone()].iter().filter(|(side, _)| *side != Side::New).count();
        let mut line = at;
        let mut edit: Option<Edit> = None;
        for (side, text) in &hunk.lines[cut] {
            match side {
                Side::Both => {
                    found.extend(edit.take());
                    line += 1;
                }
                Side::Old => {
                    let edit = edit.get_or_insert(Edit { first: line, end: line, text: String::new() });
                    line += 1;
                    edit.end = line;
                }
                Side::New => {
                    edit.get_or_insert(Edit { first: line, end: line, text: String::new() }).text.push_str(text);
                }
            }
        }
        found.extend(edit);
    }
    if patch.change == Change::Deleted && (lines.len() != from || patch.hunks.len() > 1) {
        return Err("it has more in it than the result takes away".to_owned());
    }
    Ok(found)
}

/// Where a hunk stands, and with which of its lines: all of them at the nearest line, or with up to two lines of its
/// surroundings less where that fits in one place only. Lines that it changes always stand as the patch has them.
fn fit(lines: &[&str], hunk: &Hunk, from: usize, wanted: usize) -> Option<(usize, std::ops::Range<usize>)> {
    let old = |cut: std::ops::Range<usize>| -> Vec<&str> {
        let kept = hunk.lines[cut].iter().filter(|(side, _)| *side != Side::New);
        kept.map(|(_, text)| text.as_str()).collect()
    };
    let whole = 0..hunk.lines.len();
    if let Some(at) = place(lines, &old(whole.clone()), from, wanted) {
        return Some((at, whole));
    }
    let around =
        |lines: &mut dyn Iterator<Item = &(Side, String)>| lines.take_while(|(side, _)| *side == Side::Both).count();
    let (before, after) = (around(&mut hunk.lines.iter()), around(&mut hunk.lines.iter().rev()));
    // One line of what was around stays, or an insertion would fit anywhere.
    let less = |around: usize, less: usize| less.min(around.saturating_sub(1));
    (1..=2).find_map(|by| {
        let cut = less(before, by)..hunk.lines.len() - less(after, by);
        let old = old(cut.clone());
        let mut places = (from..=lines.len().checked_sub(old.len())?).filter(|at| lines[*at..*at + old.len()] == *old);
        match (places.next(), places.next()) {
            (Some(at), None) => Some((at, cut)),
            _ => None,
        }
    })
}

/// The line, nearest to the wanted one, at which all of these lines stand.
fn place(lines: &[&str], old: &[&str], from: usize, wanted: usize) -> Option<usize> {
    let last = lines.len().checked_sub(old.len())?;
    let fits = |at: &usize| (from..=last).contains(at) && lines[*at..*at + old.len()] == *old;
    (0..=lines.len()).find_map(|away| [wanted.checked_sub(away), Some(wanted + away)].into_iter().flatten().find(fits))
}

/// A text with its edits: what the buffer becomes.
pub fn with_edits(text: &str, edits: &[Edit]) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for edit in edits.iter().rev() {
        lines.splice(edit.first..edit.end, [edit.text.clone()]);
    }
    lines.concat()
}

/// The one edit that makes a text another: the lines between those that both begin and end with.
pub fn between(from: &str, to: &str) -> Vec<Edit> {
    let (old, new): (Vec<&str>, Vec<&str>) = (from.split_inclusive('\n').collect(), to.split_inclusive('\n').collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let behind = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(old, new)| old == new).count();
    if (same, same) == (old.len() - behind, new.len() - behind) {
        return Vec::new();
    }
    vec![Edit { first: same, end: old.len() - behind, text: new[same..new.len() - behind].concat() }]
}

/// One file of an edit, ready to be said.
#[derive(Debug)]
pub struct Ready {
    /// The editor's address of it.
    pub uri: String,
    /// The buffer's version, where it is open.
    pub version: Option<i32>,
    /// Its text now.
    pub text: String,
    /// What becomes of it.
    pub change: Change,
    /// The edits of its text.
    pub edits: Vec<Edit>,
}

/// The `WorkspaceEdit`, and whether this editor can take it.
pub fn workspace_edit(files: &[Ready], can: &Can, label: &str) -> Result<Value, &'static str> {
    if !can.apply_edit || !can.versioned_edits {
        return Err("this editor takes no edits that are bound to a version");
    }
    let mut changes = Vec::new();
    for file in files {
        match file.change {
            Change::Added if !can.create_files => return Err("this editor makes no files on request"),
            Change::Deleted if !can.delete_files => return Err("this editor deletes no files on request"),
            Change::Deleted => {
                changes.push(json!({"kind": "delete", "uri": file.uri, "options": {"ignoreIfNotExists": false}}));
                continue;
            }
            Change::Added => {
                changes.push(json!({"kind": "create", "uri": file.uri, "options": {"overwrite": false}}));
            }
            Change::Modified => {}
        }
        let edits: Vec<Value> = file.edits.iter().map(|edit| edit_wire(edit, &file.text, can)).collect();
        changes.push(json!({"textDocument": {"uri": file.uri, "version": file.version}, "edits": edits}));
    }
    let mut edit = json!({"documentChanges": changes});
    if can.annotations {
        edit["changeAnnotations"] = json!({"result": {"label": label, "needsConfirmation": false}});
    }
    Ok(edit)
}

fn edit_wire(edit: &Edit, text: &str, can: &Can) -> Value {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let position = |line: usize| match lines.get(line) {
        // The last line may have no end to stand behind.
        None if line > 0 && !text.ends_with('\n') && !text.is_empty() => {
            Position::new(line as u32 - 1, width(lines[line - 1], can.encoding))
        }
        _ => Position::new(line as u32, 0),
    };
    let mut wire = json!({"range": Range::new(position(edit.first), position(edit.end)), "newText": edit.text});
    if can.annotations {
        wire["annotationId"] = "result".into();
    }
    wire
}

fn width(line: &str, encoding: Encoding) -> u32 {
    let width = match encoding {
        Encoding::Utf8 => line.len(),
        Encoding::Utf16 => line.encode_utf16().count(),
        Encoding::Utf32 => line.chars().count(),
    };
    width as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "diff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ b/src/a.rs\n\
        @@ -1,4 +1,5 @@\n one\n-two\n+zwei\n+zwei and a half\n three\n four\n@@ -9,2 +10,2 @@ context\n nine\n-ten\n\\ No newline at end of file\n+zehn\n\
        diff --git a/new.txt b/new.txt\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+hello\n\
        diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n\
        diff --git \"a/\\303\\274.txt\" \"b/\\303\\274.txt\"\ndeleted file mode 100644\nindex 1..0\n--- \"a/\\303\\274.txt\"\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n";

    const TEXT: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten";

    #[test]
    fn a_patch_becomes_the_edits_that_make_the_result() {
        let files = parse(PATCH).unwrap();
        let names: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.change)).collect();
        assert_eq!(
            names,
            [
                ("src/a.rs", Change::Modified),
                ("new.txt", Change::Added),
                ("run.sh", Change::Modified),
                ("ü.txt", Change::Deleted)
            ]
        );
        let found = edits(Some(TEXT), &files[0]).unwrap();
        assert_eq!(
            with_edits(TEXT, &found),
            "one\nzwei\nzwei and a half\nthree\nfour\nfive\nsix\nseven\neight\nnine\nzehn\n"
        );
        assert_eq!(with_edits("", &edits(None, &files[1]).unwrap()), "hello\n");
        assert_eq!(edits(Some("x"), &files[2]).unwrap_err(), "its mode changes");
        assert_eq!(with_edits("gone\n", &edits(Some("gone\n"), &files[3]).unwrap()), "");
    }

    #[test]
    fn unsaved_lines_elsewhere_stay_and_those_in_the_way_refuse() {
        let file = &parse(PATCH).unwrap()[0];
        let edited = TEXT.replace("six\n", "six\nunsaved\n").replace("one\n", "zero\none\n");
        let made = with_edits(&edited, &edits(Some(&edited), file).unwrap());
        assert!(made.starts_with("zero\none\nzwei\n") && made.contains("six\nunsaved\n") && made.ends_with("zehn\n"));
        let why = edits(Some(&TEXT.replace("two", "mine")), file).unwrap_err();
        assert_eq!(why, "it was edited where the result changes it, around line 1");
        let near = edits(Some(&TEXT.replace("four", "vier")), file).unwrap();
        assert!(
            with_edits(&TEXT.replace("four", "vier"), &near).starts_with("one\nzwei\nzwei and a half\nthree\nvier\n")
        );
        let twice = format!("one\ntwo\nthree\nmine\n{}", TEXT.replace("four", "vier"));
        assert!(edits(Some(&twice), file).is_err(), "it would fit in two places");
        assert_eq!(edits(None, file).unwrap_err(), "it is not there");
        assert_eq!(edits(Some("a\rb"), file).unwrap_err(), "its lines end in a way that edits cannot say");
        let files = parse(PATCH).unwrap();
        assert_eq!(edits(Some(""), &files[1]).unwrap_err(), "it exists already");
        assert_eq!(edits(Some("gone\nmore\n"), &files[3]).unwrap_err(), "it has more in it than the result takes away");
    }

    #[test]
    fn what_an_editor_cannot_take_is_said() {
        let ready = |change, text: &str, edits| Ready {
            uri: "file:///a".into(),
            version: Some(3),
            text: text.into(),
            change,
            edits,
        };
        let edit = Edit { first: 1, end: 2, text: "x\n".into() };
        let can = Can { apply_edit: true, versioned_edits: true, annotations: true, ..Can::default() };
        let made = workspace_edit(&[ready(Change::Modified, "a\nb😀", vec![edit])], &can, "R-1").unwrap();
        let change = &made["documentChanges"][0];
        assert_eq!(change["textDocument"]["version"], 3);
        assert_eq!(change["edits"][0]["range"]["end"], json!({"line": 1, "character": 3}), "no line behind the last");
        assert_eq!(made["changeAnnotations"]["result"]["label"], "R-1");
        assert!(workspace_edit(&[ready(Change::Added, "", vec![])], &can, "R-1").is_err());
        assert!(workspace_edit(&[], &Can::default(), "R-1").is_err());
    }

    #[test]
    fn half_a_patch_is_refused() {
        assert!(parse("diff --git a/a b/a\n@@ -1,2 +1,2 @@\n x\n").is_err());
        assert!(parse("diff --git a/a b/a\n@@ nonsense @@\n").unwrap()[0].hunks.is_empty());
        assert!(parse("diff --git a/a b/a\n@@ -x +1 @@\n").is_err());
        assert_eq!(parse("").unwrap(), []);
    }
}
