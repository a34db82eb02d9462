//! Suite `tools`: the program `overlapped` beside cp, rsync, curl, wget2 and aria2c.
//!
//! The figure is the time of a whole command, from its start to its end, as its user waits for it.
//! Copies may use all cores. Downloads come from one nginx on a core of its own; the tool has the
//! other core. Everything is in the page cache, no tool is asked to write through to the disk, and
//! each may download [`commands::AT_ONCE`] files at a time. Afterwards every file is compared: a
//! tool that has lost one has no result.

mod commands;

use super::http::client::ready;
use crate::error::say;
use crate::harness::child::Report;
use crate::harness::process::{LOAD_CORE, pin};
use crate::harness::server::Server;
use crate::material::downloads::Downloads;
use crate::material::files::{Tree, big, check_big, target};
use crate::names::{Name, ServerKind};
use commands::{Copy, Download};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use commands::prepare;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 5] = ["copy_tree", "copy_big", "get_200", "get_10000", "get_big"];

/// Measures a case of a subject.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let mebibytes = if quick { 256 } else { 1024 };
    let mut report = Report::default();
    let milliseconds = match case {
        "copy_tree" => {
            let tree = Tree::made()?;
            copied(name, Copy::Tree, &tree.root, |to| Tree { root: to.into() }.check())?
        }
        "copy_big" => {
            let from = big(mebibytes)?;
            copied(name, Copy::File, &from, |to| check_big(&from, to))?
        }
        "get_200" => downloaded_many(name, 200)?,
        "get_10000" => downloaded_many(name, 10_000)?,
        "get_big" => {
            let from = big(mebibytes)?;
            let file = from.file_name().ok_or("a file has a name")?.to_string_lossy().into_owned();
            let folder = from.parent().ok_or("a file has a folder")?;
            let check = |into: &Path| check_big(&from, &into.join(&file));
            downloaded(name, folder, std::slice::from_ref(&file), check)?
        }
        _ => return Err(format!("no case {case}")),
    };
    report.push(format!("{case}_ms"), "ms", milliseconds);
    Ok(report)
}

/// Copies to a path where nothing is, and removes the copy.
fn copied(
    name: Name,
    what: Copy,
    from: &Path,
    check: impl Fn(&Path) -> Result<(), String>,
) -> Result<f64, String> {
    let to = target()?;
    let command = commands::copy(name, what, from, &to)?;
    finish(command, &to, || check(&to))
}

fn downloaded_many(name: Name, count: usize) -> Result<f64, String> {
    let downloads = Downloads::made(count)?;
    let check = |into: &Path| downloads.check(into);
    downloaded(name, downloads.folder(), downloads.names(), check)
}

/// Downloads `names` of a folder into an empty folder.
fn downloaded(
    name: Name,
    folder: &Path,
    names: &[String],
    check: impl Fn(&Path) -> Result<(), String>,
) -> Result<f64, String> {
    let folder = folder.to_string_lossy();
    let server = Server::start(Name::Nginx, ServerKind::Http, &["--folder", &folder])?;
    let port = server.port()?;
    drop(ready(port)?);
    let urls = names.iter().map(|name| format!("http://127.0.0.1:{port}/{name}"));
    let into = target()?;
    std::fs::create_dir_all(&into).map_err(say)?;
    pin(LOAD_CORE);
    let list = into.with_extension("list");
    let what = Download { urls: urls.collect(), names, list: &list, into: &into };
    let measured =
        commands::download(name, &what).and_then(|command| finish(command, &into, || check(&into)));
    let _ = std::fs::remove_file(&list);
    measured
}

/// Runs a command, and returns its milliseconds. The dirty pages of earlier commands are written to
/// the disk first.
fn finish(
    mut command: Command,
    made: &Path,
    check: impl Fn() -> Result<(), String>,
) -> Result<f64, String> {
    rustix::fs::sync();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output().map_err(say)?;
    let took: Duration = begin.elapsed();
    let checked = match output.status.success() {
        true => check(),
        false => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {}", output.status, stderr.lines().last().unwrap_or_default()))
        }
    };
    let removed = match std::fs::symlink_metadata(made) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(made),
        Ok(_) => std::fs::remove_file(made),
        Err(_) => Ok(()),
    };
    checked.and(removed.map_err(say))?;
    Ok(took.as_secs_f64() * 1000.0)
}
