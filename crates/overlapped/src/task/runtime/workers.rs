//! The other threads of a run. Each opens a scheduler of its own, waits for the start signal, and
//! runs it until all tasklets in the group have ended.
//!
//! Either all are opened or none: if one cannot be opened, the others close theirs again, and
//! nothing has run.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::RunError;
use super::settings::{Settings, setup};
use crate::sched::{self, Group, RunEnd, Sched, TcbPtr};
use crate::sys::signal::sigpipe;
use crate::sys::thread::{end as end_of_thread, start};

pub(super) struct WorkerThreads {
    threads: Vec<JoinHandle<()>>,
    /// One for each thread; without the signal the threads leave.
    start_signal: Vec<Sender<()>>,
    /// One for each thread, which sends its end if it got the signal.
    ends: Vec<Receiver<RunEnd>>,
}

impl WorkerThreads {
    /// Starts the group's other members. Returns when all are open.
    pub(super) fn start(
        settings: &Settings,
        group: &Arc<Group>,
    ) -> Result<WorkerThreads, RunError> {
        let mut workers =
            WorkerThreads { threads: Vec::new(), start_signal: Vec::new(), ends: Vec::new() };
        let (report, reports) = channel();
        for member in 1..group.len() {
            let (start_signal, wait) = channel();
            let (end, ended) = channel();
            let (settings, group, report) = (settings.clone(), Arc::clone(group), report.clone());
            let thread = start(&format!("overlapped-{member}"), move || {
                if let Some(ended) = serve(&settings, group, member, report, &wait) {
                    let _ = end.send(ended);
                    end_of_thread::before();
                }
            });
            match thread {
                Ok(thread) => workers.threads.push(thread),
                Err(error) => return workers.stop(RunError::Thread(error)),
            }
            workers.start_signal.push(start_signal);
            workers.ends.push(ended);
        }
        // The threads have the others, until they report: one that panics before is noticed.
        drop(report);
        for _ in 1..group.len() {
            let opened = reports.recv().unwrap_or_else(|_| Err(RunError::Thread(died())));
            if let Err(error) = opened {
                return workers.stop(error);
            }
        }
        Ok(workers)
    }

    fn stop<T>(mut self, error: RunError) -> Result<T, RunError> {
        self.start_signal.clear();
        for thread in self.threads {
            // A thread that has panicked has printed that, and there is an error already.
            let _ = thread.join();
        }
        Err(error)
    }

    /// Lets the workers run.
    pub(super) fn begin(&self) {
        for start_signal in &self.start_signal {
            // The threads wait for it.
            let _ = start_signal.send(());
        }
    }

    /// Waits for their ends, on which the group has agreed. The threads end, too, except those on
    /// which a tasklet was parked for good: they never do.
    pub(super) fn end(self) -> impl Iterator<Item = RunEnd> {
        self.threads.into_iter().zip(self.ends).map(|(thread, end)| {
            let ended = end.recv().expect("a scheduler does not unwind: it aborts");
            if ended.abandoned.is_empty() {
                let _ = thread.join();
            }
            ended
        })
    }
}

fn died() -> io::Error {
    io::Error::other("a thread ended before its scheduler was open")
}

fn serve(
    settings: &Settings,
    group: Arc<Group>,
    member: usize,
    report: Sender<Result<(), RunError>>,
    start_signal: &Receiver<()>,
) -> Option<RunEnd> {
    let opened = match setup(settings, group, member, None) {
        Ok(setup) => sched::open(setup),
        Err(error) => {
            let _ = report.send(Err(error));
            return None;
        }
    };
    // The receiver is gone if another thread has failed; then no signal comes either.
    let _ = report.send(Ok(()));
    drop(report);
    start_signal.recv().ok()?;
    let _sigpipe = sigpipe::block();
    // SAFETY: without a first tasklet, no closure borrows anything.
    Some(unsafe { opened.run(false, None::<fn(&Sched) -> TcbPtr>) })
}
