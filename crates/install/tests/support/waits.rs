//! Waits for facts: a tasklet waits, a thread is inside a system call, a tasklet's neighbours run.

use std::ffi::c_long;
use std::fs;

use overlapped::task::{TaskletId, dump};

use super::{is_emulated, ms, wait_until};

/// Waits until a tasklet of the calling scheduler waits. Other tasklets run meanwhile.
#[track_caller]
pub(crate) fn until_waits(tasklet: TaskletId) {
    until_waits_for(tasklet, "");
}

/// Waits until a tasklet of the calling scheduler waits for an object whose text in a dump contains
/// `object`.
#[track_caller]
pub(crate) fn until_waits_for(tasklet: TaskletId, object: &str) {
    const STATES: [&str; 5] = ["not started", "ready", "running", "done", "waking up"];
    let id = tasklet.to_string();
    wait_until("the tasklet waits", || {
        let dump = dump();
        let mut tasklets = dump.lines().iter().map(|line| &line.tasklet);
        let found = tasklets.find(|tasklet| tasklet.id.to_string() == id);
        let on = &found.expect("the tasklet has not ended").on;
        !STATES.contains(&on.as_str()) && on.contains(object)
    });
}

/// Waits until another thread of this process is inside the system call with this number. Where the
/// system does not show that, it gives the threads 300 ms.
#[track_caller]
pub(crate) fn until_a_thread_is_in(number: c_long) {
    until_some("a thread makes the call", || {
        // The calling thread is in read(2) itself, so it does not count.
        let me = thread_number().to_string();
        call_of(&me)?;
        let threads = fs::read_dir("/proc/self/task").ok()?;
        let names = threads.flatten().map(|thread| thread.file_name().to_string_lossy().into());
        let calls = names.filter(|name: &String| *name != me).filter_map(|name| call_of(&name));
        Some(calls.flatten().any(|call| call == number))
    });
}

/// Waits until the thread with this number is blocked in one of these system calls. Where the
/// system does not show that, it gives the thread 300 ms.
#[track_caller]
pub(crate) fn until_blocked(thread: c_long, calls: &[c_long]) {
    until_some("the thread is blocked", || {
        call_of(&thread.to_string()).map(|call| call.is_some_and(|call| calls.contains(&call)))
    });
}

/// The system calls in which a thread, or the scheduler of a tasklet, waits for descriptors.
pub(crate) const WAITS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    libc::SYS_io_uring_enter,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Returns the number of the calling thread.
pub(crate) fn thread_number() -> c_long {
    // SAFETY: no conditions.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// Waits until `is_so` answers yes; `None` means that there will be no answer.
#[track_caller]
fn until_some(what: &str, is_so: impl Fn() -> Option<bool>) {
    if is_emulated() || is_so().is_none() {
        return std::thread::sleep(ms(300));
    }
    // A thread may end between two questions.
    wait_until(what, || is_so().unwrap_or(false));
}

/// Returns the number of the system call in which a thread waits, if it does; `None` if the system
/// does not show it.
fn call_of(thread: &str) -> Option<Option<c_long>> {
    // "running", or the number, its arguments, and two addresses.
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    Some(text.split(' ').next().and_then(|number| number.parse().ok()))
}
