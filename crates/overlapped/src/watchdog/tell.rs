//! The teller: a thread that reports the watchdog's findings.
//!
//! Symbols take hundreds of milliseconds if a program has all its debugging information, and the
//! program's own function may take any time. Meanwhile the watchdog keeps checking, so that its
//! times are right. docs/decisions/0098-helper-threads-stay-apart.md compares the other ways.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::report::{note, tasklets, warn};
use super::snapshot::Snapshot;
use super::stall::{HAS_HELD, OnStall, Stall, Stalled};
use crate::foreign::quietly;
use crate::sys::thread::count::as_thread_of_program;
use crate::sys::thread::start_helper;

/// A finding that is to be reported.
pub(super) enum News {
    /// A tasklet holds its thread.
    Lasts { stalled: Stalled, on_stall: Option<OnStall> },
    /// A tasklet holds the thread, which does not answer.
    NoAnswer { time: Duration },
    /// The tasklet has released its thread.
    Over { tasklet: u64, time: Duration, on_stall: Option<OnStall> },
    /// The first tasklet has ended and others have not.
    Remains { time: Duration, answer: Option<Box<Snapshot>> },
}

/// The handle to the teller, which begins with the first finding and ends when the handle is
/// dropped. Most programs never have a finding.
#[derive(Default)]
pub(super) struct Teller {
    /// `None`: there is no thread yet.
    news: Option<SyncSender<News>>,
}

impl Teller {
    /// The maximum number of reports that may wait. Each holds a copy of a stack.
    const WAITING_MAX: usize = 8;

    /// Hands a finding to the teller. Waits if too many reports wait already. If no thread can be
    /// started, reports the finding itself.
    pub(super) fn tell(&mut self, news: Option<News>) {
        let Some(news) = news else { return };
        if self.news.is_none() {
            self.news = Teller::start();
        }
        match &self.news {
            // The send cannot fail: the teller outlives this handle, and never panics.
            Some(teller) => drop(teller.send(news)),
            None => tell(news),
        }
    }

    fn start() -> Option<SyncSender<News>> {
        let (sender, news) = sync_channel(Teller::WAITING_MAX);
        start_helper("overlapped-tell", || tell_all(news)).ok()?;
        Some(sender)
    }
}

fn tell_all(news: Receiver<News>) {
    // Functions and subscribers of the program's are called, which may hold its locks.
    news.into_iter().for_each(|news| as_thread_of_program(|| tell(news)));
}

fn tell(news: News) {
    match news {
        News::Over { tasklet, time, on_stall } => {
            if is_logged(on_stall, &Stall::Over { tasklet, time }) {
                note(&format!("tasklet {tasklet} released its thread after {time:.1?} or more"));
            }
        }
        News::NoAnswer { time } => {
            warn(&format!("a tasklet {HAS_HELD} {time:.1?}; its thread blocks SIGURG"));
        }
        News::Lasts { stalled, on_stall } => {
            let stall = Stall::Lasts(stalled);
            if let (true, Stall::Lasts(stalled)) = (is_logged(on_stall, &stall), &stall) {
                warn(&stalled.to_string());
            }
        }
        News::Remains { time, answer } => {
            let (count, list) = answer.map_or((0, String::new()), |snapshot| {
                (snapshot.page.tasklets, tasklets(&snapshot))
            });
            warn(&format!(
                "run: the first tasklet ended {time:.1?} ago; still waiting for the others, of \
                 which there are {count} on its thread (run_until ends them){list}"
            ));
        }
    }
}

/// Calls the program's function. Returns whether the stall is to be logged.
fn is_logged(on_stall: Option<OnStall>, stall: &Stall) -> bool {
    on_stall.and_then(|on_stall| quietly(|| on_stall(stall))).unwrap_or(true)
}
