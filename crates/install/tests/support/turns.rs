//! Counts the turns of a tasklet beside the one under test. It has turns during a call only if the
//! call does not block the thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use super::ms;

/// A count of turns, which threads can watch.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<AtomicU32>);

impl Turns {
    /// Runs `f` beside a tasklet that counts its turns, and returns their number meanwhile.
    pub(crate) fn count_during(&self, f: impl FnOnce()) -> u32 {
        let (turns, is_over) = (self.clone(), Rc::new(Cell::new(false)));
        let over = is_over.clone();
        let ticker = overlapped::spawn(move || {
            while !over.get() {
                turns.0.fetch_add(1, SeqCst);
                overlapped::time::sleep(ms(1));
            }
        });
        let before = self.0.load(SeqCst);
        f();
        let count = self.0.load(SeqCst) - before;
        is_over.set(true);
        ticker.join().unwrap();
        count
    }

    /// Waits, in a thread, for this number of turns; not for longer than `limit`, since a call that
    /// blocks the tasklets' thread lets none of them happen.
    pub(crate) fn wait_for(&self, count: u32, limit: Duration) {
        let (before, begin) = (self.0.load(SeqCst), Instant::now());
        while self.0.load(SeqCst) - before < count && begin.elapsed() < limit {
            thread::sleep(ms(1));
        }
    }
}

/// The limit of tests in which no call blocks the thread. Only a failing test reaches it.
pub(crate) const LONG: Duration = ms(10_000);
