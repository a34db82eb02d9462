//! Spawns as many waiting tasklets as fit: each has a stack of its own and waits in a channel.

use std::cell::Cell;

use anyhow::Context;
use indicatif::HumanCount;
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, Channel, scope, task, yield_now};

use super::effort::Effort;
use super::memory;

const TASKLETS: u64 = 1_000_000;
/// Tasklets spawned between two checks of the clock.
const BATCH: usize = 20_000;
/// The time limit for spawning: if pages are slow to get, fewer tasklets keep the tour short.
const TIME_MAX: Duration = Duration::from_secs(15);
/// A page of stack, a control block, and the stack's share of page tables, rounded up.
const BYTES_EACH: u64 = 5 << 10;
/// Assumed if the system does not report its available memory.
const AVAILABLE_GUESS: u64 = 1 << 30;

pub(super) fn step(effort: Effort) -> anyhow::Result<String> {
    let available = memory::available().unwrap_or(AVAILABLE_GUESS);
    let affordable = (available / 4 / BYTES_EACH).max(1);
    let wanted = effort.scale(usize::try_from(TASKLETS.min(affordable))?);
    let parked = Parked::measure(wanted)?;
    let mut text = format!(
        "{} at once{}; begun in {:.1} s, ended in {:.1} s",
        HumanCount(parked.started as u64),
        parked.memory,
        parked.begun.as_secs_f64(),
        parked.ended.as_secs_f64(),
    );
    if parked.starved > 0 {
        text += &format!(
            "\nLIMITED: {} more wait for a stack; `overlapped doctor` says what limits them",
            HumanCount(parked.starved as u64)
        );
    }
    if parked.started + parked.starved < wanted {
        text += &format!("\nLIMITED to what begins in {} s", TIME_MAX.as_secs());
    }
    if affordable < TASKLETS {
        text += &format!(
            "\nLIMITED to a quarter of the {} MiB of free memory",
            HumanCount(available >> 20)
        );
    }
    Ok(text)
}

/// The measurements taken while all tasklets waited.
struct Parked {
    started: usize,
    /// Tasklets that got no stack.
    starved: usize,
    /// The memory per tasklet, and the number of mappings, as text.
    memory: String,
    begun: Duration,
    ended: Duration,
}

impl Parked {
    /// Spawns `wanted` tasklets that wait for one channel, measures, and lets them end.
    fn measure(wanted: usize) -> anyhow::Result<Parked> {
        let before = memory::own();
        let started = Cell::new(0_usize);
        let channel = Channel::<()>::new();
        let begin = Instant::now();
        let (mut parked, closed) = scope(|s| -> anyhow::Result<_> {
            let mut spawned = 0;
            while spawned < wanted && begin.elapsed() < TIME_MAX {
                let batch = BATCH.min(wanted - spawned);
                for _ in 0..batch {
                    Builder::new().spawn_scoped(s, || {
                        started.set(started.get() + 1);
                        // Returns `Closed` in all of them.
                        let _ = channel.recv();
                    })?;
                }
                spawned += batch;
                // Tasklets run in the order of spawning: this returns after the last one has run.
                yield_now();
            }
            let parked = Parked {
                started: started.get(),
                starved: task::stats().context("not in a scheduler")?.waiting_for_stack,
                memory: describe(before, memory::own(), started.get()),
                begun: begin.elapsed(),
                ended: Duration::ZERO,
            };
            channel.close();
            Ok((parked, Instant::now()))
        })?;
        parked.ended = closed.elapsed();
        Ok(parked)
    }
}

fn describe(before: Option<u64>, after: Option<u64>, tasklets: usize) -> String {
    let mut text = String::new();
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.saturating_sub(before) as f64 / tasklets.max(1) as f64 / 1024.0;
        text += &format!(", {each:.1} KiB each (resident and page tables)");
    }
    if let Some(mappings) = memory::mappings() {
        text += &format!(", {} mappings", HumanCount(mappings as u64));
    }
    text
}
