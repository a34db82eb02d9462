//! The modes of the calling tasklet: yield, pause, hold off kills, forbid waiting.

use std::cell::Cell;
use std::io;

use super::suspension::{
    CannotWait, checkpoint, checkpoint_without_error, deadline_passed, deliver_kill, is_doomed,
    is_held_by_panic, killed, park, yield_turn,
};
use crate::op::Op;
use crate::sched::{DEPTH_MAX, Here, NEVER, Tcb, Waiting, here};

/// Lets every other ready tasklet run before the caller goes on. Outside a scheduler it yields the
/// thread. This is a suspension point: a pending kill is delivered here.
///
/// # Panics
/// Inside [`no_switch`].
#[inline(always)]
pub fn yield_now() {
    let Some(here) = here() else {
        return crate::sys::thread::yield_now();
    };
    match checkpoint_without_error(here) {
        Ok(()) => {}
        Err(CannotWait::Unwinding) => return,
        Err(reason) => panic!("yield_now {}", reason.message()),
    }
    yield_turn(here);
    deliver_kill(here);
}

/// Yields inside a call that takes long without having to wait: delivers a pending kill, and obeys
/// the deadline. If the caller may not switch, it returns at once.
///
/// # Errors
/// [`Cancelled`](super::Cancelled).
pub(crate) fn cooperative_yield() -> io::Result<()> {
    let Some(here) = here() else { return Ok(()) };
    match checkpoint(here) {
        Ok(()) => {}
        Err(CannotWait::Killed) => return Err(killed()),
        Err(_) => return Ok(()),
    }
    let deadline = here.me().deadline.get();
    if deadline != NEVER && here.read_clock() >= deadline {
        return Err(deadline_passed());
    }
    yield_turn(here);
    deliver_kill(here);
    Ok(())
}

/// The number of calls in a row that do not wait, after which others get a turn.
const BUSY_MAX: u32 = 256;

/// Counts a call that is made in loops which never wait: a failed try, or a send that never waits.
/// Each [`BUSY_MAX`]th call since the tasklet was last switched to is a suspension point: it lets
/// others run, on which such a loop may depend. If the caller may not switch, this returns at once.
///
/// Call it only where a kill loses nothing, since a pending kill is delivered here.
#[inline]
pub(crate) fn count_busy_call() {
    let Some(here) = here() else { return };
    if here.count_busy_call(BUSY_MAX) {
        yield_turn_if_possible(here);
    }
}

#[cold]
fn yield_turn_if_possible(here: Here) {
    if checkpoint_without_error(here).is_ok() {
        yield_turn(here);
        deliver_kill(here);
    }
}

/// Tells whether the port of this scheduler does `op` by itself while the tasklet waits.
pub(crate) fn port_does(op: &Op) -> bool {
    here().is_some_and(|here| here.driver().borrow().waits_for_disks(op))
}

/// Suspends the caller until [`Tasklet::resume`] is called on it. Outside a scheduler and while
/// unwinding it returns at once.
///
/// # Panics
/// Inside [`no_switch`].
///
/// [`Tasklet::resume`]: super::Tasklet::resume
pub fn pause() {
    let Some(here) = here() else { return };
    match checkpoint_without_error(here) {
        Ok(()) => {}
        Err(CannotWait::Unwinding) => return,
        Err(reason) => panic!("pause {}", reason.message()),
    }
    park(here, Waiting::Paused, NEVER);
    deliver_kill(here);
}

/// Tells whether the caller is a tasklet, so that a call that waits blocks it alone.
pub fn in_tasklet() -> bool {
    here().is_some()
}

