//! The end of a tasklet that replaces a thread, and of the process.
//!
//! Its function returns, or pthread_exit(3) unwinds to the same place. Then the library runs the
//! destructors of its thread-locals. The last destructor is this module's: the value of a key that
//! stores itself again until the last round. It wakes the joiner, and **waits until the tasklet has
//! been joined**, or is detached: until then its block, whose address is the `pthread_t`, must not
//! be given to another tasklet.
//!
//! **The process** ends when a thread calls exit(3), which main's return does, or when its last
//! thread ends. libc would also wait for the host, which never ends. So the first thread waits for
//! the program's other threads instead: tasklets, and threads that stayed threads. In a child of
//! fork(2) the first thread is the one that forked, perhaps a tasklet, which has no scheduler
//! there.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::task::shield;
use overlapped_install::preload::{leave_handlers, unmarked};

use crate::cleanup;
use crate::enter::{Start, enter};
use crate::key::Key;
use crate::next::real;
use crate::own::{OWN, Own, own};
use crate::program::{is_main_thread, is_program_code};
use crate::record::Record;
use crate::state::{State, existing_state};

/// The rounds of destructors, as `PTHREAD_DESTRUCTOR_ITERATIONS`, to which the library keeps.
const ROUNDS: u32 = 4;

/// A thread of the program that has stayed one: the value of [`THREAD`].
struct Thread {
    /// The process in which it was started.
    state: &'static State,
    rounds: Cell<u32>,
}

static THREAD: Key = Key::new();

/// Makes the key of tasklets.
pub(crate) fn prepare() -> Result<(), String> {
    match OWN.make(destroy) {
        true => Ok(()),
        false => Err("no key of pthread_key_create is free".into()),
    }
}

/// Has the calling thread, which its creator has counted in `state`, uncounted at its end.
pub(crate) fn count_until_end(state: &'static State) {
    let thread = Box::into_raw(Box::new(Thread { state, rounds: Cell::new(0) }));
    if !(THREAD.make(destroy_thread) && THREAD.keep(thread.cast())) {
        // SAFETY: no other code has the box.
        drop(unsafe { Box::from_raw(thread) });
        // Its end would be missed, so no thread waits for it.
        state.live.fetch_sub(1, Relaxed);
    }
}

/// Uncounts a thread that ends, as the destructor of its key.
unsafe extern "C" fn destroy_thread(value: *mut c_void) {
    let place = value.cast::<Thread>();
    // SAFETY: the value is a box, which is freed below.
    let thread = unsafe { &*place };
    thread.rounds.set(thread.rounds.get() + 1);
    if thread.rounds.get() < ROUNDS && THREAD.keep(place.cast()) {
        return;
    }
    let state = thread.state;
    // SAFETY: the key no longer has the value.
    drop(unsafe { Box::from_raw(place) });
    if state.is_current() {
        state.live.fetch_sub(1, Relaxed);
    } else if existing_state().is_some_and(State::has_host) {
        exit_after_last_thread();
    }
}

/// Runs the program's function on the calling tasklet, which `record` describes.
///
/// # Safety
/// The caller meets the conditions of `start`.
pub(crate) unsafe fn run_as_thread(
    record: Arc<Record>,
    state: &'static State,
    start: Start,
    argument: *mut c_void,
    begun: impl FnOnce(),
) {
    let own = Box::new(Own { record, state, bottom: Cell::new(0), rounds: Cell::new(0) });
    let own = Box::into_raw(own);
    if !OWN.keep(own.cast()) {
        // Its joiner would wait for ever.
        std::process::abort();
    }
    begun();
    // SAFETY: the caller's promise; the destructor frees the box.
    unsafe {
        let value = enter(start, argument, (*own).bottom.as_ptr());
        // `leave` must not be called any more.
        (*own).bottom.set(0);
        (*own).record.set_value(value);
    }
}

/// Ends a tasklet, as the destructor of its key.
unsafe extern "C" fn destroy(value: *mut c_void) {
    let place = value.cast::<Own>();
    // SAFETY: the value is a box, which is freed below.
    let own = unsafe { &*place };
    own.rounds.set(own.rounds.get() + 1);
    if own.rounds.get() < ROUNDS && OWN.keep(place.cast()) {
        return;
    }
    let (record, state) = (Arc::clone(&own.record), own.state);
    // SAFETY: the key no longer has the value.
    drop(unsafe { Box::from_raw(place) });
    if !state.is_current() {
        // This is the first thread of a child of fork(2).
        exit_after_last_thread();
    }
    unmarked(|| finish(state, &record));
}

fn finish(state: &State, record: &Record) {
    state.live.fetch_sub(1, Relaxed);
    let is_detached = {
        let mut life = record.life();
        life.is_over = true;
        life.is_detached
    };
    if is_detached {
        state.records().remove(&record.id.load(Relaxed));
        return;
    }
    record.ended.set();
    shield(|| record.released.wait());
}

/// pthread_exit(3). In the main thread, handlers and destructors do not run.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn pthread_exit(value: *mut c_void) -> ! {
    leave_handlers();
    // SAFETY: null, or this tasklet's value.
    if let Some(own) = unsafe { own().as_ref() } {
        let bottom = own.bottom.get();
        if bottom == 0 {
            eprintln!("overlapped-preload: pthread_exit by a destructor, which POSIX leaves open");
            std::process::abort();
        }
        // SAFETY: `enter` has not returned, on this stack; the caller abandons its frames.
        unsafe { cleanup::unwind(value, bottom) }
    }
    if is_main_thread() && is_program_code() && existing_state().is_some_and(State::has_host) {
        exit_after_last_thread();
    }
    let exit: unsafe extern "C-unwind" fn(*mut c_void) -> ! = real!(pthread_exit);
    // SAFETY: the caller's promise, handed on.
    unsafe { exit(value) }
}

/// Waits for the program's other threads, and ends the process.
fn exit_after_last_thread() -> ! {
    let rest = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    unmarked(|| {
        while existing_state().is_some_and(|state| state.live.load(Relaxed) > 0) {
            // SAFETY: the time is borrowed for the call.
            unsafe { libc::nanosleep(&rest, null_mut()) };
        }
    });
    std::process::exit(0)
}

/// pthread_cancel(3), which is refused for a tasklet: none of its waits is a cancellation point.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_cancel(thread: libc::pthread_t) -> c_int {
    if crate::state::record(thread).is_some() {
        return libc::ENOSYS;
    }
    let cancel: unsafe extern "C" fn(libc::pthread_t) -> c_int = real!(pthread_cancel);
    // SAFETY: the caller's promise, handed on.
    unsafe { cancel(thread) }
}
