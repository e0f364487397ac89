//! Programs inside programs: what a sed or awk script may do, and what code or SQL given on the command line destroys.

use std::sync::LazyLock;

use regex::Regex;

/// Whether a sed script only edits what flows through it: no `e`, `w`, `r`, and no such flag of `s`.
pub fn sed_only_edits(script: &str) -> bool {
    let mut rest: &[u8] = script.as_bytes();
    loop {
        rest = trim(rest, b" \t\n;{}");
        if rest.is_empty() {
            return true;
        }
        let Some(after) = addresses(rest) else { return false };
        rest = trim(after, b" \t!");
        let Some((&command, after)) = rest.split_first() else { return true };
        rest = match command {
            b'{' | b'}' | b'\n' | b';' | b'=' | b'd' | b'D' | b'g' | b'G' | b'h' | b'H' | b'n' | b'N' | b'p' | b'P'
            | b'x' | b'z' => after,
            b'l' | b'q' | b'Q' => trim(after, b" 0123456789"),
            b'#' | b'a' | b'i' | b'c' => match after.iter().position(|byte| *byte == b'\n') {
                // A backslash goes on to the next line.
                Some(end) if end > 0 && after[end - 1] == b'\\' => {
                    return !script.contains("\\\n}") && plain_text(after);
                }
                Some(end) => &after[end..],
                None => return true,
            },
            b':' | b'b' | b't' | b'T' => {
                let end = after.iter().position(|byte| matches!(byte, b'\n' | b';' | b'}')).unwrap_or(after.len());
                &after[end..]
            }
            b'y' | b's' => {
                let Some(after) = delimited(after, 2) else { return false };
                let flags = if command == b's' { b"gpiIM0123456789".as_slice() } else { b"" };
                trim(after, flags)
            }
            _ => return false,
        };
        // After a command comes its end, or it was something else.
        let rest_trimmed = trim(rest, b" \t");
        if !matches!(rest_trimmed.first(), None | Some(b';' | b'\n' | b'}' | b'#' | b'{')) && !takes_next(command) {
            return false;
        }
        rest = rest_trimmed;
    }
}

/// Only an opening brace may be followed by another command directly.
fn takes_next(command: u8) -> bool {
    matches!(command, b'{')
}

/// Whether the text of an `a`, `i` or `c` is all that is left; what follows several lines down is not worth the risk.
fn plain_text(rest: &[u8]) -> bool {
    rest.split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\\"))
}

fn trim<'a>(text: &'a [u8], these: &[u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !these.contains(byte)).unwrap_or(text.len());
    &text[end..]
}

fn addresses(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        rest = match rest.first() {
            Some(byte) if byte.is_ascii_digit() || matches!(byte, b'$' | b'+' | b'~') => &rest[1..],
            Some(b',' | b' ') => &rest[1..],
            Some(b'/') => trim(delimited(rest, 1)?, b"IM"),
            Some(b'\\') => trim(delimited(&rest[1..], 1)?, b"IM"),
            _ => return Some(rest),
        };
    }
}

/// What follows `parts` parts that end with the delimiter at the beginning.
fn delimited(text: &[u8], parts: usize) -> Option<&[u8]> {
    let delimiter = *text.first()?;
    if matches!(delimiter, b'\n' | b'\\') {
        return None;
    }
    let (mut at, mut found, mut bracket) = (1, 0, false);
    while found < parts {
        match *text.get(at)? {
            b'\\' => at += 1,
            b'[' if found == 0 => bracket = true,
            b']' => bracket = false,
            byte if byte == delimiter => {
                // Inside brackets sed programs differ; where it matters, this one does not understand.
                if bracket && text[at..].contains(&b']') {
                    return None;
                }
                found += 1;
            }
            _ => {}
        }
        at += 1;
    }
    text.get(at..)
}

/// Whether an awk program only computes and prints: no commands, no files of its own, no environment.
pub fn awk_only_prints(program: &str) -> bool {
    let code = awk_code(program);
    let Some(code) = code else { return false };
    let words: Vec<&str> = code.split(|char: char| !char.is_alphanumeric() && char != '_').collect();
    if ["system", "getline", "ENVIRON", "PROCINFO", "SYMTAB", "extension"].iter().any(|word| words.contains(word)) {
        return false;
    }
    let without_or = code.replace("||", "  ");
    if without_or.contains(['|', '@', '`']) {
        return false;
    }
    // `>` after a print is a file; before it, or as `>=`, it compares.
    code.split([';', '{', '}', '\n']).all(|statement| {
        let statement = statement.replace(">=", "  ");
        match (statement.find("print"), statement.rfind('>')) {
            (Some(print), Some(arrow)) => arrow < print,
            _ => true,
        }
    })
}

/// The program with strings and patterns blanked.
fn awk_code(program: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = program.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                let mut closed = false;
                while let Some(char) = chars.next() {
                    match char {
                        '\\' => drop(chars.next()),
                        '"' => {
                            closed = true;
                            break;
                        }
                        _ => {}
                    }
                }
                if !closed {
                    return None;
                }
                out.push_str(" S ");
            }
            '/' => {
                let before = out.trim_end().chars().next_back();
                if before.is_some_and(|char| !"(,{;!~&|=}\n".contains(char)) {
                    out.push('/');
                    continue;
                }
                let mut closed = false;
                while let Some(char) = chars.next() {
                    match char {
                        '\\' => drop(chars.next()),
                        '/' => {
                            closed = true;
                            break;
                        }
                        '\n' => break,
                        _ => {}
                    }
                }
                if !closed {
                    return None;
                }
                out.push_str(" R ");
            }
            '#' => while chars.next_if(|char| *char != '\n').is_some() {},
            char => out.push(char),
        }
    }
    Some(out)
}

