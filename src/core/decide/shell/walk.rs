//! Walks the tree of a line: which commands run, in which folder, with which words, and what flows between them.

use std::collections::HashMap;

use tree_sitter::{Node, Parser};

use super::{
    crude,
    paths::Paths,
    programs,
    word::{UNKNOWN, Word, ansi_c},
};
use crate::core::decide::{
    effects::{Action, Effect, Reversible, Touched},
    gate::Place,
};

/// Deepest nesting that is followed; people write four or five levels.
const DEPTH_MAX: usize = 40;
/// Most effects that are kept; a line with more is asked about anyway.
const EFFECTS_MAX: usize = 200;

/// What flows out of a command, or into it.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Came over the network.
    pub network: bool,
    /// Came out of a decoder or unpacker.
    pub decoded: bool,
    /// The command runs what comes in.
    pub interprets: bool,
    /// The text, where it is printed as written.
    pub text: Option<String>,
}

impl Flow {
    fn merge(&mut self, other: Flow) {
        self.network |= other.network;
        self.decoded |= other.decoded;
        self.interprets |= other.interprets;
        self.text = self.text.take().or(other.text);
    }
}

/// One line being read.
pub struct Walk<'a> {
    /// Paths, as seen from the place.
    pub paths: &'a Paths<'a>,
    /// Where it would run.
    pub place: &'a Place,
    /// The folder that the next command runs in; unknown after a `cd` to somewhere unknown.
    pub cwd: Option<String>,
    /// Whether a `cd` came before.
    pub moved: bool,
    /// Found so far.
    pub effects: Vec<Effect>,
    /// What was not understood, and other notes.
    pub notes: Vec<String>,
    /// The first danger.
    pub danger: Option<String>,
    /// Whether something was not understood.
    pub vague: bool,
    /// The words of each command.
    pub commands: Vec<Vec<String>>,
    /// What flows out of the command under way.
    pub flow: Flow,
    /// What the words of the command under way were made from.
    pub words_flow: Flow,
    /// Names of files that came over the network.
    pub fetched: bool,
    /// Variables set in the line itself.
    variables: HashMap<String, Option<String>>,
    depth: usize,
}

impl<'a> Walk<'a> {
    /// A walk that starts in the place's folder.
    pub fn new(paths: &'a Paths<'a>, place: &'a Place) -> Walk<'a> {
        Walk {
            paths,
            place,
            cwd: Some(place.cwd.clone()),
            moved: false,
            effects: Vec::new(),
            notes: Vec::new(),
            danger: None,
            vague: false,
            commands: Vec::new(),
            flow: Flow::default(),
            words_flow: Flow::default(),
            fetched: false,
            variables: HashMap::new(),
            depth: 0,
        }
    }

    /// Something is not understood.
    pub fn vague(&mut self, what: impl Into<String>) {
        self.vague = true;
        self.note(what);
    }

    /// Something to say.
    pub fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.notes.len() < 20 && !self.notes.contains(&what) {
            self.notes.push(what);
        }
    }

    /// Something that cannot be taken back, or opens the door to it.
    pub fn danger(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.danger.is_none() {
            self.danger = Some(what);
        }
    }

    /// One more effect.
    pub fn touch(&mut self, effect: Effect) {
        if self.effects.contains(&effect) {
            return;
        }
        match self.effects.len() < EFFECTS_MAX {
            true => self.effects.push(effect),
            false => self.vague("it touches more than can be listed"),
        }
    }

    /// One more effect, by its parts.
    pub fn effect(&mut self, what: impl Into<String>, action: Action, class: Touched, reversible: Reversible) {
        self.touch(Effect { what: what.into(), action, class, reversible, target: None });
    }

    /// Runs code that was not looked at.
    pub fn exec(&mut self, what: impl Into<String>) {
        let (class, reversible) = match (self.place.lane, self.place.sandboxed) {
            (true, true) => (Touched::Lane, Reversible::Yes),
            (true, false) => (Touched::Workspace, Reversible::Yes),
            (false, _) => (Touched::Workspace, Reversible::Compensable),
        };
        self.effect(what, Action::Exec, class, reversible);
    }

