//! Faults of the servers to start, collected so that all of them are reported at once.

use std::fmt::Display;

use anyhow::bail;

/// Faults, warnings and notes about the servers to start. Each text begins with a location.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) faults: Vec<String>,
    /// Faults for a check; a start only warns of them, since they may be repaired while it serves.
    pub(super) warnings: Vec<String>,
    /// Valid settings that may be unintended.
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

    /// Returns the value, or adds a fault at `location`.
    pub(super) fn keep<T, E: Display>(
        &mut self,
        location: impl FnOnce() -> String,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(format_args!("{}: {error}", location()))).ok()
    }

    /// Returns all faults as one error; without faults, logs the warnings and the notes.
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
