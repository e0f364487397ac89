//! Whether two tasks may write the same path: the question whether two sets of globs can match one path.
//!
//! Never "no" when the answer is "yes"; "yes" when in doubt, because then two tasks merely run one after the other.
//! Globs are those of plans: `/` separates; `**` as a whole component spans any number of them; `*`, `?`,
//! `[a-z]`, `[!a-z]`, `{a,b}` and `\x` stay within one. What names a folder covers everything below it: a glob
//! that ends in `/` or in a plain name without a dot, and any glob beside one that spells out a path below it.

/// Whether some path may be matched by a glob of each side. With `fold_case` (the file system ignores case) letters
/// are compared without it, and characters beyond ASCII, which such systems also normalise, match anything.
pub fn overlaps(a: &[String], b: &[String], fold_case: bool) -> bool {
    a.iter().any(|left| b.iter().any(|right| meet(left, right, fold_case)))
}

/// How many alternatives of braces are looked at before the answer is "may be".
const ALTERNATIVES_MAX: usize = 64;

/// A piece of one path component.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Letter(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// Ranges, and whether they are excluded.
    Class(Vec<(char, char)>, bool),
}

/// A path component.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// `**`
    Deep,
    Name(Vec<Piece>),
}

fn meet(left: &str, right: &str, fold_case: bool) -> bool {
    if differ_early(left, right, fold_case) {
        return false;
    }
    let (Some(lefts), Some(rights)) = (alternatives(left), alternatives(right)) else { return true };
    let parse = |texts: Vec<String>| texts.iter().map(|text| parts(text, fold_case)).collect::<Option<Vec<_>>>();
    let (Some(lefts), Some(rights)) = (parse(lefts), parse(rights)) else { return true };
    lefts.iter().any(|left| rights.iter().any(|right| paths_meet(left, right)))
}

/// The usual case without any allocation: the plain beginnings of the two already differ.
fn differ_early(left: &str, right: &str, fold_case: bool) -> bool {
    let plain = |glob: &str| !glob.starts_with(['/', '.']) && !glob.contains("//") && !glob.contains("/.");
    if !plain(left) || !plain(right) {
        return false;
    }
    for (a, b) in left.bytes().zip(right.bytes()) {
        let special = |byte: u8| b"*?[]{}\\!,".contains(&byte) || (fold_case && !byte.is_ascii());
        if special(a) || special(b) {
            return false;
        }
        if a != b && !(fold_case && a.eq_ignore_ascii_case(&b)) {
            return true;
        }
    }
    false
}

/// The glob with its braces written out; `None` = too many, or braces that do not match.
fn alternatives(glob: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![glob.to_owned()];
    while let Some(text) = open.pop() {
        let Some(braces) = first_braces(&text)? else {
            done.push(text);
            if done.len() > ALTERNATIVES_MAX {
                return None;
            }
            continue;
        };
        for choice in braces.choices {
            open.push(format!("{}{}{}", &text[..braces.start], &text[choice], &text[braces.end..]));
        }
        if open.len() > ALTERNATIVES_MAX {
            return None;
        }
    }
    Some(done)
}

struct Braces {
    start: usize,
    end: usize,
    choices: Vec<std::ops::Range<usize>>,
}

/// The outermost first pair of braces; the outer `None` = they do not match.
fn first_braces(text: &str) -> Option<Option<Braces>> {
    let mut depth = 0;
    let mut in_class = false;
    let mut start = 0;
    let mut from = 0;
    let mut choices = Vec::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '{' => {
                depth += 1;
                if depth == 1 {
                    (start, from) = (at, at + 1);
                }
            }
            ',' if depth == 1 => {
                choices.push(from..at);
                from = at + 1;
            }
            '}' if depth == 0 => return None,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    choices.push(from..at);
                    return Some(Some(Braces { start, end: at + 1, choices }));
                }
            }
            _ => {}
        }
    }
    if depth == 0 { Some(None) } else { None }
}

/// The components of a glob without braces; `None` = not understood (`..`, a leading `!`, an unfinished class).
fn parts(glob: &str, fold_case: bool) -> Option<Vec<Part>> {
    if glob.starts_with('!') {
        return None;
    }
    let mut parts = Vec::new();
    for component in glob.split('/') {
        match component {
            "" | "." => {}
            ".." => return None,
            "**" => parts.push(Part::Deep),
            _ => parts.push(Part::Name(pieces(component, fold_case)?)),
        }
    }
    let last = glob.rsplit('/').next().unwrap_or_default();
    if !last.contains(['.', '*', '?', '[', '\\']) && parts.last() != Some(&Part::Deep) {
        parts.push(Part::Deep);
    }
    Some(parts)
}

