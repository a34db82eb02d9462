//! The only entry: `run`, `run_until`, and the `Config` beside them.

mod environment;
mod panics;
mod workers;

use std::fmt;
use std::io;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::spawn::{Made, Returned, make};
use super::{JoinError, Observer, Tasklet};
use crate::driver::{Driver, PortChoice, PortConfig};
use crate::foreign::quietly;
use crate::sched::{self, DeadlockReport, Group, Sched, SchedConfig, Setup};
use crate::stack::{self, Guards, Pool, StackConfig};
use crate::sys::signal::sigpipe;
use crate::watchdog;
use crate::watchdog::{OnStall, Stall};
use workers::WorkerThreads;

/// Runs `f` as the first tasklet of a new scheduler on this thread, and returns its result when `f`
/// and every tasklet have ended.
///
/// This is the outermost scope: `f` may borrow from the caller. If `f` panics, all other tasklets
/// are killed and the panic goes on to the caller.
///
/// All tasklets share a thread, which std names when one panics. From the first run on, a further
/// line names the tasklet and the call that spawned it (`note: that was tasklet 3 'worker', spawned
/// at src/main.rs:7:5`). It comes from a panic hook, which calls the one that was there before; a
/// hook that the program sets later replaces it.
///
/// # Errors
/// [`RunError`] says when.
///
/// ```
/// let sum = overlapped::run(|| {
///     let parts = [1, 2, 3].map(|n| overlapped::spawn(move || n * n));
///     parts.into_iter().map(|part| part.join().unwrap()).sum::<i32>()
/// });
/// assert_eq!(sum.unwrap(), 14);
/// ```
#[track_caller]
pub fn run<T>(f: impl FnOnce() -> T) -> Result<T, RunError> {
    Config::new().run(f)
}

/// Runs `f` as [`run`] does, but kills the tasklets that are left when `f` has returned.
///
/// # Errors
/// [`RunError`] says when.
#[track_caller]
pub fn run_until<T>(f: impl FnOnce() -> T) -> Result<T, RunError> {
    Config::new().run_until(f)
}

/// The configuration of a run. Every setting has a default that serves most programs.
#[must_use = "a configuration does nothing until run is called"]
pub struct Config {
    threads: usize,
    settings: Settings,
    observer: Option<Box<dyn Observer>>,
}

/// Places in the timers' heap have 32 bits.
const TASKLETS_MAX: usize = 1 << 30;

/// The settings that all schedulers of a run share.
#[derive(Debug, Clone)]
struct Settings {
    port: PortChoice,
    stack_size: usize,
    guards: Guards,
    stacks_max: usize,
    tasklets_max: usize,
    operations_max: usize,
    grace: Duration,
    overflow_report: bool,
    stall_limit: Option<Duration>,
    dump_on: Vec<i32>,
    on_stall: Option<OnStall>,
    is_shown: bool,
}

impl Default for Config {
    fn default() -> Config {
        let settings = Settings {
            port: PortChoice::Auto,
            stack_size: stack::SIZE_DEFAULT,
            guards: Guards::Auto,
            stacks_max: 1 << 22,
            tasklets_max: 1 << 26,
            operations_max: 1 << 22,
            grace: Duration::from_secs(5),
            overflow_report: true,
            stall_limit: None,
            dump_on: Vec::new(),
            on_stall: None,
            is_shown: false,
        };
        Config { threads: 1, settings, observer: None }
    }
}

impl Config {
    /// Makes a configuration of defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets the number of threads. Each has a scheduler and a port of its own, and the calling one
    /// is the first. A tasklet stays where it begins; [`place`](super::place) puts one elsewhere.
    /// Default: 1.
    ///
    /// The other limits here are for each scheduler.
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

    /// Sets the most stacks at a time. A tasklet that would need one more starts when one is free.
    /// Default: 4,194,304.
    pub fn stacks_max(mut self, stacks: usize) -> Config {
        self.settings.stacks_max = stacks.max(1);
        self
    }

    /// Sets the most tasklets at a time, started or not; beyond that, spawning is an error.
    /// Default: 67,108,864; at most 1,073,741,824, and as many placed ones beside them.
    pub fn tasklets_max(mut self, tasklets: usize) -> Config {
        self.settings.tasklets_max = tasklets.clamp(1, TASKLETS_MAX);
        self
    }

