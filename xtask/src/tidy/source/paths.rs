//! Collects the paths in a file: those of `use` trees, and `a::b::c` anywhere.

use std::collections::HashMap;

use proc_macro2::Delimiter;

use super::Tree;

/// A path as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// The name that a `use` gives it.
    pub(crate) imported_as: Option<String>,
    /// It ends in `::*`.
    pub(crate) glob: bool,
    /// A `use` with a visibility of its own, so that others may import the name from here.
    pub(crate) exported: bool,
    /// The modules around it in the same file.
    pub(crate) modules: Vec<String>,
}

impl Path {
    /// Writes the path as in the source, for messages.
    pub(crate) fn text(&self) -> String {
        let text = self.segments.join("::");
        if self.glob { format!("{text}::*") } else { text }
    }

    /// Tells whether it is in a `use`.
    pub(crate) fn is_import(&self) -> bool {
        self.glob || self.imported_as.is_some()
    }
}

/// Collects every path in `trees`. Names of one segment are collected only from a `use`.
pub(crate) fn collect(trees: &[Tree]) -> Vec<Path> {
    let mut found = Vec::new();
    walk(trees, &mut Vec::new(), &mut found);
    found
}

/// Maps each imported name to its path.
pub(crate) fn imports(paths: &[Path]) -> HashMap<&str, &[String]> {
    let named = |path: &'_ &Path| path.imported_as.is_some();
    paths
        .iter()
        .filter(named)
        .map(|path| (path.imported_as.as_deref().unwrap_or_default(), path.segments.as_slice()))
        .collect()
}

fn walk(trees: &[Tree], modules: &mut Vec<String>, found: &mut Vec<Path>) {
    let mut at = 0;
    while at < trees.len() {
        match &trees[at..] {
            [Tree::Ident { name, .. }, rest @ ..] if name == "use" && begins_use(rest) => {
                let length = rest.iter().position(|tree| tree.is_sign(';')).unwrap_or(rest.len());
                let first = found.len();
                use_tree(&rest[..length], &[], modules, found);
                let exported = is_exported(&trees[..at]);
                found[first..].iter_mut().for_each(|path| path.exported = exported);
                at += length + 1;
            }
            [Tree::Ident { name, .. }, Tree::Ident { name: module, .. }, body, ..]
                if name == "mod" && matches!(body, Tree::Group { .. }) =>
            {
                let Tree::Group { trees: inside, .. } = body else { unreachable!("matched above") };
                modules.push(module.clone());
                walk(inside, modules, found);
                modules.pop();
                at += 3;
            }
            [Tree::Ident { name, line }, ..] => {
                let (segments, end) = plain(trees, at, name);
                if segments.len() > 1 && !continues(&trees[..at]) {
                    let modules = modules.clone();
                    found.push(Path { segments, line: *line, modules, ..Path::default() });
                }
                at = end;
            }
            [Tree::Group { trees: inside, .. }, ..] => {
                walk(inside, modules, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Tells a `use` item from the `use<…>` of a return type.
fn begins_use(rest: &[Tree]) -> bool {
    rest.first().is_some_and(|tree| !tree.is_sign('<'))
}

/// Tells whether a visibility (`pub`, `pub(super)`) stands at the end of `before`.
fn is_exported(before: &[Tree]) -> bool {
    match before {
        [.., word] if word.is_word("pub") => true,
        [.., word, Tree::Group { delimiter: Delimiter::Parenthesis, .. }] => word.is_word("pub"),
        _ => false,
    }
}

/// Tells whether a path after `before` began elsewhere (`<T as U>::x`, `a.b`).
fn continues(before: &[Tree]) -> bool {
    match before {
        // A range (`..path`) begins anew.
        [.., a, b] if a.is_sign('.') && b.is_sign('.') => false,
        [.., dot] if dot.is_sign('.') => true,
        // `$crate` in a macro: a name for users of the macro, not an import.
        [.., dollar] if dollar.is_sign('$') => true,
        [.., owner, a, b] if a.is_sign(':') && b.is_sign(':') => owner.is_sign('>'),
        _ => false,
    }
}

/// Reads the path that begins at `at`; gives it and the index after it.
fn plain(trees: &[Tree], at: usize, first: &str) -> (Vec<String>, usize) {
    let mut segments = vec![first.to_owned()];
    let mut end = at + 1;
    while let Some([a, b, Tree::Ident { name, .. }]) = trees.get(end..end + 3) {
        if !(a.is_sign(':') && b.is_sign(':')) {
            break;
        }
        segments.push(name.clone());
        end += 3;
    }
    (segments, end)
}

fn use_tree(trees: &[Tree], prefix: &[String], modules: &[String], found: &mut Vec<Path>) {
    let mut segments = prefix.to_vec();
    let mut line = 0;
    let mut alias = None;
    let mut glob = false;
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            Tree::Ident { name, .. } if name == "as" => {
                if let Some(Tree::Ident { name, .. }) = trees.get(at + 1) {
                    alias = Some(name.clone());
                }
                break;
            }
            Tree::Ident { name, line: place } => {
                line = *place;
                // `a::{self}` is `a`; a leading `self` is a path of its own.
                if name != "self" || segments.is_empty() {
                    segments.push(name.clone());
                }
            }
            Tree::Punct { sign: '*', line: place } => {
                line = *place;
                glob = true;
            }
            Tree::Group { delimiter: Delimiter::Brace, trees: inside, .. } => {
                for part in inside.split(|tree| tree.is_sign(',')) {
                    if !part.is_empty() {
                        use_tree(part, &segments, modules, found);
                    }
                }
                return;
            }
            _ => {}
        }
        at += 1;
    }
    let imported_as = if glob { None } else { alias.or_else(|| segments.last().cloned()) };
    let modules = modules.to_vec();
    found.push(Path { segments, line, imported_as, glob, exported: false, modules });
}
