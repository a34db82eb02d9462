//! Conversions to and from std's types and raw handles.

use std::os::windows::io::{
    AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, IntoRawHandle, OwnedHandle, RawHandle,
};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::File;
use crate::sys::file;
use crate::sys::file::Handle;
use crate::sys::thread::sleep;
use crate::task::{shield, waiter};
use crate::time;

/// The handle may have clones elsewhere: calls on them do not take their turn with calls on this
/// file.
impl From<OwnedHandle> for File {
    fn from(handle: OwnedHandle) -> File {
        Handle::from(handle).into()
    }
}

/// A job whose caller has left may still hold the handle: it has not begun, or its tasklet was
/// abandoned. Then this returns a duplicate: the number differs, the open file is the same. If none
/// can be made, it waits for the job to end, which blocks only the calling tasklet. Neither a kill
/// nor a deadline ends that wait, since the call has no error to return.
impl From<File> for Handle {
    fn from(file: File) -> Handle {
        let mut handle = file.handle;
        loop {
            handle = match Arc::try_unwrap(handle) {
                Ok(handle) => return handle,
                Err(shared) => shared,
            };
            if let Ok(duplicate) = file::duplicate(&handle) {
                return duplicate;
            }
            wait_a_moment();
        }
    }
}

/// Waits as a tasklet if the caller may wait, else as a thread.
fn wait_a_moment() {
    const MOMENT: Duration = Duration::from_millis(1);
    shield(|| match waiter::prepare() {
        Ok((wait, _waker)) => _ = wait.park("a job that holds the file", time::deadline_in(MOMENT)),
        Err(_) => sleep(MOMENT),
    });
}

impl From<Handle> for File {
    fn from(theirs: Handle) -> File {
        File::new(theirs, None)
    }
}

impl From<File> for OwnedHandle {
    fn from(ours: File) -> OwnedHandle {
        Handle::from(ours).into()
    }
}

impl From<File> for Stdio {
    fn from(ours: File) -> Stdio {
        Handle::from(ours).into()
    }
}

impl AsHandle for File {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl AsRawHandle for File {
    fn as_raw_handle(&self) -> RawHandle {
        self.handle.as_raw_handle()
    }
}

impl IntoRawHandle for File {
    fn into_raw_handle(self) -> RawHandle {
        OwnedHandle::from(self).into_raw_handle()
    }
}

impl FromRawHandle for File {
    unsafe fn from_raw_handle(handle: RawHandle) -> File {
        // SAFETY: the caller promises that the handle is open and owned by no other code.
        unsafe { OwnedHandle::from_raw_handle(handle) }.into()
    }
}
