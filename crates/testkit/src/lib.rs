//! Helpers that the tests of all crates share. Nothing here knows the library, so that the
//! library's own unit tests can use it, too.
//!
//! ```text
//! random    numbers that are the same in every run
//! figures   the size of a test, and the line that it reports
//! time      limits, and waits until a condition holds
//! thread    waits until a thread is blocked
//! process   this program run again, and what the system says of a process
//! net       connected sockets
//! ```
//!
//! A test that waits for something to happen waits by [`wait_until`]: it asks until the answer is
//! yes. A test that acts while a thread waits calls [`wait_until_blocked`] or [`spawn_blocked`]
//! first; the library's tests have the same for tasklets. A sleep in their place is a bet on how
//! long that takes. A test sleeps only where time itself is what it is about: a limit, a timer,
//! something that must *not* happen meanwhile.

#![forbid(unsafe_code)]

mod figures;
mod net;
mod process;
mod random;
mod thread;
mod time;

pub use figures::{is_torture, report, rounds};
pub use net::tcp_pair;
pub use process::{
    CHILD, again, alone, asked, child, compiler, foreign, in_order, is_emulated, mappings,
    open_descriptors, quiet_panic, said, status,
};
pub use random::Rng;
pub use thread::{spawn_blocked, thread_number, wait_until_blocked, wait_until_process_blocked};
pub use time::{AMPLE, PAUSE, in_time, ms, wait_until, wait_until_with, within};
