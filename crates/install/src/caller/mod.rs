//! The test that every function makes first: may this call block the tasklet instead of its thread?
//!
//! It may, if [`install`](crate::install) has been called, the tasklet was started through this
//! crate, and it may wait ([`may_wait`]: it is not inside `no_switch`).
//!
//! The mark of such a tasklet is a thread-local. The tasklet has thread-locals of its own
//! ([`own_thread_locals`](overlapped::Builder::own_thread_locals)), so no other code finds the mark
//! set.
//!
//! **A call inside a call is the library's own** and goes to the kernel: a [`Call`] takes the
//! tasklet's mark away for as long as it lives. So nothing here can call itself, whatever the
//! library uses underneath.

mod mark;
mod streams;

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::signal::Restart;
use overlapped::task::{in_tasklet, may_wait, shield};
use overlapped::yield_now;

use crate::symbols::Symbol;
use mark::set_mark;
pub(crate) use mark::{
    Mark, Unmarked, begin_handler, end_handler, is_in_handler, is_marked, is_ours, leave_handlers,
    mark, observe_jump, run_marked,
};
pub(crate) use streams::{adjust_locked_streams, has_locked_stream};

/// Set by [`install`](crate::install), for good.
pub(crate) static ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The number of the tasklet's calls since it waited last.
    static BUSY: Cell<u32> = const { Cell::new(0) };
}

/// The number of calls in a row without a wait, after which other tasklets run.
const BUSY_MAX: u32 = 128;

/// A call of a marked tasklet: the right to wait.
#[derive(Debug)]
pub(crate) struct Call(Symbol);

impl Call {
    /// Begins a call, if it may block the tasklet.
    #[inline]
    pub(crate) fn begin(symbol: Symbol) -> Option<Call> {
        Call::begin_if(symbol, may_wait)
    }

    /// Begins a wait for a lock or another tasklet, if it may block the tasklet. Destructors at the
    /// end of a killed tasklet are refused other waits, so that it ends soon. If they blocked the
    /// thread, the holder of the lock, a tasklet of the same thread, could not release it.
    #[inline]
    pub(crate) fn begin_lock(symbol: Symbol) -> Option<Call> {
        Call::begin_if(symbol, || may_wait() || shield(may_wait))
    }

    #[inline]
    fn begin_if(symbol: Symbol, may: impl FnOnce() -> bool) -> Option<Call> {
        if !(ON.load(Relaxed) && is_marked()) {
            return None;
        }
        if !may() {
            symbol.count_unable();
            return None;
        }
        // `Call` is made only now: its drop marks the tasklet again.
        set_mark(false);
        BUSY.set(BUSY.get() + 1);
        if BUSY.get() >= BUSY_MAX && may_yield() {
            cooperative_yield();
        }
        Some(Call(symbol))
    }

    /// Begins a call if it waits at all, else [counts it](Call::count_immediate).
    #[inline]
    pub(crate) fn begin_if_waits(waits: bool, symbol: Symbol) -> Option<Call> {
        if waits {
            return Call::begin(symbol);
        }
        Call::count_immediate();
        None
    }

    /// Counts a call that never waits: a program may repeat it until another tasklet has done
    /// something.
    #[inline]
    pub(crate) fn count_immediate() {
        if !(ON.load(Relaxed) && is_marked()) {
            return;
        }
        BUSY.set(BUSY.get() + 1);
        if BUSY.get() >= BUSY_MAX && may_yield() {
            let _unmarked = Unmarked::begin();
            cooperative_yield();
        }
    }

    /// Counts a wait of this call.
    pub(crate) fn count(&self) {
        BUSY.set(0);
        self.0.count();
    }

    /// Returns what a signal handler does to a wait of this call: see signal(7).
    pub(crate) fn restart(&self, has_limit: bool) -> Restart {
        match self.0 {
            Symbol::poll
            | Symbol::__poll_chk
            | Symbol::ppoll
            | Symbol::__ppoll_chk
            | Symbol::select
            | Symbol::pselect
            | Symbol::epoll_wait
            | Symbol::epoll_pwait
            | Symbol::sem_timedwait
            | Symbol::sem_clockwait
            | Symbol::pause
            | Symbol::sigpause
            | Symbol::__sigpause
            | Symbol::__xpg_sigpause
            | Symbol::sigsuspend
            | Symbol::sigwait
            | Symbol::sigwaitinfo
            | Symbol::sigtimedwait => Restart::No,
            Symbol::mq_timedsend | Symbol::mq_timedreceive => Restart::Yes,
            // A socket's own time limit.
            _ if has_limit => Restart::No,
            _ => Restart::Yes,
        }
    }
}

/// Tells whether other tasklets may run although the caller does not wait. Not while it holds a
/// stream of C's: if another tasklet wrote to the stream, libc would block the thread.
fn may_yield() -> bool {
    may_wait() && !has_locked_stream()
}

/// Lets other tasklets run. A tasklet whose calls find everything ready would keep them waiting.
#[cold]
fn cooperative_yield() {
    BUSY.set(0);
    yield_now();
}

impl Drop for Call {
    fn drop(&mut self) {
        set_mark(true);
    }
}

/// Tells whether the caller is a marked tasklet that may not wait now: a wait in it blocks the
/// other tasklets of the thread, for one of which it may be waiting.
pub(crate) fn blocks_neighbours() -> bool {
    is_marked() && in_tasklet() && !may_wait()
}
