//! The place for a backtrace.

/// The return addresses of a tasklet's frames, which the tasklet writes down itself.
#[derive(Clone)]
pub(crate) struct Trace {
    addresses: [usize; Trace::DEPTH],
    len: usize,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { addresses: [0; Trace::DEPTH], len: 0 }
    }
}

impl Trace {
    /// The maximum number of frames in a trace.
    const DEPTH: usize = 64;

    /// Writes down the return addresses of the calling stack, innermost first. Allocates nothing.
    #[inline(always)]
    pub(crate) fn record(&mut self) {
        backtrace::trace(|frame| {
            self.addresses[self.len] = frame.ip().addr();
            self.len += 1;
            self.len < Trace::DEPTH
        });
    }

    /// Returns what has been written down.
    pub(crate) fn addresses(&self) -> &[usize] {
        &self.addresses[..self.len]
    }
}
