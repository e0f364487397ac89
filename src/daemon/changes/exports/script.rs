//! JavaScript and TypeScript: what is exported, by either of their ways.

use super::{
    ELSEWHERE, Export, Offer, SEPARATOR, export,
    tokens::{Token, closes, find, plain, shown, split},
};

/// What a file offers.
pub fn read(tokens: &[Token]) -> Offer {
    let mut offer = Offer::default();
    let mut at = 0;
    while at < tokens.len() {
        let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
        match word(at) {
            "{" | "(" | "[" => at = closes(tokens, at) + 1,
            "export" => at = exported(tokens, at, &mut offer),
            "module" if word(at + 2) == "exports" && word(at + 1) == "." => {
                at = assigned(tokens, at, at + 3, &mut offer)
            }
            "exports" if word(at + 1) == "." => at = assigned(tokens, at, at + 1, &mut offer),
            _ => at += 1,
        }
    }
    offer
}

/// `module.exports = {…}`, `exports.name = …`: `from` is behind the word.
fn assigned(tokens: &[Token], start: usize, from: usize, offer: &mut Offer) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    if word(from) == "." && word(from + 2) == "=" {
        let head = &tokens[start..from + 2];
        offer.exports.push(export(word(from + 1).to_owned(), "value".into(), head));
        return from + 3;
    }
    if word(from) == "=" && word(from + 1) == "{" {
        let end = closes(tokens, from + 1);
        for part in split(&tokens[from + 2..end.min(tokens.len())], &[","]) {
            if part[0].text == "..." {
                offer.everything = true;
            } else if part[0].is_name() {
                offer.exports.push(export(part[0].text.to_owned(), "value".into(), &part[..1]));
            }
        }
        return end + 1;
    }
    if word(from) == "=" {
        offer.exports.push(export("default".into(), "default".into(), &tokens[start..from]));
    }
    from + 1
}

/// Reads one `export`; where it ends.
fn exported(tokens: &[Token], start: usize, offer: &mut Offer) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut at = start + 1;
    if word(at) == "type" && word(at + 1) == "{" {
        at += 1;
    }
    match word(at) {
        "{" => {
            let end = closes(tokens, at);
            for part in split(&tokens[at + 1..end.min(tokens.len())], &[","]) {
                let Some(last) = part.last() else { continue };
                offer.exports.push(export(last.text.to_owned(), ELSEWHERE.into(), part));
                offer.also.insert(last.text.to_owned());
            }
            return end + 1;
        }
        "*" if word(at + 1) == "as" => {
            offer.exports.push(export(
                word(at + 2).to_owned(),
                ELSEWHERE.into(),
                &tokens[start..(at + 3).min(tokens.len())],
            ));
            return at + 3;
        }
        "*" => {
            offer.everything = true;
            return at + 1;
        }
        _ => {}
    }
    let default = word(at) == "default";
    at += usize::from(default);
    while matches!(word(at), "declare" | "abstract" | "async") && tokens.get(at + 1).is_some_and(Token::is_name) {
        at += 1;
    }
    let keyword = word(at);
    let star = usize::from(word(at + 1) == "*");
    let named = tokens.get(at + 1 + star).filter(|token| token.is_name()).map(|token| token.text);
    let name = if default { Some("default") } else { named };
    match (keyword, name) {
        ("function", Some(name)) => {
            let open = (at..tokens.len()).find(|at| tokens[*at].text == "(").unwrap_or(tokens.len());
            let end = head_end(tokens, closes(tokens, open) + 1);
            offer.exports.push(function(name.to_owned(), tokens, start, open));
            if word(end) == "{" { closes(tokens, end) + 1 } else { end }
        }
        ("class", Some(name)) => {
            let body = find(tokens, at, &["{"]);
            let end = closes(tokens, body);
            offer.exports.push(export(name.to_owned(), "class".into(), &tokens[start..body]));
            methods(&tokens[(body + 1).min(tokens.len())..end.min(tokens.len())], name, offer);
            end + 1
        }
        ("interface" | "enum" | "namespace", Some(name)) | ("const", Some(name))
            if keyword != "const" || named == Some("enum") =>
        {
            let name = if keyword == "const" { word(at + 2) } else { name };
            let body = find(tokens, at, &["{"]);
            let end = closes(tokens, body);
            offer.exports.push(export(name.to_owned(), keyword.to_owned(), &tokens[start..body]));
            let inside = &tokens[(body + 1).min(tokens.len())..end.min(tokens.len())];
            if keyword != "namespace" {
                members(inside, name, offer);
            }
            end + 1
        }
        ("type", Some(name)) => {
            let end = statement_end(tokens, at);
            offer.exports.push(export(name.to_owned(), plain(&tokens[at..end]), &tokens[start..end]));
            end
        }
        ("const" | "let" | "var", _) => {
            let end = statement_end(tokens, at);
            values(&tokens[at + 1..end], start_line(tokens, start), offer);
            end
        }
        (_, Some(name)) if default => {
            offer.exports.push(export(name.to_owned(), "default".into(), &tokens[start..at]));
            at
        }
        _ => at,
    }
}

fn start_line(tokens: &[Token], start: usize) -> u32 {
    tokens.get(start).map_or(1, |token| token.line)
}

