//! The settings that all schedulers of a run share, and the parts from which each is opened.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{RunError, environment};
use crate::driver::{Driver, PortChoice, PortConfig};
use crate::sched::{self, Group, SchedConfig, Setup};
use crate::stack::{self, Guards, Pool, StackConfig};
use crate::task::Observer;
use crate::watchdog::{self, OnStall};

/// The settings that all schedulers of a run share.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) port: PortChoice,
    pub(super) stack_size: usize,
    pub(super) guards: Guards,
    pub(super) stacks_max: usize,
    pub(super) tasklets_max: usize,
    pub(super) operations_max: usize,
    pub(super) grace: Duration,
    pub(super) overflow_report: bool,
    pub(super) stall_limit: Option<Duration>,
    pub(super) dump_on: Vec<i32>,
    pub(super) on_stall: Option<OnStall>,
    pub(super) is_shown: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            port: PortChoice::Auto,
            stack_size: stack::SIZE_DEFAULT,
            guards: Guards::Auto,
            stacks_max: 1 << 22,
            tasklets_max: 1 << 26,
            operations_max: 1 << 22,
            grace: Duration::from_secs(5),
            overflow_report: true,
            stall_limit: None,
            dump_on: Vec::new(),
            on_stall: None,
            is_shown: false,
        }
    }
}

impl Settings {
    /// Fills in the environment's settings if the program makes none, and sets up dumps.
    pub(super) fn complete(mut self) -> io::Result<Settings> {
        if self.stall_limit.is_none() {
            self.stall_limit = environment::stall_limit()?;
        }
        if self.dump_on.is_empty() {
            self.dump_on.extend(environment::dump_signal()?);
        }
        self.dump_on.iter().try_for_each(|&signal| watchdog::dump_on(signal))?;
        Ok(self)
    }
}

/// Makes the parts from which one scheduler is opened.
pub(super) fn setup(
    settings: &Settings,
    group: Arc<Group>,
    member: usize,
    observer: Option<Box<dyn Observer>>,
) -> Result<Setup, RunError> {
    let driver = Driver::open(&PortConfig::new(settings.port)).map_err(RunError::Port)?;
    let mut pool = Pool::new(StackConfig {
        size: settings.stack_size,
        guards: settings.guards,
        max: settings.stacks_max,
    });
    let first = pool.take(None).map_err(|error| RunError::Stack(error.into()))?;
    pool.give(first);
    if settings.overflow_report {
        sched::report_overflows().map_err(RunError::Stack)?;
    }
    let config = SchedConfig {
        tasklets_max: settings.tasklets_max,
        operations_max: settings.operations_max,
        grace_ns: u64::try_from(settings.grace.as_nanos()).unwrap_or(u64::MAX),
        stall: settings.stall_limit,
        on_stall: settings.on_stall,
        shown: settings.is_shown || !settings.dump_on.is_empty(),
    };
    Ok(Setup { group, member, config, observer, driver, pool })
}
