//! The lower limit: the work of a core without a runtime. Tasks are bare corosensei, echo is a
//! hand-written loop over io_uring. This is not code that a user would write: it shows the limit
//! and is no peer.

mod coroutines;
mod echo;

use crate::harness::memory::Memory;
use crate::traits::tasks::Subject;
use std::time::Duration;

pub(crate) struct Raw;

impl Subject for Raw {
    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        coroutines::spawn_join(n)
    }

    fn yields(&self, tasks: usize, rounds: u64) -> Result<Duration, String> {
        coroutines::yields(tasks, rounds)
    }

    fn channel_round_trip(&self, n: u64) -> Result<Duration, String> {
        coroutines::channel_round_trip(n)
    }

    fn remark(&self) -> Option<&'static str> {
        Some("one slot, the other coroutine resumed by hand; no queue, no waiting list")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        coroutines::parked(n)
    }

    fn parked_kib_estimate(&self) -> f64 {
        6.0
    }

    fn serve(&self) -> Result<(), String> {
        echo::serve()
    }
}
