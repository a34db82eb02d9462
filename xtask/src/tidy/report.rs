//! Findings, and how they are told.

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
    /// The rule it breaks.
    pub rule: &'static Rule,
    /// The thing found there.
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

/// The findings of a run, and how much it looked at.
#[derive(Debug, Default)]
pub struct Report {
    /// Sorted by place.
    pub findings: Vec<Finding>,
    /// Files read.
    pub files: usize,
    /// Single questions asked: a path, a size, a line.
    pub checks: usize,
    /// Facts that are no findings: what an allowance still lets pass.
    pub notes: Vec<String>,
    /// Permissions that something needed: the list, and the row.
    used: BTreeSet<(&'static str, String)>,
    /// The tables are among the files: so are all others.
    is_whole: bool,
}

impl Report {
    /// Begins a report of `files`, of which nothing has been looked at yet.
    pub(super) fn new(files: &[File]) -> Report {
        let is_whole = files.iter().any(|file| file.path.starts_with(TABLE));
        Report { files: files.len(), is_whole, ..Report::default() }
    }

    /// Tells whether there is no finding, and something was looked at.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.checks > 0
    }

    /// Asks a question: where the answer is no, it is a finding.
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

    /// Checks a row of the table against the files, where they are all there.
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

    /// Tells whether something needed `row` of `list`.
    pub(super) fn is_used(&self, list: &'static str, row: &str) -> bool {
        self.used.contains(&(list, row.to_owned()))
    }

    /// Notes that `row` of `list` is needed.
    pub(super) fn uses(&mut self, list: &'static str, row: &str) {
        self.used.insert((list, row.to_owned()));
    }

    /// Adds a fact that is no finding.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        let Report { findings, files, checks, .. } = self;
        writeln!(f, "tidy: {} findings, {files} files, {checks} checks", findings.len())
    }
}