    /// The path of a word, where it is known.
    pub fn path(&self, word: &Word) -> Option<String> {
        let text = word.value()?;
        match &self.cwd {
            Some(cwd) => Some(self.paths.from(cwd, text)),
            None if text.starts_with('/') || text.starts_with('~') => Some(self.paths.absolute(text)),
            None => None,
        }
    }

    /// A file is looked at.
    pub fn reads(&mut self, word: &Word) {
        if word.text.contains("://") {
            return self.network(format!("fetches {}", word.text), super::paths::host(&word.text), false);
        }
        if !word.known && may_match_secret(&word.text) {
            return self.secret(format!("may read a secret: {}", word.text));
        }
        // Of a pattern, what is certain may say enough: `~/.ssh/*`.
        let folder = match word.known {
            true => None,
            false => word.prefix().rfind('/').map(|end| Word::literal(&word.prefix()[..end])),
        };
        if let Some(path) = folder.as_ref().or(word.known.then_some(word)).and_then(|word| self.path(word)) {
            let effect = self.paths.read(&path);
            self.touch(effect);
        }
    }

    /// Something that must not be told is seen.
    pub fn secret(&mut self, what: impl Into<String>) {
        self.effect(what, Action::Secrets, Touched::Secret, Reversible::No);
    }

    /// A file is made or changed.
    pub fn writes(&mut self, word: &Word) {
        match self.path(word) {
            Some(path) if super::paths::is_sink(&path) => {}
            Some(path) => {
                let effect = self.paths.write(&path);
                if effect.class == Touched::Privilege {
                    self.danger(format!("it {}", effect.what));
                }
                if steers_rights(&path) {
                    self.danger(format!("it changes who may do what: {path}"));
                }
                self.touch(effect);
            }
            None => self.effect(format!("writes {}", word.text), Action::Writes, Touched::External, Reversible::No),
        }
    }

    /// A file or folder is removed.
    pub fn deletes(&mut self, word: &Word) {
        // `lane/*` is in the lane.
        let known = match (word.known, word.prefix().rfind('/')) {
            (true, _) => self.path(word),
            (false, Some(end)) if end > 0 => self.path(&Word::literal(&word.prefix()[..end])).map(|path| path + "/*"),
            (false, _) if !word.splits || word.certain > 0 => None,
            (false, _) => None,
        };
        let effect = match known {
            Some(path) => self.paths.delete(&path),
            None => Effect {
                what: format!("deletes {}", word.text),
                action: Action::Deletes,
                class: Touched::External,
                reversible: Reversible::No,
                target: None,
            },
        };
        if effect.class != Touched::Lane {
            self.danger(format!("it {}, and nothing brings that back", effect.what));
        }
        self.touch(effect);
    }

    /// Another machine is asked. What it is told may be more than the question.
    pub fn network(&mut self, what: impl Into<String>, target: Option<String>, tells: bool) {
        self.flow.network = true;
        let reversible = if tells { Reversible::No } else { Reversible::Compensable };
        let effect =
            Effect { what: what.into(), action: Action::Network, class: Touched::External, reversible, target };
        self.touch(effect);
    }

    /// Reads a line of its own: the argument of `sh -c`, of `eval`, of `ssh`.
    pub fn line(&mut self, text: &str) {
        if self.depth > DEPTH_MAX {
            return self.vague("it is nested too deeply to be followed");
        }
        let mut parser = Parser::new();
        // The grammar comes with the program; it cannot be of another version than the parser it was built with.
        let tree = match parser.set_language(&tree_sitter_bash::LANGUAGE.into()) {
            Ok(()) => parser.parse(text, None),
            Err(_) => None,
        };
        let Some(tree) = tree else { return self.vague("the shell's grammar cannot be used") };
        if tree.root_node().has_error() {
            self.vague("it is not a line that every shell reads the same way");
            crude::dangers(self, text);
            return;
        }
        self.depth += 1;
        self.statements(tree.root_node(), text);
        self.depth -= 1;
    }

    /// Reads a command that another one starts. Wrappers may be stacked without end; nobody means that.
    pub fn inside(&mut self, read: impl FnOnce(&mut Self)) {
        if self.depth > DEPTH_MAX {
            return self.vague("commands that start commands go too deep to be followed");
        }
        self.depth += 1;
        read(self);
        self.depth -= 1;
    }