    /// Sets the most operations in flight; beyond that, a call fails with `QuotaExceeded`. Default:
    /// 4,194,304.
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
    /// - A tasklet that has **never begun** drops its closure, and is over. For that it has the
    ///   same time once more, and a second at least.
    /// - **The first tasklet** may borrow from the caller, so it cannot be parked for good: if it
    ///   outlives the grace time, the process is aborted with a message.
    /// - **The thread** on which a tasklet was parked for good **never ends**: the tasklet may have
    ///   lent thread-locals to other threads. `run` returns and the thread goes on, but where it
    ///   would end it waits for ever, before its thread-locals are dropped, and a message says so.
    ///   So a join of that thread waits for ever: take its result through a channel, or call `run`
    ///   on the main thread. The process can be exited at any time, and ends with the main thread.
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
    /// when that has lasted twice as long, and logs when it is over. Default: the time in the
    /// environment's `OVERLAPPED_STALL` (`500ms`, `1s`, `2m`), else no limit.
    ///
    /// A warning goes to the subscriber of `tracing`, or to standard error if none wants it.
    ///
    /// It finds long computations, calls that block the thread, and locks of std that are held
    /// across a wait: the next tasklet that locks one stops the thread, and with it the holder. Use
    /// `overlapped::sync` for locks that are held across a wait, and [`unblock`](super::unblock)
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
    /// [`dump`](super::dump) makes them do so. The threads are asked by SIGURG, as for
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

    /// Lets [`running_on`](super::running_on) ask the threads of this run, also without a
    /// [`stall_limit`](Config::stall_limit).
    pub fn shown(mut self, is_shown: bool) -> Config {
        self.settings.is_shown = is_shown;
        self
    }

    /// Runs `f` as [`run`](crate::run()) does, with this configuration.
    ///
    /// # Errors
    /// [`RunError`] says when.
    #[track_caller]
    pub fn run<T>(self, f: impl FnOnce() -> T) -> Result<T, RunError> {
        self.start(false, f)
    }

    /// Runs `f` as [`run_until`] does, with this configuration.
    ///
    /// # Errors
    /// [`RunError`] says when.
    #[track_caller]
    pub fn run_until<T>(self, f: impl FnOnce() -> T) -> Result<T, RunError> {
        self.start(true, f)
    }

    #[track_caller]
    fn start<T>(self, until_main: bool, f: impl FnOnce() -> T) -> Result<T, RunError> {
        if sched::is_occupied() {
            return Err(RunError::Nested);
        }
        if thread::panicking() {
            return Err(RunError::Unwinding);
        }
        panics::name_tasklets();
        let settings = self.settings.complete().map_err(RunError::Setting)?;
        let group = Arc::new(Group::new(self.threads, settings.tasklets_max));
        let setup = setup(&settings, Arc::clone(&group), 0, self.observer)?;
        let opened = sched::open(setup);
        let workers = WorkerThreads::start(&settings, &group)?;
        let _sigpipe = sigpipe::block();
        workers.begin();
        let mut main: Option<Main<T>> = None;
        let at = Location::caller();
        let first = |sched: &Sched| {
            // SAFETY: `opened.run` below keeps what `f` borrows alive.
            let made = unsafe { make(sched.intake(), at, f) };
            main = Some(Main { tcb: made.tcb, take: made.take });
            made.tcb
        };
        // SAFETY: it returns when main has ended or will never run again, so whatever `f` borrows
        // outlives it; the result is taken below.
        let mut ended = unsafe { opened.run(until_main, Some(first)) };
        for other in workers.end() {
            ended.deadlock_report = ended.deadlock_report.or(other.deadlock_report);
            ended.abandoned.extend(other.abandoned);
        }
        let main = main.expect("enter makes main first");
        let tasklet = Tasklet::new(Made { tcb: main.tcb, take: main.take });
        for tasklet in &ended.abandoned {
            quietly(|| {
                tracing::warn!("parked for good, since it outlived the grace time: {tasklet}");
            });
        }
        match tasklet.join() {
            Err(JoinError::Panicked(payload)) => resume_unwind(payload.into_inner()),
            result => match (ended.deadlock_report, result) {
                (Some(report), _) => Err(RunError::Deadlock(report)),
                (None, Ok(value)) => Ok(value),
                (None, Err(_)) => Err(RunError::Killed),
            },
        }
    }
}

impl Settings {
    /// Fills in the environment's settings if the program makes none, and sets up dumps.
    fn complete(mut self) -> io::Result<Settings> {
        if self.stall_limit.is_none() {
            self.stall_limit = environment::stall_limit()?;
        }
        if self.dump_on.is_empty() {
            self.dump_on.extend(environment::dump_signal()?);
        }
        self.dump_on.iter().try_for_each(|&signal| watchdog::dump_on(signal))?;
        Ok(self)
    }
}

