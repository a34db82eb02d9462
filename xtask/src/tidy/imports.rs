//! Imports between the rooms of the library point one way.

use super::Report;
use super::paths::{self, Path};
use super::source::Source;
use super::table::{IMPORTS, LIBRARY, ROOMS};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources {
        let Some(room) = source.room() else { continue };
        let known = ROOMS.iter().find(|(name, _)| *name == room);
        let what = format!("the room `{room}` is not in the table");
        report.check(known.is_some(), (source.path, 1), &IMPORTS, what);
        let Some((_, allowed)) = known else { continue };
        for path in paths::collect(&source.trees) {
            let place = (source.path, path.line);
            let text = path.text();
            match target(source.path, &path) {
                Target::Elsewhere => {}
                Target::Room(other) => {
                    let what = format!("`{room}` imports `{other}`: {text}");
                    let holds = other == room || allowed.contains(&other.as_str());
                    report.check(holds, place, &IMPORTS, what);
                }
                Target::Root => {
                    let what = format!("`{text}` takes names from the root, not from their room");
                    report.check(false, place, &IMPORTS, what);
                }
            }
        }
    }
}

enum Target {
    /// No path into this crate's rooms.
    Elsewhere,
    Room(String),
    /// `crate::*`, or `super::*` in a room's own file.
    Root,
}

/// Where a path in `file` leads.
fn target(file: &str, path: &Path) -> Target {
    let mut here = module_of(file);
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

/// The module that a file of the library is.
fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_prefix(LIBRARY).unwrap_or(file);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}
