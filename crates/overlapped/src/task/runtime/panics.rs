//! The line after a panic's message that names the tasklet. std names the thread, which is the same
//! for all tasklets.

use std::io::{Write, stderr};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use crate::sched::here;

/// Installs a panic hook, once per process, that adds a line with the tasklet's name to the message
/// of every panic in a tasklet. The hook that was there runs first. A hook that is set later
/// replaces both.
pub(super) fn name_tasklets() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            before(info);
            name_tasklet(info);
        }));
    });
}

/// The advice for a kill that meets code that cannot be unwound, which ends the process.
const KILLED: &str = "\
note: it was being unwound by a kill, from where it waited. Functions of C cannot be unwound: in
      their callbacks, wait for nothing (task::no_switch), or give the whole call to task::unblock.
      A destructor must not panic meanwhile, either
";

/// Prints the line, if the caller is a tasklet. The first tasklet of a run gets none: its code is
/// that of its thread, which std's message names.
fn name_tasklet(info: &PanicHookInfo<'_>) {
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

/// Tells whether the panic is std's own at code that cannot be unwound.
fn ends_the_process(info: &PanicHookInfo<'_>) -> bool {
    let text = info.payload().downcast_ref::<&str>();
    text.is_some_and(|text| text.contains("cannot unwind") || text.contains("during cleanup"))
}
