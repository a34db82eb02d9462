//! Counters. Each belongs to one listener on one thread. Only that thread writes to it, so counting
//! needs no atomic read-modify-write. Sums are computed when they are asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use overlapped::time::Duration;

/// A number that one thread increments and all may read.
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

/// The counters of one listener on one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) requests: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) idle: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) malformed: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) errors: Counter,
    pub(crate) refused: Counter,
    pub(crate) panicked: Counter,
    pub(crate) accept_pauses: Counter,
}

/// A number of things that exist, with its maximum so far.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Gauge {
    /// Counts one more, as long as the returned entry lives.
    pub(crate) fn add(self: &Arc<Gauge>) -> GaugeEntry {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
        GaugeEntry(Arc::clone(self))
    }

    pub(crate) fn get(&self) -> usize {
        self.now.load(Relaxed)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

/// One of the things that a [`Gauge`] counts.
#[derive(Debug)]
pub(crate) struct GaugeEntry(Arc<Gauge>);

impl Drop for GaugeEntry {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

/// The totals of a server, from its start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Time between start and end.
    pub served: Duration,
    /// Connections that were accepted.
    pub accepted: u64,
    /// The maximum number of connections at a time.
    pub peak: usize,
    /// Connections that were open when the server began to drain.
    pub open_at_stop: usize,
    /// Connections that did not end within the grace time and were closed.
    pub cut: usize,
    /// Connections that are open after the end. Anything but 0 is a fault.
    pub left: usize,
    /// Requests that were answered.
    pub requests: u64,
    /// Connections that were closed because no request came.
    pub idle: u64,
    /// Connections that were closed because the client sent a request, or read a reply, too slowly.
    pub timed_out: u64,
    /// Connections that were closed because a client broke the protocol.
    pub malformed: u64,
    /// Connections whose TLS handshake or PROXY header was malformed or late.
    pub handshakes_failed: u64,
    /// Connections that failed with an error.
    pub errors: u64,
    /// Connections that were closed at once: too many from one address, or no tasklet to be had.
    pub refused: u64,
    /// Sessions that panicked.
    pub panicked: u64,
    /// Pauses in accepting, for lack of descriptors or memory.
    pub accept_pauses: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

impl Totals {
    /// Adds the counters of one listener on one thread.
    pub(crate) fn add(&mut self, counters: &Counters) {
        self.accepted += counters.accepted.get();
        self.requests += counters.requests.get();
        self.idle += counters.idle.get();
        self.timed_out += counters.timed_out.get();
        self.malformed += counters.malformed.get();
        self.handshakes_failed += counters.handshakes_failed.get();
        self.errors += counters.errors.get();
        self.refused += counters.refused.get();
        self.panicked += counters.panicked.get();
        self.accept_pauses += counters.accept_pauses.get();
        self.bytes_in += counters.bytes_in.get();
        self.bytes_out += counters.bytes_out.get();
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
            self.timed_out,
            self.malformed,
            self.handshakes_failed,
            self.refused,
            self.panicked,
            self.accept_pauses,
        )?;
        writeln!(f, "requests     {requests}")?;
        writeln!(f, "bytes        in {}, out {}", self.bytes_in, self.bytes_out)
    }
}
