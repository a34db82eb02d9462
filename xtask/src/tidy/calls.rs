//! No way to the system past the port.

use super::Report;
use super::paths::{self, Path};
use super::source::{Source, Tree};
use super::table::{CALLS, CONVERSIONS, FOREIGN, Foreign, LIBRARY, ROOMS_THAT_CALL};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources.iter().filter(|source| is_held(source)) {
        let paths = paths::collect(&source.trees);
        let imports = paths::imports(&paths);
        for path in &paths {
            let place = (source.path, path.line);
            if path.is_import() {
                let what = format!("imports `{}`", path.text());
                report.check(allows(path), place, &CALLS, what);
                continue;
            }
            let Some((first, rest)) = path.segments.split_first() else {
                continue;
            };
            let Some(import) = imports.get(first.as_str()) else {
                report.check(allows(path), place, &CALLS, format!("names `{}`", path.text()));
                continue;
            };
            // A refused import has its own finding: its uses are not told again.
            let import = Path { segments: import.to_vec(), ..path.clone() };
            let whole = Path { segments: [&import.segments, rest].concat(), ..path.clone() };
            let holds = !allows(&import) || allows(&whole);
            report.check(holds, place, &CALLS, format!("names `{}`", whole.text()));
        }
        let has_clock = imports.values().any(|path| {
            path.starts_with(&["std".into(), "time".into()])
                && path.last().is_some_and(|name| name == "Instant" || name == "SystemTime")
        });
        if has_clock {
            methods(&source.trees, source.path, report);
        }
    }
}

fn is_held(source: &Source<'_>) -> bool {
    let Some(path) = source.path.strip_prefix(LIBRARY) else {
        return false;
    };
    let calls = source.room().is_some_and(|room| ROOMS_THAT_CALL.contains(&room));
    !calls && !CONVERSIONS.contains(&path)
}

/// `.elapsed()` reads the clock; in a file that names std's instants it is taken for theirs.
fn methods(trees: &[Tree], path: &str, report: &mut Report) {
    for three in trees.windows(3) {
        if let [dot, Tree::Ident { name, line }, Tree::Group { .. }] = three
            && dot.is_sign('.')
        {
            let what = format!("calls `.{name}()`, which reads the clock");
            report.check(name != "elapsed", (path, *line), &CALLS, what);
        }
    }
    for tree in trees {
        if let Tree::Group { trees, .. } = tree {
            methods(trees, path, report);
        }
    }
}

/// Whether the path may be named anywhere.
fn allows(path: &Path) -> bool {
    let mut segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    if let Some(first) = segments.first_mut()
        && *first == "core"
    {
        *first = "std";
    }
    let foreign = FOREIGN.iter().find(|foreign| segments.starts_with(foreign.module));
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
