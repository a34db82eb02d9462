//! The proxy of a tasklet: a thread that owns mutexes in its place, if the kernel must know the
//! owner.
//!
//! ```text
//! tasklet: pthread_mutex_lock ─▶ its proxy: glibc's, which may wait   (the tasklet is blocked)
//!          the tasklet goes on ◀── the result
//!          …
//!          its end ─▶ the proxy ends ─▶ the kernel marks what is locked still: EOWNERDEAD
//! ```
//!
//! A tasklet has a proxy from its first such call to its end. So the tasklet's death marks its
//! robust mutexes as a thread's death does, even if another process waits, or this one is killed.
//! The cost is a thread, and two switches between threads for each call.
//!
//! **Rejected**: to enter the mutexes into the list of the tasklet's own thread. The kernel would
//! find them if the process dies. But other tasklets would be the same owner, and this crate would
//! have to mark the mutexes of a tasklet that ends, in glibc's and the kernel's format.

use std::cell::RefCell;
use std::ffi::c_int;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::caller::{Call, Unmarked};
use crate::pool::{AssertSend, run_to_end_by, with_signals_blocked};

type Job = Box<dyn FnOnce() + Send>;

/// A proxy, as the module's comment describes it.
struct Proxy {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// The process that started it; a child of fork(2) has no such thread.
    process: u32,
}

thread_local! {
    static PROXY: RefCell<Option<Proxy>> = const { RefCell::new(None) };
}

impl Proxy {
    fn start() -> Option<Proxy> {
        const STACK_SIZE: usize = 64 << 10;
        let (jobs, received): (_, Receiver<Job>) = channel();
        let thread = Builder::new().name("install-owner".into()).stack_size(STACK_SIZE);
        let run = move || received.into_iter().for_each(|job| job());
        let thread = with_signals_blocked(|| thread.spawn(run)).ok()?;
        Some(Proxy { jobs: Some(jobs), thread: Some(thread), process: std::process::id() })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _unmarked = Unmarked::begin();
        if self.process != std::process::id() {
            std::mem::forget((self.jobs.take(), self.thread.take()));
            return;
        }
        drop(self.jobs.take());
        // The proxy is idle, so it ends at once. After the join, code that learns of the tasklet's
        // end finds its mutexes marked.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the channel to the calling tasklet's proxy, and starts the proxy if needed. `None`:
/// there is no thread, or the tasklet's thread-locals have been destroyed.
fn jobs() -> Option<Sender<Job>> {
    let _unmarked = Unmarked::begin();
    PROXY
        .try_with(|proxy| {
            let mut proxy = proxy.borrow_mut();
            if proxy.as_ref().is_some_and(|proxy| proxy.process != std::process::id()) {
                std::mem::forget(proxy.take());
            }
            if proxy.is_none() {
                *proxy = Proxy::start();
            }
            proxy.as_ref().and_then(|proxy| proxy.jobs.clone())
        })
        .ok()
        .flatten()
}

/// Has the calling tasklet's proxy call `f`. Meanwhile the tasklet is blocked, or its thread if it
/// may not wait. Returns EAGAIN if there is no proxy.
///
/// # Safety
/// `f` may be called on another thread while the caller waits.
pub(in crate::hooks::pthread) unsafe fn call(
    call: Option<&Call>,
    f: impl FnOnce() -> c_int + 'static,
) -> c_int {
    let Some(jobs) = jobs() else { return libc::EAGAIN };
    // SAFETY: the caller's promise.
    let f = unsafe { AssertSend::new(f) };
    let hand_over = move |job| {
        if jobs.send(job).is_err() {
            std::process::abort(); // It ends with the tasklet, and not before.
        }
    };
    if let Some(call) = call {
        return run_to_end_by(call, move || f.take()(), hand_over);
    }
    let _unmarked = Unmarked::begin();
    let (done, result) = sync_channel(1);
    hand_over(Box::new(move || {
        let _ = done.send(f.take()());
    }));
    // As above.
    result.recv().unwrap_or_else(|_| std::process::abort())
}
