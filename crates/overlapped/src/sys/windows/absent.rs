//! Names of Unix that mean nothing here, or nothing yet, for the modules that share their code.

/// Signals, which Windows lacks.
pub(crate) mod signal {
    /// SIGPIPE does not exist here: a write without a reader is an error and no more.
    pub(crate) mod sigpipe {
        /// Stands for the guard on Unix; its drop does nothing.
        #[must_use]
        pub(crate) struct SigpipeGuard(());

        /// Does nothing.
        pub(crate) fn block() -> SigpipeGuard {
            SigpipeGuard(())
        }

        /// Returns false: nothing is blocked.
        pub(crate) fn is_blocked() -> bool {
            false
        }

        /// Does nothing.
        pub(crate) fn inherit(_: bool) {}
    }
}