    fn deeper(&mut self, node: Node, text: &str, then: impl FnOnce(&mut Self)) {
        if self.depth > DEPTH_MAX {
            self.vague("it is nested too deeply to be followed");
            return crude::dangers(self, &text[node.byte_range()]);
        }
        self.depth += 1;
        then(self);
        self.depth -= 1;
    }

    fn statements(&mut self, node: Node, text: &str) {
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            if child.is_named() {
                self.statement(child, text);
            } else if !is_punctuation(child.kind()) {
                self.vague(format!("`{}` is not followed", child.kind()));
            }
        }
    }

    fn statement(&mut self, node: Node, text: &str) {
        self.deeper(node, text, |walk| match node.kind() {
            "comment" => {}
            "list" | "compound_statement" | "do_group" | "else_clause" | "elif_clause" | "if_statement"
            | "while_statement" | "negated_command" => walk.statements(node, text),
            "subshell" => walk.apart(|walk| walk.statements(node, text)),
            "pipeline" => walk.pipeline(node, text),
            "command" => walk.command(node, text, Vec::new(), Vec::new()),
            "redirected_statement" => walk.redirected(node, text),
            "for_statement" => walk.for_statement(node, text),
            "case_statement" | "case_item" => walk.case(node, text),
            "test_command" => walk.test(node, text),
            "variable_assignment" => walk.assignment(node, text, false),
            "variable_assignments" => {
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    walk.assignment(child, text, false);
                }
            }
            "declaration_command" | "unset_command" => {
                walk.vague("it changes variables that other programs see");
                walk.substitutions(node, text);
            }
            "function_definition" => {
                walk.vague("it defines a command of its own");
                walk.fork_bomb(node, text);
                walk.statements_quietly(node, text);
            }
            "command_substitution"
            | "process_substitution"
            | "string"
            | "word"
            | "simple_expansion"
            | "expansion"
            | "concatenation" => {
                walk.vague("what runs is made by the line itself");
                walk.word(node, text);
            }
            kind => {
                walk.vague(format!("{} is not followed", kind.replace('_', " ")));
                walk.substitutions(node, text);
            }
        });
    }

    /// Runs with the folder and variables as they are, and forgets what changed there.
    fn apart(&mut self, run: impl FnOnce(&mut Self)) {
        let (cwd, moved, variables) = (self.cwd.clone(), self.moved, self.variables.clone());
        run(self);
        (self.cwd, self.moved, self.variables) = (cwd, moved, variables);
    }

    /// Everything below that runs, whatever stands around it.
    fn statements_quietly(&mut self, node: Node, text: &str) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "word" | "variable_name" | "comment" => {}
                _ => self.statement(child, text),
            }
        }
    }

    fn substitutions(&mut self, node: Node, text: &str) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "command_substitution" | "process_substitution" => drop(self.word(child, text)),
                _ => self.deeper(child, text, |walk| walk.substitutions(child, text)),
            }
        }
    }

    /// A function that starts itself twice.
    fn fork_bomb(&mut self, node: Node, text: &str) {
        let Some(name) = node.child_by_field_name("name").map(|name| &text[name.byte_range()]) else { return };
        let body: String = text[node.byte_range()].split_whitespace().collect();
        if body.contains(&format!("{name}|{name}")) || body.contains(&format!("{name}&{name}")) {
            self.danger("it starts itself again and again");
        }
    }

    fn pipeline(&mut self, node: Node, text: &str) {
        let mut upstream = Flow::default();
        let mut cursor = node.walk();
        let stages: Vec<Node> = node.named_children(&mut cursor).collect();
        let outer = std::mem::take(&mut self.flow);
        for stage in stages {
            self.flow = Flow::default();
            self.apart(|walk| walk.statement(stage, text));
            let mut flow = std::mem::take(&mut self.flow);
            if flow.interprets {
                self.fed(&upstream);
            }
            // What one stage prints as written, the next may change.
            upstream.text = None;
            flow.network |= upstream.network;
            flow.decoded |= upstream.decoded;
            upstream = flow;
        }
        self.flow = outer;
        upstream.interprets = false;
        self.flow.merge(upstream);
    }

    /// An interpreter runs what comes from there.
    pub fn fed(&mut self, upstream: &Flow) {
        match upstream {
            Flow { network: true, .. } => self.danger("it runs code that comes over the network"),
            Flow { decoded: true, .. } => self.danger("it runs code that comes out of a decoder"),
            Flow { text: Some(text), .. } => {
                let text = text.clone();
                self.line(&text);
            }
            _ => {}
        }
    }

    fn redirected(&mut self, node: Node, text: &str) {
        let body = node.child_by_field_name("body");
        let mut redirects = Vec::new();
        let mut cursor = node.walk();
        for child in node.children_by_field_name("redirect", &mut cursor) {
            redirects.push(child);
        }
        match body {
            Some(body) if body.kind() == "command" => self.command(body, text, redirects, Vec::new()),
            body => {
                if let Some(body) = body {
                    self.statement(body, text);
                }
                for redirect in redirects {
                    let extra = self.redirect(redirect, text);
                    if !extra.is_empty() {
                        self.vague("words after a redirection");
                    }
                }
            }
        }
    }

    /// One redirection; words behind its target belong to the command.
    fn redirect(&mut self, node: Node, text: &str) -> Vec<Word> {
        match node.kind() {
            "file_redirect" => {
                let mut cursor = node.walk();
                let operator =
                    node.children(&mut cursor).find(|child| !child.is_named()).map_or("", |child| child.kind());
                let mut cursor = node.walk();
                let targets: Vec<Node> = node.children_by_field_name("destination", &mut cursor).collect();
                let mut words: Vec<Word> = targets.into_iter().map(|target| self.word(target, text)).collect();
                if words.is_empty() {
                    return words;
                }
                let target = words.remove(0);
                if target.text.contains("/dev/tcp/") || target.text.contains("/dev/udp/") {
                    self.network(format!("talks to {}", target.text), None, true);
                    self.vague("it talks to another machine through a redirection");
                }
                match operator {
                    "<" => self.reads(&target),
                    ">" | ">>" | ">|" | "&>" | "&>>" => self.writes(&target),
                    ">&" | "<&" => {
                        let descriptor =
                            target.known && target.text.trim_end_matches('-').bytes().all(|byte| byte.is_ascii_digit());
                        if !descriptor {
                            self.writes(&target);
                        }
                    }
                    "<&-" | ">&-" => {}
                    _ => self.vague(format!("the redirection {operator} is not followed")),
                }
                words
            }
            "herestring_redirect" => {
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    let word = self.word(child, text);
                    match word.value() {
                        Some(text) => self.flow.text = Some(text.to_owned()),
                        None => self.vague("what it is given to read is made by the line itself"),
                    }
                }
                Vec::new()
            }
            "heredoc_redirect" => {
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    match child.kind() {
                        "heredoc_start" | "heredoc_end" | "file_descriptor" => {}
                        "heredoc_body" => {
                            self.substitutions(child, text);
                            self.flow.text = Some(text[child.byte_range()].to_owned());
                        }
                        // The grammar puts what follows on the line here.
                        "file_redirect" => drop(self.redirect(child, text)),
                        _ => {
                            self.vague("a here-document goes on into another command");
                            self.flow.decoded = true;
                            self.statement(child, text);
                        }
                    }
                }
                Vec::new()
            }
            kind => {
                self.vague(format!("{} is not followed", kind.replace('_', " ")));
                Vec::new()
            }
        }
    }

    fn for_statement(&mut self, node: Node, text: &str) {
        if let Some(name) = node.child_by_field_name("variable") {
            let name = text[name.byte_range()].to_owned();
            if !may_set(&name) {
                self.vague(format!("it sets {name}"));
            }
            self.variables.insert(name, None);
        }
        let mut cursor = node.walk();
        for value in node.children_by_field_name("value", &mut cursor) {
            self.word(value, text);
        }
        if let Some(body) = node.child_by_field_name("body") {
            self.statement(body, text);
        }
        let first = node.child(0).map_or("", |first| first.kind());
        if first != "for" {
            self.vague(format!("`{first}` is not followed"));
        }
    }

    fn case(&mut self, node: Node, text: &str) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "word"
                | "string"
                | "raw_string"
                | "number"
                | "extglob_pattern"
                | "concatenation"
                | "simple_expansion"
                | "expansion"
                | "command_substitution" => drop(self.word(child, text)),
                _ => self.statement(child, text),
            }
        }
    }

    /// `[ … ]`, `[[ … ]]` and `(( … ))` compare; only what is substituted inside runs.
    fn test(&mut self, node: Node, text: &str) {
        let whole = &text[node.byte_range()];
        if whole.starts_with("((") {
            self.vague("arithmetic commands are not followed");
        }
        // Comparing numbers computes them, and an index in one may run a command, even from inside quotes.
        if whole.contains("[$(")
            || whole.contains("[`")
            || (whole.starts_with("[[") && whole.contains("'")) && whole.contains("$(")
        {
            self.vague("an index that runs a command");
        }
        self.expression(node, text);
    }

    fn expression(&mut self, node: Node, text: &str) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "binary_expression" | "unary_expression" | "parenthesized_expression" | "negated_command" => {
                    self.deeper(child, text, |walk| walk.expression(child, text));
                }
                "test_operator" | "regex" | "extglob_pattern" | "file_descriptor" | "variable_name" => {}
                _ => drop(self.word(child, text)),
            }
        }
    }

    fn assignment(&mut self, node: Node, text: &str, for_program: bool) {
        let Some(name) = node.child_by_field_name("name") else {
            return self.vague("an assignment without a name");
        };
        let plain = name.kind() == "variable_name";
        let name = text[name.byte_range()].to_owned();
        let known = self.variables.contains_key(&name);
        let value = node.child_by_field_name("value").map(|value| match value.kind() {
            "array" => {
                let mut cursor = value.walk();
                for element in value.named_children(&mut cursor) {
                    self.word(element, text);
                }
                Word::unknown()
            }
            _ => self.word(value, text),
        });
        let allowed = if for_program { may_give(&name) } else { may_set(&name) };
        if !plain || !allowed {
            self.vague(format!("it sets {name}, which may decide what other programs do"));
        }
        // Evaluated as arithmetic later, such a text would run a command.
        if value.as_ref().is_some_and(|value| value.text.contains("$(") || value.text.contains('`')) {
            self.vague("a variable holds a command");
        }
        let value = value.map_or(Some(String::new()), |value| value.value().map(str::to_owned));
        // Set twice, it may be either.
        self.variables.insert(name, value.filter(|_| !known));
    }

    fn command(&mut self, node: Node, text: &str, redirects: Vec<Node>, mut words: Vec<Word>) {
        let outer = std::mem::take(&mut self.words_flow);
        let mut extra = Vec::new();
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            match child.kind() {
                "variable_assignment" => self.assignment(child, text, true),
                "command_name" => {
                    if let Some(name) = child.child(0) {
                        let word = self.word(name, text);
                        words.push(word);
                    }
                }
                "file_redirect" | "herestring_redirect" | "heredoc_redirect" => {
                    extra.extend(self.redirect(child, text));
                }
                "comment" => {}
                _ if child.is_named() => {
                    let word = self.word(child, text);
                    words.push(word);
                }
                "==" | "=~" | "=" | "!=" | "$" | "%" | "," => words.push(Word::literal(child.kind())),
                other => self.vague(format!("`{other}` in a command is not followed")),
            }
        }
        for redirect in redirects {
            extra.extend(self.redirect(redirect, text));
        }
        words.extend(extra);
        self.commands.push(words.iter().map(|word| word.text.clone()).collect());
        programs::command(self, &words);
        self.words_flow = outer;
    }

    /// A word, and what runs to make it.
    pub fn word(&mut self, node: Node, text: &str) -> Word {
        let mut word = Word::literal("");
        self.part(node, text, &mut word, false);
        word
    }

    fn part(&mut self, node: Node, text: &str, word: &mut Word, quoted: bool) {
        let own = &text[node.byte_range()];
        match node.kind() {
            "word" | "variable_name" | "special_variable_name" | "test_operator" | "regex" => bare(own, word),
            "number" if node.child_count() == 0 => word.push(own),
            "string_content" => word.push(&unescape_quoted(own)),
            "raw_string" => {
                word.plain = false;
                word.push(own.trim_matches('\''));
            }
            "ansi_c_string" => {
                word.plain = false;
                match ansi_c(own.trim_start_matches("$'").trim_end_matches('\'')) {
                    Some(decoded) => word.push(&decoded),
                    None => word.push_unknown(false),
                }
            }
            "string" => {
                word.plain = false;
                let mut at = node.start_byte() + 1;
                let end = node.end_byte().saturating_sub(1);
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    if child.start_byte() > at {
                        word.push(&unescape_quoted(&text[at..child.start_byte()]));
                    }
                    self.part(child, text, word, true);
                    at = child.end_byte();
                }
                if end > at {
                    word.push(&unescape_quoted(&text[at..end]));
                }
            }
            "concatenation" => {
                let braces = own.contains('{') && (own.contains(',') || own.contains(".."));
                let mut cursor = node.walk();
                let children: Vec<Node> = node.children(&mut cursor).collect();
                for child in children {
                    self.deeper(child, text, |walk| walk.part(child, text, word, quoted));
                }
                if braces {
                    // Whatever is certain before the brace stays so.
                    let brace = word.text.find('{').unwrap_or(0).min(word.certain);
                    word.known = false;
                    word.splits = true;
                    word.plain = false;
                    word.certain = brace;
                }
            }
            "simple_expansion" => self.variable(own.trim_start_matches('$'), word, quoted),
            "expansion" => {
                self.expansion(node, text, word, quoted);
            }
            "command_substitution" => {
                self.deeper(node, text, |walk| {
                    let flow = std::mem::take(&mut walk.flow);
                    walk.apart(|walk| walk.substituted(node, text));
                    let inner = std::mem::replace(&mut walk.flow, flow);
                    // What a command prints as written is what the word is; for a verdict it stays unknown.
                    walk.words_flow.merge(Flow { interprets: false, ..inner });
                });
                word.push_unknown(!quoted);
            }
            "process_substitution" => {
                if own.starts_with('>') {
                    self.vague("it writes into another command");
                }
                self.deeper(node, text, |walk| {
                    let flow = std::mem::take(&mut walk.flow);
                    walk.apart(|walk| walk.statements(node, text));
                    let inner = std::mem::replace(&mut walk.flow, flow);
                    walk.words_flow.merge(Flow { interprets: false, text: None, ..inner });
                });
                // It becomes a path below /dev/fd.
                word.push("/dev/fd/");
                word.push_unknown(false);
            }
            "arithmetic_expansion" => {
                let inner = own.trim_start_matches("$((").trim_end_matches("))");
                let plain =
                    inner.chars().all(|char| char.is_ascii_alphanumeric() || "_ +-*/%()<>=!&|?:,$#{}".contains(char));
                let assigns = inner.contains("++") || inner.contains("--") || inner.replace("==", "").contains('=');
                if !plain || assigns || inner.contains("$(") {
                    self.vague("arithmetic that is more than numbers");
                }
                self.substitutions(node, text);
                word.push_unknown(!quoted);
            }
            "brace_expression" | "extglob_pattern" => word.push_unknown(true),
            "array" | "subscript" | "translated_string" => {
                self.vague(format!("{} in a word is not followed", node.kind().replace('_', " ")));
                self.substitutions(node, text);
                word.push_unknown(true);
            }
            kind if !node.is_named() => bare(kind, word),
            kind => {
                self.vague(format!("{} in a word is not followed", kind.replace('_', " ")));
                self.substitutions(node, text);
                word.push_unknown(true);
            }
        }
    }

    fn substituted(&mut self, node: Node, text: &str) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                // `$(< file)` reads it.
                "file_redirect" => drop(self.redirect(child, text)),
                _ => self.statement(child, text),
            }
        }
    }

    fn variable(&mut self, name: &str, word: &mut Word, quoted: bool) {
        if is_secret_name(name) {
            self.secret(format!("uses the value of {name}"));
        }
        let at_start = word.text.is_empty();
        match (name, self.variables.get(name)) {
            (_, Some(Some(value))) => {
                let splits = !quoted && value.contains(|char: char| char.is_whitespace() || "*?[".contains(char));
                let value = value.clone();
                word.plain = false;
                word.push(&value);
                if splits {
                    word.known = false;
                    word.splits = true;
                }
            }
            (_, Some(None)) => word.push_unknown(!quoted),
            ("HOME", None) if at_start => word.push("~"),
            ("PWD", None) if at_start && self.cwd.is_some() => word.push(&self.cwd.clone().unwrap_or_default()),
            _ => word.push_unknown(!quoted),
        }
    }

    fn expansion(&mut self, node: Node, text: &str, word: &mut Word, quoted: bool) {
        let own = &text[node.byte_range()];
        let inner = own.trim_start_matches("${").trim_end_matches('}');
        let body = inner.strip_prefix('#').filter(|body| !body.is_empty()).unwrap_or(inner);
        let end = body.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(body.len());
        let (name, mut rest) = body.split_at(end);
        let special = name.is_empty() && matches!(body, "@" | "*" | "#" | "?" | "$" | "!" | "-");
        if rest.starts_with('[') {
            let index = rest.find(']').map_or("", |end| &rest[1..end]);
            let plain =
                matches!(index, "@" | "*") || (!index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
            if !plain {
                self.vague("an index of an array is computed");
            }
            rest = rest.find(']').map_or("", |end| &rest[end + 1..]);
        }
        let followed = rest.is_empty()
            || [":-", "-", ":+", "+", ":?", "?", "#", "%", "/", "^", ","].iter().any(|sign| rest.starts_with(sign))
            || (rest.starts_with(':') && !rest.starts_with(":=") && !rest.contains(['[', '`', '$']));
        let nameless = name.is_empty() && !special;
        let computed = rest.contains("$(") && rest.contains('[');
        if nameless || !(special || followed) || computed {
            self.vague(format!("`{}` is not followed", own.chars().take(40).collect::<String>()));
        }
        if is_secret_name(name) {
            self.secret(format!("uses the value of {name}"));
        }
        self.substitutions(node, text);
        match rest.is_empty() && inner == body && !name.is_empty() && end == body.len() {
            true => self.variable(name, word, quoted),
            false => word.push_unknown(!quoted),
        }
    }
}

