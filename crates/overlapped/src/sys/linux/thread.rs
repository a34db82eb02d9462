//! Threads: their numbers, how many there are, how often they wait; and signals to them.

use crate::sys::errno::errno;

/// Returns the calling thread's number (gettid(2)); never 0. Async-signal-safe.
pub(crate) fn number() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Tells whether the calling thread is the one that runs `main`.
pub(crate) fn is_main() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// Returns the number of times that the calling thread has waited, as the kernel counts it
/// (`ru_nvcsw`).
#[cfg(not(any(miri, overlapped_loom)))]
pub(crate) fn waits() -> u32 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: a place of the size that the call writes to; zeroes are a valid value, should it
    // fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_nvcsw as u32
}

/// Returns the number of times that the calling thread has waited: not counted here (loom wants
/// every round to be the same).
#[cfg(any(miri, overlapped_loom))]
pub(crate) fn waits() -> u32 {
    0
}

/// Returns the number of threads of this process. glibc counts a thread from before its start until
/// it ends. The kernel's own, which ring operations have, are not among them.
#[cfg(all(target_env = "gnu", not(any(miri, target_feature = "crt-static"))))]
pub(crate) fn count() -> Option<usize> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    static PLACE: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        // glibc's description of the variable for debuggers: its bits.
        // SAFETY: names that end in zeros, and the pseudo-handle of all that is loaded.
        let (place, told) = unsafe {
            let find = |name: &std::ffi::CStr| libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
            (find(c"__nptl_nthreads"), find(c"_thread_db___nptl_nthreads"))
        };
        if place.is_null() || told.is_null() {
            return None;
        }
        // SAFETY: the symbol is an array of three 32-bit constants: bits, count, offset.
        let bits = unsafe { *told.cast::<[u32; 3]>() }[0];
        // SAFETY: a variable of libc's, which is changed atomically, and stays.
        (bits == 32).then(|| unsafe { AtomicU32::from_ptr(place.cast()) })
    });
    Some(place.as_ref()?.load(Relaxed) as usize)
}

/// Returns the number of threads of this process: not known without glibc.
#[cfg(not(all(target_env = "gnu", not(any(miri, target_feature = "crt-static")))))]
pub(crate) fn count() -> Option<usize> {
    None
}

/// Returns the highest signal.
pub(crate) fn last_signal() -> i32 {
    libc::SIGRTMAX()
}

/// Signals that may serve to interrupt a call, the least used ones first.
pub(crate) fn spare_signals() -> impl Iterator<Item = i32> {
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev()
}

/// Takes back a signal of `set` if one is pending for the calling thread.
pub(crate) fn take_pending(set: &libc::sigset_t) {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid set and a valid time; a null info pointer is allowed.
    while unsafe { libc::sigtimedwait(set, std::ptr::null_mut(), &now) } == -1
        && errno() == libc::EINTR
    {}
}

/// Returns the registers that a signal handler finds: program counter, stack pointer, frame
/// pointer, return address.
#[cfg(target_arch = "x86_64")]
pub(crate) fn registers(context: &libc::ucontext_t) -> (usize, usize, usize, usize) {
    let register = |which: i32| context.uc_mcontext.gregs[which as usize] as usize;
    (register(libc::REG_RIP), register(libc::REG_RSP), register(libc::REG_RBP), 0)
}

/// Returns the registers that a signal handler finds: program counter, stack pointer, frame
/// pointer, return address.
#[cfg(target_arch = "aarch64")]
pub(crate) fn registers(context: &libc::ucontext_t) -> (usize, usize, usize, usize) {
    let machine = &context.uc_mcontext;
    let register = |which: usize| machine.regs[which] as usize;
    (machine.pc as usize, machine.sp as usize, register(29), register(30))
}

/// Returns the registers that a signal handler finds: not known on other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn registers(_: &libc::ucontext_t) -> (usize, usize, usize, usize) {
    (0, 0, 0, 0)
}

/// Returns the bytes that the kernel writes to deliver a signal; 0 if it does not tell.
pub(crate) fn signal_frame_size() -> usize {
    // SAFETY: getauxval only reads; it returns 0 for what it does not know.
    unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) as usize }
}

/// Returns the name of a system call that may wait. Others are known by their numbers.
pub(crate) fn system_call_name(number: i64) -> Option<&'static str> {
    macro_rules! named {
        ($($(#[$on:meta])? $number:ident $name:literal),* $(,)?) => {
            match number {
                $($(#[$on])? libc::$number => Some($name),)*
                _ => None,
            }
        };
    }
    named!(
        SYS_read "read", SYS_readv "readv", SYS_pread64 "pread64", SYS_preadv "preadv",
        SYS_write "write", SYS_writev "writev", SYS_pwrite64 "pwrite64", SYS_pwritev "pwritev",
        SYS_recvfrom "recvfrom", SYS_recvmsg "recvmsg", SYS_recvmmsg "recvmmsg",
        SYS_sendto "sendto", SYS_sendmsg "sendmsg", SYS_sendmmsg "sendmmsg",
        SYS_accept "accept", SYS_accept4 "accept4", SYS_connect "connect",
        SYS_openat "openat", SYS_close "close", SYS_flock "flock", SYS_fcntl "fcntl",
        SYS_ioctl "ioctl", SYS_fsync "fsync", SYS_fdatasync "fdatasync", SYS_sync "sync",
        SYS_sendfile "sendfile", SYS_splice "splice", SYS_tee "tee",
        SYS_copy_file_range "copy_file_range",
        SYS_futex "futex (a lock, a channel, a park)",
        SYS_nanosleep "nanosleep", SYS_clock_nanosleep "clock_nanosleep",
        SYS_ppoll "ppoll", SYS_pselect6 "pselect6", SYS_epoll_pwait "epoll_pwait",
        SYS_wait4 "wait4", SYS_waitid "waitid", SYS_rt_sigtimedwait "rt_sigtimedwait",
        SYS_rt_sigsuspend "rt_sigsuspend", SYS_mq_timedsend "mq_timedsend",
        SYS_mq_timedreceive "mq_timedreceive", SYS_io_uring_enter "io_uring_enter",
        SYS_sched_yield "sched_yield",
        #[cfg(target_arch = "x86_64")] SYS_open "open",
        #[cfg(target_arch = "x86_64")] SYS_poll "poll",
        #[cfg(target_arch = "x86_64")] SYS_select "select",
        #[cfg(target_arch = "x86_64")] SYS_pause "pause",
        #[cfg(target_arch = "x86_64")] SYS_epoll_wait "epoll_wait",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_that_may_wait_have_names() {
        assert_eq!(system_call_name(libc::SYS_write), Some("write"));
        assert_eq!(system_call_name(libc::SYS_ppoll), Some("ppoll"));
        assert_eq!(system_call_name(100_000), None);
    }
}
