//! System calls that may wait for ever, and can be interrupted from any thread, by
//! CancelSynchronousIo.
//!
//! A cancel that comes just before the call begins is lost. So a thread, the *interrupter*, cancels
//! again every few milliseconds until the call has ended.

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::Arc;
use std::time::Duration;

use windows_sys::Win32::System::IO::CancelSynchronousIo;
use windows_sys::Win32::System::Threading::{GetCurrentThreadId, OpenThread, THREAD_TERMINATE};

use super::{sleep, start_small};
use crate::sys::errno::{CANCELLED, errno};
use crate::sys::lock::Mutex;

/// The time between two cancels of one call.
const PERIOD: Duration = Duration::from_millis(10);

/// A system call that can be interrupted, from any thread, before and while it waits.
#[derive(Clone, Default)]
pub(crate) struct Interruptible(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The thread that is in the call, or about to be.
    caller: Option<OwnedHandle>,
    interrupted: bool,
}

impl Interruptible {
    /// Makes `call`. The result is in the system's form; that of a cancelled call if
    /// [`Interruptible::interrupt`] came first.
    pub(crate) fn call(&self, mut call: impl FnMut() -> isize) -> i32 {
        {
            let mut state = self.0.lock();
            if state.interrupted {
                return -CANCELLED;
            }
            state.caller = this_thread();
        }
        let result = call();
        let code = errno();
        self.0.lock().caller = None;
        match result {
            0.. => i32::try_from(result).expect("numbers of handles and flags are small"),
            _ => -code,
        }
    }

    /// Ends the call early, if it has not ended. Returns at once. Returns false if no thread
    /// repeats the cancel, which has been made once and may have come too early.
    pub(crate) fn interrupt(&self) -> bool {
        {
            let mut state = self.0.lock();
            state.interrupted = true;
            if state.caller.is_none() {
                return true;
            }
        }
        let call = self.clone();
        let repeat = move || {
            while call.cancel() {
                sleep(PERIOD);
            }
        };
        if start_small("overlapped-intr", repeat).is_ok() {
            return true;
        }
        self.cancel();
        false
    }

    /// Cancels once. Returns false if no thread is in the call.
    fn cancel(&self) -> bool {
        let state = self.0.lock();
        let Some(caller) = &state.caller else { return false };
        // SAFETY: an open handle. It cancels what the thread waits for: the call, because the
        // thread takes its handle out, under this lock, before it does anything else.
        unsafe { CancelSynchronousIo(caller.as_raw_handle()) };
        true
    }
}

/// Returns a handle of the calling thread, by which others cancel its calls.
fn this_thread() -> Option<OwnedHandle> {
    // SAFETY: a thread that exists; the handle is new.
    unsafe {
        let handle = OpenThread(THREAD_TERMINATE, 0, GetCurrentThreadId());
        (!handle.is_null()).then(|| OwnedHandle::from_raw_handle(handle))
    }
}

/// Does nothing: there are no signals.
pub(crate) fn block_other_signals() {}
