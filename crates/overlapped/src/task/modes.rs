//! What a tasklet may say about itself: give way, pause, hold off kills, forbid waiting.

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;

use super::Current;
use super::refusal::{Refusal, timed_out};
use super::wait::{checkpoint, deliver_kill, give_way, park};
use crate::op::Op;
use crate::sched::{DEPTH_MAX, Here, NEVER, Tcb, Waiting, here};

/// What a killed tasklet unwinds with. It prints no message and ends the tasklet silently.
///
/// A `catch_unwind` that meets it should resume it; one that does not has outlived that kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskletExit;

/// Delivers a kill: unwinds the calling tasklet.
#[cold]
pub(crate) fn exit_now(here: Here) -> ! {
    let me = here.me();
    if me.outlived_kill.replace(true) && me.no_switch.get() == 0 {
        // It has caught a kill and gone on. In a loop that does so, others must get their turn.
        give_way(here);
    }
    me.killed.set(false);
    if cfg!(panic = "abort") {
        eprintln!(
            "overlapped: tasklet {} was killed, but this program is built with panic=abort, which \
             leaves no way to unwind it; build with panic=unwind, or do not kill",
            me.id
        );
        std::process::abort();
    }
    resume_unwind(Box::new(TaskletExit))
}

/// Lets every other ready tasklet run before the caller goes on. Outside a scheduler it yields the
/// thread. A suspension point: a pending kill is delivered here.
///
/// # Panics
/// Inside [`no_switch`].
#[inline(always)]
pub fn yield_now() {
    let Some(here) = here() else {
        return std::thread::yield_now();
    };
    match checkpoint(here) {
        Ok(()) => {}
        Err(Refusal::Unwinding) => return,
        Err(refusal) => panic!("yield_now {}", refusal.reason()),
    }
    give_way(here);
    deliver_kill(here);
}

/// For calls that go on for long without having to wait: delivers a pending kill, obeys the
/// deadline, and gives way. Where the caller may not switch, it goes on.
///
/// # Errors
/// `TimedOut`: the deadline has passed.
pub(crate) fn breathe() -> io::Result<()> {
    let Some(here) = here() else { return Ok(()) };
    if checkpoint(here).is_err() {
        return Ok(());
    }
    let deadline = here.me().deadline.get();
    if deadline != NEVER && here.read_clock() >= deadline {
        return Err(timed_out(true));
    }
    give_way(here);
    deliver_kill(here);
    Ok(())
}

/// The calls in a row that do not wait before others get a turn.
const BUSY_MAX: u32 = 256;

/// Counts a call that is made in loops which never wait: a try that failed, a send without a limit.
/// Each [`BUSY_MAX`]th since the caller was last switched to is a suspension point: it lets others
/// run, on whom such a loop may depend. Where the caller may not switch, it goes on.
///
/// To be called where the caller has nothing that a kill could lose.
#[inline]
pub(crate) fn count_busy_call() {
    let Some(here) = here() else { return };
    let switches = here.pulse.switches();
    let busy = &here.counters.busy_calls;
    let is_new_turn = here.counters.busy_since.replace(switches) != switches;
    busy.set(if is_new_turn { 1 } else { busy.get() + 1 });
    if busy.get() >= BUSY_MAX {
        busy.set(0);
        give_way_if_possible(here);
    }
}

#[cold]
fn give_way_if_possible(here: Here) {
    if checkpoint(here).is_ok() {
        give_way(here);
        deliver_kill(here);
    }
}

/// Whether the kernel does `op` meanwhile, where it has to wait for a disk.
pub(crate) fn port_waits_for_disks(op: &Op) -> bool {
    here().is_some_and(|here| here.driver.borrow().waits_for_disks(op))
}

/// Takes the caller out of the ready queue until somebody calls [`Tasklet::resume`] on it. Outside
/// a scheduler and while unwinding it returns at once.
///
/// # Panics
/// Inside [`no_switch`].
///
/// [`Tasklet::resume`]: super::Tasklet::resume
pub fn pause() {
    let Some(here) = here() else { return };
    match checkpoint(here) {
        Ok(()) => {}
        Err(Refusal::Unwinding) => return,
        Err(refusal) => panic!("pause {}", refusal.reason()),
    }
    park(here, Waiting::Paused, NEVER);
    deliver_kill(here);
}

/// The calling tasklet.
///
/// # Panics
/// Outside a scheduler; [`in_tasklet`] tells.
pub fn current() -> Current {
    match here() {
        Some(here) => Current::of(here),
        None => {
            panic!("overlapped::current: not called by a tasklet; call this inside overlapped::run")
        }
    }
}

/// Whether the caller is a tasklet: whether a call that waits blocks it alone.
pub fn in_tasklet() -> bool {
    here().is_some()
}

/// Counts up a field of the caller's block for as long as it lives.
struct Depth(Option<Here>, fn(&Tcb) -> &Cell<u16>);

impl Depth {
    fn enter(field: fn(&Tcb) -> &Cell<u16>) -> Depth {
        let here = here();
        if let Some(here) = here {
            let depth = field(here.me());
            assert!(depth.get() < DEPTH_MAX, "shield or no_switch nested {DEPTH_MAX} deep");
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

/// Runs `f` with kills held off: one that comes meanwhile is delivered at the first suspension
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

/// Runs `f` with suspension forbidden: a call in it that would wait returns an error (`WouldBlock`
/// and its like), and one that has no error to return panics.
///
/// For code that must not be left while its neighbours run on the same thread: an initialiser of a
/// `thread_local!`; a crate that keeps a *stack-disciplined* pointer in a thread-local
/// (`scoped-tls`, some parsers and allocators' scopes) and expects that what is entered last is
/// left first; locks that are re-entrant by thread; callbacks of C code. The
/// [hazards](crate#hazards) are all there are.
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
