//! The end of a tasklet that was a thread, and of the process.
//!
//! Its function returns, or pthread_exit(3) unwinds to the same place. Then the library runs the
//! destructors of its thread-locals. The last of them is ours: a value of a key that puts itself
//! back until the last round. It tells whoever joins that all is over, and **waits until the
//! tasklet has been joined**, or is detached: until then its block, whose address is the
//! `pthread_t`, must not become another one's.
//!
//! **The process** ends when a thread calls exit(3), which main's return does, or when its last
//! thread ends. libc would wait for the host, too, which never ends. So the first thread waits for
//! the program's others in its place: for tasklets, and threads that stayed threads. In a child of
//! fork(2) the first thread is that which forked: a tasklet's perhaps, which has no scheduler
//! there.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::task::shield;
use overlapped_install::preload::{leave_handlers, unmarked};

use crate::cleanup;
use crate::enter::enter;
use crate::next::real;
use crate::program::{is_main_thread, is_program_code};
use crate::record::Record;
use crate::state::{State, existing_state};

/// As `PTHREAD_DESTRUCTOR_ITERATIONS`, which the library keeps to.
const ROUNDS: u32 = 4;

/// A tasklet's own side of its record: the value of the key.
struct Own {
    record: Arc<Record>,
    /// The place that [`leave`] goes to; 0 outside of it.
    bottom: Cell<usize>,
    rounds: Cell<u32>,
}

/// A thread of the program's that has stayed one: the value of the other key.
struct Thread {
    /// The process that it was started in.
    state: &'static State,
    rounds: Cell<u32>,
}

/// A key of pthread_key_create(3), made when it is first wanted, with its values' destructor.
struct Key(OnceLock<Option<libc::pthread_key_t>>, unsafe extern "C" fn(*mut c_void));

static OWN: Key = Key(OnceLock::new(), destroy);
static THREAD: Key = Key(OnceLock::new(), destroy_thread);

impl Key {
    /// Makes it; tells whether it is there.
    fn make(&self) -> bool {
        let made = self.0.get_or_init(|| {
            let mut key = 0;
            // SAFETY: a function of the right type that stays.
            let outcome = unsafe { libc::pthread_key_create(&mut key, Some(self.1)) };
            (outcome == 0).then_some(key)
        });
        made.is_some()
    }

    fn number(&self) -> Option<libc::pthread_key_t> {
        self.0.get().copied().flatten()
    }

    /// The caller's value.
    fn get(&self) -> *mut c_void {
        // SAFETY: the key stays.
        self.number().map_or(null_mut(), |key| unsafe { libc::pthread_getspecific(key) })
    }

    /// Keeps a value for the destructor; tells whether there was room.
    fn keep(&self, value: *mut c_void) -> bool {
        // SAFETY: the key stays.
        self.number().is_some_and(|key| unsafe { libc::pthread_setspecific(key, value) } == 0)
    }
}

/// Makes the key.
pub(crate) fn prepare() -> Result<(), String> {
    match OWN.make() {
        true => Ok(()),
        false => Err("no key of pthread_key_create is free".into()),
    }
}

fn own() -> *mut Own {
    OWN.get().cast()
}

/// The calling tasklet's record.
pub(crate) fn current_record() -> Option<Arc<Record>> {
    // SAFETY: null, or the value below, which this tasklet alone frees, at its end.
    unsafe { own().as_ref() }.map(|own| Arc::clone(&own.record))
}

/// Counts the calling thread, which its creator has counted in `state`, out at its end.
pub(crate) fn count_until_end(state: &'static State) {
    let thread = Box::into_raw(Box::new(Thread { state, rounds: Cell::new(0) }));
    if !(THREAD.make() && THREAD.keep(thread.cast())) {
        // SAFETY: nobody else has it.
        drop(unsafe { Box::from_raw(thread) });
        // Nobody would be told of its end: it is not waited for.
        state.live.fetch_sub(1, Relaxed);
    }
}

/// The destructor of a thread's value.
unsafe extern "C" fn destroy_thread(value: *mut c_void) {
    let place = value.cast::<Thread>();
    // SAFETY: the box's, which is freed below.
    let thread = unsafe { &*place };
    thread.rounds.set(thread.rounds.get() + 1);
    if thread.rounds.get() < ROUNDS && THREAD.keep(place.cast()) {
        return;
    }
    let state = thread.state;
    // SAFETY: the key has no value any more.
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
/// As the function demands.
pub(crate) unsafe fn run_as_thread(
    record: Arc<Record>,
    start: crate::enter::Start,
    argument: *mut c_void,
    begun: impl FnOnce(),
) {
    let own = Box::new(Own { record, bottom: Cell::new(0), rounds: Cell::new(0) });
    let own = Box::into_raw(own);
    if !OWN.keep(own.cast()) {
        // It would never be said that it has ended.
        std::process::abort();
    }
    begun();
    // SAFETY: the caller's promise; the box is the destructor's to free.
    unsafe {
        let value = enter(start, argument, (*own).bottom.as_ptr());
        // Nobody can go there any more.
        (*own).bottom.set(0);
        (*own).record.set_value(value);
    }
}

/// The destructor of the key's value.
unsafe extern "C" fn destroy(value: *mut c_void) {
    let place = value.cast::<Own>();
    // SAFETY: the box's, which is freed below.
    let own = unsafe { &*place };
    own.rounds.set(own.rounds.get() + 1);
    if own.rounds.get() < ROUNDS && OWN.keep(place.cast()) {
        return;
    }
    let record = Arc::clone(&own.record);
    // SAFETY: the key has no value any more.
    drop(unsafe { Box::from_raw(place) });
    if !record.state.is_current() {
        // The first thread of a child of fork(2).
        exit_after_last_thread();
    }
    unmarked(|| finish(&record));
}

fn finish(record: &Record) {
    record.state.live.fetch_sub(1, Relaxed);
    let is_detached = {
        let mut life = record.life();
        life.is_over = true;
        life.is_detached
    };
    if is_detached {
        record.state.records().remove(&record.id.load(Relaxed));
        return;
    }
    record.ended.set();
    shield(|| record.released.wait());
}

/// pthread_exit(3). Of the main thread, handlers and destructors do not run.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn pthread_exit(value: *mut c_void) -> ! {
    leave_handlers();
    // SAFETY: null, or this tasklet's.
    if let Some(own) = unsafe { own().as_ref() } {
        let bottom = own.bottom.get();
        if bottom == 0 {
            eprintln!("overlapped-preload: pthread_exit by a destructor, which POSIX leaves open");
            std::process::abort();
        }
        // SAFETY: `enter` is in its call, on this stack; the caller gives up its frames.
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
            // SAFETY: a time, lent for the call.
            unsafe { libc::nanosleep(&rest, null_mut()) };
        }
    });
    std::process::exit(0)
}

/// pthread_cancel(3): none of a tasklet's waits is a cancellation point.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_cancel(thread: libc::pthread_t) -> c_int {
    if crate::state::record(thread).is_some() {
        return libc::ENOSYS;
    }
    let cancel: unsafe extern "C" fn(libc::pthread_t) -> c_int = real!(pthread_cancel);
    // SAFETY: the caller's promise, handed on.
    unsafe { cancel(thread) }
}
