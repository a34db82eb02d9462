//! Rules about the text of the project. [`table`] holds them as data, the other rooms look.
//!
//! Everything that looks at Rust works on tokens (`source.rs`): comments and strings cannot trick
//! it, and code inside macros is seen. It knows no types, so it misses what only a type would
//! tell, such as a method called on a value of a forbidden type.

mod calls;
mod imports;
mod paths;
mod safety;
mod sizes;
mod source;
pub mod table;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use table::Rule;

/// One file: its path from the root with `/` between the names, and its text.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A place that breaks a rule.
#[derive(Debug)]
pub struct Finding {
    /// From the root.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// The rule it breaks.
    pub rule: &'static Rule,
    /// What stands there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, rule, what } = self;
        writeln!(f, "{path}:{line}: [{}] {what}", rule.name)?;
        writeln!(f, "    why:    {}", rule.why)?;
        writeln!(f, "    remedy: {}", rule.remedy)
    }
}

/// What a run found, and how much it looked at.
#[derive(Debug, Default)]
pub struct Report {
    /// Sorted by place.
    pub findings: Vec<Finding>,
    /// Files read.
    pub files: usize,
    /// Single questions asked: a path, a size, a line.
    pub checks: usize,
}

impl Report {
    /// No finding, and something was looked at.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.checks > 0
    }

    fn check(&mut self, holds: bool, place: (&str, usize), rule: &'static Rule, what: String) {
        self.checks += 1;
        if !holds {
            self.findings.push(Finding { path: place.0.to_owned(), line: place.1, rule, what });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        let Report { findings, files, checks } = self;
        writeln!(f, "tidy: {} findings, {files} files, {checks} checks", findings.len())
    }
}

/// Holds every rule against `files`.
pub fn check(files: &[File]) -> Report {
    let mut report = Report { files: files.len(), ..Report::default() };
    let sources = source::read_all(files, &mut report);
    imports::check(&sources, &mut report);
    calls::check(&sources, &mut report);
    safety::check(&sources, &mut report);
    sizes::check(&sources, &mut report);
    words::check(files, &sources, &mut report);
    report.findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    report
}

/// Holds every rule against the repository at `root`.
pub fn check_repository(root: &Path) -> anyhow::Result<Report> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    Ok(check(&files))
}

/// Every text file below `folder`; what is not UTF-8 is no text.
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
