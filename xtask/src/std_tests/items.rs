//! A source file of std as a list of items, in which `crate`, `std` and `super` are renamed.

use std::ops::Range;
use std::str::FromStr as _;

use anyhow::anyhow;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The library that stands for std.
pub(super) const SHIM: &str = "std_shim";

/// A part of a file, in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The text that is compiled.
    pub(super) text: String,
    pub(super) role: Role,
    /// The reason why it is left out.
    pub(super) dropped: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// A test with this name, which includes its modules.
    Test(String),
    /// An example that is compiled and not run.
    Compiled(String),
    /// The beginning or the end of a module.
    Bracket,
    Other,
}

impl Item {
    pub(super) fn of(text: String, role: Role) -> Item {
        Item { text, role, dropped: None }
    }

    /// Returns the name by which the item is counted.
    pub(super) fn counted(&self) -> Option<&str> {
        match &self.role {
            Role::Test(name) | Role::Compiled(name) => Some(name),
            Role::Bracket | Role::Other => None,
        }
    }
}

/// Splits `text` into items, and lists the features that it asks for. `parent` is the meaning of
/// `super` at its top; `has_nonpoison` says that the shim has locks without poison.
pub(super) fn parse(
    text: &str,
    parent: &str,
    has_nonpoison: bool,
) -> anyhow::Result<(Vec<Item>, Vec<String>)> {
    let tokens = tokens(text)?;
    let (modules, items) = (Vec::new(), Vec::new());
    let mut parser = Parser { text, parent, has_nonpoison, modules, items };
    parser.items_of(tokens);
    Ok((parser.items, features(text)))
}

/// Lists the features that a crate attribute of `text` asks for.
pub(super) fn features(text: &str) -> Vec<String> {
    let asked = text.lines().filter_map(|line| {
        let (_, names) = line.trim().split_once("#![feature(")?;
        Some(names.split_once(')')?.0.split(',').map(|name| name.trim().to_owned()))
    });
    asked.flatten().filter(|name| !name.is_empty()).collect()
}

fn tokens(text: &str) -> anyhow::Result<Vec<TokenTree>> {
    let stream =
        TokenStream::from_str(text).map_err(|error| anyhow!("the text is not Rust: {error}"))?;
    Ok(stream.into_iter().collect())
}

/// Renames the paths in `text`: `crate` and `std` become the shim, and `super` becomes `parent` in
/// it, if that is given.
pub(super) fn renamed(text: &str, parent: Option<&str>) -> anyhow::Result<String> {
    let mut edits = Vec::new();
    collect(&tokens(text)?, parent, &mut edits);
    Ok(edited(text, edits))
}

type Edit = (Range<usize>, String);

fn edited(text: &str, edits: Vec<Edit>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, new) in edits {
        out.push_str(&text[at..range.start]);
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

fn collect(tokens: &[TokenTree], parent: Option<&str>, edits: &mut Vec<Edit>) {
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                collect(&inner, parent, edits);
            }
            TokenTree::Ident(name) if is_path(&tokens[i + 1..]) => {
                let new = new_name(&name.to_string(), &tokens[..i], parent);
                edits.extend(new.map(|new| (name.span().byte_range(), new)));
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Finds the new name for the first name of a path, after the tokens `before`.
fn new_name(name: &str, before: &[TokenTree], parent: Option<&str>) -> Option<String> {
    let is_first = match before {
        [.., TokenTree::Punct(dollar)] if dollar.as_char() == '$' => false,
        [.., TokenTree::Ident(_), TokenTree::Punct(p), TokenTree::Punct(_)] => p.as_char() != ':',
        _ => true,
    };
    match name {
        _ if !is_first => None,
        "crate" | "std" => Some(SHIM.to_owned()),
        "rand" => Some(format!("{SHIM}::rand")),
        "common" => Some(format!("{SHIM}::test_helpers")),
        "super" => parent.map(|parent| match parent {
            "" => SHIM.to_owned(),
            parent => format!("{SHIM}::{parent}"),
        }),
        _ => None,
    }
}

fn is_path(after: &[TokenTree]) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
    after.len() >= 2 && after[..2].iter().all(is_colon)
}

struct Parser<'a> {
    text: &'a str,
    parent: &'a str,
    has_nonpoison: bool,
    modules: Vec<String>,
    items: Vec<Item>,
}

