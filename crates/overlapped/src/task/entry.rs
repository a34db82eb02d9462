//! The only way in: `run`, `run_until`, and the `Config` beside them.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::time::Duration;

use super::spawn::{Made, Returned, make};
use super::{JoinError, Observer, Tasklet};
use crate::port::{self, Driver, PortChoice, PortConfig};
use crate::sched::{self, Limits, Parts, Verdict};
use crate::stack::{self, Guards, Pool, StackConfig};

/// Runs `f` as the first tasklet of a new scheduler on this thread, and returns its result when `f`
/// and every tasklet have ended.
///
/// The outermost scope: `f` may borrow from the caller. If `f` panics, everybody else is killed and
/// the panic goes on to the caller.
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
pub fn run<T>(f: impl FnOnce() -> T) -> Result<T, RunError> {
    Config::new().run(f)
}

/// As [`run`], but tasklets that are left when `f` has returned are killed.
///
/// # Errors
/// [`RunError`] says when.
pub fn run_until<T>(f: impl FnOnce() -> T) -> Result<T, RunError> {
    Config::new().run_until(f)
}

/// How a scheduler is set up. Every setting has a default that serves most programs.
#[must_use = "a configuration does nothing until run is called"]
pub struct Config {
    port: PortChoice,
    stack_size: usize,
    guards: Guards,
    stacks_max: usize,
    tasklets_max: usize,
    operations_max: usize,
    grace: Duration,
    observer: Option<Box<dyn Observer>>,
    overflow_report: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            port: PortChoice::Auto,
            stack_size: stack::SIZE_DEFAULT,
            guards: Guards::Auto,
            stacks_max: 1 << 22,
            tasklets_max: 1 << 26,
            operations_max: 1 << 22,
            grace: Duration::from_secs(5),
            observer: None,
            overflow_report: true,
        }
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Which completion port. Default: the environment's `OVERLAPPED_PORT`, else the best.
    pub fn port(mut self, choice: PortChoice) -> Config {
        self.port = choice;
        self
    }

    /// Address space of a stack in bytes, guard included, rounded up to a power of two. Default:
    /// 256 KiB with a 64 KiB guard; memory is committed page by page as it is used.
    pub fn stack_size(mut self, bytes: usize) -> Config {
        self.stack_size = bytes;
        self
    }

    /// How stacks are guarded. Default: the cheapest way that the kernel has.
    pub fn guards(mut self, guards: Guards) -> Config {
        self.guards = guards;
        self
    }

    /// The most stacks at a time. Tasklets that would need one more start when one is free.
    /// Default: 4,194,304.
    pub fn stacks_max(mut self, stacks: usize) -> Config {
        self.stacks_max = stacks.max(1);
        self
    }

    /// The most tasklets at a time, started or not; beyond, spawning is an error. Default:
    /// 67,108,864.
    pub fn tasklets_max(mut self, tasklets: usize) -> Config {
        self.tasklets_max = tasklets.max(1);
        self
    }

    /// The most operations in flight; beyond, a call fails with `QuotaExceeded`. Default:
    /// 4,194,304.
    pub fn operations_max(mut self, operations: usize) -> Config {
        self.operations_max = operations.max(1);
        self
    }

    /// How long a shutdown waits for killed tasklets to end before it parks them for good: they
    /// never run again, and their stacks are leaked. Default: 5 s.
    ///
    /// The first tasklet may borrow from the caller, so it cannot be parked for good: if it
    /// outlives the grace time, the process is aborted with a message.
    pub fn grace(mut self, grace: Duration) -> Config {
        self.grace = grace;
        self
    }

    /// Who is told of switches and channel actions.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Config {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Whether a stack overflow is reported with the tasklet's name (default), by a handler for
    /// SIGSEGV and SIGBUS that passes on all else. The process ends either way.
    pub fn overflow_report(mut self, report: bool) -> Config {
        self.overflow_report = report;
        self
    }

    /// As [`run`](crate::run()).
    ///
    /// # Errors
    /// [`RunError`] says when.
    pub fn run<T>(self, f: impl FnOnce() -> T) -> Result<T, RunError> {
        self.start(false, f)
    }

    /// As [`run_until`].
    ///
    /// # Errors
    /// [`RunError`] says when.
    pub fn run_until<T>(self, f: impl FnOnce() -> T) -> Result<T, RunError> {
        self.start(true, f)
    }

    fn start<T>(self, until_main: bool, f: impl FnOnce() -> T) -> Result<T, RunError> {
        if sched::here().is_some() {
            return Err(RunError::Nested);
        }
        let driver = Driver::open(&PortConfig::new(self.port)).map_err(RunError::Port)?;
        let mut pool = Pool::new(StackConfig {
            size: self.stack_size,
            guards: self.guards,
            max: self.stacks_max,
        });
        let first = pool.take(None).map_err(|error| RunError::Stack(error.into()))?;
        pool.give(first);
        if self.overflow_report {
            sched::report_overflows().map_err(RunError::Stack)?;
        }
        let _sigpipe = port::attempt::block_sigpipe();
        let limits = Limits {
            tasklets_max: self.tasklets_max,
            operations_max: self.operations_max,
            stack_size: self.stack_size,
            grace_ns: u64::try_from(self.grace.as_nanos()).unwrap_or(u64::MAX),
        };
        let mut main: Option<Main<T>> = None;
        let parts = Parts { limits, observer: self.observer, driver, pool };
        // SAFETY: `enter` returns when main has ended or will never run again, so whatever `f`
        // borrows outlives it; the result is taken below.
        let ended = unsafe {
            sched::enter(parts, until_main, |sched| {
                let made = make(sched, f);
                main = Some(Main { tcb: made.tcb, take: made.take });
                made.tcb
            })
        };
        let main = main.expect("enter makes main first");
        let tasklet = Tasklet::new(Made { tcb: main.tcb, take: main.take });
        for tasklet in &ended.abandoned {
            tracing::warn!("parked for good, since it outlived the grace time: {tasklet}");
        }
        match tasklet.join() {
            Err(JoinError::Panicked(payload)) => resume_unwind(payload.into_inner()),
            result => match (ended.verdict, result) {
                (Some(verdict), _) => Err(RunError::Deadlock(verdict)),
                (None, Ok(value)) => Ok(value),
                (None, Err(_)) => Err(RunError::Killed),
            },
        }
    }
}

