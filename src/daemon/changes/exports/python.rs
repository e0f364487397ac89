//! Python: what is defined at the top of a module, and in its classes, under a name without an underscore.

use super::{
    ELSEWHERE, Export, Offer, SEPARATOR,
    tokens::{self, Token, closes, find, plain, shown, split},
};

/// What a module offers. Statements begin at a line's first column, or one level in for what is in a class.
pub fn read(text: &str, path: &str) -> Offer {
    let mut offer = Offer::default();
    // A package's own file passes on what it imports; elsewhere an import is nobody else's business.
    let package = path.ends_with("__init__.py");
    let mut class: Option<(String, Option<usize>)> = None;
    for (indent, line, statement) in statements(text) {
        let mut all = tokens::of(&statement);
        all.iter_mut().for_each(|token| token.line = line);
        let Some(first) = all.first() else { continue };
        let prefix = match &mut class {
            _ if indent == 0 => {
                class = None;
                String::new()
            }
            Some((name, level)) if level.is_none_or(|level| level == indent) => {
                *level = Some(indent);
                format!("{name}.")
            }
            // Inside a function, or a branch.
            _ => continue,
        };
        let at = usize::from(first.text == "async");
        let word = |at: usize| all.get(at).map_or("", |token| token.text);
        match word(at) {
            "def" if visible(word(at + 1)) || word(at + 1) == "__init__" => {
                let (signature, end) = function(&all, at + 2);
                let name = format!("{prefix}{}", word(at + 1));
                offer.exports.push(Export { name, signature, shown: shown(&all[..end]), line, grows: true });
            }
            "class" if indent == 0 => {
                class = Some((word(at + 1).to_owned(), None));
                if visible(word(at + 1)) {
                    let head = &all[..find(&all, at, &[":"])];
                    let name = word(at + 1).to_owned();
                    offer.exports.push(Export {
                        name,
                        signature: "class".into(),
                        shown: shown(head),
                        line,
                        grows: false,
                    });
                } else {
                    class = Some((word(at + 1).to_owned(), Some(usize::MAX)));
                }
            }
            "from" | "import" if indent == 0 => {
                let import = find(&all, 0, &["import"]);
                let names = all.get(import + 1..).unwrap_or_default();
                let inner =
                    names.iter().filter(|token| !matches!(token.text, "(" | ")")).copied().collect::<Vec<Token>>();
                for part in split(&inner, &[","]) {
                    let Some(last) = part.last() else { continue };
                    offer.everything |= last.text == "*";
                    let name = last.text.to_owned();
                    if package && visible(&name) && last.is_name() && first.text == "from" {
                        let (signature, shown) = (ELSEWHERE.to_owned(), format!("import {}", shown(part)));
                        offer.exports.push(Export { name: name.clone(), signature, shown, line, grows: false });
                    }
                    offer.also.insert(name);
                }
            }
            name if visible(name) && matches!(word(at + 1), "=" | ":") && first.is_name() && !is_keyword(name) => {
                let head = &all[..1];
                offer.exports.push(Export {
                    name: format!("{prefix}{name}"),
                    signature: "value".into(),
                    shown: shown(head),
                    line,
                    grows: false,
                });
            }
            _ => {}
        }
    }
    offer
}

fn visible(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('_')
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "else" | "try" | "except" | "finally" | "for" | "while" | "with" | "return" | "pass" | "match"
    )
}

/// Parameters by name, with a mark where a caller need not give them, and where the signature ends.
fn function(all: &[Token], open: usize) -> (String, usize) {
    let open = find_open(all, open);
    let close = closes(all, open).min(all.len());
    let mut signature = String::new();
    for parameter in split(all.get(open + 1..close).unwrap_or_default(), &[","]) {
        let name_end = find(parameter, 0, &[":", "="]);
        let name = plain(&parameter[..name_end]);
        let optional = name.starts_with('*') || find(parameter, 0, &["="]) < parameter.len();
        signature.push_str(&name);
        signature.push_str(if optional { "?" } else { "" });
        signature.push(SEPARATOR);
    }
    (signature, find(all, close, &[":"]).min(all.len()))
}

fn find_open(all: &[Token], from: usize) -> usize {
    (from..all.len()).find(|at| all[*at].text == "(").unwrap_or(all.len())
}

/// The statements that begin a line: how far in, on which line, and their text with the lines that their brackets span.
fn statements(text: &str) -> Vec<(usize, u32, String)> {
    let mut found: Vec<(usize, u32, String)> = Vec::new();
    let mut depth = 0i32;
    for (number, line) in (1..).zip(text.lines()) {
        let inside = depth > 0;
        for c in line.chars() {
            depth += i32::from(matches!(c, '(' | '[' | '{')) - i32::from(matches!(c, ')' | ']' | '}'));
        }
        depth = depth.max(0);
        match found.last_mut().filter(|_| inside) {
            Some((_, _, statement)) => {
                statement.push(' ');
                statement.push_str(line.trim());
            }
            None if line.trim().is_empty() => {}
            None => {
                let indent = line.chars().take_while(|c| c.is_whitespace()).count();
                found.push((indent, number, line.trim().to_owned()));
            }
        }
    }
    found
}