fn pieces(component: &str, fold_case: bool) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut letters = component.chars();
    while let Some(letter) = letters.next() {
        let piece = match letter {
            '*' => Piece::Star,
            '?' => Piece::Any,
            '[' => class(&mut letters, fold_case)?,
            '\\' => literal(letters.next()?, fold_case),
            _ => literal(letter, fold_case),
        };
        if piece != Piece::Star || pieces.last() != Some(&Piece::Star) {
            pieces.push(piece);
        }
    }
    Some(pieces)
}

fn literal(letter: char, fold_case: bool) -> Piece {
    match (fold_case, letter.is_ascii()) {
        (false, _) => Piece::Letter(letter),
        (true, true) => Piece::Letter(letter.to_ascii_lowercase()),
        (true, false) => Piece::Star,
    }
}

/// What follows a `[`. Under folding a class is taken for any letter: working out its folded ranges is not worth it.
fn class(letters: &mut std::str::Chars<'_>, fold_case: bool) -> Option<Piece> {
    let mut inside: Vec<char> = Vec::new();
    loop {
        match letters.next()? {
            // Directly after the bracket (or the negation) a `]` is one of the letters.
            ']' if !(inside.is_empty() || matches!(inside[..], ['!' | '^'])) => break,
            letter => inside.push(letter),
        }
    }
    if fold_case {
        let beyond_ascii = inside.iter().any(|letter| !letter.is_ascii());
        return Some(if beyond_ascii { Piece::Star } else { Piece::Any });
    }
    let negated = matches!(inside[0], '!' | '^');
    let mut rest = &inside[usize::from(negated)..];
    let mut ranges = Vec::new();
    loop {
        rest = match *rest {
            [] => return Some(Piece::Class(ranges, negated)),
            [from, '-', to, ..] => {
                ranges.push((from, to));
                &rest[3..]
            }
            [letter, ..] => {
                ranges.push((letter, letter));
                &rest[1..]
            }
        };
    }
}

/// Whether two component lists can match one path, or one spells out a path below the other.
///
/// `reach[i][j]` tells whether the first `i` components of the left and `j` of the right can match the same path.
fn paths_meet(left: &[Part], right: &[Part]) -> bool {
    let name_only = |(a, b): (&Part, &Part)| match (a, b) {
        (Part::Name(a), Part::Name(b)) => names_meet(a, b),
        _ => false,
    };
    if left.iter().zip(right).all(name_only) {
        return true;
    }
    let mut reach = vec![vec![false; right.len() + 1]; left.len() + 1];
    reach[0][0] = true;
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            if !reach[i][j] {
                continue;
            }
            let (a, b) = (left.get(i), right.get(j));
            // A `**` stands for nothing, or takes the other side's next component and stays.
            if a == Some(&Part::Deep) {
                reach[i + 1][j] = true;
                if b.is_some() {
                    reach[i][j + 1] = true;
                }
            }
            if b == Some(&Part::Deep) {
                reach[i][j + 1] = true;
                if a.is_some() {
                    reach[i + 1][j] = true;
                }
            }
            if let (Some(Part::Name(a)), Some(Part::Name(b))) = (a, b)
                && names_meet(a, b)
            {
                reach[i + 1][j + 1] = true;
            }
        }
    }
    reach[left.len()][right.len()]
}

/// Whether two components can match one name.
fn names_meet(left: &[Piece], right: &[Piece]) -> bool {
    let mut reach = vec![vec![false; right.len() + 1]; left.len() + 1];
    reach[0][0] = true;
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            if !reach[i][j] {
                continue;
            }
            let (a, b) = (left.get(i), right.get(j));
            if a == Some(&Piece::Star) {
                reach[i + 1][j] = true;
                if b.is_some() {
                    reach[i][j + 1] = true;
                }
            }
            if b == Some(&Piece::Star) {
                reach[i][j + 1] = true;
                if a.is_some() {
                    reach[i + 1][j] = true;
                }
            }
            if let (Some(a), Some(b)) = (a, b)
                && letters_meet(a, b)
            {
                reach[i + 1][j + 1] = true;
            }
        }
    }
    reach[left.len()][right.len()]
}

