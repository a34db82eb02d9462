//! The other threads of a run: each opens a scheduler of its own, waits for the word, and runs it
//! until everybody in the group has ended.
//!
//! All or none: where one cannot be opened, the others close theirs again, and nothing has run.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::{RunError, Settings, parts};
use crate::sched::{self, Ended, Group, Sched, TcbPtr};
use crate::sys::signal::sigpipe;

pub(super) struct Crew {
    threads: Vec<JoinHandle<()>>,
    /// One for each; without the word they leave.
    word: Vec<Sender<()>>,
    /// One from each that had the word.
    ends: Vec<Receiver<Ended>>,
}

impl Crew {
    /// Starts the group's other members; returns when all are open.
    pub(super) fn muster(settings: &Settings, group: &Arc<Group>) -> Result<Crew, RunError> {
        let mut crew = Crew { threads: Vec::new(), word: Vec::new(), ends: Vec::new() };
        let (report, reports) = channel();
        for member in 1..group.len() {
            let (word, wait) = channel();
            let (end, ended) = channel();
            let (settings, group, report) = (settings.clone(), Arc::clone(group), report.clone());
            let thread = thread::Builder::new()
                .name(format!("overlapped-{member}"))
                .spawn(move || {
                    if let Some(ended) = serve(&settings, group, member, &report, &wait) {
                        let _ = end.send(ended);
                    }
                })
                .map_err(RunError::Thread);
            match thread {
                Ok(thread) => crew.threads.push(thread),
                Err(error) => return crew.dismiss(error),
            }
            crew.word.push(word);
            crew.ends.push(ended);
        }
        for _ in 1..group.len() {
            let opened = reports.recv().unwrap_or_else(|_| Err(RunError::Thread(died())));
            if let Err(error) = opened {
                return crew.dismiss(error);
            }
        }
        Ok(crew)
    }

    fn dismiss<T>(mut self, error: RunError) -> Result<T, RunError> {
        self.word.clear();
        for thread in self.threads {
            // One that has panicked has said so, and there is an error already.
            let _ = thread.join();
        }
        Err(error)
    }

    /// Lets them run.
    pub(super) fn begin(&self) {
        for word in &self.word {
            // They wait for it.
            let _ = word.send(());
        }
    }

    /// Waits for their ends, which the group has agreed on. Threads end, too, but for those with
    /// somebody on them who was parked for good: they never do.
    pub(super) fn end(self) -> impl Iterator<Item = Ended> {
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
    report: &Sender<Result<(), RunError>>,
    word: &Receiver<()>,
) -> Option<Ended> {
    let opened = match parts(settings, group, member, None) {
        Ok(parts) => sched::open(parts),
        Err(error) => {
            let _ = report.send(Err(error));
            return None;
        }
    };
    // Nobody listens where another one has failed; then no word comes either.
    let _ = report.send(Ok(()));
    word.recv().ok()?;
    let _sigpipe = sigpipe::hold_off();
    // SAFETY: there is no first tasklet.
    Some(unsafe { opened.run(false, None::<fn(&Sched) -> TcbPtr>) })
}
