//! Tasklets: all ways to begin one, to end one, and to wait for its end.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};

use overlapped::task::{self, JoinError, PauseError, TaskletExit, TaskletGroup, WaitError};
use overlapped::{Tasklet, yield_now};

use super::modes;
use crate::actor::{Actor, Planned};
use crate::check::{Frame, ensure, finding, on_a_tasklet, told_of_a_kill};
use crate::ledger::Value;
use crate::plan::End;
use crate::world::Handle;

pub(super) fn give_way(_: &mut Actor) {
    yield_now();
}

pub(super) fn sleep(me: &mut Actor) {
    overlapped::time::sleep(me.brief());
}

pub(super) fn spawn(me: &mut Actor) {
    let Some(handle) = me.spawn() else { return };
    if me.one_in(6) {
        return drop(handle);
    }
    // A remote would prevent the deadlock reports that some programs test.
    if me.one_in(4) && me.world.shared.plan.end != End::Told {
        let mut remotes = me.world.shared.remotes.lock().unwrap();
        remotes.push((handle.tasklet.remote(), handle.fate.clone()));
    }
    me.world.keep(handle, &mut me.rng);
}

pub(super) fn join(me: &mut Actor) {
    let handle = {
        let mut handles = me.world.handles.borrow_mut();
        let count = handles.len();
        if count == 0 {
            return;
        }
        handles.swap_remove(me.rng.below(count))
    };
    // Other tasklets may be using the handle.
    let Ok(Handle { tasklet, fate }) = Rc::try_unwrap(handle) else { return };
    let is_me = me.fate.as_ref().is_some_and(|mine| mine.id == fate.id);
    let result =
        if is_me { task::no_switch(|| tasklet.join()) } else { me.wait(|| tasklet.join()) };
    if is_me && matches!(result, Err(JoinError::WouldBlock)) {
        return;
    }
    me.judge(&fate, result);
}

pub(super) fn kill(me: &mut Actor) {
    let Some(handle) = me.world.some_handle(&mut me.rng) else { return };
    handle.fate.is_killed.store(true, SeqCst);
    handle.tasklet.kill();
}

pub(super) fn kill_oneself(me: &mut Actor) {
    let Some(fate) = &me.fate else { return };
    if me.rng.below(3) == 0 {
        fate.is_killed.store(true, SeqCst);
        task::current().remote().kill();
    }
}

pub(super) fn pause(_: &mut Actor) {
    task::pause();
}

fn may_be_refused(what: &str, result: Result<(), PauseError>) {
    match result {
        Ok(()) | Err(PauseError::Blocked | PauseError::Finished) => {}
        Err(error) => finding(format_args!("{what}: {error}")),
    }
}

pub(super) fn pause_another(me: &mut Actor) {
    let Some(handle) = me.world.some_handle(&mut me.rng) else { return };
    may_be_refused("pause", handle.tasklet.pause());
}

pub(super) fn resume(me: &mut Actor) {
    let Some(handle) = me.world.some_handle(&mut me.rng) else { return };
    may_be_refused("resume", handle.tasklet.resume());
}

pub(super) fn run_now(me: &mut Actor) {
    let Some(handle) = me.world.some_handle(&mut me.rng) else { return };
    may_be_refused("run_now", handle.tasklet.run_now());
}

/// Runs `acts`, and catches a planned panic; a kill goes on.
fn sparing(acts: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(acts))
        && !payload.is::<Planned>()
    {
        ensure!(payload.is::<TaskletExit>(), "neither planned nor a kill");
        resume_unwind(payload);
    }
}

pub(super) fn scope(me: &mut Actor) {
    let frame = Frame::new(me.rng.next());
    // The children write to their parent's stack.
    let marks: [Cell<u64>; 4] = Default::default();
    let parts = me.children(4);
    let count = parts.len();
    overlapped::scope(|s| {
        for (mark, mut child) in marks.iter().zip(parts) {
            let kind = me.rng.below(3);
            let part = overlapped::Builder::new().spawn_scoped(s, move || {
                let before = mark.replace(1);
                ensure!(before == 0, "a scoped tasklet ran twice");
                sparing(|| child.acts(3));
                mark.set(2);
            });
            let Ok(part) = part else { continue };
            if kind == 1 {
                yield_now();
                part.handle().kill();
            }
            if kind == 2 {
                let result = part.join();
                let may = !matches!(result, Err(JoinError::NoStack | JoinError::Panicked(_)));
                ensure!(may, "a scoped tasklet: {result:?}");
                ensure!(result.is_err() || mark.get() == 2, "joined before its end");
            }
        }
        if me.rng.below(2) == 0 {
            me.act();
        }
    });
    ensure!(marks[count..].iter().all(|mark| mark.get() == 0), "a mark of no child");
    frame.check();
}

