//! What a source file offers to others: exported names with their signatures, read by their marks.
//!
//! No parser: marks are followed, strings and comments are blanked before. It reads what is written in the file and
//! knows nothing of what a build makes of it, so it may report what nobody outside can see; it does not report what stays.
//! Names of parameters, annotations of Python and optional parameters at the end are not what others build on.

use std::collections::BTreeSet;

use crate::upkeep;

mod c;
mod go;
mod python;
mod rust;
mod script;
mod tokens;

use tokens::Token;

/// One thing that others may build on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// As it is spoken of: `Parser::new`, `Client.get`.
    pub name: String,
    /// What must stay, in a form of which equal means compatible.
    pub signature: String,
    /// As it is written.
    pub shown: String,
    /// The line it begins at, from 1.
    pub line: u32,
    /// Parameters may be added at the end if a caller need not give them.
    pub grows: bool,
}

/// What a file offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// What is declared here, or passed on on purpose.
    pub exports: Vec<Export>,
    /// Names that can be had from here although they are declared elsewhere.
    pub also: BTreeSet<String>,
    /// It passes on everything that some other file offers.
    pub everything: bool,
}

/// A language whose exports can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `pub`.
    Rust,
    /// Names without an underscore.
    Python,
    /// `export`, `module.exports`.
    Script,
    /// Capitals.
    Go,
    /// Headers.
    C,
}

/// What is known of a file's language by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Its exports can be told.
    Yes(Language),
    /// It has some, and nobody here can tell them: this is what it is called.
    No(&'static str),
    /// It has none: text, data, settings, tests.
    Nothing,
}

/// The language of a file.
pub fn language(path: &str, named: Option<&'static str>) -> Known {
    if upkeep::is_test(path) || path.ends_with("/build.rs") || path == "build.rs" || beside_tests(path) {
        return Known::Nothing;
    }
    match named {
        Some("rust") => Known::Yes(Language::Rust),
        Some("python") => Known::Yes(Language::Python),
        Some("javascript" | "typescript") => Known::Yes(Language::Script),
        Some("go") => Known::Yes(Language::Go),
        // What is not in a header cannot be built on.
        Some("c") if path.ends_with(".h") => Known::Yes(Language::C),
        Some(
            language @ ("java" | "kotlin" | "c#" | "c++" | "swift" | "scala" | "ruby" | "php" | "perl" | "lua"
            | "haskell" | "ocaml" | "elixir" | "erlang" | "clojure" | "zig" | "nim" | "dart" | "r"
            | "julia" | "objective-c" | "vue" | "svelte" | "powershell" | "protocol buffer" | "graphql"),
        ) => Known::No(language),
        _ => Known::Nothing,
    }
}

/// What else nobody builds on.
fn beside_tests(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "benches" | "testdata" | "fixtures" | "conftest.py" | "vendor"))
}

/// What a text offers; `None` where nobody could tell: a string that does not end, a dialect that is not known.
pub fn of(language: Language, path: &str, text: &str) -> Option<Offer> {
    let plain = upkeep::without_strings(path, text)?;
    let tokens = tokens::of(&plain);
    match language {
        Language::Rust => Some(rust::read(&tokens)),
        Language::Python => Some(python::read(&plain, path)),
        Language::Script => Some(script::read(&tokens)),
        Language::Go => Some(go::read(&tokens)),
        Language::C => c::read(&plain, &tokens),
    }
}

/// Whether who builds on `before` can go on with `after`.
pub fn compatible(before: &Export, after: &Export) -> bool {
    if before.signature == after.signature || before.signature == ELSEWHERE {
        return true;
    }
    let rest = after.signature.strip_prefix(before.signature.as_str());
    before.grows
        && rest.is_some_and(|rest| {
            let mut added = rest.split(SEPARATOR).filter(|parameter| !parameter.is_empty());
            added.all(|parameter| parameter.ends_with('?'))
        })
}

/// The signature of what is passed on and declared elsewhere: there it is compared.
const ELSEWHERE: &str = "elsewhere";