/// Whether a pattern, or a word with unknown parts, may come to the name of a secret.
pub fn may_match_secret(text: &str) -> bool {
    match alternatives(text) {
        Some(all) => all.iter().any(|one| may_be_secret(one)),
        None => true,
    }
}

/// Most words that braces are spelt out to.
const ALTERNATIVES_MAX: usize = 64;

/// The words that `{a,b}` stands for, nested ones too; `None` where they are too many to look at.
fn alternatives(text: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(word) = open.pop() {
        if open.len() + done.len() > ALTERNATIVES_MAX {
            return None;
        }
        // The innermost pair: what it holds has no braces of its own.
        let pair = word.find('}').and_then(|end| Some((word[..end].rfind('{')?, end)));
        match pair.filter(|(start, end)| word[*start..*end].contains(',')) {
            Some((start, end)) => {
                let parts = word[start + 1..end].split(',');
                open.extend(parts.map(|part| format!("{}{part}{}", &word[..start], &word[end + 1..])));
            }
            None => done.push(word),
        }
    }
    Some(done)
}

fn may_be_secret(text: &str) -> bool {
    let wild = |part: &str| part.contains(['*', '?', '[', '{', UNKNOWN]);
    let hidden =
        |part: &str| part.starts_with(['.', '[', '?']) && wild(part) && part.len() > 1 && !part.starts_with("..");
    let lower = text.to_lowercase();
    super::paths::is_secret(text)
        || text.split('/').any(hidden)
        || lower.rsplit('/').next().is_some_and(|name| name.starts_with("id_") && wild(name))
        || [".ssh", ".env", ".aws", ".gnupg", "secret", "credential", "shadow"].iter().any(|part| lower.contains(part))
}