impl Parser<'_> {
    fn items_of(&mut self, tokens: Vec<TokenTree>) {
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            let length = item_length(rest);
            let (item, after) = rest.split_at(length);
            self.item(item);
            rest = after;
        }
    }

    fn item(&mut self, tokens: &[TokenTree]) {
        let words = words(tokens);
        // Left out: attributes of the file, modules in other files, and benchmarks.
        let is_inner = matches!(tokens, [TokenTree::Punct(hash), TokenTree::Punct(bang), ..]
            if hash.as_char() == '#' && bang.as_char() == '!');
        let has_body = matches!(tokens.last(), Some(TokenTree::Group(_)));
        let word = words.first().map_or("", String::as_str);
        if is_inner || (word == "mod" && !has_body) || has_attribute(tokens, "bench") {
            return;
        }
        match word {
            "mod" => self.module(tokens, &words[1]),
            "use" => self.imports(tokens),
            "nonpoison_and_poison_unwrap_test" => self.of_both_locks(tokens),
            _ if has_attribute(tokens, "test") => self.test(tokens, name_of_fn(tokens)),
            _ => self.push(self.renamed(tokens), Role::Other),
        }
    }

    fn push(&mut self, text: String, role: Role) {
        self.items.push(Item::of(text, role));
    }

    fn path_to(&self, name: &str) -> String {
        let mut path = self.modules.clone();
        path.push(name.to_owned());
        path.join("::")
    }

    fn source(&self, tokens: &[TokenTree]) -> &str {
        let range = |token: &TokenTree| token.span().byte_range();
        &self.text[range(&tokens[0]).start..range(&tokens[tokens.len() - 1]).end]
    }

    fn renamed(&self, tokens: &[TokenTree]) -> String {
        let parent = self.modules.is_empty().then_some(self.parent);
        let source = self.source(tokens);
        renamed(source, parent).unwrap_or_else(|_| source.to_owned())
    }

    fn module(&mut self, tokens: &[TokenTree], name: &str) {
        let Some(TokenTree::Group(body)) = tokens.last() else { return };
        let head = self.renamed(&tokens[..tokens.len() - 1]);
        self.push(format!("{head} {{"), Role::Bracket);
        self.modules.push(name.to_owned());
        self.items_of(body.stream().into_iter().collect());
        self.modules.pop();
        self.push("}".to_owned(), Role::Bracket);
    }

    /// Makes one item of each name, so that a single one can be left out.
    fn imports(&mut self, tokens: &[TokenTree]) {
        let at = tokens.iter().position(|token| is_word(token, "use")).unwrap_or(0);
        let head = match at {
            0 => String::new(),
            at => self.source(&tokens[..at]).to_owned(),
        };
        let tree = &tokens[at + 1..tokens.len() - 1];
        for path in leaves(tree) {
            let parent = self.modules.is_empty().then_some(self.parent);
            let text = format!("use {path};");
            let text = renamed(&text, parent).unwrap_or(text);
            self.push(format!("{head} {text}"), Role::Other);
        }
    }

    fn test(&mut self, tokens: &[TokenTree], name: String) {
        let Some(TokenTree::Group(body)) = tokens.last() else { return };
        let head = self.renamed(&tokens[..tokens.len() - 1]);
        let body = self.body(body);
        let text = format!("{head} {{ {SHIM}::within(|| {{ {body} }}) }}");
        let role = Role::Test(self.path_to(&name));
        if text.contains("nonpoison") && !self.has_nonpoison {
            return self.without_poison(role);
        }
        self.push(text, role);
    }

    /// Leaves out a test of locks without poison: std's own locks would stop the thread.
    fn without_poison(&mut self, role: Role) {
        let mut item = Item::of(String::new(), role);
        item.dropped = Some("this library has no locks without poison".to_owned());
        self.items.push(item);
    }

    fn body(&self, body: &Group) -> String {
        let range = body.span().byte_range();
        let source = &self.text[range.start + 1..range.end - 1];
        let parent = self.modules.is_empty().then_some(self.parent);
        renamed(source, parent).unwrap_or_else(|_| source.to_owned())
    }

    /// Makes two tests of a call of std's macro, one of them for locks without poison, which this
    /// library does not have.
    fn of_both_locks(&mut self, tokens: &[TokenTree]) {
        let call = tokens.iter().rev().find_map(|token| match token {
            TokenTree::Group(group) => Some(group.clone()),
            _ => None,
        });
        let Some(call) = call else { return };
        let inner: Vec<_> = call.stream().into_iter().collect();
        let name = inner.get(2).map(ToString::to_string).unwrap_or_default();
        let body = inner.iter().rev().find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        });
        let Some(body) = body else { return };
        let cfg = match tokens
            .iter()
            .position(|token| is_word(token, "nonpoison_and_poison_unwrap_test"))
        {
            None | Some(0) => String::new(),
            Some(at) => self.source(&tokens[..at]).to_owned(),
        };
        let body = self.body(body);
        let of = |kind: &str, unwrap: &str| {
            format!(
                "{cfg} #[test] fn {kind}_{name}() {{ use {SHIM}::{unwrap} as maybe_unwrap; \
                 use {SHIM}::sync::{kind} as locks; {SHIM}::within(|| {{ {body} }}) }}"
            )
        };
        let role = |kind: &str| Role::Test(self.path_to(&format!("{kind}_{name}")));
        let nonpoison = role("nonpoison");
        self.push(of("poison", "result_unwrap"), role("poison"));
        match self.has_nonpoison {
            true => self.push(of("nonpoison", "convert::identity"), nonpoison),
            false => self.without_poison(nonpoison),
        }
    }
}

