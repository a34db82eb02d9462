//! The properties of a program that its seed decides in advance.

use overlapped::Config;
use overlapped::task::{ChannelEvent, Observer};
use overlapped::time::Duration;

use crate::actions::{ALL, Action};
use crate::support::Rng;

/// The kinds of a program's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `run_until`: the remaining tasklets are killed, so any tasklet may wait for ever.
    Killed,
    /// `run`: all tasklets end, so none waits for ever.
    Returned,
    /// `run`, among tasklets only: a tasklet that waits for ever gets a deadlock report, or the run
    /// does.
    Told,
    /// The same as `Killed`, with a short grace time and tasklets that outlive it.
    Abandoned,
}

/// The kinds of the first tasklet's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    Returning,
    Panicking,
    Killed,
}

/// One program, apart from its tasklets' choices.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) end: End,
    pub(crate) leaves: Leaves,
    pub(crate) threads: usize,
    /// The number of threads without a scheduler.
    pub(crate) helpers: usize,
    /// The number of tasklets at the beginning, on each scheduler.
    pub(crate) actors: usize,
    /// The number of actions of each.
    pub(crate) steps: usize,
    stacks_max: Option<usize>,
    pub(crate) tasklets_max: Option<usize>,
    pub(crate) operations_max: Option<usize>,
    stall: Option<Duration>,
    is_observed: bool,
    pub(crate) actions: Vec<&'static Action>,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Plan {
        let end = match rng.below(80) {
            0..44 => End::Killed,
            44..64 => End::Returned,
            64..79 => End::Told,
            _ => End::Abandoned,
        };
        let alone = end == End::Told;
        let mut some = |n, most| (rng.below(n) == 0).then(|| 1 + rng.below(most));
        let threads = if alone { 1 } else { 1 + some(4, 2).unwrap_or(0) };
        let helpers = if alone { 0 } else { some(4, 2).unwrap_or(0) };
        // A tasklet whose child waits for a stack may wait for ever.
        let stacks_max = some(8, 12).filter(|_| end != End::Returned);
        let tasklets_max = some(12, 30).map(|n| n + 3);
        let operations_max = some(16, 12);
        let stall = some(5, 3).map(|n| Duration::from_micros(n as u64 * 400));
        let leaves = match rng.below(16) {
            0 => Leaves::Panicking,
            1 => Leaves::Killed,
            _ => Leaves::Returning,
        };
        // Each action is in every second program. With few others beside it, it happens often.
        let fits = |action: &&Action| {
            (!alone || action.among_tasklets)
                // A tasklet that is parked for good keeps its locks; this one is the process's.
                && (end != End::Abandoned || action.name != "standard output")
        };
        let mut actions: Vec<_> = ALL.iter().filter(fits).filter(|_| rng.below(2) == 0).collect();
        actions.extend(ALL.iter().filter(|action| action.always));
        Plan {
            end,
            leaves: if end == End::Abandoned { Leaves::Returning } else { leaves },
            threads,
            helpers,
            actors: 2 + rng.below(8),
            steps: 2 + rng.below(14),
            stacks_max,
            tasklets_max,
            operations_max,
            stall,
            is_observed: rng.below(4) == 0,
            actions,
        }
    }

    /// Tells whether every wait has to end by itself.
    pub(crate) fn is_bounded(&self) -> bool {
        self.end == End::Returned
    }

    pub(crate) fn config(&self) -> Config {
        let grace = match self.end {
            End::Abandoned => Duration::from_millis(3),
            _ => Duration::from_secs(120),
        };
        let mut config = Config::new().threads(self.threads).grace(grace);
        if let Some(stacks) = self.stacks_max {
            config = config.stacks_max(stacks);
        }
        if let Some(tasklets) = self.tasklets_max {
            config = config.tasklets_max(tasklets);
        }
        if let Some(operations) = self.operations_max {
            config = config.operations_max(operations);
        }
        if let Some(limit) = self.stall {
            config = config.stall_limit(limit);
        }
        if self.is_observed { config.observer(Onlooker) } else { config }
    }
}

/// An observer that does everything which an observer may do.
struct Onlooker;

impl Observer for Onlooker {
    fn switched(&self, _: Option<u64>, _: u64) {
        crate::check::on_a_tasklet("an observer's switched");
    }

    fn channel(&self, _: ChannelEvent) {
        crate::check::on_a_tasklet("an observer's channel");
        overlapped::task::stats();
    }
}
