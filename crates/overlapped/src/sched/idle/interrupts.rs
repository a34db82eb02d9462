//! The requests of a thread's signal handlers to its scheduler: above all, to end waits.
//!
//! ```text
//! handler, on the scheduler's thread          the scheduler
//! interrupt: find its slot by thread id       before it sleeps, and every few switches:
//!            set a bit, notify the port       take the bits, end the waits
//! ```
//!
//! A handler may run between any two instructions, with a tasklet's thread-locals or the thread's
//! own. So this module uses no thread-locals, no lock and no memory that is ever freed: slots are
//! leaked and used again, and a handler reads only its own thread's slot.
//!
//! A child of fork(2) has slots of its own. Its parent's slots name threads that the child does not
//! have, whose numbers may be used again, and ports that it must leave alone.

use std::cell::UnsafeCell;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, compiler_fence};

use crate::driver::Notifier;
use crate::sys::descriptor::errno_place;
use crate::sys::per_process::ForkHandler;
use crate::sys::thread::number as thread;

/// The number of no thread: the slot is free.
const FREE: i32 = 0;
/// The slot is being changed.
const TAKEN: i32 = -1;

/// The bit of a [request](Interrupts::request); the others are those of [`interrupt`].
pub(crate) const REQUEST: u8 = 1 << 7;

/// The function that schedulers call for a request.
static ANSWER: OnceLock<fn()> = OnceLock::new();

/// Sets the function that schedulers call for a request. Returns false if there is one already.
pub(crate) fn answer_requests(f: fn()) -> bool {
    ANSWER.set(f).is_ok()
}

/// Calls the function of [`answer_requests`].
pub(crate) fn answer() {
    if let Some(answer) = ANSWER.get() {
        answer();
    }
}

/// One scheduler's slot, in which its thread's handlers leave their requests.
struct HandlerSlot {
    /// The scheduler's thread.
    thread: AtomicI32,
    /// The bits of the [`interrupt`]s that have come.
    come: AtomicU8,
    /// Changed by the thread that has claimed the slot; read by handlers on it.
    notifier: UnsafeCell<Option<Notifier>>,
    next: *const HandlerSlot,
}

// SAFETY: only the slot's own thread touches `notifier`, and `next` never changes once others see
// the slot.
unsafe impl Sync for HandlerSlot {}

/// The slot that was made last. Slots are never freed.
static SLOTS: AtomicPtr<HandlerSlot> = AtomicPtr::new(ptr::null_mut());

/// Iterates over all slots.
fn slots() -> impl Iterator<Item = &'static HandlerSlot> {
    let mut at: *const HandlerSlot = SLOTS.load(Acquire);
    std::iter::from_fn(move || {
        // SAFETY: the pointer is null, or a slot, which is leaked.
        let slot = unsafe { at.as_ref() }?;
        at = slot.next;
        Some(slot)
    })
}

/// The requests of handlers to the scheduler of the thread that made the value; not `Send`.
pub(crate) struct Interrupts {
    /// Missing under Miri, which has no handlers.
    slot: Option<&'static HandlerSlot>,
    thread: std::marker::PhantomData<*const ()>,
}

impl Interrupts {
    /// Takes in the requests of the calling thread's handlers, as long as the result lives.
    /// `notifier` wakes the thread's scheduler.
    pub(crate) fn for_thread(notifier: Notifier) -> Interrupts {
        static FORKS: ForkHandler = ForkHandler::new(forget);
        FORKS.register();
        let slot = (!cfg!(miri)).then(claim_slot);
        if let Some(slot) = slot {
            // SAFETY: the slot is claimed and names no thread yet, so no handler reads it.
            unsafe { *slot.notifier.get() = Some(notifier) };
            slot.come.store(0, Relaxed);
            // A handler of this thread that sees the number sees the rest.
            compiler_fence(SeqCst);
            slot.thread.store(thread(), Release);
        }
        Interrupts { slot, thread: std::marker::PhantomData }
    }

