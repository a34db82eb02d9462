//! The place for a backtrace.

/// The return addresses of a suspended tasklet, which writes them down itself in `task::wait`.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) addresses: [usize; Trace::DEPTH],
    pub(crate) len: usize,
}

impl Trace {
    /// The maximum number of frames in a trace.
    pub(crate) const DEPTH: usize = 64;
}