/// Tells whether a call that waits would block the calling tasklet, and it alone. False where such
/// a call is refused, by an error or a panic: while unwinding, in destructors at the end of a
/// killed tasklet, inside [`no_switch`], and in code that is called as if inside it ([`Observer`]s,
/// wakers of futures). False outside of tasklets, where the call would block the thread. (A tasklet
/// with [thread-locals of its own](super::Builder::own_thread_locals) waits while unwinding, too,
/// inside [`kill_as_error`].)
///
/// A pending kill does not count: a call that waits then unwinds, or returns an error. This
/// function never waits and never unwinds.
///
/// ```
/// use overlapped::task::{may_wait, no_switch};
/// assert!(!may_wait());
/// overlapped::run(|| {
///     assert!(may_wait());
///     assert!(!no_switch(may_wait));
/// }).unwrap();
/// ```
///
/// [`Observer`]: super::Observer
pub fn may_wait() -> bool {
    here().is_some_and(|here| {
        let me = here.me();
        let is_at_its_end = me.last_drops.get() && is_doomed(here, me);
        let is_held = std::thread::panicking() && is_held_by_panic(me);
        // Replacements of libc's functions call this, and the port itself may be their caller.
        let is_in_port = here.driver().try_borrow_mut().is_err();
        me.no_switch.get() == 0 && !is_at_its_end && !is_in_port && !is_held
    })
}

/// Tells whether a kill of the calling tasklet is pending: it unwinds at its next suspension point,
/// or its calls return errors, inside [`kill_as_error`]. A kill that a [`shield`] holds off is
/// pending as well. False outside a scheduler. Never waits.
pub fn is_killed() -> bool {
    here().is_some_and(|here| here.me().killed.get() || here.is_ending())
}

/// Increments a field of the caller's control block; decrements it when dropped.
struct Depth(Option<Here>, fn(&Tcb) -> &Cell<u16>);

impl Depth {
    fn enter(field: fn(&Tcb) -> &Cell<u16>) -> Depth {
        let here = here();
        if let Some(here) = here {
            let depth = field(here.me());
            assert!(depth.get() < DEPTH_MAX, "a mode of a tasklet nested {DEPTH_MAX} deep");
            depth.set(depth.get() + 1);
        }
        Depth(here, field)
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        if let Some(here) = self.0 {
            let depth = (self.1)(here.me());
            depth.set(depth.get() - 1);
        }
    }
}

/// Runs `f` with kills held off: a kill that comes meanwhile is delivered at the first suspension
/// point after `f`. Deadlines are not held off.
///
/// ```
/// use overlapped::{run, spawn, task::shield, yield_now};
/// run(|| {
///     let done = std::rc::Rc::new(std::cell::Cell::new(false));
///     let seen = done.clone();
///     let tasklet = spawn(move || shield(|| { yield_now(); seen.set(true) }));
///     yield_now();
///     tasklet.kill();
///     tasklet.join().unwrap();
///     assert!(done.get());
/// }).unwrap();
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    let _depth = Depth::enter(|me| &me.shields);
    f()
}

