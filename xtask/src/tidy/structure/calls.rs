//! Refuses calls of the system outside `sys`, and all such calls in protocols.

use crate::tidy::report::Report;
use crate::tidy::source::paths::{self, Path};
use crate::tidy::source::{Source, Tree};
use crate::tidy::table::{
    CALLS, CONVERSIONS, FOREIGN, FOREIGN_TO_WIRE, Foreign, LIBRARY, NO_IO, ROOMS_THAT_CALL, Rule,
    WIRE,
};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources {
        if let Some(permission) = permission(source) {
            let names = paths::collect(&source.trees);
            if names.iter().any(|path| named(path, FOREIGN) == Named::Refused) {
                report.uses(permission.0, permission.1);
            }
        } else if let Some(held) = held(source) {
            check_file(source, &held, report);
        }
    }
}

/// A rule for a file.
struct Held {
    rule: &'static Rule,
    /// The modules that it is about.
    foreign: &'static [Foreign],
    table: &'static str,
}

fn check_file(source: &Source<'_>, held: &Held, report: &mut Report) {
    let rule = held.rule;
    let allows = |path: &Path, report: &mut Report| match named(path, held.foreign) {
        Named::Refused => false,
        Named::Elsewhere => true,
        Named::Allowed(row) => {
            report.uses(held.table, &row);
            true
        }
    };
    let paths = paths::collect(&source.trees);
    let imports = paths::imports(&paths);
    for path in &paths {
        let place = (source.path, path.line);
        if path.is_import() {
            let what = format!("imports `{}`", path.text());
            let holds = allows(path, report);
            report.check(holds, place, rule, what);
            continue;
        }
        let Some((first, rest)) = path.segments.split_first() else {
            continue;
        };
        let Some(import) = imports.get(first.as_str()) else {
            let holds = allows(path, report);
            report.check(holds, place, rule, format!("names `{}`", path.text()));
            continue;
        };
        // A refused import has its own finding: its uses are not reported again.
        let import = Path { segments: import.to_vec(), ..path.clone() };
        let whole = Path { segments: [&import.segments, rest].concat(), ..path.clone() };
        let holds = !allows(&import, report) || allows(&whole, report);
        report.check(holds, place, rule, format!("names `{}`", whole.text()));
    }
    let has_clock = imports.values().any(|path| {
        path.starts_with(&["std".into(), "time".into()])
            && path.last().is_some_and(|name| name == "Instant" || name == "SystemTime")
    });
    if has_clock {
        methods(&source.trees, source.path, rule, report);
    }
}

/// Finds the row that lets a file of the library call the system: the table and the row's name.
fn permission<'a>(source: &'a Source<'_>) -> Option<(&'static str, &'a str)> {
    let path = source.path.strip_prefix(LIBRARY)?;
    match source.room().filter(|room| ROOMS_THAT_CALL.contains(room)) {
        Some(room) => Some(("ROOMS_THAT_CALL", room)),
        None => CONVERSIONS.contains(&path).then_some(("CONVERSIONS", path)),
    }
}

/// Finds the rule for a file.
fn held(source: &Source<'_>) -> Option<Held> {
    if source.path.starts_with(WIRE) {
        return Some(Held { rule: &NO_IO, foreign: FOREIGN_TO_WIRE, table: "FOREIGN_TO_WIRE" });
    }
    let is_library = source.path.starts_with(LIBRARY);
    is_library.then_some(Held { rule: &CALLS, foreign: FOREIGN, table: "FOREIGN" })
}

/// Refuses `.elapsed()`, which reads the clock: in a file that names std's instants it is taken
/// for theirs.
fn methods(trees: &[Tree], path: &str, rule: &'static Rule, report: &mut Report) {
    for three in trees.windows(3) {
        if let [dot, Tree::Ident { name, line }, Tree::Group { .. }] = three
            && dot.is_sign('.')
        {
            let what = format!("calls `.{name}()`, which reads the clock");
            report.check(name != "elapsed", (path, *line), rule, what);
        }
    }
    for tree in trees {
        if let Tree::Group { trees, .. } = tree {
            methods(trees, path, rule, report);
        }
    }
}

/// The meaning of a path for the rule.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// Nothing of a module in the table.
    Elsewhere,
    /// A name that may stand anywhere, by this row.
    Allowed(String),
    /// A call, or what may be one.
    Refused,
}

fn named(path: &Path, foreign: &[Foreign]) -> Named {
    let mut segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    if let Some(first) = segments.first_mut()
        && *first == "core"
    {
        *first = "std";
    }
    match foreign.iter().find(|foreign| segments.starts_with(foreign.module)) {
        None => Named::Elsewhere,
        Some(foreign) => named_in(foreign, &segments[foreign.module.len()..], path.glob),
    }
}

fn named_in(foreign: &Foreign, rest: &[&str], glob: bool) -> Named {
    let is_type = |name: &&&str| name.starts_with(|c: char| c.is_ascii_uppercase());
    let is_constant = |name: &str| {
        foreign.constants
            && !name.starts_with('E')
            && !name.contains(|c: char| c.is_ascii_lowercase())
    };
    let by_row = |name: &&str| match foreign.allowed.contains(name) {
        true => Named::Allowed(foreign.row(name)),
        false if is_constant(name) && !foreign.nested => Named::Elsewhere,
        false => Named::Refused,
    };
    // A module by itself does nothing: what is taken from it is looked at.
    let module = |alone: bool| if alone && !glob { Named::Elsewhere } else { Named::Refused };
    if foreign.nested {
        return rest.iter().find(is_type).map_or(module(rest.len() < 2), by_row);
    }
    match rest {
        [] => module(true),
        [_, then, ..] if foreign.denied.contains(then) => Named::Refused,
        [name, ..] if !foreign.refused.is_empty() && !foreign.refused.contains(name) => {
            Named::Elsewhere
        }
        [name, ..] => by_row(name),
    }
}
