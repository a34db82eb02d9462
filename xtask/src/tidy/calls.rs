//! No way to the system past the port, and none at all from protocols.

use super::Report;
use super::paths::{self, Path};
use super::source::{Source, Tree};
use super::table::{
    CALLS, CONVERSIONS, FOREIGN, FOREIGN_TO_WIRE, Foreign, LIBRARY, NO_IO, ROOMS_THAT_CALL, Rule,
    WIRE,
};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources {
        let Some((rule, foreign)) = held(source) else { continue };
        let allows = |path: &Path| allows(path, foreign);
        let paths = paths::collect(&source.trees);
        let imports = paths::imports(&paths);
        for path in &paths {
            let place = (source.path, path.line);
            if path.is_import() {
                let what = format!("imports `{}`", path.text());
                report.check(allows(path), place, rule, what);
                continue;
            }
            let Some((first, rest)) = path.segments.split_first() else {
                continue;
            };
            let Some(import) = imports.get(first.as_str()) else {
                report.check(allows(path), place, rule, format!("names `{}`", path.text()));
                continue;
            };
            // A refused import has its own finding: its uses are not told again.
            let import = Path { segments: import.to_vec(), ..path.clone() };
            let whole = Path { segments: [&import.segments, rest].concat(), ..path.clone() };
            let holds = !allows(&import) || allows(&whole);
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
}

/// The rule for the file, and the modules that it is about.
fn held(source: &Source<'_>) -> Option<(&'static Rule, &'static [Foreign])> {
    if source.path.starts_with(WIRE) {
        return Some((&NO_IO, FOREIGN_TO_WIRE));
    }
    let path = source.path.strip_prefix(LIBRARY)?;
    let calls = source.room().is_some_and(|room| ROOMS_THAT_CALL.contains(&room));
    (!calls && !CONVERSIONS.contains(&path)).then_some((&CALLS, FOREIGN))
}

/// `.elapsed()` reads the clock; in a file that names std's instants it is taken for theirs.
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

/// Whether the path may be named anywhere.
fn allows(path: &Path, foreign: &[Foreign]) -> bool {
    let mut segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    if let Some(first) = segments.first_mut()
        && *first == "core"
    {
        *first = "std";
    }
    let foreign = foreign.iter().find(|foreign| segments.starts_with(foreign.module));
    foreign.is_none_or(|foreign| allows_name(foreign, &segments[foreign.module.len()..], path.glob))
}

fn allows_name(foreign: &Foreign, rest: &[&str], glob: bool) -> bool {
    let is_type = |name: &&&str| name.starts_with(|c: char| c.is_ascii_uppercase());
    let is_constant = |name: &str| {
        !name.is_empty() && !name.contains(|c: char| c.is_ascii_lowercase()) && foreign.constants
    };
    if foreign.nested {
        return match rest.iter().find(is_type) {
            Some(name) => foreign.allowed.contains(name),
            // A module by itself does nothing: what is taken from it is looked at.
            None => rest.len() < 2 && !glob,
        };
    }
    match rest {
        [] => !glob,
        [name, then @ ..] => {
            let denied = then.first().is_some_and(|function| foreign.denied.contains(function));
            (foreign.allowed.contains(name) || is_constant(name)) && !denied
        }
    }
}
