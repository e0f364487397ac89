//! Conditions of playbooks: CEL over what is known about the repository, compiled and checked at load.

use std::collections::HashMap;

use cel::{
    Context, ExecutionError, Program, Value,
    common::ast::{EntryExpr, Expr, IdedExpr},
};

use crate::core::{
    facts::{Facts, Role},
    plan::playbook::runnable_commands,
};

/// What `repo` has. Build systems are absent where the repository does not use them, so ask with `has(repo.cargo)`.
const REPO_FIELDS: &[&str] = &[
    "cargo",
    "npm",
    "pnpm",
    "yarn",
    "python",
    "go",
    "make",
    "just",
    "files",
    "lines",
    "dirty",
    "vcs",
    "branch",
    "programs",
    "languages",
    "commands",
];

/// A compiled condition with its text.
#[derive(Debug)]
pub(super) struct Condition {
    pub text: String,
    program: Program,
}

impl Condition {
    /// Compiles and checks the names used; the error is one sentence and perhaps a hint.
    pub fn compile(text: &str) -> Result<Condition, (String, Option<String>)> {
        let program = Program::compile(text).map_err(|errors| {
            let first = errors.errors.first().map(|error| error.msg.clone()).unwrap_or_default();
            (format!("`{text}` is not a CEL expression: {first}"), None)
        })?;
        let mut names = Names::default();
        names.visit(program.expression(), &mut Vec::new());
        if let Some(root) = names.roots.first() {
            let message = format!("`{text}` uses the unknown variable `{root}`");
            return Err((message, Some("only `repo` is known here".into())));
        }
        if let Some(field) = names.fields.iter().find(|field| !REPO_FIELDS.contains(&field.as_str())) {
            let hint = super::parse::nearest(field, REPO_FIELDS)
                .map(|near| format!("did you mean `repo.{near}`?"))
                .unwrap_or_else(|| format!("known are {}", REPO_FIELDS.join(", ")));
            return Err((format!("`{text}` uses `repo.{field}`, which does not exist"), Some(hint)));
        }
        if let Some(function) = program.references().functions().into_iter().find(|name| !is_known_function(name)) {
            return Err((format!("`{text}` calls the unknown function `{function}`"), None));
        }
        Ok(Condition { text: text.to_string(), program })
    }

    /// Whether it holds. What the repository does not have is not an error: a missing key makes the condition false.
    pub fn holds(&self, facts: &Facts) -> Result<bool, String> {
        let mut context = Context::default();
        context.add_variable_from_value("repo", repo(facts));
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("`{}` is no yes or no but {:?}", self.text, other.type_of())),
            Err(ExecutionError::NoSuchKey(_)) => Ok(false),
            Err(error) => Err(format!("`{}` cannot be evaluated: {error}", self.text)),
        }
    }
}

/// Names that appear free in an expression.
#[derive(Default)]
struct Names {
    /// Variables other than `repo`.
    roots: Vec<String>,
    /// Fields asked of `repo` itself, by `.`.
    fields: Vec<String>,
}

impl Names {
    fn visit(&mut self, expression: &IdedExpr, bound: &mut Vec<String>) {
        match &expression.expr {
            Expr::Ident(name) => {
                let internal = name.starts_with('@') || bound.contains(name);
                if !internal && name != "repo" && !self.roots.contains(name) {
                    self.roots.push(name.clone());
                }
            }
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == "repo") {
                    self.fields.push(select.field.clone());
                }
                self.visit(&select.operand, bound);
            }
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.visit(target, bound));
                call.args.iter().for_each(|argument| self.visit(argument, bound));
            }
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range, bound);
                self.visit(&comprehension.accu_init, bound);
                let depth = bound.len();
                bound.push(comprehension.iter_var.clone());
                bound.extend(comprehension.iter_var2.clone());
                bound.push(comprehension.accu_var.clone());
                self.visit(&comprehension.loop_cond, bound);
                self.visit(&comprehension.loop_step, bound);
                self.visit(&comprehension.result, bound);
                bound.truncate(depth);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element, bound)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.visit_entry(&entry.expr, bound)),
            Expr::Struct(fields) => fields.entries.iter().for_each(|entry| self.visit_entry(&entry.expr, bound)),
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn visit_entry(&mut self, entry: &EntryExpr, bound: &mut Vec<String>) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value, bound),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, bound);
                self.visit(&entry.value, bound);
            }
        }
    }
}

/// Operators (which CEL spells as calls with marks in their names) and the functions worth having here.
fn is_known_function(name: &str) -> bool {
    !name.chars().all(|c| c.is_ascii_alphanumeric())
        || matches!(name, "size" | "contains" | "startsWith" | "endsWith" | "int" | "string" | "double" | "min" | "max")
}

/// The `repo` variable. `repo.commands.<role>` is the number of runnable commands of each role, always all five.
fn repo(facts: &Facts) -> Value {
    let mut map: HashMap<String, Value> = HashMap::new();
    for (name, ecosystem) in &facts.ecosystems {
        let fields: HashMap<String, Value> = HashMap::from([
            ("manifest".into(), ecosystem.manifest.clone().into()),
            ("scripts".into(), ecosystem.scripts.clone().into()),
            ("tests".into(), Value::Bool(ecosystem.tests)),
            ("members".into(), ecosystem.members.clone().into()),
        ]);
        map.insert(name.clone(), fields.into());
    }
    let count = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    map.insert("files".into(), count(facts.files));
    map.insert("lines".into(), count(facts.lines));
    map.insert("dirty".into(), Value::Bool(facts.dirty));
    map.insert("vcs".into(), facts.vcs.clone().into());
    if let Some(branch) = &facts.branch {
        map.insert("branch".into(), branch.clone().into());
    }
    let programs = facts.programs.iter().map(|(name, present)| (name.clone(), Value::Bool(*present)));
    map.insert("programs".into(), programs.collect::<HashMap<String, Value>>().into());
    let languages = facts.languages.iter().map(|(name, files)| (name.clone(), count(*files)));
    map.insert("languages".into(), languages.collect::<HashMap<String, Value>>().into());
    let roles = [
        ("test", Role::Test),
        ("build", Role::Build),
        ("lint", Role::Lint),
        ("lint_fix", Role::LintFix),
        ("format", Role::Format),
    ];
    let commands = roles.map(|(name, role)| (name.to_string(), count(runnable_commands(facts, role).count() as u64)));
    map.insert("commands".into(), HashMap::from(commands).into());
    map.into()
}
