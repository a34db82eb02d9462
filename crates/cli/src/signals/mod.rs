//! Signals to the program.
//!
//! The first Ctrl-C or SIGTERM asks for a clean stop. The next one ends the process at once, with
//! the exit code that shells use for that signal. If a stop has one more stage, a server's
//! lame-duck time, the second signal ends that stage and the third one the process. SIGQUIT
//! (Ctrl-\) shows every tasklet on standard error, and the program continues.
//!
//! The first signal is an event that a tasklet waits for. The last one works even if no tasklet
//! gets to run: the process is ended by the signal's handler or, if there is something to clean up,
//! by a thread that exists for this.

mod dump;
mod stop;

pub(crate) use dump::{dump_on_quit, finish_dumps};
pub(crate) use stop::{StopCounter, StopSignals};
