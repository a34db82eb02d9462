//! Rules about the text of the project. [`table`] has them as data; the other modules check them.
//!
//! ```text
//! source     files as tokens, comments and paths
//! structure  imports of rooms and files, calls past `sys`, unsafe code, catch-all arms
//! prose      words, names of files, doc comments
//! sizes      of files, functions, folders, lines
//! unused     rows of the table that nothing uses
//! report     findings
//! ```
//!
//! Every rule about code works on tokens: comments and strings cannot trick it, and code inside
//! macros is seen. It knows no types, so it misses, for example, a method that is called on a value
//! of a forbidden type.

mod prose;
mod report;
mod sizes;
mod source;
mod structure;
pub mod table;
mod unused;

use std::path::Path;

use anyhow::Context as _;

pub use report::{File, Finding, Report};

/// Checks every rule on `files`. Rules about the whole, such as rows of the table that nothing
/// uses, are checked if the tables are among the files.
pub fn check(files: &[File]) -> Report {
    let mut report = Report::new(files);
    let sources = source::read_all(files, &mut report);
    structure::imports::check(&sources, &mut report);
    structure::circles::check(&sources, &mut report);
    structure::calls::check(&sources, &mut report);
    structure::catch_all::check(&sources, &mut report);
    structure::safety::check(&sources, &mut report);
    sizes::check(&sources, &mut report);
    prose::words::check(files, &sources, &mut report);
    prose::places::check(files, &sources, &mut report);
    prose::first_words::check(&sources, &mut report);
    unused::check(files, &mut report);
    report.findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    report
}

/// Checks every rule on the repository at `root`.
pub fn check_repository(root: &Path) -> anyhow::Result<Report> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    Ok(check(&files))
}

/// Reads every text file below `folder`. A file that is not UTF-8 is no text.
fn collect(root: &Path, folder: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(root.join(folder))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading the folder {folder}"))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if table::FOLDERS_SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).with_context(|| format!("reading {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}