fn letters_meet(a: &Piece, b: &Piece) -> bool {
    match (a, b) {
        (Piece::Letter(a), Piece::Letter(b)) => a == b,
        (Piece::Letter(letter), Piece::Class(ranges, negated))
        | (Piece::Class(ranges, negated), Piece::Letter(letter)) => {
            ranges.iter().any(|(from, to)| from <= letter && letter <= to) != *negated
        }
        (Piece::Class(a, false), Piece::Class(b, false)) => {
            a.iter().any(|(from, to)| b.iter().any(|(other_from, other_to)| from <= other_to && other_from <= to))
        }
        // Two classes of which one is an exclusion nearly always share a letter.
        (Piece::Class(..), Piece::Class(..)) => true,
        (Piece::Any | Piece::Star, _) | (_, Piece::Any | Piece::Star) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(a: &str, b: &str, fold_case: bool) -> bool {
        let (a, b) = ([a.to_owned()], [b.to_owned()]);
        let there = overlaps(&a, &b, fold_case);
        assert_eq!(there, overlaps(&b, &a, fold_case), "{a:?} and {b:?}: the answer depends on the side");
        there
    }

    #[test]
    fn globs_that_share_a_path() {
        for (a, b) in [
            ("src/auth/**", "src/auth/token.rs"),
            ("src/auth/**", "src/**/token.rs"),
            ("**/*.rs", "src/a/b/c.rs"),
            ("**", "anything/at/all"),
            ("*.md", "README.*"),
            ("src/a?c.rs", "src/*bc.rs"),
            ("src/[a-f]*.rs", "src/[e-z]x.rs"),
            ("src/[!a]x.rs", "src/bx.rs"),
            ("src/{auth,db}/**", "src/db/pool.rs"),
            ("{a,b/{c,d}}/x", "b/d/x"),
            ("./src/a.rs", "src//a.rs"),
            ("src/auth", "src/auth/token.rs"),
            ("src/auth/", "src/auth/**/x"),
            ("src/**/x", "src/x"),
            ("**/a/**", "b/**/a"),
            ("../other/**", "src/x"),
            ("!src/x", "lib/y"),
            ("src/[unfinished", "src/y"),
            ("src/{unfinished", "src/y"),
            ("src/auth", "**/*.rs"),
            ("src/auth.d/", "**/*.rs"),
            ("src/auth.d", "src/auth.d/x.rs"),
            ("a\\*b", "a*b"),
        ] {
            assert!(both(a, b, false), "{a} and {b} can match one path");
        }
    }

    #[test]
    fn globs_that_share_none() {
        for (a, b) in [
            ("src/auth/**", "src/db/**"),
            ("src/*.rs", "src/auth/token.rs"),
            ("*.md", "src/a.md"),
            ("**/*.rs", "docs/a.md"),
            ("src/[a-f]x.rs", "src/[g-z]x.rs"),
            ("src/[!b]x.rs", "src/bx.rs"),
            ("src/a?.rs", "src/a.rs"),
            ("src/{auth,db}/**", "src/web/pool.rs"),
            ("src/[unfinished", "lib/y"),
            ("SRC/a.rs", "src/a.rs"),
            ("a\\*b", "axb"),
            ("./docs/a", "src/a"),
        ] {
            assert!(!both(a, b, false), "{a} and {b} cannot match one path");
        }
        assert!(!overlaps(&[], &["**".to_owned()], false), "who writes nothing meets nobody");
    }

    #[test]
    fn folding_case_and_form() {
        assert!(both("SRC/A.rs", "src/a.RS", true));
        assert!(both("src/\u{e9}t\u{e9}.rs", "src/e\u{301}te\u{301}.rs", true), "the two ways to write é");
        assert!(both("src/\u{212a}ey", "src/key", true), "the Kelvin sign folds to k");
        assert!(both("src/[A-C]x", "src/bx", true));
        assert!(!both("SRC/A.rs", "src/b.rs", true));
        assert!(!both("src/a/**", "SRC/b/**", true));
    }

    /// Every pair of small globs against the matcher that the lanes use: where some short path matches both, the
    /// answer must be yes.
    #[test]
    fn never_no_where_a_path_matches_both() {
        let components = ["a", "b", "*", "**", "a*", "?", "[ab]", "{a,b}", "*b"];
        let mut globs: Vec<String> = components.iter().map(|one| one.to_string()).collect();
        for one in components {
            globs.extend(components.iter().map(|two| format!("{one}/{two}")));
        }
        let names = ["a", "b", "ab", "bb"];
        let mut paths: Vec<String> = names.iter().map(|one| one.to_string()).collect();
        for one in names {
            for two in names {
                paths.push(format!("{one}/{two}"));
                paths.extend(names.iter().map(|three| format!("{one}/{two}/{three}")));
            }
        }
        let matched: Vec<Vec<bool>> = globs
            .iter()
            .map(|glob| {
                let glob = globset::GlobBuilder::new(glob).literal_separator(true).build().unwrap().compile_matcher();
                paths.iter().map(|path| glob.is_match(path)).collect()
            })
            .collect();
        let (mut shared, mut apart) = (0, 0);
        for (left, left_matched) in globs.iter().zip(&matched) {
            for (right, right_matched) in globs.iter().zip(&matched) {
                if left_matched.iter().zip(right_matched).any(|(a, b)| *a && *b) {
                    shared += 1;
                    assert!(both(left, right, false), "{left} and {right} match one path");
                } else if !both(left, right, false) {
                    apart += 1;
                }
            }
        }
        assert!(shared > 1000 && apart > 500, "{shared} shared, {apart} apart: the test looks at both");
    }
}
