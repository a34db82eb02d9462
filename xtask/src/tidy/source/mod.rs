//! Reads the Rust files of the project: the tokens, without comments and tests; the comments
//! ([`comments`]); and the paths ([`paths`]).

pub(crate) mod comments;
pub(crate) mod paths;

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tidy::report::{File, Report};
use crate::tidy::table::{self, BROKEN};

/// A token with its line.
#[derive(Debug)]
pub(crate) enum Tree {
    Ident { name: String, line: usize },
    Punct { sign: char, line: usize },
    Literal { first: usize, last: usize },
    Group { delimiter: Delimiter, trees: Vec<Tree>, open: usize, close: usize },
}

impl Tree {
    /// Tells whether it is the identifier or keyword `word`.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Tree::Ident { name, .. } if name == word)
    }

    /// Tells whether it is the punctuation `wanted`.
    pub(crate) fn is_sign(&self, wanted: char) -> bool {
        matches!(self, Tree::Punct { sign, .. } if *sign == wanted)
    }
}

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    /// The code, without comments and tests. Empty for a file of tests.
    pub(crate) trees: Vec<Tree>,
    /// The code with its tests.
    pub(crate) trees_with_tests: Vec<Tree>,
    /// The first and last lines of its tests.
    tests: Vec<(usize, usize)>,
    /// The modules for tests that it declares and that lie in files of their own.
    test_modules: Vec<String>,
    /// The whole file is test code.
    is_test: bool,
}

impl Source<'_> {
    /// Tells whether `line` belongs to a test.
    pub(crate) fn in_test(&self, line: usize) -> bool {
        self.is_test || self.tests.iter().any(|&(first, last)| (first..=last).contains(&line))
    }

    /// Names its room of the crate whose sources lie in `folder`. `None`: it is outside of that
    /// crate, or the crate's root.
    pub(crate) fn room_of(&self, folder: &str) -> Option<&str> {
        let path = self.path.strip_prefix(folder)?;
        let room = path.split('/').next()?;
        let room = room.strip_suffix(".rs").unwrap_or(room);
        (!matches!(room, "lib" | "main")).then_some(room)
    }

    /// Names its room of the library.
    pub(crate) fn room(&self) -> Option<&str> {
        self.room_of(table::LIBRARY)
    }

    /// Collects the lines with code.
    pub(crate) fn code_lines(&self) -> BTreeSet<usize> {
        let mut lines = BTreeSet::new();
        collect_lines(&self.trees, &mut lines);
        lines
    }
}

fn collect_lines(trees: &[Tree], lines: &mut BTreeSet<usize>) {
    for tree in trees {
        match tree {
            Tree::Ident { line, .. } | Tree::Punct { line, .. } => {
                lines.insert(*line);
            }
            Tree::Literal { first, last } => lines.extend(*first..=*last),
            Tree::Group { trees, open, close, .. } => {
                lines.extend([*open, *close]);
                collect_lines(trees, lines);
            }
        }
    }
}

/// Tells whether a path lies in a folder of tests.
pub(crate) fn is_test_path(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|folder| folder == "tests")
}

/// Reads every Rust file among `files`.
pub(crate) fn read_all<'a>(files: &'a [File], report: &mut Report) -> Vec<Source<'a>> {
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        match read(file) {
            Ok(source) => {
                report.check(true, (&file.path, 1), &BROKEN, String::new());
                sources.push(source);
            }
            Err(error) => {
                let line = error.span().start().line;
                report.check(false, (&file.path, line), &BROKEN, format!("is not Rust: {error}"));
            }
        }
    }
    let modules: Vec<String> = sources.iter().flat_map(test_module_paths).collect();
    for source in &mut sources {
        let of_tests = |module: &String| {
            source
                .path
                .strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if source.is_test || modules.iter().any(of_tests) {
            source.is_test = true;
            source.trees.clear();
        }
    }
    sources
}

/// Names the files of its test modules, without their endings.
fn test_module_paths(source: &Source<'_>) -> Vec<String> {
    let stem = source.path.strip_suffix(".rs").unwrap_or(source.path);
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let below = if matches!(name, "mod" | "lib" | "main") { folder } else { stem };
    source.test_modules.iter().map(|module| format!("{below}/{module}")).collect()
}

fn read(file: &File) -> Result<Source<'_>, proc_macro2::LexError> {
    let stream: TokenStream = file.text.parse()?;
    let lines: Vec<&str> = file.text.lines().collect();
    let mut all = Pruner { lines: &lines, keep_tests: true, tests: vec![], test_modules: vec![] };
    let trees_with_tests = all.prune(stream.clone());
    let mut code = Pruner { keep_tests: false, ..all };
    let trees = code.prune(stream);
    Ok(Source {
        path: &file.path,
        text: &file.text,
        trees,
        trees_with_tests,
        tests: code.tests,
        test_modules: code.test_modules,
        is_test: is_test_path(&file.path),
    })
}

