//! pthread_create(3): it starts a tasklet on the host, or a thread if it must be one.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use libc::{pthread_attr_t, pthread_t};
use overlapped::task::{Spawner, in_tasklet, may_wait, shield};
use overlapped_install::preload::unmarked;

use crate::end::{count_until_end, run_as_thread};
use crate::enter::Start;
use crate::host::host;
use crate::name::inherited;
use crate::next::real;
use crate::program::{LibraryCall, adopt, is_program_code};
use crate::record::Record;
use crate::state::{State, state};

type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

/// Bytes of a stack in addition to the requested size: the library's guard, and frames of its
/// functions.
const STACK_BESIDE: usize = 128 << 10;
/// The smallest stack: signal handlers may have large frames.
const STACK_MIN: usize = 256 << 10;

/// Attributes that a tasklet can have.
struct Attributes {
    stack_size: usize,
    is_detached: bool,
}

/// The program's function and its argument.
struct Body(Start, *mut c_void);

// SAFETY: pthread_create's caller passes both to another thread.
unsafe impl Send for Body {}

impl Body {
    /// Returns both. (A closure that names a field would capture only the field.)
    fn take(self) -> (Start, *mut c_void) {
        (self.0, self.1)
    }
}

/// pthread_create(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let create: Create = real!(pthread_create);
    if !is_program_code() {
        // SAFETY: the caller's promise, handed on.
        return unsafe { create(thread, attributes, start, argument) };
    }
    let body = Body(start, argument);
    // SAFETY: the caller's promise: null, or attributes.
    let requested = unsafe { requested(attributes) };
    match unmarked(|| requested.and_then(|requested| Some((host()?, requested)))) {
        Some((host, requested)) => match unmarked(|| begin(&host, requested, body)) {
            Ok(record) => {
                // SAFETY: the caller's promise.
                unsafe { thread.write(record.id.load(Relaxed) as pthread_t) };
                0
            }
            Err(error) => error,
        },
        None => {
            let state = state();
            // The thread is counted before it can end.
            state.live.fetch_add(1, Relaxed);
            let adoption = Box::into_raw(Box::new(Adoption { body, state }));
            // SAFETY: the caller's promise; `adopted` takes the box.
            let outcome = unsafe { create(thread, attributes, adopted, adoption.cast()) };
            if outcome == 0 {
                state.threads.fetch_add(1, Relaxed);
            } else {
                state.live.fetch_sub(1, Relaxed);
                // SAFETY: no thread has taken the box.
                drop(unsafe { Box::from_raw(adoption) });
            }
            outcome
        }
    }
}

/// A thread of the program that stays one, and the process in which it is started.
struct Adoption {
    body: Body,
    state: &'static State,
}

/// Runs a thread that stays one.
unsafe extern "C" fn adopted(adoption: *mut c_void) -> *mut c_void {
    // SAFETY: this is the box that `pthread_create` above has passed.
    let adoption = *unsafe { Box::from_raw(adoption.cast::<Adoption>()) };
    let Body(start, argument) = adoption.body;
    adopt();
    count_until_end(adoption.state);
    // SAFETY: pthread_create's caller's promise.
    unsafe { start(argument) }
}

/// Reads the attributes; `None` if a tasklet cannot have them.
///
/// # Safety
/// `attributes` is null, or points to attributes.
unsafe fn requested(attributes: *const pthread_attr_t) -> Option<Attributes> {
    // In this word libc keeps the address of a stack of the program's own, or null;
    // pthread_attr_getstack does not distinguish the two.
    const STACK: usize = 3;
    let mut default = MaybeUninit::<pthread_attr_t>::uninit();
    let mut requested = Attributes { stack_size: 0, is_detached: false };
    // SAFETY: the caller's promise; the default is initialised before it is read, and destroyed.
    unsafe {
        if attributes.is_null() {
            libc::pthread_attr_init(default.as_mut_ptr());
            libc::pthread_attr_getstacksize(default.as_ptr(), &mut requested.stack_size);
            libc::pthread_attr_destroy(default.as_mut_ptr());
            return Some(requested);
        }
        if *attributes.cast::<usize>().add(STACK) != 0 {
            return None;
        }
        let (mut inherits, mut detached) = (libc::PTHREAD_INHERIT_SCHED, 0);
        libc::pthread_attr_getinheritsched(attributes, &mut inherits);
        pthread_attr_getdetachstate(attributes, &mut detached);
        libc::pthread_attr_getstacksize(attributes, &mut requested.stack_size);
        requested.is_detached = detached == libc::PTHREAD_CREATE_DETACHED;
        (inherits == libc::PTHREAD_INHERIT_SCHED).then_some(requested)
    }
}

unsafe extern "C" {
    fn pthread_attr_getdetachstate(attributes: *const pthread_attr_t, state: *mut c_int) -> c_int;
}

/// Starts a tasklet, and waits until it has a `pthread_t`.
fn begin(host: &Spawner, requested: Attributes, body: Body) -> Result<Arc<Record>, c_int> {
    let _inside = LibraryCall::begin();
    let state = state();
    let record = Arc::new(Record::new(requested.is_detached, inherited()));
    let theirs = Arc::clone(&record);
    let builder = move || {
        let size = requested.stack_size.max(STACK_MIN).saturating_add(STACK_BESIDE);
        overlapped_install::Builder::new().stack_size(size)
    };
    state.live.fetch_add(1, Relaxed);
    let run = move || {
        let (start, argument) = body.take();
        let shown = Arc::clone(&theirs);
        // SAFETY: pthread_create's caller's promise.
        unsafe {
            run_as_thread(theirs, state, start, argument, move || {
                unmarked(|| register(state, &shown));
            });
        };
    };
    let is_begun = if in_tasklet() && may_wait() {
        builder().spawn(run).is_ok()
    } else if in_tasklet() {
        // The calling tasklet could not wait for the beginning of the new one.
        false
    } else {
        // `builder` gives the tasklet thread-locals of its own; a placed tasklet cannot have them.
        host.spawn(move || builder().spawn(run).is_ok())
            .is_ok_and(|placed| placed.join().unwrap_or(false))
    };
    if !is_begun {
        state.live.fetch_sub(1, Relaxed);
        return Err(libc::EAGAIN);
    }
    shield(|| record.begun.wait());
    state.tasklets.fetch_add(1, Relaxed);
    Ok(record)
}

/// Registers the calling tasklet by the name that others have for it.
fn register(state: &State, record: &Arc<Record>) {
    // SAFETY: the call has no conditions.
    let id = unsafe { libc::pthread_self() } as usize;
    record.id.store(id, Release);
    state.records().insert(id, Arc::clone(record));
    record.begun.set();
}
