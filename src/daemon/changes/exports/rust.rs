//! Rust: what is `pub`, in the file itself and in its `pub mod`s.

use std::collections::BTreeSet;

use super::{
    ELSEWHERE, Offer, export,
    tokens::{Token, closes, find, plain, split},
};

/// What a file offers.
pub fn read(tokens: &[Token]) -> Offer {
    let mut offer = Offer::default();
    items(tokens, "", &closed_types(tokens), &mut offer);
    offer
}

/// Types that are declared here and nobody else sees: neither are their methods.
fn closed_types<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let declared = |at: usize| matches!(tokens[at].text, "struct" | "enum" | "union" | "trait");
    (0..tokens.len().saturating_sub(1))
        .filter(|at| declared(*at) && tokens[at + 1].is_name())
        .filter(|at| at.checked_sub(1).is_none_or(|before| tokens[before].text != "pub"))
        .map(|at| tokens[at + 1].text)
        .collect()
}

/// The items of one level. `prefix` is where they are: `inner::`, `Point::`.
fn items(tokens: &[Token], prefix: &str, closed: &BTreeSet<&str>, offer: &mut Offer) {
    let mut at = 0;
    while at < tokens.len() {
        let (mut tested, mut handed_out) = (false, false);
        while tokens[at].text == "#" {
            let open = if tokens.get(at + 1).is_some_and(|token| token.text == "!") { at + 2 } else { at + 1 };
            let end = closes(tokens, open).min(tokens.len());
            let words = plain(&tokens[open.min(end)..end]);
            tested |= words == "[ cfg ( test )" || words == "[ test";
            handed_out |= words.starts_with("[ macro_export");
            at = end + 1;
            if at >= tokens.len() {
                return;
            }
        }
        let start = at;
        let mut open = tokens[at].text == "pub";
        at += usize::from(open);
        if open && tokens.get(at).is_some_and(|token| token.text == "(") {
            // `pub(crate)`: for nobody outside. A tuple type cannot begin an item.
            (open, at) = (false, closes(tokens, at) + 1);
        }
        while let Some(word) = tokens.get(at).map(|token| token.text)
            && (matches!(word, "async" | "unsafe" | "extern" | "default" | "auto")
                || is_const_fn(tokens, at)
                || word == "\"")
        {
            at += 1;
        }
        let Some(keyword) = tokens.get(at) else { return };
        let name = tokens.get(at + 1).filter(|token| token.is_name()).map(|token| token.text);
        let mut body = find(tokens, at, &["{", ";"]);
        let mut end = if tokens.get(body).is_some_and(|token| token.text == "{") { closes(tokens, body) } else { body };
        let full = |name: &str| format!("{prefix}{name}");
        let inside = |body: usize, end: usize| tokens.get(body + 1..end.min(tokens.len())).unwrap_or_default();
        match (keyword.text, name) {
            _ if tested => {}
            ("fn", Some(name)) if open => {
                offer.exports.push(export(full(name), function(&tokens[at..body]), &tokens[start..body]));
            }
            ("struct" | "union", Some(name)) if open => {
                let head_end = find(tokens, at, &["{", ";", "("]).min(tokens.len());
                let head = &tokens[at..head_end];
                let tuple = tokens.get(head_end).is_some_and(|token| token.text == "(");
                if tuple {
                    let fields = closes(tokens, head_end).min(tokens.len() - 1);
                    let signature = plain(&tokens[at..=fields]);
                    offer.exports.push(export(full(name), signature, &tokens[start..=fields]));
                } else {
                    offer.exports.push(export(full(name), plain(head), &tokens[start..head_end]));
                    for field in split(inside(body, end), &[","]) {
                        let field = without_attributes(field);
                        if let [visible, name_of_field, rest @ ..] = field
                            && visible.text == "pub"
                            && name_of_field.is_name()
                        {
                            let name = full(&format!("{name}.{}", name_of_field.text));
                            offer.exports.push(export(name, plain(rest), field));
                        }
                    }
                }
            }
            ("enum", Some(name)) if open => {
                offer.exports.push(export(full(name), plain(&tokens[at..body]), &tokens[start..body]));
                for variant in split(inside(body, end), &[","]) {
                    let variant = without_attributes(variant);
                    let value = find(variant, 0, &["="]);
                    if let Some(word) = variant.first() {
                        let name = full(&format!("{name}::{}", word.text));
                        offer.exports.push(export(name, plain(&variant[..value]), &variant[..value]));
                    }
                }
            }
            ("trait", Some(name)) if open => {
                offer.exports.push(export(full(name), plain(&tokens[at..body]), &tokens[start..body]));
                demands(inside(body, end), &full(name), offer);
            }
            ("mod", Some(name)) if open && body < end => {
                items(inside(body, end), &full(&format!("{name}::")), closed, offer)
            }
            ("impl", _) => {
                let head = &tokens[at..body];
                let for_a_trait = split_angles(head).iter().any(|token| token.text == "for");
                let of = split_angles(&head[1..]).iter().find(|token| token.is_name()).map(|token| token.text);
                if let Some(of) = of.filter(|of| !for_a_trait && !closed.contains(of)) {
                    items(inside(body, end), &full(&format!("{of}::")), closed, offer);
                }
            }
            ("use", _) if open => {
                end = find(tokens, at, &[";"]);
                passed_on(&tokens[at + 1..end], offer);
            }
            ("use", _) => end = find(tokens, at, &[";"]),
            ("const" | "static", _) => {
                let value = find(tokens, at, &["=", ";"]);
                end = find(tokens, at, &[";"]);
                let name = tokens[at + 1..value].iter().find(|token| token.is_name() && token.text != "mut");
                if let Some(name) = name.filter(|_| open) {
                    offer.exports.push(export(full(name.text), plain(&tokens[at..value]), &tokens[start..value]));
                }
            }
            ("type", Some(name)) => {
                end = find(tokens, at, &[";"]);
                if open {
                    offer.exports.push(export(full(name), plain(&tokens[at..end]), &tokens[start..end]));
                }
            }
            ("macro_rules", _) => {
                body = find(tokens, at, &["{", "(", "["]);
                end = closes(tokens, body);
                if let Some(name) = tokens.get(at + 2).filter(|_| handed_out) {
                    let head = &tokens[at..(at + 3).min(tokens.len())];
                    offer.exports.push(export(format!("{}!", name.text), plain(head), head));
                    // It is spoken of by its name alone.
                    if let Some(last) = offer.exports.last_mut() {
                        last.name = name.text.to_owned();
                    }
                }
            }
            _ => {}
        }
        at = end + 1;
    }
}