/// Turns tokens into trees, without doc comments and, unless `keep_tests` is set, without tests.
struct Pruner<'a> {
    lines: &'a [&'a str],
    keep_tests: bool,
    tests: Vec<(usize, usize)>,
    test_modules: Vec<String>,
}

impl Pruner<'_> {
    fn prune(&mut self, stream: TokenStream) -> Vec<Tree> {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut trees = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            match attribute(&tokens, at) {
                Some(found) if self.is_comment(&tokens[at]) => at = found.end,
                Some(found) if !self.keep_tests && is_test_attribute(&found.content) => {
                    let end = if found.inner { tokens.len() } else { item_end(&tokens, found.end) };
                    let last = tokens[end - 1].span().end().line;
                    self.tests.push((tokens[at].span().start().line, last));
                    self.test_modules.extend(declared_module(&tokens[found.end..end]));
                    at = end;
                }
                _ => {
                    trees.push(self.tree(&tokens[at]));
                    at += 1;
                }
            }
        }
        trees
    }

    fn tree(&mut self, token: &TokenTree) -> Tree {
        let (first, last) = (token.span().start().line, token.span().end().line);
        match token {
            TokenTree::Ident(ident) => Tree::Ident { name: ident.to_string(), line: first },
            TokenTree::Punct(punct) => Tree::Punct { sign: punct.as_char(), line: first },
            TokenTree::Literal(_) => Tree::Literal { first, last },
            TokenTree::Group(group) => Tree::Group {
                delimiter: group.delimiter(),
                trees: self.prune(group.stream()),
                open: first,
                close: last,
            },
        }
    }

    /// Recognises a doc comment. It becomes `#[doc = "…"]` at the position of the comment, where
    /// the text has no `#`.
    fn is_comment(&self, token: &TokenTree) -> bool {
        let start = token.span().start();
        let line = self.lines.get(start.line - 1);
        line.and_then(|line| line.chars().nth(start.column)) == Some('/')
    }
}

struct Attribute {
    content: Vec<TokenTree>,
    /// It has the form `#![…]`.
    inner: bool,
    /// The index after it.
    end: usize,
}

fn attribute(tokens: &[TokenTree], at: usize) -> Option<Attribute> {
    let sign = |index: usize, wanted: char| match tokens.get(index) {
        Some(TokenTree::Punct(punct)) => punct.as_char() == wanted,
        _ => false,
    };
    if !sign(at, '#') {
        return None;
    }
    let inner = sign(at + 1, '!');
    let place = at + 1 + usize::from(inner);
    match tokens.get(place) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            let content = group.stream().into_iter().collect();
            Some(Attribute { content, inner, end: place + 1 })
        }
        _ => None,
    }
}

/// Recognises `#[test]`, and a `#[cfg(…)]` that holds only under test.
fn is_test_attribute(content: &[TokenTree]) -> bool {
    match content {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "cfg" => {
            implies_test(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => false,
    }
}

fn implies_test(predicate: &[TokenTree]) -> bool {
    let parts = |group: &proc_macro2::Group| -> Vec<bool> {
        let inside: Vec<TokenTree> = group.stream().into_iter().collect();
        inside
            .split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','))
            .filter(|part| !part.is_empty())
            .map(implies_test)
            .collect()
    };
    match predicate {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "all" => {
            parts(group).contains(&true)
        }
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "any" => {
            let parts = parts(group);
            !parts.is_empty() && !parts.contains(&false)
        }
        _ => false,
    }
}

/// Finds the index after the item, field or statement at `at`, further attributes included.
fn item_end(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some(next) = attribute(tokens, at) {
        at = next.end;
    }
    let head: Vec<String> = tokens[at..]
        .iter()
        .take_while(|token| !is_brace(token))
        .take_while(|token| !matches!(token, TokenTree::Punct(p) if p.as_char() == ';'))
        .filter_map(|token| match token {
            TokenTree::Ident(ident) => Some(ident.to_string()),
            _ => None,
        })
        .collect();
    let has = |words: &[&str]| head.iter().any(|word| words.contains(&word.as_str()));
    let with_body = has(&["fn", "impl", "struct", "enum", "trait", "mod", "union", "macro_rules"]);
    let to_semicolon = !with_body && has(&["use", "static", "const", "type", "let"]);
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(p) if p.as_char() == ';' => true,
        TokenTree::Punct(p) if p.as_char() == ',' => !with_body && !to_semicolon,
        token => is_brace(token) && !to_semicolon,
    };
    tokens[at..].iter().position(ends).map_or(tokens.len(), |offset| at + offset + 1)
}

fn is_brace(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Reads the name in `mod name;`.
fn declared_module(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(end)]
            if word == "mod" && end.as_char() == ';' =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}