/// `a = 1, b: number = 2`, and functions among them.
fn values(tokens: &[Token], line: u32, offer: &mut Offer) {
    for part in split_outside(tokens) {
        let Some(name) = part.first().filter(|token| token.is_name()) else { continue };
        let value = find(part, 0, &["="]);
        let after = part.get(value + 1..).unwrap_or_default();
        let skip = usize::from(after.first().is_some_and(|token| token.text == "async"));
        let arrow = find(after, 0, &["=>"]);
        let open = (0..arrow.min(after.len())).find(|at| after[*at].text == "(");
        let mut found = match open {
            Some(open) if arrow < after.len() && open <= skip + 8 => function(name.text.to_owned(), after, 0, open),
            _ if arrow < after.len() && arrow == skip + 1 => {
                let signature = format!("any{SEPARATOR}");
                Export { name: name.text.to_owned(), signature, shown: String::new(), line, grows: true }
            }
            _ => export(name.text.to_owned(), plain(&part[1..value.min(part.len())]), &part[..value.min(part.len())]),
        };
        (found.shown, found.line) = (shown(&part[..(value + 1 + arrow).min(part.len())]), line);
        offer.exports.push(found);
    }
}

/// At commas outside of brackets; `<` and `>` compare here as often as they enclose.
fn split_outside<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut parts, mut start) = (Vec::new(), 0);
    loop {
        let end = find(tokens, start, &[","]);
        parts.extend(tokens.get(start..end).filter(|part| !part.is_empty()));
        if end >= tokens.len() {
            return parts;
        }
        start = end + 1;
    }
}

/// A function by its parameters: their place and type, and whether a caller need give them.
fn function(name: String, tokens: &[Token], start: usize, open: usize) -> Export {
    let close = closes(tokens, open).min(tokens.len());
    let mut signature = String::new();
    for parameter in split(tokens.get(open + 1..close).unwrap_or_default(), &[","]) {
        let value = find(parameter, 0, &["="]);
        let colon = find(parameter, 0, &[":", "?:"]);
        let optional = value < parameter.len()
            || parameter[0].text == "..."
            || parameter.get(colon).is_some_and(|token| token.text == "?:")
            || parameter.get(1).is_some_and(|token| token.text == "?");
        let kind = parameter.get(colon + 1..value.max(colon + 1).min(parameter.len())).unwrap_or_default();
        signature.push_str(&if kind.is_empty() { "any".to_owned() } else { plain(kind) });
        signature.push_str(if optional { "?" } else { "" });
        signature.push(SEPARATOR);
    }
    let shown_end = head_end(tokens, close + 1).min(tokens.len());
    let line = start_line(tokens, start);
    Export { name, signature, shown: shown(&tokens[start..shown_end]), line, grows: true }
}

/// Where the head of a function ends: at its body, its arrow, or its line.
fn head_end(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        match token.text {
            "{" if before.is_none_or(|before| !matches!(before.text, ":" | "|" | "&" | "<")) => return at,
            ";" | "=>" | "export" => return at,
            "(" | "[" | "{" => at = closes(tokens, at) + 1,
            _ => at += 1,
        }
    }
    at
}

/// Where a statement ends: its semicolon, or a line that begins another.
fn statement_end(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while at < tokens.len() {
        let begins = matches!(
            tokens[at].text,
            "export" | "import" | "const" | "let" | "var" | "function" | "class" | "interface" | "module" | "exports"
        );
        if tokens[at].text == ";" || (begins && at > from && tokens[at].line != tokens[at - 1].line) {
            return at;
        }
        at = if matches!(tokens[at].text, "(" | "[" | "{") { closes(tokens, at) + 1 } else { at + 1 };
    }
    tokens.len()
}

/// The methods of a class that anybody may call.
fn methods(tokens: &[Token], class: &str, offer: &mut Offer) {
    let mut at = 0;
    let mut closed = false;
    while at < tokens.len() {
        let token = &tokens[at];
        match token.text {
            "private" | "protected" => closed = true,
            ";" | "}" => closed = false,
            "=" => {
                at = find(tokens, at, &[";", "}"]);
                continue;
            }
            "{" => {
                (at, closed) = (closes(tokens, at), false);
            }
            "(" | "[" => at = closes(tokens, at),
            "get" | "set" | "static" | "async" | "public" | "override" | "readonly"
                if tokens.get(at + 1).is_some_and(|next| next.is_name() || next.text == "*") => {}
            name if token.is_name() && tokens.get(at + 1).is_some_and(|next| next.text == "(") => {
                if !closed && !name.starts_with('_') {
                    offer.exports.push(function(format!("{class}.{name}"), tokens, at, at + 1));
                }
                at = head_end(tokens, closes(tokens, at + 1) + 1);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// What is in an interface or an enum, one by one.
fn members(tokens: &[Token], of: &str, offer: &mut Offer) {
    let mut start = 0;
    while start < tokens.len() {
        let mut end = start;
        while end < tokens.len() && !matches!(tokens[end].text, ";" | ",") {
            let next = if matches!(tokens[end].text, "(" | "[" | "{") { closes(tokens, end) + 1 } else { end + 1 };
            let line_ends =
                tokens.get(next).is_some_and(|after| after.line != tokens[(next - 1).min(tokens.len() - 1)].line);
            end = next;
            let goes_on = |at: usize| {
                tokens.get(at).is_some_and(|token| matches!(token.text, "|" | "&" | "=>" | ":" | "=" | "?:"))
            };
            if line_ends && !goes_on(end) && !goes_on(end - 1) {
                break;
            }
        }
        let end = end.min(tokens.len());
        let member = &tokens[start..end];
        let skip = usize::from(member.first().is_some_and(|token| token.text == "readonly"));
        if let Some(name) = member.get(skip).filter(|token| token.is_name()) {
            let value = find(member, 0, &["="]);
            offer.exports.push(export(
                format!("{of}.{}", name.text),
                plain(&member[..value.min(member.len())]),
                member,
            ));
        }
        start = end + usize::from(tokens.get(end).is_some_and(|token| matches!(token.text, ";" | ",")));
    }
}
