//! C: what a header declares.

use super::{
    Offer, export,
    tokens::{self, Token, closes, plain, split},
};

/// What a header offers; `None` for one of C++.
pub fn read(text: &str, tokens: &[Token]) -> Option<Offer> {
    let foreign = |token: &Token| matches!(token.text, "class" | "namespace" | "template" | "public" | "::");
    if tokens.iter().any(foreign) {
        return None;
    }
    let mut offer = Offer::default();
    let rest = macros(text, &mut offer);
    let tokens = tokens::of(&rest);
    let (mut start, mut at) = (0, 0);
    while at < tokens.len() {
        match tokens[at].text {
            ";" => {
                declaration(&tokens[start..at], &mut offer);
                (start, at) = (at + 1, at + 1);
            }
            "{" => {
                let end = closes(&tokens, at);
                let extern_block = plain(&tokens[start..at]).starts_with("extern \"");
                if extern_block {
                    // `extern "C" {`: what is inside is at the top.
                    (start, at) = (at + 1, at + 1);
                } else if tokens[start..at].iter().any(|token| token.text == "(") && end < tokens.len() {
                    // A function with its body.
                    declaration(&tokens[start..at], &mut offer);
                    (start, at) = (end + 1, end + 1);
                } else {
                    at = end + 1;
                }
            }
            "}" => (start, at) = (at + 1, at + 1),
            _ => at += 1,
        }
    }
    Some(offer)
}

/// Takes the lines of the preprocessor out, and notes what they define.
fn macros(text: &str, offer: &mut Offer) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut going_on = false;
    for (number, line) in (1u32..).zip(text.lines()) {
        let own = going_on || line.trim_start().starts_with('#');
        if !going_on && own {
            let words = tokens::of(line.trim_start().trim_start_matches('#').trim_start());
            if let [define, name, more @ ..] = words.as_slice()
                && define.text == "define"
                && !is_guard(name.text, more)
            {
                let call = more.first().is_some_and(|token| token.text == "(" && !token.gap);
                let count = match call {
                    true => split(&more[1..closes(more, 0).min(more.len())], &[","]).len().to_string(),
                    false => "value".to_owned(),
                };
                let mut found = export(name.text.to_owned(), count, &words[..2]);
                found.line = number;
                offer.exports.push(found);
            }
        }
        going_on = own && line.trim_end().ends_with('\\');
        rest.push_str(if own { "" } else { line });
        rest.push('\n');
    }
    rest
}

/// `#define A_H`: it keeps the header from being read twice.
fn is_guard(name: &str, more: &[Token]) -> bool {
    let upper = name.trim_end_matches('_').to_ascii_uppercase();
    more.is_empty() && (upper.ends_with("_H") || upper.ends_with("_INCLUDED"))
}

/// One declaration, without its semicolon or body.
fn declaration(words: &[Token], offer: &mut Offer) {
    let Some(first) = words.first() else { return };
    let body = words.iter().position(|token| token.text == "{");
    let open = words.iter().position(|token| token.text == "(");
    if first.text == "typedef" {
        // `typedef int (*name)(int)`, or the last word.
        let pointer = words.windows(2).position(|pair| pair[0].text == "*" && pair[1].is_name());
        let function = open.filter(|open| words.get(open + 1).is_some_and(|token| token.text == "*"));
        let name = match (function, pointer) {
            (Some(_), Some(at)) => words.get(at + 1),
            _ => words.iter().rev().find(|token| token.is_name()),
        };
        if let Some(name) = name {
            offer.exports.push(export(name.text.to_owned(), plain(words), &words[..body.unwrap_or(words.len())]));
        }
        return;
    }
    let value = words.iter().position(|token| token.text == "=").unwrap_or(words.len());
    match (open, body) {
        (_, Some(body)) if matches!(first.text, "struct" | "union" | "enum") => {
            if let Some(name) = words[..body].iter().rev().find(|token| token.is_name() && token.text != first.text) {
                offer.exports.push(export(name.text.to_owned(), plain(words), &words[..body]));
            }
        }
        (Some(open), _) if open > 0 && words[open - 1].is_name() => {
            let name = words[open - 1];
            let close = closes(words, open).min(words.len());
            let types: Vec<String> = split(&words[open + 1..close], &[","]).into_iter().map(kind_of).collect();
            let before: Vec<&str> =
                words[..open - 1].iter().map(|token| token.text).filter(|word| *word != "extern").collect();
            let signature = format!("{} ({})", before.join(" "), types.join(" , "));
            offer.exports.push(export(
                name.text.to_owned(),
                signature,
                &words[..close.saturating_add(1).min(words.len())],
            ));
        }
        _ if first.text == "extern" => {
            if let Some(name) = words[..value].iter().rev().find(|token| token.is_name()) {
                offer.exports.push(export(name.text.to_owned(), plain(&words[..value]), &words[..value]));
            }
        }
        _ => {}
    }
}

/// A parameter without its name.
fn kind_of(parameter: &[Token]) -> String {
    let base = |word: &str| {
        matches!(
            word,
            "int" | "char" | "long" | "short" | "float" | "double" | "void" | "unsigned" | "signed" | "bool" | "const"
        )
    };
    let named = parameter.len() > 1
        && parameter.last().is_some_and(|last| last.is_name() && !base(last.text))
        && !matches!(parameter[parameter.len() - 2].text, "struct" | "union" | "enum" | "const");
    plain(&parameter[..parameter.len() - usize::from(named)])
}