/// What stands between the parameters of a signature that may grow.
const SEPARATOR: char = '\u{1f}';

fn export(name: String, signature: String, tokens: &[Token]) -> Export {
    Export {
        name,
        signature,
        shown: tokens::shown(tokens),
        line: tokens.first().map_or(1, |token| token.line),
        grows: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, language: Language, text: &str) -> Vec<String> {
        of(language, path, text).expect("it can be read").exports.into_iter().map(|export| export.name).collect()
    }

    /// What of `before` is gone or altered in `after`.
    fn broken(path: &str, language: Language, before: &str, after: &str) -> Vec<String> {
        let (before, after) = (of(language, path, before).unwrap(), of(language, path, after).unwrap());
        let stays = |export: &&Export| {
            after.also.contains(&export.name)
                || after.exports.iter().any(|other| other.name == export.name && compatible(export, other))
        };
        before.exports.iter().filter(|export| !stays(export)).map(|export| export.name.clone()).collect()
    }

    #[test]
    fn rust_is_read_by_its_pub() {
        let text = r#"
            //! pub fn in_a_comment() {}
            use std::fmt;
            pub use self::inner::{deep, Other as Renamed};
            pub(crate) fn own() {}
            fn private() { pub_like(); }
            /// Words.
            #[derive(Debug)]
            pub struct Point<T> { pub x: T, y: T, pub(crate) z: T }
            pub struct Pair(pub u8, u16);
            pub enum Shape { Dot, Line { from: u8 }, Poly(Vec<u8>), }
            pub trait Draw: fmt::Debug { const SIDES: u8; fn draw(&self, on: &mut String); }
            impl<T> Point<T> { pub fn new(x: T) -> Point<T> where T: Clone { "pub fn no()"; todo() } fn hidden(&self) {} }
            impl<T> fmt::Display for Point<T> { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { Ok(()) } }
            struct Secret; impl Secret { pub fn tell() {} }
            pub const fn limit() -> usize { 3 }
            pub const MAX: usize = 1 << 3;
            pub static NAME: &str = "x";
            pub type Result<T> = std::result::Result<T, u8>;
            pub mod inner { pub fn deep() {} fn shallow() {} }
            mod closed { pub fn unseen() {} }
            #[macro_export] macro_rules! shout { ($x:expr) => { $x } }
            macro_rules! whisper { () => {} }
            #[cfg(test)] mod tests { pub fn of_a_test() {} }
            pub async unsafe fn last<'a>(a: &'a str) -> &'a str { a }
        "#;
        assert_eq!(
            names("src/lib.rs", Language::Rust, text),
            [
                "deep",
                "Renamed",
                "Point",
                "Point.x",
                "Pair",
                "Shape",
                "Shape::Dot",
                "Shape::Line",
                "Shape::Poly",
                "Draw",
                "Draw::SIDES",
                "Draw::draw",
                "Point::new",
                "limit",
                "MAX",
                "NAME",
                "Result",
                "inner::deep",
                "shout",
                "last"
            ]
        );
    }

    #[test]
    fn what_rust_code_may_change() {
        let broken = |before, after| broken("src/lib.rs", Language::Rust, before, after);
        let none: [&str; 0] = [];
        assert_eq!(broken("pub fn a(x: u8) {}", "pub fn a(y: u8) { other() }"), none, "a parameter's name");
        assert_eq!(broken("pub fn a(mut x: u8) {}", "pub fn a( x : u8, ) {}"), none, "form");
        assert_eq!(broken("pub fn a(x: u8) {}", "pub fn a(x: u16) {}"), ["a"]);
        assert_eq!(broken("pub fn a(x: u8) {}", "pub fn a(x: u8, y: Option<u8>) {}"), ["a"]);
        assert_eq!(broken("pub fn a() -> u8 { 1 }", "pub fn a() -> u16 { 1 }"), ["a"]);
        assert_eq!(broken("pub fn a() {}", "fn a() {}"), ["a"]);
        assert_eq!(broken("pub fn a() {}", "pub(crate) fn a() {}"), ["a"]);
        assert_eq!(broken("pub fn a() {}\npub fn b() {}", "pub fn b() {}"), ["a"]);
        assert_eq!(broken("pub fn a() {}", "mod a; pub use a::a;"), none, "passed on");
        assert_eq!(broken("pub struct A { pub x: u8 }", "pub struct A { pub x: u8, y: u8 }"), none);
        assert_eq!(broken("pub struct A { pub x: u8 }", "pub struct A { x: u8 }"), ["A.x"]);
        assert_eq!(broken("pub enum A { X, Y }", "pub enum A { X, Y, Z }"), none);
        assert_eq!(broken("pub enum A { X, Y(u8) }", "pub enum A { Y(u16) }"), ["A::X", "A::Y"]);
        assert_eq!(broken("pub const A: u8 = 1;", "pub const A: u8 = 2;"), none);
        assert_eq!(
            broken("impl A { pub fn f(&self) {} }", "impl A { pub fn f(&mut self) {} }"),
            ["A::f"],
            "how it takes itself"
        );
    }

    #[test]
    fn python_is_read_by_names_and_indentation() {
        let text = "\
from .deep import other as renamed, more
\"\"\"def in_a_string(): pass\"\"\"
LIMIT = 3
_own = 4
def plain(a, b=1, *rest, key, **more):
    def inner(): pass
    return a
async def later(
    x: int,  # def no():
    y: 'str' = 'x',
) -> int: ...
def _hidden(): pass
@decorated
class Thing(Base):
    size = 1
    def __init__(self, a): self.a = a
    def run(self, fast=False): pass
    def _own(self): pass
class _Private:
    def run(self): pass
if True:
    def conditional(): pass
";
        assert_eq!(
            names("pkg/a.py", Language::Python, text),
            ["LIMIT", "plain", "later", "Thing", "Thing.size", "Thing.__init__", "Thing.run"]
        );
        assert_eq!(names("pkg/__init__.py", Language::Python, "from .a import plain, Thing as T\n"), ["plain", "T"]);
        let broken = |before, after| broken("pkg/a.py", Language::Python, before, after);
        let none: [&str; 0] = [];
        assert_eq!(broken("def a(x): pass\n", "def a(x: int, y=None) -> int: pass\n"), none);
        assert_eq!(broken("def a(x): pass\n", "def a(x, y): pass\n"), ["a"]);
        assert_eq!(broken("def a(x, y): pass\n", "def a(y, x): pass\n"), ["a"], "callers name them");
        assert_eq!(broken("def a(x=1): pass\n", "def a(x): pass\n"), ["a"]);
        assert_eq!(broken("def a(x): pass\n", "from .b import a\n"), none);
        assert_eq!(broken("class A:\n    def f(self): pass\n", "class A:\n    pass\n"), ["A.f"]);
    }

    #[test]
    fn scripts_are_read_by_export() {
        let text = r#"
            import { x } from './x';
            export { one, two as second } from './y';
            export * as all from './z';
            export default function main(a, b = 2) { return { c: 1 } }
            export async function fetchIt(url: string, init?: RequestInit): Promise<Response> {}
            export const LIMIT = 3, REST: number = 4;
            export const arrow = async (a: string, ...rest: number[]) => ({ a });
            export class Client extends Base { #x = 1; private y = 2; constructor(a) { super() } get(id) { if (id) { go(id) } } async _own() {} static make() {} }
            export interface Options { name: string; size?: number }
            export type Id = string | number;
            export enum Color { Red, Green }
            function hidden() { const export_ = 1 }
            module.exports.more = hidden;
            exports.again = 2;
        "#;
        assert_eq!(
            names("src/a.ts", Language::Script, text),
            [
                "one",
                "second",
                "all",
                "default",
                "fetchIt",
                "LIMIT",
                "REST",
                "arrow",
                "Client",
                "Client.constructor",
                "Client.get",
                "Client.make",
                "Options",
                "Options.name",
                "Options.size",
                "Id",
                "Color",
                "Color.Red",
                "Color.Green",
                "more",
                "again"
            ]
        );
        assert_eq!(names("a.js", Language::Script, "module.exports = { a, b: 1, c() {} };\n"), ["a", "b", "c"]);
        let broken = |before, after| broken("src/a.ts", Language::Script, before, after);
        let none: [&str; 0] = [];
        assert_eq!(broken("export function a(x) {}", "export function a(x, y = 1, z?: T) {}"), none);
        assert_eq!(broken("export function a(x) {}", "export function a(x, y) {}"), ["a"]);
        assert_eq!(
            broken("export const a = (x) => x", "export function a(x) { return x }"),
            none,
            "either way a function"
        );
        assert_eq!(broken("export function a(x: string) {}", "export function a(x: number) {}"), ["a"]);
        assert_eq!(broken("export function a() {}", "export { a } from './b'"), none);
        assert_eq!(broken("export interface A { x: string }", "export interface A { x: string; y?: number }"), none);
        assert_eq!(broken("export interface A { x: string }", "export interface A { x: number }"), ["A.x"]);
    }

    #[test]
    fn go_is_read_by_capitals_and_c_by_headers() {
        let text = "package a\nimport \"fmt\"\nconst (\n\tMax = 3\n\tmin = 1\n)\nvar Name, other string = \"x\", \"y\"\n\
            type Point struct {\n\tX, Y int `json:\"x\"`\n\tz int\n}\ntype Shape interface {\n\tArea() float64\n}\n\
            func New(x, y int) *Point { return nil }\nfunc (p *Point) Move(dx int) {}\nfunc (p Point) hide() {}\nfunc small() {}\n";
        assert_eq!(
            names("a.go", Language::Go, text),
            ["Max", "Name", "Point", "Point.X", "Point.Y", "Shape", "Shape.Area", "New", "Point.Move"]
        );
        let none: [&str; 0] = [];
        let go = |before, after| broken("a.go", Language::Go, before, after);
        assert_eq!(go("func A(x, y int) {}", "func A(a int, b int) {}"), none);
        assert_eq!(go("func A(x int) {}", "func A(x string) {}"), ["A"]);
        assert_eq!(go("func A() error { return nil }", "func A() (int, error) { return 0, nil }"), ["A"]);
        let header = "#ifndef A_H\n#define A_H\n#define MAX 3\n#define TWICE(x) ((x) * 2)\ntypedef struct point { int x; } point_t;\n\
            enum color { RED, GREEN };\nextern int counter;\nint add(int a, int b);\nstatic inline int own(void) { return 1; }\n\
            typedef int (*callback)(int);\n#endif\n";
        assert_eq!(
            names("a.h", Language::C, header),
            ["MAX", "TWICE", "point_t", "color", "counter", "add", "own", "callback"]
        );
        let c = |before, after| broken("a.h", Language::C, before, after);
        assert_eq!(c("int add(int a, int b);", "int add(int x, int);"), none);
        assert_eq!(c("int add(int a, int b);", "long add(int a, int b);"), ["add"]);
        assert_eq!(c("#define MAX 3\n", "#define MAX 4\n"), none);
        assert_eq!(c("#define TWICE(x) x\n", "#define TWICE(x, y) x\n"), ["TWICE"]);
        assert!(of(Language::C, "a.h", "namespace a { class B {}; }").is_none(), "that is another language");
    }

    #[test]
    fn what_cannot_be_read_is_no_offer() {
        assert!(of(Language::Rust, "a.rs", "pub fn a() { \"no end }").is_none());
        assert_eq!(language("src/A.java", Some("java")), Known::No("java"));
        assert_eq!(language("README.md", Some("markdown")), Known::Nothing);
        assert_eq!(language("tests/a.rs", Some("rust")), Known::Nothing);
    }
}
