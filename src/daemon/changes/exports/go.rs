//! Go: what begins with a capital.

use super::{
    Offer, export,
    tokens::{Token, closes, find, plain, split},
};

/// What a file offers.
pub fn read(tokens: &[Token]) -> Offer {
    let mut offer = Offer::default();
    let mut at = 0;
    while at < tokens.len() {
        let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
        // Only what begins a line is a declaration.
        let begins = at == 0 || tokens[at - 1].line != tokens[at].line || tokens[at - 1].text == ";";
        match word(at) {
            "func" if begins => at = function(tokens, at, &mut offer),
            keyword @ ("type" | "const" | "var") if begins => {
                let group = word(at + 1) == "(";
                let end = if group { closes(tokens, at + 1) } else { line_end(tokens, at + 1) };
                let mut start = at + 1 + usize::from(group);
                while start < end.min(tokens.len()) {
                    let stop = line_end(tokens, start).min(end);
                    declared(keyword, &tokens[start..stop], &mut offer);
                    start = stop.max(start + 1);
                }
                at = end + usize::from(group);
            }
            "{" | "(" | "[" => at = closes(tokens, at) + 1,
            _ => at += 1,
        }
    }
    offer
}

/// Where a line ends that no bracket carries on.
fn line_end(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while at < tokens.len() {
        if at > from && tokens[at].line != tokens[at - 1].line {
            return at;
        }
        if matches!(tokens[at].text, "(" | "[" | "{") {
            at = closes(tokens, at).min(tokens.len().saturating_sub(1));
        }
        at += 1;
    }
    tokens.len()
}

fn capital(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

fn function(tokens: &[Token], start: usize, offer: &mut Offer) -> usize {
    let mut at = start + 1;
    let mut receiver = None;
    if tokens.get(at).is_some_and(|token| token.text == "(") {
        let end = closes(tokens, at).min(tokens.len());
        receiver = tokens[at + 1..end]
            .split(|token| token.text == "[")
            .next()
            .and_then(|words| words.iter().rev().find(|token| token.is_name()));
        at = end + 1;
    }
    let Some(name) = tokens.get(at) else { return tokens.len() };
    let open = (at..tokens.len()).find(|at| tokens[*at].text == "(").unwrap_or(tokens.len());
    let close = closes(tokens, open).min(tokens.len());
    let mut end = close + 1;
    // What it answers with stands on the same line.
    while tokens.get(end).is_some_and(|token| token.text != "{" && token.line == tokens[end - 1].line) {
        let opens = matches!(tokens[end].text, "(" | "[") || tokens[end].text == "interface";
        end = if opens && tokens[end].text != "interface" { closes(tokens, end) + 1 } else { end + 1 };
    }
    let end = end.min(tokens.len());
    let of_a_closed_type = receiver.is_some_and(|receiver| !capital(receiver.text));
    if capital(name.text) && !of_a_closed_type {
        let full = receiver.map_or_else(|| name.text.to_owned(), |receiver| format!("{}.{}", receiver.text, name.text));
        let pointer = tokens[start..at].iter().any(|token| token.text == "*");
        let types = parameters(tokens.get(open + 1..close).unwrap_or_default());
        let answers = tokens.get(close + 1..end).unwrap_or_default();
        let answers = match answers {
            [open, inner @ .., close] if open.text == "(" && close.text == ")" => parameters(inner),
            plain_one => plain(plain_one),
        };
        let generic = plain(&tokens[at + 1..open.min(tokens.len())]);
        let signature = format!("{} {generic} ({types}) {answers}", if pointer { "*" } else { "" });
        offer.exports.push(export(full, signature, &tokens[start..end]));
    }
    if tokens.get(end).is_some_and(|token| token.text == "{") { closes(tokens, end) + 1 } else { end.max(start + 1) }
}

/// The types of parameters, each for itself: `x, y int` is `int , int`.
fn parameters(tokens: &[Token]) -> String {
    let parts = split(tokens, &[","]);
    // Either all have names or none has.
    let named = parts.iter().any(|part| {
        part.len() > 1
            && part[0].is_name()
            && part[1].text != "."
            && !matches!(part[0].text, "func" | "map" | "chan" | "struct" | "interface")
    });
    let mut types: Vec<String> = Vec::new();
    let mut following = String::new();
    for part in parts.iter().rev() {
        let own = match (named, part.len()) {
            (true, 1) => following.clone(),
            (true, _) => plain(&part[1..]),
            (false, _) => plain(part),
        };
        following.clone_from(&own);
        types.push(own);
    }
    types.reverse();
    types.join(" , ")
}

/// One line of a `type`, `const` or `var`.
fn declared(keyword: &str, line: &[Token], offer: &mut Offer) {
    if keyword != "type" {
        let names_end = line.iter().position(|token| !token.is_name() && token.text != ",").unwrap_or(line.len());
        // `Name, other string`: the last word is the type.
        let head = find(line, 0, &["="]).min(line.len());
        for (at, token) in line[..names_end].iter().enumerate() {
            let first_of_its_part = at == 0 || line[at - 1].text == ",";
            if token.is_name() && capital(token.text) && first_of_its_part {
                let kind = line[..head].iter().rev().take_while(|token| token.text != ",").count().saturating_sub(1);
                let signature = format!("{keyword} {}", plain(&line[head - kind.min(head)..head]));
                offer.exports.push(export(token.text.to_owned(), signature, &line[..head]));
            }
        }
        return;
    }
    let Some(name) = line.first().filter(|token| capital(token.text)) else { return };
    let body = find(line, 0, &["{"]);
    let kind = line.get(body.wrapping_sub(1)).map_or("", |token| token.text);
    let signature = match matches!(kind, "struct" | "interface") {
        true => plain(&line[..body]),
        false => plain(line),
    };
    offer.exports.push(export(name.text.to_owned(), signature, &line[..body]));
    if !matches!(kind, "struct" | "interface") {
        return;
    }
    let inside = &line[(body + 1).min(line.len())..closes(line, body).min(line.len())];
    let mut start = 0;
    while start < inside.len() {
        let stop = line_end(inside, start);
        member(kind, name.text, &inside[start..stop], offer);
        start = stop.max(start + 1);
    }
}

/// One line of a struct or an interface.
fn member(kind: &str, of: &str, line: &[Token], offer: &mut Offer) {
    let end = line.iter().position(|token| matches!(token.text, "`" | "\"")).unwrap_or(line.len());
    let line = &line[..end];
    let Some(first) = line.first() else { return };
    if kind == "interface" {
        if capital(first.text) {
            let close = closes(line, 1).min(line.len());
            let types = parameters(line.get(2..close).unwrap_or_default());
            let signature = format!("({types}) {}", plain(line.get(close + 1..).unwrap_or_default()));
            offer.exports.push(export(format!("{of}.{}", first.text), signature, line));
        }
        return;
    }
    let names_end =
        line.windows(2).position(|pair| pair[1].text != "," && pair[0].text != ",").map_or(line.len(), |at| at + 1);
    for name in line[..names_end].iter().filter(|token| token.is_name() && capital(token.text)) {
        offer.exports.push(export(format!("{of}.{}", name.text), plain(&line[names_end..]), line));
    }
}
