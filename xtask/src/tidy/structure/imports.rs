//! Imports between the rooms of a crate point one way, and so do the rows that allow them.
//!
//! A name that the crate's root re-exports counts as one of the room that it comes from, in crates
//! that may take names from there. A name that the root defines itself is of the room `lib` or
//! `main`.

use std::collections::{BTreeSet, HashMap};

use super::graph::components;
use crate::tidy::report::Report;
use crate::tidy::source::Source;
use crate::tidy::source::paths::{self, Path};
use crate::tidy::table::{BOTH_WAYS, CRATES, Crate, IMPORTS};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for of_crate in CRATES {
        check_order(of_crate, report);
        let root = Root::new(of_crate, sources);
        for source in sources {
            if let Some(room) = source.room_of(of_crate.folder) {
                check_file(of_crate, &root, room, source, report);
            }
        }
    }
}

/// Checks that the rows of a crate lead one way: no room comes back to itself.
fn check_order(of_crate: &Crate, report: &mut Report) {
    let both_ways = both_ways(of_crate.rooms);
    for (room, _) in of_crate.rooms {
        let row = of_crate.row(room);
        let returns = both_ways.contains(room);
        let holds = !returns || BOTH_WAYS.contains(&row.as_str());
        let what = format!("`{row}` comes back to itself by the rooms that it may import");
        report.check_table(holds, &IMPORTS, "xtask/src/tidy/table.rs", what);
        if returns {
            report.uses("BOTH_WAYS", &row);
        }
    }
}

/// Finds the rooms that come back to themselves.
fn both_ways<'a>(rooms: &[(&'a str, &[&str])]) -> BTreeSet<&'a str> {
    let place = |name: &&str| rooms.iter().position(|(room, _)| room == name);
    let arrows: Vec<BTreeSet<usize>> =
        rooms.iter().map(|(_, others)| others.iter().filter_map(place).collect()).collect();
    components(&arrows).into_iter().flatten().map(|at| rooms[at].0).collect()
}

/// The names that rooms may take from the root of their crate.
#[derive(Default)]
struct Root {
    /// The room of each name that it re-exports.
    exports: HashMap<String, String>,
    /// `lib` or `main`, where it may be imported itself.
    name: Option<&'static str>,
}

impl Root {
    fn new(of_crate: &Crate, sources: &[Source<'_>]) -> Root {
        let find = |name: &'static str| {
            let path = format!("{}{name}.rs", of_crate.folder);
            Some((name, sources.iter().find(|source| source.path == path)?))
        };
        let Some((name, source)) = find("lib").or_else(|| find("main")) else {
            return Root::default();
        };
        if !of_crate.root {
            return Root::default();
        }
        let paths = paths::collect(&source.trees);
        let imports = paths::imports(&paths).into_iter();
        let exports = imports.filter_map(|(name, path)| {
            let room = path.iter().find(|segment| *segment != "self")?;
            Some((name.to_owned(), room.clone()))
        });
        Root { exports: exports.collect(), name: Some(name) }
    }

    /// Names the room of a name in the root.
    fn room<'a>(&'a self, of_crate: &Crate, name: &'a str) -> &'a str {
        let is_room = of_crate.rooms.iter().any(|(room, _)| *room == name);
        match self.exports.get(name) {
            _ if is_room => name,
            Some(room) => room,
            None => self.name.unwrap_or(name),
        }
    }
}

fn check_file(of_crate: &Crate, root: &Root, room: &str, source: &Source<'_>, report: &mut Report) {
    let known = of_crate.rooms.iter().find(|(name, _)| *name == room);
    let what = format!("the room `{room}` is not in the table of {}", of_crate.folder);
    report.check(known.is_some(), (source.path, 1), &IMPORTS, what);
    let Some((_, allowed)) = known else { return };
    report.uses("ROOMS", &of_crate.row(room));
    for path in paths::collect(&source.trees) {
        let place = (source.path, path.line);
        let text = path.text();
        match target(of_crate, source.path, &path) {
            Target::Elsewhere => {}
            Target::Room(other) => {
                let other = root.room(of_crate, &other);
                let what = format!("`{room}` imports `{other}`: {text}");
                let holds = other == room || allowed.contains(&other);
                report.check(holds, place, &IMPORTS, what);
                report.uses("ROOMS", &of_crate.direction(room, other));
            }
            Target::Root => {
                let what = format!("`{text}` takes names from the root, not from their room");
                report.check(false, place, &IMPORTS, what);
            }
        }
    }
}

enum Target {
    /// The path leads to no room of this crate.
    Elsewhere,
    Room(String),
    /// `crate::*`, or `super::*` in a room's own file.
    Root,
}

/// Finds the room to which a path in `file` leads.
fn target(of_crate: &Crate, file: &str, path: &Path) -> Target {
    let mut here = module_of(of_crate, file);
    here.extend(path.modules.iter().cloned());
    let mut segments = path.segments.as_slice();
    match segments.first().map(String::as_str) {
        Some("crate") => {
            here.clear();
            segments = &segments[1..];
        }
        Some("super") => {
            while let Some((first, rest)) = segments.split_first()
                && first == "super"
            {
                here.pop();
                segments = rest;
            }
        }
        _ => return Target::Elsewhere,
    }
    here.extend(segments.iter().cloned());
    match here.into_iter().next() {
        Some(room) => Target::Room(room),
        None => Target::Root,
    }
}

/// Names the module that a file of the crate is.
fn module_of(of_crate: &Crate, file: &str) -> Vec<String> {
    let path = file.strip_prefix(of_crate.folder).unwrap_or(file);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_come_back_to_themselves_are_found() {
        let down: [(&str, &[&str]); 3] = [("a", &["b", "c"]), ("b", &["c"]), ("c", &[])];
        assert_eq!(both_ways(&down), BTreeSet::new());
        let round: [(&str, &[&str]); 4] =
            [("a", &["b"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"])];
        assert_eq!(both_ways(&round), BTreeSet::from(["b", "c", "d"]));
    }
}
