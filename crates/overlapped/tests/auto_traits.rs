//! Types that may cross threads, and types that may not. The compiler checks all of it: a type that
//! gains or loses a trait makes this file fail to build.

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};

use overlapped::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, MutexGuard, OnceLock, OwnedSemaphorePermit, RwLock,
    RwLockReadGuard, RwLockWriteGuard, Semaphore, mpsc, oneshot,
};
use overlapped::task;
use overlapped::task::{
    ChannelEvent, Current, DeadlockReport, Dump, JoinError, Local, Remote, Scope, ScopedTasklet,
    Stats, TaskletId, UnblockError,
};
use overlapped::thread;
use overlapped::time::{Instant, Interval};
use overlapped::{
    Builder, Channel, Config, Handover, RecvError, RunError, SendError, SpawnError, Tasklet,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}

/// Fails to build if the type has the trait: then two impls fit, and the call is ambiguous.
macro_rules! lacks {
    ($type:ty: $trait:ident) => {{
        trait Ambiguous<A> {
            fn here() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Has;
        impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
        <$type as Ambiguous<_>>::here();
    }};
}

#[test]
fn types_of_one_thread_stay_on_it() {
    lacks!(Tasklet<()>: Send);
    lacks!(Tasklet<()>: Sync);
    lacks!(ScopedTasklet<'static, ()>: Send);
    lacks!(ScopedTasklet<'static, ()>: Sync);
    lacks!(Scope<'static, 'static>: Send);
    lacks!(Scope<'static, 'static>: Sync);
    lacks!(Current: Send);
    lacks!(Current: Sync);
    lacks!(Channel<()>: Send);
    lacks!(Channel<()>: Sync);
    lacks!(overlapped::chan::Iter<'static, ()>: Send);
    lacks!(overlapped::chan::IntoIter<()>: Send);
    lacks!(Config: Send);
    lacks!(SendError<std::rc::Rc<()>>: Send);
    lacks!(overlapped::Select<'static, ()>: Send);
    lacks!(task::TaskletGroup<()>: Send);
    lacks!(task::Map<std::ops::Range<u8>, fn(u8) -> u8, u8>: Send);
}

#[test]
fn types_for_other_threads_may_cross_to_them() {
    send::<Remote>();
    sync::<Remote>();
    send::<TaskletId>();
    sync::<TaskletId>();
    send::<DeadlockReport>();
    sync::<DeadlockReport>();
    send::<JoinError>();
    send::<RunError>();
    send::<RecvError>();
    sync::<RecvError>();
    send::<SendError<u8>>();
    send::<SpawnError>();
    send::<UnblockError>();
    send::<task::WaitError>();
    sync::<task::WaitError>();
    send::<Dump>();
    send::<Stats>();
    send::<Builder>();
    send::<Instant>();
    send::<Interval>();
    send::<Handover>();
    send::<ChannelEvent>();
    sync::<Local<std::rc::Rc<()>>>();
}

#[test]
fn locks_channels_and_handles_cross_threads_as_stds_do() {
    fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
    type Local = std::rc::Rc<()>;
    send::<Mutex<Cell<u8>>>();
    sync::<Mutex<Cell<u8>>>();
    lacks!(Mutex<Local>: Send);
    lacks!(Mutex<Local>: Sync);
    lacks!(MutexGuard<'static, u8>: Send);
    sync::<MutexGuard<'static, u8>>();
    lacks!(MutexGuard<'static, Cell<u8>>: Sync);
    send::<RwLock<Cell<u8>>>();
    sync::<RwLock<u8>>();
    lacks!(RwLock<Cell<u8>>: Sync);
    lacks!(RwLockReadGuard<'static, u8>: Send);
    lacks!(RwLockWriteGuard<'static, u8>: Send);
    sync::<RwLockReadGuard<'static, u8>>();
    sync::<RwLockWriteGuard<'static, u8>>();
    unwind_safe::<Mutex<Cell<u8>>>();
    unwind_safe::<RwLock<Cell<u8>>>();
    send::<(Condvar, Barrier, Event, Semaphore, OwnedSemaphorePermit)>();
    sync::<(Condvar, Barrier, Event, Semaphore, OwnedSemaphorePermit)>();
    unwind_safe::<(Condvar, Barrier, Event, Semaphore)>();
    send::<OnceLock<Cell<u8>>>();
    sync::<OnceLock<u8>>();
    lacks!(OnceLock<Cell<u8>>: Sync);
    send::<LazyLock<Cell<u8>>>();
    sync::<LazyLock<u8>>();
    lacks!(LazyLock<Cell<u8>>: Sync);
    send::<mpsc::Sender<Cell<u8>>>();
    sync::<mpsc::Sender<Cell<u8>>>();
    sync::<mpsc::SyncSender<Cell<u8>>>();
    lacks!(mpsc::Sender<Local>: Send);
    send::<mpsc::Receiver<Cell<u8>>>();
    lacks!(mpsc::Receiver<u8>: Sync);
    lacks!(mpsc::Receiver<Local>: Send);
    unwind_safe::<mpsc::Receiver<Local>>();
    unwind_safe::<mpsc::Sender<Local>>();
    send::<(oneshot::Sender<Cell<u8>>, oneshot::Receiver<Cell<u8>>)>();
    lacks!(oneshot::Receiver<Local>: Send);
    send::<thread::JoinHandle<Cell<u8>>>();
    sync::<thread::JoinHandle<Cell<u8>>>();
    lacks!(thread::JoinHandle<Local>: Send);
    send::<(thread::Thread, thread::ThreadId, thread::Builder)>();
    sync::<(thread::Thread, thread::ThreadId, thread::Builder)>();
}

/// Values go in and come out, so a channel's type must be exact.
#[test]
fn a_channel_is_invariant_and_a_handle_covariant() {
    fn shrink<'a>(tasklet: Tasklet<&'static str>) -> Tasklet<&'a str> {
        tasklet
    }
    let tasklet = overlapped::run(|| overlapped::spawn(|| "static")).unwrap();
    assert_eq!(shrink(tasklet).join().unwrap(), "static");
    // A channel of `&'static str` as a channel of `&'a str` is the compile_fail example of
    // `overlapped::Channel`.
}
