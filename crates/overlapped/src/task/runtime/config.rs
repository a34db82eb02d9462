//! The configuration of a run.

use std::fmt;
use std::time::Duration;

use super::settings::Settings;
use crate::driver::PortChoice;
use crate::stack::Guards;
use crate::task::Observer;
use crate::watchdog::Stall;

/// The configuration of a run. Every setting has a default that serves most programs.
#[must_use = "a configuration does nothing until run is called"]
pub struct Config {
    pub(super) threads: usize,
    pub(super) settings: Settings,
    pub(super) observer: Option<Box<dyn Observer>>,
}

/// Places in the timers' heap have 32 bits.
const TASKLETS_MAX: usize = 1 << 30;

impl Default for Config {
    fn default() -> Config {
        Config { threads: 1, settings: Settings::default(), observer: None }
    }
}

impl Config {
    /// Makes a configuration of defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets the number of threads. Each has a scheduler and a port of its own, and the calling one
    /// is the first. A tasklet stays where it begins; [`place`] puts one elsewhere.
    /// Default: 1.
    ///
    /// The other limits here are for each scheduler.
    ///
    /// [`place`]: crate::task::place
    ///
    /// ```
    /// use overlapped::{Config, task};
    ///
    /// let sum = Config::new().threads(2).run(|| {
    ///     let parts: Vec<_> = (0..4u64).map(|n| task::place(move || n * n)).collect();
    ///     parts.into_iter().map(|part| part.join().unwrap()).sum::<u64>()
    /// });
    /// assert_eq!(sum.unwrap(), 14);
    /// ```
    pub fn threads(mut self, threads: usize) -> Config {
        self.threads = threads.max(1);
        self
    }

    /// Sets the completion port. Default: the environment's `OVERLAPPED_PORT`, else the best.
    pub fn port(mut self, choice: PortChoice) -> Config {
        self.settings.port = choice;
        self
    }

    /// Sets the address space of a stack in bytes, guard included, rounded up to a power of two.
    /// Default: 256 KiB with a 64 KiB guard; memory is committed page by page as it is used.
    pub fn stack_size(mut self, bytes: usize) -> Config {
        self.settings.stack_size = bytes;
        self
    }

    /// Sets how stacks are guarded. Default: the cheapest way that the kernel has.
    pub fn guards(mut self, guards: Guards) -> Config {
        self.settings.guards = guards;
        self
    }

    /// Sets the maximum number of stacks at a time. A tasklet that would need one more starts when
    /// one is free. Default: 4,194,304.
    pub fn stacks_max(mut self, stacks: usize) -> Config {
        self.settings.stacks_max = stacks.max(1);
        self
    }

    /// Sets the maximum number of tasklets at a time, started or not; beyond that, spawning is an
    /// error. Default: 67,108,864; at most 1,073,741,824, and as many placed ones beside them.
    pub fn tasklets_max(mut self, tasklets: usize) -> Config {
        self.settings.tasklets_max = tasklets.clamp(1, TASKLETS_MAX);
        self
    }

    /// Sets the maximum number of operations in flight; beyond that, a call fails with
    /// `QuotaExceeded`. Default: 4,194,304.
    pub fn operations_max(mut self, operations: usize) -> Config {
        self.settings.operations_max = operations.max(1);
        self
    }

    /// Sets how long a shutdown waits for killed tasklets to end before it parks them for good.
    /// Default: 5 s.
    ///
    /// A tasklet outlives that time if it is shielded, catches its kills, or computes. Then it
    /// never runs again. Its operations have ended, it has left all queues, anything that it was
    /// handed there goes to the next waiter, and all joins return [`JoinError::Abandoned`]. Its
    /// stack is leaked with all that is on it: a lock that it holds remains locked, as if a thread
    /// of std waited for ever.
    ///
    /// - A tasklet that has **never begun** drops its closure and ends. It has the same time once
    ///   more for that, and a second at least.
    /// - **The first tasklet** may borrow from the caller, so it cannot be parked for good: if it
    ///   outlives the grace time, the process is aborted with a message.
    /// - **The thread** on which a tasklet was parked for good **never ends**: the tasklet may have
    ///   lent thread-locals to other threads. `run` returns and the thread goes on. But at its end,
    ///   before its thread-locals are dropped, it waits for ever, and a message says so. So a join
    ///   of that thread waits for ever: take its result through a channel, or call `run` on the
    ///   main thread. The process can be exited at any time, and ends with the main thread.
    ///
    /// [`JoinError::Abandoned`]: crate::JoinError::Abandoned
    pub fn grace(mut self, grace: Duration) -> Config {
        self.settings.grace = grace;
        self
    }