/// Checks the result of a tasklet that is killed only by actions that kill at random.
#[track_caller]
fn may_end_so(result: Result<Value, JoinError>) {
    match result {
        Ok(value) => value.resulted(),
        Err(JoinError::Panicked(payload)) => {
            ensure!(payload.into_inner().is::<Planned>(), "an unplanned panic");
        }
        Err(error @ (JoinError::NoStack | JoinError::WouldBlock | JoinError::Taken)) => {
            finding(format_args!("a join among many: {error}"))
        }
        Err(JoinError::Cancelled) => told_of_a_kill(),
        Err(_) => {}
    }
}

pub(super) fn group(me: &mut Actor) {
    let mut group = TaskletGroup::new(1 + me.rng.below(3));
    for _ in 0..me.rng.below(6) {
        if !me.may_spawn() {
            break;
        }
        let child = me.child();
        // At a limit or a deadline the child is not spawned.
        let _ = me.wait(|| group.spawn(move || child.live()));
    }
    match me.rng.below(4) {
        0 => group.join_all().into_iter().for_each(may_end_so),
        1 => group.kill_all(),
        2 => {
            while let Some(result) = me.wait(|| group.join_next()) {
                let is_cut = matches!(
                    result,
                    Err(JoinError::TimedOut | JoinError::Cancelled | JoinError::Deadlock(_))
                );
                may_end_so(result);
                if is_cut {
                    break;
                }
            }
        }
        _ => {}
    }
}

pub(super) fn map(me: &mut Actor) {
    let children = me.children(4);
    if me.world.shared.plan.tasklets_max.is_some() {
        // `map` panics if no further tasklet may begin.
        return;
    }
    let limit = 1 + me.rng.below(3);
    let results = task::map(limit, children.into_iter().enumerate(), |(at, mut child)| {
        child.acts(2);
        at
    });
    for (meant, result) in results.enumerate() {
        match result {
            Ok(at) => ensure!(at == meant, "map gave {at} in place of {meant}"),
            Err(error) => may_end_so(Err(error)),
        }
        if me.one_in(8) {
            break;
        }
    }
}

fn some_children(me: &mut Actor) -> Vec<Tasklet<Value>> {
    let count = 1 + me.rng.below(3);
    let spawn = |_| {
        let child = me.child();
        me.spawn_as(child)
    };
    (0..count).filter_map(spawn).map(|handle| handle.tasklet).collect()
}

pub(super) fn wait_any(me: &mut Actor) {
    let mut children = some_children(me);
    while !children.is_empty() {
        let count = children.len();
        match me.wait(|| task::wait_any(&mut children)) {
            Ok((at, result)) => {
                ensure!(at < count && children.len() == count - 1, "{at} of {count}");
                may_end_so(result);
            }
            Err(WaitError::TimedOut | WaitError::Deadlock(_)) => break,
            Err(WaitError::Cancelled) => {
                told_of_a_kill();
                break;
            }
            Err(error) => finding(format_args!("wait_any: {error}")),
        }
    }
}

pub(super) fn wait_all(me: &mut Actor) {
    let children = some_children(me);
    let count = children.len();
    let results = me.wait(|| task::wait_all(children));
    ensure!(results.len() == count, "{} results of {count}", results.len());
    results.into_iter().for_each(may_end_so);
}

pub(super) fn block_on(me: &mut Actor) {
    let children = some_children(me);
    task::block_on(async {
        for child in children {
            may_end_so(child.await);
        }
    });
}

/// An executor's waker, which is the user's code.
struct Alarm {
    is_touching: bool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        on_a_tasklet("an executor's waker");
        if self.is_touching {
            modes::touch_locals();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        on_a_tasklet("a waker's destructor");
    }
}

/// An executor of the test's own, which stops after a while.
pub(super) fn poll(me: &mut Actor) {
    for mut child in some_children(me) {
        let is_touching = me.one_in(2);
        let alarm = Arc::new(Alarm { is_touching });
        let waker = Waker::from(alarm);
        let mut context = Context::from_waker(&waker);
        for _ in 0..me.rng.below(8) {
            if let Poll::Ready(result) = Pin::new(&mut child).poll(&mut context) {
                may_end_so(result);
                let again = Pin::new(&mut child).poll(&mut context);
                let is_taken = matches!(again, Poll::Ready(Err(_)));
                ensure!(is_taken, "a result was given twice");
                break;
            }
            yield_now();
        }
    }
}
