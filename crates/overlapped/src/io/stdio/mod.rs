//! Standard input, output and error with std's names, blocking only the calling tasklet.
//!
//! ```text
//! stdin()   ─▶ lock ─▶ BufReader  ─▶ raw ─▶ the port
//! stdout()  ─▶ lock ─▶ LineWriter ─▶ raw ─▶ the port
//! stderr()  ─▶ lock ───────────────▶ raw ─▶ the port
//! ```
//!
//! The open files behind the three descriptors are shared with other processes, so their flags stay
//! as they are (see `raw`). The locks let tasklets wait, too. Outside a scheduler every call blocks
//! the thread.

mod input;
mod lock;
mod output;
mod raw;

pub use input::{Stdin, StdinLock, stdin};
pub use output::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};