/// Runs `f` with kills as errors: where a kill would unwind the tasklet, the call returns an error
/// instead, at once. The kill stays pending, so every further call in `f` returns it as well, and
/// the first suspension point after `f` unwinds.
///
/// This is for code that must not be unwound and checks for errors: functions of C with callbacks
/// that wait, `extern "C"` functions that wait, code that cleans up by itself.
///
/// | call | a kill |
/// |---|---|
/// | one that returns [`io::Result`] (I/O, [`try_sleep`]) | the error holds [`Cancelled::Kill`] |
/// | channels, selects, joins, [`unblock`](super::unblock) | their error is `Cancelled` |
/// | other waits that a deadline ends ([`mpsc`], `wait_timeout` …) | what a deadline gives |
/// | [`sleep`](crate::time::sleep) | ends it early |
/// | [`scope`](crate::scope()) | kills its tasklets; else held off |
/// | no error to return (locks, [`Event::wait`], [`pause`] …) | held off |
///
/// *Held off*: as by a [`shield`]. If a kill gives what a deadline gives, [`is_killed`] tells the
/// two apart.
///
/// As always, an operation that ends otherwise returns its result: no byte is lost. Inside a
/// [`shield`], kills are held off. Deadlines return errors everywhere; [`Cancelled::of`] tells the
/// two apart.
///
/// ```
/// use overlapped::net::UdpSocket;
/// use overlapped::task::{Cancelled, JoinError, kill_as_error};
/// overlapped::run(|| {
///     let server = overlapped::spawn(|| {
///         let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
///         let error = kill_as_error(|| socket.recv(&mut [0])).unwrap_err();
///         assert_eq!(Cancelled::of(&error), Some(Cancelled::Kill));
///         overlapped::yield_now();
///         unreachable!("the kill is delivered here");
///     });
///     overlapped::yield_now();
///     server.kill();
///     assert!(matches!(server.join(), Err(JoinError::Killed)));
/// }).unwrap();
/// ```
///
/// [`try_sleep`]: crate::time::try_sleep
/// [`mpsc`]: crate::sync::mpsc
/// [`Event::wait`]: crate::sync::Event::wait
/// [`Cancelled::of`]: super::Cancelled::of
/// [`Cancelled::Kill`]: super::Cancelled::Kill
pub fn kill_as_error<T>(f: impl FnOnce() -> T) -> T {
    let _depth = Depth::enter(|me| &me.kill_errors);
    f()
}

/// Runs `f`, whose waits may be ended by signal handlers of the kinds in `handlers` (bits).
/// Requests from before are handled first, so that they do not end the waits of `f`. Inside another
/// such call, the outer one counts.
pub(crate) fn interruptible<T>(handlers: u8, f: impl FnOnce() -> T) -> T {
    struct Outer(Option<(Here, u8)>);
    impl Drop for Outer {
        fn drop(&mut self) {
            if let Some((here, handlers)) = self.0 {
                here.me().interruptible.set(handlers);
                here.me().interrupted.set(false);
            }
        }
    }
    let here = here().filter(|here| here.me().interruptible.get() == 0);
    let _outer = Outer(here.map(|here| {
        here.end_interrupted_waits();
        (here, here.me().interruptible.replace(handlers))
    }));
    f()
}

/// Runs `f`, a call with a time limit: inside [`interruptible`], handlers of both kinds end its
/// waits.
pub(crate) fn ended_by_all_handlers<T>(f: impl FnOnce() -> T) -> T {
    struct Outer(Here, u8);
    impl Drop for Outer {
        fn drop(&mut self) {
            self.0.me().interruptible.set(self.1);
        }
    }
    let here = here().filter(|here| here.me().interruptible.get() != 0);
    let _outer = here.map(|here| Outer(here, here.me().interruptible.replace(u8::MAX)));
    f()
}

/// Returns the number of the caller's scheduler, for `signal::scheduler_number`.
pub(crate) fn scheduler_number() -> Option<u64> {
    here().map(|here| here.number())
}

/// Sends a request to the caller's scheduler, for `signal::request`.
pub(crate) fn request() -> bool {
    here().is_some_and(|here| here.request())
}

/// Runs `f` with suspension forbidden: a call in it that would wait returns an error (`WouldBlock`
/// or its like), or panics if it has no error to return.
///
/// This is for code that must not be left while its neighbours run on the same thread: an
/// initialiser of a `thread_local!`; a crate that keeps a *stack-disciplined* pointer in a
/// thread-local (`scoped-tls`, some parsers, scopes of allocators) and expects that the scope
/// entered last is left first; locks that are re-entrant by thread; callbacks of C code. The
/// [hazards](crate#hazards) list all cases.
///
/// ```
/// use overlapped::{run, task::no_switch, Channel, RecvError};
/// run(|| {
///     let channel = Channel::<u8>::new();
///     assert_eq!(no_switch(|| channel.recv()), Err(RecvError::WouldBlock));
/// }).unwrap();
/// ```
pub fn no_switch<T>(f: impl FnOnce() -> T) -> T {
    let _depth = Depth::enter(|me| &me.no_switch);
    f()
}
