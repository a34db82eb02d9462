//! The line after a panic's message that names the tasklet. std names the thread, which is the same
//! for all tasklets.

use std::io::{Write, stderr};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use crate::sched::here;

/// Makes a line that names the tasklet follow every panic in a tasklet, from now on. Called once
/// per process: the hook that is there runs first, and a hook that is set later replaces it, line
/// and all.
pub(super) fn name_tasklets() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            before(info);
            say_who(info);
        }));
    });
}

/// The advice if a kill met what it cannot unwind, which ends the process.
const KILLED: &str = "\
note: it was being unwound by a kill, from where it waited. Functions of C cannot be unwound: in
      their callbacks, wait for nothing (task::no_switch), or give the whole call to task::unblock.
      Nor may a destructor panic meanwhile
";

/// Prints the line, if the caller is a tasklet. Not for the first one of a run: its code is its
/// thread's, as the message says.
fn say_who(info: &PanicHookInfo<'_>) {
    let Some(here) = here() else { return };
    let me = here.me();
    let mut text = String::new();
    if !here.is_first(me) {
        text = format!("note: that was {}, spawned at {}\n", me.who(), me.spawned_at);
    }
    if me.outlived_kill.get() && ends_the_process(info) {
        text.push_str(KILLED);
    }
    // A failure cannot be reported, and `eprintln!` would panic.
    let _ = stderr().write_all(text.as_bytes());
}

/// Tells whether the panic is std's own, for what cannot be unwound.
fn ends_the_process(info: &PanicHookInfo<'_>) -> bool {
    let text = info.payload().downcast_ref::<&str>();
    text.is_some_and(|text| text.contains("cannot unwind") || text.contains("during cleanup"))
}
