//! Counters. Each belongs to one listener on one thread, which alone writes to it: no instruction
//! that other threads would have to wait for. Whoever wants a sum adds them up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use overlapped::time::Duration;

/// A number that one thread counts up and all may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What happened at one listener on one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counts {
    pub(crate) accepted: Counter,
    pub(crate) requests: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) idle: Counter,
    pub(crate) late: Counter,
    pub(crate) malformed: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) errors: Counter,
    pub(crate) refused: Counter,
    pub(crate) panicked: Counter,
    pub(crate) shortages: Counter,
}

/// How many there are, and were at most.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Gauge {
    /// One more, for as long as the result lives.
    pub(crate) fn enter(self: &Arc<Gauge>) -> Entered {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
        Entered(Arc::clone(self))
    }

    pub(crate) fn get(&self) -> usize {
        self.now.load(Relaxed)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

/// One of those that a [`Gauge`] counts.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Gauge>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

/// What a server has done, from its start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Time between begin and end.
    pub served: Duration,
    /// Connections that were accepted.
    pub accepted: u64,
    /// The most connections at a time.
    pub peak: usize,
    /// Connections when the server began to drain.
    pub open_at_stop: usize,
    /// Connections that the grace time did not suffice for: they were cut.
    pub cut: usize,
    /// Connections that are open after the end: 0, or something is wrong.
    pub left: usize,
    /// Requests that were answered.
    pub requests: u64,
    /// Connections that were closed because no request came.
    pub idle: u64,
    /// Connections that were closed because a request, or the reading of a reply, took too long.
    pub late: u64,
    /// Connections that were closed because a client broke the protocol.
    pub malformed: u64,
    /// Connections whose handshake, or PROXY header, was not as it must be, or not in time.
    pub handshakes_failed: u64,
    /// Connections that failed.
    pub errors: u64,
    /// Connections that were closed at once: too many of one address, no descriptor, no tasklet.
    pub refused: u64,
    /// Sessions that panicked.
    pub panicked: u64,
    /// Pauses in accepting, for want of descriptors or memory.
    pub shortages: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that were sent.
    pub bytes_out: u64,
}

impl Totals {
    /// Adds what happened at one place.
    pub(crate) fn add(&mut self, counts: &Counts) {
        self.accepted += counts.accepted.get();
        self.requests += counts.requests.get();
        self.idle += counts.idle.get();
        self.late += counts.late.get();
        self.malformed += counts.malformed.get();
        self.handshakes_failed += counts.handshakes_failed.get();
        self.errors += counts.errors.get();
        self.refused += counts.refused.get();
        self.panicked += counts.panicked.get();
        self.shortages += counts.shortages.get();
        self.bytes_in += counts.bytes_in.get();
        self.bytes_out += counts.bytes_out.get();
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { accepted, peak, open_at_stop, cut, left, requests, .. } = self;
        writeln!(f, "served       for {:.3} s", self.served.as_secs_f64())?;
        writeln!(
            f,
            "connections  accepted {accepted}, peak {peak}, open at the stop {open_at_stop}, \
             cut {cut}, left {left}"
        )?;
        writeln!(
            f,
            "ended by     errors {}, idleness {}, slowness {}, malformed requests {}, failed \
             handshakes {}, refusal {}, panics {}; pauses for shortage {}",
            self.errors,
            self.idle,
            self.late,
            self.malformed,
            self.handshakes_failed,
            self.refused,
            self.panicked,
            self.shortages,
        )?;
        writeln!(f, "requests     {requests}")?;
        writeln!(f, "bytes        in {}, out {}", self.bytes_in, self.bytes_out)
    }
}
