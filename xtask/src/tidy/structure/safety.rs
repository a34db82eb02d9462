//! Only a few crates may use `unsafe`; only two rooms and the benchmarks may name corosensei.

use crate::tidy::report::Report;
use crate::tidy::source::{Source, Tree};
use crate::tidy::table::{
    BENCH, COROSENSEI, COROSENSEI_NEVER, COROSENSEI_ROOMS, CRATES_WITH_UNSAFE, UNSAFE,
};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources {
        let mut words = Vec::new();
        collect(&source.trees_with_tests, &mut words);
        let unsafe_crate = CRATES_WITH_UNSAFE.iter().find(|name| source.path.starts_with(**name));
        let room = source.room().filter(|room| COROSENSEI_ROOMS.contains(room));
        let may_switch = room.is_some() || source.path.starts_with(BENCH);
        for (word, line) in words {
            let place = (source.path, line);
            if word == "unsafe" {
                unsafe_crate.iter().for_each(|row| report.uses("CRATES_WITH_UNSAFE", row));
                let holds = unsafe_crate.is_some();
                report.check(holds, place, &UNSAFE, "`unsafe` in this crate".into());
            } else if word == "corosensei" {
                let what = "corosensei is named outside of switch/ and stack/".into();
                room.iter().for_each(|row| report.uses("COROSENSEI_ROOMS", row));
                report.check(may_switch, place, &COROSENSEI, what);
            } else if COROSENSEI_NEVER.contains(&word) {
                report.check(false, place, &COROSENSEI, format!("`{word}` appears"));
            }
        }
        if is_crate_root(source.path) && unsafe_crate.is_none() {
            let what = "the crate root lacks #![forbid(unsafe_code)]".into();
            report.check(forbids_unsafe(&source.trees), (source.path, 1), &UNSAFE, what);
        }
    }
}

fn collect<'a>(trees: &'a [Tree], words: &mut Vec<(&'a str, usize)>) {
    for tree in trees {
        match tree {
            Tree::Ident { name, line } => words.push((name, *line)),
            Tree::Group { trees, .. } => collect(trees, words),
            Tree::Punct { .. } | Tree::Literal { .. } => {}
        }
    }
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("src/bin/")
}

fn forbids_unsafe(trees: &[Tree]) -> bool {
    trees.windows(3).any(|three| match three {
        [hash, bang, Tree::Group { trees, .. }] if hash.is_sign('#') && bang.is_sign('!') => {
            let mut words = Vec::new();
            collect(trees, &mut words);
            matches!(words.as_slice(), [("forbid", _), rest @ ..]
                if rest.iter().any(|(word, _)| *word == "unsafe_code"))
        }
        _ => false,
    })
}
