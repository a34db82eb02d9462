//! The plan of a program, which its seed decides before it begins.

use overlapped::Config;
use overlapped::task::{ChannelEvent, Observer};
use overlapped::time::Duration;

use crate::actions::{ALL, Action};
use crate::support::Rng;

/// The end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `run_until`: whoever is left is killed, so anybody may wait for ever.
    Killed,
    /// `run`: everybody ends, so nobody waits for ever.
    Returned,
    /// `run`, among tasklets only: who waits for ever is told so, or the run is.
    Told,
    /// As `Killed`, with a short time of grace and tasklets that outlive it.
    Abandoned,
}

/// The end of the first tasklet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    Returning,
    Panicking,
    Killed,
}

/// One program, but for what its tasklets choose.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) end: End,
    pub(crate) leaves: Leaves,
    pub(crate) threads: usize,
    /// Threads that belong to no scheduler.
    pub(crate) helpers: usize,
    /// Tasklets at the beginning, on each scheduler.
    pub(crate) actors: usize,
    /// Actions of each.
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
        // Who waits for a child that waits for a stack may wait for ever.
        let stacks_max = some(8, 12).filter(|_| end != End::Returned);
        let tasklets_max = some(12, 30).map(|n| n + 3);
        let operations_max = some(16, 12);
        let stall = some(5, 3).map(|n| Duration::from_micros(n as u64 * 400));
        let leaves = match rng.below(16) {
            0 => Leaves::Panicking,
            1 => Leaves::Killed,
            _ => Leaves::Returning,
        };
        // Each action in every second program: together with few others it happens often.
        let fits = |action: &&Action| {
            (!alone || action.among_tasklets)
                // Whoever is parked for good keeps its locks; this one is the process's.
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

/// Is told of everything, and does what an observer may.
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