    /// Asks the scheduler to call the function of [`answer_requests`]. The caller is on its thread,
    /// so the scheduler is not asleep. Returns false without a function or a slot.
    /// Async-signal-safe.
    pub(crate) fn request(&self) -> bool {
        match self.slot {
            Some(slot) if ANSWER.get().is_some() => {
                slot.come.fetch_or(REQUEST, SeqCst);
                true
            }
            _ => false,
        }
    }

    /// Takes the bits that have come.
    #[inline]
    pub(crate) fn take(&self) -> u8 {
        match self.slot {
            Some(slot) if slot.come.load(Relaxed) != 0 => slot.come.swap(0, SeqCst),
            _ => 0,
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.thread.store(TAKEN, Relaxed);
            compiler_fence(SeqCst);
            // SAFETY: the slot names no thread any more, so no handler reads it.
            let notifier = unsafe { (*slot.notifier.get()).take() };
            slot.thread.store(FREE, Release);
            drop(notifier);
        }
    }
}

/// Claims a free slot, or makes one.
fn claim_slot() -> &'static HandlerSlot {
    let is_free =
        |slot: &&HandlerSlot| slot.thread.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok();
    if let Some(slot) = slots().find(is_free) {
        return slot;
    }
    let place = Box::into_raw(Box::new(HandlerSlot {
        thread: AtomicI32::new(TAKEN),
        come: AtomicU8::new(0),
        notifier: UnsafeCell::new(None),
        next: ptr::null(),
    }));
    let mut next = SLOTS.load(Acquire);
    loop {
        // SAFETY: the slot is not shared yet.
        unsafe { (*place).next = next };
        match SLOTS.compare_exchange(next, place, Release, Acquire) {
            // SAFETY: the slot is leaked; from here on it is changed only through its cells.
            Ok(_) => return unsafe { &*place },
            Err(other) => next = other,
        }
    }
}

/// Forgets the parent's slots in a child of fork(2), before it has a second thread.
/// Async-signal-safe.
extern "C" fn forget() {
    SLOTS.store(ptr::null_mut(), Release);
}

/// Asks the scheduler of the calling thread, if there is one, to end waits. Returns whether there
/// is one.
///
/// Async-signal-safe: it takes no lock, allocates and frees nothing, and does not panic. The same
/// holds for `Notifier::notify`, which it calls: that drops the reference that it has upgraded, but
/// never the last one, since the port has one. This very thread drops the port, after the slot's
/// notifier ([`Interrupts`] is dropped first).
pub(crate) fn interrupt(bits: u8) -> bool {
    let place = errno_place();
    // SAFETY: the place is the calling thread's errno.
    let errno = unsafe { place.read() };
    let (me, mut has_scheduler) = (thread(), false);
    for slot in slots().filter(|slot| slot.thread.load(Relaxed) == me) {
        has_scheduler = true;
        slot.come.fetch_or(bits, SeqCst);
        // SAFETY: the slot is this thread's, and the thread is not changing it: it names the thread
        // only while it is complete, and this handler runs in between.
        if let Some(notifier) = unsafe { &*slot.notifier.get() } {
            notifier.notify();
        }
    }
    // SAFETY: the place is the calling thread's errno.
    unsafe { place.write(errno) };
    has_scheduler
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::driver::{Driver, PortConfig};

    #[test]
    fn a_child_of_fork_has_none_of_its_parents_interrupt_slots() {
        let driver = Driver::open(&PortConfig::default()).unwrap();
        let _claimed = Interrupts::for_thread(driver.notifier());
        assert!(slots().count() > 0);
        // SAFETY: the child calls only what a child of a process with threads may.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let slots = i32::try_from(slots().count()).unwrap_or(i32::MAX);
            // SAFETY: `_exit` has no conditions.
            unsafe { libc::_exit(slots) };
        }
        let mut status = 0;
        // SAFETY: the process is a child of this one, and `status` has room for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
    }
}
