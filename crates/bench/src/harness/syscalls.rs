//! Counts the system calls and the processor time of another process.
//!
//! System calls are counted by the tracepoint `raw_syscalls:sys_enter`: one counter for each thread
//! that exists, which later threads inherit. It counts the calls that strace would show, without
//! stopping the process, and needs root (or `kernel.perf_event_paranoid` = −1) and a mounted
//! tracefs.

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use std::time::Duration;

/// Counters on every thread of one process.
pub(crate) struct Syscalls {
    counters: Vec<Counter>,
}

impl Syscalls {
    /// Starts counting.
    ///
    /// # Errors
    /// The kernel refused it; the sentence says which call.
    pub(crate) fn of(process: u32) -> Result<Syscalls, String> {
        let id = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
            .iter()
            .find_map(|root| {
                let path = format!("{root}/events/raw_syscalls/sys_enter/id");
                std::fs::read_to_string(path).ok()?.trim().parse().ok()
            })
            .ok_or("no tracefs (mount -t tracefs tracefs /sys/kernel/tracing)")?;
        let threads = std::fs::read_dir(format!("/proc/{process}/task"))
            .map_err(|error| format!("cannot list its threads: {error}"))?;
        let mut counters = Vec::new();
        for thread in threads.flatten() {
            let Some(thread) = thread.file_name().to_str().and_then(|id| id.parse().ok()) else {
                continue;
            };
            let mut counter = Builder::new(Tracepoint::with_id(id))
                .observe_pid(thread)
                .any_cpu()
                .include_kernel()
                .inherit(true)
                .build()
                .map_err(|error| format!("perf_event_open: {error}"))?;
            counter.enable().map_err(|error| format!("perf enable: {error}"))?;
            counters.push(counter);
        }
        Ok(Syscalls { counters })
    }

    /// Returns the number of system calls since the start.
    pub(crate) fn count(&mut self) -> Result<u64, String> {
        self.counters
            .iter_mut()
            .map(|counter| counter.read().map_err(|error| format!("perf read: {error}")))
            .sum()
    }
}

/// Returns the processor time of all threads of a process, dead ones included, with the precision
/// of nanoseconds (`/proc/PID/stat` has ticks of 10 ms).
pub(crate) fn cpu_time(process: u32) -> Result<Duration, String> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to live locals of the types that the calls fill in.
    let failed = unsafe {
        libc::clock_getcpuclockid(process as libc::pid_t, &mut clock) != 0
            || libc::clock_gettime(clock, &mut time) != 0
    };
    if failed {
        return Err(format!("process {process} has no processor clock"));
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Returns the processor time of this process's children that have ended and were waited for.
pub(crate) fn cpu_time_of_ended_children() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live local of the type that the call fills in, and which is
    // plain numbers, so that zeroes are a value of it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |of: libc::timeval| Duration::new(of.tv_sec as u64, of.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}
