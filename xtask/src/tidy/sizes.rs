//! Sizes of files, functions, folders and lines.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Delimiter;

use super::report::Report;
use super::source::{Source, Tree};
use super::table::{
    BROKEN, COLUMNS_MAX, FILE_LINES_MAX, FOLDER_FILES_MAX, FOLDERS_OF_ANY_SIZE, FUNCTION_LINES_MAX,
    HEART, SIZES,
};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            let what = format!("{columns} columns, {COLUMNS_MAX} at most");
            report.check(columns <= COLUMNS_MAX, (source.path, index + 1), &SIZES, what);
        }
        let lines = source.code_lines();
        let heart = HEART.iter().find(|(path, _)| *path == source.path);
        let max = heart.map_or(FILE_LINES_MAX, |(_, max)| *max);
        let what = format!("{} lines of code, {max} at most", lines.len());
        report.check(lines.len() <= max, (source.path, 1), &SIZES, what);
        functions(&source.trees, &lines, source.path, report);
        if let Some((folder, name)) = source.path.rsplit_once('/')
            && name != "mod.rs"
        {
            *folders.entry(folder).or_default() += 1;
        }
    }
    for (folder, files) in folders {
        let name = folder.rsplit('/').next().unwrap_or(folder);
        let free = FOLDERS_OF_ANY_SIZE.contains(&name);
        if files > FOLDER_FILES_MAX {
            report.uses("FOLDERS_OF_ANY_SIZE", name);
        }
        let what = format!("{files} files besides mod.rs, {FOLDER_FILES_MAX} at most");
        report.check(free || files <= FOLDER_FILES_MAX, (folder, 1), &SIZES, what);
    }
    for (path, _) in HEART {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let room = sources.iter().any(|source| source.path == format!("{folder}/mod.rs"));
        let there = sources.iter().any(|source| source.path == *path);
        report.check(there || !room, (path, 1), &BROKEN, "the file of the heart is missing".into());
    }
}

fn functions(trees: &[Tree], lines: &BTreeSet<usize>, path: &str, report: &mut Report) {
    for (at, tree) in trees.iter().enumerate() {
        if let Tree::Group { trees, .. } = tree {
            functions(trees, lines, path, report);
        }
        let [Tree::Ident { name: word, line }, Tree::Ident { name, .. }, rest @ ..] = &trees[at..]
        else {
            continue;
        };
        if word != "fn" {
            continue;
        }
        let end = rest.iter().find(|tree| tree.is_sign(';') || brace(tree).is_some());
        let Some(Tree::Group { trees: body, close, .. }) = end else {
            continue;
        };
        let length = lines.range(*line..=*close).count();
        let holds = length <= FUNCTION_LINES_MAX || is_exhaustive_match(body);
        let what = format!("`{name}` has {length} lines of code, {FUNCTION_LINES_MAX} at most");
        report.check(holds, (path, *line), &SIZES, what);
    }
}

fn brace(tree: &Tree) -> Option<&[Tree]> {
    match tree {
        Tree::Group { delimiter: Delimiter::Brace, trees, .. } => Some(trees),
        _ => None,
    }
}

/// Tells whether a body is one `match` and nothing else, without a catch-all arm. An `unsafe` block
/// around it does not count.
fn is_exhaustive_match(body: &[Tree]) -> bool {
    match body {
        [word, block] if word.is_word("unsafe") => brace(block).is_some_and(is_exhaustive_match),
        [word, scrutinee @ .., arms] if word.is_word("match") => {
            let alone = !scrutinee.iter().any(|tree| brace(tree).is_some());
            let catches_all = |arms: &[Tree]| {
                arms.windows(3).any(|three| {
                    three[0].is_word("_") && three[1].is_sign('=') && three[2].is_sign('>')
                })
            };
            alone && brace(arms).is_some_and(|arms| !catches_all(arms))
        }
        _ => false,
    }
}