static CODE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?x) shutil\.(rmtree|move) | \bos\.(remove|unlink|rmdir|removedirs|truncate)\b | \.unlink\( | \brmtree\b
        | \bpty\.spawn | \bos\.exec[lv] | \bexec\s*\(?\s*["']/?(usr/)?(bin/)?(ba|z|da|k)?sh | ["']/bin/(ba|z|da|k)?sh["']
        | \b(rm|rmdir|unlink)Sync\b | \bfs\.(rm|rmdir|unlink)\b | \bunlink\b | \bFileUtils\.(rm|remove) | \bFile\.(delete|unlink)\b
        | \bDir\.(rmdir|delete|unlink)\b | \brmtree\s*\( | \brm\s+-\w*[rf] | \bmkfs | \bdd\s+.*of=/dev
        | (b64decode|base64|fromhex|decompress|marshal).{0,120}\b(exec|eval)\b | \b(exec|eval)\b.{0,120}(b64decode|base64|fromhex|decompress|marshal|urlopen|requests\.get)
        | \bsocket\b.{0,200}\b(dup2|subprocess|/bin/(ba)?sh|exec) | \bsetuid\b
        "#,
    )
    .expect("a pattern")
});

/// Why code in some language is dangerous, by the words that such code has.
pub fn code_danger(code: &str) -> Option<String> {
    let found = CODE.find(code)?;
    Some(format!("its code destroys or opens a shell: `{}`", found.as_str().chars().take(40).collect::<String>()))
}

static SQL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?is)\b(drop\s+(table|database|schema|user|role|view|index|column|keyspace|collection|owned)|truncate(\s+table)?\s+\w|alter\s+table\s+\S+\s+drop|(create|alter)\s+(user|role)|grant\s+all|revoke\s|flush(all|db)\b|dropdatabase|\.drop\(|deletemany|\.remove\(\s*\{?\s*\}?\s*\)|into\s+outfile|xp_cmdshell|copy\s.+\bprogram\b)",
    )
    .expect("a pattern")
});
static DELETE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?is)\b(delete\s+from\s+\S+|update\s+\S+\s+set\b)").expect("a pattern"));

/// Why a statement for a database is dangerous.
pub fn sql_danger(text: &str) -> Option<String> {
    let statement =
        |found: &str| format!("`{}` cannot be taken back", found.split_whitespace().collect::<Vec<_>>().join(" "));
    if let Some(found) = SQL.find(text) {
        return Some(statement(found.as_str()));
    }
    let found = DELETE.find(text)?;
    let deletes = found.as_str().to_lowercase().starts_with("delete");
    let all = !text.to_lowercase().contains("where");
    (deletes || all).then(|| statement(found.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sed_scripts_that_only_edit() {
        for script in [
            "s/foo/bar/g",
            "10,20p",
            "/^$/d",
            "1!G;h;$!d",
            "$!N;P;D",
            "s|a|b|;s,c,d,2p",
            "/a/,/b/{s/x/y/;p}",
            "y/abc/xyz/",
            "1~2d",
            r"s/\/w/\/e/",
            "a hello w x",
            "/x/I,+3d",
            "5q",
            ":a;N;$!ba;s/\\n/ /g",
            "s/a/b/w0".trim_end_matches("w0"),
            "=",
        ] {
            assert!(sed_only_edits(script), "{script}");
        }
        for script in [
            "w out",
            "s/a/b/w out",
            "s/a/b/e",
            "1e date",
            "e",
            "r /etc/shadow",
            "s/a/b/ge",
            "/a/w x",
            "s/a",
            "1,2{w x}",
            "s/a/b/;w x",
            "s/[/]/x/e",
            "R x",
            "W x",
            "F",
            "s/a/b/gw x",
            "p w x",
            "\\",
        ] {
            assert!(!sed_only_edits(script), "{script}");
        }
    }

    #[test]
    fn awk_programs_that_only_print() {
        for program in [
            "{print $1}",
            "$3 >= 1000 {print $1}",
            "NR%2==0",
            "length > 80",
            "{a[$1]++} END {for (k in a) print a[k], k}",
            r#"BEGIN { printf "%d > | system\n", 3 * 4 }"#,
            "/a|b>c/ { print }",
            "$1 ~ /x/ || $2 > 3 {print}",
            "{ x = y / 2 / 3; print x }",
        ] {
            assert!(awk_only_prints(program), "{program}");
        }
        for program in [
            r#"{print > "out"}"#,
            r#"BEGIN{system("ls")}"#,
            r#""date" | getline d"#,
            r#"{ print $1 | "sort" }"#,
            "{ print ENVIRON[1] }",
            r#"@load "x""#,
            r#"{ print >> "x" }"#,
            r#"{ if (1) print $1 > "x" }"#,
            "getline x",
            "\"",
            r#"{ "a" |& getline }"#,
            "{ printf(\"x\") > f }",
            "{ @f() }",
        ] {
            assert!(!awk_only_prints(program), "{program}");
        }
    }

    #[test]
    fn code_and_statements_that_destroy() {
        assert!(code_danger("import shutil; shutil.rmtree('/x')").is_some());
        assert!(code_danger("import pty; pty.spawn('/bin/sh')").is_some());
        assert!(code_danger("print(1)").is_none());
        assert!(sql_danger("DROP  TABLE users").is_some());
        assert!(sql_danger("delete from t").is_some());
        assert!(sql_danger("update t set a = 1").is_some());
        assert!(sql_danger("select * from t where a = 'x'").is_none());
        assert!(sql_danger("update t set a = 1 where b = 2").is_none());
    }
}
