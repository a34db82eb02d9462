//! The commands, as a user who knows the tools well would write them.

use crate::error::{ABSENT, say};
use crate::names::Name;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The number of files that are downloaded at the same time.
pub(super) const AT_ONCE: usize = 16;

/// The object that is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    File,
    Tree,
}

/// The files that are downloaded.
pub(super) struct Download<'a> {
    pub(super) urls: Vec<String>,
    /// The name of each.
    pub(super) names: &'a [String],
    /// The file to write, from which the tool reads what to download.
    pub(super) list: &'a Path,
    pub(super) into: &'a Path,
}

/// Checks that a tool is installed, or builds it if it is the program of this workspace.
pub(crate) fn prepare(name: Name) -> Result<(), String> {
    let (program, version) = match name {
        Name::OverlappedUring | Name::OverlappedPoll => return build(),
        Name::Cp => ("cp", "--version"),
        Name::Rsync => ("rsync", "--version"),
        Name::Curl => ("curl", "--version"),
        Name::Wget2 => ("wget2", "--version"),
        Name::Aria2 => ("aria2c", "--version"),
        _ => return Err(ABSENT.into()),
    };
    let found = Command::new(program).arg(version).stdout(Stdio::null()).status();
    found.map(drop).map_err(|_| format!("{program} is missing; Debian and Ubuntu have it"))
}

/// Builds the program of this workspace, with the profile of the benchmark itself.
fn build() -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet", "--package", "overlapped-cli"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().map_err(say)?;
    if status.success() && ours()?.exists() {
        Ok(())
    } else {
        Err("overlapped-cli cannot be built".into())
    }
}

fn ours() -> Result<PathBuf, String> {
    Ok(std::env::current_exe().map_err(say)?.with_file_name("overlapped"))
}

fn overlapped(name: Name, verb: &str) -> Result<Command, String> {
    let mut command = Command::new(ours()?);
    let port = if name == Name::OverlappedPoll { "poll" } else { "uring" };
    command.args([verb, "--port", port]);
    Ok(command)
}

/// Writes the command that copies `from` to `to`, with permissions, times and owners.
pub(super) fn copy(name: Name, what: Copy, from: &Path, to: &Path) -> Result<Command, String> {
    let mut command = match name {
        Name::OverlappedUring | Name::OverlappedPoll => overlapped(name, "copy")?,
        Name::Cp => Command::new("cp"),
        Name::Rsync => Command::new("rsync"),
        _ => return Err(ABSENT.into()),
    };
    command.arg("-a");
    match (name, what) {
        // The slash at the end names the folder's contents, not the folder.
        (Name::Rsync, Copy::Tree) => command.arg(from.join("")),
        _ => command.arg(from),
    };
    command.arg(to);
    Ok(command)
}

/// Writes the command that downloads all files into the folder.
pub(super) fn download(name: Name, what: &Download<'_>) -> Result<Command, String> {
    let (jobs, mut list) = (AT_ONCE.to_string(), String::new());
    for (url, file) in what.urls.iter().zip(what.names) {
        let line = match name {
            Name::Curl => writeln!(list, "url = {url:?}\noutput = {file:?}"),
            _ => writeln!(list, "{url}"),
        };
        line.map_err(say)?;
    }
    fs::write(what.list, list).map_err(say)?;
    let mut command = match name {
        Name::OverlappedUring | Name::OverlappedPoll => {
            let mut command = overlapped(name, "get")?;
            command.args(["--jobs", &jobs, "--input"]).arg(what.list);
            command.arg("--output").arg(what.into.join(""));
            command
        }
        Name::Curl => {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--fail", "--parallel", "--parallel-max"]);
            command.arg(&jobs).arg("--config").arg(what.list);
            command.arg("--output-dir").arg(what.into);
            command
        }
        Name::Wget2 => {
            let mut command = Command::new("wget2");
            command.args(["--quiet", "--no-config", "--max-threads", &jobs, "--input-file"]);
            command.arg(what.list).arg("--directory-prefix").arg(what.into);
            command
        }
        Name::Aria2 => {
            let mut command = Command::new("aria2c");
            command.args(["--no-conf", "--quiet", "--file-allocation=none", "-j", &jobs, "-i"]);
            command.arg(what.list).arg("--dir").arg(what.into);
            command
        }
        _ => return Err(ABSENT.into()),
    };
    // So that no proxy of the user's is in between.
    command.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1");
    Ok(command)
}
