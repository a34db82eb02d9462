//! The report of what was taken over and what was not: symbols, objects with system calls of their
//! own, calls that pinned their thread, raw calls.

mod objects;
mod pinned;

use std::fmt;

pub use objects::ObjectReport;
pub use pinned::Pinned;

pub(crate) use objects::locate;
pub(crate) use pinned::{QUIET, record_stall};

use crate::symbols::Symbol;
use crate::takeover;
use crate::trap::{self, RawCall};

/// The state of the takeover so far, by [`report`].
#[derive(Clone, Debug)]
pub struct Report {
    symbols: Vec<SymbolReport>,
    stalls: u64,
    pinned: Vec<Pinned>,
    raw_calls: Vec<RawCall>,
}

/// A function of libc, in a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SymbolReport {
    /// The name.
    pub name: &'static str,
    /// True if every part of the process, shared libraries included, finds this crate's function by
    /// that name. A shared library that is loaded before the program (`LD_PRELOAD`), or that
    /// defines a function of that name itself, may take its place.
    pub is_ours: bool,
    /// The file with the function that the process finds by that name. `None`: no file has it, as
    /// in a program that is linked statically.
    pub owner: Option<String>,
    /// The number of its calls that have blocked a tasklet instead of the thread.
    pub waits: u64,
    /// The number of its calls by tasklets that could not wait (inside
    /// [`no_switch`](overlapped::task::no_switch)), and so may have blocked the thread.
    pub could_not_wait: u64,
}

impl SymbolReport {
    /// Returns the name for a report. Only futexes wait in syscall(2).
    fn shown(&self) -> &'static str {
        if self.name == "syscall" { "syscall (futex: locks, channels, parks)" } else { self.name }
    }
}

/// Reports which functions of libc are this crate's, how often each has waited, and what is out of
/// this crate's reach.
///
/// ```
/// let report = overlapped_install::report();
/// assert!(report.symbols().iter().any(|symbol| symbol.name == "recv" && symbol.is_ours));
/// // libc makes system calls of its own, which cannot be taken over.
/// assert!(report.objects().iter().any(|object| object.name.contains("libc.so")));
/// ```
pub fn report() -> Report {
    let symbol_report = |symbol: &Symbol| {
        let found = takeover::found(*symbol);
        SymbolReport {
            name: symbol.name(),
            is_ours: takeover::is_ours(*symbol),
            owner: (found != 0).then(|| locate(found)).flatten().map(|(name, _)| name),
            waits: symbol.waits(),
            could_not_wait: symbol.could_not_wait(),
        }
    };
    let (stalls, pinned) = pinned::seen();
    let symbols = Symbol::ALL.iter().map(symbol_report).collect();
    Report { symbols, stalls, pinned, raw_calls: trap::raw_calls() }
}

impl Report {
    /// Returns every function that this crate replaces.
    pub fn symbols(&self) -> &[SymbolReport] {
        &self.symbols
    }

    /// Returns the number of all waits.
    pub fn waits(&self) -> u64 {
        self.symbols.iter().map(|symbol| symbol.waits).sum()
    }

    /// Returns the program and the libraries in this process whose code has system call
    /// instructions of its own, past every function that could be taken over: libc (its stdio, its
    /// `system`), the program (this crate, and others such as rustix), more libraries.
    ///
    /// It reads all their code, which takes tens of milliseconds.
    pub fn objects(&self) -> Vec<ObjectReport> {
        objects::all()
    }

    /// Returns how often a tasklet has pinned its thread for longer than the limit. They are
    /// recorded if there is a limit: [`Options::stall_limit`](crate::Options::stall_limit), or
    /// `OVERLAPPED_STALL` in the environment.
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Returns the longest stalls, the longest first.
    pub fn pinned(&self) -> &[Pinned] {
        &self.pinned
    }

    /// Returns the waiting calls past libc's functions, by place in the code, if
    /// [`Options::trap_raw_calls`](crate::Options::trap_raw_calls) was asked for.
    pub fn raw_calls(&self) -> &[RawCall] {
        &self.raw_calls
    }
}

impl fmt::Display for Report {
    /// Writes a line for each function that has waited, could not wait, or is not this crate's; for
    /// each object with system calls of its own; for each stall, and for each raw call.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_listed =
            |one: &&SymbolReport| one.waits > 0 || one.could_not_wait > 0 || !one.is_ours;
        for symbol in self.symbols.iter().filter(is_listed) {
            let waits = if symbol.waits == 1 { "wait" } else { "waits" };
            write!(f, "{:<40}{:>12} {waits}", symbol.shown(), symbol.waits)?;
            match symbol.could_not_wait {
                0 => {}
                1 => f.write_str(", 1 call that could not wait")?,
                count => write!(f, ", {count} calls that could not wait")?,
            }
            match &symbol.owner {
                _ if symbol.is_ours => writeln!(f)?,
                Some(owner) => writeln!(f, "  (not this crate's: it is in {owner})")?,
                None => {
                    writeln!(f, "  (not this crate's: a static program has no table of names)")?
                }
            }
        }
        self.objects().iter().try_for_each(|object| writeln!(f, "{object}"))?;
        match self.stalls {
            0 => {}
            1 => writeln!(f, "a thread was pinned once:")?,
            count => writeln!(f, "threads were pinned {count} times; the longest:")?,
        }
        self.pinned.iter().try_for_each(|pinned| writeln!(f, "{pinned}"))?;
        self.raw_calls.iter().try_for_each(|call| writeln!(f, "{call}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(waits: u64, stalls: u64) -> String {
        let name = "syscall";
        let symbol =
            SymbolReport { name, is_ours: true, owner: None, waits, could_not_wait: waits };
        let report = Report { symbols: vec![symbol], stalls, pinned: vec![], raw_calls: vec![] };
        report.to_string()
    }

    #[test]
    fn a_report_counts_in_plain_words_and_says_who_waits_in_syscall() {
        let (one, more) = (shown(1, 1), shown(2, 2));
        assert!(one.contains("syscall (futex: locks, channels, parks)"), "{one}");
        assert!(one.contains(" 1 wait, 1 call that could not wait\n"), "{one}");
        assert!(one.contains("\na thread was pinned once:\n"), "{one}");
        assert!(more.contains(" 2 waits, 2 calls that could not wait\n"), "{more}");
        assert!(more.contains("\nthreads were pinned 2 times; the longest:\n"), "{more}");
        assert!(!one.contains("vdso"), "{one}");
    }
}
