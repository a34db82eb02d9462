//! Conversions to and from std's types and raw descriptors.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::File;
use crate::pipe::{End, Endpoint, Side};
use crate::sys::descriptor;
use crate::sys::thread::sleep;
use crate::task::{shield, waiter};
use crate::time;

impl Endpoint for File {
    fn end(&self, _: Side) -> Option<End<'_>> {
        Some(End::new(self.as_fd(), None).ok()?.in_turn(&self.state))
    }
}

/// The descriptor may have clones elsewhere: transfers through them at the common cursor do not
/// take their turn with transfers of this file.
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::new(fd, None)
    }
}

/// A job whose caller has left may still hold the descriptor: it has not begun, or its tasklet was
/// abandoned. Then this returns a duplicate: the number differs, the open file is the same. At the
/// limit of descriptors it waits for the job to end, which blocks only the calling tasklet. Neither
/// a kill nor a deadline ends that wait, since the call has no error to return.
impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        let mut fd = file.fd;
        loop {
            fd = match Arc::try_unwrap(fd) {
                Ok(fd) => return fd,
                Err(shared) => shared,
            };
            if let Ok(duplicate) = descriptor::duplicate(fd.as_fd()) {
                return duplicate;
            }
            // No descriptors are left, but the job will end.
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

impl From<std::fs::File> for File {
    fn from(theirs: std::fs::File) -> File {
        OwnedFd::from(theirs).into()
    }
}

impl From<File> for std::fs::File {
    fn from(ours: File) -> std::fs::File {
        OwnedFd::from(ours).into()
    }
}

impl From<File> for Stdio {
    fn from(ours: File) -> Stdio {
        OwnedFd::from(ours).into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: the caller promises that the descriptor is open and owned by no other code.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::cell::Cell;
    use std::process::Command;
    use std::rc::Rc;

    use super::*;
    use crate::task::{run, spawn, yield_now};

    #[test]
    fn at_the_limit_of_descriptors_only_the_tasklet_waits_for_a_job_that_holds_the_file() {
        const NAME: &str = "fs::file::convert::tests::at_the_limit_of_descriptors_only_the_tasklet\
                            _waits_for_a_job_that_holds_the_file";
        const CHILD: &str = "OVERLAPPED_TEST_CHILD";
        if std::env::var_os(CHILD).is_none() {
            let mut child = Command::new(std::env::current_exe().unwrap());
            let status = child.args([NAME, "--exact"]).env(CHILD, NAME).status().unwrap();
            return assert!(status.success(), "{status}");
        }
        // SAFETY: the call has no conditions. A process that hangs is ended in a minute.
        unsafe { libc::alarm(60) };
        run(|| {
            let file = File::open("/proc/self/exe").unwrap();
            let number = file.as_raw_fd();
            let (job, rounds) = (Arc::clone(&file.fd), Rc::new(Cell::new(0)));
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 1_000 };
            // SAFETY: sets a limit of this process.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
            let theirs = Rc::clone(&rounds);
            spawn(move || {
                for _ in 0..100 {
                    yield_now();
                    theirs.set(theirs.get() + 1);
                }
                drop(job);
            });
            assert_eq!(OwnedFd::from(file).as_raw_fd(), number);
            assert_eq!(rounds.get(), 100);
        })
        .unwrap();
    }
}
