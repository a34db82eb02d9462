//! Findings, and their messages.

use std::collections::BTreeSet;
use std::fmt;

use super::table::{Rule, TABLE};

/// A file of the project.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path from the root, with `/` between the names.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A place that breaks a rule.
#[derive(Debug)]
pub struct Finding {
    /// The path from the root.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// The violation, in words.
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

/// The findings of a run, and its extent.
#[derive(Debug, Default)]
pub struct Report {
    /// The findings, sorted by file and line.
    pub findings: Vec<Finding>,
    /// The files that were read.
    pub files: usize,
    /// The single checks: of a path, a size, a line.
    pub checks: usize,
    /// The permissions that something needs: the list, and the row.
    used: BTreeSet<(&'static str, String)>,
    /// The tables are among the files, and so are all others.
    is_whole: bool,
}

impl Report {
    /// Begins a report of `files`.
    pub(super) fn new(files: &[File]) -> Report {
        let is_whole = files.iter().any(|file| file.path.starts_with(TABLE));
        Report { files: files.len(), is_whole, ..Report::default() }
    }

    /// Tells whether something was checked, and there is no finding.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.checks > 0
    }

    /// Counts a check, and adds a finding if it does not hold.
    pub(super) fn check(
        &mut self,
        holds: bool,
        place: (&str, usize),
        rule: &'static Rule,
        what: String,
    ) {
        self.checks += 1;
        if !holds {
            self.findings.push(Finding { path: place.0.to_owned(), line: place.1, rule, what });
        }
    }

    /// Counts a check of a row of the table, if all files are there.
    pub(super) fn check_table(
        &mut self,
        holds: bool,
        rule: &'static Rule,
        row: &str,
        what: String,
    ) {
        if self.is_whole {
            self.check(holds, (row, 1), rule, what);
        }
    }

    /// Tells whether something needs `row` of `list`.
    pub(super) fn is_used(&self, list: &'static str, row: &str) -> bool {
        self.used.contains(&(list, row.to_owned()))
    }

    /// Records that `row` of `list` is needed.
    pub(super) fn uses(&mut self, list: &'static str, row: &str) {
        self.used.insert((list, row.to_owned()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        let Report { findings, files, checks, .. } = self;
        writeln!(f, "tidy: {} findings, {files} files, {checks} checks", findings.len())
    }
}
