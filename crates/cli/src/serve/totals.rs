//! What a server counts. Plain cells: all its tasklets are on one thread.

use std::cell::Cell;
use std::fmt;

use overlapped::time::{Duration, Instant};

/// A server's counters, printed when it stops.
#[derive(Debug)]
pub(super) struct Totals {
    begin: Instant,
    open: Cell<usize>,
    peak: Cell<usize>,
    open_at_stop: Cell<usize>,
    accepted: Cell<u64>,
    idle: Cell<u64>,
    errors: Cell<u64>,
    refused: Cell<u64>,
    shortages: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get() + n);
}

impl Totals {
    pub(super) fn new() -> Totals {
        Totals {
            begin: Instant::now(),
            open: Cell::default(),
            peak: Cell::default(),
            open_at_stop: Cell::default(),
            accepted: Cell::default(),
            idle: Cell::default(),
            errors: Cell::default(),
            refused: Cell::default(),
            shortages: Cell::default(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
        }
    }

    /// Connections that are being served.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn note_open(&self) {
        self.open.set(self.open.get() + 1);
        self.peak.set(self.peak.get().max(self.open.get()));
    }

    pub(super) fn note_closed(&self) {
        self.open.set(self.open.get() - 1);
    }

    pub(super) fn note_accepted(&self) {
        add(&self.accepted, 1);
    }

    /// A connection was closed because nothing happened on it.
    pub(super) fn note_idle(&self) {
        add(&self.idle, 1);
    }

    /// A connection ended with an error.
    pub(super) fn note_error(&self) {
        add(&self.errors, 1);
    }

    /// A connection was accepted but could not be served.
    pub(super) fn note_refused(&self) {
        add(&self.refused, 1);
    }

    /// Accepting had to pause, for want of descriptors or memory.
    pub(super) fn note_shortage(&self) {
        add(&self.shortages, 1);
    }

    pub(super) fn add_in(&self, bytes: usize) {
        add(&self.bytes_in, bytes as u64);
    }

    pub(super) fn add_out(&self, bytes: usize) {
        add(&self.bytes_out, bytes as u64);
    }

    /// Nothing is accepted any more; what is open now gets closed by us.
    pub(super) fn note_stop(&self) {
        self.open_at_stop.set(self.open.get());
    }

    pub(super) fn open_at_stop(&self) -> usize {
        self.open_at_stop.get()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = Duration::from_millis(self.begin.elapsed().as_millis() as u64);
        let count = Cell::get;
        writeln!(f, "served       for {}", humantime::format_duration(duration))?;
        writeln!(
            f,
            "connections  accepted {}, peak {}, open at the stop {}, left {}",
            count(&self.accepted),
            self.peak.get(),
            self.open_at_stop.get(),
            self.open.get(),
        )?;
        writeln!(
            f,
            "ended by     errors {}, idleness {}, refusal {}; pauses for shortage {}",
            count(&self.errors),
            count(&self.idle),
            count(&self.refused),
            count(&self.shortages),
        )?;
        writeln!(f, "bytes        in {}, out {}", count(&self.bytes_in), count(&self.bytes_out))
    }
}