/// Makes the parts from which one scheduler is opened.
fn setup(
    settings: &Settings,
    group: Arc<Group>,
    member: usize,
    observer: Option<Box<dyn Observer>>,
) -> Result<Setup, RunError> {
    let driver = Driver::open(&PortConfig::new(settings.port)).map_err(RunError::Port)?;
    let mut pool = Pool::new(StackConfig {
        size: settings.stack_size,
        guards: settings.guards,
        max: settings.stacks_max,
    });
    let first = pool.take(None).map_err(|error| RunError::Stack(error.into()))?;
    pool.give(first);
    if settings.overflow_report {
        sched::report_overflows().map_err(RunError::Stack)?;
    }
    let config = SchedConfig {
        tasklets_max: settings.tasklets_max,
        operations_max: settings.operations_max,
        grace_ns: u64::try_from(settings.grace.as_nanos()).unwrap_or(u64::MAX),
        stall: settings.stall_limit,
        on_stall: settings.on_stall,
        shown: settings.is_shown || !settings.dump_on.is_empty(),
    };
    Ok(Setup { group, member, config, observer, driver, pool })
}

/// The first tasklet's block, and the function that takes its result.
struct Main<T> {
    tcb: sched::TcbPtr,
    take: unsafe fn(sched::TcbPtr) -> Option<Returned<T>>,
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

/// The reason why a run has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The calling thread has a scheduler already: use [`scope`](super::scope) or
    /// [`spawn`](super::spawn).
    Nested,
    /// The calling thread unwinds: a panic has called this destructor. `thread::panicking` is the
    /// thread's, so it would hold for all tasklets of the run, and none of them could wait: a
    /// tasklet that unwinds never switches.
    Unwinding,
    /// No completion port could be opened; the text says why and what helps.
    Port(io::Error),
    /// The first stack could not be made.
    Stack(io::Error),
    /// A thread could not be started.
    Thread(io::Error),
    /// A variable of the environment has an invalid value, or the signal of [`Config::dump_on`]
    /// cannot be waited for; the text says which.
    Setting(io::Error),
    /// Tasklets were left that nothing could wake, and none of them waited in a call that could
    /// return that error. They were killed.
    Deadlock(DeadlockReport),
    /// The first tasklet was killed, so there is no result.
    Killed,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nested => f.write_str("run inside a run; use scope or spawn"),
            RunError::Unwinding => {
                f.write_str("run while the thread unwinds, where no tasklet could wait")
            }
            RunError::Port(error) => write!(f, "no completion port: {error}"),
            RunError::Stack(error) => write!(f, "no stack: {error}"),
            RunError::Thread(error) => write!(f, "no thread: {error}"),
            RunError::Setting(error) => error.fmt(f),
            RunError::Deadlock(report) => report.fmt(f),
            RunError::Killed => f.write_str("the first tasklet was killed"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<RunError> for io::Error {
    /// Converts the error, for `run(…)?` in functions that return [`io::Result`]. The kind is that
    /// of the error inside (`Port`, `Stack`, `Thread`, `Setting`), `Deadlock`, or `Other`;
    /// [`io::Error::downcast`] gives the `RunError` back.
    fn from(error: RunError) -> io::Error {
        let kind = match &error {
            RunError::Port(error)
            | RunError::Stack(error)
            | RunError::Thread(error)
            | RunError::Setting(error) => error.kind(),
            RunError::Deadlock(_) => io::ErrorKind::Deadlock,
            RunError::Nested | RunError::Unwinding | RunError::Killed => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::here;
    use crate::task::yield_now;
    use std::sync::mpsc;

    #[test]
    fn a_run_on_the_hub_is_refused_as_nested() {
        let (tell, told) = mpsc::channel();
        run(|| {
            let job = move |intake: &sched::Intake| {
                let nested = matches!(run(|| ()), Err(RunError::Nested));
                tell.send((here().is_none(), nested)).unwrap();
                // SAFETY: nothing is borrowed.
                let made = unsafe { make(intake, std::panic::Location::caller(), || ()) };
                let tcb = made.tcb;
                drop(Tasklet::new(made));
                tcb
            };
            let inbox = here().unwrap().inbox().clone();
            inbox.post_job(Box::new(job)).unwrap();
            let told = loop {
                yield_now();
                if let Ok(told) = told.try_recv() {
                    break told;
                }
            };
            assert_eq!(told, (true, true));
        })
        .unwrap();
        assert!(run(|| ()).is_ok(), "the thread is free again");
    }
}