/// Tokens that only order statements.
fn is_punctuation(kind: &str) -> bool {
    matches!(
        kind,
        "&&" | "||"
            | ";"
            | "&"
            | "\n"
            | "{"
            | "}"
            | "("
            | ")"
            | "!"
            | "if"
            | "then"
            | "fi"
            | "else"
            | "elif"
            | "while"
            | "until"
            | "do"
            | "done"
            | "<("
            | ">("
            | "$("
            | "`"
    )
}

/// An unquoted word: backslashes taken out; patterns and braces make it more than one.
fn bare(own: &str, word: &mut Word) {
    let mut chars = own.chars();
    let mut brace = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                // In a program's name a backslash only hides the name from aliases, and from readers.
                word.plain = false;
                if let Some(next) = chars.next().filter(|next| *next != '\n') {
                    word.push(next.encode_utf8(&mut [0; 4]));
                }
            }
            '*' | '?' | '[' => {
                // The pattern itself is kept for people; the program gets what it matches.
                word.known = false;
                word.plain = false;
                word.splits = true;
                word.text.push(char);
            }
            '{' => {
                brace = true;
                word.push("{");
            }
            ',' | '.' if brace => {
                word.push(char.encode_utf8(&mut [0; 4]));
                if char == ',' || own.contains("..") {
                    word.certain = word.text.find('{').unwrap_or(0).min(word.certain);
                    word.known = false;
                    word.plain = false;
                    word.splits = true;
                }
            }
            char => word.push(char.encode_utf8(&mut [0; 4])),
        }
    }
}

