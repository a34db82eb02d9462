//! The question that every function asks first: may this call block the tasklet instead of its
//! thread?
//!
//! It may, if [`install`](crate::install) has been called, the tasklet was started through this
//! crate, and it may wait ([`may_wait`]: it is not inside `no_switch`).
//!
//! The mark of such a tasklet is a thread-local: it has thread-locals of its own
//! ([`own_thread_locals`](overlapped::Builder::own_thread_locals)), where nobody else finds it.
//!
//! **A call inside a call is the library's own** and goes to the kernel as it is: a [`Call`] takes
//! the tasklet's mark away for as long as it lives. So nothing here can call itself, whatever the
//! library uses underneath.

mod mark;

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::signal::Restart;
use overlapped::task::{in_tasklet, may_wait, shield};
use overlapped::yield_now;

use crate::symbols::Symbol;
use mark::set_mark;
pub(crate) use mark::{
    Mark, Unmarked, begin_handler, end_handler, is_in_handler, is_marked, is_ours, jumps_to,
    leaves_handlers, mark, marked,
};

/// Set by [`install`](crate::install), for good.
pub(crate) static ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Calls of the tasklet's since it waited last.
    static BUSY: Cell<u32> = const { Cell::new(0) };
}

/// The calls in a row that do not wait before neighbours get a turn.
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
    /// end of a killed tasklet are refused other waits, so that it ends soon; but if they blocked
    /// the thread, whoever has the lock could not give it back.
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
            symbol.hold_back();
            return None;
        }
        // Made only then: its end marks the tasklet again.
        set_mark(false);
        BUSY.set(BUSY.get() + 1);
        if BUSY.get() >= BUSY_MAX && may_give_way() {
            give_way();
        }
        Some(Call(symbol))
    }

    /// Begins a call if it waits at all, else lets it [pass](Call::pass).
    #[inline]
    pub(crate) fn begin_where(waits: bool, symbol: Symbol) -> Option<Call> {
        if waits {
            return Call::begin(symbol);
        }
        Call::pass();
        None
    }

    /// Counts a call that never waits: a program may make it again and again until a neighbour has
    /// done something.
    #[inline]
    pub(crate) fn pass() {
        if !(ON.load(Relaxed) && is_marked()) {
            return;
        }
        BUSY.set(BUSY.get() + 1);
        if BUSY.get() >= BUSY_MAX && may_give_way() {
            let _unmarked = Unmarked::begin();
            give_way();
        }
    }

    /// Counts a wait of this call's.
    pub(crate) fn count(&self) {
        BUSY.set(0);
        self.0.count();
    }

    /// Tells what a signal handler does to a wait of this call's: see signal(7).
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
            // A socket's own.
            _ if has_limit => Restart::No,
            _ => Restart::Yes,
        }
    }
}

/// Tells whether neighbours may have a turn where the caller does not wait. Not while it holds a
/// stream of C's: libc would block the thread of a neighbour that writes to it.
fn may_give_way() -> bool {
    may_wait() && !crate::hooks::holds_stream()
}

/// Lets neighbours run, which a tasklet whose calls find everything ready would keep waiting.
#[cold]
fn give_way() {
    BUSY.set(0);
    yield_now();
}

impl Drop for Call {
    fn drop(&mut self) {
        set_mark(true);
    }
}

/// Tells whether the caller is a marked tasklet that may not wait now: what waits in it blocks its
/// neighbours, whom it may be waiting for.
pub(crate) fn blocks_neighbours() -> bool {
    is_marked() && in_tasklet() && !may_wait()
}
