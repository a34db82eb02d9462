//! The floor: what a core can do with no runtime around it. Tasklets are bare corosensei, echo is
//! a hand-written io_uring loop. Nothing here is fair to a user: it shows the limit, not a peer.

mod coroutines;
mod echo;

use super::Subject;
use crate::harness::memory::Memory;
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