    /// Sets the observer, which is called at switches and channel actions on the calling thread's
    /// scheduler.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Config {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Sets whether a stack overflow is reported with the tasklet's name (default), by a handler
    /// for SIGSEGV and SIGBUS that passes on all other faults. The process ends either way.
    pub fn overflow_report(mut self, report: bool) -> Config {
        self.settings.overflow_report = report;
        self
    }

    /// Warns when a tasklet has held its thread for longer than `limit`, so that no other tasklet
    /// there could run: with its name, the call that spawned it, and a backtrace. It warns again
    /// when that has lasted twice as long, and logs when it has ended. Default: the time in the
    /// environment's `OVERLAPPED_STALL` (`500ms`, `1s`, `2m`), else no limit.
    ///
    /// A warning goes to the subscriber of `tracing`, or to standard error if none wants it.
    ///
    /// It finds long computations, calls that block the thread, and locks of std that are held
    /// across a wait: the next tasklet that locks one stops the thread, and with it the holder. Use
    /// `overlapped::sync` for locks that are held across a wait, and [`unblock`]
    /// for calls that block.
    ///
    /// One thread in the process checks, four times in each limit; a switch costs the same as
    /// without. SIGURG makes a stalled thread report its place. Most of its system calls go on
    /// afterwards, but poll(2) and its like return `EINTR`, which is why the watch is off by
    /// default.
    ///
    /// With a limit, `run` also warns, once, if its first tasklet has ended longer ago than that
    /// and others still keep it from returning: a forgotten server, say.
    /// [`run_until`](Config::run_until) ends them.
    ///
    /// [`unblock`]: crate::task::unblock
    ///
    /// ```
    /// use std::time::Duration;
    /// let config = overlapped::Config::new().stall_limit(Duration::from_secs(1));
    /// config.run(|| { /* … */ }).unwrap();
    /// ```
    pub fn stall_limit(mut self, limit: Duration) -> Config {
        self.settings.stall_limit = Some(limit);
        self
    }

    /// Shows every tasklet on standard error whenever the process gets `signal`: name, state, what
    /// it waits for and how long, the call that spawned it; and a backtrace of the running one.
    /// Several signals may be given. Default: the signal in the environment's `OVERLAPPED_DUMP`
    /// (`quit`, `SIGUSR1`), else none.
    ///
    /// A thread of its own does that, so it works while a scheduler's thread is blocked, in a lock
    /// of std for instance. It shows the schedulers of all runs that are configured for a dump or a
    /// [`stall_limit`](Config::stall_limit). The signal's default action is off from then on, to
    /// the end of the process: with SIGQUIT, Ctrl-\\ shows the tasklets instead of ending the
    /// program. Only suspended tasklets themselves can find out where they are in their code:
    /// [`dump`](crate::task::dump) makes them do so. The threads are asked by SIGURG, as for
    /// [`stall_limit`](Config::stall_limit).
    ///
    /// ```
    /// let config = overlapped::Config::new().dump_on(overlapped::signal::SIGQUIT);
    /// config.run(|| { /* … */ }).unwrap();
    /// ```
    pub fn dump_on(mut self, signal: i32) -> Config {
        self.settings.dump_on.push(signal);
        self
    }

    /// Calls a function for each stall that [`stall_limit`](Config::stall_limit) finds, on the
    /// watchdog's thread. The function returns whether the stall is also to be logged as a warning.
    ///
    /// ```
    /// use overlapped::task::Stall;
    ///
    /// let config = overlapped::Config::new().on_stall(|stall| match stall {
    ///     Stall::Lasts(stalled) => stalled.system_call.is_some(), // No word of computations.
    ///     _ => false,
    /// });
    /// config.run(|| { /* … */ }).unwrap();
    /// ```
    pub fn on_stall(mut self, on_stall: fn(&Stall) -> bool) -> Config {
        self.settings.on_stall = Some(on_stall);
        self
    }

    /// Lets [`running_on`](crate::task::running_on) ask the threads of this run, also without a
    /// [`stall_limit`](Config::stall_limit).
    pub fn shown(mut self, is_shown: bool) -> Config {
        self.settings.is_shown = is_shown;
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("threads", &self.threads)
            .field("settings", &self.settings)
            .field("observer", &self.observer.is_some())
            .finish()
    }
}
