//! [`block_on`]: a future polled on the tasklet's own stack.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::sched::NEVER;
use crate::sys::lock::Mutex;
use crate::task::waiter::{self, Woken};
use crate::task::yield_now;

/// Runs a future to its end and blocks the calling tasklet only; outside a scheduler, the thread.
///
/// The future may be woken from any thread. Futures that need a runtime of their own (tokio's
/// sockets and timers) still need it, on a thread of its own; channels and locks, such as those of
/// `tokio::sync`, need none.
///
/// A kill unwinds out of the call and drops the future where it is. A deadline set by
/// [`timeout`](crate::time::timeout) does not end the call, since there is no error to return;
/// calls inside the future that would block the tasklet obey it as ever. As long as the call waits,
/// another thread might wake it, so there is no deadlock report.
///
/// # Panics
/// Inside [`no_switch`](crate::task::no_switch), if the future is not ready at the first try. For
/// the same reason it aborts the process while the tasklet unwinds: there is neither a way to wait
/// nor an error to return.
///
/// ```
/// use futures::channel::oneshot;
/// use overlapped::{run, spawn, task::block_on};
/// run(|| {
///     let (tx, rx) = oneshot::channel();
///     let waits = spawn(move || block_on(rx));
///     tx.send(7).unwrap();
///     assert_eq!(waits.join().unwrap(), Ok(7));
/// }).unwrap();
/// ```
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let signal = Arc::new(Signal { woken: AtomicBool::new(false), waiter: Mutex::new(None) });
    let waker = Waker::from(Arc::clone(&signal));
    let mut cx = Context::from_waker(&waker);
    loop {
        signal.woken.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        signal.wait();
    }
}

/// The target of the future's wakers.
struct Signal {
    /// Set when it was woken since the last poll began.
    woken: AtomicBool,
    /// The waker of the present wait.
    waiter: Mutex<Option<waiter::Waker>>,
}

impl Signal {
    fn wait(&self) {
        let (wait, waker) = match waiter::prepare() {
            Ok(prepared) => prepared,
            Err(reason) => panic!("block_on {}", reason.message()),
        };
        self.set(Some(waker));
        // A wake sets the flag before it looks for the waiter: one of the two sees the other.
        if self.woken.load(Ordering::SeqCst) {
            self.set(None);
            drop(wait);
            // A future that wakes itself must not keep the others from running.
            return yield_now();
        }
        let ended = wait.park("a future", NEVER);
        self.set(None);
        match ended {
            Woken::Yes | Woken::TimedOut => {}
            Woken::Killed => waiter::leave(),
        }
    }

    fn set(&self, waiter: Option<waiter::Waker>) {
        *self.waiter.lock() = waiter;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let waiter = self.waiter.lock().take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