/// Main's block and the way to its result.
struct Main<T> {
    tcb: sched::TcbPtr,
    take: unsafe fn(sched::TcbPtr) -> Option<Returned<T>>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("port", &self.port)
            .field("stack_size", &self.stack_size)
            .field("guards", &self.guards)
            .field("stacks_max", &self.stacks_max)
            .field("tasklets_max", &self.tasklets_max)
            .field("operations_max", &self.operations_max)
            .field("grace", &self.grace)
            .field("observer", &self.observer.is_some())
            .field("overflow_report", &self.overflow_report)
            .finish()
    }
}

/// Why a run has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The caller is a tasklet already: use [`scope`](super::scope) or [`spawn`](super::spawn).
    Nested,
    /// No completion port could be opened; the text says why and what helps.
    Port(io::Error),
    /// Not even one stack could be made.
    Stack(io::Error),
    /// Tasklets were left that nobody could wake, and none of them waited in a call that could
    /// have said so. They were killed.
    Deadlock(Verdict),
    /// The first tasklet was killed, so there is no result.
    Killed,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nested => f.write_str("run inside a run; use scope or spawn"),
            RunError::Port(error) => write!(f, "no completion port: {error}"),
            RunError::Stack(error) => write!(f, "no stack: {error}"),
            RunError::Deadlock(verdict) => verdict.fmt(f),
            RunError::Killed => f.write_str("the first tasklet was killed"),
        }
    }
}

impl std::error::Error for RunError {}
