//! Tasks, and the echo server that has a task for each connection.

use crate::error::ABSENT;
use crate::harness::memory::Memory;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A library with tasks.
pub(crate) trait Subject {
    /// Checks that it can run here, and builds what it needs. Called once, before the rounds.
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    /// Spawns and joins `n` empty tasks, one after the other.
    fn spawn_join(&self, _n: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Has `tasks` tasks yield `rounds` times each, in turn; see [`YieldClock`].
    fn yields(&self, _tasks: usize, _rounds: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Sends a number to another task and back, `n` times.
    fn channel_round_trip(&self, _n: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Names that channel, where the library leaves a choice.
    fn remark(&self) -> Option<&'static str> {
        None
    }

    /// Measures the memory that `n` waiting tasks add.
    fn parked(&self, _n: usize) -> Result<Memory, String> {
        Err(ABSENT.into())
    }

    /// Returns the most that a parked task may need, so that a case that does not fit is refused.
    fn parked_kib_estimate(&self) -> f64 {
        2.0
    }

    /// Listens, prints the port, and echoes until it is killed.
    fn serve(&self) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// Does the same with the buffer of a connection whose memory is measured.
    fn serve_parked(&self) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// Does the same as [`serve`](Self::serve) on two threads.
    fn serve_on_two(&self) -> Result<(), String> {
        Err(ABSENT.into())
    }
}

/// A clock for the yields of many tasks, without their start and end.
///
/// Every task yields a few times before [`begin`](Self::begin) and after [`end`](Self::end). With a
/// fair queue all tasks have begun before the first one ends, and none is gone when the last one
/// ends. If the queue is not fair, the tasks do not take turns, and there is no result.
pub(crate) struct YieldClock {
    tasks: usize,
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// The tasks that had begun when the first one ended.
    in_turn: AtomicUsize,
    start: OnceLock<Instant>,
    took: OnceLock<Duration>,
}

/// Yields before the measured ones, and again after them.
pub(crate) const YIELDS_AROUND: u64 = 2;

impl YieldClock {
    pub(crate) fn new(tasks: usize) -> YieldClock {
        YieldClock {
            tasks,
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            in_turn: AtomicUsize::new(0),
            start: OnceLock::new(),
            took: OnceLock::new(),
        }
    }

    pub(crate) fn begin(&self) {
        if self.begun.fetch_add(1, Ordering::Relaxed) == 0 {
            self.start.get_or_init(Instant::now);
        }
    }

    pub(crate) fn end(&self) {
        let earlier = self.ended.fetch_add(1, Ordering::Relaxed);
        if earlier == 0 {
            self.in_turn.store(self.begun.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if earlier + 1 == self.tasks {
            let start = self.start.get_or_init(Instant::now);
            self.took.get_or_init(|| start.elapsed());
        }
    }

    /// Returns the time from the first begin to the last end.
    ///
    /// # Errors
    /// The tasks did not take turns.
    pub(crate) fn took(&self) -> Result<Duration, String> {
        let in_turn = self.in_turn.load(Ordering::Relaxed);
        if in_turn < self.tasks {
            let tasks = self.tasks;
            return Err(format!(
                "its yield does not take turns: {in_turn} of {tasks} tasks had begun when the \
                 first ended"
            ));
        }
        self.took.get().copied().ok_or_else(|| "not all tasks have ended".into())
    }
}
