//! Faults of what is to be served, collected so that all of them are said at once.

use std::fmt::Display;

use anyhow::bail;

/// Faults, and what else is to be said of what is to be served. Each text names a location.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) faults: Vec<String>,
    /// Faults for a check. A start only warns of them, since they may be mended while it serves.
    pub(super) warnings: Vec<String>,
    /// No faults, but perhaps not what was meant.
    pub(super) notes: Vec<String>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: impl Display) {
        self.faults.push(fault.to_string());
    }

    pub(super) fn warn(&mut self, warning: impl Display) {
        self.warnings.push(warning.to_string());
    }

    pub(super) fn note(&mut self, note: impl Display) {
        self.notes.push(note.to_string());
    }

    /// The value, or a fault at `location`.
    pub(super) fn keep<T, E: Display>(
        &mut self,
        location: impl FnOnce() -> String,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(format_args!("{}: {error}", location()))).ok()
    }

    /// The end of a start that has faults; of one that has none, the beginning.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let Faults { faults, warnings, notes } = self;
        if !faults.is_empty() {
            bail!("{}", faults.join("\noverlapped: "));
        }
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        notes.iter().for_each(|note| tracing::info!("{note}"));
        Ok(())
    }
}
