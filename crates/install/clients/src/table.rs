//! Verdicts, and the table in docs/install.md.

use std::fmt;
use std::path::Path;

use crate::request::Result;
use crate::row::Row;

/// The factor by which twenty requests at once must be faster than one by one.
pub(crate) const FACTOR: u32 = 15;
/// The time without a tick, in milliseconds, after which a request counts as blocking the thread.
const PAUSE_MAX: u64 = 50;

/// The times that a row's process has printed, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) serial: Option<u64>,
    pub(crate) threads: Option<u64>,
    /// The best try: all requests, and the longest time between two ticks.
    pub(crate) tasklets: Option<(u64, u64)>,
    /// A request in a tasklet has failed, or had a wrong answer.
    pub(crate) wrong: Option<String>,
    /// A request on a thread has failed: there is nothing to compare with.
    pub(crate) broken: Option<String>,
}

/// The verdict about a crate in tasklets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The requests wait at the same time.
    Overlaps,
    /// Right, and no other tasklet is delayed, but most of the time is not spent waiting.
    Right,
    /// The thread is blocked, or nothing moves any more.
    Stalls,
    /// An answer was wrong; the text says which.
    Wrong(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Overlaps => "OVERLAPS",
            Verdict::Right => "RIGHT",
            Verdict::Stalls => "STALLS",
            Verdict::Wrong(text) => return write!(f, "WRONG: {text}"),
        })
    }
}

impl Figures {
    /// Reads a line of the row's process.
    pub(crate) fn heed(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.split(' ').map(|number| number.parse::<u64>().ok());
        let mut number = || numbers.next().flatten();
        match word {
            "serial" => self.serial = number(),
            "threads" => self.threads = number(),
            "tasklets" => {
                let next = number().zip(number());
                self.tasklets = [self.tasklets, next].into_iter().flatten().min();
            }
            "wrong" => self.wrong = Some(rest.to_owned()),
            "broken" => self.broken = Some(rest.to_owned()),
            _ => {}
        }
    }

    /// Classifies the times; `None` if they show nothing.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let serial = self.serial.filter(|_| self.threads.is_some() && self.broken.is_none())?;
        Some(match (&self.wrong, self.tasklets) {
            (Some(text), _) => Verdict::Wrong(text.clone()),
            (None, None) => Verdict::Stalls,
            (None, Some((time, _))) if time * u64::from(FACTOR) <= serial => Verdict::Overlaps,
            (None, Some((_, pause))) if pause > PAUSE_MAX => Verdict::Stalls,
            (None, Some(_)) => Verdict::Right,
        })
    }
}

/// A line of the table.
pub(crate) fn line(row: &Row, figures: &Figures, verdict: &Verdict) -> String {
    let cell = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    let version = version(row.name).map_or(String::new(), |version| format!(" {version}"));
    let note = match (row.note, verdict) {
        ("", _) | (_, Verdict::Overlaps) => String::new(),
        (note, _) => format!(": {note}"),
    };
    format!(
        "| `{}`{version} | {} | {} | {} | {} | {} | {verdict}{note} |",
        row.name,
        row.request,
        cell(figures.serial),
        cell(figures.threads),
        cell(figures.tasklets.map(|(time, _)| time)),
        cell(figures.tasklets.map(|(_, pause)| pause)),
    )
}

/// Returns the version that was built.
fn version(name: &str) -> Option<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let name = name.split(':').next()?;
    let package = |name: &str| {
        let begin = format!("\nname = \"{name}\"\n");
        lock.split("[[package]]").find(|package| package.starts_with(&begin))
    };
    // If there are several, this program's own dependency decides.
    let named = |line: &'static str| line.trim().strip_prefix('"')?.strip_prefix(name);
    let own = package(env!("CARGO_PKG_NAME"))?.lines().find_map(|line| {
        named(line)?.strip_prefix(' ').map(|version| version.trim_end_matches(['"', ',']))
    });
    let only = || {
        let version = package(name)?.lines().find_map(|line| line.strip_prefix("version = "))?;
        Some(version.trim_matches('"'))
    };
    own.or_else(only)
}

const BEGIN: &str = "<!-- `cargo xtask clients` writes this table -->\n";
const END: &str = "<!-- the table ends -->\n";
/// The table's head; times are in milliseconds.
const HEAD: &str = "\
| crate | each request | one by one | 20 threads | 20 tasklets | longest pause | |
|---|---|--:|--:|--:|--:|---|
";

/// Puts `lines` into the table, in the order of `rows`. A row without a new line keeps its old one.
pub(crate) fn write(docs: &Path, rows: &[Row], lines: &[String]) -> Result {
    let text = std::fs::read_to_string(docs)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("the table does not begin")?;
    let (old, after) = rest.split_once(END).ok_or("the table does not end")?;
    let mut table = String::from(HEAD);
    for row in rows {
        let begin = format!("| `{}`", row.name);
        let mut all = lines.iter().map(String::as_str).chain(old.lines());
        if let Some(line) = all.find(|line| line.starts_with(&begin)) {
            table.push_str(line);
            table.push('\n');
        }
    }
    std::fs::write(docs, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Option<Verdict> {
        let mut figures = Figures::default();
        lines.iter().for_each(|line| figures.heed(line));
        figures.verdict()
    }

    #[test]
    fn the_best_try_decides() {
        let tries = ["serial 2000", "threads 100", "tasklets 140 3", "tasklets 130 60"];
        assert_eq!(verdict(&tries), Some(Verdict::Overlaps));
        assert_eq!(verdict(&tries[..3]), Some(Verdict::Right));
    }

    #[test]
    fn a_thread_that_is_held_up_stalls() {
        assert_eq!(
            verdict(&["serial 2000", "threads 100", "tasklets 2010 100"]),
            Some(Verdict::Stalls)
        );
        // It was killed, since it no longer wrote anything.
        assert_eq!(verdict(&["serial 2000", "threads 100"]), Some(Verdict::Stalls));
    }

    #[test]
    fn what_does_not_work_on_threads_has_no_verdict() {
        assert_eq!(verdict(&["serial 2000", "broken no answer"]), None);
        assert_eq!(verdict(&["serial 2000"]), None);
        let wrong = verdict(&["serial 2000", "threads 100", "tasklets 100 1", "wrong text it is"]);
        assert_eq!(wrong, Some(Verdict::Wrong("text it is".into())));
    }

    #[test]
    fn each_crate_has_the_version_that_was_built() {
        for row in crate::rows::all() {
            assert!(version(row.name).is_some_and(|version| !version.is_empty()), "{}", row.name);
        }
        assert!(version("flume").is_some_and(|version| version.starts_with("0.12")));
    }

    #[test]
    fn rows_that_did_not_run_stay() {
        let path = std::env::temp_dir().join(format!("overlapped-table-{}", std::process::id()));
        let old =
            format!("before\n{BEGIN}\n{HEAD}| `redis` 1 | old |\n| `ureq` 1 | old |\n\n{END}after");
        std::fs::write(&path, old).unwrap();
        let rows = crate::rows::all();
        write(&path, &rows, &["| `redis` 2 | new |".into()]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let expected =
            format!("before\n{BEGIN}\n{HEAD}| `ureq` 1 | old |\n| `redis` 2 | new |\n\n{END}after");
        assert_eq!(text, expected);
    }
}
