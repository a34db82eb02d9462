//! No arm that catches the rest in a `match` over operations of the library: it would hide from
//! the compiler's list what a new operation lacks.
//!
//! Found by tokens: a `match` one of whose patterns names a variant of one of [`OPERATIONS`], and
//! that has an arm without a guard of which one alternative is
//!
//! - `_`, or a name alone (`other`), or
//! - a whole group of operations without a look at them: `Op::Fs(_)`, `Op::Net(..)`.
//!
//! `Op::Fs(fs) => …` passes: the value is handed on to a `match` that is looked at itself. Not
//! found: `matches!`, `if let` and `let … else`, which ask about operations that they name and say
//! the same of all others; a pattern inside of a tuple; and a `match` that names operations only
//! through constants or other names of the types.

use proc_macro2::Delimiter;

use crate::tidy::report::Report;
use crate::tidy::source::{Source, Tree};
use crate::tidy::table::{CATCH_ALL, LIBRARY, OPERATIONS};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources.iter().filter(|source| source.path.starts_with(LIBRARY)) {
        let mut lines = Vec::new();
        walk(&source.trees, &mut lines, report);
        for line in lines {
            let what = "an arm catches the rest of the operations".to_owned();
            report.check(false, (source.path, line), &CATCH_ALL, what);
        }
    }
}

fn walk(trees: &[Tree], lines: &mut Vec<usize>, report: &mut Report) {
    for (at, tree) in trees.iter().enumerate() {
        if let Tree::Group { trees, .. } = tree {
            walk(trees, lines, report);
        }
        if tree.is_word("match")
            && let Some(arms) = arms(&trees[at + 1..])
        {
            let patterns = patterns(arms);
            if patterns.iter().any(|pattern| names_operation(pattern)) {
                report.check(true, ("", 1), &CATCH_ALL, String::new());
                lines.extend(patterns.iter().filter_map(|pattern| catch_all(pattern)));
            }
        }
    }
}

/// Finds the arms of a `match` in what follows the word: the first braces that are not a block of
/// the value that is looked at.
fn arms(after: &[Tree]) -> Option<&[Tree]> {
    after.iter().enumerate().find_map(|(at, tree)| match tree {
        Tree::Group { delimiter: Delimiter::Brace, trees, .. }
            if at > 0 && !after[at - 1].is_word("unsafe") =>
        {
            Some(trees.as_slice())
        }
        _ => None,
    })
}

/// Parts the arms into their patterns, guards included.
fn patterns(arms: &[Tree]) -> Vec<&[Tree]> {
    let mut found = Vec::new();
    let mut rest = arms;
    while let Some(arrow) =
        rest.windows(2).position(|two| two[0].is_sign('=') && two[1].is_sign('>'))
    {
        // A comma between the `<>` of the arm before ends no arm; a pattern has none on its level.
        let begin = rest[..arrow].iter().rposition(|tree| tree.is_sign(',')).map_or(0, |at| at + 1);
        found.push(&rest[begin..arrow]);
        let body = &rest[arrow + 2..];
        let end = match body.first() {
            Some(Tree::Group { delimiter: Delimiter::Brace, .. }) => 1,
            _ => body.iter().position(|tree| tree.is_sign(',')).map_or(body.len(), |at| at + 1),
        };
        rest = &body[end..];
    }
    found
}

/// Tells whether a pattern has a path such as `Op::Net`, on any level.
fn names_operation(pattern: &[Tree]) -> bool {
    let path = |four: &[Tree]| {
        OPERATIONS.iter().any(|(name, _)| four[0].is_word(name))
            && four[1].is_sign(':')
            && four[2].is_sign(':')
            && matches!(four[3], Tree::Ident { .. })
    };
    pattern.windows(4).any(path)
        || pattern.iter().any(|tree| match tree {
            Tree::Group { trees, .. } => names_operation(trees),
            _ => false,
        })
}

/// Finds the line of an alternative that catches the rest.
fn catch_all(pattern: &[Tree]) -> Option<usize> {
    if pattern.iter().any(|tree| tree.is_word("if")) {
        return None;
    }
    pattern.split(|tree| tree.is_sign('|')).find_map(|alternative| match alternative {
        [Tree::Ident { name, line }] => is_unbound(name).then_some(*line),
        [.., Tree::Ident { name: group, .. }, a, b, Tree::Ident { name, line }, inside]
            if a.is_sign(':') && b.is_sign(':') && is_group(group, name) =>
        {
            let Tree::Group { trees, .. } = inside else { return None };
            let inner = trees.split(|tree| tree.is_sign('|'));
            let hides = |inner: &[Tree]| match inner {
                [word] => word.is_word("_"),
                [a, b] => a.is_sign('.') && b.is_sign('.'),
                _ => false,
            };
            inner.into_iter().any(hides).then_some(*line)
        }
        _ => None,
    })
}

/// Tells `_` and the name of a variable.
fn is_unbound(name: &str) -> bool {
    name.starts_with(|sign: char| sign == '_' || sign.is_ascii_lowercase())
}

fn is_group(operations: &str, variant: &str) -> bool {
    OPERATIONS.iter().any(|(name, groups)| *name == operations && groups.contains(&variant))
}
