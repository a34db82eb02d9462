//! Builds the graph of imports between the files of one crate, and finds its circles.
//!
//! A path is followed to the file in which its name stands. A name that a file only hands on
//! (`pub use`, or a `use` of a module below for the modules below) leads on to where it comes from:
//! so a front that re-exports what its folder has is not in a circle with it, as long as the files
//! of the folder take from it only what others of them have. A name that the front itself defines
//! does lead to the front. A `mod` item is no import.
//!
//! Tokens tell names, not types: a method called on a value of another file's type is not seen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::tidy::source::paths::{self, Path};
use crate::tidy::source::{Source, Tree};

/// The files of a crate and what each imports of the others.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    files: Vec<Node<'a>>,
    /// The file of each module.
    modules: HashMap<Vec<String>, usize>,
}

#[derive(Debug)]
struct Node<'a> {
    path: &'a str,
    module: Vec<String>,
    paths: Vec<Path>,
    /// Names of items that it defines, on any level.
    defined: HashSet<&'a str>,
    /// Words outside of `use` items.
    words: HashSet<&'a str>,
}

/// An import of one file by another.
#[derive(Debug, Clone)]
pub(crate) struct Import<'a> {
    /// The file that is imported.
    pub(crate) to: &'a str,
    /// The line of the import.
    pub(crate) line: usize,
    /// The path as written.
    pub(crate) text: String,
}

/// A file of a circle, with its imports of others in it.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) path: &'a str,
    pub(crate) imports: Vec<Import<'a>>,
}

impl<'a> Graph<'a> {
    /// Reads the crate whose sources lie in `folder`.
    pub(crate) fn new(folder: &str, sources: &'a [Source<'a>]) -> Graph<'a> {
        let files: Vec<Node<'a>> = sources
            .iter()
            .filter(|source| source.path.starts_with(folder) && !source.trees.is_empty())
            .map(|source| {
                let mut words = HashSet::new();
                let mut defined = HashSet::new();
                read(&source.trees, &mut words, &mut defined);
                let module = module_of(folder, source.path);
                let paths = paths::collect(&source.trees);
                Node { path: source.path, module, paths, defined, words }
            })
            .collect();
        let modules = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at));
        Graph { modules: modules.collect(), files }
    }

    /// Finds the imports of every file, by the index of the file that is imported.
    fn arrows(&self) -> Vec<BTreeMap<usize, Import<'a>>> {
        let arrows = |(at, file): (usize, &Node<'a>)| {
            let mut found = BTreeMap::new();
            for path in file.paths.iter().filter(|path| !hands_on(file, path)) {
                for to in self.targets(at, path) {
                    if to != at {
                        let (to_path, line) = (self.files[to].path, path.line);
                        let import = || Import { to: to_path, line, text: path.text() };
                        found.entry(to).or_insert_with(import);
                    }
                }
            }
            found
        };
        self.files.iter().enumerate().map(arrows).collect()
    }

    /// Finds the files in which the name of `path`, written in the file `at`, stands.
    fn targets(&self, at: usize, path: &Path) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut here = self.files[at].module.clone();
        here.extend(path.modules.iter().cloned());
        if let Some(mut whole) = self.absolute(at, &here, path) {
            if path.glob {
                // What it takes is not known: the module is what it leans on.
                whole.push("*".to_owned());
            }
            self.follow(&whole, &mut HashSet::new(), &mut found);
        }
        found
    }

    /// Turns a path into one from the crate's root. `None`: it leads to another crate, or to a
    /// name of the file itself.
    fn absolute(&self, at: usize, here: &[String], path: &Path) -> Option<Vec<String>> {
        let mut base = here.to_vec();
        let mut segments = path.segments.as_slice();
        let first = segments.first()?;
        match first.as_str() {
            "crate" => {
                base.clear();
                segments = &segments[1..];
            }
            "self" => segments = &segments[1..],
            "super" => {
                while let Some((first, rest)) = segments.split_first()
                    && first == "super"
                {
                    base.pop()?;
                    segments = rest;
                }
            }
            _ => {
                let child = [base.as_slice(), std::slice::from_ref(first)].concat();
                let inner = path.modules.len();
                match self.import_of(at, first) {
                    Some(import) if import.segments != path.segments => {
                        let mut whole = self.absolute(at, &base[..base.len() - inner], import)?;
                        whole.extend(segments[1..].iter().cloned());
                        return Some(whole);
                    }
                    _ if !self.modules.contains_key(&child) => return None,
                    _ => {}
                }
            }
        }
        base.extend(segments.iter().cloned());
        Some(base)
    }

    fn import_of(&self, at: usize, name: &str) -> Option<&Path> {
        self.files[at].paths.iter().find(|path| path.imported_as.as_deref() == Some(name))
    }

    /// Follows a path from the root to the file in which its name stands, through re-exports.
    fn follow(
        &self,
        whole: &[String],
        seen: &mut HashSet<Vec<String>>,
        found: &mut BTreeSet<usize>,
    ) {
        if !seen.insert(whole.to_vec()) {
            return;
        }
        let longest = (0..=whole.len()).rev().find(|end| self.modules.contains_key(&whole[..*end]));
        let Some(end) = longest else { return };
        let at = self.modules[&whole[..end]];
        let file = &self.files[at];
        // A module itself, by name: the paths that begin with it are followed further.
        let Some(name) = whole.get(end) else { return };
        if name == "*" || file.defined.contains(name.as_str()) {
            found.insert(at);
            return;
        }
        if let Some(import) = self.import_of(at, name) {
            if let Some(mut next) = self.absolute(at, &file.module, import) {
                next.extend(whole[end + 1..].iter().cloned());
                self.follow(&next, seen, found);
            }
            return;
        }
        let before = found.len();
        for glob in file.paths.iter().filter(|path| path.glob && path.exported) {
            if let Some(mut next) = self.absolute(at, &file.module, glob) {
                next.extend(whole[end..].iter().cloned());
                self.follow_defined(&next, seen, found);
            }
        }
        if found.len() == before {
            found.insert(at);
        }
    }

    /// Follows a path through `pub use module::*`, where the module has the name.
    fn follow_defined(
        &self,
        whole: &[String],
        seen: &mut HashSet<Vec<String>>,
        found: &mut BTreeSet<usize>,
    ) {
        let longest = (0..=whole.len()).rev().find(|end| self.modules.contains_key(&whole[..*end]));
        let Some(end) = longest else { return };
        let file = &self.files[self.modules[&whole[..end]]];
        let has = whole.get(end).is_some_and(|name| {
            file.defined.contains(name.as_str())
                || file.paths.iter().any(|path| path.imported_as.as_ref() == Some(name))
        });
        if has {
            self.follow(whole, seen, found);
        }
    }

    /// Finds the circles: sets of files each of which leads to all others of the set.
    pub(crate) fn circles(&self) -> Vec<Vec<Member<'a>>> {
        let arrows = self.arrows();
        let targets: Vec<BTreeSet<usize>> =
            arrows.iter().map(|imports| imports.keys().copied().collect()).collect();
        let member = |circle: &BTreeSet<usize>, at: usize| {
            let inside = arrows[at].iter().filter(|(to, _)| circle.contains(to));
            let imports = inside.map(|(_, import)| import.clone()).collect();
            Member { path: self.files[at].path, imports }
        };
        let circle =
            |circle: BTreeSet<usize>| circle.iter().map(|at| member(&circle, *at)).collect();
        components(&targets).into_iter().map(circle).collect()
    }
}

