//! The report of what was taken over and what was not: symbols, objects with system calls of their
//! own, calls that pinned their thread, raw calls.

mod objects;
mod pinned;

use std::fmt;

pub use objects::ObjectReport;
pub use pinned::Pinned;

pub(crate) use objects::place_of;
pub(crate) use pinned::{QUIET, note};

use crate::symbols::Symbol;
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
    /// Its name.
    pub name: &'static str,
    /// Tells whether every part of the process, shared libraries included, finds this crate's
    /// function by that name. A shared library that is loaded before the program (`LD_PRELOAD`) or
    /// brings a function of that name itself may take its place.
    pub is_ours: bool,
    /// The file that has the function which the process finds by that name. `None`: none has it,
    /// as in a program that is linked statically.
    pub owner: Option<String>,
    /// The number of calls of it that have blocked a tasklet instead of its thread.
    pub waits: u64,
    /// The number of calls of it by tasklets that could not wait (inside
    /// [`no_switch`](overlapped::task::no_switch)), and so may have blocked their thread.
    pub held_back: u64,
}

impl SymbolReport {
    /// The name in a report. Only futexes wait in syscall(2).
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
/// // libc calls the system by itself, too: that cannot be taken over.
/// assert!(report.objects().iter().any(|object| object.name.contains("libc.so")));
/// ```
pub fn report() -> Report {
    let of = |symbol: &Symbol| {
        let found = symbol.found();
        SymbolReport {
            name: symbol.name(),
            is_ours: symbol.is_ours(),
            owner: (found != 0).then(|| place_of(found)).flatten().map(|(name, _)| name),
            waits: symbol.waits(),
            held_back: symbol.held_back(),
        }
    };
    let (stalls, pinned) = pinned::seen();
    let symbols = Symbol::ALL.iter().map(of).collect();
    Report { symbols, stalls, pinned, raw_calls: trap::seen() }
}

impl Report {
    /// Every function that this crate takes the place of.
    pub fn symbols(&self) -> &[SymbolReport] {
        &self.symbols
    }

    /// All waits.
    pub fn waits(&self) -> u64 {
        self.symbols.iter().map(|symbol| symbol.waits).sum()
    }

    /// The program and the libraries in this process whose code has instructions that call the
    /// system by themselves, past every function that could be taken: libc (its stdio, its
    /// `system`), the program (this crate; and others that do, as rustix does), more libraries.
    ///
    /// It reads the code of all of them, which takes tens of milliseconds.
    pub fn objects(&self) -> Vec<ObjectReport> {
        objects::all()
    }

    /// Counts how often a tasklet has pinned its thread for longer than the limit. Such times are
    /// looked for where there is one: [`Options::stall_limit`](crate::Options::stall_limit), or
    /// `OVERLAPPED_STALL` in the environment.
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// The longest of them, the longest first.
    pub fn pinned(&self) -> &[Pinned] {
        &self.pinned
    }

    /// Waiting calls past libc's functions, by place in the code, if
    /// [`Options::trap_raw_calls`](crate::Options::trap_raw_calls) was asked for.
    pub fn raw_calls(&self) -> &[RawCall] {
        &self.raw_calls
    }
}

impl fmt::Display for Report {
    /// A line for each function that has waited, has been held back, or is not this crate's; for
    /// each object with system calls of its own; for what has pinned its thread, and for raw calls.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_told = |one: &&SymbolReport| one.waits > 0 || one.held_back > 0 || !one.is_ours;
        for symbol in self.symbols.iter().filter(is_told) {
            let waits = if symbol.waits == 1 { "wait" } else { "waits" };
            write!(f, "{:<40}{:>12} {waits}", symbol.shown(), symbol.waits)?;
            match symbol.held_back {
                0 => {}
                1 => f.write_str(", 1 call that could not wait")?,
                count => write!(f, ", {count} calls that could not wait")?,
            }
            match &symbol.owner {
                _ if symbol.is_ours => writeln!(f)?,
                Some(owner) => writeln!(f, "  (not this crate's: {owner} has it)")?,
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
        let symbol = SymbolReport { name, is_ours: true, owner: None, waits, held_back: waits };
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
