//! What a panic's message says besides what std prints: which tasklet it was. The thread, which std
//! names, is the same for all of them.

use std::io::{Write, stderr};
use std::panic::{set_hook, take_hook};
use std::sync::Once;
use std::thread;

use crate::sched::here;

/// Has panics in tasklets followed by a line that names the tasklet, from now on. Once per process:
/// after whatever hook there is, which a hook that is set later replaces, line and all.
pub(super) fn name_tasklets() {
    static ONCE: Once = Once::new();
    if thread::panicking() {
        return; // A hook cannot be changed now; the next run is in time.
    }
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            before(info);
            say_who();
        }));
    });
}

/// Prints the line, where the caller is a tasklet. Not for the first one of a run, whose code is
/// its thread's, as the message says.
fn say_who() {
    let Some(here) = here() else { return };
    let me = here.me();
    if here.is_first(me) {
        return;
    }
    let line = format!("note: that was {}, spawned at {}\n", me.who(), me.spawned_at);
    // Nobody could be told that it fails, and `eprintln!` would panic.
    let _ = stderr().write_all(line.as_bytes());
}