/// Tells a `use` that only hands a name on: others take it from here, this file never says it.
fn hands_on(file: &Node<'_>, path: &Path) -> bool {
    let below = !matches!(path.segments.first().map(String::as_str), Some("super" | "crate"));
    let says = |name: &String| file.words.contains(name.as_str());
    match &path.imported_as {
        Some(name) => (path.exported || below) && !says(name),
        None => path.glob && path.exported,
    }
}

/// Collects the words of a file outside of its `use` items, and the names of its items.
fn read<'a>(trees: &'a [Tree], words: &mut HashSet<&'a str>, defined: &mut HashSet<&'a str>) {
    let mut at = 0;
    while at < trees.len() {
        match &trees[at..] {
            [word, rest @ ..]
                if word.is_word("use") && rest.first().is_some_and(|next| !next.is_sign('<')) =>
            {
                at += rest.iter().position(|tree| tree.is_sign(';')).unwrap_or(rest.len());
            }
            [Tree::Ident { name: word, .. }, Tree::Ident { name, .. }, ..]
                if ITEMS.contains(&word.as_str()) =>
            {
                defined.insert(name);
            }
            [macro_rules, bang, Tree::Ident { name, .. }, ..]
                if macro_rules.is_word("macro_rules") && bang.is_sign('!') =>
            {
                defined.insert(name);
            }
            [Tree::Ident { name, .. }, ..] => {
                words.insert(name);
            }
            [Tree::Group { trees, .. }, ..] => read(trees, words, defined),
            _ => {}
        }
        at += 1;
    }
}

/// Words before the name of an item.
const ITEMS: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod", "mut"];

fn module_of(folder: &str, path: &str) -> Vec<String> {
    let path = path.strip_prefix(folder).unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    let front = module.last().is_some_and(|last| last == "mod");
    let root = module.len() == 1 && matches!(module[0].as_str(), "lib" | "main");
    if front || root {
        module.pop();
    }
    module
}

/// Finds the sets of more than one node that all lead to each other (Tarjan's algorithm).
pub(super) fn components(arrows: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    #[derive(Default)]
    struct Search {
        number: Vec<Option<usize>>,
        low: Vec<usize>,
        stack: Vec<usize>,
        next: usize,
        found: Vec<BTreeSet<usize>>,
    }
    fn visit(at: usize, arrows: &[BTreeSet<usize>], search: &mut Search) {
        search.number[at] = Some(search.next);
        search.low[at] = search.next;
        search.next += 1;
        search.stack.push(at);
        for &to in &arrows[at] {
            match search.number[to] {
                None => {
                    visit(to, arrows, search);
                    search.low[at] = search.low[at].min(search.low[to]);
                }
                Some(number) if search.stack.contains(&to) => {
                    search.low[at] = search.low[at].min(number);
                }
                Some(_) => {}
            }
        }
        if Some(search.low[at]) == search.number[at] {
            let first = search.stack.iter().position(|other| *other == at).unwrap_or(0);
            let component: BTreeSet<usize> = search.stack.drain(first..).collect();
            if component.len() > 1 {
                search.found.push(component);
            }
        }
    }
    let mut search = Search {
        number: vec![None; arrows.len()],
        low: vec![0; arrows.len()],
        ..Search::default()
    };
    for at in 0..arrows.len() {
        if search.number[at].is_none() {
            visit(at, arrows, &mut search);
        }
    }
    search.found
}