/// What a trait asks of who implements it and offers to who calls: all of it is seen.
fn demands(tokens: &[Token], name: &str, offer: &mut Offer) {
    let mut at = 0;
    while at < tokens.len() {
        let item = find(tokens, at, &["fn", "const", "type"]);
        let body = find(tokens, item, &["{", ";"]);
        let end = if tokens.get(body).is_some_and(|token| token.text == "{") { closes(tokens, body) } else { body };
        let is_const_fn = tokens.get(item).is_some_and(|token| token.text == "const")
            && tokens.get(item + 1).is_some_and(|token| token.text == "fn");
        let item = if is_const_fn { item + 1 } else { item };
        if let (Some(keyword), Some(word)) = (tokens.get(item), tokens.get(item + 1)) {
            let head = &tokens[item..find(tokens, item, &["{", ";", "="]).min(tokens.len())];
            let signature = if keyword.text == "fn" { function(head) } else { plain(head) };
            offer.exports.push(export(format!("{name}::{}", word.text), signature, head));
        }
        at = end + 1;
    }
}

/// A function without the names of its parameters: callers do not see them.
fn function(head: &[Token]) -> String {
    let open = find_open(head);
    let close = closes(head, open).min(head.len());
    let parameters = head.get(open + 1..close).unwrap_or_default();
    let types: Vec<String> = split(parameters, &[","])
        .into_iter()
        .map(|parameter| {
            let parameter = without_attributes(parameter);
            // `&mut self` is all there is.
            let colon = find(parameter, 0, &[":"]);
            plain(parameter.get(colon + 1..).unwrap_or(parameter))
        })
        .collect();
    format!("{} ( {} ) {}", plain(&head[..open]), types.join(" , "), plain(head.get(close + 1..).unwrap_or_default()))
}

/// The bracket of the parameters, after whatever is generic.
fn find_open(head: &[Token]) -> usize {
    let mut depth = 0i32;
    for (at, token) in head.iter().enumerate() {
        match token.text {
            "<" => depth += 1,
            ">" => depth -= 1,
            "(" if depth <= 0 => return at,
            _ => {}
        }
    }
    head.len()
}

/// What stands in no angle brackets.
fn split_angles<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t Token<'a>> {
    let mut depth = 0i32;
    tokens
        .iter()
        .filter(|token| {
            depth += i32::from(token.text == "<") - i32::from(token.text == ">");
            depth <= 0 && token.text != ">" && !matches!(token.text, "impl" | "const" | "unsafe" | "dyn")
        })
        .collect()
}

fn is_const_fn(tokens: &[Token], at: usize) -> bool {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    word(at) == "const" && matches!(word(at + 1), "fn" | "unsafe" | "async" | "extern")
}

fn without_attributes<'t, 'a>(mut tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    while tokens.first().is_some_and(|token| token.text == "#") {
        tokens = tokens.get(closes(tokens, 1) + 1..).unwrap_or_default();
    }
    tokens
}

/// The names that a `pub use` makes known.
fn passed_on(tree: &[Token], offer: &mut Offer) {
    for part in split(tree, &[","]) {
        let open = part.iter().position(|token| token.text == "{");
        if let Some(open) = open {
            passed_on(&part[open + 1..closes(part, open).min(part.len())], offer);
            continue;
        }
        match part.last() {
            Some(last) if last.text == "*" => offer.everything = true,
            Some(last) if last.text == "self" => {
                let named = part.iter().rev().skip(1).find(|token| token.is_name());
                offer.also.extend(named.map(|token| token.text.to_owned()));
            }
            Some(last) if last.is_name() => {
                offer.exports.push(export(last.text.to_owned(), ELSEWHERE.to_owned(), part));
                offer.also.insert(last.text.to_owned());
            }
            _ => {}
        }
    }
}
