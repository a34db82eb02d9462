//! Figures: which symbols are this crate's, and how often each has waited.

use std::fmt;

use crate::symbols::Symbol;

/// The state of the takeover so far, by [`report`].
#[derive(Clone, Debug)]
pub struct Report {
    symbols: Vec<SymbolReport>,
}

/// A function of libc, in a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SymbolReport {
    /// Its name.
    pub name: &'static str,
    /// Tells whether every part of the process, shared libraries included, finds this crate's
    /// function by that name. A shared library that is loaded before the program (`LD_PRELOAD`) or
    /// brings a function of that name itself may take its place.
    pub is_ours: bool,
    /// The number of calls of it that have blocked a tasklet instead of its thread.
    pub waits: u64,
}

/// Reports which functions of libc are this crate's, and how often each has waited.
///
/// ```
/// let report = overlapped_install::report();
/// assert!(report.symbols().iter().any(|symbol| symbol.name == "recv" && symbol.is_ours));
/// ```
pub fn report() -> Report {
    let of = |symbol: &Symbol| SymbolReport {
        name: symbol.name(),
        is_ours: symbol.is_ours(),
        waits: symbol.waits(),
    };
    Report { symbols: Symbol::ALL.iter().map(of).collect() }
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
}

impl fmt::Display for Report {
    /// One line for each function that has waited, or is not this crate's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for symbol in self.symbols.iter().filter(|symbol| symbol.waits > 0 || !symbol.is_ours) {
            let note = if symbol.is_ours { "" } else { "  (another library's)" };
            writeln!(f, "{:<20}{:>12} waits{note}", symbol.name, symbol.waits)?;
        }
        Ok(())
    }
}
