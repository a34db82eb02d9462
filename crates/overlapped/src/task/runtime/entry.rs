//! A run from its beginning to its end.

use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::thread;

use super::settings::setup;
use super::workers::WorkerThreads;
use super::{Config, RunError, panics};
use crate::foreign::quietly;
use crate::sched::{self, Group, Sched};
use crate::sys::signal::sigpipe;
use crate::task::spawn::{Made, Returned, make};
use crate::task::{JoinError, Tasklet};

/// Runs `f` as the first tasklet of a new scheduler on this thread, and returns its result when `f`
/// and every tasklet have ended.
///
/// This is the outermost scope: `f` may borrow from the caller. If `f` panics, all other tasklets
/// are killed and the panic goes on to the caller.
///
/// When a tasklet panics, std names only its thread, which all tasklets share. From the first run
/// on, a further line names the tasklet and the call that spawned it (`note: that was tasklet 3
/// 'worker', spawned at src/main.rs:7:5`). It comes from a panic hook, which calls the one that was
/// there before; a hook that the program sets later replaces it.
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

impl Config {
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

/// The first tasklet's block, and the function that takes its result.
struct Main<T> {
    tcb: sched::TcbPtr,
    take: unsafe fn(sched::TcbPtr) -> Option<Returned<T>>,
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