/// Counts the tokens of the first item.
fn item_length(tokens: &[TokenTree]) -> usize {
    if let [TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(_), ..] = tokens
        && hash.as_char() == '#'
        && bang.as_char() == '!'
    {
        return 3;
    }
    let words = words(tokens);
    let word = words.first().map_or("", String::as_str);
    let second = words.get(1).map_or("", String::as_str);
    let to_semicolon = matches!(word, "use" | "static" | "type" | "extern")
        || (word == "const" && second != "fn" && second != "unsafe");
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => !to_semicolon && group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    tokens.iter().position(ends).map_or(tokens.len(), |at| at + 1)
}

/// Lists the first words of an item, after its attributes and its visibility.
fn words(tokens: &[TokenTree]) -> Vec<String> {
    let words = tokens.iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    });
    words.filter(|word| word != "pub").take(3).collect()
}

fn is_word(token: &TokenTree, wanted: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if word == wanted)
}

fn has_attribute(tokens: &[TokenTree], name: &str) -> bool {
    tokens.windows(2).any(|pair| match pair {
        [TokenTree::Punct(hash), TokenTree::Group(group)] => {
            hash.as_char() == '#' && group.stream().to_string() == name
        }
        _ => false,
    })
}

fn name_of_fn(tokens: &[TokenTree]) -> String {
    let at = tokens.iter().position(|token| is_word(token, "fn"));
    at.and_then(|at| tokens.get(at + 1)).map(ToString::to_string).unwrap_or_default()
}

/// Lists the paths of a tree of imports.
fn leaves(tree: &[TokenTree]) -> Vec<String> {
    let Some(TokenTree::Group(group)) = tree.last() else {
        return vec![joined(tree)];
    };
    let prefix = joined(&tree[..tree.len() - 1]);
    let inner: Vec<_> = group.stream().into_iter().collect();
    let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    let parts = inner.split(comma).filter(|part| !part.is_empty());
    let paths = parts.flat_map(leaves);
    let whole = |path: String| match path.strip_prefix("self") {
        Some(rest) => format!("{}{rest}", prefix.trim_end_matches(':')),
        None => format!("{prefix}{path}"),
    };
    paths.map(whole).collect()
}

fn joined(tokens: &[TokenTree]) -> String {
    let text: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    text.join(" ").replace(" : : ", "::").replace(" : :", "::").replace(": : ", "::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        let (items, _) = parse(source, "net", false).unwrap();
        items.into_iter().map(|item| item.text.trim().to_owned()).collect()
    }

    #[test]
    fn names_of_std_are_those_of_the_shim() {
        let text = renamed("crate::io::copy(std::x, a::std::y, $crate::z, super::q)", Some("net"));
        let wanted = "std_shim::io::copy(std_shim::x, a::std::y, $crate::z, std_shim::net::q)";
        assert_eq!(text.unwrap(), wanted);
    }

    #[test]
    fn imports_are_split_by_names() {
        let source = "use std::{fmt, io::{self, Read as R}}; use super::*;";
        let wanted = [
            "use std_shim::fmt;",
            "use std_shim::io;",
            "use std_shim::io::Read as R;",
            "use std_shim::net::*;",
        ];
        let parted: Vec<_> = texts(source).iter().map(|text| text.replace(" ", "")).collect();
        assert_eq!(parted, wanted.map(|text| text.replace(" ", "")));
    }

    #[test]
    fn tests_run_inside_a_run_and_keep_their_names() {
        let source = "#![feature(a, b)] mod common; const X: [u8; 1] = [{ 1 }]; fn help() {}\n\
                      mod inner { #[test] #[should_panic] fn t() { super::help() } }\n\
                      #[bench] fn b() {}";
        let (items, features) = parse(source, "", false).unwrap();
        assert_eq!(features, ["a", "b"]);
        let roles: Vec<_> = items.iter().map(|item| item.role.clone()).collect();
        let test = Role::Test("inner::t".to_owned());
        assert_eq!(roles, [Role::Other, Role::Other, Role::Bracket, test, Role::Bracket]);
        assert!(items[3].text.contains("std_shim::within(|| {  super::help()  })"));
    }
}