fn unescape_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some('"' | '\\' | '$' | '`')) => out.extend(chars.next()),
            ('\\', Some('\n')) => drop(chars.next()),
            (char, _) => out.push(char),
        }
    }
    out
}

/// Variables whose names say that they hold something that must not be told.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_uppercase();
    ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL", "ACCESS_KEY"]
        .iter()
        .any(|part| name.contains(part))
}

/// Variables that a line may set for itself without deciding what programs do.
pub fn may_set(name: &str) -> bool {
    if name.chars().all(|char| !char.is_ascii_uppercase()) {
        // zsh ties some small names to the large ones.
        return !matches!(
            name,
            "path"
                | "cdpath"
                | "fpath"
                | "manpath"
                | "mailpath"
                | "module_path"
                | "prompt"
                | "precmd"
                | "status"
                | "argv"
        );
    }
    const DECIDES: &[&str] = &[
        "PATH",
        "PAGER",
        "EDITOR",
        "VISUAL",
        "SHELL",
        "ENV",
        "OPT",
        "CONFIG",
        "HOME",
        "PRELOAD",
        "CMD",
        "COMMAND",
        "PROXY",
        "LESS",
        "GIT",
        "BASH",
        "IFS",
        "LD_",
        "DYLD",
        "PS1",
        "PS4",
        "PROMPT",
        "PYTHON",
        "NODE",
        "PERL",
        "RUBY",
        "GREP",
        "MAN",
        "JAVA",
        "RUST",
        "CARGO",
        "GO",
        "NPM",
        "SSH",
        "TMPDIR",
        "BROWSER",
        "FPATH",
        "ZDOT",
        "GCONV",
        "LOCPATH",
        "NLSPATH",
        "TERM",
        "MALLOC",
        "LOCAL",
        "RG_",
        "JQ",
        "DOCKER",
        "KUBE",
        "CC",
        "CXX",
        "LUA",
        "READLINE",
        "INPUTRC",
        "FCEDIT",
        "GLOBIGNORE",
    ];
    !DECIDES.iter().any(|part| name.contains(part))
}

/// Variables that a program may be given: language, time zone and colour.
fn may_give(name: &str) -> bool {
    name.starts_with("LC_")
        || matches!(
            name,
            "LANG"
                | "LANGUAGE"
                | "TZ"
                | "COLUMNS"
                | "LINES"
                | "NO_COLOR"
                | "CLICOLOR"
                | "CLICOLOR_FORCE"
                | "FORCE_COLOR"
        )
}

/// Files that say who may log in and do what.
fn steers_rights(path: &str) -> bool {
    path.ends_with("/.ssh/authorized_keys")
        || path.starts_with("/etc/sudoers")
        || matches!(path, "/etc/passwd" | "/etc/shadow" | "/etc/group" | "/etc/gshadow")
        || path.starts_with("/etc/pam.d/")
        || path.starts_with("/proc/sysrq")
}
